"""Long work over HTTP: asked for, followed, done once; refused where it can't be, in both languages."""

import json
import shutil
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from api import jobs
from api.app import create_app
from api.settings import Settings
from api.state import load
from geo import tiles
from tests.conftest import write_town

BASE = "http://127.0.0.1:8000"
RANK = "/ogc/processes/rank/execution"


@pytest.fixture
def study(tmp_path):
    return write_town(tmp_path / "town")


@pytest.fixture
def client(study):
    chosen = Settings(study=study)
    with TestClient(create_app(chosen, load(chosen)), base_url=BASE) as one:
        yield one


def test_a_run_is_asked_for_and_followed_to_its_result(client, study):
    assert client.get("/ogc/processes").json()["processes"][0]["id"] == "rank"
    described = client.get("/ogc/processes/rank").json()
    assert "rapid" in described["inputs"]["scheme"]["schema"]["enum"]
    made = client.post(RANK, json={"inputs": {"scheme": "rapid"}})
    assert made.status_code == 201
    place = made.headers["location"].removeprefix(BASE)
    assert made.json()["status"] == "accepted"
    assert client.post(RANK, json={"inputs": {"scheme": "rapid"}}).headers["location"].removeprefix(BASE) == place
    assert client.get(f"{place}/results").status_code == 404
    with jobs.Queue(study) as queue:
        queue.drain()
    told = client.get(place).json()
    assert (told["status"], told["progress"]) == ("successful", 100)
    result = client.get(f"{place}/results").json()["run"]
    assert client.get(result["href"].removeprefix(BASE)).json()["scheme"]["id"] == "rapid"
    assert [one["id"] for one in client.get("/runs").json()["runs"] if not one["shown"]] == [result["id"]]
    assert client.get("/ogc/jobs").json()["jobs"][0]["jobID"] == told["jobID"]
    held = client.app.state.shelf.current()
    assert tiles.place(held.collection("roads"), study / tiles.FOLDER).is_file()  # made with the run


def test_events_tell_the_states_until_the_end(client, study):
    place = client.post(RANK, json={}).headers["location"].removeprefix(BASE)
    with jobs.Queue(study) as queue:
        queue.drain()
    with client.stream("GET", f"{place}/events") as sent:
        assert sent.headers["content-type"].startswith("text/event-stream")
        text = "".join(sent.iter_text())
    states = [json.loads(line[6:])["status"] for line in text.splitlines() if line.startswith("data: ")]
    assert states == ["successful"]
    assert "event: successful" in text


def test_what_waits_can_be_taken_back(client):
    place = client.post(RANK, json={}).headers["location"].removeprefix(BASE)
    assert client.delete(place).json()["status"] == "dismissed"
    again = client.delete(place)
    assert again.status_code == 409
    with client.stream("GET", f"{place}/events") as sent:
        assert "dismissed" in "".join(sent.iter_text())


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        (RANK, {"inputs": {"scheme": "nope"}}, 400),
        (RANK, {"inputs": {"scheme": "../secret.toml"}}, 400),
        (RANK, {"inputs": {"scheme": 5}}, 400),
        (RANK, {"inputs": {"sceme": "rapid"}}, 400),
        (RANK, {"inputs": []}, 400),
        (RANK, [], 400),
        ("/ogc/processes/nope/execution", {}, 404),
        (RANK + "?x=1", {}, 400),
    ],
)
def test_refusals(client, path, body, status):
    refused = client.post(path, json=body)
    assert refused.status_code == status
    assert refused.json()["title_ar"]
    assert client.get("/ogc/jobs").json()["jobs"] == []


def test_a_form_of_another_page_starts_nothing(client):
    for kind in ("text/plain", "application/x-www-form-urlencoded"):
        assert client.post(RANK, content="{}", headers={"Content-Type": kind}).status_code in (400, 415)
    assert client.get("/ogc/jobs").json()["jobs"] == []


def test_unknown_jobs(client):
    for path in ("/ogc/jobs/nope", "/ogc/jobs/nope/results", "/ogc/jobs/nope/events", "/ogc/processes/nope"):
        assert client.get(path).status_code == 404
    assert client.delete("/ogc/jobs/nope").status_code == 404


def test_a_study_without_a_store_gets_one_when_it_is_needed(tmp_path):
    demo = tmp_path / "demo"
    shutil.copytree(Path(__file__).parents[1] / "data" / "demo", demo)
    chosen = Settings(study=demo)
    with TestClient(create_app(chosen, load(chosen)), base_url=BASE) as one:
        assert one.get("/ogc/jobs").json()["jobs"] == []
        assert not (demo / "catalogue.sqlite").exists()
        assert one.post(RANK, json={}).status_code == 201
        assert len(one.get("/ogc/jobs").json()["jobs"]) == 1
