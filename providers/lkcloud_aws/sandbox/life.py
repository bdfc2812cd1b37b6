# SPDX-License-Identifier: Apache-2.0
"""EC2's calls on the life of an image: deprecate, protect, disable, and each of them back."""

import time
from datetime import UTC, datetime, timedelta

from lkcloud_aws.sandbox.ec2_protocol import Call, Handler, Result
from lkcloud_aws.sandbox.errors import ApiError, invalid
from lkcloud_aws.sandbox.images import find
from lkcloud_aws.sandbox.permissions import EVERYBODY, Permissions

_LONGEST = timedelta(days=3653)
"""The ten years of EnableImageDeprecation."""


def _deprecate(call: Call) -> Result:
    image = find(call, call.needed("ImageId"))
    when = call.parameters.get("DeprecateAt")
    if not isinstance(when, datetime):
        raise ApiError("MissingParameter", "The request must contain the parameter DeprecateAt")
    when = when.replace(tzinfo=UTC)
    now = datetime.now(UTC)
    # https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_EnableImageDeprecation.html
    if when < now:
        raise invalid("The deprecation date cannot be in the past")
    if when > now + _LONGEST:
        raise invalid("The deprecation date can be at most 10 years from now")
    if EVERYBODY in image.launch_permissions.names and when > image.public_end:
        raise invalid("The deprecation date of a public image can be at most 2 years from its creation")
    call.stop_if_dry_run()
    # "If you specify a value for seconds, Amazon EC2 rounds the seconds to the nearest minute."
    image.deprecation = (when + timedelta(seconds=30)).replace(second=0, microsecond=0)
    return {"Return": True}


def _undeprecate(call: Call) -> Result:
    image = find(call, call.needed("ImageId"))
    call.stop_if_dry_run()
    # "To cancel the deprecation date ... you must make the AMI private":
    # https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/ami-deprecate.html; the call succeeds all the same
    # (coreos-assembler, mantle/cmd/ore/aws/ensure-public.go).
    if EVERYBODY not in image.launch_permissions.names:
        image.deprecation = None
    return {"Return": True}


def _protect(call: Call) -> Result:
    image = find(call, call.needed("ImageId"))
    call.stop_if_dry_run()
    image.protection = "enabled-with-cooldown" if call.flag("WithCooldown") else "enabled-without-cooldown"
    return {"Return": image.protection}


def _unprotect(call: Call) -> Result:
    image = find(call, call.needed("ImageId"))
    call.stop_if_dry_run()
    if image.protection == "enabled-with-cooldown":
        # "you won't immediately be able to deregister the AMI": API_DisableImageDeregistrationProtection.
        image.protected_until = time.monotonic() + call.cloud.windows.protection_cooldown
    image.protection = "disabled"
    return {"Return": image.protection}


def _disable(call: Call) -> Result:
    image = find(call, call.needed("ImageId"))
    call.stop_if_dry_run()
    # "removes all launch permissions", and EnableImage does not bring them back: API_DisableImage.
    image.disabled, image.launch_permissions = True, Permissions()
    return {"Return": True}


def _enable(call: Call) -> Result:
    image = find(call, call.needed("ImageId"))
    call.stop_if_dry_run()
    image.disabled = False
    return {"Return": True}


OPERATIONS: dict[str, Handler] = {
    "EnableImageDeprecation": _deprecate,
    "DisableImageDeprecation": _undeprecate,
    "EnableImageDeregistrationProtection": _protect,
    "DisableImageDeregistrationProtection": _unprotect,
    "DisableImage": _disable,
    "EnableImage": _enable,
}
