"""Fuzzing of the parsers that are Python of our own: any bytes are read or refused by the exceptions a parser promises.

    python -m tests.faults.parsers [options of libFuzzer] [FOLDER…]      with atheris, guided by the branches that were taken

Whatever else a parser raises would still be kept in by the reader's child process, and the sender would be told less than is known.
Rows are not lost either: of a text table every record is a row or set aside, of a DBF every record has a value in each column.
"""

from __future__ import annotations

import math
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from inspect import isfunction
from pathlib import Path

from geo import (
    dbf,
    encodings,
    reader_geojson,
    reader_geopackage,
    reader_job,
    reader_layers,
    reader_shapefile,
    reader_tables,
    text_tables,
)
from geo.archives import TooMuchError, limits
from geo.dbf import numbers, read_dbf, unique
from geo.encodings import decode_columns, decode_name, repaired, vote
from geo.reader_geopackage import gpkg_wkb
from geo.reader_job import Job, RefusedError, surfaces_as_polygons
from geo.reader_shapefile import _walk_shp
from geo.reader_tables import _odk, coordinate, surface_text, text_table
from geo.text_tables import read_text_table

MODULES = (
    dbf,
    encodings,
    reader_geojson,
    reader_geopackage,
    reader_job,
    reader_layers,
    reader_shapefile,
    reader_tables,
    text_tables,
)
RULES = {**limits()["table"], "rows": 5_000, "columns": 50, "cell_characters": 2_000, "vertices": 20_000, "rings_per_shape": 500}
TEXT = limits()["text"]


def job(folder: Path = Path(), suffix: str = ".csv") -> Job:
    order = {"shown": "a", "parts": {suffix: f"a{suffix}"}, "encoding": None, "header": None, "columns": {}, "crs": None}
    return Job(folder, order, RULES, TEXT)


def dbf(raw: bytes) -> None:
    table = read_dbf(raw, None, most_columns=RULES["columns"], shapes=raw[0] if raw else None)
    for column in table.columns.values():
        assert len(getattr(column, "values", column)) == table.rows
    assert set(table.deleted) | set(table.bad_flags) <= set(range(table.rows))
    assert all(table.columns)
    assert len(table.columns) <= RULES["columns"] + 1


def text(raw: bytes) -> None:
    table = read_text_table(raw, RULES, TEXT)
    assert all(len(column.values) == len(table.rows) for column in table.columns.values())
    assert not set(table.rows) & {row for row, _, _ in table.aside}
    for column in table.columns.values():
        repaired(column)


def placed(raw: bytes) -> None:
    """A text table with all that is tried to find places in it."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "a.csv").write_bytes(raw)
        rows = text_table(job(Path(folder)))
    assert all(len(values) == len(rows.row) for values in rows.columns.values())
    assert rows.shapes is None or len(rows.shapes) == len(rows.row)


def shp(raw: bytes) -> None:
    records = _walk_shp(job(suffix=".shp"), b"\x00\x00\x27\x0a" + bytes(96) + raw)
    assert all(0 <= one < records.number for one in records.damaged)
    assert 8 * records.number <= len(raw)


def words(raw: bytes) -> None:
    given = raw.decode("utf-8", "surrogateescape")
    assert isinstance(coordinate(given), float)
    assert not math.isinf(coordinate(given[:40])) or "e" in given.lower()
    _odk(given)
    surface_text(given)
    pieces = given.split("\n")
    assert len(numbers(pieces)) == len(pieces)
    assert len(set(unique(pieces))) == len(pieces)
    decode_name(raw)


def letters(raw: bytes) -> None:
    values: list[bytes | None] = [one or None for one in raw.split(b"\n")]
    vote(one for one in values if one)
    for column in decode_columns({"a": values, "b": values[::-1]}, None).values():
        assert len(repaired(column).values) == len(values)


def shapes(raw: bytes) -> None:
    gpkg_wkb(raw)
    surfaces_as_polygons(raw)


PARSERS: Sequence[Callable[[bytes], None]] = (dbf, text, placed, shp, words, letters, shapes)
PROMISED: Mapping[str, tuple[type[Exception], ...]] = {
    "dbf": (ValueError,),
    "text": (TooMuchError, ValueError),
    "placed": (TooMuchError, RefusedError, ValueError),
    "shp": (TooMuchError, RefusedError),
}


def one(raw: bytes) -> None:
    """Give the bytes to the parser that the first of them chooses."""
    if not raw:
        return
    parser = PARSERS[raw[0] % len(PARSERS)]
    try:
        parser(raw[1:])
    except PROMISED.get(parser.__name__, ()) as error:
        if isinstance(error, UnicodeError):  # a ValueError that nobody promised
            raise


def main() -> None:
    import atheris

    for module in MODULES:
        for known in vars(module).values():
            if isfunction(known) and known.__module__ == module.__name__:
                atheris.instrument_func(known)
    atheris.Setup(sys.argv, one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
