"""Weights: published comparisons and tables, data weights against another library, what contradicts itself."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geo.aggregation import min_max
from geo.weights import CONSISTENT, ahp, critic, geometric_mean, merec, random_index, rank_order_centroid, rank_sum, shares


@pytest.fixture(scope="module")
def published(shared: Path):
    return json.loads((shared / "test_vectors.json").read_text(encoding="utf-8"))


def test_saaty_buying_a_house(published):
    one = published["ahp_saaty_house"]
    judged = ahp(np.array([[float(Fraction(value)) for value in row] for row in one["matrix"]]))
    assert judged.weights == pytest.approx(one["weights"], abs=6e-4)
    assert judged.lambda_max == pytest.approx(one["lambda_max"], abs=5e-4)
    assert judged.index == pytest.approx(one["CI"], abs=5e-4)
    assert judged.ratio == pytest.approx(one["CR_RI1.41"], abs=5e-4)


# Wang & Chin 2011, doi:10.1016/j.ins.2011.08.003
WANG_CHIN = np.array(
    [
        [1, 4, 3, 1, 3, 4],
        [1 / 4, 1, 7, 3, 1 / 5, 1],
        [1 / 3, 1 / 7, 1, 1 / 5, 1 / 5, 1 / 6],
        [1, 1 / 3, 5, 1, 1, 1 / 3],
        [1 / 3, 5, 5, 1, 1, 3],
        [1 / 4, 1, 6, 3, 1 / 3, 1],
    ]
)


def test_wang_chin_contradicts_itself():
    """Ratio .229: must warn. The first is judged 3 times the third, though it is nearly as strong as what is 5 to 7 times it."""
    judged = ahp(WANG_CHIN)
    assert judged.weights == pytest.approx([0.3208, 0.1395, 0.0348, 0.1285, 0.2374, 0.1391], abs=5e-5)
    assert judged.ratio == pytest.approx(0.229, abs=5e-4)
    assert judged.ratio > CONSISTENT
    assert judged.worst == (0, 2)
    assert judged.consistent == pytest.approx(0.3208 / 0.0348, rel=2e-3)


def test_mending_the_worst_pair_makes_it_more_consistent():
    judged = ahp(WANG_CHIN)
    row, column = judged.worst
    mended = WANG_CHIN.copy()
    mended[row, column], mended[column, row] = judged.consistent, 1 / judged.consistent
    assert ahp(mended).ratio < judged.ratio


@given(st.lists(st.floats(0.01, 1), min_size=2, max_size=10))
def test_consistent_judgements_give_their_weights_back(points):
    weights = np.array(points) / sum(points)
    judged = ahp(weights[:, None] / weights[None, :])
    assert judged.weights == pytest.approx(weights, rel=1e-6)
    assert abs(judged.ratio) < 1e-6


def test_random_index_is_the_published_one():
    assert [random_index()[n] for n in range(3, 11)] == [0.58, 0.90, 1.12, 1.24, 1.32, 1.41, 1.45, 1.49]


# Barron & Barrett 1996; the centroid of all weights that keep an order
ROC = {
    2: [0.75, 0.25],
    3: [0.6111, 0.2778, 0.1111],
    4: [0.5208, 0.2708, 0.1458, 0.0625],
    5: [0.4567, 0.2567, 0.1567, 0.0900, 0.0400],
}


@pytest.mark.parametrize("count", ROC)
def test_rank_order_centroid_tables(count):
    assert rank_order_centroid(count) == pytest.approx(ROC[count], abs=5e-5)


@given(st.integers(1, 40))
def test_orders_fall_and_sum_to_one(count):
    for weights in (rank_order_centroid(count), rank_sum(count)):
        assert weights.sum() == pytest.approx(1)
        assert (np.diff(weights) < 0).all()
        assert len(weights) == count


def test_shares_of_swing_points():
    assert shares(np.array([100.0, 50.0, 50.0])).tolist() == [0.5, 0.25, 0.25]


def test_geometric_mean_keeps_judgements_reciprocal():
    one, other = WANG_CHIN, WANG_CHIN.T
    found = geometric_mean(np.array([one, other]), np.array([3.0, 1.0]))
    assert found * found.T == pytest.approx(np.ones((6, 6)))
    assert found[0, 1] == pytest.approx(4**0.75 * 0.25**0.25)


def test_critic_and_merec_published(published):
    one = published["entropy_critic_merec"]
    values = np.array(one["critic"]["matrix"], dtype=float)
    assert critic(np.column_stack([min_max(c, 0, 1) for c in values.T])) == pytest.approx(one["critic"]["weights"], abs=6e-4)
    values, types = np.array(one["merec"]["matrix"], dtype=float), np.array(one["merec"]["types"])
    scaled = np.where(types == 1, values.min(axis=0) / values, values / values.max(axis=0))
    assert merec(scaled) == pytest.approx(one["merec"]["weights"], abs=5e-5)


def test_data_weights_leave_out_rows_with_unknown_values():
    values = np.random.default_rng(1).random((20, 4)) * 0.9 + 0.1
    holed = np.vstack([values, [np.nan, 0.5, 0.5, 0.5]])
    for function in (critic, merec):
        assert function(holed) == pytest.approx(function(values))
        assert np.isnan(function(np.full((3, 4), np.nan))).all()
    assert np.isnan(critic(np.full((3, 2), 0.5))).all(), "where nothing varies the spread says nothing"
    assert np.isnan(merec(np.ones((3, 2)))).all()


def test_pymcdm_gives_the_same():
    weights = pytest.importorskip("pymcdm.weights")
    values = np.random.default_rng(2).random((15, 4)) + 0.1
    more = np.ones(4)
    assert critic(np.column_stack([min_max(c, 0, 1) for c in values.T])) == pytest.approx(weights.critic_weights(values))
    assert merec(values.min(axis=0) / values) == pytest.approx(weights.merec_weights(values, more))
    assert ahp(WANG_CHIN).weights == pytest.approx(weights.subjective.AHP(matrix=WANG_CHIN)(), abs=1e-4)
