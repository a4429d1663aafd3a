"""A backup: a study in one file that any computer can open, a tar without compression (what it holds is compressed already).

The catalogue comes first and says how many files there are; each carries its SHA-256. Nothing of a backup is believed when it is
unpacked: a file that is cut short or changed, names that lead out of the folder, links and devices are refused.
"""

from __future__ import annotations

import hashlib
import os
import tarfile
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from geo.catalogue import FILE, StoreError
from geo.errors import Finding, finding
from geo.messages import message
from geo.staging import flush

CHUNK_BYTES = 2**20
HASH, COUNT = "TARMIM.sha256", "TARMIM.files"


def pack(path: Path, files: Mapping[str, Path]) -> None:
    """Write `files` (name inside, file) beside the place and rename the whole there; OSError where one is missing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    making = path.with_name(f".making-{path.name}")
    try:
        with making.open("wb") as out:
            with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
                for name, file in files.items():
                    _add(archive, file, name, len(files))
            out.flush()
            os.fsync(out.fileno())
        making.replace(path)
        flush(path.parent)
    finally:
        making.unlink(missing_ok=True)


def _add(archive: tarfile.TarFile, path: Path, name: str, count: int) -> None:
    entry = tarfile.TarInfo(name)
    with path.open("rb") as stream:
        state = os.fstat(stream.fileno())
        entry.size = state.st_size
        entry.mode = 0o444 if state.st_mode & 0o222 == 0 else 0o644
        entry.pax_headers = {HASH: hashlib.file_digest(stream, "sha256").hexdigest(), COUNT: str(count)}
        stream.seek(0)
        archive.addfile(entry, stream)


def is_backup(path: Path) -> bool:
    """Whether a file is a backup, or the beginning of one."""
    with path.open("rb") as stream:
        return COUNT.encode() in stream.read(2 * tarfile.BLOCKSIZE)


def unpack(path: Path, folder: Path) -> None:
    """Unpack a backup into an empty folder, onto the disk.

    Raises
    ------
    StoreError
        The file is no backup of Tarmim, is cut short or has changed.
    """
    folders, seen, count = {folder}, 0, -1
    try:
        with tarfile.open(path, mode="r:") as archive:
            while (entry := archive.next()) is not None:
                if seen == 0:
                    count = int(entry.pax_headers.get(COUNT, -1)) if entry.name == FILE else -1
                if seen == count or count < 0:
                    raise StoreError(_no_backup(path))
                target = folder / _inside(entry, path)
                target.parent.mkdir(parents=True, exist_ok=True)
                folders |= {parent for parent in target.parents if parent.is_relative_to(folder)}
                if _extract(archive, entry, target) != entry.pax_headers.get(HASH):
                    raise StoreError(_no_backup(path))
                seen += 1
    except (tarfile.TarError, EOFError, ValueError, FileExistsError, NotADirectoryError) as error:
        raise StoreError(_no_backup(path)) from error
    if seen != count:
        raise StoreError(_no_backup(path))
    for one in folders:
        flush(one)


def _inside(entry: tarfile.TarInfo, path: Path) -> PurePosixPath:
    """The name of a plain file inside the folder, or StoreError."""
    name = PurePosixPath(entry.name)
    if not entry.isreg() or name.is_absolute() or ".." in name.parts or "\\" in entry.name:
        raise StoreError(_no_backup(path))
    return name


def _extract(archive: tarfile.TarFile, entry: tarfile.TarInfo, target: Path) -> str:
    """Write one file onto the disk; its SHA-256."""
    stream = archive.extractfile(entry)
    if stream is None:
        raise tarfile.ReadError(entry.name)
    digest = hashlib.sha256()
    with stream, target.open("xb") as out:
        while piece := stream.read(CHUNK_BYTES):
            digest.update(piece)
            out.write(piece)
        out.flush()
        os.fchmod(out.fileno(), 0o444 if entry.mode & 0o222 == 0 else 0o644)
        os.fsync(out.fileno())
    return digest.hexdigest()


def _no_backup(path: Path) -> Finding:
    return finding(
        "no-backup",
        "error",
        path.name,
        message("{file} is no whole backup of Tarmim.", file=path.name),
        remedy=message("Choose another backup."),
    )
