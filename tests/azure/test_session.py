# SPDX-License-Identifier: Apache-2.0
"""Who we are, for which subscription, and where Azure is reached."""

import json
import subprocess
import sys
import time
from collections.abc import Callable

import pytest

from lkcloud.errors import NotAuthenticated, NotFound, Refused, Unreachable, UsageError
from lkcloud.sandbox.http import DropConnection, Response
from lkcloud_azure.sandbox import AzureStandIn, Seen
from lkcloud_azure.sandbox.cloud import SUBSCRIPTION
from lkcloud_azure.sandbox.errors import ApiError
from lkcloud_azure.session import Session

OTHER = "11111111-2222-3333-4444-555555555555"
CREDENTIALS = ("AZURE_TENANT_ID", "AZURE_CLIENT_ID", "AZURE_CLIENT_SECRET")


def refuse(azure: AzureStandIn, operation: str, answer: Callable[[], Response], times: int = 1) -> None:
    left = [times]

    def hook(seen: Seen) -> Response | None:
        if seen.phase == "before" and seen.operation == operation and left[0]:
            left[0] -= 1
            return answer()
        return None

    azure.traffic.hooks.append(hook)


def say(document: object) -> Callable[[], Response]:
    return lambda: Response(200, {"Content-Type": "application/json"}, json.dumps(document).encode())


def fresh(azure: AzureStandIn) -> Session:
    return Session(resource_manager=azure.environment()["LKCLOUD_AZURE_RESOURCE_MANAGER"])


def look(session: Session, group: str = "none") -> object:
    return session.call("looking for the group", lambda: session.resources.resource_groups.get(group))


def test_the_subscription_is_the_chosen_one_then_the_environments_then_the_only_one(
    azure: AzureStandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    manager = azure.environment()["LKCLOUD_AZURE_RESOURCE_MANAGER"]
    assert Session("AzureCloud", manager, OTHER).subscription == OTHER
    monkeypatch.setenv("AZURE_SUBSCRIPTION_ID", "from-environment")
    assert Session(resource_manager=manager).subscription == "from-environment"
    monkeypatch.delenv("AZURE_SUBSCRIPTION_ID")
    assert Session(resource_manager=manager).subscription == SUBSCRIPTION


@pytest.mark.parametrize(
    ("subscriptions", "words"),
    [
        ([], "sees no subscription"),
        ([{"subscriptionId": "a", "state": "Disabled"}], "sees no subscription"),
        ([{"subscriptionId": "a", "state": "Enabled"}, {"subscriptionId": "b"}], "2 subscriptions could be meant"),
    ],
)
def test_it_must_be_clear_which_subscription_is_meant(
    azure: AzureStandIn, monkeypatch: pytest.MonkeyPatch, subscriptions: object, words: str
) -> None:
    monkeypatch.delenv("AZURE_SUBSCRIPTION_ID")
    refuse(azure, "Subscriptions.List", say({"value": subscriptions}))
    with pytest.raises(UsageError, match=words) as raised:
        _ = fresh(azure).subscription
    assert "--subscription" in raised.value.hint


def test_without_credentials_it_says_how_to_sign_in(azure: AzureStandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in CREDENTIALS:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AZURE_TOKEN_CREDENTIALS", "EnvironmentCredential")
    with pytest.raises(NotAuthenticated) as raised:
        look(fresh(azure))
    assert raised.value.message.startswith("azure: ")
    assert "az login" in raised.value.hint
    assert raised.value.exit_code == 4


def test_a_secret_that_is_not_taken_is_told(azure: AzureStandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_CLIENT_SECRET", "wrong")
    with pytest.raises(NotAuthenticated, match="AADSTS7000215") as raised:
        look(fresh(azure))
    assert "AZURE_CLIENT_SECRET" in raised.value.hint
    assert "Trace ID" not in raised.value.message


def test_credentials_that_have_ended_are_told(azure: AzureStandIn) -> None:
    session = fresh(azure)
    azure.expire_credentials()
    with pytest.raises(NotAuthenticated, match="AADSTS7000222"):
        look(session)


def test_a_token_that_has_ended_is_told(azure: AzureStandIn) -> None:
    session = fresh(azure)
    with pytest.raises(NotFound):
        look(session)
    azure.expire_credentials()
    with pytest.raises(NotAuthenticated) as raised:
        look(session)
    assert raised.value.hint


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("AZURE_TENANT_ID", "no tenant", "Invalid tenant"),
        ("AZURE_AUTHORITY_HOST", "http://127.0.0.1", "https"),
        ("AZURE_TOKEN_CREDENTIALS", "nothing", "AZURE_TOKEN_CREDENTIALS"),
    ],
)
def test_a_variable_that_holds_nothing_of_its_kind_is_told(
    azure: AzureStandIn, monkeypatch: pytest.MonkeyPatch, name: str, value: str, words: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(NotAuthenticated, match=words) as raised:
        _ = fresh(azure).credential
    assert "AZURE_" in raised.value.hint


def test_nothing_is_said_on_stderr_beside_the_error(azure: AzureStandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    """The SDK logs what it raises as a warning, which Python writes to stderr where nobody has set up logging."""
    code = """
import sys
from lkcloud.errors import NotAuthenticated
from lkcloud_azure.session import Session
session = Session(resource_manager=sys.argv[1])
try:
    session.call("looking", lambda: session.resources.resource_groups.get("none"))
except NotAuthenticated as error:
    print(error.message.partition(":")[0])
"""
    monkeypatch.setenv("AZURE_CLIENT_SECRET", "wrong")
    manager = azure.environment()["LKCLOUD_AZURE_RESOURCE_MANAGER"]
    run = subprocess.run([sys.executable, "-c", code, manager], check=True, capture_output=True, text=True)
    assert (run.stdout, run.stderr) == ("azure\n", "")


def test_a_stumble_while_signing_in_is_tried_again(azure: AzureStandIn) -> None:
    """A lost answer is the SDK's own to repeat, and so is a failure of Entra ID."""

    def drop() -> Response:
        raise DropConnection

    refuse(azure, "token", drop)
    with pytest.raises(NotFound):
        look(fresh(azure))
    assert azure.traffic.operations().count("token") >= 1


def test_endpoints_are_those_of_the_cloud() -> None:
    assert Session().endpoint == "https://management.azure.com"
    assert Session("AzureUSGovernment").endpoint == "https://management.usgovcloudapi.net"
    assert Session("AzureChinaCloud").endpoint == "https://management.chinacloudapi.cn"
    assert Session("AzureUSGovernment").scopes == ["https://management.core.usgovcloudapi.net/.default"]
    assert Session(resource_manager="https://mine/").endpoint == "https://mine"
    with pytest.raises(UsageError, match="no https URL"):
        _ = Session(resource_manager="http://mine").endpoint


def test_throttles_and_stumbles_are_tried_again_and_refusals_are_told(azure: AzureStandIn) -> None:
    azure.traffic.throttle("ResourceGroups.Get", 2)
    refuse(azure, "ResourceGroups.Get", ApiError(503, "ServiceUnavailable", "later").json)
    with pytest.raises(NotFound) as raised:
        look(fresh(azure))
    assert raised.value.__cause__ is not None
    assert azure.traffic.operations().count("ResourceGroups.Get") == 4
    azure.windows.denied_actions = ("Microsoft.Resources/subscriptions/resourceGroups/read",)
    with pytest.raises(Refused) as refused:
        look(fresh(azure))
    assert "allow Microsoft.Resources/subscriptions/resourceGroups/read" in refused.value.hint


def test_azure_is_asked_once_where_it_says_no(azure: AzureStandIn, session: Session) -> None:
    """The SDK tries again by itself unless it is told not to."""
    azure.windows.denied_actions = ("*",)
    azure.traffic.clear()
    with pytest.raises(Refused):
        look(session)
    assert azure.traffic.operations().count("ResourceGroups.Get") == 1


def test_the_pause_that_azure_asks_for_is_kept(azure: AzureStandIn, session: Session) -> None:
    headers = {"x-ms-retry-after-ms": "400"}
    refuse(azure, "ResourceGroups.Get", ApiError(429, "TooManyRequests", "slow down", headers).json)
    began = time.monotonic()
    with pytest.raises(NotFound):
        look(session)
    assert time.monotonic() - began >= 0.4


def test_a_pause_that_is_too_long_ends_the_run_and_is_told(azure: AzureStandIn, session: Session) -> None:
    headers = {"Retry-After": "3600"}
    refuse(azure, "ResourceGroups.Get", ApiError(429, "TooManyRequests", "slow down", headers).json)
    with pytest.raises(Unreachable) as raised:
        look(session)
    assert "3600 seconds" in raised.value.hint


def test_an_error_of_ours_goes_through_as_it_is() -> None:
    error = UsageError("mine", hint="h")

    def fail() -> None:
        raise error

    with pytest.raises(UsageError) as raised:
        Session().call("trying", fail)
    assert raised.value is error
    assert raised.value.__cause__ is None


@pytest.mark.parametrize("defect", [ValueError, KeyError])
def test_a_defect_is_not_dressed_up(defect: Callable[[str], Exception]) -> None:
    def fail() -> None:
        raise defect("a defect")

    with pytest.raises(Exception, match="a defect") as raised:
        Session().call("trying", fail)
    assert type(raised.value) is defect
