"""The payloads: the run's own numbers, shapes that still fit together, layers that say what they leave out.

`make_run` builds a run of the same form as `geo` makes, of a town of 8 × 7 crooked blocks whose common borders are exact.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import geopandas as gpd
import numpy as np
import orjson
import pandas as pd
import pytest
import shapely

from geo.errors import TarmimError
from geo.left_out import left_out
from geo.messages import gettext
from geo.registers import both, register
from geo.run import Run, measure_record
from maps.figures import figure
from maps.palettes import fifths, palettes, steps
from maps.payload import SCREEN_TOLERANCE_M, city_payload, decoded, encode, layer_payload

CRS = "EPSG:32637"
CRITERIA = {
    "damage_index": (0.3, (0.0, 0.5), "more", "ideal_neighbourhood"),
    "people_in_damaged_homes": (0.3, (0.0, 10000.0), "more", "ideal_neighbourhood"),
    "road_debris_share": (0.2, (0.0, 0.5), "more", "basic_services"),
    "working_health_per_10000": (0.1, (0.0, 2.0), "less", "basic_services"),
    "complaints_per_1000": (0.1, (0.0, 20.0), "more", "institutional_organisation"),
}
MEASURES = [*CRITERIA, "people", "buildings", "structures_destroyed", "equivalent_destroyed_per_km2"]
EVIL = [
    "<script>window.hit=1;alert(1)</script>",
    "{{7*191}}",
    "{{ cycler.__init__.__globals__ }}",
    "`${window.hit=2}`\\",
    "\"'><img src=x onerror=window.hit=3>",
    "\u202eevil\u202c name",
    "</script><!-- <script>",
    "{% raw %}&lt;b&gt;&amp;",
]
UNKNOWN_ROWS = 4
FIRST_NAMES = ["الحميدية", "باب الدريب", "كرم الشامي", "الوعر", "الخالدية", "بابا عمرو", "جب الجندلي", "الإنشاءات"]


def blocks(columns: int = 8, rows: int = 7) -> gpd.GeoSeries:
    """A town of crooked blocks, 600 m wide, without gaps."""
    rng = np.random.default_rng(7)
    nodes = np.stack(np.meshgrid(np.arange(columns + 1), np.arange(rows + 1)), axis=-1) * 600.0
    nodes += rng.uniform(-170, 170, nodes.shape)
    nodes += (290_000, 3_844_000)

    def side(a: tuple[int, int], b: tuple[int, int]) -> list[tuple[float, float]]:
        first, last = sorted((a, b))
        crooked = np.random.default_rng(first[0] * 100 + first[1] * 10 + last[0]).uniform(-25, 25, (9, 2))
        along = nodes[first] + (nodes[last] - nodes[first]) * np.linspace(0.1, 0.9, 9)[:, None] + crooked
        points = [tuple(map(float, xy)) for xy in (nodes[first], *along)]
        return points if (first, last) == (a, b) else [tuple(map(float, nodes[last])), *reversed(points[1:])]

    def block(r: int, c: int) -> shapely.Polygon:
        corners = [(r, c), (r, c + 1), (r + 1, c + 1), (r + 1, c), (r, c)]
        return shapely.Polygon([xy for a, b in pairwise(corners) for xy in side(a, b)])

    return gpd.GeoSeries([block(r, c) for r in range(rows) for c in range(columns)], crs=CRS)


def make_run(
    shapes: gpd.GeoSeries | None = None, names: list[tuple[str, str]] | None = None, *, generated: bool = True, evil: bool = False
) -> Run:
    """A run as `geo` makes it; `evil`: the first names are attacks."""
    shapes = blocks() if shapes is None else shapes
    n = len(shapes)
    rng = np.random.default_rng(11)
    names = names or [(f"{FIRST_NAMES[i % 8]} {i + 1}", f"Quarter {i + 1}") for i in range(n)]
    if evil:
        names = [(EVIL[i], EVIL[i]) if i < len(EVIL) else names[i] for i in range(n)]
    table = gpd.GeoDataFrame(
        {
            "id": [f"N{i:03}" if not evil or i else "N\"'<&>" for i in range(1, n + 1)],
            "name_ar": [name[0] for name in names],
            "name_en": [name[1] for name in names],
            "district": [["المركز", "الشرق", "الغرب"][i % 3] if not evil or i % 3 else EVIL[0] for i in range(n)],
        },
        geometry=shapes.to_numpy(),
        crs=CRS,
    )
    urgency = rng.beta(2, 3, n)
    best = {
        "damage_index": urgency * 0.6,
        "people_in_damaged_homes": urgency * rng.uniform(3000, 14000, n),
        "road_debris_share": rng.beta(1.5, 4, n),
        "working_health_per_10000": rng.uniform(0, 2.4, n),
        "complaints_per_1000": rng.gamma(2, 3, n),
        "people": np.rint(rng.uniform(4000, 60000, n)),
        "buildings": np.rint(rng.uniform(200, 2600, n)),
        "structures_destroyed": np.rint(urgency * 300),
        "equivalent_destroyed_per_km2": urgency * 900,
    }
    unknown = rng.random((n, len(CRITERIA))) < 0.06
    unknown[-UNKNOWN_ROWS:, :3] = True
    for k, name in enumerate(MEASURES):
        value = np.where(unknown[:, k], np.nan, best[name]) if k < len(CRITERIA) else best[name]
        table[name] = value
        if k < len(CRITERIA):
            table[f"{name}_low"], table[f"{name}_high"] = value * 0.8, value * 1.25
            table[f"{name}_coverage"] = np.where(unknown[:, k], 0.0, rng.uniform(0.6, 1, n).round(3))
            table[f"{name}_note"] = np.where(unknown[:, k], "not-surveyed", "")
    return scored(table, generated)


def scored(table: gpd.GeoDataFrame, generated: bool) -> Run:
    """The weighted sum, simply: enough for a picture."""
    weights = pd.Series({name: one[0] for name, one in CRITERIA.items()})
    parts = pd.DataFrame(
        {
            name: ((table[name] - low) / (high - low)).clip(0, 1)
            if way == "more"
            else 1 - ((table[name] - low) / (high - low)).clip(0, 1)
            for name, (_, (low, high), way, _) in CRITERIA.items()
        }
    )
    known = parts.notna().mul(weights)
    table["coverage"] = known.sum(axis=1)
    contributions = parts.mul(weights).div(table["coverage"], axis=0) * 100
    table["score"] = contributions.sum(axis=1).where(table["coverage"] >= 0.6)
    contributions = contributions.where(table["score"].notna())
    table["score_low"], table["score_high"] = table["score"] * 0.9, (table["score"] * 1.12).clip(upper=100)
    for twin in (3, 4):
        for column in ("score", "score_low", "score_high"):
            table.loc[twin, column] = table.loc[3, column]
    for name in CRITERIA:
        table[f"contribution_{name}"] = contributions[name]
        table.loc[4, f"contribution_{name}"] = table.loc[3, f"contribution_{name}"]
    table["sector_health"] = table["score"] / 2
    place = table["score"].rank(method="min", ascending=False)
    table["rank"] = place.astype("Int64")
    table["tied"] = place.duplicated(keep=False) & place.notna()
    table["status"] = np.where(table["score"].notna(), "ranked", "not_assessable")
    table["why_en"] = ["Most of it comes from damage to homes and from roads under debris." for _ in range(len(table))]
    table["why_ar"] = ["معظم الدرجة من تضرر المساكن ومن الطرق التي عليها أنقاض." for _ in range(len(table))]
    table = table.sort_values(["rank", "id"], na_position="last").reset_index(drop=True)
    return Run("0f3a5c7e9b1d2468", run_info(generated), table, lost_rows(table))


def run_info(generated: bool) -> dict[str, Any]:
    """What `run.json` holds."""
    reason = {"ar": "حد ثابت معلن مسبقا", "en": "A limit fixed and published in advance"}
    layers = ("neighbourhoods", "damage", "roads", "facilities", "complaints")
    return {
        "run": "0f3a5c7e9b1d2468",
        "tarmim": "0.1.0",
        "study": {"id": "town", "name": {"ar": "مدينة العاصي", "en": "Orontes town"}, "crs": CRS, "generated": generated},
        "scheme": {
            "id": "default",
            "name": {"ar": "المخطط الأساسي", "en": "Default scheme"},
            "method": "weighted_sum",
            "minimum_coverage": 0.6,
            "criteria": [
                {"measure": name, "axis": axis, "direction": way, "goalposts": list(posts), "reason": reason, "weight": weight}
                for name, (weight, posts, way, axis) in CRITERIA.items()
            ],
        },
        "axes": {name: both(row, "name") for name, row in register("axes").items()},
        "sectors": {name: both(row, "name") for name, row in register("sectors").items()},
        "measures": [measure_record(name) for name in MEASURES],
        "layers": [
            {
                "layer": name,
                "label": both(register("layers")[name], "name"),
                "source": {"ar": "مجلس المدينة", "en": "City council"},
                "date": "2026-03-29",
                "licence": "CC BY 4.0",
                "rows_read": 1200,
                "rows_used": 1180,
                "rows_left_out": 20,
                "sha256": "0" * 64,
            }
            for name in layers
        ],
        "findings": [],
    }


def lost_rows(table: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
    """Twelve rows outside the town and two without a place."""
    west, south, east, _ = table.total_bounds
    rng = np.random.default_rng(3)
    points = gpd.points_from_xy(rng.uniform(west, east, 14), np.full(14, south - 300.0))
    rows = gpd.GeoDataFrame({"row": range(1, 15), "id": [str(i) for i in range(14)]}, geometry=points, crs=CRS)
    rows.loc[12:, "geometry"] = None
    outside = left_out(rows.iloc[:12], "damage", "outside", crs=CRS)
    return gpd.GeoDataFrame(
        pd.concat([outside, left_out(rows.iloc[12:], "damage", "geometry-missing", crs=CRS)], ignore_index=True), crs=CRS
    )


def make_layers(run: Run, *, scale: int = 1) -> dict[str, gpd.GeoDataFrame]:
    """Context layers with every kind of geometry."""
    west, south, east, north = run.priorities.total_bounds
    rng = np.random.default_rng(5)

    def points(n: int) -> gpd.GeoSeries:
        return gpd.GeoSeries(gpd.points_from_xy(rng.uniform(west, east, n), rng.uniform(south, north, n)), crs=CRS)

    def lines(n: int) -> gpd.GeoSeries:
        ends = rng.uniform((west, south), (east, north), (n, 2))
        turns = rng.uniform(-250, 250, (n, 3, 2)).cumsum(axis=1)
        return gpd.GeoSeries([shapely.LineString([end, *(end + turn)]) for end, turn in zip(ends, turns, strict=True)], crs=CRS)

    def pick(values: list[str], n: int) -> list[str]:
        return rng.choice(values, n).tolist()

    states = ["destroyed", "severe", "moderate", "possible", "none"]
    n = 900 * scale
    nodes = pd.concat([lines(60), points(20)], ignore_index=True)
    return {
        "damage": gpd.GeoDataFrame({"state": pick(states, n)}, geometry=points(n)),
        "roads": gpd.GeoDataFrame(
            {"road_class": pick(["primary", "tertiary", "residential", "footway"], 400 * scale)}, geometry=lines(400 * scale)
        ),
        "water": gpd.GeoDataFrame({"state": pick([*states, ""], 80)}, geometry=nodes, crs=CRS),
        "facilities": gpd.GeoDataFrame(
            {
                "kind": pick(["hospital", "school", "bakery", "market"], 90),
                "functionality": pick(["functional", "partial", ""], 90),
            },
            geometry=points(90),
        ),
        "hazards": gpd.GeoDataFrame({"kind": ["mines"] * 4}, geometry=points(4).buffer(120)),
        "complaints": gpd.GeoDataFrame({"status": pick(["open", "closed"], 50)}, geometry=points(50)),
    }


@pytest.fixture(scope="module")
def run() -> Run:
    return make_run()


@pytest.fixture(scope="module")
def payload(run: Run) -> dict[str, Any]:
    """As the browser gets it: through JSON and back."""
    made: dict[str, Any] = orjson.loads(encode(city_payload(run)))
    return made


def same(sent: list[float | None], column: pd.Series[Any]) -> bool:
    return all((a is None and pd.isna(b)) or a == b for a, b in zip(sent, column, strict=True))


def test_numbers_are_the_runs_own(run: Run, payload: dict[str, Any]) -> None:
    table = run.priorities
    for name in ("score", "score_low", "score_high", "coverage", "rank"):
        assert same(payload[name], table[name])
    for name in CRITERIA:
        assert same(payload["contributions"][name], table[f"contribution_{name}"])
    for name in MEASURES:
        assert same(payload["values"][name]["value"], table[name])
        for end in ("low", "high", "coverage"):
            if f"{name}_{end}" in table:
                assert same(payload["values"][name][end], table[f"{name}_{end}"])


def test_unknown_is_null_and_never_zero(run: Run, payload: dict[str, Any]) -> None:
    unknown = run.priorities["damage_index"].isna().to_numpy()
    assert unknown.sum() >= UNKNOWN_ROWS
    assert [value is None for value in payload["values"]["damage_index"]["value"]] == unknown.tolist()
    assert b"NaN" not in encode(payload)
    assert b"Infinity" not in encode(payload)


def test_notes_are_sentences_in_both_languages(run: Run, payload: dict[str, Any]) -> None:
    assert payload["notes"] == [{"ar": gettext("not surveyed", "ar"), "en": "not surveyed"}]
    noted = payload["values"]["damage_index"]["note"]
    assert sorted(map(int, noted)) == np.flatnonzero(run.priorities["damage_index"].isna()).tolist()


def test_an_infinite_number_is_refused(run: Run) -> None:
    table = run.priorities.copy()
    table.loc[2, "people"] = math.inf
    with pytest.raises(TarmimError, match="Infinite"):
        city_payload(Run(run.id, run.info, table, run.left_out))


def test_shapes_keep_common_borders_and_stay_near(run: Run, payload: dict[str, Any]) -> None:
    sent = [
        shapely.MultiPolygon([(decoded(rings[0]), [decoded(ring) for ring in rings[1:]]) for rings in polygons])
        for polygons in payload["shapes"]
    ]
    metric = gpd.GeoSeries(sent, crs="EPSG:4326")
    assert metric.is_valid.all()
    assert bool(shapely.coverage_is_valid(metric.explode().to_numpy())), "no gaps or overlaps appear by simplifying and rounding"
    moved = metric.to_crs(CRS)
    for made, true in zip(moved, run.priorities.geometry, strict=True):
        assert made.hausdorff_distance(true) < 10 * SCREEN_TOLERANCE_M
    before, after = (int(shapely.get_num_coordinates(one.to_numpy()).sum()) for one in (run.priorities.geometry, moved))
    assert after < before


def test_neighbourhoods_that_overlap_or_are_missing_are_still_sent() -> None:
    shapes = blocks()
    shapes.iloc[1] = shapes.iloc[1].buffer(40)
    shapes.iloc[2] = shapely.Polygon()
    shapes.iloc[3] = None
    made = city_payload(make_run(shapes))
    assert len(made["shapes"]) == len(shapes)
    assert sum(not polygons for polygons in made["shapes"]) == 2
    assert made["labels"].count(None) == 2


def test_names_stand_inside_their_neighbourhood(run: Run, payload: dict[str, Any]) -> None:
    places = gpd.GeoSeries([shapely.Point(x / 1e5, y / 1e5) for x, y, _ in payload["labels"]], crs="EPSG:4326").to_crs(CRS)
    assert run.priorities.geometry.contains(places).all()


def test_limits_are_figures_one_can_say() -> None:
    assert fifths([0.0] * 9 + [1.0], decimals=1) == [1.0]
    assert fifths([5.0, 5.0], decimals=1) == []
    assert fifths([math.nan, 3.0], decimals=1) == []
    assert steps([0.0, 100.0]) == [20.0, 40.0, 60.0, 80.0]
    assert steps([44.0, 47.1]) == [45.0, 46.0, 47.0]
    for values in (np.geomspace(1, 1e6, 50), np.linspace(0, 1, 30)):
        limits = fifths(values.tolist(), decimals=3)
        assert limits == sorted(set(limits))
        assert len(limits) == 4


@pytest.mark.parametrize(
    ("value", "decimals", "text"),
    [(0.5, 0, "1"), (1.005, 2, "1.00"), (1234567.0, 0, "1,234,567"), (-0.5, 0, "-1"), (math.nan, 1, "–")],
)
def test_figures_round_half_away_from_zero_on_the_exact_value(value: float, decimals: int, text: str) -> None:
    assert figure(value, decimals) == text


def test_layers_count_and_decode(run: Run) -> None:
    layers = make_layers(run)
    for name, frame in layers.items():
        made = orjson.loads(encode(layer_payload(name, frame)))
        assert made["shown"] == made["total"] == len(frame)
        assert made["message"] is None
        assert sum(one["shown"] for one in made["classes"]) == len(frame)
        assert len(made["points"]["codes"]) + len(made["paths"]["codes"]) + len(made["areas"]["codes"]) == len(frame)
    made = layer_payload("damage", layers["damage"])
    west, south, east, north = layers["damage"].to_crs(4326).total_bounds
    dots = np.array(decoded(made["points"]["xy"], made["origin"]))
    assert np.allclose([*dots.min(axis=0), *dots.max(axis=0)], [west, south, east, north], atol=1e-5)
    assert [one["label"]["en"] for one in made["classes"]][:2] == ["Destroyed", "Severe damage"]


def test_each_feature_keeps_its_class(run: Run) -> None:
    frame = make_layers(run)["damage"]
    made = layer_payload("damage", frame)
    labels = [one["label"]["en"] for one in made["classes"]]
    sent = gpd.GeoSeries([shapely.Point(*xy) for xy in decoded(made["points"]["xy"], made["origin"])], crs=4326).to_crs(CRS)
    near = sent.sindex.nearest(frame.geometry, return_all=False)[1]
    codes = np.array(made["points"]["codes"])[near]
    for state, code in zip(frame["state"], codes, strict=True):
        if state in ("destroyed", "severe"):
            assert labels[code] == {"destroyed": "Destroyed", "severe": "Severe damage"}[state]


def test_above_the_cap_less_important_classes_go_and_it_is_said(run: Run) -> None:
    roads = make_layers(run, scale=5)["roads"]
    made = layer_payload("roads", roads, cap=5000)
    shown = {one["label"]["en"]: (one["shown"], one["total"]) for one in made["classes"]}
    assert shown["Main roads"][0] == shown["Main roads"][1] > 0
    assert shown["Paths"][0] == 0 < shown["Paths"][1]
    assert made["shown"] < made["total"] == len(roads)
    assert "Paths" in made["message"]["en"]
    assert "ممرات" in made["message"]["ar"]
    sampled = layer_payload("roads", roads[roads["road_class"] == "primary"], cap=500)
    assert 0 < sampled["shown"] < sampled["total"]


def test_above_the_cap_buildings_become_dots_and_streets_are_joined() -> None:
    west, south = 290_000.0, 3_844_000.0
    buildings = gpd.GeoDataFrame(
        geometry=[shapely.box(west + 20 * i, south, west + 20 * i + 9, south + 12) for i in range(100)], crs=CRS
    )
    made = layer_payload("buildings", buildings, cap=150)
    assert (made["shown"], made["total"], made["message"]) == (100, 100, None)
    assert len(made["points"]["codes"]) == 100
    street = [shapely.LineString([(west + 10 * i, south), (west + 10 * i + 10, south)]) for i in range(100)]
    made = layer_payload("roads", gpd.GeoDataFrame({"road_class": "primary"}, geometry=street, index=range(100), crs=CRS), cap=150)
    assert (made["shown"], made["total"]) == (100, 100)
    (line,) = made["paths"]["lines"]
    assert len(line[0]) == 4, "a hundred pieces of one straight street are one line of two points"


def test_rows_left_out_have_their_reasons_and_those_without_place_are_counted(run: Run) -> None:
    made = layer_payload("left_out", run.left_out)
    assert (made["total"], made["shown"], made["without_place"]) == (14, 12, 2)
    assert [one["label"]["en"] for one in made["classes"]] == ["Damage survey: Outside every neighbourhood"]


def test_empty_and_unknown_layers_are_payloads_too() -> None:
    empty = gpd.GeoDataFrame({"state": []}, geometry=[], crs=CRS)
    assert layer_payload("damage", empty)["total"] == 0
    odd = gpd.GeoDataFrame(geometry=[shapely.Point(290_000, 3_844_000), None], crs=CRS)
    assert layer_payload("anything", odd)["without_place"] == 1


def test_every_colour_class_has_arabic() -> None:
    for rules in palettes()["layer"].values():
        for rule in rules:
            assert gettext(rule["label"], "ar") != rule["label"], rule["label"]
