# SPDX-License-Identifier: Apache-2.0
"""What Checkov finds in terraform/: nothing that is not explained in its place, and no explanation of nothing."""

import json
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.terraform.schemas import TERRAFORM

SKIP = re.compile(r"^\s*#checkov:skip=(\w+):.*\n", re.MULTILINE)


def checked(folder: Path) -> Mapping[str, Any]:
    """Return what Checkov says of a folder."""
    script = Path(__file__).with_name("checkov.sh")
    out = subprocess.run([script, folder], check=True, capture_output=True, text=True, timeout=900)
    found: Mapping[str, Any] = json.loads(out.stdout)
    return found


def failed(found: Mapping[str, Any]) -> set[tuple[str, str]]:
    """Return file and check of all that has failed."""
    return {(one["file_path"].lstrip("/"), one["check_id"]) for one in found["results"]["failed_checks"]}


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_checkov_finds_what_is_explained_and_nothing_else(tmp_path: Path) -> None:
    found = checked(TERRAFORM)
    assert found["summary"]["passed"] > 80
    assert found["summary"]["parsing_errors"] == 0
    assert failed(found) == set()

    bare = tmp_path / "terraform"
    shutil.copytree(TERRAFORM, bare)
    explained = set()
    for path in bare.rglob("*.tf"):
        text = path.read_text()
        explained |= {(str(path.relative_to(bare)), check) for check in SKIP.findall(text)}
        path.write_text(SKIP.sub("", text))
    assert failed(checked(bare)) == explained
