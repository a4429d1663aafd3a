"""Placement: in which coordinate system a delivered layer falls on the study area, and what is odd about its shapes.

Each system is tried on every feature and held against the study's own boundary, not against a country box: Aleppo with its axes
swapped lies 130 km away, still in Syria. A system is certain only where it puts nearly all features there and no other does; else
the sender chooses on a preview. Known bias: two datums of one projection differ by tens to hundreds of metres and are not told
apart; a layer much larger than the study (roads of a governorate) is never certain, only plausible.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import geopandas as gpd
import numpy as np
import numpy.typing as npt
import pandas as pd
import shapely
from pyproj import CRS, Transformer
from pyproj.exceptions import CRSError, ProjError

from geo import registers
from geo.crs import CANDIDATES, known, turned
from geo.errors import CrsError, Finding, finding
from geo.messages import Message, message, messages
from geo.names import UNDERSTANDING

Floats = npt.NDArray[np.float64]
AXES = ("xy", "yx")
COLUMNS = ("crs", "axes", "declared", "share", "inside", "features", "distance_m", "covers", "certain")


def limit(name: str) -> float:
    return float(registers.tree(UNDERSTANDING, "limits")["placement"][name])


def middles(shapes: gpd.GeoDataFrame | gpd.GeoSeries) -> Floats:
    """The middle of each feature's box, n × 2; features without coordinates, or with coordinates that are no numbers, left out."""
    bounds = np.asarray(shapely.bounds(shapes.geometry.to_numpy()), dtype=float)
    middle = np.column_stack([bounds[:, [0, 2]].mean(axis=1), bounds[:, [1, 3]].mean(axis=1)])
    there: Floats = middle[np.isfinite(middle).all(axis=1)]
    return there


def candidates(
    layer: gpd.GeoDataFrame | gpd.GeoSeries | Floats,
    boundary: Any,
    study_crs: str,
    *,
    declared: str | CRS | None = None,
) -> pd.DataFrame:
    """The coordinate systems and axis orders that were tried, those that fit best first.

    Parameters
    ----------
    layer
        Features as delivered, or their coordinates (n × 2, as they stand in the file).
    boundary
        The study area: a polygon in `study_crs` (metres).
    declared
        What the sender or the file says; by default the CRS of `layer`.

    Returns
    -------
    DataFrame
        `crs`, `axes` ("xy", or "yx" where the two stand exchanged), `declared`, `share` of features within the study area (its
        boundary and 2 km around), `inside` and `features` (counts), `distance_m` (median from the boundary; NaN where it can't be
        placed at all), `covers` (the layer's box holds the study's), `certain`. Of many features an even sample is tried first: a
        system that puts none of it there has `inside` 0, and the distance is that of the sample.
    """
    points = layer if isinstance(layer, np.ndarray) else middles(layer)
    said = declared if declared is not None else (None if isinstance(layer, np.ndarray) else layer.crs)
    name = None if said is None else _name(said)
    tried = dict.fromkeys([*([name] if name else []), _name(study_crs), *CANDIDATES])
    area = shapely.buffer(boundary, limit("margin_m"))
    shapely.prepare(area)
    each = [(crs, axes) for crs in tried for axes in AXES]
    corners = _corners(points if isinstance(layer, np.ndarray) else layer)
    rows = [
        {**_tried(points, corners, crs, axes, area, study_crs), "declared": (crs, axes) == (name, AXES[0])} for crs, axes in each
    ]
    table = pd.DataFrame(rows, columns=[one for one in COLUMNS if one != "certain"])
    table = table.assign(certain=_certain(table))
    order = table.assign(far=table["distance_m"].fillna(np.inf), axes_rank=table["axes"].map(AXES.index))
    keys = ["certain", "share", "declared", "far", "axes_rank"]
    ranked = order.sort_values(keys, ascending=[False, False, False, True, True], kind="stable").index
    return table.loc[ranked].reset_index(drop=True)


def _name(crs: str | CRS) -> str:
    """EPSG code of a CRS where it has one (an unnamed UTM 37N is EPSG:32637), else its definition."""
    system = known(CRS.from_user_input(crs))
    code = system.to_epsg()
    return system.to_wkt() if code is None else f"EPSG:{code}"


def _corners(layer: gpd.GeoDataFrame | gpd.GeoSeries | Floats) -> Floats:
    """The four corners of the layer's box; none where it has no coordinates."""
    box = shapely.multipoints(layer).bounds if isinstance(layer, np.ndarray) else tuple(layer.total_bounds)
    corners = np.array([[box[0], box[1]], [box[2], box[1]], [box[2], box[3]], [box[0], box[3]]], dtype=float)
    there: Floats = corners[np.isfinite(corners).all(axis=1)]
    return there


def _tried(points: Floats, corners: Floats, crs: str, axes: str, area: Any, study_crs: str) -> dict[str, Any]:
    some = points[:: max(1, len(points) // int(limit("sample")))]
    moved = _moved(some, crs, axes, study_crs)
    there = moved[np.isfinite(moved).all(axis=1)]
    apart = shapely.distance(area, shapely.points(there)) if len(there) else np.array([])
    inside = np.array([], dtype=bool)
    if (apart == 0).any():
        moved = moved if len(some) == len(points) else _moved(points, crs, axes, study_crs)
        inside = shapely.contains_xy(area, moved[:, 0], moved[:, 1])
    west, south, east, north = shapely.bounds(area)
    outer = _moved(corners, crs, axes, study_crs)
    box = (*outer.min(axis=0), *outer.max(axis=0)) if len(outer) else (np.nan,) * 4
    return {
        "crs": crs,
        "axes": axes,
        "share": float(inside.mean()) if len(inside) else 0.0,
        "inside": int(inside.sum()),
        "features": len(points),
        "distance_m": round(float(np.median(apart)), 1) if len(apart) else np.nan,
        "covers": bool(box[0] <= west and box[1] <= south and box[2] >= east and box[3] >= north),
    }


@lru_cache(maxsize=64)
def _way(crs: str, study_crs: str) -> tuple[CRS, Transformer]:
    system = CRS.from_user_input(crs)
    return system, Transformer.from_crs(system, study_crs, always_xy=True)


def _moved(points: Floats, crs: str, axes: str, study_crs: str) -> Floats:
    """Coordinates in the study's CRS; NaN where they can't be what the CRS says."""
    turned = points if axes == AXES[0] else points[:, ::-1]
    system, way = _way(crs, study_crs)
    moved = np.full(turned.shape, np.nan)
    fits = (np.abs(turned) <= (180, 90)).all(axis=1) if system.is_geographic else np.ones(len(turned), dtype=bool)
    if not fits.any():
        return moved
    try:
        across, up = way.transform(turned[fits, 0], turned[fits, 1])
    except ProjError:
        return moved
    moved[fits] = np.column_stack([across, up])
    return np.where(np.isfinite(moved), moved, np.nan)


def _certain(table: pd.DataFrame) -> pd.Series[bool]:
    """One candidate holds nearly all features and no other holds more than a few."""
    fits = table["share"] >= limit("certain_share")
    others = (table["share"] > limit("other_share")).sum()
    return fits & (others == 1)


def judged(table: pd.DataFrame, where: str) -> tuple[Finding, ...]:
    """What the candidates say of the declared system, once: a lie, a gap, a swap, or a layer that reaches beyond the study.

    Only an error asks the sender to choose; it names the systems that fit. Nothing is chosen here.
    """
    declared = table[table["declared"]]
    if not table["features"].any():
        remedy = message("Give coordinates, or codes or names of places.")
        return (finding("no-coordinates", "error", where, message("No row has coordinates that can be used."), remedy=remedy),)
    fitting = table[table["share"] > limit("other_share")]
    if declared.empty:
        return (_chosen_by_sender("crs-unknown", message("The file does not say its coordinate system."), fitting, where),)
    said = declared.iloc[0]
    best = table["share"].max()
    if said["share"] > limit("other_share") and best - said["share"] < limit("places_share"):
        return _beyond(said, where)
    if said["covers"] and fitting.empty:
        return _beyond(said, where)
    swapped = bool(len(fitting)) and fitting.iloc[0]["crs"] == said["crs"] and fitting.iloc[0]["axes"] == AXES[1]
    if swapped:
        found = message("The axes are swapped: latitude stands before longitude.")
        return (_chosen_by_sender("crs-swapped", found, fitting, where),)
    if np.isnan(said["distance_m"]):
        found = message("The file says {crs}, but its coordinates can't be that.", crs=_shown(said["crs"]))
    else:
        km = round(said["distance_m"] / 1000)
        found = message("Read as {crs} the layer lies {km} km from the study area.", crs=_shown(said["crs"]), km=km)
    return (_chosen_by_sender("crs-lies" if len(fitting) else "crs-far", found, fitting, where),)


def _shown(crs: str) -> str:
    try:
        return crs if crs.startswith("EPSG:") else CRS.from_user_input(crs).name
    except CRSError:
        return crs[:60]


def _chosen_by_sender(code: str, found: Message, fitting: pd.DataFrame, where: str) -> Finding:
    fits = [
        message("{crs} ({axes}): {n} of {total} features", crs=_shown(crs), axes=axes, n=inside, total=features)
        for crs, axes, inside, features in fitting[["crs", "axes", "inside", "features"]].itertuples(index=False)
    ]
    if not fits:
        remedy = message("Ask who made the file for its coordinate system.")
    elif bool(fitting["certain"].any()):
        remedy = message("Only one system puts it there: {fits}. Confirm it on the preview.", fits=fits)
    else:
        remedy = message("Choose on the preview: {fits}.", fits=fits)
    return finding(code, "error", where, found, expected=message("Coordinates that fall on the study area."), remedy=remedy)


def _beyond(said: pd.Series[Any], where: str) -> tuple[Finding, ...]:
    outside = int(said["features"] - said["inside"])
    if not outside:
        return ()
    found = message("{n} of {total} features lie outside the study area.", n=outside, total=int(said["features"]))
    return (finding("partly-outside", "info", where, found, count=outside),)


def preview(layer: gpd.GeoDataFrame, crs: str, axes: str, study_crs: str) -> gpd.GeoDataFrame:
    """The layer read as a candidate says, in the study's CRS: to be looked at, and what it becomes when the sender agrees.

    Raises
    ------
    CrsError
        The coordinates can't be what the candidate says.
    """
    shapes = layer.geometry.to_numpy()
    if axes == AXES[1]:
        shapes = turned(layer).geometry.to_numpy()
    read = gpd.GeoDataFrame(layer.drop(columns=layer.geometry.name), geometry=shapes, crs=crs)
    moved = read.to_crs(study_crs)
    there = ~(shapely.is_missing(shapes) | shapely.is_empty(shapes))
    if not np.isfinite(shapely.bounds(moved.geometry.to_numpy()[there])).all():
        found = message("Read as {crs} the layer can't be placed.", crs=_shown(crs))
        raise CrsError(finding("crs-far", "error", "preview", found, expected=message("Coordinates that fall on the study area.")))
    return moved


# Shapes


def shape_findings(
    layer: gpd.GeoDataFrame, where: str, *, rows: pd.Series[Any] | None = None, clockwise: bool | None = None
) -> tuple[Finding, ...]:
    """What is odd about the shapes, by row: slivers, rings wound the wrong way, repeated shapes, mixed kinds, heights and measures.

    Parameters
    ----------
    rows
        Row numbers to name; by default the index. None of this stops a file: it is what a person looks at in QGIS.
    clockwise
        Whether the format winds outer rings clockwise (shapefiles do, GeoJSON does not); None where it lays down no order.
    """
    shapes = layer.geometry.to_numpy()
    names = (layer.index if rows is None else rows).to_numpy()
    wound = np.zeros(len(shapes), dtype=bool) if clockwise is None else wound_wrong(shapes, clockwise=clockwise)
    found = [
        _rows("sliver", "warning", where, slivers(shapes), names, _SLIVER),
        _rows("ring-order", "info", where, wound, names, _WOUND),
        _rows("repeated-shape", "warning", where, repeated(shapes), names, _REPEATED),
        _rows("third-dimension", "info", where, np.asarray(shapely.has_z(shapes) | shapely.has_m(shapes)), names, _FLAT),
    ]
    return tuple(one for one in [*found, _mixed(layer, names, where)] if one is not None)


_SLIVER = message("Slivers: polygons that are almost lines."), message("Look at them: they are usually left by cutting.")
_WOUND = message("Rings wound the other way."), message("Nothing to do: it changes neither place nor area.")
_REPEATED = message("Shapes that repeat an earlier one exactly."), message("Take out the rows that were delivered twice.")
_FLAT = message("Heights or measures in the shapes are left away."), message("Nothing to do: only the place is used.")


def slivers(shapes: Any) -> npt.NDArray[np.bool_]:
    """Polygons whose area is next to nothing for their outline: 4π·area / perimeter² below 0.01 (a circle has 1).

    >>> slivers(np.array([shapely.box(0, 0, 1, 1), shapely.box(0, 0, 1000, 1)])).tolist()
    [False, True]
    """
    outline = shapely.length(shapes)
    with np.errstate(invalid="ignore", divide="ignore"):
        compact = 4 * np.pi * shapely.area(shapes) / outline**2
    return np.asarray((shapely.get_dimensions(shapes) == 2) & ~shapely.is_empty(shapes) & (compact < limit("sliver_compactness")))


def wound_wrong(shapes: Any, *, clockwise: bool = False) -> npt.NDArray[np.bool_]:
    """Polygons with an outer ring wound against the format's way, or a hole wound with it.

    >>> square = shapely.box(0, 0, 1, 1)
    >>> wound_wrong(np.array([square, square.reverse()])).tolist()
    [False, True]
    """
    wrong = np.zeros(len(shapes), dtype=bool)
    areas = np.flatnonzero(shapely.get_dimensions(shapes) == 2)
    parts, owner = shapely.get_parts(shapes[areas], return_index=True)
    rings, part = shapely.get_rings(parts, return_index=True)
    outer = np.diff(part, prepend=-1) != 0
    np.logical_or.at(wrong, areas[owner[part]], shapely.is_ccw(rings) != (outer != clockwise))
    return wrong


def repeated(shapes: Any) -> npt.NDArray[np.bool_]:
    """Shapes that were there before, whatever their ring order or first point."""
    there = ~(shapely.is_missing(shapes) | shapely.is_empty(shapes))
    keys = pd.Series(shapely.to_wkb(shapely.normalize(shapely.force_2d(shapes))))
    return np.asarray(keys.duplicated().to_numpy() & there)


def _mixed(layer: gpd.GeoDataFrame, names: npt.NDArray[Any], where: str) -> Finding | None:
    """Points, lines and polygons in one file; the rows of the rarer kinds."""
    shapes = layer.geometry.to_numpy()
    dimension = pd.Series(np.where(shapely.is_empty(shapes), -1, shapely.get_dimensions(shapes)))
    counts = dimension[dimension >= 0].value_counts()
    if len(counts) < 2:
        return None
    kinds = sorted(layer.geom_type.dropna().unique())
    rare = ((dimension >= 0) & (dimension != counts.index[0])).to_numpy()
    found, remedy = message("Several kinds of geometry in one file: {kinds}.", kinds=kinds), message("Deliver one file a kind.")
    return finding("mixed-kinds", "warning", where, found, remedy=remedy, rows=names[rare])


def _rows(
    code: str, severity: Any, where: str, odd: npt.NDArray[np.bool_], names: npt.NDArray[Any], said: tuple[Message, Message]
) -> Finding | None:
    if not odd.any():
        return None
    counted = messages("{n} row: {what}", "{n} rows: {what}", int(odd.sum()), what=said[0])
    return finding(code, severity, where, counted, remedy=said[1], rows=names[odd])
