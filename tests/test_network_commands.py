"""The command `graph`, as a person uses it, in both languages."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from tests.conftest import layer, lines

ROOT = Path(__file__).parents[1]
TARMIM = Path(sys.executable).with_name("tarmim")


def tarmim(*words):
    return subprocess.run([TARMIM, *map(str, words)], cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("lang", "words"),
    [("en", ["Nodes: 1,862", "The largest", "100.00%", "Closed to traffic"]), ("ar", ["العقد", "الأكبر", "100.00%", "مقطوعة"])],
)
def test_graph_of_the_demo_city(lang, words):
    done = tarmim("graph", "data/demo", "--lang", lang)
    assert done.returncode == 0, done.stderr
    assert [word for word in words if word not in done.stdout] == []
    assert "{" not in done.stdout
    assert "nan" not in done.stdout


def test_a_planted_gap_is_shown_and_written(town, tmp_path):
    """A side street 20 m short of the main road: row 2 of the file nearly reaches row 1."""
    folder = town(roads=layer(lines([(0, 100), (2000, 100)], [(500, 120), (500, 400)]), id=["main", "side"]))
    out = tmp_path / "gaps.csv"
    done = tarmim("graph", folder, "--out", out)
    assert done.returncode == 0, done.stderr
    assert "Suspected gaps of the drawing" in done.stdout
    table = pd.read_csv(out)
    assert table[["distance_m", "row", "id", "other_row", "other_id"]].to_numpy().tolist() == [[20.0, 2, "side", 1, "main"]]
    assert "Suspected gap" not in tarmim("graph", folder, "--reach", "10").stdout


def test_a_study_without_roads(town):
    done = tarmim("graph", town(without=("roads",)))
    assert done.returncode == 1
    assert "The study has no roads." in done.stderr
    assert "Traceback" not in done.stderr
