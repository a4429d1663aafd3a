"""Connectivity: the published five nodes, networkx as oracle, and that no loss leaves 0 to 1."""

from __future__ import annotations

import json

import networkx as nx
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geo import connectivity
from geo.service import ServiceError, build
from tests.test_service import arcs, nodes, random_network


def test_published_five_nodes(shared):
    one = json.loads((shared / "test_vectors.json").read_text(encoding="utf-8"))["oq_connectivity_5node"]
    source, demand = one["source_nodes"], one["demand_nodes"]
    left = nodes(**{name: ("roads", float(name in source), int(name in demand), True) for name in "ABCDE"})
    ways = [("!" if edge[:2] == one["failed_edge"] else "") + "-".join(edge[:2]) for edge in one["edges"]]
    right = arcs(*ways, directed=one["directed"])
    length = pd.Series({"-".join(edge[:2]): float(edge[2]) for edge in one["edges"]})
    lost = connectivity.loss(build(left, right), length=length).loc["roads"]
    assert lost.tolist() == pytest.approx([one["CCL"], one["PCL"], one["WCL"], one["EL"]], abs=1e-6)


def test_one_of_two_sources_is_half_of_the_partial_loss_and_none_of_the_complete():
    left = nodes(w1=("water", 1.0, 0, False), w2=("water", 1.0, 0, True), home=("water", 0, 5, True))
    lost = connectivity.loss(build(left, arcs("w1-home", "w2-home"))).loc["water"]
    assert lost[["complete", "partial"]].tolist() == [0, 0.5]
    # before NS = 2, Σ1/d = 2, WS = 4; now 1
    assert lost["weighted"] == 0.75


def test_network_that_never_had_a_source_has_no_share_to_lose():
    lost = connectivity.loss(build(nodes(a=("water", 0, 5, True), b=("water", 0, 5, True)), arcs("!a-b"))).loc["water"]
    assert lost[["complete", "partial", "weighted"]].isna().all()
    assert lost["efficiency"] == 1


def test_loss_through_another_network(shared):
    """A pump that is sound but has no power is as good as broken."""
    left = nodes(sub=("power", 9.0, 0, False), well=("water", 9.0, 0, True), home=("water", 0, 5, True))
    wants = pd.DataFrame({"depender": ["well"], "dependee": ["sub"]})
    assert connectivity.loss(build(left, arcs("well-home"), wants)).at["water", "complete"] == 1


def test_unknown_length_is_refused():
    made = build(nodes(a=("water", 1.0, 0, True), b=("water", 0, 5, True)), arcs("a-b"))
    for length in (np.nan, 0.0):
        with pytest.raises(ServiceError, match="not above 0"):
            connectivity.loss(made, length=pd.Series({"a-b": length}))


@given(random_network(), st.integers(1, 5))
def test_losses_are_shares_and_efficiency_is_that_of_networkx(made, unit):
    length = pd.Series(np.arange(1, len(made.arcs) + 1) * float(unit), index=made.arcs.index)
    lost = connectivity.loss(made, length=length).loc["n"]
    assert (lost.dropna() >= 0).all()
    assert (lost.dropna() <= 1).all()

    def efficiency(works):
        graph = nx.MultiDiGraph()
        graph.add_nodes_from(made.nodes.index)
        for number, (arc, row) in enumerate(made.arcs.iterrows()):
            ends = made.nodes.index.get_indexer([row["tail"], row["head"]])
            if works[ends].all() and works[len(made.nodes) + number]:
                graph.add_edge(row["tail"], row["head"], length=length[arc])
                if not row["directed"]:
                    graph.add_edge(row["head"], row["tail"], length=length[arc])
        far = dict(nx.all_pairs_dijkstra_path_length(graph, weight="length"))
        return sum(1 / d for one, row in far.items() for other, d in row.items() if one != other)

    whole = efficiency(np.ones_like(made.working))
    expected = 1 - efficiency(made.working) / whole if whole else np.nan
    assert lost["efficiency"] == pytest.approx(expected, abs=1e-9, nan_ok=True)
