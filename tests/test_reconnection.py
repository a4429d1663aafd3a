"""Reconnection: what one repair brings back across networks, alone, last and together."""

from __future__ import annotations

import json

import numpy as np
import pytest

from geo import reconnection
from geo.reconnection import downstream, table
from geo.service import ServiceError, build, served
from tests.test_sequence import micro, random_networks
from tests.test_service import arcs, needs, nodes, small_town


@pytest.fixture
def town():
    return small_town()


def test_one_substation_brings_back_power_water_and_care(town):
    found = downstream(town, "sub")
    assert found.people.to_dict() == {"homes": 600, "taps": 500, "clinic": 200}
    assert {"homes", "meter_pump", "meter_clinic", "pump", "taps", "clinic", "sub-homes"} <= set(found.elements)
    assert "solar" not in found.elements


def test_of_what_works_it_is_what_hangs_on_it(town):
    whole = town.state(["sub"])
    found = downstream(town, "pump-taps", works=whole)
    assert found.people.to_dict() == {"taps": 500, "clinic": 200}
    assert found.elements == ("taps", "clinic")


def test_solar_panels_take_the_clinic_off_the_feeder(town):
    whole = town.state(["sub"])
    assert downstream(town, "sub-meter_clinic", works=whole).people.to_dict() == {"clinic": 200}
    assert downstream(town, "sub-meter_clinic", works=town.state(["sub", "solar"])).people.empty


def test_unknown_element_is_named(town):
    with pytest.raises(ServiceError, match=r"no such elements.*atlantis"):
        downstream(town, ["sub", "atlantis"])


def test_table_of_the_published_example(shared):
    one = json.loads((shared / "test_vectors.json").read_text(encoding="utf-8"))["restoration_micro"]
    made = table(micro())
    assert made["together"].to_dict() == pytest.approx(one["shapley"])
    assert made["alone"].to_dict() == {"a": 0, "b": 0, "c": 400}
    assert made["last"].to_dict() == {"a": 1000, "b": 1000, "c": 400}
    assert made["needs_also"].to_dict() == {"a": ("b",), "b": ("a",), "c": ()}
    assert made.at["a", "dependents"] == ("m", "v1", "b")
    assert made["kind"].unique().tolist() == ["arc"]


def test_needs_across_networks_are_named():
    """The pump is broken and so is its feeder: neither serves without the other, wherever it stands."""
    left = nodes(
        plant=("power", 9.0, 0, True), meter=("power", 0, 0, True), well=("water", 9.0, 0, False), taps=("water", 0, 7, True)
    )
    both = build(left, arcs("!plant-meter", "well-taps"), needs(("well", "meter", "", "supplied")))
    made = table(both)
    assert made["needs_also"].to_dict() == {"well": ("plant-meter",), "plant-meter": ("well",)}
    assert made["together"].tolist() == [3.5, 3.5]
    assert made["network"].to_dict() == {"well": "water", "plant-meter": "power"}


def test_shares_sum_to_what_all_repairs_bring():
    rng = np.random.default_rng(2)
    for _ in range(10):
        both = random_networks(rng, 5)
        brought = both.unmet(both.working) - both.unmet(np.ones_like(both.working))
        assert table(both)["together"].sum() == pytest.approx(brought, abs=1e-6)


def test_sampled_shares_lie_within_their_errors(monkeypatch):
    both = micro()
    monkeypatch.setattr(reconnection, "EXACT", 0)
    made = table(both, orders=400)
    assert made["together"].sum() == pytest.approx(1400)
    assert (np.abs(made["together"] - [500, 500, 400]) <= 4 * made["together_error"] + 1e-9).all()
    assert made.at["c", "together_error"] == pytest.approx(0, abs=1e-9)


def test_people_of_the_table_are_those_of_the_state(town):
    assert table(town).at["sub", "alone"] == served(town).people_without
