"""What the service holds: one study, read and ranked when it starts, never changed after."""

from __future__ import annotations

import hashlib
import os
from collections import OrderedDict
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Lock
from typing import Annotated, Any
from weakref import finalize

import geopandas as gpd
from fastapi import Depends, Request

from api.errors import NotFoundError, unknown
from api.settings import Settings
from api.terminal import accepted, with_overrides
from geo import pipeline, tiles, windows
from geo.harmonise import City
from geo.overrides import COLUMNS as DECIDED
from geo.run import Run
from geo.windows import Collection

KEPT = 32


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


def held(request: Request) -> Held:
    """The study that the app holds."""
    found: Held = request.app.state.held
    return found


HeldStudy = Annotated[Held, Depends(held)]
