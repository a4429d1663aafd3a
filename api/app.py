"""The service: `create_app(settings)` makes it, `uvicorn --factory api.app:create_app` runs it. Nothing is read at import.

It listens on loopback only, and answers only requests that name a loopback host: a page of another site that resolves to this
machine gets nothing. Every answer carries a strict Content-Security-Policy; errors are problem details in both languages.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from importlib.metadata import version
from ipaddress import ip_address
from urllib.parse import urlsplit

from fastapi import Depends, FastAPI, Request
from fastapi.middleware.gzip import GZipMiddleware
from fastapi.responses import Response
from fastapi.staticfiles import StaticFiles

from api import errors
from api.errors import RequestError, SettingsError, problem, unknown
from api.routes import layers, lists, pages, service
from api.settings import Settings
from api.state import Held, load
from geo.errors import finding
from geo.messages import message

POLICY = (
    "default-src 'self'; script-src 'self'{nonce}; style-src 'self'; img-src 'self' data:; "
    "object-src 'none'; base-uri 'none'; frame-ancestors 'none'; form-action 'self'"
)
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
FOREVER = "public, max-age=31536000, immutable"


def is_loopback(host: str) -> bool:
    """Whether a host name or address stays on this machine.

    >>> [is_loopback(host) for host in ("localhost", "127.0.0.1", "::1", "0.0.0.0", "example.org")]
    [True, True, True, False, False]
    """
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def _host_of(request: Request) -> str:
    try:
        return urlsplit(f"//{request.headers.get('host', '')}").hostname or ""
    except ValueError:
        return ""


def create_app(settings: Settings | None = None, held: Held | None = None) -> FastAPI:
    """Make the service.

    Parameters
    ----------
    settings
        Without it, they come from the environment.
    held
        A study already read; without it, the study of the settings is read when the service starts.

    Raises
    ------
    SettingsError
        The address is not loopback: without roles everybody could read everything.
    """
    chosen = settings or Settings()  # type: ignore[call-arg]  # the environment gives what is needed
    if not is_loopback(chosen.host):
        raise SettingsError(
            finding(
                "not-loopback",
                "error",
                "host",
                message("'{host}' is not an address of this machine alone.", host=chosen.host),
                expected=message("A loopback address such as 127.0.0.1: the service has no roles yet."),
                remedy=message("Leave `host` as it is."),
            )
        )

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.state.held = held or load(chosen)
        yield

    app = FastAPI(
        title="Tarmim",
        version=version("tarmim"),
        summary="What a city repairs first, and why.",
        description="Unknown is null, never zero. Geometry is WGS 84. Errors are problem details in Arabic and English.",
        license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
    )
    app.state.settings = chosen
    errors.install(app)
    for part in (service, layers, lists, pages):
        app.include_router(part.router, dependencies=[Depends(only_known_parameters)])
    app.mount("/assets", StaticFiles(packages=[("maps", "static")]), name="assets")
    app.middleware("http")(guarded)
    app.add_middleware(GZipMiddleware, minimum_size=1000)
    return app


async def guarded(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
    """Refuse other hosts; put the security headers on every answer."""
    if not is_loopback(_host_of(request)):
        response = problem(request, 400, [unknown("Host", _host_of(request), ["localhost", "127.0.0.1", "[::1]"])])
    else:
        response = await call_next(request)
    nonce = getattr(request.state, "nonce", None)
    response.headers.update(HEADERS)
    response.headers["Content-Security-Policy"] = POLICY.format(nonce=f" 'nonce-{nonce}'" if nonce else "")
    if request.url.path.startswith("/assets/") and response.status_code == 200 and "v" in request.query_params:
        response.headers["Cache-Control"] = FOREVER
    return response


def only_known_parameters(request: Request) -> None:
    """Refuse a query parameter that the address does not know: a misspelt filter must not pass in silence.

    Raises
    ------
    RequestError
        With the known names.
    """
    known = [one.alias for one in request.scope["route"].dependant.query_params]
    stray = [name for name in request.query_params if name not in known]
    if stray:
        raise RequestError(*(unknown("query", name, known) for name in stray[:5]))
