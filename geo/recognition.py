"""Recognition: which known source a delivered table is, and which of its columns are ours.

A profile (`data/sources/*.toml`) says by which columns and values it is known, whatever a shapefile or a form made of their names.
A table that no profile knows gets a proposal, which a person confirms once; it is kept in the study and applies by itself when the
same columns come again. Grades outside a list are named, never guessed. Known bias: a profile is known by its columns; a file that
was renamed by hand is only proposed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from geo import registers
from geo.column_names import COORDINATES, GENERIC, alike, columns_of, found_column, kinds_of, number_of
from geo.errors import Finding, finding
from geo.garbled import garbled
from geo.grades import are_codes, graded, not_listed, profile_of_grades
from geo.hashtags import hashtags, tag_fits, without_hashtags
from geo.mappings import Certainty, Recognition, saved
from geo.messages import message
from geo.names import limit
from geo.proposals import NUMBER, facts_of, guesses_of, needed_are_there, propose
from geo.repeated_units import unit_findings


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
    known = saved(data, folder, where) if folder is not None else None
    if known is not None:
        return known
    fits = [*_hxl(tags, data, layer, where)] if tags else [*_fits(data, layer, where), *_ours(data, layer, where)]
    found = _best(fits) or Recognition(None, layer, {}, "unknown")
    return _completed(found, data, where)


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
        notes += not_listed(unlisted, taken["grade"], tree["grades"], where)
    for ours, levels in form.get("codes", {}).items():
        certain = certain and ours in taken and are_codes(table[taken[ours]], levels.split("|"))
    sure: Certainty = "certain" if certain else "likely"
    return len(form["needed"]) + usual, Recognition(profile, form.get("layer"), taken, sure, tuple(notes))


def _shaped(table: pd.DataFrame, form: Mapping[str, Any]) -> bool:
    kinds = kinds_of(table)
    return not kinds or not form.get("geometry") or bool(kinds & set(form["geometry"]))


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
            or not needed_are_there(rows, own, name)
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
    profile, notes = profile_of_grades(table[column], column, where)
    return profile, "likely", notes


def _hxl(tags: Mapping[str, str], table: pd.DataFrame, layer: str | None, where: str) -> list[tuple[int, Recognition]]:
    tree = registers.tree("sources", "hxl")
    ignored = set(tree["recognise"][0].get("ignored", ()))
    taken: dict[str, str] = {}
    for ours, wanted in {**tree["coordinates"], **tree["columns"]}.items():
        for tag in wanted:
            there = [one for one, given in tags.items() if one not in taken.values() and tag_fits(given, tag, ignored)]
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
        grades_from, notes = profile_of_grades(table[columns["grade"]], columns["grade"], where)
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
    guesses = [one for one in guesses_of(facts, None, found.columns) if one.ours in COORDINATES]
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


def _nothing(table: pd.DataFrame, where: str) -> Finding:
    return finding(
        "not-recognised",
        "warning",
        where,
        message("No known source has these columns: {columns}.", columns=columns_of(table)[: int(limit("recognition", "shown"))]),
        remedy=message("Say which column is which; it is kept for the next delivery."),
    )
