# SPDX-License-Identifier: Apache-2.0
"""Requests of our own making, signed by botocore's signer."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection

from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from lkcloud_aws.sandbox import AwsStandIn
from lkcloud_aws.sandbox.access import STAMP


def ask(
    stand_in: AwsStandIn,
    method: str,
    target: str,
    *,
    headers: Mapping[str, str] | None = None,
    body: bytes = b"",
    clock: timedelta = timedelta(0),
) -> tuple[int, bytes]:
    """Send a request to S3 with these headers, signed by a clock that is wrong by CLOCK; return status and body."""
    environment = stand_in.environment()
    host = environment["AWS_ENDPOINT_URL"].removeprefix("http://")
    credentials = Credentials(environment["AWS_ACCESS_KEY_ID"], environment["AWS_SECRET_ACCESS_KEY"])
    signer = S3SigV4Auth(credentials, "s3", "us-east-1")
    stamp = (datetime.now(UTC) + clock).strftime(STAMP)
    given = {"Host": host, "X-Amz-Date": stamp, "X-Amz-Content-SHA256": "UNSIGNED-PAYLOAD", **(headers or {})}
    request = AWSRequest(method, f"http://{host}{target}", headers=given)
    request.context["timestamp"] = stamp
    signature = signer.signature(signer.string_to_sign(request, signer.canonical_request(request)), request)
    names = signer.signed_headers(signer.headers_to_sign(request))
    given["Authorization"] = (
        f"AWS4-HMAC-SHA256 Credential={signer.scope(request)}, SignedHeaders={names}, Signature={signature}"
    )
    connection = HTTPConnection(host)
    try:
        connection.request(method, target, body or None, given)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()
