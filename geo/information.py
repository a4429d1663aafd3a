"""Value of information: which neighbourhood to survey next, so that the first k become the right ones.

Every value that is not certain is drawn: between its low and high around its best (triangular), an unknown criterion as in another
neighbourhood of the city where it is known. That gives each neighbourhood a chance to belong to the first k. The **gain** of a
survey is by how many right members more the first k of the list are expected to have once this neighbourhood's values are known and
the list is made again (expected value of information, one step ahead: Raiffa & Schlaifer 1961; as the knowledge gradient, Frazier,
Powell & Dayanik 2008, doi:10.1137/070693424). What is wrong everywhere in the same way (damage factors, reach of debris) no survey
of one neighbourhood settles; it is held at its best value (`local`). Known bias: a survey is taken to tell everything and to cost
the same everywhere; errors of neighbours are drawn apart; two surveys that only help together are not seen.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

from geo import criteria
from geo.aggregation import AGGREGATIONS, Floats
from geo.errors import SchemeError, finding
from geo.harmonise import City
from geo.messages import message
from geo.population import People
from geo.ranking import rank
from geo.scheme import Scheme
from geo.scoring import SCALE, is_relative, normalised, total_score, weights_of
from geo.uncertainty import triangular

DRAWS = 2_000
SEED = 1
AT_ONCE = 2_000_000  # values drawn at once
COLUMNS = ("order", "rank", "chance_top", "wrong", "gain", "score_low", "score_high", "unknown")
Ints = npt.NDArray[np.int64]


def local(city: City, scheme: Scheme, people: People) -> pd.DataFrame:
    """The measures with damage factors and reach of debris at their best values: what is left is uncertain here and there."""
    best = scheme.options.debris_reach_m[1]
    factors = scheme.factors.model_copy(update={"low": scheme.factors.best, "high": scheme.factors.best})
    options = scheme.options.model_copy(update={"debris_reach_m": (best, best, best)})
    return criteria.measure(city, scheme.model_copy(update={"factors": factors, "options": options}), people)


def survey_next(measures: pd.DataFrame, scheme: Scheme, *, draws: int = DRAWS, seed: int = SEED) -> pd.DataFrame:
    """The neighbourhoods in the order in which a survey helps most to find the first k (`scheme.confidence.cutoff`).

    Parameters
    ----------
    measures
        Table of `local`, or of `geo.criteria.measure` where factors and reach shall count as local too.

    Returns
    -------
    DataFrame
        By id: `order` (1 first; missing where nothing is left to learn), `rank` (missing where not assessable), `chance_top` (of
        belonging to the first k, 0 to 1), `wrong` (chance that the list is wrong about that), `gain` (expected right members more;
        a little below 0 where a survey alone would mislead), `score_low`, `score_high` (5 and 95 % of the draws, 0 to 100),
        `unknown` (criteria without a value here).

    Raises
    ------
    SchemeError
        Scores depend on the other neighbourhoods, so that no survey concerns one alone.
    """
    if is_relative(scheme):
        raise SchemeError(
            finding(
                "survey-next-relative",
                "error",
                f"{scheme.id}.toml",
                message("Scores depend on the other neighbourhoods here; what one survey is worth can't be told apart."),
                remedy=message("Ask under a method between fixed goalposts."),
            )
        )
    table = measures.sort_index()
    drawn = drawn_scores(table, scheme, draws, seed)
    cut = scheme.confidence.cutoff
    values = normalised(table, scheme)
    scores = total_score(values.to_numpy(np.float64), weights_of(scheme), scheme) * SCALE
    places = rank(pd.Series(scores, index=table.index))["rank"]
    head = _head(drawn, cut)
    member = np.bincount(head[:, :cut].ravel(), minlength=len(table)) / draws
    low, high = np.quantile(drawn, [0.05, 0.95], axis=0)
    listed = (places <= cut).fillna(False).to_numpy(bool)
    unknown = [[one for one, there in zip(values.columns, row, strict=True) if not there] for row in values.notna().to_numpy()]
    found = pd.DataFrame(
        {
            "rank": places,
            "chance_top": member,
            "wrong": np.where(listed, 1 - member, member),
            "gain": gains(drawn, head, cut, scores),
            "score_low": low,
            "score_high": high,
            "unknown": pd.Series(unknown, index=table.index, dtype="object"),
        },
        index=table.index,
    )
    doubt = (found["wrong"] * (1 - found["wrong"])).rename("doubt")
    ordered = found.assign(doubt=doubt, width=high - low).sort_values(["gain", "doubt", "width"], ascending=False, kind="stable")
    open_ = ordered["width"] > 0
    ordered["order"] = open_.cumsum().where(open_).astype("Int64")
    return ordered.sort_values("order", na_position="last", kind="stable")[list(COLUMNS)]


def drawn_scores(table: pd.DataFrame, scheme: Scheme, draws: int, seed: int) -> Floats:
    """Scores, 0 to 100, draws × neighbourhoods; a criterion that is known nowhere stays unknown everywhere."""
    best, low, high = (normalised(table, scheme, end).to_numpy(np.float64) for end in ("", "_low", "_high"))
    n, m = best.shape
    known = ~np.isnan(best)
    nowhere = ~known.any(axis=0)
    whole = np.flatnonzero((known | nowhere).all(axis=1))
    sure = known & (low == best) & (high == best)
    scores = np.empty((draws, n))
    step = max(1, AT_ONCE // max(n * m, 1))
    rng = np.random.default_rng(seed)
    for start in range(0, draws, step):
        size = min(step, draws - start)
        values = triangular(low, best, high, rng.random((size, n, m)))
        values = np.where(sure, best, values)
        if not known.all():
            values = np.where(known, values, _as_elsewhere(best, known, whole, size, rng))
        flat = values.reshape(-1, m)
        scores[start : start + size] = AGGREGATIONS[scheme.method](flat, weights_of(scheme), scheme.thresholds()).reshape(size, n)
    return np.nan_to_num(scores * SCALE, nan=-1.0)


def _as_elsewhere(best: Floats, known: npt.NDArray[np.bool_], whole: Ints, size: int, rng: np.random.Generator) -> Floats:
    """Values for what is unknown: all of a neighbourhood as in one where everything is known, so that what goes together does.

    Where there is no such neighbourhood, each criterion as in any that knows it.
    """
    n, m = best.shape
    if len(whole):
        return np.asarray(best[rng.choice(whole, size=(size, n))])
    values = np.full((size, n, m), np.nan)
    for at in range(m):
        there = best[known[:, at], at]
        if len(there):
            values[:, :, at] = rng.choice(there, size=(size, n))
    return values


def _head(drawn: Floats, cut: int) -> Ints:
    """The first cut + 1 of each draw in order, draws × (cut + 1), or fewer where there are no more."""
    count = min(cut + 1, drawn.shape[1])
    some = np.argpartition(-drawn, count - 1, axis=1)[:, :count]
    order = np.argsort(-np.take_along_axis(drawn, some, axis=1), axis=1, kind="stable")
    return np.asarray(np.take_along_axis(some, order, axis=1), dtype=np.int64)


def gains(drawn: Floats, head: Ints, cut: int, published: Floats) -> Floats:
    """By how many right members more the first `cut` of the list are expected to have when one neighbourhood's score is known.

    Parameters
    ----------
    drawn, head
        Drawn scores, draws × n, and who is first in each draw.
    published
        Scores of the list as it stands; NaN where it gives none. A neighbourhood without a score is not in the list.

    Examples
    --------
    One place for two; a has 50 points, b has 45, but may have 40 or 60. The list names a, which is right in half of the cases;
    with b known it is always right.

    >>> drawn = np.array([[50.0, 40.0], [50.0, 60.0]])
    >>> gains(drawn, _head(drawn, 1), 1, np.array([50.0, 45.0])).tolist()
    [0.0, 0.5]
    """
    draws, n = drawn.shape
    found = np.zeros(n)
    if n <= cut:
        return found
    inside = np.zeros((draws, n), dtype=bool)
    np.put_along_axis(inside, head[:, :cut], True, axis=1)
    listed = ~np.isnan(published)
    standing = np.where(listed, published, -1.0)
    order = np.argsort(-standing, kind="stable")[: cut + 1]
    right = inside[:, order] & listed[order]  # members of the list that are right, and the first behind it
    now = right[:, :cut].sum(axis=1)
    for at in np.flatnonzero(np.ptp(drawn, axis=0) > 0):
        own = np.flatnonzero(order[:cut] == at)
        rival = cut if len(own) else cut - 1  # the last of the first `cut` others
        others = now - right[:, own[0]] if len(own) else now - right[:, cut - 1]
        enters = drawn[:, at] > standing[order[rival]]
        found[at] = float((others + np.where(enters, inside[:, at], right[:, rival])).mean() - now.mean())
    return found
