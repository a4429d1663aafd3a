"""What the operator sees: readiness, counts, a line for each request."""

from __future__ import annotations

import json
import logging
import re

import pytest
from fastapi.testclient import TestClient

from api.app import create_app
from api.operations import JsonLines, to_json_lines
from api.settings import Settings
from tests.test_api_doors import BASE, bearer, held, study, tokens

__all__ = ["held", "study", "tokens"]


@pytest.fixture
def client(study, held, tokens):
    with TestClient(create_app(Settings(study=study, sign_in=True, work=False), held), base_url=BASE) as one:
        yield one


def test_ready_means_that_the_catalogue_answers(client, study):
    assert client.get("/readyz").json()["status"] == "ok", "also where nothing is published yet"
    client.app.state.shelf.close()
    (study / "catalogue.sqlite").write_bytes(b"no database" * 1000)
    for name in ("catalogue.sqlite-wal", "catalogue.sqlite-shm"):
        (study / name).unlink(missing_ok=True)
    assert client.get("/readyz").status_code == 503


def test_what_a_client_makes_up_is_no_new_row(client, tokens):
    client.get("/nothing-of-that-name")
    client.request("BREW", "/readyz")
    text = client.get("/metrics", headers=bearer(tokens, "admin")).text
    assert 'tarmim_requests_total{method="GET",route="-",status="404"} 1.0' in text
    assert 'method="other"' in text
    assert "BREW" not in text
    assert "nothing-of-that-name" not in text


def test_a_line_names_the_person_and_never_the_token(client, tokens, caplog):
    with caplog.at_level(logging.INFO, "tarmim.access"):
        answer = client.get("/surveys?limit=7", headers=bearer(tokens, "partner"))
    (line,) = [json.loads(JsonLines().format(one)) for one in caplog.records if one.name == "tarmim.access"]
    assert {name: line[name] for name in ("route", "method", "status", "who")} == {
        "route": "surveys", "method": "GET", "status": 200, "who": "a partner",
    }  # fmt: skip
    assert line["request"] == answer.headers["x-request-id"]
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


def test_a_refused_request_has_a_number_too(client):
    assert client.get("/readyz", headers={"Host": "example.org"}).headers["x-request-id"]


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
