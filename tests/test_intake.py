"""Intake: other people's columns, places and coordinate systems become ours, by proposal and decision and never by a guess."""

import datetime
import json
import shutil
from pathlib import Path

import geopandas as gpd
import pandas as pd
import pytest
import shapely
from typer.testing import CliRunner

from api.cli import app
from geo import surveys
from geo.errors import StudyError, findings_table
from geo.intake import preview
from geo.mappings import mappings
from geo.store import Store
from geo.study import LayerSpec, read_study
from maps.preview import preview_page

NOW = datetime.datetime(2026, 11, 23, 12, tzinfo=datetime.UTC)
DEMO = Path(__file__).parents[1] / "data" / "demo"


@pytest.fixture
def study(tmp_path):
    folder = tmp_path / "demo"
    shutil.copytree(DEMO, folder)
    return read_study(folder)


@pytest.fixture
def store(study):
    with Store.open(study.folder) as one:
        yield one


@pytest.fixture
def places():
    """The middle of each neighbourhood of the demo city, in degrees."""
    zones = gpd.read_file(DEMO / "neighbourhoods.geojson")
    return gpd.GeoSeries(zones.representative_point(), crs=zones.crs)


def delivered(store, study, path, layer="damage", choices=None):
    receipt = surveys.deliver(store, [path], layer=layer, sender="municipality", now=NOW)
    return surveys.check(store, study, receipt.id, choices or LayerSpec(path=path.name), now=NOW)


def codes(checked):
    return [one.code for one in checked.findings]


def in_metres(places, path):
    gpd.GeoDataFrame({"Main_Damag": ["1"] * len(places), "SensorDa_1": "2015-04-26"}, geometry=places).to_crs("EPSG:32637").to_file(
        path
    )
    path.with_suffix(".prj").unlink()
    return path


# ------------------------------------------------------------------------------------------------ where the features lie


def test_missing_coordinate_system_is_refused_with_those_that_fit_and_chosen_by_the_sender(store, study, places):
    path = in_metres(places, study.folder / "silent.shp")
    refused = delivered(store, study, path)
    assert refused.layer is None
    assert "crs-unknown" in codes(refused)
    shown = preview(refused.examined, study)
    assert [(row["crs"], row["axes"], row["certain"]) for row, _ in shown] == [("EPSG:32637", "xy", True)]
    expected = places.to_crs(study.crs).to_numpy()
    assert shapely.equals_exact(shown[0][1].geometry.to_numpy(), expected, tolerance=0.01).all()
    kept = store.survey(refused.survey.id).mapping["systems"]
    assert [(one["crs"], one["inside"]) for one in kept] == [("EPSG:32637", len(places))], "the choice can be offered later"

    chosen = surveys.check(store, study, refused.survey.id, LayerSpec(path="silent.shp", crs="EPSG:32637"), now=NOW)
    assert chosen.layer is not None
    assert shapely.equals_exact(chosen.layer.frame.geometry.to_numpy(), expected, tolerance=0.01).all()


def test_swapped_axes_are_named_and_turned_by_choice_only(store, study, places):
    path = study.folder / "swapped.geojson"
    turned = shapely.transform(places.to_numpy(), lambda xy: xy[:, ::-1])
    gpd.GeoDataFrame({"Main_Damag": ["1"] * len(places), "SensorDa_1": "2015-04-26"}, geometry=turned, crs="EPSG:4326").to_file(
        path
    )
    refused = delivered(store, study, path)
    assert refused.layer is None
    assert [code for code in codes(refused) if code.startswith("crs-")] == ["crs-swapped"]
    chosen = surveys.check(store, study, refused.survey.id, LayerSpec(path=path.name, axes="yx"), now=NOW)
    assert chosen.layer is not None, chosen.findings
    there = places.to_crs(study.crs).to_numpy()
    assert shapely.equals_exact(chosen.layer.frame.geometry.to_numpy(), there, tolerance=0.01).all()
    made = surveys.accept(store, study, refused.survey.id, by="planner", now=NOW)
    assert shapely.equals_exact(store.read(made).sort_values("row").geometry.to_numpy(), there, tolerance=0.01).all()


def test_wrong_zone_lies_elsewhere_and_every_finding_is_told_once(store, study, places):
    path = study.folder / "zone.gpkg"
    gpd.GeoDataFrame({"Main_Damag": ["1"] * len(places)}, geometry=places).to_crs("EPSG:32637").set_crs(
        "EPSG:32636", allow_override=True
    ).to_file(path)
    refused = delivered(store, study, path)
    assert [code for code in codes(refused) if code.startswith("crs-")] == ["crs-lies"]
    said = next(one for one in refused.findings if one.code == "crs-lies")
    assert "EPSG:32637" in said.remedy.render("ar")


def test_preview_shows_the_city_and_each_system_in_both_languages_and_escapes_the_name(store, study, places):
    refused = delivered(store, study, in_metres(places, study.folder / "silent.shp"))
    shown = preview(refused.examined, study)
    zones = surveys.neighbourhoods(store, study)
    for lang, direction, word in (("ar", "rtl", "أين موقع"), ("en", "ltr", "Where does")):
        page = preview_page(zones, shown, name="<b>{{7*7}}</b>", survey=refused.survey.id, lang=lang)
        assert f'dir="{direction}"' in page
        assert word in page
        assert "<b>{{7*7}}" not in page
        assert "&lt;b&gt;{{7*7}}" in page
        assert page.split("<main>")[1].count("h0") == len(places), "a dot a feature"
        assert f"tarmim choose {refused.survey.id} --crs EPSG:32637" in page
        assert "default-src &#39;none&#39;" in page, "it asks nobody for anything"


def test_preview_of_many_features_draws_an_even_sample(store, study, places):
    path = study.folder / "many.gpkg"
    points = shapely.points(places.x.to_numpy().repeat(200), places.y.to_numpy().repeat(200))
    gpd.GeoDataFrame({"Main_Damag": ["1"] * len(points)}, geometry=points, crs="EPSG:4326").to_file(path)
    checked = delivered(store, study, path)
    ((row, drawn),) = preview(checked.examined, study, at_most=100)
    assert row["inside"] == len(points), "counted whole"
    assert 90 <= len(drawn) <= 100, "drawn in part"


# -------------------------------------------------------------------------------------------------- what the columns are


def form(places, path, grades, **more):
    """A form of a municipality, in words that no source uses."""
    rows = range(len(grades))
    table = {
        "رقم الاستمارة": [f"م-{n}" for n in rows],
        "درجة الضرر": grades,
        "خط طول": places.x[: len(grades)],
        "خط عرض": places.y[: len(grades)],
    }
    pd.DataFrame({**table, **more}).to_csv(path, index=False)
    return path


def test_unknown_form_is_proposed_confirmed_once_and_then_applies_by_itself(store, study, places):
    grades = ["مدمر كليا", "ضرر كبير", "سليم", "ضرر كبير"]
    first = delivered(store, study, form(places, study.folder / "form.csv", grades))
    assert first.layer is None, "nobody has said what the grades mean"
    assert "columns-proposed" in codes(first)
    proposal = {one["ours"]: one["theirs"] for one in store.survey(first.survey.id).mapping["proposal"]}
    assert proposal["grade"] == "درجة الضرر"
    meanings = {"مدمر كليا": "destroyed", "ضرر كبير": "severe", "سليم": "none"}
    places_of_it = {"lon": "خط طول", "lat": "خط عرض"}
    agreed = surveys.confirm(
        store, study, first.survey.id, name="baladiya", columns={"id": "رقم الاستمارة", **places_of_it}, grades=meanings, now=NOW
    )
    assert agreed.layer is not None, [one.render("en") for one in agreed.findings]
    assert agreed.layer.frame["state"].tolist() == ["destroyed", "severe", "none", "severe"]
    assert list(mappings(study.folder)) == ["baladiya"]

    again = delivered(store, study, form(places, study.folder / "next.csv", ["سليم", "مدمر كليا", "متصدع"]))
    assert again.layer is not None, "no click"
    assert again.layer.frame["state"].dropna().tolist() == ["none", "destroyed"]
    assert again.layer.left_out["reason"].tolist() == ["grade-not-recognised"], "a grade nobody explained is not guessed"
    assert {"recognised", "grades-not-listed"} <= set(codes(again))
    made = surveys.accept(store, study, again.survey.id, by="planner", now=NOW)
    assert made.rows == 3
    settings = made.provenance["choices"]
    assert settings["grades"] == meanings, "a run can say what the grades were taken to mean"


def test_mapping_that_can_not_hold_is_refused_and_nothing_is_kept(store, study, places):
    first = delivered(store, study, form(places, study.folder / "form.csv", ["مدمر كليا"] * 3))
    with pytest.raises(StudyError) as refused:
        surveys.confirm(
            store, study, first.survey.id, name="Bad Name", columns={"grade": "no such"}, grades={"x": "flattened"}, now=NOW
        )
    assert len(refused.value.findings) == 3
    assert mappings(study.folder) == {}


def test_states_nobody_knows_are_refused(store, study, places):
    path = form(places, study.folder / "form.csv", ["مدمر كليا"] * 3)
    checked = delivered(store, study, path, choices=LayerSpec(path=path.name, grades={"مدمر كليا": "flattened"}))
    assert codes(checked) == ["unknown-name"]
    assert "flattened" in checked.findings[0].render("ar")


def test_hashtag_row_says_what_the_columns_are(store, study, places):
    path = study.folder / "hxl.csv"
    table = pd.DataFrame(
        {
            "Nom": ["#loc+name", "A", "B"],
            "Sorte": ["#loc+type", "hospital", "school"],
            "X": ["#geo+lon", *places.x[:2]],
            "Y": ["#geo+lat", *places.y[:2]],
        }
    )
    table.to_csv(path, index=False)
    checked = delivered(store, study, path, layer="facilities")
    assert checked.layer is not None, [one.render("en") for one in checked.findings]
    assert checked.layer.frame["kind"].tolist() == ["hospital", "school"]
    assert checked.layer.rows_read == 2, "the hashtags are no row"
    assert checked.survey.profile == "hxl"


@pytest.mark.parametrize(("layer", "question", "answer", "kind"), [
    ("roads", "road_geotrace", "{lat} {lon} 0 0;{lat2} {lon2} 0 0", "LineString"),
    ("buildings", "building_geoshape", "{lat} {lon} 0 0;{lat} {lon2} 0 0;{lat2} {lon2} 0 0;{lat} {lon} 0 0", "Polygon"),
    ("facilities", "gps", "{lat} {lon} 401.5 4.9", "Point"),
])  # fmt: skip
def test_answers_of_forms_are_points_traces_and_shapes(store, study, places, layer, question, answer, kind):
    """ODK and Kobo write latitude first, then longitude, altitude, accuracy."""
    lon, lat = places.x[0], places.y[0]
    text = answer.format(lat=lat, lon=lon, lat2=lat + 1e-3, lon2=lon + 1e-3)
    path = study.folder / "kobo.csv"
    table = {"_uuid": ["u1"], "group/kind": ["hospital"], f"group/{question}": [text], "_submission_time": ["2026-03-01T10:00:00"]}
    pd.DataFrame(table).to_csv(path, index=False)
    columns = {"kind": "group/kind"} if layer == "facilities" else {}
    checked = delivered(store, study, path, layer=layer, choices=LayerSpec(path=path.name, columns=columns))
    assert checked.layer is not None, [one.render("en") for one in checked.findings]
    shape = checked.layer.frame.to_crs("EPSG:4326").geometry.iloc[0]
    assert shape.geom_type == kind
    assert shapely.get_coordinates(shape)[0] == pytest.approx([lon, lat], abs=1e-7)


# ------------------------------------------------------------------------------------------------------------- commands


def tarmim(*arguments):
    return CliRunner().invoke(app, [str(one) for one in arguments], obj="en")


def test_commands_preview_choose_and_accept(study, places):
    path = in_metres(places, study.folder / "silent.shp")
    where = ("--study", study.folder)
    refused = tarmim("import", path, "--layer", "damage", *where)
    assert refused.exit_code == 1
    ident = refused.output.split("Receipt ")[1].split(":")[0]
    assert f"tarmim preview {ident}" in refused.output
    page = study.folder / "preview.html"
    assert tarmim("preview", ident, "--out", page, *where).exit_code == 0
    assert "EPSG:32637" in page.read_text(encoding="utf-8")
    chosen = tarmim("choose", ident, "--crs", "EPSG:32637", *where)
    assert chosen.exit_code == 0, chosen.output
    copied = f"\u2068{ident}\u2069"  # as it stands in an Arabic line
    assert tarmim("accept", copied, *where).exit_code == 0


def test_commands_keep_a_mapping_and_write_the_findings(study, places):
    path = form(places, study.folder / "form.csv", ["مدمر كليا", "سليم"])
    where = ("--study", study.folder)
    refused = tarmim("import", path, "--layer", "damage", *where)
    ident = refused.output.split("Receipt ")[1].split(":")[0]
    said = ("--column", "lon=خط طول", "--column", "lat=خط عرض", "--grade", "مدمر كليا=destroyed", "--grade", "سليم=none")
    kept = tarmim("choose", ident, *said, "--save", "baladiya", *where)
    assert kept.exit_code == 0, kept.output
    table = study.folder / "findings.csv"
    assert tarmim("surveys", ident, "--out", table, *where).exit_code == 0
    read = pd.read_csv(table)
    assert {"severity", "code", "where", "count", "rows", "found_ar", "remedy_en"} <= set(read.columns)
    assert "recognised" in set(read["code"])


def test_findings_are_one_table_whoever_asks(store, study, places):
    checked = delivered(store, study, in_metres(places, study.folder / "silent.shp"))
    mine = findings_table([one.record() for one in checked.findings])
    kept = findings_table(store.survey(checked.survey.id).findings)
    assert json.loads(mine.to_json()) == json.loads(kept.to_json())
    assert mine["severity"].iloc[0] in ("error", "warning", "info")
