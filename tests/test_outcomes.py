"""Every real and odd file beside the project is accepted or returned with reasons, and each of its rows is somewhere.

The table itself: `make outcomes`.
"""

import re
from pathlib import Path

import pytest

from tests import outcomes

FOLDERS = (
    "aleppo-neighbourhoods-ocha", "aleppo-osm-buildings-csv", "aleppo-roads-osm", "aleppo-unhabitat", "aleppo-unosat-damage-2015",
    "awkward-shapefiles", "copernicus-emsr190", "derived-from-real", "homs-admin-utm37n-3d", "osm-raw", "population-rasters",
    "shelby-interdependent-networks", "syr-cod-ab-adm3",
)  # fmt: skip
ARABIC = re.compile("[\u0621-\u064a]")


@pytest.fixture(scope="module")
def desk(shared, tmp_path_factory):
    return outcomes.Desk(tmp_path_factory.mktemp("desk"))


def delivered(folder):
    return [one for one in outcomes.deliveries() if one.path.relative_to(outcomes.DATA).parts[0] == folder]


def test_every_file_has_its_place(shared):
    """A folder or a file that nobody thought of fails here, not silently."""
    assert {path.name for path in (shared / "data").iterdir() if path.is_dir()} == set(FOLDERS)
    assert {one.path for one in outcomes.deliveries()} == set(outcomes.files())


@pytest.mark.parametrize("folder", FOLDERS)
def test_each_is_accepted_or_returned_and_no_row_is_lost(desk, folder):
    found = [desk.outcome(one) for one in delivered(folder)]
    assert found
    for one in found:
        assert one.outcome in (outcomes.ACCEPTED, outcomes.WITH_FINDINGS, outcomes.RETURNED)
        assert one.adds_up, outcomes.table([one])
        assert one.codes or one.outcome == outcomes.ACCEPTED
        assert ARABIC.search(one.text) or not one.codes
        assert "Traceback" not in one.text
        assert str(Path(desk.folder)) not in one.text, "a path of this machine"


def test_rasters_are_returned_as_rasters(desk):
    found = [desk.outcome(one) for one in outcomes.deliveries() if one.path.suffix == ".tif"]
    assert {(one.outcome, one.codes) for one in found} == {(outcomes.RETURNED, ("raster",))}
    assert "study.toml" in found[0].text


def test_the_layers_of_aleppo_are_accepted(desk):
    """What a partner would send of Aleppo goes in without a question: form and place are recognised."""
    plain = {
        ("aleppo_neighbourhoods.derived.geojson", "neighbourhoods"): 109, ("un.geojson", "damage"): 14_034,
        ("aleppo_original.parquet", "roads"): 78_908, ("aleppo_neigh_epsg22770.shp", "neighbourhoods"): 109,
    }  # fmt: skip
    for (name, layer), live in plain.items():
        (one,) = [one for one in outcomes.deliveries() if (one.path.name, one.layer, dict(one.said)) == (name, layer, {})]
        found = desk.outcome(one)
        assert (found.outcome != outcomes.RETURNED, found.live) == (True, live), name
