"""Errors as problem details (RFC 9457), in both languages, without traces or paths; one table from error to status."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from starlette.exceptions import HTTPException

from api.negotiation import language
from geo.catalogue import StoreError
from geo.errors import (
    ExportError,
    Finding,
    LayerError,
    NotInstalledError,
    SchemeError,
    StudyError,
    TarmimError,
    UnknownNameError,
    finding,
)
from geo.messages import LANGS, Message, message


class NotFoundError(TarmimError):
    """What the address names is not there."""


class RequestError(TarmimError):
    """A parameter that can't be used."""


class SettingsError(TarmimError):
    """A setting that the service refuses to start with."""


class SignInError(TarmimError):
    """A token that does not hold, or none where one is needed."""


class ForbiddenError(TarmimError):
    """Somebody known who may not do this."""


class TooManyError(TarmimError):
    """More requests than a sender may make; `after_s` says when the next one is answered."""

    def __init__(self, *findings: Finding, after_s: int = 1) -> None:
        super().__init__(*findings)
        self.after_s = after_s


class ConflictError(TarmimError):
    """Something that does not fit what is there."""


class TooLargeError(TarmimError):
    """More bytes than are taken."""


OGC = "OGC API"  # tag of the routes that follow it
STATUS: dict[type[TarmimError], int] = {
    NotFoundError: 404,
    UnknownNameError: 404,
    SignInError: 401,
    ForbiddenError: 403,
    ConflictError: 409,
    TooLargeError: 413,
    TooManyError: 429,
    RequestError: 422,
    SchemeError: 422,
    StudyError: 422,
    LayerError: 422,
    ExportError: 507,
    NotInstalledError: 501,
    TarmimError: 422,
}
BY_CODE = {
    "disk-full": 507,
    "not-written": 507,
    "unknown-id": 404,
    "wrong-step": 409,
    "no-requests": 409,
    "wrong-offset": 409,
    "upload-finished": 409,
    "upload-busy": 423,
    "hash-differs": 460,
    "too-many-uploads": 429,
    "catalogue-busy": 503,
    "catalogue": 503,
}
TITLES: dict[int, Message] = {
    400: message("The request can't be understood"),
    401: message("Sign in first"),
    403: message("This is not allowed"),
    404: message("There is nothing at this address"),
    405: message("This address does not take that method"),
    406: message("None of the formats asked for is offered"),
    408: message("The request took too long to arrive"),
    409: message("It does not fit what is there now"),
    413: message("The request is too large"),
    415: message("The request must be JSON and say so: Content-Type: application/json"),
    501: message("The service can't do that here"),
    422: message("The request holds something that can't be used"),
    423: message("Somebody else is at it"),
    429: message("Too many requests"),
    460: message("The checksum does not fit"),
    500: message("The service failed; the fault is recorded"),
    503: message("The service is busy"),
    507: message("The disk is full or can't be written"),
}


def status_of(error: TarmimError) -> int:
    """The status of an error: that of what it found first, or of its class, or of the nearest class above it.

    >>> status_of(UnknownNameError()), status_of(LayerError())
    (404, 422)
    """
    by_class = next(STATUS[kind] for kind in type(error).__mro__ if kind in STATUS)
    return BY_CODE.get(error.findings[0].code, by_class) if isinstance(error, StoreError) else by_class


def headers_of(error: TarmimError) -> dict[str, str]:
    """What an answer says besides: how to sign in, when to ask again."""
    if isinstance(error, SignInError):
        return {"WWW-Authenticate": "Bearer"}
    return {"Retry-After": str(error.after_s)} if isinstance(error, TooManyError) else {}


def refused(request: Request, status: int) -> int:
    """The status of a refusal: 400 in place of 422 where the address follows OGC API, whose clients look for it."""
    tags = getattr(request.scope.get("route"), "tags", ())
    return 400 if status == 422 and OGC in tags else status


def problem(request: Request, status: int, findings: Sequence[Finding] = (), headers: dict[str, str] | None = None) -> Response:
    """Problem details: `title` and `detail` in the reader's language, `title_ar`, `detail_en` and so on in both, `findings`."""
    lang = language(request)
    titles = TITLES.get(status, TITLES[400]).both()
    details = {code: " ".join(one.render(code) for one in findings) for code in LANGS}
    body = {
        "type": "about:blank",
        "status": status,
        "title": titles[lang],
        "detail": details[lang],
        **{f"title_{code}": titles[code] for code in LANGS},
        **{f"detail_{code}": details[code] for code in LANGS},
        "findings": [one.record() for one in findings],
    }
    sent = {"Content-Language": lang, "Vary": "Accept-Language", "Cache-Control": "no-store", **(headers or {})}
    return Response(orjson.dumps(body), status_code=status, media_type="application/problem+json", headers=sent)


def unknown(where: str, name: str, known: Sequence[str]) -> Finding:
    """A name that is not among the known ones, which are listed."""
    return finding(
        "unknown-name",
        "error",
        where,
        message("'{name}' is not known.", name=name[:100]),
        expected=message("Known: {known}.", known=list(known)),
        remedy=message("Use one of the known names."),
    )


def _expected(kind: str, limits: Mapping[str, object]) -> Message:
    """What a parameter should have been, from the fault that pydantic names."""
    if kind in ("greater_than_equal", "less_than_equal"):
        low, high = limits.get("ge"), limits.get("le")
        return message("At least {n}.", n=low) if high is None else message("At most {n}.", n=high)
    if kind == "string_too_long":
        return message("At most {n} characters.", n=limits.get("max_length"))
    if kind == "literal_error":
        return message("Known: {known}.", known=str(limits.get("expected")).replace("'", "").replace(" or ", ", ").split(", "))
    if kind.startswith("int_"):
        return message("A whole number is expected.")
    return message("A value of another kind is expected.")


def _fault(one: Mapping[str, Any]) -> Finding:
    """One fault of FastAPI's validation in our words."""
    return finding(
        "parameter",
        "error",
        str(one["loc"][-1]),
        message("'{value}' can't be used.", value=str(one.get("input", ""))[:100]),
        expected=_expected(str(one["type"]), one.get("ctx", {})),
        remedy=message("See /openapi.json for what each parameter takes."),
    )


def install(app: FastAPI) -> None:
    """Turn every error of an app into problem details; what nobody expected is answered by `api.app.Guard`."""

    @app.exception_handler(TarmimError)
    async def tarmim_error(request: Request, error: TarmimError) -> Response:
        return problem(request, refused(request, status_of(error)), error.findings, headers_of(error))

    @app.exception_handler(RequestValidationError)
    async def validation_error(request: Request, error: RequestValidationError) -> Response:
        return problem(request, refused(request, 422), [_fault(one) for one in error.errors()])

    @app.exception_handler(HTTPException)
    async def http_error(request: Request, error: HTTPException) -> Response:
        return problem(request, error.status_code, headers=dict(error.headers or {}))
