"""Speed of drawing: chances of ranks beside the plain way, every score of every draw sorted, with identical counts.

Memory: ours holds a stated chunk (`smaa.COMPARED` bytes of comparisons, `smaa.SCORED` scores), the plain way everything. `make bench` measures; in a plain test run both run once on a small
list, so that the counts are compared.
"""

import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from geo import pipeline, smaa

DEMO = Path(__file__).parents[2] / "data" / "demo"
SIZES = {"a city: 109 x 12": (109, 12, 10_000), "large: 10,000 x 8": (10_000, 8, 10_000)}
TOP = 10


def given(size):
    n, m, draws = SIZES[size]
    rng = np.random.default_rng(1)
    return rng.random((n, m)), smaa.uniform(rng, draws, m)


def plain(values, weights, top):
    """The full matrix of scores, and an argsort of each draw."""
    order = np.argsort(-(weights @ values.T), axis=1)[:, :top]
    return np.stack([np.bincount(order[:, rank], minlength=len(values)) for rank in range(top)], axis=1)


def small_enough(benchmark, values, weights):
    """All of it where it is measured, little of it in a plain test run."""
    return (values, weights) if benchmark.enabled else (values[:500], weights[:100])


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("way", ["ours", "plain"])
def test_first_ten(benchmark, size, way):
    benchmark.group = f"chances of the first {TOP}, {size} x 10,000 draws"
    values, weights = small_enough(benchmark, *given(size))
    count = smaa.leading if way == "ours" else plain
    found = benchmark.pedantic(count, args=(values, weights, TOP), rounds=3)
    assert (found == (plain if way == "ours" else smaa.leading)(values, weights, TOP)).all()


@pytest.mark.parametrize("way", ["ours", "plain"])
def test_all_ranks_and_pairs_of_a_city(benchmark, way):
    """Everything that a run reports: all ranks, all pairs, central weights."""
    benchmark.group = "all ranks and pairs, a city: 109 x 12 x 10,000 draws"
    values, weights = small_enough(benchmark, *given("a city: 109 x 12"))

    def ours():
        return smaa.acceptability([(values, weights)]).ranks

    def all_sorted():
        scores = weights @ values.T
        wins = np.zeros((len(values), len(values)), dtype=np.int64)
        for row in scores:
            wins += row[:, None] > row[None, :]
        ranks = np.argsort(np.argsort(-scores, axis=1), axis=1)
        return np.stack([np.bincount(column, minlength=len(values)) for column in ranks.T])

    found = benchmark.pedantic(ours if way == "ours" else all_sorted, rounds=3)
    assert (found == (all_sorted if way == "ours" else ours)()).all()


def test_memory_is_bounded_by_the_chunk(benchmark):
    """Ten times the draws, the same memory."""
    benchmark.group = "memory of 10,000 x 8"
    values, weights = small_enough(benchmark, *given("large: 10,000 x 8"))
    peaks = []
    for part in (weights[: len(weights) // 10], weights):
        tracemalloc.start()
        smaa.leading(values, part, TOP)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    benchmark.extra_info["peak MB"] = round(peaks[1] / 2**20)
    benchmark.pedantic(smaa.leading, args=(values, weights[:100], TOP), rounds=1)
    assert peaks[1] < max(peaks[0] * 1.5, 64 * 2**20)


@pytest.mark.benchmark(group="a run of the demo city, 10,000 draws")
@pytest.mark.parametrize("drawn", [True, False])
def test_run_with_and_without_draws(benchmark, drawn):
    study, scheme = pipeline.open_study(DEMO)
    if not drawn:
        scheme = scheme.model_copy(update={"confidence": scheme.confidence.model_copy(update={"vary": (), "draws": 100})})
    city = pipeline.read_city(study)
    assert len(benchmark.pedantic(pipeline.assess, args=(city, scheme), rounds=3).priorities) == len(city.zones)
