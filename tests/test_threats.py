"""What hostile and broken input can do, and the test that proves what happens instead: the table, and the tests no other module has.

Each entry of `THREATS` is a kind of threat, each item of it a way in which it comes, with the tests that try it. That they exist
is checked here; that they pass is their own business.
"""

from __future__ import annotations

import ast
import json
import shutil
import socket
import sqlite3
import threading
import time
import zipfile
from pathlib import Path

import geopandas as gpd
import pandas as pd
import pytest
import shapely
import uvicorn
from typer.testing import CliRunner

from api.app import create_app
from api.cli import app
from api.settings import Settings
from geo import surveys
from geo.archives import unpack
from geo.errors import LayerError
from geo.export import csv_bytes
from geo.store import Store
from geo.study import LayerSpec, read_study
from geo.untrusted import read_untrusted

TESTS = Path(__file__).parent
DEMO = TESTS.parent / "data" / "demo"
HERE = "test_threats.py::"

THREATS: dict[str, dict[str, list[str]]] = {
    "senders over the network": {
        "a large file of a stranger": ["test_api_doors.py::test_a_stranger_s_file_is_refused_before_it_is_read", "test_api_bounds.py::test_only_who_may_deliver_sends_much"],
        "a body that drips or falls silent": ["test_api_bounds.py::test_silence_within_a_body_ends_the_request", "test_api_bounds.py::test_a_body_that_drips_ends_with_its_time"],
        "many at once": ["test_api_bounds.py::test_one_more_than_can_be_answered_is_told_to_come_back"],
        "paths of ours in their choices": ["test_api_doors.py::test_a_sender_names_no_file_of_ours"],
        "the survey of another": ["test_api_doors.py::test_sending_what_another_has_sent_changes_nothing_of_theirs", "test_api_doors.py::test_nor_does_sending_it_in_parts"],
        "a proxy that nobody was told of": ["test_api_doors.py::test_a_proxy_does_not_make_everybody_the_one_at_the_machine"],
        "a stolen token": ["test_api_doors.py::test_a_revoked_token_takes_its_sessions_along"],
        "lines of the log made up in a header": ["test_operations.py::test_a_number_of_a_proxy_is_kept_if_it_is_one", "test_operations.py::test_what_a_client_makes_up_is_no_new_row"],
        "persons in a complaint": ["test_api_requests.py::test_a_complaint_is_kept_without_its_person"],
    },
    "packed files that are not what they say": {
        "a bomb": ["test_archives.py::test_a_bomb_is_refused_by_its_directory", "test_untrusted.py::test_a_sheet_that_is_a_zip_bomb_is_refused"],
        "members that overlap or share their bytes": ["test_archives.py::test_overlapping_and_shared_entries_are_refused"],
        "a directory that lies about sizes": ["test_archives.py::test_a_directory_that_lies_about_sizes_is_not_believed"],
        "an archive in the archive": ["test_archives.py::test_litter_is_skipped_and_the_unread_is_named"],
        "ten thousand members": ["test_archives.py::test_too_many_members_are_refused", HERE + "test_ten_thousand_members_are_refused_before_one_is_unpacked"],
        "encryption and odd methods": ["test_archives.py::test_encrypted_and_odd_methods_are_refused"],
        "cut short, or with a wrong checksum": ["test_archives.py::test_truncated_archives_are_refused", "test_archives.py::test_a_wrong_checksum_is_noticed"],
        "text before it": ["test_archives.py::test_text_before_the_archive_is_left_out_and_said", "test_traps.py::test_not_applicable_is_not_analysed_and_never_undamaged"],
    },
    "names of members that lead elsewhere": {
        "parents, absolute paths, drives": ["test_archives.py::test_names_that_lead_out_are_refused"],
        "backslashes": ["test_archives.py::test_backslashes_are_folders_of_another_system"],
        "links and devices": ["test_archives.py::test_links_and_devices_are_refused", "test_archives.py::test_a_link_among_loose_files_is_refused"],
        "names that are one after composing and folding": ["test_archives.py::test_names_that_repeat_are_refused"],
        "two formats in one file": ["test_archives.py::test_polyglots_are_refused"],
        "the name of the delivery itself": ["test_store.py::test_the_name_of_a_file_is_text_and_never_a_path"],
    },
    "names of members in other letters": {
        "Arabic code pages": ["test_archives.py::test_arabic_names_in_any_encoding"],
        "decomposed letters": ["test_archives.py::test_decomposed_names_are_shown_composed"],
    },
    "content that is a programme": {
        "entities in KML and GML": ["test_untrusted.py::test_entities_are_refused"],
        "entities in a spreadsheet": ["test_untrusted.py::test_entities_in_a_sheet_are_refused"],
        "entities in OpenStreetMap": ["test_traps.py::test_openstreetmap_that_is_empty_or_a_bomb"],
        "links to other hosts": ["test_untrusted.py::test_nobody_is_called"],
        "files that point to other files": ["test_untrusted.py::test_content_under_another_name_is_not_followed"],
        "formats only an administrator may import": ["test_untrusted.py::test_only_an_administrator_imports_the_rest", "test_traps.py::test_openstreetmap_is_for_administrators"],
        "a way out of the reader": ["test_untrusted.py::test_the_child_is_locked_in_by_the_system", "test_untrusted.py::test_the_child_knows_nothing_of_the_world"],
    },
    "databases": {
        "views": ["test_untrusted.py::test_views_and_triggers_of_a_database_do_nothing", "test_untrusted.py::test_a_view_in_place_of_the_table_is_refused"],
        "triggers": ["test_untrusted.py::test_views_and_triggers_of_a_database_do_nothing"],
        "counts that lie": ["test_untrusted.py::test_a_database_that_lies_about_its_rows"],
        "damaged pages": ["test_untrusted.py::test_damaged_pages_are_refused"],
        "a query that never ends": [HERE + "test_an_endless_recursion_in_a_database_meets_a_limit"],
    },
    "numbers that are too large": {
        "records": ["test_untrusted.py::test_a_header_that_forgets_records_is_overruled_by_the_shapes", "test_untrusted.py::test_fewer_records_than_shapes"],
        "parts and points of a shape": ["test_untrusted.py::test_one_damaged_shape_costs_its_own_row", HERE + "test_a_shape_that_claims_five_million_points_is_not_given_room"],
        "rings": ["test_untrusted.py::test_thirty_thousand_rings"],
        "vertices": ["test_untrusted.py::test_limits_say_what_was_found"],
        "columns": ["test_untrusted.py::test_limits_say_what_was_found"],
        "cells": ["test_untrusted.py::test_limits_say_what_was_found", "test_untrusted.py::test_a_cell_far_out_is_refused"],
        "memory and time": ["test_untrusted.py::test_limits_of_the_process", "test_untrusted.py::test_every_end_of_the_child_has_a_reason"],
    },
    "shapes that are none": {
        "no number, infinity, beyond the Earth, null": ["test_untrusted.py::test_numbers_that_are_none", "test_untrusted.py::test_one_bad_ring_or_number_costs_its_own_row"],
        "unclosed": ["test_untrusted.py::test_one_bad_ring_or_number_costs_its_own_row"],
        "bow-ties": ["test_untrusted.py::test_a_bow_tie_is_kept_for_the_next_step", "test_harmonise.py::test_bow_tie_is_left_out_not_guessed"],
        "empty": ["test_untrusted.py::test_one_bad_ring_or_number_costs_its_own_row"],
        "repaired, and the original kept": ["test_harmonise.py::test_repair_that_keeps_the_area_is_made_and_said", HERE + "test_a_repaired_shape_leaves_the_original_file_as_it_came"],
        "no place in the study's system": ["test_traps.py::test_rows_on_the_other_side_of_the_earth_are_left_out_with_a_reason"],
    },
    "places that are wrong": {
        "no coordinate system": ["test_intake.py::test_missing_coordinate_system_is_refused_with_those_that_fit_and_chosen_by_the_sender"],
        "one that lies": ["test_crs_candidates.py::test_lies_are_told_with_the_one_system_that_fits"],
        "axes exchanged": ["test_intake.py::test_swapped_axes_are_named_and_turned_by_choice_only", "test_crs_candidates.py::test_swapped_axes_lie_far_away_and_still_in_the_country"],
        "a wrong zone": ["test_intake.py::test_wrong_zone_lies_elsewhere_and_every_finding_is_told_once"],
        "a grid of one country": ["test_traps.py::test_syria_lambert_with_and_without_its_prj_is_one_layer"],
        "a grid of nowhere": ["test_crs_candidates.py::test_coordinates_that_fit_nowhere"],
        "one row in ten elsewhere": [HERE + "test_one_row_in_ten_elsewhere_is_told_and_listed"],
    },
    "values that change on the way": {
        "whole numbers beyond 2^53": [HERE + "test_ids_come_through_every_format_digit_by_digit"],
        "zeros in front": [HERE + "test_ids_come_through_every_format_digit_by_digit", "test_encodings.py::test_ids_keep_their_digits"],
        "digits of other scripts, decimal commas": ["test_untrusted.py::test_coordinates_as_people_write_them", "test_validation.py::test_numbers_of_other_hands"],
        "degrees, minutes and seconds": ["test_untrusted.py::test_coordinates_as_people_write_them", "test_untrusted.py::test_a_table_of_coordinates_in_all_forms"],
        "letters in another encoding": ["test_encodings.py::test_arabic_is_read_whatever_is_declared", "test_traps.py::test_arabic_of_windows_1256_without_a_word_of_it"],
        "what was written stays": ["test_validation.py::test_values_that_can_not_be_used_are_unknown_and_listed"],
    },
    "formulas on the way out": {
        "CSV": ["test_export.py::test_formulas_are_neutralised_in_csv", HERE + "test_full_width_signs_are_formulas_too"],
        "workbook": ["test_export.py::test_formulas_are_typed_strings_in_the_workbook"],
    },
    "text that is code": {
        "values and names on the map": ["test_maps_page.py::test_attacks_in_names_show_as_text_on_the_map", "test_maps_page.py::test_no_data_can_reach_folium"],
        "values and names in the list": ["test_maps_page.py::test_attacks_in_names_show_as_text_in_the_list", "test_api_app.py::test_survey_text_is_text_in_every_answer"],
        "templates": ["test_maps_page.py::test_names_with_attacks_stay_out_of_the_template_engine", "test_untrusted.py::test_values_are_never_sentences"],
        "text that turns the words around it": ["test_messages.py::test_values_are_isolated_in_arabic_alone", HERE + "test_names_do_not_command_the_terminal"],
        "names of files": ["test_intake.py::test_preview_shows_the_city_and_each_system_in_both_languages_and_escapes_the_name", HERE + "test_names_do_not_command_the_terminal"],
        "pages of errors": ["test_api_app.py::test_refusals_are_problems_in_both_languages"],
        "headers that forbid": ["test_api_guard.py::test_answers_of_every_kind_carry_the_headers", "test_api_app.py::test_pages_carry_a_strict_policy_and_ask_no_other_host"],
    },
    "requests": {
        "floods and slow clients": [HERE + "test_clients_that_never_finish_keep_nobody_waiting"],
        "bodies": ["test_api_guard.py::test_other_methods_are_told_which_are_served", "test_uploads.py::test_limits_come_before_the_first_byte", "test_uploads.py::test_more_than_announced_keeps_what_was_right"],
        "limit=1000000000": ["test_api_app.py::test_refusals_are_problems_in_both_languages", "test_api_guard.py::test_a_refusal_says_what_is_expected_in_words"],
        "boxes of no numbers": ["test_api_guard.py::test_a_box_is_four_plain_numbers_in_degrees", "test_api_app.py::test_refusals_are_problems_in_both_languages"],
        "deep offsets": ["test_api_app.py::test_refusals_are_problems_in_both_languages", "test_api_app.py::test_paging_gives_every_feature_once"],
        "other hosts": ["test_api_app.py::test_other_hosts_get_nothing", "test_api_guard.py::test_another_machine_gets_nothing_even_under_a_loopback_name"],
        "one import at a time": ["test_jobs.py::test_two_workers_do_a_job_once"],
    },
    "machines that fail": {
        "kill": ["faults/test_faults.py::test_a_killed_process_loses_nothing", "faults/test_faults.py::test_a_killed_import_goes_on_where_it_stopped"],
        "power cut": ["faults/test_faults.py::test_a_power_cut_loses_nothing", "faults/test_faults.py::test_normal_is_not_enough"],
        "full disk": ["faults/test_faults.py::test_a_full_disk_is_refused_cleanly", "test_store.py::test_no_delivery_takes_the_reserve"],
        "two writers": ["test_store.py::test_several_processes_at_once_lose_nothing", "faults/test_faults.py::test_two_processes_append_to_one_upload"],
        "rot": ["test_store.py::test_fsck_finds_each_planted_fault", "test_store.py::test_reading_a_damaged_dataset_is_an_error_with_its_name"],
        "originals kept": ["test_store.py::test_a_delivery_is_kept_untouched_and_its_receipt_says_what_it_is", "test_surveys.py::test_refused_survey_is_kept_with_its_reasons_in_both_languages"],
    },
    "answers that tell too much": {
        "paths and traces in answers": ["test_api_app.py::test_an_unexpected_fault_tells_nothing_of_the_inside", "test_api_app.py::test_refusals_are_problems_in_both_languages"],
        "paths in reports": ["test_store.py::test_what_the_store_says_names_no_folder_of_this_machine", "test_outcomes.py::test_each_is_accepted_or_returned_and_no_row_is_lost"],
        "passwords": ["test_store.py::test_a_database_that_cannot_be_used_is_said_without_its_password"],
    },
}  # fmt: skip


def named():
    return {node for items in THREATS.values() for nodes in items.values() for node in nodes}


def functions(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {one.name for one in tree.body if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef)}


@pytest.mark.parametrize("module", sorted({node.partition("::")[0] for node in named()}))
def test_every_proof_is_there(module):
    wanted = {node.partition("::")[2] for node in named() if node.partition("::")[0] == module}
    assert wanted <= functions(TESTS / module), wanted - functions(TESTS / module)


def test_every_test_here_proves_something_of_the_table():
    ours = {node.partition("::")[2] for node in named() if node.startswith(HERE)}
    about_the_table = {"test_every_proof_is_there", "test_every_test_here_proves_something_of_the_table"}
    assert {one for one in functions(Path(__file__)) if one.startswith("test_")} == ours | about_the_table
    assert all(nodes for items in THREATS.values() for nodes in items.values())


# ------------------------------------------------------------------------------------------------------------- what was missing
@pytest.fixture
def folder(tmp_path):
    copied = tmp_path / "demo"
    shutil.copytree(DEMO, copied)
    return copied


def tarmim(*arguments):
    return CliRunner().invoke(app, [str(one) for one in arguments], obj="en")


def points(number, **columns):
    """Points in the middle of the demo city."""
    middle = gpd.read_file(DEMO / "neighbourhoods.geojson").geometry.iloc[0].representative_point()
    shapes = [shapely.Point(middle.x + 1e-5 * n, middle.y) for n in range(number)]
    return gpd.GeoDataFrame(columns, geometry=shapes, crs="EPSG:4326")


def test_ten_thousand_members_are_refused_before_one_is_unpacked(tmp_path):
    path = tmp_path / "many.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(10_000):
            archive.writestr(f"{number}.geojson", b"{}")
    with pytest.raises(LayerError) as refused:
        unpack(path, tmp_path / "out")
    assert [one.code for one in refused.value.findings] == ["zip-members"]
    assert "10,000" in str(refused.value)
    assert not (tmp_path / "out").exists()


def test_an_endless_recursion_in_a_database_meets_a_limit(tmp_path):
    """A view that counts for ever stands among the layers: it is never asked."""
    path = tmp_path / "town.gpkg"
    points(3, kind=["mines"] * 3).to_file(path, layer="town", engine="pyogrio")
    with sqlite3.connect(path) as database:
        database.execute("CREATE VIEW endless AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n")
        database.execute(
            "INSERT INTO gpkg_contents (table_name, data_type, identifier, srs_id) VALUES ('endless', 'features', 'e', 4326)"
        )
    database.close()
    found = read_untrusted([path], name="layer")
    assert found.counts.read == 3
    assert "gpkg-views" in {one.code for one in found.findings}


def test_a_shape_that_claims_five_million_points_is_not_given_room(tmp_path):
    """A line of two points whose header says five million: that row is set aside, the other read."""
    lines = [shapely.LineString([(37, 36), (37.1, 36.1)]), shapely.LineString([(37, 36), (37.2, 36.2)])]
    gpd.GeoDataFrame({"n": [1, 2]}, geometry=lines, crs="EPSG:4326").to_file(tmp_path / "a.shp", engine="pyogrio")
    raw = bytearray((tmp_path / "a.shp").read_bytes())
    raw[100 + 8 + 40 : 100 + 8 + 44] = (5_000_000).to_bytes(4, "little")
    (tmp_path / "a.shp").write_bytes(bytes(raw))
    found = read_untrusted(sorted(tmp_path.glob("a.*")), name="layer")
    assert found.table["row"].tolist() == [2]
    assert found.aside["row"].tolist() == [1]


def test_a_repaired_shape_leaves_the_original_file_as_it_came(folder):
    """A square whose border runs back over itself for a moment is mended in the dataset; the file that was sent keeps every byte."""
    (middle,) = points(1).geometry
    x, y = middle.x, middle.y
    spike = shapely.Polygon(
        [(x, y), (x + 0.001, y), (x + 0.001, y + 0.001), (x + 0.001, y + 0.002), (x + 0.001, y + 0.001), (x, y + 0.001)]
    )
    path = folder / "spike.geojson"
    gpd.GeoDataFrame({"kind": ["mines"]}, geometry=[spike], crs="EPSG:4326").to_file(path)
    study = read_study(folder)
    with Store.open(folder) as store:
        receipt = surveys.deliver(store, [path], layer="hazards", sender="x", now=_now())
        checked = surveys.check(store, study, receipt.id, now=_now())
        assert "repaired" in {one.code for one in checked.findings}
        made = store.read(surveys.accept(store, study, receipt.id, by="planner", now=_now()))
        assert store.original(store.survey(receipt.id)).read_bytes() == path.read_bytes()
    assert made.geometry.is_valid.all()


def _now():
    import datetime

    return datetime.datetime(2026, 11, 23, tzinfo=datetime.UTC)


def test_one_row_in_ten_elsewhere_is_told_and_listed(folder):
    """27 facilities in the city and 3 beyond the sea: the file goes in, the three are counted at once and listed in the run."""
    table = points(30, kind=["school"] * 30)
    shapes = table.geometry.to_numpy().copy()
    shapes[::10] = shapely.Point(33.0, 35.0)
    path = folder / "strays.geojson"
    table.set_geometry(shapes, crs="EPSG:4326").to_file(path)
    study = read_study(folder)
    with Store.open(folder) as store:
        receipt = surveys.deliver(store, [path], layer="facilities", sender="x", now=_now())
        checked = surveys.check(store, study, receipt.id, now=_now())
        (said,) = [one for one in checked.findings if one.code == "partly-outside"]
        assert said.count == 3
        surveys.accept(store, study, receipt.id, by="planner", now=_now())
    from geo.pipeline import read_city

    lost = read_city(study, accepted=surveys.accepted(study)).layers["facilities"].left_out
    assert sorted(lost.loc[lost["reason"] == "outside", "row"]) == [1, 11, 21]


IDS = ["9007199254740993", "0007", "18446744073709551615", "٠٠٧", "1e5"]


@pytest.mark.parametrize("suffix", ["csv", "tsv", "xlsx", "geojson", "gpkg", "shp", "fgb", "parquet"])
def test_ids_come_through_every_format_digit_by_digit(folder, suffix):
    """Above 2^53 a float would change them, as numbers their zeros would go: a code is text from the file to the dataset."""
    table = points(5, id=IDS, kind=["school"] * 5)
    path = folder / f"codes.{suffix}"
    flat = pd.DataFrame(table.drop(columns="geometry")).assign(lon=table.geometry.x, lat=table.geometry.y)
    if suffix in ("csv", "tsv"):
        flat.to_csv(path, index=False, sep="\t" if suffix == "tsv" else ",")
    elif suffix == "xlsx":
        flat.to_excel(path, index=False, engine="openpyxl")
    elif suffix == "parquet":
        table.to_parquet(path)
    else:
        table.to_file(path, engine="pyogrio", encoding="utf-8")
    study = read_study(folder)
    with Store.open(folder) as store:
        receipt = surveys.deliver(store, [path], layer="facilities", sender="x", now=_now())
        choices = LayerSpec(path=path.name, columns={"id": "id", "kind": "kind"})
        checked = surveys.check(store, study, receipt.id, choices, now=_now())
        assert checked.layer is not None, [one.render("en") for one in checked.findings]
        made = store.read(surveys.accept(store, study, receipt.id, by="planner", now=_now()))
    assert sorted(made["id"]) == sorted(IDS)


@pytest.mark.parametrize("sign", ["=", "+", "-", "@", "\t", "\r", "＝", "＋", "－", "＠"])
def test_full_width_signs_are_formulas_too(sign):
    written = csv_bytes(pd.DataFrame({"name": [f"{sign}HYPERLINK(1)"]})).decode("utf-8-sig")
    shown = "\n" if sign == "\r" else sign
    assert f"'{shown}HYPERLINK(1)" in written


TURNING = "\u202egpj.\u202c"
COMMANDING = "\x1b[2J\x1b]0;owned\x07"


def test_names_do_not_command_the_terminal(folder):
    """Colours, titles and reversed text in names of files, columns, layers and senders are shown as replaced characters."""
    path = folder / f"survey{TURNING}.csv"
    path.write_text(f"{COMMANDING}name,{TURNING}grade,lon,lat\na,b,37,36\n", encoding="utf-8")
    outputs = [tarmim("import", path, "--layer", "damage", "--sender", COMMANDING + TURNING, "--study", folder)]
    ident = outputs[0].output.split("Receipt ")[1].split(":")[0]
    outputs += [tarmim("surveys", *ident_or_not, "--study", folder) for ident_or_not in ([], [ident])]
    for one in outputs:
        assert not one.exception or isinstance(one.exception, SystemExit)
        assert not set(one.output) & {chr(code) for code in (*range(9), *range(11, 32), 0x7F, *range(0x202A, 0x202F))}


def test_clients_that_never_finish_keep_nobody_waiting():
    """200 connections that send half a request and stop; whoever asks properly is answered meanwhile, every time."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = uvicorn.Server(
        uvicorn.Config(create_app(Settings(study=DEMO, work=False)), host="127.0.0.1", port=port, log_level="critical")
    )
    thread = threading.Thread(target=server.run)
    thread.start()
    slow = []
    try:
        until = time.monotonic() + 60
        while not server.started and time.monotonic() < until:
            time.sleep(0.05)
        for _ in range(200):
            one = socket.create_connection(("127.0.0.1", port), timeout=5)
            one.sendall(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1:" + str(port).encode() + b"\r\nX-Slow: ")
            slow.append(one)
        for _ in range(20):
            with socket.create_connection(("127.0.0.1", port), timeout=30) as asking:
                asking.sendall(f"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n".encode())
                answer = b"".join(iter(lambda: asking.recv(65_536), b""))  # read before the next turn
            assert answer.startswith(b"HTTP/1.1 200"), answer[:100]
            assert json.loads(answer.partition(b"\r\n\r\n")[2])
    finally:
        for one in slow:
            one.close()
        server.should_exit = True
        thread.join(timeout=30)
    assert not thread.is_alive()
