"""The floor: what hand-written SQL costs on the library's own layout.

The best simple code for one purpose: keys split beforehand, no normalising, no lock, no
symbolic links, no error translation, one statement where one will do. Same tables,
columns and keys, same pragmas, same chunks, same limit for content in the row; only the
CHECKs are left out. What the library adds on top of this is what its promises cost.
"""

from __future__ import annotations

import sqlite3
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

CHUNK_SIZE: Final = 65536
INLINE_LIMIT: Final = 8192

SCHEMA: Final = """
CREATE TABLE inodes (id INTEGER PRIMARY KEY AUTOINCREMENT, mode INTEGER NOT NULL,
  nlink INTEGER NOT NULL, uid INTEGER NOT NULL, gid INTEGER NOT NULL,
  owner TEXT NOT NULL, group_name TEXT NOT NULL, size INTEGER NOT NULL,
  atime_ns INTEGER NOT NULL, mtime_ns INTEGER NOT NULL, ctime_ns INTEGER NOT NULL,
  birthtime_ns INTEGER NOT NULL, generation INTEGER NOT NULL, opaque INTEGER NOT NULL,
  target TEXT, content BLOB) STRICT;
CREATE TABLE entries (parent TEXT NOT NULL, name TEXT NOT NULL, kind INTEGER NOT NULL,
  inode INTEGER, PRIMARY KEY (parent, name)) STRICT, WITHOUT ROWID;
CREATE TABLE chunks (inode INTEGER NOT NULL, idx INTEGER NOT NULL, data BLOB NOT NULL,
  PRIMARY KEY (inode, idx)) STRICT;
"""

_AT: Final = (
    "FROM entries e JOIN inodes i ON i.id = e.inode WHERE e.parent = ? AND e.name = ?"
)
READ: Final = f"SELECT i.content {_AT}"
STAT: Final = (
    "SELECT i.size, i.mode, i.id, i.nlink, i.uid, i.gid, i.generation, i.atime_ns, "
    f"i.mtime_ns, i.ctime_ns, i.birthtime_ns, i.owner, i.group_name {_AT}"
)
# Kind 14 is a whiteout.
EXISTS: Final = "SELECT 1 FROM entries WHERE parent = ? AND name = ? AND kind <> 14"
LIST: Final = "SELECT name FROM entries WHERE parent = ? AND kind <> 14"
FIND: Final = "SELECT inode FROM entries WHERE parent = ? AND name = ?"
OVERWRITE: Final = (
    "UPDATE inodes SET size = ?, content = ?, mtime_ns = ?, ctime_ns = ?, "
    "generation = generation + 1 "
    "WHERE id = (SELECT inode FROM entries WHERE parent = ? AND name = ?)"
)
ADD_INODE: Final = (
    "INSERT INTO inodes (mode, nlink, uid, gid, owner, group_name, size, atime_ns, "
    "mtime_ns, ctime_ns, birthtime_ns, generation, opaque, content) "
    "VALUES (33188, 1, 0, 0, '', '', ?, ?, ?, ?, ?, 1, 0, ?)"
)
ADD_ENTRY: Final = "INSERT INTO entries (parent, name, kind, inode) VALUES (?, ?, 8, ?)"
ADD_CHUNK: Final = "INSERT INTO chunks (inode, idx, data) VALUES (?, ?, ?)"
GROW: Final = "UPDATE inodes SET size = ?, mtime_ns = ? WHERE id = ?"
READ_CHUNKS: Final = (
    "SELECT data FROM chunks WHERE inode = ? AND idx BETWEEN ? AND ? ORDER BY idx"
)
# Small files have no chunks and one name.
REMOVE_INODE: Final = f"DELETE FROM inodes WHERE id = (SELECT i.id {_AT})"
REMOVE_ENTRY: Final = "DELETE FROM entries WHERE parent = ? AND name = ?"
COUNT: Final = "SELECT count(*), sum(size), sum(length(content)) FROM inodes"
FIND_CHUNK: Final = "SELECT rowid FROM chunks WHERE inode = ? AND idx = ?"

Key = tuple[str, str]
"""Parent with a slash at its end, and name."""


class SqlFloor:
    """The subject "sql": one container, by hand."""

    name = "sql"

    def __init__(self, location: str) -> None:
        self._cx = sqlite3.connect(location, isolation_level=None)
        if self._cx.execute("SELECT count(*) FROM sqlite_schema").fetchone() == (0,):
            self._cx.executescript(SCHEMA)
        self._cx.execute("PRAGMA journal_mode = WAL")
        self._cx.execute("PRAGMA synchronous = NORMAL")
        for text in ("secure_delete = FAST", "wal_autocheckpoint = 4000"):
            self._cx.execute(f"PRAGMA {text}")  # as the library has it

    def close(self) -> None:
        self._cx.close()

    @staticmethod
    def key(path: str) -> Key:
        parent, slash, name = path.rpartition("/")
        return parent + slash, name

    @staticmethod
    def directory_key(path: str) -> tuple[str]:
        return (path + "/",)

    @contextmanager
    def batch(self) -> Iterator[None]:
        self._cx.execute("BEGIN IMMEDIATE")
        yield
        self._cx.execute("COMMIT")

    # --- small files -----------------------------------------------------------------

    def read_bytes(self, key: Key) -> bytes:
        content: bytes = self._cx.execute(READ, key).fetchone()[0]
        return content

    open_and_read = read_bytes  # nothing to open

    def stat(self, key: Key) -> tuple[Any, ...]:
        found: tuple[Any, ...] = self._cx.execute(STAT, key).fetchone()
        return found

    @staticmethod
    def size_of(found: tuple[Any, ...]) -> int:
        size: int = found[0]
        return size

    def exists(self, key: Key) -> bool:
        return self._cx.execute(EXISTS, key).fetchone() is not None

    def listdir(self, key: tuple[str]) -> list[str]:
        return [name for (name,) in self._cx.execute(LIST, key)]

    def write_bytes(self, key: Key, data: bytes) -> None:
        """Store content that fits in the row; a lone UPDATE is its own transaction."""
        now = time.time_ns()
        args = (len(data), data, now, now, *key)
        if self._cx.execute(OVERWRITE, args).rowcount == 0:
            self._create(key, data)

    def _create(self, key: Key, data: bytes | None) -> int:
        """Make an inode and its entry, in the transaction that is open or in one."""
        if not self._cx.in_transaction:
            with self.batch():
                return self._create(key, data)
        now = time.time_ns()
        args = (len(data or b""), now, now, now, now, data)
        inode = self._cx.execute(ADD_INODE, args).lastrowid or 0
        self._cx.execute(ADD_ENTRY, (*key, inode))
        return inode

    def remove(self, key: Key) -> None:
        """Remove a small file; for what is timed otherwise."""
        self._cx.execute(REMOVE_INODE, key)
        self._cx.execute(REMOVE_ENTRY, key)

    # --- all of it -------------------------------------------------------------------

    def fork(self) -> SqlFloor:
        forked = object.__new__(SqlFloor)
        forked._cx = sqlite3.connect(":memory:", isolation_level=None)
        self._cx.backup(forked._cx)
        return forked

    def mark(self) -> None:
        self._cx.execute("SAVEPOINT mark")

    def reset(self) -> None:
        self._cx.execute("ROLLBACK TO mark")

    def compact(self) -> None:
        self._cx.execute("VACUUM")
        self._cx.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def count(self) -> tuple[int, ...]:
        found: tuple[int, ...] = self._cx.execute(COUNT).fetchone()
        return found

    # --- large files -----------------------------------------------------------------

    def patch(self, key: Key) -> FloorFile:
        return self.open(key, "r+b")

    def open(self, key: Key, mode: str) -> FloorFile:
        """Open the file at *key* or make it for "wb"."""
        if mode == "wb":
            return FloorFile(self._cx, self._create(key, None))
        (inode,) = self._cx.execute(FIND, key).fetchone()
        return FloorFile(self._cx, inode)


class FloorFile:
    """A position in a file that is read and written in whole chunks."""

    def __init__(self, cx: sqlite3.Connection, inode: int) -> None:
        self._cx = cx
        self._inode = inode
        self._at = 0

    def close(self) -> None:
        """Nothing is buffered."""

    def write(self, data: bytes) -> None:
        if self._cx.in_transaction:
            self._write(data)
            return
        self._cx.execute("BEGIN IMMEDIATE")
        self._write(data)
        self._cx.execute("COMMIT")

    def _write(self, data: bytes) -> None:
        view = memoryview(data)
        rows = (
            (self._inode, (self._at + at) // CHUNK_SIZE, view[at : at + CHUNK_SIZE])
            for at in range(0, len(data), CHUNK_SIZE)
        )
        self._cx.executemany(ADD_CHUNK, rows)
        self._at += len(data)
        self._cx.execute(GROW, (self._at, time.time_ns(), self._inode))

    def read(self, size: int) -> bytes:
        first = self._at // CHUNK_SIZE
        self._at += size
        span = (self._inode, first, self._at // CHUNK_SIZE - 1)
        return b"".join([data for (data,) in self._cx.execute(READ_CHUNKS, span)])

    def read_at(self, offset: int, size: int) -> bytes:
        self._at = offset // CHUNK_SIZE * CHUNK_SIZE
        start = offset - self._at
        return self.read(CHUNK_SIZE)[start : start + size]

    def update(self, offset: int, data: bytes) -> None:
        """Overwrite bytes within one chunk: the row's number, then blobopen."""
        if self._cx.in_transaction:
            self._update(offset, data)
            return
        self._cx.execute("BEGIN IMMEDIATE")
        self._update(offset, data)
        self._cx.execute("COMMIT")

    def _update(self, offset: int, data: bytes) -> None:
        index, start = divmod(offset, CHUNK_SIZE)
        (row,) = self._cx.execute(FIND_CHUNK, (self._inode, index)).fetchone()
        with self._cx.blobopen("chunks", "data", row) as blob:
            blob.seek(start)
            blob.write(data)
