"""Every code that a finding can have is explained in data/finding_codes.csv, which the README shows and `tarmim codes` prints.

`python -m tests.test_codes` writes the table of the README anew.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from api.cli import app
from api.names_command import HOW
from geo import pcodes, registers
from geo.left_out import REASONS
from geo.untrusted import ASIDE_REASONS, NOTES

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
BEGIN, END = "<!-- codes of findings -->", "<!-- end of codes -->"
# functions that hand a code on to `finding`, by module; the code is their first argument
HANDED = {
    "archives": {"_refused"}, "crs": {"_finding"}, "groups": {"_fault"}, "pcodes": {"_code_finding"},
    "placement": {"_chosen_by_sender", "_rows"},
}  # fmt: skip
# codes that are put together or looked up: the place, how it says it, and where they all stand
LOOKED_UP = {
    ("archives", "code"): set(), ("crs", "code"): set(), ("placement", "code"): set(), ("pcodes", "code"): set(),
    ("groups", "code"): {"judgement-unknown", "judgement-repeated", "judgement-missing"},
    ("service", "code"): {f"service-{fault}" for fault in ("id", "end", "across", "need", "needs")},
    ("pcodes", "f'pcode-{fault}'"): {f"pcode-{fault}" for fault in pcodes._SAID},
    ("decisions", "f'names-{how}'"): {f"names-{how}" for how in HOW},
    ("dependencies", "f'{end}-astray'"): {"depender-astray", "dependee-astray"},
    ("untrusted", "code"): set(NOTES), ("untrusted", "reason"): set(ASIDE_REASONS), ("left_out", "str(reason)"): set(REASONS),
}  # fmt: skip


def given() -> Iterator[tuple[str, ast.expr, ast.expr]]:
    """Module, code and severity (or whatever stands second) of each call that makes a finding."""
    for package in ("geo", "api", "maps", "data"):
        for path in sorted((ROOT / package).rglob("*.py")):
            makers = {"finding"} | HANDED.get(path.stem, set())
            for call in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id in makers and len(call.args) > 1:
                    yield path.stem, call.args[0], call.args[1]


def constants(node: ast.expr) -> set[str] | None:
    """The texts that an expression can be; None where it says nothing of them."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return {node.value}
    if isinstance(node, ast.IfExp):
        both = [constants(node.body), constants(node.orelse)]
        return None if None in both else set().union(*(one or set() for one in both))
    return None


def codes_of_the_code() -> set[str]:
    found: set[str] = set()
    for module, code, _ in given():
        said = constants(code)
        found |= LOOKED_UP[module, ast.unparse(code)] if said is None else said
    return found


def table() -> str:
    """The README's table, one row a code."""
    rows = [
        f"| `{code}` | {row['severity'].replace('|', ', ')} | {row['meaning_en']} | {row['remedy_en']} |"
        for code, row in codes().items()
    ]
    return "\n".join(["| Code | Severity | Meaning | What to do |", "|---|---|---|---|", *rows])


def codes() -> dict[str, dict[str, str]]:
    return registers.register("finding_codes")


def test_every_code_is_explained_and_every_explained_code_is_given():
    assert set(codes()) == codes_of_the_code()


def test_every_place_that_looks_a_code_up_is_known():
    """A new way to put a code together fails here, before its codes go unexplained."""
    assert {(module, ast.unparse(code)) for module, code, _ in given() if constants(code) is None} == set(LOOKED_UP)


def test_severities_are_those_of_the_code():
    for _, code, second in given():
        severities = constants(second)
        if severities is None or not severities <= {"error", "warning", "info"}:
            continue
        for name in constants(code) or ():
            assert severities <= set(codes()[name]["severity"].split("|")), name
    for name, note in NOTES.items():
        assert note.severity in codes()[name]["severity"].split("|"), name


@pytest.mark.parametrize("lang", ["ar", "en"])
def test_explanations_are_sentences(lang):
    for name, row in codes().items():
        for part in ("meaning", "remedy"):
            text = row[f"{part}_{lang}"]
            assert text.strip() == text, name
            assert text[-1] in ".؟?/}]\"'»" or text.endswith("postgis.") or text[-1].isalnum(), (name, text)
            assert (re.search("[\u0621-\u064a]", text) is not None) == (lang == "ar"), (name, text)
            assert "{" not in text.replace("{ ", ""), (name, text)


def test_readme_shows_the_catalogue():
    text = README.read_text(encoding="utf-8")
    shown = text.partition(BEGIN)[2].partition(END)[0].strip()
    assert shown == table(), "python -m tests.test_codes"


@pytest.mark.parametrize(("lang", "said"), [("en", "Read in the system it declares"), ("ar", "إذا قُرئت الطبقة بنظامها المعلن")])
def test_command(lang, said):
    done = CliRunner().invoke(app, ["codes", "crs-"], obj=lang)
    assert done.exit_code == 0
    assert said in done.output
    assert len(done.output.splitlines()) == sum(code.startswith("crs-") for code in codes())
    assert len(CliRunner().invoke(app, ["codes"], obj=lang).output.splitlines()) == len(codes())


def test_command_of_an_unknown_code():
    refused = CliRunner().invoke(app, ["codes", "nonsense"], obj="en")
    assert refused.exit_code == 1
    assert "'nonsense' is not known" in refused.output


if __name__ == "__main__":
    before, rest = README.read_text(encoding="utf-8").split(BEGIN)
    README.write_text(f"{before}{BEGIN}\n\n{table()}\n\n{END}{rest.partition(END)[2]}", encoding="utf-8")
