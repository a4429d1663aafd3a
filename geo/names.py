"""Names: one name folded by the habits of writing, in Arabic and in Latin letters.

A name is folded by hamza, ta marbuta, article and transliteration (`data/understanding/transliteration.csv`) and split into a
stem and its parts (east, old, 3, camp; `name_words.csv`). Known bias: the rules are those of Levantine names; Latin spellings of
short names fold alike too easily, which is why `geo.places` takes a match by sound only where the name is long enough.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import pandas as pd

from geo import registers

UNDERSTANDING: registers.Kind = "understanding"
DIGITS = str.maketrans("٠١٢٣٤٥٦٧٨٩۰۱۲۳۴۵۶۷۸۹", "01234567890123456789")
ARABIC = re.compile(r"[\u0600-\u06ff\u0750-\u077f\u08a0-\u08ff]")
LATIN = re.compile(r"[A-Za-z\u00c0-\u024f]")
ROMAN = re.compile(r"(?<![A-Za-z])(I{1,3}|IV|VI{0,3}|IX|XI{0,2})(?![A-Za-z])\s*$")
ROMAN_VALUE = {"I": 1, "II": 2, "III": 3, "IV": 4, "V": 5, "VI": 6, "VII": 7, "VIII": 8, "IX": 9, "X": 10, "XI": 11, "XII": 12}


@dataclass(frozen=True)
class Name:
    """A name in one script, folded.

    Attributes
    ----------
    exact, written, heard, skeleton
        The name as it stands; its stem by the habits of writing; by sound (Latin); its consonants alone, in Latin letters.
    parts
        What tells it from other parts of the place: directions, numbers (roman ones apart), age, use.
    telling
        Whether the stem says more than one word for a kind of place ("Bab", "Sheikh").
    """

    script: Literal["arabic", "latin"]
    exact: str
    written: str
    heard: str
    skeleton: str
    parts: frozenset[str]
    telling: bool


def limit(section: str, name: str) -> float:
    """A limit of `data/understanding/limits.toml`.

    >>> limit("places", "short_letters")
    3.0
    """
    return float(registers.tree(UNDERSTANDING, "limits")[section][name])


def clean(text: str) -> str:
    """Unicode NFC, without invisible marks (direction, joiners) and doubled spaces.

    >>> clean(" حي  ‏السكري‎ ")
    'حي السكري'
    """
    seen = "".join(" " if letter.isspace() else letter for letter in text if unicodedata.category(letter) not in ("Cf", "Cc"))
    return unicodedata.normalize("NFC", " ".join(seen.split()))


@lru_cache(maxsize=8)
def _rules(script: str, strength: str) -> tuple[tuple[re.Pattern[str], str], ...]:
    rows = registers.table(UNDERSTANDING, "transliteration")
    chosen = (row for row in rows if (row["script"], row["strength"]) == (script, strength))
    return tuple((re.compile(row["pattern"]), row["replacement"]) for row in chosen)


@lru_cache(maxsize=1)
def _words() -> dict[str, tuple[str, str]]:
    """Role and value of a word, by the word as it stands after folding; spellings beside each other in the file fold alike."""
    rows = registers.table(UNDERSTANDING, "name_words")
    plain = {row["word"]: (row["role"], row["value"]) for row in rows}
    folded = {_applied(row["word"], _script(row["word"]), "writing"): (row["role"], row["value"]) for row in rows}
    return {**folded, **plain}


def _applied(text: str, script: str, strength: str) -> str:
    for pattern, replacement in _rules(script, strength):
        text = pattern.sub(replacement, text)
    return text


def _script(text: str) -> Literal["arabic", "latin"]:
    return "arabic" if len(ARABIC.findall(text)) > len(LATIN.findall(text)) else "latin"


def spelled(text: str) -> str:
    """A text by the habits of writing of its script, without spaces and signs; for comparing the names of columns.

    >>> spelled("درجة الضّرر") == spelled("درجه ضرر")
    True
    """
    exact = clean(text)
    script = _script(exact)
    _, plain = _numbers(exact, script) if script == "latin" else (None, unicodedata.normalize("NFKC", exact).translate(DIGITS))
    return re.sub(r"[\W_]+", "", _applied(plain, script, "writing") if script == "arabic" else plain)


@lru_cache(maxsize=65_536)
def folded(text: str) -> Name:
    """A name in one script, folded by the rules of that script.

    >>> folded("Al-Ansari East").written == folded("Ansari Sharqi").written
    True
    >>> folded("أنصاري شرقي").parts, folded("الأنصاري الغربي").parts
    (frozenset({'east'}), frozenset({'west'}))
    """
    exact = clean(text)
    script = _script(exact)
    parts, plain = _numbers(exact, script)
    words = re.split(r"[\W_]+", _applied(plain, script, "writing"))
    stem, kinds = [], 0
    for word in filter(None, words):
        role, value = _words().get(word, ("", ""))
        if role == "part":
            parts.add(value)
        elif word.isdecimal():
            parts.add(str(int(word)))
        elif role != "drop":
            stem.append(word)
            kinds += role == "kind"
    # a name made of nothing but such words ("Industrial Quarter") keeps them as its parts
    written = "".join(stem)
    heard = _applied(" ".join(stem), script, "sound").replace(" ", "")
    skeleton = _skeleton(_applied(" ".join(stem), script, "letter") if script == "arabic" else written)
    return Name(script, exact, written, heard, skeleton, frozenset(parts), len(stem) > min(kinds, 1))


def _numbers(exact: str, script: str) -> tuple[set[str], str]:
    """A roman number at the end as a part of its own kind, and the rest in lower case without accents."""
    text, parts = unicodedata.normalize("NFKC", exact).translate(DIGITS), set()
    roman = ROMAN.search(text) if script == "latin" else None
    if roman and roman.start():
        parts.add(f"roman {ROMAN_VALUE[roman[1]]}")
        text = text[: roman.start()]
    if script == "latin":
        bare = unicodedata.normalize("NFKD", text.casefold())
        text = "".join(letter for letter in bare if not unicodedata.combining(letter))
    return parts, text


def _skeleton(text: str) -> str:
    consonants = re.sub(r"[^a-z]|[aeiouwy]", "", text.replace("q", "k").replace("p", "b"))
    return re.sub(r"(.)\1+", r"\1", consonants)


def names_in(text: object) -> tuple[Name, ...]:
    """The names of a cell: one, or one a script where Arabic and Latin stand side by side; none where it is empty.

    >>> [one.script for one in names_in("الحمدانية Al-Hamdaniyeh")]
    ['arabic', 'latin']
    """
    if text is None or text is pd.NA or not isinstance(text, str):
        return ()
    whole = clean(text)
    if ARABIC.search(whole) and len(LATIN.findall(whole)) >= limit("places", "short_letters"):
        found = [re.sub(other, " ", whole) for other in (LATIN.pattern, ARABIC.pattern)]
        return tuple(folded(clean(one)) for one in found)
    return (folded(whole),) if ARABIC.search(whole) or LATIN.search(whole) else ()
