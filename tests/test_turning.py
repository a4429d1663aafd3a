"""Turning weights: the smallest change of the weights that brings a neighbourhood among the first k, or out."""

from __future__ import annotations

import itertools
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from geo.errors import SchemeError
from geo.pipeline import open_study, read_city
from geo.ranking import rank
from geo.scheme import Confidence, Criterion, Scheme, read_factors
from geo.scoring import score
from geo.turning import AHEAD, CLOSE, linear_values, turn

LINEAR = ("weighted_sum", "geometric_mean", "promethee_ii", "spotis")
NAMES = ("water_damaged_share", "road_debris_share", "electricity_damaged_share")
STEPS = 40
GRID = np.array([one for one in itertools.product(range(STEPS + 1), repeat=3) if sum(one) == STEPS]) / STEPS


def scheme_of(weights, *, method="weighted_sum", minimum_coverage=0.0, cutoff=2):
    criteria = tuple(
        Criterion(
            measure=name, axis="basic_services", weight=weight, direction="more", goalposts=(0, 1), reason={"ar": "س", "en": "r"}
        )
        for name, weight in zip(NAMES, weights, strict=False)
    )
    return Scheme(
        id="own", name={"ar": "م", "en": "own"}, factors=read_factors("tarmim"), criteria=criteria, method=method,
        minimum_coverage=minimum_coverage, confidence=Confidence(cutoff=cutoff),
    )  # fmt: skip


def table(rows, columns=NAMES):
    return pd.DataFrame.from_dict(rows, orient="index", columns=list(columns)[: len(next(iter(rows.values())))], dtype="float64")


def rank_with(measures, scheme, weights):
    changed = scheme.with_weights(dict(zip([one.measure for one in scheme.criteria], weights, strict=True)))
    return rank(score(measures, changed).table["score"])["rank"]


def test_by_hand():
    """Weights 0.5, 0.5. x 60 + 10 = 70 … x (1, 0.4), y (0.4, 0.8): y leads when 0.4 w + 0.8 (1 − w) > w + 0.4 (1 − w): w < 0.4.

    So 0.1 goes from the first to the second: a change of 0.2, and 0.001 points more: 1e-5 of the scale, over 1.0 a unit of weight.
    """
    measures = table({"x": [1.0, 0.4], "y": [0.4, 0.8]})
    found = turn("y", measures, scheme_of((0.5, 0.5)), top=1)
    assert (found.rank, found.cut, found.into, found.rank_then) == (2, 1, True, 1)
    assert found.weights.tolist() == pytest.approx([0.4, 0.6], abs=2 * AHEAD)
    assert found.change == pytest.approx(0.2, abs=4 * AHEAD)
    assert found.proven
    out = turn("x", measures, scheme_of((0.5, 0.5)), top=1)
    assert (out.into, out.rank_then) == (False, 2)
    assert out.weights.tolist() == pytest.approx([0.4, 0.6], abs=2 * AHEAD)


def test_dominated():
    """y is less urgent in everything: no weights bring it first, and x can't be brought out of it."""
    measures = table({"x": [0.9, 0.8], "y": [0.4, 0.8], "z": [0.5, 0.1]})
    found = turn("y", measures, scheme_of((0.5, 0.5)), top=1)
    assert found.weights is None
    assert found.proven
    assert found.in_front == 1
    assert turn("x", measures, scheme_of((0.5, 0.5)), top=1).weights is None


def test_choice_of_who_stays_in_front():
    """k = 2 of four: the cheapest of the three in front is the one to pass.

    Weights 0.6, 0.4: a 0.6·0.9 + 0.4·0.1 = 0.58, b 0.6·0.5 + 0.4·0.6 = 0.54, c 0.6·0.8 + 0.4·0.3 = 0.60, z 0.6·0.2 + 0.4·0.9 = 0.48.
    z passes b at 0.2 w + 0.9 (1 − w) = 0.5 w + 0.6 (1 − w): w = 0.5; a at 0.7 w = 0.8 (1 − w): w = 0.5333; c at 0.6 w = 0.6 (1 − w):
    w = 0.5. Second needs two of the three behind: w = 0.5, where b and c are passed; z has 0.55, a 0.5.
    """
    measures = table({"a": [0.9, 0.1], "b": [0.5, 0.6], "c": [0.8, 0.3], "z": [0.2, 0.9]})
    found = turn("z", measures, scheme_of((0.6, 0.4)))
    assert found.weights.tolist() == pytest.approx([0.5, 0.5], abs=5 * AHEAD)
    assert found.rank_then <= 2


def brute(measures, scheme, unit, cut, into):
    """The smallest change on a grid over the simplex; ties count as not done, but for who is no more urgent in anything."""
    values = linear_values(measures.to_numpy(), scheme)
    known = ~np.isnan(values)
    filled = np.where(known, values, 0.0)
    at = measures.index.get_loc(unit)
    agreed = np.array([one.weight for one in scheme.criteria])

    def assessed(weights):
        there = known @ weights
        return (there >= scheme.minimum_coverage - 1e-12) & (there > 0)

    never = (known == known[at]).all(axis=1) & (filled <= filled[at]).all(axis=1)
    best = np.inf
    for weights in GRID:
        if (assessed(weights) != assessed(agreed)).any():
            continue
        listed = assessed(weights)
        scores = np.where(listed, filled @ weights / np.where(listed, known @ weights, 1), -1)
        rivals = listed & ~never
        front = (rivals & (scores > scores[at] - 2 * AHEAD)).sum() if into else (rivals & (scores > scores[at] + 2 * AHEAD)).sum()
        if front < cut if into else front >= cut:
            best = min(best, float(np.abs(weights - agreed).sum()))
    return best


@pytest.mark.parametrize("seed", range(24))
def test_no_grid_finds_a_smaller_change(seed):
    """Random lists, half of them with unknown values, some with a least coverage; every linear method."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(3, 8))
    values = rng.integers(0, 21, (n, 3)) / 20
    if seed % 2:
        values[rng.random((n, 3)) < 0.25] = np.nan
    measures = table({f"u{k}": row for k, row in enumerate(values.tolist())})
    weights = rng.dirichlet(np.ones(3))
    scheme = scheme_of(weights, method=LINEAR[seed % len(LINEAR)], minimum_coverage=(0.0, 0.5)[seed // 4 % 2])
    cut = int(rng.integers(1, n))
    places = rank_with(measures, scheme, weights).dropna()
    for unit in places.index:
        found = turn(str(unit), measures, scheme, top=cut)
        least = brute(measures, scheme, unit, cut, found.into)
        if found.weights is None:
            assert found.proven
            assert least == np.inf
            continue
        assert found.change <= least + CLOSE
        assert found.proven
        assert found.weights.min() >= 0
        assert found.weights.sum() == pytest.approx(1)
        again = rank_with(measures, scheme, found.weights)
        assert again[unit] == found.rank_then
        assert (again[unit] <= cut) == found.into
        assert again.notna().equals(rank_with(measures, scheme, weights).notna())


@pytest.mark.parametrize("method", LINEAR)
def test_every_neighbourhood_of_the_demo_city(demo_run, method):
    """Ranked again with the weights found, each is where it was to come; and with less than that change it is not on a straight way."""
    scheme = Scheme(**demo_run.info["scheme"]).model_copy(update={"method": method})
    measures = pd.DataFrame(demo_run.priorities.drop(columns="geometry")).set_index("id")
    agreed = np.array([one.weight for one in scheme.criteria])
    places = rank_with(measures, scheme, agreed).dropna()
    turned, asked = 0, places.index[:: 1 if method == "weighted_sum" else 5]
    for unit in asked:
        found = turn(unit, measures, scheme)
        assert found.proven
        if found.weights is None:
            continue
        turned += 1
        new = found.weights.to_numpy()
        assert (rank_with(measures, scheme, new)[unit] <= found.cut) == found.into
        short = agreed + 0.98 * (new - agreed)
        assert (rank_with(measures, scheme, short)[unit] <= found.cut) != found.into
    assert turned >= len(asked) / 2


def test_aleppo_at_the_cut(shared):
    from geo import criteria, scenarios

    study, scheme = open_study(Path(__file__).parent / "studies" / "aleppo")
    city = read_city(study)
    measures = criteria.measure(city, scheme, scenarios.people(city))
    places = rank(score(measures, scheme).table["score"])["rank"]
    for unit in places[places.between(9, 12)].index:
        found = turn(unit, measures, scheme, top=10)
        assert found.proven
        assert (rank_with(measures, scheme, found.weights)[unit] <= 10) == found.into


def test_topsis_is_refused():
    with pytest.raises(SchemeError, match="squared"):
        turn("x", table({"x": [0.1, 0.2], "y": [0.2, 0.1]}), scheme_of((0.5, 0.5), method="topsis"))


def test_solver_is_loaded_when_asked_for():
    """A list without this question does not wait a second for it."""
    code = "import sys, geo.pipeline, geo.turning; sys.exit('scipy.optimize' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
