"""A body is counted and timed while it comes, whatever the client says of it."""

from __future__ import annotations

import asyncio

import pytest
from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import PlainTextResponse

from api import errors
from api.bounds import Bounds
from api.settings import Settings


async def counted(request: Request) -> PlainTextResponse:
    return PlainTextResponse(str(len(await request.body())))


def bounded(tmp_path, inner=None, **changes):
    app = FastAPI()
    app.add_route("/", counted, methods=["POST"])
    app.state.settings = Settings(study=tmp_path)
    errors.install(app)
    given = {
        "small_bytes": 10,
        "body_bytes": 20,
        "may_deliver": lambda request: False,
        "wait_s": 5.0,
        "whole_s": 5.0,
        "at_once": 2,
        **changes,
    }

    bound = Bounds(inner or app, **given)

    async def whole(scope, receive, send):
        await bound({**scope, "app": app}, receive, send)

    return whole


async def ask(app, pieces, *, headers=(), pause_s=0.0):
    """Status and body of the answer to a request whose body comes in pieces."""
    rest, sent = list(pieces), []

    async def receive():
        if not rest:
            await asyncio.sleep(3600)
        if pause_s:
            await asyncio.sleep(pause_s)
        piece = rest.pop(0)
        return {"type": "http.request", "body": piece, "more_body": bool(rest)}

    async def send(one):
        sent.append(one)

    scope = {
        "type": "http", "http_version": "1.1", "method": "POST", "path": "/", "raw_path": b"/", "query_string": b"", "root_path": "",
        "headers": list(headers), "client": ("127.0.0.1", 5000), "server": ("127.0.0.1", 8000), "scheme": "http", "state": {},
    }  # fmt: skip
    await app(scope, receive, send)
    return sent[0]["status"], b"".join(one.get("body", b"") for one in sent[1:]), dict(sent[0]["headers"])


@pytest.mark.parametrize(
    ("pieces", "status"),
    [
        ([b""], 200),
        ([b"1234567890"], 200),
        ([b"12345", b"67890"], 200),
        ([b"12345", b"67890", b"1"], 413),
        ([b"12345678901"], 413),
    ],
)
def test_bytes_are_counted_as_they_come(tmp_path, pieces, status):
    """Ten are allowed: the eleventh is refused, in whatever pieces it comes."""
    got, body, _ = asyncio.run(ask(bounded(tmp_path), pieces))
    assert got == status
    if status == 200:
        assert body == str(sum(map(len, pieces))).encode()


@pytest.mark.parametrize(("said", "status"), [(b"11", 413), (b"10", 200), (b"-5", 200), (b"9" * 400, 200), ("١١".encode(), 200)])
def test_a_client_that_announces_too_much_is_refused_before_it_sends(tmp_path, said, status):
    """What is no plain number is not believed; uvicorn refuses it, and the bytes are counted anyway."""
    got, _, headers = asyncio.run(ask(bounded(tmp_path), [b"1"], headers=[(b"content-length", said)]))
    assert got == status
    assert (headers.get(b"connection") == b"close") == (status == 413)


def test_silence_within_a_body_ends_the_request(tmp_path):
    got, body, _ = asyncio.run(ask(bounded(tmp_path, wait_s=0.05), [b"1", b"2"], pause_s=0.2))
    assert got == 408
    assert b"findings" in body


def test_a_body_that_drips_ends_with_its_time(tmp_path):
    """Each drop comes in time; all together do not."""
    drops = [b"1"] * 9
    assert asyncio.run(ask(bounded(tmp_path, wait_s=1.0, whole_s=0.1), drops, pause_s=0.03))[0] == 408
    assert asyncio.run(ask(bounded(tmp_path), drops, pause_s=0.001))[0] == 200


def test_one_more_than_can_be_answered_is_told_to_come_back(tmp_path):
    async def several():
        gate = asyncio.Event()

        async def waiting(scope, receive, send):
            await gate.wait()
            await PlainTextResponse("done")(scope, receive, send)

        app = bounded(tmp_path, waiting)
        first = [asyncio.create_task(ask(app, [b""])) for _ in range(2)]
        await asyncio.sleep(0)
        third = await ask(app, [b""])
        gate.set()
        done = await asyncio.gather(*first)
        return third, [one[0] for one in done], await ask(app, [b""])

    third, done, after = asyncio.run(several())
    assert third[0] == 503
    assert third[2][b"retry-after"] == b"1"
    assert done == [200, 200]
    assert after[0] == 200, "the places are free again"


def test_waiting_for_a_client_that_goes_away_is_not_timed(tmp_path):
    """After its body a request may be worked on for as long as it takes."""

    async def listening(scope, receive, send):
        await receive()
        try:
            async with asyncio.timeout(0.2):
                await receive()
        except TimeoutError:
            await PlainTextResponse("still here")(scope, receive, send)

    assert asyncio.run(ask(bounded(tmp_path, listening, wait_s=0.05), [b"1"]))[1] == b"still here"


@pytest.mark.parametrize("length", [12, 20])
@pytest.mark.parametrize("header", [(b"content-length", b"%d"), (b"transfer-encoding", b"chunked")])
def test_only_who_may_deliver_sends_much(tmp_path, length, header):
    """Asked before the first byte is read: a stranger's file never comes as far as the disk."""
    name, value = header
    headers = [(name, value % length if b"%" in value else value)]
    whole = [b"1" * length]
    assert asyncio.run(ask(bounded(tmp_path), whole, headers=headers))[0] == 413
    assert asyncio.run(ask(bounded(tmp_path, may_deliver=lambda request: True), whole, headers=headers))[0] == 200
    assert asyncio.run(ask(bounded(tmp_path, may_deliver=lambda request: True), [b"1" * 21], headers=headers))[0] == 413


def test_nobody_is_asked_about_a_small_request(tmp_path):
    app = bounded(tmp_path, may_deliver=lambda request: pytest.fail("asked"))
    assert asyncio.run(ask(app, [b"1"], headers=[(b"content-length", b"1")]))[0] == 200
