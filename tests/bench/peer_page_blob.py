# SPDX-License-Identifier: Apache-2.0
"""peer_page_blob.py FILE URL: FILE as the page blob at URL, by azure-storage-blob's own upload in 8 threads.

URL has a shared access signature. Prints nothing.
"""

import os
import sys
from pathlib import Path

from azure.storage.blob import BlobClient, BlobType

THREADS = 8


def main(path: Path, url: str) -> None:
    """Upload the file at PATH."""
    trusted = os.environ["SSL_CERT_FILE"]
    with path.open("rb") as file, BlobClient.from_blob_url(url, connection_verify=trusted) as blob:
        blob.upload_blob(file, blob_type=BlobType.PAGEBLOB, length=path.stat().st_size, max_concurrency=THREADS)


main(Path(sys.argv[1]), sys.argv[2])
