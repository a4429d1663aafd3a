"""Criticality of open edges: bridges, pieces and losses, by hand and against networkx and full recomputation."""

import networkx as nx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geo import criticality
from geo.access import parameters
from geo.routing import Edges, to_nearest

MINUTE = 60.0
LIMIT, CAP = 30 * MINUTE, 60 * MINUTE


def graph(n, *rows):
    """Edges as (tail, head) or (tail, head, one_way)."""
    ends = np.array([row[:2] for row in rows], dtype=np.intp).reshape(-1, 2)
    return Edges(n, ends[:, 0], ends[:, 1], np.array([len(row) > 2 and row[2] for row in rows], dtype=bool))


@st.composite
def networks(draw, most=9):
    """A few nodes with parallel edges, loops, edges of no length, one-way and closed ones, in pieces; targets and people."""
    n = draw(st.integers(1, most))
    node = st.integers(0, n - 1)
    cost = st.integers(0, 9).map(lambda one: one * 300.0) | st.just(np.inf)
    rows = draw(st.lists(st.tuples(node, node, st.booleans(), cost), max_size=2 * n))
    targets = np.array(sorted(draw(st.sets(node, max_size=2))), dtype=np.intp)
    people = np.array(draw(st.lists(st.integers(0, 5), min_size=n, max_size=n)), dtype=float)
    return graph(n, *(row[:3] for row in rows)), np.array([row[3] for row in rows], dtype=float), targets, people


def undirected(edges, seconds):
    net = nx.MultiGraph()
    net.add_nodes_from(range(edges.n))
    net.add_edges_from(
        (int(tail), int(head), number)
        for number, (tail, head) in enumerate(zip(edges.tail, edges.head, strict=True))
        if np.isfinite(seconds[number])
    )
    return net


@given(networks())
def test_pieces_are_those_of_networkx(network):
    edges, seconds, *_ = network
    found = criticality.components(edges, seconds)
    ours = {frozenset(np.flatnonzero(found == one).tolist()) for one in np.unique(found)}
    assert ours == {frozenset(one) for one in nx.connected_components(undirected(edges, seconds))}


@given(networks())
def test_a_bridge_is_what_parts_a_piece_when_it_closes(network):
    edges, seconds, *_ = network
    found = criticality.bridges(edges, seconds)
    pieces = nx.number_connected_components(undirected(edges, seconds))
    for edge in range(len(edges)):
        closed = np.where(np.arange(len(edges)) == edge, np.inf, seconds)
        assert found[edge] == (nx.number_connected_components(undirected(edges, closed)) > pieces)


@pytest.mark.parametrize("seed", range(10))
def test_bridges_are_those_of_networkx(seed):
    rng = np.random.default_rng(seed)
    ends = rng.integers(0, 300, (2, 330))
    net = nx.Graph()
    net.add_nodes_from(range(300))
    net.add_edges_from(ends.T.tolist())
    edges = Edges(300, ends[0], ends[1], np.zeros(330, dtype=bool))
    found = criticality.bridges(edges, np.ones(330))
    simple = {frozenset(pair) for pair in nx.bridges(net)}
    # networkx merges parallel edges; two of them are no bridge
    pairs = [frozenset(pair) for pair in ends.T.tolist()]
    expected = [pair in simple and pairs.count(pair) == 1 for pair in pairs]
    assert found.tolist() == expected
    assert 0 < found.sum() < 330


def test_losses_by_hand():
    r"""Hospital at 0; from 1 to 3 two ways, of which 1–2–3 is the quicker; 4 hangs on 3 alone.

    0 ──10── 1 ──5── 2 ──5── 3 ──5── 4      people: 100 at 1, 200 at 2, 300 at 3, 400 at 4
              \──────25──────/
    """
    edges = graph(5, (0, 1), (1, 2), (2, 3), (1, 3), (3, 4), (0, 1))
    seconds = np.array([10, 5, 5, 25, 5, np.inf]) * MINUTE
    people = np.array([0, 100, 200, 300, 400.0])
    table = criticality.edge_losses(edges, seconds, np.array([0]), people)
    assert table.index.tolist() == [0, 1, 2, 4]  # 1–3 is on nobody's way, the second 0–1 is closed
    # 0–1 closes: all 1,000 are cut off. They need 10, 15, 20, 25 minutes; the rest up to 60 is lost.
    assert table.loc[0, ["people_lost", "cut_off", "bridge"]].tolist() == [1000, 1000, True]
    assert table.loc[0, "person_minutes"] == 100 * 50 + 200 * 45 + 300 * 40 + 400 * 35
    assert table.loc[0, "people_lost_share"] == 1
    # 1–2 closes: 3 by 1–3 at 35 (+15), 4 at 40 (+15), 2 from 3 at 40 (+25): all three beyond 30
    assert table.loc[1, ["people_lost", "person_minutes", "cut_off", "bridge"]].tolist() == [900, 200 * 25 + 700 * 15, 0, False]
    # 2–3 closes: 3 at 35, 4 at 40; 2 keeps its 15
    assert table.loc[2, ["people_lost", "person_minutes"]].tolist() == [700, 700 * 15]
    assert table.loc[4, ["people_lost", "cut_off", "bridge"]].tolist() == [400, 400, True]


@given(networks())
def test_losses_are_those_of_full_recomputation(network):
    edges, seconds, targets, people = network
    table = criticality.edge_losses(edges, seconds, targets, people)
    now = to_nearest(edges, seconds, targets)
    for edge in range(len(edges)):
        closed = np.where(np.arange(len(edges)) == edge, np.inf, seconds)
        then = to_nearest(edges, closed, targets)
        lost = people[(now <= LIMIT) & (then > LIMIT)].sum()
        minutes = (people * (np.minimum(then, CAP) - np.minimum(now, CAP))).sum() / 60
        off = people[np.isfinite(now) & np.isinf(then)].sum()
        if edge in table.index:
            assert table.loc[edge, ["people_lost", "person_minutes", "cut_off"]].astype(float).tolist() == [lost, minutes, off]
        else:
            assert (lost, minutes, off) == (0, 0, 0)
    shares = table[["people_lost_share", "person_minutes_share"]]
    assert shares.map(lambda one: 0 <= one <= 1).all(axis=None)


def test_the_loss_of_an_edge_is_never_more_than_everybody():
    """A share above one was published elsewhere; here it can't be, also where amounts do not add up in binary."""
    edges = graph(12, *((one, one + 1) for one in range(11)))
    table = criticality.edge_losses(edges, np.full(11, 0.1), np.array([0]), np.full(12, 0.1))
    assert table["people_lost_share"].between(0, 1).all()


def test_without_targets_or_people_nothing_is_lost():
    line = graph(3, (0, 1), (1, 2))
    for targets, people in (([], np.ones(3)), ([0], np.zeros(3))):
        table = criticality.edge_losses(line, np.ones(2), np.array(targets, dtype=np.intp), people)
        assert len(table) == 0
        assert list(table) == list(criticality.COLUMNS)


def test_detours_by_hand():
    """A block of 10 minutes a side; a street that hangs on it; a closed street across; and one-way."""
    edges = graph(5, (0, 1), (1, 2), (2, 3), (3, 0), (0, 4), (0, 2))
    seconds = np.array([10, 10, 10, 10, 10, np.inf]) * MINUTE
    direct = np.array([10, 10, 10, 10, 10, 14]) * MINUTE
    found = criticality.detours(edges, seconds, np.arange(6), direct)
    assert (found / MINUTE).tolist() == [20, 20, 20, 20, np.inf, 6]
    # 3 → 0 may be driven this way alone: from 0 to 1 there is no way around, from 1 to 0 there is one
    narrow = graph(4, (0, 1), (1, 2), (2, 3), (3, 0, True))
    assert np.isinf(criticality.detours(narrow, seconds[:4], np.array([0]), direct[:1])).all()


@given(networks())
def test_detours_are_those_of_full_recomputation(network):
    edges, seconds, *_ = network
    direct = np.where(np.isfinite(seconds), seconds, 300.0)
    found = criticality.detours(edges, seconds, np.arange(len(edges)), direct)
    for edge in range(len(edges)):
        closed = np.where(np.arange(len(edges)) == edge, np.inf, seconds)
        ends = [(edges.tail[edge], edges.head[edge])]
        ends += [] if edges.one_way[edge] else [ends[0][::-1]]
        way = max(to_nearest(edges, closed, np.array([head]))[tail] for tail, head in ends)
        limit = 60 * parameters()["detour_min"]
        assert found[edge] == (max(0.0, way - direct[edge]) if way <= limit else np.inf)
