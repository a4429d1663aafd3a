"""Where the coordinates lie: every layer ends in the study's CRS, in metres, and none gets there by a guess.

A file without a CRS, with coordinates that can't be what it says, or that lands far from the study is refused; the message names
the systems in which it *would* fall on the study area, and the user decides. Known bias: a shift of a few hundred metres (another
datum) is not noticed here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from pyproj import CRS, Transformer
from pyproj.exceptions import ProjError

from geo.errors import CrsError, Finding, finding
from geo.messages import Message, message

if TYPE_CHECKING:
    from collections.abc import Sequence

    import geopandas as gpd

Bounds = tuple[float, float, float, float]
CANDIDATES = ("EPSG:4326", "EPSG:32636", "EPSG:32637", "EPSG:22770", "EPSG:22780", "EPSG:3857")
SWAPPED = "EPSG:4326 (lat, lon)"
NEAR_M = 20_000.0


def known(crs: CRS) -> CRS:
    """The EPSG system behind an unnamed but equal definition (OSMnx writes UTM 37N as "unknown"), else the same."""
    code = crs.to_epsg(min_confidence=70)
    return crs if code is None else CRS.from_epsg(code)


def transformed(bounds: Bounds, source: str | CRS, target: str | CRS) -> Bounds | None:
    """Bounds in another CRS (x, y order); None where they can't be projected."""
    try:
        moved = Transformer.from_crs(source, target, always_xy=True).transform_bounds(*bounds)
    except ProjError:
        return None
    return moved if np.isfinite(moved).all() else None


def apart_m(bounds: Bounds, area: Bounds) -> float:
    """Gap between two boxes of one metric CRS, in metres; 0 where they touch."""
    dx = max(area[0] - bounds[2], bounds[0] - area[2], 0.0)
    dy = max(area[1] - bounds[3], bounds[1] - area[3], 0.0)
    return float(np.hypot(dx, dy))


def candidates(bounds: Bounds, area: Bounds, study_crs: str) -> list[str]:
    """The systems in which these coordinates would fall on the study area (its box, in `study_crs`)."""
    fitting = []
    for crs in dict.fromkeys((study_crs, *CANDIDATES)):
        moved = transformed(bounds, crs, study_crs) if plausible(bounds, CRS.from_user_input(crs)) else None
        if moved is not None and apart_m(moved, area) == 0:
            fitting.append(crs)
    turned = (bounds[1], bounds[0], bounds[3], bounds[2])
    swapped = transformed(turned, "EPSG:4326", study_crs) if plausible(turned, CRS.from_epsg(4326)) else None
    if swapped is not None and apart_m(swapped, area) == 0:
        fitting.append(SWAPPED)
    return fitting


def turned(frame: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
    """The frame with x and y exchanged: for files in which latitude stands before longitude."""
    import shapely

    return frame.set_geometry(shapely.transform(frame.geometry.to_numpy(), lambda places: places[:, ::-1]), crs=frame.crs)


def plausible(bounds: Bounds, crs: CRS) -> bool:
    """Whether coordinates can be what their CRS says: degrees stay within ±180 and ±90."""
    if not crs.is_geographic:
        return True
    return bool(abs(bounds[0]) <= 180 and abs(bounds[2]) <= 180 and abs(bounds[1]) <= 90 and abs(bounds[3]) <= 90)


def to_metric(
    frame: gpd.GeoDataFrame, study_crs: str, where: str, *, declared: str | None = None, area: Bounds | None = None
) -> gpd.GeoDataFrame:
    """The frame in the study's CRS.

    Parameters
    ----------
    declared
        What `study.toml` says of the file; goes before what the file says of itself.
    area
        Box of the study in `study_crs`; a layer more than 20 km away from it is refused. Without it the box of the CRS' own
        area of use is taken.

    Raises
    ------
    CrsError
        No CRS known, coordinates that can't be what the CRS says, or a place far from the study.
    """
    crs = CRS.from_user_input(declared) if declared else frame.crs
    bounds: Bounds = tuple(frame.total_bounds)
    if crs is None or not plausible(bounds, crs):
        raise CrsError(_unknown(crs, bounds, where, study_crs, area))
    placed = frame.set_crs(known(crs), allow_override=True)
    moved = transformed(bounds, placed.crs, study_crs)
    gap = np.inf if moved is None else apart_m(moved, area or area_of_use(study_crs))
    if gap > NEAR_M:
        raise CrsError(_far(crs, bounds, gap, where, study_crs, area))
    return placed.to_crs(study_crs)


def area_of_use(crs: str) -> Bounds:
    """The box in which a CRS may be used, in its own coordinates; the whole plane where that is not known."""
    use = CRS.from_user_input(crs).area_of_use
    box = None if use is None else transformed(use.bounds, "EPSG:4326", crs)
    return box or (-np.inf, -np.inf, np.inf, np.inf)


def _box(bounds: Sequence[float]) -> str:
    return ", ".join(f"{value:.6g}" for value in bounds)


def _remedy(bounds: Bounds, area: Bounds | None, study_crs: str) -> tuple[str, ...]:
    return tuple(candidates(bounds, area, study_crs)) if area else ()


def _unknown(crs: CRS | None, bounds: Bounds, where: str, study_crs: str, area: Bounds | None) -> Finding:
    fits = _remedy(bounds, area, study_crs)
    found = (
        message("The file does not say its coordinate system; its coordinates go from {box}.", box=_box(bounds))
        if crs is None
        else message(
            "The file says {crs}, in degrees, but its coordinates go from {box}.", crs=crs.to_string()[:60], box=_box(bounds)
        )
    )
    return _finding("crs-unknown" if crs is None else "crs-lies", found, fits, where)


def _far(crs: CRS, bounds: Bounds, gap: float, where: str, study_crs: str, area: Bounds | None) -> Finding:
    fits = _remedy(bounds, area, study_crs)
    found = (
        message("Read as {crs} the layer lies {km} km from the study area.", crs=known(crs).to_string()[:60], km=round(gap / 1000))
        if np.isfinite(gap)
        else message("Read as {crs} the layer can't be placed near the study area.", crs=known(crs).to_string()[:60])
    )
    return _finding("crs-far", found, fits, where)


def _finding(code: str, found: Message, fits: tuple[str, ...], where: str) -> Finding:
    if fits == (SWAPPED,):
        swapped = message(
            'The axes are swapped: latitude stands before longitude. In a table, write columns = { lon = "lat", lat = "lon" }.'
        )
        return finding(code, "error", where, found, expected=message("Coordinates that fall on the study area."), remedy=swapped)
    remedy = (
        message('If one of these is right, write it in study.toml: crs = "…": {fits}.', fits=fits)
        if fits
        else message('Ask who made the file for its coordinate system, and write it in study.toml: crs = "…".')
    )
    return finding(code, "error", where, found, expected=message("Coordinates that fall on the study area."), remedy=remedy)
