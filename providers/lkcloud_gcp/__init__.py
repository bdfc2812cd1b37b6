# SPDX-License-Identifier: Apache-2.0
"""Google Cloud: `lkcloud push gcp`."""

from lkcloud_gcp.options import GcpOptions
from lkcloud_gcp.provider import Gcp

__all__ = ["Gcp", "GcpOptions"]
