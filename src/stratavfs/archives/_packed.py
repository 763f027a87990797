"""Packed streams as they come through a pipe: never more than a piece in memory.

The classes of the standard library end quietly where garbage follows a stream (bz2,
xz), and each ends in its own way where one is damaged. Here whatever is wrong with the
bytes is a ``BadArchive``, and what goes wrong with reading them is left as it is.
"""

from __future__ import annotations

import io
import os
from errno import EAGAIN
from typing import TYPE_CHECKING, BinaryIO, Final, Protocol

from stratavfs import errors

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from stratavfs.archives.protocol import ArchiveMember
    from stratavfs.records import Buffer

STEP: Final = 1 << 16
"""Bytes unpacked, or copied, at once."""

_PACKED_STEP: Final = 1 << 14  # less: what a short stream leaves over is copied
_GZIP: Final = 31  # zlib's word for the largest window, with gzip's head and checksum
# Enough for `xz -9`, twice; a header may ask for 4 GiB.
_MEMORY: Final = 1 << 27
_MISSING: Final = "Zstandard needs another package; pip install 'stratavfs[zstd]'"


def name_of(stream: object) -> str:
    """Return what errors call *stream*.

    >>> name_of(io.BytesIO())
    '<stream>'
    """
    name = getattr(stream, "name", None)
    return name if isinstance(name, str) and name else "<stream>"


# --- reading --------------------------------------------------------------------------


class Unpacker(Protocol):
    """What ``bz2`` and ``lzma`` call a decompressor."""

    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int, /) -> bytes: ...


class Given(io.RawIOBase):
    """The bytes of somebody's stream, which has a ``read`` and is left open."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Buffer) -> int:  # type: ignore[override]
        # A pipe that has nothing just now gives None: what follows is not there.
        data = self._stream.read(len(buffer)) or b""
        memoryview(buffer)[: len(data)] = data
        return len(data)


class Unpacked(io.RawIOBase):
    """The bytes that are packed in *stream*, in one or more streams end to end.

    Zeros may follow them, to the end of a tape's record.
    """

    def __init__(self, stream: BinaryIO, maker: Callable[[], Unpacker]) -> None:
        self._stream = stream
        self._name = name_of(stream)
        self._maker = maker
        self._unpacker: Unpacker | None = None
        self._rest = b""  # read, and not yet given to an unpacker

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Buffer) -> int:  # type: ignore[override]
        while self._unpacker or self._begins():
            piece = self._piece(min(len(buffer), STEP))
            if piece:
                memoryview(buffer)[: len(piece)] = piece
                return len(piece)
        return 0

    def _begins(self) -> bool:
        """Begin the next stream, if there is one."""
        self._rest = self._rest.lstrip(b"\0")
        while not self._rest:
            packed = self._stream.read(_PACKED_STEP)
            if not packed:
                return False
            self._rest = packed.lstrip(b"\0")
        self._unpacker = self._maker()
        return True

    def _piece(self, limit: int) -> bytes:
        unpacker = self._unpacker
        assert unpacker is not None  # noqa: S101 - for the type checker
        if unpacker.needs_input and not self._rest:
            self._rest = self._stream.read(_PACKED_STEP) or b""
            if not self._rest:
                raise errors.bad_archive(self._name, "it is cut short")
        packed, self._rest = (
            (self._rest, b"") if unpacker.needs_input else (b"", self._rest)
        )
        try:
            piece = unpacker.decompress(packed, limit)
        except MemoryError:
            raise
        except Exception as error:
            why = f"what it is packed in is damaged ({error})"
            raise errors.bad_archive(self._name, why) from error
        if unpacker.eof:
            self._rest = unpacker.unused_data + self._rest
            self._unpacker = None
        return piece


class _Gunzip:
    """A stream of gzip, in the words of ``bz2``; its checksum is compared."""

    def __init__(self) -> None:
        import zlib  # noqa: PLC0415 - each is loaded by the first who needs it

        self._stream = zlib.decompressobj(_GZIP)
        self._may_hold_more = False

    @property
    def eof(self) -> bool:
        return self._stream.eof

    @property
    def needs_input(self) -> bool:
        return not self._stream.unconsumed_tail and not self._may_hold_more

    @property
    def unused_data(self) -> bytes:
        return self._stream.unused_data

    def decompress(self, data: bytes, max_length: int, /) -> bytes:
        piece = self._stream.decompress(self._stream.unconsumed_tail + data, max_length)
        self._may_hold_more = len(piece) == max_length and not self._stream.eof
        return piece


def gunzip() -> Unpacker:
    return _Gunzip()


def bunzip2() -> Unpacker:
    import bz2  # noqa: PLC0415

    return bz2.BZ2Decompressor()


def unxz() -> Unpacker:
    import lzma  # noqa: PLC0415

    return lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_MEMORY)


def unzstd() -> Unpacker:
    # It refuses a window of more than 128 MiB by itself.
    try:
        from stratavfs.archives._zstd import decompressor  # noqa: PLC0415
    except ImportError as error:
        raise errors.InvalidArgument(_MISSING) from error
    return decompressor()


# --- writing --------------------------------------------------------------------------


class Packer(Protocol):
    """What ``bz2`` and ``lzma`` call a compressor."""

    def compress(self, data: bytes, /) -> bytes: ...
    def flush(self) -> bytes: ...


class Whole:
    """Writes all it is given to a stream, which may take less at once."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream

    def write(self, data: Buffer) -> int:
        view = memoryview(data)
        at = 0
        while at < len(view):
            written: int | None = self._stream.write(view[at:])
            if written is None and isinstance(self._stream, io.RawIOBase):
                why = os.strerror(EAGAIN)
                raise BlockingIOError(EAGAIN, why, name_of(self._stream))
            # Others that do not say how much they took have taken it all.
            at += len(view) if written is None else written
        return len(view)

    def flush(self) -> None:
        flush = getattr(self._stream, "flush", None)
        if flush is not None:
            flush()


class Packing:
    """Packs what is written to it, and writes that to a stream in larger pieces."""

    def __init__(self, stream: BinaryIO, packer: Packer | None) -> None:
        self._out = Whole(stream)
        self._packer = packer
        self._waiting = bytearray()

    def write(self, data: bytes) -> None:
        self._waiting += data
        if len(self._waiting) >= STEP:
            self._empty()

    def _empty(self) -> None:
        data, self._waiting = bytes(self._waiting), bytearray()
        self._out.write(data if self._packer is None else self._packer.compress(data))

    def finish(self) -> None:
        """Write the end; without it what was written is cut short."""
        self._empty()
        if self._packer is not None:
            self._out.write(self._packer.flush())
        self._out.flush()


def check_content(member: ArchiveMember, content: BinaryIO | None) -> None:
    """Refuse a file without its bytes, or without their number."""
    if member.size < 0:
        message = f"the size of {member.path!r} has to be known before its bytes"
        raise errors.InvalidArgument(message)
    if member.size and content is None:
        message = f"the bytes of {member.path!r} are missing"
        raise errors.InvalidArgument(message)


def check_whole(path: str) -> None:
    """Refuse to go on behind the member *path* that an error has cut short."""
    if path:
        message = f"the archive is cut short in member {path!r}; write it again"
        raise errors.InvalidArgument(message)


def copied(content: BinaryIO, size: int, path: str) -> Iterator[bytes]:
    """Yield the *size* bytes of *content*, which is a file that is called *path*."""
    while size:
        piece = content.read(min(size, STEP))
        if not piece:
            raise errors.changed_meanwhile(path)
        size -= len(piece)
        yield piece


def gzip() -> Packer:
    """Return what packs as gzip does, without a time: the same bytes every time."""
    import zlib  # noqa: PLC0415

    return zlib.compressobj(6, zlib.DEFLATED, _GZIP)


def bzip2() -> Packer:
    import bz2  # noqa: PLC0415

    return bz2.BZ2Compressor()


def xz() -> Packer:
    import lzma  # noqa: PLC0415

    return lzma.LZMACompressor()


def zstd() -> Packer:
    try:
        from stratavfs.archives._zstd import compressor  # noqa: PLC0415
    except ImportError as error:
        raise errors.InvalidArgument(_MISSING) from error
    return compressor()
