"""The scopes of a store: to change it, to ask it, to ask it from a stack above it."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Protocol

from stratavfs import errors

if TYPE_CHECKING:
    from collections.abc import Callable


class _Held(threading.local):
    """How many write scopes this thread is in, of whatever stores."""

    scopes = 0


_held = _Held()


class Scoped(Protocol):
    """What has scopes: a store."""

    lock: threading.RLock

    def begin(self) -> None:
        """Begin a transaction, or a savepoint within the one that is open."""

    def end(self, failed: bool) -> None:
        """Close the innermost scope."""

    def begin_read(self) -> bool:
        """Begin a read transaction unless one is open; tell whether it was begun."""

    def end_read(self) -> None:
        """End the read transaction."""


class Transaction:
    """The write gate of a store: all that happens inside is kept, or nothing is.

    Reentrant: inside another, or inside a batch, it is a savepoint. One object serves
    the store, since all its state is the store's.
    """

    __slots__ = ("_store", "finishing")

    def __init__(self, store: Scoped) -> None:
        self._store = store
        self.finishing: list[Callable[[], None]] = []
        """Called, inside the lock, after each scope."""

    def __enter__(self) -> None:
        self._store.lock.acquire()
        try:
            self._store.begin()
        except BaseException:
            self._store.lock.release()
            raise
        _held.scopes += 1

    def __exit__(self, kind: object, *_: object) -> None:
        try:
            self._store.end(failed=kind is not None)
            for finish in self.finishing:
                finish()
        finally:
            _held.scopes -= 1
            self._store.lock.release()


class Snapshot:
    """A scope in which a store's reads see one state, whoever writes meanwhile."""

    __slots__ = ("_began", "_store")

    def __init__(self, store: Scoped) -> None:
        self._store = store

    def __enter__(self) -> None:
        self._store.lock.acquire()
        try:
            self._began = self._store.begin_read()
        except BaseException:
            self._store.lock.release()
            raise

    def __exit__(self, *_: object) -> None:
        try:
            if self._began:
                self._store.end_read()
        finally:
            self._store.lock.release()


class Loan:
    """The lock of a store, for one question that a stack above it asks.

    Nobody holds the lock of one store while waiting for another's, but for a thread in
    a transaction. Two of them, each writing one and reading the other, would wait for
    ever; so it waits no longer than *timeout* seconds, and what it does is taken back.
    """

    __slots__ = ("_location", "_lock", "_timeout")

    def __init__(self, lock: threading.RLock, location: str, timeout: float) -> None:
        self._lock = lock
        self._location = location
        self._timeout = timeout

    def __enter__(self) -> None:
        self.borrow()

    def borrow(self) -> None:
        if self._lock.acquire(blocking=False):
            return
        if not _held.scopes:
            self._lock.acquire()
        elif not self._lock.acquire(timeout=self._timeout):
            raise errors.busy_below(self._location, self._timeout)

    def __exit__(self, *_: object) -> None:
        self._lock.release()

    def is_taken(self) -> bool:
        """Take the lock unless that could be waiting for ever; tell whether it was."""
        return self._lock.acquire(blocking=not _held.scopes)
