"""stratavfs, by its public interface alone."""

from __future__ import annotations

import os
from functools import partial
from typing import TYPE_CHECKING, Final

from benchmarks.contenders.bare import Bare, fill
from benchmarks.contenders.protocol import Kind
from stratavfs import VirtualFileSystem

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from benchmarks.contenders.protocol import Contender

UNDERLAYS: Final = 3
"""Below the layer that is worked in, as a game has a base, an add-on and a mod."""


class Strata(Bare):
    """One file system and, closed after it, the underlays it was given."""

    def __init__(
        self, vfs: VirtualFileSystem, below: Sequence[VirtualFileSystem] = ()
    ) -> None:
        self._vfs = vfs
        self._below = below
        self.write, self.read = vfs.write_bytes, vfs.read_bytes
        self.open, self.exists = vfs.open, vfs.exists
        self.listdir, self.makedirs = vfs.listdir, vfs.makedirs
        self.rename, self.rmtree = vfs.rename, vfs.rmtree
        self.batch = vfs.atomic_batch  # type: ignore[method-assign]
        for priority, underlay in enumerate(reversed(below)):
            vfs.add_underlay(underlay, priority)

    def size(self, key: str) -> int:
        return self._vfs.stat(key).st_size

    def walk(self, key: str) -> int:
        return sum(len(names) for _, _, names in self._vfs.walk(key))

    def glob(self, pattern: str) -> int:
        return len(self._vfs.glob(pattern))

    def again(self) -> Callable[[], Contender]:
        """Go back to a savepoint; a file cannot have one, but be forked into memory."""
        if self._vfs.db_path != ":memory:":
            return lambda: Strata(self._vfs.fork())
        start = self._vfs.savepoint()

        def fresh() -> Contender:
            start.reset()
            return self

        return fresh

    def close(self) -> None:
        for vfs in (self._vfs, *self._below):
            vfs.close()


# --- in memory and on the disk --------------------------------------------------------


def in_memory(_: str) -> Strata:
    return Strata(VirtualFileSystem())


def on_disk(directory: str) -> Strata:
    return Strata(VirtualFileSystem(os.path.join(directory, "container.db")))


def alone_on_disk(directory: str) -> Strata:
    location = os.path.join(directory, "container.db")
    return Strata(VirtualFileSystem(location, exclusive=True))


def layered_in_memory(directory: str) -> Strata:
    return stack_in_memory(directory, [beside(nth) for nth in range(UNDERLAYS)])


def layered_on_disk(directory: str) -> Strata:
    return stack_on_disk(directory, [beside(nth) for nth in range(UNDERLAYS)])


def beside(nth: int) -> dict[str, bytes]:
    """Return files of an underlay that no scene asks for."""
    return {f"/underlay{nth}/file{at}": b"beside" for at in range(20)}


def stack_in_memory(_: str, layers: Sequence[Mapping[str, bytes]]) -> Strata:
    below = [VirtualFileSystem() for _ in layers]
    for vfs, files in zip(below, layers, strict=True):
        fill(Strata(vfs), files)
    return Strata(VirtualFileSystem(), below)


def stack_on_disk(
    directory: str, layers: Sequence[Mapping[str, bytes]], *, exclusive: bool = False
) -> Strata:
    below = [
        shipped(os.path.join(directory, f"layer{nth}.db"), files)
        for nth, files in enumerate(layers)
    ]
    location = os.path.join(directory, "local.db")
    local = VirtualFileSystem(location, exclusive=exclusive)
    return Strata(local, [opened() for opened in below])


stack_alone_on_disk = partial(stack_on_disk, exclusive=True)


# --- built once and read --------------------------------------------------------------


def ship(directory: str, files: Mapping[str, bytes]) -> Callable[[], Contender]:
    opened = shipped(os.path.join(directory, "shipped.db"), files)
    return lambda: Strata(opened())


def ship_layered(directory: str, files: Mapping[str, bytes]) -> Callable[[], Contender]:
    """Spread *files* over a base, an add-on and a mod that replaces some of the base's.

    Of ten files seven are the base's, two the add-on's and one the mod's; half of what
    the mod has is in the base too, with something else in it.
    """
    base: dict[str, bytes] = {}
    addon: dict[str, bytes] = {}
    mod: dict[str, bytes] = {}
    for nth, (path, data) in enumerate(files.items()):
        layer = mod if nth % 10 == 9 else addon if nth % 10 > 6 else base
        layer[path] = data
        if nth % 20 == 9:
            base[path] = b"replaced" + data[8:]
    openers = [
        shipped(os.path.join(directory, name), part)
        for name, part in (("mod.db", mod), ("addon.db", addon), ("base.db", base))
    ]
    return lambda: Strata(VirtualFileSystem(), [opened() for opened in openers])


def shipped(
    location: str, files: Mapping[str, bytes]
) -> Callable[[], VirtualFileSystem]:
    """Build the container at *location*; return what opens it."""
    with VirtualFileSystem() as vfs:
        fill(Strata(vfs), files)
        vfs.pack(location)
    return lambda: VirtualFileSystem(location, immutable=True)


KINDS = (
    Kind("stratavfs", "memory", in_memory, stack=stack_in_memory, role="ours"),
    Kind("layered", "memory", layered_in_memory, role="ours"),
    Kind("stratavfs", "disk", on_disk, stack=stack_on_disk, role="ours"),
    Kind("exclusive", "disk", alone_on_disk, stack=stack_alone_on_disk, role="ours"),
    Kind("layered", "disk", layered_on_disk, role="ours"),
    Kind("stratavfs", "shipped", on_disk, ship, role="ours"),
    Kind("layered", "shipped", layered_on_disk, ship_layered, role="ours"),
)
