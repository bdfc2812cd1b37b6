# SPDX-License-Identifier: Apache-2.0
"""What the SDK raises for answers of Azure Resource Manager, Blob Storage and Entra ID."""

import io
import json
from collections.abc import Mapping
from typing import Any
from xml.sax.saxutils import escape

import pytest
import requests
from azure.core import exceptions as core
from azure.core.rest import HttpRequest, HttpResponse
from azure.core.rest._requests_basic import RestRequestsTransportResponse
from azure.identity import ChainedTokenCredential, CredentialUnavailableError
from azure.mgmt.core.exceptions import ARMErrorFormat
from azure.storage.blob._shared.response_handlers import process_storage_error

from lkcloud.errors import LkcloudError
from lkcloud_azure.errors import explain
from lkcloud_azure.operations import failure

DOING = "making the image"
SUBSCRIPTION = "/subscriptions/7a1f0a52-0000-4f6d-8e0b-3f2a6d5c4b1a"
SCOPE = f"{SUBSCRIPTION}/resourceGroups/lkcloud/providers/Microsoft.Compute/images/i"
TRACE = "Trace ID: 0a1b-2c Correlation ID: 3d4e-5f Timestamp: 2026-11-27 04:00:00Z"


def response(status: int, body: bytes, headers: Mapping[str, str]) -> HttpResponse:
    """Return what the SDK's transport makes of an answer."""
    inner = requests.Response()
    inner.status_code, inner.raw, inner.reason = status, io.BytesIO(body), "Reason"
    inner.headers.update(headers)
    request = HttpRequest("GET", "https://management.azure.com/x")
    answer: HttpResponse = RestRequestsTransportResponse(  # type: ignore[no-untyped-call]  # as the SDK has it
        request=request, internal_response=inner
    )
    answer.read()
    return answer


def arm(
    status: int, code: str, message: str, *, details: list[Any] | None = None, headers: Mapping[str, str] | None = None
) -> core.HttpResponseError:
    """Return what a management client raises for an answer of Azure Resource Manager."""
    error = {"code": code, "message": message, **({"details": details} if details else {})}
    body = json.dumps({"error": error}).encode()
    answer = response(status, body, {"Content-Type": "application/json", **(headers or {})})
    kinds = {401: core.ClientAuthenticationError, 404: core.ResourceNotFoundError, 409: core.ResourceExistsError}
    kind: type[core.HttpResponseError] = kinds.get(status, core.HttpResponseError)
    return kind(response=answer, error_format=ARMErrorFormat)


def blob(status: int, code: str, message: str) -> core.HttpResponseError:
    """Return what the client of storage raises for an answer."""
    body = (
        f'\ufeff<?xml version="1.0" encoding="utf-8"?><Error><Code>{code}</Code><Message>{escape(message)}\n'
        "RequestId:5f1d\nTime:2026-11-27T04:00:00.0Z</Message></Error>"
    )
    headers = {"Content-Type": "application/xml", "x-ms-error-code": code}
    with pytest.raises(core.HttpResponseError) as raised:
        process_storage_error(core.HttpResponseError(response=response(status, body.encode(), headers)))
    return raised.value


def page(status: int) -> core.HttpResponseError:
    """Return what is raised for an answer that is not Azure's, such as that of a proxy."""
    return core.HttpResponseError(response=response(status, b"<html><title>Forbidden</title>", {}))


def ended(code: str, message: str) -> core.HttpResponseError:
    """Return the error of a long operation that has failed."""
    return failure({"status": "Failed", "error": {"code": code, "message": message}})


class Says:
    """A way to sign in that fails with ERROR."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def get_token(self, *scopes: str, **_: object) -> Any:
        raise self._error


def signing_in(*errors: Exception) -> core.ClientAuthenticationError:
    """Return what a chain of ways to sign in raises that fail with ERRORS."""
    with pytest.raises(core.ClientAuthenticationError) as raised:
        ChainedTokenCredential(*map(Says, errors)).get_token("https://management.azure.com/.default")
    return raised.value


def entra(code: str, message: str) -> core.ClientAuthenticationError:
    missing = CredentialUnavailableError("WorkloadIdentityCredential authentication unavailable.")
    said = f"Authentication failed: AADSTS{code}: {message} {TRACE}"
    return signing_in(missing, core.ClientAuthenticationError(said))


def told(error: Exception) -> LkcloudError:
    found = explain(error, DOING)
    assert found is not None
    assert found.message.startswith("azure: ")
    assert found.message == found.message.strip()
    assert not found.message.endswith(".")
    assert not {"\n", "{", "}"} & set(found.message)
    assert len(found.message) < 500
    assert found.hint
    return found


POLICY = (
    'Resource \'i\' was disallowed by policy. Policy identifiers: \'[{"policyAssignment":{"name":"Allowed locations",'
    '"id":"/providers/x"},"policyDefinition":{"name":"Allowed locations","id":"/providers/y"}}]\'.'
)
