"""What closes a road: one piece of evidence at a time on the town's grid, then all of them, the demo city, and Aleppo."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import shapely

from geo import registers
from geo.closures import STATES, WORKS, closures, seconds_now
from geo.graphs import attach
from geo.pipeline import open_study, read_city
from geo.road_network import read_roads, road_graph
from tests.conftest import A, layer, lines, points

# four streets of 100 m in A, 200 m apart, none of which meets another: main, collector, local, path
STREETS = [[(100, 100 + 200 * n), (200, 100 + 200 * n)] for n in range(4)]
CLASSES = ["primary", "secondary", "residential", "footway"]
NOTHING = layer(points((900, 950)), grade=["none"])


@pytest.fixture
def now(town):
    """The state of the roads of the town, with what a test changes; the demo's four streets unless it brings its own."""

    def made(scheme=None, **changes):
        streets = changes.pop("roads", layer(lines(*STREETS), road_class=CLASSES))
        if "damage" not in changes.get("without", ()):
            changes.setdefault("damage", NOTHING)
        study, chosen = open_study(town(roads=streets, **changes), scheme)
        city = read_city(study)
        roads = read_roads(city, {})
        graph = road_graph(roads)
        return graph, closures(graph, roads, city, chosen)

    return made


def states(found):
    return found[1]["state"].tolist()


def test_nothing_on_the_road(now):
    graph, table = now()
    assert table["state"].tolist() == ["open"] * 4
    assert table["seconds"].tolist() == graph.seconds.tolist()
    assert table[["evidence", "works"]].eq("").all(axis=None)


def test_rubble_closes_narrow_streets_and_slows_wide_ones(now):
    """A destroyed structure 6 m north of each street; the default scheme lets rubble reach 10 m, so 16 m lie under it."""
    graph, table = now(damage=layer(points(*((150, 106 + 200 * n) for n in range(4))), grade=["destroyed"] * 4))
    assert table["state"].tolist() == ["slowed", "slowed", "closed", "closed"]
    assert table["works"].tolist() == ["debris"] * 4
    assert table["evidence"].tolist() == [
        "debris-destroyed-main",
        "debris-destroyed-collector",
        "debris-destroyed",
        "debris-destroyed",
    ]
    assert table["seconds"].tolist() == pytest.approx([2 * graph.seconds[0], 3 * graph.seconds[1], np.inf, np.inf])


def test_rubble_beyond_its_reach_does_nothing(now):
    far = points((150, 110.5), (150, 310), (150, 517), (150, 706))
    assert states(now(damage=layer(far, grade=["destroyed", "moderate", "severe", "severe"]))) == ["open", "open", "open", "slowed"]


def test_a_metre_of_rubble_is_the_least(now):
    """9.99 m from the axis a circle of 10 m covers 2 × √(100 − 99.8001) = 0.89 m; 9.9 m from it, 2.82 m."""
    near = points((150, 509.99), (150, 709.9))
    assert states(now(damage=layer(near, grade=["destroyed"] * 2))) == ["open", "open", "open", "closed"]


def test_the_footprint_of_a_surveyed_point_throws_rubble(now):
    """The point is 25 m from the street, its building 5 m."""
    building = shapely.box(140, 505, 160, 545)
    house = layer([shapely.affinity.translate(building, 330_000, 4_000_000)])
    struck = layer(points((150, 525)), grade=["destroyed"])
    assert states(now(damage=struck))[2] == "open"
    assert states(now(damage=struck, buildings=house))[2] == "closed"


def test_the_state_of_the_road_itself(now):
    """Nobody surveyed buildings: a graded road is known, the one without a grade is not."""
    graded = layer(lines(*STREETS), road_class=CLASSES, state=["destroyed", "moderate", "none", None])
    graph, table = now(roads=graded, without=("damage",))
    assert table["state"].tolist() == ["closed", "slowed", "open", "unknown"]
    assert table["works"].tolist() == ["repair", "repair", "", ""]
    assert table["seconds"].to_numpy()[:3].tolist() == pytest.approx([np.inf, 1.5 * graph.seconds[1], graph.seconds[2]])
    assert np.isnan(table["seconds"][3])


def test_a_severely_damaged_bridge_closes_where_a_road_is_slowed(now):
    """Both stand 200 m apart; neither meets the other."""
    paths = layer(lines(*STREETS[:2]), road_class=["primary"] * 2, state=["severe"] * 2, bridge=["no", "yes"])
    assert states(now(roads=paths)) == ["slowed", "closed"]


def test_obstacles_within_5_m(now):
    placed = layer(points((150, 104), (150, 306), (150, 503), (150, 700)), kind=["crater", "berm", "Crater", "overturned bus"])
    _, table = now(obstacles=placed, entries={"obstacles": {"path": "obstacles.geojson"}})
    assert table["state"].tolist() == ["slowed", "open", "closed", "closed"]
    assert table["evidence"].tolist() == ["obstacle-crater-main", "", "obstacle-crater", "obstacle-any"]
    assert table["works"].tolist() == ["repair", "", "repair", "debris"]


def test_hazards_close_until_they_are_cleared(now):
    """A minefield across the first two streets; a leaning building 9 m from the third, 11 m from none; a cache of shells on the fourth."""
    field = shapely.affinity.translate(shapely.box(120, 50, 130, 350), 330_000, 4_000_000)
    shapes = [field, *points((150, 509), (150, 700))]
    _, table = now(
        hazards=layer(shapes, kind=["mines", "leaning building", "shells"]), entries={"hazards": {"path": "hazards.geojson"}}
    )
    assert table["state"].tolist() == ["closed"] * 4
    assert table["evidence"].tolist() == ["hazard-mines", "hazard-mines", "hazard-leaning", "hazard-any"]
    assert table["works"].tolist() == ["hazard"] * 4


def test_works_are_done_in_their_order_and_the_worst_decides(now):
    """A minefield, rubble and a broken surface on one street: cleared of mines, then of rubble, then repaired."""
    _, table = now(
        roads=layer(lines(STREETS[0]), road_class=["primary"], state=["moderate"]),
        damage=layer(points((150, 106)), grade=["destroyed"]),
        hazards=layer(points((180, 100)), kind=["mines"]),
        entries={"hazards": {"path": "hazards.geojson"}},
    )
    assert table.loc[0, ["state", "works"]].tolist() == ["closed", "hazard debris repair"]
    assert table.loc[0, "evidence"].split() == ["state-moderate", "debris-destroyed-main", "hazard-mines"]
    _, table = now(
        roads=layer(lines(STREETS[0]), road_class=["primary"], state=["moderate"]),
        damage=layer(points((150, 106)), grade=["destroyed"]),
    )
    assert (table.loc[0, "state"], table.loc[0, "factor"]) == ("slowed", 2)


def test_where_nobody_looked_it_is_unknown(now):
    """The survey looked at A alone: the street in D, and one that leaves A, are unknown; a berm is known all the same."""
    paths = lines(STREETS[0], [(1500, 1500), (1600, 1500)], [(900, 900), (1100, 900)], [(1500, 1700), (1600, 1700)])
    graph, table = now(
        roads=layer(paths, road_class=["residential"] * 4),
        surveyed=A,
        obstacles=layer(points((1550, 1700)), kind=["berm"]),
        entries={"obstacles": {"path": "obstacles.geojson"}},
    )
    assert table["state"].tolist() == ["open", "unknown", "unknown", "closed"]
    assert seconds_now(table, graph, unknown="open").tolist() == pytest.approx([*graph.seconds[:3], np.inf])
    assert np.isinf(seconds_now(table, graph, unknown="closed")).tolist() == [False, True, True, True]


def test_a_survey_that_does_not_say_where_it_looked_opens_no_road(now):
    assert states(now(entries={"damage": {"extent": None}})) == ["unknown"] * 4


def test_smaller_pieces_close_less(town):
    """A house 20 m from the corner keeps its way when the other end of its street is under rubble."""
    study, scheme = open_study(
        town(roads=layer(lines(STREETS[2]), road_class=["residential"]), damage=layer(points((195, 506)), grade=["destroyed"]))
    )
    city = read_city(study)
    roads = read_roads(city, {})
    with_house = attach(road_graph(roads), np.array(points((120, 510))), limit_m=50).graph
    assert closures(with_house, roads, city, scheme)["state"].tolist() == ["open", "closed"]


def test_rules_are_whole():
    """Each rule says what it does in the words of the tables; the most general ones leave no value of ours out."""
    rules = pd.DataFrame(registers.register("closures").values())
    assert set(rules["effect"]) <= set(STATES)
    assert set(rules["work"]) <= {"", *WORKS}
    assert (pd.to_numeric(rules.loc[rules["effect"] == "slowed", "factor"]) > 1).all()
    assert (rules.loc[rules["effect"] == "closed", "factor"] == "").all()
    assert rules.loc[rules["effect"].isin(["slowed", "closed"]), "work"].ne("").all()
    graded = set(rules.loc[(rules["evidence"] == "state") & (rules["road"] == "*"), "value"])
    assert graded == set(registers.register("states"))


def test_demo_city():
    study, scheme = open_study(Path(__file__).parents[1] / "data" / "demo")
    city = read_city(study)
    roads = read_roads(city, {})
    graph = road_graph(roads)
    table = closures(graph, roads, city, scheme)
    assert len(table) == len(graph)
    assert set(table["state"]) == set(STATES)
    berms = city.layers["obstacles"].frame
    for place in berms.geometry[berms["kind"] == "berm"]:
        near = shapely.distance(place, graph.shape) <= 5
        assert (table.loc[near, "state"] == "closed").all()
    # nothing that lies in a minefield is open, and all of it waits for clearance before anything else
    mines = shapely.union_all(city.layers["hazards"].frame.geometry[city.layers["hazards"].frame["kind"] == "mines"].to_numpy())
    inside = shapely.intersects(mines, graph.shape)
    assert inside.any()
    assert (table.loc[inside, "state"] == "closed").all()
    assert table.loc[inside, "works"].str.startswith("hazard").all()
