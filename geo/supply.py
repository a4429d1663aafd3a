"""Supply: how much of each neighbourhood's network is still joined to a source that works, and how many people are not.

What is joined to what, and what it needs, is in `geo.utilities`. Its biases hold here: supply is an upper bound.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from geo.damage import share_of
from geo.flow import Flags
from geo.harmonise import City
from geo.overlay import Floats, cut
from geo.study import NETWORKS
from geo.utilities import Utilities


def measure(city: City, people: pd.DataFrame, made: Utilities | None) -> pd.DataFrame:
    """`<network>_cut_off_share` of the length, and `<network>_cut_off_people`, for each network of the study.

    Parameters
    ----------
    people
        `people, people_low, people_high` by neighbourhood; NaN unknown.
    made
        The networks that have sources (`geo.utilities.of`).

    Returns
    -------
    DataFrame
        Index: neighbourhoods. Best and low take elements of unknown state as working, high takes them as not working; coverage is
        the share of the length whose state is known. Share and people are NaN where the layer has no line, or no source.
    """
    joined = {} if made is None else {end: made.joined(unknown_works=end != "_high") for end in ("", "_low", "_high")}
    tables = [_network(city, name, people, made, joined) for name in NETWORKS if name in city.layers]
    return pd.concat(tables, axis=1) if tables else pd.DataFrame(index=city.zones.index)


def _network(city: City, name: str, people: pd.DataFrame, made: Utilities | None, joined: dict[str, Flags]) -> pd.DataFrame:
    layer, zones = city.layers[name], city.zones.index
    if made is None or name not in made.networks.names:
        total = pd.Series(_drawn(city, name), index=zones)
        shares = dict.fromkeys(("", "_low", "_high"), total * np.nan)
        coverage, note = total * 0.0, "no-sources"
    else:
        mine = (made.elements["layer"] == name).to_numpy()[made.element]
        element, zone, metres = made.element[mine], made.zone[mine], made.metres[mine]

        def length_of(chosen: Flags) -> pd.Series[float]:
            return pd.Series(np.bincount(zone, metres * chosen[element], minlength=len(zones)), index=zones)

        total = length_of(np.ones(len(made.elements), dtype=bool))
        there = total.where(total > 0)
        shares = {end: length_of(~state) / there for end, state in joined.items()}
        coverage, note = (length_of(made.elements["known"].to_numpy(dtype=bool)) / there).fillna(0.0), ""
    silent = ~(share_of(layer, city) > 0) & (total == 0)
    notes = np.select([silent, total == 0], ["extent-unknown", "nothing-here"], note)
    table = pd.DataFrame({f"share{end}": share for end, share in shares.items()})
    for end, share in shares.items():
        table[f"people{end}"] = share * people[f"people{end}"].fillna(people["people"])
    for one in ("share", "people"):
        table[f"{one}_coverage"] = coverage
        table[f"{one}_note"] = notes
    return table.add_prefix(f"{name}_cut_off_")


def _drawn(city: City, name: str) -> Floats:
    """Metres of lines by neighbourhood."""
    shapes = city.layers[name].frame.geometry.dropna()
    pieces = cut(shapes[shapes.geom_type.isin(["LineString", "MultiLineString"])].to_numpy(), city.zones.geometry.to_numpy())
    return np.bincount(pieces.zone, pieces.length, minlength=len(city.zones)).astype(np.float64)
