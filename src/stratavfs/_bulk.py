"""Bulk: new files by the hundred, each with one name, in a few statements for all.

A statement of its own costs a file more than its row does; SQLite runs one for many
rows at a third of that. What waits here is not in the container yet: flush it before
anything asks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from stratavfs.records import InodeId

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stratavfs._content import Content
    from stratavfs._store import Store
    from stratavfs._tree import NewEntry, NewInode, Tree
    from stratavfs.records import Buffer, Inode

    Facts = tuple[int, int, int, int, int, int, int, int, str, str, str | None]

_ROWS: Final = 256  # files that wait at most
_BYTES: Final = 1 << 20  # bytes of content that wait at most


class Bulk:
    """New files and symbolic links of one container, inside one transaction."""

    def __init__(self, rooms: tuple[Store, Tree, Content]) -> None:
        store, self._tree, self._content = rooms
        self._chunk_size, self._inline_limit = store.chunk_size, store.inline_limit
        self._last = 0  # number of the newest inode; 0: not asked for yet
        self._inodes: list[NewInode] = []
        self._entries: list[NewEntry] = []
        self._chunks: list[tuple[int, int, Buffer]] = []
        self._xattrs: list[tuple[int, str, bytes]] = []
        self._bytes = 0

    def add(
        self,
        key: tuple[str, str],
        inode: Inode,
        content: Buffer | None,
        xattrs: Mapping[str, bytes],
    ) -> InodeId:
        """Make *inode* at *key*: its directory with a slash, and its name.

        There is nothing of that name. Without *content* a file is one hole, to be
        filled once it is flushed.
        """
        facts = (
            inode.mode,
            inode.uid,
            inode.gid,
            inode.size,
            inode.atime_ns,
            inode.mtime_ns,
            inode.ctime_ns,
            inode.birthtime_ns,
            inode.owner,
            inode.group,
            inode.target,
        )
        return self.put(key, facts, content, xattrs)

    def put(
        self,
        key: tuple[str, str],
        facts: Facts,
        content: Buffer | None,
        xattrs: Mapping[str, bytes],
    ) -> InodeId:
        """Do as :meth:`add` for an inode of which there are only the *facts*."""
        number = InodeId((self._last or self._tree.last_number()) + 1)
        self._last = number
        inline = content
        if content is not None:
            self._bytes += len(content)
            if len(content) > self._inline_limit:
                inline = None
                self._add_chunks(number, memoryview(content))
        self._inodes.append((number, *facts, inline))
        self._entries.append((*key, facts[0] >> 12, number))
        for name in xattrs:
            self._xattrs.append((number, name, xattrs[name]))
        if len(self._inodes) >= _ROWS or self._bytes >= _BYTES:
            self.flush()
        return number

    def _add_chunks(self, number: InodeId, data: memoryview) -> None:
        step = self._chunk_size
        for index, start in enumerate(range(0, len(data), step)):
            self._chunks.append((number, index, data[start : start + step]))

    def flush(self) -> None:
        """Write what waits; others may make inodes afterwards."""
        self._last = 0
        if not self._inodes:
            return
        inodes, self._inodes = self._inodes, []
        entries, self._entries = self._entries, []
        chunks, self._chunks = self._chunks, []
        xattrs, self._xattrs = self._xattrs, []
        self._bytes = 0
        self._tree.add_many(inodes, entries)
        if chunks:
            self._content.put_many(chunks)
        if xattrs:
            self._tree.put_xattrs(xattrs)
