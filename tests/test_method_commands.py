"""The commands `methods` and `groups`, as a person uses them, in both languages."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TARMIM = Path(sys.executable).with_name("tarmim")


def tarmim(*words):
    return subprocess.run([TARMIM, *map(str, words)], cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("lang", "words"), [("en", ["Weighted geometric mean", "Where the methods differ most"]), ("ar", ["الوسط الهندسي الموزون"])]
)
def test_methods(lang, words):
    done = tarmim("methods", "data/demo", "--top", "3", "--lang", lang)
    assert done.returncode == 0, done.stderr
    assert all(word in done.stdout for word in words)
    assert len(re.findall(r"DEMO-\d\d", done.stdout)) == 3
    assert done.stdout.count("1.00") >= 11, "each method agrees with itself"
    assert "{" not in done.stdout
    assert "nan" not in done.stdout


@pytest.mark.parametrize(
    ("lang", "words"), [("en", ["Women's and youth groups", "W = 0.9"]), ("ar", ["مجموعات النساء والشباب", "أكثر ما تختلف"])]
)
def test_groups(lang, words):
    done = tarmim("groups", "data/demo", "--scheme", "participatory", "--top", "3", "--lang", lang)
    assert done.returncode == 0, done.stderr
    flat = re.sub(r"\s+", " ", done.stdout.replace("│", " "))
    assert all(word in flat for word in words)
    assert "{" not in done.stdout


def test_groups_of_a_scheme_without_groups():
    done = tarmim("groups", "data/demo")
    assert done.returncode == 1
    assert "no stakeholder groups" in done.stderr
    assert "Traceback" not in done.stderr


def test_contradicting_group_is_shown_with_its_pair(tmp_path):
    from geo.study import copy_demo

    copy_demo(tmp_path)
    scheme = (ROOT / "data" / "schemes" / "participatory.toml").read_text(encoding="utf-8")
    wrong = scheme.replace('rows = [[1, 1, 3, 4], [1, 1, 3, 4], ["1/3", "1/3", 1, 2], ["1/4", "1/4", "1/2", 1]]',
                           'rows = [[1, 1, 3, "1/4"], [1, 1, 3, 4], ["1/3", "1/3", 1, 2], [4, "1/4", "1/2", 1]]')  # fmt: skip
    assert wrong != scheme
    (tmp_path / "own.toml").write_text(wrong, encoding="utf-8")
    done = tarmim("groups", tmp_path, "--scheme", "own.toml")
    assert done.returncode == 0, done.stderr
    assert "The comparisons of group 'Residents' (table All axes) contradict each other" in done.stdout
    assert "it said 1/4" in done.stdout
