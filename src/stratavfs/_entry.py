"""The entry: what looking up a path in the merged view found."""

from __future__ import annotations

from errno import ENOENT
from typing import TYPE_CHECKING, NamedTuple

from stratavfs import errors

if TYPE_CHECKING:
    from stratavfs._underlays import Member
    from stratavfs.records import Inode, VPath


class Entry(NamedTuple):
    """A name in a directory, possibly absent: what looking up a path found.

    Looking up never raises for "missing"; the caller *requires* what it needs, and the
    error then names the path that was asked for.
    """

    path: VPath
    """Where it is, or would be: symbolic links on the way are resolved."""
    asked: VPath
    """The path as it was asked for; errors name this one."""
    inode: Inode | None
    error: int = ENOENT
    """When absent: the errno that asking for it gives."""
    missing: VPath | None = None
    """When absent: the topmost directory or name to create; None if it cannot be."""
    member: Member | None = None
    """The underlay that answered; None: the local layer, or nobody."""

    @classmethod
    def of(cls, path: VPath, inode: Inode, member: Member) -> Entry:
        """Return the entry that *member* has at *path*."""
        return cls(path, path, inode, member=member)

    @property
    def device(self) -> int:
        """Number of the underlay that answered, 0 for the local layer."""
        return 0 if self.member is None else self.member.layer.device

    def require(self) -> Inode:
        if self.inode is None:
            raise errors.from_errno(self.error, self.asked)
        return self.inode

    def require_file(self) -> Inode:
        inode = self.require()
        if inode.is_directory:
            raise errors.is_a_directory(self.asked)
        return inode

    def require_directory(self) -> Inode:
        inode = self.require()
        if not inode.is_directory:
            raise errors.not_a_directory(self.asked)
        return inode

    def require_absent(self) -> None:
        if self.inode is not None:
            raise errors.already_exists(self.asked)

    @property
    def is_directory(self) -> bool:
        return self.inode is not None and self.inode.is_directory

    def is_same_as(self, other: Entry) -> bool:
        """Tell whether both are names of one file or directory."""
        first, second = self.inode, other.inode
        if first is None or second is None:
            return False
        if self.member is not other.member and not (
            self.member is not None and self.member.is_same_as(other.member)
        ):
            return False
        if self.path == other.path:
            return True
        return first.id == second.id != 0
