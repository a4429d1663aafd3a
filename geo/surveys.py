"""Surveys: from what a partner sent to a dataset that counts, with a receipt first and a report always.

    deliver → check → accept | return → dataset → run

The original is kept before anything is read of it. A check reads it in a child process (`geo.untrusted`), validates and harmonises
it like any layer of the study, and writes down what was found; it changes nothing else and can be repeated with other choices
(profile, columns, CRS). Accepting makes the checked table the current dataset of its layer, with its choices and the rows that
were left out; runs read it in place of the file that `study.toml` names. Known bias: a survey is accepted whole or not at all.
"""

from __future__ import annotations

import datetime
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import geopandas as gpd
import pandas as pd

from geo import deliveries, uploads
from geo.archives import KINDS, limits
from geo.catalogue import FILE as CATALOGUE
from geo.column_names import columns_of
from geo.errors import Finding, LayerError, TarmimError, finding, raise_errors
from geo.evidence import MAIN, check_series
from geo.export import records
from geo.harmonise import Layer, declared_extent, read_layer
from geo.intake import Examined, examine
from geo.left_out import COLUMNS, noted, together
from geo.mappings import confirmed, save_mapping
from geo.messages import message
from geo.pipeline import Step, silent
from geo.placement import limit
from geo.records import Dataset, Receipt, Survey
from geo.store import Store, StoreError
from geo.study import LayerSpec, Study, unknown_states
from geo.untrusted import Allow
from geo.uploads import Kept

EPOCH = (1980, 1, 1, 0, 0, 0)  # the same parts give the same zip


@dataclass(frozen=True)
class Checked:
    """A survey after its check: everything that was found, and what it holds (None where the file can't be read at all)."""

    survey: Survey
    findings: tuple[Finding, ...]
    examined: Examined | None = None

    @property
    def layer(self) -> Layer | None:
        """What can be accepted; None where nothing can."""
        return None if self.examined is None else self.examined.layer


def deliver(
    store: Store, paths: Sequence[Path], *, layer: str, sender: str, now: datetime.datetime, kept: Kept = uploads.silent
) -> Receipt:
    """Keep what was sent, for ever and untouched; loose parts (of a shapefile) are kept together in one zip.

    A large file goes on where an interrupted call stopped (`geo.deliveries`); `kept` is told the bytes that are kept for certain.

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
        return _kept(store, parts[0], parts, name=parts[0].name, sender=sender, layer=layer, now=now, kept=kept)
    with store.private() as folder:
        packed = folder / "parts.zip"
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
            for part in parts:
                archive.writestr(zipfile.ZipInfo(part.name, EPOCH), part.read_bytes(), zipfile.ZIP_DEFLATED)
        return _kept(store, packed, parts, name=f"{parts[0].stem}.zip", sender=sender, layer=layer, now=now, kept=kept)


def _kept(
    store: Store, path: Path, parts: Sequence[Path], *, name: str, sender: str, layer: str, now: datetime.datetime, kept: Kept
) -> Receipt:
    if path.stat().st_size < limits()["uploads"]["resumable_bytes"]:
        return store.receive(path, name=name, sender=sender, layer=layer, now=now)
    modified = max(part.stat().st_mtime_ns for part in parts)
    said = {"name": name, "sender": sender, "layer": layer}
    return deliveries.deliver(store, path, origin=parts[0], modified_ns=modified, **said, now=now, kept=kept)


def _with_siblings(paths: Sequence[Path]) -> list[Path]:
    """The files, and beside a `.shp` all parts of the same name; a table or a drawing of that name is a layer of its own."""
    found = dict.fromkeys(paths)
    for path in paths:
        if path.suffix.lower() == ".shp":
            found |= dict.fromkeys(sorted(one for one in path.parent.iterdir() if one.stem == path.stem and _is_part(one)))
    return list(found)


def _is_part(path: Path) -> bool:
    return path.is_file() and KINDS.get(path.suffix.lower(), "shapefile") == "shapefile"


def check(
    store: Store,
    study: Study,
    survey: str,
    choices: LayerSpec | None = None,
    *,
    now: datetime.datetime,
    allow: Allow = "upload",
    step: Step = silent,
) -> Checked:
    """Read, place, validate and harmonise a survey and write down what was found; nothing of it counts yet.

    Parameters
    ----------
    choices
        Profile, columns, grades, CRS and so on, as in a layer's entry of `study.toml`; without them those of an earlier check.
    """
    known = store.survey(survey)
    chosen = choices or choices_of(study, known)
    try:
        raise_errors(unknown_states(chosen.grades, known.layer), LayerError)
        examined = look(store, study, known, chosen, allow=allow, step=step)
    except StoreError:  # the disk or the database, not the survey
        raise
    except TarmimError as error:
        return Checked(_recorded(store, known, chosen, error.findings, now), error.findings)
    lost = noted(examined.layer.left_out) if examined.layer is not None else ()
    found = (*examined.findings, *lost)
    return Checked(_recorded(store, known, examined.choices, found, now, examined), found, examined)


def look(
    store: Store, study: Study, survey: Survey, choices: LayerSpec, *, allow: Allow = "upload", step: Step = silent
) -> Examined:
    """What a survey holds under some choices; nothing is written down. See `geo.intake.examine`.

    Raises
    ------
    LayerError
        The file can't be read at all.
    StoreError
        There is no room on the disk to unpack and read it.
    """
    step(message("Reading the neighbourhoods"))
    zones = None if survey.layer == "neighbourhoods" else neighbourhoods(store, study)
    with store.private() as folder:
        return examine(study, survey, store.original(survey), choices, zones=zones, allow=allow, step=step, within=folder)


def _recorded(
    store: Store,
    survey: Survey,
    choices: LayerSpec,
    found: tuple[Finding, ...],
    now: datetime.datetime,
    examined: Examined | None = None,
) -> Survey:
    """The check as the catalogue keeps it: what was chosen, what is proposed, which coordinate systems fit."""
    mapping: dict[str, Any] = {"choices": choices.model_dump(mode="json", exclude_defaults=True)}
    if examined is not None:
        mapping["proposal"] = [
            {"ours": one.ours, "theirs": one.theirs, "score": one.score, "why": one.why.both()}
            for one in examined.recognition.proposal
        ]
        if examined.systems is not None:
            fitting = examined.systems[examined.systems["share"] > limit("other_share")]
            mapping["systems"] = fitting[["crs", "axes", "share", "inside", "features", "certain"]].to_dict("records")
    return store.record_check(survey.id, found, profile=choices.profile, mapping=mapping, now=now)


def confirm(
    store: Store,
    study: Study,
    survey: str,
    *,
    name: str,
    now: datetime.datetime,
    choices: LayerSpec | None = None,
    columns: Mapping[str, str] | None = None,
    grades: Mapping[str, str] | None = None,
    allow: Allow = "upload",
    step: Step = silent,
) -> Checked:
    """Agree to what is proposed for a survey's columns, keep it as a mapping of the study, and check the survey by it.

    Parameters
    ----------
    name
        Name of the mapping: lower-case Latin letters, digits and hyphens. It applies by itself when the same columns come again.
    columns, grades
        Corrections: ours to theirs ("" for none), and what their grades mean, theirs to our damage states.
    choices
        Profile, CRS and the rest, as of `check`; without them those of the last check.

    Raises
    ------
    LayerError
        The file can't be read.
    StudyError
        The mapping can't be kept: a column is not in the file, a state or a column of ours is not known.
    """
    known = store.survey(survey)
    chosen = choices or choices_of(study, known)
    examined = look(store, study, known, chosen, allow=allow, step=step)
    found = confirmed(examined.recognition, {**chosen.columns, **(columns or {})}, layer=known.layer)
    agreed = replace(found, grades_from=chosen.profile or found.grades_from)
    meanings = {**found.grades, **chosen.grades, **(grades or {})}
    save_mapping(study.folder, name, agreed, columns_of(examined.table), grades=meanings)
    fixed = chosen.model_copy(update={"columns": {}, "grades": {}})  # the mapping says them now
    return check(store, study, survey, fixed, now=now, allow=allow, step=step)


def choices_of(study: Study, survey: Survey) -> LayerSpec:
    """The choices of a survey's last check; at first none, but for how the study spreads people.

    What the study's own file says of its date, its licence and **where it looked** is not true of another file.
    """
    if survey.mapping:
        return LayerSpec(**survey.mapping["choices"])
    own = study.layers.get(survey.layer)  # type: ignore[call-overload]  # the store knows layers by the same names
    return LayerSpec(path=survey.name, spread="area" if own is None else own.spread)


def neighbourhoods(store: Store, study: Study) -> gpd.GeoDataFrame:
    """The neighbourhoods that count: the accepted ones, else those of the study's file; in the study's CRS."""
    accepted_ones = store.datasets("neighbourhoods")
    layer = (
        as_layer(study, accepted_ones[0], store.read(accepted_ones[0])) if accepted_ones else read_layer(study, "neighbourhoods")
    )
    return gpd.GeoDataFrame(layer.frame)


def accept(
    store: Store,
    study: Study,
    survey: str,
    *,
    by: str,
    now: datetime.datetime,
    series: str = MAIN,
    origin: str = "",
    allow: Allow = "upload",
    step: Step = silent,
) -> Dataset:
    """Make a checked survey the current dataset of its layer; the table is read again from the original with the same choices.

    In a `series` of its own it stands beside the others as evidence (`geo.evidence`).

    Raises
    ------
    LayerError
        Nothing of it can be accepted, with the reasons of the check.
    StoreError
        It was not checked or was returned, or the disk refuses.
    """
    check_series(store.survey(survey).layer, series)
    checked = check(store, study, survey, now=now, allow=allow, step=step)
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
        "rows_lost": layer.rows_lost,
        "left_out": _listed(layer.left_out),
    }
    step(message("Writing the dataset"))
    date = layer.spec.date
    return store.accept(survey, layer.frame, by=by, now=now, provenance=provenance, date=date, series=series, origin=origin)


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
    return layers_of(study, [(dataset, store.read(dataset)) for dataset in store.datasets()])


def layers_of(study: Study, datasets: Sequence[tuple[Dataset, pd.DataFrame]]) -> dict[str, Layer]:
    """Datasets with their tables as the layers of a run, by their names with series (`geo.evidence`)."""
    layers = [as_layer(study, dataset, table) for dataset, table in datasets]
    return {layer.name: layer for layer in layers}


def name_of(dataset: Dataset) -> str:
    """The name of a dataset's layer in a run: `damage`, or with its series `damage/field`."""
    return dataset.layer if dataset.series == MAIN else f"{dataset.layer}/{dataset.series}"


def as_layer(study: Study, dataset: Dataset, table: pd.DataFrame) -> Layer:
    """A dataset as a layer of the study, with the choices it was accepted with and the rows left out then."""
    told: Mapping[str, Any] = dataset.provenance
    spec = LayerSpec(**told["choices"])
    extent, hash_of_extent = declared_extent(study, spec, dataset.layer)
    lost = pd.DataFrame(told["left_out"], columns=[*COLUMNS, "wkt"])
    shapes = gpd.GeoSeries.from_wkt(lost.pop("wkt"), crs=study.crs) if len(lost) else gpd.GeoSeries([], crs=study.crs)
    name = name_of(dataset)
    lost["layer"] = name
    return Layer(
        name,
        table,
        spec,
        together([gpd.GeoDataFrame(lost, geometry=shapes)], study.crs),
        (),
        told["rows_read"],
        dataset.sha256,
        extent,
        None,
        hash_of_extent,
        told["rows_chosen"],
        rows_lost=told.get("rows_lost", 0),
    )
