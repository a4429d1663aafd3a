"""Gaps: why parts of a road network hang on nothing, so that a mistake of the drawing is not taken for people cut off.

A dead end that stops a few metres before a road of another component is a suspected gap of the drawing. A component that only such
gaps keep from the largest is not isolated: nobody who lives there may be counted as cut off. Known bias: a real wall between two
dead ends looks the same, so every suspected gap is listed, to be looked at.
"""

from __future__ import annotations

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely

from geo.graphs import Bools, Graph, connected
from geo.messages import Message, message
from geo.overlay import Ints

HULL = 0.1  # of a concave hull: 1 is convex, 0 goes into every bay
WHY: dict[str, Message] = {
    "largest": message("The largest"),
    "suspected-gap": message("Suspected gap of the drawing"),
    "bridge-or-tunnel": message("Meets the others only above or below them"),
    "edge-of-area": message("At the edge of the area: its way to the others may lie outside"),
    "apart": message("Truly apart"),
}


def parts(graph: Graph) -> Ints:
    """Component of each node, whichever way its roads lead; 0 is the longest, then by length.

    >>> from geo.graphs import build
    >>> import geopandas as gpd
    >>> two = [shapely.LineString([(0, 0), (10, 0)]), shapely.LineString([(0, 50), (30, 50)])]
    >>> graph = build(gpd.GeoDataFrame(geometry=two, crs="EPSG:32637"))
    >>> parts(graph)[graph.tail].tolist()
    [1, 0]
    """
    found = connected(len(graph.places), np.stack([graph.tail, graph.head], axis=1))
    length = np.bincount(found[graph.tail], graph.length_m)
    rank = np.empty(len(length), dtype=np.intp)
    rank[np.argsort(-length, kind="stable")] = np.arange(len(length))
    return rank[found]


def gaps(graph: Graph, *, reach_m: float = 25.0) -> pd.DataFrame:
    """Dead ends of one component within reach of a road of another, on the same level.

    Returns
    -------
    DataFrame
        One row a dead end and component it nearly reaches, nearest first: `node` (the dead end), `edge` (the nearest of the other
        component), `component`, `other` (see `parts`), `distance_m`.
    """
    component = parts(graph)
    degree = np.bincount(np.concatenate([graph.tail, graph.head]), minlength=len(graph.places))
    ends = np.flatnonzero(degree == 1)
    level = np.empty(len(graph.places))
    level[graph.tail], level[graph.head] = graph.level, graph.level  # a dead end has but one edge
    places = shapely.points(graph.places[ends])
    end, edge = shapely.STRtree(graph.shape).query(places, predicate="dwithin", distance=reach_m)
    chosen = (component[ends[end]] != component[graph.tail[edge]]) & (level[ends[end]] == graph.level[edge])
    end, edge = end[chosen], edge[chosen]
    table = pd.DataFrame(
        {
            "node": ends[end],
            "edge": edge,
            "component": component[ends[end]],
            "other": component[graph.tail[edge]],
            "distance_m": shapely.distance(places[end], graph.shape[edge]),
        }
    )
    table = table.sort_values(["distance_m", "node", "edge"], kind="stable")
    return table.drop_duplicates(["node", "other"]).reset_index(drop=True)


def isolated_by_gap(graph: Graph, found: pd.DataFrame) -> Bools:
    """By node: only suspected gaps, one or several in a row, keep it from the largest component.

    Parameters
    ----------
    found
        The table of `gaps`.
    """
    component = parts(graph)
    count = int(component.max(initial=-1)) + 1
    joined = connected(count, found[["component", "other"]].to_numpy(dtype=np.intp))
    near = joined == joined[0] if count else np.zeros(0, dtype=bool)
    return np.asarray(near[component] & (component != 0))


def one_sided(graph: Graph) -> Bools:
    """By node of the largest component: it can only be entered, or only be left, or neither, because of one-way streets.

    Few are so in a city; many mean that a street is drawn against its direction.

    >>> from geo.graphs import build
    >>> import geopandas as gpd
    >>> street = [shapely.LineString([(0, 0), (10, 0)]), shapely.LineString([(10, 0), (30, 0)])]
    >>> graph = build(gpd.GeoDataFrame({"one_way": ["no", "forward"]}, geometry=street, crs="EPSG:32637"))
    >>> graph.places[one_sided(graph)].tolist()
    [[30.0, 0.0]]
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    if not len(graph):
        return np.zeros(len(graph.places), dtype=bool)
    both = ~graph.one_way
    start, end = np.concatenate([graph.tail, graph.head[both]]), np.concatenate([graph.head, graph.tail[both]])
    links = coo_array((np.ones(len(start), dtype=bool), (start, end)), shape=(len(graph.places),) * 2)
    around = connected_components(links, connection="strong")[1]
    largest = parts(graph) == 0
    return np.asarray(largest & (around != np.bincount(around[largest]).argmax()))


def located(graph: Graph, found: pd.DataFrame, lines: gpd.GeoDataFrame) -> pd.DataFrame:
    """The suspected gaps as a table, to look them up in the layer.

    Parameters
    ----------
    found
        The table of `gaps`.
    lines
        The layer of which the graph was made; `row` is its column of that name, else the position.

    Returns
    -------
    DataFrame
        `distance_m`; `lon`, `lat` of the dead end; `row` and `id` of its line, `other_row` and `other_id` of the line it nearly
        reaches (ids where the layer has them).
    """
    places = gpd.GeoSeries.from_xy(*graph.places[found["node"]].T, crs=lines.crs).to_crs("EPSG:4326")
    table = pd.DataFrame(
        {"distance_m": found["distance_m"].round(2).to_numpy(), "lon": places.x.round(6), "lat": places.y.round(6)}
    )
    of_node = np.zeros(len(graph.places), dtype=np.intp)
    of_node[graph.tail], of_node[graph.head] = graph.line, graph.line
    for prefix, line in (("", of_node[found["node"]]), ("other_", graph.line[found["edge"]])):
        table[f"{prefix}row"] = lines["row"].to_numpy()[line] if "row" in lines else line
        if "id" in lines:
            table[f"{prefix}id"] = lines["id"].to_numpy()[line]
    return table


def area_of(graph: Graph, extent: object = None) -> shapely.Geometry:
    """Where the roads were drawn: the extent, where it is a shape, else a hull around the nodes that follows the city's outline."""
    if isinstance(extent, shapely.Geometry):
        return extent
    return shapely.concave_hull(shapely.MultiPoint(graph.places), ratio=HULL)


def components(graph: Graph, found: pd.DataFrame, *, area: shapely.Geometry | None = None, reach_m: float = 25.0) -> pd.DataFrame:
    """The components and why each is not part of the largest.

    Parameters
    ----------
    found
        The table of `gaps`.
    area
        Of the study; what lies outside of it or within `reach_m` of its edge may be joined to the rest out there.

    Returns
    -------
    DataFrame
        Index: component, longest first. `nodes`, `edges`, `length_m`, `share` (of all length), `why` (a key of `WHY`; the first
        that holds, in its order).
    """
    component = parts(graph)
    of = component[graph.tail]
    count = int(component.max(initial=-1)) + 1
    length = np.bincount(of, graph.length_m, minlength=count)
    gap, passes = np.zeros(count, dtype=bool), np.zeros(count, dtype=bool)
    gap[component[isolated_by_gap(graph, found)]] = True
    one, other = shapely.STRtree(graph.shape).query(graph.shape, predicate="intersects")
    above = (of[one] != of[other]) & (graph.level[one] != graph.level[other])
    passes[of[one[above]]] = True
    edge = np.zeros(count, dtype=bool)
    if area is not None:
        inside = area.buffer(-reach_m)
        shapely.prepare(inside)
        edge[component[~shapely.contains_xy(inside, graph.places)]] = True
    why = np.select(
        [np.arange(count) == 0, gap, passes, edge], ["largest", "suspected-gap", "bridge-or-tunnel", "edge-of-area"], "apart"
    )
    return pd.DataFrame(
        {
            "nodes": np.bincount(component, minlength=count),
            "edges": np.bincount(of, minlength=count),
            "length_m": length,
            "share": length / length.sum() if count else length,
            "why": why,
        },
        index=pd.RangeIndex(count, name="component"),
    )
