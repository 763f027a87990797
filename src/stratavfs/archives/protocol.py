"""What a format of archives has to do, to be read into a file system and written."""

from __future__ import annotations

from stat import S_IFREG
from typing import TYPE_CHECKING, BinaryIO, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from contextlib import AbstractContextManager


class ArchiveMember(NamedTuple):
    """One member of an archive, in the words of ``os.stat_result``.

    >>> ArchiveMember("docs/motd", size=5).path
    'docs/motd'
    """

    path: str
    """Its name as the archive has it, with ``/`` between directories and none at the
    end; bytes that are not UTF-8 are surrogate escapes. Who reads it believes nothing:
    :meth:`VirtualFileSystem.import_archive` refuses what is absolute or leads up."""
    mode: int = S_IFREG | 0o644
    """Type and permission bits; the type is that of a file, a directory, a symbolic
    link, or what is refused: a device, a pipe, a socket, and 0 for what only the format
    has a word for."""
    size: int = 0
    """Bytes of a file; -1 where the archive tells only after them."""
    mtime_ns: int = 0
    """Last change of the content: nanoseconds since 1970, UTC."""
    target: str | None = None
    """Where a symbolic link leads."""
    first: str | None = None
    """For one more name of a file (a hard link): the path of the earlier member."""
    uid: int = 0
    gid: int = 0
    owner: str = ""
    group: str = ""
    xattrs: Mapping[str, bytes] = {}
    """Extended attributes."""
    atime_ns: int | None = None
    """Last access; None where nobody knows."""


class ArchiveWriter(Protocol):
    """An archive that is being written."""

    def add(self, member: ArchiveMember, content: BinaryIO | None = None) -> None:
        """Add *member*; *content* has the ``member.size`` bytes of a file.

        They are given for one more name of a file too (``member.first``), so that a
        format without hard links stores them again; one that has them reads nothing.
        """


class ArchiveFormat(Protocol):
    """A format of archives: give one to ``import_archive`` or ``export_archive``.

    What it raises for an archive that is damaged, cut short or none of its own is
    :class:`stratavfs.BadArchive`, or an ``OSError``, ``EOFError`` or ``ValueError``
    that becomes its cause.
    """

    @property
    def name(self) -> str:
        """What callers call it: ``"zip"``; a plain attribute will do."""

    @property
    def extensions(self) -> tuple[str, ...]:
        """Ends of the names of such files, ``(".zip",)``: tells what to write."""

    def recognizes(self, head: bytes) -> bool:
        """Tell whether *head*, the first 1,024 bytes or all of a file, is of one."""

    def read(
        self, stream: BinaryIO
    ) -> AbstractContextManager[Iterator[tuple[ArchiveMember, BinaryIO | None]]]:
        """Return a context that yields (member, its bytes) in the archive's order.

        *stream* is read from where it stands to its end and is left open; it may be a
        pipe, which cannot seek. The bytes of a file are read before the next member is
        asked for, or left alone: what is wrong with them alone is raised by reading
        them, so that a member that is left out does no harm.
        """

    def write(self, stream: BinaryIO) -> AbstractContextManager[ArchiveWriter]:
        """Return a context that writes an archive to *stream*, complete at its end.

        *stream* is left open; it may be a pipe. A format that cannot be written raises
        :class:`stratavfs.InvalidArgument`.
        """
