"""A scheme: which criteria count, how much, between which fixed goalposts, and why; a TOML file.

Goalposts are published in advance, so that adding or removing a neighbourhood never changes the score of another (min-max
scaling does: `geo.aggregation`). Weights are normalised to sum to 1 when they are read; where the scheme says so they are the
combined judgement of its stakeholder groups (`geo.groups`).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, field_validator, model_validator
from pydantic_core import PydanticCustomError

from geo import groups, registers
from geo.aggregation import MethodName, NormalisationName, Thresholds
from geo.errors import Finding, SchemeError, TarmimError, finding, raise_errors
from geo.groups import Axes, Group, Weighed
from geo.messages import Message, message
from geo.study import BothLanguages, Model, findings_of, not_a_table, read_toml

ROUNDING = 1e-12
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
    """Numbers the measures and methods need.

    `debris_reach_m`: low, best, high, metres; `facility_match_m`: metres. `geometric_floor`, `indifference`, `preference`: see
    `geo.aggregation.Thresholds`, parts of the way from one goalpost to the other.

    `complaints_cap` is the most that complaints may bring to a score, as a share of its points, however much else is unknown.
    """

    debris_reach_m: tuple[float, float, float] = (5.0, 10.0, 20.0)
    facility_match_m: float = Field(default=25.0, ge=0, le=500)
    geometric_floor: float = Field(default=Thresholds.floor, ge=1e-6, le=0.5)
    indifference: float = Field(default=Thresholds.indifference, ge=0, le=0.5)
    preference: float = Field(default=Thresholds.preference, ge=0, le=1)
    complaints_cap: float = Field(default=0.05, ge=0, le=1)

    @field_validator("debris_reach_m")
    @classmethod
    def _ordered(cls, reach: tuple[float, float, float]) -> tuple[float, float, float]:
        low, best, high = reach
        if not 0 < low <= best <= high <= 500:
            raise PydanticCustomError("not_ordered", "low ≤ best ≤ high is expected")
        return reach


Share = Annotated[float, Field(ge=0, le=1)]


class Confidence(Model):
    """How sure ranks are made to be (`geo.confidence`).

    `weights` says how weights are drawn: around the agreed ones (Dirichlet; the larger `concentration`, the nearer), uniformly, in
    the agreed order, or within `intervals` (criterion to low and high). `vary` names the assumptions of `data/assumptions.csv`.
    `top` are the heads of the list whose chance is given, `cutoff` the one that a budget is thought to reach; what holds in a share
    `sure` of the draws is called sure.
    """

    draws: int = Field(default=10_000, ge=100, le=1_000_000)
    seed: int = Field(default=1, ge=0, le=2**32 - 1)
    weights: Literal["dirichlet", "uniform", "ordered", "intervals"] = "dirichlet"
    concentration: float = Field(default=50.0, gt=0, le=1e6)
    intervals: dict[str, tuple[Share, Share]] = Field(default_factory=dict)
    top: tuple[Annotated[int, Field(ge=1, le=1000)], ...] = Field(default=(5, 10), max_length=6)
    cutoff: int = Field(default=10, ge=1, le=100_000)
    sure: float = Field(default=0.95, gt=0.5, lt=1)
    vary: tuple[str, ...] = tuple(registers.register("assumptions"))


class Scheme(Model):
    """Criteria, weights (sum 1), goalposts, damage factors, method and the two minimum coverages (shares, 0 to 1).

    `weights` says where the weights come from: "direct" (each criterion has its own) or "combined" (from `groups`).
    """

    id: str
    name: BothLanguages
    version: str = "1"
    method: MethodName = "weighted_sum"
    normalisation: NormalisationName = "goalposts"
    weights: Literal["direct", "combined"] = "direct"
    factors: Factors
    minimum_coverage: float = Field(default=0.6, ge=0, le=1)
    minimum_surveyed: float = Field(default=0.5, ge=0, le=1)
    options: Options = Options()
    criteria: tuple[Criterion, ...] = Field(min_length=1)
    groups: dict[Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,40}$")], Group] = Field(default_factory=dict)
    confidence: Confidence = Confidence()

    @model_validator(mode="after")
    def _normalised(self) -> Scheme:
        total = sum(one.weight for one in self.criteria)
        if total > 0 and abs(total - 1) > ROUNDING:  # what was scaled once stays as it is, to the last digit
            scaled = tuple(one.model_copy(update={"weight": one.weight / total}) for one in self.criteria)
            object.__setattr__(self, "criteria", scaled)
        return self

    def axes(self) -> Axes:
        """The axis of each criterion, in the scheme's order."""
        return {one.measure: one.axis for one in self.criteria}

    def thresholds(self) -> Thresholds:
        """What `geo.aggregation` needs to know beside the weights."""
        options = self.options
        return Thresholds(options.geometric_floor, options.indifference, options.preference)

    def weighed(self) -> Weighed:
        """The weights of the scheme's groups, each alone and combined."""
        return groups.weigh(self.groups, self.axes(), f"{self.id}.toml")

    def with_weights(self, weights: Mapping[str, float]) -> Scheme:
        """The same scheme with other weights, by criterion; they are scaled to sum to 1."""
        total = sum(weights[one.measure] for one in self.criteria)
        changed = (one.model_copy(update={"weight": float(weights[one.measure] / total)}) for one in self.criteria)
        return self.model_copy(update={"criteria": tuple(changed)})


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
        or factor tables, a criterion given twice, judgements of groups that are missing, doubled or contradict themselves.
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
    given, weights = _weights_of(head, body)
    try:
        scheme = Scheme(**{**head, **given, "weights": weights, "id": ident, "factors": factors})
    except ValidationError as error:
        raise SchemeError(*faults, *findings_of(error, where)) from None
    faults += _faults(scheme, where)
    if weights == "combined":
        faults += _combined_faults(body, scheme, where)
    if faults:
        raise SchemeError(*faults)
    if weights == "combined":
        scheme = scheme.with_weights(scheme.weighed().combined)
        raise_errors(_too_much_voice(scheme, where), SchemeError)
    return scheme


def _weights_of(head: Mapping[str, Any], body: Mapping[str, Any]) -> tuple[dict[str, Any], object]:
    """Where the weights come from, and the content with a weight to be replaced for criteria that have none of their own."""
    criteria = body.get("criteria")
    rows = criteria if isinstance(criteria, list) and all(isinstance(one, dict) for one in criteria) else []
    from_groups = bool(body.get("groups")) and bool(rows) and not any("weight" in one for one in rows)
    weights = head.get("weights", "combined" if from_groups else "direct")
    if weights != "combined" or not rows:
        return dict(body), weights
    return {**body, "criteria": [{"weight": 1.0, **one} for one in rows]}, weights


def _combined_faults(body: Mapping[str, Any], scheme: Scheme, where: str) -> list[Finding]:
    """Combined weights without groups, or beside weights of the criteria, which would be dropped silently."""
    faults = []
    own = [one["measure"] for one in body["criteria"] if "weight" in one]
    wrong: list[tuple[Message, Message]] = []
    if not scheme.groups:
        wrong.append(
            (message("The weights are to be combined from groups, and there is no group."), message("[groups.<id>] tables."))
        )
    if own:
        text = message("The weights are combined from groups, and criteria have weights of their own: {names}.", names=own)
        wrong.append((text, message('Either weights = "direct", or no weight at the criteria.')))
    for found, expected in wrong:
        faults.append(finding("weights-from", "error", where, found, expected=expected, remedy=message("Mend it in the scheme.")))
    return faults


def _faults(scheme: Scheme, where: str) -> list[Finding]:
    faults: list[Finding] = groups.faults(scheme.groups, scheme.axes(), where)
    if scheme.options.preference < scheme.options.indifference:
        faults.append(
            finding(
                "thresholds",
                "error",
                where,
                message("The preference threshold is below the indifference threshold."),
                expected=message("indifference ≤ preference"),
                remedy=message("Mend it in the scheme."),
            )
        )
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
    faults += _confidence_faults(scheme, where)
    measures = [one.measure for one in scheme.criteria]
    faults += _too_much_voice(scheme, where) if scheme.weights == "direct" else []
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


def _confidence_faults(scheme: Scheme, where: str) -> list[Finding]:
    """Assumptions or criteria that are not known, and intervals between which no weights sum to 1."""
    chosen, measures = scheme.confidence, [one.measure for one in scheme.criteria]
    faults = []
    for names, known in ((chosen.vary, list(registers.register("assumptions"))), (tuple(chosen.intervals), measures)):
        for name in names:
            if name not in known:
                said, expected = message("'{name}' is not known.", name=name), message("Known: {known}.", known=known)
                remedy = message("Use one of the known names.")
                faults.append(finding("unknown-name", "error", where, said, expected=expected, remedy=remedy))
    bounds = [chosen.intervals.get(name, (0.0, 1.0)) for name in measures]
    turned = any(low > high for low, high in bounds)
    if chosen.weights == "intervals" and (turned or sum(low for low, _ in bounds) > 1 or sum(high for _, high in bounds) < 1):
        said = message("No weights that sum to 1 lie between the intervals of the confidence section.")
        faults.append(finding("weight-intervals", "error", where, said, remedy=message("Widen the intervals.")))
    return faults


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
