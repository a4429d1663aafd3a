"""Proposals: what the columns of a table may be that no profile knows, by their names and what they hold.

A person confirms a proposal once (`geo.mappings`). Known bias: values alone say little; only codes, well-known text, points and
grades speak for a column whose name says nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd

from geo import registers
from geo.column_names import COORDINATES, GENERIC, alike, columns_of, kinds_of, select_multiples
from geo.grades import cell_text, folded_grade
from geo.messages import Message, message
from geo.names import ARABIC, LATIN, UNDERSTANDING, limit, spelled
from geo.pcodes import level_of
from geo.validation import as_number

WKT = re.compile(r"\s*(MULTI)?(POINT|LINESTRING|POLYGON)\s*(Z|M|ZM)?\s*\(", re.IGNORECASE)
NUMBER = r"[-+]?\d+(?:\.\d+)?"
GEOPOINT = re.compile(rf"\s*\[?\s*({NUMBER})[,\s]+({NUMBER})(?:[,\s]+{NUMBER}){{0,2}}\s*\]?\s*")


@dataclass(frozen=True)
class Guess:
    """A column of ours, theirs that it may be, how sure (0–1), and why."""

    ours: str
    theirs: str
    score: float
    why: Message


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
    tried = {name: guesses_of(facts, name, known) for name in ([layer] if layer else registers.register("layers"))}
    scored = {name: _weight(table, name, guesses, known) for name, guesses in tried.items()}
    best = max(scored.values(), default=0.0)
    names = [name for name, weight in scored.items() if weight == best and weight > 0]
    chosen = layer or (names[0] if len(names) == 1 else None)
    guesses = tried[chosen] if chosen else tried[names[0]] if names else guesses_of(facts, None, known)
    shared = guesses if chosen else tuple(one for one in guesses if one.ours in GENERIC)
    return chosen, shared, tuple(names) if len(names) > 1 else ()


def guesses_of(facts: Mapping[str, Facts], layer: str | None, taken: Mapping[str, str]) -> tuple[Guess, ...]:
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
    if not needed_are_there(rows, there, layer) or (kinds and allowed and not kinds & set(allowed)):
        return 0.0
    telling = sum(one.score for one in guesses if one.ours not in GENERIC)
    if layer == "neighbourhoods":
        return 0.5 * float(kinds == {"polygon"} and {"id"} <= there)
    return round(telling, 6)


def needed_are_there(rows: Sequence[Mapping[str, str]], there: set[str], layer: str) -> bool:
    """Whether a schema's needed columns are there."""
    needed = {row["column"] for row in rows if row["required"] == "yes"} - {"geometry"}
    if layer == "damage":
        needed = set() if there & {"grade", "state"} else {"grade"}
    groups = {row["required"] for row in rows} - {"yes", "no"}
    several = ({row["column"] for row in rows if row["required"] == group} for group in groups)
    return needed <= there and all(group & there for group in several)


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
    text = [cell_text(one) for one in some]
    numbers = as_number(some)
    rows = max(len(text), 1)

    def share(test: Any) -> float:
        return sum(bool(test(one)) for one in text) / rows

    every = {folded_grade(one) for name in registers.names("sources") for one in registers.tree("sources", name).get("grades", ())}
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
        share(lambda one: folded_grade(one) in every and not one.isdecimal()),
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
