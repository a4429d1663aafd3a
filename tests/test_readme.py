"""The README is true: its Python runs, its commands exist and print what it says, its tables are complete."""

import contextlib
import io
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from geo import registers

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def after(kind, position):
    """The block that follows, if it is of a kind: the output of the one before."""
    return BLOCKS[position + 1][1] if position + 1 < len(BLOCKS) and BLOCKS[position + 1][0] == kind else None


@pytest.mark.parametrize("position", [n for n, (kind, _) in enumerate(BLOCKS) if kind == "python"])
def test_python_block_prints_what_follows_it(position, monkeypatch):
    monkeypatch.chdir(ROOT)
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(compile(BLOCKS[position][1], "README.md", "exec"), {"__name__": "readme"})  # noqa: S102  # the README is ours
    assert out.getvalue().strip() == (after("text", position) or "").strip()


@pytest.mark.parametrize("position", [n for n, (kind, _) in enumerate(BLOCKS) if kind == "console"])
def test_console_block(position, tmp_path):
    """Each `$ tarmim …` line runs; lines below it are its output, in which … stands for anything."""
    commands = re.split(r"^\$ ", BLOCKS[position][1], flags=re.MULTILINE)[1:]
    for text in commands:
        line, _, said = text.partition("\n")
        words = [word.replace("/tmp", str(tmp_path)) for word in shlex.split(line)]  # noqa: S108  # replaced, not used
        assert words[0] == "tarmim"
        done = subprocess.run([Path(sys.executable).with_name("tarmim"), *words[1:]], cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        pattern = re.escape(said.strip()).replace("…", ".*")
        printed = (done.stdout + done.stderr).replace(str(tmp_path), "/tmp")  # noqa: S108
        assert re.search(pattern, printed, re.DOTALL), printed


def test_every_criterion_of_a_scheme_has_a_row():
    for name in registers.names("schemes"):
        for criterion in registers.tree("schemes", name)["criteria"]:
            assert f"`{criterion['measure']}`" in README, criterion["measure"]


def test_every_make_target_and_command_is_named():
    from typer.main import get_command

    from api.cli import app

    for command in get_command(app).commands:
        assert f"`tarmim {command}" in README or f"$ tarmim {command}" in README, command


def test_every_setting_is_documented():
    from api.settings import Settings

    for field in Settings.model_fields:
        assert f"`TARMIM_{field.upper()}`" in README, field


def test_every_route_is_documented(tmp_path):
    from api.app import create_app
    from api.settings import Settings

    paths = create_app(Settings(study=tmp_path)).openapi()["paths"]
    for path in paths:
        assert f"`{path}`" in README, path
