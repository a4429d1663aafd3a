"""Complaints: counted where they came from; silence is not contentment."""

from __future__ import annotations

import numpy as np
import pytest


def test_complaints_and_per_1000(plain_town):
    """Two from 1,000 people, one from 2,000, none from the rest."""
    assert plain_town["complaints"].tolist() == [2, 1, 0, 0]
    assert plain_town["complaints_per_1000"].tolist() == pytest.approx([2, 0.5, 0, 0])


def test_silence_is_unknown_where_nobody_said_that_they_listen(measured):
    town = measured(entries={"complaints": {"extent": None}})
    assert town["complaints"].tolist()[:2] == [2, 1]
    assert town.loc[["C", "D"], "complaints"].isna().all()
    assert town.at["C", "complaints_per_1000_note"] == "extent-unknown"


def test_complaints_without_people(measured):
    town = measured(without=("population",))
    assert town["complaints"].tolist() == [2, 1, 0, 0]
    assert np.isnan(town["complaints_per_1000"]).all()
    assert set(town["complaints_per_1000_note"]) == {"people-unknown"}
