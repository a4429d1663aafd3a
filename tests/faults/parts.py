"""The hammer for deliveries in parts and for jobs: kills an import at a random byte and a worker in the middle of a job.

    python -m tests.faults.parts import FOLDER ROUNDS SEED [--url URL]
    python -m tests.faults.parts full   FOLDER SEED SIZE…
    python -m tests.faults.parts two    FOLDER SEED
    python -m tests.faults.parts worker FOLDER ROUNDS SEED

It prints one JSON object as `tests.faults.hammer` does, and like it only forks: no store is touched in this process.
"""

from __future__ import annotations

import argparse
import datetime
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

from api import jobs
from geo import surveys, uploads
from geo.store import Store, StoreError
from tests.faults.hammer import Say, ask, fork, hear, mount

NOW = datetime.datetime(2026, 11, 23, tzinfo=datetime.UTC)
DEMO = Path(__file__).parents[2] / "data" / "demo"
MEGABYTES = 60
PER_FILE = 5
TRACED = ("uploads.py", "deliveries.py", "store.py", "staging.py", "catalogue.py", "fsck.py", "surveys.py", "jobs.py")


def killed_after(lines: int) -> Any:
    """A tracer that kills the process at a line of our own code."""
    left = lines

    def trace(frame: Any, event: str, _: Any) -> Any:
        nonlocal left
        name = frame.f_code.co_filename
        if not name.endswith(TRACED) or ("/geo/" not in name and "/api/" not in name):
            return None
        if event == "line":
            left -= 1
            if left <= 0:
                os.kill(os.getpid(), signal.SIGKILL)
        return trace

    return trace


def killed_at_byte(at: int) -> None:
    """Let this process write so many bytes of an upload, to the byte, and die."""
    left = at

    def write(handle: int, piece: bytes) -> None:
        nonlocal left
        os.write(handle, piece[: max(left, 0)])
        left -= len(piece)
        if left <= 0:
            os.kill(os.getpid(), signal.SIGKILL)

    uploads._write = write


def delivered(folder: Path, path: Path, url: str | None, say: Say) -> dict[str, Any]:
    with Store.open(folder, url) as store:
        receipt = surveys.deliver(store, [path], layer="damage", sender="x", now=NOW, kept=lambda done, total: say({"kept": done}))
        whole = hashlib.sha256(store.original(receipt.id).read_bytes()).hexdigest()
        return {"codes": [one.code for one in receipt.findings], "sha256": whole}


def look(folder: Path, url: str | None) -> dict[str, Any]:
    with Store.open(folder, url) as store:
        losses = [f"fsck: {one.code} {one.where}" for one in store.fsck()]
        offsets = [one.offset for one in uploads.uploads(store)]
        if len(offsets) > 1:
            losses.append(f"{len(offsets)} uploads of one file")
        return {"losses": losses, "seconds": 0.0, "offset": offsets[0] if offsets else 0, "surveys": len(store.surveys())}


def import_(folder: Path, rounds: int, seed: int, url: str | None) -> dict[str, Any]:
    """Kill the import of a file of 60 MB, half of the times at a byte, half at a line; then let it come to its end."""
    rng = random.Random(seed)  # noqa: S311
    result: dict[str, Any] = {"rounds": rounds, "acknowledged": 0, "killed": 0, "resumed": 0, "losses": []}
    study, path = folder / "study", folder / "large.zip"
    study.mkdir()
    finished = 0
    for start in range(0, rounds, PER_FILE):
        path.write_bytes(rng.randbytes(MEGABYTES * 2**20))
        sha256, offset = hashlib.sha256(path.read_bytes()).hexdigest(), 0
        for n in range(start, min(start + PER_FILE, rounds)):
            by_byte = rng.random() < 0.5
            left = MEGABYTES * 2**20 - offset
            stop = rng.randint(1, max(left // 2, 1)) if by_byte else rng.randint(1, 1500)

            def deed(say: Say, by_byte: bool = by_byte, stop: int = stop) -> None:
                if by_byte:
                    killed_at_byte(stop)
                else:
                    sys.settrace(killed_after(stop))
                say(delivered(study, path, url, say))

            child, pipe = fork(deed)
            heard = hear(pipe)
            os.close(pipe)
            _, status = os.waitpid(child, 0)
            result["killed"] += os.WIFSIGNALED(status)
            result["losses"] += [f"round {n}: {one}" for one in heard if "error" in one]
            result["acknowledged"] += len(heard)
            answer = ask(partial(look, study, url))
            result["losses"] += [f"round {n}: {one}" for one in answer["losses"]]
            kept = max([one["kept"] for one in heard if "kept" in one], default=offset)
            if answer["surveys"] == finished and answer["offset"] < kept:
                result["losses"].append(f"round {n}: {answer['offset']} bytes, {kept} were acknowledged")
            offset = answer["offset"]
        answer = ask(lambda: delivered(study, path, url, lambda one: None))
        if answer.get("sha256") != sha256:
            result["losses"].append(f"file {start}: {answer}")
        expected = "resumed" if offset else None
        if expected and "resumed" not in answer.get("codes", []):
            result["losses"].append(f"file {start}: {offset} bytes were kept, {answer}")
        result["resumed"] += "resumed" in answer.get("codes", [])
        finished = ask(partial(look, study, url))["surveys"]
    if finished != -(-rounds // PER_FILE):
        result["losses"].append(f"{finished} surveys")
    return result


def full(folder: Path, seed: int, sizes: list[int]) -> dict[str, Any]:
    """Fill a tmpfs of each size (kB) by an upload, make room, go on."""
    result: dict[str, Any] = {"rounds": len(sizes), "acknowledged": 0, "refused": 0, "losses": []}
    for n, size in enumerate(sizes):
        place = folder / f"tmpfs{n}"
        place.mkdir()
        mount("-t", "tmpfs", "-o", f"size={size}k", "tmpfs", str(place))
        answer = ask(partial(filled, place, random.Random(seed + n), size))  # noqa: S311
        result["losses"] += [f"{size} kB: {one}" for one in answer["losses"]]
        for name in ("acknowledged", "refused"):
            result[name] += answer.get(name, 0)
        subprocess.run(["umount", place], check=True)
    return result


def filled(place: Path, rng: random.Random, size: int) -> dict[str, Any]:
    content = rng.randbytes((size + 3_000) * 1024)
    losses: list[str] = []
    acknowledged = refused = offset = 0
    with Store.open(place, reserve_bytes=0) as store:
        ident = uploads.begin(store, name="x", sender="x", layer="damage", now=NOW).id
        while refused < 3:
            piece = content[offset : offset + rng.choice((999, 70_000, 400_000))]
            try:
                offset = uploads.append(store, ident, offset, piece, now=NOW)
                acknowledged += 1
            except StoreError as error:
                refused += 1
                losses += [f"{one.code}: {one}" for one in error.findings if one.code != "disk-full"]
                now = uploads.state(store, ident).offset
                if now < offset:
                    losses.append(f"{now} bytes, {offset} were acknowledged")
                offset = now
        losses += [f"full, fsck: {one.code} {one.where}" for one in store.fsck()]
        kept = (place / "uploads" / ident).read_bytes()[:offset]
        if kept != content[:offset]:
            losses.append("other bytes")
    mount("-o", f"remount,size={2 * size + 40_000}k", str(place))
    with Store.open(place, reserve_bytes=0) as store:
        uploads.append(store, ident, offset, content[offset:], now=NOW)
        receipt = uploads.finish(store, ident, now=NOW, sha256=hashlib.sha256(content).hexdigest())
        if store.original(receipt.id).read_bytes() != content:
            losses.append("other bytes at the end")
        losses += [f"after: {one.code} {one.where}" for one in store.fsck()]
    return {"losses": losses, "seconds": 0.0, "acknowledged": acknowledged, "refused": refused}


def two(folder: Path, seed: int) -> dict[str, Any]:
    """Two processes append the parts of one upload at once, each as if it were alone."""
    content = random.Random(seed).randbytes(3_000_000)  # noqa: S311

    def begun() -> dict[str, Any]:
        with Store.open(folder) as store:
            made = uploads.begin(store, name="x", sender="x", layer="damage", now=NOW, size=len(content))
            return {"id": made.id}

    ident = ask(begun)["id"]

    def deed(say: Say) -> None:
        with Store.open(folder) as store:
            while (at := uploads.state(store, ident).offset) < len(content):
                try:
                    new = uploads.append(store, ident, at, content[at : at + 20_000], now=NOW)
                    say({"from": at, "to": new})
                except StoreError as error:
                    say({"refused": error.findings[0].code})

    children = [fork(deed) for _ in range(2)]
    heard = [hear(pipe) for _, pipe in children]
    for child, pipe in children:
        os.close(pipe)
        os.waitpid(child, 0)
    parts = sorted((one["from"], one["to"]) for said in heard for one in said if "from" in one)
    codes = {one["refused"] for said in heard for one in said if "refused" in one}
    losses = [str(one) for said in heard for one in said if "error" in one]
    losses += [f"{code} was said" for code in codes - {"upload-busy", "wrong-offset"}]
    if [0, *(end for _, end in parts)] != [*(begin for begin, _ in parts), len(content)]:
        losses.append("parts overlap or are missing")

    def ended() -> dict[str, Any]:
        with Store.open(folder) as store:
            receipt = uploads.finish(store, ident, now=NOW)
            return {"sha256": receipt.sha256, "fsck": len(store.fsck())}

    answer = ask(ended)
    if answer != {"sha256": hashlib.sha256(content).hexdigest(), "fsck": 0} | {"at": answer.get("at")}:
        losses.append(str(answer))
    return {"rounds": 1, "acknowledged": len(parts), "losses": losses}


def worker(folder: Path, rounds: int, seed: int) -> dict[str, Any]:
    """Kill a worker at a random line or time while it accepts a survey; the next worker does it, and it is done once."""
    rng = random.Random(seed)  # noqa: S311
    result: dict[str, Any] = {"rounds": rounds, "acknowledged": 0, "killed": 0, "in_the_middle": 0, "losses": []}
    for start in range(0, rounds, PER_FILE):
        study = folder / f"study{start}"
        shutil.copytree(DEMO, study)

        def asked(study: Path = study) -> dict[str, Any]:
            with Store.open(study) as store:
                survey = surveys.deliver(store, [study / "damage.csv"], layer="damage", sender="x", now=NOW).id
                surveys.check(store, study_of(study), survey, now=NOW)
                return {"id": jobs.submit(store, "accept", survey, who="planner").id}

        job = ask(asked)["id"]
        for n in range(start, min(start + PER_FILE, rounds)):
            by_line, lines, own = rng.random() < 0.7, rng.randint(1, 700), rng.uniform(0, 2)

            def deed(say: Say, stop: int = lines if by_line else 0, study: Path = study) -> None:
                if stop:
                    sys.settrace(killed_after(stop))
                with jobs.Queue(study, attempts=1000) as queue:
                    queue.drain()

            child, pipe = fork(deed)
            heard = hear(pipe, 120.0 if by_line else own)
            os.kill(child, signal.SIGKILL)  # which one that has ended does not feel
            _, status = os.waitpid(child, 0)
            os.close(pipe)
            result["killed"] += os.WIFSIGNALED(status)
            result["losses"] += [f"round {n}: {one}" for one in heard if "error" in one]
            answer = ask(partial(seen, study, job))
            result["losses"] += [f"round {n}: {one}" for one in answer["losses"]]
            result["in_the_middle"] += answer.get("state") == "running"

        def done(study: Path = study, job: str = job) -> dict[str, Any]:
            with jobs.Queue(study, attempts=1000) as queue:
                queue.drain()
            answer = seen(study, job)
            return {**answer, "losses": answer["losses"] + ([] if answer["state"] == "done" else [answer["state"]])}

        answer = ask(done)
        result["losses"] += [f"study {start}: {one}" for one in answer["losses"]]
        result["acknowledged"] += answer.get("state") == "done"
    return result


def study_of(folder: Path) -> Any:
    from geo.study import read_study

    return read_study(folder)


def seen(study: Path, job: str) -> dict[str, Any]:
    """What is to be seen of a job after a kill: a dataset and one line of the log, or neither."""
    with Store.open(study) as store:
        found = store.job(job)
        tables, log = store.datasets(current=False), [one for one in store.decisions() if one.what == "dataset-accepted"]
        losses = [f"fsck: {one.code} {one.where}" for one in store.fsck()]
        if len(tables) != len(log) or len(tables) > 1:
            losses.append(f"{len(tables)} datasets, {len(log)} lines of the log")
        if found.state == "done" and [one.id for one in tables] != [found.result]:
            losses.append(f"done without its dataset: {found.result}")
        if found.state not in ("queued", "running", "done"):
            losses.append(f"{found.state}: {[one['code'] for one in found.findings]}")
        return {"losses": losses, "seconds": 0.0, "state": found.state}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("how", choices=["import", "full", "two", "worker"])
    parser.add_argument("folder", type=Path)
    parser.add_argument("numbers", type=int, nargs="+")
    parser.add_argument("--url")
    given = parser.parse_args()
    if given.how == "import":
        result = import_(given.folder, *given.numbers, given.url)
    elif given.how == "full":
        result = full(given.folder, given.numbers[0], given.numbers[1:])
    elif given.how == "two":
        result = two(given.folder, *given.numbers)
    else:
        result = worker(given.folder, *given.numbers)
    sys.stdout.write(json.dumps({**result, "lost": len(result["losses"]), "losses": result["losses"][:20]}, ensure_ascii=False))


if __name__ == "__main__":
    main()
