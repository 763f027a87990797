"""A container opened as an underlay by its path: nothing is created beside it.

SQLite reads a container in WAL mode only after making ``-wal`` and ``-shm`` next to it,
and a reader cannot take them away again. While nobody writes there is no log, and the
file alone holds everything: then it is read as ``immutable``, without any lock. Before
and after each statement the file and its log are looked at; when somebody has begun to
write, the container is opened once more, now with SQLite's locks, and what was read
meanwhile is read again.
"""

from __future__ import annotations

import errno
import os
import time
from typing import TYPE_CHECKING, Any, Final

from stratavfs import errors
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
"""Times a statement is run again because the file was being written meanwhile."""

Look = tuple[int, ...]


class QuietStore(Store):
    """The connection to a container that others may change, and this one never."""

    def __init__(self, location: str) -> None:
        self._seen: Look = ()
        self._failed: Look = ()
        self._quiet = self._made = False
        self.openings = 0
        super().__init__(location, _OPTIONS)
        self._made = True

    # --- opening ---------------------------------------------------------------------

    def _open(self) -> Any:  # a connection, which only the store knows
        connecting = self._connecting
        if not self._made:
            connecting.refuse_foreign()
        self.openings += 1
        self._logs = [self.beside(end) for end in ("-wal", "-journal")]
        self._quiet = not self._has_log()
        self._seen = self._look()
        if self._quiet:
            try:
                return connecting.open_immutable()
            except OSError as error:  # somebody has just begun to write
                if error.errno != errno.EROFS:
                    raise
                self._quiet = False
                self._seen = self._look()
        return connecting.open_read_only()

    def _look(self) -> Look:
        """Return what changes with the file: with its log open, only when replaced."""
        found = os.stat(self.location)
        identity = found.st_dev, found.st_ino
        if not self._quiet:
            return identity
        return *identity, found.st_size, found.st_mtime_ns, found.st_ctime_ns

    def _has_log(self) -> bool:
        logs = self._logs
        return any(os.access(log, os.F_OK) and has_content(log) for log in logs)

    def _is_current(self) -> bool:
        if self._quiet and self._has_log():
            return False
        return self._seen == self._look()

    def _open_again(self) -> None:
        """Open what is there now; with the file replaced, handles on it are stale."""
        replaced = self._seen[:2] != self._look()[:2]
        self._cx.close()
        try:
            self._cx = self._open()
            self._require_the_same_kind()
        except BaseException:
            self._failed, self._seen = self._seen, ()  # to be tried again
            raise
        if replaced:
            for listener in self.after_replaced:
                listener()

    def _require_the_same_kind(self) -> None:
        settings = self._connecting.require_ours(self._cx)
        if self._made and settings != (self.chunk_size, self.inline_limit):
            why = "another one with another chunk size has taken its place"
            raise errors.corrupt(self.location, why)

    # --- asking ----------------------------------------------------------------------

    def foreign_changes(self) -> int:
        if not self._is_current():
            self._open_again()
        if self._quiet:
            return self.openings
        return (self.openings << 32) + super().foreign_changes()

    def row(self, statement: str, args: Sequence[object] = ()) -> Any:
        return self._settled(lambda: super(QuietStore, self).row(statement, args))

    def rows(self, statement: str, args: Sequence[object] = ()) -> list[Any]:
        found: list[Any]
        found = self._settled(lambda: super(QuietStore, self).rows(statement, args))
        return found

    def each(self, statement: str, args: Sequence[object] = ()) -> Iterator[Any]:
        return iter(self.rows(statement, args))

    def _settled(self, ask: Callable[[], Any]) -> Any:
        """Return an answer that was given while the file stayed as it was."""
        for _ in range(_ATTEMPTS):
            try:
                if not self._is_current():
                    self._open_again()
                answer = ask()
            except OSError:
                if self._is_current() or self._failed == self._look():
                    raise
            else:
                if self._is_current():
                    return answer
        raise errors.changed_meanwhile(self.location)
