"""Archives: what a zip may be, and what its names may say."""

from __future__ import annotations

import struct
import unicodedata
import zipfile
import zlib

import pytest

from geo.archives import gather, limits, unpack
from geo.errors import LayerError

SHP = {"roads.shp": b"shp", "roads.shx": b"shx", "roads.dbf": b"dbf"}


def packed(path, files, *, method=zipfile.ZIP_DEFLATED, prefix=b"", suffix=b""):
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    path.write_bytes(prefix + path.read_bytes() + suffix)
    return path


def raw_zip(path, members, *, at=None):
    """A zip by hand: (raw name, flags, content); `at` gives the directory another offset for a member."""
    body, directory = b"", b""
    for number, (name, flags, content) in enumerate(members):
        offset = (at or {}).get(number, len(body))
        head = (20, flags, 0, 0, 0x21, zlib.crc32(content), len(content), len(content), len(name), 0)
        body += b"PK\x03\x04" + struct.pack("<5H3I2H", *head) + name + content
        directory += b"PK\x01\x02" + struct.pack("<6H3I5H2I", 20, *head[:5], *head[5:8], len(name), 0, 0, 0, 0, 0, offset) + name
    end = b"PK\x05\x06" + struct.pack("<4H2IH", 0, 0, len(members), len(members), len(directory), len(body), 0)
    path.write_bytes(body + directory + end)
    return path


def code(path, folder):
    with pytest.raises(LayerError) as refused:
        unpack(path, folder)
    assert all(one.render(lang) for one in refused.value.findings for lang in ("ar", "en"))
    assert str(path.parent) not in str(refused.value)
    return refused.value.findings[0].code


def test_parts_of_one_stem_are_one_bundle(tmp_path):
    files = {
        "Data/Roads.SHP": b"1",
        "data/roads.shx": b"2",
        "DATA/ROADS.dbf": b"3",
        "data/roads.shp.xml": b"m",
        "x/roads.shp": b"4",
    }
    found = unpack(packed(tmp_path / "a.zip", files), tmp_path / "out")
    assert [(one.kind, sorted(one.parts)) for one in found.files] == [
        ("shapefile", [".dbf", ".shp", ".shx"]), ("shapefile", [".shp"]),
    ]  # fmt: skip
    assert found.files[0].name == "Roads.SHP"
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"b000.shp", "b000.shx", "b000.dbf", "b001.shp"}


def test_litter_is_skipped_and_the_unread_is_named(tmp_path):
    files = {**SHP, "__MACOSX/._roads.shp": b"", ".DS_Store": b"", "Thumbs.db": b"", "photo.jpg": b"", "inner.zip": b"PK"}
    found = unpack(packed(tmp_path / "a.zip", files), tmp_path / "out")
    assert len(found.files) == 1
    assert {one.code for one in found.findings} == {"zip-nested", "files-ignored"}


@pytest.mark.parametrize(
    "name", ["../evil.shp", "/etc/evil.shp", "C:\\evil.shp", "a/../../evil.shp", "..\\evil.shp", "\\\\host\\evil.shp"]
)
def test_names_that_lead_out_are_refused(tmp_path, name):
    path = raw_zip(tmp_path / "a.zip", [(name.encode(), 0, b"x"), (b"roads.shp", 0, b"y")])
    assert code(path, tmp_path / "out") == "zip-traversal"
    assert not (tmp_path / "out").exists()


def test_backslashes_are_folders_of_another_system(tmp_path):
    found = unpack(
        raw_zip(tmp_path / "a.zip", [(b"survey\\roads.shp", 0, b"x"), (b"survey\\roads.dbf", 0, b"y")]), tmp_path / "out"
    )
    assert [sorted(one.parts) for one in found.files] == [[".dbf", ".shp"]]


@pytest.mark.parametrize(
    "names", [("roads.shp", "ROADS.SHP"), ("café.shp", unicodedata.normalize("NFD", "café.shp")), ("a.csv", "a.csv")]
)
def test_names_that_repeat_are_refused(tmp_path, names):
    path = raw_zip(tmp_path / "a.zip", [(name.encode(), 0x800, b"x") for name in names])
    assert code(path, tmp_path / "out") == "repeated-names"


@pytest.mark.parametrize(("encoding", "flags"), [("utf-8", 0x800), ("utf-8", 0), ("cp1256", 0), ("cp720", 0)])
def test_arabic_names_in_any_encoding(tmp_path, encoding, flags):
    name = "أحياء حلب.shp"
    found = unpack(raw_zip(tmp_path / "a.zip", [(name.encode(encoding), flags, b"x")]), tmp_path / "out")
    assert found.files[0].name == name


def test_decomposed_names_are_shown_composed(tmp_path):
    found = unpack(raw_zip(tmp_path / "a.zip", [(unicodedata.normalize("NFD", "أحياء.shp").encode(), 0, b"x")]), tmp_path / "out")
    assert found.files[0].name == "أحياء.shp"


def test_links_and_devices_are_refused(tmp_path):
    path = tmp_path / "a.zip"
    for mode in (0o120777, 0o020666, 0o060666, 0o010666, 0o140666):
        entry = zipfile.ZipInfo("roads.shp")
        entry.create_system, entry.external_attr = 3, mode << 16
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr(entry, "/etc/passwd")
        assert code(path, tmp_path / "out") == "zip-links"


def test_encrypted_and_odd_methods_are_refused(tmp_path):
    assert code(raw_zip(tmp_path / "a.zip", [(b"roads.shp", 1, b"x" * 20)]), tmp_path / "out") == "zip-encrypted"
    for method in (zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        assert code(packed(tmp_path / "b.zip", SHP, method=method), tmp_path / "out") == "zip-method"


def test_too_many_members_are_refused(tmp_path):
    path = packed(tmp_path / "a.zip", {f"{n}.csv": b"" for n in range(limits()["archive"]["members"] + 1)})
    assert code(path, tmp_path / "out") == "zip-members"


def test_a_bomb_is_refused_by_its_directory(tmp_path):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(3):
            archive.writestr(f"{number}.csv", bytes(100 << 20))
    assert path.stat().st_size < 1 << 20
    assert code(path, tmp_path / "out") == "too-large"
    assert not (tmp_path / "out").exists()


def test_a_directory_that_lies_about_sizes_is_not_believed(tmp_path):
    """10 MB that the directory calls 10 bytes: not one byte more than those is written."""
    path = packed(tmp_path / "a.zip", {"a.csv": bytes(10 << 20)})
    content = bytearray(path.read_bytes())
    for mark, place in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        struct.pack_into("<I", content, content.index(mark) + place, 10)
    path.write_bytes(content)
    assert code(path, tmp_path / "out") == "zip-damaged"
    assert sum(one.stat().st_size for one in (tmp_path / "out").iterdir()) <= 10


def test_overlapping_and_shared_entries_are_refused(tmp_path):
    """CPython before 3.11.8 would unpack one body a thousand times (CVE-2024-0450)."""
    path = raw_zip(tmp_path / "a.zip", [(b"a.csv", 0, b"x" * 50), (b"a.csv", 0, b"x" * 50)], at={1: 0})
    assert code(path, tmp_path / "out") == "zip-overlap"
    inner = b"PK\x03\x04" + struct.pack("<5H3I2H", 20, 0, 0, 0, 0x21, zlib.crc32(b"y"), 1, 1, 5, 0) + b"b.csvy"
    quoted = raw_zip(tmp_path / "b.zip", [(b"a.csv", 0, inner), (b"b.csv", 0, b"y")], at={1: 35})
    assert code(quoted, tmp_path / "out") == "zip-overlap"


@pytest.mark.parametrize("keep", [10, 100, -10, -30])
def test_truncated_archives_are_refused(tmp_path, keep):
    path = packed(tmp_path / "a.zip", {"a.csv": b"id\n" + bytes(range(48, 58)) * 50})
    path.write_bytes(path.read_bytes()[:keep])
    assert code(path, tmp_path / "out") == "zip-damaged"


def test_a_wrong_checksum_is_noticed(tmp_path):
    path = packed(tmp_path / "a.zip", {"a.csv": b"id,name\n1,a\n"}, method=zipfile.ZIP_STORED)
    path.write_bytes(path.read_bytes().replace(b"1,a", b"2,a"))
    assert code(path, tmp_path / "out") == "zip-damaged"


def test_text_before_the_archive_is_left_out_and_said(tmp_path):
    """Copernicus EMS: the page of a redirect stands before the zip."""
    found = unpack(packed(tmp_path / "a.zip", SHP, prefix=b"<html>302 Found</html>\r\n"), tmp_path / "out")
    assert [one.code for one in found.findings] == ["zip-prefix"]
    assert found.files[0].path.read_bytes() == b"shp"


@pytest.mark.parametrize(
    "change",
    [{"prefix": b"MZ\x90\x00" * 10}, {"prefix": b"%PDF-1.4\n" * 200}, {"suffix": b"<script>"}, {"prefix": b"GIF89a\x01\x00"}],
)
def test_polyglots_are_refused(tmp_path, change):
    assert code(packed(tmp_path / "a.zip", SHP, **change), tmp_path / "out") in ("zip-polyglot", "zip-damaged")


def test_nothing_readable_is_said(tmp_path):
    assert code(packed(tmp_path / "a.zip", {"photo.jpg": b"x"}), tmp_path / "out") == "nothing-readable"
    assert code(packed(tmp_path / "b.zip", {}), tmp_path / "out") == "nothing-readable"
    (tmp_path / "c.zip").write_bytes(b"not a zip")
    assert code(tmp_path / "c.zip", tmp_path / "out") == "zip-damaged"


def test_loose_files_are_grouped_as_in_an_archive(tmp_path):
    for name in ("Roads.shp", "roads.SHX", "ROADS.dbf", "points.csv"):
        (tmp_path / name).write_bytes(b"x")
    packed(tmp_path / "more.zip", {"water.shp": b"w", "water.dbf": b"d"})
    found = gather([path for path in sorted(tmp_path.iterdir()) if path.is_file()], tmp_path / "out")
    assert {(one.name, len(one.parts)) for one in found.files} == {("Roads.shp", 3), ("points.csv", 1), ("water.shp", 2)}
    assert (tmp_path / "Roads.shp").read_bytes() == b"x"


def test_a_link_among_loose_files_is_refused(tmp_path):
    (tmp_path / "a.csv").symlink_to("/etc/hostname")
    with pytest.raises(LayerError):
        gather([tmp_path / "a.csv"], tmp_path / "out")


def test_a_geodatabase_keeps_the_names_it_needs_and_no_others(tmp_path):
    files = {
        "city.gdb/a00000001.gdbtable": b"1",
        "city.gdb/gdb": b"2",
        "city.gdb/..%2fevil.gdbtable": b"3",
        "city.gdb/run.sh": b"4",
    }
    found = unpack(packed(tmp_path / "a.zip", files), tmp_path / "out")
    assert found.files[0].kind == "filegdb"
    assert {one.name for one in found.files[0].path.iterdir()} == {"a00000001.gdbtable", "gdb"}
