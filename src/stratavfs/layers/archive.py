"""A zip archive as a read-only layer.

The archive's directory is read once, and again whenever the file is another one. The
members are read where they lie, and are never unpacked to anywhere.
"""

from __future__ import annotations

import io
import os
import struct
import sys
import threading
from bisect import bisect_left
from contextlib import closing, suppress
from datetime import UTC, datetime
from errno import ESTALE
from functools import partial
from stat import S_IFDIR, S_IFLNK, S_IFMT, S_IFREG, S_IMODE
from typing import TYPE_CHECKING, BinaryIO, Final

from stratavfs import errors
from stratavfs._paths import PATH_LIMIT, ROOT, inside, normalize
from stratavfs.layers._members import (
    OpenArchive,
    directory_of,
    open_member,
    refuse_bomb,
    stamp_of,
)
from stratavfs.layers.protocol import Layer
from stratavfs.records import Inode, InodeId, VPath

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterator
    from zipfile import ZipInfo

    from stratavfs._paths import StrPath
    from stratavfs.layers._members import Places

_UNIX: Final = {3, 19}  # makers that tell the mode: Unix, Darwin
_DOS: Final = {0, 10, 14}  # ... that may mean a separator by a backslash
_PERMISSIONS: Final = {S_IFREG: 0o644, S_IFDIR: 0o755, S_IFLNK: 0o777}
_UTF8: Final = 0x800  # a flag: the name is UTF-8, else that of an old PC
_EXTENDED_TIME: Final = 0x5455
_TIME: Final = struct.Struct("<HHBi")  # field, its size, which times, the first one


class ZipLayer(Layer):
    """The tree in the zip archive *file*, which is never changed.

    A name that leads up (``..``) or breaks the limits of a path is not shown, nor is
    what is neither file, directory nor link; ``skipped`` tells which. Of several
    members of one name the last is shown; a file gives way to a directory of its name
    that has something in it. Directories without a member of their own have the time of
    the newest member. Modes and links are those of archives made on Unix. Times are
    read as UTC, since most archives do not tell their zone.

    Stored members are read at their place. Packed ones are unpacked as far as they are
    read, and from the start again to go back; no more bytes come out than the archive's
    directory says. Checksums are compared where a member is read from start to end.
    Encrypted members are shown and cannot be opened, nor can those that overlap others,
    claim more than their bytes can be, or unpack to more than 256 MiB and to more than
    *max_ratio* times what they are packed into.

    Args:
        file: A path, which is opened when needed and never held; or a file object,
            which stays open and is taken as not changing.
        immutable: Promise that the file stays as it is, so that it is not looked at
            for every question.
        max_ratio: How many times its packed size a large member may unpack to;
            ``math.inf`` takes all.
        max_members: How many members the archive may have, all of which are known at
            once: about 1 KiB of memory each.

    Raises:
        FileNotFoundError: there is no file at the path.
        OSError: (EINVAL) it is no zip archive, or its directory is damaged; (EFBIG) it
            has more members than *max_members*.

    >>> import io, zipfile
    >>> file = io.BytesIO()
    >>> with zipfile.ZipFile(file, "w") as archive:
    ...     archive.writestr("docs/motd", "hello")
    >>> layer = ZipLayer(file)
    >>> layer.find("/docs").is_directory, layer.open("/docs/motd").read()
    (True, b'hello')
    """

    kind = "zip"

    def __init__(
        self,
        file: StrPath | BinaryIO,
        *,
        immutable: bool = False,
        max_ratio: float = 100,
        max_members: int = 250_000,
    ) -> None:
        self.immutable = immutable
        self.max_ratio = max_ratio
        self.max_members = max_members
        self._lock = threading.RLock()
        self._shared: BinaryIO | None = None
        if isinstance(file, str | os.PathLike):
            os.stat(os.fspath(file))  # a missing one is said to be missing
            self.location = os.path.abspath(file)
        elif hasattr(file, "seek") and file.read(0) == b"":
            self._shared = file
            self.location = str(getattr(file, "name", ""))
        else:
            message = f"file should be a path or a binary file object, not {file!r}"
            raise errors.InvalidType(message)
        with closing(self._opened()) as archive:
            self._known = archive.stamp, _read_index(archive, max_members)

    def __reduce__(self) -> tuple[Callable[..., ZipLayer], tuple[object]]:
        maker = partial(
            ZipLayer,
            immutable=self.immutable,
            max_ratio=self.max_ratio,
            max_members=self.max_members,
        )
        return maker, (self._shared or self.location,)

    @property
    def skipped(self) -> list[tuple[str, str]]:
        """The members that are not shown: (name in the archive, reason)."""
        return [*self._index().skipped]

    def find(self, path: str) -> Inode | None:
        """Return what is at *path*, None if there is nothing."""
        return self._index().find(path)

    def kinds(self, path: str) -> list[tuple[str, int]]:
        """Return (name, type bits) of all in the directory at *path*.

        Raises:
            FileNotFoundError, NotADirectoryError: there is no directory at *path*.
        """
        index = self._index()
        inode = index.find(path)
        if inode is None:
            raise errors.not_found(path)
        if not inode.is_directory:
            raise errors.not_a_directory(path)
        return [*dict(index.kinds(path)).items()]

    def open(self, path: str) -> BinaryIO:
        """Open the file at *path* for reading.

        Raises:
            FileNotFoundError: there is no file at *path*.
            PermissionError: it is encrypted.
            OSError: (EIO) it is damaged; (EFBIG) it unpacks to too much.
        """
        archive = self._opened()
        try:
            record, end = self._index_of(archive).record(path)
            refuse_bomb(archive, record, self.max_ratio)
            return io.BufferedReader(open_member(archive, record, end))
        except BaseException:
            archive.close()
            raise

    def version(self) -> Hashable:
        """Return what changes whenever the file does."""
        if self.immutable or self._shared:
            return ()
        try:
            return stamp_of(os.stat(self.location))
        except FileNotFoundError:
            raise self._gone() from None

    def _opened(self) -> OpenArchive:
        if self._shared:
            return OpenArchive(self._shared, self.location, self._lock)
        try:
            file = open(self.location, "rb")  # noqa: SIM115 - the archive closes it
        except FileNotFoundError:
            raise self._gone() from None
        return OpenArchive(file, self.location, watched=not self.immutable)

    def _gone(self) -> OSError:
        # Not "no such file", which would say that a path in the archive is missing.
        return OSError(ESTALE, "the archive of this layer is gone", self.location)

    def _index(self) -> _Index:
        """Return what the file holds now."""
        stamp, index = self._known
        if stamp == self.version():
            return index
        with closing(self._opened()) as archive:
            return self._index_of(archive)

    def _index_of(self, archive: OpenArchive) -> _Index:
        """Return what *archive* holds, which may be another file by now."""
        with self._lock:
            if archive.stamp != self._known[0]:
                self._known = archive.stamp, _read_index(archive, self.max_members)
            return self._known[1]


# --- its directory --------------------------------------------------------------------


class _Index:
    """What an archive holds, by path.

    A directory without a member of its own is known by what begins with its path, so
    that a small archive of deep names takes no more memory than its names do.
    """

    def __init__(
        self,
        found: dict[str, tuple[Inode, ZipInfo]],
        skipped: list[tuple[str, str]],
        places: Places,
    ) -> None:
        self.skipped = skipped
        self._places = places
        self._paths = sorted(found)
        self._members = {
            path: (found[path][0]._replace(id=InodeId(number)), found[path][1])
            for number, path in enumerate(self._paths, 1)
        }
        newest = max((inode.mtime_ns for inode, _ in found.values()), default=0)
        self._implied = _inode(S_IFDIR, _PERMISSIONS[S_IFDIR], newest)

    def find(self, path: str) -> Inode | None:
        if path in self._members:
            return self._members[path][0]
        first = _first_below(path, self._paths)
        if first is None and path != ROOT:
            return None
        # No other directory of this depth begins with the same member.
        number = inside(VPath(path)).count("/") << 32 | (first or 0)
        return self._implied._replace(id=InodeId(number))

    def record(self, path: str) -> tuple[ZipInfo, int]:
        """Return what the directory says of the file at *path*, and where it ends."""
        member = self._members.get(path)
        if member is None or not member[0].is_file:
            raise errors.not_found(path)
        return member[1], self._places.end_of(member[1])

    def kinds(self, directory: str) -> Iterator[tuple[str, int]]:
        """Yield (name, type bits) of all in *directory*; a directory may come twice."""
        start = inside(VPath(directory))
        at = bisect_left(self._paths, start + "\0")  # the root is not below itself
        while at < len(self._paths) and self._paths[at].startswith(start):
            path = self._paths[at]
            name, slash, _ = path[len(start) :].partition("/")
            if slash:
                yield name, S_IFDIR
                # 0 comes after /: what follows all that is in this directory
                at = bisect_left(self._paths, start + name + "0", at)
            else:
                yield name, S_IFMT(self._members[path][0].mode)
                at += 1


def _first_below(directory: str, paths: list[str]) -> int | None:
    """Return which of the sorted *paths* is the first below *directory*.

    >>> _first_below("/a", ["/a", "/a-b", "/a/c", "/d"]), _first_below("/d", ["/d"])
    (2, None)
    """
    start = inside(VPath(directory))
    at = bisect_left(paths, start + "\0")
    return at if at < len(paths) and paths[at].startswith(start) else None


def _read_index(archive: OpenArchive, max_members: int) -> _Index:
    """Read which members there are, and choose those that are shown."""
    records, places = directory_of(archive, max_members)
    skipped = []
    found: dict[str, tuple[Inode, ZipInfo]] = {}
    for record in records:
        try:
            end = places.end_of(record)
            path, inode = _path_of(record), _inode_of(archive, record, end)
        except ValueError as error:
            skipped.append((record.orig_filename, str(error)))
            continue
        if path in found:
            earlier = found[path][1].orig_filename
            skipped.append((earlier, "a later member has its name"))
        found[path] = inode, record
    for covered in _covered(found):
        _, record = found.pop(covered)
        skipped.append((record.orig_filename, "a directory has its name"))
    return _Index(found, skipped, places)


def _covered(found: dict[str, tuple[Inode, ZipInfo]]) -> list[str]:
    """Return the paths of files that have to be directories, as others lie below."""
    paths = sorted(found)
    return [
        path
        for path in paths
        if not found[path][0].is_directory
        and (path == ROOT or _first_below(path, paths) is not None)
    ]


def name_of(record: ZipInfo) -> str:
    """Return the name of a member, with ``/`` between directories."""
    name = record.orig_filename  # filename is cut at a NUL
    if record.create_system in _DOS:
        return name.replace("\\", "/")
    with suppress(UnicodeError):  # Info-ZIP on Unix writes UTF-8 and says nothing
        return name if record.flag_bits & _UTF8 else name.encode("cp437").decode()
    return name


def _path_of(record: ZipInfo) -> VPath:
    """Return the path of a member, or say in a ``ValueError`` why it is not shown."""
    name = name_of(record)
    if ".." in name.split("/"):
        message = "its name leads up"
        raise ValueError(message)
    try:
        return normalize("/" + name)
    except OSError as error:
        raise ValueError(error.strerror) from error


def _inode_of(archive: OpenArchive, record: ZipInfo, end: int) -> Inode:
    """Return what is known of a member, or say likewise why it is not shown."""
    mode = record.external_attr >> 16 if record.create_system in _UNIX else 0
    is_directory = name_of(record).endswith("/")
    kind = S_IFDIR if is_directory else S_IFMT(mode) or S_IFREG
    if kind not in _PERMISSIONS:
        message = "it is neither file, directory nor link"
        raise ValueError(message)
    if record.file_size > sys.maxsize:
        message = "its size is impossible"
        raise ValueError(message)
    permissions = S_IMODE(mode) if mode else _PERMISSIONS[kind]
    time = mtime_ns_of(record)
    if kind == S_IFLNK:
        target = _target(archive, record, end)
        return _inode(kind, permissions, time, len(target.encode()), target)
    return _inode(kind, permissions, time, record.file_size if kind == S_IFREG else 0)


def _inode(
    kind: int, permissions: int, time: int, size: int = 0, target: str | None = None
) -> Inode:
    return Inode(
        kind | permissions,
        size=size,
        atime_ns=time,
        mtime_ns=time,
        ctime_ns=time,
        birthtime_ns=time,
        target=target,
    )


def _target(archive: OpenArchive, record: ZipInfo, end: int) -> str:
    """Return where a link leads, which is what it holds."""
    target = ""
    if record.file_size <= PATH_LIMIT:
        borrowed = OpenArchive(archive.file, archive.location, threading.Lock())
        try:
            target = (open_member(borrowed, record, end).readall() or b"").decode()
        except OSError as error:
            raise ValueError(error.strerror) from error
    if not target or "\0" in target:
        message = "it is a link to nowhere"
        raise ValueError(message)
    return target


def mtime_ns_of(record: ZipInfo) -> int:
    """Return the time of a member, which is exact in UTC in some, local in most."""
    seconds = _extended_time(record.extra)
    if seconds is None:
        try:
            seconds = int(datetime(*record.date_time, tzinfo=UTC).timestamp())
        except ValueError:  # month 0, second 60
            seconds = 0
    return seconds * 1_000_000_000


def _extended_time(extra: bytes) -> int | None:
    """Return the seconds since 1970 in the field that Info-ZIP adds.

    >>> _extended_time(bytes.fromhex("feca 0100 00  5554 0500 01 40e20100"))
    123456
    """
    at = 0
    while at + _TIME.size <= len(extra):
        field, size, known, seconds = _TIME.unpack_from(extra, at)
        if field == _EXTENDED_TIME and size + 4 >= _TIME.size and known & 1:
            return int(seconds)
        at += 4 + size
    return None
