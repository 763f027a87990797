"""PyFilesystem2: in memory, on the disk, from a zip file, and its stack of them."""

from __future__ import annotations

import os
import warnings
from typing import TYPE_CHECKING, Any

from benchmarks.contenders.bare import Bare, fill, peer
from benchmarks.contenders.host import rooted
from benchmarks.contenders.protocol import Kind
from benchmarks.contenders.zips import archived

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from benchmarks.contenders.protocol import Contender


def package() -> Any:
    """Import what is used of it, which warns of pkg_resources."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in ("errors", "memoryfs", "multifs", "osfs", "zipfs"):
            peer(f"fs.{name}")
        return peer("fs")


class PyFilesystem(Bare):
    def __init__(self, fs: Any, below: Sequence[PyFilesystem] = ()) -> None:
        self.fs = fs
        self._below = below
        self._not_a_file = package().errors.FileExpected
        self.write, self.read, self.open = fs.writebytes, fs.readbytes, fs.openbin
        self.exists, self.listdir = fs.exists, fs.listdir
        self.makedirs, self.rmtree = fs.makedirs, fs.removetree

    def size(self, key: str) -> int:
        size: int = self.fs.getinfo(key, ["details"]).size
        return size

    def walk(self, key: str) -> int:
        return sum(1 for _ in self.fs.walk.files(key))

    def glob(self, pattern: str) -> int:
        return sum(1 for _ in self.fs.glob(pattern))

    def rename(self, key: str, to: str) -> None:
        try:
            self.fs.move(key, to)
        except self._not_a_file:
            self.fs.movedir(key, to, create=True)

    def close(self) -> None:
        for contender in (self, *self._below):
            contender.fs.close()


class InMemory(PyFilesystem):
    def __init__(self) -> None:
        super().__init__(package().memoryfs.MemoryFS())


class Stacked(PyFilesystem):
    """A MultiFS of which the top is written to."""

    def __init__(self, below: Sequence[PyFilesystem]) -> None:
        multi = package().multifs.MultiFS()
        top = InMemory()
        multi.add_fs("top", top.fs, write=True, priority=len(below))
        for priority, layer in enumerate(reversed(below)):
            multi.add_fs(f"layer{priority}", layer.fs, priority=priority)
        super().__init__(multi, [top, *below])


class Zipped(PyFilesystem):
    def __init__(self, location: str) -> None:
        super().__init__(package().zipfs.ZipFS(location))


def in_memory(_: str) -> InMemory:
    return InMemory()


def on_disk(directory: str) -> PyFilesystem:
    return PyFilesystem(package().osfs.OSFS(rooted(directory)))


def stack_in_memory(_: str, layers: Sequence[Mapping[str, bytes]]) -> Stacked:
    return Stacked([filled(InMemory(), files) for files in layers])


def stack_on_disk(directory: str, layers: Sequence[Mapping[str, bytes]]) -> Stacked:
    os.makedirs(directory, exist_ok=True)
    return Stacked([filled(on_disk(directory), files) for files in layers])


def filled(contender: PyFilesystem, files: Mapping[str, bytes]) -> PyFilesystem:
    fill(contender, files)
    return contender


def ship(directory: str, files: Mapping[str, bytes]) -> Callable[[], Contender]:
    location = archived(directory, files)
    return lambda: Zipped(location)


KINDS = (
    Kind("PyFilesystem", "memory", in_memory, stack=stack_in_memory, package="fs"),
    Kind("OSFS", "disk", on_disk, stack=stack_on_disk, package="fs"),
    Kind("ZipFS", "shipped", in_memory, ship, package="fs"),
)
