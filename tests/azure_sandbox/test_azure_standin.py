# SPDX-License-Identifier: Apache-2.0
"""The stand-in as a whole: started, led to, emptied and ended."""

import os
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path

import pytest

from lkcloud.errors import UsageError
from lkcloud.sandbox.standin import stand_in
from lkcloud_azure import checks
from lkcloud_azure.sandbox import AzureStandIn, sparse
from lkcloud_azure.sandbox.cloud import LOCATION
from lkcloud_azure.session import Session


def test_it_is_found_by_its_name() -> None:
    assert stand_in("azure").load() is AzureStandIn


def test_its_environment_leads_the_sdk_to_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "example.com")
    one = AzureStandIn(tmp_path)
    one.start()
    try:
        environment = one.environment()
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        assert environment["no_proxy"] == environment["NO_PROXY"] == "example.com,127.0.0.1,localhost"
        assert environment["LKCLOUD_AZURE_LOCATION"] == LOCATION
        assert Path(environment["REQUESTS_CA_BUNDLE"]).is_relative_to(tmp_path)
        session = Session(resource_manager=environment["LKCLOUD_AZURE_RESOURCE_MANAGER"])
        groups = session.resources.resource_groups
        assert [group.name for group in groups.list()] == ["lkcloud-sandbox"]
        one.set_clock(-600)
        one.windows.subscription_state = "Disabled"
        shown = checks.subscription(session)
        assert shown.state == "Disabled"
        assert 590 < (datetime.now(UTC) - parsedate_to_datetime(shown.date)).total_seconds() < 700
        account = session.storage.storage_accounts.get_properties(
            "lkcloud-sandbox", environment["LKCLOUD_AZURE_STORAGE_ACCOUNT"]
        )
        groups.create_or_update("more", {"location": LOCATION})
        one.reset()
        assert [group.name for group in groups.list()] == ["lkcloud-sandbox"]
        again = session.storage.storage_accounts.get_properties("lkcloud-sandbox", account.name or "")
        assert again.primary_endpoints is not None
        assert account.primary_endpoints is not None
        assert again.primary_endpoints.blob == account.primary_endpoints.blob
    finally:
        one.stop()
    one.stop()


def test_a_blob_service_that_there_is_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LKCLOUD_SANDBOX_BLOBS", "floppy")
    with pytest.raises(UsageError, match="LKCLOUD_SANDBOX_BLOBS is 'floppy'"):
        AzureStandIn(tmp_path)


@pytest.mark.parametrize("size", [None, 1 << 20, 64 << 20])
def test_copies_keep_their_holes(tmp_path: Path, size: int | None) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    with source.open("wb") as file:
        file.truncate(32 << 20)
        for offset in (0, 512 * 1024, 31 << 20):
            file.seek(offset)
            file.write(os.urandom(4096))
    sparse.copy(source, target, size)
    whole = source.read_bytes()
    assert target.read_bytes() == (whole if size is None else whole[:size].ljust(size, b"\0"))
    assert target.stat().st_blocks <= source.stat().st_blocks
