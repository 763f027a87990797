"""Importing a directory of the host: what is in it, read as it is put here.

The host is only read. A file is looked at before it is opened: opening a pipe waits for
ever, and closing a container's file drops the locks that this process has on it.
"""

from __future__ import annotations

import os
from contextlib import closing
from errno import EEXIST, EISDIR, ENAMETOOLONG, ENOTDIR
from stat import S_ISDIR, S_ISLNK, S_ISREG
from typing import TYPE_CHECKING, Final

from stratavfs import errors
from stratavfs._building import MUCH
from stratavfs._host import (
    WHOLE,
    HostFile,
    check_name,
    entries_of,
    id_of,
    link_at,
    open_containers,
    read_small,
    xattrs_of,
)
from stratavfs._paths import check_length, inside, join
from stratavfs.archives.protocol import ArchiveMember

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping

    from stratavfs._arrivals import Arrivals
    from stratavfs._host import FileId
    from stratavfs._progress import Meter
    from stratavfs._selection import Selection
    from stratavfs.records import VPath

_HAS_XATTRS: Final = hasattr(os, "listxattr")
_LEAST: Final = -(1 << 63)
_MOST: Final = (1 << 63) - 1
_NO_ROOM: Final = {EEXIST, EISDIR, ENOTDIR, ENAMETOOLONG}
_OVERHEAD: Final = 256  # bytes that a file takes besides its own
_NOTHING: Final[Mapping[str, bytes]] = {}


class Visit:
    """A directory of the host that is being imported."""

    __slots__ = ("above", "id", "inside", "made", "member", "path", "relative", "to")

    def __init__(
        self,
        path: str,
        relative: str,
        to: VPath,
        member: ArchiveMember,
        identity: FileId,
        above: Visit | None,
    ) -> None:
        self.path = path
        self.relative = relative  # to the top, with a slash at its end, or empty
        self.to = to
        self.inside = inside(to)  # where its names go
        self.member = member
        self.id = identity
        self.above = above
        self.made: bool | None = None  # False: it is left out

    def is_within(self, identity: FileId) -> bool:
        """Tell whether this is the directory *identity*, or lies in it."""
        at: Visit | None = self
        while at is not None and at.id != identity:
            at = at.above
        return at is not None


class TreeImport:
    """Puts the directory *top* of the host into *arrivals*, step by step."""

    def __init__(
        self,
        top: str,
        arrivals: Arrivals,
        chosen: Selection,
        meter: Meter,
        preserve: frozenset[str],
        *,
        follow: bool,
    ) -> None:
        self._top = top
        self._arrivals = arrivals
        self._chosen = chosen
        self._meter = meter
        self._follow = follow
        self._links = "links" in preserve
        self._xattrs = "xattr" in preserve and _HAS_XATTRS
        self._firsts: dict[FileId, VPath] = {}  # where files with several names are
        self._guarded = open_containers()
        self._guarded_numbers = {number for _, number in self._guarded}
        # The numbers of Windows are not those of its directories.
        arrivals.expected = self._glance
        self._straight = chosen.is_all and not follow and os.name != "nt"

    def steps(self, dest: VPath) -> Generator[None, None, None]:
        """Import all, below *dest*; each step is one file or directory.

        Raises:
            FileNotFoundError, NotADirectoryError: there is no directory at the top.
        """
        status = os.stat(self._top)
        if not S_ISDIR(status.st_mode):
            raise errors.not_a_directory(self._top)
        if self._meter.listener is not None:
            self._meter.total = self._count()
        to = self._arrivals.make_top(dest)
        member = self._member(self._top, status)
        top = Visit(self._top, "", to, member, id_of(status), None)
        todo = [top]
        if self._chosen.included is None:
            self._make(top)
            self._arrivals.met.unchanged = 0  # it may have been made just now
        while todo:
            visit = todo.pop()
            found: list[Visit] = []
            yield from self._scan(visit, found)
            todo.extend(reversed(found))
        self._meter.finish()

    def _glance(self) -> int:
        """Return how many bytes there are in all, or that they are many."""
        total, todo = 0, [self._top]
        while todo and total < MUCH:
            try:
                for entry in entries_of(todo.pop()):
                    total += _OVERHEAD + entry.stat(follow_symlinks=False).st_size
                    if entry.is_dir(follow_symlinks=False):
                        todo.append(entry.path)
            except OSError:  # said when it is imported
                continue
        return total

    def _count(self) -> int:
        """Return how many steps there will be, as far as a look at the names tells."""
        count, todo = 0, [(self._top, "")]
        while todo:
            path, relative = todo.pop()
            try:
                found = entries_of(path)
            except OSError:  # said when it is imported
                continue
            for entry in found:
                below = relative + entry.name
                if entry.is_dir(follow_symlinks=False):
                    if not self._chosen.leaves_out(below, directory=True):
                        todo.append((entry.path, below + "/"))
                elif self._chosen.takes(below):
                    count += 1
        return count

    # --- directories -----------------------------------------------------------------

    def _scan(self, visit: Visit, found: list[Visit]) -> Generator[None, None, None]:
        """Import what is in *visit*; the directories in it are *found*."""
        try:
            entries = entries_of(visit.path)
        except OSError as error:
            self._arrivals.fail(visit.path, error)
            return
        for entry in entries:
            failure = None
            try:
                if not (self._straight and self._is_taken_straight(entry, visit)):
                    self._take(entry, visit, found)
            except _Unreadable as failed:
                failure = failed.error
            if failure is not None:
                self._arrivals.fail(entry.path, failure)
            if visit.made is False:
                return
            yield

    def _take(self, entry: os.DirEntry[str], visit: Visit, found: list[Visit]) -> None:
        relative = visit.relative + entry.name
        if not self._chosen.is_all:
            directory = entry.is_dir(follow_symlinks=self._follow)
            if self._chosen.leaves_out(relative, directory=directory):
                return
            if not directory and not self._chosen.takes(relative):
                return
        with _readable():
            check_name(entry)
            status = entry.stat(follow_symlinks=self._follow)
        if S_ISDIR(status.st_mode):
            below = self._visit(entry, relative, status, visit)
            if self._chosen.included is not None or self._make(below):
                found.append(below)
        elif self._make(visit):
            self._put(entry, status, join(visit.to, entry.name))

    def _visit(
        self,
        entry: os.DirEntry[str],
        relative: str,
        status: os.stat_result,
        above: Visit,
    ) -> Visit:
        identity = id_of(status)
        if self._follow and identity[1] and above.is_within(identity):
            raise _Unreadable(errors.symlink_loop(entry.path))
        with _readable():
            member = self._member(entry.path, status)
        to = join(above.to, entry.name)
        return Visit(entry.path, relative + "/", to, member, identity, above)

    def _make(self, visit: Visit) -> bool:
        """Make the directory of *visit* and those above; False: it is left out."""
        if visit.made is None:
            above = visit.above
            visit.made = above is None or self._make(above)
            if visit.made:
                with _fitting():
                    visit.made = self._arrivals.put_directory(visit.to, visit.member)
        return visit.made

    # --- new files -------------------------------------------------------------------

    def _is_taken_straight(self, entry: os.DirEntry[str], visit: Visit) -> bool:
        """Import a small file into a directory that is new; False: it is none.

        There is nothing to ask of either side but the file itself, once it is open.
        """
        if not (
            entry.is_file(follow_symlinks=False)
            and self._arrivals.is_fresh(visit.to)
            and entry.inode() not in self._guarded_numbers
        ):
            return False
        path, key = entry.path, (visit.inside, entry.name)
        try:  # the scopes of the other files cost 3 % of this one
            check_name(entry)
            check_length("".join(key))
            found = read_small(path, follow=False, xattrs=self._xattrs)
            if found is None or (self._links and found[0].st_nlink > 1):
                return False
            status, data, xattrs = found
            check_times(path, status)
        except OSError as error:
            raise _Unreadable(error) from error.__cause__
        self._arrivals.put_new_file(visit.to, key, status, data, xattrs)
        self._meter.count(path, len(data))
        return True

    # --- files and links -------------------------------------------------------------

    def _put(self, entry: os.DirEntry[str], status: os.stat_result, to: VPath) -> None:
        path = entry.path
        if S_ISLNK(status.st_mode):
            with _readable():
                member = self._member(path, status, link_at(path))
            with _fitting():
                wanted = self._arrivals.met.wants(to, member)
            if wanted:
                self._arrivals.put_symlink(to, member)
            self._meter.count(path)
            return
        if not S_ISREG(status.st_mode):
            raise _Unreadable(errors.special_file(path))
        if status.st_ino in self._guarded_numbers or not status.st_ino:
            identity = id_of(os.stat(path))
            if identity in self._guarded:
                raise _Unreadable(errors.is_open_container(path))
        if not (self._links and status.st_nlink > 1 and self._put_link(status, to)):
            self._put_file(path, status, to)
        self._meter.count(path, status.st_size if status.st_size <= WHOLE else 0)

    def _put_link(self, status: os.stat_result, to: VPath) -> bool:
        """Make *to* one more name of a file that came before; False: none did."""
        first = self._firsts.setdefault(id_of(status), to)
        if first == to or not self._arrivals.met.find_file(first):
            self._firsts[id_of(status)] = to
            return False
        with _fitting():
            wanted = self._arrivals.met.wants_link(to, first)
        if wanted:
            self._arrivals.put_link(to, first)
        return True

    def _put_file(self, path: str, status: os.stat_result, to: VPath) -> None:
        with _fitting():
            wanted = self._arrivals.met.wants(to, self._plain(status))
        if wanted is False:
            return
        with _readable():
            file = HostFile(path, status, self._meter, follow=self._follow)
        with closing(file):
            if wanted is None and not self._differs(status, file, to):
                return
            with _readable():
                member = self._member(path, status)
                content = file.whole() if file.length <= WHOLE else file
            try:
                self._arrivals.put_file(to, member, content, file.length)
            except EOFError as error:
                raise _Unreadable(errors.changed_meanwhile(path)) from error
            except OSError as error:
                if file.failure is error:
                    raise _Unreadable(error) from error
                raise

    def _differs(self, status: os.stat_result, file: HostFile, to: VPath) -> bool:
        try:
            with _fitting():
                return self._arrivals.met.wants_other(to, self._plain(status), file)
        except OSError as error:
            if file.failure is error:
                raise _Unreadable(error) from error
            raise

    def _plain(self, status: os.stat_result) -> ArchiveMember:
        return ArchiveMember("", status.st_mode, status.st_size, status.st_mtime_ns)

    def _member(
        self, path: str, status: os.stat_result, target: str | None = None
    ) -> ArchiveMember:
        xattrs: Mapping[str, bytes] = {}
        if self._xattrs and target is None:
            xattrs = xattrs_of(path, path)
        return member_of(path, status, target, xattrs)


def member_of(
    path: str,
    status: os.stat_result,
    target: str | None = None,
    xattrs: Mapping[str, bytes] = _NOTHING,
) -> ArchiveMember:
    """Return what is known of the host's *path*.

    Raises:
        OSError: (EOVERFLOW) its times are beyond the year 2262.
    """
    check_times(path, status)
    return ArchiveMember(
        path,
        status.st_mode,
        status.st_size,
        status.st_mtime_ns,
        target,
        uid=status.st_uid,
        gid=status.st_gid,
        xattrs=xattrs,
        atime_ns=status.st_atime_ns,
    )


def check_times(path: str, status: os.stat_result) -> None:
    """Refuse times of the host's *path* that are beyond the year 2262."""
    if not (_LEAST <= status.st_mtime_ns <= _MOST and status.st_atime_ns <= _MOST):
        raise errors.out_of_time(path)


class _Unreadable(Exception):  # noqa: N818 - never seen by a caller
    """What the host did not give, or what is in its way here."""

    def __init__(self, error: OSError) -> None:
        super().__init__(error)
        self.error = error


class _readable:  # noqa: N801 - reads as a scope
    """A scope in which an ``OSError`` is the host's, of one file or directory."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        if isinstance(error, OSError):
            raise _Unreadable(error) from error.__cause__


class _fitting(_readable):  # noqa: N801
    """A scope in which an ``OSError`` may be of one name, for which there is no room.

    All others are the container's, and end the import.
    """

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        if isinstance(error, OSError) and error.errno in _NO_ROOM:
            raise _Unreadable(error) from error.__cause__
