"""Building: much that comes into a container in which there is next to nothing.

The log takes every byte before the container does, and both are carried to the disk:
33 us a file of 6.5 KiB, 18 with a rollback journal, which holds the few pages that were
there before. So for one transaction a container that nobody else has open goes without
its log. Whoever is killed meanwhile leaves a journal, from which the next one to open
the container for writing restores it. Who wants to read it meanwhile waits.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from errno import EBUSY
from typing import TYPE_CHECKING, Final

from stratavfs import _sql
from stratavfs._options import MEMORY

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from stratavfs._store import Store

MUCH: Final = 2 << 20
"""Bytes that are worth it: to change the journal and back takes a millisecond."""

_LITTLE: Final = 1 << 20  # bytes of a container in which next to nothing is
_PAUSE: Final = 0.005  # seconds between two attempts


@contextmanager
def without_log(store: Store, expected: Callable[[], int]) -> Iterator[None]:
    """Let the transaction within this scope do without the log if that pays.

    *expected* tells how many bytes come, or that they are :data:`MUCH` or more; it is
    asked only where that matters. Whatever is in the way, the log will do.
    """
    begun = False
    try:
        if _holds_little(store) and expected() >= MUCH:
            begun = True
            _try(store, _sql.USE_JOURNAL)
        yield
    finally:
        if begun:
            _return_to_log(store)


def _holds_little(store: Store) -> bool:
    """Tell whether the container is a file that is small, and outside a transaction."""
    if store.location == MEMORY:
        return False
    with store.lock:
        if store.closed or store.in_transaction:
            return False
        (pages,), (page_size,) = store.row(_sql.COUNT_PAGES), store.row(_sql.PAGE_SIZE)
        return bool(pages * page_size <= _LITTLE)


def _return_to_log(store: Store) -> None:
    """Use the log again; if others read all the time, the next one to open it does."""
    deadline = time.monotonic() + store.options.timeout
    while _try(store, _sql.USE_LOG) == EBUSY and time.monotonic() < deadline:
        time.sleep(_PAUSE)


def _try(store: Store, statement: str) -> int | None:
    """Change the journal by *statement*; return the number of what was in the way.

    That takes all locks there are, and SQLite does not wait for them. Either journal
    keeps the container whole, so nothing depends on it.
    """
    with store.lock:
        if store.closed or store.in_transaction:
            return None
        try:
            store.row(statement)
        except OSError as error:
            return error.errno
        return None
