"""Commands for finished runs: bundle one with all that went into it, compute a bundle again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from api.survey_commands import EXAMPLE, HERE, StudyOption, open_store
from api.terminal import N_, faults, tell_findings
from geo.messages import gettext

app = typer.Typer()


@app.command(
    help=N_("Put a run, with everything that went into it, into one zip that anybody can check."),
    epilog=EXAMPLE + "tarmim bundle 3f2a… --out march.zip --study homs",
)
def bundle(
    ctx: typer.Context,
    run: Annotated[str, typer.Argument(metavar="[RUN]", help=N_("Code of the run; without it the newest"))] = "",
    study: StudyOption = HERE,
    out: Annotated[Path | None, typer.Option(help=N_("File to write"))] = None,
) -> None:
    from geo.bundle import pack
    from geo.errors import LayerError, finding
    from geo.messages import message

    with faults(ctx.obj):
        opened, store = open_store(study)
        with store:
            newest = [one.id for one in store.runs()]
            if not run and not newest:
                remedy = message("Make one with `tarmim rank`.")
                raise LayerError(
                    finding("no-run", "error", str(study), message("There is no run in this study yet."), remedy=remedy)
                )
            wanted = run or newest[0]
            written = pack(store, opened, wanted, out or Path(f"{wanted}.zip"))
    typer.echo(gettext("Written to {folder}", ctx.obj, folder=written))


@app.command(
    help=N_("Compute the run of a bundle again and compare it, byte for byte."),
    epilog=EXAMPLE + "tarmim verify march.zip",
)
def verify(ctx: typer.Context, file: Annotated[Path, typer.Argument(metavar="FILE", help=N_("Bundle to check"))]) -> None:
    from geo.bundle import verify as computed

    with faults(ctx.obj):
        found = computed(file)
    tell_findings(found.findings, ctx.obj)
    lines = [
        (found.same_id, N_("The inputs give the run's own code: {run}.")),
        (found.same_ranks, N_("The ranks are the same, byte for byte.")),
        (found.same_numbers, N_("All numbers are the same, byte for byte.")),
    ]
    for holds, text in lines:
        typer.echo(("✓ " if holds else "✗ ") + gettext(text, ctx.obj, run=found.run))
    if not found.same_numbers:
        typer.echo(gettext("Largest difference of a number: {difference}.", ctx.obj, difference=f"{found.difference:.3g}"))
    if not (found.same_id and found.same_ranks):
        raise typer.Exit(1)
