"""Scores: added up by hand, against published examples, and by what must hold whatever the numbers are."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geo.aggregation import METHODS, RELATIVE
from geo.explain import why
from geo.ranking import rank
from geo.registers import register
from geo.scheme import Criterion, Scheme, read_factors, read_scheme
from geo.scoring import between_goalposts, cautions, is_relative, score

TEXT = {"ar": "سبب", "en": "reason"}
MEASURES = ("people", "damage_index", "complaints_per_1000", "working_health_per_10000")
FACTORS = read_factors("tarmim")


def criterion(measure="people", weight=1.0, direction="more", goalposts=(0.0, 10.0)):
    return Criterion(measure=measure, axis="basic_services", weight=weight, direction=direction, goalposts=goalposts, reason=TEXT)


def scheme(*criteria, **more):
    return Scheme(id="test", name=TEXT, factors=FACTORS, criteria=criteria, **more)


def table(**columns):
    return pd.DataFrame(columns, dtype="float64")


def test_town_added_up_on_paper(plain_town):
    """Default scheme; electricity (weight .10) has no layer, B knows the state of 20 % of its water pipes (weight .12) only.

    A: index .27/.5 × .20 = .108; homes 400/10,000 × .20 = .008; debris .01/.5 × .12 = .0024; water (.5/.5) × .12 = .12; bakeries
    none × .05 = .05; complaints 2/5 × .03 = .012; health and schools above their goalpost: 0. Sum .3004 of .90 known.
    B: .04375/.5 × .20 = .0175; 500/10,000 × .20 = .01; no hospital .10; .5/5 × .03 = .003. Sum .1305 of .78.
    C: no hospital, school or bakery that works: .10 + .08 + .05 = .23 of .90.
    D: health, bakery and complaints are known, .18 of the weights: not assessable.
    """
    assert plain_town["score"].tolist() == pytest.approx([30.04 / 0.90, 13.05 / 0.78, 23 / 0.90, np.nan], nan_ok=True)
    assert plain_town["coverage"].tolist() == pytest.approx([0.90, 0.78, 0.90, 0.18])
    assert plain_town["rank"].tolist()[:3] == [1, 3, 2]
    assert pd.isna(plain_town.at["D", "rank"])
    assert plain_town.at["D", "status"] == "not_assessable"


def test_bounds_of_the_town_on_paper(plain_town):
    """C: what is known is certain but the index (5 intact buildings) and electricity, which may be all right or all broken.

    B, low: index .05/4/.5 × .20 = .005, homes .01, hospital .10, complaints .003; water and electricity at their best: .118. High:
    water and electricity at their worst, index (.40 + .02)/4/.5 × .20 = .042: .042 + .01 + .10 + .003 + .12 + .10 = .375.
    """
    assert plain_town.loc["C", ["score_low", "score_high"]].tolist() == pytest.approx([23, 33])
    assert plain_town.loc["B", ["score_low", "score_high"]].tolist() == pytest.approx([11.8, 37.5])
    assert plain_town.loc["D", ["score_low", "score_high"]].isna().all()


def test_goalposts_as_published():
    """COINr, tests/testthat/test-normalise.R: 0 to 10; 1 → .1, 11 → 1, −1 → 0; 1 → .9 where less is more."""
    assert between_goalposts(pd.Series([1, 11, -1, None]), criterion()).tolist() == pytest.approx([0.1, 1, 0, np.nan], nan_ok=True)
    assert between_goalposts(pd.Series([1]), criterion(direction="less")).tolist() == pytest.approx([0.9])


BASE, NEWCOMER = [(1, 2), (3, 1), (2, 3)], (20, 1)  # constructed witness: under min-max the newcomer turns A < B into A > B


def minmax(rows):
    values = np.array(rows, dtype=float)
    return ((values - values.min(0)) / (values.max(0) - values.min(0))).mean(1)


def test_goalposts_show_no_rank_reversal():
    """Min-max turns the first two around when a fourth neighbourhood comes; fixed goalposts leave every score as it was."""
    before, after = minmax(BASE), minmax([*BASE, NEWCOMER])
    assert before.tolist() == pytest.approx([0.25, 0.5, 0.75])
    assert after.tolist() == pytest.approx([0.25, 0.0526, 0.5263, 0.5], abs=5e-5)
    assert (before[0] < before[1], after[0] < after[1]) == (True, False)
    ours = scheme(criterion("people", goalposts=(0, 20)), criterion("damage_index", goalposts=(0, 3)))
    small, large = (score(pd.DataFrame(rows, columns=["people", "damage_index"]), ours).table for rows in (BASE, [*BASE, NEWCOMER]))
    pd.testing.assert_frame_equal(small, large.iloc[:3])


def test_published_numbers_are_those_of_the_shared_file(shared: Path):
    published = json.loads((shared / "test_vectors.json").read_text(encoding="utf-8"))
    examples = [(one["x"], one["gposts"][:2], one["dir"], one["y"]) for one in published["goalposts_coinr"]["n_goalposts"]]
    assert examples == [(1, [0, 10], 1, 0.1), (11, [0, 10], 1, 1), (-1, [0, 10], 1, 0), (1, [0, 10], -1, 0.9)]
    witness = published["rank_reversal_witness"]["minmax_wsm"]
    assert ([tuple(row) for row in witness["base"]], tuple(witness["add"])) == (BASE, NEWCOMER)


def test_unknown_is_not_zero():
    """People 5 of 10 known, index unknown: 50 points on half of the weights, not 25 on all of them."""
    ours = scheme(criterion("people"), criterion("damage_index", goalposts=(0, 1)), minimum_coverage=0.5)
    found = score(table(people=[5, 5], damage_index=[np.nan, 0.0]), ours)
    assert found.table["score"].tolist() == [50, 25]
    assert found.table["coverage"].tolist() == [0.5, 1.0]
    assert found.table["score_low"].tolist() == [25, 25]
    assert found.table["score_high"].tolist() == [75, 25]
    assert np.isnan(found.contributions.at[0, "damage_index"])


def test_below_the_minimum_coverage_there_is_no_score():
    ours = scheme(criterion("people", 0.6), criterion("damage_index", 0.4), minimum_coverage=0.6)
    found = score(table(people=[5, np.nan], damage_index=[np.nan, 5]), ours).table
    assert found["score"].isna().tolist() == [False, True], "the limit itself is enough"
    assert found.loc[1, ["score_low", "score_high"]].isna().all()


def test_value_surveyed_too_little_is_unknown_with_its_bounds():
    """A tenth of a neighbourhood was looked at and nothing found: it may be anything, not 'intact'."""
    ours = scheme(criterion("people"), criterion("equivalent_destroyed_per_km2", goalposts=(0, 10)), minimum_coverage=0.5)
    name = "equivalent_destroyed_per_km2"
    found = score(table(people=[10], **{name: [0], f"{name}_low": [0], f"{name}_high": [0], f"{name}_coverage": [0.1]}), ours)
    assert np.isnan(found.normalised.at[0, name])
    assert found.table.loc[0].tolist() == pytest.approx([100, 50, 100, 0.5])


def test_criterion_without_a_column_is_unknown_everywhere():
    found = score(table(people=[5]), scheme(criterion("people"), criterion("damage_index"), minimum_coverage=0.5))
    assert found.table.at[0, "coverage"] == 0.5


def test_where_less_is_more_urgent_the_bounds_change_places():
    """0 to 2 hospitals, best guess 1: between the worst and the best of the criterion."""
    ours = scheme(criterion("working_health_per_10000", direction="less", goalposts=(0, 2)))
    name = "working_health_per_10000"
    found = score(table(**{name: [1], f"{name}_low": [0], f"{name}_high": [2]}), ours).table.loc[0]
    assert found[["score_low", "score", "score_high"]].tolist() == [0, 50, 100]


def test_parts_are_means_over_what_is_known(plain_town):
    """Sector health of C: its hospital does not work, 100. Basic services of C: debris 0, water 0, health 100: .10 of .34."""
    assert plain_town.at["C", "sector_health"] == 100
    assert plain_town.at["C", "axis_basic_services"] == pytest.approx(100 * 0.10 / 0.34)
    assert np.isnan(plain_town.at["A", "sector_electricity"])
    sectors = {register("measures")[one.measure]["sector"] for one in read_scheme("default").criteria}
    assert {column.removeprefix("sector_") for column in plain_town if column.startswith("sector_")} == sectors


values = st.one_of(st.none(), st.floats(-5, 20))
rows = st.lists(st.tuples(*[values] * len(MEASURES)), min_size=2, max_size=6)
schemes = st.builds(
    lambda weights, directions, minimum: scheme(
        *(criterion(name, weight, way) for name, weight, way in zip(MEASURES, weights, directions, strict=True)),
        minimum_coverage=minimum,
    ),
    st.tuples(*[st.floats(0.01, 5)] * len(MEASURES)),
    st.tuples(*[st.sampled_from(["more", "less"])] * len(MEASURES)),
    st.floats(0, 1),
)


def measured(many, spread=0.0):
    frame = pd.DataFrame(many, columns=list(MEASURES), dtype="float64", index=[f"z{n}" for n in range(len(many))])
    bounds = {f"{name}{end}": frame[name] + sign * spread for name in MEASURES for end, sign in (("_low", -1), ("_high", 1))}
    return frame.assign(**bounds)


@given(rows, schemes, st.floats(0, 5))
def test_what_must_hold_whatever_the_numbers_are(many, ours, spread):
    found = score(measured(many, spread), ours)
    ranked = found.table.dropna()
    assert (ranked["score"].between(-1e-9, 100 + 1e-9)).all()
    assert (ranked["score_low"] <= ranked["score"] + 1e-9).all()
    assert (ranked["score"] <= ranked["score_high"] + 1e-9).all()
    assert found.table["coverage"].between(0, 1).all()
    assert found.contributions.loc[ranked.index].sum(axis=1).to_numpy() == pytest.approx(ranked["score"].to_numpy(), abs=1e-9)
    assert (
        found.table["score"]
        .isna()
        .equals(~(found.table["coverage"] >= ours.minimum_coverage - 1e-12) | (found.table["coverage"] == 0))
    )


@given(rows, schemes, st.randoms(use_true_random=False))
def test_order_and_company_change_no_score(many, ours, rng):
    """Rows shuffled, or one neighbourhood taken away: everybody else keeps the score to the last bit."""
    frame = measured(many)
    found = score(frame, ours).table
    shuffled = list(frame.index)
    rng.shuffle(shuffled)
    pd.testing.assert_frame_equal(score(frame.loc[shuffled], ours).table.loc[frame.index], found, check_exact=True)
    pd.testing.assert_frame_equal(score(frame.iloc[1:], ours).table, found.iloc[1:], check_exact=True)


@given(rows, schemes, st.sampled_from(MEASURES), st.floats(0, 10))
def test_more_need_never_lowers_a_score(many, ours, name, more):
    frame = measured(many)
    direction = next(one.direction for one in ours.criteria if one.measure == name)
    worse = frame.assign(**{name: frame[name] + (more if direction == "more" else -more)})
    before, after = score(frame, ours).table["score"], score(worse, ours).table["score"]
    assert (after.dropna() >= before.dropna() - 1e-9).all()


@given(rows, schemes, st.floats(0.1, 1000))
def test_weights_are_shares_whatever_their_sum(many, ours, factor):
    scaled = scheme(
        *(criterion(one.measure, one.weight * factor, one.direction) for one in ours.criteria),
        minimum_coverage=ours.minimum_coverage,
    )
    assert sum(one.weight for one in scaled.criteria) == pytest.approx(1)
    one, other = (score(measured(many), each).table["coverage"] for each in (ours, scaled))
    assert one.tolist() == pytest.approx(other.tolist())


# ---- other methods ----

FIXED = sorted(set(METHODS) - RELATIVE)


def test_inform_severity_is_a_scheme():
    """INFORM Severity: 0.2 × impact + 0.5 × conditions + 0.3 × complexity, each 0 to 10; (8, 6, 4) → 5.8 of 10."""
    ours = scheme(*(criterion(name, weight) for name, weight in zip(MEASURES[:3], (0.2, 0.5, 0.3), strict=True)))
    found = score(pd.DataFrame([(8.0, 6.0, 4.0)], columns=list(MEASURES[:3])), ours)
    assert found.table.at[0, "score"] == pytest.approx(58)
    assert found.contributions.loc[0].tolist() == pytest.approx([16, 30, 12])


def test_each_method_on_paper():
    """People at the worst goalpost, damage at none, equal weights. TOPSIS: as far from both ideals. Geometric: (√.01 − .01)/.99."""
    expected = {"weighted_sum": 50, "spotis": 50, "topsis": 50, "promethee_ii": 50, "geometric_mean": 100 * 0.09 / 0.99}
    for method, points in expected.items():
        ours = scheme(criterion("people"), criterion("damage_index", goalposts=(0, 1)), method=method)
        found = score(table(people=[10], damage_index=[0]), ours).table
        assert found.at[0, "score"] == pytest.approx(points), method


@given(rows, schemes, st.floats(0, 5), st.sampled_from(FIXED))
def test_what_holds_for_every_method_between_goalposts(many, ours, spread, method):
    """The score lies between its bounds, contributions sum to it, and who else is in the list does not matter."""
    ours = ours.model_copy(update={"method": method})
    frame = measured(many, spread)
    found = score(frame, ours)
    ranked = found.table.dropna()
    assert (ranked["score"].between(-1e-9, 100 + 1e-9)).all()
    assert (ranked["score_low"] <= ranked["score"] + 1e-9).all()
    assert (ranked["score"] <= ranked["score_high"] + 1e-9).all()
    assert found.contributions.loc[ranked.index].sum(axis=1).to_numpy() == pytest.approx(ranked["score"].to_numpy(), abs=1e-9)
    pd.testing.assert_frame_equal(score(frame.iloc[1:], ours).table, found.table.iloc[1:], check_exact=True)


@given(rows, schemes, st.sampled_from(METHODS), st.sampled_from(["goalposts", "min_max", "z_score", "rank", "distance_to_target"]))
def test_no_method_gives_bounds_that_may_be_wrong(many, ours, method, normalisation):
    """Where a score depends on the others there are no bounds and a warning says why; the score and its parts are there."""
    ours = ours.model_copy(update={"method": method, "normalisation": normalisation})
    found = score(measured(many), ours)
    assessable = found.table["score"].notna()
    assert (found.table["score_low"].isna() == (is_relative(ours) | ~assessable)).all()
    assert [one.code for one in cautions(ours)] == (["rank-reversal"] if is_relative(ours) else [])
    points = found.contributions[assessable].sum(axis=1)
    assert points.to_numpy() == pytest.approx(found.table["score"][assessable].to_numpy(), abs=1e-9)
    assert (found.table["score"][assessable].between(-1e-9, 100 + 1e-9)).all()


def test_reversing_method_is_explained_without_bounds():
    ours = scheme(criterion("people"), criterion("damage_index", goalposts=(0, 1)), method="promethee_ii_pairwise")
    frame = table(people=[1, 5], damage_index=[0.5, 0.1]).set_axis(["a", "b"])
    found = score(frame, ours)
    said = why(frame, found, rank(found.table["score"]), ours)["why_en"]
    assert "depend on the other neighbourhoods" in said.iloc[0]
    assert "nan" not in said.iloc[0]
    assert "turn the order" in cautions(ours)[0].render("en")


def test_sub_scores_follow_the_method():
    """Two criteria of one axis at 1 and 0: half by sum, 100 × .09/.99 by the geometric mean."""
    pair = (criterion("people"), criterion("damage_index", goalposts=(0, 1)))
    found = [score(table(people=[10], damage_index=[0]), scheme(*pair, method=m)).parts for m in ("weighted_sum", "geometric_mean")]
    assert [one.at[0, "axis_basic_services"] for one in found] == pytest.approx([50, 100 * 0.09 / 0.99])
