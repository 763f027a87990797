"""The operating system's own files: by ``open()``, by pathlib, on a tmpfs."""

from __future__ import annotations

import glob
import os
import pathlib
import secrets
import shutil
import sys
import tempfile
from typing import TYPE_CHECKING, Any, Final

from benchmarks.contenders.bare import Bare, fill
from benchmarks.contenders.protocol import Kind
from benchmarks.subjects import set_apart

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from benchmarks.contenders.protocol import Contender, Verb

MEMORY = "/dev/shm"


def rooted(directory: str) -> str:
    """Make an empty directory apart from all others; return its path."""
    set_apart(directory)
    root = os.path.join(directory, secrets.token_hex(4))  # ext4 places it by its name
    os.mkdir(root)
    return root


class Host(Bare):
    """Files below *root*, by ``open()`` and what ``os`` has."""

    def __init__(self, root: str) -> None:
        self._root = root
        self.open, self.exists, self.listdir = open, os.path.exists, os.listdir
        self.makedirs, self.rename = os.makedirs, os.rename
        self.rmtree = shutil.rmtree

    def key(self, path: str) -> str:
        return self._root + path

    @staticmethod
    def write(key: str, data: bytes) -> None:
        with open(key, "wb") as file:
            file.write(data)

    @staticmethod
    def read(key: str) -> bytes:
        with open(key, "rb") as file:
            return file.read()

    @staticmethod
    def size(key: str) -> int:
        return os.stat(key).st_size

    @staticmethod
    def walk(key: str) -> int:
        return sum(len(names) for _, _, names in os.walk(key))

    def glob(self, pattern: str) -> int:
        return len(glob.glob(glob.escape(self._root) + pattern, recursive=True))


class ByPath(Bare):
    """The same by ``pathlib.Path``; keys are paths made beforehand."""

    def __init__(self, root: str) -> None:
        self._root = pathlib.Path(root)
        path = pathlib.Path
        self.write, self.read, self.open = path.write_bytes, path.read_bytes, path.open
        self.exists, self.rename = path.exists, path.rename
        self.rmtree = shutil.rmtree  # pathlib has none

    def key(self, path: str) -> pathlib.Path:
        return self._root / path[1:]

    @staticmethod
    def makedirs(key: pathlib.Path) -> None:
        key.mkdir(parents=True)

    @staticmethod
    def size(key: pathlib.Path) -> int:
        return key.stat().st_size

    @staticmethod
    def listdir(key: pathlib.Path) -> list[pathlib.Path]:
        return [*key.iterdir()]

    @staticmethod
    def walk(key: Any) -> int:
        return sum(len(names) for _, _, names in key.walk())

    def glob(self, pattern: str) -> int:
        return sum(1 for _ in self._root.glob(pattern[1:]))


class Tmpfs(Host):
    """A directory of its own in the memory of the operating system."""

    def __init__(self) -> None:
        if not os.path.isdir(MEMORY):
            message = f"there is no {MEMORY} here"
            raise ImportError(message)
        self._directory = tempfile.TemporaryDirectory(dir=MEMORY)
        super().__init__(self._directory.name)

    def close(self) -> None:
        self._directory.cleanup()


def ship(directory: str, files: Mapping[str, bytes]) -> Callable[[], Contender]:
    root = rooted(directory)
    fill(Host(root), files)
    return lambda: Host(root)


NO_WALK: Final[Mapping[Verb, str]] = (
    {} if sys.version_info >= (3, 12) else {"walk": "Path.walk came with Python 3.12"}
)
KINDS = (
    Kind("tmpfs", "memory", lambda _: Tmpfs(), role="yardstick"),
    Kind("open()", "disk", lambda at: Host(rooted(at)), role="yardstick"),
    Kind(
        "pathlib",
        "disk",
        lambda at: ByPath(rooted(at)),
        role="yardstick",
        lacks=NO_WALK,
    ),
    Kind("open()", "shipped", lambda at: Host(rooted(at)), ship, role="yardstick"),
)
