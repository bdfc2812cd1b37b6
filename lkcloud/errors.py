# SPDX-License-Identifier: Apache-2.0
"""Every error that a user can act on.

LkcloudError            1   the run failed
├── UsageError          2   an option or a name that cannot be used
├── UnusableImage       2   an image that cannot be used
│   └── ImageChanged    2   the image changed while it was read
├── Incomplete          3   some of it is done, and something is not
├── NotAuthenticated    4   no credentials, or the cloud does not take them
├── BootFailed          5   the test machine did not boot
├── NotFound            1   the cloud has no such resource
├── Refused             1   the cloud said no: a permission, a quota, a policy
├── Conflict            1   the name is taken by something else
├── Corrupt             1   a checksum did not match
└── Unreachable         1   the network or the service stayed away until the time limit
"""

from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from lkcloud.provider import Image

PARTLY = 3
"""Exit code of a run of which some is done and something is not."""

INTERRUPTED = 130
"""Exit code of a run that Ctrl-C, SIGTERM or SIGHUP ended."""


class LkcloudError(Exception):
    """What went wrong, and what to do about it.

    MESSAGE is one lower-case line without a full stop; HINT is a thing to do.
    """

    exit_code: ClassVar[int] = 1

    made: "tuple[Image, ...]" = ()
    """What is there all the same, where something has failed only in part."""

    def __init__(self, message: str, *, hint: str) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(LkcloudError):
    """An option, a name or a combination of options that cannot be used."""

    exit_code = 2


class UnusableImage(LkcloudError):
    """An image that cannot be opened, read or used for what was asked."""

    exit_code = 2


class ImageChanged(UnusableImage):
    """The image was written to while it was read."""


class Incomplete(LkcloudError):
    """Some of what was to be done is done, and something is not."""

    exit_code = PARTLY


class NotAuthenticated(LkcloudError):
    """There are no credentials, or the cloud does not accept them."""

    exit_code = 4


class BootFailed(LkcloudError):
    """The test machine did not show that it booted."""

    exit_code = 5


class NotFound(LkcloudError):
    """The cloud has no such resource."""


class Refused(LkcloudError):
    """The cloud understood and said no: a permission, a quota or a policy."""


class Conflict(LkcloudError):
    """The name or the resource is taken by something else."""


class Corrupt(LkcloudError):
    """Bytes arrived different from those that were sent."""


class Unreachable(LkcloudError):
    """The network or the service stayed away until the time limit."""
