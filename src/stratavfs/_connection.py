"""Connecting: how a container is opened, checked before it is trusted, and made.

Only this module imports ``sqlite3``. A connection it gives away is set up so that
nothing a stranger put into the file is ever run.
"""

from __future__ import annotations

import errno
import os
import sqlite3
import time
from contextlib import closing
from typing import TYPE_CHECKING, Any, Final

from stratavfs import _empty, _format, _sql, errors
from stratavfs._defence import defend
from stratavfs._faults import CONTENTION, translated
from stratavfs._files import (
    has_content,
    is_hot_journal,
    is_journal_of_new_file,
    names_another,
    refuse_unopenable,
    uri_of,
    warn_without_log,
)
from stratavfs._options import MEMORY

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from stratavfs._options import Options

FAILURES: Final = (sqlite3.Error, UnicodeDecodeError)
"""What the module raises; the second for text, or a message, that is no UTF-8."""

_JOURNAL_KINDS: Final = slice(18, 20)
"""Bytes of the header that tell the journal, sqlite.org/fileformat2.html, 1.3.3."""

_OF_DISKS: Final = {10, 13}  # IOERR, FULL
_OF_READING: Final = {266, 522}  # IOERR_READ, IOERR_SHORT_READ

_KEPT: Final = 32 << 20
"""Bytes: M_MMAP_THRESHOLD's largest value, mallopt(3)."""


class Connecting:
    """Opens connections to the container at *location*."""

    def __init__(self, location: str, options: Options) -> None:
        self._location = location  # as errors name it
        self.file = os.path.abspath(location)  # wherever the process goes later
        self._options = options
        self._opened = False  # once before
        # Has looked into a file that nobody changes, and is used on: 0.1 ms less.
        self._probed: sqlite3.Connection | None = None

    def beside(self, end: str) -> str:
        """Return the name of a file of SQLite's beside the container's own."""
        return os.path.realpath(self.file) + end

    # --- from outside to inside ------------------------------------------------------

    def open(self) -> sqlite3.Connection:
        """Return a connection as the options have it, to a container in order."""
        options = self._options
        if self._location == MEMORY:
            cx = self.connect(MEMORY)
        else:
            self.refuse_foreign()
            if not options.read_only:
                cx = self.connect(uri_of(self.file, "mode=rwc"))
                if options.exclusive:
                    self._run(cx, _sql.LOCK_FOR_GOOD)
            elif options.immutable:
                cx = self.open_immutable()
                self._run(cx, _sql.MAP_FILE)
            else:
                cx = self.open_read_only()
        try:
            self._prepare(cx)
        except BaseException:
            cx.close()
            raise
        self._opened = True
        return cx

    def refuse_foreign(self) -> None:
        """Look into the file before anything can change it.

        A file that another process is just making may look like anything. Its journal
        says so; or it is finished by now, and the second look finds it in order.
        """
        writing = not self._options.read_only
        refuse_unopenable(self.file, writing=writing, named=self._location)
        if names_another(self.beside("-journal")):
            raise errors.strange_journal(self._location)
        if not os.path.exists(self.file) or os.path.getsize(self.file) == 0:
            if self._opened:  # it has been taken away, and is not made again
                raise errors.not_found(self._location)
            if not writing:
                raise errors.foreign(self._location, "it is empty")
            return
        try:
            self._probe()
        except errors.CorruptDatabase:
            if has_content(self.beside("-wal")):
                # Who was killed may have written half of the log back: only both
                # together make sense. Reading them makes no more than a -shm.
                self._probe(immutable=False)
            elif not is_hot_journal(self.beside("-journal")):
                # Else whoever was killed may have written some pages of many: what is
                # played back is looked at when it is open.
                self._probe()
        except OSError:
            if not is_journal_of_new_file(self.beside("-journal")):
                self._probe()

    def _probe(self, *, immutable: bool = True) -> None:
        """Refuse what is none of ours, too new or damaged.

        ``immutable`` takes no lock, rolls no journal back and makes no ``-wal``; and it
        is SQLite that opens the file, because closing it with ``os.close`` would drop
        the locks of every other connection this process has to it.
        """
        self._probed = None
        query = "mode=ro&immutable=1" if immutable else "mode=ro"
        cx = self.connect(uri_of(self.file, query))
        try:
            self.require_ours(cx)
            _format.refuse_cut_short(self._asked(cx), self._location, self.file)
        except BaseException:
            cx.close()
            raise
        if self._options.immutable and immutable:
            self._probed = cx
        else:
            cx.close()

    def require_ours(self, cx: sqlite3.Connection) -> tuple[int, int]:
        """Refuse what is no container; return its chunk size and inline limit."""
        asked = self._asked(cx)
        _format.refuse_other(asked, self._location)
        return _format.settings_of(asked, self._location)

    def open_read_only(self) -> sqlite3.Connection:
        """Open for reading, also where SQLite may not make its side files.

        A container in WAL mode needs ``-shm`` beside it even for reading. In a
        directory that cannot be written, and with no ``-wal`` left over, the file
        itself holds everything, and ``immutable`` reads just that.
        """
        cx = self.connect(uri_of(self.file, "mode=ro"))
        try:
            self._run(cx, _sql.COUNT_OBJECTS).fetchone()
        except OSError as found:
            cx.close()
            if isinstance(found, PermissionError):
                return self.open_immutable()
            raise
        return cx

    def open_immutable(self) -> sqlite3.Connection:
        """Open a file that nobody changes: no locks, half the price of a read."""
        cx = self._probed or self.connect(uri_of(self.file, "mode=ro&immutable=1"))
        journal = self.beside("-journal")
        if has_content(self.beside("-wal")) or is_hot_journal(journal):
            cx.close()
            raise errors.needs_recovery(self._location)
        return cx

    def open_alone(self) -> tuple[sqlite3.Connection, bool]:
        """Return a connection, and whether it is the only one to the file.

        With a write-ahead log each connection keeps a lock as long as it is open, so
        that only a sole one gets all the locks there are.
        """
        cx = self.connect(uri_of(self.file, "mode=rwc"))
        try:
            for text in (*_sql.ALONE, _sql.BEGIN_EXCLUSIVE, _sql.COMMIT):
                self._run(cx, text)
        except OSError as error:
            if error.errno != errno.EBUSY:
                cx.close()
                raise
            return cx, False
        return cx, True

    def copy(self, cx: sqlite3.Connection, *, marked: bool) -> sqlite3.Connection:
        """Return a connection to a copy of *cx* in memory."""
        (pages,) = self._run(cx, _sql.COUNT_PAGES).fetchone()
        (page_size,) = self._run(cx, _sql.PAGE_SIZE).fetchone()
        # The C library keeps as much memory for later as it once got back at one go: a
        # copy of 8 MB takes 0.7 ms in memory that it kept, 4.7 ms in fresh pages.
        bytes(min(pages * page_size, _KEPT))
        copied = self.connect(MEMORY)
        try:
            if not marked:
                self._copy(cx, copied, -1, lambda _left, _pages: None)
                return copied
            # SQLite backs up nothing that has a transaction open; and memory holds no
            # log, although the header of a copy from a file may speak of one.
            image = bytearray(cx.serialize())
            image[_JOURNAL_KINDS] = b"\1\1"
            with closing(self.connect(MEMORY)) as whole:
                whole.deserialize(image)
                del image
                self._copy(whole, copied, -1, lambda _left, _pages: None)
        except BaseException:
            copied.close()
            raise
        return copied

    def _copy(
        self,
        cx: sqlite3.Connection,
        target: sqlite3.Connection,
        step: int,
        tell: Callable[[int, int], None],
        file: str | None = None,
    ) -> None:
        """Copy all pages of *cx*, *step* at a time; *file* is the target's."""
        moved = time.monotonic()

        def hear(code: int, left: int, pages: int) -> None:
            nonlocal moved
            if code & 0xFF in CONTENTION:  # SQLite would try again for ever
                if time.monotonic() - moved > self._options.timeout:
                    raise errors.busy(self._location, self._options.timeout)
                return
            tell(left, pages)
            moved = time.monotonic()

        try:
            cx.backup(target, pages=step, progress=hear)
        except FAILURES as error:
            found = self._translated(error)
            code = getattr(error, "sqlite_errorcode", 0)
            if file and code not in _OF_READING and code & 0xFF in _OF_DISKS:
                found.filename = file  # type: ignore[attr-defined]
            raise found from error

    def copy_file(
        self, file: str, tell: Callable[[int, int], None], least: int, steps: int
    ) -> None:
        """Copy the container to *file*, through a connection of its own."""
        options = self._options._replace(read_only=True)
        other = Connecting(self._location, options)
        other.file = self.file
        cx = other.open()
        try:
            # A snapshot: SQLite begins anew where somebody writes meanwhile without it.
            self._run(cx, _sql.BEGIN_READ)
            self._run(cx, _sql.COUNT_OBJECTS).fetchone()
            self.copy_to_file(cx, file, tell, least, steps)
        finally:
            cx.close()

    def copy_to_file(
        self,
        cx: sqlite3.Connection,
        file: str,
        tell: Callable[[int, int], None],
        least: int,
        steps: int,
    ) -> None:
        """Copy *cx* to *file*, which nobody else knows, without a journal."""
        (pages,) = self._run(cx, _sql.COUNT_PAGES).fetchone()
        other = Connecting(file, self._options)
        made = other.connect(uri_of(file, "mode=rwc"))
        try:
            for text in (_sql.JOURNAL_IN_MEMORY, _sql.SYNCHRONOUS["off"]):
                other._run(made, text)
            self._copy(cx, made, max(least, pages // steps), tell, file)
        finally:
            made.close()

    # --- setting it up ---------------------------------------------------------------

    def connect(self, database: str) -> sqlite3.Connection:
        """Return a connection that runs nothing of a stranger's."""
        try:
            cx = sqlite3.connect(
                database,
                timeout=self._options.timeout,
                isolation_level=None,  # transactions begin where we say so
                check_same_thread=False,  # the store's lock guards it
                cached_statements=256,  # all of ours, so that none is compiled twice
                uri=database != MEMORY,
            )
        except FAILURES as error:
            raise self._translated(error) from error
        try:
            defend(cx)
            for pragma in _sql.PRAGMAS:
                self._run(cx, pragma)
        except BaseException:
            cx.close()
            raise
        return cx

    def _prepare(self, cx: sqlite3.Connection) -> None:
        """Make the schema where there is none yet; use the log."""
        writing = not self._options.read_only
        if self._location == MEMORY:
            self._copy_empty(cx)
            return
        if writing:
            self._create_if_empty(cx)
        if cx is not self._probed:
            _format.refuse_other(self._asked(cx), self._location)
        if writing:
            self._use_write_ahead_log(cx)
            self._run(cx, _sql.LET_LOG_GROW)
            self._run(cx, _sql.SYNCHRONOUS[self._options.synchronous])

    def _use_write_ahead_log(self, cx: sqlite3.Connection) -> None:
        deadline = time.monotonic() + self._options.timeout
        while True:
            try:
                (mode,) = self._run(cx, _sql.USE_LOG).fetchone()
                break
            except OSError as error:
                # SQLite does not wait here for others who make the same change.
                if error.errno != errno.EBUSY or time.monotonic() > deadline:
                    raise
                time.sleep(0.005)
        if mode != "wal":
            warn_without_log(self._location, mode)

    def _copy_empty(self, cx: sqlite3.Connection) -> None:
        """Make a container in memory: like the one before, but for its time."""
        size, now = self._options.chunk_size, self._options.clock()
        _empty.fill(cx, size, lambda: self.connect(MEMORY), self._make)
        self._run(cx, _sql.SET_ROOT_TIMES, (now,) * 4)

    def _make(self, cx: sqlite3.Connection) -> None:
        options = self._options
        for text, args in _format.new(options.chunk_size, options.clock()):
            self._run(cx, text, args)

    def _create_if_empty(self, cx: sqlite3.Connection) -> None:
        """Make the schema in an empty file, once, whoever else tries at the same time.

        Without fsync, as a file's creation has none either: 0.5 ms instead of 4.5. A
        killed process leaves an empty file or a journal that the next open rolls back.
        """
        if self._run(cx, _sql.COUNT_OBJECTS).fetchone() != (0,):
            return
        self._run(cx, _sql.SYNCHRONOUS["off"])
        self._run(cx, _sql.BEGIN_EXCLUSIVE)
        try:
            if self._run(cx, _sql.COUNT_OBJECTS).fetchone() == (0,):
                self._make(cx)
            self._run(cx, _sql.COMMIT)
        except BaseException:
            if cx.in_transaction:
                self._run(cx, _sql.ROLLBACK)
            raise

    # --- asking it -------------------------------------------------------------------

    def _asked(self, cx: sqlite3.Connection) -> _Asked:
        return _Asked(self, cx)

    def _run(
        self, cx: sqlite3.Connection, statement: str, args: Sequence[object] = ()
    ) -> sqlite3.Cursor:
        try:
            return cx.execute(statement, args)
        except FAILURES as error:
            raise self._translated(error) from error

    def rows(self, cx: sqlite3.Connection, statement: str) -> list[Any]:
        """Return all rows of *statement*."""
        try:
            return cx.execute(statement).fetchall()
        except FAILURES as error:
            raise self._translated(error) from error

    def _translated(self, error: Exception) -> Exception:
        return translated(error, self._location, self._options.timeout)


class _Asked:
    """A connection that answers questions as a store does."""

    def __init__(self, connecting: Connecting, cx: sqlite3.Connection) -> None:
        self._connecting = connecting
        self._cx = cx

    def row(self, statement: str) -> Any:
        found = self.rows(statement)
        return found[0] if found else None

    def rows(self, statement: str) -> list[Any]:
        return self._connecting.rows(self._cx, statement)
