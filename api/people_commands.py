"""Commands about people: complaints and what became of them, equity, population scenarios."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from api.terminal import N_, accepted, database, faults, progress
from geo.figures import UNKNOWN
from geo.messages import Lang, Message, gettext, message

if TYPE_CHECKING:
    import pandas as pd

    from geo.equity import Equity
    from geo.harmonise import City
    from geo.run import Run
    from geo.scheme import Scheme

app = typer.Typer()
EXAMPLE = N_("Example:") + "\n\n"
StudyArgument = Annotated[Path, typer.Argument(metavar="STUDY", help=N_("Folder of the study (it holds study.toml)"))]
SchemeOption = Annotated[str | None, typer.Option(help=N_("Name of a scheme, or a .toml file in the study's folder"))]
TopOption = Annotated[int, typer.Option(min=0, max=100_000, help=N_("Lines of the list to show"))]

QUANTITIES: dict[str, Message] = {
    "need": message("Need (score)"),
    "damaged_homes": message("People in damaged homes"),
    "spending": message("Spending"),
    "benefit": message("Benefit (people served)"),
}


def _opened(study: Path, scheme: str | None, step: Callable[[Message], None]) -> tuple[City, Scheme]:
    from geo import pipeline

    opened, chosen = pipeline.open_study(study, scheme)
    return pipeline.read_city(opened, step, accepted=accepted(opened, database())), chosen


def _show(title: str, heads: Iterable[str], rows: Iterable[Sequence[str]]) -> None:
    """A table; the first column reads from the left."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title, title_justify="left", header_style="bold")
    for number, head in enumerate(heads):
        table.add_column(head, justify="right" if number else "left")
    for row in rows:
        table.add_row(*row)
    Console(width=None if sys.stdout.isatty() else 120).print(table)


def _name(row: Mapping[str, Any], lang: Lang) -> str:
    first, second = ("name_ar", "name_en") if lang == "ar" else ("name_en", "name_ar")
    return str(row[first] or row[second] or "")


def _place(value: int | None) -> str:
    return UNKNOWN if value is None else str(value)


def _moved(value: int | None) -> str:
    return UNKNOWN if value is None else f"{value:+d}" if value else "0"


@app.command(
    help=N_("Complaints: how many troubles, open, answered and overdue by directorate, and the list of the overdue ones."),
    epilog=EXAMPLE + "tarmim complaints homs --sector water --out overdue.csv",
)
def complaints(
    ctx: typer.Context,
    study: StudyArgument,
    sector: Annotated[str | None, typer.Option(help=N_("Only this directorate, as in data/sectors.csv"))] = None,
    on: Annotated[
        str | None, typer.Option(metavar="YYYY-MM-DD", help=N_("Day that counts as today; the newest of the data"))
    ] = None,
    out: Annotated[Path | None, typer.Option(help=N_("CSV file for the overdue list"))] = None,
    top: TopOption = 10,
) -> None:
    lang: Lang = ctx.obj
    if sector is not None:
        _known_sector(sector, lang)
    day = _day(on, lang)
    with faults(lang), progress(lang, 16) as step:
        table, when = _followed(study, sector, day, step)
        if out is not None:
            from geo import complaints as measure
            from geo.export import csv_bytes, write_whole

            late = csv_bytes(measure.overdue(table))
            write_whole(out, lambda staging: staging.write_bytes(late))
    _tell_complaints(table, when, top, lang)
    if out is not None:
        typer.echo(gettext("Written to {folder}", lang, folder=out))


def _known_sector(sector: str, lang: Lang) -> None:
    from geo import registers

    known = registers.register("sectors")
    if sector not in known:
        fault = gettext("'{name}' is not known.", lang, name=sector) + " " + gettext("Known: {known}.", lang, known=list(known))
        raise typer.BadParameter(fault, param_hint="--sector")


def _day(text: str | None, lang: Lang) -> pd.Timestamp | None:
    import datetime

    import pandas as pd

    if text is None:
        return None
    try:
        return pd.Timestamp(datetime.date.fromisoformat(text))
    except ValueError:
        raise typer.BadParameter(gettext("A date such as 2026-03-29 is expected.", lang), param_hint="--on") from None


def _followed(
    study: Path, sector: str | None, on: pd.Timestamp | None, step: Callable[[Message], None]
) -> tuple[pd.DataFrame, pd.Timestamp]:
    """The complaints of a study as they stand on a day, of one directorate or all."""
    from geo import complaints as measure
    from geo.errors import LayerError, finding

    city, _ = _opened(study, None, step)
    frame = city.frame("complaints")
    if frame is None:
        raise LayerError(
            finding(
                "missing-layer",
                "error",
                "complaints",
                message("There is no layer 'complaints'."),
                remedy=message("Add [layers.complaints] to study.toml, or import a file of complaints."),
            )
        )
    when = on if on is not None else measure.newest(frame)
    if when is None:
        raise LayerError(
            finding(
                "no-date",
                "error",
                "complaints",
                message("No complaint has a date."),
                remedy=message("Say with --on which day counts as today."),
            )
        )
    table = measure.follow_up(frame, when)
    return (table if sector is None else table[table["sector"] == sector]), when


COMPLAINT_HEADS = (
    message("Directorate"),
    message("Troubles"),
    message("Reports"),
    message("Open"),
    message("Closed"),
    message("State unknown"),
    message("Overdue"),
    message("Overdue, of the open"),
    message("Days to first answer"),
    message("Changed an assessment"),
)
OVERDUE_HEADS = (
    message("Code"),
    message("Directorate"),
    message("Neighbourhood"),
    message("Due"),
    message("Days overdue"),
    message("Reports"),
)


def _tell_complaints(table: pd.DataFrame, when: pd.Timestamp, top: int, lang: Lang) -> None:
    from geo import complaints as measure
    from geo import registers
    from geo.export import records
    from geo.figures import figure, percent

    sectors = {name: registers.both(row, "name")[lang] for name, row in registers.register("sectors").items()}
    counts = ("troubles", "reports", "open", "closed", "unknown", "overdue")
    _show(
        gettext("Complaints on {day}", lang, day=when.date().isoformat()),
        [one.render(lang) for one in COMPLAINT_HEADS],
        [
            (
                sectors[row["sector"]],
                *(figure(row[one], 0) for one in counts),
                percent(row["overdue_share"]),
                figure(row["days_to_answer"], 1),
                percent(row["changed_share"]),
            )
            for row in records(measure.by_directorate(table).reset_index())
        ],
    )
    late = measure.overdue(table)
    typer.echo(gettext("Overdue: {n}. A trouble that is reported again counts once.", lang, n=len(late)))
    if len(late) and top:
        _show(
            "",
            [one.render(lang) for one in OVERDUE_HEADS],
            [
                (
                    str(row["id"]),
                    sectors[row["sector"]],
                    row["zone"] or UNKNOWN,
                    row["due"],
                    figure(row["overdue_days"], 0),
                    figure(row["reports"], 0),
                )
                for row in records(late.head(top))
            ],
        )


@app.command(
    help=N_("Equity: how evenly need, spending and benefit fall on people, and the list when those who have less count more."),
    epilog=EXAMPLE + "tarmim equity homs --lang ar",
)
def equity(ctx: typer.Context, study: StudyArgument, scheme: SchemeOption = None, top: TopOption = 10) -> None:
    from geo import equity as measure
    from geo import pipeline

    lang: Lang = ctx.obj
    with faults(lang), progress(lang, 18) as step:
        city, chosen = _opened(study, scheme, step)
        found = measure.of(pipeline.assess(city, chosen, step), city)
    _tell_inequality(found, lang)
    _tell_weighted(found, top, lang)


INEQUALITY_HEADS = (
    message("Quantity per person"),
    message("Gini"),
    message("Theil"),
    message("between districts"),
    message("within districts"),
)
WEIGHTED_HEADS = (
    message("Name"),
    message("Rank"),
    message("Weighted rank"),
    message("Moved"),
    message("Weight"),
    message("Score (0–100)"),
    message("Weighted score"),
)


def _tell_inequality(found: Equity, lang: Lang) -> None:
    from geo.export import records
    from geo.figures import figure, percent

    averse = [str(column) for column in found.measures if str(column).startswith("atkinson_")]
    _show(
        gettext("Inequality between people, by the average of their neighbourhood", lang),
        [
            *(one.render(lang) for one in INEQUALITY_HEADS),
            *(gettext("Atkinson, aversion {aversion}", lang, aversion=one.removeprefix("atkinson_")) for one in averse),
            gettext("Counted", lang),
            gettext("not counted", lang),
        ],
        [
            (
                QUANTITIES[row["quantity"]].render(lang),
                *(figure(row[one], 3) for one in ("gini", "theil", "theil_between", "theil_within", *averse)),
                figure(row["counted"], 0),
                figure(row["not_counted"], 0),
            )
            for row in records(found.measures.reset_index())
        ],
    )
    _show(
        gettext("Lorenz: what the people with least have, of the whole", lang),
        [gettext("Share of people", lang), *(QUANTITIES[str(name)].render(lang) for name in found.lorenz)],
        [tuple(percent(one) for one in row.values()) for row in records(found.lorenz.reset_index())],
    )
    for name, missing in found.left_out.items():
        if missing:
            quantity = QUANTITIES[name]
            typer.echo(
                gettext("Not counted for {quantity} (people or amount unknown): {ids}.", lang, quantity=quantity, ids=missing)
            )


def _tell_weighted(found: Equity, top: int, lang: Lang) -> None:
    from geo.equity import parameters
    from geo.export import records
    from geo.figures import figure

    eta = parameters()["weights"]["eta"]
    _show(
        gettext("The list with distributional weights (η = {eta}) beside the list without", lang, eta=eta),
        [one.render(lang) for one in WEIGHTED_HEADS],
        [
            (
                _name(row, lang),
                _place(row["rank"]),
                _place(row["weighted_rank"]),
                _moved(row["moved"]),
                figure(row["weight"], 2),
                figure(row["score"], 1),
                figure(row["weighted_score"], 1),
            )
            for row in records(found.weighted.head(top))
        ],
    )
    moving = int((found.weighted["moved"].fillna(0) != 0).sum())
    typer.echo(gettext("Neighbourhoods that move: {n} of {all}.", lang, n=moving, all=len(found.weighted)))


@app.command(
    help=N_("Rank under each population scenario of the study, and list what moves against now."),
    epilog=EXAMPLE + "tarmim scenarios homs --top 5",
)
def scenarios(ctx: typer.Context, study: StudyArgument, scheme: SchemeOption = None, top: TopOption = 10) -> None:
    from geo import pipeline
    from geo import scenarios as other

    lang: Lang = ctx.obj
    with faults(lang), progress(lang, 30) as step:
        city, chosen = _opened(study, scheme, step)
        now = pipeline.assess(city, chosen, step)
        runs = {name: pipeline.assess(other.under(city, name), chosen, step) for name in city.study.scenarios}
    if not runs:
        typer.echo(gettext("The study has no scenarios. Add [scenarios.<name>] to study.toml.", lang))
    for run in runs.values():
        _tell_movers(now, run, top, lang)


MOVER_HEADS = (
    message("Name"),
    message("Rank now"),
    message("Rank in the scenario"),
    message("Moved"),
    message("People now"),
    message("People in the scenario"),
)


def _tell_movers(now: Run, run: Run, top: int, lang: Lang) -> None:
    from geo.difference import movers
    from geo.export import records
    from geo.figures import figure

    table = movers(now, run)
    _show(
        gettext("{scenario}: {n} neighbourhoods move", lang, scenario=run.info["scenario"]["name"], n=len(table)),
        [one.render(lang) for one in MOVER_HEADS],
        [
            (
                _name(row, lang),
                _place(row["rank_now"]),
                _place(row["rank"]),
                _moved(row["moved"]),
                figure(row["people_now"], 0),
                figure(row["people"], 0),
            )
            for row in records(table.head(top))
        ],
    )
