"""Networks: metres of water, sewerage, electricity and telecom lines in each neighbourhood, and how many are damaged.

The share is of the length whose state is known; a line without a state is unknown, neither damaged nor sound. Known bias: length
says nothing about who hangs on a line: one main can matter more than a hundred service pipes. Nodes (pumps, substations) are not
counted here.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import shapely

from geo.damage import DAMAGED, share_of
from geo.harmonise import City
from geo.overlay import cut
from geo.scheme import Scheme
from geo.study import NETWORKS


def measure(city: City, scheme: Scheme) -> pd.DataFrame:
    """`<network>_length_m`, `<network>_damaged_m` and `<network>_damaged_share` for each network of the study.

    Low counts lines of unknown state as sound, high as damaged; coverage is the share of the length whose state is known.
    """
    tables = [_network(city, name) for name in NETWORKS if name in city.layers]
    return pd.concat(tables, axis=1) if tables else pd.DataFrame(index=city.zones.index)


def _network(city: City, name: str) -> pd.DataFrame:
    layer, zones = city.layers[name], city.zones.index
    frame = layer.frame[shapely.get_dimensions(layer.frame.geometry.to_numpy()) == 1]
    state = frame["state"] if "state" in frame else pd.Series(pd.NA, index=frame.index, dtype="string")
    pieces = cut(frame.geometry.to_numpy(), city.zones.geometry.to_numpy())
    hit = state.isin(DAMAGED).to_numpy()[pieces.line]
    known = (state.notna() & ~state.isin(["not_analysed"])).to_numpy()[pieces.line]
    total, damaged, certain = (
        pd.Series(np.bincount(pieces.zone, pieces.length * chosen, minlength=len(zones)), index=zones)
        for chosen in (1.0, hit, known)
    )
    silent = ~(share_of(layer, city) > 0) & (total == 0)
    unknown = total - certain
    there = total.where(total > 0)
    table = pd.DataFrame(
        {
            "length_m": total.mask(silent),
            "damaged_m": damaged.where(certain > 0).mask(silent),
            "damaged_m_low": damaged.mask(silent),
            "damaged_m_high": (damaged + unknown).mask(silent),
            "damaged_share": damaged / certain.where(certain > 0),
            "damaged_share_low": damaged / there,
            "damaged_share_high": (damaged + unknown) / there,
        }
    )
    for one in ("damaged_m", "damaged_share"):
        table[f"{one}_coverage"] = (certain / there).fillna(0.0)
        table[f"{one}_note"] = np.select([silent, total == 0, certain == 0], ["extent-unknown", "nothing-here", "not-surveyed"], "")
    return table.add_prefix(f"{name}_")
