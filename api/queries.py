"""What a request for features asks: box, period, properties, condition, CRS. Everything wrong with a request is told at once.

A parameter of the address becomes a mask over the rows of a collection; all of them must hold. Coordinates of a box, and of answers
in another CRS, stand in the order of axes that the CRS itself declares: EPSG:4326 has latitude first, CRS84 longitude.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import pyproj
import shapely
from fastapi import Request

from api.errors import RequestError, unknown
from geo import cql, windows
from geo.errors import Finding, TarmimError, finding
from geo.messages import Message, message
from geo.windows import CRS84, Collection, Mask

EPSG = "http://www.opengis.net/def/crs/EPSG/0/{code}"
NUMBER = re.compile(r"[-+]?(\d{1,12}\.?\d{0,20}|\.\d{1,20})([eE][-+]?\d{1,2})?", re.ASCII)
OWN = frozenset(
    ("bbox", "bbox-crs", "crs", "datetime", "filter", "filter-lang", "filter-crs", "limit", "offset", "properties", "f", "lang")
)


@dataclass(frozen=True)
class Crs:
    """A CRS that answers can be in: its address, what pyproj calls it, and whether y (or latitude) comes first."""

    uri: str
    name: str
    y_first: bool

    def read(self, sides: tuple[float, float, float, float]) -> tuple[float, float, float, float]:
        """A box of this CRS with x first."""
        return (sides[1], sides[0], sides[3], sides[2]) if self.y_first else sides

    def written(self, placed: gpd.GeoSeries) -> gpd.GeoSeries:
        """Shapes of WGS 84 in this CRS, in its order of axes."""
        moved = placed if self.name == windows.WGS84 else placed.to_crs(self.name)
        if not self.y_first:
            return moved
        turned = shapely.transform(moved.to_numpy(), lambda xy: xy[:, ::-1])
        return gpd.GeoSeries(turned, index=moved.index, crs=moved.crs)

    @property
    def digits(self) -> int:
        """Decimals that are a centimetre or less."""
        return 7 if pyproj.CRS(self.name).is_geographic else 3


def crs_of(name: str) -> Crs:
    """A CRS by what pyproj calls it.

    >>> crs_of("EPSG:4326").y_first, crs_of("EPSG:32637").y_first, crs_of("EPSG:32637").uri
    (True, False, 'http://www.opengis.net/def/crs/EPSG/0/32637')
    """
    known = pyproj.CRS(name)
    authority = known.to_authority()
    uri = EPSG.format(code=authority[1]) if authority and authority[0] == "EPSG" else known.to_string()
    return Crs(uri, name, known.axis_info[0].direction in ("north", "south"))


@lru_cache(maxsize=16)
def crs_list(storage: str) -> dict[str, Crs]:
    """The CRSs that a collection kept in `storage` can be had in, by address; the first is used where none is asked for."""
    found = (Crs(CRS84, windows.WGS84, y_first=False), *(crs_of(name) for name in (windows.WGS84, "EPSG:3857", storage)))
    return {one.uri: one for one in found}


@dataclass(frozen=True)
class Asked:
    """What a request asks for, read. `mask` says which rows, `columns` which properties."""

    mask: Mask
    crs: Crs
    columns: list[str]


def asked(request: Request, of: Collection) -> Asked:
    """What a request asks of a collection.

    Raises
    ------
    RequestError, ConditionError
        With everything that can't be used.
    """
    given, found = request.query_params, list[Finding]()
    mask = np.ones(len(of.table), dtype=bool)
    known = crs_list(of.crs)
    chosen = dict.fromkeys(("crs", "bbox-crs", "filter-crs"), known[CRS84])
    for name in chosen:
        try:
            chosen[name] = crs_named(given[name], known, name) if name in given else chosen[name]
        except RequestError as error:
            found += error.findings
    steps: dict[str, Callable[[str], Mask]] = {
        "bbox": lambda text: windows.within(of, box_of(text, chosen["bbox-crs"], of.bounds)),
        "datetime": lambda text: windows.during(of, *period_of(text)),
        "filter": lambda text: cql.select(of.table, text, ground=lambda shape: _ground(shape, chosen["filter-crs"])),
    }
    for name, step in steps.items():
        if name in given:
            try:
                mask &= step(given[name])
            except TarmimError as error:
                found += error.findings
    for name, text in given.items():
        if name not in OWN:
            try:
                mask &= equal(of.table[name], text, name)
            except RequestError as error:
                found += error.findings
    columns = of.properties if "properties" not in given else [one.strip() for one in given["properties"].split(",") if one.strip()]
    found += [unknown("properties", one, of.properties) for one in columns if one not in of.properties][:5]
    if found:
        raise RequestError(*found)
    return Asked(mask, chosen["crs"], columns)


def crs_named(text: str, known: dict[str, Crs], parameter: str) -> Crs:
    """A CRS by its address, or in the short form [EPSG:4326].

    Raises
    ------
    RequestError
        With the known ones.
    """
    short = re.fullmatch(r"\[?(?:EPSG:(\d{1,6})|(OGC:CRS84))\]?", text)
    uri = text if short is None else CRS84 if short[2] else EPSG.format(code=short[1])
    if uri not in known:
        raise RequestError(unknown(parameter, text, list(known)))
    return known[uri]


def box_of(text: str, crs: Crs, bounds: tuple[float, float, float, float] | None) -> shapely.Geometry:
    """The ground of a `bbox` parameter in WGS 84; six numbers have heights, which play no part.

    A box in a projected CRS is cut to the ground around `bounds` (degrees), where the projection is sound: half the world in metres
    is no place that could be turned into degrees.

    Raises
    ------
    RequestError
        Not four or six numbers, or the lower side above the upper one.
    """
    parts = [part.strip() for part in text.split(",")]
    plain = len(parts) in (4, 6) and all(NUMBER.fullmatch(part) for part in parts)
    numbers = [float(part) for part in parts] if plain else []
    if len(numbers) == 6:
        numbers = [*numbers[:2], *numbers[3:5]]
    in_degrees = pyproj.CRS(crs.name).is_geographic
    if numbers:
        west, south, east, north = crs.read((numbers[0], numbers[1], numbers[2], numbers[3]))
        if south <= north and (in_degrees or west <= east):
            if in_degrees:
                west, east = (max(-180.0, min(side, 180.0)) for side in (west, east))
                south, north = (max(-90.0, min(side, 90.0)) for side in (south, north))
                return windows.boxes((west, south, east, north))
            cut = shapely.intersection(shapely.box(west, south, east, north), _around(bounds, crs))
            return cut if cut.is_empty else windows.boxes(cut.bounds, crs.name)
    raise RequestError(
        finding(
            "bbox",
            "error",
            "bbox",
            message("'{value}' is no box.", value=text[:100]),
            expected=message(
                "Four numbers in the order of the axes of its CRS; without bbox-crs west,south,east,north in degrees."
            ),
            remedy=message("For example: bbox=36.70,34.71,36.73,34.74"),
        )
    )


def _around(bounds: tuple[float, float, float, float] | None, crs: Crs) -> shapely.Geometry:
    """A box around a place in degrees, in a projected CRS, a tenth wider on each side."""
    if bounds is None:
        return shapely.Polygon()
    sides = pyproj.Transformer.from_crs(windows.WGS84, crs.name, always_xy=True).transform_bounds(*bounds, densify_pts=21)
    if not np.isfinite(sides).all():
        return shapely.Polygon()
    return shapely.buffer(shapely.box(*sides), max(sides[2] - sides[0], sides[3] - sides[1]) / 10 + 1.0, join_style="mitre")


def _ground(shape: shapely.Geometry, crs: Crs) -> shapely.Geometry:
    """A shape of a condition in WGS 84, longitude first."""
    turned = shapely.transform(shape, lambda xy: xy[:, ::-1]) if crs.y_first else shape
    return turned if crs.name == windows.WGS84 else gpd.GeoSeries([turned], crs=crs.name).to_crs(windows.WGS84).iloc[0]


def period_of(text: str) -> tuple[datetime.date | None, datetime.date | None]:
    """First and last day of a `datetime` parameter: a day, a moment, or two with a slash between, `..` or nothing without an end.

    Raises
    ------
    RequestError
        It is none of these, or ends before it begins.

    Examples
    --------
    >>> period_of("2026-01-31"), period_of("../2026-01-31T10:00:00Z")
    ((datetime.date(2026, 1, 31), datetime.date(2026, 1, 31)), (None, datetime.date(2026, 1, 31)))
    """
    parts = text.split("/")
    try:
        days = [None if part in ("", "..") else datetime.datetime.fromisoformat(part).date() for part in parts]
        if len(days) == 1 and days[0] is not None:
            return days[0], days[0]
        if len(days) == 2 and any(days) and (None in days or days[0] <= days[1]):  # type: ignore[operator]  # neither is None
            return days[0], days[1]
    except ValueError:
        pass
    raise RequestError(
        finding(
            "datetime",
            "error",
            "datetime",
            message("'{value}' is no moment and no period.", value=text[:100]),
            expected=message("A date, or two with a slash between them; '..' has no end."),
            remedy=message("For example: datetime=2025-01-01/2025-12-31"),
        )
    )


def equal(column: pd.Series[Any], text: str, name: str) -> Mask:
    """Rows whose value is the one that stands in the address.

    Raises
    ------
    RequestError
        The value is of another kind than the column.
    """
    kind = cql.kind_of(column)
    wanted: Message = cql.KINDS[kind] if kind else cql.KINDS["text"]
    if kind == "text":
        return np.asarray((column == text).fillna(value=False), dtype=bool)
    if kind == "number" and NUMBER.fullmatch(text):
        return np.asarray((column.astype("Float64") == float(text)).fillna(value=False), dtype=bool)
    if kind == "truth" and text.lower() in ("true", "false"):
        return np.asarray((column.astype("boolean") == (text.lower() == "true")).fillna(value=False), dtype=bool)
    if kind == "date":
        day = period_of(text)[0]
        return np.asarray(column.dt.normalize() == pd.Timestamp(str(day)), dtype=bool)
    raise RequestError(finding("parameter", "error", name, message("'{value}' can't be used.", value=text[:100]), expected=wanted))
