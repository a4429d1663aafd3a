"""Vector tiles of a collection: geometry and the number of the feature, nothing else, made once for all who look.

A file of tiles (PMTiles 3, Mapbox Vector Tile 2) is named by what decides its content, so its tiles may be kept for ever: scores
travel apart (`geo.tile_values`) and never touch it. GDAL writes it; a column `OGC_FID` that comes as Arrow becomes the number of
the feature in the tile, and no property is left. A feature without a place is in no tile and keeps its number.
Known bias: coordinates are whole 4096ths of a tile (30 cm at zoom 15 on the equator), and above the smallest zoom of a file,
lower for small layers, nothing of it is drawn. Measure nothing on tiles.
"""

from __future__ import annotations

import gzip
import hashlib
import math
import mmap
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import geopandas as gpd
import numpy as np
import pyogrio
import shapely
from pmtiles.tile import TileType, deserialize_directory, deserialize_header, zxy_to_tileid

from geo import windows
from geo.errors import TarmimError, finding
from geo.export import write_whole
from geo.messages import message
from geo.store import TILES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from geo.harmonise import City
    from geo.messages import Message
    from geo.run import Run
    from geo.windows import Collection

RECIPE = 1  # to be raised with every change of what stands in a tile
MAX_ZOOM = 15
MIN_ZOOMS = ((2_000, 6), (20_000, 11), (100_000, 12))  # up to so many features, from that zoom
DENSE_MIN_ZOOM = 13
HIGHEST_ZOOM = 24  # of the tile matrix set
MERCATOR_LIMIT = 85.0511287798066
NUMBER = "OGC_FID"
FOLDER = TILES


class TilesError(TarmimError):
    """A file of tiles that can't be read."""


def zooms(features: int) -> tuple[int, int]:
    """Smallest and largest zoom that a file of so many features has tiles for.

    >>> zooms(36), zooms(300_000)
    ((6, 15), (13, 15))
    """
    return next((zoom for most, zoom in MIN_ZOOMS if features <= most), DENSE_MIN_ZOOM), MAX_ZOOM


def drawable(of: Collection) -> gpd.GeoDataFrame:
    """The features that tiles can show, with their numbers: those with a place that the projection reaches."""
    shapes = of.table.geometry.to_numpy()
    bounds = shapely.bounds(shapes)
    there = np.isfinite(bounds).all(axis=1) & (np.abs(bounds[:, [1, 3]]) <= MERCATOR_LIMIT).all(axis=1)
    numbers = np.flatnonzero(there) + 1
    return gpd.GeoDataFrame({NUMBER: numbers}, geometry=shapes[there], crs=of.table.crs)


def key(of: Collection) -> str:
    """32 hexadecimal digits that change whenever a tile of the collection could."""
    return hashlib.sha256(f"{RECIPE} {pyogrio.__gdal_version_string__} {of.fingerprint}".encode()).hexdigest()[:32]


def place(of: Collection, folder: Path) -> Path:
    """Where the tiles of a collection lie in a folder of tiles."""
    return folder / f"{key(of)}.pmtiles"


def make(of: Collection, folder: Path) -> Path | None:
    """The file of tiles of a collection, made where it is not there yet; None where nothing can be drawn.

    Raises
    ------
    ExportError
        The folder can't be written.
    """
    path = place(of, folder)
    if path.is_file():
        return path
    shown = drawable(of)
    if shown.empty:
        return None
    low, high = zooms(len(of.table))
    options = {"MINZOOM": low, "MAXZOOM": high, "MAX_SIZE": 50_000_000, "MAX_FEATURES": 5_000_000, "NAME": of.name}

    def write(staging: Path) -> None:
        pyogrio.write_dataframe(
            shown.to_crs("EPSG:3857"), staging, driver="PMTiles", layer=of.name, use_arrow=True, dataset_options=options
        )

    return write_whole(path, write)


def make_all(city: City, run: Run, folder: Path, step: Callable[[Message], None] = lambda _: None) -> list[Path]:
    """The files of tiles of every collection of a study and its run; those that are there already are left as they are."""
    made = []
    for name in windows.names(city, run):
        of = windows.collection(name, city, run)
        step(message("Making tiles of {layer}", layer=of.title))
        made.append(make(of, folder))
    return [path for path in made if path is not None]


@dataclass(frozen=True)
class Archive:
    """A file of tiles, open for reading. `at` is where each tile stands: first byte and length by its id along the curve."""

    content: mmap.mmap
    at: dict[int, tuple[int, int]]
    min_zoom: int
    max_zoom: int
    bounds: tuple[float, float, float, float]

    def tile(self, zoom: int, column: int, row: int) -> bytes | None:
        """A tile, compressed with gzip, by its XYZ coordinates; None where nothing is drawn."""
        if not self.min_zoom <= zoom <= self.max_zoom:
            return None
        found = self.at.get(zxy_to_tileid(zoom, column, row))
        return None if found is None else self.content[found[0] : found[0] + found[1]]


def plain(tile: bytes) -> bytes:
    """A tile without compression."""
    return gzip.decompress(tile)


def tile_of(lon: float, lat: float, zoom: int) -> tuple[int, int]:
    """Column and row of the tile that holds a place in degrees, WGS 84; beyond the projection the nearest one.

    >>> tile_of(36.72, 34.73, 12)
    (2465, 1626)
    """
    edge, tan = 2**zoom, math.radians(max(-MERCATOR_LIMIT, min(lat, MERCATOR_LIMIT)))
    column, row = (lon + 180) / 360 * edge, (1 - math.asinh(math.tan(tan)) / math.pi) / 2 * edge
    return min(max(int(column), 0), edge - 1), min(max(int(row), 0), edge - 1)


@lru_cache(maxsize=32)
def archive(path: Path) -> Archive:
    """A file of tiles by its path; the 32 used last stay open.

    Raises
    ------
    TilesError
        It is not there, or no file of vector tiles.
    """
    try:
        with path.open("rb") as file:
            content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        header = deserialize_header(content[:127])
        if header["tile_type"] is not TileType.MVT:
            raise ValueError(header["tile_type"])
        at = dict(_entries(content, header, header["root_offset"], header["root_length"]))
    except (OSError, ValueError, KeyError, IndexError, EOFError, AttributeError) as error:
        raise TilesError(
            finding(
                "tiles-damaged",
                "error",
                path.name,
                message("The file of tiles can't be read."),
                remedy=message("Remove it from the folder 'tiles'; it is made again when it is asked for."),
            )
        ) from error
    bounds = tuple(header[f"{side}_e7"] / 1e7 for side in ("min_lon", "min_lat", "max_lon", "max_lat"))
    return Archive(content, at, header["min_zoom"], header["max_zoom"], bounds)


def _entries(content: mmap.mmap, header: Any, offset: int, length: int, depth: int = 0) -> Iterator[tuple[int, tuple[int, int]]]:
    if depth > 3:
        raise ValueError("directories within directories without end")
    for one in deserialize_directory(content[offset : offset + length]):
        if one.run_length == 0:
            yield from _entries(content, header, header["leaf_directory_offset"] + one.offset, one.length, depth + 1)
        else:
            for step in range(one.run_length):
                yield one.tile_id + step, (header["tile_data_offset"] + one.offset, one.length)


def matrices(edge: Callable[[int], int] = lambda zoom: 2**zoom) -> list[dict[str, Any]]:
    """The tile matrices of WebMercatorQuad (OGC 17-083r4, annex D.1), 256 pixels a tile, zooms 0 to 24.

    >>> matrices()[0]["cellSize"], matrices()[1]["matrixWidth"]
    (156543.03392804097, 2)
    """
    half = math.pi * 6378137.0
    return [
        {
            "id": str(zoom),
            "scaleDenominator": 2 * half / 256 / edge(zoom) / 0.28e-3,
            "cellSize": 2 * half / 256 / edge(zoom),
            "cornerOfOrigin": "topLeft",
            "pointOfOrigin": [-half, half],
            "tileWidth": 256,
            "tileHeight": 256,
            "matrixWidth": edge(zoom),
            "matrixHeight": edge(zoom),
        }
        for zoom in range(HIGHEST_ZOOM + 1)
    ]
