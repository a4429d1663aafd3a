"""Names of columns: whether a delivered column is the one that we call so, whatever a shapefile or a form made of its name.

Names are cut to ten letters, numbered where they collided, put after a group, in capitals. Known bias: two long names that begin
alike are the same once they are cut; the values decide then (`geo.proposals`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely

from geo.names import limit, spelled

COORDINATES = ("lon", "lat", "x", "y", "wkt", "geopoint")
GENERIC = ("id", "name_ar", "name_en", "date", "district", "status", *COORDINATES)
DIMENSIONS = {0: "point", 1: "line", 2: "polygon"}


def columns_of(table: pd.DataFrame) -> list[str]:
    """The file's own columns."""
    shapes = table.geometry.name if isinstance(table, gpd.GeoDataFrame) and table._geometry_column_name in table else "geometry"
    return [str(one) for one in table.columns if one not in ("row", "geometry", shapes)]


def kinds_of(table: pd.DataFrame) -> set[str]:
    """Kinds of geometry of a table: point, line, polygon; none where it has no shapes."""
    if not isinstance(table, gpd.GeoDataFrame):
        return set()
    found = np.unique(shapely.get_dimensions(table.geometry.to_numpy()))
    return {DIMENSIONS[int(one)] for one in found if int(one) in DIMENSIONS}


@lru_cache(maxsize=65_536)
def alike(theirs: str, ours: str) -> float:
    """How surely a column is the one that we call so: 1 the same, less where a shapefile or a form changed it, 0 if not.

    >>> [alike(one, "Main_Damage_Site_Class") for one in ("MAIN_DAMAGE_SITE_CLASS", "Main_Damag", "Main_Dam_2", "Main_Damage")]
    [0.97, 0.9, 0.85, 0.0]
    >>> alike("site/damage_grade", "damage_grade"), alike("_location_latitude", "latitude")
    (0.93, 0.8)
    """
    if theirs == ours:
        return 1.0
    if not spelled(theirs):
        return 0.0
    if spelled(theirs) == spelled(ours):
        return 0.97
    if spelled(re.split(r"[/:.]", theirs)[-1]) == spelled(ours):
        return 0.93
    cut, full = theirs.casefold(), ours.casefold()
    letters = int(limit("recognition", "shapefile_letters"))
    if cut in _cuts(full, letters):
        return 0.9
    if number_of(theirs, ours):
        return 0.85
    last = re.split(r"[/:._\-\s]", theirs.strip("_"))[-1]
    return 0.8 if len(last) > 4 and spelled(last) == spelled(ours) else 0.0


def _cuts(name: str, letters: int) -> tuple[str, ...]:
    """A longer name as a shapefile cuts it: by letters, or by bytes of UTF-8 (Arabic: half as many)."""
    by_bytes = name.encode()[:letters].decode(errors="ignore")
    return tuple(one for one in (name[:letters], by_bytes) if one != name)


def number_of(theirs: str, ours: str) -> int:
    """The number of a repeated column (`SensorDate_2`, cut to `SensorDa_2`); 0 where it is another column.

    >>> number_of("Main_Dam_2", "Main_Damage_Site_Class"), number_of("SensorDate_14", "SensorDate"), number_of("code_2", "colour")
    (2, 14, 0)
    """
    seen = re.fullmatch(r"(.+?)_?(\d{1,2})", theirs.casefold())
    if seen is None:
        return 0
    stem, full = seen[1].rstrip("_"), ours.casefold()
    cut = len(theirs) == limit("recognition", "shapefile_letters") and len(stem) > 4 and full.startswith(stem)
    return int(seen[2]) if cut or spelled(stem) == spelled(full) else 0


def found_column(columns: Sequence[str], wanted: Iterable[str]) -> tuple[str, float] | None:
    """The first wanted name that a column has, and how surely."""
    for name in wanted:
        scored = [(alike(one, name), one) for one in columns]
        score, column = max(scored, default=(0.0, ""))
        if score > 0.8:
            return column, score
    return None


def select_multiples(columns: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Questions of multiple choice and the columns of their options.

    >>> select_multiples(["needs", "needs/water", "needs/food", "site/name"])
    {'needs': ('needs/water', 'needs/food')}
    """
    there = set(columns)
    found: dict[str, tuple[str, ...]] = {}
    for one in columns:
        question = one.rpartition("/")[0]
        if question in there:
            found[question] = (*found.get(question, ()), one)
    return found
