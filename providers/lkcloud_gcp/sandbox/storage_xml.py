# SPDX-License-Identifier: Apache-2.0
"""The XML API: objects by their path, https://docs.cloud.google.com/storage/docs/xml-api/overview."""

from dataclasses import replace
from email.utils import format_datetime

from lkcloud.sandbox.http import Request, Response
from lkcloud_gcp.sandbox import authorization
from lkcloud_gcp.sandbox.cloud import Cloud
from lkcloud_gcp.sandbox.errors import ApiError
from lkcloud_gcp.sandbox.storage_call import Call, Preconditions, find_object, to_number
from lkcloud_gcp.sandbox.storage_draft import (
    Draft,
    check_metadata,
    check_name,
    check_retention,
    make,
    promised,
)
from lkcloud_gcp.sandbox.storage_objects import hashes, media, remove
from lkcloud_gcp.sandbox.store import StoredObject, write

_SETTINGS = {
    "Cache-Control": "cacheControl",
    "Content-Disposition": "contentDisposition",
    "Content-Encoding": "contentEncoding",
    "Content-Language": "contentLanguage",
    "x-goog-storage-class": "storageClass",
}


def split(request: Request) -> tuple[str, str]:
    """Return bucket and object of the path."""
    bucket, _, name = request.path.removeprefix("/").partition("/")
    return bucket, name


def need_length(request: Request) -> None:
    """Raise ApiError if nothing says how long the body is."""
    if "Content-Length" not in request.headers and "chunked" not in request.header("Transfer-Encoding"):
        raise ApiError(
            411, "lengthRequired", "You must provide the Content-Length HTTP header.", "MissingContentLength"
        )


def preconditions(request: Request) -> Preconditions:
    """Return the preconditions of the headers. Raises ApiError."""
    names = ("x-goog-if-generation-match", "x-goog-if-metageneration-match")
    generation, metageneration = (to_number(name, request.header(name)) for name in names)
    return Preconditions(generation, None, metageneration, None)


def draft(request: Request, name: str) -> Draft:
    """Return the object that the headers describe. Raises ApiError."""
    check_name(name)
    metadata = {
        header.lower().removeprefix("x-goog-meta-"): value
        for header, value in request.headers.items()
        if header.lower().startswith("x-goog-meta-")
    }
    check_metadata(metadata)
    settings = {field: request.header(header) for header, field in _SETTINGS.items() if request.header(header)}
    kms_key = request.header("x-goog-encryption-kms-key-name")
    return Draft(
        name, request.header("Content-Type"), metadata, settings, kms_key, acl=bool(request.header("x-goog-acl"))
    )


def stored_headers(item: StoredObject) -> dict[str, str]:
    """Return what every answer about an object has."""
    headers = {
        "ETag": xml_etag(item),
        "x-goog-generation": str(item.generation),
        "x-goog-metageneration": str(item.metageneration),
        "x-goog-hash": hashes(item),
        "x-goog-stored-content-length": str(item.size),
        "x-goog-stored-content-encoding": str(item.settings.get("contentEncoding", "identity")),
        "x-goog-storage-class": str(item.settings["storageClass"]),
    }
    if item.kms_key:
        headers["x-goog-encryption-kms-key-name"] = f"{item.kms_key}/cryptoKeyVersions/1"
    if item.component_count is not None:
        headers["x-goog-component-count"] = str(item.component_count)
    return headers


def xml_etag(item: StoredObject) -> str:
    """Return the ETag of the XML API: the MD5 where there is one, else a value that is no hash."""
    md5 = item.contents.md5
    return f'"{md5.hex() if md5 is not None else f"-{item.generation:x}"}"'


def _put(cloud: Cloud, request: Request) -> Response:
    bucket, name = split(request)
    need_length(request)
    if request.header("x-goog-copy-source"):
        raise ApiError(501, "notImplemented", "The sandbox copies by the JSON API only.", "NotImplemented")
    wanted, conditions = draft(request, name), preconditions(request)
    crc, md5 = promised(request)
    with cloud.lock:
        # Google refuses before it reads, where the client waits for 100 Continue; the outcome is checked again below.
        Call(cloud, request, "", (bucket,)).bucket()
    contents = write(cloud.store.new_file(), request.body.pieces())
    try:
        item = make(cloud, bucket, replace(wanted, crc32c=crc, md5=md5), contents, conditions)
    except ApiError:
        remove(contents.files)
        raise
    return Response(200, stored_headers(item))


def _read(cloud: Cloud, request: Request) -> Response:
    bucket, name = split(request)
    generation = to_number("generation", request.query.get("generation"))
    with cloud.lock:
        item = find_object(cloud, bucket, name, generation, reading=True)
    preconditions(request).check(item, reading=True)
    if request.header("If-None-Match") == xml_etag(item):
        raise ApiError(304, "notModified", "Not Modified", "NotModified")
    headers = {
        **stored_headers(item),
        "Content-Type": item.content_type or "application/octet-stream",
        "Last-Modified": format_datetime(item.updated, usegmt=True),
        "Accept-Ranges": "bytes",
        **{header: str(item.settings[field]) for header, field in _SETTINGS.items() if field in item.settings},
        **{f"x-goog-meta-{key}": value for key, value in item.metadata.items()},
    }
    return media(request, item, headers)


def _delete(cloud: Cloud, request: Request) -> Response:
    bucket, name = split(request)
    generation, conditions = to_number("generation", request.query.get("generation")), preconditions(request)
    with cloud.lock:
        item = find_object(cloud, bucket, name, generation)
        conditions.check(item)
        check_retention(cloud.store.buckets[bucket], item)
        cloud.store.delete(item)
    return Response(204)


_METHODS = {"objects.put": _put, "objects.get": _read, "objects.head": _read, "objects.delete": _delete}
_NAMES = {"PUT": "objects.put", "GET": "objects.get", "HEAD": "objects.head", "DELETE": "objects.delete"}
_SUBRESOURCES = {
    "acl", "compose", "cors", "encryption", "lifecycle", "location", "logging", "storageClass", "tagging", "versioning",
    "website", "uploads", "uploadId", "retention", "billing",
}  # fmt: skip


def operation(request: Request) -> str:
    """Return what REQUEST asks for, in the words of the JSON API where it has it too; "" for what is not here."""
    _, name = split(request)
    if not name or _SUBRESOURCES & set(request.query):
        return ""
    return _NAMES.get(request.method, "")


def serve(cloud: Cloud, request: Request) -> Response:
    """Do what REQUEST asks for. Raises ApiError."""
    method = operation(request)
    handler = _METHODS.get(method)
    if handler is None:
        raise ApiError(501, "notImplemented", "The sandbox does not have this operation.", "NotImplemented")
    authorization.require_for_xml(cloud, request, method)
    return handler(cloud, request)
