# SPDX-License-Identifier: Apache-2.0
"""Multipart uploads of the XML API: https://docs.cloud.google.com/storage/docs/multipart-uploads."""

import hashlib
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import pairwise

from lkcloud.sandbox.crc import CRC32C, joined
from lkcloud.sandbox.http import Request, Response
from lkcloud.sandbox.xml_document import Element, children
from lkcloud_gcp.sandbox import authorization
from lkcloud_gcp.sandbox.cloud import Cloud
from lkcloud_gcp.sandbox.errors import ApiError
from lkcloud_gcp.sandbox.storage_call import Preconditions, find_bucket, invalid, to_base64, to_number
from lkcloud_gcp.sandbox.storage_draft import Draft, check_promise, make, promised
from lkcloud_gcp.sandbox.storage_xml import draft, need_length, split, stored_headers
from lkcloud_gcp.sandbox.store import Bytes, write

MIN_PART = 5 * 1024 * 1024
"""Bytes of every part but the last; MAX_PARTS: https://docs.cloud.google.com/storage/quotas#requests"""
MAX_PARTS = 10000


@dataclass(frozen=True, slots=True)
class Part:
    """A part of an upload."""

    number: int
    contents: Bytes
    modified: datetime

    @property
    def etag(self) -> str:
        """The ETag with its quotation marks: the MD5."""
        assert self.contents.md5 is not None
        return f'"{self.contents.md5.hex()}"'


@dataclass(slots=True)
class Upload:
    """A multipart upload that has not been completed."""

    id: str
    draft: Draft
    initiated: datetime = field(default_factory=lambda: datetime.now(UTC))
    parts: dict[int, Part] = field(default_factory=dict)

    def remove(self) -> None:
        """Remove the bytes of all parts."""
        for part in self.parts.values():
            part.contents.files[0].path.unlink(missing_ok=True)


def _create(cloud: Cloud, request: Request) -> Response:
    bucket, name = split(request)
    # The page of the request names no preconditions, and "preconditions are not supported".
    upload = Upload(secrets.token_urlsafe(48), draft(request, name))
    with cloud.lock:
        find_bucket(cloud, bucket).uploads[upload.id] = upload
    answer = Element("InitiateMultipartUploadResult").add("Bucket", bucket).add("Key", name)
    return answer.add("UploadId", upload.id).answer()


def _found(cloud: Cloud, request: Request) -> Upload:
    """Return the upload that REQUEST names. Raises ApiError; the caller holds the cloud's lock."""
    bucket, name = split(request)
    upload = find_bucket(cloud, bucket).uploads.get(request.query.get("uploadId", ""))
    if upload is None or upload.draft.name != name:
        raise ApiError(404, "notFound", "The requested upload was not found.", "NoSuchUpload")
    return upload


def _put_part(cloud: Cloud, request: Request) -> Response:
    need_length(request)
    number = to_number("partNumber", request.query.get("partNumber")) or 0
    if not 1 <= number <= MAX_PARTS:
        raise invalid(f"Part number must be an integer between 1 and {MAX_PARTS}, inclusive.")
    promise = promised(request)
    with cloud.lock:
        _found(cloud, request)
    contents = write(cloud.store.new_file(), request.body.pieces())
    part = Part(number, contents, datetime.now(UTC))
    try:
        check_promise(*promise, contents)
        with cloud.lock:
            upload = _found(cloud, request)
            replaced, upload.parts[number] = upload.parts.get(number), part
    except ApiError:
        contents.files[0].path.unlink()
        raise
    if replaced:
        replaced.contents.files[0].path.unlink(missing_ok=True)
    assert contents.md5 is not None
    hashes = f"crc32c={to_base64(contents.crc32c)},md5={to_base64(contents.md5)}"
    return Response(200, {"ETag": part.etag, "x-goog-hash": hashes})


def _list_parts(cloud: Cloud, request: Request) -> Response:
    bucket, name = split(request)
    limit = min(to_number("max-parts", request.query.get("max-parts")) or 1000, 1000, cloud.windows.objects_page)
    marker = to_number("part-number-marker", request.query.get("part-number-marker")) or 0
    with cloud.lock:
        upload = _found(cloud, request)
        left = [upload.parts[number] for number in sorted(upload.parts) if number > marker]
    answer = Element("ListPartsResult").add("Bucket", bucket).add("Key", name).add("UploadId", upload.id)
    answer.add("StorageClass", "STANDARD").add("PartNumberMarker", marker)
    if left[:limit]:
        answer.add("NextPartNumberMarker", left[:limit][-1].number)
    answer.add("MaxParts", limit).add("IsTruncated", len(left) > limit)
    for part in left[:limit]:
        item = Element("Part").add("PartNumber", part.number).add("LastModified", part.modified)
        answer.nest(item.add("ETag", part.etag).add("Size", str(part.contents.size)))
    return answer.answer()


def _list_uploads(cloud: Cloud, request: Request) -> Response:
    bucket, _ = split(request)
    prefix = request.query.get("prefix", "")
    if request.query.get("delimiter") or request.query.get("key-marker"):
        raise ApiError(501, "notImplemented", "The sandbox lists uploads in one page only.", "NotImplemented")
    with cloud.lock:
        uploads = sorted(find_bucket(cloud, bucket).uploads.values(), key=lambda one: (one.draft.name, one.initiated))
    answer = Element("ListMultipartUploadsResult").add("Bucket", bucket).add("Prefix", prefix)
    answer.add("IsTruncated", value=False)
    for upload in uploads:
        if upload.draft.name.startswith(prefix):
            item = Element("Upload").add("Key", upload.draft.name).add("UploadId", upload.id)
            answer.nest(item.add("StorageClass", "STANDARD").add("Initiated", upload.initiated))
    return answer.answer()


def _abort(cloud: Cloud, request: Request) -> Response:
    with cloud.lock:
        upload = _found(cloud, request)
        del find_bucket(cloud, split(request)[0]).uploads[upload.id]
    upload.remove()
    return Response(204)


def _complete(cloud: Cloud, request: Request) -> Response:
    bucket, name = split(request)
    try:
        wanted = list(children(request.body.all(), "Part"))
    except ValueError:
        raise ApiError(400, "invalid", "The XML you provided was not well-formed.", "MalformedXML") from None
    crc, _ = promised(request)
    with cloud.lock:
        upload = _found(cloud, request)
        parts = [_chosen(upload, entry) for entry in wanted]
        _check(parts)
        total = 0
        for part in parts:
            total = joined(CRC32C, total, part.contents.crc32c, part.contents.size)
        contents = Bytes(tuple(part.contents.files[0] for part in parts), total, None)
        # An object of this kind has neither an MD5 nor a count of components, and no preconditions can be asked for.
        item = make(cloud, bucket, replace(upload.draft, crc32c=crc), contents, Preconditions())
        del find_bucket(cloud, bucket).uploads[upload.id]
        kept = {part.number for part in parts}
    for part in upload.parts.values():
        if part.number not in kept:
            part.contents.files[0].path.unlink(missing_ok=True)
    tag = hashlib.md5(b"".join(part.contents.md5 or b"" for part in parts), usedforsecurity=False).hexdigest()
    answer = Element("CompleteMultipartUploadResult").add(
        "Location", f"http://{request.header('Host')}/{bucket}/{name}"
    )
    answer.add("Bucket", bucket).add("Key", name).add("ETag", f'"{tag}-{len(parts)}"')
    response = answer.answer()
    headers = {key: value for key, value in stored_headers(item).items() if key != "ETag"}
    return Response(200, {**response.headers, **headers}, response.body)


def _chosen(upload: Upload, entry: Mapping[str, str]) -> Part:
    number = to_number("PartNumber", entry.get("PartNumber")) or 0
    part = upload.parts.get(number)
    if part is None or part.etag.strip('"') != entry.get("ETag", "").strip('"'):
        raise ApiError(400, "invalid", "One or more of the specified parts could not be found.", "InvalidPart")
    return part


def _check(parts: list[Part]) -> None:
    if not parts:
        raise ApiError(400, "invalid", "You must specify at least one part.", "MalformedXML")
    if any(former.number >= latter.number for former, latter in pairwise(parts)):
        raise ApiError(400, "invalid", "The list of parts was not in ascending order.", "InvalidPartOrder")
    if any(part.contents.size < MIN_PART for part in parts[:-1]):
        raise ApiError(400, "invalid", "A part other than the last is smaller than 5 MiB.", "EntityTooSmall")


_HANDLERS: Mapping[str, Callable[[Cloud, Request], Response]] = {
    "multipart.create": _create,
    "multipart.put": _put_part,
    "multipart.listParts": _list_parts,
    "multipart.list": _list_uploads,
    "multipart.abort": _abort,
    "multipart.complete": _complete,
}
_NAMES = {
    ("POST", "uploads"): "multipart.create",
    ("PUT", "uploadId"): "multipart.put",
    ("GET", "uploadId"): "multipart.listParts",
    ("DELETE", "uploadId"): "multipart.abort",
    ("POST", "uploadId"): "multipart.complete",
}


def operation(request: Request) -> str:
    """Return what REQUEST does to a multipart upload, in words of our own; "" if it is not about one."""
    query = request.query
    if not split(request)[1]:
        return "multipart.list" if request.method == "GET" and "uploads" in query else ""
    sub = "uploadId" if "uploadId" in query else "uploads" if "uploads" in query else ""
    return _NAMES.get((request.method, sub), "")


def serve(cloud: Cloud, request: Request) -> Response:
    """Do what REQUEST asks for. Raises ApiError."""
    method = operation(request)
    authorization.require_for_xml(cloud, request, method)
    return _HANDLERS[method](cloud, request)
