"""GeoParquet: columns through Arrow, shapes from WKB, the CRS from the file's own metadata."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from geo.archives import TooMuchError
from geo.dbf import unique
from geo.reader_job import WGS84, Job, RefusedError, Rows, from_wkb, refuse_other


def geoparquet(job: Job) -> Rows:
    import pyarrow as pa
    import pyarrow.parquet as pq

    refuse_other(job.only, b"PAR1")
    try:
        with pq.ParquetFile(job.only) as stored:
            about = stored.metadata
            size = sum(about.row_group(at).total_byte_size for at in range(about.num_row_groups))
            for what, found in (
                ("rows", about.num_rows),
                ("columns", about.num_columns),
                ("cells", about.num_rows * about.num_columns),
            ):
                if found > job.rules[what]:
                    raise TooMuchError(what, found, job.rules[what])
            if size > 2**30:
                raise RefusedError("limit-bytes", n=size, limit=2**30)
            described = json.loads((about.metadata or {}).get(b"geo", b"{}"))
            main = described.get("primary_column")
            covering = {
                one.get("covering", {}).get("bbox", {}).get("xmin", [None])[0] for one in described.get("columns", {}).values()
            }
            wanted = [name for name in stored.schema_arrow.names if name not in covering]
            table = stored.read(columns=wanted, use_threads=False)
        table.validate(full=True)
    except pa.ArrowException as error:
        raise ValueError(str(error)) from error
    rows = Rows({}, list(range(1, table.num_rows + 1)))
    rows.lost = max(0, about.num_rows - table.num_rows)
    names = unique(table.column_names)
    for at, name in enumerate(names):
        if table.column_names[at] != main:
            rows.columns[name] = table.column(at).to_pylist()
    if main in table.column_names:
        _parquet_shapes(job, rows, table.column(table.column_names.index(main)).to_pylist(), described["columns"][main])
    return rows


def _parquet_shapes(job: Job, rows: Rows, values: list[Any], about: Mapping[str, Any]) -> None:
    import shapely

    crs = about.get("crs", WGS84)
    rows.crs = json.dumps(crs) if isinstance(crs, dict) else crs if isinstance(crs, str) else None
    if about.get("encoding", "WKB") == "WKB":
        from_wkb(job, rows, [one if isinstance(one, bytes) else None for one in values])
    elif about.get("encoding") == "point":
        places = [(one or {}).get(axis, math.nan) for axis in "xy" for one in values]
        rows.shapes = shapely.points(places[: len(values)], places[len(values) :])
    else:
        raise ValueError(f"geometries are encoded as {about.get('encoding')}, not as WKB")
