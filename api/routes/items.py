"""OGC API – Features: the features of a collection, in pages or one by its code, as GeoJSON for programs and as pages for people.

What is asked is read in `api.queries`; large answers are put together from the fragments that shapely writes.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import numpy as np
import orjson
import pandas as pd
from fastapi import APIRouter, Query, Request
from fastapi import Path as PathParameter
from fastapi.responses import Response

from api.errors import OGC, NotFoundError, problem, unknown
from api.negotiation import accepted, answer, language
from api.queries import OWN, Asked, asked
from api.routes.features import GEOJSON, HTML, Form, Spoken, both_forms, browse, link, page_of
from api.routes.tiles import JSON, CollectionName
from api.state import Held, HeldStudy
from api.state import held as held_by
from geo import export
from geo.errors import finding
from geo.messages import Lang, gettext, message
from geo.tile_values import label_of
from geo.windows import CRS84, Collection

router = APIRouter(prefix="/ogc", tags=[OGC])
ITEM_MEDIA = {"json": GEOJSON, "html": HTML}
SHOWN_COLUMNS = 12


def property_names(request: Request) -> list[str]:
    """The properties of the collection that a request names: each is a parameter of its own."""
    shown = held_by(request.app.state.shelf, request.state.person)
    return [name for name in shown.collection(request.path_params["collection"]).properties if name not in OWN]


Box = Annotated[str | None, Query(max_length=300, description="Only what touches this box", examples=["36.70,34.71,36.73,34.74"])]
Uri = Annotated[str | None, Query(max_length=200, description="CRS of the answer: one of the collection's list", examples=[CRS84])]

Properties = Annotated[
    str | None, Query(max_length=4000, description="Only these properties, with commas between", examples=["id"])
]


@router.get(
    "/collections/{collection}/items",
    name="items",
    response_model=dict,
    responses={200: {"content": {GEOJSON: {}, HTML: {}}}},
)
def items(
    request: Request,
    held: HeldStudy,
    collection: CollectionName,
    bbox: Box = None,
    bbox_crs: Annotated[str | None, Query(alias="bbox-crs", max_length=200, description="CRS of the box")] = None,
    crs: Uri = None,
    datetime: Annotated[
        str | None, Query(max_length=100, description="A date, or two with a slash between", examples=["2025-01-01/.."])
    ] = None,
    filter: Annotated[str | None, Query(max_length=8000, description="A condition, CQL2 text", examples=["row > 10"])] = None,
    filter_lang: Annotated[Literal["cql2-text"], Query(alias="filter-lang", description="Language of the condition")] = "cql2-text",
    filter_crs: Annotated[str | None, Query(alias="filter-crs", max_length=200, description="CRS of shapes in it")] = None,
    limit: Annotated[
        int | None, Query(ge=1, description="Features of a page; more than the service gives at once become that")
    ] = None,
    offset: Annotated[int, Query(ge=0, le=10**9, description="Features to pass over")] = 0,
    properties: Properties = None,
    f: Form = None,
    lang: Spoken = None,
) -> Response:
    """Give features, in pages; follow the link `next`. Every property is a parameter too: `?state=destroyed`."""
    of = held.collection(collection)
    chosen = f or accepted(request, {**ITEM_MEDIA, "plain": JSON}, "json")
    if chosen is None:
        return problem(request, 406, [unknown("Accept", request.headers.get("accept", ""), list(ITEM_MEDIA.values()))])
    wanted, spoken = asked(request, of), language(request)
    settings = request.app.state.settings
    size = min(limit or settings.page_size, settings.page_size_max)
    form = "html" if chosen == "html" else "json"
    make = _items_page if form == "html" else _items
    return answer(
        request,
        lambda: make(request, held, of, wanted, size, offset, spoken),
        version=held.version,
        media_type=ITEM_MEDIA[form],
        parts=(form, spoken, str(request.base_url)),
        headers={"Content-Crs": f"<{wanted.crs.uri}>", "Content-Language": spoken},
    )


items.more_parameters = property_names  # type: ignore[attr-defined]  # see api.app.only_known_parameters


def _links(request: Request, of: Collection, form: str, lang: Lang, size: int, offset: int, total: int) -> list[dict[str, str]]:
    found = both_forms(request, ITEM_MEDIA, form, lang)
    if offset + size < total:
        href = str(request.url.include_query_params(offset=offset + size, limit=size))
        found.append(link("next", ITEM_MEDIA[form], href))
    if offset > 0:
        href = str(request.url.include_query_params(offset=max(offset - size, 0), limit=size))
        found.append(link("prev", ITEM_MEDIA[form], href))
    return [*found, link("collection", JSON, str(request.url_for("collection", collection=of.name)))]


def encoded(of: Collection, rows: Any, wanted: Asked) -> list[dict[str, Any]]:
    """Features of these rows, for orjson; `number` is what tiles and compact arrays call them."""
    page = of.table.iloc[rows]
    shapes = export.fragments(wanted.crs.written(page.geometry).to_numpy(), digits=wanted.crs.digits)
    ids = of.ids.to_numpy()[rows].tolist()
    return [
        {"type": "Feature", "id": code, "number": row + 1, "properties": properties, "geometry": shape}
        for code, row, properties, shape in zip(
            ids, np.asarray(rows).tolist(), export.records(page[wanted.columns]), shapes, strict=True
        )
    ]


def _items(request: Request, held: Held, of: Collection, wanted: Asked, size: int, offset: int, lang: Lang) -> bytes:
    rows = np.flatnonzero(wanted.mask)
    features = encoded(of, rows[offset : offset + size], wanted)
    return orjson.dumps(
        {
            "type": "FeatureCollection",
            "numberMatched": len(rows),
            "numberReturned": len(features),
            "links": _links(request, of, "json", lang, size, offset, len(rows)),
            "features": features,
        }
    )


def _items_page(request: Request, held: Held, of: Collection, wanted: Asked, size: int, offset: int, lang: Lang) -> bytes:
    from maps.feature_pages import Listed, cell

    rows = np.flatnonzero(wanted.mask)
    size = min(size, 200)
    shown = rows[offset : offset + size]
    names = [name for name in wanted.columns if not name.startswith(("why_", "would_be_"))][:SHOWN_COLUMNS]
    table = export.records(of.table.iloc[shown][names])
    addresses = [browse(request, "item", lang, collection=of.name, id=of.ids[row]) for row in shown]
    turns = {"prev": gettext("Back", lang), "next": gettext("Next", lang)}
    links = [
        (turns[one["rel"]], one["href"])
        for one in _links(request, of, "html", lang, size, offset, len(rows))
        if one["rel"] in turns
    ]
    listed = Listed(
        of.title[lang],
        [gettext("{n} of {total} features", lang, n=len(shown), total=len(rows))],
        [*links, ("GeoJSON", str(request.url.include_query_params(f="json")))],
        [gettext("Feature", lang), *(label_of(name, of, held.run)[lang] for name in names)],
        [
            [(of.ids[row], address), *((cell(one[name]), "") for name in names)]
            for row, one, address in zip(shown, table, addresses, strict=True)
        ],
    )
    return page_of(request, held, listed, lang)


@router.get(
    "/collections/{collection}/items/{id:path}",
    name="item",
    response_model=dict,
    responses={200: {"content": {GEOJSON: {}, HTML: {}}}},
)
def item(
    request: Request,
    held: HeldStudy,
    collection: CollectionName,
    id: Annotated[str, PathParameter(max_length=200, description="Code of the feature", examples=["DEMO-06"])],
    crs: Uri = None,
    properties: Properties = None,
    f: Form = None,
    lang: Spoken = None,
) -> Response:
    """Give one feature by its code, which stays the same from run to run."""
    of = held.collection(collection)
    wanted, spoken = asked(request, of), language(request)
    found = of.ids.get_indexer(pd.Index([id], dtype=object))
    if found[0] < 0:
        raise NotFoundError(
            finding(
                "unknown-name",
                "error",
                "id",
                message("There is no feature '{id}' in this collection.", id=id),
                remedy=message("See the items of the collection for the codes."),
            )
        )
    chosen = f or accepted(request, {**ITEM_MEDIA, "plain": JSON}, "json")
    if chosen is None:
        return problem(request, 406, [unknown("Accept", request.headers.get("accept", ""), list(ITEM_MEDIA.values()))])
    form = "html" if chosen == "html" else "json"

    def make() -> bytes:
        (feature,) = encoded(of, found, wanted)
        if form == "json":
            links = both_forms(request, ITEM_MEDIA, form, spoken)
            back = link("collection", JSON, str(request.url_for("collection", collection=of.name)))
            return orjson.dumps({**feature, "links": [*links, back]})
        return _item_page(request, held, of, feature, spoken)

    return answer(
        request,
        make,
        version=held.version,
        media_type=ITEM_MEDIA[form],
        parts=(form, spoken, str(request.base_url)),
        headers={"Content-Crs": f"<{wanted.crs.uri}>", "Content-Language": spoken},
    )


def _item_page(request: Request, held: Held, of: Collection, feature: dict[str, Any], lang: Lang) -> bytes:
    from maps.feature_pages import Listed, cell

    rows = [[(label_of(name, of, held.run)[lang], ""), (cell(value), "")] for name, value in feature["properties"].items()]
    columns = [gettext("Property", lang), gettext("Value", lang)]
    return page_of(request, held, Listed(f"{of.title[lang]}: {feature['id']}", [], [], columns, rows), lang)
