"""The hammer for whole commands: `tarmim import`, `accept`, `rank` and `serve` as a user runs them, killed at any moment.

    python -m tests.faults.commands kill  FOLDER KILLS SEED
    python -m tests.faults.commands full  FOLDER SEED SIZE…
    python -m tests.faults.commands serve FOLDER KILLS SEED

It prints one JSON object as `tests.faults.hammer` does. What counts as acknowledged is what a command has printed, nothing else.
This process has loaded the program and runs nothing of it: each command is a fork that calls the entry point with its arguments,
so that a kill costs a fork and not the seconds of a start; now and then one is started anew (`restart`) to see how long that takes.
"""

from __future__ import annotations

import argparse
import hashlib
import http.client
import json
import os
import random
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import traceback
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import exactextract  # noqa: F401  # whatever a command loads while it runs, before the forks
import openpyxl  # noqa: F401
import pyogrio  # noqa: F401
import xlsxwriter  # noqa: F401

import api.app
import api.jobs
import geo.pipeline
import geo.surveys
import maps.page  # noqa: F401
from api.cli import main as tarmim
from geo.errors import TarmimError
from geo.export import WRITERS
from geo.store import RESERVE_BYTES, Store
from tests.conftest import write_town
from tests.faults.hammer import ask, mount

PER_STORE = 25
OPENED = 6
AGAIN = 0.25
PATIENCE_S = 120.0
TRACED = ("store.py", "staging.py", "datasets.py", "catalogue.py", "run.py", "records.py", "uploads.py", "surveys.py", "export.py")
SAID = {
    "survey": re.compile(r"Receipt ([0-9a-f]{32}): .* SHA-256 ([0-9a-f]{64})\."),
    "checked": re.compile(r"[\d,]+ rows can be accepted: tarmim accept ([0-9a-f]{32})"),
    "dataset": re.compile(r"Dataset ([0-9a-f]{32}) of layer \w+ counts now: ([\d,]+) rows\."),
    "run": re.compile(r"Run ([0-9a-f]{16}): "),
    "exported": re.compile(r"Written to (.+)"),
    "job": re.compile(r"Job ([0-9a-f]{16}) is queued"),
}
GRADES = ("none", "minor", "moderate", "severe", "destroyed")
DEEDS = ("import", "accept", "rank")


# -------------------------------------------------------------------------------------------------------------- one command


@dataclass
class Running:
    """A command under way: its process, what it prints, and where its errors go."""

    words: tuple[str, ...]
    pid: int
    pipe: int
    errors: Path
    begun: float = field(default_factory=time.perf_counter)


@dataclass
class Ended:
    """How a command ended: its status (negative: the signal), what it printed in whole lines, its errors, and how long it took."""

    status: int
    lines: list[str]
    errors: str
    seconds: float

    def said(self) -> list[dict[str, Any]]:
        """What it acknowledged, in the order of its lines."""
        return [
            {"what": what, "id": found[1], "also": found[2] if found.re.groups > 1 else None}
            for line in self.lines
            for what, known in SAID.items()
            if (found := known.match(line))
        ]


def begin(errors: Path, *words: object, prepare: Callable[[], object] = lambda: None) -> Running:
    """Start a command; `prepare` is called in its process first."""
    arguments = tuple(map(str, words))
    out, into = os.pipe()
    child = os.fork()
    if child:
        os.close(into)
        return Running(arguments, child, out, errors)
    os.close(out)
    os.dup2(into, 1)
    os.dup2(os.open(errors, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644), 2)
    sys.argv, status = ["tarmim", *arguments], 0
    try:
        prepare()
        tarmim()
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:  # noqa: BLE001  # as the interpreter does
        traceback.print_exc()
        status = 99
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def end(running: Running, after: float | None = None) -> Ended:
    """Wait for a command to end, or kill it after some seconds."""
    if after is not None:
        time.sleep(after)
        os.kill(running.pid, signal.SIGKILL)
    printed = b""
    while piece := os.read(running.pipe, 65536):
        printed += piece
    os.close(running.pipe)
    _, status = os.waitpid(running.pid, 0)
    seconds = time.perf_counter() - running.begun
    lines = printed.decode().split("\n")[:-1]  # half a line says nothing
    return Ended(os.waitstatus_to_exitcode(status), lines, running.errors.read_text(errors="replace"), seconds)


def counted(at: int, place: Path | None = None) -> Callable[[], None]:
    """Count the lines of the store that this process comes to, into a file; kill it at one of them."""
    count = 0

    def trace(frame: Any, event: str, _: Any) -> Any:
        nonlocal count
        name = frame.f_code.co_filename
        if not name.endswith(TRACED) or "/geo/" not in name:
            return None
        if event == "line":
            count += 1
            if place is not None:
                os.pwrite(handle, f"{count:9}".encode(), 0)
            if count == at:
                os.kill(os.getpid(), signal.SIGKILL)
        return trace

    handle = -1 if place is None else os.open(place, os.O_WRONLY | os.O_CREAT, 0o644)
    return lambda: sys.settrace(trace)


# ---------------------------------------------------------------------------------------------------------- the user's work


class User:
    """Somebody with a study who imports, accepts and ranks, and keeps what was acknowledged."""

    def __init__(self, folder: Path, rng: random.Random) -> None:
        self.folder, self.rng = folder, rng
        self.study, self.errors = folder / "town", folder / "errors.txt"
        self.said: list[dict[str, Any]] = []
        self.waiting: list[str] = []
        self.sent = 0

    def file(self) -> Path:
        """A survey of damage that was never delivered before."""
        self.sent += 1
        rng, path = self.rng, self.folder / f"مسح{self.sent}.geojson"
        points = [(330_000 + rng.randint(0, 1500), 4_000_000 + rng.randint(0, 900)) for _ in range(rng.randint(1, 300))]
        rows = [
            {"type": "Feature", "properties": {"grade": rng.choice(GRADES)}, "geometry": {"type": "Point", "coordinates": point}}
            for point in points
        ]
        crs = {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::32637"}}
        path.write_text(json.dumps({"type": "FeatureCollection", "crs": crs, "features": rows}), encoding="utf-8")
        return path

    def words(self, deed: str) -> tuple[object, ...]:
        """A command line. A run is of a study that has changed since, so that it is another run."""
        if deed == "import":
            return ("import", self.file(), "--layer", "damage", "--extent", "study", "--sender", "بلدية", "--study", self.study)
        if deed == "accept":
            return ("accept", self.waiting[-1], "--study", self.study)
        self.sent += 1
        written = (self.study / "study.toml").read_text(encoding="utf-8")
        changed = re.sub(r'"en" = "[^"]*"', f'"en" = "Town {self.sent}"', written)
        (self.study / "study.toml").write_text(changed, encoding="utf-8")
        return ("rank", self.study)

    def hear(self, ended: Ended) -> None:
        """Keep what a command has acknowledged."""
        for one in ended.said():
            if one["what"] == "survey":
                assert one["also"] == hashlib.sha256((self.folder / f"مسح{self.sent}.geojson").read_bytes()).hexdigest()
            self.said.append(one)
            if one["what"] == "checked":
                self.waiting.append(one["id"])
            if one["what"] == "dataset":
                self.waiting.clear()

    def whole(self, *words: object, prepare: Callable[[], object] = lambda: None) -> Ended:
        """A command to its end."""
        ended = end(begin(self.errors, *words, prepare=prepare))
        self.hear(ended)
        return ended

    def finished(self, words: tuple[object, ...]) -> list[str]:
        """What is wrong with a command that nobody disturbs."""
        ended = self.whole(*words)
        if ended.status == 0:
            return []
        return [f"{words[0]} ended with {ended.status}: {ended.lines[-3:]} {ended.errors[-800:]}"]


def seen(study: Path, said: list[dict[str, Any]], interrupted: int) -> dict[str, Any]:
    """Open the study as its owner does and compare everything that is to be seen with what was acknowledged."""
    losses: list[str] = []
    with Store.open(study, reserve_bytes=0) as store:
        surveys = {one.id: one for one in store.surveys()}
        tables = {one.id: one for one in store.datasets(current=False)}
        runs, jobs = {one.id for one in store.runs()}, {one.id for one in store.jobs()}
        for one in said:
            try:
                match one["what"]:
                    case "survey":
                        kept = store.original(surveys[one["id"]]).read_bytes()
                        assert hashlib.sha256(kept).hexdigest() == one["also"], "other bytes"
                    case "checked":
                        assert surveys[one["id"]].status in ("checked", "accepted"), surveys[one["id"]].status
                    case "dataset":
                        assert tables[one["id"]].rows == int(one["also"].replace(",", "")), "other rows"
                        assert store.decisions(one["id"]), "not in the log"
                        assert surveys[str(tables[one["id"]].survey_id)].status == "accepted", "its survey is not accepted"
                    case "run":
                        assert one["id"] in runs, "not in the catalogue"
                    case "job":
                        assert one["id"] in jobs, "not in the catalogue"
                    case "exported":
                        there = {path.name for path in Path(one["id"]).iterdir()}
                        assert there >= {*WRITERS, "map.html"}, f"only {sorted(there)}"
            except (AssertionError, KeyError, TarmimError, OSError) as error:
                losses.append(f"{one}: {type(error).__name__} {error}")
        for name, there in (("survey", surveys), ("dataset", tables), ("run", runs)):
            unsaid = set(there) - {one["id"] for one in said if one["what"] == name}
            if len(unsaid) > interrupted:
                losses.append(f"{len(unsaid)} of {name} that nobody acknowledged, after {interrupted} interruptions")
        for dataset in list(tables)[:OPENED]:
            if len(store.read(dataset)) != tables[dataset].rows:
                losses.append(f"dataset {dataset}: rows missing")
        for ident in [one.id for one in store.runs()][:OPENED]:
            if store.run(ident).info["run"] != ident:
                losses.append(f"run {ident} is another")
        if len(store.datasets("damage")) != bool(tables):
            losses.append(f"{len(store.datasets('damage'))} current datasets of {len(tables)}")
        losses += [f"log: {one.code}" for one in store.check_log()]
    newest = sorted((study / "exports").glob("*/*"), key=lambda path: path.stat().st_mtime_ns)[-2 * len(WRITERS) :]
    losses += [f"{path.name} is not whole: {why}" for path in newest if path.name[0] != "." and (why := not_whole(path))]
    return {"losses": losses, "seconds": 0.0}


def not_whole(path: Path) -> str:
    """Why a file that people open is a half, or nothing."""
    try:
        match path.suffix:
            case ".xlsx":
                with zipfile.ZipFile(path) as archive:
                    return archive.testzip() or ""
            case ".gpkg":
                with sqlite3.connect(path) as database:
                    (answer,) = database.execute("PRAGMA quick_check").fetchone()
                return "" if answer == "ok" else str(answer)
            case ".parquet":
                raw = path.read_bytes()
                return "" if raw[:4] == raw[-4:] == b"PAR1" else "no end"
            case ".json" | ".geojson":
                json.loads(path.read_text(encoding="utf-8"))
            case ".html":
                return "" if path.read_text(encoding="utf-8").rstrip().endswith("</html>") else "no end"
            case ".csv":
                return "" if path.read_bytes().endswith(b"\n") else "no end"
    except (OSError, ValueError, zipfile.BadZipFile, sqlite3.Error) as error:
        return f"{type(error).__name__} {error}"
    return ""


# --------------------------------------------------------------------------------------------------------------------- killed


def kill(folder: Path, kills: int, seed: int) -> dict[str, Any]:
    """Kill commands until so many have died of it: at a random time, or at a random line of the store."""
    rng = random.Random(seed)  # noqa: S311
    result: dict[str, Any] = {"rounds": kills, "acknowledged": 0, "losses": [], "slowest_s": 0.0, "started_s": 0.0}
    result |= {"killed": dict.fromkeys(DEEDS, 0), "done_again": 0, "left_in_temp": 0}
    template = folder / "template"
    ask(lambda: {"made": str(write_town(template / "town")), "losses": []})
    takes, lines = measured(folder, template, rng)
    user, interrupted, n, dead = None, 0, 0, 0
    while dead < kills and n < 3 * kills + 10:
        if user is None or n % PER_STORE == 0:
            shutil.rmtree(folder / "now", ignore_errors=True)
            shutil.copytree(template, folder / "now")
            user, interrupted = User(folder / "now", rng), 0
        n += 1
        before = len(user.said)
        deed = rng.choice(DEEDS)
        if deed == "accept" and not user.waiting:
            result["losses"] += user.finished(user.words("import"))
        words = user.words(deed)
        at = rng.randint(1, lines[deed]) if rng.random() < 0.5 else 0
        running = begin(user.errors, *words, prepare=counted(at) if at else lambda: None)
        ended = end(running, None if at else rng.uniform(0, 1.1 * takes[deed]))
        user.hear(ended)
        if ended.status == -signal.SIGKILL:
            dead += 1
            interrupted += 1
            result["killed"][deed] += 1
        elif ended.status != 0:
            result["losses"].append(f"{deed} ended with {ended.status}: {ended.lines[-3:]} {ended.errors[-800:]}")
        checked(user, interrupted, result, f"kill {n}, {deed}")
        if rng.random() < AGAIN:
            result["losses"] += [f"kill {n}, again: {one}" for one in user.finished(words)]
            if deed == "rank" and (half := list((user.study / "exports").rglob(".making-*"))):
                result["losses"].append(f"kill {n}: {half} left")
            checked(user, interrupted, result, f"kill {n}, {deed} again")
            result["done_again"] += 1
        if n % PER_STORE == 1:
            result["started_s"] = max(result["started_s"], restarted(user.study))
        result["acknowledged"] += len(user.said) - before
    result["rounds"] = dead
    result["left_in_temp"] = len(list((folder / "temp").iterdir()))
    return result


def measured(folder: Path, template: Path, rng: random.Random) -> tuple[dict[str, float], dict[str, int]]:
    """How long each command takes and how many lines of the store it comes to, where nobody disturbs it."""
    takes: dict[str, float] = {}
    lines: dict[str, int] = {}
    for traced in (False, True):
        place = folder / f"measured{traced}"
        shutil.copytree(template, place)
        user = User(place, rng)
        for deed in DEEDS:
            count = place / "count"
            ended = user.whole(*user.words(deed), prepare=counted(0, count) if traced else lambda: None)
            assert ended.status == 0, ended.errors
            if traced:
                lines[deed] = int(count.read_text())
            else:
                takes[deed] = ended.seconds
    return takes, lines


def checked(user: User, interrupted: int, result: dict[str, Any], when: str) -> None:
    """The first command after the kill is fsck: it opens the store, which clears away, and finds nothing; then look yourself."""
    ended = end(begin(user.errors, "fsck", "--study", user.study))
    result["slowest_s"] = max(result["slowest_s"], ended.seconds)
    if ended.status != 0 or "The store is whole." not in ended.lines:
        result["losses"].append(f"{when}: fsck ended with {ended.status}: {ended.lines} {ended.errors[-800:]}")
    answer = ask(partial(seen, user.study, user.said, interrupted))
    result["losses"] += [f"{when}: {one}" for one in answer["losses"]]


def restarted(study: Path) -> float:
    """Seconds that a fresh program takes to open the study and list what it holds."""
    begun = time.perf_counter()
    command = [sys.executable, "-c", "from api.cli import main; main()", "datasets", "--study", str(study)]
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - begun


# ---------------------------------------------------------------------------------------------------------------- the full disk


def full(folder: Path, seed: int, sizes: list[int]) -> dict[str, Any]:
    """Fill a tmpfs of each size (kB) by commands, go on reading, make room, go on.

    Every second size is filled to the last byte, without the reserve that the store keeps for its catalogue.
    """
    result: dict[str, Any] = {"rounds": len(sizes), "acknowledged": 0, "refused": dict.fromkeys(DEEDS, 0), "losses": []}
    template = folder / "template"
    ask(lambda: {"made": str(write_town(template / "town")), "losses": []})
    for n, size in enumerate(sizes):
        place = folder / f"tmpfs{n}"
        place.mkdir()
        reserve = RESERVE_BYTES if n % 2 else 0
        mount("-t", "tmpfs", "-o", f"size={size + reserve // 1024}k", "tmpfs", str(place))
        answer = fill(place, template, random.Random(seed + n), size, reserve)  # noqa: S311
        result["losses"] += [f"{size} kB: {one}" for one in answer["losses"]]
        result["acknowledged"] += answer["acknowledged"]
        for deed in DEEDS:
            result["refused"][deed] += answer["refused"][deed]
        subprocess.run(["umount", place], check=True)
    return result


def fill(place: Path, template: Path, rng: random.Random, size: int, reserve: int) -> dict[str, Any]:
    losses: list[str] = []
    refused = dict.fromkeys(DEEDS, 0)
    shutil.copytree(template, place, dirs_exist_ok=True)
    user = User(place, rng)
    user.errors = place.with_suffix(".errors")
    (place.with_suffix(".sent")).mkdir()
    user.folder = place.with_suffix(".sent")  # what is delivered lies on another disk

    def with_reserve() -> None:
        Store.open.__func__.__kwdefaults__["reserve_bytes"] = reserve  # type: ignore[attr-defined]

    losses += user.finished(user.words("import"))
    deeds, tried = ["rank", "import", "accept"], 0
    while min(refused.values()) < 2 and tried < 60:
        tried += 1
        deed = deeds[tried % 3]
        if deed == "accept" and not user.waiting:
            deed = "rank"
        lang = "en" if tried % 2 else "ar"
        ended = end(begin(user.errors, *user.words(deed), "--lang", lang, prepare=with_reserve))
        if lang == "en":
            user.hear(ended)
        elif ended.status == 0:
            user.waiting = [] if deed == "accept" else user.waiting
        if ended.status != 0:
            refused[deed] += 1
            losses += [f"{deed}, {lang}: {one}" for one in unclear(ended, lang)]
            for reader in ("surveys", "datasets", "fsck"):
                read = end(begin(user.errors, reader, "--study", user.study, prepare=with_reserve))
                if read.status != 0:
                    losses.append(f"full, {reader} ended with {read.status}: {read.lines[-3:]} {read.errors[-500:]}")
        elif tried == 12:  # large enough for all of it: somebody else fills the disk
            ballast(place, reserve, rng)
        elif tried > 12 and tried % 6 == 0:
            ballast(place, reserve, rng)
    if not sum(refused.values()):
        losses.append("nothing was refused")
    answer = ask(partial(seen, user.study, user.said, 200))
    losses += [f"full: {one}" for one in answer["losses"]]
    mount("-o", f"remount,size={size + 60_000}k", str(place))
    user.waiting.clear()
    for deed in DEEDS:
        losses += [f"with room again: {one}" for one in user.finished(user.words(deed))]
    result: dict[str, Any] = {"losses": losses, "slowest_s": 0.0}
    checked(user, 200, result, "with room again")
    return {"losses": losses, "refused": refused, "acknowledged": len(user.said)}


def ballast(place: Path, reserve: int, rng: random.Random) -> None:
    """Another program takes the room that is left, but for a little."""
    free = shutil.disk_usage(place).free - reserve - rng.choice((0, 4_096, 40_000, 200_000))
    with (place / f"ballast{rng.getrandbits(32)}").open("wb") as file:
        while free > 0:
            free -= file.write(bytes(min(free, 2**20)))


def unclear(ended: Ended, lang: str) -> list[str]:
    """What is wrong with the way a refusal is said: it is a report of ours in the user's language, that speaks of the disk."""
    told = ended.errors + "\n".join(ended.lines)
    if ended.status != 1 or "Traceback" in told or "✗" not in told:
        return [f"ended with {ended.status}: {told[-1200:]}"]
    words = ("disk", "No space", "room") if lang == "en" else ("القرص", "مساحة")
    return [] if any(word in told for word in words) else [f"says nothing of the disk: {told[-600:]}"]


# ---------------------------------------------------------------------------------------------------------------- the service


def serve(folder: Path, kills: int, seed: int) -> dict[str, Any]:
    """Kill `tarmim serve` while it works on jobs and others import; the next one goes on, and every job is done once."""
    rng = random.Random(seed)  # noqa: S311
    result: dict[str, Any] = {"rounds": kills, "acknowledged": 0, "losses": [], "slowest_s": 0.0, "in_the_middle": 0, "answers": 0}
    os.environ |= {"TARMIM_JOB_ATTEMPTS": "1000", "TARMIM_JOB_RETRY_S": "1"}
    ask(lambda: {"made": str(write_town(folder / "town")), "losses": []})
    user = User(folder, rng)
    result["losses"] += user.finished(user.words("import"))
    result["losses"] += user.finished(user.words("accept"))
    for n in range(kills):
        port = free_port()
        server = begin(folder / "server.txt", "serve", user.study, "--port", port)
        result["slowest_s"] = max(result["slowest_s"], up(server, port))
        client = None
        for _ in range(rng.randint(1, 3)):
            deed = rng.choice(("import", "import", "accept", "rank"))
            if deed == "accept" and not user.waiting:
                deed = "import"
            words = user.words(deed)
            result["losses"] += user.finished((*words, "--later") if deed != "import" else words)
            if deed == "accept":
                user.waiting.clear()
            status, _ = get(port, "/jobs")
            result["answers"] += status == 200
        if rng.random() < 0.5:
            client = begin(user.errors, *user.words("import"))
        time.sleep(rng.uniform(0, 2.5))
        stopped = end(server, 0.0)
        if stopped.status != -signal.SIGKILL:
            result["losses"].append(f"kill {n}: the service ended by itself, {stopped.status}: {stopped.errors[-800:]}")
        if client is not None:
            ended = end(client, rng.choice((None, rng.uniform(0, 1.5))))
            user.hear(ended)
            if ended.status not in (0, -signal.SIGKILL):
                result["losses"].append(f"kill {n}: import beside it ended with {ended.status}: {ended.errors[-800:]}")
        checked(user, 10_000, result, f"kill {n}")
        result["in_the_middle"] += ask(partial(states, user.study))["running"]
    port = free_port()
    server = begin(folder / "server.txt", "serve", user.study, "--port", port)
    up(server, port)
    give_up = time.monotonic() + PATIENCE_S
    while (left := ask(partial(states, user.study)))["living"] and time.monotonic() < give_up:
        time.sleep(0.5)
    end(server, 0.0)
    checked(user, 10_000, result, "at the end")
    result["losses"] += left["losses"] + ([f"{left['living']} jobs are not done"] if left["living"] else [])
    result["acknowledged"] = len(user.said)
    result["jobs_done"] = left["done"]
    return result


def states(study: Path) -> dict[str, Any]:
    """Where the jobs are; one that was accepted has one dataset and one line of the log."""
    with Store.open(study) as store:
        jobs = store.jobs()
        failed = [f"{one.kind} {one.state}: {[found['code'] for found in one.findings]}" for one in jobs if one.state == "failed"]
        log = [one.what for one in store.decisions()]
        tables = store.datasets(current=False)
    losses = failed
    if log.count("dataset-accepted") < len(tables):
        losses = [*failed, f"{len(tables)} datasets, {log.count('dataset-accepted')} lines of the log"]
    running, queued, done = (sum(one.state == state for one in jobs) for state in ("running", "queued", "done"))
    return {"losses": losses, "seconds": 0.0, "running": running, "living": running + queued, "done": done}


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def get(port: int, path: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read()
    except OSError:
        return 0, b""
    finally:
        connection.close()


def up(server: Running, port: int) -> float:
    """Seconds until the service answers."""
    give_up = time.monotonic() + PATIENCE_S
    while get(port, "/healthz")[0] != 200:
        if time.monotonic() > give_up or os.waitpid(server.pid, os.WNOHANG)[0]:
            raise RuntimeError(f"the service does not start: {server.errors.read_text()[-800:]}")
        time.sleep(0.1)
    return time.perf_counter() - server.begun


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("how", choices=["kill", "full", "serve"])
    parser.add_argument("folder", type=Path)
    parser.add_argument("numbers", type=int, nargs="+")
    given = parser.parse_args()
    sys.stdout.reconfigure(encoding="utf-8")  # type: ignore[union-attr]
    os.environ |= {"TARMIM_LANG": "en", "COLUMNS": "200", "TMPDIR": str(given.folder / "temp")}
    (given.folder / "temp").mkdir()
    if given.how == "kill":
        result = kill(given.folder, *given.numbers)
    elif given.how == "full":
        result = full(given.folder, given.numbers[0], given.numbers[1:])
    else:
        result = serve(given.folder, *given.numbers)
    sys.stdout.write(json.dumps({**result, "lost": len(result["losses"]), "losses": result["losses"][:20]}, ensure_ascii=False))


if __name__ == "__main__":
    main()
