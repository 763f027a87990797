"""The open handles of one file system: closed with it, and taken along by its batches.

A handle is flushed for a batch only by the thread that alone uses it. Whoever writes
through a buffer keeps the buffer's lock while waiting for the store's; a batch, which
keeps the store's, must not wait for that buffer.
"""

from __future__ import annotations

import io
import os
import weakref
from contextlib import suppress
from typing import IO, TYPE_CHECKING, Any

from stratavfs._handle import ChunkFile

if TYPE_CHECKING:
    from collections.abc import Iterator, MutableMapping

    # Where each handle stands, by its raw file; None: nobody can tell just now.
    Places = MutableMapping[ChunkFile, int | None]


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
        """Flush every handle that was written to."""
        for handle in self._living():
            flush_open(handle)

    def close(self) -> list[IO[Any]]:
        """Close every handle, and return those that were still open.

        Raises:
            OSError: what the first that could not flush raised; all are closed.
        """
        still_open = [handle for handle in self._living() if not handle.closed]
        failures: list[OSError] = []
        for handle in still_open:
            try:
                handle.close()
            except OSError as error:
                failures.append(error)
        if failures:
            raise failures[0]
        return still_open

    def _living(self) -> list[IO[Any]]:
        found = [reference() for reference in [*self._open.values()]]
        return [handle for handle in found if handle is not None]

    # --- batches ---------------------------------------------------------------------

    def settle(self) -> Places:
        """Flush the handles of this thread, and return where they stand."""
        if not self._open:
            return {}
        places: Places = weakref.WeakKeyDictionary()
        self.flush_mine()
        for handle, raw in self._attached():
            places[raw] = place_of(handle) if raw.is_mine else None
        return places

    def flush_mine(self) -> None:
        """Flush the handles that this thread alone uses."""
        for handle, raw in self._attached():
            if raw.is_writable and raw.is_mine:
                flush_open(handle)

    def drop(self, places: Places) -> None:
        """Throw away what the handles of this thread have buffered."""
        for handle, raw in self._attached():
            if raw.is_mine:
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
                if place is not None:
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


def flush_open(handle: IO[Any]) -> None:
    """Flush *handle*, unless another thread is just closing it, which does so too."""
    with suppress(ValueError):  # it is closed, if half way
        if not handle.closed and handle.writable():
            handle.flush()


def place_of(handle: IO[Any]) -> int | None:
    """Return where *handle* stands; None for text being iterated, or if closed."""
    try:
        return handle.tell()
    except (OSError, ValueError):
        return None
