"""The members of a zip archive, read where they lie.

This is ``zipfile.ZipExtFile`` with bounds it does not keep: a stored member is read at
any offset at once, a packed one never has more than one piece of it in memory, however
far it expands, and every open one reads the archive on its own.
"""

from __future__ import annotations

import io
import math
import os
import struct
import threading
from binascii import crc32
from bisect import bisect
from contextlib import contextmanager
from errno import EACCES, EFBIG, EINVAL, EIO, ESTALE
from typing import TYPE_CHECKING, BinaryIO, Final, Protocol, cast

from stratavfs import errors

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from zipfile import ZipInfo

    from stratavfs.records import Buffer

_ENCRYPTED: Final = 1
_LOCAL_HEADER: Final = struct.Struct("<4s22xHH")
_STEP: Final = 1 << 16  # bytes unpacked at once
_STORED, _DEFLATED, _BZIP2, _LZMA = 0, 8, 12, 14  # the numbers of the format
# Deflate: 258 bytes for two bits; bzip2: 46 million for 34 bytes; LZMA: 273 for 0.3.
_MOST: Final = {_STORED: 1, _DEFLATED: 1032, _BZIP2: 1 << 21, _LZMA: 1 << 13}
_ENTRY: Final = b"PK\1\2"  # begins what the directory says of a member
_ENTRY_MOST: Final = 512  # bytes of that, in the middle
_TAIL: Final = 1 << 17  # bytes in which the end of the directory is looked for
_HARMLESS: Final = 1 << 28  # bytes that a member may unpack to, whatever its ratio


def stamp_of(found: os.stat_result) -> tuple[int, ...]:
    """Return what tells a file from itself at another time, or from another one."""
    # The last one tells even of a file whose time was set back.
    return found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


class OpenArchive:
    """An open archive: its bytes by their offset, whoever else reads them.

    With a *lock* the file is shared with others, and closed by somebody else.
    """

    def __init__(
        self,
        file: BinaryIO,
        location: str,
        lock: AbstractContextManager[object] | None = None,
        *,
        watched: bool = False,
    ) -> None:
        self.file = file
        self.location = location
        self.stamp = stamp_of(os.fstat(file.fileno())) if watched else ()
        self.lent = lock is not None
        self._lock = lock or threading.Lock()

    def read_at(self, offset: int, size: int) -> bytes:
        """Return the *size* bytes at *offset*, fewer only at the end of the file."""
        with self._lock:
            self.file.seek(offset)
            data = self.file.read(size)
        if self.stamp and self._was_written():
            message = "the archive was written to; open its file again"
            raise self.failure(ESTALE, message)
        return data

    def _was_written(self) -> bool:
        # Size and time of the content; replacing or removing the file does no harm.
        return stamp_of(os.fstat(self.file.fileno()))[1:3] != self.stamp[1:3]

    def failure(self, code: int, message: str) -> OSError:
        return OSError(code, message, self.location or None)

    def close(self) -> None:
        if not self.lent:
            self.file.close()


# --- which there are ------------------------------------------------------------------


def directory_of(
    archive: OpenArchive, max_members: int
) -> tuple[list[ZipInfo], Places]:
    """Return what the archive says of its members, and where they lie.

    Raises:
        OSError: (EINVAL) it is no zip archive, or a damaged one; (EFBIG) it has more
            than *max_members*.
    """
    import zipfile  # noqa: PLC0415 - it loads every compressor

    try:
        bounded = _Bounded(archive, max_members)
        with zipfile.ZipFile(cast("BinaryIO", bounded)) as opened:
            records = opened.infolist()
            return records, Places(records, opened.start_dir)
    except Exception as error:
        if isinstance(error, OSError) and error.errno == EFBIG:
            raise
        message = f"no zip archive, or a damaged one ({error})"
        raise archive.failure(EINVAL, message) from error


class _Bounded:
    """An archive whose directory is read at once, unless it is too much."""

    def __init__(self, archive: OpenArchive, max_members: int) -> None:
        self._archive = archive
        self._most = max_members
        self.seek, self.tell = archive.file.seek, archive.file.tell

    def read(self, size: int = -1) -> bytes:
        if size > max(_TAIL, self._most * _ENTRY_MOST):
            raise self._refusal()
        data = self._archive.file.read(size)
        if data.startswith(_ENTRY) and data.count(_ENTRY) > self._most:
            raise self._refusal()
        return data

    def _refusal(self) -> OSError:
        message = (
            f"the archive has more than {self._most} members; if it is to be trusted, "
            "open it with a larger max_members"
        )
        return self._archive.failure(EFBIG, message)


class Places:
    """Where the members of an archive begin, so that none goes on into another."""

    def __init__(self, records: list[ZipInfo], end: int) -> None:
        names: dict[int, str] = {}
        self._shared = {
            record.header_offset
            for record in records
            if names.setdefault(record.header_offset, record.orig_filename)
            != record.orig_filename
        }
        self._starts = [*sorted(names), end]

    def end_of(self, record: ZipInfo) -> int:
        """Return where the next member begins; one that two names share has no room."""
        at = record.header_offset
        if at in self._shared:
            return at
        return self._starts[min(bisect(self._starts, at), len(self._starts) - 1)]


# --- one of them ----------------------------------------------------------------------


def refuse_bomb(archive: OpenArchive, record: ZipInfo, max_ratio: float) -> None:
    """Refuse a member that grows more than it can, or than anything of use does.

    Raises:
        OSError: (EIO) so much cannot be in its packed bytes; (EFBIG) it is large, and
            more than *max_ratio* times its packed size.
    """
    size, packed = record.file_size, record.compress_size
    if size > _MOST.get(record.compress_type, math.inf) * packed + _STEP:
        message = f"{size} bytes cannot be packed into {packed}"
        with _naming(archive, record):
            raise ValueError(message)
    if size > max(_HARMLESS, max_ratio * packed):
        message = (
            f"the member {record.orig_filename!r} unpacks to {size} bytes, more than "
            f"{max_ratio:g} times the {packed} it is packed into; if it is to be "
            "trusted, open the archive with a larger max_ratio"
        )
        raise archive.failure(EFBIG, message)


def open_member(archive: OpenArchive, record: ZipInfo, end: int) -> io.RawIOBase:
    """Open a member, found by the header that lies before it; it is over before *end*.

    Raises:
        PermissionError: it is encrypted.
        OSError: (EIO) it is damaged.
    """
    if record.flag_bits & _ENCRYPTED:
        message = f"the member {record.orig_filename!r} is encrypted"
        raise archive.failure(EACCES, message)
    offset = record.header_offset
    with _naming(archive, record):
        header = archive.read_at(offset, _LOCAL_HEADER.size)
        signature, name, extra = _LOCAL_HEADER.unpack(header)
        if signature != b"PK\3\4":
            message = "it is not at its place"
            raise ValueError(message)
        start = offset + _LOCAL_HEADER.size + name + extra
        if start + record.compress_size > end:
            message = "it goes on into what follows it"
            raise ValueError(message)
    maker = _Unpacked if record.compress_type else _Content
    return maker(archive, record, start)


@contextmanager
def _naming(archive: OpenArchive, record: ZipInfo) -> Iterator[None]:
    """Say which member is damaged, in whatever way that shows."""
    try:
        yield
    except Exception as error:
        # All others of the host, such as ESTALE, do not tell of damage.
        if isinstance(error, OSError) and error.errno not in (None, EINVAL):
            raise
        message = f"the member {record.orig_filename!r} is damaged: {error}"
        raise archive.failure(EIO, message) from error


class _Content(io.RawIOBase):
    """A member that is stored as it is, from the offset *start* on."""

    def __init__(self, archive: OpenArchive, record: ZipInfo, start: int) -> None:
        self.name = record.orig_filename
        self._archive = archive
        self._record = record
        self._start = start
        self._at = 0
        self._sum, self._summed = 0, 0  # checksum of as many bytes from the first on

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        at = offset + (0, self._at, self._record.file_size)[whence]
        if at < 0:
            raise errors.bad_offset(self.name)
        self._at = at
        return at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: Buffer) -> int:  # type: ignore[override]
        wanted = min(len(buffer), self._record.file_size - self._at)
        if wanted <= 0:
            return 0
        with _naming(self._archive, self._record):
            data = self._some(wanted)
        memoryview(buffer)[: len(data)] = data
        self._at += len(data)
        return len(data)

    def close(self) -> None:
        self._archive.close()
        super().close()

    def _some(self, wanted: int) -> bytes:
        """Return one to *wanted* of the bytes that follow."""
        data = self._packed(self._at, wanted)
        self._add(data, self._at)
        return data

    def _packed(self, offset: int, size: int) -> bytes:
        """Return what lies in the archive; running short is an error."""
        size = min(size, self._record.compress_size - offset)
        data = self._archive.read_at(self._start + offset, size) if size > 0 else b""
        if not data:
            message = "it ends too early"
            raise EOFError(message)
        return data

    def _add(self, data: bytes, offset: int) -> None:
        """Compare the checksum as soon as all bytes have passed, one after another."""
        if offset != self._summed:
            return
        self._sum = crc32(data, self._sum)
        self._summed += len(data)
        if self._summed == self._record.file_size and self._sum != self._record.CRC:
            self._sum, self._summed = 0, 0  # so that it differs once more
            message = "its checksum differs"
            raise ValueError(message)


class _Unpacked(_Content):
    """A member that is packed; the piece unpacked last is kept."""

    def __init__(self, archive: OpenArchive, record: ZipInfo, start: int) -> None:
        super().__init__(archive, record, start)
        self._rewind()

    def _rewind(self) -> None:
        self._stream: _Stream | None = None
        self._taken = 0  # packed bytes
        self._piece, self._piece_at = b"", 0

    def _some(self, wanted: int) -> bytes:
        if self._at < self._piece_at:
            self._rewind()
        try:
            while self._at >= self._piece_at + len(self._piece):
                self._piece_at += len(self._piece)
                self._piece = self._next_piece()
                self._add(self._piece, self._piece_at)
        except BaseException:
            self._rewind()  # whoever reads on begins again, and fails again
            raise
        begin = self._at - self._piece_at
        return self._piece[begin : begin + wanted]

    def _next_piece(self) -> bytes:
        limit = min(_STEP, self._record.file_size - self._piece_at)
        if self._stream is None:
            self._stream = _stream(self._record, self._take)
        while not self._stream.eof:
            packed = self._take(_STEP) if self._stream.needs_input else b""
            piece = self._stream.decompress(packed, limit)
            if piece:
                return piece
        message = "it ends too early"
        raise EOFError(message)

    def _take(self, size: int) -> bytes:
        data = self._packed(self._taken, size)
        self._taken += len(data)
        return data


class _Stream(Protocol):
    """What ``bz2`` and ``lzma`` call a decompressor."""

    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    def decompress(self, data: bytes, max_length: int, /) -> bytes: ...


def _stream(record: ZipInfo, take: Callable[[int], bytes]) -> _Stream:
    """Return what unpacks a member; *take* gives its first packed bytes."""
    if record.compress_type == _DEFLATED:
        return _Inflate()
    if record.compress_type == _BZIP2:
        import bz2  # noqa: PLC0415 - each is loaded by the first who needs it

        return bz2.BZ2Decompressor()
    if record.compress_type == _LZMA:
        return _lzma(record, take)
    message = f"compression {record.compress_type} is not known"
    raise NotImplementedError(message)


class _Inflate:
    """The raw stream of ``zlib``, in the same words."""

    def __init__(self) -> None:
        import zlib  # noqa: PLC0415

        self._stream = zlib.decompressobj(-zlib.MAX_WBITS)
        self._may_hold_more = False

    @property
    def eof(self) -> bool:
        return self._stream.eof

    @property
    def needs_input(self) -> bool:
        return not self._stream.unconsumed_tail and not self._may_hold_more

    def decompress(self, data: bytes, max_length: int) -> bytes:
        piece = self._stream.decompress(self._stream.unconsumed_tail + data, max_length)
        self._may_hold_more = len(piece) == max_length
        return piece


def _lzma(record: ZipInfo, take: Callable[[int], bytes]) -> _Stream:
    """Begin an LZMA stream, which the format gives a header of its own."""
    import lzma  # noqa: PLC0415

    settings, dictionary = struct.unpack("<4xBI", take(9))
    # It is all kept in memory, and reaches back no further than to the first byte.
    dictionary = min(dictionary, max(record.file_size, _STEP))
    return lzma.LZMADecompressor(
        lzma.FORMAT_RAW,
        filters=[
            {
                "id": lzma.FILTER_LZMA1,
                "dict_size": dictionary,
                "lc": settings % 9,
                "lp": settings // 9 % 5,
                "pb": settings // 45,
            }
        ],
    )
