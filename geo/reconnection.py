"""Reconnection: what each repair brings back, alone and together with others, for the directorate that has to choose.

A part that serves nobody by itself may be one of two that serve a thousand. So a table shows three numbers beside each other: the
people it reconnects *alone*, as things stand; those who still wait for it when *all else* is repaired; and its fair share of what
all repairs bring *together*, the Shapley value (1953), the mean of what it adds over all orders of repair. The shares sum to what
all repairs bring. With more than ten broken elements the mean is taken over sampled orders and has an error, given beside it.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from itertools import combinations
from math import comb

import numpy as np
import pandas as pd

from geo.errors import finding
from geo.flow import Flags, Whole
from geo.messages import message
from geo.overlay import Floats
from geo.service import NODES, Networks, ServiceError, served, supplied, up

EXACT = 10  # broken elements up to which every set of repairs is looked at
NOTHING = 1e-9


@dataclass(frozen=True)
class Reconnected:
    """What repairs bring back.

    Attributes
    ----------
    people
        By node: people who get service by it, a part of them where capacity is short; negative where others now come first;
        NaN where they are unknown.
    elements
        Other elements, of this network and others, that come up or are joined to a source again.
    """

    people: pd.Series[float]
    elements: tuple[str, ...]


def downstream(networks: Networks, repaired: str | Collection[str], *, works: Flags | None = None) -> Reconnected:
    """Everyone and everything that is reconnected when one element, or several together, are repaired.

    Of an element that works it is what hangs on it: what its failure would cut off.

    Parameters
    ----------
    works
        State to start from (absent: as it stands).

    Raises
    ------
    ServiceError
        An id that no node and no arc has.
    """
    chosen = [repaired] if isinstance(repaired, str) else list(repaired)
    at = networks.elements.get_indexer(pd.Index(chosen, dtype=object))
    if (at < 0).any():
        missing = [one for one, place in zip(chosen, at, strict=True) if place < 0]
        said, remedy = message("There are no such elements in the networks."), message("Name nodes or arcs by their ids.")
        raise ServiceError(finding("service-element", "error", NODES, said, remedy=remedy, rows=missing))
    without = (networks.working if works is None else works).copy()
    without[at] = False
    having = without.copy()
    having[at] = True
    now, then = served(networks, without).nodes, served(networks, having).nodes
    changed = (then["served_share"] - now["served_share"]).abs() > NOTHING
    gained = (now["people_without"] - then["people_without"])[changed]
    before, after = up(networks, without), up(networks, having)
    raised = (after & ~before) | (supplied(networks, after) & ~supplied(networks, before))
    raised[at] = False
    return Reconnected(gained.rename("people"), tuple(networks.elements[raised]))


def table(networks: Networks, *, orders: int = 100, seed: int = 1) -> pd.DataFrame:
    """Every broken element with what its repair is worth, most shared people first.

    Parameters
    ----------
    orders
        Orders of repair that are sampled where more than ten elements are broken, each one also backwards.

    Returns
    -------
    DataFrame
        Index: element. `network`, `kind` (node, arc), `alone`, `last` (who still waits when all else is repaired), `together`
        (Shapley), `together_error` (standard error; 0 where exact), all in people, or shares where networks weigh alike;
        `needs_also` (a smallest set, none of which can be left out, of other broken elements with which it serves as many as with
        all of them; empty where it serves by itself, or nobody at all), `dependents` (elements it reconnects, with those).

    Examples
    --------
    Two pipes in a row to 1,000 people, and one to 400: alone the first two serve nobody.

    >>> from geo.service import build
    >>> nodes = pd.DataFrame({"network": "water", "supply": [1400.0, 0, 0, 0], "people": [0, 0, 1000, 400]}, index=list("wmxy"))
    >>> arcs = pd.DataFrame({"tail": list("wmw"), "head": list("mxy"), "working": False}, index=list("abc"))
    >>> table(build(nodes, arcs))[["alone", "last", "together"]].astype(int).to_numpy().tolist()
    [[0, 1000, 500], [0, 1000, 500], [400, 400, 400]]
    """
    broken = networks.broken
    at = networks.elements.get_indexer(pd.Index(broken, dtype=object)).astype(np.int64)
    now, everything = networks.unmet(networks.working), networks.unmet(np.ones_like(networks.working))
    together = shares(networks, orders=orders, seed=seed)
    rows = []
    for one, place in zip(broken, at.tolist(), strict=True):
        alone = now - networks.unmet(_with(networks.working, [place], works=True))
        last = networks.unmet(_with(np.ones_like(networks.working), [place], works=False)) - everything
        others = _needed(networks, place, at, max(alone, last))
        found = downstream(networks, one, works=_with(networks.working, others, works=True))
        rows.append((alone, last, tuple(networks.elements[others]), found.elements))
    node = at < len(networks.nodes)
    of_network = [
        networks.nodes["network"].get(one) if is_node else networks.arcs["network"][one]
        for one, is_node in zip(broken, node, strict=True)
    ]
    columns = {"network": of_network, "kind": np.where(node, "node", "arc")}
    made = pd.DataFrame(columns, index=pd.Index(broken, name="element", dtype=object))
    for number, name in enumerate(("alone", "last", "needs_also", "dependents")):
        made[name] = pd.Series([row[number] for row in rows], index=made.index, dtype=float if number < 2 else object)
    made.insert(4, "together", together["fair_people"].to_numpy())
    made.insert(5, "together_error", together["fair_people_se"].to_numpy())
    return made.sort_values("together", ascending=False, kind="stable")


def shares(networks: Networks, *, orders: int = 100, seed: int = 1) -> pd.DataFrame:
    """The fair share of every broken element in what all repairs bring together; they add up to it.

    Parameters
    ----------
    orders
        As for `table`.

    Returns
    -------
    DataFrame
        Index: element, in the order of the networks. `fair_people` (Shapley), `fair_people_se` (standard error; 0 where exact).
    """
    broken = pd.Index(networks.broken, name="element", dtype=object)
    at = networks.elements.get_indexer(broken).astype(np.int64)
    fair, error = _every_set(networks, at) if len(at) <= EXACT else _sampled(networks, at, orders, seed)
    return pd.DataFrame({"fair_people": fair, "fair_people_se": error}, index=broken)


def _with(state: Flags, places: list[int], *, works: bool) -> Flags:
    changed = state.copy()
    changed[places] = works
    return changed


def _needed(networks: Networks, place: int, broken: Whole, worth: float) -> list[int]:
    """Others to repair with it, so that it is worth this much: one after the other is left out as long as nothing is lost."""
    if worth <= NOTHING * max(networks.full, 1.0):
        return []
    others = [int(one) for one in broken if one != place]
    for kept in ([], *([one] for one in others)):
        if _worth(networks, place, kept) >= worth - NOTHING * networks.full:
            return kept
    for one in list(others):
        fewer = [other for other in others if other != one]
        if _worth(networks, place, fewer) >= worth - NOTHING * networks.full:
            others = fewer
    return others


def _worth(networks: Networks, place: int, others: list[int]) -> float:
    without = _with(networks.working, others, works=True)
    return networks.unmet(without) - networks.unmet(_with(without, [place], works=True))


def _every_set(networks: Networks, broken: Whole) -> tuple[Floats, Floats]:
    """Shapley values by their definition."""
    count = len(broken)
    shares = np.zeros(count)
    for mine in range(count):
        others = [int(one) for number, one in enumerate(broken) if number != mine]
        for size in range(count):
            worth = sum(_worth(networks, int(broken[mine]), list(chosen)) for chosen in combinations(others, size))
            shares[mine] += worth / (count * comb(count - 1, size))
    return shares, np.zeros(count)


def _sampled(networks: Networks, broken: Whole, orders: int, seed: int) -> tuple[Floats, Floats]:
    """Shapley values over sampled orders, each with its reverse, and their standard errors."""
    rng = np.random.default_rng(seed)
    means = np.zeros((orders, len(broken)))
    for number in range(orders):
        order = rng.permutation(len(broken))
        for way in (order, order[::-1]):
            state = networks.working.copy()
            before = networks.unmet(state)
            for one in way:
                state[broken[one]] = True
                after = networks.unmet(state)
                means[number, one] += (before - after) / 2
                before = after
    return means.mean(axis=0), means.std(axis=0, ddof=1) / np.sqrt(orders) if orders > 1 else np.full(len(broken), np.nan)
