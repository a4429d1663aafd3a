"""Graphs of lines, drawn on a unit grid so that every node and edge can be counted on paper."""

from __future__ import annotations

import geopandas as gpd
import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from geo.graphs import attach, build, connected
from geo.road_network import road_graph
from tests.conftest import CRS, layer, lines


def roads(*paths, **columns):
    return gpd.GeoDataFrame(columns, geometry=[shapely.LineString(path) for path in paths], crs=CRS)


def edges(graph):
    """Edges as pairs of places, each pair in its direction."""
    return sorted(
        (tuple(graph.places[tail].tolist()), tuple(graph.places[head].tolist()))
        for tail, head in zip(graph.tail, graph.head, strict=True)
    )


def number_of_components(graph):
    return len(set(connected(len(graph.places), np.stack([graph.tail, graph.head], axis=1))))


def whole(graph):
    """What must hold of every graph: shapes run from tail to head, and every node is an end of some edge."""
    assert (shapely.get_coordinates(shapely.get_point(graph.shape, 0)) == graph.places[graph.tail]).all()
    assert (shapely.get_coordinates(shapely.get_point(graph.shape, -1)) == graph.places[graph.head]).all()
    assert set(graph.tail) | set(graph.head) == set(range(len(graph.places)))
    assert (graph.length_m > 0).all()
    assert (graph.seconds > 0).all()
    return graph


def test_a_crossing_has_a_node():
    graph = whole(build(roads([(0, 0), (10, 0)], [(4, -5), (4, 5)])))
    assert edges(graph) == [((0, 0), (4, 0)), ((4, -5), (4, 0)), ((4, 0), (4, 5)), ((4, 0), (10, 0))]
    assert graph.line.tolist() == [0, 0, 1, 1]


def test_a_crossing_without_vertices_is_none_where_the_source_says_so():
    """OpenStreetMap gives a junction a vertex of both ways; without one, the one passes over the other."""
    over = roads([(0, 0), (10, 0)], [(4, -5), (4, 5)])
    assert number_of_components(whole(build(over, crossings=False))) == 2
    met = roads([(0, 0), (4, 0), (10, 0)], [(4, -5), (4, 0), (4, 5)])
    assert edges(build(met, crossings=False)) == edges(build(over))


def test_an_end_half_a_metre_short_of_a_road_is_joined():
    """The through road stays straight; the branch is drawn to it."""
    graph = whole(build(roads([(0, 0), (10, 0)], [(4, 0.5), (4, 5)]), tolerance_m=1.0))
    assert edges(graph) == [((0, 0), (4, 0)), ((4, 0), (4, 5)), ((4, 0), (10, 0))]
    assert graph.length_m.sum() == 15
    assert number_of_components(build(roads([(0, 0), (10, 0)], [(4, 0.5), (4, 5)]), tolerance_m=0.4)) == 2


def test_ends_half_a_metre_apart_are_one_node():
    assert number_of_components(whole(build(roads([(0, 0), (10, 0)], [(10.3, 0.4), (20, 0)])))) == 1
    assert number_of_components(build(roads([(0, 0), (10, 0)], [(11, 1), (20, 0)]))) == 2


@pytest.mark.parametrize(
    "column", [{"bridge": ["yes", None]}, {"tunnel": ["no", "yes"]}, {"level": [1, np.nan]}, {"bridge": [True, False]}]
)
def test_a_bridge_is_not_joined_to_the_road_under_it(column):
    graph = whole(build(roads([(0, 0), (10, 0)], [(4, -5), (4, 5)], **column)))
    assert (len(graph), number_of_components(graph)) == (2, 2)


def test_a_bridge_is_joined_at_its_ends():
    """Road, bridge over another road, road; and a bridge that comes down in the middle of a road."""
    paths = [(0, 0), (4, 0)], [(4, 0), (8, 0)], [(8, 0), (12, 0)], [(6, -5), (6, 5)]
    graph = whole(build(roads(*paths, bridge=[None, "yes", None, None])))
    assert (len(graph), number_of_components(graph)) == (4, 2)
    ramp = whole(build(roads([(0, 0), (10, 0)], [(4, 0), (4, 9)], bridge=["no", "yes"])))
    assert (len(ramp), number_of_components(ramp)) == (3, 1)


def test_a_pier_in_the_middle_of_a_bridge_does_not_stand_on_the_road():
    """The bridge is drawn in two pieces that meet right above the road: still no junction."""
    paths = [(0, 0), (4, 0)], [(4, 0), (8, 0)], [(4, -5), (4, 5)]
    assert number_of_components(build(roads(*paths, bridge=["yes", "yes", None]))) == 2


def test_a_road_that_ends_under_a_bridge_does_not_climb_it():
    assert number_of_components(build(roads([(0, 0), (10, 0)], [(4, -5), (4, 0)], bridge=["yes", None]))) == 2


@pytest.mark.parametrize("said", ["forward", True, "yes"])
def test_one_way_leads_from_tail_to_head(said):
    graph = whole(build(roads([(0, 0), (10, 0)], [(4, -5), (4, 5)], one_way=[said, None if said != True else False])))  # noqa: E712
    assert [graph.one_way[graph.line == n].tolist() for n in (0, 1)] == [[True, True], [False, False]]
    assert edges(graph)[0] == ((0, 0), (4, 0))


def test_backward_is_turned_around():
    graph = whole(build(roads([(0, 0), (3, 1), (10, 0)], one_way=["backward"])))
    assert (edges(graph), graph.one_way.tolist()) == ([((10, 0), (0, 0))], [True])


def test_a_roundabout_keeps_its_direction():
    """A closed ring with four arms becomes four arcs, one after the other."""
    ring = [(1, 0), (0, 1), (-1, 0), (0, -1), (1, 0)]
    arms = [[(x, y), (5 * x, 5 * y)] for x, y in ring[:4]]
    graph = whole(build(roads(ring, *arms, one_way=["forward", None, None, None, None]), tolerance_m=0.1))
    assert len(graph) == 8
    arcs = edges(graph)
    assert [((1, 0), (0, 1)) in arcs, ((0, 1), (-1, 0)) in arcs, ((-1, 0), (0, -1)) in arcs, ((0, -1), (1, 0)) in arcs] == [
        True
    ] * 4
    assert graph.one_way.sum() == 4


def test_a_lone_ring_is_an_edge_from_a_node_to_itself():
    graph = whole(build(roads([(0, 0), (10, 0), (10, 10), (0, 0)])))
    assert (len(graph), len(graph.places)) == (1, 1)


def test_a_line_that_crosses_itself_has_a_node_there():
    graph = whole(build(roads([(0, 0), (10, 0), (10, 5), (5, 5), (5, -5)])))
    assert (5.0, 0.0) in {tuple(place) for place in graph.places.tolist()}
    assert graph.length_m.sum() == 30


def test_repeated_lines_count_once_and_are_listed():
    """The same road three times, once drawn the other way and with a vertex more."""
    graph = whole(build(roads([(0, 0), (10, 0)], [(0, 0), (10, 0)], [(10, 0), (4, 0), (0, 0)])))
    assert (len(graph), graph.length_m.tolist()) == (1, [10.0])
    assert graph.left_out.to_dict("list") == {"line": [1, 2], "reason": ["repeated", "repeated"]}


def test_two_one_way_copies_in_opposite_directions_are_a_two_way_road():
    paths = [(0, 0), (10, 0)], [(10, 0), (0, 0)]
    assert build(roads(*paths, one_way=["forward", "forward"])).one_way.tolist() == [False]
    assert build(roads(paths[0], paths[0], one_way=["forward", "forward"])).one_way.tolist() == [True]


def test_two_carriageways_are_two_edges():
    graph = whole(build(roads([(0, 0), (5, 2), (10, 0)], [(0, 0), (5, -2), (10, 0)])))
    assert (len(graph), len(graph.places)) == (2, 2)


def test_roads_that_run_together_share_the_common_stretch():
    graph = whole(build(roads([(0, 0), (10, 0)], [(4, 0), (14, 0)])))
    assert edges(graph) == [((0, 0), (4, 0)), ((4, 0), (10, 0)), ((10, 0), (14, 0))]


def test_what_made_no_edge_is_listed():
    shapes = [shapely.LineString([(0, 0), (10, 0)]), shapely.LineString([(10, 0), (10.5, 0)]), shapely.Point(1, 1), None]
    graph = build(gpd.GeoDataFrame(geometry=shapes, crs=CRS))
    assert graph.left_out.to_dict("list") == {"line": [1, 2, 3], "reason": ["shorter-than-tolerance", "no-line", "no-line"]}
    assert len(build(gpd.GeoDataFrame(geometry=[], crs=CRS))) == 0


def test_seconds_by_class():
    """100 m: 65 km/h primary, 5 km/h on foot, 25 km/h where the class is unknown."""
    far = [[(0, 100 * n), (100, 100 * n)] for n in range(4)]
    graph = build(roads(*far, road_class=["primary", "steps", "goat track", None]))
    assert graph.seconds.tolist() == pytest.approx([100 / 65 * 3.6, 72.0, 14.4, 14.4])


@pytest.mark.parametrize("wrong", [{"crs": "EPSG:4326"}, {"crs": None}])
def test_degrees_are_refused(wrong):
    with pytest.raises(ValueError, match="metres"):
        build(gpd.GeoDataFrame(geometry=[shapely.LineString([(0, 0), (1, 1)])], **wrong))


def test_many_parts_of_one_row():
    parts = shapely.MultiLineString([[(0, 0), (10, 0)], [(0, 9), (10, 9)]])
    graph = whole(build(gpd.GeoDataFrame(geometry=[parts], crs=CRS)))
    assert graph.line.tolist() == [0, 0]


@given(st.randoms(use_true_random=False), st.integers(2, 5), st.integers(2, 5))
def test_a_grid_has_its_crossings_in_any_order(random, across, up):
    """a lines one way and b the other, 100 m apart: a·b crossings, 2(a + b) ends, a(b + 1) + b(a + 1) edges."""
    paths = [[(-50, 100 * n), (100 * up - 50, 100 * n)] for n in range(across)] + [
        [(100 * n, -50), (100 * n, 100 * across - 50)] for n in range(up)
    ]
    random.shuffle(paths)
    graph = whole(build(roads(*paths)))
    assert len(graph.places) == across * up + 2 * (across + up)
    assert len(graph) == across * (up + 1) + up * (across + 1)
    assert number_of_components(graph) == 1
    assert graph.length_m.sum() == pytest.approx(shapely.length(shapely.multilinestrings(paths)))


def test_a_graph_of_a_graph_is_the_same():
    first = build(roads([(0, 0), (10, 0)], [(4, 0.5), (4, 5)], [(0, 3), (10, 3)]))
    again = build(gpd.GeoDataFrame(geometry=first.shape, crs=CRS))
    assert edges(again) == edges(first)


def test_points_are_put_on_the_nearest_edge():
    """Two houses beside a 100 m street, 30 m and 80 m along it, one at its end, one too far, one without a place."""
    street = build(roads([(0, 0), (100, 0)], one_way=["forward"], road_class=["steps"]))
    found = attach(
        street,
        np.array([shapely.Point(80, 5), shapely.Point(30, -5), shapely.Point(101, 0), shapely.Point(50, 60), None]),
        limit_m=50,
    )
    graph = whole(found.graph)
    assert graph.places[found.node[:3]].tolist() == [[80, 0], [30, 0], [100, 0]]
    assert edges(graph) == [((0, 0), (30, 0)), ((30, 0), (80, 0)), ((80, 0), (100, 0))]
    assert sorted(graph.seconds.tolist()) == pytest.approx([14.4, 21.6, 36.0])
    assert (graph.one_way.tolist(), found.edge.tolist(), graph.line.tolist()) == ([True] * 3, [0] * 3, [0] * 3)
    assert found.node[3:].tolist() == [-1, -1]
    left = found.left_out
    assert (left["point"].tolist(), left["reason"].tolist()) == ([3, 4], ["beyond-limit", "no-point"])
    assert left["distance_m"].tolist() == pytest.approx([60, np.nan], nan_ok=True)


def test_neighbours_share_a_node():
    street = build(roads([(0, 0), (100, 0)]))
    found = attach(street, shapely.points([(30.2, 5), (29.8, -5), (30.8, 1)]), limit_m=50)
    assert found.graph.places[found.node].tolist() == [[30, 0], [30, 0], [31, 0]]
    assert len(found.graph) == 3


def test_nobody_is_put_on_a_bridge():
    street = build(roads([(0, 0), (100, 0)], [(0, 20), (100, 20)], bridge=["no", "yes"]))
    found = attach(street, shapely.points([(50, 19)]), limit_m=50)
    assert found.graph.places[found.node].tolist() == [[50, 0]]


def test_points_without_any_road():
    found = attach(build(gpd.GeoDataFrame(geometry=[], crs=CRS)), shapely.points([(0, 0)]), limit_m=50)
    assert (found.node.tolist(), found.left_out["reason"].tolist()) == ([-1], ["beyond-limit"])


@given(st.lists(st.tuples(st.floats(-20, 120), st.floats(-20, 120)), min_size=1, max_size=12))
def test_attaching_changes_no_length_and_no_time(places):
    grid = build(roads(*[[(0, y), (100, y)] for y in (0, 50, 100)], *[[(x, 0), (x, 100)] for x in (0, 50, 100)]))
    found = attach(grid, shapely.points(places), limit_m=100)
    graph = whole(found.graph)
    assert graph.length_m.sum() == pytest.approx(grid.length_m.sum())
    assert np.bincount(found.edge, graph.seconds) == pytest.approx(grid.seconds)
    assert (shapely.distance(shapely.points(graph.places[found.node]), shapely.points(places)) < 72).all()


def test_tags_of_openstreetmap_say_where_roads_meet(city):
    """A road over another, a one-way street drawn against its direction, and an unknown word that is listed."""
    paths = lines([(100, 100), (900, 100)], [(500, 50), (500, 500)], [(100, 500), (900, 500)])
    tags = {
        "highway": ["primary", "secondary", "residential"],
        "oneway": ["yes", "-1", "perhaps"],
        "bridge": [None, "viaduct", None],
        "layer": ["0", "1", None],
    }
    found = city(roads=layer(paths, **tags), entries={"roads": {"profile": "osm"}}).layers["roads"]
    assert found.frame["one_way"].tolist()[:2] == ["forward", "backward"]
    assert found.left_out[["reason", "value"]].to_numpy().tolist() == [["value-unusable", "perhaps"]]
    graph = whole(road_graph(found))
    # the bridge comes down on the road in the north; it has nothing to do with the one it crosses
    assert (len(graph), number_of_components(graph)) == (4, 2)
    assert graph.one_way.tolist() == [True, True, False, False]
    assert graph.level.tolist() == [0, 1, 0, 0]


def test_whether_a_crossing_joins_is_for_the_profile_to_say(city):
    paths = lines([(100, 100), (900, 100)], [(500, 50), (500, 500)])
    own = city(roads=layer(paths, road_class=["primary", "primary"])).layers["roads"]
    osm = city(roads=layer(paths, highway=["primary", "primary"]), entries={"roads": {"profile": "osm"}}).layers["roads"]
    assert [number_of_components(road_graph(one)) for one in (own, osm)] == [1, 2]


GRID = st.tuples(st.integers(0, 12), st.integers(0, 12))
SEGMENTS = st.lists(st.tuples(GRID, GRID).filter(lambda pair: pair[0] != pair[1]), min_size=1, max_size=14)


@given(SEGMENTS)
def test_pieces_are_those_of_geos(segments):
    """Straight lines between whole metres, crossing and overlapping as they like, against the noding of GEOS.

    Crossings of such lines lie a thousandth of a metre apart at least, far more than the tolerance.
    """
    graph = whole(build(roads(*segments), tolerance_m=1e-6))
    theirs = shapely.get_parts(shapely.node(shapely.multilinestrings(segments)))
    assert np.sort(graph.length_m) == pytest.approx(np.sort(shapely.length(theirs)), abs=1e-5)
    assert shapely.hausdorff_distance(shapely.multilinestrings(list(graph.shape)), shapely.multilinestrings(list(theirs))) < 1e-5


@given(SEGMENTS, st.lists(st.booleans(), min_size=14, max_size=14))
def test_a_bridge_shares_no_node_in_mid_line(segments, above):
    """Whatever is drawn, the graph of all lines is that of the ground and that of the bridges, joined at ends of bridges only."""
    bridges = above[: len(segments)]
    graph = whole(build(roads(*segments, bridge=bridges), tolerance_m=1e-6))
    ends = {end for segment, bridge in zip(segments, bridges, strict=True) if bridge for end in segment}
    on = [
        {tuple(place) for place in graph.places[np.concatenate([graph.tail[level], graph.head[level]])].round(6)}
        for level in (graph.level == 0, graph.level == 1)
    ]
    assert {(round(x, 6), round(y, 6)) for x, y in on[0] & on[1]} <= ends | _met_twice(graph)


def _met_twice(graph):
    """Places where two nodes lie over each other: one on the ground, one on a bridge."""
    places, count = np.unique(graph.places.round(6), axis=0, return_counts=True)
    return {tuple(place) for place in places[count > 1].tolist()}
