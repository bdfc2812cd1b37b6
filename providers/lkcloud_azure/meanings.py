# SPDX-License-Identifier: Apache-2.0
"""What Azure's answers mean: the kind of error, and what to do. The codes are listed where `errors` says."""

import re
from collections.abc import Mapping

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
from lkcloud_azure.roles import role_for
from lkcloud_azure.signing_in import HINT as SIGN_IN

Meaning = tuple[type[LkcloudError], str]

_LATER = "run the same command again later; it goes on where it stopped"
_WAIT = "wait until the other operation is over, then run the same command again"

_ACTION = re.compile(r"perform(?: the)? action '(?P<action>[^']+)'(?:.*? over scope '(?P<scope>[^']+)')?", re.DOTALL)
_LINKED = re.compile(
    r"does not have (?:permission|authorization) to perform action(?:\(s\))? '(?P<action>[^']+)'"
    r".*? on the linked scope(?:\(s\))? '(?P<scope>[^']+)'",
    re.DOTALL,
)
"""LinkedAuthorizationFailed names first what is allowed, and then what is not."""
_API = re.compile(
    r"API version '(?P<asked>[^']+)'.*?supported api-versions are '(?P<known>[^']*)'", re.IGNORECASE | re.DOTALL
)
"""https://learn.microsoft.com/azure/azure-resource-manager/troubleshooting/error-register-resource-provider"""
_TOO_NEW = (
    "give another --location; a cloud of its own (--cloud-environment) gets versions of the API later than the SDK, "
    "and cannot be used until then"
)
_NAMESPACE = re.compile(r"\bMicrosoft\.\w+")
_POLICY = re.compile(r'"policyAssignment":\s*\{\s*"name":\s*"(?P<name>[^"]+)"')
_QUOTA = re.compile(
    r"\bquota\b|exceed\w* (?:the )?(?:approved |maximum )?(?:\w+ )?limit|maximum number of", re.IGNORECASE
)
_VHD = re.compile(r"\bVHD\b.*\b(footer|cookie|supported|size|aligned|whole number|cor+upt)", re.IGNORECASE | re.DOTALL)

_DISK_CLOSED = re.compile(r"networkAccessPolicy|publicNetworkAccess", re.IGNORECASE)
"""Properties of a disk that keep a network out (DiskProperties of the SDK)."""

_SOURCE = re.compile(r"\bonly\b.*\bsources are supported\b", re.IGNORECASE | re.DOTALL)
"""Of a version whose security type its disk does not do for (hashicorp/packer-plugin-azure#304)."""

_BLOB_ROLE = "give this identity the role Storage Blob Data Contributor on the storage account (docs/azure.md)"
_FIREWALL = (
    "let this machine through the storage account's firewall, or run inside its network; "
    "--method disk needs no storage account"
)
CLOSED_DISK = (
    "a policy closes managed disks to this network: run where their private endpoint is reached, ask for an exemption, "
    "or give --method blob"
)
"""What to do where a disk cannot be written from here
(https://learn.microsoft.com/azure/virtual-machines/disks-restrict-import-export-overview)."""
_CLOCK = "set the clock of this machine; if it is right, run the same command again: it gets a new signature"
_NAMES = "check the name, --resource-group, --gallery and --subscription"
_ROOM = "give another --location or --vm-size, or run the same command again later"
_NO_PAGES = "give an account of kind StorageV2 without hierarchical namespace, or --method disk"

_CODES: Mapping[str, Meaning] = {
    # who and where
    "InvalidAuthenticationTokenTenant": (
        NotAuthenticated,
        "sign in to the tenant of the subscription: az login --tenant",
    ),
    "SubscriptionNotFound": (UsageError, "check --subscription (az account list), --cloud-environment and the tenant"),
    "InvalidSubscriptionId": (UsageError, "give the id of the subscription (az account list), not its name"),
    "DisabledSubscription": (Refused, "have the subscription enabled again, or give another --subscription"),
    "ReadOnlyDisabledSubscription": (Refused, "have the subscription enabled again, or give another --subscription"),
    "ResourceGroupNotFound": (NotFound, "check --resource-group and --subscription"),
    "ResourceGroupBeingDeleted": (Conflict, "wait until the resource group is gone, or give another --resource-group"),
    "InvalidResourceGroupLocation": (Conflict, "leave out --location: the resource group has one"),
    "LocationNotAvailableForResourceType": (UsageError, "give another --location (az account list-locations)"),
    "LocationNotAvailableForResourceGroup": (UsageError, "give another --location (az account list-locations)"),
    "InvalidLocation": (UsageError, "give another --location (az account list-locations)"),
    "InvalidResourceLocation": (Conflict, "it is there in another region: give that --location, or another name"),
    "RegionDoesNotAllowProvisioning": (Refused, "give another --location, or ask Azure for access to this region"),
    "NoRegisteredProviderFound": (UsageError, "give another --location: Azure has this kind of resource not there"),
    # allowed and not
    "ScopeLocked": (Refused, "have the lock removed (az lock list), or give another --resource-group"),
    "AuthorizationPermissionMismatch": (Refused, _BLOB_ROLE),
    "InsufficientAccountPermissions": (Refused, _BLOB_ROLE),
    "AuthorizationFailure": (Refused, _FIREWALL),
    "PublicAccessNotPermitted": (Refused, _FIREWALL),
    "AuthorizationSourceIPMismatch": (Refused, _FIREWALL),
    "AccountIsDisabled": (Refused, "give another --storage-account, or --method disk"),
    "KeyBasedAuthenticationNotPermitted": (Refused, "allow shared keys on the storage account, or give --method disk"),
    "FeatureNotYetSupportedForHierarchicalNamespaceAccounts": (Refused, _NO_PAGES),
    "BlobTypeNotSupported": (Refused, _NO_PAGES),
    # not enough
    "QuotaExceeded": (Refused, ""),
    "ResourceQuotaExceeded": (Refused, ""),
    "GalleryImageVersionQuotaExceeded": (Refused, ""),
    "SkuNotAvailable": (Refused, _ROOM),
    "AllocationFailed": (Refused, _ROOM),
    "ZonalAllocationFailed": (Refused, _ROOM),
    "OverconstrainedAllocationRequest": (Refused, _ROOM),
    # other names, other hands
    "PropertyChangeNotAllowed": (Conflict, "what is there cannot be changed so: choose another name, or delete it"),
    "DeleteGalleryImageVersionBlockedBeforeEndOfLife": (
        Refused,
        "let it go first: az sig image-version update --set safetyProfile.blockDeletionBeforeEndOfLife=false",
    ),
    "ContainerNotFound": (NotFound, "check --container and --storage-account"),
    "BlobNotFound": (NotFound, "run the same command again: it uploads what is gone"),
    "StorageAccountNotFound": (NotFound, "check --storage-account and --subscription"),
    "ParentResourceNotFound": (
        NotFound,
        "check --gallery, --definition and --resource-group, or give --create-gallery",
    ),
    "Md5Mismatch": (Corrupt, "run the same command again; if it stays, check memory and network"),
    "Crc64Mismatch": (Corrupt, "run the same command again; if it stays, check memory and network"),
}
_QUOTA_HINT = "delete what is not needed (lkcloud list azure), or ask for a higher quota in the portal"


def of(status: int, code: str, message: str, retry_after: float, *, busy: bool) -> Meaning:
    """Return the kind of error that an answer is, and what to do.

    STATUS is 0 for a long operation that has failed. BUSY says that it is in the way of another operation.
    """
    text = message.lower()
    for applies, kind, hint in (
        # A throttle has the code of what it stops, such as OperationNotAllowed.
        (status in (429, 503) or code in ("ServerBusy", "TooManyRequests"), Unreachable, _later(retry_after)),
        ("AuthorizationFailed" in code, Refused, _allow(message)),
        (code == "NoRegisteredProviderFound" and _is_too_new(message), Refused, _TOO_NEW),
        (code in ("MissingSubscriptionRegistration", "SubscriptionNotRegistered"), Refused, _register(message)),
        (code.startswith("RequestDisallowedBy"), Refused, _exempt(message)),
        ("quotaexceeded" in code.lower() or _QUOTA.search(message), Refused, _QUOTA_HINT),
        (code in _CODES, *_CODES.get(code, (LkcloudError, ""))),
        # Storage tells of a signature that is over, or of a clock that is wrong, with 403.
        (code in ("AuthenticationFailed", "InvalidAuthenticationInfo") and status == 403, Refused, _CLOCK),
        (status == 401, NotAuthenticated, SIGN_IN),
        (_DISK_CLOSED.search(message), Refused, CLOSED_DISK),
        (_SOURCE.search(message), UsageError, "give --method blob, which needs a storage account"),
        (_VHD.search(message), Refused, "run the same command again; if it stays, report it: lkcloud made that VHD"),
        (busy, Conflict, _WAIT),
        (status in (408, 500, 502, 504), Unreachable, _LATER),
        (status == 403, Refused, "allow it to this identity (docs/azure.md lists all permissions)"),
        (status == 404 or code.endswith("NotFound"), NotFound, _NAMES),
        (status in (409, 412), Conflict, "wait for the other run, or choose another --name"),
        (status == 400, UsageError, "look at the option that holds this value"),
        (status == 0 and "internal" in text, Refused, _LATER),
    ):
        if applies:
            return kind, hint
    return Refused, "see docs/azure.md, Troubleshooting"


def _is_too_new(message: str) -> bool:
    """Tell whether it is the version of the API that is not there, and not the region."""
    found = _API.search(message)
    return found is not None and found["asked"] not in found["known"]


def _later(pause: float) -> str:
    if pause < 1:
        return _LATER
    return f"Azure asks to wait {pause:.0f} seconds: run the same command again then; it goes on where it stopped"


def _allow(message: str) -> str:
    found = _LINKED.search(message) or _ACTION.search(message)
    if found is None:
        return "allow it to this identity (docs/azure.md lists all permissions)"
    action, scope = found["action"], found["scope"]
    where = f" on {scope}" if scope else ""
    return f"allow {action}{where} to this identity; the role {role_for(action)} has it (docs/azure.md)"


def _register(message: str) -> str:
    found = _NAMESPACE.search(message)
    return f"register it: az provider register --namespace {found[0] if found else 'Microsoft.Compute'} --wait"


def _exempt(message: str) -> str:
    found = _POLICY.search(message)
    name = f" {found['name']}" if found else ""
    return f"ask who looks after the policy{name} for an exemption, or choose another name, --location or --tag"
