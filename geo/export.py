"""Export: the tables of a run in the formats people open: CSV, XLSX, GeoJSON, GeoPackage, GeoParquet.

All come from the same run and hold the same numbers, unrounded; only what a spreadsheet *shows* is rounded. Text that a
spreadsheet would take for a formula gets a leading apostrophe in CSV and is written as a typed string in XLSX. GeoJSON is in
WGS 84 (RFC 7946); the others keep the study's CRS.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import geopandas as gpd
import numpy as np
import orjson
import pandas as pd
import pyogrio
import shapely
from xlsxwriter.exceptions import XlsxWriterException

from geo.confidence import COLUMNS as SURE
from geo.errors import ExportError, not_written
from geo.explain import label
from geo.messages import FSI, LANGS, PDI, Lang, Message, gettext, message
from geo.overrides import COLUMNS as DECIDED
from geo.run import Run
from geo.scoring import METHOD_NAMES, NORMALISATION_NAMES
from geo.staging import flush

if TYPE_CHECKING:
    from xlsxwriter.format import Format
    from xlsxwriter.workbook import Workbook
    from xlsxwriter.worksheet import Worksheet

FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
NO_ISOLATES = dict.fromkeys(map(ord, (FSI, PDI)))  # old spreadsheets draw them as boxes
WIDTHS = {
    "why_ar": 70,
    "why_en": 70,
    "would_be_ar": 70,
    "would_be_en": 70,
    "name_ar": 22,
    "name_en": 22,
    "district": 24,
    "status": 28,
}
SHEET_ROWS = 5_000
DEGREES = 7

HEADINGS: dict[str, Message] = {
    "rank": message("Rank"),
    "tied": message("Tied"),
    "decided_rank": message("Rank decided"),
    "decided_by": message("Decided by"),
    "decided_on": message("Decided on"),
    "decided_why": message("Reason of the decision"),
    "rank_low": message("Rank, low (5% of draws)"),
    "rank_high": message("Rank, high (95% of draws)"),
    "rank_median": message("Rank, middle of the draws"),
    "band": message("Band"),
    "chance_first": message("Chance of being first"),
    "rank_without_complaints": message("Rank without complaints"),
    "status": message("Status"),
    "id": message("Code"),
    "name_ar": message("Name (Arabic)"),
    "name_en": message("Name (English)"),
    "district": message("District"),
    "score": message("Score (0–100)"),
    "score_low": message("Score, low"),
    "score_high": message("Score, high"),
    "coverage": message("Coverage of the weights"),
    "why": message("Why"),
    "would_be": message("What would change its rank"),
    "layer": message("Layer"),
    "row": message("Row"),
    "reason": message("Reason"),
    "value": message("Value"),
}
STATUS = {"ranked": message("ranked"), "not_assessable": message("not assessable: survey needed")}
BOUNDS = {
    "_low": message("{label}, low"),
    "_high": message("{label}, high"),
    "_coverage": message("{label}, coverage"),
    "_note": message("{label}, note"),
}


def plain(table: pd.DataFrame) -> pd.DataFrame:
    """The table without geometry, text made safe for spreadsheets: a leading apostrophe before what looks like a formula.

    >>> plain(pd.DataFrame({"name": ["=1+1", "Hanano"], "n": [-1.0, 2.0]})).to_dict("list")
    {'name': ["'=1+1", 'Hanano'], 'n': [-1.0, 2.0]}
    """
    flat = pd.DataFrame(table.drop(columns="geometry", errors="ignore"))
    for column in flat.columns[[pd.api.types.is_string_dtype(kind) for kind in flat.dtypes]]:
        text = flat[column].astype("string").str.translate(NO_ISOLATES)
        text = text.mask(text.str.startswith(FORMULA, na=False), "'" + text)
        flat[column] = text.str.replace("\r\n?", "\n", regex=True)  # a lone CR ends the row for a reader, and is not quoted
    return flat


def csv_bytes(table: pd.DataFrame) -> bytes:
    """UTF-8 with a byte-order mark, so that a spreadsheet reads the Arabic; unknown is empty, never zero."""
    return plain(table).to_csv(index=False, lineterminator="\n").encode("utf-8-sig")


def geojson_bytes(table: gpd.GeoDataFrame) -> bytes:
    """RFC 7946: WGS 84, seven decimals (a centimetre), properties as in the table, unknown as null."""
    return orjson.dumps({"type": "FeatureCollection", "features": features(table.to_crs("EPSG:4326"))})


def features(placed: gpd.GeoDataFrame, *, digits: int = DEGREES) -> list[dict[str, Any]]:
    """GeoJSON features of a table, in WGS 84 where it is to be RFC 7946, ready for orjson; a row without a code has no `id`.

    `digits` are the decimals of the coordinates.
    """
    return [
        {"type": "Feature", **({} if row.get("id") is None else {"id": row["id"]}), "properties": row, "geometry": shape}
        for row, shape in zip(records(placed), fragments(placed.geometry.to_numpy(), digits=digits), strict=True)
    ]


def fragments(shapes: Any, *, digits: int = DEGREES) -> list[orjson.Fragment | None]:
    """Shapes as pieces of GeoJSON for orjson, rings wound as RFC 7946 wants them; None where there is none."""
    wound = shapely.orient_polygons(shapely.set_precision(shapes, 10.0**-digits, mode="pointwise"))
    return [None if one is None else orjson.Fragment(one) for one in shapely.to_geojson(wound)]


def records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows as plain values: NaN and NA become None, numpy numbers become Python's."""
    flat = pd.DataFrame(table.drop(columns="geometry", errors="ignore"))
    columns = {name: _values(flat[name]) for name in flat.columns}
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _values(column: pd.Series[Any]) -> list[Any]:
    if pd.api.types.is_datetime64_any_dtype(column):
        column = column.dt.strftime("%Y-%m-%d")
    values, unknown = column.astype(object).to_numpy(copy=True), column.isna().to_numpy()
    values[unknown] = None
    return list(values.tolist())


def parquet_bytes(table: gpd.GeoDataFrame) -> bytes:
    """GeoParquet 1.1 with a bounding-box column, zstd."""
    out = BytesIO()
    table.to_parquet(out, compression="zstd", write_covering_bbox=True, schema_version="1.1.0", index=False)
    return out.getvalue()


def write_gpkg(run: Run, path: Path, table: gpd.GeoDataFrame | None = None) -> None:
    """A GeoPackage with the layers `priorities` and `left_out`, and a layer of each further table that has shapes."""
    path.unlink(missing_ok=True)
    priorities = run.priorities if table is None else table
    pyogrio.write_dataframe(priorities, path, layer="priorities", driver="GPKG", promote_to_multi=True)
    shaped = {name: further for name, further in run.tables.items() if isinstance(further, gpd.GeoDataFrame)}
    for name, further in {"left_out": run.left_out, **shaped}.items():
        if len(further):
            pyogrio.write_dataframe(further, path, layer=name, driver="GPKG", append=True, geometry_type="Unknown")


def write_xlsx(run: Run, out: Path | BytesIO, table: pd.DataFrame | None = None, *, first: Lang = "ar") -> None:
    """A workbook: the list in Arabic (right to left) and in English, sources and method, left-out rows with reasons.

    `first` is the language of the sheet that opens.
    """
    import xlsxwriter

    priorities = run.priorities if table is None else table
    book = xlsxwriter.Workbook(
        out,
        {
            "strings_to_formulas": False,
            "strings_to_urls": False,
            "strings_to_numbers": False,
            "nan_inf_to_errors": False,
            "constant_memory": False,
        },
    )
    book.set_properties({"title": run.info["study"]["name"][first], "comments": f"Tarmim {run.info['tarmim']}, {run.id}"})
    langs: tuple[Lang, ...] = (first, *(lang for lang in LANGS if lang != first))
    for lang in langs:
        _list_sheet(book, run, priorities, lang)
    _method_sheet(book, run, first)
    for name, further in run.tables.items():
        if run.info.get("tables", {}).get(name, {}).get("sheet") is False:  # a table as wide as the list is for machines
            continue
        _further_sheet(book, further, run.info.get("tables", {}).get(name, {}), name, first)
    _left_out_sheet(book, run, first)
    book.close()


def write_table(table: pd.DataFrame, path: Path, *, title: Message, lang: Lang) -> Path:
    """A table beside the list as XLSX, one sheet, where the path ends so, else as CSV; whole or not at all.

    Raises
    ------
    ExportError
        The place can't be written.
    """
    if path.suffix.lower() == ".xlsx":
        return write_whole(path, lambda staging: write_sheet(table, staging, {"title": title.both()}, lang=lang))
    return write_whole(path, lambda staging: staging.write_bytes(csv_bytes(table)))


def write_works(table: gpd.GeoDataFrame, said: pd.DataFrame, path: Path, *, layer: str, title: Message, lang: Lang) -> Path:
    """A list of works: `table` with its places as .gpkg or .geojson (degrees), `said`, in words, without them as .xlsx or .csv.

    Raises
    ------
    ExportError
        The place can't be written.
    """
    if path.suffix.lower() == ".gpkg":
        return write_whole(path, lambda staging: pyogrio.write_dataframe(table, staging, layer=layer, driver="GPKG"))
    if path.suffix.lower() == ".geojson":
        flat = table.to_crs("EPSG:4326")
        return write_whole(path, lambda staging: pyogrio.write_dataframe(flat, staging, driver="GeoJSON"))
    return write_table(said, path, title=title, lang=lang)


def write_sheet(table: pd.DataFrame, out: Path | BytesIO, labels: dict[str, Any], *, lang: Lang) -> None:
    """A further table of a run (`Run.tables`, with its labels) as a workbook of one sheet."""
    import xlsxwriter

    with xlsxwriter.Workbook(out, {"strings_to_formulas": False, "strings_to_urls": False, "nan_inf_to_errors": False}) as book:
        _further_sheet(book, table, labels, "", lang)


def heading(column: str, lang: Lang) -> str:
    """The heading of a column of the list, in a language.

    >>> heading("contribution_people", "en"), heading("damage_index_low", "en")
    ('Points: People', 'Damage index, low')
    """
    if column in HEADINGS:
        return HEADINGS[column].render(lang)
    if column.startswith("chance_top_"):
        return gettext("Chance of being among the first {top}", lang, top=int(column.removeprefix("chance_top_")))
    if column.startswith("contribution_"):
        return gettext("Points: {label}", lang, label=label(column.removeprefix("contribution_")))
    for end, template in BOUNDS.items():
        if column.endswith(end):
            return message(template.text, label=label(column.removesuffix(end))).render(lang)
    return label(column)[lang]


def _columns(run: Run, table: pd.DataFrame, lang: Lang) -> list[str]:
    """What the sheet of a language shows: no axis codes, no other language's explanation, no reason codes."""
    names = ("name_ar", "name_en") if lang == "ar" else ("name_en", "name_ar")
    moved = [name for name in DECIDED if name in table]
    first = ["rank", "tied", *moved, "status", "id", *names, "district", "score", "score_low", "score_high", "coverage"]
    drawn = [name for name in map(str, table) if name in SURE or name.startswith("chance_top_")]
    first += [*drawn, *(name for name in ("rank_without_complaints",) if name in table)]
    points = [f"contribution_{name}" for name in run.criteria() if f"contribution_{name}" in table]
    measured = [f"{name}{end}" for name in run.measures() for end in ("", "_low", "_high", "_coverage") if f"{name}{end}" in table]
    why = [name for name in (f"why_{lang}", f"would_be_{lang}") if name in table]
    return [*first, *points, *why, *measured]


def _list_sheet(book: Workbook, run: Run, table: pd.DataFrame, lang: Lang) -> None:
    sheet = book.add_worksheet(gettext("Priorities", lang))
    columns = _columns(run, table, lang)
    styles = _Styles(book, lang)
    rtl = lang == "ar"
    if rtl:
        sheet.right_to_left()
    title = run.info["study"]["name"][lang]
    _say(
        sheet,
        0,
        0,
        gettext(
            "{study}: ranked list of neighbourhoods. Run {run}. Scheme: {scheme}.",
            lang,
            study=title,
            run=run.id,
            scheme=run.info["scheme"]["name"],
        ),
        styles.title,
    )
    if run.info["study"]["generated"]:
        _say(sheet, 1, 0, gettext("Generated demonstration data: nothing in it describes a real place.", lang), styles.title)
    decimals = {one["id"]: one["decimals"] for one in run.info["measures"]}
    for position, column in enumerate(columns):
        text = heading(column.removesuffix(f"_{lang}") if column.startswith(("why_", "would_be_")) else column, lang)
        _say(sheet, 2, position, text, styles.head)
        sheet.set_column(position, position, WIDTHS.get(column, 13))
        _write_column(
            sheet, 3, position, _shown_column(table, column, lang), styles.number(_decimals(column, decimals)), styles.text
        )
    sheet.freeze_panes(3, 6)
    sheet.autofilter(2, 0, 2 + len(table), len(columns) - 1)
    sheet.set_landscape()
    sheet.set_paper(9)
    sheet.repeat_rows(2)
    sheet.fit_to_pages(1, 0)
    sheet.print_area(0, 0, 2 + len(table), min(10, len(columns) - 1))


def _decimals(column: str, decimals: dict[str, int]) -> int:
    if column in ("id", "band") or column == "rank" or column.startswith("rank_"):
        return 0
    if column.startswith("chance_"):
        return 2
    for end in ("_low", "_high"):
        column = column.removesuffix(end)
    return decimals.get(column, 2 if column.endswith("coverage") else 1)


def _shown_column(table: pd.DataFrame, column: str, lang: Lang) -> list[Any]:
    values = _values(table[column])
    if column == "status":
        return [STATUS[one].render(lang) for one in values]
    if column == "tied":
        return [gettext("yes", lang) if one else "" for one in values]
    return values


def _write_column(sheet: Worksheet, top: int, position: int, values: list[Any], number: Format, text: Format) -> None:
    for row, value in enumerate(values, start=top):
        if value is None or value == "":
            continue
        if isinstance(value, (int, float, np.number)) and not isinstance(value, bool):
            sheet.write_number(row, position, float(value), number)
        else:
            _say(sheet, row, position, str(value), text)


def _say(sheet: Worksheet, row: int, position: int, text: str, style: Format) -> None:
    """A typed text cell: never a formula, never longer than a cell holds, without isolates."""
    sheet.write_string(row, position, text.translate(NO_ISOLATES)[:32_000], style)


class _Styles:
    """The few cell formats of a sheet, read from its side."""

    def __init__(self, book: Workbook, lang: Lang) -> None:
        side = {"reading_order": 2, "align": "right"} if lang == "ar" else {"reading_order": 1}
        self.book = book
        self.title = book.add_format({"bold": True, "font_size": 13, **side})
        self.head = book.add_format({"bold": True, "text_wrap": True, "valign": "top", "bottom": 1, "bg_color": "#E6EEF5", **side})
        self.text = book.add_format({"valign": "top"})
        self.numbers: dict[int, Format] = {}

    def number(self, decimals: int) -> Format:
        if decimals not in self.numbers:
            self.numbers[decimals] = self.book.add_format(
                {"num_format": "#,##0" + ("." + "0" * decimals if decimals else ""), "valign": "top"}
            )
        return self.numbers[decimals]


def _method_sheet(book: Workbook, run: Run, first: Lang) -> None:
    """Sources and method, in both languages side by side."""
    sheet = book.add_worksheet(gettext("Sources and method", first))
    if first == "ar":
        sheet.right_to_left()
    styles = _Styles(book, first)
    for line, texts in enumerate(method_lines(run)):
        style = styles.head if texts["head"] else styles.text
        for position, lang in enumerate(LANGS):
            _say(sheet, line, position, texts[lang], style)
    sheet.set_column(0, 1, 90)


def method_lines(run: Run) -> list[dict[str, Any]]:
    """What a reader needs to check the list: layers with sources and hashes, criteria with goalposts and reasons, findings."""
    info, scheme = run.info, run.info["scheme"]
    labels = {one["id"]: one["label"] for one in info["measures"]}
    lines: list[tuple[bool, Message]] = [(True, message("Sources"))]
    lines += [
        (
            False,
            message(
                "{layer}: {source}. Date: {date}. Licence: {licence}. Rows read: {read}; left out: {left}. SHA-256: {hash}",
                layer=one["label"],
                source=one["source"],
                date=one["date"] or "-",
                licence=one["licence"] or "-",
                read=one["rows_read"],
                left=one["rows_left_out"],
                hash=one["sha256"],
            ),
        )
        for one in info["layers"]
    ]
    lines.append((True, message("Method")))
    if "scenario" in info:
        lines.append((False, message("Population scenario: {scenario}.", scenario=info["scenario"]["name"])))
    lines += [
        (
            False,
            message(
                "Scheme {name}, version {version}; damage factors: {factors}.",
                name=scheme["name"],
                version=scheme["version"],
                factors=scheme["factors"]["name"],
            ),
        ),
        (
            False,
            _how_scored(scheme),
        ),
        (
            False,
            message(
                "Below {share} % of the weights known a neighbourhood is not assessable: survey needed.",
                share=round(scheme["minimum_coverage"] * 100),
            ),
        ),
    ]
    lines += [
        (
            False,
            message(
                "{label}: weight {weight} %, goalposts {low} to {high}, {direction}. {reason}",
                label=labels.get(one["measure"], label(one["measure"])),
                weight=round(one["weight"] * 100, 1),
                low=one["goalposts"][0],
                high=one["goalposts"][1],
                direction=message("more is more urgent") if one["direction"] == "more" else message("less is more urgent"),
                reason=one["reason"],
            ),
        )
        for one in scheme["criteria"]
    ]
    lines.append((True, message("What was noticed")))
    rendered = [{"head": head, **{lang: text.render(lang) for lang in LANGS}} for head, text in lines]
    noticed = [{"head": False, **{lang: _noticed(one, lang) for lang in LANGS}} for one in info["findings"]]
    versions = ", ".join(f"{name} {number}" for name, number in info["versions"].items())
    return [
        *rendered,
        *noticed,
        {"head": False, **dict.fromkeys(LANGS, f"Tarmim {info['tarmim']} ({versions}); {run.id}")},
    ]


def _how_scored(scheme: dict[str, Any]) -> Message:
    if (scheme["method"], scheme["normalisation"]) == ("weighted_sum", "goalposts"):
        return message(
            "Score = 100 × sum of weight × value between its goalposts, over the sum of the known weights. "
            "Unknown values never count as zero."
        )
    return message(
        "Score: {method}, values by {normalisation}, over the known criteria. Unknown values never count as zero.",
        method=METHOD_NAMES[scheme["method"]],
        normalisation=NORMALISATION_NAMES[scheme["normalisation"]],
    )


def _noticed(one: dict[str, Any], lang: Lang) -> str:
    return " ".join(part for part in (f"{one['where']}:", one["found"][lang], one["expected"][lang], one["remedy"][lang]) if part)


def _further_sheet(book: Workbook, table: pd.DataFrame, labels: dict[str, Any], name: str, first: Lang) -> None:
    """A further table of the run, as it stands, under its own title and headings."""
    sheet = book.add_worksheet(labels.get("title", {}).get(first, name)[:31])
    if first == "ar":
        sheet.right_to_left()
    styles, comma = _Styles(book, first), "، " if first == "ar" else ", "
    words = labels.get("values", {})
    table = table.drop(columns="geometry", errors="ignore")
    for position, column in enumerate(table.columns):
        _say(sheet, 0, position, labels.get("columns", {}).get(column, {}).get(first, str(column)), styles.head)
        decimals = 0 if pd.api.types.is_integer_dtype(table[column]) else 1
        values = _values(table[column])
        if column in words:  # codes, separated by spaces
            values = [comma.join(words[column].get(code, {}).get(first, code) for code in str(one).split()) for one in values]
        _write_column(sheet, 1, position, values, styles.number(decimals), styles.text)
    sheet.set_column(0, max(len(table.columns) - 1, 0), 16)
    sheet.freeze_panes(1, 1)


def _left_out_sheet(book: Workbook, run: Run, first: Lang) -> None:
    """Left-out rows; beyond 5,000 of one layer and reason the sheet says how many more `left_out.csv` holds."""
    sheet = book.add_worksheet(gettext("Left out", first))
    if first == "ar":
        sheet.right_to_left()
    styles = _Styles(book, first)
    for position, name in enumerate(("layer", "row", "id", "reason", "reason", "value")):
        _say(sheet, 0, position, HEADINGS[name].render(first), styles.head)
    shown = run.left_out.groupby(["layer", "reason"], sort=False).head(SHEET_ROWS)
    for position, column in enumerate(("layer", "row", "id", "reason_ar", "reason_en", "value")):
        _write_column(sheet, 1, position, _values(shown[column]), styles.number(0), styles.text)
        sheet.set_column(position, position, 32 if column.startswith("reason") else 16)
    counts = run.left_out.groupby(["layer", "reason"], sort=False).size()
    line = len(shown) + 1
    for (layer, _), count in counts[counts > SHEET_ROWS].items():
        for position, lang in ((3, LANGS[0]), (4, LANGS[1])):
            _say(sheet, line, position, gettext("{n} more rows are in left_out.csv", lang, n=int(count - SHEET_ROWS)), styles.text)
        _say(sheet, line, 0, str(layer), styles.text)
        line += 1


def _write_csv(run: Run, path: Path) -> None:
    path.write_bytes(csv_bytes(run.priorities))


WRITERS: dict[str, Callable[[Run, Path], None]] = {
    "priorities.csv": _write_csv,
    "priorities.xlsx": write_xlsx,
    "priorities.geojson": lambda run, path: _bytes(path, geojson_bytes(run.priorities)),
    "priorities.gpkg": write_gpkg,
    "priorities.parquet": lambda run, path: _bytes(path, parquet_bytes(run.priorities)),
    "left_out.csv": lambda run, path: _bytes(path, csv_bytes(run.left_out)),
    "run.json": lambda run, path: _bytes(path, json.dumps(run.info, ensure_ascii=False, indent=1).encode()),
}


def _bytes(path: Path, content: bytes) -> None:
    path.write_bytes(content)


def export(run: Run, folder: Path, names: Sequence[str] = tuple(WRITERS)) -> list[Path]:
    """Write the tables of a run into a folder; each file appears whole or not at all.

    Raises
    ------
    ExportError
        The folder can't be made or written.
    """
    return [write_whole(folder / name, partial(WRITERS[name], run)) for name in names]


def write_whole(path: Path, write: Callable[[Path], object]) -> Path:
    """Let `write` fill a file beside its place, then move it there: readers see the old file or the new one, never a half.

    When it returns, the file is on the disk, so that a power cut leaves it as it is.

    Raises
    ------
    ExportError
        The place can't be written.
    """
    staging = path.with_name(f".making-{path.name}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write(staging)
        flush(staging)
        staging.replace(path)
        flush(path.parent)
        return path
    except (OSError, pyogrio.errors.DataSourceError, XlsxWriterException) as error:
        raise ExportError(not_written(path.parent, error)) from error
    finally:
        with suppress(OSError):
            staging.unlink()
