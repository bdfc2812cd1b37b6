# SPDX-License-Identifier: Apache-2.0
"""Who we are, for which project, and where Google's services are reached."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from lkcloud.errors import NotAuthenticated, NotFound, Refused, UsageError
from lkcloud.sandbox.http import Response
from lkcloud_gcp.sandbox import GcpStandIn, Seen
from lkcloud_gcp.sandbox.cloud import PROJECT
from lkcloud_gcp.sandbox.errors import ApiError
from lkcloud_gcp.session import Session

USER = {"type": "authorized_user", "client_id": "c", "client_secret": "s", "refresh_token": "r"}


def sign_in_as(folder: Path, monkeypatch: pytest.MonkeyPatch, document: object) -> None:
    path = folder / "credentials.json"
    path.write_text(document if isinstance(document, str) else json.dumps(document))
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(path))


def service_account() -> dict[str, str]:
    """Return the key file that the environment names."""
    document: dict[str, str] = json.loads(Path(os.environ["GOOGLE_APPLICATION_CREDENTIALS"]).read_text())
    return document


def refuse(gcp: GcpStandIn, operation: str, error: ApiError, times: int = 99) -> None:
    left = [times]

    def hook(seen: Seen) -> Response | None:
        if seen.phase == "before" and seen.operation == operation and left[0]:
            left[0] -= 1
            return error.json()
        return None

    gcp.traffic.hooks.append(hook)


def test_the_project_is_the_chosen_one_then_the_environments_then_the_credentials(
    gcp: GcpStandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "from-environment")
    assert Session("chosen").project == "chosen"
    assert Session().project == "from-environment"
    monkeypatch.delenv("GOOGLE_CLOUD_PROJECT")
    assert Session().project == PROJECT
    sign_in_as(tmp_path, monkeypatch, USER)
    with pytest.raises(UsageError, match="no project is known") as raised:
        _ = Session().project
    assert "--project" in raised.value.hint


def test_without_credentials_it_says_how_to_sign_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_GCE_CHECK", "true")
    with pytest.raises(NotAuthenticated, match="no application default credentials") as raised:
        Session().token()
    assert "gcloud auth application-default login" in raised.value.hint
    assert raised.value.exit_code == 4


@pytest.mark.parametrize("content", ["no JSON", "{}", '{"type": "unheard-of"}', '{"type": "service_account"}'])
def test_a_file_that_holds_no_credentials_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str
) -> None:
    sign_in_as(tmp_path, monkeypatch, content)
    with pytest.raises(NotAuthenticated) as raised:
        _ = Session("p").credentials
    assert raised.value.hint


def test_nothing_is_said_on_stderr_beside_the_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The SDK warns of user credentials without a quota project, and logs that there is no metadata server."""
    code = """
import sys
from lkcloud.errors import NotAuthenticated
from lkcloud_gcp.session import Session
try:
    Session("p").credentials
except NotAuthenticated as error:
    print(error.message)
else:
    print("there are some")
"""
    sign_in_as(tmp_path, monkeypatch, {**USER, "client_id": CLOUD_SDK_CLIENT})
    run = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert (run.stdout, run.stderr) == ("there are some\n", "")
    monkeypatch.delenv("GOOGLE_APPLICATION_CREDENTIALS")
    monkeypatch.setenv("GCE_METADATA_HOST", "127.0.0.1:1")
    monkeypatch.setenv("GCE_METADATA_IP", "127.0.0.1:1")
    monkeypatch.setenv("GCE_METADATA_TIMEOUT", "1")
    monkeypatch.setenv("GCE_METADATA_DETECT_RETRIES", "1")
    run = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert (run.stdout, run.stderr) == ("gcp: there are no application default credentials\n", "")


CLOUD_SDK_CLIENT = "764086051850-6qr4p6gpi6hn506pt8ejuq83di341hur.apps.googleusercontent.com"
"""gcloud's own client id, by which the SDK knows that `gcloud auth application-default login` made a file."""


def test_a_token_is_kept_while_it_is_good_for_some_minutes(gcp: GcpStandIn) -> None:
    session = Session()
    with ThreadPoolExecutor(8) as threads:
        tokens = list(threads.map(lambda _: session.token(), range(32)))
    assert len(set(tokens)) == 1
    assert gcp.traffic.operations().count("token") == 1
    gcp.windows.token_life = 200  # less than the minutes that it must have left
    short = Session()
    assert short.token() != short.token()


def test_a_good_token_is_used_while_a_new_one_cannot_be_had(gcp: GcpStandIn) -> None:
    gcp.windows.token_life = 200
    session = Session()
    first = session.token()
    gcp.expire_credentials()
    assert session.token() == first


def test_credentials_that_google_does_not_take_are_told(gcp: GcpStandIn) -> None:
    gcp.expire_credentials()
    with pytest.raises(NotAuthenticated, match="invalid_grant") as raised:
        Session().token()
    assert raised.value.hint


def test_a_stumble_while_signing_in_is_tried_again(gcp: GcpStandIn) -> None:
    refuse(gcp, "token", ApiError(503, "backendError", "later"), times=1)
    assert Session().token()


def test_requests_beside_the_sdks_name_the_quota_project(gcp: GcpStandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    session = Session()
    assert session.authorization() == {"Authorization": f"Bearer {session.token()}"}
    monkeypatch.setenv("GOOGLE_CLOUD_QUOTA_PROJECT", "who-pays")
    assert Session().authorization()["x-goog-user-project"] == "who-pays"


def test_endpoints_are_those_of_gcloud(gcp: GcpStandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CLOUDSDK_API_ENDPOINT_OVERRIDES_STORAGE")
    assert Session().storage_url == "https://storage.googleapis.com"
    monkeypatch.setenv("CLOUDSDK_API_ENDPOINT_OVERRIDES_STORAGE", "https://storage-mine.p.googleapis.com/storage/v1/")
    assert Session().storage_url == "https://storage-mine.p.googleapis.com"
    monkeypatch.setenv("CLOUDSDK_API_ENDPOINT_OVERRIDES_COMPUTE", "compute-mine.p.googleapis.com")
    with pytest.raises(UsageError, match="CLOUDSDK_API_ENDPOINT_OVERRIDES_COMPUTE is no URL"):
        _ = Session().images


def test_resource_manager_is_not_asked_where_only_compute_engine_is_elsewhere(
    gcp: GcpStandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CLOUDSDK_API_ENDPOINT_OVERRIDES_CLOUDRESOURCEMANAGER", raising=False)
    assert Session().resource_manager_url is None
    monkeypatch.delenv("CLOUDSDK_API_ENDPOINT_OVERRIDES_COMPUTE")
    assert Session().resource_manager_url == "https://cloudresourcemanager.googleapis.com"


def test_a_universe_has_its_own_addresses(gcp: GcpStandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sign_in_as(tmp_path, monkeypatch, {**service_account(), "universe_domain": "example.goog"})
    monkeypatch.delenv("CLOUDSDK_API_ENDPOINT_OVERRIDES_STORAGE")
    monkeypatch.delenv("CLOUDSDK_API_ENDPOINT_OVERRIDES_COMPUTE")
    session = Session()
    assert session.universe == "example.goog"
    assert session.storage_url == "https://storage.example.goog"
    assert session.storage.universe_domain == "example.goog"
    assert session.images.api_endpoint == "compute.example.goog"
    monkeypatch.setenv("GOOGLE_CLOUD_UNIVERSE_DOMAIN", "other.goog")
    with pytest.raises(UsageError, match="and the credentials are of example"):
        _ = Session().storage_url


def test_certificates_are_those_that_the_sdk_trusts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("REQUESTS_CA_BUNDLE", raising=False)
    monkeypatch.delenv("CURL_CA_BUNDLE", raising=False)
    assert Session("p").ca is None
    monkeypatch.setenv("CURL_CA_BUNDLE", "/curl.pem")
    assert Session("p").ca == "/curl.pem"
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/requests.pem")
    assert Session("p").ca == "/requests.pem"


def look(session: Session) -> object:
    return session.call("looking", lambda **how: session.images.get(project=session.project, image="none", **how))


def test_throttles_and_stumbles_are_tried_again_and_refusals_are_told(gcp: GcpStandIn) -> None:
    refuse(gcp, "images.get", ApiError(403, "rateLimitExceeded", "Rate Limit Exceeded"), times=2)
    refuse(gcp, "images.get", ApiError(503, "backendError", "Service Unavailable"), times=1)
    with pytest.raises(NotFound) as raised:
        look(Session())
    assert raised.value.__cause__ is not None
    assert gcp.traffic.operations().count("images.get") == 4
    refuse(gcp, "images.get", ApiError(403, "forbidden", "Required 'compute.images.get' permission for 'x'"))
    with pytest.raises(Refused) as refused:
        look(Session())
    assert "compute.images.get" in refused.value.hint


def test_storage_is_asked_once_where_google_says_no(gcp: GcpStandIn) -> None:
    """The SDK tries again by itself unless it is told not to."""
    refuse(gcp, "buckets.get", ApiError(401, "authError", "Invalid Credentials"), times=1)
    session = Session()
    with pytest.raises(NotFound):
        session.call("looking", lambda **how: session.storage.get_bucket("none", **how))
    refuse(gcp, "buckets.get", ApiError(403, "forbidden", "no"))
    gcp.traffic.clear()
    with pytest.raises(Refused):
        session.call("looking", lambda **how: session.storage.get_bucket("none", **how))
    assert gcp.traffic.operations().count("buckets.get") == 1


def test_an_error_of_ours_goes_through_as_it_is() -> None:
    error = UsageError("mine", hint="h")

    def fail(**how: object) -> None:
        raise error

    with pytest.raises(UsageError) as raised:
        Session("p").call("trying", fail)
    assert raised.value is error
    assert raised.value.__cause__ is None


@pytest.mark.parametrize("defect", [ValueError, KeyError])
def test_a_defect_is_not_dressed_up(defect: Callable[[str], Exception]) -> None:
    def fail(**how: object) -> None:
        raise defect("a defect")

    with pytest.raises(Exception, match="a defect") as raised:
        Session("p").call("trying", fail)
    assert type(raised.value) is defect
