"""Supply: who is still joined to a source that works, on the town and on the demo city."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import shapely

from geo import supply
from geo.pipeline import open_study, read_city
from geo.population import people
from geo.registers import register
from geo.study import NETWORKS
from tests.conftest import at


def with_nodes(*nodes):
    """The town's pipes with nodes: (x, y, kind, functionality)."""

    def add(table):
        more = pd.DataFrame({"kind": [one[2] for one in nodes], "functionality": [one[3] for one in nodes], "state": None})
        more["geometry"] = at(*(shapely.Point(one[:2]) for one in nodes))
        return pd.concat([table.assign(kind="main", functionality=None), more], ignore_index=True).set_crs(table.crs)

    return add


@pytest.fixture
def measured(city):
    def made(*nodes, **options):
        town = city(water=with_nodes(*nodes))
        return supply.measure(town, people(town).table, **options)

    return made


def test_tank_at_the_head_of_the_main(measured):
    """A: one of two pipes is severed. B: its first pipe is of unknown state. C: a sound pipe that nothing joins. D: no pipe."""
    town = measured((0, 300, "tank", "functional"))
    assert town["water_cut_off_share"].tolist()[:3] == [0.5, 0, 1]
    assert town["water_cut_off_people"].tolist()[:3] == [500, 0, 4000]
    assert town["water_cut_off_people_high"].tolist()[:3] == [500, 2000, 4000]
    assert town["water_cut_off_share_coverage"].tolist()[:3] == pytest.approx([1, 0.2, 1])
    assert np.isnan(town.at["D", "water_cut_off_people"])
    assert town.at["D", "water_cut_off_people_note"] == "extent-unknown"


def test_source_that_does_not_work_supplies_nobody(measured):
    town = measured((0, 300, "tank", "not_functional"))
    assert town["water_cut_off_share"].tolist()[:3] == [1, 1, 1]


def test_network_without_a_known_source_is_unknown_not_cut_off(measured):
    town = measured((0, 300, "valve", "functional"))
    assert town["water_cut_off_share"].isna().all()
    assert town.at["A", "water_cut_off_share_note"] == "no-sources"


def test_nothing_joins_at_a_node_that_does_not_work(measured):
    town = measured((0, 300, "tank", "functional"), (1000, 300, "pump", "not_functional"))
    assert town["water_cut_off_share"].tolist()[:2] == [0.5, 1]


def test_gap_in_the_drawing_is_a_gap_beyond_the_tolerance():
    shapes = np.array([shapely.Point(0, 0), shapely.LineString([(0, 0), (10, 0)]), shapely.LineString([(10, 2), (20, 2)])])
    sources = np.array([True, False, False])
    for tolerance_m, joined in ((1.0, False), (2.0, True)):
        assert supply.supplied(shapes, np.ones(3, bool), sources, tolerance_m=tolerance_m).tolist() == [True, True, joined]


def test_crossing_without_a_junction_is_no_junction():
    shapes = np.array([shapely.Point(0, 0), shapely.LineString([(0, 0), (10, 0)]), shapely.LineString([(5, -5), (5, 5)])])
    assert supply.supplied(shapes, np.ones(3, bool), np.array([True, False, False])).tolist() == [True, True, False]


def test_every_network_has_kinds_of_sources():
    assert set(register("network_sources")) == set(NETWORKS)


def test_demo_city_is_between_its_bounds():
    city = read_city(open_study(Path(__file__).parents[1] / "data" / "demo")[0])
    table = supply.measure(city, people(city).table)
    assert list(table.index) == list(city.zones.index)
    for name in NETWORKS:
        share, high = table[f"{name}_cut_off_share"], table[f"{name}_cut_off_share_high"]
        assert share.between(0, 1).all()
        assert (share <= high + 1e-9).all()
        assert 0 < share.mean() < 1
    water = city.layers["water"].frame
    sources = water["kind"].isin(["tank", "pump"]).to_numpy()
    assert supply.supplied(water.geometry.to_numpy(), np.ones(len(water), bool), sources).mean() > 0.99
