# SPDX-License-Identifier: Apache-2.0
"""One request to the blob service, taken apart: https://learn.microsoft.com/rest/api/storageservices/blob-service-rest-api."""

import base64
import re
import xml.etree.ElementTree as ET
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from email.utils import format_datetime
from typing import Literal
from urllib.parse import unquote

from lkcloud.sandbox.http import Request, Response
from lkcloud_azure.sandbox.errors import ApiError
from lkcloud_azure.sandbox.store import Account, Container, Entry, Store, StoredBlob
from lkcloud_azure.sandbox.windows import Windows

Scope = Literal["service", "container", "blob"]

_RANGE = re.compile(r"bytes=(\d+)-(\d*)")
_METADATA = "x-ms-meta-"
_IDENTIFIER = re.compile(r"[A-Za-z_]\w*", re.ASCII)
"""Names of metadata are C# identifiers:
https://learn.microsoft.com/rest/api/storageservices/naming-and-referencing-containers--blobs--and-metadata."""
_METADATA_LIMIT = 8 * 1024
"""Bytes of names and values: https://learn.microsoft.com/rest/api/storageservices/set-blob-metadata."""


@dataclass(frozen=True, slots=True)
class Address:
    """What the path of a request names; "" for what it does not."""

    account: str
    container: str
    blob: str

    @classmethod
    def of(cls, raw_path: str) -> "Address":
        """Take apart /ACCOUNT/CONTAINER/BLOB, percent-encoded; a blob's name may have further slashes."""
        account, _, rest = raw_path.removeprefix("/").partition("/")
        container, _, blob = rest.partition("/")
        return cls(unquote(account), unquote(container), unquote(blob))

    @property
    def scope(self) -> Scope:
        """What kind of thing it is."""
        return "blob" if self.blob else "container" if self.container else "service"


@dataclass(frozen=True, slots=True)
class Call:
    """A request to a storage account that has been let in."""

    store: Store
    windows: Windows
    request: Request
    address: Address
    operation: str
    permissions: str = ""
    """Of the shared access signature that let it in; "" for other ways."""

    def header(self, name: str) -> str:
        """Return a header, "" if it was not sent."""
        return self.request.header(name)

    @property
    def lease(self) -> str:
        """The lease id that was given, "" if none."""
        return self.header("x-ms-lease-id").lower()

    def account(self) -> Account:
        """Return the account. Raises ApiError."""
        found = self.store.accounts.get(self.address.account)
        if found is None:
            # Azure's own accounts are host names, which do not resolve then.
            raise ApiError(404, "ResourceNotFound", "The specified resource does not exist.")
        return found

    def container(self) -> Container:
        """Return the container; the caller holds the lock. Raises ApiError."""
        found = self.account().containers.get(self.address.container)
        if found is None:
            raise ApiError(404, "ContainerNotFound", "The specified container does not exist.")
        return found

    def blob(self) -> StoredBlob:
        """Return the blob; the caller holds the lock. Raises ApiError."""
        if "snapshot" in self.request.query or "versionid" in self.request.query:
            raise not_here("snapshots and versions of blobs")
        found = self.container().blobs.get(self.address.blob)
        if found is None:
            raise ApiError(404, "BlobNotFound", "The specified blob does not exist.")
        return found

    def metadata(self) -> dict[str, str]:
        """Return the metadata of the headers. Raises ApiError."""
        found = {
            name[len(_METADATA) :]: value
            for name, value in self.request.headers.items()
            if name.lower().startswith(_METADATA)
        }
        if "" in found:
            raise ApiError(400, "EmptyMetadataKey", "The key for one of the metadata key-value pairs is empty.")
        if not all(_IDENTIFIER.fullmatch(name) for name in found):
            message = "The metadata specified is invalid. It has characters that are not permitted."
            raise ApiError(400, "InvalidMetadata", message)
        if sum(len(name) + len(value.encode()) for name, value in found.items()) > _METADATA_LIMIT:
            message = "The size of the specified metadata exceeds the maximum size permitted."
            raise ApiError(400, "MetadataTooLarge", message)
        return found

    def number(self, name: str, *, least: int = 0, most: int = (1 << 63) - 1) -> int | None:
        """Return a header that is a number, None if it was not sent. Raises ApiError."""
        text = self.header(name)
        if not text:
            return None
        if not re.fullmatch(r"-?\d{1,19}", text) or not least <= int(text) <= most:
            raise bad_header(name, text)
        return int(text)

    def range(self) -> tuple[str, int, int | None] | None:
        """Return the range of bytes that is asked for: the header's name, start and end, which is inclusive or None.

        https://learn.microsoft.com/rest/api/storageservices/specifying-the-range-header-for-blob-service-operations:
        x-ms-range goes before Range, and there is no form that counts from the end. Raises ApiError.
        """
        for name in ("x-ms-range", "Range"):
            if text := self.header(name):
                match = _RANGE.fullmatch(text.strip())
                if match is None or (match[2] and int(match[2]) < int(match[1])):
                    raise bad_header(name, text)
                return name, int(match[1]), int(match[2]) if match[2] else None
        return None


def bad_header(name: str, value: str) -> ApiError:
    """Return what is said of a header whose value cannot be used."""
    message = "The value for one of the HTTP headers is not in the correct format."
    return ApiError(400, "InvalidHeaderValue", message, more={"HeaderName": name, "HeaderValue": value})


def missing_header(name: str) -> ApiError:
    """Return what is said if a header is not there."""
    message = "An HTTP header that's mandatory for this request is not specified."
    return ApiError(400, "MissingRequiredHeader", message, more={"HeaderName": name})


def bad_parameter(name: str, value: str, reason: str) -> ApiError:
    """Return what is said of a parameter in the query whose value cannot be used."""
    more = {"QueryParameterName": name, "QueryParameterValue": value, "Reason": reason}
    message = "Value for one of the query parameters specified in the request URI is invalid."
    return ApiError(400, "InvalidQueryParameterValue", message, more=more)


def not_here(what: str) -> ApiError:
    """Return what is said of a part of the service that the sandbox does not have."""
    return ApiError(501, "NotImplemented", f"The sandbox does not have {what}.")


def not_authenticated(detail: str) -> ApiError:
    """Return what is said of a signature that is not good."""
    message = (
        "Server failed to authenticate the request. Make sure the value of Authorization header is formed correctly "
        "including the signature."
    )
    return ApiError(403, "AuthenticationFailed", message, more={"AuthenticationErrorDetail": detail})


def not_permitted() -> ApiError:
    """Return what is said to who may do other things, and not this."""
    message = "This request is not authorized to perform this operation using this permission."
    return ApiError(403, "AuthorizationPermissionMismatch", message)


def check_md5(header: str, digest: bytes) -> None:
    """Raise ApiError if HEADER, the Content-MD5 of a body, is not its DIGEST."""
    if from_base64("Content-MD5", header, 16, "InvalidMd5") != digest:
        message = "The MD5 value specified in the request did not match with the MD5 value calculated by the server."
        more = {"UserSpecifiedMd5": header, "ServerCalculatedMd5": to_base64(digest)}
        raise ApiError(400, "Md5Mismatch", message, more=more)


def date(when: datetime) -> str:
    """Return a time as headers and lists have it."""
    return format_datetime(when, usegmt=True)


def tags(entry: Entry) -> dict[str, str]:
    """Return the headers that say which state of ENTRY it is."""
    return {"ETag": entry.etag, "Last-Modified": date(entry.modified)}


def metadata_headers(metadata: Mapping[str, str]) -> dict[str, str]:
    """Return metadata as headers."""
    return {f"{_METADATA}{name}": value for name, value in metadata.items()}


def from_base64(name: str, text: str, size: int, code: str = "") -> bytes:
    """Return SIZE bytes that the header NAME has as TEXT. Raises ApiError, with CODE if it is given."""
    try:
        value = base64.b64decode(text, validate=True)
    except ValueError:
        value = b""
    if len(value) != size:
        if code:
            raise ApiError(400, code, f"The {name} value specified in the request is invalid.")
        raise bad_header(name, text)
    return value


def to_base64(value: bytes) -> str:
    """Return a checksum as it is sent."""
    return base64.b64encode(value).decode()


def document(root: ET.Element, headers: Mapping[str, str] | None = None) -> Response:
    """Return an XML document as an answer; the service begins each with a byte order mark."""
    body = b"\xef\xbb\xbf" + ET.tostring(root, encoding="utf-8", xml_declaration=True)
    return Response(200, {"Content-Type": "application/xml", **(headers or {})}, body)


def add(parent: ET.Element, name: str, text: object) -> None:
    """Append <NAME>TEXT</NAME>."""
    ET.SubElement(parent, name).text = str(text)
