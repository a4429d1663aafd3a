"""Validate: the table of a file against the schema of its layer (`data/schema/<layer>.csv`), everything looked at, reported once.

What the layer needs and does not have is an error. A value that can't be used becomes unknown and is listed by row; it never
becomes zero. Grades are translated by the source's profile and by nothing else: a grade that the profile does not list comes back
as not recognised.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

import geopandas as gpd
import numpy as np
import pandas as pd

from geo import registers
from geo.errors import Finding, SchemaError, finding, raise_errors
from geo.left_out import UNKNOWN_VALUE, left_out
from geo.messages import message
from geo.reading import ROW

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from geo.study import LayerSpec

ARABIC_DIGITS = str.maketrans("٠١٢٣٤٥٦٧٨٩۰۱۲۳۴۵۶۷۸۹٫", "01234567890123456789.", "٬")
GRADED = {"damage": "grade"}


@dataclass(frozen=True)
class Checked:
    """A table in our columns and types, the rows left out of it, and what was noticed."""

    frame: pd.DataFrame
    left_out: tuple[gpd.GeoDataFrame, ...]
    findings: tuple[Finding, ...]


def validate(raw: pd.DataFrame, name: str, spec: LayerSpec) -> Checked:
    """The layer in the columns of its schema, plus `row`.

    Parameters
    ----------
    raw
        A table of `geo.reading.read_file`, in the file's own columns.

    Raises
    ------
    SchemaError
        A needed column is missing (with the columns the file has and near names), neighbourhoods without or with repeated ids,
        or not one grade recognised.
    """
    profile = registers.tree("sources", spec.profile) if spec.profile else {}
    chosen = _selected(raw, spec, name)
    frame, missing = _renamed(chosen, name, spec, profile)
    raise_errors(missing, SchemaError)
    found: list[Finding] = []
    aside: list[gpd.GeoDataFrame] = []
    if len(chosen) < len(raw):
        found.append(
            finding(
                "selected",
                "info",
                name,
                message("{n} of {total} rows selected by 'where' of study.toml.", n=len(chosen), total=len(raw)),
            )
        )
    frame = _translated(frame, profile)
    for row in registers.table("schema", name):
        if row["column"] in frame and row["type"] in ("text", "number", "date"):
            frame, unusable = _typed(frame, name, row)
            aside += unusable
    frame, states, noted = _states(frame, name, profile, spec.grades)
    aside += states
    found += noted
    frame, kinds = _kinds(frame, name, profile)
    found += kinds
    frame, repeated = _ids(frame, name)
    raise_errors(repeated, SchemaError)
    found += repeated
    return Checked(frame, tuple(aside), tuple(found))


def _selected(raw: pd.DataFrame, spec: LayerSpec, name: str) -> pd.DataFrame:
    """Rows whose own columns hold one of the wanted values."""
    chosen = raw
    for column, wanted in spec.where.items():
        if column not in raw.columns:
            raise SchemaError(_missing(name, column, raw))
        chosen = chosen[chosen[column].astype("string").isin(wanted).fillna(False).astype(bool)]
    if chosen.empty:
        found = message("No row has the values that 'where' asks for.")
        raise SchemaError(finding("empty-selection", "error", name, found, remedy=message("Correct 'where' in study.toml.")))
    return chosen


def _missing(name: str, column: str, raw: pd.DataFrame, *, ours: str = "") -> Finding:
    columns = [str(one) for one in raw.columns if one not in (ROW, "geometry")]
    near = get_close_matches(column, columns, n=3, cutoff=0.5)
    return finding(
        "missing-column",
        "error",
        name,
        message("There is no column '{column}'.", column=column),
        expected=message("Columns of the file: {columns}.", columns=columns[:40]),
        remedy=message('Perhaps {near}; say it in study.toml: columns = {{ {column} = "…" }}.', near=near, column=ours or column)
        if near
        else message('Say in study.toml which column it is: columns = {{ {column} = "…" }}.', column=ours or column),
    )


def _renamed(raw: pd.DataFrame, name: str, spec: LayerSpec, profile: Mapping[str, Any]) -> tuple[pd.DataFrame, list[Finding]]:
    """The columns of the schema under our names, in its order; findings for those that are needed and missing."""
    offered: Mapping[str, list[str]] = profile.get("columns", {})
    kept: dict[str, str] = {}
    faults: list[Finding] = []
    rows = registers.table("schema", name)
    for row in rows:
        column = row["column"]
        if column == "geometry":
            continue
        theirs = [spec.columns[column]] if column in spec.columns else [*offered.get(column, []), column]
        there = next((one for one in theirs if one in raw.columns), None)
        if there is not None:
            kept[column] = there
        elif column in spec.columns:
            faults.append(_missing(name, spec.columns[column], raw, ours=column))
        elif row["required"] == "yes" and not (column == "state" and name in GRADED):
            faults.append(_missing(name, column, raw))
    graded = GRADED.get(name)
    if graded and not {graded, "state"} & (set(kept) | set(spec.columns)):
        faults.append(_missing(name, graded, raw))
    for need in ("one name", "one key"):
        several = [row["column"] for row in rows if row["required"] == need]
        if several and not any(one in kept or one in spec.columns for one in several):
            faults.append(_missing(name, several[0], raw))
    needs_place = any(row["column"] == "geometry" and row["required"] == "yes" for row in rows)
    needs_place = needs_place and not {"asset", "neighbourhood"} & set(kept)
    if needs_place and not isinstance(raw, gpd.GeoDataFrame):
        faults.append(
            finding(
                "no-geometry",
                "error",
                name,
                message("The table has no coordinates."),
                expected=message("Columns lon and lat (degrees), x and y (metres, with crs), or wkt."),
                remedy=message('Say in study.toml which columns they are: columns = { lon = "…", lat = "…" }.'),
            )
        )
    frame = pd.DataFrame({ours: raw[theirs] for ours, theirs in kept.items()} | {ROW: raw[ROW]}, index=raw.index)
    if isinstance(raw, gpd.GeoDataFrame):
        frame = gpd.GeoDataFrame(frame, geometry=raw.geometry, crs=raw.crs)
    return frame, faults


def _translated(frame: pd.DataFrame, profile: Mapping[str, Any]) -> pd.DataFrame:
    """Values of a source put into ours by the profile's lists (`[values.<column>]`), case and spaces folded; others stay."""
    for column, listed in profile.get("values", {}).items():
        if column in frame:
            folded = {_fold(theirs): ours for theirs, ours in listed.items()}
            frame = frame.assign(
                **{column: as_text(frame[column]).map(lambda one, to=folded: to.get(_fold(one), one), na_action="ignore")}
            )
    return frame


def as_text(values: pd.Series[Any]) -> pd.Series[Any]:
    """Text in Unicode NFC without surrounding spaces; empty is missing; whole floats lose their `.0`."""
    if pd.api.types.is_float_dtype(values) and ((values.dropna() % 1 == 0) & (values.dropna().abs() < 2**53)).all():
        values = values.astype("Int64")
    text = values.astype("string").str.strip()
    text = _each(text, lambda one: unicodedata.normalize("NFC", one))
    return text.mask(text == "")


def _each(text: pd.Series[Any], change: Callable[[str], str | None]) -> pd.Series[Any]:
    """A text column with each of its different values changed once; missing stays missing."""
    return text.map({one: change(one) for one in text.dropna().unique()}).astype("string")


def as_number(values: pd.Series[Any]) -> pd.Series[Any]:
    """Numbers as floats; Arabic digits and the Arabic decimal mark are read; whatever is no finite number is NaN."""
    if not pd.api.types.is_numeric_dtype(values):
        values = values.astype("string").str.strip().str.translate(ARABIC_DIGITS)
    numbers = pd.to_numeric(values, errors="coerce").astype("float64")
    return numbers.where(np.isfinite(numbers))


def _typed(frame: pd.DataFrame, name: str, row: Mapping[str, str]) -> tuple[pd.DataFrame, list[gpd.GeoDataFrame]]:
    """One column in its type; values that can't be used become unknown and are listed."""
    column, before = row["column"], frame[row["column"]]
    given = as_text(before).notna()
    if row["type"] == "number":
        after = as_number(before)
        low, high = (float(row[limit]) if row[limit] else np.nan for limit in ("minimum", "maximum"))
        after = after.mask((after < low) | (after > high))
    elif row["type"] == "date":
        # 20150426 as a number is a day, not nanoseconds
        days = as_text(before) if pd.api.types.is_numeric_dtype(before) else before
        after = pd.to_datetime(days, errors="coerce", format="mixed", utc=True).dt.tz_localize(None)
    else:
        after = as_text(before)
        if row["allowed"] and column != "state":
            after = after.where(after.isin(row["allowed"].split("|")))
    bad = given & after.isna()
    aside = [left_out(frame[bad], name, UNKNOWN_VALUE, value=column)] if bad.any() else []
    return frame.assign(**{column: after}), aside


def _states(
    frame: pd.DataFrame, name: str, profile: Mapping[str, Any], explained: Mapping[str, str]
) -> tuple[pd.DataFrame, list[gpd.GeoDataFrame], list[Finding]]:
    """Damage states from the survey's grades: as somebody explained them, else by the profile's list; case and spaces folded.

    The rest is left out or unknown.
    """
    grade = GRADED.get(name, "state")
    if grade not in frame:
        grade = "state"
    if grade not in frame:
        return frame, [], []
    listed = profile.get("grades") or registers.tree("sources", "tarmim")["grades"]
    listed = {**listed, **explained}
    folded = {_fold(theirs): ours for theirs, ours in listed.items()}
    text = frame[grade].astype("string")
    state = _each(text, lambda one: folded.get(_fold(one)))
    unknown, empty = text.notna() & state.isna(), text.isna()
    graded = frame.assign(state=state, grade=text) if name in GRADED else frame.assign(state=state)
    if name not in GRADED:
        return graded, [left_out(frame[unknown], name, UNKNOWN_VALUE, value=grade)] if unknown.any() else [], []
    found: list[Finding] = []
    if not state.notna().any():
        values = [str(one) for one in text.dropna().unique()[:12]]
        fault = finding(
            "no-grade-recognised",
            "error",
            name,
            message("Not one grade of column '{column}' is recognised; it holds: {values}.", column=grade, values=values),
            expected=message("Grades of the profile: {grades}.", grades=list(listed)),
            remedy=message(
                'Name another profile; known are: {known}. Or say what the grades mean: grades = {{ "…" = "severe" }}.',
                known=registers.names("sources"),
            ),
        )
        raise SchemaError(fault)
    aside = [
        left_out(frame[rows], name, reason, value=grade)
        for rows, reason in ((unknown, "grade-not-recognised"), (empty, "grade-missing"))
        if rows.any()
    ]
    return graded, aside, found


def _fold(text: str) -> str:
    return " ".join(text.split()).casefold()


def _kinds(frame: pd.DataFrame, name: str, profile: Mapping[str, Any]) -> tuple[pd.DataFrame, list[Finding]]:
    """Kinds of facility in our words; those no register holds are kept as 'other' and listed."""
    if name != "facilities":
        return frame, []
    known = registers.register("facility_kinds")
    listed = {**{kind: kind for kind in known}, **profile.get("kinds", {})}
    kind = frame["kind"].map(listed, na_action="ignore").astype("string")
    other = frame["kind"].notna() & kind.isna()
    found = []
    if other.any():
        values = sorted(frame.loc[other, "kind"].unique())
        found.append(
            finding(
                "kind-other",
                "warning",
                name,
                message("Kinds of facility not recognised, kept as 'other': {values}.", values=values[:20]),
                rows=frame.loc[other, ROW],
                remedy=message("Add them to the profile if they matter."),
            )
        )
    return frame.assign(kind=kind.fillna("other")), found


def _ids(frame: pd.DataFrame, name: str) -> tuple[pd.DataFrame, list[Finding]]:
    """Ids that exist and do not repeat: needed of neighbourhoods, made from the row number where another layer has none."""
    if name == "population":
        return frame, []
    if "id" not in frame:
        return frame.assign(id=frame[ROW].astype("string")), []
    empty, repeated = frame["id"].isna(), frame["id"].duplicated(keep=False) & frame["id"].notna()
    found = []
    severity: Any = "error" if name == "neighbourhoods" else "warning"
    if repeated.any():
        found.append(
            finding(
                "repeated-id",
                severity,
                name,
                message("Codes that occur more than once: {ids}.", ids=sorted(frame.loc[repeated, "id"].unique())[:12]),
                expected=message("Each code once."),
                remedy=message("Give each row a code of its own; parts of one unit belong in one multi-part shape."),
                rows=frame.loc[repeated, ROW],
            )
        )
    if empty.any() and name == "neighbourhoods":
        found.append(
            finding(
                "empty-id",
                "error",
                name,
                message("Rows without a code."),
                expected=message("A code in each row."),
                rows=frame.loc[empty, ROW],
                remedy=message("Give each row a code of its own; parts of one unit belong in one multi-part shape."),
            )
        )
    return frame.assign(id=frame["id"].fillna("row " + frame[ROW].astype("string"))), found
