"""Intake of complaints: from what people wrote to evidence that names nobody and counts each trouble once.

A complaint is about a trouble, and a trouble is reported often. Two complaints are the same one when they have the same category
and the same asset, or lie within `distance_m` and do not name different assets, and no more than `days` have passed since it was
last reported. They are taken in the order of their dates: the first report of a trouble stands for it, distances are measured to
that first report (so that one street does not swallow the next), and a trouble lasts as long as reports of it go on. A complaint
without a date repeats any of its kind there; of those that name only their neighbourhood, which may be two streets, just those of
one day are the same. The order of the rows in the file changes nothing. Parameters: `data/complaints.toml`.

Names, telephones, addresses and texts are no columns of the schema and end here; what looks like a telephone or an e-mail address
in any cell is unknown; a place that may be a home becomes the middle of its cell of a grid, and so do all places of left-out rows.
Known bias: where a boundary cuts off a sliver of a cell, a complaint can come to the neighbourhood next door; two different
troubles of one category within the distance count as one.
"""

from __future__ import annotations

import math
import tomllib
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely

from geo.errors import Finding, finding
from geo.left_out import left_out
from geo.messages import message
from geo.overlay import OUTSIDE, Shapes, locate

LAYER = "complaints"
NAMED = ("asset", "neighbourhood")
ARABIC_DIGITS = str.maketrans("٠١٢٣٤٥٦٧٨٩۰۱۲۳۴۵۶۷۸۹", "01234567890123456789", " -")


@lru_cache(maxsize=1)
def rules() -> dict[str, Any]:
    """The content of `data/complaints.toml`; not to be changed by the caller."""
    return tomllib.loads(files("data").joinpath("complaints.toml").read_text(encoding="utf-8"))


@lru_cache(maxsize=1)
def _categories() -> dict[str, str]:
    """Category by its folded name or word."""
    return {_fold(word): name for name, entry in rules()["category"].items() for word in (name, *entry["words"])}


def _fold(text: str) -> str:
    return " ".join(text.replace("_", " ").split()).casefold()


def without_persons(raw: pd.DataFrame) -> pd.DataFrame:
    """The table as read, with every cell unknown that looks like a telephone number or an e-mail address.

    >>> without_persons(pd.DataFrame({"id": ["17", "0933 123 456"], "status": ["open", "a@b.org"]})).to_dict("list")
    {'id': ['17', None], 'status': ['open', None]}
    """
    looks = "|".join(f"(?:{one})" for one in rules()["place"]["personal"])
    columns = [name for name in raw.columns if name not in ("row", "geometry")]
    cleaned = raw.copy()
    for name in columns:
        text = raw[name].astype("string").str.translate(ARABIC_DIGITS).str.removesuffix(".0")
        found = text.str.contains(looks, regex=True).fillna(False).to_numpy(bool)
        if found.any():
            cleaned[name] = raw[name].astype(object).mask(found, None)
    return cleaned


def without_place(frame: pd.DataFrame, crs: str) -> tuple[pd.DataFrame, gpd.GeoDataFrame]:
    """Rows with a place of their own, and rows that only name an asset or a neighbourhood."""
    if not isinstance(frame, gpd.GeoDataFrame):
        bare = gpd.GeoDataFrame(frame, geometry=gpd.GeoSeries([None] * len(frame), index=frame.index, crs=crs))
        return bare[:0], bare
    named = [name for name in NAMED if name in frame]
    shapes = frame.geometry.to_numpy()
    nowhere = shapely.is_missing(shapes) | shapely.is_empty(shapes)
    only_named = pd.Series(nowhere, index=frame.index) & frame[named].notna().any(axis=1)
    bare = frame[only_named]
    return frame[~only_named], gpd.GeoDataFrame(bare.drop(columns="geometry"), geometry=[None] * len(bare), crs=crs)


def as_evidence(
    frame: gpd.GeoDataFrame, zones: Shapes | None = None
) -> tuple[gpd.GeoDataFrame, list[gpd.GeoDataFrame], list[Finding]]:
    """Complaints in our categories, each trouble once (`reports` says how often it was reported), places coarse where they must be.

    Parameters
    ----------
    frame
        Validated complaints in metres; a row without a shape names an asset or a neighbourhood.
    zones
        Shapes of the neighbourhoods by their codes, where they are known: see `coarse`.

    Returns
    -------
    tuple
        The complaints that count, in the order of the rows; tables of those left out; what was noticed.
    """
    frame, noted = _in_categories(frame)
    if "asset" in frame:  # a code has no spaces; whatever has may be a person's name
        frame = frame.assign(asset=frame["asset"].mask(frame["asset"].str.contains(r"\s", regex=True)))
    head = first_reports(frame)
    times = frame["reports"].fillna(1.0) if "reports" in frame else pd.Series(1.0, index=frame.index)
    reports = pd.Series(np.bincount(head, times.to_numpy(float), minlength=len(frame)), index=frame.index)
    repeated = head != np.arange(len(frame))
    same_as = frame["id"].to_numpy()[head]
    kept = frame.assign(reports=reports)[~repeated]
    aside = [left_out(frame.assign(same_as=same_as)[repeated], LAYER, "complaint-repeated", value="same_as")]
    return coarse(kept, zones), aside if repeated.any() else [], noted


def _in_categories(frame: gpd.GeoDataFrame) -> tuple[gpd.GeoDataFrame, list[Finding]]:
    given = frame["category"] if "category" in frame else pd.Series(pd.NA, index=frame.index, dtype="string")
    known = given.map(lambda text: _categories().get(_fold(text)), na_action="ignore").astype("string")
    other = given.notna() & known.isna()
    frame = frame.assign(category=known.fillna("other"))
    if not other.any():
        return frame, []
    return frame, [
        finding(
            "category-other",
            "warning",
            LAYER,
            message("{n} complaints have a category that is not known and count as 'other'.", n=int(other.sum())),
            expected=message("Known: {known}.", known=list(rules()["category"])),
            remedy=message("Add the words to data/complaints.toml, or map the column of the category in study.toml."),
            rows=frame.loc[other, "row"],
        )
    ]


@dataclass
class _Trouble:
    """A trouble as its first report has it, and the day of the last one; `number` counts the troubles."""

    number: int
    at: int
    x: float
    y: float
    asset: str
    last: float


def first_reports(frame: gpd.GeoDataFrame) -> np.ndarray[tuple[int], np.dtype[np.intp]]:
    """For each complaint the position of the first report of the same trouble: its own where it is the first.

    `frame` has `category` and may have `date, asset, neighbourhood, id`; places are points in metres or missing.

    Examples
    --------
    >>> places = gpd.points_from_xy([0, 30, 60, 30], [0, 0, 0, 0])
    >>> days = pd.to_datetime(["2026-01-01", "2026-01-10", "2026-01-10", "2026-01-20"])
    >>> first_reports(gpd.GeoDataFrame({"category": "water", "date": days}, geometry=places)).tolist()
    [0, 0, 2, 0]
    """
    same = rules()["same"]
    reach, days = float(same["distance_m"]), float(same["days"])
    head = np.arange(len(frame), dtype=np.intp)
    known: dict[tuple[Any, ...], list[_Trouble]] = {}
    for number, (at, day, x, y, category, asset, name) in enumerate(_in_order(frame).itertuples(name=None)):
        one = _Trouble(number, at, x, y, asset, day)
        own, around = _keys(one, category, name, reach)
        found = [
            (apart, other.number, other)
            for key in around
            for other in known.get(key, ())
            if (apart := _apart(one, other)) <= reach and not day - other.last > days  # an unknown day is never too late
        ]
        if found:
            *_, first = min(found, key=lambda pair: pair[:2])
            head[at] = first.at
            first.last = day if day > first.last else first.last
            continue
        for key in own:
            known.setdefault(key, []).append(one)
    return head


def _in_order(frame: gpd.GeoDataFrame) -> pd.DataFrame:
    """What tells complaints apart, by position in the frame, in an order that is not that of the file; undated ones last."""
    shapes = frame.geometry.to_numpy()
    day = (frame["date"] - pd.Timestamp(0)) / pd.Timedelta(days=1) if "date" in frame else np.nan
    table = pd.DataFrame({"day": day, "x": shapely.get_x(shapes), "y": shapely.get_y(shapes)}, index=frame.index)
    for name in ("category", *NAMED, "id"):
        table[name] = frame[name].astype("string").fillna("") if name in frame else ""
    table = table.astype({"day": "float64"}).reset_index(drop=True)
    return table.sort_values(list(table.columns), kind="stable", na_position="last").drop(columns="id")


def _keys(one: _Trouble, category: str, name: str, reach: float) -> tuple[list[tuple[Any, ...]], list[tuple[Any, ...]]]:
    """Where a trouble is looked up, and where a report looks for its like: asset, cells as wide as the reach, neighbourhood."""
    asset = [(category, "asset", one.asset)] if one.asset else []
    if math.isnan(one.x):
        named: list[tuple[Any, ...]] = [(category, "name", name, one.last)]
        own = [*asset] or ([] if math.isnan(one.last) else named)
        return own, own
    column, row = math.floor(one.x / reach), math.floor(one.y / reach)
    cells = [(category, column + right, row + up) for right in (-1, 0, 1) for up in (-1, 0, 1)]
    return [*asset, (category, column, row)], [*asset, *cells]


def _apart(one: _Trouble, other: _Trouble) -> float:
    """Metres between two reports; none between those of one asset or without a place, no measure between different assets."""
    if one.asset and other.asset:
        return 0.0 if one.asset == other.asset else math.inf
    distance = math.dist((one.x, one.y), (other.x, other.y))
    return 0.0 if math.isnan(distance) else distance


def coarse(frame: gpd.GeoDataFrame, zones: Shapes | None = None) -> gpd.GeoDataFrame:
    """Places kept as they are for categories about public ground; else a point that stands for their cell of the grid.

    That is the middle of the cell, or, where a boundary of the neighbourhoods `zones` cuts the cell so that the middle lies in
    another one, a point in the cell's part on the right side, if that part has `least_m2`; a smaller part would tell too much.
    """
    public = {name for name, entry in rules()["category"].items() if entry["public"]}
    exact = frame["category"].isin(public).to_numpy(bool)
    shapes = frame.geometry.to_numpy().copy()
    shapes[~exact] = gridded(shapes[~exact]) if zones is None else _on_their_side(shapes[~exact], zones)
    return frame.set_geometry(gpd.GeoSeries(shapes, index=frame.index, crs=frame.crs))


def gridded(shapes: Shapes) -> Shapes:
    """The middle of the grid cell (`grid_m`, metres) in which the centre of each shape lies; no shape stays none.

    >>> gridded(np.array([shapely.Point(130, -20), None])).tolist()
    [<POINT (150 -50)>, None]
    """
    size = float(rules()["place"]["grid_m"])
    centre = shapely.centroid(shapes)
    xy = np.column_stack([shapely.get_x(centre), shapely.get_y(centre)])
    known = np.isfinite(xy).all(axis=1)
    out = np.full(len(shapes), None, dtype=object)
    out[known] = shapely.points((np.floor(xy[known] / size) + 0.5) * size)
    return out


def _on_their_side(shapes: Shapes, zones: Shapes) -> Shapes:
    """The middle of each cell, or a point of the part of the cell that lies in the same zone (or outside all zones)."""
    middles = gridded(shapes)
    own, seen = (locate(shapely.get_x(one), shapely.get_y(one), zones) for one in (shapes, middles))
    half = float(rules()["place"]["grid_m"]) / 2
    for at in np.flatnonzero(own != seen).tolist():
        x, y = middles[at].x, middles[at].y
        cell = shapely.box(x - half, y - half, x + half, y + half)
        if own[at] == OUTSIDE:
            part = shapely.difference(cell, shapely.union_all(zones[shapely.intersects(zones, cell)]))
        else:
            part = shapely.intersection(cell, zones[own[at]])
        if part.area >= float(rules()["place"]["least_m2"]):
            middles[at] = shapely.point_on_surface(part)
    return middles


def redacted(table: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
    """Left-out complaints without what a person wrote: the value only where it is the number of another complaint, places coarse.

    `table` is in metres; rows of other layers stay as they are.
    """
    ours = (table["layer"] == LAYER).to_numpy(bool)
    if not ours.any():
        return table
    telling = ours & (table["reason"] != "complaint-repeated").to_numpy(bool)
    cleaned = without_persons(table.loc[:, ["id"]])["id"].astype("string")
    shapes = table.geometry.to_numpy().copy()
    shapes[ours] = gridded(shapes[ours])
    hidden = table.assign(value=table["value"].mask(telling), id=table["id"].mask(ours, cleaned))
    return hidden.set_geometry(gpd.GeoSeries(shapes, index=table.index, crs=table.crs))
