"""People: every way to know how many live where keeps its totals and says what it can't place."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import rasterio
import shapely
from rasterio import Affine

from geo.errors import LayerError
from geo.pipeline import open_study, read_city
from geo.population import people
from tests.conftest import CRS, EAST, NORTH, A, B, C, D, at, layer, write_town

SHAPES = {"population": {"path": "units.geojson"}}
# GPW v4.11, São Miguel, summed cell by cell with the exactextract library by its makers' test data
SAO_MIGUEL = {
    "Lagoa": 14539.88,
    "Nordeste": 4149.85,
    "Ponta Delgada": 66866.71,
    "Povoação": 5293.97,
    "Ribeira Grande": 31920.50,
    "Vila Franca do Campo": 9093.45,
}


def table(**columns):
    return pd.DataFrame(columns)


def codes(findings):
    return [one.code for one in findings]


def test_by_code_and_in_damaged_homes(plain_town):
    """A: 4 of 10 buildings hit, 1,000 people: 400. B: 1 of 4, 2,000 people: 500. C: none. D: unknown."""
    assert plain_town["people"].tolist() == [1000, 2000, 4000, 500]
    assert plain_town["people_per_km2"].tolist() == pytest.approx([1000, 2000, 4000, 500])
    assert plain_town["people_in_damaged_homes"].tolist()[:3] == pytest.approx([400, 500, 0])
    assert np.isnan(plain_town.at["D", "people_in_damaged_homes"])


def test_possible_damage_and_bounds_of_people_widen_people_in_damaged_homes(measured):
    """1,000 people (800 to 1,500) in 10 buildings, 1 severe, 1 possible: 100; between 80 and 2 of 10 × 1,500."""
    a = measured(
        damage=lambda damage: damage.iloc[[2, 3]].assign(grade=["severe", "possible"]),
        population=table(id=["A"], people=[1000], people_low=[800], people_high=[1500]),
    ).loc["A"]
    found = [a[f"people_in_damaged_homes{end}"] for end in ("_low", "", "_high")]
    assert found == pytest.approx([80, 100, 300])


def test_bounds_never_cross_the_best_value(measured):
    town = measured(population=table(id=["A"], people=[1000], people_low=[1200], people_high=[900]))
    assert town.loc["A", ["people_low", "people", "people_high"]].tolist() == [1000, 1000, 1000]


def test_by_arabic_name(city):
    """Names are compared in Unicode NFC without surrounding spaces; a name that nobody bears is left out with its people."""
    found = people(city(population=table(name_ar=[" ألف ", "باء", "هاء"], people=[10, 20, 30])))
    assert found.table["people"].tolist() == pytest.approx([10, 20, np.nan, np.nan], nan_ok=True)
    assert found.left_out[["row", "reason", "value"]].to_numpy().tolist() == [[3, "no-neighbourhood", "30.0"]]


def test_name_that_two_neighbourhoods_bear_is_given_to_neither(city):
    found = people(
        city(
            neighbourhoods=lambda zones: zones.assign(name_ar=["ألف", "ألف", "جيم", "دال"]),
            population=table(name_ar=["ألف", "جيم"], people=[10, 20]),
        )
    )
    assert found.table["people"].isna().tolist() == [True, True, False, True]
    assert found.left_out["row"].tolist() == [1]


def test_total_row_without_a_code_is_left_out(city):
    found = people(city(population=table(id=["A", "B", None], people=[10, 20, 30])))
    assert found.table["people"].tolist()[:2] == [10, 20]
    assert found.left_out["row"].tolist() == [3]
    assert np.isnan(found.table.at["C", "people"]), "a neighbourhood that no row names is unknown, not empty"


def test_repeated_unit_counts_once(city):
    found = people(city(population=table(id=["A", "A", "B"], people=[10, 10, 20])))
    assert found.table["people"].tolist()[:2] == [10, 20]
    note = found.findings[0]
    assert note.code == "parts-joined"
    assert note.rows == ("1", "2")
    assert ("40" in note.expected.render("en"), "30" in note.expected.render("en")) == (True, True)


def test_parts_that_contradict_each_other_are_refused(city):
    made = city(population=table(id=["A", "A", "B"], people=[10, 11, 20]))
    with pytest.raises(LayerError) as raised:
        people(made)
    assert codes(raised.value.findings) == ["parts-differ"]
    assert raised.value.findings[0].rows == ("1", "2")
    assert all(raised.value.render(lang) for lang in ("ar", "en"))


def unit(shape, counted, **more):
    return layer([shape] if isinstance(shape, shapely.Geometry) else shape, people=counted, **more)


def test_spread_by_area_keeps_the_total(city):
    """South (A and B alike): 500 each. A strip of 1 km × 1.5 km over C and half of D: 2/3 and 1/3. Fields get nothing."""
    strip = at(shapely.box(0, 1400, 1500, 1600), shapely.box(-3000, 0, 1000, 1000))
    spread = people(city(population=unit([shapely.union(A, B), strip[0]], [1000, 300], id=["S", "N"]), entries=SHAPES))
    assert spread.table["people"].tolist() == pytest.approx([500, 500, 200, 100])
    fields = people(city(population=unit([strip[1]], [900], id=["W"]), entries=SHAPES))
    assert fields.table["people"].tolist() == pytest.approx([900, np.nan, np.nan, np.nan], nan_ok=True)


def test_spread_by_buildings_keeps_the_total(city):
    """10 buildings in A, 4 in B: 1,400 people become 1,000 and 400; by area 700 each, which bounds them."""
    entries = {"population": {"path": "units.geojson", "spread": "buildings"}}
    found = people(city(population=unit([shapely.union(A, B)], [1400], id=["S"]), entries=entries))
    assert found.table.loc[["A", "B"]].to_numpy() == pytest.approx(np.array([[1000, 700, 1000], [400, 400, 700]]))
    assert "by buildings" in str(found.findings[-1])


def test_neighbourhood_without_buildings_gets_none_of_a_unit_spread_by_buildings(city):
    entries = {"population": {"path": "units.geojson", "spread": "buildings"}}
    found = people(city(population=unit([shapely.union(A, B)], [1400], id=["S"]), buildings=lambda b: b.iloc[:10], entries=entries))
    assert found.table.loc[["A", "B"]].to_numpy() == pytest.approx(np.array([[1400, 700, 1400], [0, 0, 700]]))


@pytest.mark.parametrize("changes", [{"without": ("buildings",)}, {"buildings": lambda buildings: buildings.iloc[14:]}])
def test_spread_by_buildings_where_there_are_none_falls_back_to_area_and_says_so(city, changes):
    entries = {"population": {"path": "units.geojson", "spread": "buildings"}}
    found = people(city(population=unit([shapely.union(A, B)], [1400], id=["S"]), entries=entries, **changes))
    assert found.table["people"].tolist()[:2] == pytest.approx([700, 700])
    assert "spread-by-area" in codes(found.findings)


def test_random_units_keep_their_people(city):
    """Twenty overlapping boxes: whoever reaches a neighbourhood arrives, to half a person, by either way."""
    rng = np.random.default_rng(3)
    corners = rng.uniform(-200, 1900, (20, 2))
    boxes = at(*(shapely.box(x, y, x + w, y + h) for (x, y), (w, h) in zip(corners, rng.uniform(50, 900, (20, 2)), strict=True)))
    counted = rng.integers(0, 5000, 20).tolist()
    for way in ("area", "buildings"):
        entries = {"population": {"path": "units.geojson", "spread": way}}
        found = people(city(population=unit(boxes, counted, id=[str(n) for n in range(20)]), entries=entries))
        assert found.table["people"].sum() == pytest.approx(sum(counted), abs=0.5)


def test_split_unit_is_joined_before_it_is_spread(city):
    """A unit in two parts, 1,000 people written on each: 1,000 in all, half in A and half in D. A third without a code stays."""
    found = people(
        city(population=unit([A, D, B], [1000, 1000, 70], name_ar=["شرق", "شرق", None]), entries=SHAPES, without=("buildings",))
    )
    assert found.table["people"].tolist() == pytest.approx([500, 70, np.nan, 500], nan_ok=True)


def test_unit_of_unknown_size_leaves_its_neighbourhoods_unknown(city):
    found = people(city(population=unit([shapely.union(A, B), C], [None, 40.0], id=["S", "N"]), entries=SHAPES))
    assert found.table["people"].tolist() == pytest.approx([np.nan, np.nan, 40, np.nan], nan_ok=True)


def test_unit_that_holds_no_neighbourhood_is_left_out_with_its_people(city):
    far = at(shapely.box(5000, 5000, 6000, 6000))[0]
    found = people(city(population=unit([A, far], [10, 99], id=["S", "far"]), entries=SHAPES))
    assert found.left_out[["row", "reason", "value"]].to_numpy().tolist() == [[2, "outside", "99.0"]]


def raster(path: Path, cells: np.ndarray, size: float, *, nodata: float | None = -1.0, east: float = EAST) -> None:
    """A grid that begins at the town's north-west corner, or on another meridian."""
    profile = {"driver": "GTiff", "height": cells.shape[0], "width": cells.shape[1], "count": 1, "dtype": "float64", "crs": CRS}
    with rasterio.open(path, "w", **profile, nodata=nodata, transform=Affine(size, 0, east, 0, -size, NORTH + 2000)) as grid:
        grid.write(cells, 1)


def from_cells(folder: Path, cells: list[list[float]], size: float, kind: str, **how):
    entry = {"path": "people.tif", "raster": kind}
    write_town(folder, entries={"population": entry}, population=b"")
    raster(folder / "people.tif", np.array(cells, dtype=float), size, **how)
    return people(read_city(open_study(folder)[0]))


def test_raster_of_counts_and_of_densities(tmp_path):
    """Cells of 800 m over 2,000 m: 2.5 a side. A cell of 64 people gives each neighbourhood the part inside.

    A km² of town holds 1/0.64 cells of 64 people: 100. As a density, 64 per km² on 1 km²: 64.
    """
    cells = [[64.0] * 3] * 3
    assert from_cells(tmp_path / "count", cells, 800, "count").table["people"].tolist() == pytest.approx([100] * 4)
    assert from_cells(tmp_path / "density", cells, 800, "density_per_km2").table["people"].tolist() == pytest.approx([64] * 4)


def test_raster_cell_without_a_value_is_unknown(tmp_path):
    """Cells of 1 km: C 1, D nodata, A 3, B 0: no one lives in B, nobody knows of D."""
    found = from_cells(tmp_path, [[1, -1], [3, 0]], 1000, "count")
    assert found.table["people"].tolist() == pytest.approx([3, 0, 1, np.nan], nan_ok=True)
    assert found.coverage.tolist() == [1, 1, 1, 0]


@pytest.mark.parametrize(
    ("entry", "content", "code"),
    [
        ({"raster": "count"}, b"no raster", "unreadable"),
        ({"raster": "count"}, b'<VRTDataset rasterXSize="1" rasterYSize="1"></VRTDataset>', "unreadable"),
        ({"raster": None}, b"", "raster-unit"),
    ],
)
def test_raster_that_can_not_be_used(city, entry, content, code):
    with pytest.raises(LayerError) as raised:
        people(city(entries={"population": {"path": "people.tif", **entry}}, population=content))
    assert codes(raised.value.findings) == [code]
    assert all(raised.value.render(lang) for lang in ("ar", "en"))


def test_raster_with_undeclared_nodata_or_elsewhere_is_refused(tmp_path):
    with pytest.raises(LayerError) as raised:
        from_cells(tmp_path / "negative", [[1, -9999], [3, 0]], 1000, "count", nodata=None)
    assert codes(raised.value.findings) == ["raster-negative"]
    with pytest.raises(LayerError) as raised:
        from_cells(tmp_path / "elsewhere", [[1]], 1000, "count", east=EAST + 5000)
    assert codes(raised.value.findings) == ["raster-far"]


def gpw(shared: Path, folder: Path, kind: str):
    source = shared / "data/population-rasters/sao-miguel-gpw"
    name = {"count": "count", "density_per_km2": "density"}[kind]
    write_town(
        folder,
        study={"crs": "EPSG:32626"},
        without=("buildings", "damage", "roads", "water", "facilities", "complaints"),
        entries={
            "neighbourhoods": {"path": str(source / "concelhos.gpkg"), "columns": {"id": "name", "name_en": "name"}},
            "population": {"path": str(source / f"gpw_v411_2020_{name}_2020.tif"), "raster": kind},
        },
        neighbourhoods=None,
        population=None,
    )
    return people(read_city(open_study(folder)[0])).table["people"]


def test_raster_of_counts_with_a_known_answer(shared, tmp_path):
    assert gpw(shared, tmp_path, "count").to_dict() == pytest.approx(SAO_MIGUEL, abs=0.01)


def test_raster_of_densities_is_not_its_sum(shared, tmp_path):
    """Density × area of the cells. It counts the sea in coastal cells as land, so it is not below the count, and is near it."""
    found = gpw(shared, tmp_path, "density_per_km2")
    ratio = found / pd.Series(SAO_MIGUEL)
    assert ratio.between(0.95, 1.4).all(), ratio.to_dict()
