"""Confidence: how sure each rank is, when everything that is uncertain varies together (`geo.uncertainty`, `geo.smaa`).

Gives for each neighbourhood the ranks that hold in 90 of 100 draws, its chances of being first and among the first k, and its
band: going down the list, a band ends before the first that the head of the band beats in 95 of 100 draws. Known bias: chances are
those of the assumptions drawn; they say nothing of what nobody doubted. Only neighbourhoods that can be ranked are drawn.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from geo import registers, smaa
from geo.aggregation import AGGREGATIONS
from geo.errors import NOTHING, Finding, finding
from geo.messages import Message, message
from geo.scheme import Scheme
from geo.smaa import Acceptability, Aggregate, Floats
from geo.uncertainty import City

ALONE = 1_000  # draws in which each assumption varies by itself
LOW, HIGH = 0.05, 0.95
OUTSIDE = {"<1": message("less than 1"), ">99": message("more than 99")}  # a sign would turn round in Arabic
PAIRS = 1_500  # units up to which every pair is compared
COLUMNS = ("rank_low", "rank_high", "rank_median", "band", "chance_first")


@dataclass(frozen=True)
class Confidence:
    """What is known of the ranks.

    Attributes
    ----------
    table
        By neighbourhood: `rank_low, rank_high` (5 and 95 % of the draws), `rank_median`, `band` (whole numbers), `chance_first`,
        `chance_top_<k>` (0 to 1); missing where it is not ranked.
    tables, labels
        Further tables of the run with their titles and headings: `acceptability`, `pairwise`, `central_weights`, `assumptions`.
    """

    table: pd.DataFrame
    tables: Mapping[str, pd.DataFrame]
    labels: Mapping[str, Any]
    findings: tuple[Finding, ...]


def aggregate_of(scheme: Scheme) -> Aggregate:
    """Values and weights of many draws to their scores, by the scheme's method."""
    if scheme.method == "weighted_sum":
        return smaa.weighted_sum
    way, thresholds = AGGREGATIONS[scheme.method], scheme.thresholds()

    def scores(values: Floats, weights: Floats) -> Floats:
        each = [way(values if values.ndim == 2 else values[at], row, thresholds) for at, row in enumerate(weights)]
        return np.nan_to_num(np.stack(each), nan=-1.0)

    return scores


def confidence(measures: pd.DataFrame, scheme: Scheme, ranks: pd.DataFrame) -> Confidence:
    """How sure the ranks of a run are.

    Parameters
    ----------
    measures
        Table of `geo.criteria.measure`.
    ranks
        Of `geo.ranking.rank`, same index.
    """
    chosen = scheme.confidence
    ranked = measures[ranks["status"] == "ranked"]
    empty = pd.DataFrame(index=measures.index)
    if len(ranked) < 2 or len(ranked) > PAIRS:
        return Confidence(empty, {}, {}, not_drawn(len(ranked)))
    city, varied = City(ranked, scheme), frozenset(chosen.vary)
    found = smaa.acceptability(city.blocks(varied, chosen.draws, chosen.seed), aggregate=aggregate_of(scheme))
    table = _summary(found, city, scheme, ranks)
    tables = {
        "assumptions": _assumptions(city, scheme, ranks),
        "acceptability": _wide(found.ranks / found.draws, city, [f"rank_{place}" for place in range(1, len(city.units) + 1)]),
        "pairwise": _wide(found.winning(), city, [str(one) for one in city.units]),
        "central_weights": _central(found, city, scheme),
    }
    return Confidence(table.reindex(measures.index), tables, _labels(city), at_cutoff(table, scheme))


def _summary(found: Acceptability, city: City, scheme: Scheme, ranks: pd.DataFrame) -> pd.DataFrame:
    chosen = scheme.confidence
    places = ranks["rank"].reindex(city.units).to_numpy(dtype=np.int64)
    order = np.lexsort((np.arange(len(places)), places))
    whole = {
        "rank_low": found.rank_at(LOW),
        "rank_high": found.rank_at(HIGH),
        "rank_median": found.rank_at(0.5),
        "band": smaa.bands(found.winning(), order, chosen.sure),
    }
    chances = {"chance_first": found.chance(1), **{f"chance_top_{k}": found.chance(k) for k in heads(scheme)}}
    table = pd.DataFrame({**whole, **chances}, index=city.units)
    return table.astype(dict.fromkeys(whole, "Int64"))


def heads(scheme: Scheme) -> list[int]:
    """The heads of the list whose chances are given, the cut-off among them."""
    return sorted({*scheme.confidence.top, scheme.confidence.cutoff} - {1})


def _wide(values: Floats, city: City, columns: list[str]) -> pd.DataFrame:
    return pd.DataFrame(values, index=city.units, columns=columns).rename_axis("id").reset_index()


def _central(found: Acceptability, city: City, scheme: Scheme) -> pd.DataFrame:
    """Weights under which each comes first, and the chance that it is first under just these (SMAA's confidence factor)."""
    central = found.central_weights()
    table = _wide(central, city, list(city.criteria))
    there = np.flatnonzero(~np.isnan(central[:, 0]))
    chance = np.full(len(central), np.nan)
    rest, score = frozenset(scheme.confidence.vary) - {"weights"}, aggregate_of(scheme)
    first = np.zeros(len(there))
    for values, weights in city.blocks(rest, ALONE, scheme.confidence.seed):
        for at, unit in enumerate(there):
            scores = score(values, np.broadcast_to(central[unit], weights.shape))
            first[at] += (scores[:, unit] >= scores.max(axis=1) - smaa.TIE).sum()
    chance[there] = first / ALONE
    table.insert(1, "confidence", chance)
    return table


def _assumptions(city: City, scheme: Scheme, ranks: pd.DataFrame) -> pd.DataFrame:
    """What each assumption does by itself: values that it varies, draws, places that it moves a rank on average."""
    chosen, score = scheme.confidence, aggregate_of(scheme)
    places = ranks["rank"].reindex(city.units).to_numpy(dtype=np.float64)
    rows = []
    for name in registers.register("assumptions"):
        on = name in chosen.vary
        cells, moved, left, done = 0, 0.0, 0.0, 0
        for number, (values, weights) in enumerate(city.blocks(frozenset([name] if on else []), ALONE if on else 0, chosen.seed)):
            if number == 0:
                varying = weights.std(axis=0) > smaa.TIE if name == "weights" else np.ptp(values, axis=0) > smaa.TIE
                cells = int(varying.sum())
            alone = smaa.acceptability([(values, weights)], aggregate=score)
            away = np.abs(np.arange(1, len(places) + 1) - places[:, None])
            moved += float((alone.ranks * away).sum()) / len(places)
            outside = places > chosen.cutoff
            left += float(alone.ranks[outside, : chosen.cutoff].sum())
            done += alone.draws
        rows.append((name, on, cells, chosen.draws if on else 0, moved / max(done, 1), left / max(done, 1)))
    table = pd.DataFrame(rows, columns=["id", "varied", "values", "draws", "places_moved", "changed_at_cutoff"])
    return table.sort_values("places_moved", ascending=False, kind="stable", ignore_index=True)


def _labels(city: City) -> dict[str, Any]:
    place = {f"rank_{at}": message("Rank {rank}", rank=at) for at in range(1, len(city.units) + 1)}
    labels = registers.register("measures")
    criteria = {name: message("{label}", label=registers.both(labels[name], "label")) for name in city.criteria}
    assumptions = {
        "id": message("Assumption"),
        "varied": message("Varied"),
        "values": message("Values that it varies"),
        "draws": message("Draws"),
        "places_moved": message("Places that it moves a rank by itself, mean"),
        "changed_at_cutoff": message("Neighbourhoods that it brings past the cut-off by itself, mean"),
    }
    code = {"id": message("Code")}
    parts: dict[str, tuple[Message, dict[str, Message]]] = {
        "assumptions": (message("Assumptions varied"), assumptions),
        "acceptability": (message("Chances of ranks"), code | place),
        "pairwise": (message("Chances of pairs"), code),
        "central_weights": (message("Weights that put it first"), code | {"confidence": message("Confidence")} | criteria),
    }
    return {
        name: {
            "title": title.both(),
            "columns": {column: text.both() for column, text in columns.items()},
            "sheet": name not in ("acceptability", "pairwise"),
        }
        for name, (title, columns) in parts.items()
    }


def at_cutoff(table: pd.DataFrame, scheme: Scheme) -> tuple[Finding, ...]:
    """Who is surely within the cut-off, and who can't be told apart there; `table` as in `Confidence`, only those drawn."""
    chosen = scheme.confidence
    if chosen.cutoff >= len(table):
        return ()
    chance = table[f"chance_top_{chosen.cutoff}"]
    inside, unsure = chance >= chosen.sure, (chance < chosen.sure) & (chance > 1 - chosen.sure)
    said = message(
        "{sure} neighbourhoods are among the first {top} in at least {share}% of {draws} draws; {unsure} more may be.",
        sure=int(inside.sum()),
        top=chosen.cutoff,
        share=round(chosen.sure * 100),
        draws=chosen.draws,
        unsure=int(unsure.sum()),
    )
    remedy = message("Those that may be can't be told apart at the cut-off: survey them, or decide between them by other reasons.")
    rows = table.index[unsure]
    where = f"{scheme.id}.toml"
    return (finding("confidence", "info", where, said, remedy=remedy if len(rows) else NOTHING, rows=rows),)


def not_drawn(count: int) -> tuple[Finding, ...]:
    """Why nothing was drawn for a list of so many."""
    if count < 2:
        return ()
    said = message("{n} neighbourhoods are too many to compare every pair; no chances of ranks are given.", n=count)
    return (finding("confidence-skipped", "warning", "confidence", said, expected=message("At most {limit}.", limit=PAIRS)),)


def sentence(row: Mapping[str, Any], scheme: Scheme) -> Message | None:
    """What is said of one neighbourhood; None where nothing was drawn."""
    if pd.isna(row.get("rank_low")):
        return None
    chosen = scheme.confidence
    chance = of_hundred(float(row[f"chance_top_{chosen.cutoff}"]))
    share = OUTSIDE.get(chance, chance)
    if row["rank_low"] == row["rank_high"]:
        return message(
            "In 90 of 100 draws of all that is uncertain it is rank {rank}; among the first {top} in {share} of 100.",
            rank=int(row["rank_low"]),
            top=chosen.cutoff,
            share=share,
        )
    return message(
        "In 90 of 100 draws of all that is uncertain it is between rank {low} and {high}; among the first {top} in {share} of 100.",
        low=int(row["rank_low"]),
        high=int(row["rank_high"]),
        top=chosen.cutoff,
        share=share,
    )


def of_hundred(chance: float) -> str:
    """A chance as draws of 100, never rounded to a certainty that it is not.

    >>> [of_hundred(one) for one in (0.0, 0.001, 0.5, 0.998, 1.0)]
    ['0', '<1', '50', '>99', '100']
    """
    if 0 < chance < 0.01:
        return "<1"
    return ">99" if 0.99 < chance < 1 else str(round(chance * 100))
