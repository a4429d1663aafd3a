"""Overrides: who was moved, by whom and why, beside the run's own ranks, with the price in people."""

import datetime
from itertools import permutations

import pytest

from geo.errors import SchemeError
from geo.overrides import Override, cost, decided, in_words
from geo.run import Run

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
