"""Hashtags: the row of HXL hashtags that a form or a spreadsheet carries above its data.

The row stands in the header or within the first 25 rows; it is taken out of the data. Source: HXL standard 1.1.
"""

from __future__ import annotations

import re

import pandas as pd

from geo.column_names import columns_of
from geo.names import clean, limit

TAG = re.compile(r"#[a-z][a-z0-9_]*(\s*\+\s*[a-z][a-z0-9_]*)*", re.IGNORECASE)


def hashtags(table: pd.DataFrame) -> dict[str, str]:
    """HXL hashtags by column, from the header or from one of the first 25 rows; empty where there are none.

    >>> hashtags(pd.DataFrame({"Lat": ["#geo+lat", "36.2"], "Pop": ["#population", "5"]}))
    {'Lat': '#geo+lat', 'Pop': '#population'}
    """
    columns = columns_of(table)
    header = {one: one for one in columns if TAG.fullmatch(one)}
    if header:
        return header
    at = _tag_row(table)
    if at is None:
        return {}
    return {one: clean(str(table[one].iloc[at])) for one in columns if TAG.fullmatch(clean(str(table[one].iloc[at])))}


def _tag_row(table: pd.DataFrame) -> int | None:
    columns = columns_of(table)
    for at in range(min(len(table), int(limit("recognition", "header_rows")))):
        cells = [clean(one) for one in table[columns].iloc[at] if isinstance(one, str) and clean(one)]
        if cells and all(TAG.fullmatch(one) for one in cells):
            return at
    return None


def without_hashtags(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of data: what stands up to the hashtag row belongs to the header."""
    at = _tag_row(table)
    return table if at is None else table.iloc[at + 1 :]


def tag_fits(given: str, wanted: str, ignored: set[str]) -> bool:
    """Same tag, the wanted attributes, and none besides that changes the meaning (`+f` would be women only)."""
    tag, *attributes = re.split(r"\s*\+\s*", given.casefold())
    want, *needed = wanted.split("+")
    return tag == want and set(needed) <= set(attributes) and not set(attributes) - set(needed) - ignored
