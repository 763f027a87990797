"""The records that travel between the floors and out to the caller.

Records are ``NamedTuple``s made straight from a row, so reading one costs a fraction of
a microsecond. Nothing here reads or writes anything.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from stat import S_IFMT, S_ISDIR, S_ISLNK, S_ISREG
from typing import Final, NamedTuple, NewType

VPath = NewType("VPath", str)
"""A normalised absolute path; only ``_paths`` makes one."""

InodeId = NewType("InodeId", int)
"""The identity of a file, a directory or a symbolic link within one container."""

Buffer = bytes | bytearray | memoryview
"""What holds bytes; ``collections.abc.Buffer`` comes with Python 3.12."""

S_IFWHT: Final = 0o160000
"""The type bits of a whiteout, which hides its name in the layers below (BSD)."""

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
    """What a layer says of a path: in a container, a row without its content.

    >>> Inode(0o100644, size=5).is_file, Inode(S_IFWHT).is_whiteout
    (True, True)
    """

    mode: int
    """Type and permission bits; the type ``S_IFWHT`` makes it a whiteout."""
    id: InodeId = InodeId(0)
    """Number of the inode within its layer; 0 where there are no numbers."""
    nlink: int = 1
    uid: int = 0
    gid: int = 0
    size: int = 0
    """Bytes in a file, bytes of a symbolic link's target, 0 for a directory."""
    atime_ns: int = 0
    """Times in nanoseconds since 1970, UTC."""
    mtime_ns: int = 0
    ctime_ns: int = 0
    birthtime_ns: int = 0
    owner: str = ""
    group: str = ""
    generation: int = 1
    # Up to here the fields of StatResult, in its order.
    opaque: int = 0
    """1 for a directory that hides what lower layers have below its path."""
    target: str | None = None
    """Where a symbolic link leads; None for all else."""

    @property
    def is_whiteout(self) -> bool:
        return S_IFMT(self.mode) == S_IFWHT

    @property
    def is_directory(self) -> bool:
        return S_ISDIR(self.mode)

    @property
    def is_file(self) -> bool:
        return S_ISREG(self.mode)

    @property
    def is_link(self) -> bool:
        return S_ISLNK(self.mode)


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


class LayerSay(NamedTuple):
    """What one layer says of a path, and what becomes of it."""

    name: str
    """Name of the layer."""
    says: str
    """What it has there, in words."""
    rule: str
    """Why it answers, merges, hides or is hidden; empty if it has no part in it."""


class Explanation(NamedTuple):
    """What :meth:`VirtualFileSystem.explain` returns; printable."""

    path: str
    """The path that was explained, links on the way to it resolved."""
    layers: list[LayerSay]
    """From the top."""
    winner: str | None
    """Name of the layer that answers; None: nothing is there."""

    def __str__(self) -> str:
        names = max(len(say.name) for say in self.layers)
        says = max(len(say.says) for say in self.layers)
        lines = [
            f"  {say.name:{names}}  {say.says:{says}}  {say.rule}".rstrip()
            for say in self.layers
        ]
        end = "nothing is there" if self.winner is None else f"{self.winner} answers"
        return "\n".join([self.path, *lines, f"=> {end}"])


class Conflict(NamedTuple):
    """One line of :meth:`VirtualFileSystem.conflicts`."""

    path: str
    winner: str
    """Name of the layer that answers."""
    layers: list[str]
    """Names of all that have something of their own there, the winner first."""

    def __str__(self) -> str:
        return f"{self.path}: {self.winner} over {', '.join(self.layers[1:])}"


class Change(NamedTuple):
    """One line of :meth:`VirtualFileSystem.diff`."""

    path: str
    kind: str
    """``added``, ``modified``, ``deleted``, ``type changed`` or ``metadata``."""

    def __str__(self) -> str:
        return f"{self.kind} {self.path}"


class Finding(NamedTuple):
    """One line of :meth:`VirtualFileSystem.check`."""

    rule: int
    """Number of the MUST in the format's page that is broken."""
    subject: str
    """The path, or the table and key, that breaks it."""
    message: str

    def __str__(self) -> str:
        return f"MUST {self.rule}: {self.subject}: {self.message}"


class Repair(NamedTuple):
    """One line of :meth:`VirtualFileSystem.repair`."""

    rule: int
    """Number of the MUST in the format's page that was broken."""
    subject: str
    """The path, or the table and key, that broke it."""
    action: str
    """What was done about it."""

    def __str__(self) -> str:
        return f"MUST {self.rule}: {self.subject}: {self.action}"


class Progress(NamedTuple):
    """What a long call tells while it runs."""

    done: int
    """Steps done: of a backup, pages; of a tree or an archive, what is in it."""
    total: int
    """Steps there are, as far as is known by now; not less than *done*."""
    path: str
    """What is being worked on: of a backup, the file of the container."""
    bytes: int
    """Bytes done."""


class TransferReport(NamedTuple):
    """What an import or an export did."""

    files: int = 0
    """Files that were written, each name of a hard link counted."""
    directories: int = 0
    """Directories that were made."""
    symlinks: int = 0
    """Symbolic links that were made."""
    bytes: int = 0
    """Bytes of content that were written."""
    unchanged: int = 0
    """What was there already, and the same; directories that are merged."""
    skipped: int = 0
    """What was left as it is, as ``on_conflict`` says."""
    failures: tuple[tuple[str, OSError], ...] = ()
    """With ``errors="skip"``: (path, error) of what could not be transferred."""


class Usage(NamedTuple):
    """What :meth:`VirtualFileSystem.disk_usage` returns, of one tree."""

    files: int
    """Regular files; one with several names counts once."""
    directories: int
    """Directories, the one that was asked for included."""
    symlinks: int
    bytes: int
    """Bytes of the files, holes included."""


class GrepMatch(NamedTuple):
    """One line that :meth:`VirtualFileSystem.grep` found."""

    path: str
    line_number: int
    """Counted from 1."""
    line: str | bytes
    """The line without its ending; bytes with ``binary=True``."""


class Stats(NamedTuple):
    """What :meth:`VirtualFileSystem.stats` returns, of one container."""

    files: int
    """Regular files, by inode: one with several names counts once."""
    directories: int
    """Directories, the root included."""
    symlinks: int
    whiteouts: int
    """Names that are hidden in the layers below."""
    orphans: int
    """Files without a name that are open somewhere."""
    logical_bytes: int
    """Sum of the sizes of the files, holes included."""
    stored_bytes: int
    """Bytes of content that are kept."""
    container_bytes: int
    """Bytes of the container's pages: of its file, once the log is written back."""
    log_bytes: int
    """Bytes in the write-ahead log beside the file."""
    free_bytes: int
    """Bytes of pages that hold nothing, to be filled again."""
    reclaimable_bytes: int
    """Bytes that ``compact()`` gives back: free pages, and the log."""
