"""Closures: which edges of the road network are open, slowed or closed now, by what evidence, and what has to be done first.

Four kinds of evidence: the surveyed damage state of the road itself, debris of destroyed and severely damaged structures within
reach, surveyed obstacles, and hazards that are not cleared yet. What each does is data (`data/closures.csv`); where several meet,
the worst decides. A road that nobody looked at is unknown, neither open nor closed. Known bias: debris is inferred, and a street
that was cleared since still counts as closed; an edge is closed as a whole, from one junction to the next.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
import shapely

from geo import registers
from geo.damage import DEBRIS
from geo.graphs import Bools, Graph
from geo.harmonise import City, Layer
from geo.messages import Message, message
from geo.overlay import Floats, Ints, Shapes, within_reach
from geo.roads import footprints, group_of
from geo.scheme import Scheme

Texts = npt.NDArray[np.object_]
STATES: dict[str, Message] = {
    "open": message("Open to traffic"),
    "unknown": message("Unknown: nobody looked"),
    "slowed": message("Slow to travel"),
    "closed": message("Closed to traffic"),
}
WORKS: dict[str, Message] = {
    "hazard": message("Clearance of hazards"),
    "debris": message("Clearance of debris and obstacles"),
    "repair": message("Repair"),
}
ANY = "*"
EDGE_M = 1.0  # how far an edge may stand out of what was looked at
EVIDENCE = ["edge", "rule", "effect", "factor", "work"]


def closures(graph: Graph, roads: Layer, city: City, scheme: Scheme) -> pd.DataFrame:
    """The state of every edge now.

    Parameters
    ----------
    graph
        Of the roads (`geo.road_network.road_graph`), or that with points on it (`geo.graphs.attach`): smaller pieces close less.
    roads
        The layer of which the graph was made; its column `state`, where it has one, is evidence.
    city
        Layers `damage` (and `buildings` for footprints), `obstacles`, `hazards`, where there are any.
    scheme
        Its best `debris_reach_m`.

    Returns
    -------
    DataFrame
        Index: edges of the graph. `state` (a key of `STATES`), `factor` (times as long; NaN closed or unknown), `evidence` (rules
        of `data/closures.csv` that count, separated by spaces), `works` (keys of `WORKS` in the order in which they are done: each
        waits for the one before; separated by spaces), `seconds` (now; infinite closed, NaN unknown).
    """
    road = np.where(graph.level > 0, "bridge", _groups(graph, roads)).astype(object)
    found = [
        _of_state(graph, roads, road),
        _of_debris(graph, city, road, scheme.options.debris_reach_m[1]),
        _of_places(graph, city, road, "obstacle"),
        _of_places(graph, city, road, "hazard"),
    ]
    evidence = pd.concat([one for one in found if len(one)] or found[:1], ignore_index=True)
    return _state(graph, evidence, _seen(graph, city))


def seconds_now(table: pd.DataFrame, graph: Graph, *, unknown: Literal["open", "closed"]) -> Floats:
    """Seconds on each edge now, infinite where closed, with roads nobody looked at taken as open, or as closed.

    Both together say how much depends on what is not known.

    >>> from geo.graphs import build
    >>> import geopandas as gpd
    >>> graph = build(gpd.GeoDataFrame(geometry=[shapely.LineString([(0, 0), (250, 0)])], crs="EPSG:32637"))
    >>> nobody_looked = pd.DataFrame({"seconds": [np.nan]})
    >>> [seconds_now(nobody_looked, graph, unknown=taken).tolist() for taken in ("open", "closed")]
    [[36.0], [inf]]
    """
    instead = graph.seconds if unknown == "open" else np.full(len(graph), np.inf)
    now = table["seconds"].to_numpy()
    return np.where(np.isnan(now), instead, now)


def _groups(graph: Graph, roads: Layer) -> Texts:
    frame = roads.frame
    classes = frame["road_class"] if "road_class" in frame else pd.Series("", index=frame.index)
    return group_of(classes.fillna("")).to_numpy(dtype=object)[graph.line]


def _effects(evidence: str, edge: Ints, value: Texts, road: Texts) -> pd.DataFrame:
    """What a value does to an edge, by the most exact rule; a value without a rule does nothing."""
    rules = [row for row in registers.register("closures").values() if row["evidence"] == evidence]
    keys = pd.Index([f"{row['value']}|{row['road']}" for row in rules])
    every = np.full(len(edge), ANY, dtype=object)
    rule = np.full(len(edge), -1)
    for one, other in ((value, road[edge]), (value, every), (every, road[edge]), (every, every)):
        rule = np.where(rule < 0, keys.get_indexer(pd.Index(one + "|" + other)), rule)
    table = pd.DataFrame({"edge": edge, "position": rule})
    columns = pd.DataFrame(rules)[["rule", "effect", "factor", "work", "least_m", "reach_m"]]
    columns[["factor", "least_m", "reach_m"]] = columns[["factor", "least_m", "reach_m"]].apply(pd.to_numeric)
    return table[table["position"] >= 0].join(columns, on="position").drop(columns="position")


def _of_state(graph: Graph, roads: Layer, road: Texts) -> pd.DataFrame:
    if "state" not in roads.frame:
        return pd.DataFrame(columns=EVIDENCE)
    state = roads.frame["state"].to_numpy(dtype=object, na_value="")[graph.line]
    graded = np.flatnonzero(state != "")
    return _effects("state", graded, state[graded], road)[EVIDENCE]


def _of_debris(graph: Graph, city: City, road: Texts, reach_m: float) -> pd.DataFrame:
    survey = city.layers.get("damage")
    if survey is None:
        return pd.DataFrame(columns=EVIDENCE)
    state, shapes = survey.frame["state"], survey.frame.geometry.to_numpy()
    found = []
    for value in DEBRIS:
        structures = footprints(shapes[(state == value).to_numpy(dtype=bool, na_value=False)], city.frame("buildings"))
        covered = within_reach(graph.shape, structures, reach_m)
        edge = np.flatnonzero(covered > 0)
        effects = _effects("debris", edge, np.full(len(edge), value, dtype=object), road)
        found.append(effects[covered[effects["edge"]] >= effects["least_m"]])
    return pd.concat(found)[EVIDENCE]


def _of_places(graph: Graph, city: City, road: Texts, evidence: str) -> pd.DataFrame:
    """Obstacles and hazards within the reach that their rule gives them."""
    frame = city.frame(f"{evidence}s")
    if frame is None or not len(frame):
        return pd.DataFrame(columns=EVIDENCE)
    kind = frame["kind"].fillna("").str.casefold() if "kind" in frame else pd.Series("", index=frame.index)
    shapes: Shapes = frame.geometry.to_numpy()
    farthest = max(float(row["reach_m"]) for row in registers.register("closures").values() if row["evidence"] == evidence)
    place, edge = shapely.STRtree(graph.shape).query(shapes, predicate="dwithin", distance=farthest)
    effects = _effects(evidence, edge, kind.to_numpy(dtype=object)[place], road)
    near = shapely.distance(shapes[place], graph.shape[edge])[effects.index] <= effects["reach_m"]
    return pd.DataFrame(effects[near], columns=EVIDENCE)


def _seen(graph: Graph, city: City) -> Bools:
    """Whether the damage survey looked at the whole of an edge; what lies outside the neighbourhoods was not looked at."""
    survey = city.layers.get("damage")
    if survey is None or survey.extent is None:
        return np.zeros(len(graph), dtype=bool)
    looked = shapely.union_all(city.zones.geometry.to_numpy())
    if not isinstance(survey.extent, str):
        looked = shapely.intersection(looked, survey.extent)
    looked = shapely.buffer(looked, EDGE_M)
    shapely.prepare(looked)
    return np.asarray(shapely.covers(looked, graph.shape), dtype=np.bool_)


def _state(graph: Graph, evidence: pd.DataFrame, seen: Bools) -> pd.DataFrame:
    """The worst of all evidence on each edge."""
    edges = pd.RangeIndex(len(graph), name="edge")
    said = {effect: np.zeros(len(graph), dtype=bool) for effect in STATES}
    for effect, edge in evidence.groupby("effect")["edge"]:
        said[str(effect)][edge.to_numpy(dtype=np.intp)] = True
    looked = seen | said["open"]
    state = np.select([said["closed"], said["slowed"], said["unknown"] | ~looked], ["closed", "slowed", "unknown"], "open")
    slower = evidence.groupby("edge")["factor"].max().reindex(edges).fillna(1.0).to_numpy(dtype=np.float64)
    factor = np.where(np.isin(state, ["closed", "unknown"]), np.nan, slower)
    seconds = np.where(state == "closed", np.inf, graph.seconds * factor)
    unique = evidence.drop_duplicates(["edge", "rule"])
    because = unique.groupby("edge")["rule"].agg(" ".join).reindex(edges).fillna("")
    works = pd.Series("", index=edges)
    for work in WORKS:
        needed = edges.isin(evidence.loc[evidence["work"] == work, "edge"])
        works = works.where(~needed, works + " " + work)
    return pd.DataFrame(
        {"state": state, "factor": factor, "evidence": because, "works": works.str.strip(), "seconds": seconds}, index=edges
    )
