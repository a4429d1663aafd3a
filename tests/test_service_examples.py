"""The examples of `data/examples` are true: they parse, and every setting, command and option in them is there."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from configparser import ConfigParser
from pathlib import Path

import pytest
import yaml
from typer.main import get_command

from api.app import create_app
from api.cli import app
from api.settings import Settings

EXAMPLES = Path(__file__).parents[1] / "data" / "examples"
FILES = [EXAMPLES / name for name in ("compose.yaml", "nginx.conf", "tarmim.service")]
COMPOSE = yaml.safe_load((EXAMPLES / "compose.yaml").read_text(encoding="utf-8"))
UNIT = (EXAMPLES / "tarmim.service").read_text(encoding="utf-8")


@pytest.mark.parametrize("path", FILES, ids=lambda one: one.name)
def test_every_setting_is_one(path):
    known = {f"TARMIM_{name.upper()}" for name in Settings.model_fields} | {"TARMIM_NAME", "TARMIM_FOLDER"}  # of compose alone
    assert set(re.findall(r"TARMIM_[A-Z_]+", path.read_text(encoding="utf-8"))) <= known


@pytest.mark.parametrize("path", FILES, ids=lambda one: one.name)
def test_every_command_is_one_with_these_options(path):
    commands = get_command(app).commands
    lines = re.findall(r"\btarmim ((?:account|token|serve|work)\b.*?)(?:   |$)", path.read_text(encoding="utf-8"), re.MULTILINE)
    assert lines or path.name == "nginx.conf"
    for line in lines:
        name, *words = shlex.split(line)
        with commands[name].make_context(name, words, resilient_parsing=False) as context:
            assert context.params


def test_the_unit_is_what_systemd_reads():
    parser = ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str
    parser.read_string(UNIT)
    assert parser.sections() == ["Unit", "Service", "Install"]
    said = dict(one.split("=", 1) for one in re.findall(r"^Environment=(.*)$", UNIT, re.MULTILINE))
    chosen = Settings(study=EXAMPLES, **{name.removeprefix("TARMIM_").lower(): value for name, value in said.items()})
    assert chosen.guarded, "behind a proxy nobody is trusted because of the address they come from"
    assert chosen.https
    assert chosen.allowed_hosts == ("tarmim.example.org",)
    assert parser["Service"]["ReadWritePaths"] in parser["Service"]["ExecStart"]


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd here")
def test_systemd_finds_nothing_wrong(tmp_path):
    """Of the unit itself: the programme that it starts is not installed here."""
    unit = tmp_path / "tarmim.service"
    unit.write_text(UNIT.replace("/opt/tarmim/bin/tarmim", "/bin/true"), encoding="utf-8")
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", unit], capture_output=True, text=True)
    assert "tarmim.service" not in done.stderr, done.stderr


def test_compose_has_a_database_its_processes_wait_for():
    services = COMPOSE["services"]
    assert set(services) == {"serve", "work", "catalogue", "proxy"}
    for name in ("serve", "work"):
        assert services[name]["depends_on"]["catalogue"]["condition"] == "service_healthy"
        assert services[name]["environment"]["TARMIM_HOST"] == "0.0.0.0"  # noqa: S104  # the container's own
        assert services[name]["read_only"]
    assert "ports" not in services["serve"], "only the proxy is reached from outside"


def test_uvicorn_takes_these_options():
    from uvicorn.main import main

    program, *words = shlex.split(COMPOSE["services"]["serve"]["command"])
    assert program == "uvicorn"
    with main.make_context("uvicorn", words) as context:
        assert context.params["app"] == f"{create_app.__module__}:{create_app.__name__}"
        assert context.params["factory"]
        assert context.params["workers"] == 2


def test_the_proxy_bounds_what_uvicorn_does_not():
    text = re.sub(r"#.*", "", (EXAMPLES / "nginx.conf").read_text(encoding="utf-8"))
    assert text.count("{") == text.count("}") == 3
    assert all(re.search(r"[;{}]\s*$", line) for line in text.splitlines() if line.strip())
    assert "client_header_timeout 10s;" in text
    largest = int(re.search(r"client_max_body_size (\d+)m;", text)[1]) * 2**20
    assert largest >= Settings.model_fields["delivery_bytes"].default + 2**20
    assert "proxy_set_header Host $host;" in text
    assert "$proxy_add_x_forwarded_for" not in text, "what a client says of itself is not passed on"
