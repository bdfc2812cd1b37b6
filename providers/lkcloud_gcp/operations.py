# SPDX-License-Identifier: Apache-2.0
"""Operations of Compute Engine: waited for, and what they say when they have failed.

https://cloud.google.com/compute/docs/api/how-tos/api-requests-responses#handling_api_responses. The SDK's own
ExtendedOperation.result() asks compute.googleapis.com whatever endpoint the client has, and waits for ever.
"""

from typing import TYPE_CHECKING

from lkcloud.errors import Refused
from lkcloud.polling import poll
from lkcloud.reporting import Meter
from lkcloud_gcp.errors import GcpFault, explain, status_of
from lkcloud_gcp.session import Session

if TYPE_CHECKING:
    from google.cloud import compute_v1

LIMIT = 600.0
"""Seconds to wait for an operation that moves no bytes."""

HINT = "it goes on at Google: run the same command again to wait for it"

_EVERY = 0.25
"""Seconds between two looks at first. Each is a cheap read; `wait`, which holds the request, would show no progress."""


def wait(
    session: Session,
    operation: "compute_v1.Operation",
    *,
    doing: str,
    limit: float = LIMIT,
    hint: str = HINT,
    meter: Meter | None = None,
) -> None:
    """Wait until a global or zonal OPERATION has ended; METER shows how far it is.

    If it ended badly, raises what `errors.explain` makes of `fault_of` it, with that as its cause; after LIMIT seconds
    raises Unreachable with HINT.
    """
    current = operation

    def look() -> "compute_v1.Operation | None":
        nonlocal current
        if not is_done(current):
            current = _get(session, operation, doing)
        if is_done(current):
            return current
        if meter is not None:
            meter.status(_progress(current))
        return None

    ended = poll(look, what=f"gcp: {doing}", every=_EVERY, limit=limit, hint=hint)
    if (failure := fault_of(ended)) is not None:
        raise (explain(failure, doing) or failure) from failure


def is_done(operation: "compute_v1.Operation") -> bool:
    """Tell whether the operation has ended, well or not."""
    return operation.status == type(operation).Status.DONE


def fault_of(operation: "compute_v1.Operation") -> GcpFault | None:
    """Return what went wrong in an operation that has ended, None if nothing did.

    The list of errors may be empty, or its errors without a message; then the HTTP error beside it is all there is.
    """
    errors = list(operation.error.errors)
    status = operation.http_error_status_code
    if not errors and not status and not operation.http_error_message:
        return None
    said = [one.message.strip().rstrip(".") or one.code for one in errors]
    message = "; ".join(dict.fromkeys(filter(None, said))) or operation.http_error_message
    message = message or operation.status_message or "Google gives no reason"
    return GcpFault(operation.operation_type, status, next((one.code for one in errors if one.code), ""), message)


def inserting(session: Session, target_id: int) -> "compute_v1.Operation | None":
    """Return the operation that makes the global resource with this number, None if it is not shown.

    Google forgets operations some time after their end. Who may not list them is shown none.
    """
    from google.cloud import compute_v1

    # AIP-160; the other syntax, of regular expressions, cannot combine two fields by the reference of `filter`.
    request = compute_v1.ListGlobalOperationsRequest(
        project=session.project, filter=f'(targetId = {target_id}) (operationType = "insert")'
    )
    try:
        found = session.call(
            "looking for the operation",
            lambda **how: list(session.global_operations.list(request=request, **how)),
        )
    except Refused as error:
        if status_of(error.__cause__) != 403:
            raise
        return None
    return found[0] if found else None


def _get(session: Session, operation: "compute_v1.Operation", doing: str) -> "compute_v1.Operation":
    zone = operation.zone.rpartition("/")[2]
    if zone:
        return session.call(
            doing,
            lambda **how: session.zone_operations.get(
                project=session.project, zone=zone, operation=operation.name, **how
            ),
        )
    return session.call(
        doing,
        lambda **how: session.global_operations.get(project=session.project, operation=operation.name, **how),
    )


def _progress(operation: "compute_v1.Operation") -> str:
    word = type(operation).Status(operation.status).name.lower()
    shown = f"{word}, {operation.progress}%"
    return f"{shown}: {operation.status_message}" if operation.status_message else shown
