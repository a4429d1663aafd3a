"""Recognition: what a delivered table is, whatever was done to its columns; a guess is never taken for knowledge."""

from __future__ import annotations

import shutil
import tomllib

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from geo import registers
from geo.column_names import alike, columns_of
from geo.errors import StudyError
from geo.garbled import encoding_of
from geo.hashtags import hashtags, without_hashtags
from geo.mappings import Recognition, confirmed, entry, mappings, save_mapping
from geo.proposals import propose
from geo.reading import read_file
from geo.recognition import recognise
from geo.study import LayerSpec
from geo.validation import validate
from tests.conftest import layer, town_tables

UNOSAT = {"SiteID": ["a", "b"], "SensorDate": ["2015-04-26"] * 2, "Main_Damage_Site_Class": ["1", "3"], "Neighborhood": ["x", "y"]}


def codes(found: Recognition) -> list[str]:
    return [one.code for one in found.findings]


def guessed(found: Recognition) -> dict[str, str]:
    return {one.ours: one.theirs for one in found.proposal}


@pytest.mark.parametrize(
    "renamed",
    [
        str,
        str.upper,
        str.lower,
        lambda name: name[:10],
        lambda name: name[:10].upper(),
        lambda name: f"{name[:8]}_2" if len(name) > 10 else name,
        lambda name: f"{name}_2",
        lambda name: f"survey/{name}",
        lambda name: name.replace("_", " "),
    ],
)
def test_unosat_under_every_name_a_file_makes_of_it(renamed):
    table = pd.DataFrame(UNOSAT).rename(columns=renamed)
    found = recognise(table)
    assert (found.profile, found.layer, found.certainty) == ("unosat", "damage", "certain")
    assert found.columns["grade"] == renamed("Main_Damage_Site_Class")
    assert found.columns["date"] == renamed("SensorDate")


def test_of_several_dates_the_newest_is_proposed_and_confirmed_by_a_person():
    several = {f"{name}{end}": ["1", "6"] for end in ("", "_2", "_14") for name in ("SensorDate", "Main_Damage_Site_Class")}
    found = recognise(pd.DataFrame(several))
    assert (found.certainty, found.columns["grade"], found.columns["date"]) == (
        "likely",
        "Main_Damage_Site_Class_14",
        "SensorDate_14",
    )
    assert codes(found) == ["several-dates", "grades-not-listed"]


def test_grades_outside_the_list_are_named_not_guessed():
    found = recognise(pd.DataFrame(UNOSAT | {"Main_Damage_Site_Class": ["1", "6"]}))
    assert found.certainty == "certain"
    assert "6" in found.findings[0].found.render("en")
    assert found.grades == {}


@pytest.mark.parametrize(
    ("columns", "profile", "kind"),
    [
        (
            {"grading": ["Not Affected"], "settl_type": ["Residential"], "act_id": ["EMSR190"], "src_date": ["2016-10-30"]},
            "copernicus-ems",
            "damage",
        ),
        (
            {
                "obj_type": ["11"],
                "damage_gra": ["Destroyed"],
                "det_method": ["x"],
                "notation": ["y"],
                "or_src_id": ["1"],
                "cd_value": ["1"],
            },
            "copernicus-ems",
            "damage",
        ),
        ({"EMS98": ["D5"], "visitor": ["x"]}, "ems-98", "damage"),
        (
            {"ADM3_PCODE": ["SY040400"], "ADM3_AR": ["الرستن"], "ADM3_EN": ["Ar-Rastan"], "ADM2_PCODE": ["SY0404"]},
            "ocha-cod",
            "neighbourhoods",
        ),
        ({"adm3_pcode": ["SY040400"], "adm3_name": ["Ar-Rastan"], "adm3_name1": ["الرستن"]}, "ocha-cod", "neighbourhoods"),
        ({"PCODE": ["N0119"], "NAME_AR": ["هنانو"], "NAME_EN": ["Hanano"]}, "ocha-neighbourhoods", "neighbourhoods"),
        ({"highway": ["primary"], "osm_id": ["1"], "name": ["x"]}, "osm", "roads"),
        ({"amenity": ["school"], "@id": ["node/1"], "name:ar": ["مدرسة"]}, "osm", "facilities"),
    ],
)
def test_known_sources(columns, profile, kind):
    found = recognise(pd.DataFrame(columns))
    assert (found.profile, found.layer, found.certainty) == (profile, kind, "certain")


def test_deepest_level_of_boundaries_is_the_unit():
    both = pd.DataFrame({"ADM2_PCODE": ["SY0404"], "ADM2_EN": ["x"], "ADM3_PCODE": ["SY040400"], "ADM3_EN": ["y"]})
    assert recognise(both).columns == {"id": "ADM3_PCODE", "name_en": "ADM3_EN"}


def test_columns_of_a_source_with_other_codes_are_not_certain():
    found = recognise(pd.DataFrame({"ADM3_PCODE": ["1", "2"], "ADM3_EN": ["x", "y"]}))
    assert found.certainty == "likely"


def test_numbers_as_grades_mean_opposite_things():
    """1 is destroyed for UNOSAT and slight for EMS-98."""
    found = recognise(pd.DataFrame({"longitude": [37.1, 37.2], "latitude": [36.1, 36.2], "damage": ["1", "3"]}))
    assert (found.profile, found.layer, found.certainty, found.grades_from) == (None, "damage", "unknown", None)
    assert codes(found) == ["grades-contradict"]
    assert guessed(found) == {"grade": "damage", "lat": "latitude", "lon": "longitude"}
    words = recognise(pd.DataFrame({"longitude": [37.1], "latitude": [36.1], "damage": ["Moderate Damage"]}))
    assert words.grades_from == "unosat"


def kobo() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "start": ["2026-01-01T10:00:00"] * 3,
            "today": ["2026-01-01"] * 3,
            "site/damage_grade": ["D5", "D3", "D1"],
            "site/needs": ["water food", "food", None],
            "site/needs/water": ["1", "0", None],
            "site/needs/food": ["1", "1", None],
            "site/gps": ["36.2 37.1 400 5", "36.3 37.2 0 0", None],
            "_site/gps_latitude": ["36.2", "36.3", None],
            "_site/gps_longitude": ["37.1", "37.2", None],
            "_uuid": ["a", "b", "c"],
            "_submission_time": ["2026-01-02T00:00:00"] * 3,
            "_validation_status": [None] * 3,
        }
    )


def test_forms_have_known_system_columns_and_proposed_questions():
    found = recognise(kobo())
    assert (found.profile, found.certainty, found.grades_from) == ("kobo", "likely", "ems-98")
    assert found.columns == {"id": "_uuid", "date": "today"}
    assert guessed(found)["grade"] == "site/damage_grade"
    assert guessed(found)["lon"] == "_site/gps_longitude"
    assert not {"site/needs/water", "site/needs/food"} & set(guessed(found).values())


def test_forms_with_labels_as_headers():
    labels = {"site/damage_grade": "درجة الضرر", "site/gps": "موقع المبنى"}
    table = kobo().rename(columns=labels)
    table["درجة الضرر"] = ["مدمر كليا", "ضرر متوسط", "سليم"]
    found = recognise(table)
    assert (found.profile, guessed(found)["grade"], guessed(found)["geopoint"]) == ("kobo", "درجة الضرر", "موقع المبنى")
    assert "grades-not-listed" in codes(found)


def test_odk_central():
    table = {
        "SubmissionDate": ["2026-01-02"],
        "place-Latitude": ["36.2"],
        "place-Longitude": ["37.1"],
        "KEY": ["uuid:1"],
        "ReviewState": [None],
    }
    found = recognise(pd.DataFrame(table))
    assert (found.profile, found.columns["id"]) == ("kobo", "KEY")
    assert {"lon", "lat"} <= set(guessed(found))


def test_hashtags_say_what_columns_are():
    table = pd.DataFrame(
        {
            "Width": ["in degrees", "#geo+lat", "36.2"],
            "Length": [None, "#geo+lon", "37.1"],
            "Sub": [None, "#adm3+code+v_pcode", "SY020000"],
            "Women": [None, "#affected+f", "10"],
            "All": [None, "#affected", "25"],
        }
    )
    assert hashtags(table)["Sub"] == "#adm3+code+v_pcode"
    assert len(without_hashtags(table)) == 1
    found = recognise(table)
    assert (found.profile, found.layer, found.certainty) == ("hxl", "population", "certain")
    assert found.columns == {"lon": "Length", "lat": "Width", "id": "Sub", "people": "All"}


def test_a_hash_in_a_value_is_no_hashtag():
    table = pd.DataFrame({"note": ["#1", "# of rooms"], "x": ["#geo", None]})
    assert hashtags(table) == {}
    assert len(without_hashtags(table)) == 2


def test_own_tables_are_recognised():
    for name, table in town_tables().items():
        found = recognise(table)
        if name == "water":  # four networks have the same columns
            assert (found.profile, found.layer, found.certainty) == ("tarmim", None, "likely")
            assert recognise(table, layer="water").certainty == "certain"
        elif name == "buildings":
            assert found.certainty == "unknown", "points without a column can be anything"
        elif name in ("roads", "complaints", "facilities"):
            assert found.layer in (name, None), name
        else:
            assert (found.profile, found.layer, found.certainty) == ("tarmim", name, "certain"), name


def unknown_survey() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "رقم المبنى": ["7", "8", "9"],
            "درجة الضرر": ["كلي", "جزئي", "كلي"],
            "تاريخ الكشف": ["2025-03-01", "2025-03-02", None],
            "خط الطول": ["37.1", "37.2", "37.3"],
            "خط العرض": ["36.1", "36.2", "36.3"],
            "ملاحظات": ["", None, "لا شيء"],
        }
    )


def test_unknown_table_gets_a_proposal_in_arabic():
    found = recognise(unknown_survey())
    assert (found.profile, found.layer, found.certainty) == (None, "damage", "unknown")
    expected = {"id": "رقم المبنى", "grade": "درجة الضرر", "date": "تاريخ الكشف", "lon": "خط الطول", "lat": "خط العرض"}
    assert guessed(found) == expected
    assert codes(found) == ["grades-not-listed"]
    assert all(0 < one.score <= 1 and one.why.render("ar") for one in found.proposal)


def test_values_must_fit_the_column():
    """A population of 200 million, a latitude of 370 and an Arabic name in Latin letters are none."""
    table = pd.DataFrame({"code": ["a"], "people": ["200000000"], "lat": ["370"], "lon": ["37"], "name_ar": ["Hanano"]})
    _, guesses, _ = propose(table)
    assert not {"people", "lat", "lon", "name_ar"} & {one.ours for one in guesses}


def test_a_table_that_says_nothing_asks():
    found = recognise(pd.DataFrame({"Q1": ["a"], "Q2": ["b"]}))
    assert (found.certainty, found.proposal) == ("unknown", ())
    assert codes(found) == ["not-recognised"]


def test_confirmed_once_applied_for_ever(tmp_path):
    table = unknown_survey()
    agreed = confirmed(recognise(table, folder=tmp_path), {"id": ""})
    assert "id" not in agreed.columns
    path = save_mapping(tmp_path, "directorate-form", agreed, columns_of(table), grades={"كلي": "destroyed", "جزئي": "moderate"})
    assert tomllib.loads(path.read_text(encoding="utf-8"))["grades"]["كلي"] == "destroyed"
    again = recognise(table[sorted(table.columns)].iloc[::-1], folder=tmp_path)
    assert (again.saved, again.certainty, again.layer) == ("directorate-form", "certain", "damage")
    assert again.columns == agreed.columns
    assert again.grades == {"كلي": "destroyed", "جزئي": "moderate"}
    assert again.findings == ()
    new = recognise(table.assign(**{"درجة الضرر": ["كلي", "بسيط", "؟"]}), folder=tmp_path)
    assert codes(new) == ["grades-not-listed"], "a grade nobody explained"
    assert recognise(table.assign(more="x"), folder=tmp_path).saved is None, "other columns are another form"
    assert [one.name for one in (tmp_path / "mappings").iterdir()] == ["directorate-form.toml"], "nothing half-written is left"


def test_two_mappings_for_the_same_columns_ask(tmp_path):
    agreed = confirmed(recognise(unknown_survey()))
    for name in ("one", "two"):
        save_mapping(tmp_path, name, agreed, columns_of(unknown_survey()))
    found = recognise(unknown_survey(), folder=tmp_path)
    assert (found.certainty, found.others) == ("likely", ("two",))


def test_a_broken_mapping_is_left_aside(tmp_path):
    (tmp_path / "mappings").mkdir()
    (tmp_path / "mappings" / "bad.toml").write_text("columns = 3\n[", encoding="utf-8")
    assert mappings(tmp_path) == {}
    assert recognise(unknown_survey(), folder=tmp_path).certainty == "unknown"


@pytest.mark.parametrize("name", ["../evil", "a/b", "", "Ümlaut", "x" * 60, "con.toml"])
def test_a_name_never_becomes_a_path(tmp_path, name):
    agreed = confirmed(recognise(unknown_survey()))
    with pytest.raises(StudyError):
        save_mapping(tmp_path, name, agreed, columns_of(unknown_survey()))
    assert list(tmp_path.iterdir()) == []


def test_a_mapping_of_unknown_states_or_columns_is_refused(tmp_path):
    agreed = confirmed(recognise(unknown_survey()))
    for wrong in ({"grades": {"كلي": "kaput"}}, {"columns": ["other"]}, {"found": confirmed(agreed, {"colour": "x"})}):
        given = {"found": agreed, "columns": columns_of(unknown_survey()), "grades": {}} | wrong
        with pytest.raises(StudyError):
            save_mapping(tmp_path, "form", given["found"], given["columns"], grades=given["grades"])


@given(st.dictionaries(st.text(min_size=1, max_size=12).filter(str.strip), st.sampled_from(["destroyed", "none"]), max_size=4))
def test_what_is_saved_is_read_again(tmp_path_factory, grades):
    folder = tmp_path_factory.mktemp("study")
    agreed = confirmed(recognise(unknown_survey()))
    save_mapping(folder, "form", agreed, columns_of(unknown_survey()), grades=grades)
    assert mappings(folder)["form"]["grades"] == grades
    assert {ours: [theirs] for ours, theirs in agreed.columns.items()} == mappings(folder)["form"]["columns"]


def test_entry_of_study_toml():
    found = recognise(pd.DataFrame(UNOSAT))
    spec = LayerSpec(path="x.csv", **entry(found))
    assert (spec.profile, spec.columns["grade"]) == ("unosat", "Main_Damage_Site_Class")
    assert entry(recognise(kobo()))["profile"] == "ems-98", "its list translates the grades"


def test_people_repeated_on_parts_of_a_unit():
    """Two parts of one unit carry 100 each, another unit 50: the plain sum is 250, each unit once 150."""
    table = layer([shapely.box(x, 0, x + 1, 1) for x in range(3)], Name=["حي أ أ", "حي أ أ", "حي ب ب"], Pop=["100", "100", "50"])
    found = {one.code: one for one in recognise(table).findings}
    assert {"repeated-names", "people-repeated"} <= set(found)
    said = found["people-repeated"].found.render("en")
    assert "250" in said
    assert "150" in said
    differing = recognise(table.assign(Pop=["60", "40", "50"]))
    assert "people-repeated" not in codes(differing)


def test_rows_told_apart_by_their_codes_are_not_parts():
    table = pd.DataFrame({"pcode": ["C1001", "C1002"], "الحي": ["الحميدية", "الحميدية"], "السكان": ["40", "40"]})
    found = recognise(table)
    assert [(one.code, one.severity) for one in found.findings] == [("repeated-names", "info")]


def test_first_row_as_header():
    assert "no-header" in codes(recognise(pd.DataFrame({"37.2": ["37.1"], "36.16": ["36.2"], "yes": ["yes"]})))


@given(st.text(alphabet="ابتثجحخدذرزسشصضطظعغفقكلمنهوي ", min_size=4, max_size=20).filter(lambda text: len(text.strip()) > 3))
def test_garbled_arabic_is_found_and_its_encoding_named(text):
    values = pd.Series([text])
    for encoding in ("utf-8", "cp1256"):
        broken = values.map(lambda one, encoding=encoding: one.encode(encoding).decode("latin-1"))
        found = encoding_of(broken)
        assert found is not None
        assert broken[0].encode("latin-1").decode(found) == text or found != encoding
    assert encoding_of(values) is None


@given(st.text(min_size=1, max_size=20), st.text(min_size=1, max_size=20))
def test_likeness_of_names_is_a_share(one, other):
    assert 0 <= alike(one, other) <= 1
    assert alike(one, one) == 1


@given(st.permutations(list(UNOSAT)))
def test_order_of_columns_changes_nothing(order):
    one = recognise(pd.DataFrame(UNOSAT)[order])
    assert one.columns == recognise(pd.DataFrame(UNOSAT)).columns


# The files as they were delivered


@pytest.mark.parametrize(
    ("path", "profile", "kind", "certainty", "columns"),
    [
        ("aleppo-unosat-damage-2015/un.geojson", "unosat", "damage", "certain", {"grade": "Main_Dam_2", "date": "SensorDa_2"}),
        (
            "aleppo-neighbourhoods-ocha/aleppo_neighbourhoods.derived.geojson",
            "ocha-neighbourhoods",
            "neighbourhoods",
            "certain",
            {"id": "pCode", "name_ar": "nameArabic", "name_en": "nameEnglish"},
        ),
        (
            "derived-from-real/aleppo_neigh_epsg22770.shp",
            "ocha-neighbourhoods",
            "neighbourhoods",
            "certain",
            {"id": "PCODE", "name_ar": "NAME_AR", "name_en": "NAME_EN"},
        ),
        (
            "syr-cod-ab-adm3/syr_admbnda_adm3_uncs_unocha_20201217-polygon.shp",
            "ocha-cod",
            "neighbourhoods",
            "certain",
            {"id": "ADM3_PCODE", "name_ar": "ADM3_AR", "name_en": "ADM3_EN"},
        ),
        (
            "derived-from-real/syr_adm4_population_points.csv",
            "ocha-locations",
            "population",
            "certain",
            {"id": "PP_PCODE", "name_en": "PP_NAME_EN", "people": "Population", "lon": "lon", "lat": "lat"},
        ),
        ("aleppo-roads-osm/aleppo_simplified.parquet", "osm", "roads", "certain", {"road_class": "highway"}),
        ("homs-admin-utm37n-3d/subdistricts.geojson", None, "neighbourhoods", "unknown", {}),
        ("aleppo-unhabitat/aleppo.geojson", None, None, "unknown", {}),
        ("aleppo-unosat-damage-2015/HRW_02.geojson", None, None, "unknown", {}),
    ],
)
def test_delivered_files(shared, path, profile, kind, certainty, columns):
    file = shared / "data" / path
    found = recognise(read_file(file, LayerSpec(path=file.name), "layer"))
    assert (found.profile, found.layer, found.certainty, found.columns) == (profile, kind, certainty, columns)


def test_arabic_columns_of_homs(shared):
    table = gpd.read_file(shared / "data/homs-admin-utm37n-3d/subdistricts.geojson")
    assert guessed(recognise(table)) == {"id": "الرمز", "name_ar": "ناحية", "district": "محافظة"}
    table = gpd.read_file(shared / "data/homs-admin-utm37n-3d/districts.geojson")
    assert guessed(recognise(table)) == {"id": "الرمز", "name_ar": "منطقة", "district": "محافظة"}


def test_people_of_the_service_directorates(shared):
    """Their plain sum counts 1.1 million twice."""
    table = gpd.read_file(shared / "data/aleppo-unhabitat/service_directorate.geojson")
    found = recognise(table)
    assert guessed(found) == {"id": "OBJECTID", "name_ar": "Name", "name_en": "Name_En", "people": "Pop"}
    said = next(one for one in found.findings if one.code == "people-repeated").found.render("en")
    once = table.drop_duplicates("Name")["Pop"].sum()
    assert table["Pop"].sum() == 3_790_000
    assert "3,790,000" in said
    assert f"{once:,.0f}" in said


def test_copernicus_package(shared, tmp_path):
    """Of the six shapefiles of Camerino the graded buildings are the damage, the road lines are roads without grades."""
    package = shared / "data/copernicus-emsr190/EMSR190_16CAMERINO_GRADING_OVERVIEW_v2_vector.zip"
    shutil.unpack_archive(package, tmp_path)
    found = {}
    for path in sorted(tmp_path.rglob("*.shp")):
        result = recognise(gpd.read_file(path))
        found[path.stem.partition("10000_")[2]] = (result.profile, result.layer, result.certainty)
    assert found["settlements_poly_grading"] == ("copernicus-ems", "damage", "certain")
    assert found["transportation_line"] == ("copernicus-ems", "roads", "certain")
    assert {found[name][2] for name in ("area_of_interest", "land_cover_poly", "physiography_line", "settlements_point")} == {
        "unknown"
    }


@pytest.mark.parametrize(
    ("path", "column", "encoding", "name"),
    [
        ("derived-from-real/adm3_aleppo_homs_cp1256_nocpg.shp", "ADM3_AR", "cp1256", "عريمة"),
        ("awkward-shapefiles/mapnik/farsi-labels.shp", "NAME_FA", "utf-8", "پاکستان"),
    ],
)
def test_text_in_another_encoding(shared, path, column, encoding, name):
    file = shared / "data" / path
    table = gpd.read_file(file)
    assert "text-garbled" in codes(recognise(table))
    assert encoding_of(table[column]) == encoding
    assert name in set(gpd.read_file(file, encoding=encoding)[column])


def test_a_recognised_file_goes_through_validation(shared):
    path = shared / "data/aleppo-unosat-damage-2015/un.geojson"
    spec = LayerSpec(path=path.name, **entry(recognise(gpd.read_file(path))))
    checked = validate(read_file(path, spec, "damage"), "damage", spec)
    assert len(checked.frame) == 14_058
    assert checked.frame["state"].isna().sum() == 24


def test_every_form_of_a_profile_names_known_things():
    for name in registers.names("sources"):
        tree = registers.tree("sources", name)
        for form in tree.get("recognise", ()):
            assert form.get("layer", "damage") in registers.register("layers"), name
            assert set(form.get("geometry", [])) <= {"point", "line", "polygon", "none"}
            assert set(form.get("codes", {})) | set(form.get("series", {})) <= set(tree.get("columns", {}))
            if form.get("graded"):
                assert set(tree["grades"].values()) <= set(registers.register("states"))
    assert np.isfinite(
        [float(value) for table in registers.tree("understanding", "limits").values() for value in table.values()]
    ).all()
