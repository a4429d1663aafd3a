"""OGC API – Common and Features, Parts 1 to 3: the entrance, what is followed, the collections; their features are in `items`.

The addresses stand below `/ogc`, so that the service's own pages keep theirs.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import orjson
from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from api import models
from api.errors import OGC, problem, unknown
from api.negotiation import accepted, answer, language
from api.openapi30 import described
from api.queries import crs_list
from api.routes.tiles import JSON, SET, CollectionName
from api.state import Held, HeldStudy
from geo import cql, windows
from geo.messages import Lang, gettext
from geo.tile_values import label_of
from geo.windows import CRS84, Collection

router = APIRouter(prefix="/ogc", tags=[OGC])
GEOJSON = "application/geo+json"
HTML = "text/html"
SCHEMA = "application/schema+json"
OPENAPI = "application/vnd.oai.openapi+json;version=3.0"
MEDIA = {"json": JSON, "html": HTML}
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

Form = Annotated[Literal["json", "html"] | None, Query(description="Goes before the Accept header")]
Spoken = Annotated[Lang | None, Query(description="Language; goes before Accept-Language")]
HTML_TOO: dict[int | str, dict[str, Any]] = {200: {"content": {HTML: {}}}}


def link(rel: str, media: str, href: str, **more: str) -> dict[str, str]:
    return {"rel": rel, "type": media, "href": href, **more}


def both_forms(request: Request, media: Mapping[str, str], chosen: str, lang: Lang) -> list[dict[str, str]]:
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
    body = {**body, "links": [*both_forms(request, MEDIA, chosen, lang), *body.get("links", ())]}
    make = {"json": lambda: orjson.dumps(body), "html": lambda: page_of(request, held, page(), lang)}[chosen]
    return answer(
        request,
        make,
        version=held.version,
        media_type=MEDIA[chosen],
        parts=(chosen, lang, str(request.base_url)),
        headers={"Content-Language": lang, **(headers or {})},
    )


def page_of(request: Request, held: Held, listed: Any, lang: Lang) -> bytes:
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


def browse(request: Request, name: str, lang: Lang, **named: str) -> str:
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
            (gettext("Collections", spoken), browse(request, "collections", spoken)),
            (gettext("Conformance", spoken), browse(request, "conformance", spoken)),
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
            [(one.title[spoken], browse(request, "collection", spoken, collection=one.name)), (str(len(one.table)), "")]
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
            (gettext("Features", spoken), browse(request, "items", spoken, collection=of.name)),
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
