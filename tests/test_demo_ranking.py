"""The ranking of the demo city is the one written down in `data/demo/expected.csv`.

A change that moves a rank must say so by changing that file: `python tests/test_demo_ranking.py` writes it anew.
"""

import csv
from pathlib import Path

import pytest

from geo import pipeline

DEMO = Path(__file__).parents[1] / "data" / "demo"
EXPECTED = DEMO / "expected.csv"
COLUMNS = ["rank", "id", "status", "score", "score_low", "score_high", "coverage"]


def ranking():
    study, scheme = pipeline.open_study(DEMO)
    return pipeline.assess(pipeline.read_city(study), scheme)


@pytest.fixture(scope="module")
def run():
    return ranking()


def test_expected_ranking(run):
    with EXPECTED.open(encoding="utf-8", newline="") as lines:
        expected = list(csv.DictReader(lines))
    table = run.priorities
    assert [row["id"] for row in expected] == table["id"].tolist()
    for column in COLUMNS[3:]:
        values = [float(row[column]) if row[column] else float("nan") for row in expected]
        assert table[column].tolist() == pytest.approx(values, abs=1e-4, nan_ok=True), column
    assert [row["rank"] for row in expected] == [
        "" if value != value else str(value) for value in table["rank"].astype(object).where(table["rank"].notna(), float("nan"))
    ]


def test_contributions_sum_to_the_score(run):
    table = run.priorities[run.priorities["status"] == "ranked"]
    parts = table[[f"contribution_{name}" for name in run.criteria()]].sum(axis=1)
    assert (parts - table["score"]).abs().max() < 1e-9


def test_unsurveyed_neighbourhoods_are_not_ranked_low(run):
    apart = run.priorities[run.priorities["status"] == "not_assessable"]
    assert len(apart) == 3
    assert apart["score"].isna().all()
    assert apart["why_en"].str.contains("survey is needed").all()


if __name__ == "__main__":
    ranking().priorities[COLUMNS].round(6).to_csv(EXPECTED, index=False, lineterminator="\n")
