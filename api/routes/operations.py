"""For whoever operates the service: whether it can answer, and its counts for Prometheus."""

from __future__ import annotations

from typing import Literal

from fastapi import APIRouter, Request
from fastapi.responses import PlainTextResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import BaseModel

from api.errors import problem
from api.state import OnShelf, ReadingStore
from api.watch import Counts
from geo.errors import TarmimError

router = APIRouter(tags=["service"])


class Ready(BaseModel):
    """The service can answer: the study is read, and its catalogue, where it has one, can be asked."""

    status: Literal["ready"] = "ready"


@router.get("/readyz", name="readyz", response_model=Ready, responses={503: {"description": "The catalogue does not answer"}})
def readyz(request: Request, shelf: OnShelf) -> Response:
    """Say whether requests can be answered; a load balancer asks here, `/healthz` only says that the process runs."""
    try:
        store = shelf.store()
        if store is not None:
            store.runs()
    except TarmimError as error:
        return problem(request, 503, error.findings, {"Retry-After": "5"})
    return Response(Ready().model_dump_json(), 200, {"Cache-Control": "no-store"}, "application/json")


@router.get("/metrics", name="metrics", response_class=PlainTextResponse)
def metrics(request: Request, store: ReadingStore) -> Response:
    """Give the counts of this process, and of the jobs and surveys of the study, as Prometheus reads them."""
    counts: Counts = request.app.state.counts
    return Response(counts.text(store), 200, {"Cache-Control": "no-store"}, CONTENT_TYPE_LATEST)
