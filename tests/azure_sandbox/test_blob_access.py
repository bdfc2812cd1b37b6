# SPDX-License-Identifier: Apache-2.0
"""Who the stand-in's own blob service lets in: tokens, keys, and shared access signatures of three kinds."""

import base64
import hashlib
import hmac
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any
from urllib.parse import urlencode

import pytest
from azure.core.exceptions import ClientAuthenticationError
from azure.storage.blob import (
    AccountSasPermissions,
    BlobClient,
    BlobSasPermissions,
    BlobServiceClient,
    ContainerSasPermissions,
    ResourceTypes,
    generate_account_sas,
    generate_blob_sas,
    generate_container_sas,
)

from lkcloud_azure.sandbox.access import ARM, STORAGE
from lkcloud_azure.sandbox.own_blobs import OwnBlobs
from tests.azure_sandbox.blobs import ACCOUNT, CONTAINER, VERSION, Served, Token, own, refused, serving_own

__all__ = ["own", "serving_own"]

PAGE = 512
A = b"a" * PAGE
BLOBS = "Microsoft.Storage/storageAccounts/blobServices/containers/blobs"


def soon(hours: float = 1) -> datetime:
    return datetime.now(UTC) + timedelta(hours=hours)


@pytest.fixture
def blob(own: Served) -> BlobClient:
    return own.blob()


def test_a_token_for_storage_is_good(own: Served) -> None:
    for audience in (STORAGE, f"https://{ACCOUNT}.blob.core.windows.net"):
        assert list(own.client(Token(own.tokens.issue(audience))).list_containers()) == []


def test_a_token_for_something_else_is_not(own: Served) -> None:
    with pytest.raises(ClientAuthenticationError) as refusal:
        list(own.client(Token(own.tokens.issue(ARM))).list_containers())
    assert refusal.value.status_code == 401
    assert refusal.value.error_code == "InvalidAuthenticationInfo"
    own.tokens.expired = True
    with pytest.raises(ClientAuthenticationError):
        list(own.client().list_containers())


def test_who_comes_with_nothing_is_told_where_to_sign_in(own: Served, blob: BlobClient) -> None:
    answer = own.pool.request("GET", blob.url, headers={"x-ms-version": VERSION})
    assert (answer.status, answer.headers["x-ms-error-code"]) == (401, "NoAuthenticationInformation")
    challenge = answer.headers["WWW-Authenticate"]
    assert challenge.startswith("Bearer authorization_uri=https://login.microsoftonline.com/")
    assert challenge.endswith("resource_id=https://storage.azure.com")
    basic = {"Authorization": "Basic eDp5"}
    own.refused(403, "AuthenticationFailed", "GET", f"{CONTAINER}/disk.vhd", headers=basic)


def test_versions(own: Served, blob: BlobClient) -> None:
    path = f"{CONTAINER}/disk.vhd"
    own.refused(400, "MissingRequiredHeader", "GET", path, headers={"x-ms-version": ""})
    said = own.refused(400, "InvalidHeaderValue", "GET", path, headers={"x-ms-version": "newest"})
    assert (said["HeaderName"], said["HeaderValue"]) == ("x-ms-version", "newest")
    # Tokens came with 2017-11-09.
    own.refused(400, "InvalidHeaderValue", "GET", path, headers={"x-ms-version": "2017-07-29"})
    answer = own.raw("HEAD", path, headers={"x-ms-version": "2017-11-09", "x-ms-client-request-id": "mine"})
    assert (answer.status, answer.headers["x-ms-version"]) == (200, "2017-11-09")
    assert answer.headers["x-ms-client-request-id"] == "mine"
    assert answer.headers["x-ms-request-id"]


@pytest.mark.parametrize(
    ("action", "operation"),
    [
        (f"{BLOBS}/write", lambda blob: blob.upload_page(A, 0, PAGE)),
        (f"{BLOBS}/*", lambda blob: blob.get_blob_properties()),
        (f"{BLOBS}/read", lambda blob: list(blob.list_page_ranges())),
        (f"{BLOBS}/delete", lambda blob: blob.delete_blob()),
    ],
)
def test_roles_must_allow_it(own: Served, blob: BlobClient, action: str, operation: Any) -> None:
    own.windows.denied_actions = (action,)
    with refused(403, "AuthorizationPermissionMismatch"):
        operation(blob)
    # Keys are above roles.
    operation(own.client(own.service.keys(ACCOUNT)[0]).get_blob_client(CONTAINER, "disk.vhd"))


def test_nothing_but_what_is_allowed(own: Served, blob: BlobClient) -> None:
    own.windows.allowed_data_actions = frozenset({f"{BLOBS}/read"})
    assert blob.get_blob_properties().size
    with refused(403, "AuthorizationPermissionMismatch"):
        blob.upload_page(A, 0, PAGE)
    # To make a container is an action of the control plane, for whoever holds a token too.
    own.windows.allowed_data_actions, own.windows.allowed_actions = None, frozenset()
    with refused(403, "AuthorizationPermissionMismatch"):
        own.client().create_container("another")
    blob.upload_page(A, 0, PAGE)


def test_requests_signed_with_a_key(own: Served) -> None:
    client = own.client(own.service.keys(ACCOUNT)[1])
    blob = client.create_container("signed").get_blob_client("folder/a b+c%d.vhd")
    blob.create_page_blob(PAGE, metadata={"b": "2", "A_a": "1"})
    assert blob.get_blob_properties().metadata == {"b": "2", "A_a": "1"}
    assert [one.name for one in client.get_container_client("signed").list_blobs(results_per_page=1)] == [
        "folder/a b+c%d.vhd"
    ]


def signature(own: Served, when: datetime, path: str) -> dict[str, str]:
    """Return headers of a GET of PATH that was signed at a time."""
    date = format_datetime(when, usegmt=True)
    text = f"GET\n\n\n\n\n\n\n\n\n\n\n\nx-ms-date:{date}\nx-ms-version:{VERSION}\n/{ACCOUNT}/{ACCOUNT}/{path}"
    key = base64.b64decode(own.service.keys(ACCOUNT)[0])
    digest = base64.b64encode(hmac.digest(key, text.encode(), hashlib.sha256)).decode()
    return {"x-ms-date": date, "Authorization": f"SharedKey {ACCOUNT}:{digest}"}


def test_a_signature_is_good_for_a_quarter_of_an_hour(own: Served, blob: BlobClient) -> None:
    path = f"{CONTAINER}/disk.vhd"
    assert own.raw("GET", path, headers=signature(own, datetime.now(UTC), path)).status == 200
    for minutes in (-16, 16):
        late = signature(own, datetime.now(UTC) + timedelta(minutes=minutes), path)
        said = own.refused(403, "AuthenticationFailed", "GET", path, headers=late)
        assert said["AuthenticationErrorDetail"] == "Request date header too old"
    for date in ("", "yesterday", "Thu, 01 Jan 2026 00:00:00 -0000"):
        unclear = signature(own, datetime.now(UTC), path) | {"x-ms-date": date}
        own.refused(403, "AuthenticationFailed", "GET", path, headers=unclear)
    said = own.refused(
        403,
        "AuthenticationFailed",
        "GET",
        path,
        headers=signature(own, datetime.now(UTC), path) | {"Range": "bytes=0-1"},
    )
    assert "is not the same as any computed signature" in said["AuthenticationErrorDetail"]


def test_an_account_may_refuse_its_keys(own: Served, blob: BlobClient) -> None:
    service = own.service
    assert isinstance(service, OwnBlobs)
    url = blob_sas(own, blob, "r")
    service.store.accounts[ACCOUNT].shared_key_access = False
    with refused(403, "KeyBasedAuthenticationNotPermitted"):
        list(own.client(service.keys(ACCOUNT)[0]).list_containers())
    with refused(403, "KeyBasedAuthenticationNotPermitted"):
        own.at(url).get_blob_properties()
    blob.get_blob_properties()


def blob_sas(own: Served, blob: BlobClient, permission: str, **more: Any) -> str:
    key = {} if "user_delegation_key" in more else {"account_key": own.service.keys(ACCOUNT)[0]}
    options = {"expiry": soon(), **key, **more}
    token = generate_blob_sas(
        ACCOUNT,
        blob.container_name,
        blob.blob_name,
        permission=BlobSasPermissions.from_string(permission),
        **options,
    )
    return f"{blob.url}?{token}"


def test_a_signature_for_a_blob_is_for_that_blob(own: Served, blob: BlobClient) -> None:
    url = blob_sas(own, blob, "racwd")
    own.blob("other.vhd")
    own.refused(403, "AuthenticationFailed", "GET", url.replace("disk.vhd", "other.vhd"))
    at = own.at(url)
    at.upload_page(A, 0, PAGE)
    at.delete_blob()
    at.create_page_blob(PAGE)
    container = url.replace("/disk.vhd", "") + "&restype=container&comp=list"
    own.refused(403, "AuthenticationFailed", "GET", container)


def test_create_is_not_overwrite(own: Served, blob: BlobClient) -> None:
    with refused(403, "UnauthorizedBlobOverwrite"):
        own.at(blob_sas(own, blob, "c")).create_page_blob(PAGE)
    blob.delete_blob()
    own.at(blob_sas(own, blob, "c")).create_page_blob(PAGE)
    own.at(blob_sas(own, blob, "w")).create_page_blob(2 * PAGE)
    assert blob.get_blob_properties().size == 2 * PAGE


def test_times_of_a_signature(own: Served, blob: BlobClient) -> None:
    for options in ({"expiry": soon(-1)}, {"start": soon(1), "expiry": soon(2)}):
        said = own.refused(403, "AuthenticationFailed", "GET", blob_sas(own, blob, "r", **options))
        assert said["AuthenticationErrorDetail"].startswith("Signature not valid in the specified time frame")
    assert own.raw("GET", blob_sas(own, blob, "r", start=soon(-1))).status == 200


def test_signatures_cover_what_they_say(own: Served, blob: BlobClient) -> None:
    url = blob_sas(own, blob, "r", protocol="https", content_type="text/plain")
    assert own.raw("GET", url).status == 200
    for before, after in (("sp=r", "sp=rw"), ("rsct=text", "rsct=html"), ("sr=b", "sr=c"), ("spr=https", "spr=http")):
        assert before in url
        own.refused(403, "AuthenticationFailed", "GET", url.replace(before, after))
    own.refused(403, "AuthenticationFailed", "GET", url.replace("&sp=r", ""))
    own.refused(403, "AuthenticationFailed", "GET", url.replace("sig=", "sig=%C3%A4"))


@pytest.mark.parametrize("addresses", ["127.0.0.1", "127.0.0.0-127.0.0.9", "10.0.0.1", "10.0.0.1-10.0.0.9"])
def test_signatures_for_an_address(own: Served, blob: BlobClient, addresses: str) -> None:
    url = blob_sas(own, blob, "r", ip=addresses)
    if addresses.startswith("127."):
        assert own.raw("GET", url).status == 200
    else:
        own.refused(403, "AuthorizationSourceIPMismatch", "GET", url)


@pytest.mark.parametrize("version", ["2015-04-05", "2018-11-09", "2020-12-06", "2022-11-02"])
def test_signatures_of_older_versions(own: Served, blob: BlobClient, version: str) -> None:
    end = f"{soon():%Y-%m-%dT%H:%M:%SZ}"
    lines = ["r", "", end, f"/blob/{ACCOUNT}/{CONTAINER}/disk.vhd", "", "", "", version]
    lines += ["b", ""] if version >= "2018-11-09" else []
    lines += [""] if version >= "2020-12-06" else []
    text = "\n".join([*lines, "", "", "", "", ""])
    key = base64.b64decode(own.service.keys(ACCOUNT)[0])
    digest = base64.b64encode(hmac.digest(key, text.encode(), hashlib.sha256)).decode()
    query = urlencode({"sv": version, "se": end, "sr": "b", "sp": "r", "sig": digest})
    assert own.raw("GET", f"{blob.url}?{query}").status == 200


def test_a_signature_for_a_container(own: Served, blob: BlobClient) -> None:
    token = generate_container_sas(
        ACCOUNT,
        CONTAINER,
        own.service.keys(ACCOUNT)[0],
        permission=ContainerSasPermissions.from_string("rwl"),
        expiry=soon(),
    )
    client = BlobServiceClient(own.service.endpoint(ACCOUNT), credential=token, **own.options)
    container = client.get_container_client(CONTAINER)
    assert [one.name for one in container.list_blobs()] == ["disk.vhd"]
    container.get_blob_client("disk.vhd").upload_page(A, 0, PAGE)
    with refused(403, "AuthorizationPermissionMismatch"):
        container.get_blob_client("disk.vhd").delete_blob()
    with refused(403, "AuthorizationFailure"):
        container.get_container_properties()
    with refused(403, "AuthenticationFailed"):
        list(client.get_container_client("others").list_blobs())


def account_sas(own: Served, permission: str, types: str, services: str = "b") -> BlobServiceClient:
    token = generate_account_sas(
        ACCOUNT,
        own.service.keys(ACCOUNT)[0],
        ResourceTypes.from_string(types),
        AccountSasPermissions.from_string(permission),
        soon(),
        services=services,
    )
    return BlobServiceClient(own.service.endpoint(ACCOUNT), credential=token, **own.options)


def test_a_signature_for_an_account(own: Served, blob: BlobClient) -> None:
    every = account_sas(own, "rwdlc", "sco", "bf")
    assert [one.name for one in every.list_containers()] == [CONTAINER]
    every.create_container("more").get_blob_client("disk.vhd").create_page_blob(PAGE)
    with refused(403, "AuthorizationResourceTypeMismatch"):
        account_sas(own, "rwdlc", "o").create_container("others")
    with refused(403, "AuthorizationPermissionMismatch"):
        account_sas(own, "rl", "sco").create_container("others")
    with refused(403, "AuthorizationServiceMismatch"):
        list(account_sas(own, "rwdlc", "sco", "q").list_containers())


def test_a_signature_by_a_user_delegation_key(own: Served, blob: BlobClient) -> None:
    key = own.client().get_user_delegation_key(soon(-0.5), soon(24))
    at = own.at(blob_sas(own, blob, "rw", user_delegation_key=key))
    at.upload_page(A, 0, PAGE)
    assert at.download_blob(offset=0, length=PAGE).readall() == A
    # It is independent of the account's keys.
    service = own.service
    assert isinstance(service, OwnBlobs)
    service.store.accounts[ACCOUNT].shared_key_access = False
    assert at.get_blob_properties().size
    # It allows no more than its maker may do.
    own.windows.denied_actions = (f"{BLOBS}/write",)
    with refused(403, "AuthorizationPermissionMismatch"):
        at.upload_page(A, 0, PAGE)
    key.signed_expiry = f"{soon(48):%Y-%m-%dT%H:%M:%SZ}"
    own.refused(403, "AuthenticationFailed", "GET", blob_sas(own, blob, "r", user_delegation_key=key))


def test_user_delegation_keys_have_limits(own: Served) -> None:
    client = own.client()
    for start, end in ((soon(-2), soon(-1)), (soon(2), soon(1)), (soon(), soon(24 * 7 + 1))):
        with refused(400, "InvalidXmlNodeValue"):
            client.get_user_delegation_key(start, end)
    own.refused(400, "InvalidXmlDocument", "POST", "?restype=service&comp=userdelegationkey", b"<KeyInfo>")
    with refused(403, "AuthorizationPermissionMismatch"):
        own.windows.denied_actions = ("*/generateUserDelegationKey/action",)
        client.get_user_delegation_key(soon(), soon(2))


def test_accounts_that_are_not_there(own: Served) -> None:
    url = own.service.endpoint("nobody")
    own.refused(404, "ResourceNotFound", "GET", f"{url}/disks?restype=container")
    own.refused(404, "ResourceNotFound", "GET", f"{url}/disks/x?sv=2022-11-02&se=2030-01-01&sp=r&sr=b&sig=eA%3D%3D")
