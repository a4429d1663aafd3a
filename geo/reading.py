"""Read: one file into one table, with the row number of each row, and nothing lost on the way.

Vector formats go through GDAL (pyogrio), GeoParquet and tables through their own readers. Values stay as the file has them;
validation gives them types. Text tables are read as text, so that `007` stays `007`. A path is a local file: no URL, no `/vsi`.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import geopandas as gpd
import pandas as pd
import pyogrio
import shapely
from python_calamine import CalamineError

from geo import open311, registers
from geo.errors import LayerError, finding
from geo.messages import Message, message
from geo.tags import COLUMN, unpacked

if TYPE_CHECKING:
    from geo.study import LayerSpec

ROW = "row"
FAULTS = (OSError, ValueError, RuntimeError, LookupError, CalamineError, shapely.errors.ShapelyError, zipfile.BadZipFile)
TEXT_TABLES = (".csv", ".tsv", ".txt")
ONE_LAYER = (".geojson", ".json", ".shp", ".fgb")
SHEETS = (".xlsx", ".xls", ".ods")
RASTERS = (".tif", ".tiff")
POINTERS = (b"<OGRVRTDataSource", b"<VRTDataset", b"<OGRWFSDataSource", b"gdal_streamed_alg")


def sha256(path: Path) -> str:
    """Hash of a file's content, as `sha256sum` prints it; of a shapefile, of the hashes of its parts by their names."""
    if path.suffix.lower() != ".shp":
        return _digest(path).hex()
    parts = sorted(one for one in path.parent.iterdir() if one.name.startswith(f"{path.stem}.") and one.is_file())
    return hashlib.sha256(b"".join(map(_digest, parts))).hexdigest()


def _digest(path: Path) -> bytes:
    with path.open("rb") as content:
        return hashlib.file_digest(content, "sha256").digest()


def read_file(path: Path, spec: LayerSpec, where: str) -> gpd.GeoDataFrame | pd.DataFrame:
    """The table of a file, its own columns and CRS, plus `row` (1 = first row of data).

    A text table or sheet with the columns `lon, lat` (degrees) or, with a declared CRS, `x, y` or `wkt` comes back with
    geometry (the columns may have other names: `columns` of the layer's entry says so); without them, as a plain table.

    Raises
    ------
    LayerError
        The file can't be read (with the reader's own reason), has no row, or asks for a driver it may not have.
    """
    kind = path.suffix.lower()
    try:
        if kind in TEXT_TABLES:
            frame = _placed(_text_table(path, spec), spec, where)
        elif kind in SHEETS:
            frame = _placed(_sheet(path, spec), spec, where)
        elif kind in (".parquet", ".geoparquet"):
            frame = _parquet(path)
        elif kind == ".json" and where == "complaints" and (requests := _requests(path)) is not None:
            frame = requests
        else:
            _refuse_pointer(path)
            _choose_one(path, spec, where)
            frame = gpd.read_file(path, layer=spec.sublayer, encoding=spec.encoding, engine="pyogrio", use_arrow=kind != ".shp")
            frame = frame.assign(**unpacked(frame.get(COLUMN, ()), without=frame.columns))
    except LayerError:
        raise
    except FAULTS as error:
        raise unreadable(where, path, error) from error
    if frame.empty:
        remedy = message("Ask for the file again, or take the layer out of study.toml.")
        raise LayerError(
            finding(
                "empty-file",
                "error",
                where,
                message("{path} holds no row.", path=path.name),
                expected=message("At least one row."),
                remedy=remedy,
            )
        )
    return frame.reset_index(drop=True).assign(**{ROW: range(1, len(frame) + 1)})


def unreadable(where: str, path: Path, error: Exception) -> LayerError:
    """The reader's own reason, without the path of this machine."""
    reason = str(error).replace(str(path), path.name).splitlines()[0][:200] if str(error) else type(error).__name__
    return LayerError(
        finding(
            "unreadable",
            "error",
            where,
            message("{path} can't be read: {reason}", path=path.name, reason=reason),
            expected=message("A vector file, GeoParquet, CSV, XLSX or ODS."),
            remedy=message("Open it in QGIS or a spreadsheet and save it as GeoPackage or UTF-8 CSV."),
        )
    )


def _parquet(path: Path) -> gpd.GeoDataFrame | pd.DataFrame:
    import pyarrow.parquet as pq

    described = pq.read_schema(path).metadata or {}
    return gpd.read_parquet(path) if b"geo" in described else pd.read_parquet(path)


def _requests(path: Path) -> gpd.GeoDataFrame | None:
    """The service requests of an Open311 GeoReport; None where the file is no such thing."""
    content = json.loads(path.read_bytes())
    requests = open311.requests_of(content)
    if requests is None:
        return None
    columns = open311.columns_of(requests)
    places = open311.places_of(columns)
    shapes = [None if place is None else shapely.Point(place) for place in places]
    return gpd.GeoDataFrame(columns, geometry=gpd.GeoSeries(shapes, crs="EPSG:4326"))


def _text_table(path: Path, spec: LayerSpec) -> pd.DataFrame:
    table = pd.read_csv(
        path,
        dtype=str,
        encoding=spec.encoding or "utf-8-sig",
        sep="\t" if path.suffix.lower() == ".tsv" else ",",
        header=None if spec.header else 0,
        names=spec.header,
        keep_default_na=False,
        na_values=[""],
    )
    return _not_shifted(table)


def _sheet(path: Path, spec: LayerSpec) -> pd.DataFrame:
    table = pd.read_excel(
        path,
        sheet_name=spec.sublayer or 0,
        dtype=str,
        engine="calamine",
        header=None if spec.header else 0,
        names=spec.header,
        keep_default_na=False,  # "None" and "NA" are grades and codes
        na_values=[""],
    )
    return _not_shifted(table)


def _not_shifted(table: pd.DataFrame) -> pd.DataFrame:
    """The table, unless its rows have more cells than names: pandas would shift them by taking the first for an index."""
    if not isinstance(table.index, pd.RangeIndex):
        raise ValueError("rows have more cells than there are column names")
    return table


def _refuse_pointer(path: Path) -> None:
    """Refuse a file that holds no data but points to other files or addresses.

    GDAL tells formats by content, so that such a file is followed whatever its name. Not seen here: pointers inside an archive and
    links inside GeoJSON; files from strangers are to be read in a process of their own.
    """
    with path.open("rb") as content:
        head = content.read(65_536)
    if any(mark in head for mark in POINTERS):
        raise ValueError("it holds no data, it points to other files")


def _choose_one(path: Path, spec: LayerSpec, where: str) -> None:
    """Refuse to pick one of several layers of a file."""
    if spec.sublayer is not None or path.suffix.lower() in ONE_LAYER:
        return
    layers = [str(name) for name in pyogrio.list_layers(path)[:, 0]]
    if len(layers) > 1:
        raise LayerError(
            finding(
                "which-sublayer",
                "error",
                where,
                message("{path} holds several layers: {layers}.", path=path.name, layers=layers),
                expected=message("One of them."),
                remedy=message('Name it in study.toml: sublayer = "…".'),
            )
        )


def _placed(table: pd.DataFrame, spec: LayerSpec, where: str) -> gpd.GeoDataFrame | pd.DataFrame:
    """A table with its coordinates as points (or WKT shapes); a coordinate that is no number gives a null geometry."""
    named = {ours: _place_column(ours, table, spec) for ours in ("lon", "lat", "x", "y", "wkt")}
    if named["lon"] in table.columns and named["lat"] in table.columns:
        return _points(table, named["lon"], named["lat"], spec.crs or "EPSG:4326")
    if named["x"] in table.columns and named["y"] in table.columns:
        return _points(table, named["x"], named["y"], spec.crs)
    if named["wkt"] in table.columns:
        texts = [text if isinstance(text, str) else None for text in table[named["wkt"]]]
        shapes = shapely.from_wkt(texts, on_invalid="ignore")
        return gpd.GeoDataFrame(table, geometry=shapes, crs=spec.crs or "EPSG:4326")
    missing = [ours for ours in ("lon", "lat", "x", "y", "wkt") if ours in spec.columns]
    if missing:
        raise LayerError(
            finding(
                "missing-column",
                "error",
                where,
                message("There is no column {columns}.", columns=[spec.columns[ours] for ours in missing]),
                expected=message("Columns of the file: {columns}.", columns=list(table.columns)[:40]),
                remedy=_remap(),
            )
        )
    return table


def _place_column(ours: str, table: pd.DataFrame, spec: LayerSpec) -> str:
    """What a column of places is called: as the layer's entry says, else as the profile knows it, else as we do."""
    if ours in spec.columns or spec.profile is None:
        return spec.columns.get(ours, ours)
    offered = registers.tree("sources", spec.profile).get("coordinates", {}).get(ours, [])
    return next((one for one in offered if one in table.columns), ours)


def _remap() -> Message:
    return message('Say in study.toml which column it is: columns = { ours = "theirs" }.')


def _points(table: pd.DataFrame, x: str, y: str, crs: str | None) -> gpd.GeoDataFrame:
    across, up = pd.to_numeric(table[x], errors="coerce"), pd.to_numeric(table[y], errors="coerce")
    points = shapely.points(across.to_numpy(float), up.to_numpy(float))
    points[(across.isna() | up.isna()).to_numpy()] = None
    return gpd.GeoDataFrame(table, geometry=points, crs=crs)
