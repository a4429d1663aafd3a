"""Windows: the features of a study numbered once, and cut by place and time.

Every table with shapes can be asked for as a **collection**. Its rows stand in the order of their codes and are numbered from 1
without gaps: the number is what vector tiles carry instead of properties and what compact arrays are indexed by, so it depends on
which features there are and never on their scores. Shapes are WGS 84, longitude first. What must not leave the study does not
enter a collection: complaints are counts by neighbourhood and category, and rows left out of that layer have no place or value.
Known bias: the sides of a box are meridians and parallels drawn as straight lines in degrees; dates count as whole days, and a
feature without a date matches no period.
"""

from __future__ import annotations

import datetime
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import geopandas as gpd
import numpy as np
import numpy.typing as npt
import pandas as pd
import pyproj
import shapely

from geo import registers
from geo.complaints_intake import LAYER as COMPLAINTS
from geo.harmonise import City
from geo.messages import message
from geo.run import Run

Mask = npt.NDArray[np.bool_]
WGS84 = "EPSG:4326"
CRS84 = "http://www.opengis.net/def/crs/OGC/1.3/CRS84"
DATE = "date"
COUNTED = "complaints_"
OWN = {"priorities": message("Ranked neighbourhoods"), "left_out": message("Rows left out")}
COUNTS = message("Complaints, counted by neighbourhood and category")
NO_BOX = (np.nan,) * 4


@dataclass(frozen=True)
class Collection:
    """A table with shapes that can be asked for as features.

    Attributes
    ----------
    table
        One row a feature, numbered from 0 in the order of `ids`; geometry in WGS 84, longitude first, None without a place.
    ids
        What a feature is called in an address: its code where every row has one of its own, else its number, as text.
    crs
        The CRS that the study keeps it in.
    date, source, licence
        As the layer's entry says; empty where it says nothing.
    labels
        Headings in both languages, by column, where the run has them.
    fingerprint
        32 hexadecimal digits of everything that decides a tile: the name, and the shapes in their order.
    """

    name: str
    title: Mapping[str, str]
    table: gpd.GeoDataFrame
    ids: pd.Index[str]
    crs: str
    date: str = ""
    source: Mapping[str, str] = field(default_factory=lambda: {"ar": "", "en": ""})
    licence: str = ""
    labels: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    fingerprint: str = ""

    @property
    def properties(self) -> list[str]:
        return [name for name in map(str, self.table.columns) if name != "geometry"]

    @property
    def bounds(self) -> tuple[float, float, float, float] | None:
        """West, south, east, north in degrees; None where nothing has a place."""
        box = self.table.total_bounds
        return (float(box[0]), float(box[1]), float(box[2]), float(box[3])) if np.isfinite(box).all() else None

    @property
    def period(self) -> tuple[str, str] | None:
        """First and last day on which something was seen, ISO 8601; None where neither rows nor the layer say."""
        if DATE in self.table and pd.api.types.is_datetime64_any_dtype(self.table[DATE]) and self.table[DATE].notna().any():
            days = self.table[DATE].dt.strftime("%Y-%m-%d")
            return str(days.min()), str(days.max())
        return (self.date, self.date) if self.date else None


def names(city: City, run: Run) -> list[str]:
    """The collections of a study and its run: tables of the run with places first, then the layers."""
    shaped = [name for name, table in run.tables.items() if isinstance(table, gpd.GeoDataFrame)]
    layers = [name for name, layer in city.layers.items() if isinstance(layer.frame, gpd.GeoDataFrame) and "/" not in name]
    return ["priorities", *shaped, *(name for name in layers if name not in shaped), *(["left_out"] if len(run.left_out) else [])]


def collection(name: str, city: City, run: Run) -> Collection:
    """A collection by its name, one of `names`.

    Raises
    ------
    KeyError
        No such collection.
    """
    if name == "priorities":
        return numbered(name, OWN[name].both(), run.priorities)
    if name == "left_out":
        return numbered(name, OWN[name].both(), without_complaints(run.left_out))
    if isinstance(run.tables.get(name), gpd.GeoDataFrame):
        words = run.info["tables"].get(name, {})
        return numbered(name, words.get("title", {"ar": name, "en": name}), run.tables[name], labels=words.get("columns", {}))
    said: dict[str, Any] = next((one for one in run.info["layers"] if one["layer"] == name), {})
    given = {part: said[part] for part in ("date", "source", "licence") if part in said}
    return of_layer(name, city, **given)


def of_layer(name: str, city: City, **said: Any) -> Collection:
    """A layer of a study as a collection; complaints as their counts."""
    if name == COMPLAINTS:
        return numbered(name, COUNTS.both(), complaint_counts(city), **said)
    frame = gpd.GeoDataFrame(city.layers[name].frame)
    title = registers.both(registers.register("layers")[name], "name")
    return numbered(name, title, frame.set_crs(city.study.crs) if frame.crs is None else frame, **said)


def numbered(name: str, title: Mapping[str, str], frame: gpd.GeoDataFrame, **said: Any) -> Collection:
    """A table as a collection: rows in the order of their codes where each has one of its own, else as they stand.

    Examples
    --------
    >>> here = gpd.GeoSeries.from_xy([37.1, 37.2], [36.2, 36.3], crs="EPSG:4326")
    >>> made = numbered("roads", {"en": "Roads"}, gpd.GeoDataFrame({"id": ["b", "a"]}, geometry=here))
    >>> made.ids.tolist(), made.table.geometry.x.tolist(), made.bounds
    (['a', 'b'], [37.2, 37.1], (37.1, 36.2, 37.2, 36.3))
    """
    codes = frame["id"].astype("string") if "id" in frame else pd.Series(pd.NA, index=frame.index, dtype="string")
    own = bool(codes.notna().all() and codes.is_unique and (codes != "").all())
    order = np.argsort(codes.to_numpy(dtype=object), kind="stable") if own else np.arange(len(frame))
    table = gpd.GeoDataFrame(frame).iloc[order].reset_index(drop=True)
    crs = table.crs.to_string()
    placed = table.to_crs(WGS84)
    ids = codes.iloc[order].to_numpy(dtype=object) if own else np.arange(1, len(frame) + 1).astype(str)
    return Collection(name, title, placed, pd.Index(ids, dtype=object), crs, **said, fingerprint=_fingerprint(name, placed))


def _fingerprint(name: str, placed: gpd.GeoDataFrame) -> str:
    digest = hashlib.sha256(f"{name}\n{len(placed)}\n".encode())
    for shape in shapely.to_wkb(placed.geometry.to_numpy(), byte_order=1):
        digest.update(b"-" if shape is None else shape)
    return digest.hexdigest()[:32]


def complaint_counts(city: City) -> gpd.GeoDataFrame:
    """Troubles by neighbourhood and category, with the shapes of the neighbourhoods; none of the complaints themselves."""
    frame = city.layers[COMPLAINTS].frame
    zones = city.zones[["name_ar", "name_en", "district", "geometry"]].rename_axis("id").reset_index()
    counts = pd.crosstab(frame["zone"].astype(object), frame["category"].astype(object)).reindex(zones["id"], fill_value=0)
    total = counts.sum(axis=1).rename("complaints")
    every = pd.concat([total, counts.add_prefix(COUNTED)], axis=1).reset_index(drop=True)
    return gpd.GeoDataFrame(
        pd.concat([zones.drop(columns="geometry"), every], axis=1), geometry=zones.geometry.to_numpy(), crs=zones.crs
    )


def without_complaints(left_out: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
    """Rows left out; those of complaints keep their reason and lose code, value and place."""
    spoken = (left_out["layer"] == COMPLAINTS).to_numpy()
    shapes = left_out.geometry.to_numpy().copy()
    shapes[spoken] = None
    bare = {name: left_out[name].mask(spoken) for name in ("id", "value")}
    return left_out.assign(**bare).set_geometry(gpd.GeoSeries(shapes, index=left_out.index, crs=left_out.crs))


# ---------------------------------------------------------------------------------------------------------------------- windows


def boxes(sides: tuple[float, float, float, float], crs: pyproj.CRS | str = WGS84) -> shapely.Geometry:
    """The ground of a box in WGS 84: two parts where it crosses the antimeridian (west beyond east).

    `sides` are x and y of the lower left corner, then of the upper right one, in `crs`, x first.

    >>> boxes((179, -1, -179, 1)).bounds
    (-180.0, -1.0, 180.0, 1.0)
    """
    west, south, east, north = sides
    if west > east:
        return shapely.multipolygons([shapely.box(west, south, 180, north), shapely.box(-180, south, east, north)])
    if pyproj.CRS(crs) == pyproj.CRS(WGS84):
        return shapely.envelope(shapely.multipoints([(west, south), (east, north)]))  # a point or a line where it has no area
    if west == east or south == north:
        return gpd.GeoSeries([shapely.envelope(shapely.multipoints([(west, south), (east, north)]))], crs=crs).to_crs(WGS84).iloc[0]
    size = max(east - west, north - south)
    outline = shapely.segmentize(shapely.box(west, south, east, north), size / 50 if size else 1.0)
    return gpd.GeoSeries([outline], crs=crs).to_crs(WGS84).iloc[0]


def within(of: Collection, ground: shapely.Geometry) -> Mask:
    """Features that touch a piece of ground, WGS 84; a feature without a place touches none."""
    found = np.zeros(len(of.table), dtype=bool)
    found[of.table.sindex.query(ground, predicate="intersects")] = True
    return found


def during(of: Collection, first: datetime.date | None, last: datetime.date | None) -> Mask:
    """Features seen in a period, both days in it, None without an end; a collection without dates by row matches whole."""
    if DATE not in of.table or not pd.api.types.is_datetime64_any_dtype(of.table[DATE]):
        return np.ones(len(of.table), dtype=bool)
    days = of.table[DATE].dt.normalize()
    found = days.notna()
    if first is not None:
        found &= days >= pd.Timestamp(first)
    if last is not None:
        found &= days <= pd.Timestamp(last)
    return np.asarray(found, dtype=bool)
