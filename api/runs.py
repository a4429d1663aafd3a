"""The runs that can be asked for: the one that the service shows, and those of the study's store, by their codes.

A run is opened when it is asked for; the four used last stay open. `latest` is the one shown, `published` the one published last,
or the one shown where none is.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

from fastapi import Request

from api.errors import NotFoundError
from api.people import public
from api.settings import Settings
from api.state import Held
from api.terminal import with_overrides
from geo.catalogue import FILE
from geo.errors import Finding, finding
from geo.messages import message
from geo.records import RunRecord
from geo.store import Store, StoreError

KEPT = 4
LATEST, PUBLISHED = "latest", "published"
RUN_ID = re.compile(r"[0-9a-f]{16}")
_open: OrderedDict[tuple[str, str], Held] = OrderedDict()
_lock = Lock()


@contextmanager
def store_of(request: Request) -> Iterator[Store | None]:
    """The store of the served study; None where it has none."""
    settings: Settings = request.app.state.settings
    if settings.database_url is None and not (settings.study / FILE).is_file():
        yield None
        return
    with Store.open(settings.study, settings.database_url) as store:
        yield store


def records(request: Request) -> list[RunRecord]:
    """The runs of the store, newest first; to the public, the published ones."""
    with store_of(request) as store:
        return [] if store is None else store.runs(published=public(request))


def held_of(request: Request, shown: Held, name: str | None) -> Held:
    """What the lists of a run are made of.

    Parameters
    ----------
    name
        Code of a run, `latest`, `published`, or None for the one that the service shows.

    Raises
    ------
    NotFoundError
        There is no such run.
    """
    if name in (None, LATEST, shown.run.id):
        return shown
    with store_of(request) as store:
        if name == PUBLISHED:
            first = next(iter(sorted((store.runs(published=True) if store else ()), key=_when, reverse=True)), None)
            name = first.id if first else shown.run.id
            if name == shown.run.id:
                return shown
        if store is None or name is None or not RUN_ID.fullmatch(name):
            raise NotFoundError(_no_run(name))
        if public(request) and name not in [one.id for one in store.runs(published=True)]:
            raise NotFoundError(_no_run(name))
        with _lock:
            if (found := _open.get((str(store.folder), name))) is not None:
                _open.move_to_end((str(store.folder), name))
        try:
            if found is None:
                found = Held(shown.city, store.run(name))
            decided = with_overrides(found.run, shown.city.study, request.app.state.settings.database_url)
        except StoreError as error:
            if error.findings[0].code == "unknown-id":
                raise NotFoundError(_no_run(name)) from None
            raise
    if decided is not found.run and Held(shown.city, decided).version != found.version:
        found = Held(shown.city, decided)
    with _lock:
        _open[str(shown.city.study.folder.resolve()), name] = found
        while len(_open) > KEPT:
            _open.popitem(last=False)
    return found


def _when(one: RunRecord) -> str:
    return "" if one.published_at is None else one.published_at.isoformat()


def _no_run(name: str | None) -> Finding:
    return finding(
        "unknown-name",
        "error",
        "run",
        message("There is no run '{id}'.", id=str(name)[:64]),
        remedy=message("See /runs for the codes."),
    )
