"""Evidence: what several sources say of the same structure, side by side, and which of them counts.

A satellite sees roofs, a visit sees walls, and both grow old. Rows of several sources are taken for the same structure where they
lie in (or within `match_m` of) the same footprint, else where each is the other's nearest within `match_m`, one row of each source.
On a structure the source with the greatest weight counts, ``weight = trust × 0.5^(age / half-life)`` (`data/trust.toml`, or
`[evidence]` of the study), age counted from the newest evidence; of equal weights the newer, then the more severe. What is
overruled is listed as left out, with its reason, and stands in the table of evidence. Known bias: trust is a proposal, the same for
every district; a new survey anywhere makes all others older; two structures nearer than `match_m` without footprints may be taken
for one; where one source saw a structure and the other looked and listed nothing, nothing is compared.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely

from geo import registers
from geo.errors import Finding, SchemaError, finding
from geo.figures import figure, percent
from geo.harmonise import City, Extent, Layer
from geo.left_out import left_out, together
from geo.messages import message
from geo.overlay import Ints, Shapes, middle

if TYPE_CHECKING:
    from geo.study import Study

LAYER = "damage"  # the layer of which there may be several series
MAIN = "main"
COMPLAINT = "complaint"
COLUMNS = ("structure", "zone", "series", "kind", "row", "id", "date", "state", "weight", "counts", "why")
ORDER = ("graded", "weight", "date", "severity")  # what decides, the first that differs
Rules = Mapping[str, Any]


@dataclass(frozen=True)
class Evidence:
    """What was weighed.

    Attributes
    ----------
    sources
        The layers by their name (`damage`, `damage/field`), with what was overruled among their rows left out.
    table
        One row for each source's row on a structure that several sources speak of; columns `COLUMNS`: number of the structure,
        neighbourhood, series, kind, row and id in its file, date, state, weight (0 to 1), whether it counts, and what decided on
        the structure: one of `ORDER`, or "series" where all are alike. Empty where no structure has several.
    rule
        By which it was weighed: `rules`.
    """

    sources: Mapping[str, Layer] = field(default_factory=dict)
    table: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=list(COLUMNS)))
    rule: Rules = field(default_factory=lambda: rules())

    def disagreement(self) -> pd.DataFrame:
        """By neighbourhood: structures that two or more sources graded, how many are graded differently, by how many degrees.

        Columns `zone` (that of the row that counts; missing outside all), `structures`, `differ`, `share` (0 to 1), `steps` (mean
        difference of the lowest and highest state), and structures that differ by one degree, by two, by more: `differ_1`,
        `differ_2`, `differ_more`.
        """
        graded = self.table[self.table["state"].notna() & (self.table["state"] != "not_analysed")]
        found = graded.assign(severity=_severity(graded["state"])).groupby("structure")
        each = found.agg(series=("series", "nunique"), low=("severity", "min"), high=("severity", "max"))
        each = each[each["series"] > 1]
        deciding = self.table[self.table["counts"].astype(bool)].drop_duplicates("structure").set_index("structure")
        steps = (each["high"] - each["low"]).astype("float64")
        each = each.assign(zone=deciding["zone"].reindex(each.index).astype("string"), steps=steps, differ=steps > 0)
        each = each.assign(differ_1=steps == 1, differ_2=steps == 2, differ_more=steps > 2)
        by_zone = each.groupby("zone", dropna=False)
        counts = {name: (name, "sum") for name in ("differ", "differ_1", "differ_2", "differ_more")}
        table = by_zone.agg(structures=("differ", "size"), steps=("steps", "mean"), **counts)
        table["share"] = table["differ"] / table["structures"]
        kinds = {"structures": "int64", **dict.fromkeys(counts, "int64"), "share": "float64", "steps": "float64"}
        return table.reset_index().astype(kinds)[["zone", "structures", "differ", "share", "steps", *list(counts)[1:]]]


@lru_cache(maxsize=1)
def _proposed() -> dict[str, Any]:
    return tomllib.loads(files("data").joinpath("trust.toml").read_text(encoding="utf-8"))


def rules(study: Study | None = None) -> Rules:
    """The content of `data/trust.toml`, with what `[evidence]` of the study says otherwise."""
    known = _proposed()
    if study is None:
        return known
    said = study.evidence.model_dump(exclude_none=True)
    kinds = {name: {**rule, **said["kinds"].get(name, {})} for name, rule in known["kind"].items()}
    return {**known, "match_m": said.get("match_m", known["match_m"]), "kind": kinds}


def name_of(series: str) -> str:
    """The layer's name with its series: `damage`, `damage/field`."""
    return LAYER if series == MAIN else f"{LAYER}/{series}"


def series_of(name: str) -> str:
    """The series of such a name."""
    return name.partition("/")[2] or MAIN


def kind_of(layer: Layer) -> str:
    """The kind of evidence: what its series is called after (`field`, `field-east`), else what its profile stands for."""
    kinds = _proposed()["kind"]
    series = series_of(layer.name)
    fitting = [kind for kind in kinds if series == kind or series.startswith(f"{kind}-")]
    fitting += [kind for kind, rule in kinds.items() if layer.spec.profile in rule["profiles"]]
    return fitting[0] if fitting else "unstated"


def check_series(layer: str, series: str) -> None:
    """Refuse a series of a layer that has none, or one that is called after no kind of evidence.

    Raises
    ------
    SchemaError
        With what is allowed.
    """
    kinds = [kind for kind in _proposed()["kind"] if kind not in (COMPLAINT, "unstated")]
    named = any(series == kind or (series.startswith(f"{kind}-") and series.isascii()) for kind in kinds)
    if series == MAIN or (layer == LAYER and named and series.replace("-", "").isalnum() and len(series) <= 40):
        return
    raise SchemaError(
        finding(
            "series",
            "error",
            f"{layer}/{series}"[:80],
            message("There is no such series of this layer."),
            expected=message("Series are of the damage layer: {known}; several of a kind as kind-name.", known=[MAIN, *kinds]),
            remedy=message("Leave the series away, or name the kind of evidence."),
        )
    )


def weigh(
    sources: Mapping[str, Layer], buildings: Layer | None, complaints: Layer | None = None, rule: Rules | None = None
) -> tuple[Layer, Evidence]:
    """One damage layer of several sources, and the evidence side by side.

    Parameters
    ----------
    sources
        The placed layers by name (`name_of`).
    buildings
        The inventory, whose footprints say what is one structure; None without one.
    complaints
        Complaints that name a structure by its code are listed beside; they name no state and never count.
    rule
        `rules`; those of `data/trust.toml` by default.

    Returns
    -------
    Layer, Evidence
        The layer holds the rows that count, in the order of the sources and their rows. It looked where any of them says that it
        looked; unknown where the main one does not say (or, without a main one, where any does not).
    """
    rule = rule or rules()
    names = sorted(sources, key=lambda name: (name != LAYER, name))
    rows = pd.concat([_rows(sources[name]) for name in names], ignore_index=True)
    newest = rows["date"].max()
    places = np.concatenate([sources[name].frame.geometry.to_numpy() for name in names])
    rows["structure"] = structures(places, rows["series"].to_numpy(dtype=str), _footprints(buildings), float(rule["match_m"]))
    rows["weight"] = _weights(rows["kind"], rows["date"], newest, rule)
    shared = rows.groupby("structure")["series"].transform("nunique") > 1
    deciding = _deciding(rows[shared])
    rows["counts"] = ~shared | (rows["series"] == rows["structure"].map(deciding["series"]))
    extent = _extent(sources)
    told, frames = {}, []
    for name in names:
        layer, mine = sources[name], rows["counts"][rows["series"] == series_of(name)].to_numpy()
        frame = layer.frame
        lost = left_out(frame[~mine], name, "other-evidence", value="state")
        told[name] = replace(layer, left_out=together([layer.left_out, lost], frame.crs))
        frames.append(frame[mine])
    whole = gpd.GeoDataFrame(pd.concat(frames, ignore_index=True), crs=frames[0].crs)
    table = _with_complaints(rows[shared], complaints, newest, rule)
    table["why"] = table["structure"].map(deciding["why"]).astype("string")
    table = table.sort_values(["structure", "series", "row"], kind="stable", ignore_index=True)
    first = told[names[0]]
    combined = replace(
        first,
        name=LAYER,
        frame=whole,
        left_out=together([one.left_out for one in told.values()], whole.crs),
        findings=tuple(one for layer in told.values() for one in layer.findings),
        extent=extent,
    )
    evidence = Evidence(told, table[list(COLUMNS)], rule)
    said = (*_findings(evidence, rows), *_beyond(told, names, rows, places, extent))
    return replace(combined, findings=(*combined.findings, *said)), evidence


def _rows(layer: Layer) -> pd.DataFrame:
    """The rows of a source, without their shapes."""
    frame = layer.frame
    blank = pd.Series(pd.NA, index=frame.index, dtype="string")
    date = pd.to_datetime(frame["date"]) if "date" in frame else pd.Series(pd.NaT, index=frame.index)
    if layer.spec.date is not None:
        date = date.fillna(pd.Timestamp(layer.spec.date))
    return pd.DataFrame(
        {
            "series": series_of(layer.name),
            "kind": kind_of(layer),
            "row": frame["row"].astype("int64"),
            "id": frame["id"].astype("string") if "id" in frame else blank,
            "zone": frame["zone"].astype("string"),
            "date": date.astype("datetime64[s]"),
            "state": frame["state"].astype("string"),
        }
    )


def _footprints(buildings: Layer | None) -> Shapes:
    shapes = np.array([], dtype=object) if buildings is None else buildings.frame.geometry.to_numpy()
    kept: Shapes = shapes[shapely.get_dimensions(shapes) == 2]
    return kept


def structures(places: Shapes, series: np.ndarray[tuple[int], np.dtype[np.str_]], footprints: Shapes, match_m: float) -> Ints:
    """Number of the structure of each row: rows of one number are evidence on the same one.

    Parameters
    ----------
    places
        Points or footprints, metres.
    series
        Source of each row; without a footprint, rows of one source are different structures.
    footprints
        Of the inventory, metres.
    match_m
        Reach of a footprint, and of a row without one, metres.

    Examples
    --------
    A visit 3 m from one of two points of an image:

    >>> places = np.array([shapely.Point(0, 0), shapely.Point(7, 0), shapely.Point(3, 0)])
    >>> structures(places, np.array(["main", "main", "field"]), np.array([], dtype=object), 8.0).tolist()
    [0, 1, 0]
    """
    points = shapely.points(*middle(places))
    number = np.arange(len(points), dtype=np.int64)
    inside = np.full(len(points), -1, dtype=np.int64)
    if len(footprints):
        row, building = shapely.STRtree(footprints).query(points, predicate="dwithin", distance=match_m)
        away = shapely.distance(points[row], footprints[building])
        order = np.lexsort((building, away, row))
        first = order[np.unique(row[order], return_index=True)[1]]
        inside[row[first]] = building[first]
        known = np.flatnonzero(inside >= 0)
        number[known] = known[np.unique(inside[known], return_index=True)[1]][np.unique(inside[known], return_inverse=True)[1]]
    joined: dict[int, list[int]] = {}
    for one, other in _pairs(points, series, np.flatnonzero(inside < 0), match_m):
        mine, theirs = joined.get(one, [one]), joined.get(other, [other])
        if mine is not theirs and not {series[row] for row in mine} & {series[row] for row in theirs}:
            joined |= dict.fromkeys([*mine, *theirs], mine + theirs)
    for rows in joined.values():
        number[rows] = min(rows)
    return np.asarray(np.unique(number, return_inverse=True)[1], dtype=np.intp)


def _pairs(points: Shapes, series: np.ndarray[Any, np.dtype[np.str_]], rest: Any, match_m: float) -> list[tuple[int, int]]:
    """Rows of two sources that are each other's nearest within reach, the nearest first."""
    found: list[tuple[int, int]] = []
    sources = sorted(set(series[rest]))
    for at, one in enumerate(sources):
        mine = rest[series[rest] == one]
        for other in sources[at + 1 :]:
            theirs = rest[series[rest] == other]
            there, back = _nearest(points[mine], points[theirs], match_m), _nearest(points[theirs], points[mine], match_m)
            found += [(int(mine[a]), int(theirs[b])) for a, b in there.items() if back.get(b) == a]
    away = shapely.distance(points[[one for one, _ in found]], points[[other for _, other in found]])
    return [found[at] for at in np.argsort(away, kind="stable")]


def _nearest(points: Shapes, others: Shapes, match_m: float) -> dict[int, int]:
    """The nearest of the others within reach; of equally near ones the first."""
    row, other = shapely.STRtree(others).query(points, predicate="dwithin", distance=match_m)
    away = shapely.distance(points[row], others[other])
    order = np.lexsort((other, away, row))
    first = order[np.unique(row[order], return_index=True)[1]]
    return dict(zip(row[first].tolist(), other[first].tolist(), strict=True))


def _weights(kind: pd.Series[str], date: pd.Series[pd.Timestamp], newest: pd.Timestamp, rule: Rules) -> pd.Series[float]:
    """Trust times its decay; what bears no date counts as old as the oldest that does."""
    kinds = rule["kind"]
    trust = kind.map({name: float(one["trust"]) for name, one in kinds.items()})
    half_life = kind.map({name: float(one["half_life_days"]) for name, one in kinds.items()})
    age = ((newest - date).dt.total_seconds() / 86_400).clip(lower=0.0)
    return trust * 0.5 ** (age.fillna(age.max() if age.notna().any() else 0.0) / half_life)


def _deciding(rows: pd.DataFrame) -> pd.DataFrame:
    """By structure the `series` that counts: one that grades before one that doesn't; the heaviest, the newest, the most severe.

    `why` is the first of these in which it differs from the best of the other series.
    """
    severity = _severity(rows["state"])
    ranked = rows.assign(severity=severity, graded=severity >= 0).sort_values(
        ["structure", "graded", "weight", "date", "severity", "series"],
        ascending=[True, False, False, False, False, True],
        na_position="last",
        kind="stable",
    )
    first = ranked.drop_duplicates("structure").set_index("structure")
    second = ranked[ranked["series"] != ranked["structure"].map(first["series"])].drop_duplicates("structure")
    second = second.set_index("structure").reindex(first.index)
    same = {name: (first[name] == second[name]) | (first[name].isna() & second[name].isna()) for name in ORDER}
    return first[["series"]].assign(why=np.select([~same[name] for name in ORDER], ORDER, "series"))


def _severity(state: pd.Series[str]) -> pd.Series[float]:
    """Order of the states from intact to destroyed; -1 where there is none."""
    order = {name: float(row["rank"]) for name, row in registers.register("states").items()}
    return state.map(order).astype("float64").fillna(-1.0)


def _with_complaints(rows: pd.DataFrame, complaints: Layer | None, newest: pd.Timestamp, rule: Rules) -> pd.DataFrame:
    """The table with the complaints that name one of its structures by code."""
    if complaints is None or "asset" not in complaints.frame or rows["id"].isna().all():
        return rows.copy()
    known = rows.dropna(subset=["id"]).drop_duplicates("id").set_index("id")
    frame = complaints.frame[complaints.frame["asset"].isin(known.index)]
    if frame.empty:
        return rows.copy()
    date = pd.to_datetime(frame["date"]) if "date" in frame else pd.Series(pd.NaT, index=frame.index)
    beside = pd.DataFrame(
        {
            "structure": frame["asset"].map(known["structure"]),
            "zone": frame["asset"].map(known["zone"]),
            "series": "complaints",
            "kind": COMPLAINT,
            "row": frame["row"].astype("int64"),
            "id": frame["id"].astype("string") if "id" in frame else pd.Series(pd.NA, index=frame.index, dtype="string"),
            "date": date.astype("datetime64[s]"),
            "state": pd.Series(pd.NA, index=frame.index, dtype="string"),
            "counts": False,
        }
    )
    beside["weight"] = _weights(beside["kind"], beside["date"], newest, rule)
    return pd.concat([rows, beside], ignore_index=True)


def _extent(sources: Mapping[str, Layer]) -> Extent:
    """Where any of them looked. A visit of some houses that says no more takes nothing away from what the main source says."""
    extents = [sources[name].extent for name in sorted(sources)]
    if any(isinstance(one, str) for one in extents):
        return "study"
    said = [one for one in extents if one is not None]
    bases = [sources[LAYER].extent] if LAYER in sources else extents
    return None if any(one is None for one in bases) else shapely.union_all(said)


def _beyond(sources: Mapping[str, Layer], names: list[str], rows: pd.DataFrame, places: Shapes, extent: Extent) -> list[Finding]:
    """Rows that count and lie where nobody said that the area was looked at, of sources that do not say where they looked."""
    found: list[Finding] = []
    if extent is None or isinstance(extent, str):
        return found
    shapely.prepare(extent)
    outside = rows["counts"] & ~shapely.intersects_xy(extent, *middle(places))
    for name in names:
        some = rows[outside & (rows["series"] == series_of(name))]
        if sources[name].extent is None and len(some):
            said = message("{n} rows lie where nobody said that the area was looked at.", n=len(some))
            told = message("In a neighbourhood of which no part was looked at they change no number.")
            remedy = message("Say where the survey looked: tarmim choose ID --extent.")
            found.append(finding("evidence-beyond", "warning", name, said, expected=told, remedy=remedy, rows=some["row"]))
    return found


def measure(city: City) -> pd.DataFrame:
    """`damage_disagreement_share` by neighbourhood, 0 to 1; NaN where no structure is graded by several sources.

    No column where the city has one source of damage only.
    """
    table = pd.DataFrame(index=city.zones.index)
    if city.evidence is None:
        return table
    by_zone = city.evidence.disagreement().dropna(subset=["zone"]).set_index("zone")
    share = by_zone["share"].reindex(table.index).astype("float64")
    return table.assign(damage_disagreement_share=share, damage_disagreement_share_note=np.where(share.isna(), "nothing-here", ""))


def _findings(evidence: Evidence, rows: pd.DataFrame) -> tuple[Finding, ...]:
    """How far the sources disagree, and which rows bear no date."""
    found = []
    by_zone = evidence.disagreement()
    structures, differ = int(by_zone["structures"].sum()), int(by_zone["differ"].sum())
    if structures:
        steps = float((by_zone["steps"] * by_zone["structures"]).sum() / structures)
        said = message(
            "{n} structures are graded by several sources; {differ} ({share}) differently, by {steps} degrees on average over all.",
            n=structures,
            differ=differ,
            share=percent(differ / structures),
            steps=figure(steps, 1),
        )
        remedy = message("What counts is decided by trust and date (data/trust.toml); the table of evidence keeps all of it.")
        found.append(finding("evidence-disagreement", "warning" if differ else "info", LAYER, said, remedy=remedy, count=differ))
    undated = rows[rows["date"].isna()]
    for series, some in undated.groupby("series"):
        said = message("{n} rows bear no date; they count as old as the oldest evidence.", n=len(some))
        remedy = message("Give the date of the survey: tarmim choose ID --date, or a column of dates.")
        found.append(finding("evidence-undated", "warning", name_of(str(series)), said, remedy=remedy, count=len(some)))
    return tuple(found)


def record(evidence: Evidence) -> dict[str, Any]:
    """The rule by which evidence was weighed, for `run.json`."""
    kinds = {series_of(name): kind_of(layer) for name, layer in evidence.sources.items()}
    known = evidence.rule["kind"]
    chosen = {kind: {name: known[kind][name] for name in ("trust", "half_life_days")} for kind in sorted(set(kinds.values()))}
    return {"series": kinds, "match_m": evidence.rule["match_m"], "kinds": chosen}


def tables(evidence: Evidence | None) -> tuple[dict[str, pd.DataFrame], dict[str, Any]]:
    """The tables of a run with their titles and headings; none where no structure has several sources."""
    if evidence is None or evidence.table.empty:
        return {}, {}
    date = evidence.table["date"].dt.strftime("%Y-%m-%d").astype("string")
    by_zone = evidence.disagreement()
    labels = {
        "evidence": {
            "structure": message("Structure"),
            "zone": message("Neighbourhood"),
            "series": message("Series"),
            "kind": message("Kind of evidence"),
            "row": message("Row"),
            "id": message("Code"),
            "date": message("Date"),
            "state": message("Damage state"),
            "weight": message("Weight"),
            "counts": message("Counts"),
            "why": message("What decided"),
        },
        "disagreement": {
            "zone": message("Neighbourhood"),
            "structures": message("Structures graded by several sources"),
            "differ": message("Graded differently"),
            "share": message("Share graded differently"),
            "steps": message("Degrees between lowest and highest, mean"),
            "differ_1": message("Differing by one degree"),
            "differ_2": message("Differing by two degrees"),
            "differ_more": message("Differing by more"),
        },
    }
    titles = {"evidence": message("Evidence side by side"), "disagreement": message("Where sources disagree")}
    told = {
        name: {
            "title": titles[name].both(),
            "columns": {column: text.both() for column, text in columns.items()},
            "sheet": name == "disagreement",
        }
        for name, columns in labels.items()
    }
    return {"evidence": evidence.table.assign(date=date), "disagreement": by_zone}, told
