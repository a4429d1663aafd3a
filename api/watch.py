"""What the operator of the service sees: a line of the log for each request, and counts for Prometheus.

A line is one JSON object: when, which route, who (the name of the account, never the token), status, milliseconds. Routes stand by
their name, not by their address: an address may hold what somebody searched for. The number of a request is in its answer too
(`X-Request-ID`), so that a person can tell the operator which one failed. Known bias: counts are those of one process since it
began; of several workers each answers for itself. What is counted of the store (jobs, surveys) is the same in all of them.
"""

from __future__ import annotations

import datetime
import json
import logging
import re
import secrets
import time
from collections import Counter
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Gauge, Histogram, generate_latest
from prometheus_client import Counter as Total

from geo.records import JOB_STATES, STATES

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from geo.store import Store

log = logging.getLogger("tarmim.access")
GIVEN = re.compile(rb"[A-Za-z0-9][A-Za-z0-9._-]{7,63}")
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
SECONDS = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class JsonLines(logging.Formatter):
    """A record of the log as one line of JSON; a fault with its trace, in the line.

    >>> record = logging.LogRecord("tarmim", logging.INFO, "", 0, "ready in %d s", (3,), None)
    >>> json.loads(JsonLines().format(record))["message"]
    'ready in 3 s'
    """

    def format(self, record: logging.LogRecord) -> str:
        moment = datetime.datetime.fromtimestamp(record.created, datetime.UTC)
        line: dict[str, object] = {"time": moment.isoformat(timespec="milliseconds"), "level": record.levelname.lower()}
        line |= {"logger": record.name, "message": record.getMessage(), **getattr(record, "fields", {})}
        if record.exc_info:
            line["trace"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)


def to_json_lines() -> None:
    """Have this process write its log as lines of JSON on standard error, requests included."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonLines())
    logging.basicConfig(handlers=[handler], level=logging.INFO, force=True)


class Counts:
    """The counts of one process. It owns their registry."""

    def __init__(self) -> None:
        self.registry = mine = CollectorRegistry()
        self.requests = Total("tarmim_requests", "Requests answered", ["route", "method", "status"], registry=mine)
        self.seconds = Histogram("tarmim_request_seconds", "Time to answer", ["route"], buckets=SECONDS, registry=mine)
        self.open = Gauge("tarmim_requests_open", "Requests being answered", registry=mine)
        self.jobs = Gauge("tarmim_jobs", "Jobs of the study by state", ["state"], registry=mine)
        self.surveys = Gauge("tarmim_surveys", "Surveys of the study by status", ["status"], registry=mine)

    def text(self, store: Store | None) -> bytes:
        """The counts as Prometheus reads them; the store is counted now."""
        jobs: Counter[str] = Counter(one.state for one in (store.jobs() if store is not None else ()))
        surveys: Counter[str] = Counter(one.status for one in (store.surveys() if store is not None else ()))
        for state in JOB_STATES:
            self.jobs.labels(state).set(jobs[state])
        for status in STATES:
            self.surveys.labels(status).set(surveys[status])
        return generate_latest(self.registry)


class Watch:
    """Outside of everything: numbers each request, writes its line, counts it.

    `api.people.allowed` leaves the route and the person in the state of the request; a request that never came so far has neither.
    """

    def __init__(self, app: ASGIApp, *, counts: Counts) -> None:
        self.app = app
        self.counts = counts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        state = {**scope.get("state", {}), "request": _number(scope)}
        begun, status, sent = time.perf_counter(), 0, 0

        async def sending(one: Message) -> None:
            nonlocal status, sent
            if one["type"] == "http.response.start":
                status = one["status"]
                one = {**one, "headers": [*one["headers"], (b"x-request-id", state["request"].encode())]}
            sent += len(one.get("body", b""))
            await send(one)

        self.counts.open.inc()
        try:
            await self.app({**scope, "state": state}, receive, sending)
        finally:
            self.counts.open.dec()
            took = time.perf_counter() - begun
            route = str(state.get("route", "-"))
            method = scope["method"] if scope["method"] in METHODS else "other"
            self.counts.requests.labels(route, method, str(status)).inc()
            self.counts.seconds.labels(route).observe(took)
            person = state.get("person")
            who = {"person": getattr(person, "name", ""), "role": getattr(person, "role", "")}
            said = {"request": state["request"], "method": method, "route": route, **who, "status": status}
            log.info("request", extra={"fields": {**said, "ms": round(took * 1000, 1), "bytes": sent}})


def _number(scope: Scope) -> str:
    """The number that a reverse proxy gave a request, or a new one; nothing that could be more than a number in a log."""
    given: bytes = next((value for name, value in scope["headers"] if name == b"x-request-id"), b"")
    return given.decode() if GIVEN.fullmatch(given) else secrets.token_hex(8)
