# SPDX-License-Identifier: Apache-2.0
"""What a disk that is put together consists of: bytes and whole files, with zeros between them."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from lkcloud.disk.linux.feed import PIECE, File
from lkcloud.disk.sparse import write_sparsely
from lkcloud.errors import UnusableImage
from lkcloud.formats.layout import Literal
from lkcloud.reporting import Meter


@dataclass(frozen=True, slots=True)
class Embedded:
    """The bytes of FILE from OFFSET on."""

    offset: int
    file: File

    def moved(self, by: int) -> "Embedded":
        """Return it BY bytes further on."""
        return Embedded(self.offset + by, self.file)


Piece = Literal | Embedded


def write_pieces(pieces: Iterable[Piece], output: int, meter: Meter | None = None) -> None:
    """Write PIECES to the open file OUTPUT, which has none but zeros; METER is told of the bytes of files.

    Raises what `whole` raises, and OSError.
    """
    for piece in pieces:
        data = _cut(piece.data) if isinstance(piece, Literal) else whole(piece.file)
        position = piece.offset
        for part in data:
            write_sparsely(output, part, position)
            position += len(part)
            if meter and isinstance(piece, Embedded):
                meter.advance(len(part))


def whole(file: File) -> Iterator[bytes]:
    """Yield all that is in FILE, in parts of up to PIECE bytes.

    Raises UnusableImage if it ends before the size that it states, and what reading it raises.
    """
    for position in range(0, file.size, PIECE):
        length = min(PIECE, file.size - position)
        data = file.read(position, length)
        if len(data) < length:
            raise UnusableImage(
                f"a file ends at byte {position + len(data)}, it should have {file.size}",
                hint="the image that it is in is damaged or was cut short: build or download it again",
            )
        yield data


def _cut(data: bytes) -> Iterator[bytes]:
    for position in range(0, len(data), PIECE):
        yield data[position : position + PIECE]
