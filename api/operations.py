"""Operations: what the service says of its own work, a line of JSON for each request and numbers for Prometheus.

A line names who asked by account, never by token, and the address as the router knows it, so that neither secrets nor the codes of
surveys are scattered over the logs. Its number is in the answer too (`X-Request-ID`): a person can say which request failed. Known
bias: with several processes each counts for itself.
"""

from __future__ import annotations

import datetime
import logging
import re
import secrets
import time
from typing import TYPE_CHECKING

import orjson
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

if TYPE_CHECKING:
    from starlette.requests import Request

access = logging.getLogger("tarmim.access")
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
GIVEN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{7,63}")
BUCKETS = (0.005, 0.02, 0.05, 0.1, 0.3, 1.0, 3.0, 10.0)


class JsonLines(logging.Formatter):
    """A record of the log as one line of JSON; a fault with its trace, in the line.

    >>> record = logging.LogRecord("tarmim", logging.INFO, "", 0, "ready in %d s", (3,), None)
    >>> orjson.loads(JsonLines().format(record))["message"]
    'ready in 3 s'
    """

    def format(self, record: logging.LogRecord) -> str:
        moment = datetime.datetime.fromtimestamp(record.created, datetime.UTC)
        line: dict[str, object] = {"time": moment.isoformat(timespec="milliseconds"), "level": record.levelname.lower()}
        line |= {"logger": record.name, "message": record.getMessage(), **getattr(record, "fields", {})}
        if record.exc_info:
            line["trace"] = self.formatException(record.exc_info)
        return orjson.dumps(line, default=str).decode()


def to_json_lines() -> None:
    """Have this process write its log as lines of JSON on standard error, requests included."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonLines())
    logging.basicConfig(handlers=[handler], level=logging.INFO, force=True)


def number(given: str) -> str:
    """The number that a reverse proxy gave a request, or a new one where it is none: it goes into the log and a header.

    >>> number("0f3a-77.b_c9"), len(number("a b")), len(number(""))
    ('0f3a-77.b_c9', 16, 16)
    """
    return given if GIVEN.fullmatch(given) else secrets.token_hex(8)


class Meter:
    """Counts and times of the requests of one process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._requests = Counter("tarmim_requests", "Requests", ["route", "method", "status"], registry=self.registry)
        self._seconds = Histogram("tarmim_request_seconds", "Time of answers", ["route"], buckets=BUCKETS, registry=self.registry)
        self.jobs = Gauge("tarmim_jobs", "Jobs by state", ["state"], registry=self.registry)

    def note(self, request: Request, status: int, begun: float) -> None:
        """Note an answer; `begun` is of `time.perf_counter`."""
        seconds = time.perf_counter() - begun
        route = getattr(request.scope.get("route"), "name", None) or "-"
        method = request.method if request.method in METHODS else "other"  # what a client makes up is no new row
        self._requests.labels(route, method, str(status)).inc()
        self._seconds.labels(route).observe(seconds)
        if access.isEnabledFor(logging.INFO):
            line = {"request": getattr(request.state, "number", ""), "route": route, "method": method, "status": status}
            line |= {"ms": round(seconds * 1000, 1), "who": getattr(request.state, "who", "")}
            line |= {"from": request.client.host if request.client else ""}
            access.info("request", extra={"fields": line})

    def text(self) -> bytes:
        """All numbers, as Prometheus reads them."""
        return generate_latest(self.registry)
