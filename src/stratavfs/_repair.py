"""Repairing a container: what can be mended is, the rest goes to ``/lost+found``.

Nothing is made up, and no bytes of a file are thrown away. The caller's transaction
makes it all or nothing. There is a step for each kind of damage, and each relies on
what those before it have mended; what a step leaves to another one is found by the
check that follows, and mended in the next round. Rows are looked at one by one, and
changed while SQLite goes on through the others: one that is mended is not met again.
"""

from __future__ import annotations

from operator import itemgetter
from typing import TYPE_CHECKING, Final

from stratavfs import _rules, errors
from stratavfs._check import SOUND, check, is_utf8, shown
from stratavfs._lost import Lost, Report, numbered
from stratavfs._mended import Mending, Place, Row, is_target
from stratavfs._names import NameSteps
from stratavfs._paths import ROOT
from stratavfs._scraps import ChunkSteps
from stratavfs.records import InodeId

if TYPE_CHECKING:
    from collections.abc import Callable

    from stratavfs._content import Content
    from stratavfs._store import Store
    from stratavfs._tree import Tree
    from stratavfs.records import Finding, Repair

_ROUNDS: Final = 8
"""Rounds after which what is still found is beyond repair; two are many."""


def repair(store: Store, tree: Tree, content: Content, at: int) -> list[Repair]:
    """Mend what is broken, within a transaction; return what was done.

    Of a container that nothing is wrong with, not a byte is written. A container that
    is refused at opening, for its schema or its settings, does not come here.

    Raises:
        CorruptDatabase: SQLite cannot read its pages, or it cannot be mended; then the
            transaction has to be taken back.
    """
    steps = Steps(store, content, at)
    try:
        found = check(store, deep=True)
        for _ in range(_ROUNDS):
            if _is_of_pages(found):  # also of nothing at all
                break
            steps.mend(found)
            found = check(store, deep=True)
    except errors.CorruptDatabase as error:
        raise _beyond_repair(store, error.__cause__ or error) from error
    if found:
        raise _beyond_repair(store, found[0])
    if steps.report.actions:
        _look_anew(tree, at)
    return steps.report.lines()


class Steps:
    """What is done about each kind of damage, and when."""

    def __init__(self, store: Store, content: Content, at: int) -> None:
        self._store = store
        self._content = content
        self._at = at
        self._lost = Lost(store, content, at)
        self.report = Report()
        self._names = NameSteps(store, self._lost, self.report, at)
        self._chunks = ChunkSteps(store, self._lost, self.report)

    def mend(self, found: list[Finding]) -> None:
        """Take the steps that mend what was *found*, in their order."""
        broken = {finding.rule for finding in found}
        names, chunks = self._names, self._chunks
        steps: tuple[tuple[Callable[[], None], set[int]], ...] = (
            (self._set_settings, {2, 3}),
            (self._set_sequence, {16}),
            (chunks.give_types, {2}),
            (self._type_attributes, {2}),
            (self._mend_rows, {2, 4, 8, 9, 10, 11, 14}),
            (names.count_names, {8}),
            (names.give_types, {2}),
            (names.make_root, {4, 5}),
            (names.remove_dangling, {5}),
            (chunks.make_inodes, {13}),
            (self._make_inodes, {13}),
            (self._name_attributes, {13}),
            (names.move_impossible, {7}),
            (names.set_kinds, {5}),
            (names.make_directories, {5, 6, 7}),
            (self._renumber, {16}),
            (names.part_directories, {4, 5, 7, 8}),
            (chunks.displace, {11, 13}),
            (chunks.cut, {2, 11, 12, 13}),
            (names.name_all, broken - {SOUND}),
        )
        if any(map(_is_of_index, found)):
            self._store.write(_rules.REBUILD_INDEXES)
            self.report.add(SOUND, "the indexes", "made again")
        for step, rules in steps:
            if broken & rules:
                step()

    def _set_settings(self) -> None:
        """Remove what is no setting; restore what this instance was opened with."""
        settings = {
            "chunk_size": self._store.chunk_size,
            "inline_limit": self._store.inline_limit,
        }
        for (key,) in self._store.each(_rules.LIST_BAD_SETTINGS):
            value = settings.get(shown(key))
            action = "removed" if value is None else f"set to {value}"
            self.report.add(3, f"setting {shown(key)}", action)
        self._store.write(_rules.REMOVE_SETTINGS)
        for key, value in settings.items():
            self._store.write(_rules.PUT_SETTING, (key, value))

    # --- inodes ----------------------------------------------------------------------

    def _mend_rows(self) -> None:
        self._names.move_broken_links()
        for inode, kind in self._store.each(_rules.LIST_DOUBTFUL):
            self._mend_row(inode, kind)
        for (inode,) in self._store.each(_rules.LIST_BROKEN_INODES):
            self._mend_row(inode, 0)
        for inode, target, *names in self._store.each(_rules.LIST_TEXTS):
            is_broken_link = target is not None and not is_target(target)
            if is_broken_link or not all(map(is_utf8, names)):
                self._mend_row(inode, 0)

    def _mend_row(self, inode: int, kind: int) -> None:
        """Make the row of *inode* legal; its name says that it is of this *kind*."""
        row = Row(*self._store.row(_rules.READ_ROW, (inode,)))
        has_chunks = self._store.row(_rules.ANY_CHUNK, (inode,)) is not None
        end = self._lost.end_of(inode)
        place = Place(inode, kind, self._store.inline_limit, has_chunks, end)
        mending = Mending(row, place)
        columns = mending.columns(self._at)
        if not mending.actions:
            return
        subject = f"inode {inode}"
        for rule, action in mending.actions:
            self.report.add(rule, subject, action)
        for rule, piece in filter(itemgetter(1), mending.saved):
            path = self._lost.save(f"inode-{inode}", piece)
            self.report.add(rule, subject, f"what was taken from it is {path}")
        if mending.spilled is not None and has_chunks:
            path = self._chunks.move_all(inode)
            self.report.add(11, subject, f"its chunks were moved to {path}")
        self._store.write(_rules.PUT_ROW, (*columns, inode))
        if mending.spilled is not None:
            self._content.fill(InodeId(inode), memoryview(mending.spilled))

    def _make_inodes(self) -> None:
        """Make the inodes again that only attributes are left of."""
        for (inode,) in self._store.each(_rules.LIST_LOST_XATTRS):
            number = inode
            if not 1 <= inode <= _rules.USUAL_NUMBER:
                number = self._lost.number()
                self._store.write(_rules.RENUMBER_XATTRS, (number, inode))
            self._lost.add_missing(number)
            self.report.add(13, f"inode {inode}", "made again for its attributes")

    def _renumber(self) -> None:
        for (inode,) in self._store.each(_rules.LIST_BAD_NUMBERS):
            number = self._lost.number()
            for statement in _rules.RENUMBER:
                self._store.write(statement, (number, inode))
            self.report.add(16, f"inode {inode}", f"numbered {number}")
        self._put_sequence()  # which SQLite does only for new rows

    def _set_sequence(self) -> None:
        if self._names.note(16, _rules.LIST_BAD_SEQUENCE, "set anew"):
            self._put_sequence()

    def _put_sequence(self) -> None:
        self._store.write(_rules.REMOVE_SEQUENCE)
        self._store.write(_rules.PUT_SEQUENCE, (self._lost.number(),))

    # --- attributes ------------------------------------------------------------------

    def _name_attributes(self) -> None:
        for inode, name, bad in self._store.each(_rules.LIST_XATTRS):
            if bad or not is_utf8(name):
                free = self._free_attribute(inode, name)
                self._store.write(_rules.RENAME_XATTR, (free, inode, name))
                action = f"an attribute was named {free}"
                self.report.add(13, f"inode {inode}", action)

    def _type_attributes(self) -> None:
        """Let names be text and values be bytes; save values that belong nowhere."""
        subject = "attribute {} of inode {}"
        if self._names.note(2, _rules.LIST_UNTYPED_VALUES, "made bytes"):
            self._store.write(_rules.TYPE_XATTRS)
        for inode, name, value in self._store.each(_rules.LIST_UNTYPED_XATTRS):
            if inode is None:
                action = f"moved to {self._lost.save('attribute', value or b'')}"
            else:
                free = self._free_attribute(inode, name or b"")
                self._store.write(_rules.ADD_XATTR, (inode, free, value or b""))
                action = f"named {free}"
            self.report.add(2, subject.format(shown(name), inode), action)
        self._store.write(_rules.REMOVE_UNTYPED_XATTRS)

    def _free_attribute(self, inode: int, name: bytes) -> str:
        """Return a name like *name* that no attribute of *inode* has."""
        wanted = name.replace(b"\0", b"").decode(errors="replace") or "user.lost"
        return next(
            free
            for free in numbered(wanted)
            if self._store.row(_rules.ANY_XATTR, (inode, free)) is None
        )


def _is_of_pages(found: list[Finding]) -> bool:
    """Tell whether nothing is found but pages that SQLite cannot read."""
    return all(finding.rule == SOUND and not _is_of_index(finding) for finding in found)


def _is_of_index(finding: Finding) -> bool:
    return finding.rule == SOUND and "index" in finding.message


def _beyond_repair(store: Store, why: object) -> errors.CorruptDatabase:
    remedy = "repair() cannot mend that; `sqlite3 FILE .recover` may save what is left"
    return errors.corrupt(store.location, f"{why}; {remedy}")


def _look_anew(tree: Tree, at: int) -> None:
    """Let the tree forget what it knew: said once more, it looks at all of it anew."""
    root = tree.find(ROOT)
    if root is not None:
        tree.set_opaque(root.id, at, opaque=bool(root.opaque))
