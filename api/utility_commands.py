"""Commands about water, sewerage, electricity and telecom: what each repair brings back, and in which order to repair."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from api.method_commands import SchemeOption, StudyArgument, _show
from api.terminal import N_, accepted, database, faults, progress
from geo.errors import Finding, LayerError, finding
from geo.messages import Lang, Message, gettext, message

if TYPE_CHECKING:
    import pandas as pd

    from geo.harmonise import City
    from geo.utilities import Utilities

app = typer.Typer()
EXAMPLE = N_("Example:") + "\n\n"


@app.command(
    help=N_("The works of the water, sewerage, electricity and telecom networks: who is reconnected by each, and what it needs."),
    epilog=EXAMPLE + "tarmim networks homs --sector water --out water.xlsx",
)
def networks(
    ctx: typer.Context,
    study: StudyArgument,
    scheme: SchemeOption = None,
    sector: Annotated[str | None, typer.Option(help=N_("water, sewerage, electricity or telecom; all without it"))] = None,
    top: Annotated[int, typer.Option(min=0, max=100_000, help=N_("Lines of each list to show"))] = 10,
    fair: Annotated[bool, typer.Option("--fair", help=N_("Also fair shares; takes minutes in a large city"))] = False,
    out: Annotated[
        Path | None, typer.Option(help=N_("File for the whole list of one sector (.csv, .xlsx, .gpkg or .geojson)"))
    ] = None,
) -> None:
    from geo import utility_works

    lang: Lang = ctx.obj
    with faults(lang), progress(lang, 18) as step:
        city, made = _utilities(study, scheme, step)
        tables = utility_works.utility_works(made, city, fair=fair)
        if sector is not None:
            tables = {name: table for name, table in tables.items() if name == f"{sector}_works"}
        if not tables or (out is not None and len(tables) != 1):
            raise LayerError(_which_network([name.removesuffix("_works") for name in utility_works.TITLES], sector))
        if out is not None:
            ((name, table),) = tables.items()
            utility_works.write(table, out, lang, name)
    for name, table in tables.items():
        _tell_network(name, table.head(top), len(table), lang)
    typer.echo(gettext("What single works give must not be added up; the column of its place in the list may.", lang))
    if out is not None:
        typer.echo(gettext("Written to {folder}", lang, folder=out))


@app.command(
    "repair-plan",
    help=N_("The order of repairs of one network in which people go without service least, period by period."),
    epilog=EXAMPLE + "tarmim repair-plan homs --sector water --crews 10 --out plan.xlsx",
)
def repair_plan(
    ctx: typer.Context,
    study: StudyArgument,
    sector: Annotated[str, typer.Option(help=N_("water, sewerage, electricity or telecom"))],
    scheme: SchemeOption = None,
    crews: Annotated[float, typer.Option(min=1, max=10_000, help=N_("Repairs that one period allows"))] = 10,
    seconds: Annotated[float, typer.Option(min=1, max=3600, help=N_("Longest time for each exact step"))] = 10,
    top: Annotated[int, typer.Option(min=0, max=100_000, help=N_("Lines of the plan to show"))] = 20,
    out: Annotated[Path | None, typer.Option(help=N_("File for the whole plan (.csv or .xlsx)"))] = None,
) -> None:
    from geo import network_plans, restoration
    from geo.export import write_table
    from geo.figures import figure

    lang: Lang = ctx.obj
    with faults(lang), progress(lang, 18) as step:
        city, made = _utilities(study, scheme, step)
        kinds = (
            city.layers[sector].frame.set_index("id")["kind"]
            if sector in city.layers and "id" in city.layers[sector].frame
            else None
        )
        step(message("Planning the repairs"))
        found = network_plans.plan_network(made, sector, crews=crews, kinds=kinds, solver=restoration.Solver(seconds=seconds))
        headings = {name: text.render(lang) for name, text in network_plans.COLUMNS.items()}
        if out is not None:
            write_table(found.table.rename(columns=headings), out, title=message("Plan of repairs"), lang=lang)
    _show(
        gettext("People waiting, times periods, by the way of planning", lang),
        [gettext("Way of planning", lang), gettext("People × periods", lang), gettext("Of the first", lang)],
        [
            [network_plans.METHODS[str(method)].render(lang), figure(row["waiting"], 0), figure(row["share"], 3)]
            for method, row in found.compared.iterrows()
        ],
    )
    rows = [
        [str(row["period"]), row["id"], str(row["kind"]), figure(row["effort"], 0), figure(row["people"], 0)]
        for row in found.table.head(top).to_dict("records")
    ]
    _show(gettext("Plan of repairs, {n} in all", lang, n=len(found.table)), list(headings.values()), rows, text=3)
    if found.waiting_for_others:
        waiting = found.waiting_for_others
        typer.echo(
            gettext(
                "Waiting for another network: {elements}",
                lang,
                elements=" ".join(waiting[:10]) + (" …" if len(waiting) > 10 else ""),
            )
        )
    if out is not None:
        typer.echo(gettext("Written to {folder}", lang, folder=out))


def _utilities(study: Path, scheme: str | None, step: Callable[[Message], None]) -> tuple[City, Utilities]:
    from geo import pipeline, scenarios, utilities

    opened, chosen = pipeline.open_study(study, scheme)
    city = pipeline.read_city(opened, step, accepted=accepted(opened, database()))
    made = utilities.of(city, chosen, scenarios.people(city).table)
    if made is None:
        raise LayerError(
            finding(
                "no-networks",
                "error",
                "networks",
                message("No network of the study has a source in its layer."),
                expected=message("Elements of the kinds that data/network_sources.csv names, such as a tank or a substation."),
                remedy=message("Add the sources to the layer, with their kind."),
            )
        )
    return city, made


def _which_network(known: list[str], sector: str | None) -> Finding:
    return finding(
        "network-unknown",
        "error",
        "--sector",
        message("'{name}' has no list here.", name=sector or "-"),
        expected=message("One of {known}, with a source in its layer.", known=known),
        remedy=message("Say one with --sector; a file holds one list."),
    )


def _tell_network(name: str, table: pd.DataFrame, total: int, lang: Lang) -> None:
    from geo.figures import figure
    from geo.utility_works import COLUMNS, TITLES, in_words

    shown = ["id", "kind", "zone", "state", "people", "people_elsewhere", "repairs", "people_then", "dependents"]
    shown += [one for one in ("fair_people",) if one in table]
    rows = [
        [figure(row[one], 0) if isinstance(row[one], float) else str(row[one]) for one in shown]
        for row in in_words(table, lang)[shown].fillna("").to_dict("records")
    ]
    title = f"{TITLES[name].render(lang)} ({total})"
    _show(title, [COLUMNS[one].render(lang) for one in shown], rows, text=4)
