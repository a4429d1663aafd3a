"""Open311 GeoReport v2: the service requests of a city's one window, as rows of a table.

A request also carries who made it, where they live, what they wrote and a picture. Only the fields that the profile
`data/sources/open311.toml` names are taken; the rest never becomes a column, so that nothing later has to leave it away.
Known shapes: a bare list (the standard), `{"service_requests": [...]}` (FixMyStreet), and the nested lists that come of XML.
This module loads no library, for the process that reads files from strangers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from geo import registers

LISTS = ("service_requests", "requests", "request")


def requests_of(content: object) -> list[Mapping[str, Any]] | None:
    """The requests of a JSON document, or None where it is no GeoReport.

    >>> requests_of({"service_requests": [{"service_request_id": 1}]})
    [{'service_request_id': 1}]
    >>> requests_of({"type": "FeatureCollection", "features": []}) is None
    True
    """
    if isinstance(content, Mapping):
        inside = next((content[name] for name in LISTS if name in content), None)
        if inside is None:
            return [content] if "service_request_id" in content else None
        return requests_of(inside) if inside else []
    if not isinstance(content, list) or not content or not all(isinstance(one, Mapping) for one in content):
        return None
    if any("service_request_id" in one or "token" in one for one in content):
        return list(content)
    nested = [requests_of(one) for one in content]
    return None if None in nested else [one for several in nested for one in several or ()]


def columns_of(requests: list[Mapping[str, Any]]) -> dict[str, Sequence[Any]]:
    """The fields that the profile names, as columns; a field that holds a list or a table is unknown.

    >>> columns_of([{"service_request_id": 7, "requestor_name": "Anas", "lat": "34.7", "long": None}])
    {'service_request_id': [7], 'long': [None], 'lat': ['34.7']}
    """
    profile = registers.tree("sources", "open311")
    known = [name for part in ("columns", "coordinates") for names in profile[part].values() for name in names]
    there = [name for name in dict.fromkeys(known) if any(name in one for one in requests)]
    return {name: [_plain(one.get(name)) for one in requests] for name in there}


def places_of(columns: Mapping[str, Sequence[Any]]) -> list[tuple[float, float] | None]:
    """Longitude and latitude of each request; None where they are not given or are no numbers.

    >>> places_of({"lat": ["34.7", None], "long": [36.7, 36.7]})
    [(36.7, 34.7), None]
    """
    profile = registers.tree("sources", "open311")["coordinates"]
    lon, lat = (next((columns[name] for name in profile[which] if name in columns), None) for which in ("lon", "lat"))
    if lon is None or lat is None:
        return [None] * len(next(iter(columns.values()), []))
    return [_place(x, y) for x, y in zip(lon, lat, strict=True)]


def _place(x: object, y: object) -> tuple[float, float] | None:
    try:
        return float(str(x)), float(str(y))
    except ValueError:
        return None


def _plain(value: object) -> object:
    return value if isinstance(value, str | int | float) and not isinstance(value, bool) else None
