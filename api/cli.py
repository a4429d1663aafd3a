"""The command `tarmim`: it only translates between a terminal and the road in `geo`.

Nothing heavy is imported before a command runs, so that `--help` answers at once. Language: `--lang`, else `TARMIM_LANG`, else the
locale (Arabic where it says `ar`), else English. A fault ends with status 1 and one report; wrong usage with status 2.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from api import (
    account_commands,
    codes_command,
    job_commands,
    method_commands,
    names_command,
    network_commands,
    people_commands,
    run_commands,
    sensitivity_commands,
    survey_commands,
    tile_commands,
    utility_commands,
)
from api.job_commands import LaterOption
from api.ranking import assessed, ranked, write_map
from api.terminal import (
    N_,
    accepted,
    database,
    faults,
    language,
    localised,
    progress,
    tell_findings,
    with_overrides,
    without_language,
)
from geo.messages import LANGS, Lang, gettext

if TYPE_CHECKING:
    from geo.run import Run

FORMATS = ("csv", "xlsx", "geojson", "gpkg", "parquet")


def main() -> None:
    """Entry point of the command `tarmim`."""
    arguments = sys.argv[1:]
    lang = language(arguments)
    command = localised(typer.main.get_command(app), lang)
    command(args=without_language(arguments), prog_name="tarmim", obj=lang)


def _summary(run: Run, top: int, lang: Lang) -> None:
    """The head of the list and what to know beside it."""
    from rich.console import Console
    from rich.table import Table

    from geo.figures import figure, percent, span

    table = Table(title=run.info["study"]["name"][lang], title_justify="left", header_style="bold")
    for text, side in (
        (gettext("Rank", lang), "right"),
        (gettext("in 90 of 100 draws", lang), "right"),
        (gettext("without complaints", lang), "right"),
        (gettext("Code", lang), "left"),
        (gettext("Name", lang), "left"),
        (gettext("Score (0–100)", lang), "right"),
        (gettext("Low–high", lang), "right"),
        (gettext("Coverage of the weights", lang), "right"),
    ):
        table.add_column(text, justify="right" if side == "right" else "left")
    listed = run.priorities[run.priorities["status"] == "ranked"]
    places = {name: "float64" for name in ("rank_low", "rank_high", "rank_without_complaints") if name in listed}
    for row in listed.head(top).astype(places).itertuples():
        place = f"{row.rank}=" if row.tied else str(row.rank)
        name = row.name_ar if lang == "ar" else row.name_en
        low, high = figure(row.score_low, 1), figure(row.score_high, 1)
        interval = f"{low}–{high}" if low != high else low
        beside = figure(row.rank_without_complaints, 0)
        drawn = span(getattr(row, "rank_low", None), getattr(row, "rank_high", None))
        table.add_row(place, drawn, beside, row.id, str(name), figure(row.score, 1), interval, percent(row.coverage))
    Console(width=None if sys.stdout.isatty() else 100).print(table)
    if "scenario" in run.info:
        typer.echo(gettext("Population scenario: {scenario}.", lang, scenario=run.info["scenario"]["name"]))
    apart = len(run.priorities) - len(listed)
    typer.echo(
        gettext(
            "Run {run}: {ranked} neighbourhoods ranked, {apart} not assessable (survey needed).",
            lang,
            run=run.id,
            ranked=len(listed),
            apart=apart,
        )
    )
    typer.echo(gettext("Rows left out, with their reasons: {n}.", lang, n=len(run.left_out)))


app = typer.Typer(
    help=N_("Decide what a city repairs first after a war or an earthquake."),
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.add_typer(survey_commands.app)
app.add_typer(run_commands.app)
app.add_typer(names_command.app)
app.add_typer(codes_command.app)
app.add_typer(job_commands.app)
app.add_typer(method_commands.app)
app.add_typer(network_commands.app)
app.add_typer(utility_commands.app)
app.add_typer(account_commands.app)
app.add_typer(people_commands.app)
app.add_typer(sensitivity_commands.app)
app.add_typer(tile_commands.app)
EXAMPLE = N_("Example:") + "\n\n"

StudyArgument = Annotated[Path, typer.Argument(metavar="STUDY", help=N_("Folder of the study (it holds study.toml)"))]
SchemeOption = Annotated[str | None, typer.Option(help=N_("Name of a scheme, or a .toml file in the study's folder"))]
OutFolder = Annotated[Path, typer.Option(help=N_("Folder to write to"))]
PortOption = Annotated[int, typer.Option(min=0, max=65535, help=N_("Port to listen on"))]


@app.callback()
def settings(
    ctx: typer.Context,
    lang: Annotated[str, typer.Option("--lang", metavar="ar|en", help=N_("Language of messages: ar or en"))] = "",
) -> None:
    """Take the language, which `main` has already read; whatever is left here is no language."""
    if lang and lang not in LANGS:
        raise typer.BadParameter(gettext("Known: {known}.", ctx.obj, known=LANGS), param_hint="--lang")


@app.command(
    help=N_("Begin a study: a folder with a study.toml to fill in."),
    epilog=EXAMPLE + "tarmim init homs --name-ar حمص --name-en Homs --crs EPSG:32637",
)
def init(
    ctx: typer.Context,
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help=N_("Folder to make"))],
    name_ar: Annotated[str, typer.Option(help=N_("Name of the city in Arabic"))],
    name_en: Annotated[str, typer.Option(help=N_("Name of the city in English"))],
    crs: Annotated[str, typer.Option(help=N_("Working coordinate system, in metres"))] = "EPSG:32637",
) -> None:
    from geo.study import begin_study

    with faults(ctx.obj):
        path = begin_study(folder, name_ar=name_ar, name_en=name_en, crs=crs)
    typer.echo(gettext("Written: {path}. Add the layers, then run `tarmim check`.", ctx.obj, path=path))


@app.command(help=N_("Everything that is wrong or odd with a study, in one report."), epilog=EXAMPLE + "tarmim check homs")
def check(ctx: typer.Context, study: StudyArgument, scheme: SchemeOption = None) -> None:
    from geo import pipeline

    with faults(ctx.obj), progress(ctx.obj, 16) as step:
        found = pipeline.check(study, scheme, step, accepted=lambda one: accepted(one, database()))
    tell_findings(found, ctx.obj, err=False)
    if not pipeline.is_sound(found):
        raise typer.Exit(1)
    typer.echo(gettext("The study can be ranked.", ctx.obj))


@app.command(
    help=N_("Rank the neighbourhoods and write list, tables, map and left-out rows."),
    epilog=EXAMPLE + "tarmim rank homs --out list-of-march",
)
def rank(
    ctx: typer.Context,
    study: StudyArgument,
    out: Annotated[Path | None, typer.Option(help=N_("Folder to write to; without it, exports/<run> of the study"))] = None,
    scheme: SchemeOption = None,
    top: Annotated[int, typer.Option(min=0, max=100_000, help=N_("Lines of the list to show"))] = 10,
    later: LaterOption = False,
    scenario: Annotated[str, typer.Option(help=N_("Population scenario of study.toml; 'now' without one"))] = "now",
) -> None:
    if later:
        if out is not None:
            raise typer.BadParameter(gettext("A worker writes into exports/<run> of the study.", ctx.obj), param_hint="--out")
        with faults(ctx.obj):
            job_commands.queue_rank(study, scheme, ctx.obj)
        return
    with faults(ctx.obj):
        run, folder = _rank(study, out, scheme, ctx.obj, scenario=scenario)
    _summary(run, top, ctx.obj)
    typer.echo(gettext("Written to {folder}", ctx.obj, folder=folder))


@app.command(
    name="map",
    help=N_("Write the map as one file that opens without internet."),
    epilog=EXAMPLE + "tarmim map homs --out homs.html",
)
def map_(
    ctx: typer.Context,
    study: StudyArgument,
    out: Annotated[Path, typer.Option(help=N_("File to write"))] = Path("map.html"),
    scheme: SchemeOption = None,
) -> None:
    with faults(ctx.obj), progress(ctx.obj, 18) as step:
        city, run = assessed(study, scheme, step)
        path = write_map(with_overrides(run, city.study, database()), city, out, ctx.obj)
    typer.echo(gettext("Written to {folder}", ctx.obj, folder=path))


@app.command(
    help=N_("Write the tables of the list in the formats asked for."),
    epilog=EXAMPLE + "tarmim export homs --format xlsx --format gpkg --out tables",
)
def export(
    ctx: typer.Context,
    study: StudyArgument,
    out: OutFolder = Path("export"),
    formats: Annotated[
        list[str] | None, typer.Option("--format", metavar="|".join(FORMATS), help=N_("Format; may be given several times"))
    ] = None,
    scheme: SchemeOption = None,
) -> None:
    from geo.export import export as write

    wanted = formats or list(FORMATS)
    if unknown := [one for one in wanted if one not in FORMATS]:
        fault = (
            gettext("'{name}' is not known.", ctx.obj, name=unknown[0]) + " " + gettext("Known: {known}.", ctx.obj, known=FORMATS)
        )
        raise typer.BadParameter(fault, param_hint="--format")
    with faults(ctx.obj), progress(ctx.obj, 18) as step:
        city, run = assessed(study, scheme, step)
        write(
            with_overrides(run, city.study, database()), out, (*(f"priorities.{one}" for one in wanted), "left_out.csv", "run.json")
        )
    typer.echo(gettext("Written to {folder}", ctx.obj, folder=out))


@app.command(help=N_("Serve list, map and API of a study in the browser."), epilog=EXAMPLE + "tarmim serve homs --port 8000")
def serve(
    ctx: typer.Context,
    study: StudyArgument,
    host: Annotated[str, typer.Option(help=N_("Address to listen on"))] = "127.0.0.1",
    port: PortOption = 8000,
) -> None:
    _serve(study, host, port, ctx.obj)


@app.command(help=N_("Load the generated demo city, rank it and serve it."), epilog=EXAMPLE + "tarmim demo --port 8000")
def demo(
    ctx: typer.Context,
    folder: Annotated[Path, typer.Option("--dir", help=N_("Folder for the demo study"))] = Path("demo-study"),
    port: PortOption = 8000,
    serving: Annotated[bool, typer.Option("--serve/--no-serve", help=N_("Serve the pages after ranking"))] = True,
) -> None:
    from geo.study import copy_demo

    with faults(ctx.obj):
        copy_demo(folder)
        run, written = _rank(folder, None, None, ctx.obj)
    _summary(run, 10, ctx.obj)
    typer.echo(gettext("Written to {folder}", ctx.obj, folder=written))
    if serving:
        _serve(folder, "127.0.0.1", port, ctx.obj)


def _rank(study: Path, out: Path | None, scheme: str | None, lang: Lang, *, scenario: str = "now") -> tuple[Run, Path]:
    """Rank a study and write everything into `out`; without it, the run goes into the study's store and the files beside it."""
    with progress(lang, 20) as step:
        by, origin = survey_commands.who(), survey_commands.COMMAND
        return ranked(study, out, scheme, lang, step, by=by, origin=origin, scenario=scenario)


def _serve(study: Path, host: str, port: int, lang: Lang) -> None:
    import signal
    from contextlib import nullcontext

    import uvicorn
    from uvicorn.config import LOGGING_CONFIG

    from api import jobs
    from api.app import create_app
    from api.settings import settings_of
    from api.state import load

    with faults(lang):
        chosen = settings_of(study=study, host=host, port=port, lang=lang)
        app = create_app(chosen, load(chosen))
    shown = f"[{host}]" if ":" in host else host
    typer.echo(gettext("Open http://{host}:{port}/ in a browser; end with Ctrl+C.", lang, host=shown, port=str(port)))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # uvicorn raises the signal again when it has ended: the worker ends too
    with jobs.beside(chosen) if chosen.work else nullcontext():
        uvicorn.run(
            app,
            host=host,
            port=port,
            log_level="warning",
            log_config=None if chosen.log == "json" else LOGGING_CONFIG,
            proxy_headers=bool(chosen.trusted_proxies),
            forwarded_allow_ips=chosen.trusted_proxies or None,
            timeout_graceful_shutdown=20,
        )
