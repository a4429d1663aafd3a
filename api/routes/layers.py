"""The layers of the study as GeoJSON features, in pages, whole or within a box."""

from __future__ import annotations

import re
from typing import Annotated, Any

import geopandas as gpd
import numpy as np
import orjson
import shapely
from fastapi import APIRouter, Query, Request
from fastapi import Path as PathParameter
from fastapi.responses import Response

from api import models
from api.errors import RequestError
from api.negotiation import answer
from api.routes.lists import links, page_size
from api.state import Held, HeldStudy
from geo import export, registers
from geo.errors import finding
from geo.messages import message

router = APIRouter(tags=["layers"])
GEOJSON = "application/geo+json"
NUMBER = re.compile(r"[-+]?(\d{1,3}\.?\d{0,20}|\.\d{1,20})", re.ASCII)
OWN = {
    "priorities": {"name_en": "Ranked neighbourhoods", "name_ar": "الأحياء حسب الأولوية"},
    "left_out": {"name_en": "Rows left out", "name_ar": "الصفوف المستبعدة"},
}


@router.get("/layers", name="layers", response_model=models.Layers)
def layers(request: Request, held: HeldStudy) -> Response:
    """List the layers of the study with counts, boxes, sources and dates."""
    body = {
        "study": held.run.info["study"]["id"],
        "run": held.run.id,
        "crs": held.run.info["study"]["crs"],
        "layers": [_summary(request, held, name) for name in held.layers],
    }
    return answer(request, lambda: orjson.dumps(body), version=held.version, media_type="application/json")


def _summary(request: Request, held: Held, name: str) -> dict[str, Any]:
    frame = held.placed(name)
    record: dict[str, Any] = next((one for one in held.run.info["layers"] if one["layer"] == name), {})
    bounds = frame.total_bounds
    tables = held.run.info.get("tables", {})
    label = tables[name]["title"] if name in tables else registers.both(OWN.get(name) or registers.register("layers")[name], "name")
    return {
        "layer": name,
        "label": label,
        "features": len(frame),
        "geometry": sorted(frame.geom_type.dropna().unique()),
        "bbox": bounds.tolist() if len(frame) and np.isfinite(bounds).all() else None,
        "date": record.get("date", ""),
        "licence": record.get("licence", ""),
        "source": record.get("source", {"ar": "", "en": ""}),
        "rows_read": record.get("rows_read"),
        "rows_used": record.get("rows_used"),
        "rows_left_out": record.get("rows_left_out"),
        "href": request.url_for("layer", layer=name).path,
    }


def box_of(text: str) -> shapely.Polygon:
    """The box of a `bbox` parameter.

    Raises
    ------
    RequestError
        Not four numbers in degrees, or west and south not below east and north.
    """
    parts = [part.strip() for part in text.split(",")]
    plain = len(parts) == 4 and all(NUMBER.fullmatch(part) for part in parts)  # `float` would also take 1_0, nan and Arabic digits
    west, south, east, north = (float(part) for part in parts) if plain else (np.nan,) * 4
    if not (-180 <= west < east <= 180 and -90 <= south < north <= 90):
        raise RequestError(
            finding(
                "bbox",
                "error",
                "bbox",
                message("'{value}' is no box.", value=text[:100]),
                expected=message("Four numbers in degrees: west,south,east,north."),
                remedy=message("For example: bbox=36.70,34.71,36.73,34.74"),
            )
        )
    return shapely.box(west, south, east, north)


@router.get(
    "/layers/{layer}",
    name="layer",
    response_model=models.Features,
    responses={200: {"content": {GEOJSON: {"schema": {"$ref": "#/components/schemas/Features"}}}}},
)
def layer(
    request: Request,
    held: HeldStudy,
    layer: Annotated[str, PathParameter(max_length=60, description="Name of a layer", examples=["roads"])],
    bbox: Annotated[
        str | None, Query(max_length=200, description="west,south,east,north in degrees", examples=["36.70,34.71,36.73,34.74"])
    ] = None,
    limit: Annotated[int | None, Query(ge=1, description="Features of a page")] = None,
    offset: Annotated[int, Query(ge=0, le=10**9, description="Features to pass over")] = 0,
) -> Response:
    """Give the features of a layer, WGS 84, in pages; follow the link `next` until there is none."""
    frame = held.placed(layer)
    size = page_size(request, limit)
    if bbox is not None:
        frame = frame.iloc[np.sort(frame.sindex.query(box_of(bbox), predicate="intersects"))]
    return answer(request, lambda: _page(request, frame, offset, size), version=held.version, media_type=GEOJSON)


def _page(request: Request, frame: gpd.GeoDataFrame, offset: int, size: int) -> bytes:
    page = frame.iloc[offset : offset + size]
    body = {
        "type": "FeatureCollection",
        "numberMatched": len(frame),
        "numberReturned": len(page),
        "links": links(request, offset + len(page), len(frame), size, GEOJSON),
        "features": export.features(page),
    }
    return orjson.dumps(body)
