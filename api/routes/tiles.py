"""OGC API – Tiles: vector tiles of every collection with the numbers of the features, and apart from them values to colour them.

The address of a tile holds the hash of what decides it, so a browser keeps it for ever and asks again only where shapes change; a
hash that is no longer served is refused, because the numbers in those tiles may mean other features by now.
"""

from __future__ import annotations

from threading import Lock
from typing import Annotated, Any, Literal

import orjson
from fastapi import APIRouter, Query, Request
from fastapi import Path as PathParameter
from fastapi.responses import Response

from api.errors import OGC, NotFoundError, RequestError, unknown
from api.negotiation import FOREVER, answer
from api.state import Held, HeldStudy
from geo import tile_values, tiles
from geo.errors import finding
from geo.messages import message
from geo.windows import Collection

router = APIRouter(prefix="/ogc", tags=[OGC])
SET = "WebMercatorQuad"
MVT = "application/vnd.mapbox-vector-tile"
VALUES = "application/vnd.tarmim.values"
JSON = "application/json"
URI = f"http://www.opengis.net/def/tilematrixset/OGC/1.0/{SET}"
MERCATOR = "http://www.opengis.net/def/crs/EPSG/0/3857"
_making = Lock()

CollectionName = Annotated[str, PathParameter(max_length=60, description="Name of a collection", examples=["roads"])]
TileSet = Annotated[Literal["WebMercatorQuad"], PathParameter(description="The tile matrix set", examples=[SET])]


def archive(held: Held, of: Collection) -> tiles.Archive | None:
    """The tiles of a collection, made where they are not there yet; None where nothing can be drawn."""
    path = tiles.place(of, held.tiles_folder)
    if not path.is_file():
        with _making:
            if tiles.make(of, held.tiles_folder) is None:
                return None
    return tiles.archive(path)


def tile_address(request: Request, name: str) -> str:
    """The address of the tiles of a collection with `{z}`, `{y}` and `{x}` in it."""
    base = str(request.url_for("tileset", collection=name, tile_set=SET))
    return f"{base}/{{z}}/{{y}}/{{x}}"


@router.get("/tileMatrixSets", name="tile_matrix_sets", response_model=dict)
def tile_matrix_sets(request: Request) -> Response:
    """List the tile matrix sets: one, which web maps use."""
    link = {"rel": "self", "type": JSON, "href": str(request.url_for("tile_matrix_set", tile_set=SET))}
    body = {"tileMatrixSets": [{"id": SET, "title": SET, "uri": URI, "crs": MERCATOR, "links": [link]}]}
    return answer(request, lambda: orjson.dumps(body), version=SET, media_type=JSON, parts=(link["href"],))


@router.get("/tileMatrixSets/{tile_set}", name="tile_matrix_set", response_model=dict)
def tile_matrix_set(request: Request, tile_set: TileSet) -> Response:
    """Give the definition of the tile matrix set (OGC 17-083r4)."""
    body = {
        "id": SET,
        "title": "Google Maps Compatible for the World",
        "uri": URI,
        "crs": MERCATOR,
        "orderedAxes": ["X", "Y"],
        "wellKnownScaleSet": "http://www.opengis.net/def/wkss/OGC/1.0/GoogleMapsCompatible",
        "tileMatrices": tiles.matrices(),
    }
    return answer(request, lambda: orjson.dumps(body), version=SET, media_type=JSON)


@router.get("/collections/{collection}/tiles", name="tilesets", response_model=dict)
def tilesets(request: Request, held: HeldStudy, collection: CollectionName) -> Response:
    """List the tile sets of a collection."""
    of = held.collection(collection)
    body = {
        "links": [{"rel": "self", "type": JSON, "href": str(request.url_for("tilesets", collection=of.name))}],
        "tilesets": [_described(request, held, of)],
    }
    return answer(request, lambda: orjson.dumps(body), version=tiles.key(of), media_type=JSON, parts=(str(request.base_url),))


@router.get("/collections/{collection}/tiles/{tile_set}", name="tileset", response_model=dict)
def tileset(
    request: Request,
    held: HeldStudy,
    collection: CollectionName,
    tile_set: TileSet,
    f: Annotated[Literal["json", "tilejson"], Query(description="`tilejson` gives TileJSON 3 for web maps")] = "json",
) -> Response:
    """Give the metadata of a tile set: where its tiles are, which zooms, which ground."""
    of = held.collection(collection)

    def make() -> bytes:
        return orjson.dumps(_tilejson(request, held, of) if f == "tilejson" else _described(request, held, of))

    return answer(request, make, version=tiles.key(of), media_type=JSON, parts=(str(request.base_url),))


def _described(request: Request, held: Held, of: Collection) -> dict[str, Any]:
    low, high = tiles.zooms(len(of.table))
    box = of.bounds
    address = tile_address(request, of.name).replace("{z}", "{tileMatrix}").replace("{y}", "{tileRow}").replace("{x}", "{tileCol}")
    own = str(request.url_for("tileset", collection=of.name, tile_set=SET))
    return {
        "title": of.title["en"],
        "dataType": "vector",
        "crs": MERCATOR,
        "tileMatrixSetURI": URI,
        "tileMatrixSetLimits": [] if box is None else [_limits(zoom, box) for zoom in range(low, high + 1)],
        **({} if box is None else {"boundingBox": {"lowerLeft": box[:2], "upperRight": box[2:], "crs": CRS84}}),
        "layers": [{"id": of.name, "dataType": "vector", "minTileMatrix": str(low), "maxTileMatrix": str(high)}],
        "links": [
            {"rel": "self", "type": JSON, "href": own},
            {"rel": "alternate", "type": JSON, "title": "TileJSON", "href": f"{own}?f=tilejson"},
            {"rel": "item", "type": MVT, "templated": True, "href": f"{address}?v={tiles.key(of)}"},
            {
                "rel": "http://www.opengis.net/def/rel/ogc/1.0/tiling-scheme",
                "type": JSON,
                "href": str(request.url_for("tile_matrix_set", tile_set=SET)),
            },
        ],
    }


CRS84 = "http://www.opengis.net/def/crs/OGC/1.3/CRS84"


def _limits(zoom: int, box: tuple[float, float, float, float]) -> dict[str, Any]:
    left, top = tiles.tile_of(box[0], box[3], zoom)
    right, bottom = tiles.tile_of(box[2], box[1], zoom)
    return {"tileMatrix": str(zoom), "minTileRow": top, "maxTileRow": bottom, "minTileCol": left, "maxTileCol": right}


def _tilejson(request: Request, held: Held, of: Collection) -> dict[str, Any]:
    low, high = tiles.zooms(len(of.table))
    box = of.bounds
    place = {} if box is None else {"bounds": box, "center": [(box[0] + box[2]) / 2, (box[1] + box[3]) / 2, low]}
    return {
        "tilejson": "3.0.0",
        "name": of.name,
        "description": of.title["en"],
        "scheme": "xyz",
        "tiles": [f"{tile_address(request, of.name)}?v={tiles.key(of)}"],
        "minzoom": low,
        "maxzoom": high,
        **place,
        "vector_layers": [{"id": of.name, "fields": {}, "minzoom": low, "maxzoom": high}],
    }


@router.get(
    "/collections/{collection}/tiles/{tile_set}/{tile_matrix}/{tile_row}/{tile_col}",
    name="tile",
    response_class=Response,
    responses={200: {"content": {MVT: {}}}, 204: {"description": "Nothing is drawn there"}},
)
def tile(
    request: Request,
    held: HeldStudy,
    collection: CollectionName,
    tile_set: TileSet,
    tile_matrix: Annotated[int, PathParameter(ge=0, le=tiles.HIGHEST_ZOOM, description="Zoom", examples=[12])],
    tile_row: Annotated[int, PathParameter(ge=0, le=2**24, description="Row, from the north", examples=[1626])],
    tile_col: Annotated[int, PathParameter(ge=0, le=2**24, description="Column, from the west", examples=[2465])],
    v: Annotated[str | None, Query(max_length=64, description="Hash of the tiles; with it the answer may be kept for ever")] = None,
) -> Response:
    """Give a vector tile: shapes and the number of each feature; 204 where nothing is drawn."""
    of = held.collection(collection)
    if max(tile_row, tile_col) >= 2**tile_matrix:
        raise NotFoundError(_no_tile(tile_matrix, tile_row, tile_col))
    key = tiles.key(of)
    if v not in (None, key):
        raise NotFoundError(
            finding(
                "tiles-gone",
                "error",
                "v",
                message("These tiles are no longer served: the shapes have changed."),
                remedy=message("Ask for the tile set again; its address holds the new hash."),
            )
        )
    found = archive(held, of)
    content = None if found is None else found.tile(tile_matrix, tile_col, tile_row)
    kept = {"Cache-Control": FOREVER if v else "no-cache"}
    if content is None:
        return Response(status_code=204, headers=kept)
    if "gzip" in request.headers.get("accept-encoding", ""):
        return answer(request, lambda: content, version=key, media_type=MVT, headers={**kept, "Content-Encoding": "gzip", **VARY})
    return answer(request, lambda: tiles.plain(content), version=f"{key} plain", media_type=MVT, headers={**kept, **VARY})


VARY = {"Vary": "Accept-Encoding"}


def _no_tile(zoom: int, row: int, column: int) -> Any:
    return finding(
        "no-tile",
        "error",
        f"{zoom}/{row}/{column}",
        message("There is no such tile."),
        expected=message("At zoom {zoom} rows and columns from 0 to {last}.", zoom=zoom, last=2**zoom - 1),
    )


@router.get(
    "/collections/{collection}/scores",
    name="scores",
    response_class=Response,
    responses={200: {"content": {VALUES: {}, JSON: {}}}},
)
def scores(
    request: Request,
    held: HeldStudy,
    collection: CollectionName,
    columns: Annotated[
        str | None, Query(max_length=2000, description="Names with commas between them; all without it", examples=["rank,score"])
    ] = None,
    f: Annotated[Literal["values", "json"], Query(description="`json` gives the header alone")] = "values",
    run: Annotated[
        str | None, Query(max_length=80, description="Version of the run; with it the answer may be kept for ever")
    ] = None,
) -> Response:
    """Give the values by number of feature, one compact array a column, for maps that colour tiles (see `geo/tile_values.py`)."""
    of = held.collection(collection)
    if run not in (None, held.version):
        raise NotFoundError(unknown("run", run, [held.version]))
    wanted = None if columns is None else [one.strip() for one in columns.split(",")]
    stray = [name for name in wanted or () if name not in of.properties]
    if stray:
        raise RequestError(*(unknown("columns", name, of.properties) for name in stray[:5]))

    def make() -> bytes:
        content = held.made(("scores", of.name, columns), lambda: tile_values.pack(of, held.run, wanted))
        return content if f == "values" else orjson.dumps(tile_values.unpack(content)[0])

    return answer(
        request,
        make,
        version=f"{held.version} {tiles.key(of)}",
        media_type=VALUES if f == "values" else JSON,
        headers={"Cache-Control": FOREVER} if run else None,
    )
