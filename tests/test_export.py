"""Exports: five formats, the same numbers; nothing that a spreadsheet would run; unknown is empty."""

from __future__ import annotations

import csv
import json
import zipfile
from dataclasses import replace
from io import StringIO

import geopandas as gpd
import numpy as np
import openpyxl
import pandas as pd
import pyarrow.parquet as pq
import pyogrio
import pytest
import shapely

from geo import export as exports
from geo.errors import ExportError
from geo.export import FORMULA, csv_bytes, export, geojson_bytes, method_lines, parquet_bytes, plain, write_xlsx
from geo.left_out import left_out
from tests.conftest import A, layer, points

NUMBERS = ["score", "score_low", "coverage", "equivalent_destroyed", "people", "road_debris_m_high", "water_damaged_share"]
HOSTILE = [f"{start}cmd|' /C calc'!A1" for start in FORMULA]


@pytest.fixture(scope="module")
def folder(town_run, tmp_path_factory):
    """All exports of the town."""
    place = tmp_path_factory.mktemp("exports")
    export(town_run, place)
    return place


def read_csv(content):
    return list(csv.DictReader(StringIO(content.decode("utf-8-sig"), newline="")))


def sheet_rows(path, sheet, top=3):
    """Rows of a sheet under the heading that stands in row `top`."""
    rows = list(openpyxl.load_workbook(path)[sheet].iter_rows(min_row=top, values_only=True))
    return pd.DataFrame(rows[1:], columns=rows[0])


def test_formats_hold_the_same_numbers(town_run, folder):
    wanted = town_run.priorities.set_index("id")[NUMBERS].astype(float)
    as_csv = pd.DataFrame(read_csv((folder / "priorities.csv").read_bytes())).set_index("id")
    features = json.loads((folder / "priorities.geojson").read_text(encoding="utf-8"))["features"]
    found = {
        "csv": as_csv[NUMBERS].replace("", None),
        "geojson": pd.DataFrame([one["properties"] for one in features]).set_index("id")[NUMBERS],
        "gpkg": pyogrio.read_dataframe(folder / "priorities.gpkg", layer="priorities").set_index("id")[NUMBERS],
        "parquet": pq.read_table(folder / "priorities.parquet").to_pandas().set_index("id")[NUMBERS],
    }
    for name, table in found.items():
        pd.testing.assert_frame_equal(table.astype(float), wanted, check_exact=True, check_index_type=False, obj=name)


def test_workbook_holds_the_same_numbers_in_both_languages(town_run, folder):
    """Unrounded; only what is shown is rounded."""
    book = openpyxl.load_workbook(folder / "priorities.xlsx")
    assert book.sheetnames == ["الأولويات", "Priorities", *book.sheetnames[2:]]
    english = sheet_rows(folder / "priorities.xlsx", "Priorities").set_index("Code")
    arabic = sheet_rows(folder / "priorities.xlsx", "الأولويات").set_index("الرمز")
    wanted = town_run.priorities.set_index("id")
    # a workbook holds 16 significant digits
    assert english["Score (0–100)"].tolist()[:3] == pytest.approx(wanted["score"].tolist()[:3], rel=1e-15)
    assert english["Damage index"].tolist()[:3] == pytest.approx(wanted["damage_index"].tolist()[:3], rel=1e-15)
    assert arabic.iloc[:, 7].tolist()[:3] == english.iloc[:, 7].tolist()[:3]
    assert english["Why"].tolist() == wanted["why_en"].tolist()
    assert arabic["السبب"].tolist() == wanted["why_ar"].str.replace("[\u2068\u2069]", "", regex=True).tolist()


def test_arabic_sheets_read_from_right_to_left(folder, town_run, tmp_path):
    book = openpyxl.load_workbook(folder / "priorities.xlsx")
    assert book["الأولويات"].sheet_view.rightToLeft
    assert not book["Priorities"].sheet_view.rightToLeft
    assert all(book[name].sheet_view.rightToLeft for name in book.sheetnames[2:])
    write_xlsx(town_run, tmp_path / "en.xlsx", first="en")
    other = openpyxl.load_workbook(tmp_path / "en.xlsx")
    assert other.sheetnames[:2] == ["Priorities", "الأولويات"]
    assert other["الأولويات"].sheet_view.rightToLeft
    assert not other["Sources and method"].sheet_view.rightToLeft


def test_unknown_is_empty_not_zero(folder):
    """D was not surveyed: an empty cell, a null, and nothing at all."""
    rows = {row["id"]: row for row in read_csv((folder / "priorities.csv").read_bytes())}
    assert (rows["D"]["rank"], rows["D"]["score"], rows["D"]["damage_index"]) == ("", "", "")
    assert rows["C"]["damage_index"] == "0.0"
    features = json.loads((folder / "priorities.geojson").read_text(encoding="utf-8"))["features"]
    assert features[-1]["properties"]["damage_index"] is None
    assert sheet_rows(folder / "priorities.xlsx", "Priorities").set_index("Code").loc["D", ["Rank", "Damage index"]].isna().all()
    assert b"NaN" not in (folder / "priorities.geojson").read_bytes()
    assert pq.read_table(folder / "priorities.parquet").to_pandas().set_index("id")["damage_index"].isna()["D"]


@pytest.mark.parametrize("text", HOSTILE)
def test_formulas_are_neutralised_in_csv(text):
    assert read_csv(csv_bytes(pd.DataFrame({"name": [text]})))[0]["name"] == "'" + text.replace("\r", "\n")


def test_numbers_and_harmless_text_are_left_alone():
    table = pd.DataFrame({"name": ["حي = جديد", "a-b", None, ""], "n": [-1.0, np.nan, 2.0, 0.0]})
    assert plain(table)["name"].tolist()[:2] == ["حي = جديد", "a-b"]
    assert csv_bytes(table).decode("utf-8-sig").splitlines() == ["name,n", "حي = جديد,-1.0", "a-b,", ",2.0", ",0.0"]


def hostile_run(town_run):
    """The town with formulas for names, in the list and among the rows left out."""
    lost = layer(points(*((n, 1) for n in range(len(HOSTILE)))), row=list(range(1, len(HOSTILE) + 1)), state=HOSTILE, id=HOSTILE)
    names = [*HOSTILE[:3], "＝1+1"]
    return replace(
        town_run,
        priorities=town_run.priorities.assign(name_en=names, name_ar=names),
        left_out=left_out(lost, "damage", "outside", value="state"),
    )


def test_formulas_are_typed_strings_in_the_workbook(town_run, tmp_path):
    write_xlsx(hostile_run(town_run), tmp_path / "a.xlsx")
    for sheet in openpyxl.load_workbook(tmp_path / "a.xlsx"):
        kinds = {cell.data_type for row in sheet.iter_rows() for cell in row if cell.value is not None}
        assert kinds <= {"s", "n"}, f"{sheet.title}: {kinds}"
    with zipfile.ZipFile(tmp_path / "a.xlsx") as book:
        assert not any(b"<f>" in book.read(name) for name in book.namelist())
        assert not any("externalLink" in name for name in book.namelist())


def test_formulas_keep_their_text_where_no_spreadsheet_reads(town_run, tmp_path):
    made = hostile_run(town_run)
    assert json.loads(geojson_bytes(made.priorities))["features"][0]["properties"]["name_en"] == HOSTILE[0]
    export(made, tmp_path, ["priorities.parquet", "left_out.csv"])
    assert pq.read_table(tmp_path / "priorities.parquet")["name_en"].to_pylist()[0] == HOSTILE[0]
    rows = read_csv((tmp_path / "left_out.csv").read_bytes())
    assert all(row["value"].startswith("'") and row["id"].startswith("'") for row in rows)


def test_left_out_sheet_says_how_many_more(town_run, tmp_path, monkeypatch):
    """A limit of 3 a layer and reason: of 5 rows outside 3 stand there and "2 more", of 2 repetitions both."""
    monkeypatch.setattr(exports, "SHEET_ROWS", 3)
    rows = layer(points(*((n, 1) for n in range(5))), row=[1, 2, 3, 4, 5])
    tables = [left_out(rows, "damage", "outside"), left_out(rows[:2], "roads", "repeated")]
    write_xlsx(replace(town_run, left_out=pd.concat(tables, ignore_index=True)), tmp_path / "a.xlsx", first="en")
    found = sheet_rows(tmp_path / "a.xlsx", "Left out", top=1)
    assert found["Layer"].tolist() == ["damage"] * 3 + ["roads"] * 2 + ["damage"]
    assert found.iloc[-1, 4] == "2 more rows are in left_out.csv"


def test_geojson_is_rfc_7946(folder):
    """WGS 84 in degrees, longitude first, no `crs`, outer rings counter-clockwise, ids as given."""
    content = json.loads((folder / "priorities.geojson").read_text(encoding="utf-8"))
    assert set(content) == {"type", "features"}
    assert [one["id"] for one in content["features"]] == ["A", "C", "B", "D"]
    for feature in content["features"]:
        shape = shapely.geometry.shape(feature["geometry"])
        assert shape.exterior.is_ccw
        west, south, east, north = shape.bounds
        assert 37.1 < west < east < 37.2
        assert 36.1 < south < north < 36.2


@pytest.mark.parametrize("clockwise", [True, False])
def test_rings_of_geojson_follow_the_right_hand(town_run, clockwise):
    """Shapefiles wind the other way; a hole winds against its outside."""
    hole = shapely.difference(A, A.centroid.buffer(100))
    wound = shapely.orient_polygons(np.array([hole, shapely.MultiPolygon([hole])]), exterior_cw=clockwise)
    content = json.loads(geojson_bytes(gpd.GeoDataFrame({"id": [1, 2]}, geometry=wound, crs="EPSG:32637")))
    simple, multi = (shapely.geometry.shape(one["geometry"]) for one in content["features"])
    for shape in (simple, *multi.geoms):
        assert shape.exterior.is_ccw
        assert not shape.interiors[0].is_ccw


def test_coordinates_of_geojson_are_good_to_a_centimetre(town_run):
    content = json.loads(geojson_bytes(town_run.priorities))
    back = gpd.GeoDataFrame.from_features(content, crs="EPSG:4326").to_crs("EPSG:32637")
    assert shapely.hausdorff_distance(back.geometry.to_numpy(), town_run.priorities.geometry.to_numpy()).max() < 0.02
    decimals = [len(str(x).partition(".")[2]) for one in content["features"] for x, _ in one["geometry"]["coordinates"][0]]
    assert max(decimals) <= 7


def test_geoparquet_has_its_metadata(folder):
    meta = json.loads(pq.read_schema(folder / "priorities.parquet").metadata[b"geo"])
    assert meta["version"] == "1.1.0"
    assert meta["columns"]["geometry"]["crs"]["id"] == {"authority": "EPSG", "code": 32637}
    assert "bbox" in meta["columns"]["geometry"]["covering"]


def test_geopackage_keeps_rows_left_out_with_their_places(run, tmp_path):
    made = run(damage=lambda table: table.assign(grade=["?", *table["grade"][1:]]))
    export(made, tmp_path, ["priorities.gpkg"])
    assert sorted(pyogrio.list_layers(tmp_path / "priorities.gpkg")[:, 0]) == ["left_out", "priorities", "road_works"]
    lost = pyogrio.read_dataframe(tmp_path / "priorities.gpkg", layer="left_out")
    assert lost.geometry[0].equals(points((500, 106))[0])
    assert lost.crs.to_epsg() == 32637


def test_same_run_same_files(town_run, tmp_path, folder):
    """To the byte, but for the time that a GeoPackage and a workbook note: those hold the same content."""
    export(town_run, tmp_path)
    for name in ("priorities.csv", "priorities.geojson", "priorities.parquet", "left_out.csv", "run.json"):
        assert (tmp_path / name).read_bytes() == (folder / name).read_bytes(), name
    one, other = (pyogrio.read_dataframe(place / "priorities.gpkg", layer="priorities") for place in (tmp_path, folder))
    pd.testing.assert_frame_equal(one, other)
    with zipfile.ZipFile(tmp_path / "priorities.xlsx") as left, zipfile.ZipFile(folder / "priorities.xlsx") as right:
        assert left.namelist() == right.namelist()
        assert [name for name in left.namelist() if left.read(name) != right.read(name)] in ([], ["docProps/core.xml"])


def test_sources_and_method_name_every_layer_and_criterion(town_run):
    text = "\n".join(line["en"] for line in method_lines(town_run))
    for record in town_run.info["layers"]:
        assert record["label"]["en"] in text
        assert record["sha256"] in text
    for one in town_run.info["scheme"]["criteria"]:
        assert one["reason"]["en"] in text
    assert all(line["ar"] for line in method_lines(town_run))


@pytest.mark.parametrize("name", list(exports.WRITERS))
def test_place_that_can_not_be_written_is_one_clear_fault(town_run, tmp_path, name):
    """A file stands where the folder should be; or a folder where the file is being made. Nothing is left behind."""
    (tmp_path / "taken").write_text("x", encoding="utf-8")
    with pytest.raises(ExportError) as raised:
        export(town_run, tmp_path / "taken", [name])
    assert raised.value.findings[0].code == "not-written"
    assert raised.value.render("ar")
    (tmp_path / "out" / f".making-{name}").mkdir(parents=True)
    with pytest.raises(ExportError):
        export(town_run, tmp_path / "out", [name])
    assert not (tmp_path / "out" / name).exists()


def test_failed_export_keeps_the_old_file(town_run, tmp_path):
    (tmp_path / "a.csv").write_text("old", encoding="utf-8")

    def full(path):
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    with pytest.raises(ExportError, match="no room on the disk"):
        exports.write_whole(tmp_path / "a.csv", full)
    assert [(one.name, one.read_text(encoding="utf-8")) for one in tmp_path.iterdir()] == [("a.csv", "old")]


def test_bytes_are_those_of_the_files(town_run, folder):
    """What a server sends is what the folder holds."""
    assert csv_bytes(town_run.priorities) == (folder / "priorities.csv").read_bytes()
    assert parquet_bytes(town_run.priorities) == (folder / "priorities.parquet").read_bytes()


def test_further_tables_are_sheets_with_their_headings(town_run, tmp_path):
    """Methods and damage factors side by side, ranks as in the run, headings in the language of the workbook."""
    write_xlsx(town_run, tmp_path / "list.xlsx", first="en")
    for name in ("methods", "factors"):
        labels = town_run.info["tables"][name]
        found = sheet_rows(tmp_path / "list.xlsx", labels["title"]["en"], top=1)
        table = town_run.tables[name]
        assert found.columns.tolist() == [labels["columns"][column]["en"] for column in table]
        assert found.iloc[:, 0].tolist() == table["id"].tolist()
        ranks = table.iloc[:, 1].astype("float64").tolist()
        assert found.iloc[:, 1].astype("float64").tolist() == pytest.approx(ranks, nan_ok=True)


def test_method_sheet_names_another_method(town_run):
    scheme = {**town_run.info["scheme"], "method": "topsis_vector"}
    text = "\n".join(line["en"] for line in method_lines(replace(town_run, info={**town_run.info, "scheme": scheme})))
    assert "Score: TOPSIS, classical, values by fixed goalposts" in text
    assert "sum of weight" not in text
