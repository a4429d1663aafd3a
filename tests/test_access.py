"""Access: times, who is beyond the limits, what was lost; by hand on four nodes, and against Floyd–Warshall and networkx."""

import networkx as nx
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geo import access, routing
from geo.access import Residents
from geo.routing import Edges, to_nearest

MINUTE = 60.0


def graph(n, *rows):
    """Edges as (tail, head) or (tail, head, one_way)."""
    ends = np.array([row[:2] for row in rows], dtype=np.intp).reshape(-1, 2)
    return Edges(n, ends[:, 0], ends[:, 1], np.array([len(row) > 2 and row[2] for row in rows], dtype=bool))


@st.composite
def networks(draw, most=8, closed=True):
    """A few nodes with parallel edges, loops, edges of no length, one-way and closed ones, in pieces; and targets."""
    n = draw(st.integers(1, most))
    node = st.integers(0, n - 1)
    cost = st.integers(0, 9).map(lambda one: one * 300.0)
    rows = draw(st.lists(st.tuples(node, node, st.booleans(), cost | st.just(np.inf) if closed else cost), max_size=2 * n))
    seconds = np.array([row[3] for row in rows], dtype=float)
    targets = np.array(sorted(draw(st.sets(node, max_size=2))), dtype=np.intp)
    return graph(n, *(row[:3] for row in rows)), seconds, targets


def floyd_warshall(edges, seconds):
    """Seconds between all nodes, written down as the definition says."""
    way = np.full((edges.n, edges.n), np.inf)
    np.fill_diagonal(way, 0)
    for tail, head, one_way, cost in zip(edges.tail, edges.head, edges.one_way, seconds, strict=True):
        way[tail, head] = min(way[tail, head], cost)
        if not one_way:
            way[head, tail] = min(way[head, tail], cost)
    for middle in range(edges.n):
        way = np.minimum(way, way[:, [middle]] + way[[middle], :])
    return way


def by_networkx(edges, seconds, targets):
    net = nx.MultiDiGraph()
    net.add_nodes_from(range(edges.n))
    for tail, head, one_way, cost in zip(edges.tail, edges.head, edges.one_way, seconds, strict=True):
        if np.isfinite(cost):
            net.add_edge(head, tail, weight=cost)
            if not one_way:
                net.add_edge(tail, head, weight=cost)
    found = nx.multi_source_dijkstra_path_length(net, set(targets.tolist())) if len(targets) else {}
    return np.array([found.get(node, np.inf) for node in range(edges.n)])


@pytest.mark.parametrize("seed", range(30))
def test_times_are_those_of_floyd_warshall(seed):
    rng = np.random.default_rng(seed)
    n, m = 40, 70
    ends = rng.integers(0, n, (2, m))
    edges = Edges(n, ends[0], ends[1], rng.random(m) < 0.3)
    seconds = np.where(rng.random(m) < 0.15, np.inf, rng.integers(0, 50, m)).astype(float)
    targets = rng.choice(n, 3, replace=False)
    all_ways = floyd_warshall(edges, seconds)
    assert to_nearest(edges, seconds, targets).tolist() == all_ways[:, targets].min(axis=1).tolist()
    each = np.array(list(routing.to_each(edges, seconds, targets)))
    assert each.T.tolist() == all_ways[:, targets].tolist()


@given(networks())
def test_times_are_those_of_networkx(network):
    assert to_nearest(*network).tolist() == by_networkx(*network).tolist()


def test_of_parallel_edges_the_quickest_counts_and_they_are_not_added():
    twice = graph(2, (0, 1), (0, 1), (1, 0))
    assert to_nearest(twice, np.array([50.0, 20.0, 30.0]), np.array([0])).tolist() == [0.0, 20.0]


def test_an_edge_of_no_length_is_an_edge():
    assert to_nearest(graph(3, (0, 1), (1, 2)), np.array([0.0, 7.0]), np.array([0])).tolist() == [0.0, 0.0, 7.0]


def test_without_a_facility_nobody_reaches_one():
    assert np.isinf(to_nearest(graph(2, (0, 1)), np.ones(1), np.array([], dtype=np.intp))).all()
    assert to_nearest(graph(0), np.array([]), np.array([], dtype=np.intp)).tolist() == []


@pytest.mark.parametrize("seconds", [[np.nan], [-1.0], [1.0, 2.0]])
def test_seconds_must_be_known(seconds):
    with pytest.raises(ValueError, match="seconds must be known"):
        to_nearest(graph(2, (0, 1)), np.array(seconds), np.array([0]))


def test_a_facility_on_no_road_is_refused_and_not_taken_for_the_last_node():
    for nodes in ([-1], [0, 2]):
        with pytest.raises(ValueError, match="targets must be nodes"):
            to_nearest(graph(2, (0, 1)), np.ones(1), np.array(nodes))
        with pytest.raises(ValueError, match="targets must be nodes"):
            list(routing.to_each(graph(2, (0, 1)), np.ones(1), np.array(nodes)))


@pytest.mark.parametrize("people", [[1.0, np.nan], [1.0, -1.0], [1.0], [np.inf, 1.0]])
def test_people_by_node_must_be_known(people):
    with pytest.raises(ValueError, match="people must be known"):
        access.places_per_person(graph(2, (0, 1)), np.ones(1), np.array([0]), np.array([10.0]), np.array(people))


def test_ends_must_be_nodes():
    with pytest.raises(ValueError, match="0 to 1"):
        graph(2, (0, 2))
    with pytest.raises(ValueError, match="as long as each other"):
        Edges(2, np.array([0]), np.array([1]), np.array([], dtype=bool))


# The street: hospital at 0, then 10, 10 and 20 minutes to 1, 2, 3; 4 hangs on nothing that was ever mapped.
#   0 ──10── 1 ──10── 2 ──20── 3        4
STREET = graph(5, (0, 1), (1, 2), (2, 3))
BEFORE = np.array([10, 10, 20]) * MINUTE
HOSPITAL = {"hospital": np.array([0])}


def residents(**changes):
    values = {
        "node": np.array([0, 1, 2, 3, 4, -1, 1]),
        "people": np.array([100.0, 200.0, 300.0, 400.0, 50.0, 30.0, np.nan]),
        "zone": np.array(["A", "A", "B", "B", "B", "C", "C"], dtype=object),
        "gap": np.array([False, False, False, False, True]),
    }
    return Residents(**{**values, **changes})


def states():
    """Now the second stretch takes 30 minutes, and the third is closed."""
    return (
        access.minutes(STREET, BEFORE, HOSPITAL),
        access.minutes(STREET, np.array([10 * MINUTE, 30 * MINUTE, np.inf]), HOSPITAL),
    )


def test_what_each_neighbourhood_lost():
    table = access.lost(residents(), *states()).loc["hospital"]
    # A: 100 at 0 min, 200 at 10 min; nothing changed
    assert table.loc["A", ["people", "lost_15", "lost_30", "cut_off", "minutes_added_mean"]].tolist() == [300, 0, 0, 0, 0]
    # B: 300 went from 20 to 40 minutes (beyond 30, not beyond 60); 400 from 40 to none (beyond 60): 20 minutes and, capped, 20
    assert table.loc["B", ["people", "lost_15", "lost_30", "lost_60", "cut_off"]].tolist() == [700, 0, 300, 400, 400]
    assert table.loc["B", ["minutes_added_mean", "minutes_added_median"]].tolist() == [20, 20]
    assert table.loc["B", "lost_30_share"] == pytest.approx(3 / 7)
    assert table.loc["B", "unknown"] == 50  # behind a gap in the data: neither cut off nor reached
    # C: 30 people hang on no road, and of one row nobody knows how many live there
    assert np.isnan(table.loc["C", ["people", "lost_30", "cut_off", "minutes_added_mean"]].astype(float)).all()
    assert table.loc["C", ["unknown", "rows_unknown"]].tolist() == [30, 1]


def test_without_the_mask_a_place_cut_off_before_is_not_a_loss():
    table = access.lost(residents(gap=None), *states()).loc["hospital"]
    assert table.loc["B", ["people", "cut_off", "cut_off_before"]].tolist() == [750, 400, 50]


def test_a_zone_without_people_has_no_shares():
    empty = residents(people=np.array([0.0, 0.0, 300.0, 400.0, 50.0, 30.0, np.nan]))
    row = access.lost(empty, *states()).loc[("hospital", "A")]
    assert row["people"] == 0
    assert np.isnan(row["lost_30_share"])


def test_states_side_by_side():
    before, now = states()
    table = access.reached(residents(), before=before, now=now).loc["hospital"]
    assert table.loc["before", ["within_15", "within_30", "within_60", "beyond_30", "cut_off"]].tolist() == [300, 600, 1000, 400, 0]
    assert table.loc["now", ["within_15", "within_30", "within_60", "beyond_30", "cut_off"]].tolist() == [300, 300, 600, 700, 400]
    assert table["unknown"].tolist() == [80, 80]
    assert table["rows_unknown"].tolist() == [1, 1]
    # (0·100 + 10·200 + 20·300 + 40·400) / 1000, then (2,000 + 40·300 + 60·400) / 1000
    assert table["minutes_mean"].tolist() == [24, 38]


def test_tables_of_different_kinds_are_refused():
    before, now = states()
    with pytest.raises(ValueError, match="same kinds"):
        access.lost(residents(), before, now.rename(columns={"hospital": "school"}))
    with pytest.raises(ValueError, match="as long as"):
        residents(people=np.array([1.0]))
    with pytest.raises(ValueError, match="negative"):
        residents(people=np.full(7, -1.0))


@given(networks(closed=False), st.data())
def test_damage_takes_nobody_nearer_and_shares_are_shares(network, data):
    edges, seconds, targets = network
    worse = np.array([data.draw(st.sampled_from([one, one + 600, np.inf])) for one in seconds], dtype=float)
    n = edges.n
    there = Residents(np.arange(n), np.arange(1.0, n + 1), np.array([f"Z{node % 2}" for node in range(n)], dtype=object))
    kinds = {"hospital": targets}
    before, now = access.minutes(edges, seconds, kinds), access.minutes(edges, worse, kinds)
    assert (now >= before).all(axis=None)
    table = access.lost(there, before, now)
    assert table["lost_30_share"].between(0, 1).all()
    assert (table["minutes_added_mean"] >= 0).all()
    assert (table["cut_off"] + table["cut_off_before"] <= table["people"]).all()
    both = access.reached(there, before=before, now=now)
    assert (both["within_30"] + both["beyond_30"] == n * (n + 1) / 2).all()
    # nobody is counted twice: whoever is newly beyond is lost
    newly = both.loc[("hospital", "now"), "beyond_30"] - both.loc[("hospital", "before"), "beyond_30"]
    assert table["lost_30"].sum() == newly


@given(networks(), st.data())
def test_places_are_shared_out_completely(network, data):
    """Σ people × places per person = places of the facilities that somebody reaches."""
    edges, seconds, targets = network
    people = np.array(data.draw(st.lists(st.integers(0, 9), min_size=edges.n, max_size=edges.n)), dtype=float)
    capacity = np.arange(1.0, len(targets) + 1) * 10
    found = access.places_per_person(edges, seconds, targets, capacity, people)
    ways = floyd_warshall(edges, seconds)[:, targets]
    used = ((ways <= 1800) & (people > 0)[:, None]).any(axis=0)
    assert (found * people).sum() == pytest.approx(capacity[used].sum())


def test_unknown_capacity_makes_its_catchment_unknown():
    # 1 reaches the known one alone, 2 both, 3 only the unknown one
    line = graph(4, (0, 1), (1, 2), (2, 3))
    found = access.places_per_person(
        line, np.array([15.0, 10, 25]) * MINUTE, np.array([0, 3]), np.array([10.0, np.nan]), np.array([0.0, 10, 10, 10])
    )
    assert np.isfinite(found[:2]).all()
    assert np.isnan(found[2:]).all()


def test_limits_are_data():
    choices = access.parameters()
    assert choices["limit_min"] in choices["limits_min"]
    assert choices["cap_min"] >= choices["limit_min"]
    assert len(choices["catchment"]["zone_min"]) == len(choices["catchment"]["weight"])


def test_minutes_index_is_the_nodes():
    table = access.minutes(STREET, BEFORE, {"hospital": np.array([0]), "school": np.array([], dtype=np.intp)})
    pd.testing.assert_index_equal(table.index, pd.RangeIndex(5))
    assert np.isinf(table["school"]).all()
