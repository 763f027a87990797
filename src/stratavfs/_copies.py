"""Copying: one verb for a file and one for a tree, with the rules of ``shutil``.

As all changes it happens inside a transaction; names are made by :mod:`_edits`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from stratavfs import errors
from stratavfs._paths import ROOT, is_within, join, name_of
from stratavfs._tree import FILE_MODE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from stratavfs._content import Content
    from stratavfs._edits import Edits
    from stratavfs._layers import LayerStack
    from stratavfs._tree import Tree
    from stratavfs.records import Entry, Inode, InodeId, VPath

    Ignore = Callable[[str, list[str]], Iterable[str]] | None


class Copies:
    """Copies within the local layer."""

    def __init__(
        self, edits: Edits, layers: LayerStack, tree: Tree, content: Content
    ) -> None:
        self._edits = edits
        self._layers = layers
        self._tree = tree
        self._content = content

    def copy(
        self, src: VPath, dst: VPath, at: int, *, metadata: bool, follow: bool
    ) -> VPath:
        """Copy the file *src* to *dst*, or into the directory *dst*."""
        if src == ROOT:
            raise errors.is_a_directory(src)
        if self._layers.locate(dst).is_directory:
            dst = join(dst, name_of(src))
        source, target = self._layers.locate(src), self._layers.locate(dst)
        self._refuse_same_file(source, target)
        link = self._layers.locate(src, follow=False).inode
        if link is not None and link.is_link and not follow:
            self._copy_link(link, dst, at, metadata=metadata)
        else:
            self._copy_file(source, target, at, metadata=metadata)
        return dst

    def copy_tree(
        self,
        src: VPath,
        dst: VPath,
        at: int,
        *,
        symlinks: bool,
        dirs_exist_ok: bool,
        ignore: Ignore,
    ) -> None:
        """Copy the directory *src* with everything below it to *dst*."""
        source = self._layers.locate(src)
        source.require_directory()
        target = self._layers.locate(dst)
        mergeable = dirs_exist_ok and target.is_directory
        if not mergeable:  # a broken link is in the way as well
            self._layers.locate(dst, follow=False).require_absent()
        self._edits.require_room(target, parents=True)
        if is_within(target.path, source.path):
            raise errors.into_itself(src)
        copied: list[tuple[Inode, InodeId]] = []
        todo = [(src, dst)]
        while todo:  # a loop, since a tree may be deeper than Python's stack
            src, dst = todo.pop()
            copied.append(self._copy_directory(src, dst, at, exist_ok=dirs_exist_ok))
            for name, child in self._chosen(src, ignore):
                below, beside = join(src, name), join(dst, name)
                if child.is_link and symlinks:
                    self._copy_link(child, beside, at, metadata=True)
                    continue
                found = self._layers.locate(below)
                if found.is_directory:
                    todo.append((below, beside))
                else:
                    target = self._layers.locate(beside)
                    self._copy_file(found, target, at, metadata=True)
        for inode, made in copied:  # last, because copying into one sets its times
            self._copy_metadata(inode, made, at)

    def _copy_directory(
        self, src: VPath, dst: VPath, at: int, *, exist_ok: bool
    ) -> tuple[Inode, InodeId]:
        source = self._layers.locate(src).require_directory()
        self._edits.make_directory(
            dst, source.mode, at, parents=True, exist_ok=exist_ok
        )
        return source, self._layers.locate(dst).require().id

    def _chosen(self, src: VPath, ignore: Ignore) -> list[tuple[str, Inode]]:
        children = self._layers.children(src)
        if ignore is None:
            return children
        left_out = set(ignore(src, [name for name, _ in children]))
        return [(name, inode) for name, inode in children if name not in left_out]

    def _refuse_same_file(self, source: Entry, target: Entry) -> None:
        first, second = source.inode, target.inode
        if first is not None and second is not None and first.id == second.id:
            raise errors.same_file(source.asked, target.asked)

    def _copy_file(
        self, source: Entry, target: Entry, at: int, *, metadata: bool
    ) -> None:
        self._refuse_same_file(source, target)
        original = source.require_file()
        if target.inode is None:
            inode = self._edits.make(target, FILE_MODE, at, content=b"")
        else:
            inode = target.require_file().id
        self._content.copy(original.id, inode, at)
        if metadata:
            self._copy_metadata(original, inode, at)
        else:
            self._tree.set_mode(inode, original.mode, at)

    def _copy_link(self, source: Inode, dst: VPath, at: int, *, metadata: bool) -> None:
        self._edits.symlink(source.target or "", dst, at)
        if metadata:
            inode = self._layers.locate(dst, follow=False).require()
            self._copy_metadata(source, inode.id, at)

    def _copy_metadata(self, source: Inode, target: InodeId, at: int) -> None:
        """Copy what ``shutil.copystat`` copies: bits, times, extended attributes."""
        self._tree.copy_xattrs(source.id, target)
        self._tree.set_mode(target, source.mode, at)
        self._tree.set_times(target, source.atime_ns, source.mtime_ns, at)
