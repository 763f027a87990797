"""Copying: one verb for a file and one for a tree, with the rules of ``shutil``.

As all changes it happens inside a transaction; names are made by :mod:`_edits`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from stratavfs import errors
from stratavfs._bulk import Bulk
from stratavfs._entry import Entry
from stratavfs._paths import ROOT, check_length, is_within, join, name_of, split
from stratavfs._tree import FILE_MODE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from stratavfs._copyup import CopyUp
    from stratavfs._edits import Edits
    from stratavfs._layers import LayerStack
    from stratavfs._progress import Meter
    from stratavfs.records import InodeId, VPath

    Ignore = Callable[[str, list[str]], Iterable[str]] | None


class Copies:
    """Copies from wherever it is in the merged view into the local layer."""

    def __init__(self, edits: Edits, layers: LayerStack, copy_up: CopyUp) -> None:
        self._edits = edits
        self._layers = layers
        self._copy_up = copy_up
        _, self._tree, self._content = layers.rooms

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
        link = self._layers.locate(src, follow=False)
        if link.inode is not None and link.inode.is_link and not follow:
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
        meter: Meter,
    ) -> None:
        """Copy the directory *src* with everything below it to *dst*."""
        source = self._layers.locate(src)
        source.require_directory()
        target = self._layers.locate(dst)
        if not (dirs_exist_ok and target.is_directory):  # a broken link is in the way
            self._layers.locate(dst, follow=False).require_absent()
        self._edits.require_room(target, parents=True)
        if is_within(target.path, source.path):
            raise errors.into_itself(src)
        copied: list[tuple[Entry, InodeId]] = []
        todo, bulk = [(src, dst)], Bulk(self._layers.rooms)
        while todo:  # a loop, since a tree may be deeper than Python's stack
            src, dst = todo.pop()
            is_new = self._layers.locate(dst).inode is None
            copied.append(self._copy_directory(src, dst, at, exist_ok=dirs_exist_ok))
            into = self._layers.locate(dst).path  # a link may have led there
            for found in self._chosen(copied[-1][0], src, ignore):
                beside = join(dst, name_of(found.asked))
                if is_new and self._is_copied_at_once(found, into, at, bulk):
                    meter.count(found.asked, found.require().size)
                    continue
                bulk.flush()
                one = self._copy_one(found.asked, beside, at, symlinks=symlinks)
                if one.is_directory:
                    todo.append((found.asked, beside))
                meter.count(found.asked, one.require().size)
            bulk.flush()
        for source, made in copied:  # last, because copying into one sets its times
            self._copy_metadata(source, made, at)
        meter.finish()

    def _copy_one(self, src: VPath, dst: VPath, at: int, *, symlinks: bool) -> Entry:
        """Copy what is at *src*, unless it is a directory; return it."""
        link = self._layers.locate(src, follow=False)
        is_link = link.inode is not None and link.inode.is_link
        if is_link and symlinks:
            self._copy_link(link, dst, at, metadata=True)
            return link
        found = self._layers.locate(src) if is_link else link
        if not found.is_directory:
            self._copy_file(found, self._layers.locate(dst), at, metadata=True)
        return found

    def _copy_directory(
        self, src: VPath, dst: VPath, at: int, *, exist_ok: bool
    ) -> tuple[Entry, InodeId]:
        source = self._layers.locate(src)
        mode = source.require_directory().mode
        self._edits.make_directory(dst, mode, at, parents=True, exist_ok=exist_ok)
        return source, self._copy_up.bring(self._layers.locate(dst), at)

    def _is_copied_at_once(
        self, source: Entry, directory: VPath, at: int, bulk: Bulk
    ) -> bool:
        """Copy a small file into a *directory* that is new; False: it is none.

        Two statements and a share in a third, where any other file takes twelve.
        """
        inode = source.require()
        if not inode.is_file or not self._content.is_inline(inode.size):
            return False
        if source.member is None:
            content = self._content.read(inode.id)
        else:
            content = source.member.content(source.path)
        if content is None or len(content) != inode.size:
            return False
        dst = join(directory, name_of(source.asked))
        check_length(dst)
        times = inode.atime_ns, inode.mtime_ns, at, at
        facts = (inode.mode, 0, 0, inode.size, *times, "", "", None)
        bulk.put(split(dst), facts, content, self._layers.xattrs(source))
        return True

    def _chosen(self, source: Entry, asked: VPath, ignore: Ignore) -> list[Entry]:
        """Return what is to be copied from a directory, which was *asked* for."""
        children = self._layers.children(source.path)
        left_out: set[str] = set()
        if ignore is not None:
            left_out.update(ignore(asked, [name for name, _, _ in children]))
        return [
            Entry(join(source.path, name), join(asked, name), inode, member=member)
            for name, inode, member in children
            if name not in left_out
        ]

    def _refuse_same_file(self, source: Entry, target: Entry) -> None:
        if source.is_same_as(target):
            raise errors.same_file(source.asked, target.asked)

    def _copy_file(
        self, source: Entry, target: Entry, at: int, *, metadata: bool
    ) -> None:
        self._refuse_same_file(source, target)
        original = source.require_file()
        if target.inode is None:
            inode = self._edits.make(target, FILE_MODE, at, content=b"")
        else:
            target.require_file()
            inode = self._copy_up.bring(target, at, content=False)
        self._copy_up.copy_content(source, inode, at)
        if metadata:
            self._copy_metadata(source, inode, at)
        else:
            self._tree.set_mode(inode, original.mode, at)

    def _copy_link(self, source: Entry, dst: VPath, at: int, *, metadata: bool) -> None:
        self._edits.symlink(source.require().target or "", dst, at)
        if metadata:
            made = self._layers.locate(dst, follow=False).require()
            self._copy_metadata(source, made.id, at)

    def _copy_metadata(self, source: Entry, target: InodeId, at: int) -> None:
        """Copy what ``shutil.copystat`` copies: bits, times, extended attributes."""
        inode = source.require()
        if source.member is None:
            self._tree.copy_xattrs(inode.id, target)
        else:
            for name, value in self._layers.xattrs(source).items():
                self._tree.put_xattr(target, name, value)
        self._tree.set_mode(target, inode.mode, at)
        self._tree.set_times(target, inode.atime_ns, inode.mtime_ns, at)
