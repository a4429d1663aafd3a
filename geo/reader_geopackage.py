"""GeoPackage through SQLite, read-only: rows by our own count, triggers and views looked at before anything is selected."""

from __future__ import annotations

import re
import sqlite3
import time
from typing import Any

from geo.archives import TooMuchError
from geo.reader_job import Job, RefusedError, Rows, from_wkb, reason_of, refuse_other, set_aside
from geo.reader_layers import chosen_layer

OWN_TRIGGERS = re.compile(r"(rtree_|trigger_(insert|delete)_feature_count_|gpkg_|tile_|fk[iud]_)", re.IGNORECASE)


def geopackage(job: Job) -> Rows:
    refuse_other(job.only, b"SQLite format 3\0")
    database = sqlite3.connect(f"file:{job.only.name}?mode=ro&immutable=1", uri=True, isolation_level=None)
    try:
        return _gpkg_rows(job, database)
    except sqlite3.DatabaseError as error:
        raise RefusedError("gpkg-damaged", reason=reason_of(error, job.folder)) from error
    finally:
        database.close()


def _gpkg_rows(job: Job, database: sqlite3.Connection) -> Rows:
    database.execute("PRAGMA trusted_schema=OFF")
    database.execute("PRAGMA cell_size_check=ON")
    database.execute("PRAGMA query_only=ON")
    database.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, 100_000_000)
    database.text_factory = lambda raw: raw.decode("utf-8", errors="replace")
    until = time.monotonic() + 50
    database.set_progress_handler(lambda: time.monotonic() > until, 100_000)
    (state,) = database.execute("PRAGMA integrity_check(1)").fetchone()
    if state != "ok":
        raise RefusedError("gpkg-damaged", reason=str(state)[:160])
    table, kind, crs = _gpkg_layer(job, database)
    quoted = _quoted(table)
    (number,) = database.execute(f"SELECT count(*) FROM {quoted}").fetchone()  # noqa: S608
    columns = [str(row[1]) for row in database.execute(f"PRAGMA table_info({quoted})")]
    for what, found in (("rows", number), ("columns", len(columns)), ("cells", number * len(columns))):
        if found > job.rules[what]:
            raise TooMuchError(what, found, job.rules[what])
    said = _gpkg_said(database, table)
    if said is not None and said != number:
        job.note("gpkg-count", said=said, path=job.shown, n=number)
    cells = database.execute(f"SELECT * FROM {quoted}").fetchall()  # noqa: S608
    shape = _gpkg_shape(database, table) if kind == "features" else None
    values = list(zip(*cells, strict=True)) if cells else [()] * len(columns)
    rows = Rows(
        {name: one for name, one in zip(columns, values, strict=True) if name != shape}, list(range(1, len(cells) + 1)), crs=crs
    )
    rows.lost = max(0, number - len(cells))
    if shape is not None:
        blobs = values[columns.index(shape)] if shape in columns else [None] * len(cells)
        given = [gpkg_wkb(blob) if isinstance(blob, bytes) else blob for blob in blobs]
        bad = [
            at for at, (blob, wkb) in enumerate(zip(blobs, given, strict=True)) if blob is not None and not isinstance(wkb, bytes)
        ]
        set_aside(rows, dict.fromkeys(bad, "geometry-unreadable"))
        spared = set(bad)
        from_wkb(job, rows, [wkb for at, wkb in enumerate(given) if at not in spared])
    return rows


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _gpkg_layer(job: Job, database: sqlite3.Connection) -> tuple[str, str, str | None]:
    """The table to read, its kind and CRS; views and programs are named and left alone."""
    schema = {str(name): str(kind) for kind, name, sql in database.execute("SELECT type, name, sql FROM sqlite_master") if sql}
    virtual = {str(name) for (name,) in database.execute("SELECT name FROM sqlite_master WHERE sql LIKE 'CREATE VIRTUAL%'")}
    own = [name for name, kind in schema.items() if kind == "trigger" and not OWN_TRIGGERS.match(name)]
    if own:
        job.note("gpkg-triggers", path=job.shown, names=own[:12])
    if "gpkg_contents" not in schema or schema["gpkg_contents"] != "table":
        raise RefusedError("no-layer")
    listed = database.execute("SELECT table_name, data_type, srs_id FROM gpkg_contents").fetchall()
    layers = {str(name): (str(kind), srs) for name, kind, srs in listed if kind in ("features", "attributes", "aspatial")}
    views = [name for name in layers if schema.get(name) == "view" or name in virtual]
    if views:
        job.note("gpkg-views", path=job.shown, names=views[:12])
    tables = [name for name in layers if schema.get(name) == "table" and name not in virtual]
    shaped = [name for name in tables if layers[name][0] == "features"]
    table = chosen_layer(job, tables if job.order["sublayer"] is not None or not shaped else shaped)
    kind, srs = layers[table]
    return table, kind, _gpkg_crs(database, srs)


def _gpkg_crs(database: sqlite3.Connection, srs: Any) -> str | None:
    if srs in (None, -1, 0):
        return None
    sql = "SELECT organization, organization_coordsys_id, definition FROM gpkg_spatial_ref_sys WHERE srs_id = ?"
    found = database.execute(sql, (srs,)).fetchone()
    if found is None:
        return None
    organisation, code, definition = found
    return f"EPSG:{code}" if str(organisation).upper() == "EPSG" else str(definition)


def _gpkg_said(database: sqlite3.Connection, table: str) -> int | None:
    """The number of rows that GDAL's own bookkeeping claims."""
    try:
        sql = "SELECT feature_count FROM gpkg_ogr_contents WHERE table_name = ?"
        found = database.execute(sql, (table,)).fetchone()
    except sqlite3.OperationalError:
        return None
    return int(found[0]) if found and isinstance(found[0], int) else None


def _gpkg_shape(database: sqlite3.Connection, table: str) -> str | None:
    found = database.execute("SELECT column_name FROM gpkg_geometry_columns WHERE table_name = ?", (table,)).fetchone()
    return str(found[0]) if found else None


def gpkg_wkb(blob: bytes) -> bytes | None:
    """The WKB in a GeoPackage geometry; None where its header is not one.

    >>> gpkg_wkb(b"GP" + bytes([0, 1]) + bytes(4) + b"wkb"), gpkg_wkb(b"GPX"), gpkg_wkb(b"MP" + bytes(40))
    (b'wkb', None, None)
    """
    if len(blob) < 8 or blob[:2] != b"GP":
        return None
    envelope = (0, 32, 48, 48, 64)
    which = blob[3] >> 1 & 7
    return blob[8 + envelope[which] :] if which < len(envelope) and len(blob) > 8 + envelope[which] else None
