"""The scopes of a store: to change it, to ask it, to ask it from a stack above it."""

# ruff: noqa: SLF001 - the lock's own count, CPython's frames, a scope's siblings

from __future__ import annotations

import sys
import threading
import weakref
from typing import TYPE_CHECKING, Protocol

from stratavfs import errors

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType


class _Held(threading.local):
    """How many write scopes this thread is in, of whatever stores."""

    scopes = 0


_held = _Held()


class Scoped(Protocol):
    """What counts the write scopes of a store."""

    lock: threading.RLock
    wait: Callable[[], None]
    """Takes the lock from who has it, waiting for ever only where that ends."""
    after_each: list[Callable[[], None]]
    """Called, inside the lock, after each of them."""
    outermost: weakref.ref[Transaction] | None
    """The first of those that are open for a single call."""

    @property
    def depth(self) -> int:
        """Number of those that are open."""

    def begin(self) -> None:
        """Begin a transaction, or put off a savepoint within the one that is open."""

    def end(self, depth: int, failed: bool) -> None:
        """Close the scopes beyond *depth*."""


class Reading(Protocol):
    """What has scopes to read in: a store."""

    lock: threading.RLock

    @property
    def closed(self) -> bool: ...
    @property
    def in_transaction(self) -> bool: ...
    def require_open(self) -> None: ...

    def begin_read(self) -> None:
        """Begin a read transaction."""

    def end_read(self) -> None:
        """End the read transaction."""


class Transaction:
    """The write gate of a store: all that happens inside is kept, or nothing is.

    Inside another, or inside a batch, it is a savepoint. One object is one scope.

    Python may raise KeyboardInterrupt just as it enters ``__exit__``, which then does
    nothing. So each scope, as it ends, ends those within it that were left so; and one
    that was left with none around it ends with the thread's next call, or together with
    the traceback that holds it.
    """

    __slots__ = (
        *("_caller", "_depth", "_has_lock", "_open", "_scopes", "_waits"),
        "__weakref__",
    )

    def __init__(self, scopes: Scoped, *, waits: bool = False) -> None:
        self._open = scopes
        self._has_lock = False
        self._depth = -1  # scopes around it; -1: it is not open
        self._waits = waits  # as a batch may, in a generator; a call just runs
        self._caller: FrameType | None = None

    def __enter__(self) -> None:
        # Written out, here and in _finish(), where a call would be as readable: every
        # change goes through both, and calls were half of their 3 us.
        opened, lock = self._open, self._open.lock
        count = lock._recursion_count()  # type: ignore[attr-defined]
        self._scopes = scopes = _held.scopes
        try:
            if not lock.acquire(blocking=False):
                opened.wait()
            self._has_lock = True
            outermost = opened.outermost
            first = None if outermost is None else outermost()
            if first is not None and first.is_left:
                first.leave()
                first = None
            if first is None and not self._waits:
                # Weak: who is left with an error must not outlive the error.
                opened.outermost, self._caller = weakref.ref(self), sys._getframe(1)
            self._depth = opened.depth
            _held.scopes = scopes + 1
            opened.begin()
        except BaseException:
            if not self._has_lock:
                self._has_lock = lock._recursion_count() > count  # type: ignore[attr-defined]
            self._finish(failed=True)
            raise

    def __exit__(self, kind: object, *_: object) -> None:
        try:
            self._finish(failed=kind is not None)
        except BaseException:  # wherever an interrupt has left it
            self._finish(failed=True)
            raise

    def __del__(self) -> None:
        if getattr(self, "_has_lock", False):
            self.leave()

    def _finish(self, *, failed: bool) -> None:
        """Do what is left to do; the lock is let go of last, and says that all is."""
        if not self._has_lock:
            return
        opened, lock, depth = self._open, self._open.lock, self._depth
        if depth >= 0:
            if opened.depth > depth or not failed:
                opened.end(depth, failed=failed)
            for finish in opened.after_each:
                finish()
        _held.scopes = self._scopes
        outermost = opened.outermost
        first = None if outermost is None else outermost()
        if first is not None and (first is self or first._depth >= depth >= 0):
            first._depth, first._caller = -1, None  # itself, or one left within it
            opened.outermost = None
        self._depth = -1
        owned = lock._is_owned()  # type: ignore[attr-defined]  # close() may have let go
        self._has_lock = False  # no signal is looked at between this and the release
        if owned:
            lock.release()

    @property
    def is_left(self) -> bool:
        """Whether it is open although the call that opened it is over."""
        frame = sys._getframe()
        while frame is not self._caller:
            if frame.f_back is None:
                return True
            frame = frame.f_back
        return False

    def leave(self) -> None:
        """End it as failed."""
        self.__exit__(KeyboardInterrupt)


class Snapshot:
    """A scope in which a store's reads see one state, whoever writes meanwhile."""

    __slots__ = ("_began", "_has_lock", "_store")

    def __init__(self, store: Reading) -> None:
        self._has_lock = self._began = False
        self._store = store

    def __enter__(self) -> None:
        store, lock = self._store, self._store.lock
        count = lock._recursion_count()  # type: ignore[attr-defined]
        try:
            lock.acquire()
            self._has_lock = True
            store.require_open()
            if not store.in_transaction:
                self._began = True
                store.begin_read()
        except BaseException:
            self._has_lock = lock._recursion_count() > count  # type: ignore[attr-defined]
            self._finish()
            raise

    def __exit__(self, *_: object) -> None:
        try:
            self._finish()
        except BaseException:  # wherever an interrupt has left it
            self._finish()
            raise

    def __del__(self) -> None:
        if getattr(self, "_has_lock", False):
            self._finish()

    def _finish(self) -> None:
        if not self._has_lock:
            return
        if self._began and not self._store.closed:
            self._began = False
            self._store.end_read()
        lock = self._store.lock
        owned = lock._is_owned()  # type: ignore[attr-defined]
        self._has_lock = False  # no signal is looked at between this and the release
        if owned:
            lock.release()


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
        count = self._lock._recursion_count()  # type: ignore[attr-defined]
        try:
            if not self._lock.acquire(blocking=False):
                self.wait()
        except BaseException:
            if self._lock._recursion_count() > count:  # type: ignore[attr-defined]
                self._lock.release()
            raise

    def wait(self) -> None:
        """Take the lock from who has it."""
        if not _held.scopes:
            self._lock.acquire()
        elif not self._lock.acquire(timeout=self._timeout):
            raise errors.busy_below(self._location, self._timeout)

    def __exit__(self, *_: object) -> None:
        self._lock.release()

    def is_taken(self) -> bool:
        """Take the lock unless that could be waiting for ever; tell whether it was."""
        return self._lock.acquire(blocking=not _held.scopes)


class Turn(Loan):
    """The lock of a store, for one call on a handle that several threads use.

    It is asked for with the lock of the handle's buffer held. A batch that keeps the
    store's may be waiting for that one, and then this one gives up.
    """

    __slots__ = ()

    def wait(self) -> None:
        if not self._lock.acquire(timeout=self._timeout):
            raise errors.busy_handle(self._location)
