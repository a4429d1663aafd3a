"""The command `tarmim`, as a person uses it: in a process of its own, in both languages."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from api.cli import language, without_language

ROOT = Path(__file__).parents[1]
DEMO = ROOT / "data" / "demo"
TARMIM = Path(sys.executable).with_name("tarmim")


def tarmim(*words, cwd=ROOT, **env):
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("LC_", "LANG", "TARMIM_"))}
    return subprocess.run([TARMIM, *map(str, words)], cwd=cwd, capture_output=True, text=True, env=plain | env, check=False)


@pytest.fixture(scope="module")
def ranked(tmp_path_factory):
    out = tmp_path_factory.mktemp("ranked") / "out"
    done = tarmim("rank", DEMO, "--out", out)
    assert done.returncode == 0, done.stderr
    return out, done


@pytest.mark.parametrize(
    ("arguments", "env", "expected"),
    [
        (["rank", "homs", "--lang", "ar"], {}, "ar"),
        (["--lang=en", "rank", "homs"], {"LANG": "ar_SY.UTF-8"}, "en"),
        (["rank", "homs"], {"LANG": "ar_SY.UTF-8"}, "ar"),
        (["rank", "homs"], {"TARMIM_LANG": "ar", "LANG": "en_GB.UTF-8"}, "ar"),
        (["rank", "homs"], {"LANG": "arn_CL.UTF-8"}, "en"),  # Mapudungun is not Arabic
        (["rank", "homs"], {"LANG": "C.UTF-8"}, "en"),
    ],
)
def test_language(monkeypatch, arguments, env, expected):
    for name in ("TARMIM_LANG", "LC_ALL", "LC_MESSAGES", "LANG"):
        monkeypatch.delenv(name, raising=False)
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    assert language(arguments) == expected
    assert without_language(["rank", "homs", "--lang", "ar", "--top", "3"]) == ["rank", "homs", "--top", "3"]


def test_rank_leaves_every_file_and_no_other(ranked):
    out, _ = ranked
    assert {path.name for path in out.iterdir()} == {
        "priorities.csv", "priorities.xlsx", "priorities.geojson", "priorities.gpkg", "priorities.parquet",
        "left_out.csv", "map.html", "run.json",
    }  # fmt: skip


def test_rank_says_what_the_files_say(ranked):
    out, done = ranked
    info = json.loads((out / "run.json").read_text(encoding="utf-8"))
    with (out / "priorities.csv").open(encoding="utf-8-sig", newline="") as lines:
        rows = list(csv.DictReader(lines))
    assert list(rows[0])[:1] == ["rank"]
    assert {"rank", "id", "name_ar", "name_en", "score", "coverage"} <= set(rows[0])
    assert info["run"] in done.stdout
    assert f"{float(rows[0]['score']):.1f}" in done.stdout
    assert rows[0]["name_en"] in done.stdout
    assert [row["rank"] for row in rows[-3:]] == ["", "", ""]  # not surveyed: no rank, and not ranked low
    assert {row["status"] for row in rows[-3:]} == {"not_assessable"}


def test_same_inputs_same_run(ranked, tmp_path):
    out, _ = ranked
    assert tarmim("rank", DEMO, "--out", tmp_path / "again", "--lang", "ar").returncode == 0
    for name in ("priorities.csv", "left_out.csv", "run.json", "priorities.geojson"):
        assert (tmp_path / "again" / name).read_bytes() == (out / name).read_bytes(), name


def test_rank_without_out_writes_into_the_study(tmp_path):
    assert tarmim("demo", "--dir", tmp_path / "demo", "--no-serve").returncode == 0
    assert tarmim("demo", "--dir", tmp_path / "demo", "--no-serve").returncode == 0  # a second time changes nothing
    runs, exports = (list((tmp_path / "demo" / name).iterdir()) for name in ("runs", "exports"))
    assert [one.name for one in runs] == [one.name for one in exports]
    assert len(runs) == 1
    assert (exports[0] / "map.html").stat().st_size > 100_000
    assert tarmim("fsck", "--study", tmp_path / "demo").returncode == 0


def test_init_then_check(tmp_path):
    folder = tmp_path / "homs"
    made = tarmim("init", folder, "--name-ar", 'حمص "القديمة"', "--name-en", "Homs\nOld")
    assert made.returncode == 0, made.stderr
    again = tarmim("init", folder, "--name-ar", "حمص", "--name-en", "Homs")
    assert again.returncode == 1
    assert "already" in again.stderr
    checked = tarmim("check", folder)
    assert checked.returncode == 1
    assert "neighbourhoods.geojson" in checked.stdout


@pytest.mark.parametrize(("lang", "said"), [("en", "There is no file"), ("ar", "لا يوجد ملف")])
@pytest.mark.parametrize("command", ["check", "rank", "map", "export", "serve"])
def test_fault_is_one_report_and_status_1(tmp_path, command, lang, said):
    done = tarmim(command, tmp_path / "nowhere", "--lang", lang, cwd=tmp_path)
    assert done.returncode == 1
    assert said in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_place_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("in the way")
    done = tarmim("export", DEMO, "--format", "csv", "--out", tmp_path / "file")
    assert done.returncode == 1
    assert "can't be written" in done.stderr
    assert "Traceback" not in done.stderr


def test_unknown_format_and_language_are_wrong_usage(tmp_path):
    assert tarmim("export", DEMO, "--format", "docx", "--out", tmp_path).returncode == 2
    assert tarmim("--lang", "fr", "check", DEMO).returncode == 2


def test_help_is_translated_and_loads_nothing_heavy():
    assert "رتّب الأحياء" in tarmim("--help", "--lang", "ar").stdout
    assert "tarmim rank homs" in tarmim("rank", "--help").stdout
    heavy = "import sys; sys.argv = ['tarmim', '--help']\nimport api.cli\ntry: api.cli.main()\nexcept SystemExit: pass\n"
    heavy += "print([m for m in ('pandas', 'geopandas', 'folium', 'fastapi', 'numpy', 'pydantic') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", heavy], capture_output=True, text=True, check=True)
    assert done.stdout.rstrip().endswith("[]")
