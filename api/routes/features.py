"""OGC API – Features, Parts 1 to 3: collections and their features, as GeoJSON for programs and as plain pages for people.

The addresses stand below `/ogc`, so that the service's own pages keep theirs. What is asked is read in `api.queries`; large pages
are put together from the fragments that shapely writes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import numpy as np
import orjson
import pandas as pd
from fastapi import APIRouter, Query, Request
from fastapi import Path as PathParameter
from fastapi.responses import Response

from api import models
from api.errors import OGC, NotFoundError, problem, unknown
from api.negotiation import accepted, answer, language
from api.openapi30 import described
from api.queries import OWN, Asked, asked, crs_list
from api.routes.tiles import JSON, SET, CollectionName
from api.state import Held, HeldStudy
from geo import cql, export, windows
from geo.errors import finding
from geo.messages import Lang, gettext, message
from geo.tile_values import label_of
from geo.windows import CRS84, Collection

router = APIRouter(prefix="/ogc", tags=[OGC])
GEOJSON = "application/geo+json"
HTML = "text/html"
SCHEMA = "application/schema+json"
OPENAPI = "application/vnd.oai.openapi+json;version=3.0"
MEDIA = {"json": JSON, "html": HTML}
ITEM_MEDIA = {"json": GEOJSON, "html": HTML}
PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {"content": {"application/problem+json": {"schema": models.Problem.model_json_schema()}}, "description": text}
    for status, text in ((400, "A parameter that can't be used"), (404, "Nothing of that name"), (406, "No such format"))
}
CONFORMS = [
    *(f"http://www.opengis.net/spec/ogcapi-common-1/1.0/conf/{one}" for one in ("core", "landing-page", "json", "html")),
    "http://www.opengis.net/spec/ogcapi-common-2/1.0/conf/collections",
    *(f"http://www.opengis.net/spec/ogcapi-features-1/1.0/conf/{one}" for one in ("core", "oas30", "geojson", "html")),
    "http://www.opengis.net/spec/ogcapi-features-2/1.0/conf/crs",
    *(f"http://www.opengis.net/spec/ogcapi-features-3/1.0/conf/{one}" for one in ("queryables", "filter", "features-filter")),
    *(
        f"http://www.opengis.net/spec/cql2/1.0/conf/{one}"
        for one in (
            "cql2-text",
            "basic-cql2",
            "advanced-comparison-operators",
            "case-insensitive-comparison",
            "basic-spatial-functions",
        )
    ),
    *(f"http://www.opengis.net/spec/ogcapi-processes-1/1.0/conf/{one}" for one in ("core", "json", "job-list")),
    *(
        f"http://www.opengis.net/spec/ogcapi-tiles-1/1.0/conf/{one}"
        for one in ("core", "tileset", "tilesets-list", "geodata-tilesets", "mvt")
    ),
]
KINDS = {
    "text": {"type": "string"},
    "number": {"type": "number"},
    "truth": {"type": "boolean"},
    "date": {"type": "string", "format": "date"},
}
SHOWN_COLUMNS = 12

Form = Annotated[Literal["json", "html"] | None, Query(description="Goes before the Accept header")]
Spoken = Annotated[Lang | None, Query(description="Language; goes before Accept-Language")]
HTML_TOO: dict[int | str, dict[str, Any]] = {200: {"content": {HTML: {}}}}


def link(rel: str, media: str, href: str, **more: str) -> dict[str, str]:
    return {"rel": rel, "type": media, "href": href, **more}


def _both_forms(request: Request, media: Mapping[str, str], chosen: str, lang: Lang) -> list[dict[str, str]]:
    """Links to this answer and to its other form."""
    forms = {one: str(request.url.include_query_params(f=one)) for one in media}
    return [link("self" if one == chosen else "alternate", media[one], href, hreflang=lang) for one, href in forms.items()]


def _sent(
    request: Request, held: Held, body: dict[str, Any], page: Any, *, form: str | None, headers: Mapping[str, str] | None = None
) -> Response:
    """An answer about the service, as JSON or as the page that `page()` lists."""
    chosen = form or accepted(request, MEDIA, "json")
    if chosen is None:
        return problem(request, 406, [unknown("Accept", request.headers.get("accept", ""), list(MEDIA.values()))])
    lang = language(request)
    body = {**body, "links": [*_both_forms(request, MEDIA, chosen, lang), *body.get("links", ())]}
    make = {"json": lambda: orjson.dumps(body), "html": lambda: _page(request, held, page(), lang)}[chosen]
    return answer(
        request,
        make,
        version=held.version,
        media_type=MEDIA[chosen],
        parts=(chosen, lang, str(request.base_url)),
        headers={"Content-Language": lang, **(headers or {})},
    )


def _page(request: Request, held: Held, listed: Any, lang: Lang) -> bytes:
    from maps.feature_pages import feature_page

    trail = [(gettext("Data service", lang), "ogc"), (gettext("Collections", lang), "collections")]
    text = feature_page(
        listed,
        lang=lang,
        city=held.run.info["study"]["name"][lang],
        run_line=gettext("Run {run}", lang, run=held.run.id),
        assets_url=request.url_for("assets", path="").path,
        trail=[(said, f"{request.url_for(name).path}?f=html&lang={lang}") for said, name in trail],
        language_urls={code: str(request.url.include_query_params(f="html", lang=code)) for code in ("ar", "en")},
    )
    return text.encode()


def _browse(request: Request, name: str, lang: Lang, **named: str) -> str:
    return f"{request.url_for(name, **named).path}?f=html&lang={lang}"


# ------------------------------------------------------------------------------------------------------------------ the service


@router.get("/", include_in_schema=False)  # OWSLib asks there
@router.get("", name="ogc", response_model=dict, responses=HTML_TOO)
def landing(request: Request, held: HeldStudy, f: Form = None, lang: Spoken = None) -> Response:
    """Give the entrance of the service: what it has and where."""
    spoken = language(request)
    api = str(request.url_for("ogc_api"))
    body: dict[str, Any] = {
        "title": held.run.info["study"]["name"][spoken],
        "description": gettext("What the city repairs first, and the layers that this follows from.", spoken),
        "links": [
            link("service-desc", OPENAPI, api),
            link("service-desc", "application/vnd.oai.openapi+json;version=3.1", str(request.url_for("openapi"))),
            link("service-doc", HTML, f"{request.url_for('ogc')}?f=html"),
            link("conformance", JSON, str(request.url_for("conformance"))),
            link("http://www.opengis.net/def/rel/ogc/1.0/conformance", JSON, str(request.url_for("conformance"))),
            link("data", JSON, str(request.url_for("collections"))),
            link("http://www.opengis.net/def/rel/ogc/1.0/data", JSON, str(request.url_for("collections"))),
            link("http://www.opengis.net/def/rel/ogc/1.0/processes", JSON, str(request.url_for("processes"))),
            link("http://www.opengis.net/def/rel/ogc/1.0/job-list", JSON, str(request.url_for("ogc_jobs"))),
            link("http://www.opengis.net/def/rel/ogc/1.0/tiling-schemes", JSON, str(request.url_for("tile_matrix_sets"))),
        ],
    }

    def page() -> Any:
        from maps.feature_pages import Listed

        links = [
            (gettext("Collections", spoken), _browse(request, "collections", spoken)),
            (gettext("Conformance", spoken), _browse(request, "conformance", spoken)),
            ("OpenAPI", api),
        ]
        return Listed(body["title"], [body["description"]], links)

    return _sent(request, held, body, page, form=f)


@router.get("/api", name="ogc_api", response_model=dict, responses={200: {"content": {OPENAPI: {}}}})
def description(request: Request) -> Response:
    """Give the description of these addresses as OpenAPI 3.0; /openapi.json has all of the service as 3.1."""
    made = described(request.app.openapi(), below=router.prefix, server=str(request.base_url).rstrip("/"))
    content = orjson.dumps(made)
    return answer(request, lambda: content, version=hashlib.sha256(content).hexdigest(), media_type=OPENAPI)


@router.get("/conformance", name="conformance", response_model=dict, responses=HTML_TOO)
def conformance(request: Request, held: HeldStudy, f: Form = None, lang: Spoken = None) -> Response:
    """List the parts of the standards that the service follows."""

    def page() -> Any:
        from maps.feature_pages import Listed

        heading = gettext("Conformance", language(request))
        return Listed(heading, columns=["URI"], rows=[[(one, "")] for one in CONFORMS])

    return _sent(request, held, {"conformsTo": CONFORMS}, page, form=f)


@router.get("/collections", name="collections", response_model=dict, responses=HTML_TOO)
def collections(request: Request, held: HeldStudy, f: Form = None, lang: Spoken = None) -> Response:
    """List the collections: the tables of the run that have places, and the layers of the study."""
    spoken = language(request)
    known = [held.collection(name) for name in windows.names(held.city, held.run)]
    body = {"collections": [_described(request, one, spoken) for one in known], "crs": list(crs_list(held.city.study.crs))}

    def page() -> Any:
        from maps.feature_pages import Listed

        rows = [
            [(one.title[spoken], _browse(request, "collection", spoken, collection=one.name)), (str(len(one.table)), "")]
            for one in known
        ]
        columns = [gettext("Collection", spoken), gettext("Features", spoken)]
        return Listed(gettext("Collections", spoken), columns=columns, rows=rows)

    return _sent(request, held, body, page, form=f)


def _described(request: Request, of: Collection, lang: Lang) -> dict[str, Any]:
    here = {"collection": of.name}
    items, box = str(request.url_for("items", **here)), of.bounds
    extent: dict[str, Any] = {} if box is None else {"spatial": {"bbox": [box], "crs": CRS84}}
    if of.period:
        begin, end = (f"{day}T00:00:00Z" for day in of.period)
        extent["temporal"] = {"interval": [[begin, end]], "trs": "http://www.opengis.net/def/uom/ISO-8601/0/Gregorian"}
    return {
        "id": of.name,
        "title": of.title[lang],
        "description": of.source[lang] or of.title[lang],
        **({"license": of.licence} if of.licence else {}),
        "extent": extent,
        "itemType": "feature",
        "crs": list(crs_list(of.crs)),
        "storageCrs": next(one.uri for one in crs_list(of.crs).values() if one.name == of.crs),
        "links": [
            link("self", JSON, str(request.url_for("collection", **here))),
            link("items", GEOJSON, f"{items}?f=json", title=of.title[lang]),
            link("items", HTML, f"{items}?f=html", title=of.title[lang]),
            link("http://www.opengis.net/def/rel/ogc/1.0/queryables", SCHEMA, str(request.url_for("queryables", **here))),
            link("http://www.opengis.net/def/rel/ogc/1.0/tilesets-vector", JSON, str(request.url_for("tilesets", **here))),
        ],
    }


@router.get("/collections/{collection}", name="collection", response_model=dict, responses=HTML_TOO)
def collection(request: Request, held: HeldStudy, collection: CollectionName, f: Form = None, lang: Spoken = None) -> Response:
    """Give one collection: its extent, period, CRSs and where its features are."""
    of, spoken = held.collection(collection), language(request)
    body = _described(request, of, spoken)

    def page() -> Any:
        from maps.feature_pages import Listed

        rows = [[(name, ""), (label_of(name, of, held.run)[spoken], "")] for name in of.properties]
        links = [
            (gettext("Features", spoken), _browse(request, "items", spoken, collection=of.name)),
            ("TileJSON", f"{request.url_for('tileset', collection=of.name, tile_set=SET).path}?f=tilejson"),
        ]
        columns = [gettext("Property", spoken), gettext("Meaning", spoken)]
        lines = [of.source[spoken], of.licence, " – ".join(dict.fromkeys(of.period or ()))]
        return Listed(of.title[spoken], [one for one in lines if one], links, columns, rows)

    return _sent(request, held, body, page, form=f)


@router.get(
    "/collections/{collection}/queryables",
    name="queryables",
    response_model=dict,
    responses={200: {"content": {SCHEMA: {}}}},
)
def queryables(request: Request, held: HeldStudy, collection: CollectionName, lang: Spoken = None) -> Response:
    """Give the properties that a filter can ask for, as a JSON Schema."""
    of, spoken = held.collection(collection), language(request)
    kinds = {name: cql.kind_of(of.table[name]) for name in of.properties}
    properties: dict[str, Any] = {
        name: {"title": label_of(name, of, held.run)[spoken], **KINDS[kind]} for name, kind in kinds.items() if kind is not None
    }
    body = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": str(request.url_for("queryables", collection=of.name)),
        "type": "object",
        "title": of.title[spoken],
        "properties": {**properties, "geometry": {"format": "geometry-any", "x-ogc-role": "primary-geometry"}},
        "additionalProperties": False,
    }
    return answer(
        request, lambda: orjson.dumps(body), version=held.version, media_type=SCHEMA, parts=(spoken, str(request.base_url))
    )


# ----------------------------------------------------------------------------------------------------------------- the features


def property_names(request: Request) -> list[str]:
    """The properties of the collection that a request names: each is a parameter of its own."""
    held: Held = request.app.state.held
    return [name for name in held.collection(request.path_params["collection"]).properties if name not in OWN]


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
    found = _both_forms(request, ITEM_MEDIA, form, lang)
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
    addresses = [_browse(request, "item", lang, collection=of.name, id=of.ids[row]) for row in shown]
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
    return _page(request, held, listed, lang)


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
            links = _both_forms(request, ITEM_MEDIA, form, spoken)
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
    return _page(request, held, Listed(f"{of.title[lang]}: {feature['id']}", [], [], columns, rows), lang)
