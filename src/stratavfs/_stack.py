"""The stack: the local layer, and the underlays in the order of their priority.

It keeps the list of layers and nothing of what is in them. A file system that is used
as an underlay is a stack itself: its layers take its place one by one, so that what it
deletes is deleted in the layers below it too.
"""

from __future__ import annotations

import itertools
import math
import os
import threading
from typing import TYPE_CHECKING, Final, cast

from stratavfs import errors
from stratavfs._arguments import checked_location
from stratavfs._content import Content
from stratavfs._foreign import ForeignLayer
from stratavfs._options import MEMORY
from stratavfs._paths import ROOT, inside
from stratavfs._quiet import QuietStore
from stratavfs._resolver import Resolver
from stratavfs._ticks import stacks
from stratavfs._tree import Tree
from stratavfs._underlays import ContainerLayer, Member
from stratavfs.layers.archive import ZipLayer
from stratavfs.layers.directory import DirectoryLayer
from stratavfs.records import VPath

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from stratavfs._paths import StrPath
    from stratavfs.layers.protocol import LeastLayer

    # Where the layers of an underlay come from, and what closes them if they are ours.
    Source = tuple["Stack | ForeignLayer", Callable[[], None] | None]

LOCAL: Final = "local"
"""Name of the one layer that can be written."""


_order: Final = itertools.count()
_changing: Final = threading.Lock()  # two stacks might be put below each other at once


class Underlay:
    """One underlay as it was added: a stack of its own, or a layer of another kind."""

    def __init__(
        self,
        name: str,
        priority: int,
        at: VPath,
        source: Stack | ForeignLayer,
        close: Callable[[], None] | None,
        keep: object,
    ) -> None:
        self.name = name
        self.priority = priority
        self.at = at
        self.source = source
        self.added = next(_order)
        self._handles = 0  # open on files in it
        self._lock = threading.Lock()
        self._close = close
        self.given = keep  # an owner that nobody else remembers must not be closed
        self._removed = False
        self.is_closed = False  # together with its stack

    @property
    def local(self) -> ContainerLayer | ForeignLayer:
        """The topmost layer of it."""
        return self.source.local if isinstance(self.source, Stack) else self.source

    def members(self, at: VPath, name: str | None, top: Underlay) -> Iterator[Member]:
        """Yield its layers from the top, as those of a stack mounted *at*."""
        at = at if self.at == ROOT else VPath(inside(at) + self.at[1:])
        name = self.name if name is None else name
        if isinstance(self.source, Stack):
            yield from self.source.members(at, name, top)
        else:
            yield Member(name, self.source, at, top)

    def contains(self, stack: Stack) -> bool:
        """Tell whether *stack* is in it."""
        return isinstance(self.source, Stack) and self.source.contains(stack)

    def shared(self) -> Underlay:
        """Return it as another stack has it, which keeps it as a handle does."""
        return Underlay(
            self.name, self.priority, self.at, self.source, self.release, self.given
        )

    def hold(self) -> None:
        """Count one handle more on a file in it."""
        with self._lock:
            self._handles += 1

    def release(self) -> None:
        """Count one handle less; the last one closes a layer that was removed."""
        with self._lock:
            self._handles -= 1
        self._close_unless_used()

    def remove(self) -> None:
        """Give up the layer, as soon as no handle is open on a file in it."""
        self._removed = True
        self._close_unless_used()

    def _close_unless_used(self) -> None:
        with self._lock:
            close = self._close
            if close is None or self._handles or not self._removed:
                return
            self._close = None
        close()


class Stack:
    """The layers of one file system."""

    def __init__(self, local: ContainerLayer) -> None:
        self.local = local
        self._itself = Underlay(LOCAL, 0, ROOT, self, None, None)
        self._underlays: tuple[Underlay, ...] = ()
        self._built: tuple[int, Resolver | None] = (stacks.value, None)

    @property
    def resolver(self) -> Resolver | None:
        """What finds things in the underlays; None if there are none."""
        built, resolver = self._built
        if built != stacks.value and (self._underlays or resolver is not None):
            built, underlays = stacks.value, self._underlays
            members = [
                member
                for underlay in underlays
                for member in underlay.members(ROOT, None, underlay)
            ]
            resolver = Resolver(members) if members else None
            self._built = built, resolver
        return resolver

    def members(self, at: VPath, name: str, top: Underlay) -> Iterator[Member]:
        """Yield all layers of this stack, as an underlay called *name* mounted *at*."""
        yield Member(name, self.local, at, top)
        for underlay in self._underlays:
            yield from underlay.members(at, name, top)

    def everybody(self) -> list[Member]:
        """Return the local layer and all others, from the top."""
        resolver = self.resolver
        local = Member(LOCAL, self.local, ROOT, self._itself)
        return [local] if resolver is None else [local, *resolver.members]

    # --- changing --------------------------------------------------------------------

    def add(
        self,
        name: str,
        priority: int,
        at: VPath,
        layer: object,
        keep: object,
        close: Callable[[], None] | None = None,
    ) -> None:
        """Put *layer*, opened if need be, in its place among the underlays.

        Raises:
            InvalidArgument: the name is taken, or the stack would contain itself.
            InvalidType, OSError: it is no layer, or cannot be opened.
        """
        self._require_free(name)
        if isinstance(layer, Stack):
            source: Source = layer, close
        else:
            source = opened(layer, name)
        underlay = Underlay(name, priority, at, *source, keep)
        with _changing:
            if underlay.contains(self):
                underlay.remove()
                raise errors.layer_cycle(name)
            self._set_underlays([*self._underlays, underlay])
        for member in underlay.members(ROOT, None, underlay):
            member.layer.watch()

    def share(self, other: Stack) -> None:
        """Have all underlays of *other* too; what closes them waits for both."""
        for underlay in other.underlays:
            underlay.hold()
            self._underlays += (underlay.shared(),)
        stacks.tick()

    def remove(self, name: str) -> bool:
        """Take the underlay *name* away; tell whether there was one."""
        underlay = self._named(name)
        if underlay is None:
            return False
        self._set_underlays([other for other in self._underlays if other != underlay])
        underlay.remove()
        return True

    def set_priority(self, name: str, priority: int) -> None:
        """Move the underlay *name* to its place among those of *priority*."""
        underlay = self._named(name)
        if underlay is None:
            raise errors.no_such_layer(name)
        underlay.priority = priority
        self._set_underlays([*self._underlays])

    def say_closed(self) -> None:
        """Let who is just asking learn that all of this is being closed."""
        for underlay in (self._itself, *self._underlays):
            underlay.is_closed = True

    def close(self) -> None:
        """Give up all underlays."""
        for underlay in self._underlays:
            underlay.remove()

    def _set_underlays(self, underlays: list[Underlay]) -> None:
        ordered = sorted(underlays, key=lambda it: (-it.priority, it.added))
        self._underlays = tuple(ordered)
        stacks.tick()

    # --- asking ----------------------------------------------------------------------

    def contains(self, other: Stack) -> bool:
        """Tell whether *other* is this stack, or lies somewhere in it."""
        return (
            self is other
            or is_same_file(self.local.location, other.local.location)
            or any(underlay.contains(other) for underlay in self._underlays)
        )

    def free_name(self) -> str:
        """Return ``underlay_0``, or the first of its kind that is not taken."""
        names = (f"underlay_{number}" for number in itertools.count())
        return next(name for name in names if self._named(name) is None)

    def _require_free(self, name: str) -> None:
        if name == LOCAL or self._named(name) is not None:
            raise errors.name_taken(name)

    def _named(self, name: str) -> Underlay | None:
        found = (underlay for underlay in self._underlays if underlay.name == name)
        return next(found, None)

    def list_layers(self, *, writable: bool) -> list[dict[str, object]]:
        """Return what is known of each layer, the local one first."""
        described = [_described(LOCAL, math.inf, self.local, ROOT, writable=writable)]
        described += [
            _described(underlay.name, underlay.priority, underlay.local, underlay.at)
            for underlay in self._underlays
        ]
        return described

    def parts(self) -> list[tuple[str, int, VPath, object]]:
        """Return (name, priority, prefix, layer as it was given) of each underlay."""
        found = sorted(self._underlays, key=lambda underlay: underlay.added)
        return [(it.name, it.priority, it.at, it.given) for it in found]

    @property
    def underlays(self) -> tuple[Underlay, ...]:
        """The underlays in order."""
        return self._underlays


def is_same_file(first: str, second: str) -> bool:
    """Tell whether both are one container, opened twice."""
    try:
        return MEMORY not in (first, second) and os.path.samefile(first, second)
    except OSError:  # one is no file, or has gone
        return False


def opened(layer: object, name: str) -> Source:
    """Return *layer*, or what is at this path of the host, as a source of an underlay.

    With it comes what closes it, if it is ours to close.
    """
    if isinstance(layer, (str, bytes, os.PathLike)):
        return _opened_path(checked_location(cast("StrPath", layer), "layer"))
    if isinstance(layer, type) or not all(
        callable(getattr(layer, verb, None)) for verb in ("find", "kinds", "open")
    ):
        raise errors.not_a_layer(layer)
    try:
        foreign = ForeignLayer(cast("LeastLayer", layer))
        root = foreign.find(ROOT)
    except Exception as error:
        raise errors.layer_failed(name, ROOT, error) from error
    if root is None or not root.is_directory:
        raise errors.no_root(name)
    return foreign, None


def _opened_path(location: str) -> Source:
    """Open what is at *location* by what it is."""
    if os.path.isdir(location):
        layer: DirectoryLayer | ZipLayer = DirectoryLayer(location)
    else:
        try:
            return _opened_container(location)
        except errors.ForeignDatabase as not_ours:
            # Looked into second: closing a file that is open as a database somewhere in
            # this process would drop the locks that it has.
            try:
                layer = ZipLayer(location)
            except OSError:
                raise not_ours from None
    foreign = ForeignLayer(layer)
    return foreign, foreign.close


def _opened_container(location: str) -> Source:
    store = QuietStore(os.path.abspath(location))
    stack = Stack(ContainerLayer((store, Tree(store), Content(store))))
    return stack, store.close


def _described(
    name: str,
    priority: float,
    layer: ContainerLayer | ForeignLayer,
    at: VPath,
    *,
    writable: bool = False,
) -> dict[str, object]:
    return {
        "name": name,
        "priority": priority,
        "db_path": layer.location,
        "writable": writable,
        "kind": layer.kind,
        "at": at,
    }
