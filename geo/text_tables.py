"""Tables of text: the rows of a CSV by our own count of lines, whatever separates its cells.

A line that can't be read as a row is set aside with its text; the header may be preceded by titles or HXL hashtags.
Known bias: a line break inside quotes is followed for some lines only, so that one quotation mark left
open does not swallow the file.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from geo.archives import TooMuchError
from geo.dbf import number_of, unique
from geo.encodings import Column, decode_column, decode_columns, repaired, vote


@dataclass
class TextTable:
    """The rows of a CSV by our own count of lines.

    Attributes
    ----------
    columns
        By name, one value a row that could be read.
    rows
        1-based number of each of those rows.
    aside
        Number and text of each line that could not be read as a row, with the reason.
    said
        Rows with fewer cells than the header; hashtags of HXL; lines before the header; whether the header looks like data.
    """

    columns: dict[str, Column]
    rows: list[int]
    aside: list[tuple[int, str, str]]
    short: list[int]
    hashtags: dict[str, str]
    skipped: int
    delimiter: str
    doubtful_header: bool


def read_text_table(
    raw: bytes,
    rules: Mapping[str, Any],
    text_rules: Mapping[str, Any],
    *,
    declared: str | None = None,
    header: Sequence[str] | None = None,
) -> TextTable:
    """The rows of a CSV with any of the delimiters `, ; tab |`, in any encoding, with quotes that may never be closed.

    Raises
    ------
    TooMuchError
        A cell, the columns or the rows are beyond the limits.
    ValueError
        It is no text.
    """
    text, undecided = _as_text(raw)
    if "\0" in text:
        raise ValueError("it holds zero bytes and is no text")
    lines = re.split("\r\n|\r|\n", text)  # not splitlines: that also splits at marks which are letters in old code pages
    delimiter = _delimiter(lines[: text_rules["header_rows"]])
    csv.field_size_limit(rules["cell_characters"])
    records, broken = _records(lines, delimiter, rules, text_rules["quoted_lines"])
    names, tags, first, skipped = _head(records, header, text_rules["header_rows"])
    if len(names) > rules["columns"]:
        raise TooMuchError("columns", len(names), rules["columns"])
    doubtful = header is None and sum(number_of(name.strip()) is not None for name in names) * 2 >= max(2, len(names))
    return _table(records[first:], broken, names, tags, skipped, delimiter, doubtful, declared if undecided else "utf-8", undecided)


def _as_text(raw: bytes) -> tuple[str, bool]:
    """The text, and whether its letters are still undecided: then each stands for one byte."""
    for mark, name in ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16")):
        if raw.startswith(mark):
            try:
                return raw.decode(name).lstrip("\ufeff"), False
            except UnicodeDecodeError:
                if name == "utf-16":
                    raise ValueError("it says it is UTF-16 and is not") from None
                raw = raw[len(mark) :]
    try:
        return raw.decode("utf-8"), False
    except UnicodeDecodeError:
        return raw.decode("latin-1"), True


def _delimiter(lines: Sequence[str]) -> str:
    """The mark that splits the first lines most evenly; a comma where nothing does."""
    bare = [re.sub(r'"[^"]*"?', "", line) for line in lines if line.strip()]
    counts = {mark: [line.count(mark) for line in bare] for mark in ",;\t|"}
    return max(
        counts, key=lambda mark: (sum(one == counts[mark][0] > 0 for one in counts[mark]) if bare else 0, sum(counts[mark][:1]))
    )


Record = tuple[int, list[str]]  # line it begins on (0-based), cells


def _records(
    lines: Sequence[str], delimiter: str, rules: Mapping[str, Any], most_lines: int
) -> tuple[list[Record], list[tuple[int, str]]]:
    """Records with the line each begins on, and lines that belong to none because a quote never closes."""
    records: list[Record] = []
    broken: list[tuple[int, str]] = []
    at, cells = 0, 0
    while at < len(lines):
        line = lines[at]
        if not line.strip():
            at += 1
            continue
        if (
            len(line) > rules["cell_characters"]
            and (longest := max(len(cell) for cell in line.split(delimiter))) > rules["cell_characters"]
        ):
            raise TooMuchError("cell", longest, rules["cell_characters"])
        used, record = 1, _cells(line, delimiter)
        while (
            record is None
            and '"' in line
            and used < most_lines
            and at + used < len(lines)
            and len(line) <= rules["cell_characters"]
        ):
            line = f"{line}\n{lines[at + used]}"
            used += 1
            record = _cells(line, delimiter)
        if record is None or (used > 1 and records and len(record) > max(len(one) for _, one in records[:50])):
            loose = _loose(lines[at], delimiter)
            if loose is not None:
                records.append((at, loose))
            else:
                broken.append((at, lines[at]))
            at += 1
            continue
        records.append((at, record))
        cells += len(record)
        at += used
        if len(records) > rules["rows"] + 30:
            raise TooMuchError("rows", len(records), rules["rows"])
        if cells > rules["cells"]:
            raise TooMuchError("cells", cells, rules["cells"])
    return records, broken


def _cells(line: str, delimiter: str) -> list[str] | None:
    """The cells of a record; None where its quotes do not close or a letter follows a closing quote."""
    if '"' not in line:
        return line.split(delimiter)
    try:
        parsed = list(csv.reader(io.StringIO(line, newline=""), delimiter=delimiter, strict=True))
    except csv.Error:
        return None
    return parsed[0] if len(parsed) == 1 else None


def _loose(line: str, delimiter: str) -> list[str] | None:
    """A line with quotes inside cells, as in `5" pipe`; None where a cell begins with a quote that the line does not close."""
    cells = line.split(delimiter)
    return cells if not any(cell.lstrip().startswith('"') for cell in cells) else None


def _head(records: Sequence[Record], header: Sequence[str] | None, within: int) -> tuple[list[str], dict[str, str], int, int]:
    """Names of the columns, HXL tags by name, index of the first record of data, records left out before the names."""
    if header is not None:
        return unique(list(header)), {}, 0, 0
    if not records:
        return [], {}, 0, 0
    for number, (_, cells) in enumerate(records[: within + 1]):
        filled = [cell.strip() for cell in cells if cell.strip()]
        if filled and sum(bool(re.match(r"#[a-zA-Z]", cell)) for cell in filled) * 2 > len(filled) and number:
            names = unique(_padded(records[number - 1][1], len(cells)))
            return (
                names,
                {name: tag.strip() for name, tag in zip(names, cells, strict=False) if tag.strip()},
                number + 1,
                number - 1,
            )
    return unique(records[0][1]), {}, 1, 0


def _padded(cells: list[str], width: int) -> list[str]:
    return cells + [""] * (width - len(cells))


def _table(
    records: Sequence[Record],
    broken: Sequence[tuple[int, str]],
    names: list[str],
    tags: dict[str, str],
    skipped: int,
    delimiter: str,
    doubtful: bool,
    declared: str | None,
    undecided: bool,
) -> TextTable:
    """Rows numbered in the order of their lines, those with too many cells and broken lines aside."""
    kept: list[tuple[int, list[str]]] = []
    aside: list[tuple[int, str, str]] = []
    short = []
    start = records[0][0] if records else 0
    numbered = sorted(
        [(line, cells, "") for line, cells in records] + [(line, [text], "quote-open") for line, text in broken if line >= start]
    )
    for row, (_, cells, reason) in enumerate(numbered, 1):
        spare = [cell for cell in cells[len(names) :] if cell.strip()]
        if reason or spare:
            aside.append((row, delimiter.join(cells), reason or "cells-too-many"))
            continue
        if len(cells) < len(names):
            short.append(row)
        kept.append((row, _padded(cells[: len(names)], len(names))))
    raw = {name: [cells[at] or None for _, cells in kept] for at, name in enumerate(names)}
    if undecided:
        table = unique([_relabelled(name, declared, names) for name in names])
        columns = decode_columns(
            {
                new: [None if one is None else one.encode("latin-1") for one in raw[old]]
                for old, new in zip(names, table, strict=True)
            },
            declared,
        )
        chosen = max(
            (one.encoding for one in columns.values()), key=[one.encoding for one in columns.values()].count, default="utf-8"
        )
        aside = [(row, text.encode("latin-1").decode(chosen, errors="replace"), why) for row, text, why in aside]
    else:
        columns = {name: repaired(Column(list(values), "utf-8")) for name, values in raw.items()}
    return TextTable(columns, [row for row, _ in kept], aside, short, tags, skipped, delimiter, doubtful)


def _relabelled(name: str, declared: str | None, names: Sequence[str]) -> str:
    """A column's name out of its bytes; all names vote together."""
    encoding = vote((one.encode("latin-1", errors="ignore") for one in names), declared).encoding
    return decode_column([name.encode("latin-1", errors="ignore")], encoding).values[0] or name
