"""Copying: one tree or file at a time, from and to containers and the host.

Whole trees of the host go through the library's import and export; a file is carried a
piece at a time. All changes of containers are part of the batch of the caller; a file
of the host that could not be written whole is taken away.
"""

from __future__ import annotations

import os
import posixpath
import shutil
from contextlib import contextmanager, suppress
from errno import EEXIST, EISDIR, ENOTDIR, ENOTEMPTY
from stat import S_IMODE, S_ISDIR, S_ISLNK
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

from stratavfs._progress import Meter
from stratavfs.cli import _quoting, _words
from stratavfs.cli._containers import Desk, named
from stratavfs.cli._output import Failure
from stratavfs.cli._streams import Readable, carry

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from stratavfs import StatResult, VirtualFileSystem
    from stratavfs.cli._places import Place
    from stratavfs.cli._progress import Listener

_UNHOSTED = frozenset('<>:"/\\|?*')  # what no name on Windows holds


class Wishes(NamedTuple):
    """How something is copied."""

    recursive: bool = False
    preserve: bool = False
    """Keep times and extended attributes besides the mode."""
    keep: bool = False
    """Leave what is there already."""
    force: bool = False
    """Replace a file of the host that cannot be opened."""
    links: bool = False
    """Keep several names of one file being one file."""

    @property
    def attributes(self) -> tuple[str, ...]:
        """What ``preserve=`` of the library takes."""
        kept = ("mode", "timestamps", "xattr") if self.preserve else ("mode",)
        return (*kept, "links") if self.links else kept


# --- both sides -----------------------------------------------------------------------


def status_of(desk: Desk, place: Place) -> StatResult | os.stat_result | None:
    """Return what is at *place* itself, None for nothing."""
    try:
        if place.is_host:
            return os.lstat(place.path)
        with named(place):
            return desk.open(place).lstat(place.path)
    except (FileNotFoundError, NotADirectoryError):
        return None


def is_directory(desk: Desk, place: Place) -> bool:
    """Tell whether *place* leads to a directory."""
    if place.is_host:
        return os.path.isdir(place.path)
    return desk.open(place).isdir(place.path)


def below(place: Place, name: str) -> Place:
    """Return the place of *name* in the directory *place*."""
    if not place.is_host:
        return place.below(name)
    if os.name == "nt" and (_UNHOSTED & {*name} or name[-1:] in ". "):
        raise Failure(_quoting.quoted(name), "no file of this host is called so")
    return place.at(os.path.join(place.path, name))


def targets(
    desk: Desk, sources: Sequence[Place], target: Place
) -> list[tuple[Place, Place]]:
    """Return (source, where it goes): into *target* if that is a directory."""
    into = is_directory(desk, target)
    if not into and len(sources) > 1:
        raise Failure(desk.spell(target), f"{os.strerror(ENOTDIR)}; make it first")
    if not into and target.asks_directory and not is_directory(desk, sources[0]):
        raise Failure(desk.spell(target), os.strerror(ENOTDIR))
    pairs = [
        (source, below(target, source.name) if into and source.name else target)
        for source in sources
    ]
    seen: set[str] = set()
    for source, place in pairs:
        if source.name and str(place) in seen:
            raise Failure(desk.spell(source), f"another one goes to {place.path}")
        seen.add(str(place))
    return pairs


# --- one of them ----------------------------------------------------------------------


class Copier:
    """Copies as its *wishes* say; *listener* is told of the progress."""

    def __init__(
        self, desk: Desk, wishes: Wishes, listener: Listener | None = None
    ) -> None:
        self._desk, self._wishes, self._listener = desk, wishes, listener
        self._meter = Meter(listener)
        self._names: dict[tuple[int, int], str] = {}  # where a linked file went

    def copy(self, source: Place, target: Place) -> bool:
        """Copy what is at *source*; tell whether anything was done."""
        status = self._found(source)
        if S_ISDIR(status.st_mode):
            if not self._wishes.recursive:
                message = f"{os.strerror(EISDIR)}; copy it with -r"
                raise Failure(self._desk.spell(source), message)
            self._tree(source, target)
            return True
        there = status_of(self._desk, target)
        if there is not None:
            if self._wishes.keep:
                return False
            self._refuse_same(source, target)
            if S_ISDIR(there.st_mode):
                message = "a directory is where a file is to come"
                raise IsADirectoryError(EISDIR, message, self._desk.spell(target))
        if S_ISLNK(status.st_mode):
            self._link(source, target, there)
        else:
            self._file(source, target, status)
        return True

    def _found(self, place: Place) -> StatResult | os.stat_result:
        """Return what is to be copied; without -r, what a link leads to."""
        follow = not self._wishes.recursive
        if place.is_host:
            self._desk.refuse_container(place.path)
            return os.stat(place.path, follow_symlinks=follow)
        with named(place):
            status = self._desk.open(place).stat(place.path, follow_symlinks=follow)
            if place.asks_directory and not S_ISDIR(status.st_mode):
                raise NotADirectoryError(ENOTDIR, os.strerror(ENOTDIR), place.path)
        return status

    def _refuse_same(self, source: Place, target: Place) -> None:
        if source.is_host != target.is_host:
            return
        if source.is_host:
            same = os.path.exists(target.path) and os.path.samefile(
                source.path, target.path
            )
        else:
            vfs = self._desk.open(source)
            same = self._desk.open(target) is vfs and (
                vfs.exists(source.path)
                and vfs.exists(target.path)
                and vfs.samefile(source.path, target.path)
            )
        if same:
            message = f"this and {self._desk.spell(target)} are the same file"
            raise Failure(self._desk.spell(source), message)

    # --- links and files -------------------------------------------------------------

    def _link(self, source: Place, target: Place, there: object) -> None:
        text = (
            os.readlink(source.path)
            if source.is_host
            else self._desk.open(source).readlink(source.path)
        )
        if target.is_host:
            if there is not None:
                os.unlink(target.path)
            os.symlink(text, target.path)
            return
        vfs = self._desk.open(target)
        with named(target):
            if there is not None:
                vfs.remove(target.path)
            vfs.symlink(text, target.path)

    def _file(
        self, source: Place, target: Place, status: StatResult | os.stat_result
    ) -> None:
        desk = self._desk
        if target.is_host:
            desk.refuse_container(target.path)
        new = status_of(desk, target) is None
        with self._reading(source) as stream, self._writing(target, new=new) as file:
            carry(stream, file, lambda size: self._meter.bytes(str(source), size))
        self._meter.count(str(source))
        self._attributes(source, target, status, new=new)

    @contextmanager
    def _reading(self, place: Place) -> Iterator[Readable]:
        if place.is_host:
            with open(place.path, "rb", buffering=0) as stream:
                yield stream
        else:
            with named(place):
                file = self._desk.open(place).open(place.path, "rb")
            with file:
                yield file

    @contextmanager
    def _writing(self, place: Place, *, new: bool) -> Iterator[BinaryIO]:
        if not place.is_host:
            vfs = self._desk.open(place)
            with named(place), vfs.open(place.path, "wb") as file:
                yield file
            return
        try:
            with self._opened(place.path) as stream:
                yield stream
        except BaseException:
            if new:
                with suppress(OSError):
                    os.unlink(place.path)
            raise

    def _opened(self, path: str) -> BinaryIO:
        try:
            return open(path, "wb")
        except PermissionError:
            if not self._wishes.force or not os.path.exists(path):
                raise
            os.unlink(path)
            return open(path, "wb")

    def _attributes(
        self,
        source: Place,
        target: Place,
        status: StatResult | os.stat_result,
        *,
        new: bool,
    ) -> None:
        """Give the file at *target* the mode of the *source*, and what is wished."""
        times = (status.st_atime_ns, status.st_mtime_ns)
        mode = S_IMODE(status.st_mode)
        if target.is_host:
            if self._wishes.preserve:
                os.chmod(target.path, mode)
                os.utime(target.path, ns=times)
            elif new:
                os.chmod(target.path, mode & 0o777 & ~_words.umask())
            return
        vfs = self._desk.open(target)
        if self._wishes.preserve and not source.is_host:
            origin = self._desk.open(source)
            for name in origin.listxattr(source.path):
                vfs.setxattr(target.path, name, origin.getxattr(source.path, name))
        if new or self._wishes.preserve:
            vfs.chmod(target.path, mode)
        if self._wishes.preserve:
            vfs.utime(target.path, ns=times)

    # --- trees -----------------------------------------------------------------------

    def _tree(self, source: Place, target: Place) -> None:
        desk = self._desk
        there = status_of(desk, target)
        if there is not None and not is_directory(desk, target):
            message = "it is where a directory is to come, and none"
            raise NotADirectoryError(ENOTDIR, message, desk.spell(target))
        if source.is_host and target.is_host:
            raise Failure(source, "this goes from host to host: use cp")
        choices: dict[str, Any] = {
            "on_conflict": "skip" if self._wishes.keep else "replace",
            "preserve": self._wishes.attributes,
            "checksum": True,
            "progress": self._listener,
        }
        if source.is_host:
            vfs = desk.open(target)
            with named(target, source.path):
                vfs.import_tree(source.path, target.path, **choices)
        elif target.is_host:
            vfs = desk.open(source)
            with named(source, target.path):
                vfs.export_tree(source.path, target.path, **choices)
        else:
            self._between(source, target)

    def _between(self, source: Place, target: Place) -> None:
        """Copy a directory from one container to the other, or within one."""
        origin, vfs = self._desk.open(source), self._desk.open(target)
        if origin is vfs:
            refuse_into_itself(self._desk, source, target, itself=True)
        made = [(source, target)]
        self._directory(source, target)
        for top, directories, files in origin.walk(source.path):
            rest = posixpath.relpath(top, source.path)
            here, there = source.at(top), target.below(rest) if rest != "." else target
            for name in (*directories, *files):
                one, other = here.below(name), there.below(name)
                status = origin.lstat(one.path)
                if S_ISDIR(status.st_mode):
                    self._directory(one, other)
                    made.append((one, other))
                elif not self._is_linked(status, other, vfs):
                    self.copy(one, other)
        if self._wishes.preserve:
            for one, other in reversed(made):
                self._attributes(one, other, origin.stat(one.path), new=True)

    def _directory(self, source: Place, target: Place) -> None:
        vfs = self._desk.open(target)
        with named(target):
            if not vfs.isdir(target.path):
                if vfs.lexists(target.path):
                    raise FileExistsError(EEXIST, os.strerror(EEXIST), target.path)
                status = self._desk.open(source).stat(source.path)
                vfs.makedirs(target.path, mode=S_IMODE(status.st_mode))

    def _is_linked(
        self,
        status: StatResult,
        target: Place,
        vfs: VirtualFileSystem,
    ) -> bool:
        """Make *target* one more name of a file that is copied already, if it is."""
        if not self._wishes.links or status.st_nlink == 1:
            return False
        key = (status.st_dev, status.st_ino)
        first = self._names.setdefault(key, target.path)
        if first == target.path or vfs.lexists(target.path):
            return False
        vfs.link(first, target.path)
        return True


def refuse_into_itself(
    desk: Desk, source: Place, target: Place, *, itself: bool = False
) -> None:
    """Refuse to carry a directory into itself, or with *itself* onto itself."""
    vfs = desk.open(source)
    if vfs.islink(source.path) or not vfs.isdir(source.path):
        return
    path = posixpath.normpath(target.path)
    above = [path] if itself else []
    while path != "/":
        path = posixpath.dirname(path)
        above.append(path)
    if any(vfs.exists(path) and vfs.samefile(source.path, path) for path in above):
        raise Failure(desk.spell(source), "a directory does not go into itself")


# --- removing what was moved ----------------------------------------------------------


def remove_source(desk: Desk, place: Place) -> None:
    """Remove what was copied from *place*."""
    if not place.is_host:
        vfs = desk.open(place)
        with named(place):
            if vfs.isdir(place.path) and not vfs.islink(place.path):
                vfs.rmtree(place.path)
            else:
                vfs.remove(place.path)
    elif os.path.isdir(place.path) and not os.path.islink(place.path):
        shutil.rmtree(place.path)
    else:
        os.unlink(place.path)


def refuse_filled(desk: Desk, place: Place) -> None:
    """Refuse to move a directory to *place* if something is in one there."""
    if status_of(desk, place) is None or not is_directory(desk, place):
        return
    names = (
        os.listdir(place.path)
        if place.is_host
        else desk.open(place).listdir(place.path)
    )
    if names:
        raise OSError(ENOTEMPTY, os.strerror(ENOTEMPTY), desk.spell(place))
