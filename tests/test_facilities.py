"""Facilities: does it serve, how broken is it, and what we don't know of either."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from geo.facilities import working
from tests.conftest import layer, points


def test_working_schools(plain_town):
    """A: one beside a destroyed structure, one beside none: 1 of 2 works. B: destroyed, yet it teaches. D: nobody looked."""
    assert plain_town["school_facilities"].tolist() == [2, 1, 0, 1]
    assert plain_town["school_working"].tolist() == [1, 1, 0, 0]
    assert plain_town["school_damaged"].tolist()[:3] == [1, 1, 0]
    assert plain_town["working_school_per_10000"].tolist()[:3] == pytest.approx([10, 5, 0])
    assert plain_town["people_per_working_school"].tolist()[:2] == pytest.approx([1000, 2000])


def test_functionality_goes_before_damage(plain_town):
    """A's hospital works within 25 m of a severely damaged structure; C's stands whole and is closed."""
    assert plain_town["health_working"].tolist() == [1, 0, 0, 0]
    assert plain_town["health_damaged"].tolist()[:3] == [1, 0, 0]


def test_none_works_is_no_ratio_but_zero_per_10000(plain_town):
    c = plain_town.loc["C"]
    assert np.isnan(c["people_per_working_health"])
    assert c["people_per_working_health_note"] == "none-works"
    assert c["working_health_per_10000"] == 0


def test_facility_of_unknown_state_is_between_working_and_not(plain_town):
    """D's school: 0 to 1 works, of 500 people that is 0 to 20 per 10,000; nothing of it is known."""
    d = plain_town.loc["D"]
    assert (d["school_working_low"], d["school_working_high"]) == (0, 1)
    assert d["working_school_per_10000_high"] == pytest.approx(20)
    assert d["working_school_per_10000_coverage"] == 0


def test_state_comes_from_the_worst_structure_in_reach(measured):
    """Moderate at 10 m and destroyed at 24 m: destroyed. At 26 m: out of reach, moderate is what is left."""
    school = layer(points((500, 500)), kind=["school"])
    for distance, works in ((24, 0), (26, 1)):
        damage = layer(points((510, 500), (500 + distance, 500)), grade=["moderate", "destroyed"])
        a = measured(facilities=school, damage=damage).loc["A"]
        assert (a["school_working"], a["school_damaged"]) == (works, 1)


@pytest.mark.parametrize(
    ("functionality", "state", "expected"),
    [
        ("functional", "destroyed", 1.0),
        ("partial", "severe", 1.0),
        ("not_functional", "none", 0.0),
        (None, "moderate", 1.0),
        (None, "severe", 0.0),
        (None, "not_analysed", np.nan),
        (None, None, np.nan),
    ],
)
def test_what_counts_as_working(functionality, state, expected):
    frame = pd.DataFrame({"functionality": [functionality], "state": [state]}, dtype="string")
    assert working(frame).tolist() == pytest.approx([expected], nan_ok=True)


def test_group_that_the_layer_holds_nowhere_was_not_collected(measured):
    town = measured(facilities=lambda table: table[table["kind"] != "bakery"])
    assert "bakery_facilities" not in town


def test_extent_unknown_means_no_zero(measured):
    town = measured(entries={"facilities": {"extent": None}})
    assert np.isnan(town.at["C", "bakery_facilities"])
    assert town.at["C", "working_bakery_per_10000_note"] == "extent-unknown"
    assert town.at["B", "bakery_facilities"] == 1


def test_kind_that_no_register_holds_is_other_and_said(run):
    made = run(facilities=lambda table: table.assign(kind=["madrasa", *table["kind"][1:]]))
    noticed = [one for one in made.info["findings"] if one["code"] == "kind-other"]
    assert noticed[0]["rows"] == ["1"]
    assert "madrasa" in noticed[0]["found"]["en"]
    assert made.priorities.set_index("id").at["A", "school_facilities"] == 1
