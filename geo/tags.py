"""Tags of OpenStreetMap: GDAL gives a few keys a column of their own and leaves the others in one text, `other_tags`.

The keys that our profile of OpenStreetMap asks for (one-way, bridge, level, names in Arabic) become columns again, whichever format
the text came in; the text itself stays as it is. Known bias: a key that the profile does not name is not read.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

from geo import registers

COLUMN = "other_tags"
TAG = re.compile(r'"((?:[^"\\]|\\.)*)"=>"((?:[^"\\]|\\.)*)"')


def unpacked(texts: Iterable[Any], *, without: Iterable[str]) -> dict[str, Sequence[str | None]]:
    """Columns by key, one value a text, None where it has none; keys that no text holds make no column.

    Parameters
    ----------
    texts
        `"key"=>"value"`, separated by commas, as GDAL writes them; what is no text has no tags.
    without
        Keys that have a column already.

    Examples
    --------
    >>> unpacked(['"oneway"=>"yes","lanes"=>"2"', None], without=["highway"])
    {'oneway': ['yes', None]}
    """
    asked = {key for theirs in registers.tree("sources", "osm")["columns"].values() for key in theirs} - set(without)
    found = [{_plain(key): _plain(value) for key, value in TAG.findall(text)} if isinstance(text, str) else {} for text in texts]
    columns: dict[str, Sequence[str | None]] = {key: [one.get(key) for one in found] for key in sorted(asked)}
    return {key: values for key, values in columns.items() if any(values)}


def _plain(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text)
