# SPDX-License-Identifier: Apache-2.0
"""The table that the demo ends with."""

import json
import subprocess
import sys
from pathlib import Path

PROGRAM = Path(__file__).with_name("demo_table.py")


def test_each_push_is_a_line(tmp_path: Path) -> None:
    common = {"size": 1 << 30, "seconds": 2.04}
    booted = {**common, "cloud": "aws", "id": "ami-1", "sent": 1 << 20, "boot": {"line": "hello", "seconds": 4.0}}
    other = {**common, "cloud": "azure", "id": "/subscriptions/s", "sent": 512, "boot": None}
    for name, document in (("a", booted), ("b", other)):
        (tmp_path / name).write_text(json.dumps(document))
    arguments = [f"ebs={tmp_path / 'a'}", f"disk, gallery={tmp_path / 'b'}"]
    done = subprocess.run([sys.executable, PROGRAM, *arguments], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [
        "cloud  method         sent of virtual     seconds  booted           image",
        "aws    ebs            1.0 MiB of 1.0 GiB  2.0      in 4.0 s: hello  ami-1",
        "azure  disk, gallery  512 B of 1.0 GiB    2.0      not tested       /subscriptions/s",
    ]
