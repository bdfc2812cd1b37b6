# SPDX-License-Identifier: Apache-2.0
"""Labels of resources: what they may be, and the fingerprint that guards them against two writers.

https://cloud.google.com/compute/docs/labeling-resources
"""

import base64
import hashlib
from collections.abc import Mapping

from lkcloud_gcp.sandbox.compute_call import invalid
from lkcloud_gcp.sandbox.errors import ApiError

MOST = 64


def check_labels(labels: Mapping[str, str], where: str) -> dict[str, str]:
    """Return LABELS. Raises ApiError in the words of hashicorp and googleapis users' reports if they are not allowed.

    oap-project/cloudtik#14 (values), googleapis/gax-nodejs#1288 (keys).
    """
    rest = "only contain lowercase letters, numeric characters, underscores and dashes."
    for key, value in labels.items():
        if not key or len(key) > 63 or not (key[0].isalpha() and _allowed(key)):
            why = f"Label key '{key}' violates format constraints. The key must start with a lowercase character, can "
            raise invalid(where, "", f"{why}{rest} The key can be at most 63 characters long.")
        if len(value) > 63 or not _allowed(value):
            why = f"Label value '{value}' violates format constraints. The value can "
            raise invalid(where, "", f"{why}{rest} The value can be at most 63 characters long.")
    if len(labels) > MOST:
        raise invalid(where, "", f"A resource can have at most {MOST} labels.")
    return dict(labels)


def _allowed(text: str) -> bool:
    # "International characters are allowed": letters of scripts without cases are neither upper nor lower.
    return all(character in "_-" or (character.isalnum() and character == character.lower()) for character in text)


def fingerprint(labels: Mapping[str, str]) -> str:
    """Return the fingerprint of LABELS: base64 of eight bytes, as Compute Engine's are."""
    text = "\n".join(f"{key}={value}" for key, value in sorted(labels.items()))
    return base64.b64encode(hashlib.sha256(text.encode()).digest()[:8]).decode()


def check_fingerprint(labels: Mapping[str, str], sent: str) -> None:
    """Raise ApiError if SENT is not the fingerprint of LABELS; none at all is refused too.

    googleapis/google-cloud-go#7802: an empty one is answered like this.
    """
    if sent != fingerprint(labels):
        message = "Labels fingerprint either invalid or resource labels have changed"
        raise ApiError(412, "conditionNotMet", message)
