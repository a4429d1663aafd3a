"""Operations: what the service says of its own work, a line of JSON for each request and numbers for Prometheus.

A line names who asked by account, never by token, and the address as the router knows it, so that neither secrets nor the codes of
surveys are scattered over the logs. Known bias: with several processes each counts for itself.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

import orjson
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

if TYPE_CHECKING:
    from starlette.requests import Request

access = logging.getLogger("tarmim.access")
BUCKETS = (0.005, 0.02, 0.05, 0.1, 0.3, 1.0, 3.0, 10.0)


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
        self._requests.labels(route, request.method, str(status)).inc()
        self._seconds.labels(route).observe(seconds)
        if access.isEnabledFor(logging.INFO):
            line = {"route": route, "method": request.method, "status": status, "ms": round(seconds * 1000, 1)}
            line |= {"who": getattr(request.state, "who", ""), "from": request.client.host if request.client else ""}
            access.info(orjson.dumps(line).decode())

    def text(self) -> bytes:
        """All numbers, as Prometheus reads them."""
        return generate_latest(self.registry)
