"""Who asks, and what they may do: one table from route to roles, and one dependency that looks it up.

On loopback, with no `sign_in` asked for, whoever sits at the machine is asked nothing and may do everything. Beyond it, or behind a
reverse proxy, a request shows a token (`Authorization: Bearer …`) or the cookie of a session that a token opened; who shows neither
is the public. A change asked for by a page of another site is refused in either case, and a change asked for with a cookie needs
the number that only our own pages know.
"""

from __future__ import annotations

import getpass
import hashlib
import hmac
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Literal
from urllib.parse import urlsplit

from fastapi import Depends, Request

from api.errors import ForbiddenError, SignInError, TooManyError
from api.settings import Settings
from geo import accounts
from geo.errors import TarmimError, finding
from geo.messages import message
from geo.store import Store

Scope = Literal["read", "deliver", "decide", "manage"]
ALL = ("public", *accounts.ROLES)
SIGNED_IN = accounts.ROLES
PLANNERS = ("planner", "admin")
COOKIE = "tarmim_session"
CSRF_HEADER, CSRF_FIELD = "X-CSRF-Token", "csrf"
SAFE = ("GET", "HEAD", "OPTIONS")
KNOWN_S = 5.0  # how long a token is believed without asking the catalogue: a revoked one holds at most so much longer
REMEMBERED = 1_000


@dataclass(frozen=True)
class Right:
    """Who may ask for a route, and the scope that a narrowed token needs for it."""

    roles: tuple[str, ...]
    scope: Scope = "read"


READERS, OPEN = Right(ALL), Right(ALL)
RIGHTS: Mapping[str, Right] = {
    # open to everybody, the published run to the public
    **dict.fromkeys(("entrance", "healthz", "readyz", "openapi", "sign_in_page", "sign_in", "sign_out", "services"), OPEN),
    **dict.fromkeys(("priorities", "priority", "left_out", "run", "works", "map_page", "map_data", "map_layer"), READERS),
    **dict.fromkeys(("runs", "run_info", "difference"), READERS),
    **dict.fromkeys(
        ("ogc", "landing", "ogc_api", "conformance", "collections", "collection", "queryables", "items", "item"), READERS
    ),
    **dict.fromkeys(("tile_matrix_sets", "tile_matrix_set", "tilesets", "tileset", "tile", "scores"), READERS),
    **dict.fromkeys(("processes", "process"), READERS),
    # what surveys say of single houses is for those who work on it
    **dict.fromkeys(("layers", "layer"), Right(SIGNED_IN)),
    **dict.fromkeys(("jobs", "job", "decisions", "ogc_jobs", "ogc_job", "job_results", "job_events"), Right(PLANNERS)),
    **dict.fromkeys(("execute", "dismiss"), Right(PLANNERS, "decide")),
    # surveys: a partner and a directorate see their own
    **dict.fromkeys(("surveys", "survey", "survey_original", "survey_preview", "service_request_state"), Right(SIGNED_IN)),
    **dict.fromkeys(
        ("deliver", "uploads_options", "upload_begin", "upload_state", "upload_append", "upload_abandon", "service_request"),
        Right(SIGNED_IN, "deliver"),
    ),
    **dict.fromkeys(
        ("survey_check", "survey_accept", "survey_return", "publish_run", "withdraw_run", "requests_survey"),
        Right(PLANNERS, "decide"),
    ),
    **dict.fromkeys(("accounts", "account_save", "tokens", "token_make", "token_revoke", "metrics"), Right(("admin",), "manage")),
}


@dataclass(frozen=True)
class Person:
    """Who asks: a name for the log, a role, what their token is narrowed to, and from where they ask."""

    name: str
    role: str
    origin: str = ""
    scopes: tuple[str, ...] = ()
    session: str = field(default="", repr=False)  # the secret of the cookie, where one was shown
    token: str = ""

    def may(self, right: Right) -> bool:
        return self.role in right.roles and (not self.scopes or right.scope in self.scopes)

    @property
    def sees_all_surveys(self) -> bool:
        return self.role in PLANNERS

    @property
    def csrf(self) -> str:
        """The number that our own pages send along."""
        return hashlib.sha256(f"csrf\0{self.session}".encode()).hexdigest() if self.session else ""


class Known:
    """The tokens seen lately, and how often each sender asks. One in each process."""

    def __init__(self) -> None:
        self._tokens: dict[str, tuple[float, tuple[accounts.Account, accounts.Token] | None]] = {}
        self._buckets: dict[str, tuple[float, float]] = {}

    def holder(self, store: Store, text: str) -> tuple[accounts.Account, accounts.Token] | None:
        """Whose token it is; believed for some seconds."""
        from api.jobs import now

        key, clock = hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest(), time.monotonic()
        until, found = self._tokens.get(key, (0.0, None))
        if clock >= until:
            found = accounts.holder(store, text, now=now())
            if len(self._tokens) >= REMEMBERED:
                self._tokens.clear()
            self._tokens[key] = (clock + KNOWN_S, found)
        return found

    def forget(self) -> None:
        self._tokens.clear()

    def wait_s(self, key: str, per_minute: int) -> float:
        """Seconds until the sender may ask again; 0 lets this request through. A token bucket of one minute's requests."""
        clock = time.monotonic()
        left, since = self._buckets.get(key, (float(per_minute), clock))
        left = min(left + (clock - since) * per_minute / 60, float(per_minute))
        if len(self._buckets) >= 10 * REMEMBERED:
            self._buckets.clear()
        if left < 1:
            self._buckets[key] = (left, clock)
            return (1 - left) * 60 / per_minute
        self._buckets[key] = (left - 1, clock)
        return 0.0


def local() -> str:
    """The name of whoever sits at the machine."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "local"


def asking(request: Request) -> Person:
    """Who asks; kept with the request.

    Raises
    ------
    SignInError
        A token was shown that does not hold.
    """
    request.state.person = found = _shown(request)
    return found


def public(request: Request) -> bool:
    """Whether the public asks, which sees published runs only."""
    return bool(request.state.person.role == "public")


def _shown(request: Request) -> Person:
    """Who shows a token or a cookie, and who shows none.

    Raises
    ------
    SignInError
        A token was shown that does not hold.
    """
    settings: Settings = request.app.state.settings
    origin = request.client.host if request.client else ""
    shelf = request.app.state.shelf
    store: Store | None = shelf.store()
    kind, _, text = request.headers.get("authorization", "").partition(" ")
    if text:
        found = (
            request.app.state.shelf.known.holder(store, text.strip()) if store is not None and kind.lower() == "bearer" else None
        )
        if found is None or found[1].label == accounts.SESSION:
            said = message("The token does not hold: it is wrong, has expired or was revoked.")
            raise SignInError(
                finding("token-invalid", "error", "Authorization", said, remedy=message("Ask an administrator for another."))
            )
        return Person(found[0].name, found[0].role, origin, found[1].scopes, token=found[1].id)
    cookie = request.cookies.get(COOKIE, "")
    if cookie and store is not None:
        found = request.app.state.shelf.known.holder(store, cookie)
        if found is not None and found[1].label == accounts.SESSION:
            return Person(found[0].name, found[0].role, origin, found[1].scopes, cookie, found[1].id)
    if settings.guarded:
        return Person("", "public", origin)
    return Person(local(), "admin", origin)


Asking = Annotated[Person, Depends(asking)]


def may_deliver(request: Request) -> bool:
    """Whether the sender of a request may send a survey, asked before the survey is read."""
    try:
        return asking(request).may(Right(SIGNED_IN, "deliver"))
    except TarmimError:
        return False


async def allowed(request: Request, person: Asking) -> None:
    """Refuse what a person may not ask for; a route without a row in `RIGHTS` is for nobody.

    Raises
    ------
    SignInError
        The public asks for what only those who signed in may.
    ForbiddenError
        The role or the token does not allow it, or a page of another site asks for a change.
    TooManyError
        More requests in a minute than one sender may make.
    """
    settings: Settings = request.app.state.settings
    request.state.who = person.name
    if settings.guarded:
        wait = request.app.state.shelf.known.wait_s(person.token or person.origin, settings.requests_per_minute)
        if wait > 0:
            said = message("These are more requests than one sender may make in a minute.")
            expected = message("At most {n} a minute.", n=settings.requests_per_minute)
            raise TooManyError(finding("too-many", "error", "client", said, expected=expected), after_s=int(wait) + 1)
    name = request.scope["route"].name
    right = RIGHTS.get(name, Right(()))
    if not person.may(right):
        said = message("This is not for everybody: {role}.", role=accounts.ROLE_NAMES[person.role])
        needed = [one for one in right.roles if one != "public"]
        found = finding(
            "not-allowed",
            "error",
            name,
            said,
            expected=message("One of the roles {roles}, and a token that is not narrower.", roles=needed or ("-",)),
            remedy=message("Sign in, or ask an administrator."),
        )
        raise SignInError(found) if person.role == "public" else ForbiddenError(found)
    if request.method not in SAFE:
        await _own_page(request, person)


async def _own_page(request: Request, person: Person) -> None:
    """Whether a change is asked for by our own page, or by a program; not by a page of another site."""
    origin = request.headers.get("origin", "")
    foreign = request.headers.get("sec-fetch-site", "") in ("cross-site", "same-site")
    if foreign or (origin and urlsplit(origin).netloc.lower() != request.headers.get("host", "").lower()):
        said = message("The change is asked for by a page of another site.")
        raise ForbiddenError(
            finding("cross-site", "error", "Origin", said, expected=message("A page of this service, or a program."))
        )
    if not person.session:
        return
    given = request.headers.get(CSRF_HEADER, "")
    if not given and request.headers.get("content-type", "").startswith(
        ("multipart/form-data", "application/x-www-form-urlencoded")
    ):
        given = str((await request.form()).get(CSRF_FIELD, ""))
    if not hmac.compare_digest(given.encode(), person.csrf.encode()):
        said = message("The form is too old, or not one of ours.")
        raise ForbiddenError(finding("csrf", "error", CSRF_FIELD, said, remedy=message("Reload the page and send it again.")))
