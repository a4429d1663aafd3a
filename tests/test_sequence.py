"""Sequence: two parts in a row against one small one, on paper; nothing before its prerequisite; what can be wrong."""

from __future__ import annotations

import json
from itertools import pairwise, permutations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geo.restoration import Solver, best_plan, improved, per_period, rolling, window
from geo.sequence import SequenceError, greedy, loss, placed, plan, repairs, static
from geo.service import build
from tests.test_service import arcs, needs, nodes

QUICK = Solver(seconds=60)
PLANS = {"static": static, "greedy": greedy, "period": per_period, "rolling": rolling, "best": best_plan}


def micro():
    """Pipes a and b in a row to 1,000 people, pipe c to 400; one crew."""
    left = nodes(well=("water", 1400.0, 0, True), m=("water", 0, 0, True), v1=("water", 0, 1000, True), v2=("water", 0, 400, True))
    right = arcs("!well-m", "!m-v1", "!well-v2").set_axis(list("abc"))
    return build(left, right)


@pytest.fixture(scope="module")
def published(shared):
    return json.loads((shared / "test_vectors.json").read_text(encoding="utf-8"))["restoration_micro"]


def test_every_order_of_the_published_example(published):
    todo = repairs(micro(), allowance=1)
    for order in permutations("abc"):
        assert loss(todo, placed(todo, order)) == published["person_periods"].get("".join(order), published["optimal"])


def test_two_in_a_row_first_and_greedy_second(published):
    todo = repairs(micro(), allowance=1)
    assert greedy(todo).lost == published["one_step_greedy"] == 3400
    best = best_plan(todo, solver=QUICK)
    assert best.lost == published["optimal"] == 3200
    assert best.order["element"].tolist()[2] == "c"
    assert best.order["served"].tolist() == [0, 1000, 400]
    assert best.periods["unmet_before"].tolist() == [1400, 1400, 400]
    assert best.periods["unmet_after"].tolist() == [1400, 400, 0]
    assert best.lost_after == 1800


def test_looking_one_period_ahead_takes_the_small_one():
    """With one crew the exact plan of a single period sees 400 people, never the 1,000 behind two repairs."""
    todo = repairs(micro(), allowance=1)
    assert per_period(todo, solver=QUICK).lost == 3400
    assert rolling(todo, periods=3, solver=QUICK).lost == 3200
    assert rolling(todo, periods=3, solver=QUICK).gap < 1e-3


def test_improving_mends_a_bad_plan_and_spoils_none():
    todo = repairs(micro(), allowance=1)
    bad = plan(todo, placed(todo, "acb"), method="bad")
    assert bad.lost == 3800
    mended = improved(todo, bad, solver=QUICK)
    assert (mended.lost, mended.method) == (3200, "improved")
    assert improved(todo, mended, solver=QUICK) is mended


def test_effort_and_allowance_by_period():
    """a takes two crews, which are there from the second period on: b, then a, then c. c, a, b would be 3,400."""
    todo = repairs(micro(), allowance=[1, 2], effort={"a": 2})
    best = best_plan(todo, solver=QUICK)
    assert best.period_of() == {"b": 0, "a": 1, "c": 2}
    assert best.periods["effort"].tolist() == [1, 2, 1]
    assert best.lost == 3200


def test_road_has_to_be_cleared_before_the_pipe():
    """Clearing serves nobody and is planned all the same, before the pipe that lies under the rubble."""
    todo = repairs(micro(), allowance=1, effort={"clear": 1.0}, prerequisites=[("c", "clear")])
    for made in (make(todo) for make in PLANS.values()):
        assert made.period_of()["clear"] < made.period_of()["c"]
        assert len(made.order) == 4
    assert best_plan(todo, solver=QUICK).lost == 1400 * 2 + 400 * 2


def test_pump_waits_for_its_feeder():
    """The feeder serves nobody by itself; with the pump broken too, both belong into one stretch, before the 50 homes."""
    left = nodes(
        plant=("power", 9.0, 0, True), meter=("power", 0, 0, True),
        well=("water", 900.0, 0, True), pump=("water", 0, 0, False), taps=("water", 0, 300, True), farm=("water", 0, 50, True),
    )  # fmt: skip
    right = arcs("!plant-meter", "well-pump", "pump-taps", "!well-farm")
    both = build(left, right, needs(("pump", "meter", pd.NA, "supplied")))
    todo = repairs(both, allowance=1)
    best = best_plan(todo, solver=QUICK)
    assert best.order["element"].tolist()[2] == "well-farm"
    assert best.lost == 350 + 350 + 50
    assert best.periods["water"].round(4).tolist() == [1, round(50 / 350, 4), 0]


def test_nothing_broken_is_an_empty_plan():
    todo = repairs(build(nodes(a=("water", 1.0, 1, True)), arcs()), allowance=1)
    for make in PLANS.values():
        made = make(todo)
        assert (len(made.order), made.lost) == (0, 0)


def test_everything_wrong_is_said_at_once():
    with pytest.raises(SequenceError) as caught:
        repairs(micro(), allowance=1, effort={"a": 3, "x": 1, "y": 1}, prerequisites=[("x", "y"), ("y", "x"), ("a", "nowhere")])
    found = {one.code: one for one in caught.value.findings}
    assert found["sequence-unknown"].rows == ("nowhere",)
    assert set(found["sequence-circle"].rows) == {"x", "y"}
    assert found["sequence-effort"].rows == ("a",)
    assert "Allow at least 3 a period" in str(found["sequence-effort"].remedy)
    with pytest.raises(SequenceError, match="not negative"):
        repairs(micro(), allowance=[1, -1])


def test_what_works_is_taken_as_done():
    todo = repairs(micro(), allowance=1, prerequisites=[("a", "well")])
    assert todo.needs["a"] == frozenset()


def random_networks(rng, most):
    """A small pair of networks with broken parts and needs between them."""
    count = int(rng.integers(4, 8))
    names = [f"n{number}" for number in range(count)]
    left = pd.DataFrame(
        {
            "network": np.where(np.arange(count) < count // 2, "power", "water"),
            "supply": np.where(rng.random(count) < 0.4, rng.integers(5, 30, count), 0).astype(float),
            "people": rng.integers(0, 20, count),
            "working": rng.random(count) < 0.7,
        },
        index=names,
    )
    pairs = [
        (a, b) for a in range(count) for b in range(a) if left["network"].iloc[a] == left["network"].iloc[b] and rng.random() < 0.6
    ]
    right = pd.DataFrame(
        {
            "tail": [names[a] for a, _ in pairs],
            "head": [names[b] for _, b in pairs],
            "capacity": rng.choice([4.0, 10.0, np.inf], len(pairs)),
            "working": rng.random(len(pairs)) < 0.5,
        },
        index=[f"e{number}" for number in range(len(pairs))],
    )
    half = count // 2
    lines = [
        (names[rng.integers(half, count)], names[rng.integers(0, half)], rng.choice(["", "g"]), rng.choice(["working", "supplied"]))
        for _ in range(int(rng.integers(0, 4)))
    ]
    both = build(left, right, needs(*lines))
    broken = list(both.broken)
    for extra in broken[most:]:
        (both.nodes if extra in both.nodes.index else both.arcs).loc[extra, "working"] = True
    return build(both.nodes, both.arcs, both.dependencies)


def random_repairs(rng, both=None, most=6):
    """Repairs of a random pair of networks with two works beside them: prerequisites, efforts, uneven allowances."""
    both = random_networks(rng, most) if both is None else both
    works = [*both.broken, "clear-1", "clear-2"]
    order = list(rng.permutation(works))
    before = [(after, one) for one, after in pairwise(order) if rng.random() < 0.4]
    before += [(order[-1], order[0])] if rng.random() < 0.3 else []
    effort = {one: float(rng.integers(1, 3)) for one in works}
    return repairs(both, allowance=[float(one) for one in rng.integers(2, 4, 2)], effort=effort, prerequisites=before)


def assert_sound(todo, made):
    """Every repair once, nothing before what it needs, no period above its allowance, and the order says the same as the periods."""
    when = made.period_of()
    assert sorted(made.order["element"]) == sorted(todo.effort.index)
    place = {one: number for number, one in enumerate(made.order["element"])}
    for one, before in todo.needs.items():
        assert all(when[other] <= when[one] and place[other] < place[one] for other in before)
    for period, used in made.periods["effort"].items():
        assert used <= todo.room(period - 1) + 1e-9
    assert made.order["period"].is_monotonic_increasing
    assert made.lost == pytest.approx(loss(todo, when))
    assert made.periods["unmet_after"].is_monotonic_decreasing or np.diff(made.periods["unmet_after"]).max() < 1e-9


def test_nothing_is_scheduled_before_its_prerequisite():
    """1,000 random instances (100 pairs of networks, ten sets of works each) the plain ways, ten of them also the exact ones."""
    rng = np.random.default_rng(7)
    needed = 0
    pairs = [random_networks(rng, 6) for _ in range(100)]
    for number in range(1000):
        todo = random_repairs(rng, pairs[number // 10])
        needed += sum(len(before) for before in todo.needs.values())
        for name, make in PLANS.items():
            if number % 100 == 0 or name in ("static", "greedy"):
                assert_sound(todo, make(todo))
    assert needed > 1000


def test_period_is_exact_and_a_long_window_is_the_best_there_is():
    """Against every order of up to five repairs: the window over all periods finds the least loss."""
    rng = np.random.default_rng(3)
    for _ in range(25):
        todo = random_repairs(rng, most=3)
        every = min(loss(todo, placed(todo, order)) for order in permutations(todo.effort.index))
        made = best_plan(todo, periods=8, stretch=8, solver=QUICK)
        assert made.lost == pytest.approx(every, abs=1e-6)


def test_best_plan_is_never_worse_than_the_others():
    rng = np.random.default_rng(5)
    for _ in range(10):
        todo = random_repairs(rng)
        plans = {name: make(todo) for name, make in PLANS.items()}
        for one in plans.values():
            assert_sound(todo, one)
        assert plans["best"].lost <= min(one.lost for one in plans.values()) + 1e-9


def test_solver_that_runs_out_of_time_leaves_a_whole_plan():
    todo = repairs(micro(), allowance=1)
    assert window(todo, [], list("abc"), 0, 3, Solver(seconds=1e-9))[0] in ({}, {"c": 0, "a": 1, "b": 2}, {"a": 0, "b": 1, "c": 2})
    assert_sound(todo, rolling(todo, solver=Solver(seconds=1e-9)))


@settings(max_examples=30)
@given(st.permutations(list("abc")))
def test_a_plan_does_not_depend_on_the_order_of_the_tables(order):
    one = micro()
    again = build(one.nodes, one.arcs.loc[order])
    assert best_plan(repairs(again, allowance=1), solver=QUICK).lost == 3200
