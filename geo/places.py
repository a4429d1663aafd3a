"""Places: whether two names mean one neighbourhood, in Arabic and in Latin letters.

Two names are one place only where stem and parts (`geo.names`) are equal and nothing else known sounds alike; spelling distance
proposes, a person decides (`geo.decisions`). Known bias: sources draw different boundaries under one name, and some give one name
to neighbours, so where both tables have shapes the match is held against the map (`held_to_map`). Latin spellings of short names
stay undecided rather than wrong.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from difflib import SequenceMatcher
from functools import lru_cache
from typing import Any, Literal

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely

from geo.errors import CrsError, finding
from geo.messages import message
from geo.names import Name, clean, limit, names_in

How = Literal["exact", "normalised", "decided", "likely", "ambiguous", "elsewhere", "other-code", "unmatched"]
AUTOMATIC: tuple[How, ...] = ("exact", "normalised", "decided")
COLUMNS = ("name", "id", "how", "score", "proposal", "candidates")

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
