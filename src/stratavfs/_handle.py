"""Handles: the raw file objects under the standard buffers.

A handle holds the store and an open file, never a path or the file system: it follows
its file through renames, outlives its removal, and knows nothing of layers.
"""

from __future__ import annotations

import errno
import io
import operator
import os
import threading
import warnings
from contextlib import contextmanager, nullcontext
from threading import get_ident
from typing import IO, TYPE_CHECKING, Any, BinaryIO, Final, TypeVar

from stratavfs import errors
from stratavfs._content import check_size
from stratavfs._openfile import InodeFile

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from stratavfs._modes import OpenMode
    from stratavfs._openfile import WritableFile
    from stratavfs._store import Store
    from stratavfs.records import VPath

T = TypeVar("T")

_AT_RANDOM: Final = 8192
"""Bytes read at once after a seek: those that io's own buffers hold by default."""

_NO_TURN: Final = nullcontext()
_noting: Final = threading.Lock()  # two threads may use a handle first

_is_closed: Final[Callable[[io.RawIOBase], bool]] = io.RawIOBase.closed.__get__

# Linux has these, and io's buffers pass them through where os knows them.
_SEEK_DATA = getattr(os, "SEEK_DATA", 3)
_SEEK_HOLE = getattr(os, "SEEK_HOLE", 4)


if TYPE_CHECKING:  # io.FileIO is a BinaryIO to type checkers, so is this

    class _RawFile(io.RawIOBase, BinaryIO):
        pass

else:
    _RawFile = io.RawIOBase


class ChunkFile(_RawFile):
    """A file in a container as ``io.FileIO`` shows one of the disk."""

    name: str
    buffer_size = 0  # bytes in the buffer on it; 0: there is none
    _finalizing = False  # io sets it on what is deleted and not closed, and closes it

    def __init__(
        self,
        store: Store,
        file: WritableFile,
        how: OpenMode,
        name: VPath,
        clock: Callable[[], int],
        forget: Callable[[ChunkFile], None],
        at: int = 0,
    ) -> None:
        self._store = store
        self._file = file
        self._how = how
        self._clock = clock
        self._forget = forget  # called when it is closed
        self.name = name
        self._at = self._read_to = at  # where it is, and where reading has ended
        self._thread: int | None = get_ident()  # that uses it
        self._is_shared = self._is_deaf = self._is_lost = False
        self.opened_at = at  # last: it is whole

    @property
    def mode(self) -> str:
        """The mode as ``io.FileIO`` spells it."""
        return self._how.raw_name

    def __repr__(self) -> str:
        state = "[closed]" if self.closed else f"name={self.name!r} mode={self.mode!r}"
        return f"<stratavfs.ChunkFile {state}>"

    # --- what it can do --------------------------------------------------------------

    def readable(self) -> bool:
        self._require_open()
        return self._how.reading

    def writable(self) -> bool:
        self._require_open()
        return self._how.writing

    def seekable(self) -> bool:
        self._require_open()
        return True

    def fileno(self) -> int:
        self._require_open()
        raise io.UnsupportedOperation("fileno")  # noqa: EM101 - as io says it

    # --- reading ---------------------------------------------------------------------

    def readinto(self, buffer: Any) -> int:
        self._require("reading", self._how.reading)
        view = memoryview(buffer).cast("B")
        if not view:
            return 0
        if self._at != self._read_to and len(view) == self.buffer_size:
            # A buffer is filled after a seek: who wants little gets it in 9 us instead
            # of the 13 that a whole chunk takes; the next time it is filled to the end.
            view = view[:_AT_RANDOM]
        with self._turn():
            count = self._known(self._file.read_into(self._at, view))
        self._read_to = self._at = self._at + count
        return count

    def read(self, size: int | None = -1) -> bytes:
        if size is None:  # as FileIO takes it, and RawIOBase does not
            return self.readall()
        return super().read(size)

    def readall(self) -> bytes:
        if self.closed or not self._how.reading:
            self._require("reading", self._how.reading)
        try:
            with self._turn():
                data = self._known(self._file.read(self._at))
        except OSError as error:
            raise errors.naming(error, self.name) from error.__cause__
        self._read_to = self._at = self._at + len(data)
        return data

    # --- writing ---------------------------------------------------------------------

    def write(self, data: Any) -> int:
        self._require("writing", self._how.writing)
        view = memoryview(data)
        if not view.c_contiguous:
            message = "memoryview: underlying buffer is not C-contiguous"
            raise BufferError(message)
        if not view.nbytes or self._is_deaf:
            return view.nbytes
        view = view.cast("B")
        with self._turn(), self._store.transaction:
            # Appending goes to the end as it is now, whoever moved it.
            start = self._size() if self._how.appending else self._at
            end = start + len(view)
            check_size(end, self.name)
            at = self._clock()
            if not self._file.for_writing(at).write(start, view, at):
                raise errors.stale(self.name)
        self._at = end
        return len(view)

    def truncate(self, size: int | None = None) -> int:
        self._require("writing", self._how.writing)
        size = self._at if size is None else as_offset(size)
        check_size(size, self.name)
        with self._turn(), self._store.transaction:
            at = self._clock()
            if not self._file.for_writing(at).resize(size, at):
                raise errors.stale(self.name)
        return size

    # --- the position ----------------------------------------------------------------

    def tell(self) -> int:
        self._require_open()
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._require_open()
        offset, whence = as_offset(offset), operator.index(whence)
        if whence == os.SEEK_SET:  # nobody has to be asked
            at = offset
        else:
            with self._turn():
                at = self._target(offset, whence)
        check_size(at, self.name)
        self._at = at
        return at

    def _target(self, offset: int, whence: int) -> int:
        if whence == os.SEEK_CUR:
            return self._at + offset
        if whence == os.SEEK_END:
            return self._size() + offset
        if whence not in (_SEEK_DATA, _SEEK_HOLE):
            raise errors.bad_offset(self.name)
        found = None
        if offset >= 0 and self._size():  # a stale handle says so
            seek = self._file.next_data
            if whence == _SEEK_HOLE:
                seek = self._file.next_hole
            found = seek(offset)
        if found is None:
            raise errors.from_errno(errno.ENXIO, self.name)
        return found

    def _size(self) -> int:
        return self._at if self._is_deaf else self._known(self._file.size())

    # --- threads and batches ---------------------------------------------------------

    @property
    def is_writable(self) -> bool:
        """Whether it was opened for writing, be it closed or not."""
        return self._how.writing

    @property
    def is_mine(self) -> bool:
        """Whether this thread uses it, and no other does."""
        return self._thread == get_ident() and not self._is_shared

    @property
    def is_used(self) -> bool:
        """Whether a thread has used it since it was made."""
        return self._thread is not None

    @property
    def is_stale(self) -> bool:
        """Whether it is known that its file is gone for good."""
        return isinstance(self._file, InodeFile) and not self._file.alive

    def is_stale_after_failing(self) -> bool:
        """Tell whether its file is gone, what was written having just been refused.

        The buffer may have forgotten it; so closing says that it is lost.
        """
        self._is_lost = self.is_stale
        return self._is_lost

    def hand_out(self) -> None:
        """Note that it is made: whoever uses it next is its thread."""
        self._thread = None

    @property
    def closed(self) -> bool:
        """Whether it is closed; io's buffers ask before each of their verbs.

        So a buffer tells which thread uses it: a batch takes care of its own thread's.
        """
        if self._thread != get_ident() and not self._is_shared:
            self._note_thread(get_ident())
        return _is_closed(self)

    def _note_thread(self, me: int) -> None:
        with _noting:
            self._is_shared = self._thread not in (None, me)
            self._thread = me

    def _turn(self) -> AbstractContextManager[object]:
        """Return the scope of a call.

        It comes with the lock of a buffer held, for which a batch in another thread may
        be waiting; so where several threads use the handle, it waits for that batch no
        longer than the timeout.
        """
        return self._store.turn if self._is_shared else _NO_TURN

    @property
    def is_closed(self) -> bool:
        """Whether it is closed, asked by nobody who uses it."""
        return _is_closed(self)

    @contextmanager
    def deaf(self) -> Iterator[None]:
        """Within this scope what is written goes nowhere, and its end is here."""
        self._is_deaf = True
        try:
            yield
        finally:
            self._is_deaf = False

    # --- closing ---------------------------------------------------------------------

    def close(self) -> None:
        if self.closed:
            return
        if self._finalizing:
            self._dealloc_warn(self)
        try:
            super().close()
        finally:
            self._forget(self)
            self._file.close()
        if self._is_lost:
            raise errors.stale(self.name)

    def _dealloc_warn(self, source: object) -> None:
        """Warn that *source* was never closed; io's buffers call this too."""
        if hasattr(self, "opened_at") and not _is_closed(self):
            message = f"unclosed file {source!r}"
            warnings.warn(message, ResourceWarning, stacklevel=2, source=source)

    # --- refusals --------------------------------------------------------------------

    def _require_open(self) -> None:
        if self.closed:
            message = "I/O operation on closed file"
            raise ValueError(message)

    def _require(self, what: str, allowed: bool) -> None:
        self._require_open()
        if not allowed:
            message = f"file not open for {what}"
            raise io.UnsupportedOperation(message)

    def _known(self, found: T | None) -> T:
        """Return *found*; None: a rollback, or another process, took the file away."""
        if found is None:
            raise errors.stale(self.name)
        return found


def as_offset(value: int) -> int:
    """Return *value* as the C library takes an offset: a signed 64-bit integer.

    >>> as_offset(-1)
    -1
    """
    number = operator.index(value)
    if not -(1 << 63) <= number < 1 << 63:
        message = "Python int too large to convert to a file offset"
        raise OverflowError(message)
    return number


def wrap(
    raw: ChunkFile,
    mode: str,
    how: OpenMode,
    buffering: int,
    encoding: str | None = None,
    errors_: str | None = None,
    newline: str | None = None,
    *,
    default_size: int,
) -> IO[Any]:
    """Put the standard buffer, and for text the standard decoder, on *raw*."""
    if buffering == 0:
        return raw
    raw.buffer_size = size = buffering if buffering > 1 else default_size
    try:
        buffered: IO[Any] = buffer_for(how)(raw, size)
        if how.binary:
            return buffered
        text = io.TextIOWrapper(
            buffered,
            encoding or "utf-8",
            errors_,
            newline,
            line_buffering=buffering == 1,
        )
    except BaseException:
        raw.close()
        raise
    text.mode = mode  # type: ignore[misc]  # as the builtin sets it
    return text


def buffer_for(how: OpenMode) -> Callable[..., Any]:
    if how.reading and how.writing:
        return io.BufferedRandom
    return io.BufferedWriter if how.writing else io.BufferedReader
