"""Naming: the table of names that need a decision, out to a spreadsheet and back.

    measure → names without a place → table → a person writes the code of the place → checked → kept with the study

A filled-in table is taken whole or not at all. Known bias: a spreadsheet may take zeros from codes and letters from names; what
comes back must therefore be a name that was asked about and a code that exists.
"""

from __future__ import annotations

import csv
import datetime
import io
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from geo import decisions
from geo.decisions import NONE, Decision, undecided
from geo.errors import Finding, LayerError, finding, raise_errors
from geo.export import FORMULA, plain, write_whole
from geo.messages import message
from geo.names import clean
from geo.reading import FAULTS, unreadable

if TYPE_CHECKING:
    from geo.harmonise import City
    from geo.population import People

COLUMNS = ("layer", "name", "rows", "how", "score", "proposal", "candidates", "proposal_name_ar", "proposal_name_en", "id")
WHERE = "names"


def matched(city: City, people: People) -> dict[str, pd.DataFrame]:
    """By layer, the names that were needed to place rows, and what became of them (`geo.places.match`)."""
    found = {name: layer.names for name, layer in city.layers.items() if layer.names is not None and len(layer.names)}
    return found if people.names is None or people.names.empty else {**found, "population": people.names}


def open_names(city: City, people: People) -> pd.DataFrame:
    """The names that need a decision, each once a layer, in the order of layers and of their rows.

    Returns
    -------
    DataFrame
        `COLUMNS`. `rows`: how many rows bear the name; `how`: likely, ambiguous, elsewhere, other-code, unmatched; `proposal` and
        its names; `candidates`: codes; `id`: empty, for the code of the place, or "-" for none of them.
    """
    tables = []
    for layer, found in matched(city, people).items():
        known = city.decided.of(layer, city.zones.index)
        table = undecided(found[~found["name"].isin(list(known))], city.zones)
        tables.append(table.assign(layer=layer)[list(COLUMNS)])
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=list(COLUMNS))


def write_table(table: pd.DataFrame, path: Path) -> Path:
    """The table as CSV in UTF-8 with the mark that spreadsheets need, or as XLSX where the path ends so; whole or not at all.

    Raises
    ------
    ExportError
        The place can't be written.
    """
    if path.suffix.lower() == ".xlsx":
        return write_whole(path, lambda staging: _sheet(table, staging))
    return write_whole(path, lambda staging: staging.write_bytes(plain(table).to_csv(index=False).encode("utf-8-sig")))


def _sheet(table: pd.DataFrame, path: Path) -> None:
    """Every cell of text as text, so that no code loses its zeros and nothing is a formula."""
    options = {"strings_to_formulas": False, "strings_to_urls": False, "strings_to_numbers": False}
    with pd.ExcelWriter(path, engine="xlsxwriter", engine_kwargs={"options": options}) as book:
        table.to_excel(book, index=False, sheet_name=WHERE, freeze_panes=(1, 2))
        as_text = book.book.add_format({"num_format": "@"})
        sheet = book.sheets[WHERE]
        sheet.set_column(0, len(COLUMNS) - 2, 18)
        sheet.set_column(len(COLUMNS) - 1, len(COLUMNS) - 1, 14, as_text)


def read_table(path: Path) -> pd.DataFrame:
    """A filled-in table: CSV in UTF-8 with commas, semicolons or tabs, or XLSX; all cells as text, `row` from 1.

    Raises
    ------
    LayerError
        The file is not there or can't be read, or columns are missing.
    """
    if not path.is_file():
        fault = message("There is no file {path}.", path=path.name)
        raise LayerError(finding("missing-file", "error", WHERE, fault, remedy=message("Give the path of a file.")))
    try:
        table = _read_sheet(path) if path.suffix.lower() in (".xlsx", ".ods") else _read_text(path)
    except UnicodeDecodeError:
        remedy = message("Save it as XLSX, or as 'CSV UTF-8'.")
        raise LayerError(finding("not-utf-8", "error", WHERE, message("The table is not in UTF-8."), remedy=remedy)) from None
    except (*FAULTS, csv.Error) as error:
        raise unreadable(WHERE, path, error) from error
    missing = [column for column in ("layer", "name", "id") if column not in table]
    if missing:
        raise LayerError(
            finding(
                "missing-column",
                "error",
                WHERE,
                message("There is no column {columns}.", columns=missing),
                expected=message("Columns of the file: {columns}.", columns=[str(one) for one in table.columns][:40]),
                remedy=message("Fill in the table that `tarmim names --out` writes; change only the column id."),
            )
        )
    texts = table[["layer", "name", "id"]].astype("string").fillna("").map(_unquoted)
    return texts.assign(row=range(1, len(texts) + 1))


def _read_sheet(path: Path) -> pd.DataFrame:
    return pd.read_excel(path, dtype=str, engine="calamine", keep_default_na=False)


def _read_text(path: Path) -> pd.DataFrame:
    text = path.read_bytes().decode("utf-8-sig")
    first = text.partition("\n")[0]
    mark = max(",;\t", key=first.count)
    return pd.read_csv(io.StringIO(text), dtype=str, sep=mark, keep_default_na=False)


def _unquoted(text: str) -> str:
    """Without the apostrophe that keeps a spreadsheet from taking a name for a formula."""
    seen = clean(text)
    return seen[1:] if seen.startswith("'") and seen[1:].startswith(FORMULA) else seen


def decide(city: City, people: People, table: pd.DataFrame, *, by: str, now: datetime.datetime) -> tuple[Decision, ...]:
    """Keep what a filled-in table decides, if all of it can be right; rows without a code are not decided yet.

    Parameters
    ----------
    table
        Of `read_table`.

    Returns
    -------
    tuple of Decision
        Those that are new; a decision that counts already is not kept twice.

    Raises
    ------
    LayerError
        Nothing is filled in, nobody is named, codes that no neighbourhood has, names that nobody asked about, or rows that
        contradict each other; nothing is kept then.
    StudyError
        The folder of the study can't be written.
    """
    filled = table[table["id"] != ""]
    raise_errors(_faults(filled, city, matched(city, people), by), LayerError)
    chosen = filled.drop_duplicates(["layer", "name"])
    rows = [
        (layer, name, None if ident == NONE else ident)
        for layer, name, ident in chosen[["layer", "name", "id"]].to_numpy(str).tolist()
    ]
    return decisions.keep(city.study.folder, rows, by=clean(by), now=now)


def _faults(filled: pd.DataFrame, city: City, found: Mapping[str, pd.DataFrame], by: str) -> list[Finding]:
    if filled.empty:
        remedy = message("Write the code of the place into the column id, or - for none of them.")
        return [finding("nothing-decided", "error", WHERE, message("No row of the table has a code."), remedy=remedy)]
    asked = {(layer, name) for layer, table in found.items() for name in table["name"].dropna()}
    pairs = list(zip(filled["layer"], filled["name"], strict=True))
    strange = filled[[pair not in asked for pair in pairs]]
    unknown = filled[~filled["id"].isin([NONE, *city.zones.index])]
    several = filled.groupby(["layer", "name"])["id"].transform("nunique") > 1
    contradicting = filled[several]
    faults = []
    if not clean(by):
        faults.append(
            finding("nobody", "error", WHERE, message("Nobody is named who decided."), remedy=message("Say who: --by NAME."))
        )
    if len(unknown):
        faults.append(
            finding(
                "unknown-id",
                "error",
                WHERE,
                message("Codes that no neighbourhood has: {ids}.", ids=list(unknown["id"].unique())[:12]),
                expected=message("Codes of the neighbourhoods of the study, or - for none of them."),
                remedy=message("Correct the column id; a spreadsheet may have taken zeros from the codes."),
                rows=unknown["row"],
            )
        )
    if len(strange):
        faults.append(
            finding(
                "unknown-name",
                "error",
                WHERE,
                message("Names that the study does not ask about: {names}.", names=list(strange["name"].unique())[:12]),
                expected=message("Layers and names as `tarmim names` lists them."),
                remedy=message("Fill in the table that `tarmim names --out` writes; change only the column id."),
                rows=strange["row"],
            )
        )
    if len(contradicting):
        faults.append(
            finding(
                "contradicting",
                "error",
                WHERE,
                message("One name was given several places: {names}.", names=list(contradicting["name"].unique())[:12]),
                expected=message("One code a name."),
                remedy=message("Keep one of the rows."),
                rows=contradicting["row"],
            )
        )
    return faults
