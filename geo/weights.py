"""Weights: from judgements to shares that sum to 1, and what the data alone would say.

Five ways to ask: shares outright, swing points, an order (rank-order centroid or rank sum), comparisons of pairs (AHP). Known
biases: an order holds less than its centroid pretends; AHP's 1-to-9 scale stretches preferences, and its consistency ratio says
whether somebody agrees with himself, not whether he is right. `critic` and `merec` derive weights from the spread of the data; they
are shown beside the chosen weights and never replace them: what differs most between neighbourhoods is not what matters most.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from geo import registers
from geo.aggregation import Floats

CONSISTENT = 0.10  # Saaty 1980: above this ratio the judgements should be looked at again


def shares(points: Floats) -> Floats:
    """Weights of points: direct weights, or swing points (100 for the swing that matters most); they are scaled to sum to 1.

    >>> shares(np.array([100.0, 60.0, 40.0])).tolist()
    [0.5, 0.3, 0.2]
    """
    return np.asarray(points / points.sum())


def rank_order_centroid(count: int) -> Floats:
    """``w_k = (1/K) Σ_{j≥k} 1/j``: the middle of all weights that keep the order (Barron & Barrett 1996), first to last.

    >>> rank_order_centroid(3).round(4).tolist()
    [0.6111, 0.2778, 0.1111]
    """
    return np.asarray(np.cumsum(1 / np.arange(count, 0, -1))[::-1] / count)


def rank_sum(count: int) -> Floats:
    """``w_k = 2 (K + 1 − k) / (K (K + 1))`` (Stillwell, Seaver & Edwards 1981), first to last; flatter than the centroid.

    >>> rank_sum(3).round(4).tolist()
    [0.5, 0.3333, 0.1667]
    """
    return np.asarray(np.arange(count, 0, -1) * 2 / (count * (count + 1)))


ORDERS = {"roc": rank_order_centroid, "rank_sum": rank_sum}


@dataclass(frozen=True)
class Judged:
    """What a table of pairwise comparisons says.

    Attributes
    ----------
    weights
        Principal eigenvector, sum 1.
    lambda_max, index, ratio
        Principal eigenvalue, consistency index ``(λ − n) / (n − 1)``, consistency ratio (over the random index; 0 up to two items).
    worst, consistent
        Row and column of the judgement farthest from what the weights say, and the value that would agree with them.
    """

    weights: Floats
    lambda_max: float
    index: float
    ratio: float
    worst: tuple[int, int]
    consistent: float


def ahp(matrix: Floats) -> Judged:
    """Weights and consistency of pairwise comparisons (Saaty 1980).

    Parameters
    ----------
    matrix
        Shape (n, n), positive and reciprocal: how many times the row matters as much as the column.

    Examples
    --------
    >>> judged = ahp(np.array([[1, 2, 6], [1 / 2, 1, 3], [1 / 6, 1 / 3, 1]]))
    >>> judged.weights.round(3).tolist(), abs(round(judged.ratio, 6))
    ([0.6, 0.3, 0.1], 0.0)
    """
    count = len(matrix)
    values, vectors = np.linalg.eig(matrix)
    first = int(np.argmax(values.real))
    weights = np.abs(vectors[:, first].real)
    weights = weights / weights.sum()
    largest = float(values[first].real)
    index = (largest - count) / (count - 1) if count > 1 else 0.0
    random = random_index()[count]
    gap = np.abs(np.log(matrix * weights[None, :] / weights[:, None]))
    row, column = (int(place) for place in np.unravel_index(int(np.triu(gap).argmax()), gap.shape))
    return Judged(weights, largest, index, index / random if random else 0.0, (row, column), float(weights[row] / weights[column]))


@lru_cache(maxsize=1)
def random_index() -> dict[int, float]:
    """Mean consistency index of random tables, by number of items."""
    return {int(row["n"]): float(row["random_index"]) for row in registers.table("weighting", "random_index")}


def geometric_mean(judgements: Floats, influence: Floats) -> Floats:
    """Weighted geometric mean over the first axis: the one mean of ratios that keeps them reciprocal (Aczél & Saaty 1983).

    >>> geometric_mean(np.array([[2.0, 0.5], [8.0, 0.125]]), np.array([1.0, 1.0])).tolist()
    [4.0, 0.25]
    """
    return np.asarray(np.exp(np.tensordot(influence / influence.sum(), np.log(judgements), axes=1)))


def critic(normalised: Floats) -> Floats:
    """Weights by spread and independence: ``C_j = s_j Σ_k (1 − r_jk)`` (Diakoulaki et al. 1995), scaled to sum to 1.

    Parameters
    ----------
    normalised
        Shape (n, m), each column 0 to 1. Rows with an unknown value are left out. Columns that do not vary weigh nothing.

    Returns
    -------
    ndarray
        Shape (m,); NaN where fewer than two rows are whole.
    """
    whole = normalised[~np.isnan(normalised).any(axis=1)]
    if len(whole) < 2:
        return np.full(normalised.shape[1], np.nan)
    centred = whole - whole.mean(axis=0)
    length = np.sqrt((centred**2).sum(axis=0))
    unit = centred / np.where(length > 0, length, 1.0)
    conflict = length * (1 - unit.T @ unit).sum(axis=1)
    return np.asarray(conflict / conflict.sum()) if conflict.sum() > 0 else np.full(normalised.shape[1], np.nan)


def merec(positive: Floats) -> Floats:
    """Weights by the effect of taking a criterion away (Keshavarz-Ghorabaee et al. 2021, doi:10.3390/sym13040525).

    Parameters
    ----------
    positive
        Shape (n, m), normalised as in the paper to (0, 1]. Rows with an unknown value are left out.
    """
    whole = positive[~np.isnan(positive).any(axis=1)]
    if not len(whole):
        return np.full(positive.shape[1], np.nan)
    logs = np.abs(np.log(whole))
    every = logs.sum(axis=1, keepdims=True)
    count = whole.shape[1]
    effect = np.abs(np.log1p((every - logs) / count) - np.log1p(every / count)).sum(axis=0)
    return np.asarray(effect / effect.sum()) if effect.sum() > 0 else np.full(count, np.nan)
