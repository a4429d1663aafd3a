"""Sensitivity: the mean shift of ranks when one assumption is another."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from geo import criteria, scenarios
from geo.agreement import compare_methods
from geo.pipeline import assess, open_study, read_city
from geo.scheme import read_factors
from geo.sensitivity import KINDS, assumptions, shift
from tests.conftest import write_town

ROOT = Path(__file__).parents[1]
TARMIM = Path(sys.executable).with_name("tarmim")


@pytest.fixture(scope="module")
def demo():
    study, scheme = open_study(ROOT / "data" / "demo")
    city = read_city(study)
    people = scenarios.people(city)
    return city, scheme, criteria.measure(city, scheme, people), people


def test_shift_by_hand():
    """Ranks 1, 2, 3, 4 against 2, 1, 3, none: (1 + 1 + 0) / 3; what is not ranked in both does not count."""
    agreed, varied = pd.Series([1, 2, 3, 4], dtype="Int64"), pd.Series([2, 1, 3, None], dtype="Int64")
    assert shift(agreed, varied) == pytest.approx(2 / 3)
    assert pd.isna(shift(agreed, pd.Series([None] * 4, dtype="Int64")))


def test_town(tmp_path):
    """One row for each of 6 other factor tables, 2 reaches, 2 × … of people (none: they have no bounds), each criterion thrice."""
    study, scheme = open_study(write_town(tmp_path / "town"))
    city = read_city(study)
    people = scenarios.people(city)
    table = assumptions(city, scheme, criteria.measure(city, scheme, people), people)
    counts = table["kind"].value_counts()
    assert counts["factors"] == 6
    assert counts["reach"] == 2
    assert "population" not in counts
    assert counts["left_out"] == len(scheme.criteria)
    assert counts["weight"] == 2 * len(scheme.criteria)
    assert counts["normalisation"] + counts["method"] == 10
    assert table["shift"].is_monotonic_decreasing
    assert set(table["kind"]) <= set(KINDS)


def test_rows_are_what_a_run_would_give(demo):
    """Varied in the scheme and assessed anew, the same mean shift."""
    city, scheme, measures, people = demo
    table = assumptions(city, scheme, measures, people)
    agreed = assess(city, scheme).priorities.set_index("id")["rank"]
    near = scheme.model_copy(update={"options": scheme.options.model_copy(update={"debris_reach_m": (20.0, 20.0, 20.0)})})
    gem = scheme.model_copy(update={"factors": read_factors("gem")})
    weights = {one.measure: one.weight for one in scheme.criteria}
    less = scheme.with_weights({**weights, "damage_index": weights["damage_index"] * 0.75})
    for said, changed in (
        ("Debris reaches 20 m", near), ("Factors: gem", gem), ("'Damage index' weighs a quarter less", less),
        ("Weighted geometric mean", scheme.model_copy(update={"method": "geometric_mean"})),
    ):  # fmt: skip
        again = assess(city, changed).priorities.set_index("id")["rank"]
        row = table[table["said_en"] == said].iloc[0]
        assert row["shift"] == pytest.approx(shift(agreed, again[agreed.index])), said
        away = (again - agreed).abs()
        assert row["largest"] == away.max()
        assert row["moved"] == (away > 0).sum()
        if row["largest"]:
            assert away[row["unit"]] == row["largest"]
    people_rows = table[table["kind"] == "population"]
    assert len(people_rows) == 2
    assert (people_rows["moved"] > 0).any()


def test_spotis_is_the_weighted_sum(demo):
    """With goalposts both are the same list: no shift; and what is agreed is not among the varied."""
    city, scheme, measures, people = demo
    table = assumptions(city, scheme, measures, people).set_index("said_en")
    assert table.at["SPOTIS", "shift"] == 0
    assert "Weighted sum" not in table.index
    assert len(table) == len(set(table["said_ar"]))
    ranks = compare_methods(measures, scheme)
    assert table.at["TOPSIS between goalposts", "shift"] == pytest.approx(shift(ranks.iloc[:, 0], ranks["topsis.goalposts"]))


def test_unassessable_are_counted(tmp_path):
    """Electricity, a tenth of the weights, is unknown in the whole town: 90 % are known. Without any other criterion less than 90 %
    are, and none of the three can be assessed; without electricity all 100 % are.
    """
    study, scheme = open_study(write_town(tmp_path / "town"))
    city = read_city(study)
    people = scenarios.people(city)
    strict = scheme.model_copy(update={"minimum_coverage": 0.9})
    left = assumptions(city, strict, criteria.measure(city, strict, people), people).set_index("said_en")
    left = left[left["kind"] == "left_out"]
    assert left["unranked"].max() > 0
    assert left.at["Without 'Share of electricity network damaged'", "unranked"] == 0
    assert left["shift"].isna().tolist() == (left["unranked"] == left["unranked"].max()).tolist()


@pytest.mark.parametrize("lang", ["en", "ar"])
def test_command(lang):
    def tarmim(*said):
        return subprocess.run([TARMIM, *said], cwd=ROOT, capture_output=True, text=True, check=False)

    done = tarmim("sensitivity", "data/demo", "--top", "10", "--lines", "5", "--lang", lang)
    assert done.returncode == 0, done.stderr
    assert "{" not in done.stdout
    assert "nan" not in done.stdout
    assert len(re.findall(r"DEMO-\d\d", done.stdout)) >= 5
    first = pd.read_csv(ROOT / "data" / "demo" / "expected.csv")["id"].iloc[0]
    alone = tarmim("sensitivity", "data/demo", first, "--top", "1", "--lang", lang)
    assert alone.returncode == 0, alone.stderr
    assert first in alone.stdout
    last = pd.read_csv(ROOT / "data" / "demo" / "expected.csv")["id"].iloc[-1]
    apart = tarmim("sensitivity", "data/demo", last)
    assert apart.returncode == 1
    assert "Traceback" not in apart.stderr
