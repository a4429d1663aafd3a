"""The service about itself: health, and the run it shows."""

from __future__ import annotations

from collections import Counter

import orjson
from fastapi import APIRouter, Request
from fastapi.responses import PlainTextResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST

from api import models
from api.negotiation import answer
from api.people import Asking
from api.state import HeldStudy, OnShelf, ReadingStore
from geo.records import JOB_STATES

router = APIRouter(tags=["service"])


@router.get("/healthz", name="healthz")
def healthz(shelf: OnShelf, person: Asking) -> models.Health:
    """Say that the service is up, and which run it shows to who asks; none where nothing is published for them."""
    current = shelf.current()
    shown = shelf.published() if person.role == "public" else current
    return models.Health(status="ok", study=current.run.info["study"]["id"], run=None if shown is None else shown.run.id)


@router.get("/readyz", name="readyz", responses={503: {"content": {"application/problem+json": {}}, "description": "Not ready"}})
def readyz(shelf: OnShelf, person: Asking, store: ReadingStore) -> models.Health:
    """Say whether requests can be answered: the study is read, and the store, where there is one, answers too."""
    if store is not None:
        store.runs()
    return healthz(shelf, person)


@router.get("/metrics", name="metrics", response_class=PlainTextResponse)
def metrics(request: Request, store: ReadingStore) -> Response:
    """Give counts and times of requests, and the jobs by state, as Prometheus reads them."""
    meter = request.app.state.meter
    counts = Counter(one.state for one in store.jobs()) if store is not None else Counter()
    for state in JOB_STATES:
        meter.jobs.labels(state).set(counts[state])
    return Response(meter.text(), media_type=CONTENT_TYPE_LATEST)


@router.get("/runs/current", name="run", response_model=dict)
def run(request: Request, held: HeldStudy) -> Response:
    """Give what went into the run: layers with hashes, scheme, versions, findings, measures with units."""
    return answer(request, lambda: orjson.dumps(held.run.info), version=held.run.id, media_type="application/json")
