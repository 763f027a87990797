"""Upkeep of a container: copies of it, what it takes, and giving back what it does not.

None of it knows a path; all of it is done between batches.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from stratavfs import _bounds, _sql
from stratavfs._files import made_whole, sync_file, sync_name
from stratavfs._options import MEMORY
from stratavfs.records import Progress, Stats

if TYPE_CHECKING:
    from collections.abc import Callable

    from stratavfs._store import Store

_STEP: Final = 1 << 20  # bytes copied at a time, or more in a large container
_STEPS: Final = 100  # times that a copy tells how far it is


def backup(
    store: Store, target: str, progress: Callable[[Progress], object] | None
) -> None:
    """Make a copy of the container at *target*, where nothing may be."""
    with store.lock:
        (page_size,) = store.row(_sql.PAGE_SIZE)

    def tell(left: int, pages: int) -> None:
        if progress is not None:
            done = pages - left
            progress(Progress(done, pages, store.location, done * page_size))

    with made_whole(target) as part:
        try:
            store.copy_to(part, tell, least=_STEP // page_size, steps=_STEPS)
            sync_file(part)
        except OSError as error:
            if error.filename == part:
                error.filename = target
            raise
    sync_name(target)


def compact(store: Store) -> int:
    """Give back the room of what was removed; return the bytes."""
    before = _taken(store)
    with store.alone("compact()"):
        store.settle_log()
        with _bounds.bounded(store, _bounds.patience(store)):
            store.write_anew()
        store.settle_log()
    return max(0, before - _taken(store))


def _taken(store: Store) -> int:
    return _pages(store) + _log_bytes(store)


def _pages(store: Store) -> int:
    with store.lock:
        (count,), (size,) = store.row(_sql.COUNT_PAGES), store.row(_sql.PAGE_SIZE)
    return int(count) * int(size)


def _log_bytes(store: Store) -> int:
    if store.location == MEMORY:
        return 0
    try:
        return os.path.getsize(store.beside("-wal"))
    except OSError:  # there is none
        return 0


def stats(store: Store) -> Stats:
    """Count what is in the container: one look at each of its rows."""
    with store.snapshot(), _bounds.bounded(store, _bounds.patience(store)):
        kinds = {kind: rest for kind, *rest in store.rows(_sql.COUNT_KINDS)}
        files, high, low = kinds.get(8, (0, 0, 0))
        (whiteouts,) = store.row(_sql.COUNT_WHITEOUTS)
        (orphans,) = store.row(_sql.COUNT_ORPHANS)
        stored = store.row(_sql.SUM_INLINE)[0] + store.row(_sql.SUM_CHUNKS)[0]
        (free,), (page_size,) = store.row(_sql.COUNT_FREE), store.row(_sql.PAGE_SIZE)
        log, taken = _log_bytes(store), _pages(store)
    return Stats(
        files=files,
        directories=kinds.get(4, (0,))[0],
        symlinks=kinds.get(10, (0,))[0],
        whiteouts=whiteouts,
        orphans=orphans,
        logical_bytes=(high << 32) + low,
        stored_bytes=stored,
        container_bytes=taken,
        log_bytes=log,
        free_bytes=free * page_size,
        reclaimable_bytes=free * page_size + log,
    )
