"""Layers through GDAL: FlatGeobuf, and the formats that only an administrator imports.

XML is scanned for what it must not hold before a driver sees it. Known bias: attributes come as the driver types them.
"""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn
from xml.parsers import expat

from geo.archives import TooMuchError, check_directory, limits
from geo.reader_job import FAULTS, Job, RefusedError, Rows, from_wkb, gdal, halves, refuse_other


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
    for skip, done in halves(read, total):
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
