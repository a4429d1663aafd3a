"""Deliveries from this machine: a large file is kept in parts (`geo.uploads`), so that a killed import goes on where it was.

What a file is known by between two calls is its place, size, time and beginning; that can lie, so a delivery that went on compares
the hash of the whole file with that of what was kept, and starts anew where they differ. Known bias: a file that was changed and
changed back meanwhile is the same file.
"""

from __future__ import annotations

import datetime
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from io import BufferedReader
from pathlib import Path

from geo.errors import Finding, finding
from geo.messages import message
from geo.records import Receipt, Upload
from geo.store import Store, StoreError
from geo.uploads import Kept, abandon, append, begin, finish, silent, uploads

HEAD_BYTES = 65_536


def deliver(
    store: Store,
    path: Path,
    *,
    origin: Path,
    name: str,
    sender: str,
    layer: str,
    now: datetime.datetime,
    modified_ns: int,
    kept: Kept = silent,
) -> Receipt:
    """Keep a file of this machine in parts; called again after it was interrupted, it goes on where it stopped.

    It goes on only where the file still has its size, its time and its beginning, and then compares the hash of all of it at the
    end; else it starts anew. The receipt's findings say which.

    Parameters
    ----------
    origin, modified_ns
        What the file is known by: its place, and when it was changed; not those of `path` where that is a packed copy.

    Raises
    ------
    StoreError, UnknownNameError
        As of `begin`, `append` and `finish`; the file can't be read.
    """
    told: list[Finding] = []
    place = str(origin.resolve())
    with _readable(path) as stream:
        size = os.fstat(stream.fileno()).st_size
        head = hashlib.sha256(stream.read(HEAD_BYTES)).hexdigest()
        source = {"path": place, "bytes": size, "modified_ns": modified_ns, "head_sha256": head}
        upload = _interrupted(store, place, sender=sender, layer=layer, now=now)
        if upload is not None and upload.source != source:
            abandon(store, upload.id)
            told, upload = [_anew(name)], None
        if upload is None:
            upload = begin(store, name=name, sender=sender, layer=layer, now=now, size=size, source=source)
        resumed = upload.offset > 0
        if resumed:
            told = [_resumed(name, upload)]
        stream.seek(upload.offset)
        append(store, upload.id, upload.offset, stream, now=now, kept=kept)
        stream.seek(0)
        expected = hashlib.file_digest(stream, "sha256").hexdigest() if resumed else None
    try:
        receipt = finish(store, upload.id, now=now, sha256=expected)
    except StoreError as error:
        if not resumed or error.findings[0].code != "hash-differs":
            raise
        abandon(store, upload.id)
        again = deliver(
            store, path, origin=origin, name=name, sender=sender, layer=layer, now=now, modified_ns=modified_ns, kept=kept
        )
        return replace(again, findings=(_anew(name), *again.findings))
    return replace(receipt, findings=(*told, *receipt.findings))


def _interrupted(store: Store, place: str, *, sender: str, layer: str, now: datetime.datetime) -> Upload | None:
    """The upload that an earlier import of a file left, the newest where there are several."""
    said = store._delivered(name=place, sender=sender, layer=layer, now=now)
    mine = (one for one in uploads(store) if (one.sender, one.layer) == (said["sender"], layer))
    return next((one for one in mine if one.source is not None and one.source["path"] == place), None)


@contextmanager
def _readable(path: Path) -> Iterator[BufferedReader]:
    """The sender's own file; what its disk refuses is said as such."""
    try:
        with path.open("rb") as stream:
            yield stream
    except OSError as error:
        said = message("{path} can't be read: {reason}", path=path.name, reason=error.strerror or type(error).__name__)
        raise StoreError(finding("unreadable", "error", path.name, said)) from error


def _resumed(name: str, upload: Upload) -> Finding:
    found = message("Went on after byte {offset} of {n}: an earlier import was interrupted.", offset=upload.offset, n=upload.bytes)
    return finding("resumed", "info", name, found)


def _anew(name: str) -> Finding:
    return finding(
        "started-anew",
        "warning",
        name,
        message("The file has changed since its import was interrupted; it was read from its start."),
    )
