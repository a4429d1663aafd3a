"""Runs: an id that is the hash of what went in, written whole or not at all, and read back as it was."""

from __future__ import annotations

import json
import shutil

import geopandas as gpd
import pandas as pd
import pytest
import shapely

from geo.errors import ExportError
from geo.pipeline import assess, open_study, read_city
from geo.run import for_sector, load, save
from tests.conftest import A, B, layer, write_town


@pytest.fixture
def identity(tmp_path):
    """The id of the run of a town; `touch` changes the folder after it was written."""
    made = iter(range(100))

    def found(touch=None, scheme=None, **changes):
        folder = write_town(tmp_path / str(next(made)), **changes)
        if touch:
            touch(folder)
        study, chosen = open_study(folder, scheme)
        return assess(read_city(study), chosen).id

    return found


def test_same_inputs_same_id_wherever_they_lie(identity, town_run):
    assert identity() == identity() == town_run.id
    assert len(town_run.id) == 16


def append(name, more):
    def touch(folder):
        with (folder / name).open("ab") as file:
            file.write(more)

    return touch


@pytest.mark.parametrize(
    "change",
    [
        {"touch": append("population.csv", b"\n")},
        {"touch": append("damage.geojson", b" ")},
        {"touch": append("surveyed.geojson", b"\n")},
        {"surveyed": shapely.union_all([A, B])},
        {"scheme": "rapid"},
        {"study": {"name": {"ar": "بلدة أخرى", "en": "Town"}}},
        {"entries": {"facilities": {"where": {"kind": ["school"]}}}},
        {"entries": {"damage": {"extent": "study"}}},
        {"entries": {"roads": {"licence": "ODbL"}}},
        {"without": ("complaints",)},
        {"damage": lambda table: table.iloc[::-1]},
    ],
)
def test_one_byte_of_what_goes_in_changes_the_id(identity, town_run, change):
    assert identity(**change) != town_run.id


@pytest.mark.parametrize(
    "touch", [append("study.toml", b"\n# a remark\n"), append("notes.txt", b"x"), lambda folder: (folder / "new").mkdir()]
)
def test_what_does_not_go_in_changes_nothing(identity, town_run, touch):
    assert identity(touch=touch) == town_run.id


def test_order_of_the_layers_in_the_file_changes_nothing(identity, town_run):
    entries = {name: {} for name in ("complaints", "water")}
    assert identity(entries=dict(reversed(entries.items()))) == town_run.id

    def turned(folder):
        head, *layers = (folder / "study.toml").read_text(encoding="utf-8").split("[layers.")
        (folder / "study.toml").write_text(head + "".join(f"[layers.{one}\n" for one in reversed(layers)), encoding="utf-8")

    assert identity(touch=turned) == town_run.id


def same(one, other):
    assert one.id == other.id
    assert json.dumps(one.info, ensure_ascii=False) == json.dumps(other.info, ensure_ascii=False)
    for left, right in ((one.priorities, other.priorities), (one.left_out, other.left_out)):
        assert left.crs == right.crs
        assert left.geometry.geom_equals(right.geometry).tolist() == left.geometry.notna().tolist()
        pd.testing.assert_frame_equal(left.drop(columns="geometry"), right.drop(columns="geometry"))
    assert sorted(one.tables) == sorted(other.tables)
    for name, table in one.tables.items():
        pd.testing.assert_frame_equal(table, other.tables[name])


@pytest.mark.parametrize("oddity", [False, True])
def test_saved_and_loaded_is_the_same_run(run, tmp_path, oddity):
    """With and without rows left out; one of them has no place."""
    changes = {"damage": lambda table: table.assign(grade=["?", *table["grade"][1:]]).set_geometry([*table.geometry[:5], None])}
    made = run(**changes) if oddity else run()
    assert len(made.left_out) == (2 if oddity else 0)
    same(made, load(save(made, tmp_path / "runs")))


def test_two_runs_are_the_same_to_the_byte(run, tmp_path, town):
    """Made twice from the same folder: no clock, no chance."""
    places = [save(run(), tmp_path / name) for name in ("one", "two")]
    for file in ("run.json", "priorities.parquet", "left_out.parquet", "methods.parquet", "factors.parquet"):
        assert (places[0] / file).read_bytes() == (places[1] / file).read_bytes(), file


def test_saved_once(town_run, tmp_path):
    place = save(town_run, tmp_path)
    (place / "run.json").write_text("{}", encoding="utf-8")
    assert save(town_run, tmp_path) == place
    assert (place / "run.json").read_text(encoding="utf-8") == "{}", "a run that is there is left as it is"


def test_half_a_run_is_never_seen(town_run, tmp_path, monkeypatch):
    """The disk fills after the first table: nothing under the run's name, nothing left lying about, a clear error."""

    def full(self, path, **_):
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(gpd.GeoDataFrame, "to_parquet", full)
    with pytest.raises(ExportError, match="no room on the disk") as raised:
        save(town_run, tmp_path / "runs")
    assert raised.value.render("ar")
    assert list((tmp_path / "runs").iterdir()) == []


def test_two_writers_of_one_run(town_run, tmp_path, monkeypatch):
    """Another process puts the same run in place while this one writes."""
    done = save(town_run, tmp_path / "other")
    original = gpd.GeoDataFrame.to_parquet

    def meanwhile(self, *args, **more):
        if not (tmp_path / "runs" / town_run.id).exists():
            shutil.copytree(done, tmp_path / "runs" / town_run.id)
        return original(self, *args, **more)

    monkeypatch.setattr(gpd.GeoDataFrame, "to_parquet", meanwhile)
    same(town_run, load(save(town_run, tmp_path / "runs")))
    assert [one.name for one in (tmp_path / "runs").iterdir()] == [town_run.id]


def test_run_says_what_went_in(town_run):
    records = {one["layer"]: one for one in town_run.info["layers"]}
    assert list(records) == [
        "neighbourhoods", "buildings", "damage", "roads", "water", "facilities", "population", "complaints",
    ]  # fmt: skip
    assert records["damage"]["rows_read"] == records["damage"]["rows_used"] == 6
    assert len(records["damage"]["extent_sha256"]) == 64
    assert "/" not in records["damage"]["file"], "no path of this machine"
    assert town_run.info["scheme"]["factors"]["name"] == "tarmim"
    json.dumps(town_run.info)


def test_rows_left_out_by_the_people_table_count_too(run):
    made = run(population=pd.DataFrame({"id": ["A", "Z"], "people": [1, 2]}))
    record = next(one for one in made.info["layers"] if one["layer"] == "population")
    assert (record["rows_read"], record["rows_used"], record["rows_left_out"]) == (2, 1, 1)


def test_list_of_one_directorate(town_run):
    """By the water sub-score: A 100 (half its pipes broken is the worst goalpost), C 0; of B and D nothing is known."""
    water = for_sector(town_run, "water")
    assert water["id"].tolist() == ["A", "C", "B", "D"]
    assert water["score"].tolist()[:2] == [100, 0]
    assert water["status"].tolist() == ["ranked", "ranked", "not_assessable", "not_assessable"]
    assert water.crs == town_run.priorities.crs
    # its columns are those of the run without what speaks of the overall rank
    other_rank = ("contribution_", "why_", "would_be_", "rank_", "chance_", "band")
    assert list(water) == [name for name in town_run.priorities if not name.startswith(other_rank)]


def test_layer_of_every_kind_finds_its_way_into_the_record(run):
    made = run(works=layer([A], status=["funded"]), hazards=layer([B], kind=["mines"]))
    assert {"works", "hazards"} <= {one["layer"] for one in made.info["layers"]}
