# SPDX-License-Identifier: Apache-2.0
"""An object on its way: what a request says that it shall be, and the one place where objects come to be."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from lkcloud.sandbox.http import Request
from lkcloud_gcp.sandbox import authorization
from lkcloud_gcp.sandbox.cloud import Cloud
from lkcloud_gcp.sandbox.errors import ApiError
from lkcloud_gcp.sandbox.storage_call import Document, Preconditions, find_bucket, from_base64, invalid
from lkcloud_gcp.sandbox.storage_kms import check_key
from lkcloud_gcp.sandbox.store import Bucket, Bytes, StoredObject

SETTINGS = (
    "cacheControl", "contentDisposition", "contentEncoding", "contentLanguage", "customTime", "eventBasedHold",
    "temporaryHold", "storageClass", "retention",
)  # fmt: skip
"""The fields of the resource that a client sets, beside those that are attributes of their own."""

_METADATA_LIMIT = 8 * 1024
_STORAGE_CLASSES = ("STANDARD", "NEARLINE", "COLDLINE", "ARCHIVE", "MULTI_REGIONAL", "REGIONAL")


@dataclass(frozen=True, slots=True)
class Draft:
    """An object as it was asked for; CRC32C and MD5 are what its bytes must hash to, None if nothing was promised."""

    name: str
    content_type: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    kms_key: str = ""
    crc32c: int | None = None
    md5: bytes | None = None
    acl: bool = False
    """Whether it shall have an ACL."""

    def check_bytes(self, contents: Bytes) -> None:
        """Raise ApiError if CONTENTS are not what was promised."""
        check_promise(self.crc32c, self.md5, contents)


def check_promise(crc32c: int | None, md5: bytes | None, contents: Bytes) -> None:
    """Raise ApiError if CONTENTS do not have these hashes.

    400 with the reason `invalid`: https://docs.cloud.google.com/storage/docs/data-validation. The words are ours.
    """
    if crc32c not in (None, contents.crc32c):
        raise invalid(f"Provided CRC32C does not match the calculated one: {contents.crc32c:08x}.", "BadDigest")
    if md5 is not None and md5 != contents.md5:
        raise invalid("Provided MD5 hash does not match the calculated one.", "BadDigest")


def draft_of(document: Document, name: str, kms_key: str = "", acl: str = "") -> Draft:
    """Return the draft of an object called NAME by the resource that was sent, and by parameters. Raises ApiError."""
    check_name(name)
    metadata = document.get("metadata") or {}
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise invalid("Invalid value for field metadata")
    check_metadata(metadata)
    settings = {key: document[key] for key in SETTINGS if document.get(key) is not None}
    _check_class(str(settings.get("storageClass", "STANDARD")))
    crc, md5 = document.get("crc32c"), document.get("md5Hash")
    return Draft(
        name,
        str(document.get("contentType") or ""),
        metadata,
        settings,
        kms_key or str(document.get("kmsKeyName") or ""),
        int.from_bytes(from_base64("CRC32C", str(crc), 4), "big") if crc else None,
        from_base64("MD5", str(md5), 16) if md5 else None,
        bool(acl or document.get("acl")),
    )


def promised(request: Request) -> tuple[int | None, bytes | None]:
    """Return CRC32C and MD5 of the headers x-goog-hash and Content-MD5, None for those that are not there.

    https://docs.cloud.google.com/storage/docs/xml-api/reference-headers#xgooghash: both in one header, or in two.
    Raises ApiError.
    """
    crc, md5 = None, None
    for header in request.headers.get_all("x-goog-hash") or []:
        for word in header.split(","):
            kind, _, value = word.strip().partition("=")
            if kind == "crc32c":
                crc = int.from_bytes(from_base64("CRC32C", value, 4), "big")
            elif kind == "md5":
                md5 = from_base64("MD5", value, 16)
            else:
                raise invalid(f"Invalid x-goog-hash: {word}")
    if request.header("Content-MD5"):
        md5 = from_base64("MD5", request.header("Content-MD5"), 16)
    return crc, md5


def check_name(name: str) -> None:
    """Raise ApiError if no object can have this name: https://docs.cloud.google.com/storage/docs/objects#naming."""
    if not name:
        raise ApiError(400, "required", "Required", "InvalidArgument", location="name")
    bad = name in (".", "..") or name.startswith(".well-known/acme-challenge/") or re.search("[\r\n]", name)
    if bad or len(name.encode()) > 1024:
        raise invalid(f"Invalid object name: {name[:80]!r}", "InvalidObjectName")


def check_metadata(metadata: Mapping[str, str]) -> None:
    """Raise ApiError if there is more than 8 KiB: https://docs.cloud.google.com/storage/quotas#objects."""
    if sum(len(key.encode()) + len(value.encode()) for key, value in metadata.items()) > _METADATA_LIMIT:
        raise invalid("The metadata for the object is too large; the limit is 8 KiB.", "MetadataTooLarge")


def _check_class(name: str) -> None:
    if name not in _STORAGE_CLASSES:
        raise invalid(f"Invalid argument: storage class {name}")


def check_acl(bucket: Bucket, *, wanted: bool) -> None:
    """Raise ApiError if an ACL is WANTED in a bucket with uniform access; elsewhere it is taken, and not looked at."""
    if wanted and bucket.settings["iamConfiguration"]["uniformBucketLevelAccess"]["enabled"]:
        raise invalid(
            "Cannot insert legacy ACL for an object when uniform bucket-level access is enabled. Read more at "
            "https://cloud.google.com/storage/docs/uniform-bucket-level-access"
        )


def make(
    cloud: Cloud, bucket_name: str, draft: Draft, contents: Bytes, preconditions: Preconditions, *, components: int = 0
) -> StoredObject:
    """Make the object of CONTENTS, which stay as they are if it cannot be made. Raises ApiError.

    COMPONENTS is the number of objects that it is composed of, 0 for other ones.
    """
    draft.check_bytes(contents)
    now = datetime.now(UTC)
    with cloud.lock:
        bucket = find_bucket(cloud, bucket_name)
        check_acl(bucket, wanted=draft.acl)
        existing = bucket.objects.get(draft.name)
        preconditions.check_new(existing)
        if existing:
            authorization.require(cloud, "storage.objects.delete", bucket_name)
            check_retention(bucket, existing)
        kms_key = draft.kms_key or str(bucket.settings.get("encryption", {}).get("defaultKmsKeyName", ""))
        check_key(kms_key, bucket.location)
        storage_class = draft.settings.get("storageClass") or bucket.settings.get("storageClass", "STANDARD")
        item = StoredObject(
            bucket.name,
            draft.name,
            cloud.store.next_generation(),
            contents,
            draft.content_type,
            dict(draft.metadata),
            components or None,
            kms_key,
            now,
            now,
            settings={**draft.settings, "storageClass": storage_class},
        )
        cloud.store.put(item)
    return item


def retained_until(bucket: Bucket, item: StoredObject) -> datetime | None:
    """Return until when the bucket's retention policy keeps ITEM, None if there is none."""
    policy = bucket.settings.get("retentionPolicy") or {}
    seconds = int(policy.get("retentionPeriod", 0))
    return item.created + timedelta(seconds=seconds) if seconds else None


def check_retention(bucket: Bucket, item: StoredObject) -> None:
    """Raise ApiError if ITEM cannot be deleted or replaced: https://docs.cloud.google.com/storage/docs/bucket-lock."""
    until = retained_until(bucket, item)
    place = f"Object '{bucket.name}/{item.name}'"
    if until and until > datetime.now(UTC):
        message = f"{place} is subject to bucket's retention policy and cannot be deleted, overwritten or archived "
        message += f"until {until.isoformat()}"
        raise ApiError(403, "retentionPolicyNotMet", message, "RetentionPolicyNotMet")
    if item.settings.get("temporaryHold") or item.settings.get("eventBasedHold"):
        message = f"{place} is under active hold and cannot be deleted, overwritten or archived until hold is removed."
        raise ApiError(403, "objectUnderActiveHold", message, "ObjectUnderActiveHold")
