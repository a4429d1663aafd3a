"""What was delivered: a zip or loose files become bundles, the files of one stem that are one layer, under names of our own.

A zip is judged by its directory before a byte is unpacked, and unpacked through a counter that does not believe the directory.
The name of a member is something to show and to group by; it never becomes a path. One parser reads the directory, and the
members must lie one after another without gaps that overlap: what two readers could understand differently is refused.
Known bias: strict where a strict rule costs an honest sender one repacking (encryption, links, repeated names); lenient only
about a short text before the first member, which some servers put there.
"""

from __future__ import annotations

import shutil
import stat
import struct
import tomllib
import unicodedata
import zipfile
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.resources import files
from itertools import pairwise
from pathlib import Path, PurePosixPath
from typing import Any

from geo.encodings import decode_name
from geo.errors import Finding, LayerError, finding, is_full
from geo.messages import Message, message

SHAPEFILE = (".shp", ".shx", ".dbf", ".prj", ".cpg")
KINDS = {
    ".shp": "shapefile",
    ".dbf": "shapefile",
    ".gpkg": "geopackage",
    ".geojson": "geojson",
    ".json": "geojson",
    ".fgb": "flatgeobuf",
    ".csv": "text table",
    ".tsv": "text table",
    ".txt": "text table",
    ".xlsx": "spreadsheet",
    ".ods": "spreadsheet",
    ".parquet": "geoparquet",
    ".geoparquet": "geoparquet",
    ".kml": "kml",
    ".kmz": "kmz",
    ".gml": "gml",
    ".dxf": "dxf",
    ".osm": "osm",
    ".pbf": "osm",
    ".gdb": "filegdb",
}
RASTERS = (".tif", ".tiff", ".asc", ".img", ".nc", ".jp2", ".ecw", ".sid")
NESTED = (".zip", ".7z", ".rar", ".gz", ".bz2", ".xz", ".zst", ".tar", ".tgz", ".kmz")
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
CHUNK = 1 << 20
GDB_PARTS = (".gdbtable", ".gdbtablx", ".gdbindexes", ".atx", ".spx", ".freelist", ".horizon")
LOCAL, END = b"PK\x03\x04", b"PK\x05\x06"


class TooMuchError(ValueError):
    """More than a limit allows: what, how many, and the limit."""

    def __init__(self, what: str, found: int, limit: int) -> None:
        super().__init__(what, found, limit)
        self.what, self.found, self.limit = what, found, limit


@lru_cache(maxsize=1)
def limits() -> dict[str, dict[str, Any]]:
    """The content of `data/limits.toml`; not to be changed by the caller."""
    return tomllib.loads(files("data").joinpath("limits.toml").read_text(encoding="utf-8"))


@dataclass(frozen=True)
class Bundle:
    """The files that together are one layer. `name` is the sender's, to be shown; `parts` maps a suffix to a file of ours."""

    name: str
    kind: str
    parts: dict[str, Path]

    @property
    def path(self) -> Path:
        """The file that names the bundle: the `.shp` of a shapefile, else its only one."""
        return self.parts.get(".shp") or next(iter(self.parts.values()))


@dataclass(frozen=True)
class Unpacked:
    """The bundles of a delivery and what was noticed."""

    files: tuple[Bundle, ...]
    findings: tuple[Finding, ...]


@dataclass
class Member:
    """One file as the sender named it: `shown` in NFC with forward slashes."""

    shown: str
    size: int
    source: zipfile.ZipInfo | Path
    folder: str = field(init=False)
    stem: str = field(init=False)
    suffix: str = field(init=False)

    def __post_init__(self) -> None:
        path = PurePosixPath(self.shown)
        self.folder, self.stem, self.suffix = str(path.parent), path.stem, path.suffix.lower()


def unpack(path: Path, folder: Path, *, name: str | None = None) -> Unpacked:
    """The bundles of a zip, unpacked into `folder` (private, ours) under names of our own.

    Parameters
    ----------
    name
        What the sender calls the file; the name of `path` by default.

    Raises
    ------
    LayerError
        With the reason: no zip, damaged, encrypted, another method than Stored or Deflate, too many or too large members, members
        that overlap, links or devices, names that lead out of the archive or repeat, or nothing in it that can be read.
    """
    where = name or path.name
    try:
        with zipfile.ZipFile(path) as archive:
            notes = check_directory(archive, path, where, limits()["archive"]["members"])
            members, ignored = _members(archive, where)
            return _stored(members, folder, where, [*notes, *ignored], archive)
    except LayerError:
        raise
    except (
        zipfile.BadZipFile,
        zlib.error,
        EOFError,
        OSError,
        ValueError,
        NotImplementedError,
        RuntimeError,
        struct.error,
    ) as error:
        if is_full(error):  # no fault of the archive
            raise
        raise _refused("zip-damaged", where, message("The archive is damaged: {reason}.", reason=_reason(error, path))) from error


def gather(paths: Sequence[Path], folder: Path, *, names: Sequence[str] | None = None) -> Unpacked:
    """The bundles of loose files, copied into `folder` (private, ours); archives among them are unpacked.

    `names` are what the sender calls the files, in the order of `paths`.
    """
    called = list(names) if names is not None else [path.name for path in paths]
    where = called[0] if called else "delivery"
    members: list[Member] = []
    bundles: list[Bundle] = []
    found: list[Finding] = []
    for number, (path, name) in enumerate(zip(paths, called, strict=True)):
        shown = unicodedata.normalize("NFC", name)
        if path.is_dir() and path.suffix.lower() == ".gdb":
            members += [Member(f"{shown}/{one.name}", one.stat().st_size, one) for one in sorted(path.iterdir()) if one.is_file()]
            continue
        if not path.is_file() or path.is_symlink():
            raise _refused("not-a-file", name, message("It is not a file."))
        if PurePosixPath(shown).suffix.lower() == ".zip":
            inner = folder / f"z{number:03d}"
            inner.mkdir(parents=True)
            unpacked = unpack(path, inner, name=shown)
            bundles += unpacked.files
            found += unpacked.findings
            continue
        members.append(Member(shown, path.stat().st_size, path))
    total, limit = sum(member.size for member in members), limits()["archive"]["unpacked_bytes"]
    if total > limit:
        raise _too_large(where, total, limit)
    _refuse_repeated(members, where)
    if members or not bundles:
        stored = _stored(members, folder, where, [], None)
        bundles, found = [*bundles, *stored.files], [*found, *stored.findings]
    return Unpacked(tuple(bundles), tuple(found))


def check_directory(archive: zipfile.ZipFile, path: Path, where: str, most: int) -> list[Finding]:
    """Judge a zip by its directory; findings where it is odd and usable.

    Raises
    ------
    LayerError
        As `unpack`.
    """
    entries, rules = archive.infolist(), limits()["archive"]
    if len(entries) > most:
        found = message("The archive holds {n} files.", n=len(entries))
        raise _refused("zip-members", where, found, message("At most {limit}.", limit=most))
    total = sum(entry.file_size for entry in entries)
    if total > rules["unpacked_bytes"]:
        raise _too_large(where, total, rules["unpacked_bytes"])
    if any(entry.flag_bits & 0x2041 for entry in entries):
        found = message("The archive is encrypted.")
        raise _refused("zip-encrypted", where, found, remedy=message("Pack the files again without a password."))
    if any(entry.compress_type not in METHODS for entry in entries):
        found = message("The archive uses a compression that is not read here.")
        raise _refused("zip-method", where, found, message("Stored or Deflate, what every zip program makes by default."))
    if any(_is_special(entry) for entry in entries):
        found = message("The archive holds links or devices.")
        raise _refused("zip-links", where, found, message("Files and folders only."))
    return _layout(archive, path, where)


def _is_special(entry: zipfile.ZipInfo) -> bool:
    kind = stat.S_IFMT(entry.external_attr >> 16) if entry.create_system == 3 else 0
    return kind not in (0, stat.S_IFREG, stat.S_IFDIR)


def _layout(archive: zipfile.ZipFile, path: Path, where: str) -> list[Finding]:
    """Members one after another, the directory behind them, its end at the end of the file; a short text before is allowed."""
    size = path.stat().st_size
    with path.open("rb") as raw:
        spans = sorted(_span(raw, entry) for entry in archive.infolist())
        first = spans[0][0] if spans else archive.start_dir
        before = raw.read(0) if first > limits()["archive"]["prefix_bytes"] else _bytes(raw, 0, first)
        tail = _bytes(raw, max(0, size - 65_557), 65_557)
    if any(start < end for (_, end), (start, _) in pairwise(spans)) or (spans and spans[-1][1] > archive.start_dir):
        found = message("Files in the archive overlap.")
        raise _refused("zip-overlap", where, found, message("Each file in its own place."))
    end = tail.rfind(END)
    if end < 0 or len(tail) - end - 22 != len(archive.comment):
        found = message("Something stands behind the end of the archive.")
        raise _refused("zip-polyglot", where, found, message("A zip and nothing else."))
    if not first:
        return []
    if len(before) != first or any((byte < 32 and byte not in (9, 10, 13)) or byte > 126 for byte in before):
        found = message("The file does not begin as a zip: {n} bytes stand before it.", n=first)
        raise _refused("zip-polyglot", where, found, message("A zip and nothing else."))
    found = message("{n} bytes of text before the archive were left out.", n=first)
    return [
        finding("zip-prefix", "info", where, found, expected=message("The archive itself is whole: its files follow one another."))
    ]


def _bytes(raw: Any, start: int, number: int) -> bytes:
    raw.seek(start)
    return bytes(raw.read(number))


def _span(raw: Any, entry: zipfile.ZipInfo) -> tuple[int, int]:
    """Where a member begins and ends, by its own header, not by the directory's word for it."""
    head = _bytes(raw, entry.header_offset, 30)
    if len(head) < 30 or head[:4] != LOCAL:
        raise zipfile.BadZipFile("a file is not where the directory says")
    name, extra = struct.unpack("<HH", head[26:30])
    return entry.header_offset, entry.header_offset + 30 + name + extra + entry.compress_size


def _members(archive: zipfile.ZipFile, where: str) -> tuple[list[Member], list[Finding]]:
    """The files of an archive that count, with names to show; the rest with reasons."""
    named = [(entry, _name(entry)) for entry in archive.infolist() if not _is_folder(entry)]
    leading = [name for _, name in named if _leads_out(name)]
    if leading:
        found = message("Names in the archive lead out of it: {names}.", names=leading[:5])
        raise _refused("zip-traversal", where, found, message("Names without '..', drive or leading slash."))
    members = [Member(name, entry.file_size, entry) for entry, name in named if not _is_litter(name)]
    _refuse_repeated(members, where)
    nested = [member.shown for member in members if member.suffix in NESTED]
    found = message("Archives inside the archive are not opened: {names}.", names=nested[:8])
    notes = [finding("zip-nested", "info", where, found, count=len(nested))] if nested else []
    return [member for member in members if member.suffix not in NESTED], notes


def _is_folder(entry: zipfile.ZipInfo) -> bool:
    return entry.is_dir() or entry.orig_filename.endswith(("/", "\\"))


def _name(entry: zipfile.ZipInfo) -> str:
    """The name to show: the parts decoded, slashes forward, NFC, without control characters."""
    raw = entry.orig_filename
    name = raw if entry.flag_bits & 0x800 else decode_name(raw.encode("cp437", errors="replace"))
    plain = "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in name.replace("\\", "/"))
    return unicodedata.normalize("NFC", plain)


def _leads_out(name: str) -> bool:
    parts = name.split("/")
    return name.startswith("/") or ".." in parts or (len(parts[0]) > 1 and parts[0][1] == ":")


def _is_litter(name: str) -> bool:
    """What systems leave behind: `__MACOSX`, dot files, thumbnails' lists."""
    parts = name.split("/")
    return (
        "__MACOSX" in parts
        or any(part.startswith(".") and part != "." for part in parts)
        or parts[-1].lower() in ("thumbs.db", "desktop.ini")
    )


def _refuse_repeated(members: Iterable[Member], where: str) -> None:
    """Refuse two members whose names are one name after NFC and case folding: which of them counts would be a guess."""
    seen: dict[str, str] = {}
    repeated = []
    for member in members:
        key = unicodedata.normalize("NFC", member.shown.casefold())
        if key in seen:
            repeated.append(member.shown)
        seen[key] = member.shown
    if repeated:
        found = message("Names occur more than once: {names}.", names=repeated[:8])
        raise _refused("repeated-names", where, found, message("Each name once, whatever its case."))


def _stored(members: list[Member], folder: Path, where: str, notes: list[Finding], archive: zipfile.ZipFile | None) -> Unpacked:
    """The members that can be read, written under our names and grouped."""
    groups, unread = _grouped(members)
    if unread and not groups and all(PurePosixPath(name).suffix.lower() in RASTERS for name in unread):
        found = message("A raster holds no rows: {names}.", names=unread[:12])
        remedy = message(
            "A raster of people goes into study.toml, as the layer population; everything else is needed as a vector layer."
        )
        raise _refused("raster", where, found, readable(), remedy=remedy)
    if not groups:
        found = message("There is nothing in it that can be read: {names}.", names=unread[:12])
        raise _refused("nothing-readable", where, found, readable())
    left = [limits()["archive"]["unpacked_bytes"]]
    bundles = []
    for number, (name, kind, parts) in enumerate(groups):
        stored = {}
        for suffix, member in parts.items():
            target = folder / f"b{number:03d}.gdb" / suffix if kind == "filegdb" else folder / f"b{number:03d}{suffix}"
            target.parent.mkdir(parents=True, exist_ok=True)
            _write(member, target, archive, left, where)
            stored[suffix] = target
        bundles.append(Bundle(name, kind, {".gdb": folder / f"b{number:03d}.gdb"} if kind == "filegdb" else stored))
    if unread:
        found = message("Files that are not read: {names}.", names=unread[:12])
        notes = [*notes, finding("files-ignored", "info", where, found, count=len(unread))]
    return Unpacked(tuple(bundles), tuple(notes))


def _grouped(members: list[Member]) -> tuple[list[tuple[str, str, dict[str, Member]]], list[str]]:
    """Bundles as (name, kind, part by suffix) in the order of their names, and the names of what belongs to none."""
    stems: dict[tuple[str, str], dict[str, Member]] = {}
    single: list[tuple[str, str, dict[str, Member]]] = []
    geodatabases: dict[str, dict[str, Member]] = {}
    unread = []
    for member in members:
        inside = PurePosixPath(member.folder).name
        if inside.lower().endswith(".gdb"):
            part = PurePosixPath(member.shown).name.lower()
            if (part.endswith(GDB_PARTS) and part.isascii() and part.replace(".", "").replace("_", "").isalnum()) or part in (
                "gdb",
                "timestamps",
            ):
                geodatabases.setdefault(member.folder, {})[part] = member
        elif member.suffix in SHAPEFILE:
            key = unicodedata.normalize("NFC", f"{member.folder}/{member.stem}".casefold())
            stems.setdefault((key, ""), {})[member.suffix] = member
        elif member.suffix in KINDS:
            single.append((PurePosixPath(member.shown).name, KINDS[member.suffix], {member.suffix: member}))
        else:
            unread.append(member.shown)
    for parts in stems.values():
        main = parts.get(".shp") or parts.get(".dbf")
        if main is None:
            unread += [member.shown for member in parts.values()]
        else:
            single.append((PurePosixPath(main.shown).name, "shapefile", parts))
    single += [(PurePosixPath(name).name, "filegdb", parts) for name, parts in geodatabases.items()]
    return sorted(single, key=lambda group: (group[0], sorted(part.shown for part in group[2].values()))), unread


def _write(member: Member, target: Path, archive: zipfile.ZipFile | None, left: list[int], where: str) -> None:
    """One member into its place, counted; `left` is what may still be written, whatever the directory said."""
    if isinstance(member.source, Path):
        shutil.copyfile(member.source, target)
        return
    assert archive is not None  # noqa: S101
    written = 0
    with archive.open(member.source) as packed, target.open("xb") as plain:
        while chunk := packed.read(CHUNK):
            written += len(chunk)
            left[0] -= len(chunk)
            if left[0] < 0 or written > member.size:
                limit = limits()["archive"]["unpacked_bytes"]
                raise _too_large(where, limit - left[0], limit)
            plain.write(chunk)
    if written != member.size:
        raise zipfile.BadZipFile("a file is shorter than the directory says")


def readable() -> Message:
    return message("Shapefile, GeoPackage, GeoJSON, FlatGeobuf, GeoParquet, CSV, XLSX or ODS.")


def _too_large(where: str, total: int, limit: int) -> LayerError:
    found = message("Unpacked it has {n} bytes.", n=total)
    return _refused("too-large", where, found, message("At most {limit}.", limit=limit))


def _reason(error: Exception, path: Path) -> str:
    """The unpacker's own reason in one line, without the path of this machine."""
    text = str(error).replace(str(path), path.name).splitlines()
    return text[0][:200] if text and text[0] else type(error).__name__


def _refused(
    code: str, where: str, found: Message, expected: Message | None = None, *, remedy: Message | None = None
) -> LayerError:
    return LayerError(
        finding(
            code,
            "error",
            where,
            found,
            expected=expected or Message(""),
            remedy=remedy or message("Pack the files again with the zip program of your system and send that."),
        )
    )
