"""Condensing: a smaller network that behaves in every way as the whole one, for work that tries many states.

Elements that work, need nothing and are joined by what works and needs nothing are always supplied together: they become one node
with their people and their supply. What can change stays: everything that is broken, everything that needs something, and what it
needs. Exact where arcs have no limit, which is checked; with limits the ways inside would count.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from geo.flow import Flags, Whole
from geo.service import Networks, build


@dataclass(frozen=True)
class Condensed:
    """The smaller network; `place` has for each node of the whole one the position of its node in it."""

    networks: Networks
    place: Whole


def condensed(networks: Networks) -> Condensed:
    """The networks with all that is steady drawn together; ids of what can change stay.

    Examples
    --------
    A well, two sound pipes and a broken one: the sound ones become one node with the well.

    >>> nodes = pd.DataFrame({"network": "water", "supply": [9.0, 0, 0, 0], "people": [0, 10, 20, 30],
    ...     "working": [True, True, False, True]}, index=list("wabc"))
    >>> arcs = pd.DataFrame({"tail": list("wab"), "head": list("abc")}, index=["1", "2", "3"])
    >>> small = condensed(build(nodes, arcs)).networks
    >>> small.nodes["people"].to_dict(), len(small.arcs)
    ({'w': 10.0, 'b': 20.0, 'c': 30.0}, 2)

    Raises
    ------
    ValueError
        An arc has a limit or goes one way only.
    """
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import connected_components

    if np.isfinite(networks.arcs["capacity"]).any() or networks.directed.any():
        raise ValueError("only networks without limits and directions can be condensed")
    count = len(networks.nodes)
    steady = _steady(networks)
    tail, head = networks.ends
    inside = steady[count:] & steady[tail] & steady[head]
    links = csr_array((np.ones(int(inside.sum()), dtype=np.int8), (tail[inside], head[inside])), shape=(count, count))
    _, part = connected_components(links, directed=False)
    _, first, place = np.unique(part, return_index=True, return_inverse=True)
    order = np.argsort(first)
    place = np.argsort(order)[place]
    names = networks.nodes.index[first[order]]
    nodes = networks.nodes[["network", "working"]].iloc[first[order]].copy()
    for column in ("supply", "demand", "people"):
        nodes[column] = np.bincount(place, networks.nodes[column].to_numpy(dtype=np.float64), minlength=len(names))
    kept = ~inside
    needed = np.zeros(len(tail), dtype=bool)  # somebody needs just this one
    needed[networks.needs.dependee[networks.needs.dependee >= count] - count] = True
    kept |= needed
    ends = pd.DataFrame({"tail": names[place[tail]], "head": names[place[head]], "working": networks.arcs["working"].to_numpy()})
    arcs = ends.set_axis(networks.arcs.index)[kept]
    sound = (steady[count:] & ~needed)[kept]
    once = ~sound
    once[sound] = ~arcs[sound].duplicated(["tail", "head"]).to_numpy()
    arcs = arcs[once]
    return Condensed(build(nodes, arcs, _needs(networks, names, place, steady), weighting=networks.weighting), place)


def _steady(networks: Networks) -> Flags:
    """Elements that work, whatever else is repaired: they need nothing, or only what is steady itself."""
    needs = networks.needs
    steady = networks.working.copy()
    while True:
        met = np.bincount(needs.group, steady[needs.dependee] & ~needs.supplied, minlength=len(needs.depender)) > 0
        lost = needs.depender[~met & steady[needs.depender]]
        if len(lost) == 0:
            return steady
        steady[lost] = False


def _needs(networks: Networks, names: pd.Index[str], place: Whole, steady: Flags) -> pd.DataFrame:
    """The needs of what can change; a need of something steady is met, and with it its group."""
    frame, needs, count = networks.dependencies, networks.needs, len(networks.nodes)
    met = np.bincount(needs.group, steady[needs.dependee] & ~needs.supplied, minlength=len(needs.depender)) > 0
    kept = ~met[needs.group]
    node = needs.dependee < count
    to = np.where(node, names[place[np.where(node, needs.dependee, 0)]], frame["dependee"])
    return frame.assign(dependee=to)[kept]
