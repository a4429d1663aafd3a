"""Sensitivity: which single assumption moves the ranks most.

Each assumption is varied alone, everything else as agreed, and the list is ranked again: the mean of |rank − agreed rank| over the
neighbourhoods that both lists rank (``R̄_S``; Saisana, Saltelli & Tarantola 2005, doi:10.1111/j.1467-985X.2005.00350.x) says how
much rests on it. Known bias: one at a time misses what assumptions do together (`geo.confidence` draws them together), and a table,
a reach or a quarter of a weight are not equally likely.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pandas as pd

from geo import agreement, criteria, roads
from geo.figures import figure
from geo.groups import named
from geo.harmonise import City
from geo.messages import LANGS, Message, message
from geo.population import LEVELS, People
from geo.ranking import rank
from geo.scheme import Scheme
from geo.scoring import normalised, total_score, weights_of

QUARTER = 0.25
KINDS: dict[str, Message] = {
    "factors": message("Damage factors"),
    "reach": message("Reach of debris"),
    "population": message("Population"),
    "normalisation": message("Normalisation"),
    "method": message("Method"),
    "left_out": message("Criterion left out"),
    "weight": message("Weight"),
}
Varied = tuple[str, Message, "pd.Series[int]"]


def shift(agreed: pd.Series[int], varied: pd.Series[int]) -> float:
    """Mean of |rank − agreed rank| over what both rank; NaN where that is nothing.

    >>> shift(pd.Series([1, 2, 3]), pd.Series([2, 1, 3])).__round__(4)
    0.6667
    """
    both = agreed.notna() & varied.notna()
    return float((agreed[both] - varied[both]).abs().astype("float64").mean()) if both.any() else float("nan")


def assumptions(city: City, scheme: Scheme, measures: pd.DataFrame, people: People) -> pd.DataFrame:
    """How far the ranks move when one assumption is another, the one that moves most first.

    Parameters
    ----------
    measures, people
        Of `geo.criteria.measure` and `geo.scenarios.people`, for this city and scheme.

    Returns
    -------
    DataFrame
        One row an assumption: `kind` (a key of `KINDS`), `said_ar, said_en`, `shift` (mean of |rank − agreed rank|), `moved`
        (neighbourhoods whose rank differs), `largest` (the largest change of a rank), `unit` (whose), `enter` (others among the
        first k, `scheme.confidence.cutoff`), `unranked` (neighbourhoods that can't be assessed then).
    """
    agreed = _ranks(measures, scheme)
    rows = [_row(agreed, one, scheme.confidence.cutoff) for one in _varied(city, scheme, measures, people, agreed)]
    table = pd.DataFrame(rows, columns=["kind", "said_ar", "said_en", "shift", "moved", "largest", "unit", "enter", "unranked"])
    return table.sort_values(["shift", "largest"], ascending=False, kind="stable", na_position="last").reset_index(drop=True)


def _row(agreed: pd.Series[int], varied: Varied, cutoff: int) -> dict[str, object]:
    kind, said, ranks = varied
    away = (ranks - agreed).abs()
    largest = int(away.max()) if away.notna().any() else 0
    return {
        "kind": kind,
        **{f"said_{lang}": said.render(lang) for lang in LANGS},
        "shift": shift(agreed, ranks),
        "moved": int((away > 0).sum()),
        "largest": largest,
        "unit": str(away.astype("float64").idxmax()) if largest else "",
        "enter": int(((ranks <= cutoff).fillna(False) & ~(agreed <= cutoff).fillna(False)).sum()),
        "unranked": int((agreed.notna() & ranks.isna()).sum()),
    }


def _ranks(measures: pd.DataFrame, scheme: Scheme) -> pd.Series[int]:
    scores = total_score(normalised(measures, scheme).to_numpy(np.float64), weights_of(scheme), scheme)
    return rank(pd.Series(scores * 100, index=measures.index))["rank"]


def _varied(
    city: City, scheme: Scheme, measures: pd.DataFrame, people: People, agreed: pd.Series[int]
) -> Iterator[tuple[str, Message, pd.Series[int]]]:
    """Kind, sentence and ranks of every assumption that is another than agreed."""
    for name, ranks in agreement.compare_factors(city, scheme, measures).items():
        if name != scheme.factors.name:
            yield "factors", message("Factors: {name}", name=str(name)), ranks
    yield from _reach(city, scheme, measures)
    yield from _population(city, scheme, people)
    for name, ranks in agreement.compare_methods(measures, scheme).items():
        method, _, normalisation = str(name).partition(".")
        if (method, normalisation) != (scheme.method, scheme.normalisation):
            yield ("method" if normalisation == "goalposts" else "normalisation"), agreement.title(str(name)), ranks
    weights = {one.measure: one.weight for one in scheme.criteria}
    for measure, weight in weights.items():
        if 0 < weight < 1:
            without = scheme.with_weights({**weights, measure: 0.0})
            yield "left_out", message("Without '{criterion}'", criterion=named(measure)), _ranks(measures, without)
            for more, said in (
                (-QUARTER, message("'{criterion}' weighs a quarter less", criterion=named(measure))),
                (QUARTER, message("'{criterion}' weighs a quarter more", criterion=named(measure))),
            ):
                yield "weight", said, _ranks(measures, scheme.with_weights({**weights, measure: weight * (1 + more)}))


def _reach(city: City, scheme: Scheme, measures: pd.DataFrame) -> Iterator[tuple[str, Message, pd.Series[int]]]:
    if not {"roads", "damage"} <= set(city.layers) or not any(one.measure.startswith("road_debris") for one in scheme.criteria):
        return
    low, best, high = scheme.options.debris_reach_m
    for metres in dict.fromkeys((low, high)):
        if metres != best:
            options = scheme.options.model_copy(update={"debris_reach_m": (metres, metres, metres)})
            again = roads.measure(city, scheme.model_copy(update={"options": options}))
            changed = measures.assign(**{str(name): again[name] for name in again})
            yield "reach", message("Debris reaches {metres} m", metres=figure(metres, 0)), _ranks(changed, scheme)


def _population(city: City, scheme: Scheme, people: People) -> Iterator[tuple[str, Message, pd.Series[int]]]:
    best = people.table["people"]
    for level, said in zip(LEVELS[1:], (message("People: the low figure"), message("People: the high figure")), strict=True):
        given = people.table[level].fillna(best)
        if given.equals(best):
            continue
        table = people.table.assign(**dict.fromkeys(LEVELS, given))
        yield "population", said, _ranks(criteria.measure(city, scheme, replace(people, table=table)), scheme)
