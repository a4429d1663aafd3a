"""Aggregation: ways to put criteria on one scale, and ways to make one number of them, side by side.

A normalisation turns the values of a criterion into 0 (no need) to 1 (worst); an aggregation turns the normalised criteria of each
neighbourhood and the weights into one score, 0 to 1. **An unknown criterion is left out and the weights of the known ones are
scaled to sum to 1**, in every method, as in the weighted sum; what that means is said at each. Where a method can, it is tied to
fixed points, the goalposts 0 and 1, instead of the best and worst neighbourhood present: then a neighbourhood that comes or goes
changes nothing for the others. `RELATIVE` and `RELATIVE_NORMALISATIONS` name the ways that can't be tied and may reverse ranks
(Belton & Gear 1983; Dezert et al. 2020, doi:10.23919/FUSION45190.2020.9190347). Known bias: no method knows what a city wants;
where they disagree the weights and the goalposts do not settle the order.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float64]
MethodName = Literal["weighted_sum", "geometric_mean", "topsis", "spotis", "promethee_ii", "topsis_vector", "promethee_ii_pairwise"]
NormalisationName = Literal["goalposts", "min_max", "z_score", "rank", "distance_to_target"]
DEVIATIONS = 3.0


@dataclass(frozen=True)
class Thresholds:
    """Numbers that some methods need.

    Attributes
    ----------
    floor
        What a normalised 0 counts as in the geometric mean, so that one criterion without need does not erase the others.
    indifference, preference
        PROMETHEE: a difference up to the first counts nothing, from the second on it counts fully, between them in proportion.
    """

    floor: float = 0.01
    indifference: float = 0.05
    preference: float = 0.5


USUAL = Thresholds()


def _known(normalised: Floats, weights: Floats) -> tuple[Floats, Floats]:
    """Values with 0 for unknown; weights row by row, 0 where unknown, else summing to 1, NaN in a row where nothing is known."""
    values = np.ascontiguousarray(normalised, dtype=np.float64)  # one memory order: a row's sum never depends on its neighbours
    known = ~np.isnan(values)
    shares = np.where(known, np.asarray(weights, dtype=np.float64), 0.0)
    total = shares.sum(axis=1, keepdims=True)
    return np.where(known, values, 0.0), shares / np.where(total > 0, total, np.nan)


def weighted_sum(normalised: Floats, weights: Floats, thresholds: Thresholds = USUAL) -> Floats:
    """``Σ w x / Σ w`` over the known criteria: full compensation, a criterion can make up for another.

    Parameters
    ----------
    normalised
        Shape (n, m), 0 to 1, 1 most urgent, NaN unknown.
    weights
        Shape (m,), not negative.
    thresholds
        Not used here.

    Returns
    -------
    ndarray
        Shape (n,), 0 to 1, NaN where nothing is known.

    Examples
    --------
    >>> weighted_sum(np.array([[1.0, 0.5], [1.0, np.nan]]), np.array([0.5, 0.5])).tolist()
    [0.75, 1.0]
    """
    values, shares = _known(normalised, weights)
    return np.asarray((values * shares).sum(axis=1))


def geometric_mean(normalised: Floats, weights: Floats, thresholds: Thresholds = USUAL) -> Floats:
    """``(Π x'^w − ε) / (1 − ε)`` with ``x' = ε + (1 − ε) x``: partial compensation; urgent is who has need on all sides.

    Zeros: x is shifted to [ε, 1] (as the OECD/JRC Handbook 2008 and the Human Development Index do) and the mean shifted back, so
    that no need at all is 0 and the worst is 1. The smaller ε (`floor`), the harder one criterion without need pulls down.
    Unknown criteria are left out: the mean is over the rest.

    >>> geometric_mean(np.array([[1.0, 0.25], [1.0, 0.0]]), np.array([0.5, 0.5]), Thresholds(floor=1e-12)).round(3).tolist()
    [0.5, 0.0]
    """
    values, shares = _known(normalised, weights)
    floor = thresholds.floor
    mean = np.exp((shares * np.log(floor + (1 - floor) * values)).sum(axis=1))
    return np.asarray(np.clip((mean - floor) / (1 - floor), 0.0, 1.0))


def topsis(normalised: Floats, weights: Floats, thresholds: Thresholds = USUAL) -> Floats:
    """``d⁻ / (d⁺ + d⁻)``, weighted Euclidean distances from no need (0) and from the worst goalposts (1).

    TOPSIS (Hwang & Yoon 1981) with fixed ideal points, so that it can't reverse ranks. Unknown criteria add to neither distance.

    >>> topsis(np.array([[1.0, 0.0], [0.75, 0.5]]), np.array([0.5, 0.5])).round(3).tolist()
    [0.5, 0.617]
    """
    values, shares = _known(normalised, weights)
    return _closeness(shares * values, shares * (1 - values))


def spotis(normalised: Floats, weights: Floats, thresholds: Thresholds = USUAL) -> Floats:
    """``1 − Σ w |x − 1|``: 1 less the SPOTIS distance (Dezert et al. 2020) from the ideal point "worst in everything".

    With goalposts as the bounds and the worst goalposts as ideal point this **is** the weighted sum, by another road. Unknown
    criteria add no distance and the weights of the others are scaled.

    >>> spotis(np.array([[1.0, 0.5]]), np.array([0.5, 0.5])).tolist()
    [0.75]
    """
    values, shares = _known(normalised, weights)
    return np.asarray(1 - (shares * np.abs(values - 1)).sum(axis=1))


def promethee_ii(normalised: Floats, weights: Floats, thresholds: Thresholds = USUAL) -> Floats:
    """PROMETHEE II net flow (Brans & Vincke 1985) against two fixed profiles, the goalposts 0 and 1, brought to 0 to 1.

    ``½ Σ w (1 + P(x) − P(1 − x))`` with P from 0 at `indifference` to 1 at `preference`: with the
    default thresholds a need within 0.05 of a goalpost counts as at the goalpost. Unknown criteria are left out of the flow.

    >>> promethee_ii(np.array([[1.0], [0.5], [0.04]]), np.array([1.0])).round(3).tolist()
    [1.0, 0.5, 0.0]
    """
    values, shares = _known(normalised, weights)
    return np.asarray((shares * against_goalposts(values, thresholds)).sum(axis=1))


def topsis_vector(normalised: Floats, weights: Floats, thresholds: Thresholds = USUAL) -> Floats:
    """TOPSIS as first published: columns divided by their length, distances from best and worst **present**. Reverses ranks.

    Takes any numbers where more is more urgent (negate the others). Unknown criteria add to neither distance; all alike: 0.5.

    >>> matrix = np.array([[5, 8, 4], [7, 6, 8], [8, 8, 6], [7, 4, 6]], dtype=float)  # Tzeng & Huang 2011
    >>> topsis_vector(matrix, np.array([0.3, 0.4, 0.3])).round(4).tolist()
    [0.5037, 0.6581, 0.7482, 0.334]
    """
    values, shares = _known(normalised, weights)
    far, near = _from_present(normalised, values)
    return _closeness(shares * far, shares * near)


def promethee_ii_pairwise(normalised: Floats, weights: Floats, thresholds: Thresholds = USUAL) -> Floats:
    """PROMETHEE II net flow over all pairs of neighbourhoods, brought from −1…1 to 0…1. May reverse ranks.

    The net flow is the weighted mean of the flows of single criteria, each against the neighbourhoods where that criterion is
    known; the unknown ones are left out of the mean. It takes n log n steps, not n².

    >>> matrix = np.array([[4, 3, 2], [3, 2, 4], [5, 1, 3]], dtype=float)  # Zhao, Peng & Li 2013
    >>> found = promethee_ii_pairwise(matrix, np.array([0.5, 0.3, 0.2]), Thresholds(indifference=0, preference=0))
    >>> (2 * found - 1).round(3).tolist()
    [0.1, -0.3, 0.2]
    """
    _, shares = _known(normalised, weights)
    return np.asarray((shares * flows(normalised, thresholds)).sum(axis=1))


def _closeness(far: Floats, near: Floats) -> Floats:
    away, toward = np.sqrt((far**2).sum(axis=1)), np.sqrt((near**2).sum(axis=1))
    both = away + toward
    return np.where(both > 0, away / np.where(both > 0, both, 1.0), np.where(np.isnan(both), np.nan, 0.5))


def _preferred(difference: Floats, thresholds: Thresholds) -> Floats:
    """How much a difference counts, 0 to 1: the linear preference function with an area of indifference."""
    width = thresholds.preference - thresholds.indifference
    if width <= 0:
        return np.asarray(difference > thresholds.indifference, dtype=np.float64)
    return np.clip((difference - thresholds.indifference) / width, 0.0, 1.0)


def against_goalposts(values: Floats, thresholds: Thresholds) -> Floats:
    """What each value counts in `promethee_ii`, 0 to 1; NaN stays NaN."""
    return np.asarray((1 + _preferred(values, thresholds) - _preferred(1 - values, thresholds)) / 2)


def _from_present(normalised: Floats, values: Floats) -> tuple[Floats, Floats]:
    """Distance of each value from the lowest and to the highest of its column, columns divided by their length; unknown: 0."""
    length = np.sqrt((values**2).sum(axis=0))
    scaled = np.asarray(normalised) / np.where(length > 0, length, 1.0)
    known = ~np.isnan(scaled)
    seen = known.any(axis=0)
    worst = np.where(seen, np.where(known, scaled, np.inf).min(axis=0, initial=np.inf), 0.0)
    best = np.where(seen, np.where(known, scaled, -np.inf).max(axis=0, initial=-np.inf), 0.0)
    return np.where(known, scaled - worst, 0.0), np.where(known, best - scaled, 0.0)


def flows(normalised: Floats, thresholds: Thresholds) -> Floats:
    """Net flow of each criterion alone, brought to 0 to 1; 0 where unknown."""
    flows = [_flow(column, thresholds) for column in np.asarray(normalised, dtype=np.float64).T]
    return np.ascontiguousarray(np.array(flows).T.reshape(normalised.shape))


def _flow(column: Floats, thresholds: Thresholds) -> Floats:
    known = ~np.isnan(column)
    values = column[known]
    others = max(len(values) - 1, 1)
    ordered = np.sort(values)
    sums = np.concatenate([[0.0], np.cumsum(ordered)])
    over = _advantage(values, ordered, sums, thresholds)
    under = _advantage(-values, -ordered[::-1], np.concatenate([[0.0], np.cumsum(-ordered[::-1])]), thresholds)
    found = np.zeros(len(column))
    found[known] = ((over - under) / others + 1) / 2
    return found


def _advantage(values: Floats, ordered: Floats, sums: Floats, thresholds: Thresholds) -> Floats:
    """``Σ_k P(x − x_k)`` for each x: those far below count 1, those between the thresholds in proportion."""
    low, high = thresholds.indifference, thresholds.preference
    near = np.searchsorted(ordered, values - low, side="left")
    if high <= low:
        return near.astype(np.float64)
    far = np.minimum(np.searchsorted(ordered, values - high, side="right"), near)
    between = (near - far) * (values - low) - (sums[near] - sums[far])
    return np.asarray(far + np.clip(between / (high - low), 0.0, None))


Aggregation = Callable[..., Floats]
AGGREGATIONS: Mapping[str, Aggregation] = MappingProxyType(
    {
        "weighted_sum": weighted_sum,
        "geometric_mean": geometric_mean,
        "topsis": topsis,
        "spotis": spotis,
        "promethee_ii": promethee_ii,
        "topsis_vector": topsis_vector,
        "promethee_ii_pairwise": promethee_ii_pairwise,
    }
)
METHODS: tuple[MethodName, ...] = get_args(MethodName)
RELATIVE = frozenset({"topsis_vector", "promethee_ii_pairwise"})


def contributions(method: str, normalised: Floats, weights: Floats, thresholds: Thresholds = USUAL) -> Floats:
    """Each criterion's share of the score; a row sums to the score of `AGGREGATIONS[method]`. NaN where unknown.

    The score is shared out in proportion to each criterion's part in the distance from "no need", in the method's own measure:
    ``w x`` (weighted sum, SPOTIS), ``w ln(x'/ε)`` (geometric mean), ``w² x²`` (TOPSIS), the weighted flow (PROMETHEE). For the
    weighted sum that is ``w x`` itself. A criterion without need has no share. It is exact for any number of criteria; it is not
    the change of the score if the criterion were mended (in methods that do not add up there is no single such number).

    >>> contributions("topsis", np.array([[1.0, 0.5]]), np.array([0.5, 0.5])).round(4).tolist()  # d⁻² = 1/4 + 1/16: 4 to 1
    [[0.5528, 0.1382]]
    """
    score = AGGREGATIONS[method](normalised, weights, thresholds)[:, None]
    values, shares = _known(normalised, weights)
    parts = _PARTS[method](normalised, values, shares, thresholds)
    total = parts.sum(axis=1, keepdims=True)
    given = np.where(total > 0, score * parts / np.where(total > 0, total, 1.0), score * shares)
    return np.where(np.isnan(normalised), np.nan, given)


_PARTS: Mapping[str, Callable[[Floats, Floats, Floats, Thresholds], Floats]] = MappingProxyType(
    {
        "weighted_sum": lambda normalised, values, shares, thresholds: shares * values,
        "spotis": lambda normalised, values, shares, thresholds: shares * values,
        "geometric_mean": lambda normalised, values, shares, thresholds: (
            shares * np.log1p((1 - thresholds.floor) * values / thresholds.floor)
        ),
        "topsis": lambda normalised, values, shares, thresholds: (shares * values) ** 2,
        "promethee_ii": lambda normalised, values, shares, thresholds: shares * against_goalposts(values, thresholds),
        "topsis_vector": lambda normalised, values, shares, thresholds: (shares * _from_present(normalised, values)[0]) ** 2,
        "promethee_ii_pairwise": lambda normalised, values, shares, thresholds: shares * flows(normalised, thresholds),
    }
)


def goalposts(values: Floats, low: float, high: float, more: bool = True) -> Floats:
    """``clip((x − l) / (u − l), 0, 1)``, and 1 less that where less is more urgent; nobody else matters."""
    share = np.clip((values - low) / (high - low), 0.0, 1.0)
    return share if more else 1.0 - share


def min_max(values: Floats, low: float, high: float, more: bool = True) -> Floats:
    """Between the least and the largest value present; 0.5 where all are alike. Reverses ranks.

    >>> min_max(np.array([66.0, 61, 65, 95, 63, 74]), 0, 1, more=False).round(4).tolist()
    [0.8529, 1.0, 0.8824, 0.0, 0.9412, 0.6176]
    """
    least, largest = _ends(values)
    share = (values - least) / (largest - least) if largest > least else np.where(np.isnan(values), np.nan, 0.5)
    return np.asarray(share if more else 1.0 - share)


def z_score(values: Floats, low: float, high: float, more: bool = True) -> Floats:
    """Standard deviations from the mean of those present: −3 is 0, the mean 0.5, +3 is 1, beyond them cut. Reverses ranks."""
    known = values[~np.isnan(values)]
    spread = float(known.std()) if len(known) else 0.0
    if spread <= 0:
        return np.where(np.isnan(values), np.nan, 0.5)
    share = np.clip((values - known.mean()) / spread / (2 * DEVIATIONS) + 0.5, 0.0, 1.0)
    return np.asarray(share if more else 1.0 - share)


def rank(values: Floats, low: float, high: float, more: bool = True) -> Floats:
    """Percentile rank among those present, ties in the middle: 0 the least, 1 the largest (a Borda count). Reverses ranks.

    >>> rank(np.array([10.0, 30.0, 30.0, 1000.0]), 0, 1).round(2).tolist()
    [0.0, 0.5, 0.5, 1.0]
    """
    known = ~np.isnan(values)
    _, inverse, counts = np.unique(values[known], return_inverse=True, return_counts=True)
    place = (np.cumsum(counts) - (counts + 1) / 2)[inverse]
    share = np.full(len(values), np.nan)
    share[known] = place / (known.sum() - 1) if known.sum() > 1 else 0.5
    return share if more else 1.0 - share


def distance_to_target(values: Floats, low: float, high: float, more: bool = True, *, cap: bool = True) -> Floats:
    """How far from the least need present to the target, the worst goalpost; `cap`: no more than 1. Reverses ranks.

    As COINr's `n_dist2targ` (Becker et al. 2022, doi:10.21105/joss.04567).

    >>> distance_to_target(np.array([0.0, 5, 11]), 0, 10, cap=False).tolist()
    [0.0, 0.5, 1.1]
    >>> distance_to_target(np.array([-1.0, 1, 10]), 0, 10, more=False).tolist()
    [1.0, 0.9, 0.0]
    """
    least, largest = _ends(values)
    start, target = (least, high) if more else (-largest, -low)
    need = values if more else -values
    share = (need - start) / (target - start) if target > start else np.where(np.isnan(values), np.nan, 1.0)
    return np.asarray(np.minimum(share, 1.0) if cap else share)


def _ends(values: Floats) -> tuple[float, float]:
    known = values[~np.isnan(values)]
    return (float(known.min()), float(known.max())) if len(known) else (0.0, 0.0)


Normalisation = Callable[[Floats, float, float, bool], Floats]
NORMALISATIONS: Mapping[str, Normalisation] = MappingProxyType(
    {"goalposts": goalposts, "min_max": min_max, "z_score": z_score, "rank": rank, "distance_to_target": distance_to_target}
)
RELATIVE_NORMALISATIONS = frozenset(NORMALISATIONS) - {"goalposts"}
