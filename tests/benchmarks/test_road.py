"""Speed of the road, one group a step: ours beside the plain GeoPandas way, with identical numbers.

`make bench` measures; in a plain test run each function runs once, so the numbers are still compared. On the layers of Aleppo
where they lie beside the project, else on the demo city.
"""

import subprocess
import sys
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import shapely

from geo import damage, overlay, pipeline, population, roads
from geo.reading import read_file

ROOT = Path(__file__).parents[2]
ALEPPO = ROOT / "tests" / "studies" / "aleppo"
STUDY = ALEPPO if (ROOT.parent / "shared" / "data" / "aleppo-roads-osm").is_dir() else ROOT / "data" / "demo"


@pytest.fixture(scope="module")
def opened():
    return pipeline.open_study(STUDY)


@pytest.fixture(scope="module")
def city(opened):
    return pipeline.read_city(opened[0])


def plain_counts(city):
    points = city.layers["damage"].frame.drop(columns="zone")
    joined = gpd.sjoin(points, city.zones[["geometry"]].reset_index(), predicate="intersects")
    joined = joined[~joined.index.duplicated()]
    return joined.groupby(["id_right", "state"]).size().unstack(fill_value=0).reindex(city.zones.index, fill_value=0)


def our_counts(city):
    x, y = overlay.middle(city.layers["damage"].frame.geometry.to_numpy())
    zone = overlay.locate(x, y, city.zones.geometry.to_numpy())
    names = pd.Series(city.zones.index[zone]).mask(zone < 0)
    return damage.by_state(
        pd.DataFrame({"zone": names.to_numpy(), "state": city.layers["damage"].frame["state"].to_numpy()}), city.zones.index
    )


@pytest.mark.benchmark(group="damage points by neighbourhood")
def test_counts_ours(benchmark, city):
    ours, plain = benchmark(our_counts, city), plain_counts(city)
    pd.testing.assert_frame_equal(ours[list(plain.columns)], plain, check_dtype=False, check_names=False, check_column_type=False)


@pytest.mark.benchmark(group="damage points by neighbourhood")
def test_counts_plain(benchmark, city):
    benchmark(plain_counts, city)


def plain_lengths(city):
    lines = city.layers["roads"].frame[["geometry"]]
    parts = gpd.overlay(lines, city.zones[["geometry"]].reset_index(), how="intersection", keep_geom_type=True)
    return parts.length.groupby(parts["id"]).sum().reindex(city.zones.index, fill_value=0.0)


def our_lengths(city):
    pieces = overlay.cut(city.layers["roads"].frame.geometry.to_numpy(), city.zones.geometry.to_numpy())
    return pd.Series(np.bincount(pieces.zone, pieces.length, minlength=len(city.zones)), index=city.zones.index)


@pytest.mark.benchmark(group="road length by neighbourhood")
def test_lengths_ours(benchmark, city):
    pd.testing.assert_series_equal(benchmark(our_lengths, city), plain_lengths(city), check_names=False, rtol=1e-8)


@pytest.mark.benchmark(group="road length by neighbourhood")
def test_lengths_plain(benchmark, city):
    benchmark.pedantic(plain_lengths, args=(city,), rounds=3)


def debris_inputs(city):
    pieces = overlay.cut(city.layers["roads"].frame.geometry.to_numpy(), city.zones.geometry.to_numpy())
    survey = city.layers["damage"].frame
    return pieces.shape, survey.geometry.to_numpy()[survey["state"].isin(damage.DEBRIS)]


def plain_debris(lines, structures):
    reach = gpd.GeoDataFrame(geometry=[shapely.union_all(shapely.buffer(structures, 15.0, quad_segs=64))])
    parts = gpd.overlay(
        gpd.GeoDataFrame({"line": range(len(lines))}, geometry=lines), reach.explode(), how="intersection", keep_geom_type=True
    )
    return parts.length.sum()


@pytest.mark.benchmark(group="road length within reach of debris")
def test_debris_ours(benchmark, city):
    lines, structures = debris_inputs(city)
    ours = benchmark(overlay.within_reach, lines, structures, 15.0).sum()
    assert ours == pytest.approx(plain_debris(lines, structures), rel=1e-3)  # a buffer of 256 sides is short of the circle


@pytest.mark.benchmark(group="road length within reach of debris")
def test_debris_plain(benchmark, city):
    benchmark.pedantic(plain_debris, args=debris_inputs(city), rounds=3)


def plain_shares(units, zones):
    parts = gpd.overlay(
        units[["geometry"]].reset_index(names="unit"), zones[["geometry"]].reset_index(), how="intersection", keep_geom_type=True
    )
    return parts.area.groupby([parts["unit"], parts["id"]]).sum()


@pytest.mark.benchmark(group="larger units by neighbourhood")
@pytest.mark.parametrize("way", ["ours", "plain"])
def test_shared_area(benchmark, city, way):
    units = city.zones.assign(block=np.arange(len(city.zones)) // 8)[["block", "geometry"]].dissolve("block")
    units = units.set_geometry(units.buffer(40.0)).reset_index(drop=True)
    if way == "plain":
        benchmark.pedantic(plain_shares, args=(units, city.zones), rounds=3)
        return
    unit, zone, area = benchmark(overlay.shared_area, units.geometry.to_numpy(), city.zones.geometry.to_numpy())
    ours = pd.Series(area, index=pd.MultiIndex.from_arrays([unit, city.zones.index[zone]])).sort_index()
    pd.testing.assert_series_equal(
        ours, plain_shares(units, city.zones).sort_index(), check_names=False, check_index_type=False, rtol=1e-9
    )


@pytest.mark.benchmark(group="the road")
def test_read_roads(benchmark, opened):
    study = opened[0]
    spec = study.layers["roads"]
    benchmark(read_file, study.path(spec.path), spec, "roads")


@pytest.mark.benchmark(group="the road")
def test_read_city(benchmark, opened):
    benchmark.pedantic(pipeline.read_city, args=(opened[0],), rounds=3)


@pytest.mark.benchmark(group="the road")
def test_measure_roads(benchmark, opened, city):
    benchmark.pedantic(roads.measure, args=(city, opened[1]), rounds=3)


@pytest.mark.benchmark(group="the road")
def test_count_people(benchmark, city):
    benchmark.pedantic(population.people, args=(city,), rounds=3)


@pytest.mark.benchmark(group="the road")
def test_assess(benchmark, opened, city):
    benchmark.pedantic(pipeline.assess, args=(city, opened[1]), rounds=3)


@pytest.mark.benchmark(group="whole process")
def test_tarmim_rank(benchmark, tmp_path):
    command = [str(Path(sys.executable).with_name("tarmim")), "rank", str(STUDY), "--out", str(tmp_path / "out")]
    benchmark.pedantic(subprocess.run, args=(command,), kwargs={"check": True, "capture_output": True}, rounds=3, warmup_rounds=1)


@pytest.mark.benchmark(group="whole process")
def test_tarmim_help(benchmark):
    command = [str(Path(sys.executable).with_name("tarmim")), "--help"]
    benchmark.pedantic(subprocess.run, args=(command,), kwargs={"check": True, "capture_output": True}, rounds=5, warmup_rounds=1)
