"""Turning weights: the smallest change of the weights that brings a neighbourhood among the first k, or out of them.

Weights are judgements; how little of them has to change for another list is the plainest measure of how much a rank rests on them
(Mareschal 1988, doi:10.1016/0377-2217(88)90254-8; Triantaphyllou & Sánchez 1997, doi:10.1111/j.1540-5915.1997.tb01306.x). Change is
the sum over criteria of |new − agreed|, on weights that are not negative and sum to 1. For the first rank it is a linear programme,
for k > 1 a mixed-integer one (who may stay in front is a choice), solved by HiGHS and believed only after the whole list was ranked
again with the weights found. Where unknown criteria make scores ratios of weights, the score at the cut is searched by branch and
bound. "In front" is in front by at least 0.001 points, and only weights count under which the same neighbourhoods can be assessed.
Known bias: all directions of change are held to be equally likely, and a weight may fall to zero.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pandas as pd

from geo.aggregation import Floats, against_goalposts, flows
from geo.errors import SchemeError, finding
from geo.messages import message
from geo.ranking import rank
from geo.scheme import Scheme
from geo.scoring import METHOD_NAMES, SCALE, normalised, total_score, weights_of

Bools = npt.NDArray[np.bool_]
AHEAD = 1e-5  # in front by so much, 0 to 1: 0.001 points
BRANCHES = 2_000  # of one mixed-integer programme: the same end on every machine, unlike a limit of time
NARROW = 1e-7  # scores at the cut that are not told apart
NODES = 200  # of the search for the score at the cut
LOOKED = (0.05, 0.1, 0.2, 0.4, 0.8, 2.0)  # sums of change within which is looked, one after another; 2 is all there is
CLOSE = 1e-3  # sums of change that differ by less are the same: a tenth of a percentage point


@dataclass(frozen=True)
class Turned:
    """The smallest change of the weights that turns one neighbourhood's place.

    Attributes
    ----------
    rank, cut, into
        Its rank now, the k of the first k, and whether it is to come among them (else out of them).
    weights, rank_then
        The new weights by criterion and the rank they give it; None and 0 where no weights do it.
    change
        Sum over criteria of |new − agreed|, 0 to 2; NaN where no weights do it.
    least
        What the change is at least, whatever was not searched; equal to `change` where the search ended.
    in_front
        Where no weights do it: how many are at least as urgent in every criterion (or are not, for "out").
    """

    unit: str
    rank: int
    cut: int
    into: bool
    weights: pd.Series[float] | None
    rank_then: int
    change: float
    least: float
    in_front: int

    @property
    def proven(self) -> bool:
        """Whether nothing smaller can do it; where no weights are given, whether there are none."""
        return bool(np.isinf(self.least)) if self.weights is None else self.change - self.least <= CLOSE


@dataclass(frozen=True)
class _Task:
    """What the programmes are made of: linear values of the ranked, known or not, agreed weights, and the unit in question.

    `rivals` are those whose place is open within a change of `most`; `cut` counts them alone.
    """

    values: Floats
    known: Bools
    agreed: Floats
    at: int
    cut: int
    into: bool
    minimum: float
    apart: Bools
    same: Bools
    rivals: npt.NDArray[np.int64]
    most: float = 2.0


def linear_values(values: Floats, scheme: Scheme) -> Floats:
    """Values whose mean by the weights, over the known criteria, orders neighbourhoods as the scheme's method does; 0 to 1.

    Raises
    ------
    SchemeError
        A method in which weights enter squared (both kinds of TOPSIS).
    """
    if scheme.method in ("weighted_sum", "spotis"):
        return values
    if scheme.method == "geometric_mean":
        floor = scheme.options.geometric_floor
        return np.asarray(1 - np.log(floor + (1 - floor) * values) / np.log(floor))
    if scheme.method == "promethee_ii":
        return against_goalposts(values, scheme.thresholds())
    if scheme.method == "promethee_ii_pairwise":
        return np.where(np.isnan(values), np.nan, flows(values, scheme.thresholds()))
    raise SchemeError(
        finding(
            "weights-not-linear",
            "error",
            f"{scheme.id}.toml",
            message("Method '{method}': weights enter it squared; the smallest change is not searched for.",
                    method=METHOD_NAMES[scheme.method]),
            remedy=message("Ask under the weighted sum, the geometric mean, SPOTIS or PROMETHEE II."),
        )
    )  # fmt: skip


def turn(unit: str, measures: pd.DataFrame, scheme: Scheme, *, top: int | None = None) -> Turned:
    """The smallest change of the weights that brings a neighbourhood among the first `top`, or out where it is among them.

    Parameters
    ----------
    unit
        A neighbourhood that is ranked.
    measures
        Table of `geo.criteria.measure`.
    top
        By default `scheme.confidence.cutoff`.

    Examples
    --------
    Two criteria, weights a half each: x (1, 0), y (0.2, 0.6) with 40 points. y leads when 0.2 w + 0.6 (1 − w) > w: w < 3/7.

    >>> from geo.scheme import read_scheme
    >>> scheme = read_scheme("rapid")
    >>> two = scheme.model_copy(update={"criteria": tuple(
    ...     one.model_copy(update={"weight": 0.5, "goalposts": (0.0, 1.0)}) for one in scheme.criteria[:2])})
    >>> names = [one.measure for one in two.criteria]
    >>> found = turn("y", pd.DataFrame([[1.0, 0.0], [0.2, 0.6]], columns=names, index=["x", "y"]), two, top=1)
    >>> found.weights.round(3).tolist(), found.rank_then, found.proven
    ([0.429, 0.571], 1, True)
    """
    cut = scheme.confidence.cutoff if top is None else top
    every = normalised(measures, scheme)
    weights = weights_of(scheme)
    scores = total_score(every.to_numpy(np.float64), weights, scheme) * SCALE
    places = rank(pd.Series(scores, index=measures.index))["rank"]
    own, listed = int(places[unit]), ~np.isnan(scores)
    into = own > cut
    values = linear_values(every.to_numpy(np.float64), scheme)[listed]
    task = _task(values, weights, int(np.flatnonzero(measures.index[listed] == unit)[0]), cut, into, scheme, every[~listed])

    def rank_with(tried: Floats) -> int:
        changed = total_score(every.to_numpy(np.float64), tried, scheme) * SCALE
        found = rank(pd.Series(changed, index=measures.index))["rank"]
        return 0 if (np.isnan(changed) == listed).any() else int(found[unit])

    def holds(tried: Floats) -> bool:
        place = rank_with(tried)
        return 0 < place <= cut if into else place > cut

    found, least = _deepened(task, holds)
    if found is None:
        return Turned(unit, own, cut, into, None, 0, float("nan"), least, _never_behind(task))
    named = pd.Series(found, index=[one.measure for one in scheme.criteria])
    change = _change(task, found)
    return Turned(unit, own, cut, into, named, rank_with(found), change, min(least, change), 0)


def _task(values: Floats, agreed: Floats, at: int, cut: int, into: bool, scheme: Scheme, apart: pd.DataFrame) -> _Task:
    known = ~np.isnan(values)
    same = (known == known[at]).all(axis=1)
    filled = np.where(known, values, 0.0)
    never = same & (filled <= filled[at]).all(axis=1)  # as urgent or less in everything: never in front, whatever the weights
    rivals = np.flatnonzero(~never)
    silent = apart.notna().to_numpy()
    return _Task(filled, known, agreed, at, cut, into, scheme.minimum_coverage, silent, same, rivals)


def _never_behind(task: _Task) -> int:
    """Rivals that no weights put behind the unit; for "out", those that some weights may put in front."""
    if not task.into:
        return len(task.rivals)
    ahead = task.same & (task.values >= task.values[task.at]).all(axis=1)
    return int(ahead[task.rivals].sum())


def _change(task: _Task, weights: Floats) -> float:
    return float(np.abs(weights - task.agreed).sum())


def _deepened(task: _Task, holds: Callable[[Floats], bool]) -> tuple[Floats | None, float]:
    """The best weights and what any change is at least, looked for within ever larger changes: near ones leave few rivals open."""
    least = float("inf")
    for most in LOOKED:
        found, bound = _search(_within(task, most), holds)
        least = min(least, bound)
        if found is not None and _change(task, found) <= most + CLOSE:
            return found, min(least, _change(task, found))
    return None, least


def _within(task: _Task, most: float) -> _Task:
    """The task without the rivals that no change of at most `most` can bring past the unit, in front or behind.

    With half of the change to move, the mean of a row is least or largest when all goes between two of its criteria: both known,
    or one of them unknown.
    """
    moved = most / 2
    there, total = task.known @ task.agreed, task.values @ task.agreed
    top = np.where(task.known, task.values, -np.inf).max(axis=1)
    bottom = np.where(task.known, task.values, np.inf).min(axis=1)
    part = ~task.known.all(axis=1)
    left = there - moved
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = total / there
        among = moved * (top - bottom) / there
        joined = [(total + moved * end) / (there + moved) for end in (bottom, top)]
        parted = [np.where(left > 0, (total - moved * end) / left, limit) for end, limit in ((top, 0.0), (bottom, 1.0))]
    low = mean - np.where(part, np.maximum.reduce([among, mean - joined[0], mean - parted[0]]), among)
    high = mean + np.where(part, np.maximum.reduce([among, joined[1] - mean, parted[1] - mean]), among)
    ahead = low[task.rivals] > high[task.at] + AHEAD
    behind = high[task.rivals] < low[task.at] - AHEAD
    return replace(task, rivals=task.rivals[~(ahead | behind)], cut=task.cut - int(ahead.sum()), most=most)


def _search(task: _Task, holds: Callable[[Floats], bool]) -> tuple[Floats | None, float]:
    """The best weights found, and what any change is at least; branch and bound over the score at the cut where it is needed."""
    if task.into and task.cut < 1:
        return None, float("inf")
    mixed = bool((~task.same[task.rivals]).any())
    best: Floats | None = None
    most = float("inf")
    waiting: list[tuple[float, int, float, float]] = [(0.0, 0, 0.0, 1.0 + 2 * AHEAD)]
    number, closed = 0, float("inf")
    while waiting and number < NODES:
        bound, _, low, high = heapq.heappop(waiting)
        if bound >= most - CLOSE:
            closed = min(closed, bound)
            break
        number += 1
        weights, bound = _solved(task, low, high)
        if weights is None:
            closed = min(closed, bound)  # infinite where there is none, else what the solver could show
            continue
        if holds(weights):
            change = _change(task, weights)
            if change < most:
                best, most = weights, change
            closed = min(closed, bound)
            continue
        if not mixed:
            closed = min(closed, bound)
            continue
        middle = _score(task, weights)
        tried, _ = _solved(task, middle, middle)
        if tried is not None and (change := _change(task, tried)) < most and holds(tried):
            best, most = tried, change
        if high - low < NARROW:
            closed = min(closed, bound)
            continue
        margin = (high - low) / 10
        split = min(max(middle, low + margin), high - margin)
        for part in ((low, split), (split, high)):
            heapq.heappush(waiting, (bound, 2 * number + (part[0] > low), *part))
    least = min([closed, most, *(one[0] for one in waiting)])
    return best, least


def _score(task: _Task, weights: Floats) -> float:
    """The unit's own score, to which the cut is tied (0 to 1, before what it must be ahead or behind by)."""
    own = float(task.values[task.at] @ weights / (task.known[task.at] @ weights))
    return own if task.into else own + AHEAD


def _solved(task: _Task, low: float, high: float) -> tuple[Floats | None, float]:
    """The smallest change with the cut between two scores, and what it is at least; None where there is none.

    Variables: weights, what is added, what is taken away, and for each rival whether it is (into: may be) in front.
    """
    from scipy.optimize import Bounds, LinearConstraint, milp

    m, n = len(task.agreed), len(task.rivals)
    matrix, least, most = _constraints(task, low, high)
    cost = np.concatenate([np.zeros(m), np.ones(2 * m), np.zeros(n)])
    whole = np.concatenate([np.zeros(3 * m), np.ones(n)])
    free = n if not task.into else (n if task.cut > 1 else 0)
    bounds = Bounds(np.zeros(3 * m + n), np.concatenate([np.ones(3 * m), np.full(n, 1.0 if free else 0.0)]))
    rows = LinearConstraint(matrix, least, most)
    found = milp(cost, constraints=rows, integrality=whole, bounds=bounds, options={"node_limit": BRANCHES, "mip_rel_gap": 0.0})
    if found.x is None:
        return None, float("inf") if found.status == 2 else 0.0  # 2: there is none
    bound = float(found.fun if found.mip_dual_bound is None else min(found.mip_dual_bound, found.fun))
    chosen = np.round(found.x[3 * m :])  # once more with whole choices, so that no rounding of theirs is in the weights
    fixed = Bounds(np.concatenate([np.zeros(3 * m), chosen]), np.concatenate([np.ones(3 * m), chosen]))
    exact = milp(cost, constraints=rows, integrality=np.zeros(3 * m + n), bounds=fixed)
    weights = np.clip(exact.x[:m] if exact.x is not None else found.x[:m], 0.0, None)
    return np.asarray(weights / weights.sum()), bound


def _constraints(task: _Task, low: float, high: float) -> tuple[Floats, Floats, Floats]:
    """Rows, least and most: weights sum to 1 and differ by what is added and taken; who is in front of whom; who is assessed.

    With a cut between `low` and `high` a rival whose unknown criteria are other ones is held against the cut, and so is the unit;
    one with the same unknown criteria is held against the unit itself.
    """
    m, n = len(task.agreed), len(task.rivals)
    own, own_known = task.values[task.at], task.known[task.at].astype(float)
    rows: list[tuple[Floats, Floats, float, float]] = [(np.ones(m), np.zeros(n), 1.0, 1.0)]
    inf, wide = np.inf, 1.0 + 2 * AHEAD
    mixed = bool((~task.same[task.rivals]).any())
    for position, rival in enumerate(task.rivals):
        pick = np.zeros(n)
        pick[position] = wide
        other, there = task.values[rival], task.known[rival].astype(float)
        if task.into and task.same[rival]:
            rows.append((own - other, pick, AHEAD, inf))
        elif task.into:
            rows.append((high * there - AHEAD * there - other, pick, 0.0, inf))
        elif task.same[rival]:
            rows.append((other - own, -pick, AHEAD - wide, inf))
        else:
            rows.append((other - low * there, -pick, -wide, inf))
    if mixed:
        less = 0.0 if task.into else AHEAD
        rows.append((own - (low - less) * own_known, np.zeros(n), 0.0, inf))
        rows.append(((high - less) * own_known - own, np.zeros(n), 0.0, inf))
    rows.append((np.zeros(m), np.ones(n), 0.0, task.cut - 1.0) if task.into else (np.zeros(m), np.ones(n), float(task.cut), inf))
    for known in np.unique(task.known, axis=0):
        rows.append((known.astype(float), np.zeros(n), max(task.minimum, AHEAD), inf))
    for known in np.unique(task.apart, axis=0):
        now = float(known @ task.agreed)
        rows.append((known.astype(float), np.zeros(n), 0.0, task.minimum - min(AHEAD, (task.minimum - now) / 2)))
    rows.append((np.zeros(m), np.zeros(n), 0.0, task.most + CLOSE))
    blank = np.zeros(2 * m)
    matrix = [np.concatenate([left, blank, right]) for left, right, _, _ in rows]
    matrix[-1][m : 3 * m] = 1.0  # all that is added and taken away
    split = np.hstack([np.eye(m), -np.eye(m), np.eye(m), np.zeros((m, n))])
    least, most = (np.array([row[which] for row in rows]) for which in (2, 3))
    return (
        np.vstack([np.array(matrix), split]),
        np.concatenate([least, task.agreed]),
        np.concatenate([most, task.agreed]),
    )
