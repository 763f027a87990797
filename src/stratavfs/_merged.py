"""The merged tree, one thing after the other: what leaves a file system as a whole.

Top-down, names in code point order, a directory before what is in it. A directory is
listed when it is its turn, with one question to each layer.
"""

from __future__ import annotations

from collections import deque
from errno import ELOOP, ENOENT
from typing import TYPE_CHECKING, NamedTuple

from stratavfs import _sql, errors
from stratavfs._entry import Entry
from stratavfs._paths import check_length, inside, name_of
from stratavfs.records import VPath

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from stratavfs._layers import LayerStack
    from stratavfs._openfile import InodeFile, StreamFile
    from stratavfs._selection import Selection
    from stratavfs._underlays import Member
    from stratavfs.records import Inode

    Child = tuple[str, Inode, Member | None]


class Found(NamedTuple):
    """One thing of a tree."""

    path: str
    """Where it is below the top, without a slash first; empty for the top itself."""
    entry: Entry
    """What it is; its path is where the bytes are, ``asked`` where it was found."""


def walk(layers: LayerStack, top: VPath, chosen: Selection, *, follow: bool) -> Walk:
    """Return an iterator over *top*, links to it resolved, and what is below it.

    Where something has to be included, a directory comes just before the first such
    thing that is in it. With *follow* a symbolic link is what it leads to.

    Raises:
        OSError: there is nothing at *top*.
    """
    return Walk(layers, top, chosen, follow=follow)


def opened(layers: LayerStack, entry: Entry) -> InodeFile | StreamFile:
    """Open the file that was found at *entry*; its caller closes it.

    Raises:
        OSError: it has gone since, or has another size.
    """
    file = layers.open_source(entry)
    size = None if file is None else file.size()
    if file is not None and size == entry.require().size:
        return file
    if file is not None:
        file.close()
    if size is None:
        raise errors.not_found(entry.asked)
    raise errors.changed_meanwhile(entry.asked)


def read(layers: LayerStack, entry: Entry) -> bytes:
    """Return all bytes of the file that was found at *entry*.

    Raises:
        OSError: it has gone since.
    """
    if layers.stack.resolver is not None:
        # Of the layer that has it: half of what it takes to look for it once more.
        small = None if entry.member is None else entry.member.content(entry.path)
        return layers.read(entry.path) if small is None else small
    # By its number: one statement for most, two for the others, by its path four.
    data = layers.rooms[2].read(entry.require().id)
    if data is None:
        raise errors.not_found(entry.asked)
    return data


class Xattrs:
    """The extended attributes of what is found, within one look at the container.

    Where a sole layer has none at all, as most, no file is asked for its own: 1.2 us of
    20 that it takes to export one to a tmpfs, 2.7 of 26 into a tar archive.
    """

    def __init__(self, layers: LayerStack) -> None:
        self._layers = layers
        self._store = layers.rooms[0]
        self._none, self._changes = False, -1

    def of(self, entry: Entry) -> Mapping[str, bytes]:
        """Return those of what was found at *entry*."""
        if self._layers.stack.resolver is None:
            if self._changes != self._store.changes:  # a callback may have made some
                self._none = self._store.row(_sql.HAS_XATTRS) == (0,)
                self._changes = self._store.changes
            if self._none:
                return {}
        return self._layers.xattrs(entry)


class Walk:
    """An iterator that goes on, if it is asked to, after an error that it raised.

    What it raises is an ``OSError`` of one directory that cannot be listed, or of one
    link that cannot be followed: it leads nowhere, or back to where it is (ELOOP).
    """

    def __init__(
        self, layers: LayerStack, top: VPath, chosen: Selection, *, follow: bool
    ) -> None:
        self._layers = layers
        self._chosen = None if chosen.is_all else chosen
        self._on_demand = chosen.included is not None
        self._follow = follow
        entry = layers.locate(top)
        entry.require()
        self.at: str = top
        """The path of what comes, or came, last: also of what an error is about."""
        self.seen = 1
        """Things seen by now, those still to come included."""
        self.top = self._last = Found("", entry)
        self._ready: deque[Found] = deque()
        if entry.is_directory or self._takes(name_of(top)):
            self._ready.append(self._last)
        self._inside: list[_Listing] = []  # the directories that it is in
        self._next = self._last if entry.is_directory else None  # to be listed

    def __iter__(self) -> Iterator[Found]:
        return self

    def __next__(self) -> Found:
        if not self._ready:
            self._find()
        found = self._last = self._ready.popleft()
        self.at = found.entry.asked
        return found

    def prune(self) -> None:
        """Leave out all that is in the directory that came last."""
        top = self._last.path
        while self._inside and self._inside[-1].is_at_or_below(top):
            self._inside.pop()
        if self._next is self._last:
            self._next = None
        below = top and top + "/"
        self._ready = deque(
            found for found in self._ready if not found.path.startswith(below)
        )

    # --- how it finds the next one ---------------------------------------------------

    def _find(self) -> None:
        """Make something ready, or end."""
        while True:
            if self._next is not None:
                found, self._next = self._next, None
                self._list(found)
            if not self._inside:
                raise StopIteration
            listing = self._inside[-1]
            for child in listing.rest:
                if self._take(listing, child):
                    break
            else:
                self._inside.pop()
            if self._ready:
                return

    def _list(self, found: Found) -> None:
        """Go into a directory."""
        self.at = found.entry.asked
        children = self._layers.children(found.entry.path)
        self.seen += len(children)
        self._inside.append(_Listing(found, children, told=found is self._last))

    def _take(self, listing: _Listing, child: Child) -> bool:
        """Make *child* ready, or go into it; tell whether one of these was done."""
        name, inode, member = child
        path = listing.below + name
        asked = VPath(listing.asked + name)
        entry = Entry(VPath(listing.path + name), asked, inode, ENOENT, None, member)
        if self._chosen is not None and self._chosen.leaves_out(path):
            return False
        if self._follow:
            self.at = asked
            entry = self._followed(entry)
            inode = entry.require()
        if not inode.is_directory:
            if self._chosen is not None and not self._chosen.takes(path):
                return False
            if self._on_demand:
                self._tell()
            self._ready.append(Found(path, entry))
            return True
        if self._chosen is not None and self._chosen.leaves_out(path, directory=True):
            return False
        self._next = Found(path, entry)
        if not self._on_demand:
            self._ready.append(self._next)
        return True

    def _tell(self) -> None:
        """Make those of the directories ready that nobody has been told of."""
        for listing in self._inside:
            if not listing.told:
                listing.told = True
                self._ready.append(listing.found)

    def _followed(self, entry: Entry) -> Entry:
        """Return what *entry* leads to, if it is a link."""
        check_length(entry.asked)  # links make paths longer than any container's
        if entry.inode is None or not entry.inode.is_link:
            return entry
        found = self._layers.locate(entry.path)._replace(asked=entry.asked)
        inode = found.require()
        if inode.is_directory and any(
            listing.found.entry.path == found.path for listing in self._inside
        ):
            raise errors.from_errno(ELOOP, entry.asked)
        return found

    def _takes(self, name: str) -> bool:
        return self._chosen is None or self._chosen.takes(name)


class _Listing:
    """A directory with what is still to come of it."""

    __slots__ = ("asked", "below", "found", "path", "rest", "told")

    def __init__(self, found: Found, children: list[Child], *, told: bool) -> None:
        self.found = found
        self.told = told  # whether the directory itself has come
        self.rest = iter(children)
        # What stands before a name: below the top, where it is, where it was found.
        self.below = found.path and found.path + "/"
        self.path = inside(found.entry.path)
        self.asked = inside(found.entry.asked)

    def is_at_or_below(self, path: str) -> bool:
        """Tell whether it is the directory at *path*, or one in it."""
        return self.below.startswith(path and path + "/")
