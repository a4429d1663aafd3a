"""Files from strangers: every one is read or refused with its reason, no row goes without a word, and nothing else happens.

`TARMIM_FUZZ` is the number of mutated files (200 without it; 2,000 is a thorough run).
"""

from __future__ import annotations

import json
import os
import random
import socket
import sqlite3
import struct
import subprocess
import sys
import tempfile
import threading
import zipfile
from pathlib import Path

import geopandas as gpd
import openpyxl
import pandas as pd
import pytest
import shapely

from geo.archives import gather, unpack
from geo.errors import LayerError
from geo.reader_geopackage import gpkg_wkb
from geo.reader_tables import coordinate
from geo.untrusted import NOTES, Read, Request, _environment, _how_it_ended, _rules, read_many, read_untrusted

NAMES = ["عريمة", "مركز اعزاز", "عين التل", "حي الوعر", "تلبيسة", "باب عمرو", "القصير", "الرستن"]
FUZZ = int(os.environ.get("TARMIM_FUZZ", "200"))


def town(number=8):
    return gpd.GeoDataFrame(
        {
            "code": [f"{n:03d}" for n in range(number)],
            "name": [NAMES[n % len(NAMES)] for n in range(number)],
            "people": range(number),
        },
        geometry=[shapely.box(n, 0, n + 1, 1) for n in range(number)],
        crs="EPSG:32637",
    )


def codes(result):
    return {one.code for one in result.findings}


def consistent(result):
    """A refusal has reasons in both languages; of what was read every row is somewhere."""
    for one in result.findings:
        assert all(one.render(lang) for lang in ("ar", "en"))
        assert tempfile.gettempdir() not in one.render("en")
    if isinstance(result, LayerError):
        assert any(one.severity == "error" for one in result.findings)
        return result
    counts = result.counts
    assert counts.rows == counts.read + counts.aside + counts.lost
    assert (len(result.table), len(result.aside)) == (counts.read, counts.aside)
    rows = [*result.table["row"], *result.aside["row"]]
    assert len(set(rows)) == len(rows)
    assert min(rows, default=1) >= 1
    assert max(rows, default=1) <= counts.rows
    if isinstance(result.table, gpd.GeoDataFrame):
        assert not (result.table.geometry.isna() | result.table.geometry.is_empty).any()
    return result


def read(*paths, **options):
    return consistent(read_untrusted(list(paths), name="layer", **options))


def refused(*paths, **options):
    with pytest.raises(LayerError) as error:
        read_untrusted(list(paths), name="layer", **options)
    return codes(consistent(error.value))


def write(path, content):
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def geojson(path, *geometries, **members):
    features = [{"type": "Feature", "properties": {"n": number}, "geometry": one} for number, one in enumerate(geometries)]
    return write(path, json.dumps({"type": "FeatureCollection", "features": features, **members}))


def point(x, y):
    return {"type": "Point", "coordinates": [x, y]}


def parts(path):
    return sorted(one for one in path.parent.iterdir() if one.stem == path.stem)


@pytest.fixture
def shp(tmp_path):
    folder = tmp_path / "shp"
    folder.mkdir()
    town().to_file(folder / "town.shp", engine="pyogrio", encoding="utf-8")
    return folder / "town.shp"


@pytest.fixture
def gpkg(tmp_path):
    town().to_file(tmp_path / "town.gpkg", layer="town", engine="pyogrio")
    return tmp_path / "town.gpkg"


def change(path, *statements):
    """Change a database behind its own back."""
    with sqlite3.connect(path) as database:
        for name, count in (("ST_IsEmpty", 1), ("ST_MinX", 1), ("ST_MaxX", 1), ("ST_MinY", 1), ("ST_MaxY", 1)):
            database.create_function(name, count, lambda *_: 0.0)
        for statement in statements:
            database.execute(statement)
    database.close()
    return path


@pytest.fixture
def listener():
    """A server on this machine that counts who calls."""
    calls = []
    server = socket.create_server(("127.0.0.1", 0))
    server.settimeout(0.1)
    stop = threading.Event()

    def wait():
        while not stop.is_set():
            try:
                calls.append(server.accept()[0])
            except TimeoutError:
                continue

    thread = threading.Thread(target=wait)
    thread.start()
    yield f"http://127.0.0.1:{server.getsockname()[1]}", calls
    stop.set()
    thread.join()
    server.close()
    for one in calls:
        one.close()


# ---------------------------------------------------------------------------------------------------------------- good files
@pytest.mark.parametrize("suffix", ["shp", "gpkg", "geojson", "fgb", "parquet"])
def test_formats_give_the_same_rows(tmp_path, suffix):
    path = tmp_path / f"town.{suffix}"
    town().to_parquet(path) if suffix == "parquet" else town().to_file(path, engine="pyogrio")
    found = read(*(parts(path) if suffix == "shp" else [path]))
    assert found.counts.read == 8
    assert found.table["row"].tolist() == list(range(1, 9)) if suffix != "fgb" else True  # FlatGeobuf puts rows in another order
    table = found.table.sort_values("code")
    assert table["code"].tolist() == town()["code"].tolist()
    assert table["name"].tolist() == town()["name"].tolist()
    assert table["people"].tolist() == list(range(8))
    assert table.crs.to_epsg() == 32637
    assert table.geometry.geom_equals(town().geometry.set_axis(table.index)).all()


def test_sheets_keep_numbers_dates_and_text(tmp_path):
    book = openpyxl.Workbook()
    for line in (
        ["code", "name", "lon", "lat", "day", "n"],
        ["007", "حلب", 37.1, 36.2, pd.Timestamp("2026-03-29"), 3],
        ["012", None, 37.2, 36.3, None, 4],
    ):
        book.active.append(line)
    book.save(tmp_path / "a.xlsx")
    found = read(tmp_path / "a.xlsx")
    assert found.table["code"].tolist() == ["007", "012"]
    assert found.table["n"].tolist() == [3, 4]
    assert found.table["day"][0].startswith("2026-03-29")
    assert found.table.geometry.x.tolist() == [37.1, 37.2]


def test_whole_numbers_with_gaps_stay_exact(tmp_path):
    big = 2**53 + 1
    path = write(tmp_path / "a.geojson", json.dumps({"type": "FeatureCollection", "features": [
        {"type": "Feature", "properties": {"id": value, "huge": 2**70}, "geometry": point(1, 2)} for value in (big, None)
    ]}))  # fmt: skip
    table = read(path).table
    assert (table["id"][0], table["id"].isna().tolist()) == (big, [False, True])
    assert table["huge"].tolist() == [str(2**70)] * 2


def test_the_originals_are_left_alone(shp):
    before = {path: path.read_bytes() for path in parts(shp)}
    read(*parts(shp))
    (shp.with_suffix(".shx")).unlink()
    read(*parts(shp))
    assert {path: path.read_bytes() for path in parts(shp)} == {path: raw for path, raw in before.items() if path.suffix != ".shx"}


def test_kobo_answers_are_places(tmp_path):
    text = "id;location;track;area\n1;36.2 37.1 400 5;36.2 37.1 0 0;x\n2;36.3 37.2 401 4;;x\n3;;;x\n"
    found = read(write(tmp_path / "a.csv", text))
    assert found.table.geometry.tolist() == [shapely.Point(37.1, 36.2), shapely.Point(37.2, 36.3)]
    assert found.aside["reason"].tolist() == ["geometry-missing"]
    shape = "36.0 37.0 0 0; 36.0 37.1 0 0; 36.1 37.1 0 0; 36.0 37.0 0 0"
    lines = f'id,shape\n1,"{shape}"\n2,"36.0 37.0 0 0; 36.5 37.5 0 0"\n'
    kinds = read(write(tmp_path / "b.csv", lines)).table.geom_type.tolist()
    assert kinds == ["Polygon", "LineString"]
    columns = "id,_gps_latitude,_gps_longitude\n1,36.2,37.1\n"
    assert read(write(tmp_path / "c.csv", columns)).table.geometry[0] == shapely.Point(37.1, 36.2)


@pytest.mark.parametrize(("text", "value"), [
    ("36.2021", 36.2021), ("٣٦٫٢٠٢١", 36.2021), ("۳۶٫۲", 36.2), ("36,2021", 36.2021), (" 36.2 ", 36.2), ("36°12'07.6\"N", 36.20211), ("36° 12′ S", -36.2),
    ("٣٦°١٢'٠٧٫٦\" شمال", 36.20211), ("N 36 12 7.6", 36.20211), ("-36 30 0", -36.5), ("37°9'32\" غرب", -37.15889), ("36.5°N", 36.5), ("−36.5", -36.5),
])  # fmt: skip
def test_coordinates_as_people_write_them(text, value):
    assert coordinate(text) == pytest.approx(value, abs=1e-5)


@pytest.mark.parametrize(
    "text", ["", "abc", "36.2.1", "1,234,567", "36 61 0", "N", "36°N S", None, True, "9" * 100, "1x", "٣٦٫٫٢", "nan", "inf"]
)
def test_what_is_no_coordinate(text):
    assert coordinate(text) != coordinate(text)


def test_a_table_of_coordinates_in_all_forms(tmp_path):
    text = 'id;lat;lon\n1;36,2021;37,1343\n2;٣٦٫٢٠٢١;٣٧٫١٣٤٣\n3;"36°12\'07.6""N";"37°08\'03.5""E"\n4;x;37\n'
    found = read(write(tmp_path / "a.csv", text))
    assert found.table.geometry.x.round(3).tolist() == [37.134] * 3
    assert found.table["lat"][0] == "36,2021"  # as it was written
    assert found.aside["row"].tolist() == [4]


def test_hashtags_are_given(tmp_path):
    found = read(write(tmp_path / "a.csv", "Place,Latitude,Longitude\n#adm3+code,#geo+lat,#geo+lon\nSY1,36,37\n"))
    assert (found.hashtags["Place"], found.table["row"].tolist()) == ("#adm3+code", [1])


# -------------------------------------------------------------------------------------------------- rows that must not vanish
def test_a_short_or_missing_index_is_made_again(shp):
    index = shp.with_suffix(".shx")
    index.write_bytes(index.read_bytes()[:-24])
    assert read(*parts(shp)).counts.read == 8
    index.unlink()
    found = read(*parts(shp))
    assert found.counts.read == 8
    assert "shx-rebuilt" in codes(found)


def test_fewer_records_than_shapes(shp):
    dbf = shp.with_suffix(".dbf")
    raw = bytearray(dbf.read_bytes())
    length = struct.unpack_from("<H", raw, 10)[0]
    struct.pack_into("<I", raw, 4, 5)
    dbf.write_bytes(raw[: struct.unpack_from("<H", raw, 8)[0] + 5 * length])
    found = read(*parts(shp))
    assert (found.counts.rows, found.counts.read, found.aside["reason"].tolist()) == (8, 5, ["record-missing"] * 3)


def test_a_header_that_forgets_records_is_overruled_by_the_shapes(shp):
    dbf = shp.with_suffix(".dbf")
    raw = bytearray(dbf.read_bytes())
    struct.pack_into("<I", raw, 4, 5)
    dbf.write_bytes(raw)
    assert read(*parts(shp)).counts.read == 8


def test_deleted_records_are_set_aside_with_their_content(shp):
    dbf = shp.with_suffix(".dbf")
    raw = bytearray(dbf.read_bytes())
    start, length = struct.unpack_from("<HH", raw, 8)
    raw[start + 2 * length] = 0x2A
    dbf.write_bytes(raw)
    found = read(*parts(shp))
    assert (found.counts.read, found.aside["row"].tolist(), found.aside["reason"].tolist()) == (7, [3], ["record-deleted"])
    assert NAMES[2] in found.aside["value"][0]


def test_shapes_without_a_table(shp):
    found = read(shp, shp.with_suffix(".shx"))
    assert found.counts.read == 8
    assert "dbf-missing" in codes(found)


def test_records_without_shapes_are_a_table(shp):
    found = read(shp.with_suffix(".dbf"))
    assert found.counts.read == 8
    assert not isinstance(found.table, gpd.GeoDataFrame)


def test_one_damaged_shape_costs_its_own_row(shp):
    raw = bytearray(shp.read_bytes())
    length = 8 + 2 * struct.unpack_from(">i", raw, 104)[0]
    struct.pack_into("<i", raw, 100 + 3 * length + 8 + 40, 2_000_000_000)  # the fourth says that it has so many points
    shp.write_bytes(raw)
    found = read(*parts(shp))
    assert (found.counts.read, found.aside["row"].tolist()) == (7, [4])


def test_a_shape_file_cut_in_the_middle(shp):
    shp.write_bytes(shp.read_bytes()[:-300])
    found = read(*parts(shp))
    assert found.counts.rows == 8
    assert 5 <= found.counts.read < 8


def test_one_bad_ring_or_number_costs_its_own_row(tmp_path):
    ring = {"type": "Polygon", "coordinates": [[[0, 0], [1, 0], [1, 1]]]}
    absurd, missing, wrong = point(1e300, 1), None, {"type": "Point", "coordinates": ["a", 1]}
    empty = {"type": "Polygon", "coordinates": []}
    path = geojson(tmp_path / "a.geojson", point(1, 2), ring, absurd, missing, wrong, empty, point(3, 4))
    found = read(path)
    assert found.table["row"].tolist() == [1, 7]
    assert found.aside.set_index("row")["reason"].to_dict() == {
        2: "geometry-unreadable", 3: "geometry-coordinates", 4: "geometry-missing", 5: "geometry-unreadable", 6: "geometry-missing",
    }  # fmt: skip


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999", "null"])
def test_numbers_that_are_none(tmp_path, number):
    text = '{"type": "FeatureCollection", "features": [%s, %s]}'
    one = '{"type": "Feature", "properties": {"v": %s}, "geometry": {"type": "Point", "coordinates": [%s, 1]}}'
    found = read(write(tmp_path / "a.geojson", text % (one % (number, "1"), one % ("1", number))))
    assert found.table["row"].tolist() == [1]


def test_a_bow_tie_is_kept_for_the_next_step(tmp_path):
    tie = {"type": "Polygon", "coordinates": [[[0, 0], [1, 1], [1, 0], [0, 1], [0, 0]]]}
    assert not read(geojson(tmp_path / "a.geojson", tie)).table.geometry[0].is_valid


def test_an_unclosed_quote_is_said_by_row(tmp_path):
    lines = "\n".join(f"{n},36.{n},37.{n},{chr(34) if n == 50 else ''}name" for n in range(100))
    found = read(write(tmp_path / "a.csv", f"id,lat,lon,name\n{lines}\n"))
    assert (found.counts.rows, found.counts.read, found.aside["row"].tolist()) == (100, 99, [51])


def test_a_cut_flatgeobuf_loses_nothing_silently(tmp_path):
    town(500).to_file(tmp_path / "a.fgb", engine="pyogrio", SPATIAL_INDEX="NO")
    path = write(tmp_path / "b.fgb", (tmp_path / "a.fgb").read_bytes()[:-20_000])
    try:
        found = read(path)
    except LayerError as error:
        consistent(error)
        return
    assert found.counts.rows == 500
    assert 0 < found.counts.read < 500


def test_wrong_degrees_are_not_believed(tmp_path):
    found = read(geojson(tmp_path / "a.geojson", point(322414, 4018802)))
    assert found.table.crs is None
    assert "crs-not-degrees" in codes(found)


# ------------------------------------------------------------------------------------------------------------- hostile content
def test_content_under_another_name_is_not_followed(tmp_path):
    """A VRT reads any file of this machine; GDAL would recognise it by its content."""
    secret = geojson(tmp_path / "secret.geojson", point(1, 2))
    vrt = f'<OGRVRTDataSource><OGRVRTLayer name="secret"><SrcDataSource>{secret}</SrcDataSource></OGRVRTLayer></OGRVRTDataSource>'
    pipeline = json.dumps({"type": "gdal_streamed_alg", "command_line": f"gdal vector pipeline ! read {secret}"})
    suffixes = ("geojson", "shp", "gpkg", "fgb", "xlsx", "parquet", "kml", "gml", "dxf", "osm", "pbf", "kmz", "csv")
    requests = [
        Request([write(tmp_path / f"evil{number}.{suffix}", content)], suffix)
        for suffix in suffixes
        for number, content in enumerate((vrt, pipeline))
    ]
    for request, result in zip(requests, read_many(requests, allow="administrator"), strict=True):
        consistent(result)
        assert isinstance(result, LayerError) or (request.name == "csv" and not isinstance(result.table, gpd.GeoDataFrame))
    assert refused(write(tmp_path / "a.vrt", vrt)) == {"nothing-readable"}


def test_nobody_is_called(tmp_path, listener):
    url, calls = listener
    path = geojson(tmp_path / "a.geojson", point(1, 2), crs={"type": "link", "properties": {"href": f"{url}/crs", "type": "proj4"}})
    found = read(path)
    assert "crs-link" in codes(found)
    assert found.table.crs is None
    wfs = f"<OGRWFSDataSource><URL>{url}/wfs</URL></OGRWFSDataSource>"
    vrt = (
        f'<OGRVRTDataSource><OGRVRTLayer name="a"><SrcDataSource>/vsicurl/{url}/a</SrcDataSource></OGRVRTLayer></OGRVRTDataSource>'
    )
    requests = [
        Request([write(tmp_path / f"b{number}.{suffix}", content)], "b")
        for number, content in enumerate((wfs, vrt, url, f"WFS:{url}", f"/vsicurl/{url}/a.geojson"))
        for suffix in ("gml", "geojson", "kml", "csv", "shp")
    ]
    gml = (
        f'<gml:FeatureCollection xmlns:gml="http://www.opengis.net/gml" xmlns:xlink="http://www.w3.org/1999/xlink" '
        f'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:schemaLocation="{url} {url}/schema.xsd"><gml:featureMember><a fid="1">'
        f'<gml:pointProperty xlink:href="{url}/point"/><g><gml:Point><gml:coordinates>1,2</gml:coordinates></gml:Point></g></a>'
        f"</gml:featureMember></gml:FeatureCollection>"
    )
    requests.append(Request([write(tmp_path / "c.gml", gml)], "c"))
    kml = f'<kml xmlns="http://www.opengis.net/kml/2.2"><Document><NetworkLink><Link><href>{url}/a.kml</href></Link></NetworkLink></Document></kml>'
    requests.append(Request([write(tmp_path / "d.kml", kml)], "d"))
    for result in read_many(requests, allow="administrator"):
        consistent(result)
    assert calls == []


BOMB = '<!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;"><!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;&b;&b;">]>'


@pytest.mark.parametrize("suffix", ["kml", "gml", "osm"])
def test_entities_are_refused(tmp_path, suffix):
    outside = '<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/hostname">]>'
    for bomb in (BOMB, outside, '<!DOCTYPE kml SYSTEM "http://127.0.0.1:9/a.dtd">'):
        path = write(tmp_path / f"a.{suffix}", f'<?xml version="1.0"?>{bomb}<kml><name>&c;</name></kml>')
        assert refused(path, allow="administrator") == {"xml-entities"}


def test_entities_in_a_sheet_are_refused(tmp_path):
    book = openpyxl.Workbook()
    book.active.append(["a"])
    book.save(tmp_path / "good.xlsx")
    with zipfile.ZipFile(tmp_path / "good.xlsx") as good, zipfile.ZipFile(tmp_path / "a.xlsx", "w") as bad:
        for name in good.namelist():
            raw = good.read(name)
            bad.writestr(name, raw.replace(b"<worksheet", BOMB.encode() + b"<worksheet") if "sheet1" in name else raw)
    assert refused(tmp_path / "a.xlsx") == {"xml-entities"}


def test_a_cell_far_out_is_refused(tmp_path):
    book = openpyxl.Workbook()
    book.active["A1"], book.active["XFD1048576"] = "a", "b"
    book.save(tmp_path / "a.xlsx")
    assert refused(tmp_path / "a.xlsx") == {"limit-columns"}


def test_a_sheet_that_is_a_zip_bomb_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.xlsx", "w", zipfile.ZIP_DEFLATED) as package:
        package.writestr("xl/worksheets/sheet1.xml", bytes(300 << 20))
    assert refused(tmp_path / "a.xlsx") == {"unreadable"}


def test_views_and_triggers_of_a_database_do_nothing(gpkg):
    change(
        gpkg,
        "CREATE TRIGGER evil AFTER INSERT ON town BEGIN DELETE FROM town; END",
        "CREATE VIEW spy AS SELECT * FROM town",
        "INSERT INTO gpkg_contents (table_name, data_type, identifier, srs_id) VALUES ('spy', 'features', 'spy', 32637)",
    )
    found = read(gpkg)
    assert found.counts.read == 8
    assert {"gpkg-triggers", "gpkg-views"} <= codes(found)
    assert "unknown-sublayer" in refused(gpkg, sublayer="spy")


def test_a_view_in_place_of_the_table_is_refused(gpkg):
    change(
        gpkg,
        "DROP TRIGGER IF EXISTS x",
        "ALTER TABLE town RENAME TO hidden",
        "CREATE VIEW town AS SELECT * FROM hidden",
        "UPDATE gpkg_contents SET table_name = 'town'",
    )
    assert "gpkg-views" in refused(gpkg)


def test_a_database_that_lies_about_its_rows(gpkg):
    found = read(change(gpkg, "UPDATE gpkg_ogr_contents SET feature_count = 3"))
    assert found.counts.read == 8
    assert "gpkg-count" in codes(found)


def test_damaged_pages_are_refused(gpkg):
    raw = bytearray(gpkg.read_bytes())
    raw[8192:40960] = os.urandom(40960 - 8192)
    assert "gpkg-damaged" in refused(write(gpkg, bytes(raw)))


def test_one_bad_shape_in_a_database_costs_its_own_row(gpkg):
    names = [row[0] for row in sqlite3.connect(gpkg).execute("SELECT name FROM sqlite_master WHERE type='trigger'")]
    change(
        gpkg,
        *(f'DROP TRIGGER "{name}"' for name in names),
        "UPDATE town SET geom = x'4750000100' WHERE fid = 3",
        "UPDATE town SET geom = 'text' WHERE fid = 5",
    )
    found = read(gpkg)
    assert (found.counts.read, found.aside["row"].tolist()) == (6, [3, 5])


def test_the_header_of_a_shape_in_a_database():
    point_wkb = shapely.Point(1, 2).wkb
    for which, size in enumerate((0, 32, 48, 48, 64)):
        assert gpkg_wkb(b"GP" + bytes([0, which << 1 | 1]) + bytes(4) + bytes(size) + point_wkb) == point_wkb
    assert gpkg_wkb(b"GP\x00\x0e" + bytes(80)) is None


def test_thirty_thousand_rings(tmp_path):
    rings = [[[x, 0], [x + 0.5, 0], [x, 0.5], [x, 0]] for x in range(30_000)]
    assert refused(geojson(tmp_path / "a.geojson", {"type": "Polygon", "coordinates": rings})) == {"limit-rings"}
    ring = struct.pack("<8d", 0, 0, 0, 1, 1, 0, 0, 0)
    content = (
        struct.pack("<i4d2i", 5, 0, 0, 1, 1, 30_000, 120_000)
        + b"".join(struct.pack("<i", 4 * n) for n in range(30_000))
        + ring * 30_000
    )
    head = struct.pack(">7i", 9994, 0, 0, 0, 0, 0, (108 + len(content)) // 2) + struct.pack("<2i8d", 1000, 5, *[0] * 8)
    path = write(tmp_path / "a.shp", head + struct.pack(">2i", 1, len(content) // 2) + content)
    assert refused(path) == {"limit-rings"}


def test_limits_say_what_was_found(tmp_path):
    columns = write(tmp_path / "a.csv", ",".join(f"c{n}" for n in range(20_000)) + "\n" + "1," * 20_000)
    with pytest.raises(LayerError, match=r"20,000.* At most 1,000"):
        read_untrusted([columns], name="layer")
    assert refused(write(tmp_path / "b.csv", "a,b\n1," + "x" * (2 << 20))) == {"limit-cell"}
    assert refused(geojson(tmp_path / "a.geojson", *[point(1, 2)] * 20), limits={"rows": 10}) == {"limit-rows"}
    line = {"type": "LineString", "coordinates": [[n, 1] for n in range(200)]}
    assert refused(geojson(tmp_path / "b.geojson", line), limits={"vertices_per_shape": 100}) == {"limit-shape"}
    assert refused(geojson(tmp_path / "b.geojson", line, line), limits={"vertices": 300}) == {"limit-vertices"}
    wide = {
        "type": "FeatureCollection",
        "features": [{"type": "Feature", "properties": {f"c{n}": n for n in range(20_000)}, "geometry": point(1, 2)}],
    }
    assert refused(write(tmp_path / "c.geojson", json.dumps(wide))) == {"limit-columns"}
    text = geojson(tmp_path / "d.geojson", point(1, 2))
    write(text, text.read_text().replace('"n": 0', '"n": "' + "x" * (2 << 20) + '"'))
    assert refused(text) == {"limit-cell"}
    assert refused(write(tmp_path / "e.geojson", '{"a":' * 5000 + "1" + "}" * 5000)) == {"unreadable"}


def test_limits_of_the_process(tmp_path):
    path = write(tmp_path / "a.geojson", '{"type": "FeatureCollection", "features": [' + "[0.5,1.5]," * 4_000_000 + "null]}")
    assert refused(path, limits={"memory_bytes": 700 << 20}) == {"reader-memory"}
    assert refused(path, limits={"wall_s": 0.3}) == {"reader-wall"}
    assert refused(path, limits={"cpu_s": 1}) <= {"reader-cpu", "reader-broke"}


def test_one_file_of_a_batch_that_is_killed_takes_no_other_with_it(tmp_path):
    slow = write(tmp_path / "a.geojson", '{"type": "FeatureCollection", "features": [' + "[0.5,1.5]," * 4_000_000 + "null]}")
    good = geojson(tmp_path / "b.geojson", point(1, 2))
    first, second = read_many([Request([slow], "slow"), Request([good], "good")], limits={"wall_s": 0.5})
    assert codes(first) == {"reader-wall"}
    assert second.counts.read == 1


@pytest.mark.parametrize(("ended", "code"), [
    ({}, "reader-wall"), ({"how": "start", "number": 1}, "reader-broke"), ({"how": "wall"}, "reader-wall"), ({"how": "signal", "number": 24}, "reader-cpu"), ({"how": "exit", "number": 77}, "reader-memory"),
    ({"how": "signal", "number": 11}, "reader-broke"), ({"how": "exit", "number": 1}, "reader-broke"),
])  # fmt: skip
def test_every_end_of_the_child_has_a_reason(ended, code):
    assert _how_it_ended(ended, "layer", _rules({}), "KeyError").code == code


def test_the_child_knows_nothing_of_the_world(monkeypatch):
    monkeypatch.setenv("SECRET", "token")
    environment = _environment(Path("private"), "upload")
    assert "SECRET" not in environment
    assert {"OGR_VRT", "WFS", "GeoJSON", "GPKG", "CSV", "LIBKML", "OSM", "HTTP"} <= set(environment["OGR_SKIP"].split(","))
    assert "ESRI Shapefile" not in environment["OGR_SKIP"]
    assert "OSM" not in _environment(Path("private"), "administrator")["OGR_SKIP"].split(",")


def test_the_child_is_locked_in_by_the_system(tmp_path):
    """Where the system has the means: no network, no reading or writing elsewhere, no program started."""
    private, outside = tmp_path / "private", write(tmp_path / "secret", "secret")
    private.mkdir()
    script = """
import socket, subprocess, sys
from pathlib import Path
from geo.reader_child import _only_files_of, _without_network
private, outside, done = Path(sys.argv[1]), Path(sys.argv[2]), []
network, files = _without_network(), _only_files_of(private)
for name, attempt in {
    "read": lambda: outside.read_text(), "list": lambda: list(outside.parent.iterdir()), "run": lambda: subprocess.run(["/bin/true"]),
    "write": lambda: outside.write_text("x"), "make": lambda: (outside.parent / "new").touch(), "remove": lambda: outside.unlink(),
    "call": lambda: socket.create_connection(("127.0.0.1", 9), timeout=1), "inside": lambda: (private / "a").write_text("x"),
}.items():
    try:
        attempt()
        done.append(name)
    except PermissionError:
        pass
    except OSError as error:
        done += [] if name == "call" and error.errno == 101 else [f"{name} {error}"]
print(network, files, ",".join(done))
"""
    answer = subprocess.run(
        [sys.executable, "-c", script, private, outside], capture_output=True, text=True, check=True, cwd=private
    )
    network, files, done = answer.stdout.strip().split(" ", 2)
    if (network, files) != ("True", "True"):
        pytest.skip("this system permits no network namespace or has no Landlock")
    assert done == "inside"
    assert outside.read_text() == "secret"
    assert set(read(geojson(tmp_path / "a.geojson", point(1, 2))).confined) == {"network", "files"}


def test_only_an_administrator_imports_the_rest(tmp_path):
    kml = '<kml xmlns="http://www.opengis.net/kml/2.2"><Document><Folder><name>f</name><Placemark><name>حلب</name><Point><coordinates>37,36</coordinates></Point></Placemark></Folder></Document></kml>'
    path = write(tmp_path / "a.kml", kml)
    assert refused(path) == {"kind-not-allowed"}
    assert read(path, allow="administrator").table.geometry[0].x == 37
    with zipfile.ZipFile(tmp_path / "b.kmz", "w") as archive:
        archive.write(path, "doc.kml")
    assert read(tmp_path / "b.kmz", allow="administrator").counts.read == 1
    town().to_file(tmp_path / "c.gdb", driver="OpenFileGDB", engine="pyogrio", TARGET_ARCGIS_VERSION="ARCGIS_PRO_3_2_OR_LATER")
    assert read(tmp_path / "c.gdb", allow="administrator").table["name"].tolist() == NAMES
    town()[["geometry"]].boundary.to_frame("geometry").to_file(tmp_path / "d.dxf", driver="DXF", engine="pyogrio")
    assert read(tmp_path / "d.dxf", allow="administrator").counts.read == 8
    town().to_file(tmp_path / "e.gml", driver="GML", engine="pyogrio")
    assert read(tmp_path / "e.gml", allow="administrator").table["name"].tolist() == NAMES


def test_openstreetmap_whose_ids_do_not_grow(tmp_path):
    """GDAL's fast index stops at such a file; the slower one reads it."""
    nodes = "".join(f'<node id="{n}" lat="36.{n}" lon="37.{n}"/>' for n in (5, 3, 4, 1))
    way = '<way id="9"><nd ref="5"/><nd ref="3"/><nd ref="1"/><tag k="highway" v="residential"/></way>'
    found = read(write(tmp_path / "a.osm", f'<osm version="0.6">{nodes}{way}</osm>'), allow="administrator", sublayer="lines")
    assert found.counts.read == 1
    assert len(found.table.geometry[0].coords) == 3


def test_tags_of_openstreetmap_become_columns(tmp_path):
    """GDAL leaves all but a few keys in one text; those that our profile knows are columns again, the rest stays there."""
    nodes = "".join(f'<node id="{n}" lat="36.{n}" lon="37.{n}"/>' for n in range(1, 5))
    tags = {"highway": "primary", "oneway": "-1", "bridge": "yes", "layer": "1", "lanes": "2", "name:ar": "جسر &quot;الكبير&quot;"}
    marked = "".join(f'<tag k="{key}" v="{value}"/>' for key, value in tags.items())
    ways = f'<way id="8"><nd ref="1"/><nd ref="2"/>{marked}</way><way id="9"><nd ref="3"/><nd ref="4"/><tag k="highway" v="path"/></way>'
    found = read(
        write(tmp_path / "a.osm", f'<osm version="0.6">{nodes}{ways}</osm>'), allow="administrator", sublayer="lines"
    ).table
    assert found["oneway"].tolist()[0] == "-1"
    assert (found["bridge"].tolist()[0], found["layer"].tolist()[0]) == ("yes", "1")
    assert "الكبير" in found["name:ar"].tolist()[0]
    assert found.loc[1, ["oneway", "bridge", "layer"]].isna().all()
    assert "tunnel" not in found
    assert "lanes" in found["other_tags"].tolist()[0]


def test_one_of_several_must_be_chosen(tmp_path):
    town().to_file(tmp_path / "a.gpkg", layer="one", engine="pyogrio")
    town(3).to_file(tmp_path / "a.gpkg", layer="two", engine="pyogrio")
    assert refused(tmp_path / "a.gpkg") == {"which-sublayer"}
    assert read(tmp_path / "a.gpkg", sublayer="two").counts.read == 3
    assert refused(tmp_path / "a.gpkg", sublayer="../x") == {"unknown-sublayer"}
    assert refused(geojson(tmp_path / "a.geojson", point(1, 2)), geojson(tmp_path / "b.geojson", point(1, 2))) == {"several-files"}


EMPTY = [
    ("geojson", ""), ("geojson", "{}"), ("geojson", "[]"), ("geojson", '{"type": "FeatureCollection", "features": []}'), ("geojson", "{"),
    ("geojson", '{"type": "FeatureCollection", "features": 5}'), ("geojson", '{"type": "FeatureCollection", "features": [1, null, {}]}'),
    ("csv", ""), ("csv", "a,b\n"), ("csv", "\0\0\0"), ("csv", b"PK\x03\x04"), ("gpkg", b"SQLite format 3\0"), ("gpkg", ""), ("fgb", b"fgb\x03"),
    ("parquet", b"PAR1PAR1"), ("xlsx", b"PK\x03\x04"), ("ods", ""), ("shp", b"\x00\x00\x27\x0a"), ("dbf", b"\x03"), ("exe", "MZ"), ("shx", "x"),
]  # fmt: skip


def test_what_holds_no_row_is_refused(tmp_path):
    requests = [Request([write(tmp_path / f"a{at}.{suffix}", content)], suffix) for at, (suffix, content) in enumerate(EMPTY)]
    for result in read_many(requests):
        assert isinstance(consistent(result), LayerError)


def test_values_are_never_sentences(tmp_path):
    """Braces and templates in names come through as they are."""
    evil = "{0.__class__}{{7*191}}<script>"
    found = read(write(tmp_path / "a.csv", f"id,{evil},lat,lon\n1,{evil},1,2\n2,???,x,y\n"))
    assert found.table[evil].tolist() == [evil]
    assert all(one.render("en") for one in found.findings)
    assert {one for one in NOTES if not NOTES[one].found.text} == set()


def test_names_of_ours_are_kept_apart(tmp_path):
    found = read(write(tmp_path / "a.csv", "row,geometry,lat,lon\n9,x,1,2\n"))
    assert found.table["row"].tolist() == [1]
    assert found.table["row_in_file"].tolist() == ["9"]
    assert "columns-renamed" in codes(found)


# -------------------------------------------------------------------------------------------------------------------- fuzzing
def seeds(folder):
    """Good files of every format, to be spoilt."""
    table = town(20)
    table.to_file(folder / "a.shp", engine="pyogrio", encoding="utf-8")
    table.to_file(folder / "a.gpkg", engine="pyogrio")
    table.to_file(folder / "a.fgb", engine="pyogrio")
    table.to_file(folder / "a.geojson", engine="pyogrio")
    table.to_parquet(folder / "a.parquet")
    flat = pd.DataFrame(table.drop(columns="geometry")).assign(lon=range(20), lat=range(20))
    flat.to_csv(folder / "a.csv", index=False)
    flat.to_excel(folder / "a.xlsx", index=False, engine="openpyxl")
    table.to_file(folder / "a.gml", driver="GML", engine="pyogrio")
    table.to_file(folder / "a.kml", driver="KML", engine="pyogrio")
    with zipfile.ZipFile(folder / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for suffix in (".shp", ".shx", ".dbf", ".prj"):
            archive.write(folder / f"a{suffix}", f"مسح/أحياء{suffix}")
    return {path.suffix: path.read_bytes() for path in folder.iterdir() if path.suffix not in (".xsd", ".cpg")}


def spoilt(raw, dice):
    """The bytes with one to four faults: bits, numbers that lie, a piece missing, twice, or zero, an early end."""
    content = bytearray(raw)
    for _ in range(dice.randint(1, 4)):
        if not content:
            break
        at, size = dice.randrange(len(content)), dice.choice((1, 2, 4, 8, 64, 512))
        match dice.randrange(7):
            case 0:
                content[at] ^= 1 << dice.randrange(8)
            case 1:
                content[at : at + 4] = dice.choice(
                    (b"\xff\xff\xff\xff", b"\x00\x00\x00\x00", b"\x7f\xff\xff\xff", b"\xff\xff\xff\x7f")
                )
            case 2:
                del content[at : at + size]
            case 3:
                content[at:at] = content[at : at + size]
            case 4:
                content[at : at + size] = bytes(min(size, len(content) - at))
            case 5:
                content[at : at + size] = dice.randbytes(size)
            case _:
                del content[at:]
    return bytes(content)


def test_spoilt_files_never_bring_the_parent_down(tmp_path, monkeypatch):
    good = tmp_path / "good"
    good.mkdir()
    raw, dice = seeds(good), random.Random(20260329)  # noqa: S311
    private, staging = tmp_path / "private", tmp_path / "staging"
    private.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(private))
    kinds = [one for one in raw if one not in (".shx", ".prj", ".dbf")]
    for begin in range(0, FUZZ, 50):
        requests = []
        for number in range(begin, min(begin + 50, FUZZ)):
            folder = staging / str(number)
            folder.mkdir(parents=True)
            suffix = kinds[number % len(kinds)]
            bundle = [".shp", ".shx", ".dbf", ".prj"] if suffix == ".shp" else [suffix]
            hit = dice.choice(bundle)
            paths = [write(folder / f"a{one}", spoilt(raw[one], dice) if one == hit else raw[one]) for one in bundle]
            try:
                bundles = (unpack(paths[0], folder / "out") if suffix == ".zip" else gather(paths, folder / "out")).files
            except LayerError as error:
                consistent(error)
                continue
            requests += [Request(one, one.name) for one in bundles]
        before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()}
        for result in read_many(requests, allow="administrator", limits={"wall_s": 20}):
            consistent(result)
        assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()} == before
        assert list(private.iterdir()) == []


# ------------------------------------------------------------------------------------------------------------------ real files
def test_awkward_shapefiles(shared, tmp_path):
    """Each file of the collection is read or refused with its reason; what is known of some of them."""
    requests = []
    for folder in sorted(one for one in (shared / "data/awkward-shapefiles").iterdir() if one.is_dir()):
        files = [one for one in sorted(folder.iterdir()) if one.name != "departs.vrt"]
        requests += [Request(one, f"{folder.name}/{one.name}") for one in gather(files, tmp_path / folder.name).files]
    results = {request.name: consistent(one) for request, one in zip(requests, read_many(requests), strict=True)}
    assert len(results) >= 35
    assert {name for name, one in results.items() if isinstance(one, LayerError)} == {
        "gdal/bigoffset.shp", "gdal/buggymultipoly.shp", "gdal/buggypoint.shp", "gdal/empty.shp", "gdal/emptymultipoly.shp", "gdal/extentnan.shp",
    }  # fmt: skip
    assert results["shapefile-rs/file_cp936.shp"].table["TEST"].tolist() == ["测试中文"]
    assert results["mapnik/point_null_point.shp"].aside["row"].tolist() == [2]
    assert "Frédéric" in results["gdal/departs.shp"].table.iloc[:, 1].tolist()
    assert results["gdal/pointnan.shp"].counts.read == 1


def test_arabic_without_a_declaration(shared):
    path = shared / "data/derived-from-real/adm3_aleppo_homs_cp1256_nocpg.shp"
    plain = shared / "data/syr-cod-ab-adm3/syr_admbnda_adm3_uncs_unocha_20201217-polygon.shp"
    known, found = read(*parts(plain)).table, read(*parts(path)).table
    right = known.set_index("ADM3_PCODE")["ADM3_AR"]
    assert len(found) == 63
    assert found["ADM3_AR"].tolist() == right[found["ADM3_PCODE"]].tolist()
    assert found["ADM3_AR"][0] == "عريمة"


def test_copernicus_behind_a_redirect(shared, tmp_path):
    (path,) = (shared / "data/copernicus-emsr190").glob("*CAMERINO*.zip")
    found = unpack(path, tmp_path / "out")
    assert {"zip-prefix", "zip-nested"} == {one.code for one in found.findings}
    read_all = read_many([Request(one, one.name) for one in found.files])
    results = {one.name.rsplit("10000_")[1]: read for one, read in zip(found.files, read_all, strict=True)}
    assert results["settlements_poly_grading.shp"].counts.read == 2675
    assert results["transportation_line.shp"].counts.read == 428
    assert all(isinstance(consistent(one), Read) and one.table.crs.to_epsg() == 32633 for one in results.values())


def test_homs_in_three_dimensions_with_arabic_columns(shared):
    for name, rows in (("districts", 6), ("subdistricts", 23), ("villages", 139)):
        found = read(shared / f"data/homs-admin-utm37n-3d/{name}.geojson")
        assert found.counts.rows == found.counts.read == rows
        assert found.table.crs.to_epsg() == 32637
        assert {"محافظة", "الرمز"} <= set(found.table.columns) or name == "villages"


def test_openstreetmap(shared):
    folder = shared / "data/osm-raw"
    requests = [
        Request([folder / "djibouti-latest_filter-road-secondary.osm.pbf"], "djibouti", sublayer="lines"),
        Request([folder / "test.osm.pbf"], "test", sublayer="lines"),
        Request([folder / "test.osm.pbf"], "rings", sublayer="multipolygons"),
        Request([folder / "gdal_test.osm"], "xml", sublayer="points"),
    ]
    results = [consistent(one) for one in read_many(requests, allow="administrator")]
    assert [one.counts.read for one in results[:2]] == [409, 339]
    # as many ways as carry the key in `other_tags`, counted in the files by their text
    assert [int(one.table["oneway"].notna().sum()) for one in results[:2]] == [264, 38]
    assert results[2].counts.aside > 0  # rings that do not close, row by row
    assert results[2].counts.read > 2000


def test_real_layers_lose_nothing(shared, tmp_path):
    wanted = {
        "aleppo-unosat-damage-2015/un.geojson": 14058, "aleppo-neighbourhoods-ocha/aleppo_neighbourhoods.derived.geojson": 109,
        "aleppo-roads-osm/aleppo_simplified.parquet": 39514, "population-rasters/sao-miguel-gpw/concelhos.gpkg": 6,
        "derived-from-real/syr_adm4_population_points.csv": 7593,
    }  # fmt: skip
    results = [consistent(one) for one in read_many([Request([shared / "data" / name], name) for name in wanted])]
    assert [one.counts.rows for one in results] == list(wanted.values())
    assert results[-1].counts.aside == 13
    buildings = shared / "data/aleppo-osm-buildings-csv/building_data.csv"
    found = read(buildings, header=["lon", "lat", "kind", "name"])
    assert found.counts.read == 21_313
