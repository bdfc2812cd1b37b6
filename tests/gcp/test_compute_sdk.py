# SPDX-License-Identifier: Apache-2.0
"""Of the SDK of Compute Engine what is used is imported, and the rest is still there."""

import subprocess
import sys
from textwrap import dedent


def test_services_that_nobody_asks_for_are_not_imported() -> None:
    script = """
        import sys

        import lkcloud_gcp.session
        from google.cloud import compute_v1
        from google.cloud.compute_v1 import Image, ImagesClient

        PACKAGE = "google.cloud.compute_v1"
        services = f"{PACKAGE}.services."

        def imported():
            return {name.removeprefix(services).split(".")[0] for name in sys.modules if name.startswith(services)}

        # The client of images follows operations by theirs.
        assert imported() == {"images", "global_operations"}, imported()
        assert sys.modules[PACKAGE] is compute_v1 is sys.modules["google.cloud"].compute_v1
        assert ImagesClient is sys.modules[services + "images"].ImagesClient
        assert Image is sys.modules[PACKAGE + ".types"].Image
        assert not hasattr(compute_v1, "nothing")
        assert imported() == {"images", "global_operations"}, imported()

        from google.cloud.compute_v1 import DisksClient

        assert len(imported()) > 90
        assert [name for name in compute_v1.__all__ if not hasattr(compute_v1, name)] == []
        assert compute_v1.ImagesClient is ImagesClient
        assert compute_v1.Image is Image
    """
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", dedent(script)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
