"""Commands for surveys and the store: import, look, accept or return, check the store, back it up, publish it."""

from __future__ import annotations

import datetime
import getpass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from api.terminal import N_, amount, database, faults, progress, tell_findings
from geo.messages import Lang, gettext, message, plain

if TYPE_CHECKING:
    from geo.store import Store
    from geo.study import LayerSpec, Study
    from geo.surveys import Checked
    from geo.untrusted import Allow

app = typer.Typer()
EXAMPLE = N_("Example:") + "\n\n"
COMMAND = "command line"

StudyOption = Annotated[Path, typer.Option("--study", envvar="TARMIM_STUDY", help=N_("Folder of the study (it holds study.toml)"))]
ISOLATES = dict.fromkeys(range(0x2066, 0x206A))  # marks around a number in an Arabic line, which a copy brings along


def _unmarked(text: str) -> str:
    return text.translate(ISOLATES)


SurveyArgument = Annotated[str, typer.Argument(metavar="ID", callback=_unmarked, help=N_("Number of the survey's receipt"))]
AdministratorOption = Annotated[bool, typer.Option("--administrator", help=N_("Also FileGDB, KML, GML, DXF and OSM"))]
ProfileOption = Annotated[str | None, typer.Option(help=N_("How its columns and grades map to ours: a name of data/sources"))]
ColumnOption = Annotated[
    list[str] | None, typer.Option("--column", metavar="OURS=THEIRS", help=N_("A column of theirs; may be repeated"))
]
GradeOption = Annotated[
    list[str] | None, typer.Option("--grade", metavar="THEIRS=OURS", help=N_("What a grade of theirs means; may be repeated"))
]
CrsOption = Annotated[str | None, typer.Option(help=N_("Coordinate system, where the file is silent or wrong"))]
AxesOption = Annotated[str | None, typer.Option(metavar="xy|yx", help=N_("yx where latitude stands before longitude"))]
EncodingOption = Annotated[str | None, typer.Option(help=N_("Encoding of its letters"))]
SublayerOption = Annotated[str | None, typer.Option(help=N_("Which of several layers in the file"))]
ExtentOption = Annotated[str | None, typer.Option(help=N_("Where it looked: study, or a file of polygons"))]
DateOption = Annotated[str | None, typer.Option(metavar="YYYY-MM-DD", help=N_("Date of the survey, where its rows bear none"))]
LaterOption = Annotated[bool, typer.Option("--later", help=N_("Leave it to a worker (`tarmim work`, `tarmim serve`)"))]
HERE = Path()


def _allow(administrator: bool) -> Allow:
    return "administrator" if administrator else "upload"


def now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


def open_store(folder: Path) -> tuple[Study, Store]:
    from geo.store import Store
    from geo.study import read_study

    study = read_study(folder)
    return study, Store.open(study.folder, database())


def who() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return COMMAND


def queue(
    store: Store, kind: str, subject: str, lang: Lang, *, choices: LayerSpec | None = None, **given: str | bool | None
) -> None:
    """Leave something to a worker, and say how to ask after it."""
    from api import jobs

    asked: dict[str, Any] = {name: value for name, value in given.items() if value}
    if choices is not None:
        asked["choices"] = choices.model_dump(mode="json", exclude_defaults=True)
    job = jobs.submit(store, kind, subject, who=who(), given=asked)
    typer.echo(gettext("Job {id} is queued; `tarmim jobs {id}` says how far it is.", lang, id=job.id))


def _pairs(texts: list[str]) -> dict[str, str]:
    return {left: right for left, _, right in (one.partition("=") for one in texts)}


def _choices(before: LayerSpec | None, name: str, said: dict[str, Any]) -> LayerSpec | None:
    """What was said on the command line, over an earlier choice; None where nothing was: then that, or the study's own, counts."""
    from pydantic import ValidationError

    from geo.errors import StudyError
    from geo.study import LayerSpec, findings_of

    given = {key: value for key, value in said.items() if value}
    if not given:
        return None
    kept = {} if before is None else before.model_dump(exclude_defaults=True)
    merged = {key: {**kept.get(key, {}), **value} if isinstance(value, dict) else value for key, value in given.items()}
    try:
        return LayerSpec(**{**kept, "path": name, **merged})
    except ValidationError as error:
        raise StudyError(*findings_of(error, name)) from None


@app.command(
    name="import",
    help=N_("Keep a survey that a partner sent, and say what is in it."),
    epilog=EXAMPLE + "tarmim import damage.zip --layer damage --profile unosat --sender UNOSAT --study homs",
)
def import_(
    ctx: typer.Context,
    files: Annotated[list[Path], typer.Argument(metavar="FILE…", help=N_("The file, or the parts of a shapefile"))],
    layer: Annotated[str, typer.Option(help=N_("Layer that it is: damage, roads, facilities and so on"))],
    study: StudyOption = HERE,
    sender: Annotated[str, typer.Option(help=N_("Who sent it"))] = "",
    profile: ProfileOption = None,
    column: ColumnOption = None,
    grade: GradeOption = None,
    crs: CrsOption = None,
    axes: AxesOption = None,
    encoding: EncodingOption = None,
    sublayer: SublayerOption = None,
    extent: ExtentOption = None,
    date: DateOption = None,
    administrator: AdministratorOption = False,
    later: LaterOption = False,
) -> None:
    from geo import surveys

    with faults(ctx.obj):
        opened, store = open_store(study)
        with store:
            with amount(ctx.obj, message("Keeping the file")) as kept:
                receipt = surveys.deliver(store, files, layer=layer, sender=sender or who(), now=now(), kept=kept)
            typer.echo(
                gettext(
                    "Receipt {id}: {name}, {bytes} bytes, SHA-256 {sha256}.",
                    ctx.obj,
                    id=receipt.id,
                    name=receipt.name,
                    bytes=receipt.bytes,
                    sha256=receipt.sha256,
                )
            )
            tell_findings(receipt.findings, ctx.obj, err=False)
            said: dict[str, Any] = {"profile": profile, "crs": crs, "axes": axes, "encoding": encoding, "sublayer": sublayer}
            said |= {"extent": extent, "date": date, "columns": _pairs(column or []), "grades": _pairs(grade or [])}
            choices = _choices(None, receipt.name, said)
            if later:
                queue(store, "check", receipt.id, ctx.obj, administrator=administrator, choices=choices)
                return
            with progress(ctx.obj, 6) as step:
                checked = surveys.check(store, opened, receipt.id, choices, now=now(), allow=_allow(administrator), step=step)
    _tell_checked(checked, ctx.obj)


def _tell_checked(checked: Checked, lang: Lang) -> None:
    """What a check found, and what to do next; status 1 where nothing can be accepted yet."""
    ident = checked.survey.id
    tell_findings(checked.findings, lang, err=False)
    if checked.layer is not None:
        typer.echo(gettext("{n} rows can be accepted: tarmim accept {id}", lang, n=len(checked.layer.frame), id=ident))
        return
    typer.echo(gettext("Nothing of it can be accepted yet. The file is kept: choose again with tarmim choose {id}", lang, id=ident))
    if checked.examined is not None and checked.examined.systems is not None:
        typer.echo(gettext("See where it would fall: tarmim preview {id}", lang, id=ident))
    raise typer.Exit(1)


@app.command(
    help=N_("Check a survey again with other choices; with --save keep them for every table with the same columns."),
    epilog=EXAMPLE + "tarmim choose 3f2a… --column grade=darar --grade kabir=severe --save municipality-form",
)
def choose(
    ctx: typer.Context,
    survey: SurveyArgument,
    study: StudyOption = HERE,
    profile: ProfileOption = None,
    column: ColumnOption = None,
    grade: GradeOption = None,
    crs: CrsOption = None,
    axes: AxesOption = None,
    encoding: EncodingOption = None,
    sublayer: SublayerOption = None,
    extent: ExtentOption = None,
    date: DateOption = None,
    save: Annotated[str, typer.Option(metavar="NAME", help=N_("Agree to the proposed columns and keep them by this name"))] = "",
    administrator: AdministratorOption = False,
) -> None:
    from geo import surveys

    with faults(ctx.obj):
        opened, store = open_store(study)
        with store:
            known = store.survey(survey)
            said = {"profile": profile, "crs": crs, "axes": axes, "encoding": encoding, "sublayer": sublayer}
            said |= {"extent": extent, "date": date}
            columns, grades = _pairs(column or []), _pairs(grade or [])
            allow = _allow(administrator)
            before = surveys.choices_of(opened, known)
            if save:
                placed = _choices(before, known.name, said) or before
                checked = surveys.confirm(
                    store, opened, survey, name=save, choices=placed, columns=columns, grades=grades, now=now(), allow=allow
                )
            else:
                chosen = _choices(before, known.name, {**said, "columns": columns, "grades": grades})
                checked = surveys.check(store, opened, survey, chosen, now=now(), allow=allow)
    _tell_checked(checked, ctx.obj)


@app.command(
    help=N_("Draw a survey on the city under each coordinate system that may be meant, as one page to choose from."),
    epilog=EXAMPLE + "tarmim preview 3f2a… --out preview.html --study homs",
)
def preview(
    ctx: typer.Context,
    survey: SurveyArgument,
    study: StudyOption = HERE,
    out: Annotated[Path, typer.Option(help=N_("File to write"))] = Path("preview.html"),
    administrator: AdministratorOption = False,
) -> None:
    from geo import surveys
    from geo.export import write_whole
    from geo.intake import preview as drawn
    from maps.preview import preview_page

    with faults(ctx.obj):
        opened, store = open_store(study)
        with store:
            known = store.survey(survey)
            examined = surveys.look(store, opened, known, surveys.choices_of(opened, known), allow=_allow(administrator))
            zones = surveys.neighbourhoods(store, opened)
        page = preview_page(zones, drawn(examined, opened), name=known.name, survey=survey, lang=ctx.obj)
        write_whole(out, lambda place: place.write_text(page, encoding="utf-8"))
    typer.echo(gettext("Written to {folder}", ctx.obj, folder=out))


@app.command(
    help=N_("The surveys that came in, newest first, or all that is known of one."), epilog=EXAMPLE + "tarmim surveys --study homs"
)
def surveys(
    ctx: typer.Context,
    survey: Annotated[str, typer.Argument(metavar="[ID]", callback=_unmarked, help=N_("Number of the survey's receipt"))] = "",
    study: StudyOption = HERE,
    out: Annotated[Path | None, typer.Option(help=N_("File for the table of findings of that survey (CSV)"))] = None,
) -> None:
    from geo.errors import findings_table
    from geo.export import csv_bytes, write_whole
    from geo.records import STATES

    with faults(ctx.obj):
        _, store = open_store(study)
        with store:
            listed = [store.survey(survey)] if survey else store.surveys()
        if survey and out is not None:
            content = csv_bytes(findings_table(listed[0].findings))
            write_whole(out, lambda place: place.write_bytes(content))
    for one in listed:
        state = STATES[one.status].render(ctx.obj)
        named = f"{plain(one.name)}  {plain(one.sender)}"
        typer.echo(f"{one.id}  {one.received_at:%Y-%m-%d %H:%M}  {one.layer}  {state}  {named}")
        if survey:
            for found in one.findings:
                typer.echo(
                    "  " + " ".join(str(found[part][ctx.obj]) for part in ("found", "expected", "remedy") if found[part][ctx.obj])
                )


@app.command(
    help=N_("Make a checked survey the dataset that counts."),
    epilog=EXAMPLE + "tarmim accept 3f2a… --study homs",
)
def accept(
    ctx: typer.Context,
    survey: SurveyArgument,
    study: StudyOption = HERE,
    series: Annotated[
        str, typer.Option(help=N_("Keep it beside the others as evidence of that kind: field, satellite, drone, or field-name"))
    ] = "main",
    administrator: AdministratorOption = False,
    later: LaterOption = False,
) -> None:
    from geo import surveys

    with faults(ctx.obj):
        opened, store = open_store(study)
        with store:
            if later:
                queue(store, "accept", survey, ctx.obj, administrator=administrator, series=series)
                return
            allow = _allow(administrator)
            with progress(ctx.obj, 6) as step:
                made = surveys.accept(
                    store, opened, survey, by=who(), now=now(), series=series, origin=COMMAND, allow=allow, step=step
                )
    change = made.change
    typer.echo(gettext("Dataset {id} of layer {layer} counts now: {n} rows.", ctx.obj, id=made.id, layer=made.layer, n=made.rows))
    if change is not None and change.before:
        typer.echo(
            gettext(
                "Against the dataset before it: {added} rows added, {removed} removed, {changed} changed.",
                ctx.obj,
                added=change.rows_added,
                removed=change.rows_removed,
                changed=change.rows_changed,
            )
        )


@app.command(
    name="return",
    help=N_("Give a survey back to its sender with a reason; the file is kept."),
    epilog=EXAMPLE + 'tarmim return 3f2a… --reason "no grades"',
)
def return_(
    ctx: typer.Context,
    survey: SurveyArgument,
    reason: Annotated[str, typer.Option(help=N_("Why it is returned"))],
    study: StudyOption = HERE,
) -> None:
    with faults(ctx.obj):
        _, store = open_store(study)
        with store:
            store.return_(survey, reason, by=who(), now=now(), origin=COMMAND)
    typer.echo(gettext("Returned: {id}.", ctx.obj, id=survey))


@app.command(
    help=N_("The datasets that count, or all there ever were."),
    epilog=EXAMPLE + "tarmim datasets --all --study homs",
)
def datasets(
    ctx: typer.Context,
    study: StudyOption = HERE,
    everything: Annotated[bool, typer.Option("--all", help=N_("Also those that no longer count"))] = False,
) -> None:
    from geo.surveys import name_of

    with faults(ctx.obj):
        _, store = open_store(study)
        with store:
            listed = store.datasets(current=not everything)
    for one in listed:
        typer.echo(f"{one.id}  {one.made_at:%Y-%m-%d %H:%M}  {name_of(one)}  {one.rows:,}  {one.status}")


@app.command(
    help=N_("Take a dataset out of use, with a reason; it is kept."), epilog=EXAMPLE + 'tarmim withdraw 9c41… --reason "wrong city"'
)
def withdraw(
    ctx: typer.Context,
    dataset: Annotated[str, typer.Argument(metavar="ID", callback=_unmarked, help=N_("Code of the dataset"))],
    reason: Annotated[str, typer.Option(help=N_("Why it no longer counts"))],
    study: StudyOption = HERE,
) -> None:
    with faults(ctx.obj):
        _, store = open_store(study)
        with store:
            store.withdraw(dataset, by=who(), reason=reason, now=now(), origin=COMMAND)
            again = store.reinstated(dataset)
    typer.echo(gettext("Withdrawn: {id}.", ctx.obj, id=dataset))
    if again is not None:
        typer.echo(gettext("Dataset {id}, which it had superseded, counts again.", ctx.obj, id=again))


@app.command(
    help=N_("Check every file of the store against its hash, and look for what belongs to nothing."),
    epilog=EXAMPLE + "tarmim fsck --study homs",
)
def fsck(ctx: typer.Context, study: StudyOption = HERE) -> None:
    with faults(ctx.obj):
        _, store = open_store(study)
        with store:
            found = store.fsck()
    tell_findings(found, ctx.obj, err=False)
    if found:
        raise typer.Exit(1)
    typer.echo(gettext("The store is whole.", ctx.obj))


@app.command(
    help=N_("Write the whole study into one file, while others may go on working."),
    epilog=EXAMPLE + "tarmim backup homs.tarmim --study homs",
)
def backup(
    ctx: typer.Context, file: Annotated[Path, typer.Argument(metavar="FILE", help=N_("File to write"))], study: StudyOption = HERE
) -> None:
    with faults(ctx.obj):
        _, store = open_store(study)
        with store:
            written = store.backup(file)
    typer.echo(gettext("Written to {folder}", ctx.obj, folder=written))


@app.command(
    help=N_("Bring a backup back into an empty folder."),
    epilog=EXAMPLE + "tarmim restore homs.tarmim homs-restored",
)
def restore(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help=N_("Backup to read"))],
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help=N_("Folder to make"))],
) -> None:
    from geo.store import Store

    with faults(ctx.obj):
        Store.restore(file, folder, database()).close()
    typer.echo(gettext("Written to {folder}", ctx.obj, folder=folder))


@app.command(
    help=N_("Write the current datasets and the newest run into PostGIS."),
    epilog=EXAMPLE + "tarmim publish --postgis postgresql://gis@server/city --study homs",
)
def publish(
    ctx: typer.Context,
    postgis: Annotated[str, typer.Option(metavar="URL", help=N_("Address of a PostgreSQL database that has PostGIS"))],
    study: StudyOption = HERE,
) -> None:
    from geo.publishing import publish as write
    from geo.surveys import name_of

    with faults(ctx.obj):
        _, store = open_store(study)
        with store:
            runs = (store.run(one.id) for one in store.runs())
            counts = write(
                postgis,
                run=next((run for run in runs if "scenario" not in run.info), None),  # a scenario is not how things are
                layers={name_of(one): store.read(one) for one in store.datasets()},
            )
    for table, rows in counts.items():
        typer.echo(f"{table}  {rows:,}")
