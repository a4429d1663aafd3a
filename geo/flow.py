"""Flow: the most that sources can bring to demands through what works, when pipes, lines and stations carry only so much.

One network is a maximum flow problem: a source joined to every supply, every demand joined to a sink, arcs with their capacities.
Amounts are counted in whole numbers, exact for inputs of up to six decimals as far as 32 bits reach; finer ones are rounded
at that resolution. Flow is allowed to go any way that serves most; pressure, voltage and losses are not in it, so what is served is
an upper bound of what engineers would find (known bias).

Reference: Ford & Fulkerson 1956, doi:10.4153/CJM-1956-045-5; the order of demands, Megiddo 1974, doi:10.1007/BF01585506.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from geo.overlay import Floats

Flags = np.ndarray[tuple[int], np.dtype[np.bool_]]
Whole = np.ndarray[tuple[int], np.dtype[np.int64]]

LARGEST = 2**31 - 1  # the flow algorithm counts in 32-bit whole numbers
DECIMALS = 6


@dataclass(frozen=True)
class Graph:
    """One network, ready for many states of it.

    Attributes
    ----------
    supplies, demands, arcs
        Number of places of each kind; the places are supplies, demands, arcs, and arcs backwards.
    amount, scale
        By place: its limit in whole numbers, which is the limit times `scale`.
    owner
        By place: the element that has to be up for it.
    weight
        By place: what a unit of demand counts; 0 for everything else.
    worth, demanded
        By node: what its demand counts when served, and whether it has any.
    unlimited
        Whether every source and arc could carry all of the demand: then who is joined to a source is served.
    ways
        Tail and head of every arc, and of every arc backwards.
    slot, indices, indptr
        Where each place stands in the sparse matrix, and the structure of that matrix.
    """

    nodes: Whole
    arcs: Whole
    tail: Whole
    head: Whole
    amount: Whole
    scale: float
    owner: Whole
    weight: Floats
    worth: Floats
    demanded: Flags
    unlimited: bool
    ways: tuple[Whole, Whole]
    slot: Whole
    indices: np.ndarray[Any, Any]
    indptr: np.ndarray[Any, Any]

    @property
    def sink(self) -> Flags:
        """Places that are demands."""
        places = np.arange(len(self.amount))
        return np.asarray((places >= len(self.nodes)) & (places < 2 * len(self.nodes)) & (self.amount > 0))

    def reached(self, up: Flags) -> Flags:
        """Nodes that are up and joined to a source by what is up, in the order of `nodes`."""
        from scipy.sparse import csr_array
        from scipy.sparse.csgraph import breadth_first_order

        count, open_ = len(self.nodes), up[self.owner]
        source = np.flatnonzero(open_[:count] & (self.amount[:count] > 0))
        ways = open_[2 * count :]
        tail, head = self.ways
        rows = np.concatenate([tail[ways], np.full(len(source), count)])
        columns = np.concatenate([head[ways], source])
        graph = csr_array((np.ones(len(rows), dtype=np.int8), (rows, columns)), shape=(count + 1, count + 1))
        found = np.zeros(count + 1, dtype=bool)
        found[breadth_first_order(graph, count, return_predecessors=False)] = True
        return np.asarray(found[:count] & up[self.nodes])

    def flow(self, up: Flags, sinks: Flags | None = None) -> Any:
        """The maximum flow through elements that are `up`, to all demands or some places of them, as scipy gives it."""
        from scipy.sparse import csr_array
        from scipy.sparse.csgraph import maximum_flow

        open_ = up[self.owner] if sinks is None else up[self.owner] & (~self.sink | sinks)
        data = np.bincount(self.slot, np.where(open_, self.amount, 0), minlength=len(self.indices)).astype(np.int32)
        size = len(self.indptr) - 1
        return maximum_flow(csr_array((data, self.indices, self.indptr), shape=(size, size)), size - 2, size - 1)

    def value(self, up: Flags) -> float:
        """Weight of what can be served at best.

        Demands of more weight come first. That is best, because the sets of demands that can be served form a polymatroid; the
        flow to the demands above each level of weight is enough to know the sum.
        """
        if self.unlimited:
            return float(self.worth[self.reached(up)].sum())
        levels = np.unique(self.weight[self.sink])[::-1]
        if len(levels) == 0:
            return 0.0
        less = np.append(levels[1:], 0.0)
        flows = [self.flow(up, self.weight >= level).flow_value if level > 0 else 0 for level in levels]
        return float(sum(flow * (level - low) for flow, level, low in zip(flows, levels, less, strict=True)) / self.scale)

    def shares(self, up: Flags) -> Floats:
        """Share served of each node's demand, in the order of `nodes`; NaN without demand; more weight, then table order, first."""
        if self.unlimited:
            return np.where(self.demanded, self.reached(up), np.nan)
        places = np.flatnonzero(self.sink)
        share = np.full(len(self.nodes), np.nan)
        chosen = np.zeros(len(self.amount), dtype=bool)
        before = 0
        for place in places[np.argsort(-self.weight[places], kind="stable")]:
            chosen[place] = True
            now = int(self.flow(up, chosen).flow_value)
            share[place - len(self.nodes)] = (now - before) / self.amount[place]
            before = now
        return share

    def carried(self, up: Flags) -> tuple[Floats, Floats]:
        """What one maximum flow brings through each node and along each arc, in units of the demand."""
        flow = self.flow(up).flow
        count = len(self.nodes)
        through = flow.maximum(0).sum(axis=0)[:count] / self.scale
        along = np.abs(np.asarray(flow[self.tail, self.head]).ravel()) / self.scale if len(self.tail) else np.zeros(0)
        return np.asarray(through, dtype=np.float64), np.asarray(along, dtype=np.float64)


def graph(
    nodes: Whole,
    arcs: Whole,
    tail: Whole,
    head: Whole,
    *,
    supply: Floats,
    demand: Floats,
    capacity: Floats,
    directed: Flags,
    weight: Floats,
) -> Graph:
    """A network from its parts.

    Parameters
    ----------
    nodes, arcs
        Numbers of the elements, as states of a study count them.
    tail, head
        Ends of each arc, as places in `nodes`.
    supply, demand, weight
        By node, in the unit of the network; `weight` is what a unit of demand counts.
    capacity, directed
        By arc; inf carries everything.

    Examples
    --------
    A source of 3, two pipes that carry 2 and 5 one after the other, and a demand of 4: 2 arrive.

    >>> one = graph(np.arange(3), np.arange(3, 5), np.array([0, 1]), np.array([1, 2]), supply=np.array([3.0, 0, 0]),
    ...     demand=np.array([0, 0, 4.0]), capacity=np.array([2.0, 5]), directed=np.zeros(2, bool), weight=np.ones(3))
    >>> one.value(np.ones(5, bool)), one.shares(np.ones(5, bool)).tolist()
    (2.0, [nan, nan, 0.5])
    """
    from scipy.sparse import csr_array

    total = float(demand.sum())
    back = np.flatnonzero(~directed)
    limit = np.minimum(capacity, total)
    amounts = np.concatenate([np.minimum(supply, total), demand, limit, limit[back]])
    scale = _scale(amounts)
    count = len(nodes)
    source, sink = count, count + 1
    places = np.arange(count)
    rows = np.concatenate([np.full(count, source), places, tail, head[back]])
    columns = np.concatenate([places, np.full(count, sink), head, tail[back]])
    # every place also has its way back, so that the algorithm finds the reverse edges in the structure
    both = np.concatenate([rows * (sink + 1) + columns, columns * (sink + 1) + rows])
    cells, slot = np.unique(both, return_inverse=True)
    frame = csr_array((np.ones(len(cells)), (cells // (sink + 1), cells % (sink + 1))), shape=(sink + 1, sink + 1))
    return Graph(
        nodes,
        arcs,
        tail,
        head,
        amount=np.round(amounts * scale).astype(np.int64),
        scale=scale,
        owner=np.concatenate([nodes, nodes, arcs, arcs[back]]),
        weight=np.concatenate([np.zeros(count), np.where(demand > 0, weight, 0.0), np.zeros(len(arcs) + len(back))]),
        worth=np.where(demand > 0, weight * demand, 0.0),
        demanded=demand > 0,
        unlimited=bool(np.all(capacity >= total) and np.all((supply == 0) | (supply >= total))),
        ways=(np.concatenate([tail, head[back]]), np.concatenate([head, tail[back]])),
        slot=slot[: len(rows)],
        indices=frame.indices,
        indptr=frame.indptr,
    )


def _scale(amounts: Floats) -> float:
    """The power of ten that makes all amounts whole, or the finest one that the algorithm can count in.

    >>> _scale(np.array([3.0, 0.25])), _scale(np.array([1 / 3])), _scale(np.array([4e9]))
    (100.0, 1000000.0, 0.1)
    """
    most = float(amounts.sum()) or 1.0
    fits = [10.0**power for power in range(-DECIMALS * 3, DECIMALS + 1) if most * 10.0**power < LARGEST]
    exact = (scale for scale in fits if scale >= 1 and np.allclose(amounts * scale, np.round(amounts * scale), rtol=0, atol=1e-6))
    return next(exact, fits[-1])
