"""What is measured: one class per subject, all with the verbs that the work calls.

A peer joins by being one more class here, filled by ``stage.py`` and named in the
work it takes part in. Its own ``__init__`` imports its module, which stays optional.
"""

from __future__ import annotations

import os
import secrets
import sys
from array import array
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol

from stratavfs import StatResult, VirtualFileSystem

if TYPE_CHECKING:
    from collections.abc import Iterator

if sys.platform == "linux":
    import fcntl

# FS_IOC_GETFLAGS, FS_IOC_SETFLAGS and FS_TOPDIR_FL of linux/fs.h, 64-bit.
_GET_FLAGS: Final = 0x80086601
_SET_FLAGS: Final = 0x40086602
_TOP_DIRECTORY: Final = 0x20000


class File(Protocol):
    """What the streams need of a handle."""

    def read(self, size: int, /) -> bytes: ...
    def write(self, data: bytes, /) -> object: ...
    def close(self) -> None: ...


class Patchable(Protocol):
    """What the updates within a large file need of a handle."""

    def update(self, offset: int, data: bytes, /) -> object: ...
    def read_at(self, offset: int, size: int, /) -> bytes: ...
    def close(self) -> None: ...


class Subject(Protocol):
    """The verbs that the work calls; each takes what ``key`` has made of a path."""

    name: str

    def key(self, path: str) -> Any:
        """Return what the subject knows the file at *path* by; never timed."""

    def directory_key(self, path: str) -> Any: ...
    def batch(self) -> AbstractContextManager[object]: ...
    def read_bytes(self, key: Any, /) -> bytes: ...
    def open_and_read(self, key: Any, /) -> bytes: ...
    def stat(self, key: Any, /) -> Any: ...
    def size_of(self, found: Any, /) -> int:
        """Return the size in what ``stat`` gave; never timed."""

    def exists(self, key: Any, /) -> bool: ...
    def listdir(self, key: Any, /) -> list[str]: ...
    def write_bytes(self, key: Any, data: bytes, /) -> object: ...
    def remove(self, key: Any, /) -> object: ...
    def open(self, key: Any, mode: str, /) -> File: ...
    def patch(self, key: Any, /) -> Patchable: ...
    def close(self) -> None: ...


class Strata:
    """The library; the verbs are bound once, so that no wrapper is measured with it."""

    def __init__(self, name: str, vfs: VirtualFileSystem) -> None:
        self.name = name
        self.vfs = vfs
        self.batch = vfs.atomic_batch
        self.read_bytes = vfs.read_bytes
        self.stat = vfs.stat
        self.exists = vfs.exists
        self.listdir = vfs.listdir
        self.write_bytes = vfs.write_bytes
        self.remove = vfs.remove
        self.compact = vfs.compact
        self.fork = vfs.fork
        self.close = vfs.close

    @staticmethod
    def key(path: str) -> str:
        return path

    directory_key = key

    @staticmethod
    def size_of(found: StatResult) -> int:
        return found.st_size

    def open_and_read(self, key: str) -> bytes:
        with self.vfs.open(key, "rb") as file:
            return file.read()

    def open(self, key: str, mode: str) -> File:
        file: File = self.vfs.open(key, mode)
        return file

    def patch(self, key: str) -> RawPatch:
        return RawPatch(self.vfs.open(key, "r+b", buffering=0))

    def mark(self) -> None:
        self.reset = self.vfs.savepoint().reset


class RawPatch:
    """An unbuffered handle, the library's or the builtin's."""

    def __init__(self, raw: Any) -> None:
        self._raw = raw
        self.close = raw.close

    def update(self, offset: int, data: bytes) -> None:
        self._raw.seek(offset)
        self._raw.write(data)

    def read_at(self, offset: int, size: int) -> bytes:
        self._raw.seek(offset)
        data: bytes = self._raw.read(size)
        return data


class StrataMemory(Strata):
    """A container in memory."""

    def __init__(self) -> None:
        super().__init__("memory", VirtualFileSystem())


class StrataDisk(Strata):
    """A container on the disk, opened for reading and writing."""

    def __init__(
        self, location: str, synchronous: Literal["off", "normal", "full"] = "normal"
    ) -> None:
        super().__init__("disk", VirtualFileSystem(location, synchronous=synchronous))


class StrataSynced(StrataDisk):
    """A container on the disk, with a ``sync()`` after each commit."""

    def __init__(self, location: str) -> None:
        super().__init__(location)
        self._in_batch = False
        self.batch = self._synced_batch  # type: ignore[assignment]
        self.write_bytes = self._synced_write  # type: ignore[assignment]

    @contextmanager
    def _synced_batch(self) -> Iterator[None]:
        self._in_batch = True
        with self.vfs.atomic_batch():
            yield
        self._in_batch = False
        self.vfs.sync()

    def _synced_write(self, key: str, data: bytes) -> None:
        self.vfs.write_bytes(key, data)
        if not self._in_batch:
            self.vfs.sync()


class StrataImmutable(Strata):
    """A container on the disk of which it is promised that nobody changes it."""

    def __init__(self, location: str) -> None:
        super().__init__("immutable", VirtualFileSystem(location, immutable=True))


class LocalDisk:
    """The local disk by ``open()``, below a directory of its own."""

    name = "local"

    def __init__(self, root: str) -> None:
        os.mkdir(root)
        set_apart(root)
        # ext4 chooses the place of a directory in *root* by its name.
        self._prefix = os.path.join(root, secrets.token_hex(4))

    def key(self, path: str) -> str:
        key = self.directory_key(path)
        os.makedirs(os.path.dirname(key), exist_ok=True)
        return key

    def directory_key(self, path: str) -> str:
        return self._prefix + path[1:]

    @staticmethod
    def batch() -> AbstractContextManager[None]:
        return nullcontext()

    @staticmethod
    def read_bytes(key: str) -> bytes:
        with open(key, "rb") as file:
            return file.read()

    open_and_read = read_bytes

    stat = staticmethod(os.stat)

    @staticmethod
    def size_of(found: os.stat_result) -> int:
        return found.st_size

    exists = staticmethod(os.path.exists)
    remove = staticmethod(os.remove)
    listdir = staticmethod(os.listdir)

    @staticmethod
    def write_bytes(key: str, data: bytes) -> None:
        with open(key, "wb") as file:
            file.write(data)

    @staticmethod
    def open(key: str, mode: str) -> File:
        file: File = open(key, mode)  # noqa: SIM115 - the caller closes it
        return file

    @staticmethod
    def patch(key: str) -> RawPatch:
        return RawPatch(open(key, "r+b", buffering=0))

    def close(self) -> None:
        """Nothing is held."""


class SyncedDisk(LocalDisk):
    """The local disk, where what is written outlasts a power cut, its name too."""

    name = "fsync"

    @staticmethod
    def write_bytes(key: str, data: bytes) -> None:
        with open(key, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        sync(os.path.dirname(key))


def sync(path: str) -> None:
    """Carry a file or a directory to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)


def set_apart(directory: str) -> None:
    """Let ext4 put what is made in *directory* elsewhere on the disk (``chattr +T``).

    Without a journal, ext4 passes over every inode that was removed in the last minutes
    when it makes a new one nearby. After an earlier run, or any other removal of
    thousands of files, that makes a plain file look ten or thirty times dearer.
    """
    if sys.platform != "linux":
        return
    descriptor = os.open(directory, os.O_RDONLY)
    flags = array("l", [0])
    with suppress(OSError):  # another file system: nothing to avoid
        fcntl.ioctl(descriptor, _GET_FLAGS, flags)
        flags[0] |= _TOP_DIRECTORY
        fcntl.ioctl(descriptor, _SET_FLAGS, flags)
    os.close(descriptor)
