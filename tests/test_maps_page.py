"""The pages in a real browser: what is shown is what the run says, nobody else is asked, text stays text, a keyboard is enough."""

from __future__ import annotations

import gzip
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import quote, urlsplit

import pandas as pd
import pytest

from geo.errors import UnknownNameError
from geo.messages import LANGS, Lang, catalogue, gettext
from geo.run import Run, for_sector
from maps import page as pages
from maps import vendor
from maps.figures import amount, figure, on_screen, rank_figure
from maps.page import FILE_BYTES, index_page, list_page, map_page, shell, single_file
from maps.payload import VERTEX_CAP, city_payload, encode, layer_payload
from maps.words import COUNTED, WORDS
from tests.test_maps_payload import CRITERIA, EVIL, MEASURES, make_layers, make_run

pytestmark = pytest.mark.browser
CHROMIUM = Path("/usr/bin/chromium")
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
)
NONCE = "bm9uY2U"
POLICY = (
    f"default-src 'self'; script-src 'self' 'nonce-{NONCE}'; style-src 'self'; "
    "img-src 'self' data:; object-src 'none'; base-uri 'none'"
)
AXE = Path(__file__).parent / "vendor" / "axe.min.js"
TYPES = {".js": "text/javascript", ".css": "text/css", ".woff2": "font/woff2", ".json": "application/json"}


# ---------------------------------------------------------------------------------------------------------- server and browser


class Site:
    """A run served as the API serves it, with the strict policy."""

    def __init__(self) -> None:
        self.answers: dict[str, tuple[str, bytes]] = {}
        self.asked: list[str] = []
        site = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                path = urlsplit(self.path).path
                site.asked.append(path)
                kind, body = site.answer(path)
                self.send_response(200 if body else 404)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.send_header("Content-Security-Policy", POLICY)
                self.send_header("X-Content-Type-Options", "nosniff")
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Quiet."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.thread = Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def answer(self, path: str) -> tuple[str, bytes]:
        if path.startswith("/static/"):
            return TYPES[Path(path).suffix], pages.static(path.removeprefix("/static/"))
        return self.answers.get(path, ("text/plain", b""))

    def show(self, place: str, run: Run, layers: dict[str, Any]) -> None:
        """Pages, data and layers of a run under `/place/`."""
        for lang in LANGS:
            html = map_page(
                lang=lang,
                title=run.info["study"]["name"],
                data_url=f"/{place}/city.json",
                layer_urls={name: f"/{place}/{name}.json" for name in layers},
                assets_url="/static",
                nonce=NONCE,
                run=run.id,
                generated=True,
                list_url=f"/{place}/list/{{lang}}",
            )
            table = list_page(
                run,
                lang=lang,
                assets_url="/static",
                map_url=f"/{place}/map/{lang}",
                downloads={"XLSX": "x.xlsx", "CSV": "x.csv", "GeoJSON": "x.geojson", "GPKG": "x.gpkg"},
                language_urls={code: f"/{place}/list/{code}" for code in LANGS},
                sector_urls={"": f"/{place}/list/{lang}", "health": f"/{place}/list/{lang}?sector=health"},
            )
            self.answers[f"/{place}/map/{lang}"] = ("text/html; charset=utf-8", html.encode())
            self.answers[f"/{place}/list/{lang}"] = ("text/html; charset=utf-8", table.encode())
        self.answers[f"/{place}/city.json"] = ("application/json", encode(city_payload(run)))
        for name, frame in layers.items():
            cap = 5000 if name == "roads" else VERTEX_CAP
            self.answers[f"/{place}/{name}.json"] = ("application/json", encode(layer_payload(name, frame, cap=cap)))


@dataclass
class Watch:
    """What a page did."""

    page: Any
    requests: list[str] = field(default_factory=list)
    trouble: list[str] = field(default_factory=list)
    bytes: int = 0


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    if not CHROMIUM.exists():
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)("Chromium is not installed")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS.split())
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def run() -> Run:
    return make_run()


@pytest.fixture(scope="module")
def site(run: Run) -> Iterator[Site]:
    made = Site()
    made.show("town", run, make_layers(run, scale=5) | {"left_out": run.left_out})
    evil = make_run(evil=True)
    evil.info["study"]["name"] = {"ar": EVIL[0], "en": EVIL[4]}
    made.show("evil", evil, {})
    yield made
    made.server.shutdown()
    made.server.server_close()
    made.thread.join()


@pytest.fixture
def visit(browser: Any) -> Iterator[Any]:
    """Open a URL in a page of its own; at the end nothing may have gone wrong in any of them."""
    watches: list[Watch] = []

    def opened(url: str, *, width: int = 1280, height: int = 800, ready: bool = True) -> Watch:
        page = browser.new_page(viewport={"width": width, "height": height})
        watch = Watch(page)
        page.on("request", lambda request: watch.requests.append(request.url))
        page.on("console", lambda said: watch.trouble.append(f"{said.type}: {said.text}"))
        page.on("pageerror", lambda error: watch.trouble.append(f"error: {error}"))
        page.on("dialog", lambda dialog: (watch.trouble.append(f"dialog: {dialog.message}"), dialog.dismiss()))
        page.goto(url)
        if ready:
            page.wait_for_selector("html[data-ready=true]", timeout=15_000)
        watches.append(watch)
        return watch

    yield opened
    for watch in watches:
        assert watch.trouble == []
        home = urlsplit(watch.page.url)
        for url in watch.requests:
            assert urlsplit(url).scheme == "data" or urlsplit(url).netloc == home.netloc, url
        watch.page.close()


@pytest.fixture(params=["served", "file"])
def town(request: pytest.FixtureRequest, site: Site, run: Run, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """URL of the town's map by language, served or as one file."""
    if request.param == "served":
        return lambda lang: f"{site.url}/town/map/{lang}"
    folder = tmp_path_factory.getbasetemp()

    def written(lang: Lang) -> str:
        place = folder / f"town-{lang}.html"
        if not place.exists():
            place.write_text(single_file(run, make_layers(run), lang=lang), encoding="utf-8")
        return place.as_uri()

    return written


def row_of(run: Run, id_: str) -> int:
    return int(run.priorities.index[run.priorities["id"] == id_][0])


# -------------------------------------------------------------------------------------------------- one number everywhere


@pytest.mark.parametrize("lang", LANGS)
def test_map_list_why_and_table_show_the_runs_number(town: Any, visit: Any, run: Run, lang: Lang) -> None:
    page = visit(town(lang)).page
    rows = run.priorities
    measures = {measure["id"]: on_screen(measure) for measure in run.info["measures"]}
    table = list_page(run, lang=lang, assets_url="/static")
    page.click("#zoom-in")
    page.wait_for_timeout(500)
    labels = page.eval_on_selector_all(".place", "all => all.map(one => [Number(one.dataset.row), one.lastChild.textContent])")
    assert len(labels) > 10
    for i, text in labels:
        if not pd.isna(rows["score"][i]):
            assert text == figure(rows["score"][i], 1)
    for i in (0, 3, 4, len(rows) - 1):
        row = rows.loc[i]
        ranked = row["status"] == "ranked"
        page.click(f"#row-{i}")
        shown = rank_figure(int(row["rank"]) if ranked else None, bool(row["tied"]))
        assert page.inner_text(f"#row-{i} .rank") == shown
        if ranked:
            score = figure(row["score"], 1)
            assert page.inner_text(f"#row-{i} .score") == page.inner_text("#why-score") == score
            assert page.inner_text("#why-rank") == shown
            assert f'<td class="n rank">{shown}</td>' in table
            assert f'<td class="n score">{score}</td>' in table
        for name in CRITERIA:
            points = page.inner_text(f'.parts [data-measure="{name}"] .part-points')
            unknown = pd.isna(row[f"contribution_{name}"])
            assert points == (gettext("Unknown", lang) if unknown else figure(row[f"contribution_{name}"], 1))
        for name in MEASURES:
            text = page.text_content(f'.measures [data-measure="{name}"] td.value bdi')
            wanted = gettext("Unknown", lang) if pd.isna(row[name]) else amount(float(row[name]), measures[name])
            assert text.rstrip("%") == wanted


def test_tied_ranks_show_an_equals_sign(site: Site, visit: Any, run: Run) -> None:
    page = visit(f"{site.url}/town/map/en").page
    tied = run.priorities.index[run.priorities["tied"]].tolist()
    assert len(tied) == 2
    assert [page.inner_text(f"#row-{i} .rank").endswith("=") for i in tied] == [True, True]


def test_every_measure_can_be_coloured_and_unknown_is_hatched(town: Any, visit: Any, run: Run) -> None:
    page = visit(town("en")).page
    assert page.locator("#measure option").count() == 2 + len(MEASURES)
    for measure in ("score", "rank", *MEASURES):
        page.select_option("#measure", measure)
        fills = page.eval_on_selector_all(".leaflet-overlay-pane path", "all => all.map(one => one.getAttribute('fill'))")
        hatched = sum(fill == "url(#tarmim-hatch)" for fill in fills)
        assert hatched == int(run.priorities[measure].isna().sum()), measure
        assert len(set(fills) - {"url(#tarmim-hatch)"}) in range(2, 6)
        legend = page.inner_text("#legend-body")
        assert "Unknown" in legend
        assert f"({hatched})" in legend
        counts = [int(n) for n in re.findall(r"\((\d+)\)", legend)]
        assert sum(counts) == len(run.priorities)


# --------------------------------------------------------------------------------------------------------- text stays text


def injected(page: Any) -> list[Any]:
    found = page.evaluate("[window.hit, document.querySelectorAll('img,iframe,b').length, document.scripts.length]")
    return list(found)


@pytest.mark.parametrize("mode", ["served", "file"])
@pytest.mark.parametrize("lang", LANGS)
def test_attacks_in_names_show_as_text_on_the_map(site: Site, visit: Any, tmp_path: Path, mode: str, lang: Lang) -> None:
    evil = make_run(evil=True)
    evil.info["study"]["name"] = {"ar": EVIL[0], "en": EVIL[4]}
    if mode == "file":
        place = tmp_path / "evil.html"
        place.write_text(single_file(evil, {}, lang=lang), encoding="utf-8")
        url = place.as_uri()
    else:
        url = f"{site.url}/evil/map/{lang}"
    page = visit(url).page
    scripts = page.evaluate("document.scripts.length")
    assert page.text_content("#city bdi") == evil.info["study"]["name"][lang]
    for attack in EVIL:
        i = int(evil.priorities.index[evil.priorities["name_ar"] == attack][0])
        page.click(f"#row-{i}")
        assert page.text_content(f"#row-{i} .name") == attack
        assert page.text_content("#panel-title bdi") == attack
    page.evaluate("window.map_tarmim.eachLayer(one => one.getTooltip && one.getTooltip() && one.openTooltip())")
    assert set(EVIL) <= set(page.eval_on_selector_all(".tip strong", "all => all.map(one => one.textContent)"))
    page.fill("#search", "script")
    assert page.locator(".row:visible").count() >= 2
    page.select_option("#district", EVIL[0])
    assert injected(page) == [None, 0, scripts]
    assert scripts == (5 if mode == "served" else 7)
    assert "1337" not in page.inner_text("body")


@pytest.mark.parametrize("lang", LANGS)
def test_attacks_in_names_show_as_text_in_the_list(site: Site, visit: Any, lang: Lang) -> None:
    page = visit(f"{site.url}/evil/list/{lang}", ready=False).page
    names = page.eval_on_selector_all("tbody th bdi", "all => all.map(one => one.textContent)")
    assert set(EVIL) <= set(names)
    assert injected(page) == [None, 0, 0]


def test_names_with_attacks_stay_out_of_the_template_engine() -> None:
    html = map_page(
        lang="en",
        title={"ar": "{{7*191}}", "en": "{{7*191}}</title><script>x"},
        data_url="/d",
        layer_urls={},
        assets_url="/s",
        nonce=NONCE,
    )
    assert "1337" not in html
    assert "</title><script>x" not in html
    assert "7*191" not in str(shell())


# ------------------------------------------------------------------------------------------------------------ address, keys


def test_a_shared_link_and_back_and_forward_restore_the_view(town: Any, visit: Any, run: Run) -> None:
    from playwright.sync_api import expect

    page = visit(town("en")).page
    page.click("#row-2")
    page.select_option("#measure", "damage_index")
    page.click('[data-lang="ar"]')
    for _ in range(2):
        page.click("#zoom-in")
        page.wait_for_timeout(450)
    link = page.url
    there = visit(link).page
    assert there.evaluate("document.documentElement.lang") == "ar"
    assert there.evaluate("document.documentElement.dir") == "rtl"
    assert there.input_value("#measure") == "damage_index"
    assert there.get_attribute("#row-2", "aria-selected") == "true"
    centre = "(() => { const c = map_tarmim.getCenter(); return [map_tarmim.getZoom(), c.lat, c.lng]; })()"
    assert there.evaluate(centre) == pytest.approx(page.evaluate(centre), abs=2e-3)
    page.go_back()
    page.wait_for_selector("html[lang=en]")
    page.go_back()
    expect(page.locator("#measure")).to_have_value("score")
    page.go_forward()
    expect(page.locator("#measure")).to_have_value("damage_index")
    assert page.get_attribute("#row-2", "aria-selected") == "true"


def test_a_link_with_nonsense_still_opens(site: Site, visit: Any) -> None:
    page = visit(f"{site.url}/town/map/en#v=a/b/{quote('<x>')}&sel=nobody&m=__proto__&layers=roads,__proto__&lang=xx").page
    assert page.input_value("#measure") == "score"
    assert page.is_hidden("#panel")


def test_everything_by_keyboard(town: Any, visit: Any, run: Run) -> None:
    page = visit(town("en")).page
    reached = []
    for _ in range(16):
        page.keyboard.press("Tab")
        reached.append(
            page.evaluate("document.activeElement.id || document.activeElement.dataset.lang || document.activeElement.tagName")
        )
        focus = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert focus != "none", reached[-1]
    for wanted in ("about-button", "ar", "search", "district", "rows", "measure", "zoom-in", "map_tarmim"):
        assert wanted in reached
    page.focus("#rows")
    for key in ("ArrowDown", "ArrowDown", "End", "Home", "ArrowDown"):
        page.keyboard.press(key)
    assert page.get_attribute("#rows", "aria-activedescendant") == "row-1"
    assert page.get_attribute("#row-1", "aria-selected") == "true"
    assert page.text_content("#panel-title") == run.priorities["name_en"][1]
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "panel-title"
    page.keyboard.press("Escape")
    assert page.evaluate("document.activeElement.id") == "rows"
    assert page.is_hidden("#panel")


def test_a_shape_and_its_row_are_one(town: Any, visit: Any, run: Run) -> None:
    page = visit(town("ar")).page
    box = page.locator(".leaflet-overlay-pane path").nth(12).bounding_box()
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    chosen = page.locator('.row[aria-selected="true"]')
    assert chosen.count() == 1
    assert page.text_content("#panel-title") == chosen.locator(".name").text_content()


def test_search_knows_both_scripts_and_arabic_spellings(town: Any, visit: Any, run: Run) -> None:
    page = visit(town("en")).page

    def found(text: str) -> int:
        page.fill("#search", text)
        return int(page.locator(".row:visible").count())

    arabic = run.priorities["name_ar"]
    assert found("الانشاءات") == found("الإنشاءات") == int(arabic.str.contains("الإنشاءات").sum()) > 0
    assert found("الخالديه") == int(arabic.str.contains("الخالدية").sum())
    assert found("QUARTER 12") == 1
    assert found("٢٠") == found("20")
    assert found("no such place") == 0
    assert page.is_visible("#nothing")
    page.fill("#search", "")
    page.select_option("#district", "الشرق")
    assert page.locator(".row:visible").count() == int((run.priorities["district"] == "الشرق").sum())


# ------------------------------------------------------------------------------------------------------------------ layers


def test_layers_come_when_asked_and_say_what_they_leave_out(site: Site, visit: Any) -> None:
    watch = visit(f"{site.url}/town/map/en")
    page = watch.page
    assert not any("roads.json" in url for url in watch.requests)
    page.click("#layers summary")
    for name in ("roads", "damage", "facilities", "hazards", "water", "left_out"):
        page.check(f"#layer-{name}")
        page.wait_for_selector(f"#status-{name} .swatches")
    assert "To keep the map quick" in page.inner_text("#status-roads")
    assert "Outside every neighbourhood" in page.inner_text("#status-left_out")
    assert "2 rows have no place" in page.inner_text("#status-left_out")
    inked = """all => all.map(one => one.getContext('2d').getImageData(0, 0, one.width, one.height).data.some(v => v > 0))"""
    assert page.eval_on_selector_all(".leaflet-context-pane canvas", inked) == [True] * 6
    page.uncheck("#layer-roads")
    page.check("#layer-roads")
    page.click('[data-lang="ar"]')
    page.wait_for_selector("#status-roads .swatches")
    assert "طرق رئيسية" in page.inner_text("#status-roads")
    assert sum("roads.json" in url for url in watch.requests) == 1


def test_a_layer_that_cannot_be_loaded_says_so(site: Site, visit: Any) -> None:
    watch = visit(f"{site.url}/town/map/en")
    site.answers["/town/complaints.json"] = ("text/plain", b"")
    watch.page.click("#layers summary")
    watch.page.click("#layer-complaints")
    watch.page.locator("#status-complaints", has_text="loaded").wait_for()
    assert not watch.page.is_checked("#layer-complaints")
    assert [said for said in watch.trouble if "404" not in said] == []
    watch.trouble.clear()


# -------------------------------------------------------------------------------------------------------- weight, one file


@pytest.mark.parametrize("lang", LANGS)
def test_first_view_is_light_and_asks_only_home(
    site: Site, visit: Any, run: Run, lang: Lang, capsys: pytest.CaptureFixture[str]
) -> None:
    watch = visit(f"{site.url}/town/map/{lang}")
    watch.page.wait_for_load_state("networkidle")
    bodies = [site.answer(urlsplit(url).path)[1] for url in watch.requests if url.startswith("http")]
    raw, packed = sum(map(len, bodies)), sum(len(gzip.compress(body)) for body in bodies)
    with capsys.disabled():
        print(f"\nmap page {lang}: {len(bodies)} requests, {raw / 1000:.0f} kB, {packed / 1000:.0f} kB gzipped")  # noqa: T201
    assert len(bodies) <= 10
    assert raw <= 600_000
    assert packed <= 300_000
    for url in watch.requests:
        if url.endswith((".js", ".css")) or ".js?" in url or ".css?" in url:
            assert "?v=" in url


@pytest.mark.parametrize("lang", LANGS)
def test_the_single_file_asks_nobody_and_is_small(
    visit: Any, run: Run, tmp_path: Path, lang: Lang, capsys: pytest.CaptureFixture[str]
) -> None:
    html = single_file(run, make_layers(run, scale=30), lang=lang)
    place = tmp_path / "خريطة town.html"
    place.write_text(html, encoding="utf-8")
    with capsys.disabled():
        print(f"\nsingle file {lang}: {len(html.encode()) / 1000:.0f} kB")  # noqa: T201
    assert len(html.encode()) <= FILE_BYTES
    watch = visit(place.as_uri())
    watch.page.click("#layers summary")
    watch.page.check("#layer-damage")
    watch.page.wait_for_selector("#status-damage .swatches")
    assert [url for url in watch.requests if not url.startswith("data:")] == [place.as_uri()]
    assert watch.page.evaluate(
        "document.fonts.check('16px Cairo', 'ترميم') && [...document.fonts].some(f => f.status === 'loaded')"
    )


def test_a_layer_too_big_for_the_file_is_named_there(visit: Any, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "FILE_BYTES", 500_000)
    place = tmp_path / "town.html"
    place.write_text(single_file(run, make_layers(run, scale=60), lang="en"), encoding="utf-8")
    assert place.stat().st_size <= 500_000
    page = visit(place.as_uri()).page
    page.click("#layers summary")
    assert page.is_disabled("#layer-roads")
    assert "Left out of this file" in page.inner_text("#status-roads")


# ------------------------------------------------------------------------------------------------------- accessibility, words


def violations(page: Any) -> list[str]:
    page.evaluate(AXE.read_text(encoding="utf-8"))
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    return [
        f"{one['id']}: {one['nodes'][0]['html'][:120]} {one['nodes'][0]['failureSummary'][:300]}" for one in found["violations"]
    ]


@pytest.mark.parametrize("lang", LANGS)
@pytest.mark.parametrize("size", [(1280, 800), (360, 740)])
def test_axe_finds_nothing_on_the_map(town: Any, visit: Any, run: Run, lang: Lang, size: tuple[int, int]) -> None:
    page = visit(town(lang), width=size[0], height=size[1]).page
    assert violations(page) == []
    page.click("#row-1")
    page.click("#layers summary")
    page.check("#layer-damage")
    page.click("details.more summary")
    page.wait_for_selector("#status-damage .swatches")
    assert violations(page) == []
    page.click(f"#row-{len(run.priorities) - 1}")
    page.select_option("#measure", "damage_index")
    page.click("#about-button")
    assert violations(page) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= size[0]


@pytest.mark.parametrize("lang", LANGS)
def test_axe_finds_nothing_on_the_list(site: Site, visit: Any, lang: Lang) -> None:
    page = visit(f"{site.url}/town/list/{lang}", ready=False, width=360, height=740).page
    assert violations(page) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= 360


def test_no_word_is_left_in_english_on_the_arabic_page(town: Any, visit: Any, run: Run) -> None:
    page = visit(town("ar")).page
    page.click("#row-0")
    said = page.inner_text("body") + page.title()
    for text in ("#search", "#zoom-in", "#map_tarmim"):
        said += page.get_attribute(text, "aria-label") or page.get_attribute(text, "placeholder") or ""
    allowed = {"EN", "CC", "BY", "Quarter", *run.id.split()} | set(run.priorities["id"]) | set(re.findall(r"[A-Za-z]+", run.id))
    assert set(re.findall(r"[A-Za-z]{2,}", said)) <= allowed
    assert not re.search(r"\{\w+\}", said)


@pytest.mark.parametrize("text", [*WORDS.values(), *(one for one, _ in COUNTED.values())])
def test_every_word_has_arabic_with_the_same_values(text: str) -> None:
    arabic = catalogue("ar").gettext(text) if text in WORDS.values() else catalogue("ar").ngettext(text, text, 100)
    assert arabic != text
    assert set(re.findall(r"\{\w+\}", arabic)) == set(re.findall(r"\{\w+\}", text))
    assert re.search(r"[\u0600-\u06ff]", arabic)


# ------------------------------------------------------------------------------------------------------------- list, entrance


@pytest.mark.parametrize("lang", LANGS)
def test_the_list_needs_no_script_and_is_light(run: Run, lang: Lang) -> None:
    html = list_page(run, lang=lang, assets_url="/static", downloads={"XLSX": "/x.xlsx", "CSV": "/x.csv"}, map_url="/map")
    assert len(html.encode()) <= 100_000
    assert "<script" not in html
    assert html.count("<tr") == len(run.priorities) + 1
    assert 'href="/x.xlsx"' in html
    assert f'dir="{"rtl" if lang == "ar" else "ltr"}"' in html


def test_the_list_of_a_sector_is_ordered_by_its_own_score(run: Run) -> None:
    html = list_page(run, lang="en", sector="health", assets_url="/static")
    first = for_sector(run, "health").iloc[0]
    assert f'<td class="n score">{figure(first["score"], 1)}</td>' in html
    assert "Working health facilities" in html
    assert "Damage index" not in html
    with pytest.raises(UnknownNameError, match="roofs"):
        list_page(run, lang="en", sector="roofs", assets_url="/static")
    assert "no criterion of this sector" in list_page(run, lang="en", sector="water", assets_url="/static")


def test_the_entrance_names_the_cities(run: Run) -> None:
    entries = [{"name": {"ar": "حمص", "en": EVIL[0]}, "generated": True, "map_url": "/m", "list_url": "/l"}]
    html = index_page(lang="en", entries=entries, assets_url="/static", language_urls={"ar": "/ar", "en": "/en"})
    assert "&lt;script&gt;" in html
    assert "<script" not in html


# -------------------------------------------------------------------------------------------------------------------- contracts


@pytest.mark.parametrize("folder", [vendor.HERE, Path(__file__).parent / "vendor"])
def test_vendored_files_are_those_of_the_record(folder: Path) -> None:
    assert vendor.differing(folder) == []


def test_no_data_can_reach_folium() -> None:
    sources = {path.name: path.read_text(encoding="utf-8") for path in Path(str(files("maps"))).glob("*.py")}
    banned = r"folium\.plugins|folium\.(GeoJson|Choropleth|Popup|Tooltip|Marker|features)|add_js_link|GeoJsonTooltip"
    for name, text in sources.items():
        assert not re.search(banned, text), name
    assert [name for name, text in sources.items() if re.search(r"^\s*(import|from) folium", text, flags=re.MULTILINE)] == [
        "page.py"
    ]
    assert not re.search(r"https?://", str(shell()))


def test_the_script_writes_no_html_and_holds_no_words() -> None:
    script = pages.static("tarmim-map.js").decode()
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function", script)
    assert re.findall(r'(?:text|textContent)\s*[:=]\s*"([^"]*[A-Za-z]{2}[^"]*)"', script) == []
    assert all("\r" not in pages.static(name).decode() for name in ("tarmim-map.js", *shell().scripts))


def test_folium_is_not_imported_before_a_map_is_drawn() -> None:
    seen = subprocess.run(
        [sys.executable, "-c", "import maps.page, sys; print('folium' in sys.modules)"], capture_output=True, text=True, check=True
    )
    assert seen.stdout.strip() == "False"
