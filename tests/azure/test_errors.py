# SPDX-License-Identifier: Apache-2.0
"""What Azure says no with: tried again or not, and told with something to do."""

from collections.abc import Callable

import pytest
from azure.core import exceptions as core

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
from lkcloud_azure.errors import AzureFault, code_of, explain, fault, is_absent, is_busy, judge, retry_after, status_of
from lkcloud_azure.operations import failure
from tests.azure.answers import DOING, POLICY, SCOPE, arm, blob, ended, entra, page, response, signing_in, told

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
UNKNOWN = (
    "No registered resource provider found for location 'usgovvirginia' and API version '{}' for type 'disks'. The "
    "supported api-versions are '2025-01-02, 2024-03-02'. The supported locations are 'usgovtexas'."
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
        (arm(404, "SubscriptionNotFound", "The subscription 's' could not be found."), UsageError, "--subscription"),
        (arm(400, "NoRegisteredProviderFound", UNKNOWN.format("2026-03-02")), Refused, "versions of the API later"),
        (arm(400, "NoRegisteredProviderFound", UNKNOWN.format("2024-03-02")), UsageError, "another --location"),
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


def test_what_is_not_there_is_told_from_where_nothing_is() -> None:
    assert is_absent(arm(404, "ResourceNotFound", "x"))
    assert is_absent(AzureFault(404, "ResourceGroupNotFound", ""))
    assert not is_absent(arm(404, "SubscriptionNotFound", "x"))
    assert not is_absent(arm(409, "ResourceNotFound", "x"))
    assert not is_absent(None)


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


@pytest.mark.parametrize("make", [lambda: UsageError("mine", hint="h"), lambda: ValueError("a defect")])
def test_what_is_not_azures_stays_as_it_is(make: Callable[[], Exception]) -> None:
    error = make()
    assert explain(error, DOING) is (error if isinstance(error, LkcloudError) else None)
