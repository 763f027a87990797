"""Conflicts: paths at which layers say different things, and which of them wins."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from tests.api.looking import Stack, delete, put, stacked

from stratavfs.records import Conflict

if TYPE_CHECKING:
    from stratavfs import VirtualFileSystem

BIG = bytes(range(256)) * 1024  # more than is compared at once


@pytest.fixture
def stack(make_vfs: Any) -> Any:
    return stacked(make_vfs)


def paths_in_conflict(vfs: VirtualFileSystem, path: str = "/") -> list[str]:
    return [conflict.path for conflict in vfs.conflicts(path)]


def test_conflicts_tells_who_wins_over_whom(stack: Stack) -> None:
    put(stack.local, "/both", "/all")
    put(stack.mod, "/all", "/mod alone")
    put(stack.base, "/both", "/all", "/base alone")

    found = stack.local.conflicts()

    assert found == [
        Conflict("/all", "local", ["local", "mod", "base"]),
        Conflict("/both", "local", ["local", "base"]),
    ]
    assert str(found[0]) == "/all: local over mod, base"


def test_conflicts_of_equal_bytes_are_none(stack: Stack) -> None:
    for vfs in stack:
        vfs.write_bytes("/small", b"same")
        vfs.write_bytes("/big", BIG)
        vfs.write_bytes("/empty", b"")
        vfs.symlink("same", "/link")
    stack.local.chmod("/small", 0o600)
    stack.mod.utime("/big", ns=(1, 2))
    stack.base.setxattr("/small", "user.a", b"1")

    assert stack.local.conflicts() == []


@pytest.mark.parametrize("chunk_size", [1000, 65536])
def test_conflicts_finds_big_files_that_differ_in_the_last_byte(
    make_vfs: Any, chunk_size: int
) -> None:
    vfs, base = make_vfs(chunk_size=65536), make_vfs(chunk_size=chunk_size)
    vfs.write_bytes("/big", BIG)
    base.write_bytes("/big", BIG[:-1] + b"\0")
    vfs.write_bytes("/longer", BIG)
    base.write_bytes("/longer", BIG[:-1])
    vfs.write_bytes("/hole", bytes(200_000))
    with base.open("/hole", "wb") as file:
        file.truncate(200_000)
    vfs.add_underlay(base, name="base")

    assert paths_in_conflict(vfs) == ["/big", "/longer"]


def test_conflicts_among_three_finds_the_one_that_differs(stack: Stack) -> None:
    stack.local.write_bytes("/p", b"same")
    stack.mod.write_bytes("/p", b"same")
    stack.base.write_bytes("/p", b"else")

    assert stack.local.conflicts() == [
        Conflict("/p", "local", ["local", "mod", "base"])
    ]


def test_conflicts_of_link_targets_are_found(stack: Stack) -> None:
    stack.mod.symlink("here", "/link")
    stack.base.symlink("there", "/link")

    assert stack.local.conflicts() == [Conflict("/link", "mod", ["mod", "base"])]


def test_conflicts_of_a_link_that_leads_nowhere_are_found(stack: Stack) -> None:
    stack.mod.symlink("nowhere", "/link")
    put(stack.base, "/link")

    assert paths_in_conflict(stack.local, "/link") == ["/link"]


def test_conflicts_of_types_are_found_and_nothing_below_them(stack: Stack) -> None:
    put(stack.mod, "/file over directory", "/directory over file/x")
    put(stack.base, "/file over directory/x", "/directory over file")
    stack.mod.symlink("x", "/link over file")
    put(stack.base, "/link over file")

    assert paths_in_conflict(stack.local) == [
        "/directory over file",
        "/file over directory",
        "/link over file",
    ]


def test_conflicts_behind_what_cuts_a_directory_off_are_none(stack: Stack) -> None:
    put(stack.local, "/d/x")
    put(stack.mod, "/d")
    put(stack.base, "/d/x")

    assert paths_in_conflict(stack.local) == ["/d"]


def test_conflicts_below_a_whiteout_or_an_opaque_directory_are_none(
    stack: Stack,
) -> None:
    for vfs in (stack.mod, stack.base):
        put(vfs, "/file", "/deleted/x", "/opaque/x", "/shown/x")
    stack.local.remove("/file")
    stack.local.rmtree("/deleted")
    stack.local.rmtree("/opaque")
    put(stack.local, "/opaque/x")

    assert paths_in_conflict(stack.local) == ["/shown/x"]


def test_conflicts_with_what_the_layer_between_has_deleted_are_none(
    stack: Stack,
) -> None:
    put(stack.local, "/file", "/d/x")
    delete(stack.mod, "/file", "/d/x")
    put(stack.base, "/file", "/d/x")

    assert stack.local.conflicts() == []


def test_conflicts_in_merged_directories_are_found_at_any_depth(stack: Stack) -> None:
    put(stack.mod, "/a/b/c/x", "/a-b", "/a/y")
    put(stack.base, "/a/b/c/x", "/a-b", "/a/z")

    assert paths_in_conflict(stack.local) == ["/a-b", "/a/b/c/x"]


def test_conflicts_of_a_path_finds_those_at_and_below_it(stack: Stack) -> None:
    for vfs in (stack.mod, stack.base):
        put(vfs, "/a/x", "/a/b/y", "/ab", "/b")

    assert paths_in_conflict(stack.local, "/a") == ["/a/b/y", "/a/x"]
    assert paths_in_conflict(stack.local, "/a/x") == ["/a/x"]
    assert paths_in_conflict(stack.local, "a//b/..//x/") == ["/a/x"]


def test_conflicts_of_a_path_through_a_link_finds_those_behind_it(
    stack: Stack,
) -> None:
    for vfs in (stack.mod, stack.base):
        put(vfs, "/real/d/x")
    stack.base.symlink("real", "/link")

    assert paths_in_conflict(stack.local, "/link/d") == ["/real/d/x"]


@pytest.mark.parametrize("path", ["/missing", "/a/missing", "/deleted"])
def test_conflicts_of_a_missing_path_raises(stack: Stack, path: str) -> None:
    put(stack.base, "/a/x", "/deleted")
    stack.local.remove("/deleted")

    with pytest.raises(FileNotFoundError) as caught:
        stack.local.conflicts(path)

    assert caught.value.filename == path


def test_conflicts_within_a_nested_file_system_are_its_own(make_vfs: Any) -> None:
    vfs, patch, base = make_vfs(), make_vfs(), make_vfs()
    put(base, "/inner", "/outer")
    put(patch, "/inner")
    put(vfs, "/outer")
    patch.add_underlay(base, name="base")
    vfs.add_underlay(patch, name="patch")

    assert vfs.conflicts() == [Conflict("/outer", "local", ["local", "patch"])]
    assert paths_in_conflict(patch) == ["/inner"]


def test_conflicts_of_mounted_layers_meet_below_the_prefix(make_vfs: Any) -> None:
    vfs, dlc, base = make_vfs(), make_vfs(), make_vfs()
    put(dlc, "/x", "/y")
    put(base, "/dlc/x", "/y")
    vfs.add_underlay(base, name="base")
    vfs.add_underlay(dlc, 1, "dlc", at="/dlc")

    assert vfs.conflicts() == [Conflict("/dlc/x", "dlc", ["dlc", "base"])]


def test_conflicts_of_one_layer_are_none(mem: VirtualFileSystem) -> None:
    put(mem, "/a/x")

    assert mem.conflicts() == []
