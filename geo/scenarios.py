"""Population scenarios: what comes first if people live elsewhere than now: as before the war, or with those who are expected back.

Only people change; damage, roads and networks stay as they are, and so do goalposts and weights, so that a rank moves because of
people alone. Known bias: who returns depends on what is repaired, and a scenario takes the return as given; figures from before the
war are ten years old and more.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from geo import population, registers
from geo.errors import LayerError, SchemaError, StudyError, UnknownNameError, finding
from geo.harmonise import City, Layer, read_layer
from geo.left_out import together
from geo.messages import message
from geo.population import LEVELS, People
from geo.reading import sha256
from geo.study import LayerSpec, Scenario
from geo.units import once_per_unit

NOW = "now"
FILES = ("path", "add")  # entries of a scenario that name files


def under(city: City, name: str) -> City:
    """The city under a scenario of its study; as it is under `now`.

    Raises
    ------
    UnknownNameError
        The study has no scenario of that name; the known ones are listed.
    SchemaError, LayerError
        The population has no such column, or the scenario's file can't be read.
    """
    if name == NOW:
        return replace(city, scenario="")
    known = city.study.scenarios
    if name not in known:
        raise UnknownNameError(
            finding(
                "unknown-name",
                "error",
                "scenarios",
                message("'{name}' is not known.", name=name),
                expected=message("Known: {known}.", known=[NOW, *known]),
                remedy=message("Add [scenarios.{name}] to study.toml, or use one of the known names.", name=name),
            )
        )
    chosen = known[name]
    layers = dict(city.layers)
    if chosen.column is not None:
        layers["population"] = _by_column(layers.get("population"), chosen.column, name)
    elif chosen.path is not None:
        entry = LayerSpec(path=chosen.path, columns=chosen.columns, spread=chosen.spread, raster=chosen.raster)
        layers["population"] = _read(city, entry)
    _known_factors(city, chosen, name)
    return replace(city, layers=layers, scenario=name)


def _read(city: City, entry: LayerSpec) -> Layer:
    """A table of people as any population layer of the study."""
    study = city.study.model_copy(update={"layers": {**city.study.layers, "population": entry}})
    return read_layer(study, "population", area=tuple(city.zones.total_bounds))


def _by_column(layer: Layer | None, column: str, name: str) -> Layer:
    """The population layer with another of its columns as the people; the bounds are of now and are left away."""
    offered = [row["column"] for row in registers.table("schema", "population") if row["unit"] == "people"]
    if layer is None or layer.raster is not None or column not in offered or column not in layer.frame:
        there = [] if layer is None else [one for one in offered if one in layer.frame]
        raise SchemaError(
            finding(
                "missing-column",
                "error",
                f"scenarios.{name}",
                message("The population has no column '{column}'.", column=column),
                expected=message("Columns with people: {columns}.", columns=there or ("-",)),
                remedy=message('Map it in [layers.population]: columns = { people_before = "…" }; or give another file by `path`.'),
            )
        )
    bounds = [one for one in LEVELS[1:] if one in layer.frame and one != column]
    return replace(layer, frame=layer.frame.assign(people=layer.frame[column]).drop(columns=bounds))


def _known_factors(city: City, chosen: Scenario, name: str) -> None:
    known = {*city.zones.index, *city.zones["district"].dropna()}
    stray = sorted(set(chosen.factors) - known)
    if stray:
        raise StudyError(
            finding(
                "unknown-name",
                "error",
                f"scenarios.{name}",
                message("Factors are given for what is neither a neighbourhood nor a district: {names}.", names=stray[:12]),
                expected=message("Codes of neighbourhoods, or names of districts as in the layer of neighbourhoods."),
                remedy=message("Correct the names in study.toml."),
            )
        )


def people(city: City) -> People:
    """People by neighbourhood under the scenario of the city; the same as `geo.population.people` where it has none.

    A neighbourhood that the table of additions does not name gets nobody; one that it names without a number is unknown. A factor
    of a neighbourhood goes before that of its district.
    """
    found = population.people(city)
    if not city.scenario:
        return found
    chosen = city.study.scenarios[city.scenario]
    district = city.zones["district"].map(chosen.factors).astype("float64")
    factor = pd.Series(city.zones.index.map(chosen.factors), index=city.zones.index, dtype="float64").fillna(district).fillna(1.0)
    table, lost = found.table.mul(factor, axis=0), [found.left_out]
    if chosen.add is not None:
        added = _added(city, chosen.add)
        table = table.add(added.table["people"], axis=0)
        lost.append(added.left_out)
    known = found.coverage.where(table["people"].notna(), 0.0)
    return replace(found, table=table, coverage=known, left_out=together(lost, city.study.crs))


def _added(city: City, path: str) -> People:
    """People to be added, by neighbourhood: 0 where the table does not name one."""
    layer = _read(city, LayerSpec(path=path))
    units, notes = once_per_unit(layer)
    by_code = population.by_code(pd.DataFrame(units), layer, city, notes)
    named = pd.Series(False, index=city.zones.index)
    for column, ours in (("id", city.zones.index.to_series()), ("name_ar", city.zones["name_ar"])):
        if column in units:
            named |= ours.isin(units[column].dropna())
    absent = by_code.table["people"].isna() & ~named
    if by_code.table["people"].isna().all():
        raise LayerError(
            finding(
                "no-neighbourhood",
                "error",
                path,
                message("No row of {path} names a neighbourhood.", path=path),
                expected=message("A column id with the codes of the neighbourhoods, and a column people."),
            )
        )
    return replace(by_code, table=by_code.table.mask(absent, 0.0))


def record(city: City) -> dict[str, Any]:
    """What a run says of its scenario: id, names, settings, hashes of its files; the same wherever the files lie."""
    chosen = city.study.scenarios[city.scenario]
    settings = chosen.model_dump(mode="json", exclude={"name"}, exclude_defaults=True)
    hashes = {}
    for entry in FILES:
        if entry in settings:
            hashes[entry] = sha256(city.study.path(settings[entry]))
            settings[entry] = Path(settings[entry]).name
    return {"id": city.scenario, "name": chosen.name.model_dump(), "settings": settings, "sha256": hashes}
