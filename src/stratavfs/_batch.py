"""Batches and savepoints: transactions that callers hold, with their open handles.

What a handle has buffered reaches the container with a flush. So that it shares the
fate of the batch it was written in, the handles are flushed where a batch begins and
where it is kept; where it fails, their buffers are emptied into nothing, and they go on
where they stood before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Self, final

from stratavfs import errors
from stratavfs._gates import Transaction

if TYPE_CHECKING:
    from types import TracebackType

    from stratavfs._open_handles import OpenHandles, Places
    from stratavfs._store import Store


@final
class Batch:
    """What ``atomic_batch()`` returns: all calls within it are kept, or none is."""

    def __init__(self, store: Store, handles: OpenHandles) -> None:
        self._store = store
        self._handles = handles
        self._transaction = Transaction(store.scopes, waits=True)
        self._depth = 0  # of its scope in the store; 0: it is not open
        self._places: Places = {}

    def __enter__(self) -> Self:
        if self._depth:
            raise errors.batch_is_open()
        places = self._handles.settle()
        self._transaction.__enter__()
        self._depth, self._places = self._store.scopes.depth, places
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            mine = self._store.closed or self._store.holds_batch
            if mine:
                self._end(kept=kind is None)
        except BaseException:  # wherever an interrupt has left it
            self._transaction.__exit__(OSError, None, None)
            raise
        if not mine:
            raise errors.batch_of_another_thread()

    def _end(self, *, kept: bool) -> None:
        try:
            if kept and not self._store.scopes.is_abandoned(self._depth):
                self._handles.carry()
        except BaseException:
            kept = False
            raise
        finally:
            self._leave(kept=kept)

    def _leave(self, *, kept: bool) -> None:
        places, self._places = self._places, {}
        depth, self._depth = self._depth, 0
        lost = not kept or self._store.scopes.is_abandoned(depth)
        try:
            if lost:  # first: nothing that is in a buffer may reach the container later
                self._handles.drop(places)
        finally:
            try:
                self._transaction.__exit__(None if kept else OSError, None, None)
            except BaseException:  # it could not be kept after all
                lost = True
                self._handles.drop(places)
                raise
            finally:
                if lost:
                    self._handles.put_back(places)

    def rollback(self) -> None:
        """Take everything in the batch back, and give it up.

        What changes anything afterwards inside it raises BatchLost; leaving it raises
        nothing.

        Raises:
            InvalidArgument: it is not open, or it was another thread's.
        """
        with self._store.lock:
            if not self._depth:
                raise errors.batch_not_open()
            self._handles.drop(self._places)
            self._store.scopes.abandon(self._depth)
            self._handles.put_back(self._places)


@final
class Savepoint:
    """What ``savepoint()`` returns: a state to go back to, any number of times.

    As a context manager it goes back, and is forgotten, when it is left.
    """

    def __init__(self, store: Store, handles: OpenHandles) -> None:
        self._lock, self._scopes = store.lock, store.scopes
        self._handles = handles
        self._places = handles.settle()
        with self._lock:
            self._scopes.mark(self)

    def reset(self) -> None:
        """Go back to the marked state; later savepoints are forgotten.

        Raises:
            OSError: (EINVAL) inside a batch.
            InvalidArgument: it was forgotten.
        """
        with self._lock:
            self._scopes.require_mark(self, "a reset")
            self._handles.drop(self._places)
            self._scopes.reset(self)
            self._handles.put_back(self._places)

    def release(self) -> None:
        """Keep what was done since, and forget the marked state.

        Raises:
            OSError: (EINVAL) inside a batch.
            InvalidArgument: it was forgotten.
        """
        self._handles.carry()
        with self._lock:
            self._scopes.unmark(self, keep=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with self._lock:
            if self._scopes.has_mark(self):
                self._scopes.require_mark(self, "the end of a savepoint")
                self._handles.drop(self._places)
                self._scopes.unmark(self, keep=False)
                self._handles.put_back(self._places)
