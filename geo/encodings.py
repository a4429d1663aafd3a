"""Letters out of bytes: which encoding a DBF or CSV is in, text that was read wrongly before it came here, and the rows of both.

Strict UTF-8 goes first, because Arabic in an old code page is practically never valid UTF-8. Then what the file declares, then the
Arabic code pages; each reading is judged by its words: a word is Arabic, or Latin, or a mixture that nobody writes, and an
Arabic one is worth the frequency of its letters, with a premium for known place names. A column with enough letters decides for
itself, since files are put together from several sources.
Known bias: tuned to Arabic beside English and French. A column of a few rare letters follows the rest of its file, and a declared
Asian or Cyrillic code page is believed when it decodes.
"""

from __future__ import annotations

import codecs
import csv
import io
import math
import re
import struct
import tomllib
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.resources import files
from typing import Any

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


# ---------------------------------------------------------------------------------------------------------------------- DBF
@dataclass(frozen=True)
class Dbf:
    """The records of a DBF. `said` is the number in its header, `rows` what is there; `deleted` are 0-based.

    Attributes
    ----------
    columns
        By name: numbers, booleans and dates as Python values (dates as ISO text), text as Column.
    unread
        Columns whose content stands in another file (memo) or in a form not known.
    """

    said: int
    rows: int
    deleted: list[int]
    columns: dict[str, list[Any] | Column]
    unread: list[str]
    bad_flags: list[int]
    declared: str | None


def read_dbf(raw: bytes, declared: str | None, *, most_columns: int, shapes: int | None = None) -> Dbf:
    """All records of a DBF by our own count, deleted ones included; `shapes` is the number of shapes beside it.

    Raises
    ------
    ValueError
        It is no DBF: too short, a record of no length, more columns than allowed (the message says how many).
    """
    if len(raw) < 32:
        raise ValueError("the table (.dbf) is shorter than its header")
    said, start, length = struct.unpack("<IHH", raw[4:12])
    fields = _dbf_fields(raw[32 : max(start, 32)], most_columns)
    if length < 1 or start < 33 or not fields:
        raise ValueError("the table (.dbf) says that its records have no length")
    there = max(0, len(raw) - start) // length
    rows = min(said, there)
    while rows < there and shapes is not None and rows < shapes and raw[start + rows * length] in b" *":
        rows += 1  # records that the header forgot, where there are shapes for them
    flags = [raw[start + row * length] for row in range(rows)]
    columns: dict[str, list[Any] | Column] = {}
    texts: dict[str, list[bytes | None]] = {}
    unread = []
    at = 1
    for name, kind, width, decimals in _named(fields, declared or codec_of(raw[29])):
        cells = [raw[start + row * length + at : start + row * length + min(at + width, length)] for row in range(rows)]
        at += width
        if kind in "C":
            texts[name] = [_text(cell) for cell in cells]
            columns[name] = []
        elif kind in CELLS or (kind == "B" and width == 8):
            columns[name] = CELLS.get(kind, _double)(cells, decimals)
        else:
            unread.append(name)
            columns[name] = [None] * rows
    declared = declared or codec_of(raw[29])
    columns.update(decode_columns(texts, declared))
    deleted = [row for row, flag in enumerate(flags) if flag == 0x2A]
    return Dbf(said, rows, deleted, columns, unread, [row for row, flag in enumerate(flags) if flag not in b" *"], declared)


def _dbf_fields(raw: bytes, most: int) -> list[tuple[bytes, str, int, int]]:
    fields = []
    for start in range(0, len(raw) - 31, 32):
        one = raw[start : start + 32]
        if one[0] in (0x0D, 0x00):
            break
        kind, width, decimals = chr(one[11]).upper(), one[16], one[17]
        if kind == "C":  # a long text keeps the high byte of its width in the place of the decimals
            width += decimals << 8
        fields.append((one[:11].split(b"\0")[0], kind, width, decimals))
        if len(fields) > most:
            raise ValueError(f"more than {most} columns")
    return fields


def _named(fields: Sequence[tuple[bytes, str, int, int]], declared: str | None) -> list[tuple[str, str, int, int]]:
    """Fields with their names as text, each once."""
    encoding = vote((raw for raw, *_ in fields), declared).encoding
    names = unique([decode_column([raw], encoding).values[0] or "" for raw, *_ in fields])
    return [(name, *rest) for name, (_, *rest) in zip(names, fields, strict=True)]  # type: ignore[misc]


def unique(names: Sequence[str]) -> list[str]:
    """Names that do not repeat and are never empty.

    >>> unique(["a", "", "a", "a_2"])
    ['a', 'column_2', 'a_3', 'a_2']
    """
    wanted = [name.strip() or f"column_{number}" for number, name in enumerate(names, 1)]
    taken, result = set(wanted), []
    used: set[str] = set()
    for number, name in enumerate(wanted, 1):
        chosen, step = name, number
        while chosen in used or (chosen != name and chosen in taken):
            chosen, step = f"{name}_{step}", step + 1
        used.add(chosen)
        result.append(chosen)
    return result


def _text(cell: bytes) -> bytes | None:
    return cell.split(b"\0")[0].rstrip(b" ") or None


def numbers(texts: Sequence[str | None]) -> list[Any]:
    """Texts of a numeric field as numbers, where not one of them would change: else they stay text.

    Leading zeros, more digits than a number keeps and anything that is no number keep the column as text.

    >>> numbers(["12", None, "7"]), numbers(["007", "12"]), numbers(["12,5", "1.25"]), numbers(["1", "x"])
    ([12, None, 7], ['007', '12'], [12.5, 1.25], ['1', 'x'])
    """
    parsed: list[int | float | None] = []
    for text in texts:
        if text is None:
            parsed.append(None)
            continue
        number = _number(text)
        if number is None:
            return list(texts)
        parsed.append(number)
    if any(isinstance(one, float) for one in parsed):
        if any(isinstance(one, int) and abs(one) >= 2**53 for one in parsed):
            return list(texts)
        return [None if one is None else float(one) for one in parsed]
    return parsed


def _number(text: str) -> int | float | None:
    plain = text.replace(",", ".") if text.count(",") == 1 and "." not in text else text
    if re.fullmatch(r"[+-]?(0|[1-9]\d{0,17})", plain):
        return int(plain)
    if not re.fullmatch(r"[+-]?(\d*\.\d*|\d+)([eE][+-]?\d{1,3})?", plain) or not any(letter.isdigit() for letter in plain):
        return None
    digits = re.sub(r"[eE].*|\D", "", plain).lstrip("0")
    if re.match(r"[+-]?0\d", plain) or (len(digits) > 17 and "." not in plain):
        return None
    value = float(plain)
    return value if math.isfinite(value) else None


def _numeric(cells: Sequence[bytes], _: int) -> list[Any]:
    texts = [cell.split(b"\0")[0].strip(b" \t") for cell in cells]
    known = [None if not text or set(text) <= {0x2A} else text.decode("latin-1") for text in texts]
    return numbers(known)


def _logical(cells: Sequence[bytes], _: int) -> list[Any]:
    known = {b"T": True, b"t": True, b"Y": True, b"y": True, b"F": False, b"f": False, b"N": False, b"n": False}
    return [known.get(cell[:1]) for cell in cells]


def _date(cells: Sequence[bytes], _: int) -> list[Any]:
    """Dates as ISO text; what is no date stays as it is."""
    texts = [cell.split(b"\0")[0].strip(b" ").decode("latin-1") for cell in cells]
    parts = [re.fullmatch(r"(\d{4})(\d{2})(\d{2})", text) for text in texts]
    return [
        None if not text.strip("0") else "-".join(one.groups()) if one else text for text, one in zip(texts, parts, strict=True)
    ]


def _unpacked(form: str, scale: float | None = None) -> Callable[[Sequence[bytes], int], list[Any]]:
    def read(cells: Sequence[bytes], _: int) -> list[Any]:
        size = struct.calcsize(form)
        values = [struct.unpack(form, cell[:size])[0] if len(cell) >= size else None for cell in cells]
        return [None if one is None or not math.isfinite(one) else one if scale is None else one * scale for one in values]

    return read


_double = _unpacked("<d")
CELLS: dict[str, Callable[[Sequence[bytes], int], list[Any]]] = {
    "N": _numeric,
    "F": _numeric,
    "L": _logical,
    "D": _date,
    "I": _unpacked("<i"),
    "+": _unpacked(">i"),
    "O": _double,
    "Y": _unpacked("<q", 1e-4),
}


# ---------------------------------------------------------------------------------------------------------------- text tables
@dataclass
class TextTable:
    """The rows of a CSV by our own count of lines.

    Attributes
    ----------
    columns
        By name, one value a row that could be read.
    rows
        1-based number of each of those rows.
    aside
        Number and text of each line that could not be read as a row, with the reason.
    said
        Rows with fewer cells than the header; hashtags of HXL; lines before the header; whether the header looks like data.
    """

    columns: dict[str, Column]
    rows: list[int]
    aside: list[tuple[int, str, str]]
    short: list[int]
    hashtags: dict[str, str]
    skipped: int
    delimiter: str
    doubtful_header: bool


class TooMuchError(ValueError):
    """More than a limit allows: what, how many, and the limit."""

    def __init__(self, what: str, found: int, limit: int) -> None:
        super().__init__(what, found, limit)
        self.what, self.found, self.limit = what, found, limit


def read_text_table(
    raw: bytes,
    rules: Mapping[str, Any],
    text_rules: Mapping[str, Any],
    *,
    declared: str | None = None,
    header: Sequence[str] | None = None,
) -> TextTable:
    """The rows of a CSV with any of the delimiters `, ; tab |`, in any encoding, with quotes that may never be closed.

    Raises
    ------
    TooMuchError
        A cell, the columns or the rows are beyond the limits.
    ValueError
        It is no text.
    """
    text, undecided = _as_text(raw)
    if "\0" in text:
        raise ValueError("it holds zero bytes and is no text")
    lines = re.split("\r\n|\r|\n", text)  # not splitlines: that also splits at marks which are letters in old code pages
    delimiter = _delimiter(lines[: text_rules["header_rows"]])
    csv.field_size_limit(rules["cell_characters"])
    records, broken = _records(lines, delimiter, rules, text_rules["quoted_lines"])
    names, tags, first, skipped = _head(records, header, text_rules["header_rows"])
    if len(names) > rules["columns"]:
        raise TooMuchError("columns", len(names), rules["columns"])
    doubtful = header is None and sum(_number(name.strip()) is not None for name in names) * 2 >= max(2, len(names))
    return _table(records[first:], broken, names, tags, skipped, delimiter, doubtful, declared if undecided else "utf-8", undecided)


def _as_text(raw: bytes) -> tuple[str, bool]:
    """The text, and whether its letters are still undecided: then each stands for one byte."""
    for mark, name in ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16")):
        if raw.startswith(mark):
            try:
                return raw.decode(name).lstrip("\ufeff"), False
            except UnicodeDecodeError:
                if name == "utf-16":
                    raise ValueError("it says it is UTF-16 and is not") from None
                raw = raw[len(mark) :]
    try:
        return raw.decode("utf-8"), False
    except UnicodeDecodeError:
        return raw.decode("latin-1"), True


def _delimiter(lines: Sequence[str]) -> str:
    """The mark that splits the first lines most evenly; a comma where nothing does."""
    bare = [re.sub(r'"[^"]*"?', "", line) for line in lines if line.strip()]
    counts = {mark: [line.count(mark) for line in bare] for mark in ",;\t|"}
    return max(
        counts, key=lambda mark: (sum(one == counts[mark][0] > 0 for one in counts[mark]) if bare else 0, sum(counts[mark][:1]))
    )


Record = tuple[int, list[str]]  # line it begins on (0-based), cells


def _records(
    lines: Sequence[str], delimiter: str, rules: Mapping[str, Any], most_lines: int
) -> tuple[list[Record], list[tuple[int, str]]]:
    """Records with the line each begins on, and lines that belong to none because a quote never closes."""
    records: list[Record] = []
    broken: list[tuple[int, str]] = []
    at, cells = 0, 0
    while at < len(lines):
        line = lines[at]
        if not line.strip():
            at += 1
            continue
        if (
            len(line) > rules["cell_characters"]
            and (longest := max(len(cell) for cell in line.split(delimiter))) > rules["cell_characters"]
        ):
            raise TooMuchError("cell", longest, rules["cell_characters"])
        used, record = 1, _cells(line, delimiter)
        while (
            record is None
            and '"' in line
            and used < most_lines
            and at + used < len(lines)
            and len(line) <= rules["cell_characters"]
        ):
            line = f"{line}\n{lines[at + used]}"
            used += 1
            record = _cells(line, delimiter)
        if record is None or (used > 1 and records and len(record) > max(len(one) for _, one in records[:50])):
            loose = _loose(lines[at], delimiter)
            if loose is not None:
                records.append((at, loose))
            else:
                broken.append((at, lines[at]))
            at += 1
            continue
        records.append((at, record))
        cells += len(record)
        at += used
        if len(records) > rules["rows"] + 30:
            raise TooMuchError("rows", len(records), rules["rows"])
        if cells > rules["cells"]:
            raise TooMuchError("cells", cells, rules["cells"])
    return records, broken


def _cells(line: str, delimiter: str) -> list[str] | None:
    """The cells of a record; None where its quotes do not close or a letter follows a closing quote."""
    if '"' not in line:
        return line.split(delimiter)
    try:
        parsed = list(csv.reader(io.StringIO(line, newline=""), delimiter=delimiter, strict=True))
    except csv.Error:
        return None
    return parsed[0] if len(parsed) == 1 else None


def _loose(line: str, delimiter: str) -> list[str] | None:
    """A line with quotes inside cells, as in `5" pipe`; None where a cell begins with a quote that the line does not close."""
    cells = line.split(delimiter)
    return cells if not any(cell.lstrip().startswith('"') for cell in cells) else None


def _head(records: Sequence[Record], header: Sequence[str] | None, within: int) -> tuple[list[str], dict[str, str], int, int]:
    """Names of the columns, HXL tags by name, index of the first record of data, records left out before the names."""
    if header is not None:
        return unique(list(header)), {}, 0, 0
    if not records:
        return [], {}, 0, 0
    for number, (_, cells) in enumerate(records[: within + 1]):
        filled = [cell.strip() for cell in cells if cell.strip()]
        if filled and sum(bool(re.match(r"#[a-zA-Z]", cell)) for cell in filled) * 2 > len(filled) and number:
            names = unique(_padded(records[number - 1][1], len(cells)))
            return (
                names,
                {name: tag.strip() for name, tag in zip(names, cells, strict=False) if tag.strip()},
                number + 1,
                number - 1,
            )
    return unique(records[0][1]), {}, 1, 0


def _padded(cells: list[str], width: int) -> list[str]:
    return cells + [""] * (width - len(cells))


def _table(
    records: Sequence[Record],
    broken: Sequence[tuple[int, str]],
    names: list[str],
    tags: dict[str, str],
    skipped: int,
    delimiter: str,
    doubtful: bool,
    declared: str | None,
    undecided: bool,
) -> TextTable:
    """Rows numbered in the order of their lines, those with too many cells and broken lines aside."""
    kept: list[tuple[int, list[str]]] = []
    aside: list[tuple[int, str, str]] = []
    short = []
    start = records[0][0] if records else 0
    numbered = sorted(
        [(line, cells, "") for line, cells in records] + [(line, [text], "quote-open") for line, text in broken if line >= start]
    )
    for row, (_, cells, reason) in enumerate(numbered, 1):
        spare = [cell for cell in cells[len(names) :] if cell.strip()]
        if reason or spare:
            aside.append((row, delimiter.join(cells), reason or "cells-too-many"))
            continue
        if len(cells) < len(names):
            short.append(row)
        kept.append((row, _padded(cells[: len(names)], len(names))))
    raw = {name: [cells[at] or None for _, cells in kept] for at, name in enumerate(names)}
    if undecided:
        table = unique([_relabelled(name, declared, names) for name in names])
        columns = decode_columns(
            {
                new: [None if one is None else one.encode("latin-1") for one in raw[old]]
                for old, new in zip(names, table, strict=True)
            },
            declared,
        )
        chosen = max(
            (one.encoding for one in columns.values()), key=[one.encoding for one in columns.values()].count, default="utf-8"
        )
        aside = [(row, text.encode("latin-1").decode(chosen, errors="replace"), why) for row, text, why in aside]
    else:
        columns = {name: repaired(Column(list(values), "utf-8")) for name, values in raw.items()}
    return TextTable(columns, [row for row, _ in kept], aside, short, tags, skipped, delimiter, doubtful)


def _relabelled(name: str, declared: str | None, names: Sequence[str]) -> str:
    """A column's name out of its bytes; all names vote together."""
    encoding = vote((one.encode("latin-1", errors="ignore") for one in names), declared).encoding
    return decode_column([name.encode("latin-1", errors="ignore")], encoding).values[0] or name
