"""Road works: the list of the roads directorate, what each repair gives back and what must be done before it.

A repair is a road as it stands in the layer, with all of its edges that are closed or slowed, or the clearance of a hazard. A road
that lies in a hazard waits for its clearance; debris is cleared before the road is mended (column `works`). What a repair gives is
what `geo.repair_value` says: with what it waits for, and if nothing else is done. Known bias: a long road drawn as one line is one
repair; values of single repairs must not be added up, two ways to one place each count it whole.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely

from geo.closures import STATES, WORKS
from geo.harmonise import City
from geo.messages import Message, message
from geo.mobility import Mobility
from geo.overlay import OUTSIDE, locate, middle
from geo.repair_value import road_table
from geo.repairs import Repairs

HAZARD_M = 15.0  # the farthest that a hazard closes a road (data/closures.csv), and a little more
BLOCKED = ("closed", "slowed")
COLUMNS: Mapping[str, Message] = {
    "id": message("Code"),
    "name_ar": message("Arabic name"),
    "name_en": message("English name"),
    "zone": message("Neighbourhood"),
    "state": message("State"),
    "works": message("Works, in their order"),
    "length_m": message("Metres closed or slowed"),
    "people": message("People who regain access"),
    "person_minutes": message("Person-minutes saved"),
    "joined": message("People joined again"),
    "needs": message("Waits for"),
    "alone_people": message("People, without what it waits for"),
    "fair_person_minutes": message("Fair share of the person-minutes"),
    "fair_person_minutes_se": message("Standard error of the fair share"),
    "fair_access": message("Fair share of the access regained"),
    "fair_access_se": message("Standard error of the share of access"),
    "detour_min": message("Detour, minutes"),
}


def repairs_of(made: Mobility, city: City) -> tuple[Repairs, pd.DataFrame]:
    """The repairs of a city's roads, and by name the position of each road in its layer (`line`; of a hazard -2 and less)."""
    graph, closed = made.graph, made.closed
    blocked = np.flatnonzero(closed["state"].isin(BLOCKED).to_numpy())
    works = closed["works"].to_numpy(dtype=object)[blocked]
    hazard = _hazard_of(made, city, blocked, works)
    codes = _codes(made.roads.frame)
    names: list[str] = []
    at: dict[tuple[str, int], int] = {}
    edge, repair, needs = [], [], set()
    for one, of, what in zip(blocked.tolist(), hazard.tolist(), works.tolist(), strict=True):
        first = None
        if of >= 0:
            first = _at(at, names, ("hazard", of), _hazard_code(city, of))
        if first is not None and what == "hazard":
            target = first
        else:
            line = int(graph.line[one])
            target = _at(at, names, ("road", line), codes[line])
            if first is not None:
                needs.add((first, target))
        edge.append(one)
        repair.append(target)
    edges, of_repair = np.array(edge, dtype=np.intp), np.array(repair, dtype=np.intp)
    known = pd.DataFrame(
        {"line": [number if kind == "road" else -2 - number for kind, number in at]},
        index=pd.Index(names, name="repair"),
        dtype="int64",
    )
    return Repairs(tuple(names), edges, of_repair, graph.seconds[edges], sorted(needs)), known


def _at(at: dict[tuple[str, int], int], names: list[str], key: tuple[str, int], code: str) -> int:
    if key not in at:
        at[key] = len(names)
        names.append(code)
    return at[key]


def _codes(frame: pd.DataFrame) -> list[str]:
    """A code of its own for every road: its id, or its row where it has none or shares it."""
    ids = frame["id"].astype("string") if "id" in frame else pd.Series(pd.NA, index=frame.index, dtype="string")
    alone = ids.notna() & ~ids.duplicated(keep=False)
    return ids.where(alone, "#" + frame["row"].astype("string")).tolist()


def _hazard_code(city: City, position: int) -> str:
    frame = city.layers["hazards"].frame
    ids = frame["id"].astype("string").fillna("") if "id" in frame else pd.Series("", index=frame.index)
    return str(ids.iat[position]) or f"H-{frame['row'].iat[position]}"


def _hazard_of(made: Mobility, city: City, blocked: np.ndarray[Any, np.dtype[np.intp]], works: np.ndarray[Any, Any]) -> Any:
    """Position of the nearest hazard of each blocked edge that waits for one; -1 for none."""
    found = np.full(len(blocked), -1, dtype=np.intp)
    layer = city.layers.get("hazards")
    waits = np.array(["hazard" in one.split() for one in works], dtype=bool)
    if layer is None or not waits.any():
        return found
    tree = shapely.STRtree(layer.frame.geometry.to_numpy())
    edge, hazard = tree.query_nearest(made.graph.shape[blocked[waits]], max_distance=HAZARD_M, all_matches=False)
    found[np.flatnonzero(waits)[edge]] = hazard
    return found


def road_works(made: Mobility, city: City, *, fair: bool = False) -> gpd.GeoDataFrame:
    """The repairs, the one that gives most people access first; columns `COLUMNS` and the parts of the road that are blocked.

    Parameters
    ----------
    fair
        Also fair shares and detours: seconds for hundreds of repairs, minutes for thousands.
    """
    repairs, known = repairs_of(made, city)
    people = made.residents.at_nodes(len(made.graph.places))
    values = road_table(made.edges, made.seconds(), made.now, people, repairs, fair=fair)
    parts = _parts(made, repairs, known)
    place = _places(made, city, repairs, known)
    table = values.join(parts).join(pd.DataFrame({"geometry": place}, index=known.index))
    geometry = table["geometry"].to_numpy()
    zone = locate(*middle(geometry), city.zones.geometry.to_numpy())
    table["zone"] = pd.Series(city.zones.index[zone], index=table.index, dtype="string").mask(zone == OUTSIDE)
    table = table.reset_index(names="id")
    columns = [name for name in COLUMNS if name in table]
    return gpd.GeoDataFrame(table[[*columns, "geometry"]], crs=city.study.crs)


def _parts(made: Mobility, repairs: Repairs, known: pd.DataFrame) -> pd.DataFrame:
    """Names, state, works and blocked metres of each repair."""
    closed, edge = made.closed.iloc[repairs.edge], repairs.edge
    of_edge = {"asset": repairs.repair, "shut": closed["state"].to_numpy() == "closed", "length_m": made.graph.length_m[edge]}
    needed = pd.DataFrame(of_edge | {work: _has(closed["works"], work) for work in WORKS})
    each = needed.groupby("asset").agg({"shut": "any", "length_m": "sum", **dict.fromkeys(WORKS, "any")})
    each = each.reindex(range(len(repairs)), fill_value=False)
    line = known["line"].to_numpy()
    clears = line < 0  # the clearance of a hazard; what waits for it is mended after it
    works = [[work for work in WORKS if row[work] and work != "hazard"] for row in each.to_dict("records")]
    table = pd.DataFrame({"length_m": each["length_m"].astype("float64")})
    table["state"] = np.where(each["shut"] | clears, "closed", "slowed")
    table["works"] = ["hazard" if first else " ".join(own) for first, own in zip(clears, works, strict=True)]
    frame = made.roads.frame
    for name in ("name_ar", "name_en"):
        column = frame[name].astype("string") if name in frame else pd.Series(pd.NA, index=frame.index, dtype="string")
        table[name] = column.iloc[np.where(clears, 0, line)].mask(clears).to_numpy()
    return table.set_index(known.index)


def _places(made: Mobility, city: City, repairs: Repairs, known: pd.DataFrame) -> list[Any]:
    """The blocked parts of each road; of a hazard its own shape."""
    shapes = [shapely.union_all(made.graph.shape[edges]) for edges in _edges_of(repairs)]
    hazards = city.layers["hazards"].frame.geometry.to_numpy() if (known["line"] < 0).any() else ()
    return [hazards[-2 - line] if line < 0 else shape for shape, line in zip(shapes, known["line"], strict=True)]


def _edges_of(repairs: Repairs) -> list[Any]:
    order = np.argsort(repairs.repair, kind="stable")
    return np.split(repairs.edge[order], np.searchsorted(repairs.repair[order], np.arange(1, len(repairs)))) if len(repairs) else []


def _has(works: pd.Series[str], work: str) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Whether each edge needs this work."""
    return np.array([work in one.split() for one in works], dtype=bool)


def titles(table: pd.DataFrame) -> dict[str, Any]:
    """Title and headings of the table, for a run."""
    return {
        "title": message("Road works").both(),
        "columns": {name: text.both() for name, text in COLUMNS.items() if name in table},
        "values": {
            "state": {name: text.both() for name, text in STATES.items()},
            "works": {name: text.both() for name, text in WORKS.items()},
        },
    }
