"""Recognition: which known source a delivered table is, and which of its columns are ours.

A profile (`data/sources/*.toml`) says by which columns and values it is known, whatever a shapefile or a form made of their names:
cut to ten letters, numbered where they collided, put after a group, in capitals. A table that no profile knows gets a proposal,
which a person confirms once; it is kept in the study and applies by itself when the same columns come again. Grades outside a
list are named, never guessed. Known bias: bare numbers as grades mean opposite things in UNOSAT (1 is destroyed) and EMS-98 (1 is
slight), so that values alone never decide.
"""

from __future__ import annotations

import json
import os
import re
import tempfile
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import SequenceMatcher
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely

from geo import registers
from geo.errors import Finding, StudyError, TarmimError, finding, not_written
from geo.messages import Message, message
from geo.names import ARABIC, LATIN, UNDERSTANDING, clean, folded, limit, spelled
from geo.pcodes import level_of
from geo.staging import flush
from geo.validation import as_number

Certainty = Literal["certain", "likely", "unknown"]
COORDINATES = ("lon", "lat", "x", "y", "wkt", "geopoint")
GENERIC = ("id", "name_ar", "name_en", "date", "district", "status", *COORDINATES)
DIMENSIONS = {0: "point", 1: "line", 2: "polygon"}
TAG = re.compile(r"#[a-z][a-z0-9_]*(\s*\+\s*[a-z][a-z0-9_]*)*", re.IGNORECASE)
WKT = re.compile(r"\s*(MULTI)?(POINT|LINESTRING|POLYGON)\s*(Z|M|ZM)?\s*\(", re.IGNORECASE)
NUMBER = r"[-+]?\d+(?:\.\d+)?"
GEOPOINT = re.compile(rf"\s*\[?\s*({NUMBER})[,\s]+({NUMBER})(?:[,\s]+{NUMBER}){{0,2}}\s*\]?\s*")
MAPPINGS = "mappings"
ALL_LEVELS = ("adm1", "adm2", "adm3", "community", "neighbourhood")


@dataclass(frozen=True)
class Guess:
    """A column of ours, theirs that it may be, how sure (0–1), and why."""

    ours: str
    theirs: str
    score: float
    why: Message


@dataclass(frozen=True)
class Recognition:
    """What a table is.

    Attributes
    ----------
    profile, layer
        Name in the register of sources and layer; None where not known.
    columns
        Ours to theirs, of what is known for certain (profile) or was confirmed (saved mapping).
    certainty
        "certain": apply it; "likely": a person confirms; "unknown": a person chooses, starting from `proposal`.
    proposal
        Guesses for the columns that the profile does not name; all of them where there is no profile.
    grades_from
        The profile whose list translates the grades, where it is not `profile` itself (a form, a table without a profile).
    grades
        Grades of a saved mapping, theirs to ours; they go before those of the list.
    saved
        Name of the mapping kept in the study, if that recognised it.
    others
        Other profiles or layers that would fit as well.
    """

    profile: str | None
    layer: str | None
    columns: Mapping[str, str]
    certainty: Certainty
    findings: tuple[Finding, ...] = ()
    proposal: tuple[Guess, ...] = ()
    grades_from: str | None = None
    grades: Mapping[str, str] = field(default_factory=dict)
    saved: str | None = None
    others: tuple[str, ...] = ()


def recognise(
    table: pd.DataFrame,
    *,
    folder: Path | None = None,
    layer: str | None = None,
    where: str = "table",
    tags: Mapping[str, str] | None = None,
) -> Recognition:
    """Which source and layer a table is, by its columns and values.

    Parameters
    ----------
    table
        As read, in its own columns; `row` and `geometry` don't count as columns.
    folder
        The study's folder: mappings that were confirmed there go first.
    layer
        What the sender says it is; only such forms are tried.
    tags
        HXL hashtags by column, where a reader took their row out already; else they are looked for.

    Examples
    --------
    >>> one = recognise(pd.DataFrame({"SITEID": ["a"], "SensorDa_2": ["2015-04-26"], "Main_Dam_2": ["1"]}))
    >>> one.profile, one.layer, one.certainty, one.columns["grade"]
    ('unosat', 'damage', 'certain', 'Main_Dam_2')
    """
    tags = tags or hashtags(table)
    data = without_hashtags(table)
    known = _saved(data, folder, where) if folder is not None else None
    if known is not None:
        return known
    fits = [*_hxl(tags, data, layer, where)] if tags else [*_fits(data, layer, where), *_ours(data, layer, where)]
    found = _best(fits) or Recognition(None, layer, {}, "unknown")
    return _completed(found, data, where)


def columns_of(table: pd.DataFrame) -> list[str]:
    """The file's own columns."""
    shapes = table.geometry.name if isinstance(table, gpd.GeoDataFrame) and table._geometry_column_name in table else "geometry"
    return [str(one) for one in table.columns if one not in ("row", "geometry", shapes)]


# Names of columns


@lru_cache(maxsize=65_536)
def alike(theirs: str, ours: str) -> float:
    """How surely a column is the one that we call so: 1 the same, less where a shapefile or a form changed it, 0 if not.

    >>> [alike(one, "Main_Damage_Site_Class") for one in ("MAIN_DAMAGE_SITE_CLASS", "Main_Damag", "Main_Dam_2", "Main_Damage")]
    [0.97, 0.9, 0.85, 0.0]
    >>> alike("site/damage_grade", "damage_grade"), alike("_location_latitude", "latitude")
    (0.93, 0.8)
    """
    if theirs == ours:
        return 1.0
    if not spelled(theirs):
        return 0.0
    if spelled(theirs) == spelled(ours):
        return 0.97
    if spelled(re.split(r"[/:.]", theirs)[-1]) == spelled(ours):
        return 0.93
    cut, full = theirs.casefold(), ours.casefold()
    letters = int(limit("recognition", "shapefile_letters"))
    if cut in _cuts(full, letters):
        return 0.9
    if number_of(theirs, ours):
        return 0.85
    last = re.split(r"[/:._\-\s]", theirs.strip("_"))[-1]
    return 0.8 if len(last) > 4 and spelled(last) == spelled(ours) else 0.0


def _cuts(name: str, letters: int) -> tuple[str, ...]:
    """A longer name as a shapefile cuts it: by letters, or by bytes of UTF-8 (Arabic: half as many)."""
    by_bytes = name.encode()[:letters].decode(errors="ignore")
    return tuple(one for one in (name[:letters], by_bytes) if one != name)


def number_of(theirs: str, ours: str) -> int:
    """The number of a repeated column (`SensorDate_2`, cut to `SensorDa_2`); 0 where it is another column.

    >>> number_of("Main_Dam_2", "Main_Damage_Site_Class"), number_of("SensorDate_14", "SensorDate"), number_of("code_2", "colour")
    (2, 14, 0)
    """
    seen = re.fullmatch(r"(.+?)_?(\d{1,2})", theirs.casefold())
    if seen is None:
        return 0
    stem, full = seen[1].rstrip("_"), ours.casefold()
    cut = len(theirs) == limit("recognition", "shapefile_letters") and len(stem) > 4 and full.startswith(stem)
    return int(seen[2]) if cut or spelled(stem) == spelled(full) else 0


def found_column(columns: Sequence[str], wanted: Iterable[str]) -> tuple[str, float] | None:
    """The first wanted name that a column has, and how surely."""
    for name in wanted:
        scored = [(alike(one, name), one) for one in columns]
        score, column = max(scored, default=(0.0, ""))
        if score > 0.8:
            return column, score
    return None


# Forms of the profiles


def _fits(table: pd.DataFrame, layer: str | None, where: str) -> list[tuple[int, Recognition]]:
    fits = []
    for profile in registers.names("sources"):
        tree = registers.tree("sources", profile)
        for form in tree.get("recognise", ()):
            if "needed" in form and (layer is None or form.get("layer", layer) == layer):
                fit = _fit(table, profile, tree, form, where)
                fits += [fit] if fit is not None else []
    return fits


def _fit(
    table: pd.DataFrame, profile: str, tree: Mapping[str, Any], form: Mapping[str, Any], where: str
) -> tuple[int, Recognition] | None:
    """How many of a form's columns are there, and what it makes of the table; None where a needed one is not."""
    columns = columns_of(table)
    if not all(found_column(columns, group) for group in form["needed"]) or not _shaped(table, form):
        return None
    usual = sum(found_column(columns, [one]) is not None for one in form.get("usual", ()))
    taken, notes = _taken(columns, tree, form, where)
    certain = usual >= form.get("usual_at_least", 0) and not form.get("questions") and not notes
    if form.get("graded"):
        if "grade" not in taken:
            return None
        share, unlisted = graded(table[taken["grade"]], tree["grades"])
        certain = certain and share >= limit("recognition", "graded_share")
        notes += _unlisted(unlisted, taken["grade"], tree["grades"], where)
    for ours, levels in form.get("codes", {}).items():
        certain = certain and ours in taken and _are_codes(table[taken[ours]], levels.split("|"))
    sure: Certainty = "certain" if certain else "likely"
    return len(form["needed"]) + usual, Recognition(profile, form.get("layer"), taken, sure, tuple(notes))


def _shaped(table: pd.DataFrame, form: Mapping[str, Any]) -> bool:
    kinds = kinds_of(table)
    return not kinds or not form.get("geometry") or bool(kinds & set(form["geometry"]))


def kinds_of(table: pd.DataFrame) -> set[str]:
    """Kinds of geometry of a table: point, line, polygon; none where it has no shapes."""
    if not isinstance(table, gpd.GeoDataFrame):
        return set()
    found = np.unique(shapely.get_dimensions(table.geometry.to_numpy()))
    return {DIMENSIONS[int(one)] for one in found if int(one) in DIMENSIONS}


def _taken(
    columns: Sequence[str], tree: Mapping[str, Any], form: Mapping[str, Any], where: str
) -> tuple[dict[str, str], list[Finding]]:
    """Our columns and theirs, by the profile's list; of a class for each of several dates the newest."""
    taken: dict[str, str] = {}
    for ours, names in {**tree.get("columns", {}), **tree.get("coordinates", {})}.items():
        found = found_column([one for one in columns if one not in taken.values()], names)
        if found is not None:
            taken[ours] = found[0]
    notes: list[Finding] = []
    for ours, base in form.get("series", {}).items():
        dated = {number_of(one, base) or 1: one for one in columns if alike(one, base) > 0.8}
        if dated:
            taken[ours] = dated[max(dated)]
        if len(dated) > 1 and ours == "grade":
            notes.append(_several_dates([dated[one] for one in sorted(dated)], where))
    return taken, notes


def _several_dates(columns: list[str], where: str) -> Finding:
    return finding(
        "several-dates",
        "warning",
        where,
        message("Grades of several dates: {columns}.", columns=columns),
        expected=message("The newest is proposed: {column}.", column=columns[-1]),
        remedy=message("Confirm it, or choose the date that is meant."),
    )


def graded(values: pd.Series[Any], grades: Mapping[str, str]) -> tuple[float, list[str]]:
    """Share of the rows with a value whose grade a list holds, and the values that it does not, most frequent first."""
    listed = {_fold(one) for one in grades}
    try:
        raw = values.dropna().value_counts()  # few values, many rows
    except TypeError:  # cells that are lists
        raw = values.dropna().map(_text).value_counts()
    counts = raw.groupby([_text(one) for one in raw.index], sort=False).sum().sort_values(ascending=False, kind="stable")
    counts = counts[counts.index != ""]
    inside = np.array([_fold(one) in listed for one in counts.index], dtype=bool)
    total = counts.sum()
    return (float(counts[inside].sum() / total) if total else 0.0), [str(one) for one in counts.index[~inside]]


def _fold(text: str) -> str:
    return " ".join(text.split()).casefold()


def _text(value: object) -> str:
    """A cell as text; whole numbers without their `.0`."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else clean(str(value))


def _unlisted(values: Sequence[str], column: str, grades: Iterable[str], where: str) -> list[Finding]:
    if not values:
        return []
    shown = list(values[: int(limit("recognition", "shown"))])
    found = message("Grades of '{column}' that the list does not hold: {values}.", column=column, values=shown)
    expected = message("Grades of the profile: {grades}.", grades=list(grades))
    remedy = message("They stay unknown until somebody says what they mean.")
    return [finding("grades-not-listed", "warning", where, found, expected=expected, remedy=remedy, count=len(values))]


def _are_codes(values: pd.Series[Any], levels: Sequence[str]) -> bool:
    seen = values.dropna().head(int(limit("recognition", "coded_rows"))).map(lambda one: level_of(_text(one)) in levels)
    return bool(len(seen)) and float(seen.mean()) >= 1 - limit("recognition", "graded_share") / 5


def _best(fits: Sequence[tuple[int, Recognition]]) -> Recognition | None:
    """The fit that is certain and explains most; likely only where another explains as much."""
    if not fits:
        return None
    ranked = sorted(fits, key=lambda one: (one[1].certainty == "certain", one[0]), reverse=True)
    (score, best), rest = ranked[0], ranked[1:]
    rivals = [one for points, one in rest if points >= score and one.certainty == best.certainty]
    others = tuple(dict.fromkeys(f"{one.profile or '-'}:{one.layer or '-'}" for _, one in rest))
    layer = best.layer if all(one.layer == best.layer for one in rivals) else None
    return replace(best, layer=layer, certainty="likely" if rivals else best.certainty, others=others)


def _ours(table: pd.DataFrame, layer: str | None, where: str) -> list[tuple[int, Recognition]]:
    """Our own templates and exports: the columns of one schema, under our names."""
    columns, fits = columns_of(table), []
    placed = bool(kinds_of(table)) or {"lon", "lat"} <= set(columns) or "wkt" in columns
    for name in [layer] if layer else registers.register("layers"):
        rows = registers.table("schema", name)
        own = {row["column"] for row in rows} & set(columns)
        telling = own - set(GENERIC)
        allowed = next((row["type"].split("|") for row in rows if row["column"] == "geometry" and row["required"] == "yes"), [])
        fits_shape = not allowed or (placed and (not kinds_of(table) or bool(kinds_of(table) & set(allowed))))
        if (
            not fits_shape
            or not _needed(rows, own, name)
            or len(own) + bool(kinds_of(table)) < 2
            or not (telling or name == "neighbourhoods")
        ):
            continue
        taken = {one: one for one in (*(row["column"] for row in rows), *COORDINATES) if one in columns}
        grades_from, sure, notes = _graded_by(table, own, where)
        fits.append((len(own), Recognition("tarmim", name, taken, sure, tuple(notes), grades_from=grades_from)))
    return fits


def _graded_by(table: pd.DataFrame, own: set[str], where: str) -> tuple[str | None, Certainty, list[Finding]]:
    """Whose grades stand in a table with our column names: ours (None), or another profile's, which a person confirms."""
    column = next((one for one in ("grade", "state") if one in own), None)
    if column is None or graded(table[column], registers.tree("sources", "tarmim")["grades"])[0] == 1.0:
        return None, "certain", []
    profile, notes = _by_grades(table[column], column, where)
    return profile, "likely", notes


def _needed(rows: Sequence[Mapping[str, str]], there: set[str], layer: str) -> bool:
    """Whether a schema's needed columns are there."""
    needed = {row["column"] for row in rows if row["required"] == "yes"} - {"geometry"}
    if layer == "damage":
        needed = set() if there & {"grade", "state"} else {"grade"}
    groups = {row["required"] for row in rows} - {"yes", "no"}
    several = ({row["column"] for row in rows if row["required"] == group} for group in groups)
    return needed <= there and all(group & there for group in several)


# HXL


def hashtags(table: pd.DataFrame) -> dict[str, str]:
    """HXL hashtags by column, from the header or from one of the first 25 rows; empty where there are none.

    >>> hashtags(pd.DataFrame({"Lat": ["#geo+lat", "36.2"], "Pop": ["#population", "5"]}))
    {'Lat': '#geo+lat', 'Pop': '#population'}
    """
    columns = columns_of(table)
    header = {one: one for one in columns if TAG.fullmatch(one)}
    if header:
        return header
    at = _tag_row(table)
    if at is None:
        return {}
    return {one: clean(str(table[one].iloc[at])) for one in columns if TAG.fullmatch(clean(str(table[one].iloc[at])))}


def _tag_row(table: pd.DataFrame) -> int | None:
    columns = columns_of(table)
    for at in range(min(len(table), int(limit("recognition", "header_rows")))):
        cells = [clean(one) for one in table[columns].iloc[at] if isinstance(one, str) and clean(one)]
        if cells and all(TAG.fullmatch(one) for one in cells):
            return at
    return None


def without_hashtags(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of data: what stands up to the hashtag row belongs to the header."""
    at = _tag_row(table)
    return table if at is None else table.iloc[at + 1 :]


def _hxl(tags: Mapping[str, str], table: pd.DataFrame, layer: str | None, where: str) -> list[tuple[int, Recognition]]:
    tree = registers.tree("sources", "hxl")
    ignored = set(tree["recognise"][0].get("ignored", ()))
    taken: dict[str, str] = {}
    for ours, wanted in {**tree["coordinates"], **tree["columns"]}.items():
        for tag in wanted:
            there = [one for one, given in tags.items() if one not in taken.values() and _tag_fits(given, tag, ignored)]
            if there:
                taken[ours] = there[0]
                break
    note = finding("hashtags", "info", where, message("The columns carry HXL hashtags: {tags}.", tags=list(tags.values())))
    placed = bool({"lon", "lat"} <= set(taken) or kinds_of(table))
    known = layer or (
        "damage" if "grade" in taken else "population" if "people" in taken else "facilities" if "kind" in taken else None
    )
    sure: Certainty = "certain" if len(taken) > 1 and known is not None and (placed or known == "population") else "likely"
    return [(len(taken), Recognition("hxl", known, taken, sure, (note,)))]


def _tag_fits(given: str, wanted: str, ignored: set[str]) -> bool:
    """Same tag, the wanted attributes, and none besides that changes the meaning (`+f` would be women only)."""
    tag, *attributes = re.split(r"\s*\+\s*", given.casefold())
    want, *needed = wanted.split("+")
    return tag == want and set(needed) <= set(attributes) and not set(attributes) - set(needed) - ignored


# Proposals


def _completed(found: Recognition, table: pd.DataFrame, where: str) -> Recognition:
    """With guesses for what is not known, and what is odd about units and people."""
    found = _with_coordinates(found, table)
    if found.certainty == "certain":
        return replace(found, findings=(*found.findings, *_noted(table, found, found.columns, where)))
    layer, guesses, others = propose(table, layer=found.layer, taken=found.columns)
    columns = {one.ours: one.theirs for one in guesses} | dict(found.columns)
    grades_from, notes = found.grades_from, list[Finding]()
    if (
        "grade" in columns
        and grades_from is None
        and not (found.profile and registers.tree("sources", found.profile).get("grades"))
    ):
        grades_from, notes = _by_grades(table[columns["grade"]], columns["grade"], where)
    if found.profile is None and not guesses:
        notes = [_nothing(table, where)]
    full = replace(found, layer=found.layer or layer, grades_from=grades_from, proposal=guesses)
    findings = (*found.findings, *notes, *_noted(table, full, columns, where))
    return replace(full, findings=findings, others=tuple(dict.fromkeys((*found.others, *others))))


def _with_coordinates(found: Recognition, table: pd.DataFrame) -> Recognition:
    """A table without shapes under a known profile: with the columns of its coordinates; they are confirmed if less than sure."""
    if found.profile is None or kinds_of(table) or set(found.columns) & set(COORDINATES) or found.layer == "population":
        return found
    facts = {one: facts_of(table[one]) for one in columns_of(table) if one not in found.columns.values()}
    guesses = [one for one in _guesses(facts, None, found.columns) if one.ours in COORDINATES]
    sure = {one.ours: one.theirs for one in guesses if one.score >= 0.9 and one.ours != "geopoint"}
    unsure = bool(guesses) and not sure
    return replace(found, columns={**found.columns, **sure}, certainty="likely" if unsure else found.certainty)


def _noted(table: pd.DataFrame, found: Recognition, columns: Mapping[str, str], where: str) -> tuple[Finding, ...]:
    """What is odd about the table whatever it is: garbled text, a missing header, units that repeat."""
    units = unit_findings(table, columns, where) if found.layer in (None, "neighbourhoods", "population") else ()
    return (*_headless(table, where), *garbled(table, where), *units)


def _headless(table: pd.DataFrame, where: str) -> tuple[Finding, ...]:
    """The first row of data where the names of columns should stand: some of them are numbers."""
    names = columns_of(table)
    if not any(re.fullmatch(NUMBER, one) and "." in one for one in names):
        return ()
    found = message(
        "The first row holds data, not names of columns: {columns}.", columns=names[: int(limit("recognition", "shown"))]
    )
    return (finding("no-header", "error", where, found, remedy=message('Name the columns in study.toml: header = ["…", "…"].')),)


def garbled(table: pd.DataFrame, where: str) -> tuple[Finding, ...]:
    """Columns of Arabic that were read in another encoding, with the encoding that makes them Arabic again."""
    broken = {one: encoding for one in columns_of(table) if (encoding := encoding_of(table[one])) is not None}
    if not broken:
        return ()
    found = message("Text of these columns is garbled: {columns}.", columns=list(broken))
    remedy = message(
        'Read as {encodings} it is Arabic: write encoding = "…" in study.toml.', encodings=sorted(set(broken.values()))
    )
    return (finding("text-garbled", "error", where, found, remedy=remedy),)


def encoding_of(values: pd.Series[Any]) -> str | None:
    """The encoding in which garbled cells are Arabic; None where they aren't garbled, or no encoding makes sense of them.

    Windows-1256 goes before ISO-8859-6, which gives other letters of the same alphabet: look at the names before you agree.

    >>> encoding_of(pd.Series(["ÚÑíãÉ", "ÍáÈ"])), encoding_of(pd.Series(["Zürich", "حلب"]))
    ('cp1256', None)
    """
    some = [one for one in values.dropna().head(int(limit("recognition", "coded_rows"))) if isinstance(one, str)]
    odd = [one for one in some if len(re.findall("[\u0080-\u00ff]", one)) >= 2 and not ARABIC.search(one)]
    if not odd or len(odd) < len(some) * limit("recognition", "script_share"):
        return None
    for encoding in ("utf-8", "cp1256", "cp720", "iso8859-6"):
        shares = [_arabic_share(one, encoding) for one in odd]
        if np.mean(shares) >= 1 - limit("recognition", "script_share") / 5:
            return encoding
    return None


def _arabic_share(text: str, encoding: str) -> float:
    """Share of the letters that are Arabic once the bytes of a cell are read in another encoding; a cut-off end is forgiven."""
    for read in ("latin-1", "cp1252"):
        try:
            letters = re.sub(r"[\W\d_]", "", text.encode(read).decode(encoding, errors="ignore"))
        except UnicodeEncodeError:
            continue
        return len(ARABIC.findall(letters)) / max(len(letters), 1)
    return 0.0


def _nothing(table: pd.DataFrame, where: str) -> Finding:
    return finding(
        "not-recognised",
        "warning",
        where,
        message("No known source has these columns: {columns}.", columns=columns_of(table)[: int(limit("recognition", "shown"))]),
        remedy=message("Say which column is which; it is kept for the next delivery."),
    )


def _by_grades(values: pd.Series[Any], column: str, where: str) -> tuple[str | None, list[Finding]]:
    """The one profile that holds these grades; where several do and disagree, none."""
    every = {name: registers.tree("sources", name).get("grades", {}) for name in registers.names("sources")}
    lists: dict[str, dict[str, str]] = {name: grades for name, grades in every.items() if grades}
    shares = {name: graded(values, grades) for name, grades in lists.items()}
    fitting = {name: unlisted for name, (share, unlisted) in shares.items() if share >= limit("recognition", "graded_share")}
    if not fitting:
        given = [_text(one) for one in values.dropna().unique()]
        return None, _unlisted(given, column, registers.tree("sources", "tarmim")["grades"], where)
    fullest = [name for name, unlisted in fitting.items() if len(unlisted) == min(map(len, fitting.values()))]
    meanings = {tuple(_meanings(values, lists[name])) for name in fullest}
    if len(meanings) == 1:
        return fullest[0], _unlisted(fitting[fullest[0]], column, lists[fullest[0]], where)
    found = message(
        "The grades of '{column}' mean different things in different sources: {profiles}.", column=column, profiles=fullest
    )
    remedy = message("Ask who made the survey, and choose the source.")
    return None, [finding("grades-contradict", "warning", where, found, remedy=remedy)]


def _meanings(values: pd.Series[Any], grades: Mapping[str, str]) -> list[tuple[str, str]]:
    listed = {_fold(theirs): ours for theirs, ours in grades.items()}
    every = sorted({_fold(_text(one)) for one in values.dropna().unique()})
    return [(one, listed.get(one, "")) for one in every]


@lru_cache(maxsize=1)
def _synonyms() -> dict[str, tuple[str, ...]]:
    rows = registers.table(UNDERSTANDING, "column_names")
    return {row["ours"]: (row["ours"], *row["names"].split("|")) for row in rows}


def propose(
    table: pd.DataFrame, *, layer: str | None = None, taken: Mapping[str, str] | None = None
) -> tuple[str | None, tuple[Guess, ...], tuple[str, ...]]:
    """The layer that a table may be, a guess for each of its columns, and other layers that fit as well.

    Names are compared with `data/understanding/column_names.csv`; the values must be of the column's type and within its limits.
    Columns of a multiple choice (`q/a`, `q/b` beside `q`) are left away.
    """
    known = dict(taken or {})
    options = {one for several in select_multiples(columns_of(table)).values() for one in several}
    columns = [one for one in columns_of(table) if one not in options and one not in known.values()]
    facts = {one: facts_of(table[one]) for one in columns}
    known |= dict.fromkeys(COORDINATES, "") if kinds_of(table) else {}
    tried = {name: _guesses(facts, name, known) for name in ([layer] if layer else registers.register("layers"))}
    scored = {name: _weight(table, name, guesses, known) for name, guesses in tried.items()}
    best = max(scored.values(), default=0.0)
    names = [name for name, weight in scored.items() if weight == best and weight > 0]
    chosen = layer or (names[0] if len(names) == 1 else None)
    guesses = tried[chosen] if chosen else tried[names[0]] if names else _guesses(facts, None, known)
    shared = guesses if chosen else tuple(one for one in guesses if one.ours in GENERIC)
    return chosen, shared, tuple(names) if len(names) > 1 else ()


def _guesses(facts: Mapping[str, Facts], layer: str | None, taken: Mapping[str, str]) -> tuple[Guess, ...]:
    """Best guesses, each of ours and of theirs once."""
    rows = {row["column"]: row for row in registers.table("schema", layer)} if layer else {one: {} for one in GENERIC}
    wanted = [one for one in (*rows, *COORDINATES) if one != "geometry" and one not in taken]
    every = [
        guess for theirs, fact in facts.items() for ours in wanted if (guess := _guess(ours, theirs, fact, rows.get(ours, {})))
    ]
    given: dict[str, Guess] = {}
    first = {ours: ours in ("name_ar", "name_en") for ours in wanted}
    for guess in sorted(every, key=lambda one: (-one.score, not first[one.ours], one.ours, one.theirs)):
        if guess.ours not in given and guess.theirs not in {one.theirs for one in given.values()}:
            given[guess.ours] = guess
    pairs = (("lon", "lat"), ("x", "y"))
    lonely = {one for pair in pairs for one in pair if not set(pair) <= set(given)}
    return tuple(guess for ours, guess in sorted(given.items()) if ours not in lonely)


def _weight(table: pd.DataFrame, layer: str, guesses: Sequence[Guess], taken: Mapping[str, str]) -> float:
    """How much speaks for a layer: its own columns; nothing where a needed one is missing or the shapes are of another kind."""
    rows = registers.table("schema", layer)
    there = {one.ours for one in guesses} | {ours for ours, theirs in taken.items() if theirs}
    allowed = next((row["type"].split("|") for row in rows if row["column"] == "geometry"), [])
    kinds = kinds_of(table)
    if not _needed(rows, there, layer) or (kinds and allowed and not kinds & set(allowed)):
        return 0.0
    telling = sum(one.score for one in guesses if one.ours not in GENERIC)
    if layer == "neighbourhoods":
        return 0.5 * float(kinds == {"polygon"} and {"id"} <= there)
    return round(telling, 6)


@dataclass(frozen=True)
class Facts:
    """What a column holds, by shares of its filled cells (0–1); `low` and `high` of its numbers."""

    numbers: float
    low: float
    high: float
    arabic: float
    latin: float
    dates: float
    wkt: float
    points: float
    codes: float
    grades: float
    once: float
    distinct: int


def facts_of(values: pd.Series[Any]) -> Facts:
    """What the first filled cells of a column hold; grades and repetition of all."""
    filled = values.dropna()
    some = filled.head(int(limit("recognition", "coded_rows")))
    text = [_text(one) for one in some]
    numbers = as_number(some)
    rows = max(len(text), 1)

    def share(test: Any) -> float:
        return sum(bool(test(one)) for one in text) / rows

    every = {_fold(one) for name in registers.names("sources") for one in registers.tree("sources", name).get("grades", ())}
    return Facts(
        float(numbers.notna().mean()) if len(some) else 0.0,
        float(numbers.min()),
        float(numbers.max()),
        share(ARABIC.search),
        share(LATIN.search),
        share(re.compile(r"\d{4}[-/]?\d{2}[-/]?\d{2}([T ].*)?$|\d{1,2}[-/.]\d{1,2}[-/.]\d{4}").match),
        share(WKT.match),
        share(GEOPOINT.fullmatch),
        share(level_of),
        share(lambda one: _fold(one) in every and not one.isdecimal()),
        filled.nunique() / max(len(filled), 1),
        int(filled.nunique()),
    )


def _guess(ours: str, theirs: str, fact: Facts, row: Mapping[str, str]) -> Guess | None:
    """A guess by name, or by values alone where these say it; None where the values can't be this column."""
    if not _can_be(ours, fact, row):
        return None
    by_values = {"id": 0.7 * fact.codes, "wkt": 0.8 * fact.wkt, "geopoint": 0.6 * fact.points, "grade": 0.75 * fact.grades}.get(
        ours, 0.0
    )
    name, score = _nearest(theirs, ours)
    if score and score >= by_values:
        why = message("its name resembles '{name}'", name=name) if score < 0.97 else message("its name is '{name}'", name=name)
        return Guess(ours, theirs, round(score * _credit(ours, fact), 3), why)
    if by_values >= limit("recognition", "graded_share"):
        return Guess(ours, theirs, round(by_values, 3), message("its values look like it"))
    return None


@lru_cache(maxsize=65_536)
def _nearest(theirs: str, ours: str) -> tuple[str, float]:
    """The known name nearest to a column's."""
    best = ("", 0.0)
    for name in _synonyms().get(ours, (ours,)):
        score = alike(theirs, name)
        if not score and min(len(theirs), len(name)) > 3:
            ratio = SequenceMatcher(None, spelled(theirs), spelled(name), autojunk=False).ratio()
            score = 0.8 * ratio if ratio >= limit("recognition", "near_name") else 0.0
        best = max(best, (name, score), key=lambda one: one[1])
    return best


def _credit(ours: str, fact: Facts) -> float:
    """Less for a code that repeats or a name in the other script."""
    if ours == "id":
        return 1.0 if fact.once == 1 else 0.8
    if ours in ("name_ar", "name_en"):
        return 0.9 + 0.1 * fact.once
    return 1.0


def _can_be(ours: str, fact: Facts, row: Mapping[str, str]) -> bool:
    """Whether the values can be this column: type, limits, script."""
    most = 1 - limit("recognition", "script_share") / 5
    if not fact.distinct:
        return False
    if ours in ("name_ar", "name_en"):
        return (fact.arabic if ours == "name_ar" else fact.latin) >= limit("recognition", "script_share")
    if ours in ("lon", "lat"):
        return fact.numbers >= most and abs(fact.low) <= (reach := 180 if ours == "lon" else 90) and abs(fact.high) <= reach
    if ours in ("x", "y"):
        return fact.numbers >= most and fact.high > 180
    if ours in ("wkt", "geopoint"):
        return (fact.wkt if ours == "wkt" else fact.points) >= most
    if row.get("type") == "number":
        low, high = (float(row[one]) if row[one] else bound for one, bound in (("minimum", -np.inf), ("maximum", np.inf)))
        return fact.numbers >= most and fact.low >= low and fact.high <= high
    if row.get("type") == "date":
        return fact.dates >= most
    if ours in ("grade", "state", "functionality"):
        return fact.distinct <= limit("recognition", "coded_rows") and fact.dates < most
    return fact.wkt < most


def select_multiples(columns: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Questions of multiple choice and the columns of their options.

    >>> select_multiples(["needs", "needs/water", "needs/food", "site/name"])
    {'needs': ('needs/water', 'needs/food')}
    """
    there = set(columns)
    found: dict[str, tuple[str, ...]] = {}
    for one in columns:
        question = one.rpartition("/")[0]
        if question in there:
            found[question] = (*found.get(question, ()), one)
    return found


# Units and people


def unit_findings(table: pd.DataFrame, columns: Mapping[str, str], where: str) -> tuple[Finding, ...]:
    """Names that repeat, units that were split, and people repeated on each part, which a plain sum would count twice."""
    names = columns.get("name_ar") or columns.get("name_en")
    if names is None or table.empty or columns.get("grade") is not None:
        return ()
    key = table[names].map(lambda one: _unit(one) if isinstance(one, str) else pd.NA)
    repeated = key.notna() & key.duplicated(keep=False)
    if not repeated.any():
        return ()
    people, codes = columns.get("people"), columns.get("id")
    told_apart = codes is not None and table[codes].is_unique and _are_codes(table[codes], ALL_LEVELS)
    shown = list(dict.fromkeys(table.loc[repeated, names].map(clean)))[: int(limit("recognition", "shown"))]
    rows = table.loc[repeated, "row"] if "row" in table else table.index[repeated]
    found = [
        finding(
            "repeated-names",
            "info" if told_apart else "warning",
            where,
            message("Names that stand in more than one row: {names}.", names=shown),
            remedy=message("Say whether they are parts of one unit or different places."),
            rows=rows,
        )
    ]
    if people is not None and not told_apart:
        found += _people_repeated(as_number(table[people]), key, people, where, rows)
    return tuple(found)


def _unit(name: str) -> tuple[str, tuple[str, ...]]:
    one = folded(name)
    return one.written, tuple(sorted(one.parts))


def _people_repeated(people: pd.Series[Any], key: pd.Series[Any], column: str, where: str, rows: Any) -> list[Finding]:
    parts = people[key.duplicated(keep=False) & key.notna()]
    groups = parts.groupby(key[parts.index])
    same, several = (groups.nunique() == 1) & (groups.max() > 0), groups.count() > 1
    if (same & several).any():
        naive, once = people.sum(), people.sum() - sum(values.iloc[1:].sum() for unit, values in groups if same[unit])
        found = message(
            "'{column}' is the same on each part of {n} units: its plain sum is {naive}, each unit once gives {once}.",
            column=column,
            n=int((same & several).sum()),
            naive=round(float(naive)),
            once=round(float(once)),
        )
        remedy = message("If they are parts of one unit, people are counted once a unit.")
        return [finding("people-repeated", "warning", where, found, remedy=remedy, rows=rows)]
    return []


# Mappings that a person confirmed


def save_mapping(
    folder: Path, name: str, found: Recognition, columns: Iterable[str], *, grades: Mapping[str, str] | None = None
) -> Path:
    """Keep a confirmed mapping in the study; it applies by itself when a table has the same columns.

    Parameters
    ----------
    found
        What was confirmed: `columns` (with the guesses that were agreed to), `layer` and, for its grades, `profile`.
    columns
        The columns of the table, all of them: by this set it is known again.
    grades
        What the grades mean that the profile does not list, theirs to ours.

    Raises
    ------
    StudyError
        The name can't be used, a column or state is not known, or the folder can't be written.
    """
    content = _mapping(name, found, tuple(columns), grades or {})
    path = folder / MAPPINGS / f"{name}.toml"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", encoding="utf-8", dir=path.parent, suffix=".part", delete=False) as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(file.name).replace(path)
        flush(path.parent)
    except OSError as error:
        raise StudyError(not_written(folder, error)) from None
    return path


def _mapping(name: str, found: Recognition, columns: Sequence[str], grades: Mapping[str, str]) -> str:
    """The mapping as TOML, in the form of a profile."""
    _check_mapping(name, found, columns, grades)
    quoted = {ours: f"[{_quoted(theirs)}]" for ours, theirs in found.columns.items()}
    lines = [
        "# A mapping that a person confirmed: tables with the same columns are read by it. It has the form of data/sources/*.toml.",
        f"name = {{ ar = {_quoted(name)}, en = {_quoted(name)} }}",
        f"layers = [{_quoted(str(found.layer))}]",
        *([f"profile = {_quoted(profile)}"] if (profile := found.grades_from or found.profile) else []),
        f"same_columns = [{', '.join(_quoted(one) for one in sorted(columns))}]",
        "[columns]",
        *(f"{ours} = {theirs}" for ours, theirs in sorted(quoted.items())),
        "[grades]",
        *(f"{_quoted(theirs)} = {_quoted(ours)}" for theirs, ours in sorted(grades.items())),
    ]
    return "\n".join(lines) + "\n"


def _check_mapping(name: str, found: Recognition, columns: Sequence[str], grades: Mapping[str, str]) -> None:
    layers = registers.register("layers")
    known = {row["column"] for row in registers.table("schema", found.layer)} | set(COORDINATES) if found.layer in layers else set()
    faults = [
        (
            re.fullmatch(r"[a-z0-9][a-z0-9-]{0,40}", name) is None,
            message("Lower-case Latin letters, digits and hyphens are expected."),
        ),
        (found.layer not in layers, message("Known: {known}.", known=list(layers))),
        (bool(set(found.columns) - known) and bool(known), message("Known: {known}.", known=sorted(known))),
        (bool(set(found.columns.values()) - set(columns)), message("Columns of the file: {columns}.", columns=list(columns)[:40])),
        (
            bool(set(grades.values()) - set(registers.register("states"))),
            message("Known: {known}.", known=list(registers.register("states"))),
        ),
    ]
    wrong = [expected for fault, expected in faults if fault]
    if wrong:
        said = message("This mapping can't be kept.")
        raise StudyError(*(finding("mapping", "error", name[:40] or "-", said, expected=expected) for expected in wrong))


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def mappings(folder: Path) -> dict[str, dict[str, Any]]:
    """The mappings kept in a study, by name, in the form of a profile; one that can't be read is left out."""
    found = {}
    for path in sorted((folder / MAPPINGS).glob("*.toml")):
        try:
            tree = tomllib.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        if isinstance(tree.get("columns"), dict) and isinstance(tree.get("same_columns"), list):
            found[path.stem] = tree
    return found


def _saved(table: pd.DataFrame, folder: Path, where: str) -> Recognition | None:
    """The mapping that was confirmed for the same set of columns; likely where several were."""
    columns = set(columns_of(table))
    fitting = {name: tree for name, tree in mappings(folder).items() if set(tree["same_columns"]) == columns}
    if not fitting:
        return None
    name, tree = next(iter(fitting.items()))
    profile = tree.get("profile")
    grades = dict(tree.get("grades", {}))
    taken = {ours: theirs[0] for ours, theirs in tree["columns"].items() if theirs and theirs[0] in columns}
    notes: list[Finding] = []
    if "grade" in taken:
        listed = {**_listed(profile), **grades}
        notes = _unlisted(graded(table[taken["grade"]], listed)[1], taken["grade"], listed, where)
    notes += unit_findings(table, taken, where)
    layer = next(iter(tree.get("layers", [])), None)
    sure: Certainty = "certain" if len(fitting) == 1 else "likely"
    others = tuple(list(fitting)[1:])
    return Recognition(profile, layer, taken, sure, tuple(notes), grades=grades, saved=name, others=others)


def _listed(profile: str | None) -> dict[str, str]:
    """Grades of a profile; of ours where it has none or is not known any more."""
    try:
        tree = registers.tree("sources", profile) if profile else {}
    except TarmimError:
        tree = {}
    return dict(tree.get("grades") or registers.tree("sources", "tarmim")["grades"])


def confirmed(found: Recognition, choices: Mapping[str, str] | None = None, *, layer: str | None = None) -> Recognition:
    """A recognition that a person agreed to: its guesses become columns; `choices` (ours to theirs, "" for none) go first."""
    chosen = {one.ours: one.theirs for one in found.proposal} | dict(found.columns) | dict(choices or {})
    columns = {ours: theirs for ours, theirs in chosen.items() if theirs}
    return replace(found, columns=columns, layer=layer or found.layer, certainty="certain", proposal=())


def entry(found: Recognition) -> dict[str, Any]:
    """What a layer's entry in `study.toml` needs: `profile` where one is known, and `columns` (points of forms are read before).

    >>> entry(Recognition("unosat", "damage", {"grade": "Main_Dam_2", "geopoint": "gps"}, "certain"))
    {'profile': 'unosat', 'columns': {'grade': 'Main_Dam_2'}}
    """
    columns = {ours: theirs for ours, theirs in found.columns.items() if ours != "geopoint"}
    schema = {row["column"] for row in registers.table("schema", found.layer)} | set(COORDINATES) if found.layer else set(columns)
    kept = {ours: theirs for ours, theirs in columns.items() if ours in schema}
    profile = found.grades_from or found.profile
    return {**({"profile": profile} if profile else {}), "columns": kept}
