# SPDX-License-Identifier: Apache-2.0
"""S3 objects: put, get, list, tag and delete them."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from email.utils import format_datetime
from urllib.parse import quote

from lkcloud.sandbox.http import Request, Response
from lkcloud.sandbox.ranges import span
from lkcloud_aws.sandbox.cloud import Cloud
from lkcloud_aws.sandbox.errors import ApiError
from lkcloud_aws.sandbox.listing import text_token, token_text
from lkcloud_aws.sandbox.s3_checksums import ALGORITHMS, Algorithm, text
from lkcloud_aws.sandbox.s3_place import Place, check_not_there, check_tags, header_tags, kept_headers, page_size
from lkcloud_aws.sandbox.s3_store import Object, Part
from lkcloud_aws.sandbox.s3_upload import store
from lkcloud_aws.sandbox.s3_xml import Element, children


def checksum_headers(checksums: Mapping[Algorithm, str]) -> dict[str, str]:
    """Return checksums as headers."""
    return {f"x-amz-checksum-{algorithm.lower()}": value for algorithm, value in checksums.items()}


def _algorithm(request: Request) -> Algorithm | None:
    wanted = request.header("x-amz-sdk-checksum-algorithm").upper()
    return next((one for one in ALGORITHMS if one == wanted), None)


def _put(cloud: Cloud, place: Place, request: Request) -> Response:
    tags = header_tags(request)
    stored = store(request, cloud.s3.new_file(), _algorithm(request))
    sums = {algorithm: text(digest) for algorithm, digest in stored.checksums.items()}
    part = Part(1, stored, datetime.now(UTC))
    item = Object(place.key, (part,), part.etag, kept_headers(request), sums, tags=tags)
    with cloud.lock:
        try:
            check_not_there(request, exists=cloud.s3.find(place.bucket, place.key) is not None)
        except ApiError:
            stored.path.unlink()
            raise
        cloud.s3.put(place.bucket, item)
    more = {"x-amz-checksum-type": "FULL_OBJECT"} if sums else {}
    return Response(200, {"ETag": f'"{part.etag}"', **checksum_headers(sums), **more})


def _found(cloud: Cloud, place: Place) -> Object:
    with cloud.lock:
        item = cloud.s3.find(place.bucket, place.key)
    if item is None:
        raise ApiError("NoSuchKey", "The specified key does not exist.", 404, fields={"Key": place.key})
    return item


def _read(cloud: Cloud, place: Place, request: Request) -> Response:
    item = _found(cloud, place)
    headers = {
        **item.headers,
        "ETag": f'"{item.etag}"',
        "Last-Modified": format_datetime(item.modified, usegmt=True),
        "Accept-Ranges": "bytes",
    }
    wanted = request.header("If-Match").strip('"')
    if wanted and wanted not in ("*", item.etag):
        raise ApiError("PreconditionFailed", "At least one of the pre-conditions you specified did not hold", 412)
    if request.header("If-None-Match").strip('"') == item.etag:
        return Response(304, headers)
    if item.tags:
        headers["x-amz-tagging-count"] = str(len(item.tags))
    size = item.size
    wanted_range = request.header("Range")
    if wanted_range:
        begin, end = _span(wanted_range, size)
        headers |= {"Content-Range": f"bytes {begin}-{end - 1}/{size}", "Content-Length": str(end - begin)}
        return Response(206, headers, files=item.ranges(begin, end - begin))
    if request.header("x-amz-checksum-mode") == "ENABLED" and item.checksums:
        headers |= checksum_headers(item.checksums) | {"x-amz-checksum-type": item.checksum_type}
    headers["Content-Length"] = str(size)
    return Response(200, headers, files=item.ranges(0, size))


def _span(header: str, size: int) -> tuple[int, int]:
    begin, end = span(header, size)
    if begin == end:
        raise ApiError("InvalidRange", "The requested range is not satisfiable", 416)
    return begin, end


def _delete(cloud: Cloud, place: Place, _request: Request) -> Response:
    with cloud.lock:
        cloud.s3.delete(place.bucket, place.key)
    return Response(204)


def _delete_many(cloud: Cloud, place: Place, request: Request) -> Response:
    keys = [child.get("Key", "") for child in children(request.body.all(), "Object")]
    if not keys or len(keys) > 1000:
        raise ApiError("MalformedXML", "The XML you provided was not well-formed.")
    answer = Element("DeleteResult")
    with cloud.lock:
        for key in keys:
            cloud.s3.delete(place.bucket, key)
            answer.nest(Element("Deleted").add("Key", key))
    return answer.answer()


def _tagging(cloud: Cloud, place: Place, _request: Request) -> Response:
    tags = Element("TagSet")
    for key, value in _found(cloud, place).tags.items():
        tags.nest(Element("Tag").add("Key", key).add("Value", value))
    return Element("Tagging").nest(tags).answer()


def _set_tagging(cloud: Cloud, place: Place, request: Request) -> Response:
    tags = {}
    if request.method == "PUT":
        tags = {
            tag.get("Key", ""): tag.get("Value", "") for tag in children(request.body.all(), "Tag", within="TagSet")
        }
    check_tags(tags)
    with cloud.lock:
        item = _found(cloud, place)
        cloud.s3.objects[place.bucket][place.key] = replace(item, tags=tags)
    return Response(200 if tags else 204)


def _list(cloud: Cloud, place: Place, request: Request) -> Response:
    query = request.query
    second = query.get("list-type") == "2"
    prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
    limit = page_size(request, "max-keys", min(1000, cloud.windows.page_size))
    after = query.get("start-after", "") if second else query.get("marker", "")
    if second and "continuation-token" in query:
        after = token_text(query["continuation-token"])
    with cloud.lock:
        items = sorted(cloud.s3.objects.get(place.bucket, {}).values(), key=lambda item: item.key)
    # A common prefix takes one place on a page, as a key does.
    entries: dict[str, Object | None] = {}
    for item in items:
        if item.key.startswith(prefix):
            rest = item.key[len(prefix) :]
            if delimiter and delimiter in rest:
                entries[prefix + rest.split(delimiter)[0] + delimiter] = None
            else:
                entries[item.key] = item
    left = [name for name in entries if name > after]
    shown = left[:limit]
    encode = quote if query.get("encoding-type") == "url" else str
    answer = Element("ListBucketResult").add("Name", place.bucket)
    answer.add("Prefix", encode(prefix)).add("Delimiter", encode(delimiter)).add("MaxKeys", limit)
    answer.add("EncodingType", query.get("encoding-type")).add("IsTruncated", len(left) > limit)
    if second:
        answer.add("KeyCount", len(shown))
    if len(left) > limit and shown:
        last = shown[-1]
        answer.add("NextContinuationToken" if second else "NextMarker", text_token(last) if second else encode(last))
    for name in shown:
        found = entries[name]
        if found is None:
            answer.nest(Element("CommonPrefixes").add("Prefix", encode(name)))
        else:
            answer.nest(_contents(found, encode(name)))
    return answer.answer()


def _contents(item: Object, key: str) -> Element:
    contents = Element("Contents").add("Key", key).add("LastModified", item.modified).add("ETag", f'"{item.etag}"')
    for algorithm in item.checksums:
        contents.add("ChecksumAlgorithm", algorithm).add("ChecksumType", item.checksum_type)
    return contents.add("Size", item.size).add("StorageClass", "STANDARD")


OPERATIONS: dict[str, Callable[[Cloud, Place, Request], Response]] = {
    "PutObject": _put,
    "GetObject": _read,
    "HeadObject": _read,
    "DeleteObject": _delete,
    "DeleteObjects": _delete_many,
    "GetObjectTagging": _tagging,
    "PutObjectTagging": _set_tagging,
    "DeleteObjectTagging": _set_tagging,
    "ListObjects": _list,
    "ListObjectsV2": _list,
}
