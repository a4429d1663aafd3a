"""Value of information: which neighbourhood to survey next, and that surveying in that order finds the right ones sooner."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import ttest_rel, wilcoxon

from geo import scenarios
from geo.errors import SchemeError
from geo.information import drawn_scores, local, survey_next
from geo.pipeline import open_study, read_city
from geo.scheme import Confidence, Criterion, Scheme, read_factors
from geo.scoring import score

ROOT = Path(__file__).parents[1]
TARMIM = Path(sys.executable).with_name("tarmim")
NAMES = ("water_damaged_share", "road_debris_share", "electricity_damaged_share", "damage_index")
CITIES, SURVEYS = 100, 8


def scheme_of(weights=(0.4, 0.3, 0.2, 0.1), *, cutoff=6, **given):
    criteria = tuple(
        Criterion(
            measure=name, axis="basic_services", weight=weight, direction="more", goalposts=(0, 1), reason={"ar": "س", "en": "r"}
        )
        for name, weight in zip(NAMES, weights, strict=False)
    )
    return Scheme(
        id="own", name={"ar": "م", "en": "own"}, factors=read_factors("tarmim"), criteria=criteria,
        minimum_coverage=0.5, confidence=Confidence(cutoff=cutoff), **given,
    )  # fmt: skip


def test_by_hand():
    """One criterion, one place. a is 0.5; b's best is 0.4, but it is anywhere between 0.2 and 0.9; c is 0.1 for certain.

    b beats a when its triangle (0.2, 0.4, 0.9) is above 0.5: (0.9 − 0.5)² / ((0.9 − 0.2)(0.9 − 0.4)) = 0.16 / 0.35 = 0.457. So the
    list, which names a, is wrong with 0.457, and a survey of b would always put it right. Of a and c nothing is left to learn.
    """
    table = pd.DataFrame(
        {NAMES[0]: [0.5, 0.4, 0.1], f"{NAMES[0]}_low": [0.5, 0.2, 0.1], f"{NAMES[0]}_high": [0.5, 0.9, 0.1]}, index=["a", "b", "c"]
    )
    found = survey_next(table, scheme_of((1,), cutoff=1), draws=20_000)
    assert found["order"].dropna().to_dict() == {"b": 1}
    assert found.at["b", "gain"] == pytest.approx(0.16 / 0.35, abs=0.015)
    assert found.at["a", "wrong"] == pytest.approx(0.16 / 0.35, abs=0.015)
    assert found.loc[["a", "c"], "gain"].tolist() == [0, 0]
    assert found.at["c", "chance_top"] == 0


def test_unknown_is_drawn_as_elsewhere():
    """c's only criterion is unknown: as in a or in b, half and half. With two places c is in when it is as a, or ties with b."""
    table = pd.DataFrame({NAMES[0]: [0.9, 0.1, np.nan]}, index=["a", "b", "c"])
    drawn = drawn_scores(table, scheme_of((1,)), 2_000, 1)
    assert set(np.unique(drawn[:, 2].round(9))) == {10.0, 90.0}
    assert (drawn[:, 2] > 50).mean() == pytest.approx(0.5, abs=0.05)
    found = survey_next(table, scheme_of((1,), cutoff=1))
    assert found.index[0] == "c"
    assert found.at["c", "unknown"] == [NAMES[0]]
    assert pd.isna(found.at["c", "rank"])


def test_what_goes_together_is_drawn_together():
    """Two criteria that are both 0 or both 1 elsewhere are never drawn apart."""
    table = pd.DataFrame({NAMES[0]: [1.0, 0.0, np.nan], NAMES[1]: [1.0, 0.0, np.nan]}, index=["a", "b", "c"])
    drawn = drawn_scores(table, scheme_of((0.5, 0.5)), 500, 1)
    assert set(np.unique(drawn[:, 2].round(9))) == {0.0, 100.0}


def test_certain_city_has_nothing_to_learn():
    found = survey_next(pd.DataFrame({NAMES[0]: [0.9, 0.1, 0.5]}, index=["a", "b", "c"]), scheme_of((1,), cutoff=1))
    assert found["order"].isna().all()
    assert not found[["gain", "wrong"]].to_numpy().any()


def test_all_fit_in():
    """Where the first k are all, no survey changes who they are."""
    table = pd.DataFrame({NAMES[0]: [0.9, np.nan, 0.5]}, index=["a", "b", "c"])
    assert not survey_next(table, scheme_of((1,), cutoff=3))["gain"].any()


def simulated(seed, n=30):
    """A city as it is, and as it is known: most values between bounds around them, of four in ten some not at all."""
    rng = np.random.default_rng(seed)
    need = rng.beta(1.5, 2.5, (n, 1))
    truth = np.clip(need + rng.normal(0, 0.18, (n, 4)), 0, 1)
    half = rng.uniform(0, 0.25, (n, 4)) * (rng.random((n, 1)) < 0.7)
    best = np.clip(truth + rng.triangular(-1, 0, 1, (n, 4)) * half, 0, 1)
    unknown = (rng.random((n, 4)) < 0.35) & (rng.random((n, 1)) < 0.4)
    columns = {}
    for at, name in enumerate(NAMES):
        for end, values in (("", best), ("_low", np.clip(best - half, 0, 1)), ("_high", np.clip(best + half, 0, 1))):
            columns[f"{name}{end}"] = np.where(unknown[:, at], np.nan, values[:, at])
    index = [f"u{k:02d}" for k in range(n)]
    return pd.DataFrame(columns, index=index), pd.DataFrame(truth, index=index, columns=list(NAMES))


def surveyed(table, truth, unit):
    told = table.copy()
    for name in NAMES:
        for end in ("", "_low", "_high"):
            told.loc[unit, f"{name}{end}"] = truth.at[unit, name]
    return told


def first(table, scheme):
    return set(score(table, scheme).table["score"].nlargest(scheme.confidence.cutoff).index)


def found_by(seed, chosen):
    """Share of the truly first k in the list, after each survey."""
    scheme = scheme_of()
    table, truth = simulated(seed)
    right, left, shares = first(truth, scheme), list(table.index), []
    for number in range(SURVEYS):
        unit = chosen(table, left, scheme, number)
        left.remove(unit)
        table = surveyed(table, truth, unit)
        shares.append(len(first(table, scheme) & right) / scheme.confidence.cutoff)
    return shares


def test_our_order_finds_the_first_sooner_than_chance():
    """100 simulated cities of 30 neighbourhoods, k = 6, hidden truth, 8 surveys one after another, each order on the same cities.

    Measured: 85 % of the truly first six are in the list before any survey; after 1, 4 and 8 surveys 90, 95 and 99 % in our order
    against 86, 87 and 89 % by chance; on average 95.5 against 87.1 %.
    """
    rng = np.random.default_rng(9)

    def ours(table, left, scheme, number):
        order = survey_next(table, scheme, draws=400, seed=number).index
        return next(one for one in order if one in left)

    def chance(table, left, scheme, number):
        return rng.choice(left)

    our, random = (np.array([found_by(seed, way) for seed in range(CITIES)]) for way in (ours, chance))
    after = our.mean(axis=1) - random.mean(axis=1)
    assert after.mean() > 0.06
    assert ttest_rel(our.mean(axis=1), random.mean(axis=1), alternative="greater").pvalue < 1e-12
    assert wilcoxon(our.mean(axis=1), random.mean(axis=1), alternative="greater").pvalue < 1e-10
    assert (our.mean(axis=0) > random.mean(axis=0)).all(), "after every number of surveys"
    assert our[:, -1].mean() > 0.97


def test_demo_city():
    """The three that can't be assessed are among the first four to survey; more draws or another seed do not turn that around."""
    study, scheme = open_study(ROOT / "data" / "demo")
    city = read_city(study)
    table = local(city, scheme, scenarios.people(city))
    for seed in (1, 2):
        found = survey_next(table, scheme, seed=seed)
        assert set(found.index[found["rank"].isna()]) <= set(found.index[:4])
        assert len(found) == len(city.zones)
        assert found["chance_top"].sum() == pytest.approx(scheme.confidence.cutoff)
        assert found["order"].dropna().tolist() == list(range(1, found["order"].notna().sum() + 1))
    assert survey_next(table, scheme).equals(survey_next(table, scheme)), "the same seed, the same order"


def test_what_is_wrong_everywhere_is_not_left_to_a_survey():
    """The bounds of the damage factors are gone, those of the part that was not surveyed stay."""
    from geo import criteria

    study, scheme = open_study(ROOT / "data" / "demo")
    city = read_city(study)
    people = scenarios.people(city)
    whole, here = criteria.measure(city, scheme, people), local(city, scheme, people)
    for name in ("damage_index", "road_debris_share"):
        widths = [(one[f"{name}_high"] - one[f"{name}_low"]).fillna(0) for one in (whole, here)]
        assert (widths[1] <= widths[0] + 1e-12).all()
        assert (widths[1] < widths[0] - 1e-3).any()
        assert whole[name].equals(here[name])


def test_relative_schemes_are_refused():
    with pytest.raises(SchemeError, match="depend on the other"):
        survey_next(pd.DataFrame({NAMES[0]: [0.9, 0.1]}, index=["a", "b"]), scheme_of((1,), normalisation="rank"))


@pytest.mark.parametrize("lang", ["en", "ar"])
def test_command(lang, tmp_path):
    words = ("survey-next", "data/demo", "--lines", "4", "--lang", lang, "--out", tmp_path / "next.xlsx")
    done = subprocess.run([TARMIM, *map(str, words)], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("DEMO-") == 4
    assert "{" not in done.stdout
    table = pd.read_excel(tmp_path / "next.xlsx", engine="openpyxl")
    assert len(table) == 36
    assert table["gain"].max() > 0.5
