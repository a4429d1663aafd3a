"""Commands for finished runs: bundle one, compute a bundle again, decide on a rank otherwise, read the log of decisions."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from api.survey_commands import COMMAND, EXAMPLE, HERE, StudyOption, now, open_store
from api.terminal import N_, faults, tell_findings
from geo.messages import gettext

if TYPE_CHECKING:
    from geo.store import Store

app = typer.Typer()
RunOption = Annotated[str, typer.Option("--run", metavar="RUN", help=N_("Code of the run; without it the newest"))]


def _run_of(store: Store, wanted: str) -> str:
    """The run that was named, or the newest."""
    from geo.errors import LayerError, finding
    from geo.messages import message

    newest = [one.id for one in store.runs()]
    if not wanted and not newest:
        found = message("There is no run in this study yet.")
        raise LayerError(finding("no-run", "error", store.folder.name, found, remedy=message("Make one with `tarmim rank`.")))
    return wanted or newest[0]


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

    with faults(ctx.obj):
        opened, store = open_store(study)
        with store:
            wanted = _run_of(store, run)
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


@app.command(
    help=N_("Give a neighbourhood another rank than the computed one, with a name and a reason; lists and maps show both."),
    epilog=EXAMPLE + 'tarmim override N-07 --rank 2 --by "the mayor" --why "the hospital stands there" --study homs',
)
def override(
    ctx: typer.Context,
    unit: Annotated[str, typer.Argument(metavar="ID", help=N_("Code of the neighbourhood"))],
    rank: Annotated[int, typer.Option(min=0, help=N_("Rank that it gets; 0 takes an earlier decision back"))],
    by: Annotated[str, typer.Option(help=N_("Who decides"))],
    why: Annotated[str, typer.Option(help=N_("The reason"))],
    study: StudyOption = HERE,
    run: RunOption = "",
) -> None:
    from geo.overrides import Override, decided, in_words

    with faults(ctx.obj):
        _, store = open_store(study)
        with store:
            wanted = _run_of(store, run)
            if rank:
                moment = now()
                store.override(wanted, Override(unit, rank, by, moment.date(), why), now=moment, origin=COMMAND)
            else:
                store.withdraw_override(wanted, unit, by=by, reason=why, now=now(), origin=COMMAND)
            price = in_words(decided(store.run(wanted), store.overrides(wanted)))[ctx.obj]
    typer.echo(gettext("Noted for run {run}.", ctx.obj, run=wanted) + (" " + price if price else ""))


@app.command(
    help=N_("The log of decisions, whether it is whole, and its seal, to be noted elsewhere."),
    epilog=EXAMPLE + "tarmim log --seal 5d1c… --study homs",
)
def log(
    ctx: typer.Context,
    study: StudyOption = HERE,
    seal: Annotated[str, typer.Option(help=N_("A seal noted earlier: the log must still hold it"))] = "",
) -> None:
    with faults(ctx.obj):
        _, store = open_store(study)
        with store:
            entries, found, last = store.decisions(), store.check_log(noted=seal), store.seal()
    for one in entries:
        said = "; ".join(f"{name}: {value}" for name, value in one.details.items() if isinstance(value, str | int))
        typer.echo(f"{one.number}  {one.made_at:%Y-%m-%d %H:%M}  {one.who}  {one.what}  {one.subject}  {said}".rstrip())
    tell_findings(found, ctx.obj)
    if found:
        raise typer.Exit(1)
    typer.echo(gettext("The log is whole: {n} entries. Seal: {seal}", ctx.obj, n=len(entries), seal=last))
