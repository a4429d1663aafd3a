"""Signing in and out, and for administrators: accounts and their tokens. Every change is a line of the decision log."""

from __future__ import annotations

import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Form, Query, Request
from fastapi import Path as PathParameter
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from pydantic import BaseModel, Field

from api import models
from api.errors import SignInError, TooManyError
from api.jobs import now
from api.negotiation import language
from api.people import COOKIE, Asking
from api.routes.surveys import sent
from api.state import OnShelf, ReadingStore, WritingStore
from geo import accounts
from geo.errors import finding
from geo.messages import Lang, message

router = APIRouter(tags=["people"])
Role = Literal["partner", "directorate", "planner", "admin"]
Scope = Literal["read", "deliver", "decide", "manage"]


class AccountRecord(BaseModel):
    """Somebody who signs in."""

    name: str
    role: Role
    label: models.Both
    made_at: datetime.datetime
    closed_at: datetime.datetime | None


class Accounts(BaseModel):
    """All accounts, by name."""

    accounts: list[AccountRecord]


class AccountChange(BaseModel):
    """What an account is to be."""

    role: Role
    closed: bool = False


class TokenRecord(BaseModel):
    """What is known of a token; `secret` is there once, when it is made."""

    id: str
    account: str
    label: str
    scopes: list[Scope]
    made_at: datetime.datetime
    expires_at: datetime.datetime
    revoked_at: datetime.datetime | None
    secret: str | None = None


class Tokens(BaseModel):
    """Tokens, newest first."""

    tokens: list[TokenRecord]


class TokenWish(BaseModel):
    """A token to be made."""

    account: str = Field(max_length=80)
    label: str = Field(default="", max_length=80)
    days: float = Field(default=90, gt=0, le=3650)
    scopes: list[Scope] = Field(default=[], max_length=4)


@router.get("/sign-in", name="sign_in_page", response_class=HTMLResponse)
def sign_in_page(
    request: Request,
    person: Asking,
    lang: Annotated[Lang | None, Query(description="Language; goes before Accept-Language")] = None,
) -> Response:
    """Give the page on which one signs in with a token, and out."""
    from maps.page import sign_in_page as page

    spoken = language(request)
    text = page(
        lang=spoken,
        name=person.name if person.role != "public" else "",
        role=accounts.ROLE_NAMES[person.role].render(spoken),
        csrf=person.csrf,
        session=bool(person.session),
        action=request.url_for("sign_in").path,
        leave=request.url_for("sign_out").path,
        map_url=f"{request.url_for('map_page').path}?lang={spoken}",
        assets_url=request.url_for("assets", path="").path,
        language_urls={code: f"{request.url_for('sign_in_page').path}?lang={code}" for code in ("ar", "en")},
    )
    return HTMLResponse(text, headers={"Cache-Control": "no-store", "Content-Language": spoken, "Vary": "Accept-Language, Cookie"})


@router.post("/sign-in", name="sign_in", status_code=303, response_class=RedirectResponse)
def sign_in(request: Request, shelf: OnShelf, store: WritingStore, token: Annotated[str, Form(max_length=200)]) -> Response:
    """Open a session with a token; its cookie is for this site's pages alone, and no script can read it."""
    settings = shelf.settings
    wait = shelf.known.wait_s(f"sign-in {request.client.host if request.client else ''}", settings.sign_ins_per_minute)
    if wait > 0:
        raise TooManyError(finding("too-many", "error", "sign-in", message("Too many attempts to sign in.")), after_s=int(wait) + 1)
    moment = now()
    found = accounts.holder(store, token.strip(), now=moment)
    if found is None or found[1].label == accounts.SESSION:
        said = message("The token does not hold: it is wrong, has expired or was revoked.")
        raise SignInError(finding("token-invalid", "error", "token", said, remedy=message("Ask an administrator for another.")))
    person, known = found
    lasts = min(datetime.timedelta(hours=settings.session_hours), known.expires_at - moment)
    _, secret = accounts.make_token(
        store, person.name, label=accounts.SESSION, by=person.name, now=moment, lasts=lasts, scopes=known.scopes
    )
    answer = RedirectResponse(request.url_for("sign_in_page").path, 303, {"Cache-Control": "no-store"})
    answer.set_cookie(
        COOKIE,
        secret,
        max_age=int(lasts.total_seconds()),
        path=settings.root_path or "/",
        httponly=True,
        samesite="strict",
        secure=settings.https,
    )
    return answer


@router.post("/sign-out", name="sign_out", status_code=303, response_class=RedirectResponse)
def sign_out(
    request: Request, person: Asking, shelf: OnShelf, store: ReadingStore, csrf: Annotated[str, Form(max_length=100)] = ""
) -> Response:
    """End the session: its cookie holds no longer, wherever it was copied to."""
    if person.session and store is not None:
        accounts.revoke(store, person.token, by=person.name, now=now(), origin=person.origin)
        shelf.look_again()
    answer = RedirectResponse(request.url_for("sign_in_page").path, 303, {"Cache-Control": "no-store"})
    answer.delete_cookie(
        COOKIE, path=shelf.settings.root_path or "/", httponly=True, samesite="strict", secure=shelf.settings.https
    )
    return answer


def _account(one: accounts.Account) -> AccountRecord:
    return AccountRecord(**{**one.__dict__, "label": models.Both(**accounts.ROLE_NAMES[one.role].both())})


def _token(one: accounts.Token, secret: str | None = None) -> TokenRecord:
    return TokenRecord(**{**one.__dict__, "scopes": list(one.scopes), "secret": secret})


@router.get("/accounts", name="accounts", response_model=Accounts)
def listed(store: ReadingStore) -> Response:
    """Give all accounts."""
    return sent(Accounts(accounts=[] if store is None else [_account(one) for one in accounts.accounts(store)]))


@router.put("/accounts/{name}", name="account_save", response_model=AccountRecord)
def save(
    person: Asking,
    shelf: OnShelf,
    store: WritingStore,
    name: Annotated[str, PathParameter(max_length=80, description="Name of the account", examples=["Water directorate"])],
    given: AccountChange,
) -> Response:
    """Add an account, give it another role, close it or open it again."""
    made = accounts.save(store, name, given.role, closed=given.closed, by=person.name, now=now(), origin=person.origin)
    shelf.look_again()
    return sent(_account(made))


@router.get("/tokens", name="tokens", response_model=Tokens)
def tokens(
    store: ReadingStore, account: Annotated[str | None, Query(max_length=80, description="Only those of one account")] = None
) -> Response:
    """Give the tokens; what they are is kept nowhere."""
    return sent(Tokens(tokens=[] if store is None else [_token(one) for one in accounts.tokens(store, account)]))


@router.post("/tokens", name="token_make", response_model=TokenRecord, status_code=201)
def make(person: Asking, store: WritingStore, given: TokenWish) -> Response:
    """Make a token of an account; it is shown in this answer and never again."""
    lasts = datetime.timedelta(days=given.days)
    made, secret = accounts.make_token(
        store, given.account, label=given.label, scopes=given.scopes, lasts=lasts, by=person.name, now=now(), origin=person.origin
    )
    return sent(_token(made, secret), 201)


@router.delete("/tokens/{id}", name="token_revoke", response_model=TokenRecord)
def revoke(
    person: Asking,
    shelf: OnShelf,
    store: WritingStore,
    id: Annotated[str, PathParameter(max_length=64, description="Code of the token", examples=["3f2a9c0d1e4b5f67"])],
) -> Response:
    """Let a token no longer hold."""
    gone = accounts.revoke(store, id, by=person.name, now=now(), origin=person.origin)
    shelf.look_again()
    return sent(_token(gone))
