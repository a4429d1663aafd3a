"""Names at work: rows without coordinates are placed by code, place or name, or listed with their people; a person decides the rest."""

from __future__ import annotations

import datetime
import json

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from geo import decisions, surveys
from geo.attachment import attach
from geo.errors import LayerError, StudyError
from geo.naming import decide, open_names, read_table, write_table
from geo.pipeline import assess, check, is_sound, open_study, read_city
from geo.population import people
from geo.store import Store
from tests.conftest import CRS, A, B, C, D, layer, points
from tests.test_cli import tarmim

NOW = datetime.datetime(2026, 3, 1, 12, tzinfo=datetime.UTC)
NAMED = ["الخالدية", "بابا عمرو", "كرم الزيتون", "الوعر"]
CODED = ["N0101", "N0102", "N0103", "N0104"]


def quarters(zones):
    """The town's squares under real names and codes of Homs."""
    return zones.assign(id=CODED, name_ar=NAMED, name_en=["Al-Khalidiya", "Baba Amr", "Karm az-Zaytoun", "Al-Waer"])


def bare_complaints(**columns):
    return pd.DataFrame({"category": ["water"] * len(next(iter(columns.values()))), **columns})


LISTED = {"complaints": {"path": "complaints.csv"}}


def codes(findings, layer_=None):
    return [one.code for one in findings if layer_ in (None, one.where)]


def decided(folder, **places):
    """Keep decisions for the population, name by name."""
    return decisions.keep(folder, [("population", name, ident) for name, ident in places.items()], by="Layla", now=NOW)


# Layers that are counted by neighbourhood


def test_complaints_without_any_coordinates_count_by_code_and_name(city):
    """A by code, A again by its Arabic name, B by its Latin one; "Nowhere" by nothing: listed, not counted."""
    made = city(
        neighbourhoods=quarters,
        population=pd.DataFrame({"id": CODED, "people": [1000, 2000, 4000, 500]}),
        complaints=bare_complaints(neighbourhood=["N0101", "حي الخالديّة", "baba 'amr", "Nowhere at all"]),
        entries=LISTED,
    )
    complaints = made.layers["complaints"]
    assert complaints.frame["zone"].tolist() == ["N0101", "N0101", "N0102"]
    assert complaints.left_out[["row", "reason", "value"]].to_numpy().tolist() == [[4, "no-neighbourhood", "Nowhere at all"]]
    assert next(one for one in complaints.findings if one.code == "names-unmatched").rows == ("4",)
    assert complaints.rows_chosen == len(complaints.frame) + len(complaints.left_out)
    assert {"placed-without-coordinates", "names-unmatched"} <= set(codes(complaints.findings))
    measured = assess(made, open_study(made.study.folder)[1]).priorities.set_index("id")
    assert measured["complaints"].reindex(CODED).tolist() == [2, 1, 0, 0]


def test_rows_with_and_without_coordinates_stand_in_one_table(city):
    """The place counts before the name; the row whose place is out of the world has its name; order of rows stays."""
    rows = layer(
        [*points((100, 900)), None, *points((1900, 900)), None],
        category=["water", "roads", "sewerage", "water"],
        neighbourhood=["الوعر", "Al Waer", None, None],
    )
    made = city(neighbourhoods=quarters, without=("population",), complaints=rows)
    complaints = made.layers["complaints"]
    assert complaints.frame[["category", "zone"]].to_numpy().tolist() == [
        ["water", "N0101"],
        ["roads", "N0104"],
        ["sewerage", "N0102"],
    ]
    assert complaints.left_out[["row", "reason"]].to_numpy().tolist() == [[4, "geometry-missing"]]
    assert complaints.frame.crs == CRS


def test_a_facility_without_a_place_counts_and_takes_no_state_from_the_survey(measured):
    """A hospital known by its quarter alone: nobody could look at it, so its state is unknown, not intact."""
    where = pd.DataFrame({"kind": ["hospital"], "neighbourhood": ["ألف"]})
    entries = {"facilities": {"path": "facilities.csv"}, "damage": {"extent": "study"}}
    town = measured(facilities=where, entries=entries)
    assert town.at["A", "health_facilities"] == 1
    assert town.loc["A", ["health_damaged_low", "health_damaged_high"]].tolist() == [0, 1]


def test_a_survey_of_damage_needs_places(refused):
    faults = refused(
        damage=pd.DataFrame({"grade": ["severe"], "neighbourhood": ["ألف"]}), entries={"damage": {"path": "damage.csv"}}
    )
    assert codes(faults) == ["no-geometry"]


def test_codes_that_lost_their_zeros_are_proposed_and_not_put_in_place(city):
    made = city(
        neighbourhoods=quarters, without=("population",), complaints=bare_complaints(neighbourhood=["101", "N102"]), entries=LISTED
    )
    assert made.layers["complaints"].frame.empty
    table = open_names(made, people(made))
    assert table[["layer", "name", "how", "proposal", "proposal_name_ar"]].to_numpy().tolist() == [
        ["complaints", "101", "likely", "N0101", "الخالدية"],
        ["complaints", "N102", "likely", "N0102", "بابا عمرو"],
    ]


# Population


def counted(town_city, **changes):
    """The town as quarters of Homs with another population; nobody may be lost."""
    made = town_city(neighbourhoods=quarters, **changes)
    found = people(made)
    given = made.layers["population"].frame["people"]
    lost = found.left_out.loc[found.left_out["reason"] != "value-unusable", "value"].astype(float)
    assert found.table["people"].sum() + lost.sum() == pytest.approx(given.sum())
    return found


def test_by_code_else_by_name_in_either_script(city):
    table = pd.DataFrame(
        {
            "id": ["N0101", None, None, None, None],
            "name_ar": [None, "بابا عمرو", None, None, "حي لا يعرفه أحد"],
            "name_en": [None, None, "Karm Al-Zaitoun", "Al Waer", None],
            "people": [10, 20, 30, 40, 50],
        }
    )
    found = counted(city, population=table)
    assert found.table["people"].tolist() == [10, 20, 30, 40]
    assert found.left_out[["row", "reason", "value"]].to_numpy().tolist() == [[5, "no-neighbourhood", "50.0"]]
    lost = next(one for one in found.findings if one.code == "not-placed")
    assert "50" in lost.expected.render("en")
    assert lost.rows == ("5",)


def test_latin_names_alone_are_enough(city):
    found = counted(city, population=pd.DataFrame({"name_en": ["Bāba Amr", "Waer"], "people": [7, 8]}))
    assert found.table["people"].fillna(-1).tolist() == [-1, 7, -1, 8]


def test_a_row_with_the_code_of_another_place_is_not_taken_by_its_name(city):
    """N0555 is a quarter of another city that bears the same name; SY04 and C2528 are wider than a quarter, wherever their point is."""
    rows = layer(
        [None, *points((500, 500), (500, 500), (500, 500))],
        id=["N0555", "SY04", "C2528", "77"],
        name_ar=["بابا عمرو", None, None, None],
        people=[1, 2, 4, 8],
    )
    found = counted(city, population=rows, entries={"population": {"path": "population.geojson"}})
    assert found.table["people"].fillna(0).tolist() == [8, 0, 0, 0], "the point of a unit without a P-code"
    assert sorted(found.left_out["row"]) == [1, 2, 3]
    assert found.names.loc[0, ["how", "proposal"]].tolist() == ["other-code", "N0102"]


def test_points_and_parts_add_up_and_a_whole_quarter_is_not_counted_beside_its_parts(city):
    """A: a row of its own code, and a point in it that would count people twice. B: two parts. C: two points; D: its name, twice."""
    rows = layer(
        [None, *points((500, 500)), None, None, *points((500, 1500), (600, 1500)), None, None],
        id=["N0101", None, None, None, None, None, None, None],
        name_ar=[None, "أ", "ب", "ج", "د", "هـ", "الوعر", "حي الوعر"],
        neighbourhood=[None, None, "N0102", "Baba Amr", None, None, None, None],
        people=[1, 2, 4, 8, 16, 32, 64, 128],
    )
    found = counted(city, population=rows, entries={"population": {"path": "population.geojson"}})
    assert found.table["people"].fillna(0).tolist() == [1, 12, 48, 0]
    reasons = found.left_out.set_index("row")["reason"].to_dict()
    assert reasons == {2: "neighbourhood-counted", 7: "no-neighbourhood", 8: "no-neighbourhood"}


def test_a_person_may_add_a_unit_to_a_quarter(town):
    table = pd.DataFrame({"id": ["N0101", None], "name_ar": [None, "ملحق الخالدية القديم"], "people": [10, 5]})
    folder = town(neighbourhoods=quarters, population=table)
    decided(folder, **{"ملحق الخالدية القديم": "N0101"})
    found = people(read_city(open_study(folder)[0]))
    assert found.table["people"].tolist()[0] == 15
    assert found.left_out.empty


def test_polygons_are_quarters_by_a_name_that_the_map_confirms(city):
    """The same squares under other codes are the quarters; a district that bears the name of one is spread over all it holds."""
    entries = {"population": {"path": "units.geojson"}}
    shifted = [shapely.affinity.translate(one, 30, 0) for one in (A, B, C, D)]
    own = layer(shifted, name_en=["Al Khalidiya", "Baba Amr", "Karm Al-Zaitoun", "Al Waer"], people=[1, 2, 3, 4])
    assert counted(city, population=own, entries=entries).table["people"].tolist() == [1, 2, 3, 4]
    district = layer([shapely.union_all([A, B, C, D])], name_ar=["الخالدية"], people=[100])
    assert counted(city, population=district, entries=entries).table["people"].tolist() == pytest.approx([25] * 4)
    elsewhere = layer([B, A, C, D], name_ar=NAMED, people=[1, 2, 3, 4])
    assert counted(city, population=elsewhere, entries=entries).table["people"].tolist() == pytest.approx([2, 1, 3, 4])


def test_quarters_with_and_without_shapes_lose_nobody(city):
    """A and B by their shapes and codes, D by its name; a unit that is not known is left out, the shapes are not spread for it."""
    rows = layer(
        [A, B, None, None], id=["N0101", "N0102", None, None], name_ar=[None, None, "الوعر", "حي بعيد"], people=[1, 2, 4, 8]
    )
    found = counted(city, population=rows, entries={"population": {"path": "units.geojson"}})
    assert found.table["people"].fillna(0).tolist() == [1, 2, 0, 4]
    assert found.left_out["row"].tolist() == [4]


def test_units_without_a_shape_among_units_that_are_spread(city):
    """A district over A and B is spread; C comes by code and is added; a name alone may be that of another district."""
    rows = layer([shapely.union(A, B), None, None], id=["X1", "N0103", None], name_ar=["منطقة", None, "الوعر"], people=[100, 40, 7])
    found = counted(city, population=rows, entries={"population": {"path": "units.geojson"}})
    assert found.table["people"].fillna(0).tolist() == pytest.approx([50, 50, 40, 0])
    assert found.coverage.tolist() == [1, 1, 1, 0]
    assert found.left_out["row"].tolist() == [3]


@given(st.permutations(range(8)), st.lists(st.sampled_from([*CODED, "N101", "C2528", None]), min_size=8, max_size=8))
def test_order_of_rows_changes_nothing_and_no_row_is_lost(order, ids):
    zones = quarters(layer([A, B, C, D], id=CODED)).set_index("id")
    names = ["الخالدية", "Baba Amr", None, "الوعر", "Waer", "?", None, "بابا عمرو"]
    shapes = [None, *points((500, 500)), None, None, None, *points((9000, 9000)), None, None]
    rows = gpd.GeoDataFrame({"id": ids, "name": names, "people": 2.0 ** np.arange(8)}, geometry=shapes, crs=CRS)
    found = attach(rows, zones, codes=["id"], names=["name"], amount="people")
    shuffled = attach(rows.iloc[list(order)], zones, codes=["id"], names=["name"], amount="people")
    assert shuffled.frame["zone"].sort_index().fillna("").tolist() == found.frame["zone"].fillna("").tolist()
    placed = found.frame["zone"].notna()
    assert placed.sum() + len(found.unplaced) == 8
    assert found.frame.loc[placed, "people"].sum() + found.unplaced["people"].sum() == 255
    wrong = {None, "N101", "C2528"}
    assert all(given in wrong or zone == given for zone, given in zip(found.frame["zone"], ids, strict=True))


# Decisions


@pytest.fixture
def asking(town):
    """A town whose complaints and population have names that nobody knows."""
    return town(
        neighbourhoods=quarters,
        population=pd.DataFrame({"name_ar": ["الخالدية", "بابا عمر", "=1+1"], "people": [10, 20, 30]}),
        complaints=bare_complaints(neighbourhood=["Agyul", "Agyul", "الوعر", "101"]),
        entries=LISTED,
    )


def opened(folder):
    made = read_city(open_study(folder)[0])
    return made, people(made)


def test_names_are_asked_for_once_each_with_a_proposal(asking):
    table = open_names(*opened(asking))
    assert table[["layer", "name", "rows"]].to_numpy().tolist() == [
        ["complaints", "Agyul", 2],
        ["complaints", "101", 1],
        ["population", "بابا عمر", 1],
        ["population", "=1+1", 1],
    ]
    assert table.loc[2, ["how", "proposal", "proposal_name_en"]].tolist() == ["likely", "N0102", "Baba Amr"]
    assert table["id"].isna().all()


@pytest.mark.parametrize("suffix", ["csv", "xlsx"])
def test_a_table_goes_out_and_comes_back_and_the_run_uses_it(asking, tmp_path, suffix):
    before = assess(*_with_scheme(asking))
    path = write_table(open_names(*opened(asking)), tmp_path / f"names.{suffix}")
    if suffix == "csv":
        assert path.read_bytes().startswith(b"\xef\xbb\xbf"), "spreadsheets need the mark to read Arabic"
        assert "'=1+1" in path.read_text(encoding="utf-8-sig")
    table = read_table(path)
    filled = table.assign(id=["N0103", "N0101", "N0102", "-"])
    kept = decide(*opened(asking), filled, by="Layla", now=NOW)
    assert [(one.layer, one.name, one.id) for one in kept] == [
        ("complaints", "Agyul", "N0103"),
        ("complaints", "101", "N0101"),
        ("population", "بابا عمر", "N0102"),
        ("population", "=1+1", None),
    ]
    made, found = opened(asking)
    assert open_names(made, found).empty
    assert made.layers["complaints"].frame["zone"].tolist() == ["N0103", "N0103", "N0104", "N0101"]
    assert found.table["people"].fillna(0).tolist() == [10, 20, 0, 0]
    assert found.left_out["row"].tolist() == [3], "none of the known is left out all the same"
    assert not [code for code in codes(found.findings) if code.startswith("names-")], "what was decided is not asked again"
    after = assess(*_with_scheme(asking))
    assert after.id != before.id
    assert "decisions" not in before.info
    told = json.loads(json.dumps(after.info["decisions"]))
    assert told["sha256"] == decisions.read(asking).sha256
    assert told["names"][0] == {
        "layer": "complaints",
        "name": "Agyul",
        "id": "N0103",
        "by": "Layla",
        "at": "2026-03-01T12:00:00+00:00",
    }


def _with_scheme(folder):
    study, scheme = open_study(folder)
    return read_city(study), scheme


def test_a_wrong_table_is_refused_whole(asking):
    table = pd.DataFrame(
        {
            "layer": ["complaints", "complaints", "complaints", "population", "roads"],
            "name": ["Agyul", "Agyul", "101", "بابا عمر", "x"],
            "id": ["N0101", "N0102", "N9999", "", "N0101"],
        }
    ).assign(row=range(1, 6))
    with pytest.raises(LayerError) as raised:
        decide(*opened(asking), table, by=" ", now=NOW)
    assert [(one.code, one.rows) for one in raised.value.findings] == [
        ("nobody", ()),
        ("unknown-id", ("3",)),
        ("unknown-name", ("5",)),
        ("contradicting", ("1", "2")),
    ]
    assert not (asking / decisions.FILE).exists()
    with pytest.raises(LayerError) as raised:
        decide(*opened(asking), table.iloc[3:4], by="Layla", now=NOW)
    assert codes(raised.value.findings) == ["nothing-decided"]


def test_lines_are_only_added_and_the_last_one_counts(asking):
    table = pd.DataFrame({"layer": ["complaints"], "name": ["Agyul"], "id": ["N0101"], "row": [1]})
    assert len(decide(*opened(asking), table, by="Layla", now=NOW)) == 1
    first = (asking / decisions.FILE).read_bytes()
    assert decide(*opened(asking), table, by="Omar", now=NOW) == (), "it counts already"
    assert (asking / decisions.FILE).read_bytes() == first
    decide(*opened(asking), table.assign(id="N0102"), by="Omar", now=NOW)
    content = (asking / decisions.FILE).read_bytes()
    assert content.startswith(first)
    assert content.decode("utf-8-sig").splitlines()[-1] == "complaints,Agyul,N0102,Omar,2026-03-01T12:00:00+00:00"
    assert decisions.read(asking).of("complaints") == {"Agyul": "N0102"}


def test_a_table_that_a_spreadsheet_saved_with_semicolons_is_read_and_one_in_another_encoding_is_not(tmp_path):
    path = tmp_path / "names.csv"
    path.write_text("layer;name;rows;id\ncomplaints;الوعر, القديم;1;N0101\n", encoding="utf-8-sig")
    assert read_table(path)[["name", "id", "row"]].to_numpy().tolist() == [["الوعر, القديم", "N0101", 1]]
    path.write_bytes("layer,name,id\ncomplaints,الوعر,N0101\n".encode("cp1256"))
    with pytest.raises(LayerError) as raised:
        read_table(path)
    assert codes(raised.value.findings) == ["not-utf-8"]
    path.write_text("layer,place\n1,2\n", encoding="utf-8")
    with pytest.raises(LayerError) as raised:
        read_table(path)
    assert codes(raised.value.findings) == ["missing-column"]
    with pytest.raises(LayerError):
        read_table(tmp_path / "none.csv")


@pytest.mark.parametrize(
    "content", [b"\xff\xfe", b"layer,name\nx,y\n", b"layer,name,id,by,at\npopulation,x,N1,me\n", b'layer,name,id,by,at\n"x']
)
def test_a_broken_file_of_decisions_is_refused_not_passed_over(asking, content):
    (asking / "decisions").mkdir()
    (asking / decisions.FILE).write_bytes(content)
    with pytest.raises(StudyError) as raised:
        opened(asking)
    assert codes(raised.value.findings) == ["decisions-broken"]
    assert not is_sound(check(asking))


def test_a_decision_for_a_quarter_that_is_gone_is_said_and_not_used(asking):
    decided(asking, **{"بابا عمر": "N0999"})
    made, found = opened(asking)
    assert "decision-astray" in codes(made.layers["neighbourhoods"].findings)
    assert found.left_out["row"].tolist() == [2, 3]
    assert "بابا عمر" in set(open_names(made, found)["name"])


# P-codes


HOMS = {"pcodes": ["SY04"]}


def subdistricts(*ids):
    return lambda zones: zones.assign(id=list(ids))


def test_a_homs_file_with_codes_of_another_governorate_is_refused(refused):
    faults = refused(
        study=HOMS,
        without=("population",),
        neighbourhoods=subdistricts("SY040100", "SY080100", "SY040102", "SY040103"),
    )
    assert codes(faults) == ["pcode-elsewhere"]
    assert faults[0].rows == ("2",)
    assert "SY080100" in faults[0].render("en")
    assert "SY04" in faults[0].expected.render("en")


def test_people_of_another_governorate_are_refused(refused):
    ours = ("SY040100", "SY040101", "SY040102", "SY040103")
    table = pd.DataFrame({"id": ["SY040100", "SY080000"], "people": [1, 2]})
    faults = refused(study=HOMS, neighbourhoods=subdistricts(*ours), population=table)
    assert [(one.code, one.where, one.rows) for one in faults] == [("pcode-elsewhere", "population", ("2",))]


def test_codes_of_quarters_lie_where_their_district_says(refused):
    faults = refused(
        study=HOMS,
        without=("population",),
        neighbourhoods=lambda zones: quarters(zones).assign(district=["SY0401", "SY0801", "SY0401", "SY0401"]),
    )
    assert [(one.code, one.rows) for one in faults] == [("pcode-elsewhere", ("2",))]


def test_a_city_with_codes_of_its_own_is_not_bothered(town):
    assert is_sound(check(town(study=HOMS)))


def test_complaints_of_another_area_are_named_and_left_out(city):
    made = city(
        study=HOMS,
        neighbourhoods=subdistricts("SY040100", "SY040101", "SY040102", "SY040103"),
        without=("population",),
        complaints=bare_complaints(neighbourhood=["SY040100", "SY080000"]),
        entries=LISTED,
    )
    assert {"pcode-elsewhere", "names-unmatched"} <= set(codes(made.layers["complaints"].findings))
    assert len(made.layers["complaints"].frame) == 1


def test_the_area_of_a_study_is_an_admin_code(town):
    found = check(town(study={"pcodes": ["HOMS"]}))
    assert codes(found) == ["configuration"]
    assert "SY0204" in found[0].render("en")


def test_a_boundary_code_that_lost_its_zeros_is_said(town):
    broken = ["N0101", "N102", "N0103", "N0104"]
    found = check(town(without=("population",), neighbourhoods=lambda zones: quarters(zones).assign(id=broken)))
    told = next(one for one in found if one.code == "pcode-zeros")
    assert (told.severity, told.where, told.rows) == ("warning", "neighbourhoods", ("2",))
    assert "N102 → N0102" in told.render("en")


def test_a_survey_with_codes_of_another_governorate_is_refused_too(town, tmp_path):
    folder = town(study=HOMS, neighbourhoods=subdistricts("SY040100", "SY040101", "SY040102", "SY040103"), without=("population",))
    delivered = tmp_path / "people.csv"
    pd.DataFrame({"id": ["SY040100", "SY080000"], "people": [1, 2]}).to_csv(delivered, index=False)
    study = open_study(folder)[0]
    with Store.open(folder) as store:
        receipt = surveys.deliver(store, [delivered], layer="population", sender="somebody", now=NOW)
        checked = surveys.check(store, study, receipt.id, now=NOW)
    assert checked.layer is None
    assert "pcode-elsewhere" in codes(checked.findings)


def test_a_survey_of_complaints_by_quarter_is_accepted_and_counted(town, tmp_path):
    folder = town(neighbourhoods=quarters, without=("population",))
    delivered = tmp_path / "complaints.csv"
    bare_complaints(id=["1", "2"], neighbourhood=["Baba Amr", "nowhere"]).to_csv(delivered, index=False)
    study = open_study(folder)[0]
    with Store.open(folder) as store:
        receipt = surveys.deliver(store, [delivered], layer="complaints", sender="somebody", now=NOW)
        assert surveys.check(store, study, receipt.id, now=NOW).layer is not None
        surveys.accept(store, study, receipt.id, by="Layla", now=NOW)
    made = read_city(study, accepted=surveys.accepted(study))
    assert made.layers["complaints"].frame["zone"].tolist() == ["N0102"]
    assert made.layers["complaints"].left_out["value"].tolist() == ["nowhere"]
    assert open_names(made, people(made))["name"].tolist() == ["nowhere"]


# Names and units that repeat


def test_repeated_names_are_said_once_in_the_check_of_a_study(town):
    zones = town(neighbourhoods=lambda table: table.assign(name_ar=["ألف", "ألف", "جيم", "دال"]))
    assert codes(check(zones), "neighbourhoods").count("repeated-names") == 1
    table = pd.DataFrame({"name_ar": ["ألف", "حي ألف", "جيم"], "people": [1000, 1000, 4000]})
    found = check(town(population=table))
    assert [code for code in codes(found, "population") if code in ("repeated-names", "people-repeated", "parts-joined")] == [
        "repeated-names",
        "people-repeated",
    ]
    joined = check(town(population=pd.DataFrame({"name_ar": ["ألف", "ألف"], "people": [10, 10]})))
    assert [code for code in codes(joined, "population") if "repeated" in code or "joined" in code] == ["parts-joined"]


# Real


@pytest.fixture
def national(tmp_path, shared):
    """A study of the sub-districts of Aleppo and Homs with the table of all 7,593 communities."""
    lines = [
        "[study]", 'id = "two"', 'name = { ar = "حلب وحمص", en = "Aleppo and Homs" }', 'crs = "EPSG:32637"', 'pcodes = ["SY02", "SY04"]',
        "[layers.neighbourhoods]",
        f'path = "{shared}/data/syr-cod-ab-adm3/syr_admbnda_adm3_uncs_unocha_20201217-polygon.shp"',
        'columns = { id = "ADM3_PCODE", name_ar = "ADM3_AR", name_en = "ADM3_EN" }',
        'where = { ADM1_PCODE = ["SY02", "SY04"] }',
        "[layers.population]",
        f'path = "{shared}/data/derived-from-real/syr_adm4_population_points.csv"',
        'columns = { id = "ADM4_PCODE", name_en = "ADM4_EN", people = "Population", neighbourhood = "ADM3_PCODE" }',
    ]  # fmt: skip
    (tmp_path / "study.toml").write_text("\n".join(lines), encoding="utf-8")
    return tmp_path


def test_thirteen_cities_without_coordinates_keep_their_people(national):
    """13 of 7,593 communities have no coordinates, and 6.71 of 21.06 million people. Those of Aleppo and Homs are placed by code."""
    made, found = opened(national)
    table = made.layers["population"].frame
    bare = table[table.geometry.isna()]
    assert (len(table), len(bare), round(bare["people"].sum() / 1e6, 2)) == (7593, 13, 6.71)
    ours = table["neighbourhood"].isin(made.zones.index)
    assert found.table["people"].sum() == table.loc[ours, "people"].sum()
    assert ours[bare.index].sum() > 0
    lost = found.left_out["value"].astype(float)
    assert found.table["people"].sum() + lost.sum() == table["people"].sum()
    assert len(found.left_out) == (~ours).sum()
    told = next(one for one in found.findings if one.code == "not-placed")
    assert f"{round(float(lost.sum())):,}" in told.expected.render("en")


def test_people_by_the_names_of_another_source_go_to_the_right_quarters_of_aleppo(tmp_path, shared):
    """Columbia's names as a table without shapes, a thousand people each: every one that is taken lies in the quarter it went to."""
    theirs = gpd.read_file(shared / "data/aleppo-unosat-damage-2015/Neighborhoods.geojson").to_crs(CRS)
    table = pd.DataFrame({"name_ar": theirs["NAME_A"], "name_en": theirs["NAME"], "people": 1000})
    table = table[~table["name_ar"].duplicated(keep=False)]
    table.to_csv(tmp_path / "people.csv", index=False)
    (tmp_path / "study.toml").write_text(
        '[study]\nid = "a"\nname = { ar = "حلب", en = "Aleppo" }\ncrs = "EPSG:32637"\n[layers.neighbourhoods]\n'
        f'path = "{shared}/data/aleppo-neighbourhoods-ocha/aleppo_neighbourhoods.derived.geojson"\n'
        'profile = "ocha-neighbourhoods"\n[layers.population]\npath = "people.csv"\n',
        encoding="utf-8",
    )
    made, found = opened(tmp_path)
    assert found.table["people"].sum() + found.left_out["value"].astype(float).sum() == 1000 * len(table)
    taken = found.names[found.names["id"].notna()]
    assert len(taken) >= 80
    ours, there = theirs.geometry.loc[table.index[taken.index]], made.zones.geometry.loc[taken["id"]]
    shared_area = shapely.area(shapely.intersection(shapely.make_valid(ours.to_numpy()), shapely.make_valid(there.to_numpy())))
    smaller = np.minimum(ours.area.to_numpy(), there.area.to_numpy())
    assert (shared_area / smaller > 0.6).all(), "no false merge"
    asked = open_names(made, found)
    assert len(asked) == len(found.names) - len(taken)
    assert set(asked["how"]) <= {"likely", "ambiguous", "unmatched"}


def test_the_quarters_of_un_habitat_are_not_those_of_ocha(tmp_path, shared):
    """111 polygons with names of which 16 lie elsewhere: not all are OCHA's quarters, so their people are spread, and all arrive."""
    (tmp_path / "study.toml").write_text(
        '[study]\nid = "a"\nname = { ar = "حلب", en = "Aleppo" }\ncrs = "EPSG:32637"\n[layers.neighbourhoods]\n'
        f'path = "{shared}/data/aleppo-neighbourhoods-ocha/aleppo_neighbourhoods.derived.geojson"\n'
        'profile = "ocha-neighbourhoods"\n[layers.population]\npath = "people.geojson"\n',
        encoding="utf-8",
    )
    units = gpd.read_file(shared / "data/aleppo-unhabitat/neighborhoods.derived.geojson")
    units = units.set_geometry(units.geometry.make_valid()).rename(columns={"Names": "name_ar", "Name_En": "name_en"})
    units = units[~units["name_ar"].duplicated(keep=False)]
    units[["name_ar", "name_en", "geometry"]].assign(people=1000).to_file(tmp_path / "people.geojson")
    _, found = opened(tmp_path)
    assert "spread" in codes(found.findings)
    lost = found.left_out.loc[found.left_out["reason"] == "outside", "value"].astype(float).sum()
    placed = found.table["people"].sum()
    assert placed + lost == pytest.approx(1000 * (len(units) - (found.left_out["reason"] != "outside").sum()))


def test_sub_districts_of_homs_whose_codes_lost_their_letters(tmp_path, shared):
    """23 sub-districts with bare numbers for codes; people by P-code, not one of which is taken by its name alone: a person confirms."""
    data = shared / "data"
    ocha = gpd.read_file(data / "syr-cod-ab-adm3/syr_admbnda_adm3_uncs_unocha_20201217-polygon.shp")
    ocha = ocha[ocha["ADM1_PCODE"] == "SY04"]
    table = pd.DataFrame({"id": ocha["ADM3_PCODE"], "name_ar": ocha["ADM3_AR"], "people": 1000})
    table.to_csv(tmp_path / "people.csv", index=False)
    zones = gpd.read_file(data / "homs-admin-utm37n-3d/subdistricts.geojson").set_crs(CRS, allow_override=True)
    zones = zones.set_geometry(shapely.make_valid(shapely.force_2d(zones.geometry.to_numpy()), method="structure"), crs=CRS)
    zones.rename(columns={"الرمز": "id", "ناحية": "name_ar"})[["id", "name_ar", "geometry"]].to_file(tmp_path / "zones.gpkg")
    (tmp_path / "study.toml").write_text(
        '[study]\nid = "homs"\nname = { ar = "حمص", en = "Homs" }\ncrs = "EPSG:32637"\npcodes = ["SY04"]\n'
        '[layers.neighbourhoods]\npath = "zones.gpkg"\n[layers.population]\npath = "people.csv"\n',
        encoding="utf-8",
    )
    made, found = opened(tmp_path)
    assert found.table["people"].isna().all()
    table = open_names(made, found)
    assert len(table) == len(ocha) == 23
    right = table[table["how"] == "other-code"]
    assert len(right) == 22
    decide(made, found, right[["layer", "name"]].assign(id=right["proposal"], row=1), by="Layla", now=NOW)
    after = people(read_city(open_study(tmp_path)[0]))
    assert after.table["people"].sum() == 22_000


# The command


def test_the_command_lists_writes_and_keeps(asking, tmp_path):
    path = tmp_path / "names.csv"
    listed = tarmim("names", asking, "--out", path)
    assert listed.returncode == 0, listed.stderr
    assert "Names that need a decision: 4." in listed.stdout
    assert "population  بابا عمر  ×1  resembles N0102 بابا عمرو / Baba Amr" in listed.stdout
    table = pd.read_csv(path, dtype=str, encoding="utf-8-sig")
    table.assign(id=["N0103", "N9999", "", ""]).to_csv(path, index=False, encoding="utf-8-sig")
    refused = tarmim("names", asking, "--decide", path, "--by", "Layla", "--lang", "ar")
    assert refused.returncode == 1
    assert "N9999" in refused.stderr
    assert "Traceback" not in refused.stderr
    table.assign(id=["N0103", "N0101", "", ""]).to_csv(path, index=False, encoding="utf-8-sig")
    kept = tarmim("names", asking, "--decide", path, "--by", "Layla")
    assert kept.returncode == 0, kept.stderr
    assert "New decisions kept: 2." in kept.stdout
    assert "Names that need a decision: 2." in kept.stdout
    assert "Names that need a decision: 2." in tarmim("names", asking).stdout
    nobody = tarmim("names", asking, "--decide", path)
    assert nobody.returncode == 1
    assert "--by NAME" in nobody.stderr


def test_nothing_to_decide_is_said_too(town):
    done = tarmim("names", town(), "--lang", "ar")
    assert (done.returncode, done.stdout.strip()) == (0, "لا يوجد اسم يحتاج إلى قرار.")
