# SPDX-License-Identifier: Apache-2.0
"""Which permissions are taken away, from what: in the short form each of them once."""

from collections.abc import Collection, Sequence

import pytest


def pairs(
    found: Sequence[tuple[str, str]], marks: Sequence[pytest.MarkDecorator] = (), marked: Collection[str] = ()
) -> list[object]:
    """Return the parameters for FOUND, uses with actions; what is MARKED, a use, has MARKS.

    Each action is tried in one use, by preference one without marks, and in all others in the long form.
    """
    chosen: dict[str, str] = {}
    for use, action in sorted(found, key=lambda pair: pair[0] in marked):
        chosen.setdefault(action, use)
    return [
        pytest.param(
            use,
            action,
            marks=[*(marks if use in marked else ()), *([] if chosen[action] == use else [pytest.mark.long])],
        )
        for use, action in found
    ]
