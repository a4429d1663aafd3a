"""OGC API – Features over the demo city: every feature once, boxes as one would count them, CRSs with their own order of axes."""

import re
from pathlib import Path

import numpy as np
import orjson
import pytest
import shapely
from fastapi.testclient import TestClient

from api.app import create_app
from api.queries import crs_of, period_of
from api.settings import Settings
from api.state import load
from geo import windows

DEMO = Path(__file__).parents[1] / "data" / "demo"
BASE = "http://127.0.0.1:8000"
EPSG = "http://www.opengis.net/def/crs/EPSG/0/"
ARABIC = re.compile(r"[\u0600-\u06ff]")


@pytest.fixture(scope="module")
def held():
    return load(Settings(study=DEMO))


@pytest.fixture(scope="module")
def client(held):
    with TestClient(create_app(Settings(study=DEMO), held), base_url=BASE) as one:
        yield one


@pytest.fixture(scope="module")
def collections(client):
    return client.get("/ogc/collections").json()["collections"]


def items(client, name, **asked):
    sent = client.get(f"/ogc/collections/{name}/items", params={key.replace("_", "-"): value for key, value in asked.items()})
    assert sent.status_code == 200, sent.text
    return sent.json()


def ids(answer):
    return [one["id"] for one in answer["features"]]


def test_every_link_of_the_entrance_leads_somewhere(client):
    seen, queue = set(), ["/ogc"]
    while queue:
        path = queue.pop().removeprefix(BASE)
        if path in seen:
            continue
        seen.add(path)
        sent = client.get(path)
        assert sent.status_code == 200, path
        if len(seen) < 120 and sent.headers["content-type"].startswith("application/json"):
            found = orjson.loads(sent.content)
            parts = [found, *found.get("collections", ()), *found.get("tilesets", ()), *found.get("tileMatrixSets", ())]
            queue += [link["href"] for part in parts for link in part.get("links", ()) if "{" not in link["href"]]
    assert len(seen) > 60


def test_collections_are_the_run_and_the_layers_with_their_crs(client, collections, held):
    names = [one["id"] for one in collections]
    assert names[:2] == ["priorities", "road_works"]
    assert {"neighbourhoods", "buildings", "roads", "damage", "water", "left_out"} <= set(names)
    for one in collections:
        assert one["storageCrs"] == EPSG + "32637"
        assert one["crs"][0].endswith("CRS84")
        assert {EPSG + "4326", EPSG + "3857", EPSG + "32637"} < set(one["crs"])
        alone = client.get(f"/ogc/collections/{one['id']}").json()
        assert alone["extent"] == one["extent"]
    damage = next(one for one in collections if one["id"] == "damage")
    assert damage["extent"]["temporal"]["interval"] == [["2025-10-12T00:00:00Z", "2025-10-19T00:00:00Z"]]


def test_paging_gives_every_feature_once_under_its_number(client, held):
    url, seen, numbers = "/ogc/collections/facilities/items?limit=37", [], []
    for _ in range(20):
        page = client.get(url).json()
        assert page["numberReturned"] == len(page["features"])
        seen += ids(page)
        numbers += [one["number"] for one in page["features"]]
        url = next((link["href"] for link in page["links"] if link["rel"] == "next"), None)
        if url is None:
            break
    assert seen == held.collection("facilities").ids.tolist()
    assert numbers == list(range(1, page["numberMatched"] + 1))


def test_a_limit_beyond_the_largest_becomes_it(client):
    assert items(client, "buildings", limit=1_000_000)["numberReturned"] == 10_000


@pytest.mark.parametrize("box", [(36.70, 34.72, 36.72, 34.74), (36.7, 34.7, 36.7, 34.9), (36.71, 34.73, 36.71, 34.73)])
def test_a_box_finds_what_touches_it(client, held, box):
    shapes = held.collection("buildings").table.geometry
    ground = shapely.envelope(shapely.multipoints([box[:2], box[2:]]))
    assert items(client, "buildings", bbox=",".join(map(str, box)))["numberMatched"] == shapes.intersects(ground).sum()


@pytest.mark.parametrize(
    ("box", "found"),
    [
        ("-180,-90,180,90", 199),
        ("-1e9,-1e9,1e9,1e9", 199),
        ("36,34,0,38,36,1000", 199),
        ("0,0,1,1", 0),
        ("170,-10,-170,10", 0),  # over the antimeridian
        ("37,-90,36,90", 0),  # everything but the city
        ("36,34,38,36", 199),
    ],
)
def test_odd_boxes(client, box, found):
    assert items(client, "facilities", bbox=box)["numberMatched"] == found


def test_a_box_in_another_crs_finds_the_same(client, held):
    west, south, east, north = 289_000, 3_845_000, 291_000, 3_847_000
    shapes = held.city.layers["facilities"].frame
    inside = set(shapes["id"][shapes.intersects(shapely.box(west, south, east, north))])
    told = items(client, "facilities", bbox=f"{west},{south},{east},{north}", bbox_crs=EPSG + "32637", limit=1000)
    assert set(ids(told)) == inside
    assert 0 < len(inside) < 199


@pytest.mark.parametrize(
    ("box", "crs", "found"),
    [
        ("-1e9,-1e9,1e9,1e9", "32637", 199),
        ("-20037508,-20048966,20037508,20048966", "3857", 199),
        ("5e6,5e6,6e6,6e6", "32637", 0),
        ("-90,-180,90,180", "4326", 199),
    ],
)
def test_huge_boxes_in_other_crs(client, box, crs, found):
    assert items(client, "facilities", bbox=box, bbox_crs=EPSG + crs)["numberMatched"] == found


def test_only_the_properties_asked_for(client):
    told = items(client, "priorities", properties="rank, score", limit=2)
    assert [list(one["properties"]) for one in told["features"]] == [["rank", "score"]] * 2
    one = client.get("/ogc/collections/priorities/items/DEMO-06?properties=rank").json()
    assert one["properties"] == {"rank": 1}
    assert client.get("/ogc/collections/priorities/items?properties=rank,nope").status_code == 400


def test_latitude_comes_first_where_the_crs_says_so(client):
    plain = items(client, "facilities", bbox="36.70,34.72,36.72,34.74", limit=1000)
    turned = items(client, "facilities", bbox="34.72,36.70,34.74,36.72", bbox_crs=EPSG + "4326", crs=EPSG + "4326", limit=1000)
    assert ids(plain) == ids(turned) != []
    for one, other in zip(plain["features"], turned["features"], strict=True):
        assert one["geometry"]["coordinates"] == other["geometry"]["coordinates"][::-1]


def test_answers_in_the_storage_crs_are_the_study_s_own_coordinates(client, held):
    sent = client.get("/ogc/collections/facilities/items", params={"crs": EPSG + "32637", "limit": 1000})
    assert sent.headers["content-crs"] == f"<{EPSG}32637>"
    own = held.city.layers["facilities"].frame.set_index("id").geometry
    for one in sent.json()["features"]:
        np.testing.assert_allclose(one["geometry"]["coordinates"], (own[one["id"]].x, own[one["id"]].y), atol=0.002)
    assert client.get("/ogc/collections/facilities/items").headers["content-crs"].endswith("CRS84>")
    assert crs_of("EPSG:2193").y_first  # northing first, in metres


def test_properties_are_filters(client, held):
    frame = held.city.layers["water"].frame
    told = items(client, "water", state="destroyed", limit=10_000)
    assert set(ids(told)) == set(frame["id"][(frame["state"] == "destroyed").fillna(value=False)])
    assert told["numberMatched"] > 0
    both = items(client, "water", state="destroyed", zone="DEMO-06")
    assert both["numberMatched"] < told["numberMatched"]
    assert items(client, "priorities", rank="1")["features"][0]["properties"]["rank"] == 1


def test_conditions_and_other_filters_hold_together(client, held):
    table = held.run.priorities
    told = items(client, "priorities", filter="score >= 50 AND district LIKE '%الشمال'", limit=100)
    wanted = table[(table["score"] >= 50) & table["district"].str.endswith("الشمال")]
    assert set(ids(told)) == set(wanted["id"])
    assert 0 < len(wanted) < (table["score"] >= 50).sum()
    x, y = 290_000, 3_846_000
    near = items(
        client,
        "priorities",
        filter=f"S_INTERSECTS(geometry, POINT({x} {y}))",
        **{"filter-crs": EPSG + "32637", "filter-lang": "cql2-text"},
    )
    assert ids(near) == table["id"][table.contains(shapely.Point(x, y))].tolist()


def test_periods(client, held):
    dates = held.city.layers["damage"].frame["date"]
    for asked, expected in (
        ("2025-10-12", (dates == "2025-10-12").sum()),
        ("2025-10-13/..", (dates >= "2025-10-13").sum()),
        ("../2025-10-12T23:59:59Z", (dates <= "2025-10-12").sum()),
        ("2025-10-12/2025-10-19", dates.notna().sum()),
        ("2001-01-01", 0),
    ):
        assert items(client, "damage", datetime=asked, limit=1)["numberMatched"] == expected, asked
    assert items(client, "hazards", datetime="2001-01-01")["numberMatched"] == 9  # no dates: no period
    assert period_of("/2026-01-01") == period_of("../2026-01-01")


@pytest.mark.parametrize(
    "asked",
    [
        "bbox=1,2,3",
        "bbox=1,2,3,4,5",
        "bbox=a,b,c,d",
        "bbox=nan,nan,nan,nan",
        "bbox=inf,0,1,1",
        "bbox=36,35,37,34",
        "bbox=",
        "bbox=1_0,0,20,20",
        "bbox=2,2,1,3&bbox-crs=" + EPSG + "32637",
        "bbox-crs=" + EPSG + "2000",
        "crs=EPSG:9999",
        "crs=nonsense",
        "datetime=yesterday",
        "datetime=2026-01-01/2025-01-01",
        "datetime=../..",
        "limit=0",
        "limit=-1",
        "limit=ten",
        "offset=-1",
        "f=shp",
        "lang=fr",
        "filter=nope = 1",
        "filter=row >",
        "filter-lang=ecql",
        "nope=1",
        "row=abc",
        "limit=1&limit=2",
    ],
)
def test_what_cannot_be_used_is_refused_with_400_in_both_languages(client, asked):
    refused = client.get(f"/ogc/collections/roads/items?{asked}")
    assert refused.status_code == 400, refused.text
    told = refused.json()
    assert refused.headers["content-type"] == "application/problem+json"
    assert ARABIC.search(told["detail_ar"])
    assert not ARABIC.search(told["detail_en"])


def test_all_faults_are_told_at_once(client):
    told = client.get("/ogc/collections/roads/items?bbox=1,2&datetime=x&filter=nope=1&row=abc").json()
    assert {one["where"] for one in told["findings"]} == {"bbox", "datetime", "filter", "row"}


def test_one_feature_by_a_code_that_stays(client, held):
    sent = client.get("/ogc/collections/priorities/items/DEMO-06")
    assert sent.json()["id"] == "DEMO-06"
    row = held.run.priorities.set_index("id").loc["DEMO-06"]
    assert sent.json()["properties"]["score"] == row["score"]
    assert {one["rel"] for one in sent.json()["links"]} == {"self", "alternate", "collection"}
    assert client.get("/ogc/collections/priorities/items/DEMO-99").status_code == 404
    assert client.get("/ogc/collections/priorities/items/..%2f..%2fstudy.toml").status_code == 404
    again = client.get("/ogc/collections/priorities/items/DEMO-06", headers={"If-None-Match": sent.headers["etag"]})
    assert again.status_code == 304


def test_unknown_is_null_and_numbers_are_the_run_s(client, held):
    told = items(client, "priorities", limit=100)
    assert b"NaN" not in orjson.dumps(told)
    scores = {one["id"]: one["properties"]["score"] for one in told["features"]}
    table = held.run.priorities
    assert scores == {key: None if np.isnan(value) else value for key, value in zip(table["id"], table["score"], strict=True)}


def test_pages_for_people_in_both_languages(client, collections):
    for path in ("/ogc", "/ogc/conformance", "/ogc/collections", "/ogc/collections/roads", "/ogc/collections/roads/items?limit=3",
                 "/ogc/collections/priorities/items/DEMO-06"):  # fmt: skip
        for lang in ("ar", "en"):
            sent = client.get(path, params={"lang": lang}, headers={"Accept": "text/html"})
            assert sent.headers["content-type"].startswith("text/html"), path
            assert f'lang="{lang}" dir="{"rtl" if lang == "ar" else "ltr"}"' in sent.text
            assert not re.findall(r"""(?:src)\s*=\s*["']?\s*(?:https?:)?//""", sent.text)
    assert client.get("/ogc", headers={"Accept": "image/png"}).status_code == 406


def test_queryables_are_the_parameters(client):
    known = client.get("/ogc/collections/water/queryables")
    assert known.headers["content-type"] == "application/schema+json"
    properties = known.json()["properties"]
    assert properties["state"]["type"] == "string"
    assert properties["diameter_mm"]["type"] == "number"
    for name in properties.keys() - {"geometry"}:
        assert client.get("/ogc/collections/water/items", params={name: "1"}).status_code == 200


def test_complaints_are_counts_only(client, held):
    told = items(client, "complaints", limit=1000)
    assert told["numberMatched"] == 36
    personal = {"status", "answered", "closed", "asset", "reports", "changed", "row"}
    assert not personal & set(told["features"][0]["properties"])
    shapes = {shapely.geometry.shape(one["geometry"]).geom_type for one in told["features"]}
    assert shapes <= {"Polygon", "MultiPolygon"}


def test_a_collection_without_codes_is_called_by_numbers(client, held):
    lost = held.collection("left_out")
    assert lost.ids[0] == "1"
    assert client.get("/ogc/collections/left_out/items/128").status_code == 200
    assert client.get("/ogc/collections/left_out/items/129").status_code == 404


def test_codes_that_repeat_are_no_addresses():
    import geopandas as gpd

    here = gpd.GeoSeries.from_xy([0, 1, 2], [0, 0, 0], crs="EPSG:4326")
    for codes in (["a", "a", "b"], ["a", None, "b"], ["a", "", "b"]):
        made = windows.numbered("roads", {"ar": "", "en": ""}, gpd.GeoDataFrame({"id": codes}, geometry=here))
        assert made.ids.tolist() == ["1", "2", "3"]
