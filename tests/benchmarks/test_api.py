"""Speed of OGC API beside tipg (PostGIS) and pygeoapi (GeoParquet) on the same buildings, each in a process of its own, over HTTP.

The 12,067 buildings of the demo city; `make bench` measures. The others are no parts of Tarmim: `TARMIM_BENCH_PYTHON` names a Python
that has tipg, uvicorn, pygeoapi, gunicorn, pyarrow, geopandas and s3fs; without it their rows are skipped. A tile is set beside a static
file of the same server.
"""

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import geopandas as gpd
import pytest

ROOT = Path(__file__).parents[2]
DEMO = ROOT / "data" / "demo"
BOX = "36.70,34.71,36.73,34.74"
PAGE = 1_000
OTHERS = os.environ.get("TARMIM_BENCH_PYTHON", "")
TILE = "/ogc/collections/buildings/tiles/WebMercatorQuad/14/6505/9863"


@contextmanager
def serving(command, ready, log, **environment):
    with log.open("wb") as out:
        running = subprocess.Popen(command, cwd=ROOT, env={**os.environ, **environment}, stdout=out, stderr=out)
    try:
        for _ in range(120):
            if running.poll() is not None:
                pytest.fail(log.read_text()[-2000:])
            try:
                fetched(ready)
                break
            except (urllib.error.URLError, OSError):
                time.sleep(0.5)
        else:
            pytest.fail(log.read_text()[-2000:])
        yield
    finally:
        running.terminate()
        running.wait(20)


def free():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def fetched(address, accept="application/geo+json"):
    asked = urllib.request.Request(address, headers={"Accept": accept})  # noqa: S310  # our own servers
    with urllib.request.urlopen(asked, timeout=60) as sent:  # noqa: S310
        return sent.read()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("servers")


@pytest.fixture(scope="module")
def ours(folder):
    port = free()
    command = [sys.executable, "-m", "uvicorn", "--factory", "api.app:create_app", "--port", str(port), "--log-level", "error"]
    with serving(command, f"http://127.0.0.1:{port}/healthz", folder / "ours.log", TARMIM_STUDY=str(DEMO)):
        yield f"http://127.0.0.1:{port}"


@pytest.fixture(scope="module")
def buildings():
    return gpd.read_parquet(DEMO / "buildings.parquet").to_crs("EPSG:4326")


def others(module):
    if not OTHERS or subprocess.run([OTHERS, "-c", f"import {module}"], capture_output=True).returncode:
        pytest.skip(f"no {module}: TARMIM_BENCH_PYTHON names no Python that has it")


@pytest.fixture(scope="module")
def tipg(folder, buildings):
    others("tipg")
    import sqlalchemy as sa

    from tests.postgres import database

    place = database(postgis=True)
    engine = sa.create_engine(place.replace("postgresql:", "postgresql+psycopg:"))
    table = buildings.drop(columns=[name for name in ("bbox",) if name in buildings]).reset_index(drop=True)
    table.index = table.index + 1
    table.rename_geometry("geom").to_postgis("buildings", engine, index=True, index_label="fid")
    with engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE buildings ADD PRIMARY KEY (fid)")
        connection.exec_driver_sql("CREATE INDEX IF NOT EXISTS at ON buildings USING gist (geom)")
    engine.dispose()
    name, _, host = place.removeprefix("postgresql://tester@/").partition("?host=")
    place, port = f"postgresql://tester@{quote(host, safe='')}:5432/{name}", free()  # the folder of its socket as the host
    command = [OTHERS, "-m", "uvicorn", "tipg.main:app", "--port", str(port), "--log-level", "error"]
    with serving(
        command, f"http://127.0.0.1:{port}/healthz", folder / "tipg.log", DATABASE_URL=place, TIPG_MAX_FEATURES_PER_QUERY="10000"
    ):
        yield f"http://127.0.0.1:{port}/collections/public.buildings"


@pytest.fixture(scope="module")
def pygeoapi(folder, buildings):
    others("pygeoapi")
    port = free()
    path = folder / "buildings.parquet"
    server = {
        "bind": {"host": "127.0.0.1", "port": port},
        "url": f"http://127.0.0.1:{port}",
        "mimetype": "application/json; charset=UTF-8",
        "encoding": "utf-8",
        "languages": ["en-US"],
        "limits": {"default_items": 10, "max_items": 10000},
        "map": {"url": "none", "attribution": "none"},
    }
    about = {
        "identification": {
            "title": "t",
            "description": "d",
            "keywords": ["k"],
            "keywords_type": "theme",
            "terms_of_service": "-",
            "url": "-",
        },
        "license": {"name": "-"},
        "provider": {"name": "-"},
        "contact": {"name": "-"},
    }
    resource = {
        "type": "collection",
        "title": "buildings",
        "description": "d",
        "keywords": ["k"],
        "extents": {"spatial": {"bbox": [-180, -90, 180, 90], "crs": "http://www.opengis.net/def/crs/OGC/1.3/CRS84"}},
        "providers": [
            {
                "type": "feature",
                "name": "Parquet",
                "data": {"source": str(path)},
                "id_field": "id",
                "x_field": ["minx", "maxx"],
                "y_field": ["miny", "maxy"],
            }
        ],
    }
    bounds = buildings.geometry.bounds
    buildings.assign(**{name: bounds[name] for name in bounds}).to_parquet(path)
    config = {"server": server, "logging": {"level": "ERROR"}, "metadata": about, "resources": {"buildings": resource}}
    (folder / "config.yml").write_text(json.dumps(config))  # JSON is YAML
    (folder / "openapi.yml").write_text(json.dumps({"openapi": "3.0.2", "info": {"title": "t", "version": "1"}, "paths": {}}))
    named = {"PYGEOAPI_CONFIG": str(folder / "config.yml"), "PYGEOAPI_OPENAPI": str(folder / "openapi.yml")}
    command = [OTHERS, "-m", "gunicorn", "-w", "1", "-b", f"127.0.0.1:{port}", "pygeoapi.flask_app:APP"]
    with serving(command, f"http://127.0.0.1:{port}/conformance", folder / "pygeoapi.log", **named):
        yield f"http://127.0.0.1:{port}/collections/buildings"


def page(address, **more):
    asked = "&".join(f"{name}={value}" for name, value in {"limit": PAGE, **more}.items())
    return json.loads(fetched(f"{address}/items?{asked}"))


@pytest.mark.parametrize("who", ["ours", "tipg", "pygeoapi"])
@pytest.mark.benchmark(group="1,000 of 12,067 buildings as GeoJSON")
def test_items(benchmark, request, who):
    base = request.getfixturevalue(who)
    address = f"{base}/ogc/collections/buildings" if who == "ours" else base
    steps = iter(range(10**6))

    def ask():  # a page that nobody has asked for before: no answer is kept from the last time
        return fetched(f"{address}/items?limit={PAGE}&offset={next(steps) % 10_000}")

    assert len(json.loads(benchmark(ask))["features"]) == PAGE


@pytest.mark.parametrize("who", ["ours", "tipg", "pygeoapi"])
@pytest.mark.benchmark(group="1,000 buildings within a box")
def test_box(benchmark, request, buildings, who):
    base = request.getfixturevalue(who)
    address = f"{base}/ogc/collections/buildings" if who == "ours" else base
    steps = iter(range(10**6))

    def ask():
        return fetched(f"{address}/items?limit={PAGE}&bbox={BOX}&offset={next(steps) % 1_000}")

    assert len(json.loads(benchmark(ask))["features"]) == PAGE
    west, south, east, north = map(float, BOX.split(","))
    matched = page(address, bbox=BOX)["numberMatched"]
    if who != "pygeoapi":  # which asks for the corner of each, as it is set up here
        assert matched == len(buildings.cx[west:east, south:north])


@pytest.mark.parametrize("who", ["ours", "tipg"])
@pytest.mark.benchmark(group="one feature by its code")
def test_one(benchmark, request, who):
    base = request.getfixturevalue(who)
    address = f"{base}/ogc/collections/buildings/items/DEMO-B-00100" if who == "ours" else f"{base}/items/100"
    assert json.loads(benchmark(fetched, address))["geometry"]["type"].endswith("Polygon")


@pytest.mark.parametrize("what", ["tile", "static file"])
@pytest.mark.benchmark(group="a tile of buildings and a static file of the same server")
def test_tile(benchmark, ours, what):
    address = f"{ours}{TILE}" if what == "tile" else f"{ours}/assets/vendor/leaflet/leaflet.js"
    assert len(benchmark(fetched, address, "*/*")) > 10_000


@pytest.mark.benchmark(group="a tile of buildings, made or read")
def test_tile_of_postgis(benchmark, tipg):
    assert len(benchmark(fetched, f"{tipg}/tiles/WebMercatorQuad/14/9863/6505", "*/*")) > 10_000


@pytest.mark.benchmark(group="a tile of buildings, made or read")
def test_tile_of_ours(benchmark, ours):
    assert len(benchmark(fetched, f"{ours}{TILE}", "*/*")) > 10_000
