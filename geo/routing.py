"""Routing: travel times over roads given as plain arrays, and what changes when one of them opens.

A graph is edges between numbered nodes; the state of the roads is seconds per edge, infinite where closed. Times are to the nearest
of some nodes: one Dijkstra search backwards from all of them (Dijkstra 1959, doi:10.1007/BF01386390). A road that opens can only
shorten times, so a repair needs no new search: it spreads from the nodes it improves and stops where nothing is gained, with the
same additions in the same order, so the result is the same to the last bit. Known bias: everybody is taken to go by the quickest
way at the speed the layer says, without traffic, waiting or checkpoints.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from heapq import heapify, heappop, heappush

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array
from scipy.sparse.csgraph import dijkstra

from geo.overlay import Floats, Ints

Bools = npt.NDArray[np.bool_]
Arc = tuple[int, int, float]  # from, to, seconds
Steps = list[list[tuple[int, float]]]  # by node: the nodes from which one comes to it, and the seconds
ROWS_AT_ONCE = 32


@dataclass(frozen=True)
class Edges:
    """The roads between `n` nodes: from `tail` to `head`, and back unless `one_way`. Parallel edges and loops are allowed.

    Raises
    ------
    ValueError
        Arrays of different lengths, or an end that is no node.
    """

    n: int
    tail: Ints
    head: Ints
    one_way: Bools

    def __post_init__(self) -> None:
        ends = np.concatenate([self.tail, self.head])
        if not len(self.tail) == len(self.head) == len(self.one_way):
            raise ValueError("tail, head and one_way must be as long as each other")
        if len(ends) and not (ends.min() >= 0 and ends.max() < self.n):
            raise ValueError(f"ends must be nodes, 0 to {self.n - 1}")

    def __len__(self) -> int:
        return len(self.tail)


@dataclass(frozen=True)
class Arcs:
    """What can be driven, one arc for each direction of an open edge, ordered by `end`, then `start`, then seconds."""

    n: int
    start: Ints
    end: Ints
    seconds: Floats
    edge: Ints


def checked(edges: Edges, seconds: Floats) -> Floats:
    """Seconds per edge as floats.

    Raises
    ------
    ValueError
        Not one per edge, negative, or unknown: an edge nobody knows about has to be taken as open or as closed by the caller.
    """
    values = np.asarray(seconds, dtype=np.float64)
    if values.shape != (len(edges),) or not (values >= 0).all():
        raise ValueError("seconds must be known, not negative, and one per edge")
    return values


def nodes_of(n: int, targets: Ints) -> Ints:
    """The targets, each once.

    Raises
    ------
    ValueError
        One that is no node: a facility that hangs on no road has to be left out, and counted, by the caller.
    """
    goals = np.unique(np.asarray(targets, dtype=np.intp))
    if len(goals) and not (goals[0] >= 0 and goals[-1] < n):
        raise ValueError(f"targets must be nodes, 0 to {n - 1}")
    return goals


def people_of(n: int, people: Floats) -> Floats:
    """People by node as floats.

    Raises
    ------
    ValueError
        Not one per node, negative, or unknown: rows without a number of people have to be left out, and counted, by the caller.
    """
    values = np.asarray(people, dtype=np.float64)
    if values.shape != (n,) or not (np.isfinite(values).all() and (values >= 0).all()):
        raise ValueError("people must be known, not negative, and one number per node")
    return values


def arcs(edges: Edges, seconds: Floats) -> Arcs:
    """The open edges in each direction that they allow; loops are left out, for nobody gains by them."""
    values = checked(edges, seconds)
    usable = np.isfinite(values) & (edges.tail != edges.head)
    there, back = np.flatnonzero(usable), np.flatnonzero(usable & ~edges.one_way)
    start = np.concatenate([edges.tail[there], edges.head[back]]).astype(np.intp)
    end = np.concatenate([edges.head[there], edges.tail[back]]).astype(np.intp)
    edge = np.concatenate([there, back])
    cost, pair = values[edge], end * np.intp(edges.n) + start
    order = np.argsort(pair)
    # one fast sort; only the few parallel arcs need their seconds compared
    same = pair[order][1:] == pair[order][:-1]
    parallel = np.flatnonzero(np.append(same, False) | np.append(False, same))
    among = order[parallel]
    order[parallel] = among[np.lexsort((edge[among], cost[among], pair[among]))]
    return Arcs(edges.n, start[order], end[order], cost[order], edge[order])


def backwards(found: Arcs) -> csr_array:
    """The arcs turned round, as the matrix that scipy searches; of parallel arcs the quickest, and arcs of no length are kept.

    Built by hand: scipy's own conversion adds parallel arcs up.
    """
    first = np.ones(len(found.end), dtype=bool)
    first[1:] = (np.diff(found.end) != 0) | (np.diff(found.start) != 0)
    begin = np.concatenate([[0], np.cumsum(np.bincount(found.end[first], minlength=found.n))])
    parts = (found.seconds[first], found.start[first].astype(np.int32), begin.astype(np.int32))
    return csr_array(parts, shape=(found.n, found.n))


def to_nearest(edges: Edges, seconds: Floats, targets: Ints) -> Floats:
    """Seconds from every node to the nearest of `targets`, infinite where there is no way.

    Parameters
    ----------
    seconds
        Per edge; infinite is closed.
    targets
        Nodes; none at all is allowed, and then nobody reaches any.

    Examples
    --------
    A street 0 – 1 → 2 of 10 seconds each, the second one-way; the hospital is at 0.

    >>> street = Edges(3, np.array([0, 1]), np.array([1, 2]), np.array([False, True]))
    >>> to_nearest(street, np.array([10.0, 10.0]), np.array([0])).tolist()
    [0.0, 10.0, inf]
    """
    return search(arcs(edges, seconds), targets)


def search(found: Arcs, targets: Ints) -> Floats:
    """As `to_nearest`, over arcs that are there already."""
    goals = nodes_of(found.n, targets)
    if len(goals) == 0 or found.n == 0:
        return np.full(found.n, np.inf)
    return np.asarray(dijkstra(backwards(found), directed=True, indices=goals, min_only=True), dtype=np.float64)


def to_each(edges: Edges, seconds: Floats, targets: Ints, *, limit_s: float = np.inf) -> Iterator[Floats]:
    """One after the other, for each target the seconds from every node to it; infinite beyond the limit."""
    matrix = backwards(arcs(edges, seconds))
    nodes_of(edges.n, targets)
    for first in range(0, len(targets), ROWS_AT_ONCE):
        yield from dijkstra(matrix, directed=True, indices=targets[first : first + ROWS_AT_ONCE], limit=limit_s)


def steps(found: Arcs) -> Steps:
    """By node, from where one comes to it and in how many seconds: what `shorten` walks on."""
    begin = np.concatenate([[0], np.cumsum(np.bincount(found.end, minlength=found.n))]).tolist()
    pairs = list(zip(found.start.tolist(), found.seconds.tolist(), strict=True))
    return [pairs[begin[node] : begin[node + 1]] for node in range(found.n)]


def shorten(times: list[float], into: Steps, opened: Iterable[Arc]) -> dict[int, float]:
    """Open some arcs: `into` gains them, `times` become what a new search would find. `lengthen` takes it back.

    Returns
    -------
    dict
        By node whose time fell: its time before. Costs as many steps as there are such nodes, however large the city is.
    """
    heap = []
    for start, end, seconds in opened:
        into[end].append((start, seconds))
        heap.append((times[end] + seconds, start))
    heapify(heap)
    before: dict[int, float] = {}
    while heap:
        time, node = heappop(heap)
        if time >= times[node]:
            continue
        before[node] = times[node]
        times[node] = time
        for start, seconds in into[node]:
            if time + seconds < times[start]:
                heappush(heap, (time + seconds, start))
    return before


def lengthen(times: list[float], into: Steps, opened: Iterable[Arc], before: dict[int, float]) -> None:
    """Take back what `shorten` did last: times as they were before, arcs closed again."""
    for node, time in before.items():
        times[node] = time
    for _, end, _ in opened:
        into[end].pop()
