"""Ranking as a whole: read, assess, keep, write what people open. For the command and for the job that does the same later."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from api.terminal import accepted, database, with_overrides
from geo.messages import Lang, Message, message

if TYPE_CHECKING:
    from geo.harmonise import City
    from geo.run import Run


def assessed(study: Path, scheme: str | None, step: Callable[[Message], None], *, scenario: str = "now") -> tuple[City, Run]:
    from geo import pipeline, scenarios

    opened, chosen = pipeline.open_study(study, scheme)
    city = pipeline.read_city(opened, step, accepted=accepted(opened, database()))
    city = scenarios.under(city, scenario)
    return city, pipeline.assess(city, chosen, step)


def write_map(run: Run, city: City, path: Path, lang: Lang) -> Path:
    """The map of a run as one file that needs nothing else; whole or not at all."""
    from geo.export import write_whole
    from maps.page import single_file

    layers = {name: layer.frame for name, layer in city.layers.items() if name not in ("neighbourhoods", "population")}
    layers |= {name: table for name, table in run.tables.items() if name.endswith("_works")}
    return write_whole(path, lambda staging: staging.write_text(single_file(run, layers, lang=lang), encoding="utf-8"))


def ranked(
    study: Path,
    out: Path | None,
    scheme: str | None,
    lang: Lang,
    step: Callable[[Message], None],
    *,
    by: str,
    origin: str,
    scenario: str = "now",
    with_tiles: bool = False,
) -> tuple[Run, Path]:
    """The run of a study and the folder that its files for people were written to; its vector tiles too where asked."""
    from geo import export

    city, run = assessed(study, scheme, step, scenario=scenario)
    folder = out or _kept(run, city.study.folder, by, origin)
    step(message("Writing tables and map"))
    run = with_overrides(run, city.study, database())
    export.export(run, folder)
    write_map(run, city, folder / "map.html", lang)
    if with_tiles:
        from geo import tiles

        tiles.make_all(city, run, city.study.folder / tiles.FOLDER, step)
    return run, folder


def _kept(run: Run, study: Path, by: str, origin: str) -> Path:
    """Enter a run into the study's store; its files for people go into `exports/<run>`."""
    from geo.store import Store

    with Store.open(study, database()) as store:
        store.add_run(run, datetime.datetime.now(datetime.UTC), by=by, origin=origin)
    return study / "exports" / run.id
