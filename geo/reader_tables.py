"""Tables of text and their places, for the child process: CSV, spreadsheets, and what stands in their cells for a place.

Cells stay text as the file has them; only coordinates are parsed, by declared rules: digits of any script, decimal point or comma,
degrees with minutes and seconds, WKT, and the answers of ODK and Kobo (`lat lon alt accuracy`).
Known bias: columns of places are recognised by their names; a name that is not known must be declared by the sender.
"""

from __future__ import annotations

import math
import re
import zipfile
from collections.abc import Sequence
from typing import Any

from geo.archives import TooMuchError, check_directory, limits
from geo.dbf import unique
from geo.encodings import codec_of
from geo.reader_job import WGS84, Job, RefusedError, Rows, as_text, judged, note_encodings, refuse_other, set_aside
from geo.reader_layers import chosen_layer, scan_xml
from geo.text_tables import read_text_table


def text_table(job: Job) -> Rows:
    raw = job.only.read_bytes()
    if raw.startswith((b"PK\x03\x04", b"SQLite format 3", b"PAR1", b"%PDF", b"\xd0\xcf\x11\xe0")) or raw.lstrip()[:5].lower() in (
        b"<?xml",
        b"<html",
        b"<!doc",
    ):
        raise RefusedError("content-differs")
    declared = codec_of(job.order["encoding"])
    table = read_text_table(raw, job.rules, job.text_rules, declared=declared, header=job.order["header"])
    columns: dict[str, Sequence[Any]] = {name: judged(job, name, one, table.rows) for name, one in table.columns.items()}
    note_encodings(job, list(table.columns.values()), declared)
    if table.short:
        job.note("rows-short", rows=table.short, n=len(table.short))
    if table.doubtful_header:
        job.note("header-doubtful")
    if table.skipped:
        job.note("lines-skipped", n=table.skipped)
    if table.hashtags:
        job.note("hxl")
        job.hashtags.update(table.hashtags)
    return _placed(job, Rows(columns, table.rows, aside=[(row, why, text) for row, text, why in table.aside]))


def spreadsheet(job: Job) -> Rows:
    """XLSX or ODS by calamine, after its XML was found to define nothing and to stay within the limits."""
    from python_calamine import CalamineError, CalamineWorkbook

    refuse_other(job.only, b"PK\x03\x04")
    _check_package(job)
    try:
        book = CalamineWorkbook.from_path(str(job.only))
        wanted = job.order["sublayer"]
        names = (
            [wanted] if wanted is not None else [name for name in book.sheet_names if book.get_sheet_by_name(name).total_height > 0]
        )
        if wanted is None and not names:
            raise RefusedError("empty-file")
        sheet = book.get_sheet_by_name(chosen_layer(job, names if wanted is None else book.sheet_names))
        records = sheet.to_python(skip_empty_area=False)
    except CalamineError as error:
        raise ValueError(str(error)) from error
    return _placed(job, _sheet_rows(job, records))


def _check_package(job: Job) -> None:
    """The parts of a spreadsheet: no more than a zip may hold, no entities, no cell beyond the limits."""
    with zipfile.ZipFile(job.only) as package:
        check_directory(package, job.only, job.shown, limits()["archive"]["package_members"])
        for entry in package.infolist():
            if not entry.filename.lower().endswith((".xml", ".rels")):
                continue
            with package.open(entry) as part:
                raw = part.read(entry.file_size + 1)
            if entry.filename.lower().endswith(("mimetype",)) or not raw:
                continue
            scan_xml(job, raw)
            _check_cells(job, raw)


def _check_cells(job: Job, raw: bytes) -> None:
    """Refuse a sheet with one cell so far out that the empty ones before it would fill the memory."""
    rows = [int(one) for one in re.findall(rb'<(?:\w+:)?c [^>]{0,80}?r="[A-Z]{1,3}(\d{1,7})"', raw)]
    across = [_column(one) for one in re.findall(rb'<(?:\w+:)?c [^>]{0,80}?r="([A-Z]{1,3})\d{1,7}"', raw)]
    for what, number in (
        ("columns", max(across, default=0)),
        ("rows", max(rows, default=0)),
        ("cells", max(across, default=0) * max(rows, default=0)),
    ):
        if number > job.rules[what]:
            raise TooMuchError(what, number, job.rules[what])


def _column(letters: bytes) -> int:
    number = 0
    for letter in letters:
        number = number * 26 + letter - 64
    return number


def _sheet_rows(job: Job, records: Sequence[Sequence[Any]]) -> Rows:
    """Rows under the first filled line (or under the line before HXL tags); empty lines at the end don't count."""
    lines = [[None if cell == "" else cell for cell in record] for record in records]
    while lines and all(cell is None for cell in lines[-1]):
        lines.pop()
    first = next((at for at, line in enumerate(lines) if any(cell is not None for cell in line)), 0)
    header, start = job.order["header"], first
    if header is None and lines:
        tagged = next(
            (at for at, line in enumerate(lines[: job.text_rules["header_rows"] + 1]) if at > first and _is_hxl(line)), None
        )
        names = unique([as_text(cell) or "" for cell in lines[first if tagged is None else tagged - 1]])
        start = first + 1 if tagged is None else tagged + 1
        if tagged is not None:
            job.note("hxl")
            job.hashtags.update({name: str(tag) for name, tag in zip(names, lines[tagged], strict=False) if tag})
        if first:
            job.note("lines-skipped", n=first)
    else:
        names = unique(list(header or []))
    if len(names) > job.rules["columns"]:
        raise TooMuchError("columns", len(names), job.rules["columns"])
    body = lines[start:]
    rows = Rows({}, list(range(1, len(body) + 1)))
    long = {at: "cells-too-many" for at, line in enumerate(body) if any(cell is not None for cell in line[len(names) :])}
    padded = [line[: len(names)] + [None] * (len(names) - len(line)) for line in body]
    rows.columns = {name: _whole([line[at] for line in padded]) for at, name in enumerate(names)}
    for name, values in rows.columns.items():
        if any(isinstance(value, (int, float)) and abs(value) >= 1e15 for value in values):
            job.note("ids-rounded", column=name)
    set_aside(rows, long)
    return rows


def _is_hxl(line: Sequence[Any]) -> bool:
    filled = [cell for cell in line if cell is not None]
    return bool(filled) and sum(isinstance(cell, str) and bool(re.match(r"#[a-zA-Z]", cell)) for cell in filled) * 2 > len(filled)


def _whole(values: list[Any]) -> list[Any]:
    """Numbers of a sheet as whole ones where all of them are."""
    if all(value is None or (isinstance(value, float) and value.is_integer() and abs(value) < 2**53) for value in values):
        return [None if value is None else int(value) for value in values]
    return [value.isoformat() if hasattr(value, "isoformat") else value for value in values]


# -------------------------------------------------------------------------------------------------- places in tables of text
ARABIC_DIGITS = str.maketrans("٠١٢٣٤٥٦٧٨٩۰۱۲۳۴۵۶۷۸۹٫", "01234567890123456789.", "٬")
NAMED = {
    "lon": ("lon", "longitude", "long", "lng", "خط الطول", "_longitude", "_geolocation_longitude"),
    "lat": ("lat", "latitude", "خط العرض", "_latitude", "_geolocation_latitude"),
    "x": ("x", "easting", "point_x", "coord_x", "utm_x", "utm_e"),
    "y": ("y", "northing", "point_y", "coord_y", "utm_y", "utm_n"),
    "wkt": ("wkt", "geom", "the_geom", "wkt_geom", "geometry"),
}
SIDES = {
    "n": 1,
    "s": -1,
    "e": 1,
    "w": -1,
    "شمال": 1,
    "شمالا": 1,
    "ش": 1,
    "جنوب": -1,
    "ج": -1,
    "شرق": 1,
    "شرقا": 1,
    "ق": 1,
    "غرب": -1,
    "غ": -1,
}
PLAIN = re.compile(r"-?[0-9]{1,9}\.?[0-9]{0,20}")
DEGREES = re.compile(r"([+-]?\d{1,3})(?:[°º\s:d]+)(\d{1,2}(?:\.\d+)?)(?:['′’\s:m]+(\d{1,2}(?:\.\d+)?))?[\"″”'′’\s]*")
TRACE = re.compile(r"\s*-?\d+(\.\d+)?( +-?\d+(\.\d+)?){1,3}\s*(;\s*-?\d+(\.\d+)?( +-?\d+(\.\d+)?){1,3}\s*)*;?\s*")


def coordinate(value: Any) -> float:
    r"""A coordinate as written: digits of any script, decimal point or comma, degrees with minutes and seconds; else NaN.

    >>> [round(coordinate(text), 4) for text in ("36.2021", "٣٦٫٢٠٢١", "36,2021", "36°12'07.6\"N", "37 9 32 غرب", "1,234,5")]
    [36.2021, 36.2021, 36.2021, 36.2021, -37.1589, nan]
    """
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, str) or len(value) > 60:
        return math.nan
    if PLAIN.fullmatch(value):
        return float(value)
    text = value.translate(ARABIC_DIGITS).strip().replace("\u2212", "-").replace("،", ",")
    text = text.replace(",", ".") if text.count(",") == 1 and "." not in text else text
    if re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3})?", text):
        return float(text)
    found = re.fullmatch(
        r"(?P<before>[^\W\d_]*)\s*(?P<number>[^A-Za-z\u0600-\u06ff]*?[\d.'′\"″”’°]?)\s*°?\s*(?P<after>[^\W\d_]*)", text
    )
    if found is None:
        return math.nan
    side = SIDES.get((found["before"] or found["after"]).lower(), 0 if found["before"] or found["after"] else 1)
    parts = DEGREES.fullmatch(found["number"].strip())
    plain = re.fullmatch(r"([+-]?\d{1,3}(?:\.\d+)?)\s*[°º]?", found["number"].strip())
    if side == 0 or (parts is None and plain is None) or (found["before"] and found["after"]):
        return math.nan
    if plain is not None:
        return side * float(plain[1])
    assert parts is not None  # noqa: S101
    minutes, seconds = float(parts[2]), float(parts[3] or 0)
    if minutes >= 60 or seconds >= 60:
        return math.nan
    whole = abs(int(parts[1])) + minutes / 60 + seconds / 3600
    return -side * whole if parts[1].startswith("-") else side * whole


def _placed(job: Job, rows: Rows) -> Rows:
    """A table with places: from declared columns, from columns of known names, or from ODK and Kobo geo answers."""
    pairs = [("lon", "lat", job.order["crs"] or WGS84), ("x", "y", job.order["crs"])]
    for across, up, crs in pairs:
        x, y = _named_column(job, rows, across), _named_column(job, rows, up)
        if x is not None and y is not None:
            return _with_points(job, rows, x, y, crs)
    wkt = _named_column(job, rows, "wkt")
    if wkt is not None:
        return _with_wkt(job, rows, wkt)
    for name, values in rows.columns.items():
        if _is_odk(name, values):
            return _with_odk(job, rows, name)
    x, y = (
        next((one for one in rows.columns if re.fullmatch(rf"_.+_{ending}", one)), None) for ending in ("longitude", "latitude")
    )
    if x is not None and y is not None:
        return _with_points(job, rows, x, y, WGS84)
    return rows


def _named_column(job: Job, rows: Rows, ours: str) -> str | None:
    """The column that the sender says, or one of a name known for it."""
    said = job.order["columns"].get(ours)
    if said is not None:
        return said if said in rows.columns else None
    known = {name.strip().casefold(): name for name in rows.columns}
    return next((known[one] for one in NAMED[ours] if one in known), None)


def _with_points(job: Job, rows: Rows, x: str, y: str, crs: str | None) -> Rows:
    shapes = _points(rows.columns[x], rows.columns[y])
    return _if_any(job, rows, shapes, crs, [x, y])


def _if_any(job: Job, rows: Rows, shapes: Any, crs: str | None, columns: list[str]) -> Rows:
    """The table with these shapes; without, where not one row has any."""
    if not len(shapes) or all(one is None for one in shapes):
        if len(shapes):
            job.note("no-places", columns=columns)
        return rows
    job.note("points-from", columns=columns)
    rows.shapes, rows.crs = shapes, crs
    return rows


def _with_wkt(job: Job, rows: Rows, name: str) -> Rows:
    import numpy as np
    import shapely

    texts = np.empty(len(rows.row), dtype=object)
    texts[:] = [
        one.partition(";")[2] if isinstance(one, str) and one.upper().startswith("SRID=") else one for one in rows.columns[name]
    ]
    texts[:] = [surface_text(one) if isinstance(one, str) else None for one in texts]
    shapes = shapely.from_wkt(texts, on_invalid="ignore")
    failed = {at: "geometry-unreadable" for at, text in enumerate(texts) if text and shapes[at] is None}
    if len(failed) == sum(bool(text) for text in texts) and failed:
        return _if_any(job, rows, shapes, None, [name])
    rows = _if_any(job, rows, shapes, job.order["crs"] or WGS84, [name])
    set_aside(rows, failed)
    return rows


def surface_text(text: str) -> str:
    """WKT of a TIN, polyhedral surface or triangle as polygons.

    >>> surface_text("TRIANGLE((0 0,1 0,0 1,0 0))"), surface_text("TIN Z (((0 0 0,1 0 0,0 1 0,0 0 0)))")
    ('POLYGON((0 0,1 0,0 1,0 0))', 'MULTIPOLYGON Z (((0 0 0,1 0 0,0 1 0,0 0 0)))')
    """
    return re.sub(r"\bTRIANGLE\b", "POLYGON", re.sub(r"\b(TIN|POLYHEDRALSURFACE)\b", "MULTIPOLYGON", text, flags=re.I), flags=re.I)


def _is_odk(name: str, values: Sequence[Any]) -> bool:
    """Whether a column holds answers of geopoint, geotrace or geoshape: `lat lon alt accuracy`, several divided by `;`."""
    texts = [one for one in values if isinstance(one, str) and one.strip()][:500]
    telling = re.search(r"geo|gps|location|point|trace|shape|الموقع|موقع|إحداثي|احداثي", name, re.IGNORECASE) is not None
    fitting = [one for one in texts if TRACE.fullmatch(one) and (telling or len(one.split(";")[0].split()) == 4)]
    return bool(texts) and len(fitting) >= 0.8 * len(texts) and all(_odk(one) is not None for one in fitting)


def _odk(text: Any) -> Any:
    """The shape of one answer: a point, a line, or a polygon where the line ends where it began."""
    import shapely

    if not isinstance(text, str) or not TRACE.fullmatch(text):
        return None
    places = [tuple(float(part) for part in one.split()[:2]) for one in text.split(";") if one.strip()]
    if any(abs(lat) > 90 or abs(lon) > 180 for lat, lon in places):
        return None
    turned = [(lon, lat) for lat, lon in places]
    if len(turned) == 1:
        return shapely.Point(turned[0])
    return shapely.Polygon(turned) if len(turned) > 3 and turned[0] == turned[-1] else shapely.LineString(turned)


def _with_odk(job: Job, rows: Rows, name: str) -> Rows:
    import numpy as np

    shapes = np.empty(len(rows.row), dtype=object)
    shapes[:] = [_odk(one) for one in rows.columns[name]]
    return _if_any(job, rows, shapes, WGS84, [name])


def _points(x: Sequence[Any], y: Sequence[Any]) -> Any:
    import numpy as np
    import shapely

    across, up = np.array([coordinate(one) for one in x], dtype=float), np.array([coordinate(one) for one in y], dtype=float)
    points = shapely.points(across, up)
    points[np.isnan(across) | np.isnan(up)] = None
    return points
