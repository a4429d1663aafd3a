"""Mobility and road works: a street on paper, the demo city, Aleppo. Who lost access, and which repair gives it back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import shapely

from geo import mobility, scenarios
from geo.access import parameters
from geo.pipeline import assess, open_study, read_city
from geo.road_works import COLUMNS, repairs_of, road_works
from tests.conftest import layer, lines, points, write_town

DEMO = Path(__file__).parents[1] / "data" / "demo"
# one street through A and B in pieces of 100 m, 50 m from the houses; the hospital at its east end
STREET = lines(*([(x, 750), (x + 100, 750)] for x in range(0, 2000, 100)))


def street(tmp_path, **changes):
    tables = {
        "roads": layer(STREET, road_class=["residential"] * 20, id=[f"R-{n:02d}" for n in range(20)]),
        "facilities": layer(points((1950, 750)), kind=["hospital"], state=["none"], functionality=["functional"]),
        "damage": layer(points((500, 100)), grade=["none"]),
        **changes,
    }
    folder = write_town(tmp_path, without=("water", "complaints"), **tables)
    study, scheme = open_study(folder)
    city = read_city(study)
    made = mobility.of(city, scheme, scenarios.people(city).table)
    return city, scheme, made, mobility.measure(city, made)


def berm(*places):
    return layer(points(*places), kind=["berm"] * len(places), id=[f"O-{n}" for n in range(len(places))])


# The street


def test_nothing_is_lost_on_an_open_street(tmp_path):
    _, _, made, table = street(tmp_path)
    assert table.loc[["A", "B"], "lost_access_health"].tolist() == [0, 0]
    assert table.loc[["A", "B"], "minutes_added_health"].tolist() == [0, 0]
    assert table.loc[["A", "B"], "lost_access_health_coverage"].tolist() == [1, 1]
    assert np.isfinite(made.seconds()).all()


def test_a_berm_cuts_off_all_who_live_behind_it(tmp_path):
    """At x = 1000, where two pieces meet: A's 1,000 people have no way any more, B's 2,000 have theirs."""
    _, _, made, table = street(tmp_path, obstacles=berm((1000, 750)))
    assert table.loc[["A", "B"], "lost_access_health"].tolist() == [1000, 0]
    assert table.loc[["A", "B"], "lost_access_health_share"].tolist() == [1, 0]
    before = [abs(1950 - round((60 + 90 * n) / 100) * 100) / 1000 / 20 * 60 for n in range(10)]
    assert table.loc["A", "minutes_added_health"] == pytest.approx(60 - np.mean(before), abs=1.5)  # speed of the class
    assert (made.closed["state"] == "closed").sum() == 2


def test_who_hangs_on_no_road_is_unknown_and_not_isolated(tmp_path):
    """C and D have houses and no road: nothing is said of them."""
    _, _, _, table = street(tmp_path, obstacles=berm((1000, 750)))
    for zone in ("C", "D"):
        assert np.isnan(table.loc[zone, "lost_access_health"])
        assert table.loc[zone, "lost_access_health_coverage"] == 0
        assert table.loc[zone, "lost_access_health_note"] == "people-unknown"


def test_a_gap_of_the_drawing_isolates_nobody(tmp_path):
    """A piece begins 20 m after the one before it ends: the six houses behind it are unknown, not cut off."""
    drawn = [*STREET]
    drawn[6] = lines([(620, 750), (700, 750)])[0]
    roads = layer(drawn, road_class=["residential"] * 20)
    _, _, made, table = street(tmp_path, roads=roads)
    assert table.loc["A", "lost_access_health"] == 0
    assert table.loc["A", "lost_access_health_coverage"] == pytest.approx(0.4, abs=0.11)
    assert table.loc["B", ["lost_access_health", "lost_access_health_coverage"]].tolist() == [0, 1]
    assert made.residents.gap.any()


def test_a_hospital_that_closed_is_lost_to_everybody(tmp_path):
    closed = layer(points((1950, 750)), kind=["hospital"], state=["none"], functionality=["not_functional"])
    _, _, _, table = street(tmp_path, facilities=closed)
    assert table.loc[["A", "B"], "lost_access_health"].tolist() == [1000, 2000]


def test_what_is_not_known_makes_low_and_high(tmp_path):
    """Nobody knows whether the hospital works: at best nothing is lost, at worst everything."""
    unknown = layer(points((1950, 750)), kind=["hospital"], state=["not_analysed"], functionality=[None])
    _, _, _, table = street(tmp_path, facilities=unknown)
    assert table.loc["B", ["lost_access_health_low", "lost_access_health_high"]].tolist() == [0, 2000]
    assert (table["lost_access_health_low"].dropna() <= table["lost_access_health_high"].dropna()).all()


def test_without_roads_or_facilities_there_is_no_access(tmp_path):
    study, scheme = open_study(write_town(tmp_path, without=("roads",)))
    city = read_city(study)
    assert mobility.of(city, scheme, scenarios.people(city).table) is None
    assert mobility.measure(city, None).columns.empty


# Road works on it


def test_clearing_the_berm_is_one_work(tmp_path):
    """It opens both pieces: 1,000 people regain access."""
    city, _, made, _ = street(tmp_path, obstacles=berm((1000, 750)))
    (work,) = road_works(made, city).to_dict("records")
    assert (work["id"], work["kind"], work["zone"], work["works"], work["people"]) == ("O-0", "obstacle", "A", "debris", 1000)
    assert work["needs"] == ""
    assert work["person_minutes"] > 1000 * 50


def test_a_road_that_lies_in_a_hazard_waits_for_its_clearance(tmp_path):
    """Mines over x 900 to 1100, and a berm among them: the berm waits, and alone it gives nothing."""
    mined = layer([shapely.box(330_910, 4_000_700, 331_090, 4_000_800)], kind=["mines"], id=["H-1"])
    city, _, made, _ = street(tmp_path, obstacles=berm((1000, 750)), hazards=mined)
    table = road_works(made, city).set_index("id")
    assert table.loc["O-0", ["needs", "people", "alone_people"]].tolist() == ["H-1", 1000, 0]
    assert table.loc["H-1", ["kind", "works", "needs"]].tolist() == ["hazard", "hazard", ""]


def test_two_berms_are_needed_together(tmp_path):
    """One at a junction, one between it and the next: alone neither gives anything; the fair share is half for each."""
    city, _, made, _ = street(tmp_path, obstacles=berm((1000, 750), (950, 750)))
    table = road_works(made, city, fair=True).set_index("id")
    assert table["alone_people"].tolist() == [0, 0]
    assert table["fair_access"].sum() == pytest.approx(1000, abs=1e-6)
    assert table.loc["O-0", "fair_access"] == pytest.approx(500, abs=1e-6)


def test_repairing_everything_gives_the_undamaged_roads(tmp_path):
    city, _, made, _ = street(tmp_path, obstacles=berm((1000, 750), (500, 750)))
    listed = repairs_of(made, city)
    seconds = made.seconds()
    seconds[listed.repairs.edge] = listed.repairs.seconds
    assert seconds == pytest.approx(made.graph.seconds)


# Cities


def test_demo_city(demo_run):
    table = demo_run.priorities.set_index("id")
    assert table["lost_access_health"].sum() > 10_000
    for group in mobility.GROUPS:
        for name in (f"lost_access_{group}", f"lost_access_{group}_share", f"minutes_added_{group}"):
            low, best, high = (table[f"{name}{end}"].dropna() for end in ("_low", "", "_high"))
            assert (low <= best + 1e-9).all(), name
            assert (best <= high + 1e-9).all(), name
        assert table[f"lost_access_{group}_share"].dropna().between(0, 1).all()
        assert table[f"minutes_added_{group}"].dropna().between(0, parameters()["cap_min"]).all()
    works = demo_run.tables["road_works"]
    assert works["id"].is_unique
    assert set(works.columns) <= {*COLUMNS, "geometry"}
    assert works["people"].is_monotonic_decreasing
    assert (works["alone_people"] <= works["people"]).all()
    assert (works.loc[works["needs"] != "", "alone_people"] == 0).all()
    assert works["people"].max() <= table["people"].sum()


def test_order_of_rows_changes_nothing(tmp_path):
    study, scheme = open_study(DEMO)
    city = read_city(study)
    people = scenarios.people(city).table
    layers = dict(city.layers)
    turned = {
        name: type(one)(**{**one.__dict__, "frame": one.frame.iloc[::-1]})
        if name in ("obstacles", "hazards", "facilities")
        else one
        for name, one in layers.items()
    }
    again = type(city)(**{**city.__dict__, "layers": turned})
    one, other = (mobility.measure(each, mobility.of(each, scheme, people)) for each in (city, again))
    pd.testing.assert_frame_equal(one, other)


def test_aleppo_with_the_damage_of_2015(shared):
    """78,908 segments, 14,058 damage points, the hospitals and schools of OpenStreetMap."""
    from tests.test_real_layers import ALEPPO

    study, scheme = open_study(ALEPPO)
    run = assess(read_city(study), scheme)
    table = run.priorities
    assert 30_000 < table["lost_access_health"].sum() < 100_000
    assert 30_000 < table["lost_access_school"].sum() < 100_000
    works = run.tables["road_works"]
    assert len(works) > 2_000
    assert works["people"].iloc[0] > 1_000
    assert (works["works"] == "debris").all()  # nothing else was surveyed
