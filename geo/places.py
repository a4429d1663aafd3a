"""Places: whether two names mean one neighbourhood, in Arabic and in Latin letters, and whether a P-code can be right.

A name is folded by the habits of writing (hamza, ta marbuta, article, transliteration; `data/understanding/transliteration.csv`)
and split into a stem and its parts (east, old, 3, camp; `name_words.csv`). Two names are one place only where stem and parts are
equal and nothing else known sounds alike; spelling distance proposes, a person decides. Known bias: sources draw different
boundaries under one name, and some give one name to neighbours, so where both tables have shapes the match is held against the
map (`held_to_map`). Latin spellings of short names stay undecided rather than wrong.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from functools import lru_cache
from typing import Any, Literal

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely

from geo import registers
from geo.errors import NOTHING, CrsError, Finding, finding
from geo.messages import Message, message, messages

How = Literal["exact", "normalised", "decided", "likely", "ambiguous", "elsewhere", "unmatched"]
AUTOMATIC: tuple[How, ...] = ("exact", "normalised", "decided")
COLUMNS = ("name", "id", "how", "score", "proposal", "candidates")
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


Key = tuple[str, str, str, frozenset[str]]
Keys = dict[Key, set[Hashable]]


class _Known:
    """Known places by the keys of their names. It owns the index; `match` makes one a call."""

    def __init__(self, known: pd.DataFrame, by: Sequence[str]) -> None:
        self.names: dict[Hashable, tuple[Name, ...]] = {}
        for ident, texts in zip(known.index, known[list(by)].itertuples(index=False), strict=True):
            self.names[ident] = tuple(name for text in texts for name in names_in(text))
        self.keys: Keys = {}
        for ident, names in self.names.items():
            for name in names:
                for key in _keys(name):
                    self.keys.setdefault(key, set()).add(ident)
        self.skeletons: dict[str, set[Hashable]] = {}
        self.pieces: dict[tuple[str, str], set[Hashable]] = {}
        for ident, names in self.names.items():
            for name in names:
                self.skeletons.setdefault(name.skeleton, set()).add(ident)
                for piece in _pieces(name):
                    self.pieces.setdefault(piece, set()).add(ident)

    def parts(self, ident: Hashable) -> frozenset[str]:
        return frozenset().union(*(name.parts for name in self.names[ident]))

    def near(self, names: Sequence[Name]) -> list[Hashable]:
        """The places that share most pairs of letters with these names; the others are too unlike to be compared."""
        shared = Counter(ident for name in names for piece in _pieces(name) for ident in self.pieces.get(piece, ()))
        return [ident for ident, _ in shared.most_common(int(limit("places", "compared")))]

    def hits(self, name: Name) -> tuple[How, set[Hashable]]:
        """The places of the strictest key that hits any, if the name may be taken at that strength."""
        for strength, key in zip(("exact", "writing", "sound"), _keys(name), strict=False):
            found = self.keys.get(key, set())
            if found and (strength == "exact" or _long_enough(name, strength)):
                if strength == "sound" and len(self.skeletons.get(name.skeleton, set()) | found) > 1:
                    return "ambiguous", self.skeletons.get(name.skeleton, set()) | found
                return ("exact" if strength == "exact" else "normalised"), found
        return "unmatched", set()


def _pieces(name: Name) -> set[tuple[str, str]]:
    """Pairs of letters, of the stem in its script and of the consonants in either."""
    texts = ((name.script, name.written), ("skeleton", name.skeleton))
    return {(script, text[at : at + 2]) for script, text in texts for at in range(max(len(text) - 1, 0))}


def _keys(name: Name) -> list[Key]:
    keys: list[Key] = [("exact", name.script, name.exact, frozenset[str]()), ("writing", name.script, name.written, name.parts)]
    return [*keys, ("sound", name.script, name.heard, name.parts)] if name.script == "latin" else keys


def _long_enough(name: Name, strength: str) -> bool:
    """Whether a folded name says enough: more than a kind of place, or a part with it, and letters enough."""
    if not (name.telling or name.parts):
        return False
    if strength == "sound":
        return name.telling and len(re.sub(r"[aiuEO]", "", name.heard)) >= limit("places", "sound_consonants")
    return len(name.written) + len("".join(name.parts)) >= limit("places", "short_letters")


def match(
    names: pd.DataFrame | pd.Series[Any],
    known: pd.DataFrame,
    *,
    by: Sequence[str] = ("name_ar", "name_en"),
    known_by: Sequence[str] | None = None,
    one_to_one: bool = False,
    decided: Mapping[str, Hashable] | None = None,
    propose: bool = True,
) -> pd.DataFrame:
    """Which known place each name means.

    Parameters
    ----------
    names
        Delivered names: a table with the columns of `by` (those it has), or one column in any script.
    known
        Known places, indexed by id, with the columns of `known_by` (by default those of `by` that it has).
    one_to_one
        Each row is a place of its own (boundaries, not points): where two rows would be one place, neither is taken.
    decided
        Decisions of a person, by the name as it was delivered; None as the place means that it is none of the known.
    propose
        Compare the names that were not taken by spelling; without it nothing is likely, and large tables are faster.

    Returns
    -------
    DataFrame
        Same index as `names`. `id`: the place, only where it was certain, else missing. `how`: exact, normalised, decided
        (taken); likely (a proposal by spelling), ambiguous (several places, or names that contradict), unmatched. `score`
        0–1: likeness of the proposal, 1 where taken. `proposal`: first of `candidates`; `name`: as delivered.

    Examples
    --------
    >>> known = pd.DataFrame({"name_en": ["Al-Ansari East", "Al-Ansari West", "Hanano"]}, index=["N1", "N2", "N3"])
    >>> match(pd.Series(["Ansari Sharqi", "Al Ansari", "Hananu"]), known)[["id", "how"]].to_numpy().tolist()
    [['N1', 'normalised'], [<NA>, 'likely'], ['N3', 'normalised']]
    """
    table = names.to_frame("name") if isinstance(names, pd.Series) else names
    given = ["name"] if isinstance(names, pd.Series) else [one for one in by if one in table]
    places = _Known(known, [one for one in (known_by or by) if one in known])
    cells = [tuple(row) for row in table[given].itertuples(index=False)]
    once = {row: _judged(row, places, decided or {}, propose=propose) for row in dict.fromkeys(cells)}
    found = pd.DataFrame([once[row] for row in cells], columns=list(COLUMNS), index=table.index)
    if one_to_one:
        found = _each_once(found)
    ids = {"id": "string", "proposal": "string"} if all(isinstance(one, str) for one in known.index) else {}
    return found.astype({"name": "string", "how": "string", "score": "float64", **ids})


def _judged(cells: tuple[Any, ...], places: _Known, decided: Mapping[str, Hashable], *, propose: bool) -> tuple[Any, ...]:
    """One row: name, id, how, score, proposal, candidates."""
    texts = [clean(one) for one in cells if isinstance(one, str) and clean(one)]
    shown = " / ".join(texts)
    for text in (shown, *texts):
        if text in decided:
            ident = decided[text]
            if ident is None:
                return shown, pd.NA, "unmatched", np.nan, pd.NA, ()
            return shown, ident, "decided", 1.0, ident, (ident,)
    names = tuple(name for cell in cells for name in names_in(cell))
    hits = [hit for hit in map(places.hits, names) if hit[1]]
    how, candidates = _agreed(hits)
    if how in AUTOMATIC and frozenset().union(*(name.parts for name in names)) != places.parts(candidates[0]):
        how = "ambiguous"  # the same name, but one of the two is a part
    if how in AUTOMATIC:
        return shown, candidates[0], how, 1.0, candidates[0], candidates
    if candidates:
        return shown, pd.NA, "ambiguous", 1.0, candidates[0], candidates
    scored = _alike(names, places) if propose else []
    if not scored:
        return shown, pd.NA, "unmatched", np.nan, pd.NA, ()
    return shown, pd.NA, "likely", scored[0][0], scored[0][1], tuple(ident for _, ident in scored)


def _agreed(hits: Sequence[tuple[How, set[Hashable]]]) -> tuple[How, tuple[Hashable, ...]]:
    """One place that every name of the row allows, or all that any of them names."""
    if not hits:
        return "unmatched", ()
    common = set.intersection(*(ids for _, ids in hits))
    every = tuple(sorted(set.union(*(ids for _, ids in hits)), key=str))
    if len(common) != 1:
        return "ambiguous", every
    strengths = {how for how, ids in hits if ids == common} or {"ambiguous"}
    if strengths == {"ambiguous"}:
        return "ambiguous", every
    return ("exact" if "exact" in strengths else "normalised"), tuple(common)


def _each_once(found: pd.DataFrame) -> pd.DataFrame:
    """Rows that claim one place together become ambiguous."""
    taken = found["id"].notna() & (found["how"] != "decided")
    several = taken & found["id"].duplicated(keep=False)
    return found.assign(id=found["id"].mask(several), how=found["how"].mask(several, "ambiguous"))


def _alike(names: Sequence[Name], places: _Known) -> list[tuple[float, Hashable]]:
    """Known places in the order of likeness, from the limit on; different parts are never proposed for each other."""
    scored = [(_likeness(names, places.names[ident]), ident) for ident in places.near(names)]
    ranked = sorted(((round(score, 3), ident) for score, ident in scored if score >= limit("places", "likely")), key=_by_score)
    return ranked[: int(limit("places", "proposals"))]


def _by_score(scored: tuple[float, Hashable]) -> tuple[float, str]:
    return -scored[0], str(scored[1])


def _likeness(names: Sequence[Name], others: Sequence[Name]) -> float:
    """Similarity of a row's names to a place's, 0–1: the mean of the scripts that both have, else across scripts.

    Less where one of the two is a part; nothing where both have parts and these differ.
    """
    ours, theirs = (frozenset().union(*(name.parts for name in some)) for some in (names, others))
    if ours - theirs and theirs - ours:
        return 0.0
    factor = 1.0 if ours == theirs else limit("places", "partly")
    best: dict[str, float] = {}
    for one in names:
        for other in others:
            if one.script == other.script:
                best[one.script] = max(best.get(one.script, 0.0), _similar(one, other))
    if best:
        return factor * sum(best.values()) / len(best)
    return factor * limit("places", "cross_script") * max(_ratio(one.skeleton, other.skeleton) for one in names for other in others)


def _similar(one: Name, other: Name) -> float:
    plain = _ratio(one.written, other.written)
    return max(plain, limit("places", "consonants") * _ratio(one.skeleton, other.skeleton)) if one.script == "latin" else plain


@lru_cache(maxsize=262_144)
def _ratio(one: str, other: str) -> float:
    if min(len(one), len(other)) < limit("places", "short_letters"):
        return float(one == other) if one else 0.0
    ratio = SequenceMatcher(None, one, other, autojunk=False).ratio()
    return max(ratio, limit("places", "contained")) if one in other or other in one else ratio


def held_to_map(found: pd.DataFrame, names: gpd.GeoDataFrame, known: gpd.GeoDataFrame) -> pd.DataFrame:
    """The matches that hold on the map as well; the others become `elsewhere`, with the place still proposed.

    Shapes in one CRS in metres. Two polygons hold where most of the smaller lies in the larger (0.6); a point where it lies in
    the place or within 500 m of it. Adds `overlap` (share of the smaller, NaN for points) and `apart_m`. Decisions stay.

    Raises
    ------
    CrsError
        The two tables are not in one CRS in metres.
    """
    if names.crs is None or names.crs != known.crs or names.crs.is_geographic:
        raise CrsError(
            finding(
                "not-metric",
                "error",
                "places",
                message("Names and places are not in one coordinate system in metres."),
                expected=message("Both in the working coordinate system of the study."),
            )
        )
    proposed = found["proposal"].notna().to_numpy()
    ours = names.geometry.to_numpy()[proposed]
    theirs = known.geometry.loc[found.loc[proposed, "proposal"]].to_numpy()
    overlap, apart = np.full(len(found), np.nan), np.full(len(found), np.nan)
    apart[proposed] = shapely.distance(ours, theirs)
    overlap[proposed] = _overlap(ours, theirs)
    holds = np.where(np.isnan(overlap), apart <= limit("places", "near_m"), overlap >= limit("places", "same_share"))
    fails = found["how"].isin(["exact", "normalised"]).to_numpy() & ~holds
    return found.assign(
        id=found["id"].mask(fails), how=found["how"].mask(fails, "elsewhere"), overlap=overlap, apart_m=np.round(apart, 1)
    )


def _overlap(ours: Any, theirs: Any) -> Any:
    """Share of the smaller polygon inside the larger; NaN where one is no polygon."""
    both = (shapely.get_dimensions(ours) == 2) & (shapely.get_dimensions(theirs) == 2)
    share = np.full(len(ours), np.nan)
    one, other = shapely.make_valid(ours[both]), shapely.make_valid(theirs[both])
    smaller = np.minimum(shapely.area(one), shapely.area(other))
    with np.errstate(invalid="ignore", divide="ignore"):
        share[both] = shapely.area(shapely.intersection(one, other)) / smaller
    return share


def undecided(
    found: pd.DataFrame, known: pd.DataFrame | None = None, *, by: Sequence[str] = ("name_ar", "name_en")
) -> pd.DataFrame:
    """The names that need a decision, each once: `name, rows, how, score, proposal, candidates`, and the proposal's own names.

    A person writes the place into `id` of this table; `decisions` reads it back for the next `match`.
    """
    table = found[~found["how"].isin(AUTOMATIC)].assign(name=lambda one: one["name"].fillna(""))
    table = table[table["name"] != ""]
    columns = ["name", "rows", "how", "score", "proposal", "candidates"]
    counted = table.groupby("name", sort=False).agg(
        rows=("how", "size"), how=("how", "first"), score=("score", "first"), proposal=("proposal", "first")
    )
    first = table.drop_duplicates("name").set_index("name")["candidates"]
    joined = counted.join(first.map(lambda ids: ", ".join(map(str, ids)))).reset_index()[columns]
    for column in by if known is not None else ():
        if known is not None and column in known:
            joined[f"proposal_{column}"] = joined["proposal"].map(known[column])
    return joined.assign(id=pd.Series(pd.NA, index=joined.index, dtype="string"))


def decisions(table: pd.DataFrame) -> dict[str, Hashable]:
    """Decisions of a filled-in table of `undecided`: place by name; "-" means none of the known, empty is not yet decided."""
    filled = table[table["id"].notna() & (table["id"] != "")]
    return {
        clean(name): None if str(ident).strip() == "-" else ident for name, ident in zip(filled["name"], filled["id"], strict=True)
    }


def noted(found: pd.DataFrame, where: str) -> tuple[Finding, ...]:
    """What became of the names: one finding a kind of outcome that needs a person."""
    said = {
        "likely": message("Names that resemble a known place and were not taken:"),
        "ambiguous": message("Names that fit several places, or a part of one:"),
        "elsewhere": message("Names that fit a place which lies elsewhere on the map:"),
        "unmatched": message("Names that no known place has:"),
    }
    remedy = message("Decide in the table of undecided names; a decision is kept for the next delivery.")
    findings = []
    for how, text in said.items():
        rows = found[(found["how"] == how) & found["name"].fillna("").ne("")]
        if len(rows):
            names = list(rows["name"].drop_duplicates().head(int(limit("recognition", "shown"))))
            whole = message("{said} {names}.", said=text, names=names)
            findings.append(finding(f"names-{how}", "warning", where, whole, remedy=remedy, rows=rows.index, count=len(rows)))
    return tuple(findings)


# P-codes


def pcodes(codes: pd.Series[Any], boundary_codes: Iterable[object] = (), *, level: str | None = None) -> pd.DataFrame:
    """What each code is and what is wrong with it.

    Returns
    -------
    DataFrame
        Index of `codes`. `code`: as text; `level`: adm1 … neighbourhood, missing where it is no P-code; `fault`: missing, or
        "empty", "form" (no P-code), "zeros" (leading zeros or the prefix were lost; `proposal` holds the code meant), "level"
        (another level than asked for), "unknown" (not among the boundary codes); `proposal`: never put in place by itself.

    Examples
    --------
    >>> pcodes(pd.Series(["N0119", "N119", "SY010", "SY02"]), ["N0119", "SY10", "SY02"])[["fault", "proposal"]].values.tolist()
    [[<NA>, <NA>], ['zeros', 'N0119'], ['zeros', 'SY10'], [<NA>, <NA>]]
    """
    known = frozenset(clean(str(one)) for one in boundary_codes if one is not None and one is not pd.NA)
    texts = [_code(one) for one in codes]
    rows = {text: _code_judged(text, known, level) for text in dict.fromkeys(texts)}
    table = pd.DataFrame([rows[text] for text in texts], columns=["code", "level", "fault", "proposal"], index=codes.index)
    return table.astype("string")


def _code(value: object) -> str:
    if value is None or value is pd.NA or (isinstance(value, float) and np.isnan(value)):
        return ""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return unicodedata.normalize("NFKC", clean(str(value))).translate(DIGITS)


def _code_judged(text: str, known: frozenset[str], level: str | None) -> tuple[Any, ...]:
    if not text:
        return pd.NA, pd.NA, "empty", pd.NA
    there = level_of(text)
    if there is None or (known and text not in known):
        meant = _meant(text, known, level)
        if meant is not None:
            return text, level_of(meant), "zeros", meant
    if there is None:
        return text, pd.NA, "form", pd.NA
    if level is not None and there != level:
        return text, there, "level", pd.NA
    return text, there, ("unknown" if known and text not in known else pd.NA), pd.NA


def level_of(code: str) -> str | None:
    """The level of a P-code by its form.

    >>> level_of("SY040100"), level_of("C2528"), level_of("SY010")
    ('adm3', 'community', None)
    """
    rows = registers.table(UNDERSTANDING, "pcodes")
    return next((row["level"] for row in rows if re.fullmatch(row["pattern"], code)), None)


def _meant(text: str, known: frozenset[str], level: str | None) -> str | None:
    """The one code that this may have been before a spreadsheet took its zeros, its prefix or its capitals."""
    seen = re.fullmatch(r"([A-Za-z]*)[\s\-_]*(\d+)", text)
    if seen is None:
        return None
    letters, digits = seen.groups()
    meant = set()
    for row in registers.table(UNDERSTANDING, "pcodes"):
        width = int(row["digits"])
        if (letters and letters.upper() != row["prefix"]) or not width or (level is not None and row["level"] != level):
            continue
        if len(digits.lstrip("0")) <= width and (known or letters):
            meant.add(row["prefix"] + digits.lstrip("0").rjust(width, "0"))
    meant = {one for one in meant if one in known} if known else {one for one in meant if len(meant) == 1}
    meant.discard(text)
    return meant.pop() if len(meant) == 1 else None


def check_pcodes(
    codes: pd.Series[Any],
    boundary_codes: Iterable[object] = (),
    *,
    level: str | None = None,
    within: Iterable[str] = (),
    parents: Mapping[str, Sequence[str]] | None = None,
    where: str = "P-codes",
) -> tuple[Finding, ...]:
    """Everything that is wrong with a column of P-codes, by row; nothing is corrected.

    Parameters
    ----------
    boundary_codes
        Codes of the boundary file; a code that is not among them is unknown.
    level
        The level that all codes should have: adm1, adm2, adm3, community, neighbourhood.
    within
        Codes of the area of the study (say SY04); an admin code that does not begin with one of them lies elsewhere.
    parents
        For codes that do not carry their area (C####, N####): their admin codes.
    """
    allowed = frozenset(boundary_codes)
    table = pcodes(codes, allowed, level=level)
    area = tuple(within)
    outside = _outside(table, area, parents or {}) if area else pd.Series(False, index=table.index)
    levels = sorted(table["level"].dropna().unique())
    findings = [
        _code_finding("pcode-elsewhere", table[outside], where, area),
        *(_code_finding(f"pcode-{fault}", table[(table["fault"] == fault) & ~outside], where, area) for fault in _SAID),
    ]
    if level is None and len(levels) > 1:
        mixed = message("Codes of several levels in one column: {levels}.", levels=levels)
        findings.append(finding("pcode-levels", "warning", where, mixed, remedy=message("One level in a column.")))
    return tuple(one for one in findings if one is not None)


_SAID = {
    "empty": message("Rows without a code."),
    "form": message("Not P-codes: {codes}."),
    "zeros": message("Zeros or letters were lost from codes, as spreadsheets do: {codes}."),
    "level": message("Codes of another level: {codes}."),
    "unknown": message("Codes that the boundaries don't have: {codes}."),
}


def _outside(table: pd.DataFrame, area: tuple[str, ...], parents: Mapping[str, Sequence[str]]) -> pd.Series[bool]:
    """Codes that lie outside the area of the study, by their own beginning or by their parents."""

    def lies_outside(code: object) -> bool:
        if not isinstance(code, str) or level_of(code) in (None, "adm0"):
            return False
        own = parents.get(code) or ([code] if str(level_of(code)).startswith("adm") else [])
        return bool(own) and not any(one.startswith(area) or any(part.startswith(one) for part in area) for one in own)

    return table["code"].map(lies_outside).fillna(False).astype(bool)


def _code_finding(code: str, rows: pd.DataFrame, where: str, area: tuple[str, ...]) -> Finding | None:
    if rows.empty:
        return None
    fault = code.removeprefix("pcode-")
    shown = [
        f"{one} → {meant}" if isinstance(meant, str) else str(one)
        for one, meant in zip(rows["code"], rows["proposal"], strict=True)
    ]
    shown = list(dict.fromkeys(shown))[: int(limit("recognition", "shown"))]
    if fault == "elsewhere":
        found, expected = (
            message("Codes that lie outside the study: {codes}.", codes=shown),
            message("Codes within {area}.", area=area),
        )
    else:
        found = message(_SAID[fault].text, codes=shown) if fault != "empty" else _SAID[fault]
        expected = message("Codes such as SY02, SY0204, SY020400, C1007 or N0119, as text.")
    remedy = message("Correct the codes in the file, or confirm the proposed ones.")
    severity: Literal["error", "warning"] = "error" if fault in ("elsewhere", "form", "level") else "warning"
    return finding(code, severity, where, found, expected=expected, remedy=remedy, rows=rows.index, count=len(rows))


# Rows that have no coordinates


@dataclass(frozen=True)
class Attached:
    """A table with `zone` and `zone_by` ("code", "place", "name"; missing where none), the rows that have none, and findings."""

    frame: pd.DataFrame
    unplaced: pd.DataFrame
    findings: tuple[Finding, ...]


def attach(
    rows: pd.DataFrame,
    boundaries: gpd.GeoDataFrame,
    *,
    codes: Sequence[str] = (),
    names: Sequence[str] = (),
    known_by: Sequence[str] = ("name_ar", "name_en"),
    amount: str | None = None,
    where: str = "population",
) -> Attached:
    """Each row to the boundary it belongs to: by P-code, else by its coordinates, else by its name; no row is lost.

    Parameters
    ----------
    rows
        With or without geometry; a row without coordinates is placed by code or name. Same rows, same order, come back.
    boundaries
        Indexed by code, with the columns of `known_by`, in the CRS of `rows` where those have geometry.
    codes, names
        Columns of `rows`, in the order in which they are tried.
    amount
        Column whose sum is reported for the rows that were not placed (people, say).
    """
    zone = pd.Series(pd.NA, index=rows.index, dtype="string")
    by = pd.Series(pd.NA, index=rows.index, dtype="string")
    steps = [("code", _by_code(rows, boundaries, codes)), ("place", _by_place(rows, boundaries))]
    if names:
        found = match(rows[list(names)], boundaries, by=names, known_by=known_by, propose=False)
        steps.append(("name", found["id"].astype("string")))
    for how, zones in steps:
        new = zone.isna() & zones.notna()
        zone, by = zone.where(~new, zones), by.mask(new, how)
    frame = rows.assign(zone=zone, zone_by=by)
    unplaced = frame[zone.isna()]
    nowhere = _nowhere(rows)
    return Attached(frame, unplaced, (*_attached(frame, nowhere, amount, where), *_lost(unplaced, amount, where)))


def _by_code(rows: pd.DataFrame, boundaries: gpd.GeoDataFrame, codes: Sequence[str]) -> pd.Series[Any]:
    found = pd.Series(pd.NA, index=rows.index, dtype="string")
    for column in codes:
        text = rows[column].map(_code).astype("string")
        found = found.fillna(text.where(text.isin(boundaries.index.astype("string"))))
    return found


def _nowhere(rows: pd.DataFrame) -> pd.Series[bool]:
    if not isinstance(rows, gpd.GeoDataFrame):
        return pd.Series(True, index=rows.index)
    shapes = rows.geometry.to_numpy()
    return pd.Series(shapely.is_missing(shapes) | shapely.is_empty(shapes), index=rows.index)


def _by_place(rows: pd.DataFrame, boundaries: gpd.GeoDataFrame) -> pd.Series[Any]:
    """The first boundary, in the order of codes, that holds a point on the row's surface."""
    found = pd.Series(pd.NA, index=rows.index, dtype="string")
    there = ~_nowhere(rows).to_numpy()
    if not isinstance(rows, gpd.GeoDataFrame) or not there.any():
        return found
    points = shapely.point_on_surface(rows.geometry.to_numpy()[there])
    zones = boundaries.sort_index()
    row, zone = shapely.STRtree(zones.geometry.to_numpy()).query(points, predicate="intersects")
    first = pd.Series(zone).groupby(row).min()
    places = np.flatnonzero(there)[first.index.to_numpy()]
    found.iloc[places] = zones.index.astype("string")[first.to_numpy()]
    return found


def _attached(frame: pd.DataFrame, nowhere: pd.Series[bool], amount: str | None, where: str) -> list[Finding]:
    """What was placed although it has no coordinates."""
    rows = frame[nowhere & frame["zone"].notna()]
    if rows.empty or not isinstance(frame, gpd.GeoDataFrame):
        return []
    found = messages(
        "{n} row without coordinates was placed by its code or name.",
        "{n} rows without coordinates were placed by their code or name.",
        len(rows),
    )
    return [
        finding("placed-without-coordinates", "info", where, found, expected=_sum(rows, amount), rows=rows.index, count=len(rows))
    ]


def _lost(unplaced: pd.DataFrame, amount: str | None, where: str) -> list[Finding]:
    if unplaced.empty:
        return []
    found = messages("{n} row belongs to no boundary.", "{n} rows belong to no boundary.", len(unplaced))
    remedy = message("They are listed and not counted; give them a code, a name or coordinates.")
    one = finding("not-placed", "warning", where, found, expected=_sum(unplaced, amount), remedy=remedy, rows=unplaced.index)
    return [one]


def _sum(rows: pd.DataFrame, amount: str | None) -> Message:
    if amount is None:
        return NOTHING
    total = float(pd.to_numeric(rows[amount], errors="coerce").sum())
    return message("They hold {n} of '{column}'.", n=round(total), column=amount)
