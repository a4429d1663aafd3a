"""Staging: where a thing is made before it stands in its place, so that nobody ever sees half of it.

Each step in the making has a folder of its own with a locked file in it. The system lets the lock go when the process dies,
however it dies, so what an interrupted step left is told from what another process is making right now without any clock. The
locked file also says which place the step was about to fill: what stands there and is not in the catalogue was never acknowledged.
Known bias: the lock is `flock`, so this is for Linux and other Unix systems.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

FOLDER = ".staging"
PLACES = re.compile(r"surveys/[0-9a-f]{32}|layers/[a-z]{1,40}/[0-9a-f]{32}\.parquet|runs/[0-9a-f]{16}")
GATE, LOCK = "gate", "lock"


@dataclass
class Step:
    """One thing in the making. `folder` is its own; `place` is where it goes, seen from the study, once that is known."""

    folder: Path
    lock: int
    place: str | None = None

    def move(self, made: Path, place: str) -> None:
        """Put what was made into its place, on the disk before this returns; to be called inside the catalogue's transaction.

        What stood there and was in no catalogue goes into this step's folder.
        """
        if not PLACES.fullmatch(place):
            raise ValueError(f"{place} is no place of a study")
        study = self.folder.parents[1]
        target = study / place
        os.pwrite(self.lock, place.encode(), 0)
        os.fsync(self.lock)
        self.place = place
        make_folder(target.parent, study)
        if target.exists():
            target.rename(self.folder / "before")
        made.rename(target)
        flush(target.parent)

    def take_back(self) -> None:
        """Move what stands in the place into this step's folder, which is about to go."""
        if self.place is None:
            return
        target = self.folder.parents[1] / self.place
        if target.exists():
            target.rename(self.folder / "taken-back")
            flush(target.parent)
        self.place = None

    def end(self) -> None:
        """Remove the step's folder and let its lock go. The locked file goes last and behind the gate: one without it is dead."""
        with suppress(OSError):  # what can't be removed now is removed by the next `tidy`; what was done is done
            for path in self.folder.iterdir():
                if path.is_dir():
                    shutil.rmtree(path, ignore_errors=True)
                elif path.name != LOCK:
                    path.unlink(missing_ok=True)
            with gate(self.folder.parents[1]):
                shutil.rmtree(self.folder, ignore_errors=True)
        os.close(self.lock)


def begin(study: Path) -> Step:
    """A new step, locked."""
    root = study / FOLDER
    root.mkdir(exist_ok=True)
    with gate(study):
        folder = root / uuid.uuid4().hex
        folder.mkdir()
        step = Step(folder, os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644))
        fcntl.flock(step.lock, fcntl.LOCK_EX)
    flush(folder)
    flush(root)
    return step


@contextmanager
def gate(study: Path) -> Iterator[None]:
    """Alone among the processes that begin steps, look for left ones or make a catalogue."""
    (study / FOLDER).mkdir(exist_ok=True)
    handle = os.open(study / FOLDER / GATE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def left(study: Path) -> list[Step]:
    """The steps whose process died, locked by this one now; each is to be ended."""
    if not (study / FOLDER).is_dir():
        return []
    with gate(study):
        return [step for folder in sorted((study / FOLDER).iterdir()) if folder.is_dir() and (step := _left(folder))]


def _left(folder: Path) -> Step | None:
    lock = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        return None
    said = os.pread(lock, 200, 0).decode(errors="replace")
    return Step(folder, lock, said if PLACES.fullmatch(said) else None)


def make_folder(folder: Path, study: Path) -> None:
    """A folder inside the study, with its name on the disk."""
    if folder == study or folder.is_dir():
        return
    make_folder(folder.parent, study)
    folder.mkdir(exist_ok=True)
    flush(folder.parent)


def flush(path: Path) -> None:
    """A file or folder onto the disk."""
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
