# SPDX-License-Identifier: Apache-2.0
"""S3 multipart uploads: start, part, list, abort, complete.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/mpuoverview.html and the pages of the API of each call.
"""

import secrets
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from lkcloud.sandbox.http import Request, Response
from lkcloud_aws.sandbox.cloud import ACCOUNT, Cloud
from lkcloud_aws.sandbox.errors import ApiError
from lkcloud_aws.sandbox.s3_checksums import ALGORITHMS, Algorithm, Type, composite, full, text
from lkcloud_aws.sandbox.s3_objects import checksum_headers
from lkcloud_aws.sandbox.s3_place import Place, check_not_there, header_tags, kept_headers, page_size
from lkcloud_aws.sandbox.s3_store import Object, Part, Upload, multipart_etag
from lkcloud_aws.sandbox.s3_upload import promised, store
from lkcloud_aws.sandbox.s3_xml import Element, children

MIN_PART = 5 * 1024 * 1024
"""Bytes of every part but the last: https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html"""
MAX_PARTS = 10000

_FULL_ONLY = ("CRC64NVME",)
_COMPOSITE_ONLY = ("SHA1", "SHA256")


def _create(cloud: Cloud, place: Place, request: Request) -> Response:
    wanted = request.header("x-amz-checksum-algorithm").upper()
    algorithm = next((one for one in ALGORITHMS if one == wanted), None)
    if wanted and algorithm is None:
        raise ApiError("InvalidRequest", "Checksum algorithm provided is unsupported.")
    upload = Upload(
        secrets.token_urlsafe(48),
        place.key,
        cloud.s3.next_order(),
        algorithm,
        _type(request.header("x-amz-checksum-type"), algorithm),
        kept_headers(request),
        header_tags(request),
    )
    with cloud.lock:
        cloud.s3.start(place.bucket, upload)
    answer = Element("InitiateMultipartUploadResult").add("Bucket", place.bucket).add("Key", place.key)
    response = answer.add("UploadId", upload.id).answer()
    headers = {"x-amz-checksum-algorithm": algorithm, "x-amz-checksum-type": upload.checksum_type} if algorithm else {}
    return Response(200, {**response.headers, **headers}, response.body)


def _type(wanted: str, algorithm: Algorithm | None) -> Type:
    if wanted not in ("", "COMPOSITE", "FULL_OBJECT"):
        raise ApiError("InvalidRequest", "Value for x-amz-checksum-type header is invalid.")
    if wanted and algorithm is None:
        raise ApiError("InvalidRequest", "The x-amz-checksum-type header can only be used with an algorithm.")
    if (wanted == "FULL_OBJECT" and algorithm in _COMPOSITE_ONLY) or (
        wanted == "COMPOSITE" and algorithm in _FULL_ONLY
    ):
        raise ApiError("InvalidRequest", f"The {wanted} checksum type cannot be used with the {algorithm} algorithm.")
    if wanted == "FULL_OBJECT" or algorithm in _FULL_ONLY:
        return "FULL_OBJECT"
    return "COMPOSITE"


def _found(cloud: Cloud, place: Place, request: Request) -> Upload:
    with cloud.lock:
        upload = cloud.s3.uploads.get(place.bucket, {}).get(request.query.get("uploadId", ""))
    if upload is None or upload.key != place.key:
        raise ApiError(
            "NoSuchUpload",
            "The specified upload does not exist. The upload ID may be invalid, or the upload may have been aborted "
            "or completed.",
            404,
        )
    return upload


def _upload_part(cloud: Cloud, place: Place, request: Request) -> Response:
    number = request.query.get("partNumber", "")
    if not number.isdigit() or not 1 <= int(number) <= MAX_PARTS:
        raise ApiError("InvalidArgument", f"Part number must be an integer between 1 and {MAX_PARTS}, inclusive")
    upload = _found(cloud, place, request)
    _check_algorithm(upload, request)
    stored = store(request, cloud.s3.new_file(), upload.algorithm)
    part = Part(int(number), stored, datetime.now(UTC))
    with cloud.lock:
        try:
            _found(cloud, place, request)
        except ApiError:
            stored.path.unlink()
            raise
        replaced = upload.parts.get(part.number)
        upload.parts[part.number] = part
        if replaced:
            replaced.stored.path.unlink(missing_ok=True)
    sums = {algorithm: text(digest) for algorithm, digest in stored.checksums.items()}
    return Response(200, {"ETag": f'"{part.etag}"', **checksum_headers(sums)})


def _check_algorithm(upload: Upload, request: Request) -> None:
    sent = {*(one.lower() for one in promised(request)), request.header("x-amz-trailer").lower()[15:]} - {""}
    if upload.algorithm is None:
        # SDKs send a checksum of each part by default, also to an upload that was started without one.
        return
    expected = upload.algorithm.lower()
    # S3 itself computes the parts' checksums only where the whole object has one.
    if sent - {expected} or (upload.checksum_type == "COMPOSITE" and not sent):
        actual = next(iter(sent - {expected}), "null")
        raise ApiError(
            "InvalidRequest",
            f"Checksum Type mismatch occurred, expected checksum Type: {expected}, actual checksum Type: {actual}",
        )


def _list_parts(cloud: Cloud, place: Place, request: Request) -> Response:
    upload = _found(cloud, place, request)
    limit = page_size(request, "max-parts", min(1000, cloud.windows.page_size))
    marker = request.query.get("part-number-marker") or "0"
    if not marker.isdigit():
        raise ApiError("InvalidArgument", "Argument part-number-marker must be an integer")
    with cloud.lock:
        left = [upload.parts[number] for number in sorted(upload.parts) if number > int(marker)]
    shown = left[:limit]
    answer = Element("ListPartsResult").add("Bucket", place.bucket).add("Key", place.key).add("UploadId", upload.id)
    answer.nest(_owner("Initiator")).nest(_owner("Owner")).add("StorageClass", "STANDARD")
    answer.add("PartNumberMarker", int(marker)).add("NextPartNumberMarker", shown[-1].number if shown else 0)
    answer.add("MaxParts", limit).add("IsTruncated", len(left) > limit)
    if upload.algorithm:
        answer.add("ChecksumAlgorithm", upload.algorithm).add("ChecksumType", upload.checksum_type)
    for part in shown:
        item = Element("Part").add("PartNumber", part.number).add("LastModified", part.modified)
        item.add("ETag", f'"{part.etag}"').add("Size", str(part.stored.size))
        if upload.algorithm:
            item.add(f"Checksum{upload.algorithm}", text(part.stored.checksums[upload.algorithm]))
        answer.nest(item)
    return answer.answer()


def _owner(name: str) -> Element:
    return Element(name).add("ID", ACCOUNT).add("DisplayName", "sandbox")


def _list_uploads(cloud: Cloud, place: Place, request: Request) -> Response:
    query = request.query
    if query.get("delimiter"):
        raise ApiError("NotImplemented", "The sandbox lists uploads without a delimiter only", 501)
    prefix, key_marker = query.get("prefix", ""), query.get("key-marker", "")
    limit = page_size(request, "max-uploads", min(1000, cloud.windows.page_size))
    with cloud.lock:
        uploads = cloud.s3.uploads.get(place.bucket, {})
        marker = uploads.get(query.get("upload-id-marker", ""))
        # Within a key, the order is that of initiation.
        ordered = sorted(uploads.values(), key=lambda upload: (upload.key, upload.order))
    after = (key_marker, marker.order) if marker else (key_marker, float("inf"))
    left = [one for one in ordered if one.key.startswith(prefix) and (not key_marker or (one.key, one.order) > after)]
    shown = left[:limit]
    answer = Element("ListMultipartUploadsResult").add("Bucket", place.bucket).add("KeyMarker", key_marker)
    answer.add("UploadIdMarker", query.get("upload-id-marker")).add("Prefix", prefix).add("MaxUploads", limit)
    answer.add("IsTruncated", len(left) > limit)
    if len(left) > limit and shown:
        answer.add("NextKeyMarker", shown[-1].key).add("NextUploadIdMarker", shown[-1].id)
    for upload in shown:
        item = Element("Upload").add("Key", upload.key).add("UploadId", upload.id)
        item.nest(_owner("Initiator")).nest(_owner("Owner")).add("StorageClass", "STANDARD")
        item.add("Initiated", upload.initiated)
        if upload.algorithm:
            item.add("ChecksumAlgorithm", upload.algorithm).add("ChecksumType", upload.checksum_type)
        answer.nest(item)
    return answer.answer()


def _abort(cloud: Cloud, place: Place, request: Request) -> Response:
    with cloud.lock:
        cloud.s3.end(place.bucket, _found(cloud, place, request))
    return Response(204)


def _complete(cloud: Cloud, place: Place, request: Request) -> Response:
    wanted = list(children(request.body.all(), "Part"))
    with cloud.lock:
        upload = _found(cloud, place, request)
        parts = tuple(_chosen(upload, entry) for entry in wanted)
        _check_parts(parts)
        check_not_there(request, exists=cloud.s3.find(place.bucket, place.key) is not None)
        size = request.header("x-amz-mp-object-size")
        if size and int(size) != sum(part.stored.size for part in parts):
            raise ApiError("InvalidRequest", "The provided 'x-amz-mp-object-size' header does not match the parts.")
        sums = _whole(upload, parts)
        _check_whole(upload, request, sums)
        item = Object(place.key, parts, multipart_etag(parts), upload.headers, sums, upload.checksum_type, upload.tags)
        cloud.s3.put(place.bucket, item)
        cloud.s3.end(place.bucket, upload, kept=parts)
    answer = Element("CompleteMultipartUploadResult").add("Location", f"/{place.bucket}/{place.key}")
    answer.add("Bucket", place.bucket).add("Key", place.key).add("ETag", f'"{item.etag}"')
    for algorithm, value in sums.items():
        answer.add(f"Checksum{algorithm}", value).add("ChecksumType", upload.checksum_type)
    return answer.answer()


def _chosen(upload: Upload, entry: Mapping[str, str]) -> Part:
    number = entry.get("PartNumber", "")
    if not number.isdigit() or "ETag" not in entry:
        raise ApiError("MalformedXML", "The XML you provided was not well-formed.")
    part = upload.parts.get(int(number))
    missing = "One or more of the specified parts could not be found."
    if part is None or part.etag != entry["ETag"].strip('"'):
        raise ApiError("InvalidPart", missing, fields={"PartNumber": number})
    for algorithm in ALGORITHMS:
        stated = entry.get(f"Checksum{algorithm}")
        known = part.stored.checksums.get(algorithm)
        if stated and (known is None or text(known) != stated):
            raise ApiError("InvalidPart", missing, fields={"PartNumber": number})
    if upload.algorithm and upload.checksum_type == "COMPOSITE" and not entry.get(f"Checksum{upload.algorithm}"):
        raise ApiError(
            "InvalidRequest",
            f"The upload was created using a {upload.algorithm.lower()} checksum. The complete request must include "
            f"the checksum for each part. It was missing for part {number} in the request.",
        )
    return part


def _check_parts(parts: tuple[Part, ...]) -> None:
    if not parts:
        raise ApiError("MalformedXML", "You must specify at least one part")
    numbers = [part.number for part in parts]
    if numbers != sorted(set(numbers)):
        raise ApiError("InvalidPartOrder", "The list of parts was not in ascending order.")
    for part in parts[:-1]:
        if part.stored.size < MIN_PART:
            raise ApiError(
                "EntityTooSmall",
                "Your proposed upload is smaller than the minimum allowed size",
                fields={"PartNumber": str(part.number), "ProposedSize": str(part.stored.size)},
            )


def _whole(upload: Upload, parts: tuple[Part, ...]) -> dict[Algorithm, str]:
    algorithm = upload.algorithm
    if algorithm is None:
        return {}
    digests = [part.stored.checksums[algorithm] for part in parts]
    if upload.checksum_type == "COMPOSITE":
        return {algorithm: composite(algorithm, digests)}
    sizes = [part.stored.size for part in parts]
    return {algorithm: full(algorithm, list(zip(digests, sizes, strict=True)))}


def _check_whole(upload: Upload, request: Request, sums: Mapping[Algorithm, str]) -> None:
    kind = request.header("x-amz-checksum-type")
    if kind and kind != upload.checksum_type:
        raise ApiError("InvalidRequest", f"The upload was created with the checksum type {upload.checksum_type}.")
    for algorithm, value in promised(request).items():
        if algorithm not in sums:
            raise ApiError("InvalidRequest", "The checksum is of another algorithm than the upload's.")
        # A composite may be stated with or without the number of parts.
        if value not in (sums[algorithm], sums[algorithm].split("-")[0]):
            raise ApiError("BadDigest", f"The {algorithm} you specified did not match the calculated checksum.")


OPERATIONS: dict[str, Callable[[Cloud, Place, Request], Response]] = {
    "CreateMultipartUpload": _create,
    "UploadPart": _upload_part,
    "ListParts": _list_parts,
    "ListMultipartUploads": _list_uploads,
    "AbortMultipartUpload": _abort,
    "CompleteMultipartUpload": _complete,
}
