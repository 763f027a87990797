"""Copy-up: bringing what an underlay has into the local layer before it changes.

All of it happens inside the transaction of the change: content, mode, owner, times and
extended attributes, and the directories above with theirs. The merged view looks the
same before and after, but for the layer that answers.
"""

from __future__ import annotations

from contextlib import closing, contextmanager
from stat import S_IFREG
from typing import TYPE_CHECKING

from stratavfs import errors
from stratavfs._entry import Entry
from stratavfs._openfile import ATTEMPTS, InodeFile
from stratavfs._paths import check_length, join, parent_of
from stratavfs.records import S_IFWHT, Inode

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stratavfs._layers import LayerStack
    from stratavfs._openfile import OpenFile, StreamFile, WritableFile
    from stratavfs._underlays import Member
    from stratavfs.records import InodeId, VPath


class CopyUp:
    """Brings files up, and opens them so that they can come up later."""

    def __init__(self, layers: LayerStack) -> None:
        self._layers = layers
        _, self._tree, self._content = layers.rooms
        # Those with open handles follow their file into the local layer.
        self._open: set[UnderlayFile] = set()
        self._brought = 0  # files brought up so far

    # --- opening ---------------------------------------------------------------------

    def open_file(self, path: VPath, *, writing: bool = False) -> WritableFile:
        """Open the file that *path* leads to; it comes up with its first change."""
        if self._layers.stack.resolver is None:
            number = self._layers.local_file(path)
            if number is not None:
                return self.open_local(number)
        failed = 0
        while failed < ATTEMPTS:
            brought = self._brought
            file = None if writing else self._open_named(path)
            file = file or self._open_located(path)
            if file is None:
                failed += 1
            elif brought == self._brought:
                return file
            else:  # maybe this one, and nobody has told the handle
                file.close()
        raise errors.not_found(path)

    def _open_named(self, path: VPath) -> WritableFile | None:
        """Open a file of a container below by its name alone, for reading only."""
        kind, member = self._layers.answer(path)
        if kind != S_IFREG or member is None or not member.layer.is_container:
            return None
        source = member.open_file(path)
        if not isinstance(source, InodeFile):
            return None
        entry = Entry.of(path, Inode(S_IFREG, source.inode), member)
        return self._kept(UnderlayFile(source, entry, member, self))

    def _open_located(self, path: VPath) -> WritableFile | None:
        """Open the file that is found at *path*; None if it has gone meanwhile."""
        entry = self._layers.locate(path)
        source = self._layers.open_source(entry)
        if source is None or entry.member is None:
            return source if isinstance(source, InodeFile) else None
        return self._kept(UnderlayFile(source, entry, entry.member, self))

    def _kept(self, file: UnderlayFile) -> UnderlayFile:
        self._open.add(file)
        return file

    def forget(self, file: UnderlayFile) -> None:
        """Note that *file* is closed."""
        self._open.discard(file)

    def open_local(self, inode: InodeId) -> InodeFile:
        """Open a file of the local layer, behind the gate that it was found behind."""
        return InodeFile(self._layers.rooms, inode)

    def bring_open(self, file: UnderlayFile, at: int) -> None:
        """Bring up the file of an open handle, which may have lost its name."""
        entry = self._layers.locate(file.path, follow=False)
        if file.is_at(entry):
            self.bring(entry, at)
            return
        with self._unchanged(file.path):
            number = self._copy_file(None, as_local(file.inode), file.source, at)
        self._redirect(file.entry, number)
        self._tree.mark_orphan(number)

    def _redirect(self, entry: Entry, number: InodeId) -> None:
        self._brought += 1  # first, for who is just opening it
        for file in [*self._open]:
            if file.is_at(entry) and not file.is_up:
                file.redirect(InodeFile(self._layers.rooms, number))

    # --- names -----------------------------------------------------------------------

    def bring(self, entry: Entry, at: int, *, content: bool = True) -> InodeId:
        """Return the inode of *entry* in the local layer, copied up if it is not there.

        Without *content* a file comes up empty, for what is about to replace it all.
        """
        inode = entry.require()
        if entry.member is None:
            return inode.id
        self.bring_directory(parent_of(entry.path), at)
        number = self._copy(entry, entry.member, at, content=content)
        self._redirect(entry, number)
        return number

    def bring_directory(self, path: VPath, at: int) -> None:
        """Make sure that the merged directory *path* is in the local layer."""
        if self._layers.stack.resolver is None:
            return
        missing = [path]
        while self._tree.find_entry(missing[-1]) is None:
            missing.append(parent_of(missing[-1]))
        for directory in reversed(missing[:-1]):
            entry = self._layers.locate(directory, follow=False)
            entry.require_directory()  # a damaged layer may have names in none
            if entry.member is not None:
                self._copy(entry, entry.member, at, content=False)

    def graft(self, entry: Entry, at: int) -> InodeId:
        """Make a copy of *entry*, of whatever file system, where nothing is yet."""
        path, member = entry.path, entry.member
        if member is None:
            raise errors.not_found(path)
        self.bring_directory(parent_of(path), at)
        covers = entry.is_directory and self._tree.look_type(path) == S_IFWHT
        number = self._copy(entry, member, at, content=True)
        if covers:
            self._tree.set_opaque(number, at, opaque=True)
        return number

    def restore(self, number: InodeId, entry: Entry, at: int) -> None:
        """Give a local inode the attributes of *entry*."""
        inode = entry.require()
        found = {} if entry.member is None else entry.member.xattrs(entry.path)
        for name in self._tree.xattrs(number).keys() - found.keys():
            self._tree.remove_xattr(number, name, at)
        for name, value in found.items():
            self._tree.put_xattr(number, name, bytes(value))
        self._tree.set_mode(number, inode.mode, at)
        names = (inode.uid, inode.gid, inode.owner, inode.group)
        self._tree.set_owner(number, names, at)
        self._tree.set_times(number, inode.atime_ns, inode.mtime_ns, at)

    def bring_tree(self, entry: Entry, at: int) -> InodeId:
        """Bring the directory at *entry* up with everything that is merged into it."""
        top = self.bring(entry, at)
        todo = [entry.path]
        while todo:
            directory = todo.pop()
            if not self._layers.merging(directory):
                continue  # all of it is in the local layer
            for name, inode, member in self._layers.children(directory):
                path = join(directory, name)
                self.bring(entry._replace(path=path, inode=inode, member=member), at)
                if inode.is_directory:
                    todo.append(path)
        return top

    def _copy(self, entry: Entry, member: Member, at: int, *, content: bool) -> InodeId:
        check_length(entry.path, entry.asked)
        inode = as_local(entry.require())
        with self._unchanged(entry.asked), member.steady(entry.path):
            if not inode.is_file:
                number = self._tree.add_copy(entry.path, inode, at, None)
            elif not content:
                inode = inode._replace(size=0)
                number = self._tree.add_copy(entry.path, inode, at, b"")
            else:
                source = self._layers.open_source(entry)
                if source is None:
                    raise errors.not_found(entry.asked)
                with closing(source):
                    number = self._copy_file(entry.path, inode, source, at)
            for name, value in member.xattrs(entry.path).items():
                self._tree.put_xattr(number, name, bytes(value))
        return number

    def _copy_file(
        self, path: VPath | None, inode: Inode, source: OpenFile, at: int
    ) -> InodeId:
        """Make a copy of *inode*, without a name if there is no *path*."""
        content = self._content.small(source, inode.size)
        if content is not None:
            inode = inode._replace(size=len(content))
            return self._tree.add_copy(path, inode, at, content)
        size = source.size() or 0
        number = self._tree.add_copy(path, inode._replace(size=size), at, None)
        self._content.fill_from(number, source, size)
        return number

    def copy_content(self, source: Entry, target: InodeId, at: int) -> None:
        """Make the content of the file at *source* that of the local file *target*."""
        if source.member is None:
            self._content.copy(source.require().id, target, at)
            return
        with self._unchanged(source.asked), source.member.steady(source.path):
            file = self._layers.open_source(source)
            if file is None:
                raise errors.not_found(source.asked)
            with closing(file):
                self._content.replace_from(target, file, at)

    @contextmanager
    def _unchanged(self, asked: VPath) -> Iterator[None]:
        """Refuse a file whose size changes while it is copied."""
        try:
            yield
        except EOFError as error:
            raise errors.changed_meanwhile(asked) from error


class UnderlayFile:
    """A file of an underlay, until it comes up into the local layer.

    All handles on it, readers too, go on with the copy then: its bytes are the same,
    and they see what is written to it. When a rollback takes the copy away, they are
    back where they were.
    """

    def __init__(
        self,
        source: InodeFile | StreamFile,
        entry: Entry,
        member: Member,
        copy_up: CopyUp,
    ) -> None:
        self.source = source
        self.entry = entry
        self._member = member
        self._copy_up = copy_up
        self._up: InodeFile | None = None
        member.top.hold()

    @property
    def path(self) -> VPath:
        """Where it was when it was opened."""
        return self.entry.path

    @property
    def inode(self) -> Inode:
        """What was known of it when it was opened."""
        return self.entry.require()

    def is_at(self, entry: Entry) -> bool:
        """Tell whether *entry* is this file, still under the name it was opened by."""
        found = entry.inode
        return (
            entry.path == self.path
            and self._member.is_same_as(entry.member)
            and found is not None
            and found.id == self.inode.id
        )

    # --- the copy in the local layer -------------------------------------------------

    def redirect(self, up: InodeFile) -> None:
        """Go on with the copy in the local layer."""
        if self._up is not None:
            self._up.close()
        self._up = up

    @property
    def is_up(self) -> bool:
        """Whether it has come up into the local layer."""
        return self._up is not None and self._up.alive

    def for_writing(self, at: int) -> InodeFile:
        if not self.is_up:
            self._copy_up.bring_open(self, at)
        if self._up is None:
            raise errors.stale(self.path)
        return self._up

    def _now(self) -> InodeFile | StreamFile:
        up = self._up
        return self.source if up is None or not up.alive else up

    # --- what a handle asks; None may be a copy that a rollback took away just now ---

    def size(self) -> int | None:
        size = self._now().size()
        return self._now().size() if size is None else size

    def read(self, offset: int) -> bytes | None:
        data = self._now().read(offset)
        return self._now().read(offset) if data is None else data

    def read_into(self, offset: int, view: memoryview) -> int | None:
        count = self._now().read_into(offset, view)
        return self._now().read_into(offset, view) if count is None else count

    def next_data(self, offset: int) -> int | None:
        return self._now().next_data(offset)

    def next_hole(self, offset: int) -> int | None:
        return self._now().next_hole(offset)

    def close(self) -> None:
        try:
            if self._up is not None:
                self._up.close()
            self.source.close()
        finally:
            self._copy_up.forget(self)
            self._member.top.release()


def as_local(inode: Inode) -> Inode:
    """Return what another layer says of an inode as the local layer may hold it.

    >>> from stratavfs.records import Inode
    >>> as_local(Inode(0o140755 & 0o7777 | 0o040000, size=4096)).size
    0
    """
    size = inode.size
    if inode.target is not None:
        size = len(inode.target.encode())
    elif inode.is_directory:
        size = 0
    return inode._replace(size=size, generation=min(max(2, inode.generation), 1 << 61))
