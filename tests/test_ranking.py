"""Ranks: highest first, ties as ties, and the unknown apart."""

from __future__ import annotations

import numpy as np
import pandas as pd
from hypothesis import given
from hypothesis import strategies as st

from geo.ranking import rank


def test_ties_share_the_better_rank_and_the_next_is_skipped():
    found = rank(pd.Series([50.0, 70.0, 50.0, 20.0, None], index=[*"abcde"]))
    assert found["rank"].tolist() == [2, 1, 2, 4, pd.NA]
    assert found["tied"].tolist() == [True, False, True, False, False]
    assert found["status"].tolist() == ["ranked"] * 4 + ["not_assessable"]


def test_tie_is_a_difference_below_a_billionth_wherever_it_lies():
    """0.4999… and 0.5000… of the last digit: rounding would part them, their difference is a thousandth of the limit."""
    score = 10.0000000005
    assert rank(pd.Series([score - 5e-13, score + 5e-13, score + 2e-9]))["rank"].tolist() == [2, 2, 1]


def test_nothing_assessable():
    found = rank(pd.Series([np.nan, np.nan]))
    assert found["rank"].isna().all()
    assert not found["tied"].any()


@given(st.lists(st.one_of(st.none(), st.integers(0, 5).map(float)), min_size=1, max_size=12), st.randoms(use_true_random=False))
def test_rank_is_one_more_than_the_number_of_higher_scores(scores, rng):
    series = pd.Series(scores, dtype="float64")
    found = rank(series)
    for row, value in series.dropna().items():
        assert found.at[row, "rank"] == 1 + (series > value).sum()
    order = list(series.index)
    rng.shuffle(order)
    pd.testing.assert_frame_equal(rank(series.loc[order]).loc[series.index], found)
