"""Colours and classes: from a value to one of five colours.

Colours stand in `palettes.toml`. Classes of a measure are fifths of the neighbourhoods (quantiles) with limits rounded to figures
one can say; so a class says "among the highest fifth", not "twice as bad". Scores get equal steps instead, since they mean the same
everywhere on the scale. Unknown has no colour: it is hatched.
"""

from __future__ import annotations

import math
import tomllib
from functools import lru_cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

CLASSES = 5
STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)


@lru_cache(maxsize=1)
def palettes() -> dict[str, Any]:
    """`palettes.toml`; not to be changed by the caller."""
    return tomllib.loads(files("maps").joinpath("palettes.toml").read_text(encoding="utf-8"))


def rounded(value: float, figures: int = 2) -> float:
    """A limit one can say: two significant figures.

    >>> rounded(1234.0), rounded(0.0678)
    (1200.0, 0.068)
    """
    if value == 0:
        return 0.0
    return round(value, figures - 1 - math.floor(math.log10(abs(value))))


def fifths(values: Sequence[float], *, decimals: int = 3) -> list[float]:
    """Inner limits of up to five classes with about equally many values; NaN is left aside.

    A value equal to a limit belongs to the class above it. Fewer limits where values repeat or `decimals` (as shown on screen)
    can't tell them apart; none for fewer than two different values.

    >>> fifths([1, 2, 3, 4, 5, 6, 7, 8, 9, 10], decimals=0)
    [3.0, 5.0, 6.0, 8.0]
    >>> fifths([0, 0, 0, 0, 0, 0, 0, 0, 7, float("nan")], decimals=0)
    [7.0]
    """
    known = np.asarray(values, dtype=float)
    known = known[np.isfinite(known)]
    if len(known) == 0 or known.min() == known.max():
        return []
    low, high = float(known.min()), float(known.max())
    limits = {round(rounded(float(q)), decimals) for q in np.quantile(known, [0.2, 0.4, 0.6, 0.8])}
    inner = sorted(limit for limit in limits if low < limit <= high)
    return inner or [round(rounded(float(known[known > low].min())), decimals)]


def steps(values: Sequence[float], *, classes: int = CLASSES) -> list[float]:
    """Inner limits of classes of one width, on round figures, over the values there are; NaN is left aside.

    >>> steps([12.0, 31.5, 58.9])
    [20.0, 30.0, 40.0, 50.0]
    """
    known = np.asarray(values, dtype=float)
    known = known[np.isfinite(known)]
    if len(known) == 0 or known.min() == known.max():
        return []
    low, high = float(known.min()), float(known.max())
    ten = 10.0 ** math.floor(math.log10((high - low) / classes))
    width = next(
        step * ten for step in (*STEPS, 20.0) if math.floor(low / (step * ten)) * step * ten + classes * step * ten >= high
    )
    first = math.floor(low / width) * width
    return [limit for i in range(1, classes) if (limit := round(first + i * width, 10)) <= high]
