"""Bounds of a request: how many bytes its body may have, how long it may take to arrive, how many are answered at once.

The bytes are counted as they come, because Content-Length is only what a client says. What is too slow or large is refused while
it comes; what of an upload was kept before that stays kept (`geo.uploads`). A large body is taken only from who may deliver, which
is asked before its first byte: FastAPI itself reads a body, and puts a form's files on the disk, before it asks who sent it. Known
bias: a client that opens a connection and sends
its first lines slowly, or not at all, is not seen here. uvicorn bounds the size of these lines and the time between two requests,
not the time of the lines; beyond loopback a reverse proxy does (`data/examples`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from fastapi import Request
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from api.errors import problem

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

BUSY_S = 1


class Bounds:
    """Around the app, within what writes the headers of every answer.

    Parameters
    ----------
    small_bytes
        Largest body of anybody's request.
    body_bytes
        Largest body of somebody who may deliver.
    may_deliver
        Whether the sender of a request may; asked in a thread.
    wait_s
        Longest silence within a body, in seconds.
    whole_s
        Longest time that a body may take in all, in seconds.
    at_once
        Requests that are answered at once; one more is told to come back.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        small_bytes: int,
        body_bytes: int,
        may_deliver: Callable[[Request], bool],
        wait_s: float,
        whole_s: float,
        at_once: int,
    ) -> None:
        self.app = app
        self.small_bytes = small_bytes
        self.may_deliver = may_deliver
        self.body_bytes = body_bytes
        self.wait_s = wait_s
        self.whole_s = whole_s
        self.at_once = at_once
        self._now = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request = Request(scope)
        if self._now >= self.at_once:
            await problem(request, 503, headers={"Retry-After": str(BUSY_S)})(scope, receive, send)
            return
        self._now += 1
        try:
            limit = await self._limit(request)
            if declared(request) > limit:
                await problem(request, 413, headers={"Connection": "close"})(scope, receive, send)
            else:
                await self.app(scope, self._bounded(receive, limit), send)
        finally:
            self._now -= 1

    async def _limit(self, request: Request) -> int:
        """The most bytes that this request may have; who it is from is asked only where that matters."""
        large = declared(request) > self.small_bytes or "transfer-encoding" in request.headers
        return self.body_bytes if large and await run_in_threadpool(self.may_deliver, request) else self.small_bytes

    def _bounded(self, receive: Receive, limit: int) -> Receive:
        clock = asyncio.get_running_loop().time
        end, taken, whole = clock() + self.whole_s, 0, False

        async def receiving() -> Message:
            nonlocal taken, whole
            if whole:  # what comes now is only that the client has gone
                return await receive()
            try:
                async with asyncio.timeout(max(0.0, min(self.wait_s, end - clock()))):
                    got = await receive()
            except TimeoutError:
                raise HTTPException(408, headers={"Connection": "close"}) from None
            taken += len(got.get("body", b""))
            whole = got["type"] != "http.request" or not got.get("more_body", False)
            if taken > limit:
                raise HTTPException(413, headers={"Connection": "close"})
            return got

        return receiving


def declared(request: Request) -> int:
    """The bytes that a request says it has; 0 where it does not say, or nothing that is a number."""
    text = request.headers.get("content-length", "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 20 else 0
