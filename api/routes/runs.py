"""Runs of the study as its people see them: which there are, what the public sees, and the log of who decided what."""

from __future__ import annotations

import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query
from fastapi import Path as PathParameter
from fastapi.responses import Response
from pydantic import BaseModel

from api.jobs import now
from api.people import Asking
from api.routes.surveys import Reason, sent
from api.state import OnShelf, ReadingStore, WritingStore
from geo.records import RunRecord

router = APIRouter(tags=["runs"])
RunParameter = Annotated[str, PathParameter(max_length=64, description="Code of the run", examples=["3f2a9c0d1e4b5f67"])]


class RunSummary(BaseModel):
    """A run that the store keeps."""

    id: str
    made_at: datetime.datetime
    scheme: str
    datasets: list[str]
    published_at: datetime.datetime | None


class Runs(BaseModel):
    """The runs, newest first."""

    runs: list[RunSummary]


class DecisionRecord(BaseModel):
    """A line of the decision log; `hash` seals it and all before it."""

    number: int
    made_at: datetime.datetime
    who: str
    origin: str
    what: str
    subject: str
    details: dict[str, Any]
    hash: str


class Decisions(BaseModel):
    """The decision log, oldest first."""

    numberMatched: int  # noqa: N815
    decisions: list[DecisionRecord]


def _summary(one: RunRecord) -> RunSummary:
    return RunSummary(id=one.id, made_at=one.made_at, scheme=one.scheme, datasets=list(one.datasets), published_at=one.published_at)


@router.get("/runs", name="runs", response_model=Runs)
def runs(store: ReadingStore) -> Response:
    """Give the runs that are kept, and which of them the public sees."""
    return sent(Runs(runs=[] if store is None else [_summary(one) for one in store.runs()]))


@router.post("/runs/{run}/publish", name="publish_run", response_model=RunSummary)
def publish(person: Asking, shelf: OnShelf, store: WritingStore, run: RunParameter) -> Response:
    """Let the public see a run; of several it sees the one published last."""
    made = store.publish_run(run, by=person.name, now=now(), origin=person.origin)
    shelf.look_again()
    return sent(_summary(made))


@router.post("/runs/{run}/withdraw", name="withdraw_run", response_model=RunSummary)
def withdraw(person: Asking, shelf: OnShelf, store: WritingStore, run: RunParameter, given: Reason) -> Response:
    """Let the public no longer see a run, with a reason; it is kept."""
    made = store.withdraw_run(run, by=person.name, reason=given.reason, now=now(), origin=person.origin)
    shelf.look_again()
    return sent(_summary(made))


@router.get("/decisions", name="decisions", response_model=Decisions)
def decisions(
    store: ReadingStore,
    subject: Annotated[str | None, Query(max_length=200, description="Only those on a survey, dataset, run or account")] = None,
    limit: Annotated[int, Query(ge=1, le=10_000, description="The last so many")] = 1_000,
) -> Response:
    """Give who decided what, when and from where."""
    listed = [] if store is None else store.decisions(subject)
    shown = [DecisionRecord(**{name: getattr(one, name) for name in DecisionRecord.model_fields}) for one in listed[-limit:]]
    return sent(Decisions(numberMatched=len(listed), decisions=shown))
