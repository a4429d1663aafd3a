"""Roads: how long they are in each neighbourhood, by class, and how much of that likely lies under debris.

Debris is not surveyed; it is inferred: the stretch of road within reach of a destroyed or severely damaged structure. The reach is
an assumption with a low, a best and a high value (scheme, `debris_reach_m`); all three are carried along. Known bias: high
buildings throw rubble further than low ones, and a street that was cleared since still counts.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from geo import registers
from geo.damage import DEBRIS, share_of
from geo.harmonise import City
from geo.overlay import Floats, Pieces, cut, within_reach
from geo.scheme import Scheme

GROUPS = tuple(dict.fromkeys(row["group"] for row in registers.register("road_classes").values()))
LEVELS = ("low", "best", "high")


def group_of(road_class: pd.Series[str]) -> pd.Series[str]:
    """The group of each road class (main, collector, local, path); a class that no register holds counts as local.

    >>> group_of(pd.Series(["primary", "steps", "goat track"])).tolist()
    ['main', 'path', 'local']
    """
    listed = {name: row["group"] for name, row in registers.register("road_classes").items()}
    return road_class.map(listed).fillna("local")


def lengths(zones: pd.Index[str], pieces: Pieces, values: Floats, groups: np.ndarray[tuple[int], np.dtype[np.str_]]) -> pd.DataFrame:
    """Metres by zone and group of class: a partial sum that merges by addition."""
    column = pd.Index(GROUPS).get_indexer(groups[pieces.line])
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
    silent = share_of(layer, city).isna() & (metres.sum(axis=1) == 0)
    table = metres.mask(silent).add_prefix("road_length_m_")
    table.insert(0, "road_length_m", metres.sum(axis=1).mask(silent))
    if survey is None:
        return table
    surveyed = share_of(survey, city)
    unseen = silent | (surveyed == 0)
    structures = survey.frame.geometry.to_numpy()[survey.frame["state"].isin(DEBRIS)]
    for level, reach in zip(LEVELS, scheme.options.debris_reach_m, strict=True):
        covered = lengths(zones, pieces, within_reach(pieces.shape, structures, reach), groups).mask(unseen)
        suffix = "" if level == "best" else f"_{level}"
        table = table.join(covered.rename(columns=lambda group, end=suffix: f"road_debris_m_{group}{end}"))
        table[f"road_debris_m{suffix}"] = covered.sum(axis=1, skipna=False)
        table[f"road_debris_share{suffix}"] = (table[f"road_debris_m{suffix}"] / table["road_length_m"].where(lambda m: m > 0)).clip(upper=1.0)
    for name in ("road_debris_m", "road_debris_share"):
        table[f"{name}_coverage"] = surveyed
        table[f"{name}_note"] = np.select([surveyed == 0, table["road_length_m"].isna(), table["road_length_m"] == 0], ["not-surveyed", "extent-unknown", "nothing-here"], "")
    return table
