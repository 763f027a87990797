"""Exporting a tree as an SQLite archive: https://sqlite.org/sqlar.html.

It is another database, and no container: nothing of the store's is used here.
"""

from __future__ import annotations

import os
import sqlite3
import tempfile
import zlib
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, BinaryIO, Final

from stratavfs import errors
from stratavfs._content import extents
from stratavfs._faults import translated
from stratavfs._files import made_whole, sync_file, sync_name
from stratavfs._merged import opened, walk
from stratavfs._paths import name_of
from stratavfs._selection import selection
from stratavfs.records import TransferReport

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stratavfs._entry import Entry
    from stratavfs._layers import LayerStack
    from stratavfs._merged import Walk
    from stratavfs._progress import Meter
    from stratavfs.records import VPath

_CREATE: Final = """\
CREATE TABLE sqlar(
  name TEXT PRIMARY KEY,  -- name of the file
  mode INT,               -- access permissions
  mtime INT,              -- last modification time
  sz INT,                 -- original file size
  data BLOB               -- compressed content
)"""
_ADD: Final = "INSERT INTO sqlar (name, mode, mtime, sz, data) VALUES (?, ?, ?, ?, ?)"
_ADD_ZEROS: Final = (
    "INSERT INTO sqlar (name, mode, mtime, sz, data) VALUES (?, ?, ?, ?, zeroblob(?))"
)

_WHOLE: Final = 1 << 20  # bytes of a file that is held as a whole
_STEP: Final = 1 << 20  # bytes of one that is not, held at a time
_REST: Final = 1 << 14  # bytes of a row beside its content, with room to spare
_SECOND: Final = 1_000_000_000

# A name is taken only once all is in the file: a journal would be written for nothing.
_HASTY: Final = ("PRAGMA journal_mode = OFF", "PRAGMA synchronous = OFF")


def export_sqlar(
    layers: LayerStack, top: VPath, target: str, meter: Meter
) -> TransferReport:
    """Write *top*, a directory or one file, to the new database *target*.

    Raises:
        OSError: of the host, with the path of the archive, or of the file system;
            (EFBIG) a file is larger than a value of SQLite's may be.
    """
    steps = walk(layers, top, selection(), follow=False)
    with made_whole(target) as part:
        with _translating(target), closing(_opened(part)) as cx:
            report = _Packing(layers, steps, cx, meter).run()
        sync_file(part)
    sync_name(target)
    return report


def _opened(part: str) -> sqlite3.Connection:
    cx = sqlite3.connect(part, isolation_level=None)
    try:
        for statement in (*_HASTY, "BEGIN", _CREATE):
            cx.execute(statement)
    except BaseException:
        cx.close()
        raise
    return cx


@contextmanager
def _translating(target: str) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise translated(error, target, 0) from error


class _Packing:
    """One export, with what it has counted."""

    def __init__(
        self, layers: LayerStack, steps: Walk, cx: sqlite3.Connection, meter: Meter
    ) -> None:
        self._layers = layers
        self._steps = steps
        self._cx = cx
        self._meter = meter
        self._limit = cx.getlimit(sqlite3.SQLITE_LIMIT_LENGTH) - _REST
        self._files = self._directories = self._symlinks = self._bytes = 0

    def run(self) -> TransferReport:
        steps, meter = self._steps, self._meter
        for found in steps:
            entry = found.entry
            path = found.path
            if not path and not entry.is_directory:
                path = name_of(entry.asked)
            told = self._bytes
            if path:
                told += self._add(path, entry)
            meter.total = steps.seen
            meter.count(entry.asked, self._bytes - told)
        self._cx.execute("COMMIT")
        meter.finish()
        return TransferReport(
            files=self._files,
            directories=self._directories,
            symlinks=self._symlinks,
            bytes=self._bytes,
        )

    def _add(self, path: str, entry: Entry) -> int:
        """Add one row; return the bytes of it that the caller was told of."""
        inode = entry.require()
        row = (path, inode.mode, inode.mtime_ns // _SECOND)
        if inode.is_directory:
            self._cx.execute(_ADD, (*row, 0, None))
            self._directories += 1
        elif inode.target is not None:
            self._cx.execute(_ADD, (*row, -1, inode.target))
            self._symlinks += 1
        elif inode.size > _WHOLE:
            return self._add_large(row, entry)
        else:
            data = self._layers.read(entry.path)
            packed = zlib.compress(data)
            smaller = packed if len(packed) < len(data) else data
            self._cx.execute(_ADD, (*row, len(data), smaller))
            self._files += 1
            self._bytes += len(data)
        return 0

    def _add_large(self, row: tuple[str, int, int], entry: Entry) -> int:
        """Compress a file beside, and take that or the file as it is."""
        size = entry.require().size
        if size > self._limit:
            raise errors.too_large_for_sqlar(entry.asked, self._limit)
        with tempfile.TemporaryFile() as packed:
            packing = zlib.compressobj()
            for data in self._pieces(entry):
                self._meter.bytes(entry.asked, len(data))
                packed.write(packing.compress(data))
            packed.write(packing.flush())
            stored = min(size, packed.tell())
            rowid = self._cx.execute(_ADD_ZEROS, (*row, size, stored)).lastrowid or 0
            pieces = self._pieces(entry) if stored == size else _read_again(packed)
            with self._cx.blobopen("sqlar", "data", rowid) as blob:
                for data in pieces:
                    blob.write(data)
        self._files += 1
        self._bytes += size
        return size

    def _pieces(self, entry: Entry) -> Iterator[bytes | memoryview]:
        """Yield all bytes of the file at *entry*, some at a time, holes as zeros."""
        size, at = entry.require().size, 0
        with closing(opened(self._layers, entry)) as source:
            try:
                for offset, view in extents(source, size, _STEP):
                    yield from _zeros(offset - at)
                    yield view
                    at = offset + len(view)
            except EOFError as error:
                raise errors.changed_meanwhile(entry.asked) from error
        yield from _zeros(size - at)


def _zeros(count: int) -> Iterator[bytes]:
    """Yield *count* zeros, some at a time.

    >>> [len(piece) for piece in _zeros(_STEP + 1)]
    [1048576, 1]
    """
    for at in range(0, count, _STEP):
        yield bytes(min(_STEP, count - at))


def _read_again(file: BinaryIO) -> Iterator[bytes]:
    file.seek(0, os.SEEK_SET)
    while data := file.read(_STEP):
        yield data
