# SPDX-License-Identifier: Apache-2.0
"""What Google says before anything is made: who we are, the project and its APIs, the bucket."""

from collections.abc import Iterator

from lkcloud.provider import Finding, Source
from lkcloud_gcp.options import GcpOptions
from lkcloud_gcp.session import Session


def check(session: Session, options: GcpOptions, source: Source) -> Iterator[Finding]:
    """Yield what Google knows to stand in the way.

    Raises NotAuthenticated without valid credentials, UsageError without a project.
    """
    del options, source
    _ = session.project
    session.token()
    yield from ()
