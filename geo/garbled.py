"""Garbled text: cells of Arabic that were read in another encoding, and the encoding that makes them Arabic again."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pandas as pd

from geo.column_names import columns_of
from geo.errors import Finding, finding
from geo.messages import message
from geo.names import ARABIC, limit


def garbled(table: pd.DataFrame, where: str) -> tuple[Finding, ...]:
    """Columns of Arabic that were read in another encoding, with the encoding that makes them Arabic again."""
    broken = {one: encoding for one in columns_of(table) if (encoding := encoding_of(table[one])) is not None}
    if not broken:
        return ()
    found = message("Text of these columns is garbled: {columns}.", columns=list(broken))
    remedy = message(
        'Read as {encodings} it is Arabic: write encoding = "…" in study.toml.', encodings=sorted(set(broken.values()))
    )
    return (finding("text-garbled", "error", where, found, remedy=remedy),)


def encoding_of(values: pd.Series[Any]) -> str | None:
    """The encoding in which garbled cells are Arabic; None where they aren't garbled, or no encoding makes sense of them.

    Windows-1256 goes before ISO-8859-6, which gives other letters of the same alphabet: look at the names before you agree.

    >>> encoding_of(pd.Series(["ÚÑíãÉ", "ÍáÈ"])), encoding_of(pd.Series(["Zürich", "حلب"]))
    ('cp1256', None)
    """
    some = [one for one in values.dropna().head(int(limit("recognition", "coded_rows"))) if isinstance(one, str)]
    odd = [one for one in some if len(re.findall("[\u0080-\u00ff]", one)) >= 2 and not ARABIC.search(one)]
    if not odd or len(odd) < len(some) * limit("recognition", "script_share"):
        return None
    for encoding in ("utf-8", "cp1256", "cp720", "iso8859-6"):
        shares = [_arabic_share(one, encoding) for one in odd]
        if np.mean(shares) >= 1 - limit("recognition", "script_share") / 5:
            return encoding
    return None


def _arabic_share(text: str, encoding: str) -> float:
    """Share of the letters that are Arabic once the bytes of a cell are read in another encoding; a cut-off end is forgiven."""
    for read in ("latin-1", "cp1252"):
        try:
            letters = re.sub(r"[\W\d_]", "", text.encode(read).decode(encoding, errors="ignore"))
        except UnicodeEncodeError:
            continue
        return len(ARABIC.findall(letters)) / max(len(letters), 1)
    return 0.0
