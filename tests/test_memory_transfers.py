"""Memory while trees and archives go in and out: bounded, whatever the files are.

Measured as in ``test_memory``: a fresh interpreter moves one large file, or very many
small ones, and tells the peak of its anonymous memory. Full size by the same switch.
"""

from __future__ import annotations

import io
import os
import subprocess
import sys
import tarfile
import zipfile
from typing import TYPE_CHECKING

import pytest
from tests.test_memory import LIMIT

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [
    pytest.mark.no_slow_contracts("single"),
    pytest.mark.slow,
    pytest.mark.skipif(
        not os.path.exists("/proc/self/status"), reason="Linux tells RssAnon"
    ),
]

SIZE = 1 << (30 if os.environ.get("STRATAVFS_FULL_MEMORY") else 27)
MANY = 20_000  # names, some 200 bytes each
MIB = 1 << 20

PROGRAM = """
import math, os, sys, threading
from stratavfs import VirtualFileSystem, _import_archive

_import_archive.HARMLESS = 0
top, size, work, *arguments = sys.argv[1:]
size = int(size)


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


def import_tree(vfs, mode="atomic"):
    report = vfs.import_tree(f"{top}/tree", "/in", atomic=mode == "atomic")
    assert report.bytes == size


def import_again(vfs):
    report = vfs.import_tree(f"{top}/tree", "/in", checksum=True)
    assert report.files == 0


def export_tree(vfs):
    report = vfs.export_tree("/in", f"{top}/out")
    assert os.path.getsize(f"{top}/out/big") == report.bytes == size


def export_archive(vfs, name):
    vfs.export_archive("/in", f"{top}/{name}")


def import_archive(vfs, name):
    dest = f"/of {name}"
    vfs.import_archive(f"{top}/{name}", dest, max_ratio=math.inf)
    assert vfs.getsize(f"{dest}/big") == size
    vfs.rmtree(dest)


def import_pipe(vfs, name):
    with os.popen(f"cat {top}/{name}") as pipe:
        vfs.import_archive(
            pipe.buffer, "/of a pipe", max_ratio=math.inf, atomic=False
        )
    assert vfs.getsize("/of a pipe/big") == size
    vfs.rmtree("/of a pipe")


def refuse(vfs, name):
    try:
        vfs.import_archive(f"{top}/{name}", "/bomb", max_ratio=2)
    except OSError as error:
        assert "max_ratio" in str(error)
    else:
        raise AssertionError


def iterate(vfs):
    total = 0
    for _, file in vfs.iter_export_tree("/in", handles=True):
        while block := file.read(1 << 20):
            total += len(block)
    assert total == size


def hoard(vfs):
    assert len(dict(vfs.iter_export_tree("/in"))["/in/big"]) == size


def import_many(vfs):
    assert vfs.import_tree(f"{top}/many", "/many").files == size


def import_many_packed(vfs, name):
    report = vfs.import_archive(f"{top}/{name}", "/packed", max_ratio=math.inf)
    assert report.files == size


watch = Watch(daemon=True)  # an error ends all
watch.look()
start = watch.peak
watch.start()
with VirtualFileSystem(f"{top}/c.db", timeout=60) as vfs:
    globals()[work](vfs, *arguments)
watch.look()
watch.stop.set()
watch.join()
print(watch.peak - start)
"""


@pytest.fixture(scope="module")
def top(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tree with one large file, which every test but the first finds imported."""
    top: Path = tmp_path_factory.mktemp("memory")
    (top / "tree").mkdir()
    with open(top / "tree/big", "wb") as file:
        # No holes, which cost nothing.
        file.writelines(bytes([n % 255 + 1]) * MIB for n in range(SIZE // MIB))
    run(top, "import_tree")
    return top


@pytest.fixture(scope="module")
def archives(top: Path) -> Path:
    """The same with archives of the tree, written by the library."""
    for name in ("all.tar", "all.zip", "all.tar.gz"):
        growth = run(top, "export_archive", name)
        assert growth <= LIMIT, name
    return top


def test_import_of_a_large_file_takes_little_memory(top: Path, tmp_path: Path) -> None:
    (tmp_path / "tree").symlink_to(top / "tree")

    growth = run(tmp_path, "import_tree", "not atomic")

    assert growth <= LIMIT


@pytest.mark.parametrize("work", ["import_again", "export_tree", "iterate"])
def test_large_file_of_a_tree_takes_little_memory(top: Path, work: str) -> None:
    growth = run(top, work)

    assert growth <= LIMIT


@pytest.mark.parametrize(
    ("work", "arguments"),
    [
        ("import_archive", ["all.tar"]),
        ("import_archive", ["all.zip"]),
        ("import_pipe", ["all.tar.gz"]),
        ("refuse", ["all.zip"]),
    ],
    ids=lambda value: value if isinstance(value, str) else " ".join(value),
)
def test_archive_of_a_large_file_takes_little_memory(
    archives: Path, work: str, arguments: list[str]
) -> None:
    growth = run(archives, work, *arguments)

    assert growth <= LIMIT


def test_measure_sees_a_whole_file_in_memory(top: Path) -> None:
    """Else the tests above could not fail."""
    growth = run(top, "hoard")

    assert growth >= SIZE - LIMIT


def test_many_small_files_take_little_memory(tmp_path: Path) -> None:
    for number in range(MANY):
        at = tmp_path / f"many/{number // 1000}"
        if number % 1000 == 0:
            at.mkdir(parents=True)
        (at / f"{'n' * 180}{number}").write_bytes(b"x" * 100)

    growth = run(tmp_path, "import_many", size=MANY)

    assert growth <= LIMIT


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_archive_of_many_small_files_takes_little_memory(
    tmp_path: Path, kind: str
) -> None:
    path = tmp_path / f"many.{kind}"
    names = [f"{n // 1000}/{'n' * 180}{n}" for n in range(MANY)]
    if kind == "zip":
        with zipfile.ZipFile(path, "w") as zipped:
            for name in names:
                zipped.writestr(name, b"x" * 100)
    else:
        with tarfile.open(path, "w") as archive:
            for name in names:
                member = tarfile.TarInfo(name)
                member.size = 100
                archive.addfile(member, io.BytesIO(b"x" * 100))

    growth = run(tmp_path, "import_many_packed", path.name, size=MANY)

    assert growth <= LIMIT


def run(top: Path, work: str, *arguments: str, size: int = SIZE) -> int:
    """Return the growth of anonymous memory in a fresh interpreter."""
    command = [sys.executable, "-c", PROGRAM, str(top), str(size), work, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    print(f"{work}: {int(done.stdout) / MIB:.1f} MiB")  # noqa: T201 - pytest shows failures'
    return int(done.stdout)
