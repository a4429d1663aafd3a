"""Graphs: lines as surveyed become nodes and edges on which one can travel.

Ends that lie within a tolerance of each other are one node; lines are split where they cross or touch on the same level. A bridge
or a tunnel is joined to the rest at its ends only, never to what passes under or over it. Known bias: without levels, an overpass
looks like a crossing (`crossings=False` joins only where both lines have a vertex, as OpenStreetMap does), and a gap in the drawing
looks like a gap in the road: `geo.gaps` lists the suspected ones.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import geopandas as gpd
import numpy as np
import numpy.typing as npt
import pandas as pd
import shapely

from geo import registers
from geo.overlay import Floats, Ints, Shapes

Bools = npt.NDArray[np.bool_]
SAME_M = 1e-6  # two positions on a line that rounding alone keeps apart
ROUNDED_M = 0.01  # lines that repeat each other to the centimetre are one
KMH = 3.6


@dataclass(frozen=True)
class Graph:
    """Nodes and edges made of lines.

    Attributes
    ----------
    places
        (n, 2) metres, in the CRS of the study.
    tail, head
        Nodes of each edge, in the direction its line was drawn (turned around where one may only drive against it).
    line
        Position of the row that the edge is a piece of.
    shape
        The piece itself, from the place of its tail to the place of its head.
    length_m, seconds
        Length of the piece, and the time to travel it undamaged, at the speed of its class.
    one_way
        From tail to head only.
    level
        0 on the ground, above it on a bridge, below it in a tunnel.
    left_out
        Lines that made no edge: `line` (position of the row), `reason` (`no-line`, `shorter-than-tolerance`, `repeated`).
    """

    places: Floats
    tail: Ints
    head: Ints
    line: Ints
    shape: Shapes
    length_m: Floats
    seconds: Floats
    one_way: Bools
    level: Floats
    left_out: pd.DataFrame

    def __len__(self) -> int:
        return len(self.tail)


@dataclass(frozen=True)
class Attached:
    """A graph with points on it.

    Attributes
    ----------
    graph
        With a node for each point, edges split there.
    node
        By point; -1 where it hangs on no road.
    edge
        By edge of the new graph, the edge of the old one that it is a piece of: what is known of the old one holds for it.
    left_out
        Points on no road: `point` (position), `reason` (`no-point`, `beyond-limit`), `distance_m` to the nearest road, NaN if that
        is not known.
    """

    graph: Graph
    node: Ints
    edge: Ints
    left_out: pd.DataFrame


@dataclass(frozen=True)
class _Cuts:
    """Positions along lines: the line, metres from its start, the place, and whether it is an end of the line."""

    line: Ints
    along: Floats
    place: Floats
    end: Bools

    def and_(self, other: _Cuts) -> _Cuts:
        return _Cuts(
            np.concatenate([self.line, other.line]),
            np.concatenate([self.along, other.along]),
            np.concatenate([self.place, other.place]),
            np.concatenate([self.end, other.end]),
        )


def build(lines: gpd.GeoDataFrame, *, tolerance_m: float = 1.0, crossings: bool = True) -> Graph:
    """The graph of a layer of lines.

    Parameters
    ----------
    lines
        In a projected CRS, metres. Columns, where there are any: `road_class` (speeds of `data/road_classes.csv`; a class that is
        not listed, or none, travels as `road`), `one_way` (forward, backward, no; or true, false), `bridge`, `tunnel` (yes, no; or
        true, false), `level` (a bridge without a level is at 1, a tunnel at -1).
    tolerance_m
        Ends this near to each other are joined, and an end this near to the middle of a line. Ends in a chain are joined from the
        first to the last. Lines shorter than this shrink to a node, and are listed.
    crossings
        Whether lines that cross in mid-line on the same level are joined; if not, only where both have a vertex.

    Returns
    -------
    Graph
        The order of the rows changes the numbering, never the roads.

    Raises
    ------
    ValueError
        Degrees instead of metres, or a tolerance that is not positive.

    Examples
    --------
    >>> cross = [shapely.LineString([(0, 5), (10, 5)]), shapely.LineString([(5, 0), (5, 10)])]
    >>> graph = build(gpd.GeoDataFrame({"road_class": ["primary"] * 2}, geometry=cross, crs="EPSG:32637"))
    >>> len(graph.places), graph.length_m.tolist(), graph.line.tolist()
    (5, [5.0, 5.0, 5.0, 5.0], [0, 0, 1, 1])
    """
    if lines.crs is None or not lines.crs.is_projected:
        raise ValueError("lines must be in a projected CRS, metres")
    if not tolerance_m > 0:
        raise ValueError("tolerance_m must be positive")
    shapes, row = _parts(lines)
    level = _levels(lines)[row]
    against = _said(lines, "one_way", {"backward"})[row]
    shapes[against] = shapely.reverse(shapes[against])
    ends = _ends(shapes)
    crossed, pairs = _crossings(shapes, level, crossings=crossings)
    met, touching = _touches(shapes, level, ends, tolerance_m)
    cuts = ends.and_(crossed).and_(met)
    touching[:, 1] += len(ends.line) + len(crossed.line)
    node, places = _nodes(cuts, level, np.concatenate([pairs + len(ends.line), touching]), tolerance_m)
    line, tail, head, shape = _split(shapes, cuts.line, cuts.along, node, places, tolerance_m)
    one_way = _said(lines, "one_way", {"forward", "backward", "yes", "true"})[row][line]
    kept, one_way = _once(tail, head, shape, level[line], one_way)
    line, tail, head, shape, one_way = line[kept], tail[kept], head[kept], shape[kept], one_way[kept]
    length = shapely.length(shape)
    speed = speeds(lines["road_class"] if "road_class" in lines else pd.Series("", index=lines.index)).to_numpy()
    used, tail_head = np.unique(np.concatenate([tail, head]), return_inverse=True)
    tail, head = tail_head[: len(tail)], tail_head[len(tail) :]
    return Graph(
        places=places[used],
        tail=tail,
        head=head,
        line=row[line],
        shape=shape,
        length_m=length,
        seconds=length / speed[row[line]] * KMH,
        one_way=one_way,
        level=level[line],
        left_out=_left_out(lines, row, row[line], tolerance_m),
    )


def speeds(road_class: pd.Series[str]) -> pd.Series[float]:
    """Speed on an undamaged road of each class, km/h; a class that the register does not hold goes as `road`.

    >>> speeds(pd.Series(["primary", "goat track"])).tolist()
    [65.0, 25.0]
    """
    listed = {name: float(row["speed_kmh"]) for name, row in registers.register("road_classes").items()}
    return road_class.map(listed).fillna(listed["road"]).astype("float64")


def _said(lines: gpd.GeoDataFrame, column: str, words: set[str]) -> Bools:
    """Rows whose column holds one of the words; true stands for `yes` and `true`, a missing column for no."""
    if column not in lines:
        return np.zeros(len(lines), dtype=bool)
    return np.asarray(lines[column].astype("string").str.lower().isin(words), dtype=np.bool_)


def _levels(lines: gpd.GeoDataFrame) -> Floats:
    over = _said(lines, "bridge", {"yes", "true"}).astype(np.float64) - _said(lines, "tunnel", {"yes", "true"})
    if "level" not in lines:
        return over
    given = lines["level"].to_numpy(dtype=np.float64, na_value=np.nan)
    return np.where(np.isnan(given) | (given == 0), over, given)


def _parts(lines: gpd.GeoDataFrame) -> tuple[Shapes, Ints]:
    """Single simple lines and the position of their row; a line that crosses itself is taken apart at its vertices."""
    parts, row = shapely.get_parts(shapely.force_2d(lines.geometry.to_numpy()), return_index=True)
    kept = (shapely.get_dimensions(parts) == 1) & (shapely.length(parts) > 0)
    parts, row = parts[kept], row[kept]
    knotted = ~shapely.is_simple(parts)
    if not knotted.any():
        return parts.copy(), row
    xy, owner = shapely.get_coordinates(parts[knotted], return_index=True)
    same = (owner[1:] == owner[:-1]) & (xy[1:] != xy[:-1]).any(axis=1)
    straight = shapely.linestrings(np.stack([xy[:-1][same], xy[1:][same]], axis=1))
    return np.concatenate([parts[~knotted], straight]), np.concatenate([row[~knotted], row[knotted][owner[:-1][same]]])


def _ends(shapes: Shapes) -> _Cuts:
    """All starts, then all ends."""
    count = np.arange(len(shapes))
    place = shapely.get_coordinates(np.concatenate([shapely.get_point(shapes, 0), shapely.get_point(shapes, -1)]))
    along = np.concatenate([np.zeros(len(shapes)), shapely.length(shapes)])
    return _Cuts(np.tile(count, 2), along, place, np.ones(2 * len(shapes), dtype=bool))


def _crossings(shapes: Shapes, level: Floats, *, crossings: bool) -> tuple[_Cuts, Ints]:
    """Where two lines of one level meet in the middle of at least one: a cut on each, and which two cuts are one place."""
    one, other = shapely.STRtree(shapes).query(shapes, predicate="intersects")
    chosen = (one < other) & (level[one] == level[other])
    one, other = one[chosen], other[chosen]
    common = shapely.intersection(shapes[one], shapes[other])
    several = shapely.get_type_id(common) == shapely.GeometryType.MULTILINESTRING
    common[several] = shapely.line_merge(common[several])
    shared, pair = shapely.get_parts(common, return_index=True)
    along = shapely.get_dimensions(shared) == 1  # lines that run together part where they begin and end to do so
    places = np.concatenate([shared[~along], shapely.get_point(shared[along], 0), shapely.get_point(shared[along], -1)])
    pair = np.concatenate([pair[~along], pair[along], pair[along]])
    sides = one[pair], other[pair]
    at = [shapely.line_locate_point(shapes[side], places) for side in sides]
    inner = [(value > SAME_M) & (value < shapely.length(shapes[side]) - SAME_M) for value, side in zip(at, sides, strict=True)]
    kept = inner[0] | inner[1]
    if not crossings:
        xy, owner = shapely.get_coordinates(shapes, return_index=True)
        vertices = shapely.multipoints(shapely.points(xy), indices=owner)
        for side in sides:
            kept &= shapely.distance(vertices[side], places) <= ROUNDED_M
    line = np.concatenate([side[kept] for side in sides])
    place = np.tile(shapely.get_coordinates(places[kept]), (2, 1))
    pairs = np.arange(len(line)).reshape(2, -1).T
    return _Cuts(line, np.concatenate([value[kept] for value in at]), place, np.zeros(len(line), dtype=bool)), pairs


def _touches(shapes: Shapes, level: Floats, ends: _Cuts, tolerance_m: float) -> tuple[_Cuts, Ints]:
    """Where an end comes near the middle of another line: a cut there, and which end and which cut are one place.

    An end on another level joins the middle of a line on the ground only where it would hang in the air otherwise.
    """
    places = shapely.points(ends.place)
    end, line = shapely.STRtree(shapes).query(places, predicate="dwithin", distance=tolerance_m)
    along = shapely.line_locate_point(shapes[line], places[end])
    # nearer to an end than the tolerance, the two ends are one
    inner = (along > SAME_M) & (along < shapely.length(shapes[line]) - SAME_M) & (ends.line[end] != line)
    near = _near(ends.place, tolerance_m)
    lonely = np.bincount(near.ravel(), minlength=len(places)) == 0
    of_end, of_line = level[ends.line[end]], level[line]
    kept = inner & ((of_end == of_line) | (lonely[end] & (of_line == 0)))
    end, line, along = end[kept], line[kept], along[kept]
    foot = shapely.get_coordinates(shapely.line_interpolate_point(shapes[line], along))
    cuts = _Cuts(line, along, foot, np.zeros(len(line), dtype=bool))
    return cuts, np.stack([end, np.arange(len(end))], axis=1)


def _near(places: Floats, reach_m: float) -> Ints:
    """All pairs of places within reach of each other."""
    from scipy.spatial import KDTree

    found: Ints = KDTree(places).query_pairs(reach_m, output_type="ndarray").astype(np.intp).reshape(-1, 2)
    return found


def _nodes(cuts: _Cuts, level: Floats, same: Ints, tolerance_m: float) -> tuple[Ints, Floats]:
    """The node of each cut, and where the nodes lie: on a line that goes through, if one does, so that it stays straight."""
    near = _near(cuts.place, tolerance_m)
    on = level[cuts.line]
    joined = (on[near[:, 0]] == on[near[:, 1]]) | cuts.end[near].all(axis=1)
    node = connected(len(cuts.line), np.concatenate([near[joined], same]))
    order = np.lexsort((cuts.place[:, 1], cuts.place[:, 0], cuts.end, node))
    first = order[np.diff(node[order], prepend=-1) > 0]
    return node, cuts.place[first]


def connected(n: int, pairs: Ints) -> Ints:
    """Number of the component of each of n things of which some pairs are connected.

    >>> connected(4, np.array([[0, 2]])).tolist()
    [0, 1, 0, 2]
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    links = coo_array((np.ones(len(pairs), dtype=bool), (pairs[:, 0], pairs[:, 1])), shape=(n, n))
    found: Ints = connected_components(links, directed=False)[1].astype(np.intp)
    return found


def _split(
    shapes: Shapes, line: Ints, along: Floats, node: Ints, places: Floats, tolerance_m: float
) -> tuple[Ints, Ints, Ints, Shapes]:
    """The pieces of lines between their cuts, ends among them: line, tail, head, shape. What shrinks to a node is no piece."""
    order = np.lexsort((along, line))
    line, along, node = line[order], along[order], node[order]
    whole = (line[1:] == line[:-1]) & ((node[1:] != node[:-1]) | (np.diff(along) > 2 * tolerance_m))
    tail, head = node[:-1][whole], node[1:][whole]
    # one axis for all lines, each beginning beyond the end of the one before
    start = np.concatenate([[0.0], np.cumsum(shapely.length(shapes) + 1.0)[:-1]])
    begin, finish = (start[line] + along)[:-1][whole], (start[line] + along)[1:][whole]
    xy, owner = shapely.get_coordinates(shapes, return_index=True)
    step = np.hypot(*np.diff(xy, axis=0, prepend=xy[:1]).T)
    step[np.diff(owner, prepend=-1) > 0] = 0.0
    travelled = np.cumsum(step)
    first = np.flatnonzero(np.diff(owner, prepend=-1) > 0)
    at = travelled - travelled[first][owner] + start[owner]
    piece = np.searchsorted(begin, at - SAME_M, side="left") - 1
    inside = (piece >= 0) & (at + SAME_M < finish[piece])
    count = np.arange(len(tail))
    of = np.concatenate([count, piece[inside], count])
    position = np.concatenate([begin - 1, at[inside], finish + 1])
    points = np.concatenate([places[tail], xy[inside], places[head]])
    order = np.lexsort((position, of))
    shape = shapely.linestrings(points[order], indices=of[order]) if len(tail) else np.empty(0, dtype=object)
    return line[:-1][whole], tail, head, shape


def _once(tail: Ints, head: Ints, shape: Shapes, level: Floats, one_way: Bools) -> tuple[Ints, Bools]:
    """Positions of the pieces with each repeated one kept once; it is one-way only if all of its copies lead the same way."""
    table = pd.DataFrame({"low": np.minimum(tail, head), "high": np.maximum(tail, head), "level": level})
    twice = np.flatnonzero(table.duplicated(keep=False))
    rounded = shapely.transform(shape[twice], lambda xy: np.round(xy / ROUNDED_M))
    form = np.arange(len(tail)).astype(str).astype(object)
    form[twice] = shapely.to_wkb(shapely.normalize(shapely.simplify(rounded, 0.0)))
    number, _ = pd.factorize(pd.Series(form))
    copy = table.assign(form=number, free=~one_way, forward=tail <= head)
    found = copy.groupby(["low", "high", "level", "form"], sort=False)
    mixed = found["free"].transform("any") | (found["forward"].transform("nunique") > 1)
    kept = np.flatnonzero(~copy.duplicated(["low", "high", "level", "form"]))
    return kept, one_way & ~mixed.to_numpy()


def _left_out(lines: gpd.GeoDataFrame, row: Ints, used: Ints, tolerance_m: float) -> pd.DataFrame:
    """Rows that made no edge, with the reason."""
    count = len(lines)
    lost = np.setdiff1d(np.arange(count), used)
    length = np.bincount(row, shapely.length(lines.geometry.to_numpy())[row], minlength=count)
    reason = np.select([~np.isin(lost, row), length[lost] <= 2 * tolerance_m], ["no-line", "shorter-than-tolerance"], "repeated")
    return pd.DataFrame({"line": lost, "reason": reason})


def attach(graph: Graph, points: Shapes, *, limit_m: float, step_m: float = 1.0) -> Attached:
    """Points (buildings, facilities) as nodes of the graph, at the nearest place on the nearest edge on the ground.

    The way from the point to the road is not counted. Who lives under a bridge or over a tunnel does not come up to it.

    Parameters
    ----------
    points
        In the CRS of the graph.
    limit_m
        A point farther than this from every edge hangs on none.
    step_m
        Places on an edge are rounded to this, so that neighbours share a node.

    Examples
    --------
    >>> street = build(gpd.GeoDataFrame(geometry=[shapely.LineString([(0, 0), (10, 0)])], crs="EPSG:32637"))
    >>> found = attach(street, shapely.points([(4, 3), (0, 1), (5, 99)]), limit_m=50)
    >>> found.node.tolist(), found.graph.places[found.node[0]].tolist(), found.left_out["distance_m"].tolist()
    ([2, 0, -1], [4.0, 0.0], [99.0])
    """
    ground = np.flatnonzero(graph.level == 0)
    known = np.flatnonzero(~(shapely.is_missing(points) | shapely.is_empty(points)))
    tree = shapely.STRtree(graph.shape[ground])
    (asked, nearest), distance = tree.query_nearest(points[known], return_distance=True, all_matches=False)
    far = distance > limit_m
    point, edge = known[asked[~far]], ground[nearest[~far]]
    length = graph.length_m[edge]
    along = np.round(shapely.line_locate_point(graph.shape[edge], points[point]) / step_m) * step_m
    at_tail, at_head = along < step_m / 2, along > length - step_m / 2
    inner = ~(at_tail | at_head)
    new, which = np.unique(np.stack([edge[inner], along[inner]], axis=1), axis=0, return_inverse=True)
    node = np.full(len(points), -1, dtype=np.intp)
    node[point] = np.where(at_tail, graph.tail[edge], graph.head[edge])
    node[point[inner]] = len(graph.places) + which
    cut_edge = new[:, 0].astype(np.intp)
    foot = shapely.get_coordinates(shapely.line_interpolate_point(graph.shape[cut_edge], new[:, 1]))
    places = np.concatenate([graph.places, foot])
    count = np.arange(len(graph))
    of, tail, head, shape = _split(
        graph.shape,
        np.concatenate([count, count, cut_edge]),
        np.concatenate([np.zeros(len(graph)), graph.length_m, new[:, 1]]),
        np.concatenate([graph.tail, graph.head, np.arange(len(graph.places), len(places))]),
        places,
        0.0,
    )
    piece_m = shapely.length(shape)
    whole = replace(
        graph,
        places=places,
        tail=tail,
        head=head,
        line=graph.line[of],
        shape=shape,
        length_m=piece_m,
        seconds=graph.seconds[of] * piece_m / graph.length_m[of],
        one_way=graph.one_way[of],
        level=graph.level[of],
    )
    apart = np.full(len(points), np.nan)
    apart[known[asked]] = distance
    lost = np.flatnonzero(node < 0)
    reason = np.where(np.isin(lost, known), "beyond-limit", "no-point").astype(object)
    return Attached(whole, node, of, pd.DataFrame({"point": lost, "reason": reason, "distance_m": apart[lost]}))
