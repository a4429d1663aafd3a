"""Scenarios: people alone change, a run says under which it stands, and what moves is listed."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from geo import pipeline, scenarios
from geo.difference import movers
from geo.errors import TarmimError
from geo.population import people as people_now
from tests.conftest import toml

DEMO = Path(__file__).parents[1] / "data" / "demo"
NAME = {"ar": "افتراض", "en": "Scenario"}
BEFORE = pd.DataFrame(
    {
        "id": ["A", "B", "C", "D"],
        "people": [1000, 2000, 4000, 500],
        "people_low": [900] * 4,
        "people_before": [9000, 2000, None, 700],
    }
)


def with_scenarios(town, tables=None, **entries):
    folder = town(**(tables or {}))
    text = (folder / "study.toml").read_text(encoding="utf-8")
    for name, entry in entries.items():
        text += f"\n[scenarios.{name}]\n" + "\n".join(f"{key} = {toml(value)}" for key, value in ({"name": NAME} | entry).items())
    (folder / "study.toml").write_text(text, encoding="utf-8")
    return folder


def city_under(folder, name):
    return scenarios.under(pipeline.read_city(pipeline.open_study(folder)[0]), name)


def people_under(folder, name):
    return scenarios.people(city_under(folder, name)).table["people"].tolist()


def test_column(town):
    """Another column of the same table; the bounds of now do not bound another time, and what it does not know is unknown."""
    folder = with_scenarios(town, {"population": BEFORE}, before={"column": "people_before"})
    found = scenarios.people(city_under(folder, "before")).table
    assert found["people"].tolist() == pytest.approx([9000, 2000, np.nan, 700], nan_ok=True)
    assert found["people_low"].isna().all()
    assert people_under(folder, "now") == [1000, 2000, 4000, 500]


def test_another_file(town):
    folder = with_scenarios(town, old={"path": "old.csv", "columns": {"people": "n"}})
    pd.DataFrame({"id": ["A", "B", "C", "D"], "n": [1, 2, 3, 4]}).to_csv(folder / "old.csv", index=False)
    assert people_under(folder, "old") == [1, 2, 3, 4]


def test_added_people(town):
    """B by its code, D without a number; whoever is not named gets nobody."""
    folder = with_scenarios(town, returnees={"add": "back.csv"})
    (folder / "back.csv").write_text("id,people\nB,500\nD,\n", encoding="utf-8")
    found = scenarios.people(city_under(folder, "returnees"))
    assert found.table["people"].tolist() == pytest.approx([1000, 2500, 4000, np.nan], nan_ok=True)
    assert found.coverage.tolist() == [1, 1, 1, 0]


def test_added_people_of_nowhere_are_left_out(town):
    folder = with_scenarios(town, returnees={"add": "back.csv"})
    (folder / "back.csv").write_text("id,people\nB,500\nX,100\n", encoding="utf-8")
    assert scenarios.people(city_under(folder, "returnees")).left_out["reason"].tolist() == ["no-neighbourhood"]


def test_factors(town):
    """By district; a neighbourhood's own goes before it. Bounds are multiplied too, and additions come after."""
    folder = with_scenarios(town, {"population": BEFORE}, more={"factors": {"South": 1.5, "B": 3, "D": 0}, "add": "back.csv"})
    (folder / "back.csv").write_text("id,people\nD,5\n", encoding="utf-8")
    found = scenarios.people(city_under(folder, "more")).table
    assert found["people"].tolist() == [1500, 6000, 4000, 5]
    assert found["people_low"].tolist() == [1350, 2700, 900, 5]


@pytest.mark.parametrize(
    ("entry", "code"),
    [
        ({}, "configuration"),
        ({"column": "people_before", "path": "old.csv"}, "configuration"),
        ({"factors": {"A": -1}}, "configuration"),
        ({"add": "nowhere.csv"}, "missing-file"),
        ({"path": "population.csv", "columns": {"persons": "people"}}, "unknown-column"),
        ({"column": "people_before"}, "missing-column"),
        ({"column": "id"}, "missing-column"),
        ({"factors": {"Nowhere": 2}}, "unknown-name"),
    ],
)
def test_faults_are_found_by_the_check(town, entry, code):
    folder = with_scenarios(town, wrong=entry)
    found = [one for one in pipeline.check(folder) if one.severity == "error"]
    assert [one.code for one in found] == [code]
    assert found[0].render("ar") != found[0].render("en")


def test_faults_of_several_scenarios_come_together(town):
    folder = with_scenarios(town, one={"column": "people_before"}, two={"factors": {"Nowhere": 2}})
    assert [one.where for one in pipeline.check(folder) if one.severity == "error"] == ["scenarios.one", "scenarios.two"]


def test_table_of_additions_that_names_no_neighbourhood(town):
    folder = with_scenarios(town, returnees={"add": "back.csv"})
    (folder / "back.csv").write_text("id,people\nX,100\n", encoding="utf-8")
    with pytest.raises(TarmimError, match="names a neighbourhood"):
        people_under(folder, "returnees")


def test_now_is_the_name_of_no_scenario_and_others_are_listed(town):
    assert [one.code for one in pipeline.check(with_scenarios(town, now={"factors": {"A": 2}}))] == ["configuration"]
    folder = with_scenarios(town, more={"factors": {"A": 2}})
    with pytest.raises(TarmimError, match="now, more"):
        city_under(folder, "less")


def test_run_names_its_scenario_and_one_of_now_keeps_its_id(town):
    plain, scheme = pipeline.open_study(town())
    before = pipeline.assess(pipeline.read_city(plain), scheme)
    folder = with_scenarios(town, returnees={"add": "back.csv"})
    (folder / "back.csv").write_text("id,people\nB,500\n", encoding="utf-8")
    now = pipeline.assess(city_under(folder, "now"), scheme)
    then = pipeline.assess(city_under(folder, "returnees"), scheme)
    assert now.id == before.id
    assert "scenario" not in now.info
    assert then.id != now.id
    assert then.info["scenario"]["id"] == "returnees"
    assert then.info["scenario"]["settings"] == {"add": "back.csv"}
    json.dumps(then.info)
    (folder / "back.csv").write_text("id,people\nB,501\n", encoding="utf-8")
    assert pipeline.assess(city_under(folder, "returnees"), scheme).id != then.id


def test_movers_on_paper(town):
    """B gets twenty times its people, so that its damaged homes weigh: it passes C, and both move by one."""
    folder = with_scenarios(town, crowded={"factors": {"B": 20}})
    _, scheme = pipeline.open_study(folder)
    now, then = (pipeline.assess(city_under(folder, name), scheme) for name in ("now", "crowded"))
    table = movers(now, then)
    ranks = now.priorities.set_index("id")["rank"], then.priorities.set_index("id")["rank"]
    assert set(table.index) == {name for name in "ABC" if ranks[0][name] != ranks[1][name]}
    assert not table.empty
    assert (table["moved"] == ranks[0][table.index] - ranks[1][table.index]).all()
    assert table.at["B", "people"] == 40_000
    assert movers(now, now).empty


def test_demo_city():
    """Wadi al-Sayeh, whose people nobody counted after the war, has a rank as before the war, and comes first among the movers."""
    study, scheme = pipeline.open_study(DEMO)
    city = pipeline.read_city(study)
    now, before = (pipeline.assess(scenarios.under(city, name), scheme) for name in ("now", "before"))
    table = movers(now, before)
    assert table.index[0] == "DEMO-21"
    assert pd.isna(table.at["DEMO-21", "rank_now"])
    assert table["moved"].abs().dropna().is_monotonic_decreasing
    back = scenarios.people(scenarios.under(city, "returnees")).table["people"]
    assert (back.dropna() >= people_now(city).table["people"].dropna()).all()
    assert scenarios.people(scenarios.under(city, "before")).table["people"].sum() == pytest.approx(800_000, abs=200)
