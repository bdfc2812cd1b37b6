# SPDX-License-Identifier: Apache-2.0
"""Names of keys of Cloud KMS, and which of them a bucket can use."""

import re

from lkcloud_gcp.sandbox.errors import ApiError

_KEY = re.compile(r"projects/[^/]+/locations/(?P<location>[^/]+)/keyRings/[\w-]{1,63}/cryptoKeys/[\w-]{1,63}")
_MULTI_REGIONS = {"us": "us", "eu": "europe", "asia": "asia"}
"""What Cloud KMS calls the multi-regions of Cloud Storage (https://docs.cloud.google.com/kms/docs/locations)."""


def check_key(name: str, location: str) -> None:
    """Raise ApiError unless NAME is "" or a key at the LOCATION of a bucket.

    https://docs.cloud.google.com/storage/docs/encryption/customer-managed-keys: the key must be at the location of the
    data; for a predefined dual-region such as NAM4 it is the KMS location of that name. The words are ours.
    """
    if not name:
        return
    match = _KEY.fullmatch(name)
    if match is None:
        raise ApiError(400, "invalid", f"Malformed Cloud KMS crypto key: {name}", "InvalidArgument")
    wanted = _MULTI_REGIONS.get(location.lower(), location.lower())
    if match["location"] != wanted:
        message = f"Cannot use the key {name}: the bucket is in {location}, the key in {match['location']}."
        raise ApiError(400, "invalid", message, "InvalidArgument")
