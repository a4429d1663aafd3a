"""The shapes of the answers, for OpenAPI and its readers. NaN is null and means unknown, never zero."""

from __future__ import annotations

import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class Both(BaseModel):
    """A text in Arabic and English."""

    ar: str
    en: str


class Health(BaseModel):
    """The service is up and holds this run."""

    status: Literal["ok"]
    study: str
    run: str | None = Field(description="The run that who asks is shown; null where nothing is published")


class LayerSummary(BaseModel):
    """A layer that can be asked for as features."""

    layer: str = Field(examples=["roads"])
    label: Both
    features: int = Field(description="Rows that can be asked for", examples=[5987])
    geometry: list[str] = Field(examples=[["LineString"]])
    bbox: list[float] | None = Field(
        description="West, south, east, north in degrees, WGS 84", examples=[[36.68, 34.7, 36.75, 34.76]]
    )
    date: str = Field(examples=["2026-01-01"])
    licence: str
    source: Both
    rows_read: int | None
    rows_used: int | None
    rows_left_out: int | None
    href: str = Field(examples=["/layers/roads"])


class Layers(BaseModel):
    """The layers of the study."""

    study: str
    run: str
    crs: str = Field(description="Working CRS of the study; answers are in WGS 84", examples=["EPSG:32637"])
    layers: list[LayerSummary]


class Link(BaseModel):
    """A link to another page of the answer."""

    rel: Literal["self", "next"]
    href: str
    type: str


class Feature(BaseModel):
    """A GeoJSON feature (RFC 7946)."""

    type: Literal["Feature"]
    id: str | int | None = None
    properties: dict[str, Any]
    geometry: dict[str, Any] | None


class Features(BaseModel):
    """A page of features, WGS 84."""

    type: Literal["FeatureCollection"]
    numberMatched: int = Field(description="Features that match, on all pages")  # noqa: N815  # OGC API - Features
    numberReturned: int  # noqa: N815  # OGC API - Features spells it so
    links: list[Link]
    features: list[Feature]


class Priority(BaseModel):
    """One neighbourhood of the list; every measure of the run follows under its own name, with its unit in /runs/current."""

    model_config = ConfigDict(extra="allow")

    rank: int | None = Field(description="1 is first; null where a survey is needed before it can be ranked")
    tied: bool
    decided_rank: int | None = Field(
        default=None, description="The rank that somebody decided; `decided_by`, `_on`, `_why` say who"
    )
    status: Literal["ranked", "not_assessable"]
    id: str
    name_ar: str | None
    name_en: str | None
    district: str | None
    score: float | None = Field(description="0 to 100", ge=0, le=100)
    score_low: float | None
    score_high: float | None
    coverage: float = Field(description="Share of the weights that is known, 0 to 1", ge=0, le=1)
    rank_without_complaints: int | None = Field(default=None, description="Rank of the whole list, had nobody complained")


class Priorities(BaseModel):
    """The ranked list."""

    run: str
    study: str
    scheme: str
    sector: str | None
    total: int = Field(description="Neighbourhoods of the run")
    count: int = Field(description="Neighbourhoods in this answer")
    cut_in_tie: bool = Field(description="More than `top` are listed because the last rank is shared")
    items: list[Priority]


class Works(BaseModel):
    """The works of a directorate by asset, the one that gives back most first."""

    run: str
    study: str
    sector: str
    columns: dict[str, Both] = Field(description="What each column says")
    values: dict[str, dict[str, Both]] = Field(description="By column, what its codes mean")
    count: int
    items: list[dict[str, Any]]


class CriterionPart(BaseModel):
    """What one criterion gives to the score of a neighbourhood."""

    measure: str
    label: Both
    unit: Both
    value: float | None
    low: float | None
    high: float | None
    coverage: float | None
    note: Both | None = Field(description="Why there is no value")
    weight: float
    goalposts: list[float]
    direction: Literal["more", "less"]
    reason: Both
    contribution: float | None = Field(description="Points; the contributions sum to the score")


class Explained(BaseModel):
    """One neighbourhood with the explanation of its rank."""

    run: str
    study: str
    place: Priority
    ranked: int = Field(description="Neighbourhoods that have a rank")
    why: Both
    would_be: Both | None = Field(description="What change of a single criterion would give it another rank")
    criteria: list[CriterionPart]
    axes: dict[str, float | None] = Field(description="Sub-score by axis, 0 to 100")
    sectors: dict[str, float | None] = Field(description="Sub-score by sector, 0 to 100")


class LeftOutGroup(BaseModel):
    """Rows of one layer left out for one reason."""

    layer: str
    reason: str
    label: Both
    rows: int


class LeftOut(BaseModel):
    """Every row that did not count, with its reason."""

    run: str
    groups: list[LeftOutGroup]
    numberMatched: int  # noqa: N815  # as in /layers
    numberReturned: int  # noqa: N815  # as in /layers
    links: list[Link]
    items: list[dict[str, Any]]


class Problem(BaseModel):
    """Problem details (RFC 9457) in both languages."""

    type: str
    status: int
    title: str
    detail: str
    title_ar: str
    title_en: str
    detail_ar: str
    detail_en: str
    findings: list[dict[str, Any]]


JobState = Literal["queued", "running", "done", "failed", "cancelled"]


class Job(BaseModel):
    """Work in the background."""

    id: str = Field(examples=["3f2a9c0d1e4b5f67"])
    kind: str = Field(examples=["check"])
    subject: str = Field(description="The survey or run it is about; empty for a run that is to be made")
    state: str = Field(examples=["running"])
    label: Both
    progress: float = Field(ge=0, le=1, examples=[0.4])
    message: Both = Field(description="The step it is at, or what came of it")
    who: str
    attempts: int
    made_at: datetime.datetime
    started_at: datetime.datetime | None
    ended_at: datetime.datetime | None
    result: str | None = Field(description="The survey that was checked, the dataset or run that was made")
    findings: list[dict[str, Any]] = Field(description="Why it failed, or why it is tried again")
    href: str = Field(examples=["/jobs/3f2a9c0d1e4b5f67"])


class Jobs(BaseModel):
    """The jobs of the study, newest first."""

    jobs: list[Job]
    numberMatched: int  # noqa: N815  # as in the other lists


class RunSummary(BaseModel):
    """A run that can be asked for."""

    id: str = Field(examples=["3f2a9c0d1e4b5f67"])
    scheme: str
    made_at: datetime.datetime | None = Field(description="Null where the run is shown and was not kept")
    published_at: datetime.datetime | None
    shown: bool = Field(description="Whether the service shows this run")
    datasets: list[str] = Field(description="Datasets that it read")
    files: dict[str, str] = Field(description="SHA-256 of its files, by name")
    href: str = Field(examples=["/runs/3f2a9c0d1e4b5f67"])
    priorities: str = Field(description="Its list", examples=["/priorities?run=3f2a9c0d1e4b5f67"])


class Runs(BaseModel):
    """The runs of the study, newest first."""

    runs: list[RunSummary]
    numberMatched: int  # noqa: N815  # as in the other lists


class Difference(BaseModel):
    """What moved between two runs."""

    before: str
    after: str
    items: list[dict[str, Any]] = Field(description="Neighbourhoods ranked in both: the parts sum to the change of rank")
    apart: list[dict[str, Any]] = Field(description="Neighbourhoods that are not ranked in both, with the reason")
    findings: list[dict[str, Any]]
