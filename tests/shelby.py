"""The Shelby County benchmark: four networks that need each other, 12 damage scenarios, and the losses of four published kinds of plan.

Two readings of its rules. *As written* (BENCHMARK.md): an element needs all of its dependees, and the state at the end of each period
counts. *As computed* (baselines.json): one dependee of several is enough, and the state before the first repair counts too; only so
do the exact plans come to the figures of the file, to six decimals.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from geo.sequence import Plan, Repairs, repairs
from geo.service import Networks, build

FOLDER = "shelby-interdependent-networks"
NAMES = ("Power", "Water", "Gas", "Telecommunication")
INTACT = 0.0238  # unmet with everything repaired, as the rules give it
CREWS = 5


@dataclass(frozen=True)
class Scenario:
    """One damage scenario, with the published losses by kind of plan."""

    name: str
    damaged: int
    published: dict[str, float]


def scenarios(shared: Path) -> list[Scenario]:
    kinds = ("static", "greedy", "iINDP", "roll3")
    rows = json.loads((shared / "data" / FOLDER / "baselines.json").read_text(encoding="utf-8"))
    return [Scenario(f"{row['s']}_{row['c']}", row["n"], {kind: row[kind] for kind in kinds}) for row in rows]


def networks(shared: Path, scenario: str, *, as_written: bool) -> Networks:
    folder = shared / "data" / FOLDER
    nodes, arcs = [], []
    for name in NAMES:
        damaged = [folder / "scenarios" / scenario / f"Net_{name}_Damaged_{kind}.txt" for kind in ("Nodes", "Arcs")]
        broken = {f"{name} {number}" for number in damaged[0].read_text().split()}
        cut = {tuple(f"{name} {number}" for number in line.split()) for line in damaged[1].read_text().splitlines() if line.strip()}
        table = pd.read_csv(folder / f"{name}Nodes.csv")
        ids = name + " " + table["ID"].astype(str)
        columns = {"network": name, "supply": table["Demand"].clip(lower=0), "demand": -table["Demand"].clip(upper=0)}
        nodes.append(pd.DataFrame(columns | {"working": ~ids.isin(broken)}).set_index(ids))
        table = pd.read_csv(folder / f"{name}Arcs.csv")
        ends = {end: name + " " + table[column].astype(str) for end, column in (("tail", "Start Node"), ("head", "End Node"))}
        works = [pair not in cut and pair[::-1] not in cut for pair in zip(ends["tail"], ends["head"], strict=True)]
        made = pd.DataFrame({**ends, "capacity": table["u"], "working": works})
        arcs.append(made.set_index(name + " arc " + table["ID"].astype(str)))
    table = pd.read_csv(folder / "Interdep.csv").query("Type == 'Physical'")
    needs = {
        end: table[f"{part} Network"] + " " + table[f"{part} Node"].astype(str)
        for end, part in (("depender", "Depender"), ("dependee", "Dependee"))
    }
    group = pd.NA if as_written else "one is enough"
    return build(pd.concat(nodes), pd.concat(arcs), pd.DataFrame(needs | {"group": group}), weighting="networks")


def problem(shared: Path, scenario: Scenario, *, as_written: bool) -> Repairs:
    made = repairs(networks(shared, scenario.name, as_written=as_written), allowance=CREWS)
    assert len(made.effort) == scenario.damaged
    return made


def loss(plan: Plan, *, as_written: bool) -> float:
    """Σ (unmet − what stays unmet with everything repaired) × periods."""
    return plan.lost_after if as_written else plan.lost
