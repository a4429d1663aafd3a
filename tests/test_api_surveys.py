"""Surveys over HTTP: a partner delivers and follows, a planner decides, and what counts changes."""

from __future__ import annotations

import base64
import datetime
import hashlib
import re

import pytest
from fastapi.testclient import TestClient

from api import jobs
from api.app import create_app
from api.settings import Settings
from api.state import load
from geo import accounts
from geo.store import Store
from tests.conftest import write_town
from tests.test_api_people import BASE, bearer, guarded, token

COMPLAINTS = (
    "id,category,lon,lat\n"
    "1,water,37.1335,36.1255\n"
    "2,roads,37.1345,36.1265\n"
)  # fmt: skip
NOW = datetime.datetime.now(datetime.UTC)


@pytest.fixture
def study(tmp_path):
    folder = write_town(tmp_path / "town")
    with Store.open(folder) as store:
        for name, role in (("UNOSAT", "partner"), ("OCHA", "partner"), ("planner", "planner"), ("admin", "admin")):
            accounts.save(store, name, role, by="test", now=NOW)
    return folder


@pytest.fixture
def who(study):
    with Store.open(study) as store:
        return {name: bearer(token(store, name)) for name in ("UNOSAT", "OCHA", "planner")}


@pytest.fixture
def client(study):
    with TestClient(create_app(guarded(study), load(Settings(study=study))), base_url=BASE, follow_redirects=False) as one:
        yield one


def worked(study):
    """Everything that waits is done, by a worker of its own."""
    with jobs.Queue(study) as queue:
        queue.sweep()
        while queue.huey.pending_count():
            queue.huey.execute(queue.huey.dequeue())


def population(people):
    return f"id,people\nA,{people}\nB,2000\nC,4000\nD,500\n".encode()


def delivered(client, headers, content, *, layer="population", name="people.csv", **more):
    return client.post("/surveys", files={"file": (name, content)}, data={"layer": layer, **more}, headers=headers)


def test_from_delivery_to_the_dataset_that_counts(client, study, who):
    answer = delivered(client, who["UNOSAT"], population(9000))
    assert answer.status_code == 201
    receipt = answer.json()
    assert receipt["sha256"] == hashlib.sha256(population(9000)).hexdigest()
    assert receipt["sender"] == "UNOSAT"
    where = answer.headers["location"]
    assert client.get(where, headers=who["UNOSAT"]).json()["status"] == "received"
    worked(study)
    seen = client.get(where, headers=who["UNOSAT"]).json()
    assert seen["status"] == "checked"
    assert seen["label"]["ar"]
    assert client.post(f"{where}/accept", json={}, headers=who["UNOSAT"]).status_code == 403
    job = client.post(f"{where}/accept", json={}, headers=who["planner"])
    assert job.status_code == 202
    worked(study)
    done = client.get(job.headers["location"], headers=who["planner"]).json()
    assert (done["state"], done["progress"]) == ("done", 1)
    assert client.get(where, headers=who["UNOSAT"]).json()["status"] == "accepted"
    log = client.get(f"/decisions?subject={done['result']}", headers=who["planner"]).json()["decisions"]
    assert [(one["what"], one["who"]) for one in log] == [("dataset-accepted", "planner")]


def test_findings_are_in_both_languages_with_their_rows(client, study, who):
    answer = delivered(client, who["UNOSAT"], b"id,people\nA,-5\nB,2000\n")
    worked(study)
    found = client.get(answer.headers["location"], headers=who["UNOSAT"]).json()["findings"]
    assert found
    for one in found:
        assert re.search("[\u0621-\u064a]", one["found"]["ar"])
        assert one["found"]["en"]


def test_a_partner_sees_its_own_surveys_only(client, who):
    where = delivered(client, who["UNOSAT"], population(1)).headers["location"]
    for part in ("", "/original", "/preview"):
        assert client.get(where + part, headers=who["OCHA"]).status_code == 404
    assert client.get("/surveys", headers=who["OCHA"]).json() == {"numberMatched": 0, "surveys": []}
    assert client.get("/surveys", headers=who["planner"]).json()["numberMatched"] == 1


def test_the_same_content_is_recognised_and_tells_nobody_who_sent_it(client, who):
    first = delivered(client, who["UNOSAT"], population(1)).json()
    again = delivered(client, who["UNOSAT"], population(1)).json()
    assert first["id"] == again["id"]
    assert again["findings"]
    other = delivered(client, who["OCHA"], population(1))
    assert (other.status_code, other.json()["findings"][0]["code"]) == (409, "delivered-before")
    assert "UNOSAT" not in other.text


def test_the_original_comes_back_as_it_was_and_is_never_shown_inline(client, who):
    nasty = b"<script>alert(1)</script>\xff\x00"
    where = delivered(client, who["UNOSAT"], nasty, name='a"b\r\n<x>.html', layer="damage").headers["location"]
    answer = client.get(f"{where}/original", headers=who["UNOSAT"])
    assert answer.content == nasty
    assert answer.headers["content-disposition"].startswith("attachment")
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["content-security-policy"]


def test_choices_of_the_sender_count(client, study, who):
    content = b"kod,sukkan\nA,1\nB,2\n"
    choices = '{"columns": {"id": "kod", "people": "sukkan"}}'
    where = delivered(client, who["UNOSAT"], content, choices=choices).headers["location"]
    worked(study)
    assert client.get(where, headers=who["UNOSAT"]).json()["choices"]["choices"]["columns"]["people"] == "sukkan"
    for wrong in ("[1]", "{", '{"nothing": 1}', '{"crs": "EPSG:0"}'):
        answer = delivered(client, who["UNOSAT"], content + b"\n", choices=wrong)
        assert answer.status_code == 422, wrong
        assert answer.json()["findings"][0]["found"]["ar"]


def test_given_back_with_a_reason(client, study, who):
    where = delivered(client, who["UNOSAT"], population(1)).headers["location"]
    worked(study)
    answer = client.post(f"{where}/return", json={"reason": "لا درجات"}, headers=who["planner"])
    assert (answer.json()["status"], answer.json()["reason"]) == ("returned", "لا درجات")
    assert client.post(f"{where}/return", json={}, headers=who["planner"]).status_code == 422


def test_preview_says_where_it_would_fall(client, study, who):
    where = delivered(client, who["UNOSAT"], COMPLAINTS.encode(), layer="complaints", name="c.csv").headers["location"]
    body = client.get(f"{where}/preview", headers=who["UNOSAT"]).json()
    assert body["type"] == "FeatureCollection"
    assert all({"crs", "axes"} == set(one["properties"]["system"]) for one in body["features"])


def test_no_more_than_ones_share(study, who):
    settings = guarded(study, quota_bytes=100, delivery_bytes=80)
    with TestClient(create_app(settings, load(Settings(study=study))), base_url=BASE) as client:
        assert delivered(client, who["UNOSAT"], b"x" * 81).status_code == 413
        assert delivered(client, who["UNOSAT"], b"x" * 70).status_code == 201
        over = delivered(client, who["UNOSAT"], b"y" * 40)
        assert (over.status_code, over.json()["findings"][0]["code"]) == (413, "quota")
        assert delivered(client, who["OCHA"], b"y" * 40).status_code == 201


def test_unknown_layers_and_surveys_are_told(client, who):
    assert delivered(client, who["UNOSAT"], b"x", layer="gas").status_code == 404
    assert client.get("/surveys/none", headers=who["UNOSAT"]).status_code == 404
    assert client.post("/surveys/none/accept", json={}, headers=who["planner"]).status_code == 404
    assert client.post("/surveys", data={"layer": "damage"}, headers=who["UNOSAT"]).status_code == 422


# ------------------------------------------------------------------------------------------------------------------ in parts


def word(text):
    return base64.b64encode(text.encode()).decode()


def begun(client, headers, size, name="people.csv", layer="population"):
    said = {"Upload-Length": str(size), "Upload-Metadata": f"filename {word(name)},layer {word(layer)}", "Tus-Resumable": "1.0.0"}
    return client.post("/uploads", headers={**headers, **said})


def part(client, where, headers, offset, content, **more):
    said = {"Upload-Offset": str(offset), "Content-Type": "application/offset+octet-stream", "Tus-Resumable": "1.0.0", **more}
    return client.patch(where, headers={**headers, **said}, content=content)


def test_an_upload_in_parts_becomes_a_survey(client, study, who):
    content = population(7000)
    where = begun(client, who["UNOSAT"], len(content)).headers["location"]
    assert part(client, where, who["UNOSAT"], 0, content[:10]).headers["upload-offset"] == "10"
    state = client.head(where, headers=who["UNOSAT"])
    assert (state.headers["upload-offset"], state.headers["upload-length"]) == ("10", str(len(content)))
    assert state.headers["cache-control"] == "no-store"
    wrong = part(client, where, who["UNOSAT"], 4, content[4:])
    assert wrong.status_code == 409
    last = part(client, where, who["UNOSAT"], 10, content[10:])
    assert last.status_code == 204
    survey = client.get(last.headers["content-location"], headers=who["UNOSAT"]).json()
    assert (survey["sha256"], survey["name"]) == (hashlib.sha256(content).hexdigest(), "people.csv")
    worked(study)
    assert client.get(last.headers["content-location"], headers=who["UNOSAT"]).json()["status"] == "checked"


def test_a_part_with_a_wrong_checksum_is_not_kept(client, who):
    where = begun(client, who["UNOSAT"], 4).headers["location"]
    good, bad = (f"sha256 {base64.b64encode(hashlib.sha256(one).digest()).decode()}" for one in (b"ab", b"xx"))
    assert part(client, where, who["UNOSAT"], 0, b"ab", **{"Upload-Checksum": bad}).status_code == 460
    assert client.head(where, headers=who["UNOSAT"]).headers["upload-offset"] == "0"
    assert part(client, where, who["UNOSAT"], 0, b"ab", **{"Upload-Checksum": good}).status_code == 204
    assert part(client, where, who["UNOSAT"], 2, b"cd", **{"Upload-Checksum": "md5 x"}).status_code == 422


def test_uploads_of_others_are_not_there(client, who):
    where = begun(client, who["UNOSAT"], 4).headers["location"]
    assert client.head(where, headers=who["OCHA"]).status_code == 404
    assert part(client, where, who["OCHA"], 0, b"ab").status_code == 404
    assert client.delete(where, headers=who["OCHA"]).status_code == 404
    assert client.delete(where, headers=who["UNOSAT"]).status_code == 204
    assert client.head(where, headers=who["UNOSAT"]).status_code == 404


def test_what_tus_asks_for_is_said(client, who):
    answer = client.options("/uploads", headers=who["UNOSAT"])
    assert answer.status_code == 204
    assert answer.headers["tus-extension"] == "creation,expiration,checksum,termination"
    assert int(answer.headers["tus-max-size"]) == 2**30
    assert begun(client, who["UNOSAT"], 2**31).status_code in (413, 422)
    assert begun(client, who["UNOSAT"], "-1").status_code == 422
    assert begun(client, who["UNOSAT"], 5, layer="gas").status_code == 404
    where = begun(client, who["UNOSAT"], 5).headers["location"]
    assert client.patch(where, headers={**who["UNOSAT"], "Upload-Offset": "0"}, content=b"x").status_code == 422


# -------------------------------------------------------------------------------------------------------------------- operations


def test_it_says_how_it_is(client, who, study):
    with Store.open(study) as store:
        admin = bearer(token(store, "admin"))
    assert client.get("/readyz", headers=admin).json()["status"] == "ok"
    client.get("/priorities", headers=who["planner"])
    text = client.get("/metrics", headers=admin).text
    assert 'tarmim_requests_total{method="GET",route="priorities",status="200"} 1.0' in text
    assert 'tarmim_jobs{state="queued"}' in text


def test_a_line_for_each_request_without_secrets(client, who, caplog):
    import orjson

    from api.operations import JsonLines

    with caplog.at_level("INFO", logger="tarmim.access"):
        client.get("/surveys/none", headers=who["OCHA"])
    line = orjson.loads(JsonLines().format(caplog.records[-1]))
    assert (line["route"], line["status"], line["who"]) == ("survey", 404, "OCHA")
    assert who["OCHA"]["Authorization"].split()[1] not in caplog.text
