"""Complaints that come one by one: their category and place are kept, their people are not, and together they are a survey."""

from __future__ import annotations

import json

import geopandas as gpd
import pytest
import shapely
from fastapi.testclient import TestClient

from api.app import create_app
from api.jobs import queue_of
from api.settings import Settings
from geo import service_requests
from geo.complaints_intake import gridded
from geo.store import Store
from geo.study import read_study
from tests.test_api_doors import BASE, bearer, held, study, tokens

__all__ = ["held", "study", "tokens"]
PERSON = {
    "first_name": "Anas", "last_name": "Haddad", "email": "anas@example.org", "phone": "0933123456", "device_id": "7f3a",
    "description": "in front of Anas' house", "address_string": "house 7", "media_url": "http://example.org/anas.jpg",
}  # fmt: skip


@pytest.fixture
def client(study, held, tokens):
    with TestClient(create_app(Settings(study=study, sign_in=True, work=False), held), base_url=BASE) as one:
        yield one


@pytest.fixture
def inside(held):
    """A place in the first neighbourhood, in metres of the study's CRS, and in degrees."""
    place = held.city.layers["neighbourhoods"].frame.geometry.iloc[0].representative_point()
    there = gpd.GeoSeries([place], crs=held.city.study.crs).to_crs("EPSG:4326").iloc[0]
    return place, {"lat": f"{there.y:.7f}", "long": f"{there.x:.7f}"}


def send(client, tokens, place, code="water", role="partner", **more):
    return client.post("/requests.json", data={"service_code": code, **place, **more}, headers=bearer(tokens, role))


def test_a_complaint_is_kept_without_its_person(client, tokens, study, inside, caplog):
    answer = send(client, tokens, inside[1], **PERSON)
    assert answer.status_code == 201
    (given,) = answer.json()
    (kept,) = client.get(f"/requests/{given['service_request_id']}.json", headers=bearer(tokens, "partner")).json()
    assert (kept["service_code"], kept["status"]) == ("water", "open")
    written = b"".join(path.read_bytes() for path in study.rglob("catalogue.sqlite*")) + caplog.text.encode()
    assert given["service_request_id"].encode() in written
    for word in ("Anas", "Haddad", "example.org", "0933", "house 7", "7f3a"):
        assert word.encode() not in written, word


@pytest.mark.parametrize(("code", "exact"), [("water", False), ("roads", True)])
def test_only_public_ground_is_kept_to_the_metre(client, tokens, study, held, inside, code, exact):
    """A pothole is where it is; no water is somewhere in the cell of 100 m, and the disk does not know more."""
    metres, degrees = inside
    send(client, tokens, degrees, code)
    with Store.open(study) as store:
        (kept,) = service_requests.requests(store)
    there = gpd.GeoSeries([shapely.Point(kept.lon, kept.lat)], crs="EPSG:4326").to_crs(held.city.study.crs).iloc[0]
    expected = metres if exact else gridded(gpd.GeoSeries([metres]).to_numpy())[0]
    assert there.distance(expected) < 0.2  # six decimals of a degree


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"service_code": "fish"}, 404),
        ({"service_code": ""}, 404),
        ({"lat": "91"}, 422),
        ({"lat": "nan"}, 422),
        ({"lat": "٣٤"}, 201),
        ({"long": "-36.7"}, 422),
        ({"lat": "0", "long": "0"}, 422),
        ({"lat": None}, 422),
    ],
)
def test_what_can_t_be_a_complaint_here_is_refused_in_both_languages(client, tokens, inside, change, status):
    data = {"service_code": "water", **inside[1], **change}
    answer = client.post("/requests.json", data={k: v for k, v in data.items() if v is not None}, headers=bearer(tokens, "partner"))
    assert answer.status_code in (status, 422)
    if answer.status_code != 201:
        assert answer.json()["detail_ar"] != answer.json()["detail_en"]


def test_who_may(client, tokens, inside):
    assert client.get("/services.json").status_code == 200
    assert client.post("/requests.json", data={"service_code": "water", **inside[1]}).status_code == 401
    assert client.post("/requests/survey", headers=bearer(tokens, "partner")).status_code == 403
    assert client.get("/requests/nothing.json", headers=bearer(tokens, "partner")).status_code == 404


def test_services_are_the_categories(client):
    assert [one["service_code"] for one in client.get("/services.json").json()] == list(service_requests.categories())


def test_together_they_are_a_survey_that_can_be_accepted(client, tokens, study, inside):
    """Three reports of two troubles, gathered, checked and accepted like any other survey; gathered again it is the same one."""
    planner = bearer(tokens, "planner")
    for code in ("water", "water", "roads"):
        send(client, tokens, inside[1], code)
    made = client.post("/requests/survey", headers=planner)
    assert made.status_code == 201
    settings = Settings(study=study)
    with queue_of(settings) as queue:
        queue.drain()
    survey = client.get(made.json()["href"], headers=planner).json()
    assert survey["status"] == "checked", json.dumps(survey["findings"], ensure_ascii=False)
    assert client.post(f"{made.json()['href']}/accept", json={}, headers=planner).status_code == 202
    with queue_of(settings) as queue:
        queue.drain()
    with Store.open(study) as store:
        (dataset,) = store.datasets("complaints")
        table = store.read(dataset)
    assert sorted(table["category"]) == ["roads", "water"]
    assert table.set_index("category")["reports"].to_dict() == {"roads": 1.0, "water": 2.0}
    again = client.post("/requests/survey", headers=planner).json()
    assert again["id"] == made.json()["id"]
    assert again["job"] is None
    assert read_study(study).id == "demo"


def test_none_is_no_survey(client, tokens):
    refused = client.post("/requests/survey", headers=bearer(tokens, "planner"))
    assert refused.status_code == 409
    assert refused.json()["findings"][0]["code"] == "no-requests"
