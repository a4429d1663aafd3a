"""Candidates for a coordinate system: the boundary of the study decides, or the sender does; nothing is chosen silently."""

from __future__ import annotations

import geopandas as gpd
import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from geo.errors import CrsError
from geo.placement import candidates, judged, preview, repeated, shape_findings, slivers, wound_wrong
from tests.conftest import CRS, A, B, C, D, layer, points

STUDY = shapely.union_all([A, B, C, D])
PLACES = [(500, 700), (1500, 300), (200, 1900), (1900, 1900)]


def town(crs: str = CRS) -> gpd.GeoDataFrame:
    return layer(points(*PLACES)).to_crs(crs)


def swapped(frame: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
    return frame.set_geometry(shapely.transform(frame.geometry.to_numpy(), lambda p: p[:, ::-1]), crs=frame.crs)


@pytest.mark.parametrize("crs", ["EPSG:4326", "EPSG:32636", "EPSG:32637", "EPSG:22770", "EPSG:22780", "EPSG:3857"])
@pytest.mark.parametrize("turned", [False, True])
def test_each_system_and_order_of_axes_is_found_without_a_declaration(crs, turned):
    frame = swapped(town(crs)) if turned else town(crs)
    table = candidates(frame.set_crs(None, allow_override=True), STUDY, CRS)
    best = table.iloc[0]
    assert (best["crs"], best["axes"], best["share"], best["certain"]) == (crs, "yx" if turned else "xy", 1.0, True)
    assert table["certain"].sum() == 1
    assert not table["declared"].any()
    found = judged(table, "layer")
    assert [one.code for one in found] == ["crs-unknown"]
    assert crs in found[0].remedy.render("en")
    assert preview(frame, best["crs"], best["axes"], CRS).geometry.distance(gpd.GeoSeries(points(*PLACES), crs=CRS)).max() < 0.01


def test_true_declaration_says_nothing():
    for crs in ("EPSG:4326", "EPSG:22770"):
        assert judged(candidates(town(crs), STUDY, CRS), "layer") == ()


@pytest.mark.parametrize(
    ("frame", "declared", "code", "true"),
    [
        (town(), "EPSG:4326", "crs-lies", "EPSG:32637 (xy)"),  # metres called degrees
        (town("EPSG:4326"), "EPSG:32637", "crs-lies", "EPSG:4326 (xy)"),  # degrees called metres
        (town(), "EPSG:32636", "crs-lies", "EPSG:32637 (xy)"),  # the other zone, 530 km away
        (town("EPSG:32636"), "EPSG:32637", "crs-lies", "EPSG:32636 (xy)"),
        (town("EPSG:22770"), "EPSG:32637", "crs-lies", "EPSG:22770 (xy)"),
        (swapped(town("EPSG:4326")), "EPSG:4326", "crs-swapped", "EPSG:4326 (yx)"),
        (town(), "EPSG:32633", "crs-lies", "EPSG:32637 (xy)"),
    ],
)
def test_lies_are_told_with_the_one_system_that_fits(frame, declared, code, true):
    table = candidates(frame.set_crs(declared, allow_override=True), STUDY, CRS)
    found = judged(table, "layer")
    assert [one.code for one in found] == [code]
    assert found[0].severity == "error"
    assert f"{true}: 4 of 4" in found[0].remedy.render("en")
    assert table.iloc[0]["certain"]
    assert table.loc[table["declared"], "share"].tolist() == [0.0]


def test_swapped_axes_lie_far_away_and_still_in_the_country():
    table = candidates(swapped(town("EPSG:4326")), STUDY, CRS)
    assert 50_000 < table.loc[table["declared"], "distance_m"].iloc[0] < 300_000


def test_coordinates_that_fit_nowhere():
    far = layer([shapely.Point(5e8, 5e8)]).set_crs(None, allow_override=True)
    found = judged(candidates(far, STUDY, CRS), "layer")[0]
    assert "Ask who made the file" in found.remedy.render("en")
    none = layer([None, shapely.Point()])
    assert [one.code for one in judged(candidates(none, STUDY, CRS), "layer")] == ["no-coordinates"]


def test_certain_needs_nearly_all_and_no_rival():
    """18 of 20 in the town is 90 %: plausible, and the sender decides."""
    inside, outside = [(500, 500)] * 18, [(90_000, 0)] * 2
    table = candidates(layer(points(*inside, *outside)), STUDY, CRS)
    assert table.iloc[0]["share"] == 0.9
    assert not table["certain"].any()
    found = judged(table, "layer")
    assert [(one.code, one.severity, one.count) for one in found] == [("partly-outside", "info", 2)]
    mostly = candidates(layer(points(*inside, *inside, *inside[:2], *outside)), STUDY, CRS)
    assert mostly.iloc[0]["certain"], "38 of 40 are 95 %"


def test_layer_of_the_whole_country_is_not_a_lie():
    """Its few large shapes have their middles elsewhere, but they cover the town."""
    country = gpd.GeoDataFrame(geometry=[shapely.box(0, 35e5, 4e5, 44e5), shapely.box(4e5, 35e5, 9e5, 44e5)], crs=CRS)
    table = candidates(country, STUDY, CRS)
    said = table[table["declared"]].iloc[0]
    assert (said["share"], bool(said["covers"])) == (0.0, True)
    assert [(one.code, one.severity) for one in judged(table, "layer")] == [("partly-outside", "info")]


def test_preview_refuses_what_can_not_be():
    with pytest.raises(CrsError):
        preview(town(), "EPSG:4326", "xy", CRS)


@given(st.lists(st.tuples(st.floats(0, 2000), st.floats(0, 2000)), min_size=1, max_size=20), st.randoms())
def test_order_of_rows_changes_nothing(places, shuffle):
    frame = layer(points(*places)).to_crs("EPSG:22770")
    order = list(range(len(places)))
    shuffle.shuffle(order)
    one, other = (candidates(table, STUDY, CRS) for table in (frame, frame.iloc[order]))
    assert one.drop(columns="distance_m").equals(other.drop(columns="distance_m"))
    assert one.iloc[0]["crs"] == "EPSG:22770"


# Shapes


def test_shapes_are_looked_at_row_by_row():
    square = shapely.box(0, 0, 10, 10)
    ring = shapely.Polygon(square.exterior.coords, [shapely.box(4, 4, 6, 6).exterior.coords])
    frame = layer(
        [
            square,
            shapely.box(0, 0, 1000, 1),
            square.reverse(),
            ring,
            shapely.Point(0, 0),
            shapely.Point(1, 1, 5),
            None,
            shapely.Point(),
        ]
    )
    found = {one.code: one for one in shape_findings(frame, "layer", clockwise=False)}
    assert {code: one.rows for code, one in found.items()} == {
        "sliver": ("1",),
        "ring-order": ("2", "3"),  # the hole of row 3 is wound as its outline
        "repeated-shape": ("2",),
        "third-dimension": ("5",),
        "mixed-kinds": ("4", "5"),
    }
    assert {one.severity for one in found.values()} == {"info", "warning"}
    assert shape_findings(layer([square]), "layer") == ()


def test_shapefiles_wind_the_other_way():
    square = np.array([shapely.box(0, 0, 1, 1)])
    assert wound_wrong(square, clockwise=True).tolist() == [True]
    assert wound_wrong(shapely.reverse(square), clockwise=True).tolist() == [False]


@given(st.floats(1, 1000), st.floats(1, 1000), st.floats(0, 360))
def test_sliver_depends_on_form_alone(width, height, turn):
    from shapely.affinity import rotate, scale

    shape = shapely.box(0, 0, width, height)
    as_sliver = bool(slivers(np.array([shape]))[0])
    assert bool(slivers(np.array([scale(rotate(shape, turn), 3, 3)]))[0]) == as_sliver or abs(width / height - 400) < 400
    assert as_sliver == (np.pi * width * height / (width + height) ** 2 < 0.01)


def test_same_ring_from_another_corner_is_a_repetition():
    one = shapely.Polygon([(0, 0), (1, 0), (1, 1), (0, 1)])
    other = shapely.Polygon([(1, 1), (0, 1), (0, 0), (1, 0)])
    assert repeated(np.array([one, other, None, None])).tolist() == [False, True, False, False]


# The real layers


@pytest.fixture(scope="module")
def aleppo(shared):
    path = shared / "data/aleppo-neighbourhoods-ocha/aleppo_neighbourhoods.derived.geojson"
    return shapely.union_all(gpd.read_file(path).to_crs(CRS).geometry.make_valid().to_numpy())


@pytest.mark.parametrize(
    ("path", "crs", "share", "certain", "codes"),
    [
        ("derived-from-real/aleppo_neigh_epsg22770.shp", "EPSG:22770", 1.0, True, []),
        ("derived-from-real/aleppo_neigh_epsg22770_noprj.shp", "EPSG:22770", 1.0, True, ["crs-unknown"]),
        ("aleppo-unhabitat/aleppo.geojson", "EPSG:32637", 1.0, True, ["crs-lies"]),  # metres, and no crs member
        ("aleppo-unhabitat/service_directorate.geojson", "EPSG:32637", 0.94, False, ["partly-outside"]),
        ("aleppo-unosat-damage-2015/un.geojson", "EPSG:4326", 0.96, True, ["partly-outside"]),
        ("syr-cod-ab-adm3/syr_admbnda_adm3_uncs_unocha_20201217-polygon.shp", "EPSG:4326", 0.0, False, ["partly-outside"]),
        ("homs-admin-utm37n-3d/subdistricts.geojson", "EPSG:32637", 0.0, False, ["crs-far"]),  # another city
    ],
)
def test_real_layers_against_the_boundary_of_aleppo(shared, aleppo, path, crs, share, certain, codes):
    table = candidates(gpd.read_file(shared / "data" / path), aleppo, CRS)
    best = table.iloc[0]
    assert (best["crs"], best["axes"], bool(best["certain"])) == (crs, "xy", certain)
    assert best["share"] == pytest.approx(share, abs=0.01)
    assert [one.code for one in judged(table, "layer")] == codes


def test_what_is_odd_about_real_shapes(shared):
    homs = gpd.read_file(shared / "data/homs-admin-utm37n-3d/subdistricts.geojson")
    found = {one.code: one.count for one in shape_findings(homs, "layer", clockwise=True)}
    assert found["third-dimension"] == 23
    shapefile = gpd.read_file(shared / "data/derived-from-real/aleppo_neigh_epsg22770.shp")
    assert "ring-order" not in {one.code for one in shape_findings(shapefile, "layer", clockwise=True)}
