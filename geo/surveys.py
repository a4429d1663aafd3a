"""Surveys: from what a partner sent to a dataset that counts, with a receipt first and a report always.

    deliver → check → accept | return → dataset → run

The original is kept before anything is read of it. A check reads it in a child process (`geo.untrusted`), validates and harmonises
it like any layer of the study, and writes down what was found; it changes nothing else and can be repeated with other choices
(profile, columns, CRS). Accepting makes the checked table the current dataset of its layer, with its choices and the rows that
were left out; runs read it in place of the file that `study.toml` names. Known bias: a survey is accepted whole or not at all.
"""

from __future__ import annotations

import datetime
import shutil
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import geopandas as gpd
import pandas as pd

from geo import complaints_intake, registers
from geo.archives import Bundle, gather
from geo.catalogue import FILE as CATALOGUE
from geo.errors import Finding, LayerError, TarmimError, finding, raise_errors
from geo.export import records
from geo.harmonise import Layer, by_code, declared_extent, prepared, read_layer
from geo.left_out import COLUMNS, REASONS, noted, together
from geo.messages import message
from geo.recognition import recognise
from geo.records import Dataset, Receipt, Survey
from geo.store import Store
from geo.study import LayerSpec, Study
from geo.untrusted import Allow, Read, read_untrusted

EPOCH = (1980, 1, 1, 0, 0, 0)  # the same parts give the same zip


@dataclass(frozen=True)
class Checked:
    """A survey after its check: what can be accepted (None where nothing can), and everything that was found."""

    survey: Survey
    layer: Layer | None
    findings: tuple[Finding, ...]


def deliver(store: Store, paths: Sequence[Path], *, layer: str, sender: str, now: datetime.datetime) -> Receipt:
    """Keep what was sent, for ever and untouched; loose parts (of a shapefile) are kept together in one zip.

    Raises
    ------
    LayerError
        A file is not there.
    StoreError, UnknownNameError
        As of `Store.receive`.
    """
    missing = [path.name for path in paths if not path.is_file()]
    if missing:
        fault = message("There is no file {path}.", path=missing)
        raise LayerError(finding("missing-file", "error", layer, fault, remedy=message("Give the path of a file.")))
    parts = _with_siblings(paths)
    if len(parts) == 1:
        return store.receive(parts[0], name=parts[0].name, sender=sender, layer=layer, now=now)
    with tempfile.TemporaryDirectory() as folder:
        packed = Path(folder) / "parts.zip"
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
            for part in parts:
                archive.writestr(zipfile.ZipInfo(part.name, EPOCH), part.read_bytes(), zipfile.ZIP_DEFLATED)
        return store.receive(packed, name=f"{parts[0].stem}.zip", sender=sender, layer=layer, now=now)


def _with_siblings(paths: Sequence[Path]) -> list[Path]:
    """The files, and beside a `.shp` all parts of the same name."""
    found = dict.fromkeys(paths)
    for path in paths:
        if path.suffix.lower() == ".shp":
            found |= dict.fromkeys(sorted(one for one in path.parent.iterdir() if one.stem == path.stem and one.is_file()))
    return list(found)


def check(
    store: Store,
    study: Study,
    survey: str,
    choices: LayerSpec | None = None,
    *,
    now: datetime.datetime,
    allow: Allow = "upload",
) -> Checked:
    """Read, validate and harmonise a survey and write down what was found; nothing of it counts yet.

    Parameters
    ----------
    choices
        Profile, columns, CRS and so on, as in a layer's entry of `study.toml`; without them those of an earlier check, or of the
        study's own entry for the layer.
    """
    known = store.survey(survey)
    chosen = choices or _choices(study, known)
    try:
        layer = examine(study, known, store.original(known), chosen, zones=zones_of(store, study, known.layer), allow=allow)
        found = (*layer.findings, *noted(layer.left_out))
    except TarmimError as error:
        layer, found = None, error.findings
    chosen = chosen if layer is None else layer.spec
    mapping = {"choices": chosen.model_dump(mode="json", exclude_defaults=True)}
    return Checked(store.record_check(survey, found, profile=chosen.profile, mapping=mapping, now=now), layer, found)


def _choices(study: Study, survey: Survey) -> LayerSpec:
    if survey.mapping:
        return LayerSpec(**survey.mapping["choices"])
    own = study.layers.get(survey.layer)  # type: ignore[call-overload]  # the store knows layers by the same names
    return LayerSpec(path=survey.name) if own is None else own.model_copy(update={"path": survey.name, "sublayer": None})


def zones_of(store: Store, study: Study, layer: str) -> Layer | None:
    """The neighbourhoods, against which a place is judged; none where the survey itself brings them."""
    if layer == "neighbourhoods":
        return None
    return from_store(store, study).get("neighbourhoods") or read_layer(study, "neighbourhoods")


def examine(
    study: Study, survey: Survey, original: Path, choices: LayerSpec, *, zones: Layer | None, allow: Allow = "upload"
) -> Layer:
    """The layer that a survey holds.

    Raises
    ------
    LayerError, SchemaError, CrsError
        What was found, expected, and what to do.
    """
    with tempfile.TemporaryDirectory(prefix="tarmim-survey-") as private:
        copy = Path(private) / f"delivered{Path(survey.name).suffix.lower()}"
        shutil.copyfile(original, copy)
        unpacked = gather([copy], Path(private) / "parts", names=[survey.name])
        read = _read(_bundle(unpacked.files, choices, survey.layer), survey, choices, allow)
    known, told = _recognised(study, choices, read.table, survey.layer)
    try:
        area, shapes = (None, None) if zones is None else (tuple(zones.frame.total_bounds), by_code(zones))
        layer = prepared(study, survey.layer, known, read.table, area=area, zones=shapes)
    except TarmimError as error:
        raise LayerError(*error.findings, *told) from error
    aside = complaints_intake.redacted(together([layer.left_out, _aside(read, survey.layer)], study.crs))
    return replace(
        layer,
        left_out=aside,
        findings=(*unpacked.findings, *(one for one in read.findings if one.code not in REASONS), *told, *layer.findings),
        rows_read=read.counts.rows,
        rows_chosen=layer.rows_chosen + read.counts.aside,
        sha256=survey.sha256,
    )


def _recognised(study: Study, choices: LayerSpec, table: pd.DataFrame, layer: str) -> tuple[LayerSpec, tuple[Finding, ...]]:
    """The choices, completed where the sender made none and the form is certainly a known one; else what may be meant."""
    if choices.profile is not None:
        return choices, ()
    found = recognise(table, folder=study.folder, layer=layer, where=layer)
    columns = {row["column"] for row in registers.table("schema", layer)}
    known = {ours: theirs for ours, theirs in found.columns.items() if ours in columns}
    if found.certainty != "certain" or found.grades:
        return choices, found.findings
    profile = found.profile or found.grades_from
    said = finding("recognised", "info", layer, message("Recognised as {profile}.", profile=profile or "-"))
    return choices.model_copy(update={"profile": profile, "columns": {**known, **choices.columns}}), (said, *found.findings)


def _bundle(files: Sequence[Bundle], choices: LayerSpec, where: str) -> Bundle:
    """The one layer of a delivery, or the one that was chosen by its name."""
    wanted = [one for one in files if choices.sublayer in (one.name, Path(one.name).stem)] or list(files)
    if len(wanted) > 1:
        raise LayerError(
            finding(
                "several-files",
                "error",
                where,
                message("Several layers were delivered: {layers}.", layers=[Path(one.name).stem for one in wanted][:40]),
                expected=message("One of them."),
                remedy=message("Send one at a time, or say which."),
            )
        )
    return wanted[0]


def _read(bundle: Bundle, survey: Survey, choices: LayerSpec, allow: Allow) -> Read:
    inside = None if choices.sublayer in (bundle.name, Path(bundle.name).stem) else choices.sublayer
    places = {ours: theirs for ours, theirs in choices.columns.items() if ours in ("lon", "lat", "x", "y", "wkt")}
    return read_untrusted(
        bundle,
        name=survey.layer,
        sublayer=inside,
        columns=places,
        crs=choices.crs,
        header=choices.header,
        encoding=choices.encoding,
        allow=allow,
    )


def _aside(read: Read, layer: str) -> gpd.GeoDataFrame:
    """Rows that the reader set aside, as rows left out."""
    reasons = read.aside["reason"].astype("string")
    table = pd.DataFrame(
        {
            "layer": layer,
            "row": read.aside["row"].astype("int64"),
            "id": pd.Series(pd.NA, index=read.aside.index, dtype="string"),
            "reason": reasons,
            **{f"reason_{lang}": reasons.map(lambda code, lang=lang: REASONS[code].render(lang)) for lang in ("ar", "en")},
            "value": read.aside["value"].astype("string").str.slice(0, 300),
        }
    )
    return gpd.GeoDataFrame(table, geometry=gpd.GeoSeries([None] * len(table), index=table.index))


def accept(
    store: Store, study: Study, survey: str, *, by: str, now: datetime.datetime, origin: str = "", allow: Allow = "upload"
) -> Dataset:
    """Make a checked survey the current dataset of its layer; the table is read again from the original with the same choices.

    Raises
    ------
    LayerError
        Nothing of it can be accepted, with the reasons of the check.
    StoreError
        It was not checked or was returned, or the disk refuses.
    """
    checked = check(store, study, survey, now=now, allow=allow)
    raise_errors(checked.findings, LayerError)
    layer = checked.layer
    if layer is None:
        raise LayerError(*checked.findings)
    provenance = {
        "choices": layer.spec.model_dump(mode="json", exclude_defaults=True),
        "original_sha256": checked.survey.sha256,
        "sender": checked.survey.sender,
        "rows_read": layer.rows_read,
        "rows_chosen": layer.rows_chosen,
        "left_out": _listed(layer.left_out),
    }
    return store.accept(survey, layer.frame, by=by, now=now, provenance=provenance, date=layer.spec.date, origin=origin)


def _listed(table: gpd.GeoDataFrame) -> list[dict[str, Any]]:
    """Every left-out row as plain values for JSON, its place as WKT in the study's CRS: a run must be able to count them all."""
    places = [None if shape is None else shape.wkt for shape in table.geometry]
    return [{**row, "wkt": place} for row, place in zip(records(table), places, strict=True)]


def accepted(study: Study, url: str | None = None) -> dict[str, Layer]:
    """The accepted layers of a study; none, and nothing is made, where nobody has delivered anything to it.

    `url` is that of a PostgreSQL catalogue; without it the catalogue is a file of the study's folder.
    """
    if url is None and not (study.folder / CATALOGUE).is_file():
        return {}
    with Store.open(study.folder, url) as store:
        return from_store(store, study)


def from_store(store: Store, study: Study) -> dict[str, Layer]:
    """The layers that have a current dataset, ready for a run."""
    return {dataset.layer: as_layer(store, study, dataset) for dataset in store.datasets()}


def as_layer(store: Store, study: Study, dataset: Dataset) -> Layer:
    """A dataset as a layer of the study, with the choices it was accepted with and the rows left out then."""
    told: Mapping[str, Any] = dataset.provenance
    spec = LayerSpec(**told["choices"])
    extent, hash_of_extent = declared_extent(study, spec, dataset.layer)
    lost = pd.DataFrame(told["left_out"], columns=[*COLUMNS, "wkt"])
    shapes = gpd.GeoSeries.from_wkt(lost.pop("wkt"), crs=study.crs) if len(lost) else gpd.GeoSeries([], crs=study.crs)
    table = together([gpd.GeoDataFrame(lost, geometry=shapes)], study.crs)
    return Layer(
        dataset.layer,
        store.read(dataset),
        spec,
        table,
        (),
        told["rows_read"],
        dataset.sha256,
        extent,
        None,
        hash_of_extent,
        told["rows_chosen"],
    )
