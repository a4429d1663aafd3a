"""Equity: published values, properties that define the measures, and the town on paper."""

from __future__ import annotations

import json
from itertools import product

import numpy as np
import pandas as pd
import pytest
import shapely
from hypothesis import assume, given
from hypothesis import strategies as st

from geo.equity import atkinson, distributional_weight, gini, lorenz, median, of, parameters, theil, weighted_list, works_by_zone
from geo.pipeline import assess, open_study, read_city
from tests.conftest import at, layer, lines, points

FIVE = np.array([1.0, 2, 3, 4, 5])
AMOUNTS = st.lists(st.tuples(st.floats(0, 1e6), st.integers(1, 10_000)), min_size=2, max_size=12)


def columns(rows):
    return np.array([one[0] for one in rows]), np.array([float(one[1]) for one in rows])


@pytest.fixture(scope="module")
def vectors(shared):
    return json.loads((shared / "test_vectors.json").read_text(encoding="utf-8"))


def test_published_inequality(vectors):
    known, ones = vectors["inequality"], np.ones(5)
    assert gini(FIVE, ones) == pytest.approx(known["gini"], abs=5e-8)
    assert theil(FIVE, ones).total == pytest.approx(known["theil_T"], abs=5e-8)
    assert atkinson(FIVE, ones, 0.5) == pytest.approx(known["atkinson_0.5"], abs=5e-8)
    assert atkinson(FIVE, ones, 1) == pytest.approx(known["atkinson_1"], abs=5e-8)


def test_published_weights(vectors):
    known = vectors["distributional_weight"]
    half, double = distributional_weight(np.array([0.5, 2.0]), 1.0, parameters()["weights"]["eta"])
    assert half == pytest.approx(known["half_median"], abs=5e-8)
    assert double == pytest.approx(known["double_median"], abs=5e-8)
    assert distributional_weight(np.array([0.5]), 1.0, 1.0).tolist() == [known["eta1_half"]]


def test_gini_by_its_definition():
    """Σ p_i p_k |x_i − x_k| / (2 P² x̄), pair by pair."""
    x, p = np.array([0.0, 2.0, 7.0, 7.0, 1.0]), np.array([10.0, 1.0, 3.0, 5.0, 2.0])
    mean = (x * p).sum() / p.sum()
    pairs = sum(p[i] * p[k] * abs(x[i] - x[k]) for i, k in product(range(5), repeat=2))
    assert gini(x, p) == pytest.approx(pairs / (2 * p.sum() ** 2 * mean))


def test_one_has_everything():
    """Of 4 alike, one has all: Gini 3/4, Theil ln 4; nothing is left of nothing."""
    x, p = np.array([0.0, 0, 0, 8]), np.ones(4)
    assert gini(x, p) == pytest.approx(0.75)
    assert theil(x, p).total == pytest.approx(np.log(4))  # 0 · ln 0 = 0
    assert atkinson(x, p, 1) == 1
    assert atkinson(x, p, 0.5) == pytest.approx(0.75)
    nothing = np.zeros(4)
    assert np.isnan([gini(nothing, p), theil(nothing, p).total, atkinson(nothing, p, 0.5)]).all()
    assert np.isnan(median(np.array([]), np.array([])))


def test_between_and_within_on_paper():
    """a: 1 and 3 (mean 2), b: 4 and 4 (mean 4), overall 3: between = ½·⅔·ln ⅔ + ½·4⁄3·ln 4⁄3; within only a: ⅓ of T(1, 3)."""
    parts = theil(np.array([1.0, 3, 4, 4]), np.ones(4), np.array(["a", "a", "b", "b"]))
    between = 0.5 * 2 / 3 * np.log(2 / 3) + 0.5 * 4 / 3 * np.log(4 / 3)
    inside = 0.5 * 0.5 * np.log(0.5) + 0.5 * 1.5 * np.log(1.5)
    assert parts.between == pytest.approx(between)
    assert parts.within == pytest.approx(inside / 3)


@given(AMOUNTS, st.floats(1e-3, 1e3), st.lists(st.sampled_from(["a", "b", None]), min_size=12, max_size=12))
def test_what_every_measure_keeps(rows, factor, districts):
    """Between 0 and 1; blind to the unit and to the order; more of the same people changes nothing; Theil = between + within."""
    x, p = columns(rows)
    assume(x.sum() > 1e-3 and (x[x > 0].min() > 1e-6))
    groups = np.array(districts[: len(x)], dtype=object)
    parts = theil(x, p, groups)
    assert 0 <= gini(x, p) <= 1
    assert 0 <= atkinson(x, p, 0.5) <= 1
    assert parts.total == pytest.approx(parts.between + parts.within, abs=1e-9)
    assert parts.within >= -1e-9
    for changed in ((x * factor, p), (x[::-1], p[::-1]), (x, p * 7), (np.repeat(x, 2), np.repeat(p, 2) / 2)):
        assert gini(*changed) == pytest.approx(gini(x, p), abs=1e-9)
        assert theil(*changed).total == pytest.approx(parts.total, abs=1e-7)
        assert atkinson(*changed, 0.5) == pytest.approx(atkinson(x, p, 0.5), abs=1e-7)


@given(AMOUNTS, st.floats(0.05, 0.5))
def test_from_rich_to_poor_is_never_less_equal(rows, share):
    """Pigou and Dalton: part of the difference goes from the one who has most to the one who has least."""
    x, p = columns(rows)
    rich, poor = int(x.argmax()), int(x.argmin())
    assume(x[rich] - x[poor] > 1e-3)
    moved = x.copy()
    amount = share * (x[rich] - x[poor]) * min(p[rich], p[poor])
    moved[rich] -= amount / p[rich]
    moved[poor] += amount / p[poor]
    assert gini(moved, p) <= gini(x, p) + 1e-9
    assert theil(moved, p).total <= theil(x, p).total + 1e-9
    assert atkinson(moved, p, 0.5) <= atkinson(x, p, 0.5) + 1e-9


def test_unknown_and_negative_are_refused():
    for values in ([1.0, np.nan], [1.0, -1.0]):
        with pytest.raises(ValueError, match="known"):
            gini(np.array(values), np.ones(2))
    assert gini(np.array([1.0, 9.0]), np.array([1.0, 0.0])) == 0  # nobody is no person


def test_lorenz_ends_at_the_corners_and_hangs_below_the_diagonal():
    curve = lorenz(np.array([5.0, 1.0, 3.0]), np.array([2.0, 2.0, 6.0]))
    assert curve.iloc[0].tolist() == [0, 0]
    assert curve.iloc[-1].tolist() == [1, 1]
    assert (curve["value_share"] <= curve["people_share"] + 1e-12).all()


# A run


def test_unknown_neighbourhoods_are_listed_and_not_counted(town_run):
    """D was not surveyed: no score, no share of damaged homes; the study has no works."""
    found = of(town_run)
    assert found.left_out == {"need": ("D",), "damaged_homes": ("D",)}
    assert found.measures["counted"].tolist() == [3, 3]
    assert list(found.lorenz) == ["need", "damaged_homes"]
    ranked = town_run.priorities.set_index("id").loc[["A", "B", "C"]]
    assert found.measures.at["need", "gini"] == pytest.approx(gini(ranked["score"].to_numpy(), ranked["people"].to_numpy(float)))
    assert found.measures.at["damaged_homes", "mean"] == pytest.approx(ranked["people_in_damaged_homes"].sum() / 7000)


def test_weighted_list_stands_beside_the_list(town_run):
    """Standing is one minus the sub-score of the basic services; the person in the middle lives in C, whose weight is 1."""
    table = weighted_list(town_run)
    run = town_run.priorities.set_index("id")
    assert set(table.index) == {"A", "B", "C"}
    assert table.at["C", "weight"] == 1
    standing = (1 - run.loc[table.index, "axis_basic_services"] / 100).clip(lower=0.1)
    assert table["standing"].tolist() == pytest.approx(standing.tolist())
    expected = run.loc[table.index, "score"] * (standing["C"] / standing) ** 1.3
    assert table["weighted_score"].tolist() == pytest.approx(expected.tolist())
    assert (table["moved"] == table["rank"] - table["weighted_rank"]).all()


WORKS = layer(
    [*points((500, 500), (500, 600), (1500, 500)), *lines([(500, 1500), (2000, 1500)]), *at(shapely.box(1400, 1400, 1500, 1450))],
    status=["funded", "proposed", "done", "under_way", None],
    cost_usd=[10_000.0, 99_000.0, 4_000.0, 3_000.0, 7.0],
    people_served=[500, 500, None, 300, 1],
)


def test_works_by_neighbourhood(city):
    """A proposal and a work of unknown state are no spending; a line of 1,500 m is shared 1 : 2 by C and D."""
    done = works_by_zone(city(works=WORKS, entries={"works": {"path": "works.geojson", "extent": "study"}}))
    assert done["cost_usd"].tolist() == pytest.approx([10_000, 4_000, 1_000, 2_000])
    assert done["people_served"].tolist() == pytest.approx([500, np.nan, 100, 200], nan_ok=True)
    assert works_by_zone(city()) is None


def test_nothing_spent_is_zero_only_where_somebody_looked(city):
    only = WORKS[:1]
    assert works_by_zone(city(works=only, entries={"works": {"path": "works.geojson", "extent": "study"}}))[
        "cost_usd"
    ].tolist() == [10_000, 0, 0, 0]
    silent = works_by_zone(city(works=only))["cost_usd"]
    assert silent.tolist() == pytest.approx([10_000, np.nan, np.nan, np.nan], nan_ok=True)


def test_spending_and_benefit_of_a_run(town):
    """Dollars per person: A 10, B 2, C 0.25, D 4."""
    study, scheme = open_study(town(works=WORKS, entries={"works": {"path": "works.geojson", "extent": "study"}}))
    found = read_city(study)
    equity = of(assess(found, scheme), found)
    assert equity.measures.at["spending", "gini"] == pytest.approx(
        gini(np.array([10, 2, 0.25, 4]), np.array([1000.0, 2000, 4000, 500]))
    )
    assert equity.left_out["benefit"] == ("B",)
    assert isinstance(equity.weighted, pd.DataFrame)


def test_study_without_people_has_no_equity(run):
    found = of(run(without=("population",)))
    assert found.measures.empty
    assert found.weighted["weighted_rank"].isna().all()
