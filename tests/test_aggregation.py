"""Aggregations and normalisations: published examples, other libraries as oracles, what is unknown, and who can turn whom around."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import numpy as np
import pytest

from geo import aggregation
from geo.aggregation import (
    AGGREGATIONS,
    METHODS,
    NORMALISATIONS,
    RELATIVE,
    Thresholds,
    contributions,
    distance_to_target,
    geometric_mean,
    min_max,
    promethee_ii,
    promethee_ii_pairwise,
    rank,
    spotis,
    topsis,
    topsis_vector,
    weighted_sum,
    z_score,
)

NAN = np.nan
FIXED = sorted(set(METHODS) - RELATIVE)
PLAIN = Thresholds(indifference=0.0, preference=0.0)


def matrix(*rows):
    return np.array(rows, dtype=float)


@pytest.fixture(scope="module")
def published(shared: Path):
    return json.loads((shared / "test_vectors.json").read_text(encoding="utf-8"))


def test_registers_are_whole():
    assert set(AGGREGATIONS) == set(METHODS) > RELATIVE
    assert set(NORMALISATIONS) > aggregation.RELATIVE_NORMALISATIONS


# ---- published ----


def test_topsis_tzeng(published):
    """Tzeng & Huang 2011, vector normalisation."""
    one = published["topsis_tzeng"]
    assert topsis_vector(matrix(*one["matrix"]), np.array(one["weights"])) == pytest.approx(one["similarity"], abs=5e-5)


def test_topsis_opricovic():
    """Opricovic & Tzeng 2004: risk 1, 2, 5 (less is better), altitude 3,000, 3,750, 4,500, linear scale: .5, .617, .5.

    With the least and largest as goalposts the fixed ideal points are the published ones.
    """
    risk = aggregation.goalposts(np.array([1.0, 2, 5]), 1, 5, more=False)
    altitude = aggregation.goalposts(np.array([3000.0, 3750, 4500]), 3000, 4500)
    assert topsis(np.column_stack([risk, altitude]), np.array([0.5, 0.5])) == pytest.approx([0.5, 0.617, 0.5], abs=5e-4)


def test_weighted_sum_kracka():
    """Kracka, Brauers & Zavadskas 2010: heat losses of a building; 1/x where less is better, columns divided by their sum."""
    values = matrix(
        (33.95, 23.78, 11.45, 39.97, 29.44, 167.10, 3.852),
        (38.9, 4.17, 6.32, 0.01, 4.29, 132.52, 25.184),
        (37.59, 9.36, 8.23, 4.35, 10.22, 136.71, 10.845),
        (30.44, 37.59, 13.91, 74.08, 45.10, 198.34, 2.186),
        (36.21, 14.79, 9.17, 17.77, 17.06, 148.3, 6.610),
        (37.8, 8.55, 7.97, 2.35, 9.25, 134.83, 11.935),
    )
    values[:, [0, 1, 2, 3, 5]] = 1 / values[:, [0, 1, 2, 3, 5]]
    found = weighted_sum(values / values.sum(axis=0), np.full(7, 20.0))
    assert found == pytest.approx([0.12040426, 0.3458235, 0.13838192, 0.12841246, 0.12346084, 0.14351701])


def test_spotis_dezert(published):
    """Lower is better there and everything inside the bounds; ours is 1 less the distance from the ideal point."""
    one = published["spotis_dezert"]
    sides = zip(matrix(*one["matrix"]).T, one["bounds"], one["types"], strict=True)
    values = np.column_stack([aggregation.goalposts(column, low, high, kind == 1) for column, (low, high), kind in sides])
    weights = np.array(one["weights"])
    assert 1 - spotis(values, weights) == pytest.approx(one["values"], abs=5e-5)
    assert spotis(values, weights) == pytest.approx(weighted_sum(values, weights)), (
        "with goalposts as bounds it is the weighted sum"
    )


def test_promethee_ii_zhao():
    found = promethee_ii_pairwise(matrix((4, 3, 2), (3, 2, 4), (5, 1, 3)), np.array([0.5, 0.3, 0.2]), PLAIN)
    assert 2 * found - 1 == pytest.approx([0.1, -0.3, 0.2])


def test_min_max_pymcdm(published):
    one = published["minmax_pymcdm"]
    sides = zip(matrix(*one["matrix"]).T, one["types"], strict=True)
    found = np.column_stack([min_max(column, 0, 1, kind == 1) for column, kind in sides])
    assert found.ravel() == pytest.approx(one["out"])


def test_goalposts_and_distance_to_target_coinr(published):
    for one in published["goalposts_coinr"]["n_goalposts"]:
        low, high, _ = one["gposts"]
        assert aggregation.goalposts(np.array([float(one["x"])]), low, high, one["dir"] == 1)[0] == pytest.approx(one["y"])
    for one in published["goalposts_coinr"]["n_dist2targ"]:
        more = one["dir"] == 1
        low, high = (0, one["targ"]) if more else (one["targ"], 99)
        assert distance_to_target(np.array(one["x"], dtype=float), low, high, more, cap=one["cap"]) == pytest.approx(one["y"])


# ---- on paper ----


def test_geometric_mean_on_paper():
    """ε = .01: x' of 1 and .25 are 1 and .2575; √.2575 = .50744; (.50744 − .01)/.99 = .50247. No need anywhere is 0, worst is 1."""
    found = geometric_mean(matrix((1, 0.25), (0, 0), (1, 1), (1, 0)), np.array([0.5, 0.5]))
    assert found == pytest.approx([0.50247, 0, 1, (0.1 - 0.01) / 0.99], abs=1e-5)


def test_a_smaller_floor_pulls_down_harder():
    one, other = (geometric_mean(matrix((1, 0)), np.array([0.5, 0.5]), Thresholds(floor=floor))[0] for floor in (0.1, 0.001))
    assert one > other > 0


def test_promethee_against_goalposts_on_paper():
    """Thresholds .05 and .5: x = .05 is as none at all, .5 the middle, .95 as the worst; x = .275: P = .5, P(.725) = 1 → .25."""
    found = promethee_ii(np.array([[0.05], [0.5], [0.95], [0.275]]), np.ones(1))
    assert found == pytest.approx([0, 0.5, 1, 0.25])


def test_promethee_pairs_are_those_of_the_plain_sum():
    """All pairs compared one by one, with thresholds and ties, against the sorted sums."""
    rng = np.random.default_rng(3)
    values, weights = rng.random((40, 3)).round(1), np.array([0.5, 0.3, 0.2])
    limits = Thresholds(indifference=0.15, preference=0.55)
    gaps = values[:, None, :] - values[None, :, :]
    preferred = np.clip((gaps - 0.15) / 0.4, 0, 1)
    flow = ((preferred - preferred.transpose(1, 0, 2)) @ weights).sum(axis=1) / 39
    assert 2 * promethee_ii_pairwise(values, weights, limits) - 1 == pytest.approx(flow)


@pytest.mark.parametrize(
    ("function", "expected"),
    [(min_max, [0, NAN, 0.5, 1]), (rank, [0, NAN, 0.5, 1]), (z_score, [0.5 - 1.2247449 / 6, NAN, 0.5, 0.5 + 1.2247449 / 6])],
)
def test_normalisations_leave_unknown_unknown(function, expected):
    """10, unknown, 20, 30: mean 20, standard deviation √(200/3)."""
    assert function(np.array([10, NAN, 20, 30.0]), 0, 1) == pytest.approx(expected, nan_ok=True)
    assert function(np.array([10, NAN, 20, 30.0]), 0, 1, more=False) == pytest.approx(1 - np.array(expected), nan_ok=True)


@pytest.mark.parametrize("name", sorted(NORMALISATIONS))
def test_normalisation_of_nothing_and_of_equals(name):
    function = NORMALISATIONS[name]
    assert len(function(np.array([]), 0, 1, True)) == 0
    assert np.isnan(function(np.array([NAN, NAN]), 0, 1, True)).all()
    alike = function(np.array([3.0, 3.0, NAN]), 0, 6, True)
    assert alike[0] == alike[1]
    assert 0 <= alike[0] <= 1
    assert np.isnan(alike[2])


# ---- unknown ----


@pytest.mark.parametrize("name", FIXED)
def test_unknown_is_left_out_and_the_weights_scaled(name):
    """A unit that knows two of three criteria has the score of the two with their weights; one that knows nothing has none."""
    function, weights = AGGREGATIONS[name], np.array([0.2, 0.3, 0.5])
    found = function(matrix((0.4, NAN, 0.9), (NAN, NAN, NAN)), weights)
    assert found[0] == pytest.approx(function(matrix((0.4, 0.9)), np.array([0.2, 0.5]))[0])
    assert np.isnan(found[1])


@pytest.mark.parametrize("name", METHODS)
def test_no_rows_all_unknown_and_all_alike(name):
    function, weights = AGGREGATIONS[name], np.array([0.5, 0.5])
    assert function(np.empty((0, 2)), weights).shape == (0,)
    assert np.isnan(function(np.full((2, 2), NAN), weights)).all()
    alike = function(np.full((3, 2), 0.5), weights)
    assert alike == pytest.approx([0.5] * 3), "half the need everywhere is half the score in every method"


# ---- properties ----


def trials(rng, units=5):
    """20 sets of weights, each with 500 cities of a few units and 4 criteria, ties, goalposts and unknown values among them."""
    for _ in range(20):
        values = np.where(rng.random((500, units, 4)) < 0.3, rng.random((500, units, 4)).round(1), rng.random((500, units, 4)))
        values[rng.random(values.shape) < 0.15] = NAN
        yield values, rng.dirichlet(np.ones(4))


@pytest.mark.parametrize("name", FIXED)
def test_who_comes_or_goes_changes_nothing(name):
    """10,000 cities: one unit taken away or replaced by another, all others keep their score to the last bit, in any row order."""
    rng = np.random.default_rng(20)
    function = AGGREGATIONS[name]
    for values, weights in trials(rng):
        whole = function(values.reshape(-1, 4), weights).reshape(values.shape[:2])
        without = function(values[:, 1:].reshape(-1, 4), weights).reshape(len(values), -1)
        assert np.array_equal(whole[:, 1:], without, equal_nan=True)
        turned = function(np.asfortranarray(values.reshape(-1, 4)[::-1]), weights)[::-1]
        assert np.array_equal(whole.ravel(), turned, equal_nan=True)


@pytest.mark.parametrize("name", sorted(RELATIVE))
def test_relative_methods_do_turn_ranks_around(name):
    """The contrast: of 1,000 cities taken one by one, the order of the others changes in some when one unit leaves."""
    rng, weights, reversals = np.random.default_rng(21), np.array([0.4, 0.3, 0.3]), 0
    for values in rng.random((1000, 5, 3)):
        before, after = (AGGREGATIONS[name](part, weights) for part in (values, values[1:]))
        reversals += not np.array_equal(np.argsort(before[1:]), np.argsort(after))
    assert reversals > 0


def test_witnesses_of_rank_reversal(published):
    """Min-max: A < B before, A > B after a newcomer. Classical TOPSIS: the same. Fixed goalposts: neither."""
    for key, before_after in (("minmax_wsm", "minmax"), ("topsis", "topsis")):
        one = published["rank_reversal_witness"][key]
        weights = np.array(one["weights"])
        small, large = matrix(*one["base"]), matrix(*one["base"], one["add"])
        if before_after == "minmax":
            scores = [weighted_sum(np.column_stack([min_max(c, 0, 1) for c in part.T]), weights) for part in (small, large)]
        else:
            scores = [topsis_vector(part, weights) for part in (small, large)]
        assert scores[0] == pytest.approx(one["scores"], abs=5e-5)
        assert scores[1] == pytest.approx(one["scores_after"], abs=5e-5)
        order = [np.argsort(found[:3]).tolist() for found in scores]
        assert order[0] != order[1]
        for name in FIXED:
            kept = [AGGREGATIONS[name](part / 20, weights)[:3].tolist() for part in (small, large)]
            assert kept[0] == kept[1]


@pytest.mark.parametrize("name", FIXED)
def test_more_need_never_lowers_a_score(name):
    rng = np.random.default_rng(22)
    function = AGGREGATIONS[name]
    for values, weights in trials(rng):
        flat = values.reshape(-1, 4)
        worse = np.minimum(flat + rng.random(flat.shape) * (rng.random(flat.shape) < 0.5), 1.0)
        before, after = function(flat, weights), function(worse, weights)
        known = ~np.isnan(before)
        assert (after[known] >= before[known] - 1e-12).all()
        assert ((before[known] >= 0) & (before[known] <= 1 + 1e-12)).all()


@pytest.mark.parametrize("name", sorted(NORMALISATIONS))
def test_units_change_nothing(name):
    """Metres or kilometres, degrees Celsius or Fahrenheit: values and goalposts in another unit give the same place on the scale."""
    values = np.append(np.random.default_rng(25).normal(10, 5, 40), NAN)
    for more in (True, False):
        here = NORMALISATIONS[name](values, 2.0, 18.0, more)
        there = NORMALISATIONS[name](values * 1.8 + 32, 2 * 1.8 + 32, 18 * 1.8 + 32, more)
        assert there == pytest.approx(here, nan_ok=True)


@pytest.mark.parametrize("name", METHODS)
def test_contributions_sum_to_the_score(name):
    rng = np.random.default_rng(23)
    for values, weights in trials(rng):
        flat = values.reshape(-1, 4)
        flat[0] = 0.0
        score, parts = AGGREGATIONS[name](flat, weights), contributions(name, flat, weights)
        known = ~np.isnan(score)
        assert np.nansum(parts[known], axis=1) == pytest.approx(score[known], abs=1e-12)
        assert (np.isnan(parts) == np.isnan(flat)).all()
        assert (parts[~np.isnan(parts)] >= -1e-12).all()


@pytest.mark.parametrize("name", ["weighted_sum", "geometric_mean", "topsis", "spotis"])
def test_a_criterion_without_need_has_no_share(name):
    assert contributions(name, matrix((0.0, 0.7)), np.array([0.6, 0.4]))[0, 0] == pytest.approx(0, abs=1e-15)


# ---- oracles ----


@pytest.fixture(scope="module")
def decisions():
    """A matrix without ties, zeros or unknown values, and weights."""
    rng = np.random.default_rng(24)
    return rng.random((30, 5)) * 0.9 + 0.05, rng.dirichlet(np.ones(5))


def test_pymcdm_gives_the_same(decisions):
    methods = pytest.importorskip("pymcdm.methods")
    normalizations = pytest.importorskip("pymcdm.normalizations")
    values, weights = decisions
    more = np.ones(5)
    assert topsis_vector(values, weights) == pytest.approx(
        methods.TOPSIS(normalizations.vector_normalization)(values, weights, more)
    )
    theirs = methods.SPOTIS(np.array([[0.0, 1.0]] * 5))(values, weights, more)
    assert 1 - spotis(values, weights) == pytest.approx(theirs)
    usual = methods.PROMETHEE_II("usual")(values, weights, more)
    assert 2 * promethee_ii_pairwise(values, weights, PLAIN) - 1 == pytest.approx(usual)
    linear = methods.PROMETHEE_II("vshape_2", p=np.full(5, 0.5), q=np.full(5, 0.05))(values, weights, more)
    assert 2 * promethee_ii_pairwise(values, weights) - 1 == pytest.approx(linear)


def test_scikit_criteria_gives_the_same(decisions):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of its own dependencies, when it is imported
        skcriteria = pytest.importorskip("skcriteria")
        from skcriteria.agg.similarity import TOPSIS
        from skcriteria.agg.simple import WeightedProductModel, WeightedSumModel
        from skcriteria.preprocessing.scalers import VectorScaler
    values, weights = decisions
    decision = skcriteria.mkdm(values, objectives=[max] * 5, weights=weights)
    assert weighted_sum(values, weights) == pytest.approx(WeightedSumModel().evaluate(decision).e_.score)
    product = 10 ** np.asarray(WeightedProductModel().evaluate(decision).e_.score)
    assert geometric_mean(values, weights, Thresholds(floor=1e-12)) == pytest.approx(product)
    similar = TOPSIS().evaluate(VectorScaler(target="matrix").transform(decision)).e_.similarity
    assert topsis_vector(values, weights) == pytest.approx(similar)
