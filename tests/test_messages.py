"""Messages: everything that is said exists in Arabic, with the same values and all six plural forms."""

from __future__ import annotations

import re
from importlib.resources import files
from io import BytesIO
from pathlib import Path

import pytest
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po

from geo.messages import FSI, LANGS, PDI, gettext, message, messages

ROOT = Path(__file__).parents[1]
PACKAGES = ("geo", "maps", "api")
KEYWORDS = {"message": None, "messages": (1, 2), "gettext": None}
PLACEHOLDER = re.compile(r"(?<!\{)\{(\w+)\}(?!\})")


def said():
    """Every literal sentence of the code: where, one form or two."""
    for package in PACKAGES:
        found = extract_from_dir(str(ROOT / package), method_map=[("**.py", "python")], keywords=KEYWORDS)
        for name, line, text, _, _ in found:
            if text and text != ("", ""):
                yield f"{package}/{name}:{line}", text


def catalogue():
    entries = {}
    for text in files("data").joinpath("locale", "ar").iterdir():
        for entry in read_po(BytesIO(text.read_bytes()), locale="ar"):
            if entry.id:
                entries.setdefault(entry.id if isinstance(entry.id, str) else entry.id[0], []).append((text.name, entry))
    return entries


SAID, ARABIC = list(said()), catalogue()


def test_sentences_are_found():
    assert len(SAID) > 200


def test_every_sentence_has_its_arabic():
    missing = [(where, text) for where, text in SAID if (text if isinstance(text, str) else text[0]) not in ARABIC]
    assert missing == []


def test_every_arabic_sentence_is_written_and_none_is_doubtful():
    for entries in ARABIC.values():
        for name, entry in entries:
            forms = [entry.string] if isinstance(entry.string, str) else entry.string
            assert all(forms), f"{name}: {entry.id}"
            assert not entry.fuzzy, f"{name}: {entry.id}"


def test_sentences_that_count_have_six_forms():
    counting = {text for _, text in SAID if not isinstance(text, str)}
    assert counting
    for one, many in counting:
        for name, entry in ARABIC[one]:
            assert entry.id == (one, many), f"{name}: {one}"
            assert len(set(entry.string)) >= 4, f"{name}: {one}: too few of the six forms differ"
            assert len(entry.string) == 6


def test_arabic_has_the_values_of_the_english():
    """A form for one or two may leave the number out: the word says it."""
    for entries in ARABIC.values():
        for name, entry in entries:
            several = not isinstance(entry.id, str)
            wanted = set(PLACEHOLDER.findall(entry.id[1] if several else entry.id))
            for number, form in enumerate(entry.string if several else [entry.string]):
                given = set(PLACEHOLDER.findall(form))
                free = {"n"} if several and number < 3 else set()
                assert given | free >= wanted, f"{name}: {entry.id}"
                assert given <= wanted, f"{name}: {entry.id}"


def test_one_english_sentence_has_one_arabic():
    """Two catalogues that translate a sentence differently would contradict each other by the order of their names."""
    differing = {
        text: {str(entry.string) for _, entry in entries}
        for text, entries in ARABIC.items()
        if len({str(entry.string) for _, entry in entries}) > 1
    }
    assert differing == {}


@pytest.mark.parametrize(("n", "form"), [(0, 0), (1, 1), (2, 2), (3, 3), (10, 3), (11, 4), (99, 4), (100, 5), (102, 5), (103, 3)])
def test_plural_rule(n, form):
    """Arabic: none, one, two, few (3 to 10), many (11 to 99), other; by the last two digits."""
    one, many = "{n} other neighbourhood has exactly the same score.", "{n} other neighbourhoods have exactly the same score."
    forms = ARABIC[one][0][1].string
    shown = messages(one, many, n).render("ar")
    assert shown == forms[form].format(n=f"{n:,}")


def test_values_are_isolated_in_arabic_alone():
    sentence = message("{path} holds no row.", path="roads.csv")
    assert sentence.render("en") == "roads.csv holds no row."
    assert f"{FSI}roads.csv{PDI}" in sentence.render("ar")


def test_values_are_never_read_as_sentences():
    """Braces in a name stay braces."""
    for lang in LANGS:
        assert "{0.__class__} {x}" in message("{path} holds no row.", path="{0.__class__} {x}").render(lang)


def test_nested_sentences_lists_and_numbers():
    inner = message("not surveyed")
    assert message("{label} ({reason})", label={"ar": "ماء", "en": "Water"}, reason=inner).render("en") == "Water (not surveyed)"
    assert gettext("Unknown here: {unknown}.", "ar", unknown=["أ", "ب"]).count("،") == 1
    assert message("{n} rows", n=2260).render("en") == "2,260 rows"


def test_empty_sentence_is_empty():
    """Gettext answers the empty key with the header of the catalogue."""
    assert [message("").render(lang) for lang in LANGS] == ["", ""]


def test_sentence_without_arabic_is_shown_in_english():
    assert gettext("A sentence that no catalogue holds.", "ar") == "A sentence that no catalogue holds."
