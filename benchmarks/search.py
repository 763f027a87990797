"""What looking for something costs: names, attributes and contents.

The tree is a source tree's: text in short lines, in files of some kilobytes, on the
local disk and in a container beside it. The disk is asked as a program would ask it:
with ``os.walk``, ``os.stat`` and ``re``, line by line where lines are wanted.
"""

from __future__ import annotations

import fnmatch
import os
import random
import re
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from benchmarks.stage import IN_ONE_DIRECTORY
from benchmarks.subjects import StrataDisk, set_apart
from benchmarks.timing import clocked_once, interleaved, require_equal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from benchmarks.stage import Stage
    from benchmarks.work import Figures, Sample
    from stratavfs import VirtualFileSystem

LINES: Final = 200
"""Lines in a file, of which one holds the word that is looked for."""

WORDS: Final = ("import", "self", "return", "value", "name", "list", "def", "None")
MIB: Final = 1 << 20


class Trees:
    """The same tree on the local disk, in a container, and below an empty one."""

    def __init__(self, stage: Stage) -> None:
        self.root = stage.new()
        self.entries = self.bytes = 0
        disk, above = StrataDisk(stage.new()), StrataDisk(stage.new())
        self.disk, self.stack = disk.vfs, above.vfs
        os.mkdir(self.root)
        set_apart(self.root)
        with disk.batch():
            for path, text in sources(stage.scale.files):
                key = self.root + path
                if not os.path.isdir(os.path.dirname(key)):
                    os.mkdir(os.path.dirname(key))
                    self.entries += 1
                with open(key, "wb") as file:
                    file.write(text)
                self.disk.write_bytes(path, text)
                self.entries += 1
                self.bytes += len(text)
        self.stack.add_underlay(self.disk)
        stage.keep(disk)
        stage.keep(above)  # closed first


def sources(files: int) -> Iterator[tuple[str, bytes]]:
    """Yield the path and the text of each file, the same in each run."""
    source = random.Random(200)
    for nth in range(files):
        lines = [" ".join(source.choices(WORDS, k=6)) for _ in range(LINES)]
        lines[source.randrange(LINES)] = f"    needle_{nth} = 1"
        ending = "py" if nth % IN_ONE_DIRECTORY else "png"
        directory = f"d{nth // IN_ONE_DIRECTORY:03}"
        yield f"/{directory}/f{nth:05}.{ending}", "\n".join(lines).encode()


def compared(
    stage: Stage,
    ours: Callable[[VirtualFileSystem], list[Any]],
    theirs: Callable[[str], list[Any]],
    *,
    each: str,
) -> Figures:
    """Search in three ways that find the same; *each* is what a figure is of."""
    trees = Trees(stage)
    amount = trees.bytes / MIB if each == "MiB" else trees.entries
    expected = sorted(theirs(trees.root))
    require_equal(bool(expected), True)

    def sample(search: Callable[[], list[Any]], _: int) -> float:
        found: list[Any] = []
        spent = clocked_once(lambda: found.extend(search()))
        require_equal(sorted(found), expected)
        return spent / amount

    samples: dict[str, Sample] = {
        "disk": partial(sample, partial(ours, trees.disk)),
        "stack": partial(sample, partial(ours, trees.stack)),
        "local": partial(sample, partial(theirs, trees.root)),
    }
    return interleaved(samples, stage.scale.tree_rounds)


# --- names and attributes -------------------------------------------------------------


def find_names(stage: Stage) -> Figures:
    """Find one name in a hundred."""

    def theirs(root: str) -> list[str]:
        return [
            os.path.join(top, name)[len(root) :]
            for top, directories, names in os.walk(root)
            for name in fnmatch.filter(directories + names, "*.png")
        ]

    return compared(stage, lambda vfs: [*vfs.find("*.png")], theirs, each="entry")


def find_files(stage: Stage) -> Figures:
    """Find all files of some size that are newer than some moment."""

    def theirs(root: str) -> list[str]:
        found = []
        for top, _, names in os.walk(root):
            for name in names:
                path = os.path.join(top, name)
                status = os.stat(path, follow_symlinks=False)
                if status.st_size >= 1000 and status.st_mtime > 1:
                    found.append(path[len(root) :])
        return found

    return compared(
        stage,
        lambda vfs: [*vfs.find(type="f", min_size=1000, newer=1)],
        theirs,
        each="entry",
    )


# --- contents -------------------------------------------------------------------------


def grep(stage: Stage, pattern: str, *, ignore_case: bool = False) -> Figures:
    """Find the lines that match *pattern*, one in each file."""
    expression = re.compile(pattern, re.IGNORECASE if ignore_case else 0)

    def ours(vfs: VirtualFileSystem) -> list[Any]:
        return [*vfs.grep(pattern, ignore_case=ignore_case)]

    def theirs(root: str) -> list[Any]:
        return [
            (os.path.join(top, name)[len(root) :], number, line.removesuffix("\n"))
            for top, _, names in os.walk(root)
            for name in names
            for number, line in _lines(os.path.join(top, name))
            if expression.search(line)
        ]

    return compared(stage, ours, theirs, each="MiB")


def _lines(path: str) -> Iterator[tuple[int, str]]:
    with open(path, encoding="utf-8", errors="replace", newline="\n") as file:
        yield from enumerate(file, 1)
