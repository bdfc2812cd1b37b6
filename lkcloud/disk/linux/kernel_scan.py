# SPDX-License-Identifier: Apache-2.0
"""Look through an unpacked kernel for its version, its configuration and its symbols, in one pass and little memory."""

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from lkcloud.disk.linux import config, kallsyms

_BANNER = re.compile(rb"Linux version ([0-9][!-~]{1,100}) \(")
_VERSION, _TOKENS = b"Linux version ", b"tokens"
_AHEAD = max(config.REACH, kallsyms.INDEX_END)
_KEPT = kallsyms.REACH
_MOST_TABLES = 8
"""What looks like a table of tokens and leads to no names; there is one in a kernel."""

MOST_BYTES = 256 * 1024 * 1024
"""Of an unpacked kernel; those of distributions have 30 to 80 MiB."""


@dataclass(frozen=True, slots=True)
class Scan:
    """What was found; None for what was not."""

    release: str | None
    config: Mapping[str, str] | None
    symbols: frozenset[bytes] | None
    """Those of the wanted ones that are there."""
    whole: bool
    """Whether all of the kernel, or all that is of use in it, was looked through."""


class Scanner:
    """A window that moves over the kernel: what is behind it is kept as far as the tables of symbols reach back."""

    def __init__(self, wanted: Collection[bytes]) -> None:
        self._wanted = wanted
        self._data = bytearray()
        self._looked = {_VERSION: 0, config.MARK: 0, _TOKENS: 0}
        self._tables = 0
        self.release: str | None = None
        self.config: Mapping[str, str] | None = None
        self.symbols: frozenset[bytes] | None = None

    def feed(self, piece: bytes) -> None:
        """Look at PIECE, which follows the one before."""
        self._data += piece
        if len(self._data) > _KEPT + 3 * _AHEAD:
            self._look(len(self._data) - _AHEAD)
            gone = len(self._data) - _KEPT - _AHEAD
            # Whole words: the tables are aligned.
            gone -= gone % 8
            del self._data[:gone]
            self._looked = {mark: max(0, position - gone) for mark, position in self._looked.items()}

    def finish(self) -> None:
        """Look at what is left."""
        self._look(len(self._data))

    @property
    def done(self) -> bool:
        """Whether nothing more is to be expected: the symbols are linked behind the rest."""
        return self.release is not None and self.symbols is not None

    def _look(self, limit: int) -> None:
        """Look at all that begins in front of LIMIT, which leaves enough behind it to be read whole."""
        for position in self._places(_VERSION, limit):
            found = _BANNER.match(self._data, position)
            if self.release is None and found:
                self.release = found[1].decode("ascii")
        for position in self._places(config.MARK, limit):
            if self.config is None:
                self.config = config.embedded(bytes(self._data[position : position + config.REACH]))
        while self.symbols is None and self._tables < _MOST_TABLES:
            position = kallsyms.find_tokens(self._data, self._looked[_TOKENS])
            if not 0 <= position < limit:
                break
            self._looked[_TOKENS] = position + 1
            if kallsyms.has_tokens(self._data, position):
                self._tables += 1
                self.symbols = kallsyms.look_up(self._data, position, self._wanted)
        self._looked[_TOKENS] = max(self._looked[_TOKENS], limit)

    def _places(self, mark: bytes, limit: int) -> Iterator[int]:
        position = self._data.find(mark, self._looked[mark])
        while 0 <= position < limit:
            yield position
            position = self._data.find(mark, position + len(mark))
        self._looked[mark] = max(self._looked[mark], limit)


def scan(pieces: Iterator[bytes], wanted: Collection[bytes]) -> Scan:
    """Look through the kernel that PIECES are, for the symbols WANTED among others."""
    scanner, taken, whole = Scanner(wanted), 0, True
    for piece in pieces:
        scanner.feed(piece)
        taken += len(piece)
        if scanner.done:
            break
        if taken > MOST_BYTES:
            whole = False
            break
    scanner.finish()
    return Scan(scanner.release, scanner.config, scanner.symbols, whole)
