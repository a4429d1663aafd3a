"""Registers: whatever is a choice is a file, whole, in both languages, with its source."""

from __future__ import annotations

import re
from importlib.resources import files

import pytest

from geo.errors import UnknownNameError
from geo.registers import lookup, names, register, table
from geo.study import LAYERS

DATA = files("data")
REGISTERS = ("layers", "measures", "units", "axes", "sectors", "road_classes", "states", "facility_kinds", "network_sources")


@pytest.mark.parametrize("name", REGISTERS)
def test_registers_are_whole_in_both_languages(name):
    rows = register(name)
    assert rows
    for row in rows.values():
        assert None not in row, "a row with more cells than the head"
        assert None not in row.values(), "a row with fewer"
        for column, value in row.items():
            if column.endswith("_ar"):
                assert re.search("[\u0621-\u064a]|²", value), (column, value)


@pytest.mark.parametrize("name", REGISTERS)
def test_keys_do_not_repeat(name):
    lines = DATA.joinpath(f"{name}.csv").read_text(encoding="utf-8").splitlines()
    rows = [line for line in lines if line and not line.startswith("#")]
    assert len(register(name)) == len(rows) - 1


def test_every_layer_has_a_schema():
    assert set(names("schema")) == set(LAYERS)


def test_states_are_ordered_by_gravity():
    states = register("states")
    rank = {name: int(row["rank"]) for name, row in states.items()}
    assert rank["none"] < rank["slight"] < rank["moderate"] < rank["severe"] < rank["destroyed"]
    assert {name for name, row in states.items() if row["debris"] == "yes"} == {"severe", "destroyed"}


def registered():
    """Every file of the registers, by its path under data/."""
    for kind in ("schema", "schemes", "factors", "sources", "weighting"):
        yield from (f"{kind}/{entry.name}" for entry in DATA.joinpath(kind).iterdir())
    yield from (entry.name for entry in DATA.iterdir() if entry.name.endswith(".csv"))


@pytest.mark.parametrize("path", sorted(registered()))
def test_every_file_says_where_it_is_from(path):
    """At its head, or in a row of data/README.md; factor tables at their own head, since each has another source."""
    head = DATA.joinpath(path).read_text(encoding="utf-8").splitlines()[0]
    readme = DATA.joinpath("README.md").read_text(encoding="utf-8")
    kind, _, _ = path.rpartition("/")
    rows = (f"`{path}`", f"`{kind}/*", f"`{kind}/<")
    assert any(row in readme for row in rows), f"{path} has no row in data/README.md"
    if kind in ("factors", "sources", "schemes"):
        assert head.startswith("# "), path
    if kind == "factors":
        assert "Source: " in head
        assert "Licence" in DATA.joinpath(path).read_text(encoding="utf-8")


def test_name_is_never_a_path():
    for name in ("../measures", "tarmim.csv", "/etc/passwd", "", ".", "Tarmim"):
        with pytest.raises(UnknownNameError, match="Known: destroyed-1-other-04"):
            lookup("factors", name)


def test_lines_with_a_hash_are_no_rows():
    assert table("factors", "tarmim")[0] == {"state": "none", "low": "0", "best": "0", "high": "0.02"}
