"""Collections and their windows: on four points by hand, against brute force on made-up ones, and on the roads of Aleppo."""

import datetime

import geopandas as gpd
import mapbox_vector_tile
import numpy as np
import pandas as pd
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from geo import tile_values, tiles, windows
from geo.windows import boxes, during, numbered, within

NAMED = {"ar": "", "en": ""}
DEGREES = st.floats(-180, 180, allow_nan=False), st.floats(-85, 85, allow_nan=False)


@pytest.fixture(scope="module")
def four():
    """On the equator at 0, 1, 2 degrees east and nowhere; the last two on days of March, the first on none."""
    days = pd.to_datetime([None, "2026-02-01", "2026-03-01", "2026-03-31"])
    points = [shapely.Point(0, 0), shapely.Point(1, 0), shapely.Point(2, 0), None]
    return numbered("damage", NAMED, gpd.GeoDataFrame({"id": list("dcba"), "date": days}, geometry=points, crs="EPSG:4326"))


def test_rows_stand_in_the_order_of_their_codes(four):
    assert four.ids.tolist() == ["a", "b", "c", "d"]
    assert four.table.geometry.isna().tolist() == [True, False, False, False]
    assert four.bounds == (0.0, 0.0, 2.0, 0.0)
    assert four.period == ("2026-02-01", "2026-03-31")


@pytest.mark.parametrize(
    ("box", "found"),
    [((0.5, -1, 2.5, 1), "bc"), ((1, 0, 1, 0), "c"), ((0, -1, 0, 1), "d"), ((170, -1, 0.5, 1), "d"), ((5, 5, 6, 6), "")],
)
def test_windows_by_hand(four, box, found):
    assert "".join(four.ids[within(four, boxes(box))]) == found


@pytest.mark.parametrize(
    ("first", "last", "found"),
    [("2026-03-01", None, "ab"), (None, "2026-03-01", "bc"), ("2026-03-01", "2026-03-01", "b"), ("2027-01-01", None, "")],
)
def test_periods_by_hand(four, first, last, found):
    days = [None if day is None else datetime.date.fromisoformat(day) for day in (first, last)]
    assert "".join(four.ids[during(four, *days)]) == found


@given(st.lists(st.tuples(*DEGREES), min_size=1, max_size=12), *DEGREES, *DEGREES)
def test_a_window_is_what_one_would_count(places, x1, y1, x2, y2):
    made = numbered("roads", NAMED, gpd.GeoDataFrame(geometry=shapely.points(places), crs="EPSG:4326"))
    south, north = sorted((y1, y2))
    expected = [south <= y <= north and (x1 <= x <= x2 if x1 <= x2 else x >= x1 or x <= x2) for x, y in places]
    assert within(made, boxes((x1, south, x2, north))).tolist() == expected


@given(st.permutations(list(range(6))))
def test_the_order_of_the_rows_changes_no_number_and_no_tile(order):
    table = gpd.GeoDataFrame(
        {"id": [f"n{n}" for n in range(6)], "score": np.arange(6.0)},
        geometry=shapely.points(np.arange(6), np.arange(6)),
        crs="EPSG:4326",
    )
    first, other = numbered("x", NAMED, table), numbered("x", NAMED, table.iloc[order])
    assert tiles.key(first) == tiles.key(other)
    assert first.table["score"].tolist() == other.table["score"].tolist()


def test_other_shapes_or_another_name_are_other_tiles(four):
    moved = four.table.assign(id=list(four.ids)).set_geometry(four.table.geometry.translate(1e-7))
    assert tiles.key(numbered("damage", NAMED, moved)) != tiles.key(four)
    assert tiles.key(numbered("roads", NAMED, four.table)) != tiles.key(four)


def test_nothing_to_draw_makes_no_file(tmp_path):
    nowhere = numbered("roads", NAMED, gpd.GeoDataFrame({"id": ["a"]}, geometry=[None], crs="EPSG:4326"))
    assert tiles.make(nowhere, tmp_path) is None
    assert nowhere.bounds is None
    pole = numbered("roads", NAMED, gpd.GeoDataFrame(geometry=[shapely.Point(0, 90)], crs="EPSG:4326"))
    assert tiles.make(pole, tmp_path) is None  # the projection does not reach it


def test_values_come_back_as_they_were(demo_run):
    table = gpd.GeoDataFrame(demo_run.priorities)
    of = numbered("priorities", NAMED, table)
    header, values = tile_values.unpack(tile_values.pack(of, demo_run))
    own = table.sort_values("id").reset_index(drop=True)
    for one in header["columns"]:
        column, got = own[one["name"]], values[one["name"]]
        if one["type"] == "float32":
            np.testing.assert_array_equal(got, column.to_numpy("f4", na_value=np.nan), one["name"])
        elif "words" in one and not pd.api.types.is_bool_dtype(column.dtype):
            assert [one["words"][code - 1] if code else None for code in got] == [
                None if pd.isna(text) else text for text in column
            ]
        assert one["label"]["ar"]
        assert one["offset"] % 4 == 0


def test_the_roads_of_aleppo_are_all_in_their_tiles(shared, tmp_path):
    roads = gpd.read_parquet(shared / "data/aleppo-roads-osm/aleppo_simplified.parquet")
    of = numbered("roads", NAMED, roads[["geometry"]])
    made = tiles.archive(tiles.make(of, tmp_path))
    low, _ = tiles.zooms(len(of.table))
    assert made.min_zoom == low
    left, top = tiles.tile_of(made.bounds[0], made.bounds[3], low)
    right, bottom = tiles.tile_of(made.bounds[2], made.bounds[1], low)
    grid = [(x, y) for x in range(left, right + 1) for y in range(top, bottom + 1)]
    found = [tile for tile in (made.tile(low, x, y) for x, y in grid) if tile is not None]
    seen = {one["id"] for tile in found for one in mapbox_vector_tile.decode(tiles.plain(tile))["roads"]["features"]}
    assert seen == set(range(1, len(roads) + 1))
    assert max(map(len, found)) < 1_000_000


def test_no_collection_is_forgotten(demo_run):
    from pathlib import Path

    from geo.pipeline import open_study, read_city

    city = read_city(open_study(Path(__file__).parents[1] / "data" / "demo")[0])
    names = windows.names(city, demo_run)
    lists = {
        "priorities",
        "road_works",
        *(f"{network}_works" for network in ("water", "sewerage", "electricity", "telecom")),
        "left_out",
    }
    assert len(names) == len(set(names))
    assert set(names) == lists | {name for name in city.layers if name != "population"}
    for name in names:
        of = windows.collection(name, city, demo_run)
        assert len(of.fingerprint) == 32
        assert of.title["ar"]
        assert of.ids.is_unique
