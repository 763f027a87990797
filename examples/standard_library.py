"""Keep Python's standard library in one file: the main job of stratavfs on real input.

Imports the directory of the running Python's standard library into a container, reopens
it read-only, compares every byte with the source, runs a module straight out of it,
lists, globs, and seeks in its largest file. Run it:

    python examples/standard_library.py [DIRECTORY]

DIRECTORY is where the container goes, a temporary one if left out.
"""

from __future__ import annotations

import ast
import os
import sys
import sysconfig
import tempfile
import time
import types
from pathlib import Path
from typing import TYPE_CHECKING, Self

from stratavfs import VirtualFileSystem

if TYPE_CHECKING:
    from collections.abc import Iterator

LEFT_OUT = {"__pycache__", "site-packages", "dist-packages"}
SAMPLE = 1 << 12


def main(directory: Path) -> None:
    """Do the whole job in *directory* and print what came out."""
    source = Path(sysconfig.get_path("stdlib"))
    container = directory / "stdlib.db"
    print(f"Python {sys.version.split()[0]}, standard library in {source}")

    with Timer("imported in one batch") as timer:
        count, size = fill(container, source)
    timer.say(
        f"{count} files, {size / 1e6:.1f} MB -> {container.stat().st_size / 1e6:.1f} MB"
    )

    with VirtualFileSystem(container, read_only=True) as vfs:
        with Timer("read back and compared") as timer:
            compared = compare(vfs, source)
        timer.say(f"{compared} files, every byte equal")
        assert compared == count
        show_module(vfs)
        show_search(vfs)
        show_largest(vfs, source)
        assert vfs.check() == []
        print("check(): the container is healthy")


def files_below(source: Path) -> Iterator[tuple[Path, str]]:
    """Yield each file below *source* and its path in the container."""
    for top, directories, names in os.walk(source):
        directories[:] = sorted(set(directories) - LEFT_OUT)
        for name in sorted(names):
            path = Path(top, name)
            if path.is_file():
                yield path, f"/lib/{path.relative_to(source).as_posix()}"


def fill(container: Path, source: Path) -> tuple[int, int]:
    """Import *source*, all or nothing; return the numbers of files and bytes."""
    count = size = 0
    with VirtualFileSystem(container) as vfs, vfs.atomic_batch():
        for path, inside in files_below(source):
            size += vfs.write_bytes(inside, path.read_bytes())
            status = path.stat()
            vfs.utime(inside, ns=(status.st_atime_ns, status.st_mtime_ns))
            vfs.chmod(inside, status.st_mode)
            count += 1
    return count, size


def compare(vfs: VirtualFileSystem, source: Path) -> int:
    """Compare every file with its source; return how many there were."""
    count = 0
    for path, inside in files_below(source):
        assert vfs.read_bytes(inside) == path.read_bytes(), inside
        assert vfs.stat(inside).st_mtime_ns == path.stat().st_mtime_ns, inside
        count += 1
    return count


def show_module(vfs: VirtualFileSystem) -> None:
    """Import a module from its source in the container, and use it."""
    module = types.ModuleType("textwrap_from_container")
    text = vfs.read_text("/lib/textwrap.py")
    exec(compile(text, "stratavfs:/lib/textwrap.py", "exec"), module.__dict__)  # noqa: S102
    shown = module.shorten("a module that was read out of the container runs", 40)
    print(f"/lib/textwrap.py says: {shown}")


def show_search(vfs: VirtualFileSystem) -> None:
    """List a directory, glob the tree, and parse all that was found."""
    print(f"listdir('/lib/json') = {vfs.listdir('/lib/json')}")
    with Timer("globbed '/lib/**/*.py'") as timer:
        found = vfs.glob("/lib/**/*.py")
    timer.say(f"{len(found)} modules")
    tree = ast.parse(vfs.read_text("/lib/ast.py"))
    print(f"/lib/ast.py parses into {len(tree.body)} statements")


def show_largest(vfs: VirtualFileSystem, source: Path) -> None:
    """Open the largest file and read its last bytes without reading the rest."""
    sizes = (
        (entry.stat().size, entry.path)
        for top, _, _ in vfs.walk("/lib")
        for entry in vfs.scandir(top)
        if entry.is_file()
    )
    size, path = max(sizes)
    with Timer("sought in the largest file") as timer, vfs.open(path, "rb") as file:
        file.seek(-min(SAMPLE, size), os.SEEK_END)
        tail = file.read()
    original = source / Path(path).relative_to("/lib")
    assert original.read_bytes().endswith(tail)
    timer.say(f"{path}, {size / 1e6:.1f} MB, its last {len(tail)} bytes")


class Timer:
    """Measures a block and says how long it took."""

    def __init__(self, what: str) -> None:
        self.what = what

    def __enter__(self) -> Self:
        self.began = time.perf_counter()
        return self

    def __exit__(self, *exc: object) -> None:
        self.seconds = time.perf_counter() - self.began

    def say(self, result: str) -> None:
        """Print the result beside the time."""
        print(f"{self.what} in {self.seconds * 1e3:.1f} ms: {result}")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(Path(sys.argv[1]))
    else:
        with tempfile.TemporaryDirectory() as temporary:
            main(Path(temporary))
