"""What the operator sees: readiness, counts, lines of the log; and the doors that stay shut before anything is read."""

from __future__ import annotations

import datetime
import json
import logging
import re
import shutil
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from api.app import create_app
from api.jobs import now
from api.settings import Settings
from api.state import load
from api.watch import JsonLines, to_json_lines
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


# ------------------------------------------------------------------------------------------------------------------- what is seen


def test_ready_means_that_the_catalogue_answers(client, study):
    assert client.get("/readyz").json() == {"status": "ready"}
    client.app.state.shelf.close()
    (study / "catalogue.sqlite").write_bytes(b"no database" * 1000)
    answer = client.get("/readyz")
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "5"


def test_health_is_that_of_the_process_whatever_is_published(client):
    """A supervisor that asks for it would else end a service whose first run is not published yet."""
    assert client.get("/healthz").status_code == 200


def test_counts_are_the_administrators(client, tokens):
    assert client.get("/metrics").status_code == 401
    assert client.get("/metrics", headers=bearer(tokens, "planner")).status_code == 403
    client.get("/readyz")
    client.get("/priorities/../nothing-of-that-name")
    client.request("BREW", "/readyz")
    text = client.get("/metrics", headers=bearer(tokens, "admin")).text
    assert 'tarmim_requests_total{method="GET",route="readyz",status="200"} 1.0' in text
    assert 'tarmim_requests_total{method="GET",route="-",status="404"} 1.0' in text
    assert 'method="other"' in text, "a method that somebody makes up is no new row"
    assert "nothing-of-that-name" not in text
    assert 'tarmim_jobs{state="queued"} 0.0' in text
    assert 'tarmim_surveys{status="received"} 0.0' in text


def test_a_line_names_the_person_and_never_the_token(client, tokens, caplog):
    with caplog.at_level(logging.INFO, "tarmim.access"):
        answer = client.get("/surveys?limit=7", headers=bearer(tokens, "partner"))
    (line,) = [json.loads(JsonLines().format(one)) for one in caplog.records if one.name == "tarmim.access"]
    assert {name: line[name] for name in ("route", "method", "status", "person", "role")} == {
        "route": "surveys", "method": "GET", "status": 200, "person": "a partner", "role": "partner",
    }  # fmt: skip
    assert line["request"] == answer.headers["x-request-id"]
    assert line["bytes"] == len(answer.content)
    assert line["ms"] > 0
    assert tokens["partner"] not in json.dumps(line)
    assert "limit" not in json.dumps(line)


@pytest.mark.parametrize(
    ("given", "kept"), [("0f3a-77.b_c9", True), ("short", False), ("x" * 65, False), ('a"b c{d}efgh', False), ("\\n" * 8, False)]
)
def test_a_number_of_a_proxy_is_kept_if_it_is_one(client, given, kept):
    number = client.get("/readyz", headers={"X-Request-ID": given}).headers["x-request-id"]
    assert (number == given) is kept
    assert kept or re.fullmatch("[0-9a-f]{16}", number)


def test_a_fault_is_one_line_with_its_trace():
    try:
        1 / 0  # noqa: B018
    except ZeroDivisionError as error:
        record = logging.LogRecord("tarmim.api", logging.ERROR, "", 0, "fault\nat %r", ("/x\n{}",), (type(error), error, None))
    line = JsonLines().format(record)
    assert "\n" not in line
    assert "ZeroDivisionError" in json.loads(line)["trace"]


def test_json_lines_go_to_standard_error(capsys):
    before = logging.root.handlers[:], logging.root.level
    try:
        to_json_lines()
        logging.getLogger("tarmim.api").warning("حمص")
        assert json.loads(capsys.readouterr().err)["message"] == "حمص"
    finally:
        logging.root.handlers[:], logging.root.level = before


# --------------------------------------------------------------------------------------------------------------- what stays shut


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
