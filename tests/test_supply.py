"""Supply: who is still joined to a source that works, on the town and on the demo city."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from geo import supply, utilities
from geo.pipeline import open_study, read_city
from geo.population import people
from geo.registers import register
from geo.scheme import read_scheme
from geo.study import NETWORKS
from tests.conftest import with_nodes


@pytest.fixture
def measured(city):
    def made(*nodes, **options):
        town = city(water=with_nodes(*nodes))
        counted = people(town).table
        return supply.measure(town, counted, utilities.of(town, read_scheme("default"), counted, **options))

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


def test_every_network_has_kinds_of_sources():
    assert set(register("network_sources")) == set(NETWORKS)


def test_demo_city_is_between_its_bounds():
    study, scheme = open_study(Path(__file__).parents[1] / "data" / "demo")
    city = read_city(study)
    counted = people(city).table
    table = supply.measure(city, counted, utilities.of(city, scheme, counted))
    assert list(table.index) == list(city.zones.index)
    for name in NETWORKS:
        share, high = table[f"{name}_cut_off_share"], table[f"{name}_cut_off_share_high"]
        assert share.between(0, 1).all()
        assert (share <= high + 1e-9).all()
        assert 0 < share.mean() < 1
