# SPDX-License-Identifier: Apache-2.0
"""Where in S3 a request goes, and what of its headers stays with an object."""

from dataclasses import dataclass
from urllib.parse import parse_qsl

from lkcloud.sandbox.http import Request
from lkcloud_aws.sandbox.errors import ApiError

_KEPT = (
    "content-type", "content-disposition", "content-language", "cache-control", "expires",
    "x-amz-server-side-encryption", "x-amz-server-side-encryption-aws-kms-key-id", "x-amz-storage-class",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Place:
    """A bucket and a key; KEY "" = the bucket itself."""

    bucket: str
    key: str


def kept_headers(request: Request) -> dict[str, str]:
    """Return the headers that an object gives back: what it is, how it is kept, and the user's metadata."""
    found = {name.lower(): value for name, value in request.headers.items()}
    headers = {name: found[name] for name in _KEPT if name in found}
    encoding = found.get("content-encoding", "").replace("aws-chunked", "").strip(" ,")
    if encoding:
        headers["content-encoding"] = encoding
    headers.setdefault("content-type", "binary/octet-stream")
    return headers | {name: value for name, value in found.items() if name.startswith("x-amz-meta-")}


def header_tags(request: Request) -> dict[str, str]:
    """Return the tags of the header x-amz-tagging; at most ten, as S3 has it."""
    tags = dict(parse_qsl(request.header("x-amz-tagging"), keep_blank_values=True))
    check_tags(tags)
    return tags


def check_tags(tags: dict[str, str]) -> None:
    """Raise ApiError for tags that S3 refuses.

    https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-tagging.html
    """
    if len(tags) > 10:
        raise ApiError("BadRequest", "Object tags cannot be greater than 10")
    if any(not key or len(key) > 128 or len(value) > 256 or key.startswith("aws:") for key, value in tags.items()):
        raise ApiError("InvalidTag", "The tag provided was not a valid tag.")


def page_size(request: Request, name: str, limit: int) -> int:
    """Return the longest page that REQUEST asks for, at most LIMIT."""
    text = request.query.get(name, str(limit))
    if not text.isdigit():
        raise ApiError("InvalidArgument", f"Argument {name} must be an integer between 0 and 2147483647")
    return min(int(text), limit)


def check_not_there(request: Request, *, exists: bool) -> None:
    """Raise ApiError if the request wants the key to be free and it is taken.

    https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html
    """
    wanted = request.header("If-None-Match")
    if wanted and wanted != "*":
        raise ApiError("NotImplemented", "If-None-Match supports no other value than * when an object is written", 501)
    if wanted and exists:
        raise ApiError(
            "PreconditionFailed",
            "At least one of the pre-conditions you specified did not hold",
            412,
            fields={"Condition": "If-None-Match"},
        )
