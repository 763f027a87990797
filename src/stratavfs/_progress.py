"""Progress: telling a caller how far a long call is, seldom enough to cost nothing."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from stratavfs import errors
from stratavfs.records import Progress

if TYPE_CHECKING:
    from collections.abc import Callable

    Listener = Callable[[Progress], object]

INTERVAL: Final = 0.1
"""Seconds between two tellings: ten a second look smooth."""


class Meter:
    """Counts what a call does, and tells *listener* of it now and then.

    It tells of the first step, of one each tenth of a second, and of the end.
    """

    def __init__(self, listener: Listener | None, total: int = 0) -> None:
        if listener is not None and not callable(listener):
            message = f"progress should be a callable, not {type(listener).__name__}"
            raise errors.InvalidType(message)
        self.listener = listener
        self.total = total
        """Steps there are; 0 while nobody knows."""
        self._done, self._bytes, self._path = 0, 0, ""
        self._next = 0.0  # moment of the next telling

    def count(self, path: str, size: int = 0) -> None:
        """Count one step at *path*, which was of *size* bytes."""
        self._done += 1
        self.bytes(path, size)

    def bytes(self, path: str, size: int) -> None:
        """Count *size* bytes within a step."""
        if self.listener is None:
            return
        self._bytes += size
        self._path = path
        now = time.monotonic()
        if now >= self._next:
            self._next = now + INTERVAL
            self._tell()

    def finish(self) -> None:
        """Tell of the end."""
        self.total = self._done
        self._tell()

    def _tell(self) -> None:
        if self.listener is not None:
            total = max(self.total, self._done)
            self.listener(Progress(self._done, total, self._path, self._bytes))
