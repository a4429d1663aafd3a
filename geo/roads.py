"""Roads: how long they are in each neighbourhood, by class, and how much of that likely lies under debris.

Debris is not surveyed; it is inferred: the stretch of road within reach of a destroyed or severely damaged structure. The reach is
an assumption with a low, a best and a high value (scheme, `debris_reach_m`); all three are carried along. Known bias: high
buildings throw rubble further than low ones, and a street that was cleared since still counts. A surveyed point that lies in a
footprint of the inventory stands for that footprint.
"""

from __future__ import annotations

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely

from geo import registers
from geo.damage import DEBRIS, by_state, known_counts, share_of
from geo.harmonise import City, Layer
from geo.overlay import Floats, Pieces, Shapes, cut, within_reach
from geo.scheme import Scheme

GROUPS = tuple(dict.fromkeys(row["group"] for row in registers.register("road_classes").values()))
ENDS = ("_low", "", "_high")
Groups = np.ndarray[tuple[int], np.dtype[np.str_]]


def group_of(road_class: pd.Series[str]) -> pd.Series[str]:
    """The group of each road class (main, collector, local, path); a class that no register holds counts as local.

    >>> group_of(pd.Series(["primary", "steps", "goat track"])).tolist()
    ['main', 'path', 'local']
    """
    listed = {name: row["group"] for name, row in registers.register("road_classes").items()}
    return road_class.map(listed).fillna("local")


def lengths(
    zones: pd.Index[str], pieces: Pieces, values: Floats, groups: np.ndarray[tuple[int], np.dtype[np.str_]]
) -> pd.DataFrame:
    """Metres by zone and group of class: a partial sum that merges by addition."""
    column = pd.Index(GROUPS).get_indexer(pd.Index(groups[pieces.line]))
    sums = np.bincount(pieces.zone * len(GROUPS) + column, values, minlength=len(zones) * len(GROUPS))
    return pd.DataFrame(sums.reshape(len(zones), len(GROUPS)), index=zones, columns=list(GROUPS))


def measure(city: City, scheme: Scheme) -> pd.DataFrame:
    """Length of roads, length and share likely under debris, each also by group of class.

    Returns
    -------
    DataFrame
        Index: neighbourhoods. Metres and shares (0 to 1) with `_low`, `_high` over the debris reach. Debris is NaN where the
        damage survey did not look; length is NaN where the layer has none and nobody said that it looked.
    """
    layer, survey = city.layers.get("roads"), city.layers.get("damage")
    if layer is None:
        return pd.DataFrame(index=city.zones.index)
    zones = city.zones.index
    lines = layer.frame.geometry.to_numpy()
    classes = layer.frame["road_class"] if "road_class" in layer.frame else pd.Series("", index=layer.frame.index)
    groups = group_of(classes.fillna("")).to_numpy(dtype=str)
    pieces = cut(lines, city.zones.geometry.to_numpy())
    metres = lengths(zones, pieces, pieces.length, groups)
    silent = ~(share_of(layer, city) > 0) & (metres.sum(axis=1) == 0)
    table = metres.mask(silent).add_prefix("road_length_m_")
    table.insert(0, "road_length_m", metres.sum(axis=1).mask(silent))
    return table if survey is None else table.join(_debris(city, scheme, survey, pieces, groups, table["road_length_m"]))


def _debris(city: City, scheme: Scheme, survey: Layer, pieces: Pieces, groups: Groups, length_m: pd.Series[float]) -> pd.DataFrame:
    """Debris by zone and group. The share is of the surveyed length; its bounds take the rest as clear, and as covered."""
    zones = city.zones.index
    surveyed = share_of(survey, city)
    unseen = length_m.isna() | known_counts(by_state(survey.frame, zones), surveyed)["none"].isna()
    seen_m = _seen_length(survey, pieces, zones, length_m)
    structures = footprints(survey.frame.geometry.to_numpy()[survey.frame["state"].isin(DEBRIS)], city.frame("buildings"))
    columns: dict[str, pd.Series[float]] = {}
    for end, reach in zip(ENDS, scheme.options.debris_reach_m, strict=True):
        covered = lengths(zones, pieces, within_reach(pieces.shape, structures, reach), groups).mask(unseen)
        columns |= {f"road_debris_m_{group}{end}": covered[group] for group in GROUPS}
        columns[f"road_debris_m{end}"] = covered.sum(axis=1, skipna=False)
    there = length_m.where(length_m > 0)
    columns["road_debris_share"] = (columns["road_debris_m"] / seen_m.where(seen_m > 0)).clip(upper=1.0)
    columns["road_debris_share_low"] = (columns["road_debris_m_low"] / there).clip(upper=1.0)
    columns["road_debris_share_high"] = ((columns["road_debris_m_high"] + length_m - seen_m) / there).clip(upper=1.0)
    note = np.select(
        [surveyed == 0, length_m == 0, unseen],
        ["not-surveyed", "nothing-here", "extent-unknown"],
        "",
    )
    for name in ("road_debris_m", "road_debris_share"):
        columns |= {f"{name}_coverage": surveyed, f"{name}_note": pd.Series(note, index=zones)}
    return pd.DataFrame(columns)


def footprints(structures: Shapes, buildings: gpd.GeoDataFrame | None) -> Shapes:
    """Structures with the footprint of the building each surveyed point lies in; rubble falls from walls, not from the middle.

    A point in no known footprint stays a point, and its reach is measured from there.
    """
    if buildings is None:
        return structures
    shapes = buildings.geometry.to_numpy()
    shapes = shapes[shapely.get_dimensions(shapes) == 2]
    point, building = shapely.STRtree(shapes).query(structures, predicate="intersects")
    grown = structures.copy()
    grown[point] = shapes[building]
    return grown


def _seen_length(survey: Layer, pieces: Pieces, zones: pd.Index[str], length_m: pd.Series[float]) -> pd.Series[float]:
    """Metres of road by zone that the damage survey looked at; all of them where it says so, or says nothing."""
    if isinstance(survey.extent, str | None):
        return length_m
    seen = cut(pieces.shape, np.array([survey.extent]))
    return pd.Series(np.bincount(pieces.zone[seen.line], seen.length, minlength=len(zones)), index=zones)
