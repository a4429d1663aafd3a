"""Repair value: alone, with what it needs, as a fair share, and in an order; by hand, published, against full recomputation."""

import itertools
import json
from math import factorial
from pathlib import Path

import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from geo import access
from geo.errors import NeedsError
from geo.fair_share import fair_shares, groups
from geo.pipeline import open_study, read_city
from geo.repair_value import after_each, road_table, single_values
from geo.repairs import Repairs, Roadwork, required
from geo.routing import Edges, to_nearest

MINUTE = 60.0
LIMIT, CAP = 30 * MINUTE, 60 * MINUTE


def graph(n, *rows):
    ends = np.array([row[:2] for row in rows], dtype=np.intp).reshape(-1, 2)
    return Edges(n, ends[:, 0], ends[:, 1], np.array([len(row) > 2 and row[2] for row in rows], dtype=bool))


def one_each(seconds, needs=(), names=None):
    """A repair for each edge."""
    every = np.arange(len(seconds))
    return Repairs(names or tuple(f"r{one}" for one in every), every, every, np.array(seconds, dtype=float), needs)


@st.composite
def works(draw, most=8, repairs=5, needing=True):
    """A network with closed and slow edges, what repairs would make of them, and which repairs need another."""
    n = draw(st.integers(1, most))
    node = st.integers(0, n - 1)
    cost = st.integers(0, 9).map(lambda one: one * 300.0)
    rows = draw(st.lists(st.tuples(node, node, st.booleans(), cost), min_size=1, max_size=2 * n))
    edges = graph(n, *(row[:3] for row in rows))
    after = np.array([row[3] for row in rows])
    targets = np.array(sorted(draw(st.sets(node, min_size=1, max_size=2))), dtype=np.intp)
    people = np.array(draw(st.lists(st.integers(0, 5), min_size=n, max_size=n)), dtype=float)
    count = draw(st.integers(1, repairs))
    whose = draw(st.lists(st.integers(-1, count - 1), min_size=len(rows), max_size=len(rows)))
    slow = draw(st.lists(st.sampled_from([np.inf, 600.0]), min_size=len(rows), max_size=len(rows)))
    now = np.where(np.array(whose) >= 0, after + slow, after)
    later = st.tuples(st.integers(0, count - 1), st.integers(0, count - 1)).filter(lambda pair: pair[0] < pair[1])
    needs = draw(st.lists(later, max_size=3)) if needing and count > 1 else []
    rows = np.flatnonzero(np.array(whose) >= 0)
    repaired = Repairs(tuple(f"r{one}" for one in range(count)), rows, np.array(whose)[rows], after[rows], needs)
    return edges, now, targets, people, repaired


def fully(edges, seconds, targets, people, repairs, done):
    """What the repairs in `done` give, by searching the whole network again: those alone count that have all they need."""
    first = required(repairs)
    valid = [one for one in done if first[one] <= set(done)]
    then_s = seconds.copy()
    rows = np.isin(repairs.repair, valid)
    np.minimum.at(then_s, repairs.edge[rows], repairs.seconds[rows])
    now, then = to_nearest(edges, seconds, targets), to_nearest(edges, then_s, targets)
    return (
        people[(now > LIMIT) & (then <= LIMIT)].sum(),
        (people * (np.minimum(now, CAP) - np.minimum(then, CAP))).sum() / 60,
        people[np.isinf(now) & np.isfinite(then)].sum(),
    )


def shapley_as_defined(work, repairs):
    """φ_a = Σ_T |T|! (m − |T| − 1)! / m! · [v(T ∪ a) − v(T)], written down as it stands."""
    m = len(repairs)
    value = {done: np.array(fully(*work, done)) for k in range(m + 1) for done in itertools.combinations(range(m), k)}
    share = np.zeros((m, 3))
    for a in range(m):
        for done, v in value.items():
            if a not in done:
                k = len(done)
                share[a] += factorial(k) * factorial(m - k - 1) / factorial(m) * (value[tuple(sorted((*done, a)))] - v)
    return share


def fair(table):
    return table[["fair_people", "fair_person_minutes", "fair_joined"]].to_numpy()


# The published instance: 1,000 people behind links a and b in a row, 400 behind link c; everything closed.
MICRO = graph(4, (0, 1), (1, 2), (0, 3))
MICRO_NOW = np.full(3, np.inf)
MICRO_PEOPLE = np.array([0, 0, 1000, 400.0])
MICRO_REPAIRS = one_each([MINUTE] * 3, names=("a", "b", "c"))
HOSPITAL = np.array([0])


def test_published_shares(shared):
    published = json.loads((shared / "test_vectors.json").read_text(encoding="utf-8"))["restoration_micro"]
    found = fair_shares(MICRO, MICRO_NOW, HOSPITAL, MICRO_PEOPLE, MICRO_REPAIRS)
    assert found["fair_people"].to_dict() == pytest.approx(published["shapley"])
    assert found["exact"].all()
    assert found["group"].tolist() == [0, 0, 1]


def test_published_person_periods(shared):
    """Whoever is not served waits one period for each repair until then."""
    published = json.loads((shared / "test_vectors.json").read_text(encoding="utf-8"))["restoration_micro"]
    for order in itertools.permutations("abc"):
        steps = after_each(
            MICRO, MICRO_NOW, {"hospital": HOSPITAL}, MICRO_PEOPLE, MICRO_REPAIRS, ["abc".index(one) for one in order]
        )
        assert steps.loc["hospital", "repair"].tolist() == ["", *order]
        assert steps.loc["hospital", "beyond_30"][:3].sum() == published["person_periods"]["".join(order)]
        assert steps.loc["hospital", "cut_off"].iloc[-1] == 0


def test_alone_two_bridges_in_a_row_are_worth_nothing():
    values = single_values(MICRO, MICRO_NOW, HOSPITAL, MICRO_PEOPLE, MICRO_REPAIRS)
    assert values["people"].tolist() == [0, 0, 400]
    assert values["person_minutes"].tolist() == [0, 0, 400 * 59]
    assert values["joined"].tolist() == [0, 0, 400]


def test_with_its_prerequisite_a_repair_is_worth_what_both_give():
    """The debris before link b needs no road of its own (repair d): b counts only after it, and not alone."""
    rows = np.arange(3)
    repairs = Repairs(("a", "b", "c", "d"), rows, rows, np.full(3, MINUTE), [(0, 1), (3, 1)])
    values = single_values(MICRO, MICRO_NOW, HOSPITAL, MICRO_PEOPLE, repairs)
    assert values["people"].tolist() == [0, 1000, 400, 0]
    assert values["alone_people"].tolist() == [0, 0, 400, 0]
    # all three of a, b, d are needed for the 1,000
    found = fair_shares(MICRO, MICRO_NOW, HOSPITAL, MICRO_PEOPLE, repairs)
    assert found["fair_people"].tolist() == pytest.approx([1000 / 3, 1000 / 3, 400, 1000 / 3])
    table = road_table(MICRO, MICRO_NOW, {"hospital": HOSPITAL}, MICRO_PEOPLE, repairs)
    assert table.index.tolist() == ["b", "c", "a", "d"]
    assert table.loc["b", ["people", "alone_people", "needs"]].tolist() == [1000, 0, "a, d"]
    assert np.isinf(table["detour_min"].loc[["a", "b", "c"]]).all()
    assert np.isnan(table["detour_min"].loc["d"])


def test_two_ways_to_the_same_place_share_it():
    """Either link opens the way to 1,000 people: each alone is worth all, and the fair share is a half."""
    twice = graph(2, (0, 1), (0, 1))
    repairs = one_each([MINUTE, MINUTE])
    people = np.array([0, 1000.0])
    values = single_values(twice, np.full(2, np.inf), HOSPITAL, people, repairs)
    assert values["people"].tolist() == [1000, 1000]
    assert fair_shares(twice, np.full(2, np.inf), HOSPITAL, people, repairs)["fair_people"].tolist() == [500, 500]


def test_people_who_regain_two_kinds_are_counted_once_as_people_and_twice_as_access():
    street = graph(2, (0, 1))
    targets = {"hospital": HOSPITAL, "school": HOSPITAL}
    table = road_table(street, np.array([np.inf]), targets, np.array([0, 300.0]), one_each([10 * MINUTE]))
    row = table.loc["r0"]
    assert row[["people", "joined", "fair_access", "people_hospital", "people_school"]].tolist() == [300, 300, 600, 300, 300]
    assert row[["person_minutes", "fair_person_minutes", "person_minutes_school"]].tolist() == [30_000, 30_000, 15_000]


def test_the_detour_around_a_closed_street():
    square = graph(4, (0, 1), (1, 2), (2, 3), (3, 0))
    now = np.array([np.inf, 10, 10, 10]) * MINUTE
    repairs = Repairs(("r",), np.array([0]), np.array([0]), np.array([10 * MINUTE]))
    table = road_table(square, now, {"hospital": HOSPITAL}, np.ones(4), repairs)
    assert table.loc["r", ["detour_min", "people", "person_minutes"]].tolist() == [20, 0, 20]


@given(works())
def test_values_are_those_of_full_recomputation(work):
    repairs = work[-1]
    values = single_values(*work)
    first = required(repairs)
    for one in range(len(repairs)):
        expected = fully(*work, [one, *first[one]])
        assert values[["people", "person_minutes", "joined"]].iloc[one].tolist() == pytest.approx(expected)
        expected = fully(*work, [one])
        assert values[["alone_people", "alone_person_minutes", "alone_joined"]].iloc[one].tolist() == pytest.approx(expected)


@given(works(needing=False), st.data())
def test_times_after_repairs_are_those_of_full_recomputation_to_the_last_bit_and_are_taken_back(work, data):
    edges, seconds, targets, people, repairs = work
    seconds, repaired = seconds * 0.1, repairs.seconds * 0.1  # so that sums are rounded
    repairs = Repairs(repairs.names, repairs.edge, repairs.repair, repaired)
    trial = Roadwork(edges, seconds, targets, people, repairs)
    order = data.draw(st.permutations(range(len(repairs))))
    then_s, done = seconds.copy(), []
    for one in order:
        worst = list(trial.times)
        done.append((one, trial.do(one)))
        rows = repairs.repair == one
        np.minimum.at(then_s, repairs.edge[rows], repairs.seconds[rows])
        assert trial.times == to_nearest(edges, then_s, targets).tolist()
        assert all(new <= old for new, old in zip(trial.times, worst, strict=True))  # a repair never makes it worse
    for one, before in reversed(done):
        trial.undo(one, before)
    assert trial.times == to_nearest(edges, seconds, targets).tolist()


@given(works())
def test_fair_shares_are_the_shapley_values(work):
    """Also where they are reckoned by groups: what is in another group changes nothing."""
    assert fair(fair_shares(*work)) == pytest.approx(shapley_as_defined(work, work[-1]), abs=1e-6)


@given(works())
def test_groups_do_not_act_on_each_other(work):
    group = groups(*work[:3], work[-1])
    m = len(work[-1])
    for done in itertools.chain.from_iterable(itertools.combinations(range(m), k) for k in range(m + 1)):
        parts = [np.array(fully(*work, [one for one in done if group[one] == number])) for number in set(group)]
        assert sum(parts) == pytest.approx(np.array(fully(*work, done)), abs=1e-6)


def corridor(count, rng):
    """A long street in pieces, closed at every piece, with side streets: every repair acts on the others."""
    rows = [(one, one + 1) for one in range(count)]
    edges = graph(count + 1, *rows, *((one, one + 2) for one in range(0, count - 1, 3)))
    seconds = rng.integers(150, 240, len(edges)).astype(float)
    now = np.where(np.arange(len(edges)) < count, seconds * 4, seconds * 4)
    every = np.arange(count)
    return (
        edges,
        now,
        HOSPITAL,
        rng.integers(1, 50, count + 1).astype(float),
        Repairs(tuple(map(str, every)), every, every, seconds[:count]),
    )


def test_sampled_shares_agree_with_exact_ones(monkeypatch):
    work = corridor(9, np.random.default_rng(5))
    exact = fair_shares(*work)
    assert exact["exact"].all()
    assert exact["group"].nunique() == 1
    choices = access.parameters()
    monkeypatch.setitem(choices, "fair_share", {**choices["fair_share"], "exact_up_to": 3})
    sampled = fair_shares(*work)
    assert not sampled["exact"].any()
    error = sampled["fair_person_minutes_se"]
    assert (error > 0).any()
    assert ((sampled["fair_person_minutes"] - exact["fair_person_minutes"]).abs() <= 4 * error + 1e-9).all()
    assert sampled["fair_person_minutes"].sum() == pytest.approx(exact["fair_person_minutes"].sum())
    assert sampled.equals(fair_shares(*work))  # the same seed, the same numbers


def test_beyond_the_exact_number_shares_are_sampled_and_sum_to_the_whole():
    work = corridor(14, np.random.default_rng(6))
    table = fair_shares(*work)
    assert not table["exact"].any()
    assert fair(table).sum(axis=0) == pytest.approx(fully(*work, range(14)))


@given(works(), st.data())
def test_access_never_falls_from_step_to_step(work, data):
    edges, seconds, targets, people, repairs = work
    order = data.draw(st.permutations(range(len(repairs))))
    table = after_each(edges, seconds, {"hospital": targets}, people, repairs, order).loc["hospital"]
    for column in ("beyond_15", "beyond_30", "beyond_60", "cut_off", "person_minutes"):
        assert (table[column].diff().dropna() <= 0).all()
    for step in range(len(order) + 1):
        gained = fully(*work, order[:step])
        assert table["beyond_30"].iloc[0] - table["beyond_30"].iloc[step] == pytest.approx(gained[0])
        assert table["person_minutes"].iloc[0] - table["person_minutes"].iloc[step] == pytest.approx(gained[1])


def test_circles_and_strangers_are_named_at_once_in_both_languages():
    with pytest.raises(NeedsError) as raised:
        required(one_each([1, 1, 1, 1], [(0, 1), (1, 0), (1, 2), (7, 3)]))
    codes = {one.code: one for one in raised.value.findings}
    assert codes["needs-circle"].rows == ("r0", "r1", "r2")  # r2 waits for the circle
    assert codes["needs-unknown"].rows == ("7 → 3",)
    assert "دائرة" in raised.value.render("ar")


def test_a_long_chain_of_prerequisites():
    many = 3000
    chain = required(one_each([1.0] * many, [(one, one + 1) for one in range(many - 1)][:50]))
    assert len(chain[50]) == 50
    assert chain[51] == frozenset()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"seconds": np.array([np.nan])}, "known"),
        ({"repair": np.array([1])}, "belong to a repair"),
        ({"edge": np.array([0, 1])}, "as long as each other"),
    ],
)
def test_repairs_are_checked(change, said):
    row = {"names": ("r",), "edge": np.array([0]), "repair": np.array([0]), "seconds": np.array([1.0])}
    with pytest.raises(ValueError, match=said):
        Repairs(**{**row, **change})


def test_a_repair_of_no_edge_and_unknown_people_are_refused():
    for edge in (-1, 1):
        strange = Repairs(("r",), np.array([edge]), np.array([0]), np.array([1.0]))
        with pytest.raises(ValueError, match="repairs must be of edges"):
            single_values(graph(2, (0, 1)), np.array([5.0]), HOSPITAL, np.ones(2), strange)
    with pytest.raises(ValueError, match="people must be known"):
        single_values(graph(2, (0, 1)), np.array([5.0]), HOSPITAL, np.array([1.0, np.nan]), one_each([1.0]))


def test_a_repair_that_slows_a_road_is_refused():
    with pytest.raises(ValueError, match="slower than now"):
        single_values(graph(2, (0, 1)), np.array([5.0]), HOSPITAL, np.ones(2), one_each([6.0]))
    with pytest.raises(ValueError, match="once"):
        after_each(MICRO, MICRO_NOW, {"hospital": HOSPITAL}, MICRO_PEOPLE, MICRO_REPAIRS, [0, 0])


def test_nothing_to_repair():
    none = np.array([], dtype=np.intp)
    table = road_table(MICRO, MICRO_NOW, {"hospital": HOSPITAL}, MICRO_PEOPLE, Repairs((), none, none, np.array([])))
    assert len(table) == 0


@pytest.fixture(scope="module")
def demo_city():
    """Roads of the demo city joined where their ends meet, hospitals and homes at the nearest node; a tenth of the roads closed."""
    study, _ = open_study(Path(__file__).parents[1] / "data" / "demo")
    city = read_city(study)
    lines = shapely.get_parts(city.frame("roads").geometry.to_numpy())
    ends = np.concatenate([shapely.get_coordinates(shapely.get_point(lines, at)) for at in (0, -1)]).round(1)
    places, node = np.unique(ends, axis=0, return_inverse=True)
    tail, head = node.ravel()[: len(lines)], node.ravel()[len(lines) :]
    roads, tree = Edges(len(places), tail, head, np.zeros(len(lines), dtype=bool)), shapely.STRtree(shapely.points(places))
    seconds = shapely.length(lines) / 1.4  # on foot
    facilities = city.frame("facilities")
    targets = {
        kind: np.unique(tree.nearest(facilities.geometry.to_numpy()[facilities["kind"] == kind])) for kind in ("hospital", "school")
    }
    buildings = city.frame("buildings")
    homes = access.Residents(
        np.asarray(tree.nearest(shapely.centroid(buildings.geometry.to_numpy()))),
        np.full(len(buildings), 6.0),
        buildings["zone"].astype(object).where(buildings["zone"].notna(), None).to_numpy(),
    )
    closed = np.random.default_rng(3).choice(len(lines), len(lines) // 10, replace=False)
    now = seconds.copy()
    now[closed] = np.inf
    every = np.arange(len(closed))
    repairs = Repairs(tuple(map(str, closed)), closed, every, seconds[closed], [(0, 1), (1, 2)])
    return roads, seconds, now, targets, homes, repairs


def test_the_demo_city_adds_up(demo_city):
    roads, seconds, now_s, targets, homes, repairs = demo_city
    assert {len(nodes) > 0 for nodes in targets.values()} == {True}
    people = homes.at_nodes(roads.n)
    before, now = access.minutes(roads, seconds, targets), access.minutes(roads, now_s, targets)
    lost, state = access.lost(homes, before, now), access.reached(homes, before=before, now=now)
    steps = after_each(roads, now_s, targets, people, repairs, list(range(len(repairs)))[::-1])
    assert lost["lost_30"].sum() > 0
    for kind, nodes in targets.items():
        outside = homes.people[[zone is None for zone in homes.zone]].sum()
        assert lost.loc[kind, "people"].sum() + outside == people.sum()
        beyond = state.loc[kind, "beyond_30"]
        assert abs(beyond["now"] - beyond["before"] - lost.loc[kind, "lost_30"].sum()) <= outside
        # the order done backwards ends where the city was before
        assert steps.loc[kind, "beyond_30"].iloc[[0, -1]].tolist() == [beyond["now"], beyond["before"]]
        shares = fair_shares(roads, now_s, nodes, people, repairs)
        assert shares["fair_people"].sum() == pytest.approx(beyond["now"] - beyond["before"])
        values = single_values(roads, now_s, nodes, people, repairs)
        for one in range(0, len(repairs), 10):
            assert values.iloc[one, :3].tolist() == pytest.approx(
                fully(roads, now_s, nodes, people, repairs, [one, *required(repairs)[one]])
            )
