"""Settings of the service: one class, read once, passed in. Environment variables begin with `TARMIM_`."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from geo.errors import finding
from geo.messages import Lang, message


class Settings(BaseSettings):
    """What the service is told when it starts."""

    model_config = SettingsConfigDict(env_prefix="TARMIM_", frozen=True, extra="ignore")

    study: Path = Field(description="Folder of the study to serve")
    scheme: str | None = Field(default=None, description="Scheme to rank with, instead of the study's own")
    database_url: str | None = Field(default=None, description="PostgreSQL catalogue, where several machines serve one city")
    host: str = Field(default="127.0.0.1", description="Address to listen on; only loopback until the service has roles")
    port: int = Field(default=8000, ge=0, le=65535, description="Port to listen on; 0 takes a free one")
    lang: Lang = Field(default="ar", description="Language of pages for a visitor who asks for neither Arabic nor English")
    page_size: int = Field(default=100, ge=1, le=10_000, description="Features an answer holds where no `limit` is given")
    page_size_max: int = Field(default=10_000, ge=1, le=100_000, description="Largest `limit` that is accepted")
    work: bool = Field(default=True, description="Whether `tarmim serve` also works on the jobs of the study")
    job_attempts: int = Field(default=3, ge=1, le=20, description="How often a job is begun before it counts as failed")
    job_retry_s: int = Field(default=60, ge=0, le=86_400, description="Seconds before a job is tried again, where a fault may pass")


def settings_of(**given: object) -> Settings:
    """The settings: what is given, else the environment.

    Raises
    ------
    SettingsError
        With every value that can't be used.
    """
    from api.errors import SettingsError

    try:
        return Settings(**given)  # type: ignore[arg-type]
    except ValidationError as error:
        remedy = message("See the table of settings in README.md.")
        raise SettingsError(
            *(
                finding(
                    "setting",
                    "error",
                    "TARMIM_" + ".".join(map(str, one["loc"])).upper(),
                    message("'{value}' can't be used.", value=str(one["input"])[:80]),
                    expected=message("A value of another kind is expected."),
                    remedy=remedy,
                )
                for one in error.errors(include_url=False)
            )
        ) from None
