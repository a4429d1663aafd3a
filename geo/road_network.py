"""The road network of a study: all of its roads, inside the neighbourhoods and outside of them, as a graph.

Whoever is cut off inside may still come around outside, so roads are not cut at the boundary of the study. Known bias: a layer that
was itself cut there makes quarters at its edge look worse connected than they are.
"""

from __future__ import annotations

from collections.abc import Mapping

from geo import registers
from geo.errors import LayerError, finding
from geo.graphs import Graph, build
from geo.harmonise import City, Layer, read_layer
from geo.messages import message


def read_roads(city: City, accepted: Mapping[str, Layer]) -> Layer:
    """All the roads of a study, those outside of every neighbourhood too: ways around lead over them.

    Parameters
    ----------
    accepted
        Layers that go before the files of the study, as for `geo.pipeline.read_city`.

    Raises
    ------
    LayerError
        The study has no roads, or they can't be read.
    """
    if "roads" in accepted:
        return accepted["roads"]
    if "roads" not in city.study.layers:
        raise LayerError(
            finding(
                "no-roads",
                "error",
                "roads",
                message("The study has no roads."),
                remedy=message("Add a layer of roads to study.toml, with lines of their axes."),
            )
        )
    return read_layer(city.study, "roads", area=tuple(city.zones.total_bounds))


def road_graph(roads: Layer) -> Graph:
    """The graph of the layer of roads; whether roads that cross are joined is for the profile of their source to say."""
    profile = registers.tree("sources", roads.spec.profile) if roads.spec.profile else {}
    return build(roads.frame, crossings=profile.get("crossings_join", True))
