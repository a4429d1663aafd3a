"""Service networks: a town on paper, flow against a linear programme, needs across networks, what can be wrong."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import linprog

from geo.service import ServiceError, build, served, supplied, up


def nodes(**rows):
    """By id: network, supply, people, and perhaps working."""
    table = pd.DataFrame.from_dict(rows, orient="index", columns=["network", "supply", "people", "working"])
    return table


def arcs(*ways, **columns):
    """`a-b` is an arc from a to b; a minus in front says that it is broken."""
    ids = [way.lstrip("!") for way in ways]
    ends = {"tail": [one.split("-")[0] for one in ids], "head": [one.split("-")[1] for one in ids]}
    return pd.DataFrame({**ends, "working": [not way.startswith("!") for way in ways], **columns}, index=ids)


def needs(*lines):
    return pd.DataFrame(lines, columns=["depender", "dependee", "group", "needs"])


def small_town():
    """A substation feeds homes and the pump of a well; a clinic needs water and (power, or its solar panels).

    plant ── sub ── homes(600) ── meter_pump, meter_clinic       well ── pump ── taps(500) ── meter_water
    """
    left = nodes(
        plant=("power", 5000.0, 0, True),
        sub=("power", 0, 0, False),
        homes=("power", 0, 600, True),
        meter_pump=("power", 0, 0, True),
        meter_clinic=("power", 0, 0, True),
        well=("water", 5000.0, 0, True),
        pump=("water", 0, 0, True),
        taps=("water", 0, 500, True),
        clinic=("health", 200.0, 200, True),
        solar=("backup", 0, 0, False),
    )
    right = arcs("plant-sub", "sub-homes", "sub-meter_pump", "sub-meter_clinic", "well-pump", "pump-taps")
    wants = needs(
        ("pump", "meter_pump", pd.NA, "supplied"),
        ("clinic", "taps", pd.NA, "supplied"),
        ("clinic", "meter_clinic", "electricity", "supplied"),
        ("clinic", "solar", "electricity", "working"),
    )
    return build(left, right, wants)


@pytest.fixture
def town():
    return small_town()


def test_one_substation_takes_power_water_and_care_with_it(town):
    now = served(town)
    assert now.networks["people_without"].to_dict() == {"power": 600, "water": 500, "health": 200}
    assert now.people_without == 1300
    assert not now.nodes.at["clinic", "up"]
    assert now.nodes.at["taps", "up"], "the taps work; nothing comes out of them"


def test_everything_comes_back_with_it(town):
    assert served(town, town.state(["sub"])).people_without == 0


def test_an_alternative_keeps_one_need_but_not_the_others(town):
    """With solar panels the clinic has electricity, and still no water."""
    solar = served(town, town.state(["solar"]))
    assert solar.networks.at["health", "people_without"] == 200
    both = town.state(["sub", "solar"], failed=["sub-meter_clinic"])
    assert served(town, both).people_without == 0
    neither = town.state(["sub"], failed=["sub-meter_clinic"])
    assert served(town, neither).networks["people_without"].to_dict() == {"power": 0, "water": 0, "health": 200}


def test_supplied_is_more_than_up(town):
    usable = up(town, town.working)
    reached = supplied(town, usable)
    place = town.elements.get_loc("meter_pump")
    assert usable[place]
    assert not reached[place]


def test_what_works_though_damaged_needs_no_repair(town):
    """Damage and service are two things: the cracked tank that holds water is not among the broken."""
    tables = town.nodes.assign(state=["none"] * 6 + ["severe"] + ["none"] * 3)
    assert build(tables, town.arcs, town.dependencies).broken == ("sub", "solar")


def test_needs_in_a_circle_keep_each_other_up_until_one_fails():
    left = nodes(a=("power", 1.0, 0, True), b=("water", 1.0, 0, True))
    both = build(left, arcs(), needs(("a", "b", pd.NA, "supplied"), ("b", "a", pd.NA, "supplied")))
    assert up(both, both.working).tolist() == [True, True]
    assert up(both, both.state(failed=["a"])).tolist() == [False, False]


def test_unknown_state_is_neither_working_nor_not():
    left = nodes(well=("water", 9.0, 0, pd.NA), home=("water", 0, 5, True))
    without = [served(build(left, arcs("well-home"), unknown_works=works)).people_without for works in (True, False)]
    assert without == [0, 5]


def test_capacity_limits_what_arrives_and_most_people_per_unit_come_first():
    """10 units pass, for a hospital that needs 8 (400 people) and homes that need 6 (60 people): 2 of 6 are left."""
    left = pd.DataFrame(
        {"network": "water", "supply": [99.0, 0, 0, 0], "demand": [0, 0, 6, 8], "people": [0, 0, 60, 400]},
        index=["well", "pump", "homes", "hospital"],
    )
    right = arcs("well-pump", "pump-homes", "pump-hospital", capacity=[10.0, np.nan, np.inf])
    made = served(build(left, right))
    assert made.nodes["served_share"].round(6).to_dict() == {"homes": round(2 / 6, 6), "hospital": 1.0}
    assert made.people_without == pytest.approx(40)
    assert made.networks.at["water", "unmet_share"] == pytest.approx(4 / 14)


def test_one_way_arcs_are_one_way():
    left = nodes(well=("water", 9.0, 0, True), home=("water", 0, 5, True))
    assert served(build(left, arcs("home-well", directed=[True]))).people_without == 5
    assert served(build(left, arcs("home-well", directed=[False]))).people_without == 0


def test_networks_that_weigh_alike_sum_to_one(town):
    alike = build(town.nodes, town.arcs, town.dependencies, weighting="networks")
    assert alike.full == pytest.approx(1)
    assert alike.unmet(alike.working) == pytest.approx(1)
    assert alike.unmet(alike.state(["sub"])) == pytest.approx(0)


def test_people_without_a_demand_are_not_left_out_silently():
    left = pd.DataFrame(
        {"network": "water", "supply": [9.0, 0, 0], "demand": [0, 5, 0], "people": [0, 5, 7]}, index=["well", "a", "b"]
    )
    with pytest.raises(ServiceError, match="people at nodes without a demand") as caught:
        build(left, arcs("well-a"))
    assert caught.value.findings[0].rows == ("b",)


def test_unknown_people_stay_unknown_where_networks_weigh_alike(town):
    some = town.nodes.assign(people=town.nodes["people"].mask(town.nodes.index == "taps"))
    now = served(build(some, town.arcs, town.dependencies, weighting="networks"))
    assert now.networks["people_without"].isna().to_dict() == {"power": False, "water": True, "health": False}
    assert np.isnan(now.people_without)
    assert now.networks["unmet_share"].tolist() == [1, 1, 1]


def test_everything_wrong_is_said_at_once():
    left = nodes(a=("water", -1.0, 0, True), b=("power", 0, np.nan, True), c=("water", 0, 3, True))
    right = arcs("a-b", "a-nowhere", "a-c", capacity=[1.0, 1.0, -2.0])
    with pytest.raises(ServiceError) as caught:
        build(pd.concat([left, left.loc[["c"]]]), right, needs(("c", "moon", pd.NA, "working"), ("c", "a", pd.NA, "luck")))
    found = {(one.code, one.where): one.rows for one in caught.value.findings}
    assert found["service-id", "service nodes"] == ("c",)
    assert found["service-end", "service arcs"] == ("nowhere",)
    assert found["service-across", "service arcs"] == ("a-b",)
    assert found["service-need", "dependencies"] == ("moon",)
    assert found["service-needs", "dependencies"] == ("c",)
    assert found["service-amount", "service arcs"] == ("a-c",)
    assert [one.rows for one in caught.value.findings if one.code == "service-amount"] == [("a",), ("b",), ("b",), ("a-c",)]


@st.composite
def random_network(draw, weights=(1.0,)):
    count = draw(st.integers(2, 7))
    amounts = st.integers(0, 9)
    supply = draw(st.lists(amounts, min_size=count, max_size=count))
    demand = draw(st.lists(amounts, min_size=count, max_size=count))
    weight = draw(st.lists(st.sampled_from(weights), min_size=count, max_size=count))
    pairs = draw(st.lists(st.tuples(st.integers(0, count - 1), st.integers(0, count - 1)), max_size=12))
    capacity = draw(st.lists(st.sampled_from([0.5, 1, 2.25, 4, np.inf]), min_size=len(pairs), max_size=len(pairs)))
    directed = draw(st.lists(st.booleans(), min_size=len(pairs), max_size=len(pairs)))
    working = draw(st.lists(st.booleans(), min_size=count + len(pairs), max_size=count + len(pairs)))
    left = pd.DataFrame(
        {"network": "n", "supply": np.array(supply, float), "demand": np.array(demand, float), "working": working[:count]},
        index=[f"n{number}" for number in range(count)],
    )
    left["people"] = left["demand"] * weight
    columns = {"tail": [f"n{a}" for a, _ in pairs], "head": [f"n{b}" for _, b in pairs]}
    right = pd.DataFrame(
        {**columns, "capacity": np.array(capacity, float), "directed": np.array(directed, bool), "working": working[count:]},
        index=[f"e{number}" for number in range(len(pairs))],
    )
    return build(left, right)


def by_linear_programme(made):
    """The same service as a linear programme: arcs' flows, supplies and demands met, conserved at every node."""
    usable = up(made, made.working)
    count, many = len(made.nodes), len(made.arcs)
    tail, head = made.ends
    conserve = np.zeros((count, many + 2 * count))
    conserve[tail, np.arange(many)] -= 1
    np.add.at(conserve, (head, np.arange(many)), 1)
    conserve[:, many : many + count] = np.eye(count)
    conserve[:, many + count :] = -np.eye(count)
    most = np.minimum(made.arcs["capacity"], 1e4).to_numpy() * usable[count:]
    least = np.where(made.arcs["directed"], 0, -most)
    both = np.concatenate([made.nodes["supply"] * usable[:count], made.nodes["demand"] * usable[:count]])
    bounds = np.column_stack([np.concatenate([least, np.zeros(2 * count)]), np.concatenate([most, both])])
    cost = np.concatenate([np.zeros(many + count), -made.unit_weight])
    return -linprog(cost, A_eq=conserve, b_eq=np.zeros(count), bounds=bounds).fun


@given(random_network(weights=(0.0, 0.5, 1.0, 3.0)))
def test_flow_serves_as_many_as_a_linear_programme(made):
    assert made.value(made.working) == pytest.approx(by_linear_programme(made), abs=1e-5)
    assert served(made).people_without == pytest.approx(made.unmet(made.working), abs=1e-5)


@given(random_network(), st.randoms(use_true_random=False))
def test_more_that_works_never_serves_less(made, rng):
    one = rng.choice(list(made.elements))
    assert made.unmet(made.state([one])) <= made.unmet(made.working) + 1e-9
    assert made.unmet(made.state(failed=[one])) >= made.unmet(made.working) - 1e-9


@given(random_network())
def test_shares_are_shares(made):
    share = served(made).nodes["served_share"]
    assert ((share >= 0) & (share <= 1)).all()
