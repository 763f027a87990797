"""Pins: what open handles keep alive after its last name has gone.

An inode without a name is an orphan. It lives until its last handle closes; a killed
process leaves it to whoever next has the container for itself.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from stratavfs import _sql

if TYPE_CHECKING:
    from stratavfs._store import Store
    from stratavfs.records import InodeId


class Pin:
    """What keeps an inode alive while handles to it are open."""

    __slots__ = ("alive", "handles", "inode", "orphan")

    def __init__(self, inode: InodeId) -> None:
        self.inode = inode
        self.handles = 0
        self.alive = True
        """False once a rollback has taken the inode away; its number may come again."""
        self.orphan = False
        """Whether its last name went while it was open."""


class Pins:
    """The inodes of one container that handles of this process are open on."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.held: dict[InodeId, Pin] = {}
        self._given_up: deque[Pin] = deque()
        self._removed: set[InodeId] = set()  # orphans that a rollback may bring back
        store.after_rollback.append(self._forget_missing)
        store.after_replaced.append(self._forget_all)
        store.after_fork.append(self._leave_orphans)
        store.scopes.after_each.append(self._tidy)

    def __contains__(self, inode: InodeId) -> bool:
        return inode in self.held

    def __len__(self) -> int:
        return len(self.held)

    def pin(self, inode: InodeId) -> Pin:
        """Keep *inode* alive until as many calls of :meth:`unpin`."""
        pin = self.held.get(inode)
        if pin is None:
            pin = self.held[inode] = Pin(inode)
        pin.handles += 1
        return pin

    def unpin(self, pin: Pin) -> None:
        """Give up one pin; the last one removes an inode that has no name left."""
        pin.handles -= 1
        if pin.handles or not pin.alive:
            return
        del self.held[pin.inode]
        if pin.orphan and not self._store.closed:
            self._removed.add(pin.inode)
            if not self._store.holds_lost_batch:  # afterwards, then
                with self._store.transaction:
                    self.collect(pin.inode)

    def unpin_later(self, pin: Pin) -> None:
        """Give up one pin without the lock, when its holder ends a transaction."""
        self._given_up.append(pin)

    def mark_orphan(self, inode: InodeId) -> None:
        """Let the last handle on *inode*, if there are any, look whether it is over."""
        pin = self.held.get(inode)
        if pin is not None:
            pin.orphan = True

    # --- removing --------------------------------------------------------------------

    def collect(self, inode: InodeId) -> None:
        """Remove *inode* if it has neither a name nor an open handle left."""
        if self._is_over(inode):
            self.remove(inode)

    def _is_over(self, inode: InodeId) -> bool:
        names = self._store.row(_sql.READ_LINKS, (inode,))
        return names == (0,) and inode not in self.held

    def remove(self, inode: InodeId) -> None:
        """Remove *inode* with its content and its attributes."""
        self._store.write(_sql.REMOVE_CHUNKS, (inode,))
        self._store.write(_sql.REMOVE_XATTRS, (inode,))
        self._store.write(_sql.REMOVE_INODE, (inode,))

    def collect_orphans(self) -> None:
        """Remove what a killed process had open and unlinked.

        While others have the container open it may be theirs, and stays for the next.
        """
        if not self._store.rows(_sql.LIST_ORPHANS):
            return
        with self._store.exclusively() as alone:
            orphans = self._store.rows(_sql.LIST_ORPHANS) if alone else []
            if orphans:
                with self._store.transaction:
                    for (inode,) in orphans:
                        self.remove(inode)

    def _tidy(self) -> None:
        """After a write scope: do what had to wait, or is to be done again."""
        while self._given_up:
            self.unpin(self._given_up.popleft())
        if self._removed and not self._store.closed and not self._store.holds_batch:
            removed, self._removed = self._removed, set()
            again = [inode for inode in removed if self._is_over(inode)]
            if again:
                with self._store.transaction:
                    for inode in again:
                        self.remove(inode)
            if self._store.scopes.marked:
                self._removed |= removed

    # --- what happens to them --------------------------------------------------------

    def _forget_missing(self) -> None:
        """After a rollback: handles to inodes that it took away are stale for good."""
        for inode in [*self.held]:
            if self._store.row(_sql.READ_LINKS, (inode,)) is None:
                self.held.pop(inode).alive = False

    def _forget_all(self) -> None:
        """In another file the numbers mean other files: all handles are stale."""
        for pin in self.held.values():
            pin.alive = False
        self.held.clear()

    def _leave_orphans(self) -> None:
        """In the child of a fork: what the parent has unlinked is the parent's."""
        for pin in self.held.values():
            pin.orphan = False
