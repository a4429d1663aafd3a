"""Commands that ask what would change a rank: two runs side by side, one neighbourhood, the weights, the next survey."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from api.survey_commands import HERE, StudyOption, open_store
from api.terminal import N_, accepted, database, faults, progress, tell_findings
from geo.messages import Lang, Message, gettext, message

if TYPE_CHECKING:
    import pandas as pd

    from geo.harmonise import City
    from geo.run import Run
    from geo.scheme import Scheme

app = typer.Typer()
EXAMPLE = N_("Example:") + "\n\n"
StudyArgument = Annotated[Path, typer.Argument(metavar="STUDY", help=N_("Folder of the study (it holds study.toml)"))]
SchemeOption = Annotated[str | None, typer.Option(help=N_("Name of a scheme, or a .toml file in the study's folder"))]
LinesOption = Annotated[int, typer.Option("--top", min=0, max=100_000, help=N_("Lines of the list to show"))]
TableOption = Annotated[Path | None, typer.Option(help=N_("Write the table: a .csv or .xlsx file"))]


def _show(title: str, headings: Sequence[str], rows: Sequence[Sequence[str]], *, text: Sequence[int] = (0,)) -> None:
    """A table; the columns at `text` are words, the others numbers."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title, title_justify="left", header_style="bold")
    for position, heading in enumerate(headings):
        table.add_column(heading, justify="left" if position in text else "right")
    for row in rows:
        table.add_row(*row)
    Console(width=None if sys.stdout.isatty() else 132).print(table)


def _written(table: pd.DataFrame, out: Path | None, title: Message, lang: Lang) -> None:
    if out is not None:
        from geo.export import write_table

        write_table(table, out, title=title, lang=lang)
        typer.echo(gettext("Written to {folder}", lang, folder=out))


@app.command(
    help=N_("Why ranks differ between two runs: data, damage factors, weights, method; the parts sum to the change."),
    epilog=EXAMPLE + "tarmim compare 3f2a… 9c1d… --study homs --out difference.xlsx",
)
def compare(
    ctx: typer.Context,
    run_a: Annotated[str, typer.Argument(metavar="RUN_A", help=N_("Code of the earlier run"))],
    run_b: Annotated[str, typer.Argument(metavar="RUN_B", help=N_("Code of the later run"))],
    study: StudyOption = HERE,
    out: TableOption = None,
    top: LinesOption = 10,
) -> None:
    from geo import difference

    lang: Lang = ctx.obj
    with faults(lang):
        _, store = open_store(study)
        with store:
            found = difference.compare(store.run(run_a), store.run(run_b))
        _written(found.table.reset_index(), out, message("Difference of two runs"), lang)
    moved = found.table[found.table["change"] != 0]
    if moved.empty:
        typer.echo(gettext("No rank differs.", lang))
    else:
        title = gettext("Neighbourhoods whose rank differs: {n} of {all}", lang, n=len(moved), all=len(found.table))
        _show(
            title,
            [gettext(text, lang) for text in (N_("Code"), N_("Name"), N_("Why"))],
            [[str(unit), str(row[f"name_{lang}"]), row[f"said_{lang}"]] for unit, row in moved.head(top).iterrows()],
            text=(0, 1, 2),
        )
        typer.echo(gettext("Minus is towards the front. Each part is its mean over all orders in which they could change.", lang))
    for unit, row in found.apart.iterrows():
        typer.echo(f"{unit}  {row[f'name_{lang}']}  {row[f'reason_{lang}']}")
    tell_findings(found.findings, lang, err=False)


UnitArgument = Annotated[str, typer.Argument(metavar="UNIT", help=N_("Code or name of the neighbourhood"))]


def _assessed(study: Path, scheme: str | None, step: Callable[[Message], None]) -> tuple[City, Scheme, Run]:
    from geo import pipeline

    opened, chosen = pipeline.open_study(study, scheme)
    city = pipeline.read_city(opened, step, accepted=accepted(opened, database()))
    return city, chosen, pipeline.assess(city, chosen, step)


def _unit(run: Run, wanted: str) -> str:
    """The code of a neighbourhood that was named by its code or one of its names."""
    from geo.errors import UnknownNameError, finding

    table = run.priorities
    for column in ("id", "name_ar", "name_en"):
        if (table[column] == wanted).sum() == 1:
            return str(table.loc[table[column] == wanted, "id"].iloc[0])
    raise UnknownNameError(
        finding(
            "unknown-name",
            "error",
            "neighbourhoods",
            message("There is no neighbourhood '{id}'.", id=wanted),
            expected=message("Codes: {codes}.", codes=table["id"].sort_values().head(40).tolist()),
        )
    )


@app.command(
    help=N_("Why a neighbourhood has its rank, and the smallest change of one criterion that would give it another."),
    epilog=EXAMPLE + "tarmim explain homs N-07 --rank 3",
)
def explain(
    ctx: typer.Context,
    study: StudyArgument,
    unit: UnitArgument,
    scheme: SchemeOption = None,
    wanted: Annotated[int | None, typer.Option("--rank", min=1, help=N_("What would give it this rank"))] = None,
) -> None:
    from geo import counterfactual, scoring
    from geo.explain import label, quantity
    from geo.figures import UNKNOWN

    lang: Lang = ctx.obj
    with faults(lang), progress(lang, 20) as step:
        _, chosen, run = _assessed(study, scheme, step)
        code = _unit(run, unit)
        measures = run.priorities.drop(columns="geometry").set_index("id")
        found = counterfactual.changes_of(code, measures, chosen, rank_wanted=wanted)
    row = measures.loc[code]
    typer.echo(f"{code}  {row[f'name_{lang}']}")
    typer.echo(row[f"why_{lang}"])
    if found.empty:
        return
    for said in counterfactual.sentences(found, chosen.confidence.cutoff):
        typer.echo("· " + said.render(lang))
    reached = found[found["needed"].notna()]
    limits = reached.drop_duplicates("goal").set_index("goal")["limit"].to_dict()
    needed = {(row["measure"], row["goal"]): row["needed"] for row in reached.to_dict("records")}
    values = {row["measure"]: row["value"] for row in found.to_dict("records")}
    _show(
        gettext("What each criterion alone would have to be", lang),
        [
            gettext("Criterion", lang),
            gettext("Now", lang),
            *(gettext("for rank {place}", lang, place=limit) for limit in limits.values()),
        ],
        [
            [
                label(name)[lang],
                quantity(name, value).render(lang),
                *(quantity(name, needed[name, goal]).render(lang) if (name, goal) in needed else UNKNOWN for goal in limits),
            ]
            for name, value in values.items()
        ],
    )
    if scoring.is_relative(chosen):
        typer.echo(gettext("Scores depend on the other neighbourhoods: a nearer value is possible.", lang))
