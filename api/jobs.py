"""Jobs: work in the background, done once, taken up again where a worker was killed.

    submit → queued → running → done | failed          or cancelled while it waits

**What a job is and how far it has come stands in the catalogue; huey only says to a worker that there is something to do.** So
the queue (`jobs.sqlite` in the study's folder) may be lost without losing a job: a worker looks in the catalogue when it starts and
every minute, and takes up what is queued, and what is running without anybody running it. That is told by a lock of the system on
a file in staging, which dies with its process; the same lock keeps two workers from one job. Every kind of job can be done twice
with the result of once: the store knows contents by their hashes, and an accepted survey is not accepted again.

Messages of the queue are JSON: huey's own are pickles, and a study folder from elsewhere must not run code here. Known bias: the
lock is `flock`, so several machines need a file system that shares locks. Two jobs are never done at the same time by one worker.
"""

from __future__ import annotations

import datetime
import fcntl
import json
import logging
import os
import secrets
import signal
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Event, Thread
from typing import TYPE_CHECKING, Any

from huey import SqliteHuey, crontab
from huey.consumer import Consumer
from huey.registry import Message as Sent
from huey.serializer import Serializer

from geo import registers, staging, surveys, uploads
from geo.catalogue import FILE as CATALOGUE
from geo.errors import Finding, TarmimError, UnknownNameError, finding
from geo.messages import Message, message
from geo.records import JOB_STATES, Job
from geo.store import QUEUE, Store, StoreError
from geo.study import LayerSpec, Study, read_study

if TYPE_CHECKING:
    from api.settings import Settings

log = logging.getLogger("tarmim.jobs")
LIVING = ("queued", "running")
PASSING = frozenset({"disk-full", "not-written", "catalogue-busy", "catalogue"})  # may be gone in a minute
LOOK_S = 5.0


def now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


# ------------------------------------------------------------------------------------------------------------------- what is done


@dataclass(frozen=True)
class Work:
    """A job in the hands of a worker. `step` is told the name of each step; it raises `Stopped` where the worker is to end."""

    job: Job
    store: Store
    study: Study
    step: Callable[[Message], None]

    @property
    def allow(self) -> Any:
        return "administrator" if self.job.given.get("administrator") else "upload"


class Stopped(Exception):  # noqa: N818  # no fault: the job goes back into the queue
    """The worker is to end."""


def _check(work: Work) -> tuple[str, Message]:
    choices = work.job.given.get("choices")
    chosen = None if choices is None else LayerSpec(**choices)
    done = surveys.check(work.store, work.study, work.job.subject, chosen, now=now(), allow=work.allow, step=work.step)
    if done.layer is None:
        return done.survey.id, message("Nothing of it can be accepted yet; see `tarmim surveys {id}`.", id=done.survey.id)
    return done.survey.id, message("{n} rows can be accepted: tarmim accept {id}", n=len(done.layer.frame), id=done.survey.id)


def _accept(work: Work) -> tuple[str, Message]:
    job, store = work.job, work.store
    done = _accepted_by(job, store)
    if done is None:
        done = surveys.accept(
            store,
            work.study,
            job.subject,
            by=job.who,
            now=now(),
            series=job.given.get("series", "main"),
            origin=_origin(job),
            allow=work.allow,
            step=work.step,
        ).id
        _make_tiles(work, store.dataset(done).layer)
    made = store.dataset(done)
    return made.id, message("Dataset {id} of layer {layer} counts now: {n} rows.", id=made.id, layer=made.layer, n=made.rows)


def _make_tiles(work: Work, layer: str) -> None:
    """The vector tiles of a layer as the study now has it; where it can't be read as a whole yet, they wait until asked for."""
    import geopandas as gpd

    from geo import tiles, windows
    from geo.pipeline import read_city

    with suppress(TarmimError):
        study = read_study(work.study.folder)
        city = read_city(study, accepted=surveys.from_store(work.store, study))
        if isinstance(city.layers[layer].frame, gpd.GeoDataFrame):
            work.step(message("Making tiles of {layer}", layer=registers.both(registers.register("layers")[layer], "name")))
            tiles.make(windows.of_layer(layer, city), study.folder / tiles.FOLDER)


def _accepted_by(job: Job, store: Store) -> str | None:
    """The dataset that this job made before it was killed. It may have been superseded since, and must not come back."""
    made = (
        one.subject
        for one in store.decisions()
        if (one.what, one.origin, one.details.get("survey")) == ("dataset-accepted", _origin(job), job.subject)
    )
    return next(made, None)


def _rank(work: Work) -> tuple[str, Message]:
    from api.ranking import ranked

    run, folder = ranked(
        work.study.folder,
        None,
        work.job.given.get("scheme"),
        "ar",
        work.step,
        by=work.job.who,
        origin=_origin(work.job),
        with_tiles=True,
    )
    return run.id, message("Written to {folder}", folder=folder.name)


def _publish(work: Work) -> tuple[str, Message]:
    run = work.store.publish_run(work.job.subject, by=work.job.who, now=now(), origin=_origin(work.job))
    return run.id, message("Run {run} is published.", run=run.id)


def _origin(job: Job) -> str:
    return f"job {job.id}"


@dataclass(frozen=True)
class Kind:
    """A kind of job: what does it, how many steps it takes about, and who knows its subject."""

    do: Callable[[Work], tuple[str, Message]]
    steps: int
    look: Callable[[Store, str], object] = lambda store, subject: None


KINDS: Mapping[str, Kind] = {
    "check": Kind(_check, 5, lambda store, subject: store.survey(subject)),
    "accept": Kind(_accept, 6, lambda store, subject: store.survey(subject)),
    "rank": Kind(_rank, 20),
    "publish": Kind(_publish, 1, lambda store, subject: store.run(subject)),
}


# ---------------------------------------------------------------------------------------------------------------------- the desk


def submit(store: Store, kind: str, subject: str = "", *, who: str, given: Mapping[str, Any] | None = None) -> Job:
    """Ask for a job; one that waits already for the very same is that one.

    Parameters
    ----------
    kind
        A name of `KINDS`.
    subject
        The survey to check or accept, the run to publish.
    given
        For JSON: `choices` and `administrator` of a survey, `scheme` of a run.

    Raises
    ------
    UnknownNameError
        No such kind.
    StoreError
        The subject is not in the catalogue.
    """
    if kind not in KINDS:
        known = message("Known: {known}.", known=list(KINDS))
        raise UnknownNameError(
            finding("unknown-name", "error", "jobs", message("'{name}' is not known.", name=kind[:80]), expected=known)
        )
    KINDS[kind].look(store, subject)
    asked = dict(given or {})
    for one in store.jobs(state="queued"):
        if (one.kind, one.subject, dict(one.given)) == (kind, subject, asked):
            return one
    job = Job(secrets.token_hex(8), kind, "queued", 0.0, message("Waiting").both(), now(), subject, who, asked)
    store.record_job(job)
    with suppress(StoreError, sqlite3.Error), Queue(store.folder) as queue:  # without it a worker finds the job within a minute
        queue.put(job.id)
    return job


def cancel(store: Store, ident: str) -> Job:
    """Take a job back that nobody has begun.

    Raises
    ------
    StoreError
        There is none of that id, or it is not waiting any more.
    """
    job = store.job(ident)
    taken = replace(job, state="cancelled", message=JOB_STATES["cancelled"].both(), ended_at=now())
    if not store.record_job(taken, was=("queued",)):
        state = JOB_STATES[store.job(ident).state]
        raise StoreError(
            finding(
                "wrong-step",
                "error",
                ident,
                message("The job is {status}.", status=state),
                expected=message("Only a job that waits can be cancelled."),
            )
        )
    return taken


# --------------------------------------------------------------------------------------------------------------------- the worker


class PlainText(Serializer):  # type: ignore[misc]  # huey has no types
    """Messages of the queue as JSON."""

    def _serialize(self, data: Any) -> bytes:
        entry = data._asdict()
        return json.dumps({**entry, "eta": entry["eta"] and entry["eta"].isoformat()}).encode()

    def _deserialize(self, data: bytes) -> Any:
        entry = json.loads(data)
        return Sent(**{**entry, "eta": entry["eta"] and datetime.datetime.fromisoformat(entry["eta"])})


class Queue:
    """The queue of a study, open, and what a worker does with what it takes out of it.

    Parameters
    ----------
    attempts
        How often a job is begun at most, be it that a worker was killed in it or that the disk was full.
    retry_s
        Seconds before a job is tried again after a fault that may pass.
    immediate
        Do each job when it is put, in this process, without a file: for tests.

    Raises
    ------
    StoreError
        The file of the queue can't be opened.
    """

    def __init__(
        self, folder: Path, url: str | None = None, *, attempts: int = 3, retry_s: float = 60, immediate: bool = False
    ) -> None:
        self.folder, self.url, self.attempts, self.retry_s = folder, url, attempts, retry_s
        self.stopping = Event()
        try:
            self.huey = SqliteHuey(
                "tarmim", filename=str(folder / QUEUE), fsync=True, results=False, immediate=immediate, serializer=PlainText()
            )
        except sqlite3.Error as error:
            said = message("The queue of jobs can't be opened: {reason}.", reason=str(error))
            remedy = message("Check the disk; the file {file} may be removed, no job is lost with it.", file=QUEUE)
            raise StoreError(finding("queue", "error", QUEUE, said, remedy=remedy)) from error
        self._attend = self.huey.task(name="attend")(self.attend)
        self.huey.periodic_task(crontab(), name="sweep")(self.sweep)

    def __enter__(self) -> Queue:
        return self

    def __exit__(self, *_: object) -> None:
        self.huey.storage.close()

    def put(self, ident: str, delay_s: float | None = None) -> None:
        """Tell a worker of a job, now or in some seconds."""
        if delay_s is None:
            self._attend(ident)
        else:
            self._attend.schedule((ident,), delay=delay_s)

    def sweep(self) -> None:
        """Tell of every job that waits, and of every one whose worker was killed; drop uploads that nobody goes on with."""
        told = {task.args[0] for task in (*self.huey.pending(), *self.huey.scheduled()) if task.args}
        with _said(), Store.open(self.folder, self.url) as store:
            living = [job for state in LIVING for job in store.jobs(state=state)]
            for job in sorted(living, key=lambda job: job.made_at):
                if job.id not in told and _is_free(self.folder, job.id):
                    self.put(job.id)
            uploads.tidy(store, now())

    def drain(self) -> None:
        """Do all that waits, in this thread; what is to be tried again later waits for its time."""
        self.sweep()
        for task in self.huey.read_schedule():
            self.huey.enqueue(task)
        while (task := self.huey.dequeue()) is not None:
            self.huey.execute(task)

    def attend(self, ident: str) -> None:
        """Do a job, unless somebody else is doing it or it is done."""
        with _said(), Store.open(self.folder, self.url) as store, _alone(self.folder, ident) as mine:
            if mine and (job := store.job(ident)).state in LIVING and not self.stopping.is_set():
                self._do(store, job)

    def _do(self, store: Store, job: Job) -> None:
        if job.attempts >= self.attempts:
            self._end(store, replace(job, state="failed", findings=(*job.findings, _given_up(job).record())))
            return
        begun = replace(job, state="running", progress=0.0, attempts=job.attempts + 1, started_at=job.started_at or now())
        if not store.record_job(begun, was=(job.state,)):
            return  # cancelled a moment ago
        try:
            result, text = KINDS[job.kind].do(Work(begun, store, read_study(self.folder), self._steps(store, begun)))
        except Stopped:
            store.record_job(replace(job, state="queued", message=message("Waiting").both()))
        except TarmimError as error:
            self._failed(store, begun, error.findings)
        except Exception:
            log.exception("unexpected fault in job %s", job.id)
            self._failed(store, begun, (_fault(job),))
        else:
            self._end(store, replace(begun, state="done", progress=1.0, message=text.both(), result=result, findings=()))

    def _steps(self, store: Store, job: Job) -> Callable[[Message], None]:
        steps, taken = KINDS[job.kind].steps, 0

        def step(text: Message) -> None:
            nonlocal taken
            if self.stopping.is_set():
                raise Stopped
            store.record_job(replace(job, progress=min(taken / steps, 0.99), message=text.both()))
            taken += 1

        return step

    def _failed(self, store: Store, job: Job, found: tuple[Finding, ...]) -> None:
        told = replace(job, findings=tuple(one.record() for one in found))
        if job.attempts < self.attempts and any(one.code in PASSING for one in found):
            store.record_job(replace(told, state="queued", progress=0.0, message=message("Waiting to be tried again").both()))
            self.put(job.id, self.retry_s)
        else:
            self._end(store, replace(told, state="failed"))

    def _end(self, store: Store, job: Job) -> None:
        text = JOB_STATES["failed"].both() if job.state == "failed" else job.message
        store.record_job(replace(job, message=text, ended_at=now()))
        _lock(self.folder, job.id).unlink(missing_ok=True)


class _Consumer(Consumer):  # type: ignore[misc]
    """Huey's threads; whoever starts them handles the signals."""

    def _set_signal_handlers(self) -> None:
        pass


@contextmanager
def working(queue: Queue) -> Iterator[None]:
    """Work on the jobs of a study in a thread of this process; at the end the job in hand goes back at its next step."""
    with queue:
        queue.sweep()
        consumer = _Consumer(queue.huey, workers=1, max_delay=1.0)
        consumer.start()
        try:
            yield
        finally:
            queue.stopping.set()
            consumer.stop(graceful=True)


@contextmanager
def beside(settings: Settings) -> Iterator[None]:
    """Work on the jobs of a served study, from the moment that it has a catalogue."""
    end = Event()

    def run() -> None:
        while not end.is_set():
            if settings.database_url is not None or (settings.study / CATALOGUE).is_file():
                with _said(), working(queue_of(settings)):
                    end.wait()
            end.wait(LOOK_S)

    thread = Thread(target=run, name="jobs", daemon=True)
    thread.start()
    try:
        yield
    finally:
        end.set()
        thread.join()


def queue_of(settings: Settings) -> Queue:
    """The queue of the study of the settings."""
    return Queue(settings.study.resolve(), settings.database_url, attempts=settings.job_attempts, retry_s=settings.job_retry_s)


@contextmanager
def told_to_end() -> Iterator[Event]:
    """An event that SIGTERM and SIGINT set; only in the main thread."""
    end = Event()
    before = {number: signal.signal(number, lambda *_: end.set()) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield end
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


# ------------------------------------------------------------------------------------------------------------------------ inside


@contextmanager
def _said() -> Iterator[None]:
    """What a worker can't write into a job's record is said in its log, in both languages, without a trace."""
    try:
        yield
    except TarmimError as error:
        log.warning("%s", "\n".join(error.render(lang) for lang in ("ar", "en")))


def _lock(folder: Path, ident: str) -> Path:
    return folder / staging.FOLDER / f"job-{ident}"


@contextmanager
def _alone(folder: Path, ident: str) -> Iterator[bool]:
    """Whether this worker has the job to itself, as long as it does.

    Whoever finds the file gone or another's reads the job's state after locking, and finds it ended.
    """
    path = _lock(folder, ident)
    path.parent.mkdir(exist_ok=True)
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
    finally:
        os.close(handle)


def _is_free(folder: Path, ident: str) -> bool:
    with _alone(folder, ident) as mine:
        return mine


def _given_up(job: Job) -> Finding:
    return finding(
        "given-up",
        "error",
        job.kind,
        message("Times that the job was begun and did not come to its end: {n}.", n=job.attempts),
        expected=message("A worker that is not killed in it."),
        remedy=message("Look at the memory and the power of the computer, then ask for it again."),
    )


def _fault(job: Job) -> Finding:
    return finding(
        "job-fault",
        "error",
        job.kind,
        message("The job failed unexpectedly; the fault is in the worker's log."),
        remedy=message("Report it with the log."),
    )
