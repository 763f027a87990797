"""The short ways of the changes that are made most: with one layer, by names alone.

Where no other layer has a say and no symbolic link is in the way, one statement tells
what three do otherwise, and an overwrite asks nothing at all. Each verb tells whether
it has done the whole change; if not, it has changed nothing, and the long way decides.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from stratavfs._paths import parent_of
from stratavfs._tree import FILE_MODE

if TYPE_CHECKING:
    from stratavfs._layers import LayerStack
    from stratavfs.records import InodeId, VPath


class Shortcuts:
    """Changes the local layer, if it is the only one."""

    def __init__(self, layers: LayerStack) -> None:
        self._stack = layers.stack
        _, self._tree, self._content = layers.rooms
        self._makes = True  # whether the last file that was written was a new one

    def write(self, path: VPath, data: memoryview, at: int) -> bool:
        """Write a small file over another in 8 us, not 13, or a new one in 16, not 20.

        First it tries what the last one was: the wrong way costs 2 us.
        """
        if self._stack.resolver is not None:
            return False
        if not self._content.is_inline(len(data)):
            return self.make(path, FILE_MODE, at, data)
        if self._makes:
            self._makes = self.make(path, FILE_MODE, at, data)
            if self._makes:
                return True
        if self._tree.overwrite(path, data, at):
            return True
        self._makes = self.make(path, FILE_MODE, at, data)
        return self._makes

    def make(
        self, path: VPath, mode: int, at: int, content: memoryview | None = None
    ) -> bool:
        """Make what is at a free name, in a directory that is there: 14 us, not 22."""
        room = self._room(path)
        if room is None:
            return False
        size = 0 if content is None else len(content)
        self._tree.stamp(room, at)
        if content is None or self._content.is_inline(size):
            self._tree.add(path, mode, at, size=size, content=content, free=True)
        else:
            inode = self._tree.add(path, mode, at, size=size, free=True)
            self._content.fill(inode, content)
        return True

    def remove(self, path: VPath, at: int) -> bool:
        """Remove a small file that has one name: 14 us instead of 19."""
        if self._stack.resolver is not None or not self._tree.remove_small(path):
            return False
        self._tree.stamp_directory(parent_of(path), at)
        return True

    def move_file(self, src: VPath, dst: VPath, at: int) -> bool:
        """Move a file, or a link, to a free name: a quarter less than the long way."""
        room = self._room(dst)
        inode = None if room is None else self._tree.find(src)
        if room is None or inode is None or inode.is_directory:
            return False
        self._tree.stamp(room, at)
        self._tree.move(src, dst, directory=False, free=True)
        self._tree.set_changed(inode.id, at)
        directory = parent_of(src)
        if directory != parent_of(dst):
            self._tree.stamp_directory(directory, at)
        return True

    def _room(self, path: VPath) -> InodeId | None:
        """Return the directory of a name that is free; None if that takes more."""
        return None if self._stack.resolver else self._tree.find_room(path)
