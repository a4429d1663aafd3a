"""Difference of two runs: why a neighbourhood has another rank now, split into data, factors, weights and method.

Each run keeps its measures, its counts by damage state and its whole scheme, so every mixture of the two can be scored again: the
data of one with the factors, the weights and the method of the other. What a part does depends on which parts changed before it;
so each part gets its **Shapley value**: its effect averaged over all 24 orders in which the four could have changed (Shapley 1953;
as in the decomposition of indices by Shorrocks 2013, doi:10.1007/s10888-011-9214-z). It is counted in twenty-fourths of a rank, in
whole numbers, so the parts sum to the change exactly. Known bias: neighbourhoods that come or go push others up and down; that is
counted with the data, and so is a change of the programme where data changed too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from geo.damage import FACTORED
from geo.errors import Finding, finding
from geo.figures import figure
from geo.messages import LANGS, Message, message
from geo.ranking import rank
from geo.run import Run
from geo.scheme import Criterion, Scheme
from geo.scoring import normalised, total_score, weights_of

PARTS = ("data", "factors", "weights", "method")
UNKNOWN = "unknown"
ORDERS = 24
SHARE = (6, 2, 2, 6)  # orders in which a part comes after 0, 1, 2, 3 given others
MEASURING = ("debris_reach_m", "facility_match_m")  # options that change what is measured, not how it is put together
SAID: dict[str, Message] = {
    "data": message("data"),
    "factors": message("damage factors"),
    "weights": message("weights"),
    "method": message("method and goalposts"),
    "unknown": message("another version of the programme"),
}
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Difference:
    """What moved between two runs.

    Attributes
    ----------
    table
        Neighbourhoods ranked in both, by id: `name_ar, name_en, rank_a, rank_b, change` (rank_b − rank_a; negative: nearer to the
        front), `data, factors, weights, method, unknown` (ranks; they sum to the change), `said_ar, said_en`. Largest change first.
    apart
        Neighbourhoods that are not ranked in both, by id: `name_ar, name_en, rank_a, rank_b, reason_ar, reason_en`.
    findings
        Which layers differ, and what could not be told apart.
    """

    table: pd.DataFrame
    apart: pd.DataFrame
    findings: tuple[Finding, ...]


def compare(a: Run, b: Run) -> Difference:
    """Each neighbourhood's change of rank from run `a` to run `b`, split into its parts.

    In a mixture where a neighbourhood can't be assessed it counts as behind all that can.
    """
    sides = (_Side.of(a), _Side.of(b))
    ranked = [side.table.index[side.table["rank"].notna()] for side in sides]
    both = ranked[0].intersection(ranked[1]).sort_values()
    places = {mixture: _places(sides, mixture, both) for mixture in product((0, 1), repeat=len(PARTS))}
    shares = {part: _shapley(places, at) for at, part in enumerate(PARTS)}
    before, after = (side.table.loc[both, "rank"].to_numpy(np.int64) for side in sides)
    shares[UNKNOWN] = ORDERS * ((after - before) - (places[1, 1, 1, 1] - places[0, 0, 0, 0]))
    credited, findings = _credit(a, b, sides)
    if credited != "data":
        shares[credited] = shares[credited] + shares["data"]
        shares["data"] = np.zeros_like(before)
    table = sides[1].table.loc[both, ["name_ar", "name_en"]].assign(rank_a=before, rank_b=after, change=after - before)
    for part, counted in shares.items():
        table[part] = counted / ORDERS
    said = [_sentence(*row) for row in zip(before, after, *(shares[part] for part in (*PARTS, UNKNOWN)), strict=True)]
    for lang in LANGS:
        table[f"said_{lang}"] = pd.Series([one.render(lang) for one in said], index=both, dtype="object")
    far = table["change"].abs().rename("far")
    ordered = table.assign(far=far).sort_values(["far", "rank_b"], ascending=[False, True], kind="stable").drop(columns="far")
    return Difference(ordered.rename_axis("id"), _apart(sides, both), findings)


@dataclass(frozen=True)
class _Side:
    """One run as it can be scored again."""

    table: pd.DataFrame
    scheme: Scheme

    @classmethod
    def of(cls, run: Run) -> _Side:
        table = pd.DataFrame(run.priorities.drop(columns="geometry"))
        table.index = pd.Index(table["id"].astype(str), name=None)
        return cls(table.sort_index(), Scheme(**run.info["scheme"]))


def _places(sides: tuple[_Side, _Side], mixture: tuple[int, ...], units: pd.Index[str]) -> Ints:
    """Ranks of the units with the data, factors, weights and method of the sides named, one of 0 and 1 each."""
    data, factors, weights, method = (sides[side] for side in mixture)
    measures = data.table if data is factors else with_factors(data.table, factors.scheme)
    scheme = mixed(weights.scheme, method.scheme)
    scores = total_score(normalised(measures, scheme).to_numpy(np.float64), weights_of(scheme), scheme)
    found = rank(pd.Series(scores * 100, index=measures.index))["rank"]
    return np.asarray(found.loc[units].fillna(int(found.notna().sum()) + 1).to_numpy(np.int64))


def mixed(weights: Scheme, method: Scheme) -> Scheme:
    """The weights of one scheme with the method, goalposts, directions and limits of another, over the criteria of both.

    A criterion that `weights` does not have weighs nothing; one that `method` does not have keeps its own goalposts.
    """
    ways = {one.measure: one for one in (*weights.criteria, *method.criteria)}
    given = {one.measure: one.weight for one in weights.criteria}
    criteria: tuple[Criterion, ...] = tuple(
        one.model_copy(update={"weight": given.get(measure, 0.0)}) for measure, one in ways.items()
    )
    return method.model_copy(update={"criteria": criteria})


def with_factors(table: pd.DataFrame, scheme: Scheme) -> pd.DataFrame:
    """The measures of a run as they would be with the damage factors of a scheme, from its counts by state.

    Parameters
    ----------
    table
        Measures by neighbourhood, with `structures_<state>`. The bounds are left as they were.

    Examples
    --------
    >>> from geo.scheme import read_scheme
    >>> run = pd.DataFrame({"structures_destroyed": [2.0], "structures_severe": [1.0], "damage_index": [0.27], "buildings": [10.0]})
    >>> with_factors(run, read_scheme("default"))["damage_index"].round(4).tolist()  # (2 × 1 + 1 × 0.525) / 10
    [0.2525]
    """
    states = [state for state in scheme.factors.best if f"structures_{state}" in table]
    used = [name for name in FACTORED if name in table]
    if not states or not used:
        return table
    counts = table[[f"structures_{state}" for state in states]].to_numpy(np.float64, na_value=np.nan)
    new = counts @ np.array([scheme.factors.best[state] for state in states])
    return table.assign(**{name: np.where(np.isnan(_column(table, name)), np.nan, new / _base(table, name)) for name in used})


def _base(table: pd.DataFrame, name: str) -> npt.NDArray[np.float64]:
    """What the equivalent destroyed structures are divided by: nothing, the surveyed area, or the structures analysed."""
    own, value = _column(table, "equivalent_destroyed"), _column(table, name)
    if name == "equivalent_destroyed":
        return np.ones(len(table))
    covered = _column(table, f"{name}_coverage")
    covered = np.where(covered > 0, covered, 1.0)
    if name == "equivalent_destroyed_per_km2":
        otherwise = _column(table, "area_km2") * covered
    else:
        otherwise = _column(table, "buildings") * covered - np.nan_to_num(_column(table, "structures_not_analysed"))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where((own > 0) & (value > 0), own / value, otherwise)


def _column(table: pd.DataFrame, name: str) -> npt.NDArray[np.float64]:
    if name not in table:
        return np.full(len(table), np.nan)
    return np.asarray(table[name].to_numpy(np.float64, na_value=np.nan))


def _shapley(places: Mapping[tuple[int, ...], Ints], at: int) -> Ints:
    """A part's effect on the ranks, summed over all 24 orders."""
    total = np.zeros_like(places[0, 0, 0, 0])
    for without in (mixture for mixture in places if not mixture[at]):
        joined = (*without[:at], 1, *without[at + 1 :])
        total = total + SHARE[sum(without)] * (places[joined] - places[without])
    return total


def _credit(a: Run, b: Run, sides: tuple[_Side, _Side]) -> tuple[str, tuple[Finding, ...]]:
    """Which part a change of the measures counts for, and what is worth saying of it."""
    old, new = ({one["layer"]: _inputs(one) for one in run.info["layers"]} for run in (a, b))
    layers = [name for name in dict.fromkeys((*old, *new)) if old.get(name) != new.get(name)]
    differing = [name for name in ("scenario", "decisions") if a.info.get(name) != b.info.get(name)]
    same_place = a.info["study"]["crs"] == b.info["study"]["crs"]
    options = any(getattr(sides[0].scheme.options, name) != getattr(sides[1].scheme.options, name) for name in MEASURING)
    code = a.info["tarmim"] != b.info["tarmim"]
    findings = []
    if layers:
        said = message("Layers that differ between the runs: {layers}.", layers=layers)
        findings.append(finding("layers-differ", "info", b.id, said))
    if not layers and not differing and same_place:
        return ("method" if options else UNKNOWN), tuple(findings)
    if options:
        said = message("The reach of debris or the matching of facilities changed too; what that moved is counted with the data.")
        findings.append(finding("options-with-data", "warning", b.id, said))
    if code:
        said = message("The runs were made by versions {old} and {new}; what that moved is counted with the data.",
                       old=a.info["tarmim"], new=b.info["tarmim"])  # fmt: skip
        findings.append(finding("version-with-data", "warning", b.id, said))
    return "data", tuple(findings)


def _inputs(entry: Mapping[str, Any]) -> tuple[Any, ...]:
    return entry["sha256"], entry["extent_sha256"], entry["profile"], entry["settings"]


def in_tenths(counted: Sequence[int]) -> list[int]:
    """Twenty-fourths of a rank as tenths that keep their sum (a whole rank): those with the largest rest are rounded up.

    >>> in_tenths([-40, -32])  # −1.667 and −1.333 ranks: −3
    [-17, -13]
    """
    exact = [10 * int(one) for one in counted]
    down = [one // ORDERS for one in exact]
    missing = sum(exact) // ORDERS - sum(down)
    for at in sorted(range(len(exact)), key=lambda n: down[n] * ORDERS - exact[n])[:missing]:
        down[at] += 1
    return down


def _sentence(before: int, after: int, *counted: int) -> Message:
    tenths = in_tenths(counted)
    parts = [
        message("{part} {ranks}", part=SAID[name], ranks=_signed(one))
        for name, one in zip((*PARTS, UNKNOWN), tenths, strict=True)
        if one
    ]
    if not parts:
        return message("Rank {place} in both.", place=int(before))
    if before == after:
        return message("Rank {place} in both: {parts}.", place=int(before), parts=parts)
    return message("From rank {before} to rank {after}: {parts}.", before=int(before), after=int(after), parts=parts)


def _signed(tenths: int) -> str:
    size = figure(abs(tenths) / 10, 1 if tenths % 10 else 0)
    return f"+{size}" if tenths > 0 else f"−{size}"


def _apart(sides: tuple[_Side, _Side], both: pd.Index[str]) -> pd.DataFrame:
    """Neighbourhoods that are not ranked in both runs, with the reason."""
    first, second = (side.table for side in sides)
    listed = [table.index[table["rank"].notna()] for table in (first, second)]
    rows = {}
    for unit in first.index.union(second.index).difference(both):
        reasons = []
        for own, ranked, other, only, silent in (
            (first, listed[0], second, message("in the first run only"), message("not assessable in the first run")),
            (second, listed[1], first, message("in the second run only"), message("not assessable in the second run")),
        ):
            if unit not in other.index:
                reasons.append(only)
            if unit in own.index and unit not in ranked:
                reasons.append(silent)
        named = second if unit in second.index else first
        places = {f"rank_{side}": table["rank"].get(unit, pd.NA) for side, table in (("a", first), ("b", second))}
        said = {f"reason_{lang}": ("، " if lang == "ar" else ", ").join(one.render(lang) for one in reasons) for lang in LANGS}
        rows[unit] = {"name_ar": named.at[unit, "name_ar"], "name_en": named.at[unit, "name_en"], **places, **said}
    columns = ["name_ar", "name_en", "rank_a", "rank_b", "reason_ar", "reason_en"]
    table = pd.DataFrame.from_dict(rows, orient="index", columns=columns).rename_axis("id")
    return table.astype({"rank_a": "Int64", "rank_b": "Int64"})


def movers(now: Run, other: Run) -> pd.DataFrame:
    """What moves between the run of now and that of a scenario.

    Returns
    -------
    DataFrame
        By id, those that move most first: `name_ar, name_en, rank_now, rank, moved` (places gained, missing where either has no
        rank), `people_now, people`. Neighbourhoods that keep their rank are left away; those that are ranked in one of the two only
        come first.
    """
    before, after = (run.priorities.drop(columns="geometry").set_index("id").sort_index() for run in (now, other))
    nobody = pd.Series(np.nan, index=before.index)
    table = before[["name_ar", "name_en"]].assign(
        rank_now=before["rank"],
        rank=after["rank"],
        moved=before["rank"] - after["rank"],
        people_now=before.get("people", nobody),
        people=after.get("people", nobody),
    )
    apart = table["rank_now"].isna() != table["rank"].isna()
    moved = table[apart | (table["moved"].fillna(0) != 0)]
    far = moved["moved"].abs().astype("float64").fillna(np.inf)
    farthest = moved.assign(far=far).sort_values(["far", "rank"], ascending=[False, True], kind="stable")
    return pd.DataFrame(farthest.drop(columns="far"))
