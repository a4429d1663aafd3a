"""SMAA: chances of ranks against closed forms, published values and plain counting."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geo import smaa

TWO = np.array([[1.0, 0.0], [0.0, 1.0], [0.6, 0.6]])


def draws_of(count, criteria, seed=1):
    return smaa.uniform(np.random.default_rng(seed), count, criteria)


@pytest.fixture(scope="module")
def vectors(shared):
    return json.loads((shared / "test_vectors.json").read_text(encoding="utf-8"))


def plain(values, weights):
    """The plain way: every score of every draw, and all of them compared."""
    scores = weights @ values.T
    places = (scores[:, None, :] > scores[:, :, None] + smaa.TIE).sum(axis=2)
    n = len(values)
    return np.array([[(places[:, i] == r).sum() for r in range(n)] for i in range(n)])


# Published


def test_two_criteria_have_the_closed_form(vectors):
    known = vectors["smaa_2crit"]
    found = smaa.acceptability([(TWO, draws_of(200_000, 2))])
    assert found.chance(1) == pytest.approx([known["first_rank_acceptability"][name] for name in "ABC"], abs=0.005)
    assert found.central_weights() == pytest.approx(np.array([known["central_weights"][name] for name in "ABC"]), abs=0.005)


def test_three_unit_alternatives():
    found = smaa.acceptability([(np.eye(3), draws_of(200_000, 3))])
    assert found.chance(1) == pytest.approx([1 / 3] * 3, abs=0.005)
    assert found.central_weights()[0] == pytest.approx([11 / 18, 7 / 36, 7 / 36], abs=0.005)


def test_nine_wins_of_ten(vectors):
    values = np.array([[1.0, 0.0], [0.0, 1.0]])
    weights = np.array([[0.9, 0.1]] * 9 + [[0.2, 0.8]])
    assert smaa.acceptability([(values, weights)]).winning().tolist() == vectors["smaa_pwi"]["pwi"]


def test_central_weights_average_to_those_drawn(vectors):
    """Each draw has one first: its weights are someone's. So it is in the published example, which was drawn uniformly."""
    known = vectors["smaa_thrombo"]
    parts = [known["rank_acceptability"][name][0] * np.array(known["central_weights"][name]) for name in known["central_weights"]]
    assert sum(parts) == pytest.approx([1 / 3] * 3, abs=0.01)
    weights = draws_of(5_000, 3)
    found = smaa.acceptability([(np.array([[0.9, 0.2, 0.3], [0.3, 0.5, 0.6]]), weights)])
    assert (found.chance(1)[:, None] * found.central_weights()).sum(axis=0) == pytest.approx(weights.mean(axis=0))


def test_dominated_is_never_first_and_has_no_central_weights():
    found = smaa.acceptability([(np.array([[0.5, 0.5], [0.4, 0.3]]), draws_of(1_000, 2))])
    assert found.chance(1).tolist() == [1.0, 0.0]
    assert np.isnan(found.central_weights()[1]).all()
    assert found.winning().tolist() == [[0, 1], [0, 0]]


def test_holistic_weighs_ranks_by_centroids():
    found = smaa.acceptability([(np.eye(2), np.array([[0.9, 0.1], [0.8, 0.2], [0.7, 0.3], [0.1, 0.9]]))])
    assert found.holistic() == pytest.approx([0.75 + 0.25 / 3, 0.25 + 0.75 / 3])


# Counting


@given(st.integers(2, 7), st.integers(1, 4), st.integers(0, 10_000))
def test_counts_are_those_of_counting(n, m, seed):
    rng = np.random.default_rng(seed)
    values, weights = rng.integers(0, 4, (n, m)) / 3, rng.dirichlet(np.ones(m), 60)
    found = smaa.acceptability([(values, weights[:25]), (values, weights[25:])])
    assert found.draws == 60
    assert (found.ranks == plain(values, weights)).all()
    assert (found.ranks.sum(axis=1) == 60).all()
    assert (found.wins + found.wins.T <= 60).all()


@given(st.integers(0, 10_000))
def test_leading_counts_the_same(seed):
    rng = np.random.default_rng(seed)
    values, weights = rng.integers(0, 5, (40, 3)) / 4, rng.dirichlet(np.ones(3), 50)
    assert (smaa.leading(values, weights, 5) == plain(values, weights)[:, :5]).all()


def test_leading_finds_a_specialist_among_thousands():
    """One that is last on the whole and first under rare weights is not lost by looking at the strong ones."""
    values = np.random.default_rng(0).random((3_000, 4)) * 0.5 + 0.4
    values[77] = [1.0, 0, 0, 0]
    weights = np.array([[0.97, 0.01, 0.01, 0.01], [0.25, 0.25, 0.25, 0.25]])
    assert smaa.leading(values, weights, 3)[77].tolist() == [1, 0, 0]


def test_ties_share_the_better_rank():
    found = smaa.acceptability([(np.array([[0.5], [0.5], [0.1]]), np.ones((10, 1)))])
    assert found.ranks.tolist() == [[10, 0, 0], [10, 0, 0], [0, 0, 10]]


def test_unknown_values_are_left_out_of_the_sum():
    values = np.array([[0.5, np.nan], [0.4, 0.8]])
    assert smaa.weighted_sum(values, np.array([[0.5, 0.5]])) == pytest.approx(np.array([[0.5, 0.6]]))
    assert smaa.weighted_sum(np.stack([values]), np.array([[0.5, 0.5]])) == pytest.approx(np.array([[0.5, 0.6]]))


def test_ranks_that_hold_in_a_share():
    found = smaa.acceptability([(np.eye(2), np.array([[0.9, 0.1]] * 96 + [[0.1, 0.9]] * 4))])
    assert found.rank_at(0.05).tolist() == [1, 2]
    assert found.rank_at(0.95).tolist() == [1, 2]
    assert found.rank_at(0.97).tolist() == [2, 2]


# Weights


@given(st.lists(st.integers(0, 5), min_size=1, max_size=6).filter(any), st.integers(0, 1_000))
def test_weights_are_weights(parts, seed):
    agreed, rng = np.array(parts) / sum(parts), np.random.default_rng(seed)
    low, high = agreed * 0.5, np.minimum(agreed * 2 + 0.05, 1)
    for drawn in (
        smaa.uniform(rng, 20, len(agreed)),
        smaa.around(rng, 20, agreed, 30),
        smaa.ordered(rng, 20, agreed),
        smaa.between(rng, 20, low, high, steps=10),
    ):
        assert drawn.shape == (20, len(agreed))
        assert drawn.sum(axis=1) == pytest.approx(np.ones(20))
        assert (drawn >= 0).all()
    assert (drawn >= low - 1e-9).all()
    assert (drawn <= high + 1e-9).all()


def test_weights_around_the_agreed_ones_have_their_mean_and_keep_zeros():
    agreed = np.array([0.6, 0.3, 0.1, 0.0])
    drawn = smaa.around(np.random.default_rng(1), 50_000, agreed, 20)
    assert drawn.mean(axis=0) == pytest.approx(agreed, abs=0.003)
    assert drawn.var(axis=0) == pytest.approx(agreed * (1 - agreed) / 21, rel=0.05)
    assert (drawn[:, 3] == 0).all()


def test_ordered_weights_keep_the_order_and_average_to_the_rank_order_centroid():
    drawn = smaa.ordered(np.random.default_rng(1), 100_000, np.array([0.2, 0.5, 0.3]))
    assert ((drawn[:, 1] >= drawn[:, 2]) & (drawn[:, 2] >= drawn[:, 0])).all()
    assert drawn.mean(axis=0) == pytest.approx([1 / 9, 11 / 18, 5 / 18], abs=0.004)
    alike = smaa.ordered(np.random.default_rng(1), 100_000, np.array([0.5, 0.5])).mean(axis=0)
    assert alike == pytest.approx([0.5, 0.5], abs=0.004)


def test_weights_between_bounds_are_spread_evenly():
    """Within bounds that allow everything they are uniform: each has mean 1/3 and variance 1/18."""
    drawn = smaa.between(np.random.default_rng(1), 40_000, np.zeros(3), np.ones(3))
    assert drawn.mean(axis=0) == pytest.approx([1 / 3] * 3, abs=0.005)
    assert drawn.var(axis=0) == pytest.approx([1 / 18] * 3, rel=0.03)
    narrow = smaa.between(np.random.default_rng(1), 20_000, np.array([0.2, 0, 0]), np.array([0.4, 1, 1]))
    assert narrow[:, 0].mean() < 0.3  # the less it has, the more ways are left to the others


def test_bounds_without_weights_are_refused():
    with pytest.raises(ValueError, match="no weights"):
        smaa.between(np.random.default_rng(1), 10, np.array([0.6, 0.6]), np.array([1.0, 1.0]))


# Bands


def test_bands_end_where_the_head_surely_wins():
    winning = np.array([[0, 0.6, 0.99, 1], [0.4, 0, 0.97, 1], [0.01, 0.03, 0, 0.8], [0, 0, 0.2, 0]])
    assert smaa.bands(winning, np.arange(4), 0.95).tolist() == [1, 1, 2, 2]
    assert smaa.bands(winning, np.arange(4), 0.995).tolist() == [1, 1, 1, 2]
