"""What the tests share: a town one can check on paper, the real layers where they lie, and a still, quiet machine.

The town: four squares of 1 km², EPSG:32637, coordinates below are metres from its south-west corner::

    2000 ┌─────────┬─────────┐   A  3 structures badly hit, the water main broken, 1,000 people
         │    C    │    D    │   B  one structure damaged, state of most pipes unknown, 2,000 people
    1000 ├─────────┼─────────┤   C  looked at and intact, its hospital closed, 4,000 people
         │    A    │    B    │   D  nobody surveyed it, 500 people
       0 └─────────┴─────────┘
         0       1000      2000
"""

from __future__ import annotations

import json
import os
import re
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import geopandas as gpd
import pandas as pd
import pyogrio
import pyproj
import pytest
import shapely
from hypothesis import settings
from shapely.affinity import translate

from geo.errors import Finding, TarmimError, errors_in
from geo.harmonise import City
from geo.pipeline import assess, check, open_study, read_city
from geo.population import people
from geo.run import Run

CRS = "EPSG:32637"
EAST, NORTH = 330_000, 4_000_000
SHARED = Path(__file__).parents[2] / "shared"
Town = Callable[..., Path]

settings.register_profile("tarmim", derandomize=True, deadline=None, max_examples=40)
settings.load_profile("tarmim")


def pytest_report_header() -> str:
    versions = (pyogrio.__gdal_version_string__, shapely.geos_version_string, pyproj.proj_version_str)
    return "GDAL {}, GEOS {}, PROJ {}".format(*versions)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of the shared material: real layers in `data/`, published examples in `test_vectors.json`."""
    if not (SHARED / "data").is_dir():
        reason = "the real layers (../shared/data beside the repository) are not here"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    return SHARED


def at(*shapes: shapely.Geometry) -> list[shapely.Geometry]:
    """Shapes in metres from the town's corner, moved to where the town lies."""
    return [None if shape is None else translate(shape, EAST, NORTH) for shape in shapes]


def points(*places: tuple[float, float]) -> list[shapely.Geometry]:
    return at(*(shapely.Point(place) for place in places))


def lines(*paths: list[tuple[float, float]]) -> list[shapely.Geometry]:
    return at(*(shapely.LineString(path) for path in paths))


def layer(geometry: list[shapely.Geometry], **columns: list[Any]) -> gpd.GeoDataFrame:
    return gpd.GeoDataFrame(columns, geometry=geometry, crs=CRS)


A, B, C, D = at(*(shapely.box(x, y, x + 1000, y + 1000) for y in (0, 1000) for x in (0, 1000)))


def town_tables() -> dict[str, pd.DataFrame]:
    """The layers of the town as they stand in their files."""
    return {
        "neighbourhoods": layer(
            [A, B, C, D],
            id=["A", "B", "C", "D"],
            name_ar=["ألف", "باء", "جيم", "دال"],
            name_en=["Alif", "Ba", "Jim", "Dal"],
            district=["South", "South", "North", "North"],
        ),
        # 10 buildings in A, 4 in B, 5 in C, 5 in D
        "buildings": layer(
            points(*((60 + 90 * n, 800) for n in range(10)))
            + points(*((1100 + 90 * n, 800) for n in range(4)))
            + points(*((100 + 90 * n, 1800) for n in range(5)))
            + points(*((1100 + 90 * n, 1800) for n in range(5)))
        ),
        # A: 2 destroyed (6 m north of the main road, 4 m apart), 1 severe, 1 moderate; B: 1 moderate, 1 looked at and intact
        "damage": layer(
            points((500, 106), (504, 106), (200, 500), (300, 106), (1500, 500), (1600, 600)),
            grade=["destroyed", "destroyed", "severe", "moderate", "moderate", "none"],
        ),
        # A–B along y = 100; the boundary of A and B; across C; half across D
        "roads": layer(
            lines([(0, 100), (2000, 100)], [(1000, 0), (1000, 1000)], [(0, 1500), (1000, 1500)], [(1000, 1500), (1500, 1500)]),
            road_class=["primary", "residential", "secondary", "footway"],
        ),
        "water": layer(
            lines(
                [(0, 300), (1000, 300)],
                [(0, 400), (1000, 400)],
                [(1000, 300), (1800, 300)],
                [(1800, 300), (2000, 300)],
                [(0, 1400), (1000, 1400)],
            ),
            state=["none", "severe", None, "moderate", "none"],
        ),
        "facilities": layer(
            points((500, 110), (800, 800), (200, 510), (1500, 700), (1700, 700), (500, 1700), (1500, 1700)),
            kind=["school", "school", "hospital", "school", "bakery", "hospital", "school"],
            state=[None, None, None, "destroyed", "none", "none", None],
            functionality=[None, None, "functional", "functional", None, "not_functional", None],
        ),
        "population": pd.DataFrame({"id": ["A", "B", "C", "D"], "people": [1000, 2000, 4000, 500]}),
        "complaints": layer(points((100, 900), (200, 900), (1900, 900)), category=["water", "roads", "water"]),
    }


def with_nodes(*nodes: tuple[float, float, str, str]) -> Callable[[gpd.GeoDataFrame], gpd.GeoDataFrame]:
    """The town's pipes, W1 to W5, with nodes N1, N2 …: (x, y, kind, functionality)."""

    def add(table: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
        more = pd.DataFrame({"kind": [one[2] for one in nodes], "functionality": [one[3] for one in nodes], "state": None})
        more["geometry"] = points(*(one[:2] for one in nodes))
        pipes = table.assign(kind="main", functionality=None, id=[f"W{number + 1}" for number in range(len(table))])
        return pd.concat([pipes, more.assign(id=[f"N{number + 1}" for number in range(len(more))])], ignore_index=True).set_crs(
            table.crs
        )

    return add


ENTRIES: dict[str, dict[str, Any]] = {
    "neighbourhoods": {"path": "neighbourhoods.geojson"},
    "buildings": {"path": "buildings.geojson", "extent": "study"},
    "damage": {"path": "damage.geojson", "extent": "surveyed.geojson"},  # A, B and C
    "roads": {"path": "roads.parquet", "extent": "study"},
    "water": {"path": "water.geojson"},
    "facilities": {"path": "facilities.geojson", "extent": "study"},
    "population": {"path": "population.csv"},
    "complaints": {"path": "complaints.geojson", "extent": "study"},
}
HEAD = {"id": "town", "name": {"ar": "بلدة", "en": "Town"}, "crs": CRS, "scheme": "default"}


def write_town(
    folder: Path,
    *,
    study: Mapping[str, Any] | None = None,
    without: tuple[str, ...] = (),
    entries: Mapping[str, Mapping[str, Any]] | None = None,
    surveyed: shapely.Geometry | None = None,
    needs: str | None = None,
    **tables: pd.DataFrame | Callable[[Any], pd.DataFrame] | str | bytes | None,
) -> Path:
    """Write the town's files and `study.toml` into a folder, with what a test changes.

    Parameters
    ----------
    study
        Entries of `[study]` in place of the town's.
    without
        Layers to leave away.
    entries
        By layer, entries of `[layers.<layer>]` in place of the town's; None takes one out.
    surveyed
        What the damage survey looked at; A, B and C by default.
    needs
        The table of `[dependencies]`, as text.
    tables
        By layer, another table, a function that changes the town's own, the very bytes of the file, or None: none is written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    layers = {name: dict(entry) for name, entry in ENTRIES.items() if name not in without}
    for name, changed in (entries or {}).items():
        layers[name] = {key: value for key, value in {**layers.get(name, {}), **changed}.items() if value is not None}
    content = town_tables()
    for name, changed in tables.items():
        content[name] = changed(content[name]) if callable(changed) else changed
        layers.setdefault(name, {"path": f"{name}.geojson"})
    extent = shapely.union_all([A, B, C]) if surveyed is None else surveyed
    write_table(layer([extent]), folder / "surveyed.geojson")
    for name, entry in layers.items():
        path = folder / entry.get("path", "")
        if content.get(name) is not None and path.resolve().is_relative_to(folder.resolve()) and path != folder:
            write_table(content[name], path)  # a file elsewhere is read, never written
    lines = ["[study]", *(f"{key} = {toml(value)}" for key, value in {**HEAD, **(study or {})}.items())]
    for name, entry in layers.items():
        lines += [f"[layers.{name}]", *(f"{key} = {toml(value)}" for key, value in entry.items())]
    if needs is not None:
        lines += ["[dependencies]", 'path = "dependencies.csv"']
        (folder / "dependencies.csv").write_text(needs, encoding="utf-8")
    (folder / "study.toml").write_text("\n".join(lines), encoding="utf-8")
    return folder


def toml(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{json.dumps(key, ensure_ascii=False)} = {toml(one)}" for key, one in value.items()) + " }"
    return json.dumps(value, ensure_ascii=False)


def write_table(table: pd.DataFrame | str | bytes, path: Path) -> None:
    """A table in the format that the path's suffix names."""
    if isinstance(table, str | bytes):
        path.write_bytes(table.encode() if isinstance(table, str) else table)
    elif path.suffix == ".csv":
        table.to_csv(path, index=False)
    elif path.suffix == ".parquet":
        table.to_parquet(path)
    elif path.suffix == ".xlsx":
        table.to_excel(path, index=False, engine="openpyxl")
    else:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "'crs' was not provided")  # a fault that tests plant
            table.to_file(path, engine="pyogrio")


@pytest.fixture
def town(tmp_path: Path) -> Town:
    """`write_town` into a folder of this test's own."""
    return lambda **changes: write_town(tmp_path / "town", **changes)


@pytest.fixture
def city(town: Town) -> Callable[..., City]:
    """The harmonised town, with what a test changes."""

    def made(**changes: Any) -> City:
        return read_city(open_study(town(**changes))[0])

    return made


@pytest.fixture
def run(town: Town) -> Callable[..., Run]:
    """The run of the town, with what a test changes."""

    def made(**changes: Any) -> Run:
        study, scheme = open_study(town(**changes))
        return assess(read_city(study), scheme)

    return made


@pytest.fixture
def measured(run: Callable[..., Run]) -> Callable[..., pd.DataFrame]:
    """The town's measures by neighbourhood."""
    return lambda **changes: run(**changes).priorities.set_index("id").sort_index()


@pytest.fixture
def refused(town: Town) -> Callable[..., tuple[Finding, ...]]:
    """The faults for which the changed town is refused: said in both languages, and by `check` as by the run."""

    def faults(**changes: Any) -> tuple[Finding, ...]:
        folder = town(**changes)
        with pytest.raises(TarmimError) as raised:
            people(read_city(open_study(folder)[0]))
        for fault in raised.value.findings:
            assert fault.severity == "error"
            assert re.search("[\u0621-\u064a]", fault.render("ar")), fault.render("ar")
            assert fault.render("en").isprintable()
        assert [one.record() for one in errors_in(check(folder))] == [one.record() for one in raised.value.findings]
        return raised.value.findings

    return faults


@pytest.fixture(scope="session")
def town_run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The run of the town as it is; not to be changed."""
    study, scheme = open_study(write_town(tmp_path_factory.mktemp("town")))
    return assess(read_city(study), scheme)


@pytest.fixture(scope="session")
def demo_run() -> Run:
    """The run of the demo city; not to be changed."""
    study, scheme = open_study(Path(__file__).parents[1] / "data" / "demo")
    return assess(read_city(study), scheme)


@pytest.fixture(scope="session")
def plain_town(town_run: Run) -> pd.DataFrame:
    """Measures, scores and ranks of the town as it is, by neighbourhood."""
    return town_run.priorities.set_index("id").sort_index()
