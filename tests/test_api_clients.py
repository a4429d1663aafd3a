"""Programs that people use, against a real server: GDAL, QGIS, OWSLib, and spreadsheets. What they read must be what the run holds."""

import io
import json
import os
import re
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import geopandas as gpd
import numpy as np
import openpyxl
import pyogrio
import pytest

from api.settings import Settings
from api.state import load
from geo import windows

ROOT = Path(__file__).parents[1]
DEMO = ROOT / "data" / "demo"
CI = os.environ.get("CI") == "true"
QGIS = "/usr/bin/python3"  # Debian's own: python3-qgis is no package of ours


def absent(what):
    """Skips where a program is not here; fails where it must be."""
    reason = f"{what} is not installed (.ci/real-parts installs it)"
    if CI:
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A service of the demo city in a process of its own; gives its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "uvicorn", "--factory", "api.app:create_app", "--port", str(port), "--log-level", "warning"]
    log = tmp_path_factory.mktemp("server") / "log"
    with log.open("wb") as out:
        running = subprocess.Popen(command, cwd=ROOT, env={**os.environ, "TARMIM_STUDY": str(DEMO)}, stdout=out, stderr=out)
    try:
        for _ in range(120):
            assert running.poll() is None, log.read_text()
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=2).close()
                break
            except OSError:
                time.sleep(0.5)
        else:
            pytest.fail(f"the server does not answer: {log.read_text()}")
        yield f"http://127.0.0.1:{port}"
    finally:
        running.terminate()
        running.wait(20)


@pytest.fixture(scope="module")
def held():
    return load(Settings(study=DEMO))


def fetched(address):
    with urllib.request.urlopen(address, timeout=60) as sent:  # noqa: S310  # our own server
        return sent.read()


def test_gdal_reads_every_collection_whole(server, held):
    known = windows.names(held.city, held.run)
    listed = pyogrio.list_layers(f"OAPIF:{server}/ogc")
    assert sorted(listed[:, 0]) == sorted(known)
    for name in known:
        of = held.collection(name)
        got = pyogrio.read_dataframe(f"OAPIF:{server}/ogc", layer=name)
        assert len(got) == len(of.table) == pyogrio.read_info(f"OAPIF:{server}/ogc", layer=name)["features"]
        assert got.crs.to_epsg() == 32637  # GDAL asks for the CRS that the study keeps it in
        order = np.argsort(got["number"]) if "number" in got else np.arange(len(got))
        placed = of.table.geometry.notna().to_numpy()
        own = of.table.geometry.to_crs(32637).bounds
        np.testing.assert_allclose(got.geometry.iloc[order].bounds[placed], own[placed], atol=0.002)


def test_gdal_filters_by_box_and_reads_another_crs(server, held):
    shapes = held.collection("facilities").table.geometry
    box = (36.70, 34.72, 36.72, 34.74)
    got = pyogrio.read_dataframe(f"OAPIF:{server}/ogc", layer="facilities", bbox=box, CRS="OGC:CRS84")
    assert 0 < len(got) == len(shapes.cx[box[0] : box[2], box[1] : box[3]])
    own = pyogrio.read_dataframe(f"OAPIF:{server}/ogc", layer="facilities", CRS="EPSG:32637")
    mine = held.city.layers["facilities"].frame
    assert own.crs.to_epsg() == 32637
    np.testing.assert_allclose(sorted(own.geometry.x), sorted(mine.geometry.x), atol=0.002)
    turned = pyogrio.read_dataframe(f"OAPIF:{server}/ogc", layer="facilities", CRS="EPSG:4326")
    np.testing.assert_allclose(sorted(turned.geometry.y), sorted(shapes.y), atol=1e-6)


def test_gdal_reads_a_tile(server, held, tmp_path):
    """The tile of the first facility holds it, where the collection says that it lies."""
    told = json.loads(fetched(f"{server}/ogc/collections/facilities/tiles/WebMercatorQuad?f=tilejson"))
    from geo.tiles import tile_of

    place = held.collection("facilities").table.geometry.iloc[0]
    column, row = tile_of(place.x, place.y, 14)
    path = tmp_path / "tile.mvt"
    path.write_bytes(fetched(told["tiles"][0].format(z=14, y=row, x=column)))
    got = pyogrio.read_dataframe(path, layer="facilities", X=column, Y=row, Z=14)
    assert got.crs.to_epsg() == 3857
    spots = got.geometry.to_crs(4326)
    assert np.hypot(spots.x - place.x, spots.y - place.y).min() < 1e-5


def test_owslib_walks_the_service(server, held):
    features = pytest.importorskip("owslib.ogcapi.features") if not CI else __import__("owslib.ogcapi.features", fromlist=["x"])
    service = features.Features(f"{server}/ogc")
    assert "http://www.opengis.net/spec/ogcapi-features-1/1.0/conf/core" in service.conformance()["conformsTo"]
    assert service.api()["openapi"].startswith("3.")
    names = service.feature_collections()
    assert set(names) == set(windows.names(held.city, held.run))
    assert service.collection("roads")["id"] == "roads"
    got = service.collection_items("priorities", limit=5, filter="rank <= 3")
    assert got["numberMatched"] == 3
    assert service.collection_item("priorities", "DEMO-06")["properties"]["name_en"] == "Al-Qusour"
    assert "state" in service.collection_queryables("water")["properties"]


def test_geopandas_reads_an_address(server, held):
    got = gpd.read_file(f"{server}/priorities?format=geojson&top=5")
    assert got["id"].tolist() == held.run.priorities["id"].head(5).tolist()


def test_openpyxl_finds_the_arabic_sheet_from_right_to_left(server):
    content = fetched(f"{server}/priorities?format=xlsx&lang=ar")
    book = openpyxl.load_workbook(io.BytesIO(content))
    assert book.worksheets[0].sheet_view.rightToLeft
    assert book.worksheets[0].title == "الأولويات"


def test_libreoffice_opens_the_workbook(server, held, tmp_path):
    from shutil import which

    if which("soffice") is None:
        absent("libreoffice-calc")
    path = tmp_path / "list.xlsx"
    path.write_bytes(fetched(f"{server}/priorities?format=xlsx&lang=ar"))
    home = f"-env:UserInstallation=file://{tmp_path / 'home'}"
    command = [
        "soffice",
        home,
        "--headless",
        "--convert-to",
        "csv:Text - txt - csv (StarCalc):44,34,76,1",
        "--outdir",
        tmp_path,
        path,
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    text = next(tmp_path.glob("*.csv")).read_text(encoding="utf-8")
    table = held.run.priorities
    assert table["name_ar"].iloc[0] in text
    assert f"{table['score'].iloc[0]:.1f}" in text


EXAMPLES = ROOT / "data" / "examples"


def run(command, folder, **environment):
    done = subprocess.run(command, capture_output=True, text=True, timeout=180, cwd=folder, env={**os.environ, **environment})
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_example_for_python(server, held, tmp_path):
    said = run([sys.executable, EXAMPLES / "tarmim.py", server], tmp_path)
    assert held.run.priorities["name_en"].iloc[0] in said
    assert "36 neighbourhoods, 3 not assessable" in said
    assert "EPSG:32637" in said


def test_the_example_for_curl(server, held, tmp_path):
    from shutil import which

    if which("curl") is None:
        absent("curl")
    assert run(["sh", EXAMPLES / "tarmim.sh", server], tmp_path).split() == ["304"]
    assert openpyxl.load_workbook(tmp_path / "water.xlsx").worksheets[0].sheet_view.rightToLeft
    assert (tmp_path / "first.csv").read_text(encoding="utf-8").startswith("rank,")
    pipes = json.loads((tmp_path / "pipes.geojson").read_bytes())["features"]
    assert {one["properties"]["state"] for one in pipes} == {"destroyed"}


def test_the_example_for_r(server, held, tmp_path):
    from shutil import which

    if which("Rscript") is None or subprocess.run(["Rscript", "-e", "library(sf); library(readr)"], capture_output=True).returncode:
        pytest.skip("R with sf and readr is not installed")
    assert held.run.priorities["name_en"].iloc[0] in run(["Rscript", EXAMPLES / "tarmim.R", server], tmp_path)


def test_the_example_for_excel_asks_for_what_is_there(server):
    """Power Query has no program here: its address is asked as it stands, and its columns are those of the answer."""
    text = (EXAMPLES / "tarmim.pq").read_text(encoding="utf-8")
    query = "&".join("=".join(re.findall(r'(\w+) = "(\w+)"', text.split("Query = [")[1].split("]")[0])[n]) for n in range(2))
    heads = fetched(f"{server}/priorities?{query}").decode("utf-8-sig").splitlines()[0].split(",")
    wanted = re.findall(r'"(\w+)"', text.split("SelectColumns(Headed, {")[1].split("}")[0])
    assert len(wanted) == 9
    assert set(wanted) <= set(heads)


def test_the_example_for_qgis(server, tmp_path):
    ready = subprocess.run([QGIS, "-c", "import qgis.core"], capture_output=True) if Path(QGIS).exists() else None
    if ready is None or ready.returncode:
        absent("python3-qgis")
    program = f"""
from qgis.core import QgsApplication, QgsProject
QgsApplication.setPrefixPath("/usr", True)
app = QgsApplication([], False)
app.initQgis()
server = {server!r}
exec(open({str(EXAMPLES / "tarmim_qgis.py")!r}).read())
print(sorted((layer.name(), layer.isValid()) for layer in QgsProject.instance().mapLayers().values()))
QgsProject.instance().clear()
app.exitQgis()
"""
    quiet = {"QT_QPA_PLATFORM": "offscreen", "HOME": str(tmp_path), "XDG_RUNTIME_DIR": str(tmp_path)}
    said = run([QGIS, "-c", program], tmp_path, **quiet)
    assert "[('buildings', True), ('facilities', True), ('priorities', True), ('road_works', True)]" in said


PROGRAM = """
import json, sys
from qgis.core import (QgsApplication, QgsCoordinateReferenceSystem, QgsFeatureRequest, QgsMapRendererSequentialJob, QgsMapSettings,
                       QgsRectangle, QgsVectorLayer, QgsVectorTileLayer)
from qgis.PyQt.QtCore import QSize
from qgis.PyQt.QtGui import QColor
server, picture, names = sys.argv[1], sys.argv[2], sys.argv[3].split(",")
QgsApplication.setPrefixPath("/usr", True)
app = QgsApplication([], False)
app.initQgis()
told = {"version": QgsApplication.applicationName(), "layers": {}}
layers = []
for name in names:
    layer = QgsVectorLayer(f"url='{server}/ogc' typename='{name}' pageSize='1000'", name, "OAPIF")
    told["layers"][name] = {"valid": layer.isValid(), "error": layer.error().message(), "crs": layer.crs().authid()}
    if layer.isValid():
        told["layers"][name]["count"] = sum(1 for _ in layer.getFeatures(QgsFeatureRequest()))
        told["layers"][name]["fields"] = [one.name() for one in layer.fields()][:8]
        layers.append(layer)
address = f"{server}/ogc/collections/buildings/tiles/WebMercatorQuad/" + "{z}/{y}/{x}"
tiles = QgsVectorTileLayer(f"type=xyz&url={address}&zmax=15&zmin=11", "tiles")
told["tiles"] = tiles.isValid()
settings = QgsMapSettings()
settings.setLayers([one for one in layers if one.name() == "facilities"] + [tiles])
settings.setDestinationCrs(QgsCoordinateReferenceSystem("EPSG:3857"))
settings.setExtent(QgsRectangle(4086000, 4125500, 4090000, 4129500))
settings.setOutputSize(QSize(600, 600))
settings.setBackgroundColor(QColor("white"))
job = QgsMapRendererSequentialJob(settings)
job.start()
job.waitForFinished()
image = job.renderedImage()
image.save(picture)
told["drawn"] = sum(image.pixelColor(x, y) != QColor("white") for x in range(0, 600, 5) for y in range(0, 600, 5))
print(json.dumps(told))
app.exitQgis()
"""


def test_qgis_reads_features_and_draws_tiles(server, held, tmp_path):
    ready = subprocess.run([QGIS, "-c", "import qgis.core"], capture_output=True) if Path(QGIS).exists() else None
    if ready is None or ready.returncode:
        absent("python3-qgis")
    names, picture = ["priorities", "facilities", "water"], tmp_path / "map.png"
    environment = {**os.environ, "QT_QPA_PLATFORM": "offscreen", "HOME": str(tmp_path), "XDG_RUNTIME_DIR": str(tmp_path)}
    done = subprocess.run(
        [QGIS, "-c", PROGRAM, server, picture, ",".join(names)], capture_output=True, text=True, timeout=180, env=environment
    )
    assert done.stdout, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    for name in names:
        one = told["layers"][name]
        assert one["valid"], one
        assert one["count"] == len(held.collection(name).table)
    assert told["tiles"]
    assert told["drawn"] > 200  # of 14,400 dots looked at: the buildings are on the picture
    if keep := os.environ.get("TARMIM_PICTURES"):
        Path(keep, "qgis.png").write_bytes(picture.read_bytes())
