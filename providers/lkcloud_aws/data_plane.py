# SPDX-License-Identifier: Apache-2.0
"""The bytes of blocks and parts: requests that botocore signs and a pool of kept connections carries.

Through the SDK's clients a block takes twice the processor time, most of it spent on parsing answers of no content.
"""

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from types import TracebackType
from typing import TYPE_CHECKING, Self
from urllib.parse import quote, urlsplit

from botocore.auth import S3SigV4Auth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.model import StructureShape
from botocore.parsers import create_parser

from lkcloud.transfer.http import Pool, Response
from lkcloud_aws.errors import AwsFault, telling
from lkcloud_aws.session import Session

if TYPE_CHECKING:
    from botocore.credentials import Credentials

_UNSIGNED = "UNSIGNED-PAYLOAD"
"""Over TLS the body needs no signature: its checksum is in a header that is signed."""

_S3_CONFIG = Config(s3={"payload_signing_enabled": False})


@dataclass(frozen=True)
class DataPlane:
    """Signed PUT requests to one service at BASE, an URL without a slash at its end; close it after use."""

    base: str
    region: str
    service: str
    credentials: "Credentials"
    pool: Pool

    @classmethod
    def ebs(cls, session: Session, connections: int) -> Self:
        """Return the way to the EBS direct APIs of the session's region."""
        return cls._open(session, session.ebs.meta.endpoint_url, "ebs", connections)

    @classmethod
    def s3(cls, session: Session, connections: int, bucket: str) -> Self:
        """Return the way to the objects of BUCKET."""
        return cls._open(session, session.bucket_url(bucket), "s3", connections)

    @classmethod
    def _open(cls, session: Session, base: str, service: str, connections: int) -> Self:
        parts = urlsplit(base)
        pool = Pool(f"{parts.scheme}://{parts.netloc}", connections=connections, ca=session.ca)
        return cls(base.rstrip("/"), session.region, service, session.credentials, pool)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.pool.close()

    def put_block(self, snapshot_id: str, index: int, data: bytes | memoryview, sha256: bytes, timeout: float) -> None:
        """Write block INDEX of a snapshot; DATA is a whole block and SHA256 its digest, 32 bytes. Raises AwsFault.

        https://docs.aws.amazon.com/ebs/latest/APIReference/API_PutSnapshotBlock.html
        """
        self._put(
            "ebs:PutSnapshotBlock",
            f"/snapshots/{snapshot_id}/blocks/{index}",
            data,
            {
                "x-amz-Data-Length": str(len(data)),
                "x-amz-Checksum": base64.b64encode(sha256).decode(),
                "x-amz-Checksum-Algorithm": "SHA256",
                # Without TLS the signature covers the body, by the digest that is known already.
                "X-Amz-Content-SHA256": _UNSIGNED if self._secure else sha256.hex(),
            },
            timeout,
        )

    def put_part(
        self, key: str, upload_id: str, number: int, data: bytes | memoryview, *, crc: int, timeout: float
    ) -> str:
        """Upload part NUMBER with the CRC-32 of its DATA and return the ETag that S3 gives it. Raises AwsFault.

        https://docs.aws.amazon.com/AmazonS3/latest/API/API_UploadPart.html
        """
        response = self._put(
            "s3:PutObject",
            f"/{quote(key, safe='/~')}?partNumber={number}&uploadId={quote(upload_id, safe='')}",
            data,
            {"x-amz-checksum-crc32": base64.b64encode(crc.to_bytes(4, "big")).decode()},
            timeout,
        )
        return response.headers.get("etag", "")

    @cached_property
    def _secure(self) -> bool:
        return self.base.startswith("https:")

    @cached_property
    def _path(self) -> str:
        return urlsplit(self.base).path

    def _put(
        self, operation: str, target: str, data: bytes | memoryview, headers: Mapping[str, str], timeout: float
    ) -> Response:
        signed = self._sign(target, data, headers)
        response = self.pool.put(self._path + target, data, signed, timeout=timeout)
        if response.status >= 300:
            raise _fault(operation, self.service, response)
        return response

    def _sign(self, target: str, data: bytes | memoryview, headers: Mapping[str, str]) -> Mapping[str, str]:
        """Return HEADERS with those of the signature. Credentials that run out are renewed by the SDK on the way."""
        request = AWSRequest("PUT", self.base + target, headers, None if self._secure else data)
        signer = SigV4Auth
        if self.service == "s3":
            signer = S3SigV4Auth
            if self._secure:
                request.context["client_config"] = _S3_CONFIG
        signer(self.credentials.get_frozen_credentials(), self.service, self.region).add_auth(request)
        return dict(request.headers.items())


def _fault(operation: str, service: str, response: Response) -> AwsFault:
    """Return what the service said, read by the SDK's own parsers."""
    parser = create_parser("rest-xml" if service == "s3" else "rest-json")
    headers = dict(response.headers)
    nothing = StructureShape("Nothing", {"type": "structure", "members": {}})
    answer = parser.parse({"status_code": response.status, "headers": headers, "body": response.body}, nothing)
    said = answer.get("Error", {})
    reason = _reason(response.body)
    code = telling(str(said.get("Code") or response.status), reason)
    request_id = headers.get("x-amzn-requestid") or headers.get("x-amz-request-id") or ""
    return AwsFault(operation, response.status, code, str(said.get("Message") or ""), request_id, reason)


def _reason(body: bytes) -> str:
    """Return the second word that EBS gives beside an error's code, "" if there is none."""
    try:
        return str(json.loads(body).get("Reason") or "")
    except (ValueError, AttributeError):
        return ""
