"""Confidence: ranks that hold, chances at the cut-off, bands, and each assumption proved to have been applied."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from api.cli import app
from geo import confidence, ranking, scoring
from geo.confidence import of_hundred
from geo.errors import SchemeError
from geo.pipeline import assess, open_study, read_city
from geo.registers import register
from geo.scheme import Confidence, read_scheme
from tests.conftest import write_town

DEMO = Path(__file__).parents[1] / "data" / "demo"


def sure_of(measures, scheme):
    ranks = ranking.rank(scoring.score(measures, scheme).table["score"])
    return confidence.confidence(measures, scheme, ranks)


def with_confidence(scheme, **changes):
    return scheme.model_copy(update={"confidence": Confidence(**{**scheme.confidence.model_dump(), **changes})})


@pytest.fixture(scope="module")
def demo():
    """Measures of the demo city and its scheme, with fewer draws."""
    study, scheme = open_study(DEMO)
    run = assess(read_city(study), scheme)
    names = [name for name in run.priorities if name.startswith(tuple(register("measures"))) and "chance" not in name]
    return run, run.priorities.set_index("id")[names], with_confidence(scheme, draws=2_000)


# The demo city


def test_every_draw_is_counted(demo_run):
    ranked = demo_run.priorities[demo_run.priorities["status"] == "ranked"]
    table = demo_run.tables["acceptability"].set_index("id")
    assert len(table) == len(ranked)
    assert table.sum(axis=1).to_numpy() == pytest.approx(np.ones(len(ranked)))
    assert ranked["chance_first"].sum() == pytest.approx(1.0, abs=0.01)  # more only where two share rank 1
    assert ranked["chance_top_10"].sum() == pytest.approx(10.0, abs=0.01)
    assert ranked.set_index("id")["chance_first"].sort_index().tolist() == table["rank_1"].tolist()


def test_intervals_hold_the_middle_and_most_draws(demo_run):
    ranked = demo_run.priorities[demo_run.priorities["status"] == "ranked"].set_index("id")
    assert (ranked["rank_low"] <= ranked["rank_median"]).all()
    assert (ranked["rank_median"] <= ranked["rank_high"]).all()
    table = demo_run.tables["acceptability"].set_index("id").loc[ranked.index].to_numpy()
    for chances, low, high in zip(table, ranked["rank_low"], ranked["rank_high"], strict=True):
        assert chances[low - 1 : high].sum() >= 0.9 - 1e-9
    inside = (ranked["rank"] >= ranked["rank_low"]) & (ranked["rank"] <= ranked["rank_high"])
    assert inside.mean() > 0.9


def test_who_is_not_ranked_has_no_chance(demo_run):
    apart = demo_run.priorities[demo_run.priorities["status"] != "ranked"]
    assert apart[["rank_low", "rank_high", "rank_median", "band", "chance_first", "chance_top_10"]].isna().all(axis=None)


def test_bands_go_down_the_list(demo_run):
    ranked = demo_run.priorities[demo_run.priorities["status"] == "ranked"]
    assert ranked["band"].iat[0] == 1
    assert ranked["band"].diff().dropna().isin([0, 1]).all()
    pairs = demo_run.tables["pairwise"].set_index("id")
    sure = demo_run.info["scheme"]["confidence"]["sure"]
    for _, band in ranked.groupby("band"):
        head = band["id"].iat[0]
        assert (pairs.loc[head, band["id"].tolist()[1:]] < sure).all()


def test_pairs_are_a_chance_and_its_opposite(demo_run):
    pairs = demo_run.tables["pairwise"].set_index("id").to_numpy()
    both = pairs + pairs.T
    assert (np.diag(pairs) == 0).all()
    assert both[~np.eye(len(both), dtype=bool)].min() > 0.99  # the rest are draws in which the two share a rank


def test_central_weights_put_it_first(demo_run):
    """Under its central weights, with the data at their best values, one whose chance is large comes first."""
    table = demo_run.tables["central_weights"].set_index("id")
    never = table.drop(columns="confidence").isna().all(axis=1)
    chances = demo_run.priorities.set_index("id")["chance_first"]
    assert (chances[table.index[never]] == 0).all()
    assert (chances[table.index[~never]] > 0).all()
    weights = table.loc[~never].drop(columns="confidence")
    assert weights.sum(axis=1).to_numpy() == pytest.approx(np.ones(len(weights)))
    assert table.loc[~never, "confidence"].between(0, 1).all()


def test_finding_names_who_is_not_separable(demo_run):
    (found,) = [one for one in demo_run.info["findings"] if one["code"] == "confidence"]
    ranked = demo_run.priorities[demo_run.priorities["status"] == "ranked"].set_index("id")
    sure = demo_run.info["scheme"]["confidence"]["sure"]
    chance = ranked["chance_top_10"]
    unsure = chance.index[(chance < sure) & (chance > 1 - sure)]
    assert len(unsure) > 0
    assert sorted(found["rows"]) == sorted(unsure)


# Assumptions


def test_every_assumption_is_reported_with_what_it_does(demo_run):
    table = demo_run.tables["assumptions"].set_index("id")
    assert set(table.index) == set(register("assumptions"))
    assert (table["draws"] == 10_000).all()
    moving = table[table["values"] > 0]
    assert {"weights", "factors", "population", "reach", "bounds"} <= set(moving.index)
    assert (moving.drop(index="sample")["places_moved"] > 0).all()
    assert (table.loc[table["values"] == 0, ["places_moved", "changed_at_cutoff"]] == 0).all(axis=None)


@pytest.mark.parametrize("name", register("assumptions"))
def test_an_assumption_left_away_is_not_varied(demo, name):
    _, measures, scheme = demo
    rest = tuple(one for one in register("assumptions") if one != name)
    found = sure_of(measures, with_confidence(scheme, vary=rest, draws=500)).tables["assumptions"].set_index("id")
    assert not found.loc[name, "varied"]
    assert found.loc[name, ["values", "draws", "places_moved"]].tolist() == [0, 0, 0]
    assert found.loc[list(rest), "varied"].all()


def test_nothing_varied_is_the_list_itself(demo):
    run, measures, scheme = demo
    found = sure_of(measures, with_confidence(scheme, vary=(), draws=100)).table
    ranks = run.priorities.set_index("id")["rank"].reindex(found.index)
    for column in ("rank_low", "rank_median", "rank_high"):
        assert (found[column].dropna() == ranks.dropna()).all()
    assert set(found["chance_top_10"].dropna()) <= {0.0, 1.0}


def test_unknown_values_widen_ranks(tmp_path):
    """The state of most of B's pipes is unknown and D was not surveyed: what is unknown is drawn, and said to be."""
    study, scheme = open_study(write_town(tmp_path))
    table = assess(read_city(study), scheme).tables["assumptions"].set_index("id")
    assert table.loc["unknown", "values"] > 0


# The same again


def test_the_same_seed_gives_the_same_whatever_the_order_of_rows(demo):
    _, measures, scheme = demo
    one, turned = sure_of(measures, scheme), sure_of(measures.sample(frac=1, random_state=1), scheme)
    pd.testing.assert_frame_equal(one.table.sort_index(), turned.table.sort_index())
    for name in one.tables:
        pd.testing.assert_frame_equal(one.tables[name], turned.tables[name])


def test_another_seed_agrees_within_its_error(demo):
    _, measures, scheme = demo
    one, other = (sure_of(measures, with_confidence(scheme, seed=seed, draws=10_000)).table for seed in (1, 2))
    assert (one["chance_top_10"] - other["chance_top_10"]).abs().max() < 0.03
    assert not one.equals(other)


def test_seed_is_part_of_the_run(town):
    study, scheme = open_study(town())
    city = read_city(study)
    first, second = assess(city, scheme), assess(city, with_confidence(scheme, seed=2))
    assert first.info["seed"] == 1
    assert first.id != second.id


@pytest.mark.parametrize("weights", ["uniform", "ordered", "intervals", "dirichlet"])
def test_weights_of_every_kind(demo, weights):
    _, measures, scheme = demo
    bounds = {one.measure: (one.weight / 2, min(1.0, one.weight * 2)) for one in scheme.criteria}
    found = sure_of(measures, with_confidence(scheme, weights=weights, intervals=bounds, vary=("weights",))).table
    assert found["chance_top_10"].sum() == pytest.approx(10, abs=0.01)


def test_less_trust_in_the_weights_widens_the_ranks(demo):
    _, measures, scheme = demo
    width = []
    for concentration in (500.0, 50.0, 5.0):
        found = sure_of(measures, with_confidence(scheme, concentration=concentration, vary=("weights",))).table
        width.append((found["rank_high"] - found["rank_low"]).sum())
    assert width == sorted(width)
    assert width[0] < width[2]


@pytest.mark.parametrize("method", ["geometric_mean", "topsis", "spotis"])
def test_other_methods_are_drawn_by_their_own_scores(demo, method):
    """With nothing varied every draw is the list of that method."""
    _, measures, scheme = demo
    chosen = with_confidence(scheme.model_copy(update={"method": method}), vary=(), draws=100)
    ranks = ranking.rank(scoring.score(measures, chosen).table["score"])["rank"]
    found = sure_of(measures, chosen).table
    assert (found["rank_median"].dropna() == ranks.dropna()).all()


# Few, many, wrong


def test_two_are_enough_and_one_is_not(demo):
    _, measures, scheme = demo
    ranked = measures[scoring.score(measures, scheme).table["score"].notna()]
    assert sure_of(ranked.head(1), scheme).table.columns.empty
    assert sure_of(ranked.head(2), scheme).table["chance_first"].sum() == pytest.approx(1, abs=0.01)


def test_too_many_are_said_and_not_drawn(demo, monkeypatch):
    _, measures, scheme = demo
    monkeypatch.setattr(confidence, "PAIRS", 20)
    found = sure_of(measures, scheme)
    assert [one.code for one in found.findings] == ["confidence-skipped"]
    assert found.table.columns.empty


@pytest.mark.parametrize(
    ("settings", "code"),
    [
        ('vary = ["weather"]', "unknown-name"),
        (
            'weights = "intervals"\nintervals = { damage_index = [0.9, 1.0], people_in_damaged_homes = [0.9, 1.0] }',
            "weight-intervals",
        ),
        ('weights = "intervals"\nintervals = { damage_index = [0.5, 0.2] }', "weight-intervals"),
        ("intervals = { nothing = [0.1, 0.2] }", "unknown-name"),
    ],
)
def test_settings_that_make_no_sense_are_refused(tmp_path, settings, code):
    text = DEMO.parent.joinpath("schemes", "default.toml").read_text(encoding="utf-8")
    (tmp_path / "own.toml").write_text(text + "\n[confidence]\n" + settings + "\n", encoding="utf-8")
    with pytest.raises(SchemeError) as raised:
        read_scheme("own.toml", folder=tmp_path)
    assert code in {one.code for one in raised.value.findings}


# Said


def test_sentence_and_columns_say_the_same(demo_run):
    row = demo_run.priorities.iloc[3]
    assert f"between rank {row['rank_low']} and {row['rank_high']}" in row["why_en"]
    chance = of_hundred(row["chance_top_10"]).replace(">", "more than ").replace("<", "less than ")
    assert f"among the first 10 in {chance} of 100" in row["why_en"]
    assert f"بين {row['rank_low']} و{row['rank_high']}" in row["why_ar"]


def test_command_shows_chances_and_assumptions():
    result = CliRunner().invoke(app, ["confidence", str(DEMO), "--top", "3"], obj="en")
    assert result.exit_code == 0
    assert "10,000" in result.output
    assert "Damage factors" in result.output
    assert "can't be told apart" in result.output


# Aleppo


def test_aleppo_first_ten(shared):
    """The whole run with 10,000 draws: some are surely among the first ten, others can't be told apart there."""
    from tests.test_real_layers import ALEPPO

    study, scheme = open_study(ALEPPO)
    run = assess(read_city(study), scheme)
    ranked = run.priorities[run.priorities["status"] == "ranked"].set_index("id")
    chance = ranked["chance_top_10"]
    assert chance.sum() == pytest.approx(10, abs=0.05)
    surely, open_ones = chance.index[chance >= 0.95], chance.index[(chance < 0.95) & (chance > 0.05)]
    assert 0 < len(surely) < 10
    assert len(surely) + len(open_ones) >= 10
    assert (ranked.loc[surely, "rank"] <= 10).all()
