"""Rows: what comes out of the container's tables is what the format says.

A stranger's file, or a damaged one, may hold anything in any column, whatever the
schema promises: SQLite looks at values when they are written, not when they are read.
What a caller could be harmed by is looked at here before it leaves the rooms: types,
names that lead elsewhere, impossible modes and sizes. All of it is on the way of every
question, so it is written for speed: 0.2 us an inode, 20 ns a name.
"""

from __future__ import annotations

import os
import sys
from errno import EFBIG
from operator import lt
from stat import S_IFDIR, S_IFLNK, S_IFREG
from typing import TYPE_CHECKING, Any, Final

from stratavfs import errors
from stratavfs._paths import NAME_LIMIT, PATH_LIMIT, ROOT
from stratavfs.records import S_IFWHT, Inode, InodeId

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

SIZE_LIMIT: Final = 1 << 62
"""Bytes in the largest file, and the largest generation: SQLite's integers count it,
with room for every sum."""


def _memory() -> int:
    """Return the bytes of memory that the machine has, as far as it tells."""
    try:
        pages = os.sysconf("SC_PHYS_PAGES")
        return pages * os.sysconf("SC_PAGE_SIZE") if pages > 0 else sys.maxsize
    except (AttributeError, ValueError, OSError):  # as on Windows
        return sys.maxsize


MEMORY_LIMIT: Final = _memory()
"""Bytes in the largest file that is read as a whole. A hole takes no room in the file,
and as much as bytes do in memory, which Linux promises without having it."""

TYPES: Final = {4: S_IFDIR, 8: S_IFREG, 10: S_IFLNK}
"""The type bits of a mode by the kind of an entry."""

SHOWN: Final = {**TYPES, 14: S_IFWHT}
"""The same with whiteouts."""

FILE, _LINK, _WHITEOUT = 8, 10, 14  # kinds of entries
_HIDDEN: Final = Inode(S_IFWHT)
_RESERVED: Final = frozenset(("", ".", ".."))
# UTF-8 takes at most four bytes a character, so what is shorter cannot be too long: a
# name, and a directory that a name of any length is put behind.
_SHORT: Final = NAME_LIMIT // 4
_SHORT_PATH: Final = (PATH_LIMIT - NAME_LIMIT - 1) // 4


class Sound:
    """Passes on what the container at *location* says, if that can be.

    The *subject* is what the error names if not: a path, or the number of an inode.
    """

    def __init__(self, location: str) -> None:
        self._location = location

    def damage(self, subject: str | int) -> errors.CorruptDatabase:
        """Return the error for what is said of *subject*."""
        named = repr(subject) if isinstance(subject, str) else f"inode {subject}"
        return errors.corrupt(self._location, f"what it says of {named} cannot be")

    # --- the tree: the subject is a path, of which there may be nothing ---------------

    def absent(self, path: str | int) -> None:
        """Take what is missing for missing, but for the root."""
        if path == ROOT:
            raise errors.corrupt(self._location, "it has no root directory")

    def inode(self, row: tuple[Any, ...] | None, subject: str | int) -> Inode | None:
        if row is None:
            self.absent(subject)
            return None
        if not is_inode(row):
            raise self.damage(subject)
        return Inode._make(row)

    def said(self, row: tuple[Any, ...] | None, subject: str) -> Inode | None:
        """Return what an entry, its kind the first column, leads to, or a whiteout."""
        if row is None:
            self.absent(subject)
            return None
        kind, columns = row[0], row[1:]
        if kind == _WHITEOUT:
            return _HIDDEN
        if not is_inode(columns) or kind != columns[0] >> 12:
            raise self.damage(subject)
        return Inode._make(columns)

    def entry(
        self, row: tuple[Any, Any] | None, path: str
    ) -> tuple[int, InodeId] | None:
        """Return type bits and number of the inode that an entry leads to."""
        if row is None or row[0] == _WHITEOUT:
            self.absent(path)
            return None
        kind, number = row
        if kind not in TYPES or not isinstance(number, int):
            raise self.damage(path)
        return TYPES[kind], InodeId(number)

    def kind(self, row: tuple[Any, ...] | None, path: str) -> int:
        """Return the type bits of an entry, its kind the first column; 0 if none."""
        if row is None:
            self.absent(path)
            return 0
        if row[0] not in SHOWN:
            raise self.damage(path)
        return SHOWN[row[0]]

    def names(self, names: list[str], directory: str) -> list[str]:
        if not are_names(names, directory):
            raise self.damage(directory)
        return names

    def kinds(
        self, rows: list[tuple[str, int]], directory: str
    ) -> list[tuple[str, int]]:
        """Return (name, type bits) for rows of (name, kind)."""
        self.names([name for name, _ in rows], directory)
        try:
            return [(name, SHOWN[kind]) for name, kind in rows]
        except KeyError:
            raise self.damage(directory) from None

    def children(
        self, rows: list[tuple[Any, ...]], directory: str
    ) -> list[tuple[str, Inode]]:
        """Return (name, inode) for rows that begin with the name."""
        names = self.names([row[0] for row in rows], directory)
        columns = [row[1:] for row in rows]
        if not all(map(is_inode, columns)):
            raise self.damage(directory)
        return [*zip(names, map(Inode._make, columns), strict=True)]

    def all_said(
        self, rows: list[tuple[Any, ...]], directory: str
    ) -> list[tuple[str, Inode]]:
        """The same with whiteouts, of which the kind behind the name tells."""
        names = self.names([row[0] for row in rows], directory)
        inodes = [self.said(row[1:], directory) or _HIDDEN for row in rows]
        return [*zip(names, inodes, strict=True)]

    # --- content: the subject is the number of an inode -------------------------------

    def size(self, size: object, inode: int) -> int:
        if not isinstance(size, int) or not 0 <= size <= SIZE_LIMIT:
            raise self.damage(inode)
        return size

    def extent(self, row: tuple[Any, Any], inode: int) -> tuple[int, bytes | None]:
        """Return size and content, which is of that size if there is any."""
        size, content = row
        if content.__class__ is bytes and len(content) == size:
            return len(content), content
        if content is not None and len(self.piece(content, SIZE_LIMIT, inode)) != size:
            raise self.damage(inode)
        return self.size(size, inode), content

    def index(self, idx: object, least: int, inode: int) -> int:
        """Return the index of a chunk, which is *least* or more: they rise."""
        if not isinstance(idx, int) or idx < least:
            raise self.damage(inode)
        return idx

    def piece(self, data: object, most: int, inode: int) -> bytes:
        """Return bytes, of which there cannot be more than *most*."""
        if not isinstance(data, bytes) or len(data) > most:
            raise self.damage(inode)
        return data

    def unheld(self, size: int, inode: int) -> OSError:
        """Return the error for bytes that are too many to be read as a whole."""
        message = (
            f"the {size} bytes of inode {inode} are more than can be held in memory; "
            "read them in pieces"
        )
        return OSError(EFBIG, message, self._location)

    def attributes(self, rows: list[tuple[str, bytes]], inode: int) -> dict[str, bytes]:
        found = dict(rows)
        if not are_attributes(found):
            raise self.damage(inode)
        return found


def is_stat(row: tuple[Any, ...]) -> bool:
    """Tell whether these 13 columns are those of an inode, as ``stat()`` shows it.

    >>> row = (0o100644, 7, 1, 0, 0, 5, 1, 1, 1, 1, "", "", 2)
    >>> is_stat(row), is_stat((0o060644, *row[1:])), is_stat((None,) * 13)
    (True, False, False)
    """
    mode, ino, nlink, uid, gid, size, atime, mtime, ctime, born, owner, group, gen = row
    try:
        # Their bits together tell the signs of several numbers, and that they are some.
        if (
            mode >> 12 in TYPES
            and ino | nlink | size | gen >= 0
            and size <= SIZE_LIMIT >= gen
            and owner.__class__ is group.__class__ is str
            and (uid | gid | atime | mtime | ctime | born) is not None
        ):
            return True
    except TypeError:
        pass
    return False


def is_inode(row: tuple[Any, ...]) -> bool:
    """Tell whether these 15 columns are those of an inode, its target the last of them.

    It does not call the other one: that would cost it half as much again.

    >>> row = (0o120777, 7, 1, 0, 0, 1, 1, 1, 1, 1, "", "", 2, 0)
    >>> is_inode((*row, "a")), is_inode((*row, None)), is_inode((*row, "a" * 5000))
    (True, False, False)
    """
    (mode, ino, nlink, uid, gid, size, atime, mtime, ctime, born, owner, group, gen,
     opaque, target) = row  # fmt: skip
    try:
        if (
            mode >> 12 in TYPES
            and ino | nlink | size | gen >= 0
            and size <= SIZE_LIMIT >= gen
            and owner.__class__ is group.__class__ is str
            and (uid | gid | atime | mtime | ctime | born) is not None
            and opaque in (0, 1)
        ):
            return target is None if mode >> 12 != _LINK else is_target(target)
    except TypeError:
        pass
    return False


def is_target(target: object) -> bool:
    r"""Tell whether *target* is text that a symbolic link may hold.

    >>> is_target("../a"), is_target(""), is_target("a\0"), is_target(b"a")
    (True, False, False, False)
    """
    return (
        isinstance(target, str)
        and 0 < len(target) <= PATH_LIMIT
        and "\0" not in target
        and len(target.encode()) <= PATH_LIMIT
    )


def are_names(names: Collection[Any], directory: str = "") -> bool:
    r"""Tell whether all of *names* are names that the directory may hold.

    >>> are_names(["a", "é" * 127]), are_names(["a", ".."]), are_names(["a/b"])
    (True, False, False)
    >>> are_names(["a\0"]), are_names([b"a"]), are_names(["é" * 128]), are_names([])
    (False, False, False, True)
    """
    if not names:
        return True
    try:
        text = "".join(names)
    except TypeError:
        return False
    if "/" in text or "\0" in text:
        return False
    # All in one go and by C alone: a comparison a name would cost five times as much.
    lengths = set(map(len, names))
    if min(lengths) <= 2 and not _RESERVED.isdisjoint(names):  # noqa: PLR2004
        return False
    if max(lengths) <= _SHORT and len(directory) <= _SHORT_PATH:
        return True
    longest = max(len(name.encode()) for name in names)
    room = PATH_LIMIT - len(directory.encode()) - 1
    return longest <= NAME_LIMIT and longest <= room


def are_below(
    rows: Sequence[tuple[Any, Any]], top: str, after: tuple[str, str]
) -> bool:
    r"""Tell whether (parent key, name) of all *rows* lie below the key *top*.

    They rise, from *after* on: of pages that lead back to themselves, the same ones
    would come again for ever.

    >>> are_below([("/a/", "b"), ("/a/b/", "c")], "/a/", ("/a/", ""))
    True
    >>> [are_below([(key, "c")], "/a/", ("/a/", "")) for key in ("/", "/a/../", "/a/b")]
    [False, False, False]
    >>> are_below([("/a/", "b")], "/a/", ("/a/", "b"))
    False
    >>> are_below([("/a/", "b"), ("/a/", "b")], "/a/", ("/a/", ""))
    False
    """
    if not rows:
        return True
    parents = {parent for parent, _ in rows}
    try:
        text = "\0".join(parents) + "\0"
        longest = max(map(len, parents))
        return bool(
            after < rows[0]
            and all(map(lt, rows, rows[1:]))
            and rows[0][0].startswith(top)
            and rows[-1][0].startswith(top)  # and so do those between them
            and text.count("\0") == text.count("/\0") == len(parents)
            and not any(wrong in text for wrong in ("//", "/./", "/../"))
            and are_names([name for _, name in rows])
            and (longest <= _SHORT or all(map(_is_short, rows)))
        )
    except TypeError:
        return False


def _is_short(row: tuple[str, str]) -> bool:
    """Tell whether a path and the names in it are no longer than they may be."""
    path = "".join(row).encode()
    return len(path) <= PATH_LIMIT and max(map(len, path.split(b"/"))) <= NAME_LIMIT


def are_attributes(found: dict[Any, Any]) -> bool:
    r"""Tell whether *found* are names and values of extended attributes.

    >>> are_attributes({"user.a": b""}), are_attributes({"": b""})
    (True, False)
    >>> are_attributes({"a\0": b""}), are_attributes({"a": "b"}), are_attributes({})
    (False, False, True)
    """
    return all(
        isinstance(name, str)
        and name != ""
        and "\0" not in name
        and isinstance(value, bytes)
        for name, value in found.items()
    )
