"""Complaints: how many came from each neighbourhood, and how many for a thousand people.

They say as much about who has a telephone as about who has no water, so their weight in a scheme stays small (METHODS 1.7) and
the list can always be read without them.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from geo.damage import share_of
from geo.harmonise import City
from geo.population import inhabited


def measure(city: City, people: pd.DataFrame) -> pd.DataFrame:
    """`complaints` and `complaints_per_1000` people by neighbourhood; NaN where people are unknown or nobody listened.

    `people` has `people, people_low, people_high`; the bounds of the ratio are those of the people.
    """
    layer = city.layers.get("complaints")
    if layer is None:
        return pd.DataFrame(index=city.zones.index)
    row = city.zones.index.get_indexer(pd.Index(layer.frame["zone"]))
    count = pd.Series(np.bincount(row[row >= 0], minlength=len(city.zones)), index=city.zones.index).astype("float64")
    covered = share_of(layer, city)
    count = count.mask((covered == 0) | (covered.isna() & (count == 0)))
    residents, few, many = inhabited(people)
    return pd.DataFrame(
        {
            "complaints": count,
            "complaints_coverage": covered,
            "complaints_per_1000": count / residents * 1000,
            "complaints_per_1000_low": count / many * 1000,
            "complaints_per_1000_high": count / few * 1000,
            "complaints_per_1000_coverage": covered,
            "complaints_per_1000_note": np.select([count.isna(), residents.isna()], ["extent-unknown", "people-unknown"], ""),
        }
    )
