"""Empty containers in memory: copied from one that was made before.

SQLite takes 264 us for the schema, and 65 to copy its dozen pages. One container is
kept for each size of chunks in use, to the end of the process; nobody changes it.
"""

from __future__ import annotations

import atexit
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable

    Make = Callable[[sqlite3.Connection], None]

LIMIT: Final = 16
"""Containers that are kept."""

_kept: Final[dict[int, sqlite3.Connection]] = {}


def fill(
    cx: sqlite3.Connection,
    chunk_size: int,
    connect: Callable[[], sqlite3.Connection],
    make: Make,
) -> None:
    """Have on *cx* what *make* makes there, a container with chunks of *chunk_size*."""
    empty = _kept.get(chunk_size)
    if empty is None and len(_kept) < LIMIT:
        empty = _keep(chunk_size, connect(), make)
    if empty is None:
        make(cx)
    else:
        empty.backup(cx)


def _keep(chunk_size: int, cx: sqlite3.Connection, make: Make) -> sqlite3.Connection:
    """Make a container on *cx* and keep it, or close it if another thread has."""
    kept = None
    try:
        make(cx)
        kept = _kept.setdefault(chunk_size, cx)
    finally:
        if kept is not cx:
            cx.close()
    return kept


@atexit.register
def close() -> None:
    """Close all that are kept."""
    while _kept:
        _kept.popitem()[1].close()
