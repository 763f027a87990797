"""pyfakefs: its fake ``open`` and ``os`` called directly, nothing being patched."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from benchmarks.contenders.bare import FOR_ONE, Bare, peer
from benchmarks.contenders.protocol import Kind

if TYPE_CHECKING:
    from collections.abc import Mapping

    from benchmarks.contenders.protocol import Verb


class PyFakeFS(Bare):
    def __init__(self) -> None:
        fake_filesystem = peer("pyfakefs.fake_filesystem")
        fs = fake_filesystem.FakeFilesystem()
        fake = fake_filesystem.FakeOsModule(fs)
        self.open = fake_filesystem.FakeFileOpen(fs)
        self._os = fake
        self.exists, self.listdir = fake.path.exists, fake.listdir
        self.makedirs, self.rename = fake.makedirs, fake.rename
        self.rmtree = fs.remove_object

    def write(self, key: str, data: bytes) -> None:
        with self.open(key, "wb") as file:
            file.write(data)

    def read(self, key: str) -> bytes:
        with self.open(key, "rb") as file:
            data: bytes = file.read()
        return data

    def size(self, key: str) -> int:
        size: int = self._os.stat(key).st_size
        return size

    def walk(self, key: str) -> int:
        return sum(len(names) for _, _, names in self._os.walk(key))


LACKS: Final[Mapping[Verb, str]] = {
    "glob": "it has none but by patching glob or pathlib",
    "threads": FOR_ONE,
}
KINDS = (
    Kind("pyfakefs", "memory", lambda _: PyFakeFS(), package="pyfakefs", lacks=LACKS),
)
