"""The command that explains the codes of findings: all of them, or those that begin as asked."""

from __future__ import annotations

from typing import Annotated

import typer

from api.terminal import N_, faults
from geo.messages import Message, message

app = typer.Typer()
EXAMPLE = N_("Example:") + "\n\n"
SEVERITIES: dict[str, Message] = {"error": message("error"), "warning": message("warning"), "info": message("note")}


@app.command(
    help=N_("What the codes of findings mean and what to do about them."),
    epilog=EXAMPLE + "tarmim codes crs-far",
)
def codes(
    ctx: typer.Context,
    code: Annotated[str, typer.Argument(metavar="[CODE]", help=N_("A code, or how codes begin; all of them without it"))] = "",
) -> None:
    from geo import registers
    from geo.errors import UnknownNameError, finding

    known = registers.register("finding_codes")
    wanted = {name: row for name, row in known.items() if name.startswith(code)}
    with faults(ctx.obj):
        if not wanted:
            fault = message("'{name}' is not known.", name=code)
            raise UnknownNameError(
                finding("unknown-name", "error", "codes", fault, expected=message("Known: {known}.", known=list(known)))
            )
    for name, row in wanted.items():
        said = " / ".join(SEVERITIES[one].render(ctx.obj) for one in row["severity"].split("|"))
        typer.echo(f"{name}  ({said})  {row[f'meaning_{ctx.obj}']} {row[f'remedy_{ctx.obj}']}")
