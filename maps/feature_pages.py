"""Features as plain pages: what a program gets as JSON, for somebody with a browser and nothing else. No script, no map.

All text of surveys goes through the template, which escapes it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from maps.page import language_links, rendered

if TYPE_CHECKING:
    from geo.messages import Lang

Cell = tuple[str, str]
COLUMNS = 12


@dataclass(frozen=True)
class Listed:
    """What a page lists: `columns` are headings, a cell is a text and the address it leads to, '' without one."""

    heading: str
    lines: Sequence[str] = ()
    links: Sequence[Cell] = ()
    columns: Sequence[str] = ()
    rows: Sequence[Sequence[Cell]] = field(default_factory=list)


def feature_page(
    listed: Listed,
    *,
    lang: Lang,
    city: str,
    run_line: str,
    assets_url: str,
    trail: Sequence[Cell],
    language_urls: Mapping[str, str],
) -> str:
    """A page of a service of features; `trail` are the links above it, from the entrance on."""
    return rendered(
        "features.html",
        lang,
        assets_url=assets_url,
        title=listed.heading,
        city=city,
        run_line=run_line,
        trail=trail,
        languages=language_links(language_urls),
        heading=listed.heading,
        lines=listed.lines,
        links=listed.links,
        columns=listed.columns,
        rows=listed.rows,
    )


def cell(value: Any) -> str:
    """A value as text; unknown is a dash.

    >>> [cell(one) for one in (None, 0.1 + 0.2, 36, True, "الخالدية")]
    ['–', '0.3', '36', '✓', 'الخالدية']
    """
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "–"
    if isinstance(value, bool):
        return "✓" if value else "✗"
    return f"{value:.6g}" if isinstance(value, float) else str(value)
