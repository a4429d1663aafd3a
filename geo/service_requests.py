"""Service requests that come in one by one (Open311 GeoReport v2), kept until somebody makes a survey of complaints of them.

A request is kept as its category, its place and its moment; who made it, what they wrote, their picture and their address never
come as far as this module. A place that may be a home is kept as the middle of its cell of the grid (`geo.complaints_intake`),
already here: what is not on the disk can't leak from it. `gather` delivers everything that came so far as one survey, which is
checked and accepted like any other; it takes the place of the one before it, so nothing counts twice. Known bias: whoever may
send requests may send many; one place and category within two weeks count as one trouble, however often they are sent.
"""

from __future__ import annotations

import datetime
import io
import json
import math
import secrets
from dataclasses import dataclass

import geopandas as gpd
import shapely
import sqlalchemy as sa

from geo import catalogue
from geo.catalogue import utc
from geo.complaints_intake import LAYER, coarse, rules
from geo.errors import Finding, LayerError, UnknownNameError, finding
from geo.messages import message
from geo.records import Receipt
from geo.store import Store, StoreError
from geo.study import Study

Box = tuple[float, float, float, float]
REACH_M = 50_000.0  # no request is so far from the neighbourhoods


@dataclass(frozen=True)
class ServiceRequest:
    """A trouble that somebody reported: its category, when it came (UTC), and its place in degrees (WGS 84)."""

    id: str
    received_at: datetime.datetime
    category: str
    lon: float
    lat: float


def categories() -> tuple[str, ...]:
    """Codes of the services: the categories of `data/complaints.toml`."""
    return tuple(rules()["category"])


def keep(
    store: Store,
    study: Study,
    *,
    category: str,
    lon: float,
    lat: float,
    box: Box,
    now: datetime.datetime,
) -> ServiceRequest:
    """Keep a request; a category that is not about public ground only with the middle of its grid cell.

    Parameters
    ----------
    lon, lat
        Degrees, WGS 84.
    box
        Of the neighbourhoods, in the study's CRS (metres).

    Raises
    ------
    UnknownNameError
        No such category.
    LayerError
        No place on the Earth, or more than 50 km from the neighbourhoods.
    """
    if category not in categories():
        said, expected = message("'{name}' is not known.", name=category[:80]), message("Known: {known}.", known=categories())
        raise UnknownNameError(finding("unknown-name", "error", "service_code", said, expected=expected))
    place = _placed(study, category, lon, lat, box)
    made = ServiceRequest(secrets.token_hex(8), utc(now), category, round(place.x, 6), round(place.y, 6))
    with store.change() as connection:
        connection.execute(sa.insert(catalogue.requests), made.__dict__)
    return made


def _placed(study: Study, category: str, lon: float, lat: float, box: Box) -> shapely.Point:
    there = all(map(math.isfinite, (lon, lat))) and abs(lon) <= 180 and abs(lat) <= 90
    given = gpd.GeoDataFrame(
        {"category": [category]}, geometry=[shapely.Point(lon, lat) if there else shapely.Point()], crs="EPSG:4326"
    )
    metres = given.to_crs(study.crs) if there else given
    if not there or not metres.geometry.iat[0].distance(shapely.box(*box)) <= REACH_M:
        said = message("The place {lat}, {lon} is not in the study's reach.", lat=lat, lon=lon)
        raise LayerError(
            finding(
                "place-elsewhere",
                "error",
                "lat, long",
                said,
                expected=message("Latitude and longitude in degrees (WGS 84), at most 50 km from the neighbourhoods."),
            )
        )
    place: shapely.Point = coarse(metres).to_crs("EPSG:4326").geometry.iat[0]
    return place


def request(store: Store, ident: str) -> ServiceRequest:
    """A request by its id.

    Raises
    ------
    StoreError
        There is none of that id.
    """
    table = catalogue.requests
    with store.view() as connection:
        row = connection.execute(sa.select(table).where(table.c.id == ident)).one_or_none()
    if row is None:
        raise StoreError(unknown(ident))
    return ServiceRequest(**row._mapping)


def unknown(ident: str) -> Finding:
    """That there is no such request."""
    said, expected = message("There is no request '{id}'.", id=ident[:80]), message("The number that was given back for it.")
    return finding("unknown-id", "error", "requests", said, expected=expected)


def requests(store: Store) -> list[ServiceRequest]:
    """All requests, oldest first."""
    table = catalogue.requests
    with store.view() as connection:
        rows = connection.execute(sa.select(table).order_by(table.c.received_at, table.c.id))
        return [ServiceRequest(**row._mapping) for row in rows]


def report(one: ServiceRequest) -> dict[str, object]:
    """A request as GeoReport has it; all of them are open here, their answers come with the city's own table."""
    return {
        "service_request_id": one.id,
        "status": "open",
        "service_code": one.category,
        "service_name": one.category,
        "requested_datetime": one.received_at.isoformat(timespec="seconds"),
        "lat": one.lat,
        "long": one.lon,
    }


def gather(store: Store, *, by: str, now: datetime.datetime) -> Receipt:
    """Deliver all requests that came so far as one survey of complaints; the same ones again give the same receipt.

    Raises
    ------
    StoreError
        None came yet, or there is no room on the disk.
    """
    found = requests(store)
    if not found:
        said = message("No request has come yet.")
        raise StoreError(finding("no-requests", "error", "requests", said, remedy=message("They come by POST /requests.json.")))
    content = json.dumps([report(one) for one in found], ensure_ascii=False).encode()
    name = f"requests-{found[-1].received_at:%Y-%m-%d}.json"
    return store.receive(io.BytesIO(content), name=name, sender=by, layer=LAYER, now=now)
