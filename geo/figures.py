"""Numbers as text, the same in a list, on a map and in a sentence: rounded half away from zero on the exact value.

`toFixed` in JavaScript rounds so; `format(x, ".1f")` rounds half to even, and would put another number in the list than on the map.
Digits are Latin in both languages, with a comma between thousands.
"""

from __future__ import annotations

import math
from decimal import ROUND_HALF_UP, Decimal

UNKNOWN = "–"


def figure(value: float | None, decimals: int) -> str:
    """A number with so many decimals; an en dash for unknown (None, NaN).

    >>> figure(2.5, 0), figure(-1234.56, 1), figure(-0.01, 1), figure(None, 1)
    ('3', '-1,234.6', '0.0', '–')
    """
    if value is None or math.isnan(value):
        return UNKNOWN
    exact = Decimal(value).quantize(Decimal(1).scaleb(-decimals), rounding=ROUND_HALF_UP)
    return f"{exact if exact else abs(exact):,f}"


def percent(share: float | None) -> str:
    """A share (0 to 1) as per cent without decimals.

    >>> percent(0.925), percent(None)
    ('93%', '–')
    """
    return UNKNOWN if share is None or math.isnan(share) else f"{figure(share * 100, 0)}%"


def span(low: float | None, high: float | None) -> str:
    """Whole numbers from low to high; an en dash for unknown (None, NaN).

    >>> span(3, 6), span(1.0, 1.0), span(None, None)
    ('3–6', '1', '–')
    """
    if low is None or high is None or math.isnan(low) or math.isnan(high):
        return UNKNOWN
    return f"{int(low)}–{int(high)}" if low != high else str(int(low))
