"""A run: what went in, what came out, under an id that is the hash of what went in. Nobody writes to a run after it is made.

On disk a run is a folder: `run.json` (inputs, hashes, versions, scheme, findings), `priorities.parquet` (the ranked table with
shapes), `left_out.parquet` and one parquet file for each further table. It is written beside its place and renamed into it, so a
half-written run is never seen.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import geopandas as gpd
import pandas as pd
import pyarrow.parquet

from geo import decisions, evidence, registers, scenarios
from geo.errors import ExportError, Finding, not_written
from geo.harmonise import City, Layer
from geo.left_out import UNKNOWN_VALUE
from geo.ranking import rank
from geo.scheme import Scheme

FIRST = ("rank", "tied", "status", "id", "name_ar", "name_en", "district", "score", "score_low", "score_high", "coverage")


@dataclass(frozen=True)
class Run:
    """A finished run.

    Attributes
    ----------
    id
        First 16 hexadecimal digits of the SHA-256 of inputs, scheme and version.
    info
        What `run.json` holds.
    priorities
        One row a neighbourhood, by rank and then id; columns `FIRST`, then `rank_without_complaints`, `contribution_*`,
        `axis_*`, `sector_*`, the measures with their `_low, _high, _coverage, _note`, `why_ar, why_en`, `would_be_ar,
        would_be_en`, geometry in the study's CRS.
    left_out
        One row per row left out and reason (`geo.left_out`), geometry in the study's CRS or none.
    tables
        Further tables by name, without shapes: one row a neighbourhood, `id` first; `info["tables"]` has their title and headings.
    """

    id: str
    info: Mapping[str, Any]
    priorities: gpd.GeoDataFrame
    left_out: gpd.GeoDataFrame
    tables: Mapping[str, pd.DataFrame] = field(default_factory=dict)

    def criteria(self) -> list[str]:
        """Measures that the scheme scores, in its order."""
        return [one["measure"] for one in self.info["scheme"]["criteria"]]

    def measures(self) -> list[str]:
        """All measures of the table, in its order."""
        return [one["id"] for one in self.info["measures"]]


def describe(
    city: City, scheme: Scheme, measured: list[str], findings: list[Finding], left_out: gpd.GeoDataFrame
) -> dict[str, Any]:
    """The content of `run.json`, the id included; the same inputs give the same bytes on every machine."""
    inputs: dict[str, Any] = {
        "tarmim": version("tarmim"),
        "study": {
            "id": city.study.id,
            "name": city.study.name.model_dump(),
            "crs": city.study.crs,
            "generated": city.study.generated,
        },
        "scheme": scheme.model_dump(mode="json"),
        "layers": [_layer_record(layer, left_out[left_out["layer"] == layer.name]) for layer in _sources(city)],
        "seed": scheme.confidence.seed,
    }
    if city.decided.sha256:  # a study without decisions keeps the id it had
        inputs["decisions"] = {
            "file": decisions.FILE,
            "sha256": city.decided.sha256,
            "names": [asdict(one) for one in city.decided.made],
        }
    if city.dependencies.sha256:
        inputs["dependencies"] = {"file": city.dependencies.file, "sha256": city.dependencies.sha256}
    if city.evidence is not None:
        inputs["evidence"] = evidence.record(city.evidence)
    if city.scenario:  # the id of a run of now stays what it was
        inputs["scenario"] = scenarios.record(city)
    text = json.dumps(inputs, sort_keys=True, ensure_ascii=False)
    return {
        "run": hashlib.sha256(text.encode()).hexdigest()[:16],
        **inputs,
        "versions": {name: version(name) for name in ("geopandas", "shapely", "pyproj", "pyogrio", "pandas", "numpy")},
        "axes": {name: registers.both(row, "name") for name, row in registers.register("axes").items()},
        "sectors": {name: registers.both(row, "name") for name, row in registers.register("sectors").items()},
        "measures": [measure_record(name) for name in measured],
        "findings": [one.record() for one in findings],
    }


def measure_record(name: str) -> dict[str, Any]:
    """A measure's label, meaning, unit, decimals, palette and sector, for pages and clients."""
    row = registers.register("measures")[name]
    return {
        "id": name,
        "label": registers.both(row, "label"),
        "meaning": registers.both(row, "meaning"),
        "unit": registers.both(registers.register("units")[row["unit"]], "name"),
        "unit_id": row["unit"],
        "decimals": int(row["decimals"]),
        "palette": row["palette"],
        "sector": row["sector"],
    }


def _sources(city: City) -> list[Layer]:
    """The layers; in place of one whose sources were weighed, these sources."""
    if city.evidence is None:
        return list(city.layers.values())
    weighed = {evidence.LAYER: list(city.evidence.sources.values())}
    return [one for name, layer in city.layers.items() for one in weighed.get(name, [layer])]


def _layer_record(layer: Layer, left_out: gpd.GeoDataFrame) -> dict[str, Any]:
    """A layer's entry; rows read = used + left out + lost + not selected. A row with an unknown value still counts as used."""
    name, spec = layer.name.partition("/")[0], layer.spec
    settings = spec.model_dump(mode="json", exclude={"path", "source", "date", "licence", "profile"}, exclude_defaults=True)
    if "extent" in settings:  # the same inputs give the same id wherever they lie
        settings["extent"] = Path(settings["extent"]).name
    lost = int(left_out.loc[left_out["reason"] != UNKNOWN_VALUE, "row"].nunique())
    return {
        "layer": layer.name,
        "label": registers.both(registers.register("layers")[name], "name"),
        "file": Path(spec.path).name,
        "sha256": layer.sha256,
        "profile": spec.profile,
        "source": spec.source.model_dump() if spec.source else {"ar": "", "en": ""},
        "date": spec.date.isoformat() if spec.date else "",
        "licence": spec.licence,
        "settings": settings,
        "extent_sha256": layer.extent_sha256,
        "rows_read": layer.rows_read,
        "rows_used": layer.rows_chosen - lost,
        "rows_left_out": lost,
        "rows_lost": layer.rows_lost,
        "rows_not_selected": layer.rows_read - layer.rows_chosen - layer.rows_lost,
    }


def order(table: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
    """By rank, then id; what can't be assessed last; the first columns first."""
    ordered = table.sort_values(["rank", "id"], na_position="last", kind="stable").reset_index(drop=True)
    rest = [column for column in ordered.columns if column not in FIRST and column != "geometry"]
    return ordered[[*FIRST, *rest, "geometry"]]


def save(run: Run, runs: Path) -> Path:
    """Write a run into the folder `runs`, once; a run that is there already is left as it is.

    Raises
    ------
    ExportError
        The folder can't be written.
    """
    place = runs / run.id
    if place.exists():
        return place
    try:
        return _written(run, runs, place)
    except OSError as error:
        if place.exists():  # somebody else wrote the same run meanwhile
            return place
        raise ExportError(not_written(runs, error)) from error


def _written(run: Run, runs: Path, place: Path) -> Path:
    runs.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(prefix=".making-", dir=runs))
    try:
        run.priorities.to_parquet(staging / "priorities.parquet", compression="zstd", write_covering_bbox=True)
        run.left_out.to_parquet(staging / "left_out.parquet", compression="zstd")
        for name, table in run.tables.items():
            table.to_parquet(staging / f"{name}.parquet", compression="zstd", index=False)
        (staging / "run.json").write_text(json.dumps(run.info, ensure_ascii=False, indent=1), encoding="utf-8")
        for written in (*staging.iterdir(), staging):
            _flush(written)
        staging.chmod(0o755)
        staging.rename(place)
        _flush(runs)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return place


def _flush(path: Path) -> None:
    """Onto the disk, file or folder, before anything is acknowledged."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def load(place: Path) -> Run:
    """A run as it was made."""
    info = json.loads((place / "run.json").read_text(encoding="utf-8"))
    priorities = gpd.read_parquet(place / "priorities.parquet")
    for column in ("bbox",):
        priorities = priorities.drop(columns=column, errors="ignore")
    left_out = gpd.read_parquet(place / "left_out.parquet")
    further = sorted(path for path in place.glob("*.parquet") if path.stem not in ("priorities", "left_out"))
    return Run(info["run"], info, priorities, left_out, {path.stem: _table(path) for path in further})


def _table(path: Path) -> pd.DataFrame:
    """A further table; with its shapes where it has any."""
    shaped = b"geo" in (pyarrow.parquet.read_schema(path).metadata or {})
    return gpd.read_parquet(path) if shaped else pd.read_parquet(path)


def for_sector(run: Run, sector: str) -> gpd.GeoDataFrame:
    """The run cut for one directorate: ordered by the sub-score of its sector, which becomes `score`, with ranks of its own.

    Bounds are unknown here; the contributions and reasons of the whole list, and decisions on its ranks, are left away: they speak
    of another rank.
    """
    whole = [
        name
        for name in run.priorities
        if name.startswith(("contribution_", "why_", "would_be_", "decided_", "rank_", "chance_", "band"))
    ]
    table = run.priorities.drop(columns=["rank", "tied", "status", *whole])
    scores = table[f"sector_{sector}"]
    cut = table.assign(score=scores, score_low=float("nan"), score_high=float("nan")).join(rank(scores))
    return order(gpd.GeoDataFrame(cut, crs=run.priorities.crs))
