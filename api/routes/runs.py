"""The runs: which there are, what went into each so that anybody can check it, and what moved between two of them."""

from __future__ import annotations

import hashlib
from typing import Annotated, Any, Literal

import orjson
from fastapi import APIRouter, Query, Request
from fastapi import Path as PathParameter
from fastapi.responses import RedirectResponse, Response

from api import models
from api.negotiation import answer, language
from api.runs import LATEST, PUBLISHED, held_of, records
from api.state import Held, HeldStudy
from geo import difference, export
from geo.messages import Lang
from geo.records import RunRecord

router = APIRouter(tags=["runs"])
RunCode = Annotated[
    str, PathParameter(max_length=64, description="Code of a run, `latest` or `published`", examples=["3f2a9c0d1e4b5f67"])
]


@router.get("/runs", name="runs", response_model=models.Runs)
def runs(
    request: Request,
    held: HeldStudy,
    limit: Annotated[int, Query(ge=1, le=1000, description="At most so many")] = 100,
) -> Response:
    """List the runs, newest first; the one that the service shows is among them even where it is not kept."""
    known = records(request)
    listed = [_record(request, one, held) for one in known]
    if held.run.id not in [one.id for one in known]:
        listed.insert(0, _shown(request, held))
    content = orjson.dumps({"runs": listed[:limit], "numberMatched": len(listed)})
    return answer(request, lambda: content, version=hashlib.sha256(content).hexdigest(), media_type="application/json")


def _record(request: Request, one: RunRecord, held: Held) -> dict[str, Any]:
    return {
        "id": one.id,
        "scheme": one.scheme,
        "made_at": one.made_at.isoformat(),
        "published_at": one.published_at.isoformat() if one.published_at else None,
        "shown": one.id == held.run.id,
        "datasets": list(one.datasets),
        "files": dict(one.files),
        "href": request.url_for("run_info", run=one.id).path,
        "priorities": f"{request.url_for('priorities').path}?run={one.id}",
    }


def _shown(request: Request, held: Held) -> dict[str, Any]:
    blank: dict[str, Any] = {"made_at": None, "published_at": None, "datasets": [], "files": {}}
    href, listed = request.url_for("run_info", run=held.run.id).path, request.url_for("priorities").path
    return {"id": held.run.id, "scheme": held.run.info["scheme"]["id"], **blank, "shown": True, "href": href, "priorities": listed}


@router.get("/runs/{run}", name="run_info", response_model=dict, responses={307: {"description": "To the run of that word"}})
def run_info(request: Request, held: HeldStudy, run: RunCode) -> Response:
    """Give what went into a run (run.json): layers with their hashes, scheme, seed, versions, findings."""
    found = held_of(request, held, run)
    if run in (LATEST, PUBLISHED):
        return RedirectResponse(request.url_for("run_info", run=found.run.id).path, headers={"Cache-Control": "no-cache"})
    return answer(request, lambda: orjson.dumps(found.run.info), version=found.run.id, media_type="application/json")


@router.get(
    "/runs/{run}/difference/{other}",
    name="difference",
    response_model=models.Difference,
    responses={200: {"content": {"text/csv": {}}}},
)
def differences(
    request: Request,
    held: HeldStudy,
    run: RunCode,
    other: RunCode,
    format: Annotated[Literal["json", "csv"], Query(description="`csv` gives the table alone")] = "json",
    lang: Annotated[Lang | None, Query(description="Language; goes before Accept-Language")] = None,
) -> Response:
    """Give each neighbourhood's change of rank from one run to the other, split into data, factors, weights and method."""
    before, after = held_of(request, held, run), held_of(request, held, other)

    def make() -> bytes:
        found = difference.compare(before.run, after.run)
        if format == "csv":
            return export.csv_bytes(found.table.reset_index())
        return orjson.dumps(
            {
                "before": before.run.id,
                "after": after.run.id,
                "items": export.records(found.table.reset_index()),
                "apart": export.records(found.apart.reset_index()),
                "findings": [one.record() for one in found.findings],
            }
        )

    version = f"{before.version} {after.version}"
    media = "text/csv; charset=utf-8" if format == "csv" else "application/json"
    return answer(request, make, version=version, media_type=media, parts=(format, language(request)))
