"""Faults: kill, full disk, power cut. The short forms run always, the long ones with TARMIM_FAULTS=long."""

from __future__ import annotations

import os

import pytest


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "faults: long form of a test with kills, full disks or power cuts; TARMIM_FAULTS=long")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if os.environ.get("TARMIM_FAULTS") == "long":
        return
    long = [item for item in items if item.get_closest_marker("faults")]
    if long:
        config.hook.pytest_deselected(items=long)
        items[:] = [item for item in items if item not in long]
