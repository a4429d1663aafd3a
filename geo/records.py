"""Records: what the catalogue knows of surveys, datasets, runs, decisions and jobs, as plain values. All times are UTC."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from geo.datasets import Change
from geo.errors import Finding, finding
from geo.messages import Message, message

SurveyStatus = Literal["received", "checked", "accepted", "returned"]
DatasetStatus = Literal["current", "superseded", "withdrawn"]
STATES: dict[str, Message] = {
    "received": message("received"),
    "checked": message("checked"),
    "accepted": message("accepted"),
    "returned": message("returned"),
}


@dataclass(frozen=True)
class Survey:
    """A file somebody delivered, and what became of it. `bytes` is its size; `findings` are records for JSON."""

    id: str
    received_at: datetime.datetime
    sender: str
    layer: str
    name: str
    sha256: str
    bytes: int
    status: SurveyStatus
    checked_at: datetime.datetime | None
    profile: str | None
    mapping: Mapping[str, Any] | None
    findings: tuple[Mapping[str, Any], ...]
    decided_at: datetime.datetime | None
    decided_by: str | None
    reason: str | None


@dataclass(frozen=True)
class Receipt:
    """What a sender is given. For content received before it is the first receipt, with a finding that says so."""

    id: str
    received_at: datetime.datetime
    sender: str
    layer: str
    name: str
    sha256: str
    bytes: int
    findings: tuple[Finding, ...] = ()


@dataclass(frozen=True)
class Dataset:
    """An immutable version of a layer; one of each series of a layer is current (`geo.evidence`).

    `rows` and `bytes` are of its file; `change` is there right after it was accepted.
    """

    id: str
    layer: str
    survey_id: str | None
    made_at: datetime.datetime
    rows: int
    bytes: int
    sha256: str
    date: datetime.date | None
    trust: str | None
    provenance: Mapping[str, Any]
    status: DatasetStatus
    supersedes: str | None
    series: str = "main"
    change: Change | None = field(default=None, compare=False)


@dataclass(frozen=True)
class RunRecord:
    """A run in the catalogue. `datasets` are those it read; `files` are the SHA-256 of its files by name."""

    id: str
    made_at: datetime.datetime
    scheme: str
    datasets: tuple[str, ...]
    files: Mapping[str, str]
    published_at: datetime.datetime | None


@dataclass(frozen=True)
class Decision:
    """A line of the log: who decided when, from where, what, about which survey, dataset or run; sealed (`geo.seals`)."""

    number: int
    made_at: datetime.datetime
    who: str
    origin: str
    what: str
    subject: str
    details: Mapping[str, Any]
    previous: str
    hash: str


@dataclass(frozen=True)
class Upload:
    """A delivery that arrives in parts. `offset` is how many bytes are kept for certain; the next byte goes there.

    `bytes` is how many there will be, None where nobody said; `source` is what the sender's own file looked like, for JSON;
    `survey_id` is there once it is finished.
    """

    id: str
    made_at: datetime.datetime
    changed_at: datetime.datetime
    name: str
    sender: str
    layer: str
    bytes: int | None
    offset: int
    source: Mapping[str, Any] | None = None
    survey_id: str | None = None


JobState = Literal["queued", "running", "done", "failed", "cancelled"]
JOB_STATES: dict[str, Message] = {
    "queued": message("queued"),
    "running": message("running"),
    "done": message("done"),
    "failed": message("failed"),
    "cancelled": message("cancelled"),
}


@dataclass(frozen=True)
class Job:
    """Work in the background; `progress` is a share from 0 to 1, `message` a text by language.

    `subject` is the survey or run it is about, `given` what was asked for beside that, `result` the id of what it made; `findings`
    are records for JSON: why it failed, or why it is tried again.
    """

    id: str
    kind: str
    state: str
    progress: float
    message: Mapping[str, str]
    made_at: datetime.datetime
    subject: str = ""
    who: str = ""
    given: Mapping[str, Any] = field(default_factory=dict)
    attempts: int = 0
    findings: tuple[Mapping[str, Any], ...] = ()
    result: str = ""
    started_at: datetime.datetime | None = None
    ended_at: datetime.datetime | None = None


def survey_of(row: Mapping[Any, Any]) -> Survey:
    return Survey(**{**row, "findings": tuple(row["findings"] or ())})


def dataset_of(row: Mapping[Any, Any]) -> Dataset:
    return Dataset(**row)


def run_of(row: Mapping[Any, Any]) -> RunRecord:
    return RunRecord(**{**row, "datasets": tuple(row["datasets"])})


def job_of(row: Mapping[Any, Any]) -> Job:
    return Job(**{**row, "given": row["given"] or {}, "findings": tuple(row["findings"] or ())})


def receipt_of(survey: Survey, *, again: bool) -> Receipt:
    entry = {name: getattr(survey, name) for name in ("id", "received_at", "sender", "layer", "name", "sha256", "bytes")}
    if not again:
        return Receipt(**entry)
    when = survey.received_at.date().isoformat()
    known = finding(
        "received-before",
        "info",
        survey.layer,
        message("This very content was received on {date} and is {status}.", date=when, status=STATES[survey.status]),
        expected=message("A survey is received once; this is its receipt."),
        remedy=message("If a returned survey was mended, deliver the mended file."),
    )
    return Receipt(**entry, findings=(known,))
