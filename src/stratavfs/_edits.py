"""The changes: one verb each, with the rules POSIX and ``shutil`` have for it.

Every verb is called inside a transaction, decides first and changes last; what a path
leads to is asked of the view. What an underlay has comes up into the local layer before
it changes, and a whiteout is left where it would still show. ``at`` is the moment, ns.
"""

from __future__ import annotations

from errno import EINVAL
from stat import S_IFMT, S_IMODE
from typing import TYPE_CHECKING

from stratavfs import errors
from stratavfs._arguments import changed_owner
from stratavfs._content import check_size
from stratavfs._paths import (
    PATH_LIMIT,
    ROOT,
    ancestors,
    check_length,
    is_within,
    join,
    name_of,
    parent_of,
)
from stratavfs._shortcuts import Shortcuts
from stratavfs._tree import DIRECTORY_MODE, FILE_MODE, LINK_MODE
from stratavfs.records import S_IFWHT

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from stratavfs._copyup import CopyUp
    from stratavfs._entry import Entry
    from stratavfs._layers import LayerStack
    from stratavfs._modes import OpenMode
    from stratavfs.records import Buffer, InodeId, VPath


class Edits:
    """Changes the local layer."""

    def __init__(
        self, layers: LayerStack, copy_up: CopyUp, *, create_parents: bool
    ) -> None:
        self._layers = layers
        self._copy_up = copy_up
        _, self._tree, self._content = layers.rooms
        self._short = Shortcuts(layers)
        self.create_parents = create_parents

    # --- files -----------------------------------------------------------------------

    def open_file(self, path: VPath, how: OpenMode, at: int) -> InodeId:
        """Return the file to open, made or truncated as *how* says."""
        entry = self._layers.locate(path, follow=not how.creating)
        if how.creating:
            entry.require_absent()
        if entry.inode is None and how.makes:
            return self.make(entry, FILE_MODE, at, content=b"")
        entry.require_file()
        inode = self._copy_up.bring(entry, at, content=not how.truncating)
        if how.truncating:
            self._content.resize(inode, 0, at)
        return inode

    def write_file(self, path: VPath, data: memoryview, at: int) -> None:
        """Make *data* all the content of the file at *path*."""
        if self._short.write(path, data, at):
            return
        entry = self._layers.locate(path)
        if entry.inode is not None:
            entry.require_file()
            inode = self._copy_up.bring(entry, at, content=False)
            self._content.replace(inode, data, at)
        elif self._content.is_inline(len(data)):
            self.make(entry, FILE_MODE, at, size=len(data), content=data)
        else:
            inode = self.make(entry, FILE_MODE, at, size=len(data))
            self._content.fill(inode, data)

    def touch(self, path: VPath, mode: int, at: int, *, exist_ok: bool) -> None:
        """Make an empty file, or set the times of what is there to now."""
        entry = self._layers.locate(path, follow=exist_ok)
        if not exist_ok:
            entry.require_absent()
        if entry.inode is None:
            mode = S_IFMT(FILE_MODE) | S_IMODE(mode)
            self.make(entry, mode, at, content=b"")
        else:
            self._tree.set_times(self._copy_up.bring(entry, at), at, at, at)

    def truncate(self, path: VPath, length: int, at: int) -> None:
        check_size(length, path)
        entry = self._layers.locate(path)
        entry.require_file()
        inode = self._copy_up.bring(entry, at, content=length > 0)
        self._content.resize(inode, length, at)

    def remove(self, path: VPath, at: int) -> None:
        """Remove the file or symbolic link at *path*."""
        if self._short.remove(path, at):
            return
        if path == ROOT:
            raise errors.root_is_a_directory(path)
        entry = self._layers.locate(path, follow=False)
        inode = entry.require_file()
        if entry.member is None:
            self._tree.unlink(entry.path, inode, at)
        self._gone(entry.path, at)

    def _gone(self, path: VPath, at: int) -> None:
        """Note that *path* has gone from its directory; hide what lies below it."""
        directory = parent_of(path)
        self._copy_up.bring_directory(directory, at)
        if self._layers.shines_through(path):
            self._tree.add_whiteout(path)
        self._tree.stamp_directory(directory, at)

    # --- links -----------------------------------------------------------------------

    def symlink(self, target: str, path: VPath, at: int) -> None:
        """Make the symbolic link *path*; *target* is kept as it is."""
        entry = self._layers.locate(path, follow=False)
        self.make(entry, LINK_MODE, at, size=len(target.encode()), target=target)

    def link(self, src: VPath, dst: VPath, at: int, *, follow: bool) -> None:
        """Give the file at *src* one more name."""
        source = self._layers.locate(src, follow=follow)
        inode = source.require()
        entry = self._layers.locate(dst, follow=False)
        self.require_room(entry)
        entry.require_absent()
        if inode.is_directory:
            raise errors.not_permitted(src)
        number = self._copy_up.bring(source, at)
        self._make_room(entry, at)
        self._tree.add_link(entry.path, inode._replace(id=number), at)

    # --- directories -----------------------------------------------------------------

    def make_directory(
        self, path: VPath, mode: int, at: int, *, parents: bool, exist_ok: bool
    ) -> None:
        mode = S_IFMT(DIRECTORY_MODE) | S_IMODE(mode)
        if self._short.make(path, mode, at):
            return
        entry = self._layers.locate(path, follow=False)
        if entry.inode is not None:
            if exist_ok and self._layers.locate(path).is_directory:
                return
            if path == ROOT:
                raise errors.root_exists(path)
            raise errors.already_exists(path)
        self.make(entry, mode, at, parents=parents)

    def remove_directory(self, path: VPath, at: int) -> None:
        """Remove the empty directory at *path*."""
        entry = self._removable_directory(path)
        self._remove_empty(entry)
        self._gone(entry.path, at)

    def _remove_empty(self, entry: Entry) -> None:
        """Remove what the local layer has of a directory, which must show nothing."""
        if self._layers.names(entry.path):
            raise errors.not_empty(entry.asked)
        if entry.member is None:
            self._tree.remove_directory(entry.path, entry.require().id)

    def remove_tree(self, path: VPath, at: int) -> None:
        """Remove the directory at *path* and everything below it."""
        entry = self._removable_directory(path)
        if entry.member is None:
            self._tree.remove_tree(entry.path, entry.require().id, at)
        self._gone(entry.path, at)

    def _removable_directory(self, path: VPath) -> Entry:
        if path == ROOT:
            raise errors.root_busy(path)
        entry = self._layers.locate(path, follow=False)
        entry.require_directory()
        return entry

    # --- moving ----------------------------------------------------------------------

    def rename(self, src: VPath, dst: VPath, at: int) -> None:
        """Move *src* to *dst*, which must be absent (``RENAME_NOREPLACE``)."""
        if self._short.move_file(src, dst, at):
            return
        source, target = self._ends(src, dst, errors.root_exists)
        target.require_absent()
        self._move(source, target, at)

    def replace(self, src: VPath, dst: VPath, at: int) -> None:
        """Move *src* to *dst* by the rules of ``rename(2)``."""
        source, target = self._ends(src, dst, errors.root_busy)
        if target.inode is None:
            self._move(source, target, at)
        elif not target.is_same_as(source):  # else two names of one file
            self._refuse_into_itself(source, target)
            self._clear(source, target, at)
            self._move(source, target, at)

    def move(self, src: VPath, dst: VPath, at: int) -> VPath:
        """Move *src* to *dst*, or into the directory *dst*, as ``shutil.move`` does.

        As it does from Python 3.13 on: a link goes into the directory it leads to.
        """
        if src == ROOT:
            raise errors.root_busy(src)
        source = self._layers.locate(src, follow=False)
        target = self._layers.locate(dst)
        if src != dst and target.is_directory and target.path != source.path:
            dst = join(dst, name_of(src))
            if self._layers.locate(dst, follow=False).inode is not None:
                raise errors.destination_exists(src, dst)
        try:
            self.replace(src, dst, at)
        except OSError as error:
            if error.errno == EINVAL:
                raise errors.moved_into_itself(src, dst) from error
            raise
        return dst

    def _ends(
        self, src: VPath, dst: VPath, root_refused: Callable[[str], OSError]
    ) -> tuple[Entry, Entry]:
        """Return both ends of a move, refused in the order of ``rename(2)``."""
        if src == ROOT:
            raise errors.root_busy(src)
        source = self._layers.locate(src, follow=False)
        target = self._layers.locate(dst, follow=False)
        self.require_room(source, parents=False)
        self.require_room(target)
        if target.path == ROOT:
            raise root_refused(dst)
        source.require()
        return source, target

    def _refuse_into_itself(self, source: Entry, target: Entry) -> None:
        if source.is_directory and is_within(target.path, source.path):
            raise errors.into_itself(source.asked)

    def _clear(self, source: Entry, target: Entry, at: int) -> None:
        """Remove what *source* is about to replace, if it may."""
        if is_within(source.path, target.path):
            raise errors.not_empty(target.asked)
        inode = target.require()
        if not inode.is_directory:
            if source.is_directory:
                raise errors.not_a_directory(target.asked)
            if target.member is None:
                self._tree.unlink(target.path, inode, at)
        elif not source.is_directory:
            raise errors.is_a_directory(target.asked)
        else:
            self._remove_empty(target)

    def _move(self, source: Entry, target: Entry, at: int) -> None:
        """Give *source* the name of *target*, which is absent or cleared."""
        self._refuse_into_itself(source, target)
        if source.is_directory:
            self._move_directory(source, target, at)
        else:
            inode = self._copy_up.bring(source, at)
            self._make_room(target, at)
            self._tree.move(source.path, target.path, directory=False)
            self._tree.set_changed(inode, at)
        self._gone(source.path, at)

    def _move_directory(self, source: Entry, target: Entry, at: int) -> None:
        """Move a directory, all of it: it hides whatever is below its new place."""
        inode = self._copy_up.bring_tree(source, at)
        self._check_length_below(source, target)
        self._make_room(target, at)
        covers = self._tree.look_type(target.path) == S_IFWHT
        covers = covers or self._layers.shines_through(target.path)
        self._tree.move(source.path, target.path, directory=True)
        self._tree.set_opaque(inode, at, opaque=covers)

    def _check_length_below(self, source: Entry, target: Entry) -> None:
        """Refuse to move a directory so deep that a path in it becomes too long."""
        growth = len(target.path.encode()) - len(source.path.encode())
        if growth > 0 and self._tree.longest_below(source.path) + growth > PATH_LIMIT:
            raise errors.name_too_long(target.asked)

    # --- attributes ------------------------------------------------------------------

    def set_mode(self, path: VPath, bits: int, at: int, *, follow: bool) -> None:
        entry = self._layers.locate(path, follow=follow)
        mode = S_IFMT(entry.require().mode) | S_IMODE(bits)
        self._tree.set_mode(self._copy_up.bring(entry, at), mode, at)

    def set_owner(
        self, path: VPath, owner: int | str, group: int | str, at: int, *, follow: bool
    ) -> None:
        """Set the owner and the group, each by number or by name; -1 leaves it."""
        entry = self._layers.locate(path, follow=follow)
        inode = entry.require()
        uid, owner_name = changed_owner(owner, inode.uid, inode.owner)
        gid, group_name = changed_owner(group, inode.gid, inode.group)
        names = (uid, gid, owner_name, group_name)
        self._tree.set_owner(self._copy_up.bring(entry, at), names, at)

    def set_times(
        self, path: VPath, times: tuple[int, int], at: int, *, follow: bool
    ) -> None:
        """Set the times of access and of modification, in nanoseconds."""
        entry = self._layers.locate(path, follow=follow)
        self._tree.set_times(self._copy_up.bring(entry, at), *times, at)

    def set_xattr(
        self,
        path: VPath,
        name: str,
        value: bytes,
        at: int,
        *,
        must_exist: bool | None,
        follow: bool,
    ) -> None:
        """Set an extended attribute; *must_exist* True, False or None for either."""
        entry = self._layers.locate(path, follow=follow)
        entry.require()
        exists = name in self._layers.xattrs(entry)
        if must_exist is True and not exists:
            raise errors.no_attribute(path)
        if must_exist is False and exists:
            raise errors.already_exists(path)
        self._tree.set_xattr(self._copy_up.bring(entry, at), name, value, at)

    def set_xattrs(
        self,
        path: VPath,
        prefix: str,
        values: Mapping[str, bytes],
        at: int,
        *,
        follow: bool,
    ) -> None:
        """Make *values* all the extended attributes whose names begin so."""
        entry = self._layers.locate(path, follow=follow)
        entry.require()
        found = self._layers.xattrs(entry)
        inode = self._copy_up.bring(entry, at)
        for name in found:
            if name.startswith(prefix) and name not in values:
                self._tree.remove_xattr(inode, name, at)
        for name, value in values.items():
            self._tree.set_xattr(inode, name, value, at)

    def remove_xattr(self, path: VPath, name: str, at: int, *, follow: bool) -> None:
        entry = self._layers.locate(path, follow=follow)
        entry.require()
        if name not in self._layers.xattrs(entry):
            raise errors.no_attribute(path)
        self._tree.remove_xattr(self._copy_up.bring(entry, at), name, at)

    # --- making names ----------------------------------------------------------------

    def make(
        self,
        entry: Entry,
        mode: int,
        at: int,
        *,
        parents: bool | None = None,
        size: int = 0,
        target: str | None = None,
        content: Buffer | None = None,
    ) -> InodeId:
        """Make what is absent at *entry*; return its number."""
        entry.require_absent()
        self._make_room(entry, at, parents=parents)
        return self._tree.add(
            entry.path, mode, at, size=size, target=target, content=content
        )

    def require_room(self, entry: Entry, *, parents: bool | None = None) -> None:
        """Refuse what is absent together with its directory, unless that is made.

        *parents* says whether missing ones are made; None is the instance's choice.
        """
        if parents is None:
            parents = self.create_parents
        if entry.inode is not None or entry.missing == entry.path:
            return
        if entry.missing is None or not parents:
            raise errors.from_errno(entry.error, entry.asked)

    def _make_room(self, entry: Entry, at: int, *, parents: bool | None = None) -> None:
        """Make sure that the directory of *entry* is there; note the change in it."""
        check_length(entry.path, entry.asked)
        self.require_room(entry, parents=parents)
        top = entry.missing or entry.path
        self._copy_up.bring_directory(parent_of(top), at)
        self._tree.stamp_directory(parent_of(top), at)
        for directory in ancestors(entry.path, top):
            self._tree.add(directory, DIRECTORY_MODE, at)
