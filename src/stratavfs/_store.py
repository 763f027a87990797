"""The store: the one connection to a container, and its transactions.

It knows statements, transactions and locks; it does not know what a path or a chunk
is, nor how a connection comes about. Every statement goes through one of its few verbs:
``row``, ``rows``, ``each`` ask, ``write`` changes.

The lock: one ``RLock`` guards the connection. Asking needs it held (``with
store.lock``), so that no thread sees another's open batch; changing needs ``with
store.transaction``, which holds it too.
"""

from __future__ import annotations

import threading
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from stratavfs import _bounds, _forking, _format, _sql, errors
from stratavfs._connection import FAILURES, Connecting
from stratavfs._faults import translated
from stratavfs._files import sync_name
from stratavfs._gates import Loan, Snapshot, Transaction, Turn
from stratavfs._options import MEMORY, Options
from stratavfs._scopes import Scopes
from stratavfs._ticks import contents

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterator, Sequence


class Store:
    """The one connection to the container at *location*.

    With a *source* it begins as a copy of that, in memory.
    """

    openings = 1  # times it was opened, others having written or replaced the file

    def __init__(
        self, location: str, options: Options, source: Store | None = None
    ) -> None:
        self.location = location
        self.options = options
        self.read_only = options.read_only
        self.lock = threading.RLock()
        self.loan = Loan(self.lock, location, options.timeout)
        self.turn = Turn(self.lock, location, options.timeout)
        # Called, inside the lock, after anything was rolled back.
        self.after_rollback: list[Callable[[], None]] = []
        self.after_replaced: list[Callable[[], None]] = []  # or after the file was
        self.after_let_go: list[Callable[[], None]] = []  # of the connection
        self.after_fork: list[Callable[[], None]] = []  # in the child
        self.scopes = Scopes(self)
        self._ended, self.watched = 0, False  # write scopes; lies below another one
        self._left_batch = False  # in order to be closed
        self._lost = False  # by a fork
        self._closed = False
        alone = location == MEMORY or options.immutable or options.exclusive
        self.shared = not alone  # others may change it
        self._connecting = Connecting(location, options)
        self.file, self.beside = self._connecting.file, self._connecting.beside
        self._cx = self._open() if source is None else source.copied()
        try:
            settings = _format.settings_of(self, location)
            self.chunk_size, self.inline_limit = settings
        except BaseException:
            self._cx.close()
            raise
        _forking.remember(self)

    # --- opening and closing ---------------------------------------------------------

    def _open(self) -> sqlite3.Connection:
        return self._connecting.open()

    def close(self) -> None:
        """Close the connection; a batch still open is rolled back."""
        with self.lock:
            self._closed = True
            self._cx.close()
        if self.scopes.in_batch or self._left_batch:
            message = f"{self.location}: closed in a batch, which was rolled back"
            warnings.warn(message, ResourceWarning, stacklevel=3)

    @property
    def holds_batch(self) -> bool:
        """Whether this thread is in a batch or a call."""
        owned: bool = self.lock._is_owned()  # type: ignore[attr-defined]  # noqa: SLF001
        return owned and self.scopes.in_batch

    @property
    def holds_lost_batch(self) -> bool:
        """Whether this thread is in a batch that takes no more changes."""
        lost = self.scopes.abandoned or not self._cx.in_transaction
        return self.holds_batch and bool(lost)

    def leave_batch(self) -> None:
        """Take back the batch of this thread, and let go of the lock."""
        self._left_batch = True
        self.scopes.end_all()
        while self.lock._is_owned():  # type: ignore[attr-defined]  # noqa: SLF001
            self.lock.release()

    def sync(self) -> None:
        """Carry everything committed so far through the operating system to the disk.

        A commit with ``synchronous=FULL`` flushes the log with all that is in it, also
        where a reader keeps the checkpoint from finishing.
        """
        if self.location == MEMORY or self.read_only:
            return
        with self.lock:  # no other thread's transaction may begin in between
            self.scopes.require_no_batch("sync()")
            self._run(_sql.SYNCHRONOUS["full"])
            try:
                with self.transaction:
                    self.write(_sql.TOUCH_SETTINGS)
                self._run(_sql.CHECKPOINT).fetchall()
            finally:
                if not self._cx.in_transaction:  # as an interrupt may leave it
                    self._run(_sql.SYNCHRONOUS[self.options.synchronous])
        sync_name(self.beside(""))

    @property
    def closed(self) -> bool:
        return self._closed

    @property
    def changes(self) -> int:
        """Rows this connection has changed so far, what was rolled back included."""
        return self._cx.total_changes

    @property
    def stamp(self) -> int:
        """A number that moves with all that this connection changes or takes back."""
        try:
            return self._cx.total_changes + self._ended
        except FAILURES as error:
            raise self._translated(error) from error

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

    # --- copies ----------------------------------------------------------------------

    def copy_to(
        self, file: str, tell: Callable[[int, int], None], least: int, steps: int
    ) -> None:
        """Copy the container as it is now to *file*, whoever writes meanwhile.

        *tell* hears of (pages left, pages in all), each *least* pages, at most *steps*
        times or a few more.
        """
        with self.lock:
            self.scopes.require_no_batch("a backup")
        if self.options.exclusive:  # nobody else may so much as read
            with self.lock:
                self._connecting.copy_to_file(self._cx, file, tell, least, steps)
            return
        if self.location != MEMORY:
            self._connecting.copy_file(file, tell, least, steps)
            return
        cx = self.copied("a backup")  # SQLite begins anew with each change meanwhile
        try:
            self._connecting.copy_to_file(cx, file, tell, least, steps)
        finally:
            cx.close()

    def copied(self, what: str = "a fork") -> sqlite3.Connection:
        """Return a connection to a copy of the container in memory, for *what*."""
        with self.lock:
            self.scopes.require_no_batch(what)
            return self._connecting.copy(self._cx, marked=self.scopes.marked)

    @contextmanager
    def exclusively(self) -> Iterator[bool]:
        """Tell whether nobody else has the container open; nobody opens it meanwhile.

        Only while it is being opened: the connection is another one inside.
        """
        if self.location == MEMORY:
            yield True
            return
        self._cx.close()
        try:
            self._cx, alone = self._connecting.open_alone()
            yield alone
        finally:
            self._cx.close()
            self._cx = self._open()

    def let_go(self) -> None:
        """Close the connection, if it is idle, up to the next question."""
        if self._closed or self.location == MEMORY or self._cx.in_transaction:
            return
        self._cx.close()
        self._cx = _forking.Inherited(self)  # type: ignore[assignment]  # until asked
        self.changed()  # a new connection counts the changes of others from anew
        for listener in self.after_let_go:
            listener()

    def inherit(self, *, quiet: bool) -> None:
        """Go on in a child that was forked.

        A container in memory is a copy there, as all of the memory is.
        """
        if not quiet:  # the lock belongs to a thread that this child has not
            self.lock._at_fork_reinit()  # type: ignore[attr-defined]  # noqa: SLF001
            self.scopes.forget()
        for listener in self.after_fork:
            listener()
        let_go = isinstance(self._cx, _forking.Inherited)
        if self._closed or let_go or (quiet and self.location == MEMORY):
            return
        _forking.leave(self._cx)
        self._lost = True  # it was in use
        self._cx = _forking.Inherited(self)  # type: ignore[assignment]

    def reconnected(self) -> sqlite3.Connection:
        """Return a connection of this process's own."""
        if self._lost:
            raise errors.forked_in_use(self.location)
        self._cx = self._open()
        return self._cx

    # --- asking ----------------------------------------------------------------------

    def row(self, statement: str, args: Sequence[object] = ()) -> Any:
        """Return the first row of *statement*, or None."""
        try:
            return self._cx.execute(statement, args).fetchone()
        except FAILURES as error:
            raise self._translated(error) from error

    def rows(self, statement: str, args: Sequence[object] = ()) -> list[Any]:
        """Return all rows of *statement*."""
        cursor = None
        try:
            cursor = self._cx.execute(statement, args)
            return _bounds.fetched(self, cursor)
        except FAILURES as error:
            if cursor is not None:
                cursor.close()  # a traceback would keep it, and it would keep a lock
            raise self._translated(error) from error

    def each(self, statement: str, args: Sequence[object] = ()) -> Iterator[Any]:
        """Yield the rows of *statement* one by one, within the lock of the caller."""
        try:
            for row in self._cx.execute(statement, args):  # noqa: UP028
                yield row  # `yield from` would close the cursor, maybe too late for it
        except FAILURES as error:
            raise self._translated(error) from error

    def interrupt(self, when: Callable[[], bool] | None, steps: int) -> None:
        """End a statement *when* that says so, asked after so many *steps*."""
        self._cx.set_progress_handler(when, steps)

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
        self.scopes.make_ready(self.scopes.depth)
        try:
            return self._cx.execute(statement, args)
        except FAILURES as error:
            raise self._translated(error) from error

    def write_last(self, statement: str, args: Sequence[object] = ()) -> sqlite3.Cursor:
        """Run the *statement* that is the last to change anything in its scope.

        Where it is the first too, it needs no savepoint: 3 us of an overwrite's 13.
        """
        self.scopes.make_ready(self.scopes.depth - 1)
        try:
            return self._cx.execute(statement, args)
        except FAILURES as error:
            raise self._translated(error) from error

    def write_many(self, statement: str, args: Iterator[Sequence[object]]) -> None:
        """Run a changing *statement* once for each of *args*."""
        self.scopes.make_ready(self.scopes.depth)
        try:
            self._cx.executemany(statement, args)
        except FAILURES as error:
            raise self._translated(error) from error

    def patch(self, table: str, column: str, rowid: int, at: int, data: Any) -> None:
        """Overwrite bytes inside one stored value, without reading the rest of it."""
        self.scopes.make_ready(self.scopes.depth)
        try:
            with self._cx.blobopen(table, column, rowid) as blob:
                blob.seek(at)
                blob.write(data)
        except FAILURES as error:
            raise self._translated(error) from error

    def snapshot(self) -> Snapshot:
        """Return a scope in which all reads see one state of the container."""
        return Snapshot(self)

    # --- transactions: called by the scopes alone ------------------------------------

    @property
    def transaction(self) -> Transaction:
        """The scope of a change."""
        return Transaction(self.scopes)

    @property
    def in_transaction(self) -> bool:
        """Whether SQLite has one open, which it may end by itself."""
        return not self._closed and self._cx.in_transaction

    def run(self, statement: str) -> None:
        """Run a *statement* that begins or ends a transaction."""
        self._run(statement)

    def changed(self) -> None:
        """Note that the container may be another now."""
        self._ended += 1
        if self.watched:
            contents.tick()

    def rolled_back(self) -> None:
        """Tell all who keep something of what is taken back now."""
        if self._lost:  # nobody can ask it
            return
        for listener in self.after_rollback:
            listener()

    @contextmanager
    def alone(self, what: str) -> Iterator[None]:
        """Return the scope of *what* SQLite does by itself, outside a transaction."""
        with self.lock:
            self.scopes.require_none(what)
            yield
            self.changed()

    def settle_log(self) -> None:
        """Write all of the log back, and empty it unless somebody reads it."""
        if self.location != MEMORY:
            self._run(_sql.EMPTY_LOG).fetchall()

    def write_anew(self) -> None:
        """Write the container anew, without what it does not need."""
        self._run(_sql.TEMP_IN_FILE)
        try:
            self._run(_sql.VACUUM)
        finally:
            self._run(_sql.TEMP_IN_MEMORY)

    def begin_read(self) -> None:
        """Begin a read transaction; memory, which is locked, needs none."""
        if self.location != MEMORY:
            self._run(_sql.BEGIN_READ)

    def end_read(self) -> None:
        if not self._cx.in_transaction:  # an I/O error has ended it
            return
        try:
            self._run(_sql.COMMIT)
        except BaseException:
            if self._cx.in_transaction:
                self._run(_sql.ROLLBACK)
            raise

    def _run(self, statement: str, args: Sequence[object] = ()) -> sqlite3.Cursor:
        try:
            return self._cx.execute(statement, args)
        except FAILURES as error:
            raise self._translated(error) from error

    def _translated(self, error: Exception) -> Exception:
        self._ended += 1  # SQLite may have taken back the transaction by itself
        return translated(error, self.location, self.options.timeout)
