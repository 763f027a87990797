"""What a thread does with files of its own: it knows what must be in them."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from tests.soak.works import Work

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

    from stratavfs import VirtualFileSystem as Vfs

NAMES: Final = ("a", "b", "sub/c", "sub/deep/d")
SIZES: Final = (0, 1, 63, 64, 65, 300, 5000)


class Own(Work):
    """A directory of its own, compared with a dictionary.

    Each call that returns has happened, each one that fails has not: the dictionary is
    changed right after it, so that it holds whatever is raised in between.
    """

    def __init__(self, who: str, chance: Random) -> None:
        super().__init__(who, chance)
        self.root = f"/own/{who}"
        self._files: dict[str, bytes] = {}
        self._open: tuple[Vfs, Any, bytearray] | None = None
        self._wrong: list[str] = []

    def step(self, vfs: Vfs) -> None:
        calls: list[Callable[[Vfs, str], None]] = [
            *(self._write, self._append, self._patch, self._cut, self._remove),
            *(self._move, self._rmtree, self._fail, self._unlinked, self._scribble),
        ]
        self.chance.choice(calls)(vfs, f"{self.root}/{self.chance.choice(NAMES)}")

    def _some(self) -> bytes:
        return bytes([self.chance.randrange(256)]) * self.chance.choice(SIZES)

    # --- whole files and parts -------------------------------------------------------

    def _write(self, vfs: Vfs, path: str) -> None:
        data = self._some()
        vfs.write_bytes(path, data)
        self._files[path] = data

    def _append(self, vfs: Vfs, path: str) -> None:
        data = self._some()
        with vfs.open(path, "ab", 0) as file:
            self._files.setdefault(path, b"")
            file.write(data)
            self._files[path] += data

    def _patch(self, vfs: Vfs, path: str) -> None:
        if path not in self._files:
            return
        data, at = self._some(), self.chance.choice(SIZES)
        whole = self._files[path].ljust(at, b"\0") if data else self._files[path]
        with vfs.atomic_batch(), vfs.open(path, "r+b", 50) as file:
            file.seek(at)
            file.write(data)
        self._files[path] = whole[:at] + data + whole[at + len(data) :]

    def _cut(self, vfs: Vfs, path: str) -> None:
        if path in self._files:
            size = self.chance.choice(SIZES)
            vfs.truncate(path, size)
            self._files[path] = self._files[path][:size].ljust(size, b"\0")

    # --- names -----------------------------------------------------------------------

    def _remove(self, vfs: Vfs, path: str) -> None:
        if path in self._files:
            vfs.remove(path)
            del self._files[path]

    def _move(self, vfs: Vfs, path: str) -> None:
        dst = f"{self.root}/{self.chance.choice(NAMES)}"
        if path in self._files and path != dst:
            vfs.replace(path, dst)
            self._files[dst] = self._files.pop(path)

    def _rmtree(self, vfs: Vfs, path: str) -> None:
        sub = f"{self.root}/sub"
        with suppress(FileNotFoundError):
            vfs.rmtree(sub)
            self._files = {
                path: data
                for path, data in self._files.items()
                if not path.startswith(sub)
            }

    # --- batches and handles ---------------------------------------------------------

    def _fail(self, vfs: Vfs, path: str) -> None:
        """Do much, and take it back."""
        with vfs.atomic_batch() as batch:
            vfs.write_bytes(path, b"never")
            with vfs.open(path, "ab") as file:
                file.write(b"never")
            vfs.rename(self.root, self.root + ".moved")
            batch.rollback()

    def _unlinked(self, vfs: Vfs, path: str) -> None:
        """Use a file that has no name any more."""
        data = self._some()
        with vfs.open(path, "w+b", 0) as file:
            self._files[path] = b""
            file.write(data)
            self._files[path] = data
            vfs.remove(path)
            del self._files[path]
            file.write(data)
            file.seek(0)
            found = file.read()
        if found != data * 2:
            self._wrong.append(f"own: {path} without a name has {found[:40]!r}")

    def _scribble(self, vfs: Vfs, path: str) -> None:
        """Write to a file that stays open from step to step, somewhere in it."""
        file, content = self._scribbled(vfs)
        at, data = self.chance.randrange(300), self._some()[:100]
        file.seek(at)
        if data:
            file.write(data)
            content.extend(bytes(max(0, at - len(content))))
            content[at : at + len(data)] = data
        file.seek(0)
        found = file.read()
        if found != content:
            self._wrong.append(f"own: open {self.root}.open has {found[:40]!r}")

    def _scribbled(self, vfs: Vfs) -> tuple[Any, bytearray]:
        if self._open is None or self._open[0] is not vfs or self._open[1].closed:
            file = vfs.open(self.root + ".open", "w+b", 0)
            self._open = vfs, file, bytearray()
        return self._open[1], self._open[2]

    def close(self) -> None:
        """Close what is open from step to step."""
        if self._open is not None:
            self._open[1].close()

    # --- looking ---------------------------------------------------------------------

    def look(self, vfs: Vfs) -> list[str]:
        found, self._wrong = self._wrong, []
        names = {path for path in vfs.glob(f"{self.root}/**/*") if vfs.isfile(path)}
        if names != {*self._files}:
            found.append(f"own: {sorted(names)} instead of {sorted(self._files)}")
        found += [
            f"own: {path} has {vfs.read_bytes(path)[:40]!r} instead of {data[:40]!r}"
            for path, data in self._files.items()
            if path in names and vfs.read_bytes(path) != data
        ]
        return found

    glance = look
