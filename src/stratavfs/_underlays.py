"""The layers of a stack, asked in the same words whatever they are.

A :class:`Member` is one layer at its place in a stack, with the name it has there and
the prefix it is mounted at; it names both the layer and the path in what is raised. A
:class:`ContainerLayer` is one container without what lies below it.
"""

from __future__ import annotations

from contextlib import contextmanager
from stat import S_IFDIR
from typing import TYPE_CHECKING, Final, Protocol

from stratavfs import errors
from stratavfs._openfile import Failing, LentFile
from stratavfs._options import MEMORY
from stratavfs._paths import ROOT, inside, is_within, join
from stratavfs._ticks import devices
from stratavfs.records import Inode, StatResult, VPath

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator, Mapping
    from contextlib import AbstractContextManager

    from stratavfs._openfile import InodeFile, Rooms, StreamFile

_MOUNT_POINT: Final = Inode(S_IFDIR | 0o755)
_FAILURES: Final = Exception  # a layer of somebody else may raise anything


class Below(Protocol):
    """What a stack asks of a layer; paths are the layer's own."""

    device: int
    location: str
    kind: str
    remembered: bool
    """Whether :meth:`version` tells when names that were read are out of date."""
    is_container: bool
    polled: bool
    """Whether it has to be asked for that, because nothing else tells."""

    def watch(self) -> None:
        """Let changes of the layer count from now on."""

    def version(self) -> Hashable:
        """Return a value that moves when anything in the layer may have changed."""

    def find(self, path: VPath) -> Inode | None:
        """Return an inode, a whiteout or None."""

    def type_of(self, path: VPath) -> int:
        """Return the type bits of what is at *path*, whiteouts as such, 0 if none."""

    def kinds(self, path: VPath, limit: int) -> list[tuple[str, int]]:
        """Return (name, type bits) of all, or *limit*, in the directory at *path*."""

    def children(self, path: VPath) -> list[tuple[str, Inode]]:
        """Return (name, inode) of all in the directory at *path*."""

    def hides(self, path: VPath) -> bool:
        """Tell whether it hides what lower layers have in the directory *path*."""

    def content(self, path: VPath) -> bytes | None:
        """Return all bytes of the file at *path* if that is one question, or None."""

    def stat(self, path: VPath, name: str) -> StatResult | None:
        """Return what is known of *path*, as of the layer *name*, or None as above."""

    def open_file(self, path: VPath, failing: Failing) -> InodeFile | StreamFile | None:
        """Open the file at *path*; None if there is none any more."""

    def xattrs(self, path: VPath) -> Mapping[str, bytes]:
        """Return the extended attributes of what is at *path*."""

    def steady(self) -> AbstractContextManager[object]:
        """Return a scope in which the layer does not change.

        Raises:
            OSError: (EBUSY) at its end, where the layer did all the same.
        """

    def close(self) -> None:
        """Give up what the layer holds."""


class Underlay(Protocol):
    """What was added to a stack, with all its layers: counts the handles on them."""

    is_closed: bool
    """Whether it was given up together with the stack."""

    def hold(self) -> None:
        """Count one handle more."""

    def release(self) -> None:
        """Count one handle less."""


class ContainerLayer:
    """One container, seen without what may lie below it."""

    is_container = remembered = True

    def __init__(self, rooms: Rooms) -> None:
        self._rooms = rooms
        self._store, self._tree, _ = rooms
        self._loan = self._store.loan
        # The same as ``with self._loan``, at half the price, where it counts.
        self._borrow, self._give_back = self._loan.borrow, self._store.lock.release
        self.device = next(devices)
        self.location = self._store.location
        self.kind = "memory" if self.location == MEMORY else "container"
        self.polled = self._store.shared

    def watch(self) -> None:
        self._store.watched = True

    def version(self) -> Hashable:
        if not self.polled:
            return self._store.version()  # a look at a number: no lock to wait for
        self._borrow()
        try:
            return self._store.version()
        finally:
            self._give_back()

    def find(self, path: VPath) -> Inode | None:
        with self._loan:
            return self._tree.look(path)

    def type_of(self, path: VPath) -> int:
        with self._loan:
            return self._tree.look_type(path)

    def kinds(self, path: VPath, limit: int) -> list[tuple[str, int]]:
        with self._loan:
            return self._tree.look_kinds(path, limit)

    def children(self, path: VPath) -> list[tuple[str, Inode]]:
        with self._loan:
            return self._tree.look_children(path)

    def hides(self, path: VPath) -> bool:
        with self._loan:
            return self._tree.hides(path)

    def content(self, path: VPath) -> bytes | None:
        self._borrow()
        try:
            content = self._tree.find_content(path)
        finally:
            self._give_back()
        return content if isinstance(content, bytes) else None

    def stat(self, path: VPath, name: str) -> StatResult | None:
        self._borrow()
        try:
            return self._tree.find_stat(path, self.device, name)
        finally:
            self._give_back()

    def open_file(
        self,
        path: VPath,
        failing: Failing,
    ) -> InodeFile | None:
        with self._loan:
            found = self._tree.find_file(path)
            return None if found is None else LentFile(self._rooms, *found, failing)

    def xattrs(self, path: VPath) -> Mapping[str, bytes]:
        with self._loan:
            inode = self._tree.find(path)
            return {} if inode is None else self._tree.xattrs(inode.id)

    def has_xattrs(self) -> bool:
        """Tell whether anything in the container has extended attributes."""
        with self._loan:
            return self._tree.has_xattrs()

    @contextmanager
    def steady(self) -> Iterator[None]:
        with self._loan, self._store.snapshot():
            opened = self._store.openings
            yield
            if self._store.openings != opened:
                raise errors.changed_meanwhile(self.location)

    def close(self) -> None:
        self._store.close()


class Member:
    """One layer at its place in a stack."""

    def __init__(self, name: str, layer: Below, at: VPath, top: Underlay) -> None:
        self.name = name
        self.layer = layer
        self.at = at
        self.top = top
        self._cut = 0 if at == ROOT else len(at)

    def __repr__(self) -> str:
        return f"<{self.layer.kind} {self.name!r} at {self.at!r}>"

    def is_same_as(self, other: Member | None) -> bool:
        """Tell whether both are one layer in one place, of whatever stack."""
        return other is not None and self.layer is other.layer and self.at == other.at

    # --- paths -----------------------------------------------------------------------

    def inner(self, path: VPath) -> VPath | None:
        """Return *path* as the layer calls it, None outside of its mount."""
        if not self._cut:
            return path
        if not is_within(path, self.at):
            return None
        return VPath(path[self._cut :] or "/")

    def _is_above(self, path: VPath) -> bool:
        """Tell whether the layer is mounted somewhere below *path*."""
        return self._cut > 0 and self.at.startswith(inside(path))

    def _above_or_at(self, path: VPath) -> Inode:
        """Return what is on the way to the root of the layer, or that itself."""
        return self.find(path) or _MOUNT_POINT

    # --- questions -------------------------------------------------------------------

    def find(self, path: VPath) -> Inode | None:
        inner = self.inner(path)
        if inner is None:
            return _MOUNT_POINT if self._is_above(path) else None
        try:
            return self.layer.find(inner)
        except _FAILURES as error:
            raise self.failed(path, error) from error

    def type_of(self, path: VPath) -> int:
        inner = self.inner(path)
        if inner is None:
            return S_IFDIR if self._is_above(path) else 0
        try:
            return self.layer.type_of(inner)
        except _FAILURES as error:
            raise self.failed(path, error) from error

    def kinds(self, path: VPath, limit: int = -1) -> list[tuple[str, int]]:
        inner = self.inner(path)
        if inner is None:
            if not self._is_above(path):
                return []
            return [(self.at[len(inside(path)) :].partition("/")[0], S_IFDIR)]
        with self.failing(path):
            return self.layer.kinds(inner, limit)

    def children(self, path: VPath) -> list[tuple[str, Inode]]:
        inner = self.inner(path)
        if inner is None:
            names = [name for name, _ in self.kinds(path)]
            return [(name, self._above_or_at(join(path, name))) for name in names]
        with self.failing(path):
            return self.layer.children(inner)

    def hides(self, path: VPath) -> bool:
        inner = self.inner(path)
        if inner is None:
            return False
        with self.failing(path):
            return self.layer.hides(inner)

    def content(self, path: VPath) -> bytes | None:
        inner = self.inner(path) if self._cut else path
        if inner is None:
            return None
        try:
            return self.layer.content(inner)
        except _FAILURES as error:
            raise self.failed(path, error) from error

    def stat(self, path: VPath) -> StatResult | None:
        inner = self.inner(path) if self._cut else path
        if inner is None:
            return None
        try:
            return self.layer.stat(inner, self.name)
        except _FAILURES as error:
            raise self.failed(path, error) from error

    def open_file(self, path: VPath) -> InodeFile | StreamFile | None:
        inner = self.inner(path)
        if inner is None:
            return None
        with self.failing(path):
            return self.layer.open_file(inner, self.failing(path))

    def xattrs(self, path: VPath) -> Mapping[str, bytes]:
        inner = self.inner(path)
        if inner is None:
            return {}
        with self.failing(path):
            return self.layer.xattrs(inner)

    @contextmanager
    def steady(self, path: VPath) -> Iterator[None]:
        """Keep the layer as it is, as far as it can; *path* is named if it cannot."""
        scope = self.layer.steady()
        with self.failing(path):
            scope.__enter__()
        try:
            yield
        except BaseException as error:
            scope.__exit__(type(error), error, error.__traceback__)
            raise
        with self.failing(path):
            scope.__exit__(None, None, None)

    def failed(self, path: VPath, error: Exception) -> Exception:
        """Return what to raise for *error*: that the stack is closed, if it is."""
        if self.top.is_closed:
            return errors.closed()
        return errors.layer_failed(self.name, path, error)

    def failing(self, path: VPath) -> Failing:
        """Return a scope that names the layer and *path* in whatever is raised."""
        return Failing(self.name, path, self.top)
