"""Utility works: the lists of the water, sewerage, electricity and telecom directorates, what each repair brings back to whom.

A broken pipe behind another broken pipe serves nobody by itself. So a repair is shown with what it needs: the fewest other repairs
with which it is joined to a source again, in its own network and in those that it depends on. The people are counted by trying that
state of the networks, so that the number holds whatever way was chosen; `alone_people` is the same without the others. These values
must not be added up: two works that need the same main both count what hangs on it.

The list is in the order in which people wait least when one repair is done after the other: what comes after what is taken as a
tree, for which the order of least waiting is known (Horn 1972, doi:10.1137/0123021; a part of the list goes first by its people for
each repair). `people_then` is what a repair adds at its place in the list; that adds up.

Known biases: those of `geo.utilities`; an element that serves in part is not in the list; the fewest repairs are not the cheapest;
networks with loops are no trees, so that another order may be better there (`geo.restoration` plans exactly); all repairs are taken
to last alike.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd

from geo import reconnection, registers
from geo.condensing import Condensed, condensed
from geo.export import write_works
from geo.flow import Flags
from geo.harmonise import City
from geo.messages import Lang, Message, message
from geo.overlay import OUTSIDE, Floats, locate, middle
from geo.service import Networks, supplied, up
from geo.utilities import FACILITIES, Utilities, rows

COLUMNS: Mapping[str, Message] = {
    "id": message("Code"),
    "kind": message("Kind"),
    "zone": message("Neighbourhood"),
    "state": message("State"),
    "functionality": message("Functionality"),
    "length_m": message("Metres"),
    "people": message("People reconnected"),
    "people_elsewhere": message("People reconnected in other networks"),
    "repairs": message("Repairs it takes"),
    "needs": message("Needs also"),
    "people_then": message("People added at its place in the list"),
    "alone_people": message("People, without what it needs"),
    "metres": message("Metres of the network reconnected"),
    "metres_unknown": message("Of these, where the people are unknown"),
    "dependents": message("Serves again"),
    "fair_people": message("Fair share of the people"),
    "fair_people_se": message("Standard error of the fair share"),
}
FUNCTIONALITY: Mapping[str, Message] = {
    "functional": message("works"),
    "affected": message("affected"),
    "partial": message("works in part"),
    "not_functional": message("does not work"),
}
HOP = 1e-6  # of a repair: the shorter way where the repairs are as many


@dataclass(frozen=True)
class Ways:
    """How everything could be joined to a source again.

    `repairs`: by position of a node of the networks, the broken elements (positions) on the way with the fewest of them; None where
    no way is drawn.
    """

    repairs: tuple[frozenset[int] | None, ...]


def ways(networks: Networks) -> Ways:
    """For every node, the fewest repairs with which it is joined to a source.

    Alternatives are chosen by their own fewest repairs; needs that run in a circle are taken as having no way.

    Examples
    --------
    Two broken pipes in a row behind a sound one.

    >>> from geo.service import build
    >>> nodes = pd.DataFrame({"network": "water", "supply": [1.0, 0, 0, 0], "people": 1.0, "working": [True, True, False, False]},
    ...     index=list("wabc"))
    >>> arcs = pd.DataFrame({"tail": list("wab"), "head": list("abc")}, index=["1", "2", "3"])
    >>> [sorted(one or ()) for one in ways(build(nodes, arcs)).repairs]
    [[], [], [2], [2, 3]]
    """
    count = len(networks.nodes)
    broken = ~networks.working
    needs = networks.needs
    extra = np.zeros(len(broken))
    extra[needs.depender] = np.inf
    chosen: dict[int, list[tuple[int, bool]]] = {}
    groups = [np.flatnonzero(needs.group == number) for number in range(len(needs.depender))]
    while True:
        cost = broken + extra
        distance, before = _search(networks, cost)
        again, chosen = np.zeros(len(broken)), {}
        for depender, lines in zip(needs.depender.tolist(), groups, strict=True):
            price = [distance[needs.dependee[k]] if needs.supplied[k] else cost[needs.dependee[k]] for k in lines.tolist()]
            best = int(np.argmin(price))
            again[depender] += price[best]
            chosen.setdefault(depender, []).append((int(needs.dependee[lines[best]]), bool(needs.supplied[lines[best]])))
        if np.array_equal(again, extra):
            break
        extra = again
    found: dict[int, frozenset[int]] = {}

    def own(element: int) -> frozenset[int]:
        """What an element takes by itself: its repair and its needs."""
        mine = {element} if broken[element] else set()
        return frozenset(mine.union(*(way(one) if joined else own(one) for one, joined in chosen.get(element, ()))))

    def way(node: int) -> frozenset[int]:
        """What it takes to join a node."""
        steps, at = [], node
        while at >= 0 and at not in found:
            steps.append(at)
            at = before[at][0]
        so_far = found[at] if at >= 0 else frozenset()
        for one in reversed(steps):
            arc = before[one][1]
            so_far = so_far | own(one) | (own(count + arc) if arc >= 0 else frozenset())
            found[one] = so_far
        return so_far

    return Ways(tuple(way(node) if np.isfinite(distance[node]) else None for node in range(count)))


def _search(networks: Networks, cost: Floats) -> tuple[Floats, list[tuple[int, int]]]:
    """Least cost to join each node to a source, and by node the node and the arc before it (-1: it is a source)."""
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import dijkstra

    count = len(networks.nodes)
    tail, head = networks.ends
    forward = np.flatnonzero(np.isfinite(cost[count:]) & np.isfinite(cost[head]))
    backward = np.flatnonzero(np.isfinite(cost[count:]) & np.isfinite(cost[tail]) & ~networks.directed)
    source = np.flatnonzero(networks.sources & np.isfinite(cost[:count]))
    rows = np.concatenate([tail[forward], head[backward], np.full(len(source), count)])
    columns = np.concatenate([head[forward], tail[backward], source])
    arcs = np.concatenate([forward, backward, np.full(len(source), -1)])
    weight = cost[columns] + np.where(arcs >= 0, cost[count + arcs], 0.0) + HOP
    order = np.lexsort((arcs, weight, columns, rows))  # of arcs side by side the cheapest
    rows, columns, arcs, weight = rows[order], columns[order], arcs[order], weight[order]
    first = np.append(True, (np.diff(rows) != 0) | (np.diff(columns) != 0)) if len(rows) else np.zeros(0, dtype=bool)
    rows, columns, arcs, weight = rows[first], columns[first], arcs[first], weight[first]
    graph = csr_array((weight, (rows, columns)), shape=(count + 1, count + 1))
    distance, previous = dijkstra(graph, indices=count, return_predecessors=True)
    by_ends = {(row, column): arc for row, column, arc in zip(rows.tolist(), columns.tolist(), arcs.tolist(), strict=True)}
    before = [
        (-1, -1) if one in (count, -9999) else (one, by_ends[one, node]) for node, one in enumerate(previous[:count].tolist())
    ]
    return distance[:count], before


def utility_works(made: Utilities, city: City, *, fair: bool = False) -> dict[str, gpd.GeoDataFrame]:
    """By network, its broken elements with what their repair brings back; columns `COLUMNS`, most people for each repair first.

    Parameters
    ----------
    fair
        Also fair shares; seconds for hundreds of broken elements, minutes for thousands.
    """
    small = condensed(made.networks)
    worth = _worth(made, small)
    base = _served(small.networks, small.networks.working)
    found = ways(small.networks)
    shares = reconnection.shares(small.networks) if fair else None
    place = dict(zip(small.networks.nodes.index, range(len(small.networks.nodes)), strict=True))
    tables = {}
    for name in (one for one in made.networks.names if f"{one}_works" in TITLES):
        mine = made.elements.index[(made.elements["layer"] == name).to_numpy() & ~made.networks.working[: len(made.elements)]]
        at = [place[one] for one in mine]
        counted = pd.DataFrame([_row(small, worth, base, found, name, one) for one in at], index=mine, columns=_COUNTED)
        order = waiting_least(at, found, dict(zip(at, counted["everyone"], strict=True)))
        counted["people_then"] = pd.Series(_one_by_one(small, worth, found, [at[one] for one in order]), index=mine[order])
        table = _described(made, city, name, mine).join(counted)
        table = table if shares is None else table.join(shares)
        columns = [column for column in COLUMNS if column in table]
        tables[f"{name}_works"] = gpd.GeoDataFrame(
            table.iloc[order][[*columns, "geometry"]].reset_index(drop=True), geometry="geometry", crs=city.study.crs
        )
    return tables


def waiting_least(elements: Sequence[int], found: Ways, people: Mapping[int, float]) -> list[int]:
    """The order of repairs in which people wait least: positions in `elements`.

    Parameters
    ----------
    elements
        Positions of broken nodes in the networks.
    people
        By node, the people who are reconnected by it with what it needs.

    Examples
    --------
    The second of two pipes in a row to 1,000 people, the first, and one that serves 400 by itself: the two are 500 a repair.

    >>> found = Ways((frozenset({0, 1}), frozenset({1}), frozenset({2})))
    >>> waiting_least([0, 1, 2], found, {0: 1000.0, 1: 0.0, 2: 400.0})
    [1, 0, 2]
    """
    here = {one: number for number, one in enumerate(elements)}
    needs = [(found.repairs[one] or frozenset()) - {one} for one in elements]
    before: list[int | None] = []
    for own in needs:  # the need that itself needs most comes last of them
        inside = [here[one] for one in own if one in here]
        before.append(max(inside, key=lambda one: (len(needs[one]), one)) if inside else None)
    added = [people[one] - (0.0 if last is None else people[elements[last]]) for one, last in zip(elements, before, strict=True)]
    block = {number: [number] for number in range(len(elements))}
    weight, size, head = dict(enumerate(added)), dict.fromkeys(range(len(elements)), 1), list(range(len(elements)))
    queue = [(-weight[one], one, 1) for one in block]
    heapify(queue)
    order: list[int] = []

    def block_of(one: int) -> int:
        while head[one] != one:
            head[one] = head[head[one]]
            one = head[one]
        return one

    done: set[int] = set()
    while queue:
        _, one, version = heappop(queue)
        if one in done or one not in block or version != size[one]:
            continue
        last = before[one]
        if last is None or block_of(last) in done:
            order += block[one]
            done.add(one)
            continue
        onto = block_of(last)
        block[onto] += block.pop(one)
        weight[onto] += weight[one]
        size[onto] += size[one]
        head[one] = onto
        heappush(queue, (-weight[onto] / size[onto], onto, size[onto]))
    return order


def _one_by_one(small: Condensed, worth: _Worth, found: Ways, order: Sequence[int]) -> list[float]:
    """What each repair adds at its place; what it needs of other networks is done with it."""
    works, added = small.networks.working.copy(), []
    people = worth.people.sum(axis=1)
    before = float(people[_served(small.networks, works)[0]].sum())
    mine = set(order)
    for one in order:
        works[[one, *((found.repairs[one] or frozenset()) - mine)]] = True
        after = float(people[_served(small.networks, works)[0]].sum())
        added.append(after - before)
        before = after
    return added


@dataclass(frozen=True)
class _Worth:
    """By node of the condensed networks: people by network, metres and metres where people are unknown, and who needs something."""

    names: tuple[str, ...]
    people: Floats
    metres: Floats
    dependents: tuple[tuple[int, str, bool], ...]


def _worth(made: Utilities, small: Condensed) -> _Worth:
    nodes = small.networks.nodes
    by_network = [nodes["people"].where(nodes["network"] == name, 0.0).to_numpy(dtype=np.float64) for name in small.networks.names]
    metres = [
        np.bincount(small.place, made.elements[name].to_numpy(dtype=np.float64), minlength=len(nodes))
        for name in ("metres", "metres_unknown")
    ]
    named = [str(one) for one in small.networks.dependencies["depender"].unique()]
    at = nodes.index.get_indexer(pd.Index(named, dtype=object)).tolist()
    dependents = tuple((place, one, one.startswith(f"{FACILITIES}:")) for one, place in zip(named, at, strict=True) if place >= 0)
    return _Worth(small.networks.names, np.column_stack(by_network), np.column_stack(metres), dependents)


def _served(networks: Networks, works: Flags) -> tuple[Flags, Flags]:
    """Nodes that are joined to a source, and nodes that are up."""
    usable, count = up(networks, works), len(networks.nodes)
    return supplied(networks, usable)[:count], usable[:count]


_COUNTED = ("people", "people_elsewhere", "everyone", "repairs", "needs", "alone_people", "metres", "metres_unknown", "dependents")


def _row(
    small: Condensed, worth: _Worth, base: tuple[Flags, Flags], found: Ways, name: str, place: int
) -> tuple[float | int | str, ...]:
    """What one repair brings back, with what it needs and without."""
    needed = found.repairs[place]
    others = sorted((needed or frozenset()) - {place})
    networks = small.networks

    def gained(repaired: list[int]) -> tuple[Flags, Flags]:
        works = networks.working.copy()
        works[repaired] = True
        joined, usable = _served(networks, works)
        return joined & ~base[0], usable & ~base[1]

    joined, raised = gained([place, *others])
    alone = gained([place])[0] if others else joined
    people, own = worth.people[joined].sum(axis=0), worth.names.index(name)
    metres, unknown = worth.metres[joined].sum(axis=0)
    back = [label for node, label, facility in worth.dependents if (raised if facility else joined)[node] and node != place]
    return (
        float(people[own]),
        float(people.sum() - people[own]),
        float(people.sum()),
        1 + len(others),
        " ".join(_short(networks.elements[one], name) for one in others),
        float(worth.people[alone].sum()),
        float(metres),
        float(unknown),
        " ".join(_short(one, name) for one in back),
    )


def _short(element: str, name: str) -> str:
    """The id of an element as the list of a network shows it: its layer is said where it is another one."""
    return element.removeprefix(f"{name}:")


def _described(made: Utilities, city: City, name: str, mine: pd.Index[str]) -> pd.DataFrame:
    frame = rows(city, name).iloc[made.elements.loc[mine, "at"].to_numpy()]
    text = {
        column: (frame[column] if column in frame else pd.Series(pd.NA, index=frame.index)).astype("string").to_numpy()
        for column in ("kind", "state", "functionality")
    }
    pieces = pd.DataFrame({"element": made.element, "zone": made.zone, "metres": made.metres})
    longest = pieces.sort_values("metres", kind="stable").drop_duplicates("element", keep="last").set_index("element")["zone"]
    place = locate(*middle(frame.geometry.to_numpy()), city.zones.geometry.to_numpy())
    lies = (
        longest.reindex(made.elements.index.get_indexer(mine))
        .reset_index(drop=True)
        .fillna(pd.Series(place))
        .to_numpy(dtype=np.int64)
    )
    table = pd.DataFrame({"id": made.elements.loc[mine, "id"].astype("string").to_numpy(), **text}, index=mine)
    table["zone"] = pd.Series(city.zones.index[lies], index=mine, dtype="string").mask(lies == OUTSIDE)
    return table.assign(length_m=frame.geometry.length.to_numpy(), geometry=frame.geometry.to_numpy())


def titles(tables: Mapping[str, pd.DataFrame]) -> dict[str, dict[str, object]]:
    """Title and headings of the tables, for a run."""
    states = {name: registers.both(row, "name") for name, row in registers.register("states").items()}
    return {
        name: {
            "title": TITLES[name].both(),
            "columns": {column: text.both() for column, text in COLUMNS.items() if column in table},
            "values": {"state": states, "functionality": {one: text.both() for one, text in FUNCTIONALITY.items()}},
        }
        for name, table in tables.items()
    }


TITLES: Mapping[str, Message] = {
    "water_works": message("Works of the water network"),
    "sewerage_works": message("Works of the sewerage network"),
    "electricity_works": message("Works of the electricity network"),
    "telecom_works": message("Works of the telecom network"),
}


def in_words(table: pd.DataFrame, lang: Lang) -> pd.DataFrame:
    """The table with its codes as words of a language."""
    states = registers.register("states")
    said = {
        "state": [states[one][f"name_{lang}"] if isinstance(one, str) else "" for one in table["state"]],
        "functionality": [FUNCTIONALITY[one].render(lang) if isinstance(one, str) else "" for one in table["functionality"]],
    }
    return pd.DataFrame(table.drop(columns="geometry")).assign(**said)


def write(table: gpd.GeoDataFrame, path: Path, lang: Lang, name: str) -> Path:
    """The list as a file, with places as .gpkg or .geojson (degrees), without as .xlsx or .csv.

    Raises
    ------
    ExportError
        The place can't be written.
    """
    said = in_words(table, lang).rename(columns={column: text.render(lang) for column, text in COLUMNS.items()})
    return write_works(table, said, path, layer=name, title=TITLES[name], lang=lang)
