"""The host as a target: directories that nothing leads out of.

What is made is named by the directory it is in, which stays open: whatever is planted
meanwhile in a path above, nothing is written anywhere else. No link is followed below
the top, and nothing is opened for writing that was there before.

Where the host cannot name things so (Windows) the paths are looked at first.
"""

from __future__ import annotations

import os
from contextlib import contextmanager, suppress
from errno import ENOTDIR
from stat import S_ISDIR, S_ISREG
from typing import TYPE_CHECKING, Final

from stratavfs import errors
from stratavfs._host import id_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stratavfs._host import FileId
    from stratavfs.records import Buffer

BY_DIRECTORY: bool = {
    os.open, os.mkdir, os.stat, os.link, os.symlink, os.readlink, os.unlink, os.rename
} <= os.supports_dir_fd  # fmt: skip
"""Whether the host names things by the open directory they are in."""

BY_HANDLE: bool = {os.utime, os.chmod} <= os.supports_fd
"""Whether it sets attributes of what is open."""


_FOLLOWING: Final = (
    os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_CLOEXEC", 0)
)
_DIRECTORY: Final = _FOLLOWING | getattr(os, "O_NOFOLLOW", 0)
_NEW: Final = (
    os.O_WRONLY
    | os.O_CREAT
    | os.O_EXCL  # which follows no link either
    | getattr(os, "O_NOFOLLOW", 0)
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_BINARY", 0)
)
_READING: Final = (
    os.O_RDONLY
    | getattr(os, "O_NOFOLLOW", 0)
    | getattr(os, "O_NONBLOCK", 0)  # of a pipe that was planted
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_BINARY", 0)
)
_REPARSE_POINT: Final = 0x400  # FILE_ATTRIBUTE_REPARSE_POINT: a junction, a link
_OPEN_LIMIT: Final = 64  # directories that are open at the same time


# --- one directory --------------------------------------------------------------------


class Directory:
    """A directory of the host in which something is made."""

    def __init__(self, path: str, handle: int | None, *, fresh: bool) -> None:
        self.path = path
        """For errors, and for hosts that know nothing better."""
        self.handle = handle
        """Its descriptor, while it is open and where there are some."""
        self.fresh = fresh
        """Whether it was made just now: nothing of others is in it."""
        self._inside = os.path.join(path, "")
        self._id = id_of(os.stat(path) if handle is None else os.fstat(handle))
        self._made: list[str] = []  # names given here, whose identity is not known
        self._known: dict[FileId, list[str]] = {}
        self._names: set[str] | None = None

    def path_of(self, name: str) -> str:
        """Return the path of *name* for people."""
        return self._inside + name

    def place(self, name: str) -> tuple[str, int | None]:
        """Return what the host's calls take for *name*: that, and ``dir_fd``."""
        if self.handle is not None:
            return name, self.handle
        if id_of(os.stat(self.path)) != self._id:  # a link is in the path by now
            raise errors.replaced_meanwhile(self.path)
        return self.path_of(name), None

    def itself(self) -> int | str:
        """Return what the host's calls take for the directory."""
        if self.handle is not None and BY_HANDLE:
            return self.handle
        return os.path.dirname(self.place("")[0])

    @contextmanager
    def naming(self, name: str) -> Iterator[tuple[str, int | None]]:
        """Yield the place of *name*; errors within the scope name its path."""
        try:
            yield self.place(name)
        except OSError as error:
            error.filename, error.filename2 = self.path_of(name), None
            raise

    # --- asking ----------------------------------------------------------------------

    def lstat(self, name: str) -> os.stat_result | None:
        """Return what is known of *name*, a link as such; None if it is absent."""
        try:
            where, handle = self.place(name)
            return os.stat(where, dir_fd=handle, follow_symlinks=False)
        except FileNotFoundError:
            return None
        except OSError as error:
            error.filename = self.path_of(name)
            raise

    def read_link(self, name: str) -> str:
        with self.naming(name) as (where, handle):
            return os.readlink(where, dir_fd=handle)

    def same_as(self, name: str, status: os.stat_result) -> str | None:
        """Return another name that was given here, if the host takes both for one.

        One of several names of a file (a hard link) is there under its own.
        """
        for made in self._made:
            found = self.lstat(made)
            if found is not None:
                self._known.setdefault(id_of(found), []).append(made)
        self._made.clear()
        names = self._known.setdefault(id_of(status), [])
        alike = [known for known in names if known.casefold() == name.casefold()]
        names.append(name)
        other = [*alike, *names][0]
        if other == name:
            return None
        now = self.lstat(other)
        if now is None or id_of(now) != id_of(status):  # it was replaced
            self._known[id_of(status)] = [name]
            return None
        if S_ISREG(status.st_mode) and status.st_nlink > 1:
            if self._names is None:
                self._names = {*os.listdir(self.itself())}
            if name in self._names:
                return None
        return other

    # --- making ----------------------------------------------------------------------

    def note(self, name: str) -> None:
        """Note that *name* was given to something here."""
        self._made.append(name)

    def create(self, name: str, mode: int) -> int:
        """Make the file *name*, where nothing is; return a descriptor to write to."""
        try:
            where, handle = self.place(name)
            return os.open(where, _NEW, mode, dir_fd=handle)
        except OSError as error:
            error.filename = self.path_of(name)
            raise
        except BaseException:  # Ctrl-C, which may have come just after it was made
            found = self.lstat(name)
            if found is not None and S_ISREG(found.st_mode) and not found.st_size:
                self.remove(name)
            raise

    def make_directory(self, name: str, mode: int) -> None:
        with self.naming(name) as (where, handle):
            os.mkdir(where, mode, dir_fd=handle)

    def make_symlink(self, target: str, name: str, *, directory: bool = False) -> None:
        """Make a symbolic link; Windows asks whether it leads to a *directory*."""
        with self.naming(name) as (where, handle):
            os.symlink(target, where, directory, dir_fd=handle)

    def make_name(self, name: str, first: Directory, known: str) -> None:
        """Give what is called *known* in the directory *first* this *name* too."""
        with self.naming(name) as (where, handle):
            source, other = first.place(known)
            os.link(
                source,
                where,
                src_dir_fd=other,
                dst_dir_fd=handle,
                follow_symlinks=os.link not in os.supports_follow_symlinks,
            )

    def part(self) -> str:
        """Return a name for what is to replace something else once it is complete."""
        return f".{os.urandom(8).hex()}.part"

    def replace(self, part: str, name: str) -> None:
        """Let *part* be *name*, whatever was there."""
        with self.naming(name) as (where, handle):
            source, _ = self.place(part)
            os.replace(source, where, src_dir_fd=handle, dst_dir_fd=handle)

    def remove(self, name: str) -> None:
        """Remove the file or link *name*, if there is one."""
        with suppress(FileNotFoundError), self.naming(name) as (where, handle):
            os.unlink(where, dir_fd=handle)

    def open_file(self, name: str) -> int:
        """Return a descriptor to read the file *name* by."""
        with self.naming(name) as (where, handle):
            return os.open(where, _READING, dir_fd=handle)

    # --- opening ---------------------------------------------------------------------

    def open_below(self, name: str, *, fresh: bool) -> Directory:
        """Return the directory *name*, which no link is followed to."""
        path = self.path_of(name)
        with self.naming(name) as (where, handle):
            if BY_DIRECTORY:
                opened = os.open(where, _DIRECTORY, dir_fd=handle)
                return Directory(path, opened, fresh=fresh)
            if not is_directory(os.lstat(where)):
                raise errors.not_a_directory(path)
            return Directory(path, None, fresh=fresh)

    def reopen(self, above: Directory) -> None:
        """Open it again in *above*, if it is still that one."""
        name = os.path.basename(self.path)
        with above.naming(name) as (where, handle):
            self.handle = os.open(where, _DIRECTORY, dir_fd=handle)
        if id_of(os.fstat(self.handle)) != self._id:
            self.close()
            raise errors.replaced_meanwhile(self.path)

    def close(self) -> None:
        """Give up the descriptor, for ever or until :meth:`reopen`."""
        if self.handle is not None:
            handle, self.handle = self.handle, None
            os.close(handle)


def is_file(status: os.stat_result, identity: FileId) -> bool:
    """Tell whether it is that file: a number may come again for something else."""
    return S_ISREG(status.st_mode) and id_of(status) == identity


def is_directory(status: os.stat_result) -> bool:
    """Tell whether it is a directory, and no link to one of whatever kind."""
    attributes = getattr(status, "st_file_attributes", 0)
    return S_ISDIR(status.st_mode) and not attributes & _REPARSE_POINT


def top_directory(path: str, mode: int) -> Directory:
    """Return the directory *path*, made with its parents; it may be a link to one."""
    fresh = True
    try:
        os.mkdir(path, mode)
    except FileNotFoundError:
        os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
        os.mkdir(path, mode)
    except FileExistsError:
        fresh = False
    if BY_DIRECTORY:
        return Directory(path, os.open(path, _FOLLOWING), fresh=fresh)
    if not os.path.isdir(path):
        raise errors.from_errno(ENOTDIR, path)
    return Directory(path, None, fresh=fresh)


# --- from the top down ----------------------------------------------------------------


class Branch:
    """The directories from the top down to the one that is being filled."""

    def __init__(self, top: Directory) -> None:
        self._directories = [top]
        self.here = top
        """The lowest one, which is open, as the top is."""

    def enter(self, name: str, *, fresh: bool) -> None:
        """Go down to the directory *name*."""
        self.here = self.here.open_below(name, fresh=fresh)
        self._directories.append(self.here)
        if len(self._directories) > _OPEN_LIMIT:  # a tree may be deeper than allowed
            self._directories[-_OPEN_LIMIT].close()

    def leave(self) -> None:
        """Go up again."""
        self._directories.pop().close()
        if not self._directories:
            return
        self.here = self._directories[-1]
        if self.here.handle is None and BY_DIRECTORY:
            self._reopen()

    def _reopen(self) -> None:
        """Open the last directories again, each in the one above."""
        kept = len(self._directories) - _OPEN_LIMIT // 2
        for nth in range(1, len(self._directories)):
            self._directories[nth].reopen(self._directories[nth - 1])
            if 1 < nth <= kept:
                self._directories[nth - 1].close()

    @contextmanager
    def at(self, path: str) -> Iterator[Directory]:
        """Yield the directory at *path*, relative to the top, opened for the scope."""
        at, opened = self._directories[0], []
        try:
            for name in path.split("/") if path else ():
                at = at.open_below(name, fresh=False)
                opened.append(at)
            yield at
        finally:
            for directory in opened:
                directory.close()

    def close(self) -> None:
        for directory in self._directories:
            directory.close()


# --- bytes ----------------------------------------------------------------------------


def write(handle: int, data: Buffer, path: str) -> None:
    """Write all of *data* where the file stands."""
    try:
        count = os.write(handle, data)
        while count < len(data):  # some hosts write no more than so much at once
            data = memoryview(data)[count:]
            count = os.write(handle, data)
    except OSError as error:
        error.filename = path
        raise


def write_at(handle: int, offset: int, data: memoryview, path: str) -> None:
    """Write all of *data* at *offset*; what is left out before it is a hole."""
    os.lseek(handle, offset, os.SEEK_SET)
    write(handle, data, path)


def set_size(handle: int, size: int, path: str) -> None:
    """Let the file end at *size*, in a hole if nothing was written there."""
    try:
        os.ftruncate(handle, size)
    except OSError as error:
        error.filename = path
        raise


def is_next(handle: int, data: memoryview) -> bool:
    """Tell whether what is read next from *handle* is *data*."""
    while data:
        found = os.read(handle, len(data))
        if not found or found != data[: len(found)]:
            return False
        data = data[len(found) :]
    return True
