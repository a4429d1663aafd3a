"""Readers of one format each, for the child process: what GDAL does silently is done, or checked, here.

A reader takes a job (the order and its limits) and gives rows by its own count. The text of a shapefile, GeoJSON, GeoPackage
(through SQLite, read-only) and GeoParquet have readers of our own; GDAL gives the shapes of a shapefile, FlatGeobuf, and formats
that only an administrator imports. A row that can't be read is set aside by itself: where a whole file fails, halves of it are read
until the row is found.
Known bias: GeoJSON is read whole, so that about 150 MB of it meet the memory limit.
"""

from __future__ import annotations

import json
import math
import re
import sqlite3
import struct
import time
import zipfile
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn
from xml.parsers import expat

from geo import open311
from geo.archives import check_directory, limits
from geo.encodings import Column, Dbf, TooMuchError, codec_of, read_dbf, unique

if TYPE_CHECKING:
    pass

WGS84 = "EPSG:4326"
FAULTS = (OSError, ValueError, RuntimeError, LookupError, ArithmeticError, TypeError, AttributeError, EOFError, struct.error,
          sqlite3.Error, zipfile.BadZipFile, zlib.error, expat.ExpatError)  # fmt: skip


class RefusedError(Exception):
    """The file can't be used: a code of `geo.untrusted.NOTES` and its values."""

    def __init__(self, code: str, **values: Any) -> None:
        super().__init__(code)
        self.code, self.values = code, values


@dataclass
class Rows:
    """What a reader got out of a file.

    Attributes
    ----------
    columns
        By name, one value a row.
    row
        1-based number of each row in the file.
    shapes
        One shape or None a row; None for a table without places.
    crs
        A text that names or is the CRS.
    aside
        Row, reason, content.
    lost
        Rows that the file speaks of and that could not be got out.
    """

    columns: dict[str, Sequence[Any]]
    row: list[int]
    shapes: Any = None
    crs: str | None = None
    aside: list[tuple[int, str, Any]] = field(default_factory=list)
    lost: int = 0


@dataclass
class Job:
    """One file to read: the order, the limits, and what is noticed on the way."""

    folder: Path
    order: Mapping[str, Any]
    rules: Mapping[str, Any]
    text_rules: Mapping[str, Any]
    notes: list[dict[str, Any]] = field(default_factory=list)
    hashtags: dict[str, str] = field(default_factory=dict)

    @property
    def shown(self) -> str:
        return str(self.order["shown"])

    def part(self, *suffixes: str) -> Path | None:
        stored = next((self.order["parts"][one] for one in suffixes if one in self.order["parts"]), None)
        return None if stored is None else self.folder / stored

    @property
    def only(self) -> Path:
        return self.folder / str(next(iter(self.order["parts"].values())))

    def note(self, code: str, /, *, rows: Iterable[int] = (), count: int | None = None, **values: Any) -> None:
        listed = list(rows)
        made = {"code": code, "values": values, "rows": listed[:100], "count": len(listed) if count is None else count}
        self.notes.append(made)


def set_aside(rows: Rows, bad: Mapping[int, str]) -> None:
    """Set aside the rows at these positions, each with its reason and content."""
    if not bad:
        return
    for at in sorted(bad):
        rows.aside.append((rows.row[at], bad[at], {name: values[at] for name, values in rows.columns.items()}))
    good = [at for at in range(len(rows.row)) if at not in bad]
    rows.columns = {name: [values[at] for at in good] for name, values in rows.columns.items()}
    rows.row = [rows.row[at] for at in good]
    if rows.shapes is not None:
        rows.shapes = rows.shapes[good]


def judged(job: Job, name: str, column: Column, row: Sequence[int]) -> list[str | None]:
    """The values of a text column, with notes about letters that were cut, lost, unreadable or put right."""
    noticed = {"cut": column.cut, "unreadable": column.unreadable, "repaired": column.repaired, "lost": column.lost}
    for code, places in ((f"text-{what}", places) for what, places in noticed.items()):
        if places and not any(one["code"] == code and one["values"].get("column") == name for one in job.notes):
            job.note(code, rows=[row[at] for at in places if at < len(row)], count=len(places), n=len(places), column=name)
    return column.values


def as_text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return None if value is None else clean(value)
    if isinstance(value, float):
        return None if math.isnan(value) else str(int(value)) if value.is_integer() and abs(value) < 2**53 else repr(value)
    if isinstance(value, (dict, list)):
        return clean(json.dumps(value, ensure_ascii=False, default=str))
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


def clean(text: str) -> str:
    """A text that can be written as UTF-8."""
    return text if text.isascii() else text.encode("utf-8", errors="replace").decode("utf-8")


def reason_of(error: Exception, folder: Path) -> str:
    """The library's own reason in one line, without the paths of this machine."""
    lines = str(error).replace(f"{folder}/", "").replace(str(folder), "").splitlines()
    plain = re.sub(r"(/[\w.-]+){2,}", "…", lines[0] if lines else "")
    return plain[:200] or type(error).__name__


def gdal() -> Any:
    import pyogrio
    import pyogrio.raw

    return pyogrio


def refuse_other(path: Path, magic: bytes) -> None:
    """Refuse content that is not what the name says, before any parser sees it."""
    with path.open("rb") as content:
        if content.read(len(magic)) != magic:
            raise RefusedError("content-differs")


def note_encodings(job: Job, columns: Sequence[Column], declared: str | None) -> None:
    """Say which encoding was chosen where there was a choice."""
    chosen = sorted({one.encoding for one in columns if any(value and not value.isascii() for value in one.values)})
    if len(chosen) > 1:
        job.note("encoding-mixed", encodings=chosen)
    elif chosen and chosen[0] != (declared or "utf-8"):
        job.note("encoding", encoding=chosen[0], declared=declared or "—")


def from_wkb(job: Job, rows: Rows, blobs: Sequence[bytes | None]) -> None:
    """Shapes from WKB; what can't be read is set aside."""
    import numpy as np
    import shapely

    given = np.empty(len(blobs), dtype=object)
    given[:] = [None if blob is None else surfaces_as_polygons(bytes(blob)) for blob in blobs]
    rows.shapes = shapely.from_wkb(given, on_invalid="ignore")
    for at in [at for at, blob in enumerate(blobs) if blob is not None and given[at] != blob]:
        rows.shapes[at] = _as_faces(rows.shapes[at])
    failed = [at for at, blob in enumerate(given) if blob is not None and rows.shapes[at] is None]
    set_aside(rows, dict.fromkeys(failed, "geometry-unreadable"))


def surfaces_as_polygons(wkb: bytes) -> bytes:
    """WKB with its TINs, polyhedral surfaces and triangles as multipolygons and polygons; anything else unchanged.

    >>> triangle = struct.pack("<BIII", 1, 17, 1, 4) + struct.pack("<8d", 0, 0, 1, 0, 0, 1, 0, 0)
    >>> surfaces_as_polygons(struct.pack("<BII", 1, 16, 1) + triangle)[:14].hex()
    '0106000000010000000103000000'
    """
    if len(wkb) < 9 or wkb[0] != 1 or struct.unpack_from("<I", wkb, 1)[0] % 0x80000000 % 1000 not in (7, 15, 16, 17):
        return wkb
    changed = bytearray(wkb)
    try:
        _to_polygons(changed, 0, 0)
    except (struct.error, LookupError, ValueError):
        return wkb
    return bytes(changed)


def _to_polygons(wkb: bytearray, at: int, depth: int) -> int:
    """Rename the kinds of one geometry in place; where it ends."""
    kind = struct.unpack_from("<I", wkb, at + 1)[0]
    plain = kind % 0x80000000
    base, dimensions = plain % 1000, {0: 2, 1: 3, 2: 3, 3: 4}[plain // 1000] + (kind >= 0x80000000)
    if wkb[at] != 1 or depth > 4:
        raise ValueError("another byte order")
    struct.pack_into("<I", wkb, at + 1, kind - base + {15: 6, 16: 6, 17: 3}.get(base, base))
    if base == 1:
        return int(at + 5 + 8 * dimensions)
    number, at = struct.unpack_from("<I", wkb, at + 5)[0], at + 9
    if base == 2:
        return int(at + number * 8 * dimensions)
    for _ in range(number):
        at = at + 4 + struct.unpack_from("<I", wkb, at)[0] * 8 * dimensions if base in (3, 17) else _to_polygons(wkb, at, depth + 1)
    return int(at)


def _as_faces(shape: Any) -> Any:
    """A collection of nothing but polygons as one multipolygon."""
    import shapely

    parts = shapely.get_parts(shapely.get_parts(shape))
    return shapely.multipolygons(parts) if len(parts) and (shapely.get_type_id(parts) == 3).all() else shape


# ------------------------------------------------------------------------------------------------------------------- shapefile
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
    for skip, done in _halves(read, total):
        if done is None:
            unread.add(skip)
            continue
        meta, fids, shapes, _ = done
        crs = crs or meta["crs"]
        for at, blob in zip(fids.tolist(), shapes, strict=True):
            if 0 <= at < len(blobs):
                blobs[at] = blob
    return blobs, unread, crs


def _halves(read: Callable[[int, int], Any], total: int) -> Iterable[tuple[int, Any]]:
    """What `read(skip, most)` gives for all of `total` rows: at once, or by halves around the rows that fail (given as None)."""
    waiting = [(0, total)]
    while waiting:
        skip, most = waiting.pop()
        try:
            done = read(skip, most) if most else None
        except FAULTS:
            done = None
            if most > 1:
                half = most // 2
                waiting += [(skip + half, most - half), (skip, half)]
                continue
        if most:
            yield skip, done


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


# ---------------------------------------------------------------------------------------------------------- layers through GDAL
def _layer(job: Job, path: Path) -> str:
    """The one layer to read; several are not chosen from."""
    names = [str(name) for name in gdal().list_layers(str(path))[:, 0]]
    return chosen_layer(job, names)


def chosen_layer(job: Job, names: Sequence[str]) -> str:
    wanted = job.order["sublayer"]
    if wanted is not None:
        if wanted not in names:
            raise RefusedError("unknown-sublayer", name=wanted, layers=list(names)[:40])
        return str(wanted)
    if not names:
        raise RefusedError("no-layer")
    if len(names) > 1:
        raise RefusedError("which-sublayer", layers=list(names)[:40])
    return names[0]


def _gdal_rows(job: Job, path: Path, layer: str | None) -> Rows:
    """A layer through GDAL, by halves where it fails as a whole."""
    pyogrio = gdal()
    info = pyogrio.read_info(str(path), layer=layer, force_feature_count=True)
    total, fields = int(info["features"]), len(info["fields"])
    if fields > job.rules["columns"]:
        raise TooMuchError("columns", fields, job.rules["columns"])
    if total > job.rules["rows"]:
        raise TooMuchError("rows", total, job.rules["rows"])

    def read(skip: int, most: int) -> Any:
        # one more than there should be, so that a file that says too little is found out
        meta, table = pyogrio.raw.read_arrow(
            str(path), layer=layer, skip_features=skip, max_features=most + (skip + most == total), datetime_as_string=True
        )
        table.validate(full=True)
        return meta, table

    rows = Rows({}, [])
    blobs: list[bytes | None] = []
    unread = []
    for skip, done in _halves(read, total):
        if done is None:
            unread.append((skip + 1, "record-unreadable", None))
            continue
        meta, table = done
        rows.crs = rows.crs or meta["crs"]
        shape = meta["geometry_name"] or "wkb_geometry"
        rows.row += range(skip + 1, skip + 1 + table.num_rows)
        blobs += table[shape].to_pylist() if shape in table.column_names else [None] * table.num_rows
        for name in table.column_names:
            if name != shape:
                rows.columns[name] = [*rows.columns.get(name, ()), *table[name].to_pylist()]
    rows.aside += unread
    rows.lost = max(0, total - len(rows.row) - len(unread))
    if len(rows.row) > total:
        job.note("count-differs", said=total, path=job.shown, n=len(rows.row))
    if info["geometry_type"] is not None:
        from_wkb(job, rows, blobs)
    return rows


def flatgeobuf(job: Job) -> Rows:
    refuse_other(job.only, b"fgb")
    return _gdal_rows(job, job.only, _layer(job, job.only))


def filegdb(job: Job) -> Rows:
    return _gdal_rows(job, job.only, _layer(job, job.only))


def dxf(job: Job) -> Rows:
    return _gdal_rows(job, job.only, _layer(job, job.only))


def osm(job: Job) -> Rows:
    """OpenStreetMap; files whose ids do not grow are read again with GDAL's slower index."""
    with job.only.open("rb") as content:
        head = content.read(64)
    if b"OSMHeader" not in head:
        scan_xml(job, job.only.read_bytes())
    layer = _layer(job, job.only)
    try:
        return _gdal_rows(job, job.only, layer)
    except FAULTS as error:
        if "OSM_USE_CUSTOM_INDEXING" not in str(error):
            raise
        gdal().set_gdal_config_options({"OSM_USE_CUSTOM_INDEXING": False})
        return _gdal_rows(job, job.only, layer)


def _xml_layer(job: Job, path: Path) -> Rows:
    marks = scan_xml(job, path.read_bytes())
    if marks & {"NetworkLink", "include", "schemaLocation"}:
        job.note("remote-references")
    return _gdal_rows(job, path, _layer(job, path))


def kml(job: Job) -> Rows:
    return _xml_layer(job, job.only)


def kmz(job: Job) -> Rows:
    """The first KML of a zip; pictures and links in it are not opened."""
    with zipfile.ZipFile(job.only) as archive:
        check_directory(archive, job.only, job.shown, limits()["archive"]["members"])
        inside = [entry for entry in archive.infolist() if entry.filename.lower().endswith(".kml")]
        if not inside:
            raise RefusedError("no-layer")
        path = job.folder / "inside.kml"
        path.write_bytes(archive.read(inside[0]))
    return _xml_layer(job, path)


def scan_xml(job: Job, raw: bytes) -> set[str]:
    """Walk through XML with nothing resolved; the local names of its elements and attributes.

    Raises
    ------
    RefusedError
        A document type or an entity is defined.
    TooMuchError
        It is nested too deep.
    """
    seen: set[str] = set()
    depth = [0]

    def refuse(*_: Any) -> NoReturn:
        raise RefusedError("xml-entities")

    def begin(name: str, attributes: dict[str, str]) -> None:
        depth[0] += 1
        if depth[0] > 200:
            raise TooMuchError("depth", depth[0], 200)
        if len(seen) < 10_000:
            seen.update(one.rpartition(":")[2] for one in (name, *attributes))

    def end(_: str) -> None:
        depth[0] -= 1

    parser = expat.ParserCreate()
    parser.StartDoctypeDeclHandler = parser.EntityDeclHandler = refuse
    parser.ExternalEntityRefHandler = parser.UnparsedEntityDeclHandler = refuse
    parser.StartElementHandler, parser.EndElementHandler = begin, end
    try:
        parser.Parse(raw.rstrip(b"\0"), True)
    except expat.ExpatError:
        if b"<!DOCTYPE" in raw or b"<!ENTITY" in raw:
            raise RefusedError("xml-entities") from None
        if not raw.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<") and b"\0" not in raw[:4]:
            raise RefusedError("content-differs") from None
        raise
    return seen


# --------------------------------------------------------------------------------------------------------------------- GeoJSON
def geojson(job: Job) -> Rows:
    raw = job.only.read_bytes()
    if not raw.lstrip(b"\xef\xbb\xbf\xff\xfe \t\r\n\0").startswith((b"{", b"[")):
        raise RefusedError("content-differs")
    content = json.loads(_json_text(raw))
    requests = open311.requests_of(content)
    if requests is not None:
        return _service_requests(job, requests)
    features = _features(content)
    rows = Rows({}, [], crs=_json_crs(job, content))
    if len(features) > job.rules["rows"]:
        raise TooMuchError("rows", len(features), job.rules["rows"])
    kept = []
    for number, one in enumerate(features, 1):
        if isinstance(one, dict) and isinstance(one.get("properties") or {}, dict):
            kept.append(one)
            rows.row.append(number)
        else:
            rows.aside.append((number, "record-unreadable", one))
    properties = [one.get("properties") or {} for one in kept]
    names = list(dict.fromkeys(str(name) for one in properties for name in one))
    if len(names) > job.rules["columns"]:
        raise TooMuchError("columns", len(names), job.rules["columns"])
    if len(names) * len(kept) > job.rules["cells"]:
        raise TooMuchError("cells", len(names) * len(kept), job.rules["cells"])
    rows.columns = {name: [one.get(name) for one in properties] for name in names}
    if "id" not in names and any(one.get("id") is not None for one in kept):
        rows.columns = {"id": [one.get("id") for one in kept], **rows.columns}
    _json_shapes(rows, [one.get("geometry") for one in kept])
    return rows


def _service_requests(job: Job, requests: Sequence[Mapping[str, Any]]) -> Rows:
    """The requests of an Open311 GeoReport; whoever made them and what they wrote is not read."""
    import numpy as np
    import shapely

    if len(requests) > job.rules["rows"]:
        raise TooMuchError("rows", len(requests), job.rules["rows"])
    columns = open311.columns_of(list(requests))
    places = np.array([place or (np.nan, np.nan) for place in open311.places_of(columns)]).reshape(-1, 2)
    shapes = shapely.points(places)
    shapes[np.isnan(places).any(axis=1)] = None
    return Rows(columns, list(range(1, len(requests) + 1)), shapes=shapes, crs=WGS84)


def _json_text(raw: bytes) -> str:
    """JSON is UTF-8; files that say otherwise by their mark, and old code pages, are read all the same."""
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        return raw.decode("utf-16")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        from geo.encodings import vote

        texts = re.findall(rb'"((?:[^"\\]|\\.)*)"', raw)
        return raw.decode(vote(texts).encoding, errors="replace")


def _features(content: Any) -> list[Any]:
    """The features of a document: a collection, one feature, or one bare shape."""
    if not isinstance(content, dict):
        raise RefusedError("no-layer")
    kind = content.get("type")
    if kind == "FeatureCollection" or (kind is None and isinstance(content.get("features"), list)):
        features = content.get("features")
        if not isinstance(features, list):
            raise RefusedError("no-layer")
        return features
    if kind == "Feature":
        return [content]
    if "coordinates" in content or "geometries" in content:
        return [{"type": "Feature", "properties": {}, "geometry": content}]
    raise RefusedError("no-layer")


def _json_crs(job: Job, content: Mapping[str, Any]) -> str | None:
    """The CRS of the old `crs` member by name; WGS 84 without one; a link is not followed."""
    member = content.get("crs", Ellipsis)
    if member is Ellipsis:
        return WGS84
    if not isinstance(member, dict):
        return None
    inside = member.get("properties")
    named = str(inside.get("name", "")) if isinstance(inside, dict) else ""
    if member.get("type") == "name" and re.fullmatch(
        r"(urn:(ogc|x-ogc):def:crs:|EPSG:|OGC:|ESRI:)[\w:.]{1,40}", named, re.IGNORECASE
    ):
        return WGS84 if named.upper().endswith("CRS84") else named
    if member.get("type") == "EPSG" and isinstance(inside, dict) and str(inside.get("code", "")).isdecimal():
        return f"EPSG:{inside['code']}"
    if isinstance(inside, dict) and "href" in inside:
        job.note("crs-link")
    else:
        job.note("crs-unreadable", crs=(named or str(member))[:120])
    return None


def _json_shapes(rows: Rows, given: Sequence[Any]) -> None:
    import numpy as np
    import shapely

    texts = np.empty(len(given), dtype=object)
    texts[:] = [json.dumps(one) if isinstance(one, dict) and one else None for one in given]
    rows.shapes = shapely.from_geojson(texts, on_invalid="ignore")
    failed = [at for at, one in enumerate(given) if one and rows.shapes[at] is None]
    set_aside(rows, dict.fromkeys(failed, "geometry-unreadable"))


# ------------------------------------------------------------------------------------------------------------------ GeoPackage
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


# ------------------------------------------------------------------------------------------------------------------ GeoParquet
def geoparquet(job: Job) -> Rows:
    import pyarrow as pa
    import pyarrow.parquet as pq

    refuse_other(job.only, b"PAR1")
    try:
        with pq.ParquetFile(job.only) as stored:
            about = stored.metadata
            size = sum(about.row_group(at).total_byte_size for at in range(about.num_row_groups))
            for what, found in (
                ("rows", about.num_rows),
                ("columns", about.num_columns),
                ("cells", about.num_rows * about.num_columns),
            ):
                if found > job.rules[what]:
                    raise TooMuchError(what, found, job.rules[what])
            if size > 2**30:
                raise RefusedError("limit-bytes", n=size, limit=2**30)
            described = json.loads((about.metadata or {}).get(b"geo", b"{}"))
            main = described.get("primary_column")
            covering = {
                one.get("covering", {}).get("bbox", {}).get("xmin", [None])[0] for one in described.get("columns", {}).values()
            }
            wanted = [name for name in stored.schema_arrow.names if name not in covering]
            table = stored.read(columns=wanted, use_threads=False)
        table.validate(full=True)
    except pa.ArrowException as error:
        raise ValueError(str(error)) from error
    rows = Rows({}, list(range(1, table.num_rows + 1)))
    rows.lost = max(0, about.num_rows - table.num_rows)
    names = unique(table.column_names)
    for at, name in enumerate(names):
        if table.column_names[at] != main:
            rows.columns[name] = table.column(at).to_pylist()
    if main in table.column_names:
        _parquet_shapes(job, rows, table.column(table.column_names.index(main)).to_pylist(), described["columns"][main])
    return rows


def _parquet_shapes(job: Job, rows: Rows, values: list[Any], about: Mapping[str, Any]) -> None:
    import shapely

    crs = about.get("crs", WGS84)
    rows.crs = json.dumps(crs) if isinstance(crs, dict) else crs if isinstance(crs, str) else None
    if about.get("encoding", "WKB") == "WKB":
        from_wkb(job, rows, [one if isinstance(one, bytes) else None for one in values])
    elif about.get("encoding") == "point":
        places = [(one or {}).get(axis, math.nan) for axis in "xy" for one in values]
        rows.shapes = shapely.points(places[: len(values)], places[len(values) :])
    else:
        raise ValueError(f"geometries are encoded as {about.get('encoding')}, not as WKB")
