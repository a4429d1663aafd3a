"""The whole road: what must hold from the files to the list."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest
import shapely

from geo.pipeline import assess, check, is_sound, open_study, read_city
from geo.scheme import read_scheme
from tests.conftest import layer, points, town_tables

SCORES = ["rank", "tied", "status", "score", "score_low", "score_high", "coverage"]


def by_id(made):
    return made.priorities.set_index("id").sort_index()


def test_list_is_by_rank_and_what_can_not_be_assessed_comes_last(town_run):
    assert town_run.priorities["id"].tolist() == ["A", "C", "B", "D"]
    assert town_run.priorities["rank"].tolist() == [1, 2, 3, pd.NA]
    assert town_run.priorities["status"].tolist() == ["ranked"] * 3 + ["not_assessable"]


def test_contributions_add_up_to_the_score(town_run):
    table = town_run.priorities
    points_given = table[[f"contribution_{name}" for name in town_run.criteria()]].sum(axis=1)
    ranked = table["rank"].notna()
    assert points_given[ranked].tolist() == pytest.approx(table.loc[ranked, "score"].tolist(), abs=1e-9)
    assert (table.loc[ranked, "score_low"] <= table.loc[ranked, "score"]).all()
    assert (table.loc[ranked, "score"] <= table.loc[ranked, "score_high"]).all()


@pytest.mark.parametrize("seed", range(3))
def test_order_of_rows_changes_no_number(run, plain_town, seed):
    """Every layer shuffled: the same table, sums included."""
    made = run(**{name: table.sample(frac=1, random_state=seed) for name, table in town_tables().items()})
    wanted = plain_town.drop(columns=["geometry"])
    pd.testing.assert_frame_equal(by_id(made).drop(columns=["geometry"]), wanted, rtol=1e-12)


def test_neighbourhood_that_goes_changes_no_score_of_another(run, plain_town):
    """Without C, and with D renamed to come first: A and B keep what they had."""
    made = by_id(run(neighbourhoods=lambda zones: zones.drop(2).assign(id=["A", "B", "0"])))
    kept = [column for column in SCORES if column not in ("rank", "tied")]
    pd.testing.assert_frame_equal(made.loc[["A", "B"], kept], plain_town.loc[["A", "B"], kept])
    assert made["rank"].tolist() == [pd.NA, 1, 2]


@pytest.mark.parametrize("scheme", ["default", "rapid"])
def test_more_damage_never_lowers_the_score(run, scheme):
    """B, one structure after the other found damaged, and worse: its score climbs, and nobody else's moves."""
    places = [(1500, 500), (1400, 104)]
    before = None
    for grades in (["moderate"], ["severe"], ["destroyed"], ["destroyed", "moderate"], ["destroyed", "destroyed"]):
        damage = layer(points((200, 500), *places[: len(grades)]), grade=["severe", *grades])
        made = by_id(run(study={"scheme": scheme}, damage=damage, without=("complaints", "water")))
        if before is not None:
            assert made.at["B", "score"] > before.at["B", "score"]
            assert made.at["A", "score"] == pytest.approx(before.at["A", "score"])
        before = made


def test_equal_neighbourhoods_tie(run):
    """C and D alike in everything, A and B without anything: two ties."""
    tables = town_tables()
    made = run(
        buildings=tables["buildings"][14:],
        damage=layer(points((500, 1500), (1500, 1500)), grade=["severe", "severe"]),
        without=("roads", "water", "facilities", "complaints", "electricity"),
        entries={"damage": {"extent": "study"}, "population": {"path": "population.csv"}},
        population=pd.DataFrame({"id": [*"ABCD"], "people": [50] * 4}),
        study={"scheme": "own.toml"},
        scheme=OWN,
    )
    assert made.priorities[["id", "rank", "tied"]].to_numpy().tolist()[:2] == [["C", 1, True], ["D", 1, True]]
    assert "1 other neighbourhood has exactly the same score" in made.priorities.at[0, "why_en"]


OWN = """[scheme]
name = { ar = "مخطط", en = "Scheme" }
[[criteria]]
measure = "damage_index"
axis = "basic_services"
weight = 1
direction = "more"
goalposts = [0, 1]
reason = { ar = "سبب", en = "reason" }
"""


@pytest.fixture
def run(town):
    """The run of the town; `scheme` is the text of the study's own scheme, own.toml."""

    def made(scheme=None, **changes):
        folder = town(**changes)
        if scheme:
            (folder / "own.toml").write_text(scheme, encoding="utf-8")
        study, chosen = open_study(folder)
        return assess(read_city(study), chosen)

    return made


def test_units_of_a_layer_do_not_matter(run, plain_town):
    """All layers in degrees, another datum's metres or the study's own: the same list, lengths to a millimetre in a kilometre."""
    tables = town_tables()
    made = run(
        damage=tables["damage"].to_crs("EPSG:4326"),
        roads=tables["roads"].to_crs("EPSG:22770"),
        water=tables["water"].to_crs("EPSG:3857"),
        entries={name: {"path": f"{name}.gpkg"} for name in ("damage", "roads", "water")},
    )
    numbers = ["road_length_m", "water_damaged_m", "equivalent_destroyed", "road_debris_m"]
    assert by_id(made)[numbers].to_numpy() == pytest.approx(plain_town[numbers].to_numpy(), rel=1e-4, nan_ok=True)
    assert by_id(made)["rank"].tolist() == plain_town["rank"].tolist()


def test_town_of_neighbourhoods_alone(run, town):
    """Nothing but boundaries: every neighbourhood is listed, none is ranked, nothing breaks."""
    others = tuple(name for name in town_tables() if name != "neighbourhoods")
    made = run(without=others)
    assert made.priorities["status"].tolist() == ["not_assessable"] * 4
    assert made.priorities["score"].isna().all()
    assert is_sound(check(town(without=others)))


def test_check_of_a_sound_study_with_oddities_would_stop_no_run(town):
    folder = town(damage=lambda table: table.assign(grade=["?", *table["grade"][1:]]))
    findings = check(folder)
    assert [(one.severity, one.where, one.code) for one in findings] == [("warning", "damage", "grade-not-recognised")]
    assert is_sound(findings)


def test_inputs_are_not_changed(town):
    folder = town()
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    study, scheme = open_study(folder)
    city = read_city(study)
    frames = {name: layer.frame.copy() for name, layer in city.layers.items()}
    zones = city.zones.copy()
    assess(city, scheme)
    assess(city, read_scheme("rapid"))
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before, "nothing is written beside a layer"
    pd.testing.assert_frame_equal(city.zones, zones)
    for name, frame in frames.items():
        pd.testing.assert_frame_equal(pd.DataFrame(city.layers[name].frame), pd.DataFrame(frame))


def test_steps_are_told(town):
    told = []
    study, scheme = open_study(town())
    assess(read_city(study, told.append), scheme, told.append)
    assert [str(step) for step in told[:2]] == ["Reading Neighbourhoods", "Reading Buildings"]
    assert str(told[-1]) == "Drawing how sure the ranks are"


def test_every_share_is_a_share(town_run):
    """Shares and coverages lie between 0 and 1, bounds around the best value, wherever they are known."""
    table = town_run.priorities
    units = {one["id"]: one["unit_id"] for one in town_run.info["measures"]}
    for name in town_run.measures():
        values = table[name].astype(float)
        if units[name] == "share":
            assert values.dropna().between(0, 1).all(), name
        if f"{name}_coverage" in table:
            assert table[f"{name}_coverage"].dropna().between(0, 1).all(), name
        for end, sign in (("_low", 1), ("_high", -1)):
            if f"{name}{end}" in table:
                assert ((values - table[f"{name}{end}"]).dropna() * sign >= -1e-9).all(), f"{name}{end}"


def test_neighbourhood_not_to_be_assessed_says_why(plain_town):
    text = plain_town.at["D", "why_en"]
    assert re.match("Not assessable: only 18 ?% of the weights are known", text)
    assert "People in damaged homes (not surveyed)" in text
    assert np.isnan(plain_town.at["D", "score"])


def test_extent_that_touches_nothing_leaves_all_unknown(run):
    beside = shapely.box(333_000, 4_000_000, 334_000, 4_001_000)
    table = by_id(run(surveyed=beside))
    assert table["damage_index"].isna().all()
    assert set(table["damage_index_note"]) == {"not-surveyed"}
