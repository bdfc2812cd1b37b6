# SPDX-License-Identifier: Apache-2.0
"""What must hold for a request to be done.

https://learn.microsoft.com/rest/api/storageservices/specifying-conditional-headers-for-blob-service-operations
"""

from datetime import datetime
from email.utils import parsedate_to_datetime

from lkcloud_azure.sandbox.errors import ApiError
from lkcloud_azure.sandbox.own_blobs_call import Call, bad_header
from lkcloud_azure.sandbox.store import Entry, StoredBlob

_MOST = (1 << 63) - 1


def check_new(call: Call, existing: StoredBlob | None) -> None:
    """Raise ApiError if a blob must not be made now in place of EXISTING, or of none."""
    if existing is None:
        # What is not there has no ETag and no time.
        if call.header("If-Match"):
            raise _not_met()
        return
    if call.header("If-None-Match").strip() == "*":
        raise ApiError(409, "BlobAlreadyExists", "The specified blob already exists.")
    check(call, existing)


def check(call: Call, entry: Entry, *, reading: bool = False) -> None:
    """Raise ApiError if ENTRY must not be read or changed now; for a reader that has it already, it is 304."""
    match, none_match = call.header("If-Match"), call.header("If-None-Match")
    since, unmodified = _date(call, "If-Modified-Since"), _date(call, "If-Unmodified-Since")
    modified = entry.modified.replace(microsecond=0)
    if (match and not _among(entry.etag, match)) or (unmodified and modified > unmodified):
        raise _not_met()
    # The formula of that page: If-Match && If-Unmodified-Since && (If-None-Match || If-Modified-Since)
    wanted = [not _among(entry.etag, none_match)] if none_match else []
    wanted += [modified > since] if since else []
    if wanted and not any(wanted):
        if reading:
            message = "The condition specified using HTTP conditional header(s) is not met."
            raise ApiError(304, "ConditionNotMet", message, {"ETag": entry.etag})
        raise _not_met()


def check_sequence_number(call: Call, blob: StoredBlob) -> None:
    """Raise ApiError if the sequence number of BLOB is not what the headers say."""
    number = blob.sequence_number
    less, most, equal = (call.number(f"x-ms-if-sequence-number-{how}", least=-_MOST) for how in ("lt", "le", "eq"))
    if any(one is not None and one < 0 for one in (less, most, equal)):
        # TestBlobPutPagesIfSequenceNumberLessThanNegOne of Azure/azure-sdk-for-go, recorded from the service.
        raise ApiError(400, "InvalidInput", "One of the request inputs is not valid.")
    if (
        (less is not None and not number < less)
        or (most is not None and not number <= most)
        or (equal is not None and number != equal)
    ):
        message = "The sequence number condition specified was not met."
        raise ApiError(412, "SequenceNumberConditionNotMet", message)


def _among(etag: str, header: str) -> bool:
    if header.strip() == "*":
        return True
    return etag.strip('"') in (one.strip().removeprefix("W/").strip('"') for one in header.split(","))


def _date(call: Call, name: str) -> datetime | None:
    text = call.header(name)
    if not text:
        return None
    try:
        when = parsedate_to_datetime(text)
    except ValueError:
        raise bad_header(name, text) from None
    if when.tzinfo is None:
        raise bad_header(name, text)
    return when


def _not_met() -> ApiError:
    return ApiError(412, "ConditionNotMet", "The condition specified using HTTP conditional header(s) is not met.")
