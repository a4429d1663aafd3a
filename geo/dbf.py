"""DBF: the records beside the shapes of a shapefile, by our own count.

A reader of our own, because the usual ones stop at the number that the header says, drop deleted rows without a word, and take the
declared code page for granted (`geo.encodings` decides by the letters).
Known bias: memo fields stand in another file and are named as unread.
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from geo.encodings import Column, codec_of, decode_column, decode_columns, vote


@dataclass(frozen=True)
class Dbf:
    """The records of a DBF. `said` is the number in its header, `rows` what is there; `deleted` are 0-based.

    Attributes
    ----------
    columns
        By name: numbers, booleans and dates as Python values (dates as ISO text), text as Column.
    unread
        Columns whose content stands in another file (memo) or in a form not known.
    """

    said: int
    rows: int
    deleted: list[int]
    columns: dict[str, list[Any] | Column]
    unread: list[str]
    bad_flags: list[int]
    declared: str | None


def read_dbf(raw: bytes, declared: str | None, *, most_columns: int, shapes: int | None = None) -> Dbf:
    """All records of a DBF by our own count, deleted ones included; `shapes` is the number of shapes beside it.

    Raises
    ------
    ValueError
        It is no DBF: too short, a record of no length, more columns than allowed (the message says how many).
    """
    if len(raw) < 32:
        raise ValueError("the table (.dbf) is shorter than its header")
    said, start, length = struct.unpack("<IHH", raw[4:12])
    fields = _dbf_fields(raw[32 : max(start, 32)], most_columns)
    if length < 1 or start < 33 or not fields:
        raise ValueError("the table (.dbf) says that its records have no length")
    there = max(0, len(raw) - start) // length
    rows = min(said, there)
    while rows < there and shapes is not None and rows < shapes and raw[start + rows * length] in b" *":
        rows += 1  # records that the header forgot, where there are shapes for them
    flags = [raw[start + row * length] for row in range(rows)]
    columns: dict[str, list[Any] | Column] = {}
    texts: dict[str, list[bytes | None]] = {}
    unread = []
    at = 1
    for name, kind, width, decimals in _named(fields, declared or codec_of(raw[29])):
        cells = [raw[start + row * length + at : start + row * length + min(at + width, length)] for row in range(rows)]
        at += width
        if kind in "C":
            texts[name] = [_text(cell) for cell in cells]
            columns[name] = []
        elif kind in CELLS or (kind == "B" and width == 8):
            columns[name] = CELLS.get(kind, _double)(cells, decimals)
        else:
            unread.append(name)
            columns[name] = [None] * rows
    declared = declared or codec_of(raw[29])
    columns.update(decode_columns(texts, declared))
    deleted = [row for row, flag in enumerate(flags) if flag == 0x2A]
    return Dbf(said, rows, deleted, columns, unread, [row for row, flag in enumerate(flags) if flag not in b" *"], declared)


def _dbf_fields(raw: bytes, most: int) -> list[tuple[bytes, str, int, int]]:
    fields = []
    for start in range(0, len(raw) - 31, 32):
        one = raw[start : start + 32]
        if one[0] in (0x0D, 0x00):
            break
        kind, width, decimals = chr(one[11]).upper(), one[16], one[17]
        if kind == "C":  # a long text keeps the high byte of its width in the place of the decimals
            width += decimals << 8
        fields.append((one[:11].split(b"\0")[0], kind, width, decimals))
        if len(fields) > most:
            raise ValueError(f"more than {most} columns")
    return fields


def _named(fields: Sequence[tuple[bytes, str, int, int]], declared: str | None) -> list[tuple[str, str, int, int]]:
    """Fields with their names as text, each once."""
    encoding = vote((raw for raw, *_ in fields), declared).encoding
    names = unique([decode_column([raw], encoding).values[0] or "" for raw, *_ in fields])
    return [(name, *rest) for name, (_, *rest) in zip(names, fields, strict=True)]  # type: ignore[misc]


def unique(names: Sequence[str]) -> list[str]:
    """Names that do not repeat and are never empty.

    >>> unique(["a", "", "a", "a_2"])
    ['a', 'column_2', 'a_3', 'a_2']
    """
    wanted = [name.strip() or f"column_{number}" for number, name in enumerate(names, 1)]
    taken, result = set(wanted), []
    used: set[str] = set()
    for number, name in enumerate(wanted, 1):
        chosen, step = name, number
        while chosen in used or (chosen != name and chosen in taken):
            chosen, step = f"{name}_{step}", step + 1
        used.add(chosen)
        result.append(chosen)
    return result


def _text(cell: bytes) -> bytes | None:
    return cell.split(b"\0")[0].rstrip(b" ") or None


def numbers(texts: Sequence[str | None]) -> list[Any]:
    """Texts of a numeric field as numbers, where not one of them would change: else they stay text.

    Leading zeros, more digits than a number keeps and anything that is no number keep the column as text.

    >>> numbers(["12", None, "7"]), numbers(["007", "12"]), numbers(["12,5", "1.25"]), numbers(["1", "x"])
    ([12, None, 7], ['007', '12'], [12.5, 1.25], ['1', 'x'])
    """
    parsed: list[int | float | None] = []
    for text in texts:
        if text is None:
            parsed.append(None)
            continue
        number = number_of(text)
        if number is None:
            return list(texts)
        parsed.append(number)
    if any(isinstance(one, float) for one in parsed):
        if any(isinstance(one, int) and abs(one) >= 2**53 for one in parsed):
            return list(texts)
        return [None if one is None else float(one) for one in parsed]
    return parsed


def number_of(text: str) -> int | float | None:
    plain = text.replace(",", ".") if text.count(",") == 1 and "." not in text else text
    if re.fullmatch(r"[+-]?(0|[1-9]\d{0,17})", plain):
        return int(plain)
    if not re.fullmatch(r"[+-]?(\d*\.\d*|\d+)([eE][+-]?\d{1,3})?", plain) or not any(letter.isdigit() for letter in plain):
        return None
    digits = re.sub(r"[eE].*|\D", "", plain).lstrip("0")
    if re.match(r"[+-]?0\d", plain) or (len(digits) > 17 and "." not in plain):
        return None
    value = float(plain)
    return value if math.isfinite(value) else None


def _numeric(cells: Sequence[bytes], _: int) -> list[Any]:
    texts = [cell.split(b"\0")[0].strip(b" \t") for cell in cells]
    known = [None if not text or set(text) <= {0x2A} else text.decode("latin-1") for text in texts]
    return numbers(known)


def _logical(cells: Sequence[bytes], _: int) -> list[Any]:
    known = {b"T": True, b"t": True, b"Y": True, b"y": True, b"F": False, b"f": False, b"N": False, b"n": False}
    return [known.get(cell[:1]) for cell in cells]


def _date(cells: Sequence[bytes], _: int) -> list[Any]:
    """Dates as ISO text; what is no date stays as it is."""
    texts = [cell.split(b"\0")[0].strip(b" ").decode("latin-1") for cell in cells]
    parts = [re.fullmatch(r"(\d{4})(\d{2})(\d{2})", text) for text in texts]
    return [
        None if not text.strip("0") else "-".join(one.groups()) if one else text for text, one in zip(texts, parts, strict=True)
    ]


def _unpacked(form: str, scale: float | None = None) -> Callable[[Sequence[bytes], int], list[Any]]:
    def read(cells: Sequence[bytes], _: int) -> list[Any]:
        size = struct.calcsize(form)
        values = [struct.unpack(form, cell[:size])[0] if len(cell) >= size else None for cell in cells]
        return [None if one is None or not math.isfinite(one) else one if scale is None else one * scale for one in values]

    return read


_double = _unpacked("<d")
CELLS: dict[str, Callable[[Sequence[bytes], int], list[Any]]] = {
    "N": _numeric,
    "F": _numeric,
    "L": _logical,
    "D": _date,
    "I": _unpacked("<i"),
    "+": _unpacked(">i"),
    "O": _double,
    "Y": _unpacked("<q", 1e-4),
}
