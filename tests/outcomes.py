"""Every real and odd file that lies beside the project, by the road of `tarmim import`: what becomes of it, in one table.

`make outcomes` prints it. Three outcomes are possible: accepted (with notes at most), accepted with findings (warnings), returned with reasons. A fourth would be
a traceback, and a fifth a row that nobody can account for: the rows of the file, as GDAL or a plain count of lines has them, are the
rows that are live, set aside or reported lost.

Left out, by name: SOURCE.txt, LICENSE, *.md and *.json, which tell of the data and are none. Parts of a shapefile are one file. Each
folder has its place (a study whose neighbourhoods are those of the city, or one square around it) and its layers, in `ROAD`.
"""

from __future__ import annotations

import argparse
import datetime
import json
import shutil
import sys
import tempfile
import time
import warnings
import zipfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pyogrio
import shapely

from geo import surveys
from geo.errors import TarmimError, errors_in
from geo.left_out import UNKNOWN_VALUE
from geo.store import Store
from geo.study import LayerSpec, read_study
from geo.untrusted import ASIDE_REASONS

DATA = Path(__file__).parents[2] / "shared" / "data"
NOW = datetime.datetime(2026, 11, 23, tzinfo=datetime.UTC)
ACCEPTED, WITH_FINDINGS, RETURNED = "accepted", "accepted with findings", "returned with reasons"
NO_DATA = ("SOURCE.txt", "LICENSE")
TOLD_OF = (".md", ".json")
PARTS = (".shx", ".dbf", ".prj", ".cpg", ".dbt")
OCHA = {"path": "aleppo-neighbourhoods-ocha/aleppo_neighbourhoods.derived.geojson", "profile": "ocha-neighbourhoods"}
# metric CRS, and west, south, east, north of a square around the place; None: the 109 neighbourhoods of Aleppo
PLACES: Mapping[str, tuple[str, tuple[float, float, float, float] | None]] = {
    "aleppo": ("EPSG:32637", None),
    "syria": ("EPSG:32637", (35.5, 32.2, 42.5, 37.4)),
    "camerino": ("EPSG:32633", (12.9, 43.0, 13.25, 43.3)),
    "azores": ("EPSG:32626", (-26.0, 37.6, -25.0, 38.0)),
    "djibouti": ("EPSG:32638", (41.7, 10.9, 43.5, 12.8)),
    "finland": ("EPSG:32635", (26.8, 60.4, 27.1, 60.7)),
    "memphis": ("EPSG:32616", (-90.4, 34.9, -89.5, 35.5)),
    "world": ("EPSG:8857", (-180.0, -80.0, 180.0, 84.0)),
}


@dataclass(frozen=True)
class Delivery:
    """One file as one layer: where, and what its sender says of it."""

    path: Path
    place: str
    layer: str
    said: Mapping[str, Any] = field(default_factory=dict)

    @property
    def shown(self) -> str:
        name = str(self.path.relative_to(DATA))
        return f"{name}#{self.said['sublayer']}" if "sublayer" in self.said else name


@dataclass(frozen=True)
class Outcome:
    """What became of it. `rows` are those of the file, by another count than the intake's own; None where nobody else can read it."""

    delivery: Delivery
    outcome: str
    rows: int | None
    live: int
    aside: int
    lost: int
    not_chosen: int
    codes: tuple[str, ...]
    seconds: float
    text: str

    @property
    def adds_up(self) -> bool:
        return self.rows is None or self.rows == self.live + self.aside + self.lost + self.not_chosen


PACKAGED = {"poly_grading": "damage", "settlements_point": "damage", "transportation_line": "roads", "interest": "neighbourhoods"}
ROAD: Sequence[tuple[str, str, Sequence[str], Mapping[str, Any]]] = (
    ("aleppo-neighbourhoods-ocha/*", "aleppo", ("neighbourhoods",), {}),
    ("aleppo-osm-buildings-csv/*", "aleppo", ("buildings",), {}),
    (
        "aleppo-osm-buildings-csv/*",
        "aleppo",
        ("buildings", "facilities"),
        {"profile": "osm", "header": ["lon", "lat", "building", "name"]},
    ),
    ("aleppo-roads-osm/*.parquet", "aleppo", ("roads",), {}),
    ("aleppo-unhabitat/service_directorate.geojson", "aleppo", ("population", "neighbourhoods"), {}),
    (
        "aleppo-unhabitat/service_directorate.geojson",
        "aleppo",
        ("population",),
        {"columns": {"name_ar": "Name", "name_en": "Name_En", "people": "Pop"}},
    ),
    ("aleppo-unhabitat/aleppo.geojson", "aleppo", ("hazards", "neighbourhoods"), {}),
    ("aleppo-unhabitat/aleppo.geojson", "aleppo", ("hazards",), {"crs": "EPSG:32637"}),
    ("aleppo-unhabitat/neighborhoods.derived.geojson", "aleppo", ("neighbourhoods",), {}),
    (
        "aleppo-unhabitat/neighborhoods.derived.geojson",
        "aleppo",
        ("neighbourhoods",),
        {"columns": {"id": "OBJECTID_1", "name_ar": "Names", "name_en": "Name_En"}},
    ),
    ("aleppo-unosat-damage-2015/un.geojson", "aleppo", ("damage",), {}),
    ("aleppo-unosat-damage-2015/HRW_02.geojson", "aleppo", ("hazards", "damage"), {}),
    (
        "aleppo-unosat-damage-2015/Neighborhoods.geojson",
        "aleppo",
        ("neighbourhoods",),
        {"columns": {"id": "Id", "name_en": "NAME"}},
    ),
    ("aleppo-unosat-damage-2015/Neighborhoods.geojson", "aleppo", ("neighbourhoods",), {}),
    ("aleppo-unosat-damage-2015/Cultural.geojson", "aleppo", ("facilities", "hazards"), {}),
    ("aleppo-unosat-damage-2015/Cultural.geojson", "aleppo", ("facilities",), {"columns": {"kind": "Typology"}}),
    ("awkward-shapefiles/*/*", "aleppo", ("hazards",), {}),
    ("awkward-shapefiles/*/*", "world", ("hazards",), {}),
    ("awkward-shapefiles/*/*.shp", "world", ("hazards",), {"crs": "EPSG:3857"}),
    ("copernicus-emsr190/*.zip", "camerino", ("damage", "roads"), {}),
    ("derived-from-real/adm3_*", "syria", ("neighbourhoods",), {}),
    ("derived-from-real/aleppo_neigh_*", "aleppo", ("neighbourhoods", "hazards"), {}),
    ("derived-from-real/aleppo_neigh_epsg22770_noprj.shp", "aleppo", ("neighbourhoods",), {"crs": "EPSG:22770"}),
    ("derived-from-real/*.csv", "syria", ("population",), {}),
    ("homs-admin-utm37n-3d/*", "syria", ("neighbourhoods", "hazards"), {}),
    ("homs-admin-utm37n-3d/subdistricts.geojson", "syria", ("neighbourhoods",), {"columns": {"id": "الرمز", "name_ar": "ناحية"}}),
    ("osm-raw/djibouti*", "djibouti", ("roads",), {}),
    ("osm-raw/djibouti*", "djibouti", ("roads",), {"sublayer": "lines"}),
    ("osm-raw/test.osm.pbf", "finland", ("roads",), {"sublayer": "lines"}),
    ("osm-raw/test.osm.pbf", "finland", ("buildings",), {"sublayer": "multipolygons"}),
    ("osm-raw/gdal_test.osm", "aleppo", ("hazards",), {"sublayer": "points"}),
    ("population-rasters/*/*.gpkg", "azores", ("neighbourhoods", "population"), {}),
    ("population-rasters/*/*.gpkg", "azores", ("neighbourhoods",), {"columns": {"id": "name", "name_en": "name"}}),
    ("population-rasters/*/*.tif", "azores", ("population", "buildings"), {}),
    ("shelby-interdependent-networks/*Nodes.csv", "memphis", ("electricity",), {}),
    ("shelby-interdependent-networks/*Nodes.csv", "memphis", ("electricity", "water"), {"crs": "EPSG:4326"}),
    ("shelby-interdependent-networks/*Arcs.csv", "memphis", ("electricity",), {}),
    ("shelby-interdependent-networks/Population.csv", "memphis", ("population",), {}),
    ("shelby-interdependent-networks/Interdep.csv", "memphis", ("electricity",), {}),
    ("shelby-interdependent-networks/scenarios/*/*", "memphis", ("electricity",), {}),
    ("syr-cod-ab-adm3/*", "syria", ("neighbourhoods",), {}),
)


def files() -> list[Path]:
    """All that can be delivered; a shapefile by its `.shp`, or by its `.dbf` where it has none."""
    found = []
    for path in sorted(one for one in DATA.rglob("*") if one.is_file()):
        if path.name in NO_DATA or path.suffix in TOLD_OF:
            continue
        of_a_shapefile = path.suffix in PARTS and (path.suffix != ".dbf" or path.with_suffix(".shp").exists())
        if not of_a_shapefile:
            found.append(path)
    return found


def deliveries() -> Iterator[Delivery]:
    """Each file by each line of `ROAD` that it fits; of a package of several layers, the package and then each of them."""
    for path in files():
        name = path.relative_to(DATA)
        for pattern, place, layers, said in ROAD:
            if name.match(pattern) and len(name.parts) == len(Path(pattern).parts):
                for layer in layers:
                    yield Delivery(path, place, layer, said)
    for package in sorted((DATA / "copernicus-emsr190").glob("*.zip")):
        with zipfile.ZipFile(package) as archive:
            inside = [Path(name).stem for name in archive.namelist() if name.endswith(".shp")]
        for name in inside:
            layer = next((layer for ending, layer in PACKAGED.items() if name.endswith(ending)), "hazards")
            yield Delivery(package, "camerino", layer, {"sublayer": name})


def made_study(folder: Path, place: str) -> Path:
    """The folder of a study of that place."""
    folder.mkdir(parents=True)
    crs, square = PLACES[place]
    text = [
        "[study]",
        f'id = "{place}"',
        f'name = {{ ar = "{place}", en = "{place}" }}',
        f'crs = "{crs}"',
        "[layers.neighbourhoods]",
    ]
    if square is None:
        text += [f"path = {json.dumps(str(DATA / OCHA['path']))}", f'profile = "{OCHA["profile"]}"']
    else:
        box = {
            "type": "Feature",
            "properties": {"id": "1", "name_ar": place, "name_en": place},
            "geometry": shapely.geometry.mapping(shapely.box(*square)),
        }
        (folder / "square.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": [box]}), encoding="utf-8")
        text += ['path = "square.geojson"']
    (folder / "study.toml").write_text("\n".join(text), encoding="utf-8")
    return folder


class Desk:
    """Studies and their stores in a folder, each made when the first file for it arrives."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def outcome(self, one: Delivery) -> Outcome:
        """Deliver and check, as an administrator."""
        folder = self.folder / one.place
        study = read_study(folder if folder.exists() else made_study(folder, one.place))
        began = time.perf_counter()
        with Store.open(study.folder) as store:
            try:
                receipt = surveys.deliver(store, [one.path], layer=one.layer, sender="outcomes", now=NOW)
                choices = LayerSpec(path=receipt.name, **one.said)
                checked = surveys.check(store, study, receipt.id, choices, now=NOW, allow="administrator")
            except TarmimError as refusal:
                return _refused(one, refusal, time.perf_counter() - began)
        seconds = time.perf_counter() - began
        codes = Counter(found.code for found in checked.findings)
        text = "\n".join(found.render(lang) for found in checked.findings for lang in ("ar", "en"))
        live = aside = lost = unchosen = 0
        if checked.layer is not None:
            layer = checked.layer
            away = layer.left_out.loc[layer.left_out["reason"] != UNKNOWN_VALUE, "row"]
            live, aside, lost = int((~layer.frame["row"].isin(away)).sum()), int(away.nunique()), layer.rows_lost
            unchosen = layer.rows_read - layer.rows_chosen - lost
            outcome = WITH_FINDINGS if any(found.severity == "warning" for found in checked.findings) else ACCEPTED
        else:
            outcome = RETURNED
            assert errors_in(checked.findings), "returned without a reason"
            if checked.examined is not None:
                table = checked.examined.table
                live, aside = len(table), sum(found.count for found in checked.findings if found.code in ASIDE_REASONS)
                lost = sum(found.count for found in checked.findings if found.code == "rows-lost")
        rows = counted(one) if checked.examined is not None else None
        return Outcome(one, outcome, rows, live, aside, lost, unchosen, tuple(codes), seconds, text)


def _refused(one: Delivery, refusal: TarmimError, seconds: float) -> Outcome:
    codes = tuple(dict.fromkeys(found.code for found in refusal.findings))
    text = "\n".join(refusal.render(lang) for lang in ("ar", "en"))
    return Outcome(one, RETURNED, None, 0, 0, 0, 0, codes, seconds, text)


def counted(one: Delivery) -> int | None:
    """Rows of the file by another programme's count; None where that can't read it."""
    path, kind = one.path, one.path.suffix
    if kind in (".csv", ".txt"):
        lines = [line for line in path.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
        return len(lines) - ("header" not in one.said)
    if kind == ".parquet":
        return int(pq.read_metadata(path).num_rows)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            if kind == ".zip":
                with tempfile.TemporaryDirectory() as folder:
                    shutil.unpack_archive(path, folder)
                    (inside,) = Path(folder).rglob(f"{one.said['sublayer']}.shp")
                    return _features(inside)
            return _features(path, layer=one.said.get("sublayer"))
        except (pyogrio.errors.DataSourceError, pyogrio.errors.DataLayerError):
            return None


def _features(path: Path, layer: str | None = None) -> int:
    return int(pyogrio.read_info(path, layer=layer, force_feature_count=True)["features"])


def table(outcomes: Sequence[Outcome]) -> str:
    """One line a delivery, and the totals."""
    rows = [("file", "layer", "outcome", "rows", "live", "aside", "lost", "unchosen", "s", "codes")]
    rows += [
        (
            one.delivery.shown, one.delivery.layer, one.outcome, "?" if one.rows is None else f"{one.rows}", f"{one.live}", f"{one.aside}",
            f"{one.lost}", f"{one.not_chosen}", f"{one.seconds:.1f}", " ".join(one.codes),
        )
        for one in outcomes
    ]  # fmt: skip
    widths = [max(len(row[at]) for row in rows) for at in range(9)]
    lines = ["  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[9]]) for row in rows]
    totals = Counter(one.outcome for one in outcomes)
    said = ", ".join(f"{totals[name]} {name}" for name in (ACCEPTED, WITH_FINDINGS, RETURNED))
    wrong = sum(not one.adds_up for one in outcomes)
    unreadable = len({one.delivery.path for one in outcomes})
    return "\n".join([*lines, "", f"{len(outcomes)} deliveries of {unreadable} files: {said}; {wrong} whose rows don't add up"])


def main() -> None:
    if not DATA.is_dir():
        sys.exit("the real layers (../shared/data beside the repository) are not here")
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--only", default="", help="part of the name of a file")
    wanted = options.parse_args().only
    with tempfile.TemporaryDirectory() as folder:
        desk = Desk(Path(folder))
        print(table([desk.outcome(one) for one in deliveries() if wanted in one.shown]))  # noqa: T201


if __name__ == "__main__":
    main()
