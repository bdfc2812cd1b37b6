# SPDX-License-Identifier: Apache-2.0
"""What resources of Microsoft.Compute can be called.

https://learn.microsoft.com/azure/azure-resource-manager/management/resource-name-rules#microsoftcompute
"""

import re

from lkcloud_azure.sandbox.errors import ApiError

_RULE = r"^[^_\W][\w\-._]{0,79}(?<![-.])$"
"""As the service itself tells it: at most 80 characters, a letter or digit first, no period or hyphen last."""


def check_name(name: str, target: str, rule: str = _RULE) -> None:
    """Raise ApiError if no disk, image and so on can be called NAME."""
    if not re.search(rule, name, re.ASCII):
        message = f"The entity name '{name}' is invalid according to its validation rule: {rule}."
        raise ApiError(400, "InvalidParameter", message, target=target)
