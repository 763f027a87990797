"""Arrivals: what comes in from outside, put into the local layer name by name.

A directory is looked at once, whatever comes into it; files that are new wait and are
written by the hundred. What is replaced is unlinked first, so that its other names and
its open handles keep what they have, and nothing is ever written through a link.
"""

from __future__ import annotations

from contextlib import closing
from stat import S_IFMT, S_IFREG, S_IMODE
from typing import TYPE_CHECKING, Final

from stratavfs import errors
from stratavfs._building import without_log
from stratavfs._bulk import Bulk
from stratavfs._encounters import Encounters
from stratavfs._paths import ROOT, check_length, parent_of, split
from stratavfs._tree import DIRECTORY_MODE, FILE_MODE, LINK_MODE
from stratavfs.archives.protocol import ArchiveMember
from stratavfs.records import S_IFWHT, Inode, TransferReport

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Generator, Mapping
    from contextlib import AbstractContextManager

    from stratavfs._choices import Choices
    from stratavfs._content import Source
    from stratavfs._copyup import CopyUp
    from stratavfs._edits import Edits
    from stratavfs._entry import Entry
    from stratavfs._layers import LayerStack
    from stratavfs.records import InodeId, VPath

    Gate = Callable[[], AbstractContextManager[object]]

_GROUP: Final = 16 << 20  # bytes that one transaction of several takes, or a few more
_STEPS: Final = 65_536  # ... or steps: each begins by listing directories again

IMPLIED: Final = ArchiveMember("", DIRECTORY_MODE)
"""A directory that nobody says anything about."""


class Arrivals:
    """Puts members of trees and archives into the merged view, conflicts decided."""

    def __init__(
        self,
        edits: Edits,
        layers: LayerStack,
        copy_up: CopyUp,
        choices: Choices,
        at: int,
    ) -> None:
        self._edits, self._layers, self._copy_up = edits, layers, copy_up
        self._store, self._tree, self._content = layers.rooms
        self._bulk = Bulk(layers.rooms)
        self._choices = choices
        self._at = at
        kept = choices.preserve
        self._moded, self._timed = "mode" in kept, "timestamps" in kept
        self._owned, self._keeps_xattrs = "ownership" in kept, "xattr" in kept
        self.met = Encounters(layers, self._bulk, choices)
        """What is there already, and whether it stays."""
        self._brought: set[VPath] = set()  # directories that are in the local layer
        self._stamped: set[VPath] = set()  # ... whose change is noted
        self._fresh: set[VPath] = set()  # ... that this transaction has made
        self._files = self._directories = self._symlinks = self._bytes = 0
        self._failures: list[tuple[str, OSError]] = []
        self.expected: Callable[[], int] = lambda: 0
        """How many bytes are to come, as far as a glance tells."""

    # --- from the first to the last --------------------------------------------------

    def run(
        self, steps: Generator[object, None, None], gate: Gate, *, atomic: bool
    ) -> None:
        """Take all *steps*, each of which puts something here, within *gate*.

        With *atomic* in one transaction; else in one after the other.
        """
        with closing(steps):
            if atomic:
                with without_log(self._store, self.expected), gate():
                    self._begin()
                    for _ in steps:
                        pass
                    self._bulk.flush()
                return
            committed = self.report()
            try:
                while self._take_group(steps, gate):
                    committed = self.report()
            except BaseException as error:
                error.add_note(f"imported before it: {told(committed)}")
                raise

    def _take_group(self, steps: Generator[object, None, None], gate: Gate) -> bool:
        """Take some *steps* in a transaction of their own; tell whether any are left.

        Others may change everything before the next one.
        """
        with gate():
            self._begin()
            self.met.forget()
            self._brought.clear()
            self._fresh.clear()
            full = self._bytes + _GROUP
            for nth, _ in enumerate(steps):
                if nth >= _STEPS or self._bytes >= full:
                    self._bulk.flush()
                    return True
            self._bulk.flush()
            return False

    def _begin(self) -> None:
        self.met.first = self._tree.last_number() + 1

    def report(self) -> TransferReport:
        """Return what was done so far."""
        return TransferReport(
            files=self._files,
            directories=self._directories,
            symlinks=self._symlinks,
            bytes=self._bytes,
            unchanged=self.met.unchanged,
            skipped=self.met.skipped,
            failures=tuple(self._failures),
        )

    def fail(self, path: str, error: OSError) -> None:
        """Raise *error*, or note it and go on, as was chosen."""
        if not self._choices.skip_failures:
            raise error
        self._failures.append((path, error))

    # --- putting ---------------------------------------------------------------------

    def make_top(self, path: VPath) -> VPath:
        """Make the directory *path* if it is missing; return where it leads to."""
        entry = self._layers.locate(path)
        if entry.inode is None:
            self._bulk.flush()
            parents = self._edits.create_parents
            self._edits.make_directory(
                path, DIRECTORY_MODE, self._at, parents=parents, exist_ok=False
            )
            entry = self._layers.locate(path)
        entry.require_directory()
        return entry.path

    def put_directory(self, path: VPath, member: ArchiveMember = IMPLIED) -> bool:
        """Make the directory *path*, or keep the one there is; False: left out."""
        met = self.met
        if member is IMPLIED and met.has_seen(path):
            return True
        check_length(path)
        if path == ROOT:
            self._take_over(path, member)
        elif not met.wants_directory(path, member):
            return False
        else:
            found = met.at(path)
            if found is not None and found[0].is_directory:
                met.unchanged += member is not IMPLIED
                self._take_over(path, member)
            else:
                self._make_directory(path, member, replaced=found is not None)
        return True

    def _make_directory(
        self, path: VPath, member: ArchiveMember, *, replaced: bool
    ) -> None:
        self._make_room(path)
        self._bulk.flush()
        covers = self._tree.look_type(path) == S_IFWHT
        covers = covers or (replaced and self._layers.find_below(path) is not None)
        inode = self._inode_of(member, DIRECTORY_MODE, 0)
        number = self._tree.add_copy(path, inode, self._at, None)
        if covers:
            self._tree.set_opaque(number, self._at, opaque=True)
        for name, value in self._xattrs_of(member).items():
            self._tree.put_xattr(number, name, value)
        self.met.note(path, inode._replace(id=number))
        self.met.remember(path, {})
        self._fresh.add(path)
        self._brought.add(path)
        self._stamped.add(path)
        self._directories += 1

    def _take_over(self, path: VPath, member: ArchiveMember) -> None:
        """Give the directory at *path*, which stays, the attributes of *member*."""
        if member is IMPLIED or self._choices.on_conflict == "skip":
            return
        entry = self._layers.locate(path, follow=False)
        inode, wanted = entry.require(), self._inode_of(member, DIRECTORY_MODE, 0)
        xattrs = dict(self._xattrs_of(member))
        timed = self._timed
        moded = self._moded and wanted.mode != inode.mode
        if xattrs and self._layers.xattrs(entry).items() >= xattrs.items():
            xattrs = {}
        if timed:
            self._stamped.add(path)
        late = timed and wanted.mtime_ns != inode.mtime_ns
        if not (moded or xattrs or late):
            return
        self._bulk.flush()
        number = self._copy_up.bring(entry, self._at)
        if moded:
            self._tree.set_mode(number, wanted.mode, self._at)
        for name, value in xattrs.items():
            self._tree.put_xattr(number, name, value)
        if timed:
            self._tree.set_times(number, wanted.atime_ns, wanted.mtime_ns, self._at)

    def put_file(
        self, path: VPath, member: ArchiveMember, content: bytes | Source, size: int
    ) -> None:
        """Make the file *path*, which is wanted, of *size* bytes of *content*.

        What *content* raises leaves everything as it was.
        """
        inode = self._inode_of(member, FILE_MODE, size)
        if isinstance(content, bytes):
            self._make_room(path)
            number = self._add(path, inode, content, member)
        else:
            self._bulk.flush()
            with self._store.transaction:
                self._make_room(path)
                number = self._add(path, inode, None, member)
                self._bulk.flush()
                self._content.fill_from(number, content, size)
        self.met.note(path, inode._replace(id=number))
        self._files += 1
        self._bytes += size

    def is_fresh(self, directory: VPath) -> bool:
        """Tell whether there is nothing in *directory* that did not arrive here."""
        return directory in self._fresh

    def put_new_file(
        self,
        directory: VPath,
        key: tuple[str, str],
        status: os.stat_result,
        content: bytes,
        xattrs: Mapping[str, bytes],
    ) -> None:
        """Make the file at *key*, its fresh *directory* with a slash and its name.

        It is the first of its name: nothing is asked, which halves what a file costs.
        That the host's *status* does without a member on its way makes it 6 % less.
        """
        mode, uid, gid, atime, mtime = FILE_MODE, 0, 0, self._at, self._at
        if self._moded:
            mode = S_IFREG | S_IMODE(status.st_mode)
        if self._timed:
            atime, mtime = status.st_atime_ns, status.st_mtime_ns
        if self._owned:
            uid, gid = status.st_uid, status.st_gid
        at, size = self._at, len(content)
        facts = (mode, uid, gid, size, atime, mtime, at, at, "", "", None)
        self._bulk.put(key, facts, content, xattrs)
        self.met.passed_over(directory)
        self._files += 1
        self._bytes += size

    def put_symlink(self, path: VPath, member: ArchiveMember) -> None:
        """Make the symbolic link *path*, which is wanted."""
        self._make_room(path)
        target = member.target or ""
        inode = self._inode_of(member, LINK_MODE, len(target.encode()))
        inode = inode._replace(mode=LINK_MODE, target=target)
        number = self._add(path, inode, None, member)
        self.met.note(path, inode._replace(id=number))
        self._symlinks += 1

    def put_link(self, path: VPath, first: VPath) -> None:
        """Give the file at *first* one more name, or a copy of its own."""
        self._bulk.flush()
        entry = self._layers.locate(first, follow=False)
        inode = entry.require_file()
        if "links" not in self._choices.preserve:
            self._put_copy(path, entry)
            return
        self._make_room(path)
        number = self._copy_up.bring(entry, self._at)
        inode = inode._replace(id=number)
        self._tree.add_link(path, inode, self._at)
        self.met.note(path, inode)
        self._files += 1

    def _put_copy(self, path: VPath, entry: Entry) -> None:
        inode = entry.require_file()
        source = self._layers.open_source(entry)
        if source is None:
            raise errors.not_found(entry.path)
        member = ArchiveMember(
            "",
            inode.mode,
            inode.size,
            inode.mtime_ns,
            uid=inode.uid,
            gid=inode.gid,
            owner=inode.owner,
            group=inode.group,
            xattrs=self._layers.xattrs(entry),
            atime_ns=inode.atime_ns,
        )
        with closing(source):
            self.put_file(path, member, source, inode.size)

    def _add(
        self, path: VPath, inode: Inode, content: bytes | None, member: ArchiveMember
    ) -> InodeId:
        xattrs = self._xattrs_of(member)
        return self._bulk.add(split(path), inode, content, xattrs)

    def _xattrs_of(self, member: ArchiveMember) -> Mapping[str, bytes]:
        return member.xattrs if self._keeps_xattrs else {}

    def _inode_of(self, member: ArchiveMember, usual: int, size: int) -> Inode:
        """Return the inode of *member*, where *usual* is the mode of new ones."""
        mode, atime, mtime = usual, self._at, self._at
        if self._moded and member is not IMPLIED:
            mode = S_IFMT(usual) | S_IMODE(member.mode)
        if self._timed and member is not IMPLIED:
            mtime = member.mtime_ns
            atime = mtime if member.atime_ns is None else member.atime_ns
        uid, gid, owner, group = 0, 0, "", ""
        if self._owned:
            uid, gid, owner, group = member.uid, member.gid, member.owner, member.group
        return Inode(
            mode,
            uid=uid,
            gid=gid,
            size=size,
            atime_ns=atime,
            mtime_ns=mtime,
            ctime_ns=self._at,
            birthtime_ns=self._at,
            owner=owner,
            group=group,
            generation=2,
        )

    def _make_room(self, path: VPath) -> None:
        """Remove what is replaced at *path*, and note the change in its directory."""
        directory = parent_of(path)
        if directory not in self._brought:
            self._bulk.flush()
            self._copy_up.bring_directory(directory, self._at)
            self._brought.add(directory)
        if directory not in self._stamped:
            self._bulk.flush()
            self._tree.stamp_directory(directory, self._at)
            self._stamped.add(directory)
        found = self.met.at(path)
        if found is not None and found[1] is None:
            self._bulk.flush()
            inode = self._layers.locate(path, follow=False).require()
            self._tree.unlink(path, inode, self._at)


def told(report: TransferReport) -> str:
    """Return *report* in words.

    >>> told(TransferReport(files=2, directories=1))
    '2 files, 1 directories, 0 symbolic links'
    """
    return (
        f"{report.files:,} files, {report.directories:,} directories, "
        f"{report.symlinks:,} symbolic links"
    )
