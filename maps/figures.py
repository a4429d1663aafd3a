"""Numbers as text, the same in Python and in the browser: rounded half away from zero on the exact value, comma between thousands.

`toFixed` in JavaScript rounds so; `format(x, ".1f")` rounds half to even, and would put another number in the list than on the map.
Digits are Latin in both languages.
"""

from __future__ import annotations

import math
from decimal import ROUND_HALF_UP, Decimal
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from geo.messages import Lang

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


def rank_figure(rank: int | None, tied: bool) -> str:
    """A rank, with = where it is shared.

    >>> rank_figure(3, True), rank_figure(1, False), rank_figure(None, False)
    ('3=', '1', '–')
    """
    return UNKNOWN if rank is None else f"{rank}{'=' if tied else ''}"


def on_screen(measure: Mapping[str, Any]) -> dict[str, Any]:
    """A measure's record with what the screen needs: a share is shown as per cent.

    Adds `factor`, by which a value is multiplied before it is rounded to `decimals`.

    >>> on_screen({"id": "damage_index", "unit_id": "share", "decimals": 3, "unit": {}})["decimals"]
    1
    """
    if measure.get("unit_id") != "share":
        return {**measure, "factor": 1}
    return {**measure, "factor": 100, "decimals": max(int(measure["decimals"]) - 2, 0), "unit": {"ar": "%", "en": "%"}}


def amount(value: float | None, measure: Mapping[str, Any]) -> str:
    """A value of a measure (from `on_screen`) as text, without its unit.

    >>> amount(0.125, {"factor": 100, "decimals": 1})
    '12.5'
    """
    return figure(None if value is None else value * measure["factor"], measure["decimals"])


def in_language(texts: Mapping[Lang, str] | Mapping[str, str] | None, lang: Lang) -> str:
    """The text of a language, or the other one where it is missing."""
    found = {str(code): text for code, text in (texts or {}).items()}
    return found.get(lang) or next((text for text in found.values() if text), "")
