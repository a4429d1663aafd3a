"""Fair share: what a repair counts for where several are needed together.

Where two bridges must both open before anybody gains, each alone is worth nothing and both together everything. The Shapley value
(Shapley 1953, doi:10.1515/9781400881970-018) is the mean of what a repair adds over all orders of doing them, ``φ_a = Σ_T
|T|!(m−|T|−1)!/m! · [v(T∪a) − v(T)]``; shares sum to what all give together, and what clears the way gets its part of what lies
behind. Only repairs that touch in the streets where times can change at all are reckoned together, which changes no share. Up to
`exact_up_to` of them every subset is counted; beyond that orders are drawn, each with its reverse, and the standard error is given.
Known bias: it shares out what all repairs of the list bring; another list gives another share.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import factorial, sqrt

import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from geo.access import parameters
from geo.overlay import Floats, Ints
from geo.repairs import GAINS, Repairs, Roadwork, Waiting
from geo.routing import Edges, arcs, checked, search


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
    waiting = Waiting.of(repairs)
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


def _by_subsets(work: Roadwork, members: Sequence[int], waiting: Waiting) -> Floats:
    """Shapley values from the gains of all subsets, each reached from one with a repair less."""
    count = len(members)
    gains = np.zeros((1 << count, len(GAINS)))

    def visit(subset: int, position: int, present: set[int]) -> None:
        for bit in range(position, count):
            one = members[bit]
            present.add(one)
            done = [(other, work.do(other)) for other in waiting.released(one, present)]
            gains[subset | 1 << bit] = gains[subset] + np.array(work.gain(*(before for _, before in done)))
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


def _by_orders(
    work: Roadwork, members: Sequence[int], waiting: Waiting, samples: int, rng: np.random.Generator
) -> tuple[Floats, Floats]:
    """Shapley values as means over drawn orders, each with its reverse, and their standard errors."""
    drawn = np.zeros((samples, len(members), len(GAINS)))
    place = {one: position for position, one in enumerate(members)}
    for pair in drawn:
        order = rng.permutation(np.array(members)).tolist()
        for sequence in (order, order[::-1]):
            present: set[int] = set()
            trail: list[tuple[int, dict[int, float]]] = []
            for one in sequence:
                present.add(one)
                done = [(other, work.do(other)) for other in waiting.released(one, present)]
                pair[place[one]] += np.array(work.gain(*(before for _, before in done))) / 2
                trail += done
            for other, before in reversed(trail):
                work.undo(other, before)
    return drawn.mean(axis=0), drawn.std(axis=0, ddof=1) / sqrt(samples)
