"""Entries that break a rule: mended, removed or moved to ``/lost+found``.

A name that is none is another's only by the bytes that are stored, so texts are bytes
here. What has several names is counted by ranges of inodes, in bounded memory.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from stratavfs import _rules, _sql, errors
from stratavfs._check import is_utf8, ranges
from stratavfs._lost import DIRECTORY, FILE, span
from stratavfs._mended import is_target
from stratavfs._paths import NAME_LIMIT, PATH_LIMIT

if TYPE_CHECKING:
    from collections.abc import Callable

    from stratavfs._lost import Lost, Report
    from stratavfs._store import Store

_ROOT_NUMBER: Final = 1


class NameSteps:
    """Mends the entries of a container."""

    def __init__(self, store: Store, lost: Lost, report: Report, at: int) -> None:
        self._store = store
        self._lost = lost
        self._report = report
        self._at = at

    def note(self, rule: int, statement: str, action: str) -> bool:
        """Report *action* on all that *statement* names; tell whether it names any."""
        before = self._report.actions
        with self._store.lenient_text():
            for (subject,) in self._store.each(statement):
                self._report.add(rule, subject, action)
        return self._report.actions > before

    # --- whole sets of entries -------------------------------------------------------

    def give_types(self) -> None:
        """Let keys be text and kinds be numbers; remove what cannot be made so."""
        if self.note(2, _rules.LIST_UNTYPED_ENTRIES, "given the types of the columns"):
            self._store.write(_rules.TYPE_ENTRIES)
            self.note(2, _rules.LIST_UNTYPED_ENTRIES, "removed")
            self._store.write(_rules.REMOVE_UNTYPED_ENTRIES)

    def remove_dangling(self) -> None:
        """Remove names that nothing is behind; what says it hides one, does."""
        if self.note(5, _rules.LIST_HALF_WHITEOUTS, "made a whiteout"):
            self._store.write(_rules.MAKE_WHITEOUTS)
        if self.note(5, _rules.LIST_DANGLING, "removed: nothing is behind it"):
            self._store.write(_rules.REMOVE_DANGLING)
        if self.note(5, _rules.LIST_EMPTY_ENTRIES, "removed: nothing is behind it"):
            self._store.write(_rules.REMOVE_EMPTY_ENTRIES)

    def set_kinds(self) -> None:
        """Let entries say of what type their inodes are."""
        if self.note(5, _rules.LIST_WRONG_KINDS, "its kind was set to its inode's"):
            self._store.write(_rules.SET_KINDS)

    def make_root(self) -> None:
        """Make the root's entry, and its inode if there is none."""
        made = 0
        if self._store.row(_sql.READ_SIZE, (_ROOT_NUMBER,)) is None:
            made += 1
            self._store.write(_sql.ADD_ROOT_INODE, (self._at,) * 4)
        self._store.write(_rules.REMOVE_WRONG_ROOT)
        if self._store.row(_rules.LOOK_TWICE, (b"", b"/")) is None:
            made += 1
            args = ("", "/", DIRECTORY, _ROOT_NUMBER)
            self._store.write(_rules.ADD_ENTRY, args)
        if made:
            self._report.add(4, "/", "made again")

    # --- names that cannot be, and directories that are not there ---------------------

    def move_broken_links(self) -> None:
        """Move the names of symbolic links that lead nowhere, not even in words."""
        for parent, name, inode, target in self._store.each(_rules.LIST_LINKS):
            if not is_target(target) and not self._lost.holds(parent):
                self._move(10, parent, name, inode, FILE)

    def move_impossible(self) -> None:
        """Move what has an impossible name or path, a directory with all below it.

        What is moved may have names that are impossible there, too, and was passed by
        then; so until none is met.
        """
        before = -1
        while self._report.actions > before:
            before = self._report.actions
            for parent, name, inode, kind in self._store.each(_rules.LIST_KEYS):
                if not is_key(parent, name):
                    self._move(7, parent, name, inode, kind)

    def _move(
        self, rule: int, parent: bytes, name: bytes, inode: int | None, kind: int | None
    ) -> None:
        if self._store.write(_rules.REMOVE_ENTRY, (parent, name)).rowcount != 1:
            return  # SQLite may give what was just removed once more
        if inode is None or kind is None:
            action = "removed: there is nothing to hide"
        else:
            path = self._lost.adopt(inode, kind)
            action = f"moved to {path}"
            if kind == DIRECTORY and not self._is_anothers(parent, name):
                self._lost.move_below(parent + name + b"/", path)
        self._report.add(rule, parent + name, action)

    def _is_anothers(self, parent: bytes, name: bytes) -> bool:
        """Tell whether what is below these words is below another directory.

        ("/a/", "b/c") and ("/a/b/", "c") are the same words.
        """
        above, slash, last = (parent + name).rpartition(b"/")
        row = self._store.row(_rules.LOOK_TWICE, (above + slash, last))
        return row is not None and row[0] == DIRECTORY

    def make_directories(self) -> None:
        """Make the directories that names are in, or move the names."""
        keys, last = [("",)], ""
        while keys:
            keys = self._store.rows(_rules.LIST_HOMELESS, (last,))
            for (key,) in keys:
                if key <= last:
                    why = "its entries are out of order"
                    raise errors.corrupt(self._store.location, why)
                below = span(key.encode())
                if self._store.row(_rules.ANY_BELOW, below) is not None:
                    self._make_above(key)
                last = key

    def _make_above(self, key: str) -> None:
        """Make what is missing on the way to *key*, from the top."""
        above = "/"
        for name in key.split("/")[1:-1]:
            row = self._store.row(_rules.LOOK_TWICE, (above.encode(), name.encode()))
            below = f"{above}{name}/"
            if row is None or row[1] is None:
                self._lost.make_directory(above, name)
                self._report.add(6, below, "made again")
            elif row[0] != DIRECTORY:
                path = self._lost.move_in(below.encode(), name)
                moved = (
                    "removed: only whiteouts" if path is None else f"moved to {path}"
                )
                self._report.add(6, below, f"what is in it was {moved}")
                return
            above = below

    # --- counting names --------------------------------------------------------------

    def count_names(self) -> None:
        """Set the counts of what has names: with none, it may be an orphan or not."""
        self._count(self._set_names)

    def name_all(self) -> None:
        """Name what has no name; set the counts after all that was done."""
        self._count(self._name)

    def _count(self, mend: Callable[[int, int, int], None]) -> None:
        for numbers in ranges(self._store):
            for row in self._store.each(_rules.LIST_MISCOUNTED, (*numbers, *numbers)):
                mend(*row)

    def _set_names(self, inode: int, names: int, kind: int) -> None:
        if not names:
            return
        several = kind == DIRECTORY and names > 1  # to be parted
        self._write_names(inode, 1 if several else names)
        if not several:
            self._report.add(8, f"inode {inode}", f"its names were counted: {names}")

    def _name(self, inode: int, names: int, kind: int) -> None:
        if inode == self._lost.directory:
            return  # made for another one, after the names were counted
        if not names:
            path = self._lost.adopt(inode, kind)
            self._report.add(8, f"inode {inode}", f"named {path}")
        self._write_names(inode, names or 1)

    def _write_names(self, inode: int, names: int) -> None:
        self._store.write(_rules.SET_NAMES, (names, self._at, inode))

    def part_directories(self) -> None:
        """Give each further name of a directory an inode of its own."""
        for numbers in ranges(self._store):
            seen: set[int] = set()
            rows = self._store.each(_rules.LIST_SEVERAL_NAMES, numbers)
            for parent, name, inode in rows:
                if inode in seen:
                    self._part(parent, name, inode)
                seen.add(inode)

    def _part(self, parent: str, name: str, inode: int) -> None:
        number = self._lost.number()
        self._store.write(_rules.COPY_DIRECTORY, (number, inode))
        self._store.write(_sql.COPY_XATTRS, (number, inode))
        self._store.write(_rules.SET_INODE, (number, parent, name))
        self._report.add(8, parent + name, "given an inode of its own")


def is_key(parent: bytes, name: bytes) -> bool:
    r"""Tell whether an entry may have this parent key and this name.

    >>> is_key(b"", b"/"), is_key(b"/", b"a"), is_key(b"/a/b/", b"c" * 255)
    (True, True, True)
    >>> is_key(b"", b"a"), is_key(b"/a", b"b"), is_key(b"/a//", b"b")
    (False, False, False)
    >>> is_key(b"/", b".."), is_key(b"/", b"a/b"), is_key(b"/", b"\xff")
    (False, False, False)
    """
    if (parent, name) == (b"", b"/"):
        return True
    path = parent + name
    if parent[:1] != b"/" or parent[-1:] != b"/" or len(path) > PATH_LIMIT:
        return False
    above = [] if parent == b"/" else parent[1:-1].split(b"/")
    return all(map(is_name, (*above, name))) and is_utf8(path)


def is_name(name: bytes) -> bool:
    r"""Tell whether *name*, if it is text, is one that a directory may hold.

    >>> is_name(b"a"), is_name(b""), is_name(b"."), is_name(b"a\0"), is_name(b"/")
    (True, False, False, False, False)
    """
    return (
        name not in (b"", b".", b"..")
        and len(name) <= NAME_LIMIT
        and b"/" not in name
        and b"\0" not in name
    )
