"""Where the subjects stand: how much of everything, and containers with files in them.

Each is made when it is first needed and closed at the end; making it is never timed.
"""

from __future__ import annotations

import os
import random
import shutil
import tempfile
from contextlib import closing, contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Final, NamedTuple

from benchmarks.floor import SqlFloor
from benchmarks.subjects import (
    LocalDisk,
    StrataDisk,
    StrataImmutable,
    StrataMemory,
    set_apart,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import ExitStack

    from benchmarks.subjects import Subject
    from stratavfs import VirtualFileSystem

SIZE: Final = 4096
PIECE: Final = 1 << 20
IN_ONE_DIRECTORY: Final = 100


class Scale(NamedTuple):
    """How much of everything."""

    rounds: int
    block: int
    """Questions in a row in each round."""
    write_rounds: int
    writes: int
    """Writes in a row in each round: enough that each has checkpoints in it."""
    files: int
    stream: int
    """Bytes of the large file, streamed in one segment a round."""
    segments: int
    few: int
    many: int
    """Other entries in the two containers between which a price should be flat."""
    tree: int
    tree_rounds: int
    check_rounds: int
    start_rounds: int
    fork_rounds: int
    commits: int
    """Commits in a row in each round: enough that each has a checkpoint in it."""


FULL: Final = Scale(
    rounds=60,
    block=200,
    write_rounds=9,
    writes=1_000,
    files=5_000,
    stream=256 << 20,
    segments=16,
    few=10_000,
    many=200_000,
    tree=20_000,
    tree_rounds=7,
    check_rounds=3,
    start_rounds=15,
    fork_rounds=25,
    commits=250,
)
QUICK: Final = Scale(
    rounds=25,
    block=100,
    write_rounds=5,
    writes=700,
    files=2_000,
    stream=64 << 20,
    segments=16,
    few=1_000,
    many=20_000,
    tree=4_000,
    tree_rounds=5,
    check_rounds=3,
    start_rounds=7,
    fork_rounds=11,
    commits=100,
)


class Stage:
    """Files of 4 KiB, random bytes, a hundred in a directory, in every subject."""

    def __init__(self, directory: str, scale: Scale, stack: ExitStack) -> None:
        self.scale = scale
        self.paths = [
            f"/d{nth // IN_ONE_DIRECTORY:03}/f{nth:05}.bin"
            for nth in range(scale.files)
        ]
        self.directories = sorted({path.rpartition("/")[0] for path in self.paths})
        self.names = {at: _names_in(self.paths, at) for at in self.directories}
        source = random.Random(4096)
        self.content = {path: source.randbytes(SIZE) for path in self.paths}
        self.pieces = [source.randbytes(PIECE) for _ in range(7)]
        set_apart(directory)
        self._directory = directory
        self._stack = stack

    def new(self) -> str:
        """Return the name of a host file that does not exist yet."""
        return os.path.join(tempfile.mkdtemp(dir=self._directory), "container.db")

    def chosen(self, nth: int, among: list[str]) -> list[str]:
        """Return what round *nth* works on: random, and the same for every subject."""
        return random.Random(nth).choices(among, k=self.scale.block)

    def keep(self, subject: Subject) -> Subject:
        """Close *subject* at the end."""
        return self._stack.enter_context(closing(subject))

    @cached_property
    def readers(self) -> dict[str, Subject]:
        """All subjects, with the same files; closed once, so that no log is left."""
        found: dict[str, Subject] = {"memory": self.keep(StrataMemory())}
        self.fill(found["memory"])
        for name, kind in (("disk", StrataDisk), ("sql", SqlFloor)):
            location = self.new()
            with closing(kind(location)) as subject:
                self.fill(subject)
            found[name] = self.keep(kind(location))
            if kind is StrataDisk:
                shipped = shutil.copyfile(location, self.new())
                found["immutable"] = self.keep(StrataImmutable(shipped))
        found["local"] = self.keep(LocalDisk(self.new()))
        self.fill(found["local"])
        return found

    @cached_property
    def writers(self) -> dict[str, Subject]:
        """The subjects on the disk, with the same files to overwrite."""
        found: dict[str, Subject] = {
            "disk": StrataDisk(self.new()),
            "sql": SqlFloor(self.new()),
            "local": LocalDisk(self.new()),
        }
        for subject in found.values():
            self.fill(self.keep(subject))
        return found

    @contextmanager
    def fresh(self) -> Iterator[dict[str, Subject]]:
        """Give an empty library and an empty floor, removed afterwards."""
        directory = self.new()
        os.mkdir(directory)
        disk = StrataDisk(os.path.join(directory, "disk.db"))
        floor = SqlFloor(os.path.join(directory, "sql.db"))
        with closing(disk), closing(floor):
            yield {"disk": disk, "sql": floor}
        shutil.rmtree(directory)

    @cached_property
    def streamed(self) -> dict[str, Subject]:
        """A library and a floor with the large file in each."""
        found: dict[str, Subject] = {}
        for name, kind in (("disk", StrataDisk), ("sql", SqlFloor)):
            found[name] = self.keep(kind(self.new()))
            with closing(found[name].open(found[name].key("/large"), "wb")) as file:
                for nth in range(self.scale.stream // PIECE):
                    file.write(self.piece(nth))
        return found

    @cached_property
    def crowds(self) -> dict[str, VirtualFileSystem]:
        """Two containers with the directory /here among few and among many others."""
        found = {}
        for name, others in (("few", self.scale.few), ("many", self.scale.many)):
            subject = StrataDisk(self.new())
            self.keep(subject)
            with subject.batch():
                plant(subject.vfs, "/others", others, bytes(16))
                for nth in range(1000):
                    subject.vfs.touch(f"/here/n{nth:04}.txt")
            found[name] = subject.vfs
        return found

    def piece(self, nth: int) -> bytes:
        return self.pieces[nth % len(self.pieces)]

    def fill(self, subject: Subject) -> None:
        with subject.batch():
            for path in self.paths:
                subject.write_bytes(subject.key(path), self.content[path])


def _names_in(paths: list[str], directory: str) -> list[str]:
    return [path[len(directory) + 1 :] for path in paths if path.startswith(directory)]


def plant(vfs: VirtualFileSystem, top: str, files: int, content: bytes) -> int:
    """Make *files* files below *top*, 1 in 100 of them .png; return all entries."""
    directories = -(-files // IN_ONE_DIRECTORY)
    for nth in range(files):
        ending = "txt" if nth % IN_ONE_DIRECTORY else "png"
        name = f"{top}/d{nth // IN_ONE_DIRECTORY:04}/f{nth:06}.{ending}"
        vfs.write_bytes(name, content)
    return files + directories
