"""Why parts of a network hang on nothing: planted gaps are found, and nobody behind one counts as isolated."""

from __future__ import annotations

import geopandas as gpd
import numpy as np
import pytest
import shapely

from geo.gaps import components, gaps, isolated_by_gap, one_sided, parts
from geo.graphs import attach, build
from tests.conftest import CRS


def network(*paths, **columns):
    return build(gpd.GeoDataFrame(columns, geometry=[shapely.LineString(path) for path in paths], crs=CRS))


MAIN = [(0, 0), (1000, 0)]
AREA = shapely.box(-5000, -5000, 5000, 5000)


def behind(graph, found):
    """Places of the nodes that only gaps keep away."""
    return {tuple(place) for place in graph.places[isolated_by_gap(graph, found)].tolist()}


def test_a_planted_gap_of_20_m_is_found():
    """A side street drawn 20 m short of the main road, 300 m long."""
    graph = network(MAIN, [(500, 20), (500, 320)])
    found = gaps(graph, reach_m=25)
    assert found[["component", "other", "distance_m"]].to_numpy().tolist() == [[1, 0, 20]]
    assert graph.places[found["node"]].tolist() == [[500, 20]]
    assert behind(graph, found) == {(500, 20), (500, 320)}
    assert components(graph, found, area=AREA)["why"].tolist() == ["largest", "suspected-gap"]


def test_a_street_30_m_off_is_apart():
    graph = network(MAIN, [(500, 30), (500, 330)])
    found = gaps(graph, reach_m=25)
    assert (len(found), behind(graph, found)) == (0, set())
    table = components(graph, found, area=AREA)
    assert table["why"].tolist() == ["largest", "apart"]
    assert table["length_m"].tolist() == [1000, 300]
    assert table["share"].tolist() == pytest.approx([1000 / 1300, 300 / 1300])


def test_several_gaps_in_a_row():
    """Main road, 20 m, street, 20 m, street; and an island whose gap leads to another island only."""
    row = [(500, 20), (500, 100)], [(500, 120), (500, 150)]
    islands = [(0, 1000), (100, 1000)], [(120, 1000), (150, 1000)]
    graph = network(MAIN, *row, *islands)
    found = gaps(graph)
    assert behind(graph, found) == {(500, 20), (500, 100), (500, 120), (500, 150)}
    why = components(graph, found, area=AREA)["why"]
    assert why.value_counts().to_dict() == {"largest": 1, "suspected-gap": 2, "apart": 2}


def test_the_dead_end_may_be_that_of_the_largest():
    """The main road stops 10 m before the middle of another."""
    graph = network(MAIN, [(1010, -200), (1010, 200)])
    found = gaps(graph)
    assert found[["component", "other", "distance_m"]].to_numpy().tolist() == [[0, 1, 10]]
    assert isolated_by_gap(graph, found).sum() == 2


def test_a_bridge_above_is_no_gap():
    """A flyover that has lost its ramps crosses the road; its ends are 200 m off."""
    graph = network(MAIN, [(500, -200), (500, 200)], bridge=[None, "yes"])
    found = gaps(graph)
    assert len(found) == 0
    assert components(graph, found, area=AREA)["why"].tolist() == ["largest", "bridge-or-tunnel"]


def test_a_dead_end_under_a_bridge_is_no_gap():
    graph = network([(0, 0), (10, 0), (1000, 0)], [(500, 10), (500, 200)], bridge=["yes", None])
    assert len(gaps(graph)) == 0


def test_the_edge_of_the_area():
    graph = network(MAIN, [(500, 300), (500, 990)])
    found = gaps(graph)
    for top, why in ((1000, "edge-of-area"), (800, "edge-of-area"), (2000, "apart")):
        assert components(graph, found, area=shapely.box(-100, -100, 1100, top))["why"].tolist()[1] == why
    assert components(graph, found)["why"].tolist()[1] == "apart"


def test_components_are_counted_by_length():
    graph = network([(0, 0), (10, 0)], [(0, 500), (700, 500)], [(0, 900), (50, 900)])
    table = components(graph, gaps(graph))
    assert table["length_m"].tolist() == [700, 50, 10]
    assert (table["nodes"].tolist(), table["edges"].tolist()) == ([2, 2, 2], [1, 1, 1])
    assert np.bincount(parts(graph)).tolist() == [2, 2, 2]


def test_no_roads():
    graph = build(gpd.GeoDataFrame(geometry=[], crs=CRS))
    found = gaps(graph)
    assert (len(found), len(isolated_by_gap(graph, found)), len(components(graph, found, area=AREA))) == (0, 0, 0)
    assert len(one_sided(graph)) == 0


def test_people_behind_a_gap_are_flagged_where_they_live():
    """A house beside the side street that stops 20 m short, one beside the main road, one beside an island 100 m off."""
    graph = network(MAIN, [(500, 20), (500, 320)], [(500, -100), (600, -100)])
    found = attach(graph, shapely.points([(505, 200), (100, 5), (550, -105)]), limit_m=50)
    gap = isolated_by_gap(found.graph, gaps(found.graph))
    assert gap[found.node].tolist() == [True, False, False]


def test_one_way_streets_that_lead_nowhere():
    """Into a blind alley one can drive and not come back; a ring can be left where it was entered."""
    ring = [(1000, 0), (1100, 0), (1100, 100), (1000, 0)]
    graph = network(MAIN, ring, [(500, 0), (500, 300)], one_way=["no", "forward", "backward"])
    assert graph.places[one_sided(graph)].tolist() == [[500, 300]]
    assert not one_sided(network(MAIN, ring, one_way=["no", "forward"])).any()
