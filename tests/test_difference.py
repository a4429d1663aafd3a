"""Difference of two runs: what moved a rank, split into parts that sum to the change exactly."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from geo.difference import PARTS, UNKNOWN, compare, in_tenths, with_factors
from geo.pipeline import assess, open_study, read_city
from geo.ranking import rank
from geo.run import Run
from geo.scheme import Criterion, Scheme, read_factors, read_scheme
from geo.scoring import score
from geo.study import copy_demo
from tests.conftest import write_town

ROOT = Path(__file__).parents[1]
DEMO = ROOT / "data" / "demo"
TARMIM = Path(sys.executable).with_name("tarmim")
ALL = [*PARTS, UNKNOWN]


def scheme_of(weights, *, measures=("water_damaged_share", "road_debris_share"), **given):
    criteria = tuple(
        Criterion(
            measure=name, axis="basic_services", weight=weight, direction="more", goalposts=(0, 1), reason={"ar": "س", "en": "r"}
        )
        for name, weight in zip(measures, weights, strict=True)
    )
    return Scheme(
        id="own", name={"ar": "م", "en": "own"}, factors=read_factors("tarmim"), criteria=criteria, minimum_coverage=0.0, **given
    )


def run_of(values, scheme, *, layer="one", tarmim="1"):
    """A run with nothing but measures: by unit, one value a criterion."""
    measures = pd.DataFrame.from_dict(values, orient="index", columns=[one.measure for one in scheme.criteria], dtype="float64")
    ranks = rank(score(measures, scheme).table["score"])
    table = pd.concat([ranks, measures], axis=1).rename_axis("id").reset_index().assign(name_ar="اسم", name_en="Name")
    info = {
        "scheme": scheme.model_dump(mode="json"), "tarmim": tarmim, "study": {"crs": "EPSG:32637"},
        "layers": [{"layer": "water", "sha256": layer, "extent_sha256": "", "profile": None, "settings": {}}],
    }  # fmt: skip
    shapes = gpd.GeoDataFrame(table, geometry=[shapely.Point(0, 0)] * len(table), crs="EPSG:32637")
    return Run("r", info, shapes, shapes.head(0))


def test_by_hand():
    """Two criteria, three units; data and weights change.

    Old data with weights (1, 0): x 0.9, y 0.5, z 0.1 by the first criterion: x, y, z. New data raises z to 0.7: x, z, y. New
    weights (0, 1) count only the second: old data z 0.9, y 0.5, x 0.1: z, y, x; new data the same. Rank of x: 1, data alone 1,
    weights alone 3, both 3: weights +2. Of z: 3, data alone 2, weights alone 1, both 1. Data first: data −1, weights −1; weights
    first: weights −2, data 0. The mean: data −0.5, weights −1.5. Of y: 2; data alone 3; weights alone 2; both 2: data first: +1, −1;
    weights first: 0, 0. The mean: +0.5, −0.5.
    """
    a = run_of({"x": [0.9, 0.1], "y": [0.5, 0.5], "z": [0.1, 0.9]}, scheme_of((1, 0)))
    b = run_of({"x": [0.9, 0.1], "y": [0.5, 0.5], "z": [0.7, 0.9]}, scheme_of((0, 1)), layer="other")
    found = compare(a, b).table
    assert found.loc[["x", "y", "z"], "data"].tolist() == [0, 0.5, -0.5]
    assert found.loc[["x", "y", "z"], "weights"].tolist() == [2, -0.5, -1.5]
    assert found.loc["z", "said_en"] == "From rank 3 to rank 1: data −0.5, weights −1.5."
    assert found.loc["y", "said_en"] == "Rank 2 in both: data +0.5, weights −0.5."
    assert "الأوزان" in found.loc["z", "said_ar"]
    assert found.index.tolist() == ["z", "x", "y"], "the largest change first, then by rank"
    assert not found[["factors", "method", "unknown"]].to_numpy().any()


def test_goalposts_are_method():
    """The first criterion between 0 and 0.5 puts x and y both at 1: a tie that x led."""
    values = {"x": [0.9, 0.0], "y": [0.6, 0.0], "z": [0.1, 0.0]}
    before = scheme_of((0.5, 0.5))
    narrow = before.model_copy(
        update={"criteria": tuple(one.model_copy(update={"goalposts": (0.0, 0.5)}) for one in before.criteria)}
    )
    found = compare(run_of(values, before), run_of(values, narrow)).table
    assert found.loc["y", ALL].tolist() == [0, 0, 0, -1, 0]


def test_criterion_of_one_scheme_only():
    """A third criterion that comes with a weight: the weights move the ranks; its goalposts alone move nothing."""
    measures = ("water_damaged_share", "road_debris_share", "electricity_damaged_share")
    new = scheme_of((0.25, 0.25, 0.5), measures=measures)
    values = {"x": [0.9, 0.9, 0.0], "y": [0.5, 0.5, 1.0]}
    a = run_of(values, new)
    old = scheme_of((0.5, 0.5))
    table = a.priorities.assign(rank=pd.array([1, 2], dtype="Int64"))
    before = replace(a, info={**a.info, "scheme": old.model_dump(mode="json")}, priorities=table)
    found = compare(before, a).table
    assert found.loc["y", ALL].tolist() == [0, 0, -1, 0, 0]


def test_units_that_come_and_go():
    before = run_of({"x": [0.5, 0.5], "y": [0.4, 0.4], "v": [0.9, 0.9]}, scheme_of((0.5, 0.5)))
    after = run_of({"x": [0.5, 0.5], "y": [np.nan, np.nan], "w": [0.1, 0.1]}, scheme_of((0.5, 0.5)), layer="other")
    found = compare(before, after)
    assert found.table.index.tolist() == ["x"]
    assert found.table.loc["x", ["change", "data"]].tolist() == [-1, -1], "v is gone: counted with the data"
    assert found.apart["reason_en"].to_dict() == {
        "v": "in the first run only", "w": "in the second run only", "y": "not assessable in the second run",
    }  # fmt: skip
    assert found.apart.loc["v", "rank_a"] == 1
    assert found.apart["rank_b"].isna().tolist() == [True, False, True]
    assert [one.code for one in found.findings] == ["layers-differ"]


def test_what_no_part_explains_is_said():
    """The same inputs and other measures: the programme measures otherwise. The same measures and other ranks: it scores otherwise."""
    values = {"x": [0.9, 0.0], "y": [0.6, 0.0]}
    a = run_of(values, scheme_of((0.5, 0.5)))
    measured = run_of({"x": [0.5, 0.0], "y": [0.6, 0.0]}, scheme_of((0.5, 0.5)), tarmim="2")
    assert compare(a, measured).table.loc["x", ALL].tolist() == [0, 0, 0, 0, 1]
    turned = replace(a, priorities=a.priorities.assign(rank=pd.array([2, 1], dtype="Int64")))
    assert compare(a, turned).table.loc["x", ALL].tolist() == [0, 0, 0, 0, 1]
    assert "another version of the programme +1" in compare(a, turned).table.loc["x", "said_en"]


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_parts_sum_to_the_change(data):
    """Whatever changes: in whole twenty-fourths, without rounding; and turned around, every part turns its sign."""
    share = st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0, float("nan")])
    units = [f"u{n}" for n in range(data.draw(st.integers(2, 6)))]
    runs = []
    for layer in ("one", "two"):
        weights = data.draw(st.tuples(st.integers(1, 5), st.integers(0, 5)))
        method = data.draw(st.sampled_from(["weighted_sum", "geometric_mean", "topsis", "promethee_ii_pairwise"]))
        scheme = scheme_of(weights, method=method)
        runs.append(run_of({one: [data.draw(share), data.draw(share)] for one in units}, scheme, layer=layer))
    there, back = (compare(*pair).table for pair in (runs, runs[::-1]))
    counted = (there[ALL] * 24).round()
    assert np.abs(there[ALL] * 24 - counted).to_numpy().max(initial=0) < 1e-9
    assert (counted.sum(axis=1) == 24 * there["change"]).all()
    assert (there[ALL] == -back.loc[there.index, ALL]).all().all()


@given(st.lists(st.integers(-240, 240), min_size=4, max_size=4))
def test_tenths_keep_the_sum(counted):
    counted = [*counted, -sum(counted) % 24]
    tenths = in_tenths(counted)
    assert sum(tenths) * 24 == 10 * sum(counted)
    assert all(abs(one * 24 - 10 * whole) < 24 for one, whole in zip(tenths, counted, strict=True))


def test_the_same_run_is_no_difference(demo_run, town_run):
    for one in (demo_run, town_run):
        found = compare(one, one)
        assert len(found.table) == one.priorities["rank"].notna().sum()
        assert not found.table[["change", *ALL]].to_numpy().any()
        assert set(found.table["said_en"].str.extract(r"^Rank \d+ in (both)\.$")[0]) == {"both"}
        assert found.findings == ()


@pytest.mark.parametrize("name", ["gem", "hazus", "destroyed-only"])
def test_factors_from_the_counts_are_the_measured_ones(name):
    """Of every neighbourhood of the demo city, as if the damage had been measured again from the layers."""
    study, scheme = open_study(DEMO)
    city = read_city(study)
    other = scheme.model_copy(update={"factors": read_factors(name)})
    own, again = (assess(city, one).priorities.set_index("id").sort_index() for one in (scheme, other))
    for measure in ("damage_index", "equivalent_destroyed", "equivalent_destroyed_per_km2"):
        assert with_factors(own, other)[measure].to_numpy() == pytest.approx(again[measure].to_numpy(float), nan_ok=True, abs=1e-12)


def test_factors_alone_are_factors():
    study, scheme = open_study(DEMO)
    city = read_city(study)
    runs = [assess(city, one) for one in (scheme, scheme.model_copy(update={"factors": read_factors("destroyed-only")}))]
    found = compare(*runs).table
    assert (found["change"] != 0).any()
    assert (found["factors"] == found["change"]).all()
    assert found["said_en"].str.contains("damage factors").sum() == (found["change"] != 0).sum()


def test_debris_reach_alone_is_method(tmp_path):
    study, scheme = open_study(write_town(tmp_path / "town"))
    city = read_city(study)
    far = scheme.model_copy(update={"options": scheme.options.model_copy(update={"debris_reach_m": (5.0, 400.0, 450.0)})})
    found = compare(assess(city, scheme), assess(city, far)).table
    assert (found["method"] == found["change"]).all()


def test_town_with_other_data(tmp_path):
    """More people in D, and rapid in place of default: the parts sum, and the layers are named."""
    runs = []
    for name, scheme, people in (("a", "default", 500), ("b", "rapid", 40000)):
        folder = write_town(
            tmp_path / name, population=pd.DataFrame({"id": ["A", "B", "C", "D"], "people": [1000, 2000, 4000, people]})
        )
        study, chosen = open_study(folder, scheme)
        runs.append(assess(read_city(study), chosen))
    found = compare(*runs)
    assert (found.table[ALL].sum(axis=1) - found.table["change"]).abs().max() < 1e-12
    assert "population" in found.findings[0].found.render("en")


def test_command(tmp_path):
    copy_demo(tmp_path)

    def tarmim(*words):
        return subprocess.run([TARMIM, *map(str, words)], cwd=ROOT, capture_output=True, text=True, check=False)

    for scheme in ("default", "rapid"):
        assert tarmim("rank", tmp_path, "--scheme", scheme).returncode == 0
    first, second = (
        next(path.name for path in (tmp_path / "runs").iterdir() if f'"id": "{scheme}"' in (path / "run.json").read_text("utf-8"))
        for scheme in ("default", "rapid")
    )
    done = tarmim("compare", first, second, "--study", tmp_path, "--out", tmp_path / "d.csv", "--top", 3)
    assert done.returncode == 0, done.stderr
    assert "weights" in done.stdout
    assert "From rank" in done.stdout
    table = pd.read_csv(tmp_path / "d.csv")
    assert (table[ALL].sum(axis=1) - table["change"]).abs().max() < 1e-9
    assert tarmim("compare", first, second, "--study", tmp_path, "--out", tmp_path / "d.xlsx", "--lang", "ar").returncode == 0
    assert pd.read_excel(tmp_path / "d.xlsx", engine="openpyxl")["change"].tolist() == table["change"].tolist()
    same = tarmim("compare", first, first, "--study", tmp_path)
    assert "No rank differs." in same.stdout
    nobody = tarmim("compare", first, "no-such-run", "--study", tmp_path)
    assert nobody.returncode == 1
    assert "Traceback" not in nobody.stderr


def test_scheme_survives_the_run():
    """A run's scheme read back is the scheme, to the last digit."""
    for name in ("default", "rapid", "participatory"):
        scheme = read_scheme(name)
        assert Scheme(**scheme.model_dump(mode="json")) == scheme
