"""The resolver: which of the underlays answers for a path.

The rules are those of Linux overlayfs. From the top: the first layer that has the path
answers. A whiteout, a non-directory above it, or an opaque directory hides everything
below; a directory merges with those below it until a layer hides the rest.

A layer that tells when it changes need not be asked for names that are known. Adjoining
ones of this kind form a :class:`Group`, which finds the layer that answers by one
look into a dictionary, however many there are; the others are asked one by one.
"""

from __future__ import annotations

from itertools import groupby
from stat import S_IFDIR
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from stratavfs import errors
from stratavfs._paths import ROOT, parent_of
from stratavfs._ticks import contents
from stratavfs.records import S_IFWHT, Inode, StatResult, VPath

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator

    from stratavfs._underlays import Member

NAMES_LIMIT: Final = 250_000
"""Names that a group remembers, of all directories together: some 30 MB."""

_PATIENCE: Final = 8
"""Names listed in the time that one layer takes to be asked for one name."""

Found = tuple["Member", "Inode"]
Kind = tuple["Member", int]  # who answers for a name, and the type bits of it


class Segment(Protocol):
    """Part of a stack, as one layer to those above it."""

    def find(self, path: VPath) -> Found | None:
        """Return who answers for *path*, maybe with a whiteout; None if nobody."""

    def kind(self, path: VPath, *, again: bool = False) -> Kind | None:
        """Return who answers for *path* and the type bits of it, None if nobody.

        Asked *again* within one call, nobody looks whether something has changed.
        """

    def content(self, path: VPath) -> bytes | None:
        """Return the bytes of *path* if one question brings them, or None."""

    def stat(self, path: VPath) -> StatResult | None:
        """Return what is known of *path* if one question brings it, or None."""

    def hides(self, directory: VPath) -> bool:
        """Tell whether what lies below is hidden in *directory*, asked again."""

    def merging(self, directory: VPath) -> tuple[list[Member], bool]:
        """Return the layers that make up *directory*, and whether they hide the rest.

        If the first one has something else than a directory, there are none.
        """


class Single:
    """One layer, asked anew each time."""

    def __init__(self, member: Member) -> None:
        self._member = member
        self.content = member.content
        self.stat = member.stat
        self.hides = member.hides

    def find(self, path: VPath) -> Found | None:
        inode = self._member.find(path)
        return None if inode is None else (self._member, inode)

    def kind(self, path: VPath, *, again: bool = False) -> Kind | None:  # noqa: ARG002
        kind = self._member.type_of(path)
        return (self._member, kind) if kind else None

    def merging(self, directory: VPath) -> tuple[list[Member], bool]:
        there = self._member.type_of(directory) == S_IFDIR
        return [self._member] if there else [], self.hides(directory)


class Scope(NamedTuple):
    """What is remembered of one directory."""

    members: list[Member]
    """The layers that make it up, from the top."""
    hides: bool
    """Whether they hide what lies below the group."""
    names: dict[str, Kind] | None
    """Who answers for each name; None as long as asking each layer is cheaper."""
    unsure: bool = False
    """One layer fails: *members* are all, and each is asked until one answers."""


class Group:
    """Adjoining layers whose names are remembered until one of them changes."""

    def __init__(self, members: list[Member]) -> None:
        self._members = members
        self._versions: list[Hashable] = [None] * len(members)
        self._polled = [
            nth for nth, member in enumerate(members) if member.layer.polled
        ]
        self._watched = -1
        self._scopes: dict[VPath, Scope] = {}
        self._asked: dict[VPath, int] = {}
        self._remembered = 0

    # --- answers ---------------------------------------------------------------------

    def find(self, path: VPath) -> Found | None:
        member = self._answering(path)
        inode = None if member is None else member.find(path)
        if member is None or inode is None:
            return None
        return member, inode

    def kind(self, path: VPath, *, again: bool = False) -> Kind | None:
        cut = path.rfind("/")
        scope = self._scope(VPath(path[:cut] or "/"), again=again)
        if scope.names is not None:
            return scope.names.get(path[cut + 1 :])
        return self._kind_of_first(scope, path)

    def content(self, path: VPath) -> bytes | None:
        member = self._answering(path)
        return None if member is None else member.content(path)

    def stat(self, path: VPath) -> StatResult | None:
        member = self._answering(path)
        return None if member is None else member.stat(path)

    def hides(self, directory: VPath) -> bool:
        return self.merging(directory, again=True)[1]

    def merging(
        self, directory: VPath, *, again: bool = False
    ) -> tuple[list[Member], bool]:
        scope = self._scope(directory, again=again)
        if scope.unsure:
            return self._merge(directory)
        return scope.members, scope.hides

    def _answering(self, path: VPath) -> Member | None:
        """Return the first layer that has *path*: mostly by a look at the names."""
        cut = path.rfind("/")
        scope = self._scope(VPath(path[:cut] or "/"))
        if scope.names is not None:
            found = scope.names.get(path[cut + 1 :])
        else:
            found = self._kind_of_first(scope, path)
        return None if found is None else found[0]

    def _kind_of_first(self, scope: Scope, path: VPath) -> Kind | None:
        """Ask one layer after the other for *path*."""
        for member in scope.members:
            kind = member.type_of(path)
            if kind:
                return member, kind
            if scope.unsure and member.hides(parent_of(path)):
                return None
        return None

    # --- what is remembered ----------------------------------------------------------

    def _scope(self, directory: VPath, *, again: bool = False) -> Scope:
        """Return what is known of *directory*, learnt now if need be."""
        try:
            if contents.value != self._watched or (self._polled and not again):
                self._forget_if_changed(directory)
            scope = self._scopes.get(directory)
            if scope is None or scope.names is None:
                scope = self._learn(directory, scope)
        except errors.LayerFailed:
            return Scope(self._members, hides=False, names=None, unsure=True)
        return scope

    def _forget_if_changed(self, asked: VPath) -> None:
        """Look whether a layer has changed: all, or those that nothing else tells of.

        Raises:
            LayerFailed: one cannot tell.
        """
        watched = contents.value
        everybody = watched != self._watched
        for nth in range(len(self._members)) if everybody else self._polled:
            member = self._members[nth]
            try:
                version = member.layer.version()
            except Exception as error:
                self._forget()
                self._watched = -1
                raise errors.layer_failed(member.name, asked, error) from error
            if version is None or version != self._versions[nth]:
                self._forget()
                self._versions[nth] = version
        self._watched = watched

    def _forget(self) -> None:
        # New dictionaries: another thread may be filling the old ones with old names.
        self._scopes, self._asked, self._remembered = {}, {}, 0

    def _learn(self, directory: VPath, known: Scope | None) -> Scope:
        """Find out who makes up *directory*, and at times which names there are.

        Names are listed once the questions have cost as much as listing does; that is
        tried again whenever their number has doubled.
        """
        scopes, asked = self._scopes, self._asked
        members, hides = known[:2] if known is not None else self._merge(directory)
        count = asked[directory] = asked.get(directory, 0) + 1
        names = None
        if count & (count - 1) == 0:
            names = self._list(directory, members, count * len(members) * _PATIENCE)
        elif known is not None:
            return known
        scope = scopes[directory] = Scope(members, hides, names)
        self._remembered += 1 + len(names or ())
        if self._remembered > NAMES_LIMIT:
            self._forget()
        return scope

    def _merge(self, directory: VPath) -> tuple[list[Member], bool]:
        members = []
        for member in self._members:
            if member.type_of(directory) == S_IFDIR:
                members.append(member)
            if member.hides(directory):
                return members, True
        return members, False

    def _list(
        self, directory: VPath, members: list[Member], limit: int
    ) -> dict[str, Kind] | None:
        """Return who answers for each name, None if there are more than *limit*."""
        names: dict[str, Kind] = {}
        left = min(limit, NAMES_LIMIT // 2)
        for member in members:
            found = member.kinds(directory, left + 1)
            left -= len(found)
            if left < 0:
                return None
            answers: dict[int, Kind] = {}  # one tuple for all names of a kind
            for name, kind in found:
                names.setdefault(name, answers.setdefault(kind, (member, kind)))
        return names


class Resolver:
    """All underlays of a stack, as the one tree that shows below the local layer."""

    def __init__(self, members: list[Member]) -> None:
        self.members = members
        self._segments = [*segments(members)]
        self._upper = self._segments[:-1]
        self._last = self._segments[-1]

    def find(self, path: VPath) -> Found | None:
        """Return who answers for *path* and with what; None if nobody does."""
        if path == ROOT:
            return self.members[0], Inode(S_IFDIR | 0o755)
        for segment in self._upper:
            found = segment.find(path)
            if found is not None or segment.hides(parent_of(path)):
                break
        else:
            found = self._last.find(path)
        return None if found is None or found[1].is_whiteout else found

    def kind(self, path: VPath, *, again: bool = False) -> Kind | None:
        """Return who answers for *path* and the type bits of it; None if nobody."""
        if path == ROOT:
            return self.members[0], S_IFDIR
        for segment in self._upper:
            found = segment.kind(path, again=again)
            if found is not None or segment.hides(parent_of(path)):
                break
        else:
            found = self._last.kind(path, again=again)
        return None if found is None or found[1] == S_IFWHT else found

    def content(self, path: VPath) -> bytes | None:
        """Return the bytes of *path* if one question brings them, or None."""
        segment = self._last if not self._upper else self._segment_of(path)
        return None if segment is None else segment.content(path)

    def stat(self, path: VPath) -> StatResult | None:
        """Return what is known of *path* if one question brings it, or None."""
        segment = self._last if not self._upper else self._segment_of(path)
        return None if segment is None else segment.stat(path)

    def _segment_of(self, path: VPath) -> Segment | None:
        """Return the segment that answers for *path*, if any does."""
        for segment in self._upper:
            if segment.kind(path) is not None:
                return segment
            if segment.hides(parent_of(path)):
                return None
        return self._last

    def merging(self, directory: VPath) -> list[Member]:
        """Return the layers that make up *directory*, from the top."""
        members: list[Member] = []
        for segment in self._segments:
            found, hides = segment.merging(directory)
            members += found
            if hides:
                break
        return members

    def names(self, directory: VPath) -> set[str]:
        """Return the names that the layers show in *directory*."""
        found: dict[str, int] = {}
        for member in self.merging(directory):
            found = dict(member.kinds(directory)) | found
        return {name for name, kind in found.items() if kind != S_IFWHT}


def segments(members: list[Member]) -> Iterator[Segment]:
    """Part *members* into groups that remember names, and single ones."""
    for remembered, run in groupby(members, lambda member: member.layer.remembered):
        adjoining = [*run]
        if remembered and len(adjoining) > 1:
            yield Group(adjoining)
        else:
            yield from map(Single, adjoining)
