"""The command for names that need a decision: list them, write their table, take the filled-in table back."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from api.survey_commands import now
from api.terminal import N_, accepted, database, faults, progress
from geo.messages import Lang, Message, gettext, message

if TYPE_CHECKING:
    import pandas as pd

app = typer.Typer()
EXAMPLE = N_("Example:") + "\n\n"
HOW: dict[str, Message] = {
    "likely": message("resembles {proposal}"),
    "ambiguous": message("fits several: {candidates}"),
    "elsewhere": message("fits {proposal}, which lies elsewhere"),
    "other-code": message("is the name of {proposal}, the code is another"),
    "unmatched": message("nothing like it is known"),
}


@app.command(
    help=N_("The names and codes of places that could not be placed with certainty: list, decide, keep."),
    epilog=EXAMPLE + "tarmim names homs --decide names.csv --by Layla",
)
def names(
    ctx: typer.Context,
    study: Annotated[Path, typer.Argument(metavar="STUDY", help=N_("Folder of the study (it holds study.toml)"))],
    out: Annotated[Path | None, typer.Option(help=N_("Write the table to fill in: a .csv or .xlsx file"))] = None,
    decide: Annotated[Path | None, typer.Option(help=N_("Read a filled-in table and keep what it decides"))] = None,
    by: Annotated[str, typer.Option(help=N_("Who decided"))] = "",
) -> None:
    from geo import decisions, naming, pipeline, population

    kept = None
    with faults(ctx.obj), progress(ctx.obj, 16) as step:
        opened, _ = pipeline.open_study(study)
        city = pipeline.read_city(opened, step, accepted=accepted(opened, database()))
        people = population.people(city)
        if decide is not None:
            kept = naming.decide(city, people, naming.read_table(decide), by=by, now=now())
            city = replace(city, decided=decisions.read(city.study.folder))
        table = naming.open_names(city, people)
        if out is not None:
            naming.write_table(table, out)
    if kept is not None:
        typer.echo(gettext("New decisions kept: {n}. The next check and run use them.", ctx.obj, n=len(kept)))
    _tell(table, ctx.obj)
    if out is not None:
        typer.echo(gettext("Written to {folder}", ctx.obj, folder=out))
        typer.echo(gettext("Fill in the column id, then: tarmim names STUDY --decide FILE --by NAME", ctx.obj))


def _tell(table: pd.DataFrame, lang: Lang) -> None:
    """One line a name: layer, name, rows, and what it may be."""
    if table.empty:
        typer.echo(gettext("No name needs a decision.", lang))
        return
    typer.echo(gettext("Names that need a decision: {n}.", lang, n=len(table)))
    for row in table.astype("string").fillna("").to_dict("records"):
        named = " / ".join(row[one] for one in ("proposal_name_ar", "proposal_name_en") if row[one])
        proposal = f"{row['proposal']} {named}".strip()
        how = replace(HOW[row["how"]], values={"proposal": proposal, "candidates": row["candidates"]}).render(lang)
        typer.echo(f"{row['layer']}  {row['name']}  ×{row['rows']}  {how}")
