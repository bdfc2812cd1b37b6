# SPDX-License-Identifier: Apache-2.0
"""What Azure says no with: tried again or not, and told with something to do."""

import http.server
import io
import json
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from xml.sax.saxutils import escape

import pytest
import requests
from azure.core import PipelineClient
from azure.core import exceptions as core
from azure.core.rest import HttpRequest, HttpResponse
from azure.core.rest._requests_basic import RestRequestsTransportResponse
from azure.identity import ChainedTokenCredential, ClientSecretCredential, CredentialUnavailableError
from azure.mgmt.core.exceptions import ARMErrorFormat
from azure.storage.blob._shared.response_handlers import process_storage_error

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
from lkcloud_azure.errors import AzureFault, code_of, explain, fault, is_busy, judge, retry_after, status_of
from lkcloud_azure.operations import failure

DOING = "making the image"
SUBSCRIPTION = "/subscriptions/7a1f0a52-0000-4f6d-8e0b-3f2a6d5c4b1a"
SCOPE = f"{SUBSCRIPTION}/resourceGroups/lkcloud/providers/Microsoft.Compute/images/i"
TRACE = "Trace ID: 0a1b-2c Correlation ID: 3d4e-5f Timestamp: 2026-11-27 04:00:00Z"


def response(status: int, body: bytes, headers: Mapping[str, str]) -> HttpResponse:
    """Return what the SDK's transport makes of an answer."""
    inner = requests.Response()
    inner.status_code, inner.raw, inner.reason = status, io.BytesIO(body), "Reason"
    inner.headers.update(headers)
    request = HttpRequest("GET", "https://management.azure.com/x")
    answer: HttpResponse = RestRequestsTransportResponse(  # type: ignore[no-untyped-call]  # as the SDK has it
        request=request, internal_response=inner
    )
    answer.read()
    return answer


def arm(
    status: int, code: str, message: str, *, details: list[Any] | None = None, headers: Mapping[str, str] | None = None
) -> core.HttpResponseError:
    """Return what a management client raises for an answer of Azure Resource Manager."""
    error = {"code": code, "message": message, **({"details": details} if details else {})}
    body = json.dumps({"error": error}).encode()
    answer = response(status, body, {"Content-Type": "application/json", **(headers or {})})
    kinds = {401: core.ClientAuthenticationError, 404: core.ResourceNotFoundError, 409: core.ResourceExistsError}
    kind: type[core.HttpResponseError] = kinds.get(status, core.HttpResponseError)
    return kind(response=answer, error_format=ARMErrorFormat)


def blob(status: int, code: str, message: str) -> core.HttpResponseError:
    """Return what the client of storage raises for an answer."""
    body = (
        f'\ufeff<?xml version="1.0" encoding="utf-8"?><Error><Code>{code}</Code><Message>{escape(message)}\n'
        "RequestId:5f1d\nTime:2026-11-27T04:00:00.0Z</Message></Error>"
    )
    headers = {"Content-Type": "application/xml", "x-ms-error-code": code}
    with pytest.raises(core.HttpResponseError) as raised:
        process_storage_error(core.HttpResponseError(response=response(status, body.encode(), headers)))
    return raised.value


def page(status: int) -> core.HttpResponseError:
    """Return what is raised for an answer that is not Azure's, such as that of a proxy."""
    return core.HttpResponseError(response=response(status, b"<html><title>Forbidden</title>", {}))


def ended(code: str, message: str) -> core.HttpResponseError:
    """Return the error of a long operation that has failed."""
    return failure({"status": "Failed", "error": {"code": code, "message": message}})


class Says:
    """A way to sign in that fails with ERROR."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def get_token(self, *scopes: str, **_: object) -> Any:
        raise self._error


def signing_in(*errors: Exception) -> core.ClientAuthenticationError:
    """Return what a chain of ways to sign in raises that fail with ERRORS."""
    with pytest.raises(core.ClientAuthenticationError) as raised:
        ChainedTokenCredential(*map(Says, errors)).get_token("https://management.azure.com/.default")
    return raised.value


def entra(code: str, message: str) -> core.ClientAuthenticationError:
    missing = CredentialUnavailableError("WorkloadIdentityCredential authentication unavailable.")
    said = f"Authentication failed: AADSTS{code}: {message} {TRACE}"
    return signing_in(missing, core.ClientAuthenticationError(said))


def told(error: Exception) -> LkcloudError:
    found = explain(error, DOING)
    assert found is not None
    assert found.message.startswith("azure: ")
    assert found.message == found.message.strip()
    assert not found.message.endswith(".")
    assert not {"\n", "{", "}"} & set(found.message)
    assert len(found.message) < 500
    assert found.hint
    return found


AUTHORIZATION = (
    "The client 'c' with object id 'o' does not have authorization to perform action 'Microsoft.Compute/{}' over scope "
    f"'{SCOPE}' or the scope is invalid. If access was recently granted, please refresh your credentials."
)
LINKED = (
    "The client with object id 'o' has permission to perform action 'Microsoft.Compute/virtualMachines/write' on scope "
    f"'{SCOPE}'; however, it does not have permission to perform action(s) "
    "'Microsoft.Network/networkInterfaces/join/action' on the linked scope(s) '/nic' (respectively) or the linked "
    "scope(s) are invalid."
)
POLICY = (
    'Resource \'i\' was disallowed by policy. Policy identifiers: \'[{"policyAssignment":{"name":"Allowed locations",'
    '"id":"/providers/x"},"policyDefinition":{"name":"Allowed locations","id":"/providers/y"}}]\'.'
)
UNREGISTERED = (
    "The subscription is not registered to use namespace 'Microsoft.Compute'. See https://aka.ms/rps-not-found for how "
    "to register subscriptions."
)
THROTTLED = "The server rejected the request because too many requests have been received for this subscription."


@pytest.mark.parametrize(
    ("error", "verdict"),
    [
        (arm(429, "OperationNotAllowed", THROTTLED), Verdict.THROTTLED),
        (arm(429, "SubscriptionRequestsThrottled", "slow down"), Verdict.THROTTLED),
        (arm(503, "ServiceUnavailable", "later"), Verdict.THROTTLED),
        (blob(503, "ServerBusy", "The server is busy."), Verdict.THROTTLED),
        (blob(500, "OperationTimedOut", "The operation could not be completed."), Verdict.TRANSIENT),
        (blob(400, "Md5Mismatch", "The MD5 value did not match."), Verdict.TRANSIENT),
        (blob(400, "Crc64Mismatch", "The CRC64 value did not match."), Verdict.TRANSIENT),
        (arm(500, "InternalServerError", "x"), Verdict.TRANSIENT),
        (arm(502, "BadGateway", "x"), Verdict.TRANSIENT),
        (arm(504, "GatewayTimeout", "x"), Verdict.TRANSIENT),
        (arm(408, "RequestTimeout", "x"), Verdict.TRANSIENT),
        (page(502), Verdict.TRANSIENT),
        (page(403), Verdict.FATAL),
        (arm(400, "InvalidParameter", "x"), Verdict.FATAL),
        (arm(401, "ExpiredAuthenticationToken", "x"), Verdict.FATAL),
        (arm(403, "AuthorizationFailed", AUTHORIZATION), Verdict.FATAL),
        (arm(404, "ResourceNotFound", "x"), Verdict.FATAL),
        (arm(409, "QuotaExceeded", "x"), Verdict.FATAL),
        (arm(409, "AnotherOperationInProgress", "x"), Verdict.FATAL),
        (blob(412, "ConditionNotMet", "x"), Verdict.FATAL),
        (ended("InternalServerError", "x"), Verdict.FATAL),
        (AzureFault(503, "ServerBusy", ""), Verdict.THROTTLED),
        (AzureFault(400, "InvalidPageRange", ""), Verdict.FATAL),
        (core.ServiceRequestError("HTTPSConnection(host='h', port=1): Failed to resolve 'h'"), Verdict.TRANSIENT),
        (core.ServiceResponseError("cut off"), Verdict.TRANSIENT),
        (core.IncompleteReadError("cut off"), Verdict.TRANSIENT),
        (core.ServiceRequestError("certificate verify failed: self-signed certificate"), Verdict.FATAL),
        (entra("7000215", "Invalid client secret provided."), Verdict.FATAL),
        (entra("90033", "A transient error has occurred. Please try again."), Verdict.TRANSIENT),
        (signing_in(ValueError("HTTPSConnection(host='h', port=1): Failed to establish")), Verdict.TRANSIENT),
        (signing_in(ValueError("certificate verify failed: unable to get local issuer")), Verdict.FATAL),
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
            arm(403, "AuthorizationFailed", AUTHORIZATION.format("images/write")),
            Refused, f"allow Microsoft.Compute/images/write on {SCOPE} to this identity; the role Contributor",
        ),
        (
            arm(403, "AuthorizationFailed", AUTHORIZATION.format("galleries/share/action")),
            Refused, "the role Compute Gallery Sharing Admin",
        ),
        (
            arm(403, "LinkedAuthorizationFailed", LINKED),
            Refused, "allow Microsoft.Network/networkInterfaces/join/action on /nic",
        ),
        (arm(403, "AuthorizationFailed", "No."), Refused, "allow it to this identity"),
        (arm(403, "Forbidden", "No."), Refused, "allow it to this identity"),
        (arm(401, "InvalidAuthenticationToken", "The access token is invalid."), NotAuthenticated, "az login"),
        (arm(401, "InvalidAuthenticationTokenTenant", "wrong issuer"), NotAuthenticated, "tenant of the subscription"),
        (arm(404, "SubscriptionNotFound", "The subscription 's' could not be found."), NotFound, "--subscription"),
        (arm(400, "InvalidSubscriptionId", "The provided id 's' is malformed."), UsageError, "not its name"),
        (arm(409, "ReadOnlyDisabledSubscription", "The subscription is disabled."), Refused, "enabled again"),
        (
            arm(409, "MissingSubscriptionRegistration", UNREGISTERED),
            Refused, "az provider register --namespace Microsoft.Compute --wait",
        ),
        (arm(403, "RequestDisallowedByPolicy", POLICY), Refused, "the policy Allowed locations for an exemption"),
        (arm(409, "ScopeLocked", "The scope cannot perform delete operation"), Refused, "az lock list"),
        (
            arm(409, "OperationNotAllowed", "Operation could not be completed as it results in exceeding approved "
                "standardBSFamily Cores quota. Current Limit: 0"),
            Refused, "higher quota",
        ),
        (arm(409, "QuotaExceeded", "no more"), Refused, "higher quota"),
        (arm(409, "SkuNotAvailable", "The requested size is not available in westeurope"), Refused, "--vm-size"),
        (arm(409, "AllocationFailed", "Allocation failed."), Refused, "--location"),
        (
            arm(400, "LocationNotAvailableForResourceType", "x" + " region," * 200),
            UsageError, "az account list-locations",
        ),
        (
            arm(409, "InvalidResourceLocation", "The resource 'i' already exists in location 'westus'"),
            Conflict, "another region",
        ),
        (arm(404, "ResourceGroupNotFound", "Resource group 'g' could not be found."), NotFound, "--resource-group"),
        (arm(409, "ResourceGroupBeingDeleted", "being deleted"), Conflict, "another --resource-group"),
        (arm(404, "ParentResourceNotFound", "Failed to perform 'write'"), NotFound, "--create-gallery"),
        (arm(404, "ResourceNotFound", "The Resource 'i' was not found."), NotFound, "check the name"),
        (arm(409, "AnotherOperationInProgress", "Another operation is in progress."), Conflict, "is over"),
        (
            arm(409, "OperationNotAllowed", "Operation 'delete' is not allowed on VM 'v' since another operation is in "
                "progress."),
            Conflict, "is over",
        ),
        (arm(409, "Conflict", "There is one."), Conflict, "--name"),
        (arm(400, "InvalidParameter", "The value of parameter osDisk is invalid."), UsageError, "option"),
        (arm(429, "OperationNotAllowed", THROTTLED), Unreachable, "later"),
        (
            arm(429, "OperationNotAllowed", THROTTLED, headers={"Retry-After": "307"}),
            Unreachable, "asks to wait 307 seconds",
        ),
        (arm(500, "InternalServerError", "Encountered internal server error."), Unreachable, "later"),
        (page(403), Refused, "allow it"),
        (page(502), Unreachable, "later"),
        (page(405), Refused, "Troubleshooting"),
        (ended("ImageBlobNotFound", "Unable to find VHD blob with URI u."), NotFound, "check the name"),
        (
            ended("InvalidVhd", "The specified cookie value in VHD footer indicates that disk 'd' with blob u is not a "
                  "supported VHD. Disk is expected to have cookie value 'conectix'."),
            Refused, "report it",
        ),
        (ended("SkuNotAvailable", "x"), Refused, "--vm-size"),
        (failure({"status": "Failed"}), Refused, "Troubleshooting"),
        (failure({"status": "Canceled", "error": {}}), Refused, "Troubleshooting"),
        (blob(403, "AuthorizationPermissionMismatch", "not authorized"), Refused, "Storage Blob Data Contributor"),
        (blob(403, "AuthorizationFailure", "not authorized"), Refused, "firewall"),
        (blob(409, "PublicAccessNotPermitted", "no"), Refused, "firewall"),
        (blob(403, "AuthenticationFailed", "Signature not valid in the specified time frame"), Refused, "clock"),
        (blob(401, "InvalidAuthenticationInfo", "Server failed to authenticate"), NotAuthenticated, "az login"),
        (blob(404, "ContainerNotFound", "The specified container does not exist."), NotFound, "--container"),
        (blob(404, "BlobNotFound", "The specified blob does not exist."), NotFound, "uploads what is gone"),
        (blob(412, "LeaseIdMissing", "There is currently a lease on the blob"), Conflict, "other run"),
        (blob(400, "Md5Mismatch", "The MD5 value did not match."), Corrupt, "memory"),
        (blob(503, "ServerBusy", "The server is busy."), Unreachable, "later"),
        (
            blob(409, "FeatureNotYetSupportedForHierarchicalNamespaceAccounts", "not yet supported"),
            Refused, "without hierarchical namespace",
        ),
        (AzureFault(403, "AuthorizationPermissionMismatch", ""), Refused, "Storage Blob Data Contributor"),
        (core.ServiceRequestError("refused"), Unreachable, "network"),
        (core.ServiceRequestError("certificate verify failed"), Unreachable, "REQUESTS_CA_BUNDLE"),
        (core.IncompleteReadError("cut off"), Unreachable, "network"),
        (core.DecodeError("JSON is invalid: Expecting value"), Unreachable, "proxy"),
        (TransportError("cut", hint="check the line"), Unreachable, "check the line"),
        (entra("7000215", "Invalid client secret provided."), NotAuthenticated, "value of the secret"),
        (entra("7000222", "The provided client secret keys are expired."), NotAuthenticated, "new client secret"),
        (entra("700016", "Application was not found in the directory."), NotAuthenticated, "AZURE_CLIENT_ID"),
        (entra("90002", "Tenant not found."), NotAuthenticated, "AZURE_TENANT_ID"),
        (entra("700082", "The refresh token has expired."), NotAuthenticated, "sign in again"),
        (entra("700213", "No matching federated identity record."), NotAuthenticated, "federated-credential"),
        (entra("53003", "Access has been blocked by Conditional Access policies."), NotAuthenticated, "conditional"),
        (entra("99999", "Something new."), NotAuthenticated, "az login"),
        (entra("90033", "A transient error has occurred."), Unreachable, "later"),
        (signing_in(ValueError("HTTPSConnection(host='h', port=1): Read timed out.")), Unreachable, "proxy"),
        (signing_in(ValueError("certificate verify failed: x")), Unreachable, "REQUESTS_CA_BUNDLE"),
        (signing_in(ValueError("an unheard-of thing")), NotAuthenticated, "az login"),
    ],
)  # fmt: skip
def test_what_is_told(error: Exception, kind: type[LkcloudError], hint: str) -> None:
    found = told(error)
    assert type(found) is kind
    assert hint in found.hint


def test_the_words_are_azures_and_the_code_stands_behind_them() -> None:
    assert told(arm(409, "ScopeLocked", "The scope is locked.")).message == (
        f"azure: {DOING}: The scope is locked (ScopeLocked)"
    )
    assert told(blob(404, "BlobNotFound", "The specified blob does not exist.")).message == (
        f"azure: {DOING}: The specified blob does not exist (BlobNotFound)"
    )
    assert told(page(403)).message == f"azure: {DOING}: HTTP status 403"
    assert told(failure({"status": "Canceled"})).message == (
        f"azure: {DOING}: it ended as Canceled, and Azure gives no reason"
    )


def test_what_is_for_microsofts_support_is_left_out() -> None:
    secret = entra("7000215", "Invalid client secret provided. Ensure that it is the secret.")
    assert told(secret).message == (
        "azure: signing in: AADSTS7000215: Invalid client secret provided. Ensure that it is the secret"
    )
    policy = told(arm(403, "RequestDisallowedByPolicy", POLICY))
    assert policy.message == f"azure: {DOING}: Resource 'i' was disallowed by policy (RequestDisallowedByPolicy)"
    long = told(arm(400, "InvalidParameter", "The sizes are: " + "Standard_B2s, " * 300))
    assert long.message.endswith(" ... (InvalidParameter)")


def test_the_innermost_reason_is_told() -> None:
    inner = {"code": "SkuNotAvailable", "message": "The size is not there."}
    outer = arm(400, "InvalidTemplateDeployment", "See details.", details=[inner])
    assert code_of(outer) == "SkuNotAvailable"
    assert told(outer).message == f"azure: {DOING}: The size is not there (SkuNotAvailable)"
    passed_on = arm(409, "Conflict", json.dumps({"error": {"code": "ScopeLocked", "message": "Locked.\r\n"}}))
    assert told(passed_on).message == f"azure: {DOING}: Locked (ScopeLocked)"
    broken = arm(409, "Conflict", '{"error": ')
    assert told(broken).message == f"azure: {DOING}: HTTP status 409 (Conflict)"
    kept = arm(400, "InvalidParameter", "This stays.", details=[inner])
    assert code_of(kept) == "InvalidParameter"


SAS = "https://md-impexp-x.z1.blob.storage.azure.net/w2c3/abcd?sv=2018-03-28&sr=b&si=600a&sig=xXaT6mF%2BnPX%3D"
JWT = "eyJhbGciOiJSUzI1NiJ9.eyJhdWQiOiJodHRwczovL20ifQ.c2lnbmF0dXJl"


@pytest.mark.parametrize("secret", [SAS, f"Bearer {JWT}", "DefaultEndpointsProtocol=https;AccountKey=c2VjcmV0;x"])
@pytest.mark.parametrize(
    "error",
    [
        lambda text: arm(400, "InvalidParameter", f"The URI {text} is not good."),
        lambda text: blob(400, "InvalidUri", f"The URI {text} is not good."),
        lambda text: core.ServiceRequestError(f"no answer from {text}"),
        lambda text: signing_in(ValueError(f"it was {text}")),
        lambda text: TransportError(f"no answer from {text}", hint="h"),
    ],
)
def test_no_secret_is_told(secret: str, error: Callable[[str], Exception]) -> None:
    found = told(error(secret))
    said = f"{found.message} {found.hint}"
    assert not any(part in said for part in ("xXaT6mF", "c2lnbmF0dXJl", "eyJhdWQ", "c2VjcmV0"))
    assert "REDACTED" in said or "TOKEN" in said


def test_without_anything_to_sign_in_with_it_says_how() -> None:
    found = told(
        signing_in(
            CredentialUnavailableError("EnvironmentCredential authentication unavailable. Not configured."),
            CredentialUnavailableError("Azure CLI not found on path"),
            CredentialUnavailableError(
                "The 'azure-identity-broker' package is required to use brokered authentication."
            ),
        )
    )
    assert found.message == "azure: there are no credentials"
    assert isinstance(found, NotAuthenticated)
    assert "az login" in found.hint
    assert "AZURE_CLIENT_SECRET" in found.hint


def test_a_way_that_is_tried_before_others_is_told_of_if_entra_id_said_why() -> None:
    cli = "ERROR: AADSTS700082: The refresh token has expired due to inactivity.\nTrace ID: 1"
    last = CredentialUnavailableError("Azure Developer CLI could not be found.")
    found = told(signing_in(CredentialUnavailableError(cli), last))
    assert found.message == ("azure: signing in: AADSTS700082: The refresh token has expired due to inactivity")


@pytest.mark.parametrize(
    ("error", "busy"),
    [
        (arm(409, "AnotherOperationInProgress", "x"), True),
        (arm(409, "CannotDeleteResource", "Can not delete resource before nested resources are deleted."), True),
        (arm(409, "OperationNotAllowed", "Image 'i' is marked for deletion."), True),
        (arm(409, "OperationNotAllowed", "The resource d cannot be created from Image i until Image has been "
             "successfully created."), True),
        (arm(409, "Conflict", "The gallery image version is being updated."), True),
        (arm(400, "NicReservedForAnotherVm", "x"), True),
        (ended("OperationPreempted", "x"), True),
        (AzureFault(409, "AnotherOperationInProgress", ""), True),
        (arm(409, "OperationNotAllowed", "exceeding approved Total Regional Cores quota"), False),
        (arm(409, "Conflict", "There is one."), False),
        (arm(409, "SkuNotAvailable", "x"), False),
        (arm(403, "AuthorizationFailed", "another operation is in progress"), False),
        (core.ServiceRequestError("another operation is in progress"), False),
        (None, False),
    ],
)  # fmt: skip
def test_what_will_be_over_after_a_while_is_known(error: BaseException | None, busy: bool) -> None:
    assert is_busy(error) is busy


def test_an_answer_is_taken_apart() -> None:
    found = fault(arm(429, "TooManyRequests", "slow", headers={"Retry-After": "17"}))
    assert found is not None
    assert (found.status, found.code, found.message, found.retry_after) == (429, "TooManyRequests", "slow", 17.0)
    assert str(found) == "TooManyRequests: slow"
    assert fault(found) is found
    assert retry_after(arm(429, "x", "y", headers={"x-ms-retry-after-ms": "250"})) == 0.25
    assert retry_after(arm(429, "x", "y", headers={"Retry-After": "Fri, 27 Nov 2026 04:00:00 GMT"})) == 0.0
    assert (retry_after(ValueError()), status_of(None), code_of(ValueError())) == (0.0, 0, "")
    assert (status_of(page(404)), code_of(page(404))) == (404, "")
    assert code_of(core.HttpResponseError(response=response(409, b"", {"x-ms-error-code": "BlobAlreadyExists"}))) == (
        "BlobAlreadyExists"
    )
    assert fault(entra("7000215", "no")) is None
    assert fault(core.DecodeError("JSON is invalid")) is None
    elsewhere = fault(core.HttpResponseError("the URL leads elsewhere"))
    assert elsewhere is not None
    assert (elsewhere.status, elsewhere.code, elsewhere.message) == (0, "", "the URL leads elsewhere")


@pytest.fixture
def deaf() -> Iterator[str]:
    """Serve connections that are closed before anything is said."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            connection.recv(65_536)
            connection.close()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{listener.getsockname()[1]}/x?sig=secret"
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join()


def ask(url: str) -> Exception:
    client: PipelineClient[HttpRequest, HttpResponse] = PipelineClient(url, policies=[])
    with client, pytest.raises(core.AzureError) as raised:
        client.send_request(HttpRequest("GET", url))
    return raised.value


def test_a_line_that_is_down_is_told_in_few_words(deaf: str) -> None:
    assert told(ask("http://127.0.0.1:9/x?sig=secret")).message == (
        f"azure: {DOING}: 127.0.0.1: Failed to establish a new connection: [Errno 111] Connection refused"
    )
    assert told(ask(deaf)).message == (
        f"azure: {DOING}: connection aborted: Remote end closed connection without response"
    )


def test_a_proxy_that_says_no_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    class Refuses(http.server.BaseHTTPRequestHandler):
        def do_CONNECT(self) -> None:
            self.send_error(403)

        def log_message(self, *_: object) -> None:
            pass

    proxy = http.server.HTTPServer(("127.0.0.1", 0), Refuses)
    thread = threading.Thread(target=proxy.serve_forever)
    thread.start()
    try:
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{proxy.server_port}")
        monkeypatch.delenv("NO_PROXY", raising=False)
        monkeypatch.delenv("no_proxy", raising=False)
        found = told(ask("https://management.azure.invalid/x"))
    finally:
        proxy.shutdown()
        thread.join()
        proxy.server_close()
    assert found.message == f"azure: {DOING}: unable to connect to proxy: Tunnel connection failed: 403 Forbidden"
    assert isinstance(found, Unreachable)


def test_entra_id_that_cannot_be_reached_has_refused_nothing() -> None:
    credential = ClientSecretCredential(
        "t" * 8, "c", "s", authority="https://127.0.0.1:9", disable_instance_discovery=True, retry_total=0
    )
    with pytest.raises(core.ClientAuthenticationError) as raised:
        ChainedTokenCredential(credential).get_token("https://management.azure.com/.default")
    found = told(raised.value)
    assert isinstance(found, Unreachable)
    assert found.message == (
        "azure: signing in: 127.0.0.1: Failed to establish a new connection: [Errno 111] Connection refused"
    )
    assert judge(raised.value) is Verdict.TRANSIENT


@pytest.mark.parametrize("make", [lambda: UsageError("mine", hint="h"), lambda: ValueError("a defect")])
def test_what_is_not_azures_stays_as_it_is(make: Callable[[], Exception]) -> None:
    error = make()
    assert explain(error, DOING) is (error if isinstance(error, LkcloudError) else None)
