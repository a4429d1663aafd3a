"""Letters out of bytes: which encoding a DBF or CSV is in, and text that was read wrongly before it came here.

Strict UTF-8 goes first, because Arabic in an old code page is practically never valid UTF-8. Then what the file declares, then the
Arabic code pages; each reading is judged by its words: a word is Arabic, or Latin, or a mixture that nobody writes, and an
Arabic one is worth the frequency of its letters, with a premium for known place names. A column with enough letters decides for
itself, since files are put together from several sources.
Known bias: tuned to Arabic beside English and French. A column of a few rare letters follows the rest of its file, and a declared
Asian or Cyrillic code page is believed when it decodes.
"""

from __future__ import annotations

import codecs
import math
import re
import tomllib
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.resources import files

ARABIC_PAGES = ("cp1256", "cp720", "iso8859_6")
RARE, MIXED, SIGN, STRANGE = -7.5, -9.0, -6.0, -12.0  # logarithms: rare letter, mixed word, odd sign, no sign at all
ORDINARY = frozenset("،؛؟«»‹›“”‘’„…–—·•°²³№€٪٫٬ـ\u00a0\u200c\u200d\u200e\u200f×")
TELLING = 4000  # values that are enough to judge by
CLEARLY = 2.0  # by so much a letter must another reading be better than the declared one
WORDS = re.compile(r"[^\W\d_]+")
LOST = re.compile(r"\?{3,}|\N{REPLACEMENT CHARACTER}")
# LDID of a DBF header: the code page it stands for
LDIDS = {
    0x01: "cp437", 0x02: "cp850", 0x03: "cp1252", 0x4D: "gbk", 0x4E: "cp949", 0x4F: "cp950", 0x57: "cp1252", 0x58: "cp1252",
    0x59: "cp1252", 0x64: "cp852", 0x65: "cp866", 0x6B: "cp857", 0x7A: "gbk", 0x7B: "cp932", 0x7D: "cp1255", 0x7E: "cp1256",
    0xC8: "cp1250", 0xC9: "cp1251", 0xCA: "cp1254", 0xCB: "cp1253",
}  # fmt: skip


@lru_cache(maxsize=1)
def _arabic() -> tuple[dict[str, float], frozenset[str]]:
    """Logarithm of the share of each Arabic letter; words that settle the matter."""
    table = tomllib.loads(files("data").joinpath("limits.toml").read_text(encoding="utf-8"))["arabic"]
    total = sum(table["frequency"].values())
    return {letter: math.log(share / total) for letter, share in table["frequency"].items()}, frozenset(table["words"])


def likeness(text: str) -> tuple[float, int]:
    """How much a text reads like what people write, and on how many letters that rests; only words with non-Latin letters count.

    >>> likeness("عريمة")[0] > likeness("ÚÑíãÉ")[0]
    True
    """
    shares, known = _arabic()
    total, letters = 0.0, 0
    for word in WORDS.findall(text):
        if word.isascii():
            continue
        letters += sum(not letter.isascii() for letter in word)
        total += _word(word, shares, known)
    for letter in text:
        if letter.isascii() or letter.isalnum() or letter in ORDINARY or unicodedata.combining(letter):
            continue
        letters += 1
        total += SIGN if letter.isprintable() and not 0x2500 <= ord(letter) <= 0x25FF else STRANGE
    return total, letters


def _word(word: str, shares: dict[str, float], known: frozenset[str]) -> float:
    """The sum over the non-ASCII letters of a word."""
    foreign = [letter for letter in word if not letter.isascii()]
    arabic = sum("\u0600" <= letter <= "\u06ff" for letter in word)
    if arabic and arabic < len(word):
        return MIXED * len(foreign)
    if arabic:
        worth = sum(shares.get(letter, RARE) for letter in word)
        inner = sum(letter in "ةى" for letter in word[:-1])
        prefixed = word.startswith(("ال", "وال", "بال")) and len(word) > 3
        return worth - 3.0 * inner + 3.0 * prefixed + (4.0 * len(word) if word in known else 0.0)
    # Latin, Greek, Cyrillic, Chinese: a word of letters that stand in no order of cases is what a wrong page looks like
    orderly = word.islower() or word.isupper() or word.istitle() or not any(letter.lower() != letter.upper() for letter in word)
    accents = sum(letter.isalpha() and letter < "\u0250" for letter in foreign)
    if not orderly or accents > max(2, len(word) / 2):
        return MIXED * len(foreign)
    return -3.2 * len(foreign)


def codec_of(declared: str | int | None) -> str | None:
    """The codec of a `.cpg` text or an LDID; None where it names none.

    >>> codec_of("ANSI 1256"), codec_of("UTF-8"), codec_of(0x57), codec_of("88596")
    ('cp1256', 'utf-8', 'cp1252', 'iso8859-6')
    """
    if declared is None or isinstance(declared, int):
        return LDIDS.get(declared or 0)
    text = declared.strip().strip("\ufeff").lower()
    number = re.search(r"(8859)\D?(\d{1,2})|(\d{3,5})", text)
    for name in (
        text,
        f"iso8859-{number[2]}" if number and number[1] else None,
        f"cp{number[3]}" if number and number[3] else None,
    ):
        try:
            found = codecs.lookup(name) if name and name.isascii() and len(name) < 40 else None
        except (LookupError, ValueError):
            continue
        if found is not None and getattr(found, "_is_text_encoding", True) and found.name not in ("idna", "punycode", "undefined"):
            return found.name
    return None


@dataclass
class Vote:
    """The encoding chosen for some bytes; `sure` is how many non-Latin letters it rests on."""

    encoding: str
    sure: int = 0


def vote(values: Iterable[bytes], declared: str | None = None, *, fallback: str | None = None) -> Vote:
    """The encoding in which these values read best.

    Parameters
    ----------
    declared
        A codec name (`codec_of`); believed unless an Arabic page reads clearly better.
    fallback
        What the rest of the file is in, for values that don't decide.
    """
    telling = sorted({value for value in values if not value.isascii()})[:TELLING]
    if not telling:
        return Vote(fallback or "utf-8")
    whole = sum(_is_utf8(value) for value in telling)
    if whole >= max(1, 0.9 * len(telling)):
        return Vote("utf-8", sum(len(value) for value in telling))
    first = [name for name in (declared, fallback) if name and name not in ("utf-8", "ascii")]
    readings = {name: reading for name in (*first, *ARABIC_PAGES, "cp1252", "latin-1") if (reading := _read(telling, name))}
    scores = {name: score / max(1, letters) for name, (score, letters) in readings.items()}
    best = max(scores, key=lambda name: scores[name])
    for name in first:
        if name in scores and scores[best] - scores[name] < CLEARLY:
            best = name
            break
    return Vote(best, readings[best][1])


def _read(values: Sequence[bytes], name: str) -> tuple[float, int] | None:
    """The likeness of values in an encoding; None where more than one in twenty can't be decoded."""
    decoded, failed = [], 0
    for value in values:
        try:
            decoded.append(value.decode(name))
        except (UnicodeError, LookupError):
            failed += 1
    if failed > len(values) / 20:
        return None
    return likeness("\n".join(decoded))


def _is_utf8(value: bytes) -> bool:
    """Valid UTF-8, or valid but for a letter cut at the end of a full field."""
    return _cut_utf8(value) is not None


def _cut_utf8(value: bytes) -> str | None:
    """The text of UTF-8 bytes, without a letter that is cut at the end; None where it is no UTF-8."""
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError as error:
        if error.reason == "unexpected end of data" and error.start > 0 and len(value) - error.start < 4:
            return value[: error.start].decode("utf-8")
        return None


@dataclass
class Column:
    """A text column: the values, the encoding, and the 0-based rows where a letter was cut, lost, unreadable or repaired."""

    values: list[str | None]
    encoding: str
    cut: list[int] = field(default_factory=list)
    unreadable: list[int] = field(default_factory=list)
    repaired: list[int] = field(default_factory=list)
    lost: list[int] = field(default_factory=list)


def decode_column(values: Sequence[bytes | None], encoding: str) -> Column:
    """Every value as text; what the encoding can't read is shown with replacement characters and listed."""
    column = Column([], encoding)
    for row, value in enumerate(values):
        if value is None or value.isascii():
            column.values.append(None if value is None else value.decode("ascii"))
            continue
        text = _cut_utf8(value) if encoding == "utf-8" else None
        if text is not None and len(text.encode()) < len(value):
            column.cut.append(row)
        if text is None:
            try:
                text = value.decode(encoding)
            except (UnicodeError, LookupError):
                text = value.decode(encoding, errors="replace")
                column.unreadable.append(row)
        column.values.append(text)
    return column


def decode_columns(table: dict[str, list[bytes | None]], declared: str | None) -> dict[str, Column]:
    """All text columns of a file: each decides for itself where it has the letters to, the others follow the whole."""
    sure = _sure_letters()
    votes = {name: vote((value for value in values if value), declared) for name, values in table.items()}
    deciding = [one for one in votes.values() if one.sure >= sure] or [one for one in votes.values() if one.sure]
    weight = {one.encoding: sum(other.sure for other in deciding if other.encoding == one.encoding) for one in deciding}
    whole = max(weight, key=lambda name: weight[name], default="utf-8")
    columns = {}
    for name, values in table.items():
        chosen = votes[name]
        if chosen.sure < sure and chosen.encoding != "utf-8":
            readable = _read([value for value in values if value], whole) is not None
            chosen = Vote(whole, chosen.sure) if readable else chosen
        columns[name] = repaired(decode_column(values, chosen.encoding))
    return columns


def _sure_letters() -> int:
    table = tomllib.loads(files("data").joinpath("limits.toml").read_text(encoding="utf-8"))["text"]
    return int(table["sure_letters"])


# What went wrong before the file came here: bytes of the second read as the first
MISREAD = (
    ("cp1252", "utf-8"),
    ("latin-1", "utf-8"),
    ("cp1256", "utf-8"),
    ("cp1252", "cp1256"),
    ("latin-1", "cp1256"),
    ("cp437", "cp720"),
)


def repaired(column: Column) -> Column:
    """The column with text that was read in a wrong encoding before put right, where that can be undone; else listed as lost.

    >>> repaired(Column(["ÚÑíãÉ", "ÍáÈ", "A"], "utf-8")).values
    ['عريمة', 'حلب', 'A']
    """
    known = set(column.unreadable)
    different = {value for value in column.values if value}
    gone = {value for value in different if LOST.search(value)}
    column.lost = [row for row, value in enumerate(column.values) if value in gone and row not in known] if gone else []
    telling = sorted(value for value in different if not value.isascii())
    for wrong, right in MISREAD if telling else ():
        if _was_misread(telling[:TELLING], wrong, right):
            undone = {value: text for value in telling if (text := _undone(value, wrong, right)) is not None}
            column.repaired = [row for row, value in enumerate(column.values) if value in undone]
            column.values = [undone.get(value, value) if value else value for value in column.values]
            break
    return column


def _was_misread(values: Sequence[str], wrong: str, right: str) -> bool:
    """Whether nearly all values can be undone so, become Arabic, and read clearly better than before."""
    undone = {value: text for value in values if (text := _undone(value, wrong, right)) is not None}
    if len(undone) < 0.8 * len(values):
        return False
    before, letters_before = likeness("\n".join(undone))
    after, letters = likeness("\n".join(undone.values()))
    arabic = sum("\u0600" <= letter <= "\u06ff" for text in undone.values() for letter in text)
    return letters > 0 and arabic >= 0.9 * letters and after / letters > before / max(1, letters_before) + CLEARLY


def _undone(value: str, wrong: str, right: str) -> str | None:
    """The text whose bytes in `right` were read as `wrong`; None where that can't have been."""
    try:
        raw = b"".join(_byte(letter, wrong) for letter in value)
        text = raw.decode(right)
    except (UnicodeError, ValueError):
        return None
    return text if text != value and any(not letter.isascii() for letter in text) else None


def _byte(letter: str, page: str) -> bytes:
    """A letter as the byte it was made from; pages leave gaps that programs fill with control characters."""
    try:
        return letter.encode(page)
    except UnicodeEncodeError:
        if 0x80 <= ord(letter) <= 0x9F:
            return bytes([ord(letter)])
        raise


def decode_name(raw: bytes) -> str:
    """The name of a file out of an archive that does not say its encoding, in NFC.

    >>> [decode_name(raw) for raw in ("أحياء.shp".encode("cp1256"), "أحياء.shp".encode(), "café.shp".encode("cp437"))]
    ['أحياء.shp', 'أحياء.shp', 'café.shp']
    """
    if raw.isascii():
        return raw.decode("ascii")
    try:
        return unicodedata.normalize("NFC", raw.decode("utf-8"))
    except UnicodeDecodeError:
        return unicodedata.normalize("NFC", raw.decode(vote([raw], "cp437").encoding, errors="replace"))
