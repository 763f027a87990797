"""What tests of faults in layers share: a stack, and what is done to it.

The harness is that of one layer: a child that kills itself before its n-th statement, a
connection that fails at its n-th, a disk with no room. The file system that is changed
is before or after, healthy and usable; no byte of an underlay ever changes.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tests import ground
from tests.faults.test_crash import moment

from stratavfs import VirtualFileSystem

if TYPE_CHECKING:
    from pathlib import Path

Call = Callable[[VirtualFileSystem], object]
Sample = tuple[VirtualFileSystem, VirtualFileSystem, VirtualFileSystem]

BIG = bytes(range(256)) * 600  # 150 KiB: chunks, and more than a full disk has room for


def fill_base(vfs: VirtualFileSystem) -> None:
    with vfs.atomic_batch():
        vfs.write_text("/small", "small")
        vfs.write_bytes("/big", BIG)
        vfs.setxattr("/small", "user.a", b"1")
        vfs.symlink("small", "/link")
        vfs.write_bytes("/tree/deep/big", BIG[:70_000])
        vfs.write_text("/tree/deep/small", "s")
        vfs.link("/small", "/tree/hard")
        vfs.write_text("/gone/a", "a")
        vfs.write_text("/gone/sub/b", "b")
        vfs.write_text("/old/a", "a")
        vfs.write_text("/old/b", "b")


def edit_local(vfs: VirtualFileSystem) -> None:
    """Change what revert, flatten and apply_to are then about."""
    with vfs.atomic_batch():
        vfs.write_text("/mine/a", "mine")
        vfs.link("/mine/a", "/mine/b")
        vfs.rmtree("/gone")
        vfs.rmtree("/old")
        vfs.write_text("/old/new", "in an opaque directory")
        vfs.chmod("/small", 0o600)


def append(vfs: VirtualFileSystem) -> None:
    with vfs.open("/big", "ab") as file:
        file.write(b"more")


def patch(vfs: VirtualFileSystem) -> None:
    with vfs.open("/tree/deep/big", "r+b") as file:
        file.seek(1000)
        file.write(b"patched")


CALLS: dict[str, Call] = {
    "append": append,
    "patch": patch,
    "write": lambda vfs: vfs.write_bytes("/tree/deep/small", b"other"),
    "open w": lambda vfs: vfs.open("/big", "w").close(),
    "truncate": lambda vfs: vfs.truncate("/big", 70_000),
    "chmod": lambda vfs: vfs.chmod("/tree/deep/big", 0o600),
    "setxattr": lambda vfs: vfs.setxattr("/tree/hard", "user.b", b"2"),
    "rename": lambda vfs: vfs.rename("/big", "/x/y"),
    "rename tree": lambda vfs: vfs.rename("/tree", "/x/y"),
    "replace": lambda vfs: vfs.replace("/big", "/mine/a"),
    "remove": lambda vfs: vfs.remove("/tree/deep/big"),
    "rmtree": lambda vfs: vfs.rmtree("/tree"),
    "mkdir over a whiteout": lambda vfs: vfs.mkdir("/gone"),
    "link": lambda vfs: vfs.link("/big", "/x/y"),
    "copy": lambda vfs: vfs.copy("/big", "/x/y"),
    "copytree": lambda vfs: vfs.copytree("/tree", "/x/y"),
    "revert": lambda vfs: vfs.revert("/mine"),
    "revert deleted": lambda vfs: vfs.revert("/gone/sub/b"),
    "revert in an opaque directory": lambda vfs: vfs.revert("/old/a"),
    "revert all": lambda vfs: vfs.revert("/"),
}


def rows_of(vfs: VirtualFileSystem) -> ground.Dump:
    return ground.dump(vfs._store._cx)


def sampler(kind: str, make_vfs: Any, tmp_path: Path) -> Callable[[], Sample]:
    """Return a maker of (file system, its base, a copy of the base)."""
    numbers = itertools.count()

    def make() -> Sample:
        made = []
        for name in ("local", "base", "copy"):
            where = tmp_path / f"{name}{next(numbers)}.db"
            location = ":memory:" if kind == "memory" else where
            made.append(make_vfs(location, 4096, clock=moment))
        vfs, base, copy = made
        fill_base(base)
        fill_base(copy)
        vfs.add_underlay(base, name="base")
        edit_local(vfs)
        return vfs, base, copy

    return make
