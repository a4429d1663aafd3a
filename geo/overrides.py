"""Overrides: a rank that a named person changed, with a reason, shown beside the rank of the run and with what it costs.

A run is never written to. The units that were moved stand where the decision puts them, all others keep their order around them.
What it costs is counted in people: who comes sooner and who waits longer, and by how many places. Known bias: a place is a place;
that the first wait less than the last is not weighed.
"""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd

from geo.errors import Finding, SchemeError, finding
from geo.messages import LANGS, Message, message, messages
from geo.run import Run

COLUMNS = ("decided_rank", "decided_by", "decided_on", "decided_why")


@dataclass(frozen=True)
class Override:
    """One decision: the unit (its id), the rank it gets, who decided when, and why."""

    unit: str
    rank: int
    by: str
    on: datetime.date
    why: str


def faults(run: Run, overrides: Sequence[Override]) -> tuple[Finding, ...]:
    """What can't be: a unit that the run does not rank, a rank beyond its list, two units on one rank, no reason or name."""
    ranked = run.priorities[run.priorities["status"] == "ranked"]
    known, found = set(ranked["id"]), []
    places: dict[int, list[str]] = {}
    for one in overrides:
        places.setdefault(one.rank, []).append(one.unit)
        if one.unit not in known:
            said = message("'{unit}' is not ranked in this run.", unit=one.unit)
            found.append(
                finding("override-unit", "error", "override", said, expected=message("The code of a ranked neighbourhood."))
            )
        if not 1 <= one.rank <= len(ranked):
            said = message("Rank {rank} was asked for.", rank=one.rank)
            expected = message("A rank from 1 to {n}.", n=len(ranked))
            found.append(finding("override-rank", "error", "override", said, expected=expected))
        if not one.by.strip() or not one.why.strip():
            said = message("The decision on '{unit}' has no name or no reason.", unit=one.unit)
            found.append(finding("override-reason", "error", "override", said, expected=message("Who decides, and why.")))
    for rank, units in places.items():
        if len(units) > 1:
            said = message("Several units were put on rank {rank}: {units}.", rank=rank, units=units)
            found.append(finding("override-twice", "error", "override", said, remedy=message("Give each a rank of its own.")))
    return tuple(found)


def decided(run: Run, overrides: Sequence[Override]) -> Run:
    """The run with `decided_rank` (whole number, missing where not assessable) and who, when and why of the units that were moved.

    Rows stay in the order of the run's own ranks, which stay as they are. Without overrides it is the run itself.

    Raises
    ------
    SchemeError
        With everything that can't be; see `faults`.
    """
    if not overrides:
        return run
    wrong = faults(run, overrides)
    if wrong:
        raise SchemeError(*wrong)
    table = run.priorities
    fixed = {one.unit: one for one in overrides}
    ranked = table.loc[table["status"] == "ranked", "id"].tolist()
    order = _order(ranked, {one.unit: one.rank for one in overrides})
    places = pd.Series(range(1, len(order) + 1), index=order, dtype="Int64")
    columns = {
        "decided_rank": table["id"].map(places).astype("Int64"),
        "decided_by": _said(table, {unit: one.by for unit, one in fixed.items()}),
        "decided_on": _said(table, {unit: one.on.isoformat() for unit, one in fixed.items()}),
        "decided_why": _said(table, {unit: one.why for unit, one in fixed.items()}),
    }
    position = table.columns.get_loc("rank") + 1
    before, after = table.iloc[:, :position], table.iloc[:, position:]
    joined = pd.concat([before, pd.DataFrame(columns, index=table.index), after], axis=1)
    return replace(run, priorities=gpd.GeoDataFrame(joined, geometry="geometry", crs=table.crs))


def _order(units: Sequence[str], fixed: dict[str, int]) -> list[str]:
    """Units in their order, but those with a fixed place there.

    >>> _order(["a", "b", "c", "d"], {"d": 1, "a": 3})
    ['d', 'b', 'a', 'c']
    """
    taken = {rank: unit for unit, rank in fixed.items()}
    rest = iter([unit for unit in units if unit not in fixed])
    return [taken[place] if place in taken else next(rest) for place in range(1, len(units) + 1)]


def _said(table: pd.DataFrame, by_unit: dict[str, str]) -> pd.Series[Any]:
    return table["id"].map(by_unit).astype("string")


@dataclass(frozen=True)
class Cost:
    """What the decisions change, in people: those of units that come sooner and later, and people × places; NaN people left out.

    `unknown` counts the moved units whose people are not known.
    """

    sooner: float
    later: float
    places_sooner: float
    places_later: float
    units_sooner: int
    units_later: int
    unknown: int

    def sentence(self) -> Message:
        """In words."""
        said = message(
            "{sooner} people in {units_sooner} neighbourhoods come sooner, {later} people in {units_later} wait longer "
            "(people × places: {places_sooner} gained, {places_later} lost).",
            sooner=round(self.sooner),
            units_sooner=self.units_sooner,
            later=round(self.later),
            units_later=self.units_later,
            places_sooner=round(self.places_sooner),
            places_later=round(self.places_later),
        )
        if not self.unknown:
            return said
        more = messages("Of {n} of them the people are not known.", "Of {n} of them the people are not known.", self.unknown)
        return message("{said} {more}", said=said, more=more)


def cost(run: Run) -> Cost:
    """What the decisions of a run of `decided` cost; all zero for a run without any.

    Ties count as the places in which the list shows them.
    """
    table = run.priorities[run.priorities["status"] == "ranked"].reset_index(drop=True)
    if "decided_rank" not in table:
        return Cost(0, 0, 0, 0, 0, 0, 0)
    moved = (np.arange(1, len(table) + 1) - table["decided_rank"].to_numpy(dtype=float)).round().astype(int)
    people = table["people"].to_numpy(dtype=float) if "people" in table else np.full(len(table), np.nan)
    known = np.nan_to_num(people)
    up, down = moved > 0, moved < 0
    return Cost(
        sooner=float(known[up].sum()),
        later=float(known[down].sum()),
        places_sooner=float((known * moved)[up].sum()),
        places_later=float((known * -moved)[down].sum()),
        units_sooner=int(up.sum()),
        units_later=int(down.sum()),
        unknown=int((np.isnan(people) & (moved != 0)).sum()),
    )


def in_words(run: Run) -> dict[str, str]:
    """The cost in both languages; empty for a run without decisions."""
    return cost(run).sentence().both() if "decided_rank" in run.priorities else dict.fromkeys(LANGS, "")
