"""The road: from the layers of a city to a ranked list that can be defended.

    read → validate → harmonise → place → measure → score → rank → explain

Each step takes tables and returns new ones. Faults of all layers are collected and reported once; rows that do not count travel
along to the end.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import geopandas as gpd
import pandas as pd

from geo import (
    agreement,
    complaints,
    confidence,
    counterfactual,
    criteria,
    decisions,
    dependencies,
    evidence,
    explain,
    mobility,
    population,
    ranking,
    registers,
    road_works,
    scenarios,
    scoring,
    utilities,
    utility_works,
)
from geo.errors import Finding, LayerError, TarmimError, errors_in
from geo.evidence import LAYER as DAMAGE
from geo.evidence import MAIN, series_of, weigh
from geo.harmonise import City, Layer, by_code, place, read_layer, read_zones
from geo.left_out import noted, together
from geo.messages import Message, message
from geo.run import Run, describe, order
from geo.scheme import Scheme, read_scheme, without_complaints
from geo.study import LAYERS, NETWORKS, Study, read_study

Step = Callable[[Message], None]
Accepted = Callable[[Study], Mapping[str, Layer]]
NONE_ACCEPTED: Mapping[str, Layer] = MappingProxyType({})


def silent(step: Message) -> None:
    """Tells nobody which step the road is at."""


def open_study(folder: Path | str, scheme: str | None = None) -> tuple[Study, Scheme]:
    """A study and its scheme, or the one named."""
    study = read_study(folder)
    return study, read_scheme(scheme or study.scheme, folder=study.folder)


def read_city(study: Study, step: Step = silent, *, accepted: Mapping[str, Layer] = NONE_ACCEPTED) -> City:
    """Read, validate, harmonise and place every layer of a study.

    Parameters
    ----------
    accepted
        Layers that have an accepted dataset (`geo.surveys.accepted`); they go before the files that `study.toml` names. Damage may
        have several, which are weighed against each other (`geo.evidence`).

    Raises
    ------
    TarmimError
        With every fault of every layer.
    """
    faults: list[Finding] = []
    layers: dict[str, Layer] = {}
    area = zones = None
    for name in (layer for layer in LAYERS if layer in study.layers or layer in accepted):
        step(message("Reading {layer}", layer=registers.both(registers.register("layers")[name], "name")))
        try:
            layers[name] = accepted[name] if name in accepted else read_layer(study, name, area=area, zones=zones)
        except TarmimError as error:
            faults += error.findings
            continue
        if name == "neighbourhoods":
            area = tuple(layers[name].frame.total_bounds)
            zones = by_code(layers[name].frame)
    if faults:
        raise LayerError(*faults)
    needs = dependencies.read(study)
    decided = decisions.read(study.folder)
    zones, noticed = read_zones(layers["neighbourhoods"])
    complained = layers.pop("complaints", None)
    placed = {name: place(layer, zones, decided) for name, layer in layers.items()}
    sources = {name: place(layer, zones, decided) for name, layer in accepted.items() if series_of(name) != MAIN}
    if complained is not None:
        placed["complaints"] = place(complaints.at_assets(complained, {**placed, **sources}), zones, decided)
    placed["neighbourhoods"] = _with_findings(placed["neighbourhoods"], (*noticed, *decided.astray(zones.index)))
    weighed = None
    if sources:
        sources |= {name: placed[name] for name in (DAMAGE,) if name in placed}
        placed[DAMAGE], weighed = weigh(sources, placed.get("buildings"), placed.get("complaints"), evidence.rules(study))
    whole = {name: layers[name] for name in NETWORKS if name in layers}
    return City(study, zones, placed, decided, evidence=weighed, roads=layers.get("roads"), networks=whole, dependencies=needs)


def _with_findings(layer: Layer, more: tuple[Finding, ...]) -> Layer:
    return replace(layer, findings=(*layer.findings, *more))


def assess(city: City, scheme: Scheme, step: Step = silent) -> Run:
    """Measure, score, rank and explain: the run of a city under a scheme."""
    step(message("Counting people"))
    people = scenarios.people(city)
    step(message("Measuring damage, roads, networks and facilities"))
    networks = utilities.of(city, scheme, people.table)
    roads = mobility.of(city, scheme, people.table, networks)
    measures = criteria.measure(city, scheme, people, roads, networks)
    step(message("Scoring and ranking"))
    scores = scoring.score(measures, scheme)
    ranks = ranking.rank(scores.table["score"])
    ranks["rank_without_complaints"] = ranking.rank(scoring.score(measures, without_complaints(scheme)).table["score"])["rank"]
    step(message("Drawing how sure the ranks are"))
    sure = confidence.confidence(measures, scheme, ranks)
    reasons = explain.why(measures, scores, ranks, scheme, sure.table)
    beside = agreement.compare(city, scheme, measures)

    left_out = together([*(layer.left_out for layer in city.layers.values()), people.left_out], city.study.crs)
    findings = [*(one for layer in city.layers.values() for one in layer.findings), *people.findings, *noted(left_out)]
    findings += [*scoring.cautions(scheme), *beside.findings, *sure.findings, *(() if networks is None else networks.findings)]
    info = describe(city, scheme, [name for name in registers.register("measures") if name in measures], findings, left_out)
    side_by_side, titles = evidence.tables(city.evidence)
    works = {} if roads is None else {"road_works": road_works.road_works(roads, city)}
    titles |= {name: road_works.titles(table) for name, table in works.items()}
    repairs = {} if networks is None else utility_works.utility_works(networks, city)
    info["tables"] = {**beside.labels, **sure.labels, **titles, **utility_works.titles(repairs)}
    zones = city.zones[["name_ar", "name_en", "district", "geometry"]].rename_axis("id")
    columns = [
        ranks,
        sure.table,
        scores.table,
        scores.contributions.add_prefix("contribution_"),
        scores.parts,
        measures,
        reasons,
        counterfactual.would_be(measures, scheme),
    ]
    table = gpd.GeoDataFrame(pd.concat([zones, *columns], axis=1).copy().rename_axis("id").reset_index(), crs=city.study.crs)
    return Run(info["run"], info, order(table), left_out, {**beside.tables, **sure.tables, **side_by_side, **works, **repairs})


def check(
    folder: Path | str, scheme: str | None = None, step: Step = silent, *, accepted: Accepted = lambda study: {}
) -> tuple[Finding, ...]:
    """Everything that is wrong or odd with a study, its scheme and its layers, in one report; nothing is written."""
    found: list[Finding] = []
    study = chosen = None
    try:
        study = read_study(folder)
        chosen = read_scheme(scheme or study.scheme, folder=study.folder)
        found += scoring.cautions(chosen)
    except TarmimError as error:
        found += error.findings
    if study is None:
        return tuple(found)
    try:
        city = read_city(study, step, accepted=accepted(study))
        people = population.people(city)
        networks = None if chosen is None else utilities.of(city, chosen, people.table)
    except TarmimError as error:
        return (*found, *error.findings)
    found += () if networks is None else networks.findings
    for name in study.scenarios:
        try:
            scenarios.people(scenarios.under(city, name))
        except TarmimError as error:
            found += error.findings
    left_out = together([*(layer.left_out for layer in city.layers.values()), people.left_out], study.crs)
    return (*found, *(one for layer in city.layers.values() for one in layer.findings), *people.findings, *noted(left_out))


def is_sound(findings: tuple[Finding, ...]) -> bool:
    """Whether nothing found would stop a run."""
    return not errors_in(findings)
