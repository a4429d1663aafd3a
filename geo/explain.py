"""Explain: why a neighbourhood stands where it stands, in plain Arabic and English, from the numbers of the run and nothing else.

Every sentence is a template of the catalogues with values put in; the points named are the contributions of the run, so a reader
can add them up and get the score.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from geo import confidence, registers
from geo.damage import NOTES
from geo.figures import figure
from geo.messages import LANGS, Message, message, messages
from geo.scheme import COMPLAINTS, Scheme
from geo.scoring import Scores

NAMED = 3


def quantity(measure: str, value: float) -> Message:
    """A value of a measure with its unit: shares as per cent, and no unit where the label already says it."""
    row = registers.register("measures")[measure]
    if row["unit"] == "share":
        return message("{value}%", value=figure(value * 100, max(int(row["decimals"]) - 2, 0)))
    shown = figure(value, int(row["decimals"]))
    if row["unit"].casefold() in row["label_en"].casefold():
        return message("{value}", value=shown)
    return message("{value} {unit}", value=shown, unit=registers.both(registers.register("units")[row["unit"]], "name"))


def label(measure: str) -> dict[str, str]:
    return registers.both(registers.register("measures")[measure], "label")


def why(
    measures: pd.DataFrame, scores: Scores, ranks: pd.DataFrame, scheme: Scheme, sure: pd.DataFrame | None = None
) -> pd.DataFrame:
    """`why_ar` and `why_en` for each neighbourhood; `sure` is the table of `geo.confidence`."""
    ranked = int(ranks["rank"].notna().sum())
    same_rank = ranks["rank"].value_counts().to_dict()
    rows = {}
    for zone in measures.index.astype(str):
        values: dict[str, Any] = measures.loc[zone].to_dict()
        points = scores.contributions.loc[zone].to_dict()
        known = scores.normalised.loc[zone].notna()
        unknown = [one.measure for one in scheme.criteria if not known[one.measure]]
        place: Any = ranks.at[zone, "rank"]
        score = scores.table.loc[zone]
        if ranks.at[zone, "status"] != "ranked":
            sentences = _not_assessable(score, unknown, values)
        else:
            sentences = _ranked(int(place), ranked, int(same_rank[place]), score, points, values, unknown)
            drawn = None if sure is None else confidence.sentence(sure.loc[zone].to_dict(), scheme)
            sentences[1:1] = [] if drawn is None else [drawn]
            sentences += _complaints(points, ranks.get("rank_without_complaints", ranks["rank"])[zone])
        rows[zone] = {f"why_{lang}": " ".join(one.render(lang) for one in sentences) for lang in LANGS}
    return pd.DataFrame.from_dict(rows, orient="index")


def _ranked(
    place: int,
    ranked: int,
    sharing: int,
    score: pd.Series[float],
    points: Mapping[str, float],
    values: Mapping[str, Any],
    unknown: Sequence[str],
) -> list[Message]:
    stands = {"place": place, "ranked": ranked, "score": figure(score["score"], 1)}
    if math.isnan(score["score_low"]):
        first = message("Rank {place} of {ranked}, with {score} of 100 points; they depend on the other neighbourhoods.", **stands)
    else:
        first = message(
            "Rank {place} of {ranked}, with {score} of 100 points "
            "(between {low} and {high} when every uncertain or unknown value is put at its limits).",
            **stands,
            low=figure(score["score_low"], 1),
            high=figure(score["score_high"], 1),
        )
    sentences = [first]
    if sharing > 1:
        sentences.append(
            messages(
                "{n} other neighbourhood has exactly the same score.",
                "{n} other neighbourhoods have exactly the same score.",
                sharing - 1,
            )
        )
    leading = sorted((name for name, given in points.items() if pd.notna(given) and given > 0), key=lambda name: -points[name])[
        :NAMED
    ]
    if leading:
        sentences.append(
            message("Most of it comes from: {parts}.", parts=[_part(name, values[name], points[name]) for name in leading])
        )
    if unknown:
        sentences.append(
            message(
                "Unknown here: {unknown}; the score rests on {coverage}% of the weights.",
                unknown=[_unknown(name, values) for name in unknown],
                coverage=figure(score["coverage"] * 100, 0),
            )
        )
    return sentences


def _complaints(points: Mapping[str, float], without: Any) -> list[Message]:
    """What complaints bring, and where it would stand without them; nothing where the scheme does not ask them."""
    brought = [given for name, given in points.items() if name.startswith(COMPLAINTS) and pd.notna(given)]
    if not brought or pd.isna(without):
        return []
    return [
        message(
            "Complaints bring {points} points; without them it would be rank {place}.",
            points=figure(sum(brought), 1),
            place=int(without),
        )
    ]


def _part(measure: str, value: float, points: float) -> Message:
    return message(
        "{label} ({quantity}): {points} points",
        label=label(measure),
        quantity=quantity(measure, value),
        points=figure(points, 1),
    )


def _unknown(measure: str, values: Mapping[str, Any]) -> Message:
    code = values.get(f"{measure}_note", "" if measure in values else "no-layer")
    if pd.isna(code) or code not in NOTES:
        return message("{label}", label=label(measure))
    return message("{label} ({reason})", label=label(measure), reason=NOTES[str(code)])


def _not_assessable(score: pd.Series[float], unknown: Sequence[str], values: Mapping[str, Any]) -> list[Message]:
    return [
        message(
            "Not assessable: only {coverage}% of the weights are known. A survey is needed.",
            coverage=figure(score["coverage"] * 100, 0),
        ),
        message("Unknown here: {unknown}.", unknown=[_unknown(name, values) for name in unknown]),
    ]
