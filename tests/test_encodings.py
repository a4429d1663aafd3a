"""Encodings: Arabic out of every code page it comes in, and rows by our own count."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geo.archives import TooMuchError, limits
from geo.dbf import numbers, read_dbf
from geo.encodings import Column, codec_of, decode_columns, repaired, vote
from geo.text_tables import read_text_table

NAMES = ["عريمة", "مركز اعزاز", "السكن الشبابي", "عين التل", "حي الوعر", "تلبيسة", "باب عمرو", "القصير", "الرستن", "مدرسة النهضة"]
RULES, TEXT = limits()["table"], limits()["text"]


def dbf(rows, *, fields=(("NAME", "C", 40), ("ID", "N", 10)), said=None, ldid=0, flags=None, cut=None):
    """A DBF of raw bytes."""
    length = 1 + sum(width for _, _, width in fields)
    head = struct.pack(
        "<B3BIHH16xBBH", 3, 126, 1, 1, len(rows) if said is None else said, 33 + 32 * len(fields), length, 0, ldid, 0
    )
    described = b"".join(
        struct.pack("<11sc4xBB14x", name.encode("cp1256"), kind.encode(), width % 256, width // 256) for name, kind, width in fields
    )
    body = b""
    for number, row in enumerate(rows):
        cells = (cell.encode() if isinstance(cell, str) else cell for cell in row)
        body += (flags or {}).get(number, b" ") + b"".join(
            cell[:width].ljust(width) for cell, (_, _, width) in zip(cells, fields, strict=True)
        )
    return (head + described + b"\r" + body + b"\x1a")[:cut]


def names_of(encoding):
    return [(name.encode(encoding), str(number)) for number, name in enumerate(NAMES)]


@pytest.mark.parametrize("encoding", ["utf-8", "cp1256", "cp720", "iso8859_6"])
@pytest.mark.parametrize("declared", [None, "utf-8", "cp1252", "cp1256", "cp720", "iso8859_6", "latin-1", "cp437"])
def test_arabic_is_read_whatever_is_declared(encoding, declared):
    table = read_dbf(dbf(names_of(encoding)), declared, most_columns=100)
    assert table.columns["NAME"].values == NAMES
    assert table.columns["ID"] == list(range(10))


@pytest.mark.parametrize("ldid", [0x00, 0x57, 0x7E, 0x01, 0x03, 0xC9])
def test_the_mark_of_the_header_is_not_believed_blindly(ldid):
    for encoding in ("cp1256", "utf-8"):
        assert read_dbf(dbf(names_of(encoding), ldid=ldid), None, most_columns=100).columns["NAME"].values == NAMES


@pytest.mark.parametrize("encoding", ["cp1256", "cp720", "iso8859_6"])
@pytest.mark.parametrize("name", NAMES)
def test_one_name_is_enough(encoding, name):
    """Of single names nearly all: a single rare word may look like another page's word."""
    assert name.encode(encoding).decode(vote([name.encode(encoding)]).encoding) == name


def test_other_languages_keep_their_page():
    french, greek, chinese = "Hôpital général".encode("cp1252"), "Αθήνα Πειραιάς".encode("cp1253"), "测试中文".encode("gbk")
    assert vote([french], "cp1252").encoding == "cp1252"
    assert vote([greek], "cp1253").encoding == "cp1253"
    assert vote([chinese], "gbk").encoding == "gbk"
    assert vote([french]).encoding in ("cp1252", "latin-1", "cp1256")
    assert french.decode(vote([french]).encoding) == "Hôpital général"


def test_columns_of_several_encodings():
    rows = [(name.encode("cp1256"), name.encode("utf-8")) for name in NAMES]
    table = read_dbf(dbf(rows, fields=(("A", "C", 40), ("B", "C", 60))), "utf-8", most_columns=9)
    assert table.columns["A"].values == table.columns["B"].values == NAMES
    assert (table.columns["A"].encoding, table.columns["B"].encoding) == ("cp1256", "utf-8")


def test_a_column_of_few_letters_follows_its_file():
    columns = decode_columns({"name": [name.encode("cp1256") for name in NAMES], "side": ["ش".encode("cp1256"), b"N"]}, None)
    assert columns["side"].values == ["ش", "N"]


def test_a_value_cut_inside_a_letter_kills_nothing():
    long = ("مدرسة الشهيد " * 5).encode()[:39] + "ة".encode()[:1]
    table = read_dbf(dbf([*names_of("utf-8"), (long, "10")]), None, most_columns=9)
    assert table.columns["NAME"].values[:10] == NAMES
    assert table.columns["NAME"].cut == [10]
    assert table.columns["NAME"].values[10].startswith("مدرسة الشهيد")


def test_one_wrong_byte_is_shown_and_said():
    rows = [*names_of("utf-8"), (b"\xd8\xff\xd8 x", "10")]
    column = read_dbf(dbf(rows), None, most_columns=9).columns["NAME"]
    assert column.values[:10] == NAMES
    assert column.unreadable == [10]


@pytest.mark.parametrize(
    ("right", "wrong"),
    [("cp1256", "cp1252"), ("cp1256", "latin-1"), ("utf-8", "cp1252"), ("utf-8", "cp1256"), ("utf-8", "latin-1")],
)
def test_mojibake_is_put_right(right, wrong):
    spoilt = []
    for name in NAMES:
        raw = name.encode(right)
        spoilt.append("".join(bytes([byte]).decode(wrong, errors="ignore") or chr(byte) for byte in raw))
    column = repaired(Column([*spoilt, "plain", None], "utf-8"))
    assert column.values == [*NAMES, "plain", None]
    assert len(column.repaired) == len(NAMES)


@pytest.mark.parametrize(
    "values", [NAMES, ["Hôpital général", "École"], ["Åland", "São Tomé"], ["Größe"], ["测试"], ["Ελλάδα"], ["۱۲۳ متر"], ["м²"]]
)
def test_good_text_is_left_alone(values):
    assert repaired(Column(list(values), "utf-8")).values == values


def test_lost_letters_are_reported():
    assert repaired(Column(["?????", "حلب", "why?", "a\ufffdb"], "utf-8")).lost == [0, 3]


@given(st.lists(st.text(max_size=20), max_size=8))
def test_repairing_never_fails_and_is_stable(values):
    once = repaired(Column(list(values), "utf-8")).values
    assert repaired(Column(list(once), "utf-8")).values == once or once != values


@given(st.lists(st.binary(max_size=30), max_size=8), st.sampled_from([None, "utf-8", "cp1256", "gbk", "cp1252"]))
def test_any_bytes_give_text(values, declared):
    (column,) = decode_columns({"a": values}, declared).values()
    assert len(column.values) == len(values)


@pytest.mark.parametrize(
    "text", ["", "nonsense", "65001", "ANSI 1256", "windows-1256", "idna", "rot13", "zlib", "\x00", "8859-6", "x" * 500]
)
def test_any_declaration_is_survived(text):
    name = codec_of(text)
    assert name is None or isinstance("a".encode(name), bytes)


# ------------------------------------------------------------------------------------------------------------------------ DBF
def test_deleted_records_are_counted():
    table = read_dbf(dbf(names_of("utf-8"), flags={2: b"*", 5: b"*"}), None, most_columns=9)
    assert (table.rows, table.deleted) == (10, [2, 5])


def test_a_header_that_says_too_much_or_too_little():
    much = read_dbf(dbf(names_of("utf-8"), said=4_000_000_000), None, most_columns=9)
    assert (much.said, much.rows) == (4_000_000_000, 10)
    few = read_dbf(dbf(names_of("utf-8"), said=3), None, most_columns=9, shapes=10)
    assert (few.said, few.rows) == (3, 10)
    cut = read_dbf(dbf(names_of("utf-8"), cut=-120), None, most_columns=9)
    assert (cut.said, cut.rows) == (10, 7)


@pytest.mark.parametrize("raw", [b"", b"x" * 31, bytes(32), bytes(200)])
def test_what_is_no_dbf_is_said(raw):
    with pytest.raises(ValueError, match="dbf"):
        read_dbf(raw, None, most_columns=9)


def test_ids_keep_their_digits():
    """Leading zeros, and whole numbers beyond 2^53."""
    rows = [("a", "0012", "12345678901234567890"), ("b", "7", "1")]
    table = read_dbf(dbf(rows, fields=(("A", "C", 5), ("B", "N", 10), ("C", "N", 20))), None, most_columns=9)
    assert table.columns["B"] == ["0012", "7"]
    assert table.columns["C"] == ["12345678901234567890", "1"]
    assert numbers(["9007199254740993", None]) == [9007199254740993, None]
    assert numbers(["9007199254740993", "1.5"]) == ["9007199254740993", "1.5"]


def test_dates_that_are_none_stay_as_they_are():
    table = read_dbf(dbf([("20150426",), ("00000000",), ("2015xx26",), ("",)], fields=(("D", "D", 8),)), None, most_columns=9)
    assert table.columns["D"] == ["2015-04-26", None, "2015xx26", None]


@given(st.binary(max_size=400))
def test_any_bytes_behind_a_header_are_survived(raw):
    try:
        table = read_dbf(dbf(names_of("utf-8"))[:32] + raw, None, most_columns=9)
    except ValueError:
        return
    assert all(len(getattr(column, "values", column)) == table.rows for column in table.columns.values())


# -------------------------------------------------------------------------------------------------------------------- tables
def table_of(text, **options):
    return read_text_table(text.encode() if isinstance(text, str) else text, RULES, TEXT, **options)


@pytest.mark.parametrize("mark", [",", ";", "\t", "|"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_delimiters_and_line_ends(mark, end):
    table = table_of(end.join([f"id{mark}name", f'1{mark}"a{mark}b"', f"2{mark}c", ""]))
    assert table.columns["id"].values == ["1", "2"]
    assert table.columns["name"].values == [f"a{mark}b", "c"]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1256", "cp720", "iso8859_6"])
def test_tables_in_any_encoding(encoding):
    text = "الرمز,الاسم\n" + "\n".join(f"{number},{name}" for number, name in enumerate(NAMES))
    table = table_of(text.encode(encoding))
    assert list(table.columns) == ["الرمز", "الاسم"]
    assert table.columns["الاسم"].values == NAMES


def test_an_unclosed_quote_costs_its_own_line():
    lines = [f"{number},name {number}" for number in range(1000)]
    lines[499] = '499,"name 499'
    table = table_of("id,name\n" + "\n".join(lines))
    assert len(table.rows) == 999
    assert [(row, why) for row, _, why in table.aside] == [(500, "quote-open")]
    assert table.rows[-1] == 1000


def test_an_unclosed_quote_before_quoted_cells():
    lines = [f'{number},"name {number}"' for number in range(100)]
    lines[10] = '10,"name 10'
    table = table_of("id,name\n" + "\n".join(lines))
    assert len(table.rows) + len(table.aside) == 100
    assert 11 in [row for row, _, _ in table.aside]
    assert len(table.rows) >= 98


def test_cells_of_several_lines_are_one_row():
    table = table_of('id,note\n1,"a\nb\nc"\n2,d\n')
    assert (table.rows, table.columns["note"].values) == ([1, 2], ["a\nb\nc", "d"])


def test_quotes_within_cells_are_letters():
    assert table_of('id,pipe\n1,5" pipe\n2,plain\n').columns["pipe"].values == ['5" pipe', "plain"]


def test_hashtags_are_no_row():
    table = table_of("A title\nPlace,Name\n#adm3+code,#adm3+name\nSY1,a\nSY2,b\n")
    assert table.hashtags == {"Place": "#adm3+code", "Name": "#adm3+name"}
    assert (table.rows, table.skipped) == ([1, 2], 1)


def test_rows_of_another_width():
    table = table_of("a,b,c\n1,2,3\n4,5\n6,7,8,9\n10,11,12,\n")
    assert (table.rows, table.short, [row for row, _, _ in table.aside]) == ([1, 2, 4], [2], [3])


def test_names_are_made_unique_and_a_missing_header_is_suspected():
    assert list(table_of("a,,a\n1,2,3\n").columns) == ["a", "column_2", "a_3"]
    assert table_of("36.1,37.2,house,\n36.3,37.4,school,x\n").doubtful_header
    assert list(table_of("1,2\n3,4\n", header=["x", "y"]).columns["x"].values) == ["1", "3"]


@pytest.mark.parametrize(
    ("text", "what"), [("a," * 20_000, "columns"), ("a\n" + "x" * 2_000_000, "cell"), ('a\n"' + "x" * 2_000_000 + '"', "cell")]
)
def test_limits_of_tables(text, what):
    with pytest.raises(TooMuchError) as refused:
        table_of(text)
    assert refused.value.what == what


@given(st.text(alphabet='ab",;\n\r 1٣#', max_size=120))
def test_every_line_is_accounted_for(text):
    table = table_of(text)
    numbered = sorted([*table.rows, *(row for row, _, _ in table.aside)])
    assert numbered == list(range(1, len(numbered) + 1))
