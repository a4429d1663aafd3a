"""Settings of the service: one class, read once, passed in. Environment variables begin with `TARMIM_`."""

from __future__ import annotations

from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from geo.errors import finding
from geo.messages import Lang, message


def is_loopback(host: str) -> bool:
    """Whether a host name or address stays on this machine.

    >>> [is_loopback(host) for host in ("localhost", "127.0.0.1", "::1", "0.0.0.0", "example.org")]
    [True, True, True, False, False]
    """
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


class Settings(BaseSettings):
    """What the service is told when it starts."""

    model_config = SettingsConfigDict(env_prefix="TARMIM_", frozen=True, extra="ignore")

    study: Path = Field(description="Folder of the study to serve")
    scheme: str | None = Field(default=None, description="Scheme to rank with, instead of the study's own")
    database_url: str | None = Field(default=None, description="PostgreSQL catalogue, where several machines serve one city")
    host: str = Field(default="127.0.0.1", description="Address to listen on; beyond loopback everybody signs in or is the public")
    port: int = Field(default=8000, ge=0, le=65535, description="Port to listen on; 0 takes a free one")
    lang: Lang = Field(default="ar", description="Language of pages for a visitor who asks for neither Arabic nor English")
    page_size: int = Field(default=100, ge=1, le=10_000, description="Features an answer holds where no `limit` is given")
    page_size_max: int = Field(default=10_000, ge=1, le=100_000, description="Largest `limit` that is accepted")
    work: bool = Field(default=True, description="Whether `tarmim serve` also works on the jobs of the study")
    sign_in: bool = Field(default=False, description="Ask everybody to sign in on loopback too, as behind a reverse proxy")
    allowed_hosts: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(), description="Names by which clients call the service beyond loopback, with commas between them"
    )
    root_path: str = Field(default="", pattern=r"^(/[\w.-]+)*$", description="Path prefix that a reverse proxy takes away")
    trusted_proxies: str = Field(default="", description="Addresses of reverse proxies whose X-Forwarded headers are believed")
    https: bool = Field(default=False, description="Whether clients come by https: session cookies go over nothing else then")
    session_hours: int = Field(default=12, ge=1, le=24 * 31, description="How long a session of the pages lasts")
    requests_per_minute: int = Field(default=600, ge=1, le=1_000_000, description="Requests of one sender, where people sign in")
    sign_ins_per_minute: int = Field(default=10, ge=1, le=1_000, description="Attempts to sign in from one address")
    delivery_bytes: int = Field(default=2**30, ge=1, description="Largest survey that is taken in one request")
    body_wait_s: float = Field(default=30, gt=0, le=3600, description="Longest silence within the body of a request, in seconds")
    body_s: float = Field(default=3600, gt=0, le=86_400, description="Longest time for the body of a request in all, in seconds")
    at_once: int = Field(default=64, ge=1, le=10_000, description="Requests that one process answers at once")
    log: Literal["text", "json"] = Field(default="text", description="Log as text, or as lines of JSON with one for each request")
    quota_bytes: int = Field(default=20 * 2**30, ge=1, description="What the surveys of one sender may take in all")
    job_attempts: int = Field(default=3, ge=1, le=20, description="How often a job is begun before it counts as failed")
    job_retry_s: int = Field(default=60, ge=0, le=86_400, description="Seconds before a job is tried again, where a fault may pass")

    @field_validator("allowed_hosts", mode="before")
    @classmethod
    def _by_commas(cls, value: object) -> object:
        return tuple(one.strip().lower() for one in value.split(",") if one.strip()) if isinstance(value, str) else value

    @property
    def guarded(self) -> bool:
        """Whether people sign in: beyond loopback, behind a reverse proxy, or where it is asked for."""
        return self.sign_in or bool(self.allowed_hosts) or not is_loopback(self.host)


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
