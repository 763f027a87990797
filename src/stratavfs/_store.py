"""The store: the one connection to a container, and everything SQLite-specific.

It knows statements, transactions, locks, files and SQLite's errors; it does not know
what a path or a chunk is. Only this module imports ``sqlite3``, and every statement
goes through one of its few verbs: ``row``, ``rows``, ``each`` ask, ``write`` changes.

The lock: one ``RLock`` guards the connection. Asking needs it held (``with
store.lock``), so that no thread sees another's open batch; changing needs ``with
store.transaction``, which holds it too.
"""

from __future__ import annotations

import errno
import os
import sqlite3
import threading
import time
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from stratavfs import _format, _sql, errors
from stratavfs._faults import translated
from stratavfs._files import (
    has_content,
    is_journal_of_new_file,
    refuse_unopenable,
    sync_directory,
    uri_of,
    warn_without_log,
)
from stratavfs._gates import Loan, Snapshot, Transaction
from stratavfs._options import MEMORY, Options
from stratavfs._ticks import contents

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

_FAILURES: Final = (sqlite3.Error, UnicodeDecodeError)
"""What the module raises; the second for text, or a message, that is no UTF-8."""


class Store:
    """The one connection to the container at *location*."""

    openings = 1  # times it was opened, others having written or replaced the file

    def __init__(self, location: str, options: Options) -> None:
        self.location = location
        self.read_only = options.read_only
        self.lock = threading.RLock()
        self.transaction = Transaction(self)
        self.loan = Loan(self.lock, location, options.timeout)
        # Called, inside the lock, after anything was rolled back.
        self.after_rollback: list[Callable[[], None]] = []
        self.after_replaced: list[Callable[[], None]] = []  # or after the file was
        self._timeout = options.timeout
        self._synchronous = _sql.SYNCHRONOUS[options.synchronous]
        self._depth = 0  # open write scopes: a transaction, then savepoints
        self._ended, self.watched = 0, False  # write scopes; lies below another one
        self._closed, self.shared = False, location != MEMORY and not options.immutable
        self._cx = self._open(options)
        try:
            self._prepare(options)
            settings = _format.settings_of(self, location)
            self.chunk_size, self.inline_limit = settings
        except BaseException:
            self._cx.close()
            raise

    # --- opening and closing ---------------------------------------------------------

    def _open(self, options: Options) -> sqlite3.Connection:
        if self.location == MEMORY:
            return self._connect(MEMORY)
        refuse_unopenable(self.location, writing=not self.read_only)
        self._refuse_foreign()
        if not self.read_only:
            return self._connect(uri_of(self.location, "mode=rwc"))
        return self._open_immutable() if options.immutable else self._open_read_only()

    def _connect(self, database: str) -> sqlite3.Connection:
        try:
            return sqlite3.connect(
                database,
                timeout=self._timeout,
                isolation_level=None,  # transactions begin where we say so
                check_same_thread=False,  # the lock guards it
                cached_statements=256,  # all of ours, so that none is compiled twice
                uri=database != MEMORY,
            )
        except _FAILURES as error:
            raise self._translated(error) from error

    def _refuse_foreign(self) -> None:
        """Look into the file before anything can change it.

        A file that another process is just making may look like anything. Its journal
        says so; or it is finished by now, and the second look finds it in order.
        """
        if not os.path.exists(self.location) or os.path.getsize(self.location) == 0:
            return
        try:
            self._probe()
        except OSError:
            if not is_journal_of_new_file(self.location + "-journal"):
                self._probe()

    def _probe(self) -> None:
        """Refuse what is none of ours, too new or damaged.

        ``immutable`` takes no lock, rolls no journal back and makes no ``-wal``; and it
        is SQLite that opens the file, because closing it with ``os.close`` would drop
        the locks of every other connection this process has to it.
        """
        self._cx = self._connect(uri_of(self.location, "mode=ro&immutable=1"))
        try:
            _format.refuse_other(self, self.location)
            _format.settings_of(self, self.location)
            _format.refuse_cut_short(self, self.location)
        finally:
            self._cx.close()

    def _open_read_only(self) -> sqlite3.Connection:
        """Open for reading, also where SQLite may not make its side files.

        A container in WAL mode needs ``-shm`` beside it even for reading. In a
        directory that cannot be written, and with no ``-wal`` left over, the file
        itself holds everything, and ``immutable`` reads just that.
        """
        cx = self._connect(uri_of(self.location, "mode=ro"))
        try:
            cx.execute(_sql.COUNT_OBJECTS).fetchone()
        except _FAILURES as error:
            cx.close()
            found = self._translated(error)
            if isinstance(found, PermissionError):
                return self._open_immutable()
            raise found from error
        return cx

    def _open_immutable(self) -> sqlite3.Connection:
        """Open a file that nobody changes: no locks, half the price of a read."""
        if has_content(self.location + "-wal"):
            raise errors.needs_recovery(self.location)
        return self._connect(uri_of(self.location, "mode=ro&immutable=1"))

    def _prepare(self, options: Options) -> None:
        """Set the connection up; make the schema where there is none yet."""
        for pragma in _sql.PRAGMAS:
            self._run(pragma)
        if not self.read_only or self.location == MEMORY:
            self._create_if_empty(options)
        _format.refuse_other(self, self.location)
        if not self.read_only and self.location != MEMORY:
            self._use_write_ahead_log()
            self._run(self._synchronous)

    def _use_write_ahead_log(self) -> None:
        deadline = time.monotonic() + self._timeout
        while True:
            try:
                (mode,) = self._run(_sql.USE_LOG).fetchone()
                break
            except OSError as error:
                # SQLite does not wait here for others who make the same change.
                if error.errno != errno.EBUSY or time.monotonic() > deadline:
                    raise
                time.sleep(0.005)
        if mode != "wal":
            warn_without_log(self.location, mode)

    def _create_if_empty(self, options: Options) -> None:
        """Make the schema in an empty file, once, whoever else tries at the same time.

        Without fsync, as a file's creation has none either: 0.5 ms instead of 4.5. A
        killed process leaves an empty file or a journal that the next open rolls back.
        """
        if self._run(_sql.COUNT_OBJECTS).fetchone() != (0,):
            return
        self._run(_sql.SYNCHRONOUS["off"])
        self._run(_sql.BEGIN_EXCLUSIVE)
        try:
            if self._run(_sql.COUNT_OBJECTS).fetchone() == (0,):
                made = _format.new(options.chunk_size, options.clock())
                for statement, args in made:
                    self._run(statement, args)
            self._run(_sql.COMMIT)
        except BaseException:
            self._roll_back()
            raise

    def close(self) -> None:
        """Close the connection; a batch still open is rolled back."""
        with self.lock:
            self._closed = True
            self._cx.close()
        if self._depth:
            message = f"{self.location}: closed in a batch, which was rolled back"
            warnings.warn(message, ResourceWarning, stacklevel=3)

    def sync(self) -> None:
        """Carry everything committed so far through the operating system to the disk.

        A commit with ``synchronous=FULL`` flushes the log with all that is in it, also
        where a reader keeps the checkpoint from finishing.
        """
        if self.location == MEMORY or self.read_only:
            return
        with self.lock:  # no other thread's transaction may begin in between
            if self._depth:
                raise errors.sync_in_batch(self.location)
            self._run(_sql.SYNCHRONOUS["full"])
            try:
                with self.transaction:
                    self.write(_sql.TOUCH_SETTINGS)
                self._run(_sql.CHECKPOINT).fetchall()
            finally:
                self._run(self._synchronous)
        sync_directory(os.path.dirname(os.path.abspath(self.location)))

    @property
    def closed(self) -> bool:
        return self._closed

    @property
    def changes(self) -> int:
        """Rows this connection has changed so far, what was rolled back included."""
        return self._cx.total_changes

    def foreign_changes(self) -> int:
        """Return a number that moves when another connection has changed the file."""
        return int(self.row(_sql.READ_DATA_VERSION)[0]) if self.shared else 0

    def version(self) -> tuple[int, int]:
        """Return a value that moves whenever the container may have changed."""
        return self._ended, self.foreign_changes()

    def require_open(self) -> None:
        if self._closed:
            raise errors.closed()

    def warn_unclosed(self, owner: object) -> None:
        """Warn that *owner* was forgotten with a file open, as files do."""
        if self.location != MEMORY:
            message = f"unclosed file system {owner!r}"
            warnings.warn(message, ResourceWarning, stacklevel=3, source=owner)

    # --- asking ----------------------------------------------------------------------

    def row(self, statement: str, args: Sequence[object] = ()) -> Any:
        """Return the first row of *statement*, or None."""
        try:
            return self._cx.execute(statement, args).fetchone()
        except _FAILURES as error:
            raise self._translated(error) from error

    def rows(self, statement: str, args: Sequence[object] = ()) -> list[Any]:
        """Return all rows of *statement*."""
        try:
            return self._cx.execute(statement, args).fetchall()
        except _FAILURES as error:
            raise self._translated(error) from error

    def each(self, statement: str, args: Sequence[object] = ()) -> Iterator[Any]:
        """Yield the rows of *statement* one by one, within the lock of the caller."""
        try:
            yield from self._cx.execute(statement, args)
        except _FAILURES as error:
            raise self._translated(error) from error

    @contextmanager
    def lenient_text(self) -> Iterator[None]:
        """Within this scope text that is no UTF-8 reads with U+FFFD: no error."""
        self._cx.text_factory = lambda raw: raw.decode(errors="replace")
        try:
            yield
        finally:
            self._cx.text_factory = str

    # --- changing --------------------------------------------------------------------

    def write(self, statement: str, args: Sequence[object] = ()) -> sqlite3.Cursor:
        """Run a changing *statement*; the cursor tells the number of a new row."""
        self._require_transaction()
        return self._run(statement, args)

    def write_many(self, statement: str, args: Iterator[Sequence[object]]) -> None:
        """Run a changing *statement* once for each of *args*."""
        self._require_transaction()
        try:
            self._cx.executemany(statement, args)
        except _FAILURES as error:
            raise self._translated(error) from error

    def patch(self, table: str, column: str, rowid: int, at: int, data: Any) -> None:
        """Overwrite bytes inside one stored value, without reading the rest of it."""
        self._require_transaction()
        try:
            with self._cx.blobopen(table, column, rowid) as blob:
                blob.seek(at)
                blob.write(data)
        except _FAILURES as error:
            raise self._translated(error) from error

    def snapshot(self) -> Snapshot:
        """Return a scope in which all reads see one state of the container."""
        return Snapshot(self)

    # --- transactions: called by Transaction and Snapshot alone ----------------------

    def begin(self) -> None:
        """Begin a transaction, or a savepoint within the one that is open."""
        if self._depth == 0:
            self._run(_sql.BEGIN_WRITE)
        else:
            self._require_transaction()
            self._run(_sql.SAVEPOINT)
        self._depth += 1

    def end(self, failed: bool) -> None:
        """Close the innermost scope: keep its changes, or take them all back."""
        try:
            self._end(failed=failed)
        finally:
            self._ended += 1
            if self.watched:
                contents.tick()

    def _end(self, *, failed: bool) -> None:
        self._depth -= 1
        if self._closed:
            if not failed:
                raise errors.closed()
        elif not self._cx.in_transaction:  # SQLite has rolled everything back itself
            self._notify()
            if not failed:
                raise errors.batch_lost(self.location)
        elif failed:
            self._roll_back()
        else:
            self._keep()

    def _keep(self) -> None:
        try:
            self._run(_sql.COMMIT if self._depth == 0 else _sql.RELEASE)
        except BaseException:
            self._roll_back()
            raise

    def _roll_back(self) -> None:
        if self._cx.in_transaction:
            if self._depth == 0:
                self._run(_sql.ROLLBACK)
            else:
                self._run(_sql.ROLLBACK_TO)
                self._run(_sql.RELEASE)
        self._notify()

    def _notify(self) -> None:
        for listener in self.after_rollback:
            listener()

    def begin_read(self) -> bool:
        """Begin a read transaction unless one is open; tell whether it was begun."""
        self.require_open()
        if self._cx.in_transaction or self.location == MEMORY:
            return False
        self._run(_sql.BEGIN_READ)
        return True

    def end_read(self) -> None:
        if not self._cx.in_transaction:  # an I/O error has ended it
            return
        try:
            self._run(_sql.COMMIT)
        except BaseException:
            if self._cx.in_transaction:
                self._run(_sql.ROLLBACK)
            raise

    def _require_transaction(self) -> None:
        """Refuse to change anything that no transaction would take back.

        After SQLITE_FULL and its like SQLite may have rolled the whole transaction
        back; the next statement would then commit on its own and leave half a batch.
        """
        self.require_open()
        if not self._cx.in_transaction:
            raise errors.batch_lost(self.location)

    def _run(self, statement: str, args: Sequence[object] = ()) -> sqlite3.Cursor:
        try:
            return self._cx.execute(statement, args)
        except _FAILURES as error:
            raise self._translated(error) from error

    def _translated(self, error: Exception) -> Exception:
        return translated(error, self.location, self._timeout)
