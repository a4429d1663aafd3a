"""SMAA-2: how sure ranks are, when weights and values are drawn again and again instead of being taken for certain.

``b_i^r = P(rank of i = r)``, ``w_i^c = E[w | i first]``, ``p_ik = P(score i > score k)`` (Lahdelma and Salminen 2001,
doi:10.1287/opre.49.3.444.11220; Tervonen and Lahdelma 2007, doi:10.1016/j.ejor.2005.12.037), by Monte Carlo: 9,604 draws give every
chance to ±0.01. Draws come in blocks, so that memory is bounded by a block, whatever their number. Scores nearer than `TIE` share
the better rank, as in the list. Known bias: what is drawn is all that varies; an assumption that is not drawn counts as certain.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float64]
Counts: TypeAlias = NDArray[np.int64]
Aggregate: TypeAlias = Callable[[Floats, Floats], Floats]
Blocks: TypeAlias = Iterable[tuple[Floats, Floats]]
TIE = 1e-11  # of a score from 0 to 1: a billionth of a point of 100, as in the list
COMPARED = 2**20  # comparisons at a time, a byte each: they stay near the processor
SCORED = 2**18  # rough scores at a time, 1 MB
PROMISING = 256
ROUGH = 1e-4  # more than a score in single precision can be wrong


@dataclass(frozen=True)
class Acceptability:
    """Counts over all draws, for n alternatives and m criteria.

    Attributes
    ----------
    ranks
        n × n: how often alternative i (row) had rank r + 1 (column).
    wins
        n × n: how often i (row) was ahead of k (column).
    weights_first
        n × m: sum of the weights of the draws in which i was first.
    """

    draws: int
    ranks: Counts
    wins: Counts
    weights_first: Floats

    def chance(self, top: int) -> Floats:
        """Chance of being among the first `top`, 0 to 1."""
        return np.asarray(self.ranks[:, :top].sum(axis=1) / self.draws)

    def winning(self) -> Floats:
        """N × n: chance that i (row) is ahead of k (column)."""
        return np.asarray(self.wins / self.draws)

    def rank_at(self, share: float) -> Counts:
        """The best rank that holds in at least this share of the draws: 0.05 and 0.95 bound a 90 % interval."""
        reached = self.ranks.cumsum(axis=1) >= share * self.draws - 1e-9
        return np.asarray(reached.argmax(axis=1) + 1, dtype=np.int64)

    def central_weights(self) -> Floats:
        """N × m: the mean weights under which i is first; NaN where it never is."""
        first = self.ranks[:, :1].astype(np.float64)
        return np.asarray(self.weights_first / np.where(first > 0, first, np.nan))

    def holistic(self) -> Floats:
        """``Σ α_r b_i^r`` with centroid weights ``α_r = Σ_{j≥r} 1/j / Σ_j 1/j`` of the ranks, 0 to 1."""
        n = len(self.ranks)
        harmonic = np.cumsum((1 / np.arange(1, n + 1))[::-1])[::-1]
        return np.asarray(self.ranks @ (harmonic / harmonic[0]) / self.draws)


def weighted_sum(values: Floats, weights: Floats) -> Floats:
    """Scores, draws × alternatives. `values` are alternatives × criteria, or that for each draw; unknown (NaN) is left out.

    >>> weighted_sum(np.array([[1.0, 0.0], [0.5, np.nan]]), np.array([[0.75, 0.25]])).tolist()
    [[0.75, 0.5]]
    """
    unknown = np.isnan(values)
    if not unknown.any():
        return np.asarray(weights @ values.T if values.ndim == 2 else np.matmul(values, weights[:, :, None])[:, :, 0])
    known = (~unknown).astype(np.float64)
    total = weights @ known.T if values.ndim == 2 else np.matmul(known, weights[:, :, None])[:, :, 0]
    filled = np.where(unknown, 0.0, values)
    summed = weights @ filled.T if values.ndim == 2 else np.matmul(filled, weights[:, :, None])[:, :, 0]
    return np.asarray(np.divide(summed, total, out=np.zeros_like(summed), where=total > 0))


def acceptability(blocks: Blocks, *, aggregate: Aggregate = weighted_sum) -> Acceptability:
    """Ranks, wins and central weights over blocks of draws.

    Parameters
    ----------
    blocks
        Pairs of values and weights (draws × criteria); values between 0 and 1, 1 first, NaN unknown, either one table of
        alternatives × criteria for the whole block or one for each draw.
    aggregate
        Values and weights to scores, draws × alternatives.

    Examples
    --------
    >>> two = np.array([[1.0, 0.0], [0.0, 1.0]])
    >>> found = acceptability([(two, np.array([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8], [0.7, 0.3]]))])
    >>> found.chance(1).tolist(), found.central_weights().round(3).tolist()
    ([0.75, 0.25], [[0.733, 0.267], [0.2, 0.8]])
    """
    draws, ranks, wins, first = 0, np.zeros((0, 0), np.int64), np.zeros((0, 0), np.int64), np.zeros((0, 0))
    for values, weights in blocks:
        n, m = values.shape[-2:]
        if not draws:
            ranks, wins, first = np.zeros((n, n), np.int64), np.zeros((n, n), np.int64), np.zeros((n, m))
        for some in _slices(len(weights), max(1, COMPARED // max(n * n, 1))):
            part = weights[some]
            scores = aggregate(values if values.ndim == 2 else values[some], part)
            ahead = (scores[:, :, None] > (scores + TIE)[:, None, :]).view(np.uint8)
            places = ahead.sum(axis=1, dtype=np.uint32)
            ranks += np.bincount((np.arange(n) * n + places).ravel(), minlength=n * n).reshape(n, n)
            wins += ahead.sum(axis=0, dtype=np.uint32)
            first += (places == 0).astype(np.float64).T @ part
        draws += len(weights)
    return Acceptability(draws, ranks, wins, first)


def _slices(length: int, size: int) -> Iterator[slice]:
    for start in range(0, length, size):
        yield slice(start, min(start + size, length))


def leading(values: Floats, weights: Floats, top: int) -> Counts:
    """How often each of many alternatives had each of the first ranks, n × `top`; for lists of thousands.

    A few alternatives that are strong on the whole give, in each draw, a score that the first `top` reach at least. Scores in
    single precision tell who may reach it; only those are scored exactly and put in order. Same counts as by ordering all of them,
    at a fraction of the time; 1 MB of scores at a time.

    Parameters
    ----------
    values
        Alternatives × criteria, 0 to 1, all known.
    weights
        Draws × criteria.
    """
    n = len(values)
    if not 0 < top <= n:
        raise ValueError(f"{top} of {n}")
    strong = values[np.argsort(values @ weights.mean(axis=0))[::-1][: max(min(PROMISING, n), top)]].T
    counts = np.zeros(n * top, np.int64)
    columns = np.ascontiguousarray(values.T, dtype=np.float32)
    for some in _slices(len(weights), max(1, SCORED // n)):
        part = weights[some]
        least = np.partition(part @ strong, strong.shape[1] - top, axis=1)[:, strong.shape[1] - top] - TIE
        coarse = part.astype(np.float32) @ columns
        draw, who = np.divmod(np.flatnonzero(coarse >= (least - ROUGH).astype(np.float32)[:, None]), n)
        reached = np.einsum("ij,ij->i", part[draw], values[who])
        near = reached >= least[draw]
        draw, who, reached = draw[near], who[near], reached[near]
        order = np.lexsort((-reached, draw))
        draw, who, reached = draw[order], who[order], reached[order]
        starts = np.flatnonzero(np.diff(draw, prepend=-1))
        place = np.arange(len(draw)) - np.repeat(starts, np.diff(starts, append=len(draw)))
        tied = np.zeros(len(draw), dtype=bool)
        tied[1:] = (place[1:] > 0) & (reached[:-1] - reached[1:] <= TIE)
        shared = np.maximum.accumulate(np.where(tied, 0, np.arange(len(draw))))  # the first of those that tie
        rank = place[shared]
        within = rank < top
        np.add.at(counts, who[within] * top + rank[within], 1)
    return counts.reshape(n, top)


# Weights


def uniform(rng: np.random.Generator, draws: int, criteria: int) -> Floats:
    """Every set of weights alike: Dirichlet(1, …, 1)."""
    return rng.dirichlet(np.ones(criteria), size=draws)


def around(rng: np.random.Generator, draws: int, agreed: Floats, concentration: float) -> Floats:
    """Weights around agreed ones: Dirichlet(κ w); the larger κ, the nearer. A weight of 0 stays 0."""
    weights = np.zeros((draws, len(agreed)))
    there = agreed > 0
    weights[:, there] = rng.dirichlet(concentration * agreed[there], size=draws)
    return weights


def ordered(rng: np.random.Generator, draws: int, agreed: Floats) -> Floats:
    """Every set of weights in the order of the agreed ones, alike; those that are agreed to be equal in any order."""
    falling = -np.sort(-uniform(rng, draws, len(agreed)), axis=1)
    order = np.lexsort((rng.random((draws, len(agreed))), np.broadcast_to(-agreed, (draws, len(agreed)))), axis=1)
    weights = np.empty_like(falling)
    np.put_along_axis(weights, order, falling, axis=1)
    return weights


def between(rng: np.random.Generator, draws: int, low: Floats, high: Floats, *, steps: int = 50) -> Floats:
    """Every set of weights within bounds, alike (hit-and-run: weight is moved from one criterion to another, `steps` × m times).

    Raises
    ------
    ValueError
        No weights that sum to 1 lie between the bounds.
    """
    low, high = np.clip(low, 0, 1), np.clip(high, 0, 1)
    if not (low <= high).all() or low.sum() > 1 + 1e-12 or high.sum() < 1 - 1e-12:
        raise ValueError("no weights between these bounds")
    room = high - low
    start = low + room * ((1 - low.sum()) / room.sum() if room.sum() > 0 else 0.0)
    weights, m = np.tile(start, (draws, 1)), len(low)
    rows = np.arange(draws)
    for _ in range(steps * m if m > 1 else 0):
        giver, taker = rng.integers(m, size=draws), rng.integers(m - 1, size=draws)
        taker += taker >= giver
        least = -np.minimum(weights[rows, taker] - low[taker], high[giver] - weights[rows, giver])
        most = np.minimum(weights[rows, giver] - low[giver], high[taker] - weights[rows, taker])
        moved = least + (most - least) * rng.random(draws)
        weights[rows, giver] -= moved
        weights[rows, taker] += moved
    return np.clip(weights, low, high)


def bands(winning: Floats, order: NDArray[np.intp], sure: float) -> Counts:
    """Bands down a list: a band ends before the first that the head of the band beats in at least `sure` of the draws.

    Within a band nobody is surely behind its head, so its order should not be argued from the score alone.

    >>> bands(np.array([[0, 0.6, 0.99], [0.4, 0, 0.97], [0.01, 0.03, 0]]), np.array([0, 1, 2]), 0.95).tolist()
    [1, 1, 2]
    """
    found = np.zeros(len(order), np.int64)
    band, head = 0, -1
    for unit in order:
        if head < 0 or winning[head, unit] >= sure:
            band, head = band + 1, int(unit)
        found[unit] = band
    return found
