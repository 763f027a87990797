"""What tests of packs share: what is in one, looked at from outside and from inside."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from tests import ground
from tests.api.grafting import Seen, seen

from stratavfs import VirtualFileSystem

if TYPE_CHECKING:
    from pathlib import Path

ROLLBACK = 1  # the journal that a header tells of, both times; 2 is a log


def assert_pack(target: Path) -> None:
    """The pack, alone in its directory, is sound, dense, and no log belongs to it."""
    assert os.listdir(target.parent) == [target.name]
    assert target.read_bytes()[18:20] == bytes([ROLLBACK, ROLLBACK])
    assert ground.integrity_of(target) == "ok"
    assert ground.query(target, "PRAGMA freelist_count") == [(0,)]
    with VirtualFileSystem(target, immutable=True) as packed:
        assert packed.check(deep=True) == []
    assert os.listdir(target.parent) == [target.name]


def view_of(target: Path) -> Seen:
    """Return what the pack shows."""
    with VirtualFileSystem(target, immutable=True) as packed:
        return seen(packed)


def inodes_of(target: Path) -> list[str]:
    """Return the first path of each file and link, in the order of their rows."""
    rows = ground.query(
        target,
        "SELECT min(parent || name) FROM entries WHERE kind IN (8, 10) "
        "GROUP BY inode ORDER BY inode",
    )
    return [path for (path,) in rows]
