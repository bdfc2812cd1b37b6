# SPDX-License-Identifier: Apache-2.0
"""The words of errors: Azure's own, in one line, without what is secret or for Microsoft's support."""

import http.server
import json
import socket
import threading
from collections.abc import Callable, Iterator

import pytest
from azure.core import PipelineClient
from azure.core import exceptions as core
from azure.core.rest import HttpRequest, HttpResponse
from azure.identity import ChainedTokenCredential, ClientSecretCredential, CredentialUnavailableError

from lkcloud.errors import NotAuthenticated, Unreachable
from lkcloud.transfer.http import TransportError, Untrusted
from lkcloud.transfer.retry import Verdict
from lkcloud_azure.errors import code_of, judge
from lkcloud_azure.operations import failure
from lkcloud_azure.plain import origin
from tests.azure.answers import DOING, POLICY, arm, blob, entra, page, signing_in, told


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


def test_a_proxy_that_is_not_there_is_told_while_signing_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    credential = ClientSecretCredential("t" * 8, "c", "s", disable_instance_discovery=True, retry_total=0)
    with pytest.raises(core.ClientAuthenticationError) as raised:
        ChainedTokenCredential(credential).get_token("https://management.azure.com/.default")
    found = told(raised.value)
    assert isinstance(found, Unreachable)
    assert found.message == (
        "azure: signing in: Unable to connect to proxy: 127.0.0.1: Failed to establish a new connection: "
        "[Errno 111] Connection refused"
    )


def test_a_tenant_that_is_not_there_is_told_as_such() -> None:
    said = "Unable to get authority configuration for https://login.microsoftonline.com/none. Authority would ..."
    with pytest.raises(core.ClientAuthenticationError) as raised:
        raise core.ClientAuthenticationError(said)
    found = told(raised.value)
    assert isinstance(found, NotAuthenticated)
    assert "AZURE_TENANT_ID" in found.hint


def test_a_host_that_is_not_trusted_is_told_with_the_variable_that_helps() -> None:
    found = told(Untrusted("the certificate of x is not trusted: self-signed", hint="name its CA bundle"))
    assert found.message == f"azure: {DOING}: the certificate of x is not trusted: self-signed"
    assert "REQUESTS_CA_BUNDLE" in found.hint
    assert type(found) is Untrusted


def test_the_port_of_https_can_be_written_or_not() -> None:
    azures = origin("https://management.azure.com")
    assert origin("https://MANAGEMENT.azure.com:443/subscriptions/s?api-version=1") == azures
    for other in ("https://management.azure.com:444/", "http://management.azure.com/", "https://azure.com/"):
        assert origin(other) != azures
