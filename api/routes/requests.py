"""Complaints as they come: Open311 GeoReport v2, for the city's one window. Nothing that names a person is kept, or read at all."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Form, Request
from fastapi import Path as PathParameter
from fastapi.responses import Response
from pydantic import BaseModel, RootModel

from api.jobs import now
from api.people import Asking
from api.routes.surveys import Delivered, choices, queued, receipt, sent
from api.state import OnShelf, ReadingStore, WritingStore
from geo import service_requests
from geo.complaints_intake import rules
from geo.store import StoreError

router = APIRouter(tags=["complaints"])


class Service(BaseModel):
    """A category of complaints, as GeoReport has it."""

    service_code: str
    service_name: str
    metadata: bool = False
    type: Literal["realtime"] = "realtime"
    group: str


class Services(RootModel[list[Service]]):
    """The categories."""


class NewRequest(BaseModel):
    """The number of a request that was kept."""

    service_request_id: str


class NewRequests(RootModel[list[NewRequest]]):
    """One number, in a list as GeoReport has it."""


class RequestRecord(BaseModel):
    """A request: where it lies only as exactly as its category allows."""

    service_request_id: str
    status: Literal["open"]
    service_code: str
    service_name: str
    requested_datetime: str
    lat: float
    long: float


class RequestRecords(RootModel[list[RequestRecord]]):
    """One request, in a list as GeoReport has it."""


@router.get("/services.json", name="services", response_model=Services)
def services() -> Response:
    """Give the categories that a complaint may have."""
    known = rules()["category"]
    return sent(Services([Service(service_code=name, service_name=name, group=one["sector"]) for name, one in known.items()]))


@router.post("/requests.json", name="service_request", response_model=NewRequests, status_code=201)
def new(
    shelf: OnShelf,
    store: WritingStore,
    service_code: Annotated[str, Form(max_length=60, description="A code of /services.json", examples=["water"])],
    lat: Annotated[float, Form(ge=-90, le=90, description="Degrees, WGS 84", examples=[34.73])],
    long: Annotated[float, Form(ge=-180, le=180, description="Degrees, WGS 84", examples=[36.71])],
    csrf: Annotated[str, Form(max_length=100)] = "",
) -> Response:
    """Keep a complaint: its category, its place, the moment. Names, texts and pictures of GeoReport are let go unread."""
    city = shelf.current().city
    west, south, east, north = city.layers["neighbourhoods"].frame.total_bounds
    box = (float(west), float(south), float(east), float(north))
    made = service_requests.keep(store, city.study, category=service_code, lon=long, lat=lat, box=box, now=now())
    return sent(NewRequests([NewRequest(service_request_id=made.id)]), 201)


@router.get("/requests/{id}.json", name="service_request_state", response_model=RequestRecords)
def state(
    store: ReadingStore,
    id: Annotated[str, PathParameter(max_length=64, description="Number of the request", examples=["3f2a9c0d1e4b5f67"])],
) -> Response:
    """Give one request as it is kept."""
    if store is None:
        raise StoreError(service_requests.unknown(id))
    return sent(RequestRecords([RequestRecord.model_validate(service_requests.report(service_requests.request(store, id)))]))


@router.post("/requests/survey", name="requests_survey", response_model=Delivered, status_code=201)
def survey(request: Request, person: Asking, store: WritingStore) -> Response:
    """Make one survey of complaints of all requests that came so far; gives its receipt and the job that checks it."""
    made = service_requests.gather(store, by=person.name, now=now())
    chosen = choices('{"profile": "open311", "extent": "study"}', made.name)
    job = None if made.findings else queued(store, "check", made.id, person, chosen)
    body = receipt(request, made, job)
    return sent(body, 201, {"Location": body.href})
