"""What the service holds: one study, read and ranked when it starts, and read again when somebody has made a newer run of it.

Those who work on the study see it as it is; the public sees the run that was published last. Several processes may serve one store:
each looks every few seconds whether another has made or published something.
"""

from __future__ import annotations

import datetime
import hashlib
import logging
import math
import os
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Lock, Thread
from typing import Annotated, Any
from weakref import finalize

import geopandas as gpd
from fastapi import Depends, Request

from api.errors import NotFoundError, unknown
from api.people import Asking, Known
from api.settings import Settings
from api.terminal import accepted, with_overrides
from geo import pipeline, tiles, windows
from geo.catalogue import FILE
from geo.errors import TarmimError, finding
from geo.harmonise import City
from geo.messages import message
from geo.overrides import COLUMNS as DECIDED
from geo.run import Run
from geo.store import Store
from geo.windows import Collection

log = logging.getLogger("tarmim.api")
KEPT = 32
LOOK_S = 3.0  # how often it is looked for a newer run


class Held:
    """City and run in memory, with a small store of answers that take long to make.

    It owns that store; everything else in it is read only.
    """

    def __init__(self, city: City, run: Run) -> None:
        self.city = city
        self.run = run
        self._made: OrderedDict[tuple[object, ...], bytes] = OrderedDict()
        self._placed: dict[str, gpd.GeoDataFrame] = {}
        self._collections: dict[str, Collection] = {}
        self._lock = Lock()
        self._numbering = Lock()  # takes seconds for a large layer; other answers need not wait

    @property
    def version(self) -> str:
        """What the answers are made of: the run, and the decisions on its ranks."""
        if "decided_rank" not in self.run.priorities:
            return self.run.id
        decided = self.run.priorities[list(DECIDED)].to_csv()
        return f"{self.run.id}-{hashlib.sha256(decided.encode()).hexdigest()[:8]}"

    @property
    def layers(self) -> list[str]:
        """Names of everything that can be asked for as features."""
        return [*self.city.layers, *self._shaped, "priorities", "left_out"]

    @property
    def _shaped(self) -> list[str]:
        """Further tables of the run that have places."""
        return [name for name, table in self.run.tables.items() if isinstance(table, gpd.GeoDataFrame)]

    def frame(self, name: str) -> Any:
        """A layer in the study's CRS.

        Raises
        ------
        NotFoundError
            With the known names.
        """
        if name == "priorities":
            return self.run.priorities
        if name == "left_out":
            return self.run.left_out
        if name in self._shaped:
            return self.run.tables[name]
        if name not in self.city.layers:
            raise NotFoundError(unknown("layers", name, self.layers))
        return self.city.layers[name].frame

    def placed(self, name: str) -> gpd.GeoDataFrame:
        """A layer in WGS 84, a table without shapes with empty geometry; made once."""
        frame = self.frame(name)
        with self._lock:
            if name not in self._placed:
                shaped = frame if isinstance(frame, gpd.GeoDataFrame) else gpd.GeoDataFrame(frame, geometry=[None] * len(frame))
                self._placed[name] = (shaped if shaped.crs else shaped.set_crs(self.city.study.crs)).to_crs("EPSG:4326")
            return self._placed[name]

    def collection(self, name: str) -> Collection:
        """The features of a collection (`geo.windows`), numbered; made once.

        Raises
        ------
        NotFoundError
            With the known names.
        """
        known = windows.names(self.city, self.run)
        if name not in known:
            raise NotFoundError(unknown("collections", name, known))
        with self._numbering:
            if name not in self._collections:
                self._collections[name] = windows.collection(name, self.city, self.run)
            return self._collections[name]

    @cached_property
    def tiles_folder(self) -> Path:
        """Where files of tiles are kept: in the study's folder where that can be, else in one that goes with this process."""
        folder = self.city.study.folder
        kept = (folder / "catalogue.sqlite").is_file() or (folder / tiles.FOLDER).is_dir()
        if kept and os.access(folder, os.W_OK):
            return folder / tiles.FOLDER
        self._gone = TemporaryDirectory(prefix="tarmim-tiles-", ignore_cleanup_errors=True)
        finalize(self, self._gone.cleanup)
        return Path(self._gone.name)

    def made(self, key: tuple[object, ...], make: Callable[[], bytes]) -> bytes:
        """What `make` gives, kept for the next time; the least used of 32 goes first."""
        with self._lock:
            if key in self._made:
                self._made.move_to_end(key)
                return self._made[key]
        content = make()
        with self._lock:
            self._made[key] = content
            while len(self._made) > KEPT:
                self._made.popitem(last=False)
        return content


def load(settings: Settings) -> Held:
    """Read and rank the study.

    Raises
    ------
    TarmimError
        With everything that is wrong with it.
    """
    study, scheme = pipeline.open_study(settings.study, settings.scheme)
    city = pipeline.read_city(study, accepted=accepted(study, settings.database_url))
    return Held(city, with_overrides(pipeline.assess(city, scheme), study, settings.database_url))


class Shelf:
    """The store, opened when it is first needed, and the runs that are shown. It owns the store and closes it."""

    def __init__(self, settings: Settings, current: Held) -> None:
        self.settings = settings
        self.known = Known()
        self._current = current
        self._read_at = datetime.datetime.now(datetime.UTC)
        self._published: Held | None = None
        self._store: Store | None = None
        self._looked = -math.inf
        self._lock = Lock()
        self._reading: Thread | None = None

    def store(self, *, make: bool = False) -> Store | None:
        """The store; None where the study has no catalogue and none is to be made.

        Raises
        ------
        StoreError
            It can't be opened.
        """
        with self._lock:
            there = self.settings.database_url is not None or (self.settings.study / FILE).is_file()
            if self._store is None and (there or make):
                self._store = Store.open(self.settings.study, self.settings.database_url)
            return self._store

    def current(self) -> Held:
        """The study as it is."""
        self._look()
        return self._current

    def published(self) -> Held | None:
        """The run that was published last; None where none is."""
        self._look()
        return self._published

    def look_again(self) -> None:
        """Somebody has just changed something."""
        self._looked = -math.inf
        self.known.forget()

    def _look(self) -> None:
        store, clock = self.store(), time.monotonic()
        with self._lock:
            if store is None or clock < self._looked + LOOK_S:
                return
            self._looked = clock
        newest, shown = store.runs(), store.runs(published=True)
        if newest and newest[0].made_at > self._read_at and (self._reading is None or not self._reading.is_alive()):
            self._read_at = datetime.datetime.now(datetime.UTC)
            self._reading = Thread(target=self._read, daemon=True)
            self._reading.start()
        last = max(shown, key=lambda one: one.published_at or one.made_at).id if shown else None
        if last is None:
            self._published = None
        elif self._published is None or self._published.run.id != last:
            city = replace(self._current.city, layers={})
            study = self._current.city.study
            self._published = Held(city, with_overrides(store.run(last), study, self.settings.database_url))

    def _read(self) -> None:
        try:
            self._current = load(self.settings)
        except TarmimError as error:
            log.warning("the study can't be read again: %s", error)

    def close(self) -> None:
        if self._store is not None:
            self._store.close()


def shelf(request: Request) -> Shelf:
    found: Shelf = request.app.state.shelf
    return found


OnShelf = Annotated[Shelf, Depends(shelf)]


def held(shelf: OnShelf, person: Asking) -> Held:
    """What a person is shown.

    Raises
    ------
    NotFoundError
        The public asks, and nothing is published.
    """
    if person.role != "public":
        return shelf.current()
    found = shelf.published()
    if found is None:
        said = message("Nothing is published yet.")
        raise NotFoundError(finding("nothing-published", "error", "runs", said, remedy=message("A planner publishes a run.")))
    return found


HeldStudy = Annotated[Held, Depends(held)]


def reading_store(shelf: OnShelf) -> Store | None:
    """The store to read in; None where the study has none."""
    return shelf.store()


def writing_store(shelf: OnShelf) -> Store:
    """The store to write in, made where there is none yet."""
    found = shelf.store(make=True)
    assert found is not None  # noqa: S101  # it was to be made
    return found


ReadingStore = Annotated[Store | None, Depends(reading_store)]
WritingStore = Annotated[Store, Depends(writing_store)]
