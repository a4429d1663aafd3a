"""The log of decisions: whatever is done to it afterwards shows."""

import datetime

import pytest

from geo.seals import FIRST, broken, seal

NOW = datetime.datetime(2026, 11, 23, 12, tzinfo=datetime.UTC)


def chain(count):
    entries, previous = [], FIRST
    for number in range(1, count + 1):
        entry = {
            "number": number,
            "made_at": NOW,
            "who": "planner",
            "origin": "",
            "what": "accepted",
            "subject": f"s{number}",
            "details": {"n": number},
        }
        entry |= {"previous": previous, "hash": seal(previous, entry)}
        entries.append(entry)
        previous = entry["hash"]
    return entries


def test_untouched_log_is_whole():
    assert broken([]) == ()
    assert broken(chain(5)) == ()


def test_same_moment_in_another_time_zone_is_the_same_entry():
    entry = chain(1)[0]
    moved = {**entry, "made_at": NOW.astimezone(datetime.timezone(datetime.timedelta(hours=3)))}
    assert broken([moved]) == ()


@pytest.mark.parametrize("field", ["made_at", "who", "origin", "what", "subject", "details"])
def test_every_edited_field_shows_at_its_entry(field):
    entries = chain(5)
    entries[2] = {
        **entries[2],
        field: NOW + datetime.timedelta(1) if field == "made_at" else {"n": 9} if field == "details" else "x",
    }
    assert [one.rows for one in broken(entries)] == [("3",)]


def test_entry_sealed_anew_shows_at_the_next():
    entries = chain(5)
    edited = {**entries[2], "who": "x"}
    entries[2] = {**edited, "hash": seal(edited["previous"], edited)}
    assert [one.rows for one in broken(entries)] == [("4",)]


def test_entry_taken_out_put_in_or_moved_shows():
    entries = chain(5)
    assert [one.rows for one in broken(entries[:2] + entries[3:])] == [("4",)]
    assert [one.rows for one in broken([*entries[:2], entries[1], *entries[2:]])] == [("2",)]
    assert len(broken([entries[0], entries[2], entries[1], *entries[3:]])) == 3


def test_log_cut_at_its_end_or_written_anew_shows_by_a_seal_that_was_noted():
    entries = chain(5)
    noted = entries[-1]["hash"]
    assert broken(entries, noted=noted) == ()
    assert broken([*entries, *chain(0)], noted=entries[1]["hash"]) == (), "an older seal still stands"
    assert broken(entries[:3]) == (), "whole in itself"
    assert [one.code for one in broken(entries[:3], noted=noted)] == ["log-cut"]
    anew = chain(4)
    assert [one.code for one in broken(anew, noted=noted)] == ["log-cut"]
