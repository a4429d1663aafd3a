"""Overrides: who was moved, by whom and why, beside the run's own ranks, with the price in people."""

import datetime
import shutil
from itertools import permutations
from pathlib import Path

import openpyxl
import pandas as pd
import pytest
from fastapi.testclient import TestClient
from typer.testing import CliRunner

from api.app import create_app
from api.cli import app
from api.settings import Settings
from api.state import load
from geo.errors import SchemeError
from geo.export import export
from geo.overrides import Override, cost, decided, in_words
from geo.run import Run
from maps.page import list_page, single_file

DEMO = Path(__file__).parents[1] / "data" / "demo"

DAY = datetime.date(2026, 11, 23)


def override(unit, rank, **said):
    return Override(unit, rank, **{"by": "the governor", "on": DAY, "why": "the hospital stands there", **said})


@pytest.fixture
def run(demo_run) -> Run:
    return demo_run


def first(run, count=4):
    return run.priorities["id"].head(count).tolist()


def test_moved_unit_stands_where_it_was_put_and_the_others_keep_their_order(run):
    a, b, c, d = first(run)
    table = decided(run, [override(d, 1)]).priorities
    assert table["id"].head(4).tolist() == [a, b, c, d], "the run's own order stays"
    assert table["rank"].tolist() == run.priorities["rank"].tolist()
    assert table["decided_rank"].head(5).tolist() == [2, 3, 4, 1, 5]
    assert table.set_index("id").loc[d, ["decided_by", "decided_on", "decided_why"]].tolist() == [
        "the governor",
        "2026-11-23",
        "the hospital stands there",
    ]
    assert table["decided_by"].notna().sum() == 1


def test_ranks_decided_are_a_permutation_whatever_is_moved(run):
    units = first(run)
    ranked = int((run.priorities["status"] == "ranked").sum())
    for places in permutations(range(1, 5)):
        moved = decided(run, [override(unit, place) for unit, place in zip(units, places, strict=True)]).priorities
        assert moved["decided_rank"].head(4).tolist() == list(places)
        assert sorted(moved["decided_rank"].dropna()) == list(range(1, ranked + 1))


def test_not_assessable_has_no_decided_rank_either(run):
    table = decided(run, [override(first(run)[1], 1)]).priorities
    assert table.loc[table["status"] != "ranked", "decided_rank"].isna().all()


def test_cost_counts_people_and_places_by_hand(run):
    """The fourth is put first: its people come three places sooner, the people of the first three wait one place each."""
    people = run.priorities["people"].head(4).tolist()
    found = cost(decided(run, [override(first(run)[3], 1)]))
    assert (found.units_sooner, found.units_later) == (1, 3)
    assert found.sooner == pytest.approx(people[3])
    assert found.places_sooner == pytest.approx(3 * people[3])
    assert found.later == found.places_later == pytest.approx(sum(people[:3]))


def test_people_not_known_are_said_and_not_counted(run):
    table = run.priorities.copy()
    table.loc[0, "people"] = float("nan")
    moved = decided(Run(run.id, run.info, table, run.left_out), [override(first(run)[1], 1)])
    assert cost(moved).unknown == 1
    assert cost(moved).later == 0
    assert "not known" in in_words(moved)["en"]


def test_no_decision_changes_nothing(run):
    assert decided(run, []) is run
    assert in_words(run) == {"ar": "", "en": ""}


def test_everything_that_can_not_be_is_told_at_once(run):
    apart = run.priorities.loc[run.priorities["status"] != "ranked", "id"].iloc[0]
    with pytest.raises(SchemeError) as refused:
        decided(
            run, [override(apart, 1), override(first(run)[0], 999), override(first(run)[1], 1, why=" "), override(first(run)[2], 5)]
        )
    assert [one.code for one in refused.value.findings] == ["override-unit", "override-rank", "override-reason", "override-twice"]


# ------------------------------------------------------------------------------------------------ where people see them


def test_list_map_table_and_api_show_both_ranks_and_the_price(run, tmp_path):
    """What a person typed reaches no page unescaped and no spreadsheet as a formula."""
    nasty = '=HYPERLINK("x")<script>alert(1)</script>'
    moved = decided(run, [override(first(run)[3], 1, why=nasty)])
    for lang in ("ar", "en"):
        page = list_page(moved, lang=lang, assets_url="/static")
        assert "<script>alert" not in page
        assert "&lt;script&gt;alert" in page
        assert page.count('class="decided"') == 4, "the one that was moved and the three that gave way"
        assert in_words(moved)[lang] in page
        single = single_file(moved, lang=lang)
        assert "<script>alert(1)" not in single
        assert '"decided_rank":[2,3,4,1' in single
    export(moved, tmp_path)
    rows = pd.read_csv(tmp_path / "priorities.csv")
    assert rows["decided_rank"].head(4).tolist() == [2, 3, 4, 1]
    assert rows["decided_why"].dropna().tolist() == ["'" + nasty]
    book = openpyxl.load_workbook(tmp_path / "priorities.xlsx")
    heads = [[cell.value for cell in sheet[3]] for sheet in book.worksheets[:2]]
    assert any("المرتبة المقررة" in row for row in heads)
    assert any("Rank decided" in row for row in heads)


def test_commands_note_show_and_take_back(tmp_path):
    folder = tmp_path / "demo"
    shutil.copytree(DEMO, folder)
    runner = CliRunner()

    def tarmim(*arguments):
        return runner.invoke(app, [*map(str, arguments), "--study", str(folder)], obj="en")

    assert runner.invoke(app, ["rank", str(folder)], obj="en").exit_code == 0
    unit = "DEMO-08"
    noted = tarmim("override", unit, "--rank", 1, "--by", "the mayor", "--why", "the hospital stands there")
    assert noted.exit_code == 0, noted.output
    assert "wait longer" in noted.output
    runner.invoke(app, ["export", str(folder), "--format", "csv", "--out", str(tmp_path / "out")], obj="en")
    rows = pd.read_csv(tmp_path / "out" / "priorities.csv").set_index("id")
    assert (rows.loc[unit, "decided_rank"], rows.loc[unit, "decided_by"]) == (1, "the mayor")
    with TestClient(create_app(Settings(study=folder), load(Settings(study=folder))), base_url="http://127.0.0.1:8000") as client:
        answer = client.get("/priorities", headers={"accept": "application/json"})
        first_item = next(one for one in answer.json()["items"] if one["id"] == unit)
        assert (first_item["decided_rank"], first_item["decided_why"]) == (1, "the hospital stands there")
        before = answer.headers["etag"]
    log = tarmim("log")
    assert "rank-overridden" in log.output
    seal = log.output.rsplit(" ", 1)[1].strip()
    assert tarmim("override", unit, "--rank", 0, "--by", "the mayor", "--why", "it moved").exit_code == 0
    assert tarmim("log", "--seal", seal).exit_code == 0, "an older seal still stands"
    assert tarmim("log", "--seal", "f" * 64).exit_code == 1
    with TestClient(create_app(Settings(study=folder), load(Settings(study=folder))), base_url="http://127.0.0.1:8000") as client:
        answer = client.get("/priorities", headers={"accept": "application/json"})
        assert answer.headers["etag"] != before, "a decision changes what was kept"
        assert "decided_rank" not in answer.json()["items"][0] or answer.json()["items"][0]["decided_rank"] is None
