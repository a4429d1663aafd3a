"""Explanations: the numbers of the run in sentences, and nothing that is not in the run."""

from __future__ import annotations

import re

import pytest

from geo.explain import quantity
from geo.figures import figure
from geo.registers import register
from geo.scheme import read_scheme


def test_sentence_of_the_first(plain_town):
    """33.4 points, bounds and the three largest contributions of A, as added up in test_scoring."""
    text = plain_town.at["A", "why_en"].replace(" %", "%")
    assert text.startswith("Rank 1 of 3, with 33.4 of 100 points (between 26.4 and 42.")
    assert "Share of water network damaged (50.0%): 13.3 points, Damage index (27.0%): 12.0 points" in text
    assert "Unknown here: Share of electricity network damaged (the study has no such layer)" in text
    assert "rests on 90% of the weights" in text


def test_points_named_are_the_contributions_of_the_run(town_run):
    for row in town_run.priorities.to_dict("records"):
        named = re.findall(r": ([\d.]+) points", row["why_en"])
        given = sorted((row[f"contribution_{name}"] for name in town_run.criteria()), key=lambda one: -(one if one == one else 0))
        largest = [one for one in given if one == one and one > 0][: len(named)]
        assert [float(one) for one in named] == pytest.approx(largest, abs=0.05)


def test_both_languages_tell_the_same_numbers(town_run):
    """The Arabic sentence holds the numbers of the English one; the unit "per 10,000" may be spelled otherwise."""
    for row in town_run.priorities.to_dict("records"):
        arabic, english = (set(re.findall(r"\d+\.\d+|\b\d\b", row[f"why_{lang}"])) for lang in ("ar", "en"))
        assert english <= arabic
        assert not re.search("[a-zA-Z]{4,}", row["why_ar"]), "no English is left in the Arabic"


def test_unknown_criteria_are_all_named(town_run):
    labels = {name: row["label_en"] for name, row in register("measures").items()}
    for row in town_run.priorities.to_dict("records"):
        for one in read_scheme("default").criteria:
            unknown = row[f"contribution_{one.measure}"] != row[f"contribution_{one.measure}"]
            if row["status"] == "ranked":
                assert (labels[one.measure] in row["why_en"].partition("Unknown here")[2]) == unknown


def test_quantities():
    assert figure(12345.678, 1) == "12,345.7"
    assert quantity("damage_index", 0.27).render("en") == "27.0%"
    assert quantity("people", 1500).render("en") == "1,500"
