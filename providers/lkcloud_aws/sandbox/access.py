# SPDX-License-Identifier: Apache-2.0
"""Who a request is from, for which service and region, and whether its Signature Version 4 is right.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv.html; the canonical form is botocore's.
"""

import hashlib
import hmac
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import parse_qsl, urlencode

from botocore.auth import S3SigV4Auth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from lkcloud.sandbox.http import Request
from lkcloud_aws.sandbox.errors import access

MAX_SKEW = 15 * 60
"""Seconds that a client's clock may be wrong."""

STAMP = "%Y%m%dT%H%M%SZ"


@dataclass(frozen=True, slots=True)
class Caller:
    """What the signature of a request says about it; KEY_ID "" = it was not signed."""

    key_id: str
    date: str
    region: str
    service: str
    signed_headers: tuple[str, ...] = ()
    signature: str = ""
    presigned: bool = False


def caller(request: Request) -> Caller:
    """Read the credential scope from the Authorization header or from a presigned URL."""
    header = request.header("Authorization")
    if header.startswith("AWS4-HMAC-SHA256"):
        fields = dict(part.strip().split("=", 1) for part in header.partition(" ")[2].split(",") if "=" in part)
        return _scope(fields.get("Credential", ""), fields.get("SignedHeaders", ""), fields.get("Signature", ""))
    query = request.query
    if "X-Amz-Credential" in query:
        return _scope(
            query["X-Amz-Credential"],
            query.get("X-Amz-SignedHeaders", ""),
            query.get("X-Amz-Signature", ""),
            presigned=True,
        )
    form = request.header("Content-Type").startswith("application/x-www-form-urlencoded")
    return Caller("", "", "us-east-1", "sts" if form else "s3")


def _scope(credential: str, headers: str, signature: str, *, presigned: bool = False) -> Caller:
    parts = credential.rsplit("/", 4)
    if len(parts) != 5:
        return Caller("", "", "us-east-1", "s3")
    key_id, date, region, service, _ = parts
    return Caller(key_id, date, region, service, tuple(headers.split(";")), signature, presigned)


def verify(request: Request, who: Caller, credentials: Credentials, payload: bytes | None, now: datetime) -> None:
    """Raise ApiError unless WHO is the holder of CREDENTIALS and signed this very request, not long before NOW.

    PAYLOAD is the body where the signature covers it; None where the header X-Amz-Content-SHA256 stands for it and
    the body is compared with that header as it comes in (S3).
    """
    if not who.key_id:
        raise access(who.service, "unsigned")
    if who.key_id != credentials.access_key:
        raise access(who.service, "unknown key")
    stamp = request.query.get("X-Amz-Date", "") if who.presigned else request.header("X-Amz-Date")
    try:
        sent = datetime.strptime(stamp, STAMP).replace(tzinfo=UTC)
    except ValueError:
        raise access(who.service, "unsigned") from None
    age = (now - sent).total_seconds()
    if age < -MAX_SKEW or age > (int(request.query.get("X-Amz-Expires", "0")) if who.presigned else MAX_SKEW):
        raise access(who.service, "expired" if who.presigned else "skewed")
    if not hmac.compare_digest(_signature(request, who, credentials, stamp, payload), who.signature):
        raise access(who.service, "wrong signature")


def _signature(request: Request, who: Caller, credentials: Credentials, stamp: str, payload: bytes | None) -> str:
    query = request.raw_query
    if who.presigned:
        pairs = [pair for pair in query.split("&") if not pair.startswith("X-Amz-Signature=")]
        query = "&".join(pairs)
    signed = AWSRequest(
        method=request.method,
        url=f"http://{request.header('Host')}{request.raw_path}" + (f"?{query}" if query else ""),
        headers={name: ",".join(request.headers.get_all(name) or [""]) for name in who.signed_headers},
    )
    signed.context["timestamp"] = stamp
    # In the payload's place the signature has that header; a presigned URL is made before there is one.
    stated = request.header("X-Amz-Content-SHA256")
    if who.presigned and "x-amz-content-sha256" not in who.signed_headers:
        stated = "UNSIGNED-PAYLOAD"
    digest = stated or hashlib.sha256(payload or b"").hexdigest()
    signer = (S3SigV4Auth if who.service == "s3" else SigV4Auth)(credentials, who.service, who.region)
    lines = signer.canonical_request(signed).split("\n")
    canonical = "\n".join([*lines[:-1], digest])
    return str(signer.signature(signer.string_to_sign(signed, canonical), signed))


def form(payload: bytes) -> list[tuple[str, str]]:
    """Return the fields of a request of the query protocols."""
    return parse_qsl(payload.decode(), keep_blank_values=True)


def encoded(fields: list[tuple[str, str]]) -> bytes:
    """Return FIELDS as the body of a request of the query protocols."""
    return urlencode(fields).encode()
