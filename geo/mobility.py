"""Mobility: the roads of a city with what closes them, its people and its facilities on them.

From the harmonised city comes one network: nodes, travel times before the damage and now, where people come to the roads, and where
facilities of each group stood and stand. People come to the nearest junction or facility within `attach_m` of their home; where no
buildings are known, a neighbourhood's people stand at its junctions, the same number at each. What is not known is taken twice: a
road nobody looked at as open and as closed, a facility of unknown function as working and as not working, so that each measure has
a low and a high. Known bias: somebody whose own street is closed between two junctions stands at the nearer one, outside of the
rubble.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
import shapely

from geo import access, closures, facilities, registers
from geo.access import NOWHERE, Residents, Targets, parameters
from geo.gaps import gaps, isolated_by_gap
from geo.graphs import Graph, attach
from geo.harmonise import City, Layer
from geo.overlay import Floats, Ints, Shapes, middle
from geo.road_network import road_graph
from geo.routing import Edges
from geo.scheme import Scheme
from geo.utilities import Utilities

GROUPS = facilities.GROUPS


@dataclass(frozen=True)
class Mobility:
    """The roads of a city and who is on them.

    Attributes
    ----------
    roads
        The layer of which the graph was made.
    graph
        With facilities as nodes; `graph.seconds` are those before the damage.
    closed
        Of `geo.closures.closures`, by edge of the graph.
    residents
        Where people come to the roads.
    before, now, at_best
        Nodes of the facilities of each group: all there are, those that work, and those that may work.
    """

    roads: Layer
    graph: Graph
    closed: pd.DataFrame
    residents: Residents
    before: Targets
    now: Targets
    at_best: Targets

    @property
    def edges(self) -> Edges:
        """The graph as plain arrays for routing."""
        return Edges(len(self.graph.places), self.graph.tail, self.graph.head, self.graph.one_way)

    def seconds(self, *, unknown: str = "open") -> Floats:
        """Seconds on each edge now, infinite where closed; roads nobody looked at taken as open, or as closed."""
        return closures.seconds_now(self.closed, self.graph, unknown="closed" if unknown == "closed" else "open")


def of(city: City, scheme: Scheme, people: pd.DataFrame, made: Utilities | None = None) -> Mobility | None:
    """The network of a city; None where it has no roads or no facility whose place is known.

    Parameters
    ----------
    people
        `people` by neighbourhood; NaN unknown.
    made
        The networks of the city (`geo.utilities.of`): a facility without the water or power that it needs does not work.
    """
    roads, places = city.roads or city.layers.get("roads"), city.layers.get("facilities")
    if roads is None or places is None or not len(roads.frame):
        return None
    frame = facilities.with_state(places, city.layers.get("damage"), scheme.options.facility_match_m)
    state = facilities.working(frame)
    if made is not None:
        supplied = made.facilities_up().reindex(range(len(frame)), fill_value=True).to_numpy(dtype=bool)
        state = state.mask(~supplied, 0.0)
    placed = frame.geometry.notna().to_numpy()
    frame, works = frame[placed], state[placed].to_numpy()
    if frame.empty:
        return None
    limit_m = float(parameters()["attach_m"])
    attached = attach(road_graph(roads), shapely.points(*middle(frame.geometry.to_numpy())), limit_m=limit_m)
    closed = closures.closures(attached.graph, roads, city, scheme)
    group = frame["kind"].map({name: row["group"] for name, row in registers.register("facility_kinds").items()}).to_numpy()
    there = attached.node != NOWHERE

    def nodes(chosen: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> Targets:
        return {name: np.unique(attached.node[there & chosen & (group == name)]) for name in GROUPS if (group == name).any()}

    everything = np.ones(len(frame), dtype=bool)
    return Mobility(
        roads,
        attached.graph,
        closed,
        _residents(city, attached.graph, people, limit_m),
        nodes(everything),
        nodes(works == 1),
        nodes(~(works == 0)),
    )


def _residents(city: City, graph: Graph, people: pd.DataFrame, limit_m: float) -> Residents:
    """People at the junctions nearest to their buildings; without any in a neighbourhood, at all of its junctions alike."""
    zones = city.zones.index
    nodes = shapely.points(graph.places)
    tree = shapely.STRtree(nodes)
    homes, zone = _homes(city.layers.get("buildings"))
    node = _nearest(tree, homes, limit_m)
    inside = city.zones.geometry.to_numpy()
    for position, name in enumerate(zones):
        if not (zone == name).any():
            own = tree.query(inside[position], predicate="intersects")
            none = np.array([NOWHERE], dtype=np.intp)
            node, zone = np.append(node, own if len(own) else none), np.append(zone, np.repeat(name, max(len(own), 1)))
    count = pd.Series(zone).map(pd.Series(zone).value_counts()).to_numpy(dtype=np.float64)
    each = people["people"].reindex(pd.Index(zone)).to_numpy(dtype=np.float64, na_value=np.nan) / count
    gap = isolated_by_gap(graph, gaps(graph, reach_m=float(parameters()["gap_m"])))
    return Residents(node, each, zone.astype(object), gap)


def _homes(buildings: Layer | None) -> tuple[Shapes, Shapes]:
    """Points on the buildings that lie in a neighbourhood, and its id."""
    if buildings is None or "zone" not in buildings.frame:
        return np.array([], dtype=object), np.array([], dtype=object)
    frame = buildings.frame[buildings.frame["zone"].notna()]
    return shapely.points(*middle(frame.geometry.to_numpy())), frame["zone"].to_numpy(dtype=object)


def _nearest(tree: shapely.STRtree, points: Shapes, limit_m: float) -> Ints:
    """The nearest node to each point within the limit, -1 for none."""
    found = np.full(len(points), NOWHERE, dtype=np.intp)
    if len(points):
        point, node = tree.query_nearest(points, max_distance=limit_m, all_matches=False)
        found[point] = node
    return found


def measure(city: City, made: Mobility | None) -> pd.DataFrame:
    """Access lost to the facilities of each group, by neighbourhood; no columns without roads or facilities.

    Returns
    -------
    DataFrame
        `lost_access_<group>` (people who were within `limit_min` minutes of a facility and are not within that of one that works),
        `lost_access_<group>_share` (of the people who could be placed), `minutes_added_<group>` (mean over people; a longer way, or
        none, counts as `cap_min`), each with `_low` and `_high` (what is unknown taken as good, and as bad), `_coverage` (share of
        the people who could be placed on a road) and `_note`.
    """
    if made is None:
        return pd.DataFrame(index=city.zones.index)
    zones = city.zones.index
    edges, limit = made.edges, parameters()["limit_min"]
    before = access.minutes(edges, made.graph.seconds, made.before)
    states: Mapping[str, pd.DataFrame] = {
        "": access.minutes(edges, made.seconds(), made.now),
        "_low": access.minutes(edges, made.seconds(), made.at_best),
        "_high": access.minutes(edges, made.seconds(unknown="closed"), made.now),
    }
    columns: dict[str, pd.Series[float]] = {}
    for end, now in states.items():
        lost = access.lost(made.residents, before, now)
        for group in made.before:
            here = lost.loc[group].reindex(zones)
            columns[f"lost_access_{group}{end}"] = here[f"lost_{limit}"]
            columns[f"lost_access_{group}_share{end}"] = here[f"lost_{limit}_share"]
            columns[f"minutes_added_{group}{end}"] = here["minutes_added_mean"]
            if not end:
                placed = here["people"] / (here["people"] + here["unknown"])
                note = pd.Series(np.where(here["people"] > 0, "", "people-unknown"), index=zones)
                for name in (f"lost_access_{group}", f"lost_access_{group}_share", f"minutes_added_{group}"):
                    columns |= {f"{name}_coverage": placed.fillna(0.0), f"{name}_note": note}
    return pd.DataFrame(columns, index=zones)
