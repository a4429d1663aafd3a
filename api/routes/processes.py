"""OGC API – Processes: long work asked for over HTTP, done by the workers of the study, followed by its job.

One process is offered, `rank`: a new run of the study as it stands now. It is done asynchronously, whoever asks: 201 with the
address of the job, whose state comes as JSON, or as events while a connection stays open. Asking twice for the same while it waits
is one job. A request must say that it is JSON, which a page of another site can't do without being asked first.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Query, Request
from fastapi import Path as PathParameter
from fastapi.responses import Response, StreamingResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.concurrency import run_in_threadpool

from api import jobs
from api.errors import OGC, NotFoundError, RequestError, problem, unknown
from api.negotiation import answer, language
from api.people import Asking
from api.routes.features import link
from api.routes.tiles import JSON
from api.runs import store_of
from api.settings import Settings
from api.state import HeldStudy
from geo import registers
from geo.errors import finding
from geo.messages import Lang, gettext, message
from geo.records import JOB_STATES, Job
from geo.store import Store, StoreError
from geo.study import read_study

router = APIRouter(prefix="/ogc", tags=[OGC])
STATUS = {"queued": "accepted", "running": "running", "done": "successful", "failed": "failed", "cancelled": "dismissed"}
ENDED = ("done", "failed", "cancelled")
LOOK_S = 1.0
LONGEST_S = 3600.0

JobCode = Annotated[str, PathParameter(max_length=64, description="Code of a job", examples=["3f2a9c0d1e4b5f67"])]


class Inputs(BaseModel):
    """What the process `rank` takes."""

    model_config = ConfigDict(extra="forbid")

    scheme: str | None = Field(default=None, max_length=100, description="Scheme to rank with, instead of the study's own")


class Execution(BaseModel):
    """A request to do a process."""

    model_config = ConfigDict(extra="ignore")  # `outputs`, `response`, `subscriber` of the standard change nothing here

    inputs: Inputs = Field(default_factory=Inputs)


def schemes(request: Request) -> list[str]:
    """Names of the schemes that can be ranked with: the registered ones, and the study's own."""
    settings: Settings = request.app.state.settings
    own = read_study(settings.study).scheme
    return sorted({*registers.names("schemes"), own})


def _summary(request: Request, lang: Lang) -> dict[str, Any]:
    return {
        "id": "rank",
        "version": "1.0.0",
        "title": gettext("Rank", lang),
        "description": gettext("Measure, score and rank the study as it stands now: a new run.", lang),
        "jobControlOptions": ["async-execute", "dismiss"],
        "outputTransmission": ["reference"],
        "links": [link("self", JSON, str(request.url_for("process", process="rank")))],
    }


@router.get("/processes", name="processes", response_model=dict)
def processes(request: Request, held: HeldStudy) -> Response:
    """List the processes."""
    lang = language(request)
    body = {"processes": [_summary(request, lang)], "links": [link("self", JSON, str(request.url_for("processes")))]}
    return answer(request, lambda: orjson.dumps(body), version="1", media_type=JSON, parts=(lang, str(request.base_url)))


@router.get("/processes/{process}", name="process", response_model=dict)
def process(
    request: Request,
    held: HeldStudy,
    process: Annotated[str, PathParameter(max_length=60, description="Name of a process", examples=["rank"])],
) -> Response:
    """Give what a process takes and gives."""
    _known(process)
    lang = language(request)
    scheme = {"type": "string", "enum": schemes(request)}
    told = gettext("Scheme to rank with, instead of the study's own", lang)
    body = {
        **_summary(request, lang),
        "inputs": {"scheme": {"title": told, "schema": scheme, "minOccurs": 0}},
        "outputs": {"run": {"title": gettext("Code of the run", lang), "schema": {"type": "string"}}},
    }
    body["links"].append(
        link("http://www.opengis.net/def/rel/ogc/1.0/execute", JSON, str(request.url_for("execute", process="rank")))
    )
    content = orjson.dumps(body)
    return answer(request, lambda: content, version=hashlib.sha256(content).hexdigest(), media_type=JSON)


def _known(name: str) -> None:
    if name != "rank":
        raise NotFoundError(unknown("processes", name, ["rank"]))


@router.post(
    "/processes/{process}/execution",
    name="execute",
    status_code=201,
    response_model=dict,
    responses={415: {"description": "The request does not say that it is JSON", "content": {"application/problem+json": {}}}},
)
def execute(
    request: Request,
    person: Asking,
    asked: Execution,
    process: Annotated[str, PathParameter(max_length=60, description="Name of a process", examples=["rank"])],
) -> Response:
    """Ask for a process; the answer names the job."""
    _known(process)
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != JSON:
        return problem(request, 415)
    scheme = asked.inputs.scheme
    if scheme is not None and scheme not in schemes(request):
        raise RequestError(unknown("scheme", scheme, schemes(request)))
    settings: Settings = request.app.state.settings
    with Store.open(settings.study, settings.database_url) as store:
        job = jobs.submit(store, "rank", who=person.name, given={"scheme": scheme} if scheme else {})
    body = _status(request, job)
    headers = {"Location": str(request.url_for("ogc_job", id=job.id)), "Cache-Control": "no-store"}
    return Response(orjson.dumps(body), status_code=201, media_type=JSON, headers=headers)


def _status(request: Request, job: Job) -> dict[str, Any]:
    """A job in the words of the standard."""
    lang = language(request)
    here = {"id": job.id}
    links = [link("self", JSON, str(request.url_for("ogc_job", **here)))]
    links.append(link("monitor", "text/event-stream", str(request.url_for("job_events", **here))))
    if job.state == "done":
        links.append(link("http://www.opengis.net/def/rel/ogc/1.0/results", JSON, str(request.url_for("job_results", **here))))
    times = {"created": job.made_at, "started": job.started_at, "finished": job.ended_at}
    return {
        "processID": job.kind,
        "type": "process",
        "jobID": job.id,
        "status": STATUS[job.state],
        "message": job.message.get(lang) or JOB_STATES[job.state].render(lang),
        "progress": round(job.progress * 100),
        **{name: at.isoformat() for name, at in times.items() if at is not None},
        **(
            {"exception": {"title": job.message.get(lang, ""), "findings": [dict(one) for one in job.findings]}}
            if job.findings
            else {}
        ),
        "links": links,
    }


def _job(request: Request, ident: str) -> Job:
    """A job by its code.

    Raises
    ------
    NotFoundError
        There is none.
    """
    try:
        with store_of(request) as store:
            if store is not None:
                return store.job(ident)
    except StoreError as error:
        if error.findings[0].code != "unknown-id":
            raise
    said = message("There is no job '{id}'.", id=ident)
    raise NotFoundError(finding("unknown-name", "error", "id", said, remedy=message("See /jobs for the codes.")))


@router.get("/jobs", name="ogc_jobs", response_model=dict)
def ogc_jobs(request: Request, limit: Annotated[int, Query(ge=1, le=1000, description="At most so many")] = 100) -> Response:
    """List the jobs, newest first, in the words of OGC API."""
    with store_of(request) as store:
        listed = [] if store is None else store.jobs()
    body = {
        "jobs": [_status(request, one) for one in listed[:limit]],
        "links": [link("self", JSON, str(request.url_for("ogc_jobs")))],
    }
    content = orjson.dumps(body)
    return answer(request, lambda: content, version=hashlib.sha256(content).hexdigest(), media_type=JSON)


@router.get("/jobs/{id}", name="ogc_job", response_model=dict)
def ogc_job(request: Request, id: JobCode) -> Response:
    """Give the state of a job in the words of OGC API (`/jobs/{id}` has all of it)."""
    content = orjson.dumps(_status(request, _job(request, id)))
    return answer(request, lambda: content, version=hashlib.sha256(content).hexdigest(), media_type=JSON)


@router.get("/jobs/{id}/results", name="job_results", response_model=dict)
def job_results(request: Request, id: JobCode) -> Response:
    """Give what a job made: the code of the run, and where it is."""
    job = _job(request, id)
    if job.state != "done":
        said = message("The job is {status}.", status=JOB_STATES[job.state])
        raise NotFoundError(finding("wrong-step", "error", id, said, expected=message("Only a job that is done has a result.")))
    href = str(request.url_for("run_info", run=job.result)) if job.kind == "rank" else str(request.url_for("ogc_job", id=job.id))
    body = {"run": {"id": job.result, "href": href, "type": JSON}} if job.kind == "rank" else {"result": job.result}
    return answer(request, lambda: orjson.dumps(body), version=job.id, media_type=JSON, parts=(href,))


@router.delete("/jobs/{id}", name="dismiss", response_model=dict)
def dismiss(request: Request, id: JobCode) -> Response:
    """Take a job back that nobody has begun."""
    _job(request, id)
    with store_of(request) as store:
        assert store is not None  # noqa: S101  # the job was in it a moment ago
        job = jobs.cancel(store, id)
    return Response(orjson.dumps(_status(request, job)), media_type=JSON, headers={"Cache-Control": "no-store"})


@router.get(
    "/jobs/{id}/events", name="job_events", response_class=Response, responses={200: {"content": {"text/event-stream": {}}}}
)
async def job_events(request: Request, id: JobCode) -> Response:
    """Give the states of a job as server-sent events, until it has ended; an hour at most, then the browser asks again."""
    first = await run_in_threadpool(_job, request, id)

    async def told() -> AsyncIterator[bytes]:
        job, last, waited = first, b"", 0.0
        yield b"retry: 2000\n\n"
        while waited < LONGEST_S:
            now = orjson.dumps(_status(request, job))
            if now != last:
                yield b"event: " + STATUS[job.state].encode() + b"\ndata: " + now + b"\n\n"
                last = now
            if job.state in ENDED or await request.is_disconnected():
                return
            await asyncio.sleep(LOOK_S)
            waited += LOOK_S
            job = await run_in_threadpool(_job, request, id)

    return StreamingResponse(
        told(), media_type="text/event-stream", headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    )
