# SPDX-License-Identifier: Apache-2.0
"""Ages, written and read."""

from datetime import timedelta

import pytest

from lkcloud.life import age


@pytest.mark.parametrize(
    ("text", "hours"), [("30d", 720), ("12h", 12), ("2w", 336), ("90m", 1.5), ("0s", 0), (" 1d ", 24)]
)
def test_what_is_an_age(text: str, hours: float) -> None:
    assert age.parse(text) == timedelta(hours=hours)


@pytest.mark.parametrize("text", ["", "30", "d", "30 d", "-1d", "1.5h", "1y", "1d12h", "99999999w"])
def test_what_is_none(text: str) -> None:
    with pytest.raises(ValueError, match="30d or 12h"):
        age.parse(text)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "0 seconds"), (1, "1 second"), (119, "119 seconds"), (150, "2 minutes"), (7199, "119 minutes"),
     (86400, "24 hours"), (172800, "2 days"), (10**7, "115 days"), (-5, "0 seconds")],
)  # fmt: skip
def test_ages_in_words(seconds: float, words: str) -> None:
    assert age.words(timedelta(seconds=seconds)) == words
