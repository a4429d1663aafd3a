"""Roads: metres one can measure on the grid, and rubble that reaches as far as a circle does."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
import shapely

from geo.roads import group_of
from tests.conftest import A, at, layer, lines, points


def test_length_by_class(plain_town):
    """The main road crosses A and B; the road on their boundary counts in A alone; half a kilometre of path lies in D."""
    columns = [f"road_length_m_{group}" for group in ("main", "collector", "local", "path")]
    assert plain_town[columns].to_numpy().tolist() == [[1000, 0, 1000, 0], [1000, 0, 0, 0], [0, 1000, 0, 0], [0, 0, 0, 500]]
    assert plain_town["road_length_m"].tolist() == [2000, 1000, 1000, 500]


def test_class_that_no_register_holds_is_local():
    assert group_of(pd.Series(["goat track", "motorway_link", ""])).tolist() == ["local", "main", "local"]


def test_debris_of_overlapping_circles_counts_once(plain_town):
    """Two destroyed structures 6 m from the main road and 4 m apart.

    At 10 m reach each covers 2 × 8 m (6-8-10), together 16 + 4 = 20 m; at 5 m none; at 20 m 2 × √(400 − 36) + 4. The moderate one
    at x = 300 throws nothing.
    """
    a = plain_town.loc["A"]
    assert a["road_debris_m"] == pytest.approx(20)
    assert a["road_debris_m_low"] == 0
    assert a["road_debris_m_high"] == pytest.approx(2 * math.sqrt(400 - 36) + 4)
    assert (a["road_debris_m_main"], a["road_debris_m_local"]) == pytest.approx((20, 0))
    assert a["road_debris_share"] == pytest.approx(20 / 2000)
    assert plain_town["road_debris_share"].tolist()[1:3] == [0, 0]


def test_rubble_reaches_over_a_boundary(measured):
    """A structure in A, 4 m from the boundary and 6 m from the road: 8 m of road on either side of it, 4 of them in B."""
    town = measured(
        damage=layer(points((996, 106)), grade=["severe"]), roads=layer(lines([(0, 100), (2000, 100)]), road_class=["primary"])
    )
    assert town["road_debris_m"].tolist()[:2] == pytest.approx([12, 4])


def test_rubble_of_a_structure_outside_every_neighbourhood_reaches_in(measured):
    """6 m south of the town's edge, 6 m from a road along y = 0."""
    town = measured(
        damage=layer(points((500, -6)), grade=["destroyed"]), roads=layer(lines([(0, 0), (1000, 0)]), road_class=["road"])
    )
    assert town.at["A", "road_debris_m"] == pytest.approx(16)
    assert town.at["A", "structures_destroyed"] == 0


def test_rubble_of_a_footprint_starts_at_its_edge(measured):
    """A 20 m house 5 m from the road: at 10 m reach its front and, at each corner, √(100 − 25) more, less 0.3 % for the arc."""
    house = at(shapely.box(490, 105, 510, 125))
    roads = layer(lines([(0, 100), (1000, 100)]), road_class=["primary"])
    covered = measured(damage=layer(house, grade=["destroyed"]), roads=roads).at["A", "road_debris_m"]
    assert covered == pytest.approx(20 + 2 * math.sqrt(75), abs=2 * 10 * 0.003 * 2)


def test_road_along_a_boundary_counts_once_even_where_it_goes_on_outside(measured):
    """500 m between A and B, then 2 km out of the town: A gets the 500, B nothing."""
    town = measured(roads=layer(lines([(1000, -2000), (1000, 500)]), road_class=["primary"]))
    assert town["road_length_m"].tolist() == [500, 0, 0, 0]


def test_roads_are_unknown_where_nobody_looked(measured):
    """Roads mapped in A, B and C only: D has an unknown length, not 0 m."""
    only = {"roads": lambda table: table.iloc[:3]}
    assert np.isnan(measured(entries={"roads": {"extent": "surveyed.geojson"}}, **only).at["D", "road_length_m"])
    assert np.isnan(measured(entries={"roads": {"extent": None}}, **only).at["D", "road_length_m"])
    assert measured(**only).at["D", "road_length_m"] == 0


def test_debris_share_of_a_half_surveyed_neighbourhood(measured):
    """West half surveyed: of the road along y = 100, 500 m were seen. 16 m of it under rubble; the rest may be clear or covered."""
    half = shapely.box(*A.bounds[:2], A.bounds[0] + 500, A.bounds[3])
    a = measured(
        surveyed=half,
        damage=layer(points((300, 106)), grade=["severe"]),
        roads=layer(lines([(0, 100), (1000, 100)]), road_class=["primary"]),
    ).loc["A"]
    assert a["road_debris_share"] == pytest.approx(16 / 500)
    assert a["road_debris_share_low"] == 0
    assert a["road_debris_share_high"] == pytest.approx((2 * math.sqrt(400 - 36) + 500) / 1000)


def test_no_roads_means_no_share(measured):
    town = measured(roads=lambda table: table.iloc[:1])
    assert (town.at["C", "road_length_m"], town.at["C", "road_debris_share_note"]) == (0, "nothing-here")
    assert np.isnan(town.at["C", "road_debris_share"])
