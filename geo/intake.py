"""Intake: what a delivered file holds, as a layer of the study, with everything that was noticed on the way.

    read (child process) → recognise → read again where the places stand in columns only now known → place → validate → harmonise

Nothing is guessed: a form that is certainly known or a mapping that a person confirmed applies by itself, anything else is a
proposal; a coordinate system that does not put the features on the study area is refused with those that would, best first, and
the sender chooses on a preview. Known bias: a file that was made for a larger region is judged by its part in the study alone.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import geopandas as gpd
import pandas as pd
import shapely

from geo import complaints_intake, placement, registers
from geo.archives import Bundle, gather
from geo.column_names import COORDINATES
from geo.crs import turned
from geo.errors import CrsError, Finding, LayerError, TarmimError, errors_in, finding
from geo.harmonise import BY_NAME, Layer, by_code, prepared
from geo.left_out import REASONS, together
from geo.mappings import Recognition
from geo.messages import message
from geo.pipeline import Step, silent
from geo.recognition import recognise
from geo.records import Survey
from geo.study import LayerSpec, Study
from geo.untrusted import Allow, Read, read_untrusted

PLACES = ("lon", "lat", "x", "y", "wkt")
CLOCKWISE = {".shp": True, ".geojson": False}  # outer rings, by formats that lay it down


@dataclass(frozen=True)
class Examined:
    """What a delivered file holds.

    Attributes
    ----------
    layer
        None where nothing of it can be accepted; `findings` then hold at least one error.
    table
        The rows as read, in their own columns and CRS, with `row`.
    choices
        The sender's choices, completed by what was recognised for certain.
    recognition
        What the table was taken for, with the proposal where that is not certain.
    systems
        The coordinate systems that were tried (`geo.placement.candidates`); None where the rows have no shapes or there is no
        boundary to hold them against.
    """

    layer: Layer | None
    table: pd.DataFrame
    choices: LayerSpec
    recognition: Recognition
    systems: pd.DataFrame | None
    findings: tuple[Finding, ...]


def examine(
    study: Study,
    survey: Survey,
    original: Path,
    choices: LayerSpec,
    *,
    zones: gpd.GeoDataFrame | None,
    allow: Allow = "upload",
    step: Step = silent,
    within: Path | None = None,
) -> Examined:
    """Read, recognise, place, validate and harmonise what was delivered.

    Parameters
    ----------
    zones
        The neighbourhoods with their `id`, in the study's CRS, against which places are judged; None where the survey brings them.
    within
        Folder to unpack and read in; the system's own for such things without it.

    Raises
    ------
    LayerError
        The file can't be read at all; whatever is wrong with a table that was read comes back as findings.
    """
    kind, read, known, recognition, told = _understood(study, survey, original, choices, allow, step, within)
    layer = survey.layer
    systems = None if zones is None else _systems(study, read.table, known, zones)
    said = placement.judged(systems, layer) if systems is not None else ()
    step(message("Validating and placing"))
    made, faults = _layer(study, layer, known, read, zones)
    places = errors_in(said)
    if places:  # which system it is says more than that this one can't be
        made, faults = None, tuple(one for one in faults if not one.code.startswith("crs-"))
    shapes = _shape_findings(read.table, layer, kind)
    looked = _where_looked(known, layer) if made is not None else ()
    if made is not None:  # its left-out rows are told with those that validation leaves out
        told = tuple(one for one in told if one.code not in REASONS)
    findings = (*told, *said, *faults, *shapes, *looked, *(made.findings if made is not None else ()))
    if made is not None:
        made = replace(made, findings=findings, sha256=survey.sha256)
    return Examined(made, read.table, known, recognition, systems, findings)


def _understood(
    study: Study, survey: Survey, original: Path, choices: LayerSpec, allow: Allow, step: Step, within: Path | None
) -> tuple[str, Read, LayerSpec, Recognition, tuple[Finding, ...]]:
    """The kind of file, its rows and what they are; read a second time where only the recognised columns say where the rows lie."""
    with tempfile.TemporaryDirectory(prefix="tarmim-survey-", dir=within) as private:
        copy = Path(private) / f"delivered{Path(survey.name).suffix.lower()}"
        shutil.copyfile(original, copy)
        step(message("Unpacking"))
        unpacked = gather([copy], Path(private) / "parts", names=[survey.name])
        bundle = _bundle(unpacked.files, choices, survey.layer)
        step(message("Reading the table"))
        read = _read(bundle, survey, choices, allow, within)
        step(message("Recognising columns and grades"))
        known, recognition = recognised(study, choices, read, survey.layer)
        told = set(known.columns) & set(PLACES) - set(choices.columns)
        if told and (read.hashtags or not isinstance(read.table, gpd.GeoDataFrame)):
            read = _read(bundle, survey, known, allow, within)
            known, recognition = recognised(study, known, read, survey.layer)
    return bundle.kind, read, known, recognition, (*unpacked.findings, *read.findings, *recognition.findings)


def recognised(study: Study, choices: LayerSpec, read: Read, layer: str) -> tuple[LayerSpec, Recognition]:
    """The choices, completed where the form is certainly a known one or a person confirmed its mapping; the sender's go first."""
    found = recognise(read.table, folder=study.folder, layer=layer, where=layer, tags=read.hashtags)
    if choices.profile is not None and found.saved is None:
        return choices, replace(found, findings=_of_rows(found), proposal=())
    own = study.layers.get(layer)  # type: ignore[call-overload]  # the store knows layers by the same names
    if found.certainty != "certain" and own is not None and _fits(own, read.table):
        note = finding(
            "read-as-before", "info", layer, message("It has the columns of this layer's file in study.toml, and is read like it.")
        )
        full = {"profile": own.profile, "columns": {**own.columns, **choices.columns}, "grades": {**own.grades, **choices.grades}}
        taken = choices.model_copy(update={**full, "where": own.where})
        return taken, replace(found, findings=(note, *_of_rows(found)), proposal=())
    if found.certainty != "certain":
        return choices, replace(found, findings=(*found.findings, *proposed(found, layer)))
    ours = {row["column"] for row in registers.table("schema", layer)} | set(COORDINATES) - {"geopoint"}
    columns = {mine: theirs for mine, theirs in found.columns.items() if mine in ours}
    profile = choices.profile or found.profile or found.grades_from
    name = found.saved or profile or "-"
    note = finding("recognised", "info", layer, message("Recognised as {profile}.", profile=name))
    full = {"profile": profile, "columns": {**columns, **choices.columns}, "grades": {**found.grades, **choices.grades}}
    return choices.model_copy(update=full), replace(found, findings=(note, *found.findings))


def _fits(own: LayerSpec, table: pd.DataFrame) -> bool:
    """Whether a table has the columns that the study's own entry names; an entry that names none says nothing of this one."""
    named = {*own.columns.values(), *own.where}
    return bool(named) and named <= set(table.columns)


def _of_rows(found: Recognition) -> tuple[Finding, ...]:
    """What is odd whatever the columns are called: the sender's choice of a profile answers the rest."""
    return tuple(one for one in found.findings if one.code in ("repeated-names", "people-repeated", "text-garbled", "no-header"))


def proposed(found: Recognition, where: str) -> tuple[Finding, ...]:
    """The proposal as one finding: our column, theirs, and why."""
    pairs = [
        *(message("{ours} = '{theirs}'", ours=ours, theirs=theirs) for ours, theirs in found.columns.items()),
        *(message("{ours} = '{theirs}' ({why})", ours=one.ours, theirs=one.theirs, why=one.why) for one in found.proposal),
    ]
    if not pairs:
        return ()
    remedy = message("Confirm or correct it once; it then applies by itself to every table with these columns.")
    return (
        finding("columns-proposed", "info", where, message("These columns are proposed: {pairs}.", pairs=pairs), remedy=remedy),
    )


def _systems(study: Study, table: pd.DataFrame, known: LayerSpec, zones: gpd.GeoDataFrame) -> pd.DataFrame | None:
    if not isinstance(table, gpd.GeoDataFrame):
        return None
    boundary = shapely.union_all(zones.geometry.to_numpy())
    placed = turned(table) if known.axes == "yx" else table
    return placement.candidates(placed, boundary, study.crs, declared=known.crs or table.crs)


def _layer(
    study: Study, name: str, known: LayerSpec, read: Read, zones: gpd.GeoDataFrame | None
) -> tuple[Layer | None, tuple[Finding, ...]]:
    """The layer, or why there is none."""
    area, shapes = (None, None) if zones is None else (tuple(zones.total_bounds), by_code(zones))
    try:
        layer = prepared(study, name, known, read.table, area=area, zones=shapes)
    except TarmimError as error:
        return None, error.findings
    return (
        replace(
            layer,
            left_out=complaints_intake.redacted(together([layer.left_out, _aside(read, name)], study.crs)),
            rows_read=read.counts.rows,
            rows_chosen=layer.rows_chosen + read.counts.aside,
            rows_lost=read.counts.lost,
        ),
        (),
    )


def _where_looked(known: LayerSpec, layer: str) -> tuple[Finding, ...]:
    if known.extent is not None or layer in ("neighbourhoods", "population"):
        return ()
    found = message("Nobody said where it looked: a neighbourhood in which it has nothing counts as not surveyed.")
    remedy = message("Say --extent study if it looked everywhere, or give a file of polygons of where it looked.")
    return (finding("extent-unknown", "warning", layer, found, remedy=remedy),)


def _shape_findings(table: pd.DataFrame, layer: str, kind: str) -> tuple[Finding, ...]:
    if not isinstance(table, gpd.GeoDataFrame):
        return ()
    return placement.shape_findings(table, layer, rows=table["row"], clockwise=CLOCKWISE.get(kind))


def preview(examined: Examined, study: Study, *, at_most: int = 2_000) -> list[tuple[Mapping[str, Any], gpd.GeoDataFrame]]:
    """The rows as each fitting coordinate system puts them, best first, in the study's CRS: for the sender to choose among.

    Each with its row of `systems`. Of many rows every n-th is taken, the first included; a system that can't place them all is
    left away, and where none fits there is none.
    """
    if examined.systems is None:
        return []
    table = gpd.GeoDataFrame(examined.table)
    there = table[~(shapely.is_missing(table.geometry) | shapely.is_empty(table.geometry))]
    some = there.iloc[:: max(1, -(-len(there) // at_most))]
    shown: list[tuple[Mapping[str, Any], gpd.GeoDataFrame]] = []
    for row in examined.systems[examined.systems["share"] > placement.limit("other_share")].to_dict("records"):
        try:
            shown.append(
                ({str(key): value for key, value in row.items()}, placement.preview(some, row["crs"], row["axes"], study.crs))
            )
        except CrsError:
            continue
    return shown


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


def _read(bundle: Bundle, survey: Survey, choices: LayerSpec, allow: Allow, within: Path | None) -> Read:
    inside = None if choices.sublayer in (bundle.name, Path(bundle.name).stem) else choices.sublayer
    return read_untrusted(
        bundle,
        name=survey.layer,
        sublayer=inside,
        columns={ours: theirs for ours, theirs in choices.columns.items() if ours in PLACES},
        crs=choices.crs,
        header=choices.header,
        encoding=choices.encoding,
        placeless=survey.layer in BY_NAME,
        allow=allow,
        within=within,
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
