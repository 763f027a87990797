"""The same work on the peers that are installed: ``python -m benchmarks.peers``.

Each is one class with the verbs that the work calls, in its own words; one that is not
installed is left out and named. Install them with
``pip install stella-sqlite-vfs D-MemFS fs fsspec "setuptools<81"``.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import tempfile
import warnings
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Protocol

from benchmarks import fixtures
from benchmarks.subjects import set_apart
from benchmarks.timing import clocked, clocked_once, interleaved, median, require_equal
from stratavfs import VirtualFileSystem

if TYPE_CHECKING:
    from collections.abc import Callable

FILES: Final = 1000
SMALL: Final = 4096
PIECE: Final = 1 << 16
STREAM: Final = 16 << 20
ROUNDS: Final = 5


class Peer(Protocol):
    """The verbs that the work calls."""

    def write(self, path: str, data: bytes, /) -> object: ...
    def read(self, path: str, /) -> bytes: ...
    def stat(self, path: str, /) -> object: ...
    def listdir(self, path: str, /) -> Any: ...
    def makedirs(self, path: str, /) -> object: ...
    def open(self, path: str, mode: str, /) -> Any: ...
    def rmtree(self, path: str, /) -> object: ...


class Strata:
    def __init__(
        self, location: str = ":memory:", vfs: VirtualFileSystem | None = None
    ) -> None:
        vfs = vfs or VirtualFileSystem(location)
        self.write, self.read, self.stat = vfs.write_bytes, vfs.read_bytes, vfs.stat
        self.listdir, self.makedirs, self.open = vfs.listdir, vfs.makedirs, vfs.open
        self.rmtree, self.close = vfs.rmtree, vfs.close
        self.fork, self.savepoint = vfs.fork, vfs.savepoint


class Stella:
    def __init__(self, location: str = ":memory:") -> None:
        from lib.vfs import VirtualFileSystem as Vfs  # noqa: PLC0415

        vfs = Vfs(location)
        self.write, self.read, self.stat = vfs.write_bytes, vfs.read_bytes, vfs.stat
        self.listdir, self.makedirs, self.open = vfs.listdir, vfs.makedirs, vfs.open
        self.rmtree = vfs.rmtree


class DMemFS:
    def __init__(self) -> None:
        from dmemfs import MemoryFileSystem  # noqa: PLC0415

        self._fs = MemoryFileSystem()
        self.stat, self.listdir = self._fs.stat, self._fs.listdir
        self.makedirs, self.open = self._fs.mkdir, self._fs.open
        self.rmtree, self.import_tree = self._fs.rmtree, self._fs.import_tree

    def write(self, path: str, data: bytes) -> None:
        with self._fs.open(path, "wb") as file:
            file.write(data)

    def read(self, path: str) -> bytes:
        with self._fs.open(path, "rb") as file:
            data: bytes = file.read()
        return data


class PyFilesystem:
    def __init__(self) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # pkg_resources
            from fs.memoryfs import MemoryFS  # noqa: PLC0415
        fs = MemoryFS()
        self.write, self.read, self.stat = fs.writebytes, fs.readbytes, fs.getdetails
        self.listdir, self.makedirs, self.open = fs.listdir, fs.makedirs, fs.openbin
        self.rmtree = fs.removetree


class Fsspec:
    def __init__(self) -> None:
        from fsspec.implementations.memory import MemoryFileSystem  # noqa: PLC0415

        fs = MemoryFileSystem(skip_instance_cache=True)
        fs.store.clear()  # one for all instances
        fs.pseudo_dirs[:] = [""]  # this too
        self.write, self.read, self.stat = fs.pipe_file, fs.cat_file, fs.info
        self.listdir, self.makedirs, self.open = fs.ls, fs.makedirs, fs.open
        self._fs = fs

    def rmtree(self, path: str) -> None:
        self._fs.rm(path, recursive=True)


class Disk:
    """The local disk by ``open()``."""

    def __init__(self, root: str) -> None:
        os.mkdir(root)
        set_apart(root)
        self._root = root

    def write(self, path: str, data: bytes) -> None:
        with open(self._root + path, "wb") as file:
            file.write(data)

    def read(self, path: str) -> bytes:
        with open(self._root + path, "rb") as file:
            return file.read()

    def stat(self, path: str) -> object:
        return os.stat(self._root + path)

    def listdir(self, path: str) -> list[str]:
        return os.listdir(self._root + path)

    def makedirs(self, path: str) -> None:
        os.makedirs(self._root + path)

    def open(self, path: str, mode: str) -> Any:
        return open(self._root + path, mode)

    def rmtree(self, path: str) -> None:
        import shutil  # noqa: PLC0415

        shutil.rmtree(self._root + path)


MEMORY: dict[str, Callable[..., Any]] = {
    "stratavfs": Strata,
    "stella": Stella,
    "D-MemFS": DMemFS,
    "PyFilesystem": PyFilesystem,
    "fsspec": Fsspec,
}
ON_DISK: dict[str, Callable[..., Any]] = {
    "stratavfs": Strata,
    "stella": Stella,
    "local disk": Disk,
}
PATHS: Final = [f"/d{nth // 100:02}/f{nth:04}.bin" for nth in range(FILES)]
DATA: Final = random.Random(7).randbytes(SMALL)
PIECES: Final = random.Random(8).randbytes(PIECE)


def main() -> int:
    parser = argparse.ArgumentParser("python -m benchmarks.peers", description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    rounds = parser.parse_args().rounds
    compare("in memory", made(MEMORY), rounds)
    with tempfile.TemporaryDirectory() as directory:
        places = {name: (os.path.join(directory, name),) for name in ON_DISK}
        compare("on disk", made(ON_DISK, places), rounds)
    with tempfile.TemporaryDirectory() as directory:
        compare_fresh(directory, rounds)
    return 0


def made(
    kinds: dict[str, Callable[..., Any]], places: dict[str, tuple[str]] | None = None
) -> dict[str, Peer]:
    """Make every peer that is installed."""
    found: dict[str, Peer] = {}
    for name, kind in kinds.items():
        try:
            found[name] = kind(*(places or {}).get(name, ()))
        except ImportError as error:
            print(f"{name} is left out: {error}")
    return found


def compare(title: str, peers: dict[str, Peer], rounds: int) -> None:
    """Print the medians of each work, and how many times ours the others take."""
    print(f"\n{title}: us (times stratavfs)")
    print(f"{'work':<22}" + "".join(f"{name:>20}" for name in peers))
    for peer in peers.values():
        for nth in range(FILES // 100):
            peer.makedirs(f"/d{nth:02}")
    for work, sample in WORK.items():
        samples = {name: bound(sample, peer) for name, peer in peers.items()}
        figures = interleaved(samples, rounds)
        ours = median(figures["stratavfs"])
        cells = [
            f"{median(us):,.1f} ({median(us) / ours:.1f})" for us in figures.values()
        ]
        print(f"{work:<22}" + "".join(f"{cell:>20}" for cell in cells), flush=True)
    for peer in peers.values():
        with suppress(AttributeError):
            peer.close()  # type: ignore[attr-defined]  # not all have one


def bound(sample: Callable[[Peer, int], float], peer: Peer) -> Callable[[int], float]:
    return lambda nth: sample(peer, nth)


def chosen(nth: int) -> list[str]:
    return random.Random(nth).choices(PATHS, k=300)


def write(peer: Peer, nth: int) -> float:
    paths = PATHS if nth == 0 else chosen(nth)
    return clocked(lambda path: peer.write(path, DATA), paths)[0]


def read(peer: Peer, nth: int) -> float:
    spent, answers = clocked(peer.read, chosen(nth))
    require_equal(set(answers), {DATA})
    return spent


def stat(peer: Peer, nth: int) -> float:
    return clocked(peer.stat, chosen(nth))[0]


def listdir(peer: Peer, _: int) -> float:
    spent, answers = clocked(peer.listdir, [f"/d{at:02}" for at in range(10)])
    require_equal({len(answer) for answer in answers}, {100})
    return spent


def stream_in(peer: Peer, _: int) -> float:
    def work() -> None:
        with peer.open("/stream.bin", "wb") as file:
            for _ in range(STREAM // PIECE):
                file.write(PIECES)

    return clocked_once(work, STREAM >> 20)


def stream_out(peer: Peer, _: int) -> float:
    def work() -> None:
        with peer.open("/stream.bin", "rb") as file:
            for _ in range(STREAM // PIECE):
                require_equal(file.read(PIECE), PIECES)

    return clocked_once(work, STREAM >> 20)


def random_access(peer: Peer, nth: int) -> float:
    offsets = random.Random(nth).choices(range(STREAM - SMALL), k=300)

    def work() -> None:
        with peer.open("/stream.bin", "rb") as file:
            for offset in offsets:
                file.seek(offset)
                require_equal(len(file.read(SMALL)), SMALL)

    return clocked_once(work, len(offsets))


def deep_tree(peer: Peer, nth: int) -> float:
    def work() -> None:
        at = f"/deep{nth}"
        peer.makedirs(at)
        for depth in range(40):
            at += f"/n{depth}"
            peer.makedirs(at)
            peer.write(f"{at}/file", b"x")
        peer.rmtree(f"/deep{nth}")

    return clocked_once(work)


WORK: dict[str, Callable[[Peer, int], float]] = {
    "write 4 KiB": write,
    "read 4 KiB": read,
    "stat": stat,
    "listdir of 100": listdir,
    "stream in, a MiB": stream_in,
    "stream out, a MiB": stream_out,
    "4 KiB at random": random_access,
    "tree 40 deep": deep_tree,
}

# --- a fresh file system for each test ------------------------------------------------

TREE: Final = dict.fromkeys(fixtures.PATHS, fixtures.DATA)


def filled(peer: Peer) -> Any:
    """Write the tree of the fixtures, 2,000 files, and return *peer*."""
    for directory in sorted({os.path.dirname(path) for path in TREE}):
        peer.makedirs(directory)
    for path, data in TREE.items():
        peer.write(path, data)
    return peer


def fork() -> Callable[[], Peer]:
    base: Strata = filled(Strata())
    return lambda: Strata(vfs=base.fork())


def reset() -> Callable[[], Peer]:
    base: Strata = filled(Strata())
    start = base.savepoint()

    def fresh() -> Peer:
        start.reset()
        return base

    return fresh


def import_tree() -> Callable[[], Peer]:
    DMemFS()

    def fresh() -> Peer:
        peer = DMemFS()
        peer.import_tree(TREE)
        return peer

    return fresh


def refill(kind: Callable[[], Peer]) -> Callable[[], Peer]:
    kind()  # it may not be installed
    return lambda: filled(kind())


def compare_fresh(directory: str, rounds: int) -> None:
    """Print what it takes to have the same tree again, by each one's quickest way."""
    ways: dict[str, Callable[[], Callable[[], Peer]]] = {
        "stratavfs, reset()": reset,
        "stratavfs, fork()": fork,
        "D-MemFS, import_tree()": import_tree,
        **{
            f"{name}, filled again": partial(refill, kind)
            for name, kind in MEMORY.items()
        },
        "local disk, filled again": partial(
            refill, lambda: Disk(os.path.join(tempfile.mkdtemp(dir=directory), "root"))
        ),
    }
    samples = {}
    for name, prepare in ways.items():
        with suppress(ImportError):  # named above
            samples[name] = partial(make_fresh, prepare())
    figures = interleaved(samples, rounds)
    ours = median(figures["stratavfs, reset()"])
    print("\n2,000 files of 4 KiB as they were, for each test: us (times reset)")
    for name, spent in figures.items():
        cell = f"{median(spent):,.1f} ({median(spent) / ours:.1f})"
        print(f"{name:<26}{cell:>20}")


def make_fresh(fresh: Callable[[], Peer], nth: int) -> float:
    """Time getting it; then see that all is there, and spoil it as a test would."""
    spent, (peer,) = clocked(lambda _: fresh(), [nth])
    require_equal({peer.read(path) for path in TREE}, {fixtures.DATA})
    for path in fixtures.WRITTEN:
        peer.write(path, b"spoiled")
    for directory in sorted({os.path.dirname(path) for path in fixtures.DELETED}):
        peer.rmtree(directory)
    return spent


if __name__ == "__main__":
    sys.exit(main())
