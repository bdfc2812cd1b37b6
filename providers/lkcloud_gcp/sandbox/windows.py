# SPDX-License-Identifier: Apache-2.0
"""How long things take in the stand-in, and how much it gives out at once: what tests turn up, down or off."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(slots=True)
class Windows:
    """Times in seconds unless said otherwise."""

    image_import: float = 0.2
    """From images.insert to the end of its operation."""
    operation: float = 0.05
    """Any other operation."""
    instance_start: float = 0.1
    """From instances.insert to RUNNING."""
    instance_stop: float = 5.0
    """From the guest's power-off, or instances.stop, to TERMINATED; the serial port can be read until then."""
    operation_wait: float = 5.0
    """The longest that operations.wait holds a request; Google's own limit is two minutes."""
    page_size: int = 500
    """The longest page of a list of Compute Engine, where the client does not ask for a shorter one."""
    objects_page: int = 1000
    """The longest page of a list of Cloud Storage."""
    session_life: float = 7 * 24 * 3600.0
    """How long a resumable upload can be gone on with."""
    chunk_persisted: int = 0
    """The most bytes that are kept of each request of a resumable upload, as when Google keeps less than was sent; a
    multiple of 256 KiB, 0 for all."""
    images: int = 2000
    """The quota IMAGES of the project, which is shown and not enforced."""
    zones_down: tuple[str, ...] = ()
    """Zones that are not up."""
    foreign_buckets: tuple[str, ...] = ()
    """Names of buckets that others have."""
    allowed: frozenset[str] | None = None
    """The permissions that the caller has on the project, and so on all that is in it; None for every one."""
    allowed_in_bucket: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """What it has on a bucket beside these, by the bucket's name."""
    denied_permissions: tuple[str, ...] = ()
    """Permissions that the caller does not have, whatever it is allowed."""
    disabled_services: tuple[str, ...] = ()
    """APIs that the project has not enabled, such as compute.googleapis.com."""
    token_life: float = 3600.0
    """How long an access token is good."""
