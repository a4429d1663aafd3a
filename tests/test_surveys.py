"""Surveys: from what a partner sent to a dataset that a run reads, on the town whose answers can be checked on paper."""

import datetime
import shutil
import zipfile
from pathlib import Path

import geopandas as gpd
import pytest
import shapely

from geo import pipeline, surveys
from geo.errors import LayerError
from geo.store import Store, StoreError
from geo.study import LayerSpec, read_study

NOW = datetime.datetime(2026, 11, 23, 12, tzinfo=datetime.UTC)
UNOSAT = LayerSpec(path="new.gpkg", profile="unosat")
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


def delivered(store, study, path, layer="damage", choices=None):
    receipt = surveys.deliver(store, [path], layer=layer, sender="UNOSAT", now=NOW)
    return surveys.check(store, study, receipt.id, choices, now=NOW)


def graded(path, grades, **columns):
    """Points in the middle of Al-Qusour, a row a grade."""
    middle = gpd.read_file(DEMO / "neighbourhoods.geojson").set_index("name_en").loc["Al-Qusour", "geometry"].representative_point()
    shapes = [shapely.Point(middle.x + 1e-5 * n, middle.y) for n in range(len(grades))]
    gpd.GeoDataFrame({"Main_Damag": grades, **columns}, geometry=shapes, crs="EPSG:4326").to_file(path)
    return path


def test_accepted_survey_gives_the_run_of_its_file(store, study):
    """The damage of the demo city, delivered again by a partner: the same numbers, from the dataset."""
    _, scheme = pipeline.open_study(study.folder)
    before = pipeline.assess(pipeline.read_city(study), scheme)
    own = study.layers["damage"]
    checked = delivered(store, study, study.folder / "damage.csv", choices=own.model_copy(update={"path": "damage.csv"}))
    assert checked.survey.status == "checked"
    assert surveys.accepted(study) == {}, "checked is not accepted"
    made = surveys.accept(store, study, checked.survey.id, by="planner", now=NOW)
    city = pipeline.read_city(study, accepted=surveys.accepted(study))
    after = pipeline.assess(city, scheme)
    assert city.layers["damage"].sha256 == made.sha256
    assert after.id != before.id
    assert after.priorities["id"].tolist() == before.priorities["id"].tolist()
    for column in ("score", "score_low", "score_high", "coverage", "structures_destroyed"):  # added up in another order of rows
        assert after.priorities[column].tolist() == pytest.approx(before.priorities[column].tolist(), abs=1e-9, nan_ok=True), column
    keys = ["layer", "row", "reason"]
    assert after.left_out[keys].sort_values(keys).to_numpy().tolist() == before.left_out[keys].sort_values(keys).to_numpy().tolist()


def test_withdrawing_a_dataset_gives_the_earlier_run(store, study):
    _, scheme = pipeline.open_study(study.folder)
    before = pipeline.assess(pipeline.read_city(study, accepted=surveys.accepted(study)), scheme)
    checked = delivered(store, study, graded(study.folder / "new.gpkg", ["Destroyed"] * 9), choices=UNOSAT)
    made = surveys.accept(store, study, checked.survey.id, by="planner", now=NOW)
    between = pipeline.assess(pipeline.read_city(study, accepted=surveys.accepted(study)), scheme)
    assert between.id != before.id
    store.withdraw(made.id, by="planner", reason="a trial", now=NOW)
    assert pipeline.assess(pipeline.read_city(study, accepted=surveys.accepted(study)), scheme).id == before.id


def test_what_the_study_says_of_its_own_file_is_not_said_of_another(store, study):
    """The demo's survey looked at part of the city, on a date, for somebody; a partner's form with the same columns did not."""
    checked = delivered(store, study, graded(study.folder / "new.shp", ["1"], SensorDa_1=["2015-04-26"]))
    assert checked.layer is not None
    assert (checked.layer.extent, checked.layer.spec.date, checked.layer.spec.licence) == (None, None, "")
    assert "extent-unknown" in {one.code for one in checked.findings}


def test_form_is_recognised_and_unknown_grades_are_listed(store, study):
    """A UNOSAT shapefile with names cut to ten letters: nobody has to say what it is; code 6 is not guessed."""
    path = graded(study.folder / "unosat.shp", ["1", "2", "3", "6"], SensorDa_1=["2015-04-26"] * 4)
    checked = delivered(store, study, path, choices=LayerSpec(path="unosat.shp"))
    assert checked.layer is not None, checked.findings
    assert checked.layer.spec.profile == "unosat"
    assert checked.layer.frame["state"].dropna().tolist() == ["destroyed", "severe", "moderate"]
    assert checked.layer.left_out["reason"].tolist() == ["grade-not-recognised"]
    assert {"recognised", "grade-not-recognised"} <= {one.code for one in checked.findings}
    assert checked.survey.profile == "unosat"


def test_every_left_out_row_reaches_the_run(store, study):
    """However many: a run that did not know of them would count them as used."""
    path = graded(study.folder / "many.gpkg", ["1", *["9"] * 6_000])
    checked = delivered(store, study, path, choices=LayerSpec(path="many.gpkg", profile="unosat"))
    surveys.accept(store, study, checked.survey.id, by="planner", now=NOW)
    _, scheme = pipeline.open_study(study.folder)
    run = pipeline.assess(pipeline.read_city(study, accepted=surveys.accepted(study)), scheme)
    damage = next(one for one in run.info["layers"] if one["layer"] == "damage")
    assert (damage["rows_read"], damage["rows_used"], damage["rows_left_out"]) == (6_001, 1, 6_000)


def test_loose_parts_are_kept_together(store, study):
    path = graded(study.folder / "loose.shp", ["1"])
    receipt = surveys.deliver(store, [path], layer="damage", sender="x", now=NOW)
    with zipfile.ZipFile(store.original(receipt.id)) as kept:
        assert {Path(name).suffix for name in kept.namelist()} >= {".shp", ".shx", ".dbf", ".prj"}
    again = surveys.deliver(store, [path], layer="damage", sender="x", now=NOW)
    assert again.id == receipt.id
    assert [one.code for one in again.findings] == ["received-before"]


def test_refused_survey_is_kept_with_its_reasons_in_both_languages(store, study):
    path = graded(study.folder / "far.gpkg", ["1"])
    gpd.read_file(path).to_crs("EPSG:32637").translate(400_000).to_frame("geometry").assign(Main_Damag="1").to_file(path)
    checked = delivered(store, study, path, choices=LayerSpec(path="far.gpkg", profile="unosat"))
    assert checked.layer is None
    assert [one.code for one in checked.findings] == ["crs-far"]
    kept = store.survey(checked.survey.id)
    assert kept.findings[0]["found"]["ar"] != kept.findings[0]["found"]["en"]
    assert store.original(kept.id).read_bytes() == path.read_bytes()
    with pytest.raises(LayerError):
        surveys.accept(store, study, kept.id, by="planner", now=NOW)
    assert store.datasets() == []
    store.return_(kept.id, "wrong city", by="planner", now=NOW)
    assert store.survey(kept.id).status == "returned"


def test_other_choices_can_be_tried_on_the_same_file(store, study):
    path = graded(study.folder / "odd.gpkg", ["Completely Destroyed", "Not Affected"])
    first = delivered(store, study, path, choices=LayerSpec(path="odd.gpkg", profile="unosat"))
    assert first.layer is None
    columns = {"grade": "Main_Damag"}
    second = surveys.check(
        store, study, first.survey.id, LayerSpec(path="odd.gpkg", profile="copernicus-ems", columns=columns), now=NOW
    )
    assert second.layer is not None
    assert second.layer.frame["state"].tolist() == ["destroyed", "none"]
    made = surveys.accept(store, study, first.survey.id, by="planner", now=NOW)  # with the choices of the last check
    assert store.read(made)["state"].tolist() == ["destroyed", "none"]


def test_one_of_several_layers_is_not_picked_by_chance(store, study, tmp_path):
    with zipfile.ZipFile(tmp_path / "two.zip", "w") as archive:
        for name in ("one", "two"):
            for part in (graded(tmp_path / f"{name}.shp", ["1"]).parent).glob(f"{name}.*"):
                archive.write(part, part.name)
    refused = delivered(store, study, tmp_path / "two.zip")
    assert [one.code for one in refused.findings] == ["several-files"]
    chosen = surveys.check(store, study, refused.survey.id, LayerSpec(path="two.zip", profile="unosat", sublayer="two"), now=NOW)
    assert chosen.layer is not None


def test_hostile_file_is_one_finding(store, study, tmp_path):
    secret = tmp_path / "secret.csv"
    secret.write_text("id,lon,lat,grade\n1,36.7,34.7,Destroyed\n")
    nasty = tmp_path / "survey.geojson"
    nasty.write_text(
        f'<OGRVRTDataSource><OGRVRTLayer name="secret"><SrcDataSource>{secret}</SrcDataSource></OGRVRTLayer></OGRVRTDataSource>'
    )
    checked = delivered(store, study, nasty)
    assert checked.layer is None
    assert "Destroyed" not in str([one.record() for one in checked.findings])


def test_missing_file_and_unknown_survey(store, study):
    with pytest.raises(LayerError, match="There is no file"):
        surveys.deliver(store, [study.folder / "nope.zip"], layer="damage", sender="x", now=NOW)
    with pytest.raises(StoreError):
        surveys.check(store, study, "0" * 32, now=NOW)


def test_reasons_of_the_reader_are_reasons_of_the_run():
    """The child must not load what the register needs, so the list stands twice; it says the same."""
    from geo.left_out import REASONS
    from geo.untrusted import ASIDE_REASONS

    assert {code: REASONS[code].text for code in ASIDE_REASONS} == {code: said.text for code, said in ASIDE_REASONS.items()}
