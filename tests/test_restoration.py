"""Restoration on the Shelby County benchmark: the published losses of exact plans, and never worse than them.

Three of the twelve scenarios here, so that the tests stay quick; all of them in `tests/benchmarks/test_sequence.py`.
"""

from __future__ import annotations

import numpy as np
import pytest

from geo.restoration import best_plan, per_period
from geo.sequence import greedy, static
from tests import shelby

FEW = ("Set1_Sce13", "Set43_Sce77", "Set36_Sce85")


@pytest.fixture(scope="module")
def few(shared):
    return [one for one in shelby.scenarios(shared) if one.name in FEW]


def test_all_intact_leaves_what_the_rules_say(shared):
    for as_written in (True, False):
        made = shelby.networks(shared, FEW[0], as_written=as_written)
        assert made.unmet(np.ones_like(made.working)) == pytest.approx(shelby.INTACT, abs=5e-5)
        assert (len(made.nodes), len(made.arcs), len(made.dependencies)) == (167, 217, 50)


def test_damage_of_every_scenario_is_that_of_the_file(shared):
    for one in shelby.scenarios(shared):
        assert len(shelby.networks(shared, one.name, as_written=True).broken) == one.damaged


def test_exact_by_period_is_the_published_loss(shared, few):
    """As computed: one dependee of several is enough, and the state before the first repair counts."""
    for one in few:
        todo = shelby.problem(shared, one, as_written=False)
        assert shelby.loss(per_period(todo), as_written=False) == pytest.approx(one.published["iINDP"], abs=1e-6)


def test_best_plan_is_never_worse_than_the_published_ones(shared, few):
    for one in few[:2]:
        todo = shelby.problem(shared, one, as_written=False)
        made = best_plan(todo)
        lost = shelby.loss(made, as_written=False)
        assert lost <= one.published["iINDP"] + 1e-6
        assert lost <= one.published["roll3"] + 1e-6
        assert made.gap < 1e-4
        for plain in (static, greedy):
            assert made.lost <= plain(todo).lost


def test_as_written_needs_are_harder(shared, few):
    """An element that needs all of its dependees comes back no sooner than one that needs one of them."""
    one = next(one for one in few if one.name == FEW[0])
    written, computed = (greedy(shelby.problem(shared, one, as_written=way)) for way in (True, False))
    assert written.periods["unmet_before"].iloc[0] >= computed.periods["unmet_before"].iloc[0]
    assert written.lost_after < written.lost
