# SPDX-License-Identifier: Apache-2.0
"""What Google says no with: tried again or not, and told with something to do."""

import json
import ssl
from collections.abc import Callable

import pytest
import requests
from google.api_core import exceptions as api
from google.auth import exceptions as auth

from lkcloud.errors import (
    Conflict,
    Corrupt,
    LkcloudError,
    NotAuthenticated,
    NotFound,
    Refused,
    Unreachable,
    UsageError,
)
from lkcloud.transfer.http import TransportError
from lkcloud.transfer.retry import Verdict
from lkcloud_gcp.errors import GcpFault, explain, fault, judge, status_of

DOING = "making the image"


def answer(status: int, reason: str, message: str, info: str = "") -> api.GoogleAPICallError:
    """Return what the SDK raises for an answer in JSON."""
    error: dict[str, object] = {
        "code": status,
        "message": message,
        "errors": [{"domain": "global", "reason": reason, "message": message}],
    }
    if info:
        kind = "type.googleapis.com/google.rpc.ErrorInfo"
        error["details"] = [{"@type": kind, "reason": info, "domain": "googleapis.com", "metadata": {}}]
    return _raised(status, json.dumps({"error": error}).encode())


def _raised(status: int, body: bytes) -> api.GoogleAPICallError:
    response = requests.Response()
    response.status_code = status
    response._content = body
    response.request = requests.Request("GET", "https://compute.googleapis.com/compute/v1/x").prepare()
    error: api.GoogleAPICallError = api.from_http_response(response)
    return error


def told(error: Exception) -> LkcloudError:
    found = explain(error, DOING)
    assert found is not None
    assert found.message == found.message.strip()
    assert not found.message.endswith(".")
    assert "\n" not in found.message
    assert found.message.startswith("gcp: ")
    assert found.hint
    return found


@pytest.mark.parametrize(
    ("error", "verdict"),
    [
        (answer(403, "rateLimitExceeded", "Rate Limit Exceeded"), Verdict.THROTTLED),
        (answer(403, "forbidden", "Quota exceeded for quota metric", "RATE_LIMIT_EXCEEDED"), Verdict.THROTTLED),
        (answer(429, "", "slow down"), Verdict.THROTTLED),
        (answer(500, "backendError", "Backend Error"), Verdict.TRANSIENT),
        (answer(502, "", "Bad Gateway"), Verdict.TRANSIENT),
        (answer(503, "backendError", "Service Unavailable"), Verdict.TRANSIENT),
        (answer(504, "", "Gateway Timeout"), Verdict.TRANSIENT),
        (answer(408, "", "Request Timeout"), Verdict.TRANSIENT),
        (answer(400, "invalid", "Invalid value"), Verdict.FATAL),
        (answer(401, "authError", "Invalid Credentials"), Verdict.FATAL),
        (answer(403, "forbidden", "Forbidden"), Verdict.FATAL),
        (answer(403, "quotaExceeded", "Quota 'IMAGES' exceeded. Limit: 100.0 globally."), Verdict.FATAL),
        (answer(404, "notFound", "Not Found"), Verdict.FATAL),
        (answer(409, "alreadyExists", "there"), Verdict.FATAL),
        (answer(412, "conditionNotMet", "Precondition Failed"), Verdict.FATAL),
        (answer(501, "notImplemented", "no"), Verdict.FATAL),
        (GcpFault("storage.objects.put", 400, "BadDigest", "the digest did not match"), Verdict.TRANSIENT),
        (GcpFault("storage.objects.put", 429, "SlowDown", ""), Verdict.THROTTLED),
        (requests.exceptions.ConnectionError("refused"), Verdict.TRANSIENT),
        (requests.exceptions.ReadTimeout("late"), Verdict.TRANSIENT),
        (requests.exceptions.ChunkedEncodingError("cut off"), Verdict.TRANSIENT),
        (requests.exceptions.SSLError("certificate verify failed"), Verdict.FATAL),
        (requests.exceptions.InvalidProxyURL("no"), Verdict.FATAL),
        (auth.TransportError(requests.exceptions.ConnectionError("refused")), Verdict.TRANSIENT),
        (auth.TransportError(requests.exceptions.SSLError("certificate verify failed")), Verdict.FATAL),
        (auth.RefreshError("later", retryable=True), Verdict.TRANSIENT),
        (auth.RefreshError("invalid_grant: Bad Request"), Verdict.FATAL),
        (auth.DefaultCredentialsError("none"), Verdict.FATAL),
        (api.RetryError("given up", cause=ValueError()), Verdict.TRANSIENT),
        (TransportError("cut", hint="h"), Verdict.TRANSIENT),
        (ValueError("a defect"), Verdict.FATAL),
    ],
)  # fmt: skip
def test_what_is_tried_again(error: Exception, verdict: Verdict) -> None:
    assert judge(error) is verdict


@pytest.mark.parametrize(
    ("error", "kind", "hint"),
    [
        (
            answer(403, "forbidden", "Required 'compute.images.create' permission for 'projects/p/global/images/i'"),
            Refused, "allow compute.images.create",
        ),
        (
            answer(403, "forbidden", "a@p.iam.gserviceaccount.com does not have storage.objects.create access to the "
                   "Google Cloud Storage object. Permission 'storage.objects.create' denied on resource"),
            Refused, "allow storage.objects.create",
        ),
        (
            answer(403, "forbidden", "Caller does not have required permission to use project p. Grant the caller the "
                   "roles/serviceusage.serviceUsageConsumer role, or a custom role with the serviceusage.services.use "
                   "permission", "USER_PROJECT_DENIED"),
            Refused, "allow serviceusage.services.use",
        ),
        (answer(403, "forbidden", "See https://storage.googleapis.com/x"), Refused, "allow it to this identity"),
        (
            answer(403, "accessNotConfigured", "Compute Engine API has not been used in project 1 before or it is "
                   "disabled. Enable it by visiting https://console.developers.google.com/apis/api/"
                   "compute.googleapis.com/overview?project=1 then retry.", "SERVICE_DISABLED"),
            Refused, "gcloud services enable compute.googleapis.com",
        ),
        (
            answer(403, "forbidden", "This API method requires billing to be enabled.", "BILLING_DISABLED"),
            Refused, "billing account",
        ),
        (
            answer(403, "accountDisabled", "The billing account for the owning project is disabled in state absent"),
            Refused, "billing account",
        ),
        (answer(403, "quotaExceeded", "Quota 'IMAGES' exceeded. Limit: 100.0 globally."), Refused, "higher quota"),
        (answer(403, "rateLimitExceeded", "Rate Limit Exceeded"), Unreachable, "later"),
        (answer(503, "backendError", "Service Unavailable"), Unreachable, "later"),
        (
            answer(412, "conditionNotMet", "Constraint constraints/compute.trustedImageProjects violated for "
                   "project p. Use of images from project p is prohibited."),
            Refused, "exception to constraints/compute.trustedImageProjects",
        ),
        (
            answer(403, "forbidden", "Request is prohibited by organization's policy. "
                   "vpcServiceControlsUniqueIdentifier: x"),
            Refused, "perimeter",
        ),
        (answer(401, "authError", "Invalid Credentials"), NotAuthenticated, "sign in"),
        (
            answer(403, "insufficientPermissions", "Insufficient Permission", "ACCESS_TOKEN_SCOPE_INSUFFICIENT"),
            NotAuthenticated, "scope",
        ),
        (answer(404, "notFound", "The resource 'projects/nope' was not found"), NotFound, "not its title"),
        (answer(404, "notFound", "The specified bucket does not exist."), NotFound, "--bucket"),
        (GcpFault("storage.objects.put", 404, "NoSuchBucket", "gone"), NotFound, "--bucket"),
        (answer(404, "notFound", "The resource 'projects/p/global/images/i' was not found"), NotFound, "--project"),
        (_raised(404, b"<!DOCTYPE html><title>Error 404 (Not Found)!!1</title>"), NotFound, "--project"),
        (answer(409, "alreadyExists", "The resource 'i' already exists"), Conflict, "--name"),
        (answer(412, "conditionNotMet", "Precondition Failed"), Conflict, "--name"),
        (GcpFault("storage.objects.put", 400, "BadDigest", "no"), Corrupt, "memory"),
        (answer(400, "invalid", "Invalid value for field 'resource.family'"), UsageError, "option"),
        (answer(405, "", "no"), Refused, "Troubleshooting"),
        (auth.TransportError(requests.exceptions.ConnectionError("refused")), Unreachable, "network"),
        (requests.exceptions.SSLError(ssl.SSLCertVerificationError("x")), Unreachable, "REQUESTS_CA_BUNDLE"),
        (auth.TransportError(requests.exceptions.SSLError("x")), Unreachable, "REQUESTS_CA_BUNDLE"),
        (requests.exceptions.ConnectionError("refused"), Unreachable, "network"),
        (requests.exceptions.InvalidProxyURL("no"), Unreachable, "proxy"),
        (TransportError("cut", hint="check the line"), Unreachable, "check the line"),
        (
            auth.DefaultCredentialsError("Your default credentials were not found. To set up Application Default "
                                         "Credentials, see https://cloud.google.com/docs"),
            NotAuthenticated, "gcloud auth application-default login",
        ),
        (auth.DefaultCredentialsError("File x was not found."), NotAuthenticated, "GOOGLE_APPLICATION_CREDENTIALS"),
        (
            auth.RefreshError("invalid_grant: Token has been expired or revoked.", {"error": "invalid_grant"}),
            NotAuthenticated, "sign in again",
        ),
        (auth.ReauthFailError("Reauthentication challenge could not be answered."), NotAuthenticated, "sign in again"),
        (
            auth.RefreshError("invalid_grant: Invalid JWT: Token must be a short-lived token (60 minutes) and in a "
                              "reasonable timeframe. Check your iat and exp values in the JWT claim.", {}),
            NotAuthenticated, "clock",
        ),
        (auth.RefreshError("invalid_grant: Invalid JWT Signature.", {}), NotAuthenticated, "make another"),
        (auth.RefreshError("invalid_grant: Invalid grant: account not found", {}), NotAuthenticated, "make another"),
        (
            auth.RefreshError("Unable to acquire impersonated credentials",
                              '{"error": {"message": "Permission \'iam.serviceAccounts.getAccessToken\' denied"}}'),
            NotAuthenticated, "serviceAccountTokenCreator",
        ),
        (auth.RefreshError("temporarily_unavailable: x", {}, retryable=True), Unreachable, "later"),
    ],
)  # fmt: skip
def test_what_is_told(error: Exception, kind: type[LkcloudError], hint: str) -> None:
    found = told(error)
    assert type(found) is kind
    assert hint in found.hint


def test_a_page_of_a_proxy_is_not_shown() -> None:
    found = told(_raised(404, b"<!DOCTYPE html><html>\n<title>Error 404 (Not Found)!!1</title></html>"))
    assert found.message == f"gcp: {DOING}: HTTP status 404"


@pytest.mark.parametrize("wrapped", [False, True])
def test_a_line_that_is_down_is_told_in_few_words(wrapped: bool) -> None:
    with pytest.raises(requests.ConnectionError) as raised:
        requests.get("http://127.0.0.1:9/storage/v1/b", timeout=5)
    error = auth.TransportError(raised.value) if wrapped else raised.value
    said = told(error)
    assert (
        said.message == f"gcp: {DOING}: 127.0.0.1: Failed to establish a new connection: [Errno 111] Connection refused"
    )
    assert isinstance(said, Unreachable)


def test_the_request_stands_not_before_what_google_says() -> None:
    plain = _raised(404, b'{"error": {"code": 404, "message": "Not Found"}}')
    assert told(plain).message == f"gcp: {DOING}: Not Found"
    assert told(answer(400, "invalid", "Invalid value.")).message == f"gcp: {DOING}: Invalid value (invalid)"


def test_an_answer_is_taken_apart() -> None:
    found = fault(answer(403, "accessNotConfigured", "no", "SERVICE_DISABLED"))
    assert found is not None
    assert (found.status, found.reason, found.message, found.info) == (
        403,
        "accessNotConfigured",
        "no",
        "SERVICE_DISABLED",
    )
    assert found.reasons == {"accessNotConfigured", "SERVICE_DISABLED"}
    alone = _raised(
        403,
        b'{"error": {"code": 403, "message": "no", "details": '
        b'[{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "CONSUMER_INVALID"}]}}',
    )
    assert getattr(fault(alone), "reason", "") == "CONSUMER_INVALID"
    assert fault(ValueError()) is None
    assert fault(None) is None
    assert (status_of(answer(409, "", "")), status_of(ValueError())) == (409, 0)


@pytest.mark.parametrize("make", [lambda: UsageError("mine", hint="h"), lambda: ValueError("a defect")])
def test_what_is_not_googles_stays_as_it_is(make: Callable[[], Exception]) -> None:
    error = make()
    assert explain(error, DOING) is (error if isinstance(error, LkcloudError) else None)
