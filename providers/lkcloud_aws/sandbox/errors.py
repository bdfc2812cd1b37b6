# SPDX-License-Identifier: Apache-2.0
"""Errors as AWS says them: a code, a message and a status, in the words of each service's protocol."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal
from xml.sax.saxutils import escape

from lkcloud.sandbox.http import Response

Service = Literal["ec2", "ebs", "s3", "iam", "sts", "kms", "ssm", "servicequotas"]

_JSON = ("kms", "ssm", "servicequotas")
"""Services of the protocol awsJson1_1, whose errors have their code in the body."""

XML = "text/xml;charset=UTF-8"


@dataclass(frozen=True)
class ApiError(Exception):
    """A request that is refused.

    REASON is the second word of an EBS error; FIELDS are further elements of an S3 error; HEADERS go into the answer.
    """

    code: str
    message: str
    status: int = 400
    reason: str = ""
    fields: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)


def invalid(message: str) -> ApiError:
    """Return EC2's error for a value that cannot be used."""
    return ApiError("InvalidParameterValue", message)


def bad_combination(message: str) -> ApiError:
    """Return EC2's error for values that do not go together."""
    return ApiError("InvalidParameterCombination", message)


def missing_parameter(name: str) -> ApiError:
    """Return EC2's error for a parameter that must be there."""
    return ApiError("MissingParameter", f"The request must contain the parameter {name}")


def render(service: str, error: ApiError, request_id: str) -> Response:
    """Return ERROR in the protocol of SERVICE.

    https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html,
    https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html, botocore's parsers for rest-json and query.
    """
    headers = {"x-amzn-RequestId": request_id, **error.headers}
    if service in _JSON:
        text = json.dumps({"__type": error.code, "message": error.message})
        return Response(error.status, {**headers, "Content-Type": "application/x-amz-json-1.1"}, text.encode())
    if service == "ebs":
        body = {"Message": error.message} | ({"Reason": error.reason} if error.reason else {})
        headers |= {"Content-Type": "application/json", "x-amzn-ErrorType": error.code}
        return Response(error.status, headers, json.dumps(body).encode())
    code, message = escape(error.code), escape(error.message)
    headers["Content-Type"] = XML
    if service == "s3":
        more = "".join(f"<{name}>{escape(value)}</{name}>" for name, value in error.fields.items())
        text = (
            f"<Error><Code>{code}</Code><Message>{message}</Message>{more}<RequestId>{request_id}</RequestId></Error>"
        )
        headers |= {"x-amz-request-id": request_id, "Content-Type": "application/xml"}
    elif service == "ec2":
        text = (
            f"<Response><Errors><Error><Code>{code}</Code><Message>{message}</Message></Error></Errors>"
            f"<RequestID>{request_id}</RequestID></Response>"
        )
    else:
        kind = "Sender" if error.status < 500 else "Receiver"
        text = (
            f"<ErrorResponse><Error><Type>{kind}</Type><Code>{code}</Code><Message>{message}</Message></Error>"
            f"<RequestId>{request_id}</RequestId></ErrorResponse>"
        )
    return Response(error.status, headers, b'<?xml version="1.0" encoding="UTF-8"?>\n' + text.encode())


@dataclass(frozen=True, slots=True)
class _AccessWords:
    code: str
    message: str
    status: int


_INVALID_TOKEN = "The security token included in the request is invalid."  # noqa: S105 - a message
_MISMATCH = "The request signature we calculated does not match the signature you provided."

_UNKNOWN_KEY = {
    "ec2": _AccessWords("AuthFailure", "AWS was not able to validate the provided access credentials", 401),
    "s3": _AccessWords("InvalidAccessKeyId", "The AWS Access Key Id you provided does not exist in our records.", 403),
    "ebs": _AccessWords("UnrecognizedClientException", _INVALID_TOKEN, 403),
    "": _AccessWords("InvalidClientTokenId", _INVALID_TOKEN, 403),
}
_WRONG_SIGNATURE = {
    "ec2": _UNKNOWN_KEY["ec2"],
    "ebs": _AccessWords("InvalidSignatureException", _MISMATCH, 403),
    "": _AccessWords("SignatureDoesNotMatch", _MISMATCH, 403),
}
_EXPIRED = {
    "ec2": _AccessWords("RequestExpired", "Request has expired.", 400),
    "s3": _AccessWords("ExpiredToken", "The provided token has expired.", 400),
    "ebs": _AccessWords("ExpiredTokenException", "The security token included in the request is expired", 403),
    "": _AccessWords("ExpiredToken", "The security token included in the request is expired", 403),
}
_UNSIGNED = {
    "s3": _AccessWords("AccessDenied", "Access Denied", 403),
    "ebs": _AccessWords("MissingAuthenticationTokenException", "Missing Authentication Token", 403),
    "": _AccessWords("MissingAuthenticationToken", "Request is missing Authentication Token", 403),
}
_SKEWED = {
    "ec2": _EXPIRED["ec2"],
    "s3": _AccessWords("RequestTimeTooSkewed", "The difference between the request time and our time is too big.", 403),
    "ebs": _AccessWords("InvalidSignatureException", "Signature expired", 403),
    "": _AccessWords("SignatureDoesNotMatch", "Signature expired", 403),
}
_REFUSALS = {
    "unknown key": _UNKNOWN_KEY,
    "wrong signature": _WRONG_SIGNATURE,
    "expired": _EXPIRED,
    "unsigned": _UNSIGNED,
    "skewed": _SKEWED,
}

Refusal = Literal["unknown key", "wrong signature", "expired", "unsigned", "skewed"]


def access(service: str, refusal: Refusal) -> ApiError:
    """Return what SERVICE answers to a caller that it does not let in.

    https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html#CommonErrors,
    https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html#ErrorCodeList,
    https://docs.aws.amazon.com/STS/latest/APIReference/CommonErrors.html
    """
    # The JSON services say it in EBS's words, and with status 400 as all they say.
    words = _REFUSALS[refusal].get("ebs" if service in _JSON else service) or _REFUSALS[refusal][""]
    return ApiError(words.code, words.message, 400 if service in _JSON else words.status)


def throttled(service: str) -> ApiError:
    """Return what SERVICE answers when it is asked too often."""
    if service == "ec2":
        return ApiError("RequestLimitExceeded", "Request limit exceeded.", 503)
    if service == "s3":
        return ApiError("SlowDown", "Please reduce your request rate.", 503)
    if service == "ebs":
        return ApiError("RequestThrottledException", "The number of requests is too high", 400, "ACCOUNT_THROTTLED")
    return ApiError("ThrottlingException" if service in _JSON else "Throttling", "Rate exceeded", 400)
