"""Utility works: the lists of the directorates, on paper, against brute force, and in the run of the demo city."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geo.condensing import condensed
from geo.pipeline import assess, open_study, read_city
from geo.population import people
from geo.scheme import read_scheme
from geo.service import build, supplied, up
from geo.study import NETWORKS
from geo.utilities import of
from geo.utility_works import COLUMNS, TITLES, utility_works, waiting_least, ways
from tests.conftest import layer, lines, points
from tests.test_utilities import DEMO

HEAD = "depender_layer,depender,dependee_layer,dependee,group,needs\n"


@pytest.fixture
def works(city):
    """A tank, main 1 (broken), main 2 behind it (broken), a branch 3 from the tank (broken); 4 hangs on main 2 and is sound.

    A has 1,000 people: 1 and 3 lie there, half and half. B has 2,000: 2 and 4, half and half. Beside it a line that powers the
    tank's pump, whose feeder is broken.
    """

    def made(*, pumped=False, fair=False):
        shapes = lines(
            [(0, 300), (1000, 300)], [(1000, 300), (1500, 300)], [(0, 300), (0, 900), (400, 900)], [(1500, 300), (2000, 300)]
        )
        pipes = layer(
            [*shapes, *points((0, 300))],
            id=["1", "2", "3", "4", "tank"],
            kind=["main", "main", "branch", "branch", "tank"],
            state=["severe", "destroyed", "severe", "none", "none"],
        )
        power = layer(
            [*lines([(0, 700), (500, 700)]), *points((0, 700), (500, 700))],
            id=["L", "S", "T"],
            kind=["feeder", "substation", "transformer"],
            state=["severe", "none", "none"],
        )
        needs = HEAD + ("water,tank,electricity,T,,\nfacilities,H,water,2,,\n" if pumped else "")
        town = city(
            water=pipes,
            electricity=power,
            needs=needs,
            entries={"electricity": {"path": "electricity.parquet"}},
            facilities=lambda table: table.assign(
                id=["H", *map(str, range(len(table) - 1))], state="none", functionality="functional"
            ),
        )
        found = of(town, read_scheme("default"), people(town).table)
        return {name: table.set_index("id") for name, table in utility_works(found, town, fair=fair).items()}

    return made


def test_a_pipe_behind_another_needs_it(works):
    """Main 1 is one kilometre of two in A: 500 people, and nothing of B; main 2 with it brings 500 + 2,000."""
    table = works()["water_works"]
    assert table.index.tolist() == ["1", "2", "3"]  # 2,500 in two repairs are 1,250 each; 3 brings 500
    assert table["people"].tolist() == [500, 2500, 500]
    assert table["alone_people"].tolist() == [500, 0, 500]
    assert table["needs"].tolist() == ["", "1", ""]
    assert table["repairs"].tolist() == [1, 2, 1]
    assert table["people_then"].tolist() == [500, 2000, 500]
    assert table["metres"].tolist() == [1000, 2000, 1000]
    assert table["zone"].tolist() == ["A", "B", "A"]
    assert table["length_m"].tolist() == [1000, 500, 1000]


def test_what_another_network_has_to_do_first(works):
    """Without power the tank serves nobody: every pipe waits for the feeder, and the feeder alone brings back no water here."""
    tables = works(pumped=True)
    water, power = tables["water_works"], tables["electricity_works"]
    assert water["needs"].to_dict() == {"1": "electricity:L", "2": "1 electricity:L", "3": "electricity:L"}
    assert water.at["2", "people"] == 2500
    assert water.at["2", "people_elsewhere"] == 1000  # A's people have power again by the feeder
    assert water.at["2", "dependents"] == "tank facilities:H"
    assert water["alone_people"].eq(0).all()
    assert power.loc["L", ["people", "people_elsewhere", "repairs"]].tolist() == [1000, 0, 1]
    assert power.at["L", "dependents"] == "water:tank"


def test_fair_shares_add_up(works):
    table = works(fair=True)["water_works"]
    assert table["fair_people"].sum() == pytest.approx(3000)
    assert table["fair_people"].to_dict() == pytest.approx({"1": 1500, "2": 1000, "3": 500})


def trees(draw, count):
    """A tree behind a sound source: the first broken, each behind an earlier one or the source."""
    behind = [draw(st.integers(0, number)) for number in range(count)]
    living = [float(draw(st.integers(0, 9))) for _ in range(count)]
    nodes = pd.DataFrame(
        {"network": "w", "supply": [1.0] + [0.0] * count, "people": [0.0, *living], "working": [True] + [False] * count},
        index=[str(number) for number in range(count + 1)],
    )
    arcs = pd.DataFrame({"tail": [str(one) for one in behind], "head": nodes.index[1:]}, index=[f"a{one}" for one in range(count)])
    return build(nodes, arcs)


def served(networks, repaired):
    works = networks.working.copy()
    works[list(repaired)] = True
    joined = supplied(networks, up(networks, works))[: len(networks.nodes)]
    return float(networks.nodes["people"].to_numpy()[joined].sum())


@settings(max_examples=25)
@given(st.data())
def test_nobody_could_wait_less_on_a_tree(data):
    """Against all orders of up to six repairs."""
    networks = trees(data.draw, data.draw(st.integers(1, 6)))
    broken = list(range(1, len(networks.nodes)))
    found = ways(networks)
    worth = {one: served(networks, found.repairs[one] | {one}) for one in broken}
    order = [broken[one] for one in waiting_least(broken, found, worth)]

    def wait(sequence):
        return -sum(served(networks, sequence[: number + 1]) for number in range(len(sequence)))

    assert sorted(order) == broken
    assert wait(order) == pytest.approx(min(wait(list(one)) for one in permutations(broken)))


@given(st.data())
def test_the_way_joins_and_no_shorter_one_does_on_a_tree(data):
    networks = trees(data.draw, data.draw(st.integers(1, 6)))
    for node, repairs in enumerate(ways(networks).repairs):
        works = networks.working.copy()
        works[list(repairs)] = True
        assert supplied(networks, up(networks, works))[node]
        for one in repairs:
            works[one] = False
            assert not supplied(networks, up(networks, works))[node]
            works[one] = True


def test_needs_in_a_circle_have_no_way():
    nodes = pd.DataFrame({"network": ["w", "p"], "supply": 1.0, "people": 1.0, "working": [False, True]}, index=["well", "plant"])
    needs = pd.DataFrame({"depender": ["well", "plant"], "dependee": ["plant", "well"], "needs": "supplied"})
    empty = pd.DataFrame({"tail": [], "head": []}, dtype=str)
    assert ways(build(nodes, empty, needs)).repairs == (None, None)


def test_demo_city_lists_join_the_run(demo_run):
    """Every broken element is in one list, with places; the list of a network adds up to the people who are cut off from it."""
    study, scheme = open_study(DEMO)
    city = read_city(study)
    found = of(city, scheme, people(city).table)
    for name in NETWORKS:
        table = demo_run.tables[f"{name}_works"]
        broken = (found.elements["layer"] == name).to_numpy() & ~found.networks.working[: len(found.elements)]
        assert sorted(table["id"]) == sorted(found.elements.loc[broken, "id"])
        assert list(table.columns) == [column for column in COLUMNS if column in table] + ["geometry"]
        assert (table["people"] >= -1e-9).all()
        assert (table["repairs"] == 1 + table["needs"].str.split().str.len()).all()
        cut_off = demo_run.priorities[f"{name}_cut_off_people"].sum()
        assert table["people_then"].sum() >= cut_off * 0.99  # but for what is drawn apart; other networks may gain too
        assert demo_run.info["tables"][f"{name}_works"]["title"] == TITLES[f"{name}_works"].both()


def test_demo_city_lists_beat_worst_first(demo_run):
    """How long people wait if one repair follows the other: by the list, and by what each carries when all is sound."""
    study, scheme = open_study(DEMO)
    city = read_city(study)
    small = condensed(of(city, scheme, people(city).table).networks).networks
    place = {one: number for number, one in enumerate(small.nodes.index)}
    carried = small.nodes["people"].to_numpy()

    def wait(order):
        works, total = small.working.copy(), 0.0
        for one in order:
            works[one] = True
            total += small.nodes["people"].sum() - served(small, np.flatnonzero(works[: len(small.nodes)]))
        return total

    table = demo_run.tables["sewerage_works"]
    listed = [place[f"sewerage:{one}"] for one in table["id"]]
    assert wait(listed) < 0.9 * wait(sorted(listed, key=lambda one: -carried[one]))


def test_a_city_without_sources_has_no_lists(run):
    assert not [name for name in run().tables if name in TITLES]


def test_order_of_rows_changes_no_value(city):
    found = []
    for turn in (1, -1):
        shapes = lines([(0, 300), (1000, 300)], [(1000, 300), (2000, 300)])
        pipes = layer(
            [*shapes, *points((0, 300))], id=["1", "2", "tank"], kind=["main", "main", "tank"], state=["severe", "severe", "none"]
        )
        town = city(water=pipes.iloc[::turn].reset_index(drop=True))
        made = of(town, read_scheme("default"), people(town).table)
        found.append(utility_works(made, town)["water_works"].drop(columns="geometry"))
    pd.testing.assert_frame_equal(found[0], found[1])


def test_a_run_has_the_lists_too(town):
    pipes = layer(
        [*lines([(0, 300), (1000, 300)]), *points((0, 300))], id=["1", "tank"], kind=["main", "tank"], state=["severe", "none"]
    )
    study, scheme = open_study(town(water=pipes))
    table = assess(read_city(study), scheme).tables["water_works"]
    assert table[["id", "people"]].to_numpy().tolist() == [["1", 1000.0]]
