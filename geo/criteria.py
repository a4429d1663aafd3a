"""Criteria: every measure of a neighbourhood, in one table.

A measure is a function of the harmonised city; `MEASURED` names them in the order of the table. `data/measures.csv` holds label,
unit, decimals and palette of each column; a column that is not registered there is refused, so that nothing reaches a list, a map
or an export without a name and a unit. To add a criterion: a function in its module, a line here, a row there, a test, a README
row.
"""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd

from geo import complaints, damage, evidence, facilities, mobility, networks, population, registers, roads, supply, utilities
from geo.harmonise import City
from geo.mobility import Mobility
from geo.population import People
from geo.scheme import Scheme
from geo.utilities import Utilities

Measured = Callable[[City, Scheme, People], pd.DataFrame]
PARTS = ("", "_low", "_high", "_coverage", "_note")

MEASURED: dict[str, Measured] = {
    "damage": lambda city, scheme, people: damage.measure(city, scheme),
    "evidence": lambda city, scheme, people: evidence.measure(city),
    "people": population.measure,
    "roads": lambda city, scheme, people: roads.measure(city, scheme),
    "networks": lambda city, scheme, people: networks.measure(city, scheme),
    "facilities": lambda city, scheme, people: facilities.measure(city, scheme, people.table),
    "complaints": lambda city, scheme, people: complaints.measure(city, people.table),
}


def measure(
    city: City, scheme: Scheme, people: People, roads: Mobility | None = None, made: Utilities | None = None
) -> pd.DataFrame:
    """All measures by neighbourhood, in the order of the register.

    Parameters
    ----------
    roads, made
        Of `geo.mobility.of` and `geo.utilities.of`, where the caller has them already.

    Returns
    -------
    DataFrame
        Index: ids of the neighbourhoods. Per measure `<m>` (best, NaN unknown) and where they mean something `<m>_low`,
        `<m>_high`, `<m>_coverage` (0 to 1) and `<m>_note` (code of the reason for no value, or empty).
    """
    found = [function(city, scheme, people) for function in MEASURED.values()]
    networks_made = made or utilities.of(city, scheme, people.table)
    roads_made = roads or mobility.of(city, scheme, people.table, networks_made)
    found += [supply.measure(city, people.table, networks_made), mobility.measure(city, roads_made)]
    table = pd.concat(found, axis=1)
    known = registers.register("measures")
    columns = [f"{name}{part}" for name in known for part in PARTS if f"{name}{part}" in table]
    stray = set(table.columns) - set(columns)
    if stray:
        raise KeyError(f"columns without a row in data/measures.csv: {sorted(stray)}")
    notes = [column for column in columns if column.endswith("_note")]
    return table[columns].astype(dict.fromkeys(notes, "string"))
