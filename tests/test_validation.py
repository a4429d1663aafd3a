"""Validation: what a column holds becomes our types, what it can't becomes unknown and is listed, what is needed is asked for."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from geo.errors import SchemaError
from geo.registers import names, register, table, tree
from geo.study import LayerSpec
from geo.validation import as_number, as_text, validate
from tests.conftest import A, layer, points


def where(faults):
    return [(one.where, one.code) for one in faults]


def checked(frame, name, **entry):
    return validate(frame.assign(row=range(1, len(frame) + 1)), name, LayerSpec(path="x", **entry))


def test_missing_column_names_those_that_are_there_and_those_that_are_near(refused):
    fault = refused(neighbourhoods=lambda zones: zones.rename(columns={"id": "ids"}))[0]
    assert (fault.where, fault.code) == ("neighbourhoods", "missing-column")
    text = fault.render("en")
    assert "no column 'id'" in text
    assert "Perhaps ids" in text
    assert "name_ar" in text
    assert 'columns = { id = "…" }' in text


def test_all_missing_columns_of_a_layer_come_together(refused):
    faults = refused(
        neighbourhoods=lambda zones: zones[["district", "geometry"]].rename(columns={"district": "x"}),
        entries={"neighbourhoods": {"columns": {"district": "dist"}}},
    )
    own = [fault for fault in faults if fault.where == "neighbourhoods"]
    asked = [fault.found.render("en").split("'")[1] for fault in own]
    assert asked == ["id", "dist", "name_ar"], "the code, a column that study.toml names, and one of the two names"
    assert 'columns = { district = "…" }' in own[1].render("en"), "what to write is our name of the column"


def test_faults_of_several_layers_come_together(refused):
    faults = refused(
        neighbourhoods=lambda zones: zones.drop(columns=["name_ar", "name_en"]),
        damage=lambda table: table.rename(columns={"grade": "class"}),
        roads=b"no parquet",
        population=pd.DataFrame({"id": ["A"], "inhabitants": [5]}),
    )
    assert where(faults) == [
        ("neighbourhoods", "missing-column"),
        ("damage", "missing-column"),
        ("roads", "unreadable"),
        ("population", "missing-column"),
    ]


def test_population_needs_a_code_or_a_name(refused):
    assert where(refused(population=pd.DataFrame({"people": [5]}))) == [("population", "missing-column")]


def test_table_without_coordinates_where_places_are_needed(refused):
    fault = refused(damage="grade\nsevere\n", entries={"damage": {"path": "damage.csv"}})[0]
    assert (fault.where, fault.code) == ("damage", "no-geometry")


def test_grade_that_the_profile_does_not_list_is_neither_damage_nor_its_absence(run):
    made = run(damage=lambda table: table.assign(grade=["Destroyed ", " SEVERE", "6", None, "moderate", "none"]))
    counts = made.priorities.set_index("id")
    assert counts.loc["A", ["structures_destroyed", "structures_severe", "structures_damaged_all"]].tolist() == [1, 1, 2]
    lost = made.left_out[["layer", "row", "reason", "value"]].astype(object).where(lambda table: table.notna(), None)
    assert lost.to_numpy().tolist() == [
        ["damage", 3, "grade-not-recognised", "6"],
        ["damage", 4, "grade-missing", None],
    ]
    assert made.left_out.geometry.notna().all(), "a map can show where they lie"


def test_not_one_grade_recognised(refused):
    fault = refused(damage=lambda table: table.assign(grade=["1", "2", "3", "1", "2", "3"]))[0]
    assert (fault.where, fault.code) == ("damage", "no-grade-recognised")
    for text in (fault.render("en"), fault.render("ar")):
        assert "unosat" in text, "the profiles that are known"


@pytest.mark.parametrize("profile", names("sources"))
def test_profiles_speak_of_what_the_schemas_know(profile):
    content = tree("sources", profile)
    assert set(content["name"]) == {"ar", "en"}
    assert set(content.get("grades", {}).values()) <= set(register("states"))
    assert set(content.get("kinds", {}).values()) <= set(register("facility_kinds"))
    columns = {row["column"] for name in content.get("layers", ()) for row in table("schema", name)}
    assert set(content.get("columns", {})) <= columns


def test_repeated_and_empty_codes_of_neighbourhoods(refused):
    faults = refused(neighbourhoods=lambda zones: zones.assign(id=["A", "A", None, "D"]))
    assert [(one.code, one.rows) for one in faults] == [("repeated-id", ("1", "2")), ("empty-id", ("3",))]


def test_repeated_codes_of_another_layer_are_noticed_and_kept(run):
    made = run(damage=lambda table: table.assign(id=["1", "1", "2", "3", None, "4"]))
    assert [(one["code"], one["severity"], one["rows"]) for one in made.info["findings"]] == [
        ("repeated-id", "warning", ["1", "2"])
    ]
    assert made.priorities["structures_damaged_all"].sum() == 5


def test_exact_repetition_of_a_coded_row_counts_once(run):
    made = run(damage=lambda table: pd.concat([table.assign(id=[*"123456"]), table.assign(id=[*"123456"]).iloc[:1]]))
    assert made.priorities.set_index("id").at["A", "structures_destroyed"] == 2
    assert made.left_out[["row", "reason"]].to_numpy().tolist() == [[7, "repeated"]]


def test_values_that_can_not_be_used_are_unknown_and_listed(run):
    made = run(population=pd.DataFrame({"id": [*"ABCD"], "people": ["many", "-5", "1e300", "inf"]}))
    assert made.priorities["people"].isna().all()
    assert made.left_out[["row", "reason", "value"]].to_numpy().tolist() == [
        [1, "value-unusable", "many"],
        [2, "value-unusable", "-5"],
        [3, "value-unusable", "1e300"],
        [4, "value-unusable", "inf"],
    ]
    assert made.priorities["status"].eq("not_assessable").sum() == 4, "nobody is taken for nobody living there"


def test_numbers_of_other_hands():
    given = pd.Series(["١٢٬٥٠٠", "٣٫٥", " 7 ", "۴۲", "1e3", "12,5", "0x10", "NaN", "1e999", "", None], dtype="string")
    expected = [12500, 3.5, 7, 42, 1000] + [np.nan] * 6
    assert as_number(given).tolist() == pytest.approx(expected, nan_ok=True)


def test_codes_are_text():
    assert as_text(pd.Series([7.0, None, 12.0])).tolist()[::2] == ["7", "12"]
    assert as_text(pd.Series([0.5, 1.0])).tolist() == ["0.5", "1.0"]
    assert as_text(pd.Series([1e300, np.inf, 2.0**60])).notna().all()
    assert as_text(pd.Series(["cafe\u0301", "  ", "x "])).tolist() == ["café", pd.NA, "x"]


def test_dates():
    """A day written as a number is that day, not a moment of 1970; a date that is none is unknown and listed."""
    frame = layer(points((1, 1), (2, 2)), grade=["none", "none"])
    assert checked(frame.assign(date=[20150426, 20160918]), "damage").frame["date"].dt.year.tolist() == [2015, 2016]
    words = checked(frame.assign(date=["2015-04-26", "yesterday"]), "damage")
    assert words.frame["date"].isna().tolist() == [False, True]
    assert words.left_out[0][["row", "value"]].to_numpy().tolist() == [[2, "yesterday"]]


def test_where_selects_rows_by_their_own_columns(run, refused):
    made = run(entries={"facilities": {"where": {"kind": ["school"]}}})
    record = next(one for one in made.info["layers"] if one["layer"] == "facilities")
    assert [record[key] for key in ("rows_read", "rows_used", "rows_left_out", "rows_not_selected")] == [7, 4, 0, 3]
    assert "health_facilities" not in made.priorities


@pytest.mark.parametrize(("wanted", "code"), [({"kind": ["castle"]}, "empty-selection"), ({"kinds": ["school"]}, "missing-column")])
def test_where_that_selects_nothing(refused, wanted, code):
    assert where(refused(entries={"facilities": {"where": wanted}})) == [("facilities", code)]


def test_our_columns_go_by_their_names():
    frame = layer([A], Kod=["7"], **{"الاسم": ["ألف"]})
    found = checked(frame, "neighbourhoods", columns={"id": "Kod", "name_ar": "الاسم"}).frame
    assert found[["id", "name_ar"]].to_numpy().tolist() == [["7", "ألف"]]


def test_allowed_words():
    """A word of functionality that no schema lists is unknown, not 'works'."""
    frame = layer(points((1, 1), (2, 2)), kind=["school", "school"], functionality=["functional", "so-so"])
    found = checked(frame, "facilities")
    assert found.frame["functionality"].isna().tolist() == [False, True]
    assert found.left_out[0][["reason", "value"]].to_numpy().tolist() == [["value-unusable", "so-so"]]


@pytest.mark.parametrize("name", names("schema"))
def test_schemas_are_whole(name):
    rows = table("schema", name)
    assert rows[-1]["column"] == "geometry"
    assert all(row["meaning_ar"] and row["meaning_en"] for row in rows)
    assert {row["required"] for row in rows} <= {"yes", "no", "one name", "one key"}


def test_empty_table_of_wrong_kind_is_a_schema_error():
    with pytest.raises(SchemaError):
        checked(pd.DataFrame({"x": [1]}), "damage")
