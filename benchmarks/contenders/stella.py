"""stella-sqlite-vfs, of which stratavfs keeps the names; its module is called lib."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from benchmarks.contenders.bare import PATIENCE, Bare, fill, peer
from benchmarks.contenders.protocol import Kind

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from benchmarks.contenders.protocol import Contender


class Stella(Bare):
    def __init__(self, location: str, below: Sequence[Stella] = ()) -> None:
        vfs = peer("lib.vfs").VirtualFileSystem(location)
        self.vfs = vfs
        self._below = below
        self.write, self.read, self.open = vfs.write_bytes, vfs.read_bytes, vfs.open
        self.exists, self.listdir, self.makedirs = vfs.exists, vfs.listdir, vfs.makedirs
        self.rename, self.rmtree = vfs.rename, vfs.rmtree
        self.batch = vfs.atomic_batch  # type: ignore[method-assign]
        for priority, underlay in enumerate(reversed(below)):
            vfs.add_underlay(underlay.vfs, priority=priority)

    def size(self, key: str) -> int:
        size: int = self.vfs.stat(key).st_size
        return size

    def walk(self, key: str) -> int:
        return sum(len(names) for _, _, names in self.vfs.walk(key))

    def glob(self, pattern: str) -> int:
        return len(self.vfs.glob(pattern.replace("**/", "")))  # its * crosses slashes

    def close(self) -> None:
        for vfs in (self, *self._below):
            vfs.vfs.close()


def ship(directory: str, files: Mapping[str, bytes]) -> Callable[[], Contender]:
    location = os.path.join(directory, "shipped.stella")
    building = Stella(location)
    try:
        fill(building, files, PATIENCE)
    finally:
        building.close()
    return lambda: Stella(location)


def stack_in_memory(_: str, layers: Sequence[Mapping[str, bytes]]) -> Stella:
    return stacked(":memory:", [":memory:"] * len(layers), layers)


def stack_on_disk(directory: str, layers: Sequence[Mapping[str, bytes]]) -> Stella:
    places = [os.path.join(directory, f"layer{nth}") for nth in range(len(layers))]
    return stacked(os.path.join(directory, "local"), places, layers)


def stacked(
    local: str, places: Sequence[str], layers: Sequence[Mapping[str, bytes]]
) -> Stella:
    below = [Stella(place) for place in places]
    for layer, files in zip(below, layers, strict=True):
        fill(layer, files)
    return Stella(local, below)


def on_disk(directory: str) -> Stella:
    return Stella(os.path.join(directory, "container.stella"))


PACKAGE = "stella-sqlite-vfs"
KINDS = (
    Kind(
        "stella",
        "memory",
        lambda _: Stella(":memory:"),
        stack=stack_in_memory,
        package=PACKAGE,
    ),
    Kind("stella", "disk", on_disk, stack=stack_on_disk, package=PACKAGE),
    Kind("stella", "shipped", on_disk, ship, package=PACKAGE),
)
