"""The ranked list: whole, cut for a directorate, its head, in every format; one neighbourhood with its explanation."""

from __future__ import annotations

import tempfile
from codecs import BOM_UTF8
from collections.abc import Callable, Mapping
from dataclasses import replace
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import quote

import geopandas as gpd
import orjson
import pandas as pd
from fastapi import APIRouter, Query, Request
from fastapi import Path as PathParameter
from fastapi.responses import Response

from api import models
from api.errors import TITLES, NotFoundError, RequestError, problem, unknown
from api.negotiation import accepted, answer, language
from api.runs import held_of
from api.state import Held, HeldStudy
from geo import export, kml
from geo.damage import NOTES
from geo.errors import finding
from geo.messages import LANGS, Lang, message
from geo.run import Run, for_sector, measure_record

router = APIRouter(tags=["lists"])

Format = Literal["json", "csv", "xlsx", "geojson", "gpkg", "parquet", "kml", "pdf", "html"]
Line = Literal["above", "across", "below"]
RunName = Annotated[
    str | None,
    Query(
        max_length=64,
        description="Code of a run; `published` is the one published last, `latest` the one shown",
        examples=["latest"],
    ),
]
MEDIA: dict[str, str] = {
    "json": "application/json",
    "html": "text/html",
    "csv": "text/csv",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "geojson": "application/geo+json",
    "gpkg": "application/geopackage+sqlite3",
    "parquet": "application/vnd.apache.parquet",
    "kml": "application/vnd.google-earth.kml+xml",
    "pdf": "application/pdf",
}


PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {
        "content": {"application/problem+json": {"schema": models.Problem.model_json_schema()}},
        "description": TITLES[status].render("en"),
    }
    for status in (400, 401, 403, 404, 406, 409, 413, 422, 423, 429, 460, 503, 507)
}


def scored_sectors(held: Held) -> list[str]:
    """Sectors that the scheme of the run scores."""
    return [name.removeprefix("sector_") for name in held.run.priorities.columns if name.startswith("sector_")]


def cut(held: Held, sector: str | None, top: int | None) -> tuple[gpd.GeoDataFrame, bool]:
    """The list of a sector and its head; ranks that tie at the end are all in, and it says so.

    Raises
    ------
    NotFoundError
        The scheme has no criterion of that sector; the message names those that have.
    """
    run = held.run
    if sector is not None and sector not in scored_sectors(held):
        raise NotFoundError(unknown("sector", sector, scored_sectors(held)))
    table = run.priorities if sector is None else for_sector(run, sector)
    if top is None:
        return table, False
    head = table[(table["rank"] <= top).fillna(value=False)]
    return head, len(head) > top


def narrowed(held: Held, table: gpd.GeoDataFrame, district: str | None, line: Line | None) -> gpd.GeoDataFrame:
    """The rows of a district, and of one side of the budget line.

    Raises
    ------
    NotFoundError
        No neighbourhood has such a district.
    """
    if district is not None:
        known = sorted(held.run.priorities["district"].dropna().unique().tolist())
        if district not in known:
            raise NotFoundError(unknown("district", district, known))
        table = table[(table["district"] == district).fillna(value=False)]
    return table if line is None else table[side_of_line(table, held.run) == line]


def side_of_line(table: pd.DataFrame, run: Run) -> pd.Series[Any]:
    """On which side of the line that the scheme's budget is thought to reach (`confidence.cutoff`) each row stands.

    `above` and `below` hold in as many draws as the scheme calls sure; `across` is what lies between, where the line may pass on
    either side. A list without draws, such as that of a directorate, goes by rank alone. Missing where there is no rank.
    """
    chosen = run.info["scheme"].get("confidence", {})
    cutoff, sure = int(chosen.get("cutoff", 10)), float(chosen.get("sure", 0.95))
    drawn = f"chance_top_{cutoff}"
    chance = table[drawn] if drawn in table else (table["rank"] <= cutoff).astype("Float64")
    side = pd.Series("across", index=table.index, dtype="string")
    side = side.mask((chance >= sure).fillna(value=False), "above").mask((chance <= 1 - sure).fillna(value=False), "below")
    return side.mask(table["rank"].isna())


def _json(held: Held, table: gpd.GeoDataFrame, sector: str | None, more: bool) -> bytes:
    run = held.run
    body = {
        "run": run.id,
        "study": run.info["study"]["id"],
        "scheme": run.info["scheme"]["id"],
        "sector": sector,
        "total": len(run.priorities),
        "count": len(table),
        "cut_in_tie": more,
        "items": export.records(table),
    }
    return orjson.dumps(body)


def _gpkg(held: Held, table: gpd.GeoDataFrame) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "priorities.gpkg"
        export.write_gpkg(held.run, path, table)
        return path.read_bytes()


def _xlsx(held: Held, table: gpd.GeoDataFrame, lang: Lang) -> bytes:
    out = BytesIO()
    export.write_xlsx(held.run, out, table, first=lang)
    return out.getvalue()


def _pdf(held: Held, table: gpd.GeoDataFrame, sector: str | None, lang: Lang) -> bytes:
    from maps.page import list_page
    from maps.pdf import ASSETS, list_pdf

    listed = held.run.priorities[held.run.priorities["id"].isin(table["id"])]
    return list_pdf(list_page(replace(held.run, priorities=listed), lang=lang, sector=sector, assets_url=ASSETS))


def _html(request: Request, held: Held, table: gpd.GeoDataFrame, sector: str | None, lang: Lang) -> bytes:
    from maps.page import list_page

    here, given = request.url_for("priorities").path, request.query_params
    narrowed_by = "".join(f"&{name}={quote(given[name])}" for name in ("run", "district", "budget_line") if name in given)
    of_sector = "".join(f"&{name}={quote(given[name])}" for name in ("sector", "top") if name in given) + narrowed_by
    page_url = f"{here}?format=html"
    pdf = ("pdf",) if find_spec("weasyprint") else ()
    listed = held.run.priorities[held.run.priorities["id"].isin(table["id"])]  # a sector's head keeps its order and ranks
    page = list_page(
        replace(held.run, priorities=listed),
        lang=lang,
        sector=sector,
        assets_url=request.url_for("assets", path="").path,
        map_url=f"{request.url_for('map_page').path}?lang={lang}",
        downloads={
            name.upper(): f"{here}?format={name}&lang={lang}{of_sector}" for name in ("xlsx", "csv", "geojson", "gpkg", *pdf)
        },
        language_urls={code: f"{page_url}&lang={code}{of_sector}" for code in LANGS},
        sector_urls={
            name: f"{here}?format=html&lang={lang}{f'&sector={name}' if name else ''}{narrowed_by}"
            for name in ("", *scored_sectors(held))
        },
    )
    return page.encode()


@router.get(
    "/priorities",
    name="priorities",
    response_model=models.Priorities,
    responses={200: {"content": {media: {} for media in MEDIA.values() if media != "application/json"}}},
)
def priorities(
    request: Request,
    held: HeldStudy,
    format: Annotated[Format | None, Query(description="Goes before the Accept header")] = None,
    top: Annotated[int | None, Query(ge=1, le=1_000_000, description="Ranks to list; a tie at the end is listed whole")] = None,
    sector: Annotated[str | None, Query(max_length=40, description="List of a directorate", examples=["water"])] = None,
    lang: Annotated[Lang | None, Query(description="Language; goes before Accept-Language")] = None,
    run: RunName = None,
    district: Annotated[str | None, Query(max_length=200, description="Only the neighbourhoods of this district")] = None,
    budget_line: Annotated[
        Line | None, Query(description="Only what is surely above or below the line that the budget reaches, or across it")
    ] = None,
    bom: Annotated[bool, Query(description="Whether CSV begins with a byte-order mark, by which spreadsheets know Arabic")] = True,
) -> Response:
    """Give the ranked list, whole or cut for a directorate, in the format asked for."""
    held = held_of(request, held, run)
    chosen = format or accepted(request, MEDIA, "json")
    if chosen is None:
        return problem(request, 406, [unknown("Accept", request.headers.get("accept", ""), list(MEDIA.values()))])
    spoken = language(request)
    table, more = cut(held, sector, top)
    table = narrowed(held, table, district, budget_line)
    title = held.run.info["study"]["name"][spoken]
    makers: Mapping[str, Callable[[], bytes]] = {
        "json": lambda: _json(held, table, sector, more),
        "csv": lambda: export.csv_bytes(table) if bom else export.csv_bytes(table).removeprefix(BOM_UTF8),
        "xlsx": lambda: _xlsx(held, table, spoken),
        "geojson": lambda: export.geojson_bytes(table),
        "kml": lambda: kml.kml_bytes(table, title=title, lang=spoken),
        "pdf": lambda: _pdf(held, table, sector, spoken),
        "gpkg": lambda: _gpkg(held, table),
        "parquet": lambda: export.parquet_bytes(table),
        "html": lambda: _html(request, held, table, sector, spoken),
    }
    headers: dict[str, str] = {"Content-Language": spoken}
    if chosen not in ("json", "html"):
        parts = (held.run.info["study"]["id"], *((sector,) if sector else ()), held.run.id)
        headers["Content-Disposition"] = f'attachment; filename="priorities-{"-".join(parts)}.{chosen}"'
    key = (chosen, sector, top, spoken, district, budget_line, bom, held.version, request.scope.get("root_path", ""))
    return answer(
        request,
        lambda: held.made(key, makers[chosen]),
        version=held.version,
        media_type=MEDIA[chosen] + ("; charset=utf-8" if chosen in ("csv", "html") else ""),
        parts=(chosen, spoken),
        headers=headers,
    )


@router.get(
    "/priorities/{id:path}",
    name="priority",
    response_model=models.Explained,
)
def priority(
    request: Request,
    held: HeldStudy,
    id: Annotated[str, PathParameter(max_length=200, description="Code of the neighbourhood", examples=["DEMO-06"])],
    run: RunName = None,
) -> Response:
    """Give one neighbourhood: rank, score, what each criterion gave to it, and why, in both languages."""
    held = held_of(request, held, run)
    table = held.run.priorities
    found = table[table["id"] == id]
    if found.empty:
        raise NotFoundError(
            finding(
                "unknown-name",
                "error",
                "id",
                message("There is no neighbourhood '{id}'.", id=id),
                remedy=message("See /priorities for the codes."),
            )
        )
    row = export.records(found)[0]
    return answer(request, lambda: orjson.dumps(explained(held, row)), version=held.version, media_type="application/json")


def explained(held: Held, row: dict[str, Any]) -> dict[str, Any]:
    """The explanation of a row; contributions are those of the run and sum to its score."""
    info = held.run.info
    return {
        "run": held.run.id,
        "study": info["study"]["id"],
        "place": row,
        "ranked": int(held.run.priorities["rank"].notna().sum()),
        "why": {"ar": row["why_ar"], "en": row["why_en"]},
        "would_be": {"ar": row["would_be_ar"], "en": row["would_be_en"]} if row.get("would_be_en") else None,
        "criteria": [_criterion(one, row) for one in info["scheme"]["criteria"]],
        "axes": {name: row[f"axis_{name}"] for name in info["axes"] if f"axis_{name}" in row},
        "sectors": {name: row[f"sector_{name}"] for name in info["sectors"] if f"sector_{name}" in row},
    }


def _criterion(one: dict[str, Any], row: dict[str, Any]) -> dict[str, Any]:
    name = one["measure"]
    register = measure_record(name)
    code = row.get(f"{name}_note") or ("" if name in row else "no-layer")
    return {
        "measure": name,
        "label": register["label"],
        "unit": register["unit"],
        "value": row.get(name),
        "low": row.get(f"{name}_low"),
        "high": row.get(f"{name}_high"),
        "coverage": row.get(f"{name}_coverage"),
        "note": NOTES[code].both() if code in NOTES else None,
        "weight": one["weight"],
        "goalposts": list(one["goalposts"]),
        "direction": one["direction"],
        "reason": one["reason"],
        "contribution": row.get(f"contribution_{name}"),
    }


@router.get("/left-out", name="left_out", response_model=models.LeftOut, responses={200: {"content": {"text/csv": {}}}})
def left_out(
    request: Request,
    held: HeldStudy,
    format: Annotated[Literal["json", "csv"], Query(description="`csv` gives all rows at once")] = "json",
    limit: Annotated[int | None, Query(ge=1, description="Rows of a page")] = None,
    offset: Annotated[int, Query(ge=0, le=10**9, description="Rows to pass over")] = 0,
    of_run: Annotated[
        str | None, Query(alias="run", max_length=64, description="Code of a run, `latest` or `published`", examples=["latest"])
    ] = None,
) -> Response:
    """Give every row that did not count, with its reason, and the counts by layer and reason."""
    held = held_of(request, held, of_run)
    run, lost = held.run, held.run.left_out
    if format == "csv":
        return answer(
            request,
            lambda: held.made(("left_out",), lambda: export.csv_bytes(lost)),
            version=held.version,
            media_type="text/csv; charset=utf-8",
        )
    size = page_size(request, limit)
    page = lost.iloc[offset : offset + size]
    body = {
        "run": run.id,
        "groups": _groups(lost),
        "numberMatched": len(lost),
        "numberReturned": len(page),
        "links": links(request, offset + len(page), len(lost), size, "application/json"),
        "items": export.records(page),
    }
    return answer(request, lambda: orjson.dumps(body), version=held.version, media_type="application/json")


def _groups(lost: pd.DataFrame) -> list[dict[str, Any]]:
    if lost.empty:
        return []
    counts = lost.groupby(["layer", "reason", "reason_ar", "reason_en"], sort=False).size().reset_index(name="rows")
    return [
        {
            "layer": one["layer"],
            "reason": one["reason"],
            "label": {"ar": one["reason_ar"], "en": one["reason_en"]},
            "rows": one["rows"],
        }
        for one in export.records(counts)
    ]


def page_size(request: Request, limit: int | None) -> int:
    """Rows of a page.

    Raises
    ------
    RequestError
        More than the service gives at once.
    """
    settings = request.app.state.settings
    if limit is not None and limit > settings.page_size_max:
        raise RequestError(
            finding(
                "limit",
                "error",
                "limit",
                message("{n} features at once are too many.", n=limit),
                expected=message("At most {n}.", n=settings.page_size_max),
                remedy=message("Follow the 'next' links instead."),
            )
        )
    return int(limit or settings.page_size)


def links(request: Request, position: int, total: int, size: int, media_type: str) -> list[dict[str, str]]:
    """Links to this page and, where there is more, to the next one; seen from the host."""

    def href(**values: object) -> str:
        url = request.url.include_query_params(**values) if values else request.url
        return url.path + (f"?{url.query}" if url.query else "")

    found = [{"rel": "self", "href": href(), "type": media_type}]
    if position < total:
        found.append({"rel": "next", "href": href(offset=position, limit=size), "type": media_type})
    return found
