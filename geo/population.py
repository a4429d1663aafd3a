"""Population: how many people live in each neighbourhood, and how many of them in damaged homes.

Three sources, by what the layer is: a table by code, place or name (`geo.units`); a raster (exactextract: cells cut by a boundary
count by the part inside; the rule of cell centres is off by up to a third in a small neighbourhood); larger units spread over the
neighbourhoods they hold, by buildings or by area. Spreading keeps each unit's total: people are shared out among the
neighbourhoods, none are lost in fields. Known bias: spread by area, dense quarters get too few people; the two ways bound each
other where both can be had.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import numpy.typing as npt
import pandas as pd
import shapely

from geo.attachment import attached, without_place
from geo.damage import damaged_share, share_of
from geo.decisions import noted
from geo.errors import Finding, SchemaError, finding, raise_errors
from geo.harmonise import City, Layer
from geo.left_out import left_out, together
from geo.messages import message
from geo.overlay import Floats, Ints, Shapes, locate, middle, shared_area
from geo.reading import unreadable
from geo.repeated_units import unit_findings
from geo.scheme import Scheme
from geo.units import NAMES, attached_units, counted_once, once_per_unit, polygons, same_zones

LEVELS = ("people", "people_low", "people_high")


@dataclass(frozen=True)
class People:
    """People by neighbourhood (`people, people_low, people_high`, NaN unknown), coverage, rows left out, what was noticed.

    `names` says what became of the names that were needed to place units (`geo.places.match`), where there were any.
    """

    table: pd.DataFrame
    coverage: pd.Series[float]
    left_out: gpd.GeoDataFrame
    findings: tuple[Finding, ...] = ()
    names: pd.DataFrame | None = None


def people(city: City) -> People:
    """People by neighbourhood, whatever the layer is.

    Polygons that are the neighbourhoods, by code or by a name that the map confirms, count for them; other polygons are spread.
    Units without a shape and points are placed by code, place or name; among polygons that are spread, a name alone places nothing,
    since it is the name of a larger unit.

    Raises
    ------
    SchemaError
        Parts of one unit that contradict each other, or a raster that lies elsewhere.
    """
    layer = city.layers.get("population")
    if layer is None:
        nothing = pd.DataFrame(np.nan, index=city.zones.index, columns=list(LEVELS))
        return People(nothing, pd.Series(0.0, index=city.zones.index), together([], city.study.crs))
    if layer.raster is not None:
        return from_raster(layer, city)
    units, notes = once_per_unit(layer)
    notes = (*notes, *unit_findings(units, {name: name for name in ("id", *NAMES, "people") if name in units}, layer.name))
    drawn = polygons(units)
    own = same_zones(gpd.GeoDataFrame(units[drawn]), city.zones) if drawn.any() else None
    if not drawn.any() or own is not None:
        return by_code(units, layer, city, notes, own=own)
    spread_out = spread(gpd.GeoDataFrame(units[drawn]), layer, city, notes)
    return spread_out if drawn.all() else _added(spread_out, by_code(units[~drawn], layer, city, (), named=False))


def _whole(values: pd.Series[float]) -> int:
    return round(float(values.sum()))


def by_code(
    units: pd.DataFrame,
    layer: Layer,
    city: City,
    notes: tuple[Finding, ...],
    *,
    own: pd.Series[Any] | None = None,
    named: bool = True,
) -> People:
    """Units that are a neighbourhood or lie in one, by code, place or name; the others are left out with their people.

    A unit of the neighbourhood's code or name stands for all of it; units that lie in it (by `neighbourhood`, by their point, by
    decision) add up. Where one stands for all of it, what would be added by less than a decision is left out: it would count
    people twice. People of a neighbourhood are unknown where those of any of its units are.

    Parameters
    ----------
    own
        The neighbourhood of polygons that are one, where that is known (`same_zones`); missing for the others.
    named
        Whether a name may place a unit.
    """
    zones = city.zones
    known = city.decided.of(layer.name, zones.index)
    whole = own if own is not None else pd.Series(dtype="string")
    rest = units.drop(index=whole.index)
    found = attached_units(rest, zones, known, named=named)
    frame = units.assign(zone=found.frame["zone"].reindex(units.index), zone_by=found.frame["zone_by"].reindex(units.index))
    frame.loc[whole.index, "zone"], frame.loc[whole.index, "zone_by"] = whole, "code"
    frame, names, counted = counted_once(frame, found.names)
    told = attached(frame, names, amount="people", where=layer.name)
    asked = noted(names[~names["name"].isin(list(known))], layer.name)
    unplaced = told.unplaced
    twice, bare = pd.Series(unplaced.index.isin(counted), index=unplaced.index), without_place(unplaced)
    reasons = {"outside": ~bare & ~twice, "neighbourhood-counted": twice, "no-neighbourhood": bare & ~twice}
    lost = [left_out(unplaced.loc[rows], layer.name, why, value="people") for why, rows in reasons.items() if rows.any()]
    table = _summed(frame[frame["zone"].notna()]).reindex(zones.index)
    coverage = table["people"].notna().astype("float64")
    return People(table, coverage, together(lost, city.study.crs), (*notes, *told.findings, *asked), names)


def _summed(placed: pd.DataFrame) -> pd.DataFrame:
    """`people, people_low, people_high` by neighbourhood; NaN where those of any unit are unknown."""
    given = _levels(placed)
    bounded = given[list(LEVELS[1:])].notna().groupby(placed["zone"]).any()
    whole = given.assign(**{name: given[name].fillna(given["people"]) for name in LEVELS[1:]})
    sums = whole.groupby(placed["zone"]).agg("sum", skipna=False)
    return sums.assign(**{name: sums[name].where(bounded[name]) for name in LEVELS[1:]})[list(LEVELS)]


def _added(spread_out: People, placed: People) -> People:
    """People of units that were spread and of units that were placed; a neighbourhood that no shape reached has the latter."""
    reached, more = spread_out.coverage > 0, placed.coverage > 0
    before, after = spread_out.table, placed.table
    bounds = {name: (before[name].fillna(before["people"]), after[name].fillna(after["people"])) for name in LEVELS}
    best = {name: (one + other).where(reached & more, one.where(reached, other)) for name, (one, other) in bounds.items()}
    table = pd.DataFrame(best)
    unbounded = (
        before["people_low"].isna() & after["people_low"].isna() & before["people_high"].isna() & after["people_high"].isna()
    )
    table[list(LEVELS[1:])] = table[list(LEVELS[1:])].mask(unbounded)
    return People(
        table,
        spread_out.coverage.mask(more, 1.0),
        together([spread_out.left_out, placed.left_out], placed.left_out.crs),
        (*spread_out.findings, *placed.findings),
        placed.names,
    )


def _levels(table: pd.DataFrame) -> pd.DataFrame:
    """`people, people_low, people_high`; bounds that are not given are unknown, and never cross the best value."""
    best = table["people"]
    low = table["people_low"].combine(best, np.fmin) if "people_low" in table else best * np.nan
    high = table["people_high"].combine(best, np.fmax) if "people_high" in table else best * np.nan
    return pd.DataFrame({"people": best, "people_low": low, "people_high": high})


def spread(units: gpd.GeoDataFrame, layer: Layer, city: City, notes: tuple[Finding, ...]) -> People:
    """People of larger units shared out among the neighbourhoods they hold, in proportion to buildings or to area.

    Each unit's total is kept to the last person. A unit without buildings in any neighbourhood is spread by area, and said so;
    a unit that holds no neighbourhood is left out with its people. Where both ways can be had, the other one bounds the best.
    """
    zones = city.zones
    shapes, areas = units.geometry.to_numpy(), zones.geometry.to_numpy()
    unit, zone, area = shared_area(shapes, areas)
    by_area = _shares(unit, zone, area, len(units), len(zones))
    by_buildings, empty = _building_shares(shapes, areas, city, by_area)
    by_count = layer.spec.spread == "buildings" and by_buildings is not None
    first, second = (by_buildings, by_area) if by_buildings is not None and by_count else (by_area, by_buildings)
    counted = units["people"].to_numpy(float)
    reached, held = by_area.sum(axis=0) > 0, by_area.sum(axis=1) > 0
    best = _shared_out(first, counted, held)
    table = pd.DataFrame({"people": best, "people_low": np.nan, "people_high": np.nan}, index=zones.index)
    given = _levels(units)
    alternatives = [
        best,
        *(_shared_out(first, given[name].fillna(given["people"]).to_numpy(float), held) for name in LEVELS[1:] if name in units),
    ]
    if second is not None:
        alternatives.append(_shared_out(second, counted, held))
    if len(alternatives) > 1:
        table["people_low"], table["people_high"] = np.min(alternatives, axis=0), np.max(alternatives, axis=0)
    covered = np.bincount(zone, area, minlength=len(zones)) / shapely.area(areas)
    lost = units[~reached]
    return People(
        table,
        pd.Series(np.minimum(covered, 1.0).round(6), index=zones.index),
        together([left_out(lost, layer.name, "outside", value="people")] if len(lost) else [], city.study.crs),
        (*notes, _spread_note(layer, units[reached], table["people"], by_count), *_spread_by_area(layer, units[reached & empty])),
    )


def _spread_by_area(layer: Layer, units: pd.DataFrame) -> tuple[Finding, ...]:
    """Units that were to be spread by buildings and have none in any neighbourhood."""
    if layer.spec.spread != "buildings" or units.empty:
        return ()
    found = message("{n} units without buildings in any neighbourhood were spread by area.", n=len(units))
    return (finding("spread-by-area", "warning", layer.name, found, rows=units["row"]),)


def _spread_note(layer: Layer, units: pd.DataFrame, spread_people: pd.Series[float], by_count: bool) -> Finding:
    way = message("by buildings") if by_count else message("by area")
    return finding(
        "spread",
        "info",
        layer.name,
        message(
            "{people} people of {n} units were spread over the neighbourhoods {way}; {spread} arrived.",
            people=_whole(units["people"]),
            n=len(units),
            way=way,
            spread=_whole(spread_people),
        ),
    )


def _shares(unit: Ints, zone: Ints, weight: Floats, units: int, zones: int) -> Floats:
    """Share of each unit (column) that each zone (row) gets; columns sum to 1, or to 0 where a unit reaches no zone."""
    table = np.zeros((zones, units))
    np.add.at(table, (zone, unit), weight)
    total = table.sum(axis=0)
    return np.asarray(np.divide(table, total, out=np.zeros_like(table), where=total > 0), dtype=np.float64)


def _shared_out(shares: Floats, people_of_units: Floats, held: npt.NDArray[np.bool_]) -> Floats:
    """People by zone; NaN only where a unit of unknown size holds part of the zone, or no unit holds any of it (`held`)."""
    known = np.nan_to_num(people_of_units)
    spoiled = (shares[:, np.isnan(people_of_units)] > 0).any(axis=1) | ~held
    return np.where(spoiled, np.nan, shares @ known)


def _building_shares(shapes: Shapes, areas: Shapes, city: City, by_area: Floats) -> tuple[Floats | None, npt.NDArray[np.bool_]]:
    """Shares by number of buildings, and the units that have none in any zone: those keep their shares by area."""
    buildings = city.frame("buildings")
    if buildings is None:
        return None, np.ones(len(shapes), dtype=bool)
    x, y = middle(buildings.geometry.to_numpy())
    zone, unit = locate(x, y, areas), locate(x, y, shapes)
    both = (zone >= 0) & (unit >= 0)
    shares = _shares(unit[both], zone[both], np.ones(int(both.sum())), len(shapes), len(areas))
    empty = shares.sum(axis=0) == 0
    shares[:, empty] = by_area[:, empty]
    return shares, np.asarray(empty)


def from_raster(layer: Layer, city: City) -> People:
    """People by neighbourhood from a raster of counts or densities; a cell at the boundary counts by the part inside."""
    import rasterio
    from exactextract import exact_extract

    path = Path(str(layer.raster))
    try:
        with rasterio.open(path, driver="GTiff") as source:  # by name, lest GDAL follow a file that points to others
            crs, bounds, cell = source.crs, source.bounds, abs(source.transform.a * source.transform.e)
    except rasterio.errors.RasterioIOError as error:
        raise unreadable(layer.name, path, error) from error
    if crs is None:
        fault = finding(
            "crs-unknown",
            "error",
            layer.name,
            message("The raster does not say its coordinate system."),
            remedy=message("Ask who made the file for its coordinate system."),
        )
        raise SchemaError(fault)
    zones = city.zones.to_crs(crs.to_wkt())
    shapes = zones.geometry.to_numpy()
    raise_errors(_elsewhere(layer, bool(shapely.intersects(shapes, shapely.box(*bounds)).any())), SchemaError)
    density = layer.spec.raster == "density_per_km2"
    weight = "area_spherical_km2" if crs.is_geographic else "area_cartesian"
    total = f"people=sum(coverage_weight={weight})" if density else "people=sum"
    frame = gpd.GeoDataFrame(geometry=shapes, crs=zones.crs)
    found = exact_extract(str(path), frame, [total, "cells=count", "least=min"], output="pandas")
    raise_errors(_negative(layer, float(found["least"].min())), SchemaError)
    square_metres = density and not crs.is_geographic
    counted = pd.Series(found["people"].to_numpy(float) * (1e-6 if square_metres else 1.0), index=zones.index)
    known = pd.Series(found["cells"].to_numpy(float) * cell / shapely.area(shapes), index=zones.index).clip(upper=1.0).round(6)
    return People(
        pd.DataFrame({"people": counted.mask(known == 0), "people_low": np.nan, "people_high": np.nan}),
        known,
        together([], city.study.crs),
    )


def _negative(layer: Layer, least: float) -> tuple[Finding, ...]:
    if not least < 0:
        return ()
    return (
        finding(
            "raster-negative",
            "error",
            layer.name,
            message("The raster holds {least} people in a cell.", least=f"{least:g}"),
            expected=message("Numbers from 0 up; cells without a value marked as such (nodata)."),
            remedy=message("Write the raster again with that number declared as nodata."),
        ),
    )


def _elsewhere(layer: Layer, inside: bool) -> tuple[Finding, ...]:
    if inside:
        return ()
    return (
        finding(
            "raster-far",
            "error",
            layer.name,
            message("No neighbourhood lies on the raster."),
            expected=message("Coordinates that fall on the study area."),
            remedy=message("Check that this is the raster of this country and that its coordinate system is right."),
        ),
    )


def inhabited(people: pd.DataFrame) -> tuple[pd.Series[float], pd.Series[float], pd.Series[float]]:
    """People to divide by: best, low and high, where somebody lives; without bounds of their own low and high are the best.

    Where nobody lives a ratio to people means nothing, so 0 is NaN here.
    """
    best = people["people"]
    low, high = (people[name].fillna(best) for name in LEVELS[1:])
    return best.where(best > 0), low.where(low > 0), high.where(high > 0)


def measure(city: City, scheme: Scheme, found: People) -> pd.DataFrame:
    """People, people per km², people in damaged homes (people × share of buildings with moderate damage or worse).

    NaN where people or the share is unknown; bounds combine those of both.
    """
    table = found.table
    low, high = table["people_low"].fillna(table["people"]), table["people_high"].fillna(table["people"])
    area_km2 = city.zones.area / 1e6
    share = damaged_share(city, scheme)
    out = table.copy()
    out["people_coverage"] = found.coverage
    out["people_note"] = np.where(table["people"].isna(), "people-unknown", "")
    for name in LEVELS:
        out[name.replace("people", "people_per_km2", 1)] = table[name] / area_km2
    out["people_per_km2_coverage"] = found.coverage
    out["people_in_damaged_homes"] = table["people"] * share["best"]
    out["people_in_damaged_homes_low"] = low * share["low"]
    out["people_in_damaged_homes_high"] = high * share["high"]
    survey = city.layers.get("damage")
    out["people_in_damaged_homes_coverage"] = found.coverage * (share_of(survey, city) if survey else 0.0)
    out["people_in_damaged_homes_note"] = share["note"].mask(table["people"].isna(), "people-unknown")
    out["area_km2"] = area_km2
    return out
