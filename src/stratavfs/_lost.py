"""The directory ``/lost+found``: a place for what has none of its own any more.

It is made when the first thing comes. What is there already keeps its name: newcomers
get a number behind theirs. Nothing here asks whether a container is in order, so that
it can be used while nothing is.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Final

from stratavfs import _rules
from stratavfs._check import NAMED_LIMIT, shown
from stratavfs._content import SIZE_LIMIT
from stratavfs._tree import DIRECTORY_MODE, FILE_MODE, WHITEOUT
from stratavfs.records import InodeId, Repair

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stratavfs._content import Content
    from stratavfs._store import Store

NAME: Final = "lost+found"

_ROOM: Final = (
    56  # characters of a name, of four bytes at most, that leave room for more
)

DIRECTORY: Final = DIRECTORY_MODE >> 12
FILE: Final = FILE_MODE >> 12


class Report:
    """What was done, in the order in which it was; no longer than somebody reads."""

    def __init__(self) -> None:
        self._lines: list[Repair] = []
        self._counts: dict[int, int] = {}

    def add(self, rule: int, subject: object, action: str) -> None:
        """Note that *action* was taken on *subject*, which broke the rule *rule*."""
        count = self._counts[rule] = self._counts.get(rule, 0) + 1
        if count <= NAMED_LIMIT:
            self._lines.append(Repair(rule, shown(subject), action))

    @property
    def actions(self) -> int:
        """How many there were."""
        return sum(self._counts.values())

    def lines(self) -> list[Repair]:
        more = {rule: count - NAMED_LIMIT for rule, count in self._counts.items()}
        return self._lines + [
            Repair(rule, f"{count:,} more", "mended in the same ways")
            for rule, count in more.items()
            if count > 0
        ]


class Lost:
    """Puts things into ``/lost+found`` of the local layer."""

    def __init__(self, store: Store, content: Content, at: int) -> None:
        self._store = store
        self._content = content
        self._at = at
        self._key = ""  # of what lies in the directory, once there is one
        self._number = 0
        self.directory = 0
        """The number of the directory, if it was made here."""

    # --- names -----------------------------------------------------------------------

    def number(self) -> InodeId:
        """Return a number that no inode ever had, as far as can be seen."""
        if not self._number:
            (self._number,) = self._store.row(_rules.NEXT_NUMBER)
        else:
            self._number += 1
        return InodeId(self._number)

    def holds(self, parent: bytes) -> bool:
        """Tell whether *parent* is the key of what lies in the directory."""
        return self._key != "" and parent == self._key.encode()

    def _free(self, wanted: str) -> str:
        """Return a name in the directory that nothing has, like *wanted*."""
        key = self._made()
        return next(
            name
            for name in numbered(wanted)
            if self._look(key, name) is None and not self._any_below(f"{key}{name}/")
        )

    def _made(self) -> str:
        """Return the key of the directory, which is made if it is not there.

        A directory of that name is used as it is; where something else has the name,
        another one is taken.
        """
        if self._key:
            return self._key
        for name in numbered(NAME):
            found = self._look("/", name)
            hidden = found is not None and found[:2] == (WHITEOUT, None)
            if found is None or hidden:
                if hidden:
                    self._store.write(_rules.REMOVE_ENTRY, (b"/", name.encode()))
                self.directory = self._add_inode(DIRECTORY_MODE, 0, None, opaque=hidden)
                self._add_entry("/", name, DIRECTORY, self.directory)
            elif (found[0], found[2]) != (DIRECTORY, DIRECTORY):
                continue
            self._key = f"/{name}/"
            break
        return self._key

    def _look(self, key: str, name: str) -> tuple[int, int | None, int | None] | None:
        args = (key.encode(), name.encode())
        found: tuple[int, int | None, int | None] | None
        found = self._store.row(_rules.LOOK_TWICE, args)
        return found

    def _any_below(self, key: str) -> bool:
        return self._store.row(_rules.ANY_BELOW, span(key.encode())) is not None

    # --- things ----------------------------------------------------------------------

    def add(
        self, name: str, mode: int, size: int = 0, content: bytes | None = None
    ) -> tuple[InodeId, str]:
        """Make an inode with a name like *name*; return its number and its path."""
        number = self._add_inode(mode, size, content)
        return number, self._put(name, mode >> 12, number)

    def add_missing(self, number: int) -> None:
        """Make the inode *number* again, an empty file whose name has to be found."""
        args = (number, FILE_MODE, 0, *(self._at,) * 4, 0, None)
        self._store.write(_rules.ADD_INODE, args)

    def adopt(self, number: int, kind: int) -> str:
        """Give the inode *number*, which has no name, one; return its path."""
        return self._put(f"inode-{number}", kind, number)

    def save(self, name: str, content: bytes) -> str:
        """Make a file of *content* with a name like *name*; return its path."""
        size = len(content)
        inline = content if self._content.is_inline(size) else None
        number, path = self.add(name, FILE_MODE, size, inline)
        if inline is None:
            self._content.fill(number, memoryview(content))
        return path

    def move_in(self, key: bytes, wanted: str) -> str | None:
        """Move all below *key* into a directory with a name like *wanted*.

        Returns its path; None if there was nothing but whiteouts, which are removed:
        what they hid is not at the new place.
        """
        below = span(key)
        self._store.write(_rules.REMOVE_WHITEOUTS_BELOW, below)
        if self._store.row(_rules.ANY_BELOW, below) is None:
            return None
        _, path = self.add(wanted, DIRECTORY_MODE)
        self.move_below(key, path)
        return path

    def move_below(self, key: bytes, path: str) -> None:
        """Move all below *key* into the directory at *path*."""
        rest = len(key) + 1
        args = (f"{path}/".encode(), rest, *span(key), rest, rest, rest)
        self._store.write(_rules.MOVE_BELOW, args)

    def set_size(self, number: InodeId) -> None:
        """Let the file *number* end where what is stored of it does."""
        args = (self.end_of(number), number)
        self._store.write(_rules.SET_SIZE, args)

    def end_of(self, number: int) -> int:
        """Return where what is stored of the file *number* ends."""
        args = (number, self.last_index)
        row = self._store.row(_rules.LAST_STORED, args)
        if row is None:
            return 0
        chunk_size = self._store.chunk_size
        return int(row[0]) * chunk_size + min(int(row[1]), chunk_size)

    @property
    def last_index(self) -> int:
        """The index of the last chunk that a file may have."""
        return SIZE_LIMIT // self._store.chunk_size - 1

    def _put(self, wanted: str, kind: int, number: int) -> str:
        name = self._free(wanted)
        self._add_entry(self._key, name, kind, number)
        return self._key + name

    def _add_inode(
        self, mode: int, size: int, content: bytes | None, *, opaque: bool = False
    ) -> InodeId:
        number = self.number()
        args = (number, mode, size, *(self._at,) * 4, opaque, content)
        self._store.write(_rules.ADD_INODE, args)
        return number

    def _add_entry(self, key: str, name: str, kind: int, number: int) -> None:
        self._store.write(_rules.ADD_ENTRY, (key, name, kind, number))

    def make_directory(self, key: str, name: str) -> None:
        """Make a directory anywhere, over a whiteout if there is one."""
        hidden = self._look(key, name) is not None
        self._store.write(_rules.REMOVE_ENTRY, (key.encode(), name.encode()))
        number = self._add_inode(DIRECTORY_MODE, 0, None, opaque=hidden)
        self._add_entry(key, name, DIRECTORY, number)


def numbered(name: str) -> Iterator[str]:
    """Yield *name*, and then others like it for ever.

    >>> list(itertools.islice(numbered("inode-4"), 3))
    ['inode-4', 'inode-4-2', 'inode-4-3']
    """
    yield name
    for number in itertools.count(2):
        yield f"{name[:_ROOM]}-{number}"


def span(key: bytes) -> tuple[bytes, bytes]:
    """Return the range of the keys that begin with *key*, which ends with a slash.

    >>> span(b"/a/")
    (b'/a/', b'/a0')
    """
    return key, key[:-1] + b"0"
