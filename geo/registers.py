"""The registers: schemas, schemes, damage factors, source profiles, names of axes and sectors, all of them files in `data/`.

A name is looked up here and nowhere else; a miss lists the known names. A name never becomes a path: it is compared with the
names of the files that are there.
"""

from __future__ import annotations

import csv
import tomllib
from difflib import get_close_matches
from functools import lru_cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Literal

from geo.errors import UnknownNameError, finding
from geo.messages import message

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

Kind = Literal["schema", "schemes", "factors", "sources", "understanding", "weighting"]


def names(kind: Kind) -> tuple[str, ...]:
    """The known names of a kind, sorted."""
    entries = files("data").joinpath(kind).iterdir()
    return tuple(sorted(name.rsplit(".", 1)[0] for name in (entry.name for entry in entries) if name.endswith((".csv", ".toml"))))


def lookup(kind: Kind, name: str) -> Traversable:
    """The file of a name.

    Raises
    ------
    UnknownNameError
        No file of that name is registered.
    """
    known = names(kind)
    if name not in known:
        near = get_close_matches(name, known, n=1)
        raise UnknownNameError(
            finding(
                "unknown-name",
                "error",
                kind,
                message("'{name}' is not known.", name=name),
                expected=message("Known: {known}.", known=known),
                remedy=message("Did you mean '{near}'?", near=near[0]) if near else message("Use one of the known names."),
            )
        )
    folder = files("data").joinpath(kind)
    return next(entry for entry in folder.iterdir() if entry.name in (f"{name}.csv", f"{name}.toml"))


def _rows(entry: Traversable) -> tuple[dict[str, str], ...]:
    lines = (line for line in entry.read_text(encoding="utf-8").splitlines() if not line.startswith("#"))
    return tuple(csv.DictReader(lines))


@lru_cache(maxsize=64)
def table(kind: Kind, name: str) -> tuple[dict[str, str], ...]:
    """The rows of a registered CSV table, as text; lines that begin with # are its source and licence."""
    return _rows(lookup(kind, name))


@lru_cache(maxsize=64)
def tree(kind: Kind, name: str) -> dict[str, Any]:
    """The content of a registered TOML file; not to be changed by the caller."""
    return tomllib.loads(lookup(kind, name).read_text(encoding="utf-8"))


@lru_cache(maxsize=16)
def register(
    name: Literal[
        "layers",
        "measures",
        "units",
        "axes",
        "sectors",
        "road_classes",
        "states",
        "facility_kinds",
        "assumptions",
        "uncertainty",
        "finding_codes",
        "closures",
    ],
) -> dict[str, dict[str, str]]:
    """A register by its first column: layers, measures, axes, sectors, road classes, damage states, kinds of facility, codes.

    >>> register("sectors")["water"]["name_ar"]
    'المياه'
    """
    rows = _rows(files("data").joinpath(f"{name}.csv"))
    key = next(iter(rows[0]))
    return {row[key]: row for row in rows}


def both(row: dict[str, str], field: str) -> dict[str, str]:
    """A text of a register row in both languages.

    >>> both(register("sectors")["water"], "name")
    {'ar': 'المياه', 'en': 'Water'}
    """
    return {"ar": row[f"{field}_ar"], "en": row[f"{field}_en"]}
