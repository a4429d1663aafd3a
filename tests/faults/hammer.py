"""The hammer: lets a process work on a store, ends it in the worst way, and looks what is left.

    python -m tests.faults.hammer kill   FOLDER ROUNDS SEED [--url URL]
    python -m tests.faults.hammer full   FOLDER SEED SIZE…
    python -m tests.faults.hammer power  FOLDER ROUNDS SEED [--synchronous NORMAL] [--without-fsync] [--after N]

It prints one JSON object: how many rounds, how many acknowledged things, and every `loss`: something acknowledged that is gone,
something half-done that is seen, a fault that fsck finds after the store is opened again. This process only forks and never
touches a store itself, so that each child starts as from a fresh program, without the second that the imports take.

`full` mounts a tmpfs and `power` an ext4 image on a loop device, so both want a mount namespace of their own (`unshare -m`). The
power is cut by EXT4_IOC_SHUTDOWN without flushing the journal: from that moment nothing reaches the device, and what was written
but not synced is gone when the file system is mounted again, as after a real cut with a disk that keeps its word about flushes.
Unlike after a real cut the process still runs for a moment, and a sync that was under way may be reported as done while the journal
is being given up (seen: in 2 of 440 cuts). A computer without power acknowledges nothing, so what was said after the cut began is
counted apart (`late`, `late_lost`) and need not be there; what was said before it must.
"""

from __future__ import annotations

import argparse
import datetime
import fcntl
import hashlib
import io
import json
import os
import random
import select
import shutil
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import geopandas as gpd
import pyarrow.parquet  # noqa: F401  # before the forks
import shapely

from geo import catalogue, uploads
from geo.run import Run
from geo.store import Store, StoreError

NOW = datetime.datetime(2026, 3, 29, tzinfo=datetime.UTC)
TRACED = ("store.py", "staging.py", "datasets.py", "catalogue.py", "run.py", "records.py", "uploads.py")
REOPEN_S = 10.0
OPENED = 12
EXT4_SHUTDOWN, NO_LOG_FLUSH = 0x8004587D, 2
LAYERS = ("damage", "buildings", "roads")
Say = Callable[[dict[str, Any]], None]


# ------------------------------------------------------------------------------------------------------------------ the work


def table(rng: random.Random) -> gpd.GeoDataFrame:
    n = rng.randint(1, 400)
    columns = {
        "id": [f"{rng.getrandbits(64):016x}" for _ in range(n)],
        "state": [rng.choice(("none", "حي", None)) for _ in range(n)],
    }
    return gpd.GeoDataFrame(columns, geometry=[shapely.Point(rng.random(), rng.random()) for _ in range(n)], crs="EPSG:32637")


def run(rng: random.Random) -> Run:
    ident = f"{rng.getrandbits(64):016x}"
    return Run(ident, {"run": ident, "layers": [], "scheme": {"id": "default"}}, table(rng), table(rng))


def work(store: Store, rng: random.Random, say: Say) -> None:
    """One thing after another; said when it is acknowledged."""
    deed = rng.choice(("receive", "receive", "upload", "accept", "run"))
    layer = rng.choice(LAYERS)
    if deed == "run":
        made = run(rng)
        store.add_run(made, NOW)
        say({"run": made.id, "rows": len(made.priorities)})
        return
    content = rng.randbytes(rng.choice((10, 3_000, 200_000)))
    if deed == "upload":
        upload(store, content, layer, say)
        return
    receipt = store.receive(io.BytesIO(content), name="م.zip", sender="x", layer=layer, now=NOW)
    say({"survey": receipt.id, "sha256": hashlib.sha256(content).hexdigest(), "status": "received"})
    if deed == "accept":
        store.record_check(receipt.id, [], now=NOW)
        say({"survey": receipt.id, "sha256": receipt.sha256, "status": "checked"})
        made_of = table(rng)
        dataset = store.accept(receipt.id, made_of, by="x", now=NOW, provenance={})
        say({"survey": receipt.id, "sha256": receipt.sha256, "status": "accepted"})
        say({"dataset": dataset.id, "rows": len(made_of), "layer": layer})


def upload(store: Store, content: bytes, layer: str, say: Say) -> None:
    """A delivery in three parts; each is said when it is acknowledged."""
    ident, at = uploads.begin(store, name="م.zip", sender="x", layer=layer, now=NOW).id, 0
    while at < len(content):
        at = uploads.append(store, ident, at, content[at : at + len(content) // 3 + 1], now=NOW)
        say({"upload": ident, "offset": at, "sha256": hashlib.sha256(content[:at]).hexdigest()})
    receipt = uploads.finish(store, ident, now=NOW)
    say({"survey": receipt.id, "sha256": receipt.sha256, "status": "received"})


def look(folder: Path, url: str | None, said: list[dict[str, Any]], interrupted: int, **options: Any) -> dict[str, Any]:
    """Open the store again and compare it with what was acknowledged."""
    losses: list[str] = []
    begun = time.perf_counter()
    store = Store.open(folder, url, **options)
    seconds = time.perf_counter() - begun
    if seconds > REOPEN_S:
        losses.append(f"opening took {seconds:.1f} s")
    losses += [f"fsck: {one.code} {one.where}" for one in store.fsck()]
    order = {"received": 0, "checked": 1, "accepted": 2}
    surveys = {one.id: one for one in store.surveys()}
    tables = {one.id: one for one in store.datasets(current=False)}
    runs = {one.id for one in store.runs()}
    for age, one in enumerate(reversed(said)):
        deep = age < OPENED  # the hashes of all files are compared by fsck
        try:
            if "survey" in one:
                kept = surveys[one["survey"]]
                assert kept.sha256 == one["sha256"], "another content"
                assert order[kept.status] >= order[one["status"]], f"{kept.status}, was {one['status']}"
                if deep:
                    assert hashlib.sha256(store.original(kept).read_bytes()).hexdigest() == one["sha256"], "content lost"
            elif "upload" in one:
                found = uploads.state(store, one["upload"])
                assert found.survey_id is not None or found.offset >= one["offset"], f"{found.offset} bytes"
                if deep and found.survey_id is None:
                    begun_with = (folder / "uploads" / found.id).read_bytes()[: one["offset"]]
                    assert hashlib.sha256(begun_with).hexdigest() == one["sha256"], "other bytes"
            elif "dataset" in one:
                assert tables[one["dataset"]].rows == one["rows"], "rows lost"
                if deep:
                    assert len(store.read(one["dataset"])) == one["rows"], "rows lost"
                    assert store.decisions(one["dataset"]), "not in the log"
            else:
                assert one["run"] in runs, "not in the catalogue"
                if deep:
                    assert len(store.run(one["run"]).priorities) == one["rows"], "rows lost"
        except (AssertionError, KeyError, StoreError, OSError) as error:
            losses.append(f"{one}: {type(error).__name__} {error}")
    known = {value for one in said for key, value in one.items() if key in ("survey", "dataset", "run")}
    unsaid = [ident for ident in (*surveys, *tables, *runs) if ident not in known]
    if len(unsaid) > interrupted:  # finished, and killed before it could say so: one a kill at most
        losses.append(f"{len(unsaid)} things seen that nobody acknowledged, after {interrupted} interruptions")
    for layer in LAYERS:
        if any(one.layer == layer for one in tables.values()) and len(store.datasets(layer)) != 1:
            losses.append(f"{layer} has not one current dataset")
    store.close()
    return {"losses": losses, "seconds": seconds}


# ------------------------------------------------------------------------------------------------------------------ the forks


def fork(deed: Callable[[Say], None]) -> tuple[int, int]:
    """A child that does `deed`; its id and the pipe it speaks through."""
    out, into = os.pipe()
    child = os.fork()
    if child:
        os.close(into)
        return child, out
    os.close(out)
    code = 0
    try:
        deed(lambda one: os.write(into, json.dumps({**one, "at": time.monotonic()}).encode() + b"\n") and None)
    except BaseException as error:  # noqa: BLE001  # said to the parent; a fork must not return
        os.write(into, json.dumps({"error": f"{type(error).__name__}: {error}"}).encode() + b"\n")
        code = 1
    os._exit(code)


def hear(pipe: int, seconds: float | None = None) -> list[dict[str, Any]]:
    """What the child says until it ends, or for some seconds."""
    heard, ends = b"", None if seconds is None else time.monotonic() + seconds
    while True:
        if ends is not None:
            left = ends - time.monotonic()
            if left <= 0 or not select.select([pipe], [], [], left)[0]:
                break
        piece = os.read(pipe, 65536)
        if not piece:
            break
        heard += piece
    return [json.loads(line) for line in heard.split(b"\n") if line]


def ask(deed: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """The answer of a child of its own."""
    child, pipe = fork(lambda say: say(deed()))
    answer = hear(pipe)
    os.close(pipe)
    os.waitpid(child, 0)
    if len(answer) != 1 or "error" in answer[0]:
        return {"losses": [f"the store can't be opened again: {answer}"], "seconds": 0.0}
    return answer[0]


def killed_after(lines: int) -> Callable[[Any, str, Any], Any]:
    """A tracer that kills the process at a line of our own code."""
    left = lines

    def trace(frame: Any, event: str, _: Any) -> Any:
        nonlocal left
        if not frame.f_code.co_filename.endswith(TRACED) or "/geo/" not in frame.f_code.co_filename:
            return None
        if event == "line":
            left -= 1
            if left <= 0:
                os.kill(os.getpid(), signal.SIGKILL)
        return trace

    return trace


def kill(folder: Path, rounds: int, seed: int, url: str | None) -> dict[str, Any]:
    """Kill a working process, again and again: at a random time, or at a random line of the store."""
    rng = random.Random(seed)  # noqa: S311
    result: dict[str, Any] = {"rounds": rounds, "acknowledged": 0, "losses": [], "slowest_s": 0.0}
    said: list[dict[str, Any]] = []
    interrupted, number = 0, 0
    for n in range(rounds):
        if n % 25 == 0 and url is None:
            shutil.rmtree(folder / str(number), ignore_errors=True)
            number, said, interrupted = n, [], 0
        place = folder / str(number)
        place.mkdir(exist_ok=True)
        own, by_line, lines = rng.getrandbits(32), rng.random() < 0.5, rng.randint(1, 700)

        def deed(say: Say, place: Path = place, own: int = own, stop: int = lines if by_line else 0) -> None:
            chance = random.Random(own)  # noqa: S311
            if stop:
                sys.settrace(killed_after(stop))
            with Store.open(place, url, reserve_bytes=0) as store:
                while True:
                    work(store, chance, say)

        child, pipe = fork(deed)
        heard = hear(pipe, 5.0 if by_line else rng.uniform(0, 0.3))
        os.kill(child, signal.SIGKILL)
        heard += hear(pipe)
        os.close(pipe)
        os.waitpid(child, 0)
        interrupted += 1
        result["losses"] += [f"round {n}: {one}" for one in heard if "error" in one]
        said += [one for one in heard if "error" not in one]
        result["acknowledged"] += len(heard)
        answer = ask(partial(look, place, url, said, interrupted))
        result["losses"] += [f"round {n}: {one}" for one in answer["losses"]]
        result["slowest_s"] = max(result["slowest_s"], answer["seconds"])
    return result


# ---------------------------------------------------------------------------------------------------------------- the full disk


def full(folder: Path, seed: int, sizes: list[int]) -> dict[str, Any]:
    """Fill a tmpfs of each size (kB) to the last byte, go on reading, make room, go on writing."""
    result: dict[str, Any] = {"rounds": len(sizes), "acknowledged": 0, "refused": 0, "too_small": 0, "unread": 0, "losses": []}
    for n, size in enumerate(sizes):
        place = folder / f"tmpfs{n}"
        place.mkdir()
        mount("-t", "tmpfs", "-o", f"size={size}k", "tmpfs", str(place))
        answer = ask(partial(fill, place, random.Random(seed + n), size))  # noqa: S311
        result["losses"] += [f"{size} kB: {one}" for one in answer["losses"]]
        for name in ("acknowledged", "refused", "too_small", "unread"):
            result[name] += answer.get(name, 0)
        subprocess.run(["umount", place], check=True)
    return result


def fill(place: Path, rng: random.Random, size: int) -> dict[str, Any]:
    """The life of one store on a disk that fills up."""
    said: list[dict[str, Any]] = []
    losses: list[str] = []
    refused, too_small, unread = 0, 0, 0
    try:
        store = Store.open(place, reserve_bytes=0)
    except StoreError as error:
        losses += [f"opening: {one.code}" for one in error.findings if one.code != "disk-full"]
        too_small = 1
    else:
        reader = Store.open(place, reserve_bytes=0)
        reader.surveys()
        while refused < 8:
            try:
                work(store, rng, said.append)
            except StoreError as error:
                refused += 1
                losses += [f"{one.code}: {one}" for one in error.findings if one.code != "disk-full"]
                if len(reader.surveys()) < len({one["survey"] for one in said if "survey" in one}):
                    losses.append("a reader sees less")
                for one in reader.datasets(current=False):
                    reader.read(one)
        losses += [f"full, fsck: {one.code} {one.where}" for one in reader.fsck()]
        store.close()
        reader.close()
        try:
            with Store.open(place, reserve_bytes=0) as fresh:
                losses += [f"full, opened: {one.code} {one.where}" for one in fresh.fsck()]
        except StoreError as error:  # may be refused, may not be wrong
            unread = 1
            losses += [f"full, opening: {one}" for one in error.findings if one.code != "disk-full"]
    mount("-o", f"remount,size={size + 20_000}k", str(place))
    again = look(place, None, said, refused, reserve_bytes=0)
    with Store.open(place, reserve_bytes=0) as store:
        for _ in range(5):
            work(store, rng, said.append)
        losses += [f"after: {one.code} {one.where}" for one in store.fsck()]
    counts = {"acknowledged": len(said), "refused": refused, "too_small": too_small, "unread": unread}
    return {"losses": losses + again["losses"], "seconds": 0.0, **counts}


def mount(*words: str) -> None:
    subprocess.run(["mount", *words], check=True, capture_output=True)


# ---------------------------------------------------------------------------------------------------------------- the power cut


def power(folder: Path, rounds: int, seed: int, synchronous: str, without_fsync: bool, after: int) -> dict[str, Any]:
    """Cut the power under a working process, again and again."""
    rng = random.Random(seed)  # noqa: S311
    result: dict[str, Any] = {
        "rounds": rounds,
        "acknowledged": 0,
        "losses": [],
        "cuts_with_loss": 0,
        "late": 0,
        "late_lost": 0,
        "slowest_s": 0.0,
    }
    image, place = folder / "disk.img", folder / "disk"
    place.mkdir()
    catalogue.PRAGMAS["synchronous"] = synchronous
    if without_fsync:
        os.fsync = lambda handle: None  # type: ignore[assignment]
    said: list[dict[str, Any]] = []
    interrupted = 0
    for n in range(rounds):
        if n % 10 == 0 or result["losses"]:
            image.unlink(missing_ok=True)
            with image.open("wb") as disk:
                disk.truncate(256 * 2**20)
            subprocess.run(["mkfs.ext4", "-q", "-F", image], check=True, capture_output=True)
            said, interrupted = [], 0
        mount("-o", "loop", str(image), str(place))
        own = rng.getrandbits(32)

        def deed(say: Say, own: int = own) -> None:
            chance = random.Random(own)  # noqa: S311
            with Store.open(place, reserve_bytes=0) as store:
                while True:
                    work(store, chance, say)

        handle, begun = os.open(place, os.O_RDONLY), time.monotonic()
        child, pipe = fork(deed)
        heard = hear(pipe, rng.uniform(0.05, 1.2))
        while len(heard) < after and time.monotonic() < begun + 60:
            heard += hear(pipe, 0.2)
        cut = time.monotonic()
        fcntl.ioctl(handle, EXT4_SHUTDOWN, struct.pack("I", NO_LOG_FLUSH))
        os.kill(child, signal.SIGKILL)
        heard += hear(pipe)
        os.close(pipe)
        os.waitpid(child, 0)
        os.close(handle)
        unmount(place)
        interrupted += 1
        heard = [one for one in heard if "error" not in one]  # errors of a disk without power are no surprise
        late = [one for one in heard if one["at"] >= cut]
        interrupted += len(late)
        said += [one for one in heard if one["at"] < cut]
        result["acknowledged"] += len(heard)
        mount("-o", "loop", str(image), str(place))
        answer = ask(partial(look, place, None, said, interrupted))
        result["late"] += len(late)
        result["late_lost"] += bool(late) and bool(ask(partial(look, place, None, [*said, *late], interrupted))["losses"])
        unmount(place)
        result["losses"] += [f"cut {n}: {one}" for one in answer["losses"]]
        result["cuts_with_loss"] += bool(answer["losses"])
        result["slowest_s"] = max(result["slowest_s"], answer["seconds"])
    return result


def unmount(place: Path) -> None:
    for _ in range(50):
        if subprocess.run(["umount", place], capture_output=True, check=False).returncode == 0:
            return
        time.sleep(0.1)
    raise RuntimeError(f"{place} stays mounted")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("how", choices=["kill", "full", "power"])
    parser.add_argument("folder", type=Path)
    parser.add_argument("numbers", type=int, nargs="+")
    parser.add_argument("--url")
    parser.add_argument("--synchronous", default="FULL")
    parser.add_argument("--without-fsync", action="store_true")
    parser.add_argument("--after", type=int, default=0, help="cut only after so many things were acknowledged")
    given = parser.parse_args()
    if given.how == "kill":
        result = kill(given.folder, *given.numbers, given.url)
    elif given.how == "full":
        result = full(given.folder, given.numbers[0], given.numbers[1:])
    else:
        result = power(given.folder, *given.numbers, given.synchronous, given.without_fsync, given.after)
    sys.stdout.write(json.dumps({**result, "lost": len(result["losses"]), "losses": result["losses"][:20]}, ensure_ascii=False))


if __name__ == "__main__":
    main()
