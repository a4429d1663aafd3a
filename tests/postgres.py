"""A PostgreSQL of the tests' own, with PostGIS: Debian's binaries, a private cluster on a socket, gone at the end."""

from __future__ import annotations

import atexit
import os
import pwd
import shutil
import subprocess
import tempfile
from functools import lru_cache
from itertools import count
from pathlib import Path

import pytest
import sqlalchemy as sa

NUMBERS = count()


def absent(reason: str) -> None:
    """Skip, and fail where everything has to be there."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


@lru_cache(maxsize=1)
def _cluster() -> Path | str:
    """The folder of a running cluster's socket, or why there is none."""
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not programs:
        return "PostgreSQL is not installed (Debian: postgresql-15-postgis-3)"
    bin_ = programs[-1].parent
    user = {} if os.geteuid() else {"user": "postgres", "group": "postgres", "extra_groups": []}  # root may not run it
    folder = Path(tempfile.mkdtemp(prefix="pg-"))
    if user:
        try:
            owner = pwd.getpwnam("postgres")
        except KeyError:
            return "there is no user 'postgres' to run PostgreSQL as"
        os.chown(folder, owner.pw_uid, owner.pw_gid)
    data = folder / "data"

    def call(*command: str | Path) -> None:
        subprocess.run(command, check=True, capture_output=True, cwd=folder, timeout=60, **user)

    call(bin_ / "initdb", "-D", data, "-U", "tester", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync")
    options = f"-k {folder} -c listen_addresses='' -c fsync=off -c max_connections=60"
    call(bin_ / "pg_ctl", "-D", data, "-w", "-l", folder / "log", "-o", options, "start")

    def stop() -> None:
        subprocess.run([bin_ / "pg_ctl", "-D", data, "-m", "immediate", "stop"], capture_output=True, cwd="/", check=False, **user)
        shutil.rmtree(folder, ignore_errors=True)

    atexit.register(stop)
    with _engine(folder, "postgres").connect() as connection:
        connection.exec_driver_sql("CREATE DATABASE blank")
        connection.exec_driver_sql("CREATE DATABASE postgis_blank")
    engine = _engine(folder, "postgis_blank")
    with engine.connect() as connection:
        try:
            connection.exec_driver_sql("CREATE EXTENSION postgis")
        except sa.exc.DBAPIError:
            return "PostGIS is not installed (Debian: postgresql-15-postgis-3)"
    engine.dispose()
    return folder


def _address(folder: Path, name: str) -> str:
    return f"postgresql://tester@/{name}?host={folder}"


def _engine(folder: Path, name: str) -> sa.Engine:
    address = _address(folder, name).replace("postgresql:", "postgresql+psycopg:")
    return sa.create_engine(address, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)


def database(*, postgis: bool = False) -> str:
    """The URL of a new, empty database; skips where there is no PostgreSQL."""
    folder = _cluster()
    if isinstance(folder, str):
        absent(folder)
        raise AssertionError
    name = f"test_{next(NUMBERS)}"
    with _engine(folder, "postgres").connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name} TEMPLATE {'postgis_blank' if postgis else 'blank'}")
    return _address(folder, name)
