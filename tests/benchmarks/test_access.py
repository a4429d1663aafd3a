"""Speed of access and repairs on the roads of Aleppo, beside networkx and beside searching the whole network again.

64,000 nodes, 79,000 edges, 50 places that stand for hospitals, 2,000 edges closed by the draw of a seed. `make bench` measures; in a
plain test run each function runs once, so the numbers are still compared.
"""

import geopandas as gpd
import numpy as np
import pytest
import shapely

from geo import criticality
from geo.fair_share import fair_shares
from geo.repair_value import single_values
from geo.repairs import Repairs, Roadwork
from geo.routing import Edges, to_nearest

LIMIT, CAP = 1800.0, 3600.0
CLOSED = 2_000
SPEED = 30 / 3.6


@pytest.fixture(scope="module")
def aleppo(shared):
    """Edges, seconds, hospitals and people; ends that lie on the same decimetre are one node."""
    lines = gpd.read_parquet(shared / "data" / "aleppo-roads-osm" / "aleppo_original.parquet").geometry.to_numpy()
    ends = np.concatenate([shapely.get_coordinates(shapely.get_point(lines, at)) for at in (0, -1)]).round(1)
    places, node = np.unique(ends, axis=0, return_inverse=True)
    tail, head = node.ravel()[: len(lines)], node.ravel()[len(lines) :]
    rng = np.random.default_rng(1)
    people = rng.integers(0, 60, len(places)).astype(float)
    hospitals = rng.choice(len(places), 50, replace=False)
    return Edges(len(places), tail, head, np.zeros(len(lines), dtype=bool)), shapely.length(lines) / SPEED, hospitals, people


@pytest.fixture(scope="module")
def damaged(aleppo):
    edges, seconds, hospitals, people = aleppo
    closed = np.random.default_rng(2).choice(len(edges), CLOSED, replace=False)
    now = seconds.copy()
    now[closed] = np.inf
    every = np.arange(CLOSED)
    return edges, now, hospitals, people, Repairs(tuple(map(str, closed)), closed, every, seconds[closed])


@pytest.fixture(scope="module")
def by_networkx(aleppo):
    nx = pytest.importorskip("networkx")
    edges, seconds, hospitals, _ = aleppo
    net = nx.MultiGraph()
    net.add_nodes_from(range(edges.n))
    net.add_weighted_edges_from(zip(edges.tail.tolist(), edges.head.tolist(), seconds.tolist(), strict=True))
    return lambda: nx.multi_source_dijkstra_path_length(net, set(hospitals.tolist()))


@pytest.mark.benchmark(group="nearest of 50 hospitals from 64,000 nodes")
def test_nearest_ours(benchmark, aleppo):
    times = benchmark(to_nearest, *aleppo[:3])
    assert np.isfinite(times).mean() > 0.99


@pytest.mark.benchmark(group="nearest of 50 hospitals from 64,000 nodes")
def test_nearest_networkx(benchmark, aleppo, by_networkx):
    found = benchmark.pedantic(by_networkx, rounds=3)
    times = to_nearest(*aleppo[:3])
    assert {node: times[node] for node in np.flatnonzero(np.isfinite(times)).tolist()} == found


@pytest.mark.benchmark(group="nearest of 50 hospitals from 64,000 nodes")
def test_nearest_networkx_hospital_by_hospital(benchmark, aleppo, request):
    """As it is written first: a search from each hospital, then the least of each node."""
    if not request.config.getoption("benchmark_enable"):
        pytest.skip("ten seconds; measured with --benchmark-enable")
    nx = pytest.importorskip("networkx")
    edges, seconds, hospitals, _ = aleppo
    net = nx.MultiGraph()
    net.add_nodes_from(range(edges.n))
    net.add_weighted_edges_from(zip(edges.tail.tolist(), edges.head.tolist(), seconds.tolist(), strict=True))

    def nearest():
        least = np.full(edges.n, np.inf)
        for hospital in hospitals.tolist():
            for node, time in nx.single_source_dijkstra_path_length(net, hospital).items():
                least[node] = min(least[node], time)
        return least

    found = benchmark.pedantic(nearest, rounds=1)
    assert found.tolist() == to_nearest(edges, seconds, hospitals).tolist()


def again(edges, now, hospitals, people, repairs, one):
    """What one repair gives, by searching the whole network again with the same search."""
    then = now.copy()
    then[repairs.edge[one]] = repairs.seconds[one]
    before, after = to_nearest(edges, now, hospitals), to_nearest(edges, then, hospitals)
    return (
        people[(before > LIMIT) & (after <= LIMIT)].sum(),
        (people * (np.minimum(before, CAP) - np.minimum(after, CAP))).sum() / 60,
        people[np.isinf(before) & np.isfinite(after)].sum(),
    )


@pytest.mark.benchmark(group="what 2,000 single repairs give")
def test_single_repairs_ours(benchmark, damaged):
    values = benchmark(single_values, *damaged)
    assert len(values) == CLOSED
    assert (values["people"] > 0).sum() > 100
    for one in range(0, CLOSED, 50):
        assert values.iloc[one, :3].tolist() == pytest.approx(again(*damaged, one), rel=1e-9)


@pytest.mark.benchmark(group="what 2,000 single repairs give")
def test_forty_searches_of_everything(benchmark, damaged):
    edges, now, hospitals, _, repairs = damaged
    work = Roadwork(*damaged)

    def forty():
        for one in range(40):
            then = now.copy()
            then[repairs.edge[one]] = repairs.seconds[one]
            yield to_nearest(edges, then, hospitals)

    found = benchmark.pedantic(lambda: list(forty()), rounds=3)
    for one, times in enumerate(found):
        before = work.do(one)
        assert work.times == times.tolist()  # to the last bit
        work.undo(one, before)


@pytest.mark.benchmark(group="bridges of 79,000 edges")
@pytest.mark.parametrize("who", ["ours", "networkx"])
def test_bridges(benchmark, aleppo, who):
    edges, seconds, *_ = aleppo
    ours = criticality.bridges(edges, seconds)
    if who == "ours":
        assert benchmark(criticality.bridges, edges, seconds).sum() == ours.sum()
        return
    nx = pytest.importorskip("networkx")
    net = nx.Graph(zip(edges.tail.tolist(), edges.head.tolist(), strict=True))
    found = benchmark.pedantic(lambda: list(nx.bridges(net)), rounds=1)
    pairs = np.sort(np.stack([edges.tail, edges.head], axis=1), axis=1)
    _, first, count = np.unique(pairs, axis=0, return_index=True, return_counts=True)
    single = set(map(tuple, pairs[first[count == 1]].tolist()))
    assert {tuple(sorted(pair)) for pair in found} & single == set(map(tuple, pairs[ours].tolist()))


@pytest.mark.benchmark(group="what every edge carries")
def test_edge_losses(benchmark, aleppo):
    edges, seconds, hospitals, people = aleppo
    table = benchmark.pedantic(criticality.edge_losses, args=(edges, seconds, hospitals, people), rounds=1)
    assert table["people_lost_share"].between(0, 1).all()
    now = to_nearest(edges, seconds, hospitals)
    for edge in table.index[::3000]:
        then = to_nearest(edges, np.where(np.arange(len(edges)) == edge, np.inf, seconds), hospitals)
        assert table.loc[edge, "people_lost"] == people[(now <= LIMIT) & (then > LIMIT)].sum()


@pytest.mark.benchmark(group="fair shares of 2,000 repairs")
def test_fair_shares(benchmark, damaged, request):
    if not request.config.getoption("benchmark_enable"):
        pytest.skip("half a minute; measured with --benchmark-enable")
    shares = benchmark.pedantic(fair_shares, args=damaged, rounds=1)
    work = Roadwork(*damaged)
    assert shares["fair_person_minutes"].sum() == pytest.approx(work.together(range(CLOSED))[0][1])
