"""Streams that archives are read from, which may be pipes: counted, looked ahead."""

from __future__ import annotations

import io
import os
from typing import Any, BinaryIO


class Sequential:
    """The bytes of a member, which are asked for from the first to the last."""

    def __init__(self, stream: Any, size: int) -> None:
        self._stream = stream
        self._size = size
        self.failure: Exception | None = None
        """What reading has raised."""

    def size(self) -> int:
        return self._size

    def read(self, offset: int) -> bytes:
        return bytes(whole(self._stream, self._size - offset))

    def read_into(self, offset: int, view: memoryview) -> int:
        if offset == 0 and self._stream.seekable():
            self._stream.seek(0)
        filled = 0
        try:
            while filled < len(view):
                data = self._stream.read(len(view) - filled)
                if not data:
                    break
                view[filled : filled + len(data)] = data
                filled += len(data)
        except Exception as error:
            self.failure = error
            raise
        return filled

    def next_data(self, offset: int) -> int | None:
        return offset if offset < self._size else None

    def next_hole(self, offset: int) -> int | None:
        return self._size if offset < self._size else None


class Counted(io.RawIOBase):
    """A stream that may be a pipe, of which it is known how much was read.

    Its beginning can be looked at, and is still there to be read.
    """

    def __init__(self, stream: BinaryIO) -> None:
        super().__init__()
        self._stream = stream
        self._head = b""
        self._read = 0
        self._seekable = stream.seekable()
        # A pipe gives what it has: a Ctrl-C is not heard while C waits for the rest.
        self._take = stream.read
        if not self._seekable:
            self._take = getattr(stream, "read1", stream.read)
        self._length = 0
        if self._seekable:
            at = stream.tell()
            self._length = stream.seek(0, os.SEEK_END) - at
            stream.seek(at)

    @property
    def name(self) -> str:
        """Name of the stream, for errors."""
        return name_of(self._stream)

    def length(self) -> int:
        """Return the bytes of the archive, as far as they are known by now."""
        return max(self._length, self._read)

    def peek(self, size: int) -> bytes:
        """Return the next *size* bytes, or all there are; they are read again."""
        if self._seekable:
            at = self._stream.tell()
            head = whole(self._stream, size)
            self._stream.seek(at)
            return head
        self._head = whole(self._stream, size)
        return self._head

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return self._seekable

    def read(self, size: int = -1) -> bytes:
        """Do as any stream, without a buffer between: 2 us less for each member."""
        if size < 0 or self._head:
            return super().read(size) or b""
        data = self._take(size)
        self._read += len(data)
        return data

    def readinto(self, buffer: Any) -> int:
        data = self._head[: len(buffer)]
        if data:
            self._head = self._head[len(data) :]
        else:
            data = self._take(len(buffer))
        buffer[: len(data)] = data
        self._read += len(data)
        return len(data)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        if not self._seekable:
            message = "seek"
            raise io.UnsupportedOperation(message)
        return self._stream.seek(offset, whence)

    def tell(self) -> int:
        return self._stream.tell() if self._seekable else self._read


def whole(stream: Any, size: int) -> bytes:
    """Return *size* bytes of *stream*, or all there are: a pipe gives some at once."""
    data: bytes = stream.read(size)
    while len(data) < size:
        more = stream.read(size - len(data))
        if not more:
            break
        data += more
    return data


def name_of(source: str | BinaryIO) -> str:
    """Return what errors call *source*."""
    name = source if isinstance(source, str) else getattr(source, "name", None)
    return name if isinstance(name, str) else "<stream>"
