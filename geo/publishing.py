"""Publishing: a run's list and the layers of a study as PostGIS tables, for people who work with QGIS or SQL.

One schema, a table `priorities` and one table a layer, each with its SRID, a spatial index, a primary key and comments that say
what a column means. New tables are filled beside the old ones and take their names in one transaction: a reader sees the old
state or the new one, whole. Who was allowed to read the old table may read the new one. Unknown numbers become NULL, never NaN.
Known bias: tables of layers that are not given stay as they were; a view that somebody built on a table holds it in place.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from types import MappingProxyType
from typing import Any

import geopandas as gpd
import orjson
import pandas as pd
import shapely
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from geo import registers
from geo.catalogue import StoreError, connect, mended, writing
from geo.errors import finding
from geo.export import HEADINGS
from geo.messages import Message, message
from geo.run import Run

SCHEMA = "tarmim"
PRIORITIES = "priorities"
LONGEST_NAME = 63  # bytes; PostgreSQL cuts longer names without a word
NOTHING: Mapping[str, pd.DataFrame] = MappingProxyType({})
MULTI = {"Point": "MultiPoint", "LineString": "MultiLineString", "Polygon": "MultiPolygon"}


@dataclass(frozen=True)
class _New:
    """A table that was filled and waits for its name."""

    name: str
    table: sa.Table
    rows: int


def publish(
    url: str, *, run: Run | None = None, layers: Mapping[str, pd.DataFrame] = NOTHING, schema: str = SCHEMA
) -> dict[str, int]:
    """Write a run and layers into PostGIS, all of it or nothing.

    Parameters
    ----------
    url
        Address of a PostgreSQL database that has PostGIS.
    layers
        Tables by layer, such as `Store.read` gives them; one of a series (`damage/field`) becomes the table `damage_field`.

    Returns
    -------
    dict
        Number of rows by table.

    Raises
    ------
    StoreError
        The database can't be reached, has no PostGIS or refuses; a CRS without EPSG code; a name too long for PostgreSQL.
    UnknownNameError
        No such layer.
    """
    known = registers.register("layers")
    tables: dict[str, tuple[pd.DataFrame, str]] = {}
    if run is not None:
        named = run.info["study"]["name"]
        tables[PRIORITIES] = run.priorities, f"{named['ar']} / {named['en']}; run {run.id}; scheme {run.info['scheme']['id']}"
    for name, table in layers.items():
        layer, _, series = name.partition("/")
        registers.lookup("schema", layer)
        title = f"{known[layer]['name_ar']} / {known[layer]['name_en']}"
        tables[name] = table, f"{title}; {series}" if series else title
    engine = connect(Path(), url)
    try:
        with mended("PostGIS"), writing(engine) as connection:
            _prepare(connection, schema)
            made = [_fill(connection, schema, name, table, comment, run) for name, (table, comment) in tables.items()]
            for one in made:
                _take_name(connection, schema, one)
    finally:
        engine.dispose()
    return {one.name: one.rows for one in made}


def _prepare(connection: Connection, schema: str) -> None:
    if connection.exec_driver_sql("SELECT count(*) FROM pg_extension WHERE extname = 'postgis'").scalar() != 1:
        raise StoreError(
            finding(
                "no-postgis",
                "error",
                "PostGIS",
                message("The database has no PostGIS."),
                remedy=message("Let its administrator run: CREATE EXTENSION postgis."),
            )
        )
    if schema not in sa.inspect(connection).get_schema_names():
        connection.execute(sa.schema.CreateSchema(schema))


def _fill(connection: Connection, schema: str, name: str, frame: pd.DataFrame, comment: str, run: Run | None) -> _New:
    """A table under a passing name, with its rows, key and spatial index."""
    frame = frame.reset_index(drop=frame.index.name is None)
    meanings = _meanings(name.partition("/")[0], run)
    name = name.replace("/", "_")
    passing = f"{name}_{secrets.token_hex(4)}"
    keyed = "id" in frame and bool(frame["id"].notna().all()) and frame["id"].is_unique
    columns = [
        sa.Column(column, _kind(frame[column], name), comment=meanings.get(column), primary_key=keyed and column == "id")
        for column in map(str, frame.columns)
    ]
    if not keyed:
        columns.insert(0, sa.Column("gid", sa.BigInteger, sa.Identity(always=True), primary_key=True))
    long = [column.name for column in columns if len(column.name.encode()) > LONGEST_NAME]
    if long:
        raise StoreError(_unfit(name, message("These names are too long for PostgreSQL: {columns}.", columns=long)))
    table = sa.Table(passing, sa.MetaData(), *columns, schema=schema, comment=comment)
    table.create(connection)
    _rows(connection, table, frame)
    for column in _shapes(frame):
        sa.Index(f"{passing}_{column}", table.c[column], postgresql_using="gist").create(connection)
    connection.exec_driver_sql(f"ANALYZE {_quoted(connection, schema, passing)}")
    return _New(name, table, len(frame))


def _kind(column: Any, name: str) -> Any:
    """The SQL type of a column."""
    if str(column.dtype) == "geometry":
        from geoalchemy2 import Geometry

        srid = column.crs.to_epsg() if column.crs is not None else None
        if srid is None:
            raise StoreError(_unfit(name, message("The CRS of the table has no EPSG code.")))
        flat = not bool(shapely.has_z(column.to_numpy()).any())
        kinds = set(column.geom_type.dropna())
        single = {kind.removeprefix("Multi") for kind in kinds}
        shape = (
            kinds.pop() if len(kinds) == 1 else MULTI.get(single.pop(), "Geometry") if len(single) == 1 else "Geometry"
        ).upper()
        return Geometry(shape if flat else f"{shape}Z", srid=srid, dimension=2 if flat else 3, spatial_index=False)
    if pd.api.types.is_bool_dtype(column.dtype):
        return sa.Boolean()
    if pd.api.types.is_integer_dtype(column.dtype):
        return sa.BigInteger()
    if pd.api.types.is_float_dtype(column.dtype):
        return sa.Double()
    if pd.api.types.is_datetime64_any_dtype(column.dtype):
        return sa.DateTime(timezone=getattr(column.dtype, "tz", None) is not None)
    held = {type(value) for value in column.dropna()} if column.dtype == object else set()
    if held and held <= {date}:
        return sa.Date()
    if held and held <= {bool}:
        return sa.Boolean()
    return sa.JSON() if held and held <= {list, dict, tuple} else sa.Text()


def _rows(connection: Connection, table: sa.Table, frame: pd.DataFrame) -> None:
    """COPY, so that an empty text stays apart from an unknown one."""
    from psycopg import sql

    names = [str(column) for column in frame.columns]
    values = [_values(frame[column], table.c[column].type) for column in names]
    target = sql.Identifier(str(table.schema), table.name)
    command = sql.SQL("COPY {} ({}) FROM STDIN").format(target, sql.SQL(", ").join(map(sql.Identifier, names)))
    raw: Any = connection.connection.driver_connection
    with raw.cursor() as cursor, cursor.copy(command) as copy:
        for row in zip(*values, strict=True):
            copy.write_row(row)


def _values(column: Any, kind: Any) -> list[Any]:
    """Values as psycopg takes them; whatever is unknown is None."""
    if str(column.dtype) == "geometry":
        shapes = column.to_numpy()
        wanted = str(kind.geometry_type).removesuffix("Z")
        if wanted.startswith("MULTI"):
            shapes = [_as_multi(shape) for shape in shapes]
        return list(shapely.to_wkb(shapely.set_srid(shapes, kind.srid), hex=True, include_srid=True))
    known = column.notna()
    values: list[Any] = column.astype(object).where(known, None).tolist()
    if isinstance(kind, sa.Text):
        return [None if value is None else str(value).replace("\0", "") for value in values]
    if isinstance(kind, sa.JSON):
        return [None if value is None else orjson.dumps(value).decode() for value in values]
    return values


def _as_multi(shape: Any) -> Any:
    """A single shape as a collection of one; others as they are."""
    multi = None if shape is None else MULTI.get(shape.geom_type)
    return shape if multi is None else getattr(shapely, multi)([shape])


def _take_name(connection: Connection, schema: str, new: _New) -> None:
    """The new table in the place of the old one, with the rights that others had on it."""
    old = sa.inspect(connection).has_table(new.name, schema)
    fresh = _quoted(connection, schema, new.table.name)
    if old:
        place = _quoted(connection, schema, new.name)
        rights = (
            "SELECT CASE WHEN grantee = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(grantee)) END, privilege_type "
            "FROM pg_class, aclexplode(relacl) WHERE pg_class.oid = CAST(:name AS regclass) AND grantee <> relowner"
        )
        for who, what in connection.execute(sa.text(rights), {"name": place}).all():
            connection.exec_driver_sql(f"GRANT {what} ON {fresh} TO {who}")
        try:
            connection.exec_driver_sql(f"DROP TABLE {place}")
        except sa.exc.InternalError as error:
            raise StoreError(_held(new.name)) from error
    quote = connection.dialect.identifier_preparer.quote
    connection.exec_driver_sql(f"ALTER TABLE {fresh} RENAME TO {quote(new.name)}")
    inspector = sa.inspect(connection)
    indexes = [one["name"] for one in inspector.get_indexes(new.name, schema)]
    for index in [*indexes, inspector.get_pk_constraint(new.name, schema)["name"]]:
        if index is not None and index.startswith(new.table.name):
            renamed = quote(new.name + index.removeprefix(new.table.name))
            connection.exec_driver_sql(f"ALTER INDEX {_quoted(connection, schema, index)} RENAME TO {renamed}")


def _quoted(connection: Connection, schema: str, name: str) -> str:
    quote = connection.dialect.identifier_preparer.quote
    return f"{quote(schema)}.{quote(name)}"


def _meanings(name: str, run: Run | None) -> dict[str, str]:
    """What the columns mean, in both languages."""
    if name != PRIORITIES:
        return {row["column"]: f"{row['meaning_ar']} / {row['meaning_en']}" for row in registers.table("schema", name)}
    found = {column: f"{heading.render('ar')} / {heading.render('en')}" for column, heading in HEADINGS.items()}
    for one in run.info["measures"] if run is not None else ():
        found[one["id"]] = f"{one['meaning']['ar']} ({one['unit']['ar']}) / {one['meaning']['en']} ({one['unit']['en']})"
    return found


def _shapes(frame: pd.DataFrame) -> list[str]:
    if not isinstance(frame, gpd.GeoDataFrame):
        return []
    return [str(column) for column in frame.columns if str(frame[column].dtype) == "geometry"]


def _unfit(name: str, found: Message) -> Any:
    return finding("not-publishable", "error", name, found, remedy=message("Nothing was published; mend the table first."))


def _held(name: str) -> Any:
    return finding(
        "table-held",
        "error",
        name,
        message("A view or another object of the database stands on the table '{name}'.", name=name),
        remedy=message("Drop that view, publish, and make the view again; nothing was published."),
    )
