"""Stakeholder groups: their judgements read, weighed and combined on paper; everything wrong with them said at once."""

from __future__ import annotations

import numpy as np
import pytest

from geo.errors import SchemeError
from geo.groups import ratio
from geo.pipeline import check
from geo.scheme import read_scheme
from geo.scoring import cautions

HEAD = '[scheme]\nname = { ar = "مخطط", en = "Scheme" }\n'
CRITERIA = (("people", "basic_services"), ("damage_index", "ideal_neighbourhood"), ("road_debris_share", "basic_services"))


def criteria(*pairs, more=""):
    return "".join(
        f'[[criteria]]\nmeasure = "{measure}"\naxis = "{axis}"\ndirection = "more"\ngoalposts = [0, 10]\n'
        f'reason = {{ ar = "سبب", en = "reason" }}\n{more}\n'
        for measure, axis in pairs
    )


def group(ident, judgement, more=""):
    return f'[groups.{ident}]\nname = {{ ar = "فئة", en = "{ident.title()}" }}\n{more}\n{judgement}\n'


@pytest.fixture
def read(tmp_path):
    def made(text):
        (tmp_path / "own.toml").write_text(text, encoding="utf-8")
        return read_scheme("own.toml", folder=tmp_path)

    return made


@pytest.fixture
def codes(read):
    """Codes of the faults of a scheme file, each said in both languages."""

    def found(text):
        with pytest.raises(SchemeError) as raised:
            read(text)
        assert all(raised.value.render(lang) for lang in ("ar", "en"))
        return [one.code for one in raised.value.findings]

    return found


DIRECT = group("one", "weights = { people = 60, damage_index = 30, road_debris_share = 10 }")
SWING = group("two", "swing = { people = 50, damage_index = 100, road_debris_share = 50 }")
ORDER = group("three", 'order = ["damage_index", "people", "road_debris_share"]')
HIERARCHY = """[groups.{0}.pairwise.axes]
items = ["basic_services", "ideal_neighbourhood"]
rows = [[1, {1}], ["1/{1}", 1]]
[groups.{0}.pairwise.basic_services]
items = ["people", "road_debris_share"]
rows = [[1, 3], [0.33, 1]]
"""


def test_each_way_of_judging(read):
    """Direct .6 .3 .1; swing 50 100 50 of 200; centroid of three: damage 11/18, people 5/18, roads 2/18."""
    scheme = read(HEAD + criteria(*CRITERIA) + DIRECT + SWING + ORDER)
    table = scheme.weighed().table
    assert list(table.index) == [measure for measure, _ in CRITERIA]
    assert table["one"].tolist() == pytest.approx([0.6, 0.3, 0.1])
    assert table["two"].tolist() == pytest.approx([0.25, 0.5, 0.25])
    assert table["three"].tolist() == pytest.approx([5 / 18, 11 / 18, 2 / 18])


def test_combined_is_the_geometric_mean(read):
    """√(.6 × .25) = .3873, √(.3 × .5) = .3873, √(.1 × .25) = .1581; over their sum .9327."""
    scheme = read(HEAD + criteria(*CRITERIA) + DIRECT + SWING)
    assert scheme.weights == "combined"
    assert [one.weight for one in scheme.criteria] == pytest.approx([0.41524, 0.41524, 0.16952], abs=1e-5)


def test_influence_counts(read):
    """Three times the influence is three groups that say the same."""
    once = read(HEAD + criteria(*CRITERIA) + DIRECT + SWING.replace("\n\nswing", "\ninfluence = 3\nswing"))
    again = read(HEAD + criteria(*CRITERIA) + DIRECT + "".join(SWING.replace("two", f"two{n}") for n in range(3)))
    assert once.groups["two"].influence == 3
    assert [one.weight for one in once.criteria] == pytest.approx([one.weight for one in again.criteria])


def test_axes_then_criteria_within(read):
    """Services twice the neighbourhood: 2/3 and 1/3; within services people 3 : 1 (0.33 is taken for the other side of 3)."""
    scheme = read(HEAD + criteria(*CRITERIA) + group("one", "") + HIERARCHY.format("one", 2))
    assert [one.weight for one in scheme.criteria] == pytest.approx([2 / 3 * 3 / 4, 1 / 3, 2 / 3 * 1 / 4], abs=1e-3)


def test_where_all_compare_pairs_the_judgements_are_combined(read):
    """Axes 2 and 8: √16 = 4, so 4/5 and 1/5; the mean of 2/3 and 8/9 would be another number."""
    both = group("one", "") + HIERARCHY.format("one", 2) + group("two", "") + HIERARCHY.format("two", 8)
    scheme = read(HEAD + criteria(*CRITERIA) + both)
    assert scheme.criteria[1].weight == pytest.approx(1 / 5)


def test_order_of_items_changes_nothing(read):
    turned = HIERARCHY.format("two", 8).replace('["people", "road_debris_share"]\nrows = [[1, 3], [0.33, 1]]', "X")
    turned = turned.replace("X", '["road_debris_share", "people"]\nrows = [[1, 0.33], [3, 1]]')
    both = [group("one", "") + HIERARCHY.format("one", 2) + group("two", "") + two for two in (HIERARCHY.format("two", 8), turned)]
    one, other = (read(HEAD + criteria(*CRITERIA) + text) for text in both)
    assert [c.weight for c in one.criteria] == pytest.approx([c.weight for c in other.criteria])


def test_direct_weights_stay_where_they_are_given(read):
    scheme = read(HEAD + criteria(*CRITERIA, more="weight = 1") + DIRECT)
    assert scheme.weights == "direct"
    assert [one.weight for one in scheme.criteria] == pytest.approx([1 / 3] * 3)
    assert scheme.weighed().table["one"].tolist() == pytest.approx([0.6, 0.3, 0.1]), "the group's own list is still shown"


CONTRADICTING = """pairwise.criteria = { items = ["people", "damage_index", "road_debris_share"], \
rows = [[1, 3, "1/5"], ["1/3", 1, 3], [5, "1/3", 1]] }"""


def test_contradicting_comparisons_warn_and_name_the_pair(read):
    """People 3 × damage, damage 3 × roads, yet roads 5 × people: weights go by the cycle's mean, the pair people–roads is worst."""
    scheme = read(HEAD + criteria(*CRITERIA) + group("one", CONTRADICTING))
    (row,) = scheme.weighed().consistency.to_dict("records")
    assert row["ratio"] > 0.10
    weights = scheme.weighed().table["one"]
    assert row["consistent"] == pytest.approx(weights[row["first"]] / weights[row["second"]])
    gaps = {
        ("people", "damage_index"): abs(np.log(3 * weights["damage_index"] / weights["people"])),
        ("damage_index", "road_debris_share"): abs(np.log(3 * weights["road_debris_share"] / weights["damage_index"])),
        ("people", "road_debris_share"): abs(np.log(weights["road_debris_share"] / weights["people"] / 5)),
    }
    assert (max(gaps.values()) - gaps[row["first"], row["second"]]) == pytest.approx(0, abs=1e-9)
    (found,) = cautions(scheme)
    assert (found.code, found.severity) == ("judgements-inconsistent", "warning")
    assert "Ask the group again" in found.render("en")
    assert "اسأل الفئة ثانية" in found.render("ar")


def test_the_warning_reaches_the_check(town):
    scheme = HEAD + criteria(*CRITERIA) + group("one", CONTRADICTING)
    folder = town()
    (folder / "own.toml").write_text(scheme, encoding="utf-8")
    assert "judgements-inconsistent" in [one.code for one in check(folder, "own.toml")]


def test_everything_that_is_wrong_at_once(codes):
    """Six groups, each wrong in its own way; one report."""
    text = (
        group("one", "weights = { people = 0, damage_index = 30, roads = 10 }")
        + group("two", 'order = ["people", "people", "damage_index"]')
        + group("three", "")
        + group("four", 'weights = { people = 1, damage_index = 1, road_debris_share = 1 }\norder = ["people"]')
        + group("five", 'pairwise.criteria = { items = ["people", "damage_index"], rows = [[1, 3], [3, 1]] }')
        + group("six", 'pairwise.axes = { items = ["basic_services", "ideal_neighbourhood"], rows = [[1, "many"], ["", 1]] }')
    )
    wrong = {
        "one": ["judgement-unknown", "judgement-missing", "group-weight"],
        "two": ["judgement-repeated", "judgement-missing"],
        "three": ["group-judgement"],
        "four": ["group-judgement", "judgement-missing"],
        "five": ["judgement-missing", "judgement-not-reciprocal"],
        "six": ["judgement-not-a-number", "judgement-missing"],
    }
    assert sorted(codes(HEAD + criteria(*CRITERIA) + text)) == sorted(code for each in wrong.values() for code in each)


@pytest.mark.parametrize(
    ("rows", "code"),
    [
        ("[[1, 2, 3], [0.5, 1]]", "judgement-not-square"),
        ("[[1, 2, 3], [0.5, 1, 1], [0.33, 1, 2]]", "judgement-not-reciprocal"),
        ("[[1, -2, 3], [-0.5, 1, 1], [0.33, 1, 1]]", "judgement-not-a-number"),
        ('[[1, "1/0", 3], [0.5, 1, 1], [0.33, 1, 1]]', "judgement-not-a-number"),
        ('[[1, "1e999999999", 3], [0.5, 1, 1], [0.33, 1, 1]]', "judgement-not-a-number"),
        ("[[1, nan, 3], [0.5, 1, 1], [0.33, 1, 1]]", "configuration"),
    ],
)
def test_one_wrong_table(codes, rows, code):
    items = '["people", "damage_index", "road_debris_share"]'
    text = group("one", f"pairwise.criteria = {{ items = {items}, rows = {rows} }}")
    assert set(codes(HEAD + criteria(*CRITERIA) + text)) == {code}


def test_too_many_items_for_one_table(codes):
    """Eleven at once: the random index ends at ten, and nobody compares 55 pairs well."""
    names = ["people", "damage_index", "road_debris_share", "complaints_per_1000", "people_per_km2", "buildings"]
    names += ["equivalent_destroyed", "structures_destroyed", "structures_severe", "structures_moderate", "road_length_m"]
    rows = [[1] * 11] * 11
    text = group("one", f"pairwise.criteria = {{ items = {names}, rows = {rows} }}".replace("'", '"'))
    assert codes(HEAD + criteria(*((name, "basic_services") for name in names)) + text) == ["judgement-too-many"]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (HEAD + 'weights = "combined"\n' + criteria(*CRITERIA), "weights-from"),
        (HEAD + 'weights = "combined"\n' + criteria(*CRITERIA, more="weight = 1") + DIRECT, "weights-from"),
        (HEAD + 'weights = "voted"\n' + criteria(*CRITERIA, more="weight = 1"), "configuration"),
        (HEAD + criteria(*CRITERIA), "configuration"),
        (HEAD + criteria(*CRITERIA) + DIRECT.replace("\n\n", "\ninfluence = 0\n"), "configuration"),
        (HEAD + criteria(*CRITERIA) + DIRECT.replace("[groups.one]", '[groups."One !"]'), "configuration"),
        (HEAD + criteria(*CRITERIA) + "groups = 5\n", "configuration"),
        (HEAD + 'weights = "combined"\ncriteria = 5\n', "configuration"),
        (HEAD + criteria(*CRITERIA, more="weight = 1") + "[options]\nindifference = 0.4\npreference = 0.1\n", "thresholds"),
    ],
)
def test_weights_from_nowhere(codes, text, code):
    assert set(codes(text)) == {code}


def test_participatory_scheme():
    """Five groups of the demo city: each way of judging, no contradictions, weights that sum to 1."""
    scheme = read_scheme("participatory")
    assert {way for one in scheme.groups.values() for way in one.ways()} == {"weights", "swing", "order", "pairwise"}
    weighed = scheme.weighed()
    assert weighed.table.sum().tolist() == pytest.approx([1] * 5)
    assert sum(weighed.combined.values()) == pytest.approx(1)
    assert (weighed.consistency["ratio"] <= 0.10).all()
    assert cautions(scheme) == ()
    assert {one.measure for one in scheme.criteria} == {one.measure for one in read_scheme("default").criteria}
    assert all(one.name.ar != one.name.en for one in scheme.groups.values())


def test_judgements_are_said_as_people_write_them():
    assert [ratio(value) for value in (9.226, 1.0, 0.2, 0.4)] == ["9.2", "1", "1/5", "1/2.5"]
