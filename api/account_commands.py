"""Commands for administrators: accounts and tokens, and what the public sees."""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from api.survey_commands import COMMAND, EXAMPLE, HERE, StudyOption, now, open_store, who
from api.terminal import N_, faults
from geo.messages import gettext, plain

if TYPE_CHECKING:
    from geo.accounts import Token

app = typer.Typer()

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help=N_("Name of the account"))]


@app.command(
    help=N_("Add somebody who signs in, give them another role, or close their account."),
    epilog=EXAMPLE + 'tarmim account "Water directorate" --role directorate --study homs',
)
def account(
    ctx: typer.Context,
    name: NameArgument,
    role: Annotated[str, typer.Option(help=N_("partner, directorate, planner or admin"))],
    study: StudyOption = HERE,
    close: Annotated[bool, typer.Option("--close", help=N_("Close it and revoke its tokens"))] = False,
) -> None:
    from geo import accounts

    with faults(ctx.obj):
        _, store = open_store(study)
        with store:
            made = accounts.save(store, name, role, closed=close, by=who(), now=now(), origin=COMMAND)
    said = gettext("closed", ctx.obj) if made.closed_at else accounts.ROLE_NAMES[made.role].render(ctx.obj)
    typer.echo(f"{plain(made.name)}  {said}")


@app.command(help=N_("The accounts and their roles."), epilog=EXAMPLE + "tarmim accounts --study homs")
def accounts(ctx: typer.Context, study: StudyOption = HERE) -> None:
    from geo import accounts

    with faults(ctx.obj):
        _, store = open_store(study)
        with store:
            listed = accounts.accounts(store)
    for one in listed:
        said = gettext("closed", ctx.obj) if one.closed_at else accounts.ROLE_NAMES[one.role].render(ctx.obj)
        typer.echo(f"{plain(one.name)}  {said}  {one.made_at:%Y-%m-%d}")


@app.command(
    help=N_("Make a token for an account; it is shown once and kept nowhere."),
    epilog=EXAMPLE + 'tarmim token "Water directorate" --days 90 --scope read --study homs',
)
def token(
    ctx: typer.Context,
    name: NameArgument,
    study: StudyOption = HERE,
    days: Annotated[float, typer.Option(min=0.001, max=3650, help=N_("How long it holds"))] = 90,
    scope: Annotated[
        list[str] | None, typer.Option(help=N_("Narrower than the role: read, deliver, decide, manage; may be repeated"))
    ] = None,
    label: Annotated[str, typer.Option(help=N_("What it is for"))] = "",
) -> None:
    from geo import accounts

    with faults(ctx.obj):
        _, store = open_store(study)
        with store:
            lasts = datetime.timedelta(days=days)
            made, secret = accounts.make_token(
                store, name, label=label, scopes=scope or (), lasts=lasts, by=who(), now=now(), origin=COMMAND
            )
    typer.echo(gettext("Token {id}, good until {day}. Keep it now, it is not shown again:", ctx.obj, id=made.id, day=_day(made)))
    typer.echo(secret)


def _day(one: Token) -> str:
    return f"{one.expires_at:%Y-%m-%d}"


@app.command(help=N_("The tokens, or revoke one."), epilog=EXAMPLE + "tarmim tokens --revoke 3f2a9c0d1e4b5f67 --study homs")
def tokens(
    ctx: typer.Context,
    study: StudyOption = HERE,
    revoke: Annotated[str, typer.Option(metavar="ID", help=N_("Let this one no longer hold"))] = "",
) -> None:
    from geo import accounts

    with faults(ctx.obj):
        _, store = open_store(study)
        with store:
            if revoke:
                accounts.revoke(store, revoke, by=who(), now=now(), origin=COMMAND)
            listed = accounts.tokens(store)
    for one in listed:
        state = gettext("revoked", ctx.obj) if one.revoked_at else _day(one)
        typer.echo(f"{one.id}  {plain(one.account)}  {' '.join(one.scopes) or '*'}  {state}  {plain(one.label)}")


@app.command(
    "show",
    help=N_("Let the public see a run; of several it sees the one shown last."),
    epilog=EXAMPLE + "tarmim show 3f2a9c0d1e4b5f67 --study homs",
)
def show(
    ctx: typer.Context,
    run: Annotated[str, typer.Argument(metavar="RUN", help=N_("Code of the run"))],
    study: StudyOption = HERE,
    hide: Annotated[str, typer.Option(metavar="REASON", help=N_("Let it no longer be seen, with the reason"))] = "",
) -> None:
    with faults(ctx.obj):
        _, store = open_store(study)
        with store:
            if hide:
                store.withdraw_run(run, by=who(), reason=hide, now=now(), origin=COMMAND)
            else:
                store.publish_run(run, by=who(), now=now(), origin=COMMAND)
    said = N_("The public no longer sees run {run}.") if hide else N_("The public sees run {run}.")
    typer.echo(gettext(said, ctx.obj, run=run))
