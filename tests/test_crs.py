"""Where coordinates lie: a lie, a gap or a swap is caught, with the systems that would fit; nothing is guessed."""

from __future__ import annotations

import geopandas as gpd
import pandas as pd
import pyproj
import pytest
import shapely

from geo.crs import apart_m, candidates, known, to_metric
from geo.errors import CrsError
from tests.conftest import CRS, layer, points

AREA = (330_000, 4_000_000, 332_000, 4_002_000)


def caught(frame, **more):
    with pytest.raises(CrsError) as raised:
        to_metric(frame, CRS, "layer", area=AREA, **more)
    return raised.value.findings[0]


def degrees(table):
    return table.to_crs("EPSG:4326")


def test_degrees_become_metres():
    frame = to_metric(degrees(layer(points((500, 700)))), CRS, "layer", area=AREA)
    assert frame.crs.to_epsg() == 32637
    assert frame.geometry[0].distance(points((500, 700))[0]) < 1e-6


@pytest.mark.parametrize("crs", ["EPSG:22770", "EPSG:32636", "EPSG:3857"])
def test_other_systems_meet_in_the_same_place(crs):
    frame = to_metric(layer(points((500, 700))).to_crs(crs), CRS, "layer", area=AREA)
    assert frame.geometry[0].distance(points((500, 700))[0]) < 0.01


def test_unnamed_equal_definition_is_recognised():
    """OSMnx writes UTM 37N as an unnamed PROJ string."""
    unnamed = pyproj.CRS.from_proj4("+proj=utm +zone=37 +datum=WGS84 +units=m +no_defs +type=crs")
    assert unnamed.name == "unknown"
    assert known(unnamed).to_epsg() == 32637


def test_metres_that_call_themselves_degrees():
    fault = caught(layer(points((500, 700))).set_crs("EPSG:4326", allow_override=True))
    assert fault.code == "crs-lies"
    assert "EPSG:32637" in fault.remedy.render("en")


def test_no_crs():
    fault = caught(layer(points((500, 700))).set_crs(None, allow_override=True))
    assert fault.code == "crs-unknown"
    assert "EPSG:32637" in fault.remedy.render("en")
    placed = to_metric(layer(points((500, 700))).set_crs(None, allow_override=True), CRS, "layer", declared=CRS, area=AREA)
    assert placed.geometry[0].equals(points((500, 700))[0])


def test_swapped_axes_are_told_from_a_wrong_system():
    """Swapped, Aleppo lies 130 km away and still inside Syria."""
    right = degrees(layer(points((500, 700), (1500, 300))))
    swapped = gpd.GeoDataFrame(geometry=[shapely.Point(one.y, one.x) for one in right.geometry], crs=right.crs)
    fault = caught(swapped)
    assert fault.code == "crs-far"
    for lang, word in (("en", "swapped"), ("ar", "lat")):
        assert word in fault.remedy.render(lang)


def test_far_away_says_how_far():
    fault = caught(layer(points((80_000, 0))))
    assert fault.code == "crs-far"
    assert "78 km" in fault.found.render("en")
    assert "Ask who made the file" in fault.remedy.render("en"), "no system fits: none is proposed"


def test_wrong_zone_is_far():
    assert caught(layer(points((500, 700))).set_crs("EPSG:32638", allow_override=True)).code == "crs-far"


def test_degrees_that_call_themselves_metres():
    fault = caught(degrees(layer(points((500, 700)))).set_crs(CRS, allow_override=True))
    assert fault.code == "crs-far"
    assert "EPSG:4326" in fault.remedy.render("en")


def test_twenty_kilometres_are_near():
    """A layer may reach beyond the town; its box is what counts."""
    assert len(to_metric(layer(points((21_000, 0))), CRS, "layer", area=AREA)) == 1
    assert len(to_metric(layer(points((0, 0), (500_000, 0))), CRS, "layer", area=AREA)) == 2


def test_neighbourhoods_are_held_against_the_systems_own_area_of_use():
    with pytest.raises(CrsError):
        to_metric(degrees(layer(points((0, 0)))), "EPSG:32633", "neighbourhoods")


def test_candidates_are_those_where_the_coordinates_would_fall_on_the_town():
    assert candidates(AREA, AREA, CRS) == [CRS]
    assert candidates((500.0, 1.0, 500.0, 1.0), AREA, CRS) == []


def test_apart():
    assert apart_m((0, 0, 1, 1), (4, 5, 6, 6)) == 5
    assert apart_m((0, 0, 10, 10), (4, 5, 6, 6)) == 0


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        (lambda table: table.set_crs("EPSG:4326", allow_override=True), "crs-lies"),
        (lambda table: table.set_crs("EPSG:32638", allow_override=True), "crs-far"),
    ],
)
def test_layer_in_the_wrong_place_stops_the_run(refused, changed, expected):
    faults = refused(damage=changed, entries={"damage": {"path": "damage.gpkg"}})
    assert [(one.where, one.code) for one in faults] == [("damage", expected)]


def test_shapefile_without_prj(town, refused, measured):
    def lost(table: pd.DataFrame) -> pd.DataFrame:
        return table.set_crs(None, allow_override=True)

    fault = refused(damage=lost, entries={"damage": {"path": "damage.shp"}})[0]
    assert (fault.code, fault.where) == ("crs-unknown", "damage")
    declared = measured(damage=lost, entries={"damage": {"path": "damage.shp", "crs": CRS}})
    assert declared.at["A", "structures_damaged_all"] == 4


def test_rows_left_out_lie_where_the_study_says_they_do(run):
    """A declared CRS goes before the file's own, in the table of left-out rows too."""
    made = run(
        damage=lambda table: table.assign(grade=["?", *table["grade"][1:]]).set_crs("EPSG:4326", allow_override=True),
        entries={"damage": {"path": "damage.gpkg", "crs": CRS}},
    )
    assert made.left_out.geometry[0].equals(points((500, 106))[0])
