"""Repair value: what each repair gives back if it alone is done, and how access comes back as repairs follow each other.

The value of a repair is the fall of the loss, ``L(S) − L(S without a)``, with what it needs done first (see `geo.repairs`); beside
it stands its fair share where several are needed together (see `geo.fair_share`). Thousands of single repairs cost less than a few
searches of the whole network, for only the nodes that gain are visited. Known bias: values of single repairs must not be added up,
two ways to one place each count it whole; fair shares may be.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import fsum, inf

import numpy as np
import pandas as pd

from geo.access import Targets, parameters
from geo.criticality import detours
from geo.fair_share import fair_shares
from geo.overlay import Floats, Ints
from geo.repairs import GAINS, Repairs, Roadwork, Waiting, required
from geo.routing import Edges


def single_values(edges: Edges, seconds: Floats, targets: Ints, people: Floats, repairs: Repairs) -> pd.DataFrame:
    """The value of each repair if nothing else is done but what it needs first.

    Parameters
    ----------
    seconds
        Per edge, as it is now; infinite is closed.
    targets
        Nodes of the working facilities of one kind.
    people
        By node, all known (`Residents.at_nodes`).

    Returns
    -------
    DataFrame
        Index: names of the repairs. `people` (within the limit again), `person_minutes` (saved, capped), `joined` (cut off now,
        then not), each of the repair with all that it needs first; `alone_…` the same without: 0 for a repair that needs another.

    Examples
    --------
    Hospital at 0, 300 people at 1 behind a closed street of 5 minutes.

    >>> street = Edges(2, np.array([0]), np.array([1]), np.array([False]))
    >>> repairs = Repairs(("street",), np.array([0]), np.array([0]), np.array([300.0]))
    >>> values = single_values(street, np.array([np.inf]), np.array([0]), np.array([0.0, 300.0]), repairs)
    >>> values.loc["street", ["people", "person_minutes", "joined"]].tolist()
    [300.0, 16500.0, 300.0]
    """
    first = required(repairs)
    work = Roadwork(edges, seconds, targets, people, repairs)
    rows = []
    for one in range(len(repairs)):
        gain, _ = work.together([*sorted(first[one]), one])
        rows.append((*gain, *((0.0,) * len(GAINS) if first[one] else gain)))
    columns = [*GAINS, *(f"alone_{name}" for name in GAINS)]
    return pd.DataFrame(rows, index=pd.Index(repairs.names, name="repair"), columns=columns, dtype="float64")


def road_table(
    edges: Edges, seconds: Floats, targets: Targets, people: Floats, repairs: Repairs, *, fair: bool = True
) -> pd.DataFrame:
    """The repairs for the roads directorate, the one that gives most people access first.

    Parameters
    ----------
    targets
        By kind of facility: nodes where one works.
    fair
        Whether fair shares and detours are computed: seconds for hundreds of repairs, minutes for thousands.

    Returns
    -------
    DataFrame
        Index: names. `people` (within the limit of at least one kind again), `person_minutes` (saved, over all kinds), `joined`
        (had no way to at least one kind, then have), each with what the repair needs first; `alone_people`, `alone_person_minutes`;
        `fair_person_minutes` with its standard error, and `fair_access` (people times kinds that come within the limit), the fair
        shares over all kinds; `needs` (names, comma-separated), `detour_min` (the worst of its edges; infinite where there is no
        way around); and of each kind `people_<kind>`, `person_minutes_<kind>`.
    """
    first = required(repairs)
    table = pd.DataFrame(index=pd.Index(repairs.names, name="repair"))
    back: list[set[int]] = [set() for _ in repairs.names]
    joined: list[set[int]] = [set() for _ in repairs.names]
    shared = {name: np.zeros(len(repairs)) for name in ("person_minutes", "people")}
    errors = {name: np.zeros(len(repairs)) for name in shared}
    of_kind: dict[str, Floats] = {}
    for kind, nodes in targets.items():
        work = Roadwork(edges, seconds, nodes, people, repairs)
        gains = np.zeros((len(repairs), len(GAINS)))
        for one in range(len(repairs)):
            gain, after = work.together([*sorted(first[one]), one])
            gains[one] = gain
            back[one] |= {node for node, time in after.items() if time <= work.limit < work.times[node]}
            joined[one] |= {node for node in after if work.times[node] == inf}
        of_kind[f"people_{kind}"], of_kind[f"person_minutes_{kind}"] = gains[:, 0], gains[:, 1]
        if fair:
            shares = fair_shares(edges, seconds, nodes, people, repairs)
            for name in shared:
                shared[name] += shares[f"fair_{name}"].to_numpy()
                errors[name] += shares[f"fair_{name}_se"].to_numpy() ** 2
    waits = np.array([bool(one) for one in first], dtype=bool)
    table["people"] = [fsum(people[node] for node in nodes) for nodes in back]
    table["person_minutes"] = sum((of_kind[f"person_minutes_{kind}"] for kind in targets), np.zeros(len(repairs)))
    table["joined"] = [fsum(people[node] for node in nodes) for nodes in joined]
    table["alone_people"] = table["people"].mask(waits, 0.0)
    table["alone_person_minutes"] = table["person_minutes"].mask(waits, 0.0)
    if fair:
        table["fair_person_minutes"] = shared["person_minutes"]
        table["fair_person_minutes_se"] = np.sqrt(errors["person_minutes"])
        table["fair_access"] = shared["people"]
        table["fair_access_se"] = np.sqrt(errors["people"])
    table["needs"] = [", ".join(repairs.names[before] for before in sorted(one)) for one in first]
    if fair:
        table["detour_min"] = _worst_detour(edges, seconds, repairs)
    return table.assign(**of_kind).sort_values(["people", "person_minutes"], ascending=False, kind="stable")


def _worst_detour(edges: Edges, seconds: Floats, repairs: Repairs) -> Floats:
    """Minutes by repair; NaN for one that opens nothing."""
    if len(repairs.edge) == 0:
        return np.full(len(repairs), np.nan)
    longer = pd.Series(detours(edges, seconds, repairs.edge, repairs.seconds) / 60)
    worst = longer.groupby(repairs.repair).max().reindex(range(len(repairs)))
    return np.asarray(worst, dtype=np.float64)


def after_each(
    edges: Edges, seconds: Floats, targets: Targets, people: Floats, repairs: Repairs, order: Sequence[int]
) -> pd.DataFrame:
    """How access comes back as repairs are done in an order; a repair counts from when all that it needs is done too.

    Parameters
    ----------
    order
        Positions of repairs, each at most once.

    Returns
    -------
    DataFrame
        Index: kind, step (0 is now). `repair` (name, empty at 0), `beyond_<minutes>`, `cut_off`, `person_minutes` (capped) of all
        people.

    Raises
    ------
    ValueError
        A repair stands in the order twice.
    """
    if len(set(order)) != len(order):
        raise ValueError("each repair can be done once")
    waiting = Waiting.of(repairs)
    rows = {}
    for kind, nodes in targets.items():
        work = Roadwork(edges, seconds, nodes, people, repairs)
        rows[kind, 0] = _state("", np.array(work.times), people, work.cap)
        present: set[int] = set()
        for step, one in enumerate(order, start=1):
            present.add(one)
            for other in waiting.released(one, present):
                work.do(other)
            rows[kind, step] = _state(repairs.names[one], np.array(work.times), people, work.cap)
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis(["kind", "step"])


def _state(name: str, times: Floats, people: Floats, cap: float) -> dict[str, object]:
    beyond = {f"beyond_{limit}": float(people[times > 60 * limit].sum()) for limit in parameters()["limits_min"]}
    minutes = float((people * np.minimum(times, cap)).sum()) / 60
    return {"repair": name, **beyond, "cut_off": float(people[np.isinf(times)].sum()), "person_minutes": minutes}
