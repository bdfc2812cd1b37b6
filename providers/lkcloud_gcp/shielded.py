# SPDX-License-Identifier: Apache-2.0
"""The Secure Boot keys of an image, read from files.

The API knows two types of file, X509 and BIN (compute_v1.FileContentBuffer.FileType), and does not say more of them:
here a certificate in DER is X509, and all else, such as the list of forbidden hashes (dbx), is BIN and sent as it is.
"""

import base64
from pathlib import Path
from typing import TYPE_CHECKING

from lkcloud.secure_boot import is_certificate, read_key
from lkcloud_gcp.options import GcpOptions

if TYPE_CHECKING:
    from google.cloud import compute_v1


def initial_state(options: GcpOptions) -> "compute_v1.InitialStateConfig | None":
    """Return the keys that the options name, None if they name none.

    Raises UsageError for a file that cannot be read, is empty, or holds a private key or several certificates.
    """
    if not (options.platform_key or options.key_exchange_key or options.signature_db or options.revoked_db):
        return None
    from google.cloud import compute_v1

    state = compute_v1.InitialStateConfig(
        keks=[read(path) for path in options.key_exchange_key],
        dbs=[read(path) for path in options.signature_db],
        dbxs=[read(path) for path in options.revoked_db],
    )
    if options.platform_key:
        state.pk = read(options.platform_key)
    return state


def read(path: Path) -> "compute_v1.FileContentBuffer":
    """Return a key file as the API takes it. Raises UsageError."""
    from google.cloud import compute_v1

    found = read_key(path)
    return compute_v1.FileContentBuffer(
        content=base64.b64encode(found).decode(), file_type="X509" if is_certificate(found) else "BIN"
    )
