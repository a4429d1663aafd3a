"""Units: which neighbourhood a unit whose people were counted is, or in which one it lies.

A unit that was split counts once; a unit of the neighbourhood's own code or name stands for all of it, units inside it add up, and
nobody is counted twice without a person's decision. Known bias: names of districts and of neighbourhoods are often the same; only
the map tells them apart, so a table of districts without shapes must be given their codes.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import replace
from typing import Any

import geopandas as gpd
import numpy as np
import numpy.typing as npt
import pandas as pd
import shapely

from geo.attachment import Attached, attach
from geo.errors import Finding, SchemaError, finding
from geo.harmonise import Layer
from geo.messages import message
from geo.names import limit
from geo.places import AUTOMATIC, held_to_map, match

NAMES = ("name_ar", "name_en")
COUNTED = ("people", "people_low", "people_high")


def once_per_unit(layer: Layer) -> tuple[pd.DataFrame, tuple[Finding, ...]]:
    """Each unit once. A unit that was split repeats its people on each part: the parts are joined and counted once.

    The key is the code where the table has codes, else the name; a row without its key is a unit of its own.
    """
    frame = layer.frame
    key = _key(frame)
    values = [name for name in COUNTED if name in frame]
    unit = frame[key].fillna("row " + frame["row"].astype("string"))  # a row without a code is a unit of its own
    repeated = frame[unit.duplicated(keep=False)]
    if repeated.empty:
        return frame, ()
    differing = repeated.groupby(key)[values].nunique(dropna=False).gt(1).any(axis=1)
    if differing.any():
        rows = repeated[repeated[key].isin(differing.index[differing])]
        fault = finding(
            "parts-differ",
            "error",
            layer.name,
            message("Rows of one unit give different numbers of people: {units}.", units=sorted(set(rows[key]))[:8]),
            expected=message("One number a unit, repeated on each of its parts."),
            remedy=message("Correct the numbers, or give the units different codes."),
            rows=rows["row"],
        )
        raise SchemaError(fault)
    if isinstance(frame, gpd.GeoDataFrame):
        units = gpd.GeoDataFrame(frame.dissolve(unit.to_numpy(dtype=object), sort=False).reset_index(drop=True), crs=frame.crs)
        units = units.set_geometry(units.geometry.mask(units.geometry.is_empty), crs=frame.crs)
    else:
        units = frame[~unit.duplicated()]
    note = finding(
        "parts-joined",
        "warning",
        layer.name,
        message(
            "{n} rows are parts of units that were split; each of the {units} units counts once.",
            n=len(repeated),
            units=len(units),
        ),
        expected=message(
            "Added up row by row the people would be {naive}; counted once they are {people}.",
            naive=round(float(frame["people"].sum())),
            people=round(float(units["people"].sum())),
        ),
        rows=repeated["row"],
    )
    return units, (note,)


def _key(frame: pd.DataFrame) -> str:
    return next(name for name in ("id", *NAMES) if name in frame and (bool(frame[name].notna().any()) or name == NAMES[-1]))


def polygons(units: pd.DataFrame) -> npt.NDArray[np.bool_]:
    """Which units have a polygon."""
    if not isinstance(units, gpd.GeoDataFrame):
        return np.zeros(len(units), dtype=bool)
    return np.asarray(shapely.get_dimensions(units.geometry.to_numpy()) == 2)


def same_zones(units: gpd.GeoDataFrame, zones: gpd.GeoDataFrame) -> pd.Series[Any] | None:
    """The neighbourhood that each polygon is, or None where not every one is one.

    By code, else by a name in either script that only one of them bears, held against the map: most of the larger of the two shapes
    (`same_share`) must lie in the smaller, lest a district be taken for the neighbourhood it is named after.
    """
    ids = units["id"] if "id" in units else pd.Series(pd.NA, index=units.index, dtype="string")
    zone = ids.where(ids.isin(zones.index)).astype("string")
    rest, by = units[zone.isna()], [name for name in NAMES if name in units]
    if rest.empty:
        return zone
    if not by:
        return None
    found = held_to_map(match(rest, zones, by=by, known_by=NAMES, one_to_one=True, propose=False), rest, zones)
    if found["id"].isna().any() or found["id"].isin(zone).any():
        return None
    ours, theirs = shapely.area(rest.geometry.to_numpy()), shapely.area(zones.geometry.loc[found["id"]].to_numpy())
    both = found["overlap"].to_numpy(float) * np.minimum(ours, theirs) / np.maximum(ours, theirs)
    return zone.fillna(found["id"]) if bool((both >= limit("places", "same_share")).all()) else None


def attached_units(units: pd.DataFrame, zones: gpd.GeoDataFrame, known: Mapping[str, Hashable], *, named: bool) -> Attached:
    """Each unit to its neighbourhood; `zone_by` is "part" where its column `neighbourhood` says where it lies."""
    parts = units["neighbourhood"] if "neighbourhood" in units else pd.Series(pd.NA, index=units.index, dtype="string")
    lying, own = units[parts.notna()], units[parts.isna()]
    codes, names = [name for name in ("id",) if name in units], [name for name in NAMES if name in units]
    placed = attach(own, zones, codes=codes, names=names, decided=known, one_to_one=True)
    if not named:
        taken = placed.names["how"].isin(AUTOMATIC[:2])
        held = placed.names.assign(id=placed.names["id"].mask(taken), how=placed.names["how"].mask(taken, "ambiguous"))
        by_name = placed.frame["zone_by"] == "name"
        frame = placed.frame.assign(zone=placed.frame["zone"].mask(by_name), zone_by=placed.frame["zone_by"].mask(by_name))
        placed = replace(placed, frame=frame, names=held)
    if lying.empty:
        return placed
    told = attach(lying, zones, codes=["neighbourhood"], names=["neighbourhood"], decided=known)
    frame = pd.concat([told.frame.assign(zone_by=told.frame["zone_by"].replace({"code": "part", "name": "part"})), placed.frame])
    return replace(placed, frame=frame, names=pd.concat([told.names, placed.names]) if len(placed.names) else told.names)


def counted_once(frame: pd.DataFrame, names: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame, pd.Index[Any]]:
    """The units without those that would count a neighbourhood's people twice, and which these are; decisions stand."""
    by, zone = frame["zone_by"], frame["zone"]
    coded = set(zone[by == "code"])
    parts = set(zone[by.isin(["place", "part"])])
    twice = (by.isin(["place", "part", "name"]) & zone.isin(coded)) | ((by == "name") & zone.isin(parts))
    taken = frame.index[twice.fillna(False)]
    asked = names.index.intersection(taken)
    held = names.copy()
    held.loc[asked, "how"], held.loc[asked, "id"] = "ambiguous", pd.NA
    kept = frame.assign(zone=zone.mask(frame.index.isin(taken)), zone_by=by.mask(frame.index.isin(taken)))
    return kept, held, taken
