"""Stakeholder groups: what each holds to matter, on its own and combined.

A scheme may hold `[groups.<id>]`: authority, residents, women's and youth groups, business, organisations. Each says what matters
in one of four ways: `weights`, `swing`, `order` or `pairwise`; every criterion must be judged, nothing is filled in. Combined, the
groups count by their `influence` in a geometric mean: of the judgements themselves where all groups compare the same pairs
(aggregation of individual judgements), else of their weights (aggregation of individual priorities; Forman & Peniwati 1998).
Known bias: who was not asked is not in it, and a mean hides a dispute; so each group's own list stands beside the combined one.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal, TypeAlias

import numpy as np
import pandas as pd
from pydantic import Field

from geo import registers
from geo.aggregation import Floats
from geo.errors import Finding, finding
from geo.messages import Message, message
from geo.study import BothLanguages, Model
from geo.weights import CONSISTENT, ORDERS, Judged, ahp, geometric_mean, random_index, shares

Number = Annotated[float, Field(allow_inf_nan=False)]
Axes: TypeAlias = Mapping[str, str]  # criterion → its axis
WAYS = ("weights", "swing", "order", "pairwise")
FLAT, OVER = "criteria", "axes"
TABLES = {FLAT: message("All criteria"), OVER: message("All axes")}
RECIPROCAL = 0.05  # so 0.33 and 0.14 are taken for the other side of 3 and 7, and 0.3 is not
FRACTION = re.compile(r"\d{1,4}(\.\d{1,6})?(/\d{1,4})?")


class Comparison(Model):
    """A table of pairwise comparisons: how many times each item matters as much as each other; fractions may be written "1/3"."""

    items: tuple[str, ...] = Field(min_length=2)
    rows: tuple[tuple[Number | str, ...], ...]

    def matrix(self) -> Floats:
        """The judgements as numbers, NaN where one can't be read, not a number above 0, or is missing."""
        count = len(self.items)
        found = np.full((count, count), np.nan)
        for i, row in enumerate(self.rows[:count]):
            for j, value in enumerate(row[:count]):
                found[i, j] = _number(value)
        return found

    def reciprocal(self) -> Floats:
        """The judgements made exactly reciprocal: 3 and 0.33 become √(3/0.33) and its inverse."""
        matrix = self.matrix()
        return np.asarray(np.sqrt(matrix / matrix.T))


def _number(value: float | str) -> float:
    if isinstance(value, str):
        above, _, below = value.partition("/")
        value = float(above) / float(below or 1) if FRACTION.fullmatch(value) and float(below or 1) else 0.0
    return value if value > 0 else float("nan")


class Group(Model):
    """A stakeholder group: its name, its influence on the combined weights, and its judgement in one of four ways.

    `order` lists the criteria from what matters most; `rank_weights` says how an order becomes weights. `pairwise` holds one table
    `criteria`, or one table `axes` and one by axis that has more than one criterion.
    """

    name: BothLanguages
    influence: float = Field(default=1.0, gt=0, allow_inf_nan=False)
    weights: dict[str, Number] | None = None
    swing: dict[str, Number] | None = None
    order: tuple[str, ...] | None = None
    rank_weights: Literal["roc", "rank_sum"] = "roc"
    pairwise: dict[str, Comparison] | None = None

    def ways(self) -> list[str]:
        """How the group judged; a sound group has one way."""
        return [way for way in WAYS if getattr(self, way) is not None]


@dataclass(frozen=True)
class Weighed:
    """Weights of all groups.

    Attributes
    ----------
    table
        Index: criteria in the scheme's order. One column a group; each sums to 1.
    combined
        The groups' weights combined, sum 1.
    consistency
        One row a table of comparisons: `group, table, items, ratio`, and the pair that contradicts most (`first, second, given,
        consistent`).
    findings
        A warning for each table whose consistency ratio is above 0.10.
    """

    table: pd.DataFrame
    combined: dict[str, float]
    consistency: pd.DataFrame
    findings: tuple[Finding, ...]


def weigh(groups: Mapping[str, Group], axes: Axes, where: str) -> Weighed:
    """The weights of sound groups (`faults` finds nothing wrong with them), each alone and all combined."""
    criteria = list(axes)
    alone = {ident: _weights(group, axes) for ident, group in groups.items()}
    table = pd.DataFrame(alone, index=criteria)
    influence = np.array([group.influence for group in groups.values()])
    common = _common_tables(groups)
    if common is None:
        together = shares(geometric_mean(table.to_numpy().T, influence))
    else:
        together = _from_tables(_mean_tables(common, influence), axes)
    consistency = [
        _row(ident, name, one, ahp(one.reciprocal()))
        for ident, group in groups.items()
        for name, one in (group.pairwise or {}).items()
    ]
    columns = ["group", "table", "items", "ratio", "first", "second", "given", "consistent"]
    found = tuple(_inconsistent(row, groups, where) for row in consistency if float(str(row["ratio"])) > CONSISTENT)
    return Weighed(table, dict(zip(criteria, together.tolist(), strict=True)), pd.DataFrame(consistency, columns=columns), found)


def _weights(group: Group, axes: Axes) -> Floats:
    criteria = list(axes)
    if group.pairwise is not None:
        return _from_tables({name: (one.items, one.reciprocal()) for name, one in group.pairwise.items()}, axes)
    if group.order is not None:
        by_place = dict(zip(group.order, ORDERS[group.rank_weights](len(group.order)), strict=True))
        return np.array([by_place[name] for name in criteria])
    points = group.weights if group.weights is not None else group.swing or {}
    return shares(np.array([points[name] for name in criteria]))


Tables: TypeAlias = Mapping[str, tuple[tuple[str, ...], Floats]]  # by name: items and their reciprocal judgements


def _from_tables(tables: Tables, axes: Axes) -> Floats:
    """Weights of criteria from one table, or from axes and within axes: the product of both."""
    local = {name: dict(zip(items, ahp(matrix).weights, strict=True)) for name, (items, matrix) in tables.items()}
    if FLAT in local:
        return np.array([local[FLAT][name] for name in axes])
    above = local.get(OVER, dict.fromkeys(axes.values(), 1.0))  # a single axis is compared with nothing
    return np.array([above[axis] * local.get(axis, {name: 1.0})[name] for name, axis in axes.items()])


def _common_tables(groups: Mapping[str, Group]) -> list[dict[str, tuple[tuple[str, ...], Floats]]] | None:
    """Every group's tables, items in one order, where all groups compare the same pairs; else None."""
    given = [group.pairwise for group in groups.values()]
    first = given[0]
    if first is None:
        return None
    found = []
    for tables in given:
        if tables is None or set(tables) != set(first):
            return None
        aligned = {}
        for name, one in tables.items():
            place = [one.items.index(item) for item in first[name].items]
            aligned[name] = (first[name].items, one.reciprocal()[np.ix_(place, place)])
        found.append(aligned)
    return found


def _mean_tables(common: Sequence[Tables], influence: Floats) -> Tables:
    return {
        name: (items, geometric_mean(np.array([tables[name][1] for tables in common]), influence))
        for name, (items, _) in common[0].items()
    }


def _row(ident: str, name: str, one: Comparison, judged: Judged) -> dict[str, object]:
    row, column = judged.worst
    return {
        "group": ident,
        "table": name,
        "items": len(one.items),
        "ratio": judged.ratio,
        "first": one.items[row],
        "second": one.items[column],
        "given": float(one.matrix()[row, column]),
        "consistent": judged.consistent,
    }


def named(item: str) -> dict[str, str]:
    """A criterion's, axis's or table's name in both languages, for sentences; an unknown one as it stands."""
    if item in TABLES:
        return TABLES[item].both()
    for register, field in (("measures", "label"), ("axes", "name")):
        rows = registers.register(register)
        if item in rows:
            return registers.both(rows[item], field)
    return {"ar": item, "en": item}


def _inconsistent(row: Mapping[str, object], groups: Mapping[str, Group], where: str) -> Finding:
    given, consistent = float(str(row["given"])), float(str(row["consistent"]))
    return finding(
        "judgements-inconsistent",
        "warning",
        where,
        message(
            "The comparisons of group '{group}' (table {table}) contradict each other: consistency ratio {ratio}.",
            group=groups[str(row["group"])].name.model_dump(),
            table=named(str(row["table"])),
            ratio=f"{row['ratio']:.3f}",
        ),
        expected=message("At most {limit}.", limit=f"{CONSISTENT:.2f}"),
        remedy=message(
            "Ask the group again about '{first}' against '{second}': it said {given}; {consistent} would agree with its other "
            "answers.",
            first=named(str(row["first"])),
            second=named(str(row["second"])),
            given=ratio(given),
            consistent=ratio(consistent),
        ),
    )


def ratio(value: float) -> str:
    """A judgement as people write it: 3, 2.5, 1/3.

    >>> ratio(3.0), ratio(2.46), ratio(1 / 3)
    ('3', '2.5', '1/3')
    """
    return f"{round(value, 1):g}" if value >= 1 else f"1/{round(1 / value, 1):g}"


def faults(groups: Mapping[str, Group], axes: Axes, where: str) -> list[Finding]:
    """Everything that is wrong with the judgements of all groups, at once."""
    found: list[Finding] = []
    for ident, group in groups.items():
        ways = group.ways()
        if len(ways) != 1:
            found.append(
                _fault(
                    "group-judgement",
                    where,
                    message("Group '{group}' has {n} judgements: {ways}.", group=ident, n=len(ways), ways=ways),
                    message("One of: {known}.", known=WAYS),
                )
            )
        for way in ways:
            found += _way_faults(ident, group, way, axes, where)
    return found


def _fault(code: str, where: str, found: Message, expected: Message, remedy: Message | None = None) -> Finding:
    return finding(code, "error", where, found, expected=expected, remedy=remedy or message("Mend it in the scheme."))


def _way_faults(ident: str, group: Group, way: str, axes: Axes, where: str) -> Iterator[Finding]:
    if way == "pairwise":
        yield from _pairwise_faults(ident, group.pairwise or {}, axes, where)
        return
    given = getattr(group, way)
    yield from _name_faults(f"{ident}.{way}", list(given), list(axes), where)
    if way == "order":
        return
    for name, value in given.items():
        if not value > 0:
            yield _fault(
                "group-weight",
                where,
                message("'{entry}': '{name}' is {value}.", entry=f"{ident}.{way}", name=name, value=value),
                message("A number above 0: a 0 of one group would erase the criterion for all."),
            )


def _name_faults(entry: str, given: Sequence[str], wanted: Sequence[str], where: str) -> Iterator[Finding]:
    """Unknown, repeated and missing names of a list of judgements."""
    expected = message("Each of these once: {known}.", known=sorted(wanted))
    problems = (
        ("judgement-unknown", message("'{entry}' judges what is not there: {names}."), sorted(set(given) - set(wanted))),
        ("judgement-repeated", message("'{entry}' judges twice: {names}."), sorted(n for n, c in Counter(given).items() if c > 1)),
        ("judgement-missing", message("'{entry}' does not judge: {names}."), sorted(set(wanted) - set(given))),
    )
    for code, text, names in problems:
        if names:
            yield _fault(code, where, Message(text.text, {"entry": entry, "names": names}), expected)


def _pairwise_faults(ident: str, tables: Mapping[str, Comparison], axes: Axes, where: str) -> Iterator[Finding]:
    entry = f"{ident}.pairwise"
    for name, items in _wanted(tables, axes).items():
        if name in tables:
            yield from _table_faults(f"{entry}.{name}", tables[name], items, where)
    wanted = _wanted(tables, axes)
    if set(wanted) != set(tables):
        yield from _name_faults(entry, list(tables), list(wanted), where)


def _wanted(tables: Mapping[str, Comparison], axes: Axes) -> dict[str, list[str]]:
    """The tables that are needed, with their items: `criteria` alone, or `axes` and one for each axis with several criteria."""
    if FLAT in tables:
        return {FLAT: list(axes)}
    used = list(dict.fromkeys(axes.values()))
    within = {axis: [name for name, one in axes.items() if one == axis] for axis in used}
    over = {OVER: used} if len(used) > 1 else {}
    return over | {axis: names for axis, names in within.items() if len(names) > 1}


def _table_faults(entry: str, one: Comparison, items: Sequence[str], where: str) -> Iterator[Finding]:
    yield from _name_faults(entry, one.items, items, where)
    most = max(random_index())
    if len(one.items) > most:
        yield _fault(
            "judgement-too-many",
            where,
            message("'{entry}' compares {n} items.", entry=entry, n=len(one.items)),
            message("At most {most} in one table.", most=most),
            message("Compare the axes, then the criteria within each axis."),
        )
    if len(one.rows) != len(one.items) or any(len(row) != len(one.items) for row in one.rows):
        yield _fault(
            "judgement-not-square",
            where,
            message("'{entry}' has rows of {lengths} judgements.", entry=entry, lengths=[len(row) for row in one.rows]),
            message("{n} rows of {n} judgements.", n=len(one.items)),
        )
        return
    matrix = one.matrix()
    for i, j in zip(*np.triu_indices(len(matrix)), strict=True):
        pair = {"entry": entry, "first": one.items[i], "second": one.items[j]}
        there, back = one.rows[i][j], one.rows[j][i]
        if np.isnan(matrix[i, j]) or np.isnan(matrix[j, i]):
            yield _fault(
                "judgement-not-a-number",
                where,
                message("'{entry}': '{first}' against '{second}' is '{there}' and '{back}'.", there=there, back=back, **pair),
                message('Numbers above 0, or fractions such as "1/3".'),
            )
        elif abs(np.log(matrix[i, j] * matrix[j, i])) > RECIPROCAL:
            yield _fault(
                "judgement-not-reciprocal",
                where,
                message("'{entry}': '{first}' against '{second}' is '{there}' and '{back}'.", there=there, back=back, **pair),
                message("The second is 1 over the first; an item against itself is 1."),
            )
