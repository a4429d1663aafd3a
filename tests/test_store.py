"""The store: what was acknowledged is there, what is not in the catalogue is not, on SQLite and on PostgreSQL."""

from __future__ import annotations

import ast
import datetime
import io
import os
import shutil
import sqlite3
import subprocess
import sys
import tarfile
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import shapely
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from hypothesis import given
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal

from geo import catalogue, datasets, staging
from geo.errors import TarmimError, UnknownNameError, finding
from geo.messages import catalogue as texts
from geo.messages import message
from geo.overrides import Override
from geo.pipeline import assess, open_study, read_city
from geo.run import Run
from geo.seals import FIRST
from geo.store import Job, Store, StoreError
from tests.conftest import CRS, Town, points
from tests.postgres import database

NOW = datetime.datetime(2026, 3, 29, 9, 30, 0, 123456, tzinfo=datetime.UTC)
LATER = NOW + datetime.timedelta(days=1)
GEO = Path(catalogue.__file__).parent
OWN = ("store", "catalogue", "staging", "datasets", "records", "fsck", "backup", "publishing", "uploads", "deliveries")
Opener = Callable[..., Store]


@pytest.fixture(params=["sqlite", "postgresql"])
def opener(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Opener]:
    """Opens the store of one study folder, as often as a test likes; the catalogue is of both kinds in turn."""
    folder = tmp_path / "homs"
    folder.mkdir()
    url = database() if request.param == "postgresql" else None
    opened: list[Store] = []

    def opening(**options: Any) -> Store:
        opened.append(Store.open(folder, url, **options))
        return opened[-1]

    yield opening
    for one in opened:
        one.close()


@pytest.fixture
def store(opener: Opener) -> Store:
    return opener()


def survey(store: Store, content: bytes = b"a survey", **changes: Any) -> Any:
    entries = {"name": "دمار حمص.zip", "sender": "شريك", "layer": "damage", "now": NOW, **changes}
    return store.receive(io.BytesIO(content), **entries)


def checked(store: Store, content: bytes = b"a survey") -> str:
    ident: str = survey(store, content).id
    store.record_check(ident, [], now=NOW)
    return ident


def damage(*states: str | None, ids: list[str] | None = None) -> gpd.GeoDataFrame:
    names = ids or [f"{n:04}" for n in range(len(states))]
    columns = {"id": names, "state": list(states), "row": range(1, len(names) + 1)}
    return gpd.GeoDataFrame(columns, geometry=points(*((100.0 * n, 50.0) for n in range(len(names)))), crs=CRS)


def accepted(store: Store, table: pd.DataFrame, layer: str = "damage", **changes: Any) -> Any:
    return store.accept(None, table, **{"layer": layer, "by": "مخطط", "now": NOW, "provenance": {}, **changes})


def codes(found: tuple[Any, ...]) -> list[tuple[str, str]]:
    return [(one.code, one.where) for one in found]


# -------------------------------------------------------------------------------------------------------------------- surveys


def test_a_delivery_is_kept_untouched_and_its_receipt_says_what_it_is(store: Store) -> None:
    receipt = survey(store, b"\x00\xff" * 700_000)
    assert (receipt.name, receipt.sender, receipt.layer, receipt.bytes) == ("دمار حمص.zip", "شريك", "damage", 1_400_000)
    assert receipt.received_at == NOW
    assert not receipt.findings
    assert store.original(receipt.id).read_bytes() == b"\x00\xff" * 700_000
    assert not store.original(receipt.id).stat().st_mode & 0o222
    assert "دمار حمص.zip" in store.original(receipt.id).with_name("receipt.json").read_text(encoding="utf-8")
    assert [one.id for one in store.surveys(status="received", sender="شريك", layer="damage")] == [receipt.id]
    assert store.surveys(status="accepted") == []
    assert store.fsck() == ()


def test_the_same_content_again_gives_the_first_receipt(store: Store) -> None:
    first = survey(store)
    again = survey(store, name="other.zip", sender="other", now=LATER)
    assert (again.id, again.name, again.received_at) == (first.id, first.name, first.received_at)
    assert [one.code for one in again.findings] == ["received-before"]
    assert "2026-03-29" in again.findings[0].render("en")
    assert survey(store, layer="roads").id != first.id
    assert len(store.surveys()) == 2


def test_a_file_and_a_stream_are_the_same_delivery(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "a.geojson"
    path.write_bytes(b"a survey")
    receipt = store.receive(path, name="a.geojson", sender="x", layer="damage", now=NOW)
    assert survey(store).id == receipt.id


@pytest.mark.parametrize(
    ("given_name", "kept"),
    [
        ("../../etc/passwd", "passwd"),
        ("C:\\survey\\a.shp", "a.shp"),
        ("e\u0301\x00\x1b.zip", "é.zip"),  # composed, whatever form it came in
        ("\ud800.zip", "?.zip"),
        ("", "-"),
        ("/", "-"),
    ],
)
def test_the_name_of_a_file_is_text_and_never_a_path(store: Store, given_name: str, kept: str) -> None:
    assert survey(store, name=given_name).name == kept
    assert len([path for path in store.folder.rglob("*") if path.is_file() and "surveys" in path.parts]) == 2


def test_empty_and_too_large_deliveries_leave_nothing(store: Store) -> None:
    for content, options in ((b"", {}), (b"12345", {"at_most": 4})):
        with pytest.raises(StoreError) as caught:
            survey(store, content, **options)
        assert caught.value.findings[0].code == "file-size"
    assert store.surveys() == []
    assert list((store.folder / staging.FOLDER).iterdir()) == [store.folder / staging.FOLDER / "gate"]
    assert store.fsck() == ()


def test_a_file_that_is_not_there_and_a_sender_who_hangs_up_leave_nothing(store: Store) -> None:
    with pytest.raises(StoreError, match="can't be read"):
        store.receive(store.folder / "none.zip", name="a", sender="x", layer="damage", now=NOW)

    class Broken(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            if self.tell():
                raise ConnectionAbortedError("gone")
            return super().read(size)

    class GoneError(Exception): ...

    class HungUp(Broken):
        def read(self, size: int | None = -1) -> bytes:
            if self.tell():
                raise GoneError
            return super().read(10)

    for stream, error in ((Broken(b"x" * 2**21), StoreError), (HungUp(b"x" * 100), GoneError)):
        with pytest.raises(error):
            store.receive(stream, name="a", sender="x", layer="damage", now=NOW)
    assert store.surveys() == []
    assert store.fsck() == ()
    assert not [path for path in (store.folder / staging.FOLDER).iterdir() if path.is_dir()]


def test_names_from_a_request_are_looked_up_and_nothing_else(store: Store) -> None:
    with pytest.raises(UnknownNameError):
        survey(store, layer="../layers")
    for ask in (store.survey, store.original, store.dataset, store.path, store.read, store.run):
        with pytest.raises(StoreError, match="not in the catalogue"):
            ask("../../etc")


def test_a_time_without_a_zone_is_refused(store: Store) -> None:
    with pytest.raises(ValueError, match="no time zone"):
        survey(store, now=datetime.datetime(2026, 1, 1))


def test_a_survey_goes_from_received_to_checked_to_accepted(store: Store) -> None:
    ident = survey(store).id
    with pytest.raises(StoreError, match="received"):
        store.accept(ident, damage("none"), by="p", now=NOW, provenance={})
    found = finding("odd", "warning", "damage", message("{n} rows", n=3), rows=["1"])
    known = store.record_check(ident, [found], profile="unosat", mapping={"state": "Main_Damag"}, now=NOW)
    assert known == store.survey(ident)
    assert (known.status, known.profile, known.mapping) == ("checked", "unosat", {"state": "Main_Damag"})
    assert known.findings == (found.record(),)
    dataset = store.accept(ident, damage("none"), by="p", now=LATER, provenance={})
    assert (dataset.survey_id, store.survey(ident).status, store.survey(ident).decided_by) == (ident, "accepted", "p")
    assert store.survey(ident).decided_at == LATER
    assert store.accept(ident, damage("none"), by="p", now=LATER, provenance={}).id == dataset.id
    assert len(store.decisions()) == 1
    with pytest.raises(StoreError, match="Withdraw its dataset"):
        store.return_(ident, "late", by="p", now=LATER)
    assert survey(store).findings[0].render("en").endswith("deliver the mended file.")


def test_a_returned_survey_keeps_its_reason_and_can_be_checked_again(store: Store) -> None:
    ident = checked(store)
    store.return_(ident, "إحداثيات خاطئة", by="مخطط", now=NOW, origin="127.0.0.1")
    assert (store.survey(ident).status, store.survey(ident).reason) == ("returned", "إحداثيات خاطئة")
    with pytest.raises(StoreError, match="returned"):
        store.accept(ident, damage("none"), by="p", now=NOW, provenance={})
    store.record_check(ident, [], now=LATER)
    assert store.accept(ident, damage("none"), by="p", now=LATER, provenance={}).status == "current"
    assert [(one.what, one.who, one.origin) for one in store.decisions(ident)] == [("survey-returned", "مخطط", "127.0.0.1")]
    assert store.original(ident).exists()


# ------------------------------------------------------------------------------------------------------------------- datasets


def all_kinds() -> gpd.GeoDataFrame:
    shapes = [shapely.box(0, 0, 1, 1), None, shapely.Point(), *points((5, 5), (0.1 + 0.2, 7)), shapely.LineString([(0, 0), (9, 9)])]
    return gpd.GeoDataFrame(
        {
            "id": ["0012", "٣", "9007199254740993", "a", "b", "c"],
            "name_ar": ["حي الخالدية", None, "بابا عمرو", "", "ّ", "لا"],
            "date": [datetime.date(2026, 3, 29), None, *[datetime.date(2013, 1, 1)] * 4],
            "seen": pd.to_datetime(["2026-03-29", None, "2014-05-01", "2016-09-18", None, "1999-01-01"]),
            "people": [1.0, np.nan, -0.0, 1e300, 0.1, 5.0],
            "floors": pd.array([1, None, 3, 4, 5, 6], dtype="Int64"),
            "sure": pd.array([True, None, False, True, True, False], dtype="boolean"),
            "flag": [True, False] * 3,
            "kind": pd.Categorical(["x", "y", None, "x", "x", "y"]),
            "row": range(6),
        },
        geometry=shapes,
        crs=CRS,
    )


def test_what_is_written_is_what_is_read(store: Store) -> None:
    table = all_kinds()
    dataset = accepted(store, table, date=datetime.date(2026, 3, 1), trust="partner", provenance={"مصدر": ["أ", 1, None]})
    back = store.read(dataset)
    assert isinstance(back, gpd.GeoDataFrame)
    assert back.crs == table.crs
    assert_frame_equal(
        pd.DataFrame(back.sort_values("row").reset_index(drop=True)).drop(columns="geometry"),
        pd.DataFrame(table).drop(columns="geometry"),
    )
    assert shapely.equals_identical(back.sort_values("row").geometry.to_numpy(), table.geometry.to_numpy()).tolist()[0]
    assert [str(a) for a in back.sort_values("row").geometry] == [str(a) for a in table.geometry]
    known = store.dataset(dataset.id)
    assert known == dataset
    assert (known.date, known.trust, known.provenance) == (datetime.date(2026, 3, 1), "partner", {"مصدر": ["أ", 1, None]})


def test_the_file_is_geoparquet_in_hilbert_order_with_a_box_column(store: Store) -> None:
    rng = np.random.default_rng(7)
    table = gpd.GeoDataFrame(
        {"id": [str(n) for n in range(80_000)]}, geometry=shapely.points(rng.uniform(0, 1e4, (80_000, 2))), crs=CRS
    )
    path = store.path(accepted(store, table))
    described = pq.ParquetFile(path)
    geo = described.schema_arrow.metadata[b"geo"].decode()
    assert '"version": "1.1.0"' in geo
    assert '"covering"' in geo
    assert {described.metadata.row_group(0).column(n).compression for n in range(3)} == {"ZSTD"}
    assert described.num_row_groups == 3
    ordered = gpd.read_parquet(path)
    steps = np.hypot(np.diff(ordered.geometry.x), np.diff(ordered.geometry.y))
    assert np.median(steps) < 60  # neighbours in the file are neighbours on the ground: shuffled it would be 5,000 m
    corner = gpd.read_parquet(path, bbox=(0, 0, 500, 500))
    assert len(corner) == int(((table.geometry.x <= 500) & (table.geometry.y <= 500)).sum())


@given(order=st.permutations(range(6)))
def test_equal_tables_are_one_dataset_with_the_same_bytes(order: list[int]) -> None:
    table = all_kinds()
    files, names = [], []
    for one in (table, table.iloc[order]):
        ordered = datasets.in_order(one, "damage")
        names.append(datasets.content_id(ordered, "damage"))
        out = io.BytesIO()
        ordered.to_parquet(out, index=False, compression="zstd", write_covering_bbox=True)
        files.append(out.getvalue())
    assert names[0] == names[1]
    assert files[0] == files[1]


@pytest.mark.parametrize("column", ["id", "name_ar", "date", "seen", "people", "floors", "sure", "flag", "kind", "geometry"])
def test_a_single_changed_value_is_another_dataset(column: str) -> None:
    table = all_kinds()
    other = table.copy()
    other.loc[0, column], other.loc[5, column] = table.loc[5, column], table.loc[0, column]
    names = {datasets.content_id(datasets.in_order(one, "damage"), "damage") for one in (table, other)}
    assert len(names) == 2
    nothing = table.copy()
    if column not in ("flag",):
        nothing.loc[3, column] = None
        assert datasets.content_id(datasets.in_order(nothing, "damage"), "damage") not in names
    assert datasets.content_id(datasets.in_order(table.set_crs("EPSG:32636", allow_override=True), "damage"), "damage") not in names
    assert datasets.content_id(datasets.in_order(table, "damage"), "buildings") not in names


def test_a_table_without_shapes_goes_by_its_ids(store: Store) -> None:
    people = pd.DataFrame({"id": ["B", "A", None], "people": [2000, 1000, 5]})
    dataset = accepted(store, people, "population")
    assert store.read(dataset)["people"].tolist() == [5, 1000, 2000]
    assert accepted(store, people.iloc[[2, 0, 1]], "population").id == dataset.id


def test_an_empty_table_is_a_dataset(store: Store) -> None:
    back = store.read(accepted(store, damage().iloc[:0]))
    assert len(back) == 0
    assert list(back.columns) == ["id", "state", "row", "geometry"]


def test_a_newer_dataset_supersedes_and_says_what_changed(store: Store) -> None:
    first = accepted(store, damage("none", "severe", None, ids=["A", "B", "C"]))
    assert (first.change.before, first.change.rows_added, set(first.change.added)) == (None, 3, {"A", "B", "C"})
    newer = damage("none", "moderate", "none", ids=["A", "B", "D"]).assign(grade="g", row=[9, 8, 7])
    second = accepted(store, newer, now=LATER)
    change = second.change
    assert (change.before, change.added, change.removed, change.changed) == (first.id, ("D",), ("C",), ("B",))
    assert (change.rows_added, change.rows_removed, change.rows_changed, change.rows_same) == (1, 1, 1, 1)
    assert (change.columns_added, change.columns_removed) == (("grade",), ())
    assert second.supersedes == first.id
    assert [one.id for one in store.datasets("damage")] == [second.id]
    assert [(one.id, one.status) for one in store.datasets(current=False)] == [(second.id, "current"), (first.id, "superseded")]
    assert len(store.read(first.id)) == 3
    assert store.decisions(second.id)[0].details["rows_changed"] == 1


def test_a_millimetre_and_another_number_type_are_no_change() -> None:
    before = damage("none", "severe").assign(floors=[1, 2])
    after = before.assign(floors=[1.0, 2.0]).set_geometry(before.geometry.translate(1e-5, 0))
    assert datasets.compare(before, after, "x").rows_same == 2
    moved = before.set_geometry(before.geometry.translate(0.5, 0))
    assert datasets.compare(before, moved, "x").rows_changed == 2


def test_rows_without_ids_are_counted_not_matched() -> None:
    before, after = (damage(*states).drop(columns="id") for states in (("none", "none", "severe"), ("none", "none", "none")))
    change = datasets.compare(before, after, "x")
    assert (change.rows_added, change.rows_removed, change.rows_changed, change.rows_same, change.added) == (1, 1, 0, 2, ())


def test_going_back_to_an_earlier_table_makes_it_current_again(store: Store) -> None:
    first = accepted(store, damage("none"))
    second = accepted(store, damage("severe"))
    again = accepted(store, damage("none"), now=LATER)
    assert (again.id, again.status, again.made_at) == (first.id, "current", NOW)
    assert store.dataset(second.id).status == "superseded"
    assert len(store.decisions(first.id)) == 2


def test_a_withdrawn_dataset_leaves_the_layer_without_one(store: Store) -> None:
    dataset = accepted(store, damage("none"))
    store.withdraw(dataset.id, by="p", reason="خطأ", now=LATER)
    assert store.datasets() == []
    assert store.dataset(dataset.id).status == "withdrawn"
    assert len(store.read(dataset.id)) == 1
    assert store.decisions()[-1].details == {"reason": "خطأ", "was": "current"}


def test_withdrawing_goes_back_one_acceptance_past_what_was_withdrawn(store: Store) -> None:
    first, second, third = (accepted(store, damage(state)) for state in ("none", "moderate", "severe"))
    store.withdraw(second.id, by="p", reason="x", now=LATER)
    assert [one.id for one in store.datasets()] == [third.id]
    assert store.reinstated(second.id) is None
    store.withdraw(third.id, by="p", reason="x", now=LATER)
    assert [one.id for one in store.datasets()] == [first.id]
    assert store.reinstated(third.id) == first.id
    store.withdraw(first.id, by="p", reason="x", now=LATER)
    assert store.datasets() == []
    again = accepted(store, damage("moderate"), now=LATER)
    assert accepted(store, damage("severe"), now=LATER).id == third.id
    store.withdraw(third.id, by="p", reason="x", now=LATER)
    assert [one.id for one in store.datasets()] == [again.id] == [second.id]
    assert store.fsck() == ()


def test_series_of_a_layer_supersede_and_come_back_by_themselves(store: Store) -> None:
    image = accepted(store, damage("none"))
    visit = accepted(store, damage("severe"), series="field")
    later = accepted(store, damage("destroyed"), series="field")
    assert {(one.series, one.id) for one in store.datasets("damage")} == {("main", image.id), ("field", later.id)}
    assert (later.supersedes, visit.change.before) == (visit.id, None)
    with pytest.raises(StoreError, match="counts already"):
        accepted(store, damage("destroyed"))
    assert store.dataset(image.id).status == "current"
    store.withdraw(later.id, by="p", reason="x", now=LATER)
    assert {(one.series, one.id) for one in store.datasets("damage")} == {("main", image.id), ("field", visit.id)}
    moved = accepted(store, damage("destroyed"), now=LATER)
    assert (moved.id, moved.series) == (later.id, "main")
    store.withdraw(moved.id, by="p", reason="x", now=LATER)
    assert {(one.series, one.id) for one in store.datasets("damage")} == {("main", image.id), ("field", visit.id)}
    assert store.fsck() == ()


@pytest.mark.parametrize(
    ("table", "word"),
    [
        (damage("none").assign(bbox=1), "bbox"),
        (damage("none").rename(columns={"state": 5}), "5"),
        (damage("none", "severe").assign(mixed=["a", 1]), "mixes"),
    ],
)
def test_columns_that_cannot_be_kept_are_said(store: Store, table: pd.DataFrame, word: str) -> None:
    with pytest.raises(StoreError, match=word):
        accepted(store, table)
    assert store.datasets(current=False) == []
    assert store.fsck() == ()


def test_a_table_needs_a_layer(store: Store) -> None:
    with pytest.raises(ValueError, match="needs its layer"):
        store.accept(None, damage("none"), by="p", now=NOW, provenance={})
    with pytest.raises(ValueError, match="is of layer damage"):
        store.accept(checked(store), damage("none"), layer="roads", by="p", now=NOW, provenance={})


# ------------------------------------------------------------------------------------------------------------ runs, jobs, log


def test_a_run_is_kept_once_with_the_datasets_it_read(store: Store, town_run: Run) -> None:
    record = store.add_run(town_run, NOW, by="p")
    assert store.add_run(town_run, LATER) == record
    assert store.runs() == [record]
    files = ["left_out.parquet", "priorities.parquet", "run.json", *(f"{name}.parquet" for name in town_run.tables)]
    assert (record.scheme, record.datasets, sorted(record.files)) == (town_run.info["scheme"]["id"], (), sorted(files))
    back = store.run(record.id)
    assert back.info == dict(town_run.info)
    assert_frame_equal(pd.DataFrame(back.priorities), pd.DataFrame(town_run.priorities))
    assert store.fsck() == ()
    assert store.runs(published=True) == []
    published = store.publish_run(record.id, by="p", now=NOW)
    assert store.publish_run(record.id, by="q", now=LATER) == published
    assert store.runs(published=True) == [published]
    assert [one.what for one in store.decisions(record.id)] == ["run-made", "run-published"]


def test_a_run_over_datasets_of_the_store_names_them(store: Store, town: Town) -> None:
    folder = town()
    zones = gpd.read_file(folder / "neighbourhoods.geojson")
    dataset = accepted(store, zones, "neighbourhoods")
    shutil.copy(store.path(dataset), folder / "zones.parquet")
    study, scheme = open_study(
        town(entries={"neighbourhoods": {"path": "zones.parquet"}}, neighbourhoods=store.path(dataset).read_bytes())
    )
    assert store.add_run(assess(read_city(study), scheme), NOW).datasets == (dataset.id,)


def test_a_run_that_stands_there_uncatalogued_is_entered(store: Store, town_run: Run) -> None:
    from geo.run import save

    save(town_run, store.folder / "runs")
    (store.folder / "runs" / town_run.id / "run.json").write_text("half")
    assert codes(store.fsck()) == [("not-in-catalogue", f"runs/{town_run.id}")]
    store.add_run(town_run, NOW)
    assert store.run(town_run.id).id == town_run.id
    assert store.fsck() == ()


def test_jobs_are_noted_and_updated(store: Store) -> None:
    job = Job("1", "import", "running", 0.25, {"ar": "قراءة", "en": "Reading"}, NOW)
    store.record_job(job)
    done = Job("1", "import", "done", 1.0, {}, NOW)
    assert store.jobs(state="running") == [job]
    store.record_job(done)
    assert store.jobs() == [done]


@pytest.mark.parametrize("deed", ["UPDATE decisions SET who = 'somebody else'", "DELETE FROM decisions"])
def test_nobody_changes_the_log(store: Store, deed: str) -> None:
    accepted(store, damage("none"))
    with pytest.raises(sa.exc.DBAPIError, match="additions only"), catalogue.writing(store.engine) as connection:
        connection.exec_driver_sql(deed)
    assert [one.who for one in store.decisions()] == ["مخطط"]


def unguarded(store: Store, deed: str) -> None:
    """Somebody who has the database itself takes the guards away and changes the log."""
    with catalogue.writing(store.engine) as connection:
        if connection.dialect.name == "sqlite":
            connection.exec_driver_sql("DROP TRIGGER decisions_no_update")
            connection.exec_driver_sql("DROP TRIGGER decisions_no_delete")
        else:
            connection.exec_driver_sql("ALTER TABLE decisions DISABLE TRIGGER ALL")
        connection.exec_driver_sql(deed)


@pytest.mark.parametrize(
    ("deed", "row"),
    [
        ("UPDATE decisions SET who = 'somebody else' WHERE number = 2", "2"),
        ("UPDATE decisions SET made_at = '2020-01-01 00:00:00.000000' WHERE number = 1", "1"),
        ("DELETE FROM decisions WHERE number = 2", "3"),
    ],
)
def test_change_made_behind_the_log_shows(store: Store, deed: str, row: str) -> None:
    for grade in ("none", "severe", "destroyed"):
        accepted(store, damage(grade))
    assert store.check_log() == ()
    assert store.fsck() == ()
    unguarded(store, deed)
    assert [(one.code, one.rows) for one in store.fsck()] == [("log-changed", (row,))]


def test_log_cut_at_its_end_shows_by_the_seal(store: Store) -> None:
    for grade in ("none", "severe", "destroyed"):
        accepted(store, damage(grade))
    noted = store.seal()
    accepted(store, damage("moderate"))
    assert store.check_log(noted=noted) == ()
    unguarded(store, "DELETE FROM decisions WHERE number > 2")
    assert store.check_log() == ()
    assert [one.code for one in store.check_log(noted=noted)] == ["log-cut"]


def test_overrides_are_kept_with_who_why_and_the_price(store: Store, town_run: Run) -> None:
    run = store.add_run(town_run, NOW).id
    first, second = town_run.priorities["id"].head(2)
    store.override(run, Override(second, 1, "المحافظ", NOW.date(), "المشفى هناك"), now=NOW)
    assert store.overrides(run) == [Override(second, 1, "المحافظ", NOW.date(), "المشفى هناك")]
    said = store.decisions(run)[-1]
    assert (said.what, said.who) == ("rank-overridden", "المحافظ")
    assert "people" in said.details["cost"]["en"]
    store.override(run, Override(first, 2, "المحافظ", NOW.date(), "المشفى هناك"), now=NOW)
    with pytest.raises(TarmimError, match="Several units"):
        store.override(run, Override(first, 1, "المحافظ", NOW.date(), "المشفى هناك"), now=NOW)
    store.withdraw_override(run, second, by="المخطط", reason="انتهى العمل", now=NOW)
    assert [one.unit for one in store.overrides(run)] == [first]
    with pytest.raises(TarmimError, match="No decision"):
        store.withdraw_override(run, second, by="المخطط", reason="انتهى العمل", now=NOW)
    assert store.check_log() == ()


def test_catalogue_of_before_is_sealed_as_it_stands(tmp_path: Path) -> None:
    """A study that was made before the log was sealed: its entries are kept and sealed."""
    folder = tmp_path / "old"
    folder.mkdir()
    engine = catalogue.connect(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(catalogue, "HEAD", "0001")
        catalogue.migrate(engine)
    with catalogue.writing(engine) as connection:
        for number, details in enumerate(({"n": 1}, {"ن": "ص"}), 1):
            entry = {
                "number": number,
                "made_at": NOW,
                "who": "مخطط",
                "origin": "",
                "what": "survey-returned",
                "subject": f"s{number}",
            }
            columns = [one for one in catalogue.decisions.c if one.name not in ("previous", "hash")]
            before = sa.table("decisions", *(sa.column(one.name, one.type) for one in columns))
            connection.execute(sa.insert(before), {**entry, "details": details})
    engine.dispose()
    with Store.open(folder) as store:
        assert [one.details for one in store.decisions()] == [{"n": 1}, {"ن": "ص"}]
        assert store.check_log() == ()
        assert store.seal() != FIRST


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_datasets_of_before_are_of_the_main_series(tmp_path: Path, kind: str) -> None:
    """A study that was made before there were series: its datasets count as before, and another series stands beside them."""
    url = database() if kind == "postgresql" else None
    engine = catalogue.connect(tmp_path, url)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(catalogue, "HEAD", "0003")
        catalogue.migrate(engine)
    table = catalogue.datasets
    before = sa.table("datasets", *(sa.column(one.name, one.type) for one in table.c if one.name != "series"))
    entry = {"layer": "damage", "made_at": NOW, "rows": 1, "bytes": 1, "sha256": "0", "provenance": {}}
    with catalogue.writing(engine) as connection:
        connection.execute(sa.insert(before), [{**entry, "id": "old", "status": "superseded"}])
        connection.execute(sa.insert(before), [{**entry, "id": "new", "status": "current", "supersedes": "old"}])
    engine.dispose()
    with Store.open(tmp_path, url) as store:
        assert {(one.id, one.series, one.status) for one in store.datasets(current=False)} == {
            ("old", "main", "superseded"),
            ("new", "main", "current"),
        }
        visit = accepted(store, damage("severe"), series="field")
        assert {one.id for one in store.datasets("damage")} == {"new", visit.id}
        with pytest.raises(sa.exc.IntegrityError), catalogue.writing(store.engine) as connection:
            connection.execute(sa.update(table).where(table.c.id == "old").values(status="current"))


# ----------------------------------------------------------------------------------------------------------------- fsck, tidy


def full(store: Store, run: Run) -> tuple[str, str, str]:
    ident = checked(store)
    dataset = store.accept(ident, damage("none", "severe"), by="p", now=NOW, provenance={}, date=NOW.date())
    accepted(store, damage("none", "moderate"), now=LATER)
    return ident, dataset.id, store.add_run(run, NOW).id


def rot(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.chmod(0o644)
    path.write_bytes(content)


FAULTS: dict[str, Callable[[Path], object]] = {
    "damaged surveys/S/original": lambda f: rot(next(f.glob("surveys/*/original"))),
    "missing surveys/S/original": lambda f: next(f.glob("surveys/*/original")).unlink(),
    "damaged layers/damage/D.parquet": lambda f: rot(sorted(f.glob("layers/*/*"))[0]),
    "missing layers/damage/D.parquet": lambda f: sorted(f.glob("layers/*/*"))[0].unlink(),
    "damaged runs/R/priorities.parquet": lambda f: rot(next(f.glob("runs/*/priorities.parquet"))),
    "missing runs/R/run.json": lambda f: next(f.glob("runs/*/run.json")).unlink(),
    "not-in-catalogue surveys/stray": lambda f: shutil.copytree(next(f.glob("surveys/*")), f / "surveys" / "stray"),
    "not-in-catalogue surveys/S/more": lambda f: (next(f.glob("surveys/*")) / "more").write_text("x"),
    "not-in-catalogue layers/damage/stray.parquet": lambda f: (f / "layers/damage/stray.parquet").write_text("x"),
    "not-in-catalogue runs/.making-x": lambda f: (f / "runs/.making-x").mkdir(),
    "half-written .staging/left": lambda f: (f / ".staging/left").mkdir(),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_fsck_finds_each_planted_fault(store: Store, town_run: Run, fault: str) -> None:
    full(store, town_run)
    assert store.fsck() == ()
    FAULTS[fault](store.folder)
    found = store.fsck()
    assert len(found) == 1
    code, place = fault.split(" ")
    assert found[0].code == code
    parts = zip(found[0].where.split("/"), place.split("/"), strict=True)
    assert all(one == two or two.removesuffix(".parquet") in ("S", "D", "R") for one, two in parts)
    assert found[0].severity == ("error" if code in ("damaged", "missing") else "warning")
    quick = {one.code for one in store.fsck(hashes=False)}
    assert quick == set() if code == "damaged" else {code}


def test_fsck_finds_a_damaged_catalogue(tmp_path: Path) -> None:
    with Store.open(tmp_path) as store:
        for n in range(40):
            survey(store, str(n).encode())
    path = tmp_path / catalogue.FILE
    with closing(sqlite3.connect(path)) as raw:
        pages = [row[0] - 1 for row in raw.execute("SELECT rootpage FROM sqlite_master WHERE tbl_name IN ('surveys', 'decisions')")]
    content = bytearray(path.read_bytes())
    for page in pages:  # those of the schema and of its step stay: the store opens
        content[page * 4096 : page * 4096 + 200] = b"\xff" * 200
    path.write_bytes(content)
    with Store.open(tmp_path) as store:
        assert {one.code for one in store.fsck()} == {"catalogue-damaged"}
    path.write_bytes(b"SQLite format 3\0" + b"rubbish" * 9000)
    with pytest.raises(StoreError):
        Store.open(tmp_path)


def test_reading_a_damaged_dataset_is_an_error_with_its_name(store: Store) -> None:
    dataset = accepted(store, damage("none"))
    store.path(dataset).chmod(0o644)
    store.path(dataset).write_bytes(b"PAR1 rubbish PAR1")
    with pytest.raises(StoreError, match=dataset.id):
        store.read(dataset)


def test_a_damaged_dataset_does_not_stop_the_next_one(store: Store) -> None:
    first = accepted(store, damage("none"))
    store.path(first).unlink()
    second = accepted(store, damage("severe", "none"))
    assert (second.supersedes, second.change.compared, second.change.rows_added) == (first.id, False, 2)


def test_what_the_store_says_names_no_folder_of_this_machine(opener: Opener) -> None:
    with pytest.raises(StoreError) as caught:
        survey(opener(reserve_bytes=2**60))
    assert "/" not in str(caught.value)


def test_a_rotten_original_is_mended_by_the_next_delivery(store: Store) -> None:
    ident = survey(store).id
    rot(store.original(ident))
    assert codes(store.fsck()) == [("damaged", f"surveys/{ident}/original")]
    survey(store)
    assert store.fsck() == ()
    shutil.rmtree(store.folder / "surveys" / ident)
    survey(store)
    assert store.original(ident).read_bytes() == b"a survey"
    assert [one.what for one in store.decisions(ident)] == ["original-mended"] * 2


def test_opening_clears_what_a_dead_process_left_and_leaves_the_living_alone(opener: Opener) -> None:
    store = opener()
    kept = survey(store).id
    living, dead, unacknowledged = (staging.begin(store.folder) for _ in range(3))
    (dead.folder / "half").write_bytes(b"half")
    (unacknowledged.folder / "content").mkdir()
    unacknowledged.move(unacknowledged.folder / "content", f"surveys/{'0' * 32}")
    known = staging.begin(store.folder)
    os.pwrite(known.lock, f"surveys/{kept}".encode(), 0)  # killed after the commit
    for step in (dead, unacknowledged, known):
        os.close(step.lock)
    assert sorted({one.code for one in store.fsck()}) == ["half-written", "not-in-catalogue"]
    again = opener()
    assert [path for path in (store.folder / staging.FOLDER).iterdir() if path.is_dir()] == [living.folder]
    assert [path.name for path in (store.folder / "surveys").iterdir()] == [kept]
    assert again.fsck() == ()
    living.end()


def test_a_place_that_is_none_is_never_removed(store: Store) -> None:
    step = staging.begin(store.folder)
    os.pwrite(step.lock, b"../outside", 0)
    os.close(step.lock)
    (store.folder.parent / "outside").mkdir()
    store.tidy()
    assert (store.folder.parent / "outside").is_dir()
    with pytest.raises(ValueError, match="no place"):
        staging.begin(store.folder).move(store.folder, "../outside")


# ------------------------------------------------------------------------------------------------------------- backup, restore


def everything(store: Store) -> dict[str, Any]:
    tables = {}
    with catalogue.reading(store.engine) as connection:
        for table in catalogue.metadata.sorted_tables:
            tables[table.name] = sorted((tuple(row) for row in connection.execute(sa.select(table))), key=str)
    folders = ("surveys", "layers", "runs", "more")
    files = {
        p.relative_to(store.folder).as_posix(): p.read_bytes()
        for one in folders
        for p in (store.folder / one).rglob("*")
        if p.is_file()
    }
    return {"tables": tables, "files": files, "study": (store.folder / "study.toml").read_bytes()}


@pytest.fixture(params=["to sqlite", "to postgresql"])
def target(request: pytest.FixtureRequest) -> str | None:
    return database() if request.param == "to postgresql" else None


def test_a_backup_is_the_whole_study(store: Store, town_run: Run, tmp_path: Path, target: str | None) -> None:
    full(store, town_run)
    store.record_job(Job("1", "import", "done", 1.0, {}, NOW))
    (store.folder / "study.toml").write_text("[study]\n# حمص")
    (store.folder / "more").mkdir()
    (store.folder / "more" / "zones.geojson").write_bytes(b"{}")
    before = everything(store)
    path = store.backup(store.folder / "backups" / "study.tar")
    assert store.backup(path) == path
    size = path.stat().st_size
    assert store.backup(path.with_name("second.tar")).stat().st_size == size  # it does not hold the first
    survey(store, b"after the backup")
    with Store.restore(path, tmp_path / "again", target) as restored:
        assert everything(restored) == before
        assert restored.fsck() == ()
        assert restored.datasets() == store.datasets()
        survey(restored, b"life goes on")
        restored.return_(survey(restored, b"more").id, "x", by="p", now=NOW)
        accepted(restored, damage("destroyed"))
        assert [one.number for one in restored.decisions()] == list(range(1, len(restored.decisions()) + 1))
    assert not list(tmp_path.glob(".*"))


def test_a_backup_while_others_write_is_one_moment(opener: Opener, tmp_path: Path) -> None:
    store = opener()
    stop, errors = threading.Event(), []

    def deliver() -> None:
        try:
            with opener() as other:
                for n in range(1000):
                    if stop.is_set():
                        return
                    survey(other, f"{n}".encode())
        except Exception as error:  # noqa: BLE001  # for the thread that asserts
            errors.append(error)

    writer = threading.Thread(target=deliver)
    writer.start()
    try:
        for n in range(4):
            with Store.restore(store.backup(tmp_path / f"{n}.tar"), tmp_path / f"again{n}") as restored:
                assert restored.fsck() == ()
                assert store.fsck() == ()  # what others are making is no fault
    finally:
        stop.set()
        writer.join()
    assert errors == []


@pytest.mark.parametrize("fault", ["cut", "rotten", "empty", "text", "link", "outside", "catalogue only", "not there"])
def test_a_backup_that_is_not_whole_is_refused_and_leaves_nothing(tmp_path: Path, fault: str) -> None:
    (tmp_path / "s").mkdir()
    with Store.open(tmp_path / "s") as store:
        survey(store, b"x" * 30_000)
        path = store.backup(tmp_path / "b.tar")
    whole = path.read_bytes()
    entry = tarfile.TarInfo("../outside" if fault == "outside" else "surveys/link")
    entry.type = tarfile.SYMTYPE if fault == "link" else tarfile.REGTYPE
    if fault in ("link", "outside"):
        with tarfile.open(path, "a") as archive:
            archive.addfile(entry)
    elif fault == "catalogue only":
        with tarfile.open(path) as archive:
            second = archive.getmembers()[1]
            path.write_bytes(whole[: second.offset] + b"\0" * 10240)
    elif fault == "not there":
        path.unlink()
    else:
        at = whole.index(b"x" * 20_000)
        path.write_bytes(
            {"cut": whole[: at + 9], "rotten": whole[:at] + b"y" + whole[at + 1 :], "empty": b"", "text": b"text"}[fault]
        )
    with pytest.raises(StoreError):
        Store.restore(path, tmp_path / "again")
    assert sorted(one.name for one in tmp_path.iterdir() if one != path) == ["s"]


def test_a_backup_is_restored_only_to_where_nothing_is(store: Store, tmp_path: Path) -> None:
    path = store.backup(tmp_path / "b.tar")
    with pytest.raises(StoreError, match="already"):
        Store.restore(path, store.folder)
    url = database()
    (tmp_path / "other").mkdir()
    with Store.open(tmp_path / "other", url) as other:
        survey(other)
    with pytest.raises(StoreError, match="already"):
        Store.restore(path, tmp_path / "third", url)
    assert not (tmp_path / "third").exists()


# --------------------------------------------------------------------------------------------------------- several at once, room

WRITER = """
import datetime, io, sys
from geo.store import Store
from tests.test_store import NOW, accepted, damage
folder, url, who = sys.argv[1], sys.argv[2] or None, int(sys.argv[3])
with Store.open(folder, url) as store:
    for n in range(12):
        store.receive(io.BytesIO(f"shared {n}".encode()), name="a", sender=str(who), layer="damage", now=NOW)
        store.receive(io.BytesIO(f"own {who} {n}".encode()), name="a", sender=str(who), layer="damage", now=NOW)
        if n % 4 == 0:
            accepted(store, damage(*["none"] * (1 + who + n)), layer="buildings")
            accepted(store, damage(*["none"] * (1 + n)), layer="roads")
"""


def test_several_processes_at_once_lose_nothing(opener: Opener) -> None:
    store = opener(reserve_bytes=0)
    url = "" if store.engine.dialect.name == "sqlite" else store.engine.url.render_as_string(hide_password=False)
    command = [sys.executable, "-c", WRITER, str(store.folder), url]
    writers = [subprocess.Popen([*command, str(who)], cwd=GEO.parent, stderr=subprocess.PIPE) for who in range(3)]
    for one in writers:
        _, said = one.communicate(timeout=120)
        assert one.returncode == 0, said.decode()
    assert len(store.surveys()) == 12 + 3 * 12
    assert len(store.datasets()) == 2
    assert {len(store.read(one)) for one in store.datasets("buildings", current=False)} == {1, 2, 3, 5, 6, 7, 9, 10, 11}
    chain = [one for one in store.decisions() if one.details.get("before") != one.subject]
    for layer in ("buildings", "roads"):
        names = {one.id for one in store.datasets(layer, current=False)}
        steps = [(one.details["before"], one.subject) for one in chain if one.subject in names]
        assert [before for before, _ in steps] == [
            None,
            *(subject for _, subject in steps[:-1]),
        ]  # nobody compared with a past state
    assert store.fsck() == ()


def test_two_processes_may_begin_one_catalogue(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "import sys; from geo.store import Store; Store.open(sys.argv[1]).close()", str(tmp_path)]
    beginners = [subprocess.Popen(command, cwd=GEO.parent, stderr=subprocess.PIPE) for _ in range(3)]
    for one in beginners:
        _, said = one.communicate(timeout=60)
        assert one.returncode == 0, said.decode()


def test_no_delivery_takes_the_reserve(opener: Opener) -> None:
    store = opener(reserve_bytes=2**60)
    for deed in (lambda: survey(store), lambda: accepted(store, damage("none"))):
        with pytest.raises(StoreError) as caught:
            deed()
        assert caught.value.findings[0].code == "disk-full"
    assert store.fsck() == ()


def test_a_busy_catalogue_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(catalogue.PRAGMAS, "busy_timeout", 50)
    with (
        Store.open(tmp_path) as one,
        Store.open(tmp_path) as two,
        catalogue.writing(one.engine),
        pytest.raises(StoreError) as caught,
    ):
        two.record_job(Job("1", "import", "running", 0, {}, NOW))
    assert caught.value.findings[0].code == "catalogue-busy"


# ------------------------------------------------------------------------------------------------------------------- migrations


def test_the_steps_lead_from_nothing_to_the_tables(store: Store) -> None:
    scripts = ScriptDirectory(str(GEO / "migrations"))
    assert scripts.get_heads() == [catalogue.HEAD]
    with catalogue.reading(store.engine) as connection:
        assert catalogue.revision(connection) == catalogue.HEAD
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        assert compare_metadata(context, catalogue.metadata) == []
        if connection.dialect.name == "sqlite":
            assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
            assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2
            assert connection.exec_driver_sql("PRAGMA foreign_keys").scalar() == 1
    catalogue.migrate(store.engine)


def test_a_catalogue_of_a_newer_tarmim_is_left_alone(opener: Opener) -> None:
    with catalogue.writing(opener().engine) as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(StoreError, match="newer Tarmim"):
        opener()


def test_a_survey_cannot_have_an_unknown_status_nor_a_layer_two_current_datasets(store: Store) -> None:
    ident = survey(store).id
    with pytest.raises(sa.exc.IntegrityError), catalogue.writing(store.engine) as connection:
        connection.execute(sa.update(catalogue.surveys).where(catalogue.surveys.c.id == ident).values(status="lost"))
    accepted(store, damage("none"))
    accepted(store, damage("severe"))
    with pytest.raises(sa.exc.IntegrityError), catalogue.writing(store.engine) as connection:
        connection.execute(sa.update(catalogue.datasets).values(status="current"))


@pytest.mark.parametrize("url", ["mysql://x@y/z", "nonsense", "postgresql://nobody:secret@127.0.0.1:1/none"])
def test_a_database_that_cannot_be_used_is_said_without_its_password(tmp_path: Path, url: str) -> None:
    with pytest.raises(StoreError) as caught:
        Store.open(tmp_path, url)
    assert "secret" not in str(caught.value)


def test_a_folder_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no folder"):
        Store.open(tmp_path / "none")
    assert not (tmp_path / "none").exists()


# --------------------------------------------------------------------------------------------------------------------- words


def test_everything_said_is_said_in_arabic() -> None:
    arabic = texts("ar")
    said = []
    for name in OWN:
        for node in ast.walk(ast.parse((GEO / f"{name}.py").read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "message" and isinstance(node.args[0], ast.Constant):
                said.append(str(node.args[0].value))
    assert len(said) > 40
    assert [one for one in said if arabic.gettext(one) == one] == []
