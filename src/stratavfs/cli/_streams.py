"""Streams: bytes carried from one open file to another, a piece at a time.

What may be a pipe is read with one system call after the other: a buffered ``read()``
waits for all it was asked for, and Python does not look for Ctrl-C meanwhile.
"""

from __future__ import annotations

import errno
import os
import sys
from typing import TYPE_CHECKING, BinaryIO, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PIECE: Final = 1 << 20
"""Bytes that are read at once."""


class Readable(Protocol):
    """What can be read."""

    def read(self, size: int, /) -> bytes:
        """Return at most *size* bytes; nothing at the end."""


def pieces(stream: Readable) -> Iterator[bytes]:
    """Yield all bytes of *stream*."""
    while piece := stream.read(PIECE):
        yield piece


class Pipe:
    """Standard input, or another stream that may be a pipe: what has come is read."""

    name: Final = "<stdin>"  # for errors

    def __init__(self, stream: BinaryIO) -> None:
        self._read = getattr(stream, "read1", stream.read)

    def read(self, size: int = -1) -> bytes:
        """Return what has come by now, at most *size* bytes; nothing at the end."""
        if size < 0:
            return b"".join(pieces(self))
        found: bytes = self._read(size)
        return found

    def seekable(self) -> bool:
        """Tell whether it can go back, which a pipe cannot."""
        return False


def standard_input() -> BinaryIO:
    """Return standard input.

    Raises:
        OSError: (EBADF) it is closed.
    """
    if sys.stdin is None:
        raise OSError(errno.EBADF, os.strerror(errno.EBADF), "standard input")
    return sys.stdin.buffer


def carry(
    source: Readable, target: BinaryIO, count: Callable[[int], object] | None = None
) -> None:
    """Write all bytes of *source* to *target*; tell *count* of each piece's size."""
    for piece in pieces(source):
        target.write(piece)
        if count is not None:
            count(len(piece))
