"""Restoration: repair plans that are exact for one period or for a window of several, and the best plan that was found.

A window is a mixed-integer programme (time-dependent INDP of González et al. 2016, doi:10.1111/mice.12171, without costs of flow):
a yes or no for every repair and period, flow within capacities through what is up, needs across networks, prerequisites, and the
allowance of each period; its aim is the demand met, summed over the window. `period` solves it for one period after the other,
which is blind to parts that serve only together with the next period's; `rolling` looks three periods ahead and keeps the first.
Neither sees the whole horizon, so `best_plan` makes plain and exact plans, re-plans the best of them exactly, stretch by stretch,
until nothing improves, and returns the one with the least loss. What is proven is each window (its gap is reported), not the whole
(known bias). A limit in seconds makes results depend on the machine; where they must not, set it high and limit nodes instead.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np

from geo.flow import Flags, Graph
from geo.overlay import Floats
from geo.sequence import Periods, Plan, Repairs, completed, filled, greedy, loss, placed, plan, static
from geo.service import Networks, up

MORE = 1e-9  # relative: what counts as an improvement
NUDGE = 1e-6  # relative worth of a repair that serves nobody yet: enough to use idle crews, too little to outweigh a person
ROUNDS = 10  # of tightening the limits of arcs


@dataclass(frozen=True)
class Solver:
    """Limits of one exact window.

    Attributes
    ----------
    seconds
        Time; when it runs out the best plan found so far counts.
    gap
        Relative distance to the bound at which a window counts as solved.
    nodes
        Branches looked at; 0 is no limit. The limit to choose where results must not depend on the speed of the machine.
    """

    seconds: float = 20.0
    gap: float = 1e-6
    nodes: int = 0


SOLVER = Solver()


def per_period(repairs: Repairs, *, solver: Solver = SOLVER) -> Plan:
    """Each period exactly, one after the other (iterative INDP)."""
    return _ahead(repairs, 1, "period", solver)


def rolling(repairs: Repairs, *, periods: int = 3, solver: Solver = SOLVER) -> Plan:
    """Exact over a rolling window, of which the first period is kept."""
    return _ahead(repairs, periods, "rolling", solver)


def best_plan(repairs: Repairs, *, periods: int = 3, stretch: int = 4, solver: Solver = SOLVER) -> Plan:
    """The plan of least loss: static, greedy, exact by period and rolling are made, and the best is improved.

    Parameters
    ----------
    periods
        Length of the rolling window.
    stretch
        Periods that are re-planned together.
    """
    made = [static(repairs), greedy(repairs), per_period(repairs, solver=solver), rolling(repairs, periods=periods, solver=solver)]
    return improved(repairs, min(made, key=lambda one: one.lost), stretch=stretch, solver=solver)


def improved(repairs: Repairs, begun: Plan, *, stretch: int = 4, solver: Solver = SOLVER) -> Plan:
    """A plan re-planned exactly, some periods at a time, until no stretch of it gets better; never worse than what it began with.

    The repairs of a stretch stay in it, so that everything before and after is served as it was.
    """
    periods, least, gap = begun.period_of(), begun.lost, begun.gap
    start = unchanged = 0
    while unchanged < (starts := max(max(periods.values(), default=0) + 2 - stretch, 1)):
        chosen = [one for one, when in periods.items() if start <= when < start + stretch]
        before = [one for one, when in periods.items() if when < start]
        again, proven = window(repairs, before, chosen, start, stretch, solver)
        tried = periods | again
        tried = placed(repairs, sorted(tried, key=lambda one: tried[one]))
        value = loss(repairs, tried)
        unchanged += 1
        if value < least - MORE * repairs.networks.full:
            periods, least, unchanged = tried, value, 0
            gap = float(np.nanmax([gap, proven]))
        start = start + 1 if start + 1 < starts else 0
    return begun if least == begun.lost else plan(repairs, periods, method="improved", gap=gap)


def _ahead(repairs: Repairs, periods: int, method: str, solver: Solver) -> Plan:
    networks = repairs.networks
    rest = networks.unmet(np.ones_like(networks.working))
    begun: Periods = {}
    period, gap = 0, 0.0
    pending = list(repairs.effort.index)
    while pending and networks.unmet(_works(repairs, begun)) > rest + MORE * networks.full:
        chosen, proven = window(repairs, begun, pending, period, periods, solver)
        gap = max(gap, proven)
        if not chosen:
            begun = filled(repairs, begun, period)
            break
        begun |= {one: period for one, when in chosen.items() if when == period}
        later = sorted((one for one in chosen if one not in begun), key=lambda one: chosen[one])
        begun |= _idle(repairs, begun, period, [*later, *(one for one in pending if one not in chosen)])
        pending = [one for one in pending if one not in begun]
        period += 1
    whole = completed(repairs, begun, period, [one for one in repairs.effort.index if one not in begun])
    return plan(repairs, placed(repairs, sorted(whole, key=lambda one: whole[one])), method=method, gap=gap)


def _idle(repairs: Repairs, begun: Periods, period: int, following: Collection[str]) -> Periods:
    """What the rest of a period's allowance can take already, the window's next repairs first: repairing earlier never harms."""
    room = repairs.room(period) - sum(float(repairs.effort[one]) for one, when in begun.items() if when == period)
    taken: Periods = {}
    for one in following:
        if repairs.needs[one] <= begun.keys() | taken.keys() and repairs.effort[one] <= room + 1e-9:
            taken[one] = period
            room -= float(repairs.effort[one])
    return taken


def _works(repairs: Repairs, done: Collection[str]) -> Flags:
    return repairs.networks.state([one for one in done if one in repairs.networks.elements])


@dataclass
class _Programme:
    """Rows and columns of a mixed-integer programme while it is written."""

    cost: list[float] = field(default_factory=list)
    most: list[float] = field(default_factory=list)
    least: list[float] = field(default_factory=list)
    whole: list[int] = field(default_factory=list)
    entries: list[tuple[int, int, float]] = field(default_factory=list)
    low: list[float] = field(default_factory=list)
    high: list[float] = field(default_factory=list)

    def column(self, *, least: float = 0.0, most: float = 1.0, cost: float = 0.0, whole: bool = False) -> int:
        self.cost.append(cost)
        self.least.append(least)
        self.most.append(most)
        self.whole.append(int(whole))
        return len(self.cost) - 1

    def row(self, terms: Iterator[tuple[int, float]] | list[tuple[int, float]], low: float = -np.inf, high: float = 0.0) -> None:
        self.entries += [(len(self.low), column, factor) for column, factor in terms]
        self.low.append(low)
        self.high.append(high)

    def solve(self, solver: Solver) -> Any:
        from scipy.optimize import Bounds, LinearConstraint, milp
        from scipy.sparse import csr_array

        row, column, factor = (np.array(one) for one in zip(*self.entries, strict=True))
        matrix = csr_array((factor, (row, column)), shape=(len(self.low), len(self.cost)))
        options = {"time_limit": solver.seconds, "mip_rel_gap": solver.gap} | ({"node_limit": solver.nodes} if solver.nodes else {})
        return milp(
            np.array(self.cost),
            integrality=np.array(self.whole),
            bounds=Bounds(np.array(self.least), np.array(self.most)),
            constraints=LinearConstraint(matrix, np.array(self.low), np.array(self.high)),
            options=options,
        )


def window(
    repairs: Repairs, done: Collection[str], pending: Collection[str], start: int, periods: int, solver: Solver = SOLVER
) -> tuple[Periods, float]:
    """The best periods, within a window, for some of the pending repairs.

    Parameters
    ----------
    done, pending
        What is repaired before the window, and what may be repaired in it.
    start, periods
        First period of the window (0 is the first of all), and its length.

    Returns
    -------
    tuple
        Period by element, empty where the solver found nothing within its limits; relative gap to the solver's bound.
    """
    networks = repairs.networks
    if not pending:
        return {}, 0.0
    sure = up(networks, _works(repairs, done))
    most = up(networks, _works(repairs, [*done, *pending]))
    programme = _Programme()
    places = {one: number for number, one in enumerate(networks.elements)}
    scale = 1.0 / (networks.full or 1.0)
    nudge = NUDGE / (periods * max(len(pending), 1))
    built: dict[str, list[int]] = {}
    for number, one in enumerate(pending):
        worth = nudge * (1.0 - 0.5 * number / len(pending))
        columns = [programme.column(cost=-worth, whole=True) for _ in range(periods)]
        for before, after in pairwise(columns):
            programme.row([(before, 1.0), (after, -1.0)])
        built[one] = columns
    for one, columns in built.items():
        for need in sorted(repairs.needs[one] - set(done)):
            for number, mine in enumerate(columns):
                programme.row([(mine, 1.0), *([(built[need][number], -1.0)] if need in built else [])])
    for when in range(periods):
        terms = [(columns[when], float(repairs.effort[one])) for one, columns in built.items()]
        terms += [(columns[when - 1], -float(repairs.effort[one])) for one, columns in built.items() if when]
        programme.row(terms, high=repairs.room(start + when))
    works = {places[one]: columns for one, columns in built.items() if one in places}
    for when in range(periods):
        _state(networks, programme, {place: columns[when] for place, columns in works.items()}, sure, most, scale)
    result = programme.solve(solver)
    if result.x is None:
        return {}, np.inf
    chosen = {
        one: start + int(np.argmax(done_by > 0.5)) for one, columns in built.items() if (done_by := result.x[columns]).max() > 0.5
    }
    return chosen, float(result.mip_gap or 0.0)


def _state(networks: Networks, programme: _Programme, built: dict[int, int], sure: Flags, most: Flags, scale: float) -> None:
    """The state at the end of one period: what is up, and the flow through it.

    Only what is down now and can come up gets a column: what is up stays up, and what can't come up in this window is left out.
    """
    open_ = np.flatnonzero(most & ~sure)
    ups = {int(place): programme.column() for place in open_}
    for place, column in ups.items():
        if place in built:
            programme.row([(column, 1.0), (built[place], -1.0)])
    tail, head = networks.ends
    count = len(networks.nodes)
    for place, column in ups.items():
        if place >= count:
            for end in (int(tail[place - count]), int(head[place - count])):
                if end in ups:
                    programme.row([(column, 1.0), (ups[end], -1.0)])
    needs = networks.needs
    wanted = sorted({int(one) for one in needs.dependee[needs.supplied]}) if ups else []
    reach = _reach(networks, programme, ups, most, wanted) if wanted else {}
    for group, depender in enumerate(needs.depender.tolist()):
        lines = np.flatnonzero(needs.group == group).tolist()
        if depender in ups and not any(sure[needs.dependee[line]] and not needs.supplied[line] for line in lines):
            givers = [(reach if needs.supplied[line] else ups).get(int(needs.dependee[line])) for line in lines]
            programme.row([(ups[depender], 1.0), *((giver, -1.0) for giver in givers if giver is not None)])
    for one in networks.graphs:
        if one.value(most) > one.value(sure) + MORE * networks.full:
            _flow(networks, programme, one, ups, most, scale)


def _flow(networks: Networks, programme: _Programme, one: Graph, ups: dict[int, int], most: Flags, scale: float) -> None:
    """Flow of one network: conserved at every node, within capacities, only through what is up."""
    balance: dict[int, list[tuple[int, float]]] = {int(node): [] for node in one.nodes if most[node]}
    count = len(one.nodes)
    limit = one.amount / one.scale
    carries = _carries(one, most, limit)
    for place, node in enumerate(one.nodes.tolist()):
        if not most[node]:
            continue
        for amount, sign, weight in ((limit[place], 1.0, 0.0), (limit[count + place], -1.0, one.weight[count + place])):
            if amount > 0:
                column = programme.column(most=amount, cost=-weight * scale)
                balance[node].append((column, sign))
                if node in ups:
                    programme.row([(column, 1.0), (ups[node], -amount)])
    for number, arc in enumerate(one.arcs.tolist()):
        if not most[arc]:
            continue
        tail, head = int(one.nodes[one.tail[number]]), int(one.nodes[one.head[number]])
        amount = float(carries[number])
        lowest = 0.0 if networks.directed[arc - len(networks.nodes)] else -amount
        column = programme.column(least=lowest, most=amount)
        balance[tail].append((column, -1.0))
        balance[head].append((column, 1.0))
        if arc in ups:
            programme.row([(column, 1.0), (ups[arc], -amount)])
            if lowest < 0:
                programme.row([(column, -1.0), (ups[arc], -amount)])
    for terms in balance.values():
        if terms:
            programme.row(terms, low=0.0)


def _carries(one: Graph, most: Flags, limit: Floats) -> Floats:
    """What each arc can carry at most: not more than everything else at either of its ends. Tighter limits are solved faster."""
    count = len(one.nodes)
    carries = np.where(most[one.arcs], limit[2 * count : 2 * count + len(one.arcs)], 0.0)
    for _ in range(ROUNDS):
        there = limit[:count] + limit[count : 2 * count]
        there = there + np.bincount(one.tail, carries, minlength=count) + np.bincount(one.head, carries, minlength=count)
        loop = one.tail == one.head
        others = np.minimum(there[one.tail], there[one.head]) - carries
        carries = np.where(loop, 0.0, np.minimum(carries, np.maximum(others, 0.0)))
    return np.asarray(carries)


def _reach(networks: Networks, programme: _Programme, ups: dict[int, int], most: Flags, wanted: list[int]) -> dict[int, int]:
    """Columns that say whether wanted elements are joined to a source: a unit of something that nothing limits has to arrive.

    Elements that can't come up in this window have none. An arc is joined where its tail is.
    """
    count, many = len(networks.nodes), float(len(wanted))
    tail, head = networks.ends
    balance: dict[int, list[tuple[int, float]]] = {place: [] for place in np.flatnonzero(most[:count]).tolist()}
    for place in np.flatnonzero(most[:count] & networks.sources).tolist():
        column = programme.column(most=many)
        balance[place].append((column, 1.0))
        if place in ups:
            programme.row([(column, 1.0), (ups[place], -many)])
    for number in np.flatnonzero(most[count:]).tolist():
        column = programme.column(least=0.0 if networks.directed[number] else -many, most=many)
        balance[int(tail[number])].append((column, -1.0))
        balance[int(head[number])].append((column, 1.0))
        if count + number in ups:
            programme.row([(column, 1.0), (ups[count + number], -many)])
            programme.row([(column, -1.0), (ups[count + number], -many)])
    reach: dict[int, int] = {}
    for place in wanted:
        if most[place]:
            reach[place] = programme.column()
            balance[place if place < count else int(tail[place - count])].append((reach[place], -1.0))
            if place in ups:
                programme.row([(reach[place], 1.0), (ups[place], -1.0)])
    for terms in balance.values():
        if terms:
            programme.row(terms, low=0.0)
    return reach
