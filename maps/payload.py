"""A run as JSON for the browser: the city with its numbers, and one context layer at a time.

The numbers are the run's own floats, written so that they read back bit for bit; NaN becomes null and is shown as unknown. Shapes
are only for the eye: simplified by a few metres (neighbours keep one common border) and rounded to 1e-5 degrees, about a metre;
measure nothing on them. Coordinates are whole numbers, each the difference to the one before: a third of the size of GeoJSON.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, cast

import geopandas as gpd
import numpy as np
import orjson
import pandas as pd
import shapely

from geo.damage import NOTES
from geo.errors import TarmimError, finding
from geo.messages import LANGS, gettext, message
from geo.registers import both, register
from geo.run import measure_record
from maps.figures import on_screen
from maps.palettes import fifths, palettes, steps

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from geo.run import Run

PRECISION = 5
UNITS = 10**PRECISION
SCREEN_TOLERANCE_M = 4.0
LAYER_TOLERANCE_M = 2.0
VERTEX_CAP = 60_000
DOT_AREA_M2 = 5_000.0
SCORE_DECIMALS = 1
WGS84 = "EPSG:4326"
NETWORKS = ("water", "sewerage", "electricity", "telecom")
WORKS = "_works"  # how tables of works end
GAINS = ("few", "some", "many", "most")  # people: from 1, 100, 1,000, 10,000

Json = dict[str, Any]


def encode(payload: Json) -> bytes:
    """JSON in UTF-8; floats in the shortest form that reads back as the same float."""
    return orjson.dumps(payload, option=orjson.OPT_SERIALIZE_NUMPY)


# ---------------------------------------------------------------------------------------------------------------- numbers


def numbers(column: pd.Series[Any], where: str) -> list[float | None]:
    """The column as floats, NaN as None.

    Raises
    ------
    TarmimError
        An infinite number: no measure may have one.
    """
    values = pd.to_numeric(column).to_numpy(dtype=float, na_value=np.nan)
    if np.isinf(values).any():
        rows = column.index[np.isinf(values)]
        raise TarmimError(finding("infinite-number", "error", where, message("Infinite numbers can't be shown."), rows=rows))
    return [None if math.isnan(value) else value for value in values.tolist()]


def texts(column: pd.Series[Any]) -> list[str]:
    """The column as text, missing as ''."""
    return ["" if missing else str(value) for value, missing in zip(column, column.isna(), strict=True)]


# ------------------------------------------------------------------------------------------------------------ coordinates


def has_place(shapes: gpd.GeoSeries) -> NDArray[np.bool_]:
    """Which rows have a geometry that is neither missing nor empty."""
    made = shapes.to_numpy()
    return cast("NDArray[np.bool_]", ~(shapely.is_missing(made) | shapely.is_empty(made)))


def whole(shapes: gpd.GeoSeries) -> NDArray[np.object_]:
    """Shapes in WGS84 with coordinates in whole 1e-5 degrees (lon, lat)."""
    moved = shapes.to_crs(WGS84).to_numpy()
    return cast("NDArray[np.object_]", shapely.transform(moved, lambda xy: np.rint(xy * UNITS)))


def deltas(xy: NDArray[np.float64]) -> list[int]:
    """Flat whole numbers x0, y0, dx1, dy1, …; points that repeat the one before are left out.

    >>> deltas(np.array([[10.0, 20.0], [10.0, 20.0], [13.0, 19.0]]))
    [10, 20, 3, -1]
    """
    rounded = xy.astype(np.int64)
    keep = np.ones(len(rounded), dtype=bool)
    keep[1:] = (np.diff(rounded, axis=0) != 0).any(axis=1)
    return cast("list[int]", np.diff(rounded[keep], axis=0, prepend=np.zeros((1, 2), dtype=np.int64)).ravel().tolist())


def rings(shape: shapely.Geometry | None) -> list[list[list[int]]]:
    """Polygons as lists of rings, the outer one first; anything else, empty or missing: none."""
    if shape is None or shape.is_empty:
        return []
    polygons = [part for part in shapely.get_parts(shape) if part.geom_type == "Polygon"]
    return [[deltas(shapely.get_coordinates(ring)) for ring in shapely.get_rings(polygon)] for polygon in polygons]


def simplified(shapes: gpd.GeoSeries, tolerance_m: float = SCREEN_TOLERANCE_M) -> gpd.GeoSeries:
    """Neighbourhoods with fewer points, CRS in metres; common borders stay common where they were.

    Where neighbours overlap or leave slivers (no valid coverage) each shape is simplified by itself.
    """
    known = shapes[has_place(shapes)]
    made = known.to_numpy()
    polygonal = known.geom_type.isin(["Polygon", "MultiPolygon"]).all()
    if polygonal and bool(shapely.coverage_is_valid(made)):
        made = shapely.coverage_simplify(made, tolerance_m)
    else:
        made = shapely.simplify(made, tolerance_m, preserve_topology=True)
    return gpd.GeoSeries(made, index=known.index, crs=shapes.crs).reindex(shapes.index)


def label_places(shapes: gpd.GeoSeries) -> list[list[int] | None]:
    """Where the name of each neighbourhood stands: centre of the largest circle inside it, with its radius.

    CRS of the shapes in metres; centre in whole 1e-5 degrees (lon, lat), radius in whole metres; None without a shape.
    """
    known = shapes[has_place(shapes) & (shapely.area(shapes.to_numpy()) > 0)]
    radii = [shapely.maximum_inscribed_circle(shape, tolerance=5.0) for shape in known]
    centres = gpd.GeoSeries([shapely.get_point(radius, 0) for radius in radii], index=known.index, crs=shapes.crs)
    places = zip(known.index, whole(centres), radii, strict=True)
    at = {index: [int(place.x), int(place.y), round(radius.length)] for index, place, radius in places}
    return [at.get(index) for index in shapes.index]


# ------------------------------------------------------------------------------------------------------------------- city


def city_payload(run: Run) -> Json:
    """All that the page needs of a run except the context layers, in both languages.

    Rows are in the order of `run.priorities`. `shapes` are in WGS84, whole 1e-5 degrees, differences; `labels` the same without
    differences, and a radius in metres; `bounds` in degrees (west, south, east, north). Unknown numbers are null.

    Raises
    ------
    TarmimError
        A number is infinite.
    """
    table = run.priorities
    shapes = simplified(table.geometry)
    info = run.info
    criteria = [one["measure"] for one in info["scheme"]["criteria"]]
    present = [measure for measure in info["measures"] if measure["id"] in table]
    return {
        "version": 1,
        "run": str(run.id),
        **{name: info.get(name) for name in ("tarmim", "study", "scheme", "axes", "sectors", "layers")},
        "measures": [on_screen(measure) | {"limits": measure_limits(table, measure)} for measure in present],
        "absent": [on_screen(measure_record(name)) for name in criteria if name not in table and name in register("measures")],
        "limits": {"score": steps(known(table["score"])), "rank": fifths(known(table["rank"]), decimals=0)},
        **rows(table),
        "contributions": {
            name: numbers(table[f"contribution_{name}"], name) for name in criteria if f"contribution_{name}" in table
        },
        **values(table, [measure["id"] for measure in present]),
        "shapes": [rings(shape) for shape in whole(shapes)],
        "labels": label_places(shapes),
        "bounds": bounds(shapes),
        "left_out": len(run.left_out),
    }


def known(column: pd.Series[Any]) -> list[float]:
    """The column's known numbers."""
    return pd.to_numeric(column).dropna().astype(float).tolist()


def measure_limits(table: gpd.GeoDataFrame, measure: Json) -> list[float]:
    """Limits between the colour classes of a measure."""
    return fifths(known(table[measure["id"]]), decimals=measure["decimals"])


def bounds(shapes: gpd.GeoSeries) -> list[float]:
    """West, south, east, north in degrees; an empty list where nothing has a shape."""
    box = shapes.to_crs(WGS84).total_bounds
    return [round(float(side), PRECISION) for side in box] if np.isfinite(box).all() else []


def rows(table: gpd.GeoDataFrame) -> Json:
    """The columns of the ranked list, a list each."""
    ranks = [None if pd.isna(rank) else int(rank) for rank in table["rank"]]
    return {
        "rank": ranks,
        "tied": [bool(tied) for tied in table["tied"]],
        **decisions(table),
        **drawn(table),
        **{name: texts(table[name]) for name in ("status", "id", "name_ar", "name_en", "district", "why_ar", "why_en")},
        **{name: numbers(table[name], name) for name in ("score", "score_low", "score_high", "coverage")},
    }


def decisions(table: gpd.GeoDataFrame) -> Json:
    """Ranks that somebody decided, with who, when and why; nothing where nobody did."""
    if "decided_rank" not in table:
        return {}
    ranks = [None if pd.isna(rank) else int(rank) for rank in table["decided_rank"]]
    return {"decided_rank": ranks, **{name: texts(table[name]) for name in ("decided_by", "decided_on", "decided_why")}}


def drawn(table: gpd.GeoDataFrame) -> Json:
    """The ranks that hold in 90 of 100 draws; nothing where none were drawn."""
    columns = [name for name in ("rank_low", "rank_high") if name in table]
    return {name: [None if pd.isna(rank) else int(rank) for rank in table[name]] for name in columns}


def values(table: gpd.GeoDataFrame, measures: Sequence[str]) -> Json:
    """Every measure with its low, high, coverage and note, where the run has them.

    A low and high that everywhere equal the value, and a coverage that is everywhere 1, say nothing and are not sent.
    """
    notes: dict[str, int] = {}
    found: Json = {}
    for name in measures:
        column = numbers(table[name], name)
        one: Json = {"value": column}
        for end in ("low", "high", "coverage"):
            if f"{name}_{end}" in table:
                one[end] = numbers(table[f"{name}_{end}"], name)
        if one.get("low") == one.get("high") == column:
            one.pop("low")
            one.pop("high")
        if all(share == 1.0 for share in one.get("coverage", [])):
            one.pop("coverage", None)
        if f"{name}_note" in table:
            said = texts(table[f"{name}_note"])
            one["note"] = {str(i): notes.setdefault(text, len(notes)) for i, text in enumerate(said) if text}
        found[name] = one
    return {"values": found, "notes": [note_text(code) for code in notes]}


def note_text(code: str) -> dict[str, str]:
    """A note in both languages; a code that `geo` does not name stands for itself."""
    return NOTES[code].both() if code in NOTES else {lang: gettext(code, lang) for lang in LANGS}


# ----------------------------------------------------------------------------------------------------------------- layers


def layer_payload(name: str, frame: gpd.GeoDataFrame, *, cap: int = VERTEX_CAP) -> Json:
    """One context layer for the screen.

    Parameters
    ----------
    name
        Name of the layer, or `left_out`; decides the classes (`palettes.toml`).
    frame
        The layer, any CRS; rows without a geometry are counted (`without_place`) and not drawn.
    cap
        Most vertices sent. Above it lines of one class are joined end to end and small areas become points; if that is not
        enough the less important classes are left out whole; where the first class is already too much, an even sample of it is
        kept. `shown`, `total` (rows) and `message` say so.

    Returns
    -------
    dict
        `points`: `codes` and flat differences `xy` through the whole list; `paths` and `areas`: `codes` and, for each feature, a
        list of lines or rings, each differences by itself. A code is an index into `classes`. Feature ids are implied: 1, 2, … in
        the order points, paths, areas; joined lines are one.
    """
    if name == "damage" and "state" in frame:
        frame = frame[frame["state"].notna()]  # a grade that nobody recognised is no state; those rows are in the layer `left_out`
    placed = frame[has_place(frame.geometry)]
    classes, rows_codes = classified(name, placed)
    shapes, codes = thinned(placed.geometry), rows_codes
    if vertices(shapes).sum() > cap and shapes.crs is not None and shapes.crs.is_projected:
        shapes, codes = joined(placed.geometry, rows_codes)
    keep = within_cap(codes, vertices(shapes), len(classes), cap)
    total = np.bincount(rows_codes, minlength=len(classes))
    drawn = np.bincount(codes[keep], minlength=len(classes)) / np.maximum(np.bincount(codes, minlength=len(classes)), 1)
    shown = np.floor(total * drawn).astype(int).tolist()
    return {
        "layer": name,
        "precision": PRECISION,
        "total": len(frame),
        "without_place": len(frame) - len(placed),
        "shown": sum(shown),
        "message": None if keep.all() else left_out_message(classes, total.tolist(), shown),
        "classes": [one | {"total": int(total[i]), "shown": shown[i]} for i, one in enumerate(classes)],
        **features(whole(shapes[keep]), codes[keep]),
    }


def vertices(shapes: gpd.GeoSeries) -> NDArray[np.int_]:
    """Vertices of each shape."""
    return cast("NDArray[np.int_]", shapely.get_num_coordinates(shapes.to_numpy()))


def left_out_message(classes: Sequence[Json], counts: Sequence[int], drawn: Sequence[int]) -> dict[str, str]:
    """What a capped layer says of itself, in both languages."""
    less = [one["label"] for one, total, shown in zip(classes, counts, drawn, strict=True) if shown < total]
    said = message("To keep the map quick, not everything is drawn. Drawn in part or not at all: {classes}.", classes=less)
    return said.both()


def thinned(shapes: gpd.GeoSeries) -> gpd.GeoSeries:
    """Lines and areas without the points nobody sees (2 m), points as they are."""
    if shapes.crs is None or shapes.crs.is_geographic:
        return shapes
    made = shapely.simplify(shapes.to_numpy(), LAYER_TOLERANCE_M, preserve_topology=True)
    return gpd.GeoSeries(made, index=shapes.index, crs=shapes.crs)


def joined(shapes: gpd.GeoSeries, codes: NDArray[np.int64]) -> tuple[gpd.GeoSeries, NDArray[np.int64]]:
    """Fewer vertices for the same picture: lines of a class joined where two ends meet, small areas as points in their middle.

    Surveys cut a street at every corner, and a building is a dot at the scale of a city. CRS in metres.
    """
    made = shapes.to_numpy()
    kind = shapely.get_dimensions(made)
    made = np.where((kind == 2) & (shapely.area(made) < DOT_AREA_M2), shapely.centroid(made), made)
    merged: list[NDArray[np.object_]] = [thinned(gpd.GeoSeries(made[kind != 1], crs=shapes.crs)).to_numpy()]
    found = [codes[kind != 1]]
    for code in np.unique(codes[kind == 1]):
        parts = shapely.get_parts(
            shapely.line_merge(shapely.multilinestrings(shapely.get_parts(made[(kind == 1) & (codes == code)])))
        )
        merged.append(thinned(gpd.GeoSeries(parts, crs=shapes.crs)).to_numpy())
        found.append(np.full(len(parts), code, dtype=np.int64))
    return gpd.GeoSeries(np.concatenate(merged), crs=shapes.crs), np.concatenate(found)


def within_cap(codes: NDArray[np.int64], weight: NDArray[np.int_], classes: int, cap: int) -> NDArray[np.bool_]:
    """Which features are drawn: whole classes in order of importance while they fit; of a first class that is too much, every nth.

    >>> within_cap(np.array([0, 1, 1, 2]), np.array([1, 2, 2, 1]), 3, 3).tolist()
    [True, False, False, False]
    """
    keep = np.zeros(len(codes), dtype=bool)
    used = 0
    for code in range(classes):
        members = np.flatnonzero(codes == code)
        need = int(weight[members].sum())
        if used + need > cap:
            if used == 0:
                keep[members[:: math.ceil(need / cap)]] = True
            break
        keep[members] = True
        used += need
    return keep


def classified(name: str, frame: gpd.GeoDataFrame) -> tuple[list[Json], NDArray[np.int64]]:
    """The classes that occur, in order of importance, and the class of every row."""
    if name == "left_out":
        return by_reason(frame)
    known = palettes()["layer"]
    kind = "network" if name in NETWORKS else "works" if name.endswith(WORKS) else name
    rules = known.get(kind, known["other"])
    fields = facts(name, frame)
    codes = np.full(len(frame), len(rules) - 1, dtype=np.int64)
    for code, rule in reversed(list(enumerate(rules))):
        if "where" not in rule:
            continue
        fits = np.ones(len(frame), dtype=bool)
        for field, allowed in rule["where"].items():
            fits &= fields[field].isin(allowed).to_numpy(dtype=bool) if field in fields else False
        codes[fits] = code
    present = np.unique(codes)
    return [styled(rules[code]) for code in present], np.searchsorted(present, codes)


def styled(rule: Json) -> Json:
    """A class as the script reads it."""
    style = {key: value for key, value in rule.items() if key not in ("where", "label")}
    label = rule["label"]
    return {"label": {lang: gettext(label, lang) for lang in LANGS}, **style}


def facts(name: str, frame: gpd.GeoDataFrame) -> dict[str, pd.Series[Any]]:
    """The fields that the rules of `palettes.toml` ask for, as text; group and works are derived."""
    found = {field: frame[field].astype("string") for field in ("state", "status", "kind") if field in frame}
    if name == "roads" and "road_class" in frame:
        groups = {row["road_class"]: row["group"] for row in register("road_classes").values()}
        found["group"] = frame["road_class"].astype("string").map(groups).fillna("local")
    if name == "facilities":
        groups = {row["kind"]: row["group"] for row in register("facility_kinds").values()}
        found["group"] = found.get("kind", pd.Series("", index=frame.index, dtype="string")).map(groups).fillna("")
        if "functionality" in frame:
            works = {"functional": "yes", "affected": "no", "partial": "no", "not_functional": "no"}
            found["works"] = frame["functionality"].astype("string").map(works)
    if name.endswith(WORKS):
        gained = frame["people_then" if "people_then" in frame else "people"]
        found["gain"] = pd.cut(gained.round(), [1, 100, 1_000, 10_000, np.inf], right=False, labels=list(GAINS)).astype("string")
    return found


def by_reason(frame: gpd.GeoDataFrame) -> tuple[list[Json], NDArray[np.int64]]:
    """Rows left out: a class for each layer and reason, the rarest first, since it shows what nobody would look for."""
    colours = palettes()["left_out"]["colours"]
    kinds = frame["layer"].astype(str) + "\n" + frame["reason"].astype(str)
    order = kinds.value_counts(ascending=True).index
    first = frame.assign(kind=kinds).drop_duplicates("kind").set_index("kind")
    names = register("layers")
    classes = []
    for i, kind in enumerate(order):
        row = first.loc[kind]
        layer = both(names[row["layer"]], "name") if row["layer"] in names else dict.fromkeys(LANGS, str(row["layer"]))
        label = {lang: f"{layer[lang]}: {row[f'reason_{lang}']}" for lang in LANGS}
        classes.append({"label": label, "colour": colours[i % len(colours)], "shape": "cross", "width": 1.6})
    return classes, np.asarray(order.get_indexer(kinds), dtype=np.int64)


def features(shapes: NDArray[np.object_], codes: NDArray[np.int64]) -> Json:
    """Points, paths and areas apart, with their codes, counted from `origin`; a collection goes with the largest of its parts."""
    origin = np.floor(shapely.total_bounds(shapes)[:2]) if len(shapes) else np.zeros(2)
    moved = shapely.transform(shapes, lambda xy: xy - origin)
    kind = shapely.get_dimensions(moved)
    dots = np.rint(shapely.get_coordinates(shapely.centroid(moved[kind == 0]))).astype(np.int64)
    near = nearby(dots)
    return {
        "origin": [int(side) for side in origin],
        "points": {
            "codes": codes[kind == 0][near].tolist(),
            "xy": np.diff(dots[near], axis=0, prepend=np.zeros((1, 2), dtype=np.int64)).ravel().tolist(),
        },
        "paths": {"codes": codes[kind == 1].tolist(), "lines": lines(moved[kind == 1])},
        "areas": {
            "codes": codes[kind == 2].tolist(),
            "rings": outlines(moved[kind == 2]),
        },
    }


def nearby(dots: NDArray[np.int64]) -> NDArray[np.int_]:
    """An order in which each point is near the one before (rows of about a kilometre), so that differences are small."""
    return np.lexsort((dots[:, 0], dots[:, 1] // 1000)) if len(dots) else np.arange(0)


def lines(shapes: NDArray[np.object_]) -> list[list[list[int]]]:
    """Of each shape its lines, each as differences."""
    parts, owner = shapely.get_parts(shapes, return_index=True)
    line = shapely.get_dimensions(parts) == 1
    return several_deltas(parts[line], owner[line], len(shapes))


def outlines(shapes: NDArray[np.object_]) -> list[list[list[int]]]:
    """Of each shape the rings of its polygons, each as differences."""
    parts, owner = shapely.get_parts(shapes, return_index=True)
    area = shapely.get_dimensions(parts) == 2
    made, part = shapely.get_rings(parts[area], return_index=True)
    return several_deltas(made, owner[area][part], len(shapes))


def several_deltas(paths: NDArray[np.object_], owner: NDArray[np.int_], count: int) -> list[list[list[int]]]:
    """`deltas` of many paths at once, gathered by the shape each belongs to: 80,000 streets in a tenth of a second."""
    xy, path = shapely.get_coordinates(paths, return_index=True)
    whole_xy = xy.astype(np.int64)
    step = np.diff(whole_xy, axis=0, prepend=np.zeros((1, 2), dtype=np.int64))
    first = np.diff(path, prepend=-1) != 0
    step[first] = whole_xy[first]
    keep = first | (step != 0).any(axis=1)
    ends = np.cumsum(np.bincount(path[keep], minlength=len(paths))) * 2
    flat = step[keep].ravel().tolist()
    gathered: list[list[list[int]]] = [[] for _ in range(count)]
    begin = 0
    for shape, end in zip(owner.tolist(), ends.tolist(), strict=True):
        gathered[shape].append(flat[begin:end])
        begin = end
    return gathered


def decoded(flat: Iterable[int], origin: Sequence[int] = (0, 0)) -> list[tuple[float, float]]:
    """Degrees (lon, lat) back from differences; what the script does, for tests.

    >>> decoded([3715000, 3620000, 3, -1])
    [(37.15, 36.2), (37.15003, 36.19999)]
    """
    xy = np.cumsum(np.asarray(list(flat)).reshape(-1, 2), axis=0) + np.asarray(origin)
    return [(int(x) / UNITS, int(y) / UNITS) for x, y in xy]
