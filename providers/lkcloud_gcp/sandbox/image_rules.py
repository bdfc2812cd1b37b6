# SPDX-License-Identifier: Apache-2.0
"""What images.insert, images.patch and images.deprecate accept.

https://cloud.google.com/compute/docs/reference/rest/v1/images and the texts of google-cloud-compute's model.
"""

import base64
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from urllib.parse import unquote, urlsplit

from lkcloud_gcp.sandbox.compute_call import invalid, required
from lkcloud_gcp.sandbox.errors import ApiError
from lkcloud_gcp.sandbox.image import Deprecation, InitialState, KeyFile, Source, Specification

NAME = r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?"
FEATURES = (
    "BARE_METAL_LINUX_COMPATIBLE",
    "BMSAI_CAPABLE",
    "CCA_CAPABLE",
    "GVNIC",
    "IDPF",
    "MULTI_IP_SUBNET",
    "SEV_CAPABLE",
    "SEV_LIVE_MIGRATABLE",
    "SEV_LIVE_MIGRATABLE_V2",
    "SEV_SNP_CAPABLE",
    "SNP_SVSM_CAPABLE",
    "SUSPEND_SAFE_FPR",
    "TDX_CAPABLE",
    "UEFI_COMPATIBLE",
    "VIRTIO_SCSI_MULTIQUEUE",
    "WINDOWS",
)
"""GuestOsFeature.Type but for SECURE_BOOT, which Google took back (hashicorp/packer#9371)."""

_X86_ONLY = re.compile(r"SEV_.*|TDX_.*|SNP_.*")
_LICENSE = re.compile(
    r"(https://(www|compute)\.googleapis\.com/compute/[a-z0-9]+/)?projects/[^/]+/global/licenses/[^/]+"
)
_KMS_KEY = re.compile(r"projects/[^/]+/locations/[^/]+/keyRings/[^/]+/cryptoKeys/[^/]+")
_LOCATION = re.compile(r"asia|eu|us|[a-z]+-[a-z]+[0-9]+")
_STATES = ("ACTIVE", "DEPRECATED", "OBSOLETE", "DELETED")
_OTHER_SOURCES = ("sourceDisk", "sourceImage", "sourceSnapshot")

Body = Mapping[str, Any]


def specification(body: Body) -> Specification:
    """Return what BODY wants to make. Raises ApiError as Compute Engine does."""
    if not body.get("name"):
        raise required("resource.name")
    check_name(str(body["name"]), "resource.name")
    if body.get("family"):
        check_name(str(body["family"]), "resource.family")
    architecture = str(body.get("architecture") or "")
    if architecture not in ("", "X86_64", "ARM64", "ARCHITECTURE_UNSPECIFIED"):
        raise invalid("resource.architecture", architecture, "Must be one of X86_64, ARM64")
    if str(body.get("sourceType") or "RAW") != "RAW":
        raise invalid("resource.sourceType", str(body["sourceType"]), "Must be RAW")
    kms_key, account = _encryption(body.get("imageEncryptionKey") or {})
    return Specification(
        name=str(body["name"]),
        source=_source(body),
        description=str(body.get("description") or ""),
        family=str(body.get("family") or ""),
        architecture=architecture if architecture != "ARCHITECTURE_UNSPECIFIED" else "",
        features=_features(body.get("guestOsFeatures") or [], architecture),
        licenses=_licenses(body.get("licenses") or []),
        locations=_locations(body.get("storageLocations") or []),
        initial_state=_initial_state(body.get("shieldedInstanceInitialState")),
        kms_key=kms_key,
        kms_service_account=account,
        disk_size_gb=int(body.get("diskSizeGb") or 0),
    )


def check_name(name: str, where: str) -> str:
    """Return NAME. Raises ApiError if no resource can be called so."""
    if not re.fullmatch(NAME, name):
        raise invalid(where, name, "Must be a match of regex '(?:[a-z](?:[-a-z0-9]{0,61}[a-z0-9])?)'")
    return name


def _source(body: Body) -> Source:
    raw = body.get("rawDisk") or {}
    given = [name for name in _OTHER_SOURCES if body.get(name)] + (["rawDisk"] if raw else [])
    if len(given) != 1:
        # ansible-collections/google.cloud#378
        why = "Invalid resource usage: 'Must specify exactly one source for an image.'."
        raise ApiError(400, "invalidResourceUsage", why)
    if given != ["rawDisk"]:
        raise invalid(f"resource.{given[0]}", str(body[given[0]]), "The sandbox makes images from rawDisk only.")
    if str(raw.get("containerType") or "TAR") != "TAR":
        raise invalid("resource.rawDisk.containerType", str(raw["containerType"]), "Must be TAR")
    url = str(raw.get("source") or "")
    if not url:
        raise required("resource.rawDisk.source")
    if raw.get("sha1Checksum"):
        raise invalid("resource.rawDisk.sha1Checksum", "", "This field is deprecated; the sandbox does not know it.")
    bucket, name = _object(url)
    # clearml/clearml-server#39
    if not name.endswith(".tar.gz"):
        raise invalid("resource.rawDisk.source", url, "The provided source is not a supported file.")
    return Source(bucket, name, url)


def _object(url: str) -> tuple[str, str]:
    """Return bucket and name of the object that URL means.

    The reference has https://storage.googleapis.com/BUCKET/OBJECT; gcloud sends the form of the JSON API. A gs:// URL
    is in no document of the API.
    """
    parts = urlsplit(url)
    path = parts.path
    json_api = re.fullmatch(r"/storage/v1/b/([^/]+)/o/(.+)", path)
    if parts.scheme == "https" and not parts.query:
        if json_api and parts.netloc in ("www.googleapis.com", "storage.googleapis.com"):
            return unquote(json_api[1]), unquote(json_api[2])
        bucket, _, name = path.removeprefix("/").partition("/")
        if parts.netloc == "storage.googleapis.com" and bucket and name:
            return bucket, unquote(name)
    # fog/fog-google#22
    why = "The provided source location was not a valid Google Cloud Storage object reference."
    raise invalid("resource.rawDisk.source", url, why)


def _features(wanted: Sequence[Body], architecture: str) -> tuple[str, ...]:
    features = [str(feature.get("type") or "") for feature in wanted]
    for position, feature in enumerate(features):
        where = f"resource.guestOsFeatures[{position}].type"
        if feature not in FEATURES:
            raise invalid(where, feature, f"Must be one of {', '.join(FEATURES)}")
        if architecture == "ARM64" and _X86_ONLY.fullmatch(feature):
            # Stricter than the cloud: it has taken such images by mistake (coreos/fedora-coreos-tracker#2106).
            raise invalid(where, feature, "The feature is not supported by the architecture ARM64.")
    return tuple(features)


def _licenses(wanted: Sequence[str]) -> tuple[str, ...]:
    for position, text in enumerate(wanted):
        if not _LICENSE.fullmatch(text):
            raise invalid(f"resource.licenses[{position}]", text, "The URL is malformed.")
    return tuple(wanted)


def _locations(wanted: Sequence[str]) -> tuple[str, ...]:
    for text in wanted:
        if not _LOCATION.fullmatch(text):
            raise invalid("resource.storageLocations", text, "Must be a region or one of asia, eu, us")
    # "If you don't specify one, the multi-region closest to the source": the sandbox's buckets are in US.
    return tuple(wanted) or ("us",)


def _initial_state(wanted: Body | None) -> InitialState | None:
    if not wanted:
        return None
    where = "resource.shieldedInstanceInitialState"
    lists = [
        tuple(_key(key, f"{where}.{name}[{position}]") for position, key in enumerate(wanted.get(name) or []))
        for name in ("keks", "dbs", "dbxs")
    ]
    pk = _key(wanted["pk"], f"{where}.pk") if wanted.get("pk") else None
    return InitialState(pk, *lists)


def _key(wanted: Body, where: str) -> KeyFile:
    content, file_type = str(wanted.get("content") or ""), str(wanted.get("fileType") or "")
    if file_type not in ("X509", "BIN"):
        raise invalid(f"{where}.fileType", file_type, "Must be one of X509, BIN")
    try:
        decoded = base64.b64decode(content, validate=True)
    except ValueError:
        decoded = b""
    if not decoded:
        raise invalid(f"{where}.content", content, "Must be base64 of a key file")
    return KeyFile(content, file_type)


def _encryption(wanted: Body) -> tuple[str, str]:
    for name in ("rawKey", "rsaEncryptedKey"):
        if wanted.get(name):
            # CustomerEncryptionKey: "CSEK is no longer supported. Use CMEK instead."
            raise invalid(f"resource.imageEncryptionKey.{name}", "", "Customer-supplied keys are not supported.")
    key, account = str(wanted.get("kmsKeyName") or ""), str(wanted.get("kmsKeyServiceAccount") or "")
    if wanted and not _KMS_KEY.fullmatch(key):
        raise invalid("resource.imageEncryptionKey.kmsKeyName", key, "The key name is malformed.")
    return key, account


def deprecation(body: Body) -> Deprecation:
    """Return the deprecation status that BODY has. Raises ApiError."""
    state, replacement = str(body.get("state") or ""), str(body.get("replacement") or "")
    if state not in ("", *_STATES):
        raise invalid("resource.state", state, f"Must be one of {', '.join(_STATES)}")
    if replacement and not re.fullmatch(rf"(https://.+/)?(projects/[^/]+/)?global/images/{NAME}", replacement):
        raise invalid("resource.replacement", replacement, "The URL is malformed.")
    dates = {name: str(body.get(name) or "") for name in ("deprecated", "obsolete", "deleted")}
    for name, text in dates.items():
        if text and not _rfc3339(text):
            raise invalid(f"resource.{name}", text, "Must be a timestamp in RFC 3339 text format")
    return Deprecation(state, replacement, **dates)


def _rfc3339(text: str) -> bool:
    try:
        return "T" in text and datetime.fromisoformat(text).tzinfo is not None
    except ValueError:
        return False
