"""Criticality: what each open edge carries, as the people who lose access if it closes too.

``C_e = L(S ∪ e) − L(S)``, where L counts people beyond the limit, or person-minutes with a cap (see `geo.access`). Bridges (edges
whose closing parts the network in two) are found exactly, in one pass (Tarjan 1974, doi:10.1016/0020-0190(74)90003-9). An edge on
nobody's quickest way loses nothing; for every other one only the times behind it are looked for anew. Known bias: one edge at a
time. Two streets that stand in for each other both count little, and may be closed by the same collapse.
"""

from __future__ import annotations

from heapq import heapify, heappop, heappush

import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components, dijkstra

from geo.access import parameters
from geo.overlay import Floats, Ints
from geo.routing import Arcs, Bools, Edges, arcs, backwards, checked, nodes_of, people_of

COLUMNS = ("people_lost", "people_lost_share", "person_minutes", "person_minutes_share", "cut_off", "bridge")


def components(edges: Edges, seconds: Floats) -> Ints:
    """Number of the piece of network each node is in, over open edges, whichever way they may be driven; from 0.

    >>> components(Edges(3, np.array([0, 1]), np.array([1, 2]), np.array([True, True])), np.array([5.0, np.inf])).tolist()
    [0, 0, 1]
    """
    is_open = np.isfinite(checked(edges, seconds))
    ends = (edges.tail[is_open], edges.head[is_open])
    links = coo_array((np.ones(is_open.sum(), dtype=np.int8), ends), shape=(edges.n, edges.n))
    return np.asarray(connected_components(links.tocsr(), directed=False)[1], dtype=np.intp)


def bridges(edges: Edges, seconds: Floats) -> Bools:
    """By edge, whether closing it parts a piece of the network in two, whichever way edges may be driven.

    A closed edge, a loop and one of two parallel edges is none.

    >>> ends = np.array([0, 1, 2, 2]), np.array([1, 2, 0, 3])
    >>> bridges(Edges(4, *ends, np.zeros(4, dtype=bool)), np.ones(4)).tolist()
    [False, False, False, True]
    """
    both = arcs(Edges(edges.n, edges.tail, edges.head, np.zeros(len(edges), dtype=bool)), seconds)
    begin = np.searchsorted(both.end, np.arange(edges.n + 1)).tolist()
    beyond, along = both.start.tolist(), both.edge.tolist()
    reached, low = [-1] * edges.n, [0] * edges.n
    found = np.zeros(len(edges), dtype=bool)
    clock = 0
    for root in range(edges.n):
        if reached[root] >= 0:
            continue
        reached[root] = low[root] = clock
        clock += 1
        path, following = [(root, -1)], [begin[root]]
        while path:
            node, came_by = path[-1]
            if following[-1] < begin[node + 1]:
                arc = following[-1]
                following[-1] += 1
                if along[arc] == came_by:
                    continue
                other = beyond[arc]
                if reached[other] >= 0:
                    low[node] = min(low[node], reached[other])
                    continue
                reached[other] = low[other] = clock
                clock += 1
                path.append((other, along[arc]))
                following.append(begin[other])
            else:
                path.pop()
                following.pop()
                if path:
                    parent = path[-1][0]
                    low[parent] = min(low[parent], low[node])
                    found[came_by] = low[node] > reached[parent]
    return found


def edge_losses(edges: Edges, seconds: Floats, targets: Ints, people: Floats) -> pd.DataFrame:
    """What is lost if one more edge closes, for every edge that is on somebody's quickest way.

    Parameters
    ----------
    seconds
        Per edge, as it is now; infinite is closed.
    targets
        Nodes of the working facilities of one kind.
    people
        By node, all known (`Residents.at_nodes`).

    Returns
    -------
    DataFrame
        Index: edge. `people_lost` (within the limit now, not then), `person_minutes` (capped), `cut_off` (a way now, none then),
        the first two also as shares (0 to 1) of all people, and of all people times the cap; `bridge`. Edges that are not listed
        lose nothing.
    """
    options = parameters()
    limit, cap = 60.0 * options["limit_min"], 60.0 * options["cap_min"]
    found, people = arcs(edges, seconds), people_of(edges.n, people)
    times, tree = _quickest(found, targets)
    order, size = _below(tree[0])
    part = bridges(edges, seconds)
    position = np.empty(edges.n, dtype=np.intp)
    position[order] = np.arange(edges.n)
    there = np.concatenate([[0.0], np.cumsum((people > 0)[order])])
    lives = there[position + size] - there[position] > 0
    walk = _Walk(found, times, position)
    capped = np.minimum(times, cap)
    rows = {}
    for node in np.flatnonzero((tree[1] >= 0) & lives).tolist():
        edge, first = int(tree[1][node]), int(position[node])
        behind = order[first : first + size[node]]
        then = walk.without(edge, behind, first)
        who = people[behind]
        rows[edge] = (
            float(who[(times[behind] <= limit) & (then > limit)].sum()),
            float((who * (np.minimum(then, cap) - capped[behind])).sum()) / 60,
            float(who[np.isinf(then)].sum()),
            bool(part[edge]),
        )
    table = pd.DataFrame.from_dict(rows, orient="index", columns=["people_lost", "person_minutes", "cut_off", "bridge"])
    everybody = float(people.sum())
    table["people_lost_share"] = (table["people_lost"] / everybody).clip(0, 1)
    table["person_minutes_share"] = (table["person_minutes"] / (everybody * cap / 60)).clip(0, 1)
    return table[list(COLUMNS)].rename_axis("edge").sort_index()


def _quickest(found: Arcs, targets: Ints) -> tuple[Floats, tuple[Ints, Ints]]:
    """Times, and of each node the next node on its quickest way and the edge that leads there, -1 where none."""
    goals = nodes_of(found.n, targets)
    if len(goals) == 0:
        nothing = np.full(found.n, -1, dtype=np.intp)
        return np.full(found.n, np.inf), (nothing, nothing)
    times, onward, _ = dijkstra(backwards(found), directed=True, indices=goals, min_only=True, return_predecessors=True)
    onward = np.where(onward >= 0, onward, -1).astype(np.intp)
    # arcs lie in the order of end, start, seconds: the first of a pair is the quickest, which the search took
    key = found.end * found.n + found.start
    at = np.searchsorted(key, onward * found.n + np.arange(found.n))
    edge = np.where(onward >= 0, found.edge[np.minimum(at, len(key) - 1)] if len(key) else -1, -1)
    return times, (onward, edge)


def _below(onward: Ints) -> tuple[Ints, Ints]:
    """Nodes in an order in which all whose way leads through a node follow it at once, and how many they are with itself."""
    n = len(onward)
    children: list[list[int]] = [[] for _ in range(n)]
    roots: list[int] = []
    for node, next_node in enumerate(onward.tolist()):
        (children[next_node] if next_node >= 0 else roots).append(node)
    order: list[int] = []
    stack = roots[::-1]
    while stack:
        node = stack.pop()
        order.append(node)
        stack.extend(children[node])
    size = [1] * n
    for node in reversed(order):
        if onward[node] >= 0:
            size[onward[node]] += size[node]
    return np.array(order, dtype=np.intp), np.array(size, dtype=np.intp)


class _Walk:
    """Times anew for the nodes behind one edge: they leave through any other arc, whose far end keeps its time."""

    def __init__(self, found: Arcs, times: Floats, position: Ints) -> None:
        self.times, self.position = times.tolist(), position.tolist()
        self.out: list[list[tuple[int, float, int]]] = [[] for _ in range(found.n)]
        self.into: list[list[tuple[int, float, int]]] = [[] for _ in range(found.n)]
        for start, end, seconds, edge in zip(
            *(one.tolist() for one in (found.start, found.end, found.seconds, found.edge)), strict=True
        ):
            self.out[start].append((end, seconds, edge))
            self.into[end].append((start, seconds, edge))

    def without(self, edge: int, behind: Ints, first: int) -> Floats:
        """Seconds of the nodes `behind` without the edge; they stand at `first` and after in the order."""
        last, position, times = first + len(behind), self.position, self.times
        then = [np.inf] * len(behind)
        heap = [
            (times[end] + seconds, node)
            for node in behind.tolist()
            for end, seconds, along in self.out[node]
            if along != edge and not first <= position[end] < last
        ]
        heapify(heap)
        while heap:
            time, node = heappop(heap)
            if time >= then[position[node] - first]:
                continue
            then[position[node] - first] = time
            for start, seconds, along in self.into[node]:
                at = position[start]
                if along != edge and first <= at < last and time + seconds < then[at - first]:
                    heappush(heap, (time + seconds, start))
        return np.array(then)


def detours(edges: Edges, seconds: Floats, which: Ints, direct: Floats) -> Floats:
    """Seconds that the way around an edge takes longer than the edge itself, in the worse of the directions it may be driven.

    Parameters
    ----------
    which
        Edges, open or closed.
    direct
        Seconds over each of them if it is open.

    Returns
    -------
    ndarray
        One for each of `which`: 0 where the way around is no longer, infinite where there is none within `detour_min`.

    Examples
    --------
    Round a square block of 10 seconds a side: 30 instead of 10.

    >>> square = Edges(4, np.arange(4), np.array([1, 2, 3, 0]), np.zeros(4, dtype=bool))
    >>> detours(square, np.full(4, 10.0), np.array([0]), np.array([10.0])).tolist()
    [20.0]
    """
    limit = 60.0 * parameters()["detour_min"]
    found, piece = arcs(edges, seconds), components(edges, seconds)
    out: list[list[tuple[int, float, int]]] = [[] for _ in range(edges.n)]
    for start, end, cost, edge in zip(*(one.tolist() for one in (found.start, found.end, found.seconds, found.edge)), strict=True):
        out[start].append((end, cost, edge))
    apart = bridges(edges, seconds)[which] | (piece[edges.tail[which]] != piece[edges.head[which]])
    longer = np.full(len(which), np.inf)
    for row in np.flatnonzero(~apart):
        edge, tail, head = int(which[row]), int(edges.tail[which[row]]), int(edges.head[which[row]])
        ways = [(tail, head)] if edges.one_way[edge] else [(tail, head), (head, tail)]
        longer[row] = max(0.0, max(_around(out, edge, start, end, limit) for start, end in ways) - direct[row])
    return longer


def _around(out: list[list[tuple[int, float, int]]], edge: int, start: int, end: int, limit: float) -> float:
    """Seconds from one node to another without an edge; infinite beyond the limit."""
    best = {start: 0.0}
    heap = [(0.0, start)]
    while heap:
        time, node = heappop(heap)
        if node == end:
            return time
        if time > best[node]:
            continue
        for other, seconds, along in out[node]:
            reach = time + seconds
            if along != edge and reach <= limit and reach < best.get(other, np.inf):
                best[other] = reach
                heappush(heap, (reach, other))
    return np.inf
