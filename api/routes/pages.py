"""The map page and what it asks for: its data, its layers, its assets."""

from __future__ import annotations

import secrets
from typing import Annotated

import geopandas as gpd
from fastapi import APIRouter, Query, Request
from fastapi import Path as PathParameter
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from api.errors import NotFoundError, unknown
from api.negotiation import answer, language
from api.state import Held, HeldStudy
from geo.messages import Lang

router = APIRouter(tags=["pages"])


def drawn(held: Held) -> list[str]:
    """Layers that the map can draw beside the neighbourhoods."""
    named = [name for name, one in held.city.layers.items() if name not in ("neighbourhoods", "population")]
    works = [name for name, table in held.run.tables.items() if isinstance(table, gpd.GeoDataFrame) and len(table)]
    layers = [name for name in named if isinstance(held.city.layers[name].frame, gpd.GeoDataFrame)]
    return [*layers, *works, *(["left_out"] if len(held.run.left_out) else [])]


@router.get("/", name="entrance", include_in_schema=False)
def entrance(request: Request) -> Response:
    """Send a visitor to the map, in their language."""
    return RedirectResponse(f"{request.url_for('map_page').path}?lang={language(request)}", headers={"Vary": "Accept-Language"})


@router.get("/map", name="map_page", response_class=HTMLResponse)
def map_page(
    request: Request,
    held: HeldStudy,
    lang: Annotated[Lang | None, Query(description="Language; goes before Accept-Language")] = None,
) -> Response:
    """Give the interactive map with the ranked list."""
    from maps import page

    info, spoken = held.run.info, language(request)
    nonce = secrets.token_urlsafe(16)
    request.state.nonce = nonce
    text = page.map_page(
        lang=spoken,
        title=info["study"]["name"],
        run=held.run.id,
        generated=info["study"]["generated"],
        data_url=f"{request.url_for('map_data').path}?run={held.run.id}",
        layer_urls={name: f"{request.url_for('map_layer', layer=name).path}?run={held.run.id}" for name in drawn(held)},
        assets_url=request.url_for("assets", path="").path,
        list_url=f"{request.url_for('priorities').path}?format=html&lang={{lang}}",
        nonce=nonce,
    )
    return HTMLResponse(text, headers={"Content-Language": spoken, "Cache-Control": "no-cache", "Vary": "Accept-Language"})


RunParameter = Annotated[
    str | None, Query(max_length=64, description="Run the page was made from; makes the address change with it")
]


@router.get("/map/data.json", name="map_data", response_model=dict)
def map_data(request: Request, held: HeldStudy, run: RunParameter = None) -> Response:
    """Give what the map page shows: neighbourhoods, list, measures, words."""
    from maps.payload import city_payload, encode

    return answer(
        request,
        lambda: held.made(("map",), lambda: encode(city_payload(held.run))),
        version=held.version,
        media_type="application/json",
    )


@router.get("/map/layers/{layer}.json", name="map_layer", response_model=dict)
def map_layer(
    request: Request,
    held: HeldStudy,
    layer: Annotated[str, PathParameter(max_length=60, description="Name of a layer", examples=["roads"])],
    run: RunParameter = None,
) -> Response:
    """Give one layer as the map draws it: simplified, classed, with what was left out said."""
    from maps.payload import encode, layer_payload

    if layer not in drawn(held):
        raise NotFoundError(unknown("layers", layer, drawn(held)))
    return answer(
        request,
        lambda: held.made(("map", layer), lambda: encode(layer_payload(layer, held.frame(layer)))),
        version=held.version,
        media_type="application/json",
    )
