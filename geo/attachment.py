"""Attachment: each row to the neighbourhood it belongs to, by P-code, else by its place on the map, else by its name.

A row with coordinates is held to them: its name is taken only where the map allows it. A P-code that the boundaries don't have is
never passed over for a name: it says that the row is another place. Whatever is not certain stays a proposal, for a person to
decide (`geo.decisions`). Known bias: neighbourhoods of two cities may bear one name, so rows of another city that have neither
code nor coordinates can be taken by name; a table should hold the rows of its city only.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely

from geo.errors import NOTHING, Finding, finding
from geo.messages import Message, message, messages
from geo.names import clean
from geo.pcodes import code_text, foreign, level_among, pcodes
from geo.places import AUTOMATIC, held_to_map, match

CODE = re.compile(r"[A-Za-z]{0,3}[-_]?\d+")  # a code, which must not be taken for a name


@dataclass(frozen=True)
class Attached:
    """A table with the neighbourhood of each row.

    Attributes
    ----------
    frame
        The rows with `zone` and `zone_by` ("code", "place", "decided", "name"; missing where none).
    unplaced
        The rows that have none.
    findings
        What was placed without coordinates, and what was not placed.
    names
        What became of the names that were needed (`geo.places.match`): rows that neither code nor place put anywhere. `by_code`:
        the proposal is what the row's code may have been; `row`: where `frame` has it.
    """

    frame: pd.DataFrame
    unplaced: pd.DataFrame
    findings: tuple[Finding, ...]
    names: pd.DataFrame


def attach(
    rows: pd.DataFrame,
    boundaries: gpd.GeoDataFrame,
    *,
    codes: Sequence[str] = (),
    names: Sequence[str] = (),
    known_by: Sequence[str] = ("name_ar", "name_en"),
    decided: Mapping[str, Hashable] | None = None,
    one_to_one: bool = False,
    amount: str | None = None,
    where: str = "population",
) -> Attached:
    """Each row to the boundary it belongs to; no row is lost.

    Parameters
    ----------
    rows
        With or without geometry; a row without coordinates is placed by code or name. Same rows, same order, come back.
    boundaries
        Indexed by code, with the columns of `known_by`, in the CRS of `rows` where those have geometry.
    codes, names
        Columns of `rows`, in the order in which they are tried; a column may be among both.
    decided
        Decisions of a person, by the name or code as it was delivered; None as the place means that it is none of them.
    one_to_one
        Each row that only its name places is a whole boundary: where two would be one, neither is taken.
    amount
        Column whose sum is reported for the rows that were not placed (people, say).
    """
    given = pd.DataFrame({column: _once_each(rows[column], code_text) for column in codes}, index=rows.index, dtype="string")
    zone = _by_code(given, boundaries)
    by = pd.Series("code", index=rows.index, dtype="string").where(zone.notna())
    astray = _astray(given, boundaries)
    place = _by_place(rows, boundaries).mask(astray)
    zone, by = zone.fillna(place), by.mask(zone.isna() & place.notna(), "place")
    found = _by_name(rows[zone.isna()], boundaries, given, astray, names, known_by, decided or {}, one_to_one=one_to_one)
    taken = found.index[found["id"].notna()]
    zone.loc[taken] = found.loc[taken, "id"].astype("string")
    by.loc[taken] = np.where(found.loc[taken, "how"] == "decided", "decided", "name")
    return attached(rows.assign(zone=zone, zone_by=by), found, amount=amount, where=where)


def attached(frame: pd.DataFrame, names: pd.DataFrame, *, amount: str | None, where: str) -> Attached:
    """What became of rows that have their `zone` and `zone_by`."""
    unplaced = frame[frame["zone"].isna()]
    return Attached(frame, unplaced, (*_noted(frame, amount, where), *_lost(unplaced, amount, where)), names)


def _by_code(given: pd.DataFrame, boundaries: gpd.GeoDataFrame) -> pd.Series[Any]:
    found = pd.Series(pd.NA, index=given.index, dtype="string")
    for column in given:
        found = found.fillna(given[column].where(given[column].isin(boundaries.index.astype("string"))))
    return found


def _astray(given: pd.DataFrame, boundaries: gpd.GeoDataFrame) -> pd.Series[bool]:
    """Rows whose P-code says that they are another place, or a wider one than the boundaries."""
    among = level_among(boundaries.index)
    known = frozenset(boundaries.index.astype(str))
    strange = {code: code not in known and foreign(code, among) for code in pd.unique(given.to_numpy().ravel())}
    flags = np.zeros(len(given), dtype=bool)
    for column in given:
        flags |= np.array([strange[code] for code in given[column]], dtype=bool)
    return pd.Series(flags, index=given.index, dtype="bool")


def without_place(rows: pd.DataFrame) -> pd.Series[bool]:
    """Which rows have no geometry, or an empty one."""
    if not isinstance(rows, gpd.GeoDataFrame):
        return pd.Series(True, index=rows.index)
    shapes = rows.geometry.to_numpy()
    return pd.Series(shapely.is_missing(shapes) | shapely.is_empty(shapes), index=rows.index)


def _by_place(rows: pd.DataFrame, boundaries: gpd.GeoDataFrame) -> pd.Series[Any]:
    """The first boundary, in the order of codes, that holds a point on the row's surface."""
    found = pd.Series(pd.NA, index=rows.index, dtype="string")
    there = ~without_place(rows).to_numpy()
    if not isinstance(rows, gpd.GeoDataFrame) or not there.any():
        return found
    points = shapely.point_on_surface(rows.geometry.to_numpy()[there])
    zones = boundaries.sort_index()
    row, zone = shapely.STRtree(zones.geometry.to_numpy()).query(points, predicate="intersects")
    first = pd.Series(zone).groupby(row).min()
    places = np.flatnonzero(there)[first.index.to_numpy()]
    found.iloc[places] = zones.index.astype("string")[first.to_numpy()]
    return found


def _by_name(
    rows: pd.DataFrame,
    boundaries: gpd.GeoDataFrame,
    given: pd.DataFrame,
    astray: pd.Series[bool],
    names: Sequence[str],
    known_by: Sequence[str],
    decided: Mapping[str, Hashable],
    *,
    one_to_one: bool,
) -> pd.DataFrame:
    """Rows that have no neighbourhood yet, by name; codes that lost their zeros propose what was meant."""
    texts = rows[list(names)].astype("string") if names else pd.DataFrame({"code": pd.NA}, index=rows.index, dtype="string")
    codes = pd.Series(pd.NA, index=rows.index, dtype="string")
    for column in given:
        codes = codes.fillna(given[column].loc[rows.index].replace("", pd.NA))
    first, *rest = texts.columns
    # a row with a code alone is named by its code
    texts[first] = texts[first].where(texts.notna().any(axis=1), codes)
    words = texts.mask(texts.apply(_once_each, args=(_is_code,)).astype(bool))
    found = match(words, boundaries, by=[first, *rest], known_by=known_by, one_to_one=one_to_one, decided=decided)
    cells = list(texts.itertuples(index=False, name=None))
    written = {row: " / ".join(clean(one) for one in row if isinstance(one, str)) for row in dict.fromkeys(cells)}
    shown = [written[row] for row in cells]
    found = _decided(found.assign(name=pd.Series(shown, index=rows.index, dtype="string")), decided)
    found = _meant(found, codes, boundaries)
    if isinstance(rows, gpd.GeoDataFrame):
        found = _on_map(found, rows, boundaries)
    strange = astray[rows.index] & found["how"].isin(["exact", "normalised"])
    found = found.assign(id=found["id"].mask(strange), how=found["how"].mask(strange, "other-code"))
    return found.assign(row=rows["row"]) if "row" in rows else found


def _is_code(value: object) -> bool:
    return CODE.fullmatch(code_text(value)) is not None


def _once_each(values: pd.Series[Any], function: Callable[[object], object]) -> pd.Series[Any]:
    """The function of each value, worked out once for those that are equal: a city has few names and many rows."""
    position, unique = pd.factorize(values, use_na_sentinel=False)
    return pd.Series([function(one) for one in unique], dtype=object).take(position).set_axis(values.index)


def _decided(found: pd.DataFrame, decided: Mapping[str, Hashable]) -> pd.DataFrame:
    """Decisions that are kept under the code of a row, or under all its names."""
    chosen = found["name"].isin(list(decided)) & (found["how"] != "decided")
    if not chosen.any():
        return found
    places = found.loc[chosen, "name"].map(lambda name: decided[name])
    none = places.isna()
    out = found.copy()
    out.loc[chosen, "id"] = places.astype("string")
    out.loc[chosen, "how"] = none.map({True: "unmatched", False: "decided"})
    out.loc[chosen, "proposal"] = places.astype("string")
    return out


def _meant(found: pd.DataFrame, codes: pd.Series[Any], boundaries: gpd.GeoDataFrame) -> pd.DataFrame:
    """Where a code may have lost its zeros, what was meant is proposed, never taken; nor is a name that says otherwise."""
    judged = pcodes(codes, boundaries.index)
    meant = judged["proposal"].where(judged["fault"] == "zeros")
    asked = meant.notna() & (found["how"] != "decided") & (found["id"].isna() | (found["id"] != meant).fillna(True))
    out = found.assign(by_code=asked)
    if not asked.any():
        return out
    others = found.loc[asked, "candidates"]
    contradicted = found.loc[asked, "id"].notna()
    out.loc[asked, "how"] = contradicted.map({True: "ambiguous", False: "likely"})
    out.loc[asked, "id"] = pd.NA
    out.loc[asked, "proposal"] = meant[asked]
    both = [tuple(dict.fromkeys((one, *more))) for one, more in zip(meant[asked], others, strict=True)]
    out["candidates"] = out["candidates"].where(~asked, pd.Series(both, index=found.index[asked]).reindex(found.index))
    return out


def _on_map(found: pd.DataFrame, rows: gpd.GeoDataFrame, boundaries: gpd.GeoDataFrame) -> pd.DataFrame:
    """Names of rows that have coordinates, held against them; degrees can't be measured, so there no name is taken."""
    there = ~without_place(rows)
    if not there.any():
        return found
    if rows.crs is None or rows.crs.is_geographic:
        held = found[there]
        fails = held["how"].isin(AUTOMATIC[:2])
        held = held.assign(id=held["id"].mask(fails), how=held["how"].mask(fails, "elsewhere"))
    else:
        held = held_to_map(found[there], rows[there], boundaries)[found.columns]
    out = found.copy()
    for column in ("id", "how"):
        out[column] = held[column].reindex(out.index).where(there, out[column])
    return out


def _rows(frame: pd.DataFrame) -> list[object]:
    return list(frame.get("row", frame.index))


def _noted(frame: pd.DataFrame, amount: str | None, where: str) -> list[Finding]:
    """What was placed although it has no coordinates."""
    if not isinstance(frame, gpd.GeoDataFrame):
        return []
    rows = frame[without_place(frame) & frame["zone"].notna()]
    if rows.empty:
        return []
    found = messages(
        "{n} row without coordinates was placed by its code or name.",
        "{n} rows without coordinates were placed by their code or name.",
        len(rows),
    )
    return [
        finding("placed-without-coordinates", "info", where, found, expected=_sum(rows, amount), rows=_rows(rows), count=len(rows))
    ]


def _lost(unplaced: pd.DataFrame, amount: str | None, where: str) -> list[Finding]:
    if unplaced.empty:
        return []
    found = messages("{n} row belongs to no boundary.", "{n} rows belong to no boundary.", len(unplaced))
    remedy = message("They are listed and not counted; give them a code, a name or coordinates.")
    return [finding("not-placed", "warning", where, found, expected=_sum(unplaced, amount), remedy=remedy, rows=_rows(unplaced))]


def _sum(rows: pd.DataFrame, amount: str | None) -> Message:
    if amount is None:
        return NOTHING
    total = float(pd.to_numeric(rows[amount], errors="coerce").sum())
    return message("They hold {n} of '{column}'.", n=round(total), column=amount)
