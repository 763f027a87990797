"""SQL by hand: the floor of ``floor.py`` with the verbs that only the comparison has.

The same tables and pragmas; statements for one purpose each, and nothing that a file
system promises. A file that was large and becomes small keeps its chunks, unseen.
"""

from __future__ import annotations

import os
import sqlite3
import time
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from benchmarks.contenders.bare import fill
from benchmarks.contenders.protocol import Kind
from benchmarks.floor import (
    ADD_CHUNK,
    CHUNK_SIZE,
    EXISTS,
    FIND_CHUNK,
    INLINE_LIMIT,
    SqlFloor,
)
from benchmarks.subjects import sync

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from benchmarks.contenders.protocol import Contender, Verb
    from benchmarks.floor import Key

_AT: Final = (
    "FROM entries e JOIN inodes i ON i.id = e.inode WHERE e.parent = ? AND e.name = ?"
)
_BELOW: Final = "parent >= ? AND parent < ?"
READ: Final = f"SELECT i.content, i.id {_AT}"
READ_ALL_CHUNKS: Final = "SELECT data FROM chunks WHERE inode = ? ORDER BY idx"
OPEN: Final = f"SELECT i.id, i.size, i.content {_AT}"
ADD_DIRECTORY: Final = (
    "INSERT INTO inodes (mode, nlink, uid, gid, owner, group_name, size, atime_ns, "
    "mtime_ns, ctime_ns, birthtime_ns, generation, opaque) "
    "VALUES (16877, 2, 0, 0, '', '', 0, ?, ?, ?, ?, 1, 0)"
)
ADD_DIRECTORY_ENTRY: Final = (
    "INSERT INTO entries (parent, name, kind, inode) VALUES (?, ?, 4, ?)"
)
EMPTY: Final = (
    "UPDATE inodes SET size = ?, content = NULL, mtime_ns = ?, ctime_ns = ?, "
    "generation = generation + 1 WHERE id = ?"
)
REMOVE_CHUNKS: Final = "DELETE FROM chunks WHERE inode = ?"
PUT_CHUNK: Final = (
    "INSERT INTO chunks (inode, idx, data) VALUES (?, ?, ?) "
    "ON CONFLICT (inode, idx) DO UPDATE SET data = excluded.data"
)
PUT_CONTENT: Final = (
    "UPDATE inodes SET content = ?, size = ?, mtime_ns = ? WHERE id = ?"
)
GROW: Final = "UPDATE inodes SET size = max(size, ?), mtime_ns = ? WHERE id = ?"
READ_SPAN: Final = (
    "SELECT data FROM chunks WHERE inode = ? AND idx BETWEEN ? AND ? ORDER BY idx"
)
READ_PART: Final = "SELECT substr(data, ?, ?) FROM chunks WHERE inode = ? AND idx = ?"
FILES_BELOW: Final = f"SELECT parent, name FROM entries WHERE kind = 8 AND {_BELOW}"
MATCHING_BELOW: Final = f"{FILES_BELOW} AND name GLOB ?"
MATCHING_HERE: Final = (
    "SELECT parent, name FROM entries WHERE kind = 8 AND parent = ? AND name GLOB ?"
)
MOVE: Final = (
    "UPDATE entries SET parent = ?, name = ? WHERE parent = ? AND name = ? "
    "RETURNING kind"
)
MOVE_BELOW: Final = f"UPDATE entries SET parent = ? || substr(parent, ?) WHERE {_BELOW}"
_INODES_BELOW: Final = f"(SELECT inode FROM entries WHERE {_BELOW})"
REMOVE_CHUNKS_BELOW: Final = f"DELETE FROM chunks WHERE inode IN {_INODES_BELOW}"
REMOVE_INODES_BELOW: Final = f"DELETE FROM inodes WHERE id IN {_INODES_BELOW}"
REMOVE_BELOW: Final = f"DELETE FROM entries WHERE {_BELOW}"


def below(key: Key) -> tuple[str, str]:
    """Return the first and the last bound of the parents in a directory."""
    top = "".join(key)
    return f"{top}/", f"{top}0"  # what follows the slash in ASCII


class HandWritten(SqlFloor):
    """A container by hand; keys are those of the floor, split beforehand."""

    limit = INLINE_LIMIT

    def __init__(self, location: str) -> None:
        super().__init__(location)
        self._location = location

    def fork(self) -> HandWritten:
        forked = object.__new__(HandWritten)
        forked._cx = sqlite3.connect(":memory:", isolation_level=None)
        self._cx.backup(forked._cx)
        return forked

    def again(self) -> Callable[[], Contender]:
        """Go back to a savepoint; in a file it would not outlast the process."""
        if self._location != ":memory:":
            return self.fork
        self.mark()

        def fresh() -> Contender:
            self.reset()
            return self

        return fresh

    # --- small and large files --------------------------------------------------------

    def write(self, key: Key, data: bytes) -> None:
        if len(data) <= self.limit:
            self.write_bytes(key, data)
        elif self._cx.in_transaction:
            self._write_large(key, data)
        else:
            with self.batch():
                self._write_large(key, data)

    def _write_large(self, key: Key, data: bytes) -> None:
        inode = self._emptied(key, len(data))
        view = memoryview(data)
        rows = (
            (inode, at // CHUNK_SIZE, view[at : at + CHUNK_SIZE])
            for at in range(0, len(data), CHUNK_SIZE)
        )
        self._cx.executemany(ADD_CHUNK, rows)

    def _emptied(self, key: Key, size: int) -> int:
        """Make a file without chunks, or of one that is there; return its inode."""
        found = self._cx.execute(OPEN, key).fetchone()
        now = time.time_ns()
        if found is None:
            inode = self._create(key, None)
        else:
            inode = found[0]
            self._cx.execute(REMOVE_CHUNKS, (inode,))
        self._cx.execute(EMPTY, (size, now, now, inode))
        return inode

    def read(self, key: Key) -> bytes:
        content, inode = self._cx.execute(READ, key).fetchone()
        if content is not None:
            return content  # type: ignore[no-any-return]
        rows = self._cx.execute(READ_ALL_CHUNKS, (inode,))
        return b"".join([data for (data,) in rows])

    def open(self, key: Key, mode: str) -> HandWrittenFile:  # type: ignore[override]
        if mode != "wb":
            return HandWrittenFile(self._cx, *self._cx.execute(OPEN, key).fetchone())
        if self._cx.in_transaction:
            return HandWrittenFile(self._cx, self._emptied(key, 0), 0, None)
        with self.batch():
            return HandWrittenFile(self._cx, self._emptied(key, 0), 0, None)

    # --- the tree ---------------------------------------------------------------------

    def size(self, key: Key) -> int:
        return self.size_of(self.stat(key))

    def listdir(self, key: Key) -> list[str]:  # type: ignore[override]
        return super().listdir((below(key)[0],))

    def makedirs(self, key: Key) -> None:
        if not self._cx.in_transaction:
            with self.batch():
                self.makedirs(key)
            return
        parent, name = key
        if parent != "/":
            above = self.key(parent[:-1])
            if self._cx.execute(EXISTS, above).fetchone() is None:
                self.makedirs(above)
        now = time.time_ns()
        inode = self._cx.execute(ADD_DIRECTORY, (now, now, now, now)).lastrowid
        self._cx.execute(ADD_DIRECTORY_ENTRY, (parent, name, inode))

    def walk(self, key: Key) -> int:
        return len(self._cx.execute(FILES_BELOW, below(key)).fetchall())

    def glob(self, pattern: str) -> int:
        parent, slash, name = pattern.rpartition("/")
        if parent.endswith("/**"):
            span = below(self.key(parent[:-3]))
            return len(self._cx.execute(MATCHING_BELOW, (*span, name)).fetchall())
        return len(self._cx.execute(MATCHING_HERE, (parent + slash, name)).fetchall())

    def rename(self, key: Key, to: Key) -> None:
        if not self._cx.in_transaction:
            with self.batch():
                self.rename(key, to)
            return
        ((kind,),) = self._cx.execute(MOVE, (*to, *key)).fetchall()
        if kind == 4:
            first, last = below(key)
            # substr() counts from 1.
            span = (below(to)[0], len(first) + 1, first, last)
            self._cx.execute(MOVE_BELOW, span)

    def rmtree(self, key: Key) -> None:
        if not self._cx.in_transaction:
            with self.batch():
                self.rmtree(key)
            return
        span = below(key)
        self._cx.execute(REMOVE_CHUNKS_BELOW, span)
        self._cx.execute(REMOVE_INODES_BELOW, span)
        self._cx.execute(REMOVE_BELOW, span)
        self.remove(key)


class HandWrittenFile:
    """A position in a file; what it writes is committed at once, unless in a batch."""

    def __init__(
        self, cx: sqlite3.Connection, inode: int, size: int, content: bytes | None
    ) -> None:
        self._cx = cx
        self._inode = inode
        self._size = size
        self._content = content
        self._at = 0

    def close(self) -> None:
        """Nothing is buffered."""

    def seek(self, offset: int) -> None:
        self._at = offset

    def read(self, size: int = -1) -> bytes:
        start = self._at
        end = self._size if size < 0 else min(start + size, self._size)
        if start >= end:
            return b""
        self._at = end
        if self._content is not None:
            return self._content[start:end]
        first, offset = divmod(start, CHUNK_SIZE)
        last = (end - 1) // CHUNK_SIZE
        if first == last and end - start < CHUNK_SIZE // 4:
            part = (offset + 1, end - start, self._inode, first)
            ((data,),) = self._cx.execute(READ_PART, part).fetchall()
            return data  # type: ignore[no-any-return]
        rows = self._cx.execute(READ_SPAN, (self._inode, first, last))
        data = b"".join([data for (data,) in rows])
        if offset == 0 and len(data) == end - start:
            return data
        return data[offset : offset + end - start]

    def write(self, data: bytes) -> None:
        if self._cx.in_transaction:
            self._write(data)
            return
        self._cx.execute("BEGIN IMMEDIATE")
        self._write(data)
        self._cx.execute("COMMIT")

    def _write(self, data: bytes) -> None:
        start, end = self._at, self._at + len(data)
        self._at = end
        now = time.time_ns()
        if self._content is not None:
            before = self._content.ljust(start, b"\0")
            self._content = before[:start] + data + before[end:]
            self._size = len(self._content)
            args = (self._content, self._size, now, self._inode)
            self._cx.execute(PUT_CONTENT, args)
            return
        view = memoryview(data)
        while view:
            index, offset = divmod(start, CHUNK_SIZE)
            part = view[: CHUNK_SIZE - offset]
            self._put(index, offset, part)
            view = view[len(part) :]
            start += len(part)
        self._size = max(self._size, end)
        self._cx.execute(GROW, (self._size, now, self._inode))

    def _put(self, index: int, offset: int, part: memoryview) -> None:
        """Write within one chunk: a whole one at once, into one in place if it fits."""
        if len(part) == CHUNK_SIZE:
            self._cx.execute(PUT_CHUNK, (self._inode, index, part))
            return
        found = self._cx.execute(FIND_CHUNK, (self._inode, index)).fetchone()
        chunk = b""
        if found is not None:
            with self._cx.blobopen("chunks", "data", found[0]) as blob:
                if offset + len(part) <= len(blob):
                    blob.seek(offset)
                    blob.write(part)
                    return
                chunk = blob.read()
        args = (self._inode, index, chunk.ljust(offset, b"\0")[:offset] + part)
        self._cx.execute(PUT_CHUNK, args)


class Building(HandWritten):
    """A new file that is of no use before it is complete: no journal, larger rows."""

    limit = 1 << 16

    def __init__(self, location: str) -> None:
        super().__init__(location)
        self._cx.execute("PRAGMA journal_mode = OFF")
        self._cx.execute("PRAGMA synchronous = OFF")

    def close(self) -> None:
        super().close()
        sync(self._location)


class Immutable(HandWritten):
    """A container opened as never changing, without locks."""

    def __init__(self, location: str) -> None:
        uri = f"file:{quote(location)}?mode=ro&immutable=1"
        self._cx = sqlite3.connect(uri, isolation_level=None, uri=True)


def ship(directory: str, files: Mapping[str, bytes]) -> Callable[[], Contender]:
    location = os.path.join(directory, "shipped.sql")
    building = Building(location)
    fill(building, files)
    building.close()
    return lambda: Immutable(location)


def in_memory(_: str) -> Any:
    return HandWritten(":memory:")


def on_disk(directory: str) -> Any:
    return HandWritten(os.path.join(directory, "container.sql"))


LACKS: Final[Mapping[Verb, str]] = {"threads": "a connection is one thread's"}
KINDS = (
    Kind("sql", "memory", in_memory, role="floor", lacks=LACKS),
    Kind("sql", "disk", on_disk, role="floor", lacks=LACKS),
    Kind("sql", "shipped", on_disk, ship, role="floor", lacks=LACKS),
)
