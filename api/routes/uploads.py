"""Uploads in parts, by the tus protocol 1.0: creation, expiration, checksum and termination.

A lost connection or a power cut starts nothing over: what the offset says is on the disk (`geo.uploads`).
"""

from __future__ import annotations

import base64
import binascii
import datetime
from email.utils import format_datetime
from typing import Annotated

from fastapi import APIRouter, Header, Request
from fastapi import Path as PathParameter
from fastapi.responses import Response
from starlette.concurrency import run_in_threadpool

from api import jobs
from api.errors import ForbiddenError, NotFoundError, RequestError
from api.jobs import now
from api.people import Asking, Person
from api.routes.surveys import not_of_another, within_quota
from api.state import OnShelf, ReadingStore, WritingStore
from geo import uploads
from geo.archives import limits
from geo.errors import finding
from geo.messages import message
from geo.records import Upload
from geo.store import Store, StoreError

router = APIRouter(tags=["uploads"])
TUS = {"Tus-Resumable": "1.0.0", "Cache-Control": "no-store"}
CONTENT = "application/offset+octet-stream"
PART_BYTES = 4 * 2**20  # kept and written down so often while a part arrives

UploadParameter = Annotated[str, PathParameter(max_length=64, description="Code of the upload", examples=["3f2a9c0d1e4b5f67"])]


def metadata(text: str) -> dict[str, str]:
    """The pairs of an Upload-Metadata header; a value that can't be read is left away.

    >>> metadata("filename ZGFtYWdlLnppcA==,layer ZGFtYWdl,empty")
    {'filename': 'damage.zip', 'layer': 'damage', 'empty': ''}
    """
    found = {}
    for pair in text.split(",")[:20]:
        name, _, value = pair.strip().partition(" ")
        try:
            found[name] = base64.b64decode(value, validate=True).decode("utf-8", "replace")
        except (binascii.Error, ValueError):
            continue
    return found


def own(store: Store | None, ident: str, person: Person) -> Upload:
    """An upload of this person's.

    Raises
    ------
    NotFoundError
        There is none, it has expired, or it is somebody else's.
    """
    try:
        found = None if store is None else uploads.state(store, ident)
    except StoreError:
        found = None
    if found is None or found.sender != person.name:
        said = message("There is no upload '{id}'.", id=ident[:80])
        raise NotFoundError(finding("unknown-id", "error", "uploads", said, remedy=message("Begin again: POST /uploads.")))
    return found


def _number(text: str, name: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 16):
        raise RequestError(
            finding(
                "parameter",
                "error",
                name,
                message("'{value}' can't be used.", value=text[:40]),
                expected=message("A whole number is expected."),
            )
        )
    return int(text)


@router.options("/uploads", name="uploads_options", status_code=204, response_class=Response)
def options() -> Response:
    """Say which parts of the tus protocol are spoken."""
    most = str(limits()["uploads"]["bytes"])
    said = {"Tus-Version": "1.0.0", "Tus-Extension": "creation,expiration,checksum,termination", "Tus-Max-Size": most}
    return Response(status_code=204, headers={**TUS, **said, "Tus-Checksum-Algorithm": ",".join(uploads.CHECKSUMS)})


@router.post("/uploads", name="upload_begin", status_code=201, response_class=Response)
def begin(
    request: Request,
    person: Asking,
    shelf: OnShelf,
    store: WritingStore,
    upload_length: Annotated[str, Header(max_length=20, description="Bytes in all")],
    upload_metadata: Annotated[str, Header(max_length=4_000, description="filename and layer, each with its value in base64")],
) -> Response:
    """Begin an upload; gives its address."""
    given, size = metadata(upload_metadata), _number(upload_length, "Upload-Length")
    within_quota(store, person, size, shelf.settings.quota_bytes)
    made = uploads.begin(
        store, name=given.get("filename", "-"), sender=person.name, layer=given.get("layer", ""), size=size, now=now()
    )
    return Response(
        status_code=201, headers={**TUS, **_expires(made), "Location": request.url_for("upload_state", id=made.id).path}
    )


def _expires(one: Upload) -> dict[str, str]:
    last = one.changed_at + datetime.timedelta(days=limits()["uploads"]["kept_days"])
    return {"Upload-Expires": format_datetime(last, usegmt=True)}


@router.get("/uploads/{id}", name="upload_state", status_code=204, response_class=Response)
def state(request: Request, person: Asking, store: ReadingStore, id: UploadParameter) -> Response:
    """Say how much of an upload is kept (HEAD), and the survey that it became."""
    one = own(store, id, person)
    return Response(status_code=204, headers={**TUS, **_said(request, one)})


def _said(request: Request, one: Upload) -> dict[str, str]:
    said = {"Upload-Offset": str(one.offset), **_expires(one)}
    if one.bytes is not None:
        said["Upload-Length"] = str(one.bytes)
    if one.survey_id is not None:
        said["Content-Location"] = request.url_for("survey", id=one.survey_id).path
    return said


@router.patch("/uploads/{id}", name="upload_append", status_code=204, response_class=Response)
async def append(
    request: Request,
    person: Asking,
    store: WritingStore,
    id: UploadParameter,
    upload_offset: Annotated[str, Header(max_length=20, description="Where the part begins: what HEAD said")],
    upload_checksum: Annotated[str | None, Header(max_length=200, description="sha1 or sha256 of the part, in base64")] = None,
) -> Response:
    """Append a part. The last one makes a survey of it, whose address is in Content-Location, and has it read."""
    if request.headers.get("content-type", "") != CONTENT:
        raise RequestError(
            finding(
                "content-type",
                "error",
                "Content-Type",
                message("Another content is expected."),
                expected=message("{kind}", kind=CONTENT),
            )
        )
    one = await run_in_threadpool(own, store, id, person)
    offset = _number(upload_offset, "Upload-Offset")
    checksum = _checksum(upload_checksum)
    part = bytearray()
    async for piece in request.stream():
        part += piece
        if checksum is None and len(part) >= PART_BYTES:
            offset = await run_in_threadpool(uploads.append, store, id, offset, bytes(part), now=now())
            part.clear()
        elif len(part) > limits()["uploads"]["acknowledged_bytes"] * 8:
            said = message("A part with a checksum is larger than is taken.")
            raise ForbiddenError(finding("part-size", "error", "body", said, remedy=message("Send smaller parts.")))
    await run_in_threadpool(uploads.append, store, id, offset, bytes(part), now=now(), checksum=checksum)
    one = await run_in_threadpool(uploads.state, store, id)
    if one.bytes is not None and one.offset == one.bytes:
        made = await run_in_threadpool(uploads.finish, store, id, now=now())
        not_of_another(made, person)
        await run_in_threadpool(jobs.submit, store, "check", made.id, who=person.name)
        one = await run_in_threadpool(uploads.state, store, id)
    return Response(status_code=204, headers={**TUS, **_said(request, one)})


def _checksum(header: str | None) -> tuple[str, str] | None:
    """The kind and the hexadecimal digits of an Upload-Checksum header."""
    if header is None:
        return None
    kind, _, value = header.partition(" ")
    try:
        return kind, base64.b64decode(value, validate=True).hex()
    except (binascii.Error, ValueError):
        said = message("'{value}' can't be used.", value=header[:80])
        raise RequestError(
            finding("parameter", "error", "Upload-Checksum", said, expected=message("sha1 or sha256, and the hash in base64."))
        ) from None


@router.delete("/uploads/{id}", name="upload_abandon", status_code=204, response_class=Response)
def abandon(person: Asking, store: WritingStore, id: UploadParameter) -> Response:
    """Drop an upload and what arrived of it."""
    own(store, id, person)
    uploads.abandon(store, id)
    return Response(status_code=204, headers=TUS)
