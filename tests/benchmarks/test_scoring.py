"""Speed of scoring: re-ranking after one weight changes beside the whole run, and our methods beside two libraries.

City size: the measures of the study repeated, with noise, to 2,000 neighbourhoods. `make bench` measures; in a plain test run each
function runs once, so the numbers are still compared.
"""

import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from geo import aggregation, agreement, criteria, pipeline, population, ranking, scoring

DEMO = Path(__file__).parents[2] / "data" / "demo"
SIZE = 2_000
PLAIN = aggregation.Thresholds(indifference=0.0, preference=0.0)


@pytest.fixture(scope="module")
def opened():
    study, scheme = pipeline.open_study(DEMO)
    return pipeline.read_city(study), scheme


@pytest.fixture(scope="module")
def measures(opened):
    city, scheme = opened
    table = criteria.measure(city, scheme, population.people(city))
    rng = np.random.default_rng(1)
    large = table.iloc[rng.integers(0, len(table), SIZE)].set_axis([f"N-{n:04d}" for n in range(SIZE)])
    used = [one.measure for one in scheme.criteria]
    return large.assign(**{name: large[name] * rng.uniform(0.8, 1.2, SIZE) for name in used})


def rerank(measures, scheme):
    changed = scheme.with_weights({one.measure: one.weight + (n == 0) * 0.05 for n, one in enumerate(scheme.criteria)})
    return ranking.rank(scoring.score(measures, changed).table["score"])


@pytest.mark.benchmark(group="one weight changes, 2,000 neighbourhoods")
@pytest.mark.parametrize("method", ["weighted_sum", "geometric_mean", "topsis", "promethee_ii_pairwise"])
def test_rerank(benchmark, opened, measures, method):
    ranks = benchmark(rerank, measures, opened[1].model_copy(update={"method": method}))
    assert ranks["rank"].min() == 1


@pytest.mark.benchmark(group="one weight changes, the demo city")
def test_rerank_of_the_city(benchmark, opened):
    city, scheme = opened
    table = criteria.measure(city, scheme, population.people(city))
    assert len(benchmark(rerank, table, scheme)) == len(city.zones)


@pytest.mark.benchmark(group="one weight changes, the demo city")
def test_whole_run_of_the_city(benchmark, opened):
    city, scheme = opened
    run = benchmark.pedantic(pipeline.assess, args=(city, scheme), rounds=3)
    assert len(run.priorities) == len(city.zones)


@pytest.mark.benchmark(group="all methods side by side, 2,000 neighbourhoods")
def test_compare_methods(benchmark, opened, measures):
    assert len(benchmark(agreement.compare_methods, measures, opened[1])) == SIZE


@pytest.fixture(scope="module")
def decision():
    rng = np.random.default_rng(2)
    return rng.random((SIZE, 9)) * 0.9 + 0.05, rng.dirichlet(np.ones(9))


@pytest.mark.benchmark(group="TOPSIS of 2,000 × 9")
@pytest.mark.parametrize("who", ["ours", "pymcdm", "scikit-criteria"])
def test_topsis(benchmark, decision, who):
    values, weights = decision
    found = benchmark(topsis_by(who, *decision))
    assert found == pytest.approx(aggregation.topsis_vector(values, weights))


def topsis_by(who, values, weights):
    if who == "ours":
        return lambda: aggregation.topsis_vector(values, weights)
    if who == "pymcdm":
        methods, scales = pytest.importorskip("pymcdm.methods"), pytest.importorskip("pymcdm.normalizations")
        return lambda: methods.TOPSIS(scales.vector_normalization)(values, weights, np.ones(9))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of its own dependencies, when it is imported
        skcriteria = pytest.importorskip("skcriteria")
        from skcriteria.agg.similarity import TOPSIS
        from skcriteria.preprocessing.scalers import VectorScaler

    def theirs():
        table = skcriteria.mkdm(values, objectives=[max] * 9, weights=weights)
        return TOPSIS().evaluate(VectorScaler(target="matrix").transform(table)).e_.similarity

    return theirs


@pytest.mark.benchmark(group="PROMETHEE II of 500 × 9")
@pytest.mark.parametrize("who", ["ours", "pymcdm"])
def test_promethee(benchmark, decision, who):
    values, weights = decision[0][:500], decision[1]
    ours = 2 * aggregation.promethee_ii_pairwise(values, weights, PLAIN) - 1
    if who == "ours":
        benchmark(aggregation.promethee_ii_pairwise, values, weights, PLAIN)
        return
    method = pytest.importorskip("pymcdm.methods").PROMETHEE_II("usual")
    assert benchmark.pedantic(method, args=(values, weights, np.ones(9)), rounds=1) == pytest.approx(ours)


@pytest.mark.benchmark(group="Kendall's τ of 11 lists of 2,000")
@pytest.mark.parametrize("who", ["ours", "scipy"])
def test_kendall(benchmark, who):
    table = pd.DataFrame(np.random.default_rng(3).random((SIZE, 11)))
    if who == "ours":
        assert benchmark(agreement.kendall_tau, table).shape == (11, 11)
        return
    stats = pytest.importorskip("scipy.stats")
    found = benchmark.pedantic(
        lambda: [[stats.kendalltau(a, b).statistic for _, a in table.items()] for _, b in table.items()], rounds=1
    )
    assert np.array(found) == pytest.approx(agreement.kendall_tau(table).to_numpy())
