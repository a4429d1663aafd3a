"""Tags that GDAL leaves in one text are columns again, whatever stands in them."""

from __future__ import annotations

import geopandas as gpd
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from geo.reading import read_file
from geo.study import LayerSpec
from geo.tags import unpacked

TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1)


def as_gdal_writes(tags):
    def quoted(text):
        return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'

    return ",".join(f"{quoted(key)}=>{quoted(value)}" for key, value in tags.items())


@given(TEXTS, TEXTS)
def test_any_value_comes_back(bridge, other):
    text = as_gdal_writes({"note": other, "bridge": bridge, other: "x"})
    assert unpacked([text], without=[]).get("bridge") == ["x" if other == "bridge" else bridge]


@pytest.mark.parametrize("text", [None, "", "no tags", float("nan"), '"oneway"=>', "oneway=yes"])
def test_what_holds_no_tag_makes_no_column(text):
    assert unpacked([text], without=[]) == {}


def test_a_column_that_is_there_is_kept():
    assert unpacked(['"oneway"=>"yes"'], without=["oneway"]) == {}


def test_a_geopackage_made_of_openstreetmap(tmp_path):
    """Whoever saves such a file in QGIS keeps the text of the tags."""
    path = tmp_path / "roads.gpkg"
    roads = {"highway": ["primary", "path"], "other_tags": ['"oneway"=>"-1","lanes"=>"2"', None]}
    gpd.GeoDataFrame(roads, geometry=[shapely.LineString([(0, 0), (1, n)]) for n in (0, 1)], crs="EPSG:32637").to_file(path)
    found = read_file(path, LayerSpec(path=path.name, profile="osm"), "roads")
    assert found["oneway"].tolist()[0] == "-1"
    assert found["oneway"].isna().tolist() == [False, True]
