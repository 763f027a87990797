"""D-MemFS: files in memory, with a quota, which is set out of the way."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.contenders.bare import Bare, peer
from benchmarks.contenders.protocol import Kind
from benchmarks.contenders.zips import archived

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from benchmarks.contenders.protocol import Contender

QUOTA = 1 << 34


class DMemFS(Bare):
    def __init__(self) -> None:
        fs = peer("dmemfs").MemoryFileSystem(max_quota=QUOTA)
        self.fs = fs
        self.open, self.exists, self.listdir = fs.open, fs.exists, fs.listdir
        self.makedirs, self.rename, self.rmtree = fs.mkdir, fs.rename, fs.rmtree

    def write(self, key: str, data: bytes) -> None:
        with self.fs.open(key, "wb") as file:
            file.write(data)

    def read(self, key: str) -> bytes:
        with self.fs.open(key, "rb") as file:
            data: bytes = file.read()
        return data

    def size(self, key: str) -> int:
        size: int = self.fs.stat(key)["size"]
        return size

    def walk(self, key: str) -> int:
        return sum(len(names) for _, _, names in self.fs.walk(key))

    def glob(self, pattern: str) -> int:
        return len({*self.fs.glob(pattern)})  # it names some files twice

    def again(self) -> Callable[[], Contender]:
        tree = self.fs.export_tree()

        def fresh() -> Contender:
            made = DMemFS()
            made.fs.import_tree(tree)
            return made

        return fresh


class Expanded(DMemFS):
    """Read from an archive into memory each time it is opened: its way from a disk."""

    def __init__(self, location: str) -> None:
        super().__init__()
        peer("dmemfs").expand_archive(self.fs, location)


def ship(directory: str, files: Mapping[str, bytes]) -> Callable[[], Contender]:
    location = archived(directory, files)
    return lambda: Expanded(location)


KINDS = (
    Kind("D-MemFS", "memory", lambda _: DMemFS(), package="D-MemFS"),
    Kind("D-MemFS", "shipped", lambda _: DMemFS(), ship, package="D-MemFS"),
)
