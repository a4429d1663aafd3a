"""The lists: the same numbers in every format, cut by district and budget line, of every run that is kept, and what moved between two."""

import datetime
import io
import re
import subprocess
from shutil import which

import geopandas as gpd
import numpy as np
import openpyxl
import pandas as pd
import pyogrio
import pytest
from fastapi.testclient import TestClient

from api.app import create_app
from api.routes.lists import side_of_line
from api.settings import Settings
from api.state import load
from geo.pipeline import assess, open_study, read_city
from geo.store import Store
from tests.conftest import write_town

BASE = "http://127.0.0.1:8000"
NOW = datetime.datetime(2026, 11, 1, tzinfo=datetime.UTC)
COLUMNS = ["rank", "score", "score_low", "coverage", "people", "damage_index", "contribution_damage_index", "chance_first"]


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """The town in a store with two runs: one under the scheme `rapid`, published, then one under its own."""
    folder = write_town(tmp_path_factory.mktemp("town"))
    with Store.open(folder) as store:
        for days, scheme in enumerate(("rapid", None)):
            opened, chosen = open_study(folder, scheme)
            made = assess(read_city(opened), chosen)
            store.add_run(made, NOW + datetime.timedelta(days=days))
            if scheme:
                store.publish_run(made.id, by="planner", now=NOW)
    return folder


@pytest.fixture(scope="module")
def client(study):
    chosen = Settings(study=study)
    with TestClient(create_app(chosen, load(chosen)), base_url=BASE) as one:
        yield one


@pytest.fixture(scope="module")
def shown(client):
    return client.app.state.shelf.current().run


@pytest.fixture(scope="module")
def rapid(client, study):
    published = next(one for one in client.get("/runs").json()["runs"] if one["published_at"])
    with Store.open(study) as store:
        return store.run(published["id"])


def ask(client, name, **more):
    sent = client.get("/priorities", params={"format": name, "lang": "en", **more})
    assert sent.status_code == 200, sent.text
    return sent


def from_kml(content):
    from xml.etree.ElementTree import fromstring

    space = {"k": "http://www.opengis.net/kml/2.2"}
    rows = [
        {one.get("name"): one.findtext("k:value", namespaces=space) for one in place.iterfind(".//k:Data", space)}
        for place in fromstring(content).iterfind(".//k:Placemark", space)  # noqa: S314  # our own
    ]
    return pd.DataFrame(rows).apply(lambda column: pd.to_numeric(column, errors="coerce") if column.name in COLUMNS else column)


def from_xlsx(content, columns):
    sheet = openpyxl.load_workbook(io.BytesIO(content))["Priorities"]
    heads = {cell.value: n for n, cell in enumerate(sheet[3])}
    rows = list(sheet.iter_rows(min_row=4, values_only=True))
    return pd.DataFrame({column: [row[heads[head]] for row in rows] for column, head in columns.items()})


READERS = {
    "json": lambda sent: pd.DataFrame(sent.json()["items"]),
    "csv": lambda sent: pd.read_csv(io.BytesIO(sent.content)),
    "geojson": lambda sent: pd.DataFrame([one["properties"] for one in sent.json()["features"]]),
    "parquet": lambda sent: gpd.read_parquet(io.BytesIO(sent.content)),
    "kml": lambda sent: from_kml(sent.content),
}


@pytest.mark.parametrize("name", [*READERS, "gpkg"])
@pytest.mark.parametrize("which_run", ["latest", "published"])
def test_every_format_holds_the_numbers_of_the_run(client, shown, rapid, name, which_run, tmp_path):
    table = (shown if which_run == "latest" else rapid).priorities.set_index("id")
    sent = ask(client, name, run=which_run)
    if name == "gpkg":
        (tmp_path / "list.gpkg").write_bytes(sent.content)
        frame = pyogrio.read_dataframe(tmp_path / "list.gpkg", layer="priorities")
    else:
        frame = READERS[name](sent)
    frame = frame.set_index("id")
    assert frame.index.tolist() == table.index.tolist()
    for column in (one for one in COLUMNS if one in table):
        np.testing.assert_array_equal(
            frame[column].to_numpy(dtype=float, na_value=np.nan), table[column].to_numpy(dtype=float, na_value=np.nan), column
        )


def test_the_workbook_holds_them_too(client, shown):
    frame = from_xlsx(ask(client, "xlsx").content, {"id": "Code", "rank": "Rank", "score": "Score (0–100)"})
    table = shown.priorities
    assert frame["id"].tolist() == table["id"].tolist()
    np.testing.assert_allclose(frame["score"].to_numpy(float), table["score"].to_numpy(float), rtol=1e-14)


def test_page_and_pdf_show_them_rounded(client, shown, tmp_path):
    texts = {"html": ask(client, "html").text}
    sent = ask(client, "pdf")
    assert sent.headers["content-type"] == "application/pdf"
    if which("pdftotext"):
        (tmp_path / "list.pdf").write_bytes(sent.content)
        texts["pdf"] = subprocess.run(["pdftotext", "-layout", tmp_path / "list.pdf", "-"], capture_output=True, text=True).stdout
    for name, text in texts.items():
        for _, row in shown.priorities[shown.priorities["rank"].notna()].iterrows():
            assert row["name_en"] in text, name
            assert re.search(rf"\b{row['score']:.1f}\b", text), name


def test_the_pdf_has_its_own_arabic_letters(client, tmp_path):
    if which("pdffonts") is None:
        pytest.skip("pdffonts (poppler-utils) is not installed")
    (tmp_path / "list.pdf").write_bytes(ask(client, "pdf", lang="ar").content)
    fonts = subprocess.run(["pdffonts", tmp_path / "list.pdf"], capture_output=True, text=True).stdout
    assert "Cairo-Arabic" in fonts
    assert "DejaVu" not in fonts


def test_the_pdf_fetches_nothing(monkeypatch):
    """A page that names other hosts and files: they are refused, not asked."""
    import socket

    from maps.pdf import list_pdf

    def nobody(*_):
        raise AssertionError("somebody was asked")

    monkeypatch.setattr(socket.socket, "connect", nobody)
    page = '<link rel="stylesheet" href="http://example.org/a.css"><img src="file:///etc/passwd"><img src="http://assets.invalid/../x">'
    assert list_pdf(f"<html><body>{page}<p>نص</p></body></html>").startswith(b"%PDF")


def test_without_weasyprint_it_says_so(client, monkeypatch):
    import maps.pdf

    monkeypatch.setattr(maps.pdf, "find_spec", lambda _: None)
    sent = client.get("/priorities?format=pdf&top=2&lang=ar")
    assert sent.status_code == 501
    assert "WeasyPrint" in sent.json()["detail_ar"]


def test_csv_with_and_without_a_byte_order_mark(client):
    with_mark, without = ask(client, "csv").content, ask(client, "csv", bom="false").content
    assert with_mark == b"\xef\xbb\xbf" + without


def test_district(client, shown):
    items = client.get("/priorities", params={"district": "North"}).json()["items"]
    assert {one["id"] for one in items} == {"C", "D"}
    ranks = shown.priorities.set_index("id")["rank"]
    assert {one["id"]: one["rank"] for one in items if one["rank"]} == {
        key: ranks[key] for key in ("C", "D") if not pd.isna(ranks[key])
    }
    refused = client.get("/priorities?district=West")
    assert refused.status_code == 404
    assert "North" in refused.json()["detail_en"]


def test_budget_line_parts_what_is_ranked():
    """Five places, a line after the second; sure is 95 of 100 draws. By hand: two are sure, two in between or behind, one unranked."""
    from types import SimpleNamespace

    table = pd.DataFrame(
        {"rank": pd.array([1, 2, 3, 4, None], dtype="Int64"), "chance_top_2": pd.array([1.0, 0.6, 0.4, 0.0, None], dtype="Float64")}
    )
    run = SimpleNamespace(info={"scheme": {"confidence": {"cutoff": 2, "sure": 0.95}}})
    assert side_of_line(table, run).tolist()[:4] == ["above", "across", "across", "below"]
    assert pd.isna(side_of_line(table, run).iloc[4])
    plain = side_of_line(table.drop(columns="chance_top_2"), run)
    assert plain.tolist()[:4] == ["above", "above", "below", "below"]


def test_sides_of_the_line_make_the_whole_list(client, shown):
    parts = [client.get("/priorities", params={"budget_line": side}).json()["items"] for side in ("above", "across", "below")]
    ids = [one["id"] for part in parts for one in part]
    assert sorted(ids) == sorted(shown.priorities.loc[shown.priorities["rank"].notna(), "id"])


def test_runs_and_what_went_into_them(client, shown, rapid, study):
    listed = client.get("/runs").json()
    assert [one["id"] for one in listed["runs"]] == [shown.id, rapid.id]
    assert [one["shown"] for one in listed["runs"]] == [True, False]
    assert client.get(f"/runs/{rapid.id}").json() == rapid.info
    import hashlib

    for one in listed["runs"]:
        for name, sha256 in one["files"].items():
            assert hashlib.sha256((study / "runs" / one["id"] / name).read_bytes()).hexdigest() == sha256
    assert client.get("/runs/published", follow_redirects=False).headers["location"] == f"/runs/{rapid.id}"
    assert client.get("/runs/latest", follow_redirects=False).headers["location"] == f"/runs/{shown.id}"
    for name in ("nope", "0" * 16, "..%2f..%2fstudy.toml", "a" * 64):
        refused = client.get(f"/runs/{name}")
        assert refused.status_code == 404, name
        assert client.get("/priorities", params={"run": name}).status_code == 404


def test_an_older_run_has_its_own_explanations_and_pages(client, rapid):
    first = rapid.priorities.iloc[0]
    told = client.get(f"/priorities/{first['id']}", params={"run": rapid.id}).json()
    assert told["run"] == rapid.id
    assert told["place"]["score"] == first["score"]
    page = ask(client, "html", run=rapid.id).text
    assert f"run={rapid.id}" in page
    assert rapid.id in page


def test_left_out_rows_and_works_of_an_older_run(client, rapid, shown):
    assert client.get("/left-out", params={"run": rapid.id}).json()["run"] == rapid.id
    assert client.get("/left-out").json()["run"] == shown.id
    told = client.get("/works/roads", params={"run": rapid.id})
    if "road_works" in rapid.tables:
        assert told.json()["run"] == rapid.id
        assert told.json()["count"] == len(rapid.tables["road_works"])
    else:
        assert told.status_code == 404


def test_the_difference_is_the_one_of_the_command(client, shown, rapid):
    from geo import difference

    told = client.get(f"/runs/{rapid.id}/difference/{shown.id}").json()
    found = difference.compare(rapid, shown)
    assert [one["id"] for one in told["items"]] == found.table.index.tolist()
    for one in told["items"]:
        parts = sum(one[part] for part in (*difference.PARTS, difference.UNKNOWN))
        assert parts == pytest.approx(one["change"]) == found.table.loc[one["id"], "change"]
    assert len(told["items"]) + len(told["apart"]) <= 4
    rows = pd.read_csv(io.BytesIO(client.get(f"/runs/{rapid.id}/difference/latest?format=csv").content))
    assert rows["change"].tolist() == [one["change"] for one in told["items"]]
    nothing = client.get("/runs/latest/difference/latest").json()
    assert all(one["change"] == 0 for one in nothing["items"])


def test_known_answers_of_runs_are_not_sent_again(client, rapid):
    for path in (
        "/runs",
        f"/runs/{rapid.id}",
        f"/runs/{rapid.id}/difference/latest",
        "/priorities?format=kml",
        "/priorities?format=pdf",
        "/priorities?run=published",
        "/priorities?budget_line=above",
        "/ogc",
        "/ogc/collections",
        "/ogc/collections/roads/items",
        "/ogc/collections/priorities/scores",
        "/ogc/collections/priorities/tiles",
    ):
        first = client.get(path)
        assert first.status_code == 200, path
        assert client.get(path, headers={"If-None-Match": first.headers["etag"]}).status_code == 304, path
    latest, published = (client.get(f"/priorities?run={one}").headers["etag"] for one in ("latest", "published"))
    assert latest != published


def test_survey_text_in_kml_is_text(tmp_path):
    from geo.kml import kml_bytes
    from tests.conftest import CRS, A

    nasty = "<script>&]]>\x00\x0b\u2068{{7*7}}"
    table = gpd.GeoDataFrame(
        {"id": ["1"], "rank": pd.array([1], dtype="Int64"), "name_ar": [nasty], "name_en": [nasty]}, geometry=[A], crs=CRS
    )
    content = kml_bytes(table, title=nasty, lang="ar")
    assert from_kml(content)["name_ar"].tolist() == ["<script>&]]>{{7*7}}"]
    (tmp_path / "list.kml").write_bytes(content)
    read = pyogrio.read_dataframe(tmp_path / "list.kml")
    assert read.crs.to_epsg() == 4326
    np.testing.assert_allclose(read.total_bounds, table.to_crs(4326).total_bounds, atol=1e-6)
