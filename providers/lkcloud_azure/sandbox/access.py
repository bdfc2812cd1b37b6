# SPDX-License-Identifier: Apache-2.0
"""Who may come in: Entra ID's tokens for one service principal, which are JWTs, and what is good about one.

https://learn.microsoft.com/entra/identity-platform/v2-oauth2-client-creds-grant-flow; the codes:
https://learn.microsoft.com/entra/identity-platform/reference-error-codes.
"""

import json
import re
import time
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cached_property
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa

from lkcloud.sandbox.http import Request, Response
from lkcloud_azure.sandbox.errors import ApiError
from lkcloud_azure.sandbox.windows import Windows

TENANT = "9b7c1f0e-52a4-4f6d-8e0b-3f2a6d5c4b1a"
CLIENT = "5d0c2a7e-1b39-4c85-9f64-7e8d90ab12c3"
SECRET = "sbx8Q~lkcloud-sandbox-is-no-secret-of-anyone"  # noqa: S105 - it opens nothing but the stand-in
PRINCIPAL = "c1f5b0d4-7a26-4e93-b8c7-0d9e2f3a4b5c"
"""The object id of the client's service principal, which role assignments name."""

ARM = "https://management.azure.com"
STORAGE = "https://storage.azure.com"

_AUDIENCES = {
    # Azure-Samples/active-directory-dotnetcore-daemon-v2#145
    ARM: re.compile(r"https://management\.(core\.windows\.net|azure\.com)/?"),
    # https://learn.microsoft.com/azure/storage/blobs/authorize-access-azure-active-directory#microsoft-entra-resource-id
    STORAGE: re.compile(r"https://(storage\.azure\.com|[a-z0-9]{3,24}\.blob\.core\.windows\.net)/?"),
    # https://learn.microsoft.com/azure/virtual-machines/disks-secure-upload-download
    "https://disk.azure.com": re.compile(r"https://disk\.(compute\.)?azure\.com/?"),
}
_ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_FEDERATED = "api://AzureADTokenExchange"
"""https://learn.microsoft.com/entra/workload-id/workload-identity-federation: the audience of others' tokens."""
_SUBJECT = "system:serviceaccount:lkcloud:sandbox"
_PATHS = re.compile(r"/(?P<tenant>[^/]+)/(?P<what>oauth2/v2\.0/token|v2\.0/\.well-known/openid-configuration)")
_INSTANCE = "/common/discovery/instance"


class Tokens:
    """One application of one tenant, its secret, the tokens that are given for it, and those that it takes."""

    def __init__(self, windows: Windows) -> None:
        self._windows = windows
        self.expired = False
        """Whether neither the secret nor any token is good."""

    @cached_property
    def _key(self) -> rsa.RSAPrivateKey:
        return rsa.generate_private_key(public_exponent=65537, key_size=2048)

    @cached_property
    def _issuer_key(self) -> rsa.RSAPrivateKey:
        """Of the other identity provider, whose tokens are taken for the secret."""
        return rsa.generate_private_key(public_exponent=65537, key_size=2048)

    def federated(self, *, subject: str = _SUBJECT, audience: str = _FEDERATED, life: float = 600.0) -> str:
        """Return a token of another identity provider, as the file has it that AZURE_FEDERATED_TOKEN_FILE names."""
        now = int(time.time())
        claims = {"iss": "https://issuer.invalid/", "sub": subject, "aud": audience, "iat": now, "exp": now + life}
        return jwt.encode(claims, self._issuer_key, "RS256")

    @staticmethod
    def operation(request: Request) -> str:
        """Return what REQUEST asks of Entra ID: `token`, `openid-configuration`, `instance`, or "" if nothing."""
        path = _PATHS.fullmatch(request.path)
        if path is not None:
            return path["what"].rpartition("/")[2]
        return "instance" if request.path == _INSTANCE else ""

    def answer(self, request: Request, address: str) -> Response:
        """Answer what `operation` has a name for; ADDRESS is the URL of this server."""
        match self.operation(request):
            case "token":
                return self.grant(request)
            case "openid-configuration":
                return self._configuration(request, address)
            case _:
                return self._instance(request, address)

    def grant(self, request: Request) -> Response:
        """Answer a request for an access token."""
        form = dict(parse_qsl(request.body.all().decode("latin-1")))
        path = _PATHS.fullmatch(request.path)
        assert path is not None
        try:
            if request.method != "POST":
                raise _Refusal(900561, "invalid_request", "The endpoint only accepts POST requests.", 405)
            self._check_tenant(path["tenant"], "invalid_request")
            self._check_client(form)
            audience = self._audience(form)
        except _Refusal as refusal:
            return refusal.response()
        life = int(self._windows.token_life)
        document = {"token_type": "Bearer", "expires_in": life, "ext_expires_in": life}
        return _json(200, document | {"access_token": self.issue(audience)})

    def issue(self, audience: str) -> str:
        """Return an access token for AUDIENCE: https://learn.microsoft.com/entra/identity-platform/access-token-claims-reference."""
        now = int(time.time())
        claims = {
            "aud": audience,
            "iss": f"https://sts.windows.net/{TENANT}/",
            "iat": now,
            "nbf": now,
            "exp": now + int(self._windows.token_life),
            "appid": CLIENT,
            "appidacr": "1",
            "idp": f"https://sts.windows.net/{TENANT}/",
            "idtyp": "app",
            "oid": PRINCIPAL,
            "sub": PRINCIPAL,
            "tid": TENANT,
            "uti": uuid.uuid4().hex,
            "ver": "1.0",
        }
        return jwt.encode(claims, self._key, "RS256", {"kid": "lkcloud-sandbox"})

    def require(self, request: Request, audience: str) -> None:
        """Raise ApiError if REQUEST has no token that is good for AUDIENCE, one of ARM and STORAGE."""
        scheme, _, token = request.header("Authorization").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise _unauthorized(
                audience, "AuthenticationFailed", "Authentication failed. The 'Authorization' header is missing."
            )
        try:
            claims: dict[str, Any] = jwt.decode(
                token, self._key.public_key(), ["RS256"], options={"verify_aud": False, "verify_exp": False}
            )
        except jwt.InvalidTokenError:
            raise _unauthorized(audience, "InvalidAuthenticationToken", "The access token is invalid.") from None
        if self.expired or claims["exp"] <= time.time():
            times = [
                f"{datetime.fromtimestamp(when, UTC):%m/%d/%Y %I:%M:%S %p}" for when in (claims["exp"], time.time())
            ]
            message = f"The access token expiry UTC time '{times[0]}' is earlier than current UTC time '{times[1]}'."
            raise _unauthorized(audience, "ExpiredAuthenticationToken", message)
        if not _AUDIENCES[audience].fullmatch(claims["aud"]):
            message = (
                f"The access token has been obtained for wrong audience or resource '{claims['aud']}'. It should "
                "exactly match with one of the allowed audiences 'https://management.core.windows.net/',"
                "'https://management.core.windows.net','https://management.azure.com/','https://management.azure.com'."
            )
            raise _unauthorized(audience, "InvalidAuthenticationTokenAudience", message)

    def _check_tenant(self, tenant: str, error: str) -> None:
        if tenant.lower() != TENANT:
            message = (
                f"Tenant '{tenant}' not found. Check to make sure you have the correct tenant ID and are signing into "
                "the correct cloud. Check with your subscription administrator, this may happen if there are no active "
                "subscriptions for the tenant."
            )
            raise _Refusal(90002, error, message)

    def _check_client(self, form: Mapping[str, str]) -> None:
        if form.get("grant_type") != "client_credentials":
            raise _Refusal(70003, "unsupported_grant_type", "The app requested an unsupported grant type.")
        client = form.get("client_id", "")
        if not client:
            raise _Refusal(
                900144, "invalid_request", "The request body must contain the following parameter: 'client_id'."
            )
        if client.lower() != CLIENT:
            message = f"Application with identifier '{client}' was not found in the directory 'lkcloud sandbox'."
            raise _Refusal(700016, "unauthorized_client", message)
        if self.expired:
            message = f"The provided client secret keys for app '{client}' are expired."
            raise _Refusal(7000222, "invalid_client", message, 401)
        if "client_assertion" in form:
            self._check_assertion(form)
        elif "client_secret" not in form:
            message = (
                "'client_assertion', 'client_secret' or 'request' is required for the 'client_credentials' grant type."
            )
            raise _Refusal(7000216, "invalid_client", message, 401)
        elif form["client_secret"] != SECRET:
            # OfficeDev/microsoft-365-agents-toolkit#8621
            message = (
                "Invalid client secret provided. Ensure the secret being sent in the request is the client secret "
                f"value, not the client secret ID, for a secret added to app '{client}'."
            )
            raise _Refusal(7000215, "invalid_client", message, 401)

    def _check_assertion(self, form: Mapping[str, str]) -> None:
        if form.get("client_assertion_type") != _ASSERTION:
            message = "The request body must contain the following parameter: 'client_assertion_type'."
            raise _Refusal(900144, "invalid_request", message)
        try:
            claims = jwt.decode(
                form["client_assertion"], self._issuer_key.public_key(), ["RS256"], options={"verify_aud": False}
            )
        except jwt.ExpiredSignatureError:
            message = "Client assertion is not within its valid time range."
            raise _Refusal(700024, "invalid_client", message, 401) from None
        except jwt.InvalidTokenError:
            message = "The signature of the client assertion could not be validated."
            raise _Refusal(50013, "invalid_request", message) from None
        if claims["aud"] != _FEDERATED:
            message = f"No matching federated identity record found for presented assertion audience '{claims['aud']}'."
            raise _Refusal(700212, "invalid_request", message)
        if claims["sub"] != _SUBJECT:
            message = f"No matching federated identity record found for presented assertion subject '{claims['sub']}'."
            raise _Refusal(700213, "invalid_request", message)

    @staticmethod
    def _audience(form: Mapping[str, str]) -> str:
        scope = form.get("scope", "")
        if not scope:
            message = "The request body must contain the following parameter: 'scope'."
            raise _Refusal(900144, "invalid_request", message)
        if not scope.endswith("/.default"):
            message = (
                f"The provided value for scope {scope} is not valid. Client credential flows must have a scope value "
                "with /.default suffixed to the resource identifier (application ID URI)."
            )
            raise _Refusal(1002012, "invalid_scope", message)
        # A slash at the end of the resource stays one: https://learn.microsoft.com/entra/identity-platform/scopes-oidc
        resource = scope.removesuffix("/.default")
        if not any(pattern.fullmatch(resource) for pattern in _AUDIENCES.values()):
            message = (
                f"The resource principal named {resource} was not found in the tenant named lkcloud sandbox. This can "
                "happen if the application has not been installed by the administrator of the tenant or consented to "
                "by any user in the tenant. You might have sent your authentication request to the wrong tenant."
            )
            raise _Refusal(500011, "invalid_resource", message)
        return resource

    def _configuration(self, request: Request, address: str) -> Response:
        # https://learn.microsoft.com/entra/identity-platform/v2-protocols-oidc#fetch-the-openid-configuration-document
        path = _PATHS.fullmatch(request.path)
        assert path is not None
        try:
            self._check_tenant(path["tenant"], "invalid_tenant")
        except _Refusal as refusal:
            return refusal.response()
        root = f"{address}/{TENANT}"
        document = {
            "token_endpoint": f"{root}/oauth2/v2.0/token",
            "token_endpoint_auth_methods_supported": ["client_secret_post", "private_key_jwt", "client_secret_basic"],
            "jwks_uri": f"{root}/discovery/v2.0/keys",
            "response_types_supported": ["code", "id_token", "code id_token", "id_token token"],
            "scopes_supported": ["openid", "profile", "email", "offline_access"],
            "issuer": f"{root}/v2.0",
            "authorization_endpoint": f"{root}/oauth2/v2.0/authorize",
            "device_authorization_endpoint": f"{root}/oauth2/v2.0/devicecode",
        }
        return _json(200, document)

    @staticmethod
    def _instance(request: Request, address: str) -> Response:
        """Say that this server is an authority; asked with `authorization_endpoint`, as MSAL does."""
        # MSAL leaves the port out.
        asked = urlsplit(request.query.get("authorization_endpoint", "")).hostname
        if asked is None or asked != urlsplit(address).hostname:
            return _Refusal(50049, "invalid_instance", "Unknown or invalid instance.").response()
        host = address.removeprefix("https://")
        document = {
            "tenant_discovery_endpoint": f"{address}/{TENANT}/v2.0/.well-known/openid-configuration",
            "api-version": "1.1",
            "metadata": [{"preferred_network": host, "preferred_cache": host, "aliases": [host]}],
        }
        return _json(200, document)


class _Refusal(Exception):
    """What Entra ID says when it gives no token."""

    def __init__(self, number: int, error: str, message: str, status: int = 400) -> None:
        super().__init__(message)
        self._number, self._error, self._message, self._status = number, error, message, status

    def response(self) -> Response:
        trace, correlation, now = str(uuid.uuid4()), str(uuid.uuid4()), f"{datetime.now(UTC):%Y-%m-%d %H:%M:%SZ}"
        described = (
            f"AADSTS{self._number}: {self._message} Trace ID: {trace} Correlation ID: {correlation} Timestamp: {now}"
        )
        document = {
            "error": self._error,
            "error_description": described,
            "error_codes": [self._number],
            "timestamp": now,
            "trace_id": trace,
            "correlation_id": correlation,
            "error_uri": f"https://login.microsoftonline.com/error?code={self._number}",
        }
        return _json(self._status, document)


def _unauthorized(audience: str, code: str, message: str) -> ApiError:
    root = f"https://login.microsoftonline.com/{TENANT}"
    if audience == ARM:
        challenge = f'Bearer authorization_uri="{root}", error="invalid_token", error_description="{message}"'
        return ApiError(401, code, message, {"WWW-Authenticate": challenge})
    # https://learn.microsoft.com/rest/api/storageservices/authorize-with-azure-active-directory#bearer-challenge
    challenge = f"Bearer authorization_uri={root}/oauth2/authorize resource_id={audience}"
    message = (
        "Server failed to authenticate the request. Please refer to the information in the www-authenticate header."
    )
    return ApiError(401, "InvalidAuthenticationInfo", message, {"WWW-Authenticate": challenge})


def _json(status: int, document: Mapping[str, Any]) -> Response:
    headers = {"Content-Type": "application/json; charset=utf-8", "Cache-Control": "no-store, no-cache"}
    return Response(status, headers, json.dumps(document).encode())
