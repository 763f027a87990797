"""The open handles of one file system: closed with it, and taken along by its batches.

A handle is flushed for a batch only by the thread that alone uses it. Whoever writes
through a buffer keeps the buffer's lock while waiting for the store's; a batch, which
keeps the store's, must not wait for that buffer.

A stale handle, whose file is gone, hinders no batch. What it has in its buffer has
nowhere to go and stays there; the handle says so itself when it is flushed or closed.
"""

from __future__ import annotations

import errno
import io
import os
import weakref
from contextlib import suppress
from typing import IO, TYPE_CHECKING, Any, Final

from stratavfs._handle import ChunkFile

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, MutableMapping

    # Where each handle stands, by its raw file; None: nobody can tell just now. Those
    # that nobody has used yet are left out: they stand where they began.
    Places = MutableMapping[ChunkFile, int | None]

_STALE: Final = -1  # in the place of a place


class OpenHandles:
    """The handles of one file system that are open, so that closing it closes them."""

    def __init__(self) -> None:
        # Weak: a handle that its owner forgets is closed by its finalizer.
        self._open: dict[int, weakref.ref[IO[Any]]] = {}

    def __len__(self) -> int:
        return len(self._open)

    def add(self, raw: ChunkFile, outermost: IO[Any]) -> None:
        """Remember *raw* by the object that the caller got for it."""
        self._open[id(raw)] = weakref.ref(outermost)
        raw.hand_out()

    def discard(self, raw: ChunkFile) -> None:
        self._open.pop(id(raw), None)

    def flush(self) -> None:
        """Flush every handle that was written to.

        Raises:
            OSError: what the first that could not flush raised; the others are flushed.
        """
        flush_all(self._living())

    def close(self) -> list[IO[Any]]:
        """Close every handle, and return those that were still open.

        One that another thread is just closing is left to it, and one that was detached
        to who has its parts.

        Raises:
            OSError: what the first that could not flush raised; all are closed.
        """
        closed: list[IO[Any]] = []
        failures: list[OSError] = []
        for handle in self._living():
            try:
                with suppress(ValueError):  # detached; or closed, if half way
                    if not handle.closed:
                        handle.close()
                        closed.append(handle)
            except OSError as error:
                failures.append(error)
        if failures:
            raise failures[0]
        return closed

    def _living(self) -> list[IO[Any]]:
        found = [reference() for reference in [*self._open.values()]]
        return [handle for handle in found if handle is not None]

    # --- batches ---------------------------------------------------------------------

    def settle(self) -> Places:
        """Flush the handles of this thread, and return where they stand."""
        if not self._open:
            return {}
        places: Places = weakref.WeakKeyDictionary()
        for handle, raw in self._attached():
            place = None
            if raw.is_mine:
                place = place_of(handle) if carry(handle, raw) else _STALE
            if raw.is_used:
                places[raw] = place
        return places

    def flush_mine(self) -> None:
        """Flush the handles that this thread alone uses.

        Raises:
            OSError: what the first that could not flush raised; the others are flushed.
        """
        mine = [h for h, raw in self._attached() if raw.is_writable and raw.is_mine]
        flush_all(mine)

    def carry(self) -> None:
        """Flush the handles that this thread alone uses, but for the stale ones."""
        for handle, raw in self._attached():
            if raw.is_mine:
                carry(handle, raw)

    def drop(self, places: Places) -> None:
        """Throw away what the handles of this thread have buffered since *places*."""
        for handle, raw in self._attached():
            if raw.is_mine and places.get(raw) != _STALE:
                with raw.deaf(), suppress(ValueError):  # it was just being closed
                    if raw.is_writable:
                        handle.flush()
                    if places.get(raw, raw.opened_at) is not None:
                        handle.seek(0, os.SEEK_END)  # away from what was read ahead

    def put_back(self, places: Places) -> None:
        """Let them go on from their *places*; those opened since, where they began."""
        for handle, raw in self._attached():
            place = places.get(raw, raw.opened_at) if raw.is_mine else None
            # Text is read to find some places: not where the file itself is gone, or
            # is no text any more.
            with suppress(OSError, ValueError):
                if place not in (None, _STALE):
                    handle.seek(place)

    def _attached(self) -> Iterator[tuple[IO[Any], ChunkFile]]:
        """Yield the handles that are in one piece, and their raw files."""
        for handle in self._living() if self._open else ():
            with suppress(ValueError):  # closed or detached
                raw = raw_of(handle)
                if not raw.is_closed:
                    yield handle, raw


def raw_of(handle: IO[Any]) -> ChunkFile:
    """Return the raw file under *handle*; ValueError if it was detached."""
    buffered = handle.buffer if isinstance(handle, io.TextIOWrapper) else handle
    raw = getattr(buffered, "raw", buffered)
    if not isinstance(raw, ChunkFile):
        raise ValueError  # noqa: TRY004 - as io does
    return raw


def flush_all(handles: Iterable[IO[Any]]) -> None:
    """Flush *handles*; raise what the first raised, when all have had their turn."""
    failures: list[OSError] = []
    for handle in handles:
        try:
            flush_open(handle)
        except OSError as error:
            failures.append(error)
    if failures:
        raise failures[0]


def flush_open(handle: IO[Any]) -> None:
    """Flush *handle*, unless another thread is just closing it, which does so too."""
    with suppress(ValueError):  # it is closed, if half way
        if not handle.closed and handle.writable():
            handle.flush()


def carry(handle: IO[Any], raw: ChunkFile) -> bool:
    """Flush *handle* unless its file is gone; tell whether it is there."""
    if raw.is_stale:
        return False
    if raw.is_writable:
        try:
            flush_open(handle)
        except OSError as error:
            if error.errno != errno.ESTALE or not raw.is_stale_after_failing():
                raise
            return False
    return True


def place_of(handle: IO[Any]) -> int | None:
    """Return where *handle* stands; None for text being iterated, or if closed."""
    try:
        return handle.tell()
    except (OSError, ValueError):
        return None
