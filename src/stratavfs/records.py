"""The records that travel between the floors and out to the caller.

Records are ``NamedTuple``s made straight from a row, so reading one costs a fraction of
a microsecond. Nothing here reads or writes anything.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from errno import ENOENT
from stat import S_ISDIR, S_ISLNK, S_ISREG
from typing import Final, NamedTuple, NewType

from stratavfs import errors

VPath = NewType("VPath", str)
"""A normalised absolute path; only ``_paths`` makes one."""

InodeId = NewType("InodeId", int)
"""The identity of a file, a directory or a symbolic link within one container."""

Buffer = bytes | bytearray | memoryview
"""What holds bytes; ``collections.abc.Buffer`` comes with Python 3.12."""

CHUNK_LIMIT: Final = 1 << 28
"""Bytes in the largest chunk: well below SQLite's limit of a billion for one value."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND = 1_000_000_000


def _moment(ns: int) -> datetime:
    """Return *ns* nanoseconds since the epoch as an aware UTC datetime.

    >>> _moment(1_500_000_000).isoformat()
    '1970-01-01T00:00:01.500000+00:00'
    """
    return _EPOCH + timedelta(microseconds=ns // 1000)


class Inode(NamedTuple):
    """One row of ``inodes``, without its content."""

    mode: int
    id: InodeId
    nlink: int
    uid: int
    gid: int
    size: int
    atime_ns: int
    mtime_ns: int
    ctime_ns: int
    birthtime_ns: int
    owner: str
    group: str
    generation: int
    # Up to here the fields of StatResult, in its order.
    opaque: int
    target: str | None

    @property
    def is_directory(self) -> bool:
        return S_ISDIR(self.mode)

    @property
    def is_file(self) -> bool:
        return S_ISREG(self.mode)

    @property
    def is_link(self) -> bool:
        return S_ISLNK(self.mode)


class Entry(NamedTuple):
    """A name in a directory, possibly absent: what looking up a path found.

    Looking up never raises for "missing"; the caller *requires* what it needs, and the
    error then names the path that was asked for.
    """

    path: VPath
    """Where it is, or would be: symbolic links on the way are resolved."""
    asked: VPath
    """The path as it was asked for; errors name this one."""
    inode: Inode | None
    error: int = ENOENT
    """When absent: the errno that asking for it gives."""
    missing: VPath | None = None
    """When absent: the topmost directory or name to create; None if it cannot be."""

    def require(self) -> Inode:
        if self.inode is None:
            raise errors.from_errno(self.error, self.asked)
        return self.inode

    def require_file(self) -> Inode:
        inode = self.require()
        if inode.is_directory:
            raise errors.is_a_directory(self.asked)
        return inode

    def require_directory(self) -> Inode:
        inode = self.require()
        if not inode.is_directory:
            raise errors.not_a_directory(self.asked)
        return inode

    def require_absent(self) -> None:
        if self.inode is not None:
            raise errors.already_exists(self.asked)

    @property
    def is_directory(self) -> bool:
        return self.inode is not None and self.inode.is_directory


class StatResult(NamedTuple):
    """What is known about a file, in the words of ``os.stat_result``.

    Its fields are read by name; their order is not that of ``os.stat_result``.
    :func:`os.path.samestat` and :func:`stat.filemode` work on it.

    >>> s = StatResult(0o100644, 7, 1, 0, 0, 5, 0, 1_500_000_000, 0, 0, "", "", 1,
    ...                0, "local")
    >>> s.size, s.st_mtime, s.modified_at.isoformat()
    (5, 1.5, '1970-01-01T00:00:01.500000+00:00')
    """

    st_mode: int
    """File type and permission bits."""
    st_ino: int
    """Number of the inode, unique within one container."""
    st_nlink: int
    """Number of names (hard links); 1 for a directory, as overlayfs says."""
    st_uid: int
    st_gid: int
    st_size: int
    """Bytes in a file, bytes of a symbolic link's target, 0 for a directory."""
    st_atime_ns: int
    st_mtime_ns: int
    st_ctime_ns: int
    """When content or metadata changed last (POSIX's ctime, not the creation)."""
    st_birthtime_ns: int
    owner: str
    """Name of the owner, empty unless set by ``chown``."""
    group: str
    generation: int
    """Raised by every change of content or metadata."""
    st_dev: int
    """Number of the container within this process."""
    source_layer: str
    """Name of the layer that answered."""

    @property
    def size(self) -> int:
        """Size in bytes."""
        return self.st_size

    @property
    def is_directory(self) -> bool:
        """Whether this is a directory."""
        return S_ISDIR(self.st_mode)

    @property
    def st_atime(self) -> float:
        """Last access in seconds since the epoch."""
        return self.st_atime_ns / _SECOND

    @property
    def st_mtime(self) -> float:
        """Last change of the content in seconds since the epoch."""
        return self.st_mtime_ns / _SECOND

    @property
    def st_ctime(self) -> float:
        """Last change of content or metadata in seconds since the epoch."""
        return self.st_ctime_ns / _SECOND

    @property
    def st_birthtime(self) -> float:
        """Creation in seconds since the epoch."""
        return self.st_birthtime_ns / _SECOND

    @property
    def created_at(self) -> datetime:
        """Creation as an aware UTC datetime."""
        return _moment(self.st_birthtime_ns)

    @property
    def modified_at(self) -> datetime:
        """Last change of the content as an aware UTC datetime."""
        return _moment(self.st_mtime_ns)

    @property
    def accessed_at(self) -> datetime:
        """Last access as an aware UTC datetime: set at creation and by ``utime``."""
        return _moment(self.st_atime_ns)


class Finding(NamedTuple):
    """One line of :meth:`VirtualFileSystem.check`."""

    rule: int
    """Number of the MUST in the format's page that is broken."""
    subject: str
    """The path, or the table and key, that breaks it."""
    message: str

    def __str__(self) -> str:
        return f"MUST {self.rule}: {self.subject}: {self.message}"
