# SPDX-License-Identifier: Apache-2.0
"""Resumable uploads: start, bytes, status, cancel.

https://docs.cloud.google.com/storage/docs/resumable-uploads and .../performing-resumable-uploads
"""

import hashlib
import re
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import RLock
from typing import TYPE_CHECKING

import crc32c

from lkcloud.sandbox.http import DropConnection, FileRange, Request, Response
from lkcloud_gcp.sandbox.errors import ApiError
from lkcloud_gcp.sandbox.storage_call import Call, Document, Handler, Preconditions, invalid, parse_json, to_number
from lkcloud_gcp.sandbox.storage_draft import Draft, check_acl, check_promise, draft_of, make, promised
from lkcloud_gcp.sandbox.storage_objects import shown_object
from lkcloud_gcp.sandbox.store import Bytes, StoredObject

if TYPE_CHECKING:
    from hashlib import _Hash

QUANTUM = 256 * 1024
"""Bytes; what is kept of an upload that is not finished is a multiple of it."""

_RANGE = re.compile(r"bytes (?:(?P<first>\d+)-(?P<last>\d+)|\*)/(?P<total>\d+|\*)")


@dataclass(slots=True)
class Session:
    """A resumable upload. LOCK is held while a request writes to it."""

    id: str
    bucket: str
    draft: Draft
    preconditions: Preconditions
    path: Path
    total: int | None
    """Bytes of the object, None as long as nobody has said."""
    begun: float = field(default_factory=time.monotonic)
    persisted: int = 0
    """Bytes that have come."""
    crc32c: int = 0
    md5: "_Hash" = field(default_factory=lambda: hashlib.md5(usedforsecurity=False))
    made: StoredObject | None = None
    """The object, once all is there."""
    cancelled: bool = False
    lock: RLock = field(default_factory=RLock)

    def append(self, pieces: Iterator[bytes], *, final: bool) -> None:
        """Keep PIECES: all of them if they are the last ones, else whole quanta, also of what breaks off."""
        rest = b""
        with self.path.open("ab") as file:
            try:
                for piece in pieces:
                    rest += piece
                    whole = len(rest) - len(rest) % QUANTUM
                    self._keep(file.write, rest[:whole])
                    rest = rest[whole:]
            except DropConnection:
                final = False
                raise
            finally:
                if final:
                    self._keep(file.write, rest)

    def _keep(self, write: Callable[[bytes], object], data: bytes) -> None:
        if data:
            write(data)
            self.md5.update(data)
            self.crc32c = crc32c.crc32c(data, self.crc32c)
            self.persisted += len(data)

    def contents(self) -> Bytes:
        """Return what has come."""
        return Bytes((FileRange(self.path, 0, self.persisted),), self.crc32c, self.md5.digest())


def _start(call: Call) -> Response:
    request = call.request
    document = parse_json(request.body.all())
    name = call.query.get("name") or str(document.get("name") or "")
    draft = draft_of(document, name, call.query.get("kmsKeyName", ""), call.query.get("predefinedAcl", ""))
    if not draft.content_type:
        draft = replace(draft, content_type=request.header("X-Upload-Content-Type"))
    preconditions = call.preconditions()
    session = Session(
        # The URL alone gives the right to upload, so that nobody can guess it.
        secrets.token_urlsafe(64),
        call.names[0],
        draft,
        preconditions,
        call.cloud.store.new_file(),
        to_number("X-Upload-Content-Length", request.header("X-Upload-Content-Length")),
    )
    with call.cloud.lock:
        check_acl(call.bucket(), wanted=draft.acl)
        preconditions.check_new(call.bucket().objects.get(name))
        session.path.touch()
        call.cloud.store.sessions[session.id] = session
    location = f"{call.address}/upload/storage/v1/b/{call.names[0]}/o?uploadType=resumable&upload_id={session.id}"
    return Response(200, {"Location": location, "X-GUploader-UploadID": session.id})


def _session(call: Call) -> Session:
    with call.cloud.lock:
        session = call.cloud.store.sessions.get(call.query["upload_id"])
    if session is None or session.bucket != call.names[0]:
        raise ApiError(404, "notFound", "No such upload session.", "NoSuchUpload")
    if session.cancelled:
        # "Attempting to query or upload to a cancelled session: 4xx": the code itself is not documented.
        raise ApiError(410, "gone", "The upload was cancelled.", "NoSuchUpload")
    if session.made is None and time.monotonic() - session.begun > call.cloud.windows.session_life:
        # 410 and 404 both mean to start again: https://docs.cloud.google.com/storage/docs/json_api/v1/status-codes#410_Gone
        with call.cloud.lock:
            call.cloud.store.sessions.pop(session.id, None)
        session.path.unlink(missing_ok=True)
        raise ApiError(410, "gone", "The upload session has expired.", "NoSuchUpload")
    return session


@dataclass(frozen=True, slots=True)
class _Sent:
    """What a Content-Range header says: bytes FIRST to END, no FIRST in a question for the status.

    END is -1 for one request of unknown length, which is the whole object.
    """

    first: int | None
    end: int
    total: int | None


def _sent(request: Request) -> _Sent:
    header = request.header("Content-Range")
    if not header:
        # Without one, all of the object is in this request.
        length = to_number("Content-Length", request.header("Content-Length"))
        return _Sent(0, length if length is not None else -1, length)
    match = _RANGE.fullmatch(header)
    if match is None:
        raise invalid(f"Invalid Content-Range: {header}")
    total = None if match["total"] == "*" else int(match["total"])
    if match["first"] is None:
        return _Sent(None, 0, total)
    first, end = int(match["first"]), int(match["last"]) + 1
    if end <= first or (total is not None and end > total):
        raise invalid(f"Invalid Content-Range: {header}")
    length = to_number("Content-Length", request.header("Content-Length"))
    if length is not None and length != end - first:
        raise invalid(f"Content-Range {header} does not fit {length} bytes.")
    return _Sent(first, end, total)


def asks_status(request: Request) -> bool:
    """Say whether a PUT to a session carries no bytes."""
    return request.header("Content-Range").startswith("bytes */")


def _put(call: Call) -> Document | Response:
    session, sent = _session(call), _sent(call.request)
    with session.lock:
        if session.made is not None:
            return shown_object(call, session.made)
        if sent.first is None:
            # A question that names the size finishes an upload whose bytes are all there; another size changes nothing.
            if sent.total is not None and sent.total == session.persisted and session.total in (None, sent.total):
                return _finish(call, session)
            return _incomplete(call.request, session)
        if session.total is not None and sent.total not in (None, session.total):
            raise invalid(f"The upload has {session.total} bytes, not {sent.total}, as was said before.")
        if sent.first > session.persisted:
            # In plain text, as java-storage's ITJsonResumableSessionPutTaskTest has noted it (scenario 5).
            message = (
                f"Invalid request.  According to the Content-Range header, the upload offset is {sent.first} byte(s), "
                f"which exceeds already uploaded size of {session.persisted} byte(s)."
            )
            return Response(503, {"Content-Type": "text/plain; charset=utf-8"}, message.encode())
        _receive(call, session, sent)
        session.total = sent.total if sent.total is not None else session.total
        if sent.end < 0 or session.total == session.persisted:
            return _finish(call, session)
        return _incomplete(call.request, session)


def _receive(call: Call, session: Session, sent: _Sent) -> None:
    assert sent.first is not None
    last = sent.end < 0 or sent.end in (sent.total, session.total)
    if not last and (sent.end - sent.first) % QUANTUM:
        # The words are those that Google says of less than 256 KiB; of more, the documents ask for a multiple.
        raise invalid(
            "Invalid request.  The number of bytes uploaded is required to be equal or greater than 262144, except "
            "for the final request (it's recommended to be the exact multiple of 262144).  The received request "
            f"contained {sent.end - sent.first} bytes, which does not meet this requirement."
        )
    # "Cloud Storage ignores any bytes you send at an offset that Cloud Storage has already persisted."
    limit = call.cloud.windows.chunk_persisted
    final = last and (not limit or sent.end - session.persisted <= limit)
    session.append(_from(call.request, session.persisted - sent.first, limit), final=final)


def _from(request: Request, skipped: int, limit: int) -> Iterator[bytes]:
    """Yield the body from byte SKIPPED on, at most LIMIT bytes of it unless that is 0."""
    left = limit or None
    # No more at once than what is kept of a request that breaks off.
    while piece := request.body.read(min(QUANTUM, skipped) or QUANTUM):
        if skipped:
            skipped -= len(piece)
            continue
        if left is None:
            yield piece
        elif left:
            yield piece[:left]
            left -= len(piece[:left])


def _incomplete(request: Request, session: Session) -> Response:
    # Without a Range header nothing has been persisted.
    headers = {"Range": f"bytes=0-{session.persisted - 1}"} if session.persisted else {}
    if request.header("X-GUploader-No-308") == "yes":
        # Go programs ask for it and take nothing else (google-api-go-client, internal/gensupport/resumable.go).
        return Response(200, {**headers, "X-HTTP-Status-Code-Override": "308"})
    return Response(308, headers)


def _finish(call: Call, session: Session) -> Document:
    contents = session.contents()
    try:
        check_promise(*promised(call.request), contents)
        session.made = make(call.cloud, session.bucket, session.draft, contents, session.preconditions)
    except ApiError:
        # The bytes cannot be changed any more, so that this upload will never be an object.
        _end(session)
        raise
    return shown_object(call, session.made)


def _end(session: Session) -> None:
    session.cancelled = True
    session.path.unlink(missing_ok=True)


def _cancel(call: Call) -> Response:
    session = _session(call)
    with session.lock:
        if session.made is not None:
            # What a finished upload answers is not documented.
            raise invalid("The upload is finished.")
        _end(session)
    return Response(499, {"Content-Length": "0"})


METHODS: Mapping[str, Handler] = {
    "objects.start": _start,
    "objects.chunk": _put,
    "objects.status": _put,
    "objects.cancel": _cancel,
}
