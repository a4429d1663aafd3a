"""The command that makes vector tiles ahead of time, so that nobody waits for them at the first look."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from api.terminal import N_, accepted, database, faults, progress
from geo.messages import gettext

app = typer.Typer()


@app.command(
    name="tiles",
    help=N_("Make the vector tiles of every layer that are not there yet; the service makes what is missing when it is asked for."),
    epilog=N_("Example:") + "\n\n" + "tarmim tiles homs",
)
def tiles_(
    ctx: typer.Context,
    study: Annotated[Path, typer.Argument(metavar="STUDY", help=N_("Folder of the study (it holds study.toml)"))],
    scheme: Annotated[str | None, typer.Option(help=N_("Name of a scheme, or a .toml file in the study's folder"))] = None,
) -> None:
    from geo import pipeline, tiles

    with faults(ctx.obj), progress(ctx.obj, 30) as step:
        opened, chosen = pipeline.open_study(study, scheme)
        city = pipeline.read_city(opened, step, accepted=accepted(opened, database()))
        folder = opened.folder / tiles.FOLDER
        made = tiles.make_all(city, pipeline.assess(city, chosen, step), folder, step)
    size = sum(path.stat().st_size for path in made) / 1e6
    typer.echo(gettext("{n} files of tiles, {size} MB, in {folder}", ctx.obj, n=len(made), size=f"{size:.1f}", folder=folder))
