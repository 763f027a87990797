"""A container opened as an underlay by its path: nothing is created beside it.

SQLite reads a container in WAL mode only after making ``-wal`` and ``-shm`` next to it,
and a reader cannot take them away again. While nobody writes there is no log, and the
file alone holds everything: then it is read as ``immutable``, without any lock. Before
and after each statement the file and its log are looked at; when somebody has begun to
write, the container is opened once more, now with SQLite's locks, and what was read
meanwhile is read again.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any, Final

from stratavfs import _format, _sql, errors
from stratavfs._files import has_content
from stratavfs._options import Options
from stratavfs._store import Store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

_OPTIONS: Final = Options(
    chunk_size=65536,
    read_only=True,
    immutable=False,
    timeout=5.0,
    synchronous="normal",
    clock=time.time_ns,
)

_ATTEMPTS: Final = 5
"""Times a statement is run again because the file was being replaced meanwhile."""


class QuietStore(Store):
    """The connection to a container that others may change, and this one never."""

    def __init__(self, location: str) -> None:
        self._seen: tuple[int, ...] | None = None
        self._openings = 0
        super().__init__(location, _OPTIONS)

    def _open_read_only(self) -> Any:  # a connection, which only the store knows
        self._openings += 1
        self._seen = None
        seen = self._look()
        if not seen:
            return super()._open_read_only()
        self._seen = seen
        return self._open_immutable()

    def _look(self) -> tuple[int, ...]:
        """Return what changes with the file; nothing while there is a log to it."""
        for end in ("-wal", "-journal"):
            log = self.location + end
            if os.access(log, os.F_OK) and has_content(log):
                return ()
        found = os.stat(self.location)
        return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns

    def _is_current(self) -> bool:
        return self._seen is None or self._seen == self._look()

    def _open_again(self) -> None:
        self._cx.close()
        self._cx = self._open_read_only()
        for pragma in _sql.PRAGMAS:
            self._run(pragma)
        _format.refuse_other(self, self.location)
        if _format.settings_of(self, self.location) != (
            self.chunk_size,
            self.inline_limit,
        ):
            raise errors.corrupt(self.location, "another one has taken its place")

    def foreign_changes(self) -> int:
        if not self._is_current():
            self._open_again()
        if self._seen is not None:
            return self._openings
        return (self._openings << 32) + super().foreign_changes()

    def row(self, statement: str, args: Sequence[object] = ()) -> Any:
        return self._settled(lambda: super(QuietStore, self).row(statement, args))

    def rows(self, statement: str, args: Sequence[object] = ()) -> list[Any]:
        found: list[Any] = self._settled(
            lambda: super(QuietStore, self).rows(statement, args)
        )
        return found

    def each(self, statement: str, args: Sequence[object] = ()) -> Iterator[Any]:
        return iter(self.rows(statement, args))

    def _settled(self, ask: Callable[[], Any]) -> Any:
        """Return an answer that was given while the file stayed as it was."""
        for _ in range(_ATTEMPTS):
            if not self._is_current():
                self._open_again()
            try:
                answer = ask()
            except OSError:
                if self._is_current():
                    raise
            else:
                if self._is_current():
                    return answer
        raise errors.busy(self.location, 0)
