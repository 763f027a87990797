"""Ground truth: containers read, changed and broken by raw SQL, never by the package.

What a test believes about the file on the disk comes from here. Nothing in this module
imports ``stratavfs``; the little it knows of the format stands below as literal text.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import Iterator

APPLICATION_ID = 0x53545241
TABLES = ("settings", "inodes", "entries", "chunks", "xattrs")
SIDE_FILES = ("-wal", "-shm", "-journal")

Tree = dict[str, bytes | str | None]
"""Path to bytes of a file, target of a symbolic link, None of a directory."""
Dump = dict[str, list[tuple[Any, ...]]]
"""Name of a table to all its rows."""


def connect(path: str | os.PathLike[str], query: str = "mode=rw") -> sqlite3.Connection:
    """Open the database at *path*, which must exist; the caller closes it."""
    uri = f"file:{quote(os.path.abspath(path))}?{query}"
    return sqlite3.connect(uri, uri=True, isolation_level=None)


def query(path: str | os.PathLike[str], sql: str, *args: object) -> list[Any]:
    """Return the rows of one statement."""
    with closing(connect(path)) as cx:
        return cx.execute(sql, args).fetchall()


def execute(path: str | os.PathLike[str], *statements: str) -> None:
    """Run *statements*, whatever the format's CHECKs say of them."""
    with closing(connect(path)) as cx:
        run_unchecked(cx, *statements)


def run_unchecked(cx: sqlite3.Connection, *statements: str) -> None:
    """Run *statements* with the CHECKs switched off, and on again."""
    cx.execute("PRAGMA ignore_check_constraints = ON")
    for statement in statements:
        cx.execute(statement)
    cx.execute("PRAGMA ignore_check_constraints = OFF")


def dump_of(path: str | os.PathLike[str]) -> Dump:
    """Return every row of every table."""
    with closing(connect(path)) as cx:
        return dump(cx)


def dump(cx: sqlite3.Connection) -> Dump:
    """Return every row of every table that *cx* sees."""
    return {
        table: sorted(cx.execute(f"SELECT * FROM {table}").fetchall(), key=repr)
        for table in TABLES
    }


def tree_of(path: str | os.PathLike[str]) -> Tree:
    """Return everything below the root."""
    with closing(connect(path)) as cx:
        return dict(_entries(cx))


def _entries(cx: sqlite3.Connection) -> Iterator[tuple[str, bytes | str | None]]:
    rows = cx.execute(
        "SELECT e.parent || e.name, i.id, i.mode >> 12, i.size, i.content, i.target "
        "FROM entries e JOIN inodes i ON i.id = e.inode WHERE e.parent <> ''"
    ).fetchall()
    for path, inode, kind, size, content, target in rows:
        if kind == 8:
            yield path, content if content is not None else _joined(cx, inode, size)
        else:
            yield path, target


def _joined(cx: sqlite3.Connection, inode: int, size: int) -> bytes:
    """Return the bytes of a file that is kept in chunks."""
    (chunk_size,) = cx.execute(
        "SELECT value FROM settings WHERE key = 'chunk_size'"
    ).fetchone()
    data = bytearray(size)
    chunks = cx.execute("SELECT idx, data FROM chunks WHERE inode = ?", (inode,))
    for idx, chunk in chunks:
        at = idx * chunk_size
        data[at : at + len(chunk)] = chunk
    return bytes(data[:size])


def integrity_of(path: str | os.PathLike[str]) -> str:
    """Return SQLite's own verdict: "ok", or what is broken."""
    return str(query(path, "PRAGMA integrity_check")[0][0])


def files_beside(path: str | os.PathLike[str]) -> dict[str, bytes]:
    """Return the bytes of the database and of all that SQLite keeps beside it."""
    found = {}
    for name in (os.fspath(path), *(os.fspath(path) + end for end in SIDE_FILES)):
        if os.path.exists(name):
            with open(name, "rb") as file:
                found[name] = file.read()
    return found


def copy_as_killed(src: str | os.PathLike[str], dst: str | os.PathLike[str]) -> None:
    """Copy a database that is open with its log, as a kill would leave it behind."""
    shutil.copyfile(src, dst)
    shutil.copyfile(f"{os.fspath(src)}-wal", f"{os.fspath(dst)}-wal")


def make_foreign(
    path: str | os.PathLike[str], application_id: int = 0, journal_mode: str = "delete"
) -> None:
    """Make the database of another application."""
    with closing(sqlite3.connect(path, isolation_level=None)) as cx:
        cx.execute(f"PRAGMA application_id = {application_id}")
        cx.execute(f"PRAGMA journal_mode = {journal_mode}")
        cx.execute("CREATE TABLE notes (text)")
        cx.execute("INSERT INTO notes VALUES ('not yours')")


def limit_pages(cx: sqlite3.Connection, room: int) -> None:
    """Let the database behind *cx* grow by *room* pages and no further: a full disk."""
    (pages,) = cx.execute("PRAGMA page_count").fetchone()
    cx.execute(f"PRAGMA max_page_count = {pages + room}")


def lift_limit(cx: sqlite3.Connection) -> None:
    """Make room on the disk again."""
    cx.execute("PRAGMA max_page_count = 1073741823")
