"""Pins: what open handles keep alive, and what is left when nobody does."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from stratavfs._tree import Tree

if TYPE_CHECKING:
    from stratavfs import VirtualFileSystem
    from stratavfs.records import InodeId


@pytest.fixture
def tree(mem: VirtualFileSystem) -> Tree:
    """The tree of a container with ``/d/f`` and ``/keep``."""
    mem.write_bytes("/d/f", b"x" * 100_000)
    mem.touch("/keep")
    found: Tree = mem._layers.rooms[1]
    return found


def number(vfs: VirtualFileSystem, path: str) -> InodeId:
    found: InodeId = vfs._layers.locate(path).require_file().id  # type: ignore[arg-type]  # in normal form
    return found


def links(tree: Tree, inode: InodeId) -> int | None:
    """Return the count of names, None where the inode is gone."""
    found = tree.read(inode)
    return None if found is None else found.nlink


def test_remove_tree_pinned_file_lives_until_its_last_pin(
    mem: VirtualFileSystem, tree: Tree
) -> None:
    inode = number(mem, "/d/f")
    pin = tree.pin(inode)
    assert tree.pin(inode) is pin

    mem.rmtree("/d")
    seen = [links(tree, inode)]
    tree.unpin(pin)
    seen.append(links(tree, inode))
    tree.unpin(pin)
    seen.append(links(tree, inode))

    assert seen == [0, 0, None]
    assert mem.listdir("/") == ["keep"]


def test_remove_tree_pinned_with_two_names_inside_lives_until_unpinned(
    mem: VirtualFileSystem, tree: Tree
) -> None:
    mem.link("/d/f", "/d/sub/g")
    inode = number(mem, "/d/f")
    pin = tree.pin(inode)

    mem.rmtree("/d")
    orphaned = links(tree, inode)
    tree.unpin(pin)

    assert (orphaned, links(tree, inode)) == (0, None)


def test_remove_tree_pinned_with_a_name_outside_stays_after_unpin(
    mem: VirtualFileSystem, tree: Tree
) -> None:
    mem.link("/d/f", "/outside")
    pin = tree.pin(number(mem, "/d/f"))

    mem.rmtree("/d")
    tree.unpin(pin)

    assert mem.stat("/outside").st_nlink == 1
    assert mem.read_bytes("/outside") == b"x" * 100_000


def test_remove_tree_pin_elsewhere_is_not_touched(
    mem: VirtualFileSystem, tree: Tree
) -> None:
    pin = tree.pin(number(mem, "/keep"))

    mem.rmtree("/d")
    orphan = pin.orphan
    tree.unpin(pin)

    assert not orphan
    assert mem.stat("/keep").st_nlink == 1


@pytest.mark.parametrize("verb", ["remove", "rmtree"])
def test_removal_of_pinned_taken_back_keeps_the_file(
    mem: VirtualFileSystem, tree: Tree, verb: str
) -> None:
    inode = number(mem, "/d/f")
    pin = tree.pin(inode)

    with suppress(KeyError), mem.atomic_batch():
        getattr(mem, verb)({"remove": "/d/f", "rmtree": "/d"}[verb])
        raise KeyError
    tree.unpin(pin)

    assert links(tree, inode) == 1
    assert mem.read_bytes("/d/f") == b"x" * 100_000


def test_pin_of_inode_that_a_rollback_took_away_is_dead(
    mem: VirtualFileSystem, tree: Tree
) -> None:
    with suppress(KeyError), mem.atomic_batch():
        mem.touch("/lost")
        pin = tree.pin(number(mem, "/lost"))
        raise KeyError
    mem.touch("/other")  # may get the number that the lost inode had

    tree.unpin(pin)

    assert not pin.alive
    assert mem.stat("/other").st_nlink == 1


def test_collect_orphans_removes_what_a_killed_process_left(
    mem: VirtualFileSystem, tree: Tree
) -> None:
    inode = number(mem, "/d/f")
    pin = tree.pin(inode)
    mem.remove("/d/f")

    Tree(tree._store).collect_orphans()  # another process has no pins

    assert links(tree, inode) is None
    assert tree._store.row("SELECT count(*) FROM chunks") == (0,)
    tree.unpin(pin)


def test_collect_orphans_without_any_writes_nothing(tree: Tree) -> None:
    before = tree._store._cx.total_changes

    tree.collect_orphans()

    assert tree._store._cx.total_changes == before
