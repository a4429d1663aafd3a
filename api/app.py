"""The service: `create_app(settings)` makes it, `uvicorn --factory api.app:create_app` runs it. Nothing is read at import.

On loopback it answers only requests that come from this machine and name a loopback host: a page of another site that resolves to
this machine gets nothing. Beyond loopback people sign in, and who does not is the public (`api.people`). Every answer carries a
strict Content-Security-Policy; errors are problem details in both languages. What holds for every answer stands in `Guard`.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version
from ipaddress import ip_address
from typing import TYPE_CHECKING

from fastapi import Depends, FastAPI, Request
from fastapi.middleware.gzip import GZipMiddleware
from fastapi.responses import Response
from fastapi.staticfiles import StaticFiles
from starlette.datastructures import MutableHeaders

from api import errors
from api.bounds import Bounds
from api.errors import RequestError, SettingsError, problem, unknown
from api.operations import Meter, number, to_json_lines
from api.people import allowed, may_deliver
from api.routes import (
    features,
    items,
    jobs,
    layers,
    lists,
    pages,
    people,
    processes,
    publishing,
    requests,
    runs,
    service,
    surveys,
    tiles,
    uploads,
    works,
)
from api.settings import Settings, is_loopback
from api.state import Held, Shelf, load
from geo.accounts import has_admin
from geo.errors import TarmimError, finding
from geo.messages import LANGS, message
from maps.page import versioned

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

log = logging.getLogger("tarmim.api")
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
SMALL_BYTES = 2**20
FOREVER = "public, max-age=31536000, immutable"


def host_of(header: str) -> str:
    """The name in a Host header, without its port; '' where the header is no name and port.

    >>> host_of("[::1]:8000"), host_of("localhost"), host_of("evil.example@127.0.0.1")
    ('::1', 'localhost', '')
    """
    found = re.fullmatch(r"(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9.-]+))(?::\d{1,5})?", header)
    return (found[1] or found[2]).lower() if found else ""


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
        When it starts: people are to sign in, and there is no administrator yet who could let them.
    """
    chosen = settings or Settings()  # type: ignore[call-arg]  # the environment gives what is needed

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        try:
            app.state.shelf = Shelf(chosen, held or load(chosen))
            needs_admin(app.state.shelf)
        except TarmimError as error:
            app.state.report = "\n".join(error.render(lang) for lang in LANGS)
            raise
        try:
            yield
        finally:
            app.state.shelf.close()

    app = FastAPI(
        title="Tarmim",
        version=version("tarmim"),
        summary="What a city repairs first, and why.",
        description="Unknown is null, never zero. Geometry is WGS 84. Errors are problem details in Arabic and English.",
        license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        lifespan=lifespan,
        root_path=chosen.root_path,
    )
    app.state.settings = chosen
    if chosen.log == "json":
        to_json_lines()
    app.state.meter = Meter()
    errors.install(app)
    rules = [Depends(allowed), Depends(only_known_parameters)]
    for part in (service, layers, lists, jobs, pages, works, runs, surveys, uploads, people, publishing, requests):
        app.include_router(part.router, dependencies=rules, responses=lists.PROBLEMS)
    for ogc in (features, items, tiles, processes):
        app.include_router(ogc.router, dependencies=rules, responses=lists.PROBLEMS)
    app.mount("/assets", StaticFiles(packages=[("maps", "static")]), name="assets")
    app.add_middleware(GZipMiddleware, minimum_size=1000, compresslevel=6)
    app.add_middleware(
        Bounds,
        small_bytes=SMALL_BYTES,
        body_bytes=chosen.delivery_bytes + SMALL_BYTES,  # a form is a little more than its file
        may_deliver=may_deliver,
        wait_s=chosen.body_wait_s,
        whole_s=chosen.body_s,
        at_once=chosen.at_once,
    )
    app.add_middleware(Guard)
    return app


def needs_admin(shelf: Shelf) -> None:
    """Refuse to start where people are to sign in and nobody could let them.

    Raises
    ------
    SettingsError
        There is no administrator.
    """
    if not shelf.settings.guarded:
        return
    store = shelf.store()
    if store is None or not has_admin(store):
        said = message("People are to sign in, and there is no administrator yet.")
        remedy = message("Make one first: tarmim account NAME --role admin, then tarmim token NAME.")
        raise SettingsError(finding("no-admin", "error", "accounts", said, remedy=remedy))


class Guard:
    """Around everything: who is answered, headers of every answer, HEAD as GET without a body, and no fault without an answer.

    It is the outermost layer of our own, so that refusals and answers to unexpected faults carry the headers too.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, _reporting(scope, send))
        elif scope["type"] == "http":
            await self._answer(scope, receive, send)
        else:
            await self.app(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        without_body = scope["method"] == "HEAD"
        inner = {**scope, "method": "GET"} if without_body else dict(scope)
        request = Request(inner)
        request.state.number = number(request.headers.get("x-request-id", ""))
        begun, since = False, time.perf_counter()

        async def sending(sent: Message) -> None:
            nonlocal begun
            if sent["type"] == "http.response.start":
                begun = True
                request.app.state.meter.note(request, sent["status"], since)
                _protect(request, MutableHeaders(scope=sent), sent["status"])
            elif without_body and sent["type"] == "http.response.body":
                sent = {**sent, "body": b""}
            await send(sent)

        try:
            await (refusal(request) or self.app)(inner, receive, sending)
        except Exception:
            log.exception("unexpected fault at %r", request.url.path)
            if begun:
                raise
            await problem(request, 500)(inner, receive, sending)


def refusal(request: Request) -> Response | None:
    """The answer to who gets none; None for the others.

    Another name in Host than ours (DNS rebinding), or, where nobody signs in, another machine.
    """
    settings: Settings = request.app.state.settings
    host = request.headers.get("host", "")
    names = [*settings.allowed_hosts, "localhost", "127.0.0.1", "[::1]"]
    if not is_loopback(host_of(host)) and host_of(host) not in {*settings.allowed_hosts, settings.host.lower()}:
        return problem(request, 400, [unknown("Host", host, names)])
    if settings.guarded:
        return None
    if passed_on := [name for name in ("x-forwarded-for", "x-forwarded-host", "forwarded", "via") if name in request.headers]:
        found = finding(
            "not-loopback",
            "error",
            passed_on[0],
            message("The request was passed on by a proxy, behind which everybody would be trusted like this machine."),
            expected=message("This machine alone, where nobody signs in."),
            remedy=message("Set TARMIM_SIGN_IN, and TARMIM_ALLOWED_HOSTS to the names by which clients come."),
        )
        return problem(request, 403, [found])
    try:
        elsewhere = request.client is not None and not ip_address(request.client.host).is_loopback
    except ValueError:  # a socket of the file system, or a test, has no address
        elsewhere = False
    if not elsewhere:
        return None
    found = finding(
        "not-loopback",
        "error",
        "client",
        message("The request comes from another machine."),
        expected=message("This machine alone, where nobody signs in."),
    )
    return problem(request, 403, [found])


def _protect(request: Request, headers: MutableHeaders, status: int) -> None:
    headers.update(HEADERS)
    headers["X-Request-ID"] = request.state.number
    nonce = getattr(request.state, "nonce", None)
    headers["Content-Security-Policy"] = POLICY.format(nonce=f" 'nonce-{nonce}'" if nonce else "")
    if status == 405:
        headers["Allow"] = headers.get("Allow", "GET").replace("GET", "GET, HEAD")
    name = request.url.path.removeprefix("/assets/")
    if status == 200 and name != request.url.path and "v" in request.query_params:
        current = versioned("", name).partition("?v=")[2]  # the file is there: it has just been sent
        headers["Cache-Control"] = FOREVER if request.query_params["v"] == current else "no-cache"


def _reporting(scope: Scope, send: Send) -> Send:
    """Tell a start that failed by its report in both languages, not by a traceback."""

    async def sending(sent: Message) -> None:
        report = getattr(scope["app"].state, "report", None)
        if sent["type"] == "lifespan.startup.failed" and report:
            sent = {**sent, "message": report}
        await send(sent)

    return sending


def only_known_parameters(request: Request) -> None:
    """Refuse a query parameter that the address does not know, or that stands twice: a slip must not pass in silence.

    A route whose parameters depend on what is asked for (properties of a collection) gives their names by an attribute of its
    function, `more_parameters(request)`.

    Raises
    ------
    RequestError
        With the known names.
    """
    route = request.scope["route"]
    known = [one.alias for one in route.dependant.query_params]
    known += getattr(route.endpoint, "more_parameters", lambda _: ())(request)
    given = [name for name, _ in request.query_params.multi_items()]
    stray = [unknown("query", name, known) for name in dict.fromkeys(given) if name not in known]
    twice = [
        finding("repeated", "error", name, message("'{name}' is given twice.", name=name), expected=message("One value."))
        for name in known
        if given.count(name) > 1
    ]
    if stray or twice:
        raise RequestError(*stray[:5], *twice)
