"""Read: one file into one table, with the row number of each row, and nothing lost on the way.

Vector formats go through GDAL (pyogrio), GeoParquet and tables through their own readers. Values stay as the file has them;
validation gives them types. Text tables are read as text, so that `007` stays `007`. A path is a local file: no URL, no `/vsi`.
"""

from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import geopandas as gpd
import pandas as pd
import shapely

from geo.errors import LayerError, finding
from geo.messages import Message, message

if TYPE_CHECKING:
    from geo.study import LayerSpec

ROW = "row"
TEXT_TABLES = (".csv", ".tsv", ".txt")
SHEETS = (".xlsx", ".xls", ".ods")
RASTERS = (".tif", ".tiff", ".vrt")


def sha256(path: Path) -> str:
    """Hash of a file's content; of a shapefile, of all its parts in the order of their names."""
    parts = sorted(path.parent.glob(f"{path.stem}.*")) if path.suffix.lower() == ".shp" else [path]
    whole = hashlib.sha256()
    for part in parts:
        with part.open("rb") as content:
            whole.update(hashlib.file_digest(content, "sha256").digest())
    return whole.hexdigest()


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
            frame = _placed(
                pd.read_excel(
                    path,
                    sheet_name=spec.sublayer or 0,
                    dtype=str,
                    engine="calamine",
                    header=None if spec.header else 0,
                    names=spec.header,
                ),
                spec,
                where,
            )
        elif kind in (".parquet", ".geoparquet"):
            frame = _parquet(path)
        else:
            frame = gpd.read_file(path, layer=spec.sublayer, encoding=spec.encoding, engine="pyogrio", use_arrow=kind != ".shp")
    except LayerError:
        raise
    except (OSError, ValueError, RuntimeError, LookupError, zipfile.BadZipFile) as error:
        raise _unreadable(where, path, error) from error
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
    return frame.assign(**{ROW: range(1, len(frame) + 1)})


def _unreadable(where: str, path: Path, error: Exception) -> LayerError:
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


def _text_table(path: Path, spec: LayerSpec) -> pd.DataFrame:
    return pd.read_csv(
        path,
        dtype=str,
        encoding=spec.encoding or "utf-8-sig",
        sep="\t" if path.suffix.lower() == ".tsv" else ",",
        header=None if spec.header else 0,
        names=spec.header,
        keep_default_na=False,
        na_values=[""],
    )


def _placed(table: pd.DataFrame, spec: LayerSpec, where: str) -> gpd.GeoDataFrame | pd.DataFrame:
    """A table with its coordinates as points (or WKT shapes); a coordinate that is no number gives a null geometry."""
    named = {ours: spec.columns.get(ours, ours) for ours in ("lon", "lat", "x", "y", "wkt")}
    if named["lon"] in table.columns and named["lat"] in table.columns:
        return _points(table, named["lon"], named["lat"], spec.crs or "EPSG:4326")
    if named["x"] in table.columns and named["y"] in table.columns:
        return _points(table, named["x"], named["y"], spec.crs)
    if named["wkt"] in table.columns:
        shapes = shapely.from_wkt(table[named["wkt"]].to_numpy(dtype=object), on_invalid="ignore")
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


def _remap() -> Message:
    return message('Say in study.toml which column it is: columns = { ours = "theirs" }.')


def _points(table: pd.DataFrame, x: str, y: str, crs: str | None) -> gpd.GeoDataFrame:
    across, up = pd.to_numeric(table[x], errors="coerce"), pd.to_numeric(table[y], errors="coerce")
    points = shapely.points(across.to_numpy(float), up.to_numpy(float))
    points[(across.isna() | up.isna()).to_numpy()] = None
    return gpd.GeoDataFrame(table, geometry=points, crs=crs)
