# SPDX-License-Identifier: Apache-2.0
"""Objects of the JSON API: upload at once, read, list, change, delete.

https://docs.cloud.google.com/storage/docs/json_api/v1/objects
"""

import base64
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from lkcloud.sandbox.http import FileRange, Request, Response
from lkcloud.sandbox.ranges import span
from lkcloud.sandbox.xml_document import stamp
from lkcloud_gcp.sandbox.errors import ApiError
from lkcloud_gcp.sandbox.storage_call import (
    Call,
    Document,
    Handler,
    find_bucket,
    find_object,
    invalid,
    parse_json,
    to_base64,
)
from lkcloud_gcp.sandbox.storage_draft import (
    SETTINGS,
    check_acl,
    check_metadata,
    check_promise,
    check_retention,
    draft_of,
    make,
    promised,
    retained_until,
)
from lkcloud_gcp.sandbox.storage_related import Related
from lkcloud_gcp.sandbox.store import Bucket, StoredObject, write


def etag(item: StoredObject) -> str:
    """Return the ETag of the JSON API, which changes with the metadata too."""
    return to_base64(item.generation.to_bytes(8, "big") + item.metageneration.to_bytes(2, "big"))


def resource(call: Call, bucket: Bucket, item: StoredObject) -> Document:
    """Return an object as its resource."""
    path = f"b/{item.bucket}/o/{quote(item.name, safe='')}"
    made = stamp(item.created)
    shown: dict[str, Any] = {
        "kind": "storage#object",
        "id": f"{item.bucket}/{item.name}/{item.generation}",
        "selfLink": f"{call.address}/storage/v1/{path}",
        "mediaLink": f"{call.address}/download/storage/v1/{path}?generation={item.generation}&alt=media",
        "name": item.name,
        "bucket": item.bucket,
        "generation": str(item.generation),
        "metageneration": str(item.metageneration),
        **item.settings,
        "size": str(item.size),
        "crc32c": to_base64(item.crc32c),
        "etag": etag(item),
        "timeCreated": made,
        "updated": stamp(item.updated),
        "timeStorageClassUpdated": made,
        "timeFinalized": made,
    }
    if item.content_type:
        shown["contentType"] = item.content_type
    if item.contents.md5 is not None:
        shown["md5Hash"] = to_base64(item.contents.md5)
    if item.metadata:
        shown["metadata"] = dict(item.metadata)
    if item.component_count is not None:
        shown["componentCount"] = item.component_count
    if item.kms_key:
        shown["kmsKeyName"] = f"{item.kms_key}/cryptoKeyVersions/1"
    if until := retained_until(bucket, item):
        shown["retentionExpirationTime"] = stamp(until)
    return shown


def shown_object(call: Call, item: StoredObject) -> Document:
    """Return an object as its resource, whatever has become of its bucket."""
    with call.cloud.lock:
        return resource(call, find_bucket(call.cloud, item.bucket), item)


def _insert(call: Call) -> Document:
    """Upload at once: https://docs.cloud.google.com/storage/docs/uploading-objects#uploading-an-object."""
    request, preconditions = call.request, call.preconditions()
    with call.cloud.lock:
        call.bucket()
    kind = call.query.get("uploadType", "")
    if kind == "multipart":
        related = Related(request)
        document = parse_json(related.document())
        content_type, pieces = related.content_type, related.media()
    elif kind == "media":
        document, content_type, pieces = {}, request.header("Content-Type"), request.body.pieces()
    else:
        raise invalid(f"Invalid upload type: {kind or 'none'}")
    name = call.query.get("name") or str(document.get("name") or "")
    draft = draft_of(document, name, call.query.get("kmsKeyName", ""), call.query.get("predefinedAcl", ""))
    if not draft.content_type:
        draft = replace(draft, content_type=content_type)
    contents = write(call.cloud.store.new_file(), pieces)
    try:
        check_promise(*promised(request), contents)
        item = make(call.cloud, call.names[0], draft, contents, preconditions)
    except ApiError:
        remove(contents.files)
        raise
    return shown_object(call, item)


def remove(files: Iterable[FileRange]) -> None:
    """Remove files that no object was made of."""
    for file in files:
        file.path.unlink(missing_ok=True)


def media(request: Request, item: StoredObject, headers: Mapping[str, str]) -> Response:
    """Return the bytes of an object, or those that a Range header asks for. Raises ApiError."""
    header = request.header("Range")
    if not header:
        return Response(200, {**headers, "Content-Length": str(item.size)}, files=item.ranges(0, item.size))
    begin, end = span(header, item.size)
    if begin == end:
        more = {"Content-Range": f"bytes */{item.size}"}
        message = f"Request range not satisfiable: {header}"
        raise ApiError(416, "requestedRangeNotSatisfiable", message, "InvalidRange", more)
    headers = {**headers, "Content-Range": f"bytes {begin}-{end - 1}/{item.size}", "Content-Length": str(end - begin)}
    return Response(206, headers, files=item.ranges(begin, end - begin))


def hashes(item: StoredObject) -> str:
    """Return the value of x-goog-hash."""
    found = [f"crc32c={to_base64(item.crc32c)}"]
    if item.contents.md5 is not None:
        found.append(f"md5={to_base64(item.contents.md5)}")
    return ",".join(found)


def _get(call: Call) -> Document | Response:
    with call.cloud.lock:
        item = find_object(call.cloud, call.names[0], call.names[1], call.number("generation"), reading=True)
    call.preconditions().check(item, reading=True)
    if call.query.get("alt") != "media":
        return shown_object(call, item)
    headers = {
        "Content-Type": item.content_type or "application/octet-stream",
        "ETag": etag(item),
        "X-Goog-Hash": hashes(item),
        "X-Goog-Generation": str(item.generation),
        "X-Goog-Metageneration": str(item.metageneration),
        "X-Goog-Storage-Class": str(item.settings["storageClass"]),
    }
    return media(call.request, item, headers)


def page_limit(call: Call, name: str = "maxResults") -> int:
    """Return how many entries a page can have. Raises ApiError."""
    asked = call.number(name)
    if asked is not None and asked < 1:
        raise invalid(f"Invalid argument: {name} must be positive.")
    return min(asked or 1000, 1000, call.cloud.windows.objects_page)


def entries(
    bucket: Bucket, prefix: str, delimiter: str, *, trailing: bool = False
) -> Iterator[tuple[str, StoredObject | None]]:
    """Yield names and objects in order; a common prefix, which comes once, has no object."""
    last = None
    for name in sorted(bucket.objects, key=str.encode):
        if not name.startswith(prefix):
            continue
        inside, found, rest = name[len(prefix) :].partition(delimiter) if delimiter else (name, "", "")
        if not found:
            yield name, bucket.objects[name]
            continue
        folder = prefix + inside + delimiter
        if trailing and not rest:
            yield name, bucket.objects[name]
        if folder != last:
            yield folder, None
        last = folder


def _list(call: Call) -> Document:
    query, limit = call.query, page_limit(call)
    after = page_token(query.get("pageToken", ""))
    trailing = query.get("includeTrailingDelimiter") == "true"
    with call.cloud.lock:
        bucket = call.bucket()
        every = entries(bucket, query.get("prefix", ""), query.get("delimiter", ""), trailing=trailing)
        start, end = query.get("startOffset", ""), query.get("endOffset", "")
        left = [(name, item) for name, item in every if name > after and name >= start and (not end or name < end)]
        answer: dict[str, Any] = {"kind": "storage#objects"}
        if len(left) > limit:
            answer["nextPageToken"] = to_base64(left[limit - 1][0].encode())
        if items := [resource(call, bucket, item) for _, item in left[:limit] if item]:
            answer["items"] = items
        if prefixes := [name for name, item in left[:limit] if item is None]:
            answer["prefixes"] = prefixes
    return answer


def page_token(token: str) -> str:
    """Return the last name of the page before. Raises ApiError."""
    try:
        return base64.b64decode(token, validate=True).decode()
    except ValueError:
        raise invalid(f"Invalid pageToken: {token}") from None


def _delete(call: Call) -> Response:
    preconditions, generation = call.preconditions(), call.number("generation")
    with call.cloud.lock:
        item = find_object(call.cloud, call.names[0], call.names[1], generation)
        preconditions.check(item)
        check_retention(call.bucket(), item)
        call.cloud.store.delete(item)
    return Response(204)


def _patch(call: Call) -> Document:
    """Change metadata: fields that are null are removed, metadata key by key (https://www.rfc-editor.org/rfc/rfc7396)."""
    change = call.body()
    preconditions, generation = call.preconditions(), call.number("generation")
    whole = call.method == "objects.update"
    with call.cloud.lock:
        check_acl(call.bucket(), wanted=bool(change.get("acl") or call.query.get("predefinedAcl")))
        item = find_object(call.cloud, call.names[0], call.names[1], generation)
        preconditions.check(item)
        metadata = {} if whole else dict(item.metadata)
        if "metadata" in change:
            metadata = {} if change["metadata"] is None else metadata | change["metadata"]
        metadata = {key: str(value) for key, value in metadata.items() if value is not None}
        check_metadata(metadata)
        settings = dict(item.settings)
        for key in SETTINGS:
            if key in change or (whole and key != "storageClass"):
                settings[key] = change.get(key)
        if change.get("storageClass", item.settings["storageClass"]) != item.settings["storageClass"]:
            raise invalid("The storage class of an object is changed by rewriting it.")
        content_type = change.get("contentType", "" if whole else item.content_type) or ""
        changed = replace(
            item,
            metadata=metadata,
            content_type=content_type,
            settings={key: value for key, value in settings.items() if value is not None},
            metageneration=item.metageneration + 1,
            updated=datetime.now(UTC),
        )
        call.bucket().objects[item.name] = changed
        return resource(call, call.bucket(), changed)


METHODS: Mapping[str, Handler] = {
    "objects.insert": _insert,
    "objects.get": _get,
    "objects.list": _list,
    "objects.delete": _delete,
    "objects.patch": _patch,
    "objects.update": _patch,
}
