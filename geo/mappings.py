"""Mappings: what a table was recognised as, agreed to by a person, and kept in the study.

A kept mapping applies by itself when the same set of columns comes again, and goes before every profile.
"""

from __future__ import annotations

import json
import os
import re
import tempfile
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from geo import registers
from geo.column_names import COORDINATES, columns_of
from geo.errors import Finding, StudyError, finding, not_written
from geo.grades import graded, grades_of, not_listed
from geo.messages import message
from geo.proposals import Guess
from geo.repeated_units import unit_findings
from geo.staging import flush

Certainty = Literal["certain", "likely", "unknown"]
MAPPINGS = "mappings"


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


def confirmed(found: Recognition, choices: Mapping[str, str] | None = None, *, layer: str | None = None) -> Recognition:
    """A recognition that a person agreed to: its guesses become columns; `choices` (ours to theirs, "" for none) go first."""
    chosen = {one.ours: one.theirs for one in found.proposal} | dict(found.columns) | dict(choices or {})
    columns = {ours: theirs for ours, theirs in chosen.items() if theirs}
    return replace(found, columns=columns, layer=layer or found.layer, certainty="certain", proposal=())


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


def saved(table: pd.DataFrame, folder: Path, where: str) -> Recognition | None:
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
        listed = {**grades_of(profile), **grades}
        notes = not_listed(graded(table[taken["grade"]], listed)[1], taken["grade"], listed, where)
    notes += unit_findings(table, taken, where)
    layer = next(iter(tree.get("layers", [])), None)
    sure: Certainty = "certain" if len(fitting) == 1 else "likely"
    others = tuple(list(fitting)[1:])
    return Recognition(profile, layer, taken, sure, tuple(notes), grades=grades, saved=name, others=others)


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
