"""The demo city: what is shipped is what the generator makes, it is sound, and its planted oddities are in it."""

from __future__ import annotations

import itertools
import json
import re
import tomllib
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import shapely
from geopandas.testing import assert_geodataframe_equal

from data.demo import make_city

DEMO = Path(make_city.__file__).parent
METRES = "EPSG:32637"
DECIMAL = re.compile(r"-?\d+\.\d+")
NOT_MADE = {"README.md", "make_city.py", "expected.csv", "picture.png"}  # written by hand or by other programs
NETWORKS = ("water", "sewerage", "electricity", "telecom")


def geojson(name: str) -> gpd.GeoDataFrame:
    return gpd.read_file(DEMO / f"{name}.geojson").to_crs(METRES)


def points(name: str) -> gpd.GeoDataFrame:
    table = pd.read_csv(DEMO / f"{name}.csv")
    return gpd.GeoDataFrame(table, geometry=gpd.points_from_xy(table.lon, table.lat), crs="EPSG:4326").to_crs(METRES)


@pytest.fixture(scope="module")
def study() -> dict:
    return tomllib.loads((DEMO / "study.toml").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def neighbourhoods() -> gpd.GeoDataFrame:
    return geojson("neighbourhoods")


def test_generator_makes_what_is_shipped(tmp_path):
    make_city.make_city(tmp_path)
    made = {path.name for path in tmp_path.iterdir()}
    assert made == {path.name for path in DEMO.iterdir() if path.is_file()} - NOT_MADE
    for name in made:
        if name.endswith(".parquet"):
            assert_geodataframe_equal(gpd.read_parquet(tmp_path / name), gpd.read_parquet(DEMO / name), check_less_precise=True)
        else:
            made_text, shipped = ((folder / name).read_text(encoding="utf-8") for folder in (tmp_path, DEMO))
            assert DECIMAL.sub("#", made_text) == DECIMAL.sub("#", shipped), name
            # another version of GEOS or NumPy may move a corner by a rounding: 2e-6 degrees are 0.2 m
            np.testing.assert_allclose(*([float(one) for one in DECIMAL.findall(text)] for text in (made_text, shipped)), atol=2e-6)


def test_small_enough_to_ship():
    assert sum(path.stat().st_size for path in DEMO.rglob("*") if "__pycache__" not in path.parts) < 3_000_000


def test_says_everywhere_that_it_is_generated(study):
    assert study["study"]["generated"] is True
    assert "مولّد" in study["study"]["name"]["ar"]
    assert "enerated" in study["study"]["name"]["en"]
    assert "مولّد" in (DEMO / "README.md").read_text(encoding="utf-8")
    for path in DEMO.glob("*.geojson"):
        assert "Generated" in json.loads(path.read_text(encoding="utf-8"))["description"], path.name
    for path in DEMO.glob("*.parquet"):
        assert b"Generated" in make_city.pq.read_schema(path).metadata[b"description"], path.name
    for path in {*DEMO.glob("*.csv")} - {DEMO / "expected.csv"}:
        assert "generated" in path.read_text(encoding="utf-8").splitlines()[1], path.name


def test_layers_are_there_with_columns_of_the_schema(study):
    for name, layer in study["layers"].items():
        path = DEMO / layer["path"]
        table = {".csv": pd.read_csv, ".parquet": gpd.read_parquet, ".geojson": gpd.read_file}[path.suffix](path)
        schema = set(pd.read_csv(DEMO.parent / "schema" / f"{name}.csv")["column"])
        assert set(table.columns) <= schema | {"lon", "lat", "method"}, name
        assert layer.get("extent", "study") == "study" or (DEMO / layer["extent"]).exists()
        assert table["id"].is_unique, name
        assert table["id"].notna().all(), name


def test_neighbourhoods_share_their_borders(neighbourhoods):
    shapes = neighbourhoods.geometry.to_numpy()
    whole = shapely.union_all(shapes)
    assert len(neighbourhoods) == 36
    assert shapely.is_valid(shapes).all()
    assert whole.area == pytest.approx(shapely.area(shapes).sum(), abs=1.0)  # no overlaps
    assert whole.geom_type == "Polygon"  # one connected part
    assert len(whole.interiors) == 0  # no gaps


def test_names_are_complete_in_both_languages(neighbourhoods):
    assert neighbourhoods["id"].tolist() == [f"DEMO-{k:02d}" for k in range(1, 37)]
    assert neighbourhoods["name_ar"].str.contains("[\u0621-\u064a]").all()
    assert neighbourhoods["name_en"].str.fullmatch("[A-Za-z -]+").all()
    assert neighbourhoods["name_ar"].is_unique
    assert neighbourhoods["name_en"].is_unique
    assert neighbourhoods["district"].nunique() == 5
    assert geojson("facilities")[["name_ar", "name_en"]].notna().all(axis=None)


def test_facilities_are_as_many_as_promised():
    counts = geojson("facilities")["kind"].value_counts().to_dict()
    assert counts == {"school": 90, "worship": 48, "bakery": 30, "health_centre": 25, "hospital": 6}


def test_planted_in_damage(neighbourhoods):
    damage = points("damage")
    damage["grade"] = damage["grade"].astype(str)
    whole = shapely.union_all(neighbourhoods.geometry.to_numpy())
    outside = ~shapely.intersects(whole, damage.geometry.to_numpy())
    assert (damage["grade"] == "6").sum() == 6
    assert outside.sum() == 25
    houses = shapely.STRtree(gpd.read_parquet(DEMO / "buildings.parquet").geometry.to_numpy())
    inside = damage.geometry[~outside].to_numpy()
    hit, _ = houses.query(inside, predicate="dwithin", distance=0.2)
    assert set(hit) == set(range(len(inside)))  # the rest stand in a building


def test_planted_in_extent(neighbourhoods):
    extent = geojson("survey_extent").geometry[0]
    shapes = neighbourhoods.set_index("id").geometry
    share = shapes.intersection(extent).area / shapes.area
    assert extent.is_valid
    assert share[["DEMO-35", "DEMO-36"]].to_numpy() == pytest.approx([0, 0], abs=1e-4)  # Jobar, Al-Sultaniya
    assert share["DEMO-07"] == pytest.approx(0.60, abs=0.001)  # Deir Baalba, its west
    assert share.drop(["DEMO-35", "DEMO-36", "DEMO-07"]).to_numpy() == pytest.approx(np.ones(33), abs=1e-4)


def test_planted_in_population(neighbourhoods):
    people = pd.read_csv(DEMO / "population.csv").set_index("id")
    assert people.index.tolist() == neighbourhoods["id"].tolist()
    assert people.index[people["people"].isna()].tolist() == ["DEMO-21"]  # Wadi al-Sayeh
    assert 480_000 < people["people"].sum() < 500_000
    known = people.dropna()
    assert (known["people_low"] < known["people"]).all()
    assert (known["people"] < known["people_high"]).all()


def test_planted_in_complaints():
    complaints = points("complaints")
    week = complaints[complaints["date"].between("2025-11-03", "2025-11-06") & (complaints["category"] == "water")]
    crowd = [(week.distance(place) < 150).sum() for place in week.geometry]
    assert len(complaints) == 600
    assert max(crowd) >= 14  # one street, one trouble, again and again


def test_history_shows_in_the_damage(neighbourhoods):
    damage = gpd.sjoin(points("damage"), neighbourhoods[["name_en", "geometry"]])
    houses = gpd.read_parquet(DEMO / "buildings.parquet")
    houses = gpd.sjoin(houses.set_geometry(houses.centroid), neighbourhoods[["name_en", "geometry"]])
    share = (damage["name_en"].value_counts() / houses["name_en"].value_counts()).fillna(0)
    assert share[["Baba Amr", "Al-Khalidiya", "Jouret al-Shiyah", "Al-Qusour", "Bab Hud"]].min() > 0.5
    assert share[["Akrama", "Al-Zahraa", "Al-Inshaat"]].max() < 0.15


@pytest.mark.parametrize("name", NETWORKS)
def test_networks_are_fed_and_partly_unknown(name):
    network = gpd.read_parquet(DEMO / f"{name}.parquet")
    lines = network[network.geom_type == "LineString"]
    nodes = network[network.geom_type == "Point"]
    ends = {end for line in lines.geometry for end in make_city.ends_of(line)}
    assert {point.coords[0] for point in nodes.geometry} <= ends  # nodes sit on ends of lines, to the last bit
    assert 0.02 < network["state"].isna().mean() < 0.25
    assert network["state"].dropna().isin(["none", "possible", "moderate", "severe", "destroyed"]).all()


def test_streets_are_one_network_that_meets_only_at_ends():
    roads = gpd.read_parquet(DEMO / "roads.parquet")
    lines = list(roads.geometry)
    assert make_city.largest_part(lines) == set(range(len(lines)))
    pairs = shapely.STRtree(lines).query(lines, predicate="crosses").T
    assert len(pairs) == 0
    assert roads.loc[roads["road_class"].isin(make_city.MAIN_ROADS), ["name_ar", "name_en"]].notna().all(axis=None)


def test_a_tree_by_hand():
    # 0 --1-- 1 --1-- 2 and a direct way 0 --3-- 2: from 0, the direct way is never used
    lines = [shapely.LineString(xy) for xy in ([(0, 0), (1, 0)], [(1, 0), (2, 0)], [(0, 0), (1, 1), (2, 0)])]
    assert make_city.cheapest_tree(make_city.graph_of(lines, [1, 1, 3]), [(0.0, 0.0)]) == {0, 1}


def test_spread_takes_the_farthest_each_time():
    # from the middle of a row, the first end, then the other end
    row = np.array([[k, 0.0] for k in range(5)])
    assert make_city.spread(row, 3) == [2, 0, 4]


def test_bent_lines_keep_their_ends():
    line = shapely.LineString([(0, 0), (1000, 0)])
    bent = make_city.bend(line, 100, 20, np.random.default_rng(1))
    assert bent.coords[0] == (0, 0)
    assert bent.coords[-1] == (1000, 0)
    assert bent.length > line.length


def test_buildings_do_not_overlap():
    houses = gpd.read_parquet(DEMO / "buildings.parquet").geometry.to_numpy()
    assert 10_000 < len(houses) < 14_000
    assert shapely.is_valid(houses).all()
    a, b = shapely.STRtree(houses).query(houses, predicate="overlaps")
    assert len(a) == len(b) == 0


def test_codes_say_where_they_come_from():
    layers = itertools.chain(DEMO.glob("*.parquet"), DEMO.glob("*.geojson"))
    for path in layers:
        ids = (gpd.read_parquet if path.suffix == ".parquet" else gpd.read_file)(path)["id"]
        assert all(re.match("DEMO-", code) for code in ids), path.name
