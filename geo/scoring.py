"""Score: each criterion between its fixed goalposts, weighted and added up over what is known.

``x̂ = clip((x − l) / (u − l), 0, 1)``, ``1 − x̂`` where less is more urgent; ``score = 100 Σ w x̂ / Σ w`` over the known criteria
(OECD/JRC Handbook on composite indicators, 2008). An unknown value never counts as zero: it is left out of the sum and lowers the
coverage ``Σ w known / Σ w``; below the scheme's minimum there is no score. `score_low` and `score_high` put every unknown
criterion at its best and worst and every uncertain value at its bounds, so the true score lies between them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from geo import registers
from geo.scheme import Criterion, Scheme

SCALE = 100.0


@dataclass(frozen=True)
class Scores:
    """Scores by neighbourhood.

    Attributes
    ----------
    table
        `score, score_low, score_high` (0 to 100, NaN below the minimum coverage), `coverage` (0 to 1).
    contributions
        One column a criterion, in points; they sum to the score. NaN where the criterion is unknown.
    normalised
        One column a criterion, 0 (no need) to 1 (worst goalpost); NaN unknown.
    parts
        Sub-scores by axis and sector (`axis_<name>`, `sector_<name>`), 0 to 100 over the known criteria of the part.
    """

    table: pd.DataFrame
    contributions: pd.DataFrame
    normalised: pd.DataFrame
    parts: pd.DataFrame


def between_goalposts(values: pd.Series[float], criterion: Criterion) -> pd.Series[float]:
    """Values between 0 and 1, 1 most urgent; NaN stays NaN.

    >>> from geo.scheme import read_scheme
    >>> health = read_scheme("rapid").criteria[3]
    >>> health.direction, health.goalposts
    ('less', (0.0, 2.0))
    >>> between_goalposts(pd.Series([0.2, 2.2, None]), health).tolist()
    [0.9, 0.0, nan]
    """
    low, high = criterion.goalposts
    share = ((values.astype("float64") - low) / (high - low)).clip(0.0, 1.0)
    return 1.0 - share if criterion.direction == "less" else share


def score(measures: pd.DataFrame, scheme: Scheme) -> Scores:
    """Scores of all neighbourhoods under a scheme.

    Parameters
    ----------
    measures
        Table of `geo.criteria.measure`. A criterion without a column is unknown everywhere. A value whose coverage is below the
        scheme's `minimum_surveyed` counts as unknown.
    """
    weights = pd.Series({one.measure: one.weight for one in scheme.criteria})
    best, low, high = (
        pd.DataFrame({one.measure: _normalised(measures, one, scheme, bound) for one in scheme.criteria})
        for bound in ("", "_low", "_high")
    )
    known = best.notna()
    coverage = (known * weights).sum(axis=1)
    total = coverage.where((coverage >= scheme.minimum_coverage - 1e-12) & (coverage > 0))
    contributions = (best * weights).div(total, axis=0) * SCALE
    assessable = total.notna()
    table = pd.DataFrame(
        {
            "score": contributions.sum(axis=1, skipna=True).where(assessable),
            "score_low": (low.fillna(0.0) * weights).sum(axis=1).where(assessable) * SCALE,
            "score_high": (high.fillna(1.0) * weights).sum(axis=1).where(assessable) * SCALE,
            "coverage": coverage.round(12),
        }
    )
    return Scores(table, contributions, best, _parts(best, scheme))


def _normalised(measures: pd.DataFrame, one: Criterion, scheme: Scheme, bound: str) -> pd.Series[float]:
    """One criterion between its goalposts, at its best value or at the bound that makes it less (`_low`) or more urgent."""
    if one.measure not in measures:
        return pd.Series(np.nan, index=measures.index)
    values = measures[one.measure].astype("float64")
    if bound:
        end = bound if one.direction == "more" else {"_low": "_high", "_high": "_low"}[bound]
        given = measures.get(f"{one.measure}{end}")
        values = values if given is None else given.astype("float64").fillna(values)
    if f"{one.measure}_coverage" in measures:
        values = values.mask(measures[f"{one.measure}_coverage"] < scheme.minimum_surveyed)
    return between_goalposts(values, one)


def _parts(normalised: pd.DataFrame, scheme: Scheme) -> pd.DataFrame:
    """Sub-score of each axis and sector over its known criteria; NaN where none is known."""
    sector_of = {name: row["sector"] for name, row in registers.register("measures").items()}
    groups: dict[str, list[Criterion]] = {}
    for one in scheme.criteria:
        groups.setdefault(f"axis_{one.axis}", []).append(one)
        groups.setdefault(f"sector_{sector_of[one.measure]}", []).append(one)
    return pd.DataFrame(
        {name: _weighted_mean(normalised, members) for name, members in sorted(groups.items())}, index=normalised.index
    )


def _weighted_mean(normalised: pd.DataFrame, members: list[Criterion]) -> pd.Series[float]:
    weights = pd.Series({one.measure: one.weight for one in members})
    values = normalised[list(weights.index)]
    known = (values.notna() * weights).sum(axis=1)
    return (values * weights).sum(axis=1) / known.where(known > 0) * SCALE
