"""A dataset: a table of one layer that never changes, named by its content.

Rows stand in the order of a Hilbert curve, so that what lies together on the ground lies together in the file and a reader of
one quarter skips the rest (GeoParquet 1.1 with a bounding-box column, zstd). Equal tables give the same name whatever the order
of their rows, and the same bytes with the same versions of the libraries. Rows without a usable place come last; tables without
shapes are put in the order of their `id`.
Known bias: a comparison of two datasets rounds coordinates to a millimetre (1e-8 degrees) and needs `id`s that do not repeat;
without them rows are counted as added and removed, never as changed.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import orjson
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import shapely

from geo.catalogue import StoreError
from geo.errors import finding
from geo.messages import message

ROW_GROUP = 32_768
LAST = np.iinfo(np.uint64).max
POSITION = "row"  # where a row stood in its file; not a change of the row itself


@dataclass(frozen=True)
class Change:
    """What is different from the dataset before. The ids are complete; they are empty where rows have no ids of their own.

    Attributes
    ----------
    before
        The dataset compared with; None where the layer had none.
    rows_added, rows_removed, rows_changed, rows_same
        Numbers of rows. A row is the same when all columns that both datasets have are the same.
    columns_added, columns_removed
        Columns that only one of them has.
    compared
        False where the file of the dataset before can't be read any more: all rows then count as added.
    """

    before: str | None
    rows_added: int
    rows_removed: int = 0
    rows_changed: int = 0
    rows_same: int = 0
    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    columns_added: tuple[str, ...] = ()
    columns_removed: tuple[str, ...] = ()
    compared: bool = True

    def counts(self) -> dict[str, Any]:
        """For the log: numbers and columns, no ids."""
        return {one.name: getattr(self, one.name) for one in fields(self) if one.name not in ("added", "removed", "changed")}


def in_order(frame: pd.DataFrame, layer: str) -> pd.DataFrame:
    """The rows in the order of the file, numbered from 0; a named index becomes a column.

    Raises
    ------
    StoreError
        A column name repeats, is no text or is `bbox`, which the format keeps for itself.
    """
    table = frame.reset_index(drop=frame.index.name is None)
    table.attrs = {}
    names = list(table.columns)
    wrong = {str(name) for name in names if not isinstance(name, str) or names.count(name) > 1 or name == "bbox"}
    if wrong:
        raise StoreError(
            finding(
                "columns",
                "error",
                layer,
                message("These columns can't be kept: {columns}.", columns=sorted(wrong)),
                expected=message("Names that do not repeat, none of them 'bbox'."),
            )
        )
    if table.empty:
        return table
    keys = [_row_hashes(table, names)]
    if isinstance(table, gpd.GeoDataFrame):
        keys.append(_hilbert(table.geometry))
    elif "id" in names:
        keys.append(table["id"].astype("string").fillna("").to_numpy(dtype=object))
    return table.take(np.lexsort(keys)).reset_index(drop=True)


def _hilbert(shapes: gpd.GeoSeries) -> np.ndarray[Any, np.dtype[np.uint64]]:
    """Places along the curve; rows without a finite place stand last."""
    bounds = shapely.bounds(shapes.to_numpy())
    there = np.isfinite(bounds).all(axis=1)
    distance = np.full(len(shapes), LAST, dtype=np.uint64)
    if there.any():
        distance[there] = shapes[there].hilbert_distance(total_bounds=shapely.total_bounds(shapes[there].to_numpy()))
    return distance


def content_id(table: pd.DataFrame, layer: str) -> str:
    """Half a SHA-256 (32 hexadecimal digits) of layer, CRS, columns and values of a table that stands in its order.

    Raises
    ------
    StoreError
        A column mixes kinds of values.
    """
    arrow = _arrow(table, layer)
    crs = table.crs.to_string() if isinstance(table, gpd.GeoDataFrame) and table.crs else None
    kinds = [[name, str(arrow[name].type)] for name in arrow.column_names]
    digest = hashlib.sha256(orjson.dumps({"layer": layer, "crs": crs, "columns": kinds, "rows": len(table)}))
    for name in arrow.column_names:
        _digest(digest, arrow[name])
    return digest.hexdigest()[:32]


def _arrow(table: pd.DataFrame, layer: str) -> Any:
    """The table as Arrow columns of plain kinds, shapes as WKB."""
    plain = {name: _as_wkb(table[name]) if _is_shapes(table[name]) else table[name] for name in table.columns}
    try:
        return pa.table({name: _plain(pa.Array.from_pandas(column)) for name, column in plain.items()})
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError) as error:
        raise StoreError(
            finding(
                "columns",
                "error",
                layer,
                message("A column mixes kinds of values: {fault}.", fault=str(error).splitlines()[0]),
                expected=message("One kind of value in each column: text, numbers or dates."),
            )
        ) from error


def _plain(column: Any) -> Any:
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if pa.types.is_string(column.type) or pa.types.is_string_view(column.type):
        return column.cast(pa.large_string())
    return column.cast(pa.large_binary()) if pa.types.is_binary(column.type) else column


def _digest(digest: Any, column: Any) -> None:
    """The values of a column, without what Arrow leaves in the places of unknown ones."""
    flat = column.combine_chunks()
    flat = pa.concat_arrays([flat.chunk(n) for n in range(flat.num_chunks)]) if isinstance(flat, pa.ChunkedArray) else flat
    digest.update(np.packbits(flat.is_null().to_numpy(zero_copy_only=False)).tobytes())
    known = flat.drop_null()
    if pa.types.is_large_string(known.type) or pa.types.is_large_binary(known.type):
        digest.update(pc.binary_length(known).to_numpy(zero_copy_only=False).astype("<i8").tobytes())
        _, offsets, values = known.buffers()
        ends = np.frombuffer(offsets, dtype="<i8")[known.offset : known.offset + len(known) + 1] if len(known) else (0, 0)
        digest.update(memoryview(values)[ends[0] : ends[-1]] if values is not None else b"")
    elif pa.types.is_boolean(known.type) or pa.types.is_integer(known.type) or pa.types.is_floating(known.type):
        digest.update(known.to_numpy(zero_copy_only=False).tobytes())
    elif pa.types.is_temporal(known.type):
        digest.update(known.cast(pa.int32() if known.type.bit_width == 32 else pa.int64()).to_numpy().tobytes())
    else:
        digest.update(orjson.dumps(known.to_pylist(), default=str))


def write(table: pd.DataFrame, path: Path) -> None:
    """The table as GeoParquet 1.1 (plain Parquet without shapes), onto the disk."""
    with path.open("xb") as out:
        if isinstance(table, gpd.GeoDataFrame):
            table.to_parquet(
                out, index=False, compression="zstd", write_covering_bbox=True, schema_version="1.1.0", row_group_size=ROW_GROUP
            )
        else:
            table.to_parquet(out, index=False, compression="zstd", row_group_size=ROW_GROUP)
        out.flush()
        os.fsync(out.fileno())


def read(path: Path) -> pd.DataFrame:
    """The table as it was written."""
    import pyarrow.parquet as pq

    described = pq.read_metadata(path).metadata or {}
    return gpd.read_parquet(path) if b"geo" in described else pd.read_parquet(path)


def compare(before: pd.DataFrame, after: pd.DataFrame, name: str) -> Change:
    """What is different in `after`; `name` is the dataset before.

    >>> old = pd.DataFrame({"id": ["A", "B"], "state": ["none", "severe"]})
    >>> new = pd.DataFrame({"id": ["B", "C"], "state": ["moderate", "none"]})
    >>> found = compare(old, new, "old")
    >>> found.added, found.removed, found.changed
    (('C',), ('A',), ('B',))
    """
    columns = [column for column in after.columns if column in set(before.columns) and column != POSITION]
    kinds = {column: before[column].dtype == after[column].dtype for column in columns}
    hashes = [_row_hashes(frame, columns, kinds, rounded=True) for frame in (before, after)]
    only = (tuple(after.columns.difference(before.columns)), tuple(before.columns.difference(after.columns)))
    ids = [frame["id"].astype("string") for frame in (before, after) if "id" in frame]
    if len(ids) == 2 and not any(one.hasnans or one.duplicated().any() for one in ids):
        old, new = (pd.Series(hashed, index=pd.Index(one.astype(object))) for hashed, one in zip(hashes, ids, strict=True))
        added, removed = new.index.difference(old.index), old.index.difference(new.index)
        common = new.index.intersection(old.index).sort_values()
        changed = common[(old[common] != new[common]).to_numpy()]
        numbers = (len(added), len(removed), len(changed), len(common) - len(changed))
        return Change(name, *numbers, tuple(added), tuple(removed), tuple(changed), *only)
    old, new = (pd.Series(hashed).value_counts() for hashed in hashes)
    same = int(np.minimum(old, new.reindex(old.index, fill_value=0)).sum())
    return Change(name, len(after) - same, len(before) - same, 0, same, columns_added=only[0], columns_removed=only[1])


def _row_hashes(
    frame: pd.DataFrame, columns: list[str], kinds: dict[str, bool] | None = None, *, rounded: bool = False
) -> np.ndarray[Any, np.dtype[np.uint64]]:
    """One number a row, equal for equal rows. `kinds` says by column whether both tables to compare hold the same kind."""
    if not columns or frame.empty:
        return np.zeros(len(frame), dtype=np.uint64)
    alike = kinds or {}
    plain = pd.DataFrame({name: _comparable(frame[name], alike.get(name, True), rounded=rounded) for name in columns})
    return np.asarray(pd.util.hash_pandas_object(plain, index=False), dtype=np.uint64)


def _comparable(column: Any, alike: bool, *, rounded: bool) -> Any:
    if _is_shapes(column):
        return _as_wkb(column, rounded=rounded)
    numeric = pd.api.types.is_numeric_dtype(column.dtype) and not pd.api.types.is_bool_dtype(column.dtype)
    if numeric and isinstance(column.dtype, np.dtype):
        return column if alike else column.astype("float64")
    if isinstance(column.dtype, np.dtype) and column.dtype.kind in "bmM":
        return column if alike else column.astype("string").astype(object)
    if numeric and not alike:
        return column.astype("Float64").astype(object).astype("float64")
    return column.astype(object).map(str, na_action="ignore").where(column.notna(), None)


def _is_shapes(column: Any) -> bool:
    return str(column.dtype) == "geometry"


def _as_wkb(column: Any, *, rounded: bool = False) -> pd.Series[Any]:
    shapes = column.to_numpy()
    if rounded:
        step = 1e-8 if column.crs is not None and column.crs.is_geographic else 1e-3
        shapes = shapely.set_precision(shapes, step, mode="pointwise")
    return pd.Series(shapely.to_wkb(shapes, byte_order=1, include_srid=False, flavor="iso"), index=column.index, dtype=object)
