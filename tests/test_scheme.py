"""Schemes: registered ones are whole and fixed; a wrong one says everything that is wrong with it."""

from __future__ import annotations

import pytest

from geo.errors import SchemeError, TarmimError, UnknownNameError
from geo.pipeline import check
from geo.registers import names, register
from geo.scheme import read_factors, read_scheme

ONE = """
[[criteria]]
measure = "people"
axis = "basic_services"
weight = 1
direction = "more"
goalposts = [0, 10]
reason = { ar = "سبب", en = "reason" }
"""
HEAD = '[scheme]\nname = { ar = "مخطط", en = "Scheme" }\n'


@pytest.fixture
def faults(tmp_path):
    """Faults of a scheme file, each said in both languages."""

    def found(text):
        (tmp_path / "own.toml").write_text(text, encoding="utf-8")
        with pytest.raises(SchemeError) as raised:
            read_scheme("own.toml", folder=tmp_path)
        assert all(raised.value.render(lang) for lang in ("ar", "en"))
        return raised.value.findings

    return found


@pytest.mark.parametrize("name", names("schemes"))
def test_registered_schemes_are_whole(name):
    scheme = read_scheme(name)
    assert sum(one.weight for one in scheme.criteria) == pytest.approx(1)
    assert {one.axis for one in scheme.criteria} <= set(register("axes"))
    assert {one.measure for one in scheme.criteria} <= set(register("measures"))
    assert all(one.reason.ar != one.reason.en for one in scheme.criteria)


def test_own_scheme_of_the_study(tmp_path):
    (tmp_path / "own.toml").write_text(HEAD + 'id = "other"\n' + ONE.replace("= 1\n", "= 7\n"), encoding="utf-8")
    scheme = read_scheme("own.toml", folder=tmp_path)
    assert scheme.id == "own", "a scheme is called after its file"
    assert scheme.criteria[0].weight == 1
    assert scheme.factors == read_factors("tarmim")


def test_everything_that_is_wrong_at_once(faults):
    bad = ONE.replace('"people"', '"peeple"').replace("[0, 10]", "[10, 0]").replace("basic_services", "basics")
    found = faults(HEAD.replace("]\n", ']\nfactors = "unesco"\n', 1) + (ONE + ONE + bad).replace("weight = 1", "weight = 0"))
    assert sorted(one.code for one in found) == sorted(
        ["unknown-name"] * 3 + ["zero-weights", "goalposts", "repeated-criterion", "repeated-criterion"]
    )


@pytest.mark.parametrize(
    ("text", "entry"),
    [
        (HEAD, "criteria"),
        (HEAD + ONE.replace("weight = 1", "weight = -1"), "criteria.0.weight"),
        (HEAD + ONE.replace("weight = 1", "weight = nan"), "criteria.0.weight"),
        (HEAD + ONE.replace('"more"', '"most"'), "criteria.0.direction"),
        (HEAD + ONE.replace("[0, 10]", "[0]"), "criteria.0.goalposts.1"),
        (HEAD + ONE + "colour = 1", "criteria.0.colour"),
        (HEAD + "\n[optinos]\nfacility_match_m = 5\n" + ONE, "optinos"),
        (HEAD + "\n[options]\ndebris_reach_m = [20, 10, 5]\n" + ONE, "options.debris_reach_m"),
        ("scheme = 5" + ONE, "scheme"),
    ],
)
def test_one_wrong_entry(faults, text, entry):
    found = faults(text)
    assert [one.code for one in found] == ["configuration"]
    assert f"'{entry}'" in found[0].render("en")


@pytest.mark.parametrize("limits", ["[inf, 10]", "[0, inf]", "[nan, 10]", "[3, 3]"])
def test_goalposts_that_measure_nothing(faults, limits):
    assert {one.code for one in faults(HEAD + ONE.replace("[0, 10]", limits))} <= {"goalposts", "configuration"}


def test_reach_that_is_not_ordered_says_what_is_expected(faults):
    found = faults(HEAD + "\n[options]\ndebris_reach_m = [20, 10, 5]\n" + ONE)
    assert "low ≤ best ≤ high" in found[0].render("en")


def test_not_toml(faults):
    assert faults("[scheme")[0].code == "not-toml"


@pytest.mark.parametrize("name", ["defualt", "../default", "../own.toml", "/etc/passwd", "", "default.csv"])
def test_name_that_no_register_holds_lists_the_known_ones(tmp_path, name):
    (tmp_path / "own.toml").write_text(HEAD + ONE, encoding="utf-8")
    (tmp_path / "study").mkdir()
    with pytest.raises(UnknownNameError, match="Known: default, participatory, rapid, services") as raised:
        read_scheme(name, folder=tmp_path / "study")
    assert ("Did you mean 'default'" in str(raised.value)) == (name in ("defualt", "../default", "default.csv"))


def test_faults_of_the_scheme_and_of_a_layer_come_in_one_report(town):
    folder = town(study={"scheme": "own.toml"}, damage="{}")
    (folder / "own.toml").write_text(HEAD + ONE.replace("weight = 1", "weight = 0"), encoding="utf-8")
    assert [(one.where, one.code) for one in check(folder)] == [("own.toml", "zero-weights"), ("damage", "unreadable")]


def test_unknown_factor_table():
    with pytest.raises(TarmimError, match="Known: destroyed-1-other-04"):
        read_factors("unesco")
