"""Road works: the list of the roads directorate, what each repair gives back and what must be done before it.

A repair is a road as it stands in the layer, with all of its edges that are closed or slowed, or the clearance of an obstacle or a
hazard. What lies in a hazard waits for its clearance, a road for that of the obstacles on it; debris is cleared before the road is
mended (column `works`). What a repair gives is what `geo.repair_value` says: with what it waits for, and if nothing else is done.
Known bias: a long road drawn as one line is one repair; values of single repairs must not be added up, two ways to one place each
count it whole.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely

from geo.closures import STATES, WORKS
from geo.export import write_works
from geo.harmonise import City, Layer
from geo.messages import Lang, Message, message
from geo.mobility import Mobility
from geo.overlay import OUTSIDE, Ints, Shapes, locate, middle
from geo.repair_value import road_table
from geo.repairs import Repairs
from geo.utilities import codes

REACH_M = {"hazard": 10.0, "obstacle": 5.0}  # the farthest that they close a road (data/closures.csv)
OF_THE_ROAD = {"state", "debris"}
_DESCRIBED = ("name_ar", "name_en", "state", "works", "length_m")
BLOCKED = ("closed", "slowed")
KINDS = {"road": message("Road"), "obstacle": message("Obstacle"), "hazard": message("Hazard")}
COLUMNS: Mapping[str, Message] = {
    "id": message("Code"),
    "kind": message("Kind"),
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


@dataclass(frozen=True)
class Listed:
    """The repairs of a city's roads, and what each is: `road`, `obstacle` or `hazard`, at which position of its layer."""

    repairs: Repairs
    what: tuple[tuple[str, int], ...]


def repairs_of(made: Mobility, city: City) -> Listed:
    """Every blocked edge belongs to the last work that opens it: the road's own, else an obstacle's, else a hazard's clearance."""
    graph = made.graph
    blocked = np.flatnonzero(made.closed["state"].isin(BLOCKED).to_numpy())
    because = [{rule.partition("-")[0] for rule in one.split()} for one in made.closed["evidence"].to_numpy(dtype=object)[blocked]]
    near = {kind: _near(graph.shape[blocked], city.layers.get(f"{kind}s"), reach) for kind, reach in REACH_M.items()}
    at: dict[tuple[str, int], int] = {}
    edge, repair, needs = [], [], set()
    for number, one in enumerate(blocked.tolist()):
        first = [("hazard", place) for place in near["hazard"].get(number, ()) if "hazard" in because[number]]
        then = [("obstacle", place) for place in near["obstacle"].get(number, ()) if "obstacle" in because[number]]
        own = [("road", int(graph.line[one]))] if because[number] & OF_THE_ROAD or not (first or then) else []
        chain = [at.setdefault(key, len(at)) for key in (*first, *then, *own)]
        needs |= {(before, chain[-1]) for before in chain[:-1]} | {(at[a], at[b]) for a in first for b in then}
        edge.append(one)
        repair.append(chain[-1])
    known = {"road": codes(made.roads.frame)} | {kind: _codes_of(city, kind) for kind in REACH_M}
    names = tuple(known[kind][place] for kind, place in at)
    edges = np.array(edge, dtype=np.intp)
    return Listed(Repairs(names, edges, np.array(repair, dtype=np.intp), graph.seconds[edges], sorted(needs)), tuple(at))


def _near(edges: Shapes, layer: Layer | None, reach_m: float) -> dict[int, list[int]]:
    """By edge the positions of the places within reach of it."""
    found: dict[int, list[int]] = {}
    if layer is not None and len(layer.frame):
        place, edge = shapely.STRtree(edges).query(layer.frame.geometry.to_numpy(), predicate="dwithin", distance=reach_m)
        for one, other in sorted(zip(edge.tolist(), place.tolist(), strict=True)):
            found.setdefault(one, []).append(other)
    return found


def _codes_of(city: City, kind: str) -> list[str]:
    layer = city.layers.get(f"{kind}s")
    return [] if layer is None else codes(layer.frame, f"{kind} #")


def road_works(made: Mobility, city: City, *, fair: bool = False) -> gpd.GeoDataFrame:
    """The repairs, the one that gives most people access first; columns `COLUMNS` and the parts of the road that are blocked.

    Parameters
    ----------
    fair
        Also fair shares and detours: seconds for hundreds of repairs, minutes for thousands.
    """
    listed = repairs_of(made, city)
    repairs = listed.repairs
    people = made.residents.at_nodes(len(made.graph.places))
    values = road_table(made.edges, made.seconds(), made.now, people, repairs, fair=fair)
    table = values.join(_described(made, city, listed))
    geometry = table["geometry"].to_numpy()
    zone = locate(*middle(geometry), city.zones.geometry.to_numpy())
    table["zone"] = pd.Series(city.zones.index[zone], index=table.index, dtype="string").mask(zone == OUTSIDE)
    table = table.reset_index(names="id")
    columns = [name for name in COLUMNS if name in table]
    return gpd.GeoDataFrame(table[[*columns, "geometry"]], crs=city.study.crs)


def _described(made: Mobility, city: City, listed: Listed) -> pd.DataFrame:
    """Names, state, works, blocked metres and place of each repair, by its name."""
    repairs, closed = listed.repairs, made.closed.iloc[listed.repairs.edge]
    edges = _edges_of(repairs)
    shut = closed["state"].to_numpy() == "closed"
    needed = {work: _has(closed["works"], work) for work in WORKS}
    rows = []
    for (kind, place), some in zip(listed.what, edges, strict=True):
        frame = (made.roads if kind == "road" else city.layers[f"{kind}s"]).frame
        own = [work for work in WORKS if needed[work][some].any() and (work != "hazard" or kind == "hazard")]
        shapes = made.graph.shape[repairs.edge[some]]
        rows.append(
            {
                "kind": kind,
                **{name: frame[name].iat[place] if name in frame else pd.NA for name in ("name_ar", "name_en")},
                "state": "closed" if shut[some].any() or not len(some) else "slowed",
                "works": " ".join(own) or {"hazard": "hazard", "obstacle": "debris"}[kind],
                "length_m": float(shapely.length(shapes).sum()),
                "geometry": shapely.union_all(shapes) if kind == "road" else frame.geometry.iat[place],
            }
        )
    table = pd.DataFrame(rows, index=pd.Index(repairs.names, name="repair"), columns=["kind", *_DESCRIBED, "geometry"])
    return table.astype(dict.fromkeys(("kind", "name_ar", "name_en", "state", "works"), "string"))


def _edges_of(repairs: Repairs) -> list[Ints]:
    """By repair, the positions of its edges in `repairs.edge`."""
    order = np.argsort(repairs.repair, kind="stable")
    ends = np.searchsorted(repairs.repair[order], np.arange(1, len(repairs)))
    return [np.asarray(one, dtype=np.intp) for one in np.split(order, ends)] if len(repairs) else []


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
            "kind": {name: text.both() for name, text in KINDS.items()},
        },
    }


def in_words(table: pd.DataFrame, lang: Lang) -> pd.DataFrame:
    """The table with its codes as words of a language."""
    comma, words = "، " if lang == "ar" else ", ", {"state": STATES, "works": WORKS, "kind": KINDS}
    said = {
        name: [comma.join(known[code].render(lang) for code in str(one).split()) for one in table[name]]
        for name, known in words.items()
    }
    return pd.DataFrame(table.drop(columns="geometry")).assign(**said)


def write(table: gpd.GeoDataFrame, path: Path, lang: Lang) -> Path:
    """The list as a file, with places as .gpkg or .geojson (degrees), without as .xlsx or .csv.

    Raises
    ------
    ExportError
        The place can't be written.
    """
    said = in_words(table, lang).rename(columns={name: text.render(lang) for name, text in COLUMNS.items()})
    return write_works(table, said, path, layer="road_works", title=message("Road works"), lang=lang)
