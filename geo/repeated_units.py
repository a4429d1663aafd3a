"""Repeated units: names that stand in several rows, units that were split, people repeated on each part.

A plain sum counts such people several times. Known bias: districts and neighbourhoods often share a name; only a person, or codes
that tell them apart, can say which it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from geo.errors import Finding, finding
from geo.grades import are_codes
from geo.messages import message
from geo.names import clean, folded, limit
from geo.validation import as_number

ALL_LEVELS = ("adm1", "adm2", "adm3", "community", "neighbourhood")


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
    told_apart = codes is not None and table[codes].is_unique and are_codes(table[codes], ALL_LEVELS)
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
