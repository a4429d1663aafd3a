"""Real: Aleppo as it was surveyed, and real files with real faults. The counts are those of the files; nothing is lost silently."""

from __future__ import annotations

import shutil
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import shapely
import shapely.ops

from geo import roads
from geo.closures import closures
from geo.errors import LayerError
from geo.gaps import area_of, components, gaps, isolated_by_gap, parts
from geo.graphs import build, connected
from geo.harmonise import read_layer
from geo.pipeline import assess, open_study, read_city
from geo.population import people
from geo.reading import read_file
from geo.road_network import read_roads, road_graph
from geo.scheme import read_scheme
from geo.study import LayerSpec
from geo.validation import validate
from tests.conftest import toml

ALEPPO = Path(__file__).parent / "studies" / "aleppo"
# destroyed, severe, moderate: counted in the file by joining points and polygons in another programme
NEIGHBOURHOODS = {
    "Hanano": (285, 701, 292),
    "Karm Al-Jazmati": (197, 517, 174),
    "Mokhayam Handarat": (176, 350, 193),
}


COLUMNS = {"id": "PCODE", "name_ar": "NAME_AR", "name_en": "NAME_EN"}


@pytest.fixture(scope="module")
def city(shared):
    return read_city(open_study(ALEPPO)[0])


@pytest.fixture(scope="module")
def run(city):
    return assess(city, open_study(ALEPPO)[1])


@pytest.fixture
def study(tmp_path, shared):
    """A study of one or more real layers: by layer its entry, paths seen from shared/data."""

    def made(crs="EPSG:32637", **layers):
        text = ["[study]", 'id = "real"', 'name = { ar = "حقيقي", en = "Real" }', f'crs = "{crs}"']
        for name, entry in layers.items():
            text += [f"[layers.{name}]"]
            path = str(shared / "data" / entry["path"])
            text += [f"{key} = {toml(value)}" for key, value in {**entry, "path": path}.items()]
        (tmp_path / "study.toml").write_text("\n".join(text), encoding="utf-8")
        return open_study(tmp_path)[0]

    return made


OCHA = {"path": "aleppo-neighbourhoods-ocha/aleppo_neighbourhoods.derived.geojson", "profile": "ocha-neighbourhoods"}


def test_damage_points_by_state(city):
    """14,058 points; code 6 is not documented for this survey, and is no damage state."""
    layer = city.layers["damage"]
    assert layer.rows_read == 14_058
    counts = layer.frame["state"].value_counts().to_dict()
    assert counts == {"severe": 6_879, "moderate": 4_277, "destroyed": 2_878}
    unknown = layer.left_out[layer.left_out["reason"] == "grade-not-recognised"]
    assert (len(unknown), set(unknown["value"])) == (24, {"6"})


def test_points_outside_are_listed_where_they_lie(city):
    """2,260 of the points fall outside the 109 neighbourhoods, checked by a spatial join."""
    assert len(city.zones) == 109
    outside = city.layers["damage"].left_out
    outside = outside[outside["reason"] == "outside"]
    assert len(outside) == 2_260
    assert outside.geometry.notna().all()
    assert shapely.intersects(outside.geometry.to_numpy(), shapely.union_all(city.zones.geometry.to_numpy())).sum() == 0


@pytest.mark.parametrize("name", NEIGHBOURHOODS)
def test_neighbourhood_counts(run, name):
    row = run.priorities.set_index("name_en").loc[name]
    counts = tuple(int(row[f"structures_{state}"]) for state in ("destroyed", "severe", "moderate"))
    assert counts == NEIGHBOURHOODS[name]
    assert row["structures_damaged_all"] == sum(NEIGHBOURHOODS[name])


def test_counts_agree_with_a_spatial_join(city, run):
    damage = city.layers["damage"].frame
    joined = gpd.sjoin(damage[damage["state"].notna()][["state", "geometry"]], city.zones[["geometry"]], predicate="intersects")
    joined = joined[~joined.index.duplicated()]
    assert run.priorities["structures_damaged_all"].sum() == len(joined)


def test_nothing_is_lost(run):
    """Each row of each file was used, left out with its reason, or not asked for."""
    for record in run.info["layers"]:
        assert record["rows_read"] == record["rows_used"] + record["rows_left_out"] + record["rows_not_selected"], record["layer"]
        listed = run.left_out[run.left_out["layer"] == record["layer"]]
        assert listed["row"].nunique() == record["rows_left_out"]
    rows = {one["layer"]: one["rows_read"] for one in run.info["layers"]}
    assert rows == {
        "neighbourhoods": 109, "buildings": 21_313, "damage": 14_058, "roads": 78_908, "facilities": 21_313, "population": 18,
    }  # fmt: skip


def test_run_holds_what_must_hold(run):
    table = run.priorities
    assert table["rank"].notna().all()
    assert (table["score_low"] <= table["score"] + 1e-9).all()
    assert (table["score"] <= table["score_high"] + 1e-9).all()
    points = table[[f"contribution_{name}" for name in run.criteria()]].sum(axis=1)
    assert points.to_numpy() == pytest.approx(table["score"].to_numpy(), abs=1e-9)
    # an inventory of 21,313 OSM buildings, mapped where somebody drew them, is no denominator
    assert set(table["damage_index_note"]) == {"inventory-incomplete", "no-inventory"}
    assert table["damage_index"].isna().all()


def test_split_units_count_once_by_their_arabic_name(city):
    """18 polygons, 12 units: added up row by row 3,790,000 people, counted once 2,705,000.

    East and West Ansari share one English name and stay two units of 455,000 each.
    """
    layer = city.layers["population"]
    assert layer.frame["people"].sum() == 3_790_000
    found = people(city)
    note = next(one for one in found.findings if one.code == "parts-joined")
    assert len(note.rows) == 12
    for number in ("3,790,000", "2,705,000"):
        assert number in note.expected.render("en")
    ansari = layer.frame[layer.frame["name_en"] == "Al-Ansari"]
    assert (ansari["name_ar"].nunique(), ansari["people"].sum()) == (2, 910_000)
    assert found.table["people"].sum() == pytest.approx(2_705_000, abs=0.5)


def test_roads_in_an_unnamed_system(city, shared):
    """OSMnx: 78,908 segments, 4,812 km, UTM 37N as a nameless definition."""
    raw = gpd.read_parquet(shared / "data/aleppo-roads-osm/aleppo_original.parquet")
    assert raw.crs.name == "unknown"
    assert city.layers["roads"].rows_read == len(raw) == 78_908
    assert raw.length.sum() / 1000 == pytest.approx(4_812, abs=0.5)
    inside = shapely.intersection(raw.union_all(), shapely.union_all(city.zones.geometry.to_numpy()))
    counted = roads.measure(city, read_scheme("rapid"))["road_length_m"].sum()
    assert counted == pytest.approx(inside.length, rel=2e-3), "every metre in a neighbourhood once; drawn twice counts twice"


def test_buildings_without_a_header(shared):
    """Longitude first; Arabic names whole."""
    path = shared / "data/aleppo-osm-buildings-csv/building_data.csv"
    found = read_file(path, LayerSpec(path=path.name, header=["lon", "lat", "building", "name"]), "buildings")
    assert (len(found), found["name"].notna().sum()) == (21_313, 1_214)
    assert found.geometry.total_bounds.tolist() == pytest.approx([36.978, 36.078, 37.405, 36.324], abs=1e-3)
    assert found["name"].str.contains("[\u0621-\u064a]").sum() > 500
    assert not found["name"].str.contains("\ufffd").any()
    assert found["building"].value_counts()["school"] == 440


def test_metres_that_call_themselves_degrees_are_caught(study):
    """aleppo.geojson: UTM metres without a `crs`, so that GDAL says degrees."""
    made = study(neighbourhoods={"path": "aleppo-unhabitat/aleppo.geojson", "columns": {"id": "OBJECTID", "name_en": "OBJECTID"}})
    with pytest.raises(LayerError) as raised:
        read_city(made)
    assert [one.code for one in raised.value.findings] == ["crs-lies"]


def test_another_reference_system_meets_the_same_place(study, city):
    """The 109 neighbourhoods in the Syria Lambert grid (Deir ez Zor) and back: within 2 m, the accuracy of the transformation."""
    made = study(neighbourhoods={"path": "derived-from-real/aleppo_neigh_epsg22770.shp", "columns": COLUMNS})
    zones = read_city(made).zones
    assert len(zones) == 109
    apart = shapely.hausdorff_distance(zones.geometry.to_numpy(), city.zones.loc[zones.index].geometry.to_numpy())
    assert np.median(apart) < 2


def test_its_twin_without_prj_is_refused_and_told_what_would_fit(study):
    twin = {"path": "derived-from-real/aleppo_neigh_epsg22770_noprj.shp", "columns": COLUMNS}
    with pytest.raises(LayerError) as raised:
        read_city(study(neighbourhoods=twin))
    assert [one.code for one in raised.value.findings] == ["crs-unknown"]
    # as another layer beside known neighbourhoods, the systems that fit are named
    made = study(neighbourhoods=OCHA, hazards={"path": twin["path"]})
    with pytest.raises(LayerError) as raised:
        read_city(made)
    assert "EPSG:22770" in raised.value.findings[0].remedy.render("en")
    declared = read_city(study(neighbourhoods={**twin, "crs": "EPSG:22770"}))
    assert len(declared.zones) == 109


def test_invalid_shapes_with_height_and_arabic_columns(study, shared):
    """Sub-districts of Homs: 23, of which 14 invalid, in three dimensions, codes with leading zeros in a column called الرمز."""
    raw = gpd.read_file(shared / "data/homs-admin-utm37n-3d/subdistricts.geojson")
    assert (len(raw), (~raw.is_valid).sum(), raw.has_z.all()) == (23, 14, True)
    made = study(
        neighbourhoods={"path": "homs-admin-utm37n-3d/subdistricts.geojson", "columns": {"id": "الرمز", "name_ar": "ناحية"}}
    )
    layer = read_layer(made, "neighbourhoods")
    assert layer.rows_read == len(layer.frame) + len(layer.left_out) == 23
    assert layer.frame.geometry.is_valid.all()
    assert not layer.frame.geometry.has_z.any()
    assert "040500" in layer.frame["id"].tolist()
    kept = raw.set_index("الرمز").loc[layer.frame["id"]]
    assert layer.frame.geometry.area.to_numpy() == pytest.approx(kept["Shape_Area"].to_numpy(), rel=2e-3)


def test_arabic_in_another_code_page_is_not_garbled_where_declared(study):
    """The .dbf is in Windows-1256 and says nothing of it: with the encoding in study.toml عريمة is read."""
    path = "derived-from-real/adm3_aleppo_homs_cp1256_nocpg.shp"
    made = study(neighbourhoods={"path": path, "encoding": "cp1256", "columns": {"id": "ADM3_PCODE", "name_ar": "ADM3_AR"}})
    assert "عريمة" in set(read_layer(made, "neighbourhoods").frame["name_ar"])


def test_copernicus_grades(shared, tmp_path):
    """Camerino, EMSR190, October 2016: 2,675 buildings, as the package lists them; nothing but a grade is a state."""
    package = shared / "data/copernicus-emsr190/EMSR190_16CAMERINO_GRADING_OVERVIEW_v2_vector.zip"
    shutil.unpack_archive(package, tmp_path)
    buildings = next(tmp_path.rglob("*settlements_poly_grading.shp"))
    spec = LayerSpec(path=buildings.name, profile="copernicus-ems")
    states = validate(read_file(buildings, spec, "damage"), "damage", spec).frame["state"].value_counts()
    assert states.to_dict() == {"none": 2644, "slight": 14, "severe": 8, "destroyed": 5, "moderate": 4}


@pytest.mark.filterwarnings("ignore")  # GDAL says what it drops: measures, rings it closes
@pytest.mark.parametrize("folder", ["fiona", "gdal", "mapnik", "shapefile-rs"])
def test_awkward_shapefiles_are_read_or_refused_in_words(shared, folder):
    """Broken and odd files of other projects' tests: a table with its rows, or one clear fault; nothing else."""
    files = sorted((shared / "data/awkward-shapefiles" / folder).glob("*.shp"))
    assert files
    for path in files:
        code, rows = outcome(path)
        assert (code in ("unreadable", "empty-file")) != (rows > 0), path.name


def outcome(path):
    """The code of the one fault for which a file is refused, or the number of its rows."""
    try:
        return "", len(read_file(path, LayerSpec(path=path.name), path.name))
    except LayerError as error:
        return error.findings[0].code, 0


def test_the_roads_of_aleppo_hang_together(city):
    """78,908 lines; the nodes that OpenStreetMap gave them (columns u, v of the file) hang together in the same way."""
    layer = read_roads(city, {})
    graph = road_graph(layer)
    assert len(layer.frame) == 78_908
    # each line is a piece or more of the graph, or listed with its reason
    assert len(np.unique(graph.line)) + len(graph.left_out) == 78_908
    assert graph.left_out["reason"].value_counts().to_dict() == {"shorter-than-tolerance": 45, "repeated": 24}
    assert graph.length_m.sum() == pytest.approx(layer.frame.length.sum(), rel=1e-3)
    found = gaps(graph)
    table = components(graph, found, area=area_of(graph, layer.extent))
    theirs = gpd.read_parquet(city.study.path(layer.spec.path))
    number, node = np.unique(theirs[["u", "v"]].to_numpy(), return_inverse=True)
    node = node.reshape(-1, 2)
    length = np.sort(np.bincount(connected(len(number), node)[node[:, 0]], theirs.length))[::-1]
    assert len(table) == len(length) == 28
    assert table["length_m"].to_numpy() == pytest.approx(length[length > 0], rel=0.02)
    assert table["share"].max() == pytest.approx(0.9963, abs=1e-4)
    assert len(found) == 4
    assert table["why"].value_counts().to_dict() == {"apart": 17, "edge-of-area": 7, "suspected-gap": 3, "largest": 1}
    assert isolated_by_gap(graph, found).sum() == table.loc[table["why"] == "suspected-gap", "nodes"].sum() == 18


def test_a_gap_planted_in_aleppo_is_flagged(city):
    """A dead-end street of more than 200 m is drawn 20 m short of its junction: the gap is listed, nobody there is isolated."""
    layer = read_roads(city, {})
    whole = road_graph(layer)
    degree = np.bincount(np.concatenate([whole.tail, whole.head]))
    leaves = (degree[whole.tail] == 1) & (degree[whole.head] > 1) & (parts(whole)[whole.tail] == 0) & (whole.length_m > 200)
    line = int(whole.line[np.flatnonzero(leaves)[0]])
    edge = int(np.flatnonzero(leaves)[0])
    end = shapely.line_interpolate_point(whole.shape[edge], whole.length_m[edge] - 20)
    short = shapely.ops.substring(whole.shape[edge], 0, whole.length_m[edge] - 20)
    cut = layer.frame.copy()
    cut.loc[cut.index[line], "geometry"] = short
    graph = build(cut, crossings=False)
    found = gaps(graph)
    here = found[shapely.distance(shapely.points(graph.places[found["node"]]), end) < 1]
    assert len(here) == 1
    assert here["distance_m"].iloc[0] <= 20
    tip = int(np.argmin(np.hypot(*(graph.places - whole.places[whole.tail[edge]]).T)))
    assert isolated_by_gap(graph, found)[tip]


def test_the_roads_of_aleppo_under_debris(city):
    """Only inferred debris is known of 2015: nothing else closes a road, and none outside the survey is called open or closed."""
    layer, scheme = read_roads(city, {}), open_study(ALEPPO)[1]
    graph = road_graph(layer)
    table = closures(graph, layer, city, scheme)
    kilometres = (pd.Series(graph.length_m) / 1000).groupby(table["state"].to_numpy()).sum().round().to_dict()
    assert kilometres == {"closed": 107, "open": 1876, "slowed": 173, "unknown": 2655}
    assert set(table["works"]) == {"", "debris"}
    # every edge that a destroyed structure lies on by less than the reach is closed or, where it is wide, slowed
    damage = city.layers["damage"].frame
    destroyed = shapely.union_all(damage.geometry[damage["state"] == "destroyed"].to_numpy())
    shapely.prepare(destroyed)
    near = shapely.distance(graph.shape, destroyed) < 10
    assert near.sum() > 500
    assert table.loc[near, "state"].isin(["closed", "slowed"]).all()
    narrow = near & roads.group_of(layer.frame["road_class"]).isin(["local", "path"]).to_numpy()[graph.line] & (graph.length_m > 5)
    assert (table.loc[narrow, "state"] == "closed").all()


def test_roads_of_an_openstreetmap_file(study):
    """Djibouti: 409 ways; 35 on bridges, 3 in tunnels, 195 said to be one-way, counted in the file by the text of their tags."""
    path = "osm-raw/djibouti-latest_filter-road-secondary.osm.pbf"
    opened = study(crs="EPSG:32638", roads={"path": path, "profile": "osm", "sublayer": "lines"}, neighbourhoods=OCHA)
    frame = (layer := read_layer(opened, "roads")).frame
    assert (len(frame), len(layer.left_out)) == (409, 0)
    assert [int((frame[column] == "yes").sum()) for column in ("bridge", "tunnel")] == [35, 3]
    assert frame["one_way"].value_counts().to_dict() == {"forward": 195, "no": 69}
    assert frame["level"].value_counts().to_dict() == {1: 36, -1: 3}
    graph = road_graph(layer)
    assert len(components(graph, gaps(graph))) == 1
    assert graph.one_way.sum() > 195
    assert graph.length_m.sum() == pytest.approx(frame.length.sum(), rel=1e-6)
