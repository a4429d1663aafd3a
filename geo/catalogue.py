"""The catalogue: what the store holds, in tables of SQLite beside the files or of PostgreSQL by URL.

There is one writer at a time: a transaction that writes takes the lock when it begins (`BEGIN IMMEDIATE`; in PostgreSQL an
advisory lock), so two processes wait for each other instead of failing half-way, and what was read at its beginning still holds
when it ends. SQLite runs with WAL and `synchronous=FULL`: with NORMAL a power cut takes back what was acknowledged.
Known bias: SQLite's WAL needs a disk of this machine, not a network share; for several machines use PostgreSQL. All times are
UTC. One URL is one study: several studies in one database each need a schema (`?options=-csearch_path%3Dhoms`).
"""

from __future__ import annotations

import datetime
import json
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import URL, Connection, Dialect, Engine, make_url
from sqlalchemy.exc import DatabaseError, DBAPIError, OperationalError, SQLAlchemyError

from geo.errors import Finding, TarmimError, disk_full, finding, is_full, not_written
from geo.messages import message

FILE = "catalogue.sqlite"
HEAD = "0006"
BUSY_S = 30
PRAGMAS = {"busy_timeout": BUSY_S * 1000, "synchronous": "FULL", "foreign_keys": "ON", "trusted_schema": "OFF"}
LOCK = "SELECT pg_advisory_xact_lock(hashtext('tarmim catalogue'), hashtext(current_schema()))"
CHUNK = 1_000


class StoreError(TarmimError):
    """Something the store can't do: no room, a thing that is not there, a step that does not follow."""


class Utc(sa.TypeDecorator[datetime.datetime]):
    """A moment, aware and in UTC on both sides; a moment without a time zone is refused with ValueError."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime.datetime | None, dialect: Dialect) -> datetime.datetime | None:
        return None if value is None else utc(value)

    def process_result_value(self, value: datetime.datetime | None, dialect: Dialect) -> datetime.datetime | None:
        return None if value is None else value.replace(tzinfo=value.tzinfo or datetime.UTC).astimezone(datetime.UTC)


def utc(moment: datetime.datetime) -> datetime.datetime:
    """The moment in UTC.

    Raises
    ------
    ValueError
        The moment has no time zone.

    Examples
    --------
    >>> utc(datetime.datetime.fromisoformat("2026-03-29T02:30:00+03:00")).isoformat()
    '2026-03-28T23:30:00+00:00'
    """
    if moment.tzinfo is None:
        raise ValueError(f"{moment} has no time zone")
    return moment.astimezone(datetime.UTC)


metadata = sa.MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "ix": "ix_%(table_name)s_%(column_0_name)s",
    }
)
surveys = sa.Table(
    "surveys",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("received_at", Utc, nullable=False, index=True),
    sa.Column("sender", sa.Text, nullable=False),
    sa.Column("layer", sa.Text, nullable=False),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("sha256", sa.Text, nullable=False),
    sa.Column("bytes", sa.BigInteger, nullable=False),
    sa.Column("status", sa.Text, nullable=False),
    sa.Column("checked_at", Utc),
    sa.Column("profile", sa.Text),
    sa.Column("mapping", sa.JSON(none_as_null=True)),
    sa.Column("findings", sa.JSON(none_as_null=True)),
    sa.Column("decided_at", Utc),
    sa.Column("decided_by", sa.Text),
    sa.Column("reason", sa.Text),
    sa.CheckConstraint("status in ('received', 'checked', 'accepted', 'returned')", name="status"),
)
datasets = sa.Table(
    "datasets",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("layer", sa.Text, nullable=False),
    sa.Column("survey_id", sa.Text, sa.ForeignKey("surveys.id")),
    sa.Column("made_at", Utc, nullable=False),
    sa.Column("rows", sa.BigInteger, nullable=False),
    sa.Column("bytes", sa.BigInteger, nullable=False),
    sa.Column("sha256", sa.Text, nullable=False, index=True),
    sa.Column("date", sa.Date),
    sa.Column("trust", sa.Text),
    sa.Column("provenance", sa.JSON, nullable=False),
    sa.Column("status", sa.Text, nullable=False),
    sa.Column("supersedes", sa.Text, sa.ForeignKey("datasets.id")),
    sa.Column("series", sa.Text, nullable=False, server_default=sa.text("'main'")),
    sa.CheckConstraint("status in ('current', 'superseded', 'withdrawn')", name="status"),
)
sa.Index(
    "ix_datasets_one_current",
    datasets.c.layer,
    datasets.c.series,
    unique=True,
    sqlite_where=sa.text("status = 'current'"),
    postgresql_where=sa.text("status = 'current'"),
)
runs = sa.Table(
    "runs",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("made_at", Utc, nullable=False),
    sa.Column("scheme", sa.Text, nullable=False),
    sa.Column("datasets", sa.JSON, nullable=False),
    sa.Column("files", sa.JSON, nullable=False),
    sa.Column("published_at", Utc),
)
jobs = sa.Table(
    "jobs",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("progress", sa.Float, nullable=False),
    sa.Column("message", sa.JSON, nullable=False),
    sa.Column("made_at", Utc, nullable=False),
    sa.Column("subject", sa.Text, nullable=False, server_default=sa.text("''")),
    sa.Column("who", sa.Text, nullable=False, server_default=sa.text("''")),
    sa.Column("given", sa.JSON(none_as_null=True)),
    sa.Column("attempts", sa.Integer, nullable=False, server_default=sa.text("0")),
    sa.Column("findings", sa.JSON(none_as_null=True)),
    sa.Column("result", sa.Text, nullable=False, server_default=sa.text("''")),
    sa.Column("started_at", Utc),
    sa.Column("ended_at", Utc),
)
uploads = sa.Table(
    "uploads",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("made_at", Utc, nullable=False),
    sa.Column("changed_at", Utc, nullable=False),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("sender", sa.Text, nullable=False),
    sa.Column("layer", sa.Text, nullable=False),
    sa.Column("bytes", sa.BigInteger),
    sa.Column("offset", sa.BigInteger, nullable=False),
    sa.Column("source", sa.JSON(none_as_null=True)),
    sa.Column("survey_id", sa.Text, sa.ForeignKey("surveys.id")),
)
accounts = sa.Table(
    "accounts",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("role", sa.Text, nullable=False),
    sa.Column("made_at", Utc, nullable=False),
    sa.Column("closed_at", Utc),
    sa.CheckConstraint("role in ('partner', 'directorate', 'planner', 'admin')", name="role"),
)
tokens = sa.Table(
    "tokens",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("account", sa.Text, sa.ForeignKey("accounts.name"), nullable=False, index=True),
    sa.Column("hash", sa.Text, nullable=False, unique=True),
    sa.Column("label", sa.Text, nullable=False),
    sa.Column("scopes", sa.JSON, nullable=False),
    sa.Column("made_at", Utc, nullable=False),
    sa.Column("expires_at", Utc, nullable=False),
    sa.Column("revoked_at", Utc),
)
requests = sa.Table(
    "requests",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("received_at", Utc, nullable=False),
    sa.Column("category", sa.Text, nullable=False),
    sa.Column("lon", sa.Double, nullable=False),
    sa.Column("lat", sa.Double, nullable=False),
)
decisions = sa.Table(
    "decisions",
    metadata,
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("made_at", Utc, nullable=False),
    sa.Column("who", sa.Text, nullable=False),
    sa.Column("origin", sa.Text, nullable=False),
    sa.Column("what", sa.Text, nullable=False),
    sa.Column("subject", sa.Text, nullable=False, index=True),
    sa.Column("details", sa.JSON, nullable=False),
    sa.Column("previous", sa.Text, nullable=False, server_default=sa.text("''")),
    sa.Column("hash", sa.Text, nullable=False, server_default=sa.text("''")),
    sqlite_autoincrement=True,
)


def connect(folder: Path, url: str | None = None) -> Engine:
    """The catalogue of a study folder, or the one at `url`; nothing is opened yet.

    Raises
    ------
    StoreError
        The URL is not one of PostgreSQL.
    """
    if url is None:
        place = URL.create("sqlite", database=str(folder / FILE))
        engine = sa.create_engine(place, json_serializer=_json, connect_args={"timeout": BUSY_S})
        sa.event.listen(engine, "connect", _settings)
        sa.event.listen(engine, "begin", _begin)
        return engine
    try:
        place = make_url(url)
    except SQLAlchemyError:
        raise StoreError(_unknown_url()) from None  # without the cause: it shows the password
    if place.get_backend_name() not in ("postgresql", "postgres"):
        raise StoreError(_unknown_url())
    try:
        return sa.create_engine(place.set(drivername="postgresql+psycopg"), json_serializer=_json, pool_pre_ping=True)
    except ImportError as error:
        raise StoreError(
            finding(
                "no-driver",
                "error",
                "catalogue",
                message("The driver of PostgreSQL is not installed."),
                remedy=message("Install Tarmim with its extra: pip install 'tarmim[postgres]'."),
            )
        ) from error


def _unknown_url() -> Finding:
    return finding(
        "database-url",
        "error",
        "catalogue",
        message("The address of the database can't be used."),
        expected=message("An address such as postgresql://user@host/database."),
    )


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True, allow_nan=False)


def _settings(raw: Any, _: object) -> None:
    raw.isolation_level = None  # we begin and commit ourselves
    for name, value in PRAGMAS.items():
        raw.execute(f"PRAGMA {name} = {value}").close()


def _begin(connection: Connection) -> None:
    writes = connection.get_execution_options().get("writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """One view of the catalogue, whatever others write meanwhile."""
    options: dict[str, Any] = {} if engine.dialect.name == "sqlite" else {"isolation_level": "REPEATABLE READ"}
    with engine.connect().execution_options(**options) as connection, connection.begin():
        yield connection


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """One transaction that writes, alone; committed at the end, undone where anything fails."""
    with engine.connect().execution_options(writes=True) as connection, connection.begin():
        if engine.dialect.name != "sqlite":
            connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{BUSY_S}s'")
            connection.exec_driver_sql(LOCK)
        yield connection


def revision(connection: Connection) -> str | None:
    """The step that the catalogue is at; None where there is none yet."""
    if not sa.inspect(connection).has_table("alembic_version"):
        return None
    known: str | None = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()
    return known


def migrate(engine: Engine) -> None:
    """Bring the catalogue to `HEAD`, from nothing if need be, in one transaction.

    Raises
    ------
    StoreError
        The catalogue was written by a newer Tarmim.
    """
    with reading(engine) as connection:
        if revision(connection) == HEAD:
            return
    if engine.dialect.name == "sqlite":
        with closing(engine.raw_connection()) as raw:
            raw.cursor().execute("PRAGMA journal_mode = WAL").close()  # stays with the file
    with writing(engine) as connection:
        _upgrade(connection)


def _upgrade(connection: Connection) -> None:
    from alembic.config import Config
    from alembic.runtime.environment import EnvironmentContext
    from alembic.script import ScriptDirectory

    scripts = ScriptDirectory(str(Path(__file__).with_name("migrations")))
    known = {one.revision for one in scripts.walk_revisions()}
    now = revision(connection)
    if now is not None and now not in known:
        raise StoreError(
            finding(
                "newer-catalogue",
                "error",
                "catalogue",
                message("The catalogue was written by a newer Tarmim (step {step}).", step=now),
                expected=message("Step {step} or an earlier one.", step=HEAD),
                remedy=message("Install the newer Tarmim."),
            )
        )
    # no env.py: it would run at import, and there is no engine but the caller's
    with EnvironmentContext(Config(), scripts, fn=lambda rev, _: scripts._upgrade_revs(HEAD, rev)) as environment:
        environment.configure(connection=connection)
        environment.run_migrations()


def faults(engine: Engine) -> list[Finding]:
    """What SQLite finds wrong in its own file; PostgreSQL looks after its own (`pg_amcheck`)."""
    if engine.dialect.name != "sqlite":
        return []
    try:
        with reading(engine) as connection:
            said = [str(row[0]) for row in connection.exec_driver_sql("PRAGMA integrity_check(20)")]
            said += [f"{row[0]} {row[1]} → {row[2]}" for row in connection.exec_driver_sql("PRAGMA foreign_key_check")]
    except DatabaseError as error:  # so damaged that it can't even be looked at
        if isinstance(error, OperationalError):  # busy, full: not damaged
            raise
        said = [str(error.orig)]
    return [
        finding(
            "catalogue-damaged",
            "error",
            FILE,
            message("The catalogue is damaged: {fault}.", fault=one),
            remedy=message("Stop Tarmim and restore the newest backup into another folder."),
        )
        for one in said
        if one != "ok"
    ]


def copy(source: Connection, target: Connection) -> None:
    """All rows from one catalogue into another that is empty, between SQLite and PostgreSQL as well.

    Uploads are not among them: a delivery that is still under way belongs to where it is arriving.
    """
    for table in metadata.sorted_tables:
        if table is uploads:
            continue
        rows = [dict(row._mapping) for row in source.execute(sa.select(table))]
        if table is datasets:  # what supersedes comes after what it supersedes
            later = {row["id"]: row.pop("supersedes") for row in rows}
        for start in range(0, len(rows), CHUNK):
            target.execute(sa.insert(table), rows[start : start + CHUNK])
        if table is datasets:
            for ident, before in later.items():
                if before is not None:
                    target.execute(sa.update(datasets).where(datasets.c.id == ident).values(supersedes=before))
    if target.dialect.name == "postgresql":
        last = "SELECT setval(pg_get_serial_sequence('decisions', 'number'), coalesce(max(number), 1), count(*) > 0) FROM decisions"
        target.exec_driver_sql(last)


def is_empty(connection: Connection) -> bool:
    """Whether no table of the catalogue holds a row."""
    return all(connection.execute(sa.select(sa.exists(sa.select(table)))).scalar() is False for table in metadata.sorted_tables)


@contextmanager
def mended(place: object) -> Iterator[None]:
    """What the disk or the database refuses, said as StoreError."""
    try:
        yield
    except OSError as error:
        raise StoreError(not_written(place, error)) from error
    except DBAPIError as error:
        raise StoreError(_refused(error)) from error


def _refused(error: DBAPIError) -> Finding:
    reason = str(error.orig).strip()
    if is_full(error):
        return disk_full("catalogue")
    if "locked" in reason or "lock timeout" in reason:
        return finding(
            "catalogue-busy",
            "error",
            "catalogue",
            message("Somebody else has been writing for {seconds} seconds.", seconds=BUSY_S),
            remedy=message("Try again in a minute."),
        )
    return finding(
        "catalogue",
        "error",
        "catalogue",
        message("The catalogue refuses: {reason}.", reason=reason.splitlines()[0] if reason else type(error.orig).__name__),
        remedy=message("Check the disk, or the connection to the database."),
    )
