"""Vector tiles and the values that colour them: every feature under its number, nothing else in the tile, kept for ever."""

from pathlib import Path

import mapbox_vector_tile
import numpy as np
import pytest
from fastapi.testclient import TestClient

from api.app import create_app
from api.settings import Settings
from api.state import load
from geo import tile_values, tiles, windows

DEMO = Path(__file__).parents[1] / "data" / "demo"
BASE = "http://127.0.0.1:8000"


@pytest.fixture(scope="module")
def held():
    return load(Settings(study=DEMO))


@pytest.fixture(scope="module")
def client(held):
    with TestClient(create_app(Settings(study=DEMO), held), base_url=BASE) as one:
        yield one


def tilejson(client, name):
    return client.get(f"/ogc/collections/{name}/tiles/WebMercatorQuad?f=tilejson").json()


def every_tile(client, name, zoom):
    told = client.get(f"/ogc/collections/{name}/tiles/WebMercatorQuad").json()
    limits = next(one for one in told["tileMatrixSetLimits"] if one["tileMatrix"] == str(zoom))
    address = tilejson(client, name)["tiles"][0]
    for row in range(limits["minTileRow"], limits["maxTileRow"] + 1):
        for column in range(limits["minTileCol"], limits["maxTileCol"] + 1):
            sent = client.get(address.format(z=zoom, y=row, x=column))
            if sent.status_code != 204:
                assert sent.status_code == 200
                yield mapbox_vector_tile.decode(sent.content)[name]["features"]


@pytest.mark.parametrize("name", ["priorities", "roads", "facilities", "road_works", "hazards"])
def test_tiles_hold_every_feature_under_its_number_and_nothing_else(client, held, name):
    of = held.collection(name)
    seen = [one for features in every_tile(client, name, 13) for one in features]
    placed = np.flatnonzero(of.table.geometry.notna().to_numpy()) + 1
    assert {one["id"] for one in seen} == set(placed.tolist())
    assert not any(one["properties"] for one in seen)


def test_every_building_is_in_the_smallest_zoom(client, held):
    low = tilejson(client, "buildings")["minzoom"]
    seen = {one["id"] for features in every_tile(client, "buildings", low) for one in features}
    assert seen == set(range(1, len(held.collection("buildings").table) + 1))


def test_a_feature_stands_where_it_is(client, held):
    """The hospital's tile holds its point within a 4096th of the tile of the place that the collection gives."""
    of = held.collection("facilities")
    place = of.table.geometry.iloc[0]
    column, row = tiles.tile_of(place.x, place.y, 15)
    address = tilejson(client, "facilities")["tiles"][0].format(z=15, y=row, x=column)
    found = mapbox_vector_tile.decode(client.get(address).content, default_options={"y_coord_down": True})["facilities"]["features"]
    x, y = next(one["geometry"]["coordinates"] for one in found if one["id"] == 1)
    exact = ((place.x + 180) / 360 * 2**15 - column) * 4096
    assert x == pytest.approx(exact, abs=1)
    assert 0 <= y < 4096


def test_tiles_may_be_kept_for_ever_and_old_ones_are_refused(client):
    address = tilejson(client, "priorities")["tiles"][0].format(z=12, y=1626, x=2465)
    first = client.get(address)
    assert "immutable" in first.headers["cache-control"]
    assert client.get(address, headers={"If-None-Match": first.headers["etag"]}).status_code == 304
    assert client.get(address.partition("?")[0]).headers["cache-control"] == "no-cache"
    gone = client.get(address.partition("?")[0] + "?v=" + "0" * 32)
    assert gone.status_code == 404
    assert "تغيّرت" in gone.json()["detail_ar"]


def test_tiles_are_sent_compressed_only_where_that_is_understood(client):
    address = tilejson(client, "priorities")["tiles"][0].format(z=12, y=1626, x=2465)
    plain = client.get(address, headers={"Accept-Encoding": "identity"})
    packed = client.get(address, headers={"Accept-Encoding": "gzip"})
    assert "content-encoding" not in plain.headers
    assert packed.headers["content-encoding"] == "gzip"
    assert plain.content == packed.content  # the client unpacks
    assert plain.headers["etag"] != packed.headers["etag"]


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("12/1626/2465", 200),
        ("12/0/0", 204),
        ("22/0/0", 204),
        ("12/4096/0", 404),
        ("12/0/4096", 404),
        ("25/0/0", 400),
        ("-1/0/0", 400),
        ("12/-1/0", 400),
        ("12/99999999999999999999/0", 400),
        ("a/b/c", 400),
        ("12/1.5/3", 400),
    ],
)
def test_coordinates(client, path, status):
    sent = client.get(f"/ogc/collections/priorities/tiles/WebMercatorQuad/{path}")
    assert sent.status_code == status
    if status >= 400:
        assert sent.json()["title_ar"]
        assert sent.headers["content-type"] == "application/problem+json"


def test_unknown_collections_and_sets(client):
    assert client.get("/ogc/collections/nope/tiles").status_code == 404
    assert client.get("/ogc/collections/roads/tiles/Other").status_code == 400
    assert client.get("/ogc/tileMatrixSets/WebMercatorQuad").json()["tileMatrices"][12]["matrixWidth"] == 4096


def test_scores_are_the_runs_numbers_at_the_numbers_of_the_tiles(client, held):
    header, values = tile_values.unpack(client.get("/ogc/collections/priorities/scores").content)
    of = held.collection("priorities")
    table = held.run.priorities.set_index("id").loc[of.ids]
    assert header["count"] == 36
    assert header["tiles"] == tilejson(client, "priorities")["tiles"][0].rpartition("v=")[2]
    np.testing.assert_array_equal(values["score"], table["score"].to_numpy("f4"))
    np.testing.assert_array_equal(values["rank"], table["rank"].fillna(0).to_numpy("u2"))
    assert np.isnan(values["score"]).sum() == (values["rank"] == 0).sum() == 3  # unknown, never zero
    weights = {one["name"]: one["criterion"]["weight"] for one in header["columns"] if "criterion" in one}
    assert weights == {one["measure"]: one["weight"] for one in held.run.info["scheme"]["criteria"] if one["measure"] in table}


def test_scores_by_name_and_their_header_alone(client, held):
    sent = client.get("/ogc/collections/priorities/scores", params={"columns": "rank,district", "run": held.version})
    assert "immutable" in sent.headers["cache-control"]
    header, values = tile_values.unpack(sent.content)
    assert list(values) == ["rank", "district"]
    words = header["columns"][1]["words"]
    assert words[values["district"][0] - 1] == held.collection("priorities").table["district"].iloc[0]
    assert client.get("/ogc/collections/priorities/scores?columns=rank,district&f=json").json() == header
    assert client.get("/ogc/collections/priorities/scores?columns=nope").status_code == 400
    assert client.get("/ogc/collections/priorities/scores?run=0").status_code == 404


def test_no_complaint_is_a_feature(held):
    counts = held.collection("complaints")
    assert set(counts.ids) == set(held.city.zones.index)
    assert counts.table["complaints"].sum() == held.city.layers["complaints"].frame["zone"].notna().sum()
    lost = held.collection("left_out").table
    of_people = lost[lost["layer"] == "complaints"]
    assert len(of_people) == 13
    assert of_people[["id", "value"]].isna().all(axis=None)
    assert of_people.geometry.isna().all()


def test_other_scores_leave_the_tiles_alone(held):
    from dataclasses import replace

    turned = held.run.priorities.iloc[::-1].assign(score=1.0)
    again = windows.collection("priorities", held.city, replace(held.run, priorities=turned))
    assert tiles.key(again) == tiles.key(held.collection("priorities"))


def test_tiles_are_made_once_and_a_broken_file_is_told(held, tmp_path):
    of = held.collection("hazards")
    path = tiles.make(of, tmp_path)
    before = path.stat().st_mtime_ns
    assert tiles.make(of, tmp_path) == path
    assert path.stat().st_mtime_ns == before
    assert [one.name for one in tmp_path.iterdir()] == [path.name]
    path.write_bytes(b"PMTiles\x03" + b"\xff" * 200)
    tiles.archive.cache_clear()
    with pytest.raises(tiles.TilesError):
        tiles.archive(path)


def test_a_backup_leaves_tiles_away(tmp_path):
    """They are made again from what is in it."""
    import tarfile

    from geo.store import Store
    from tests.conftest import write_town

    folder = write_town(tmp_path / "town")
    (folder / tiles.FOLDER).mkdir()
    (folder / tiles.FOLDER / f"{'0' * 32}.pmtiles").write_bytes(b"PMTiles")
    with Store.open(folder) as store:
        packed = store.backup(tmp_path / "town.tar")
        assert store.fsck() == ()
    with tarfile.open(packed) as archive:
        names = archive.getnames()
    assert not [name for name in names if "tiles" in name]
    assert any(name.endswith("study.toml") for name in names)
