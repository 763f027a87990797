"""The write scopes of a store: one transaction, and savepoints within it.

Calls and batches open and close them. Some of a batch's fate is decided before its end:
it may be abandoned by who opened it, or lost when SQLite rolls everything back. A mark
is a scope that stays open between calls, to be reset to.

A savepoint is put off until something changes: 3 us less for a call of a batch that
only asks, or whose whole change is one statement, which SQLite keeps or takes back as
one by itself.

All of it happens inside the store's lock.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Protocol

from stratavfs import _sql, errors

if TYPE_CHECKING:
    import threading
    import weakref
    from collections.abc import Callable

    from stratavfs._gates import Loan, Transaction


class Transacting(Protocol):
    """What scopes are opened in: a store."""

    location: str
    lock: threading.RLock
    loan: Loan

    @property
    def closed(self) -> bool: ...
    @property
    def in_transaction(self) -> bool: ...
    def run(self, statement: str) -> None: ...
    def changed(self) -> None: ...
    def rolled_back(self) -> None: ...
    def require_open(self) -> None: ...


class Scopes:
    """The scopes that are open in one store, the outermost first."""

    def __init__(self, store: Transacting) -> None:
        self._store = store
        self.lock, self.wait = store.lock, store.loan.wait
        self.depth = 0  # scopes that are open
        self.begun = 0  # the first of them: those that SQLite knows of
        self._unsure = -1  # depth of a savepoint that is just being made or released
        self.abandoned = 0  # depth of the batch that was given up; 0 if none was
        self._marks: list[object] = []  # the first scopes: those that outlast a call
        self.after_each: list[Callable[[], None]] = []
        """Called after each that a call or a batch had open."""
        self.outermost: weakref.ref[Transaction] | None = None
        """The first that is a single call's."""

    def begin(self) -> None:
        """Begin a transaction, or put off a savepoint within the one that is open."""
        if self.depth:
            self.make_ready(0)
            self.depth += 1
            return
        try:
            self.depth = 1
            self._store.run(_sql.BEGIN_WRITE)
            self.begun = 1
        except BaseException:  # an interrupt may come when it has begun
            if not self._store.closed and self._store.in_transaction:
                self._store.run(_sql.ROLLBACK)
            self.depth = self.begun = 0
            raise

    def make_ready(self, depth: int) -> None:
        """Let the scopes up to *depth* be able to take back what changes next.

        Refuse it where no transaction would take it back: after SQLITE_FULL and its
        like SQLite may have rolled the whole one back, so that the next statement would
        commit on its own, and leave half a batch.
        """
        if self.abandoned or not self._store.in_transaction:
            self._store.require_open()
            if self.abandoned:
                raise errors.batch_given_up(self._store.location)
            raise errors.batch_lost(self._store.location)
        if self.begun < depth:
            self._secure(depth)

    def _secure(self, depth: int) -> None:
        """Begin the savepoints up to *depth* that were put off."""
        for at in range(self.begun, depth):
            if self._unsure == at:  # an interrupt came while it was being made
                with suppress(OSError):
                    self._store.run(_sql.RELEASE[at])
            self._unsure = at
            self._store.run(_sql.SAVEPOINT[at])
            self.begun, self._unsure = at + 1, -1

    def end(self, depth: int, failed: bool) -> None:
        """Close the scopes beyond *depth*: keep their changes, or take them all back.

        What SQLite calls a savepoint ends with all that were made inside it.
        """
        try:
            self._end(depth, failed=failed)
            self.depth = depth
            if self.begun > depth:
                self.begun, self._unsure = depth, -1
        finally:
            self._store.changed()

    def end_all(self) -> None:
        """Take back what calls and batches have open."""
        self.abandoned = 0
        self.end(len(self._marks), failed=True)

    def _end(self, depth: int, *, failed: bool) -> None:
        store = self._store
        if store.closed:
            if not failed:
                raise errors.closed()
        elif self.abandoned:
            if depth < self.abandoned:
                self.abandoned = 0
                self._roll_back(depth)
        elif not store.in_transaction:  # SQLite has rolled everything back itself
            store.rolled_back()
            if not failed:
                raise errors.batch_lost(store.location)
        elif failed:
            self._roll_back(depth)
        elif self.begun > depth:
            self._unsure = depth
            store.run(_sql.RELEASE[depth] if depth else _sql.COMMIT)

    def _roll_back(self, depth: int) -> None:
        if self._store.in_transaction and self.begun > depth:
            if depth == 0:
                self._store.run(_sql.ROLLBACK)
            else:
                unsure, self._unsure = self._unsure, depth
                try:
                    self._store.run(_sql.ROLLBACK_TO[depth])
                    self._store.run(_sql.RELEASE[depth])
                except OSError:
                    if unsure != depth:  # else it is over, or had not begun
                        raise
        self._store.rolled_back()

    # --- batches that are given up ---------------------------------------------------

    @property
    def in_batch(self) -> bool:
        """Whether a call or a batch is open."""
        return self.depth > len(self._marks)

    def abandon(self, depth: int) -> None:
        """Take back all since the scope at *depth* began; it takes no more changes."""
        self.abandoned = min(depth, self.abandoned or depth)
        if self._store.in_transaction:
            if self.begun >= depth:
                to_begin = _sql.ROLLBACK_TO[depth - 1]
                self._store.run(_sql.ROLLBACK if depth == 1 else to_begin)
            self._store.changed()
            self._store.rolled_back()

    def is_abandoned(self, depth: int) -> bool:
        """Tell whether the scope at *depth* was given up."""
        return 0 < self.abandoned <= depth

    def require_no_batch(self, what: str) -> None:
        """Refuse *what* while a call or a batch is open."""
        self._store.require_open()
        if self.in_batch:
            raise errors.in_batch(self._store.location, what)

    def require_none(self, what: str) -> None:
        """Refuse *what* while anything is open, a mark too."""
        self.require_no_batch(what)
        if self._marks:
            raise errors.in_savepoint(self._store.location, what)

    def forget(self) -> None:
        """Forget all scopes: they are another process's."""
        self.depth = self.begun = self.abandoned = 0
        self._unsure = -1
        self.outermost = None

    # --- marks -----------------------------------------------------------------------

    @property
    def marked(self) -> bool:
        """Whether there are marks, so that a transaction stays open."""
        return bool(self._marks)

    def mark(self, token: object) -> None:
        """Let *token* stand for the state as it is now."""
        self.require_no_batch("a savepoint")
        self.begin()
        self._marks.append(token)

    def reset(self, token: object) -> None:
        """Go back to the state that *token* stands for."""
        depth = self.require_mark(token, "a reset")
        del self._marks[depth + 1 :]
        self.end(depth, failed=True)
        self.begin()
        self._finish()

    def unmark(self, token: object, *, keep: bool) -> None:
        """Forget *token* and those after it, and all that was done since, or not."""
        depth = self.require_mark(token, "the end of a savepoint")
        del self._marks[depth:]
        try:
            self.end(depth, failed=not keep)
        except BaseException:
            self.end(depth, failed=True)
            raise
        self._finish()

    def _finish(self) -> None:
        for finish in self.after_each:
            finish()

    def has_mark(self, token: object) -> bool:
        """Tell whether *token* stands for a state."""
        return token in self._marks and not self._store.closed

    def require_mark(self, token: object, what: str) -> int:
        """Refuse *what* inside a batch; return the depth of *token*."""
        self.require_no_batch(what)
        if token not in self._marks:
            raise errors.savepoint_is_gone()
        return self._marks.index(token)
