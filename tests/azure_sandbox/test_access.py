# SPDX-License-Identifier: Apache-2.0
import json
import socket
import ssl
import time
from pathlib import Path
from urllib.parse import urlsplit

import jwt
import msal
import pytest
import urllib3
from azure.core.exceptions import ClientAuthenticationError
from azure.identity import ClientSecretCredential, EnvironmentCredential, WorkloadIdentityCredential

from lkcloud.errors import NotAuthenticated
from lkcloud_azure.sandbox import AzureStandIn
from lkcloud_azure.sandbox.access import CLIENT, PRINCIPAL, SECRET, TENANT, Tokens
from lkcloud_azure.sandbox.certificate import Certificate
from lkcloud_azure.sandbox.windows import Windows
from lkcloud_azure.session import Session
from tests.azure_sandbox.arm import Arm, refused

SCOPE = "https://management.azure.com/.default"


def authority(azure: AzureStandIn) -> str:
    return azure.environment()["AZURE_AUTHORITY_HOST"]


def test_a_token_says_who_and_for_what(azure: AzureStandIn) -> None:
    with EnvironmentCredential(disable_instance_discovery=True) as credential:
        token = credential.get_token(SCOPE)
    claims = jwt.decode(token.token, options={"verify_signature": False})
    assert (claims["aud"], claims["tid"], claims["oid"]) == ("https://management.azure.com", TENANT, PRINCIPAL)
    assert claims["iss"] == f"https://sts.windows.net/{TENANT}/"
    assert claims["exp"] == pytest.approx(time.time() + 3600, abs=30)
    assert token.expires_on == pytest.approx(claims["exp"], abs=30)


@pytest.mark.parametrize(
    ("scope", "audience"),
    [
        ("https://management.core.windows.net//.default", "https://management.core.windows.net/"),
        ("https://storage.azure.com/.default", "https://storage.azure.com"),
        ("https://someaccount.blob.core.windows.net/.default", "https://someaccount.blob.core.windows.net"),
    ],
)
def test_the_audience_is_the_scope_without_its_end(azure: AzureStandIn, scope: str, audience: str) -> None:
    with EnvironmentCredential(disable_instance_discovery=True) as credential:
        claims = jwt.decode(credential.get_token(scope).token, options={"verify_signature": False})
    assert claims["aud"] == audience


@pytest.mark.parametrize(
    ("tenant", "client", "secret", "scope", "told"),
    [
        (TENANT, CLIENT, "wrong", SCOPE, "AADSTS7000215: Invalid client secret provided."),
        (TENANT, "00000000-1111-2222-3333-444444444444", SECRET, SCOPE, "AADSTS700016: Application with identifier"),
        ("00000000-1111-2222-3333-444444444444", CLIENT, SECRET, SCOPE, "Unable to get authority configuration"),
        (
            TENANT,
            CLIENT,
            SECRET,
            "https://example.com/.default",
            "AADSTS500011: The resource principal named https://ex",
        ),
        (TENANT, CLIENT, SECRET, "https://management.azure.com/x", "AADSTS1002012: The provided value for scope"),
    ],
)
def test_what_gets_no_token(azure: AzureStandIn, tenant: str, client: str, secret: str, scope: str, told: str) -> None:
    with (
        ClientSecretCredential(
            tenant, client, secret, authority=authority(azure), disable_instance_discovery=True
        ) as credential,
        pytest.raises(ClientAuthenticationError, match=told),
    ):
        credential.get_token(scope)


@pytest.mark.parametrize(
    ("form", "status", "error", "number"),
    [
        ({"client_secret": "wrong"}, 401, "invalid_client", 7000215),
        ({"client_secret": None}, 401, "invalid_client", 7000216),
        ({"client_id": None}, 400, "invalid_request", 900144),
        ({"scope": None}, 400, "invalid_request", 900144),
        ({"grant_type": "password"}, 400, "unsupported_grant_type", 70003),
        ({"client_assertion": "x"}, 400, "invalid_request", 900144),
    ],
)
def test_the_words_of_entra_id(
    azure: AzureStandIn, form: dict[str, str | None], status: int, error: str, number: int
) -> None:
    whole = {
        "grant_type": "client_credentials",
        "client_id": CLIENT,
        "client_secret": SECRET,
        "scope": SCOPE,
        **form,
    }
    fields = {name: value for name, value in whole.items() if value is not None}
    with urllib3.PoolManager(ca_certs=azure.environment()["SSL_CERT_FILE"]) as pool:
        url = f"{authority(azure)}/{TENANT}/oauth2/v2.0/token"
        answer = pool.request_encode_body("POST", url, fields=fields, encode_multipart=False)
    told = json.loads(answer.data)
    assert (answer.status, told["error"], told["error_codes"]) == (status, error, [number])
    assert told["error_description"].startswith(f"AADSTS{number}: ")
    assert f"Trace ID: {told['trace_id']}" in told["error_description"]


def test_a_tenant_that_there_is_not(azure: AzureStandIn) -> None:
    with urllib3.PoolManager(ca_certs=azure.environment()["SSL_CERT_FILE"]) as pool:
        answer = pool.request("GET", f"{authority(azure)}/nobody.example/v2.0/.well-known/openid-configuration")
    told = json.loads(answer.data)
    assert (answer.status, told["error"], told["error_codes"]) == (400, "invalid_tenant", [90002])


def test_msal_finds_the_tenant_by_instance_discovery(azure: AzureStandIn) -> None:
    """MSAL asks for the authority before it believes in it, if it is told where to ask."""
    host = authority(azure)
    application = msal.ConfidentialClientApplication(
        CLIENT,
        SECRET,
        authority=f"{host}/{TENANT}",
        instance_discovery=f"{host}/common/discovery/instance",
        verify=azure.environment()["SSL_CERT_FILE"],
    )
    assert "access_token" in application.acquire_token_for_client([SCOPE])
    assert azure.traffic.operations() == ["instance", "openid-configuration", "token"]


def test_a_workload_identity(azure: AzureStandIn, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(azure.holdings.tokens.federated())
    with WorkloadIdentityCredential(
        tenant_id=TENANT,
        client_id=CLIENT,
        token_file_path=str(file),
        authority=authority(azure),
        disable_instance_discovery=True,
    ) as credential:
        assert credential.get_token(SCOPE).token


@pytest.mark.parametrize(
    ("token", "told"),
    [
        ({"life": -10.0}, "AADSTS700024"),
        ({"audience": "api://another"}, "AADSTS700212"),
        ({"subject": "repo:another/one"}, "AADSTS700213: .* presented assertion subject 'repo:another/one'"),
        (None, "AADSTS50013"),
    ],
)
def test_tokens_of_others_that_are_not_taken(
    azure: AzureStandIn, tmp_path: Path, token: dict[str, object] | None, told: str
) -> None:
    file = tmp_path / "token"
    tokens = azure.holdings.tokens if token is not None else Tokens(Windows())
    file.write_text(tokens.federated(**(token or {})))
    with (
        WorkloadIdentityCredential(
            tenant_id=TENANT,
            client_id=CLIENT,
            token_file_path=str(file),
            authority=authority(azure),
            disable_instance_discovery=True,
        ) as credential,
        pytest.raises(ClientAuthenticationError, match=told),
    ):
        credential.get_token(SCOPE)


def test_lkcloud_tells_what_entra_id_tells(azure: AzureStandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_CLIENT_SECRET", "wrong")
    session = Session(resource_manager=azure.environment()["LKCLOUD_AZURE_RESOURCE_MANAGER"])
    with pytest.raises(NotAuthenticated, match="AADSTS7000215: Invalid client secret provided"):
        session.call("looking", lambda: list(session.compute.disks.list()))


def test_the_subscription_is_the_only_one(azure: AzureStandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AZURE_SUBSCRIPTION_ID")
    session = Session(resource_manager=azure.environment()["LKCLOUD_AZURE_RESOURCE_MANAGER"])
    assert session.subscription == azure.environment()["AZURE_SUBSCRIPTION_ID"]


def test_a_request_without_a_token(arm: Arm) -> None:
    status, told, headers = arm.raw("GET", "/subscriptions", version="2022-12-01", Authorization="")
    assert (status, told["error"]["code"]) == (401, "AuthenticationFailed")
    assert headers["WWW-Authenticate"].startswith("Bearer authorization_uri=")


def test_tokens_that_are_none(arm: Arm) -> None:
    for token in ("of-nobody", Tokens(Windows()).issue("https://management.azure.com")):
        status, told, _ = arm.raw("GET", "/subscriptions", version="2022-12-01", Authorization=f"Bearer {token}")
        assert (status, told["error"]["code"]) == (401, "InvalidAuthenticationToken")


def test_a_token_for_another_audience(arm: Arm) -> None:
    token = arm.cloud.holdings.tokens.issue("https://storage.azure.com")
    status, told, _ = arm.raw("GET", "/subscriptions", version="2022-12-01", Authorization=f"Bearer {token}")
    assert (status, told["error"]["code"]) == (401, "InvalidAuthenticationTokenAudience")
    assert "'https://storage.azure.com'" in told["error"]["message"]


def test_tokens_end(arm: Arm) -> None:
    arm.cloud.expire_credentials()
    told = refused(401, "ExpiredAuthenticationToken", arm.compute.disks.get, "group", "disk")
    assert "is earlier than current UTC time" in told
    arm.cloud.windows.token_life = -1
    arm.cloud.expire_credentials(expired=False)
    token = arm.cloud.holdings.tokens.issue("https://management.azure.com")
    status, answer, _ = arm.raw("GET", "/subscriptions", version="2022-12-01", Authorization=f"Bearer {token}")
    assert (status, answer["error"]["code"]) == (401, "ExpiredAuthenticationToken")


def test_the_certificate_is_trusted_by_strict_clients_too(azure: AzureStandIn) -> None:
    address = urlsplit(authority(azure))
    context = ssl.create_default_context(cafile=azure.environment()["SSL_CERT_FILE"])
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    for name in ("127.0.0.1", "localhost"):
        with (
            socket.create_connection((address.hostname, address.port)) as plain,
            context.wrap_socket(plain, server_hostname=name) as connection,
        ):
            assert connection.version() in ("TLSv1.2", "TLSv1.3")


def test_others_do_not_trust_it(azure: AzureStandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")
    address = urlsplit(authority(azure))
    with (
        socket.create_connection((address.hostname, address.port)) as plain,
        pytest.raises(ssl.SSLCertVerificationError),
    ):
        ssl.create_default_context().wrap_socket(plain, server_hostname="127.0.0.1")


def test_the_bundle_has_what_was_trusted_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second sandbox, or a company's own authority, is trusted beside it."""
    first = Certificate(tmp_path / "first")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(first.pem))
    monkeypatch.setenv("SSL_CERT_FILE", "/nowhere")
    second = Certificate(tmp_path / "second")
    bundle = second.bundle.read_text()
    assert first.pem.read_text().strip() in bundle
    assert bundle.count("BEGIN CERTIFICATE") > 100
    assert second.bundle.read_text().count(second.pem.read_text().strip()) == 1
    assert second.key.stat().st_mode & 0o077 == 0
