# SPDX-License-Identifier: Apache-2.0
"""What Google Cloud would refuse, or never boot, as far as it can be known without asking Google.

Names, labels, features: https://cloud.google.com/compute/docs/reference/rest/v1/images. What a disk must have to boot
is in `validation_boot`.
"""

import re
from collections.abc import Iterator

from lkcloud.provider import Finding, Source
from lkcloud_gcp import validation_boot
from lkcloud_gcp.naming import IMAGE_NAME
from lkcloud_gcp.options import GcpOptions

GIB = 1024**3

MAX_GIB = 65_536
"""The largest persistent disk (https://cloud.google.com/compute/docs/disks, 64 TiB); of a tarball no limit is told."""

_MAX_DESCRIPTION = 2048
_OWN_LABELS = 2
_MAX_LABELS = 64
"""https://cloud.google.com/compute/docs/labeling-resources#requirements."""

_BUCKET = re.compile(r"[a-z0-9]([a-z0-9._-]*[a-z0-9])")
_ADDRESS = re.compile(r"\d{1,3}(\.\d{1,3}){3}")
"""https://cloud.google.com/storage/docs/buckets#naming: 3 to 63 characters, or 222 with dots, each piece at most 63;
no IP address, no `goog` in front and no `google` in it."""

_PREFIX = re.compile(r"((?!\.\.?/)[A-Za-z0-9._~-]+/)*[A-Za-z0-9._~-]*")
"""What a URL has as it is (RFC 3986, 2.3): images.insert takes the tarball by URL, and is documented with plain names.

What it makes of one with an escape, or with a character that wants one, is not known.
"""
_MAX_OBJECT = 1024
_SUFFIX = 64 + len("/.parts/000000")
"""Bytes that lkcloud itself needs of an object's name, beside prefix and image."""

_KEY = re.compile(
    r"projects/[^/]+/locations/(?P<location>[a-z0-9-]+)/keyRings/[A-Za-z0-9_-]+/cryptoKeys/[A-Za-z0-9_-]+"
    r"(?P<version>/cryptoKeyVersions/[0-9]+)?"
)
_KEY_HINT = "give projects/P/locations/L/keyRings/R/cryptoKeys/K, see `gcloud kms keys list`"
_KEY_LOCATIONS = {"eu": "europe"}
"""Where Cloud KMS calls a multi-region of Cloud Storage otherwise."""

_LICENSE = re.compile(r"(https://(www|compute)\.[a-z0-9.-]+/compute/v1/)?projects/[^/]+/global/licenses/[^/]+")
_LOCATION = re.compile(r"[a-z]+[0-9]?(-[a-z]+[0-9]+)?")
_ZONE = re.compile(r"[a-z]+(-[a-z]+)+[0-9]+-[a-z]")

_MEMBER = re.compile(
    r"(user|group|serviceAccount):[^@\s]+@[^@\s]+\.[^@\s]+"
    r"|serviceAccount:[^@\s]+\[[^@\s]+/[^@\s]+\]"
    r"|domain:[^@\s:/]+\.[^@\s:/]+"
    r"|principal(Set)?://\S+"
)
"""https://cloud.google.com/iam/docs/principal-identifiers, those that can stand in a policy of a resource."""


def gib(size: int) -> int:
    """Return the GiB of the smallest disk that holds SIZE bytes."""
    return -(-size // GIB)


def validate(options: GcpOptions, source: Source) -> Iterator[Finding]:
    """Yield what stands in the way of making SOURCE an image with OPTIONS."""
    yield from _names(options, source)
    size = gib(source.disk.size)
    if not size:
        yield Finding("the image is empty", "give a disk image with at least one byte")
    elif size > MAX_GIB:
        yield Finding(f"the disk is {size} GiB and Google Cloud takes {MAX_GIB}", "make the disk smaller")
    yield from _bucket(options, source)
    yield from _keys(options)
    yield from _sharing(options)
    yield from validation_boot.validate(options, source.facts)


def suggestion(name: str) -> str:
    """Return a name like NAME that Google Cloud takes, "" if nothing is left of it."""
    text = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
    text = text if not text or text[0].isalpha() else f"image-{text}"
    return text[:63].rstrip("-")


def _names(options: GcpOptions, source: Source) -> Iterator[Finding]:
    rule = "1 to 63 lower-case letters, digits and -, a letter first and no - last"
    if not IMAGE_NAME.fullmatch(source.name):
        better = suggestion(source.name)
        yield Finding(
            f"Google Cloud does not take {source.name!r} as the name of an image",
            f"give --name {better}" if better else f"use {rule}",
        )
    if options.family is not None and not IMAGE_NAME.fullmatch(options.family):
        yield Finding(f"Google Cloud does not take {options.family!r} as the name of a family", f"use {rule}")
    if len(source.description) > _MAX_DESCRIPTION:
        yield Finding(
            f"the description has {len(source.description)} characters and Google Cloud takes {_MAX_DESCRIPTION}",
            "shorten --description",
        )
    if len(options.label) + _OWN_LABELS > _MAX_LABELS:
        yield Finding(
            f"{len(options.label)} labels and the {_OWN_LABELS} of lkcloud are more than the {_MAX_LABELS} of an image",
            f"give at most {_MAX_LABELS - _OWN_LABELS} labels",
        )
    for license_ in options.license:
        if not _LICENSE.fullmatch(license_):
            yield Finding(f"{license_!r} is no licence", "give projects/PROJECT/global/licenses/NAME")
    for location in options.storage_location:
        if not _LOCATION.fullmatch(location):
            yield Finding(
                f"{location!r} is no storage location", "give a region or multi-region in lower case, such as eu"
            )
    if not _ZONE.fullmatch(options.zone):
        yield Finding(f"{options.zone!r} is no zone", "give one like europe-west3-a, see `gcloud compute zones list`")


def _bucket(options: GcpOptions, source: Source) -> Iterator[Finding]:
    if options.bucket is not None and (problem := _bucket_problem(options.bucket)):
        yield Finding(f"{options.bucket!r} is no name of a bucket: {problem}", "give its name alone, without gs://")
    if not _PREFIX.fullmatch(options.object_prefix):
        yield Finding(
            f"--object-prefix {options.object_prefix!r} cannot be used",
            "use letters, digits, - . _ ~ and / between them, as in images/linux/",
        )
    if len(f"{options.object_prefix}{source.name}".encode()) + _SUFFIX > _MAX_OBJECT:
        yield Finding("the names of the objects would be too long", "give a shorter --object-prefix")
    if options.bucket is None and not re.fullmatch(r"[A-Za-z]+[0-9]*(-[A-Za-z]+[0-9]+)?", options.bucket_location):
        yield Finding(
            f"{options.bucket_location!r} is no location of a bucket", "give one like EU, EUR4 or europe-west3"
        )


def _bucket_problem(name: str) -> str:
    longest = 222 if "." in name else 63
    if not _BUCKET.fullmatch(name) or ".." in name:
        return "it has lower-case letters, digits, - _ and ., with a letter or digit at both ends"
    if not 3 <= len(name) <= longest or any(len(piece) > 63 for piece in name.split(".")):
        return "it has 3 to 63 characters, or 222 with dots"
    if _ADDRESS.fullmatch(name):
        return "it is an IP address"
    return ""


def _keys(options: GcpOptions) -> Iterator[Finding]:
    if options.kms_service_account is not None and not options.kms_key:
        yield Finding("there is a service account for a KMS key and no key", "add --kms-key")
    elif options.kms_service_account is not None and "@" not in options.kms_service_account:
        yield Finding(f"{options.kms_service_account!r} is no service account", "give its e-mail address")
    if options.kms_key is not None and not _KEY.fullmatch(options.kms_key):
        yield Finding("--kms-key is no name of a key", _KEY_HINT)
    if options.object_kms_key is None:
        return
    key = _KEY.fullmatch(options.object_kms_key)
    if key is None or key["version"]:
        yield Finding("--object-kms-key is no name of a key without a version", _KEY_HINT)
    elif options.bucket is None:
        # https://cloud.google.com/storage/docs/encryption/customer-managed-keys: key and data are in one location.
        location = options.bucket_location.lower()
        wanted = _KEY_LOCATIONS.get(location, location)
        if key["location"] != wanted:
            yield Finding(
                f"the key of the objects is in {key['location']} and the bucket would be in {options.bucket_location}",
                f"give a key in {wanted}, or another --bucket-location",
            )


def _sharing(options: GcpOptions) -> Iterator[Finding]:
    for member in options.share_with:
        if member in ("allUsers", "allAuthenticatedUsers"):
            yield Finding(f"{member} is everybody", "give --public instead of --share-with")
        elif not _MEMBER.fullmatch(member):
            yield Finding(
                f"{member!r} is nobody to share with",
                "give user:EMAIL, group:EMAIL, serviceAccount:EMAIL, domain:NAME, principal://... or principalSet://...",
            )
    if options.kms_key and (options.public or options.share_with):
        yield Finding(
            "an image with a KMS key can be used only by those who may use the key as well",
            "let their Compute Engine service agents use the key, or leave out --kms-key",
            obstacle=False,
        )
