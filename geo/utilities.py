"""Utilities: the water, sewerage, electricity and telecom layers of a city as one service network with the needs between them.

Every line and every node of a layer is an element. Two elements are joined where the end of a line, or a node, lies within a
tolerance of the other. What does not work joins nothing, nothing joins at a node that does not work, and an element whose needs
(`geo.dependencies`) are not met does not work either. What is then joined to a source (kinds in `data/network_sources.csv`) is
supplied. People are spread evenly along the lines of their neighbourhood.

Known biases: valves, pressure and capacity are not in it, so that supply is an upper bound; gaps in the drawing wider than the
tolerance cut off whole quarters that are served; a pipe that nobody drew serves nobody.
"""

from __future__ import annotations

from dataclasses import dataclass

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely

from geo import registers
from geo.dependencies import BACKUP, usable
from geo.errors import Finding
from geo.facilities import with_state, working
from geo.flow import Flags, Whole
from geo.harmonise import City
from geo.overlay import Floats, Shapes, cut
from geo.scheme import Scheme
from geo.service import Networks, build, supplied, up
from geo.study import NETWORKS

TOLERANCE_M = 1.0
FACILITIES = "facilities"
Pairs = np.ndarray[tuple[int, int], np.dtype[np.int64]]


@dataclass(frozen=True)
class Utilities:
    """The networks of a city.

    Attributes
    ----------
    networks
        Elements as nodes (id `layer:id`), joints as arcs; what is of unknown state counts as working.
    elements
        By id, in the order of the nodes: `layer`, `at` (position of the row), `id` (as a list shows it), `known` (whether its state
        is), `metres`, `metres_unknown` (in neighbourhoods whose people are unknown).
    element, zone, metres
        Pieces of lines by neighbourhood: position in `elements`, position of the neighbourhood, length.
    findings
        What is odd with the needs.
    """

    networks: Networks
    elements: pd.DataFrame
    element: Whole
    zone: Whole
    metres: Floats
    findings: tuple[Finding, ...] = ()

    def joined(self, *, unknown_works: bool = True) -> Flags:
        """Elements that are supplied as things stand."""
        works = self.networks.working.copy()
        if not unknown_works:
            works[: len(self.elements)] &= self.elements["known"].to_numpy(dtype=bool)
        return supplied(self.networks, up(self.networks, works))[: len(self.elements)]

    def facilities_up(self) -> pd.Series[bool]:
        """By position in the layer of facilities, whether what it needs is there; only those that need something."""
        mine = self.elements["layer"] == FACILITIES
        state = pd.Series(up(self.networks, self.networks.working)[: len(self.elements)], index=self.elements.index)
        return pd.Series(state[mine].to_numpy(), index=self.elements.loc[mine, "at"])


def of(city: City, scheme: Scheme, people: pd.DataFrame, *, tolerance_m: float = TOLERANCE_M) -> Utilities | None:
    """The networks of a city that have a source; None where there is none.

    Parameters
    ----------
    people
        `people` by neighbourhood; NaN unknown: lines there count in metres only.
    tolerance_m
        How far apart, in metres, ends still meet.
    """
    kinds = registers.register("network_sources")
    layers = {name: rows(city, name) for name in NETWORKS if name in city.layers}
    sources = {name: _kind(frame).isin(kinds[name]["kinds"].split("|")).to_numpy(dtype=bool) for name, frame in layers.items()}
    layers = {name: frame for name, frame in layers.items() if sources[name].any()}
    if not layers:
        return None
    zones, found = city.zones.geometry.to_numpy(), []
    nodes: list[pd.DataFrame] = []
    arcs: list[pd.DataFrame] = []
    closers: list[tuple[str, str, str, str]] = []
    for name, frame in layers.items():
        shapes = frame.geometry.to_numpy()
        made = _elements(name, frame, sources[name])
        start = sum(map(len, nodes))
        at = np.flatnonzero(shapely.get_dimensions(shapes) == 1)
        pieces = cut(shapes[at], zones)
        found.append((start + at[pieces.line], pieces.zone, pieces.length))
        _spread(
            made, at[pieces.line], pieces.zone, pieces.length, people["people"].reindex(city.zones.index).to_numpy(dtype=np.float64)
        )
        pairs, closed = joints(shapes, tolerance_m)
        ids = made.index.to_numpy()
        label = [f"{name}~{number}" for number in range(len(pairs))]
        arcs.append(pd.DataFrame({"tail": ids[pairs[:, 0]], "head": ids[pairs[:, 1]]}, index=label))
        closers += [(label[arc], ids[point], "", "working") for arc, point in closed]
        nodes.append(made)
    needed, findings = _needs(city, scheme, nodes)
    table = pd.concat([*nodes, *needed[0]])
    needs = pd.DataFrame([*closers, *needed[1]], columns=["depender", "dependee", "group", "needs"])
    networks = build(table[["network", "supply", "people", "working"]], pd.concat(arcs), needs)
    element, zone, metres = (np.concatenate(one) for one in zip(*found, strict=True))
    return Utilities(networks, table[["layer", "at", "id", "known", "metres", "metres_unknown"]], element, zone, metres, findings)


def rows(city: City, name: str) -> gpd.GeoDataFrame:
    """The rows of a network that have a place, those outside of every neighbourhood too: supply leads over them."""
    frame = city.networks.get(name, city.layers[name]).frame
    return frame[frame.geometry.notna() & ~frame.geometry.is_empty]


def _kind(frame: pd.DataFrame) -> pd.Series[str]:
    return frame["kind"] if "kind" in frame else pd.Series(pd.NA, index=frame.index, dtype="string")


def codes(frame: pd.DataFrame, prefix: str = "#") -> list[str]:
    """A code of its own for every row: its id, or the number of its row where it has none or shares it."""
    ids = frame["id"].astype("string") if "id" in frame else pd.Series(pd.NA, index=frame.index, dtype="string")
    alone = ids.notna() & ~ids.duplicated(keep=False)
    return [str(code) for code in ids.where(alone, prefix + frame["row"].astype("string"))]


def _elements(name: str, frame: pd.DataFrame, sources: Flags) -> pd.DataFrame:
    """The rows of a layer as nodes of the service network; `supply` has no limit."""
    state, code = working(frame), codes(frame)
    columns = {
        "network": name,
        "supply": np.where(sources, np.inf, 0.0),
        "people": 0.0,
        "working": (state.fillna(1.0) > 0).to_numpy(dtype=bool),
        "layer": name,
        "at": np.arange(len(frame)),
        "id": code,
        "known": state.notna().to_numpy(dtype=bool),
        "metres": 0.0,
        "metres_unknown": 0.0,
    }
    return pd.DataFrame(columns, index=pd.Index([f"{name}:{one}" for one in code], dtype=object))


def _spread(made: pd.DataFrame, line: Whole, zone: Whole, metres: Floats, people: Floats) -> None:
    """Give the lines of a network the people of their neighbourhoods, by length."""
    total = np.bincount(zone, metres, minlength=len(people))
    share = metres / total[zone]
    living = people[zone]
    for column, amount in (
        ("people", np.nan_to_num(living) * share),
        ("metres", metres),
        ("metres_unknown", metres * np.isnan(living)),
    ):
        made[column] = np.bincount(line, amount, minlength=len(made))


def joints(shapes: Shapes, tolerance_m: float) -> tuple[Pairs, list[tuple[int, int]]]:
    """Where elements meet.

    Returns
    -------
    tuple
        Pairs of positions, and for the number of a pair the nodes (other than its own two) that lie where it is joined.

    Examples
    --------
    A main, a pipe that begins in its middle with a valve there, and a pipe that nothing joins.

    >>> shapes = shapely.from_wkt(["LINESTRING (0 0, 9 0)", "LINESTRING (5 0.5, 5 9)", "POINT (5 0.5)", "LINESTRING (20 0, 30 0)"])
    >>> pairs, closers = joints(np.asarray(shapes), 1.0)
    >>> pairs.tolist(), closers
    ([[0, 1], [0, 2], [1, 2]], [(0, 2)])
    """
    line = shapely.get_dimensions(shapes) == 1
    parts, owner = shapely.get_parts(shapes, return_index=True)
    own = owner[line[owner]]
    tips = np.concatenate(
        [shapely.get_point(parts[line[owner]], 0), shapely.get_point(parts[line[owner]], -1), parts[~line[owner]]]
    )
    of_tip = np.concatenate([own, own, owner[~line[owner]]])
    tip, near = shapely.STRtree(shapes).query(tips, predicate="dwithin", distance=tolerance_m)
    nodes = pd.Series(near[~line[near]]).groupby(tip[~line[near]]).agg(tuple).to_dict()
    found: dict[tuple[int, int, tuple[int, ...]], None] = {}
    for one, other, at in zip(of_tip[tip].tolist(), near.tolist(), tip.tolist(), strict=True):
        if one != other:
            pair = (min(one, other), max(one, other))
            found.setdefault((*pair, tuple(sorted(node for node in nodes.get(at, ()) if node not in pair))))
    ordered = sorted(found)
    pairs = np.array([one[:2] for one in ordered], dtype=np.int64).reshape(-1, 2)
    return pairs, [(number, node) for number, (_, _, closers) in enumerate(ordered) for node in closers]


def _needs(
    city: City, scheme: Scheme, nodes: list[pd.DataFrame]
) -> tuple[tuple[list[pd.DataFrame], list[tuple[str, str, str, str]]], tuple[Finding, ...]]:
    """Facilities and back-ups as nodes of their own, and the needs between elements."""
    ids = {str(one["layer"].iat[0]): set(one["id"]) for one in nodes}
    placed = city.layers.get(FACILITIES)
    if placed is not None:
        ids[FACILITIES] = set(codes(placed.frame))
    table, findings = usable(city.dependencies, ids)
    more = []
    if placed is not None and (table[["depender_layer", "dependee_layer"]] == FACILITIES).any(axis=None):
        frame = with_state(placed, city.layers.get("damage"), scheme.options.facility_match_m)
        more.append(_elements(FACILITIES, frame, np.zeros(len(frame), dtype=bool)))
    spare = table.loc[table["dependee_layer"] == BACKUP, "dependee"].unique()
    if len(spare):
        more.append(_elements(BACKUP, _there(spare), np.zeros(len(spare), dtype=bool)))
    alone = table["dependee_layer"].isin([FACILITIES, BACKUP])  # they hang on no source
    lines = zip(
        table["depender_layer"] + ":" + table["depender"],
        table["dependee_layer"] + ":" + table["dependee"],
        table["group"],
        table["needs"].mask(alone, "working"),
        strict=True,
    )
    return (more, [(str(depender), str(dependee), str(group), str(kind)) for depender, dependee, group, kind in lines]), findings


def _there(names: object) -> pd.DataFrame:
    frame = pd.DataFrame({"id": names}, dtype="string")
    return frame.assign(state="none", row=range(1, len(frame) + 1)).astype({"state": "string"})
