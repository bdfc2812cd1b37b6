# SPDX-License-Identifier: Apache-2.0
"""What a provider can besides pushing, in the words of the documents and of the command line."""

from lkcloud.diagnosis import Diagnoses
from lkcloud.provider import (
    Copies,
    Deprecates,
    Launches,
    Leaves,
    Lists,
    Promotes,
    Protects,
    Provider,
    Requires,
    Shares,
    Sweeps,
    Withdraws,
)

_CAPABILITIES: tuple[tuple[str, type], ...] = (
    ("list", Lists),
    ("clean up", Leaves),
    ("inspect", Requires),
    ("boot test", Launches),
    ("copy", Copies),
    ("share", Shares),
    ("promote", Promotes),
    ("protect", Protects),
    ("deprecate", Deprecates),
    ("withdraw", Withdraws),
    ("sweep", Sweeps),
    ("diagnose", Diagnoses),
)
"""What some providers can besides: a word for the docs, and the Protocol."""


def capabilities(provider: type[Provider]) -> list[str]:
    """Return what a provider can, in the words of the docs: `push` and one word for each Protocol that it has."""
    return ["push", *(word for word, protocol in _CAPABILITIES if issubclass(provider, protocol))]
