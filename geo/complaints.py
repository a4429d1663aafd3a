"""Complaints as evidence: how many troubles came from each neighbourhood, against how many were to be expected there.

A count says as much about who has a telephone as about who has no water. So troubles are counted once (`geo.complaints_intake`) and
set against what the people who can complain would send at the rate of the whole city: ``SR_i = O_i / E_i``, ``E_i = people_i ×
connected_i × rate``. Where little is expected the ratio jumps about, so it is drawn towards 1 by empirical Bayes,
``(O_i + α) / (E_i + α)`` (gamma prior of mean 1; Clayton & Kaldor 1987, doi:10.2307/2532003; α by moments, Marshall 1991,
doi:10.2307/2347593). Known bias: the ratio of one neighbourhood moves a little when another one complains more, so that it is shown
beside the list and not scored by the scheme that comes with Tarmim; silence is not contentment.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely

from geo.complaints_intake import LAYER, rules
from geo.damage import share_of
from geo.harmonise import City, Layer
from geo.overlay import middle
from geo.population import inhabited


def at_assets(layer: Layer, others: Mapping[str, Layer]) -> Layer:
    """Complaints that name an asset instead of a place, at a point on it; a code that no layer holds, or that repeats, names none.

    `others` are the placed layers. The rest of the rows without a place go by their neighbourhood (`geo.harmonise.place`).
    """
    frame = gpd.GeoDataFrame(layer.frame)
    bare = pd.Series(frame.geometry.isna(), index=frame.index)
    if "asset" not in frame or not (bare & frame["asset"].notna()).any():
        return layer
    points = _assets(others, set(frame.loc[bare, "asset"].dropna()))
    shapes = frame.geometry.to_numpy().copy()
    for at in np.flatnonzero(bare).tolist():
        shapes[at] = points.get(str(frame["asset"].iat[at]))
    return replace(layer, frame=frame.set_geometry(gpd.GeoSeries(shapes, index=frame.index, crs=frame.crs)))


def _assets(others: Mapping[str, Layer], wanted: set[str]) -> dict[str, shapely.Point]:
    """Points on the assets of these codes, in the order of the layers."""
    points: dict[str, shapely.Point] = {}
    for name, layer in others.items():
        if name in ("neighbourhoods", "population", LAYER) or not isinstance(layer.frame, gpd.GeoDataFrame):
            continue
        frame = layer.frame[layer.frame["id"].isin(wanted) & ~layer.frame["id"].duplicated(keep=False)]
        frame = frame[~(frame.geometry.isna() | frame.geometry.is_empty)]
        spots = shapely.points(*middle(frame.geometry.to_numpy())) if len(frame) else []
        for code, spot in zip(frame["id"], spots, strict=True):
            points.setdefault(code, spot)
    return points


def measure(city: City, people: pd.DataFrame) -> pd.DataFrame:
    """`complaints`, `complaints_per_1000` and `complaints_ratio` by neighbourhood; NaN where people are unknown or nobody listened.

    `people` has `people, people_low, people_high`; the bounds of the count per 1,000 are those of the people. The ratio is the
    empirical-Bayes one, with the 5 to 95 % interval of its posterior at the people's bounds.
    """
    layer = city.layers.get(LAYER)
    if layer is None:
        return pd.DataFrame(index=city.zones.index)
    row = city.zones.index.get_indexer(pd.Index(layer.frame["zone"]))
    count = pd.Series(np.bincount(row[row >= 0], minlength=len(city.zones)), index=city.zones.index).astype("float64")
    covered = share_of(layer, city)
    count = count.mask((covered == 0) | (covered.isna() & (count == 0)))
    residents, few, many = inhabited(people)
    note = np.select([count.isna(), residents.isna()], ["extent-unknown", "people-unknown"], "")
    table = pd.DataFrame(
        {
            "complaints": count,
            "complaints_coverage": covered,
            "complaints_per_1000": count / residents * 1000,
            "complaints_per_1000_low": count / many * 1000,
            "complaints_per_1000_high": count / few * 1000,
            "complaints_per_1000_coverage": covered,
            "complaints_per_1000_note": note,
        }
    )
    connected = city.zones["connected"].astype("float64") if "connected" in city.zones else 1.0
    ratio = against_expected(count, residents * connected, few * connected, many * connected)
    table = table.join(ratio)
    table["complaints_ratio_coverage"] = covered
    table["complaints_ratio_note"] = np.where((note == "") & ratio["complaints_ratio"].isna(), "people-unknown", note)
    return table


def against_expected(
    observed: pd.Series[float], exposed: pd.Series[float], few: pd.Series[float], many: pd.Series[float]
) -> pd.DataFrame:
    """Observed over expected troubles, drawn towards 1: `complaints_ratio` with `_low` and `_high`.

    Parameters
    ----------
    observed
        Troubles by neighbourhood; NaN unknown.
    exposed, few, many
        People who can complain, best, low and high; NaN unknown. Neighbourhoods with an unknown value take no part in the city's
        rate and have no ratio. Where nobody complained anywhere there is no rate and no ratio.

    Examples
    --------
    Two neighbourhoods of 1,000 people, 30 and 10 troubles: 20 expected in each, ratios 1.5 and 0.5. Their spread is
    (0.25 + 0.25) / 2, less 1/20 by chance, is 0.2, so α is 5: (30 + 5) / (20 + 5) and (10 + 5) / (20 + 5).

    >>> people = pd.Series([1000.0, 1000.0])
    >>> against_expected(pd.Series([30.0, 10.0]), people, people, people)["complaints_ratio"].round(6).tolist()
    [1.4, 0.6]
    """
    known = observed.notna() & exposed.notna()
    seen, able = observed[known], exposed[known]
    rate = seen.sum() / able.sum() if able.sum() > 0 else 0.0
    if not rate > 0:
        empty = pd.Series(np.nan, index=observed.index)
        return pd.DataFrame({f"complaints_ratio{end}": empty for end in ("", "_low", "_high")})
    strength = prior_strength(seen, able * rate)
    z = float(rules()["rate"]["interval_z"])
    return pd.DataFrame(
        {
            "complaints_ratio": (observed + strength) / (exposed * rate + strength),
            "complaints_ratio_low": gamma_quantile(observed + strength, -z) / (many * rate + strength),
            "complaints_ratio_high": gamma_quantile(observed + strength, z) / (few * rate + strength),
        }
    )


def prior_strength(observed: pd.Series[float], expected: pd.Series[float]) -> float:
    """α of the prior: how many expected troubles weigh as much as the city's average; by moments, within limits, or as data says.

    ``1/α = Σ E (O/E − 1)² / Σ E − 1 / mean(E)``; where chance alone explains the spread, the upper limit.
    """
    choices = rules()["rate"]
    if choices["strength"] != "moments":
        return float(choices["strength"])
    low, high = choices["strength_limits"]
    some = expected > 0
    seen, wanted = observed[some], expected[some]
    spread = float((wanted * (seen / wanted - 1) ** 2).sum() / wanted.sum() - 1 / wanted.mean())
    return float(np.clip(1 / spread, low, high)) if spread > 0 else float(high)


def gamma_quantile(shape: pd.Series[float], z: float) -> pd.Series[float]:
    """Quantile of a gamma distribution of scale 1 at a normal score, by Wilson and Hilferty (1931, doi:10.1073/pnas.17.12.684).

    The exact ones of the example are 3.00 and 15.71; off by less than 3 % of the mean for shapes of 1 and more.

    >>> [round(float(one), 2) for one in gamma_quantile(pd.Series([1.0, 10.0]), 1.6449)]
    [2.97, 15.7]
    """
    root = 1 - 1 / (9 * shape) + z / (3 * np.sqrt(shape))
    return (shape * root**3).clip(lower=0.0)


def newest(frame: pd.DataFrame) -> pd.Timestamp | None:
    """The newest date that the complaints tell of; None where they tell none."""
    days = [frame[name].max() for name in ("date", "answered", "closed") if name in frame and frame[name].notna().any()]
    return max(days) if days else None


def follow_up(frame: pd.DataFrame, on: pd.Timestamp) -> pd.DataFrame:
    """Each complaint with its directorate and what became of it by a day.

    Parameters
    ----------
    on
        The day that counts as today; complaints that came in later are left away.

    Returns
    -------
    DataFrame
        `id, category, sector, zone, date, due, status, days_to_answer, overdue_days, reports, changed`. `overdue_days` are days
        after the due date of an open complaint, 0 where it is in time or closed, NaN where its date or state is unknown.
    """
    entries = rules()["category"]
    blank = {name: pd.Series(pd.NaT, index=frame.index) for name in ("date", "due", "answered", "closed")}
    blank |= {name: pd.Series(pd.NA, index=frame.index, dtype="string") for name in ("status", "changed")}
    table = frame.drop(columns="geometry", errors="ignore").assign(
        **{name: one for name, one in blank.items() if name not in frame}
    )
    table = table[~(table["date"] > on)]
    table = table.assign(category=table["category"].where(table["category"].isin(list(entries)), "other"))
    wait = pd.to_timedelta(table["category"].map({name: entry["days"] for name, entry in entries.items()}), unit="D")
    due = table["due"].fillna(table["date"] + wait)
    status = table["status"].mask(table["closed"] <= on, "closed").mask(table["closed"] > on, "open")
    late = (on - due).dt.days.astype("float64").clip(lower=0)
    answered = (table["answered"] - table["date"]).dt.days.astype("float64").where(table["answered"] <= on)
    return pd.DataFrame(
        {
            "id": table["id"],
            "category": table["category"],
            "sector": table["category"].map({name: entry["sector"] for name, entry in entries.items()}),
            "zone": table["zone"],
            "date": table["date"],
            "due": due,
            "status": status,
            "days_to_answer": answered.where(answered >= 0),
            "overdue_days": late.where(status == "open", 0.0).mask(status.isna()).mask((status == "open") & due.isna()),
            "reports": table.get("reports", 1.0),
            "changed": table["changed"],
        }
    )


def by_directorate(table: pd.DataFrame) -> pd.DataFrame:
    """Key figures of `follow_up` by sector.

    Returns
    -------
    DataFrame
        `troubles, reports, open, closed, unknown` (state not known), `overdue`; `overdue_share` of the open ones whose due date is
        known; `days_to_answer`, the median to the first answer of those answered; `changed_share`, which part changed an
        assessment, of those where somebody said so. NaN where there are none.
    """
    rows = {}
    for sector, part in table.groupby("sector", sort=True):
        going = part[part["status"] == "open"]
        told = part["changed"].dropna()
        timed = going["overdue_days"].dropna()
        rows[str(sector)] = {
            "troubles": len(part),
            "reports": int(part["reports"].sum()),
            "open": len(going),
            "closed": int((part["status"] == "closed").sum()),
            "unknown": int(part["status"].isna().sum()),
            "overdue": int((timed > 0).sum()),
            "overdue_share": float((timed > 0).mean()) if len(timed) else np.nan,
            "days_to_answer": float(part["days_to_answer"].median()) if part["days_to_answer"].notna().any() else np.nan,
            "changed_share": float((told == "yes").mean()) if len(told) else np.nan,
        }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("sector")


def overdue(table: pd.DataFrame) -> pd.DataFrame:
    """The open complaints past their due date, longest first, then by code."""
    late = table[table["overdue_days"] > 0]
    return late.sort_values(["overdue_days", "id"], ascending=[False, True], kind="stable")
