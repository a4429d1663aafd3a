"""Agreement: how far the list depends on choices that are nobody's measurement: the method, the groups, the damage factors.

The same measures are ranked under every method and normalisation, under each stakeholder group's weights and under every registered
damage factor table; Kendall's τ-b says how alike two lists are (1 the same, 0 unrelated, −1 turned around), Kendall's W how alike
several are (0 to 1), and the neighbourhoods whose rank moves most are named. Known bias: methods share weights and goalposts, so
their agreement says nothing about whether those are right.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from geo import damage, registers
from geo.aggregation import METHODS, NORMALISATIONS, Floats
from geo.errors import Finding, finding
from geo.figures import figure
from geo.groups import named
from geo.harmonise import City
from geo.messages import Message, message
from geo.ranking import rank
from geo.scheme import Factors, Scheme, read_factors
from geo.scoring import METHOD_NAMES, NORMALISATION_NAMES, normalised, total_score, weights_of

TOP = 10
NAMED = 5
PAIRS = 4_000_000
Labels = dict[str, Any]


@dataclass(frozen=True)
class Compared:
    """Lists beside the run's own: tables by name, their headings in both languages, and what is worth saying of them."""

    tables: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    labels: Mapping[str, Labels] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()


def variants(scheme: Scheme) -> dict[str, Scheme]:
    """The scheme under every method between goalposts, and under the weighted sum with every normalisation; its own way first."""
    ways = [(scheme.method, scheme.normalisation)]
    ways += [(method, "goalposts") for method in METHODS]
    ways += [("weighted_sum", name) for name in NORMALISATIONS]  # type: ignore[misc]
    return {
        f"{method}.{normalisation}": scheme.model_copy(update={"method": method, "normalisation": normalisation})
        for method, normalisation in ways
    }


def compare_methods(measures: pd.DataFrame, scheme: Scheme) -> pd.DataFrame:
    """Ranks by neighbourhood under every variant of the scheme (`variants`); missing where not assessable.

    Returns
    -------
    DataFrame
        Index of the measures; one column `<method>.<normalisation>` a variant, the scheme's own first, whole numbers.
    """
    scales: dict[str, Floats] = {}
    ranks = {}
    for name, one in variants(scheme).items():
        if one.normalisation not in scales:
            scales[one.normalisation] = normalised(measures, one).to_numpy()
        ranks[name] = _ranks(scales[one.normalisation], weights_of(one), one, measures.index)
    return pd.DataFrame(ranks, index=measures.index)


def _ranks(values: Floats, weights: Floats, scheme: Scheme, index: pd.Index[Any]) -> pd.Series[int]:
    return rank(pd.Series(total_score(values, weights, scheme) * 100, index=index))["rank"]


def compare_groups(measures: pd.DataFrame, scheme: Scheme) -> pd.DataFrame:
    """`rank_<group>` and `score_<group>` (0 to 100) by neighbourhood under each group's weights, and `difference` of the ranks."""
    values, table = normalised(measures, scheme).to_numpy(), scheme.weighed().table
    found = {}
    for ident in scheme.groups:
        scores = pd.Series(total_score(values, table[ident].to_numpy(), scheme) * 100, index=measures.index)
        found[f"rank_{ident}"] = rank(scores)["rank"]
        found[f"score_{ident}"] = scores
    result = pd.DataFrame(found, index=measures.index)
    result["difference"] = difference(result[[f"rank_{ident}" for ident in scheme.groups]])
    return result


def compare_factors(city: City, scheme: Scheme, measures: pd.DataFrame) -> pd.DataFrame:
    """Ranks by neighbourhood with the damage factors of the scheme and of every registered table.

    Returns
    -------
    DataFrame
        Index of the measures; one column a factor table, the scheme's own first. Empty where no criterion rests on the factors.
    """
    used = [one.measure for one in scheme.criteria if one.measure in damage.FACTORED]
    if "damage" not in city.layers or not used:
        return pd.DataFrame(index=measures.index)
    # a measure of damage is linear in the factors: measured once with factors of 1, then times the mean factor of the structures
    states = [state for state in scheme.factors.best if f"structures_{state}" in measures]
    counts = measures[[f"structures_{state}" for state in states]].to_numpy(dtype="float64")
    whole = dict.fromkeys(scheme.factors.best, 1.0)
    ones = scheme.model_copy(update={"factors": Factors(name="ones", low=whole, best=whole, high=whole)})
    unit = damage.measure(city, ones)[used]
    ranks = {}
    for name in (scheme.factors.name, *(one for one in registers.names("factors") if one != scheme.factors.name)):
        factors = scheme.factors if name == scheme.factors.name else read_factors(name)
        lost = counts @ np.array([factors.best[state] for state in states])
        mean = lost / np.where(counts.sum(axis=1) == 0, 1.0, counts.sum(axis=1))
        changed = measures.assign(**{measure: unit[measure].to_numpy() * mean for measure in used})
        ranks[name] = _ranks(normalised(changed, scheme).to_numpy(), weights_of(scheme), scheme, measures.index)
    return pd.DataFrame(ranks, index=measures.index)


def difference(ranks: pd.DataFrame) -> pd.Series[int]:
    """Worst rank less best rank of each row; missing where there is none.

    >>> difference(pd.DataFrame({"a": [1, 2, 3], "b": [3, 2, 1]})).tolist()
    [2, 0, 2]
    """
    return (ranks.max(axis=1) - ranks.min(axis=1)).astype("Int64")


def kendall_tau(ranks: pd.DataFrame) -> pd.DataFrame:
    """Kendall's τ-b between every two columns, over the rows where both are known; NaN where a column is all one tie.

    Kendall 1945, doi:10.1093/biomet/33.3.239.

    >>> table = pd.DataFrame({"a": [1, 2, 3, 4], "b": [1, 2, 4, 3], "c": [4, 3, 2, 1]})
    >>> kendall_tau(table).loc["a"].round(3).tolist()  # b: 5 pairs agree, 1 does not, of 6
    [1.0, 0.667, -1.0]
    """
    values = ranks.to_numpy(dtype="float64", na_value=np.nan).T
    count, rows = values.shape
    agree, decided = np.zeros((count, count)), np.zeros((count, count))
    step = max(1, PAIRS // max(rows * count, 1))
    for start in range(0, rows, step):
        signs = np.sign(values[:, start : start + step, None] - values[:, None, :]).reshape(count, -1).astype(np.float32)
        known = ~np.isnan(signs)
        signs = np.where(known, signs, np.float32(0))
        agree += signs @ signs.T  # whole numbers far below what 32 bits hold exactly, added up in 64
        decided += np.abs(signs) @ known.T.astype(np.float32)
    both = np.sqrt(decided * decided.T)
    tau = np.where(both > 0, agree / np.where(both > 0, both, 1.0), np.nan)
    return pd.DataFrame(tau, index=ranks.columns, columns=ranks.columns)


def kendall_w(ranks: pd.DataFrame) -> float:
    """Kendall's coefficient of concordance W, corrected for ties, over the rows that every column ranks; NaN below two rows.

    >>> kendall_w(pd.DataFrame({"a": [1, 2, 3], "b": [1, 2, 3], "c": [1, 2, 3]}))
    1.0
    """
    whole = ranks.dropna().rank().to_numpy(dtype="float64")
    rows, judges = whole.shape
    if rows < 2 or not judges:
        return float("nan")
    sums = whole.sum(axis=1)
    sizes = [np.unique(column, return_counts=True)[1] for column in whole.T]
    ties = sum(float((size.astype("float64") ** 3 - size).sum()) for size in sizes)
    spread = 12 * float((sums**2).sum()) - 3 * judges**2 * rows * (rows + 1) ** 2
    most = judges**2 * rows * (rows**2 - 1) - judges * ties
    return spread / most if most > 0 else float("nan")


def drive(contributions: pd.DataFrame, scores: pd.Series[float]) -> pd.Series[float]:
    """How much of the differences between scores each criterion makes: ``cov(points, score) / var(score)``; they sum to 1.

    A weight is not an importance (Paruolo, Saisana & Saltelli 2013, doi:10.1111/j.1467-985X.2012.01059.x): a criterion that is the
    same everywhere moves no rank, whatever its weight. Negative: it works against the others. An unknown criterion gives no points;
    rows without a score are left out; NaN where all scores are alike.

    >>> points = pd.DataFrame({"a": [10.0, 30.0], "b": [20.0, 20.0]})
    >>> drive(points, points.sum(axis=1)).tolist()
    [1.0, 0.0]
    """
    known = scores.notna().to_numpy()
    given = contributions.to_numpy(dtype="float64")[known]
    given = np.where(np.isnan(given), 0.0, given)
    away = scores.to_numpy(dtype="float64")[known]
    away = away - away.mean() if len(away) else away
    spread = float(away @ away)
    share = away @ given / spread if spread > 0 else np.full(given.shape[1], np.nan)
    return pd.Series(share, index=contributions.columns)


def title(variant: str) -> Message:
    """The name of a variant: its method, and its normalisation where that is not the usual one."""
    method, _, normalisation = variant.partition(".")
    if normalisation == "goalposts":
        return METHOD_NAMES[method]
    return message("{method}, {normalisation}", method=METHOD_NAMES[method], normalisation=NORMALISATION_NAMES[normalisation])


def extremes(ranks: pd.DataFrame, count: int) -> pd.DataFrame:
    """The rows whose rank differs most between columns: `own` (first column), `best`, `best_by`, `worst`, `worst_by`, `difference`.

    The largest difference first, then by own rank; rows on which all agree are not in it.
    """
    known = ranks.dropna().astype("float64")
    table = pd.DataFrame(
        {
            "own": known.iloc[:, 0],
            "best": known.min(axis=1),
            "best_by": known.idxmin(axis=1),
            "worst": known.max(axis=1),
            "worst_by": known.idxmax(axis=1),
        }
    ).astype({"own": "int64", "best": "int64", "worst": "int64"})
    table["difference"] = table["worst"] - table["best"]
    moved = table[table["difference"] > 0]
    return moved.sort_values(["difference", "own"], ascending=[False, True], kind="stable").head(count)


def compare(city: City, scheme: Scheme, measures: pd.DataFrame) -> Compared:
    """Everything that a run keeps beside its own list: tables `methods`, `factors`, and `groups` where the scheme has groups."""
    methods, factors = compare_methods(measures, scheme), compare_factors(city, scheme, measures)
    tables = {"methods": methods.assign(difference=difference(methods))}
    labels: dict[str, Labels] = {
        "methods": _labels(message("Methods side by side"), {str(name): title(str(name)) for name in methods})
    }
    found: list[Finding] = []
    if factors.shape[1]:
        tables["factors"] = factors.assign(difference=difference(factors))
        labels["factors"] = _labels(
            message("Damage factors side by side"), {str(name): message("Factors: {name}", name=str(name)) for name in factors}
        )
        found += _factor_findings(factors, scheme)
    if scheme.groups:
        tables["groups"] = compare_groups(measures, scheme)
        labels["groups"] = _labels(message("Groups side by side"), _group_headings(scheme))
        found += group_findings(tables["groups"], scheme)
    placed = {name: table.rename_axis("id").reset_index() for name, table in tables.items()}
    return Compared(placed, labels, tuple(found))


def _labels(name: Message, columns: Mapping[str, Message]) -> Labels:
    headings = {"id": message("Code"), **columns, "difference": message("Largest difference of ranks")}
    return {"title": name.both(), "columns": {column: text.both() for column, text in headings.items()}}


def _group_headings(scheme: Scheme) -> dict[str, Message]:
    headings = {}
    for ident, group in scheme.groups.items():
        headings[f"rank_{ident}"] = message("Rank: {group}", group=group.name.model_dump())
        headings[f"score_{ident}"] = message("Score: {group}", group=group.name.model_dump())
    return headings


def _factor_findings(factors: pd.DataFrame, scheme: Scheme) -> list[Finding]:
    """Whether the head of the list is the same under every factor table, and who is in it under some only."""
    own = factors.iloc[:, 0]
    within = (factors <= TOP).fillna(False)
    moving = [str(one) for one in factors.index[within.any(axis=1) & ~within.all(axis=1)]]
    head = within.iloc[:, 0]
    differing = [str(name) for name in factors if (factors[name] != own)[head].any()]
    if not differing:
        return []
    return [
        finding(
            "factors-decide",
            "warning" if moving else "info",
            scheme.factors.name,
            message(
                "The order of the first {top} depends on the damage factors: it is another under {tables}.",
                top=TOP,
                tables=differing,
            ),
            expected=message("In the first {top} under some tables only: {names}.", top=TOP, names=moving)
            if moving
            else message("The same neighbourhoods are the first {top} under every table.", top=TOP),
            remedy=message("Compare the table of damage factors before a list is decided by them."),
            rows=moving,
        )
    ]


def group_findings(table: pd.DataFrame, scheme: Scheme) -> list[Finding]:
    """How far the groups' lists agree, and on which neighbourhoods and criteria they differ most."""
    ranks = table[[f"rank_{ident}" for ident in scheme.groups]]
    first = extremes(ranks, NAMED)
    weights = scheme.weighed().table
    apart = str((weights.max(axis=1) / weights.min(axis=1)).idxmax())
    row = {ident: float(weights[ident][apart]) for ident in scheme.groups}
    most, least = max(row, key=row.__getitem__), min(row, key=row.__getitem__)
    return [
        finding(
            "groups-compared",
            "info",
            f"{scheme.id}.toml",
            message("The lists of the groups agree with W = {w} (1: the same list).", w=figure(kendall_w(ranks), 2)),
            expected=message(
                "Their weights differ most on '{criterion}': {high}% ({most}) against {low}% ({least}).",
                criterion=named(apart),
                high=figure(row[most] * 100, 1),
                most=scheme.groups[most].name.model_dump(),
                low=figure(row[least] * 100, 1),
                least=scheme.groups[least].name.model_dump(),
            ),
            remedy=message("Their ranks differ most for: {names}.", names=[str(one) for one in first.index])
            if len(first)
            else message("They give every neighbourhood the same rank."),
            rows=first.index,
        )
    ]
