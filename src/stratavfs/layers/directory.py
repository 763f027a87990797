"""A directory of the host as a read-only layer.

Nothing is remembered: every question is put to the host again. No symbolic link of the
host is ever followed; the file system above follows them, inside itself.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from errno import EILSEQ, EINVAL, ELOOP, ENAMETOOLONG, ENOENT, ENOTDIR, ENOTSUP, ESTALE
from stat import S_IFDIR, S_IFLNK, S_IFMT, S_IFREG
from typing import TYPE_CHECKING, BinaryIO, Final

from stratavfs import errors
from stratavfs._paths import inside, normalize
from stratavfs.layers.protocol import Layer
from stratavfs.records import Inode, InodeId, VPath

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator, Mapping

    from stratavfs._paths import StrPath

# Windows has neither these flags nor directories to start from.
_DIRECTORY: Final = getattr(os, "O_DIRECTORY", 0)
_UNFOLLOWED: Final = getattr(os, "O_NOFOLLOW", 0)
_AT_ONCE: Final = getattr(os, "O_NONBLOCK", 0)  # a fifo would wait for its writer
_SEARCHED: Final = getattr(os, "O_PATH", os.O_RDONLY) | _DIRECTORY
_BY_DESCRIPTOR: Final = (
    _UNFOLLOWED != 0
    and {os.open, os.stat, os.readlink} <= os.supports_dir_fd
    and os.scandir in os.supports_fd
)

_SHOWN: Final = {S_IFREG, S_IFDIR, S_IFLNK}
_JUNCTION: Final = 0xA0000003  # Windows: a directory that leads elsewhere
_NO_DIRECTORY: Final = {ENOTDIR, ELOOP}
# The last three: the host could not even keep such a name.
_ABSENT: Final = {ENOENT, ENAMETOOLONG, EINVAL, EILSEQ}
_OF_THE_HOST: Final = "\\:" if os.name == "nt" else ""  # no names can hold these


class DirectoryLayer(Layer):
    r"""The tree below *host_dir*, as it is at the moment it is asked for.

    Files, directories and symbolic links are shown; devices, sockets and pipes are not,
    nor are names that are no UTF-8 or break the limits of a path. Links are never
    followed here, at the end of a path or on its way. An absolute target inside
    *host_dir* is given as a relative one, so that it leads to the same file wherever
    the layer is mounted; any other stays as it is written and is looked for inside the
    virtual file system, never on the host. Everything belongs to user and group 0:
    what is shown tells nothing of the host's accounts.

    Where the host takes ``A`` and ``a`` for the same name, both are found here and one
    is listed. Where it cannot open a file by its directory (Windows), a directory that
    someone replaces by a link between two steps is noticed only most of the time.

    Args:
        host_dir: The directory; it may be reached through a symbolic link.
        immutable: Promise that nothing in it changes as long as the layer is in use,
            so that names may be remembered.

    Raises:
        FileNotFoundError, NotADirectoryError: there is no directory at *host_dir*.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as host:
    ...     with open(host + "/motd", "w") as file:
    ...         print("hello", file=file, end="\n")
    ...     layer = DirectoryLayer(host)
    ...     layer.find("/motd").size, list(layer.kinds("/")) == [("motd", 0o100000)]
    (6, True)
    """

    kind = "directory"

    def __init__(self, host_dir: StrPath, *, immutable: bool = False) -> None:
        found = os.stat(os.fspath(host_dir))  # fspath: a descriptor is no path
        if _kind(found) != S_IFDIR:
            raise errors.not_a_directory(os.fspath(host_dir))
        if isinstance(host_dir, bytes):
            message = "host_dir should be str or os.PathLike[str]; use os.fsdecode()"
            raise errors.InvalidType(message)
        self.immutable = immutable
        self.location = os.path.abspath(host_dir)
        self._device = found.st_dev
        self._roots = {
            _slashed(root).rstrip("/")
            for root in (self.location, os.path.realpath(host_dir))
        }

    def find(self, path: str) -> Inode | None:
        """Return what is at *path*, None if nothing that is shown."""
        path = normalize(path)
        target = None
        try:
            with self._reached(path) as (name, at):
                found = os.stat(name, dir_fd=at, follow_symlinks=False)
                kind = _kind(found)
                if kind == S_IFLNK:
                    target = self._target(path, os.readlink(name, dir_fd=at))
        except (FileNotFoundError, NotADirectoryError):
            return None
        return self._inode(found, target) if kind else None

    def kinds(self, path: str) -> list[tuple[str, int]]:
        """Return (name, type bits) of all that is shown of a directory.

        Raises:
            FileNotFoundError, NotADirectoryError: there is no directory at *path*.
        """
        path = normalize(path)
        with self._reached(path) as (name, at), _listed(name, at) as entries:
            return [
                (entry.name, kind)
                for entry in entries
                if (kind := _kind_of_entry(entry))
                and _can_be_asked(inside(path) + entry.name)
            ]

    def open(self, path: str) -> BinaryIO:
        """Open the file at *path* for reading.

        Raises:
            FileNotFoundError: there is no file at *path*.
        """
        path = normalize(path)
        try:
            with self._reached(path) as (name, at):
                # Opening a device can do something, so it is not even tried.
                if _kind(os.stat(name, dir_fd=at, follow_symlinks=False)) != S_IFREG:
                    raise errors.not_found(path)
                flags = os.O_RDONLY | _UNFOLLOWED | _AT_ONCE
                file = open(  # noqa: SIM115 - the caller's
                    self._on_host(path),
                    "rb",
                    opener=lambda _, mode: os.open(name, mode | flags, dir_fd=at),
                )
        except (NotADirectoryError, IsADirectoryError):
            raise errors.not_found(path) from None
        if S_IFMT(os.fstat(file.fileno()).st_mode) != S_IFREG:  # replaced meanwhile
            file.close()
            raise errors.not_found(path)
        return file

    def xattrs(self, path: str) -> Mapping[str, bytes]:
        """Return the attributes ``user.*`` of what is at *path*; links have none."""
        path = normalize(path)
        if not hasattr(os, "listxattr"):
            return {}
        with self._reached(path) as (name, at):
            kind = _kind(os.stat(name, dir_fd=at, follow_symlinks=False))
            if kind not in (S_IFREG, S_IFDIR):
                return {}
            flags = os.O_RDONLY | _UNFOLLOWED | _AT_ONCE
            descriptor = os.open(name, flags, dir_fd=at)
            try:
                return _user_attributes(descriptor)
            finally:
                os.close(descriptor)

    def version(self) -> Hashable:
        """Return None, which says that anything may have changed, or 0 if it cannot."""
        return 0 if self.immutable else None

    # --- on the host -----------------------------------------------------------------

    @contextmanager
    def _reached(self, path: VPath) -> Iterator[tuple[str, int | None]]:
        """Yield by what name, and from which directory, the host knows *path*.

        What goes wrong inside is given as an error of the layer: there is nothing at
        *path*, or the host has failed.
        """
        *way, name = path.split("/")[1:]
        walk = _by_descriptor if _BY_DESCRIPTOR else _by_name
        try:
            if any(mark in path for mark in _OF_THE_HOST):
                raise errors.not_found(path)
            with walk(self.location, way) as (prefix, at):
                yield prefix + (name or "."), at
        except OSError as error:
            raise self._explained(error, path) from None

    def _explained(self, error: OSError, path: VPath) -> OSError:
        """Return *error* in the words of a layer."""
        if error.filename == self.location:  # the way did not even begin
            if error.errno in _ABSENT | _NO_DIRECTORY:
                message = "the directory of this layer is gone"
                return OSError(ESTALE, message, self.location)
            return error
        if error.errno in _NO_DIRECTORY:
            return errors.not_a_directory(path)
        if error.errno in _ABSENT:
            return errors.not_found(path)
        error.filename = self._on_host(path)
        return error

    def _on_host(self, path: VPath) -> str:
        return self.location.rstrip(os.sep) + path.replace("/", os.sep)

    def _inode(self, found: os.stat_result, target: str | None) -> Inode:
        """Return what the host says as the record of a layer."""
        is_directory = _kind(found) == S_IFDIR
        # A number is unique on its device only, and others may be mounted inside.
        number = found.st_ino ^ (found.st_dev ^ self._device) << 40
        return Inode(
            found.st_mode,
            id=InodeId(number & 0x7FFF_FFFF_FFFF_FFFF),
            nlink=1 if is_directory else found.st_nlink,
            size=_size(found, target),
            atime_ns=found.st_atime_ns,
            mtime_ns=found.st_mtime_ns,
            ctime_ns=found.st_ctime_ns,
            birthtime_ns=_birthtime_ns(found),
            target=target,
        )

    def _target(self, path: VPath, text: str) -> str:
        """Return where the link at *path* leads, seen from its directory if inside.

        What is no UTF-8 in it leads nowhere: no name that is shown is spelled like it.
        """
        text = _slashed(os.fsencode(text).decode("utf-8", "replace"))
        for root in self._roots:
            if text == root or text.startswith(root + "/"):
                up = "../" * (path.count("/") - 1)
                return up + text[len(root) :].lstrip("/") or "."
        return text


# --- the way through the host ---------------------------------------------------------


@contextmanager
def _by_descriptor(root: str, way: list[str]) -> Iterator[tuple[str, int | None]]:
    """Go down from one open directory to the next, so that no link can slip in."""
    here = os.open(root, _SEARCHED)
    try:
        for name in way:
            below = os.open(name, _SEARCHED | _UNFOLLOWED, dir_fd=here)
            os.close(here)
            here = below
        yield "", here
    finally:
        os.close(here)


@contextmanager
def _by_name(root: str, way: list[str]) -> Iterator[tuple[str, int | None]]:
    """Look at every directory on the way; what follows goes by names again."""
    if not os.path.isdir(root):
        raise errors.not_a_directory(root)
    here = root.rstrip(os.sep)
    for name in way:
        here += os.sep + name
        _require_directory(here)
    yield here + os.sep, None


@contextmanager
def _listed(name: str, at: int | None) -> Iterator[Iterator[os.DirEntry[str]]]:
    """List the directory *name*, but not one that a link leads to."""
    if at is None:
        _require_directory(name)
        with os.scandir(name) as entries:
            yield entries
        return
    descriptor = os.open(name, os.O_RDONLY | _DIRECTORY | _UNFOLLOWED, dir_fd=at)
    try:
        with os.scandir(descriptor) as entries:
            yield entries
    finally:
        os.close(descriptor)


def _require_directory(host_path: str) -> None:
    if _kind(os.lstat(host_path)) != S_IFDIR:
        raise errors.not_a_directory(host_path)


# --- what the host says ---------------------------------------------------------------


def _kind(found: os.stat_result) -> int:
    """Return the type bits of what is shown, 0 for what is not."""
    kind = S_IFMT(found.st_mode)
    is_junction = getattr(found, "st_reparse_tag", 0) == _JUNCTION
    return kind if kind in _SHOWN and not is_junction else 0


def _kind_of_entry(entry: os.DirEntry[str]) -> int:
    """Return the same without asking the host once more, where the listing tells."""
    if entry.is_file(follow_symlinks=False):
        return S_IFREG
    if entry.is_symlink():
        return S_IFLNK
    if os.name == "nt":
        return _kind(entry.stat(follow_symlinks=False))
    return S_IFDIR if entry.is_dir(follow_symlinks=False) else 0


def _can_be_asked(path: str) -> bool:
    """Tell whether *path* can be named: it is UTF-8 and within the limits."""
    try:
        normalize(path)
    except (errors.InvalidArgument, OSError):
        return False
    return True


def _size(found: os.stat_result, target: str | None) -> int:
    if target is not None:
        return len(target.encode())
    return 0 if _kind(found) == S_IFDIR else found.st_size


def _birthtime_ns(found: os.stat_result) -> int:
    """Return when a file was made, or else the earliest moment it is known of."""
    exact: int | None = getattr(found, "st_birthtime_ns", None)
    if exact is not None:
        return exact
    seconds: float | None = getattr(found, "st_birthtime", None)
    if seconds is not None:
        return int(seconds * 1_000_000_000)
    return min(found.st_mtime_ns, found.st_ctime_ns)


def _user_attributes(descriptor: int) -> dict[str, bytes]:
    try:
        return {
            name: os.getxattr(descriptor, name)
            for name in os.listxattr(descriptor)
            if name.startswith("user.") and _can_be_asked(name)  # UTF-8, not too long
        }
    except OSError as error:
        if error.errno != ENOTSUP:
            raise
        return {}


def _slashed(host_path: str) -> str:
    """Return a path of the host as a virtual file system spells it."""
    if os.sep == "/":
        return host_path
    return host_path.removeprefix("\\\\?\\").replace(os.sep, "/")
