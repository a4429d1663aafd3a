"""Condensing: the smaller network behaves as the whole one."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geo.condensing import condensed
from geo.service import build, supplied, up


@st.composite
def cities(draw):
    """Two networks of some nodes, arcs at random, some broken, some needs across and along."""
    count = draw(st.integers(2, 9))
    ids = [f"{network}{number}" for network in "wp" for number in range(count)]
    nodes = pd.DataFrame(
        {
            "network": [one[0] for one in ids],
            "supply": [9.0 if draw(st.booleans()) and one[1:] in "01" else 0.0 for one in ids],
            "people": [float(draw(st.integers(0, 5))) for _ in ids],
            "working": [draw(st.integers(0, 3)) > 0 for _ in ids],
        },
        index=ids,
    )
    ends = st.tuples(st.sampled_from("wp"), st.integers(0, count - 1), st.integers(0, count - 1))
    pairs = [(f"{kind}{a}", f"{kind}{b}") for kind, a, b in draw(st.lists(ends, max_size=20)) if a != b]
    arcs = pd.DataFrame(pairs, columns=["tail", "head"], index=[f"a{number}" for number in range(len(pairs))])
    elements = st.sampled_from([*ids, *arcs.index])
    rows = st.tuples(elements, elements, st.sampled_from(["", "g"]), st.sampled_from(["working", "supplied"]))
    needs = pd.DataFrame(
        [one for one in draw(st.lists(rows, max_size=6)) if one[0] != one[1]], columns=["depender", "dependee", "group", "needs"]
    )
    return build(nodes, arcs, needs)


@given(cities(), st.data())
def test_every_state_serves_as_many(networks, data):
    small = condensed(networks).networks
    chosen = data.draw(st.sets(st.sampled_from(networks.broken))) if networks.broken else set()
    whole, drawn = networks.state(chosen), small.state(chosen)
    assert small.value(drawn) == pytest.approx(networks.value(whole))
    assert set(small.broken) == set(networks.broken)


@given(cities())
def test_every_node_is_found_again(networks):
    found = condensed(networks)
    state = supplied(networks, up(networks, networks.working))[: len(networks.nodes)]
    small = supplied(found.networks, up(found.networks, found.networks.working))[: len(found.networks.nodes)]
    np.testing.assert_array_equal(small[found.place], state)


def test_limits_are_refused():
    nodes = pd.DataFrame({"network": "w", "supply": [1.0, 0], "people": [0, 1]}, index=["a", "b"])
    arcs = pd.DataFrame({"tail": ["a"], "head": ["b"], "capacity": [1.0]}, index=["1"])
    with pytest.raises(ValueError, match="without limits"):
        condensed(build(nodes, arcs))
