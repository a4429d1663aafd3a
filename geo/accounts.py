"""Accounts: who may do what in a study, and the tokens they show for it.

A token is 256 random bits, shown once when it is made; the catalogue keeps its SHA-256 and nothing to guess it from (a slow hash is
for passwords, which people choose). It expires, can be revoked, and may be narrower than the role of its account. Every change is a
line of the decision log. Accounts are never deleted, because the log speaks of them; they are closed.

Roles: *partner* delivers surveys and sees what became of them; *directorate* reads its lists; *planner* accepts surveys, makes and
publishes runs; *admin* manages people and tokens besides. Who shows no token is the public and reads what is published.
Known bias: whoever holds a token is its person; a stolen one works until it is revoked.
"""

from __future__ import annotations

import datetime
import hashlib
import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from geo import catalogue
from geo.catalogue import utc
from geo.errors import UnknownNameError, finding
from geo.messages import Message, message
from geo.store import Store, StoreError, log_entry

ROLES = ("partner", "directorate", "planner", "admin")
ROLE_NAMES: dict[str, Message] = {
    "public": message("public"),
    "partner": message("partner"),
    "directorate": message("directorate"),
    "planner": message("planner"),
    "admin": message("administrator"),
}
SCOPES = ("read", "deliver", "decide", "manage")
PREFIX = "tarmim_"
NAME = re.compile(r"[^\W_][\w .@-]{0,60}")
LONGEST = datetime.timedelta(days=3660)
SESSION = "session"


@dataclass(frozen=True)
class Account:
    """A person or an organisation that signs in."""

    name: str
    role: str
    made_at: datetime.datetime
    closed_at: datetime.datetime | None = None


@dataclass(frozen=True)
class Token:
    """What is known of a token; not the token itself. Without scopes it may do what its account may."""

    id: str
    account: str
    label: str
    scopes: tuple[str, ...]
    made_at: datetime.datetime
    expires_at: datetime.datetime
    revoked_at: datetime.datetime | None = None


def save(store: Store, name: str, role: str, *, by: str, now: datetime.datetime, origin: str = "", closed: bool = False) -> Account:
    """Add an account, or give it another role, close it, or open it again; closing revokes its tokens.

    Raises
    ------
    UnknownNameError
        No such role.
    StoreError
        The name can't be one; or nobody would be left to manage people.
    """
    if role not in ROLES:
        raise UnknownNameError(_unknown(role))
    if not NAME.fullmatch(name):
        raise StoreError(
            finding(
                "account-name",
                "error",
                name[:80],
                message("'{name}' can't be the name of an account.", name=name[:80]),
                expected=message("Up to 60 letters, digits, spaces, dots, hyphens or @, beginning with a letter or digit."),
            )
        )
    table, moment = catalogue.accounts, utc(now)
    with store.change() as connection:
        known = connection.execute(sa.select(table).where(table.c.name == name)).one_or_none()
        values: dict[str, Any] = {"role": role, "closed_at": moment if closed else None}
        others = sa.select(sa.func.count()).select_from(table)
        others = others.where(table.c.role == "admin", table.c.closed_at.is_(None), table.c.name != name)
        was_admin = known is not None and known.role == "admin" and known.closed_at is None
        if was_admin and (closed or role != "admin") and not connection.execute(others).scalar_one():
            said = message("'{name}' is the only administrator.", name=name)
            raise StoreError(finding("last-admin", "error", name, said, remedy=message("Make another one first.")))
        if known is None:
            connection.execute(sa.insert(table), {"name": name, "made_at": moment, **values})
        else:
            connection.execute(sa.update(table).where(table.c.name == name).values(**values))
        if closed:
            tokens = catalogue.tokens
            living = sa.and_(tokens.c.account == name, tokens.c.revoked_at.is_(None))
            connection.execute(sa.update(tokens).where(living).values(revoked_at=moment))
        what = "account-closed" if closed else "account-added" if known is None else "account-changed"
        log_entry(connection, now, by, origin, what, name, {"role": role})
    return Account(name, role, moment if known is None else known.made_at, values["closed_at"])


def _unknown(role: str) -> Any:
    said, expected = message("'{name}' is not known.", name=role[:80]), message("Known: {known}.", known=ROLES)
    return finding("unknown-name", "error", "role", said, expected=expected)


def accounts(store: Store) -> list[Account]:
    """All accounts, by name; closed ones too."""
    table = catalogue.accounts
    with store.view() as connection:
        return [Account(**row._mapping) for row in connection.execute(sa.select(table).order_by(table.c.name))]


def has_admin(store: Store) -> bool:
    """Whether somebody can manage people."""
    return any(one.role == "admin" and one.closed_at is None for one in accounts(store))


def make_token(
    store: Store,
    account: str,
    *,
    label: str,
    by: str,
    now: datetime.datetime,
    lasts: datetime.timedelta,
    scopes: Iterable[str] = (),
    origin: str = "",
) -> tuple[Token, str]:
    """A new token of an account, and the text to show: it is nowhere kept and can't be shown again.

    Raises
    ------
    UnknownNameError
        No such account, or no such scope.
    StoreError
        The account is closed, or the time is not between now and ten years.
    """
    wanted = tuple(dict.fromkeys(scopes))
    strange = [one for one in wanted if one not in SCOPES]
    if strange:
        said, expected = message("'{name}' is not known.", name=strange[0][:80]), message("Known: {known}.", known=SCOPES)
        raise UnknownNameError(finding("unknown-name", "error", "scopes", said, expected=expected))
    if not datetime.timedelta(0) < lasts <= LONGEST:
        said = message("A token lasts from a moment to ten years.")
        raise StoreError(finding("token-time", "error", account, said, remedy=message("Choose another time.")))
    text = PREFIX + secrets.token_urlsafe(32)
    moment = utc(now)
    made = Token(secrets.token_hex(8), account, label[:80], wanted, moment, moment + lasts)
    with store.change() as connection:
        table = catalogue.accounts
        known = connection.execute(sa.select(table).where(table.c.name == account)).one_or_none()
        if known is None:
            names = [row.name for row in connection.execute(sa.select(table.c.name).order_by(table.c.name))]
            said = message("There is no account '{name}'.", name=account[:80])
            raise UnknownNameError(
                finding("unknown-name", "error", "account", said, expected=message("Known: {known}.", known=names))
            )
        if known.closed_at is not None:
            said = message("The account '{name}' is closed.", name=account)
            raise StoreError(finding("account-closed", "error", account, said, remedy=message("Open it again first.")))
        entry: dict[str, Any] = {
            "id": made.id,
            "account": account,
            "hash": _hash(text),
            "label": made.label,
            "scopes": list(wanted),
        }
        entry |= {"made_at": moment, "expires_at": made.expires_at, "revoked_at": None}
        connection.execute(sa.insert(catalogue.tokens), entry)
        if label != SESSION:
            log_entry(connection, now, by, origin, "token-made", account, {"token": made.id, "scopes": list(wanted)})
    return made, text


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


def tokens(store: Store, account: str | None = None) -> list[Token]:
    """Tokens that still hold or held, newest first; without the sessions of pages."""
    table = catalogue.tokens
    query = sa.select(table).where(table.c.label != SESSION).order_by(table.c.made_at.desc(), table.c.id)
    with store.view() as connection:
        rows = connection.execute(query if account is None else query.where(table.c.account == account))
        return [_token(row._mapping) for row in rows]


def _token(row: Any) -> Token:
    values = {name: row[name] for name in ("id", "account", "label", "made_at", "expires_at", "revoked_at")}
    return Token(**values, scopes=tuple(row["scopes"]))


def revoke(store: Store, token: str, *, by: str, now: datetime.datetime, origin: str = "") -> Token:
    """Let a token no longer hold, nor any session of its account: one may have been opened with it. Revoked twice is revoked once.

    Raises
    ------
    UnknownNameError
        No token of that id.
    """
    table = catalogue.tokens
    with store.change() as connection:
        row = connection.execute(sa.select(table).where(table.c.id == token)).one_or_none()
        if row is None:
            said = message("There is no token '{id}'.", id=token[:80])
            raise UnknownNameError(finding("unknown-name", "error", "token", said, remedy=message("`tarmim tokens` lists them.")))
        known = _token(row._mapping)
        if known.revoked_at is not None:
            return known
        ended = table.c.id == token
        if known.label != SESSION:
            ended = sa.or_(ended, sa.and_(table.c.account == known.account, table.c.label == SESSION, table.c.revoked_at.is_(None)))
        connection.execute(sa.update(table).where(ended).values(revoked_at=utc(now)))
        if known.label != SESSION:
            log_entry(connection, now, by, origin, "token-revoked", known.account, {"token": token})
    return Token(**{**known.__dict__, "revoked_at": utc(now)})


def holder(store: Store, text: str, *, now: datetime.datetime) -> tuple[Account, Token] | None:
    """Whose token a text is; None for one that never was, has expired, is revoked, or whose account is closed."""
    table, people = catalogue.tokens, catalogue.accounts
    query = sa.select(table, people.c.role, people.c.made_at.label("since"), people.c.closed_at)
    query = query.join(people, people.c.name == table.c.account).where(table.c.hash == _hash(text))
    with store.view() as connection:
        row = connection.execute(query).one_or_none()
    if row is None or row.closed_at is not None or row.revoked_at is not None or row.expires_at <= utc(now):
        return None
    return Account(row.account, row.role, row.since), _token(row._mapping)
