"""Grafts: whole trees from layer to layer - dropped, flattened, applied elsewhere.

As all changes they happen inside a transaction of the file system that changes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from stratavfs import errors
from stratavfs._compare import attributes, directories_above
from stratavfs._entry import Entry
from stratavfs._paths import ROOT, join
from stratavfs._tree import DIRECTORY_MODE
from stratavfs.records import Inode

if TYPE_CHECKING:
    from stratavfs._copyup import CopyUp
    from stratavfs._edits import Edits
    from stratavfs._layers import LayerStack
    from stratavfs._progress import Meter
    from stratavfs.records import InodeId, VPath

    # Where the first name of a file is that has several, by its layer and number.
    Made = dict[tuple[int, int], VPath]


class Grafts:
    """Brings trees into the local layer of one file system, or takes them away."""

    def __init__(self, layers: LayerStack, copy_up: CopyUp, edits: Edits) -> None:
        self._layers = layers
        self._copy_up = copy_up
        self._edits = edits
        _, self._tree, _ = layers.rooms

    # --- revert ----------------------------------------------------------------------

    def revert(self, path: VPath, at: int) -> None:
        """Drop what the local layer has at and below *path*."""
        entry = self._layers.locate(path, follow=False)
        path = entry.path
        below = self._layers.find_below(path)
        if entry.inode is None and below is None and self._tree.look(path) is None:
            entry.require()
        if path == ROOT:
            self._drop_all(at)
            return
        if below is not None:
            for directory in directories_above(path):
                self._show(directory, at)
        self._drop(path, at)

    def _drop_all(self, at: int) -> None:
        for name, _ in self._tree.look_kinds(ROOT):
            self._drop(join(ROOT, name), at)
        self._tree.set_opaque(self._root(), at, opaque=False)

    def _drop(self, path: VPath, at: int) -> None:
        """Remove what the local layer has at *path*, and leave no whiteout."""
        mine = self._tree.look(path)
        if mine is None or mine.is_whiteout:
            self._tree.remove_entry(path)
        elif mine.is_directory:
            self._tree.remove_tree(path, mine.id, at)
        else:
            self._tree.unlink(path, mine, at)

    def _show(self, directory: VPath, at: int) -> None:
        """Let the underlays show in *directory*, name by name as it was before.

        Where it hides them as a whole, it hides each of their names afterwards, so that
        one can be shown again.
        """
        mine = self._tree.look(directory)
        if mine is None or (mine.is_directory and not mine.opaque):
            return
        below = self._layers.find_below(directory)
        if below is None or not below[1].is_directory:
            return
        if mine.is_whiteout:
            self._tree.remove_entry(directory)
            self._copy_up.graft(Entry.of(directory, below[1], below[0]), at)
        elif mine.is_directory:
            self._tree.set_opaque(mine.id, at, opaque=False)
        else:
            raise errors.not_a_directory(directory)
        for name in self._layers.names_below(directory):
            self._hide(join(directory, name), at)

    def _hide(self, path: VPath, at: int) -> None:
        """Hide what the underlays have at *path*, as its directory did up to now."""
        mine = self._tree.look(path)
        if mine is None:
            self._tree.add_whiteout(path)
        elif mine.is_directory:
            self._tree.set_opaque(mine.id, at, opaque=True)

    # --- from another file system ----------------------------------------------------

    def flatten(self, source: LayerStack, at: int, location: str, meter: Meter) -> None:
        """Make the merged view of *source* all that is here, where nothing is yet."""
        if self._layers.names(ROOT):
            raise errors.not_empty(location)
        local = source.stack.everybody()[0]
        made: Made = {}
        todo = [ROOT]
        while todo:
            directory = todo.pop()
            for name, inode, member in source.children(directory):
                path = join(directory, name)
                self._put(Entry.of(path, inode, member or local), made, at)
                meter.count(path, inode.size)
                if inode.is_directory:
                    todo.append(path)
        root = source.locate(ROOT)
        entry = Entry.of(ROOT, root.require(), root.member or local)
        self._copy_up.restore(self._root(), entry, at)
        meter.finish()

    def apply(self, source: LayerStack, at: int, meter: Meter) -> None:
        """Make the changes of the local layer of *source* here too."""
        local = source.stack.everybody()[0]
        made: Made = {}
        merged: list[Entry] = []
        todo = [ROOT]
        while todo:
            directory = todo.pop()
            for name, inode in local.children(directory):
                path = join(directory, name)
                entry = Entry.of(path, inode, local)
                if self._merges(entry):
                    merged.append(entry)
                else:
                    self._replace(entry, made, at)
                meter.count(path, inode.size)
                if inode.is_directory:
                    todo.append(path)
        for entry in merged:  # last, since each change in a directory sets its times
            here = self._layers.locate(entry.path, follow=False)
            self._copy_up.restore(self._copy_up.bring(here, at), entry, at)
        self._apply_root(Entry.of(ROOT, source.locate(ROOT).require(), local), at)
        meter.finish()

    def _apply_root(self, entry: Entry, at: int) -> None:
        """Carry the attributes of the root, which is always there, if any were set."""
        as_made = attributes(Inode(DIRECTORY_MODE))
        if attributes(entry.require()) != as_made or self._layers.xattrs(entry):
            self._copy_up.restore(self._root(), entry, at)

    def _merges(self, entry: Entry) -> bool:
        """Tell whether *entry* is a directory that shows what is in the one here."""
        inode = entry.require()
        if not inode.is_directory or inode.opaque:
            return False
        return self._layers.locate(entry.path, follow=False).is_directory

    def _replace(self, entry: Entry, made: Made, at: int) -> None:
        """Let *entry*, maybe a whiteout, take the place of what is here."""
        here = self._layers.locate(entry.path, follow=False)
        if here.is_directory:
            self._edits.remove_tree(entry.path, at)
        elif here.inode is not None:
            self._edits.remove(entry.path, at)
        if not entry.require().is_whiteout:
            self._put(entry, made, at)

    def _put(self, entry: Entry, made: Made, at: int) -> None:
        """Make a copy of *entry* here; hard links stay links to one file."""
        inode = entry.require()
        first = None
        if inode.nlink > 1 and not inode.is_directory:
            first = made.setdefault((entry.device, inode.id), entry.path)
        if first is None or first == entry.path:
            self._copy_up.graft(entry, at)
        else:
            found = self._layers.locate(first, follow=False).require()
            self._tree.add_link(entry.path, found, at)

    def _root(self) -> InodeId:
        return self._layers.locate(ROOT).require().id
