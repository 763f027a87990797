"""What tests of looking into the layers share.

In most of them a local layer lies over *mod*, and that over *base*.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from stratavfs import VirtualFileSystem


class Stack(NamedTuple):
    local: VirtualFileSystem
    mod: VirtualFileSystem
    base: VirtualFileSystem


def stacked(make_vfs: Any) -> Stack:
    """Return a local layer over two, all of them empty."""
    local, mod, base = (make_vfs(chunk_size=64) for _ in range(3))
    local.add_underlay(base, priority=0, name="base")
    local.add_underlay(mod, priority=1, name="mod")
    return Stack(local, mod, base)


def put(vfs: VirtualFileSystem, *paths: str) -> object:
    """Make files that hold bytes which no other layer has."""
    return [vfs.write_bytes(path, b"%d" % id(vfs)) for path in paths]


def delete(vfs: VirtualFileSystem, *paths: str) -> None:
    """Leave a whiteout at each of *paths*, as if something had been below."""
    with vfs.atomic_batch():
        for path in paths:
            parent, _, name = path.rpartition("/")
            if parent:
                vfs.makedirs(parent, exist_ok=True)
            vfs._store.write(
                "INSERT INTO entries (parent, name, kind) VALUES (?, ?, 14)",
                (parent + "/", name),
            )
