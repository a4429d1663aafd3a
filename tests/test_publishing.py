"""Published tables, read back from a real PostGIS."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from threading import Thread
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import shapely
import sqlalchemy as sa
from pandas.testing import assert_frame_equal

from geo.errors import UnknownNameError
from geo.publishing import publish
from geo.run import Run
from geo.store import StoreError
from tests.conftest import CRS, points, town_tables
from tests.postgres import database


@pytest.fixture
def url() -> str:
    return database(postgis=True)


@pytest.fixture
def reader(url: str) -> Iterator[sa.Engine]:
    engine = sa.create_engine(url.replace("postgresql:", "postgresql+psycopg:"))
    yield engine
    engine.dispose()


def asked(reader: sa.Engine, question: str) -> list[Any]:
    with reader.connect() as connection:
        return [tuple(row) for row in connection.exec_driver_sql(question)]


def damage(*grades: str) -> gpd.GeoDataFrame:
    columns = {"id": [f"00{n}" for n in range(len(grades))], "grade": list(grades)}
    return gpd.GeoDataFrame(columns, geometry=points(*((n, 0.1 + 0.2) for n in range(len(grades)))), crs=CRS)


def test_the_list_comes_back_as_it_is(url: str, reader: sa.Engine, town_run: Run) -> None:
    assert publish(url, run=town_run, layers={"roads": town_tables()["roads"]}) == {"priorities": 4, "roads": 4}
    back = gpd.read_postgis("SELECT * FROM tarmim.priorities", reader, geom_col="geometry").sort_values("id")
    table = town_run.priorities.sort_values("id")
    assert back.crs == table.crs
    assert [shape.wkb for shape in back.geometry] == [shape.wkb for shape in table.geometry]
    assert list(back.columns) == list(table.columns)
    columns = ["id", "name_ar", "score", "why_ar", *town_run.measures()]
    got, wanted = (pd.DataFrame(one)[columns].reset_index(drop=True).astype(object) for one in (back, table))
    assert_frame_equal(got.where(got.notna(), None), wanted.where(wanted.notna(), None))
    assert asked(reader, "SELECT count(*) FROM tarmim.priorities WHERE score = 'NaN'") == [(0,)]


def test_every_kind_of_value_comes_back(url: str, reader: sa.Engine) -> None:
    table = gpd.GeoDataFrame(
        {
            "id": ["0012", "٣", "9007199254740993", "d"],
            "name_ar": ["حي الخالدية", None, "", 'a\tb\n"\\N'],
            "date": [datetime.date(2026, 3, 29), None, datetime.date(1999, 1, 1), None],
            "seen": pd.to_datetime(["2026-03-29 10:00", None, "2014-05-01 00:00", None]),
            "people": [1.5, np.nan, 0.1 + 0.2, 1e300],
            "floors": pd.array([1, None, 3, 2**60], dtype="Int64"),
            "sure": pd.array([True, None, False, True], dtype="boolean"),
            "select": ["reserved", "word", "as", "name"],
            "Case %": [1, 2, 3, 4],
        },
        geometry=[*points((1 / 3, 2 / 3)), None, shapely.LineString([(0, 0), (1, 1)]), shapely.box(0, 0, 1, 1)],
        crs=CRS,
    )
    publish(url, layers={"buildings": table})
    rows = asked(reader, 'SELECT * FROM tarmim.buildings ORDER BY "Case %%"')
    plain = pd.DataFrame(table.drop(columns="geometry")).astype(object)
    expected = [tuple(row) for row in plain.where(plain.notna(), None).itertuples(index=False)]
    assert [row[:-1] for row in rows] == expected
    shapes = [row[0] for row in asked(reader, 'SELECT ST_AsBinary(geometry) FROM tarmim.buildings ORDER BY "Case %%"')]
    assert [None if one is None else bytes(one) for one in shapes] == [None if one is None else one.wkb for one in table.geometry]


def test_srid_index_key_and_comments_are_there(url: str, reader: sa.Engine, town_run: Run) -> None:
    polygons = gpd.GeoDataFrame(
        {"id": ["a", "b"]}, geometry=[shapely.box(0, 0, 1, 1), shapely.MultiPolygon([shapely.box(2, 2, 3, 3)])], crs="EPSG:4326"
    )
    nameless = damage("none", "severe").drop(columns="id")
    publish(
        url,
        run=town_run,
        layers={"buildings": polygons, "damage": nameless, "population": pd.DataFrame({"id": ["A"], "people": [5]})},
    )
    columns = asked(reader, "SELECT f_table_name, type, srid, coord_dimension FROM geometry_columns ORDER BY 1")
    assert columns == [("buildings", "MULTIPOLYGON", 4326, 2), ("damage", "POINT", 32637, 2), ("priorities", "POLYGON", 32637, 2)]
    indexes = asked(reader, "SELECT tablename, indexname, indexdef FROM pg_indexes WHERE schemaname = 'tarmim' ORDER BY 2")
    assert [name for _, name, _ in indexes] == [
        "buildings_geometry", "buildings_pkey", "damage_geometry", "damage_pkey",
        "population_pkey", "priorities_geometry", "priorities_pkey",
    ]  # fmt: skip
    assert sum("USING gist" in text for *_, text in indexes) == 3
    comment = asked(reader, "SELECT obj_description('tarmim.priorities'::regclass)")[0][0]
    assert town_run.id in comment
    told = dict(
        asked(
            reader, "SELECT attname, col_description(attrelid, attnum) FROM pg_attribute WHERE attrelid = 'tarmim.damage'::regclass"
        )
    )
    assert told["grade"] == "الدرجة كما كتبها المسح حرفيا / Grade exactly as the survey wrote it"
    assert asked(reader, "SELECT gid FROM tarmim.damage ORDER BY 1") == [(1,), (2,)]


def test_series_are_tables_of_their_own(url: str, reader: sa.Engine) -> None:
    assert publish(url, layers={"damage": damage("none"), "damage/field-east": damage("severe", "none")}) == {
        "damage": 1,
        "damage_field-east": 2,
    }
    assert asked(reader, 'SELECT grade FROM tarmim."damage_field-east" ORDER BY id') == [("severe",), ("none",)]
    (comment,) = asked(reader, "SELECT obj_description('tarmim.\"damage_field-east\"'::regclass)")[0]
    assert comment.endswith("field-east")


def test_publishing_again_replaces_and_keeps_the_rights_of_readers(url: str, reader: sa.Engine) -> None:
    publish(url, layers={"damage": damage("none"), "roads": town_tables()["roads"]})
    with reader.begin() as connection:
        connection.exec_driver_sql('CREATE ROLE "qgis users"')
        connection.exec_driver_sql('GRANT SELECT ON tarmim.damage TO "qgis users", PUBLIC')
    for _ in range(2):
        assert publish(url, layers={"damage": damage("severe", "none")}) == {"damage": 2}
    assert asked(reader, "SELECT grade FROM tarmim.damage ORDER BY id") == [("severe",), ("none",)]
    assert asked(reader, "SELECT count(*) FROM tarmim.roads") == [(4,)]
    assert asked(reader, """SELECT has_table_privilege('qgis users', 'tarmim.damage', 'SELECT')""") == [(True,)]
    names = [
        name for (name,) in asked(reader, "SELECT relname FROM pg_class WHERE relnamespace = 'tarmim'::regnamespace ORDER BY 1")
    ]
    assert [name for name in names if name.startswith("damage")] == ["damage", "damage_geometry", "damage_pkey"]
    with reader.begin() as connection:
        connection.exec_driver_sql('DROP OWNED BY "qgis users"')
        connection.exec_driver_sql('DROP ROLE "qgis users"')


def test_readers_see_the_old_state_or_the_new_one(url: str, reader: sa.Engine) -> None:
    def both(n: int) -> dict[str, pd.DataFrame]:
        return {"damage": damage(*["none"] * n), "facilities": damage(*["none"] * n).rename(columns={"grade": "kind"})}

    publish(url, layers=both(1))
    writer = Thread(target=lambda: [publish(url, layers=both(n)) for n in range(2, 12)])
    writer.start()
    seen = set()
    question = "SELECT (SELECT count(*) FROM tarmim.damage), (SELECT count(*) FROM tarmim.facilities)"
    while writer.is_alive():
        seen.update(asked(reader, question))
    writer.join()
    assert all(one == two for one, two in seen)
    assert asked(reader, question) == [(11, 11)]


def test_one_table_that_cannot_be_published_leaves_all_as_they_were(url: str, reader: sa.Engine) -> None:
    publish(url, layers={"damage": damage("none")})
    local = damage("none").set_crs("+proj=tmerc +lat_0=34.7 +lon_0=36.7 +datum=WGS84 +units=m", allow_override=True)
    long = damage("none").assign(**{"ع" * 32: 1})
    for bad, word in ((local, "EPSG"), (long, "too long")):
        with pytest.raises(StoreError, match=word):
            publish(url, layers={"damage": damage("severe"), "roads": bad})
        assert asked(reader, "SELECT grade FROM tarmim.damage") == [("none",)]
        assert asked(reader, "SELECT count(*) FROM pg_tables WHERE schemaname = 'tarmim'") == [(1,)]


def test_a_view_on_a_table_is_said_and_kept(url: str, reader: sa.Engine) -> None:
    publish(url, layers={"damage": damage("none")})
    with reader.begin() as connection:
        connection.exec_driver_sql("CREATE VIEW tarmim.mine AS SELECT * FROM tarmim.damage")
    with pytest.raises(StoreError) as caught:
        publish(url, layers={"damage": damage("severe")})
    assert caught.value.findings[0].code == "table-held"
    assert asked(reader, "SELECT grade FROM tarmim.mine") == [("none",)]


def test_names_and_databases_that_cannot_be_used_are_said(url: str) -> None:
    with pytest.raises(UnknownNameError):
        publish(url, layers={'x"; DROP SCHEMA tarmim': damage("none")})
    with pytest.raises(StoreError, match="no PostGIS"):
        publish(database(), layers={"damage": damage("none")})
    with pytest.raises(StoreError):
        publish("postgresql://x:secret@127.0.0.1:1/none", layers={"damage": damage("none")})
