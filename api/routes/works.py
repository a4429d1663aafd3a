"""The lists of works by asset: what each repair of a network gives back, in every format, from the run of the list."""

from __future__ import annotations

from io import BytesIO
from typing import Annotated, Literal

import geopandas as gpd
import orjson
import pandas as pd
from fastapi import APIRouter, Query, Request
from fastapi import Path as PathParameter
from fastapi.responses import Response

from api import models
from api.errors import NotFoundError, unknown
from api.negotiation import answer, language
from api.routes.lists import MEDIA, PROBLEMS, RunName
from api.runs import held_of
from api.state import Held, HeldStudy
from geo import export
from geo.messages import Lang

router = APIRouter(tags=["lists"])
ENDING = "_works"


def works_of(held: Held) -> dict[str, str]:
    """By sector, the name of the table of its works."""
    names = [name for name in held.run.tables if name.endswith(ENDING)]
    return {{"road": "roads"}.get(of := name.removesuffix(ENDING), of): name for name in names}


@router.get(
    "/works/{sector}",
    name="works",
    response_model=models.Works,
    responses={
        200: {"content": {MEDIA[name]: {} for name in ("csv", "xlsx", "geojson")}},
        **{status: PROBLEMS[status] for status in (404, 422)},
    },
)
def works(
    request: Request,
    held: HeldStudy,
    sector: Annotated[str, PathParameter(description="roads, water, electricity and so on", examples=["roads"], max_length=60)],
    format: Annotated[Literal["json", "csv", "xlsx", "geojson"], Query()] = "json",
    top: Annotated[int | None, Query(ge=1, le=10**6, description="The first so many")] = None,
    lang: Annotated[Lang | None, Query(description="Language; goes before Accept-Language")] = None,
    zone: Annotated[str | None, Query(description="Code of a neighbourhood", max_length=200)] = None,
    run: RunName = None,
) -> Response:
    """Give the works of a directorate, the one that gives back most first; values of single works must not be added up."""
    held = held_of(request, held, run)
    known = works_of(held)
    if sector not in known:
        raise NotFoundError(unknown("sector", sector, list(known)))
    name = known[sector]
    table = held.run.tables[name]
    if zone is not None:
        table = table[(table["zone"] == zone).fillna(value=False)]
    table = table if top is None else table.head(top)
    make = {
        "json": lambda: _json(held, sector, name, table),
        "csv": lambda: export.csv_bytes(_flat(table)),
        "xlsx": lambda: _xlsx(held, name, table, lang or language(request)),
        "geojson": lambda: gpd.GeoDataFrame(table).to_crs("EPSG:4326").to_json(drop_id=True).encode(),
    }[format]
    headers = {"Content-Disposition": f'attachment; filename="{name}.{format}"'} if format in ("csv", "xlsx") else {}
    media = MEDIA[format] + ("; charset=utf-8" if format == "csv" else "")
    return answer(request, make, version=held.version, media_type=media, parts=(lang or language(request),), headers=headers)


def _flat(table: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame(table.drop(columns="geometry", errors="ignore"))


def _json(held: Held, sector: str, name: str, table: pd.DataFrame) -> bytes:
    info = held.run.info["tables"][name]
    body = {
        "run": held.run.id,
        "study": held.run.info["study"]["id"],
        "sector": sector,
        "columns": info["columns"],
        "values": info.get("values", {}),
        "count": len(table),
        "items": export.records(_flat(table)),
    }
    return orjson.dumps(body)


def _xlsx(held: Held, name: str, table: pd.DataFrame, lang: Lang) -> bytes:
    out = BytesIO()
    export.write_sheet(_flat(table), out, held.run.info["tables"][name], lang=lang)
    return out.getvalue()
