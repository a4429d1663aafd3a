"""Harmonise: a shape is mended only where that is certain; every row that does not count is in the table of those left out."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import shapely

from geo.left_out import REASONS
from tests.conftest import CRS, A, B, C, D, at, layer, lines, points

BOW_TIE = at(shapely.Polygon([(100, 100), (200, 200), (200, 100), (100, 200)]))[0]


def lost(made, name):
    table = made.left_out[made.left_out["layer"] == name]
    return table[["row", "reason"]].to_numpy().tolist()


def used(made, name):
    record = next(one for one in made.info["layers"] if one["layer"] == name)
    assert record["rows_read"] == record["rows_used"] + record["rows_left_out"] + record["rows_not_selected"]
    return record["rows_used"]


def test_rows_without_a_usable_place_are_left_out_one_by_one(run):
    shapes = [
        *points((500, 500)),
        None,
        shapely.Point(),
        shapely.Point(np.nan, 1),
        shapely.Point(np.inf, 1),
        shapely.Point(1e300, 1),
    ]
    made = run(damage=layer(shapes, grade=["severe"] * 6), entries={"damage": {"path": "damage.parquet"}})
    assert lost(made, "damage") == [[row, "geometry-missing"] for row in range(2, 7)]
    assert used(made, "damage") == 1
    assert made.priorities["structures_severe"].sum() == 1


def test_geometry_of_another_kind(run, refused):
    mixed = layer([*lines([(0, 0), (9, 9)]), *points((500, 500))], grade=["severe", "severe"])
    made = run(damage=mixed)
    assert lost(made, "damage") == [[1, "geometry-type"]]
    fault = refused(damage=layer(lines([(0, 0), (9, 9)]), grade=["severe"]))[0]
    assert (fault.where, fault.code) == ("damage", "geometry-type")
    assert "LineString" in fault.render("en")


@pytest.mark.parametrize("shape", [None, shapely.Polygon(), BOW_TIE])
def test_layer_with_no_usable_shape_at_all(refused, shape):
    zones = layer([shape], id=["A"], name_ar=["ألف"])
    faults = refused(neighbourhoods=zones, entries={"neighbourhoods": {"path": "zones.parquet"}})
    assert ("neighbourhoods", "geometry-type") in [(one.where, one.code) for one in faults]


def test_bow_tie_is_left_out_not_guessed(run):
    made = run(damage=layer([BOW_TIE, *points((500, 500))], grade=["severe", "severe"]))
    assert lost(made, "damage") == [[1, "geometry-invalid"]]
    assert used(made, "damage") == 1


def test_repair_that_keeps_the_area_is_made_and_said(run):
    """A spike without area, and a ring that touches itself in a point: both valid shapes of the same area."""
    west, south, east, north = A.bounds
    spike = shapely.Polygon([(west, south), (east, south), (east, north), (east, north + 50), (east, north), (west, north)])
    assert not spike.is_valid
    made = run(neighbourhoods=lambda zones: zones.set_geometry([spike, *zones.geometry[1:]]))
    note = next(one for one in made.info["findings"] if one["code"] == "repaired")
    assert (note["severity"], note["where"], note["rows"]) == ("info", "neighbourhoods", ["1"])
    assert made.priorities.set_index("id").at["A", "area_km2"] == pytest.approx(1)
    assert made.priorities.set_index("id").at["A", "structures_damaged_all"] == 4


def test_height_and_measure_are_dropped(city):
    made = city(
        neighbourhoods=lambda zones: zones.set_geometry(shapely.force_3d(zones.geometry.to_numpy(), 400.0)),
        entries={"neighbourhoods": {"path": "zones.gpkg"}},
    )
    assert not shapely.has_z(made.zones.geometry.to_numpy()).any()


def test_parts_of_a_shape_are_one_row(measured):
    """B in two parts, 100 m apart, is one neighbourhood of 0.9 km²; a multi-point is one structure."""
    west, south, east, north = B.bounds
    parts = shapely.MultiPolygon([shapely.box(west, south, west + 300, north), shapely.box(west + 400, south, east, north)])
    zones = layer([A, parts, C, D], id=[*"ABCD"], name_ar=[*"ابجد"])
    town = measured(neighbourhoods=zones, damage=layer([shapely.MultiPoint(points((1500, 500), (1510, 500)))], grade=["severe"]))
    assert town.at["B", "area_km2"] == pytest.approx(0.9)
    assert town.at["B", "structures_severe"] == 1


def test_outside_is_listed_with_where_it_lies(run):
    made = run(damage=lambda table: pd.concat([table, layer(points((-500, 500)), grade=["severe"])]))
    row = made.left_out.iloc[0]
    assert (row["layer"], row["row"], row["reason"], row["value"]) == ("damage", 7, "outside", "severe")
    assert row.geometry.equals(points((-500, 500))[0])
    assert made.left_out.crs.to_epsg() == 32637
    assert used(made, "damage") == 6


def test_line_that_touches_no_neighbourhood_is_outside(run):
    made = run(roads=lambda table: pd.concat([table, layer(lines([(3000, 0), (4000, 0)]), road_class=["primary"])]))
    assert lost(made, "roads") == [[5, "outside"]]


def test_overlap_of_neighbourhoods_is_said_and_counts_for_the_first(run):
    """B reaches 100 m into A: 0.1 km² belong to both, and what lies there to A."""
    wide = shapely.box(B.bounds[0] - 100, *B.bounds[1:])
    made = run(neighbourhoods=lambda zones: zones.set_geometry([A, wide, C, D]), damage=layer(points((950, 500)), grade=["severe"]))
    note = next(one for one in made.info["findings"] if one["code"] == "overlap")
    assert note["rows"] == ["A × B"]
    assert "100,000 m²" in note["found"]["en"]
    assert made.priorities.set_index("id").loc[["A", "B"], "structures_severe"].tolist() == [1, 0]


def test_extent_must_be_of_polygons(refused):
    fault = refused(surveyed=shapely.Point(A.centroid))[0]
    assert (fault.where, fault.code) == ("damage.extent", "no-geometry")


def test_extent_is_placed_like_a_layer(refused):
    far = shapely.box(0, 0, 1, 1)
    assert [(one.where, one.code) for one in refused(surveyed=far)] == [("damage.extent", "crs-far")]


def test_every_reason_is_said_in_both_languages():
    for reason in REASONS.values():
        assert reason.render("en") != reason.render("ar")


def test_nothing_is_lost_in_the_town(town_run):
    for record in town_run.info["layers"]:
        assert used(town_run, record["layer"]) == record["rows_read"] - record["rows_left_out"]
    assert len(town_run.left_out) == 0
    assert town_run.priorities.crs == CRS
