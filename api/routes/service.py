"""The service about itself: health, and the run it shows."""

from __future__ import annotations

import orjson
from fastapi import APIRouter, Request
from fastapi.responses import Response

from api import models
from api.negotiation import answer
from api.people import Asking
from api.state import HeldStudy, OnShelf

router = APIRouter(tags=["service"])


@router.get("/healthz", name="healthz")
def healthz(shelf: OnShelf, person: Asking) -> models.Health:
    """Say that the service is up, and which run it shows to who asks; none where nothing is published for them."""
    current = shelf.current()
    shown = shelf.published() if person.role == "public" else current
    return models.Health(status="ok", study=current.run.info["study"]["id"], run=None if shown is None else shown.run.id)


@router.get("/runs/current", name="run", response_model=dict)
def run(request: Request, held: HeldStudy) -> Response:
    """Give what went into the run: layers with hashes, scheme, versions, findings, measures with units."""
    return answer(request, lambda: orjson.dumps(held.run.info), version=held.run.id, media_type="application/json")
