"""Repair plans for four networks that need each other, 12 scenarios: loss and seconds of each kind of plan.

`make bench` measures all of them; `python -m tests.benchmarks.test_sequence` prints one table, under both readings of the rules
(`tests/shelby.py`). A plain test run makes one plan of each kind for one scenario: exact plans of all twelve take minutes.
"""

import time
from pathlib import Path

import pytest

from geo import restoration, sequence
from tests import shelby

KINDS = {
    "static": sequence.static,
    "greedy": sequence.greedy,
    "period": restoration.per_period,
    "rolling": restoration.rolling,
    "best": restoration.best_plan,
}
PUBLISHED = {"static": "static", "greedy": "greedy", "period": "iINDP", "rolling": "roll3", "best": "iINDP"}
SHARED = Path(__file__).parents[3] / "shared"
QUICK = "Set43_Sce77"
SCENARIOS = [one.name for one in shelby.scenarios(SHARED)] if SHARED.is_dir() else [QUICK]


def pytest_generate_tests(metafunc):
    if "scenario" in metafunc.fixturenames:
        measured = metafunc.config.getoption("benchmark_enable")
        metafunc.parametrize("scenario", SCENARIOS if measured else [QUICK])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.benchmark(group="repair plans, 167 nodes and 217 arcs in four networks")
def test_plan(benchmark, shared, kind, scenario):
    one = next(one for one in shelby.scenarios(shared) if one.name == scenario)
    todo = shelby.problem(shared, one, as_written=False)
    made = benchmark.pedantic(KINDS[kind], args=(todo,), rounds=1)
    lost = shelby.loss(made, as_written=False)
    benchmark.extra_info |= {"loss": lost, "published": one.published[PUBLISHED[kind]]}
    assert lost <= one.published[PUBLISHED[kind]] + 1e-6
    if kind == "best":
        assert lost <= 0.8 * one.published["static"]


def main() -> None:
    """One table for each reading; the best plan improves the best of the others, so its seconds come on top of theirs."""
    for as_written in (False, True):
        print("as written" if as_written else "as computed (published figures in brackets)")  # noqa: T201
        sums = dict.fromkeys(KINDS, 0.0)
        for one in shelby.scenarios(SHARED):
            made, cells = {}, []
            for kind, make in KINDS.items():
                todo = shelby.problem(SHARED, one, as_written=as_written)
                begin = time.perf_counter()
                least = min(made.values(), key=lambda plan: plan.lost, default=None)
                made[kind] = restoration.improved(todo, least) if kind == "best" and least else make(todo)
                seconds = time.perf_counter() - begin
                lost = shelby.loss(made[kind], as_written=as_written)
                sums[kind] += lost / 12
                beside = "" if as_written else f" [{one.published[PUBLISHED[kind]]:.4f}]"
                cells.append(f"{kind} {lost:.4f}{beside} {seconds:.1f} s")
            print(f"{one.name:12s} {one.damaged:4d}", *cells, sep=" | ", flush=True)  # noqa: T201
        print("mean", *(f"{kind} {value:.4f}" for kind, value in sums.items()), sep=" | ", flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
