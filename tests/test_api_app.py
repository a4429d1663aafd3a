"""The API on the demo city: the same numbers in every format, clear refusals, nothing that asks another host."""

import gzip
import io
import re
from pathlib import Path

import geopandas as gpd
import numpy as np
import openpyxl
import orjson
import pandas as pd
import pyogrio
import pytest
from fastapi.testclient import TestClient

from api.app import create_app
from api.errors import SettingsError
from api.settings import Settings
from api.state import load
from geo.errors import StudyError

DEMO = Path(__file__).parents[1] / "data" / "demo"
BASE = "http://127.0.0.1:8000"


@pytest.fixture(scope="module")
def held():
    return load(Settings(study=DEMO))


@pytest.fixture(scope="module")
def client(held):
    with TestClient(create_app(Settings(study=DEMO), held), base_url=BASE) as one:
        yield one


@pytest.fixture(scope="module")
def listed(client):
    return client.get("/priorities").json()


def test_health_says_which_run(client, held):
    assert client.get("/healthz").json() == {"status": "ok", "study": "demo", "run": held.run.id}


def test_json_holds_exactly_the_floats_of_the_run(listed, held):
    table = held.run.priorities
    assert [one["id"] for one in listed["items"]] == table["id"].tolist()
    for column in ("score", "score_low", "coverage", "people", "damage_index", "contribution_damage_index"):
        given = [np.nan if one[column] is None else one[column] for one in listed["items"]]
        np.testing.assert_array_equal(given, table[column].to_numpy(float))
    assert listed["total"] == listed["count"] == 36


@pytest.mark.parametrize("column", ["rank", "score", "coverage", "people", "damage_index", "road_debris_share_high"])
def test_every_format_holds_the_same_numbers(client, listed, column, tmp_path):
    expected = {one["id"]: one[column] for one in listed["items"]}

    def ask(name):
        return client.get("/priorities", params={"format": name, "lang": "en"})

    frames = {
        "csv": pd.read_csv(io.BytesIO(ask("csv").content)),
        "geojson": pd.DataFrame([one["properties"] for one in ask("geojson").json()["features"]]),
        "parquet": gpd.read_parquet(io.BytesIO(ask("parquet").content)),
    }
    (tmp_path / "list.gpkg").write_bytes(ask("gpkg").content)
    frames["gpkg"] = pyogrio.read_dataframe(tmp_path / "list.gpkg", layer="priorities")
    for name, frame in frames.items():
        found = {
            key: None if pd.isna(value) else value for key, value in zip(frame["id"], frame[column].astype(object), strict=True)
        }
        assert found == expected, name


def test_workbook_opens_right_to_left_in_arabic_with_the_same_scores(client, listed):
    book = openpyxl.load_workbook(io.BytesIO(client.get("/priorities?format=xlsx&lang=ar").content))
    assert book.sheetnames[:2] == ["الأولويات", "Priorities"]
    sheet = book.worksheets[0]
    assert sheet.sheet_view.rightToLeft
    assert not book.worksheets[1].sheet_view.rightToLeft
    heads = [cell.value for cell in sheet[3]]
    scores = [row[heads.index("الدرجة (0–100)")].value for row in sheet.iter_rows(min_row=4, max_row=3 + 33)]
    assert scores == pytest.approx([one["score"] for one in listed["items"][:33]], rel=1e-14)
    assert [row[heads.index("الدرجة (0–100)")].value for row in sheet.iter_rows(min_row=37, max_row=39)] == [None] * 3


def test_explanation_adds_up(client, listed):
    for one in listed["items"]:
        told = client.get(f"/priorities/{one['id']}").json()
        parts = [part["contribution"] for part in told["criteria"] if part["contribution"] is not None]
        if one["score"] is None:
            assert told["place"]["status"] == "not_assessable"
            assert "survey" in told["why"]["en"]
            assert "مسح" in told["why"]["ar"]
            assert told["would_be"] is None
        else:
            assert "it would be rank" in told["would_be"]["en"] or "No change" in told["would_be"]["en"]
            assert re.search("لكان|تغيّر", told["would_be"]["ar"])
            assert sum(parts) == pytest.approx(one["score"], abs=1e-9)
            assert f"{one['score']:.1f}" in told["why"]["en"]


def test_top_takes_ties_whole(client, held):
    assert client.get("/priorities?top=5").json()["count"] == 5
    assert client.get("/priorities?top=500").json()["count"] == 33  # what has no rank is in no head of a list
    from dataclasses import replace

    from api.routes.lists import cut
    from api.state import Held

    table = held.run.priorities.copy()
    table.loc[4, "rank"] = table.loc[5, "rank"] = 5
    head, more = cut(Held(held.city, replace(held.run, priorities=table)), None, 5)
    assert len(head) == 6
    assert more


def test_sector_list_is_ranked_by_its_own_sub_score(client, held):
    water = client.get("/priorities?sector=water").json()
    scores = [one["score"] for one in water["items"] if one["score"] is not None]
    assert scores == sorted(scores, reverse=True)
    best = held.run.priorities.set_index("id")["sector_water"]
    assert water["items"][0]["score"] == best.max()
    refused = client.get("/priorities?sector=telecom")
    assert refused.status_code == 404
    assert "water" in refused.json()["detail_en"]


def test_paging_gives_every_feature_once(client):
    url, seen, pages = "/layers/facilities?limit=37", [], 0
    while url and pages < 20:
        page = client.get(url).json()
        seen += [one["id"] for one in page["features"]]
        url = next((link["href"] for link in page["links"] if link["rel"] == "next"), None)
        pages += 1
    assert len(seen) == len(set(seen)) == page["numberMatched"] == 199


def test_box(client, held):
    west, south, east, north = 36.70, 34.72, 36.72, 34.74
    page = client.get(f"/layers/facilities?bbox={west},{south},{east},{north}&limit=1000").json()
    points = held.city.layers["facilities"].frame.to_crs("EPSG:4326").geometry
    inside = ((points.x >= west) & (points.x <= east) & (points.y >= south) & (points.y <= north)).sum()
    assert page["numberMatched"] == inside > 0


def test_layers_of_every_kind_can_be_read(client):
    for layer in client.get("/layers").json()["layers"]:
        page = client.get(f"{layer['href']}?limit=3")
        assert page.status_code == 200, layer
        assert page.json()["numberMatched"] == layer["features"]
        assert b"NaN" not in page.content
        if layer["rows_read"]:
            assert layer["rows_read"] == layer["rows_used"] + layer["rows_left_out"]


def test_left_out_says_why(client):
    told = client.get("/left-out?limit=5").json()
    counts = {(one["layer"], one["reason"]): one["rows"] for one in told["groups"]}
    assert counts["damage", "grade-not-recognised"] == 6
    assert counts["damage", "outside"] == 25
    rows = pd.read_csv(io.BytesIO(client.get("/left-out?format=csv").content))
    assert len(rows) == told["numberMatched"] == sum(counts.values())


def test_known_answers_are_not_sent_again(client):
    for path in (
        "/priorities",
        "/priorities?format=xlsx",
        "/layers/roads",
        "/map/data.json",
        "/runs/current",
        "/priorities/DEMO-06",
    ):
        first = client.get(path)
        again = client.get(path, headers={"If-None-Match": first.headers["etag"]})
        assert again.status_code == 304, path
        assert again.content == b""
    arabic = client.get("/priorities?format=xlsx", headers={"Accept-Language": "ar"})
    assert arabic.headers["etag"] != client.get("/priorities?format=xlsx", headers={"Accept-Language": "en"}).headers["etag"]


def test_large_answers_are_compressed(client):
    with client.stream("GET", "/priorities", headers={"Accept-Encoding": "gzip"}) as sent:
        raw = b"".join(sent.iter_raw())
        assert sent.headers["content-encoding"] == "gzip"
    assert len(raw) < len(gzip.decompress(raw)) / 3


@pytest.mark.parametrize(
    ("accept", "media"),
    [
        ("text/html,application/xhtml+xml,*/*;q=0.8", "text/html"),
        ("text/csv", "text/csv"),
        ("application/geo+json, application/json;q=0.5", "application/geo+json"),
        ("*/*", "application/json"),
    ],
)
def test_format_by_accept(client, accept, media):
    assert client.get("/priorities", headers={"Accept": accept}).headers["content-type"].startswith(media)
    assert client.get("/priorities", headers={"Accept": "image/png"}).status_code == 406


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/priorities?tpo=5", 422),
        ("/priorities?top=0", 422),
        ("/priorities?top=ten", 422),
        ("/priorities?format=docx", 422),
        ("/priorities?lang=fr", 422),
        ("/priorities/DEMO-99", 404),
        ("/priorities/" + "x" * 500, 422),
        ("/priorities/a%00b", 404),
        ("/priorities/..%2F..%2Fetc%2Fpasswd", 404),
        ("/layers/nope", 404),
        ("/layers/..%2f..%2fstudy.toml", 404),
        ("/layers/roads?limit=1000000000", 422),
        ("/layers/roads?limit=-1", 422),
        ("/layers/roads?offset=-1", 422),
        ("/layers/roads?offset=99999999999999999999", 422),
        ("/layers/roads?bbox=1,2,3", 422),
        ("/layers/roads?bbox=1,2,3,4,5", 422),
        ("/layers/roads?bbox=nan,nan,nan,nan", 422),
        ("/layers/roads?bbox=inf,0,1,1", 422),
        ("/layers/roads?bbox=37,35,36,34", 422),
        ("/map/layers/population.json", 404),
        ("/assets/../app.py", 404),
        ("/assets/%2e%2e/page.py", 404),
        ("/nothing", 404),
    ],
)
def test_refusals_are_problems_in_both_languages(client, path, status):
    refused = client.get(path)
    assert refused.status_code == status
    assert refused.headers["content-type"] == "application/problem+json"
    told = refused.json()
    assert told["status"] == status
    assert told["title_ar"] != told["title_en"]
    for text in (refused.text,):
        assert "Traceback" not in text
        assert str(DEMO) not in text
    if status == 422:
        assert re.search(r"[\u0600-\u06ff]", told["detail_ar"])


def test_language_of_a_refusal(client):
    assert client.get("/nothing", headers={"Accept-Language": "ar"}).json()["title"] == "لا شيء في هذا العنوان"
    assert client.get("/nothing", headers={"Accept-Language": "en;q=0.2, ar;q=0.1"}).json()["title"].startswith("There is nothing")


def test_an_unexpected_fault_tells_nothing_of_the_inside(held, monkeypatch):
    import api.routes.lists

    def broken(*_):
        raise ZeroDivisionError("/secret/path")

    monkeypatch.setattr(api.routes.lists, "cut", broken)
    with TestClient(create_app(Settings(study=DEMO), held), base_url=BASE, raise_server_exceptions=False) as one:
        failed = one.get("/priorities")
    assert failed.status_code == 500
    assert failed.json()["title_ar"].startswith("تعطلت")
    assert "secret" not in failed.text


@pytest.mark.parametrize("host", ["example.org", "127.0.0.1.example.org", "0.0.0.0", "192.168.1.4:8000", ""])  # noqa: S104
def test_other_hosts_get_nothing(client, host):
    assert client.get("/priorities", headers={"Host": host}).status_code == 400


@pytest.mark.parametrize("host", ["localhost:8000", "127.0.0.1", "[::1]:8000"])
def test_loopback_hosts_are_answered(client, host):
    assert client.get("/healthz", headers={"Host": host}).status_code == 200


def test_it_does_not_listen_to_the_world_before_somebody_can_let_people_in(held):
    with (
        pytest.raises(SettingsError, match="no administrator yet"),
        TestClient(create_app(Settings(study=DEMO, host="192.0.2.1"), held)),
    ):
        pass


def test_a_faulty_study_stops_the_start_with_its_report(tmp_path):
    with pytest.raises(StudyError, match="There is no file"), TestClient(create_app(Settings(study=tmp_path))):
        pass


def test_pages_carry_a_strict_policy_and_ask_no_other_host(client):
    for path in ("/map?lang=ar", "/map?lang=en", "/priorities?format=html&lang=ar", "/priorities?format=html&sector=water"):
        page = client.get(path)
        policy = page.headers["content-security-policy"]
        assert "default-src 'self'" in policy
        assert "unsafe" not in policy
        assert not re.findall(r"""(?:src|href|url)\s*=?\s*["'(]?\s*(?:https?:)?//""", page.text), path
        assert page.headers["x-content-type-options"] == "nosniff"
    first, second = (client.get("/map").headers["content-security-policy"] for _ in range(2))
    assert first != second  # a nonce is used once


def test_assets_may_be_kept_for_ever_when_their_address_holds_their_hash(client):
    page = client.get("/map?lang=en").text
    path = re.search(r'"(/assets/tarmim-map\.js\?v=\w+)"', page).group(1)
    assert "immutable" in client.get(path).headers["cache-control"]


def test_entrance_goes_to_the_map_in_the_reader_s_language(client):
    assert client.get("/", headers={"Accept-Language": "en"}, follow_redirects=False).headers["location"] == "/map?lang=en"
    assert client.get("/", headers={"Accept-Language": "fr"}, follow_redirects=False).headers["location"] == "/map?lang=ar"


def test_sector_pages_link_to_their_own_downloads(client):
    page = client.get("/priorities?format=html&lang=ar&sector=water").text
    assert "format=xlsx&amp;lang=ar&amp;sector=water" in page
    assert len(page.encode()) < 100_000


def test_openapi_describes_every_route_with_examples(client):
    described = client.get("/openapi.json").json()
    assert set(described["paths"]) >= {
        "/healthz",
        "/layers",
        "/layers/{layer}",
        "/priorities",
        "/priorities/{id}",
        "/map",
        "/left-out",
    }
    examples = [
        one
        for path in described["paths"].values()
        for way in path.values()
        for one in way.get("parameters", ())
        if one["in"] == "path"
    ]
    assert all(one["schema"].get("examples") for one in examples)
    assert orjson.dumps(described).count(b"cdn") == 0


def test_survey_text_is_text_in_every_answer(tmp_path):
    """Names that are scripts, templates or formulas come out as the characters they are."""
    import shutil

    study = tmp_path / "demo"
    shutil.copytree(DEMO, study)
    nasty = "<script>alert(1)</script>{{7*191919}}\"'`=1+1"
    cities = study / "neighbourhoods.geojson"
    cities.write_text(cities.read_text(encoding="utf-8").replace('"Al-Qusour"', orjson.dumps(nasty).decode()), encoding="utf-8")
    with TestClient(create_app(Settings(study=study)), base_url=BASE) as one:
        assert nasty in [item["name_en"] for item in one.get("/priorities").json()["items"]]
        for path in ("/priorities?format=html&lang=en", "/map?lang=en", "/map/data.json", "/priorities?format=csv"):
            answer = one.get(path)
            assert "1343433" not in answer.text
            if answer.headers["content-type"].startswith("text/html"):
                assert "<script>alert" not in answer.text
