"""Faults: kill, full disk, power cut. The short forms run always, the long ones with TARMIM_FAULTS=long."""

from __future__ import annotations

import os

import pytest

DONE: list[str] = []  # what was done to the store, a line a test


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "faults: long form of a test with kills, full disks or power cuts; TARMIM_FAULTS=long")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if os.environ.get("TARMIM_FAULTS") == "long":
        return
    long = [item for item in items if item.get_closest_marker("faults")]
    if long:
        config.hook.pytest_deselected(items=long)
        items[:] = [item for item in items if item not in long]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if DONE and os.environ.get("TARMIM_FAULTS") == "long":
        terminalreporter.section("what was done to the store")
        for line in DONE:
            terminalreporter.write_line(line)
