"""The commands about people, in a process of their own and in both languages."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from tests.conftest import write_town
from tests.test_cli import DEMO, tarmim


def test_complaints_by_directorate_and_the_overdue_ones(tmp_path):
    out = tmp_path / "overdue.csv"
    done = tarmim("complaints", DEMO, "--sector", "water", "--on", "2025-11-01", "--out", out, "--top", "2")
    assert done.returncode == 0, done.stderr
    with out.open(encoding="utf-8-sig", newline="") as lines:
        rows = list(csv.DictReader(lines))
    assert {row["sector"] for row in rows} == {"water"}
    assert all(float(row["overdue_days"]) > 0 for row in rows)
    assert f"Overdue: {len(rows)}." in done.stdout
    assert rows[0]["id"] in done.stdout
    assert rows[3]["id"] not in done.stdout
    assert not {"geometry", "lon", "lat", "x", "y"} & set(rows[0])


def test_day_is_the_newest_of_the_data_where_none_is_given():
    assert "2025-12-27" in tarmim("complaints", DEMO).stdout


@pytest.mark.parametrize("words", [("--on", "yesterday"), ("--sector", "love")])
def test_wrong_usage(words):
    assert tarmim("complaints", DEMO, *words).returncode == 2


def test_study_without_complaints_and_without_dates(tmp_path):
    none = tarmim("complaints", write_town(tmp_path / "none", without=("complaints",)))
    undated = tarmim("complaints", write_town(tmp_path / "undated"))
    for done, said in ((none, "There is no layer 'complaints'"), (undated, "No complaint has a date")):
        assert done.returncode == 1
        assert said in done.stderr
        assert "Traceback" not in done.stderr


def test_equity_in_both_languages():
    english, arabic = tarmim("equity", DEMO), tarmim("equity", DEMO, "--lang", "ar")
    assert "η = 1.3" in english.stdout
    assert "Gini" in english.stdout
    assert "DEMO-21, DEMO-35, DEMO-36" in english.stdout
    assert "جيني" in arabic.stdout
    assert "القصور" in arabic.stdout


def test_scenarios_in_both_languages():
    english, arabic = tarmim("scenarios", DEMO, "--top", "1"), tarmim("scenarios", DEMO, "--lang", "ar")
    assert "With the expected returnees" in english.stdout
    assert "Wadi al-Sayeh" in english.stdout
    assert "كما قبل الحرب" in arabic.stdout


def test_study_without_scenarios(tmp_path):
    assert "no scenarios" in tarmim("scenarios", write_town(tmp_path)).stdout


def test_rank_under_a_scenario(tmp_path):
    done = tarmim("rank", DEMO, "--scenario", "before", "--out", tmp_path)
    assert done.returncode == 0, done.stderr
    assert "As before the war" in done.stdout
    info = json.loads((Path(tmp_path) / "run.json").read_text(encoding="utf-8"))
    assert info["scenario"]["id"] == "before"
    unknown = tarmim("rank", DEMO, "--scenario", "after", "--lang", "ar")
    assert unknown.returncode == 1
    assert "returnees" in unknown.stderr
