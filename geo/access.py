"""Access: how long people need to the nearest working facility of each kind, before the damage, now and after each repair.

A loss is what people had before and do not have now: whoever was far before the war is not counted as cut off by it. People whose
place hangs on no road, or is cut off by a gap in the data alone, are unknown: they are counted on their own, never as isolated.
So that minutes can be added up, a longer way and no way at all count as `cap_min` minutes; a mean over those who still get there
would improve with every quarter that is cut off. Known bias: the nearest facility is not the one people choose, and all of a
neighbourhood's people stand at the nodes given for them. Limits: `data/access.toml`.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import Any

import numpy as np
import pandas as pd

from geo.equity import median
from geo.overlay import Floats, Ints, Shapes
from geo.routing import Bools, Edges, arcs, people_of, search, to_each

Targets = Mapping[str, Ints]  # by kind of facility: the nodes where one works
NOWHERE = -1


@lru_cache(maxsize=1)
def parameters() -> dict[str, Any]:
    """The content of `data/access.toml`; not to be changed by the caller."""
    return tomllib.loads(files("data").joinpath("access.toml").read_text(encoding="utf-8"))


@dataclass(frozen=True)
class Residents:
    """Where people live: one row per building, or per place that stands for many.

    Attributes
    ----------
    node
        Where they come to the roads; -1 if they hang on none.
    people
        How many; NaN unknown.
    zone
        Id of their neighbourhood; None outside of all.
    gap
        By node of the graph: cut off by a gap in the data alone (a piece that was never joined to the rest), so that nothing can
        be said about who lives there. None: no such node.
    """

    node: Ints
    people: Floats
    zone: Shapes
    gap: Bools | None = None

    def __post_init__(self) -> None:
        if not len(self.node) == len(self.people) == len(self.zone):
            raise ValueError("node, people and zone must be as long as each other")
        if (self.people < 0).any():
            raise ValueError("people must not be negative")

    @property
    def placed(self) -> Bools:
        """Whether something can be said about a row's way."""
        on = self.node >= 0
        return on if self.gap is None else on & ~self.gap[np.where(on, self.node, 0)]

    @property
    def counted(self) -> Bools:
        """Placed, and with a known number of people."""
        return np.asarray(self.placed & ~np.isnan(self.people))

    def at_nodes(self, n: int) -> Floats:
        """People by node of a graph with n nodes, of the rows that count.

        >>> three = Residents(np.array([1, 1, -1]), np.array([5.0, np.nan, 7.0]), np.array(["A", "A", "A"]))
        >>> three.at_nodes(2).tolist()
        [0.0, 5.0]
        """
        return np.bincount(self.node[self.counted], self.people[self.counted], minlength=n).astype(np.float64)


def minutes(edges: Edges, seconds: Floats, targets: Targets) -> pd.DataFrame:
    """Minutes from every node to the nearest facility of each kind; infinite where there is no way.

    >>> street = Edges(3, np.array([0, 1]), np.array([1, 2]), np.array([False, False]))
    >>> minutes(street, np.array([60.0, 120.0]), {"hospital": np.array([0]), "school": np.array([2])}).to_numpy().tolist()
    [[0.0, 3.0], [1.0, 2.0], [3.0, 0.0]]
    """
    found = arcs(edges, seconds)
    return pd.DataFrame({kind: search(found, nodes) / 60 for kind, nodes in targets.items()}, index=range(edges.n))


def reached(residents: Residents, **states: pd.DataFrame) -> pd.DataFrame:
    """Of each state of the roads: people within and beyond each limit, cut off, unknown, and their mean minutes.

    Parameters
    ----------
    states
        By name (`before`, `now`, `after_12`): minutes by node and kind.

    Returns
    -------
    DataFrame
        Index: kind, state. `within_<minutes>`, `beyond_<minutes>` (cut off among them), `cut_off`, `minutes_mean` (capped),
        `unknown` (people who are placed nowhere), `rows_unknown` (rows without a number of people).
    """
    rows = {}
    counted, choices = residents.counted, parameters()
    people = residents.people[counted]
    lost = residents.people[~residents.placed]
    for state, table in states.items():
        for kind in table:
            way = table[kind].to_numpy()[residents.node[counted]]
            row = {f"within_{limit}": float(people[way <= limit].sum()) for limit in choices["limits_min"]}
            row |= {f"beyond_{limit}": float(people[way > limit].sum()) for limit in choices["limits_min"]}
            row["cut_off"] = float(people[np.isinf(way)].sum())
            row["minutes_mean"] = _mean(np.minimum(way, choices["cap_min"]), people)
            row["unknown"] = float(np.nansum(lost))
            row["rows_unknown"] = int(np.isnan(residents.people).sum())
            rows[kind, state] = row
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis(["kind", "state"])


def _mean(values: Floats, people: Floats) -> float:
    return float((values * people).sum() / people.sum()) if people.sum() > 0 else np.nan


def lost(residents: Residents, before: pd.DataFrame, now: pd.DataFrame) -> pd.DataFrame:
    """What the damage took from each neighbourhood.

    Parameters
    ----------
    before, now
        Minutes by node and kind (see `minutes`).

    Returns
    -------
    DataFrame
        Index: kind, zone. `people` (counted), `lost_<minutes>` (were within the limit, are not now), `lost_<minutes>_share` (of the
        people counted), `cut_off` (had a way, have none), `cut_off_before` (had none before either), `minutes_added_mean`,
        `minutes_added_median` (over people, capped), `unknown` (people placed nowhere), `rows_unknown`. NaN where nobody is
        counted.

    Raises
    ------
    ValueError
        The two tables do not hold the same kinds, or none.
    """
    if not len(now.columns) or list(before.columns) != list(now.columns):
        raise ValueError("before and now must hold the same kinds of facility, one at least")
    zones = pd.Index(pd.unique(pd.Series(residents.zone, dtype=object).dropna())).sort_values()
    code = zones.get_indexer(pd.Index(residents.zone, dtype=object))
    rows = {}
    for kind in before:
        for position, zone in enumerate(zones):
            here = code == position
            rows[kind, zone] = _lost(residents, here, before[kind].to_numpy(), now[kind].to_numpy())
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis(["kind", "zone"])


def _lost(residents: Residents, here: Bools, before: Floats, now: Floats) -> dict[str, float]:
    choices = parameters()
    counted = here & residents.counted
    people, node = residents.people[counted], residents.node[counted]
    had, has = before[node], now[node]
    unknown = {
        "unknown": float(np.nansum(residents.people[here & ~residents.placed])),
        "rows_unknown": float(np.isnan(residents.people[here]).sum()),
    }
    if not people.sum() > 0:
        names = [name.format(limit) for limit in choices["limits_min"] for name in ("lost_{}", "lost_{}_share")]
        nothing = dict.fromkeys([*names, "cut_off", "cut_off_before", "minutes_added_mean", "minutes_added_median"], np.nan)
        return {"people": 0.0 if counted.any() or not here.any() else np.nan, **nothing, **unknown}
    row = {"people": float(people.sum())}
    for limit in choices["limits_min"]:
        row[f"lost_{limit}"] = float(people[(had <= limit) & (has > limit)].sum())
        row[f"lost_{limit}_share"] = row[f"lost_{limit}"] / row["people"]
    row["cut_off"] = float(people[np.isfinite(had) & np.isinf(has)].sum())
    row["cut_off_before"] = float(people[np.isinf(had)].sum())
    added = np.maximum(np.minimum(has, choices["cap_min"]) - np.minimum(had, choices["cap_min"]), 0.0)
    row["minutes_added_mean"], row["minutes_added_median"] = _mean(added, people), median(added, people)
    return row | unknown


def places_per_person(edges: Edges, seconds: Floats, targets: Ints, capacity: Floats, people: Floats) -> Floats:
    """Places (beds, desks) per person at every node: enhanced two-step floating catchment area.

    First each facility's places are divided by the people around it, then everybody adds up what the facilities around offer;
    both by weights that fall with the zone of travel time (Luo & Qi 2009, doi:10.1016/j.healthplace.2009.06.002). Over all people
    it adds up to the places of the facilities that somebody reaches.

    Parameters
    ----------
    targets, capacity
        Node and places of each working facility; NaN unknown.
    people
        By node, all known.

    Returns
    -------
    ndarray
        By node. 0 where no facility is within the last zone, NaN where one of unknown capacity is.

    Examples
    --------
    A hospital of 10 beds at 0; 100 people there (weight 1), 100 people 15 minutes away (weight 0.68): 10 / 168 beds for each
    weighted person.

    >>> street = Edges(2, np.array([0]), np.array([1]), np.array([False]))
    >>> places = places_per_person(street, np.array([900.0]), np.array([0]), np.array([10.0]), np.array([100.0, 100.0]))
    >>> (places * 168).round(6).tolist()
    [10.0, 6.8]
    """
    zones = 60 * np.array(parameters()["catchment"]["zone_min"], dtype=np.float64)
    weights = np.array([*parameters()["catchment"]["weight"], 0.0])
    people = people_of(edges.n, people)
    places, unknown = np.zeros(edges.n), np.zeros(edges.n, dtype=bool)
    for room, way in zip(capacity, to_each(edges, seconds, targets, limit_s=zones[-1]), strict=True):
        weight = weights[np.searchsorted(zones, way, side="left")]
        demand = float((weight * people).sum())
        if np.isnan(room):
            unknown |= weight > 0
        elif demand > 0:
            places += room / demand * weight
    return np.where(unknown, np.nan, places)
