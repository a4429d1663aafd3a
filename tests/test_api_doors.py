"""Doors that stay shut: to strangers' files before they are read, to paths of ours, behind a proxy, after a token is revoked."""

from __future__ import annotations

import base64
import datetime
import json
import shutil
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from api.app import create_app
from api.jobs import now
from api.settings import Settings, settings_of
from api.state import load
from geo import accounts
from geo.store import Store

DEMO = Path(__file__).parents[1] / "data" / "demo"
BASE = "http://127.0.0.1:8000"
FORM = {"layer": "damage"}


@pytest.fixture(scope="module")
def held():
    return load(Settings(study=DEMO))


@pytest.fixture
def study(tmp_path):
    folder = tmp_path / "demo"
    shutil.copytree(DEMO, folder, ignore=shutil.ignore_patterns("catalogue.sqlite*", "__pycache__"))
    return folder


@pytest.fixture
def tokens(study):
    """A token of each role."""
    lasts = datetime.timedelta(days=1)
    with Store.open(study) as store:
        for role in accounts.ROLES:
            accounts.save(store, f"a {role}", role, by="test", now=now())
        return {
            role: accounts.make_token(store, f"a {role}", label="", by="test", now=now(), lasts=lasts)[1] for role in accounts.ROLES
        }


@pytest.fixture
def client(study, held, tokens):
    chosen = Settings(study=study, sign_in=True, work=False, delivery_bytes=2**21)
    with TestClient(create_app(chosen, held), base_url=BASE) as one:
        yield one


def bearer(tokens, role):
    return {"Authorization": f"Bearer {tokens[role]}"}


def test_health_is_that_of_the_process_whatever_is_published(client):
    """A supervisor that asks for it would else end a service whose first run is not published yet."""
    assert client.get("/healthz").json()["run"] is None


def test_a_stranger_s_file_is_refused_before_it_is_read(client, tokens, tmp_path, monkeypatch):
    """The form is larger than anybody may send unasked; FastAPI would have put it on the disk before asking for a token."""
    monkeypatch.setattr("starlette.formparsers.MultiPartParser.parse", lambda self: pytest.fail("read"))
    files = {"file": ("damage.csv", b"x" * (2**20 + 1))}
    for headers in ({}, {"Authorization": "Bearer tarmim_made-up"}, {"Cookie": "tarmim_session=made-up"}):
        assert client.post("/surveys", files=files, data=FORM, headers=headers).status_code == 413


def test_a_partner_s_file_of_the_same_size_is_taken(client, tokens):
    files = {"file": ("damage.csv", b"id,grade\n" + b"1,severe\n" * 120_000)}
    assert client.post("/surveys", files=files, data=FORM, headers=bearer(tokens, "partner")).status_code == 201


@pytest.mark.parametrize("name", ["X-Forwarded-For", "X-Forwarded-Host", "Forwarded", "Via"])
def test_a_proxy_does_not_make_everybody_the_one_at_the_machine(study, held, name):
    """Without people, whoever reaches loopback may do everything; behind a proxy everybody reaches it."""
    with TestClient(create_app(Settings(study=study, work=False), held), base_url=BASE) as client:
        assert client.get("/jobs").status_code == 200
        refused = client.get("/jobs", headers={name: "203.0.113.7"})
    assert refused.status_code == 403
    assert "TARMIM_SIGN_IN" in refused.json()["detail_en"]


@pytest.mark.parametrize("extent", ["/etc/passwd", "../secret.geojson", "roads.geojson", "/vsicurl/http://127.0.0.1/x"])
def test_a_sender_names_no_file_of_ours(client, tokens, extent):
    """`extent` of a layer's entry is a path in the study's folder: for the person at the machine, not for a sender."""
    files = {"file": ("damage.csv", b"id,grade\n1,severe\n")}
    data = {**FORM, "choices": json.dumps({"extent": extent})}
    refused = client.post("/surveys", files=files, data=data, headers=bearer(tokens, "partner"))
    assert refused.status_code == 422
    assert client.get("/surveys", headers=bearer(tokens, "planner")).json()["numberMatched"] == 0
    data["choices"] = json.dumps({"extent": "study"})
    made = client.post("/surveys", files={"file": ("d.csv", b"id,grade\n1,severe\n")}, data=data, headers=bearer(tokens, "partner"))
    assert made.status_code == 201
    again = client.post(f"/surveys/{made.json()['id']}/check", json={"extent": extent}, headers=bearer(tokens, "planner"))
    assert again.status_code == 422


def test_sending_what_another_has_sent_changes_nothing_of_theirs(client, study, tokens):
    """The same bytes are the same survey: whoever sends them second gets no say in how it is read, and no word of who was first."""
    content = b"id,grade\n1,severe\n"
    with Store.open(study) as store:
        accounts.save(store, "another", "partner", by="test", now=now())
        lasts = datetime.timedelta(days=1)
        other = {"Authorization": "Bearer " + accounts.make_token(store, "another", label="", by="test", now=now(), lasts=lasts)[1]}
    mine = bearer(tokens, "partner")
    first = client.post("/surveys", files={"file": ("a.csv", content)}, data=FORM, headers=mine)
    assert first.status_code == 201
    queued = client.get("/jobs", headers=bearer(tokens, "planner")).json()["numberMatched"]
    chosen = {**FORM, "choices": json.dumps({"profile": "unosat"})}
    second = client.post("/surveys", files={"file": ("b.csv", content)}, data=chosen, headers=other)
    assert second.status_code == 409
    assert "a partner" not in second.text
    assert "a.csv" not in second.text
    assert client.get("/jobs", headers=bearer(tokens, "planner")).json()["numberMatched"] == queued
    again = client.post("/surveys", files={"file": ("a.csv", content)}, data=FORM, headers=mine)
    assert again.json()["id"] == first.json()["id"]


def test_nor_does_sending_it_in_parts(client, study, tokens):
    """An upload that turns out to be what another has sent opens their returned survey for no new decision."""
    content, planner = b"id,grade\n1,severe\n", bearer(tokens, "planner")
    first = client.post("/surveys", files={"file": ("a.csv", content)}, data=FORM, headers=bearer(tokens, "partner")).json()
    assert client.post(f"{first['href']}/return", json={"reason": "no places"}, headers=planner).status_code == 200
    queued = client.get("/jobs", headers=planner).json()["numberMatched"]
    other = {**bearer(tokens, "directorate"), "Tus-Resumable": "1.0.0"}
    said = ",".join(f"{name} {base64.b64encode(value).decode()}" for name, value in (("filename", b"b.csv"), ("layer", b"damage")))
    begun = client.post("/uploads", headers={**other, "Upload-Length": str(len(content)), "Upload-Metadata": said})
    assert begun.status_code == 201, begun.text
    part = {**other, "Upload-Offset": "0", "Content-Type": "application/offset+octet-stream"}
    last = client.patch(begun.headers["location"], content=content, headers=part)
    assert last.status_code == 409
    assert "a partner" not in last.text
    assert client.get("/jobs", headers=planner).json()["numberMatched"] == queued
    assert client.get(first["href"], headers=planner).json()["status"] == "returned"


def test_a_revoked_token_takes_its_sessions_along(client, study, tokens):
    """Who stole a token and signed in with it is out when it is revoked, not twelve hours later."""
    page = client.post("/sign-in", data={"token": tokens["planner"]}, follow_redirects=False)
    assert page.status_code == 303
    assert client.get("/surveys").status_code == 200
    with Store.open(study) as store:
        (known,) = accounts.tokens(store, "a planner")
        accounts.revoke(store, known.id, by="test", now=now())
    client.app.state.shelf.look_again()
    assert client.get("/surveys").status_code == 401


def test_names_of_hosts_are_given_with_commas(monkeypatch, study):
    monkeypatch.setenv("TARMIM_ALLOWED_HOSTS", "Tarmim.example.org, 192.0.2.7")
    assert settings_of(study=study).allowed_hosts == ("tarmim.example.org", "192.0.2.7")
    monkeypatch.setenv("TARMIM_ALLOWED_HOSTS", "")
    assert not settings_of(study=study).guarded
