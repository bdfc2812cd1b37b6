# SPDX-License-Identifier: Apache-2.0
"""How long things take in the stand-in, and how much it gives out at once: what tests turn up, down or off."""

from dataclasses import dataclass


@dataclass(slots=True)
class Windows:
    """Times in seconds unless said otherwise."""

    image_import: float = 0.2
    """From images.insert to the end of its operation."""
    operation: float = 0.05
    """Any other operation."""
    instance_start: float = 0.1
    """From instances.insert to RUNNING."""
    operation_wait: float = 5.0
    """The longest that operations.wait holds a request; Google's own limit is two minutes."""
    page_size: int = 500
    """The longest page of a list of Compute Engine, where the client does not ask for a shorter one."""
    objects_page: int = 1000
    """The longest page of a list of Cloud Storage."""
    session_life: float = 7 * 24 * 3600.0
    """How long a resumable upload can be gone on with."""
    token_life: float = 3600.0
    """How long an access token is good."""
