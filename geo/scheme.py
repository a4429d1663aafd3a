"""A scheme: which criteria count, how much, between which fixed goalposts, and why; a TOML file.

Goalposts are published in advance, so that adding or removing a neighbourhood never changes the score of another (min-max
scaling does: METHODS, rank reversal). Weights are normalised to sum to 1 when they are read.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationError, field_validator, model_validator
from pydantic_core import PydanticCustomError

from geo import registers
from geo.errors import Finding, SchemeError, TarmimError, finding
from geo.messages import message
from geo.study import BothLanguages, Model, findings_of, not_a_table, read_toml

COMPLAINTS = "complaints"  # measures that rest on complaints begin so


class Factors(Model):
    """A damage factor table: share of the structure lost by damage state, low ≤ best ≤ high, each 0 to 1."""

    name: str
    low: dict[str, float]
    best: dict[str, float]
    high: dict[str, float]


Finite = Annotated[float, Field(allow_inf_nan=False)]


class Criterion(Model):
    """One criterion: a measure, which way it counts, its goalposts (in the measure's unit) with the reason, its weight."""

    measure: str
    axis: str
    weight: float = Field(ge=0, allow_inf_nan=False)
    direction: Literal["more", "less"]
    goalposts: tuple[Finite, Finite]
    reason: BothLanguages


class Options(Model):
    """Numbers the measures need. `debris_reach_m`: low, best, high, metres; `facility_match_m`: metres.

    `complaints_cap` is the most that complaints may bring to a score, as a share of its points, however much else is unknown.
    """

    debris_reach_m: tuple[float, float, float] = (5.0, 10.0, 20.0)
    facility_match_m: float = Field(default=25.0, ge=0, le=500)
    complaints_cap: float = Field(default=0.05, ge=0, le=1)

    @field_validator("debris_reach_m")
    @classmethod
    def _ordered(cls, reach: tuple[float, float, float]) -> tuple[float, float, float]:
        low, best, high = reach
        if not 0 < low <= best <= high <= 500:
            raise PydanticCustomError("not_ordered", "low ≤ best ≤ high is expected")
        return reach


class Scheme(Model):
    """Criteria, weights (sum 1), goalposts, damage factors, method and the two minimum coverages (shares, 0 to 1)."""

    id: str
    name: BothLanguages
    version: str = "1"
    method: Literal["weighted_sum"] = "weighted_sum"
    factors: Factors
    minimum_coverage: float = Field(default=0.6, ge=0, le=1)
    minimum_surveyed: float = Field(default=0.5, ge=0, le=1)
    options: Options = Options()
    criteria: tuple[Criterion, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _normalised(self) -> Scheme:
        total = sum(one.weight for one in self.criteria)
        if total > 0:
            scaled = tuple(one.model_copy(update={"weight": one.weight / total}) for one in self.criteria)
            object.__setattr__(self, "criteria", scaled)
        return self


def read_factors(name: str) -> Factors:
    """A registered damage factor table.

    >>> read_factors("tarmim").best["moderate"]
    0.175
    """
    rows = registers.table("factors", name)
    return Factors(
        name=name,
        low={row["state"]: float(row["low"]) for row in rows},
        best={row["state"]: float(row["best"]) for row in rows},
        high={row["state"]: float(row["high"]) for row in rows},
    )


def read_scheme(name: str, *, folder: Path | None = None) -> Scheme:
    """A registered scheme by its name, or a file of the study's folder by its name with `.toml`.

    Raises
    ------
    SchemeError
        With every fault: weights that are all zero or negative, goalposts that are equal or reversed, unknown measures, axes
        or factor tables, a criterion given twice.
    """
    if name.endswith(".toml") and Path(name).name == name:
        path = (folder or Path()) / name
        content, ident = read_toml(path, SchemeError), path.stem
    else:
        content, ident = registers.tree("schemes", name), name
    where = f"{ident}.toml"
    head = content.get("scheme", {})
    if not isinstance(head, dict):
        raise SchemeError(not_a_table("scheme", head, where))
    faults: list[Finding] = []
    try:
        factors = read_factors(str(head.get("factors", "tarmim")))
    except TarmimError as error:
        faults += error.findings
        factors = read_factors("tarmim")
    body = {key: value for key, value in content.items() if key != "scheme"}  # a table that nobody knows is refused, not skipped
    try:
        scheme = Scheme(**{**head, **body, "id": ident, "factors": factors})
    except ValidationError as error:
        raise SchemeError(*faults, *findings_of(error, where)) from None
    faults += _faults(scheme, where)
    if faults:
        raise SchemeError(*faults)
    return scheme


def _faults(scheme: Scheme, where: str) -> list[Finding]:
    faults: list[Finding] = []
    if sum(one.weight for one in scheme.criteria) <= 0:
        faults.append(
            finding(
                "zero-weights",
                "error",
                where,
                message("All weights are zero."),
                expected=message("At least one criterion needs a weight above 0."),
                remedy=message("Give the criteria weights; they are scaled to sum to 1."),
            )
        )
    measures = [one.measure for one in scheme.criteria]
    faults += _too_much_voice(scheme, where)
    for one in scheme.criteria:
        faults += _criterion_faults(one, where, repeated=measures.count(one.measure) > 1)
    return faults


def without_complaints(scheme: Scheme) -> Scheme:
    """The scheme without the criteria that rest on complaints, the other weights scaled to sum to 1; itself where it has none."""
    rest = tuple(one for one in scheme.criteria if not one.measure.startswith(COMPLAINTS))
    total = sum(one.weight for one in rest)
    if len(rest) == len(scheme.criteria) or total <= 0:
        return scheme
    return scheme.model_copy(update={"criteria": tuple(one.model_copy(update={"weight": one.weight / total}) for one in rest)})


def _too_much_voice(scheme: Scheme, where: str) -> list[Finding]:
    """Complaints whose share of the points could pass the cap where as little else is known as the scheme allows."""
    voice = sum(one.weight for one in scheme.criteria if one.measure.startswith(COMPLAINTS))
    most = voice / max(scheme.minimum_coverage, voice) if voice else 0.0
    if most <= scheme.options.complaints_cap + 1e-9:
        return []
    return [
        finding(
            "complaints-cap",
            "error",
            where,
            message(
                "Complaints have {weight}% of the weights; "
                "where only {known}% of the weights are known they could bring {most}% of the points.",
                weight=round(voice * 100, 1),
                known=round(scheme.minimum_coverage * 100, 1),
                most=round(most * 100, 1),
            ),
            expected=message("At most {cap}% (complaints_cap).", cap=round(scheme.options.complaints_cap * 100, 1)),
            remedy=message(
                "Give complaints at most {weight}% of the weights, or raise minimum_coverage.",
                weight=round(scheme.options.complaints_cap * scheme.minimum_coverage * 100, 1),
            ),
        )
    ]


def _criterion_faults(one: Criterion, where: str, *, repeated: bool) -> list[Finding]:
    faults = []
    for value, kind in ((one.measure, "measures"), (one.axis, "axes")):
        known = registers.register(kind)
        if value not in known:
            faults.append(
                finding(
                    "unknown-name",
                    "error",
                    where,
                    message("'{name}' is not known.", name=value),
                    expected=message("Known: {known}.", known=sorted(known)),
                    remedy=message("Use one of the known names."),
                )
            )
    low, high = one.goalposts
    if not low < high:
        faults.append(
            finding(
                "goalposts",
                "error",
                where,
                message("The goalposts of '{measure}' are {low} and {high}.", measure=one.measure, low=low, high=high),
                expected=message("The first below the second."),
                remedy=message('Use direction = "less" where less of it is more urgent.'),
            )
        )
    if repeated:
        faults.append(
            finding(
                "repeated-criterion",
                "error",
                where,
                message("'{measure}' is a criterion twice.", measure=one.measure),
                remedy=message("Keep one of them."),
            )
        )
    return faults
