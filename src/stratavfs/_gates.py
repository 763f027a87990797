"""The two scopes of a store: a transaction to change it, a snapshot to ask it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import threading


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

    __slots__ = ("_store",)

    def __init__(self, store: Scoped) -> None:
        self._store = store

    def __enter__(self) -> None:
        self._store.lock.acquire()
        try:
            self._store.begin()
        except BaseException:
            self._store.lock.release()
            raise

    def __exit__(self, kind: object, *_: object) -> None:
        try:
            self._store.end(failed=kind is not None)
        finally:
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
