"""Memory is bounded by the chunk size and the caller's buffer, never by the file.

A fresh interpreter works on one large file and tells the peak of its anonymous memory
(``RssAnon``: heap and stack, without mapped files), which a thread watches. 256 MiB by
default, several times the limit; ``STRATAVFS_FULL_MEMORY=1`` makes it the gibibyte of
the promise, which takes about four times as long.
"""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from tests.ground import query

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [
    pytest.mark.no_slow_contracts("single"),
    pytest.mark.slow,
    pytest.mark.skipif(
        not os.path.exists("/proc/self/status"), reason="Linux tells RssAnon"
    ),
]

LIMIT = 32 << 20
SIZE = 1 << (30 if os.environ.get("STRATAVFS_FULL_MEMORY") else 28)
# Whether an earlier test has left the file, whole.
BIG_ONE = f"SELECT 1 FROM files WHERE path = '/big' AND size = {SIZE}"

PROGRAM = """
import mmap, sys, threading
from stratavfs import VirtualFileSystem

path, buffer_path, size, work = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]
MIB = 1 << 20


def anonymous():
    with open("/proc/self/status") as status:
        for line in status:
            if line.startswith("RssAnon"):
                return int(line.split()[1]) * 1024


class Watch(threading.Thread):
    peak = 0
    stop = threading.Event()

    def run(self):
        while not self.stop.wait(0.002):
            self.look()

    def look(self):
        self.peak = max(self.peak, anonymous())


def write(vfs):
    block = bytes(MIB)
    with vfs.open("/big", "wb") as handle:
        for _ in range(size // MIB):
            handle.write(block)


def read(vfs):
    total = 0
    with vfs.open("/big", "rb") as handle:
        while block := handle.read(MIB):
            total += len(block)
    assert total == size


def copy(vfs):
    vfs.copy("/big", "/copy")
    assert vfs.getsize("/copy") == size


def truncate(vfs):
    vfs.truncate("/big", size // 2)
    vfs.truncate("/big", size * 2)
    assert vfs.getsize("/big") == size * 2
    with vfs.open("/big", "rb") as handle:
        handle.seek(size)
        assert handle.read(MIB) == bytes(MIB)


def write_bytes(vfs):
    with open(buffer_path, "rb") as file:
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            with memoryview(content) as view:
                vfs.write_bytes("/big", view)
    assert vfs.getsize("/big") == size


def batch(vfs):
    with vfs.atomic_batch():
        write(vfs)


def patch(vfs):
    with vfs.open("/big", "r+b") as handle:
        for at in range(0, size, 8 * MIB):
            handle.seek(at + 12345)
            handle.write(b"x" * 4096)


def remove(vfs):
    vfs.remove("/big")


def hoard(vfs):
    assert len(vfs.read_bytes("/big")) == size


watch = Watch(daemon=True)
watch.look()
start = watch.peak
watch.start()
with VirtualFileSystem(path, timeout=60) as vfs:
    globals()[work](vfs)
watch.look()
watch.stop.set()
watch.join()
print(watch.peak - start)
"""


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where one container goes from test to test; each takes what it finds."""
    directory: Path = tmp_path_factory.mktemp("memory")
    with open(directory / "buffer", "wb") as file:
        file.truncate(SIZE)
    return directory


@pytest.mark.parametrize(
    "work",
    ["write", "read", "patch", "copy", "write_bytes", "truncate", "remove", "batch"],
)
def test_work_on_large_file_takes_little_memory(directory: Path, work: str) -> None:
    arguments = [directory / "c.db", directory / "buffer", str(SIZE), work]
    if work not in {"write", "write_bytes", "batch"}:
        make_big(directory)

    growth = run(*arguments)

    print(f"{work}: {growth / (1 << 20):.1f} MiB")  # noqa: T201 - pytest shows failures'
    assert growth <= LIMIT


def test_measure_sees_a_whole_file_in_memory(directory: Path) -> None:
    """Else the tests above could not fail."""
    make_big(directory)

    growth = run(directory / "c.db", directory / "buffer", str(SIZE), "hoard")

    assert SIZE - LIMIT <= growth <= SIZE + LIMIT


def make_big(directory: Path) -> None:
    """Make the large file, unless a test before has left it."""
    path = directory / "c.db"
    if not path.exists() or not query(path, BIG_ONE):
        run(path, directory / "buffer", str(SIZE), "write")


def run(*arguments: object) -> int:
    """Return the growth of anonymous memory in a fresh interpreter."""
    command = [sys.executable, "-c", PROGRAM, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return int(done.stdout)
