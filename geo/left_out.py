"""Left out: every row that does not count, with its reason, so that nothing is dropped silently.

One row here is one row of a file and one reason; a row with two reasons stands twice. The table is part of the run and goes to
every export; it keeps the geometry, so that a map can show where the rows lie.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import geopandas as gpd
import numpy as np
import numpy.typing as npt
import pandas as pd
import shapely

from geo.errors import Finding, finding
from geo.messages import Message, message, messages

if TYPE_CHECKING:
    from collections.abc import Iterable

COLUMNS = ("layer", "row", "id", "reason", "reason_ar", "reason_en", "value")

UNKNOWN_VALUE = "value-unusable"  # the row counts, one of its values does not
REASONS: dict[str, Message] = {
    "outside": message("Outside every neighbourhood"),
    "grade-not-recognised": message("Grade not recognised"),
    "grade-missing": message("No grade given"),
    "geometry-missing": message("No geometry, or coordinates that are no numbers"),
    "geometry-type": message("Another kind of geometry than this layer has"),
    "geometry-invalid": message("Geometry can't be repaired with certainty"),
    "value-unusable": message("The value can't be used and counts as unknown"),
    "repeated": message("Exact repetition of an earlier row"),
    "other-evidence": message("Another source counts for this structure"),
    "complaint-repeated": message("The same complaint again"),
    "no-neighbourhood": message("No neighbourhood of that code or name"),
    "neighbourhood-counted": message("Another row already counts that neighbourhood"),
    "id-missing": message("No code given"),
    "geometry-unreadable": message("The geometry can't be read"),
    "geometry-coordinates": message("Coordinates that are infinite or beyond any place on Earth"),
    "geometry-unreachable": message("Too far away to have a place in the study's coordinate system"),
    "record-unreadable": message("The record can't be read"),
    "record-deleted": message("Marked as deleted in the file"),
    "record-missing": message("A shape without a record in the table"),
    "shape-missing": message("A record in the table without a shape"),
    "quote-open": message("A quotation mark that is never closed"),
    "cells-too-many": message("More cells than the header has names"),
}


def left_out(frame: pd.DataFrame, layer: str, reason: str, *, value: str | None = None, crs: object = None) -> gpd.GeoDataFrame:
    """The rows of `frame` as rows left out; `value` names the column whose content explains the reason.

    `frame` has `row`, and `id` and `geometry` where the layer has them.
    """
    why = REASONS[reason]
    blank = pd.Series(pd.NA, index=frame.index, dtype="string")
    table = pd.DataFrame(
        {
            "layer": layer,
            "row": frame["row"].astype("int64"),
            "id": frame["id"].astype("string") if "id" in frame else blank,
            "reason": reason,
            "reason_ar": why.render("ar"),
            "reason_en": why.render("en"),
            "value": frame[value].astype("string") if value else blank,
        }
    )
    shapes = frame["geometry"] if isinstance(frame, gpd.GeoDataFrame) else gpd.GeoSeries([None] * len(frame), index=frame.index)
    return gpd.GeoDataFrame(table, geometry=gpd.GeoSeries(shapes, crs=crs or getattr(frame, "crs", None)))


def together(tables: Iterable[gpd.GeoDataFrame], crs: object) -> gpd.GeoDataFrame:
    """All left-out rows as one table in one CRS; rows without geometry keep none, and what has no place in that CRS loses it."""
    several = [_reached(one.to_crs(crs)) if one.crs is not None else one.set_crs(crs) for one in tables if len(one)]
    if not several:
        return gpd.GeoDataFrame({name: pd.Series(dtype="string") for name in COLUMNS}, geometry=gpd.GeoSeries([], crs=crs))
    return gpd.GeoDataFrame(pd.concat(several, ignore_index=True), crs=crs)


def reachable(frame: gpd.GeoDataFrame) -> npt.NDArray[np.bool_]:
    """Which shapes have finite coordinates, or none at all: a projection puts what it can't place at infinity.

    >>> places = gpd.GeoDataFrame(geometry=gpd.points_from_xy([39, -51], [35, 0], crs="EPSG:4326")).to_crs("EPSG:32637")
    >>> reachable(gpd.GeoDataFrame(geometry=[*places.geometry, None])).tolist()
    [True, False, True]
    """
    shapes = frame.geometry.to_numpy()
    absent = shapely.is_missing(shapes) | shapely.is_empty(shapes)
    return np.asarray(absent | np.isfinite(shapely.bounds(shapes)).all(axis=1))


def _reached(frame: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
    return frame.set_geometry(frame.geometry.where(reachable(frame)))


def noted(table: gpd.GeoDataFrame) -> tuple[Finding, ...]:
    """One finding a layer and reason, with the count."""
    groups = table.groupby(["layer", "reason"], sort=False) if len(table) else ()
    return tuple(
        finding(
            str(reason),
            "warning",
            str(layer),
            messages("{n} row left out: {reason}.", "{n} rows left out: {reason}.", len(rows), reason=REASONS[str(reason)]),
            remedy=message("See the table of left-out rows."),
            rows=rows["row"].head(100),
            count=len(rows),
        )
        for (layer, reason), rows in groups
    )
