"""Exporting a tree as an archive, member after member, as a pipe takes them.

An archive in a file is made under another name and gets its own when it is complete.
"""

from __future__ import annotations

import io
from contextlib import closing, contextmanager
from stat import S_IFDIR, S_IFLNK, S_IFREG
from typing import TYPE_CHECKING, BinaryIO, Final

from stratavfs import errors
from stratavfs._files import made_whole, sync_file, sync_name
from stratavfs._merged import Xattrs, opened, read, walk
from stratavfs._paths import name_of
from stratavfs.archives._formats import format_named, format_of_file, is_format
from stratavfs.archives.protocol import ArchiveMember
from stratavfs.records import TransferReport

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stratavfs._entry import Entry
    from stratavfs._layers import LayerStack
    from stratavfs._merged import Walk
    from stratavfs._openfile import InodeFile, StreamFile
    from stratavfs._progress import Meter
    from stratavfs._selection import Selection
    from stratavfs.archives.protocol import ArchiveFormat, ArchiveWriter
    from stratavfs.records import Inode, VPath

_WHOLE: Final = 1 << 16  # bytes of a file that is held as a whole
_STEP: Final = 1 << 20  # bytes of one that is not, held at a time
_USUAL: Final = {S_IFDIR: 0o755, S_IFREG: 0o644, S_IFLNK: 0o777}


def export_archive(
    layers: LayerStack,
    top: VPath,
    target: str | BinaryIO,
    format_: str | ArchiveFormat | None,
    chosen: Selection,
    preserve: frozenset[str],
    meter: Meter,
    *,
    follow: bool,
) -> TransferReport:
    """Write *top*, a directory or one file, to *target* as an archive.

    A member's name begins below *top*; what is not preserved is the same for all: no
    owner, the usual mode, the time 0, so that equal trees make equal archives.

    Raises:
        OSError: of the host, with the path of the archive, or of the file system.
        InvalidArgument, InvalidType: there is no such format.
    """
    kind = _format_of(format_, target)
    steps = walk(layers, top, chosen, follow=follow)
    packing = _Packing(layers, steps, preserve, meter)
    if not isinstance(target, str):
        return packing.run(kind, target)
    with made_whole(target) as part, _named(part, target):
        with open(part, "xb") as stream:
            report = packing.run(kind, stream)
        sync_file(part)
    sync_name(target)
    return report


def _format_of(
    format_: str | ArchiveFormat | None, target: str | BinaryIO
) -> ArchiveFormat:
    if format_ is None:
        name = target if isinstance(target, str) else getattr(target, "name", "")
        return format_of_file(name if isinstance(name, str) else "")
    if isinstance(format_, str):
        return format_named(format_)
    if not is_format(format_):
        message = f"format should be a name or an ArchiveFormat, not {format_!r}"
        raise errors.InvalidType(message)
    return format_


@contextmanager
def _named(part: str, target: str) -> Iterator[None]:
    """Let errors of the file *part*, which nobody knows, name the *target*."""
    try:
        yield
    except OSError as error:
        if error.filename in (None, part):
            error.filename = target
        raise


class _Packing:
    """One export, with what it has counted."""

    def __init__(
        self, layers: LayerStack, steps: Walk, preserve: frozenset[str], meter: Meter
    ) -> None:
        self._layers = layers
        self._steps = steps
        self._xattrs = Xattrs(layers)
        self._preserve = preserve
        self._meter = meter
        self._firsts: dict[object, str] = {}  # members of files with several names
        self._files = self._directories = self._symlinks = self._bytes = 0

    def run(self, kind: ArchiveFormat, stream: BinaryIO) -> TransferReport:
        steps, meter = self._steps, self._meter
        with kind.write(stream) as writer:
            for found in steps:
                entry = found.entry
                path = found.path
                if not path and not entry.is_directory:
                    path = name_of(steps.top.entry.asked)
                size = self._add(writer, path, entry) if path else 0
                meter.total = steps.seen
                meter.count(entry.asked, size)
        meter.finish()
        return TransferReport(
            files=self._files,
            directories=self._directories,
            symlinks=self._symlinks,
            bytes=self._bytes,
        )

    def _add(self, writer: ArchiveWriter, path: str, entry: Entry) -> int:
        """Add one member; return the bytes that nobody was told of yet."""
        inode = entry.require()
        if not inode.is_file:
            writer.add(self._member(path, entry, 0))
            self._directories += inode.is_directory
            self._symlinks += inode.is_link
            return 0
        self._files += 1
        key = self._key_of(entry)
        first = None if key is None else self._firsts.setdefault(key, path)
        if first is not None and first != path:
            member = self._member(path, entry, inode.size)._replace(first=first)
            # Not every format has hard links: one that has does not read this.
            with closing(_Bytes(self._layers, entry, None)) as content:
                writer.add(member, content)
            return 0
        if inode.size <= _WHOLE:
            data = read(self._layers, entry)
            writer.add(self._member(path, entry, len(data)), io.BytesIO(data))
            self._bytes += len(data)
            return len(data)
        with closing(_Bytes(self._layers, entry, self._meter)) as content:
            writer.add(self._member(path, entry, inode.size), content)
        self._bytes += inode.size
        return 0

    def _key_of(self, entry: Entry) -> object:
        """Return what tells a file of several names from others."""
        inode = entry.require()
        if inode.nlink == 1 or "links" not in self._preserve:
            return None
        return entry.device, inode.id, inode.size, inode.mtime_ns

    def _member(self, path: str, entry: Entry, size: int) -> ArchiveMember:
        inode = entry.require()
        kept = self._preserve
        timed, owned = "timestamps" in kept, "ownership" in kept
        return ArchiveMember(
            path,
            inode.mode if "mode" in kept else usual_mode(inode),
            size,
            inode.mtime_ns if timed else 0,
            inode.target,
            None,
            inode.uid if owned else 0,
            inode.gid if owned else 0,
            inode.owner if owned else "",
            inode.group if owned else "",
            self._xattrs.of(entry) if "xattr" in kept else {},
            inode.atime_ns if timed else None,
        )


def usual_mode(inode: Inode) -> int:
    """Return the mode of what nothing is known of but its type.

    >>> from stratavfs.records import Inode
    >>> oct(usual_mode(Inode(0o104755)))
    '0o100644'
    """
    kind = inode.mode & ~0o7777
    return kind | _USUAL[kind]


class _Bytes(io.BufferedReader):
    """The bytes of a file, which is opened by the first who reads them."""

    def __init__(self, layers: LayerStack, entry: Entry, meter: Meter | None) -> None:
        super().__init__(_RawBytes(layers, entry, meter), _STEP)


class _RawBytes(io.RawIOBase):
    """The same, unbuffered: as many as there were when the tree was looked at."""

    def __init__(self, layers: LayerStack, entry: Entry, meter: Meter | None) -> None:
        self._layers = layers
        self._entry = entry
        self._meter = meter
        self._size = entry.require().size
        self._offset = 0
        self._file: InodeFile | StreamFile | None = None

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        entry = self._entry
        if self._file is None:
            self._file = opened(self._layers, entry)
        view = memoryview(buffer)[: self._size - self._offset]
        count = self._file.read_into(self._offset, view) if view else 0
        if count != len(view):
            raise errors.changed_meanwhile(entry.asked)
        self._offset += count
        if self._meter is not None:
            self._meter.bytes(entry.asked, count)
        return count

    def close(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            file.close()
        super().close()
