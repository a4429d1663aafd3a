"""The traps of the real layers, by the road of `tarmim import`: each file's own fault is told or does no harm.

What other tests already hold (counts of Aleppo in test_real_layers, the reader alone in test_untrusted, systems in
test_crs_candidates, names in test_places and test_naming, rasters in test_population) is not repeated.
"""

from __future__ import annotations

import zipfile
from pathlib import Path

import geopandas as gpd
import pandas as pd
import pytest
import shapely

from geo import surveys
from geo.errors import LayerError
from geo.pipeline import assess, read_city
from geo.population import people
from geo.scheme import read_scheme
from geo.store import Store
from geo.study import LayerSpec, read_study
from tests.outcomes import NOW, made_study

GPW = "population-rasters/sao-miguel-gpw/gpw_v411_2020_count_2020.tif"


@pytest.fixture
def desk(tmp_path, shared):
    """Delivers a file to a study of a place; gives the check, and on request the dataset's table."""
    opened = {}

    def deliver(path, layer, place="aleppo", *, accept=False, **said):
        if place not in opened:
            folder = made_study(tmp_path / place, place) if isinstance(place, str) else place
            opened[place] = Store.open(folder), read_study(folder)
        store, study = opened[place]
        paths = [path if path.is_absolute() else shared / "data" / path]
        receipt = surveys.deliver(store, paths, layer=layer, sender="somebody", now=NOW)
        choices = LayerSpec(path=receipt.name, **said)
        checked = surveys.check(store, study, receipt.id, choices, now=NOW, allow="administrator")
        if not accept:
            return checked
        return store.read(surveys.accept(store, study, receipt.id, by="planner", now=NOW, allow="administrator"))

    yield deliver
    for store, _ in opened.values():
        store.close()


def codes(checked):
    return {one.code: one for one in checked.findings}


def test_thirteen_cities_without_coordinates_reach_the_run_by_a_survey(desk, tmp_path):
    """7,593 communities, 13 of them without coordinates: 6,710,354 of 21,056,194 people, whom a join by place would lose.

    In a study of two cities, Aleppo (C1007) and Homs (C2528), both among the thirteen, their 1,625,747 and 501,550 people arrive,
    and every other community is listed with its people.
    """
    folder = tmp_path / "two"
    folder.mkdir()
    cities = gpd.GeoDataFrame(
        {"id": ["C1007", "C2528"], "name_en": ["Aleppo", "Homs"]},
        geometry=[shapely.box(37.1, 36.15, 37.2, 36.25), shapely.box(36.65, 34.7, 36.75, 34.77)],
        crs="EPSG:4326",
    )
    cities.to_file(folder / "cities.geojson")
    text = '[study]\nid = "two"\nname = { ar = "مدينتان", en = "Two" }\ncrs = "EPSG:32637"\n[layers.neighbourhoods]\npath = "cities.geojson"\n'
    (folder / "study.toml").write_text(text, encoding="utf-8")
    source = Path("derived-from-real/syr_adm4_population_points.csv")
    checked = desk(source, "population", folder)
    assert codes(checked)["rows-without-place"].count == 13
    table = desk(source, "population", folder, accept=True)
    bare = table[table.geometry.isna()]
    assert (len(table), len(bare), int(bare["people"].sum())) == (7593, 13, 6_710_354)
    study = read_study(folder)
    found = people(read_city(study, accepted=surveys.accepted(study)))
    assert found.table["people"].to_dict() == {"C1007": 1_625_747, "C2528": 501_550}
    lost = found.left_out["value"].astype(float).sum()
    assert found.table["people"].sum() + lost == 21_056_194


def test_arabic_of_windows_1256_without_a_word_of_it(desk):
    """No .cpg, no mark: recognised, said, and the names are the right ones."""
    checked = desk(Path("derived-from-real/adm3_aleppo_homs_cp1256_nocpg.shp"), "neighbourhoods", "syria")
    assert "1256" in codes(checked)["encoding"].found.render("en")
    names = checked.layer.frame.set_index("id")["name_ar"]
    assert (len(names), names["SY020206"]) == (63, "عريمة")
    assert names.str.fullmatch(r"[\u0621-\u064a\u0670 ()\-–ـ]+").all()


def test_syria_lambert_with_and_without_its_prj_is_one_layer(desk):
    """EPSG:22770: with .prj it goes in; without it is returned naming that system, and what the sender then says lies in the same place."""
    declared = desk(Path("derived-from-real/aleppo_neigh_epsg22770.shp"), "neighbourhoods")
    silent = Path("derived-from-real/aleppo_neigh_epsg22770_noprj.shp")
    assert "EPSG:22770" in codes(desk(silent, "hazards"))["crs-unknown"].remedy.render("en")
    said = desk(silent, "neighbourhoods", crs="EPSG:22770")
    one, two = (checked.layer.frame.set_index("id").geometry for checked in (declared, said))
    assert len(one) == 109
    assert shapely.hausdorff_distance(one.to_numpy(), two.loc[one.index].to_numpy()).max() < 0.01


def test_arabic_columns_in_three_dimensions_are_proposed_then_kept_whole(desk, shared):
    """Sub-districts of Homs: columns محافظة, ناحية, الرمز; heights; 14 of 23 invalid; codes that begin with 0."""
    path = Path("homs-admin-utm37n-3d/subdistricts.geojson")
    proposal = {one.ours: one.theirs for one in desk(path, "neighbourhoods", "syria").examined.recognition.proposal}
    assert proposal == {"id": "الرمز", "name_ar": "ناحية", "district": "محافظة"}
    table = desk(path, "neighbourhoods", "syria", accept=True, columns=proposal)
    raw = gpd.read_file(shared / "data" / path)
    assert sorted(table["id"]) == sorted(raw["الرمز"])
    assert table["id"].str.startswith("0").all()
    assert not shapely.has_z(table.geometry.to_numpy()).any()
    assert shapely.is_valid(table.geometry.to_numpy()).all()


def package(path, **layers):
    """A zip as the Copernicus service sends it: text of a redirect before it, each layer a shapefile."""
    folder = path.with_suffix("")
    folder.mkdir()
    for name, table in layers.items():
        table.to_file(folder / f"EMSR_{name}.shp", engine="pyogrio")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for part in sorted(folder.iterdir()):
            archive.write(part, part.name)
    redirect = b"<!DOCTYPE HTML PUBLIC '-//IETF//DTD HTML 2.0//EN'>\n<html><head><title>302 Found</title></head><body>moved</body></html>\n"
    path.write_bytes(redirect.ljust(154, b"\n") + path.read_bytes())
    return path


def graded(grades, shapes, **columns):
    size = len(grades)
    told = {"grading": grades, "act_id": ["EMSR190"] * size, "src_date": ["2016-10-30"] * size, "subtype": ["AL015"] * size}
    return gpd.GeoDataFrame({**told, **columns}, geometry=shapes, crs="EPSG:4326")


@pytest.fixture
def copernicus(tmp_path):
    """Four graded buildings, one "Not Applicable", and three graded roads, in Camerino."""
    grades = ["Completely Destroyed", "Not Affected", "Not Applicable", "Highly Damaged"]
    buildings = graded(grades, shapely.points([[13.07 + 0.001 * n, 43.13] for n in range(4)]), nam=["Unk", "Null", "Unknown", None])
    lines = [shapely.LineString([(13.06, 43.13 + 0.001 * n), (13.08, 43.13 + 0.001 * n)]) for n in range(3)]
    roads = graded(
        ["Not Affected", "Moderately Damaged", "Not Applicable"], lines, road_type=["Primary Route", "Local Road", "Unk"],
        or_src_id=["a", "b", "c"], nam=["Unk", "Not Applicable", "Null"],
    )  # fmt: skip
    return package(tmp_path / "EMSR190.zip", buildings=buildings, roads=roads)


def test_not_applicable_is_not_analysed_and_never_undamaged(desk, copernicus):
    checked = desk(copernicus, "damage", "camerino", sublayer="EMSR_buildings")
    assert {"zip-prefix", "recognised"} <= set(codes(checked))
    assert checked.layer.frame["state"].tolist() == ["destroyed", "none", "not_analysed", "severe"]
    assert checked.layer.frame["grade"].tolist()[2] == "Not Applicable"


def test_graded_roads_of_copernicus(desk, copernicus):
    """As roads they are roads; as a damage survey they are refused for their kind: a graded line is no structure."""
    roads = desk(copernicus, "roads", "camerino", sublayer="EMSR_roads")
    assert len(roads.layer.frame) == 3
    names = roads.layer.frame.reindex(columns=["name_ar", "name_en"])
    assert names.isna().all(axis=None), "what stands for no name is no name"
    damage = desk(copernicus, "damage", "camerino", sublayer="EMSR_roads", profile="copernicus-ems")
    assert damage.layer is None
    assert "geometry-type" in codes(damage)


def test_roads_of_camerino_carry_no_grade(desk):
    path = Path("copernicus-emsr190/EMSR190_16CAMERINO_GRADING_OVERVIEW_v2_vector.zip")
    name = "EMSR190_16CAMERINO_02GRADING_v2_10000_transportation_line"
    assert len(desk(path, "roads", "camerino", sublayer=name).layer.frame) == 428
    refused = desk(path, "damage", "camerino", sublayer=name)
    assert refused.layer is None
    assert "missing-column" in codes(refused)


OSM = '<osm version="0.6">{nodes}<way id="1"><nd ref="2"/><nd ref="1"/><tag k="highway" v="primary"/></way></osm>'


@pytest.mark.parametrize("order", [(1, 2), (2, 1)])
def test_openstreetmap_whose_ids_do_not_grow_is_read_as_it_is(desk, tmp_path, order):
    """GDAL's index of its own stops at a node id below the last one; the road is the same either way."""
    nodes = "".join(f'<node id="{n}" lon="{37.1 + 0.01 * n}" lat="36.2"/>' for n in order)
    path = tmp_path / "town.osm"
    path.write_text(OSM.format(nodes=nodes))
    checked = desk(path, "roads", sublayer="lines")
    (line,) = checked.layer.frame.to_crs(4326).geometry
    assert shapely.get_coordinates(line)[:, 0].tolist() == pytest.approx([37.12, 37.11])


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ('<osm version="0.6"></osm>', {"empty-file", "no-layer"}),
        (
            '<!DOCTYPE o [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><osm version="0.6"><node id="1" lon="&b;" lat="36"/></osm>',
            {"xml-entities"},
        ),
    ],
)
def test_openstreetmap_that_is_empty_or_a_bomb(desk, tmp_path, content, expected):
    path = tmp_path / "town.osm"
    path.write_text(content)
    checked = desk(path, "roads", sublayer="lines")
    assert checked.layer is None
    assert set(codes(checked)) & expected


def test_openstreetmap_is_for_administrators(desk, tmp_path, shared):
    folder = made_study(tmp_path / "upload", "djibouti")
    with Store.open(folder) as store:
        path = shared / "data/osm-raw/djibouti-latest_filter-road-secondary.osm.pbf"
        receipt = surveys.deliver(store, [path], layer="roads", sender="anybody", now=NOW)
        checked = surveys.check(store, read_study(folder), receipt.id, now=NOW, allow="upload")
    assert [one.code for one in checked.findings] == ["kind-not-allowed"]


def test_first_building_of_a_table_without_header_is_asked_about(desk):
    """21,313 rows without names of columns: the first row is not quietly taken for them."""
    checked = desk(Path("aleppo-osm-buildings-csv/building_data.csv"), "buildings")
    assert checked.layer is None
    assert "header-doubtful" in codes(checked)
    said = desk(Path("aleppo-osm-buildings-csv/building_data.csv"), "buildings", header=["lon", "lat", "building", "name"])
    assert len(said.layer.frame) == 21_313
    assert said.examined.table["name"].isna().sum() == 20_099


def test_parallel_roads_are_told_and_kept(desk):
    """6 edges drawn twice between the same crossings: which of them is one too many is for a person to say."""
    checked = desk(Path("aleppo-roads-osm/aleppo_original.parquet"), "roads")
    assert codes(checked)["repeated-shape"].count == 6
    assert len(checked.layer.frame) == 78_908
    assert (checked.layer.frame.length < 1).sum() == 35


def test_ids_that_repeat_are_returned_with_their_rows(desk, shared):
    """Columbia's 133 neighbourhoods: Id repeats, 7 names repeat, one Arabic name is missing; a code must be one neighbourhood's."""
    path = Path("aleppo-unosat-damage-2015/Neighborhoods.geojson")
    raw = gpd.read_file(shared / "data" / path)
    assert (raw["Id"].is_unique, raw["NAME_A"].isna().sum()) == (False, 1)
    checked = desk(path, "neighbourhoods", columns={"id": "Id", "name_en": "NAME", "name_ar": "NAME_A"})
    assert checked.layer is None
    assert set(codes(checked)["repeated-id"].rows)
    assert "repeated-names" in codes(checked)


def test_damage_goes_by_place_and_not_by_the_name_beside_it(desk):
    """Column Neighborho has other spellings than any layer of neighbourhoods: it is not among what is kept."""
    checked = desk(Path("aleppo-unosat-damage-2015/un.geojson"), "damage")
    assert "neighbourhood" not in checked.layer.frame
    assert not checked.layer.frame.drop(columns="geometry").astype("string").eq("Farafira").any(axis=None)


def test_numbers_that_begin_again_in_each_network_are_no_codes_of_the_city(desk, shared):
    """Shelby's nodes: ID 0 of gas is not ID 0 of water. Each file is a layer of its own; codes repeat between, not within."""
    tables = {}
    for layer, name in (("water", "WaterNodes"), ("electricity", "PowerNodes")):
        columns = {"id": "ID", "lon": "X", "lat": "Y"}
        path = Path(f"shelby-interdependent-networks/{name}.csv")
        tables[layer] = desk(path, layer, "memphis", accept=True, columns=columns)
        assert len(tables[layer]) == len(pd.read_csv(shared / "data" / path))
        assert tables[layer]["id"].is_unique
    assert set(tables["water"]["id"]) & set(tables["electricity"]["id"])


def test_date_that_means_none_is_no_date_of_the_layer(desk):
    """COD-AB: validTo is 1899-11-30 in all 272 rows; names with an apostrophe stay as they are written."""
    checked = desk(Path("syr-cod-ab-adm3/syr_admbnda_adm3_uncs_unocha_20201217-polygon.shp"), "neighbourhoods", "syria")
    frame = checked.layer.frame
    assert len(frame) == 272
    assert {"A'rima", "Be'r Al-Hulo Al-Wardeyyeh"} <= set(frame["name_en"])
    assert not frame.drop(columns="geometry").astype("string").eq("1899-11-30").any(axis=None)
    assert checked.layer.spec.date is None


def test_rows_on_the_other_side_of_the_earth_are_left_out_with_a_reason(desk, tmp_path):
    """A country-wide file with a stray row at the mouth of the Amazon: UTM 37N has no place for it, and the row is listed instead of lying at infinity."""
    shapes = [shapely.box(37.1, 36.15, 37.2, 36.25), shapely.box(-51, 0, -50.9, 0.1)]
    path = tmp_path / "stray.geojson"
    gpd.GeoDataFrame({"kind": ["mines", "mines"]}, geometry=shapes, crs="EPSG:4326").to_file(path)
    checked = desk(path, "hazards")
    lost = checked.layer.left_out if checked.layer is not None else None
    assert lost is not None, [one.render("en") for one in checked.findings]
    assert lost[["row", "reason"]].to_numpy().tolist() == [[2, "geometry-unreachable"]]
    assert lost.geometry.isna().all()


def test_raster_is_named_for_what_it_is(desk):
    checked = desk(Path(GPW), "population")
    assert [one.code for one in checked.findings] == ["raster"]


def test_shapefile_beside_a_table_of_its_name_is_the_shapefile(desk, shared, tmp_path):
    """test_tin.shp lies beside test_tin.csv: only parts of a shapefile go along with it."""
    for part in (shared / "data/awkward-shapefiles/fiona").glob("test_tin.*"):
        (tmp_path / part.name).write_bytes(part.read_bytes())
    checked = desk(tmp_path / "test_tin.shp", "hazards", "world", crs="EPSG:3857")
    assert "several-files" not in codes(checked)
    assert len(checked.layer.frame) == 1


def test_a_map_of_the_world_is_no_layer_of_one_country(desk):
    """245 countries in UTM 37N, seven of them at infinity: returned for its place, and no shape stops the reading."""
    checked = desk(Path("awkward-shapefiles/mapnik/world_merc.shp"), "hazards", "syria")
    assert checked.layer is None
    assert "crs-far" in codes(checked)


def test_a_file_that_can_not_be_read_raises_nothing_but_its_reason(desk, shared):
    with pytest.raises(LayerError) as raised:
        desk(shared / "data" / "nothing.shp", "hazards")
    assert [one.code for one in raised.value.findings] == ["missing-file"]


def test_complaints_without_coordinates_stay_beside_those_with(desk, tmp_path):
    """An office notes a place for some and only the neighbourhood for others: both are kept, and what has neither is set aside."""
    path = tmp_path / "office.csv"
    path.write_text("category,neighbourhood,lon,lat\nwater,,37.15,36.2\nwater,N0119,,\nroads,,,\n", encoding="utf-8")
    checked = desk(path, "complaints", extent="study")
    assert codes(checked)["rows-without-place"].rows == ("2", "3")
    assert checked.layer.frame["row"].tolist() == [1, 2]
    assert checked.layer.left_out[["row", "reason"]].to_numpy().tolist() == [[3, "geometry-missing"]]


@pytest.mark.parametrize("kind", ["points", "polygons"])
def test_rows_that_could_not_be_read_are_lost_and_not_merely_unselected(desk, tmp_path, kind):
    """A shapefile cut in the middle: the rows of its table without a shape are told, and a run never counts them as not asked for."""
    square = shapely.points(37.15, 36.2) if kind == "points" else shapely.box(37.15, 36.2, 37.151, 36.201)
    shapes = [shapely.transform(square, lambda xy, n=n: xy + 0.0001 * n) for n in range(20)]
    gpd.GeoDataFrame({"kind": ["mines"] * 20}, geometry=shapes, crs="EPSG:4326").to_file(tmp_path / "cut.shp", engine="pyogrio")
    shp = tmp_path / "cut.shp"
    shp.write_bytes(shp.read_bytes()[: 100 + (len(shp.read_bytes()) - 100) // 2])
    checked = desk(shp, "hazards")
    layer = checked.layer
    assert layer.rows_read == 20
    assert len(layer.frame) + layer.left_out["row"].nunique() + layer.rows_lost == 20
    assert layer.rows_read - layer.rows_chosen - layer.rows_lost == 0


def test_rows_that_a_table_only_claims_are_lost_in_the_run_too(desk, tmp_path):
    """A .dbf of 2 rows whose header says 5: three are lost, and the run's account says lost, not "not selected"."""
    folder = made_study(tmp_path / "syria", "syria")
    people_of = gpd.GeoDataFrame(
        {"id": ["1", "x"], "people": [10, 20]}, geometry=shapely.points([[37, 36], [38, 36]]), crs="EPSG:4326"
    )
    people_of.to_file(tmp_path / "people.shp", engine="pyogrio")
    raw = bytearray((tmp_path / "people.dbf").read_bytes())
    raw[4:8] = (5).to_bytes(4, "little")
    sent = tmp_path / "sent" / "people.dbf"
    sent.parent.mkdir()
    sent.write_bytes(bytes(raw))
    checked = desk(sent, "population", folder)
    assert codes(checked)["rows-lost"].count == 3
    desk(sent, "population", folder, accept=True)
    study = read_study(folder)
    run = assess(read_city(study, accepted=surveys.accepted(study)), read_scheme("rapid"))
    (record,) = [one for one in run.info["layers"] if one["layer"] == "population"]
    counted = [record[f"rows_{name}"] for name in ("read", "used", "left_out", "lost", "not_selected")]
    assert counted == [5, 1, 1, 3, 0]
