"""Reading: what a file holds comes back whole, and a file that can't be read says so without a stack of traces."""

from __future__ import annotations

import geopandas as gpd
import pandas as pd
import pytest
import shapely

from geo.errors import LayerError
from geo.reading import read_file, sha256
from geo.study import LayerSpec
from tests.conftest import CRS, layer, points, write_table


def read(path, **entry):
    return read_file(path, LayerSpec(path=path.name, **entry), "layer")


def code(path, **entry):
    with pytest.raises(LayerError) as raised:
        read(path, **entry)
    assert all(str(path.parent) not in raised.value.render(lang) for lang in ("ar", "en")), "no path of this machine"
    return raised.value.findings[0].code


@pytest.fixture
def here(tmp_path):
    def made(name, content):
        write_table(content, tmp_path / name)
        return tmp_path / name

    return made


@pytest.mark.parametrize("name", ["a.geojson", "a.gpkg", "a.fgb", "a.parquet", "a.shp"])
def test_formats_hold_the_same_rows(here, name):
    """FlatGeobuf sorts its rows in space, so rows are compared by their text."""
    table = layer(points((1, 1), (2, 2), (3, 3)), name=["حنانو", "007", "None"])
    found = read(here(name, table))
    assert found["row"].tolist() == [1, 2, 3]
    assert sorted(found["name"]) == ["007", "None", "حنانو"]
    assert found.set_index("name").loc["007", "geometry"].equals(table.geometry[1])
    assert found.crs.to_epsg() == 32637


@pytest.mark.parametrize("name", ["a.csv", "a.xlsx"])
def test_tables_are_read_as_text(here, name):
    """Codes keep their zeros; "None" and "NA" are words; only an empty cell is missing."""
    found = read(here(name, pd.DataFrame({"id": ["007", "NA", None], "grade": ["None", "nan", "x"]})))
    assert found["id"].tolist()[:2] == ["007", "NA"]
    assert found["id"].isna().tolist() == [False, False, True]
    assert found["grade"].tolist() == ["None", "nan", "x"]


def test_coordinates_of_a_table(here):
    """A coordinate that is no number gives no geometry; the row stays."""
    degrees = read(here("a.csv", "lon,lat\n37.1,36.2\n,36.2\nx,36.2\n37,1;2\n"))
    assert (degrees.geometry[0].x, degrees.geometry[0].y) == (37.1, 36.2)
    assert degrees.geometry.isna().tolist() == [False, True, True, True]
    assert degrees.crs.to_epsg() == 4326
    metres = read(here("b.csv", "east,north\n330000,4000000\n"), columns={"x": "east", "y": "north"}, crs=CRS)
    assert (metres.geometry[0].x, metres.crs.to_epsg()) == (330000, 32637)
    words = read(here("c.csv", 'wkt,n\n"POLYGON ((0 0, 1 0, 1 1, 0 0))",1\n,2\nPOLYGON,3\n'))
    assert words.geometry[0].area == 0.5
    assert words.geometry.isna().tolist() == [False, True, True]


def test_table_without_coordinates_is_a_plain_table(here):
    found = read(here("a.csv", "id,people\nA,5\n"))
    assert not isinstance(found, gpd.GeoDataFrame)


def test_header_that_stands_in_the_study(here):
    found = read(here("a.csv", "37.1,36.2,مدرسة\n37.2,36.3,\n"), header=["lon", "lat", "name"])
    assert found["row"].tolist() == [1, 2]
    assert found["name"].tolist()[0] == "مدرسة"
    assert found.geometry[1].x == 37.2


@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.txt"])
def test_row_with_more_cells_than_names_is_refused_not_shifted(here, name):
    comma = "\t" if name.endswith("tsv") else ","
    assert code(here(name, comma.join("ab") + "\n" + comma.join("123") + "\n")) == "unreadable"
    assert code(here(name, comma.join("123") + "\n"), header=["lon", "lat"]) == "unreadable"


def test_encodings_of_a_table(here):
    """Windows Arabic is read where the study says so and refused, not garbled, where it does not; a byte-order mark is no letter."""
    path = here("a.csv", "name,n\nحلب,1\n".encode("cp1256"))
    assert read(path, encoding="cp1256")["name"].tolist() == ["حلب"]
    assert code(path) == "unreadable"
    assert code(path, encoding="latin-arabic") == "unreadable"
    assert list(read(here("b.csv", "\ufeffname,n\nحلب,1\n"))) == ["name", "n", "row"]


@pytest.mark.parametrize(
    "name", ["a.geojson", "a.gpkg", "a.shp", "a.fgb", "a.csv", "a.xlsx", "a.ods", "a.xls", "a.parquet", "a.zip", "a.kml", "a"]
)
@pytest.mark.parametrize("content", [b"", b"\x00\x01\x02\xff" * 40, b"PK\x03\x04 half a zip"])
def test_corrupt_files_are_one_clear_fault(here, name, content):
    assert code(here(name, content)) in ("unreadable", "empty-file")


VRT = """<OGRVRTDataSource><OGRVRTLayer name="secret"><SrcDataSource>{path}</SrcDataSource>
<GeometryField encoding="PointFromColumns" x="lon" y="lat"/></OGRVRTLayer></OGRVRTDataSource>"""
GDALG = '{{"type": "gdal_streamed_alg", "command_line": "gdal vector pipeline read {path} ! write /vsimem/x.gpkg"}}'


@pytest.mark.parametrize("name", ["a.geojson", "a.json", "a.vrt", "a.gpkg", "a.kml"])
@pytest.mark.parametrize("content", [VRT, GDALG])
def test_file_that_points_to_another_is_not_followed(here, name, content):
    """GDAL would open the other file, or a URL, whatever the first one is called."""
    other = here("secret.csv", "lon,lat\n37.1,36.2\n")
    assert code(here(name, content.format(path=other))) == "unreadable"


def test_truncated_files_are_a_fault(here):
    table = layer(points(*((n, n) for n in range(500))), name=["x" * 40] * 500)
    for name in ("a.geojson", "a.gpkg", "a.parquet"):
        path = here(name, table)
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        assert code(path) == "unreadable", name


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.geojson", '{"type": "FeatureCollection", "features": []}'),
        ("a.csv", "id,people\n"),
        ("a.xlsx", pd.DataFrame({"id": []})),
    ],
)
def test_file_without_rows(here, name, content):
    assert code(here(name, content)) == "empty-file"


def test_one_of_several_layers_is_not_picked_by_chance(here):
    path = here("a.gpkg", layer(points((1, 1)), n=[1]))
    layer(points((2, 2), (3, 3)), n=[1, 2]).to_file(path, layer="other", engine="pyogrio")
    assert code(path) == "which-sublayer"
    assert len(read(path, sublayer="other")) == 2
    assert code(path, sublayer="third") == "unreadable"


def test_index_of_a_parquet_file_does_not_matter(here):
    """OSMnx writes (u, v, key) as index, with repetitions."""
    table = layer(points((1, 1), (2, 2)), n=[1, 2]).set_index(pd.MultiIndex.from_tuples([(1, 1), (1, 1)]))
    assert read(here("a.parquet", table)).index.tolist() == [0, 1]


def test_column_called_geometry_by_another_name(here):
    table = layer(points((1, 1)), n=[1]).rename_geometry("the_geom")
    assert read(here("a.parquet", table)).geometry[0].equals(points((1, 1))[0])


def test_hash_of_a_shapefile_is_of_all_its_parts(here, tmp_path):
    """The name may hold letters that a pattern would understand."""
    path = here("roads[1].shp", layer([shapely.LineString([(0, 0), (1, 1)])], n=[1]))
    before = sha256(path)
    with (tmp_path / "roads[1].dbf").open("ab") as part:
        part.write(b"x")
    assert sha256(path) != before
    (tmp_path / "roads[1]2.dbf").write_bytes(b"of another file")
    after = sha256(path)
    (tmp_path / "roads[1]2.dbf").write_bytes(b"changed")
    assert sha256(path) == after


def test_hash_is_the_one_that_sha256sum_prints(tmp_path):
    """Anybody can check an input against run.json with the tools of their system."""
    (tmp_path / "a.csv").write_bytes(b"abc")
    assert sha256(tmp_path / "a.csv") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
