"""Layers: what lies at the bottom of a stack, measured against the same file alone.

``python -m benchmarks.layers`` does the same with peers that stack file systems, as far
as they are installed, and with the kernel's overlayfs where it can be mounted.
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
import tempfile
import warnings
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from benchmarks.stage import SIZE
from benchmarks.timing import clocked, clocked_once, interleaved, median, require_equal
from stratavfs import VirtualFileSystem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from benchmarks.stage import Stage
    from benchmarks.work import Figures

DIRECTORIES: Final = 5
EACH: Final = 20  # files of each layer
PROBED: Final = [f"/d{nth % DIRECTORIES}/probe{nth:02}.bin" for nth in range(25)]
MISSING: Final = [path.replace("probe", "none") for path in PROBED]
DATA: Final = random.Random(64).randbytes(SIZE)
HEIGHTS: Final = (1, 4, 8, 64)


def contents(nth: int, layers: int) -> dict[str, bytes]:
    """Return the files of layer *nth* of so many; the last one has what is probed."""
    files = {f"/d{i % DIRECTORIES}/f{nth:02}_{i:02}.bin": DATA for i in range(EACH)}
    if nth == layers - 1:
        files |= dict.fromkeys(PROBED, DATA)
    return files


def fill(vfs: VirtualFileSystem, files: dict[str, bytes]) -> VirtualFileSystem:
    with vfs.atomic_batch():
        for path, data in files.items():
            vfs.write_bytes(path, data)
    return vfs


# --- the table of the budgets ---------------------------------------------------------


def layer_in(stage: Stage, kind: str, files: dict[str, bytes]) -> Any:
    """Return a layer of this kind with *files* in it."""
    if kind == "memory":
        return fill(VirtualFileSystem(), files)
    location = stage.new()
    with VirtualFileSystem(location) as vfs:
        fill(vfs, files)
    if kind == "immutable":
        return VirtualFileSystem(location, immutable=True)
    if kind == "disk":
        return VirtualFileSystem(location, read_only=True)
    return location  # opened by the stack


def stack_in(stage: Stage, kind: str, layers: int) -> VirtualFileSystem:
    top = VirtualFileSystem()
    for nth in range(layers):
        top.add_underlay(layer_in(stage, kind, contents(nth, layers)), priority=-nth)
    return top


def ask(
    stage: Stage, verb: str, kind: str, layers: int, *, missing: bool = False
) -> Figures:
    """Ask the bottom of a stack, and a file system that has the same files alone."""
    paths = MISSING if missing else PROBED
    expected: Any = not missing if verb == "exists" else DATA

    def sample(vfs: VirtualFileSystem, nth: int) -> float:
        def open_and_read(path: str) -> bytes:
            with vfs.open(path, "rb") as file:
                return file.read()

        chosen = random.Random(nth).choices(paths, k=stage.scale.block)
        call = open_and_read if verb == "open" else getattr(vfs, verb)
        spent, answers = clocked(call, chosen)
        for answer in answers:
            require_equal(answer, expected)
        return spent

    alone = layer_in(stage, "disk" if kind == "path" else kind, contents(0, 1))
    subjects = {"stack": stack_in(stage, kind, layers), "alone": alone}
    samples = {name: partial(sample, vfs) for name, vfs in subjects.items()}
    figures = interleaved(samples, stage.scale.rounds)
    for vfs in subjects.values():
        vfs.close()
    return figures


def copy_up(stage: Stage) -> Figures:
    """Change one byte of base files; and of local ones, beside it."""

    def sample(name: str, nth: int) -> float:
        paths = [f"/a/f{i}" for i in range(200)]
        with VirtualFileSystem(stage.new()) as vfs, VirtualFileSystem() as base:
            fill(vfs if name == "local" else base, dict.fromkeys(paths, DATA))
            vfs.add_underlay(base)
            with vfs.atomic_batch():
                return clocked(lambda path: vfs.chmod(path, nth), paths)[0]

    samples = {name: partial(sample, name) for name in ("base", "local")}
    return interleaved(samples, stage.scale.write_rounds)


def remove_tree(stage: Stage) -> Figures:
    """Remove a base directory with few and with many files in it."""
    bases = {
        name: fill(
            VirtualFileSystem(), {f"/t/{i % 100}/f{i}": b"" for i in range(files)}
        )
        for name, files in (("few", stage.scale.few), ("many", stage.scale.many))
    }

    def sample(name: str, _: int) -> float:
        with VirtualFileSystem() as vfs:
            vfs.add_underlay(bases[name])
            vfs.touch("/t/first")  # the first write to a file system costs more
            return clocked_once(lambda: vfs.rmtree("/t"))

    samples = {name: partial(sample, name) for name in bases}
    return interleaved(samples, stage.scale.write_rounds)


# --- beside the peers -----------------------------------------------------------------


@contextmanager
def strata(_: str, layers: int, __: str) -> Iterator[Callable[[str], bytes]]:
    made = [fill(VirtualFileSystem(), contents(nth, layers)) for nth in range(layers)]
    top = VirtualFileSystem()
    for nth, layer in enumerate(made):
        top.add_underlay(layer, priority=-nth)
    yield top.read_bytes


@contextmanager
def strata_disk(
    directory: str, layers: int, kind: str
) -> Iterator[Callable[[str], bytes]]:
    top = VirtualFileSystem(os.path.join(directory, "top.db"))
    for nth in range(layers):
        location = os.path.join(directory, f"{nth}.db")
        with VirtualFileSystem(location) as vfs:
            fill(vfs, contents(nth, layers))
        if kind == "immutable":
            top.add_underlay(VirtualFileSystem(location, immutable=True), -nth)
        else:
            top.add_underlay(location, -nth)
    yield top.read_bytes
    top.close()


@contextmanager
def stella(directory: str, layers: int, kind: str) -> Iterator[Callable[[str], bytes]]:
    from lib.vfs import VirtualFileSystem as Vfs  # noqa: PLC0415

    def place(name: object) -> str:
        return ":memory:" if kind == "memory" else os.path.join(directory, f"{name}.s")

    top = Vfs(place("top"))
    for nth in range(layers):
        layer = Vfs(place(nth))
        for path, data in contents(nth, layers).items():
            layer.makedirs(os.path.dirname(path), exist_ok=True)
            layer.write_bytes(path, data)
        top.add_underlay(layer, priority=-nth)
    yield top.read_bytes


@contextmanager
def multi_fs(_: str, layers: int, __: str) -> Iterator[Callable[[str], bytes]]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pkg_resources
        from fs.memoryfs import MemoryFS  # noqa: PLC0415
        from fs.multifs import MultiFS  # noqa: PLC0415
    top = MultiFS()
    for nth in range(layers):
        layer = MemoryFS()
        for path, data in contents(nth, layers).items():
            layer.makedirs(os.path.dirname(path), recreate=True)
            layer.writebytes(path, data)
        top.add_fs(str(nth), layer, priority=-nth)
    yield top.readbytes


@contextmanager
def overlayfs(directory: str, layers: int, _: str) -> Iterator[Callable[[str], bytes]]:
    """The kernel's: a tmpfs with the layers, mounted over each other."""
    subprocess.run(["mount", "-t", "tmpfs", "none", directory], check=True)
    try:
        for nth in range(layers):
            for path, data in contents(nth, layers).items():
                place = f"{directory}/{nth}{path}"
                os.makedirs(os.path.dirname(place), exist_ok=True)
                with open(place, "wb") as file:
                    file.write(data)
        for name in ("up", "work", "view"):
            os.mkdir(f"{directory}/{name}")
        lower = ":".join(f"{nth}" for nth in range(layers))
        options = f"lowerdir={lower},upperdir=up,workdir=work"
        command = ["mount", "-t", "overlay", "overlay", "-o", options, "view"]
        subprocess.run(command, check=True, cwd=directory)

        def read(path: str) -> bytes:
            with open(f"{directory}/view{path}", "rb") as file:
                return file.read()

        try:
            yield read
        finally:
            subprocess.run(["umount", f"{directory}/view"], check=True)
    finally:
        subprocess.run(["umount", directory], check=True)


CONTESTANTS: Final[dict[str, tuple[Any, str]]] = {
    "stratavfs memory": (strata, "memory"),
    "stratavfs immutable": (strata_disk, "immutable"),
    "stratavfs paths": (strata_disk, "path"),
    "stella memory": (stella, "memory"),
    "stella disk": (stella, "disk"),
    "PyFilesystem MultiFS": (multi_fs, "memory"),
    "kernel overlayfs": (overlayfs, "tmpfs"),
}


def main() -> int:
    parser = argparse.ArgumentParser("python -m benchmarks.layers", description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args().rounds
    print("read 4 KiB from the bottom of so many layers; a missing path: us")
    print(f"{'':<22}" + "".join(f"{height:>18}" for height in HEIGHTS))
    for name, (make, kind) in CONTESTANTS.items():
        cells = []
        for height in HEIGHTS:
            try:
                hit, miss = figures(make, kind, height, rounds)
            except (ImportError, OSError, subprocess.CalledProcessError) as error:
                cells.append("-")
                print(f"{name} is left out: {error}", file=sys.stderr)
                break
            cells.append(f"{hit:,.1f} / {miss:,.1f}")
        print(f"{name:<22}" + "".join(f"{cell:>18}" for cell in cells), flush=True)
    return 0


def figures(make: Any, kind: str, layers: int, rounds: int) -> tuple[float, float]:
    """Return the medians of reading what is there and what is not."""
    with (
        tempfile.TemporaryDirectory() as directory,
        make(directory, layers, kind) as read,
    ):

        def missing(path: str) -> None:
            try:
                read(path)
            except Exception as error:
                if "none" not in str(error):
                    raise

        def hit(nth: int) -> float:
            spent, answers = clocked(read, random.Random(nth).choices(PROBED, k=100))
            require_equal(set(answers), {DATA})
            return spent

        def miss(nth: int) -> float:
            return clocked(missing, random.Random(nth).choices(MISSING, k=100))[0]

        found = interleaved({"hit": hit, "miss": miss}, rounds)
    return median(found["hit"]), median(found["miss"])


if __name__ == "__main__":
    sys.exit(main())
