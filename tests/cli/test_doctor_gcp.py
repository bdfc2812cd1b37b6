# SPDX-License-Identifier: Apache-2.0
"""A project of Google Cloud that is not ready, as a user sees it, mended by what `doctor --fix` prints."""

import json

from lkcloud.diagnosis import Remedy
from lkcloud.permissions import actions
from lkcloud_gcp.permissions import PERMISSIONS
from lkcloud_gcp.sandbox import GcpStandIn
from lkcloud_gcp.session import Session
from tests.cli.conftest import Command
from tests.doctor.gcloud import Mender

ARGUMENTS = ("doctor", "gcp", "--for", "push,list", "--gcp-bucket", "disks")


def test_a_project_that_is_not_ready(gcp: GcpStandIn, lkcloud: Command) -> None:
    gcp.windows.allowed = None
    client = Session().storage
    assert "PROBLEM bucket" in lkcloud(*ARGUMENTS, code=1).stdout
    made = lkcloud(*ARGUMENTS, "--fix", code=1).stdout
    assert made.startswith("# there is no bucket disks\n")
    Mender(gcp, client).mend(Remedy(terraform=made), "terraform")
    assert "PROBLEM" not in lkcloud(*ARGUMENTS).stdout

    gcp.windows.allowed = frozenset(actions(PERMISSIONS, ["doctor", "list"]))
    gcp.windows.disabled_services = ("compute.googleapis.com",)
    table = lkcloud(*ARGUMENTS, code=1).stdout
    assert "$ gcloud services enable compute.googleapis.com --project=lkcloud-sandbox\n" in table
    said = " ".join(table.split())
    assert "PROBLEM permissions push: not allowed compute.globalOperations.get" in said
    assert "ok permissions list: all 1 are allowed" in said

    document = json.loads(lkcloud(*ARGUMENTS, "--json", code=1).stdout)
    health = [(one["about"], one["health"]) for one in document["clouds"]["gcp"]]
    assert [about for about, word in health if word == "problem"] == ["api", "permissions"]

    fix = lkcloud(*ARGUMENTS, "--fix", code=1)
    assert fix.stderr == ""
    Mender(gcp, client).mend(Remedy(terraform=fix.stdout), "terraform")
    assert "PROBLEM" not in lkcloud(*ARGUMENTS).stdout
    assert lkcloud(*ARGUMENTS, "--fix").stdout.strip() == ""
