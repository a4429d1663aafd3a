"""What is written is what is read: every export format, with Arabic text, dates, unknown values and shapes with holes.

CSV and workbooks hold no shapes; a workbook shows its own choice of columns. Formulas get their apostrophe, which test_export holds.
"""

from __future__ import annotations

import csv
import datetime
import json
import math
from io import StringIO

import geopandas as gpd
import numpy as np
import openpyxl
import pandas as pd
import pyarrow.parquet as pq
import pyogrio
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from geo.export import csv_bytes, export, geojson_bytes, parquet_bytes, write_gpkg, write_xlsx
from geo.untrusted import read_untrusted
from tests.conftest import A, B, C, D

LETTERS = "ابتثجحخدذرزسشصضطظعغفقكلمنهويىءآأإؤئةًٌٍَُِّْـپگچ٠١٢٣abcXYZ012 ,;\"'|()/\n"
TEXT = st.text(LETTERS, min_size=1, max_size=12).map(str.strip).filter(lambda text: text and text[0] not in "=+-@'")
NUMBER = st.one_of(st.none(), st.floats(-1e12, 1e12, allow_nan=False).map(lambda one: one + 0.0))
DAY = st.one_of(st.none(), st.dates(datetime.date(1950, 1, 1), datetime.date(2100, 1, 1)))
ROWS = st.lists(
    st.tuples(st.one_of(st.none(), TEXT), NUMBER, DAY, st.one_of(st.none(), st.integers(-(2**53), 2**53))), min_size=4, max_size=4
)
SHAPES = [
    A.difference(A.centroid.buffer(100)), shapely.MultiPolygon([B, D.buffer(-100)]), C,
    shapely.Polygon([(330_000.123456, 4_000_000.5), (330_100.25, 4_000_000.75), (330_050.125, 4_000_090.0)]),
]  # fmt: skip
CODES = ["0001", "SY020206", "9007199254740993", "باء-1"]


def table(rows):
    text, number, day, whole = zip(*rows, strict=True)
    columns = {
        "id": CODES, "name_ar": pd.Series(text, dtype="string"), "score": pd.Series(number, dtype="float64"),
        "date": pd.to_datetime(pd.Series(day, dtype="object")), "count": pd.Series(whole, dtype="Int64"),
    }  # fmt: skip
    return gpd.GeoDataFrame(columns, geometry=SHAPES, crs="EPSG:32637")


def told(values):
    """Text, numbers and dates as plain values, None where unknown."""
    return [None if value is None or value is pd.NA or value is pd.NaT or value != value else value for value in values]


def same_shapes(ours, theirs, within):
    assert shapely.get_type_id(theirs).tolist() == shapely.get_type_id(ours).tolist()
    assert shapely.get_num_coordinates(theirs).tolist() == shapely.get_num_coordinates(ours).tolist()
    assert shapely.hausdorff_distance(shapely.normalize(ours), shapely.normalize(theirs)).max() <= within


@given(rows=ROWS)
def test_csv(rows):
    made = table(rows)
    found = list(csv.DictReader(StringIO(csv_bytes(made).decode("utf-8-sig"), newline="")))
    assert [one["id"] for one in found] == CODES
    assert [one["name_ar"] or None for one in found] == told(made["name_ar"])
    assert [float(one["score"]) if one["score"] else None for one in found] == told(made["score"])
    assert [int(one["count"]) if one["count"] else None for one in found] == told(made["count"])
    assert [pd.Timestamp(one["date"]) if one["date"] else None for one in found] == told(made["date"])


@given(rows=ROWS)
def test_geojson(rows):
    made = table(rows)
    content = json.loads(geojson_bytes(made))
    found = pd.DataFrame([one["properties"] for one in content["features"]], dtype="object")
    assert found["id"].tolist() == CODES
    for name in ("name_ar", "score", "count"):
        assert told(found[name]) == told(made[name])
    assert [None if one is None else pd.Timestamp(one) for one in told(found["date"])] == told(made["date"])
    back = gpd.GeoDataFrame.from_features(content, crs="EPSG:4326").to_crs("EPSG:32637").geometry.to_numpy()
    same_shapes(np.array(SHAPES), back, 0.02)  # degrees with seven decimals


@given(rows=ROWS)
def test_geoparquet(tmp_path_factory, rows):
    made = table(rows)
    path = tmp_path_factory.mktemp("parquet") / "a.parquet"
    path.write_bytes(parquet_bytes(made))
    found = gpd.read_parquet(path)
    plain = pq.read_table(path).to_pylist()
    assert [one["id"] for one in plain] == CODES
    for name in ("name_ar", "score", "count"):
        assert told([one[name] for one in plain]) == told(made[name])
    assert told(found["date"]) == told(made["date"])
    assert found.crs.to_epsg() == 32637
    same_shapes(np.array(SHAPES), found.geometry.to_numpy(), 0)


@settings(max_examples=10)
@given(rows=ROWS)
def test_geopackage(town_run, tmp_path_factory, rows):
    made = table(rows)
    path = tmp_path_factory.mktemp("gpkg") / "a.gpkg"
    write_gpkg(town_run, path, made)
    found = pyogrio.read_dataframe(path, layer="priorities")
    assert found["id"].tolist() == CODES
    assert told(found["name_ar"]) == told(made["name_ar"])
    for name in ("score", "count"):
        assert [None if math.isnan(one) else one for one in found[name].astype(float)] == told(made[name])
    assert told(pd.to_datetime(found["date"])) == told(made["date"])
    assert found.crs.to_epsg() == 32637
    same_shapes(shapely.get_parts(np.array(SHAPES)), shapely.get_parts(found.geometry.to_numpy()), 0)


@pytest.mark.parametrize("name", ["حيّ «القصور»", "باب السباع، شرق", "سطر\nثان", "Al-Waʿr “new”", "=1+1", "٠٠٧"])
def test_workbook(town_run, tmp_path, name):
    made = town_run.priorities.assign(name_ar=name)
    write_xlsx(town_run, tmp_path / "a.xlsx", made)
    sheet = openpyxl.load_workbook(tmp_path / "a.xlsx")["الأولويات"]
    assert name in {cell.value for row in sheet.iter_rows() for cell in row if cell.data_type == "s"}


@pytest.mark.parametrize("suffix", ["geojson", "gpkg", "parquet", "csv", "xlsx"])
def test_what_is_exported_can_be_read_as_from_a_stranger(town_run, tmp_path, suffix):
    """The confined reader gets the same codes, names and scores out of our own files, whoever sends them back."""
    export(town_run, tmp_path, [f"priorities.{suffix}"])
    layers = {"gpkg": "priorities", "xlsx": "Priorities"}
    header = {"header": None}
    found = read_untrusted([tmp_path / f"priorities.{suffix}"], name="again", sublayer=layers.get(suffix), **header)
    wanted = town_run.priorities
    if suffix == "xlsx":  # a sheet for people: a title above the heading
        texts = found.table.astype("string").fillna("").to_numpy().ravel().tolist()
        assert set(wanted["id"]) <= set(texts)
        return
    assert found.table["id"].tolist() == wanted["id"].tolist()
    assert found.table["name_ar"].tolist() == wanted["name_ar"].tolist()
    assert told(pd.to_numeric(found.table["score"]).astype(float)) == told(wanted["score"])
    if suffix != "csv":
        there = gpd.GeoDataFrame(found.table).to_crs("EPSG:32637").geometry.to_numpy()
        assert shapely.hausdorff_distance(there, wanted.geometry.to_numpy()).max() < 0.02
