"""Trees and archives in and out: ``python -m benchmarks.transfers [--quick]``.

The tree is 10,000 files (1,000 with ``--quick``) of a log-normal size around 4 KiB, a
hundred in a directory. All subjects read it from the same disk and write to a fresh
directory of that disk, one right after the other. Making a file on ext4 costs up to
thirty times more for some minutes after thousands were removed (see ``set_apart``): so
nothing is removed before the end, and the least of all rounds is printed beside the
median.
"""

from __future__ import annotations

import argparse
import math
import os
import random
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from contextlib import ExitStack
from functools import cache, partial
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from benchmarks.stage import FULL, QUICK, Stage
from benchmarks.timing import clocked_once, interleaved, median, ratio, require_equal
from stratavfs import VirtualFileSystem

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.work import Figures

IN_ONE_DIRECTORY: Final = 100
LARGEST: Final = 1 << 20
ROUNDS: Final = 3  # each leaves some 70,000 files to be removed


class Tree(NamedTuple):
    """The tree on the host, and what is asked of each copy."""

    top: str
    files: int
    probes: dict[str, bytes]
    """Some of the files, to be compared."""
    length: int
    """Bytes of all."""


@cache
def tree_of(stage: Stage) -> Tree:
    """Make the tree, once."""
    files = 10_000 if stage.scale is FULL else 1_000
    top = os.path.join(os.path.dirname(stage.new()), "tree")
    source = random.Random(10_000)
    total, probes = 0, {}
    for nth in range(files):
        name = f"d{nth // IN_ONE_DIRECTORY:03}/f{nth:05}.bin"
        if nth % IN_ONE_DIRECTORY == 0:
            os.makedirs(f"{top}/{os.path.dirname(name)}")
        size = min(LARGEST, round(source.lognormvariate(math.log(4096), 1)))
        content = source.randbytes(size)
        with open(f"{top}/{name}", "wb") as file:
            file.write(content)
        total += size
        if nth % 997 == 0:
            probes[name] = content
    return Tree(top, files, probes, total)


def fresh(stage: Stage) -> str:
    """Return a host path where nothing is, in a directory where nothing ever was."""
    return os.path.join(os.path.dirname(stage.new()), "out")


def sampled(
    stage: Stage, work: Callable[[Tree, str], object], check: Callable[[Tree, str], Any]
) -> Callable[[int], float]:
    """Return a sample: microseconds a file of *work*, whose result is checked."""
    tree = tree_of(stage)

    def sample(_: int) -> float:
        target = fresh(stage)
        spent = clocked_once(partial(work, tree, target), tree.files)
        check(tree, target)
        return spent

    return sample


# --- what is measured -----------------------------------------------------------------


def cp(tree: Tree, target: str) -> None:
    subprocess.run(["cp", "-r", tree.top, target], check=True)


def copytree(tree: Tree, target: str) -> None:
    shutil.copytree(tree.top, target)


def import_tree(tree: Tree, target: str) -> None:
    with VirtualFileSystem(target) as vfs:
        require_equal(vfs.import_tree(tree.top).files, tree.files)


def import_tar(archive: str, tree: Tree, target: str) -> None:
    with VirtualFileSystem(target) as vfs:
        require_equal(vfs.import_archive(archive).files, tree.files)


def extract_tar(archive: str, _: Tree, target: str) -> None:
    with tarfile.open(archive) as packed:
        packed.extractall(target, filter="data")


def extract_zip(archive: str, _: Tree, target: str) -> None:
    with zipfile.ZipFile(archive) as packed:
        packed.extractall(target)


def pack_tar(tree: Tree, target: str) -> None:
    with tarfile.open(target, "w") as packed:
        packed.add(tree.top, ".")


def pack_zip(tree: Tree, target: str) -> None:
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as packed:
        for top, _, names in os.walk(tree.top):
            for name in names:
                path = os.path.join(top, name)
                packed.write(path, os.path.relpath(path, tree.top))


def dmemfs(tree: Tree, _target: str) -> None:
    """Read the tree and give it to D-MemFS, which keeps it in memory."""
    from dmemfs import MemoryFileSystem  # noqa: PLC0415 - where it is installed

    found = {}
    for top, _, names in os.walk(tree.top):
        for name in names:
            with open(os.path.join(top, name), "rb") as file:
                relative = os.path.relpath(file.name, tree.top)
                found[f"/{relative}"] = file.read()
    peer = MemoryFileSystem(max_quota=1 << 30)
    peer.import_tree(found)
    for name, content in tree.probes.items():
        with peer.open(f"/{name}", "rb") as file:
            require_equal(file.read(), content)


def pyfilesystem(tree: Tree, _target: str) -> None:
    """Copy the tree into PyFilesystem's file system in memory."""
    from fs.copy import copy_fs  # noqa: PLC0415 - where it is installed
    from fs.memoryfs import MemoryFS  # noqa: PLC0415
    from fs.osfs import OSFS  # noqa: PLC0415

    with MemoryFS() as peer:
        copy_fs(OSFS(tree.top), peer)
        for name, content in tree.probes.items():
            require_equal(peer.readbytes(name), content)


PEERS: Final = {"D-MemFS": dmemfs, "PyFilesystem": pyfilesystem}

# --- what has come of it --------------------------------------------------------------


def is_copied(tree: Tree, target: str) -> None:
    count = sum(len(names) for _, _, names in os.walk(target))
    require_equal(count, tree.files)
    for name, content in tree.probes.items():
        with open(f"{target}/{name}", "rb") as file:
            require_equal(file.read(), content)


def is_in_container(tree: Tree, target: str) -> None:
    with VirtualFileSystem(target, read_only=True) as vfs:
        found = vfs.stats()
        require_equal((found.files, found.logical_bytes), (tree.files, tree.length))
        for name, content in tree.probes.items():
            require_equal(vfs.read_bytes(name), content)


def is_tar(tree: Tree, target: str) -> None:
    with tarfile.open(target) as packed:
        require_equal(sum(member.isfile() for member in packed), tree.files)


def is_zip(tree: Tree, target: str) -> None:
    with zipfile.ZipFile(target) as packed:
        require_equal(sum(name[-1] != "/" for name in packed.namelist()), tree.files)


def is_checked(_: Tree, __: str) -> None:
    """The peer's work compares what it has read itself."""


# --- workloads ------------------------------------------------------------------------


def trees_in(stage: Stage, *, peers: bool = False) -> Figures:
    """Import the tree, and once more when it is there; copy it meanwhile."""
    tree = tree_of(stage)
    container = stage.new()
    import_tree(tree, container)

    def again(_: int) -> float:
        with VirtualFileSystem(container) as vfs:
            spent = clocked_once(partial(vfs.import_tree, tree.top), tree.files)
            require_equal(vfs.import_tree(tree.top).files, 0)
        return spent

    samples = {
        "cp -r": sampled(stage, cp, is_copied),
        "copytree": sampled(stage, copytree, is_copied),
        "import": sampled(stage, import_tree, is_in_container),
        "again": again,
    }
    for name, peer in PEERS.items() if peers else ():
        try:
            peer(tree, "")
        except ImportError as error:
            print(f"{name} is left out: {error}")
        else:
            samples[name] = sampled(stage, peer, is_checked)
    return interleaved(samples, ROUNDS)


def trees_out(stage: Stage) -> Figures:
    """Export the tree from a container, and copy it."""
    container = stage.new()
    import_tree(tree_of(stage), container)
    with VirtualFileSystem(container, read_only=True) as vfs:

        def export(_: Tree, target: str) -> None:
            vfs.export_tree("/", target)

        samples = {
            "cp -r": sampled(stage, cp, is_copied),
            "copytree": sampled(stage, copytree, is_copied),
            "export": sampled(stage, export, is_copied),
        }
        return interleaved(samples, ROUNDS)


def archives_out(stage: Stage, *, kind: str) -> Figures:
    """Pack the tree of a container, and that of the disk by the standard library."""
    container = stage.new()
    import_tree(tree_of(stage), container)
    check = is_tar if kind == "tar" else is_zip
    with VirtualFileSystem(container, read_only=True) as vfs:

        def export(_: Tree, target: str) -> None:
            vfs.export_archive("/", target, kind)

        samples = {
            "export": sampled(stage, export, check),
            "stdlib": sampled(stage, pack_tar if kind == "tar" else pack_zip, check),
        }
        return interleaved(samples, ROUNDS)


def archives_in(stage: Stage, *, kind: str) -> Figures:
    """Unpack an archive into a container, and to the disk by the standard library."""
    archive = fresh(stage)
    (pack_tar if kind == "tar" else pack_zip)(tree_of(stage), archive)
    extract = extract_tar if kind == "tar" else extract_zip
    samples = {
        "import": sampled(stage, partial(import_tar, archive), is_in_container),
        "stdlib": sampled(stage, partial(extract, archive), is_copied),
    }
    return interleaved(samples, ROUNDS)


# --- the command ----------------------------------------------------------------------


class Part(NamedTuple):
    """A workload, what all are compared with, and the budgets of the issue."""

    title: str
    run: Callable[[Stage], Figures]
    yardstick: str
    budgets: dict[str, float]


PARTS: Final = (
    Part("a tree in", partial(trees_in, peers=True), "cp -r", {"import": 1 / 3}),
    Part("a tree out", trees_out, "cp -r", {"export": 1.5}),
    Part("a tar out", partial(archives_out, kind="tar"), "stdlib", {}),
    Part("a zip out", partial(archives_out, kind="zip"), "stdlib", {}),
    Part("a tar in", partial(archives_in, kind="tar"), "stdlib", {}),
    Part("a zip in", partial(archives_in, kind="zip"), "stdlib", {}),
)
FORMAT: Final = "{:<14}{:>12}{:>12}{:>12}{:>10}  {}"


def main() -> int:
    parser = argparse.ArgumentParser(
        "python -m benchmarks.transfers", description=__doc__
    )
    parser.add_argument("--quick", action="store_true", help="1,000 files")
    parser.add_argument(
        "--directory", help="where the files go: on the disk to be measured"
    )
    arguments = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(dir=arguments.directory) as directory,
        ExitStack() as stack,
    ):
        stage = Stage(directory, QUICK if arguments.quick else FULL, stack)
        tree = tree_of(stage)
        print(f"{tree.files:,} files, {tree.length >> 10:,} KiB, in {directory}")
        for part in PARTS:
            show(part, part.run(stage))
    return 0


def show(part: Part, figures: Figures) -> None:
    """Print microseconds a file, and how many times the yardstick's that is."""
    against = f"x {part.yardstick}"
    print(f"\n{part.title}: us a file")
    print(FORMAT.format("", "least", "median", against, "budget", ""))
    for name, spent in figures.items():
        budget = part.budgets.get(name)
        times = ratio(spent, figures[part.yardstick])
        verdict = "" if budget is None else "ok" if times <= budget else "over"
        print(
            FORMAT.format(
                name,
                f"{min(spent):,.1f}",
                f"{median(spent):,.1f}",
                f"{times:,.2f}",
                "" if budget is None else f"{budget:,.2f}",
                verdict,
            ),
            flush=True,
        )


if __name__ == "__main__":
    sys.exit(main())
