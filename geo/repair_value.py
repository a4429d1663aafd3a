"""Repair value: what each repair of a road gives back, alone, with what it needs first, and as its fair share where several are
needed together.

A repair opens (or speeds up) one or more edges; its value is the fall of the loss, in people who come within the limit again and
in person-minutes (capped; see `geo.access`). Where two bridges must both open before anybody gains, each alone is worth nothing and
both together everything: the Shapley value (Shapley 1953) shares it, ``φ_a = Σ_T |T|!(m−|T|−1)!/m! · [v(T∪a) − v(T)]``, the mean of
what a repair adds over all orders of doing them. A repair that needs another first counts only with it (conjunctive permission
structure; Gilles, Owen & van den Brink 1992), so what clears the debris gets its part of what lies behind. Only repairs that touch
in the streets where times can change at all are shared out together; that is exact. Up to `exact_up_to` of them every subset is
counted, beyond that orders are drawn, each with its reverse, and the standard error is given. Known bias: costs and durations are
not in it; everybody counts the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import factorial, fsum, inf, sqrt

import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from geo.access import Targets, parameters
from geo.criticality import detours
from geo.errors import TarmimError, finding
from geo.messages import message
from geo.overlay import Floats, Ints, Shapes
from geo.routing import Arc, Edges, arcs, checked, lengthen, search, shorten, steps

GAINS = ("people", "person_minutes", "joined")
Gain = tuple[float, ...]
Needs = Sequence[tuple[int, int]]


class NeedsError(TarmimError):
    """Repairs that need each other in a circle, or one that is not in the list."""


@dataclass(frozen=True)
class Repairs:
    """What can be done: rows of edges that get new seconds, each belonging to a repair.

    Attributes
    ----------
    names
        Of the repairs, in their order: ids of road assets.
    edge, repair, seconds
        By row: an edge, the position of its repair, the seconds over the edge once it is repaired (never more than now).
    needs
        Pairs (first, then) of positions: `then` counts only when `first` is done. A repair may have no edge at all: clearing
        debris, marking mines.
    """

    names: tuple[str, ...]
    edge: Ints
    repair: Ints
    seconds: Floats
    needs: Needs = ()

    def __post_init__(self) -> None:
        if not len(self.edge) == len(self.repair) == len(self.seconds):
            raise ValueError("edge, repair and seconds must be as long as each other")
        if not (np.asarray(self.seconds) >= 0).all():
            raise ValueError("seconds of a repaired edge must be known and not negative")
        if len(self.repair) and not (self.repair.min() >= 0 and self.repair.max() < len(self.names)):
            raise ValueError("every row must belong to a repair of the list")

    def __len__(self) -> int:
        return len(self.names)


def required(repairs: Repairs) -> list[frozenset[int]]:
    """By repair, all others that must be done before it counts, however far back.

    Raises
    ------
    NeedsError
        Circles, and positions that are not in the list; all of them at once.

    Examples
    --------
    >>> none = np.array([], dtype=np.intp)
    >>> [sorted(one) for one in required(Repairs(("a", "b", "c"), none, none, np.array([]), [(0, 1), (1, 2)]))]
    [[], [0], [0, 1]]
    """
    stray = [pair for pair in repairs.needs if not all(0 <= one < len(repairs) for one in pair)]
    firsts: list[set[int]] = [set() for _ in repairs.names]
    for first, then in repairs.needs:
        if (first, then) not in stray:
            firsts[then].add(first)
    waiting = [set(one) for one in firsts]
    followers: list[list[int]] = [[] for _ in repairs.names]
    for then, before in enumerate(firsts):
        for first in before:
            followers[first].append(then)
    ready = [one for one, before in enumerate(waiting) if not before]
    done: list[frozenset[int]] = [frozenset()] * len(repairs)
    left = set(range(len(repairs)))
    while ready:
        one = ready.pop()
        left.discard(one)
        done[one] = frozenset(firsts[one]).union(*(done[first] for first in firsts[one]))
        for then in followers[one]:
            waiting[then].discard(one)
            if not waiting[then]:
                ready.append(then)
    wrong = []
    if left:
        wrong.append(
            finding(
                "needs-circle",
                "error",
                "works",
                message("Repairs wait for each other in a circle, or for such repairs."),
                expected=message("What comes first must not itself wait for what comes after it."),
                remedy=message("Take one of the prerequisites of these repairs away."),
                rows=[repairs.names[one] for one in sorted(left)],
            )
        )
    if stray:
        wrong.append(
            finding(
                "needs-unknown",
                "error",
                "works",
                message("A prerequisite names a repair that is not in the list."),
                expected=message("Both ends of a prerequisite must be among the repairs."),
                remedy=message("Add the repair to the list, or take the prerequisite away."),
                rows=[f"{first} → {then}" for first, then in stray],
            )
        )
    if wrong:
        raise NeedsError(*wrong)
    return done


class Roadwork:
    """The roads of one kind of facility as they are now, on which repairs are tried, one after the other, and taken back.

    Holds the times of all nodes and changes them in place: that is what makes thousands of trials cheap.
    """

    def __init__(self, edges: Edges, seconds: Floats, targets: Ints, people: Floats, repairs: Repairs) -> None:
        now = arcs(edges, seconds)
        self.now = search(now, targets)
        self.times: list[float] = self.now.tolist()
        self.people: list[float] = np.asarray(people, dtype=np.float64).tolist()
        self.limit, self.cap = (60.0 * parameters()[name] for name in ("limit_min", "cap_min"))
        self._into = steps(now)
        self._arcs: list[list[Arc]] = [[] for _ in repairs.names]
        if (repairs.seconds > np.asarray(seconds)[repairs.edge]).any():
            raise ValueError("a repaired edge must not be slower than now")
        for edge, repair, cost in zip(repairs.edge.tolist(), repairs.repair.tolist(), repairs.seconds.tolist(), strict=True):
            tail, head = int(edges.tail[edge]), int(edges.head[edge])
            if tail != head and cost < inf:
                self._arcs[repair] += [(tail, head, cost)] if edges.one_way[edge] else [(tail, head, cost), (head, tail, cost)]

    def do(self, repair: int) -> dict[int, float]:
        """Do a repair; the times before of the nodes that gain."""
        return shorten(self.times, self._into, self._arcs[repair])

    def undo(self, repair: int, before: dict[int, float]) -> None:
        """Take back the repair that was done last."""
        lengthen(self.times, self._into, self._arcs[repair], before)

    def gain(self, before: Mapping[int, float]) -> Gain:
        """People within the limit again, person-minutes saved, people who were cut off and are not now."""
        people, times, cap = self.people, self.times, self.cap
        back = [people[node] for node, old in before.items() if old > self.limit >= times[node]]
        saved = [people[node] * (min(old, cap) - min(times[node], cap)) for node, old in before.items()]
        joined = [people[node] for node, old in before.items() if old == inf]
        return fsum(back), fsum(saved) / 60, fsum(joined)

    def together(self, chosen: Iterable[int]) -> tuple[Gain, dict[int, float]]:
        """Gain of several repairs done together, prerequisites not asked for, and the times before; all is taken back."""
        done = [(one, self.do(one)) for one in chosen]
        first: dict[int, float] = {}
        for _, before in done:
            first = before | first
        gain, after = self.gain(first), {node: self.times[node] for node in first}
        for one, before in reversed(done):
            self.undo(one, before)
        return gain, after


def single_values(edges: Edges, seconds: Floats, targets: Ints, people: Floats, repairs: Repairs) -> pd.DataFrame:
    """The value of each repair if nothing else is done but what it needs first.

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
        Index: names of the repairs. `people` (within the limit again), `person_minutes` (saved, capped), `joined` (cut off now, then
        not), each of the repair with all that it needs first; `alone_…` the same without: 0 for a repair that needs another.

    Examples
    --------
    Hospital at 0, 300 people at 1 behind a closed street of 5 minutes.

    >>> street = Edges(2, np.array([0]), np.array([1]), np.array([False]))
    >>> repairs = Repairs(("street",), np.array([0]), np.array([0]), np.array([300.0]))
    >>> values = single_values(street, np.array([np.inf]), np.array([0]), np.array([0.0, 300.0]), repairs)
    >>> values.loc["street", ["people", "person_minutes", "joined"]].tolist()
    [300.0, 16500.0, 300.0]
    """
    first = required(repairs)
    work = Roadwork(edges, seconds, targets, people, repairs)
    rows = []
    for one in range(len(repairs)):
        gain, _ = work.together([*sorted(first[one]), one])
        rows.append((*gain, *((0.0,) * len(GAINS) if first[one] else gain)))
    columns = [*GAINS, *(f"alone_{name}" for name in GAINS)]
    return pd.DataFrame(rows, index=pd.Index(repairs.names, name="repair"), columns=columns, dtype="float64")


def groups(edges: Edges, seconds: Floats, targets: Ints, repairs: Repairs) -> Ints:
    """Number of the group of each repair: what one adds never depends on whether a repair of another group is done.

    Where times can change at all are the nodes that gain when everything is repaired; a repair acts on others only along streets
    between such nodes, so each connected piece of them is on its own. Repairs that need each other are in one group.
    """
    now = checked(edges, seconds)
    then = now.copy()
    np.minimum.at(then, repairs.edge, repairs.seconds)
    all_open = arcs(edges, then)
    changed = search(all_open, targets) < search(arcs(edges, now), targets)
    inside = changed[all_open.start] & changed[all_open.end]
    ends = [np.stack([all_open.start[inside], all_open.end[inside]])]
    # repair r is node n + r of the same graph
    for end in (edges.tail, edges.head):
        touched = changed[end[repairs.edge]]
        ends.append(np.stack([end[repairs.edge][touched], edges.n + repairs.repair[touched]]))
    ends.append(edges.n + np.array(repairs.needs, dtype=np.intp).reshape(-1, 2).T)
    start, end = np.concatenate(ends, axis=1)
    size = edges.n + len(repairs)
    links = coo_array((np.ones(len(start), dtype=np.int8), (start, end)), shape=(size, size))
    piece = connected_components(links.tocsr(), directed=False)[1][edges.n :]
    return np.asarray(pd.factorize(piece)[0], dtype=np.intp)


def fair_shares(edges: Edges, seconds: Floats, targets: Ints, people: Floats, repairs: Repairs) -> pd.DataFrame:
    """Shapley value of each repair; parameters as in `single_values`.

    Returns
    -------
    DataFrame
        Index: names. `group` (see `groups`), `exact`, and of people, person-minutes and joined the share `fair_…` and, where it is
        sampled, its standard error `fair_…_se` (0 where exact). Shares sum to what all repairs give together.
    """
    waiting = _Order.of(repairs)
    choices = parameters()["fair_share"]
    group = groups(edges, seconds, targets, repairs)
    work = Roadwork(edges, seconds, targets, people, repairs)
    share, error = np.zeros((len(repairs), len(GAINS))), np.zeros((len(repairs), len(GAINS)))
    exact = np.ones(len(repairs), dtype=bool)
    for number in range(group.max() + 1 if len(group) else 0):
        members = np.flatnonzero(group == number)
        if len(members) <= choices["exact_up_to"]:
            share[members] = _by_subsets(work, members.tolist(), waiting)
        else:
            rng = np.random.default_rng([choices["seed"], number])
            share[members], error[members] = _by_orders(work, members.tolist(), waiting, choices["samples"], rng)
            exact[members] = False
    table = pd.DataFrame({"group": group, "exact": exact}, index=pd.Index(repairs.names, name="repair"))
    for column, name in enumerate(GAINS):
        table[f"fair_{name}"] = share[:, column]
        table[f"fair_{name}_se"] = error[:, column]
    return table


@dataclass(frozen=True)
class _Order:
    """What each repair waits for, and who waits for it, itself among them; however far."""

    first: list[frozenset[int]]
    then: list[list[int]]

    @classmethod
    def of(cls, repairs: Repairs) -> _Order:
        first = required(repairs)
        then = [[one] for one in range(len(repairs))]
        for one, before in enumerate(first):
            for other in before:
                then[other].append(one)
        return cls(first, then)

    def released(self, one: int, present: set[int]) -> list[int]:
        """Repairs that begin to count when `one` joins those present."""
        return [other for other in self.then[one] if other in present and self.first[other] <= present]


def _by_subsets(work: Roadwork, members: Sequence[int], waiting: _Order) -> Floats:
    """Shapley values from the gains of all subsets, each reached from one with a repair less."""
    count = len(members)
    gains = np.zeros((1 << count, len(GAINS)))

    def visit(subset: int, position: int, present: set[int]) -> None:
        for bit in range(position, count):
            one = members[bit]
            present.add(one)
            done = [(other, work.do(other)) for other in waiting.released(one, present)]
            gains[subset | 1 << bit] = gains[subset] + _gain_of(work, done)
            visit(subset | 1 << bit, bit + 1, present)
            for other, before in reversed(done):
                work.undo(other, before)
            present.discard(one)

    visit(0, 0, set())
    sizes = np.array([subset.bit_count() for subset in range(1 << count)])
    weight = np.array([factorial(size) * factorial(count - size - 1) / factorial(count) for size in range(count)])
    share = np.zeros((count, len(GAINS)))
    for bit in range(count):
        without = np.flatnonzero((np.arange(1 << count) >> bit & 1) == 0)
        share[bit] = (weight[sizes[without], None] * (gains[without | 1 << bit] - gains[without])).sum(axis=0)
    return share


def _gain_of(work: Roadwork, done: Sequence[tuple[int, dict[int, float]]]) -> Floats:
    first: dict[int, float] = {}
    for _, before in done:
        first = before | first
    return np.array(work.gain(first))


def _by_orders(
    work: Roadwork, members: Sequence[int], waiting: _Order, samples: int, rng: np.random.Generator
) -> tuple[Floats, Floats]:
    """Shapley values as means over drawn orders, each with its reverse, and their standard errors."""
    total, squares = np.zeros((len(members), len(GAINS))), np.zeros((len(members), len(GAINS)))
    place = {one: position for position, one in enumerate(members)}
    for _ in range(samples):
        order = rng.permutation(np.array(members)).tolist()
        pair = np.zeros_like(total)
        for sequence in (order, order[::-1]):
            present: set[int] = set()
            trail: list[tuple[int, dict[int, float]]] = []
            for one in sequence:
                present.add(one)
                done = [(other, work.do(other)) for other in waiting.released(one, present)]
                pair[place[one]] += _gain_of(work, done) / 2
                trail += done
            for other, before in reversed(trail):
                work.undo(other, before)
        total += pair
        squares += pair**2
    mean = total / samples
    spread = np.maximum(squares - samples * mean**2, 0.0) / (samples - 1)
    return mean, np.sqrt(spread) / sqrt(samples)


def road_table(edges: Edges, seconds: Floats, targets: Targets, people: Floats, repairs: Repairs) -> pd.DataFrame:
    """The repairs for the roads directorate, the one that gives most people access first.

    Parameters
    ----------
    targets
        By kind of facility: nodes where one works.

    Returns
    -------
    DataFrame
        Index: names. `people` (within the limit of at least one kind again), `person_minutes` (saved, over all kinds), `joined`
        (had no way to at least one kind, then have), each with what the repair needs first; `alone_people`, `alone_person_minutes`;
        `fair_person_minutes` with its standard error, and `fair_access` (people times kinds that come within the limit), the fair
        shares over all kinds; `needs` (names, comma-separated), `detour_min` (the worst of its edges; infinite where there is no way
        around); and of each kind `people_<kind>`, `person_minutes_<kind>`.
    """
    first = required(repairs)
    table = pd.DataFrame(index=pd.Index(repairs.names, name="repair"))
    back: list[set[int]] = [set() for _ in repairs.names]
    joined: list[set[int]] = [set() for _ in repairs.names]
    shared = {name: np.zeros(len(repairs)) for name in ("person_minutes", "people")}
    errors = {name: np.zeros(len(repairs)) for name in shared}
    of_kind: dict[str, Floats] = {}
    for kind, nodes in targets.items():
        work = Roadwork(edges, seconds, nodes, people, repairs)
        gains = np.zeros((len(repairs), len(GAINS)))
        for one in range(len(repairs)):
            gain, after = work.together([*sorted(first[one]), one])
            gains[one] = gain
            back[one] |= {node for node, time in after.items() if time <= work.limit < work.times[node]}
            joined[one] |= {node for node in after if work.times[node] == inf}
        of_kind[f"people_{kind}"], of_kind[f"person_minutes_{kind}"] = gains[:, 0], gains[:, 1]
        fair = fair_shares(edges, seconds, nodes, people, repairs)
        for name in shared:
            shared[name] += fair[f"fair_{name}"].to_numpy()
            errors[name] += fair[f"fair_{name}_se"].to_numpy() ** 2
    waits = np.array([bool(one) for one in first], dtype=bool)
    table["people"] = [fsum(people[node] for node in nodes) for nodes in back]
    table["person_minutes"] = sum((of_kind[f"person_minutes_{kind}"] for kind in targets), np.zeros(len(repairs)))
    table["joined"] = [fsum(people[node] for node in nodes) for nodes in joined]
    table["alone_people"] = table["people"].mask(waits, 0.0)
    table["alone_person_minutes"] = table["person_minutes"].mask(waits, 0.0)
    table["fair_person_minutes"] = shared["person_minutes"]
    table["fair_person_minutes_se"] = np.sqrt(errors["person_minutes"])
    table["fair_access"] = shared["people"]
    table["fair_access_se"] = np.sqrt(errors["people"])
    table["needs"] = [", ".join(repairs.names[before] for before in sorted(one)) for one in first]
    table["detour_min"] = _worst_detour(edges, seconds, repairs)
    return table.assign(**of_kind).sort_values(["people", "person_minutes"], ascending=False, kind="stable")


def _worst_detour(edges: Edges, seconds: Floats, repairs: Repairs) -> Shapes:
    """Minutes by repair; NaN for one that opens nothing."""
    if len(repairs.edge) == 0:
        return np.full(len(repairs), np.nan)
    longer = pd.Series(detours(edges, seconds, repairs.edge, repairs.seconds) / 60)
    return longer.groupby(repairs.repair).max().reindex(range(len(repairs))).to_numpy()


def after_each(
    edges: Edges, seconds: Floats, targets: Targets, people: Floats, repairs: Repairs, order: Sequence[int]
) -> pd.DataFrame:
    """How access comes back as repairs are done in an order; a repair counts from when all that it needs is done too.

    Parameters
    ----------
    order
        Positions of repairs, each at most once.

    Returns
    -------
    DataFrame
        Index: kind, step (0 is now). `repair` (name, empty at 0), `beyond_<minutes>`, `cut_off`, `person_minutes` (capped) of all
        people.

    Raises
    ------
    ValueError
        A repair stands in the order twice.
    """
    if len(set(order)) != len(order):
        raise ValueError("each repair can be done once")
    waiting = _Order.of(repairs)
    rows = {}
    for kind, nodes in targets.items():
        work = Roadwork(edges, seconds, nodes, people, repairs)
        rows[kind, 0] = _state("", np.array(work.times), people, work.cap)
        present: set[int] = set()
        for step, one in enumerate(order, start=1):
            present.add(one)
            for other in waiting.released(one, present):
                work.do(other)
            rows[kind, step] = _state(repairs.names[one], np.array(work.times), people, work.cap)
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis(["kind", "step"])


def _state(name: str, times: Floats, people: Floats, cap: float) -> dict[str, object]:
    beyond = {f"beyond_{limit}": float(people[times > 60 * limit].sum()) for limit in parameters()["limits_min"]}
    minutes = float((people * np.minimum(times, cap)).sum()) / 60
    return {"repair": name, **beyond, "cut_off": float(people[np.isinf(times)].sum()), "person_minutes": minutes}
