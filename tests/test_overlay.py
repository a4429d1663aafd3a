"""Overlay: each feature once, whatever lies on a boundary; shapely and geopandas as oracles on random data."""

from __future__ import annotations

import geopandas as gpd
import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from geo.overlay import cut, locate, middle, shared_area, surveyed_share, within_reach

whole = st.integers(0, 12).map(float)
place = st.tuples(whole, whole)
boxes = st.lists(st.tuples(place, place), min_size=1, max_size=6).map(
    lambda pairs: np.array([shapely.box(min(a, c), min(b, d), max(a, c) + 1, max(b, d) + 1) for (a, b), (c, d) in pairs])
)
paths = st.lists(st.lists(place, min_size=2, max_size=5, unique=True), min_size=1, max_size=6).map(
    lambda many: np.array([shapely.LineString(one) for one in many])
)
places = st.lists(place, min_size=1, max_size=30).map(np.array)
grid = np.array([shapely.box(x, y, x + 4, y + 4) for y in (0, 4, 8) for x in (0, 4, 8)])
anywhere = st.integers(0, 2**32 - 1).map(np.random.default_rng)


@given(places, boxes)
def test_locate_is_the_first_of_the_zones_that_geopandas_joins(xy, zones):
    """Coordinates are whole numbers, so that many points fall on boundaries, corners and overlaps."""
    found = locate(xy[:, 0], xy[:, 1], zones)
    joined = gpd.sjoin(gpd.GeoDataFrame(geometry=shapely.points(xy)), gpd.GeoDataFrame(geometry=zones), predicate="intersects")
    first = joined.groupby(level=0)["index_right"].min().reindex(range(len(xy)), fill_value=-1)
    assert found.tolist() == first.tolist()


def test_unknown_coordinates_lie_nowhere():
    assert locate(np.array([np.nan, 1.0]), np.array([1.0, np.nan]), grid).tolist() == [-1, -1]
    assert locate(np.array([]), np.array([]), grid).tolist() == []


@given(paths)
def test_cut_along_a_grid_adds_up_to_what_lies_in_it(lines):
    """The grid is whole, so pieces add up to each line's length inside, though many follow boundaries."""
    pieces = cut(lines, grid)
    total = np.bincount(pieces.line, pieces.length, minlength=len(lines))
    inside = shapely.length(shapely.intersection(shapely.node(lines), shapely.box(0, 0, 12, 12)))
    oracle = [shapely.length(shapely.intersection(shapely.unary_union(line), shapely.box(0, 0, 12, 12))) for line in lines]
    simple = shapely.is_simple(lines)
    assert total[simple] == pytest.approx(inside[simple])
    assert total[simple] == pytest.approx(np.array(oracle)[simple])


@given(paths, boxes)
def test_cut_counts_a_stretch_in_overlapping_zones_for_the_first(lines, zones):
    """Oracle: what of the line lies in a zone and in none before it."""
    lines = lines[shapely.is_simple(lines)]
    if not len(lines):
        return
    pieces = cut(lines, zones)
    found = np.zeros((len(lines), len(zones)))
    np.add.at(found, (pieces.line, pieces.zone), pieces.length)
    for row, line in enumerate(lines):
        rest = line
        for column, zone in enumerate(zones):
            part = shapely.intersection(rest, zone)
            rest = shapely.difference(rest, zone)
            assert found[row, column] == pytest.approx(shapely.length(part), abs=1e-6)


def test_cut_agrees_with_geopandas_overlay():
    rng = np.random.default_rng(5)
    lines = np.array([shapely.LineString(rng.uniform(-2, 14, (4, 2))) for _ in range(200)])
    frame = gpd.GeoDataFrame({"zone": range(9)}, geometry=grid)
    oracle = gpd.overlay(gpd.GeoDataFrame({"line": range(200)}, geometry=lines), frame, how="intersection")
    pieces = cut(lines, grid)
    by_zone = np.bincount(pieces.zone, pieces.length, minlength=9)
    assert by_zone == pytest.approx(oracle.assign(m=oracle.length).groupby("zone")["m"].sum().to_numpy())


def test_sums_of_halves_add_to_the_sum_of_the_whole():
    rng = np.random.default_rng(8)
    lines = np.array([shapely.LineString(rng.integers(0, 13, (3, 2))) for _ in range(60)])
    xy = rng.integers(0, 13, (300, 2)).astype(float)

    def metres(part):
        pieces = cut(part, grid)
        return np.bincount(pieces.zone, pieces.length, minlength=9)

    def count(part):
        found = locate(part[:, 0], part[:, 1], grid)
        return np.bincount(found[found >= 0], minlength=9)

    assert metres(lines[:25]) + metres(lines[25:]) == pytest.approx(metres(lines))
    assert (count(xy[:111]) + count(xy[111:])).tolist() == count(xy).tolist()


@given(anywhere, st.integers(1, 12), st.floats(0.5, 30))
@settings(max_examples=60)
def test_within_reach_of_points_is_the_length_in_the_union_of_circles(rng, count, reach):
    """Oracle: shapely's buffer with 512 segments a quarter circle, united, intersected."""
    lines = np.array([shapely.LineString(rng.uniform(0, 100, (rng.integers(2, 6), 2))) for _ in range(5)])
    structures = shapely.points(rng.uniform(0, 100, (count, 2)))
    area = shapely.union_all(shapely.buffer(structures, reach, quad_segs=512))
    oracle = shapely.length(shapely.intersection(lines, area))
    assert within_reach(lines, structures, reach) == pytest.approx(oracle, rel=1e-3, abs=0.02)


@given(anywhere, st.floats(0.5, 20))
@settings(max_examples=30)
def test_within_reach_of_footprints_and_points_together(rng, reach):
    corners = rng.uniform(0, 80, (4, 2))
    structures = np.concatenate(
        [
            shapely.box(corners[:, 0], corners[:, 1], corners[:, 0] + 9, corners[:, 1] + 5),
            shapely.points(rng.uniform(0, 100, (4, 2))),
        ]
    )
    lines = np.array(
        [shapely.LineString(rng.uniform(0, 100, (3, 2))), shapely.MultiLineString([[(0, 0), (50, 50)], [(60, 0), (0, 60)]])]
    )
    oracle = shapely.length(shapely.intersection(lines, shapely.union_all(shapely.buffer(structures, reach, quad_segs=512))))
    found = within_reach(lines, structures, reach)
    assert found == pytest.approx(oracle, abs=16 * 0.003 * reach * 4)
    assert (found <= shapely.length(lines) + 1e-9).all()


@given(anywhere)
def test_reach_grows_with_structures_and_with_distance(rng):
    lines = np.array([shapely.LineString(rng.uniform(0, 100, (4, 2))) for _ in range(4)])
    structures = shapely.points(rng.uniform(0, 100, (8, 2)))
    assert (within_reach(lines, structures, 12) >= within_reach(lines, structures, 7) - 1e-9).all()
    assert (within_reach(lines, structures, 7) >= within_reach(lines, structures[:5], 7) - 1e-9).all()


def test_reach_of_nothing_and_on_a_point_long_stretch():
    assert within_reach(np.array([]), shapely.points([[0, 0]]), 5).tolist() == []
    line = np.array([shapely.LineString([(0, 0), (0, 0), (10, 0)])])
    assert within_reach(line, shapely.points([[0, 0]]), 5).tolist() == [5]
    assert within_reach(line, np.array([]), 5).tolist() == [0]


@given(boxes)
def test_shared_area_agrees_with_shapely(units):
    unit, zone, area = shared_area(units, grid)
    table = np.zeros((len(units), 9))
    table[unit, zone] = area
    oracle = [[shapely.area(shapely.intersection(one, cell)) for cell in grid] for one in units]
    assert table == pytest.approx(np.array(oracle))


def test_surveyed_share():
    cells = grid[:3]
    assert np.isnan(surveyed_share(None, cells)).all()
    assert surveyed_share("study", cells).tolist() == [1, 1, 1]
    assert surveyed_share(shapely.box(0, 0, 6, 4), cells).tolist() == pytest.approx([1, 0.5, 0])
    # a sliver left by digitising is neither a survey nor a gap
    assert surveyed_share(shapely.box(0, 0, 4 + 1e-7, 4), cells).tolist() == [1, 0, 0]


def test_middle_lies_on_the_shape():
    ring = shapely.box(0, 0, 10, 10).difference(shapely.box(1, 1, 9, 9))
    x, y = middle(np.array([ring, shapely.Point(3, 4), shapely.MultiPoint([(1, 1), (2, 2)])]))
    assert shapely.intersects_xy(ring, x[0], y[0])
    assert (x[1], y[1]) == (3, 4)
    assert (x[2], y[2]) in {(1, 1), (2, 2)}
