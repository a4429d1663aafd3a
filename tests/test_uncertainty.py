"""Uncertainty: what is drawn lies where it may, stands for what it says, and varies nothing else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from geo import criteria, population, scoring, uncertainty
from geo.pipeline import open_study, read_city
from geo.scheme import read_scheme
from geo.uncertainty import ASSUMPTIONS, City, triangular
from tests.conftest import write_town

DEMO = Path(__file__).parents[1] / "data" / "demo"
ALL = frozenset(ASSUMPTIONS)


def drawn(city, *on, draws=400, seed=1):
    values, weights = zip(*city.blocks(frozenset(on), draws, seed), strict=True)
    return np.concatenate(values), np.concatenate(weights)


def measured(folder, scheme=None):
    study, chosen = open_study(folder, scheme)
    read = read_city(study)
    table = criteria.measure(read, chosen, population.people(read))
    return table[scoring.score(table, chosen).table["score"].notna()], chosen


@pytest.fixture(scope="module")
def town_city(tmp_path_factory):
    return City(*measured(write_town(tmp_path_factory.mktemp("town"))))


@pytest.fixture(scope="module")
def demo_city():
    return City(*measured(DEMO))


# Triangular draws


def test_triangular_has_its_bounds_and_its_mode():
    low, best, high = (np.array([value]) for value in (2.0, 3.0, 7.0))
    assert [triangular(low, best, high, np.array([c]))[0] for c in (0.0, 0.2, 1.0)] == pytest.approx([2, 3, 7])
    many = triangular(low, best, high, np.random.default_rng(1).random(100_000))
    assert many.mean() == pytest.approx(4.0, abs=0.01)  # (low + best + high) / 3


def test_triangular_of_one_value_and_of_none():
    assert triangular(np.array([3.0]), np.array([3.0]), np.array([3.0]), np.array([0.9])).tolist() == [3.0]
    nothing = np.array([np.nan])
    assert triangular(nothing, np.array([3.0]), nothing, np.array([0.9])).tolist() == [3.0]
    assert np.isnan(triangular(nothing, nothing, nothing, np.array([0.5]))).all()


# Nothing varied is the list itself


@pytest.mark.parametrize("which", ["town_city", "demo_city"])
def test_best_values_give_the_score_of_the_list(which, request):
    city = request.getfixturevalue(which)
    values, weights = drawn(city, draws=2)
    score = scoring.score(city.table, city.scheme).table["score"].to_numpy()
    known = ~np.isnan(values[0])
    points = np.nansum(values[0] * weights[0], axis=1) / (known * weights[0]).sum(axis=1) * 100
    assert points == pytest.approx(score, abs=1e-9)


# Each assumption by itself


@pytest.mark.parametrize("name", ASSUMPTIONS)
def test_an_assumption_varies_by_itself_and_alike_among_others(demo_city, name):
    """Held assumptions don't move; an assumption draws the same numbers whatever varies beside it."""
    alone, _ = drawn(demo_city, name, draws=50)
    again, _ = drawn(demo_city, name, draws=50)
    assert np.array_equal(alone, again, equal_nan=True)
    if name == "weights":
        assert np.ptp(alone, axis=0)[~np.isnan(alone[0])].max() == 0
        assert drawn(demo_city, name)[1].std(axis=0).min() > 0
        assert (drawn(demo_city, *ALL)[1] == drawn(demo_city, name)[1]).all()


@pytest.mark.parametrize("name", sorted(ALL - {"unknown"}))
def test_values_drawn_stay_in_their_range_and_unknown_stays_unknown(demo_city, name):
    values, _ = drawn(demo_city, name)
    assert (np.isnan(values) == ~demo_city.known).all()
    assert np.nanmin(values) >= 0
    assert np.nanmax(values) <= 1


def test_unknown_values_are_drawn_between_the_goalposts(town_city):
    assert not town_city.known.all()
    values, _ = drawn(town_city, "unknown", draws=20_000)
    anywhere = values[:, ~town_city.known]
    assert anywhere.mean(axis=0) == pytest.approx(np.full(anywhere.shape[1], 0.5), abs=0.02)
    assert (values[:, town_city.known] == drawn(town_city, draws=1)[0][0][town_city.known]).all()


def test_factors_are_one_draw_for_the_whole_city(demo_city):
    """A table too strict is too strict everywhere: damage goes up and down together; numbers of people don't."""
    at = demo_city.criteria.index("damage_index")
    values = drawn(demo_city, "factors", draws=500)[0][:, :, at]
    moving = values[:, np.ptp(values, axis=0) > 1e-9]
    assert moving.shape[1] > 10
    assert np.corrcoef(moving.T).min() > 0.5
    people = demo_city.criteria.index("people_in_damaged_homes")
    each = drawn(demo_city, "population", draws=500)[0][:, :, people]
    free = each[:, np.ptp(each, axis=0) > 1e-9]
    assert abs(np.corrcoef(free[:, :6].T)[np.triu_indices(6, 1)]).max() < 0.2


def test_factors_drawn_are_between_those_of_the_scheme(town_city):
    """A: 2 destroyed, 1 severe, 1 moderate of 10. D = Σ factor / 10 at its low, best and high."""
    factors = town_city.scheme.factors
    ends = [(2 * f["destroyed"] + f["severe"] + f["moderate"]) / 10 for f in (factors.low, factors.best, factors.high)]
    at = town_city.criteria.index("damage_index")
    goal = town_city.scheme.criteria[at].goalposts
    values = drawn(town_city, "factors", draws=5_000)[0][:, 0, at] * (goal[1] - goal[0]) + goal[0]
    assert values.min() >= ends[0] - 1e-9
    assert values.max() <= ends[2] + 1e-9
    assert values.min() < ends[1] < values.max()


def test_people_move_every_measure_of_people_together(demo_city):
    """The more people, the more of them in damaged homes, and the fewer bakeries for each: less is there, more is needed."""
    values = drawn(demo_city, "population", draws=300)[0]
    homes, bakeries = (
        values[:, :, demo_city.criteria.index(name)] for name in ("people_in_damaged_homes", "working_bakery_per_10000")
    )
    inside = [(one.min(axis=0) > 0) & (one.max(axis=0) < 1) & (np.ptp(one, axis=0) > 1e-6) for one in (homes, bakeries)]
    moving = np.flatnonzero(inside[0] & inside[1])  # elsewhere a goalpost cuts what is drawn
    assert len(moving) > 1
    assert min(np.corrcoef(homes[:, unit], bakeries[:, unit])[0, 1] for unit in moving) > 0.9


# Structures that the survey did not reach


def partly_surveyed(unseen, listed=(3, 0, 0, 1), seen=40.0):
    """One neighbourhood of 1 km²: `listed` destroyed, severe, moderate and possible among `seen` structures of the inventory."""
    scheme = read_scheme("rapid")
    states = ("destroyed", "severe", "moderate", "possible")
    best = scheme.factors.best
    damaged = sum(count * best[state] for count, state in zip(listed, states, strict=True))
    share = seen / (seen + unseen)
    row = {f"structures_{state}": float(count) for count, state in zip(listed, states, strict=True)}
    row |= {
        "buildings": seen + unseen,
        "damage_index": damaged / seen,
        "area_km2": 1.0,
        "equivalent_destroyed_per_km2": damaged / share,
        "equivalent_destroyed_per_km2_coverage": share,
    }
    return City(pd.DataFrame(row, index=["X"]), scheme)


def indices(city, draws=4_000):
    rng = {name: np.random.default_rng([1, at]) for at, name in enumerate(ASSUMPTIONS)}
    found = city._destroyed(frozenset({"sample"}), rng, draws)  # the draws themselves
    return found["damage_index"][:, 0]


def test_nothing_unseen_nothing_drawn():
    assert np.ptp(indices(partly_surveyed(0.0))) == 0


def test_the_less_was_seen_the_wider_the_damage():
    half, tenth = indices(partly_surveyed(40.0)), indices(partly_surveyed(360.0))
    assert 0 < half.std() < tenth.std()
    best = partly_surveyed(40.0).column("damage_index")[0]
    assert half.mean() == pytest.approx(best, rel=0.1)  # drawn around what was seen


def test_seen_damage_stays_seen():
    """However the unseen turn out, the damage that was seen is there: D ≥ damage seen / all structures."""
    city = partly_surveyed(40.0)
    assert indices(city).min() >= city.column("damage_index")[0] / 2 - 1e-12


def test_sample_follows_the_dirichlet_multinomial():
    """Mean and variance of the number destroyed among the unseen: n p and n p (1 - p) (n + a) / (1 + a)."""
    city = partly_surveyed(100.0, listed=(10, 0, 0, 0), seen=40.0)
    states = city.structures.states
    counts = city._unseen(0, np.random.default_rng(1), 40_000)[:, states.index("destroyed")]  # the draws
    assert city.structures.counts.sum() == pytest.approx(40)
    prior = uncertainty.PRIOR * (len(states) + 1)
    total = 40 + prior
    share = (10 + prior * 10 / 40) / total
    assert counts.mean() == pytest.approx(100 * share, rel=0.02)
    assert counts.var() == pytest.approx(100 * share * (1 - share) * (100 + total) / (1 + total), rel=0.05)
