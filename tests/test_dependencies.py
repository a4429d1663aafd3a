"""Needs between networks: the table as people write it, and what is said of its faults."""

from __future__ import annotations

import pytest

from geo.dependencies import BACKUP, usable
from geo.pipeline import assess, check, open_study, read_city
from tests.conftest import with_nodes

HEAD = "depender_layer,depender,dependee_layer,dependee,group,needs\n"
PUMP = {"water": with_nodes((0, 300, "pump", "functional"))}


def codes(findings):
    return [one.code for one in findings]


def test_a_study_without_the_table_has_no_needs(city):
    assert city().dependencies.table.empty
    assert city().dependencies.sha256 == ""


def test_columns_left_away_have_their_meaning(city):
    table = city(needs="depender_layer,depender,dependee_layer,dependee\nwater, N1 ,facilities,F1\n", **PUMP).dependencies.table
    assert table.to_dict("index") == {
        1: {
            "depender_layer": "water",
            "depender": "N1",
            "dependee_layer": "facilities",
            "dependee": "F1",
            "group": "",
            "needs": "supplied",
        }
    }


@pytest.mark.parametrize(
    ("needs", "code", "rows"),
    [
        ("a,b\n1,2\n", "dependencies-columns", ()),
        ("", "dependencies-file", ()),
        (HEAD + "water,N1,gas,G1,,\nwater,N1,water,W1,,\n", "dependencies-value", ("1",)),
        (HEAD + "backup,N1,water,W1,,\n", "dependencies-value", ("1",)),
        (HEAD + "water,N1,water,W1,,sometimes\n", "dependencies-value", ("1",)),
    ],
)
def test_faults_are_one_report(refused, needs, code, rows):
    (fault,) = refused(needs=needs, **PUMP)
    assert (fault.code, fault.rows) == (code, rows)


def test_a_table_that_is_not_there_is_named(refused, town):
    folder = town(needs=HEAD, **PUMP)
    (folder / "dependencies.csv").unlink()
    assert codes(check(folder))[0] == "missing-file"


def test_ids_that_nobody_has_are_warned_of_and_stop_nothing(town):
    lines = "water,N9,facilities,F1,,\nwater,N1,water,W99,,\nwater,N1,backup,generator,,\n"
    study, scheme = open_study(town(needs=HEAD + lines, **PUMP))
    run = assess(read_city(study), scheme)
    said = {one["code"]: one["rows"] for one in run.info["findings"] if one["code"].endswith("-astray")}
    assert said == {"depender-astray": ["1"], "dependee-astray": ["2"]}
    assert {"depender-astray", "dependee-astray"} <= set(codes(check(study.folder)))


def test_an_alternative_that_is_not_there_meets_its_group(city):
    """Nobody has seen the second feeder: that is unknown, not broken."""
    needs = city(needs=HEAD + "water,N1,water,W2,power,\nwater,N1,water,W99,power,\nwater,N1,water,W2,,\n", **PUMP).dependencies
    table, (said,) = usable(needs, {"water": {"N1", "W2"}})
    assert said.rows == ("2",)
    assert table.index.tolist() == [3]


def test_reserves_are_always_there(city):
    needs = city(needs=HEAD + f"water,N1,{BACKUP},solar,,\n", **PUMP).dependencies
    table, said = usable(needs, {"water": {"N1"}})
    assert (len(table), said) == (1, ())


def test_the_table_is_part_of_what_went_into_a_run(town):
    runs = [
        assess(read_city(study), scheme) for study, scheme in (open_study(town(needs=text, **PUMP)) for text in (HEAD, HEAD + "\n"))
    ]
    assert runs[0].id != runs[1].id
    assert runs[0].info["dependencies"]["file"] == "dependencies.csv"
