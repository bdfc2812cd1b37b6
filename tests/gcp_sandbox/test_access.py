# SPDX-License-Identifier: Apache-2.0
"""Who is let in."""

import json
import time
from pathlib import Path
from urllib.parse import urlencode

import google.auth
import pytest
from google.auth import crypt, jwt
from google.auth.exceptions import RefreshError
from google.auth.transport.requests import AuthorizedSession
from google.cloud import storage
from google.oauth2 import service_account

from lkcloud_gcp.sandbox import GcpStandIn
from tests.gcp_sandbox.raw import BUCKET, Raw

SCOPE = "https://www.googleapis.com/auth/cloud-platform"
GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"


def key_file(gcp: GcpStandIn) -> Path:
    return Path(gcp.environment()["GOOGLE_APPLICATION_CREDENTIALS"])


def assertion(gcp: GcpStandIn, **claims: object) -> str:
    """Return a token that the service account has signed."""
    document = json.loads(key_file(gcp).read_bytes())
    now = int(time.time())
    own = {"iss": document["client_email"], "sub": document["client_email"], "iat": now, "exp": now + 3600}
    signer = crypt.RSASigner.from_service_account_info(document)
    return jwt.encode(signer, {**own, **claims}).decode()


def grant(raw: Raw, token: str, kind: str = GRANT) -> tuple[int, str]:
    """Ask for an access token; return the status and what was wrong, or the token."""
    form = urlencode({"grant_type": kind, "assertion": token})
    answer = raw("POST", "/token", form, {"Content-Type": "application/x-www-form-urlencoded"})
    document = json.loads(answer.data)
    return answer.status, document.get("error") or document["access_token"]


def test_the_default_credentials_sign_in(gcp: GcpStandIn, client: storage.Client) -> None:
    client.create_bucket(BUCKET)
    assert gcp.traffic.operations() == ["token", "buckets.insert"]
    assert key_file(gcp).stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    "service", ["/storage/v1/b/lkcloud-disks", "/compute/v1/projects/lkcloud-sandbox/global/images"]
)
@pytest.mark.parametrize("token", ["garbage", "ya29.sandbox-none", "a.b.c", "eyJhbGciOiJSUzI1NiJ9.e30.AAAA"])
def test_what_is_no_token_is_refused(raw: Raw, service: str, token: str) -> None:
    assert raw.refused(401, "authError", "GET", service, token=token) == "Invalid Credentials"


def test_a_refusal_says_unauthenticated(raw: Raw) -> None:
    answer = raw("GET", "/storage/v1/b/x", headers={"Authorization": "Basic eDp5"})
    assert json.loads(answer.data)["error"]["status"] == "UNAUTHENTICATED"
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    raw.refused(401, "AuthenticationRequired", "GET", f"/{BUCKET}/object", token="garbage")


def test_a_token_ends(gcp: GcpStandIn, raw: Raw) -> None:
    gcp.windows.token_life = 0.2
    _, token = grant(raw, assertion(gcp, aud=f"{raw.address}/token", scope=SCOPE))
    path = "/storage/v1/b?project=lkcloud-sandbox"
    assert raw("GET", path, token=token).status == 200
    time.sleep(0.25)
    raw.refused(401, "authError", "GET", path, token=token)


def test_a_client_fetches_a_new_token_when_the_old_one_ends(gcp: GcpStandIn, client: storage.Client) -> None:
    gcp.windows.token_life = 0.2
    client.create_bucket(BUCKET)
    time.sleep(0.25)
    assert client.get_bucket(BUCKET).name == BUCKET
    assert gcp.traffic.operations().count("token") == 2


def test_expired_credentials(gcp: GcpStandIn, client: storage.Client, raw: Raw) -> None:
    gcp.expire_credentials()
    raw.refused(401, "authError", "GET", "/storage/v1/b?project=lkcloud-sandbox")
    with pytest.raises(RefreshError, match="invalid_grant"):
        client.create_bucket(BUCKET)
    gcp.expire_credentials(expired=False)
    client.create_bucket(BUCKET)


def test_a_token_that_the_account_signed_itself(gcp: GcpStandIn, raw: Raw) -> None:
    path = "/storage/v1/b?project=lkcloud-sandbox"
    for claims in ({"scope": SCOPE}, {"aud": "https://storage.googleapis.com/"}):
        assert raw("GET", path, token=assertion(gcp, **claims)).status == 200
    past = int(time.time()) - 7200
    for bad in (
        {},
        {"scope": "openid"},
        {"scope": SCOPE, "iat": past, "exp": past + 3600},
        {"scope": SCOPE, "iss": "x"},
    ):
        raw.refused(401, "authError", "GET", path, token=assertion(gcp, **bad))


def test_google_auth_can_use_such_a_token(gcp: GcpStandIn) -> None:
    credentials = service_account.Credentials.from_service_account_file(str(key_file(gcp)), scopes=[SCOPE])
    signing = credentials.with_always_use_jwt_access(True)
    with AuthorizedSession(signing) as session:
        address = gcp.environment()["CLOUDSDK_API_ENDPOINT_OVERRIDES_STORAGE"]
        assert session.get(f"{address}b?project=lkcloud-sandbox").status_code == 200
    assert "token" not in gcp.traffic.operations()


def test_assertions_that_are_refused(gcp: GcpStandIn, raw: Raw) -> None:
    good = {"aud": "https://oauth2.googleapis.com/token", "scope": SCOPE}
    assert grant(raw, assertion(gcp, **good))[0] == 200
    past = int(time.time()) - 7200
    assert grant(raw, assertion(gcp, **good), kind="password") == (400, "unsupported_grant_type")
    assert grant(raw, assertion(gcp, **{**good, "scope": "openid"})) == (400, "invalid_scope")
    for bad in ({"aud": "https://example.com/token"}, {"iss": "x@example.com"}, {"iat": past, "exp": past + 60}):
        assert grant(raw, assertion(gcp, **{**good, **bad})) == (400, "invalid_grant")
    assert grant(raw, assertion(gcp, **good, exp=int(time.time()) + 7200)) == (400, "invalid_grant")
    token = assertion(gcp, **good)
    assert grant(raw, token[:-8] + "AAAAAAAA") == (400, "invalid_grant")


def test_the_environment_names_the_project(gcp: GcpStandIn) -> None:
    _, project = google.auth.default()
    assert project == "lkcloud-sandbox"
