"""Zip archives, written from end to end as a pipe takes them.

``zipfile`` keeps what the directory will say of each member; here it waits in a file
once it is long. What does not fit into 32 bits is written in 64.
"""

from __future__ import annotations

import struct
from datetime import UTC, datetime, timedelta
from stat import S_IFDIR, S_IFLNK, S_IFMT, S_IFREG
from typing import TYPE_CHECKING, BinaryIO, Final, NamedTuple

from stratavfs import errors
from stratavfs.archives._packed import STEP, check_content, check_whole, copied

if TYPE_CHECKING:
    from stratavfs.archives._packed import Packing
    from stratavfs.archives.protocol import ArchiveMember

_HEADER: Final = struct.Struct("<4s5H3L2H")
_ENTRY: Final = struct.Struct("<4s6H3L5H2L")
_END: Final = struct.Struct("<4s4H2LH")
_LOCATOR: Final = struct.Struct("<4sLQL")
_END_64: Final = struct.Struct("<4sQ2H2L4Q")
_TIME: Final = struct.Struct("<HHBi")

_FULL: Final = 0xFFFFFFFF
_COUNTED: Final = 0xFFFF
_MOST: Final = 0xFFFFFFFE  # of a number in 32 bits
_MANY: Final = 0xFFFE  # of one in 16
_LONGEST: Final = 0xFFFF  # bytes of a name
_STORED, _DEFLATED = 0, 8
_LATER, _UTF8 = 8, 0x800  # flags: sizes stand behind the bytes; the name is UTF-8
_OLD, _NEW = 20, 45  # versions of the format: the second has 64 bits
_UNIX: Final = 3 << 8
_DOS_DIRECTORY: Final = 0x10
_EXTENDED_TIME: Final = 0x5455
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST, _LAST = 315_532_800, 4_354_819_198  # seconds that DOS has a date for
_WAITING: Final = 1 << 20  # bytes of the directory that wait in memory


class _Sizes(NamedTuple):
    """What is known of a member's bytes when they are written."""

    checksum: int
    packed: int
    size: int


class ZipWriter:
    """Writes members to *out*, and the directory behind them."""

    def __init__(self, out: Packing) -> None:
        import tempfile  # noqa: PLC0415 - it loads every compressor

        self._out = out
        self._at = self._count = 0
        self._member = ""  # that is being written
        self._directory = tempfile.SpooledTemporaryFile(_WAITING)  # noqa: SIM115

    def add(self, member: ArchiveMember, content: BinaryIO | None = None) -> None:
        """Add *member*; one more name of a file is one more file, with its bytes."""
        check_whole(self._member)
        kind = S_IFMT(member.mode)
        if kind not in (S_IFREG, S_IFDIR, S_IFLNK):
            raise errors.special_file(member.path)
        if kind == S_IFREG:
            check_content(member, content)
        head = _Head(member)
        self._member = member.path
        at = self._at
        if kind == S_IFREG and member.size and content is not None:
            self._write(head.before_content())
            sizes = self._pack(content, member)
            self._write(head.behind_content(sizes))
        else:
            sizes = self._store(head)
        self._directory.write(head.entry(sizes, at))
        self._count += 1
        self._member = ""

    def finish(self) -> None:
        """Write the directory."""
        check_whole(self._member)
        start = self._at
        self._directory.seek(0)
        while piece := self._directory.read(STEP):
            self._write(piece)
        self._write(_end(self._count, self._at - start, start))

    def close(self) -> None:
        self._directory.close()

    def _write(self, data: bytes) -> None:
        self._out.write(data)
        self._at += len(data)

    def _store(self, head: _Head) -> _Sizes:
        """Write what is as long as a name, and known: where a link leads."""
        from zlib import crc32  # noqa: PLC0415

        sizes = _Sizes(crc32(head.leads), len(head.leads), len(head.leads))
        self._write(head.before_content(sizes))
        self._write(head.leads)
        return sizes

    def _pack(self, content: BinaryIO, member: ArchiveMember) -> _Sizes:
        import zlib  # noqa: PLC0415

        packer = zlib.compressobj(6, zlib.DEFLATED, -zlib.MAX_WBITS)
        checksum, start = 0, self._at
        for piece in copied(content, member.size, member.path):
            checksum = zlib.crc32(piece, checksum)
            self._write(packer.compress(piece))
        self._write(packer.flush())
        return _Sizes(checksum, self._at - start, member.size)


class _Head:
    """What is said of *member*: before it, behind it, and in the directory."""

    def __init__(self, member: ArchiveMember) -> None:
        kind = S_IFMT(member.mode)
        path = member.path.rstrip("/") + "/" * (kind == S_IFDIR)
        self._name = path.encode("utf-8", "surrogateescape")
        if len(self._name) > _LONGEST:
            raise errors.name_too_long(member.path)
        target = member.target if kind == S_IFLNK else None
        self.leads = (target or "").encode("utf-8", "surrogateescape")
        size = member.size if kind == S_IFREG else 0
        self._flags = _UTF8 * (not path.isascii()) | _LATER * (size > 0)
        self._method = _DEFLATED if size else _STORED
        # What cannot be packed grows, by five bytes for each 16 KiB.
        self._is_long = size + (size >> 11) + STEP > _MOST
        dos_directory = _DOS_DIRECTORY if kind == S_IFDIR else 0
        self._attributes = member.mode << 16 & _FULL | dos_directory
        seconds = member.mtime_ns // 1_000_000_000
        self._time, self._date = _dos_time(seconds)
        self._extra = b""
        if -1 << 31 <= seconds < 1 << 31:
            self._extra = _TIME.pack(_EXTENDED_TIME, _TIME.size - 4, 1, seconds)

    def before_content(self, sizes: _Sizes | None = None) -> bytes:
        checksum, packed, size = sizes or _Sizes(0, 0, 0)
        extra = self._extra
        if self._is_long:
            packed = size = _FULL
            extra += struct.pack("<HHQQ", 1, 16, 0, 0)
        return (
            _HEADER.pack(
                b"PK\3\4",
                _NEW if self._is_long else _OLD,
                self._flags,
                self._method,
                self._time,
                self._date,
                checksum,
                packed,
                size,
                len(self._name),
                len(extra),
            )
            + self._name
            + extra
        )

    def behind_content(self, sizes: _Sizes) -> bytes:
        return struct.pack("<4sLQQ" if self._is_long else "<4s3L", b"PK\7\10", *sizes)

    def entry(self, sizes: _Sizes, at: int) -> bytes:
        """Return what the directory says of it; it begins *at*."""
        numbers = (sizes.size, sizes.packed, at)
        size, packed, offset = (_FULL if each > _MOST else each for each in numbers)
        wide = [number for number in numbers if number > _MOST]
        extra = self._extra
        if wide:
            extra += struct.pack(f"<HH{len(wide)}Q", 1, 8 * len(wide), *wide)
        version = _NEW if wide or self._is_long else _OLD
        return (
            _ENTRY.pack(
                b"PK\1\2",
                _UNIX | version,
                version,
                self._flags,
                self._method,
                self._time,
                self._date,
                sizes.checksum,
                packed,
                size,
                len(self._name),
                len(extra),
                0,
                0,
                0,
                self._attributes,
                offset,
            )
            + self._name
            + extra
        )


def _end(count: int, size: int, start: int) -> bytes:
    """Return the end of an archive whose directory has so many bytes from *start*."""
    end = b""
    if count > _MANY or size > _MOST or start > _MOST:
        at = start + size
        rest = _END_64.size - 12  # bytes behind the number that tells them
        counts = (count, count, size, start)
        end = _END_64.pack(b"PK\6\6", rest, _UNIX | _NEW, _NEW, 0, 0, *counts)
        end += _LOCATOR.pack(b"PK\6\7", 0, at, 1)
        count = _COUNTED if count > _MANY else count
        size, start = (_FULL if each > _MOST else each for each in (size, start))
    return end + _END.pack(b"PK\5\6", 0, 0, count, count, size, start, 0)


def _dos_time(seconds: int) -> tuple[int, int]:
    """Return time and date as DOS tells them, the nearest that it can.

    >>> _dos_time(0), _dos_time(1_591_157_106)
    ((0, 33), (8355, 20675))
    """
    time = _EPOCH + timedelta(seconds=max(_FIRST, min(seconds, _LAST)))
    return (
        time.hour << 11 | time.minute << 5 | time.second // 2,
        time.year - 1980 << 9 | time.month << 5 | time.day,
    )
