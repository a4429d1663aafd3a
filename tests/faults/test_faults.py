"""Kill, full disk, power cut: nothing acknowledged is lost, nothing half-done is seen, the store opens at once and fsck is clean.

The controls at the end weaken the store on purpose; the same hammer has to find that, or it proves nothing.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest

from tests.faults.conftest import DONE
from tests.postgres import database

ROOT = Path(__file__).parents[2]
LONG_KILLS, LONG_CUTS, LONG_COMMANDS = 520, 120, 510


def hammer(*words: object, within: tuple[str, ...] = (), module: str = "hammer") -> dict[str, Any]:
    command = [*within, sys.executable, "-m", f"tests.faults.{module}", *map(str, words)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout)
    return result


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Path]:
    """A folder in memory where there is one: a killed process needs no disk, and syncing takes most of the time."""
    if not os.access("/dev/shm", os.W_OK):  # noqa: S108
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        yield Path(folder)


def clean(result: dict[str, Any], least: int) -> None:
    told(result)
    assert result["losses"] == []
    assert result["acknowledged"] >= least
    assert result.get("slowest_s", 0.0) < 10


def told(result: dict[str, Any]) -> None:
    """For the table at the end of the run."""
    name = os.environ["PYTEST_CURRENT_TEST"].partition("::")[2].partition(" ")[0]
    counts = {key: value for key, value in result.items() if isinstance(value, int) and value}
    DONE.append(
        f"{name}: "
        + ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in counts.items())
        + ", losses "
        + str(len(result["losses"]))
    )


# --------------------------------------------------------------------------------------------------------------------- killed


def test_a_killed_process_loses_nothing(memory: Path) -> None:
    clean(hammer("kill", memory, 25, 1), least=25)


@pytest.mark.faults
def test_a_process_killed_hundreds_of_times_loses_nothing(memory: Path) -> None:
    clean(hammer("kill", memory, LONG_KILLS, 2), least=LONG_KILLS)


@pytest.mark.faults
def test_a_killed_process_loses_nothing_on_postgresql(memory: Path) -> None:
    clean(hammer("kill", memory, 60, 3, "--url", database()), least=60)


def test_killed_commands_lose_nothing(memory: Path) -> None:
    """Whole commands, import, accept and rank, each killed anywhere between its first line and its last."""
    clean(hammer("kill", memory, 5, 1, module="commands"), least=1)


@pytest.mark.faults
def test_commands_killed_hundreds_of_times_lose_nothing(memory: Path) -> None:
    result = hammer("kill", memory, LONG_COMMANDS, 2, module="commands")
    clean(result, least=LONG_COMMANDS // 2)
    assert min(result[f"killed_{deed}"] for deed in ("import", "accept", "rank")) >= 50


@pytest.mark.faults
def test_killed_commands_lose_nothing_on_postgresql(memory: Path) -> None:
    clean(hammer("kill", memory, 30, 3, "--url", database(), module="commands"), least=5)


# ------------------------------------------------------------------------------------------------------------------ full disk


@lru_cache(maxsize=1)
def alone() -> tuple[str, ...] | None:
    """How this user gets a mount namespace of their own: as root, or as root of a user namespace; None where not."""
    for command in (("unshare", "-m"), ("unshare", "-r", "-m")):
        if (
            shutil.which("unshare")
            and subprocess.run([*command, "mount", "-t", "tmpfs", "tmpfs", "/mnt"], capture_output=True).returncode == 0
        ):
            return command
    return None


def fill(tmp_path: Path, seed: int, *sizes: int, module: str = "hammer") -> dict[str, Any]:
    within = alone()
    if within is None:
        pytest.skip("this user may not mount a tmpfs")
    return hammer("full", tmp_path, seed, *sizes, within=within, module=module)


def test_a_full_disk_is_refused_cleanly(tmp_path: Path) -> None:
    result = fill(tmp_path, 1, 150, 1_300)
    clean(result, least=10)
    assert result["refused"] >= 8


@pytest.mark.faults
def test_disks_of_many_sizes_are_refused_cleanly(tmp_path: Path) -> None:
    rng = random.Random(4)  # noqa: S311
    clean(fill(tmp_path, 4, *(rng.randint(40, 6_000) for _ in range(60))), least=600)


def test_commands_on_a_full_disk_are_refused_cleanly(tmp_path: Path) -> None:
    result = fill(tmp_path, 1, 17_100, module="commands")
    clean(result, least=3)
    assert result["refused"] >= 3


@pytest.mark.faults
def test_commands_on_disks_of_many_sizes_are_refused_cleanly(tmp_path: Path) -> None:
    """From one that can't hold a catalogue to one that takes some surveys; 16 MB of each are kept free."""
    rng = random.Random(8)  # noqa: S311
    sizes = [rng.randint(200, 16_000) for _ in range(5)] + [rng.randint(16_400, 20_000) for _ in range(15)]
    clean(fill(tmp_path, 8, *sizes, module="commands"), least=60)


# ------------------------------------------------------------------------------------------------------------------ power cut


def cut(tmp_path: Path, rounds: int, seed: int, *words: object) -> dict[str, Any]:
    """Cuts on an ext4 image; only root may mount one."""
    if os.geteuid() != 0 or alone() != ("unshare", "-m"):
        pytest.skip("only root may mount an ext4 image")
    image, place = tmp_path / "try.img", tmp_path / "try"
    place.mkdir()
    with image.open("wb") as disk:
        disk.truncate(16 * 2**20)
    script = f'mkfs.ext4 -q -F "{image}" && mount -o loop "{image}" "{place}"'
    tried = subprocess.run(["unshare", "-m", "sh", "-c", script], capture_output=True, text=True, check=False)
    if tried.returncode:
        pytest.skip(f"an ext4 image can't be mounted on a loop device here: {tried.stderr.strip()}")
    return hammer("power", tmp_path, rounds, seed, *words, within=("unshare", "-m"))


def test_a_power_cut_loses_nothing(tmp_path: Path) -> None:
    clean(cut(tmp_path, 3, 1), least=10)


@pytest.mark.faults
def test_many_power_cuts_lose_nothing(tmp_path: Path) -> None:
    clean(cut(tmp_path, LONG_CUTS, 5), least=LONG_CUTS)


@pytest.mark.faults
@pytest.mark.parametrize("weakened", [("--synchronous", "NORMAL"), ("--without-fsync",)])
def test_the_hammer_finds_a_store_that_does_not_sync(tmp_path: Path, weakened: tuple[str, ...]) -> None:
    result = cut(tmp_path, 12, 6, "--after", 10, *weakened)
    assert result["cuts_with_loss"] >= 6


def test_normal_is_not_enough(tmp_path: Path) -> None:
    assert cut(tmp_path, 2, 6, "--after", 10, "--synchronous", "NORMAL")["lost"] > 0


# -------------------------------------------------------------------------------------------------------------- parts and jobs


def test_a_killed_import_goes_on_where_it_stopped(memory: Path) -> None:
    """60 MB, killed at random bytes and lines."""
    result = hammer("import", memory, 10, 1, module="parts")
    clean(result, least=5)
    assert result["killed"] >= 8
    assert result["resumed"] >= 1


@pytest.mark.faults
def test_an_import_killed_a_hundred_times_goes_on(memory: Path) -> None:
    result = hammer("import", memory, 100, 2, module="parts")
    clean(result, least=50)
    assert result["resumed"] >= 10


@pytest.mark.faults
def test_a_killed_import_goes_on_with_postgresql(memory: Path) -> None:
    clean(hammer("import", memory, 20, 3, "--url", database(), module="parts"), least=10)


def test_two_processes_append_to_one_upload(memory: Path) -> None:
    clean(hammer("two", memory, 1, module="parts"), least=150)


def test_a_full_disk_keeps_the_parts_that_were_acknowledged(tmp_path: Path) -> None:
    result = fill(tmp_path, 1, 700, 5_000, module="parts")
    clean(result, least=10)
    assert result["refused"] == 6


@pytest.mark.faults
def test_full_disks_of_many_sizes_keep_the_parts(tmp_path: Path) -> None:
    rng = random.Random(7)  # noqa: S311
    clean(fill(tmp_path, 7, *(rng.randint(500, 20_000) for _ in range(30)), module="parts"), least=300)


def test_a_job_whose_worker_is_killed_is_done_once(memory: Path) -> None:
    result = hammer("worker", memory, 5, 1, module="parts")
    clean(result, least=1)
    assert result["killed"] >= 3
    assert result["in_the_middle"] >= 1


@pytest.mark.faults
def test_jobs_whose_workers_are_killed_are_done_once(memory: Path) -> None:
    result = hammer("worker", memory, 60, 2, module="parts")
    clean(result, least=12)
    assert result["in_the_middle"] >= 12
