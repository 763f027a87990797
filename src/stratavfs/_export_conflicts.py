"""What is on the host already where an export comes to, and what becomes of it."""

from __future__ import annotations

import os
from contextlib import closing
from stat import S_ISDIR, S_ISLNK, S_ISREG
from typing import TYPE_CHECKING, Final

from stratavfs import errors
from stratavfs._host import id_of, open_containers
from stratavfs._host_attributes import Precision
from stratavfs._host_target import is_directory, is_next
from stratavfs._merged import opened

if TYPE_CHECKING:
    from stratavfs._choices import Choices
    from stratavfs._host import FileId
    from stratavfs._host_target import Directory
    from stratavfs._layers import LayerStack
    from stratavfs._merged import Found

_STEP: Final = 1 << 20  # bytes compared at a time
_BESIDE: Final = ("-wal", "-shm", "-journal")


class Conflicts:
    """Decides, by what is there, whether something is written."""

    def __init__(self, layers: LayerStack, choices: Choices) -> None:
        self._layers = layers
        self._choices = choices
        self._precision = Precision()
        self._containers: frozenset[FileId] | None = None
        self.unchanged = 0
        """What was there already, and the same."""
        self.skipped = 0
        """What is left as it is."""

    def is_same(
        self, here: Directory, name: str, status: os.stat_result, found: Found
    ) -> bool:
        """Tell whether *name* is there, and the same; then it is counted.

        Raises:
            FileExistsError: the host takes it for another name of this export.
        """
        other = here.same_as(name, status)
        if other is not None:
            raise errors.differs_in_case(here.path_of(name), other)
        if not self._has(here, name, status, found):
            return False
        self.unchanged += 1
        return True

    def _has(
        self, here: Directory, name: str, status: os.stat_result, found: Found
    ) -> bool:
        inode = found.entry.require()
        if inode.is_directory:
            return is_directory(status)
        if inode.target is not None:
            return S_ISLNK(status.st_mode) and here.read_link(name) == inode.target
        if not S_ISREG(status.st_mode) or status.st_size != inode.size:
            return False
        if not self._choices.checksum:
            return self._precision.is_same(here, status, inode.mtime_ns)
        self._refuse_container(status, here.path_of(name))
        handle = here.open_file(name)
        try:
            return id_of(os.fstat(handle)) == id_of(status) and self._has_bytes_of(
                handle, found
            )
        finally:
            os.close(handle)

    def _has_bytes_of(self, handle: int, found: Found) -> bool:
        with closing(opened(self._layers, found.entry)) as source:
            size, offset = found.entry.require().size, 0
            view = memoryview(bytearray(min(size, _STEP)))
            while offset < size:
                count = source.read_into(offset, view[: size - offset]) or 0
                if not count or not is_next(handle, view[:count]):
                    return False
                offset += count
        return not os.read(handle, 1)

    def gives_way(self, status: os.stat_result, found: Found, path: str) -> bool:
        """Tell whether what was *found* takes the place of another thing at *path*."""
        choice = self._choices.on_conflict
        late = found.entry.require().mtime_ns > status.st_mtime_ns
        if S_ISDIR(status.st_mode) and choice != "skip":
            raise errors.directory_in_the_way(path)
        if choice == "error":
            raise errors.conflict(path, kind_of(status))
        if choice == "skip" or (choice == "newer" and not late):
            self.skipped += 1
            return False
        self._refuse_container(status, path)
        return True

    def refuse_beside(self, here: Directory, name: str) -> None:
        """Refuse a *name* by which SQLite would take a file for a container's log."""
        if name.endswith(_BESIDE):
            status = here.lstat(name[: name.rindex("-")])
            if status is not None:
                self._refuse_container(status, here.path_of(name))

    def _refuse_container(self, status: os.stat_result, path: str) -> None:
        if self._containers is None:
            self._containers = open_containers()
        if id_of(status) in self._containers:
            raise errors.is_open_container(path)


def kind_of(status: os.stat_result) -> str:
    """Return what is there, in words."""
    if S_ISREG(status.st_mode):
        return "another file"
    return "a symbolic link" if S_ISLNK(status.st_mode) else "something else"
