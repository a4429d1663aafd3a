"""Decisions: a log that nobody can change unseen. Each entry carries the hash of the one before it.

``hash = SHA-256(previous hash + canonical JSON of the entry)``. An entry that was edited, taken out or put in breaks the chain at
its place. A chain cut off at its end, or written anew as a whole, is whole in itself: therefore its last hash, the **seal**, is
printed, to be noted outside (minutes of a meeting, a letter); a seal that was noted must still stand in the chain.
"""

from __future__ import annotations

import datetime
import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from geo.errors import Finding, finding
from geo.messages import message

FIRST = "0" * 64
SEALED = ("made_at", "who", "origin", "what", "subject", "details")


def seal(previous: str, entry: Mapping[str, Any]) -> str:
    """Hash of an entry (`SEALED`) after the one before it; hexadecimal. The first entry follows `FIRST`."""
    content = {name: _plain(entry[name]) for name in SEALED}
    text = json.dumps(content, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256((previous + text).encode()).hexdigest()


def _plain(value: Any) -> Any:
    if isinstance(value, datetime.datetime):
        return value.astimezone(datetime.UTC).isoformat(timespec="microseconds")
    return dict(value) if isinstance(value, Mapping) else value


def broken(entries: Sequence[Mapping[str, Any]], *, noted: str = "") -> tuple[Finding, ...]:
    """Where a log was changed: entries in their order, each with `number`, `previous`, `hash` and what is sealed; none where whole.

    `noted` is a seal that somebody wrote down earlier: the log must still hold it.
    """
    found: list[Finding] = []
    previous = FIRST
    for entry in entries:
        if entry["previous"] != previous or entry["hash"] != seal(entry["previous"], entry):
            found.append(_changed(entry["number"]))
        previous = entry["hash"]
    if noted and noted not in {FIRST, *(entry["hash"] for entry in entries)}:
        said = message(
            "The seal {seal} is not in the log: entries were taken out of it, or all of it was written anew.", seal=noted[:16]
        )
        found.append(finding("log-cut", "error", "log", said, remedy=message("Bring back a backup, and ask who had access.")))
    return tuple(found)


def _changed(number: int) -> Finding:
    return finding(
        "log-changed",
        "error",
        "log",
        message("Entry {number} of the log, or what stood before it, was changed after it was made.", number=number),
        expected=message("Entries are only ever added."),
        remedy=message("Bring back a backup, and ask who had access."),
        rows=(number,),
    )
