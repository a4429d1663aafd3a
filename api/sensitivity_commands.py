"""Commands that ask what would change a rank: two runs side by side, one neighbourhood, the weights, the next survey."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from api.survey_commands import HERE, StudyOption, open_store
from api.terminal import N_, accepted, database, faults, progress, tell_findings
from geo.messages import Lang, Message, gettext, message

if TYPE_CHECKING:
    import pandas as pd

    from geo.errors import Finding
    from geo.harmonise import City
    from geo.run import Run
    from geo.scheme import Scheme
    from geo.turning import Turned

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


def _code(table: pd.DataFrame, wanted: str) -> str:
    """The code of a neighbourhood that was named by its code or one of its names."""
    from geo.errors import UnknownNameError, finding

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
        code = _code(run.priorities, unit)
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
    limits = reached.drop_duplicates("goal").drop_duplicates("limit").set_index("goal")["limit"].to_dict()
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


NEAR = 3
CutOption = Annotated[
    int | None, typer.Option("--top", min=1, max=100_000, help=N_("The first k; without it the cut-off of the scheme"))
]
CountOption = Annotated[int, typer.Option("--lines", min=0, max=100_000, help=N_("Lines of the list to show"))]


def _opened(study: Path, scheme: str | None, top: int | None, step: Callable[[Message], None]) -> tuple[City, Scheme]:
    """The city and the scheme with the cut-off that was asked for."""
    from geo import pipeline

    opened, chosen = pipeline.open_study(study, scheme)
    city = pipeline.read_city(opened, step, accepted=accepted(opened, database()))
    if top is not None:
        chosen = chosen.model_copy(update={"confidence": chosen.confidence.model_copy(update={"cutoff": top})})
    step(message("Measuring damage, roads, networks and facilities"))
    return city, chosen


@app.command(
    help=N_("Which single assumption moves the ranks most, and the smallest change of the weights that changes the first k."),
    epilog=EXAMPLE + "tarmim sensitivity homs N-07 --top 5",
)
def sensitivity(
    ctx: typer.Context,
    study: StudyArgument,
    unit: Annotated[str, typer.Argument(metavar="[UNIT]", help=N_("Code or name of the neighbourhood"))] = "",
    scheme: SchemeOption = None,
    top: CutOption = None,
    lines: CountOption = 10,
    out: TableOption = None,
) -> None:
    from geo import criteria, ranking, scenarios, scoring, turning
    from geo import sensitivity as geo_sensitivity
    from geo.errors import SchemeError

    lang: Lang = ctx.obj
    with faults(lang), progress(lang, 20) as step:
        city, chosen = _opened(study, scheme, top, step)
        people = scenarios.people(city)
        measures = criteria.measure(city, chosen, people)
        ranks = ranking.rank(scoring.score(measures, chosen).table["score"])["rank"].dropna().sort_values(kind="stable")
        asked = [_ranked(city, ranks, unit)] if unit else _at_the_cut(ranks, chosen.confidence.cutoff)
        step(message("Scoring and ranking"))
        aside: Sequence[Finding] = ()
        try:
            turned = [turning.turn(one, measures, chosen) for one in asked]
        except SchemeError as error:  # the table of assumptions is worth its while without
            if unit:
                raise
            turned, aside = [], error.findings
        table = None if unit else geo_sensitivity.assumptions(city, chosen, measures, people)
        if table is not None:
            _written(table, out, message("What moves the ranks most"), lang)
    names = city.zones[f"name_{lang}"].to_dict()
    if table is not None:
        _show_assumptions(table, names, chosen.confidence.cutoff, lines, lang)
    for one in turned:
        _tell_turned(one, chosen, str(names[one.unit]), lang)
    tell_findings(aside, lang, err=False)


def _ranked(city: City, ranks: pd.Series[int], wanted: str) -> str:
    """The code of a neighbourhood that was named by its code or one of its names, and that has a rank."""
    from geo.errors import LayerError, finding

    code = _code(city.zones.rename_axis("id").reset_index(), wanted)
    if code not in ranks.index:
        said = message("'{id}' is not assessable: a survey is needed before it has a rank.", id=code)
        raise LayerError(finding("not-assessable", "error", code, said))
    return code


def _at_the_cut(ranks: pd.Series[int], cutoff: int) -> list[str]:
    """The last few of the first k and the first few behind them."""
    within = int((ranks <= cutoff).sum())
    return [str(one) for one in ranks.index[max(within - NEAR, 0) : within + NEAR]]


def _show_assumptions(table: pd.DataFrame, names: Mapping[str, str], cutoff: int, lines: int, lang: Lang) -> None:
    from geo.figures import figure
    from geo.sensitivity import KINDS

    _show(
        gettext("What moves the ranks most, each assumption alone", lang),
        [
            gettext("Kind", lang),
            gettext("Assumption", lang),
            gettext("Mean shift of ranks", lang),
            gettext("Ranks that differ", lang),
            gettext("New among the first {top}", lang, top=cutoff),
            gettext("Largest", lang),
            gettext("Name", lang),
        ],
        [
            [
                KINDS[row["kind"]].render(lang),
                row[f"said_{lang}"],
                figure(row["shift"], 2),
                str(row["moved"]),
                str(row["enter"]),
                str(row["largest"]),
                f"{row['unit']} {names.get(row['unit'], '')}".strip(),
            ]
            for row in table.head(lines).to_dict("records")
        ],
        text=(0, 1, 6),
    )


def _tell_turned(one: Turned, scheme: Scheme, name: str, lang: Lang) -> None:
    """The smallest change of the weights as a sentence, and by criterion where it is not nothing."""
    from geo.explain import label
    from geo.figures import figure

    values = {"id": one.unit, "name": name, "rank": one.rank, "top": one.cut, "n": one.in_front}
    if one.weights is None:
        if one.into and one.in_front >= one.cut:
            said = message(
                "{id} {name} (rank {rank}): no weights bring it among the first {top}; {n} others are as urgent in everything.",
                **values,
            )
        elif one.into:
            said = message("{id} {name} (rank {rank}): no weights bring it among the first {top}.", **values)
        else:
            said = message("{id} {name} (rank {rank}): no weights take it out of the first {top}.", **values)
        if not one.proven:
            said = message(
                "{id} {name} (rank {rank}): no weights were found in time that move it across the first {top}.", **values
            )
        typer.echo(said.render(lang))
        return
    points, least = figure(one.change * 100, 1), figure(one.least * 100, 1)
    if one.into:
        said = message(
            "{id} {name} (rank {rank}): among the first {top} when weights change by {points} percentage points in all:",
            **values,
            points=points,
        )
    else:
        said = message(
            "{id} {name} (rank {rank}): out of the first {top} when weights change by {points} percentage points in all:",
            **values,
            points=points,
        )
    typer.echo(said.render(lang))
    for criterion in scheme.criteria:
        shift = (float(one.weights[criterion.measure]) - criterion.weight) * 100
        if abs(shift) >= 0.005:
            sign = "+" if shift > 0 else "−"
            typer.echo(
                f"    {label(criterion.measure)[lang]}: {sign}{figure(abs(shift), 2)} ({figure(criterion.weight * 100, 1)}%)"
            )
    if not one.proven:
        typer.echo("    " + gettext("A smaller change was not excluded in time; it is at least {points}.", lang, points=least))


@app.command(
    name="survey-next",
    help=N_("Which neighbourhood to survey next, so that the first k of the list become the right ones."),
    epilog=EXAMPLE + "tarmim survey-next homs --top 10 --out survey.xlsx",
)
def survey_next(
    ctx: typer.Context,
    study: StudyArgument,
    scheme: SchemeOption = None,
    top: CutOption = None,
    lines: CountOption = 10,
    out: TableOption = None,
) -> None:
    from geo import information, scenarios
    from geo.confidence import of_hundred
    from geo.explain import label
    from geo.figures import figure

    lang: Lang = ctx.obj
    with faults(lang), progress(lang, 20) as step:
        city, chosen = _opened(study, scheme, top, step)
        measures = information.local(city, chosen, scenarios.people(city))
        step(message("Drawing how sure the ranks are"))
        table = information.survey_next(measures, chosen).rename_axis("id")
        table = table.join(city.zones[["name_ar", "name_en"]])
        between = "، " if lang == "ar" else ", "
        table["unknown"] = [between.join(label(one)[lang] for one in names) for names in table["unknown"]]
        _written(table.reset_index(), out, message("Which neighbourhood to survey next"), lang)
    worth = table[table["order"].notna()].head(lines)
    if worth.empty:
        typer.echo(gettext("Nothing is uncertain here: no survey would change the list.", lang))
        return
    _show(
        gettext("Which neighbourhood to survey next, for the first {top}", lang, top=chosen.confidence.cutoff),
        [
            gettext("Code", lang),
            gettext("Name", lang),
            gettext("Rank", lang),
            gettext("Belongs there", lang),
            gettext("List wrong", lang),
            gettext("Right members more", lang),
            gettext("Unknown", lang),
        ],
        [
            [
                str(row["id"]),
                str(row[f"name_{lang}"]),
                figure(row["rank"], 0),
                f"{of_hundred(row['chance_top'])}%",
                f"{of_hundred(row['wrong'])}%",
                figure(row["gain"], 2),
                row["unknown"],
            ]
            for row in worth.reset_index().astype({"rank": "float64"}).to_dict("records")
        ],
        text=(0, 1, 6),
    )
