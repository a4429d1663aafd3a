"""Shapefiles: shapes through GDAL, records through our own reader, both by our own count.

GDAL counts by the header and stops at the first broken record; here the record headers are walked, and where the file fails as a
whole, halves of it are read until the broken row is found.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from geo.archives import TooMuchError
from geo.dbf import Dbf, read_dbf
from geo.encodings import Column, codec_of
from geo.reader_job import Job, RefusedError, Rows, from_wkb, gdal, halves, judged, note_encodings, reason_of, set_aside


@dataclass(frozen=True)
class ShpRecords:
    """A `.shp` walked record by record: how many, which ones claim more points than they have room for."""

    number: int
    damaged: frozenset[int]


def _walk_shp(job: Job, raw: bytes) -> ShpRecords:
    if len(raw) < 100 or raw[:4] != b"\x00\x00\x27\x0a":
        raise RefusedError("content-differs")
    at, number, damaged, vertices = 100, 0, set(), 0
    while at + 12 <= len(raw):
        words = struct.unpack_from(">i", raw, at + 4)[0]
        end = at + 8 + 2 * words
        if words < 2 or end > len(raw):
            break
        kind = struct.unpack_from("<i", raw, at + 8)[0]
        parts, points = _claimed(raw, at + 8, kind, 2 * words)
        if parts < 0 or points < 0 or 4 * parts + 16 * points > 2 * words:
            damaged.add(number)
        elif parts > job.rules["rings_per_shape"]:
            raise TooMuchError("rings", parts, job.rules["rings_per_shape"])
        elif points > job.rules["vertices_per_shape"]:
            raise TooMuchError("shape", points, job.rules["vertices_per_shape"])
        else:
            vertices += points
        number, at = number + 1, end
    if vertices > job.rules["vertices"]:
        raise TooMuchError("vertices", vertices, job.rules["vertices"])
    return ShpRecords(number, frozenset(damaged))


def _claimed(raw: bytes, at: int, kind: int, size: int) -> tuple[int, int]:
    """Numbers of parts and points that a record claims."""
    if kind in (3, 5, 13, 15, 23, 25, 31):
        return struct.unpack_from("<ii", raw, at + 36) if size >= 44 else (-1, -1)
    if kind in (8, 18, 28):
        return (0, struct.unpack_from("<i", raw, at + 36)[0]) if size >= 40 else (-1, -1)
    return 0, 1 if size >= 20 else 0


def shapefile(job: Job) -> Rows:
    shp, shx, dbf, cpg = (job.part(suffix) for suffix in (".shp", ".shx", ".dbf", ".cpg"))
    declared = codec_of(job.order["encoding"]) or (codec_of(_head_text(cpg)) if cpg else None)
    if shp is None:
        return _dbf_alone(job, dbf, declared)
    records = _walk_shp(job, shp.read_bytes())
    if shx is None or (shx.stat().st_size - 100) // 8 < records.number:
        if shx is not None:
            shx.unlink()
        gdal().set_gdal_config_options({"SHAPE_RESTORE_SHX": True})
        job.note("shx-rebuilt")
    blobs, unread, crs = _shp_shapes(shp, records.number)
    table = None
    try:
        table = read_dbf(dbf.read_bytes(), declared, most_columns=job.rules["columns"], shapes=len(blobs)) if dbf else None
    except ValueError as error:
        if str(error).startswith("more than"):
            raise TooMuchError("columns", job.rules["columns"] + 1, job.rules["columns"]) from error
        job.note("dbf-unreadable", reason=reason_of(error, job.folder))
    if dbf is None:
        job.note("dbf-missing")
    return _joined(job, blobs, unread | records.damaged, table, crs)


def _head_text(path: Path) -> str:
    with path.open("rb") as content:
        return content.read(100).decode("latin-1")


def _dbf_alone(job: Job, dbf: Path | None, declared: str | None) -> Rows:
    """A table without shapes."""
    if dbf is None:
        raise RefusedError("no-layer")
    try:
        table = read_dbf(dbf.read_bytes(), declared, most_columns=job.rules["columns"])
    except ValueError as error:
        if str(error).startswith("more than"):
            raise TooMuchError("columns", job.rules["columns"] + 1, job.rules["columns"]) from error
        raise
    rows = Rows(_dbf_columns(job, table, table.rows), list(range(1, table.rows + 1)))
    rows.lost = max(0, table.said - table.rows)
    set_aside(rows, dict.fromkeys(table.bad_flags, "record-unreadable") | dict.fromkeys(table.deleted, "record-deleted"))
    return rows


def _shp_shapes(shp: Path, number: int) -> tuple[list[bytes | None], set[int], str | None]:
    """WKB of all shapes in the order of the file, positions that GDAL could not read, and the CRS of the `.prj`."""
    raw = gdal().raw

    def read(skip: int, most: int) -> tuple[Any, ...]:
        return tuple(raw.read(str(shp), columns=[], return_fids=True, skip_features=skip, max_features=most))

    total = int(gdal().read_info(str(shp))["features"])
    blobs: list[bytes | None] = [None] * max(total, 0)
    unread = set()
    crs = None
    for skip, done in halves(read, total):
        if done is None:
            unread.add(skip)
            continue
        meta, fids, shapes, _ = done
        crs = crs or meta["crs"]
        for at, blob in zip(fids.tolist(), shapes, strict=True):
            if 0 <= at < len(blobs):
                blobs[at] = blob
    return blobs, unread, crs


def _joined(job: Job, blobs: list[bytes | None], unread: set[int] | frozenset[int], table: Dbf | None, crs: str | None) -> Rows:
    """Shapes and records of the same number; what stands alone is set aside."""
    there = table.rows if table is not None else len(blobs)
    number = max(len(blobs), there)
    columns = _dbf_columns(job, table, number) if table is not None else {}
    rows = Rows(columns, list(range(1, number + 1)), crs=crs)
    if table is not None and table.said > number:
        job.note("count-differs", said=table.said, path=job.shown, n=number)
    bad = dict.fromkeys((at for at in unread if at < number), "record-unreadable")
    if table is not None:
        bad |= dict.fromkeys(table.bad_flags, "record-unreadable") | dict.fromkeys(table.deleted, "record-deleted")
        bad |= dict.fromkeys(range(there, number), "record-missing")
    bad |= dict.fromkeys(range(len(blobs), number), "shape-missing")
    blobs = blobs + [None] * (number - len(blobs))
    set_aside(rows, bad)
    from_wkb(job, rows, [blob for at, blob in enumerate(blobs) if at not in bad])
    return rows


def _dbf_columns(job: Job, table: Dbf, number: int) -> dict[str, Sequence[Any]]:
    """The columns of a DBF, filled up to as many rows as there are shapes, with notes on their letters."""
    columns: dict[str, Sequence[Any]] = {}
    for name, column in table.columns.items():
        values = judged(job, name, column, range(1, table.rows + 1)) if isinstance(column, Column) else column
        columns[name] = [*values, *([None] * (number - len(values)))]
    if table.unread:
        job.note("columns-unread", columns=table.unread)
    note_encodings(job, [one for one in table.columns.values() if isinstance(one, Column)], table.declared)
    return columns
