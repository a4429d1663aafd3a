"""Sequence: in which order broken parts of service networks are repaired, so that people wait as little as possible.

A plan puts every repair into a period, within what the crews or the budget of a period allow, never before its prerequisites. What
counts is the service people go without until the last repair, the integral of the unmet demand: two parts in a row that serve
nobody until both are done are worth less now than one small part that serves somebody at once, or more, and only the integral says
which. Here are the plain ways to plan: `static` (a list fixed beforehand, by the demand each part carries when all is intact) and
`greedy` (the best next part); the exact ones are in `geo/restoration.py`. All are measured alike, by `plan`.

Repairs are done at the end of their period. Known biases: repair times and crews are taken as certain and interchangeable, travel
between sites as nothing, and demand as constant while people return.

References: González et al. 2016, doi:10.1111/mice.12171 (iterative and time-dependent INDP); Nurre et al. 2012,
doi:10.1016/j.ejor.2012.07.010 (cumulative flow).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter

import numpy as np
import pandas as pd

from geo.errors import Finding, TarmimError, finding, raise_errors
from geo.flow import Flags
from geo.messages import message
from geo.service import Networks, up

Periods = dict[str, int]
SLACK = 1e-9


class SequenceError(TarmimError):
    """Repairs that can't be put in order."""


@dataclass(frozen=True)
class Repairs:
    """What is to be repaired, and with what; made by `repairs`.

    Attributes
    ----------
    effort
        By element: crews (or money) it takes of one period; in the order of the static list.
    allowance
        What each period has; the last number holds for all that follow.
    needs
        By element: what has to be repaired before it, or in the same period.
    """

    networks: Networks
    effort: pd.Series[float]
    allowance: tuple[float, ...]
    needs: Mapping[str, frozenset[str]]

    def room(self, period: int) -> float:
        """What a period (0 is the first) has."""
        return self.allowance[min(period, len(self.allowance) - 1)]


@dataclass(frozen=True)
class Plan:
    """Repairs in their order and what it costs people.

    Attributes
    ----------
    method
        How it was made.
    order
        Index: position from 1. `element`, `period` (from 1), `effort`, `served` (gained by it at its place in the order).
    periods
        Index: period from 1. `repairs`, `effort`, `unmet_before` and `unmet_after` its repairs, `<network>` (unmet share after).
    lost
        ∫ unmet, less what stays unmet with everything repaired: the sum over periods of `unmet_before`, in people × periods
        (service by service), or in shares × periods where networks weigh alike. Times the days of a period it is people-days.
    lost_after
        The same with the state at the end of each period.
    gap
        Largest relative gap of its exact parts to the bound of the solver; NaN where nothing was solved exactly. It says how
        exactly each stretch was solved, not how far the whole plan may be from the best possible. inf: within its limits the
        solver found nothing for a stretch, which was planned greedily.
    """

    method: str
    order: pd.DataFrame
    periods: pd.DataFrame
    lost: float
    lost_after: float
    gap: float = np.nan

    def period_of(self) -> Periods:
        """Period (0 is the first) by element."""
        return {one: int(period) - 1 for one, period in zip(self.order["element"], self.order["period"], strict=True)}


def repairs(
    networks: Networks,
    *,
    allowance: float | Sequence[float],
    effort: Mapping[str, float] | None = None,
    prerequisites: Iterable[tuple[str, str]] = (),
) -> Repairs:
    """Repairs of everything that does not work, checked as a whole.

    Parameters
    ----------
    networks
        With their broken elements.
    allowance
        Crews or budget of each period; one number for all, or one for each (the last holds for what follows).
    effort
        Of an element, in the unit of the allowance (absent: 1). An id that is no element of the networks is a work that has to be
        done all the same, such as a road to be cleared.
    prerequisites
        Pairs (element, what comes before it). What works already is taken as done.

    Raises
    ------
    SequenceError
        Unknown ids, prerequisites in a circle, an effort above the last allowance, negative numbers.
    """
    given = dict(effort or {})
    room = tuple(float(one) for one in (allowance if isinstance(allowance, Sequence) else [allowance]))
    elements = set(networks.elements)
    others = [one for one in given if one not in elements]
    work = pd.Series({one: float(given.get(one, 1.0)) for one in (*networks.broken, *others)}, dtype=np.float64)
    pairs = list(prerequisites)
    known = elements | set(others)
    strangers = sorted({one for pair in pairs for one in pair} - known)
    needs = {one: frozenset(before for after, before in pairs if after == one and before in work.index) for one in work.index}
    wrong: list[Finding] = []
    if strangers:
        said = message("Prerequisites name elements that are neither in the networks nor among the works.")
        remedy = message("Name elements by their ids.")
        wrong.append(finding("sequence-unknown", "error", "prerequisites", said, remedy=remedy, rows=strangers))
    try:
        TopologicalSorter(needs).prepare()
    except CycleError as error:
        said, remedy = message("Prerequisites run in a circle."), message("Take one of them out.")
        wrong.append(finding("sequence-circle", "error", "prerequisites", said, remedy=remedy, rows=error.args[1]))
    if not room or not all(one >= 0 for one in room) or room[-1] <= 0 or not (work >= 0).all():
        said = message("Allowances and efforts must be known and not negative, and the last allowance more than 0.")
        wrong.append(finding("sequence-amount", "error", "allowance", said, rows=work.index[~(work >= 0)]))
    elif (work > room[-1] + SLACK).any():
        said = message("Some repairs take more than a period allows ({allowance}).", allowance=f"{room[-1]:g}")
        remedy = message("Allow at least {least} a period, or divide these repairs.", least=f"{work.max():g}")
        wrong.append(
            finding("sequence-effort", "error", "allowance", said, remedy=remedy, rows=work.index[work > room[-1] + SLACK])
        )
    raise_errors(wrong, SequenceError)
    carried = carried_demand(networks).reindex(work.index, fill_value=0.0)
    return Repairs(networks, work[carried.sort_values(ascending=False, kind="stable").index], room, needs)


def carried_demand(networks: Networks) -> pd.Series[float]:
    """What each element carries when everything works: a node what goes through it, an arc what flows on it, weighted like demand.

    In meshed networks the flow is one of several that serve as much; it is always the same one for the same tables.
    """
    intact = up(networks, np.ones_like(networks.working))
    total = np.zeros(len(networks.elements))
    for one in networks.graphs:
        demand = networks.nodes["demand"].to_numpy(dtype=np.float64)[one.nodes]
        unit = float((networks.unit_weight[one.nodes] * demand).sum()) / (demand.sum() or 1.0)
        through, along = one.carried(intact)
        total[one.nodes], total[one.arcs] = through * unit, along * unit
    return pd.Series(total, index=networks.elements)


def in_order(repairs: Repairs, wanted: Iterable[str]) -> list[str]:
    """The wanted order, with what an element needs pulled forward to stand before it."""
    done: dict[str, None] = {}
    for one in wanted:
        stack = [one]
        while stack:
            waiting = [before for before in sorted(repairs.needs[stack[-1]]) if before not in done]
            if waiting:
                stack += waiting
            else:
                done.setdefault(stack.pop())
    return list(done)


def placed(repairs: Repairs, order: Iterable[str]) -> Periods:
    """Each element, in this order, in the earliest period that has room for it and is not before its prerequisites.

    Putting a plan's elements in the order of their periods through this moves some of them forward and none back.
    """
    periods: Periods = {}
    used: dict[int, float] = {}
    for one in in_order(repairs, order):
        period = max((periods[before] for before in repairs.needs[one]), default=0)
        while used.get(period, 0.0) + repairs.effort[one] > repairs.room(period) + SLACK:
            period += 1
        periods[one] = period
        used[period] = used.get(period, 0.0) + float(repairs.effort[one])
    return periods


def unmet_by_period(repairs: Repairs, periods: Periods) -> list[float]:
    """Unmet demand before the first period, and after each period until the last repair."""
    networks = repairs.networks
    place = {one: number for number, one in enumerate(networks.elements)}
    works = networks.working.copy()
    unmet = [networks.unmet(works)]
    for period in range(max(periods.values(), default=-1) + 1):
        works[[place[one] for one, when in periods.items() if when == period and one in place]] = True
        unmet.append(networks.unmet(works))
    return unmet


def loss(repairs: Repairs, periods: Periods) -> float:
    """∫ (unmet − what stays unmet with everything repaired), the repairs of a period being done at its end."""
    unmet = unmet_by_period(repairs, periods)[:-1]
    return float(sum(unmet) - repairs.networks.unmet(np.ones_like(repairs.networks.working)) * len(unmet))


def plan(repairs: Repairs, periods: Periods, *, method: str, gap: float = np.nan) -> Plan:
    """A plan with everything that is said of it, from the period (0 is the first) of each repair.

    Within a period, elements stand in the order of the static list, after what they need.
    """
    networks = repairs.networks
    static = {one: number for number, one in enumerate(repairs.effort.index)}
    order = in_order(repairs, sorted(periods, key=lambda one: (periods[one], static[one])))
    unmet = unmet_by_period(repairs, periods)
    steps, done, before = [], networks.working, unmet[0]
    for one in order:
        done = done | (networks.elements == one)
        after = networks.unmet(done)
        steps.append((one, periods[one] + 1, float(repairs.effort[one]), before - after))
        before = after
    table = pd.DataFrame(
        steps, columns=["element", "period", "effort", "served"], index=pd.RangeIndex(1, len(steps) + 1, name="position")
    )
    by_period = table.groupby("period")
    count = pd.RangeIndex(1, len(unmet), name="period")
    frame = pd.DataFrame({"unmet_before": unmet[:-1], "unmet_after": unmet[1:]}, index=count)
    frame.insert(0, "repairs", by_period.size().reindex(count, fill_value=0))
    frame.insert(1, "effort", by_period["effort"].sum().reindex(count, fill_value=0.0))
    after = float(sum(unmet[1:]) - networks.unmet(np.ones_like(networks.working)) * len(count))
    return Plan(method, table, frame.join(_shares(repairs, periods, count)), loss(repairs, periods), after, gap)


def _shares(repairs: Repairs, periods: Periods, count: pd.RangeIndex) -> pd.DataFrame:
    """Unmet share of each network that has demands, after each period."""
    networks = repairs.networks
    full = networks.full_by_network
    states = [
        networks.state(one for one, when in periods.items() if when < period and one in networks.elements) for period in count
    ]
    served = np.array([networks.values(state) for state in states]).reshape(len(states), len(full))
    shares = np.clip(1 - served[:, full > 0] / full[full > 0], 0, 1)
    return pd.DataFrame(shares, index=count, columns=[name for name, some in zip(networks.names, full > 0, strict=True) if some])


def static(repairs: Repairs) -> Plan:
    """The list fixed beforehand: what carries most when all is intact comes first."""
    return plan(repairs, placed(repairs, repairs.effort.index), method="static")


def greedy(repairs: Repairs) -> Plan:
    """The best next part, by what it serves for its effort; where none serves anybody by itself, the next of the static list."""
    return plan(repairs, filled(repairs, {}, 0), method="greedy")


def filled(repairs: Repairs, begun: Periods, period: int) -> Periods:
    """Periods that are begun, completed greedily from one period on."""
    networks = repairs.networks
    periods = dict(begun)
    place = {one: number for number, one in enumerate(networks.elements)}
    works = networks.working.copy()
    works[[place[one] for one in periods if one in place]] = True
    least = networks.unmet(np.ones_like(works))
    now = networks.unmet(works)
    pending = [one for one in repairs.effort.index if one not in periods]
    room = repairs.room(period) - sum(float(repairs.effort[one]) for one, when in periods.items() if when == period)
    while pending and now > least + SLACK * networks.full:
        ready = [one for one in pending if repairs.needs[one] <= periods.keys() and repairs.effort[one] <= room + SLACK]
        if not ready:
            period += 1
            room = repairs.room(period)
            continue
        gains = [(now - _after(networks, works, place.get(one))) / max(float(repairs.effort[one]), SLACK) for one in ready]
        best = ready[int(np.argmax(np.round(np.array(gains) / networks.full, 12)))]
        if best in place:
            works[place[best]] = True
        now = networks.unmet(works)
        room -= float(repairs.effort[best])
        periods[best] = period
        pending.remove(best)
    return completed(repairs, periods, period, pending)


def completed(repairs: Repairs, begun: Periods, period: int, pending: Collection[str]) -> Periods:
    """The rest in the order given, from a period on."""
    periods = dict(begun)
    used: dict[int, float] = {}
    for one, when in periods.items():
        used[when] = used.get(when, 0.0) + float(repairs.effort[one])
    for one in in_order(repairs, [*periods, *pending])[len(periods) :] if pending else []:
        when = max([period, *(periods[before] for before in repairs.needs[one])])
        while used.get(when, 0.0) + repairs.effort[one] > repairs.room(when) + SLACK:
            when += 1
        periods[one] = when
        used[when] = used.get(when, 0.0) + float(repairs.effort[one])
    return periods


def _after(networks: Networks, works: Flags, place: int | None) -> float:
    """Unmet demand after one more repair."""
    if place is None:
        return networks.unmet(works)
    more = works.copy()
    more[place] = True
    return networks.unmet(more)
