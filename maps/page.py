"""The pages: the map (served, or as one file), the list that works without a script, the entrance.

folium executes text as templates (branca compiles the rendered script a second time), so it builds only the empty map, once, from
the constants in this module. Names, words and numbers come after that, as JSON that the script shows with `textContent`; in the one
file they are placed after rendering, with every `<` escaped.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from geo.errors import UnknownNameError, finding
from geo.messages import LANGS, Lang, message
from geo.overrides import in_words
from geo.registers import both, register
from geo.run import for_sector
from geo.utility_works import TITLES
from maps.figures import amount, figure, in_language, on_screen, percent, rank_figure, span
from maps.palettes import palettes
from maps.payload import SCORE_DECIMALS, VERTEX_CAP, city_payload, encode, layer_payload
from maps.words import both as both_words
from maps.words import for_script, word

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import geopandas as gpd

    from geo.run import Run

LEAFLET_JS: Final = "vendor/leaflet/leaflet.js"
LEAFLET_CSS: Final = "vendor/leaflet/leaflet.css"
STYLES: Final = (LEAFLET_CSS, "tarmim.css")
LANGUAGE_NAMES: Final[dict[Lang, str]] = {"ar": "عربي", "en": "EN"}
FILE_BYTES: Final = 1_500_000
FILE_CAPS: Final = (VERTEX_CAP, 20_000, 8_000)
WORKS_LAYERS: Final = ("road_works", *TITLES)
LAYER_ORDER: Final = (
    "damage",
    "facilities",
    "obstacles",
    "hazards",
    "water",
    "electricity",
    "complaints",
    "roads",
    "sewerage",
    "telecom",
    *WORKS_LAYERS,
    "left_out",
)
DRAW_ORDER: Final = (
    "buildings",
    "roads",
    "sewerage",
    "water",
    "telecom",
    "electricity",
    *WORKS_LAYERS,
    "complaints",
    "damage",
    "facilities",
    "obstacles",
    "hazards",
    "left_out",
)
NO_LAYER: Final = ("neighbourhoods", "population")


# ------------------------------------------------------------------------------------------------------------------ shell


@dataclass(frozen=True)
class Shell:
    """What folium made of our constants: the map's element, the scripts it needs, what runs before and after them."""

    html: Markup
    scripts: tuple[str, ...]
    before: Markup
    script: Markup


@lru_cache(maxsize=1)
def shell() -> Shell:
    """The empty map: no tiles, no controls, a pane for layers and one for names. Takes a second the first time."""
    import folium
    from folium.map import CustomPane

    board = folium.Map(location=(0, 0), zoom_start=2, tiles=None, zoom_control=False, attribution_control=False, zoom_snap=0.25)
    board._id = "tarmim"
    board.default_js = [("leaflet", LEAFLET_JS)]
    board.default_css = [("leaflet_css", LEAFLET_CSS)]
    for name, level in (("context", 450), ("names", 460)):
        pane = CustomPane(name, z_index=level)
        pane._id = name
        pane.add_to(board)
    root = board.get_root()
    root.render()
    header = root.header.render()
    return Shell(
        html=Markup(root.html.render().strip()),  # noqa: S704
        scripts=tuple(re.findall(r'<script src="([^"]+)">', header)),
        before=Markup("".join(re.findall(r"<script>(.*?)</script>", header, flags=re.DOTALL)).strip()),  # noqa: S704
        script=Markup(root.script.render().strip()),  # noqa: S704
    )


# ----------------------------------------------------------------------------------------------------------------- assets


@lru_cache(maxsize=32)
def static(name: str) -> bytes:
    """A file of `maps/static`; `name` comes from this module, never from a request."""
    return files("maps").joinpath("static", *name.split("/")).read_bytes()


def versioned(assets_url: str, name: str) -> str:
    """URL of a file of `maps/static` that changes with its content, so that it may be kept for ever."""
    return f"{assets_url.rstrip('/')}/{name}?v={hashlib.sha256(static(name)).hexdigest()[:12]}"


def inline_style() -> str:
    """Both style sheets with the fonts in them."""
    text = "\n".join(static(name).decode() for name in STYLES).replace("\r\n", "\n")

    def font(found: re.Match[str]) -> str:
        return f"url(data:font/woff2;base64,{base64.b64encode(static(found[1])).decode()})"

    return re.sub(r"url\((vendor/[^)]+\.woff2)\)", font, text)


def as_script_data(content: bytes) -> Markup:
    """JSON that can stand in a script element: `<` escaped, so that nothing in it can end the element.

    >>> "<" in as_script_data(b'{"name": "</script><b>"}')
    False
    """
    return Markup(content.decode().replace("<", "\\u003c"))  # noqa: S704


@lru_cache(maxsize=1)
def environment() -> Environment:
    """Our own templates, everything escaped, a missing value is an error."""
    return Environment(
        loader=PackageLoader("maps"), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )


def rendered(template: str, lang: Lang, *, assets_url: str, **values: Any) -> str:
    """A page from its template."""
    return (
        environment()
        .get_template(template)
        .render(
            lang=lang,
            words=for_script(lang),
            styles=values.pop("styles", ("tarmim.css",)),
            asset=lambda name: versioned(assets_url, name),
            **values,
        )
    )


# -------------------------------------------------------------------------------------------------------------------- map


def layer_label(name: str) -> dict[str, str]:
    """Name of a context layer in both languages; the bare name for a layer that no register knows."""
    if name == "left_out":
        return both_words("layer_left_out")
    known, works = register("layers"), {**TITLES, "road_works": message("Road works")}
    if name in works:
        return works[name].both()
    return both(known[name], "name") if name in known else dict.fromkeys(LANGS, name)


def script_config(**values: Any) -> dict[str, Any]:
    """What the script needs besides the data: words, colours, where the data is."""
    colours = {name: palette["colours"] for name, palette in palettes().items() if name in ("priority", "damage", "people")}
    return {
        "messages": {lang: for_script(lang) for lang in LANGS},
        "palettes": colours,
        "score_decimals": SCORE_DECIMALS,
        "order": DRAW_ORDER,
        **values,
    }


def map_page(
    *,
    lang: Lang,
    title: Mapping[str, str],
    data_url: str,
    layer_urls: Mapping[str, str],
    assets_url: str,
    nonce: str,
    run: str = "",
    generated: bool = False,
    list_url: str | None = None,
) -> str:
    """The map page of a run, served: data and layers come by `fetch`, scripts and styles as files.

    Parameters
    ----------
    title
        Name of the city by language.
    data_url
        Where `city_payload` is.
    layer_urls
        Where `layer_payload` of each layer is, by name; fetched when somebody switches the layer on.
    assets_url
        Where `maps/static` is.
    nonce
        Of the page's Content-Security-Policy; the two short scripts by folium carry it, nothing else is inline. `style-src 'self'`
        is enough.
    run, generated
        Shown in the header before the data is there.
    list_url
        Of the list page; `{lang}` in it is replaced by the language.
    """
    layers = [{"name": name, "url": url, "label": layer_label(name)} for name, url in layer_urls.items()]
    config = script_config(lang=lang, title=dict(title), data_url=data_url, layers=layers, list_url=list_url)
    return _map(
        lang, title, run, config, assets_url=assets_url, generated=generated, nonce=nonce, data_url=data_url, list_url=list_url
    )


def _map(lang: Lang, title: Mapping[str, str], run: str, config: dict[str, Any], **values: Any) -> str:
    city = in_language(dict(title), lang)
    return rendered(
        "map.html",
        lang,
        **{"assets_url": "", "policy": None, "inline": None, "nonce": "", "data_url": None, "list_url": None, "styles": STYLES}
        | values,
        title=word("title", lang, city=city),
        city=city,
        run_line=word("run", lang, run=run) if run else "",
        shell=shell(),
        config=as_script_data(encode(config)),
    )


# --------------------------------------------------------------------------------------------------------------- one file


def single_file(run: Run, layers: Mapping[str, gpd.GeoDataFrame] | None = None, *, lang: Lang) -> str:
    """The map as one file that opens by double click, without any request; at most 1.5 MB where the city itself allows it.

    Parameters
    ----------
    layers
        Context layers by name. Each is drawn with fewer features, or left out, where the file would grow too big; the page says so.
    """
    info = run.info
    study = info["study"]
    scripts = [
        shell().before,
        *(static(name).decode() for name in shell().scripts),
        shell().script,
        static("tarmim-map.js").decode(),
    ]
    style = inline_style()
    city = as_script_data(encode(city_payload(run)))
    spent = sum(len(part.encode()) for part in (style, city, *scripts)) + 60_000
    entries, data = within_bytes({"left_out": run.left_out} | dict(layers or {}), FILE_BYTES - spent)
    config = script_config(lang=lang, title=study["name"], data_url=None, layers=entries, list_url=None)
    inline = {
        "style": Markup(style),  # noqa: S704
        "data": [("city", city), *data],
        "scripts": [Markup(script) for script in scripts],  # noqa: S704
    }
    return _map(
        lang,
        study["name"],
        str(run.id),
        config,
        generated=bool(study.get("generated")),
        inline=inline,
        policy=policy(scripts, style),
    )


def within_bytes(layers: Mapping[str, gpd.GeoDataFrame], budget: int) -> tuple[list[dict[str, Any]], list[tuple[str, Markup]]]:
    """The layers that fit, most useful first and each with a smaller cap until it fits; those that don't are declared `too_big`."""
    names = [name for name in LAYER_ORDER if name in layers] + [name for name in layers if name not in (*LAYER_ORDER, *NO_LAYER)]
    entries: list[dict[str, Any]] = []
    data: list[tuple[str, Markup]] = []
    for name in names:
        if not len(layers[name]):
            continue
        block = next((made for made in _capped(name, layers[name]) if len(made.encode()) <= budget), None)
        entries.append({"name": name, "url": None, "label": layer_label(name), "too_big": block is None})
        if block is not None:
            budget -= len(block.encode())
            data.append((f"layer-{name}", block))
    return entries, data


def _capped(name: str, frame: gpd.GeoDataFrame) -> Iterable[Markup]:
    for cap in FILE_CAPS:
        yield as_script_data(encode(layer_payload(name, frame, cap=cap)))


def policy(scripts: Iterable[str], style: str) -> str:
    """A Content-Security-Policy under which the file runs these scripts and this style and asks nobody for anything."""

    def digest(text: str) -> str:
        return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"

    run = " ".join(digest(script) for script in scripts)
    allowed = f"script-src {run}; style-src {digest(style)}; font-src data:; img-src data:"
    return f"default-src 'none'; {allowed}; base-uri 'none'; form-action 'none'"


# ------------------------------------------------------------------------------------------------------------------- list


def list_page(
    run: Run,
    *,
    lang: Lang,
    sector: str | None = None,
    assets_url: str,
    map_url: str | None = None,
    downloads: Mapping[str, str] | None = None,
    language_urls: Mapping[str, str] | None = None,
    sector_urls: Mapping[str, str] | None = None,
) -> str:
    """The ranked list as a table, without any script.

    Parameters
    ----------
    sector
        The list of a directorate: ordered by the sub-score of its sector (`geo.run.for_sector`), with its criteria only.
    assets_url
        Where `maps/static` is.
    downloads
        URLs by what stands on the link ("XLSX", "CSV", …).
    language_urls
        URLs of this page by language.
    sector_urls
        URLs of the lists by sector; '' for the whole list.

    Raises
    ------
    UnknownNameError
        The run knows no such sector.
    """
    info = run.info
    sectors = info["sectors"]
    if sector is not None and sector not in sectors:
        raise UnknownNameError(
            finding(
                "unknown-name",
                "error",
                "sectors",
                message("'{name}' is not known.", name=sector),
                expected=message("Known: {known}.", known=list(sectors)),
            )
        )
    city = in_language(info["study"]["name"], lang)
    named = in_language(sectors[sector], lang) if sector else ""
    scored = sector is not None and f"sector_{sector}" in run.priorities
    table = for_sector(run, sector) if sector is not None and scored else run.priorities
    columns = criteria_columns(run, lang, sector)
    drawn = [name for name in ("rank_low", "rank_high") if name in table]
    rows = [list_row(row, lang, columns) for row in table.astype(dict.fromkeys(drawn, "float64")).to_dict("records")]
    return rendered(
        "list.html",
        lang,
        assets_url=assets_url,
        title=word("title_sector", lang, city=city, sector=named) if sector else word("title_list", lang, city=city),
        city=city,
        run_line=word("run", lang, run=str(run.id)),
        generated=bool(info["study"].get("generated")),
        map_url=map_url,
        languages=language_links(language_urls),
        downloads=list((downloads or {}).items()),
        sectors=[
            (in_language(sectors[name], lang) if name else word("list_all", lang), url, name == (sector or ""))
            for name, url in (sector_urls or {}).items()
            if not name or name in sectors
        ],
        sector=named,
        scored=scored,
        columns=columns,
        drawn=bool(drawn),
        districts=bool((table["district"].astype("string").fillna("") != "").any()),
        rows=rows,
        decisions=[one for one in rows if one["decided"]],
        cost=in_words(run)[lang],
        sources=[source_line(layer, lang) for layer in info["layers"]],
        method=word(
            "method_text", lang, scheme=in_language(info["scheme"]["name"], lang), share=percent(info["scheme"]["minimum_coverage"])
        ),
        made_with=word("made_with", lang, version=str(info.get("tarmim") or "")),
    )


def criteria_columns(run: Run, lang: Lang, sector: str | None) -> list[dict[str, Any]]:
    """The criteria (of a sector) that the table shows, in the scheme's order, their words in one language."""
    measures = {measure["id"]: on_screen(measure) for measure in run.info["measures"] if measure["id"] in run.priorities}
    criteria = dict.fromkeys(one["measure"] for one in run.info["scheme"]["criteria"])
    chosen = [measures[name] for name in criteria if name in measures and sector in (None, measures[name]["sector"])]
    return [one | {name: in_language(one[name], lang) for name in ("label", "unit")} for one in chosen]


def list_row(row: Mapping[Any, Any], lang: Lang, columns: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """One row of the table as text."""
    ranked = row["status"] == "ranked"
    names = {code: "" if pd.isna(row[f"name_{code}"]) else str(row[f"name_{code}"]) for code in LANGS}
    low, high = (figure(row[end], SCORE_DECIMALS) for end in ("score_low", "score_high"))
    return {
        "ranked": ranked,
        "rank": rank_figure(None if pd.isna(row["rank"]) else int(row["rank"]), bool(row["tied"])),
        "decided": decided_line(row, lang),
        "name": in_language(names, lang) or str(row["id"]),
        "district": "" if pd.isna(row["district"]) else str(row["district"]),
        "score": figure(row["score"], SCORE_DECIMALS) if ranked else word("not_assessable", lang),
        "interval": f"{low} – {high}" if ranked else "–",
        "places": span(row.get("rank_low"), row.get("rank_high")),
        "known": percent(row["coverage"]),
        "cells": [amount(None if pd.isna(row[one["id"]]) else float(row[one["id"]]), one) for one in columns],
    }


def decided_line(row: Mapping[Any, Any], lang: Lang) -> dict[str, str] | None:
    """A rank that somebody decided and that is not the computed one: in short, beside the computed one, and who, when and why."""
    rank = row.get("decided_rank")
    if rank is None or pd.isna(rank) or rank == row["rank"]:
        return None
    why = word("decided_other", lang)
    if not pd.isna(row["decided_by"]):
        why = word("decided_by", lang, **{name: str(row[f"decided_{name}"]) for name in ("by", "on", "why")})
    both_ranks = word("decided_both", lang, rank=int(row["rank"]), decided=int(rank))
    return {"short": word("decided_short", lang, rank=int(rank)), "both": both_ranks, "why": why}


def source_line(layer: Mapping[str, Any], lang: Lang) -> dict[str, str]:
    """What a page says of a layer's origin."""
    return {
        "label": in_language(layer["label"], lang),
        "source": in_language(layer["source"], lang),
        "date": str(layer.get("date") or ""),
        "licence": str(layer.get("licence") or ""),
        "used": word("rows_used", lang, used=int(layer["rows_used"]), total=int(layer["rows_read"])),
    }


def language_links(urls: Mapping[str, str] | None) -> list[tuple[str, str, str]]:
    """Code, name and URL of the page in each language that has one."""
    return [(lang, LANGUAGE_NAMES[lang], (urls or {})[lang]) for lang in LANGS if lang in (urls or {})]


def index_page(
    *, lang: Lang, entries: Sequence[Mapping[str, Any]], assets_url: str, language_urls: Mapping[str, str] | None = None
) -> str:
    """The entrance: one entry a city, with `name` by language, `generated`, `map_url`, `list_url`."""
    shown = [
        {
            "title": in_language(dict(one["name"]), lang),
            "generated": bool(one.get("generated")),
            "map_url": one.get("map_url"),
            "list_url": one.get("list_url"),
        }
        for one in entries
    ]
    return rendered(
        "index.html",
        lang,
        assets_url=assets_url,
        title=word("cities", lang),
        city=word("cities", lang),
        languages=language_links(language_urls),
        entries=shown,
    )


# ---------------------------------------------------------------------------------------------------------------------- people


def sign_in_page(*, lang: Lang, assets_url: str, language_urls: Mapping[str, str], **shown: Any) -> str:
    """The page on which one signs in with a token, or out.

    Parameters
    ----------
    shown
        `name` and `role` of who is signed in, `session`, `csrf`, where the forms go (`action`, `leave`), `map_url`.
    """
    return rendered(
        "sign_in.html",
        lang,
        assets_url=assets_url,
        title=word("sign_in", lang),
        city=word("sign_in", lang),
        languages=[(code, LANGUAGE_NAMES[code], language_urls[code]) for code in LANGS],
        **shown,
    )
