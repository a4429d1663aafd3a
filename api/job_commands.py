"""Commands for jobs: work on them, look at them, take one back."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from api.survey_commands import EXAMPLE, HERE, StudyOption, open_store, queue
from api.survey_commands import LaterOption as LaterOption
from api.terminal import N_, database, faults
from geo.messages import Lang, gettext

app = typer.Typer()
JobArgument = Annotated[str, typer.Argument(metavar="ID", help=N_("Code of the job"))]
DAY_AND_TIME = "%Y-%m-%d %H:%M"


def queue_rank(study: Path, scheme: str | None, lang: Lang) -> None:
    """Leave a run to a worker."""
    _, store = open_store(study)
    with store:
        queue(store, "rank", "", lang, scheme=scheme)


@app.command(
    help=N_("Work on the jobs of a study until told to end (Ctrl+C, SIGTERM)."),
    epilog=EXAMPLE + "tarmim work homs",
)
def work(
    ctx: typer.Context,
    study: Annotated[Path, typer.Argument(metavar="STUDY", help=N_("Folder of the study (it holds study.toml)"))],
    once: Annotated[bool, typer.Option("--once", help=N_("End when nothing waits any more"))] = False,
) -> None:
    from api import jobs
    from api.settings import settings_of

    with faults(ctx.obj):
        opened, store = open_store(study)
        store.close()
        queue = jobs.queue_of(settings_of(study=opened.folder, database_url=database()))
        city = opened.name.model_dump()[ctx.obj]
        if once:
            with queue:
                queue.drain()
            return
        with jobs.told_to_end() as end, jobs.working(queue):
            typer.echo(gettext("Working on the jobs of {study}; end with Ctrl+C.", ctx.obj, study=city))
            end.wait()


@app.command(help=N_("The jobs and how far they are, or all that is known of one."), epilog=EXAMPLE + "tarmim jobs --study homs")
def jobs(
    ctx: typer.Context,
    job: Annotated[str, typer.Argument(metavar="[ID]", help=N_("Code of the job"))] = "",
    study: StudyOption = HERE,
) -> None:
    from geo.records import JOB_STATES

    with faults(ctx.obj):
        _, store = open_store(study)
        with store:
            listed = [store.job(job)] if job else store.jobs()
    for one in listed:
        state, done, text = JOB_STATES[one.state].render(ctx.obj), f"{one.progress:.0%}", one.message.get(ctx.obj, "")
        parts = (
            one.id,
            one.made_at.strftime(DAY_AND_TIME),
            one.kind,
            one.subject,
            state,
            done,
            text,
            one.result,
        )
        typer.echo("  ".join(part for part in parts if part))
        if job or one.state == "failed":
            for found in one.findings:
                sentences = (found[part][ctx.obj] for part in ("found", "expected", "remedy"))
                typer.echo("  " + " ".join(sentence for sentence in sentences if sentence))


@app.command(help=N_("Take back a job that nobody has begun."), epilog=EXAMPLE + "tarmim cancel 3f2a… --study homs")
def cancel(ctx: typer.Context, job: JobArgument, study: StudyOption = HERE) -> None:
    from api import jobs

    with faults(ctx.obj):
        _, store = open_store(study)
        with store:
            jobs.cancel(store, job)
    typer.echo(gettext("Cancelled: {id}.", ctx.obj, id=job))
