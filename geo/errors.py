"""What can be wrong, said once, in both languages.

    TarmimError                  base: carries every finding of the step, not only the first
    ├── StudyError               study.toml, or a file it names
    ├── SchemeError              weights, goalposts, criteria, factor tables
    ├── LayerError               a layer that can't be read or used
    │   ├── CrsError             no CRS, a lying one, degrees where metres are needed
    │   └── SchemaError          columns, ids, geometry types
    ├── UnknownNameError         a name that no register holds
    ├── ExportError              a place that can't be written
    ├── NeedsError               prerequisites that can't be met
    └── NotInstalledError        a program that a part of the work needs is not here

A finding says what was found, what was expected, what to do, and which rows. `error` stops the run after everything has been
looked at; `warning` and `info` travel with the run to its tables.
"""

from __future__ import annotations

import errno
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from geo.messages import LANGS, Lang, Message, gettext, message, plain

if TYPE_CHECKING:
    import pandas as pd

Severity = Literal["error", "warning", "info"]
ROWS_SHOWN = 8
FULL = (errno.ENOSPC, errno.EDQUOT)
FULL_WORDS = ("No space left", "disk is full", "Disk quota exceeded")


@dataclass(frozen=True)
class Finding:
    """One thing that was noticed. `rows` are ids or row numbers as text (1 = first row of data); `count` may be larger."""

    code: str
    severity: Severity
    where: str
    found: Message
    expected: Message
    remedy: Message
    rows: tuple[str, ...] = ()
    count: int = 0

    def render(self, lang: Lang) -> str:
        """Three sentences and the rows, in one language."""
        parts = [self.found.render(lang), self.expected.render(lang), self.remedy.render(lang)]
        text = " ".join(part for part in parts if part)
        if self.rows:
            more = max(self.count, len(self.rows)) - len(self.rows[:ROWS_SHOWN])
            text += " " + gettext("Rows: {rows}.", lang, rows=self.rows[:ROWS_SHOWN])
            if more:
                text = text[:-1] + " " + gettext("and {n} more.", lang, n=more)
        return f"{plain(self.where)}: {text}"

    def record(self) -> dict[str, Any]:
        """For JSON: run.json, reports, problem details."""
        return {
            "code": self.code,
            "severity": self.severity,
            "where": self.where,
            "found": self.found.both(),
            "expected": self.expected.both(),
            "remedy": self.remedy.both(),
            "rows": list(self.rows),
            "count": max(self.count, len(self.rows)),
        }


NOTHING = Message("")
TABLE = ("severity", "code", "where", "count", "rows")


def findings_table(findings: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Findings as a table, one row each: severity, code, where, count, rows, and what was found, expected and to do, ar and en.

    `findings` are records, as of `Finding.record`, of run.json, or of a survey.
    """
    import pandas as pd

    said = [(part, lang) for lang in LANGS for part in ("found", "expected", "remedy")]
    rows = [
        {name: one[name] for name in TABLE[:-1]}
        | {"rows": ", ".join(one["rows"])}
        | {f"{part}_{lang}": one[part][lang] for part, lang in said}
        for one in findings
    ]
    return pd.DataFrame(rows, columns=[*TABLE, *(f"{part}_{lang}" for part, lang in said)])


def finding(
    code: str,
    severity: Severity,
    where: str,
    found: Message,
    *,
    expected: Message = NOTHING,
    remedy: Message = NOTHING,
    rows: Iterable[object] = (),
    count: int | None = None,
) -> Finding:
    """A finding; `count` is the number of rows where it is not the number of `rows` given."""
    names = tuple(str(row) for row in rows)
    return Finding(code, severity, where, found, expected, remedy, names[:100], len(names) if count is None else count)


class TarmimError(Exception):
    """Something the user can mend. `findings` holds all of it."""

    def __init__(self, *findings: Finding) -> None:
        super().__init__(*findings)
        self.findings: tuple[Finding, ...] = findings

    def render(self, lang: Lang) -> str:
        return "\n".join(one.render(lang) for one in self.findings)

    def __str__(self) -> str:
        return self.render("en")


class StudyError(TarmimError):
    """study.toml is missing or wrong, or names a file that is not there."""


class SchemeError(TarmimError):
    """A scheme that can't score: weights, goalposts, unknown criteria."""


class LayerError(TarmimError):
    """A layer that can't be read or used."""


class CrsError(LayerError):
    """No CRS, a lying one, or degrees where metres are needed."""


class SchemaError(LayerError):
    """A missing column, repeated ids, or the wrong kind of geometry."""


class UnknownNameError(TarmimError):
    """A name that no register holds; the message lists the known ones."""


class ExportError(TarmimError):
    """A place that can't be written."""


class NeedsError(TarmimError):
    """Works that wait for each other in a circle, or for one that is not in the list."""


class NotInstalledError(TarmimError):
    """A program that a part of the work needs is not installed."""


def errors_in(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    return tuple(one for one in findings if one.severity == "error")


def raise_errors(findings: Sequence[Finding], kind: type[TarmimError] = TarmimError) -> None:
    """Raise once, with every error found; warnings and notes alone raise nothing."""
    wrong = errors_in(findings)
    if wrong:
        raise kind(*wrong)


def is_full(error: BaseException) -> bool:
    """Whether the disk, or this user's share of it, is full.

    >>> is_full(OSError(28, "No space left on device")), is_full(OSError(13, "Permission denied"))
    (True, False)
    """
    return getattr(error, "errno", None) in FULL or any(words in str(error) for words in FULL_WORDS)


def disk_full(place: object) -> Finding:
    """There is no room, which is no fault of what was to be written or read."""
    return finding(
        "disk-full",
        "error",
        str(place),
        message("There is no room on the disk."),
        expected=message("Nothing of it was kept; what was there before is whole."),
        remedy=message("Make room on the disk and do it again."),
    )


def not_written(place: object, error: Exception) -> Finding:
    """A folder or file that the disk would not take, with the system's reason."""
    if is_full(error):
        return disk_full(place)
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return finding(
        "not-written",
        "error",
        str(place),
        message("{folder} can't be written: {reason}.", folder=place, reason=reason),
        remedy=message("Choose another folder, or make room on the disk."),
    )
