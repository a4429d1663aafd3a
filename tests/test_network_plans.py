"""Network plans: one network put in order, the others as they stand."""

from __future__ import annotations

import pandas as pd
import pytest

from geo import utilities
from geo.network_plans import alone, plan_network
from geo.pipeline import open_study, read_city
from geo.population import people
from geo.restoration import Solver
from geo.sequence import SequenceError
from geo.service import build
from tests.test_utilities import DEMO


@pytest.fixture(scope="module")
def demo():
    study, scheme = open_study(DEMO)
    city = read_city(study)
    return utilities.of(city, scheme, people(city).table)


def test_the_plan_is_no_worse_than_any_plain_way(demo):
    found = plan_network(demo, "sewerage", crews=6, solver=Solver(seconds=30, nodes=200))
    assert found.compared["waiting"].idxmin() == "improved"
    assert found.compared.at["static", "share"] == 1
    assert found.plan.lost == found.compared["waiting"].min()
    table = found.table
    assert table.groupby("period")["effort"].sum().max() <= 6
    assert sorted(table["period"].unique()) == list(range(1, table["period"].max() + 1))
    assert table["id"].str.startswith("DEMO-S-").all()


def test_what_waits_for_another_network_is_named(demo):
    assert "DEMO-W-1874" in plan_network(demo, "water", crews=50, solver=Solver(seconds=5, nodes=50)).waiting_for_others


def test_a_network_that_is_not_there(demo):
    with pytest.raises(SequenceError, match="has no source") as raised:
        plan_network(demo, "gas", crews=1, solver=Solver())
    assert "water" in str(raised.value)


def test_alternatives_across_networks():
    """A feeder that is dead or a generator of its own network: the need stays inside; a generator elsewhere that runs meets it."""
    nodes = pd.DataFrame(
        {
            "network": ["w", "w", "w", "p", "b"],
            "supply": [1.0, 0, 0, 0, 0],
            "people": [0, 9, 0, 0, 0],
            "working": [True, True, False, False, True],
        },
        index=["pump", "a", "own", "feeder", "solar"],
    )
    arcs = pd.DataFrame({"tail": ["pump"], "head": ["a"]}, index=["pipe"])
    for other, waiting, kept in (("own", (), 1), ("solar", (), 0), (None, ("pump",), 0)):
        rows = [("pump", "feeder", "g")] + ([("pump", other, "g")] if other else [])
        networks = build(nodes, arcs, pd.DataFrame(rows, columns=["depender", "dependee", "group"]))
        one, lost = alone(networks, "w")
        assert (lost, len(one.dependencies)) == (waiting, kept)
