"""Lists of works over HTTP: the numbers of the run, in each format."""

from __future__ import annotations

from io import BytesIO

import geopandas as gpd
import openpyxl
import pandas as pd
import pytest
from fastapi.testclient import TestClient

from api.app import create_app
from api.settings import Settings
from tests.test_mobility import DEMO

BASE = "http://127.0.0.1:8000"


@pytest.fixture(scope="module")
def client():
    with TestClient(create_app(Settings(study=DEMO)), base_url=BASE) as one:
        yield one


@pytest.mark.parametrize(
    ("sector", "added"), [("roads", "person_minutes"), ("water", "people_then"), ("telecom", "people_elsewhere")]
)
def test_every_format_says_the_numbers_of_the_run(client, demo_run, sector, added):
    table = demo_run.tables[{"roads": "road"}.get(sector, sector) + "_works"]
    body = client.get(f"/works/{sector}").json()
    assert body["run"] == demo_run.id
    assert [one["id"] for one in body["items"]] == table["id"].tolist()
    assert [one["people"] for one in body["items"]] == pytest.approx(table["people"].tolist())
    assert body["columns"]["people"]["ar"]
    csv = pd.read_csv(BytesIO(client.get(f"/works/{sector}?format=csv").content))
    assert csv["id"].tolist() == table["id"].tolist()
    assert csv[added].tolist() == pytest.approx(table[added].tolist())
    places = gpd.read_file(BytesIO(client.get(f"/works/{sector}?format=geojson&top=20").content))
    assert places["id"].tolist() == table["id"].head(20).tolist()
    assert places.total_bounds[0] == pytest.approx(36.7, abs=0.2)
    book = openpyxl.load_workbook(BytesIO(client.get(f"/works/{sector}?format=xlsx&lang=ar").content))
    sheet = book.worksheets[0]
    assert sheet.sheet_view.rightToLeft
    assert sheet.max_row == len(table) + 1
    assert sheet.cell(2, 1).value == table["id"].iloc[0]


def test_cut_by_neighbourhood_and_head(client, demo_run):
    table = demo_run.tables["road_works"]
    zone = table["zone"].dropna().iloc[0]
    items = client.get(f"/works/roads?zone={zone}&top=3").json()["items"]
    assert [one["id"] for one in items] == table.loc[table["zone"] == zone, "id"].head(3).tolist()
    assert client.get("/works/roads?zone=nowhere").json()["items"] == []


@pytest.mark.parametrize("name", ["road_works", "water_works"])
def test_layer_of_works_has_features_and_is_on_the_map(client, demo_run, name):
    page = client.get(f"/layers/{name}?limit=5").json()
    assert page["numberReturned"] == 5
    drawn = client.get(f"/map/layers/{name}.json").json()
    assert drawn["total"] == len(demo_run.tables[name])
    gained = demo_run.tables[name]["people_then" if name == "water_works" else "people"]
    by_class = {one["label"]["en"]: one["total"] for one in drawn["classes"]}
    assert by_class.get("10,000 people or more", 0) == int((gained.round() >= 10_000).sum())
    assert by_class.get("1 to 99 people", 0) == int(gained.round().between(1, 99).sum())
    assert by_class.get("Nobody, or not known", 0) == int((gained.round() < 1).sum())


def test_unknown_sector_is_refused_with_the_known_ones(client):
    answer = client.get("/works/nothing")
    assert answer.status_code == 404
    assert "roads" in answer.text


def test_answer_is_known_again(client):
    first = client.get("/works/roads?format=csv")
    assert client.get("/works/roads?format=csv", headers={"If-None-Match": first.headers["etag"]}).status_code == 304
