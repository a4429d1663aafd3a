"""Grades: whether the values of a column are those that a profile lists, and which profile lists them.

Grades outside a list are named, never guessed. Known bias: bare numbers mean opposite things in UNOSAT (1 is destroyed) and EMS-98
(1 is slight), so that values alone never decide between profiles that disagree.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from geo import registers
from geo.errors import Finding, TarmimError, finding
from geo.messages import message
from geo.names import clean, limit
from geo.pcodes import level_of


def graded(values: pd.Series[Any], grades: Mapping[str, str]) -> tuple[float, list[str]]:
    """Share of the rows with a value whose grade a list holds, and the values that it does not, most frequent first."""
    listed = {folded_grade(one) for one in grades}
    try:
        raw = values.dropna().value_counts()  # few values, many rows
    except TypeError:  # cells that are lists
        raw = values.dropna().map(cell_text).value_counts()
    counts = raw.groupby([cell_text(one) for one in raw.index], sort=False).sum().sort_values(ascending=False, kind="stable")
    counts = counts[counts.index != ""]
    inside = np.array([folded_grade(one) in listed for one in counts.index], dtype=bool)
    total = counts.sum()
    return (float(counts[inside].sum() / total) if total else 0.0), [str(one) for one in counts.index[~inside]]


def folded_grade(text: str) -> str:
    """A grade without what differs by hand: spaces and capitals."""
    return " ".join(text.split()).casefold()


def cell_text(value: object) -> str:
    """A cell as text; whole numbers without their `.0`."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else clean(str(value))


def not_listed(values: Sequence[str], column: str, grades: Iterable[str], where: str) -> list[Finding]:
    """The finding that names grades outside a list; none where there are none."""
    if not values:
        return []
    shown = list(values[: int(limit("recognition", "shown"))])
    found = message("Grades of '{column}' that the list does not hold: {values}.", column=column, values=shown)
    expected = message("Grades of the profile: {grades}.", grades=list(grades))
    remedy = message("They stay unknown until somebody says what they mean.")
    return [finding("grades-not-listed", "warning", where, found, expected=expected, remedy=remedy, count=len(values))]


def profile_of_grades(values: pd.Series[Any], column: str, where: str) -> tuple[str | None, list[Finding]]:
    """The one profile that holds these grades; where several do and disagree, none."""
    every = {name: registers.tree("sources", name).get("grades", {}) for name in registers.names("sources")}
    lists: dict[str, dict[str, str]] = {name: grades for name, grades in every.items() if grades}
    shares = {name: graded(values, grades) for name, grades in lists.items()}
    fitting = {name: unlisted for name, (share, unlisted) in shares.items() if share >= limit("recognition", "graded_share")}
    if not fitting:
        given = [cell_text(one) for one in values.dropna().unique()]
        return None, not_listed(given, column, registers.tree("sources", "tarmim")["grades"], where)
    fullest = [name for name, unlisted in fitting.items() if len(unlisted) == min(map(len, fitting.values()))]
    meanings = {tuple(_meanings(values, lists[name])) for name in fullest}
    if len(meanings) == 1:
        return fullest[0], not_listed(fitting[fullest[0]], column, lists[fullest[0]], where)
    found = message(
        "The grades of '{column}' mean different things in different sources: {profiles}.", column=column, profiles=fullest
    )
    remedy = message("Ask who made the survey, and choose the source.")
    return None, [finding("grades-contradict", "warning", where, found, remedy=remedy)]


def _meanings(values: pd.Series[Any], grades: Mapping[str, str]) -> list[tuple[str, str]]:
    listed = {folded_grade(theirs): ours for theirs, ours in grades.items()}
    every = sorted({folded_grade(cell_text(one)) for one in values.dropna().unique()})
    return [(one, listed.get(one, "")) for one in every]


def grades_of(profile: str | None) -> dict[str, str]:
    """Grades of a profile; of ours where it has none or is not known any more."""
    try:
        tree = registers.tree("sources", profile) if profile else {}
    except TarmimError:
        tree = {}
    return dict(tree.get("grades") or registers.tree("sources", "tarmim")["grades"])


def are_codes(values: pd.Series[Any], levels: Sequence[str]) -> bool:
    """Whether a column holds P-codes of one of these levels."""
    seen = values.dropna().head(int(limit("recognition", "coded_rows"))).map(lambda one: level_of(cell_text(one)) in levels)
    return bool(len(seen)) and float(seen.mean()) >= 1 - limit("recognition", "graded_share") / 5
