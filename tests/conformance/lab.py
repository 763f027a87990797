"""A small tree with every state a path can be in, made in both worlds for each call."""

from __future__ import annotations

import errno
import os
import shutil
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.conformance.calls import tree_of
from tests.conformance.outcomes import kind_of

from stratavfs import StatResult

if TYPE_CHECKING:
    from collections.abc import Callable

    from stratavfs import VirtualFileSystem

# What is called on the disk, and the same in a container.
Operation = tuple[Any, Any]

LONG_NAME = "n" * 256
LONG_PATH = "/".join(["n" * 200] * 25)

# What a path may lead to. Each is a path in the tree that build() makes.
STATES = {
    "missing": "missing",
    "parent missing": "no/such",
    "parent is a file": "file/x",
    "grandparent is a file": "file/x/y",
    "file": "file",
    "empty directory": "dir",
    "full directory": "full",
    "file in a directory": "full/inner",
    "new in a directory": "full/new",
    "new below an empty directory": "dir/new",
    "link to a file": "to-file",
    "link to a directory": "to-dir",
    "link to a full directory": "to-full",
    "through a link to a directory": "to-full/inner",
    "new through a link": "to-dir/new",
    "through a link to a file": "to-file/x",
    "dangling link": "dangling",
    "through a dangling link": "dangling/x",
    "link into nowhere": "far",
    "loop": "loop",
    "through a loop": "loop/x",
    "second name of the file": "second",
    "name too long": LONG_NAME,
    "path too long": LONG_PATH,
}


def build(system: Any, root: str) -> None:
    """Make the tree in which every state of STATES is found."""

    def write(name: str, data: bytes) -> None:
        opener = system.open if system is not os else open
        with opener(f"{root}/{name}", "wb") as f:
            f.write(data)

    write("file", b"data")
    system.mkdir(f"{root}/dir")
    system.mkdir(f"{root}/full")
    write("full/inner", b"inside")
    system.mkdir(f"{root}/full/sub")
    system.symlink("file", f"{root}/to-file")
    system.symlink("dir", f"{root}/to-dir")
    system.symlink("full", f"{root}/to-full")
    system.symlink("nowhere", f"{root}/dangling")
    system.symlink("no/where/at/all", f"{root}/far")
    system.symlink("pool", f"{root}/loop")
    system.symlink("loop", f"{root}/pool")
    system.link(f"{root}/file", f"{root}/second")


def shown(value: object, root: str) -> object:
    """Return *value* as both worlds should show it."""
    if isinstance(value, os.stat_result | StatResult):
        mode = value.st_mode
        size = 0 if stat.S_ISDIR(mode) else value.st_size
        return stat.S_IFMT(mode), size
    if isinstance(value, list):
        return sorted(value)
    if isinstance(value, str | Path):
        return named(str(value), root)
    return value


def named(name: object, root: str) -> object:
    """Return a path as it is called below *root*."""
    if not isinstance(name, str) or not root:
        return name
    return name.removeprefix(root)


def result_of(call: Callable[[], object], root: str) -> tuple[object, ...]:
    """Return the value of *call*, or type, errno and both names of its error."""
    try:
        return "value", shown(call(), root)
    except shutil.Error as error:
        # shutil has a text and no more; here there are errno and names too.
        return "error", kind_of(error)
    except OSError as error:
        names = named(error.filename, root), named(error.filename2, root)
        return ("error", kind_of(error), errno.errorcode.get(error.errno or 0), *names)


def disk_tree(root: str) -> dict[str, object]:
    """Return every path below *root* with what is there, as outline() does."""
    tree: dict[str, object] = {}
    for top, directories, files in os.walk(root):
        for name in directories + files:
            path = os.path.join(top, name)
            if os.path.islink(path):
                content: object = "-> " + os.readlink(path)
            elif os.path.isdir(path):
                content = None
            else:
                content = Path(path).read_bytes()
            tree[path.removeprefix(root)] = content
    return tree


def outline(tree: dict[str, object]) -> dict[str, object]:
    """Return from a full tree of a container what disk_tree() returns."""
    found: dict[str, object] = {}
    for path, (status, content, _) in tree.items():  # type: ignore[misc]
        is_link = stat.S_ISLNK(status.st_mode)  # type: ignore[has-type]
        found[path] = f"-> {content}" if is_link else content  # type: ignore[has-type]
    del found["/"]
    return found


class Lab:
    """The tree of build() in both worlds, made afresh for each call."""

    def __init__(self, tmp_path: Path, make_vfs: Callable[..., Any]) -> None:
        self.tmp_path = tmp_path
        self.make_vfs = make_vfs
        self.count = 0
        self.unchanged = False

    def prepare(self, *, parents: bool) -> tuple[VirtualFileSystem, str]:
        """Return both worlds, made afresh unless the last call changed neither."""
        if not self.unchanged:
            self.count += 1
            self.root = str(self.tmp_path / str(self.count))
            os.mkdir(self.root)
            build(os, self.root)
            self.outline = disk_tree(self.root)
            self.vfs = self.make_vfs(create_parents=parents)
            build(self.vfs, "")
        return self.vfs, self.root

    def run(
        self, operation: Operation, names: tuple[str, ...], *, parents: bool = False
    ) -> tuple[Any, Any]:
        """Return what the operation does in a container, and what on the disk."""
        on_disk, here = operation
        vfs, root = self.prepare(parents=parents)
        self.unchanged = False
        expected = result_of(
            lambda: on_disk(*(f"{root}/{name}" for name in names)), root
        )
        if expected[0] == "error" and expected[3:4] == (None,):  # os.utime forgets it
            expected = (*expected[:3], "/" + names[0], *expected[4:])
        before = tree_of(vfs)
        found = result_of(lambda: here(vfs, *("/" + name for name in names)), "")
        after = tree_of(vfs)
        on_disk_now = disk_tree(root)
        both_fail = expected[0] == found[0] == "error"
        self.unchanged = both_fail and before == after and self.outline == on_disk_now
        if found[0] == "error":
            return (found, after == before), (expected, True)
        return (found, outline(after)), (expected, on_disk_now)
