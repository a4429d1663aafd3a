"""Dependencies: what an element of a network, or a facility, needs of another network to serve.

A pumping station needs its feeder, a health centre needs water and power; solar panels or a generator keep it served. Which needs
which is no matter of distance: people who know the networks write it down, in one table of the study (`[dependencies]` in
`study.toml`). Each line is one need; lines of one depender that share a `group` are alternatives, of which one is enough.
`dependee_layer` may be `backup`: then `dependee` says what it is (solar, generator), and it is there. Known bias: fuel, batteries
and hours of supply are not in it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

import pandas as pd

from geo.errors import Finding, StudyError, finding, raise_errors
from geo.messages import Message, message
from geo.names import clean
from geo.study import NETWORKS, Study

COLUMNS = ("depender_layer", "depender", "dependee_layer", "dependee")
BACKUP = "backup"
LAYERS = (*NETWORKS, "facilities")
NEEDS = ("supplied", "working")
WHERE = "dependencies"


@dataclass(frozen=True)
class Dependencies:
    """The needs of a study, and the SHA-256 of their file; "" where there is none.

    `table`: `depender_layer, depender, dependee_layer, dependee`, `group` ("" for a need by itself) and `needs`: `supplied` (the
    dependee works and is joined to a source that works) or `working`; index: row of the file, from 1.
    """

    table: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=[*COLUMNS, "group", "needs"], dtype="string"))
    file: str = ""
    sha256: str = ""


def read(study: Study) -> Dependencies:
    """The needs that a study lists; none where it has no such table.

    Raises
    ------
    StudyError
        Columns that are missing; layers or kinds of need that are not known, with their rows.
    """
    if study.dependencies is None:
        return Dependencies()
    path = study.path(study.dependencies.path)
    content = path.read_bytes()
    try:
        table = pd.read_csv(path, dtype="string", encoding="utf-8-sig", keep_default_na=False)
    except (UnicodeDecodeError, ValueError) as error:
        said = message("The table can't be read: {reason}.", reason=str(error).splitlines()[0][:200])
        raise StudyError(finding("dependencies-file", "error", WHERE, said, expected=_expected())) from None
    missing = [name for name in COLUMNS if name not in table]
    if missing:
        said = message("Columns are missing: {columns}.", columns=missing)
        raise StudyError(finding("dependencies-columns", "error", WHERE, said, expected=_expected()))
    table = table[[*COLUMNS, *(name for name in ("group", "needs") if name in table)]].apply(
        lambda one: one.map(clean).astype("string")
    )
    table.index = pd.RangeIndex(1, len(table) + 1, name="row")
    table["group"] = table.get("group", "")
    table["needs"] = table.get("needs", pd.Series("", index=table.index)).replace("", NEEDS[0])
    raise_errors(_wrong(table), StudyError)
    return Dependencies(table.astype("string"), path.name, hashlib.sha256(content).hexdigest())


def _expected() -> Message:
    return message("A CSV file in UTF-8 with the columns {columns}.", columns=(*COLUMNS, "group", "needs"))


def _wrong(table: pd.DataFrame) -> list[Finding]:
    allowed = {"depender_layer": LAYERS, "dependee_layer": (*LAYERS, BACKUP), "needs": NEEDS}
    return [
        finding(
            "dependencies-value",
            "error",
            WHERE,
            message("Column {column} holds values that are not known: {values}.", column=name, values=sorted(set(strange))),
            expected=message("Known: {known}.", known=known),
            rows=strange.index,
        )
        for name, known in allowed.items()
        if len(strange := table.loc[~table[name].isin(known), name])
    ]


def usable(dependencies: Dependencies, ids: Mapping[str, Collection[str]]) -> tuple[pd.DataFrame, tuple[Finding, ...]]:
    """The needs between elements that are there, and what is said of the others.

    A need whose depender is not there changes nothing; one whose dependee is not there is taken as met, because what nobody has
    seen is unknown and not broken.

    Parameters
    ----------
    ids
        By layer, the ids of its elements.
    """
    table = dependencies.table
    known = {**ids, BACKUP: None}
    found = []
    kept = pd.Series(data=True, index=table.index)
    for end, said in (
        ("depender", message("Elements that are said to need something are not in their layers; these needs do not count.")),
        ("dependee", message("Elements that others need are not in their layers; these needs are taken as met.")),
    ):
        there = [
            (of := known.get(layer, ())) is None or one in of for layer, one in zip(table[f"{end}_layer"], table[end], strict=True)
        ]
        astray = table.index[kept & ~pd.Series(there, index=table.index)]
        if len(astray):
            remedy = message("Correct the ids in {file}.", file=dependencies.file)
            found.append(finding(f"{end}-astray", "warning", WHERE, said, remedy=remedy, rows=astray))
        kept[astray] = False
    # one missing alternative meets its whole group
    lost = table[~table.index.isin(table.index[kept]) & (table["group"] != "")]
    met = set(zip(lost["depender_layer"], lost["depender"], lost["group"], strict=True))
    whole = [one in met for one in zip(table["depender_layer"], table["depender"], table["group"], strict=True)]
    return table[kept & ~pd.Series(whole, index=table.index)], tuple(found)
