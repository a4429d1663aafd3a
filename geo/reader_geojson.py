"""GeoJSON by a reader of our own: every feature counted, members of any kind kept, a wrong shape set aside by itself.

Known bias: the file is read whole, so that about 150 MB of it meet the memory limit.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from geo import open311
from geo.archives import TooMuchError
from geo.reader_job import WGS84, Job, RefusedError, Rows, set_aside


def geojson(job: Job) -> Rows:
    raw = job.only.read_bytes()
    if not raw.lstrip(b"\xef\xbb\xbf\xff\xfe \t\r\n\0").startswith((b"{", b"[")):
        raise RefusedError("content-differs")
    content = json.loads(_json_text(raw))
    requests = open311.requests_of(content)
    if requests is not None:
        return _service_requests(job, requests)
    features = _features(content)
    rows = Rows({}, [], crs=_json_crs(job, content))
    if len(features) > job.rules["rows"]:
        raise TooMuchError("rows", len(features), job.rules["rows"])
    kept = []
    for number, one in enumerate(features, 1):
        if isinstance(one, dict) and isinstance(one.get("properties") or {}, dict):
            kept.append(one)
            rows.row.append(number)
        else:
            rows.aside.append((number, "record-unreadable", one))
    properties = [one.get("properties") or {} for one in kept]
    names = list(dict.fromkeys(str(name) for one in properties for name in one))
    if len(names) > job.rules["columns"]:
        raise TooMuchError("columns", len(names), job.rules["columns"])
    if len(names) * len(kept) > job.rules["cells"]:
        raise TooMuchError("cells", len(names) * len(kept), job.rules["cells"])
    rows.columns = {name: [one.get(name) for one in properties] for name in names}
    if "id" not in names and any(one.get("id") is not None for one in kept):
        rows.columns = {"id": [one.get("id") for one in kept], **rows.columns}
    _json_shapes(rows, [one.get("geometry") for one in kept])
    return rows


def _service_requests(job: Job, requests: Sequence[Mapping[str, Any]]) -> Rows:
    """The requests of an Open311 GeoReport; whoever made them and what they wrote is not read."""
    import numpy as np
    import shapely

    if len(requests) > job.rules["rows"]:
        raise TooMuchError("rows", len(requests), job.rules["rows"])
    columns = open311.columns_of(list(requests))
    places = np.array([place or (np.nan, np.nan) for place in open311.places_of(columns)]).reshape(-1, 2)
    shapes = shapely.points(places)
    shapes[np.isnan(places).any(axis=1)] = None
    return Rows(columns, list(range(1, len(requests) + 1)), shapes=shapes, crs=WGS84)


def _json_text(raw: bytes) -> str:
    """JSON is UTF-8; files that say otherwise by their mark, and old code pages, are read all the same."""
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        return raw.decode("utf-16")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        from geo.encodings import vote

        texts = re.findall(rb'"((?:[^"\\]|\\.)*)"', raw)
        return raw.decode(vote(texts).encoding, errors="replace")


def _features(content: Any) -> list[Any]:
    """The features of a document: a collection, one feature, or one bare shape."""
    if not isinstance(content, dict):
        raise RefusedError("no-layer")
    kind = content.get("type")
    if kind == "FeatureCollection" or (kind is None and isinstance(content.get("features"), list)):
        features = content.get("features")
        if not isinstance(features, list):
            raise RefusedError("no-layer")
        return features
    if kind == "Feature":
        return [content]
    if "coordinates" in content or "geometries" in content:
        return [{"type": "Feature", "properties": {}, "geometry": content}]
    raise RefusedError("no-layer")


def _json_crs(job: Job, content: Mapping[str, Any]) -> str | None:
    """The CRS of the old `crs` member by name; WGS 84 without one; a link is not followed."""
    member = content.get("crs", Ellipsis)
    if member is Ellipsis:
        return WGS84
    if not isinstance(member, dict):
        return None
    inside = member.get("properties")
    named = str(inside.get("name", "")) if isinstance(inside, dict) else ""
    if member.get("type") == "name" and re.fullmatch(
        r"(urn:(ogc|x-ogc):def:crs:|EPSG:|OGC:|ESRI:)[\w:.]{1,40}", named, re.IGNORECASE
    ):
        return WGS84 if named.upper().endswith("CRS84") else named
    if member.get("type") == "EPSG" and isinstance(inside, dict) and str(inside.get("code", "")).isdecimal():
        return f"EPSG:{inside['code']}"
    if isinstance(inside, dict) and "href" in inside:
        job.note("crs-link")
    else:
        job.note("crs-unreadable", crs=(named or str(member))[:120])
    return None


def _json_shapes(rows: Rows, given: Sequence[Any]) -> None:
    import numpy as np
    import shapely

    texts = np.empty(len(given), dtype=object)
    texts[:] = [json.dumps(one) if isinstance(one, dict) and one else None for one in given]
    rows.shapes = shapely.from_geojson(texts, on_invalid="ignore")
    failed = [at for at, one in enumerate(given) if one and rows.shapes[at] is None]
    set_aside(rows, dict.fromkeys(failed, "geometry-unreadable"))
