"""Counterfactuals: the smallest change of one criterion's value that would give a neighbourhood another rank.

"Rank 7; it would be rank 6 if 31.2 % of its roads were under debris instead of 27.0 %" (Wachter, Mittelstadt & Russell 2017,
doi:10.2139/ssrn.3063289). Everything else stays as it is. Under methods that sum over criteria the value is found by turning the
sum around, under the others by halving, since no score falls when a need grows. It is rounded **outward** to the digits that are
shown, within what the measure can be (no share above 1, nothing below 0), and believed only after the whole list was ranked again
with it. Changes are compared as shares of the way between the goalposts. Known bias: criteria do not move alone in a city (people
in damaged homes move with damage), and a change says what a rank rests on, not what can be done about it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from geo import registers
from geo.aggregation import AGGREGATIONS, NORMALISATIONS, Floats
from geo.explain import label, quantity
from geo.messages import LANGS, Message, message
from geo.ranking import TIE, rank
from geo.scheme import Scheme
from geo.scoring import SCALE, is_relative, normalised, total_score, weights_of

Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]
GOALS = ("better", "top", "worse")
UNITS = 2_000  # neighbourhoods up to which every one is told what would change its rank
ADDITIVE = ("weighted_sum", "spotis")
HALVINGS = 50
TRIES = 3  # steps outward where a rounded value misses by the width of a tie


def changes(measures: pd.DataFrame, scheme: Scheme, *, rank_wanted: int | None = None) -> pd.DataFrame:
    """For every ranked neighbourhood, goal and known criterion: the nearest value of that criterion that reaches the goal.

    Goals: `better`, a rank in front of its own; `top`, into the first k (`scheme.confidence.cutoff`) or, where it is in, out of
    them; `worse`, a rank behind its own. With `rank_wanted` only `wanted`: that rank or beyond, seen from its own.

    Returns
    -------
    DataFrame
        One row a neighbourhood, goal and criterion: `id, goal, rank, limit` (the rank to reach), `measure, value, needed` (in the
        measure's unit, rounded to its digits; missing where no value does it), `rank_then`, `size` (change as a share of the way
        between the goalposts), `smallest` (whether it is the smallest of its goal). Empty for methods in which scores depend on the
        other neighbourhoods: see `changes_of`.
    """
    every = normalised(measures, scheme)
    scores = total_score(every.to_numpy(np.float64), weights_of(scheme), scheme) * SCALE
    listed = ~np.isnan(scores)
    if is_relative(scheme) or listed.sum() < 2:
        return _table([])
    units = measures.index[listed].astype(str)
    values, scores = np.ascontiguousarray(every.to_numpy(np.float64)[listed]), scores[listed]
    own = rank(pd.Series(scores))["rank"].to_numpy(np.int64)
    raw = _raw(measures[listed], scheme)
    rows = []
    for goal, limit, up in _goals(own, scheme.confidence.cutoff, rank_wanted):
        target = _target(scores, limit, up)
        needed, then, size = _needed(values, raw, scores, target, limit, up, scheme)
        needed[limit == 0], then[limit == 0], size[limit == 0] = np.nan, 0, np.inf
        rows.append((goal, limit, needed, then, size))
    return _table([_rows(units, own, goal, limit, raw, needed, then, size, scheme) for goal, limit, needed, then, size in rows])


def _goals(own: Ints, cutoff: int, wanted: int | None) -> list[tuple[str, Ints, Bools]]:
    """By goal: the rank to reach (0: none) and whether it lies in front."""
    last = len(own)
    if wanted is not None:
        inside = np.full(len(own), min(max(wanted, 1), last))
        return [("wanted", np.where(inside == own, 0, inside), inside < own)]
    top = np.where(own > cutoff, cutoff, cutoff + 1)
    return [
        ("better", own - 1, np.ones(last, dtype=bool)),
        ("top", np.where(top > last, 0, top), own > cutoff),
        ("worse", np.where(own + 1 > last, 0, own + 1), np.zeros(last, dtype=bool)),
    ]


def _target(scores: Floats, limit: Ints, up: Bools) -> Floats:
    """The score at which each unit has the rank: that of the `limit`th of the others in front, below the one before it behind."""
    falling = np.sort(scores)[::-1]
    place = np.searchsorted(-falling, -scores, side="left")  # where the unit itself stands, which is left away
    wanted = np.clip(np.where(up, limit, limit - 1) - 1, 0, len(scores) - 2)
    others = falling[np.where(wanted >= place, wanted + 1, wanted)]
    return np.asarray(np.where(up, others - TIE / 2, others - TIE))


def _needed(
    values: Floats, raw: Floats, scores: Floats, target: Floats, limit: Ints, up: Bools, scheme: Scheme
) -> tuple[Floats, Ints, Floats]:
    """Values of each criterion that reach the target, the ranks they give, and the size of the change; n × m."""
    shape = values.shape
    needed, then, size = np.full(shape, np.nan), np.zeros(shape, dtype=np.int64), np.full(shape, np.inf)
    for at, one in enumerate(scheme.criteria):
        low, high = one.goalposts
        digits = decimals(one.measure)
        share = _share(values, scores, target, up, at, scheme)
        reached = low + (share if one.direction == "more" else 1 - share) * (high - low)
        outward = np.where(up == (one.direction == "more"), 1, -1)
        steps = _outward(reached, raw[:, at], outward, digits)
        least, most = limits(one.measure)
        for _ in range(TRIES):
            tried = steps / 10**digits
            possible = ~np.isnan(steps) & (tried >= least) & (tried <= most) & np.isnan(needed[:, at])
            if not possible.any():
                break
            units = np.flatnonzero(possible)
            changed = values[units]
            changed[:, at] = NORMALISATIONS["goalposts"](tried[units], low, high, one.direction == "more")
            places = ranks_with(scores, units, total_score(changed, weights_of(scheme), scheme) * SCALE)
            holds = np.where(up[units], places <= limit[units], places >= limit[units])
            found = units[holds]
            needed[found, at], then[found, at] = tried[found], places[holds]
            size[found, at] = np.abs(tried[found] - raw[found, at]) / (high - low)
            steps = steps + outward
    return needed, then, size


def _share(values: Floats, scores: Floats, target: Floats, up: Bools, at: int, scheme: Scheme) -> Floats:
    """One criterion on the scale at which the score is the target; NaN where no value between the goalposts is enough."""
    weights = weights_of(scheme)
    known = ~np.isnan(values[:, at])
    if weights[at] <= 0:
        return np.full(len(values), np.nan)
    if scheme.method in ADDITIVE:
        there = np.where(np.isnan(values), 0.0, weights).sum(axis=1)
        share = values[:, at] + (target - scores) / SCALE * there / weights[at]
        return np.where((share >= -TIE) & (share <= 1 + TIE), np.clip(share, 0.0, 1.0), np.nan)
    changed = values.copy()

    def reaches(share: Floats) -> Bools:
        changed[:, at] = np.where(known, share, np.nan)
        got = AGGREGATIONS[scheme.method](changed, weights, scheme.thresholds()) * SCALE
        return np.asarray(np.where(up, got >= target, got <= target), dtype=bool)

    near, far = np.where(known, values[:, at], 0.0), np.where(up, 1.0, 0.0)
    able = reaches(far) & known
    for _ in range(HALVINGS):
        middle = (near + far) / 2
        enough = reaches(middle)
        near, far = np.where(enough, near, middle), np.where(enough, middle, far)
    return np.where(able, far, np.nan)


def _outward(reached: Floats, now: Floats, outward: Ints, digits: int) -> Floats:
    """The value in steps of its last digit shown, away from now, and at least one step from how now is shown."""
    exact = reached * 10**digits
    steps = np.where(outward > 0, np.ceil(exact - 1e-6), np.floor(exact + 1e-6))
    shown = np.floor(now * 10**digits + 0.5)
    return np.asarray(np.where(outward > 0, np.maximum(steps, shown + 1), np.minimum(steps, shown - 1)))


def decimals(measure: str) -> int:
    return int(registers.register("measures")[measure]["decimals"])


def limits(measure: str) -> tuple[float, float]:
    """Least and most that a measure can be.

    >>> limits("damage_index"), limits("people")
    ((0.0, 1.0), (0.0, inf))
    """
    return 0.0, 1.0 if registers.register("measures")[measure]["unit"] == "share" else float("inf")


def ranks_with(scores: Floats, units: Ints, changed: Floats) -> Ints:
    """The rank of each unit if it alone had another score.

    >>> ranks_with(np.array([30.0, 20.0, 10.0]), np.array([2, 2]), np.array([25.0, 30.0])).tolist()
    [2, 1]
    """
    rising = np.sort(scores)
    above = len(scores) - np.searchsorted(rising, changed + TIE, side="left") - (scores[units] >= changed + TIE)
    near = np.searchsorted(rising, changed + 2 * TIE) - np.searchsorted(rising, changed - 2 * TIE)
    near = near - (np.abs(scores[units] - changed) < 2 * TIE)
    places = np.asarray(above + 1, dtype=np.int64)
    for row in np.flatnonzero(near > 0):  # in a tie the whole list says who shares the rank
        tried = scores.copy()
        tried[units[row]] = changed[row]
        places[row] = int(rank(pd.Series(tried))["rank"].iloc[units[row]])
    return places


def changes_of(unit: str, measures: pd.DataFrame, scheme: Scheme, *, rank_wanted: int | None = None) -> pd.DataFrame:
    """`changes` of one neighbourhood, under every method; where scores depend on the others the whole list is scored each time.

    There the value is found by halving, and a nearer one is possible where the rank goes up and down along the way.
    """
    if not is_relative(scheme):
        found = changes(measures, scheme, rank_wanted=rank_wanted)
        return found[found["id"] == unit].reset_index(drop=True)
    places = _whole(measures, scheme)
    if unit not in places.index or pd.isna(places[unit]):
        return _table([])
    listed = places.dropna()
    own = np.array([int(places[unit])] + [0] * (len(listed) - 1))
    row = measures.index.get_indexer(pd.Index([unit]))
    raw = _raw(measures.iloc[row], scheme)
    parts = []
    for goal, limit, up in _goals(own, scheme.confidence.cutoff, rank_wanted):
        if limit[0] <= 0:
            continue
        shape = raw.shape
        needed, then, size = np.full(shape, np.nan), np.zeros(shape, dtype=np.int64), np.full(shape, np.inf)
        for at, one in enumerate(scheme.criteria):
            got = _searched(unit, one.measure, measures, scheme, int(limit[0]), bool(up[0]), one.direction == "more")
            if got is not None and not np.isnan(raw[0, at]):
                needed[0, at], then[0, at] = got
                size[0, at] = abs(got[0] - raw[0, at]) / (one.goalposts[1] - one.goalposts[0])
        parts.append(_rows(pd.Index([unit]), own[:1], goal, limit[:1], raw, needed, then, size, scheme))
    return _table(parts)


def _whole(measures: pd.DataFrame, scheme: Scheme) -> pd.Series[int]:
    scores = total_score(normalised(measures, scheme).to_numpy(np.float64), weights_of(scheme), scheme) * SCALE
    return rank(pd.Series(scores, index=measures.index))["rank"]


def _searched(
    unit: str, measure: str, measures: pd.DataFrame, scheme: Scheme, limit: int, up: bool, more: bool
) -> tuple[float, int] | None:
    """The value that gives the rank, and the rank, by halving over the digits shown; None where the far end does not."""
    if measure not in measures or measures[measure].isna()[unit]:
        return None
    digits = decimals(measure)
    least, most = limits(measure)
    column = measures[measure].astype("float64")
    goalposts = next(one.goalposts for one in scheme.criteria if one.measure == measure)
    most = min(most, 2 * max(float(column.max()), *goalposts))

    def place(steps: int) -> int:
        tried = measures.assign(**{measure: column.mask(measures.index == unit, steps / 10**digits)})
        return int(_whole(tried, scheme)[unit])

    def reaches(steps: int) -> bool:
        return place(steps) <= limit if up else place(steps) >= limit

    near = int(np.floor(column[unit] * 10**digits + 0.5))
    far = int(np.floor(most * 10**digits)) if up == more else int(np.ceil(least * 10**digits))
    if near == far or not reaches(far):
        return None
    while abs(far - near) > 1:
        middle = (near + far) // 2
        near, far = (near, middle) if reaches(middle) else (middle, far)
    return far / 10**digits, place(far)


def _raw(measures: pd.DataFrame, scheme: Scheme) -> Floats:
    """Values of the criteria in their own units, NaN where there is no column or where they count as unknown."""
    known = normalised(measures, scheme).notna().to_numpy()
    raw = np.full(known.shape, np.nan)
    for at, one in enumerate(scheme.criteria):
        if one.measure in measures:
            raw[:, at] = measures[one.measure].to_numpy(np.float64, na_value=np.nan)
    return np.where(known, raw, np.nan)


def _rows(
    units: pd.Index[str], own: Ints, goal: str, limit: Ints, raw: Floats, needed: Floats, then: Ints, size: Floats, scheme: Scheme
) -> pd.DataFrame:
    n, m = raw.shape
    best = np.zeros((n, m), dtype=bool)
    best[np.arange(n), size.argmin(axis=1)] = True
    table = pd.DataFrame(
        {
            "id": np.repeat(units.to_numpy(), m),
            "goal": goal,
            "rank": np.repeat(own, m),
            "limit": np.repeat(limit, m),
            "measure": np.tile([one.measure for one in scheme.criteria], n),
            "value": raw.ravel(),
            "needed": needed.ravel(),
            "rank_then": pd.array(then.ravel(), dtype="Int64"),
            "size": size.ravel(),
            "smallest": (best & np.isfinite(size)).ravel(),
        }
    )
    table["rank_then"] = table["rank_then"].mask(table["needed"].isna())
    table["size"] = table["size"].where(np.isfinite(table["size"]))
    return table[(table["limit"] > 0) & table["value"].notna()]


def _table(parts: list[pd.DataFrame]) -> pd.DataFrame:
    if not parts:
        names = ("id", "goal", "rank", "limit", "measure", "value", "needed", "rank_then", "size", "smallest")
        return pd.DataFrame({name: [] for name in names})
    return pd.concat(parts, ignore_index=True)


def sentences(found: pd.DataFrame, cutoff: int) -> list[Message]:
    """What is said of one neighbourhood's changes, a sentence a goal; the same change is said once."""
    said: list[Message] = []
    for goal, rows in found.groupby("goal", sort=False):
        chosen = rows[rows["smallest"]]
        known: Any = (rows if chosen.empty else chosen).iloc[0]
        one = (_missing if chosen.empty else _told)(str(goal), known, cutoff)
        if one not in said:
            said.append(one)
    return said


def _told(goal: str, row: pd.Series[Any], cutoff: int) -> Message:
    values = {
        "label": label(row["measure"]),
        "needed": quantity(row["measure"], row["needed"]),
        "now": quantity(row["measure"], row["value"]),
        "place": int(row["rank_then"]),
    }
    if goal != "top" or abs(row["limit"] - row["rank"]) == 1:
        return message("With '{label}' at {needed} instead of {now} it would be rank {place}.", **values)
    if row["rank"] > cutoff:
        text = message(
            "With '{label}' at {needed} instead of {now} it would be rank {place}, among the first {top}.", **values, top=cutoff
        )
    else:
        text = message(
            "With '{label}' at {needed} instead of {now} it would be rank {place}, out of the first {top}.", **values, top=cutoff
        )
    return text


def _missing(goal: str, row: pd.Series[Any], cutoff: int) -> Message:
    if goal == "top" and row["rank"] > cutoff:
        return message("No change of a single criterion would bring it among the first {top}.", top=cutoff)
    if goal == "top":
        return message("No change of a single criterion would take it out of the first {top}.", top=cutoff)
    return message("No change of a single criterion would give it rank {place}.", place=int(row["limit"]))


def would_be(measures: pd.DataFrame, scheme: Scheme) -> pd.DataFrame:
    """`would_be_ar` and `would_be_en` by neighbourhood: what would give it another rank; missing where it is not ranked.

    No columns where scores depend on the other neighbourhoods, or of more than 2,000 neighbourhoods.
    """
    if is_relative(scheme) or len(measures) > UNITS:
        return pd.DataFrame(index=measures.index)
    said = {unit: sentences(rows, scheme.confidence.cutoff) for unit, rows in changes(measures, scheme).groupby("id", sort=False)}
    texts = {
        f"would_be_{lang}": {unit: " ".join(one.render(lang) for one in told) for unit, told in said.items()} for lang in LANGS
    }
    return pd.DataFrame({name: measures.index.map(text) for name, text in texts.items()}, index=measures.index, dtype="string")
