"""Network plans: in which month which element of a network is repaired, so that people go without service as little as possible.

A network is drawn together (`geo.condensing`), so that what is exact for a hundred elements stays within seconds. The plan begins
with the list of the directorate (`geo.utility_works`) and is re-planned exactly, some periods at a time, until nothing improves
(`geo.restoration`). Beside it stand the plain ways: the list of elements by what they carry when all is intact ("worst first"), and
the best next repair. All are measured alike, by the people who wait and how long.

Known bias: the other networks are taken as they stand now. What needs them and has not got it stays as it is and is named.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from geo.condensing import condensed
from geo.errors import finding
from geo.messages import Message, message
from geo.restoration import Solver, improved
from geo.sequence import Plan, SequenceError, greedy, placed, plan, repairs, static
from geo.service import Networks, build, supplied, up
from geo.utilities import Utilities
from geo.utility_works import waiting_least, ways

GREEDY_UP_TO = 300  # broken elements: the plain way tries every repair at every step
METHODS: Mapping[str, Message] = {
    "static": message("By what each carries when intact"),
    "greedy": message("The best next repair"),
    "list": message("The list of the directorate"),
    "improved": message("The list, re-planned exactly"),
}
COLUMNS: Mapping[str, Message] = {
    "period": message("Period"),
    "id": message("Code"),
    "kind": message("Kind"),
    "effort": message("Crews"),
    "people": message("People served again"),
}


@dataclass(frozen=True)
class NetworkPlan:
    """Repairs of one network in their order.

    Attributes
    ----------
    table
        One row a repair, in order: `period` (from 1), `id`, `kind`, `effort`, `people` (who are served again by it at its place).
    compared
        Index: method. `waiting` (people × periods without service), `share` of that of the list by what each carries.
    plan
        The best of them.
    waiting_for_others
        Elements that work or will, but need what another network does not give now.
    """

    table: pd.DataFrame
    compared: pd.DataFrame
    plan: Plan
    waiting_for_others: tuple[str, ...]


def plan_network(made: Utilities, name: str, *, crews: float, kinds: pd.Series[str] | None = None, solver: Solver) -> NetworkPlan:
    """The best order found for the repairs of one network.

    Parameters
    ----------
    crews
        Repairs that one period allows.
    kinds
        Kind of each element by its id in the list, to be shown.

    Raises
    ------
    SequenceError
        The network has no source, or nothing of it is broken.
    """
    if name not in made.networks.names:
        said = message("The network '{name}' has no source in its layer, or there is no such layer.", name=name)
        raise SequenceError(
            finding("plan-no-network", "error", name, said, expected=message("Known: {known}.", known=_known(made)))
        )
    networks, waiting = alone(made.networks, name)
    networks = condensed(networks).networks
    if not networks.broken:
        said = message("Nothing of the network '{name}' is broken.", name=name)
        raise SequenceError(finding("plan-nothing", "error", name, said))
    work = repairs(networks, allowance=crews)
    tried = {"static": static(work)}
    if len(networks.broken) <= GREEDY_UP_TO:
        tried["greedy"] = greedy(work)
    tried["list"] = plan(work, placed(work, _listed(networks)), method="list")
    begun = min(tried.values(), key=lambda one: one.lost)
    tried["improved"] = improved(work, begun, stretch=3, solver=solver)
    best = min(tried.values(), key=lambda one: one.lost)
    compared = pd.DataFrame({"waiting": {method: one.lost for method, one in tried.items()}})
    compared["share"] = compared["waiting"] / tried["static"].lost if tried["static"].lost > 0 else np.nan
    order = best.order
    ids = order["element"].str.removeprefix(f"{name}:")
    shown = pd.DataFrame({"period": order["period"], "id": ids, "effort": order["effort"], "people": order["served"]})
    shown.insert(2, "kind", (ids.map(kinds) if kinds is not None else pd.Series(pd.NA, index=ids.index)).astype("string"))
    return NetworkPlan(shown.reset_index(drop=True), compared, best, tuple(one.removeprefix(f"{name}:") for one in waiting))


def _known(made: Utilities) -> list[str]:
    return [one for one in made.networks.names if (made.elements.loc[made.elements["layer"] == one, "metres"] > 0).any()]


def alone(networks: Networks, name: str) -> tuple[Networks, tuple[str, ...]]:
    """One network, the others as they stand: needs that they meet now are met, elements whose needs they do not meet are out.

    Returns
    -------
    tuple
        The network, and the ids of the elements that wait for others.

    Examples
    --------
    A pump that needs a broken feeder supplies nobody, whatever is repaired of the water network alone.

    >>> nodes = pd.DataFrame({"network": ["water", "water", "power"], "supply": [1.0, 0, 0], "people": [0, 9, 0],
    ...     "working": [True, True, False]}, index=["pump", "a", "feeder"])
    >>> arcs = pd.DataFrame({"tail": ["pump"], "head": ["a"]}, index=["pipe"])
    >>> needs = pd.DataFrame({"depender": ["pump"], "dependee": ["feeder"]})
    >>> water, waiting = alone(build(nodes, arcs, needs), "water")
    >>> waiting, list(water.nodes.index)
    (('pump',), ['a'])
    """
    usable = up(networks, networks.working)
    joined = pd.Series(supplied(networks, usable), index=networks.elements)
    there = pd.Series(usable, index=networks.elements)
    own = pd.Index(
        [*networks.nodes.index[networks.nodes["network"] == name], *networks.arcs.index[networks.arcs["network"] == name]]
    )
    frame = networks.dependencies[networks.dependencies["depender"].isin(own)]
    outside = ~frame["dependee"].isin(own)
    met = np.where(frame["needs"] == "supplied", frame["dependee"].map(joined), frame["dependee"].map(there)).astype(bool)
    group = frame["group"].fillna("").astype(str)
    key = pd.Series(
        [(one, label if label else number) for number, (one, label) in enumerate(zip(frame["depender"], group, strict=True))],
        index=frame.index,
    )
    satisfied = set(key[outside & met])
    hopeless = set(key[outside]) - satisfied - set(key[~outside])
    lost = tuple(dict.fromkeys(one for one, _ in sorted(hopeless, key=str)))
    nodes = networks.nodes[(networks.nodes["network"] == name) & ~networks.nodes.index.isin(lost)]
    arcs = networks.arcs[
        networks.arcs["tail"].isin(nodes.index) & networks.arcs["head"].isin(nodes.index) & ~networks.arcs.index.isin(lost)
    ]
    ids = {*nodes.index, *arcs.index}
    inside = ~outside & frame["depender"].isin(ids) & frame["dependee"].isin(ids) & ~key.isin(satisfied)
    return build(nodes, arcs, frame[inside], weighting=networks.weighting), lost


def _listed(networks: Networks) -> list[str]:
    """The broken elements in the order in which people wait least."""
    found, broken = ways(networks), np.flatnonzero(~networks.working[: len(networks.nodes)])
    count, people = len(networks.nodes), networks.nodes["people"].to_numpy(dtype=np.float64)

    def served_with(repaired: Iterable[int]) -> float:
        works = networks.working.copy()
        works[list(repaired)] = True
        return float(people[supplied(networks, up(networks, works))[:count]].sum())

    now, worth = served_with(()), {one: served_with({one, *(found.repairs[one] or ())}) for one in broken.tolist()}
    order = waiting_least(list(worth), found, {one: value - now for one, value in worth.items()})
    return [str(networks.elements[list(worth)[one]]) for one in order]
