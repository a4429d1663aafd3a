"""What the pages make of the run's numbers: shares as per cent, ranks with their ties, a text in the reader's language.

Rounding is that of `geo.figures`, which the browser's `toFixed` follows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from geo.figures import UNKNOWN, figure, percent, span

if TYPE_CHECKING:
    from collections.abc import Mapping

    from geo.messages import Lang

__all__ = ["UNKNOWN", "amount", "figure", "in_language", "on_screen", "percent", "rank_figure", "span"]


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
