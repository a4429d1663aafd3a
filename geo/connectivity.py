"""Connectivity: how far demands stay joined to sources, and nodes to each other, when parts of a network fail.

Four measures of loss, all 0 (nothing lost) to 1, as the manual of the OpenQuake engine defines them for infrastructure, here
computed from the definitions:

- complete (CCL): share of the demand nodes that had a source and have none now;
- partial (PCL): mean over demand nodes of the share of their sources that they lost;
- weighted (WCL): the same of ``WS = NS · Σ 1/d``, which also counts detours (NS sources reached, at distances d);
- efficiency (EL): lost share of ``E = mean_i Σ_j 1/d_ij / (N − 1)``, with the N of the intact network.

Capacities and needs of other networks are not in the distances (known bias); what is not up for want of something else is.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from geo.errors import finding
from geo.flow import Flags
from geo.messages import message
from geo.overlay import Floats
from geo.service import Networks, ServiceError, up

MEASURES = ("complete", "partial", "weighted", "efficiency")
ROWS = 256  # sources looked at together, so that memory does not grow with the square of the network


def loss(networks: Networks, works: Flags | None = None, *, length: pd.Series[float] | None = None) -> pd.DataFrame:
    """Connectivity lost between all up and a state, by network.

    Parameters
    ----------
    works
        State of the elements, in the order of `networks.elements` (absent: as they stand).
    length
        By arc, any unit, above 0 (absent: every arc counts 1).

    Returns
    -------
    DataFrame
        Index: network. `complete, partial, weighted, efficiency`, 0 to 1; NaN where nothing was joined before.

    Raises
    ------
    ServiceError
        Lengths that are unknown or not above 0.

    Examples
    --------
    One well, two taps in a row; the pipe to the second one is cut, and so is one of three pairs of nodes at distance 1 and the one
    at distance 2.

    >>> from geo.service import build
    >>> nodes = pd.DataFrame({"network": "water", "supply": [9.0, 0, 0], "people": [0, 5, 5]}, index=["well", "a", "b"])
    >>> arcs = pd.DataFrame({"tail": ["well", "a"], "head": ["a", "b"], "working": [True, False]}, index=["w-a", "a-b"])
    >>> loss(build(nodes, arcs)).round(2).iloc[0].tolist()
    [0.5, 0.5, 0.5, 0.6]
    """
    far: pd.Series[float] = pd.Series(1.0, index=networks.arcs.index) if length is None else length.reindex(networks.arcs.index)
    if not (far > 0).all():
        said, expected = message("Lengths are unknown or not above 0."), message("A number above 0 is expected.")
        raise ServiceError(finding("service-length", "error", "service arcs", said, expected=expected, rows=far.index[~(far > 0)]))
    intact = up(networks, np.ones_like(networks.working))
    now = up(networks, networks.working if works is None else works)
    table = {name: _losses(networks, number, (intact, now), far) for number, name in enumerate(networks.names)}
    return pd.DataFrame.from_dict(table, orient="index", columns=list(MEASURES)).rename_axis("network")


def _losses(networks: Networks, number: int, states: tuple[Flags, Flags], far: pd.Series[float]) -> list[float]:
    one = networks.graphs[number]
    length = np.asarray(far, dtype=np.float64)
    sources = np.flatnonzero(networks.sources[one.nodes])
    demands = np.flatnonzero(networks.nodes["demand"].to_numpy()[one.nodes] > 0)
    (near0, all0), (near1, all1) = (_closeness(networks, number, state, length, sources, demands) for state in states)
    reached0, reached1 = (near0 > 0).sum(axis=0), (near1 > 0).sum(axis=0)
    had = reached0 > 0
    weighted0, weighted1 = reached0 * near0.sum(axis=0), reached1 * near1.sum(axis=0)
    losses = [
        1 - (reached1[had] > 0).sum() / had.sum() if had.any() else np.nan,
        np.mean(1 - reached1[had] / reached0[had]) if had.any() else np.nan,
        np.mean(1 - weighted1[had] / weighted0[had]) if had.any() else np.nan,
        1 - all1 / all0 if all0 > 0 else np.nan,
    ]
    return [float(np.clip(value, 0.0, 1.0)) for value in losses]


def _closeness(
    networks: Networks, number: int, usable: Flags, length: Floats, sources: np.ndarray, demands: np.ndarray
) -> tuple[Floats, float]:
    """``1 / d`` from each source to each demand (0: not joined), and the sum of ``1 / d`` over all pairs of nodes.

    A demand at its own source is as near as can be: it counts as joined at the shortest length there is.
    """
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import dijkstra

    one = networks.graphs[number]
    open_ = usable[one.arcs]
    own = one.arcs - len(networks.nodes)
    both = open_ & ~networks.directed[own]
    ways = pd.DataFrame(
        {
            "tail": np.concatenate([one.tail[open_], one.head[both]]),
            "head": np.concatenate([one.head[open_], one.tail[both]]),
            "length": np.concatenate([length[own[open_]], length[own[both]]]),
        }
    )
    shortest = ways[ways["tail"] != ways["head"]].groupby(["tail", "head"])["length"].min()
    ends = (shortest.index.get_level_values("tail"), shortest.index.get_level_values("head"))
    count = len(one.nodes)
    graph = csr_array((shortest.to_numpy(), ends), shape=(count, count))
    least = float(length.min(initial=np.inf))
    near = np.zeros((len(sources), len(demands)))
    row = np.full(count, -1)
    row[sources] = np.arange(len(sources))
    total = 0.0
    there = usable[one.nodes]
    for begin in range(0, count, ROWS):
        chosen = np.arange(begin, min(begin + ROWS, count))
        with np.errstate(divide="ignore"):
            inverse = 1.0 / dijkstra(graph, indices=chosen)
        itself = np.isinf(inverse)
        total += float(inverse[~itself].sum())
        inverse[itself] = np.where(there[chosen], 1.0 / least if np.isfinite(least) else 1.0, 0.0)
        held = row[chosen] >= 0
        near[row[chosen[held]]] = inverse[held][:, demands]
    return near, total
