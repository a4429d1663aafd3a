"""Commands that show how far the list depends on choices: methods side by side, groups side by side."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from api.terminal import N_, accepted, database, faults, progress, tell_findings
from geo.messages import Lang, Message, gettext

if TYPE_CHECKING:
    import pandas as pd

    from geo.run import Run
    from geo.scheme import Scheme

app = typer.Typer()
EXAMPLE = N_("Example:") + "\n\n"

StudyArgument = Annotated[Path, typer.Argument(metavar="STUDY", help=N_("Folder of the study (it holds study.toml)"))]
SchemeOption = Annotated[str | None, typer.Option(help=N_("Name of a scheme, or a .toml file in the study's folder"))]
TopOption = Annotated[int, typer.Option(min=0, max=100_000, help=N_("Lines of the list to show"))]


def _assessed(study: Path, scheme: str | None, step: Callable[[Message], None]) -> tuple[Scheme, Run]:
    from geo import pipeline

    opened, chosen = pipeline.open_study(study, scheme)
    city = pipeline.read_city(opened, step, accepted=accepted(opened, database()))
    return chosen, pipeline.assess(city, chosen, step)


def _show(title: str, headings: Sequence[str], rows: Sequence[Sequence[str]], *, text: int = 1) -> None:
    """A table whose first `text` columns are words and whose others are numbers."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title, title_justify="left", header_style="bold")
    for position, heading in enumerate(headings):
        table.add_column(heading, justify="left" if position < text else "right")
    for row in rows:
        table.add_row(*row)
    Console(width=None if sys.stdout.isatty() else 120).print(table)


def _names(run: Run, lang: Lang) -> dict[str, str]:
    return dict(zip(run.priorities["id"], run.priorities[f"name_{lang}"].astype("string").fillna(""), strict=True))


@app.command(
    help=N_("The list under every method and normalisation, how alike they are, and where they differ most."),
    epilog=EXAMPLE + "tarmim methods homs --top 5",
)
def methods(ctx: typer.Context, study: StudyArgument, scheme: SchemeOption = None, top: TopOption = 10) -> None:
    from geo import agreement, scoring

    lang: Lang = ctx.obj
    with faults(lang), progress(lang, 18) as step:
        chosen, run = _assessed(study, scheme, step)
    ranks = run.tables["methods"].set_index("id").drop(columns="difference")
    tau = agreement.kendall_tau(ranks)
    turning = {name: scoring.is_relative(one) for name, one in agreement.variants(chosen).items()}
    titles = {name: agreement.title(name).render(lang) for name in turning}
    _show(
        gettext("How alike the lists are (Kendall's τ-b: 1 the same, 0 unrelated)", lang),
        [gettext("Method", lang), *(str(n) for n in range(1, len(tau) + 1))],
        [
            [f"{n} {titles[str(name)]}{' *' if turning[str(name)] else ''}", *(f"{value:.2f}" for value in row)]
            for n, (name, row) in enumerate(zip(tau.index, tau.to_numpy(), strict=True), start=1)
        ],
    )
    typer.echo("* " + gettext("Scores depend on the other neighbourhoods: one that comes or goes can turn ranks around.", lang))
    names = _names(run, lang)
    moved = agreement.extremes(ranks, top)
    _show(
        gettext("Where the methods differ most", lang),
        [gettext(text, lang) for text in (N_("Code"), N_("Name"), N_("Highest under"), N_("Lowest under"))]
        + [gettext(text, lang) for text in (N_("Rank"), N_("Highest"), N_("Lowest"))],
        [
            [str(ident), names[str(ident)], titles[best_by], titles[worst_by], str(own), str(best), str(worst)]
            for ident, own, best, best_by, worst, worst_by in zip(
                moved.index, moved["own"], moved["best"], moved["best_by"], moved["worst"], moved["worst_by"], strict=True
            )
        ],
        text=4,
    )
    _show_data_weights(run, chosen, lang)
    tell_findings(scoring.cautions(chosen), lang, err=False)


def _show_data_weights(run: Run, scheme: Scheme, lang: Lang) -> None:
    """The chosen weights, what each criterion does to the list, and the weights that the spread of the data alone would give."""
    from geo import agreement, scoring, weights
    from geo.figures import percent
    from geo.groups import named

    values = scoring.normalised(run.priorities.set_index("id"), scheme)[[one.measure for one in scheme.criteria]].to_numpy()
    floor = scheme.options.geometric_floor
    points = run.priorities[[f"contribution_{one.measure}" for one in scheme.criteria]]
    driven = agreement.drive(points, run.priorities["score"])
    by_data = (weights.critic(values), weights.merec(floor / (floor + (1 - floor) * values)))
    _show(
        gettext("Weights chosen, what moves the list, and what the spread of the data alone would say", lang),
        [gettext("Criterion", lang), gettext("Weight", lang), gettext("Moves the list", lang), "CRITIC", "MEREC"],
        [
            [named(one.measure)[lang], percent(one.weight), percent(driven.iloc[n]), *(percent(found[n]) for found in by_data)]
            for n, one in enumerate(scheme.criteria)
        ],
    )


@app.command(
    help=N_("Weights and list of each stakeholder group, and where the groups differ most."),
    epilog=EXAMPLE + "tarmim groups homs --scheme participatory",
)
def groups(ctx: typer.Context, study: StudyArgument, scheme: SchemeOption = None, top: TopOption = 10) -> None:
    from geo import agreement, scoring
    from geo.errors import SchemeError, finding
    from geo.figures import figure, percent
    from geo.groups import named
    from geo.messages import message

    lang: Lang = ctx.obj
    with faults(lang), progress(lang, 18) as step:
        chosen, run = _assessed(study, scheme, step)
        if not chosen.groups:
            raise SchemeError(
                finding(
                    "no-groups",
                    "error",
                    f"{chosen.id}.toml",
                    message("The scheme has no stakeholder groups."),
                    remedy=message("Add [groups.<id>] tables, or try --scheme participatory."),
                )
            )
    weighed = chosen.weighed()
    people = {ident: group.name.model_dump()[lang] for ident, group in chosen.groups.items()}
    rows = [
        [named(name)[lang], *(percent(weighed.table[ident][name]) for ident in people), percent(weighed.combined[name])]
        for name in weighed.combined
    ]
    _show(gettext("Weights by group", lang), [gettext("Criterion", lang), *people.values(), gettext("Combined", lang)], rows)
    if len(weighed.consistency):
        _show(
            gettext("Consistency of the comparisons (ratio, at most 0.10)", lang),
            [gettext(text, lang) for text in (N_("Group"), N_("Table"), N_("Items"), N_("Ratio"))],
            [
                [people[row["group"]], named(row["table"])[lang], str(row["items"]), figure(row["ratio"], 3)]
                for row in weighed.consistency.to_dict("records")
            ],
            text=2,
        )
    _show_group_ranks(run.tables["groups"].set_index("id"), run, people, top, lang)
    tell_findings(
        [*scoring.cautions(chosen), *agreement.group_findings(run.tables["groups"].set_index("id"), chosen)], lang, err=False
    )


def _show_group_ranks(table: pd.DataFrame, run: Run, people: dict[str, str], top: int, lang: Lang) -> None:
    from geo import agreement

    ranks = table[[f"rank_{ident}" for ident in people]]
    own, names = run.priorities.set_index("id")["rank"], _names(run, lang)
    _show(
        gettext("Where the groups differ most: ranks", lang),
        [gettext("Code", lang), gettext("Name", lang), gettext("List", lang), *people.values()],
        [
            [str(ident), names[str(ident)], str(own[ident]), *(str(ranks.at[ident, column]) for column in ranks)]
            for ident in agreement.extremes(ranks, top).index
        ],
        text=2,
    )


@app.command(
    help=N_("How sure each rank is when weights and data vary: who is surely among the first, and who can't be told apart."),
    epilog=EXAMPLE + "tarmim confidence homs --top 20",
)
def confidence(ctx: typer.Context, study: StudyArgument, scheme: SchemeOption = None, top: TopOption = 20) -> None:
    from geo.confidence import at_cutoff, not_drawn

    lang: Lang = ctx.obj
    with faults(lang), progress(lang, 18) as step:
        chosen, run = _assessed(study, scheme, step)
    listed = run.priorities[run.priorities["status"] == "ranked"]
    if "rank_low" not in listed:
        tell_findings(not_drawn(len(listed)), lang, err=False)
        return
    _show_chances(listed.head(top), chosen, lang)
    _show_assumptions(run, lang)
    tell_findings(at_cutoff(listed.set_index("id"), chosen), lang, err=False)


def _show_chances(listed: pd.DataFrame, scheme: Scheme, lang: Lang) -> None:
    from geo.confidence import heads, of_hundred
    from geo.figures import span

    said = (N_("Code"), N_("Name"), N_("Rank"), N_("in 90 of 100 draws"), N_("Band"), N_("First"))
    columns = ["chance_first", *(f"chance_top_{k}" for k in heads(scheme))]
    rows = []
    for row in listed.to_dict("records"):
        places = span(float(row["rank_low"]), float(row["rank_high"]))
        chances = [of_hundred(float(row[name])) + "%" for name in columns]
        rows.append([row["id"], str(row[f"name_{lang}"]), str(row["rank"]), places, str(row["band"]), *chances])
    _show(
        gettext("Chances of ranks in {draws} draws", lang, draws=scheme.confidence.draws),
        [*(gettext(text, lang) for text in said), *(gettext("First {top}", lang, top=k) for k in heads(scheme))],
        rows,
        text=2,
    )
    share = round(scheme.confidence.sure * 100)
    typer.echo(gettext("A band ends before the first that its head beats in at least {share}% of the draws.", lang, share=share))


def _show_assumptions(run: Run, lang: Lang) -> None:
    from geo import registers
    from geo.figures import figure

    known = registers.register("assumptions")
    _show(
        gettext("What each assumption does by itself", lang),
        [
            gettext(text, lang)
            for text in (N_("Assumption"), N_("Draws"), N_("Values that it varies"), N_("Places moved"), N_("Past the cut-off"))
        ],
        [
            [registers.both(known[row["id"]], "name")[lang], *(figure(row[name], 0) for name in ("draws", "values"))]
            + [figure(row[name], 2) for name in ("places_moved", "changed_at_cutoff")]
            for row in run.tables["assumptions"].to_dict("records")
        ],
    )
