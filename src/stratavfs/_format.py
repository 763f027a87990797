"""The format of a container: recognising it, refusing what it is not, making a new one.

It says which statements and what their answers mean; the store runs them.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Final, Protocol

from stratavfs import _sql, errors
from stratavfs._files import has_content, is_hot_journal
from stratavfs.records import CHUNK_LIMIT

if TYPE_CHECKING:
    from collections.abc import Iterator

INLINE_LIMIT: Final = 8192
"""Bytes up to which a file lives in its inode's row. A read of 8,000 bytes takes 7.7 us
there and 19 us in a chunk, an overwrite 33 instead of 74; ``stat`` is as fast."""


def _objects() -> Iterator[tuple[str, str, str, str | None]]:
    """Yield type, name, table and text of all that is in a container's schema."""
    for text in _sql.SCHEMA:
        _, kind, name, _, table = text.split(maxsplit=5)[:5]
        yield kind.lower(), name, table if kind == "INDEX" else name, text
    # What SQLite makes by itself: for AUTOINCREMENT, and for the key of a rowid table.
    yield "table", "sqlite_sequence", "sqlite_sequence", _sql.SEQUENCE
    yield "index", "sqlite_autoindex_chunks_1", "chunks", None


_OBJECTS: Final = frozenset(_objects())


class Asked(Protocol):
    """What answers questions: a store."""

    def row(self, statement: str) -> Any:
        """Return the first row of *statement*, or None."""

    def rows(self, statement: str) -> list[Any]:
        """Return all rows of *statement*."""


def new(chunk_size: int, now: int) -> Iterator[tuple[str, tuple[object, ...]]]:
    """Yield the statements, with their arguments, that make an empty container."""
    for text in (*_sql.STAMP, *_sql.SCHEMA):
        yield text, ()
    yield _sql.SET_SETTING, ("chunk_size", chunk_size)
    yield _sql.SET_SETTING, ("inline_limit", min(chunk_size, INLINE_LIMIT))
    yield _sql.ADD_ROOT_INODE, (now, now, now, now)
    yield _sql.ADD_ENTRY, ("", "/", 4, 1)  # kind 4, a directory


def refuse_other(store: Asked, location: str) -> None:
    """Refuse another application's file, a newer format and another schema."""
    (application,) = store.row(_sql.READ_APPLICATION_ID)
    if application != _sql.APPLICATION_ID:
        why = f"its application id is {application:#x}"
        raise errors.foreign(location, why)
    (version,) = store.row(_sql.READ_VERSION)
    if version > _sql.FORMAT_VERSION:
        raise errors.too_new(location, version, _sql.FORMAT_VERSION)
    if version < 1:
        raise errors.corrupt(location, f"its format is {version}")
    (encoding,) = store.row(_sql.READ_ENCODING)
    if encoding != "UTF-8":  # in which alone the keys of a subtree are one range
        raise errors.corrupt(location, f"its text is {encoding}")
    found = store.rows(_sql.READ_SCHEMA)
    if len(found) != len(_OBJECTS) or {*found} != _OBJECTS:
        raise errors.corrupt(location, "its schema is not the format's")


def refuse_cut_short(store: Asked, location: str, file: str) -> None:
    """Refuse a file without its end: SQLite reads what lacks of a page as zeros."""
    (pages,), (page_size,) = store.row(_sql.COUNT_PAGES), store.row(_sql.PAGE_SIZE)
    # With a log, another process may be about to write the rest of the pages; with a
    # journal, who was killed did not come to that, and it is played back.
    beside = os.path.realpath(file)
    if not (has_content(beside + "-wal") or is_hot_journal(beside + "-journal")):
        size = os.path.getsize(file)
        if size < pages * page_size:
            why = f"{size} bytes are left of {pages * page_size}"
            raise errors.corrupt(location, why)


def settings_of(store: Asked, location: str) -> tuple[int, int]:
    """Return the chunk size and the inline limit."""
    settings = dict(store.rows(_sql.READ_SETTINGS))
    chunk_size = settings.get("chunk_size")
    inline_limit = settings.get("inline_limit")
    # The types too: a damaged file may hold anything anywhere.
    if not isinstance(chunk_size, int) or not 0 < chunk_size <= CHUNK_LIMIT:
        raise errors.corrupt(location, "its chunk size is impossible or missing")
    if not isinstance(inline_limit, int) or not 0 <= inline_limit <= chunk_size:
        raise errors.corrupt(location, "its inline limit is impossible or missing")
    return chunk_size, inline_limit
