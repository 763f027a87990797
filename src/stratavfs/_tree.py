"""The tree of one container: names, the inodes they lead to, and attributes.

It takes normalised paths literally: symbolic links, other layers, missing parents and
the rules of POSIX are the business of the floors above. Changing verbs need a
transaction open and say nothing about why they are called.
"""

from __future__ import annotations

from itertools import chain
from stat import S_IFDIR, S_IFLNK, S_IFREG, S_ISDIR
from typing import TYPE_CHECKING, Any, Final

from stratavfs import _bounds, _rows, _sql
from stratavfs._hiding import Hiding
from stratavfs._paths import ROOT, below, inside, parent_of, split
from stratavfs._pins import Pins
from stratavfs.records import S_IFWHT, Buffer, Inode, InodeId, StatResult, VPath

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from stratavfs._store import Store

    NewInode = tuple[
        int, int, int, int, int, int, int, int, int, str, str, str | None, Buffer | None
    ]
    NewEntry = tuple[str, str, int, int]

DIRECTORY_MODE: Final = S_IFDIR | 0o755
FILE_MODE: Final = S_IFREG | 0o644
LINK_MODE: Final = S_IFLNK | 0o777

WHITEOUT: Final = S_IFWHT >> 12
"""The kind of an entry that hides a name: DT_WHT of BSD and overlayfs."""

_PAGE: Final = 4096  # entries fetched at a time from a subtree of any size


class Tree:
    """The entries and inodes of one container."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.pins = pins = Pins(store)
        self._sound = _rows.Sound(store.location)
        self._hiding = Hiding(store)
        self.hides, self.is_out_of = self._hiding.hides, self._hiding.is_out_of
        self.pin, self.unpin, self.unpin_later = pins.pin, pins.unpin, pins.unpin_later
        self.mark_orphan, self.collect_orphans = pins.mark_orphan, pins.collect_orphans
        store.after_rollback.append(self._hiding.forget)
        store.after_replaced.append(self._hiding.forget)
        store.after_let_go.append(self._hiding.forget)

    # --- asking ----------------------------------------------------------------------

    def find(self, path: VPath) -> Inode | None:
        """Return the inode at *path*, or None."""
        return self._sound.inode(self._store.row(_sql.FIND, split(path)), path)

    def find_entry(self, path: VPath) -> tuple[int, InodeId] | None:
        """Return the type bits of the mode and the number of what is at *path*."""
        return self._sound.entry(self._store.row(_sql.FIND_ENTRY, split(path)), path)

    def find_file(self, path: VPath) -> tuple[InodeId, bytes | None] | None:
        """Return the number of a file, its bytes too if they may be kept; or None."""
        row = self._store.row(_sql.FIND_ENTRY, split(path))
        if row is not None and row[0] == _rows.FILE and row[1].__class__ is int:
            return InodeId(row[1]), None
        self._sound.entry(row, path)  # it may be damage
        return None

    def find_content(self, path: VPath) -> bytes | None:
        """Return all bytes of the file at *path*; None if they take more questions."""
        row = self._store.row(_sql.FIND_CONTENT, split(path))
        return None if row is None else self._believed(row[0])

    def find_stat(self, path: VPath, *layer: object) -> StatResult | None:
        """Return what is known of *path* in *layer* (its number and name), or None."""
        row = self._store.row(_sql.FIND_STAT, split(path))
        if row is not None and not _rows.is_stat(row):
            raise self._sound.damage(path)
        return None if row is None else StatResult._make(row + layer)

    def read(self, inode: InodeId) -> Inode | None:
        """Return the inode numbered *inode*, or None."""
        return self._sound.inode(self._store.row(_sql.READ_INODE, (inode,)), inode)

    def names(self, directory: VPath) -> list[str]:
        """Return the names in *directory* in code point order."""
        rows = self._store.rows(_sql.LIST_NAMES, (inside(directory),))
        return self._sound.names([name for (name,) in rows], directory)

    def kinds(self, directory: VPath) -> list[tuple[str, int]]:
        """Return (name, type bits of the mode) of all in *directory*, sorted."""
        rows = self._store.rows(_sql.LIST_KINDS, (inside(directory),))
        return self._sound.kinds(rows, directory)

    def children(self, directory: VPath) -> list[tuple[str, Inode]]:
        """Return (name, inode) of all in *directory* in code point order."""
        rows = self._store.rows(_sql.LIST_INODES, (inside(directory),))
        return self._sound.children(rows, directory)

    def below(self, top: VPath, name_glob: str) -> Iterator[tuple[str, str]]:
        """Yield (parent key, name) of all below *top* whose name SQLite's GLOB matches.

        Page by page, each within the lock, so that no statement stays open while the
        caller does something else.
        """
        first, end = below(top)
        after = first, ""
        with self._store.lock:
            patience = _bounds.patience(self._store)
        while True:
            args = (*after, end, name_glob, _PAGE)
            with self._store.lock, _bounds.bounded(self._store, patience):
                rows = self._store.rows(_sql.LIST_BELOW, args)
            if not _rows.are_below(rows, first, after):
                raise self._sound.damage(top)
            yield from rows
            if len(rows) < _PAGE:
                return
            after = rows[-1]

    # --- asking as one layer of a stack ----------------------------------------------

    def look(self, path: VPath) -> Inode | None:
        """Return what this layer says of *path*: an inode, a whiteout or nothing."""
        return self._sound.said(self._store.row(_sql.LOOK, split(path)), path)

    def look_content(self, path: VPath) -> tuple[int, bytes | None] | None:
        """Return the kind of what is at *path*, and the bytes of a small file."""
        row = self._store.row(_sql.LOOK_CONTENT, split(path))
        return None if row is None else (row[0], self._believed(row[1]))

    def _believed(self, content: Any) -> bytes | None:
        """Return *content* unless it is damage: no bytes, or more than a chunk has."""
        if isinstance(content, bytes) and len(content) <= self._store.chunk_size:
            return content
        return None

    def look_type(self, path: VPath) -> int:
        """Return the type bits of what is at *path*, a whiteout's too, or 0."""
        row = self._store.row(_sql.FIND_ENTRY, split(path))
        kind = 0 if row is None else _rows.SHOWN.get(row[0], 0)
        return kind or self._sound.kind(row, path)

    def look_kinds(self, directory: VPath, limit: int = -1) -> list[tuple[str, int]]:
        """Return (name, type bits) of *limit* or all in *directory*, whiteouts too."""
        rows = self._store.rows(_sql.LOOK_KINDS, (inside(directory), limit))
        return self._sound.kinds(rows, directory)

    def look_children(self, directory: VPath) -> list[tuple[str, Inode]]:
        """Return (name, inode) of all in *directory*, whiteouts too."""
        rows = self._store.rows(_sql.LOOK_INODES, (inside(directory),))
        return self._sound.all_said(rows, directory)

    # --- making and removing names ---------------------------------------------------

    def find_room(self, path: VPath) -> InodeId | None:
        """Return the number of the directory in which *path* is a free name.

        None if there is none, or if *path* is taken, be it by a whiteout. It is asked
        by who will make something there, in one scope with the question.
        """
        self._store.scopes.make_ready(self._store.scopes.depth)
        args = (*split(parent_of(path)), *split(path))
        row = self._store.row(_sql.FIND_ROOM, args)
        if row is not None and not isinstance(row[0], int):
            raise self._sound.damage(path)
        return None if row is None else InodeId(row[0])

    def overwrite(self, path: VPath, data: memoryview, at: int) -> bool:
        """Make *data*, the last change of its scope, the content of the file at *path*.

        False if it is no file that is kept in its inode's row.
        """
        args = (len(data), data, at, at, *split(path))
        return self._store.write_last(_sql.OVERWRITE, args).rowcount == 1

    def add(
        self,
        path: VPath,
        mode: int,
        at: int,
        *,
        size: int = 0,
        target: str | None = None,
        content: Buffer | None = None,
        free: bool = False,
    ) -> InodeId:
        """Make an inode with the name *path*, which is absent; return its number.

        A directory made over a whiteout is opaque: it shows nothing of what was there.
        A *free* name is known to have none.
        """
        opaque = not free and S_ISDIR(mode) and self.look_type(path) == S_IFWHT
        args = (mode, size, at, at, at, at, opaque, target, content)
        inode = InodeId(self._store.write(_sql.ADD_INODE, args).lastrowid or 0)
        self._link(path, mode, inode)
        return inode

    def add_copy(
        self, path: VPath | None, inode: Inode, at: int, content: Buffer | None
    ) -> InodeId:
        """Make a copy of another layer's *inode*; return its number.

        Without a *path* it has no name: an orphan, for the handles that are open.
        """
        names = 0 if path is None else 1
        args = (inode.mode, names, *inode[3:8], at, *inode[9:13], inode.target, content)
        number = InodeId(self._store.write(_sql.COPY_INODE, args).lastrowid or 0)
        if path is not None:
            self._link(path, inode.mode, number)
        return number

    def last_number(self) -> int:
        """Return the number of the newest inode there ever was."""
        row = self._store.row(_sql.LAST_NUMBER)
        if row is None or not isinstance(row[0], int):
            raise self._sound.damage(ROOT)
        return int(row[0])

    def add_many(self, inodes: list[NewInode], entries: list[NewEntry]) -> None:
        """Make inodes, whose numbers are new, with names that are absent."""
        whole = len(inodes) - len(inodes) % _sql.TOGETHER
        write = self._store.write_many
        write(_sql.PUT_INODES, _together(inodes[:whole]))
        write(_sql.PUT_INODE, iter(inodes[whole:]))
        write(_sql.ADD_ENTRIES, _together(entries[:whole]))
        write(_sql.ADD_ENTRY, iter(entries[whole:]))
        for parent, name, _, _ in entries:
            self._hiding.moved_on(VPath(parent + name))

    def add_whiteout(self, path: VPath) -> None:
        """Hide what lower layers have at *path*, where this one has nothing."""
        self._store.write(_sql.ADD_WHITEOUT, split(path))
        self._hiding.moved_on(path)

    def add_link(self, path: VPath, inode: Inode, at: int) -> None:
        """Give *inode* one more name, which is absent."""
        self._store.write(_sql.SET_LINKS, (1, at, inode.id))
        self._link(path, inode.mode, inode.id)

    def _link(self, path: VPath, mode: int, inode: InodeId) -> None:
        args = (*split(path), mode >> 12, inode)
        if self._store.write(_sql.ADD_ENTRY, args).rowcount != 1:  # it leads nowhere
            raise self._sound.damage(path)
        self._hiding.moved_on(path)

    def remove_small(self, path: VPath) -> bool:
        """Remove a small file with its only name; False if it is none, or is open."""
        row = self._store.row(_sql.FIND_SOLE, split(path))
        if row is None or row[0] in self.pins:
            return False
        self.remove_entry(path)
        self._store.write(_sql.REMOVE_XATTRS, row)
        self._store.write(_sql.REMOVE_INODE, row)
        return True

    def unlink(self, path: VPath, inode: Inode, at: int) -> None:
        """Take the name *path* from *inode*, and the inode away with its last name."""
        self.remove_entry(path)
        self.drop_name(inode, at)

    def remove_entry(self, path: VPath) -> None:
        """Remove the name *path*, be it a whiteout's; its inode is left as it is."""
        self._store.write(_sql.REMOVE_ENTRY, split(path))
        self._hiding.moved_on(path)

    def drop_name(self, inode: Inode, at: int) -> None:
        """Count one name less, its entry being gone or another's already."""
        if inode.nlink == 1 and inode.id not in self.pins:
            self.pins.remove(inode.id)
        else:
            self._store.write(_sql.SET_LINKS, (-1, at, inode.id))
            self.mark_orphan(inode.id)

    def remove_directory(self, path: VPath, inode: InodeId) -> None:
        """Remove the directory at *path*, in which nothing but whiteouts is left."""
        self._store.write(_sql.REMOVE_ENTRIES_IN, (inside(path),))
        self.remove_entry(path)
        self.pins.remove(inode)

    def remove_tree(self, path: VPath, inode: InodeId, at: int) -> None:
        """Remove the directory at *path* with everything below it, by key ranges."""
        span = below(path)
        self._unlink_shared(span, at)
        self._orphan_pinned(span)
        for statement in (
            _sql.REMOVE_CHUNKS_BELOW,
            _sql.REMOVE_XATTRS_BELOW,
            _sql.REMOVE_INODES_BELOW,
            _sql.REMOVE_ENTRIES_BELOW,
        ):
            self._store.write(statement, span)
        self.remove_directory(path, inode)

    def _orphan_pinned(self, span: tuple[str, str]) -> None:
        """Let the files in *span* that are open live on without a name."""
        if not self.pins:
            return
        inodes = self._store.each(_sql.LIST_INODES_BELOW, span)
        for inode in [inode for (inode,) in inodes if inode in self.pins]:
            self._store.write(_sql.ORPHAN, (inode,))
            self.mark_orphan(inode)

    def _unlink_shared(self, span: tuple[str, str], at: int) -> None:
        """Unlink, one by one, the files in *span* that have more names than one."""
        shared = self._store.rows(_sql.SHARED_BELOW, span)
        if not shared:
            return
        self._store.write(_sql.REMOVE_SHARED_BELOW, span)
        for inode, names in shared:
            self._store.write(_sql.SET_LINKS, (-names, at, inode))
            self.mark_orphan(inode)
            self.pins.collect(inode)

    def move(
        self, src: VPath, dst: VPath, *, directory: bool, free: bool = False
    ) -> None:
        """Give what is at *src* the name *dst* instead, which is absent."""
        if not free:
            self.remove_entry(dst)  # a whiteout, if anything
        self._store.write(_sql.MOVE_ENTRY, (*split(dst), *split(src)))
        self._hiding.moved_on(src)
        if directory:
            # It came up as a whole: what its whiteouts hid is not at the new place.
            self._store.write(_sql.REMOVE_WHITEOUTS_BELOW, below(src))
            # Characters are counted from one; the parent keys keep their closing slash.
            args = (inside(dst), len(inside(src)) + 1, *below(src))
            self._store.write(_sql.MOVE_ENTRIES_BELOW, args)

    def longest_below(self, path: VPath) -> int:
        """Return the bytes of the longest path below *path*, 0 if there is none."""
        (longest,) = self._store.row(_sql.LONGEST_BELOW, below(path))
        return longest or 0

    def stamp_directory(self, path: VPath, at: int) -> None:
        """Note that a name in the directory *path* came, went or changed."""
        self._store.write(_sql.STAMP_DIRECTORY, (at, at, *split(path)))

    def stamp(self, directory: InodeId, at: int) -> None:
        """The same of a directory whose number is known."""
        self._store.write(_sql.STAMP_INODE, (at, at, directory))

    # --- attributes ------------------------------------------------------------------

    def set_mode(self, inode: InodeId, mode: int, at: int) -> None:
        self._store.write(_sql.SET_MODE, (mode, at, inode))

    def set_opaque(self, inode: InodeId, at: int, *, opaque: bool) -> None:
        """Let the directory *inode* hide what lower layers have in it, or not."""
        self._store.write(_sql.SET_OPAQUE, (opaque, at, inode))
        self._hiding.forget()

    def set_changed(self, inode: InodeId, at: int) -> None:
        self._store.write(_sql.SET_CHANGED, (at, inode))

    def set_owner(
        self, inode: InodeId, owner: tuple[int, int, str, str], at: int
    ) -> None:
        """Set uid, gid, name of the owner and name of the group."""
        self._store.write(_sql.SET_OWNER, (*owner, at, inode))

    def set_times(self, inode: InodeId, atime_ns: int, mtime_ns: int, at: int) -> None:
        self._store.write(_sql.SET_TIMES, (atime_ns, mtime_ns, at, inode))

    def has_xattrs(self) -> bool:
        """Tell whether there are any extended attributes at all."""
        return bool(self._store.row(_sql.HAS_XATTRS)[0])

    def xattrs(self, inode: InodeId) -> dict[str, bytes]:
        rows = self._store.rows(_sql.READ_XATTRS, (inode,))
        return self._sound.attributes(rows, inode)

    def put_xattr(self, inode: InodeId, name: str, value: bytes) -> None:
        """Set an extended attribute as part of a larger change."""
        self._store.write(_sql.PUT_XATTR, (inode, name, value))

    def set_xattr(self, inode: InodeId, name: str, value: bytes, at: int) -> None:
        self.put_xattr(inode, name, value)
        self.set_changed(inode, at)

    def remove_xattr(self, inode: InodeId, name: str, at: int) -> None:
        self._store.write(_sql.REMOVE_XATTR, (inode, name))
        self.set_changed(inode, at)

    def put_xattrs(self, values: list[tuple[int, str, bytes]]) -> None:
        """Set extended attributes of new inodes."""
        self._store.write_many(_sql.PUT_XATTR, iter(values))

    def copy_xattrs(self, source: InodeId, target: InodeId) -> None:
        self._store.write(_sql.COPY_XATTRS, (target, source))


def _together(rows: Sequence[Sequence[object]]) -> Iterator[Sequence[object]]:
    """Yield the columns of as many rows as go into one statement, end to end."""
    for at in range(0, len(rows), _sql.TOGETHER):
        yield [*chain.from_iterable(rows[at : at + _sql.TOGETHER])]
