"""Decisions: which place a name means, said once by a person and kept with the study for every delivery after it.

`decisions/names.csv` in the study's folder has one line a decision: layer, name as it was delivered, the neighbourhood's code or
"-" for none of them, who, and when. Lines are only added; the last one of a name counts. The file is part of what goes into a
run. Known bias: a decision holds for a name, so two places that one layer calls alike can't be told apart by it.
"""

from __future__ import annotations

import csv
import datetime
import hashlib
import io
import os
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from geo import staging
from geo.errors import Finding, StudyError, finding, not_written
from geo.messages import message
from geo.names import clean, limit
from geo.places import AUTOMATIC

FILE = "decisions/names.csv"
HEADER = ("layer", "name", "id", "by", "at")
NONE = "-"


@dataclass(frozen=True)
class Decision:
    """Who decided when (UTC, ISO 8601) that a name of a layer means a neighbourhood; None means none of them."""

    layer: str
    name: str
    id: str | None
    by: str
    at: str


@dataclass(frozen=True)
class Decided:
    """The decisions of a study in their order, and the SHA-256 of their file; "" where there is none."""

    made: tuple[Decision, ...] = ()
    sha256: str = ""

    def of(self, layer: str, zones: Iterable[Hashable] = ()) -> dict[str, Hashable]:
        """The place by name; a decision for a code that is not among `zones` (where given) does not count."""
        there = set(zones)
        last: dict[str, Hashable] = {one.name: one.id for one in self.made if one.layer == layer}
        return {name: ident for name, ident in last.items() if ident is None or not there or ident in there}

    def astray(self, zones: Iterable[Hashable]) -> tuple[Finding, ...]:
        """A finding for decisions whose neighbourhood is no longer there."""
        there = set(zones)
        layers = dict.fromkeys(one.layer for one in self.made)
        lost = [f"{name} → {ident}" for layer in layers for name, ident in self.of(layer).items() if ident not in {None, *there}]
        if not lost:
            return ()
        found = message(
            "Decisions for neighbourhoods that are not there: {names}.", names=lost[: int(limit("recognition", "shown"))]
        )
        remedy = message("Decide them again: tarmim names.")
        return (finding("decision-astray", "warning", FILE, found, remedy=remedy, count=len(lost)),)


def read(study: Path) -> Decided:
    """The decisions of a study's folder; none where nobody decided anything.

    Raises
    ------
    StudyError
        The file is not as it was written.
    """
    path = study / FILE
    try:
        content = path.read_bytes() if path.is_file() else b""
    except OSError as error:
        raise StudyError(not_written(path.parent, error)) from error
    if not content:
        return Decided()
    try:
        head, *rows = csv.reader(io.StringIO(content.decode("utf-8-sig"), newline=""), strict=True)
    except (UnicodeDecodeError, csv.Error, ValueError):
        head, rows = [], []
    broken = [str(number) for number, row in enumerate(rows, 1) if len(row) != len(HEADER) or not all(row)]
    if tuple(head) != HEADER or broken:
        raise StudyError(
            finding(
                "decisions-broken",
                "error",
                FILE,
                message("The file of decisions can't be read."),
                expected=message("A CSV in UTF-8 with the columns {columns}.", columns=HEADER),
                remedy=message("Put back the copy of a backup, or remove the rows that were changed by hand."),
                rows=broken,
            )
        )
    made = tuple(Decision(layer, clean(name), None if ident == NONE else ident, by, at) for layer, name, ident, by, at in rows)
    return Decided(made, hashlib.sha256(content).hexdigest())


def keep(study: Path, decided: Sequence[tuple[str, str, str | None]], *, by: str, now: datetime.datetime) -> tuple[Decision, ...]:
    """Add decisions (layer, name, code or None) to those of a study, all or none; one that says what counts already is not added.

    Raises
    ------
    StudyError
        The file is broken, or the disk would not take it.
    """
    at = now.astimezone(datetime.UTC).isoformat(timespec="seconds")
    try:
        with staging.gate(study):
            known = read(study)
            counts = {(one.layer, one.name): one.id for one in known.made}
            new = tuple(
                Decision(layer, clean(name), ident, by, at)
                for layer, name, ident in decided
                if counts.get((layer, clean(name)), "") != ident
            )
            if new:
                _write(study, (*known.made, *new))
    except OSError as error:
        raise StudyError(not_written(study / Path(FILE).parent, error)) from error
    return new


def _write(study: Path, made: Sequence[Decision]) -> None:
    """The whole file anew beside its place, then moved there: at no moment is half of it to be seen."""
    path = study / FILE
    staging.make_folder(path.parent, study)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with beside.open("w", encoding="utf-8-sig", newline="") as file:
            rows = ((one.layer, one.name, one.id or NONE, one.by, one.at) for one in made)
            csv.writer(file).writerows([HEADER, *rows])
        staging.flush(beside)
        beside.replace(path)
        staging.flush(path.parent)
    finally:
        beside.unlink(missing_ok=True)


def undecided(
    found: pd.DataFrame, known: pd.DataFrame | None = None, *, by: Sequence[str] = ("name_ar", "name_en")
) -> pd.DataFrame:
    """The names that need a decision, each once: `name, rows, how, score, proposal, candidates`, and the proposal's own names.

    A person writes the place into `id` of this table; `decisions` reads it back for the next `match`.
    """
    table = found[~found["how"].isin(AUTOMATIC)].assign(name=lambda one: one["name"].fillna(""))
    table = table[table["name"] != ""]
    columns = ["name", "rows", "how", "score", "proposal", "candidates"]
    counted = table.groupby("name", sort=False).agg(
        rows=("how", "size"), how=("how", "first"), score=("score", "first"), proposal=("proposal", "first")
    )
    first = table.drop_duplicates("name").set_index("name")["candidates"]
    joined = counted.join(first.map(lambda ids: ", ".join(map(str, ids)))).reset_index()[columns]
    for column in by if known is not None else ():
        if known is not None and column in known:
            joined[f"proposal_{column}"] = joined["proposal"].map(known[column])
    return joined.assign(id=pd.Series(pd.NA, index=joined.index, dtype="string"))


def decisions(table: pd.DataFrame) -> dict[str, Hashable]:
    """Decisions of a filled-in table of `undecided`: place by name; "-" means none of the known, empty is not yet decided."""
    filled = table[table["id"].notna() & (table["id"] != "")]
    return {
        clean(name): None if str(ident).strip() == "-" else ident for name, ident in zip(filled["name"], filled["id"], strict=True)
    }


def noted(found: pd.DataFrame, where: str) -> tuple[Finding, ...]:
    """What became of the names: one finding a kind of outcome that needs a person. Rows are those of `row`, else of the index."""
    said = {
        "likely": message("Names that resemble a known place and were not taken:"),
        "ambiguous": message("Names that fit several places, or a part of one:"),
        "elsewhere": message("Names that fit a place which lies elsewhere on the map:"),
        "other-code": message("Names of a known place in rows that have the code of another:"),
        "unmatched": message("Names that no known place has:"),
    }
    remedy = message("Decide them with `tarmim names`; a decision is kept for the next delivery.")
    findings = []
    asked = found[found["name"].fillna("").ne("")]
    most = int(limit("recognition", "shown"))
    coded = asked["by_code"] if "by_code" in asked else pd.Series(False, index=asked.index)
    if coded.any():
        rows = asked[coded]
        codes = list(dict.fromkeys(f"{code} → {meant}" for code, meant in zip(rows["name"], rows["proposal"], strict=True)))
        whole = message("Zeros or letters were lost from codes, as spreadsheets do: {codes}.", codes=codes[:most])
        findings.append(
            finding("pcode-zeros", "warning", where, whole, remedy=remedy, rows=rows.get("row", rows.index), count=len(rows))
        )
    for how, text in said.items():
        rows = asked[(asked["how"] == how) & ~coded]
        if len(rows):
            whole = message("{said} {names}.", said=text, names=list(rows["name"].drop_duplicates().head(most)))
            findings.append(
                finding(f"names-{how}", "warning", where, whole, remedy=remedy, rows=rows.get("row", rows.index), count=len(rows))
            )
    return tuple(findings)
