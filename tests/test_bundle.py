"""Bundles: a run and everything that went into it, computed again somewhere else with the same ranks and numbers."""

import datetime
import json
import shutil
import zipfile
from pathlib import Path

import pytest
from typer.testing import CliRunner

from api.cli import app
from geo import bundle, pipeline, surveys
from geo.errors import LayerError
from geo.store import Store
from geo.study import LayerSpec, read_study

NOW = datetime.datetime(2026, 11, 23, 12, tzinfo=datetime.UTC)
DEMO = Path(__file__).parents[1] / "data" / "demo"
ALEPPO = Path(__file__).parent / "studies" / "aleppo"


def ranked(folder, name="city"):
    """A copy of a study with one run in its store."""
    study, scheme = pipeline.open_study(folder)
    with Store.open(study.folder) as store:
        run = pipeline.assess(pipeline.read_city(study, accepted=surveys.from_store(store, study)), scheme)
        store.add_run(run, NOW)
    return study, run


@pytest.fixture
def demo(tmp_path):
    folder = tmp_path / "demo"
    shutil.copytree(DEMO, folder)
    return folder


def packed(study, run, path):
    with Store.open(study.folder) as store:
        return bundle.pack(store, study, run.id, path)


def test_bundle_is_computed_again_elsewhere_byte_for_byte(demo, tmp_path):
    study, run = ranked(demo)
    file = packed(study, run, tmp_path / "march.zip")
    shutil.rmtree(demo)
    found = bundle.verify(file)
    assert (found.run, found.same_id, found.same_ranks, found.same_numbers, found.difference) == (run.id, True, True, True, 0.0)
    assert found.findings == ()


def test_accepted_surveys_go_along_without_their_senders(demo, tmp_path):
    study = read_study(demo)
    with Store.open(demo) as store:
        own = study.layers["damage"]
        receipt = surveys.deliver(store, [demo / "damage.csv"], layer="damage", sender="Partner with a name", now=NOW)
        choices = LayerSpec(path="damage.csv", profile="unosat", extent=own.extent)
        surveys.check(store, study, receipt.id, choices, now=NOW)
        surveys.accept(store, study, receipt.id, by="planner", now=NOW)
    study, run = ranked(demo)
    file = packed(study, run, tmp_path / "march.zip")
    with zipfile.ZipFile(file) as archive:
        assert "Partner with a name" not in "".join(archive.read(one).decode("utf-8", "replace") for one in archive.namelist())
        assert not any(one.startswith("study/damage/damage.csv") for one in archive.namelist()), "the dataset counted, not the file"
    shutil.rmtree(demo)
    assert bundle.verify(file).same_numbers


def test_same_run_gives_the_same_bytes(demo, tmp_path):
    study, run = ranked(demo)
    assert packed(study, run, tmp_path / "a.zip").read_bytes() == packed(study, run, tmp_path / "b.zip").read_bytes()


def test_file_that_changed_since_the_run_is_not_bundled(demo, tmp_path):
    study, run = ranked(demo)
    with (demo / "damage.csv").open("a") as file:
        file.write("\n")
    (demo / "survey_extent.geojson").unlink()
    with pytest.raises(LayerError) as refused:
        packed(study, run, tmp_path / "a.zip")
    assert [(one.code, one.where) for one in refused.value.findings] == [
        ("input-changed", "damage"),
        ("input-changed", "damage.extent"),
    ]
    assert not (tmp_path / "a.zip").exists()


def rewritten(file, change):
    """A bundle with its parts changed, and its hashes made to fit."""
    with zipfile.ZipFile(file) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    change(parts)
    manifest = json.loads(parts[bundle.MANIFEST])
    manifest["files"] = {name: bundle._sha256(part) for name, part in parts.items() if name != bundle.MANIFEST}
    parts[bundle.MANIFEST] = json.dumps(manifest).encode()
    other = file.with_name("changed.zip")
    with zipfile.ZipFile(other, "w") as archive:
        for name, part in parts.items():
            archive.writestr(name, part)
    return other


def test_changed_result_or_input_is_found_out(demo, tmp_path):
    study, run = ranked(demo)
    file = packed(study, run, tmp_path / "march.zip")

    def better(parts):
        """Somebody lifts a place in the list, hashes and all."""
        text = parts["run/priorities.csv"].decode("utf-8-sig").splitlines()
        text[1], text[2] = "2" + text[1][1:], "1" + text[2][1:]
        parts["run/priorities.csv"] = ("\n".join(text) + "\n").encode("utf-8-sig")

    found = bundle.verify(rewritten(file, better))
    assert (found.same_id, found.same_ranks, found.same_numbers) == (True, False, False)

    def fewer(parts):
        rows = parts["study/complaints/complaints.csv"].splitlines(keepends=True)
        parts["study/complaints/complaints.csv"] = b"".join(rows[:-5])

    found = bundle.verify(rewritten(file, fewer))
    assert not found.same_id
    assert not found.same_numbers


@pytest.mark.parametrize("harm", ["cut", "flipped", "no zip", "missing part", "name that leads out"])
def test_damaged_bundle_is_one_report(demo, tmp_path, harm):
    study, run = ranked(demo)
    file = packed(study, run, tmp_path / "march.zip")
    content = bytearray(file.read_bytes())
    if harm == "cut":
        content = content[: len(content) // 2]
    elif harm == "flipped":
        content[len(content) // 3] ^= 0xFF
    elif harm == "no zip":
        content = bytearray(b"hello")
    file.write_bytes(content)
    if harm == "missing part":
        file = rewritten(file, lambda parts: None)
        with zipfile.ZipFile(file) as archive:
            parts = {name: archive.read(name) for name in archive.namelist() if name != "study.json"}
        with zipfile.ZipFile(file, "w") as archive:
            for name, part in parts.items():
                archive.writestr(name, part)
    if harm == "name that leads out":
        file = rewritten(file, lambda parts: parts.update({"../out.txt": b"x"}))
    with pytest.raises(LayerError) as refused:
        bundle.verify(file)
    assert [one.code for one in refused.value.findings] == ["no-bundle"]
    assert not (tmp_path / "out.txt").exists()


def test_commands(demo, tmp_path):
    runner = CliRunner()
    none = runner.invoke(app, ["bundle", "--study", str(demo)], obj="en")
    assert none.exit_code == 1
    assert "no run in this study yet" in none.output
    assert runner.invoke(app, ["rank", str(demo)], obj="en").exit_code == 0
    file = tmp_path / "march.zip"
    made = runner.invoke(app, ["bundle", "--study", str(demo), "--out", str(file)], obj="en")
    assert made.exit_code == 0, made.output
    held = runner.invoke(app, ["verify", str(file)], obj="ar")
    assert held.exit_code == 0, held.output
    assert held.output.count("✓") == 3


def test_aleppo(shared, tmp_path):
    folder = tmp_path / "aleppo"
    folder.mkdir()
    text = (ALEPPO / "study.toml").read_text(encoding="utf-8")
    (folder / "study.toml").write_text(text.replace("../../../../shared/data", str(shared / "data")), encoding="utf-8")
    study, run = ranked(folder)
    assert bundle.verify(packed(study, run, tmp_path / "aleppo.zip")).same_numbers


def test_decisions_on_names_and_the_scenario_go_along(demo, tmp_path):
    """The run stands on both: without them another run would come out."""
    from geo import decisions, scenarios

    (demo / "decisions").mkdir()
    (demo / decisions.FILE).write_text("layer,name,id,by,at\n", encoding="utf-8")
    study, scheme = pipeline.open_study(demo)
    with Store.open(demo) as store:
        run = pipeline.assess(scenarios.under(pipeline.read_city(study), "returnees"), scheme)
        store.add_run(run, NOW)
    assert run.info["decisions"]["sha256"]
    assert set(run.info["scenario"]["sha256"]) == {"add"}
    file = packed(study, run, tmp_path / "returnees.zip")
    shutil.rmtree(demo)
    found = bundle.verify(file)
    assert (found.same_id, found.same_ranks, found.same_numbers) == (True, True, True)


@pytest.mark.parametrize("gone", ["decisions/names.csv", "returnees.csv"])
def test_decisions_or_scenario_that_changed_are_not_bundled(demo, tmp_path, gone):
    from geo import decisions, scenarios

    (demo / "decisions").mkdir()
    (demo / decisions.FILE).write_text("layer,name,id,by,at\n", encoding="utf-8")
    study, scheme = pipeline.open_study(demo)
    with Store.open(demo) as store:
        run = pipeline.assess(scenarios.under(pipeline.read_city(study), "returnees"), scheme)
        store.add_run(run, NOW)
    (demo / gone).unlink()
    with pytest.raises(LayerError) as refused:
        packed(study, run, tmp_path / "x.zip")
    assert [one.code for one in refused.value.findings] == ["input-changed"]
