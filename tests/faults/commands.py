"""The hammer for whole commands: kills `tarmim import`, `accept` and `rank` anywhere between their first line and their last.

    python -m tests.faults.commands kill FOLDER ROUNDS SEED [--url URL]
    python -m tests.faults.commands full FOLDER SEED SIZE…

Like `tests.faults.hammer` it only forks, prints one JSON object, and touches no store itself. What a command has printed is
acknowledged: a receipt, a dataset that counts, a run. What a killed command leaves must not be seen, and the same command, given
again, must come to its end.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import geopandas  # noqa: F401  # before the forks, with all that the commands import when they run
import pyarrow.parquet  # noqa: F401
import rich.table  # noqa: F401
import xlsxwriter  # noqa: F401
from typer.main import get_command

from api import cli
from geo import agreement, confidence, explain, export, pipeline, surveys  # noqa: F401
from geo.store import Store, StoreError
from maps import page  # noqa: F401
from tests.conftest import layer, points, write_table, write_town
from tests.faults.hammer import OPENED, Say, ask, fork, hear, mount

PER_STUDY = 20
SAID = {
    "survey": re.compile(r"Receipt ([0-9a-f]{32}): .* SHA-256 ([0-9a-f]{64})"),
    "dataset": re.compile(r"Dataset (\S+) of layer damage counts now: ([\d,]+) row"),
    "run": re.compile(r"Run ([0-9a-f]{16}):"),
}


def tarmim(words: list[str], say: Say, log: Path) -> None:
    """One command as the program gives it, its lines said as they are printed; a fault that it reports is an error here."""
    out, into = os.pipe()
    child = os.fork()  # the command may die; this process tells what it had said
    if child == 0:
        os.setpgid(0, 0)
        os.dup2(into, 1)
        os.dup2(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND), 2)
        sys.stdout = os.fdopen(1, "w", buffering=1, closefd=False)
        try:
            status = get_command(cli.app).main(args=words, prog_name="tarmim", obj="en", standalone_mode=False)
        except BaseException as error:  # noqa: BLE001  # a fork must not return
            sys.stderr.write(f"{type(error).__name__}: {error}\n")
            os._exit(1)
        os._exit(status or 0)
    os.close(into)
    say({"started": child})
    text = b""
    while piece := os.read(out, 65536):
        text += piece
        *whole, text = text.split(b"\n")
        for line in whole:
            say({"line": line.decode("utf-8", "replace")})
    _, status = os.waitpid(child, 0)
    say({"ended": -status if os.WIFSIGNALED(status) else os.waitstatus_to_exitcode(status)})


def survey(folder: Path, rng: random.Random) -> Path:
    """A damage survey of the town that nobody has sent before."""
    n = rng.randint(1, 40)
    places = [(rng.uniform(0, 2000), rng.uniform(0, 1000)) for _ in range(n)]
    states = [rng.choice(("none", "moderate", "severe", "destroyed")) for _ in range(n)]
    path = folder / f"survey-{rng.getrandbits(32):08x}.geojson"
    write_table(layer(points(*places), state=states), path)
    return path


def understood(heard: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The things acknowledged in what a command printed."""
    found: list[dict[str, Any]] = []
    for one in heard:
        for kind, pattern in SAID.items():
            match = pattern.search(one.get("line", ""))
            if match:
                found.append({kind: match[1], **({"sha256": match[2]} if kind == "survey" else {})})
                found[-1] |= {"rows": int(match[2].replace(",", ""))} if kind == "dataset" else {}
    return found


def look(folder: Path, url: str | None, said: list[dict[str, Any]], begun: int) -> dict[str, Any]:
    """Open the store as the next command would, and compare it with what was acknowledged."""
    losses: list[str] = []
    start = time.perf_counter()
    store = Store.open(folder, url)
    seconds = time.perf_counter() - start
    losses += [f"fsck: {one.code} {one.where}" for one in store.fsck()]
    for one in said[-OPENED:]:
        try:
            if "survey" in one:
                assert hashlib.sha256(store.original(one["survey"]).read_bytes()).hexdigest() == one["sha256"], "other bytes"
            elif "dataset" in one:
                assert len(store.read(one["dataset"])) == one["rows"], "rows lost"
            else:
                assert len(store.run(one["run"]).priorities) == 4, "rows lost"
        except (AssertionError, StoreError, OSError) as error:
            losses.append(f"{one}: {type(error).__name__} {error}")
    known = {str(one[kind]) for one in said for kind in SAID if kind in one}
    everything = {one.id for one in (*store.surveys(), *store.datasets(current=False), *store.runs())}
    losses += [f"{ident} is gone" for ident in known - everything]
    if len(everything - known) > 2 * begun:
        losses.append(f"{len(everything - known)} things seen that nobody acknowledged, after {begun} interruptions")
    for one in store.runs():  # whatever is to be seen is whole
        store.run(one.id)
    for one in store.datasets(current=False):
        store.read(one)
    if len(store.datasets("damage")) > 1:
        losses.append("damage has several current datasets")
    store.check_log()
    ready = [one.id for one in store.surveys() if one.status == "checked"]
    store.close()
    return {"losses": losses, "seconds": seconds, "ready": ready}


def words_for(folder: Path, place: Path, ready: list[str], rng: random.Random) -> tuple[str, list[str]]:
    """The next command: import a survey, accept one that is checked, or rank."""
    deed = rng.choice(("import", "rank", "accept") if ready else ("import", "import", "rank"))
    if deed == "import":
        return deed, ["import", str(survey(folder, rng)), "--layer", "damage", "--extent", "study", "--study", str(place)]
    if deed == "accept":
        return deed, ["accept", rng.choice(ready), "--study", str(place)]
    return deed, ["rank", str(place)]


def kill(folder: Path, rounds: int, seed: int, url: str | None) -> dict[str, Any]:
    """Kill whole commands at a random moment; each third command is given again and must come to its end."""
    if url is not None:
        os.environ["TARMIM_DATABASE_URL"] = url
    rng = random.Random(seed)  # noqa: S311
    result: dict[str, Any] = {"rounds": 0, "acknowledged": 0, "losses": [], "slowest_s": 0.0}
    result |= {f"killed_{deed}": 0 for deed in ("import", "accept", "rank")}
    took = {"import": 1.0, "accept": 1.0, "rank": 1.0}  # seconds, learned from those that ended
    place, said, ready, begun, n = folder, [], [], 0, 0
    while result["rounds"] < rounds:
        if n % PER_STUDY == 0 and (url is None or n == 0):
            shutil.rmtree(folder / "study", ignore_errors=True)
            place, said, ready, begun = folder / "study", [], [], 0
            ask(lambda: {"made": str(write_town(folder / "study"))})
        n += 1
        deed, words = words_for(folder, place, ready, rng)
        spare = n % 3 == 0
        watcher, pipe = fork(partial(_run, words, folder / "log.txt"))
        heard, command, start = [], 0, time.monotonic()
        stop = rng.uniform(0, took[deed] * 1.05)
        while not command:
            heard += hear(pipe, 0.01)
            command = next((one["started"] for one in heard if "started" in one), 0)
        heard += hear(pipe, 120.0 if spare else stop)
        with suppress(ProcessLookupError):  # it has ended by itself
            os.killpg(command, signal.SIGKILL)
        heard += hear(pipe)
        os.close(pipe)
        os.waitpid(watcher, 0)
        status = next((one["ended"] for one in heard if "ended" in one), None)
        if status == 0:
            took[deed] = 0.5 * took[deed] + 0.5 * (time.monotonic() - start)
        elif status is not None and status > 0:
            result["losses"].append(f"{words}: ended with {status}: {(folder / 'log.txt').read_text()[-2000:]}")
        else:
            result[f"killed_{deed}"] += 1
            result["rounds"] += 1
            begun += 1
        new = understood(heard)
        said += [one for one in new if one not in said]
        result["acknowledged"] += len(new)
        answer = ask(partial(look, place, url, said, begun))
        result["losses"] += [f"{n} {deed}: {one}" for one in answer["losses"]]
        result["slowest_s"] = max(result["slowest_s"], answer["seconds"])
        ready = answer.get("ready", [])
    return result


def _run(words: list[str], log: Path, say: Say) -> None:
    tarmim(words, say, log)


def full(folder: Path, seed: int, sizes: list[int]) -> dict[str, Any]:
    """Import, accept and rank on a tmpfs of each size (kB) until it is full, with a reader beside; then make room and go on."""
    result: dict[str, Any] = {"rounds": len(sizes), "acknowledged": 0, "refused": 0, "losses": []}
    for n, size in enumerate(sizes):
        place = folder / f"tmpfs{n}"
        place.mkdir()
        mount("-t", "tmpfs", "-o", f"size={size}k", "tmpfs", str(place))
        answer = ask(partial(_fill, place, folder, random.Random(seed + n), size))  # noqa: S311
        result["losses"] += [f"{size} kB: {one}" for one in answer["losses"]]
        for name in ("acknowledged", "refused"):
            result[name] += answer.get(name, 0)
        subprocess.run(["umount", place], check=True)
    return result


def _command(words: list[str], log: Path) -> tuple[int, list[dict[str, Any]], str]:
    """Its status, what it acknowledged, and what it said was wrong."""
    log.unlink(missing_ok=True)
    heard: list[dict[str, Any]] = []
    tarmim(words, heard.append, log)
    wrong = log.read_text(encoding="utf-8") if log.is_file() else ""
    return next(one["ended"] for one in heard if "ended" in one), understood(heard), wrong


def _fill(place: Path, folder: Path, rng: random.Random, size: int) -> dict[str, Any]:
    losses: list[str] = []
    said: list[dict[str, Any]] = []
    refused, log = 0, folder / "log.txt"
    try:
        write_town(place / "town")
    except (OSError, RuntimeError) as error:  # too small for the study itself
        return {"losses": [], "refused": 1, "acknowledged": 0, "why": str(error)}
    ready: list[str] = []
    for _ in range(40):
        deed, words = words_for(folder, place / "town", ready, rng)
        status, new, wrong = _command(words, log)
        said += [one for one in new if one not in said]
        if status:
            refused += 1
            if "Traceback" in wrong or not re.search(r"disk|room|space|written", wrong, re.IGNORECASE):
                losses.append(f"{deed} ended with {status}: {wrong[-600:]}")
        answer = ask(partial(look, place / "town", None, said, refused)) if refused else {"losses": [], "ready": None}
        if answer.get("ready") is None and status == 0:
            ready = [one["survey"] for one in new if "survey" in one and deed == "import"]
        else:
            ready = answer.get("ready", [])
        losses += [one for one in answer["losses"] if "disk-full" not in one and "No room" not in one]
        if refused >= 4:
            break
    mount("-o", f"remount,size={size + 50_000}k", str(place))
    for words in (
        ["import", str(survey(folder, rng)), "--layer", "damage", "--extent", "study", "--study", str(place / "town")],
        ["rank", str(place / "town")],
    ):
        status, new, wrong = _command(words, log)
        said += [one for one in new if one not in said]
        if status:
            losses.append(f"with room again, {words[0]} ended with {status}: {wrong[-600:]}")
    losses += ask(partial(look, place / "town", None, said, refused))["losses"]
    return {"losses": losses, "refused": refused, "acknowledged": len(said)}


def main() -> None:
    asked = argparse.ArgumentParser()
    asked.add_argument("what", choices=("kill", "full"))
    asked.add_argument("folder", type=Path)
    asked.add_argument("numbers", type=int, nargs="+")
    asked.add_argument("--url")
    given = asked.parse_args()
    if given.what == "kill":
        rounds, seed = given.numbers
        result = kill(given.folder, rounds, seed, given.url)
    else:
        seed, *sizes = given.numbers
        result = full(given.folder, seed, sizes)
    sys.stdout.write(json.dumps(result))


if __name__ == "__main__":
    main()
