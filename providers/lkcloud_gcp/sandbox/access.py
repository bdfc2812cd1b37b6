# SPDX-License-Identifier: Apache-2.0
"""Who may come in: a service account's key, the tokens that are given for it, and the tokens it signs itself."""

import json
import secrets
import time
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from google.auth import exceptions, jwt

from lkcloud.sandbox.http import Request, Response
from lkcloud_gcp.sandbox.cloud import PROJECT
from lkcloud_gcp.sandbox.errors import ApiError
from lkcloud_gcp.sandbox.windows import Windows

EMAIL = f"lkcloud@{PROJECT}.iam.gserviceaccount.com"

_GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_SCOPES = ("cloud-platform", "compute", "devstorage.full_control", "devstorage.read_write")
"""With one of these a token is good for all that is here: https://developers.google.com/identity/protocols/oauth2/scopes"""
_LONGEST = 3600
"""Seconds from iat to exp: https://developers.google.com/identity/protocols/oauth2/service-account#authorizingrequests"""
_TOLERANCE = 300
"""Seconds that two clocks may differ by: that there is some is said, how much is not."""
_UNREASONABLE = (
    "Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe. Check your iat and exp "
    "values in the JWT claim."
)


class Keys:
    """The key of one service account, and the access tokens that were given for it."""

    def __init__(self, windows: Windows) -> None:
        self._windows = windows
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self._id = secrets.token_hex(20)
        self._tokens: dict[str, float] = {}
        self._address = ""
        self.expired = False
        """Whether neither the key nor any token is good."""
        self.clock_skew = 0.0
        """Seconds by which Google's clock is before this machine's."""

    def file(self, home: Path) -> Path:
        """Return where the key file is."""
        return home / "service-account.json"

    def write(self, home: Path, address: str) -> None:
        """Write the key file, whose tokens are fetched at ADDRESS."""
        self._address = address
        private = self._key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        document = {
            "type": "service_account",
            "project_id": PROJECT,
            "private_key_id": self._id,
            "private_key": private.decode(),
            "client_email": EMAIL,
            "client_id": "100000000000000000001",
            "auth_uri": f"{address}/auth",
            "token_uri": f"{address}/token",
            "universe_domain": "googleapis.com",
        }
        home.mkdir(parents=True, exist_ok=True)
        path = self.file(home)
        path.touch(mode=0o600)
        path.write_text(json.dumps(document, indent=2))

    def grant(self, form: dict[str, str]) -> Response:
        """Answer a request for an access token.

        https://developers.google.com/identity/protocols/oauth2/service-account#authorizingrequests
        """
        if form.get("grant_type") != _GRANT:
            return _refusal("unsupported_grant_type", f"Invalid grant_type: {form.get('grant_type', '')}")
        claims = self._claims(form.get("assertion", ""))
        if claims is None or self.expired:
            return _refusal("invalid_grant", "Invalid JWT Signature.")
        if refusal := self._refusal(claims):
            return refusal
        token = f"ya29.sandbox-{secrets.token_urlsafe(48)}"
        life = self._windows.token_life
        self._tokens[token] = time.monotonic() + life
        document = {"access_token": token, "expires_in": int(life), "token_type": "Bearer"}
        return Response(200, {"Content-Type": "application/json"}, json.dumps(document).encode())

    def _refusal(self, claims: dict[str, str]) -> Response | None:
        # google-auth has Google's own address as the audience, whatever the key file says; others have the file's.
        if claims.get("aud") not in ("https://oauth2.googleapis.com/token", f"{self._address}/token"):
            return _refusal("invalid_grant", "Invalid JWT: Failed audience check.")
        if claims.get("iss") != EMAIL:
            return _refusal("invalid_grant", "Invalid issuer: Not a valid service account.")
        now, issued, ends = time.time() + self.clock_skew, int(claims["iat"]), int(claims["exp"])
        if ends - issued > _LONGEST or issued > now + _TOLERANCE or ends < now - _TOLERANCE:
            return _refusal("invalid_grant", _UNREASONABLE)
        if not _covers(str(claims.get("scope", ""))):
            return _refusal("invalid_scope", "Invalid OAuth scope or ID token audience provided.")
        return None

    def check(self, request: Request) -> None:
        """Raise ApiError if REQUEST has no bearer token that is good."""
        scheme, _, token = request.header("Authorization").partition(" ")
        if scheme != "Bearer" or not token or self.expired or not self._good(token):
            raise ApiError(
                401,
                "authError",
                "Invalid Credentials",
                "AuthenticationRequired",
                {"WWW-Authenticate": 'Bearer realm="https://accounts.google.com/", error="invalid_token"'},
                status_name="UNAUTHENTICATED",
                location="Authorization",
            )

    def _good(self, token: str) -> bool:
        if token in self._tokens:
            return time.monotonic() < self._tokens[token]
        # Tokens that an account signs itself (https://google.aip.dev/auth/4111): for a scope, or for one service.
        claims = self._claims(token)
        if claims is None or claims.get("iss") != EMAIL or claims.get("sub") != EMAIL:
            return False
        audience = str(claims.get("aud", ""))
        return _covers(str(claims.get("scope", ""))) or audience.startswith(("https://", f"{self._address}/"))

    def _claims(self, token: str) -> dict[str, str] | None:
        """Return what TOKEN says, None if this account has not signed it or it is not good now."""
        public = self._key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        try:
            claims: dict[str, str] = dict(jwt.decode(token, certs={self._id: public}))
        except (ValueError, TypeError, exceptions.GoogleAuthError):
            return None
        return claims


def _covers(scope: str) -> bool:
    return any(word.removeprefix("https://www.googleapis.com/auth/") in _SCOPES for word in scope.split())


def _refusal(error: str, description: str) -> Response:
    document = {"error": error, "error_description": description}
    return Response(400, {"Content-Type": "application/json"}, json.dumps(document).encode())
