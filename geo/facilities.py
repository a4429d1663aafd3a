"""Facilities: schools, health facilities and bakeries damaged, and how many people depend on each one that works.

Damage (how broken) and functionality (does it serve) are two fields. Where functionality is unknown, a facility counts as working
unless it is severely damaged or destroyed; where its damage is unknown too, it takes the state of the worst structure of the
damage survey within `facility_match_m`, and if the survey looked there and found none, none. Known bias: people use facilities of
the next neighbourhood too; this measure does not see that.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import shapely

from geo import registers
from geo.attachment import without_place
from geo.damage import DAMAGED, DEBRIS, share_of
from geo.harmonise import City, Layer
from geo.population import inhabited
from geo.scheme import Scheme

SERVES = ("functional", "affected", "partial")
GROUPS = tuple(dict.fromkeys(row["group"] for row in registers.register("facility_kinds").values() if row["group"]))


def with_state(facilities: Layer, survey: Layer | None, match_m: float) -> pd.DataFrame:
    """Facilities with `state` filled from the damage survey where they have none; still NA where the survey did not look."""
    frame = facilities.frame
    own = frame["state"] if "state" in frame else pd.Series(pd.NA, index=frame.index, dtype="string")
    if survey is None:
        return frame.assign(state=own)
    places = frame.geometry.to_numpy()
    graded = survey.frame[survey.frame["state"].notna()]
    order = {name: int(row["rank"]) for name, row in registers.register("states").items()}
    severity = graded["state"].map(order).to_numpy(int)
    place, structure = shapely.STRtree(graded.geometry.to_numpy()).query(places, predicate="dwithin", distance=match_m)
    worst = np.full(len(frame), -2)
    np.maximum.at(worst, place, severity[structure])
    names = {rank: name for name, rank in order.items()}
    seen = _looked(survey.extent, places) & ~without_place(frame).to_numpy()
    matched = pd.Series(
        [names.get(rank) if rank > -2 else ("none" if looked else None) for rank, looked in zip(worst, seen, strict=True)],
        index=frame.index,
        dtype="string",
    )
    return frame.assign(state=own.fillna(matched))


def _looked(extent: object, places: np.ndarray[tuple[int], np.dtype[np.object_]]) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    if isinstance(extent, str | None):
        return np.full(len(places), extent == "study")
    return np.asarray(shapely.intersects(extent, places), dtype=bool)


def working(frame: pd.DataFrame) -> pd.Series[float]:
    """1 works, 0 does not, NaN unknown; functionality goes before damage."""
    functionality = frame["functionality"] if "functionality" in frame else pd.Series(pd.NA, index=frame.index, dtype="string")
    by_use = functionality.isin(SERVES).astype("float64").mask(functionality.isna())
    by_damage = (~frame["state"].isin(DEBRIS)).astype("float64").mask(frame["state"].isna() | (frame["state"] == "not_analysed"))
    return by_use.fillna(by_damage)


def measure(city: City, scheme: Scheme, people: pd.DataFrame) -> pd.DataFrame:
    """For each group of facilities: how many, damaged, working, people per working one, working ones per 10,000 people.

    Parameters
    ----------
    people
        `people, people_low, people_high` by neighbourhood; NaN unknown.

    Returns
    -------
    DataFrame
        Low and high count facilities of unknown state as not working and working, and people at their bounds. People per
        working facility is NaN with a note where none works; working per 10,000 people is then 0.
    """
    layer = city.layers.get("facilities")
    if layer is None:
        return pd.DataFrame(index=city.zones.index)
    frame = with_state(layer, city.layers.get("damage"), scheme.options.facility_match_m)
    frame = frame.assign(
        working=working(frame),
        group=frame["kind"].map({name: row["group"] for name, row in registers.register("facility_kinds").items()}),
    )
    covered = share_of(layer, city)
    # a group that the layer holds nowhere was not collected: unknown, not zero
    collected = [group for group in GROUPS if (frame["group"] == group).any()]
    tables = [_group(frame[frame["group"] == group], group, covered, people) for group in collected]
    return pd.concat(tables, axis=1) if tables else pd.DataFrame(index=city.zones.index)


def _group(frame: pd.DataFrame, group: str, covered: pd.Series[float], people: pd.DataFrame) -> pd.DataFrame:
    zones = covered.index
    row = zones.get_indexer(pd.Index(frame["zone"]))

    def count(chosen: pd.Series[bool]) -> pd.Series[float]:
        inside = (row >= 0) & chosen.to_numpy(bool)
        return pd.Series(np.bincount(row[inside], minlength=len(zones)), index=zones).astype("float64")

    everything = count(frame["zone"].notna())
    silent = (covered == 0) | (covered.isna() & (everything == 0))
    works, unsure = count(frame["working"] == 1).mask(silent), count(frame["working"].isna())
    hit, ungraded = (
        count(frame["state"].isin(DAMAGED)).mask(silent),
        count(frame["state"].isna() | (frame["state"] == "not_analysed")),
    )
    known = (1 - unsure / everything.where(everything > 0)).fillna(1.0) * covered.fillna(1.0)
    graded = (1 - ungraded / everything.where(everything > 0)).fillna(1.0) * covered.fillna(1.0)
    # counts without people are not services: where nobody lives, the ratios mean nothing
    residents, few, many = inhabited(people)
    some, most = works.where(works > 0), (works + unsure).where(lambda n: n > 0)
    table = pd.DataFrame(
        {
            f"{group}_facilities": everything.mask(silent),
            f"{group}_damaged": hit,
            f"{group}_damaged_low": hit,
            f"{group}_damaged_high": hit + ungraded,
            f"{group}_damaged_coverage": graded,
            f"{group}_working": works,
            f"{group}_working_low": works,
            f"{group}_working_high": works + unsure,
            f"{group}_working_coverage": known,
            f"people_per_working_{group}": residents / some,
            f"people_per_working_{group}_low": few / most,
            f"people_per_working_{group}_high": many / some,
            f"people_per_working_{group}_coverage": known,
            f"working_{group}_per_10000": works / residents * 10_000,
            f"working_{group}_per_10000_low": works / many * 10_000,
            f"working_{group}_per_10000_high": (works + unsure) / few * 10_000,
            f"working_{group}_per_10000_coverage": known,
        }
    )
    note = np.select([silent, residents.isna()], ["extent-unknown", "people-unknown"], "")
    table[f"people_per_working_{group}_note"] = np.where((note == "") & (works == 0), "none-works", note)
    table[f"working_{group}_per_10000_note"] = note
    return table
