"""Agreement: coefficients on paper and against SciPy; what the run keeps of methods, groups and damage factors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geo import agreement, pipeline
from geo.agreement import compare_factors, compare_groups, compare_methods, drive, extremes, kendall_tau, kendall_w, variants
from geo.criteria import measure
from geo.damage import equivalent_destroyed
from geo.population import people
from geo.registers import names
from geo.scheme import read_factors, read_scheme
from geo.scoring import score
from tests.conftest import layer, points
from tests.test_scoring import criterion, scheme

DEMO = Path(__file__).parents[1] / "data" / "demo"


def test_kendall_tau_on_paper():
    """Of 6 pairs one is turned: 5 − 1 of 6. Upside down: −1. With a tie in b: 5 of √(6 × 5)."""
    table = pd.DataFrame({"a": [1, 2, 3, 4], "b": [1, 2, 4, 3], "c": [4, 3, 2, 1], "d": [1, 2, 3, 3], "e": [2, 2, 2, 2]})
    tau = kendall_tau(table)
    assert tau.loc["a", ["a", "b", "c", "d"]].tolist() == pytest.approx([1, 4 / 6, -1, 5 / 30**0.5])
    assert tau["e"].isna().all(), "one tie says nothing"
    assert tau.equals(tau.T)


@given(st.lists(st.tuples(*[st.one_of(st.none(), st.integers(1, 6))] * 2), min_size=2, max_size=30))
def test_kendall_tau_is_that_of_scipy(pairs):
    stats = pytest.importorskip("scipy.stats")
    table = pd.DataFrame(pairs, columns=["a", "b"], dtype="Int64")
    both = table.dropna().astype("float64")
    ours = kendall_tau(table).loc["a", "b"]
    if len(both) < 2 or both["a"].nunique() < 2 or both["b"].nunique() < 2:
        assert np.isnan(ours)
    else:
        assert ours == pytest.approx(stats.kendalltau(both["a"], both["b"]).statistic)


def test_kendall_tau_in_parts_is_the_same(monkeypatch):
    table = pd.DataFrame(np.random.default_rng(1).random((50, 3)))
    whole = kendall_tau(table)
    monkeypatch.setattr(agreement, "PAIRS", 300)
    pd.testing.assert_frame_equal(kendall_tau(table), whole)


def test_kendall_w_on_paper():
    """Three judges, four objects: rank sums 4, 5, 9, 12, mean 7.5, squares 12.25 + 6.25 + 2.25 + 20.25 = 41; 12 × 41 / (9 × 60)."""
    assert kendall_w(pd.DataFrame({"a": [1, 2, 3, 4], "b": [2, 1, 3, 4], "c": [1, 2, 3, 4]})) == pytest.approx(12 * 41 / 540)
    assert kendall_w(pd.DataFrame({"a": [1, 2, 3], "b": [3, 2, 1]})) == pytest.approx(0)
    assert np.isnan(kendall_w(pd.DataFrame({"a": [1.0], "b": [1.0]})))


def test_extremes_name_who_moves_and_under_what():
    ranks = pd.DataFrame({"own": [1, 2, 3, None], "x": [3, 2, 1, None], "y": [1, 2, 2, None]}, index=list("abcd"), dtype="Int64")
    found = extremes(ranks, 5)
    assert found.index.tolist() == ["a", "c"]
    assert found.loc["a"].tolist() == [1, 1, "own", 3, "x", 2]


def test_what_moves_the_list_on_paper():
    """Scores 10, 20, 30 (away −10, 0, 10, squares 200) and one unknown: a 20·10/200, b (5 − 10)·10/200, c (5 − 0)·10/200."""
    points = pd.DataFrame({"a": [0, 10, 20, 5], "b": [10, 10, 5, 5], "c": [np.nan, 0, 5, np.nan]}, dtype="float64")
    found = drive(points, pd.Series([10, 20, 30, np.nan]))
    assert found.tolist() == pytest.approx([1, -0.25, 0.25])
    assert drive(points, pd.Series([5.0] * 4)).isna().all()


@pytest.mark.parametrize("method", ["weighted_sum", "topsis", "geometric_mean", "promethee_ii_pairwise"])
def test_what_moves_the_list_sums_to_one(town_run, method):
    found = score(town_run.priorities.set_index("id"), read_scheme("default").model_copy(update={"method": method}))
    assert drive(found.contributions, found.table["score"]).sum() == pytest.approx(1)


def test_own_way_comes_first():
    ours = scheme(criterion(), method="topsis", normalisation="rank")
    assert next(iter(variants(ours))) == "topsis.rank"
    assert len(variants(ours)) == len(variants(scheme(criterion()))) + 1


def test_every_variant_is_what_the_scheme_itself_would_rank(town_run):
    table = town_run.priorities.set_index("id")
    ours = read_scheme("default")
    found = compare_methods(table, ours)
    for name, one in variants(ours).items():
        scores = score(table, one).table["score"]
        assert found[name].dropna().tolist() == scores.dropna().rank(ascending=False, method="min").tolist(), name
    assert found["weighted_sum.goalposts"].equals(table["rank"].rename("weighted_sum.goalposts"))
    assert found.loc["D"].isna().all(), "not assessable in any method"


FLIP = (
    '[scheme]\nname = { ar = "مخطط", en = "Index alone" }\nfactors = "tarmim"\n[[criteria]]\nmeasure = "damage_index"\n'
    'axis = "ideal_neighbourhood"\nweight = 1\ndirection = "more"\ngoalposts = [0, 0.5]\nreason = { ar = "سبب", en = "reason" }\n'
)


@pytest.fixture
def flipping(town):
    """A: 2 of 10 buildings destroyed; B: 6 of 10 moderately damaged (20 and 60 of 100): destroyed only .2 > 0, other at .4 .2 < .24."""
    where = [(60 + 90 * n, 800) for n in range(10)] + [(1060 + 90 * n, 800) for n in range(10)]
    hit = where[:2] + where[10:16]
    folder = town(
        buildings=layer(points(*where)), damage=layer(points(*hit), grade=["destroyed"] * 2 + ["moderate"] * 6), surveyed=None
    )
    (folder / "own.toml").write_text(FLIP, encoding="utf-8")
    study, chosen = pipeline.open_study(folder, "own.toml")
    return pipeline.read_city(study), chosen


def test_factor_tables_turn_the_order_around(flipping):
    city, chosen = flipping
    found = compare_factors(city, chosen, measure(city, chosen, people(city)))
    assert set(found) == set(names("factors"))
    assert found.columns[0] == "tarmim"
    assert found.loc[["A", "B"], "destroyed-only"].tolist() == [1, 2]
    assert found.loc[["A", "B"], "destroyed-1-other-04"].tolist() == [2, 1]


def test_a_list_that_rests_on_the_factors_says_so(flipping):
    run = pipeline.assess(*flipping)
    (found,) = [one for one in run.info["findings"] if one["code"] == "factors-decide"]
    assert "destroyed-1-other-04" in found["found"]["en"]
    assert found["severity"] == "info", "the same neighbourhoods are among the first ten, in another order"
    assert (
        run.tables["factors"].set_index("id")["destroyed-1-other-04"].dropna().tolist() != run.priorities["rank"].dropna().tolist()
    )


@pytest.mark.parametrize("table", names("factors"))
def test_ranks_under_a_table_are_those_of_a_run_with_it(flipping, table):
    """Measured once and scaled, or measured anew: the same ranks."""
    city, chosen = flipping
    found = compare_factors(city, chosen, measure(city, chosen, people(city)))[table]
    anew = pipeline.assess(city, chosen.model_copy(update={"factors": read_factors(table)})).priorities.set_index("id")["rank"]
    assert found.sort_index().equals(anew.sort_index().rename(table))


def test_no_criterion_of_damage_no_comparison_of_factors(town_run, city):
    ours = scheme(criterion("people", goalposts=(0, 5000)))
    found = compare_factors(city(), ours, town_run.priorities.set_index("id"))
    assert found.shape == (4, 0)


@pytest.fixture(scope="module")
def demo_run():
    study, chosen = pipeline.open_study(DEMO, "participatory")
    return pipeline.assess(pipeline.read_city(study), chosen)


def test_groups_have_their_own_lists(demo_run):
    """Each group's ranks are those of a run with its weights alone."""
    chosen = read_scheme("participatory")
    measures = demo_run.priorities.set_index("id")
    table = compare_groups(measures, chosen)
    for ident in chosen.groups:
        alone = score(measures, chosen.with_weights(chosen.weighed().table[ident].to_dict())).table["score"]
        assert table[f"score_{ident}"].dropna().tolist() == pytest.approx(alone.dropna().tolist())
        assert table[f"rank_{ident}"].min() == 1
    ranks = table[[f"rank_{ident}" for ident in chosen.groups]]
    assert (table["difference"].dropna() == (ranks.max(axis=1) - ranks.min(axis=1)).dropna()).all()


def test_run_says_where_groups_differ(demo_run):
    (found,) = [one for one in demo_run.info["findings"] if one["code"] == "groups-compared"]
    assert len(found["rows"]) == 5
    for name in ("methods", "factors", "groups"):
        table = demo_run.tables[name]
        assert table["id"].tolist() == sorted(demo_run.priorities["id"]) or len(table) == len(demo_run.priorities)
        assert set(demo_run.info["tables"][name]["columns"]) == set(table.columns)
        assert all(text["ar"] and text["en"] for text in demo_run.info["tables"][name]["columns"].values())


def test_groups_that_agree_are_said_to(town):
    """Two groups with the same order: W is 1."""
    folder = town()
    groups = "".join(
        f'[groups.g{n}]\nname = {{ ar = "فئة", en = "Group {n}" }}\nweights = {{ damage_index = 5 }}\n' for n in range(2)
    )
    (folder / "own.toml").write_text(FLIP.replace("weight = 1\n", "") + groups, encoding="utf-8")
    study, chosen = pipeline.open_study(folder, "own.toml")
    run = pipeline.assess(pipeline.read_city(study), chosen)
    (found,) = [one for one in run.info["findings"] if one["code"] == "groups-compared"]
    assert "W = 1.00" in found["found"]["en"]
    assert "same rank" in found["remedy"]["en"]


def test_daraa_lies_between_the_factor_tables():
    """UNOSAT's counts of Dar'a, were these all of its structures: .149 counting destroyed only, .489 with .4 for any other damage."""
    counts = pd.DataFrame({"destroyed": [224], "severe": [498], "moderate": [781]})
    found = {name: equivalent_destroyed(counts, read_factors(name)).at[0, "best"] / 1503 for name in names("factors")}
    assert (min(found, key=found.get), max(found, key=found.get)) == ("destroyed-only", "destroyed-1-other-04")
    assert [round(min(found.values()), 3), round(max(found.values()), 3)] == [0.149, 0.489]


def test_aleppo_under_every_method(shared):
    """The real layers: SPOTIS is the weighted sum, every method ranks the same neighbourhoods, and some disagree on some."""
    study, chosen = pipeline.open_study(DEMO.parents[1] / "tests" / "studies" / "aleppo")
    run = pipeline.assess(pipeline.read_city(study), chosen)
    ranks = run.tables["methods"].set_index("id").drop(columns="difference")
    ranked = run.priorities.set_index("id")["rank"].reindex(ranks.index)
    assert ranks["weighted_sum.goalposts"].equals(ranked.rename("weighted_sum.goalposts"))
    assert ranks["spotis.goalposts"].equals(ranked.rename("spotis.goalposts"))
    assert (ranks.notna().all(axis=1) == ranked.notna()).all()
    assert ranks.notna().any(axis=1).equals(ranks.notna().all(axis=1))
    tau = kendall_tau(ranks)
    assert (tau.to_numpy() > 0.3).all(), "the methods tell the same story"
    assert (tau.to_numpy() < 1).any(), "though not in the same order"
