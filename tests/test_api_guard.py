"""What holds for every answer of the API, and slips that must not pass for an answer."""

import asyncio
import json
import re
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

import api.routes.lists
from api.app import create_app
from api.settings import Settings
from api.state import load
from geo.errors import StudyError

DEMO = Path(__file__).parents[1] / "data" / "demo"
BASE = "http://127.0.0.1:8000"
ARABIC = re.compile(r"[\u0600-\u06ff]")


@pytest.fixture(scope="module")
def held():
    return load(Settings(study=DEMO))


@pytest.fixture(scope="module")
def client(held):
    with TestClient(create_app(Settings(study=DEMO), held), base_url=BASE) as one:
        yield one


def asked(app, path="/healthz", *, client=("127.0.0.1", 5000), kind="http"):
    """Status of the answer to a request that comes from an address."""
    sent = []

    async def send(one):
        sent.append(one)

    async def receive():
        return {"type": f"{kind}.startup"} if kind == "lifespan" else {"type": "http.request", "body": b"", "more_body": False}

    scope = {
        "type": kind, "http_version": "1.1", "method": "GET", "path": path, "raw_path": path.encode(), "query_string": b"",
        "headers": [(b"host", b"127.0.0.1")], "client": client, "server": ("127.0.0.1", 8000), "scheme": "http",
        "asgi": {"version": "3.0"}, "state": {},
    }  # fmt: skip
    try:
        asyncio.run(app(scope, receive, send))
    except StudyError:
        assert kind == "lifespan"
    return sent[0]


@pytest.mark.parametrize(
    "path", ["/healthz", "/priorities", "/priorities?format=xlsx", "/layers/roads", "/map", "/assets/tarmim.css"]
)
def test_head_is_get_without_the_body(client, path):
    head, whole = client.head(path), client.get(path)
    assert head.status_code == whole.status_code == 200
    assert head.content == b""
    same = ["content-type", "etag", "content-disposition"]
    if path != "/map":  # its nonce is another each time, and so is its compressed length
        same.append("content-length")
    for name in same:
        assert head.headers.get(name) == whole.headers.get(name), name


def test_other_methods_are_told_which_are_served(client):
    for method in ("POST", "PUT", "PATCH", "DELETE", "OPTIONS"):
        refused = client.request(method, "/priorities")
        assert refused.status_code == 405
        assert refused.headers["allow"] == "GET, HEAD"
        assert refused.json()["status"] == 405


@pytest.mark.parametrize(("address", "status"), [("127.0.0.1", 200), ("::1", 200), ("192.168.1.9", 403), ("2001:db8::1", 403)])
def test_another_machine_gets_nothing_even_under_a_loopback_name(client, address, status):
    """`uvicorn --host 0.0.0.0` knows nothing of our settings, and a Host header is whatever the client writes."""
    assert asked(client.app, client=(address, 5000))["status"] == status


@pytest.mark.parametrize(
    "host", ["evil.example@127.0.0.1", "127.0.0.1/x", "127.0.0.1#", "[::1", "localhost:port", "127.0.0.1.evil.example"]
)
def test_a_host_that_is_no_name_and_port_gets_nothing(client, host):
    assert client.get("/healthz", headers={"Host": host}).status_code == 400


def test_answers_of_every_kind_carry_the_headers(held, monkeypatch):
    monkeypatch.setattr(api.routes.lists, "cut", lambda *_: 1 / 0)
    with TestClient(create_app(Settings(study=DEMO), held), base_url=BASE) as client:
        answers = {
            500: client.get("/priorities"),
            404: client.get("/nothing"),
            405: client.post("/map"),
            422: client.get("/layers/roads?limit=0"),
            400: client.get("/map", headers={"Host": "example.org"}),
            200: client.get("/assets/tarmim.css"),
            307: client.get("/", follow_redirects=False),
        }
    for status, answer in answers.items():
        assert answer.status_code == status
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["x-frame-options"] == "DENY"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert "default-src 'self'" in answer.headers["content-security-policy"], status
        assert "access-control-allow-origin" not in answer.headers


def test_a_faulty_study_is_told_in_both_languages_and_without_a_traceback(tmp_path):
    (tmp_path / "study.toml").write_text("[study]\nid = 'x'\n", encoding="utf-8")
    failed = asked(create_app(Settings(study=tmp_path)), kind="lifespan")
    assert failed["type"] == "lifespan.startup.failed"
    assert "Traceback" not in failed["message"]
    assert "This entry is needed." in failed["message"]
    assert ARABIC.search(failed["message"])


@pytest.mark.parametrize(
    ("query", "english"),
    [
        ("/priorities?top=0", "At least 1."),
        ("/priorities?top=ten", "A whole number is expected."),
        ("/priorities?format=docx", "Known: json, csv, xlsx, geojson, gpkg, parquet, kml, pdf, html."),
        ("/priorities?top=1&top=2", "'top' is given twice."),
        ("/priorities?tpo=1", "Known: format, top, sector, lang, run, district, budget_line, bom."),
        ("/layers/roads?bbox=" + "1" * 300, "At most 200 characters."),
        ("/layers/roads?limit=10001", "At most 10,000."),
    ],
)
def test_a_refusal_says_what_is_expected_in_words(client, query, english):
    told = client.get(query).json()
    assert told["status"] == 422
    assert english in told["detail_en"]
    assert ARABIC.search(told["detail_ar"])
    assert not re.search(r"int_parsing|\bge\b|\ble\b|literal_error", told["detail_ar"])


@pytest.mark.parametrize(
    "bbox", ["1_0,2,3_0,4", "1e300,0,1e301,1", "٣٦,٣٤,٣٧,٣٥", "36,34,181,35", "36,34,37,91", "36,34,37,", " , , , ", "36;34;37;35"]
)
def test_a_box_is_four_plain_numbers_in_degrees(client, bbox):
    assert client.get("/layers/roads", params={"bbox": bbox}).status_code == 422


@pytest.mark.parametrize(
    ("accept", "media"), [("text/*", "text/html"), ("application/*", "application/json"), ("text/csv;q=0.1, image/*", "text/csv")]
)
def test_a_range_of_formats_is_accepted(client, accept, media):
    assert client.get("/priorities", headers={"Accept": accept}).headers["content-type"].startswith(media)


def test_validators_are_compared_weakly(client):
    tag = client.get("/layers/roads").headers["etag"]
    for given in (tag, tag.removeprefix("W/"), f'"other", {tag}'):
        assert client.get("/layers/roads", headers={"If-None-Match": given}).status_code == 304


@pytest.mark.parametrize(("query", "top"), [("", 3), ("&sector=water", 3), ("&sector=health", 1)])
def test_page_lists_what_the_table_lists(client, query, top):
    """The head of a list is the same in HTML as in JSON, and its links keep it."""
    listed = client.get(f"/priorities?format=json&top={top}{query}").json()
    page = client.get(f"/priorities?format=html&lang=en&top={top}{query}").text
    assert page.count("<tr") - 1 == listed["count"] < 33
    assert f"format=csv&amp;lang=en{query.replace('&', '&amp;')}&amp;top={top}" in page
    for one in listed["items"]:
        assert one["name_en"] in page


def test_assets_are_kept_for_ever_only_under_their_own_hash(client):
    assert "immutable" not in client.get("/assets/tarmim.css?v=000000000000").headers["cache-control"]
    assert (
        "cache-control" not in client.get("/assets/none.css?v=1").headers or client.get("/assets/none.css?v=1").status_code == 404
    )


def test_no_address_is_mended_by_a_redirect(client):
    """A redirect would repeat the Host header that somebody sent."""
    assert client.get("/map/", follow_redirects=False).status_code == 404


def test_codes_with_a_slash_can_be_asked_for(tmp_path):
    import shutil

    study = tmp_path / "demo"
    shutil.copytree(DEMO, study)
    for name in ("neighbourhoods.geojson", "population.csv"):
        path = study / name
        path.write_text(path.read_text(encoding="utf-8").replace("DEMO-06", "DEMO/06"), encoding="utf-8")
    with TestClient(create_app(Settings(study=study)), base_url=BASE) as client:
        assert client.get("/priorities/DEMO%2F06").json()["place"]["id"] == "DEMO/06"
        assert client.get("/priorities/DEMO/06").json()["place"]["id"] == "DEMO/06"
        assert client.get("/priorities/..%2F..%2Fetc%2Fpasswd").status_code == 404


def test_every_number_is_json(client):
    for path in ("/priorities", "/layers/priorities", "/left-out", "/runs/current", "/map/data.json"):
        json.loads(client.get(path).text, parse_constant=pytest.fail)
