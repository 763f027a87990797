"""The row of an inode, broken in whatever way, made a legal one.

What a legal value says is kept, and nothing is made up: where a value is lost, another
one that tells the same takes its place, or the least there is. Nothing here reads or
writes anything.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from stratavfs._check import is_utf8
from stratavfs._content import SIZE_LIMIT
from stratavfs._paths import PATH_LIMIT
from stratavfs._tree import DIRECTORY_MODE, FILE_MODE, LINK_MODE

DIRECTORY: Final = DIRECTORY_MODE >> 12
FILE: Final = FILE_MODE >> 12
LINK: Final = LINK_MODE >> 12

_NAMES: Final = {DIRECTORY: "a directory", FILE: "a file", LINK: "a symbolic link"}
_MODES: Final = {DIRECTORY: DIRECTORY_MODE, FILE: FILE_MODE, LINK: LINK_MODE}
_ROOT: Final = 1
_FIRST_GENERATION: Final = 2  # as of an inode that was just made
_LAST_GENERATION: Final = 1 << 62
_PERMISSIONS: Final = 0o7777


class Row(NamedTuple):
    """The columns of an inode: None where there is no number, text in bytes."""

    mode: int | None
    nlink: int | None
    uid: int | None
    gid: int | None
    owner: bytes | None
    group: bytes | None
    size: int | None
    atime_ns: int | None
    mtime_ns: int | None
    ctime_ns: int | None
    birthtime_ns: int | None
    generation: int | None
    opaque: int | None
    target: bytes | None
    content: bytes | None
    typed: int
    """Whether all of them had the types of their columns."""


class Place(NamedTuple):
    """What the row of an inode alone does not tell."""

    number: int
    """1 is the root."""
    kind: int
    """What an entry says of its type; 0 if none does."""
    inline_limit: int
    """Bytes of content that a row may have."""
    has_chunks: bool
    stored: int
    """Where what is stored of it in chunks ends."""


class Mending:
    """A broken row, its legal columns, and what had to be done for that."""

    def __init__(self, row: Row, place: Place) -> None:
        self.actions: list[tuple[int, str]] = []
        """What was done, each with the number of the rule that was broken."""
        self.saved: list[tuple[int, bytes]] = []
        """Bytes that have no place in the row, each with the number of the rule."""
        self.spilled: bytes | None = None
        """Content that is too long for a row."""
        self.kind = type_of(row, place)
        """The type that it has now."""
        self._had = 0 if row.mode is None else row.mode >> 12
        self._row = row
        self._place = place

    def columns(self, at: int) -> tuple[object, ...]:
        """Return the legal columns, in the order of :class:`Row`, as of *at*."""
        row = self._row
        if not row.typed:
            self._act(2, "its values were given the types of their columns")
        mode, owner, group = self._mode(), *self._owners()
        target, content = self._texts()
        size, content = self._content(target, content)
        return (
            mode,
            self._names(),
            row.uid or 0,
            row.gid or 0,
            owner,
            group,
            size,
            row.atime_ns or 0,
            row.mtime_ns or 0,
            at,
            row.birthtime_ns or 0,
            self._generation(),
            self._opaque(),
            None if target is None else target.decode(),
            content,
        )

    def _act(self, rule: int, action: str) -> None:
        self.actions.append((rule, action))

    def _mode(self) -> int:
        mode = self._row.mode
        if mode is not None and mode == self.kind << 12 | mode & _PERMISSIONS:
            return mode
        lost = self._had not in _NAMES
        rule = 9 if lost else 4 if self._place.number == _ROOT else 10
        self._act(rule, f"made {_NAMES[self.kind]}")
        if mode is None:
            return _MODES[self.kind]
        return self.kind << 12 | mode & _PERMISSIONS

    def _names(self) -> int:
        """Return the count of names: one that says nothing tells of no orphan."""
        if self._row.nlink is not None and self._row.nlink >= 0:
            return self._row.nlink
        self._act(8, "its names are counted anew")
        return 1

    def _owners(self) -> tuple[str, str]:
        names = (self._row.owner or b"", self._row.group or b"")
        if not all(map(is_utf8, names)):
            self._act(14, "what is no UTF-8 in its owner or group was replaced")
        owner, group = (name.decode(errors="replace") for name in names)
        return owner, group

    def _texts(self) -> tuple[bytes | None, bytes | None]:
        """Return the target of a link or the content of a file; save the other one."""
        target, content = self._row.target, self._row.content
        if target is not None and self.kind != LINK:
            is_empty = content is None and not self._place.has_chunks
            if is_empty and self.kind == FILE != self._had:
                self._act(10, "its target is its content now")
                content = target
            else:
                self._act(10, "its target was taken from it")
                self.saved.append((10, target))
            target = None
        if content is not None and self.kind != FILE:
            self._act(11, "its content was taken from it")
            self.saved.append((11, content))
            content = None
        return target, content

    def _content(
        self, target: bytes | None, content: bytes | None
    ) -> tuple[int, bytes | None]:
        """Return the size, and the content if it goes into the row."""
        size = self._size(target, content)
        if size != self._row.size:
            self._act(10 if self.kind == LINK else 11, f"its size was set to {size}")
        if content is not None and size > self._place.inline_limit:
            self._act(11, "its content was moved into chunks")
            self.spilled, content = content, None
        return size, content

    def _size(self, target: bytes | None, content: bytes | None) -> int:
        if self.kind == DIRECTORY:
            return 0
        known = target if self.kind == LINK else content
        if known is not None:
            return len(known)
        size = self._row.size
        if size is not None and 0 <= size <= SIZE_LIMIT:
            return size
        return self._place.stored

    def _generation(self) -> int:
        generation = self._row.generation
        if generation is not None and 1 <= generation < _LAST_GENERATION:
            return generation + 1
        self._act(14, "its generation begins anew")
        return _FIRST_GENERATION

    def _opaque(self) -> int:
        opaque = self._row.opaque
        legal = (0, 1) if self.kind == DIRECTORY else (0,)
        if opaque in legal:
            return opaque or 0
        made = 1 if self.kind == DIRECTORY and opaque else 0
        self._act(14, "made opaque" if made else "made not opaque")
        return made


def type_of(row: Row, place: Place) -> int:
    """Return the type that an inode has, or must have had.

    A symbolic link that cannot be one is a file: of its target's bytes.
    """
    if place.number == _ROOT:
        return DIRECTORY
    is_link = is_target(row.target)
    kind = 0 if row.mode is None else row.mode >> 12
    if kind not in _NAMES:
        kind = place.kind or (LINK if is_link and row.content is None else FILE)
    elif kind == FILE and place.kind == LINK and is_link:
        kind = LINK  # the name and the target say so
    return kind if kind != LINK or is_link else FILE


def is_target(target: bytes | None) -> bool:
    r"""Tell whether *target* is one that a symbolic link may have.

    >>> is_target(b"../a"), is_target(b""), is_target(b"a\0"), is_target(b"\xff")
    (True, False, False, False)
    """
    return (
        target is not None
        and 0 < len(target) <= PATH_LIMIT
        and b"\0" not in target
        and is_utf8(target)
    )
