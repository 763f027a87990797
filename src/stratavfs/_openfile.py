"""What a handle holds: the file behind it, wherever its bytes are.

Each kind answers the same few questions, takes the lock it needs for the answer, and
gives None once the file is gone. Only a file of the local layer can be written.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, BinaryIO, Final, Protocol, TypeVar

from stratavfs import errors
from stratavfs._content import Source

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from stratavfs._content import Content
    from stratavfs._store import Store
    from stratavfs._tree import Tree
    from stratavfs.records import InodeId, VPath

    Rooms = tuple[Store, Tree, Content]

T = TypeVar("T")

ATTEMPTS: Final = 3
"""Times a file is looked up or read again that changed or went meanwhile."""


class Closing(Protocol):
    """What may be closed while it is asked."""

    is_closed: bool


class Failing:
    """A scope in which whatever a layer raises gets the layer's name and the path.

    While the *stack* is being closed, what is raised says that.
    """

    __slots__ = ("_name", "_path", "_stack")

    def __init__(self, name: str, path: VPath, stack: Closing | None = None) -> None:
        self._name = name
        self._path = path
        self._stack = stack

    def __enter__(self) -> None:
        pass

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        if isinstance(error, Exception):
            if self._stack is not None and self._stack.is_closed:
                raise errors.closed() from error
            raise errors.layer_failed(self._name, self._path, error) from error


class OpenFile(Source, Protocol):
    """The file behind a handle."""

    def close(self) -> None:
        """Let go of the file."""


class WritableFile(OpenFile, Protocol):
    """The file behind a handle of a file system, whose local layer can be written."""

    def for_writing(self, at: int) -> InodeFile:
        """Return the file of the local layer to write to, in a transaction."""


class InodeFile:
    """A file in a container, kept alive as long as it is held.

    Where nobody else can change it, its bytes may have come along with its number. They
    are good until anything in the container changes: one statement instead of two to
    open and read a small file, 12 us instead of 15.
    """

    __slots__ = ("_as_of", "_bytes", "_content", "_lock", "_pin", "_store", "_tree")

    def __init__(
        self,
        rooms: Rooms,
        inode: InodeId,
        data: bytes | None = None,
        *,
        lent: bool = False,
    ) -> None:
        self._store, self._tree, self._content = rooms
        store = rooms[0]
        self._lock: AbstractContextManager[object] = store.loan if lent else store.lock
        self._bytes, self._as_of = data, store.stamp if data is not None else 0
        self._pin = self._tree.pin(inode)

    @property
    def inode(self) -> InodeId:
        return self._pin.inode

    @property
    def alive(self) -> bool:
        """False once a rollback has taken the file away."""
        return self._pin.alive

    @property
    def _known(self) -> bytes | None:
        """The bytes that came along, as long as they are those of the file."""
        if self._bytes is not None and self._store.stamp != self._as_of:
            self._bytes = None
        return self._bytes

    def size(self) -> int | None:
        with self._lock:
            if self._known is not None:
                return len(self._known)
            return self._content.size(self.inode) if self.alive else None

    def read(self, offset: int) -> bytes | None:
        with self._lock:
            known = self._known
            if known is not None:
                return known[offset:]
            pin = self._pin
            return self._content.read(pin.inode, offset) if pin.alive else None

    def read_into(self, offset: int, view: memoryview) -> int | None:
        with self._lock:
            known = self._known
            if known is not None:
                piece = known[offset : offset + len(view)]
                view[: len(piece)] = piece
                return len(piece)
            pin = self._pin
            if not pin.alive:
                return None
            return self._content.read_into(pin.inode, offset, view)

    def next_data(self, offset: int) -> int | None:
        with self._lock:
            return self._content.next_data(self.inode, offset) if self.alive else None

    def next_hole(self, offset: int) -> int | None:
        with self._lock:
            return self._content.next_hole(self.inode, offset) if self.alive else None

    def for_writing(self, at: int) -> InodeFile:  # noqa: ARG002 - others copy up
        return self

    def write(self, offset: int, view: memoryview, at: int) -> bool:
        """Write *view* at *offset*, in a transaction; False if the file is gone."""
        return self.alive and self._content.write(self.inode, offset, view, at)

    def resize(self, size: int, at: int) -> bool:
        """Cut or extend the file, in a transaction; False if it is gone."""
        return self.alive and self._content.resize(self.inode, size, at)

    def close(self) -> None:
        with self._lock:
            self._tree.unpin(self._pin)


class LentFile(InodeFile):
    """A file in a container of an underlay, which others may be changing."""

    __slots__ = ("_failing",)

    def __init__(
        self, rooms: Rooms, inode: InodeId, data: bytes | None, failing: Failing
    ) -> None:
        super().__init__(rooms, inode, data, lent=True)
        self._failing = failing  # names the layer and the path in what is raised

    def close(self) -> None:
        if self._store.loan.is_taken():
            try:
                self._tree.unpin(self._pin)
            finally:
                self._store.lock.release()
        else:
            self._tree.unpin_later(self._pin)

    def size(self) -> int | None:
        return self._still(super().size)

    def read(self, offset: int) -> bytes | None:
        for _ in range(ATTEMPTS):
            opened = self._store.openings
            data = self._still(super().read, offset)
            if self._store.openings == opened:  # else it may be of two states
                return data
        raise errors.changed_meanwhile(self._store.location)

    def read_into(self, offset: int, view: memoryview) -> int | None:
        return self._still(super().read_into, offset, view)

    def next_data(self, offset: int) -> int | None:
        return self._still(super().next_data, offset)

    def next_hole(self, offset: int) -> int | None:
        return self._still(super().next_hole, offset)

    def _still(self, ask: Callable[..., T | None], *args: object) -> T | None:
        """Ask; None if the container has been replaced, where numbers mean others."""
        with self._failing:
            found = ask(*args)
        return found if self.alive else None


class StreamFile:
    """A file that a layer of another kind has opened, one position for all."""

    def __init__(self, stream: BinaryIO, failing: Failing) -> None:
        self._stream = stream
        self._failing = failing  # names the layer and the path in what is raised
        self._lock = threading.Lock()

    def size(self) -> int | None:
        with self._lock, self._failing:
            return self._stream.seek(0, 2)

    def read(self, offset: int) -> bytes | None:
        with self._lock, self._failing:
            self._stream.seek(offset)
            return self._stream.read()

    def read_into(self, offset: int, view: memoryview) -> int | None:
        filled = 0
        with self._lock, self._failing:
            self._stream.seek(offset)
            while filled < len(view):  # a raw stream may give less than was asked for
                data = self._stream.read(len(view) - filled)
                if not data:
                    break
                view[filled : filled + len(data)] = data
                filled += len(data)
        return filled

    def next_data(self, offset: int) -> int | None:
        size = self.size() or 0
        return offset if offset < size else None

    def next_hole(self, offset: int) -> int | None:
        size = self.size() or 0
        return size if offset < size else None

    def close(self) -> None:
        with self._lock:
            self._stream.close()
