"""Packs: ``python -m benchmarks.packs [--quick] [--median BYTES]``.

How long ``pack()`` takes, against writing the same files to the disk by ``open()`` and
into a stored zip by ``zipfile``; how soon the first file of a pack is read, against the
same zip; and what each page size is good for. The files are of a log-normal size, a
hundred in a directory, random bytes. Everything is in the page cache, and a pack is on
the disk (``fsync``) when it is done, as files and the zip are not.
"""

from __future__ import annotations

import argparse
import math
import os
import random
import sqlite3
import tempfile
import zipfile
from contextlib import ExitStack, closing
from functools import partial
from typing import TYPE_CHECKING, Final

from benchmarks.subjects import set_apart
from benchmarks.timing import clocked, clocked_once, interleaved, median, ratio
from benchmarks.timing import require_equal as same
from stratavfs import VirtualFileSystem, _sql

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Files = dict[str, bytes]
    Figures = Mapping[str, list[float]]

IN_ONE_DIRECTORY: Final = 100
LARGEST: Final = 1 << 20
PAGES: Final = (4096, 8192, 16384, 32768, 65536)
PROBES: Final = 1000
LINE: Final = "{:<22}{:>12}{:>12}{:>12}"


def files_of(count: int, middle: int) -> Files:
    """Return paths and bytes of *count* files of a median of *middle* bytes."""
    source = random.Random(count)
    return {
        f"/d{nth // IN_ONE_DIRECTORY:03}/f{nth:05}.bin": source.randbytes(
            min(LARGEST, round(source.lognormvariate(math.log(middle), 1)))
        )
        for nth in range(count)
    }


class Room:
    """A directory of the disk to be measured; nothing in it is removed before the end.

    Making a file on ext4 costs more for some minutes after others were removed.
    """

    def __init__(self, directory: str) -> None:
        self._directory = directory
        set_apart(directory)

    def new(self) -> str:
        """Return a host path where nothing is."""
        return os.path.join(tempfile.mkdtemp(dir=self._directory), "new")


# --- building -------------------------------------------------------------------------


def local(files: Files, target: str) -> None:
    """Write the files by ``open()`` into fresh directories."""
    made = ""
    for path, content in files.items():
        directory = path.rpartition("/")[0]
        if directory != made:
            os.makedirs(target + directory)
            made = directory
        with open(target + path, "wb") as file:
            file.write(content)


def stored(files: Files, target: str) -> None:
    """Write them into a zip, as they are."""
    with zipfile.ZipFile(target, "w") as archive:
        for path, content in files.items():
            archive.writestr(path[1:], content)


def filled(files: Files, location: str) -> VirtualFileSystem:
    vfs = VirtualFileSystem(location)
    with vfs.atomic_batch():
        for path, content in files.items():
            vfs.write_bytes(path, content)
    return vfs


def layered(files: Files, room: Room, stack: ExitStack) -> VirtualFileSystem:
    """Return an empty file system over three containers, each with a third of them."""
    vfs = stack.enter_context(VirtualFileSystem())
    for nth in range(3):
        part = {path: files[path] for path in [*files][nth::3]}
        location = room.new()
        filled(part, location).close()
        vfs.add_underlay(
            stack.enter_context(VirtualFileSystem(location, immutable=True))
        )
    return vfs


def building(files: Files, room: Room, rounds: int) -> Figures:
    with ExitStack() as stack:
        disk = stack.enter_context(filled(files, room.new()))
        memory = stack.enter_context(filled(files, ":memory:"))
        layers = layered(files, room, stack)
        shuffled = random.Random(1).sample([*files], len(files))

        def sample(work: Callable[[str], object]) -> Callable[[int], float]:
            return lambda _: clocked_once(partial(work, room.new()), len(files))

        samples = {
            "local disk": sample(partial(local, files)),
            "zipfile": sample(partial(stored, files)),
            "pack, file": sample(disk.pack),
            "pack, memory": sample(memory.pack),
            "pack, three layers": sample(layers.pack),
            "pack, all in order": sample(lambda to: disk.pack(to, order=shuffled)),
        }
        found = interleaved(samples, rounds)
        checked = room.new()
        layers.pack(checked)
        with VirtualFileSystem(checked, immutable=True) as vfs:
            same(dict(vfs.iter_export_tree()), files)
            same(vfs.check(deep=True), [])
    return found


# --- opening --------------------------------------------------------------------------


def opening(files: Files, room: Room, rounds: int) -> Figures:
    """Open and read one file."""
    pack, archive = room.new(), room.new()
    with filled(files, ":memory:") as vfs:
        vfs.pack(pack)
    stored(files, archive)
    path = [*files][len(files) // 2]
    parent, _, name = path.rpartition("/")

    def ours(_: int) -> bytes:
        with VirtualFileSystem(pack, immutable=True) as vfs:
            return vfs.read_bytes(path)

    def theirs(_: int) -> bytes:
        with zipfile.ZipFile(archive) as opened:
            return opened.read(path[1:])

    def floor(_: int) -> bytes:
        uri = f"file:{pack}?mode=ro&immutable=1"
        with closing(sqlite3.connect(uri, uri=True)) as cx:
            row = cx.execute(_sql.FIND_CONTENT, (parent + "/", name)).fetchone()
            content: bytes = row[0]
            return content

    def sample(work: Callable[[int], bytes]) -> Callable[[int], float]:
        def run(_: int) -> float:
            spent, found = clocked(work, range(5))
            same({*found}, {files[path]})
            return spent

        return run

    return interleaved(
        {"zipfile": sample(theirs), "pack": sample(ours), "sqlite3": sample(floor)},
        rounds,
    )


# --- pages ----------------------------------------------------------------------------


def paging(files: Files, room: Room, rounds: int) -> dict[str, Figures]:
    """Return the figures of each work for each page size."""
    probes = random.Random(2).sample([*files], min(PROBES, len(files)))
    samples: dict[str, dict[str, Callable[[int], float]]] = {}
    with ExitStack() as stack:
        source = stack.enter_context(filled(files, room.new()))
        for size in PAGES:
            name = f"{size >> 10} KiB"

            def build(_: int, size: int = size) -> float:
                work = partial(source.pack, room.new(), page_size=size)
                return clocked_once(work, len(files))

            target = room.new()
            source.pack(target, page_size=size)
            vfs = stack.enter_context(VirtualFileSystem(target, immutable=True))
            works: dict[str, Callable[[int], float]] = {
                "build": build,
                "random": reading(vfs.read_bytes, probes, files),
                "open + read": reading(partial(handled, vfs), probes, files),
                "all": reading(vfs.read_bytes, [*files], files),
                "bytes a byte": partial(overhead, target, files),
            }
            for work, sample in works.items():
                samples.setdefault(work, {})[name] = sample
        return {work: interleaved(those, rounds) for work, those in samples.items()}


def handled(vfs: VirtualFileSystem, path: str) -> bytes:
    with vfs.open(path, "rb") as file:
        return file.read()


def reading(
    read: Callable[[str], bytes], paths: list[str], files: Files
) -> Callable[[int], float]:
    def run(_: int) -> float:
        spent, found = clocked(read, paths)
        same(found, [files[path] for path in paths])
        return spent

    return run


def overhead(target: str, files: Files, _: int) -> float:
    return os.path.getsize(target) / sum(map(len, files.values()))


# --- the command ----------------------------------------------------------------------


def show(title: str, figures: Figures, yardstick: str) -> None:
    print("\n" + LINE.format(title, "least", "median", f"x {yardstick}"))
    for name, spent in figures.items():
        times = ratio(spent, figures[yardstick])
        print(
            LINE.format(
                name, f"{min(spent):.2f}", f"{median(spent):.2f}", f"{times:.2f}"
            )
        )


def main() -> int:
    parser = argparse.ArgumentParser("python -m benchmarks.packs", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of the files")
    parser.add_argument("--median", type=int, default=4096, help="bytes; default 4096")
    parser.add_argument("--only", default="", help="building, opening or pages")
    parser.add_argument("--directory", help="on the disk to be measured")
    arguments = parser.parse_args()
    quick = arguments.quick
    with tempfile.TemporaryDirectory(dir=arguments.directory) as directory:
        room = Room(directory)
        files = files_of(1_000 if quick else 10_000, arguments.median)
        total = sum(map(len, files.values())) >> 10
        print(f"{len(files):,} files, {total:,} KiB, in {directory}")
        if arguments.only in ("", "building"):
            found = building(files, room, 3)
            show("building, us a file", found, "local disk")
        for count in (10, 1_000, 20_000) if arguments.only in ("", "opening") else ():
            some = files_of(count // 10 if quick and count > 10 else count, 4096)
            found = opening(some, room, 5 if count > 1_000 else 30)
            show(f"open + read, {len(some):,}", found, "zipfile")
        if arguments.only in ("", "pages"):
            for work, those in paging(files, room, 3).items():
                show(f"pages: {work}", those, "4 KiB")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
