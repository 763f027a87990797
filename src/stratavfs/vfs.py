"""The public class. Every method is: normalise, pass a gate, one verb of a lower floor.

The read gate is ``with self._layers.gate``, the write gate ``with
self._writing(path)``; no method calls another public one.
"""

from __future__ import annotations

import operator
import os
import time
import warnings
from functools import partial
from stat import S_ISDIR, S_ISLNK, S_ISREG
from typing import (
    IO,
    TYPE_CHECKING,
    Any,
    BinaryIO,
    Literal,
    Self,
    cast,
    final,
    overload,
)

from icontract import ensure, invariant

from stratavfs import (
    _check,
    _compare,
    _copies,
    _edits,
    _grafts,
    _modes,
    _patterns,
    _search,
    _upkeep,
    errors,
)
from stratavfs._arguments import (
    as_view,
    checked_attribute,
    checked_choice,
    checked_file,
    checked_location,
    checked_name,
    checked_owner,
    checked_priority,
    checked_ratio,
    checked_stream,
    checked_target,
    checked_timeout,
    checked_times,
    decoded,
    encoded,
)
from stratavfs._batch import Batch, Savepoint
from stratavfs._cached_tree import tree_of
from stratavfs._choices import PRESERVED, checked_choices
from stratavfs._content import Content
from stratavfs._contracts import (
    SLOW,
    bad_chunk_size,
    chunk_size_fits,
    is_chunk_size,
    layer_is_another,
    path_is_gone,
    path_is_not_root,
    source_has_moved,
    source_is_not_root,
    target_is_there,
)
from stratavfs._copyup import CopyUp
from stratavfs._files import made_whole
from stratavfs._handle import ChunkFile, wrap
from stratavfs._layers import LayerStack
from stratavfs._open_handles import OpenHandles
from stratavfs._options import MEMORY, Options, Recipe
from stratavfs._paths import normalize
from stratavfs._progress import Meter
from stratavfs._selection import selection
from stratavfs._sql import SYNCHRONOUS
from stratavfs._store import Store

if TYPE_CHECKING:
    import io
    import re
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from contextlib import AbstractContextManager
    from datetime import datetime

    from _typeshed import (
        OpenBinaryMode,
        OpenBinaryModeReading,
        OpenBinaryModeUpdating,
        OpenBinaryModeWriting,
        OpenTextMode,
        ReadableBuffer,
    )

    from stratavfs._openfile import WritableFile
    from stratavfs._paths import StrPath
    from stratavfs._selection import Patterns
    from stratavfs._trace import AccessTrace
    from stratavfs._tree import Tree
    from stratavfs.archives.protocol import ArchiveFormat
    from stratavfs.layers.protocol import LeastLayer
    from stratavfs.records import (
        Change,
        Conflict,
        Explanation,
        Finding,
        GrepMatch,
        Progress,
        Repair,
        StatResult,
        Stats,
        TransferReport,
        Usage,
        VPath,
    )

    OnConflict = Literal["error", "skip", "replace", "newer"]
    Preserve = str | Iterable[str]


@invariant(
    lambda self: not self._is_open() or _check.is_healthy(self._store),
    "the container keeps the rules of its format",
    enabled=SLOW,
)
@final
class VirtualFileSystem:
    """A file system in one SQLite file, or in memory.

    Paths are ``str`` or ``os.PathLike[str]``, absolute with ``/`` (a relative one
    starts at the root); errors are the ``OSError`` that the local disk would raise,
    naming the normalised path. Every call is one transaction. An instance may be
    shared by threads. Close it, or use it as a context manager.

    Args:
        db_path: File of the container, made if it is missing; ``":memory:"`` keeps
            everything in memory.
        chunk_size: Bytes in one chunk of a large file, 1 to 2**28. Chosen when a
            container is made; an existing one keeps its own.
        read_only: Open for reading only; the file must exist and is never changed.
        create_parents: Whether what makes a new name makes missing directories above
            it; False raises FileNotFoundError, as the local disk does.
        immutable: Promise that nobody changes the file while it is open. Implies
            *read_only*, takes no locks, and halves the price of a read.
        timeout: Seconds to wait for another process's transaction.
        exclusive: Let nobody else open the file meanwhile, not even to read, in this
            process or another. Small reads on the disk take a third less, and what
            was asked before is answered from memory.
        synchronous: What a commit survives: ``"normal"`` a killed process, ``"full"`` a
            power cut too, ``"off"`` neither a crashed system nor a power cut.
        clock: Source of the time, nanoseconds since 1970 in UTC.

    Raises:
        FileNotFoundError: The file, or the directory for it, does not exist.
        PermissionError: It may not be opened so.
        ForeignDatabase: It is not one of ours; it is left as it is.
        SchemaTooNew: A newer version of the library made it.
        CorruptDatabase: It is damaged.
        InvalidArgument, InvalidType: An argument makes no sense.

    Example:
        >>> with VirtualFileSystem() as vfs:
        ...     vfs.write_text("/saves/slot1/name.txt", "Ada")
        ...     with vfs.open("/saves/slot1/log.txt", "a") as log:
        ...         print("level 1", file=log)
        ...     vfs.listdir("/saves/slot1")
        3
        ['log.txt', 'name.txt']
    """

    # --- opening and closing ---------------------------------------------------------

    @chunk_size_fits
    def __init__(
        self,
        db_path: StrPath = MEMORY,
        chunk_size: int = 65536,
        read_only: bool = False,
        *,
        create_parents: bool = True,
        immutable: bool = False,
        timeout: float = 5.0,
        synchronous: Literal["off", "normal", "full"] = "normal",
        clock: Callable[[], int] = time.time_ns,
        exclusive: bool = False,
    ) -> None:
        if not is_chunk_size(chunk_size):
            raise bad_chunk_size(chunk_size)
        if exclusive and (read_only or immutable):
            raise errors.exclusive_to_read()
        options = Options(
            chunk_size=chunk_size,
            read_only=read_only or immutable,
            immutable=immutable,
            timeout=checked_timeout(timeout),
            synchronous=checked_choice("synchronous", synchronous, SYNCHRONOUS),
            clock=clock,
            exclusive=exclusive,
        )
        store = Store(checked_location(db_path, "db_path"), options)
        self._set_up(store, create_parents=create_parents)

    def _set_up(self, store: Store, *, create_parents: bool) -> None:
        self._store = store
        self._lock = store.lock  # held for every question; the gates take it
        tree = tree_of(store)
        self._layers = LayerStack((store, tree, Content(store)))  # asks
        self._copy_up = CopyUp(self._layers)  # opens files, brings them up to change
        self._edits = _edits.Edits(  # changes
            self._layers, self._copy_up, create_parents=create_parents
        )
        self._copies = _copies.Copies(self._edits, self._layers, self._copy_up)
        self._grafts = _grafts.Grafts(self._layers, self._copy_up, self._edits)  # trees
        self._handles = OpenHandles()  # closed together with this
        self._clock = store.options.clock  # nanoseconds since 1970
        self._collect_orphans(tree)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle as what opens it: its path, its options and its underlays."""
        return _opened_again, (self._recipe(),)

    def _recipe(self) -> Recipe:
        if self.db_path == MEMORY:
            raise errors.not_picklable()
        self._store.require_open()
        parts = [
            (*where, layer._recipe() if isinstance(layer, VirtualFileSystem) else layer)  # noqa: SLF001
            for *where, layer in self._layers.stack.parts()
        ]
        options = self._store.options._replace(chunk_size=self.chunk_size)
        return Recipe(self._store.file, options, self._edits.create_parents, parts)

    def close(self) -> None:
        """Flush and close every open handle, then the container. Idempotent.

        Warns:
            ResourceWarning: for each handle that was still open.

        Raises:
            OSError: a handle could not be flushed; everything is closed all the same.
        """
        if self._store.closed:
            return
        try:
            if self._store.holds_batch:  # others may be waiting with a buffer's lock
                self._handles.drop({})
                self._store.leave_batch()
            left_open = self._handles.close()
        finally:
            try:
                self._layers.stack.say_closed()
                self._store.close()
            finally:
                self._layers.stack.close()
        for handle in left_open:  # last, so that a warning made an error stops nothing
            message = f"closed with its file system: {handle!r}"
            warnings.warn(message, ResourceWarning, stacklevel=2, source=handle)

    def __enter__(self) -> Self:
        self._store.require_open()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        # Handles outlive a forgotten file system; the last one lets go of the file.
        if self._is_open() and not self._handles:
            self._store.warn_unclosed(self)
            self._layers.stack.close()
            self._store.close()

    def __repr__(self) -> str:
        state = "closed" if self.closed else "read-only" if self.read_only else "open"
        return f"<VirtualFileSystem {self.db_path!r} {state}>"

    @property
    def db_path(self) -> str:
        """The file of the container, or ``":memory:"``."""
        return self._store.location

    @property
    def chunk_size(self) -> int:
        """Bytes in one chunk of a large file."""
        return self._store.chunk_size

    @property
    def read_only(self) -> bool:
        """Whether writing is refused."""
        return self._store.read_only

    @property
    def closed(self) -> bool:
        """Whether :meth:`close` was called."""
        return self._store.closed

    def flush(self) -> None:
        """Flush the buffers of every open handle into the container.

        Inside a batch those of this thread: the others wait for its end.
        """
        self._store.require_open()
        if self._store.holds_batch:
            self._handles.flush_mine()
        else:
            self._handles.flush()

    def sync(self) -> None:
        """Flush, and carry everything written so far to the disk.

        After it returns, a power cut loses nothing of it.

        Raises:
            OSError: (EINVAL) inside a batch, of which nothing is stored yet.
        """
        with self._lock:
            self._store.scopes.require_no_batch("sync()")
        self._handles.flush()
        self._store.sync()

    # --- upkeep ----------------------------------------------------------------------

    def check(self, deep: bool = False) -> list[Finding]:
        """Return every violation of the format's rules; an empty list is health.

        With *deep*, SQLite looks at each page and each index too, which takes as long
        as reading the whole file. Underlays have checks of their own.

        >>> VirtualFileSystem().check(deep=True)
        []
        """
        return _check.check(self._store, deep=deep)

    def repair(self) -> list[Repair]:
        """Mend what breaks the format's rules; return what was done, [] for nothing.

        No data is invented, and none thrown away: what has lost its place goes to
        ``/lost+found``. All is done in one transaction; afterwards :meth:`check` finds
        nothing. Pages that SQLite cannot read it cannot mend either.

        Raises:
            CorruptDatabase: SQLite cannot read what is to be mended: restore a backup,
                or save what there is by ``sqlite3 FILE .recover``.
            ReadOnlyError: on a read-only instance.

        >>> VirtualFileSystem().repair()
        []
        """
        from stratavfs import _repair  # noqa: PLC0415 - most never need it

        with self._writing(self.db_path):
            return _repair.repair(*self._layers.rooms, self._clock())

    def backup(
        self,
        target: StrPath,
        progress: Callable[[Progress], object] | None = None,
    ) -> None:
        """Copy the container, as it is at this moment, to the new file *target*.

        Others go on reading and writing meanwhile. The copy appears under its name when
        it is complete and on the disk. It holds the local layer; for the merged view
        see :meth:`flatten`. To restore one, put it in the container's place while
        nobody has that open.

        Args:
            target: A path of the host, where nothing may be.
            progress: Called now and then with a ``Progress`` of pages and bytes; what
                it raises stops the backup, and no file is left.

        Raises:
            FileExistsError: there is something at *target*.
            OSError: (EINVAL) inside a batch; or the copy cannot be written.

        >>> import pathlib, tempfile
        >>> vfs = VirtualFileSystem()
        >>> vfs.touch("/a")
        >>> vfs.backup(pathlib.Path(tempfile.mkdtemp(), "copy.db"))
        """
        self._require_settled()
        _upkeep.backup(self._store, checked_file(target, "target"), progress)

    def compact(self) -> int:
        """Give the room of what was removed back to the disk; return the bytes.

        The container is written anew, which takes as much room again meanwhile, and the
        log is emptied unless somebody reads from it.

        Raises:
            OSError: (EINVAL) inside a batch; (EBUSY) others are writing.
        """
        self._require_writable(self.db_path)
        return _upkeep.compact(self._store)

    def stats(self) -> Stats:
        """Return how much of everything is in the container, and what it takes.

        It counts row by row, so it takes longer in a larger one. Underlays have stats
        of their own.

        >>> vfs = VirtualFileSystem()
        >>> vfs.write_text("/a", "hello")
        5
        >>> found = vfs.stats()
        >>> found.files, found.directories, found.logical_bytes, found.free_bytes
        (1, 1, 5, 0)
        """
        self._store.require_open()
        return _upkeep.stats(self._store)

    def fork(self) -> VirtualFileSystem:
        """Return an independent copy in memory, over the same underlays.

        What is done to one is not seen in the other. For tests: fill one file system,
        give each test a fork of it; 8 MB take a millisecond or some.

        Raises:
            OSError: (EINVAL) inside a batch.

        >>> vfs = VirtualFileSystem()
        >>> vfs.touch("/a")
        >>> with vfs.fork() as forked:
        ...     forked.rename("/a", "/b")
        ...     vfs.listdir("/"), forked.listdir("/")
        (['a'], ['b'])
        """
        self._require_settled()
        options = self._store.options._replace(
            read_only=False, immutable=False, exclusive=False
        )
        forked = object.__new__(VirtualFileSystem)
        store = Store(MEMORY, options, self._store)
        forked._set_up(store, create_parents=self._edits.create_parents)
        forked._layers.stack.share(self._layers.stack)
        if self._store.closed:  # meanwhile, and its layers with it
            forked.close()
            raise errors.closed()
        return forked

    # --- whole files -----------------------------------------------------------------

    def read_bytes(self, path: StrPath) -> bytes:
        """Return all bytes of the file at *path*.

        Raises:
            FileNotFoundError, NotADirectoryError, IsADirectoryError: as ``open()``.
        """
        path = normalize(path)
        return self._layers.read(path)

    def read_text(
        self,
        path: StrPath,
        encoding: str | None = "utf-8",
        errors: str | None = None,
        newline: str | None = None,
    ) -> str:
        """Return the text of the file at *path*, newlines as ``open()`` reads them."""
        path = normalize(path)
        data = self._layers.read(path)
        return decoded(data, encoding, errors, newline)

    @ensure(
        lambda self, path, content, result: (
            self.read_bytes(path) == bytes(content) and result == len(bytes(content))
        ),
        "what is written is read back",
        enabled=SLOW,
    )
    def write_bytes(self, path: StrPath, content: ReadableBuffer) -> int:
        """Make *content* all the content of the file at *path*; return its bytes.

        The file is made if it is missing. A reader sees the old content or the new.

        Raises:
            IsADirectoryError, NotADirectoryError: *path* is or goes through the wrong
                kind.
            InvalidType: *content* is no bytes-like object.
        """
        path = normalize(path)
        data = as_view(content)
        with self._writing(path):
            self._edits.write_file(path, data, self._clock())
        return len(data)

    def write_text(
        self,
        path: StrPath,
        content: str,
        encoding: str | None = "utf-8",
        errors: str | None = None,
        newline: str | None = None,
    ) -> int:
        """Make *content* all the text of the file at *path*; return its characters.

        Newlines are written as ``open()`` writes them: as they are on Linux and macOS,
        as CR LF on Windows unless *newline* says otherwise.
        """
        path = normalize(path)
        data = memoryview(encoded(content, encoding, errors, newline))
        with self._writing(path):
            self._edits.write_file(path, data, self._clock())
        return len(content)

    def copy(self, src: StrPath, dst: StrPath, *, follow_symlinks: bool = True) -> str:
        """Copy the file *src* with its permission bits; return the path of the copy.

        *dst* may be a directory to copy into. An existing file is overwritten.

        Raises:
            IsADirectoryError: *src* is a directory; see :meth:`copytree`.
            shutil.SameFileError: both are one file.
        """
        src, dst = normalize(src), normalize(dst)
        with self._writing(dst):
            return self._copies.copy(
                src, dst, self._clock(), metadata=False, follow=follow_symlinks
            )

    def copy2(self, src: StrPath, dst: StrPath, *, follow_symlinks: bool = True) -> str:
        """Copy as :meth:`copy` does, with times and extended attributes too."""
        src, dst = normalize(src), normalize(dst)
        with self._writing(dst):
            return self._copies.copy(
                src, dst, self._clock(), metadata=True, follow=follow_symlinks
            )

    def touch(self, path: StrPath, mode: int = 0o644, exist_ok: bool = True) -> None:
        """Make an empty file at *path*, or set the times of what is there to now."""
        path, mode = normalize(path), operator.index(mode)
        with self._writing(path):
            self._edits.touch(path, mode, self._clock(), exist_ok=exist_ok)

    def truncate(self, path: StrPath, length: int) -> None:
        """Cut the file at *path* to *length* bytes, or let it end in zeros."""
        path, length = normalize(path), operator.index(length)
        with self._writing(path):
            self._edits.truncate(path, length, self._clock())

    def remove(self, path: StrPath) -> None:
        """Remove the file or symbolic link at *path*; open handles keep it alive.

        Raises:
            FileNotFoundError, NotADirectoryError, IsADirectoryError: as ``os.remove``.
        """
        path = normalize(path)
        with self._writing(path):
            self._edits.remove(path, self._clock())

    unlink = remove

    # --- handles ---------------------------------------------------------------------

    @overload
    def open(
        self,
        path: StrPath,
        mode: OpenTextMode = "r",
        buffering: int = -1,
        encoding: str | None = None,
        errors: str | None = None,
        newline: str | None = None,
    ) -> io.TextIOWrapper: ...
    @overload
    def open(
        self,
        path: StrPath,
        mode: OpenBinaryMode,
        buffering: Literal[0],
        encoding: None = None,
        errors: None = None,
        newline: None = None,
    ) -> ChunkFile: ...
    @overload
    def open(
        self,
        path: StrPath,
        mode: OpenBinaryModeUpdating,
        buffering: Literal[-1, 1] = -1,
        encoding: None = None,
        errors: None = None,
        newline: None = None,
    ) -> io.BufferedRandom: ...
    @overload
    def open(
        self,
        path: StrPath,
        mode: OpenBinaryModeWriting,
        buffering: Literal[-1, 1] = -1,
        encoding: None = None,
        errors: None = None,
        newline: None = None,
    ) -> io.BufferedWriter: ...
    @overload
    def open(
        self,
        path: StrPath,
        mode: OpenBinaryModeReading,
        buffering: Literal[-1, 1] = -1,
        encoding: None = None,
        errors: None = None,
        newline: None = None,
    ) -> io.BufferedReader: ...
    @overload
    def open(
        self,
        path: StrPath,
        mode: OpenBinaryMode,
        buffering: int = -1,
        encoding: None = None,
        errors: None = None,
        newline: None = None,
    ) -> BinaryIO: ...
    @overload
    def open(
        self,
        path: StrPath,
        mode: str,
        buffering: int = -1,
        encoding: str | None = None,
        errors: str | None = None,
        newline: str | None = None,
    ) -> IO[Any]: ...
    def open(
        self,
        path: StrPath,
        mode: str = "r",
        buffering: int = -1,
        encoding: str | None = None,
        errors: str | None = None,
        newline: str | None = None,
    ) -> Any:
        r"""Open the file at *path* as the builtin ``open`` does one of the disk.

        Text is UTF-8 unless *encoding* says otherwise. The default buffer is one chunk;
        ``buffering=0`` gives the raw file. A write reaches the container with each
        flush, in a transaction of its own.

        Raises:
            FileNotFoundError, FileExistsError, IsADirectoryError, NotADirectoryError:
                as the builtin.
            ReadOnlyError: writing, on a read-only instance.
            InvalidArgument, InvalidType: *mode* or an argument makes no sense.

        >>> vfs = VirtualFileSystem()
        >>> with vfs.open("/a.bin", "wb") as f:
        ...     f.seek(10), f.write(b"end")
        (10, 3)
        >>> vfs.read_bytes("/a.bin")
        b'\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00end'
        """
        path, how = normalize(path), _modes.parse(mode)
        _modes.check_arguments(how, buffering, encoding, errors, newline)
        return self._opened(path, mode, how, buffering, encoding, errors, newline)

    # --- asking ----------------------------------------------------------------------

    def exists(self, path: StrPath) -> bool:
        """Tell whether *path* leads to anything; False for a broken symbolic link."""
        return bool(self._type_of(path))

    def lexists(self, path: StrPath) -> bool:
        """Tell whether there is anything at *path*, be it a broken symbolic link."""
        return bool(self._type_of(path, follow=False))

    def isfile(self, path: StrPath) -> bool:
        """Tell whether *path* leads to a file."""
        return S_ISREG(self._type_of(path))

    def isdir(self, path: StrPath) -> bool:
        """Tell whether *path* leads to a directory."""
        return S_ISDIR(self._type_of(path))

    def islink(self, path: StrPath) -> bool:
        """Tell whether *path* is a symbolic link."""
        return S_ISLNK(self._type_of(path, follow=False))

    def stat(self, path: StrPath, *, follow_symlinks: bool = True) -> StatResult:
        """Return what is known of what *path* leads to.

        Raises:
            FileNotFoundError, NotADirectoryError: as ``os.stat``.
        """
        path = normalize(path)
        return self._layers.stat(path, follow=follow_symlinks)

    def lstat(self, path: StrPath) -> StatResult:
        """Return what is known of *path* itself, be it a symbolic link."""
        path = normalize(path)
        return self._layers.stat(path, follow=False)

    def getsize(self, path: StrPath) -> int:
        """Return the size in bytes of what *path* leads to."""
        path = normalize(path)
        return self._layers.stat(path).st_size

    def samefile(self, path1: StrPath, path2: StrPath) -> bool:
        """Tell whether both paths lead to one file or directory."""
        path1, path2 = normalize(path1), normalize(path2)
        with self._layers.look:
            first, second = self._layers.stat(path1), self._layers.stat(path2)
        return os.path.samestat(first, second)  # type: ignore[arg-type]  # same fields

    # --- links and attributes --------------------------------------------------------

    def symlink(
        self,
        src: StrPath,
        dst: StrPath,
        target_is_directory: bool = False,  # noqa: ARG002 - os.symlink has it
    ) -> None:
        """Make *dst* a symbolic link to *src*, which need not exist.

        *src* is kept as it is; a relative one is taken from the directory of *dst*, and
        no link ever leads out of the container. *target_is_directory* is ignored, as it
        is on POSIX.

        Raises:
            FileExistsError: there is something at *dst*.
        """
        target, dst = checked_target(src), normalize(dst)
        with errors.both_named(target, dst), self._writing(dst):
            self._edits.symlink(target, dst, self._clock())

    def readlink(self, path: StrPath) -> str:
        """Return the target of the symbolic link at *path*.

        Raises:
            OSError: (EINVAL) it is no symbolic link.
        """
        path = normalize(path)
        with self._layers.gate:
            inode = self._layers.locate(path, follow=False).require()
        if inode.target is None:
            raise errors.not_a_link(path)
        return inode.target

    def link(self, src: StrPath, dst: StrPath, *, follow_symlinks: bool = True) -> None:
        """Give the file *src* the second name *dst* (a hard link).

        Raises:
            FileExistsError: there is something at *dst*.
            PermissionError: *src* is a directory.
        """
        src, dst = normalize(src), normalize(dst)
        with errors.both_named(src, dst), self._writing(dst):
            self._edits.link(src, dst, self._clock(), follow=follow_symlinks)

    def chmod(self, path: StrPath, mode: int, *, follow_symlinks: bool = True) -> None:
        """Set the permission bits, which are stored and not enforced."""
        path, mode = normalize(path), operator.index(mode)
        with self._writing(path):
            self._edits.set_mode(path, mode, self._clock(), follow=follow_symlinks)

    def chown(
        self,
        path: StrPath,
        uid: int | str = -1,
        gid: int | str = -1,
        *,
        follow_symlinks: bool = True,
    ) -> None:
        """Set owner and group, each by number or by name; -1 leaves it as it is.

        Both are stored and not enforced. A new file has uid 0, gid 0 and no names, so
        that a container tells nothing about the machine it was made on.
        """
        path = normalize(path)
        owner, group = checked_owner("uid", uid), checked_owner("gid", gid)
        with self._writing(path):
            self._edits.set_owner(
                path, owner, group, self._clock(), follow=follow_symlinks
            )

    def utime(
        self,
        path: StrPath,
        times: tuple[float, float] | None = None,
        *,
        ns: tuple[int, int] | None = None,
        follow_symlinks: bool = True,
    ) -> None:
        """Set the times of access and modification: *times* in seconds, or *ns*.

        With neither, both are set to now.
        """
        path, now = normalize(path), self._clock()
        moments = checked_times(times, ns) or (now, now)
        with self._writing(path):
            self._edits.set_times(path, moments, now, follow=follow_symlinks)

    def getxattr(
        self, path: StrPath, attribute: str, *, follow_symlinks: bool = True
    ) -> bytes:
        """Return the extended attribute *attribute* of *path*.

        Raises:
            OSError: (ENODATA) there is none of that name.
        """
        path, attribute = normalize(path), checked_attribute(attribute)
        with self._layers.look:
            entry = self._layers.locate(path, follow=follow_symlinks)
            found = self._layers.xattrs(entry)
        if attribute not in found:
            raise errors.no_attribute(path)
        return found[attribute]

    def setxattr(
        self,
        path: StrPath,
        attribute: str,
        value: ReadableBuffer,
        flags: int = 0,
        *,
        follow_symlinks: bool = True,
    ) -> None:
        """Set an extended attribute; any non-empty name will do.

        *flags* is 0, or ``os.XATTR_CREATE`` (1: it must not exist yet), or
        ``os.XATTR_REPLACE`` (2: it must exist).

        Raises:
            FileExistsError, OSError: (ENODATA) as *flags* demand.
        """
        path, attribute = normalize(path), checked_attribute(attribute)
        if flags not in _MUST_EXIST:
            message = f"flags should be 0, 1 (create) or 2 (replace), not {flags!r}"
            raise errors.InvalidArgument(message)
        data = bytes(as_view(value))
        with self._writing(path):
            self._edits.set_xattr(
                path,
                attribute,
                data,
                self._clock(),
                must_exist=_MUST_EXIST[flags],
                follow=follow_symlinks,
            )

    def listxattr(
        self, path: StrPath = "/", *, follow_symlinks: bool = True
    ) -> list[str]:
        """Return the names of the extended attributes of *path*, sorted."""
        path = normalize(path)
        with self._layers.look:
            entry = self._layers.locate(path, follow=follow_symlinks)
            return sorted(self._layers.xattrs(entry))

    def removexattr(
        self, path: StrPath, attribute: str, *, follow_symlinks: bool = True
    ) -> None:
        """Remove an extended attribute.

        Raises:
            OSError: (ENODATA) there is none of that name.
        """
        path, attribute = normalize(path), checked_attribute(attribute)
        with self._writing(path):
            self._edits.remove_xattr(
                path, attribute, self._clock(), follow=follow_symlinks
            )

    def get_metadata(
        self, path: StrPath, *, follow_symlinks: bool = True
    ) -> dict[str, Any]:
        """Return what :meth:`set_metadata` has set of *path*, ``{}`` if nothing."""
        from stratavfs import _metadata  # noqa: PLC0415 - it loads json

        path = normalize(path)
        with self._layers.look:
            entry = self._layers.locate(path, follow=follow_symlinks)
            return _metadata.decoded(self._layers.xattrs(entry), path)

    def set_metadata(
        self,
        path: StrPath,
        mapping: Mapping[str, Any],
        *,
        follow_symlinks: bool = True,
    ) -> None:
        """Let *mapping*, and nothing else, be what an application knows of *path*.

        Each key is kept as JSON, in the extended attribute ``user.metadata.KEY``.

        Raises:
            InvalidArgument, InvalidType: a key is no text, or a value is not JSON.

        >>> vfs = VirtualFileSystem()
        >>> vfs.touch("/sword.png")
        >>> vfs.set_metadata("/sword.png", {"author": "Ada", "tags": ["item"]})
        >>> vfs.get_metadata("/sword.png")
        {'author': 'Ada', 'tags': ['item']}
        >>> list(vfs.find(metadata={"author": "Ada"}))
        ['/sword.png']
        """
        from stratavfs import _metadata  # noqa: PLC0415

        path, values = normalize(path), _metadata.encoded(mapping)
        with self._writing(path):
            self._edits.set_xattrs(
                path, _metadata.PREFIX, values, self._clock(), follow=follow_symlinks
            )

    # --- directories -----------------------------------------------------------------

    def mkdir(
        self,
        path: StrPath,
        parents: bool = False,
        exist_ok: bool = False,
        *,
        mode: int = 0o755,
    ) -> None:
        """Make a directory at *path*, as ``pathlib.Path.mkdir`` does.

        Raises:
            FileExistsError: there is something at *path*; with *exist_ok*, something
                else than a directory.
            FileNotFoundError: its parent does not exist, without *parents*.
        """
        path, mode = normalize(path), operator.index(mode)
        with self._writing(path):
            self._edits.make_directory(
                path, mode, self._clock(), parents=parents, exist_ok=exist_ok
            )

    def makedirs(
        self, path: StrPath, exist_ok: bool = False, *, mode: int = 0o755
    ) -> None:
        """Make a directory at *path* with all that are missing above it."""
        path, mode = normalize(path), operator.index(mode)
        with self._writing(path):
            self._edits.make_directory(
                path, mode, self._clock(), parents=True, exist_ok=exist_ok
            )

    def listdir(self, path: StrPath = "/") -> list[str]:
        """Return the names in the directory at *path*, in code point order.

        Raises:
            FileNotFoundError, NotADirectoryError: as ``os.listdir``.
        """
        path = normalize(path)
        with self._layers.gate:
            return self._layers.names(path)

    def scandir(self, path: StrPath = "/") -> _search.ScandirIterator:
        """Return an iterator of ``DirEntry`` for the directory at *path*.

        One statement brings names, kinds and all that ``stat`` knows.
        """
        path = normalize(path)
        with self._layers.look:
            found = self._layers.children(path)
        stat_of, follow = self._layers.stat_of, self._follow
        return _search.ScandirIterator(
            _search.DirEntry(path, name, stat_of(inode, member), follow)
            for name, inode, member in found
        )

    @path_is_not_root
    @path_is_gone
    def rmdir(self, path: StrPath) -> None:
        """Remove the empty directory at *path*.

        Raises:
            NotADirectoryError: it is a file or a symbolic link.
            OSError: (ENOTEMPTY) there is something in it.
            RootRefused: it is the root.
        """
        path = normalize(path)
        with self._writing(path):
            self._edits.remove_directory(path, self._clock())

    @path_is_not_root
    @path_is_gone
    def rmtree(self, path: StrPath) -> None:
        """Remove the directory at *path* and everything below it, at once.

        Symbolic links in it are removed, not followed.

        Raises:
            NotADirectoryError: it is a file or a symbolic link.
            RootRefused: it is the root.
        """
        path = normalize(path)
        with self._writing(path):
            self._edits.remove_tree(path, self._clock())

    def copytree(
        self,
        src: StrPath,
        dst: StrPath,
        *,
        symlinks: bool = False,
        ignore: Callable[[str, list[str]], Iterable[str]] | None = None,
        dirs_exist_ok: bool = False,
        progress: Callable[[Progress], object] | None = None,
    ) -> str:
        """Copy the directory *src* with everything below it to *dst*; return *dst*.

        The arguments are those of ``shutil.copytree``; all is copied or nothing.
        *progress* is called now and then with a ``Progress``.

        Raises:
            FileExistsError: *dst* exists, without *dirs_exist_ok*.
            OSError: (EINVAL) *dst* lies inside *src*.
        """
        src, dst, meter = normalize(src), normalize(dst), Meter(progress)
        with self._writing(dst):
            self._copies.copy_tree(
                src,
                dst,
                self._clock(),
                symlinks=symlinks,
                ignore=ignore,
                dirs_exist_ok=dirs_exist_ok,
                meter=meter,
            )
        return dst

    # --- moving ----------------------------------------------------------------------

    @source_is_not_root
    @target_is_there
    @source_has_moved
    def rename(self, src: StrPath, dst: StrPath) -> None:
        """Move *src* to *dst*, which must not exist. Open handles follow.

        Raises:
            FileNotFoundError: *src* does not exist.
            FileExistsError: *dst* exists; see :meth:`replace`.
            OSError: (EINVAL) *dst* lies inside *src*.
        """
        src, dst = normalize(src), normalize(dst)
        with errors.both_named(src, dst), self._writing(src):
            self._edits.rename(src, dst, self._clock())

    @source_is_not_root
    @target_is_there
    def replace(self, src: StrPath, dst: StrPath) -> None:
        """Move *src* to *dst*, replacing a file or an empty directory there at once.

        Another reader sees the old tree or the new one. As with ``os.replace``, nothing
        happens where both are names of one file.

        Raises:
            FileNotFoundError: *src* does not exist.
            IsADirectoryError, NotADirectoryError: one is a directory, the other is not.
            OSError: (ENOTEMPTY) the directory at *dst* is not empty; (EINVAL) *dst*
                lies inside *src*.
        """
        src, dst = normalize(src), normalize(dst)
        with errors.both_named(src, dst), self._writing(src):
            self._edits.replace(src, dst, self._clock())

    @source_is_not_root
    def move(self, src: StrPath, dst: StrPath) -> str:
        """Move *src* to *dst*, or into the directory *dst*; return where it went.

        Raises:
            FileNotFoundError: *src* does not exist.
            shutil.Error: there is something of that name in the directory *dst*, or
                a directory would go into itself.
        """
        src, dst = normalize(src), normalize(dst)
        with errors.both_named(src, dst), self._writing(src):
            return self._edits.move(src, dst, self._clock())

    # --- searching -------------------------------------------------------------------

    def walk(
        self,
        top: StrPath = "/",
        onerror: Callable[[OSError], object] | None = None,
        *,
        topdown: bool = True,
        followlinks: bool = False,
    ) -> Iterator[tuple[str, list[str], list[str]]]:
        """Yield (directory, names of directories, names of others) from *top* on.

        As ``os.walk`` does: with *topdown* the list of directories may be changed to
        prune the walk, and an error of listing goes to *onerror* or is passed over.
        """
        steps = _search.walk(
            self._layers,
            normalize(top),
            topdown=topdown,
            onerror=onerror,
            followlinks=followlinks,
        )
        return _search.locked(self._layers, steps)

    def glob(self, pattern: StrPath) -> list[str]:
        """Return the sorted paths that match *pattern*, by ``pathlib``'s rules.

        ``*`` and ``?`` stay in one segment, ``**`` as a segment crosses any number of
        directories, ``[a-z]`` and ``[!a]`` are sets; hidden names match too. A pattern
        with a slash at its end matches directories only.

        >>> vfs = VirtualFileSystem()
        >>> for path in ("/a.py", "/lib/b.py", "/lib/deep/c.py", "/lib/d.txt"):
        ...     vfs.touch(path)
        >>> vfs.glob("/lib/*.py"), vfs.glob("**/*.py")
        (['/lib/b.py'], ['/a.py', '/lib/b.py', '/lib/deep/c.py'])
        """
        parsed = _patterns.parse(pattern)
        with self._layers.look:
            return sorted(_search.glob(self._layers, parsed))

    def iglob(self, pattern: StrPath) -> Iterator[str]:
        """Yield the paths that match *pattern* as they are found, unsorted."""
        steps = _search.glob(self._layers, _patterns.parse(pattern))
        return _search.locked(self._layers, steps)

    def find(
        self,
        pattern: StrPath = "*",
        path: StrPath = "/",
        *,
        type: str | None = None,  # noqa: A002 - the word of find(1)
        name: str | None = None,
        min_size: int | None = None,
        max_size: int | None = None,
        newer: float | datetime | None = None,
        older: float | datetime | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> Iterator[str]:
        """Yield the paths below *path* that pass all tests, directories before theirs.

        Args:
            pattern: A glob of the name, at any depth; with a slash in it, of the path
                below *path*, where ``**`` crosses directories.
            path: Where to begin; it is left out itself.
            type: ``"f"`` or ``"file"``, ``"d"`` or ``"directory"``, ``"l"`` or
                ``"symlink"``. Links are not followed.
            name: One more glob of the name.
            min_size: Least size in bytes, of files.
            max_size: Largest size in bytes, of files.
            newer: Modified after this moment: seconds since 1970, or a datetime.
            older: Modified before this moment.
            metadata: What :meth:`get_metadata` has to have, key by key.

        Raises:
            InvalidArgument, InvalidType: a test makes no sense.

        >>> vfs = VirtualFileSystem()
        >>> for path in ("/a.py", "/lib/b.py", "/lib/c.txt"):
        ...     vfs.write_text(path, "x" * 10)
        10
        10
        10
        >>> list(vfs.find("*.py")), list(vfs.find(type="d"))
        (['/a.py', '/lib/b.py'], ['/lib'])
        """
        from stratavfs import _find  # noqa: PLC0415

        wanted = _find.criteria(
            pattern,
            type_=type,
            name=name,
            min_size=min_size,
            max_size=max_size,
            newer=newer,
            older=older,
            metadata=metadata,
        )
        self._store.require_open()
        return _find.find(self._layers, normalize(path), wanted)

    def grep(
        self,
        pattern: str | bytes | re.Pattern[Any],
        path: StrPath = "/",
        *,
        glob: Patterns = "**",
        ignore_case: bool = False,
        binary: bool = False,
    ) -> Iterator[GrepMatch]:
        r"""Yield (path, line number, line) of each line in which *pattern* is found.

        Files are read piece by piece, and what was found so far is there at once.

        Args:
            pattern: A regular expression, of ``bytes`` if *binary*.
            path: A directory, or a single file.
            glob: Which files below *path*, as ``include`` of :meth:`import_tree`.
            ignore_case: Take capitals and small letters for the same.
            binary: Look into files that are no text, too, and yield lines as bytes;
                else files with a NUL in their first 8 KiB are left out, and the others
                are read as UTF-8.

        Raises:
            InvalidArgument: *pattern* is no regular expression.
            FileNotFoundError: there is nothing at *path*.

        >>> vfs = VirtualFileSystem()
        >>> vfs.write_text("/notes.txt", "one\ntwo\nthree\n")
        14
        >>> for found in vfs.grep("^t"):
        ...     print(found.path, found.line_number, found.line)
        /notes.txt 2 two
        /notes.txt 3 three
        """
        from stratavfs import _grep  # noqa: PLC0415

        return _grep.grep(
            self._layers,
            normalize(path),
            pattern,
            glob=glob,
            ignore_case=ignore_case,
            binary=binary,
        )

    def tree(self, path: StrPath = "/", *, max_depth: int | None = None) -> str:
        """Return the tree at *path* as text, as the command ``tree`` draws it.

        >>> vfs = VirtualFileSystem()
        >>> for path in ("/a/b.txt", "/a/c.txt"):
        ...     vfs.touch(path)
        >>> print(vfs.tree())
        /
        └── a
            ├── b.txt
            └── c.txt
        <BLANKLINE>
        1 directory, 2 files
        """
        from stratavfs import _usage  # noqa: PLC0415

        path = normalize(path)
        with self._layers.look:
            return _usage.tree(self._layers, path, max_depth)

    def disk_usage(self, path: StrPath = "/") -> Usage:
        """Return how many files, directories and bytes there are at and below *path*.

        >>> vfs = VirtualFileSystem()
        >>> vfs.write_text("/a/b.txt", "text")
        4
        >>> vfs.disk_usage("/a")
        Usage(files=1, directories=1, symlinks=0, bytes=4)
        """
        from stratavfs import _usage  # noqa: PLC0415

        path = normalize(path)
        with self._layers.look:
            return _usage.disk_usage(self._layers, path)

    # --- moving trees in and out -----------------------------------------------------

    def import_tree(
        self,
        host_dir: StrPath,
        dest: StrPath = "/",
        *,
        include: Patterns = None,
        exclude: Patterns = None,
        follow_symlinks: bool = False,
        on_conflict: OnConflict = "error",
        preserve: Preserve = PRESERVED,
        checksum: bool = False,
        errors: Literal["raise", "skip"] = "raise",
        atomic: bool = True,
        progress: Callable[[Progress], object] | None = None,
    ) -> TransferReport:
        """Copy what is in the directory *host_dir* of the host into *dest*.

        Directories merge. What is there already and the same, by size and time of
        modification, is passed over, so that the next import takes what has changed.

        Args:
            host_dir: A directory of the host.
            dest: A directory here, made if it is missing.
            include: A pattern, or several: only what matches one is taken. A pattern
                without a slash is of a name; one with a slash, of the path below
                *host_dir*, where ``**`` crosses directories; one with a slash at its
                end, of directories with all in them.
            exclude: Patterns of what is left out, a directory with all in it.
            follow_symlinks: Take what symbolic links lead to, instead of the links.
            on_conflict: What becomes of a file where another one is: ``"error"``;
                ``"skip"`` leaves it, ``"replace"`` replaces it, ``"newer"`` does so if
                the one of the host was modified later. A directory never gives way.
            preserve: What is kept beside the content, in the words of ``cp``:
                ``"mode"``, ``"timestamps"``, ``"ownership"``, ``"links"`` (several
                names of one file stay that), ``"xattr"`` (those in ``user.``); or
                ``"all"``.
            checksum: Compare the bytes of files of one size, whatever their times.
            errors: ``"skip"`` goes on where something cannot be read or conflicts, and
                lists it in the report.
            atomic: All of it in one transaction; False commits some 16 MiB at a time,
                which others can see, and keeps what was committed when it fails.
            progress: Called with a ``Progress``, ten times a second at most.

        Raises:
            FileNotFoundError, NotADirectoryError, PermissionError: of the host.
            FileExistsError, IsADirectoryError: a conflict.
            OSError: a name is no UTF-8 (EILSEQ), something is neither file, directory
                nor link (EINVAL), or is a container that is open (EBUSY).

        >>> import pathlib, tempfile
        >>> host = pathlib.Path(tempfile.mkdtemp())
        >>> _ = (host / "motd.txt").write_text("hello")
        >>> vfs = VirtualFileSystem()
        >>> report = vfs.import_tree(host, "/etc")
        >>> report.files, report.bytes, vfs.read_text("/etc/motd.txt")
        (1, 5, 'hello')
        >>> vfs.import_tree(host, "/etc").unchanged
        1
        """
        from stratavfs._arrivals import Arrivals  # noqa: PLC0415 - only when used
        from stratavfs._import_tree import TreeImport  # noqa: PLC0415

        top, path = checked_location(host_dir, "host_dir"), normalize(dest)
        choices = checked_choices(on_conflict, preserve, errors, checksum=checksum)
        self._require_writable(path)
        at = self._clock()
        arrivals = Arrivals(self._edits, self._layers, self._copy_up, choices, at)
        tree = TreeImport(
            top,
            arrivals,
            selection(include, exclude),
            Meter(progress),
            choices.preserve,
            follow=follow_symlinks,
        )
        gate = partial(self._writing, path)
        arrivals.run(tree.steps(path), gate, atomic=atomic)
        return arrivals.report()

    def export_tree(
        self,
        path: StrPath,
        host_dir: StrPath,
        *,
        include: Patterns = None,
        exclude: Patterns = None,
        follow_symlinks: bool = False,
        on_conflict: OnConflict = "error",
        preserve: Preserve = PRESERVED,
        checksum: bool = False,
        errors: Literal["raise", "skip"] = "raise",
        progress: Callable[[Progress], object] | None = None,
    ) -> TransferReport:
        """Copy what is in the directory *path* into the directory *host_dir*.

        The merged view, as it is at this moment. *host_dir* is made if it is missing;
        nothing is ever written outside it, whatever links are planted in it, and no
        file is ever half replaced. Directories that are there keep what is in them and
        get the attributes of those here; *host_dir* keeps its own. The arguments are
        those of :meth:`import_tree`. The bits that give the rights of an owner
        (set-uid, set-gid) are kept only together with ``"ownership"``. With
        *follow_symlinks* what several links lead to is written several times.

        Raises:
            FileNotFoundError, NotADirectoryError: there is no directory at *path*.
            FileExistsError: a conflict; or two names that the host takes for one.
            OSError: what the host says, with its path; what was written stays, and a
                note of the error says how much. (EOVERFLOW) the host cannot keep a
                time; leave ``"timestamps"`` out of *preserve*.

        >>> import pathlib, tempfile
        >>> vfs = VirtualFileSystem()
        >>> vfs.write_text("/site/index.html", "<p>hello")
        8
        >>> host = pathlib.Path(tempfile.mkdtemp())
        >>> vfs.export_tree("/site", host).files, (host / "index.html").read_text()
        (1, '<p>hello')
        """
        from stratavfs import _export_tree  # noqa: PLC0415

        path, top = normalize(path), checked_location(host_dir, "host_dir")
        choices = checked_choices(on_conflict, preserve, errors, checksum=checksum)
        chosen, meter = selection(include, exclude), Meter(progress)
        self._require_settled()
        with self._layers.look:
            return _export_tree.export_tree(
                self._layers, path, top, chosen, choices, meter, follow=follow_symlinks
            )

    def iter_export_tree(
        self,
        path: StrPath = "/",
        *,
        include: Patterns = None,
        exclude: Patterns = None,
        handles: bool = False,
    ) -> Iterator[tuple[str, Any]]:
        """Yield (path, bytes) of every file below *path*.

        With *handles* the second is a file object instead, open for reading until the
        next one is asked for. Symbolic links are left out.

        >>> vfs = VirtualFileSystem()
        >>> vfs.write_text("/a/b.txt", "text")
        4
        >>> dict(vfs.iter_export_tree("/a"))
        {'/a/b.txt': b'text'}
        """
        from stratavfs import _export_tree  # noqa: PLC0415

        steps = _export_tree.iter_files(
            self._layers,
            normalize(path),
            selection(include, exclude),
            handles=handles,
            opened=self._opened_to_read,
        )
        return _search.locked(self._layers, steps)

    def import_archive(
        self,
        source: StrPath | BinaryIO,
        dest: StrPath = "/",
        *,
        format: str | ArchiveFormat | None = None,  # noqa: A002 - shutil's word
        include: Patterns = None,
        exclude: Patterns = None,
        on_conflict: OnConflict = "error",
        preserve: Preserve = PRESERVED,
        checksum: bool = False,
        atomic: bool = True,
        max_ratio: float = 100,
        progress: Callable[[Progress], object] | None = None,
    ) -> TransferReport:
        """Unpack an archive into the directory *dest*.

        A member that is absolute, leads up (``..``), or is a device or a pipe is
        refused, and with it the archive. Nothing is written through a link. Of several
        members of one name the last wins.

        Args:
            source: A path of the host; or a stream of bytes, which may be a pipe and
                stays open.
            dest: A directory here, made if it is missing.
            format: ``"zip"``, ``"tar"``, ``"tar.gz"``, ``"tar.bz2"``, ``"tar.xz"``,
                ``"tar.zst"``, or an :class:`~stratavfs.archives.ArchiveFormat`; left
                out, the archive is recognised by its first bytes.
            include: As for :meth:`import_tree`, below the top of the archive.
            exclude: As for :meth:`import_tree`.
            on_conflict: As for :meth:`import_tree`.
            preserve: As for :meth:`import_tree`, as far as the archive tells it.
            checksum: As for :meth:`import_tree`.
            atomic: As for :meth:`import_tree`.
            max_ratio: How many times its own size an archive may unpack to, beyond
                256 MiB; ``math.inf`` takes all.
            progress: As for :meth:`import_tree`.

        Raises:
            BadArchive: it is none, is damaged or cut short, or has a member that is
                refused, which the message names.
            FileExistsError, IsADirectoryError: a conflict.
            InvalidArgument: there is no such format.

        >>> import io, zipfile
        >>> file = io.BytesIO()
        >>> with zipfile.ZipFile(file, "w") as archive:
        ...     archive.writestr("docs/motd", "hello")
        >>> vfs = VirtualFileSystem()
        >>> _ = file.seek(0)
        >>> vfs.import_archive(file, "/lib").files, vfs.read_text("/lib/docs/motd")
        (1, 'hello')
        """
        from stratavfs._arrivals import Arrivals  # noqa: PLC0415
        from stratavfs._import_archive import ArchiveImport  # noqa: PLC0415

        path = normalize(dest)
        choices = checked_choices(on_conflict, preserve, "raise", checksum=checksum)
        self._require_writable(path)
        at = self._clock()
        arrivals = Arrivals(self._edits, self._layers, self._copy_up, choices, at)
        archive = ArchiveImport(
            checked_stream(source, "source", "read"),
            arrivals,
            selection(include, exclude),
            Meter(progress),
            archive_format=format,
            max_ratio=checked_ratio(max_ratio),
        )
        gate = partial(self._writing, path)
        arrivals.run(archive.steps(path), gate, atomic=atomic)
        return arrivals.report()

    def export_archive(
        self,
        path: StrPath,
        target: StrPath | BinaryIO,
        format: str | ArchiveFormat | None = None,  # noqa: A002 - shutil's word
        *,
        include: Patterns = None,
        exclude: Patterns = None,
        follow_symlinks: bool = False,
        preserve: Preserve = PRESERVED,
        progress: Callable[[Progress], object] | None = None,
    ) -> TransferReport:
        """Pack the directory *path*, as it is in the merged view, into an archive.

        The names in it are those below *path*; a file gives an archive of that alone.

        Args:
            path: What to pack.
            target: A path of the host, where nothing may be and an archive appears when
                it is complete; or a stream to write to, which may be a pipe and stays
                open.
            format: As for :meth:`import_archive`; left out, the end of the name of
                *target* tells.
            include: As for :meth:`import_tree`, below *path*.
            exclude: As for :meth:`import_tree`.
            follow_symlinks: Pack what symbolic links lead to, instead of the links.
            preserve: As for :meth:`import_tree`, as far as the format can.
            progress: As for :meth:`import_tree`.

        Raises:
            FileNotFoundError: there is nothing at *path*.
            FileExistsError: there is something at *target*.
            InvalidArgument: there is no such format.

        >>> import io, tarfile
        >>> vfs = VirtualFileSystem()
        >>> vfs.touch("/docs/motd")
        >>> file = io.BytesIO()
        >>> vfs.export_archive("/docs", file, "tar.gz").files
        1
        >>> _ = file.seek(0)
        >>> tarfile.open(fileobj=file).getnames()
        ['motd']
        """
        from stratavfs import _export_archive  # noqa: PLC0415

        path, to = normalize(path), checked_stream(target, "target", "write")
        kept = checked_choices("error", preserve, "raise", checksum=False).preserve
        chosen, meter = selection(include, exclude), Meter(progress)
        self._require_settled()
        with self._layers.look:
            return _export_archive.export_archive(
                self._layers,
                path,
                to,
                format,
                chosen,
                kept,
                meter,
                follow=follow_symlinks,
            )

    def export_bytesio(self, path: StrPath) -> io.BytesIO:
        """Return the bytes of the file at *path* as a stream in memory.

        >>> vfs = VirtualFileSystem()
        >>> vfs.write_bytes("/a", b"abc"), vfs.export_bytesio("/a").read()
        (3, b'abc')
        """
        import io  # noqa: PLC0415

        return io.BytesIO(self._layers.read(normalize(path)))

    def export_sqlar(
        self,
        target: StrPath,
        path: StrPath = "/",
        *,
        progress: Callable[[Progress], object] | None = None,
    ) -> TransferReport:
        """Pack the directory *path* into an SQLite archive, as ``sqlite3 -A`` reads it.

        Args:
            target: A path of the host, where nothing may be.
            path: What to pack.
            progress: As for :meth:`import_tree`.

        Raises:
            FileExistsError: there is something at *target*.
            OSError: (EFBIG) a file is larger than SQLite's values may be.

        https://sqlite.org/sqlar.html
        """
        from stratavfs import _sqlar  # noqa: PLC0415

        path, to = normalize(path), checked_file(target, "target")
        meter = Meter(progress)
        self._require_settled()
        with self._layers.look:
            return _sqlar.export_sqlar(self._layers, path, to, meter)

    # --- layers ----------------------------------------------------------------------

    @layer_is_another
    def add_underlay(
        self,
        layer: VirtualFileSystem | LeastLayer | StrPath,
        priority: int = 0,
        name: str | None = None,
        *,
        at: StrPath = "/",
    ) -> str:
        """Put the read-only *layer* below this file system; return its name.

        What this file system does not have is read from its underlays, the one with the
        highest *priority* first and equal ones as they were added. None is ever
        written: a file comes up into this container before it changes. The stack itself
        is kept nowhere and no batch takes a change of it back.

        Args:
            layer: Another file system with its own underlays, a ``DirectoryLayer``, a
                ``ZipLayer``, whatever has the protocol ``stratavfs.layers.Layer``; or a
                path of the host: a directory, a zip archive or a container, opened for
                reading only and closed together with this file system.
            priority: Higher hides lower; this file system itself is above all.
            name: What the layer is called; ``underlay_0``, ... if left out.
            at: Where the root of the layer appears.

        Raises:
            InvalidArgument: the name is taken, the layer is closed, is this file system
                or contains it.
            InvalidType: it is no layer.
            FileNotFoundError, CorruptDatabase, ForeignDatabase, OSError: the path leads
                to nothing, or to nothing that can be a layer.

        >>> base, vfs = VirtualFileSystem(), VirtualFileSystem()
        >>> base.write_text("/motd", "hello"), vfs.add_underlay(base)
        (5, 'underlay_0')
        >>> with vfs.open("/motd", "a") as f:
        ...     f.write(", world")
        7
        >>> vfs.read_text("/motd"), base.read_text("/motd")
        ('hello, world', 'hello')
        """
        at, priority = normalize(at), checked_priority(priority)
        with self._lock:
            self._store.require_open()
            stack = self._layers.stack
            name = stack.free_name() if name is None else checked_name(name)
            if isinstance(layer, VirtualFileSystem) and layer.closed:
                raise errors.layer_closed(name)
            self._put_below(layer, priority, name, at)
        return name

    def _put_below(
        self, layer: object, priority: int, name: str, at: VPath, *, owned: bool = False
    ) -> None:
        """Put *layer* into the stack; what is *owned* closes with it."""
        source, close = layer, None
        if isinstance(layer, VirtualFileSystem):
            source = layer._layers.stack  # noqa: SLF001 - of this class
            close = layer.close if owned else None
        self._layers.stack.add(name, priority, at, source, layer, close)

    def remove_underlay(self, name: str) -> bool:
        """Take the underlay *name* away; tell whether there was one.

        Open handles on its files go on reading. One that this file system has opened by
        its path is closed, as soon as no handle needs it.
        """
        with self._lock:
            self._store.require_open()
            return self._layers.stack.remove(name)

    def set_priority(self, name: str, priority: int) -> None:
        """Move the underlay *name* to its place among those of *priority*.

        Raises:
            InvalidArgument: there is no underlay of that name.
        """
        with self._lock:
            self._store.require_open()
            self._layers.stack.set_priority(name, checked_priority(priority))

    def list_layers(self) -> list[dict[str, object]]:
        """Return what is known of each layer, the local one first.

        >>> [layer] = VirtualFileSystem().list_layers()
        >>> layer["name"], layer["priority"], layer["db_path"], layer["writable"]
        ('local', inf, ':memory:', True)
        >>> layer["kind"], layer["at"]
        ('memory', '/')
        """
        self._store.require_open()
        return self._layers.stack.list_layers(writable=not self.read_only)

    def which_layer(self, path: StrPath) -> str | None:
        """Return the name of the layer that answers for *path*, None if none has it."""
        path = normalize(path)
        with self._layers.look:
            return _compare.which_layer(self._layers, path)

    def which_layer_detailed(self, path: StrPath) -> dict[str, object]:
        """Return which layers have *path*, hidden or not, and which one answers for it.

        >>> VirtualFileSystem().which_layer_detailed("/")["resolved_from"]
        'local'
        """
        path = normalize(path)
        with self._layers.look:
            winner = _compare.which_layer(self._layers, path)
            layers = [
                {"name": name, "has_file": has}
                for name, has in _compare.holders(self._layers, path)
            ]
        return {"path": path, "resolved_from": winner, "layers": layers}

    # --- looking into the layers -----------------------------------------------------

    def explain(self, path: StrPath) -> Explanation:
        """Return what each layer says of *path* and the rule that decides; printable.

        >>> base, vfs = VirtualFileSystem(), VirtualFileSystem()
        >>> base.write_text("/a", "text"), vfs.add_underlay(base, name="base")
        (4, 'base')
        >>> vfs.remove("/a")
        >>> print(vfs.explain("/a"))
        /a
          local  whiteout         hides the layers below
          base   file of 4 bytes  hidden by local
        => nothing is there
        """
        path = normalize(path)
        self._store.require_open()
        with self._layers.look:
            return _compare.explain(self._layers, path)

    def conflicts(self, path: StrPath = "/") -> list[Conflict]:
        """Return the paths at and below *path* whose content differs between layers.

        Each tells who wins, and who else has something of its own there that nothing
        has deleted. Equal bytes are no conflict, nor are directories that merge.
        """
        path = normalize(path)
        self._store.require_open()
        with self._layers.look:
            return sorted(_compare.conflicts(self._layers, path))

    def diff(self, path: StrPath = "/") -> list[Change]:
        """Return what this file system changes of its underlays at and below *path*.

        ``added``, ``modified`` (its bytes), ``deleted`` (a directory with all in it),
        ``type changed``, or ``metadata`` alone: permission bits, owner, attributes, a
        file's time of modification. What came up into the local layer and is as it was
        is no change. Asked for what lies below a directory that is gone, it says that
        this is deleted too.

        >>> base, vfs = VirtualFileSystem(), VirtualFileSystem()
        >>> base.write_text("/a", "a"), vfs.add_underlay(base)
        (1, 'underlay_0')
        >>> vfs.rename("/a", "/b")
        >>> print(*vfs.diff(), sep=", ")
        deleted /a, added /b
        """
        path = normalize(path)
        self._store.require_open()
        with self._layers.look:
            return sorted(_compare.changes(self._layers, path))

    def revert(self, path: StrPath) -> None:
        """Drop the local changes at and below *path*: the underlays show again.

        Without underlays that have it, what is at *path* is gone. ``revert("/")`` drops
        everything. Attributes of the directories above stay as they are.

        Raises:
            FileNotFoundError: there is nothing at *path* in any layer.
        """
        path = normalize(path)
        with self._writing(path):
            self._grafts.revert(path, self._clock())

    def flatten(
        self,
        target: VirtualFileSystem | StrPath,
        *,
        progress: Callable[[Progress], object] | None = None,
    ) -> None:
        """Write the merged view, all of it, to *target* as a single layer.

        Args:
            target: A path of the host, where a new container is made (under another
                name until it is complete); or a writable file system that is empty.
            progress: Called now and then with a ``Progress``.

        Raises:
            FileExistsError: there is something at the path.
            OSError: (ENOTEMPTY) the file system is not empty.
            InvalidArgument: *target* is this file system.
        """
        meter = Meter(progress)
        self._store.require_open()
        if isinstance(target, VirtualFileSystem):
            self._flatten_into(target, meter)
            return
        with (
            made_whole(checked_file(target, "target")) as part,
            VirtualFileSystem(part, self.chunk_size, clock=self._clock) as made,
        ):
            self._flatten_into(made, meter)

    def _flatten_into(self, target: VirtualFileSystem, meter: Meter) -> None:
        if target is self:
            raise errors.onto_itself()
        with target._writing(target.db_path), self._store.loan, self._store.snapshot():
            at = self._clock()
            target._grafts.flatten(self._layers, at, target.db_path, meter)

    def pack(
        self,
        target: StrPath,
        *,
        layer: str | None = None,
        order: Iterable[StrPath] | StrPath | None = None,
        page_size: int | None = None,
        progress: Callable[[Progress], object] | None = None,
    ) -> TransferReport:
        """Write the merged view to the new container *target*, made to be read.

        It has no log and no free room, files lie in the order in which they are read,
        and each of up to 64 KiB in one row: open it with ``immutable=True``. Times,
        owners, attributes, links and holes are kept. It appears under its name when it
        is complete and on the disk. Inside a batch, what the batch has made is in it.

        Args:
            target: A path of the host, where nothing may be.
            layer: Name of one layer, to pack that alone from its own root, with all
                that it hides in layers below it: a patch to be put over others.
            order: Paths of the files that are read first, as :meth:`access_trace` gives
                them, or a file of the host that such a trace was saved to. Where there
                is no file it is passed over; all others follow by their paths.
            page_size: Bytes of a page of SQLite's, a power of two from 512 to 65536;
                chosen by the sizes of the files if left out.
            progress: Called now and then with a ``Progress``; what it raises stops the
                pack, and no file is left.

        Raises:
            FileExistsError: there is something at *target*.
            OSError: the pack cannot be written; what is packed changed meanwhile.
            InvalidArgument, InvalidType: there is no such layer, or no such page.

        >>> import pathlib, tempfile
        >>> vfs = VirtualFileSystem()
        >>> vfs.write_text("/assets/motd", "hello")
        5
        >>> target = pathlib.Path(tempfile.mkdtemp(), "assets.db")
        >>> vfs.pack(target, order=["/assets/motd"]).files
        1
        >>> with VirtualFileSystem(target, immutable=True) as packed:
        ...     packed.read_text("/assets/motd")
        'hello'
        """
        from stratavfs._pack import pack  # noqa: PLC0415

        self._require_settled()
        return pack(self._layers, target, layer, order, page_size, progress)

    def access_trace(self) -> AbstractContextManager[AccessTrace]:
        """Return a context that yields a trace of the files that are read in it.

        The paths of what is read as a whole or opened, by whichever thread, in the
        order of the first time: a sequence for ``order=`` of :meth:`pack`, which can be
        saved. A path is noted as it was asked for, whichever layer has the file.
        Traces nest; each has all. While none is made, reading costs nothing more.

        >>> vfs = VirtualFileSystem()
        >>> vfs.write_text("/a", "x"), vfs.write_text("/b", "y")
        (1, 1)
        >>> with vfs.access_trace() as trace:
        ...     vfs.read_text("/b"), vfs.read_text("/a"), vfs.read_text("/b")
        ('y', 'x', 'y')
        >>> trace
        AccessTrace(['/b', '/a'])
        """
        from stratavfs._trace import Recording  # noqa: PLC0415

        self._store.require_open()
        return Recording(self)

    def apply_to(
        self,
        target: VirtualFileSystem,
        *,
        progress: Callable[[Progress], object] | None = None,
    ) -> None:
        """Make the local changes, deletions included, in *target*: all or nothing.

        Each file of the local layer replaces what *target* has at its path, each
        whiteout removes it; directories merge with directories. *target* may be one of
        the underlays: :meth:`revert` the changes afterwards, and they come from there.
        *progress* is called now and then with a ``Progress``.

        Raises:
            ReadOnlyError: *target* is read-only.
            InvalidArgument, InvalidType: it is this file system, or none.
        """
        meter = Meter(progress)
        self._store.require_open()
        if not isinstance(target, VirtualFileSystem):
            raise errors.not_a_file_system(target)
        if target is self:
            raise errors.onto_itself()
        with target._writing(target.db_path), self._store.loan, self._store.snapshot():
            target._grafts.apply(self._layers, self._clock(), meter)

    # --- batches ---------------------------------------------------------------------

    def atomic_batch(self) -> Batch:
        """Return a context in which all calls are kept together, or none is.

        An exception that leaves it takes everything back, and so does ``rollback()`` of
        what it yields, without an exception. Batches nest: an inner one that fails
        takes back its own part. Other threads wait until it is left.

        What this thread's handles have buffered belongs to it from its begin to its
        end. Where it fails, they are back where they stood when it began, and a file
        that it had made is gone: its handle says ESTALE when it is used, flushed or
        closed, and hinders no later batch.

        Raises:
            ReadOnlyError: on a read-only instance.
            BatchLost: on leaving, when SQLite had to roll everything back meanwhile.

        >>> vfs = VirtualFileSystem()
        >>> try:
        ...     with vfs.atomic_batch():
        ...         vfs.touch("/a")
        ...         raise KeyError
        ... except KeyError:
        ...     vfs.listdir("/")
        []
        """
        self._require_writable(self.db_path)
        return Batch(self._store, self._handles)

    def savepoint(self) -> Savepoint:
        """Mark the state as it is, to go back to it any number of times.

        For tests: a file system in memory is filled once, and each test begins with it
        as it was. What happens meanwhile is in a transaction that stays open, which is
        why there is none of a container in a file: see :meth:`fork`.

        Raises:
            InvalidArgument: the container is a file.
            OSError: (EINVAL) inside a batch.

        >>> vfs = VirtualFileSystem()
        >>> vfs.touch("/a")
        >>> start = vfs.savepoint()
        >>> vfs.rename("/a", "/b")
        >>> start.reset()
        >>> vfs.listdir("/")
        ['a']
        """
        self._store.require_open()
        self._require_writable(self.db_path)
        if self.db_path != MEMORY:
            raise errors.savepoint_of_file(self.db_path)
        return Savepoint(self._store, self._handles)

    def _collect_orphans(self, tree: Tree) -> None:
        if self._store.read_only:
            return
        try:
            tree.collect_orphans()
        except BaseException:
            self._store.close()
            raise

    def _is_open(self) -> bool:
        """Tell whether it was made and not closed; one that failed has no clock."""
        return hasattr(self, "_clock") and not self._store.closed

    # --- gates -----------------------------------------------------------------------

    def _writing(self, path: str) -> AbstractContextManager[None]:
        """The write gate: refused when read-only, else one transaction or savepoint."""
        self._require_writable(path)
        return self._store.transaction

    def _require_settled(self) -> None:
        """Flush what this thread has buffered, for what is about to be copied."""
        self._store.require_open()
        self._handles.carry()

    def _require_writable(self, path: str) -> None:
        if self._store.read_only:
            self._store.require_open()
            raise errors.read_only(path)

    def _file_to_open(self, path: VPath, how: _modes.OpenMode) -> WritableFile:
        """Open the file; a transaction is begun only where one is needed."""
        if not how.writing:
            return self._layers.open_local(path) or self._copy_up.open_file(path)
        gate = self._writing(path)
        if not how.truncating and not how.creating:
            entry = self._layers.locate(path)
            if entry.inode is not None or not how.makes:
                return self._copy_up.open_file(path, writing=True)
        with gate:
            inode = self._edits.open_file(path, how, self._clock())
            return self._copy_up.open_local(inode)

    def _opened(
        self,
        path: VPath,
        mode: str,
        how: _modes.OpenMode,
        buffering: int = -1,
        *text: str | None,
    ) -> Any:
        """Return a handle on *path*; *text* is the rest of what ``open()`` takes."""
        with self._layers.gate:
            file = self._file_to_open(path, how)
            try:
                at = (file.size() or 0) if how.appending else 0
            except BaseException:
                file.close()
                raise
        forget = self._handles.discard
        raw = ChunkFile(self._store, file, how, path, self._clock, forget, at)
        size = self._store.chunk_size
        handle = wrap(raw, mode, how, buffering, *text, default_size=size)
        self._handles.add(raw, handle)
        return handle

    def _opened_to_read(self, path: VPath) -> BinaryIO:
        handle = self._opened(path, "rb", _modes.parse("rb"))
        return cast("BinaryIO", handle)

    def _type_of(self, path: StrPath, *, follow: bool = True) -> int:
        """Return the type bits of what *path* leads to, 0 if nothing."""
        try:
            path = normalize(path)
        except OSError:  # too long for anything to be there
            return 0
        return self._layers.type_of(path, follow=follow)

    def _follow(self, path: VPath) -> StatResult:
        return self._layers.stat(path)


def _opened_again(recipe: Recipe) -> VirtualFileSystem:
    """Return a file system that was pickled; it owns its underlays."""
    location, options, create_parents, underlays = recipe
    vfs = VirtualFileSystem(
        location, create_parents=create_parents, **options._asdict()
    )
    try:
        for name, priority, at, layer in underlays:
            owned = isinstance(layer, Recipe)
            below = _opened_again(layer) if owned else layer
            try:
                vfs._put_below(below, priority, name, at, owned=owned)  # noqa: SLF001
            except BaseException:
                if owned:
                    below.close()
                raise
    except BaseException:
        vfs.close()
        raise
    return vfs


# os.XATTR_CREATE and os.XATTR_REPLACE, which only Linux has names for.
_MUST_EXIST = {0: None, 1: False, 2: True}
