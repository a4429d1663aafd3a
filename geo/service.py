"""Service networks: who has water, power or care when parts are broken, through flow with limits and needs across networks.

A network is nodes and arcs. A demand is served as far as working sources can bring it through working arcs without exceeding what
they carry: the maximum flow, so the total served is exact. Whether a thing works (`working`) is kept apart from how damaged it is:
a cracked tank that holds water needs no repair before service returns. An element is *up* when it works and everything it needs is
up: all of its single needs, and one of each group of alternatives (a feeder, or solar panels, or a generator).

Needs that run in a circle (a power station that needs water that needs its power) are taken to keep each other up once all of them
work: the greatest fixed point, which is the rule of restoration studies and hides the effort of a black start (known bias). People
are counted once for every service they have, so 100 people without water and power are 200. Where capacities limit, the total is
unique but not its split: those with most people for a unit of demand come first, then the order of the table.

Reference: González, Dueñas-Osorio, Sánchez-Silva & Medaglia 2016, doi:10.1111/mice.12171.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

import numpy as np
import pandas as pd

from geo.errors import Finding, LayerError, finding, raise_errors
from geo.flow import Flags, Graph, Whole, graph
from geo.messages import message
from geo.overlay import Floats

Weighting = Literal["people", "networks"]

NODES, ARCS, NEEDS = "service nodes", "service arcs", "dependencies"


class ServiceError(LayerError):
    """Nodes, arcs or dependencies that make no network."""


@dataclass(frozen=True)
class Service:
    """What is served in one state; people are NaN where those of any node are unknown (only possible where networks weigh alike).

    Attributes
    ----------
    nodes
        By node with a demand: `network`, `people`, `up`, `served_share` (0 to 1), `people_without`.
    networks
        By network: `demand`, `served`, `unmet_share` (0 to 1), `people_without`.
    """

    nodes: pd.DataFrame
    networks: pd.DataFrame

    @property
    def people_without(self) -> float:
        """People without service, each service counted."""
        return float(self.networks["people_without"].sum(skipna=False))


@dataclass(frozen=True)
class Networks:
    """One network or several with the needs between them; made by `build`.

    Attributes
    ----------
    nodes
        By id: `network`, `supply`, `demand`, `people`, `working`, and whatever else came with it (such as `state`, its damage).
    arcs
        By id: `tail`, `head`, `capacity` (inf: no limit), `directed`, `working`, `network`.
    dependencies
        `depender`, `dependee`, `group` (empty: needed by itself; alike for one depender: one of them is enough), `needs`:
        `working` (the dependee is up) or `supplied` (it is up and joined to a source that is up).
    weighting
        `people` weighs a unit of demand by the people behind it; `networks` gives each network the same weight, all together 1.
    """

    nodes: pd.DataFrame
    arcs: pd.DataFrame
    dependencies: pd.DataFrame
    weighting: Weighting = "people"
    _seen: dict[tuple[int, bytes], float] = field(default_factory=dict, repr=False, compare=False)
    _states: dict[bytes, Floats] = field(default_factory=dict, repr=False, compare=False)

    @cached_property
    def elements(self) -> pd.Index[str]:
        """Ids of nodes, then of arcs: the order of every state."""
        return self.nodes.index.append(self.arcs.index)

    @cached_property
    def working(self) -> Flags:
        """Which elements work as they stand, in the order of `elements`."""
        return np.concatenate([one["working"].to_numpy(dtype=bool) for one in (self.nodes, self.arcs)])

    @property
    def broken(self) -> tuple[str, ...]:
        """Ids of what does not work, in the order of `elements`."""
        return tuple(self.elements[~self.working])

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Names of the networks, in order of appearance."""
        return tuple(pd.unique(self.nodes["network"]))

    @cached_property
    def ends(self) -> tuple[Whole, Whole]:
        """Positions of tail and head of each arc."""
        tail, head = (self.nodes.index.get_indexer(pd.Index(self.arcs[end])) for end in ("tail", "head"))
        return tail.astype(np.int64), head.astype(np.int64)

    @cached_property
    def directed(self) -> Flags:
        """Which arcs go one way only."""
        return self.arcs["directed"].to_numpy(dtype=bool)

    @cached_property
    def sources(self) -> Flags:
        """Which nodes have a supply."""
        return np.asarray(self.nodes["supply"].to_numpy(dtype=np.float64) > 0)

    @cached_property
    def unit_weight(self) -> Floats:
        """What a served unit of demand counts, by node: people, or its share of its network over the number of networks."""
        demand = self.nodes["demand"].to_numpy(dtype=np.float64)
        if self.weighting == "people":
            people = self.nodes["people"].to_numpy(dtype=np.float64)
            return np.asarray(np.divide(people, demand, out=np.zeros_like(demand), where=demand > 0))
        total = self.nodes.groupby("network")["demand"].transform("sum").to_numpy(dtype=np.float64)
        count = self.nodes.loc[self.nodes["demand"] > 0, "network"].nunique()
        return np.asarray(np.divide(1.0, total * count, out=np.zeros_like(demand), where=total > 0))

    @cached_property
    def full(self) -> float:
        """The value if every demand were met."""
        return float(self.full_by_network.sum())

    @cached_property
    def full_by_network(self) -> Floats:
        """The same by network, in the order of `names`."""
        worth = self.unit_weight * self.nodes["demand"].to_numpy(dtype=np.float64)
        return np.array([worth[one.nodes].sum() for one in self.graphs])

    @cached_property
    def graphs(self) -> tuple[Graph, ...]:
        """Each network as a flow problem, in the order of `names`."""
        tail, head = self.ends
        amount = {name: self.nodes[name].to_numpy(dtype=np.float64) for name in ("supply", "demand")}
        capacity, directed = self.arcs["capacity"].to_numpy(dtype=np.float64), self.directed
        made = []
        for name in self.names:
            nodes = np.flatnonzero((self.nodes["network"] == name).to_numpy())
            arcs = np.flatnonzero((self.arcs["network"] == name).to_numpy())
            place = np.full(len(self.nodes), -1)
            place[nodes] = np.arange(len(nodes))
            parts = {"supply": amount["supply"][nodes], "demand": amount["demand"][nodes], "weight": self.unit_weight[nodes]}
            ways = {"capacity": capacity[arcs], "directed": directed[arcs]}
            made.append(graph(nodes, len(self.nodes) + arcs, place[tail[arcs]], place[head[arcs]], **parts, **ways))
        return tuple(made)

    @cached_property
    def needs(self) -> _Needs:
        return _Needs.of(self)

    def state(self, repaired: Iterable[str] = (), failed: Iterable[str] = ()) -> Flags:
        """Which elements work after these are repaired and those have failed."""
        works = self.working.copy()
        works[self.elements.get_indexer(pd.Index(list(repaired), dtype=object))] = True
        works[self.elements.get_indexer(pd.Index(list(failed), dtype=object))] = False
        return works

    def values(self, works: Flags) -> Floats:
        """What each network serves in a state, in people or, weighted by networks, as a share of 1. Remembered by state."""
        whole = works.tobytes()
        if whole not in self._states:
            usable = up(self, works)
            found = np.zeros(len(self.graphs))
            for number, one in enumerate(self.graphs):
                key = (number, usable[one.nodes].tobytes() + usable[one.arcs].tobytes())
                if key not in self._seen:
                    self._seen[key] = one.value(usable)
                found[number] = self._seen[key]
            self._states[whole] = found
        return self._states[whole]

    def value(self, works: Flags) -> float:
        """What all networks serve together in a state, 0 to `full`."""
        return float(self.values(works).sum())

    def unmet(self, works: Flags) -> float:
        """What is not served in a state, 0 to `full`."""
        return max(self.full - self.value(works), 0.0)


def up(networks: Networks, works: Flags) -> Flags:
    """Elements that are up, in the order of `elements`: they work, and what they need is up. An arc needs both its ends.

    The fixed point is reached from above: everything that works is up until something that it needs is not.
    """
    tail, head = networks.ends
    count = len(networks.nodes)
    needs = networks.needs
    now = works.copy()
    while True:
        now[count:] &= now[tail] & now[head]
        given = now[needs.dependee]
        if needs.supplied.any():
            given &= ~needs.supplied | supplied(networks, now)[needs.dependee]
        met = np.bincount(needs.group, given, minlength=len(needs.depender)) > 0
        lost = needs.depender[~met & now[needs.depender]]
        if len(lost) == 0:
            return now
        now[lost] = False


def supplied(networks: Networks, usable: Flags) -> Flags:
    """Elements that are up and joined to a source that is up, in the order of `elements`; an arc is where its tail is."""
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import breadth_first_order

    tail, head = networks.ends
    count = len(networks.nodes)
    open_arcs = usable[count:]
    back = open_arcs & ~networks.directed
    sources = np.flatnonzero(usable[:count] & networks.sources)
    rows = np.concatenate([tail[open_arcs], head[back], np.full(len(sources), count)])
    columns = np.concatenate([head[open_arcs], tail[back], sources])
    graph = csr_array((np.ones(len(rows), dtype=np.int8), (rows, columns)), shape=(count + 1, count + 1))
    reached = np.zeros(count + 1, dtype=bool)
    reached[breadth_first_order(graph, count, return_predecessors=False)] = True
    return np.concatenate([reached[:count], open_arcs & reached[tail]])


def served(networks: Networks, works: Flags | None = None) -> Service:
    """What each demand and each network is served in a state (absent: as they stand).

    Where capacity is short, those with most people for a unit of demand come first, then the order of the table.
    """
    usable = up(networks, networks.working if works is None else works)
    share = np.full(len(networks.nodes), np.nan)
    for one in networks.graphs:
        share[one.nodes] = one.shares(usable)
    frame = networks.nodes.loc[networks.nodes["demand"] > 0]
    at = networks.nodes.index.get_indexer(frame.index)
    nodes = frame[["network", "people"]].assign(up=usable[at], served_share=share[at])
    nodes["people_without"] = nodes["people"] * (1 - nodes["served_share"])
    table = pd.DataFrame(
        {"demand": frame["demand"], "served": frame["demand"] * nodes["served_share"], "people_without": nodes["people_without"]}
    )
    by = table.groupby(frame["network"], sort=False).sum(min_count=1)
    unknown = nodes["people"].isna().groupby(frame["network"], sort=False).any()
    by["people_without"] = by["people_without"].mask(unknown)
    by.insert(2, "unmet_share", (1 - by["served"] / by["demand"]).clip(0, 1))
    return Service(nodes, by)


@dataclass(frozen=True)
class _Needs:
    """Needs as arrays: `dependee` and `supplied` by line, `group` the number of its group, `depender` by group."""

    dependee: Whole
    supplied: Flags
    group: Whole
    depender: Whole

    @classmethod
    def of(cls, networks: Networks) -> _Needs:
        frame = networks.dependencies
        alone = frame["group"].isna() | (frame["group"].astype("string") == "")
        number = pd.Series(range(len(frame)), index=frame.index).astype("string")
        label = frame["group"].astype("string").where(~alone, "\0" + number)
        depender = networks.elements.get_indexer(pd.Index(frame["depender"]))
        group, _ = pd.factorize(pd.MultiIndex.from_arrays([depender, label]))
        of_group = np.zeros(group.max(initial=-1) + 1, dtype=np.int64)
        of_group[group] = depender
        dependee = networks.elements.get_indexer(pd.Index(frame["dependee"])).astype(np.int64)
        return cls(dependee, (frame["needs"] == "supplied").to_numpy(dtype=bool), group.astype(np.int64), of_group)


def build(
    nodes: pd.DataFrame,
    arcs: pd.DataFrame,
    dependencies: pd.DataFrame | None = None,
    *,
    weighting: Weighting = "people",
    unknown_works: bool = True,
) -> Networks:
    """Networks from tables, checked as a whole.

    Parameters
    ----------
    nodes
        Index: id. `network`; `supply` and `demand` in any unit that is the same throughout a network (absent or NaN supply:
        none); `people` behind the demand. Without a column `demand` the demand is the people. `working` (absent: all work).
    arcs
        Index: id, other than those of the nodes. `tail`, `head`; `capacity` in the unit of the demand (absent or NaN: unknown,
        taken as no limit, so that service is an upper bound); `directed` (absent: both ways); `working`.
    dependencies
        `depender`, `dependee`, and optionally `group` and `needs` (see `Networks`).
    weighting
        What a unit of demand counts (see `Networks`).
    unknown_works
        Whether elements whose `working` is NaN count as working: run it with both for the bounds.

    Raises
    ------
    ServiceError
        Everything that is wrong at once: repeated or unknown ids, negative amounts, demands without people, arcs across networks.

    Examples
    --------
    >>> nodes = pd.DataFrame({"network": "water", "supply": [90.0, 0, 0], "people": [0, 60, 40]}, index=["well", "a", "b"])
    >>> arcs = pd.DataFrame({"tail": ["well", "a"], "head": ["a", "b"], "working": [True, False]}, index=["w-a", "a-b"])
    >>> served(build(nodes, arcs)).people_without
    40.0
    >>> served(build(nodes, arcs.assign(working=True))).people_without
    10.0
    """
    left = nodes.copy()
    right = arcs.copy()
    for frame in (left, right):
        frame.index = frame.index.astype(str)
        known = frame["working"].astype("boolean") if "working" in frame else pd.Series(True, index=frame.index, dtype="boolean")
        frame["working"] = known.fillna(unknown_works).astype(bool)
    left["supply"] = left.get("supply", pd.Series(0.0, index=left.index)).astype(float).fillna(0.0)
    if "demand" not in left and "people" in left:
        left["demand"] = left["people"]
    left["demand"] = left.get("demand", pd.Series(0.0, index=left.index)).astype(float)
    left["people"] = left.get("people", pd.Series(np.nan, index=left.index)).astype(float)
    left["people"] = left["people"].mask(left["people"].isna() & (left["demand"] == 0), 0.0)
    right["capacity"] = right.get("capacity", pd.Series(np.inf, index=right.index)).astype(float).fillna(np.inf)
    right["directed"] = right.get("directed", pd.Series(False, index=right.index)).astype(bool)
    right[["tail", "head"]] = right[["tail", "head"]].astype(str)
    right["network"] = right["tail"].map(left["network"][~left.index.duplicated()])
    needs = pd.DataFrame(columns=["depender", "dependee"], dtype=str) if dependencies is None else dependencies
    needs = needs.reset_index(drop=True)
    needs = needs.assign(**{end: needs[end].astype(str) for end in ("depender", "dependee")})
    needs["group"] = needs.get("group", pd.Series(pd.NA, index=needs.index, dtype="string"))
    needs["needs"] = needs.get("needs", pd.Series("working", index=needs.index)).fillna("working")
    raise_errors(_wrong(left, right, needs, people=weighting == "people"), ServiceError)
    return Networks(left, right, needs, weighting)


def _wrong(nodes: pd.DataFrame, arcs: pd.DataFrame, needs: pd.DataFrame, *, people: bool) -> list[Finding]:
    ids = nodes.index.append(arcs.index)
    repeated = ids[ids.duplicated()]
    strangers = pd.concat([arcs.loc[~arcs[end].isin(nodes.index), end] for end in ("tail", "head")])
    head = arcs["head"].map(nodes["network"][~nodes.index.duplicated()])
    across = arcs.index[head.notna() & arcs["network"].notna() & (head != arcs["network"])]
    amounts = {"supply": nodes["supply"], "demand": nodes["demand"], "people": nodes["people"], "capacity": arcs["capacity"]}
    amounts["people"] = amounts["people"] if people else amounts["people"].fillna(0.0)  # not needed, and unknown stays unknown
    bad = {name: one.index[~(one >= 0)] for name, one in amounts.items()}
    outside = pd.concat([needs.loc[~needs[end].isin(ids), end] for end in ("depender", "dependee")])
    kinds = needs.loc[~needs["needs"].isin(["working", "supplied"]), "depender"]
    found = [
        (
            "service-id",
            NODES,
            repeated,
            message("Ids occur more than once."),
            message("Nodes and arcs need ids that are unique over all networks."),
        ),
        (
            "service-people",
            NODES,
            nodes.index[people & (nodes["people"] > 0) & (nodes["demand"] == 0)],
            message("There are people at nodes without a demand; they would not be counted."),
            message("Give these nodes a demand, or leave the column out: then the demand is the people."),
        ),
        (
            "service-end",
            ARCS,
            strangers,
            message("Arcs end at nodes that are not there."),
            message("Add the nodes, or leave the arcs out."),
        ),
        (
            "service-across",
            ARCS,
            across,
            message("Arcs join nodes of different networks."),
            message("Put what one network gives another into the dependencies."),
        ),
        (
            "service-need",
            NEEDS,
            outside,
            message("Dependencies name elements that are not there."),
            message("Name nodes or arcs by their ids."),
        ),
        (
            "service-needs",
            NEEDS,
            kinds,
            message("Only 'working' and 'supplied' can be needed."),
            message("Use one of the two, or leave it empty."),
        ),
    ]
    made = [finding(code, "error", where, said, remedy=remedy, rows=rows) for code, where, rows, said, remedy in found if len(rows)]
    for name, rows in bad.items():
        if len(rows):
            made.append(
                finding(
                    "service-amount",
                    "error",
                    ARCS if name == "capacity" else NODES,
                    message("Column {column} is unknown or negative.", column=name),
                    expected=message("A number of 0 or more is expected."),
                    remedy=message("Fill in an estimate; what is unknown can't be counted as zero."),
                    rows=rows,
                )
            )
    return made
