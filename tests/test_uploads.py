"""Uploads: what was acknowledged is on the disk, the next byte goes where it belongs, and the end is a delivery like any other."""

from __future__ import annotations

import contextlib
import datetime
import hashlib
import io
import itertools
import os
import pty
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st

from geo import archives, catalogue, deliveries, uploads
from geo.errors import UnknownNameError
from geo.store import Store, StoreError
from tests.postgres import database

NOW = datetime.datetime(2026, 11, 23, 9, 30, tzinfo=datetime.UTC)
LATER = NOW + datetime.timedelta(days=8)
CONTENT = bytes(range(256)) * 40  # 10,240 bytes
Opener = Callable[..., Store]


@pytest.fixture(params=["sqlite", "postgresql"])
def opener(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Opener]:
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


@pytest.fixture
def plain(tmp_path: Path) -> Iterator[Store]:
    (tmp_path / "plain").mkdir()
    with Store.open(tmp_path / "plain") as one:
        yield one


@pytest.fixture
def limits(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Other limits than those of data/limits.toml."""

    def change(**values: int) -> None:
        rules = archives.limits()
        changed = {**rules, "uploads": {**rules["uploads"], **values}}
        for module in ("geo.uploads", "geo.surveys"):
            monkeypatch.setattr(f"{module}.limits", lambda: changed)

    return change  # type: ignore[return-value]


def begun(store: Store, size: int | None = len(CONTENT), **changes: Any) -> str:
    entries = {"name": "دمار.zip", "sender": "شريك", "layer": "damage", "now": NOW, **changes}
    return uploads.begin(store, size=size, **entries).id


def code(caught: pytest.ExceptionInfo[Any]) -> str:
    (found,) = caught.value.findings
    return str(found.code)


# ---------------------------------------------------------------------------------------------------------------- the whole way


def test_parts_make_the_same_survey_as_the_whole(store: Store) -> None:
    """Ten parts of 1,024 bytes: the id, the hash and the original are those that `receive` would give."""
    ident = begun(store)
    for n in range(10):
        assert uploads.state(store, ident).offset == 1024 * n
        assert uploads.append(store, ident, 1024 * n, CONTENT[1024 * n : 1024 * (n + 1)], now=NOW) == 1024 * (n + 1)
        assert store.fsck() == (), "an upload under way is no orphan"
    receipt = uploads.finish(store, ident, now=NOW, sha256=hashlib.sha256(CONTENT).hexdigest())
    assert (receipt.name, receipt.sender, receipt.bytes) == ("دمار.zip", "شريك", len(CONTENT))
    assert store.original(receipt.id).read_bytes() == CONTENT
    assert not store.original(receipt.id).stat().st_mode & 0o222
    assert uploads.uploads(store) == []
    assert list((store.folder / "uploads").iterdir()) == []
    again = store.receive(io.BytesIO(CONTENT), name="x", sender="y", layer="damage", now=NOW)
    assert again.id == receipt.id
    assert [one.code for one in again.findings] == ["received-before"]
    assert store.fsck() == ()


def test_same_content_is_recognised_and_finishing_twice_gives_one_receipt(store: Store) -> None:
    first = store.receive(io.BytesIO(CONTENT), name="first.zip", sender="x", layer="damage", now=NOW)
    ident = begun(store)
    uploads.append(store, ident, 0, CONTENT, now=NOW)
    receipt = uploads.finish(store, ident, now=LATER)
    assert (receipt.id, receipt.name) == (first.id, "first.zip")
    assert [one.code for one in receipt.findings] == ["received-before"]
    assert uploads.finish(store, ident, now=LATER).id == first.id
    assert uploads.state(store, ident).survey_id == first.id
    with pytest.raises(StoreError) as caught:
        uploads.append(store, ident, len(CONTENT), b"more", now=LATER)
    assert code(caught) == "upload-finished"
    assert store.original(first.id).read_bytes() == CONTENT


def test_an_original_that_rotted_is_mended_by_an_upload(plain: Store) -> None:
    first = plain.receive(io.BytesIO(CONTENT), name="first.zip", sender="x", layer="damage", now=NOW)
    plain.original(first.id).chmod(0o644)
    plain.original(first.id).write_bytes(b"rotten")
    ident = begun(plain)
    uploads.append(plain, ident, 0, CONTENT, now=NOW)
    uploads.finish(plain, ident, now=NOW)
    assert plain.original(first.id).read_bytes() == CONTENT
    assert plain.fsck() == ()


@settings(max_examples=30, deadline=None)
@given(cuts=st.lists(st.integers(0, len(CONTENT)), max_size=8), known=st.booleans())
def test_however_it_is_cut_it_is_the_same_file(tmp_path_factory: pytest.TempPathFactory, cuts: list[int], known: bool) -> None:
    edges = [0, *sorted(cuts), len(CONTENT)]
    with Store.open(tmp_path_factory.mktemp("cut")) as store:
        ident = begun(store, len(CONTENT) if known else None)
        for one, two in itertools.pairwise(edges):
            uploads.append(store, ident, one, CONTENT[one:two], now=NOW)
        receipt = uploads.finish(store, ident, now=NOW)
        assert receipt.sha256 == hashlib.sha256(CONTENT).hexdigest()


# ------------------------------------------------------------------------------------------------------------------ what is refused


@pytest.mark.parametrize("offset", [0, 99, 101, -1, 10**12])
def test_a_wrong_offset_is_refused_with_the_right_one(store: Store, offset: int) -> None:
    ident = begun(store)
    uploads.append(store, ident, 0, CONTENT[:100], now=NOW)
    with pytest.raises(StoreError, match="Offset 100") as caught:
        uploads.append(store, ident, offset, b"x", now=NOW)
    assert code(caught) == "wrong-offset"
    assert "100" in caught.value.render("ar")
    assert uploads.state(store, ident).offset == 100


def test_more_than_announced_keeps_what_was_right(plain: Store) -> None:
    ident = begun(plain, 1000)
    uploads.append(plain, ident, 0, CONTENT[:600], now=NOW)
    with pytest.raises(StoreError) as caught:
        uploads.append(plain, ident, 600, CONTENT[600:1001], now=NOW)
    assert code(caught) == "file-size"
    assert uploads.state(plain, ident).offset == 600
    with pytest.raises(StoreError, match=r"Bytes that have arrived: 600. Bytes in all: 1,000") as caught:
        uploads.finish(plain, ident, now=NOW)
    assert code(caught) == "upload-short"


def test_limits_come_before_the_first_byte(plain: Store, limits: Callable[..., None]) -> None:
    limits(bytes=5000, open=2)
    for size, said in ((0, "file-size"), (5001, "file-size")):
        with pytest.raises(StoreError) as caught:
            begun(plain, size)
        assert code(caught) == said
    with pytest.raises(UnknownNameError):
        begun(plain, layer="../../etc")
    begun(plain, 5000)
    ident = begun(plain, None)
    with pytest.raises(StoreError) as caught:
        begun(plain, 10)
    assert code(caught) == "too-many-uploads"
    with pytest.raises(StoreError) as caught:  # nobody said how large it would be
        uploads.append(plain, ident, 0, CONTENT[:5001], now=NOW)
    assert code(caught) == "file-size"
    with pytest.raises(StoreError) as caught:
        uploads.finish(plain, ident, now=NOW)
    assert code(caught) == "upload-short", "an empty file is none"


def test_no_room_is_said_before_the_first_byte(opener: Opener) -> None:
    store = opener(reserve_bytes=2**62)
    with pytest.raises(StoreError) as caught:
        begun(store)
    assert code(caught) == "disk-full"
    assert uploads.uploads(store) == []


@pytest.mark.parametrize("ident", ["", "0" * 32, "../catalogue.sqlite", "%2e%2e"])
def test_an_id_that_nobody_was_given(plain: Store, ident: str) -> None:
    for deed in (
        lambda: uploads.state(plain, ident),
        lambda: uploads.append(plain, ident, 0, b"x", now=NOW),
        lambda: uploads.finish(plain, ident, now=NOW),
        lambda: uploads.abandon(plain, ident),
    ):
        with pytest.raises(StoreError) as caught:
            deed()
        assert code(caught) == "unknown-id"


def test_ids_are_random(plain: Store) -> None:
    idents = {begun(plain) for _ in range(20)}
    assert len(idents) == 20
    assert all(len(ident) == 32 and set(ident) <= set("0123456789abcdef") for ident in idents)


def test_another_hash_leaves_the_upload(plain: Store) -> None:
    ident = begun(plain)
    uploads.append(plain, ident, 0, CONTENT, now=NOW)
    with pytest.raises(StoreError) as caught:
        uploads.finish(plain, ident, now=NOW, sha256="0" * 64)
    assert code(caught) == "hash-differs"
    assert plain.surveys() == []
    assert uploads.finish(plain, ident, now=NOW, sha256=hashlib.sha256(CONTENT).hexdigest().upper()).bytes == len(CONTENT)


@pytest.mark.parametrize("name", ["sha1", "sha256"])
def test_a_part_with_a_checksum_is_kept_whole_or_not(plain: Store, name: str) -> None:
    ident = begun(plain)
    right = hashlib.new(name, CONTENT).hexdigest()
    with pytest.raises(StoreError) as caught:
        uploads.append(plain, ident, 0, b"\x00" + CONTENT[1:][::-1], now=NOW, checksum=(name, right))
    assert code(caught) == "hash-differs"
    assert uploads.state(plain, ident).offset == 0
    assert uploads.append(plain, ident, 0, CONTENT, now=NOW, checksum=(name, right)) == len(CONTENT)
    assert plain.original(uploads.finish(plain, ident, now=NOW).id).read_bytes() == CONTENT


def test_a_checksum_nobody_knows(plain: Store) -> None:
    with pytest.raises(StoreError, match="sha1, sha256"):
        uploads.append(plain, begun(plain), 0, CONTENT, now=NOW, checksum=("crc32", "0"))


# ------------------------------------------------------------------------------------------------------------- what breaks off


class Broken(io.RawIOBase):
    """A connection that is lost after some bytes."""

    def __init__(self, content: bytes) -> None:
        self.rest: list[bytes] = [content]

    def read(self, n: int = -1) -> bytes:
        if not self.rest:
            raise ConnectionResetError
        return self.rest.pop()


def test_what_came_before_the_connection_was_lost_is_kept(store: Store) -> None:
    ident = begun(store)
    with pytest.raises(ConnectionResetError):
        uploads.append(store, ident, 0, Broken(CONTENT[:777]), now=NOW)  # type: ignore[arg-type]
    assert uploads.state(store, ident).offset == 777
    checksum = ("sha1", "0" * 40)
    with pytest.raises(ConnectionResetError):
        uploads.append(store, ident, 777, Broken(CONTENT[777:900]), now=NOW, checksum=checksum)  # type: ignore[arg-type]
    assert uploads.state(store, ident).offset == 777, "its checksum was never seen"


def test_bytes_that_nobody_acknowledged_are_cut_off(plain: Store) -> None:
    """As a power cut leaves it: written, perhaps as zeros, and not in the catalogue."""
    ident = begun(plain)
    uploads.append(plain, ident, 0, CONTENT[:500], now=NOW)
    with (plain.folder / "uploads" / ident).open("ab") as out:
        out.write(b"\x00" * 300)
    assert plain.fsck() == ()
    uploads.append(plain, ident, 500, CONTENT[500:], now=NOW)
    assert uploads.finish(plain, ident, now=NOW).sha256 == hashlib.sha256(CONTENT).hexdigest()


def test_bytes_that_are_gone_are_said_and_never_made_up(plain: Store) -> None:
    ident = begun(plain)
    uploads.append(plain, ident, 0, CONTENT, now=NOW)
    os.truncate(plain.folder / "uploads" / ident, 100)
    assert [one.code for one in plain.fsck()] == ["upload-damaged"]
    for deed in (lambda: uploads.finish(plain, ident, now=NOW), lambda: uploads.append(plain, ident, len(CONTENT), b"x", now=NOW)):
        with pytest.raises(StoreError) as caught:
            deed()
        assert code(caught) == "upload-damaged"
    uploads.abandon(plain, ident)
    assert plain.fsck() == ()


def test_finishing_that_fails_leaves_the_upload(plain: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    ident = begun(plain)
    uploads.append(plain, ident, 0, CONTENT, now=NOW)

    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("geo.store._write_bytes", refuse)
        with pytest.raises(StoreError) as caught:
            uploads.finish(plain, ident, now=NOW)
    assert code(caught) == "disk-full"
    assert plain.surveys() == []
    assert plain.fsck() == ()
    assert uploads.append(plain, ident, len(CONTENT), b"", now=NOW) == len(CONTENT)
    assert uploads.finish(plain, ident, now=NOW).bytes == len(CONTENT)


def test_a_disk_without_hard_links(plain: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    ident = begun(plain)
    uploads.append(plain, ident, 0, CONTENT, now=NOW)
    assert plain.original(uploads.finish(plain, ident, now=NOW).id).read_bytes() == CONTENT
    assert plain.fsck() == ()


# ---------------------------------------------------------------------------------------------------------------- several at once


def test_one_appends_and_the_other_is_told(opener: Opener) -> None:
    """While one reads its part, another may not write; the offset afterwards is that of the one."""
    one, two = opener(), opener()
    ident = begun(one)
    reading, go_on = threading.Event(), threading.Event()

    class Slow(io.BytesIO):
        def read(self, n: int | None = -1) -> bytes:
            reading.set()
            assert go_on.wait(20)
            return super().read(n)

    worker = threading.Thread(target=lambda: uploads.append(one, ident, 0, Slow(CONTENT), now=NOW))
    worker.start()
    assert reading.wait(20)
    for deed in (
        lambda: uploads.append(two, ident, 0, b"other", now=NOW),
        lambda: uploads.finish(two, ident, now=NOW),
        lambda: uploads.abandon(two, ident),
    ):
        with pytest.raises(StoreError) as caught:
            deed()
        assert code(caught) == "upload-busy"
    assert uploads.tidy(two, LATER) == 0, "somebody is at it"
    go_on.set()
    worker.join()
    assert uploads.finish(two, ident, now=NOW).sha256 == hashlib.sha256(CONTENT).hexdigest()


def test_many_threads_finish_one_upload_once(plain: Store) -> None:
    ident = begun(plain)
    uploads.append(plain, ident, 0, CONTENT, now=NOW)
    got: list[str] = []

    def end() -> None:
        try:
            got.append(uploads.finish(plain, ident, now=NOW).id)
        except StoreError as error:
            got.append(error.findings[0].code)

    threads = [threading.Thread(target=end) for _ in range(6)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    (survey,) = plain.surveys()
    assert set(got) <= {survey.id, "upload-busy"}
    assert survey.id in got
    assert plain.fsck() == ()


# ---------------------------------------------------------------------------------------------------------------- tidy, fsck, backup


def test_what_nobody_goes_on_with_expires(store: Store) -> None:
    old, done = begun(store), begun(store)
    uploads.append(store, done, 0, CONTENT, now=NOW)
    receipt = uploads.finish(store, done, now=NOW)
    fresh = begun(store, now=NOW + datetime.timedelta(days=6))
    assert len(uploads.uploads(store)) == 2
    assert uploads.tidy(store, NOW + datetime.timedelta(days=6)) == 0
    assert uploads.tidy(store, LATER) == 2
    assert [one.id for one in uploads.uploads(store)] == [fresh]
    for ident in (old, done):
        with pytest.raises(StoreError):
            uploads.state(store, ident)
    assert store.survey(receipt.id).bytes == len(CONTENT)
    assert [path.name for path in (store.folder / "uploads").iterdir()] == [fresh]


def test_whoever_begins_drops_what_has_expired(plain: Store) -> None:
    old = begun(plain)
    fresh = begun(plain, now=LATER)
    assert [one.id for one in uploads.uploads(plain)] == [fresh] != [old]


def test_dead_uploads_are_reported_and_cleaned(opener: Opener) -> None:
    """A file whose row was never committed, one left behind by a finish, and a row whose file is gone."""
    store = opener()
    living, lost = begun(store), begun(store)
    (store.folder / "uploads" / ("a" * 32)).write_bytes(b"never acknowledged")
    (store.folder / "uploads" / lost).unlink()
    found = [(one.code, one.severity, one.where) for one in store.fsck()]
    assert found == [
        ("half-written", "warning", f"uploads/{'a' * 32}"),
        ("upload-damaged", "warning", f"uploads/{lost}"),
    ]
    opener().close()
    assert uploads.tidy(store, NOW) == 1
    assert store.fsck() == ()
    assert [path.name for path in (store.folder / "uploads").iterdir()] == [living]


def test_a_backup_holds_no_upload(store: Store, tmp_path: Path) -> None:
    ident = begun(store)
    uploads.append(store, ident, 0, CONTENT[:100], now=NOW)
    (store.folder / "jobs.sqlite").write_bytes(b"a queue")
    store.backup(tmp_path / "all.tarmim")
    with Store.restore(tmp_path / "all.tarmim", tmp_path / "again") as restored:
        assert uploads.uploads(restored) == []
        assert restored.fsck() == ()
        assert not (restored.folder / "jobs.sqlite").exists()


def test_an_old_catalogue_learns_of_uploads(plain: Store) -> None:
    """A catalogue of the first step, with a job in it, is brought up to date when it is opened."""
    with catalogue.writing(plain.engine) as connection:
        for table in ("tokens", "accounts", "requests", "uploads", "jobs"):
            connection.exec_driver_sql(f"DROP TABLE {table}")
        connection.exec_driver_sql(
            "CREATE TABLE jobs (id TEXT NOT NULL CONSTRAINT pk_jobs PRIMARY KEY, kind TEXT NOT NULL, state TEXT NOT NULL,"
            " progress FLOAT NOT NULL, message JSON NOT NULL, made_at DATETIME NOT NULL)"
        )
        connection.execute(sa.text("INSERT INTO jobs VALUES ('1', 'import', 'done', 1.0, '{}', '2026-01-01 00:00:00')"))
        connection.exec_driver_sql("DROP INDEX ix_datasets_one_current")
        connection.exec_driver_sql("ALTER TABLE datasets DROP COLUMN series")
        connection.exec_driver_sql("CREATE UNIQUE INDEX ix_datasets_one_current ON datasets (layer) WHERE status = 'current'")
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '0002'")
    with Store.open(plain.folder) as opened:
        (job,) = opened.jobs()
        assert (job.id, job.subject, job.given, job.attempts, job.findings) == ("1", "", {}, 0, ())
        begun(opened)


# ------------------------------------------------------------------------------------------------------------------ import in parts


def delivered(store: Store, path: Path, **options: Any) -> Any:
    said = {"name": path.name, "sender": "x", "layer": "damage", "now": NOW, "modified_ns": path.stat().st_mtime_ns}
    return deliveries.deliver(store, path, origin=path, **said, **options)


def interrupted(store: Store, path: Path, after: int) -> None:
    """Import a file and break off once so many bytes are kept."""

    def kept(done: int, total: int | None) -> None:
        assert total == path.stat().st_size
        if done >= after:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        delivered(store, path, kept=kept)


@pytest.fixture
def large(tmp_path: Path, limits: Callable[..., None]) -> Path:
    """5 MB, of which every 2 MB are acknowledged."""
    limits(acknowledged_bytes=2 * 2**20)
    path = tmp_path / "large.zip"
    path.write_bytes(os.urandom(5_000_000))
    return path


def test_an_import_goes_on_where_it_stopped(plain: Store, large: Path) -> None:
    interrupted(plain, large, after=4 * 2**20)
    (one,) = uploads.uploads(plain)
    assert one.offset == 4 * 2**20
    told: list[int] = []
    receipt = delivered(plain, large, kept=lambda done, total: told.append(done))
    assert told == [5_000_000]
    assert [found.code for found in receipt.findings] == ["resumed"]
    assert "4,194,304" in receipt.findings[0].render("ar")
    assert plain.original(receipt.id).read_bytes() == large.read_bytes()


@pytest.mark.parametrize("change", ["larger", "later", "beginning"])
def test_a_file_that_changed_starts_anew(plain: Store, large: Path, change: str) -> None:
    interrupted(plain, large, after=1)
    state, content = large.stat(), large.read_bytes()
    changed = {"larger": content + b"more", "later": content, "beginning": b"other" + content[5:]}[change]
    large.write_bytes(changed)
    stamp = state.st_mtime_ns + (10**9 if change == "later" else 0)
    os.utime(large, ns=(stamp, stamp))
    receipt = delivered(plain, large)
    assert [found.code for found in receipt.findings] == ["started-anew"]
    assert plain.original(receipt.id).read_bytes() == changed
    assert uploads.uploads(plain) == []


def test_a_file_that_hides_its_change_starts_anew(plain: Store, large: Path) -> None:
    """Same size, same time, same beginning, another byte in what was kept: the hash of the whole tells."""
    interrupted(plain, large, after=4 * 2**20)
    state, content = large.stat(), bytearray(large.read_bytes())
    content[2**20] ^= 1
    large.write_bytes(content)
    os.utime(large, ns=(state.st_mtime_ns, state.st_mtime_ns))
    receipt = delivered(plain, large)
    assert [found.code for found in receipt.findings] == ["started-anew"]
    assert plain.original(receipt.id).read_bytes() == content
    assert len(plain.surveys()) == 1


def test_another_sender_or_layer_does_not_go_on(plain: Store, large: Path) -> None:
    interrupted(plain, large, after=1)
    said = {"name": "x", "now": NOW, "modified_ns": large.stat().st_mtime_ns, "origin": large}
    for others in ({"sender": "y", "layer": "damage"}, {"sender": "x", "layer": "roads"}):
        codes = [one.code for one in deliveries.deliver(plain, large, **said, **others).findings]  # type: ignore[arg-type]
        assert "resumed" not in codes
    assert len(uploads.uploads(plain)) == 1, "that of the first sender waits"


KILLED = """
import os, signal, sys
from geo import uploads
left = int(sys.argv.pop(1))
def write(handle, piece):
    global left
    os.write(handle, piece[:max(left, 0)])
    left -= len(piece)
    if left <= 0:
        os.kill(os.getpid(), signal.SIGKILL)
uploads._write = write
sys.argv[0] = "tarmim"
from api.cli import main
main()
"""


def test_the_command_goes_on_after_kill(tmp_path: Path) -> None:
    """A survey of 60 MB, killed in its third part and in its seventh: 16 and 48 MB are kept, and the third call needs only the rest."""
    root = Path(__file__).parents[1]
    folder = tmp_path / "demo"
    shutil.copytree(root / "data" / "demo", folder)
    large = tmp_path / "large.csv"
    text = (folder / "damage.csv").read_text(encoding="utf-8")
    large.write_text(text + "\n" * (60 * 2**20 - len(text.encode())), encoding="utf-8")
    words = ["import", large, "--layer", "damage", "--profile", "unosat", "--study", folder, "--sender", "x"]
    for at, kept in ((20 * 2**20, 16 * 2**20), (37 * 2**20 + 11, 48 * 2**20)):
        done = subprocess.run([sys.executable, "-c", KILLED, str(at), *words], cwd=root, capture_output=True, check=False)
        assert done.returncode == -signal.SIGKILL
        with Store.open(folder) as store:
            (one,) = uploads.uploads(store)
            assert one.offset == kept
            assert store.surveys() == []
            assert store.fsck() == ()
    done = subprocess.run([Path(sys.executable).with_name("tarmim"), *words], capture_output=True, text=True, check=False)
    assert f"after byte {48 * 2**20:,} of {60 * 2**20:,}" in done.stdout, done.stderr
    assert hashlib.sha256(large.read_bytes()).hexdigest() in done.stdout
    assert done.stderr == "", "no bar where nobody looks"
    with Store.open(folder) as store:
        (survey,) = store.surveys()
        assert store.original(survey).read_bytes() == large.read_bytes()
        assert uploads.uploads(store) == []


def test_a_bar_on_a_terminal(tmp_path: Path) -> None:
    root = Path(__file__).parents[1]
    shutil.copytree(root / "data" / "demo", tmp_path / "demo")
    large = tmp_path / "large.csv"
    large.write_bytes((tmp_path / "demo" / "damage.csv").read_bytes() + b"\n" * 17_000_000)
    ours, theirs = pty.openpty()
    words = ["import", large, "--layer", "damage", "--study", tmp_path / "demo", "--lang", "en"]
    env = {**os.environ, "TERM": "xterm", "COLUMNS": "100"}
    child = subprocess.Popen([Path(sys.executable).with_name("tarmim"), *words], stdout=subprocess.DEVNULL, stderr=theirs, env=env)
    os.close(theirs)
    shown = b""
    with contextlib.suppress(OSError):  # Linux says EIO where a terminal is gone
        while piece := os.read(ours, 65536):
            shown += piece
    os.close(ours)
    child.wait(60)
    assert b"Keeping the file" in shown
    assert b"17.5" in shown or b"MB" in shown
    assert b"Validating and placing" in shown or b"Recognising" in shown
