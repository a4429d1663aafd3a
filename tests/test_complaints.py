"""Complaints: counted where they came from, against what was to be expected; silence is not contentment, and noise moves little."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geo import pipeline
from geo.complaints import against_expected, at_assets, by_directorate, follow_up, gamma_quantile, newest, overdue, prior_strength
from geo.complaints_intake import rules
from geo.errors import SchemeError
from geo.harmonise import place, read_layer
from geo.scheme import read_scheme, without_complaints
from geo.scoring import score
from geo.study import copy_demo
from tests.conftest import layer, points

DEMO = Path(__file__).parents[1] / "data" / "demo"
DEFAULT = (Path(__file__).parents[1] / "data" / "schemes" / "default.toml").read_text(encoding="utf-8")


def test_complaints_and_per_1000(plain_town):
    """Two from 1,000 people, one from 2,000, none from the rest."""
    assert plain_town["complaints"].tolist() == [2, 1, 0, 0]
    assert plain_town["complaints_per_1000"].tolist() == pytest.approx([2, 0.5, 0, 0])


def test_ratio_on_paper(plain_town):
    """3 troubles of 7,500 people: 0.4, 0.8, 1.6 and 0.2 are expected.

    O/E: 5, 1.25, 0, 0. Spread: (0.4·16 + 0.8·0.0625 + 1.6 + 0.2) / 3 − 1/0.75 = 2.75 − 1.3333 = 1.41667, so α = 0.705882.
    """
    alpha = 1 / (8.25 / 3 - 4 / 3)
    expected = [(2 + alpha) / (0.4 + alpha), (1 + alpha) / (0.8 + alpha), alpha / (1.6 + alpha), alpha / (0.2 + alpha)]
    assert plain_town["complaints_ratio"].tolist() == pytest.approx(expected)
    assert (plain_town["complaints_ratio_low"] < plain_town["complaints_ratio"]).all()
    assert (plain_town["complaints_ratio"] < plain_town["complaints_ratio_high"]).all()


def test_who_can_not_complain_is_not_expected_to(measured):
    """Half of A have a telephone: twice the rate is behind the same two complaints."""
    whole = measured()
    half = measured(neighbourhoods=lambda zones: zones.assign(connected=[0.5, 1.0, 1.0, 1.0]))
    assert half.at["A", "complaints_ratio"] > whole.at["A", "complaints_ratio"]
    unknown = measured(neighbourhoods=lambda zones: zones.assign(connected=[None, 1.0, 1.0, 1.0]))
    assert np.isnan(unknown.at["A", "complaints_ratio"])
    assert unknown.at["A", "complaints_ratio_note"] == "people-unknown"


def test_silence_is_unknown_where_nobody_said_that_they_listen(measured):
    town = measured(entries={"complaints": {"extent": None}})
    assert town["complaints"].tolist()[:2] == [2, 1]
    assert town.loc[["C", "D"], "complaints"].isna().all()
    assert town.at["C", "complaints_per_1000_note"] == "extent-unknown"
    assert town.loc[["C", "D"], "complaints_ratio"].isna().all()


def test_complaints_without_people(measured):
    town = measured(without=("population",))
    assert town["complaints"].tolist() == [2, 1, 0, 0]
    assert np.isnan(town["complaints_per_1000"]).all()
    assert set(town["complaints_per_1000_note"]) == {"people-unknown"}
    assert np.isnan(town["complaints_ratio"]).all()


def test_no_complaint_anywhere_is_no_rate():
    people = pd.Series([1000.0, 10.0])
    assert against_expected(pd.Series([0.0, 0.0]), people, people, people).isna().all(axis=None)


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(1, 50_000)), min_size=2, max_size=8))
def test_ratio_lies_between_the_plain_ratio_and_one(rows):
    """Shrinking never crosses 1."""
    observed = pd.Series([float(one) for one, _ in rows])
    people = pd.Series([float(one) for _, one in rows])
    if observed.sum() == 0:
        return
    ratio = against_expected(observed, people, people, people)["complaints_ratio"]
    plain = observed / (people * observed.sum() / people.sum())
    assert ((ratio >= np.minimum(plain, 1) - 1e-9) & (ratio <= np.maximum(plain, 1) + 1e-9)).all()


def test_strength_of_the_prior_is_within_limits():
    same = pd.Series([10.0, 10.0])
    assert prior_strength(same, same) == rules()["rate"]["strength_limits"][1]
    assert prior_strength(pd.Series([1000.0, 0.0]), pd.Series([1.0, 999.0])) == rules()["rate"]["strength_limits"][0]


def test_quantiles_of_the_gamma():
    """Exact at 5 and 95 %: shape 5 gives 1.9701 and 9.1535 (half a chi-square with 10 degrees of freedom)."""
    low, high = (float(gamma_quantile(pd.Series([5.0]), z)[0]) for z in (-1.6449, 1.6449))
    assert (low, high) == pytest.approx((1.9701, 9.1535), abs=0.02)


# The cap, and the rank without complaints


def test_scheme_in_which_complaints_could_pass_the_cap_is_refused(tmp_path):
    """4 % of the weights where only 60 % need be known: 6.7 % of the points, and 5 % is the cap."""
    (tmp_path / "loud.toml").write_text(DEFAULT.replace("weight = 0.03", "weight = 0.04"), encoding="utf-8")
    with pytest.raises(SchemeError) as raised:
        read_scheme("loud.toml", folder=tmp_path)
    (fault,) = raised.value.findings
    assert fault.code == "complaints-cap"
    assert "5.0%" in fault.render("en")
    (tmp_path / "loud.toml").write_text(
        DEFAULT.replace("weight = 0.03", "weight = 0.04").replace("complaints_cap = 0.05", "complaints_cap = 0.1"), encoding="utf-8"
    )
    assert read_scheme("loud.toml", folder=tmp_path).options.complaints_cap == 0.1


def test_cap_holds_where_least_else_is_known():
    """Index, homes, water and bakeries are known (57 %), and complaints (3 %): from none to the worst is exactly 5 points."""
    measures = pd.DataFrame(
        {
            "damage_index": [0.25, 0.25],
            "people_in_damaged_homes": [5000.0, 5000.0],
            "water_damaged_share": [0.25, 0.25],
            "working_bakery_per_10000": [0.5, 0.5],
            "complaints_per_1000": [0.0, 1e6],
        }
    )
    scores = score(measures, read_scheme("default")).table
    assert scores["coverage"].tolist() == pytest.approx([0.6, 0.6])
    assert scores["score"].diff()[1] == pytest.approx(5.0)


def test_scheme_without_complaints():
    scheme = read_scheme("default")
    rest = without_complaints(scheme)
    assert [one.measure for one in rest.criteria] == [one.measure for one in scheme.criteria[:-1]]
    assert sum(one.weight for one in rest.criteria) == pytest.approx(1)
    assert without_complaints(rest) is rest


def test_rank_without_complaints_is_that_of_a_study_without_them(run):
    """What the list would be had nobody complained."""
    heard, deaf = run(), run(without=("complaints",))
    assert "rank_without_complaints" in heard.priorities
    beside = heard.priorities.set_index("id")["rank_without_complaints"].sort_index()
    assert beside.tolist() == deaf.priorities.set_index("id")["rank"].sort_index().tolist()


def with_more(table: gpd.GeoDataFrame, places: list[tuple[float, float]], category: list[str]) -> gpd.GeoDataFrame:
    """The town's complaints and more, all of one day."""
    both = pd.concat([table, layer(points(*places), category=category)], ignore_index=True)
    return gpd.GeoDataFrame(both.assign(date=pd.Timestamp("2026-01-01")), crs=table.crs)


def ranked_with(run, places, category):
    return run(complaints=lambda one: with_more(one, places, category)).priorities.set_index("id").sort_index()


def test_a_thousand_duplicates_move_nothing(run):
    """One complaint in C, or that one and 1,000 like it: the same ranks, scores and ratios."""
    one, many = (ranked_with(run, [(510, 1510)] * n, ["water"] * n) for n in (1, 1001))
    assert many["rank"].equals(one["rank"])
    same = ["score", "score_low", "score_high", "complaints", "complaints_per_1000", "complaints_ratio"]
    pd.testing.assert_frame_equal(pd.DataFrame(one[same]), pd.DataFrame(many[same]))
    assert one.at["C", "complaints"] == 1


def test_a_thousand_different_ones_move_a_score_by_no_more_than_the_cap(run):
    """16 × 16 places in C, 60 m apart, each with four kinds of trouble: 1,024 that are no repetitions."""
    spots = [(50.0 + 60 * across, 1050.0 + 60 * up) for across in range(16) for up in range(16)]
    kinds = ("roads", "waste", "obstacles", "street_lighting")
    quiet = ranked_with(run, [(510, 1510)], ["water"])
    loud = ranked_with(run, spots * 4, [kind for kind in kinds for _ in spots])
    assert loud.at["C", "complaints"] == 1024
    moved = loud["score"] - quiet["score"]
    cap = read_scheme("default").options.complaints_cap * 100
    assert 0 < moved["C"] <= cap
    assert moved.drop("C").abs().max() < 1e-9
    assert loud["rank_without_complaints"].equals(quiet["rank_without_complaints"])


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """The demo city in a folder of its own, and a function that ranks it with more complaints."""
    folder = tmp_path_factory.mktemp("demo")
    copy_demo(folder)
    study, scheme = pipeline.open_study(folder)
    whole = pipeline.read_city(study)
    shapes = whole.zones.geometry.to_numpy()
    own = pd.read_csv(folder / "complaints.csv", dtype=str)

    def ranked(more: pd.DataFrame) -> pd.DataFrame:
        pd.concat([own, more]).to_csv(folder / "complaints.csv", index=False)
        heard = place(at_assets(read_layer(study, "complaints", zones=shapes), whole.layers), whole.zones)
        city = replace(whole, layers={**whole.layers, "complaints": heard})
        return pipeline.assess(city, scheme).priorities.set_index("id").sort_index()

    return ranked, own, whole


def test_a_thousand_duplicates_in_the_demo_city(demo):
    """One complaint said again 1,000 times, from doors near by, on any day of the fortnight."""
    ranked, own, _ = demo
    chance = np.random.default_rng(1)
    before = ranked(own[:0])
    again = own[own["id"] == "generated-c-003"].sample(1000, replace=True, random_state=1)
    steps = chance.uniform(-2e-4, 2e-4, (2, 1000))  # within some 20 m
    day = pd.Timestamp(again["date"].iat[0]) + pd.to_timedelta(chance.integers(0, 15, 1000), "D")
    again = again.assign(
        id=[f"again-{n}" for n in range(1000)],
        lon=(again["lon"].astype(float) + steps[0]).round(6).astype(str),
        lat=(again["lat"].astype(float) + steps[1]).round(6).astype(str),
        date=day.strftime("%Y-%m-%d"),
    )
    after = ranked(again)
    assert after["rank"].equals(before["rank"])
    assert after["complaints"].equals(before["complaints"])
    assert after["score"].equals(before["score"])


def test_a_thousand_fabricated_ones_in_the_demo_city(demo):
    """All over Karm al-Loz, all categories, no two alike: its score moves, by no more than the cap, and no other's does."""
    ranked, own, whole = demo
    before = ranked(own[:0])
    zone = "DEMO-24"
    west, south, east, north = whole.zones.to_crs("EPSG:4326").geometry[zone].bounds
    chance = np.random.default_rng(2)
    made = pd.DataFrame(
        {
            "id": [f"made-{n}" for n in range(4000)],
            "category": chance.choice(list(rules()["category"]), 4000),
            "date": (pd.Timestamp("2025-07-01") + pd.to_timedelta(chance.integers(0, 170, 4000), "D")).strftime("%Y-%m-%d"),
            "lon": chance.uniform(west, east, 4000).round(6).astype(str),
            "lat": chance.uniform(south, north, 4000).round(6).astype(str),
        }
    )
    after = ranked(made)
    assert after.at[zone, "complaints"] > before.at[zone, "complaints"] + 1000
    cap = read_scheme("default").options.complaints_cap * 100
    moved = after["score"] - before["score"]
    assert 0 < moved[zone] <= cap
    assert moved.abs().max() <= cap
    assert after["rank_without_complaints"].equals(before["rank_without_complaints"])


# What became of them


def test_follow_up_on_paper():
    """Water is due after 7 days, roads after 21: on 1 February w1 is 24 days late, w2 closed, w3 in time, r1 has a date of its own."""
    frame = pd.DataFrame(
        {
            "id": ["w1", "w2", "w3", "r1", "x", "later"],
            "category": ["water", "water", "water", "roads", "roads", "roads"],
            "zone": ["A", "A", "B", "B", None, "A"],
            "date": pd.to_datetime(["2026-01-01", "2026-01-01", "2026-01-30", "2026-01-20", None, "2026-02-02"]),
            "due": pd.to_datetime([None, None, None, "2026-01-25", None, None]),
            "answered": pd.to_datetime(["2026-01-05", "2026-01-11", None, None, None, None]),
            "closed": pd.to_datetime([None, "2026-01-20", None, None, None, None]),
            "status": ["open", "closed", "open", "open", "open", "open"],
            "changed": [None, "yes", None, "no", None, None],
            "reports": [3.0, 1, 1, 1, 1, 1],
        }
    )
    table = follow_up(frame, pd.Timestamp("2026-02-01"))
    assert table["id"].tolist() == ["w1", "w2", "w3", "r1", "x"]
    assert table["overdue_days"].tolist()[:4] == [24, 0, 0, 7]
    assert np.isnan(table["overdue_days"].iat[4])  # nobody knows since when
    assert overdue(table)["id"].tolist() == ["w1", "r1"]
    figures = by_directorate(table)
    assert figures.loc["water", ["troubles", "reports", "open", "closed", "overdue"]].tolist() == [3, 5, 2, 1, 1]
    assert figures.at["water", "overdue_share"] == 0.5
    assert figures.at["water", "days_to_answer"] == 7  # between 4 and 10
    assert figures.at["water", "changed_share"] == 1
    assert figures.at["roads", "changed_share"] == 0
    assert np.isnan(figures.at["roads", "days_to_answer"])
    earlier = follow_up(frame, pd.Timestamp("2026-01-10"))  # w2 was open then, and nobody had answered it
    assert earlier.set_index("id").loc["w2", ["status", "overdue_days"]].tolist() == ["open", 2]
    assert earlier["days_to_answer"].tolist()[:2] == pytest.approx([4, np.nan], nan_ok=True)
    assert newest(frame) == pd.Timestamp("2026-02-02")
    assert newest(frame[["id"]]) is None
