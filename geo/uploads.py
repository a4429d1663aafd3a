"""Uploads: a delivery that arrives in parts, so that a power cut or a lost connection does not start it over.

    begin → append, append … → finish → receipt          or abandon; what nobody goes on with expires (`tidy`)

The parts lie in `uploads/<id>`, beside the store's other folders. **What the catalogue calls the offset is on the disk**: bytes are
synced before their number is written down, and what a killed process wrote beyond it is cut off before the next byte. Nothing
that was computed on the way is believed afterwards: the hash is taken of the whole file at the end. `finish` enters the survey and
closes the upload in one transaction, and gives the same receipt to whoever asks again. One process or thread appends at a time;
the lock is the system's, on the file, and dies with its holder. Ids are random and unguessable: who knows one may append.

For a tus server: POST is `begin`, HEAD is `state` (offset, bytes), PATCH is `append` (with `checksum`), DELETE is `abandon`;
`finish` follows the PATCH that fills it. This module belongs to the store and uses its inside.
Known bias: an upload that is only read from a fast disk is slower than a copy, by one sync for every few megabytes.
"""

from __future__ import annotations

import datetime
import fcntl
import hashlib
import io
import os
import secrets
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

import sqlalchemy as sa

from geo import catalogue, staging
from geo.archives import limits
from geo.catalogue import mended, utc
from geo.errors import Finding, finding
from geo.fsck import ORIGINAL, UPLOADS, sha256_of
from geo.messages import Message, message
from geo.records import Receipt, Upload, receipt_of
from geo.store import CHUNK_BYTES, Store, StoreError

CHECKSUMS = ("sha1", "sha256")
Kept = Callable[[int, int | None], None]


def silent(done: int, total: int | None) -> None:
    """Tells nobody how many bytes are kept."""


def begin(
    store: Store,
    *,
    name: str,
    sender: str,
    layer: str,
    now: datetime.datetime,
    size: int | None = None,
    source: Mapping[str, Any] | None = None,
) -> Upload:
    """Begin an upload, of which nothing has arrived yet; those that nobody goes on with are dropped first.

    Parameters
    ----------
    size
        Bytes in all, where that is known: then room is looked for before the first one, and no more are taken.
    source
        What the sender's own file looks like, for JSON, kept beside the upload.

    Raises
    ------
    StoreError
        Empty or too large, no room on the disk, or too many uploads are under way.
    UnknownNameError
        No such layer.
    """
    said = store._delivered(name=name, sender=sender, layer=layer, now=now)
    moment = said.pop("received_at")
    rules = limits()["uploads"]
    tidy(store, now)
    if size is not None:
        if size < 1:
            raise StoreError(_wrong_size(message("The file is empty.")))
        _within(size, rules["bytes"])
        with mended(store.folder.name):
            store._room(size)
    ident = secrets.token_hex(16)
    entry = {"id": ident, "made_at": moment, "changed_at": moment, **said, "bytes": size, "offset": 0}
    entry |= {"source": None if source is None else dict(source), "survey_id": None}
    table, path = catalogue.uploads, _path(store, ident)
    try:
        with store.change() as connection:
            living = sa.select(sa.func.count()).select_from(table).where(table.c.survey_id.is_(None))
            if connection.execute(living).scalar_one() >= rules["open"]:
                raise StoreError(_too_many(rules["open"]))
            connection.execute(sa.insert(table), entry)
            staging.make_folder(path.parent, store.folder)
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600))
            staging.flush(path.parent)
    except StoreError:
        with suppress(OSError):
            path.unlink(missing_ok=True)
        raise
    return Upload(**entry)


def state(store: Store, ident: str) -> Upload:
    """An upload by its id: where the next byte goes, and the survey it became, if it is finished.

    Raises
    ------
    StoreError
        There is none of that id.
    """
    table = catalogue.uploads
    with store.view() as connection:
        row = connection.execute(sa.select(table).where(table.c.id == ident)).one_or_none()
    if row is None:
        raise StoreError(
            finding(
                "unknown-id",
                "error",
                UPLOADS,
                message("There is no upload '{id}'.", id=str(ident)[:80]),
                expected=message("One that was begun and neither abandoned nor left for too long."),
                remedy=message("Begin a new one."),
            )
        )
    return Upload(**row._mapping)


def uploads(store: Store) -> list[Upload]:
    """The uploads under way, the one that moved last first."""
    table = catalogue.uploads
    query = sa.select(table).where(table.c.survey_id.is_(None)).order_by(table.c.changed_at.desc(), table.c.id)
    with store.view() as connection:
        return [Upload(**row._mapping) for row in connection.execute(query)]


def append(
    store: Store,
    ident: str,
    offset: int,
    content: bytes | BinaryIO,
    *,
    now: datetime.datetime,
    checksum: tuple[str, str] | None = None,
    kept: Kept = silent,
) -> int:
    """Append bytes; they are on the disk before this returns.

    Parameters
    ----------
    offset
        How many bytes the sender believes to be kept; it must be so.
    content
        Bytes, or a stream read to its end. Where reading it fails, what had come is kept and the error passes through.
    checksum
        One of `CHECKSUMS` and the hexadecimal digest of this part: then the part is kept whole, or nothing of it.
    kept
        Told the bytes that are kept for certain, and how many there will be, whenever that changes.

    Returns
    -------
    int
        The new offset.

    Raises
    ------
    StoreError
        Wrong offset (the right one is named), somebody else is appending, more bytes than announced or allowed, another checksum,
        finished already, or no room on the disk. What was acknowledged before stays.
    """
    rules, moment = limits()["uploads"], utc(now)
    stream = io.BytesIO(content) if isinstance(content, bytes) else content
    digest = None if checksum is None else hashlib.new(_known_checksum(checksum[0]), usedforsecurity=False)
    with _held(store, ident) as (upload, handle):
        if upload.survey_id is not None:
            raise StoreError(_finished(ident))
        if offset != upload.offset:
            raise StoreError(_wrong_offset(offset, upload.offset))
        with mended(store.folder.name):
            _cut(handle, upload)
            os.lseek(handle, offset, os.SEEK_SET)
        most = rules["bytes"] if upload.bytes is None else upload.bytes
        end = safe = offset
        try:
            while piece := stream.read(CHUNK_BYTES):
                _within(end + len(piece), most)
                with mended(store.folder.name):
                    store._room(len(piece))
                    _write(handle, piece)
                end += len(piece)
                if digest is not None:
                    digest.update(piece)
                elif end - safe >= rules["acknowledged_bytes"]:
                    safe = _acknowledged(store, ident, handle, end, moment)
                    kept(safe, upload.bytes)
            if digest is not None and checksum is not None and not secrets.compare_digest(digest.hexdigest(), checksum[1].lower()):
                raise StoreError(_differs(digest.hexdigest(), checksum[1], message("Send this part again.")))
            if digest is not None and end > safe:
                safe = _acknowledged(store, ident, handle, end, moment)
        finally:
            if digest is None and end > safe:
                safe = _acknowledged(store, ident, handle, end, moment)
        kept(safe, upload.bytes)
    return safe


def finish(store: Store, ident: str, *, now: datetime.datetime, sha256: str | None = None) -> Receipt:
    """Make a survey of an upload, as `Store.receive` does of a file; asked again, the same receipt comes again.

    Parameters
    ----------
    sha256
        What the sender's file has; compared with what lies on the disk.

    Raises
    ------
    StoreError
        Bytes are missing, the hash differs, somebody is appending, or there is no room on the disk. The upload stays as it was.
    """
    upload = state(store, ident)
    if upload.survey_id is not None:
        return receipt_of(store.survey(upload.survey_id), again=False)
    with _held(store, ident) as (upload, handle), mended(store.folder.name):
        if upload.survey_id is not None:  # somebody was quicker
            return receipt_of(store.survey(upload.survey_id), again=False)
        if upload.offset < (upload.bytes or 1):
            raise StoreError(_short(upload))
        _cut(handle, upload)
        path = _path(store, ident)
        found = sha256_of(path)
        if sha256 is not None and found != sha256.lower():
            raise StoreError(_differs(found, sha256, message("Abandon this upload and send the file anew.")))
        said = {"received_at": utc(now), "sender": upload.sender, "layer": upload.layer, "name": upload.name}

        def close(connection: sa.Connection, survey: str) -> None:
            values = {"survey_id": survey, "changed_at": utc(now)}
            connection.execute(sa.update(catalogue.uploads).where(catalogue.uploads.c.id == ident).values(**values))

        with store._making() as step:
            content = step.folder / "content"
            content.mkdir()
            _second_name(store, path, content / ORIGINAL)
            receipt = store._received(step, content, {**said, "sha256": found, "bytes": upload.offset}, close)
        _remove(path)
    return receipt


def abandon(store: Store, ident: str) -> None:
    """Drop an upload and what arrived of it; the survey that a finished one became stays.

    Raises
    ------
    StoreError
        There is none of that id, or somebody is appending to it.
    """
    with _held(store, ident, whole=False), mended(store.folder.name):
        _forget(store, ident)


def tidy(store: Store, now: datetime.datetime) -> int:
    """Drop the uploads that nobody has gone on with for long, and those whose bytes are gone; returns how many."""
    table, dropped = catalogue.uploads, 0
    oldest = utc(now) - datetime.timedelta(days=limits()["uploads"]["kept_days"])
    with store.view() as connection:
        rows = [Upload(**row._mapping) for row in connection.execute(sa.select(table).order_by(table.c.id))]
    for one in rows:
        if one.changed_at < oldest or (one.survey_id is None and not _path(store, one.id).is_file()):
            with suppress(StoreError), _held(store, one.id, whole=False) as (found, _), mended(store.folder.name):
                if found.changed_at == one.changed_at:  # else somebody has just gone on with it
                    _forget(store, one.id)
                    dropped += 1
    return dropped


# ------------------------------------------------------------------------------------------------------------------------ inside


def _path(store: Store, ident: str) -> Path:
    return store.folder / UPLOADS / ident


@contextmanager
def _held(store: Store, ident: str, *, whole: bool = True) -> Iterator[tuple[Upload, int]]:
    """An upload and its open file (-1 where there is none and that is no matter), which nobody else has meanwhile."""
    path = _path(store, state(store, ident).id)  # from here on the name is one of ours
    handle = -1
    try:
        with mended(store.folder.name):
            handle = _opened(path)
        if handle < 0 and whole and state(store, ident).survey_id is None:
            raise StoreError(_damaged(ident))
        if handle >= 0:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise StoreError(_busy(ident)) from None
        yield state(store, ident), handle  # as it is now: before the lock somebody else had it
    finally:
        if handle >= 0:
            os.close(handle)


def _opened(path: Path) -> int:
    with suppress(FileNotFoundError):
        with suppress(PermissionError):
            return os.open(path, os.O_RDWR | os.O_CLOEXEC)
        path.chmod(0o600)  # an interrupted `finish` had sealed it already
        return os.open(path, os.O_RDWR | os.O_CLOEXEC)
    return -1


def _cut(handle: int, upload: Upload) -> None:
    """Cut off what lies beyond the offset: nobody was told that it is kept."""
    size = os.fstat(handle).st_size
    if size < upload.offset:
        raise StoreError(_damaged(upload.id))
    if size > upload.offset:
        os.ftruncate(handle, upload.offset)


def _write(handle: int, piece: bytes) -> None:
    rest = memoryview(piece)
    while rest:
        rest = rest[os.write(handle, rest) :]


def _acknowledged(store: Store, ident: str, handle: int, end: int, moment: datetime.datetime) -> int:
    """Sync, then write the offset down."""
    with mended(store.folder.name):
        os.fsync(handle)
    table = catalogue.uploads
    with store.change() as connection:
        connection.execute(sa.update(table).where(table.c.id == ident).values(offset=end, changed_at=moment))
    return end


def _second_name(store: Store, path: Path, target: Path) -> None:
    """The whole file in staging, sealed and on the disk, without moving it: until the survey is entered the upload stays."""
    try:
        os.link(path, target)
    except OSError:  # a disk without hard links
        store._room(path.stat().st_size)
        shutil.copyfile(path, target)
    target.chmod(0o444)
    staging.flush(target)


def _forget(store: Store, ident: str) -> None:
    """Out of the catalogue, then off the disk; what a power cut leaves in between is removed by `Store.tidy`."""
    with store.change() as connection:
        connection.execute(sa.delete(catalogue.uploads).where(catalogue.uploads.c.id == ident))
    _remove(_path(store, ident))


def _remove(path: Path) -> None:
    if path.exists():
        path.unlink(missing_ok=True)
        staging.flush(path.parent)


def _within(size: int, limit: int) -> None:
    if size > limit:
        raise StoreError(_wrong_size(message("The file is larger than {limit} bytes.", limit=limit)))


def _known_checksum(name: str) -> str:
    if name not in CHECKSUMS:
        raise StoreError(
            finding(
                "unknown-name",
                "error",
                "checksum",
                message("'{name}' is not known.", name=str(name)[:80]),
                expected=message("Known: {known}.", known=list(CHECKSUMS)),
            )
        )
    return name


# ---------------------------------------------------------------------------------------------------------------------- findings


def _wrong_size(found: Message) -> Finding:
    return finding("file-size", "error", ORIGINAL, found, remedy=message("Look at the file and deliver it again."))


def _wrong_offset(given: int, right: int) -> Finding:
    return finding(
        "wrong-offset",
        "error",
        UPLOADS,
        message("The next byte is not byte {given}.", given=given),
        expected=message("Offset {offset}: so many bytes are kept.", offset=right),
        remedy=message("Go on from there."),
    )


def _differs(found: str, expected: str, remedy: Message) -> Finding:
    return finding(
        "hash-differs",
        "error",
        UPLOADS,
        message("What arrived has another hash: {found}.", found=found),
        expected=message("It should be {hash}.", hash=expected[:128]),
        remedy=remedy,
    )


def _short(upload: Upload) -> Finding:
    return finding(
        "upload-short",
        "error",
        UPLOADS,
        message("Bytes that have arrived: {offset}.", offset=upload.offset),
        expected=message("Bytes in all: {n}.", n=upload.bytes) if upload.bytes else message("At least one byte."),
        remedy=message("Go on from there."),
    )


def _busy(ident: str) -> Finding:
    return finding(
        "upload-busy",
        "error",
        UPLOADS,
        message("Somebody else is sending this upload right now: {id}.", id=ident),
        remedy=message("Wait until they have finished, then ask how far it is."),
    )


def _finished(ident: str) -> Finding:
    return finding("upload-finished", "error", UPLOADS, message("This upload is finished: {id}.", id=ident))


def _damaged(ident: str) -> Finding:
    return finding(
        "upload-damaged",
        "error",
        f"{UPLOADS}/{ident}",
        message("Bytes of this upload that were kept are gone."),
        remedy=message("Abandon this upload and send the file anew."),
    )


def _too_many(limit: int) -> Finding:
    return finding(
        "too-many-uploads",
        "error",
        UPLOADS,
        message("Uploads under way already: {n}.", n=limit),
        remedy=message("Finish or abandon one of them."),
    )
