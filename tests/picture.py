"""Makes the picture of the README: the demo city's map in Chromium, in English and Arabic side by side."""

import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

from geo import pipeline
from maps.page import single_file

ROOT = Path(__file__).parents[1]
OUT = ROOT / "data" / "demo" / "picture.png"
CHROMIUM = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip


def main() -> None:
    study, scheme = pipeline.open_study(ROOT / "data" / "demo")
    city = pipeline.read_city(study)
    run = pipeline.assess(city, scheme)
    layers = {name: layer.frame for name, layer in city.layers.items() if name not in ("neighbourhoods", "population")}
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as play:
        page = Path(folder) / "map.html"
        page.write_text(single_file(run, layers, lang="ar"), encoding="utf-8")
        browser = play.chromium.launch(executable_path="/usr/bin/chromium", args=CHROMIUM)
        tab = browser.new_page(viewport={"width": 1280, "height": 760})
        tab.goto(page.as_uri())
        tab.locator(".row").first.click()
        tab.wait_for_timeout(500)
        tab.screenshot(path=OUT)
        browser.close()


if __name__ == "__main__":
    main()
