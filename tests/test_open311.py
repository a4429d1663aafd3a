"""Open311 GeoReport v2: read from a file and from a stranger's, and nobody named."""

from __future__ import annotations

import datetime
import json

import geopandas as gpd
import pytest

from geo.harmonise import read_layer
from geo.open311 import columns_of, places_of, requests_of
from geo.pipeline import open_study, read_city
from geo.store import Store
from geo.surveys import accept, check, deliver, from_store
from tests.conftest import EAST, NORTH, points

PLACES = gpd.GeoSeries(points((133, 871), (1633, 431)), crs="EPSG:32637").to_crs("EPSG:4326")
# the fields of the standard, with the extensions of FixMyStreet
REQUESTS = [
    {
        "service_request_id": 638344, "status": "closed", "status_notes": "Called Anas back", "service_name": "Pothole",
        "service_code": "006", "description": "In front of Anas' house", "agency_responsible": {"recipient": ["Roads"]},
        "requested_datetime": "2026-03-29T06:37:38+03:00", "updated_datetime": "2026-04-02T06:37:38+03:00",
        "expected_datetime": "2026-04-15T06:37:38+03:00", "address": "house 7", "address_id": 545483, "zipcode": 94122,
        "lat": PLACES[0].y, "long": PLACES[0].x, "media_url": "http://example.org/anas.jpg", "requestor_name": "Anas",
    },
    {
        "service_request_id": 638349, "status": "investigating", "service_name": "Water supply", "service_code": "001",
        "requested_datetime": "2026-04-19T06:37:38Z", "lat": str(PLACES[1].y), "long": str(PLACES[1].x), "phone": "0933123456",
        "email": "anas@example.org",
    },
]  # fmt: skip


@pytest.mark.parametrize(
    "document",
    [
        REQUESTS,
        {"service_requests": REQUESTS},
        {"service_requests": {"request": REQUESTS}},
        {"requests": [{"request": REQUESTS[:1]}, {"request": REQUESTS[1:]}]},
    ],
)
def test_shapes_of_the_document(document):
    assert requests_of(document) == REQUESTS


@pytest.mark.parametrize("document", [{}, [], 7, None, {"type": "Feature"}, [1, 2], [{"a": 1}], {"features": []}])
def test_what_is_no_georeport(document):
    assert requests_of(document) is None


def test_no_requests_is_an_empty_georeport():
    assert requests_of({"service_requests": []}) == []


def test_only_named_fields_become_columns():
    columns = columns_of(REQUESTS)
    assert set(columns) == {
        "service_request_id", "service_name", "service_code", "requested_datetime", "status", "expected_datetime", "lat", "long",
    }  # fmt: skip
    assert places_of(columns)[1] == (PLACES[1].x, PLACES[1].y)
    assert places_of({"service_request_id": [1, 2]}) == [None, None]


def layer_of(town, content, path="complaints.json"):
    entry = {"path": path, "profile": "open311", "extent": "study"}
    return open_study(town(complaints=content, entries={"complaints": entry}))[0]


def is_as_told(frame):
    assert frame["id"].tolist() == ["638344", "638349"]
    assert frame["category"].tolist() == ["roads", "water"]
    assert frame["status"].tolist() == ["closed", "open"]
    assert frame["date"].dt.date.tolist() == [datetime.date(2026, 3, 29), datetime.date(2026, 4, 19)]
    assert frame["due"].notna().tolist() == [True, False]
    # a pothole is where it is, to the rounding of the degrees; no water is somewhere in the cell
    assert frame.geometry.iat[0].distance(points((133, 871))[0]) < 0.01
    assert (frame.geometry.iat[1].x, frame.geometry.iat[1].y) == (EAST + 1650, NORTH + 450)


def nobody_in(text):
    assert [one for one in ("Anas", "anas", "0933", "house 7", "example.org") if one in text] == []


def test_file_of_the_study(town):
    study = layer_of(town, json.dumps(REQUESTS))
    found = read_layer(study, "complaints")
    is_as_told(found.frame)
    nobody_in(found.frame.to_csv() + found.left_out.to_csv())
    assert read_city(study).layers["complaints"].frame["zone"].tolist() == ["A", "B"]


def test_table_with_the_same_columns(town):
    columns = [
        "service_request_id",
        "status",
        "service_name",
        "requested_datetime",
        "expected_datetime",
        "lat",
        "long",
        "requestor_name",
    ]
    lines = [",".join(columns), *(",".join(str(one.get(name, "")) for name in columns) for one in REQUESTS)]
    found = read_layer(layer_of(town, "\n".join(lines), "complaints.csv"), "complaints")
    is_as_told(found.frame)
    nobody_in(found.frame.to_csv())


def test_json_that_is_geojson_stays_geojson(town):
    collection = gpd.GeoDataFrame({"id": ["a"], "category": ["roads"]}, geometry=points((133, 871)), crs="EPSG:32637").to_json(
        to_wgs84=True
    )
    found = read_layer(layer_of(town, collection), "complaints")
    assert found.frame["id"].tolist() == ["a"]


def test_json_that_is_nothing(refused):
    (fault,) = refused(complaints="[1, 2", entries={"complaints": {"path": "complaints.json"}})
    assert fault.code == "unreadable"


def test_survey_of_a_partner(town, tmp_path):
    """Delivered without a word: recognised, checked in the child process, accepted; the dataset names nobody."""
    folder = town(without=("complaints",))
    study = open_study(folder)[0]
    sent = tmp_path / "window.json"
    broken = {**REQUESTS[0], "service_request_id": 7, "lat": "Anas", "status": "Anas"}
    sent.write_text(json.dumps({"service_requests": [*REQUESTS, broken]}), encoding="utf-8")
    now = datetime.datetime(2026, 11, 1, tzinfo=datetime.UTC)
    with Store.open(folder) as store:
        receipt = deliver(store, [sent], layer="complaints", sender="municipality", now=now)
        checked = check(store, study, receipt.id, now=now)
        assert checked.layer is not None, [str(one.render("en")) for one in checked.findings]
        assert checked.layer.spec.profile == "open311"
        dataset = accept(store, study, receipt.id, by="planner", now=now)
        frame = from_store(store, study)["complaints"].frame.sort_values("id")
        is_as_told(frame.reset_index(drop=True))
        nobody_in(frame.to_csv() + json.dumps(dict(dataset.provenance), default=str))
        nobody_in(json.dumps([one.record() for one in checked.findings], ensure_ascii=False))
