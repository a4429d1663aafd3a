"""What the reader asked for: language, format, and whether the answer has changed since."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence

from fastapi import Request
from fastapi.responses import Response

from geo.messages import LANGS, Lang

FOREVER = "public, max-age=31536000, immutable"


def _preferred(header: str) -> list[str]:
    """Values of an Accept header, most wanted first; those refused with `q=0` are left out.

    >>> _preferred("en;q=0.5, ar, fr;q=0")
    ['ar', 'en']
    """
    weighed: list[tuple[float, int, str]] = []
    for part in header.split(",")[:50]:
        value, _, rest = part.strip().partition(";")
        try:
            weight = float(rest.partition("q=")[2] or 1.0)
        except ValueError:
            weight = 0.0
        if value and weight > 0:
            weighed.append((-weight, len(weighed), value.strip().lower()))
    return [value for _, _, value in sorted(weighed)]


def language(request: Request) -> Lang:
    """Language of the answer: `lang` of the query, else Accept-Language, else the service's own."""
    asked = request.query_params.get("lang", "")
    for tag in (asked, *_preferred(request.headers.get("accept-language", ""))):
        for lang in LANGS:
            if tag.split("-")[0] == lang:
                return lang
    own: Lang = request.app.state.settings.lang
    return own


def accepted(request: Request, offered: Mapping[str, str], default: str) -> str | None:
    """The format whose media type the reader wants most; None where none of the wanted ones is offered."""
    by_type = {media_type: name for name, media_type in offered.items()}
    wanted = _preferred(request.headers.get("accept", "")) or ["*/*"]
    for media_type in wanted:
        if media_type in ("*/*", offered[default].partition("/")[0] + "/*"):
            return default
        if media_type in by_type:
            return by_type[media_type]
        kind, _, rest = media_type.partition("/")
        if rest == "*" and (within := [name for one, name in by_type.items() if one.startswith(f"{kind}/")]):
            return within[0]
    return None


def answer(
    request: Request,
    make: Callable[[], bytes],
    *,
    version: str,
    media_type: str,
    parts: Sequence[object] = (),
    headers: Mapping[str, str] | None = None,
) -> Response:
    """An answer that depends on the run and the request alone: with an ETag, and 304 without making it where it is known.

    Parameters
    ----------
    version
        What the answer was made from: the run.
    parts
        What else distinguishes it from others at the same address (format, language).
    """
    key = "\0".join([version, request.url.path, request.url.query, media_type, *map(str, parts)])
    tag = f'W/"{hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()[:20]}"'
    sent = {"ETag": tag, "Cache-Control": "no-cache", "Vary": "Accept, Accept-Language", **(headers or {})}
    known = [one.strip().removeprefix("W/") for one in request.headers.get("if-none-match", "").split(",")]
    if tag.removeprefix("W/") in known or "*" in known:  # RFC 9110: compared weakly
        return Response(status_code=304, headers=sent)
    return Response(make(), media_type=media_type, headers=sent)
