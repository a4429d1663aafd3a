"""Damage: how many structures of each neighbourhood are in which state, and what that amounts to.

``D = Σ n_k f_k / N`` (METHODS 1.1): structures by damage state, weighted by the damage factors, over **all** buildings. A survey
from satellite images lists damaged structures only, so N comes from an inventory of buildings. Where the inventory is missing, or
plainly incomplete (fewer buildings than damaged structures), no ratio is given: equivalent destroyed structures ``Σ n_k f_k``
and their density are. Known bias: satellites see roofs; damage to walls and inside is missed, so true damage is higher.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from geo import registers
from geo.harmonise import City, Layer
from geo.messages import Message, message
from geo.overlay import surveyed_share
from geo.scheme import Factors, Scheme

STATES = tuple(registers.register("states"))
DAMAGED = tuple(name for name, row in registers.register("states").items() if row["damaged"] == "yes")
DEBRIS = tuple(name for name, row in registers.register("states").items() if row["debris"] == "yes")
FACTORED = ("equivalent_destroyed", "equivalent_destroyed_per_km2", "damage_index")  # measures that rest on the damage factors

NOTES: dict[str, Message] = {
    "no-inventory": message("no inventory of buildings"),
    "inventory-incomplete": message(
        "the inventory of buildings is incomplete: it holds fewer buildings than there are damaged structures"
    ),
    "not-surveyed": message("not surveyed"),
    "extent-unknown": message("nobody said whether the survey looked here"),
    "no-layer": message("the study has no such layer"),
    "people-unknown": message("the number of people is unknown"),
    "nothing-here": message("nothing of this kind here"),
    "none-works": message("none works"),
    "no-sources": message("the network has no source in the layer"),
}


def by_state(frame: pd.DataFrame, zones: pd.Index[str]) -> pd.DataFrame:
    """Structures by zone and state: a partial sum, so the tables of two parts of a city add up to that of the whole.

    Parameters
    ----------
    frame
        Placed damage features: `zone` and `state`.

    Examples
    --------
    >>> part = pd.DataFrame({"zone": ["a", "a", None], "state": ["severe", "destroyed", "severe"]})
    >>> by_state(part, pd.Index(["a", "b"]))[["severe", "destroyed"]].to_numpy().tolist()
    [[1, 1], [0, 0]]
    """
    row, column = zones.get_indexer(pd.Index(frame["zone"])), pd.Index(STATES).get_indexer(pd.Index(frame["state"]))
    known = (row >= 0) & (column >= 0)
    counts = np.bincount(row[known] * len(STATES) + column[known], minlength=len(zones) * len(STATES))
    return pd.DataFrame(counts.reshape(len(zones), len(STATES)), index=zones, columns=list(STATES))


def equivalent_destroyed(counts: pd.DataFrame, factors: Factors) -> pd.DataFrame:
    """Σ n_k f_k, as `low, best, high`, in structures. Structures not analysed add nothing to low and best, one each to high.

    Examples
    --------
    >>> from geo.scheme import read_factors
    >>> daraa = pd.DataFrame({"destroyed": [224], "severe": [498], "moderate": [781]})
    >>> best = equivalent_destroyed(daraa, read_factors("unosat-midpoints")).loc[0, "best"]
    >>> print(round(best / 1503, 4))
    0.3953
    """
    graded = [state for state in counts.columns if state != "not_analysed"]
    sums = {
        name: counts[graded].mul(pd.Series(table)[graded]).sum(axis=1)
        for name, table in (("low", factors.low), ("best", factors.best), ("high", factors.high))
    }
    if "not_analysed" in counts:
        sums["high"] = sums["high"] + counts["not_analysed"]
    return pd.DataFrame(sums)


def known_counts(counts: pd.DataFrame, surveyed: pd.Series[float]) -> pd.DataFrame:
    """Counts as floats, NaN where the survey did not look, or found nothing and nobody said that it looked."""
    silent = (surveyed == 0) | (surveyed.isna() & (counts.sum(axis=1) == 0))
    return counts.astype("float64").mask(silent)


def measure(city: City, scheme: Scheme) -> pd.DataFrame:
    """Structures by state, equivalent destroyed structures, their density per km², damage index.

    Returns
    -------
    DataFrame
        Index: neighbourhoods. `<measure>`, `_low`, `_high` (bounds of the damage factors and, for the index, of the part not
        surveyed), `_coverage` (share of the area surveyed, NaN where nobody said), `_note` (why there is no value). Density
        and index are of the surveyed part.
    """
    zones = city.zones
    layer = city.layers.get("damage")
    if layer is None:
        return pd.DataFrame(index=zones.index)
    surveyed = share_of(layer, city)
    counts = by_state(layer.frame, zones.index)
    known = known_counts(counts, surveyed)
    # a state that the survey never uses was not looked for: no column, rather than a column of zeros
    used = [state for state in STATES if (layer.frame["state"] == state).any()]
    table = known[used].add_prefix("structures_")
    table["structures_damaged_all"] = known[list(DAMAGED)].sum(axis=1, skipna=False)
    table["structures_damaged_all_coverage"] = surveyed
    equal = equivalent_destroyed(counts, scheme.factors).mask(known["none"].isna())
    area_km2 = zones.area / 1e6
    seen_km2 = area_km2 * surveyed.where(surveyed > 0, 1.0).fillna(1.0)
    note = _why_unknown(surveyed, known["none"])
    table = table.join(
        [
            _bounded("equivalent_destroyed", equal, surveyed, note),
            _bounded("equivalent_destroyed_per_km2", equal.div(seen_km2, axis=0), surveyed, note),
        ]
    )
    return table.join(_index(city, counts, equal, surveyed, note))


def share_of(layer: Layer, city: City) -> pd.Series[float]:
    """Share of each neighbourhood that a layer covers, 0 to 1; NaN where nobody said."""
    return pd.Series(surveyed_share(layer.extent, city.zones.geometry.to_numpy()), index=city.zones.index)


def _why_unknown(surveyed: pd.Series[float], value: pd.Series[float]) -> pd.Series[str]:
    note = pd.Series("", index=surveyed.index)
    return note.mask(value.isna() & surveyed.isna(), "extent-unknown").mask(surveyed == 0, "not-surveyed")


def _bounded(name: str, values: pd.DataFrame, coverage: pd.Series[float], note: pd.Series[str]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            name: values["best"],
            f"{name}_low": values["low"],
            f"{name}_high": values["high"],
            f"{name}_coverage": coverage,
            f"{name}_note": note,
        }
    )


def buildings_by_zone(city: City) -> pd.DataFrame | None:
    """Buildings of the inventory: `buildings` in the zone, `surveyed` of them within the damage survey's extent.

    NaN where the inventory has none and nobody said that it looked there. None where the study has no inventory.
    """
    inventory, survey = city.layers.get("buildings"), city.layers.get("damage")
    if inventory is None:
        return None
    zones = city.zones.index
    every = _per_zone(inventory.frame, zones)
    seen = every
    if survey is not None and not isinstance(survey.extent, str | None):
        seen = _per_zone(inventory.frame[_within(inventory.frame, survey.extent)], zones)
    silent = ~(share_of(inventory, city) > 0) & (every == 0)
    return pd.DataFrame({"buildings": every, "surveyed": seen}).astype("float64").mask(silent)


def _per_zone(frame: pd.DataFrame, zones: pd.Index[str]) -> pd.Series[int]:
    row = zones.get_indexer(pd.Index(frame["zone"]))
    return pd.Series(np.bincount(row[row >= 0], minlength=len(zones)), index=zones)


def _within(frame: pd.DataFrame, extent: object) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    import shapely

    from geo.overlay import middle

    shapely.prepare(extent)
    return np.asarray(shapely.intersects_xy(extent, *middle(frame["geometry"].to_numpy())), dtype=bool)


def is_incomplete(city: City, structures: pd.Series[float], counts: pd.DataFrame) -> pd.Series[bool]:
    """Where the inventory can't be the whole: more damaged structures than buildings.

    An inventory that nobody declared complete (no `extent`) and that is contradicted in one neighbourhood is trusted in none.
    """
    short = structures.fillna(0) < counts[[*DAMAGED, "possible", "slight", "not_analysed"]].sum(axis=1)
    undeclared = city.layers["buildings"].extent is None
    return short | (undeclared and bool(short.any()))


def _index(city: City, counts: pd.DataFrame, equal: pd.DataFrame, surveyed: pd.Series[float], note: pd.Series[str]) -> pd.DataFrame:
    """The damage index of the surveyed part; its bounds are of the whole: what was not surveyed may be intact or destroyed."""
    inventory = buildings_by_zone(city)
    empty = pd.DataFrame({"low": np.nan, "best": np.nan, "high": np.nan}, index=equal.index)
    if inventory is None:
        return _bounded("damage_index", empty, surveyed, note.mask(note == "", "no-inventory"))
    structures = inventory["surveyed"]
    incomplete = is_incomplete(city, structures, counts)
    usable = structures.where(~incomplete & (structures > 0))
    analysed = (usable - counts["not_analysed"]).where(lambda rest: rest > 0)
    seen = surveyed.fillna(1.0)
    index = pd.DataFrame(
        {
            "low": equal["low"] / usable * seen,
            "best": equal["best"] / analysed,
            "high": (equal["high"] / usable * seen + (1 - seen)).clip(upper=1.0),
        }
    )
    table = _bounded("damage_index", index, surveyed, _why_no_ratio(note, structures, incomplete))
    table["buildings"] = inventory["buildings"]
    return table


def _why_no_ratio(note: pd.Series[str], structures: pd.Series[float], incomplete: pd.Series[bool]) -> pd.Series[str]:
    empty = structures.isna() | (structures == 0)
    return note.mask((note == "") & incomplete, "inventory-incomplete").mask((note == "") & empty, "no-inventory")


def damaged_share(city: City, scheme: Scheme) -> pd.DataFrame:
    """Share of buildings with moderate damage or worse, `low, best, high`; NaN where there is no usable inventory, and `note` why.

    Low counts graded damage in the surveyed part only; high adds possible and not analysed structures and, of the part that was
    not surveyed, all.
    """
    layer, inventory = city.layers.get("damage"), buildings_by_zone(city)
    columns = ["low", "best", "high"]
    if layer is None or inventory is None:
        return pd.DataFrame(np.nan, index=city.zones.index, columns=columns).assign(
            note="no-layer" if layer is None else "no-inventory"
        )
    surveyed = share_of(layer, city)
    counts = by_state(layer.frame, city.zones.index)
    known = known_counts(counts, surveyed)
    hit = known[list(DAMAGED)].sum(axis=1, skipna=False)
    unsure = known[["possible", "not_analysed"]].sum(axis=1, skipna=False)
    structures = inventory["surveyed"]
    incomplete = is_incomplete(city, structures, counts)
    usable = structures.where(~incomplete & (structures > 0))
    seen = surveyed.fillna(1.0)
    return pd.DataFrame(
        {
            "low": hit / usable * seen,
            "best": hit / usable,
            "high": ((hit + unsure) / usable * seen + (1 - seen)).clip(upper=1.0),
            "note": _why_no_ratio(_why_unknown(surveyed, known["none"]), structures, incomplete),
        }
    )
