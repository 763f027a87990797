"""Forking: what a child may keep of the connections that it inherits.

SQLite's connections do not survive a fork: what a process knows of a file's locks and
of its log stands once for all its connections, so that a child would share it with its
parent, in the one that it inherits and in every new one. So there are none: before a
fork all idle ones are closed, and each side opens its own with its next question. Where
a batch is open that cannot be; it goes on in the parent, and is lost in the child, as
is the file system with it.
"""

from __future__ import annotations

import os
import weakref
from typing import TYPE_CHECKING, Any, Final, Protocol

from stratavfs._options import MEMORY

if TYPE_CHECKING:
    import threading

_MOMENT: Final = 0.05  # seconds to wait for a thread that is just asking


class Inheriting(Protocol):
    """What a child inherits: a store."""

    lock: threading.RLock
    location: str

    def beside(self, end: str) -> str:
        """Return the file of the container, or one beside it whose name ends so."""

    @property
    def closed(self) -> bool:
        """Whether nothing is asked of it any more."""

    def let_go(self) -> None:
        """Close the connection, if it is idle, up to the next question."""

    def inherit(self, *, quiet: bool) -> None:
        """Go on in the child; *quiet*: no other thread was using the connection."""

    def reconnected(self) -> Any:
        """Return a connection of this process's own."""


class Inherited:
    """Stands for a connection that was let go, until one is needed."""

    in_transaction = False  # what was open is the parent's

    def __init__(self, store: Inheriting) -> None:
        self._store = store

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store.reconnected(), name)

    def close(self) -> None:
        """Close nothing."""


_stores: Final[weakref.WeakSet[Any]] = weakref.WeakSet()
_held: Final[list[Inheriting]] = []
_left: Final[list[object]] = []


def remember(store: Inheriting) -> None:
    """Let *store* be told when it finds itself in a child."""
    _stores.add(store)


def locations() -> list[str]:
    """Return the files of all stores that are open in this process."""
    open_now = [store for store in [*_stores] if not store.closed]
    return [store.beside("") for store in open_now if store.location != MEMORY]


def leave(connection: object) -> None:
    """Let *connection* never be closed in this process, not even at its end."""
    _left.append(connection)
    try:
        import ctypes  # noqa: PLC0415 - needed by few

        ctypes.pythonapi.Py_IncRef(ctypes.py_object(connection))
    except (ImportError, AttributeError):  # not CPython: its list has to do
        return


def _before() -> None:
    for store in [*_stores]:
        if store.lock.acquire(timeout=_MOMENT):
            _held.append(store)
            store.let_go()


def _in_parent() -> None:
    while _held:
        _held.pop().lock.release()


def _in_child() -> None:
    held = [*_held]
    _in_parent()
    for store in [*_stores]:
        store.inherit(quiet=any(store is one for one in held))


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before, after_in_parent=_in_parent, after_in_child=_in_child
    )
