"""Chunks that break a rule: cut, moved or removed, and what is cut off saved.

What a file has too much goes to another one in ``/lost+found``, where it keeps its
offset if it had one. Chunks are looked at one by one, or moved without being looked at.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from stratavfs import _rules, _sql
from stratavfs._lost import FILE
from stratavfs._tree import FILE_MODE

if TYPE_CHECKING:
    from stratavfs._lost import Lost, Report
    from stratavfs._store import Store
    from stratavfs.records import InodeId


class ChunkSteps:
    """Mends the chunks of a container whose inodes are in order."""

    def __init__(self, store: Store, lost: Lost, report: Report) -> None:
        self._store = store
        self._lost = lost
        self._report = report

    def make_inodes(self) -> None:
        """Make the inodes again that chunks belong to and that are missing."""
        for (inode,) in self._store.each(_rules.LIST_LOST_CHUNKS):
            number = inode
            if not 1 <= inode <= _rules.USUAL_NUMBER:
                number = self._lost.number()
                self._store.write(_rules.RENUMBER_CHUNKS, (number, inode))
            self._lost.add_missing(number)
            self._lost.set_size(number)
            self._report.add(13, f"inode {inode}", "made again for its chunks")

    def give_types(self) -> None:
        """Make bytes of all content; save what belongs nowhere."""
        for rowid, placed, data, subject in self._store.each(
            _rules.LIST_UNTYPED_CHUNKS
        ):
            if placed and data is not None:
                self._store.write(_rules.TYPE_CHUNK, (rowid,))
                action = "made bytes"
            else:
                action = "removed"
                if data:
                    action = f"moved to {self._lost.save(f'chunk-{rowid}', data)}"
                self._store.write(_rules.REMOVE_CHUNK, (rowid,))
            self._report.add(2, subject, action)

    def displace(self) -> None:
        """Move the chunks of what is no file, or has its content elsewhere."""
        for inode, kind in self._store.each(_rules.LIST_DISPLACED):
            path = self.move_all(inode)
            rule = 11 if kind == FILE else 13
            self._report.add(rule, f"inode {inode}", f"its chunks were moved to {path}")

    def move_all(self, inode: int) -> str:
        """Move all chunks of *inode* to a file of their own; return its path."""
        number, path = self._lost.add(f"inode-{inode}", FILE_MODE)
        self._store.write(_rules.RENUMBER_CHUNKS, (number, inode))
        self._lost.set_size(number)
        return path

    def cut(self) -> None:
        """Leave of each file's chunks what has a place in it."""
        for inode, size in self._store.each(_rules.LIST_BAD_CHUNKS):
            path = self._cut_file(inode, size)
            action = f"what has no place in its file was moved to {path}"
            self._report.add(
                12,
                f"chunks of inode {inode}",
                action if path else "empty ones were removed",
            )

    def _cut_file(self, inode: int, size: int) -> str:
        chunk_size = self._store.chunk_size
        last = (size - 1) // chunk_size
        self._store.write(_rules.REMOVE_EMPTY_CHUNKS, (inode,))
        scrap = Scrap(self._store, self._lost, inode)
        scrap.take_behind(last)
        scrap.take_end(last, size - last * chunk_size)
        scrap.take_strays(last)
        scrap.take_too_long()
        return scrap.close()


class Scrap:
    """A file in ``/lost+found`` for what another file has too much, once there is any.

    What lay behind that file's end keeps its offset; all else follows after it.
    """

    def __init__(self, store: Store, lost: Lost, inode: int) -> None:
        self._store = store
        self._lost = lost
        self._inode = inode
        self._number: InodeId | None = None
        self.path = ""

    def _made(self) -> InodeId:
        if self._number is None:
            name = f"inode-{self._inode}"
            self._number, self.path = self._lost.add(name, FILE_MODE)
        return self._number

    def take_behind(self, last: int) -> None:
        """Take all whole chunks of the file behind the index *last*."""
        limit = self._lost.last_index
        if self._store.row(_rules.ANY_BEHIND, (self._inode, last, limit)) is not None:
            args = (self._made(), self._inode, last, limit)
            self._store.write(_rules.TAKE_BEHIND, args)

    def take_end(self, last: int, length: int) -> None:
        """Take what the chunk *last* of the file has behind its first *length* bytes.

        It keeps its offset, too; what is more than a chunk is left to another step.
        """
        row = self._store.row(_sql.READ_CHUNK, (self._inode, last))
        if last >= 0 and row is not None and length < len(row[0]):
            args = (self._made(), last, bytes(length) + row[0][length:])
            self._store.write(_sql.PUT_CHUNK, args)
            self._store.write(_sql.CUT_CHUNK, (length, self._inode, last, length))

    def take_strays(self, last: int) -> None:
        """Take the chunks that are before all files' starts or behind their ends."""
        args = (self._inode, max(last, self._lost.last_index))
        for rowid, data in self._store.each(_rules.LIST_STRAYS, args):
            self.append(data)
            self._store.write(_rules.REMOVE_CHUNK, (rowid,))

    def take_too_long(self) -> None:
        """Take what is more than a chunk in those of the file, and in its own."""
        chunk_size = self._store.chunk_size
        for number in (self._inode, self._number):
            args = (number, chunk_size)
            for index, data in self._store.each(_rules.LIST_LONG_CHUNKS, args):
                self.append(data[chunk_size:])
                cut = (chunk_size, number, index, chunk_size)
                self._store.write(_sql.CUT_CHUNK, cut)

    def append(self, piece: bytes) -> None:
        """Put *piece* behind all that there is, from the start of a chunk on."""
        number, chunk_size = self._made(), self._store.chunk_size
        (last,) = self._store.row(_sql.LAST_CHUNK, (number,))
        index = 0 if last is None else last + 1
        self._store.write_many(
            _sql.PUT_CHUNK,
            (
                (number, index + nth, piece[at : at + chunk_size])
                for nth, at in enumerate(range(0, len(piece), chunk_size))
            ),
        )

    def close(self) -> str:
        """Set the file's size; return its path, empty if there was nothing."""
        if self._number is not None:
            self._lost.set_size(self._number)
        return self.path
