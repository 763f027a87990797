"""The members of a zip archive, by the directory at its end.

``zipfile`` keeps some 500 bytes of each member; here it is the eight of its place, and
the directory is read twice. Names, times, what is encrypted and what goes on into
another member are taken as a layer of a zip archive takes them.
"""

from __future__ import annotations

import io
import math
import struct
import threading
from array import array
from binascii import crc32
from bisect import bisect_right
from contextlib import suppress
from errno import EIO
from stat import S_IFDIR, S_IFLNK, S_IFMT, S_IFREG, S_IMODE
from typing import TYPE_CHECKING, Any, BinaryIO, Final, NamedTuple, cast

from stratavfs import errors
from stratavfs._paths import PATH_LIMIT
from stratavfs.archives.protocol import ArchiveMember
from stratavfs.layers._members import OpenArchive, open_member, refuse_bomb
from stratavfs.layers.archive import mtime_ns_of, name_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Self
    from zipfile import ZipInfo

    from stratavfs.records import Buffer

_ENTRY: Final = struct.Struct("<4s4B4H3L5H2L")
_END: Final = struct.Struct("<4s4H2LH")
_LOCATOR: Final = struct.Struct("<4sLQL")
_END_64: Final = struct.Struct("<4sQ2H2L4Q")
_FIELD: Final = struct.Struct("<HH")
_MARKS: Final = (b"PK\1\2", b"PK\5\6", b"PK\6\7", b"PK\6\6")
_IN_64_BITS: Final = 1  # the field that has what does not fit into 32
_FULL: Final = 0xFFFFFFFF  # says so
_COUNTED: Final = 0xFFFF  # members, in 16 bits
_WINDOW: Final = 1 << 16  # bytes of the directory read at once; of a comment, at most
_UNIX: Final = (3, 19)  # makers that tell the mode: Unix, Darwin
_PERMISSIONS: Final = {S_IFREG: 0o644, S_IFDIR: 0o755, S_IFLNK: 0o777}
_ENCRYPTED, _UTF8 = 1, 0x800  # flags
_LOCAL: Final = struct.Struct("<4s22xHH")  # stands before a member, with its name
_MEMBER: Final = b"PK\3\4"
_BEFORE: Final = 256  # bytes in which it most often has room
_STORED, _DEFLATED = 0, 8  # ways of packing
_SMALL: Final = 1 << 17  # bytes of a member that is unpacked at one go
_DAMAGES: Final = (ValueError, OverflowError, struct.error)


class _Record(NamedTuple):
    """What the directory says of a member, in the words of ``zipfile.ZipInfo``."""

    orig_filename: str
    create_system: int
    flag_bits: int
    compress_type: int
    date_time: tuple[int, int, int, int, int, int]
    CRC: int
    compress_size: int
    file_size: int
    external_attr: int
    header_offset: int
    extra: bytes


class ZipReader:
    """The members of the archive in *file*, which is called *source*."""

    def __init__(self, file: BinaryIO, source: str) -> None:
        self._source = source
        self._archive = OpenArchive(file, source, threading.Lock())
        try:
            self._directory = _Directory(self._archive)
        except _DAMAGES as error:
            raise self._damaged(error) from error
        self._left = self._directory.count
        self._members = self._all()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> tuple[ArchiveMember, BinaryIO | None]:
        return next(self._members)

    def __length_hint__(self) -> int:
        return self._left

    def _damaged(self, error: Exception) -> errors.BadArchive:
        why = f"no zip archive, or a damaged one ({error})"
        return errors.bad_archive(self._source, why)

    def _all(self) -> Iterator[tuple[ArchiveMember, BinaryIO | None]]:
        records = self._directory.records()
        while self._left:
            try:
                record = next(records)
            except _DAMAGES as error:  # it was another one when it was opened
                raise self._damaged(error) from error
            self._left -= 1
            end = self._directory.end_of(record)
            content = _Content(self._archive, cast("ZipInfo", record), end)
            member = self._member(record, content)
            if S_IFMT(member.mode) != S_IFREG:
                yield member, None
                continue
            with _Reader(content) as opened:
                yield member, opened

    def _member(self, record: _Record, content: _Content) -> ArchiveMember:
        like = cast("ZipInfo", record)
        name = record.orig_filename
        if record.create_system not in _UNIX or not name.isascii():
            name = name_of(like)
        mode = record.external_attr >> 16 if record.create_system in _UNIX else 0
        kind = S_IFDIR if name.endswith("/") else S_IFMT(mode) or S_IFREG
        permissions = S_IMODE(mode) if mode else _PERMISSIONS.get(kind, 0)
        why = ""
        if record.CRC and not record.file_size:
            why = "has lost its bytes"  # nobody will read what is not there
        elif kind == S_IFLNK and record.file_size > PATH_LIMIT:
            why = "is a link that leads to more than a path can be"
        if why:
            raise errors.bad_member(self._source, name, why)
        leads = content.readall() if kind == S_IFLNK else b""
        return ArchiveMember(
            name.rstrip("/") or name[:1],
            kind | permissions,
            record.file_size if kind == S_IFREG else 0,
            mtime_ns_of(like),
            leads.decode("utf-8", "surrogateescape") if kind == S_IFLNK else None,
        )


class _Reader(io.BufferedReader):
    """The bytes of a member; who reads all of a small one has them at once."""

    def __init__(self, content: _Content) -> None:
        super().__init__(content)
        self._content = content

    def read(self, size: int | None = -1) -> bytes:
        if not self.closed and self._content.is_within(size):
            data = self._content.whole()
            if data is not None:
                return data
        return super().read(size)


class _Content(io.RawIOBase):
    """The bytes of a member, which is opened by the first who reads them."""

    def __init__(self, archive: OpenArchive, record: ZipInfo, end: int) -> None:
        self._archive = archive
        self._record = record
        self._end = end
        self._opened: io.RawIOBase | None = None
        self._is_over = False  # all were read at once

    def readable(self) -> bool:
        return True

    def is_within(self, size: int | None) -> bool:
        """Tell whether it is small, and not longer than *size*."""
        own = self._record.file_size
        return own <= _SMALL and (size is None or size < 0 or own <= size)

    def whole(self) -> bytes | None:
        """Return all bytes; None where another look has to tell what is the matter.

        What stands before them is read with them, and all is unpacked at one go: 9 us,
        where a stream takes 22.
        """
        import zlib  # noqa: PLC0415 - loaded by the first who needs it

        record = self._record
        size, packed = record.file_size, record.compress_size
        at, room = record.header_offset, self._end - record.header_offset
        usual = record.compress_type in (_STORED, _DEFLATED)
        usual = usual and packed <= min(room, 2 * _SMALL)
        if not usual or record.flag_bits & _ENCRYPTED or self._opened or self._is_over:
            return None
        try:
            data = self._archive.read_at(at, min(room, packed + _BEFORE))
            signature, name, extra = _LOCAL.unpack_from(data)
            begin = _LOCAL.size + name + extra
            data = data[begin : begin + packed]
            if record.compress_type == _DEFLATED and size:
                unpacker = zlib.decompressobj(-zlib.MAX_WBITS)
                data = unpacker.decompress(data, size)
        except (OSError, zlib.error, *_DAMAGES):
            return None
        short = begin + packed > room or len(data) != size
        if signature != _MEMBER or short or crc32(data) != record.CRC:
            return None
        self._is_over = True
        return data

    def readinto(self, buffer: Buffer) -> int:  # type: ignore[override]
        if self._is_over:
            return 0
        try:
            if self._opened is None:
                self._opened = self._open()
            return self._opened.readinto(memoryview(buffer)) or 0
        except OSError as error:
            # What the bytes are guilty of has a cause; others are the stream's own.
            if error.errno != EIO or error.__cause__ is None:
                raise
            why = f"is damaged ({error.__cause__})"
            raise self._refusal(why) from error

    def _open(self) -> io.RawIOBase:
        if self._record.flag_bits & _ENCRYPTED:
            why = "is encrypted"
            raise self._refusal(why)
        refuse_bomb(self._archive, self._record, math.inf)
        return open_member(self._archive, self._record, self._end)

    def _refusal(self, why: str) -> errors.BadArchive:
        name = name_of(self._record)
        return errors.bad_member(self._archive.location, name, why)


# --- the directory --------------------------------------------------------------------


class _Directory:
    """The directory of *archive*: which members there are, and where.

    A ``ValueError`` says what is wrong with it.
    """

    def __init__(self, archive: OpenArchive) -> None:
        self._archive = archive
        self._piece, self._piece_at = b"", 0
        size, offset, count = self._find()
        self._start = self._end - size
        self._shift = self._start - offset  # bytes before the archive
        if self._shift < 0:
            message = "its directory is not at its place"
            raise ValueError(message)
        self._places = array("Q", self._offsets())
        self.count = len(self._places)
        if self.count not in (count, count | self.count & ~_COUNTED):
            message = f"it has {self.count} members instead of {count}"
            raise ValueError(message)
        if any(map(int.__gt__, self._places, self._places[1:])):
            self._places = array("Q", sorted(self._places))

    def _find(self) -> tuple[int, int, int]:
        """Return size and place of the directory, and how many members are in it."""
        length = self._archive.file.seek(0, io.SEEK_END)
        begin = max(0, length - _WINDOW - _END.size - _LOCATOR.size - _END_64.size)
        tail = self._archive.read_at(begin, length - begin)
        at = tail.rfind(_MARKS[1], 0, len(tail) - _END.size + len(_MARKS[1]))
        if at < 0:
            message = "its end is missing"
            raise ValueError(message)
        _, _, _, here, count, size, offset, _ = _END.unpack_from(tail, at)
        before = at - _LOCATOR.size
        if before >= 0 and tail.startswith(_MARKS[2], before):
            at = before - _END_64.size
            if at < 0 or not tail.startswith(_MARKS[3], at):
                message = "its end in 64 bits is missing"
                raise ValueError(message)
            here, count, size, offset = _END_64.unpack_from(tail, at)[6:]
        if here != count:
            message = "it is one of several parts"
            raise ValueError(message)
        self._end = begin + at
        return size, offset, count

    def _entries(self) -> Iterator[tuple[tuple[Any, ...], bytes]]:
        """Yield the fields of each member, and its name with the extra fields."""
        at, least = self._start, _ENTRY.size
        while at < self._end:
            begin = at - self._piece_at
            if begin < 0 or begin + least > len(self._piece):
                begin = self._load(at, least)
            fields = _ENTRY.unpack_from(self._piece, begin)
            if fields[0] != _MARKS[0]:
                message = "its directory is damaged"
                raise ValueError(message)
            length = least + fields[12] + fields[13]
            if begin + length > len(self._piece):
                begin = self._load(at, length)
            at += length + fields[14]
            yield fields, self._piece[begin + least : begin + length]
        if at != self._end:
            message = "its directory is damaged"
            raise ValueError(message)

    def _offsets(self) -> Iterator[int]:
        for fields, text in self._entries():
            if _FULL in fields:
                yield _sizes(fields, text[fields[12] :])[2] + self._shift
            else:
                yield fields[18] + self._shift

    def records(self) -> Iterator[_Record]:
        """Yield what it says of each member."""
        for fields, text in self._entries():
            yield self._record(fields, text[: fields[12]], text[fields[12] :])

    def _record(self, fields: tuple[Any, ...], name: bytes, extra: bytes) -> _Record:
        flags, method, time, date, checksum = fields[5:10]
        size, packed, offset = _sizes(fields, extra)
        path, flags = _decoded(name, flags, fields[2])
        return _Record(
            path,
            fields[2],
            flags,
            method,
            _date_time(date, time),
            checksum,
            packed,
            size,
            fields[17],
            offset + self._shift,
            extra,
        )

    def _load(self, at: int, size: int) -> int:
        """Have the *size* bytes at *at*; return where. All lies before the end."""
        wanted = min(max(size, _WINDOW), self._end - at)
        self._piece = self._archive.read_at(at, wanted)
        self._piece_at = at
        if size > len(self._piece):
            message = "its directory is damaged"
            raise ValueError(message)
        return 0

    def end_of(self, record: _Record) -> int:
        """Return where the next member begins; those of one place have no room."""
        at = record.header_offset
        following = bisect_right(self._places, at)
        if self._places[following - 2 : following].count(at) > 1:
            return at
        return self._places[following] if following < self.count else self._start


def _sizes(fields: tuple[Any, ...], extra: bytes) -> tuple[int, int, int]:
    """Return size, packed size and place of a member, in 64 bits if they need them."""
    numbers = fields[11], fields[10], fields[18]
    if _FULL not in numbers:
        return numbers
    wide = _in_64_bits(extra)
    size, packed, offset = (next(wide) if each == _FULL else each for each in numbers)
    return size, packed, offset


def _decoded(name: bytes, flags: int, maker: int) -> tuple[str, int]:
    r"""Return *name* as text, and the flags, which tell whether it was UTF-8.

    >>> _decoded(b"\x81", 0, 0), _decoded("ü".encode(), 0, 3)
    (('ü', 0), ('ü', 2048))
    """
    if flags & _UTF8:
        return name.decode("utf-8", "surrogateescape"), flags
    if maker in _UNIX and not name.isascii():
        # Info-ZIP writes UTF-8 there and does not say so.
        with suppress(UnicodeDecodeError):
            return name.decode(), flags | _UTF8
    return name.decode("cp437"), flags


def _in_64_bits(extra: bytes) -> Iterator[int]:
    """Yield the numbers that did not fit, from the field that has them."""
    at = 0
    while at + _FIELD.size <= len(extra):
        field, size = _FIELD.unpack_from(extra, at)
        at += _FIELD.size
        if field == _IN_64_BITS:
            for number in range(at, min(at + size, len(extra)) - 7, 8):
                yield int.from_bytes(extra[number : number + 8], "little")
        at += size
    message = "a size in 64 bits is missing"
    raise ValueError(message)


def _date_time(date: int, time: int) -> tuple[int, int, int, int, int, int]:
    """Return a time as DOS tells it.

    >>> _date_time(0x50C3, 0x20A3)
    (2020, 6, 3, 4, 5, 6)
    """
    return (
        (date >> 9) + 1980,
        date >> 5 & 15,
        date & 31,
        time >> 11,
        time >> 5 & 63,
        time % 32 * 2,
    )
