"""The child process that reads one file from a stranger at a time, and can do nothing else.

`python -I -m geo.reader_child FOLDER` takes its orders from a file in FOLDER, limits itself before it imports anything that parses,
forks once for each job, and leaves per job a table, the rows set aside and a list of codes. Shapes are checked here, whatever the
format: those that are missing, infinite or beyond any place on Earth are set aside row by row.
Known bias: where the system permits no network namespace, the network is only closed inside the process; where it has no Landlock
(Linux before 5.13, other systems), reading and writing elsewhere is prevented by the readers alone.
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import resource
import signal
import socket
import struct
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

import data
import geo
from geo.archives import TooMuchError
from geo.dbf import unique
from geo.encodings import Column, repaired
from geo.errors import LayerError, is_full
from geo.reader_geojson import geojson
from geo.reader_geopackage import geopackage
from geo.reader_job import FAULTS, WGS84, Job, RefusedError, Rows, as_text, clean, gdal, judged, reason_of, set_aside
from geo.reader_layers import dxf, filegdb, flatgeobuf, kml, kmz, osm
from geo.reader_parquet import geoparquet
from geo.reader_shapefile import shapefile
from geo.reader_tables import spreadsheet, text_table
from geo.tags import COLUMN, unpacked
from geo.untrusted import ASIDE, ENDED, NO_ROOM, ORDER, OUT_OF_MEMORY, REPORT, RESULT

ROW, GEOMETRY = "row", "geometry"
NETWORK, USER = 0x40000000, 0x10000000  # CLONE_NEWNET, CLONE_NEWUSER
DIE_WITH_PARENT, NO_NEW_PRIVILEGES = 1, 38  # PR_SET_PDEATHSIG, PR_SET_NO_NEW_PRIVS
LANDLOCK = 444  # landlock_create_ruleset; the two calls after it add a rule and restrict this process
READ_FILE, READ_DIR, WRITE_FILE = 1 << 2, 1 << 3, 1 << 1  # LANDLOCK_ACCESS_FS_…
READ_RIGHTS = READ_FILE | READ_DIR
WRITE_RIGHTS = WRITE_FILE | sum(1 << right for right in (0, *range(4, 13)))  # and to execute, remove and make anything
PROGRAMS = ("/usr", "/lib", "/lib64", "/etc/ld.so.cache", "/proc/self", "/sys/fs/cgroup", "/sys/devices/system/cpu")
GDAL_KINDS = ("shapefile", "flatgeobuf", "filegdb", "kml", "kmz", "gml", "dxf", "osm")


# ------------------------------------------------------------------------------------------------------------ the process itself
def main(folder: Path) -> None:
    """Confine this process, then do the jobs one by one, each in a process of its own."""
    order = json.loads((folder / ORDER).read_text(encoding="utf-8"))
    rules = order["rules"]
    confined = ["network"] if _confine(rules["reader"]) else []
    _load({job["kind"] for job in order["jobs"]}, order["drivers"])
    confined += ["files"] if _only_files_of(folder) else []
    for job in order["jobs"]:
        ended = _supervised(folder / job["folder"], job, rules)
        (folder / job["folder"] / ENDED).write_text(json.dumps(ended), encoding="utf-8")
    (folder / ENDED).write_text(json.dumps({"confined": confined}), encoding="utf-8")


def _confine(rules: Mapping[str, Any]) -> bool:
    """Limits of memory, time and size, no network, no core; dies with its parent. True with a network namespace of its own."""
    os.umask(0o077)
    sizes = {
        resource.RLIMIT_AS: rules["memory_bytes"], resource.RLIMIT_CPU: rules["cpu_s"],
        resource.RLIMIT_FSIZE: rules["written_bytes"],
        resource.RLIMIT_NOFILE: 256, resource.RLIMIT_CORE: 0,
    }  # fmt: skip
    for which, most in sizes.items():
        _, hard = resource.getrlimit(which)
        limit = int(most) if hard == resource.RLIM_INFINITY else min(int(most), hard)
        resource.setrlimit(which, (limit, limit + 2 if which == resource.RLIMIT_CPU and hard == resource.RLIM_INFINITY else limit))
    _die_with_parent()
    confined = _without_network()
    socket.socket.__init__ = _no_socket  # type: ignore[method-assign]
    socket.getaddrinfo = _no_socket
    return confined


def _die_with_parent() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(DIE_WITH_PARENT, int(signal.SIGKILL), 0, 0, 0)


def _without_network() -> bool:
    """A network namespace with nothing in it, where the system permits one."""
    if sys.platform != "linux":
        return False
    unshare = ctypes.CDLL(None).unshare
    user = os.getuid()
    if unshare(NETWORK) == 0:
        return True
    if unshare(NETWORK | USER) != 0:
        return False
    with suppress(OSError):  # without a name of its own in there, the process still owns its files
        Path("/proc/self/uid_map").write_text(f"{user} {user} 1", encoding="ascii")
    return True


def _only_files_of(folder: Path) -> bool:
    """Landlock: from here on write only in `folder`, read only there and where programs lie, start no program; False without it."""
    if sys.platform != "linux":
        return False
    libc = ctypes.CDLL(None)
    all_rights = struct.pack("<Q", READ_RIGHTS | WRITE_RIGHTS)
    ruleset = libc.syscall(LANDLOCK, all_rights, len(all_rights), 0)
    if ruleset < 0:
        return False
    places = {folder: (READ_RIGHTS | WRITE_RIGHTS) & ~1, Path("/dev/null"): READ_FILE | WRITE_FILE, Path("/dev/urandom"): READ_FILE}
    ours = (Path(str(package.__file__)).parent for package in (geo, data))
    for place in (*(Path(program) for program in PROGRAMS), Path(sys.prefix), Path(sys.base_prefix), *ours):
        places.setdefault(place, READ_RIGHTS)
    for place, rights in places.items():
        if place.exists():
            handle = os.open(place, os.O_PATH | os.O_CLOEXEC)
            libc.syscall(LANDLOCK + 1, ruleset, 1, struct.pack("<Qi", rights if place.is_dir() else rights & ~READ_DIR, handle), 0)
            os.close(handle)
    locked = libc.prctl(NO_NEW_PRIVILEGES, 1, 0, 0, 0) == 0 and libc.syscall(LANDLOCK + 2, ruleset, 0) == 0
    os.close(ruleset)
    return bool(locked)


def _no_socket(*_: Any, **__: Any) -> NoReturn:
    raise OSError("no network here")


class NotNeeded:
    """Keeps pandas and geopandas out, which libraries import only to serve them: a second at each start."""

    def find_spec(self, name: str, *_: Any) -> None:
        if name.partition(".")[0] in ("pandas", "geopandas"):
            raise ModuleNotFoundError(name, name=name)


def _load(kinds: set[str], drivers: Sequence[str]) -> None:
    """Import what the jobs need, once, and check that GDAL has no driver that is not allowed."""
    sys.meta_path.insert(0, NotNeeded())
    import pyarrow.parquet  # noqa: F401
    import pyproj  # noqa: F401
    import shapely  # noqa: F401

    if kinds & set(GDAL_KINDS):
        spare = set(gdal().list_drivers()) - set(drivers)
        if spare:
            raise SystemExit(f"GDAL has drivers that are not allowed: {sorted(spare)}")


def _supervised(folder: Path, order: Mapping[str, Any], rules: Mapping[str, Any]) -> dict[str, Any]:
    """Do one job in a forked process and say how that ended: exit, signal or wall (killed by the clock)."""
    child = os.fork()
    if child == 0:
        _die_with_parent()
        try:
            os._exit(_job(folder, order, rules))
        except MemoryError:
            os._exit(OUT_OF_MEMORY)
        except OSError as error:
            os._exit(NO_ROOM if is_full(error) else 1)
        finally:
            os._exit(1)
    until = time.monotonic() + rules["reader"]["wall_s"]
    pause = 0.001
    while time.monotonic() < until:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            killed = os.WIFSIGNALED(status)
            return {"how": "signal" if killed else "exit", "number": os.WTERMSIG(status) if killed else os.WEXITSTATUS(status)}
        time.sleep(pause)
        pause = min(pause * 1.5, 0.05)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return {"how": "wall"}


def _job(folder: Path, order: Mapping[str, Any], rules: Mapping[str, Any]) -> int:
    """Read one file and write what came of it."""
    os.chdir(folder)
    sys.setrecursionlimit(2000)
    job = Job(folder, order, rules["table"], rules["text"])
    report: dict[str, Any] = {"refused": False, "lost": 0}
    try:
        rows = READERS[str(order["kind"])](job)
        rows.columns |= unpacked(rows.columns.get(COLUMN, ()), without=rows.columns)
        report["lost"] = _finish(job, rows)
    except RefusedError as refusal:
        job.note(refusal.code, **{"path": job.shown, **refusal.values})
        report["refused"] = True
    except TooMuchError as beyond:
        job.note(f"limit-{beyond.what}", n=beyond.found, limit=int(beyond.limit))
        report["refused"] = True
    except LayerError as refusal:
        job.note("unreadable", path=job.shown, reason=refusal.findings[0].found.render("en"))
        report["refused"] = True
    except FAULTS as error:
        if is_full(error):  # no fault of the file
            raise OSError(errno.ENOSPC, str(error)) from error
        job.note("unreadable", path=job.shown, reason=reason_of(error, folder))
        report["refused"] = True
    report |= {"notes": job.notes, "hashtags": job.hashtags}
    (folder / REPORT).write_text(json.dumps(report), encoding="utf-8", errors="replace")
    return 0


# --------------------------------------------------------------------------------------------------------------- what comes out
def _finish(job: Job, rows: Rows) -> int:
    """Check shapes and texts, set aside what can't be used, write both tables; the number of rows lost."""
    if len(rows.row) + len(rows.aside) == 0 and rows.lost == 0:
        raise RefusedError("empty-file")
    if len(rows.row) > job.rules["rows"]:
        raise TooMuchError("rows", len(rows.row), job.rules["rows"])
    if len(rows.columns) > job.rules["columns"]:
        raise TooMuchError("columns", len(rows.columns), job.rules["columns"])
    if rows.shapes is not None:
        _check_shapes(job, rows)
    if not rows.row:
        for reason in sorted({reason for _, reason, _ in rows.aside}):
            listed = [row for row, why, _ in rows.aside if why == reason]
            job.note("rows-aside", rows=listed, reason=reason)
        raise RefusedError("no-usable-row", n=len(rows.aside) + rows.lost)
    if rows.lost:
        job.note("rows-lost", count=rows.lost, n=rows.lost)
    _write(job, rows)
    return rows.lost


def _check_shapes(job: Job, rows: Rows) -> None:
    """Limits on the size of shapes; null, empty, infinite and absurd ones aside; heights that are no numbers away."""
    import numpy as np
    import shapely

    shapes = np.asarray(rows.shapes, dtype=object)
    rows.shapes = shapes
    counts = shapely.get_num_coordinates(shapes)
    if counts.sum() > job.rules["vertices"]:
        raise TooMuchError("vertices", int(counts.sum()), job.rules["vertices"])
    if len(counts) and counts.max() > job.rules["vertices_per_shape"]:
        raise TooMuchError("shape", int(counts.max()), job.rules["vertices_per_shape"])
    _check_rings(job, shapes)
    bare = np.flatnonzero(counts == 0).tolist()
    bad: dict[int, str] = {}
    if not job.order["placeless"]:
        bad = dict.fromkeys(bare, "geometry-missing")
    elif bare:
        shapes[bare] = None
        job.note("rows-without-place", rows=[rows.row[at] for at in bare], n=len(bare))
    flat, owner = shapely.get_coordinates(shapes, return_index=True)
    wild = ~np.isfinite(flat).all(axis=1) | (np.abs(flat) > job.rules["coordinate"]).any(axis=1)
    bad |= dict.fromkeys(np.unique(owner[wild]).tolist(), "geometry-coordinates")
    raised = np.flatnonzero(shapely.has_z(shapes))
    if len(raised):
        heights, owner = shapely.get_coordinates(shapes[raised], include_z=True, return_index=True)
        wild = ~(np.abs(heights[:, 2]) <= job.rules["coordinate"])
        flawed = raised[np.unique(owner[wild])]
        shapes[flawed] = shapely.force_2d(shapes[flawed])
        if len(flawed):
            job.note("heights-dropped", rows=[rows.row[at] for at in flawed], n=len(flawed))
    set_aside(rows, bad)
    if rows.crs == WGS84 and len(rows.shapes):
        highest = float(np.abs(shapely.total_bounds(rows.shapes)).max())
        if highest > 361:
            rows.crs = None
            job.note("crs-not-degrees", highest=f"{highest:.0f}")


def _check_rings(job: Job, shapes: Any) -> None:
    import numpy as np
    import shapely

    parts, owner = shapely.get_parts(shapes, return_index=True)
    if not len(parts):
        return
    most = int(np.bincount(owner).max())
    if most > job.rules["parts_per_shape"]:
        raise TooMuchError("parts", most, job.rules["parts_per_shape"])
    rings = int(np.bincount(owner, weights=shapely.get_num_interior_rings(parts)).max())
    if rings > job.rules["rings_per_shape"]:
        raise TooMuchError("rings", rings, job.rules["rings_per_shape"])


def _write(job: Job, rows: Rows) -> None:
    """GeoParquet of the rows, Parquet of those set aside."""
    import pyarrow as pa
    import pyarrow.parquet as pq
    import shapely

    wanted = {ROW: "row_in_file", GEOMETRY: "geometry_in_file"}
    names = unique([clean(wanted.get(name, name)) for name in rows.columns])
    renamed = [f"{old} → {new}" for old, new in zip(rows.columns, names, strict=True) if old != new]
    if renamed:
        job.note("columns-renamed", columns=renamed[:40])
    arrays = {}
    for name, values in zip(names, rows.columns.values(), strict=True):
        arrays[name] = _array(job, name, values, rows.row)
    arrays[ROW] = pa.array(rows.row, pa.int64())
    described = {}
    if rows.shapes is not None:
        arrays[GEOMETRY] = pa.array(shapely.to_wkb(rows.shapes, include_srid=False, flavor="iso"), pa.binary())
        shape = {"encoding": "WKB", "geometry_types": [], "crs": _crs(job, rows.crs)}
        described = {b"geo": json.dumps({"version": "1.0.0", "primary_column": GEOMETRY, "columns": {GEOMETRY: shape}}).encode()}
    pq.write_table(pa.table(arrays).replace_schema_metadata(described), job.folder / RESULT)
    aside = sorted(rows.aside, key=lambda one: one[0])
    columns = {
        ROW: pa.array([row for row, _, _ in aside], pa.int64()),
        "reason": pa.array([reason for _, reason, _ in aside], pa.string()),
        "value": pa.array(
            [clean(json.dumps(_plain(content), ensure_ascii=False, default=str)) for _, _, content in aside], pa.string()
        ),
    }
    pq.write_table(pa.table(columns), job.folder / ASIDE)


def _plain(content: Any) -> Any:
    return (
        {str(key): value for key, value in content.items() if not isinstance(value, bytes)}
        if isinstance(content, dict)
        else content
    )


def _array(job: Job, name: str, values: Sequence[Any], row: Sequence[int]) -> Any:
    """One column in one kind: whole numbers, numbers, yes and no, else text; ids and mixtures stay text."""
    import pyarrow as pa

    known = {type(value) for value in values if value is not None}
    if known == {bool}:
        return pa.array(values, pa.bool_())
    if known == {int} and all(value is None or -(2**63) <= value < 2**63 for value in values):
        return pa.array(values, pa.int64())
    if known == {float} or (known == {int, float} and all(not isinstance(one, int) or abs(one) < 2**53 for one in values)):
        return pa.array([None if value is None else float(value) for value in values], pa.float64())
    if bytes in known or bytearray in known or memoryview in known:
        job.note("columns-unread", columns=[name])
        values = [None if isinstance(value, (bytes, bytearray, memoryview)) else value for value in values]
    texts = [as_text(value) for value in values]
    longest = max((len(text) for text in texts if text), default=0)
    if longest > job.rules["cell_characters"]:
        raise TooMuchError("cell", longest, job.rules["cell_characters"])
    return pa.array(judged(job, name, repaired(Column(texts, "utf-8")), row), pa.large_string())


def _crs(job: Job, named: str | None) -> Any:
    """PROJJSON of a CRS, or None where it is unknown."""
    from pyproj import CRS
    from pyproj.exceptions import CRSError

    if not named:
        return None
    try:
        return CRS.from_user_input(named).to_json_dict()
    except (CRSError, ValueError, TypeError):
        job.note("crs-unreadable", crs=named[:120])
        return None


READERS: dict[str, Callable[[Job], Rows]] = {
    "shapefile": shapefile,
    "geopackage": geopackage,
    "geojson": geojson,
    "flatgeobuf": flatgeobuf,
    "text table": text_table,
    "spreadsheet": spreadsheet,
    "geoparquet": geoparquet,
    "filegdb": filegdb,
    "kml": kml,
    "kmz": kmz,
    "gml": kml,
    "dxf": dxf,
    "osm": osm,
}


if __name__ == "__main__":
    main(Path(sys.argv[1]))
    os.killpg(0, signal.SIGKILL)  # whatever a file's reader may have left running
