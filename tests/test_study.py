"""study.toml: every fault of it in one report, before any layer is read."""

from __future__ import annotations

import pytest

from geo.errors import StudyError
from geo.pipeline import check
from geo.study import read_study


def codes(faults):
    return [(one.where, one.code) for one in faults]


def test_town_is_sound(town):
    folder = town()
    assert check(folder) == ()
    assert read_study(folder).id == "town"
    assert read_study(folder / "study.toml") == read_study(folder)


def test_no_study(tmp_path):
    with pytest.raises(StudyError) as raised:
        read_study(tmp_path)
    assert codes(raised.value.findings) == [("study.toml", "missing-file")]


@pytest.mark.parametrize(
    ("content", "code"),
    [(b"[study\nid = 1", "not-toml"), ("name = 'حي'".encode("cp1256"), "not-toml"), (b"study = 5", "configuration")],
)
def test_file_that_is_no_study(town, content, code):
    folder = town()
    (folder / "study.toml").write_bytes(content)
    with pytest.raises(StudyError) as raised:
        read_study(folder)
    assert codes(raised.value.findings) == [("study.toml", code)]
    assert all(raised.value.render(lang) for lang in ("ar", "en"))


def test_byte_order_mark_is_no_fault(town):
    folder = town()
    (folder / "study.toml").write_bytes(b"\xef\xbb\xbf" + (folder / "study.toml").read_bytes())
    assert read_study(folder).id == "town"


def test_several_faults_in_one_report(refused):
    """Each wrong entry of the file is named, with what was expected there."""
    faults = refused(
        study={"crs": "EPSG:4326", "id": "Ålep po", "colour": "red"}, entries={"roads": {"crs": "nonsense", "spread": "evenly"}}
    )
    found = {fault.found.render("en").split("'")[1]: fault.expected.render("en") for fault in faults}
    assert found == {
        "id": "Lower-case Latin letters, digits and hyphens are expected.",
        "crs": "A known CRS in metres is expected, such as EPSG:32637.",
        "layers.roads.crs": "A known CRS is expected, such as EPSG:32637.",
        "layers.roads.spread": "One of the known values is expected.",
        "colour": "No entry of that name is known.",
    }


def test_missing_files_profiles_and_columns_in_one_report(refused):
    faults = refused(
        entries={
            "roads": {"path": "nowhere.geojson", "profile": "osmm"},
            "damage": {"extent": "gone.geojson", "columns": {"grad": "class"}},
        },
        roads=None,
    )
    assert sorted(codes(faults)) == [
        ("damage", "missing-file"),
        ("damage", "unknown-column"),
        ("roads", "missing-file"),
        ("sources", "unknown-name"),
    ]
    assert "Did you mean 'osm'?" in next(one for one in faults if one.code == "unknown-name").render("en")


def test_no_neighbourhoods(refused):
    assert codes(refused(without=("neighbourhoods",))) == [("study.toml", "missing-layer")]


@pytest.mark.parametrize(
    "path",
    [
        "https://127.0.0.1:9/roads.geojson",
        "/vsicurl/http://127.0.0.1:9/roads.geojson",
        "/vsizip/roads.zip",
        "/vsimem/roads",
        "PG:dbname=x",
        ".",
        "/dev/zero",
    ],
)
def test_path_that_is_no_file_is_refused(refused, path):
    assert codes(refused(entries={"roads": {"path": path}}, roads=None)) == [("roads", "missing-file")]


def test_path_with_a_null_byte_is_refused(town):
    folder = town()
    text = (folder / "study.toml").read_text(encoding="utf-8").replace("roads.parquet", "roads\\u0000.parquet")
    (folder / "study.toml").write_text(text, encoding="utf-8")
    with pytest.raises(StudyError) as raised:
        read_study(folder)
    assert codes(raised.value.findings) == [("study.toml", "configuration")]


def test_unknown_table_of_the_file(town):
    folder = town()
    with (folder / "study.toml").open("a", encoding="utf-8") as file:
        file.write("\n[layer.roads]\npath = 'x'\n")
    with pytest.raises(StudyError) as raised:
        read_study(folder)
    assert "'[layer]' is not known" in str(raised.value)
