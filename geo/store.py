"""The store of a study: what was delivered, the datasets made of it, the runs, and who decided what.

    STUDY/
      surveys/<id>/original, receipt.json   what was delivered, untouched
      layers/<layer>/<dataset>.parquet      datasets (`geo.datasets`)
      runs/<run>/…                          runs (`geo.run`)
      uploads/<id>                          deliveries of which not all has arrived (`geo.uploads`)
      catalogue.sqlite                      what of all this exists (`geo.catalogue`); or PostgreSQL
      jobs.sqlite                           which jobs wait for a worker; what they are stands in the catalogue
      tiles/                                vector tiles (`geo.tiles`); made again where they are missing, and in no backup
      .staging/                             what is being made (`geo.staging`)

A write is: made in staging, onto the disk, then one transaction that enters it into the catalogue and renames it into its place.
**Whatever is not in the catalogue does not exist.** When a method has returned, a power cut takes nothing of it back; when it has
raised or its process was killed, nothing of it is to be seen. Names of files are the hashes of what they hold, never a word from
outside, and nothing is ever written twice: originals, datasets and runs are kept for ever.
Known bias: the disk is believed when it says that something is written. There is no clock here: callers give the time.
"""

from __future__ import annotations

import datetime
import hashlib
import json
import os
import shutil
import tempfile
import unicodedata
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

import pandas as pd
import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import DBAPIError

from geo import catalogue, datasets, fsck, registers, staging
from geo.backup import is_backup, pack, unpack
from geo.catalogue import StoreError as StoreError
from geo.catalogue import mended, reading, utc, writing
from geo.datasets import Change
from geo.errors import ExportError, Finding, UnknownNameError, disk_full, finding, is_full
from geo.evidence import MAIN, check_series
from geo.fsck import ORIGINAL, RECEIPT, UPLOADS, damaged, dead_uploads, known_files, known_places, sha256_of
from geo.messages import Message, message
from geo.overrides import Override, decided
from geo.overrides import in_words as cost_in_words
from geo.records import (
    STATES,
    Dataset,
    Decision,
    Job,
    Receipt,
    RunRecord,
    Survey,
    SurveyStatus,
    dataset_of,
    job_of,
    receipt_of,
    run_of,
    survey_of,
)
from geo.run import Run, load, save
from geo.seals import FIRST, broken, seal

RESERVE_BYTES = 16 * 2**20
CHUNK_BYTES = 2**20
NAME_LENGTH = 200
QUEUE = "jobs.sqlite"
TILES = "tiles"


class Store:
    """A study folder and its catalogue, open. Several processes and threads may have the same one open and write.

    Every method raises `StoreError` where the disk or the database refuses; then nothing of the call was kept. Where a method
    takes `by` and `origin`, they are who decided and from where (an address, a command), for the log.
    """

    def __init__(self, folder: Path, engine: Engine, *, reserve_bytes: int = RESERVE_BYTES) -> None:
        self.folder = folder
        self.engine = engine
        self.reserve_bytes = reserve_bytes

    @classmethod
    def open(cls, folder: Path | str, url: str | None = None, *, reserve_bytes: int = RESERVE_BYTES) -> Store:
        """Open the store of a study folder; begin one where there is none; clear away what killed processes left.

        Parameters
        ----------
        url
            Address of a PostgreSQL database; without it the catalogue is a file of the folder.
        reserve_bytes
            Room on the disk that no delivery may take, so that the catalogue can always be written.

        Raises
        ------
        StoreError
            The folder is not there, the catalogue can't be opened or was written by a newer Tarmim.
        """
        place = Path(folder).resolve()
        if not place.is_dir():
            raise StoreError(
                finding(
                    "missing-folder",
                    "error",
                    str(folder),
                    message("There is no folder {path}.", path=folder),
                    remedy=message("Give the folder of a study, or make one with `tarmim init`."),
                )
            )
        store = cls(place, catalogue.connect(place, url), reserve_bytes=reserve_bytes)
        try:
            store._begin()
        except BaseException:
            store.close()
            raise
        return store

    def _begin(self) -> None:
        with mended("catalogue"):
            with reading(self.engine) as connection:
                ready = catalogue.revision(connection) == catalogue.HEAD
            if not ready:
                with staging.gate(self.folder):
                    catalogue.migrate(self.engine)
                    staging.flush(self.folder)
        with suppress(StoreError):  # a full or read-only disk is still good for reading
            self.tidy()

    def close(self) -> None:
        self.engine.dispose()

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # ------------------------------------------------------------------------------------------------------------------ surveys

    def receive(
        self,
        source: Path | str | BinaryIO,
        *,
        name: str,
        sender: str,
        layer: str,
        now: datetime.datetime,
        at_most: int | None = None,
    ) -> Receipt:
        """Keep a delivered file, untouched and for ever, and give a receipt once it is safe.

        Content that this layer received before is recognised, whoever sends it: the first receipt comes back with a finding.
        If the original has rotted since, the new copy takes its place.

        Parameters
        ----------
        source
            A file, or a stream of bytes, read to its end.
        name
            The sender's name of the file: kept as text, without folders and control characters, never used as a path.
        at_most
            Limit in bytes.

        Raises
        ------
        StoreError
            Empty, too large, or no room on the disk.
        UnknownNameError
            No such layer.
        """
        entry = self._delivered(name=name, sender=sender, layer=layer, now=now)
        with self._making() as step:
            content = step.folder / "content"
            content.mkdir()
            sha256, size = self._keep(source, content / ORIGINAL, at_most)
            return self._received(step, content, {**entry, "sha256": sha256, "bytes": size})

    def _delivered(self, *, name: str, sender: str, layer: str, now: datetime.datetime) -> dict[str, Any]:
        """What is said of a delivery, as the catalogue keeps it."""
        return {"received_at": utc(now), "sender": _text(sender), "layer": _known_layer(layer), "name": _file_name(name)}

    def _received(
        self,
        step: staging.Step,
        content: Path,
        said: Mapping[str, Any],
        also: Callable[[Connection, str], None] = lambda connection, ident: None,
    ) -> Receipt:
        """Enter an original that stands in staging, on the disk; `also` is done in the same transaction, with the survey's id."""
        ident = hashlib.sha256(f"{said['layer']}\n{said['sha256']}".encode()).hexdigest()[:32]
        receipt = {"id": ident, **said, "received_at": said["received_at"].isoformat()}
        _write_bytes(content / RECEIPT, json.dumps(receipt, ensure_ascii=False, indent=1).encode())
        staging.flush(content)
        entry = {"id": ident, **said, "status": "received"}
        with writing(self.engine) as connection:
            known = _row(connection, catalogue.surveys, ident)
            if known is None:
                connection.execute(sa.insert(catalogue.surveys), entry)
                step.move(content, f"surveys/{ident}")
            also(connection, ident)
        step.place = None
        first = survey_of(known or {**NOT_YET, **entry})
        if known is not None:
            self._mend_original(first, content, said["received_at"])
        return receipt_of(first, again=known is not None)

    def survey(self, ident: str) -> Survey:
        """A survey by its id.

        Raises
        ------
        StoreError
            There is none of that id.
        """
        with self.view() as connection:
            return survey_of(_known(connection, catalogue.surveys, ident))

    def surveys(self, *, status: SurveyStatus | None = None, sender: str | None = None, layer: str | None = None) -> list[Survey]:
        """The surveys, newest first; of one status, sender or layer where given."""
        table = catalogue.surveys
        chosen = {"status": status, "sender": None if sender is None else _text(sender), "layer": layer}
        query = sa.select(table).where(*(table.c[name] == value for name, value in chosen.items() if value is not None))
        with self.view() as connection:
            rows = connection.execute(query.order_by(table.c.received_at.desc(), table.c.id))
            return [survey_of(row._mapping) for row in rows]

    def original(self, survey: str | Survey) -> Path:
        """The file of a survey as it was delivered; to be read only."""
        ident = survey.id if isinstance(survey, Survey) else self.survey(survey).id
        return self.folder / "surveys" / ident / ORIGINAL

    def record_check(
        self,
        survey: str,
        findings: Iterable[Finding],
        *,
        profile: str | None = None,
        mapping: Mapping[str, Any] | None = None,
        now: datetime.datetime,
    ) -> Survey:
        """Note what was found in a survey, in place of what an earlier check found; a returned survey can be decided again."""
        values: dict[str, Any] = {"findings": [one.record() for one in findings], "profile": profile, "checked_at": utc(now)}
        values["mapping"] = None if mapping is None else dict(mapping)
        with self.change() as connection:
            known = _known(connection, catalogue.surveys, survey)
            if known["status"] != "accepted":
                values["status"] = "checked"
            _update(connection, catalogue.surveys, survey, values)
            return survey_of({**known, **values})

    def return_(self, survey: str, reason: str, *, by: str, now: datetime.datetime, origin: str = "") -> Survey:
        """Give a survey back to its sender with a reason; the file stays here.

        Raises
        ------
        StoreError
            It is accepted already.
        """
        values = {"status": "returned", "reason": _text(reason), "decided_by": _text(by), "decided_at": utc(now)}
        with self.change() as connection:
            known = _known(connection, catalogue.surveys, survey)
            if known["status"] == "accepted":
                raise StoreError(_wrong_step(known, message("Withdraw its dataset instead.")))
            _update(connection, catalogue.surveys, survey, values)
            log_entry(connection, now, by, origin, "survey-returned", survey, {"reason": values["reason"]})
            return survey_of({**known, **values})

    # ----------------------------------------------------------------------------------------------------------------- datasets

    def accept(
        self,
        survey: str | None,
        table: pd.DataFrame,
        *,
        by: str,
        now: datetime.datetime,
        provenance: Mapping[str, Any],
        layer: str | None = None,
        date: datetime.date | None = None,
        trust: str | None = None,
        series: str = MAIN,
        origin: str = "",
    ) -> Dataset:
        """Make a table the current dataset of its layer and series; the one before is superseded and stays.

        A table that is a dataset already becomes current again, with its first provenance; nothing is written for it.

        Parameters
        ----------
        survey
            The survey that the table was made of, checked; None for a table that nobody delivered, which needs `layer`.
        provenance
            How the table came about, for JSON: source, licence, program, steps.
        date
            When its state of the ground was seen.
        trust
            A word for how far its source is trusted.
        series
            The kind of evidence, where datasets of several kinds stand side by side.

        Returns
        -------
        Dataset
            With `change`: rows and columns added, removed and changed against the dataset before.

        Raises
        ------
        StoreError
            The survey is not checked or was returned, columns can't be kept, there is no room on the disk, or the very same
            table counts already in another series.
        SchemaError
            No such series.
        UnknownNameError
            No such layer.
        """
        now = utc(now)
        layer = self._layer(survey, layer)
        check_series(layer, series)
        with mended(self.folder.name):
            self._room(0)
        ordered = datasets.in_order(table, layer)
        ident = datasets.content_id(ordered, layer)
        entry: dict[str, Any] = {"id": ident, "layer": layer, "survey_id": survey, "made_at": now, "rows": len(ordered)}
        entry |= {"series": series, "date": date, "trust": trust, "provenance": dict(provenance), "status": "current"}
        change = self._compared(layer, series, ordered, ident)
        beside = {} if series == MAIN else {"series": series}
        with self._making() as step:
            made = step.folder / "content.parquet"
            with self.view() as connection:
                is_new = _row(connection, catalogue.datasets, ident) is None
            if is_new:
                datasets.write(ordered, made)
                made.chmod(0o444)
                entry |= {"sha256": sha256_of(made), "bytes": made.stat().st_size}
            while True:
                with writing(self.engine) as connection:
                    before = _current(connection, layer, series)
                    fits = change.before == (before["id"] if before is not None else None)
                    if fits:
                        was = None if survey is None else _known(connection, catalogue.surveys, survey)
                        made_of = self._enter(connection, step, made, entry, before)
                        if change.before != ident or (was is not None and was["status"] != "accepted"):
                            log_entry(
                                connection,
                                now,
                                by,
                                origin,
                                "dataset-accepted",
                                ident,
                                {"survey": survey, **beside, **change.counts()},
                            )
                        if was is not None and was["status"] != "accepted":
                            _ready(was)
                            decided = {"status": "accepted", "decided_by": _text(by), "decided_at": now, "reason": None}
                            _update(connection, catalogue.surveys, was["id"], decided)
                if fits:
                    break
                change = self._compared(layer, series, ordered, ident)  # somebody was quicker
            step.place = None
        return replace(dataset_of(made_of), change=change)

    def _enter(
        self,
        connection: Connection,
        step: staging.Step,
        made: Path,
        entry: Mapping[str, Any],
        before: Mapping[str, Any] | None,
    ) -> dict[str, Any]:
        """The rows of the catalogue for a dataset that becomes current."""
        table, ident = catalogue.datasets, entry["id"]
        if before is not None and before["id"] != ident:
            _update(connection, table, before["id"], {"status": "superseded"})
        known = _row(connection, table, ident)
        if known is not None:
            if known["status"] == "current" and known["series"] != entry["series"]:
                raise StoreError(_counts_elsewhere(known))
            again = {"status": "current", "series": entry["series"]}
            _update(connection, table, ident, again)
            return {**known, **again}
        full = {**entry, "supersedes": None if before is None else before["id"]}
        connection.execute(sa.insert(table), full)
        step.move(made, f"layers/{entry['layer']}/{ident}.parquet")
        return full

    def _layer(self, survey: str | None, layer: str | None) -> str:
        """The layer that a table is for."""
        if survey is not None:
            known = self.survey(survey)
            _ready({"id": known.id, "status": known.status})
            if layer not in (None, known.layer):
                raise ValueError(f"survey {survey} is of layer {known.layer}, not {layer}")
            return known.layer
        if layer is None:
            raise ValueError("a table without a survey needs its layer")
        return _known_layer(layer)

    def _compared(self, layer: str, series: str, table: pd.DataFrame, ident: str) -> Change:
        with self.view() as connection:
            before = _current(connection, layer, series)
        if before is not None and before["id"] == ident:
            return Change(ident, 0, rows_same=len(table))
        if before is not None:
            with suppress(StoreError):  # a damaged file of the past is no reason to refuse a new one
                return datasets.compare(self.read(before["id"]), table, before["id"])
        ids = tuple(table["id"].astype("string").dropna()) if "id" in table else ()
        return Change(None if before is None else before["id"], len(table), added=ids, compared=before is None)

    def dataset(self, ident: str) -> Dataset:
        """A dataset by its id.

        Raises
        ------
        StoreError
            There is none of that id.
        """
        with self.view() as connection:
            return dataset_of(_known(connection, catalogue.datasets, ident))

    def datasets(self, layer: str | None = None, *, current: bool = True) -> list[Dataset]:
        """The current dataset of each layer and series, or all there ever were, newest first; of one layer where given."""
        table = catalogue.datasets
        query = sa.select(table).order_by(table.c.made_at.desc(), table.c.id)
        if layer is not None:
            query = query.where(table.c.layer == layer)
        if current:
            query = query.where(table.c.status == "current")
        with self.view() as connection:
            return [dataset_of(row._mapping) for row in connection.execute(query)]

    def path(self, dataset: str | Dataset) -> Path:
        """The file of a dataset; to be read only."""
        known = dataset if isinstance(dataset, Dataset) else self.dataset(dataset)
        return self.folder / "layers" / known.layer / f"{known.id}.parquet"

    def read(self, dataset: str | Dataset) -> pd.DataFrame:
        """The table of a dataset, a GeoDataFrame where it has shapes, in the order of its file.

        Raises
        ------
        StoreError
            There is none of that id, or its file is damaged.
        """
        path = self.path(dataset)
        try:
            return datasets.read(path)
        except (OSError, ValueError) as error:  # Arrow's errors are both
            raise StoreError(damaged(self._seen(path))) from error

    def withdraw(self, dataset: str, *, by: str, reason: str, now: datetime.datetime, origin: str = "") -> Dataset:
        """Take a dataset out of use, with a reason; its series is then as it was before that dataset was accepted.

        The one that it superseded becomes current again, or, where that was withdrawn since, the one before it, and so on; without
        one the series has none until one is accepted, be it an old one. A dataset that no longer counts is only marked.
        """
        with self.change() as connection:
            known = _known(connection, catalogue.datasets, dataset)
            _update(connection, catalogue.datasets, dataset, {"status": "withdrawn"})
            details = {"reason": _text(reason), "was": known["status"]}
            before = _before(connection, known) if known["status"] == "current" else None
            if before is not None:
                _update(connection, catalogue.datasets, before, {"status": "current"})
                details["again"] = before
            log_entry(connection, now, by, origin, "dataset-withdrawn", dataset, details)
            return dataset_of({**known, "status": "withdrawn"})

    def reinstated(self, dataset: str) -> str | None:
        """The dataset that became current again when this one was withdrawn last; None where none did."""
        told = [one.details.get("again") for one in self.decisions(dataset) if one.what == "dataset-withdrawn"]
        return told[-1] if told else None

    # --------------------------------------------------------------------------------------------------------------------- runs

    def add_run(self, run: Run, made_at: datetime.datetime, *, by: str = "", origin: str = "") -> RunRecord:
        """Keep a run; one that is here already is left as it is.

        The datasets it read are known by the hashes of the files in `run.info`.
        """
        made_at = utc(made_at)
        with self.view() as connection:
            known = _row(connection, catalogue.runs, run.id)
        if known is not None:
            return run_of(known)
        with self._making() as step:
            self._room(0)
            made = _saved(run, step.folder)
            files = {path.name: sha256_of(path) for path in sorted(made.iterdir())}
            with writing(self.engine) as connection:
                known = _row(connection, catalogue.runs, run.id)
                if known is None:
                    entry = {"id": run.id, "made_at": made_at, "scheme": run.info["scheme"]["id"], "files": files}
                    entry |= {"datasets": _read_by(run, connection), "published_at": None}
                    connection.execute(sa.insert(catalogue.runs), entry)
                    log_entry(connection, made_at, by, origin, "run-made", run.id, {"datasets": entry["datasets"]})
                    step.move(made, f"runs/{run.id}")
            step.place = None
        return run_of(known or entry)

    def runs(self, *, published: bool = False) -> list[RunRecord]:
        """The runs, newest first; only published ones where asked."""
        table = catalogue.runs
        query = sa.select(table).order_by(table.c.made_at.desc(), table.c.id)
        if published:
            query = query.where(table.c.published_at.is_not(None))
        with self.view() as connection:
            return [run_of(row._mapping) for row in connection.execute(query)]

    def run(self, ident: str) -> Run:
        """A run as it was made.

        Raises
        ------
        StoreError
            There is none of that id, or its files are damaged.
        """
        with self.view() as connection:
            place = self.folder / "runs" / str(_known(connection, catalogue.runs, ident)["id"])
        try:
            return load(place)
        except (OSError, ValueError) as error:
            raise StoreError(damaged(self._seen(place))) from error

    def publish_run(self, run: str, *, by: str, now: datetime.datetime, origin: str = "") -> RunRecord:
        """Let the public see a run; the first time counts."""
        with self.change() as connection:
            known = _known(connection, catalogue.runs, run)
            if known["published_at"] is None:
                known["published_at"] = utc(now)
                _update(connection, catalogue.runs, run, {"published_at": known["published_at"]})
                log_entry(connection, now, by, origin, "run-published", run, {})
            return run_of(known)

    def withdraw_run(self, run: str, *, by: str, reason: str, now: datetime.datetime, origin: str = "") -> RunRecord:
        """Let the public no longer see a run, with a reason; the run is kept."""
        with self.change() as connection:
            known = _known(connection, catalogue.runs, run)
            if known["published_at"] is not None:
                known["published_at"] = None
                _update(connection, catalogue.runs, run, {"published_at": None})
                log_entry(connection, now, by, origin, "run-withdrawn", run, {"reason": _text(reason)})
            return run_of(known)

    def override(self, run: str, override: Override, *, now: datetime.datetime, origin: str = "") -> None:
        """Note that somebody gives a unit of a run another rank; an earlier decision on the same unit no longer holds.

        Raises
        ------
        UnknownNameError
            There is no such run.
        SchemeError
            The unit is not ranked, the rank is beyond the list or given to another unit, or name or reason are missing.
        """
        known = self.run(run)
        others = [one for one in self.overrides(run) if one.unit != override.unit]
        moved = decided(known, [*others, override])
        details = {"unit": override.unit, "rank": override.rank, "on": override.on.isoformat(), "why": _text(override.why)}
        with self.change() as connection:
            log_entry(connection, now, override.by, origin, "rank-overridden", run, {**details, "cost": cost_in_words(moved)})

    def withdraw_override(self, run: str, unit: str, *, by: str, reason: str, now: datetime.datetime, origin: str = "") -> None:
        """Let a unit have the rank of the run again.

        Raises
        ------
        UnknownNameError
            No decision on that unit holds.
        """
        held = [one.unit for one in self.overrides(run)]
        if unit not in held:
            said = message("No decision on '{unit}' holds in this run.", unit=unit)
            raise UnknownNameError(finding("unknown-id", "error", run, said, expected=message("Known: {known}.", known=held)))
        with self.change() as connection:
            log_entry(connection, now, by, origin, "override-withdrawn", run, {"unit": unit, "reason": _text(reason)})

    def overrides(self, run: str) -> list[Override]:
        """The decisions on ranks of a run that hold, by unit."""
        held: dict[str, Override] = {}
        for one in self.decisions(run):
            unit = one.details.get("unit", "")
            if one.what == "rank-overridden":
                on = datetime.date.fromisoformat(one.details["on"])
                held[unit] = Override(unit, one.details["rank"], one.who, on, one.details["why"])
            elif one.what == "override-withdrawn":
                held.pop(unit, None)
        return [held[unit] for unit in sorted(held)]

    # ----------------------------------------------------------------------------------------------------------- jobs, decisions

    def record_job(self, job: Job, *, was: Collection[str] | None = None) -> bool:
        """Note where a job is: a new one, or how far one that is known has come.

        With `was`, only where its state is one of those, seen and changed in one step; returns whether it was noted.
        """
        values: dict[str, Any] = {name: getattr(job, name) for name in ("state", "progress", "attempts", "result")}
        values |= {"started_at": job.started_at, "ended_at": job.ended_at}
        values |= {"message": dict(job.message), "findings": [dict(one) for one in job.findings]}
        with self.change() as connection:
            known = _row(connection, catalogue.jobs, job.id)
            if was is not None and (known is None or known["state"] not in was):
                return False
            if known is None:
                values |= {"id": job.id, "kind": job.kind, "made_at": utc(job.made_at), "subject": _text(job.subject)}
                values |= {"who": _text(job.who), "given": dict(job.given)}
                connection.execute(sa.insert(catalogue.jobs), values)
            else:
                _update(connection, catalogue.jobs, job.id, values)
        return True

    def job(self, ident: str) -> Job:
        """A job by its id.

        Raises
        ------
        StoreError
            There is none of that id.
        """
        with self.view() as connection:
            return job_of(_known(connection, catalogue.jobs, ident))

    def jobs(self, *, state: str | None = None) -> list[Job]:
        """The jobs, newest first; of one state where given."""
        table = catalogue.jobs
        query = sa.select(table).order_by(table.c.made_at.desc(), table.c.id)
        if state is not None:
            query = query.where(table.c.state == state)
        with self.view() as connection:
            return [job_of(row._mapping) for row in connection.execute(query)]

    def decisions(self, subject: str | None = None) -> list[Decision]:
        """The log, oldest first; of one survey, dataset or run where given. Nobody can change or remove a line of it."""
        table = catalogue.decisions
        query = sa.select(table).order_by(table.c.number)
        if subject is not None:
            query = query.where(table.c.subject == subject)
        with self.view() as connection:
            return [Decision(**row._mapping) for row in connection.execute(query)]

    def seal(self) -> str:
        """Hash of the last entry of the log: written down somewhere else, it proves later that nothing before it was changed."""
        log = self.decisions()
        return log[-1].hash if log else FIRST

    def check_log(self, *, noted: str = "") -> tuple[Finding, ...]:
        """Where the log was changed after it was written; `noted` is a seal from earlier that it must still hold."""
        return broken([vars(one) for one in self.decisions()], noted=noted)

    # --------------------------------------------------------------------------------------------------------------------- care

    def fsck(self, *, hashes: bool = True) -> tuple[Finding, ...]:
        """Everything in which folder and catalogue disagree; nothing where all is well.

        Errors: what the catalogue knows is missing or has changed. Warnings: what it doesn't know, what was left half-written.

        Parameters
        ----------
        hashes
            Read every file and compare its hash; without it only that it is there and its size.
        """
        with mended(self.folder.name):
            found = fsck.check(self.folder, self.engine, hashes=hashes)
        damaged_log = () if any(one.code == "catalogue-damaged" for one in found) else self.check_log()
        return (*found, *damaged_log)

    def tidy(self) -> int:
        """Remove what killed processes left in staging, with what they had put in a place and not acknowledged; returns how many.

        What another process is making right now is left alone, and so is everything else.
        """
        with mended(self.folder.name):
            left = staging.left(self.folder)
            for step in left:
                self._end(step)
            return len(left) + self._tidy_uploads()

    def _tidy_uploads(self) -> int:
        """Remove the files of uploads that nobody can go on with; those under way stay: `geo.uploads.tidy` has a clock."""
        with reading(self.engine) as connection:
            if not dead_uploads(self.folder, connection):
                return 0
        with writing(self.engine) as connection:  # nobody is just beginning one now
            dead = dead_uploads(self.folder, connection)
            for place in dead:
                (self.folder / place).unlink(missing_ok=True)
            staging.flush(self.folder / UPLOADS)
        return len(dead)

    def backup(self, path: Path | str) -> Path:
        """Write the whole study into one file, as it is at this moment, while others go on; a file of that name is replaced.

        It holds the catalogue (as SQLite, also where it lives in PostgreSQL), all the catalogue knows, and the other files of the
        folder such as study.toml as they are, without other backups.

        Raises
        ------
        StoreError
            The place can't be written.
        """
        place = Path(path).resolve()
        with self._making() as step:
            catalogue_file = step.folder / catalogue.FILE
            self._copy_catalogue(catalogue_file)
            kept = catalogue.connect(step.folder)
            try:
                with reading(kept) as connection:
                    files = known_files(connection)
            finally:
                kept.dispose()
            receipts = [f"{Path(one).parent.as_posix()}/{RECEIPT}" for one in files if one.startswith("surveys/")]
            others = self._others()
            with mended(place.name):
                pack(
                    place,
                    {catalogue.FILE: catalogue_file} | {one: self.folder / one for one in sorted([*files, *receipts, *others])},
                )
        return place

    def _copy_catalogue(self, target: Path) -> None:
        """One view of the catalogue as a file of SQLite."""
        if self.engine.dialect.name == "sqlite":
            import sqlite3

            source, copy = self.engine.raw_connection(), sqlite3.connect(target)
            try:
                source.driver_connection.backup(copy)  # type: ignore[union-attr]  # sqlite3.Connection
                copy.execute("PRAGMA journal_mode = DELETE").close()  # one file, without companions
                copy.execute("DELETE FROM uploads").close()  # what is still arriving belongs to where it arrives
                copy.commit()
            finally:
                copy.close()
                source.close()
            return
        engine = catalogue.connect(target.parent)
        try:
            catalogue.migrate(engine)
            with reading(self.engine) as view, writing(engine) as connection:
                catalogue.copy(view, connection)
        finally:
            engine.dispose()

    @classmethod
    def restore(cls, path: Path | str, folder: Path | str, url: str | None = None) -> Store:
        """Make a study folder from a backup, check all of it, and open it.

        Parameters
        ----------
        folder
            A place where nothing is yet; it appears whole or not at all.
        url
            An empty PostgreSQL database for the catalogue.

        Raises
        ------
        StoreError
            The file is no backup or is damaged, or there is something in the folder or the database already.
        """
        target = Path(folder).resolve()
        with mended(target.name):
            if target.exists() and (not target.is_dir() or any(target.iterdir())):
                raise StoreError(_not_empty(target.name))
            target.parent.mkdir(parents=True, exist_ok=True)
            making = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
            try:
                unpack(Path(path), making)
                with cls.open(making) as store:
                    damaged = store.fsck()
                    if damaged:
                        raise StoreError(*damaged)
                    if url is None:
                        shutil.rmtree(making / staging.FOLDER, ignore_errors=True)
                    else:
                        store._into(url)
                if url is not None:
                    (making / catalogue.FILE).unlink()
                making.chmod(0o755)
                staging.flush(making)
                making.rename(target)
                staging.flush(target.parent)
            finally:
                shutil.rmtree(making, ignore_errors=True)
        return cls.open(target, url)

    def _into(self, url: str) -> None:
        """Copy the catalogue into an empty one at `url`."""
        engine = catalogue.connect(self.folder, url)
        try:
            catalogue.migrate(engine)
            with reading(self.engine) as source, writing(engine) as target:
                if not catalogue.is_empty(target):
                    raise StoreError(_not_empty("catalogue"))
                catalogue.copy(source, target)
        finally:
            engine.dispose()

    @contextmanager
    def private(self) -> Iterator[Path]:
        """A folder in staging to work in for a while; what a killed process leaves in it goes when the study is opened again.

        Raises
        ------
        StoreError
            There is no room on the disk, be it for what is done within.
        """
        with self._making() as step:
            folder = step.folder / "private"
            folder.mkdir(0o700)
            yield folder

    # -------------------------------------------------------------------------------------------------------------------- inside

    @contextmanager
    def view(self) -> Iterator[Connection]:
        """One view of the catalogue, for a module that keeps something in it."""
        with mended(self.folder.name), reading(self.engine) as connection:
            yield connection

    @contextmanager
    def change(self) -> Iterator[Connection]:
        """One transaction that writes."""
        with mended(self.folder.name), writing(self.engine) as connection:
            yield connection

    @contextmanager
    def _making(self) -> Iterator[staging.Step]:
        with mended(self.folder.name):
            step = staging.begin(self.folder)
            try:
                yield step
            finally:
                self._end(step)

    def _end(self, step: staging.Step) -> None:
        """Clear a step away; what it put in a place stays if the catalogue has it, whatever was said about the commit."""
        if step.place is not None:
            try:
                with writing(self.engine) as connection:
                    if step.place not in known_places(connection):
                        step.take_back()
            except (OSError, DBAPIError):  # the step stays as it is for the next `tidy`
                os.close(step.lock)
                return
        step.end()

    def _keep(self, source: Path | str | BinaryIO, target: Path, at_most: int | None) -> tuple[str, int]:
        """Copy what was delivered, onto the disk; SHA-256 and size."""
        if isinstance(source, (str, Path)):
            try:
                stream = Path(source).open("rb")  # noqa: SIM115  # closed below
            except OSError as error:
                reason = error.strerror or type(error).__name__
                said = message("{path} can't be read: {reason}", path=Path(source).name, reason=reason)
                raise StoreError(finding("unreadable", "error", Path(source).name, said)) from error
            with stream:
                self._room(os.fstat(stream.fileno()).st_size)
                return self._keep(stream, target, at_most)
        digest, size = hashlib.sha256(), 0
        with target.open("xb") as out:
            while piece := source.read(CHUNK_BYTES):
                size += len(piece)
                if at_most is not None and size > at_most:
                    raise StoreError(_wrong_size(message("The file is larger than {limit} bytes.", limit=at_most)))
                self._room(len(piece))
                digest.update(piece)
                out.write(piece)
            if not size:
                raise StoreError(_wrong_size(message("The file is empty.")))
            out.flush()
            os.fchmod(out.fileno(), 0o444)
            os.fsync(out.fileno())
        return digest.hexdigest(), size

    def _mend_original(self, survey: Survey, content: Path, now: datetime.datetime) -> None:
        """Put a fresh copy where an original is missing or has rotted."""
        target = self.folder / "surveys" / survey.id / ORIGINAL
        if target.is_file() and sha256_of(target) == survey.sha256:
            return
        with writing(self.engine) as connection:
            staging.make_folder(target.parent, self.folder)
            (content / ORIGINAL).replace(target)
            staging.flush(target.parent)
            log_entry(connection, now, "", "", "original-mended", survey.id, {})

    def _room(self, size: int) -> None:
        """No room for `size` bytes beside the reserve: StoreError."""
        if shutil.disk_usage(self.folder).free < size + self.reserve_bytes:
            raise StoreError(disk_full(self.folder.name))

    def _others(self) -> list[str]:
        """Files of the folder that the store knows nothing of, such as study.toml and what it names."""
        skipped = {staging.FOLDER, "surveys", "runs", "layers", UPLOADS, TILES}
        skipped |= {f"{name}{part}" for name in (catalogue.FILE, QUEUE) for part in ("", "-wal", "-shm")}
        tops = [path for path in self.folder.iterdir() if path.name not in skipped]
        below = (Path(folder, name) for top in tops for folder, _, names in os.walk(top) for name in names)
        return [self._seen(path) for path in (*tops, *below) if path.is_file() and not is_backup(path)]

    def _seen(self, path: Path) -> str:
        return path.relative_to(self.folder).as_posix()


NOT_YET: Mapping[str, None] = dict.fromkeys(("checked_at", "profile", "mapping", "findings", "decided_at", "decided_by", "reason"))


def _row(connection: Connection, table: sa.Table, ident: str) -> dict[str, Any] | None:
    row = connection.execute(sa.select(table).where(table.c.id == ident)).one_or_none()
    return None if row is None else dict(row._mapping)


def _known(connection: Connection, table: sa.Table, ident: str) -> dict[str, Any]:
    """The row of an id, or StoreError."""
    row = _row(connection, table, ident)
    if row is None:
        raise StoreError(
            finding(
                "unknown-id",
                "error",
                table.name,
                message("'{id}' is not in the catalogue.", id=str(ident)[:80]),
                expected=message("Whatever is not in the catalogue does not exist."),
            )
        )
    return row


def _current(connection: Connection, layer: str, series: str) -> dict[str, Any] | None:
    table = catalogue.datasets
    chosen = (table.c.layer == layer, table.c.series == series, table.c.status == "current")
    row = connection.execute(sa.select(table).where(*chosen)).one_or_none()
    return None if row is None else dict(row._mapping)


def _before(connection: Connection, dataset: Mapping[str, Any]) -> str | None:
    """The newest dataset that this one superseded in its series, directly or by way of withdrawn ones, and that can come back."""
    log, table = catalogue.decisions, catalogue.datasets
    series = sa.select(*table.c["id", "status"]).where(table.c.layer == dataset["layer"], table.c.series == dataset["series"])
    status = {row.id: row.status for row in connection.execute(series)}
    accepted = sa.select(*log.c["subject", "details"]).where(log.c.what == "dataset-accepted").order_by(log.c.number)
    entries = [(row.subject, row.details) for row in connection.execute(accepted) if row.subject in status]
    entries = [(one, told) for one, told in entries if told.get("series", MAIN) == dataset["series"]]
    wanted: str | None = dataset["id"]
    for subject, details in reversed(entries):
        if subject == wanted:
            wanted = details.get("before")
            if wanted is None or status.get(wanted) == "superseded":
                return wanted
    return None


def _update(connection: Connection, table: sa.Table, ident: str, values: Mapping[str, Any]) -> None:
    connection.execute(sa.update(table).where(table.c.id == ident).values(**values))


def log_entry(
    connection: Connection, now: datetime.datetime, by: str, origin: str, what: str, subject: str, details: Mapping[str, Any]
) -> None:
    """One line of the decision log: who did what, when and from where; sealed by the line before it."""
    entry: dict[str, Any] = {"made_at": utc(now), "who": _text(by), "origin": _text(origin), "what": what}
    entry |= {"subject": subject, "details": dict(details)}
    table = catalogue.decisions
    last = connection.execute(sa.select(table.c.hash).order_by(table.c.number.desc()).limit(1)).scalar() or FIRST
    connection.execute(sa.insert(table), {**entry, "previous": last, "hash": seal(last, entry)})


def _ready(survey: Mapping[str, Any]) -> None:
    """A survey that can be accepted, or StoreError."""
    if survey["status"] not in ("checked", "accepted"):
        raise StoreError(_wrong_step(survey, message("Check it first; a returned survey has to be checked again.")))


def _wrong_step(survey: Mapping[str, Any], remedy: Message) -> Finding:
    return finding(
        "wrong-step", "error", survey["id"], message("The survey is {status}.", status=STATES[survey["status"]]), remedy=remedy
    )


def _known_layer(layer: str) -> str:
    known = registers.register("layers")
    if layer not in known:
        raise UnknownNameError(
            finding(
                "unknown-name",
                "error",
                "layers",
                message("'{name}' is not known.", name=str(layer)[:80]),
                expected=message("Known: {known}.", known=list(known)),
            )
        )
    return layer


def _text(text: str) -> str:
    """Text as both databases can keep it: composed (NFC), without control characters and halves of letters."""
    whole = unicodedata.normalize("NFC", text.encode("utf-8", "replace").decode())
    return "".join(letter for letter in whole if letter in "\n\t" or unicodedata.category(letter) != "Cc")


def _file_name(name: str) -> str:
    r"""The last part of a name from outside, as text.

    >>> _file_name("C:\\surveys\\دمار.zip"), _file_name("../../etc/passwd"), _file_name("")
    ('دمار.zip', 'passwd', '-')
    """
    last = _text(name).replace("\\", "/").rstrip("/").rsplit("/", 1)[-1]
    return " ".join(last.split())[:NAME_LENGTH] or "-"


def _counts_elsewhere(known: Mapping[str, Any]) -> Finding:
    """The very same table counts in another series: it would be evidence for itself."""
    return finding(
        "series-repeated",
        "error",
        str(known["id"]),
        message("The very same table counts already, in the series {series}.", series=known["series"]),
        expected=message("Another source than the one that counts."),
        remedy=message("Withdraw that dataset first, or leave it where it is."),
    )


def _wrong_size(found: Message) -> Finding:
    return finding("file-size", "error", ORIGINAL, found, remedy=message("Look at the file and deliver it again."))


def _not_empty(place: object) -> Finding:
    return finding(
        "not-empty",
        "error",
        str(place),
        message("There is something in {place} already.", place=place),
        expected=message("A backup is restored to where nothing is yet."),
        remedy=message("Choose another folder."),
    )


def _read_by(run: Run, connection: Connection) -> list[str]:
    """The datasets that a run read. `geo.reading.sha256` hashes the hashes of a file's parts, here of one part."""
    read = {layer["sha256"] for layer in run.info["layers"]}
    rows = connection.execute(sa.select(*catalogue.datasets.c["id", "sha256"]))
    return sorted(row.id for row in rows if read & {row.sha256, hashlib.sha256(bytes.fromhex(row.sha256)).hexdigest()})


def _saved(run: Run, folder: Path) -> Path:
    """`geo.run.save`, with a full disk said as one."""
    try:
        return save(run, folder)
    except ExportError as error:
        if error.__cause__ is not None and is_full(error.__cause__):
            raise StoreError(disk_full(folder.parents[1].name)) from error
        raise StoreError(*error.findings) from error


def _write_bytes(path: Path, content: bytes) -> None:
    """A new file, onto the disk."""
    with path.open("xb") as out:
        out.write(content)
        out.flush()
        os.fsync(out.fileno())
