"""Contracts: who may import whom, whose names these are, and that nothing reaches the network."""

from __future__ import annotations

import socket
import subprocess
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from importlinter import api as linter
from pytest_socket import SocketConnectBlockedError

ROOT = Path(__file__).parents[1]
PACKAGES = ("geo", "api", "maps", "data")


def test_imports_go_one_way(monkeypatch):
    """The contracts of pyproject.toml: api → maps → geo → data, and no page or HTTP in the science."""
    monkeypatch.chdir(ROOT)
    settings = linter.read_configuration("pyproject.toml")
    assert {one["type"] for one in settings["contracts_options"]} >= {"layers", "forbidden"}
    done = subprocess.run(
        [Path(sys.executable).parent / "lint-imports", "--no-cache"], capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("package", PACKAGES)
def test_nobody_else_owns_our_names(package):
    owners = set(packages_distributions().get(package, ())) - {"tarmim"}
    assert owners == set(), f"another distribution installs a package called {package}"


def test_science_loads_neither_map_nor_server():
    """A fresh interpreter that imports the whole road."""
    modules = " ".join(f"import geo.{path.stem};" for path in sorted((ROOT / "geo").glob("*.py")) if path.stem != "__init__")
    unwanted = ("folium", "branca", "fastapi", "starlette", "uvicorn", "typer", "rich", "jinja2")
    code = f"import sys; {modules} print([name for name in {unwanted!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "[]"


def test_network_is_off_in_the_tests():
    # the plugin warns before it blocks, and here a warning is an error
    with socket.socket() as outside, pytest.raises((SocketConnectBlockedError, UserWarning), match=r"192\.0\.2\.1"):
        outside.connect(("192.0.2.1", 80))


@pytest.mark.parametrize("path", sorted((ROOT / "geo").glob("*.py")), ids=lambda path: path.stem)
def test_modules_open_with_the_idea_they_stand_on(path):
    assert path.read_text(encoding="utf-8").startswith('"""')


def test_no_home_for_the_homeless():
    """A function without a home means that a module is missing, not that there should be a `utils`."""
    names = {path.stem for package in PACKAGES for path in (ROOT / package).rglob("*.py")}
    assert not names & {"utils", "util", "common", "core", "helpers", "manager", "misc"}
