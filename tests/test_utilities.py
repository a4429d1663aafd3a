"""Utilities: the town's water, with a power line of its own; who is joined to what, on paper."""

from __future__ import annotations

from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import shapely

from geo import utilities
from geo.pipeline import open_study, read_city
from geo.population import people
from geo.scheme import read_scheme
from geo.service import served
from geo.study import NETWORKS
from tests.conftest import CRS, layer, lines, points, with_nodes

HEAD = "depender_layer,depender,dependee_layer,dependee,group,needs\n"
DEMO = Path(__file__).parents[1] / "data" / "demo"
TANK = (0, 300, "tank", "functional")


@pytest.fixture
def made(city):
    def build(*nodes, **changes):
        town = city(water=with_nodes(*nodes), **changes)
        return utilities.of(town, read_scheme("default"), people(town).table)

    return build


def power(state):
    """A substation, and a line from it to the pump's transformer."""
    shapes = [*lines([(0, 700), (500, 700)]), *points((0, 700), (500, 700))]
    return layer(shapes, id=["L1", "S1", "T1"], kind=["feeder", "substation", "transformer"], state=[state, "none", "none"])


def joined(found):
    return set(found.elements.index[found.joined()])


def test_people_are_spread_along_the_lines_of_their_neighbourhood(made):
    """A: 1,000 people on two kilometres; B: 2,000 on one; C: 4,000 on one; D has no pipe."""
    found = made(TANK)
    assert found.networks.nodes["people"].to_dict() == {
        "water:W1": 500, "water:W2": 500, "water:W3": 1600, "water:W4": 400, "water:W5": 4000, "water:N1": 0,
    }  # fmt: skip
    assert found.elements["metres"].tolist() == [1000, 1000, 800, 200, 1000, 0]


def test_unknown_people_count_in_metres_only(made, town):
    found = made(TANK, population=lambda table: table.assign(people=[1000, None, 4000, 500]))
    assert found.networks.nodes.loc[["water:W3", "water:W4"], "people"].tolist() == [0, 0]
    assert found.elements["metres_unknown"].tolist() == [0, 0, 800, 200, 0, 0]


def test_what_is_joined_to_the_tank(made):
    """W2 is severed, W5 is joined to nothing; W3 is of unknown state."""
    found = made(TANK)
    assert joined(found) == {"water:N1", "water:W1", "water:W3", "water:W4"}
    worst = set(found.elements.index[found.joined(unknown_works=False)])
    assert worst == {"water:N1", "water:W1"}


def test_a_pump_without_power_supplies_nobody(made):
    needs = HEAD + "water,N1,electricity,T1,,\n"
    pump = (0, 300, "pump", "functional")
    entries = {"electricity": {"path": "electricity.parquet"}}
    lit = made(pump, needs=needs, electricity=power("none"), entries=entries)
    dark = made(pump, needs=needs, electricity=power("destroyed"), entries=entries)
    assert {"water:N1", "water:W1", "electricity:T1"} <= joined(lit)
    assert joined(dark) == {"electricity:S1"}
    spare = made(
        pump,
        needs=HEAD + "water,N1,electricity,T1,p,\nwater,N1,backup,generator,p,\n",
        electricity=power("destroyed"),
        entries=entries,
    )
    assert {"water:N1", "water:W1"} <= joined(spare)


def test_facilities_that_need_something(made):
    """The hospital of A needs a sound pipe, that of C the one nothing joins: working is not enough, it has to be supplied."""

    def named(table):
        return table.assign(id=[f"F{number + 1}" for number in range(len(table))])

    needs = HEAD + "facilities,F3,water,W1,,\nfacilities,F6,water,W5,,\n"
    up = made(TANK, needs=needs, facilities=named).facilities_up()
    # F1 stands beside destroyed houses; F4 is destroyed and serves all the same; F6 has no water, and is closed besides
    assert up.to_dict() == {0: False, 1: True, 2: True, 3: True, 4: True, 5: False, 6: True}


def test_a_network_without_a_source_is_not_in_it(made):
    assert made((0, 300, "valve", "functional")) is None


def test_gap_in_the_drawing_is_a_gap_beyond_the_tolerance(city):
    pipes = layer(
        lines([(0, 300), (500, 300)], [(500, 302), (900, 302)]) + points((0, 300)),
        id=["a", "b", "t"],
        kind=["main", "main", "tank"],
        state="none",
    )
    town = city(water=pipes)
    for tolerance_m, there in ((1.0, {"water:a", "water:t"}), (2.0, {"water:a", "water:b", "water:t"})):
        assert joined(utilities.of(town, read_scheme("default"), people(town).table, tolerance_m=tolerance_m)) == there


def test_crossing_without_a_junction_is_no_junction(city):
    pipes = layer(
        lines([(0, 300), (500, 300)], [(200, 100), (200, 500)]) + points((0, 300)),
        id=["a", "b", "t"],
        kind=["main", "main", "tank"],
        state="none",
    )
    town = city(water=pipes)
    assert joined(utilities.of(town, read_scheme("default"), people(town).table)) == {"water:a", "water:t"}


def test_rows_without_ids_or_with_the_same_are_told_apart():
    frame = gpd.GeoDataFrame({"id": ["x", "x", None, "y"], "row": [1, 2, 3, 4]}, geometry=[shapely.Point(0, 0)] * 4, crs=CRS)
    assert utilities.codes(frame.astype({"id": "string"})) == ["#1", "#2", "#3", "y"]


def test_order_of_rows_changes_nothing(city):
    def turned(table):
        return with_nodes(TANK)(table).iloc[::-1].reset_index(drop=True)

    towns = [city(water=one) for one in (with_nodes(TANK), turned)]
    found = [utilities.of(town, read_scheme("default"), people(town).table) for town in towns]
    assert joined(found[0]) == joined(found[1])
    assert served(found[0].networks).people_without == served(found[1].networks).people_without


def test_demo_city_counts_everybody_once():
    """People of all neighbourhoods whose number is known and that have lines, network by network; all sound, all are served."""
    study, scheme = open_study(DEMO)
    city = read_city(study)
    counted = people(city).table
    found = utilities.of(city, scheme, counted)
    for name in NETWORKS:
        living = found.networks.nodes.loc[found.networks.nodes["network"] == name, "people"].sum()
        assert living == pytest.approx(counted["people"].sum(), rel=1e-9)
    sound = found.networks.value(np.ones_like(found.networks.working))
    assert sound == pytest.approx(4 * counted["people"].sum(), rel=0.001)  # but for a few drawn apart from the rest
    assert not found.findings
