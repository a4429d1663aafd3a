"""Files from strangers are read by a child process that can do nothing else; this side only believes what it writes down.

The child (`geo.reader_child`) starts with an environment in which GDAL has no driver but the allowed ones, without network, with
limits of memory, time and size, in a process group that dies as one. It leaves a GeoParquet and a list of codes with values; the
sentences to those codes stand here, so that nothing a file contains is ever read as a sentence. Rows in the file are rows read,
rows set aside with a reason, and rows reported lost: the three always add up.
Known bias: a child costs about a second. Memory is limited as address space, which counts a little more than is used.
"""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from shutil import copyfile, copytree, disk_usage
from typing import TYPE_CHECKING, Any, Literal

from geo import archives
from geo.archives import Bundle, gather, readable
from geo.errors import NOTHING, Finding, LayerError, Severity, finding
from geo.messages import Message, message

if TYPE_CHECKING:
    import pandas as pd

Allow = Literal["upload", "administrator"]
UPLOAD = frozenset({"shapefile", "geopackage", "geojson", "flatgeobuf", "text table", "spreadsheet", "geoparquet"})
ADMINISTRATOR = UPLOAD | {"filegdb", "kml", "kmz", "gml", "dxf", "osm"}
DRIVERS = {
    "upload": ("ESRI Shapefile", "FlatGeobuf"),
    "administrator": ("ESRI Shapefile", "FlatGeobuf", "OpenFileGDB", "LIBKML", "KML", "GML", "DXF", "OSM"),
}
OUT_OF_MEMORY, NO_ROOM = 77, 78  # how the child ends when it may have no more, or the disk has none
LITTLE_BYTES = 65_536  # a child without even this has not failed because of the file
RESULT, ASIDE, REPORT, ENDED, ORDER = "result.parquet", "aside.parquet", "report.json", "ended.json", "order.json"


@dataclass(frozen=True)
class Counts:
    """Rows in the file, and what became of them: `rows = read + aside + lost`."""

    rows: int
    read: int
    aside: int
    lost: int


@dataclass(frozen=True)
class Read:
    """What could be read.

    Attributes
    ----------
    table
        The file's own columns and CRS plus `row` (1 = first row of data); a GeoDataFrame where rows have shapes.
    aside
        Rows that can't be used: `row`, `reason` (a key of `ASIDE_REASONS`), `value` (the row's own content as JSON text).
    hashtags
        HXL tags by column, where the file has them.
    confined
        What the system itself kept from the child: "network" (a namespace with nothing in it), "files" (Landlock: it writes only in
        its folder and reads only there and where programs lie). Without them the child keeps the rules by itself.
    """

    table: pd.DataFrame
    aside: pd.DataFrame
    findings: tuple[Finding, ...]
    counts: Counts
    hashtags: Mapping[str, str] = field(default_factory=dict)
    confined: tuple[str, ...] = ()


@dataclass(frozen=True)
class Request:
    """One layer to read; the options are those of a layer's entry in `study.toml`.

    `files` is a bundle of `geo.archives`, or paths of loose files. `columns` says which columns hold `lon, lat`, `x, y` or `wkt`.
    """

    files: Bundle | Sequence[Path]
    name: str
    sublayer: str | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    crs: str | None = None
    header: Sequence[str] | None = None
    encoding: str | None = None
    placeless: bool = False


@dataclass(frozen=True)
class Note:
    """The sentences of a code that the child may send."""

    severity: Severity
    found: Message
    expected: Message = NOTHING
    remedy: Message = NOTHING


AGAIN = message("Open it in QGIS or a spreadsheet and save it as GeoPackage or UTF-8 CSV.")
MOST = message("At most {limit}.")
SMALLER = message("Divide it into smaller files.")
CHECK_ROWS = message("See the table of left-out rows.")
COMPARE = message("Compare the number of rows with the sender's.")

NOTES: Mapping[str, Note] = {
    "unreadable": Note("error", message("{path} can't be read: {reason}"), readable(), AGAIN),
    "content-differs": Note(
        "error", message("The content of {path} is not what its name says."), message("A file that is what its name says."), AGAIN
    ),
    "kind-not-allowed": Note(
        "error",
        message("{path} is {kind}, which only an administrator can import."),
        readable(),
        message("Save it as GeoPackage, or ask an administrator to import it."),
    ),
    "several-files": Note(
        "error",
        message("Several layers were delivered: {layers}."),
        message("One of them."),
        message("Send one at a time, or say which."),
    ),
    "which-sublayer": Note(
        "error", message("{path} holds several layers: {layers}."), message("One of them."), message("Say which of them it is.")
    ),
    "unknown-sublayer": Note(
        "error", message("{path} holds no layer '{name}'."), message("One of: {layers}."), message("Say which of them it is.")
    ),
    "no-layer": Note("error", message("{path} holds no layer of rows."), remedy=AGAIN),
    "empty-file": Note(
        "error",
        message("{path} holds no row."),
        message("At least one row."),
        message("Check that this is the right file, and send it again."),
    ),
    "no-usable-row": Note("error", message("Not one of the {n} rows of {path} can be used."), remedy=CHECK_ROWS),
    "limit-rows": Note("error", message("{n} rows were found."), MOST, SMALLER),
    "limit-columns": Note("error", message("{n} columns were found."), MOST, message("Leave away the columns that say nothing.")),
    "limit-cells": Note("error", message("{n} cells were found."), MOST, SMALLER),
    "limit-cell": Note(
        "error", message("A cell of {n} characters was found."), MOST, message("Shorten it, or leave its column away.")
    ),
    "limit-vertices": Note("error", message("{n} vertices were found."), MOST, SMALLER),
    "limit-shape": Note("error", message("A shape of {n} vertices was found."), MOST, message("Simplify or divide that shape.")),
    "limit-rings": Note("error", message("A shape of {n} rings was found."), MOST, message("Simplify or divide that shape.")),
    "limit-parts": Note("error", message("A shape of {n} parts was found."), MOST, message("Simplify or divide that shape.")),
    "limit-bytes": Note("error", message("Unpacked it has {n} bytes."), MOST, SMALLER),
    "limit-depth": Note("error", message("Its content is nested more than {n} deep."), MOST, AGAIN),
    "reader-memory": Note("error", message("Reading it needs more than {limit} MB of memory."), remedy=SMALLER),
    "reader-cpu": Note("error", message("Reading it needs more than {limit} seconds of computing."), remedy=SMALLER),
    "reader-wall": Note("error", message("Reading it takes longer than {limit} seconds."), remedy=SMALLER),
    "reader-broke": Note("error", message("The reader broke down on it ({how})."), readable(), AGAIN),
    "xml-entities": Note(
        "error",
        message("{path} defines entities or a document type."),
        message("Data without them: they can make a file endless or fetch other files."),
        AGAIN,
    ),
    "gpkg-damaged": Note(
        "error",
        message("The database {path} is damaged: {reason}"),
        message("A GeoPackage whose pages agree."),
        message("Export it again."),
    ),
    "gpkg-views": Note("warning", message("Views in {path} are not read: {names}."), message("Tables."), AGAIN),
    "gpkg-triggers": Note("warning", message("{path} holds programs of its own, which were not run: {names}.")),
    "gpkg-count": Note("warning", message("{path} says that it holds {said} rows; {n} were counted."), remedy=COMPARE),
    "count-differs": Note("warning", message("{path} says that it holds {said} rows; {n} were counted."), remedy=COMPARE),
    "rows-lost": Note(
        "warning", message("{n} rows that the file speaks of are not in it, or could not be got out."), remedy=COMPARE
    ),
    "shx-rebuilt": Note("info", message("The index (.shx) was missing or too short and was made again.")),
    "dbf-missing": Note(
        "warning",
        message("The table (.dbf) is missing: the shapes have no attributes."),
        message("A shapefile is at least .shp, .shx and .dbf."),
        message("Send the parts of the shapefile together."),
    ),
    "dbf-unreadable": Note(
        "warning", message("The table (.dbf) can't be read: {reason}"), remedy=message("Send the parts of the shapefile together.")
    ),
    "columns-unread": Note("warning", message("The content of these columns can't be read: {columns}."), remedy=AGAIN),
    "columns-renamed": Note("info", message("Columns with other names than in the file: {columns}.")),
    "encoding": Note("info", message("The letters were read as {encoding}; the file declares {declared}.")),
    "encoding-mixed": Note("info", message("The columns are in several encodings: {encodings}.")),
    "text-cut": Note("info", message("{n} values of column '{column}' end within a letter.")),
    "text-unreadable": Note("warning", message("{n} values of column '{column}' hold letters that can't be read."), remedy=AGAIN),
    "text-repaired": Note(
        "warning", message("{n} values of column '{column}' had been read in a wrong encoding and were put right.")
    ),
    "text-lost": Note(
        "warning",
        message("{n} values of column '{column}' hold question marks in place of letters."),
        remedy=message("The letters were lost before the file was sent: ask for it again, saved as UTF-8."),
    ),
    "ids-rounded": Note(
        "warning",
        message("Column '{column}' holds numbers of more than 15 digits, which spreadsheets round."),
        remedy=message("If they are codes, ask for the file with this column as text."),
    ),
    "rows-short": Note("info", message("{n} rows have fewer cells than the header; the missing ones count as empty.")),
    "header-doubtful": Note(
        "warning",
        message("The first line looks like data, not like names of columns."),
        remedy=message("If it is data, say the names of the columns."),
    ),
    "hxl": Note("info", message("The row of HXL hashtags was recognised; it is not data.")),
    "lines-skipped": Note("info", message("{n} lines above the header were left out.")),
    "points-from": Note("info", message("The places were taken from the columns {columns}.")),
    "no-places": Note("warning", message("The columns {columns} hold no coordinate; the rows are read without places.")),
    "rows-without-place": Note(
        "info",
        message("{n} rows have no coordinates; they belong where their code or name says."),
        remedy=message("Give coordinates, or see the table of left-out rows for those that no code or name places."),
    ),
    "crs-link": Note(
        "warning",
        message("The coordinate system is given as a link, which is not followed."),
        remedy=message("Ask who made the file for its coordinate system."),
    ),
    "crs-unreadable": Note(
        "warning",
        message("The coordinate system can't be understood: {crs}."),
        remedy=message("Ask who made the file for its coordinate system."),
    ),
    "crs-not-degrees": Note(
        "warning",
        message("The format promises degrees, but coordinates go up to {highest}."),
        remedy=message("Ask who made the file for its coordinate system."),
    ),
    "heights-dropped": Note("info", message("{n} shapes had heights that are no numbers; they are read without heights.")),
    "remote-references": Note("info", message("References to other files or addresses are not followed.")),
}

ASIDE_REASONS: Mapping[str, Message] = {
    "geometry-missing": message("No geometry, or coordinates that are no numbers"),
    "geometry-unreadable": message("The geometry can't be read"),
    "geometry-coordinates": message("Coordinates that are infinite or beyond any place on Earth"),
    "record-unreadable": message("The record can't be read"),
    "record-deleted": message("Marked as deleted in the file"),
    "record-missing": message("A shape without a record in the table"),
    "shape-missing": message("A record in the table without a shape"),
    "quote-open": message("A quotation mark that is never closed"),
    "cells-too-many": message("More cells than the header has names"),
}


def read_untrusted(
    files: Bundle | Sequence[Path],
    *,
    name: str,
    sublayer: str | None = None,
    columns: Mapping[str, str] | None = None,
    crs: str | None = None,
    header: Sequence[str] | None = None,
    encoding: str | None = None,
    placeless: bool = False,
    allow: Allow = "upload",
    limits: Mapping[str, float] | None = None,
    within: Path | None = None,
) -> Read:
    """The rows of a file from a stranger.

    Parameters
    ----------
    files
        A bundle of `geo.archives.unpack` or `gather`, or paths of loose files; they are copied and stay as they are.
    name
        What findings call the layer.
    crs
        CRS of `x, y` and `wkt` columns of a table; degrees are WGS 84 without it. A file that says its CRS keeps its own.
    placeless
        Rows without a geometry stay, without one: something else than their place may say where they belong.
    allow
        "administrator" also reads FileGDB, KML, KMZ, GML, DXF and OSM.
    limits
        Names of `data/limits.toml` with other values.
    within
        Folder to work in; the system's own for such things without it.

    Raises
    ------
    LayerError
        It can't be used at all, with every reason found; a child that was killed says which limit it met.
    OSError
        There is no room on the disk to work on.
    """
    request = Request(files, name, sublayer, columns or {}, crs, header, encoding, placeless)
    (result,) = read_many([request], allow=allow, limits=limits, within=within)
    if isinstance(result, LayerError):
        raise result
    return result


def read_many(
    requests: Sequence[Request],
    *,
    allow: Allow = "upload",
    limits: Mapping[str, float] | None = None,
    within: Path | None = None,
) -> list[Read | LayerError]:
    """Several layers by one child, each in a process of its own below it; a refusal is returned in its place."""
    rules = _rules(limits or {})
    results: list[Read | LayerError] = []
    with tempfile.TemporaryDirectory(prefix="tarmim-", dir=within, ignore_cleanup_errors=True) as private:
        root = Path(private)
        prepared = [_prepared(request, root / f"{number:04d}", allow) for number, request in enumerate(requests)]
        jobs = [job for job in prepared if not isinstance(job, LayerError)]
        ended = _run_child(root, jobs, rules, allow) if jobs else Ended((), True)
        for request, job in zip(requests, prepared, strict=True):
            results.append(job if isinstance(job, LayerError) else _result(request, job, root, rules, ended))
    return results


def note(code: str, where: str, values: Mapping[str, Any], rows: Sequence[object] = (), count: int | None = None) -> Finding:
    """The finding of a code: our sentences, the child's values."""
    known = NOTES[code]
    filled = [Message(part.text, dict(values)) if part.text else NOTHING for part in (known.found, known.expected, known.remedy)]
    return finding(code, known.severity, where, filled[0], expected=filled[1], remedy=filled[2], rows=rows, count=count)


def _rules(changes: Mapping[str, float]) -> dict[str, dict[str, Any]]:
    """The limits, with those that a caller changes.

    >>> _rules({"wall_s": 5})["reader"]["wall_s"]
    5
    """
    rules = {section: dict(values) for section, values in archives.limits().items()}
    for key, value in changes.items():
        section = next((known for known in ("reader", "table", "text", "archive") if key in rules[known]), None)
        if section is None:
            raise KeyError(key)
        rules[section][key] = value
    return rules


def _prepared(request: Request, folder: Path, allow: Allow) -> dict[str, Any] | LayerError:
    """The order for one layer, with its files copied under names of ours; a refusal where that can't be."""
    folder.mkdir()
    try:
        bundle = request.files if isinstance(request.files, Bundle) else _only(request, folder / "delivered")
        if bundle.kind not in (ADMINISTRATOR if allow == "administrator" else UPLOAD):
            code = "kind-not-allowed" if bundle.kind in ADMINISTRATOR else "unreadable"
            raise LayerError(note(code, request.name, {"path": bundle.name, "kind": bundle.kind, "reason": bundle.kind}))
        total, limit = sum(_size(path) for path in bundle.parts.values()), archives.limits()["archive"]["unpacked_bytes"]
        if total > limit:
            raise LayerError(note("limit-bytes", request.name, {"n": total, "limit": limit}))
        return _order(request, bundle, folder)
    except LayerError as refusal:
        return refusal


def _size(path: Path) -> int:
    return sum(one.stat().st_size for one in path.iterdir()) if path.is_dir() else path.stat().st_size


def _only(request: Request, folder: Path) -> Bundle:
    """The one bundle of loose files."""
    assert not isinstance(request.files, Bundle)  # noqa: S101
    bundles = gather(list(request.files), folder).files
    if len(bundles) > 1:
        raise LayerError(note("several-files", request.name, {"layers": [one.name for one in bundles][:40]}))
    return bundles[0]


def _order(request: Request, bundle: Bundle, folder: Path) -> dict[str, Any]:
    parts = {}
    for suffix, path in bundle.parts.items():
        # GDAL sees no .dbf: the rows are counted and the letters read here
        stored = f"{'table' if suffix == '.dbf' else 'input'}{suffix if suffix != '.pbf' else '.osm.pbf'}"
        if path.is_dir():
            copytree(path, folder / stored)
        else:
            copyfile(path, folder / stored)
        parts[suffix] = stored
    return {
        "folder": folder.name,
        "kind": bundle.kind,
        "shown": bundle.name,
        "parts": parts,
        "sublayer": request.sublayer,
        "columns": dict(request.columns),
        "crs": request.crs,
        "header": list(request.header) if request.header is not None else None,
        "encoding": request.encoding,
        "placeless": request.placeless,
    }


@lru_cache(maxsize=2)
def _skipped(allow: Allow) -> str:
    """The names of all GDAL drivers but the allowed ones, for the environment."""
    import pyogrio

    return ",".join(name for name in pyogrio.list_drivers() if name not in DRIVERS[allow])


def _environment(folder: Path, allow: Allow) -> dict[str, str]:
    """All that the child knows of the world."""
    nowhere = "http://127.0.0.1:9"
    here = str(folder)
    given = {key: os.environ[key] for key in ("GDAL_DATA", "PROJ_DATA", "PROJ_LIB", "LD_LIBRARY_PATH") if key in os.environ}
    return given | {
        "PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "LC_ALL": "C.UTF-8", "TZ": "UTC",
        "HOME": here, "TMPDIR": here, "CPL_TMPDIR": here,
        "GDAL_SKIP": _skipped(allow), "OGR_SKIP": _skipped(allow), "GDAL_DRIVER_PATH": "disable", "OGR_DRIVER_PATH": "disable",
        "GDAL_CONFIG_FILE": f"{here}/none", "GDAL_VRT_ENABLE_PYTHON": "NO",
        "CPL_VSIL_CURL_ALLOWED_FILENAME": f"{nowhere}/none", "PROJ_NETWORK": "OFF",
        "GDAL_HTTP_TIMEOUT": "1", "GDAL_HTTP_MAX_RETRY": "0",
        "GDAL_HTTP_PROXY": nowhere, "GDAL_HTTPS_PROXY": nowhere, "http_proxy": nowhere, "https_proxy": nowhere,
        "all_proxy": nowhere,
        "GML_DOWNLOAD_SCHEMA": "NO", "GML_SKIP_RESOLVE_ELEMS": "ALL", "GML_REFRESH_CACHE": "NO", "LIBKML_RESOLVE_STYLE": "NO",
        "OSM_MAX_TMPFILE_SIZE": "100", "GDAL_NUM_THREADS": "1", "GDAL_CACHEMAX": "64",
        "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "2", "ARROW_DEFAULT_MEMORY_POOL": "system",
    }  # fmt: skip


@dataclass(frozen=True)
class Ended:
    """How the child ended: what it was kept from, and whether it came to an end by itself."""

    confined: tuple[str, ...]
    in_time: bool


def _run_child(root: Path, jobs: Sequence[Mapping[str, Any]], rules: Mapping[str, Any], allow: Allow) -> Ended:
    """Run the child to its end, or kill its whole group when its time is over."""
    (root / ORDER).write_text(json.dumps({"jobs": jobs, "rules": rules, "drivers": DRIVERS[allow]}), encoding="utf-8")
    command = [sys.executable, "-I", "-X", "utf8", "-m", "geo.reader_child", str(root)]
    quiet = subprocess.DEVNULL
    child = subprocess.Popen(  # noqa: S603
        command,
        cwd=root,
        env=_environment(root, allow),
        stdin=quiet,
        stdout=quiet,
        stderr=quiet,
        start_new_session=True,
        close_fds=True,
    )
    in_time = True
    try:
        child.wait(timeout=rules["reader"]["start_s"] + len(jobs) * (rules["reader"]["wall_s"] + 1))
    except subprocess.TimeoutExpired:
        in_time = False
    finally:
        if child.poll() is None:
            os.killpg(child.pid, signal.SIGKILL)
            child.wait()
    return Ended(tuple(str(one) for one in _json(root / ENDED).get("confined", ())), in_time)


def _json(path: Path) -> dict[str, Any]:
    """What the child wrote, or nothing."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def _result(request: Request, job: Mapping[str, Any], root: Path, rules: Mapping[str, Any], ended: Ended) -> Read | LayerError:
    """What became of one job."""
    folder = root / str(job["folder"])
    report = _json(folder / REPORT)
    try:
        found = tuple(_believed(one, request.name) for one in report["notes"])
        if not report or report.get("refused") or not (folder / RESULT).is_file():
            raise LayerError(*found) if found else KeyError("notes")
        table, aside = _table(folder / RESULT), _table(folder / ASIDE)
        counts = Counts(len(table) + len(aside) + int(report["lost"]), len(table), len(aside), int(report["lost"]))
        tags = {str(key): str(value) for key, value in report.get("hashtags", {}).items()}
        return Read(table, aside, found + _noted(aside, request.name), counts, tags, ended.confined)
    except LayerError as refusal:
        return refusal
    except (KeyError, TypeError, ValueError, OSError, RuntimeError, AttributeError) as error:
        how = _json(folder / ENDED) or ({"how": "start", "number": 1} if ended.in_time else {})
        if how.get("number") == NO_ROOM or (ended.in_time and disk_usage(root).free < LITTLE_BYTES):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)) from None
        return LayerError(_how_it_ended(how, request.name, rules, type(error).__name__))


def _believed(one: Mapping[str, Any], where: str) -> Finding:
    """A note of the child, if its code is known and its values fit the sentences."""
    values = {str(key): [str(item) for item in value] if isinstance(value, list) else value for key, value in one["values"].items()}
    rows, count = [int(row) for row in one["rows"]], int(one["count"])
    if one["code"] == "rows-aside":
        return _left_out(str(values["reason"]), where, rows, count)
    made = note(str(one["code"]), where, values, rows, count)
    made.render("en")
    return made


def _left_out(reason: str, where: str, rows: Sequence[int], count: int) -> Finding:
    """Rows were set aside for a reason."""
    found = message("{n} rows left out: {reason}.", n=count, reason=ASIDE_REASONS[reason])
    return finding(reason, "warning", where, found, remedy=CHECK_ROWS, rows=rows, count=count)


def _noted(aside: pd.DataFrame, where: str) -> tuple[Finding, ...]:
    """One finding for each reason for which rows were set aside."""
    groups = aside.groupby("reason", sort=False)["row"]
    return tuple(_left_out(str(reason), where, rows.head(100).tolist(), len(rows)) for reason, rows in groups)


def _how_it_ended(ended: Mapping[str, Any], where: str, rules: Mapping[str, Any], fault: str) -> Finding:
    """Which limit a child met that left no report."""
    how, number, limits = ended.get("how"), int(ended.get("number", 0)), rules["reader"]
    if how is None or how == "wall":
        return note("reader-wall", where, {"limit": int(limits["wall_s"])})
    if how == "signal" and number == signal.SIGXCPU:
        return note("reader-cpu", where, {"limit": int(limits["cpu_s"])})
    if (how == "exit" and number == OUT_OF_MEMORY) or (how == "signal" and number == signal.SIGABRT):
        return note("reader-memory", where, {"limit": int(limits["memory_bytes"] // 2**20)})
    return note("reader-broke", where, {"how": f"{how} {number}" if number else fault})


def _table(path: Path) -> Any:
    """A table of the child: shapes from WKB, whole numbers with gaps as such."""
    import geopandas as gpd
    import pandas as pd
    import pyarrow.parquet as pq
    import shapely
    from pyproj import CRS

    stored = pq.read_table(path)
    columns = {name: _series(stored[name]) for name in stored.column_names if name != "geometry"}
    described = (stored.schema.metadata or {}).get(b"geo")
    if described is None:
        return pd.DataFrame(columns, index=range(stored.num_rows))
    crs = json.loads(described)["columns"]["geometry"]["crs"]
    shapes = shapely.from_wkb(stored["geometry"].to_numpy(zero_copy_only=False)) if stored.num_rows else []
    return gpd.GeoDataFrame(columns, geometry=shapes, crs=CRS.from_json_dict(crs) if crs else None, index=range(stored.num_rows))


def _series(column: Any) -> Any:
    import pandas as pd
    import pyarrow as pa

    whole = {pa.int64(): pd.Int64Dtype(), pa.bool_(): pd.BooleanDtype()} if column.null_count else {}
    return column.to_pandas(types_mapper=whole.get).reset_index(drop=True)
