"""Jobs: what waits, what is being done and how far, what came of it. Reading only; without a catalogue none is made."""

from __future__ import annotations

import hashlib
from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi import Path as PathParameter
from fastapi.responses import Response

from api import models
from api.errors import NotFoundError
from api.negotiation import answer
from api.state import ReadingStore
from geo.errors import finding
from geo.messages import message
from geo.records import JOB_STATES, Job
from geo.store import StoreError

router = APIRouter(tags=["jobs"])


@router.get("/jobs", name="jobs", response_model=models.Jobs)
def jobs(
    request: Request,
    store: ReadingStore,
    state: Annotated[models.JobState | None, Query(description="Only those in this state")] = None,
    limit: Annotated[int, Query(ge=1, le=1000, description="At most so many")] = 100,
) -> Response:
    """Give the jobs, newest first."""
    listed = [] if store is None else store.jobs(state=state)
    return _sent(request, models.Jobs(jobs=[shown(request, one) for one in listed[:limit]], numberMatched=len(listed)))


@router.get("/jobs/{id}", name="job", response_model=models.Job)
def job(
    request: Request,
    store: ReadingStore,
    id: Annotated[str, PathParameter(max_length=64, description="Code of a job", examples=["3f2a9c0d1e4b5f67"])],
) -> Response:
    """Give one job: its state, its progress from 0 to 1, what came of it or why it failed."""
    try:
        found = None if store is None else store.job(id)
    except StoreError as error:
        if error.findings[0].code != "unknown-id":
            raise
        found = None
    if found is None:
        raise NotFoundError(
            finding(
                "unknown-name",
                "error",
                "id",
                message("There is no job '{id}'.", id=id),
                remedy=message("See /jobs for the codes."),
            )
        )
    return _sent(request, shown(request, found))


def shown(request: Request, one: Job) -> models.Job:
    """A job for JSON."""
    return models.Job(
        id=one.id,
        kind=one.kind,
        subject=one.subject,
        state=one.state,
        label=models.Both(**JOB_STATES[one.state].both()),
        progress=one.progress,
        message=models.Both(**{"ar": "", "en": "", **one.message}),
        who=one.who,
        attempts=one.attempts,
        made_at=one.made_at,
        started_at=one.started_at,
        ended_at=one.ended_at,
        result=one.result or None,
        findings=[dict(found) for found in one.findings],
        href=request.url_for("job", id=one.id).path,
    )


def _sent(request: Request, body: models.Job | models.Jobs) -> Response:
    content = body.model_dump_json().encode()
    return answer(request, lambda: content, version=hashlib.sha256(content).hexdigest(), media_type="application/json")
