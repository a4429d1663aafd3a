"""Criteria: what is measured is registered, and what is registered is measured."""

from __future__ import annotations

import pandas as pd
import pytest

from geo import criteria
from geo.confidence import COLUMNS
from geo.criteria import PARTS
from geo.harmonise import Layer
from geo.left_out import together
from geo.pipeline import assess, open_study, read_city
from geo.registers import register
from geo.run import FIRST
from geo.study import LayerSpec
from tests.conftest import CRS, layer, lines, points, write_town


def test_every_registered_measure_is_produced_and_every_column_registered(tmp_path):
    """The town with all four networks, every damage state, one structure visited, and bounds for people."""
    states = list(register("states"))
    pipe = lines([(0, 200), (100, 200)])
    folder = write_town(
        tmp_path,
        damage=layer(points(*((100 * n + 50, 600) for n in range(len(states)))), grade=states),
        **{name: layer(pipe, state=["severe"]) for name in ("sewerage", "electricity", "telecom")},
    )
    study, scheme = open_study(folder)
    again = layer(points((50, 600)), state=["none"], row=[1], id=["v"])
    visit = Layer("damage/field", again, LayerSpec(path="v"), together([], CRS), (), 1, "0" * 64, "study", rows_chosen=1)
    made = assess(read_city(study, accepted={"damage/field": visit}), scheme)
    assert set(made.measures()) == set(register("measures"))
    known = {f"{name}{part}" for name in register("measures") for part in PARTS} | {
        *FIRST,
        "why_ar",
        "why_en",
        "geometry",
        "rank_without_complaints",
        *COLUMNS,
        "would_be_ar",
        "would_be_en",
    }
    of_the_score = ("contribution_", "axis_", "sector_", "chance_top_")
    assert [column for column in made.priorities if column not in known and not column.startswith(of_the_score)] == []
    for name, row in register("measures").items():
        assert (f"{name}_low" in made.priorities) == (row["uncertain"] == "yes"), name


def test_column_that_nobody_registered_is_refused(town, monkeypatch):
    monkeypatch.setitem(
        criteria.MEASURED, "stray", lambda city, scheme, people: pd.DataFrame({"stray": 1.0}, index=city.zones.index)
    )
    study, scheme = open_study(town())
    with pytest.raises(KeyError, match="stray"):
        assess(read_city(study), scheme)


def test_measures_stand_in_the_order_of_the_register(town_run):
    order = list(register("measures"))
    assert town_run.measures() == sorted(town_run.measures(), key=order.index)


@pytest.mark.parametrize("name", register("measures"))
def test_measure_has_what_a_page_needs(name):
    row = register("measures")[name]
    assert row["label_en"] != row["label_ar"]
    assert row["meaning_ar"]
    assert row["unit"] in register("units")
    assert row["sector"] in register("sectors")
    assert row["decimals"].isdigit()
