"""What every reader of the child process works on: the order and its limits, and the rows that come out.

A row that can't be read is set aside by itself, with its reason and its number in the file.
"""

from __future__ import annotations

import json
import math
import re
import sqlite3
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.parsers import expat

from geo.encodings import Column

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


def halves(read: Callable[[int, int], Any], total: int) -> Iterable[tuple[int, Any]]:
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
