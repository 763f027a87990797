"""What is kept of a file besides its bytes, given to the host as far as it takes it.

A place is a descriptor, or a path where the host sets nothing by descriptor (Windows).
Nothing here opens a file or follows a link.
"""

from __future__ import annotations

import os
from errno import EINVAL, ENOTSUP, EOPNOTSUPP, EPERM
from typing import TYPE_CHECKING, Final

from stratavfs import errors

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from stratavfs._entry import Entry
    from stratavfs._host_target import Directory
    from stratavfs.records import Inode

    Place = int | str

_NEW_FILE, _NEW_DIRECTORY = 0o666, 0o777  # the umask decides
_WHILE_OPEN: Final = 0o700  # a directory, while something is put into it
_BITS: Final = 0o777
_ALL_BITS: Final = 0o7777  # those too by which a program runs as its owner

# Every host holds the times between 1980, where FAT begins, and 2038, where 32 bits of
# seconds end; others set what they can instead, and say nothing.
_FIRST, _END = 315_705_600_000_000_000, 2_147_483_647_000_000_000
_COARSEST: Final = 2_000_000_000  # ns: FAT's seconds are even
_OWN_XATTRS: Final = "user."  # the others are the host's business
_REFUSED: Final = (EPERM, EINVAL)  # by chown(), as ``cp -p`` takes them


class Attributes:
    """Gives what is exported the attributes that are preserved.

    The bits by which a program runs as its owner are kept with the owner alone: a
    stranger's container must not make programs that run as whoever exports it.
    """

    def __init__(
        self,
        xattrs_of: Callable[[Entry], Mapping[str, bytes]],
        preserve: frozenset[str],
    ) -> None:
        self._xattrs_of = xattrs_of
        self._mode = "mode" in preserve
        self._owner = "ownership" in preserve
        self._times = "timestamps" in preserve
        self._xattrs = "xattr" in preserve and hasattr(os, "setxattr")
        self._numbers: dict[tuple[str, str], int | None] = {}

    def mode_of_new(self, inode: Inode) -> int:
        """Return the mode to make the file or directory with, never more than it gets.

        :meth:`put` says the last word.
        """
        if inode.is_directory:
            return _WHILE_OPEN if self._mode else _NEW_DIRECTORY
        if not self._mode:
            return _NEW_FILE
        return inode.mode & (_WHILE_OPEN if self._owner else _BITS)

    def put(self, place: Place, entry: Entry, path: str) -> None:
        """Give the file or directory at *place* what is known of *entry*.

        Raises:
            OSError: the host refuses it; *path* is what the error names.
        """
        inode = entry.require()
        found = self._xattrs_of(entry) if self._xattrs else {}
        try:
            owned = self._owner and self._put_owner(
                inode, lambda uid, gid: os.chown(place, uid, gid)
            )
            for name, value in found.items():
                if name.startswith(_OWN_XATTRS):
                    self._put_xattr(place, name, value)
            if self._times:
                os.utime(place, ns=(inode.atime_ns, inode.mtime_ns))
                if not _FIRST <= inode.mtime_ns < _END:
                    _check_time(os.stat(place), inode, path)
            if self._mode:
                bits = inode.mode & (_ALL_BITS if owned else _BITS)
                # Most were made with theirs, and asking costs 2 us less than setting.
                if os.stat(place).st_mode & _ALL_BITS != bits:
                    os.chmod(place, bits)  # the last: it may forbid the rest
        except OSError as error:
            error.filename = path
            raise
        except (OverflowError, ValueError):
            raise errors.time_refused(path, inode.mtime_ns) from None

    def put_link(self, where: str, directory: int | None, entry: Entry) -> None:
        """Give the symbolic link *where* in *directory* its owner and its times."""
        inode = entry.require()
        if self._owner and os.chown in os.supports_follow_symlinks:
            self._put_owner(
                inode,
                lambda uid, gid: os.chown(
                    where, uid, gid, dir_fd=directory, follow_symlinks=False
                ),
            )
        if self._times and os.utime in os.supports_follow_symlinks:
            times = (inode.atime_ns, inode.mtime_ns)
            os.utime(where, ns=times, dir_fd=directory, follow_symlinks=False)

    # --- one by one ------------------------------------------------------------------

    def _put_owner(self, inode: Inode, chown: Callable[[int, int], None]) -> bool:
        """Set owner and group; tell whether the host let it, as ``cp -p`` tries."""
        if not hasattr(os, "chown"):
            return False
        uid = self._number("user", inode.owner, inode.uid)
        gid = self._number("group", inode.group, inode.gid)
        for owner in (uid, -1):
            try:
                chown(owner, gid)
            except OSError as error:
                if error.errno not in _REFUSED:
                    raise
            else:
                return owner == uid
        return False

    def _number(self, kind: str, name: str, otherwise: int) -> int:
        """Return the number of the host's user or group *name*, if it has one."""
        if not name:
            return otherwise
        if (kind, name) not in self._numbers:
            self._numbers[kind, name] = _number_of(kind, name)
        found = self._numbers[kind, name]
        return otherwise if found is None else found

    def _put_xattr(self, place: Place, name: str, value: bytes) -> None:
        if not self._xattrs:
            return
        try:
            os.setxattr(place, name, value)
        except OSError as error:
            if error.errno not in (ENOTSUP, EOPNOTSUPP):
                raise
            self._xattrs = False  # this host has none


def _number_of(kind: str, name: str) -> int | None:
    import grp  # noqa: PLC0415 - Windows has none, nor chown()
    import pwd  # noqa: PLC0415

    try:
        return pwd.getpwnam(name)[2] if kind == "user" else grp.getgrnam(name)[2]
    except (KeyError, ValueError):  # nobody, or no name at all
        return None


def _check_time(status: os.stat_result, inode: Inode, path: str) -> None:
    """Refuse what the host made of a time that it cannot hold."""
    if abs(status.st_mtime_ns - inode.mtime_ns) >= _COARSEST:
        raise errors.time_refused(path, inode.mtime_ns)


# --- how exactly it keeps times ------------------------------------------------------

_PROBE: Final = 1_000_000_001_987_654_321  # an odd second, and all digits of it
_STEPS: Final = (1, 100, 1_000, 1_000_000, 1_000_000_000, 2_000_000_000)


class Precision:
    """How exactly the host keeps times, on each of its file systems: in ns."""

    def __init__(self) -> None:
        self._steps: dict[int, int] = {}

    def is_same(self, directory: Directory, status: os.stat_result, ns: int) -> bool:
        """Tell whether *status*, in *directory*, has the time *ns* as it is kept."""
        found = status.st_mtime_ns
        if found == ns:
            return True
        if not found <= ns < found + _STEPS[-1]:
            return False
        device = status.st_dev
        if device not in self._steps:
            self._steps[device] = _step_of(directory)
        step = self._steps[device]
        return ns // step * step == found


def _step_of(directory: Directory) -> int:
    """Return how many ns lie between two times that the host can tell apart."""
    name = directory.part()
    try:
        handle = directory.create(name, 0o600)
    except OSError:  # nothing can be made there
        return 1
    try:
        os.close(handle)
        with directory.naming(name) as (where, above):
            os.utime(where, ns=(_PROBE, _PROBE), dir_fd=above)
            kept = os.stat(where, dir_fd=above).st_mtime_ns
    finally:
        directory.remove(name)
    fitting = [step for step in _STEPS if _PROBE // step * step == kept]
    return fitting[0] if fitting else 1
