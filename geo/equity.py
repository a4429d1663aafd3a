"""Equity: how evenly need, spending and benefit fall on people, and what the list looks like when those who have less count more.

Everything is per person and weighted by people: a neighbourhood of 20,000 counts as 20,000 people who all have its average. So
differences within a neighbourhood are not seen, and every figure here is a lower bound (known bias). Gini and Lorenz say how far
from equal; Theil's T falls apart exactly into what lies between districts and what lies within them (Theil 1967; Bourguignon 1979,
doi:10.2307/1914138); Atkinson's index (1970, doi:10.1016/0022-0531(70)90039-6) says which share of the total would be enough if it
were spread evenly, at a stated aversion to inequality. ``0 · ln 0 = 0``. Distributional weights ``ω = (ȳ / y)^η`` (HM Treasury,
Green Book, A3) take one minus a deprivation index for income. Parameters: `data/equity.toml`.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import shapely

from geo.damage import share_of
from geo.harmonise import City
from geo.overlay import Floats, Shapes, cut
from geo.ranking import rank

if TYPE_CHECKING:
    from geo.run import Run


@lru_cache(maxsize=1)
def parameters() -> dict[str, Any]:
    """The content of `data/equity.toml`; not to be changed by the caller."""
    return tomllib.loads(files("data").joinpath("equity.toml").read_text(encoding="utf-8"))


@dataclass(frozen=True)
class Theil:
    """Theil's T and its two parts, which sum to it: between groups, and within them. NaN where nobody has anything."""

    total: float
    between: float
    within: float


@dataclass(frozen=True)
class Equity:
    """Equity of a run.

    Attributes
    ----------
    measures
        By quantity: `gini, theil, theil_between, theil_within, atkinson_<aversion>, mean, counted, not_counted` (neighbourhoods).
    lorenz
        By share of people (0 to 1, by tenths, those with least first): the share each quantity gives them.
    left_out
        By quantity, the neighbourhoods that are not counted because people or the amount are unknown.
    weighted
        The list with distributional weights beside the list without (see `weighted_list`).
    """

    measures: pd.DataFrame
    lorenz: pd.DataFrame
    left_out: dict[str, tuple[str, ...]]
    weighted: pd.DataFrame


def lorenz(values: Floats, people: Floats) -> pd.DataFrame:
    """Points of the Lorenz curve: share of people, those with least first, and their share of the total.

    Parameters
    ----------
    values
        Amount per person, 0 or more; all known.
    people
        How many have it.

    Examples
    --------
    >>> lorenz(np.array([3.0, 1.0]), np.array([1.0, 1.0])).to_numpy().tolist()
    [[0.0, 0.0], [0.5, 0.25], [1.0, 1.0]]
    """
    x, p = _checked(values, people)
    order = np.argsort(x, kind="stable")
    had = np.concatenate([[0.0], np.cumsum((x * p)[order])])
    there = np.concatenate([[0.0], np.cumsum(p[order])])
    return pd.DataFrame({"people_share": _over(there, there[-1]), "value_share": _over(had, had[-1])})


def _over(part: Floats, whole: float) -> Floats:
    return part / whole if whole > 0 else part * np.nan


def _checked(values: Floats, people: Floats) -> tuple[Floats, Floats]:
    x, p = np.asarray(values, dtype=np.float64), np.asarray(people, dtype=np.float64)
    if len(x) != len(p) or not (np.isfinite(x).all() and np.isfinite(p).all() and (x >= 0).all() and (p >= 0).all()):
        raise ValueError("values and people must be known, as many as each other, and not negative")
    return x[p > 0], p[p > 0]


def gini(values: Floats, people: Floats) -> float:
    """Gini coefficient, 0 (all have the same) to 1: ``Σ p_i p_k |x_i − x_k| / (2 P² x̄)``; NaN where nobody has anything.

    >>> print(round(gini(np.array([1.0, 2, 3, 4, 5]), np.ones(5)), 7))
    0.2666667
    """
    curve = lorenz(values, people)
    share, had = curve["people_share"].to_numpy(), curve["value_share"].to_numpy()
    unequal = 1.0 - float((np.diff(share) * (had[1:] + had[:-1])).sum())
    return max(unequal, 0.0) if np.isfinite(unequal) and len(curve) > 1 else np.nan


def theil(values: Floats, people: Floats, groups: Shapes | None = None) -> Theil:
    """Theil's T, ``Σ s_i (x_i / x̄) ln (x_i / x̄)`` with population shares s, parted between and within groups.

    >>> both = theil(np.array([1.0, 2, 3, 4, 5]), np.ones(5), np.array(["a", "a", "a", "b", "b"]))
    >>> print(round(both.total, 7), round(both.between + both.within, 7))
    0.1196876 0.1196876
    """
    x, p = _checked(values, people)
    mean = _mean(x, p)
    if not mean > 0:
        return Theil(np.nan, np.nan, np.nan)
    total = _theil_sum(x / mean, p / p.sum())
    if groups is None:
        return Theil(total, 0.0, total)
    code, _ = pd.factorize(np.asarray(groups, dtype=object)[np.asarray(people, dtype=np.float64) > 0], use_na_sentinel=False)
    there = np.bincount(code, p)
    means = np.bincount(code, x * p) / there
    between = _theil_sum(means / mean, there / p.sum())
    return Theil(total, between, total - between)


def _theil_sum(ratio: Floats, share: Floats) -> float:
    """Σ s r ln r, with 0 · ln 0 = 0."""
    return max(float((share * ratio * np.log(np.where(ratio > 0, ratio, 1.0))).sum()), 0.0)


def _mean(x: Floats, p: Floats) -> float:
    return float((x * p).sum() / p.sum()) if p.sum() > 0 else np.nan


def atkinson(values: Floats, people: Floats, aversion: float) -> float:
    """Atkinson's index, 0 (all have the same) to 1, at an aversion to inequality above 0; NaN where nobody has anything.

    From an aversion of 1 on it is 1 as soon as somebody has nothing.

    >>> five = np.array([1.0, 2, 3, 4, 5])
    >>> print(round(atkinson(five, np.ones(5), 0.5), 7), round(atkinson(five, np.ones(5), 1.0), 7))
    0.0631534 0.1316096
    """
    x, p = _checked(values, people)
    mean = _mean(x, p)
    if not mean > 0:
        return np.nan
    if aversion >= 1 and (x == 0).any():
        return 1.0
    share = p / p.sum()
    if aversion == 1:
        even = float(np.exp((share * np.log(x)).sum()))
    else:
        even = float((share * x ** (1 - aversion)).sum() ** (1 / (1 - aversion)))
    return max(1 - even / mean, 0.0)


def distributional_weight(standing: Floats, typical: float, eta: float) -> Floats:
    """``ω = (typical / standing)^η``: 1 for the typical person, more for who has less. Both in one unit, above 0; NaN stays NaN.

    >>> distributional_weight(np.array([0.5, 1.0, 2.0]), 1.0, 1.3).round(7).tolist()
    [2.4622888, 1.0, 0.4061262]
    """
    return np.asarray((typical / np.asarray(standing, dtype=np.float64)) ** eta, dtype=np.float64)


def median(values: Floats, people: Floats) -> float:
    """What the person in the middle has; NaN where nobody is.

    >>> median(np.array([1.0, 5.0]), np.array([10.0, 30.0]))
    5.0
    """
    x, p = _checked(values, people)
    if not len(x):
        return np.nan
    order = np.argsort(x, kind="stable")
    reached = np.cumsum(p[order])
    return float(x[order][np.searchsorted(reached, reached[-1] / 2)])


def of(run: Run, city: City | None = None) -> Equity:
    """Equity of need, damage, spending and benefit of a run, between neighbourhoods and between and within districts.

    `city` gives the works; without it, or where the study has none, there is no spending and no benefit.
    """
    table = run.priorities.drop(columns="geometry").set_index("id").sort_index()
    done = works_by_zone(city) if city is not None else None
    if done is not None:
        table = table.join(done)
    if "people" not in table:
        table["people"] = np.nan
    measures: dict[str, dict[str, float]] = {}
    curves: dict[str, Floats] = {}
    aside: dict[str, tuple[str, ...]] = {}
    tenths = np.linspace(0, 1, 11)
    for name, entry in parameters()["quantity"].items():
        if entry["column"] not in table:
            continue
        amount = table[entry["column"]].astype("float64")
        inhabited = table["people"].where(table["people"] > 0)
        each = amount if entry["kind"] == "intensity" else amount / inhabited
        known = each.notna() & inhabited.notna()
        aside[name] = tuple(table.index[~known])
        if not known.any():
            continue
        x, p = each[known].to_numpy(float), inhabited[known].to_numpy(float)
        parts = theil(x, p, table.loc[known, "district"].astype(object).to_numpy())
        curve = lorenz(x, p)
        curves[name] = np.interp(tenths, curve["people_share"], curve["value_share"])
        measures[name] = {
            "gini": gini(x, p),
            "theil": parts.total,
            "theil_between": parts.between,
            "theil_within": parts.within,
            **{f"atkinson_{one:g}": atkinson(x, p, one) for one in parameters()["atkinson"]["aversion"]},
            "mean": _mean(x, p),
            "counted": int(known.sum()),
            "not_counted": int((~known).sum()),
        }
    return Equity(
        pd.DataFrame.from_dict(measures, orient="index").rename_axis("quantity"),
        pd.DataFrame(curves, index=pd.Index(tenths.round(1), name="people_share")),
        aside,
        weighted_list(run),
    )


def weighted_list(run: Run) -> pd.DataFrame:
    """The ranked list with distributional weights beside the one without.

    Returns
    -------
    DataFrame
        By id, in the order of the weighted ranks: `name_ar, name_en, rank, score, standing, weight, weighted_score, weighted_rank,
        moved` (places gained by the weights). Ranked neighbourhoods whose standing or people are unknown have no weighted rank and
        come last; without the sub-score of deprivation no row is weighted.
    """
    choices = parameters()["weights"]
    table = run.priorities.loc[run.priorities["status"] == "ranked"].drop(columns="geometry").set_index("id")
    missing = pd.Series(np.nan, index=table.index)
    deprived = table.get(choices["deprivation"], missing).astype("float64")
    standing = (1 - deprived / 100).clip(lower=choices["floor"])
    people = table.get("people", missing).astype("float64")
    known = standing.notna() & people.notna()
    typical = median(standing[known].to_numpy(), people[known].to_numpy())
    weight = pd.Series(distributional_weight(standing.to_numpy(), typical, choices["eta"]), index=table.index).where(known)
    score = table["score"] * weight
    place = rank(score)["rank"]
    listed = table[["name_ar", "name_en", "rank", "score"]].assign(
        standing=standing, weight=weight, weighted_score=score, weighted_rank=place, moved=table["rank"] - place
    )
    return pd.DataFrame(listed.sort_values(["weighted_rank", "rank"], na_position="last", kind="stable"))


def works_by_zone(city: City) -> pd.DataFrame | None:
    """`cost_usd` and `people_served` of the works that are funded, under way or done, by neighbourhood; None without such a layer.

    A line is shared out by its length in each neighbourhood. Where one of its works has no amount, a neighbourhood's is unknown;
    where it has no work at all, it is 0 if the layer says that it looked there, else unknown.
    """
    layer = city.layers.get("works")
    if layer is None:
        return None
    frame, zones = layer.frame, city.zones
    frame = frame[frame["status"].isin(parameters()["works"]["counted"])] if "status" in frame else frame[:0]
    shapes = frame.geometry.to_numpy()
    row, share = zones.index.get_indexer(pd.Index(frame["zone"])), np.ones(len(frame))
    line = shapely.get_dimensions(shapes) == 1
    pieces = cut(shapes[line], zones.geometry.to_numpy())
    at = np.flatnonzero(line)[pieces.line]
    length = np.bincount(at, pieces.length, minlength=len(frame))
    whole = (row >= 0) & ~line
    owner = np.concatenate([np.flatnonzero(whole), at])
    zone = np.concatenate([row[whole], pieces.zone])
    share = np.concatenate([share[whole], pieces.length / length[at]])
    looked = (share_of(layer, city) > 0).to_numpy() | (np.bincount(zone, minlength=len(zones)) > 0)
    found = {}
    for name in ("cost_usd", "people_served"):
        if name in frame:
            total = np.bincount(zone, frame[name].to_numpy(float)[owner] * share, minlength=len(zones))
            found[name] = pd.Series(total, index=zones.index).where(looked)
    return pd.DataFrame(found, index=zones.index)
