"""Damage: counted by hand in the town, and against published sums."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from geo.damage import STATES, by_state, equivalent_destroyed
from geo.registers import names
from geo.scheme import read_factors
from tests.conftest import A, B, C, D, layer, points


def test_structures_by_state_are_those_of_the_survey(plain_town):
    """A: 2 destroyed, 1 severe, 1 moderate. B: 1 moderate, 1 intact. C was looked at: 0. D was not: unknown."""
    counts = plain_town[["structures_destroyed", "structures_severe", "structures_moderate", "structures_none"]]
    assert counts.loc[["A", "B", "C"]].to_numpy().tolist() == [[2, 1, 1, 0], [0, 0, 1, 1], [0, 0, 0, 0]]
    assert counts.loc["D"].isna().all()
    assert plain_town["structures_damaged_all"].tolist()[:3] == [4, 1, 0]
    assert "structures_possible" not in plain_town, "a state that the survey never uses was not looked for"


def test_equivalent_destroyed_and_density(plain_town):
    """A, best: 2 × 1 + 0.525 + 0.175; low: 2 × 0.75 + 0.30 + 0.05; high: 2 × 1 + 0.80 + 0.40; on 1 km²."""
    for measure in ("equivalent_destroyed", "equivalent_destroyed_per_km2"):
        low, best, high = (plain_town.at["A", f"{measure}{end}"] for end in ("_low", "", "_high"))
        assert (low, best, high) == pytest.approx((1.85, 2.7, 3.2))
        # B: one moderate, and an intact structure of which up to 2 % may be lost unseen
        assert plain_town.at["B", f"{measure}_high"] == pytest.approx(0.40 + 0.02)
        assert plain_town.at["C", measure] == 0


def test_index_is_over_all_buildings(plain_town):
    """A: 2.7 of 10 buildings; B: 0.175 of 4; C: nothing lost of 5."""
    assert plain_town["damage_index"].tolist()[:3] == pytest.approx([0.27, 0.04375, 0.0])
    assert plain_town["buildings"].tolist() == [10, 4, 5, 5]


def test_unsurveyed_is_unknown_and_says_so(plain_town):
    d = plain_town.loc["D"]
    for measure in ("structures_damaged_all", "equivalent_destroyed", "damage_index", "road_debris_m", "people_in_damaged_homes"):
        assert np.isnan(d[measure]), measure
        assert d[f"{measure}_coverage"] == 0
    for measure in ("equivalent_destroyed", "damage_index", "road_debris_share", "people_in_damaged_homes"):
        assert d[f"{measure}_note"] == "not-surveyed", measure


def test_survey_without_extent_knows_only_where_it_found_something(measured):
    """Satellite lists hold damaged structures only: with no extent said, none in C and D may mean nobody looked."""
    town = measured(entries={"damage": {"extent": None}})
    assert town["structures_damaged_all"].tolist()[:2] == [4, 1]
    assert town.loc[["C", "D"], "structures_damaged_all"].isna().all()
    assert town.loc[["C", "D"], "damage_index_note"].tolist() == ["extent-unknown"] * 2
    assert town["damage_index_coverage"].isna().all()


def test_partial_extent(measured):
    """West half of A surveyed: density is over 0.5 km²; the index over the 5 buildings there, its bounds over all of A.

    Buildings of A stand at x = 60, 150 … 870: five of them (60 to 420) west of 500. Two destroyed structures lie on or beyond
    x = 500, so the survey keeps severe and moderate only: 0.525 + 0.175 = 0.7 on 5 buildings.
    """
    half = shapely.box(*A.bounds[:2], A.bounds[0] + 500, A.bounds[3])
    a = measured(surveyed=half, damage=lambda table: table.iloc[2:4]).loc["A"]
    assert a["damage_index_coverage"] == pytest.approx(0.5)
    assert a["equivalent_destroyed_per_km2"] == pytest.approx(0.7 / 0.5)
    assert a["damage_index"] == pytest.approx(0.7 / 5)
    assert a["damage_index_low"] == pytest.approx((0.30 + 0.05) / 5 * 0.5), "what was not looked at may be intact"
    assert a["damage_index_high"] == pytest.approx((0.80 + 0.40) / 5 * 0.5 + 0.5), "… or destroyed"


def test_not_analysed_is_missing_not_intact(measured):
    """B: 1 moderate, 1 not analysed, 4 buildings: 0.175 of the 3 analysed; high: 0.4 + 1 of 4."""
    b = measured(damage=layer(points((1500, 500), (1600, 600)), grade=["moderate", "not_analysed"])).loc["B"]
    assert b["damage_index"] == pytest.approx(0.175 / 3)
    assert (b["damage_index_low"], b["damage_index_high"]) == pytest.approx((0.05 / 4, 1.4 / 4))
    assert b["structures_damaged_all"] == 1


def test_index_is_withheld_without_inventory(measured):
    town = measured(without=("buildings",))
    assert town["damage_index"].isna().all()
    assert town["damage_index_note"].tolist() == ["no-inventory"] * 3 + ["not-surveyed"]
    assert town.at["A", "people_in_damaged_homes_note"] == "no-inventory"
    assert town.at["A", "equivalent_destroyed"] == pytest.approx(2.7), "the sum needs no inventory"


@pytest.mark.parametrize(
    ("extent", "expected"),
    [
        # a declared inventory is wrong where it is contradicted: B is still trusted
        ("study", ["inventory-incomplete", "", "", "not-surveyed"]),
        # an undeclared one that is contradicted anywhere is trusted nowhere
        (None, ["inventory-incomplete", "inventory-incomplete", "inventory-incomplete", "not-surveyed"]),
    ],
)
def test_index_is_withheld_where_the_inventory_is_contradicted(measured, extent, expected):
    """Three buildings in A, four damaged structures."""
    town = measured(buildings=lambda table: table.iloc[7:], entries={"buildings": {"extent": extent}})
    assert town["damage_index_note"].tolist() == expected
    assert town["damage_index"].isna().tolist() == [note != "" for note in expected]
    assert town["people_in_damaged_homes_note"].tolist() == expected
    assert town["buildings"].tolist() == [3, 4, 5, 5], "the number itself is still shown"


def test_inventory_that_did_not_look_is_no_zero(measured):
    town = measured(
        buildings=lambda table: table.iloc[:19], entries={"buildings": {"extent": "surveyed.geojson"}}, surveyed=shapely.union(A, B)
    )
    assert town["buildings"].isna().tolist() == [False, False, False, True], "five stand in C, though C was not declared"


def test_point_on_a_shared_boundary_counts_once(measured):
    town = measured(damage=layer(points((1000, 500), (1000, 1000)), grade=["severe", "severe"]))
    assert town["structures_severe"].tolist()[:3] == [2, 0, 0]


def test_footprint_across_a_boundary_counts_once(measured):
    table = layer([shapely.box(A.bounds[2] - 10, A.bounds[1] + 10, A.bounds[2] + 30, A.bounds[1] + 20)], grade=["severe"])
    assert measured(damage=table)["structures_severe"].sum() == 1


def test_partial_sums_merge():
    rng = np.random.default_rng(1)
    frame = pd.DataFrame({"zone": rng.choice([*"abc", None], 200), "state": rng.choice([*STATES, None], 200)})
    zones = pd.Index([*"abc"])
    halves = by_state(frame[:90], zones) + by_state(frame[90:], zones)
    pd.testing.assert_frame_equal(halves, by_state(frame, zones))
    assert halves.to_numpy().sum() == (frame["zone"].isin(zones) & frame["state"].isin(STATES)).sum()


# UNOSAT, damage assessments of Dar'a (7 February 2017), Sievierodonetsk (25 July 2022), Avdiivka (20 September 2022)
UNOSAT = {
    "daraa": {"destroyed": 224, "severe": 498, "moderate": 781, "total": 1503},
    "sievierodonetsk": {"destroyed": 92, "severe": 906, "moderate": 321, "possible": 240, "total": 1559},
    "avdiivka": {"destroyed": 36, "severe": 505, "moderate": 86, "possible": 7, "total": 634},
}
# the damage index of Dar'a, were these all of its structures, under four factor tables in use
DARAA = {
    "destroyed-only": ("destroyed_only", 0.1490),
    "weighted-1-06-02": ("factors_1_0.6_0.2", 0.4518),
    "unosat-midpoints": ("midpoints_.875_.525_.175", 0.3953),
    "destroyed-1-other-04": ("destroyed1_other0.4", 0.4894),
}


def counted(**states):
    return pd.DataFrame({state: [states.get(state, 0)] for state in STATES})


@pytest.mark.parametrize("place", UNOSAT)
def test_unosat_sums(place):
    states = {state: count for state, count in UNOSAT[place].items() if state != "total"}
    assert sum(states.values()) == UNOSAT[place]["total"]
    frame = pd.DataFrame({"zone": "all", "state": np.repeat(list(states), list(states.values()))})
    assert by_state(frame, pd.Index(["all"])).loc["all"].sum() == UNOSAT[place]["total"]


@pytest.mark.parametrize("table", DARAA)
def test_daraa_under_each_factor_table(table):
    states = {state: count for state, count in UNOSAT["daraa"].items() if state != "total"}
    best = equivalent_destroyed(counted(**states), read_factors(table)).at[0, "best"]
    assert best / UNOSAT["daraa"]["total"] == pytest.approx(DARAA[table][1], abs=5e-5)


def test_the_factors_chosen_can_turn_the_order_around():
    """20 destroyed of 100 against 60 moderate of 100: .20 > 0 counting destroyed only, .20 < .24 with 0.4 for any other damage."""
    one, other = counted(destroyed=20), counted(moderate=60)
    only, any_damage = read_factors("destroyed-only"), read_factors("destroyed-1-other-04")
    assert [equivalent_destroyed(part, only).at[0, "best"] for part in (one, other)] == [20, 0]
    assert [equivalent_destroyed(part, any_damage).at[0, "best"] for part in (one, other)] == pytest.approx([20, 24])


def test_published_numbers_are_those_of_the_shared_file(shared: Path):
    published = json.loads((shared / "test_vectors.json").read_text(encoding="utf-8"))
    assert {place: published["unosat_counts"][place] for place in UNOSAT} == UNOSAT
    assert {key: published["damage_factor_sensitivity_daraa"][key] for key, _ in DARAA.values()} == dict(DARAA.values())
    assert published["damage_factor_rank_flip"]["A"] == {"n": 100, "destroyed": 20}
    assert published["damage_factor_rank_flip"]["B"] == {"n": 100, "moderate": 60}


@pytest.mark.parametrize("name", names("factors"))
def test_factor_tables_are_ordered(name):
    """0 ≤ low ≤ best ≤ high ≤ 1 for each state, and a graver state never costs less."""
    table = read_factors(name)
    assert set(table.best) == set(STATES) - {"not_analysed"}
    for state in table.best:
        assert 0 <= table.low[state] <= table.best[state] <= table.high[state] <= 1
    for bound in (table.low, table.best, table.high):
        graver = [bound[state] for state in ("none", "slight", "moderate", "severe", "destroyed")]
        assert graver == sorted(graver)


@given(
    st.dictionaries(st.sampled_from(STATES), st.integers(0, 50)),
    st.sampled_from([state for state in STATES if state not in ("destroyed", "not_analysed")]),
    st.sampled_from(names("factors")),
)
def test_more_damage_is_never_less(states, milder, name):
    """One structure moved to `destroyed`, or one found more, lowers neither low, best nor high."""
    factors = read_factors(name)
    states = {**states, milder: states.get(milder, 0) + 1}
    worse = {**states, milder: states[milder] - 1, "destroyed": states.get("destroyed", 0) + 1}
    before, after = (equivalent_destroyed(counted(**one), factors).loc[0] for one in (states, worse))
    assert (after >= before - 1e-9).all()
    assert before["low"] <= before["best"] <= before["high"] <= sum(states.values()) + 1e-9


def test_zones_stand_where_the_picture_says():
    assert [round(zone.area) for zone in (A, B, C, D)] == [1_000_000] * 4
    assert shapely.intersection(A, B).length == 1000
