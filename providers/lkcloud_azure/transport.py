# SPDX-License-Identifier: Apache-2.0
"""How the SDK's clients connect: by `requests`, with the trusted certificates loaded once.

requests and urllib3 load them for each connection, which costs 50 ms of a processor each time.
"""

import ssl
from functools import cache
from pathlib import Path
from typing import Any

import requests
from azure.core.pipeline.transport import RequestsTransport
from requests.adapters import HTTPAdapter
from urllib3.util import Retry
from urllib3.util.ssl_ import create_urllib3_context


def transport(*, timeout: float) -> RequestsTransport:
    """Return a transport that several clients can share: none of them closes its connections.

    TIMEOUT is in seconds, for connecting and between two reads. Nothing is tried again, as in the SDK's own.
    """
    session = requests.Session()
    for scheme in ("http://", "https://"):
        session.mount(scheme, _Adapter(max_retries=Retry(total=False, redirect=False, raise_on_status=False)))
    return RequestsTransport(session=session, session_owner=False, connection_timeout=timeout, read_timeout=timeout)


class _Adapter(HTTPAdapter):
    def cert_verify(self, conn: Any, url: str, verify: bool | str, cert: Any) -> None:
        """Give the connections of the pool CONN what is loaded already in place of where to load it from."""
        super().cert_verify(conn, url, verify, cert)
        if conn.ca_certs or conn.ca_cert_dir:
            conn.conn_kw["ssl_context"] = _trusting(conn.ca_certs, conn.ca_cert_dir)
            conn.ca_certs = conn.ca_cert_dir = None


def _trusting(file: str | None, folder: str | None) -> ssl.SSLContext:
    return _loaded(file, folder, Path(file or folder or "").stat().st_mtime_ns)


@cache
def _loaded(file: str | None, folder: str | None, changed_ns: int) -> ssl.SSLContext:  # noqa: ARG001  another one then
    context = create_urllib3_context()
    context.load_verify_locations(file, folder)
    return context
