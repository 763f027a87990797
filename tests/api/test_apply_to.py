"""Apply to: what a local layer changes is done in another file system."""

# ruff: noqa: PT012 - what a batch does before it fails is the test

from __future__ import annotations

import errno
import itertools
import stat
from typing import TYPE_CHECKING, Any

import pytest
from tests import ground
from tests.api.grafting import (
    below_root,
    changed,
    edit,
    fill_opaque_directory,
    filled,
    over,
    rows_of,
    seen,
)

from stratavfs import InvalidArgument, ReadOnlyError, VirtualFileSystem
from stratavfs.layers import DirectoryLayer

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def base(make_vfs: Any) -> Any:
    return filled(make_vfs)


@pytest.fixture(params=["memory", "file"])
def vfs(
    request: pytest.FixtureRequest, make_vfs: Any, tmp_path: Path, base: Any
) -> Any:
    """A file system over *base*, which stays as it is."""
    vfs = over(base, request.param, make_vfs, tmp_path)
    before = rows_of(base)
    yield vfs
    assert rows_of(base) == before


@pytest.fixture
def copy(make_vfs: Any, base: VirtualFileSystem) -> Any:
    """The same as *base*, to apply changes to."""
    copy = make_vfs(chunk_size=5)
    base.flatten(copy)
    return copy


def test_apply_to_a_copy_of_the_base_makes_it_the_merged_view(
    vfs: VirtualFileSystem, copy: VirtualFileSystem
) -> None:
    edit(vfs)
    view, before = seen(vfs), rows_of(vfs)

    vfs.apply_to(copy)

    assert below_root(seen(copy)) == below_root(view)
    assert copy.check() == []
    assert (seen(vfs), rows_of(vfs)) == (view, before)


def test_apply_to_the_base_and_revert_keeps_the_view(
    make_vfs: Any, base: VirtualFileSystem
) -> None:
    vfs = make_vfs()
    vfs.add_underlay(base)
    edit(vfs)
    view = seen(vfs)

    vfs.apply_to(base)
    between = seen(vfs)
    vfs.revert("/")

    assert below_root(between) == below_root(view)
    assert below_root(seen(vfs)) == below_root(view)
    assert vfs.diff() == []
    assert vfs.which_layer("/e/new") == "underlay_0"
    assert base.check() == []


def test_apply_to_carries_the_roots_attributes(
    vfs: VirtualFileSystem, copy: VirtualFileSystem
) -> None:
    vfs.chmod("/", 0o700)
    vfs.setxattr("/", "user.root", b"1")

    vfs.apply_to(copy)

    assert stat.S_IMODE(copy.stat("/").st_mode) == 0o700
    assert copy.getxattr("/", "user.root") == b"1"


def test_apply_to_twice_changes_nothing_more(
    vfs: VirtualFileSystem, copy: VirtualFileSystem
) -> None:
    edit(vfs)
    vfs.apply_to(copy)
    once = below_root(seen(copy))

    vfs.apply_to(copy)

    assert below_root(seen(copy)) == once


def test_apply_to_without_changes_leaves_every_row(
    vfs: VirtualFileSystem, copy: VirtualFileSystem
) -> None:
    before = rows_of(copy)

    vfs.apply_to(copy)

    assert rows_of(copy) == before


def test_apply_to_without_underlays_copies_all(
    make_vfs: Any, copy: VirtualFileSystem
) -> None:
    vfs = make_vfs()
    vfs.write_bytes("/d/x", b"mine")
    vfs.write_bytes("/n/x", b"new")

    vfs.apply_to(copy)

    assert copy.read_bytes("/d/x") == b"mine"
    assert copy.read_bytes("/n/x") == b"new"
    assert copy.listdir("/d") == ["sub", "x", "y"]


def test_apply_to_removes_what_is_deleted_and_minds_no_missing_name(
    vfs: VirtualFileSystem, copy: VirtualFileSystem
) -> None:
    vfs.remove("/d/x")
    vfs.rmtree("/d/sub")
    vfs.remove("/f")
    copy.remove("/f")
    copy.write_bytes("/d/sub/of the target", b"1")

    vfs.apply_to(copy)

    assert copy.listdir("/d") == ["y"]
    assert not copy.exists("/f")


def test_apply_to_lets_an_opaque_directory_replace_the_targets(
    vfs: VirtualFileSystem, copy: VirtualFileSystem
) -> None:
    fill_opaque_directory(vfs)
    copy.write_bytes("/d/of the target", b"1")
    copy.write_bytes("/d/sub/of the target", b"1")

    vfs.apply_to(copy)

    assert copy.glob("/d/**/*") == ["/d/sub", "/d/sub/mine", "/d/x"]


def make_file(vfs: VirtualFileSystem) -> None:
    vfs.write_bytes("/p", b"file")


def make_directory(vfs: VirtualFileSystem) -> None:
    vfs.write_bytes("/p/x", b"in a directory")


def make_link(vfs: VirtualFileSystem) -> None:
    vfs.symlink("elsewhere", "/p")


TYPES = (make_file, make_directory, make_link)


@pytest.mark.parametrize(("old", "new"), [*itertools.permutations(TYPES, 2)])
def test_apply_to_changes_a_type(make_vfs: Any, old: Any, new: Any) -> None:
    vfs, base, copy = make_vfs(), make_vfs(), make_vfs()
    for below in (base, copy):
        below.mkdir("/elsewhere")
        old(below)
    vfs.add_underlay(base)
    (vfs.rmtree if old is make_directory else vfs.remove)("/p")
    new(vfs)

    vfs.apply_to(copy)

    assert below_root(seen(copy)).keys() == below_root(seen(vfs)).keys()
    assert copy.lstat("/p").st_mode == vfs.lstat("/p").st_mode
    assert copy.listdir("/elsewhere") == []


def test_apply_to_a_target_with_a_link_in_the_way_makes_what_a_stack_would_show(
    vfs: VirtualFileSystem, copy: VirtualFileSystem
) -> None:
    vfs.write_bytes("/d/x", b"changed")
    copy.rename("/d", "/real")
    copy.symlink("real", "/d")
    before = copy.read_bytes("/real/x")
    vfs.remove_underlay("base")
    vfs.add_underlay(copy)
    view = seen(vfs)

    vfs.apply_to(copy)

    assert below_root(seen(copy)) == below_root(view)
    assert copy.listdir("/d") == ["x"]
    assert copy.read_bytes("/real/x") == before


def test_apply_to_a_target_with_underlays_leaves_whiteouts_there(
    make_vfs: Any, vfs: VirtualFileSystem, copy: VirtualFileSystem
) -> None:
    target = make_vfs(chunk_size=3)
    target.add_underlay(copy, name="its own")
    below = rows_of(copy)
    edit(vfs)

    vfs.apply_to(target)

    assert below_root(seen(target)) == below_root(seen(vfs))
    assert rows_of(copy) == below
    assert target.check() == []
    assert {change for change in changed(target) if change.startswith("deleted")} == {
        change for change in changed(vfs) if change.startswith("deleted")
    }


def test_apply_to_keeps_hard_links_of_the_local_layer(
    vfs: VirtualFileSystem, copy: VirtualFileSystem
) -> None:
    vfs.write_bytes("/f", b"changed")
    for name in ("/d/another", "/n/another"):
        vfs.link("/f", name)

    vfs.apply_to(copy)

    assert copy.samefile("/f", "/d/another")
    assert copy.samefile("/f", "/n/another")
    assert copy.stat("/f").st_nlink == 3
    assert copy.read_bytes("/hard") == b"base /f"


def test_apply_to_lets_open_handles_of_the_target_read_on(
    vfs: VirtualFileSystem, copy: VirtualFileSystem
) -> None:
    vfs.write_bytes("/f", b"changed")
    vfs.rmtree("/d")

    with copy.open("/f", "rb") as first, copy.open("/d/x", "rb") as second:
        vfs.apply_to(copy)

        assert (first.read(), second.read()) == (b"base /f", b"base /d/x")
    assert copy.check() == []


def test_apply_to_a_full_disk_changes_nothing(
    vfs: VirtualFileSystem, copy: VirtualFileSystem
) -> None:
    edit(vfs)
    vfs.write_bytes("/zzz", bytes(range(256)) * 100)
    before = rows_of(copy)
    ground.limit_pages(copy._store._cx, 4)

    with pytest.raises(OSError) as caught:
        vfs.apply_to(copy)

    assert caught.value.errno == errno.ENOSPC
    assert rows_of(copy) == before
    ground.lift_limit(copy._store._cx)
    vfs.apply_to(copy)
    assert below_root(seen(copy)) == below_root(seen(vfs))


def test_apply_to_in_a_batch_of_the_target_is_taken_back_with_it(
    vfs: VirtualFileSystem, copy: VirtualFileSystem
) -> None:
    edit(vfs)
    before = rows_of(copy)

    with pytest.raises(KeyError), copy.atomic_batch():
        vfs.apply_to(copy)
        assert below_root(seen(copy)) == below_root(seen(vfs))
        raise KeyError

    assert rows_of(copy) == before


def test_apply_to_in_a_batch_of_the_source_carries_what_is_done_in_it(
    vfs: VirtualFileSystem, copy: VirtualFileSystem
) -> None:
    with pytest.raises(KeyError), vfs.atomic_batch():
        vfs.write_bytes("/f", b"in a batch")
        vfs.apply_to(copy)
        raise KeyError

    assert copy.read_bytes("/f") == b"in a batch"
    assert vfs.read_bytes("/f") == b"base /f"


def test_apply_to_refuses_itself_and_what_cannot_be_written(
    make_vfs: Any, tmp_path: Path, vfs: VirtualFileSystem
) -> None:
    edit(vfs)
    before = rows_of(vfs)
    VirtualFileSystem(tmp_path / "target.db").close()
    read_only = make_vfs(tmp_path / "target.db", read_only=True)
    closed = make_vfs()
    closed.close()

    with pytest.raises(InvalidArgument):
        vfs.apply_to(vfs)
    with pytest.raises(ReadOnlyError) as caught:
        vfs.apply_to(read_only)
    for gone in (closed.apply_to, vfs.apply_to):
        with pytest.raises(ValueError, match="closed"):
            gone(closed if gone == vfs.apply_to else vfs)
    targets: list[Any] = [None, str(tmp_path / "target.db"), DirectoryLayer(tmp_path)]
    for target in targets:
        with pytest.raises(TypeError):
            vfs.apply_to(target)

    assert caught.value.filename == read_only.db_path
    assert rows_of(vfs) == before
    assert read_only.listdir() == []
