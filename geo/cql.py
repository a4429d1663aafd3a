"""Conditions on features: CQL2 text (OGC 21-065r2), as far as tables of a city need it.

    name = 'x'   <> < <= > >=   IS [NOT] NULL   [NOT] LIKE 'ab%'   [NOT] BETWEEN 1 AND 2   [NOT] IN ('a', 'b')
    AND   OR   NOT   ( )   CASEI(name)   DATE('2026-01-31')   TIMESTAMP('2026-01-31T10:00:00Z')
    S_INTERSECTS(geometry, POINT(36.7 34.7))   S_INTERSECTS(geometry, BBOX(36.70, 34.71, 36.73, 34.74))

Conditions are three-valued: what is said of an unknown value is unknown, `NOT` leaves it unknown, and only what is true is found;
so neither `score > 50` nor `NOT score > 50` finds a neighbourhood without a score. A condition is worked out while it is read, on
whole columns. Patterns are matched piece by piece, in a time that grows with the length of text and pattern, not with its powers.
Known bias: no arithmetic, and no other functions of space and time than these.
"""

from __future__ import annotations

import datetime
import operator
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import geopandas as gpd
import numpy as np
import numpy.typing as npt
import pandas as pd
import shapely

from geo.errors import TarmimError, finding
from geo.messages import Message, message

Kind = Literal["text", "number", "date", "truth"]
Ground = Callable[[shapely.Geometry], shapely.Geometry]
LONGEST = 8_000
DEEPEST = 40
GEOMETRY = "geometry"
DAY = 86_400.0
KINDS: dict[Kind, Message] = {
    "text": message("text"),
    "number": message("a number"),
    "date": message("a date"),
    "truth": message("TRUE or FALSE"),
}
COMPARED: dict[str, Callable[[Any, Any], Any]] = {
    "=": operator.eq,
    "<>": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
SHAPES = "POINT|LINESTRING|POLYGON|MULTIPOINT|MULTILINESTRING|MULTIPOLYGON|GEOMETRYCOLLECTION"
TOKEN = re.compile(
    rf"""\s*(?:
    (?P<shape>\b(?:{SHAPES})\s*\()
    |(?P<text>'(?:[^']|'')*')
    |(?P<quoted>"[^"]+")
    |(?P<number>[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d{{1,3}})?)
    |(?P<word>[^\W\d][\w.]*)
    |(?P<sign><>|<=|>=|[=<>(),])
    )""",
    re.VERBOSE | re.IGNORECASE,
)


class ConditionError(TarmimError):
    """A condition that can't be read, or speaks of what the collection does not have."""


@dataclass(frozen=True)
class _Value:
    """A column or a single value, of one kind; dates are days since 1970 as numbers."""

    kind: Kind
    value: Any


@dataclass(frozen=True)
class _Token:
    kind: str
    text: str
    at: int


def select(table: gpd.GeoDataFrame, condition: str, *, ground: Ground = lambda shape: shape) -> npt.NDArray[np.bool_]:
    """Which rows of a table a condition is true for.

    Parameters
    ----------
    table
        Geometry in WGS 84, longitude first.
    ground
        Takes a shape of the condition to WGS 84.

    Raises
    ------
    ConditionError
        It can't be read; names the place, or the known names.

    Examples
    --------
    >>> here = gpd.GeoSeries.from_xy([37.1, 37.2, 37.3], [36.2, 36.2, 36.2])
    >>> table = gpd.GeoDataFrame({"name": ["خالدية", "وعر", "حمرا"], "score": [70.0, None, 20.0]}, geometry=here)
    >>> select(table, "score > 50 OR name LIKE 'حم%'").tolist()
    [True, False, True]
    >>> select(table, "NOT score > 50").tolist()
    [False, False, True]
    >>> select(table, "S_INTERSECTS(geometry, BBOX(37.15, 36, 38, 37))").tolist()
    [False, True, True]
    """
    if len(condition) > LONGEST:
        raise _wrong(condition, LONGEST, message("At most {n} characters.", n=LONGEST))
    reader = _Reader(table, condition, ground)
    found = reader.either()
    reader.end()
    return np.asarray(found.fillna(False).to_numpy(dtype=bool))


def kind_of(column: pd.Series[Any]) -> Kind | None:
    """What a column can be compared with; None for shapes."""
    if pd.api.types.is_bool_dtype(column.dtype):
        return "truth"
    if pd.api.types.is_numeric_dtype(column.dtype):
        return "number"
    if pd.api.types.is_datetime64_any_dtype(column.dtype):
        return "date"
    return "text" if pd.api.types.is_string_dtype(column.dtype) or column.dtype == object else None


def _nullable(column: pd.Series[Any], kind: Kind) -> pd.Series[Any]:
    if kind == "date":
        days = (column.dt.tz_localize(None) - pd.Timestamp(0)) / pd.Timedelta(days=1)
        return pd.Series(days.astype("Float64"))
    if kind == "number":
        return column.astype("Float64")
    return column.astype("boolean") if kind == "truth" else column.astype("string")


def _wrong(condition: str, at: int, expected: Message) -> ConditionError:
    return ConditionError(
        finding(
            "condition",
            "error",
            "filter",
            message("The condition can't be read at place {n}: '{rest}'.", n=at + 1, rest=condition[at : at + 40]),
            expected=expected,
            remedy=message("For example: filter=score >= 50 AND district = 'Centre'"),
        )
    )


class _Reader:
    """Reads a condition from the left; owns the place it is at."""

    def __init__(self, table: gpd.GeoDataFrame, condition: str, ground: Ground) -> None:
        self.table = table
        self.condition = condition
        self.ground = ground
        self.at = 0
        self.depth = 0

    # ------------------------------------------------------------------------------------------------------------- tokens

    def peek(self) -> _Token:
        found = TOKEN.match(self.condition, self.at)
        if found is None:
            rest = self.condition[self.at :]
            if rest.strip():
                raise self.wrong(message("A name, a value or a sign."))
            return _Token("end", "", len(self.condition))
        return _Token(str(found.lastgroup), found[str(found.lastgroup)], found.end())

    def take(self) -> _Token:
        token = self.peek()
        self.at = token.at
        return token

    def is_next(self, *words: str) -> bool:
        """Whether these words or signs come next; then they are passed."""
        before = self.at
        for word in words:
            token = self.take()
            if token.kind not in ("word", "sign") or token.text.upper() != word:
                self.at = before
                return False
        return True

    def need(self, word: str) -> None:
        if not self.is_next(word):
            raise self.wrong(message("'{word}'", word=word))

    def end(self) -> None:
        if self.peek().kind != "end":
            raise self.wrong(message("The end, AND or OR."))

    def wrong(self, expected: Message) -> ConditionError:
        return _wrong(self.condition, self.at, expected)

    # --------------------------------------------------------------------------------------------------------- conditions

    def either(self) -> pd.Series[Any]:
        self.depth += 1
        if self.depth > DEEPEST:
            raise self.wrong(message("Fewer brackets within brackets."))
        found = self.all_of()
        while self.is_next("OR"):
            found = found | self.all_of()
        self.depth -= 1
        return found

    def all_of(self) -> pd.Series[Any]:
        found = self.turned()
        while self.is_next("AND"):
            found = found & self.turned()
        return found

    def turned(self) -> pd.Series[Any]:
        turned = False
        while self.is_next("NOT"):
            turned = not turned
        found = self.single()
        return ~found if turned else found

    def single(self) -> pd.Series[Any]:
        if self.is_next("("):
            found = self.either()
            self.need(")")
            return found
        if self.is_next("S_INTERSECTS", "("):
            return self.touching()
        left = self.value()
        if left.kind == "truth" and self.peek().text.upper() in ("", ")", "AND", "OR"):
            return self.whole(left.value)
        if self.is_next("IS", "NOT", "NULL"):
            return ~self.unknown(left)
        if self.is_next("IS", "NULL"):
            return self.unknown(left)
        turned = self.is_next("NOT")
        found = self.related(left, turned)
        return ~found if turned else found

    def related(self, left: _Value, turned: bool) -> pd.Series[Any]:
        if self.is_next("LIKE"):
            return self.like(left)
        if self.is_next("BETWEEN"):
            low = self.same(left)
            self.need("AND")
            return self.whole(left.value >= low.value) & self.whole(left.value <= self.same(left).value)
        if self.is_next("IN", "("):
            found = self.whole(left.value == self.same(left).value)
            while self.is_next(","):
                found = found | self.whole(left.value == self.same(left).value)
            self.need(")")
            return found
        sign = self.peek().text
        if turned or sign not in COMPARED:
            raise self.wrong(message("Known: {known}.", known=[*COMPARED, "IS NULL", "LIKE", "BETWEEN", "IN"]))
        self.take()
        return self.whole(COMPARED[sign](left.value, self.same(left).value))

    def whole(self, found: Any) -> pd.Series[Any]:
        """An answer for each row, be it the same for all."""
        if not isinstance(found, pd.Series):
            found = pd.Series(bool(found), index=self.table.index)
        answered: pd.Series[Any] = found.astype("boolean")
        return answered

    def unknown(self, of: _Value) -> pd.Series[Any]:
        return self.whole(of.value.isna() if isinstance(of.value, pd.Series) else False)

    def like(self, left: _Value) -> pd.Series[Any]:
        pattern = self.value()
        if left.kind != "text" or pattern.kind != "text" or isinstance(pattern.value, pd.Series):
            raise self.wrong(message("Text, and a pattern in single quotes."))
        fits = _pattern(pattern.value)
        if not isinstance(left.value, pd.Series):
            return self.whole(fits(left.value))
        return self.whole(pd.Series(left.value.map(fits, na_action="ignore"), index=self.table.index))

    def touching(self) -> pd.Series[Any]:
        name = self.take()
        if name.text.strip('"').lower() != GEOMETRY:
            raise self.wrong(message("Known: {known}.", known=[GEOMETRY]))
        self.need(",")
        shape = self.shape()
        self.need(")")
        places = self.table.geometry
        found = np.zeros(len(places), dtype=bool)
        found[self.table.sindex.query(self.ground(shape), predicate="intersects")] = True
        return pd.Series(pd.array(found, dtype="boolean"), index=self.table.index).mask(places.isna())

    def shape(self) -> shapely.Geometry:
        if self.is_next("BBOX", "("):
            sides = [self.number()]
            while self.is_next(","):
                sides.append(self.number())
            self.need(")")
            if len(sides) != 4 or sides[0] > sides[2] or sides[1] > sides[3]:
                raise self.wrong(message("Four numbers: west, south, east, north."))
            return shapely.box(*sides)
        start = self.at
        if self.take().kind != "shape":
            self.at = start
            raise self.wrong(message("A shape such as POINT(36.7 34.7), or BBOX(36.70, 34.71, 36.73, 34.74)."))
        open_brackets = 1
        while open_brackets and self.at < len(self.condition):
            open_brackets += {"(": 1, ")": -1}.get(self.condition[self.at], 0)
            self.at += 1
        try:
            made = shapely.from_wkt(self.condition[start : self.at])
        except shapely.errors.ShapelyError:
            made = None
        if made is None or made.is_empty or not np.isfinite(shapely.get_coordinates(made)).all():
            self.at = start
            raise self.wrong(message("A shape such as POINT(36.7 34.7), or BBOX(36.70, 34.71, 36.73, 34.74)."))
        return made if made.is_valid else shapely.make_valid(made)

    # ------------------------------------------------------------------------------------------------------------- values

    def number(self) -> float:
        token = self.take()
        if token.kind != "number":
            raise self.wrong(message("A number."))
        return float(token.text)

    def same(self, left: _Value) -> _Value:
        """A value of the same kind; text that is a date, where a date is wanted."""
        before = self.at
        found = self.value()
        if left.kind == "date" and found.kind == "text" and isinstance(found.value, str):
            found = self.date(found.value)
        if found.kind != left.kind:
            self.at = before
            raise self.wrong(KINDS[left.kind])
        return found

    def value(self) -> _Value:
        before = self.at
        token = self.take()
        word = token.text.upper()
        if token.kind == "text":
            return _Value("text", token.text[1:-1].replace("''", "'"))
        if token.kind == "number":
            return _Value("number", float(token.text))
        if token.kind == "word" and word in ("TRUE", "FALSE"):
            return _Value("truth", word == "TRUE")
        if token.kind == "word" and self.is_next("("):
            return self.function(word, before)
        if token.kind in ("word", "quoted"):
            return self.column(token.text.strip('"'), before)
        self.at = before
        raise self.wrong(message("A name, a number, or text in single quotes."))

    def function(self, name: str, before: int) -> _Value:
        if name not in ("CASEI", "DATE", "TIMESTAMP"):
            self.at = before
            raise self.wrong(message("Known: {known}.", known=["CASEI", "DATE", "TIMESTAMP", "S_INTERSECTS"]))
        inner = self.value()
        self.need(")")
        if inner.kind != "text":
            raise self.wrong(KINDS["text"])
        if name == "CASEI":
            plain = inner.value.str.casefold() if isinstance(inner.value, pd.Series) else inner.value.casefold()
            return _Value("text", plain)
        if isinstance(inner.value, pd.Series):
            raise self.wrong(message("A date in single quotes."))
        return self.date(inner.value)

    def date(self, text: str) -> _Value:
        try:
            found = datetime.datetime.fromisoformat(text)
            seconds = found.replace(tzinfo=found.tzinfo or datetime.UTC).timestamp()
        except (ValueError, OverflowError):
            raise self.wrong(message("A date such as 2026-01-31.")) from None
        return _Value("date", seconds / DAY)

    def column(self, name: str, before: int) -> _Value:
        kind = kind_of(self.table[name]) if name in self.table and name != GEOMETRY else None
        if kind is None:
            self.at = before
            known = [one for one in map(str, self.table.columns) if one != GEOMETRY]
            raise self.wrong(message("Known: {known}.", known=known[:40]))
        return _Value(kind, _nullable(self.table[name], kind))


def _pattern(pattern: str) -> Callable[[str], bool]:
    r"""A test for a pattern in which % stands for anything and _ for one character; a backslash takes that away.

    >>> [_pattern("a%b_")(text) for text in ("a--bc", "abx", "ab", "xaby")]
    [True, True, False, False]
    >>> _pattern(r"5\%")("5%"), _pattern("")("")
    (True, True)
    """
    pieces: list[list[str]] = [[]]
    for found in re.finditer(r"\\(.)|(%)|(_)|(.)", pattern, re.DOTALL):
        if found[2]:
            pieces.append([])
        else:
            pieces[-1].append("." if found[3] else re.escape(found[1] or found[4]))
    first, *middle = [re.compile("".join(piece), re.DOTALL) for piece in pieces]
    lengths = [len(piece) for piece in pieces]

    def fits(text: str) -> bool:
        if not middle:
            return first.fullmatch(text) is not None
        if first.match(text) is None:
            return False
        at = lengths[0]
        for piece in middle[:-1]:
            found = piece.search(text, at)
            if found is None:
                return False
            at = found.end()
        begin = len(text) - lengths[-1]
        return begin >= at and middle[-1].fullmatch(text, begin) is not None

    return fits
