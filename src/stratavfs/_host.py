"""What importing and exporting have to know of the host, and its files to be read.

Opening a container's file as a file, and closing it again, drops the locks that this
process has on it; writing over one destroys it.
"""

from __future__ import annotations

import io
import os
from errno import ENXIO
from operator import attrgetter
from stat import S_ISREG
from typing import TYPE_CHECKING, Final

from stratavfs import _forking, errors

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stratavfs._progress import Meter

    FileId = tuple[int, int]

WHOLE: Final = 1 << 20
"""Bytes of a file that is read as a whole."""

# No link is followed that came after the look, no pipe is waited for. Windows has none.
_HOW: Final = (
    os.O_RDONLY
    | getattr(os, "O_BINARY", 0)
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_NONBLOCK", 0)
)
_NO_LINK: Final = getattr(os, "O_NOFOLLOW", 0)
_OWN_XATTRS: Final = "user."  # the others are the host's business
_by_name = attrgetter("name")


def open_containers() -> frozenset[FileId]:
    """Return (st_dev, st_ino) of all files of containers that this process has open."""
    found = set()
    for location in _forking.locations():
        for end in ("", "-wal", "-shm", "-journal"):
            try:
                status = os.stat(location + end)
            except OSError:  # there is none of these just now
                continue
            found.add((status.st_dev, status.st_ino))
    return frozenset(found)


class HostFile:
    """A file of the host that is open for reading: the bytes it had when it was."""

    def __init__(
        self, path: str, status: os.stat_result, meter: Meter, *, follow: bool
    ) -> None:
        self._path = path
        self._meter = meter
        self.failure: OSError | None = None
        """What reading has raised."""
        self._handle = os.open(path, _HOW | (0 if follow else _NO_LINK))
        now = os.fstat(self._handle)
        if not S_ISREG(now.st_mode) or now.st_ino != status.st_ino:
            os.close(self._handle)
            raise errors.changed_meanwhile(path)
        self.length = now.st_size
        """Bytes; what is appended meanwhile is left out."""

    def whole(self) -> bytes:
        """Return all bytes."""
        os.lseek(self._handle, 0, os.SEEK_SET)  # it may have been compared
        data = os.read(self._handle, self.length) if self.length else b""
        while len(data) < self.length:
            more = os.read(self._handle, self.length - len(data))
            if not more:
                raise errors.changed_meanwhile(self._path)
            data += more
        return data

    def size(self) -> int:
        return self.length

    def read(self, offset: int) -> bytes:
        data = bytearray(self.length - offset)
        self.read_into(offset, memoryview(data))
        return bytes(data)

    def read_into(self, offset: int, view: memoryview) -> int:
        filled = 0
        try:
            with io.FileIO(self._handle, closefd=False) as file:
                file.seek(offset)
                while filled < len(view):
                    count = file.readinto(view[filled:])
                    if not count:
                        break
                    filled += count
        except OSError as error:
            error.filename = self._path
            self.failure = error
            raise
        if self.length > WHOLE:
            self._meter.bytes(self._path, filled)
        return filled

    def next_data(self, offset: int) -> int | None:
        return self._seek(
            offset, "SEEK_DATA", None if offset >= self.length else offset
        )

    def next_hole(self, offset: int) -> int | None:
        return self._seek(offset, "SEEK_HOLE", self.length)

    def _seek(self, offset: int, how: str, otherwise: int | None) -> int | None:
        """Return where data or a hole begins; *otherwise* if the host cannot tell."""
        if not hasattr(os, how) or offset >= self.length:
            return otherwise
        try:
            return min(os.lseek(self._handle, offset, getattr(os, how)), self.length)
        except OSError as error:
            return None if error.errno == ENXIO else otherwise

    def close(self) -> None:
        os.close(self._handle)


def read_small(
    path: str, *, follow: bool, xattrs: bool
) -> tuple[os.stat_result, bytes, Mapping[str, bytes]] | None:
    """Return what is known of the file at *path*, its bytes and attributes.

    None if it is not small, or is no file any more.
    """
    handle = os.open(path, _HOW | (0 if follow else _NO_LINK))
    try:
        status = os.fstat(handle)
        size = status.st_size
        if size > WHOLE or not S_ISREG(status.st_mode):
            return None
        data = os.read(handle, size)
        if len(data) != size:
            return None
        return status, data, xattrs_of(handle, path) if xattrs else {}
    finally:
        os.close(handle)


def xattrs_of(file: str | int, path: str) -> dict[str, bytes]:
    """Return the extended attributes of *file*, which is at *path*, maybe open."""
    try:
        names = os.listxattr(file)
    except OSError:  # a file system without any
        return {}
    if not names:
        return {}
    own = [name for name in names if name.startswith(_OWN_XATTRS)]
    for name in own:
        check_text(name, path)
    return {name: os.getxattr(file, name) for name in own}


def link_at(path: str) -> str:
    """Return where the symbolic link at *path* leads."""
    target = os.readlink(path)
    check_text(target, path)
    return target


def entries_of(path: str) -> list[os.DirEntry[str]]:
    """Return what is in the host's directory *path*, sorted by name."""
    with os.scandir(path) as found:
        return sorted(found, key=_by_name)


def check_name(entry: os.DirEntry[str]) -> None:
    """Refuse a name that is no UTF-8."""
    check_text(entry.name, entry.path)


def check_text(text: str, path: str) -> None:
    """Refuse a name of or in *path* that is no UTF-8."""
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            raise errors.not_utf8(path) from None


def id_of(status: os.stat_result) -> FileId:
    return status.st_dev, status.st_ino
