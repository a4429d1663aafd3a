"""P-codes: what a code of a place is, whether it can be right, and whether it lies in the area of the study.

Nothing is corrected: a code that lost its zeros in a spreadsheet brings back the code that is meant as a proposal, for a person
to confirm. Known bias: codes of communities and neighbourhoods (C####, N####) don't carry the area they lie in.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import pandas as pd

from geo import registers
from geo.errors import Finding, finding
from geo.messages import message
from geo.names import DIGITS, UNDERSTANDING, clean, limit


def pcodes(codes: pd.Series[Any], boundary_codes: Iterable[object] = (), *, level: str | None = None) -> pd.DataFrame:
    """What each code is and what is wrong with it.

    Returns
    -------
    DataFrame
        Index of `codes`. `code`: as text; `level`: adm1 … neighbourhood, missing where it is no P-code; `fault`: missing, or
        "empty", "form" (no P-code), "zeros" (leading zeros or the prefix were lost; `proposal` holds the code meant), "level"
        (another level than asked for), "unknown" (not among the boundary codes); `proposal`: never put in place by itself.

    Examples
    --------
    >>> pcodes(pd.Series(["N0119", "N119", "SY010", "SY02"]), ["N0119", "SY10", "SY02"])[["fault", "proposal"]].values.tolist()
    [[<NA>, <NA>], ['zeros', 'N0119'], ['zeros', 'SY10'], [<NA>, <NA>]]
    """
    known = frozenset(clean(str(one)) for one in boundary_codes if one is not None and one is not pd.NA)
    texts = [code_text(one) for one in codes]
    rows = {text: _code_judged(text, known, level) for text in dict.fromkeys(texts)}
    table = pd.DataFrame([rows[text] for text in texts], columns=["code", "level", "fault", "proposal"], index=codes.index)
    return table.astype("string")


def code_text(value: object) -> str:
    """A code as text, in Latin digits; "" where there is none.

    >>> code_text(119.0), code_text(" N٠١١٩ "), code_text(None)
    ('119', 'N0119', '')
    """
    if value is None or value is pd.NA or (isinstance(value, float) and np.isnan(value)):
        return ""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return unicodedata.normalize("NFKC", clean(str(value))).translate(DIGITS)


def _code_judged(text: str, known: frozenset[str], level: str | None) -> tuple[Any, ...]:
    if not text:
        return pd.NA, pd.NA, "empty", pd.NA
    there = level_of(text)
    if there is None or (known and text not in known):
        meant = _meant(text, known, level)
        if meant is not None:
            return text, level_of(meant), "zeros", meant
    if there is None:
        return text, pd.NA, "form", pd.NA
    if level is not None and there != level:
        return text, there, "level", pd.NA
    return text, there, ("unknown" if known and text not in known else pd.NA), pd.NA


def level_of(code: str) -> str | None:
    """The level of a P-code by its form.

    >>> level_of("SY040100"), level_of("C2528"), level_of("SY010")
    ('adm3', 'community', None)
    """
    rows = registers.table(UNDERSTANDING, "pcodes")
    return next((row["level"] for row in rows if re.fullmatch(row["pattern"], code)), None)


def _meant(text: str, known: frozenset[str], level: str | None) -> str | None:
    """The one code that this may have been before a spreadsheet took its zeros, its prefix or its capitals."""
    seen = re.fullmatch(r"([A-Za-z]*)[\s\-_]*(\d+)", text)
    if seen is None:
        return None
    letters, digits = seen.groups()
    meant = set()
    for row in registers.table(UNDERSTANDING, "pcodes"):
        width = int(row["digits"])
        if (letters and letters.upper() != row["prefix"]) or not width or (level is not None and row["level"] != level):
            continue
        if len(digits.lstrip("0")) <= width and (known or letters):
            meant.add(row["prefix"] + digits.lstrip("0").rjust(width, "0"))
    meant = {one for one in meant if one in known} if known else {one for one in meant if len(meant) == 1}
    meant.discard(text)
    return meant.pop() if len(meant) == 1 else None


def check_pcodes(
    codes: pd.Series[Any],
    boundary_codes: Iterable[object] = (),
    *,
    level: str | None = None,
    within: Iterable[str] = (),
    parents: Mapping[str, Sequence[str]] | None = None,
    where: str = "P-codes",
) -> tuple[Finding, ...]:
    """Everything that is wrong with a column of P-codes, by row; nothing is corrected.

    Parameters
    ----------
    boundary_codes
        Codes of the boundary file; a code that is not among them is unknown.
    level
        The level that all codes should have: adm1, adm2, adm3, community, neighbourhood.
    within
        Codes of the area of the study (say SY04); an admin code that does not begin with one of them lies elsewhere.
    parents
        For codes that do not carry their area (C####, N####): their admin codes.
    """
    allowed = frozenset(boundary_codes)
    table = pcodes(codes, allowed, level=level)
    area = tuple(within)
    outside = _outside(table, area, parents or {}) if area else pd.Series(False, index=table.index)
    levels = sorted(table["level"].dropna().unique())
    findings = [
        _code_finding("pcode-elsewhere", table[outside], where, area),
        *(_code_finding(f"pcode-{fault}", table[(table["fault"] == fault) & ~outside], where, area) for fault in _SAID),
    ]
    if level is None and len(levels) > 1:
        mixed = message("Codes of several levels in one column: {levels}.", levels=levels)
        findings.append(finding("pcode-levels", "warning", where, mixed, remedy=message("One level in a column.")))
    return tuple(one for one in findings if one is not None)


_SAID = {
    "empty": message("Rows without a code."),
    "form": message("Not P-codes: {codes}."),
    "zeros": message("Zeros or letters were lost from codes, as spreadsheets do: {codes}."),
    "level": message("Codes of another level: {codes}."),
    "unknown": message("Codes that the boundaries don't have: {codes}."),
}


def _outside(table: pd.DataFrame, area: tuple[str, ...], parents: Mapping[str, Sequence[str]]) -> pd.Series[bool]:
    """Codes that lie outside the area of the study, by their own beginning or by their parents."""

    def lies_outside(code: object) -> bool:
        if not isinstance(code, str) or level_of(code) in (None, "adm0"):
            return False
        own = parents.get(code) or ([code] if str(level_of(code)).startswith("adm") else [])
        return bool(own) and not any(one.startswith(area) or any(part.startswith(one) for part in area) for one in own)

    return table["code"].map(lies_outside).fillna(False).astype(bool)


def _code_finding(code: str, rows: pd.DataFrame, where: str, area: tuple[str, ...]) -> Finding | None:
    if rows.empty:
        return None
    fault = code.removeprefix("pcode-")
    shown = [
        f"{one} → {meant}" if isinstance(meant, str) else str(one)
        for one, meant in zip(rows["code"], rows["proposal"], strict=True)
    ]
    shown = list(dict.fromkeys(shown))[: int(limit("recognition", "shown"))]
    if fault == "elsewhere":
        found, expected = (
            message("Codes that lie outside the study: {codes}.", codes=shown),
            message("Codes within {area}.", area=area),
        )
    else:
        found = message(_SAID[fault].text, codes=shown) if fault != "empty" else _SAID[fault]
        expected = message("Codes such as SY02, SY0204, SY020400, C1007 or N0119, as text.")
    remedy = message("Correct the codes in the file, or confirm the proposed ones.")
    severity: Literal["error", "warning"] = "error" if fault in ("elsewhere", "form", "level") else "warning"
    return finding(code, severity, where, found, expected=expected, remedy=remedy, rows=rows.index, count=len(rows))


# Codes of a layer


def levels() -> tuple[str, ...]:
    """The levels of P-codes, the widest first."""
    return tuple(row["level"] for row in registers.table(UNDERSTANDING, "pcodes"))


def level_among(codes: Iterable[object]) -> str | None:
    """The level that most of the codes have; None where they are codes of another kind.

    >>> level_among(["N0101", "N0102", "old 7"]), level_among(["HMS-01", "HMS-02"])
    ('neighbourhood', None)
    """
    seen = [level_of(code_text(one)) for one in codes]
    common = max(levels(), key=lambda level: seen.count(level))
    return common if seen.count(common) > len(seen) / 2 else None


def foreign(code: str, among: str | None) -> bool:
    """Whether a P-code that is not one of the boundaries' names a unit that is none of their parts.

    Parameters
    ----------
    code
        A code that no boundary has.
    among
        The level of the boundaries' codes, None where they have codes of another kind: then only a neighbourhood can be theirs.

    Examples
    --------
    >>> foreign("C1007", "adm3"), foreign("SY020000", "adm3"), foreign("C1007", "neighbourhood"), foreign("119", "neighbourhood")
    (False, True, True, False)
    """
    level = level_of(code)
    if level is None:
        return False
    order = levels()
    return order.index(level) <= order.index(among) if among else level != "neighbourhood"


def code_findings(frame: pd.DataFrame, column: str, where: str, *, within: Sequence[str] = ()) -> tuple[Finding, ...]:
    """What is wrong with the P-codes of a layer, by row of its file; nothing where its codes are not P-codes.

    Codes outside the study's area are errors where the column is the layer's own `id`; everything else is a warning, since a city
    may have codes of several kinds.

    Parameters
    ----------
    frame
        A layer in the columns of its schema, with `row`. Where `district` holds an admin P-code, it says in which area a code
        lies that does not carry it (C####, N####).
    within
        Admin codes of the study, such as SY04; without them codes are not held against an area.

    Examples
    --------
    >>> zones = pd.DataFrame({"id": ["SY040100", "SY080100", "SY40102"], "row": [1, 2, 3]})
    >>> [(one.code, one.severity, one.rows) for one in code_findings(zones, "id", "neighbourhoods", within=["SY04"])]
    [('pcode-elsewhere', 'error', ('2',)), ('pcode-zeros', 'warning', ('3',))]
    """
    if column not in frame:
        return ()
    codes = frame[column].map(code_text)
    given = codes[codes != ""]
    level, own = level_among(given), column == "id"
    # ids may be a city's own, of which one looks like a P-code by chance; a name never does
    if given.empty or (level is None and (own or not given.map(level_of).notna().any())):
        return ()
    parents: dict[str, tuple[str, ...]] = {}
    if "district" in frame:
        district = frame.loc[given.index, "district"].map(code_text)
        admin = district[district.map(lambda one: str(level_of(one)).startswith("adm"))]
        parents = {codes[row]: (one,) for row, one in admin.items()}
    found = check_pcodes(given.set_axis(frame.loc[given.index, "row"]), within=within, parents=parents, where=where)
    outside = tuple(replace(one, severity="error" if own else "warning") for one in found if one.code == "pcode-elsewhere")
    others = tuple(replace(one, severity="warning") for one in found if one.code != "pcode-elsewhere")
    return (*outside, *others) if where == "neighbourhoods" else outside
