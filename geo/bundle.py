"""A bundle: a run with everything that went into it, in one zip, with which anybody can compute it again and compare.

The files of the layers, the accepted datasets, decisions on names, the scenario, the study's settings and the scheme go in, beside
the run itself. `verify` believes nothing of it: it checks each file against its hash, computes the run anew from the inputs, and
compares id, ranks and every number byte for byte. Known bias: another processor may round the last digit of a number differently;
ranks and numbers are therefore compared apart, and the largest difference is said.
"""

from __future__ import annotations

import datetime
import hashlib
import json
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from importlib.metadata import version
from io import BytesIO
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pandas as pd

from geo import decisions, pipeline, scenarios, surveys
from geo.datasets import read
from geo.errors import Finding, LayerError, finding, raise_errors
from geo.evidence import series_of
from geo.export import csv_bytes, write_whole
from geo.messages import message
from geo.reading import sha256
from geo.records import Dataset
from geo.run import Run, load
from geo.scheme import Scheme
from geo.store import Store
from geo.study import LAYERS, LayerSpec, Scenario, Study
from geo.surveys import EPOCH, name_of

MANIFEST = "bundle.json"
FORM = 1
RANKS = ["id", "rank", "tied", "status"]
AT_MOST = 8 * 2**30  # bytes of a file unpacked


@dataclass(frozen=True)
class Verified:
    """What came of computing a bundle again.

    Attributes
    ----------
    same_id, same_ranks, same_numbers
        Whether the id of the run, the list of ranks and all tables are equal byte for byte.
    difference
        Largest difference of a number; 0 where `same_numbers`, NaN where rows or unknown values differ.
    """

    run: str
    same_id: bool
    same_ranks: bool
    same_numbers: bool
    difference: float
    findings: tuple[Finding, ...]


def pack(store: Store, study: Study, run: str, path: Path) -> Path:
    """Write the bundle of a run of the store.

    Raises
    ------
    UnknownNameError
        There is no such run.
    LayerError
        A file that the run read is not there any more, or is another one now.
    ExportError
        The place can't be written.
    """
    known = store.run(run)
    record = next(one for one in store.runs() if one.id == known.id)
    datasets = [_as_read(store.dataset(ident), known) for ident in record.datasets]
    moved, files, extents = _inputs(study, known, {name_of(one): one for one in datasets})
    content: dict[str, bytes | Path] = {
        "study.json": _json(moved.model_dump(mode="json", exclude_defaults=True)),
        "datasets.json": _json([_record(one, extents.get(name_of(one))) for one in datasets]),
        **{f"datasets/{one.id}.parquet": store.path(one) for one in datasets},
        **{f"study/{name}": file for name, file in files.items()},
        **{f"run/{file.name}": file for file in sorted((store.folder / "runs" / known.id).iterdir())},
        **{f"run/{name}.csv": table for name, table in _tables(known).items()},
    }
    hashes = {name: _sha256(part) for name, part in content.items()}
    manifest = {"form": FORM, "run": known.id, "tarmim": version("tarmim"), "files": hashes}
    return write_whole(path, lambda place: _zipped(place, {MANIFEST: _json(manifest), **content}))


def _json(content: object) -> bytes:
    return json.dumps(content, ensure_ascii=False, indent=1, sort_keys=True, default=str).encode()


def _as_read(dataset: Dataset, run: Run) -> Dataset:
    """The dataset in the series in which the run read it; it may count in another one now."""
    names = (entry["layer"] for entry in run.info["layers"] if entry["sha256"] == dataset.sha256)
    return replace(dataset, series=series_of(next(names, name_of(dataset))))


def _record(dataset: Dataset, extent: str | None) -> dict[str, Any]:
    """A dataset's entry in the catalogue, without who sent it; `extent` is the place of its extent within the bundle."""
    entry = {one.name: getattr(dataset, one.name) for one in fields(dataset) if one.name != "change"}
    kept = {name: value for name, value in dataset.provenance.items() if name != "sender"}
    if extent is not None:
        kept["choices"] = {**kept["choices"], "extent": extent}
    return {**entry, "provenance": kept}


def _tables(run: Run) -> dict[str, bytes]:
    return {"priorities": csv_bytes(run.priorities), "left_out": csv_bytes(run.left_out)}


def _inputs(study: Study, run: Run, datasets: Mapping[str, Dataset]) -> tuple[Study, dict[str, Path], dict[str, str]]:
    """The study with its files under names within the bundle, these files, and where the extents of datasets lie among them.

    Files are checked against the hashes of the run.
    """
    moved: dict[str, LayerSpec] = {}
    extents: dict[str, str] = {}
    files: dict[str, Path] = {}
    faults: list[Finding] = []
    for entry in run.info["layers"]:
        name = entry["layer"]
        own = study.layers.get(name)
        place = name.replace("/", "-")
        spec = LayerSpec(**datasets[name].provenance["choices"]) if name in datasets else own
        if spec is None:
            faults.append(_changed(name))
            continue
        change: dict[str, Any] = {"path": f"{place}/{Path(spec.path).name}"}
        if name not in datasets:
            file = study.path(spec.path)
            faults += [] if file.is_file() and sha256(file) == entry["sha256"] else [_changed(name)]
            files |= {f"{place}/{part.name}": part for part in _parts(file)}
        if spec.extent not in (None, "study"):
            file = study.path(str(spec.extent))
            faults += [] if file.is_file() and sha256(file) == entry["extent_sha256"] else [_changed(f"{name}.extent")]
            change["extent"] = extents[name] = f"{place}/extent/{file.name}"
            files |= {f"{place}/extent/{part.name}": part for part in _parts(file)}
        if name in LAYERS:  # series are known by their datasets
            moved[name] = spec.model_copy(update=change)
    told = run.info.get("decisions")
    if told is not None:
        file = study.folder / decisions.FILE
        faults += [] if file.is_file() and _sha256(file)["sha256"] == told["sha256"] else [_changed(decisions.FILE)]
        files[decisions.FILE] = file
    needs = study.dependencies if run.info.get("dependencies") else None
    if needs is not None:
        file = study.path(needs.path)
        faults += [] if file.is_file() and sha256(file) == run.info["dependencies"]["sha256"] else [_changed("dependencies")]
        needs = needs.model_copy(update={"path": f"dependencies/{file.name}"})
        files[needs.path] = file
    scenario, more, changed = _scenario(study, run)
    raise_errors([*faults, *changed], LayerError)
    return study.model_copy(update={"layers": moved, "scenarios": scenario, "dependencies": needs}), files | more, extents


def _scenario(study: Study, run: Run) -> tuple[dict[str, Scenario], dict[str, Path], list[Finding]]:
    """The population scenario that the run stands under, with its files; nothing for a run of now."""
    told = run.info.get("scenario")
    if told is None:
        return {}, {}, []
    chosen = study.scenarios.get(told["id"])
    if chosen is None:
        return {}, {}, [_changed(f"scenarios.{told['id']}")]
    files: dict[str, Path] = {}
    change: dict[str, str] = {}
    faults = []
    for entry, known in told["sha256"].items():
        file = study.path(str(getattr(chosen, entry)))
        faults += [] if file.is_file() and sha256(file) == known else [_changed(f"scenarios.{told['id']}")]
        change[entry] = f"scenario/{entry}/{file.name}"
        files |= {f"scenario/{entry}/{part.name}": part for part in _parts(file)}
    return {told["id"]: chosen.model_copy(update=change)}, files, faults


def _parts(file: Path) -> list[Path]:
    """A file; of a shapefile all its parts."""
    if file.suffix.lower() != ".shp":
        return [file]
    return sorted(one for one in file.parent.iterdir() if one.name.startswith(f"{file.stem}.") and one.is_file())


def _changed(where: str) -> Finding:
    return finding(
        "input-changed",
        "error",
        where,
        message("The file that the run read is not there any more, or is another one now."),
        expected=message("The very file, by its hash in run.json."),
        remedy=message("Bring the file back, or rank anew and bundle the new run."),
    )


def _sha256(part: bytes | Path) -> dict[str, Any]:
    if isinstance(part, bytes):
        return {"sha256": hashlib.sha256(part).hexdigest(), "bytes": len(part)}
    with part.open("rb") as stream:
        return {"sha256": hashlib.file_digest(stream, "sha256").hexdigest(), "bytes": part.stat().st_size}


def _zipped(place: Path, content: Mapping[str, bytes | Path]) -> None:
    """The same content gives the same bytes."""
    with zipfile.ZipFile(place, "w", zipfile.ZIP_DEFLATED, allowZip64=True) as archive:
        for name, part in content.items():
            entry = zipfile.ZipInfo(name, EPOCH)
            entry.compress_type = zipfile.ZIP_STORED if name.endswith(".parquet") else zipfile.ZIP_DEFLATED
            with archive.open(entry, "w", force_zip64=True) as out:
                if isinstance(part, bytes):
                    out.write(part)
                    continue
                with part.open("rb") as stream:
                    while chunk := stream.read(2**20):
                        out.write(chunk)


def verify(path: Path) -> Verified:
    """Compute the run of a bundle again and compare.

    Raises
    ------
    LayerError
        It is no bundle, or a file in it is damaged or missing.
    """
    with _opened(path) as folder:
        manifest = json.loads((folder / MANIFEST).read_bytes())
        before = load(folder / "run")
        study, accepted = _study(folder)
        scheme = Scheme(**before.info["scheme"])
        city = scenarios.under(
            pipeline.read_city(study, accepted=accepted), before.info.get("scenario", {}).get("id", scenarios.NOW)
        )
        after = pipeline.assess(city, scheme)
        kept = {name: (folder / "run" / f"{name}.csv").read_bytes() for name in _tables(after)}
    return _compared(manifest, kept, after)


def _study(folder: Path) -> tuple[Study, dict[str, Any]]:
    study = Study(**json.loads((folder / "study.json").read_bytes()), folder=folder / "study")
    told = [_dataset(one) for one in json.loads((folder / "datasets.json").read_bytes())]
    tables = [read(folder / "datasets" / f"{one.id}.parquet") for one in told]
    return study, surveys.layers_of(study, list(zip(told, tables, strict=True)))


def _dataset(entry: Mapping[str, Any]) -> Dataset:
    made = datetime.datetime.fromisoformat(entry["made_at"])
    date = None if entry["date"] is None else datetime.date.fromisoformat(entry["date"])
    return Dataset(**{**entry, "made_at": made, "date": date})


def _compared(manifest: Mapping[str, Any], kept: Mapping[str, bytes], after: Run) -> Verified:
    again = _tables(after)
    old, new = (pd.read_csv(BytesIO(one["priorities"]), dtype={"id": "string"}) for one in (kept, again))
    same_ranks = old[RANKS].to_csv() == new[RANKS].to_csv()
    same_numbers = all(kept[name] == again[name] for name in again)
    findings: list[Finding] = []
    if manifest["tarmim"] != version("tarmim"):
        said = message("The run was made by Tarmim {old}; this is {new}.", old=manifest["tarmim"], new=version("tarmim"))
        findings.append(finding("other-version", "warning", manifest["run"], said))
    return Verified(
        manifest["run"],
        after.id == manifest["run"],
        same_ranks,
        same_numbers,
        0.0 if same_numbers else _largest(old, new),
        tuple(findings),
    )


def _largest(old: pd.DataFrame, new: pd.DataFrame) -> float:
    """Largest difference of a number; NaN where the tables don't have the same rows, columns or unknown values."""
    if list(old.columns) != list(new.columns) or len(old) != len(new):
        return float("nan")
    numbers = old.select_dtypes("number").columns
    one, other = old[numbers].to_numpy(float), new[numbers].to_numpy(float)
    if (np.isnan(one) != np.isnan(other)).any():
        return float("nan")
    return float(np.nanmax(np.abs(one - other), initial=0.0))


@contextmanager
def _opened(path: Path) -> Iterator[Path]:
    """A bundle unpacked into a folder of its own, every file checked against its hash; nothing lies outside of it."""
    with tempfile.TemporaryDirectory(prefix="tarmim-bundle-") as private:
        folder = Path(private)
        try:
            with zipfile.ZipFile(path) as archive:
                manifest = json.loads(archive.read(MANIFEST))
                _unpacked(archive, manifest["files"], folder)
                (folder / MANIFEST).write_bytes(archive.read(MANIFEST))
        except (OSError, zipfile.BadZipFile, ValueError, KeyError, TypeError, AttributeError) as error:
            raise LayerError(_no_bundle(path, error)) from None
        yield folder


def _unpacked(archive: zipfile.ZipFile, files: Mapping[str, Mapping[str, Any]], folder: Path) -> None:
    for name, told in files.items():
        inside = PurePosixPath(name)
        if inside.is_absolute() or ".." in inside.parts or "\\" in name or told["bytes"] > AT_MOST:
            raise ValueError(name)
        target = folder / inside
        target.parent.mkdir(parents=True, exist_ok=True)
        digest, left = hashlib.sha256(), int(told["bytes"])
        with archive.open(name) as stream, target.open("wb") as out:
            while chunk := stream.read(min(2**20, left + 1)):
                left -= len(chunk)
                if left < 0:
                    break
                digest.update(chunk)
                out.write(chunk)
        if left or digest.hexdigest() != told["sha256"]:
            raise ValueError(name)


def _no_bundle(path: Path, error: Exception) -> Finding:
    return finding(
        "no-bundle",
        "error",
        path.name,
        message("This is no bundle of a run, or it is damaged: {reason}.", reason=str(error)[:200] or type(error).__name__),
        expected=message("A zip made by `tarmim bundle`, with every file as its hash says."),
        remedy=message("Ask for it again."),
    )
