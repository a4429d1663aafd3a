"""Surveys: a partner delivers a file and follows it; a planner checks it with other choices, accepts it or gives it back.

A delivery is acknowledged with a receipt when it lies safely in the store; it is read afterwards, as a job, in a process of its
own. Who is no planner sees their own surveys only: those of others are not there for them.
"""

from __future__ import annotations

import datetime
import json
from typing import Annotated, Any, Literal

import orjson
from fastapi import APIRouter, File, Form, Header, Query, Request, UploadFile
from fastapi import Path as PathParameter
from fastapi.responses import FileResponse, Response
from pydantic import BaseModel, Field, ValidationError

from api import jobs, models
from api.errors import ConflictError, NotFoundError, RequestError, TooLargeError
from api.jobs import now
from api.people import Asking, Person
from api.routes.jobs import shown as job_shown
from api.state import OnShelf, ReadingStore, WritingStore
from geo.errors import finding
from geo.export import features
from geo.intake import preview as drawn
from geo.messages import message
from geo.records import STATES, Receipt, Survey
from geo.store import Store, StoreError
from geo.study import LayerSpec, findings_of, read_study
from geo.surveys import choices_of, look

router = APIRouter(tags=["surveys"])
SHOWN = 1_000  # features of a preview, at most

SurveyParameter = Annotated[str, PathParameter(max_length=64, description="Number of the receipt", examples=["3f2a9c0d1e4b5f67"])]


class Delivered(BaseModel):
    """The receipt of a delivery; the job that reads it."""

    id: str
    received_at: datetime.datetime
    sender: str
    layer: str
    name: str
    sha256: str
    bytes: int
    findings: list[dict[str, Any]]
    job: str | None
    href: str


class SurveyRecord(BaseModel):
    """A survey and what became of it."""

    id: str
    received_at: datetime.datetime
    sender: str
    layer: str
    name: str
    sha256: str
    bytes: int
    status: Literal["received", "checked", "accepted", "returned"]
    label: models.Both
    profile: str | None
    choices: dict[str, Any] | None
    reason: str | None
    decided_by: str | None
    decided_at: datetime.datetime | None
    findings: list[dict[str, Any]]
    href: str


class Surveys(BaseModel):
    """Surveys, newest first."""

    numberMatched: int  # noqa: N815
    surveys: list[SurveyRecord]


class Reason(BaseModel):
    """Why."""

    reason: str = Field(min_length=1, max_length=2_000)


class Acceptance(BaseModel):
    """How it is kept: `main` in place of what counts, or beside it as evidence of a kind."""

    series: str = Field(default="main", max_length=60)


def sent(body: BaseModel, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """A body that is never kept by anybody on the way."""
    return Response(body.model_dump_json(), status, {"Cache-Control": "no-store", **(headers or {})}, "application/json")


def seen(store: Store | None, ident: str, person: Person) -> Survey:
    """A survey that this person may see.

    Raises
    ------
    NotFoundError
        There is none, or it is somebody else's.
    """
    try:
        found = None if store is None else store.survey(ident)
    except StoreError:
        found = None
    if found is None or not (person.sees_all_surveys or found.sender == person.name):
        said = message("There is no survey '{id}'.", id=ident[:80])
        raise NotFoundError(finding("unknown-id", "error", "surveys", said, remedy=message("See /surveys for their numbers.")))
    return found


def within_quota(store: Store, person: Person, more: int, quota: int) -> None:
    """Refuse a delivery that would be more than a sender may keep here.

    Raises
    ------
    TooLargeError
        With what is kept already.
    """
    kept = sum(one.bytes for one in store.surveys(sender=person.name))
    if kept + more > quota:
        said = message("The surveys of one sender may not take more than {n} bytes.", n=quota)
        expected = message("At most {n} bytes more.", n=max(quota - kept, 0))
        raise TooLargeError(finding("quota", "error", "surveys", said, expected=expected, remedy=message("Ask a planner.")))


def not_of_another(made: Receipt, person: Person) -> None:
    """Refuse what somebody else delivered first: its sender alone has a say in how it is read.

    Raises
    ------
    ConflictError
        Without a word of who it was.
    """
    if made.sender != person.name and not person.sees_all_surveys:
        said = message("The same content has been delivered by somebody else.")
        raise ConflictError(finding("delivered-before", "error", "file", said, remedy=message("Ask a planner what became of it.")))


def receipt(request: Request, one: Receipt, job: str | None) -> Delivered:
    """What a sender is given."""
    said = {name: getattr(one, name) for name in ("id", "received_at", "sender", "layer", "name", "sha256", "bytes")}
    found = [finding.record() for finding in one.findings]
    return Delivered(**said, findings=found, job=job, href=request.url_for("survey", id=one.id).path)


def record(request: Request, one: Survey) -> SurveyRecord:
    said = {name: getattr(one, name) for name in ("id", "received_at", "sender", "layer", "name", "sha256", "bytes", "status")}
    said |= {name: getattr(one, name) for name in ("profile", "reason", "decided_by", "decided_at")}
    return SurveyRecord(
        **said,
        label=models.Both(**STATES[one.status].both()),
        choices=None if one.mapping is None else dict(one.mapping),
        findings=[dict(found) for found in one.findings],
        href=request.url_for("survey", id=one.id).path,
    )


def choices(text: str, name: str) -> dict[str, Any] | None:
    """The sender's choices (profile, columns, grades, crs, axes, encoding and so on), as a layer's entry in study.toml has them.

    Raises
    ------
    RequestError
        No JSON object.
    StudyError
        Entries that are not known.
    """
    if not text:
        return None
    try:
        given = json.loads(text)
    except ValueError:
        given = None
    if not isinstance(given, dict):
        said, expected = (
            message("The choices can't be read."),
            message("A JSON object such as {example}.", example='{"crs": "EPSG:32637"}'),
        )
        raise RequestError(finding("choices", "error", "choices", said, expected=expected))
    if given.get("extent") not in (None, "study"):  # the path of a file of ours, which only who sits at the machine may name
        said = message("'{value}' can't be used.", value=str(given["extent"])[:80])
        remedy = message("Leave it out, and tell the planner where it looked.")
        raise RequestError(finding("choices", "error", "choices.extent", said, expected=message("Only 'study'."), remedy=remedy))
    try:
        return LayerSpec(**{**given, "path": name}).model_dump(mode="json", exclude_defaults=True)
    except ValidationError as error:
        raise RequestError(*findings_of(error, "choices")) from None


@router.get("/surveys", name="surveys", response_model=Surveys)
def surveys(
    request: Request,
    person: Asking,
    store: ReadingStore,
    status: Annotated[Literal["received", "checked", "accepted", "returned"] | None, Query(description="Only those")] = None,
    limit: Annotated[int, Query(ge=1, le=1000, description="At most so many")] = 100,
) -> Response:
    """Give the surveys that this person may see, newest first."""
    sender = None if person.sees_all_surveys else person.name
    listed = [] if store is None else store.surveys(status=status, sender=sender)
    return sent(Surveys(numberMatched=len(listed), surveys=[record(request, one) for one in listed[:limit]]))


@router.post("/surveys", name="deliver", response_model=Delivered, status_code=201)
def deliver(
    request: Request,
    person: Asking,
    shelf: OnShelf,
    store: WritingStore,
    file: Annotated[
        UploadFile, File(description="Zip of a shapefile, GeoPackage, GeoJSON, FlatGeobuf, GeoParquet, CSV, XLSX, ODS")
    ],
    layer: Annotated[str, Form(max_length=60, description="Layer that it is: damage, roads, facilities and so on")],
    choices_: Annotated[str, Form(alias="choices", max_length=100_000, description="JSON: profile, columns, grades, crs …")] = "",
    csrf: Annotated[str, Form(max_length=100)] = "",
    idempotency_key: Annotated[str | None, Header(max_length=200, description="The same key gives the same receipt")] = None,
) -> Response:
    """Keep a file that was sent, and give a receipt; a worker reads it. The same content is recognised, with or without a key."""
    settings = shelf.settings
    size = file.size or 0
    if size > settings.delivery_bytes:
        said = message("The file is larger than is taken in one request.")
        expected = message("At most {n} bytes.", n=settings.delivery_bytes)
        raise TooLargeError(
            finding("file-size", "error", "file", said, expected=expected, remedy=message("Send it in parts: /uploads."))
        )
    within_quota(store, person, size, settings.quota_bytes)
    name = file.filename or "-"
    chosen = choices(choices_, name)
    made = store.receive(file.file, name=name, sender=person.name, layer=layer, now=now())
    not_of_another(made, person)
    job = queued(store, "check", made.id, person, chosen)
    body = receipt(request, made, job)
    return sent(body, 201, {"Location": body.href})


def queued(store: Store, kind: str, subject: str, person: Person, choices: dict[str, Any] | None = None, **given: Any) -> str:
    """Leave something to a worker; the id of the job."""
    asked = {**given, **({} if choices is None else {"choices": choices})}
    return jobs.submit(store, kind, subject, who=person.name, given=asked).id


@router.get("/surveys/{id}", name="survey", response_model=SurveyRecord)
def survey(request: Request, person: Asking, store: ReadingStore, id: SurveyParameter) -> Response:
    """Give one survey: what was recognised, what is wrong in which rows, what was decided."""
    return sent(record(request, seen(store, id, person)))


@router.get("/surveys/{id}/original", name="survey_original", response_class=FileResponse)
def original(person: Asking, store: ReadingStore, id: SurveyParameter) -> Response:
    """Give the file back as it was delivered."""
    found = seen(store, id, person)
    assert store is not None  # noqa: S101  # it had the survey
    headers = {"Cache-Control": "no-store", "Content-Security-Policy": "sandbox"}
    return FileResponse(store.original(found), media_type="application/octet-stream", filename=found.name, headers=headers)


@router.get("/surveys/{id}/preview", name="survey_preview", response_model=models.Features)
def preview(person: Asking, store: ReadingStore, shelf: OnShelf, id: SurveyParameter) -> Response:
    """Give a sample of its features where they would fall, WGS 84, under each coordinate system that may be meant (`system`)."""
    found = seen(store, id, person)
    assert store is not None  # noqa: S101
    study = read_study(shelf.settings.study)
    examined = look(store, study, found, choices_of(study, found))
    shown: list[dict[str, Any]] = []
    for row, frame in drawn(examined, study):
        sample = frame.iloc[:: max(1, -(-len(frame) // SHOWN))].to_crs("EPSG:4326")
        said = {"crs": row["crs"], "axes": row["axes"]}
        shown += [one | {"properties": {**one["properties"], "system": said}} for one in features(sample)]
    body = {"type": "FeatureCollection", "numberMatched": len(shown), "numberReturned": len(shown), "links": [], "features": shown}
    return Response(orjson.dumps(body, default=str), 200, {"Cache-Control": "no-store"}, "application/geo+json")


@router.post("/surveys/{id}/check", name="survey_check", response_model=models.Job, status_code=202)
def check(request: Request, person: Asking, store: WritingStore, id: SurveyParameter, given: dict[str, Any]) -> Response:
    """Read a survey again with other choices; gives the job."""
    found = seen(store, id, person)
    return accepted_job(request, store, queued(store, "check", id, person, choices(json.dumps(given), found.name)))


@router.post("/surveys/{id}/accept", name="survey_accept", response_model=models.Job, status_code=202)
def accept(request: Request, person: Asking, store: WritingStore, id: SurveyParameter, given: Acceptance) -> Response:
    """Make a checked survey the dataset that counts; gives the job."""
    seen(store, id, person)
    return accepted_job(request, store, queued(store, "accept", id, person, series=given.series))


def accepted_job(request: Request, store: Store, job: str) -> Response:
    body = job_shown(request, store.job(job))
    return sent(body, 202, {"Location": body.href})


@router.post("/surveys/{id}/return", name="survey_return", response_model=SurveyRecord)
def give_back(request: Request, person: Asking, store: WritingStore, id: SurveyParameter, given: Reason) -> Response:
    """Give a survey back to its sender with a reason; the file is kept."""
    seen(store, id, person)
    return sent(record(request, store.return_(id, given.reason, by=person.name, now=now(), origin=person.origin)))
