"""Intake: each trouble once, whatever the order of the rows, and nobody named."""

from __future__ import annotations

import datetime
import json

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from geo.complaints_intake import as_evidence, coarse, first_reports, gridded, redacted, rules, without_persons
from geo.left_out import left_out
from geo.pipeline import assess, open_study, read_city
from geo.store import Store
from geo.study import LayerSpec
from geo.surveys import accept, check, deliver, from_store
from tests.conftest import EAST, NORTH, layer, points

CRS = "EPSG:32637"
SECRETS = ("Anas", "أنس", "0933 123 456", "+963933123456", "٠٩٣٣١٢٣٤٥٦", "anas@example.org", "third floor", "house 7", "photo.jpg")


def complaints(places, **columns):
    table = {"row": range(1, len(places) + 1), "id": [f"c{n}" for n in range(len(places))], **columns}
    table.setdefault("category", "water")
    frame = gpd.GeoDataFrame(table, geometry=[None if one is None else shapely.Point(one) for one in places], crs=CRS)
    return frame.assign(date=pd.to_datetime(frame["date"])) if "date" in frame else frame


@pytest.mark.parametrize(
    ("places", "columns", "heads"),
    [
        # 50 m is still the same place, 51 m is not
        ([(0, 0), (50, 0), (0, 51)], {"date": ["2026-01-01"] * 3}, [0, 0, 2]),
        # 14 days are still the same trouble; the third comes 14 days after the last report of it, 28 after the first
        ([(0, 0)] * 3, {"date": ["2026-01-01", "2026-01-15", "2026-01-29"]}, [0, 0, 0]),
        ([(0, 0)] * 2, {"date": ["2026-01-01", "2026-01-16"]}, [0, 1]),
        # the distance is to the first report: a row of them, 40 m apart, is several troubles
        ([(0, 0), (40, 0), (80, 0), (120, 0)], {"date": ["2026-01-01"] * 4}, [0, 0, 2, 2]),
        # another category is another trouble
        ([(0, 0)] * 2, {"date": ["2026-01-01"] * 2, "category": ["water", "roads"]}, [0, 1]),
        # one asset, however far; two assets, however near
        ([(0, 0), (900, 0)], {"date": ["2026-01-01"] * 2, "asset": ["W1", "W1"]}, [0, 0]),
        ([(0, 0), (1, 0)], {"date": ["2026-01-01"] * 2, "asset": ["W1", "W2"]}, [0, 1]),
        # without a date it repeats any of its kind there, whichever row comes first
        ([(0, 0), (10, 0), (10, 0)], {"date": [None, "2026-01-01", "2026-06-01"]}, [1, 1, 2]),
        # without a place, the neighbourhood is the place
        ([None, None, None], {"date": ["2026-01-01"] * 3, "neighbourhood": ["A", "A", "B"]}, [0, 0, 2]),
        ([None, (5, 5)], {"date": ["2026-01-01"] * 2, "neighbourhood": ["A", None]}, [0, 1]),
    ],
)
def test_same_trouble_on_paper(places, columns, heads):
    assert first_reports(complaints(places, **columns)).tolist() == heads


@given(
    st.lists(
        st.tuples(
            st.integers(0, 150), st.integers(0, 60), st.sampled_from(["water", "roads"]), st.integers(0, 40) | st.none(),
            st.sampled_from(["", "W1", "W2"]),
        ),
        min_size=1, max_size=25,
    ),
    st.randoms(use_true_random=False),
)  # fmt: skip
def test_order_of_the_rows_changes_nothing(rows, chance):
    """The same sets of reports are one trouble, and the same ones stand for them."""

    def made(order):
        chosen = [rows[at] for at in order]
        frame = complaints(
            [one[:2] for one in chosen],
            category=[one[2] for one in chosen],
            asset=[one[4] or None for one in chosen],
            date=[None if one[3] is None else pd.Timestamp("2026-01-01") + pd.Timedelta(days=one[3]) for one in chosen],
        ).assign(id=[f"c{at}" for at in order])
        head = first_reports(frame)
        return {frame["id"].iat[at]: frame["id"].iat[first] for at, first in enumerate(head)}

    order = list(range(len(rows)))
    chance.shuffle(order)
    assert made(order) == made(range(len(rows)))


def test_repetitions_are_counted_and_listed():
    frame = complaints(
        [(0, 0), (5, 0), (900, 0)], date=["2026-01-02", "2026-01-01", "2026-01-01"], category=["مياه", "Water", "WATER"]
    )
    kept, (aside,), noted = as_evidence(frame)
    assert kept["id"].tolist() == ["c1", "c2"]
    assert kept["reports"].tolist() == [2, 1]
    assert aside[["id", "reason", "value"]].to_numpy().tolist() == [["c0", "complaint-repeated", "c1"]]
    assert noted == []


def test_category_that_nobody_knows_is_other_and_not_quoted():
    """A column that was mapped by mistake may hold names."""
    kept, _, (noted,) = as_evidence(complaints([(0, 0), (900, 0)], category=["Anas al-Homsi", None]))
    assert kept["category"].tolist() == ["other", "other"]
    assert noted.code == "category-other"
    assert noted.rows == ("1",)
    assert "Anas" not in noted.render("en") + noted.render("ar")


def test_places_are_coarse_unless_the_category_is_about_public_ground():
    kept, _, _ = as_evidence(complaints([(133, 71), (733, 71)], category=["water", "roads"]))
    assert [(one.x, one.y) for one in kept.geometry] == [(150, 50), (733, 71)]
    assert rules()["category"]["housing"]["public"] is False


def test_coarse_places_keep_to_their_side_of_a_boundary():
    """Zones meet at x = 160, in the cell from 100 to 200: of 170 the middle is across, and a point of the right part is taken.

    At x = 197 the part of the other cell would be 3 m wide and tell too much: that one goes across.
    """
    zones = np.array([shapely.box(0, 0, 160, 1000), shapely.box(160, 0, 197, 1000), shapely.box(197, 0, 800, 1000)])
    frame = complaints([(170, 50), (110, 50), (198, 50), (850, 50)])
    found = coarse(frame, zones).geometry
    assert zones[1].contains(found[0])
    assert (found[1].x, found[1].y) == (150, 50)
    assert (found[2].x, found[2].y) == (150, 50)
    assert (found[3].x, found[3].y) == (850, 50)
    near = complaints([(180, 20)])
    assert found[0].equals(coarse(near, zones).geometry[0])  # the same for all of that part of the cell


@given(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6))
def test_grid_moves_nothing_farther_than_half_a_cell(x, y):
    cell = gridded(np.array([shapely.Point(x, y)], dtype=object))[0]
    assert max(abs(cell.x - x), abs(cell.y - y)) <= rules()["place"]["grid_m"] / 2 + 1e-6


def test_what_looks_like_a_person_is_unknown():
    table = without_persons(pd.DataFrame({"id": [*SECRETS[2:6], "W-17", 20260101, 933123456.0], "row": range(7)}))
    assert table["id"].isna().tolist() == [True] * 4 + [False] * 3
    assert table["row"].tolist() == list(range(7))


def test_left_out_rows_tell_no_more_than_those_that_count():
    rows = complaints([(133, 71)], status=["Anas"]).assign(id="0933123456")
    table = redacted(left_out(rows, "complaints", "value-unusable", value="status"))
    other = left_out(rows.assign(id="17"), "damage", "value-unusable", value="status")
    assert table["value"].isna().all()
    assert table["id"].isna().all()
    assert table.geometry.iat[0] == shapely.Point(150, 50)
    assert redacted(other).equals(other)


def personal_csv() -> str:
    """A table of a municipality: names, telephones, addresses, texts, wrong states, an e-mail address as number."""
    return (
        "id,category,date,status,name,phone,address,description,photo,x,y\n"
        f"1,water,2026-01-01,open,Anas,0933 123 456,house 7,third floor,photo.jpg,{EAST + 133.25},{NORTH + 871.5}\n"
        f"anas@example.org,مياه,not a day,أنس,Anas,+963933123456,house 7,third floor,photo.jpg,{EAST + 733.25},{NORTH + 871.5}\n"
        f"0933 123 456,roads,2026-01-01,open,Anas,٠٩٣٣١٢٣٤٥٦,house 7,third floor,photo.jpg,{EAST + 9133.25},{NORTH + 871.5}\n"
        f"4,water,2026-01-05,open,Anas,0933 123 456,house 7,third floor,photo.jpg,{EAST + 140.25},{NORTH + 871.5}\n"
        "5,water,2026-01-05,open,Anas,0933 123 456,house 7,third floor,photo.jpg,,\n"
    )


def test_no_person_and_no_home_leaves_the_import(town):
    """Everything that a run, a map or a dataset can be made of: the layer's table, the left-out rows, the findings."""
    entry = {"path": "complaints.csv", "crs": CRS}
    study = town(complaints=personal_csv(), entries={"complaints": entry})
    city = read_city(open_study(study)[0])
    found = city.layers["complaints"]
    assert found.frame["id"].tolist() == ["1", "row 2", "row 3"]
    said = found.frame.drop(columns="geometry").to_csv() + found.left_out.drop(columns="geometry").to_csv()
    said += json.dumps([one.record() for one in found.findings], ensure_ascii=False)
    assert [secret for secret in SECRETS if secret in said] == []
    assert set(found.frame.columns) <= {"id", "category", "date", "status", "row", "reports", "zone", "geometry"}
    assert sorted(found.left_out["reason"]) == [
        "complaint-repeated",
        "geometry-missing",
        "outside",
        "value-unusable",
        "value-unusable",
    ]
    places = [one for table in (found.frame, found.left_out) for one in table.geometry if one is not None]
    exact = {(EAST + x + 0.25, NORTH + 871.5) for x in (133, 733, 140)}
    assert {(one.x, one.y) for one in places} & exact == set()
    assert (found.frame.geometry.iat[2].x, found.frame.geometry.iat[2].y) == (EAST + 9133.25, NORTH + 871.5)  # a road


def test_complaints_that_name_an_asset_or_a_neighbourhood_only(town):
    """No coordinates at all: a code, an Arabic name, an asset of another layer, and two that nobody can find."""
    table = pd.DataFrame(
        {
            "category": ["water", "roads", "education", "education", "water"],
            "neighbourhood": ["A", "باء", None, None, "nowhere"],
            "asset": [None, None, "S1", "unknown", None],
        }
    )
    schools = layer(points((500, 1110), (1500, 1700)), id=["S1", "S2"], kind=["school", "school"])
    study = town(complaints=table, facilities=schools, entries={"complaints": {"path": "complaints.csv"}})
    found = read_city(open_study(study)[0]).layers["complaints"]
    assert found.frame["zone"].tolist() == ["A", "B", "C"]
    assert found.frame.geometry.iat[2].equals(points((500, 1110))[0])
    assert found.frame.geometry.notna().all()
    assert found.left_out["reason"].tolist() == ["no-neighbourhood", "no-neighbourhood"]


def test_table_without_places_and_without_names_is_refused(refused):
    (fault,) = refused(complaints=pd.DataFrame({"category": ["water"]}), entries={"complaints": {"path": "complaints.csv"}})
    assert fault.code == "no-geometry"


def test_every_category_has_a_directorate_and_words_of_its_own():
    from geo.registers import register

    words = [word.casefold() for name, one in rules()["category"].items() for word in {name, *one["words"]}]
    assert len(words) == len(set(words))
    assert {one["sector"] for one in rules()["category"].values()} <= set(register("sectors"))


def test_table_without_places_can_be_imported(town, tmp_path):
    """The list of an office that writes down neighbourhoods only: delivered, accepted, and counted by the run."""
    folder = town(without=("complaints",))
    study, scheme = open_study(folder)
    sent = tmp_path / "office.csv"
    sent.write_text("category,neighbourhood,date\nwater,A,2026-01-01\nwater,A,2026-01-02\nroads,باء,2026-01-01\n", encoding="utf-8")
    now = datetime.datetime(2026, 11, 1, tzinfo=datetime.UTC)
    with Store.open(folder) as store:
        receipt = deliver(store, [sent], layer="complaints", sender="office", now=now)
        choices = LayerSpec(path="office.csv", extent="study")
        checked = check(store, study, receipt.id, choices, now=now)
        assert [one.code for one in checked.findings if one.severity == "error"] == []
        accept(store, study, receipt.id, by="planner", now=now)
        layers = from_store(store, study)
    made = assess(read_city(study, accepted=layers), scheme).priorities.set_index("id").sort_index()
    assert made["complaints"].tolist() == [1, 1, 0, 0]


def test_twenty_thousand_reports_of_one_trouble_do_not_stop_the_intake():
    """Each report is compared with the troubles near it, not with all reports: work grows with the reports, not their square."""
    many = complaints([(n % 40, n % 7) for n in range(20_000)], date=["2026-01-01"] * 20_000)
    assert set(first_reports(many)) == {first_reports(many)[0]}
