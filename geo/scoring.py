"""Score: each criterion on one scale, put together by the scheme's method over what is known.

By default ``x̂ = clip((x − l) / (u − l), 0, 1)`` between fixed goalposts, ``1 − x̂`` where less is more urgent, and
``score = 100 Σ w x̂ / Σ w`` over the known criteria (OECD/JRC Handbook on composite indicators, 2008); `geo.aggregation` has
the other methods and normalisations. An unknown value never counts as zero: it is left out of the sum and lowers the coverage
``Σ w known / Σ w``; below the scheme's minimum there is no score. `score_low` and `score_high` put every unknown criterion at its
best and worst and every uncertain value at its bounds, so the true score lies between them: no method tied to goalposts falls
when a need grows. Where scores depend on the other neighbourhoods there are no such bounds, and they are NaN.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from geo import registers
from geo.aggregation import AGGREGATIONS, NORMALISATIONS, RELATIVE, RELATIVE_NORMALISATIONS, Floats, contributions
from geo.errors import Finding, finding
from geo.messages import Message, message
from geo.scheme import Criterion, Scheme

SCALE = 100.0
METHOD_NAMES: dict[str, Message] = {
    "weighted_sum": message("Weighted sum"),
    "geometric_mean": message("Weighted geometric mean"),
    "topsis": message("TOPSIS between goalposts"),
    "spotis": message("SPOTIS"),
    "promethee_ii": message("PROMETHEE II against goalposts"),
    "topsis_vector": message("TOPSIS, classical"),
    "promethee_ii_pairwise": message("PROMETHEE II, all pairs"),
}
NORMALISATION_NAMES: dict[str, Message] = {
    "goalposts": message("fixed goalposts"),
    "min_max": message("minimum to maximum"),
    "z_score": message("standard deviations"),
    "rank": message("percentile rank"),
    "distance_to_target": message("distance to target"),
}


@dataclass(frozen=True)
class Scores:
    """Scores by neighbourhood.

    Attributes
    ----------
    table
        `score, score_low, score_high` (0 to 100, NaN below the minimum coverage; the bounds NaN where scores depend on the other
        neighbourhoods), `coverage` (0 to 1).
    contributions
        One column a criterion, in points; they sum to the score (`geo.aggregation.contributions`). NaN where it is unknown.
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
    numbers = np.asarray(values.astype("float64"), dtype=np.float64)
    return pd.Series(NORMALISATIONS["goalposts"](numbers, *criterion.goalposts, criterion.direction == "more"), index=values.index)


def is_relative(scheme: Scheme) -> bool:
    """Whether scores depend on the other neighbourhoods, so that ranks can turn around when one comes or goes."""
    return scheme.method in RELATIVE or scheme.normalisation in RELATIVE_NORMALISATIONS


def cautions(scheme: Scheme) -> tuple[Finding, ...]:
    """What a reader of a list under this scheme should know of its method and of the judgements of its groups."""
    found = list(scheme.weighed().findings) if scheme.groups else []
    if is_relative(scheme):
        found.append(
            finding(
                "rank-reversal",
                "warning",
                f"{scheme.id}.toml",
                message(
                    "Method '{method}' with '{normalisation}': scores depend on which neighbourhoods are in the list; one that "
                    "comes or goes can turn the order of others around.",
                    method=METHOD_NAMES[scheme.method],
                    normalisation=NORMALISATION_NAMES[scheme.normalisation],
                ),
                expected=message("Scores have no low and high here."),
                remedy=message("With fixed goalposts the weighted sum, the geometric mean, TOPSIS, SPOTIS or PROMETHEE II do not."),
            )
        )
    return tuple(found)


def score(measures: pd.DataFrame, scheme: Scheme) -> Scores:
    """Scores of all neighbourhoods under a scheme.

    Parameters
    ----------
    measures
        Table of `geo.criteria.measure`. A criterion without a column is unknown everywhere. A value whose coverage is below the
        scheme's `minimum_surveyed` counts as unknown.
    """
    best = normalised(measures, scheme)
    values, weights = _array(best), weights_of(scheme)
    total = total_score(values, weights, scheme)
    coverage = np.where(np.isnan(values), 0.0, weights).sum(axis=1)
    low, high = (np.full(len(best), np.nan),) * 2 if is_relative(scheme) else _bounds(measures, weights, scheme)
    assessable = ~np.isnan(total)
    points = contributions(scheme.method, values, weights, scheme.thresholds())
    points = np.where(assessable[:, None], points, np.nan) * SCALE
    table = pd.DataFrame(
        {
            "score": np.where(assessable, np.nansum(points, axis=1), np.nan),
            "score_low": np.where(assessable, low, np.nan) * SCALE,
            "score_high": np.where(assessable, high, np.nan) * SCALE,
            "coverage": coverage.round(12),
        },
        index=best.index,
    )
    return Scores(table, pd.DataFrame(points, index=best.index, columns=best.columns), best, _parts(best, scheme))


def weights_of(scheme: Scheme) -> Floats:
    """The weights in the order of the scheme's criteria."""
    return np.array([one.weight for one in scheme.criteria])


def total_score(values: Floats, weights: Floats, scheme: Scheme) -> Floats:
    """Scores, 0 to 1, of criteria on one scale; NaN below the scheme's minimum coverage."""
    coverage = np.where(np.isnan(values), 0.0, weights).sum(axis=1)
    scores = AGGREGATIONS[scheme.method](values, weights, scheme.thresholds())
    return np.where((coverage >= scheme.minimum_coverage * weights.sum() - 1e-12) & (coverage > 0), scores, np.nan)


def _bounds(measures: pd.DataFrame, weights: Floats, scheme: Scheme) -> tuple[Floats, Floats]:
    """Scores with every unknown criterion at its best and worst and every uncertain value at its bounds."""
    low, high = (
        AGGREGATIONS[scheme.method](_array(normalised(measures, scheme, end).fillna(limit)), weights, scheme.thresholds())
        for end, limit in (("_low", 0.0), ("_high", 1.0))
    )
    return low, high


def _array(table: pd.DataFrame) -> Floats:
    return np.ascontiguousarray(table.to_numpy(dtype="float64"))


def normalised(measures: pd.DataFrame, scheme: Scheme, bound: str = "") -> pd.DataFrame:
    """All criteria on one scale, 0 (no need) to 1 (worst); NaN unknown. `bound`: "", "_low" (less urgent) or "_high"."""
    return pd.DataFrame({one.measure: _normalised(measures, one, scheme, bound) for one in scheme.criteria}, index=measures.index)


def _normalised(measures: pd.DataFrame, one: Criterion, scheme: Scheme, bound: str) -> Floats:
    """One criterion on the scale, at its best value or at the bound that makes it less (`_low`) or more urgent."""
    if one.measure not in measures:
        return np.full(len(measures), np.nan)
    values = _numbers(measures, one.measure)
    if bound:
        end = bound if one.direction == "more" else {"_low": "_high", "_high": "_low"}[bound]
        if f"{one.measure}{end}" in measures:
            given = _numbers(measures, f"{one.measure}{end}")
            values = np.where(np.isnan(given), values, given)
    if f"{one.measure}_coverage" in measures:
        values = np.where(_numbers(measures, f"{one.measure}_coverage") < scheme.minimum_surveyed, np.nan, values)
    return NORMALISATIONS[scheme.normalisation](values, *one.goalposts, one.direction == "more")


def _numbers(measures: pd.DataFrame, column: str) -> Floats:
    return np.asarray(measures[column].to_numpy(dtype="float64", na_value=np.nan))


def _parts(normalised: pd.DataFrame, scheme: Scheme) -> pd.DataFrame:
    """Sub-score of each axis and sector, by the scheme's method, over its known criteria; NaN where none is known."""
    sector_of = {name: row["sector"] for name, row in registers.register("measures").items()}
    groups: dict[str, list[Criterion]] = {}
    for one in scheme.criteria:
        groups.setdefault(f"axis_{one.axis}", []).append(one)
        groups.setdefault(f"sector_{sector_of[one.measure]}", []).append(one)
    values = _array(normalised)
    return pd.DataFrame(
        {name: _part_score(values, members, scheme) for name, members in sorted(groups.items())}, index=normalised.index
    )


def _part_score(values: Floats, members: list[Criterion], scheme: Scheme) -> Floats:
    places = [scheme.criteria.index(one) for one in members]
    weights = np.array([one.weight for one in members])
    return AGGREGATIONS[scheme.method](values[:, places], weights, scheme.thresholds()) * SCALE
