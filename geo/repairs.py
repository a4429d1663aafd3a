"""Repairs of roads: what can be done, what must come first, and a network on which it is tried.

A repair opens (or speeds up) one or more edges. What it gives is measured against the network as it is: people who come within the
limit again, person-minutes saved (capped; see `geo.access`), people who had no way and have one. A repair that needs another first
counts only with it (conjunctive permission structure; Gilles, Owen & van den Brink 1992). Known bias: a repair is done or not done;
costs and durations are not in it, and everybody counts the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import fsum, inf

import numpy as np

from geo.access import parameters
from geo.errors import NeedsError, finding
from geo.messages import message
from geo.overlay import Floats, Ints
from geo.routing import Arc, Edges, arcs, lengthen, people_of, search, shorten, steps

GAINS = ("people", "person_minutes", "joined")
Gain = tuple[float, ...]
Needs = Sequence[tuple[int, int]]


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


@dataclass(frozen=True)
class Waiting:
    """What each repair waits for, and who waits for it, itself among them; however far back and on."""

    first: list[frozenset[int]]
    then: list[list[int]]

    @classmethod
    def of(cls, repairs: Repairs) -> Waiting:
        first = required(repairs)
        then = [[one] for one in range(len(repairs))]
        for one, before in enumerate(first):
            for other in before:
                then[other].append(one)
        return cls(first, then)

    def released(self, one: int, present: set[int]) -> list[int]:
        """Repairs that begin to count when `one` joins those present."""
        return [other for other in self.then[one] if other in present and self.first[other] <= present]


class Roadwork:
    """The roads of one kind of facility as they are now, on which repairs are tried, one after the other, and taken back.

    Holds the times of all nodes and changes them in place: that is what makes thousands of trials cheap.
    """

    def __init__(self, edges: Edges, seconds: Floats, targets: Ints, people: Floats, repairs: Repairs) -> None:
        now = arcs(edges, seconds)
        self.times: list[float] = search(now, targets).tolist()
        self.people: list[float] = people_of(edges.n, people).tolist()
        self.limit, self.cap = (60.0 * parameters()[name] for name in ("limit_min", "cap_min"))
        self._into = steps(now)
        self._arcs: list[list[Arc]] = [[] for _ in repairs.names]
        if len(repairs.edge) and not (repairs.edge.min() >= 0 and repairs.edge.max() < len(edges)):
            raise ValueError(f"repairs must be of edges, 0 to {len(edges) - 1}")
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

    def gain(self, *done: Mapping[int, float]) -> Gain:
        """What has been gained since: people within the limit again, person-minutes saved, people cut off then and not now.

        Parameters
        ----------
        done
            What `do` gave for each repair since, in their order.
        """
        before: dict[int, float] = {}
        for times in done:
            before = {**times, **before}
        people, times_now, cap = self.people, self.times, self.cap
        back = [people[node] for node, old in before.items() if old > self.limit >= times_now[node]]
        saved = [people[node] * (min(old, cap) - min(times_now[node], cap)) for node, old in before.items()]
        joined = [people[node] for node, old in before.items() if old == inf]
        return fsum(back), fsum(saved) / 60, fsum(joined)

    def together(self, chosen: Iterable[int]) -> tuple[Gain, dict[int, float]]:
        """Gain of several repairs at once, whatever they need, and the new times of the nodes that gain; all is taken back."""
        done = [(one, self.do(one)) for one in chosen]
        gain = self.gain(*(before for _, before in done))
        after = {node: self.times[node] for _, before in done for node in before}
        for one, before in reversed(done):
            self.undo(one, before)
        return gain, after
