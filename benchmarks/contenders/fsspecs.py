"""fsspec: in memory, on the local disk, from a zip file."""

from __future__ import annotations

import shutil
from functools import partial
from typing import TYPE_CHECKING, Any

from benchmarks.contenders.bare import Bare, peer
from benchmarks.contenders.host import rooted
from benchmarks.contenders.protocol import Kind
from benchmarks.contenders.zips import archived

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from benchmarks.contenders.protocol import Contender


class Fsspec(Bare):
    def __init__(self, fs: Any) -> None:
        self._fs = fs
        self.write, self.read, self.open = fs.pipe_file, fs.cat_file, fs.open
        self.exists, self.makedirs = fs.exists, fs.makedirs
        self.listdir = partial(fs.ls, detail=False)
        self.rename = partial(fs.mv, recursive=True)
        self.rmtree = partial(fs.rm, recursive=True)

    def size(self, key: str) -> int:
        size: int = self._fs.info(key)["size"]
        return size

    def walk(self, key: str) -> int:
        return len(self._fs.find(key))

    def glob(self, pattern: str) -> int:
        return len(self._fs.glob(self.key(pattern)))


class InMemory(Fsspec):
    def __init__(self) -> None:
        module = peer("fsspec.implementations.memory")
        fs = module.MemoryFileSystem(skip_instance_cache=True)
        fs.store, fs.pseudo_dirs = {}, [""]  # one for all instances otherwise
        super().__init__(fs)


class OnDisk(Fsspec):
    def __init__(self, directory: str) -> None:
        module = peer("fsspec.implementations.local")
        super().__init__(module.LocalFileSystem(skip_instance_cache=True))
        self._root = rooted(directory)

    def key(self, path: str) -> str:
        return self._root + path

    def close(self) -> None:
        shutil.rmtree(self._root, ignore_errors=True)


class Zipped(Fsspec):
    def __init__(self, location: str) -> None:
        module = peer("fsspec.implementations.zip")
        super().__init__(module.ZipFileSystem(location, skip_instance_cache=True))

    def key(self, path: str) -> str:
        return path[1:]

    def close(self) -> None:
        self._fs.close()


def ship(directory: str, files: Mapping[str, bytes]) -> Callable[[], Contender]:
    location = archived(directory, files)
    return lambda: Zipped(location)


KINDS = (
    Kind("fsspec", "memory", lambda _: InMemory(), package="fsspec"),
    Kind("fsspec", "disk", OnDisk, package="fsspec"),
    Kind("fsspec zip", "shipped", lambda _: InMemory(), ship, package="fsspec"),
)
