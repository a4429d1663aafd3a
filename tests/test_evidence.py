"""Evidence: several sources side by side, a declared rule decides, and what is taken away leaves no trace."""

from __future__ import annotations

import datetime
import re
from dataclasses import replace
from pathlib import Path
from typing import get_args

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from api.cli import app
from geo import bundle, evidence, surveys
from geo.errors import SchemaError, TarmimError
from geo.harmonise import Layer
from geo.left_out import together
from geo.pipeline import assess, open_study, read_city
from geo.registers import register
from geo.run import Run, save
from geo.store import Store
from geo.study import EvidenceKind, LayerSpec, Study, read_study
from tests.conftest import CRS, at, layer, points, write_table

NOW = datetime.datetime(2026, 11, 23, 12, tzinfo=datetime.UTC)
JUNE = datetime.date(2026, 6, 1)


def source(name, rows, *, date=JUNE, profile="tarmim", extent="study"):
    """A placed damage layer: `rows` are (x, y, state) or (x, y, state, id, date)."""
    frame = layer(points(*(row[:2] for row in rows)), state=[row[2] for row in rows], row=list(range(1, len(rows) + 1)))
    frame["state"] = frame["state"].astype("string")
    frame["zone"] = pd.Series("A", index=frame.index, dtype="string")
    frame["id"] = pd.Series([row[3] if len(row) > 3 else None for row in rows], dtype="string")
    if any(len(row) > 4 for row in rows):
        frame["date"] = pd.to_datetime([row[4] if len(row) > 4 else None for row in rows])
    spec = LayerSpec(path="x.csv", profile=profile, date=date)
    return Layer(name, frame, spec, together([], CRS), (), len(rows), "0" * 64, extent, rows_chosen=len(rows))


def weigh(*sources, buildings=None, complaints=None):
    return evidence.weigh({one.name: one for one in sources}, buildings, complaints)


def states(found):
    return found.frame["state"].tolist()


# One structure, two sources


def test_visit_beats_an_image_of_the_same_day():
    found, told = weigh(
        source("damage", [(100, 100, "moderate"), (500, 500, "severe")], profile="unosat"),
        source("damage/field", [(103, 100, "destroyed")]),
    )
    assert states(found) == ["severe", "destroyed"]
    assert told.table[["series", "kind", "state", "counts"]].values.tolist() == [
        ["field", "field", "destroyed", True],
        ["main", "satellite", "moderate", False],
    ]
    assert told.table["weight"].tolist() == [0.9, 0.6]
    (lost,) = found.left_out.to_dict("records")
    assert (lost["layer"], lost["row"], lost["reason"], lost["value"]) == ("damage", 1, "other-evidence", "moderate")


def test_newer_image_beats_an_old_visit():
    """0.9 halves in 730 days: after two years 0.45 is less than the 0.6 of an image of today, after one year it is not."""
    image = source("damage", [(100, 100, "destroyed")], profile="unosat")
    for days, state in ((730, "destroyed"), (365, "moderate")):
        visit = source("damage/field", [(100, 100, "moderate")], date=JUNE - datetime.timedelta(days=days))
        found, told = weigh(image, visit)
        assert states(found) == [state]
        assert told.table["weight"].tolist() == pytest.approx([0.9 * 0.5 ** (days / 730), 0.6])


def test_of_equal_weights_the_more_severe_counts():
    found, _ = weigh(source("damage/field-east", [(100, 100, "moderate")]), source("damage/field-west", [(101, 100, "severe")]))
    assert states(found) == ["severe"]


def test_a_source_that_could_not_say_never_overrules():
    found, _ = weigh(source("damage", [(100, 100, "severe")]), source("damage/field", [(100, 100, "not_analysed")]))
    assert states(found) == ["severe"]


def test_rows_without_a_date_count_as_old_as_the_oldest():
    found, told = weigh(
        source(
            "damage", [(100, 100, "severe", "a", "2026-06-01"), (300, 100, "none", "b", "2020-06-01")], date=None, profile="unosat"
        ),
        source("damage/field", [(100, 100, "none")], date=None),
    )
    assert states(found) == ["severe", "none"]
    assert told.table["weight"].iloc[0] == pytest.approx(0.9 * 0.5 ** (2191 / 730))
    assert [one.code for one in found.findings] == ["evidence-disagreement", "evidence-undated"]


# What is one structure


def test_far_apart_is_not_one_structure():
    found, told = weigh(source("damage", [(100, 100, "severe")]), source("damage/field", [(109, 100, "none")]))
    assert states(found) == ["severe", "none"]
    assert told.table.empty
    assert found.findings == ()


def test_only_the_nearest_of_each_other_are_one():
    """Two points of the image within reach of one visit: the visit speaks of the nearer one only."""
    found, told = weigh(
        source("damage", [(100, 100, "severe"), (106, 100, "destroyed")]), source("damage/field", [(102, 100, "none")])
    )
    assert states(found) == ["destroyed", "none"]
    assert len(told.table) == 2


def test_a_footprint_says_what_is_one():
    """A long hall: two points of the image in it, one visit at its far end; a second visit in the house beside it."""
    hall, house = at(shapely.box(100, 100, 160, 120), shapely.box(162, 100, 172, 110))
    frame = gpd.GeoDataFrame({"row": [1, 2]}, geometry=[hall, house], crs=CRS)
    inventory = Layer("buildings", frame, LayerSpec(path="b"), together([], CRS), (), 2, "1" * 64)
    image = source("damage", [(105, 110, "moderate"), (150, 110, "severe")], profile="unosat")
    found, told = weigh(image, source("damage/field", [(158, 110, "destroyed"), (163, 105, "none")]), buildings=inventory)
    assert states(found) == ["destroyed", "none"]
    assert told.table["structure"].nunique() == 1
    (row,) = told.disagreement().to_dict("records")
    assert (row["zone"], row["structures"], row["differ"], row["share"], row["steps"]) == ("A", 1, 1, 1.0, 3.0)
    assert (row["differ_1"], row["differ_2"], row["differ_more"]) == (0, 0, 1)


def test_three_sources_of_one_structure():
    found, told = weigh(
        source("damage", [(100, 100, "moderate")], profile="unosat"),
        source("damage/field", [(104, 100, "severe")]),
        source("damage/drone", [(102, 100, "destroyed")]),
    )
    assert states(found) == ["severe"]
    assert len(told.table) == 3
    assert told.table["counts"].sum() == 1


def test_a_chain_of_near_rows_is_not_one_structure():
    """Image, visit, drone, image again, 6, 5 and 7 m apart: the drone is the visit's, and neither image row is the other."""
    found, told = weigh(
        source("damage", [(100, 100, "severe"), (118, 100, "moderate")], profile="unosat"),
        source("damage/field", [(106, 100, "none")]),
        source("damage/drone", [(111, 100, "none")]),
    )
    assert told.table[["series", "row"]].values.tolist() == [["drone", 1], ["field", 1], ["main", 1]]
    assert states(found) == ["moderate", "none"]


@pytest.mark.parametrize(
    ("image", "visit", "days", "why"),
    [
        ("severe", "not_analysed", 0, "graded"),
        ("severe", "none", 0, "weight"),
        ("severe", "severe", 0, "weight"),
    ],
)
def test_what_decided_is_said(image, visit, days, why):
    _, told = weigh(source("damage", [(1, 1, image)], profile="unosat"), source("damage/field", [(1, 1, visit)]))
    assert set(told.table["why"]) == {why}


def test_of_equal_weights_what_decided_is_said():
    """Trust 0 makes every weight equal: the newer counts, then the more severe, then the name."""
    study = Study(
        id="x", name={"ar": "س", "en": "x"}, crs=CRS, layers={}, folder=Path(), evidence={"kinds": {"field": {"trust": 0}}}
    )
    rule = evidence.rules(study)
    for date, state, why in ((JUNE, "severe", "date"), (None, "severe", "severity"), (None, "none", "series")):
        one = source("damage/field-a", [(1, 1, "none")], date=date and JUNE - datetime.timedelta(days=1))
        told = evidence.weigh(
            {"damage/field-a": one, "damage/field-b": source("damage/field-b", [(1, 1, state)], date=date)}, None, None, rule
        )
        assert set(told[1].table["why"]) == {why}


def test_a_structure_on_a_boundary_is_counted_once_where_the_deciding_row_lies():
    image = source("damage", [(999, 100, "severe")], profile="unosat")
    visit = source("damage/field", [(1001, 100, "none")])
    visit = replace(visit, frame=visit.frame.assign(zone=pd.Series("B", index=visit.frame.index, dtype="string")))
    _, told = weigh(image, visit)
    (row,) = told.disagreement().to_dict("records")
    assert (row["zone"], row["structures"], row["differ"]) == ("B", 1, 1)


# Disagreement


def test_disagreement_is_counted_by_structure_and_degree():
    """Of three structures seen twice one is graded the same, one differs by 1 degree (severe, destroyed), one by 3 (none, moderate)."""
    places = [(100, 100), (200, 100), (300, 100)]
    one = [(*place, state) for place, state in zip(places, ("severe", "severe", "none"), strict=True)]
    other = [(*place, state) for place, state in zip(places, ("severe", "destroyed", "moderate"), strict=True)]
    found, told = weigh(source("damage", one), source("damage/field", other))
    (row,) = told.disagreement().to_dict("records")
    assert (row["structures"], row["differ"], row["share"]) == (3, 2, pytest.approx(2 / 3))
    assert row["steps"] == pytest.approx(4 / 3)
    assert (row["differ_1"], row["differ_2"], row["differ_more"]) == (1, 0, 1)
    (said,) = found.findings
    assert said.count == 2
    assert "67%" in said.render("en")


def test_complaints_stand_beside_and_never_count():
    frame = pd.DataFrame({"asset": ["S-1", "S-9"], "row": [1, 2], "id": ["c1", "c2"], "date": ["2026-06-20", "2026-06-20"]})
    complaints = Layer("complaints", frame, LayerSpec(path="c"), together([], CRS), (), 2, "1" * 64)
    image = source("damage", [(100, 100, "severe", "S-1")], profile="unosat")
    visit = source("damage/field", [(100, 100, "moderate")])
    found, told = weigh(image, visit, complaints=complaints)
    assert states(found) == ["moderate"] == states(weigh(image, visit)[0])
    assert told.table.loc[told.table["kind"] == "complaint", ["id", "state", "counts"]].values.tolist() == [["c1", pd.NA, False]]


# Properties

ROW = st.tuples(st.integers(0, 30), st.integers(0, 3), st.sampled_from(["none", "moderate", "severe", "destroyed", "not_analysed"]))


@given(st.lists(ROW, min_size=1, max_size=12), st.lists(ROW, min_size=1, max_size=12), st.lists(ROW, max_size=6))
def test_nothing_is_lost_and_the_order_of_sources_means_nothing(one, two, three):
    sources = [source("damage", one, profile="unosat"), source("damage/field", two)]
    sources += [source("damage/drone", three)] if three else []
    found, told = weigh(*sources)
    again, _ = weigh(*sources[::-1])
    assert found.frame.drop(columns="geometry").equals(again.frame.drop(columns="geometry"))
    assert len(found.frame) + len(found.left_out) == len(one) + len(two) + len(three)
    for each in told.sources.values():
        assert len(each.left_out) <= each.rows_read
    table = told.table
    assert (table.groupby("structure")["counts"].any()).all()
    assert (table.groupby("structure")["series"].nunique() > 1).all()
    assert not table.duplicated(["structure", "series"]).any()  # there are no footprints
    graded = table[table["state"] != "not_analysed"]
    best = graded.groupby("structure")["weight"].max()
    deciding = table[table["counts"]].groupby("structure")["weight"].max()
    assert (deciding[best.index] >= best - 1e-12).all()


def test_where_any_of_them_looked_was_looked():
    east, west = at(shapely.box(0, 0, 10, 10), shapely.box(10, 0, 20, 10))
    rows = [(100, 100, "severe")]
    both = weigh(source("damage", rows, extent=east), source("damage/field", rows, extent=west))[0].extent
    assert both.area == pytest.approx(200)
    assert weigh(source("damage", rows, extent=east), source("damage/field", rows, extent="study"))[0].extent == "study"
    assert weigh(source("damage", rows, extent=None), source("damage/field", rows, extent=west))[0].extent is None
    assert weigh(source("damage/drone", rows, extent=None), source("damage/field", rows, extent=west))[0].extent is None


def test_a_visit_that_does_not_say_where_it_looked_takes_nothing_away():
    """The image looked at the west; two houses visited, one of them in the east: said, and not taken for a survey of the east."""
    west = at(shapely.box(0, 0, 500, 1000))[0]
    image = source("damage", [(100, 100, "severe")], profile="unosat", extent=west)
    found, _ = weigh(image, source("damage/field", [(101, 100, "none"), (900, 100, "severe")], extent=None))
    assert found.extent.equals(west)
    (said,) = [one for one in found.findings if one.code == "evidence-beyond"]
    assert (said.where, said.rows) == ("damage/field", ("2",))


@given(st.lists(ROW, min_size=1, max_size=8), st.lists(ROW, min_size=1, max_size=8), st.floats(0, 1), st.floats(0, 1))
def test_more_trust_never_loses(one, two, less, more):
    """What counts of a kind still counts when that kind is trusted more."""
    sources = {"damage": source("damage", one, profile="unosat"), "damage/field": source("damage/field", two)}
    kept = []
    for trust in sorted((less, more)):
        kind = {**evidence.rules()["kind"], "field": {**evidence.rules()["kind"]["field"], "trust": trust}}
        table = evidence.weigh(sources, None, None, {**evidence.rules(), "kind": kind})[1].table
        kept.append(set(table.loc[(table["series"] == "field") & table["counts"], "row"]))
    assert kept[0] <= kept[1]


def test_study_may_trust_otherwise(town):
    folder = town()
    with (folder / "study.toml").open("a", encoding="utf-8") as file:
        file.write("\n[evidence]\nmatch_m = 2\n[evidence.kinds.field]\ntrust = 0.1\n")
    rule = evidence.rules(read_study(folder))
    assert (rule["match_m"], rule["kind"]["field"]["trust"], rule["kind"]["field"]["half_life_days"]) == (2, 0.1, 730)
    assert rule["kind"]["satellite"] == evidence.rules()["kind"]["satellite"]
    assert evidence.rules()["kind"]["field"]["trust"] == 0.9
    rows = [(100, 100, "severe")]
    sources = {"damage": source("damage", rows, profile="unosat"), "damage/field": source("damage/field", [(101, 100, "none")])}
    found, told = evidence.weigh(sources, None, None, rule)
    assert states(found) == ["severe"]
    assert evidence.record(told)["kinds"]["field"]["trust"] == 0.1


@pytest.mark.parametrize(
    "text", ["evidence = 5", "[evidence]\nmatch_m = 0", "[evidence.kinds.rumour]\ntrust = 1", "[evidence.kinds.field]\ntrust = 1.1"]
)
def test_rules_that_are_none_are_refused(town, text):
    folder = town()
    path = folder / "study.toml"
    path.write_text(f"{text}\n\n{path.read_text(encoding='utf-8')}", encoding="utf-8")
    with pytest.raises(TarmimError) as refused:
        read_study(folder)
    assert {one.code for one in refused.value.findings} == {"configuration"}


def test_kinds_of_the_study_are_those_of_the_rule():
    assert set(get_args(EvidenceKind)) == set(evidence.rules()["kind"])


def test_every_profile_of_damage_has_a_kind_that_is_known():
    kinds = evidence.rules()["kind"]
    assert all(0 <= rule["trust"] <= 1 and rule["half_life_days"] > 0 and rule["name"]["ar"] for rule in kinds.values())
    sources = {path.stem for path in (Path(evidence.__file__).parents[1] / "data" / "sources").glob("*.toml")}
    assert {name for rule in kinds.values() for name in rule["profiles"]} <= sources


# Series in the store


@pytest.fixture
def visited(town, tmp_path):
    """The town's study, and a function that accepts a field survey of A and B, or more, beside its file."""
    folder = town(entries={"damage": {"date": JUNE.isoformat()}})
    study, scheme = open_study(folder)

    def accept(rows, name="field", series="field"):
        file = tmp_path / f"{name}.geojson"
        write_table(layer(points(*(row[:2] for row in rows)), state=[row[2] for row in rows]), file)
        with Store.open(folder) as store:
            receipt = surveys.deliver(store, [file], layer="damage", sender="partner", now=NOW)
            choices = LayerSpec(path=file.name, extent="study", date=JUNE)
            surveys.check(store, study, receipt.id, choices, now=NOW)
            return surveys.accept(store, study, receipt.id, by="planner", now=NOW, series=series)

    def run() -> Run:
        with Store.open(folder) as store:
            made = assess(read_city(study, accepted=surveys.from_store(store, study)), scheme)
            store.add_run(made, NOW)
            return made

    return folder, accept, run


def test_town_with_a_field_survey(visited):
    """A's moderate house is a ruin, B's damaged one is sound; 10 buildings in A, 4 in B."""
    _, accept, run = visited
    before = run()
    accept([(300, 103, "destroyed"), (1500, 503, "none"), (1650, 700, "severe")])
    after = run()
    one, other = (made.priorities.set_index("id") for made in (before, after))
    assert one.loc["A", "structures_destroyed"] == 2
    assert other.loc["A", "structures_destroyed"] == 3
    assert "structures_moderate" not in other  # nobody calls one so any more
    assert other.loc["B", ["structures_severe", "structures_none"]].tolist() == [1, 2]
    assert after.id != before.id
    assert [entry["layer"] for entry in after.info["layers"] if entry["layer"].startswith("damage")] == ["damage", "damage/field"]
    for entry in after.info["layers"]:
        assert entry["rows_read"] == entry["rows_used"] + entry["rows_left_out"] + entry["rows_not_selected"], entry["layer"]
    assert after.info["evidence"]["series"] == {"main": "unstated", "field": "field"}
    table = after.tables["evidence"]
    assert len(table) == 4
    assert table["counts"].sum() == 2
    shares = after.tables["disagreement"].set_index("zone")["share"].to_dict()
    assert shares == {"A": 1.0, "B": 1.0}
    assert other["damage_disagreement_share"].dropna().to_dict() == shares
    assert set(other["damage_disagreement_share_note"].dropna()) == {"", "nothing-here"}
    assert "damage_disagreement_share" not in one
    assert {"evidence", "disagreement"} & set(before.tables) == set()


def test_taking_the_survey_away_gives_the_run_of_before(visited):
    folder, accept, run = visited
    before = run()
    made = accept([(300, 103, "destroyed")])
    with_it = run()
    with Store.open(folder) as store:
        store.withdraw(made.id, by="planner", reason="wrong street", now=NOW)
    after = run()
    assert before.id == after.id != with_it.id
    pd.testing.assert_frame_equal(before.priorities, after.priorities)
    pd.testing.assert_frame_equal(before.left_out, after.left_out)
    assert before.info == after.info
    places = [save(made, folder / name) for made, name in ((before, "one"), (after, "two"))]
    one, two = ({file.name: file.read_bytes() for file in place.iterdir()} for place in places)
    assert one == two


def test_taking_the_newer_of_a_series_away_brings_the_older_back(visited):
    folder, accept, run = visited
    first = accept([(300, 103, "destroyed")])
    before = run()
    second = accept([(1500, 503, "none")], name="second")
    assert run().id != before.id
    with Store.open(folder) as store:
        store.withdraw(second.id, by="planner", reason="wrong street", now=NOW)
        assert store.reinstated(second.id) == first.id
    after = run()
    assert after.id == before.id
    assert after.info == before.info
    pd.testing.assert_frame_equal(before.priorities, after.priorities)
    for name, table in before.tables.items():
        pd.testing.assert_frame_equal(table, after.tables[name])


def test_study_without_a_damage_file_has_its_series_alone(town, tmp_path):
    folder = town(without=("damage",))
    study, scheme = open_study(folder)
    rows = source("damage/field", [(300, 103, "destroyed")])
    visit = replace(rows, frame=rows.frame.drop(columns="zone"))
    run = assess(read_city(study, accepted={"damage/field": visit}), scheme)
    assert run.priorities.set_index("id").loc["A", "structures_destroyed"] == 1
    assert [one["layer"] for one in run.info["layers"] if "damage" in one["layer"]] == ["damage/field"]
    assert not {"evidence", "disagreement"} & set(run.tables)


def test_complaint_names_a_structure_of_a_visit(town):
    """Without a place of its own it stands at the structure, whichever source has its code."""
    folder = town(
        complaints=pd.DataFrame({"id": ["c"], "category": ["housing"], "asset": ["V-1"]}),
        entries={"complaints": {"path": "complaints.csv"}},
    )
    study, _ = open_study(folder)
    rows = source("damage/field", [(200, 503, "destroyed", "V-1")])
    city = read_city(study, accepted={"damage/field": replace(rows, frame=rows.frame.drop(columns="zone"))})
    assert city.layers["complaints"].frame["zone"].tolist() == ["A"]
    table = city.evidence.table
    assert table.loc[table["kind"] == "complaint", ["id", "counts"]].values.tolist() == [["c", False]]


def test_series_supersede_by_themselves(visited):
    folder, accept, _ = visited
    first = accept([(300, 103, "destroyed")])
    east = accept([(1500, 503, "none")], name="east", series="field-east")
    second = accept([(300, 103, "severe")], name="again")
    with Store.open(folder) as store:
        known = {(one.series, one.id) for one in store.datasets("damage")}
        assert known == {("field", second.id), ("field-east", east.id)}
        assert store.dataset(first.id).status == "superseded"
        assert second.supersedes == first.id
        assert store.fsck() == ()
        assert [one.details.get("series") for one in store.decisions() if one.what == "dataset-accepted"] == [
            "field",
            "field-east",
            "field",
        ]


def test_the_same_table_is_no_evidence_for_itself(visited):
    _, accept, _ = visited
    accept([(300, 103, "destroyed")])
    with pytest.raises(TarmimError) as refused:
        accept([(300, 103, "destroyed")], series="drone")
    assert refused.value.findings[0].code == "series-repeated"


@pytest.mark.parametrize("series", ["rumour", "complaint", "unstated", "field/../x", "field x", "FIELD", "field-" + "x" * 60])
def test_series_that_are_none_are_refused(visited, series):
    _, accept, _ = visited
    with pytest.raises(SchemaError) as refused:
        accept([(300, 103, "destroyed")], series=series)
    assert refused.value.findings[0].code == "series"


def test_only_damage_has_series(town):
    with pytest.raises(SchemaError):
        evidence.check_series("roads", "field")
    evidence.check_series("roads", "main")


def test_bundle_of_several_sources_is_computed_again(visited, tmp_path):
    folder, accept, run = visited
    accept([(300, 103, "destroyed"), (1500, 503, "none")])
    made = run()
    with Store.open(folder) as store:
        file = bundle.pack(store, read_study(folder), made.id, tmp_path / "both.zip")
    found = bundle.verify(file)
    assert (found.same_id, found.same_ranks, found.same_numbers) == (True, True, True)


def test_bundle_of_a_run_that_read_a_dataset_in_another_series(visited, tmp_path):
    """The survey counted alone, and later beside the file: the bundle of the earlier run holds it as it was read."""
    folder, accept, run = visited
    made = accept([(300, 103, "destroyed")], series="main")
    alone = run()
    with Store.open(folder) as store:
        store.withdraw(made.id, by="planner", reason="beside the other", now=NOW)
    assert accept([(300, 103, "destroyed")]).id == made.id
    with Store.open(folder) as store:
        file = bundle.pack(store, read_study(folder), alone.id, tmp_path / "alone.zip")
    assert bundle.verify(file).same_id


def test_commands(visited, tmp_path):
    """A date for rows that bear none, a series, what counts; and taking it away again."""
    folder, _, _ = visited
    file = tmp_path / "visit.geojson"
    write_table(layer(points((300, 103), (1500, 503)), state=["destroyed", "none"]), file)

    def said(*words):
        done = CliRunner().invoke(app, [*words, "--study", str(folder)], obj="en")
        assert done.exit_code == 0, done.output
        return done.output

    receipt = re.search(r"[0-9a-f]{32}", said("import", str(file), "--layer", "damage", "--date", "2026-05-01")).group()
    made = re.search(r"[0-9a-f]{32}", said("accept", receipt, "--series", "field")).group()
    assert "damage/field" in said("datasets")
    with Store.open(folder) as store:
        assert store.dataset(made).date == datetime.date(2026, 5, 1)
        assert surveys.from_store(store, read_study(folder))["damage/field"].spec.date == datetime.date(2026, 5, 1)
    other = re.search(r"[0-9a-f]{32}", said("choose", receipt, "--date", "2026-06-01")).group()
    assert other == receipt
    assert "Withdrawn" in said("withdraw", made, "--reason", "a trial")
    assert "damage/field" not in said("datasets")
    wrong = CliRunner().invoke(app, ["choose", receipt, "--date", "May", "--study", str(folder)], obj="en")
    assert wrong.exit_code == 1
    assert "2026-03-29" in wrong.output


def test_exports_show_every_source(visited, tmp_path):
    from geo.export import export

    _, accept, run = visited
    accept([(300, 103, "destroyed")])
    made = run()
    assert export(made, tmp_path / "out")
    lost = made.left_out[made.left_out["reason"] == "other-evidence"]
    assert lost["layer"].tolist() == ["damage"]


# A city


def test_demo_city_visited(tmp_path, demo_run):
    """Every fifth structure of the demo city seen again by a visit that finds it one degree worse where it can be."""
    study, scheme = open_study(Path(__file__).parents[1] / "data" / "demo")
    city = read_city(study)
    frame = city.layers["damage"].frame.iloc[::5].copy()
    worse = {"none": "slight", "slight": "moderate", "possible": "moderate", "moderate": "severe", "severe": "destroyed"}
    frame["state"] = frame["state"].map(lambda state: worse.get(state, state)).astype("string")
    visit = Layer(
        "damage/field",
        frame.drop(columns="zone"),
        LayerSpec(path="v", date=datetime.date(2026, 10, 1)),
        together([], study.crs),
        (),
        len(frame),
        "2" * 64,
        city.layers["damage"].extent,
        rows_chosen=len(frame),
    )
    run = assess(read_city(study, accepted={"damage/field": visit}), scheme)
    table = run.tables["evidence"]
    assert table["structure"].nunique() > 0.8 * len(frame)
    assert table.groupby("structure")["counts"].any().all()
    visits = table[table["series"] == "field"]
    assert visits["counts"].mean() > 0.95
    before, after = (one.priorities.set_index("id")["damage_index"] for one in (demo_run, run))
    assert (after.dropna() >= before.reindex(after.dropna().index) - 1e-9).all()
    assert run.tables["disagreement"]["share"].between(0, 1).all()


def test_aleppo_image_of_2015_beside_a_visit(shared):
    """Every 35th structure visited: the visit counts on each, the rest of the 2015 image stays as it is."""
    from tests.test_real_layers import ALEPPO

    study, _ = open_study(ALEPPO)
    layers = read_city(study).layers
    image = layers["damage"]
    chosen = image.frame.dropna(subset=["zone"]).iloc[::35]
    moved = chosen.assign(state=pd.Series("none", index=chosen.index, dtype="string"))
    moved = moved.set_geometry(chosen.geometry.translate(1.0, -1.0))
    visit = Layer(
        "damage/field",
        moved,
        LayerSpec(path="v", date=JUNE),
        together([], study.crs),
        (),
        len(moved),
        "2" * 64,
        "study",
        rows_chosen=len(moved),
    )
    found, told = evidence.weigh({"damage": image, "damage/field": visit}, layers["buildings"])
    assert len(found.frame) + len(found.left_out) - len(image.left_out) == len(image.frame) + len(moved)
    mine = told.table[told.table["series"] == "field"]
    assert mine["counts"].all()
    assert len(mine) > 0.9 * len(moved) > 300
    assert np.isclose(told.disagreement()["share"].max(), 1.0)
    assert set(register("states")) >= set(found.frame["state"].dropna())
