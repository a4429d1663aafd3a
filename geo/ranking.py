"""Rank: the highest score first, ties shown as ties, and what can't be assessed listed apart, not low.

Scores that differ by less than 1e-9 points are a tie: both get the better rank and the next one is skipped (1, 2, 2, 4).
"""

from __future__ import annotations

import pandas as pd

TIE = 1e-9


def rank(scores: pd.Series[float]) -> pd.DataFrame:
    """Ranks of scores, 1 = highest; NaN has no rank.

    Returns
    -------
    DataFrame
        Same index: `rank` (whole number, missing where not assessable), `tied`, `status` ("ranked" or "not_assessable").

    Examples
    --------
    >>> rank(pd.Series([10.0, 30.0, 10.0, None]))["rank"].tolist()
    [2, 1, 2, <NA>]
    """
    falling = scores.dropna().sort_values(ascending=False)
    step = (falling.diff().abs() >= TIE).cumsum().reindex(scores.index)
    place = step.rank(method="min").astype("Int64")
    tied = step.duplicated(keep=False) & step.notna()
    return pd.DataFrame(
        {"rank": place, "tied": tied, "status": scores.notna().map({True: "ranked", False: "not_assessable"}).astype("string")}
    )
