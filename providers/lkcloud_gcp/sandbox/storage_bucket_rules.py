# SPDX-License-Identifier: Apache-2.0
"""What a bucket can be called, where it can be, and which settings it can have."""

import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from lkcloud.sandbox.xml_document import stamp
from lkcloud_gcp.sandbox.errors import ApiError
from lkcloud_gcp.sandbox.storage_call import invalid
from lkcloud_gcp.sandbox.storage_kms import check_key

_WRITABLE = (
    "storageClass", "iamConfiguration", "softDeletePolicy", "lifecycle", "encryption", "retentionPolicy", "labels",
    "versioning", "cors", "logging", "website", "billing", "defaultEventBasedHold", "autoclass", "rpo",
    "customPlacementConfig", "hierarchicalNamespace", "objectRetention", "ipFilter",
)  # fmt: skip
_MULTI_REGIONS = ("US", "EU", "ASIA")
_DUAL_REGIONS = ("ASIA1", "EUR4", "EUR5", "EUR7", "EUR8", "NAM4")
_REGION = re.compile(r"(AFRICA|ASIA|AUSTRALIA|EUROPE|ME|NORTHAMERICA|SOUTHAMERICA|US)-[A-Z]+\d{1,2}")
_LABEL_KEY = re.compile(r"[a-z][a-z0-9_-]{0,62}")
_LABEL_VALUE = re.compile(r"[a-z0-9_-]{0,63}")
_WEEK = 7 * 24 * 3600
_DAY = 24 * 3600


def check_bucket_name(name: str) -> None:
    """Raise ApiError if no bucket can have this name: https://docs.cloud.google.com/storage/docs/buckets#naming."""
    shape = re.fullmatch(r"[a-z0-9][a-z0-9._-]*[a-z0-9]", name)
    parts = name.split(".")
    long = len(name) > (222 if "." in name else 63) or any(len(part) > 63 for part in parts)
    bad = name.startswith("goog") or "google" in name or "g00gle" in name or re.fullmatch(r"\d+\.\d+\.\d+\.\d+", name)
    if not shape or len(name) < 3 or long or bad or ".." in name:
        raise ApiError(400, "invalid", f"Invalid bucket name: '{name}'", "InvalidBucketName")
    if "." in name:
        # Such a name is that of a domain, which the caller must have shown to own.
        message = "The bucket you tried to create is a domain name owned by another user."
        raise ApiError(403, "forbidden", message, "AccessDenied")


def location_type(location: str) -> str:
    """Return the kind of a location in capitals: https://docs.cloud.google.com/storage/docs/locations. Raises ApiError.

    Regions are known by their form, not by a list.
    """
    if location in _MULTI_REGIONS:
        return "multi-region"
    if location in _DUAL_REGIONS:
        return "dual-region"
    if _REGION.fullmatch(location):
        return "region"
    raise ApiError(
        400, "invalid", f"The specified location constraint is not valid: {location}", "InvalidLocationConstraint"
    )


def check_settings(document: Mapping[str, Any], location: str, now: datetime) -> dict[str, Any]:
    """Return the settings of a bucket by the resource that was sent, with their defaults. Raises ApiError."""
    settings = {key: document[key] for key in _WRITABLE if document.get(key) not in (None, {})}
    for key, value in settings.items():
        if key not in ("storageClass", "rpo", "cors", "defaultEventBasedHold") and not isinstance(value, Mapping):
            raise invalid(f"Invalid value for field {key}")
    settings.setdefault("storageClass", "STANDARD")
    settings["iamConfiguration"] = _access(settings.get("iamConfiguration", {}), now)
    settings["softDeletePolicy"] = _soft_delete(settings.get("softDeletePolicy", {}), now)
    if "retentionPolicy" in settings:
        settings["retentionPolicy"] = _retention(settings["retentionPolicy"], now)
    if "encryption" in settings:
        check_key(str(settings["encryption"].get("defaultKmsKeyName") or ""), location)
    _check_lifecycle(settings.get("lifecycle", {}))
    _check_labels(settings.get("labels", {}))
    return settings


def _access(given: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    prevention = given.get("publicAccessPrevention", "inherited")
    if prevention not in ("inherited", "enforced"):
        raise invalid(f"Invalid value for publicAccessPrevention: {prevention}")
    uniform: dict[str, Any] = {"enabled": bool(given.get("uniformBucketLevelAccess", {}).get("enabled", False))}
    if uniform["enabled"]:
        uniform["lockedTime"] = stamp(now + timedelta(days=90))
    # bucketPolicyOnly is what uniformBucketLevelAccess was called before; both are shown.
    return {
        "bucketPolicyOnly": dict(uniform),
        "uniformBucketLevelAccess": uniform,
        "publicAccessPrevention": prevention,
    }


def _seconds(name: str, value: object) -> int:
    try:
        return int(str(value))
    except ValueError:
        raise invalid(f"Invalid value for {name}: {value}") from None


def _soft_delete(given: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    # https://docs.cloud.google.com/storage/docs/soft-delete: 7 days unless said otherwise; 0, or 7 to 90 days.
    seconds = _seconds("retentionDurationSeconds", given.get("retentionDurationSeconds", _WEEK))
    if seconds and not _WEEK <= seconds <= 90 * _DAY:
        raise invalid("softDeletePolicy.retentionDurationSeconds must be 0, or from 7 to 90 days.")
    policy = {"retentionDurationSeconds": str(seconds)}
    return policy | {"effectiveTime": given.get("effectiveTime", stamp(now))} if seconds else policy


def _retention(given: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    # https://docs.cloud.google.com/storage/docs/bucket-lock: up to 100 years.
    seconds = _seconds("retentionPeriod", given.get("retentionPeriod", ""))
    if not 0 < seconds <= 3155760000:
        raise invalid("retentionPolicy.retentionPeriod must be from 1 second to 100 years.")
    return {"retentionPeriod": str(seconds), "effectiveTime": stamp(now), "isLocked": False}


def _check_lifecycle(lifecycle: Mapping[str, Any]) -> None:
    """Raise ApiError for rules that are none: https://docs.cloud.google.com/storage/docs/lifecycle. None is run."""
    for rule in lifecycle.get("rule", []):
        action = rule.get("action", {}).get("type", "")
        if action not in ("Delete", "SetStorageClass", "AbortIncompleteMultipartUpload"):
            raise invalid(f"Invalid argument: lifecycle action {action!r}")
        condition = rule.get("condition", {})
        if not condition:
            raise invalid("A lifecycle rule must have a condition.")
        if action == "AbortIncompleteMultipartUpload" and set(condition) - {"age", "matchesPrefix", "matchesSuffix"}:
            raise invalid(
                "AbortIncompleteMultipartUpload takes the conditions age, matchesPrefix and matchesSuffix only."
            )
        if "age" in condition and (not isinstance(condition["age"], int) or condition["age"] < 0):
            raise invalid(f"Invalid value for condition.age: {condition['age']!r}")


def _check_labels(labels: Mapping[str, Any]) -> None:
    # https://docs.cloud.google.com/storage/docs/tags-and-labels#bucket-labels; of international characters, none here.
    if len(labels) > 64:
        raise invalid("A bucket can have 64 labels.")
    for key, value in labels.items():
        if not _LABEL_KEY.fullmatch(str(key)) or not _LABEL_VALUE.fullmatch(str(value)):
            raise invalid(f"Invalid argument: label {key}={value}")
