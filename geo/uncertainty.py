"""Uncertainty: the values of a city drawn again and again from what is not certain about them.

Each assumption (`data/assumptions.csv`) is drawn by itself, with a seed of its own, so that one can be held while others vary.
What is wrong everywhere in the same way is one draw for all neighbourhoods: the damage factors (a table too mild or too strict as
a whole), the reach of debris. What is wrong here and there is a draw for each: people, unknown values, measures between their
bounds. Structures that a survey did not reach get states from a Dirichlet-multinomial: the shares seen in the neighbourhood and,
weakly, in the city. Draws between low, best and high are triangular. Known bias: nothing else is doubted; boundaries, places and
the survey's own mistakes count as certain, and errors of neighbours don't go together except where said.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from geo import registers, smaa
from geo.aggregation import NORMALISATIONS
from geo.scheme import Scheme
from geo.scoring import normalised, weights_of
from geo.smaa import Floats

ASSUMPTIONS = tuple(registers.register("assumptions"))
BLOCK = 500
PRIOR = 0.5  # prior structures for each class, spread by the shares of the city (Jeffreys)


def triangular(low: Floats, best: Floats, high: Floats, chance: Floats) -> Floats:
    """Quantile of the triangular distribution; where low, best and high are one, that; NaN where best is.

    >>> triangular(np.array([0.0]), np.array([1.0]), np.array([4.0]), np.array([0.25])).tolist()
    [1.0]
    """
    low, high = np.fmin(low, best), np.fmax(high, best)
    width = high - low
    with np.errstate(invalid="ignore", divide="ignore"):
        turn = (best - low) / width
        rising = low + np.sqrt(chance * width * (best - low))
        falling = high - np.sqrt((1 - chance) * width * (high - best))
    return np.asarray(np.where(width > 0, np.where(chance < turn, rising, falling), best))


@dataclass(frozen=True)
class Structures:
    """What is known of the structures of each neighbourhood, and what the survey did not see.

    Attributes
    ----------
    states
        Damage states of the columns of `counts`; the last column is that of structures which the survey saw and did not list.
    counts
        Structures seen, n × (states + 1).
    unseen
        Structures of the inventory whose state is not known, n; 0 where the survey saw all or there is no inventory.
    analysed
        Structures whose state is known, n; NaN without an inventory.
    area_km2, seen_km2
        Area of each neighbourhood, and of the part that was surveyed.
    """

    states: tuple[str, ...]
    counts: Floats
    unseen: Floats
    analysed: Floats
    area_km2: Floats
    seen_km2: Floats


class City:
    """The measures of the neighbourhoods that are ranked, in the order of their ids, ready to be drawn from.

    It owns the arrays; `blocks` gives draws of them.
    """

    def __init__(self, measures: pd.DataFrame, scheme: Scheme) -> None:
        table = measures.sort_index()
        self.scheme, self.units = scheme, table.index
        self.criteria = tuple(one.measure for one in scheme.criteria)
        self.table = table
        self.known = ~np.isnan(normalised(table, scheme).to_numpy(np.float64))
        self.structures = _structures(table, scheme)

    def column(self, name: str) -> Floats:
        """A column of the measures, NaN where there is none."""
        return np.asarray(_numbers(self.table, name)[:, 0])

    def blocks(self, on: frozenset[str], draws: int, seed: int) -> Iterator[tuple[Floats, Floats]]:
        """Draws with the assumptions of `on` varied and the others at their best values: values (draws × n × m) and weights."""
        for number, start in enumerate(range(0, draws, BLOCK)):
            size = min(BLOCK, draws - start)
            chance = {name: np.random.default_rng([seed, at, number]) for at, name in enumerate(ASSUMPTIONS)}
            yield self._values(on, chance, size), self._weights(on, chance["weights"], size)

    def _weights(self, on: frozenset[str], rng: np.random.Generator, draws: int) -> Floats:
        agreed, chosen = weights_of(self.scheme), self.scheme.confidence
        if "weights" not in on:
            return np.tile(agreed, (draws, 1))
        if chosen.weights == "uniform":
            return smaa.uniform(rng, draws, len(agreed))
        if chosen.weights == "ordered":
            return smaa.ordered(rng, draws, agreed)
        if chosen.weights == "intervals":
            bounds = np.array([chosen.intervals.get(name, (0.0, 1.0)) for name in self.criteria])
            return smaa.between(rng, draws, bounds[:, 0], bounds[:, 1])
        return smaa.around(rng, draws, agreed, chosen.concentration)

    def _values(self, on: frozenset[str], chance: dict[str, np.random.Generator], draws: int) -> Floats:
        n, m = len(self.units), len(self.criteria)
        people = self._people(on, chance["population"], draws)
        own = chance["bounds"].random((m, draws, n)) if "bounds" in on else None
        reach = chance["reach"].random((draws, 1)) if "reach" in on else None
        destroyed = self._destroyed(on, chance, draws)
        values = np.empty((draws, n, m))
        for at, one in enumerate(self.scheme.criteria):
            mine = None if own is None else own[at]
            raw = self._raw(one.measure, people, mine, reach, destroyed)
            raw = np.where(self.known[:, at], raw, np.nan)
            values[:, :, at] = self._scaled(raw, at)
        if "unknown" in on:
            anywhere = chance["unknown"].random((draws, n, m))
            values = np.where(self.known, values, anywhere)
        return values

    def _scaled(self, raw: Floats, at: int) -> Floats:
        """One criterion on the scale of the scheme, draws × n."""
        one, scale = self.scheme.criteria[at], NORMALISATIONS[self.scheme.normalisation]
        if self.scheme.normalisation == "goalposts":
            return scale(raw, *one.goalposts, one.direction == "more")
        return np.stack([scale(row, *one.goalposts, one.direction == "more") for row in raw])

    def _raw(
        self, name: str, people: Floats, own: Floats | None, reach: Floats | None, destroyed: dict[str, Floats] | None
    ) -> Floats:
        """A measure as drawn, draws × n (or n where nothing of it varies)."""
        way = registers.register("uncertainty").get(name, {"way": "own"})
        best = self.column(name)
        if way["way"] == "factors":
            return best if destroyed is None else destroyed[name]
        if way["way"] == "together":
            return self._between(name, reach)
        if way["way"] == "own":
            return self._between(name, own)
        before = self.column("people")
        with np.errstate(invalid="ignore", divide="ignore"):
            ratio = np.where(before > 0, people / before, 1.0)
            if way["way"] == "people":
                return np.asarray(best * ratio)
            if way["way"] == "people_times":
                low, high = self.column("people_low"), self.column("people_high")
                share = triangular(
                    self.column(f"{name}_low") / np.where(np.isnan(low), before, low),
                    best / before,
                    self.column(f"{name}_high") / np.where(np.isnan(high), before, high),
                    np.full(len(before), 0.5) if own is None else own,
                )
                return np.asarray(np.where(before > 0, people * (best / before if own is None else share), best))
            count = self._between(way["of"], own)
            return np.asarray(np.where(people > 0, count / people * float(way["scale"]), best))

    def _between(self, name: str, chance: Floats | None) -> Floats:
        best = self.column(name)
        return best if chance is None else triangular(self.column(f"{name}_low"), best, self.column(f"{name}_high"), chance)

    def _people(self, on: frozenset[str], rng: np.random.Generator, draws: int) -> Floats:
        best = self.column("people")
        if "population" not in on:
            return best
        return triangular(self.column("people_low"), best, self.column("people_high"), rng.random((draws, len(best))))

    def _destroyed(self, on: frozenset[str], chance: dict[str, np.random.Generator], draws: int) -> dict[str, Floats] | None:
        """Damage index and density as drawn; None where nothing of them varies."""
        seen, factors = self.structures, self.scheme.factors
        if seen is None or not on & {"factors", "sample"}:
            return None
        levels = (factors.low, factors.best, factors.high)
        table = np.array([[*(level[state] for state in seen.states), 0.0] for level in levels])
        share = np.tile(table[1], (draws, 1))
        if "factors" in on:
            share = triangular(table[0], table[1], table[2], chance["factors"].random((draws, 1)))
        equal = share @ seen.counts.T
        whole = equal.copy()
        there = np.zeros(len(self.units), dtype=bool)
        if "sample" in on:
            there = seen.unseen > 0
            for at in np.flatnonzero(there):
                whole[:, at] += (self._unseen(int(at), chance["sample"], draws) * share).sum(axis=1)
        unseen = np.where(there, seen.unseen, 0.0)
        with np.errstate(invalid="ignore", divide="ignore"):
            index = np.clip(whole / (seen.analysed + unseen), 0.0, 1.0)
            density = np.where(there, whole / seen.area_km2, equal / seen.seen_km2)
        return {"damage_index": index, "equivalent_destroyed_per_km2": density}

    def _unseen(self, at: int, rng: np.random.Generator, draws: int) -> Floats:
        """States of the structures that were not seen, draws × states: posterior predictive of those that were."""
        assert self.structures is not None  # noqa: S101  # the caller has looked
        seen = self.structures
        city = seen.counts.sum(axis=0)
        weight = seen.counts[at] + PRIOR * len(city) * city / max(city.sum(), 1.0)
        some = weight > 0
        shares = np.zeros((draws, len(weight)))
        shares[:, some] = rng.dirichlet(weight[some], size=draws)
        return np.asarray(rng.multinomial(round(float(seen.unseen[at])), shares), dtype=np.float64)


def _structures(table: pd.DataFrame, scheme: Scheme) -> Structures | None:
    """Counts by state, and how many structures were not seen; None without a damage survey."""
    states = tuple(state for state in scheme.factors.best if f"structures_{state}" in table)
    if "equivalent_destroyed_per_km2" not in table or not states:
        return None
    listed = _numbers(table, *(f"structures_{state}" for state in states), otherwise=0.0)
    unsure = _numbers(table, "structures_not_analysed", otherwise=0.0)[:, 0]
    covered = _numbers(table, "equivalent_destroyed_per_km2_coverage")[:, 0]
    covered = np.where(covered > 0, covered, 1.0)
    every, index, area = _numbers(table, "buildings", "damage_index", "area_km2").T
    with np.errstate(invalid="ignore", divide="ignore"):
        equal = listed @ np.array([scheme.factors.best[state] for state in states])
        analysed = np.where(index > 0, equal / index, np.where(index == 0, every * covered - unsure, np.nan))
    partly = np.isfinite(analysed) & ((covered < 1) | (unsure > 0))
    unseen = np.where(partly, np.fmax(every - analysed, unsure), 0.0)
    intact = np.where(np.isfinite(analysed), np.maximum(analysed - listed.sum(axis=1), 0.0), 0.0)
    return Structures(
        states, np.column_stack([listed, intact]), np.where(unseen >= PRIOR, unseen, 0.0), analysed, area, area * covered
    )


def _numbers(table: pd.DataFrame, *names: str, otherwise: float = np.nan) -> Floats:
    """Columns of the measures as an array; `otherwise` where there is no column or no value."""
    columns = [table[name] if name in table else pd.Series(np.nan, index=table.index) for name in names]
    values = np.column_stack([one.to_numpy(dtype=np.float64, na_value=np.nan) for one in columns])
    return np.where(np.isnan(values), otherwise, values)
