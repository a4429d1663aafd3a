"""Commands about roads as a network: how it hangs together and where its drawing is in doubt."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from api.method_commands import SchemeOption, StudyArgument, _show
from api.terminal import N_, accepted, database, faults, progress
from geo.errors import Finding, LayerError, finding
from geo.messages import Lang, gettext, message

if TYPE_CHECKING:
    import pandas as pd

    from geo.graphs import Graph

app = typer.Typer()
EXAMPLE = N_("Example:") + "\n\n"


@app.command(
    help=N_(
        "The roads as a network: parts that hang on nothing and why, suspected gaps of the drawing, what is open and closed now."
    ),
    epilog=EXAMPLE + "tarmim graph homs --out gaps.csv",
)
def graph(
    ctx: typer.Context,
    study: StudyArgument,
    scheme: SchemeOption = None,
    reach: Annotated[
        float, typer.Option(min=1, max=200, help=N_("A dead end so near to another part is a suspected gap, metres"))
    ] = 25.0,
    top: Annotated[int, typer.Option(min=0, max=100_000, help=N_("Suspected gaps to show"))] = 10,
    out: Annotated[Path | None, typer.Option(help=N_("Write all suspected gaps into a .csv file"))] = None,
) -> None:
    from geo import closures, gaps, pipeline, road_network
    from geo.export import plain, write_whole

    lang: Lang = ctx.obj
    with faults(lang), progress(lang, 16) as step:
        opened, chosen = pipeline.open_study(study, scheme)
        known = accepted(opened, database())
        city = pipeline.read_city(opened, step, accepted=known)
        roads = road_network.read_roads(city, known)
        network = road_network.road_graph(roads)
        found = gaps.gaps(network, reach_m=reach)
        parts = gaps.components(network, found, area=gaps.area_of(network, roads.extent), reach_m=reach)
        now = closures.closures(network, roads, city, chosen)
        listed = gaps.located(network, found, roads.frame)
        if out is not None:
            content = plain(listed).to_csv(index=False).encode("utf-8-sig")
            write_whole(out, lambda staging: staging.write_bytes(content))
    _tell(network, parts, listed.head(top), lang)
    _tell_state(network, now, lang)
    if out is not None:
        typer.echo(gettext("Written to {folder}", lang, folder=out))


def _tell(network: Graph, parts: pd.DataFrame, listed: pd.DataFrame, lang: Lang) -> None:
    from geo.figures import figure
    from geo.gaps import WHY, one_sided
    from geo.messages import messages

    typer.echo(
        gettext(
            "Nodes: {nodes}, edges: {edges}, kilometres: {km}, parts: {parts}; lines that made no edge: {lines}.",
            lang,
            nodes=len(network.places),
            edges=len(network),
            km=figure(network.length_m.sum() / 1000, 1),
            parts=len(parts),
            lines=len(network.left_out),
        )
    )
    by = parts.groupby("why").agg(
        parts=("nodes", "size"), nodes=("nodes", "sum"), metres=("length_m", "sum"), share=("share", "sum")
    )
    by = by.reindex([why for why in WHY if why in by.index])
    _show(
        gettext("Parts of the network, and why they are apart", lang),
        [gettext(text, lang) for text in (N_("Why"), N_("Parts"), N_("Nodes"), N_("Kilometres"), N_("Share of the length"))],
        [
            [WHY[str(why)].render(lang), str(count), str(nodes), figure(metres / 1000, 1), f"{figure(share * 100, 2)}%"]
            for why, count, nodes, metres, share in zip(by.index, by["parts"], by["nodes"], by["metres"], by["share"], strict=True)
        ],
    )
    turned = int(one_sided(network).sum())
    if turned:
        said = messages(
            "{n} node can only be entered or only be left: is a one-way street near it drawn against its direction?",
            "{n} nodes can only be entered or only be left: are one-way streets near them drawn against their direction?",
            turned,
        )
        typer.echo(said.render(lang))
    if len(listed):
        _show(
            gettext("Suspected gaps of the drawing, to be looked at", lang),
            [gettext(text, lang) for text in (N_("Row"), N_("Nearly reaches row"), N_("Metres"), N_("Longitude"), N_("Latitude"))],
            [
                [str(row), str(other), figure(metres, 1), f"{lon:.6f}", f"{lat:.6f}"]
                for row, other, metres, lon, lat in zip(
                    *(listed[name] for name in ("row", "other_row", "distance_m", "lon", "lat")), strict=True
                )
            ],
        )


def _tell_state(network: Graph, now: pd.DataFrame, lang: Lang) -> None:
    """Edges and kilometres by state, and by the work that opens them; an edge that waits for two works counts under both."""
    from geo.closures import STATES, WORKS
    from geo.figures import figure

    def row(name: str, chosen: pd.Series[bool]) -> list[str]:
        metres = network.length_m[chosen.to_numpy()].sum()
        share = figure(metres / network.length_m.sum() * 100, 1)
        return [name, str(int(chosen.sum())), figure(metres / 1000, 1), f"{share}%"]

    headings = [gettext(text, lang) for text in (N_("Edges"), N_("Kilometres"), N_("Share of the length"))]
    if len(now):
        _show(
            gettext("State of the roads now", lang),
            [gettext("State", lang), *headings],
            [row(text.render(lang), now["state"] == state) for state, text in STATES.items()],
        )
        _show(
            gettext("What closed and slowed roads wait for, each for those before it", lang),
            [gettext("Work", lang), *headings],
            [row(text.render(lang), now["works"].str.contains(work)) for work, text in WORKS.items()],
        )


@app.command(
    help=N_("The works of the roads directorate: who regains access by each, minutes saved, what must be done before it."),
    epilog=EXAMPLE + "tarmim roads homs --fair --out roads.xlsx",
)
def roads(
    ctx: typer.Context,
    study: StudyArgument,
    scheme: SchemeOption = None,
    top: Annotated[int, typer.Option(min=0, max=100_000, help=N_("Lines of the list to show"))] = 10,
    fair: Annotated[bool, typer.Option("--fair", help=N_("Also fair shares and detours; takes minutes in a large city"))] = False,
    out: Annotated[Path | None, typer.Option(help=N_("File for the whole list (.csv, .xlsx, .gpkg or .geojson)"))] = None,
) -> None:
    from geo import mobility, pipeline, road_works, scenarios

    lang: Lang = ctx.obj
    with faults(lang), progress(lang, 18) as step:
        opened, chosen = pipeline.open_study(study, scheme)
        city = pipeline.read_city(opened, step, accepted=accepted(opened, database()))
        made = mobility.of(city, chosen, scenarios.people(city).table)
        if made is None:
            raise LayerError(_no_access())
        table = road_works.road_works(made, city, fair=fair)
        if out is not None:
            road_works.write(table, out, lang)
    _tell_works(table.head(top), len(table), lang)
    if out is not None:
        typer.echo(gettext("Written to {folder}", lang, folder=out))


def _no_access() -> Finding:
    return finding(
        "no-roads",
        "error",
        "roads",
        message("Access needs a layer of roads and one of facilities."),
        remedy=message("Add both to study.toml."),
    )


def _tell_works(table: pd.DataFrame, total: int, lang: Lang) -> None:
    from geo.figures import figure
    from geo.road_works import COLUMNS, in_words

    shown = ["id", "kind", "zone", "works", "length_m", "people", "person_minutes", "needs"]
    shown += [name for name in ("fair_access", "fair_person_minutes", "detour_min") if name in table]
    rows = [
        [figure(row[name], 0) if isinstance(row[name], float) else str(row[name]) for name in shown]
        for row in in_words(table, lang)[shown].fillna("").to_dict("records")
    ]
    _show(gettext("Road works, {n} in all", lang, n=total), [COLUMNS[name].render(lang) for name in shown], rows, text=4)
    typer.echo(gettext("What single works give must not be added up; fair shares (--fair) may.", lang))
