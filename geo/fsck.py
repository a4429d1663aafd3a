"""fsck: where the folder of a study and its catalogue disagree.

Files that the catalogue knows must be there with the very bytes that were written; nothing else may stand in their places. What
another process is making at this moment is no fault: for what looks strange the look is repeated while nobody can be half-way.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from glob import glob
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from geo import catalogue, staging
from geo.catalogue import reading, writing
from geo.errors import Finding, finding
from geo.messages import message

ORIGINAL, RECEIPT, UPLOADS = "original", "receipt.json", "uploads"


def check(folder: Path, engine: Engine, *, hashes: bool) -> list[Finding]:
    """Every disagreement; OSError and the errors of the database pass through."""
    found = catalogue.faults(engine)
    if found:  # what a damaged catalogue says of the files proves nothing
        return found
    with reading(engine) as connection:
        files = known_files(connection)
    for place, (sha256, size) in files.items():
        found += _faults(folder, place, sha256 if hashes else None, size)
    strange = [path for path in _there(folder, "surveys/*/*", "layers/*/*", "runs/*/*") if path not in files]
    strange = [path for path in strange if not path.endswith(f"/{RECEIPT}")]
    with writing(engine) as connection:  # nobody is half-way now
        files, places = known_files(connection), known_places(connection)
        strange += [path for path in _there(folder, "surveys/*", "layers/*/*", "runs/*") if path not in places]
        strange = [path for path in strange if path not in files and (folder / path).exists()]
        found += [_half_written(path) for path in dead_uploads(folder, connection)]
        found += _broken_uploads(folder, connection)
    found += [_orphan(path) for path in _outermost(strange)]
    for step in staging.left(folder):
        found.append(_half_written(step.folder.relative_to(folder).as_posix()))
        os.close(step.lock)
    return found


def _there(folder: Path, *patterns: str) -> list[str]:
    """What stands in the places of the store. Not by pathlib, which raises where a folder vanishes meanwhile."""
    found = (glob(pattern, root_dir=folder, include_hidden=True) for pattern in patterns)  # noqa: PTH207
    return sorted({path for paths in found for path in paths})


def _faults(folder: Path, place: str, sha256: str | None, size: int | None) -> list[Finding]:
    path = folder / place
    if not path.is_file():
        return [
            finding(
                "missing",
                "error",
                place,
                message("The catalogue knows this file, and it is not there."),
                remedy=message("Restore the newest backup into another folder and copy the file from there."),
            )
        ]
    try:
        fine = (size is None or path.stat().st_size == size) and sha256 in (None, sha256_of(path))
    except OSError:  # a disk that is dying
        fine = False
    return [] if fine else [damaged(place)]


def known_files(connection: Connection) -> dict[str, tuple[str, int | None]]:
    """Every file that the catalogue knows: its SHA-256, and its size in bytes where that is noted."""
    known: dict[str, tuple[str, int | None]] = {}
    for row in connection.execute(sa.select(*catalogue.surveys.c["id", "sha256", "bytes"])):
        known[f"surveys/{row.id}/{ORIGINAL}"] = (row.sha256, row.bytes)
    for row in connection.execute(sa.select(*catalogue.datasets.c["id", "layer", "sha256", "bytes"])):
        known[f"layers/{row.layer}/{row.id}.parquet"] = (row.sha256, row.bytes)
    for row in connection.execute(sa.select(*catalogue.runs.c["id", "files"])):
        known |= {f"runs/{row.id}/{name}": (sha256, None) for name, sha256 in row.files.items()}
    return known


def known_places(connection: Connection) -> set[str]:
    """Every survey, dataset and run that the catalogue knows, as its place in the folder."""
    surveys, tables, runs = catalogue.surveys.c.id, catalogue.datasets.c["id", "layer"], catalogue.runs.c.id
    return {
        *(f"surveys/{ident}" for ident in connection.execute(sa.select(surveys)).scalars()),
        *(f"layers/{row.layer}/{row.id}.parquet" for row in connection.execute(sa.select(*tables))),
        *(f"runs/{ident}" for ident in connection.execute(sa.select(runs)).scalars()),
    }


def dead_uploads(folder: Path, connection: Connection) -> list[str]:
    """Files of uploads that nobody can go on with: they are in no catalogue, or finished."""
    table = catalogue.uploads
    living = connection.execute(sa.select(table.c.id).where(table.c.survey_id.is_(None))).scalars()
    known = {f"{UPLOADS}/{ident}" for ident in living}
    return [path for path in _there(folder, f"{UPLOADS}/*") if path not in known]


def _broken_uploads(folder: Path, connection: Connection) -> list[Finding]:
    """Uploads under way that have lost bytes; to be asked while nobody appends an offset."""
    table = catalogue.uploads
    broken = []
    for row in connection.execute(sa.select(*table.c["id", "offset"]).where(table.c.survey_id.is_(None)).order_by(table.c.id)):
        path = folder / UPLOADS / row.id
        if not path.is_file() or path.stat().st_size < row.offset:
            broken.append(
                finding(
                    "upload-damaged",
                    "warning",
                    f"{UPLOADS}/{row.id}",
                    message("Bytes of this upload that were kept are gone."),
                    remedy=message("Abandon this upload and send the file anew."),
                )
            )
    return broken


def damaged(place: str) -> Finding:
    return finding(
        "damaged",
        "error",
        place,
        message("The content is not what was written."),
        remedy=message("Restore the newest backup into another folder and copy the file from there; check the disk."),
    )


def _orphan(place: str) -> Finding:
    return finding(
        "not-in-catalogue",
        "warning",
        place,
        message("The catalogue does not know this."),
        expected=message("Whatever is not in the catalogue does not exist."),
        remedy=message("Move it out of the folder, or deliver it again."),
    )


def _half_written(place: str) -> Finding:
    return finding(
        "half-written",
        "warning",
        place,
        message("A killed process left this half-written; nothing of it was acknowledged."),
        remedy=message("It is removed when the study is opened again."),
    )


def _outermost(paths: Iterable[str]) -> list[str]:
    """The paths that lie in none of the others."""
    chosen: list[str] = []
    for path in sorted(set(paths)):
        if not any(path.startswith(f"{one}/") for one in chosen):
            chosen.append(path)
    return chosen


def sha256_of(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
