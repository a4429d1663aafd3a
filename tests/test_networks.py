"""Networks: the share of a length whose state is known, and what is not known stays so."""

from __future__ import annotations

import numpy as np
import pytest
import shapely

from tests.conftest import A, B, layer, lines, points


def test_share_is_of_the_length_whose_state_is_known(plain_town):
    """A: 1,000 m of 2,000 broken. B: 200 m broken, 800 m of unknown state. C: 1,000 m sound. D: no line, and nobody said why."""
    assert plain_town["water_length_m"].tolist()[:3] == [2000, 1000, 1000]
    assert plain_town["water_damaged_m"].tolist()[:3] == [1000, 200, 0]
    assert plain_town["water_damaged_share"].tolist()[:3] == [0.5, 1.0, 0.0]
    b = plain_town.loc["B"]
    assert b["water_damaged_share_coverage"] == pytest.approx(0.2)
    assert (b["water_damaged_share_low"], b["water_damaged_share_high"]) == pytest.approx((0.2, 1.0))
    assert np.isnan(plain_town.at["D", "water_length_m"])
    assert plain_town.at["D", "water_damaged_share_note"] == "extent-unknown"


def test_line_of_unknown_state_is_neither_damaged_nor_sound(measured):
    b = measured(water=lambda table: table.iloc[[0, 2]]).loc["B"]
    assert np.isnan(b["water_damaged_share"])
    assert np.isnan(b["water_damaged_m"])
    assert b["water_damaged_share_note"] == "not-surveyed"
    assert (b["water_damaged_share_low"], b["water_damaged_share_high"]) == (0, 1)


def test_state_that_no_register_holds_is_unknown_and_listed(run):
    made = run(water=lambda table: table.assign(state=["fine", *table["state"][1:]]))
    lost = made.left_out.set_index("layer").loc["water"]
    assert (lost["row"], lost["reason"], lost["value"]) == (1, "value-unusable", "fine")
    record = next(one for one in made.info["layers"] if one["layer"] == "water")
    assert (record["rows_read"], record["rows_used"]) == (5, 5), "the line still counts with its length"
    assert made.priorities.set_index("id").at["A", "water_damaged_share"] == 1.0


def test_declared_network_without_lines_is_zero_metres_and_no_share(measured):
    town = measured(entries={"water": {"extent": "study"}})
    assert (town.at["D", "water_length_m"], town.at["D", "water_damaged_share_note"]) == (0, "nothing-here")
    assert np.isnan(town.at["D", "water_damaged_share"])
    partly = measured(entries={"water": {"extent": "surveyed.geojson"}}, surveyed=shapely.union(A, B))
    assert np.isnan(partly.at["D", "water_length_m"])


def test_nodes_are_no_length(measured):
    town = measured(water=layer(points((100, 100)), state=["destroyed"]))
    assert town["water_length_m"].isna().all()


def test_each_network_stands_for_itself(measured):
    town = measured(electricity=layer(lines([(0, 500), (500, 500)]), state=["destroyed"]))
    assert (town.at["A", "electricity_damaged_m"], town.at["A", "water_damaged_m"]) == (500, 1000)
