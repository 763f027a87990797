"""Archives as no good tool would make them, and readers that look at all of one."""

from __future__ import annotations

import io
import struct
import tracemalloc
import zipfile
from contextlib import contextmanager
from functools import cache
from stat import S_IFDIR, S_IFLNK, S_IFREG
from typing import TYPE_CHECKING, Any, NamedTuple

from stratavfs import BadArchive
from stratavfs.archives import ArchiveFormat, ArchiveMember, _formats

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

Members = list[tuple[ArchiveMember, bytes | None]]

NAMES = ("zip", "tar", "tar.gz", "tar.bz2", "tar.xz", "tar.zst")
TARS = NAMES[1:]
MOMENT = 1_700_000_000_000_000_000
MIB = 1 << 20
END = bytes(1024)
"""What ends a tar archive, at least."""

SAMPLE: Members = [
    (ArchiveMember("docs", S_IFDIR | 0o750, mtime_ns=MOMENT), None),
    (ArchiveMember("docs/motd", S_IFREG | 0o640, 600, MOMENT), b"hello\n" * 100),
    (ArchiveMember("docs/now", S_IFLNK | 0o777, 0, MOMENT, "motd"), None),
    (ArchiveMember("x" * 120, S_IFREG | 0o755, 5, MOMENT), b"12345"),
]


def named(name: str) -> ArchiveFormat:
    return _formats.format_named(name)


def written(name: str, members: Members) -> bytes:
    """Return an archive of *members* in the format *name*."""
    file = io.BytesIO()
    with named(name).write(file) as archive:
        for member, data in members:
            archive.add(member, None if data is None else io.BytesIO(data))
    return file.getvalue()


@cache
def sample(name: str) -> bytes:
    """Return a small archive of one of everything."""
    return written(name, SAMPLE)


def read(name: str, archive: bytes | io.IOBase) -> Members:
    """Return all of an archive; *archive* is its bytes, or a stream of them."""
    stream: Any = io.BytesIO(archive) if isinstance(archive, bytes) else archive
    with named(name).read(stream) as members:
        return [
            (member, None if content is None else content.read())
            for member, content in members
        ]


def outcome(name: str, archive: bytes) -> Members | None:
    """Return what is read of *archive*, None if it is refused, as it has to be."""
    try:
        return read(name, archive)
    except BadArchive:
        return None


def refusal(call: Callable[..., object], *args: object) -> BadArchive:
    """Return how *call* refuses an archive."""
    try:
        call(*args)
    except BadArchive as error:
        return error
    message = "it is not refused"
    raise AssertionError(message)


def read_in_pieces(name: str, archive: bytes) -> int:
    """Return how many bytes there are in the members of *archive*."""
    total = 0
    with named(name).read(io.BytesIO(archive)) as members:
        for _, content in members:
            while content is not None and (piece := content.read(1 << 16)):
                total += len(piece)
    return total


@contextmanager
def bounded_memory(most: int = 32 * MIB) -> Iterator[None]:
    """Within this scope no more than so many bytes are taken."""
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < most
    finally:
        tracemalloc.stop()


class Pipe(io.RawIOBase):
    """The bytes of *data* as a slow pipe gives them: some at once, no way back."""

    name = "a pipe"

    def __init__(self, data: bytes, most: int = 777) -> None:
        self._file = io.BytesIO(data)
        self._most = most

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._file.read(min(len(buffer), self._most))
        buffer[: len(data)] = data
        return len(data)


class Sink(io.RawIOBase):
    """A pipe that takes some bytes at once."""

    def __init__(self, most: int = 777) -> None:
        self.taken = bytearray()
        self._most = most

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        taken = bytes(data[: self._most])
        self.taken += taken
        return len(taken)


# --- tar ------------------------------------------------------------------------------


class Fields(NamedTuple):
    """The fields of a block, as the bytes that stand in them."""

    name: bytes = b"a"
    mode: bytes = b"0000644\0"
    uid: bytes = b"0000000\0"
    gid: bytes = b"0000000\0"
    size: bytes = b"00000000000\0"
    mtime: bytes = b"00000000000\0"
    checksum: bytes = b""
    kind: bytes = b"0"
    target: bytes = b""
    magic: bytes = b"ustar\x0000"
    owner: bytes = b""
    group: bytes = b""
    major: bytes = b"0000000\0"
    minor: bytes = b"0000000\0"
    prefix: bytes = b""


_WIDTHS = struct.Struct("100s8s8s8s12s12s8sc100s8s32s32s8s8s155s12x")


def block(fields: Fields | None = None, **others: bytes) -> bytes:
    """Return a block of a tar archive; a right checksum is put in unless one is given.

    *others* replace bytes by their offset: ``at_386=b"..."``.
    """
    offsets = {key: value for key, value in others.items() if key.startswith("at_")}
    named_ = {key: value for key, value in others.items() if key not in offsets}
    fields = (fields or Fields())._replace(**named_)
    data = bytearray(_WIDTHS.pack(*fields._replace(checksum=b" " * 8)))
    for key, value in offsets.items():
        at = int(key[3:])
        data[at : at + len(value)] = value
    checksum = fields.checksum or b"%06o\0 " % sum(data)
    data[148:156] = checksum.ljust(8, b"\0")
    return bytes(data)


def octal(number: int) -> bytes:
    return b"%011o\0" % number


def filled(data: bytes) -> bytes:
    """Return *data* and what fills its last block."""
    return data + bytes(-len(data) % 512)


def entry(data: bytes = b"", **fields: bytes) -> bytes:
    """Return a member: its block, and *data*."""
    return block(Fields(size=octal(len(data))), **fields) + filled(data)


def pax(*records: tuple[bytes, bytes], kind: bytes = b"x") -> bytes:
    """Return an extended header."""
    return entry(b"".join(record(*pair) for pair in records), kind=kind, name=b"pax")


def record(key: bytes, value: bytes) -> bytes:
    rest = b" " + key + b"=" + value + b"\n"
    size = next(
        size
        for size in range(len(rest), len(rest) + 20)
        if len(rest) + len(str(size)) == size
    )
    return b"%d" % size + rest


# --- zip ------------------------------------------------------------------------------


def info(name: str = "a", **fields: Any) -> zipfile.ZipInfo:
    """Return what zipfile calls a member; *fields* are set after it was made."""
    record = zipfile.ZipInfo("x", (2020, 2, 3, 4, 5, 6))
    record.filename = name
    record.create_system = 3
    for field, value in fields.items():
        setattr(record, field, value)
    return record


def zipped(members: Iterable[tuple[zipfile.ZipInfo | str, bytes]]) -> bytes:
    """Return a zip archive as zipfile writes it."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for member, data in members:
            archive.writestr(member, data)
    return file.getvalue()


def directory_at(archive: bytes) -> int:
    """Return where the directory of a zip archive begins."""
    return int(struct.unpack_from("<I", archive, archive.rindex(b"PK\5\6") + 16)[0])


def patched(data: bytes, at: int, new: bytes) -> bytes:
    return data[:at] + new + data[at + len(new) :]
