"""Revert: the local layer forgets a tree, and what lies below is seen again."""

# ruff: noqa: PT012 - what a batch does before it fails is the test

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Any

import pytest
from tests.api.grafting import (
    act_on_directory,
    changed,
    edit,
    fill,
    fill_opaque_directory,
    filled,
    over,
    rows_of,
    seen,
    shown,
)

from stratavfs import ReadOnlyError, VirtualFileSystem

if TYPE_CHECKING:
    from collections.abc import Callable
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


def file_for_directory(vfs: VirtualFileSystem) -> None:
    vfs.rmtree("/d")
    vfs.write_bytes("/d", b"a file")


# What is done, what is reverted, and what is still changed after that.
REVERTS: dict[str, tuple[Callable[[VirtualFileSystem], object], str, list[str]]] = {
    "modified file": (lambda vfs: vfs.write_bytes("/d/x", b"!"), "/d/x", []),
    "metadata": (lambda vfs: vfs.chmod("/d/x", 0), "/d/x", []),
    "deleted file": (lambda vfs: vfs.remove("/d/x"), "/d/x", []),
    "deleted directory": (lambda vfs: vfs.rmtree("/d"), "/d", []),
    "added file": (lambda vfs: vfs.write_bytes("/n", b""), "/n", []),
    "added directory": (lambda vfs: vfs.write_bytes("/n/x", b""), "/n", []),
    "link": (lambda vfs: vfs.symlink("d", "/n"), "/n", []),
    "nothing": (lambda vfs: None, "/d/x", []),
    "one of two": (
        lambda vfs: (vfs.remove("/d/x"), vfs.remove("/d/y")),  # type: ignore[func-returns-value]
        "/d/x",
        ["deleted /d/y"],
    ),
    "directory with changes": (
        lambda vfs: (vfs.write_bytes("/d/x", b"!"), vfs.write_bytes("/n", b"")),
        "/d",
        ["added /n"],
    ),
    "one name in a deleted directory": (
        lambda vfs: vfs.rmtree("/d"),
        "/d/x",
        ["deleted /d/sub", "deleted /d/y"],
    ),
    "one name deep in a deleted directory": (
        lambda vfs: vfs.rmtree("/d"),
        "/d/sub/deep/w",
        ["deleted /d/sub/z", "deleted /d/x", "deleted /d/y"],
    ),
    "directory in a deleted directory": (
        lambda vfs: vfs.rmtree("/d"),
        "/d/sub",
        ["deleted /d/x", "deleted /d/y"],
    ),
    "one name in an opaque directory": (
        act_on_directory,
        "/d/x",
        ["deleted /d/sub", "deleted /d/y"],
    ),
    "one name beside others in an opaque directory": (
        fill_opaque_directory,
        "/d/y",
        [
            "added /d/sub/mine",
            "deleted /d/sub/deep",
            "deleted /d/sub/z",
            "metadata /d/sub",
            "modified /d/x",
        ],
    ),
    "one name deep in an opaque directory": (
        fill_opaque_directory,
        "/d/sub/z",
        [
            "added /d/sub/mine",
            "deleted /d/sub/deep",
            "deleted /d/y",
            "metadata /d/sub",
            "modified /d/x",
        ],
    ),
    "own name in an opaque directory": (
        fill_opaque_directory,
        "/d/sub/mine",
        [
            "deleted /d/sub/deep",
            "deleted /d/sub/z",
            "deleted /d/y",
            "metadata /d/sub",
            "modified /d/x",
        ],
    ),
    "opaque directory": (fill_opaque_directory, "/d", []),
    "file for a directory": (file_for_directory, "/d", []),
    "new name of a renamed file": (
        lambda vfs: vfs.rename("/d/x", "/n"),
        "/n",
        ["deleted /d/x"],
    ),
    "old name of a renamed directory": (
        lambda vfs: vfs.rename("/d/sub/deep", "/n"),
        "/d/sub/deep",
        ["added /n", "added /n/w"],
    ),
    "new name of a renamed directory": (
        lambda vfs: vfs.rename("/d/sub/deep", "/n"),
        "/n",
        ["deleted /d/sub/deep"],
    ),
    "all": (edit, "/", []),
    "through a link": (
        lambda vfs: (vfs.symlink("d", "/way"), vfs.write_bytes("/d/x", b"!")),  # type: ignore[func-returns-value]
        "/way/x",
        ["added /way"],
    ),
}


@pytest.mark.parametrize("case", REVERTS)
def test_revert_shows_what_the_underlays_have(
    vfs: VirtualFileSystem, base: VirtualFileSystem, case: str
) -> None:
    act, path, left = REVERTS[case]
    act(vfs)

    vfs.revert(path)

    assert changed(vfs) == left
    assert vfs.check() == []
    if not left:
        assert {**shown(vfs), "/": None} == {**shown(base), "/": None}
    elif base.exists(path):
        assert vfs.which_layer(path) == "base"
    else:
        assert vfs.which_layer(path) in (None, "base")


def test_revert_of_all_leaves_the_root_alone_in_the_local_layer(
    vfs: VirtualFileSystem,
) -> None:
    edit(vfs)

    vfs.revert("/")

    rows = rows_of(vfs)
    assert [len(rows[table]) for table in ("inodes", "entries", "chunks")] == [1, 1, 0]


@pytest.mark.parametrize("path", ["/d/x", "/d"])
def test_revert_in_an_opaque_directory_leaves_its_siblings(
    vfs: VirtualFileSystem, path: str
) -> None:
    fill_opaque_directory(vfs)
    vfs.write_bytes("/d/own", b"own")

    vfs.revert("/d/y")

    assert vfs.listdir("/d") == ["own", "sub", "x", "y"]
    assert vfs.listdir("/d/sub") == ["mine"]
    assert vfs.read_bytes("/d/x") == b"mine"


def test_revert_of_one_hard_link_leaves_the_other(
    vfs: VirtualFileSystem, base: VirtualFileSystem
) -> None:
    vfs.write_bytes("/f", b"local")
    vfs.link("/f", "/other")

    vfs.revert("/f")

    assert vfs.read_bytes("/f") == base.read_bytes("/f")
    assert vfs.read_bytes("/other") == b"local"
    assert vfs.stat("/other").st_nlink == 1


def test_revert_while_open_lets_the_handle_read_on(vfs: VirtualFileSystem) -> None:
    vfs.write_bytes("/f", b"local bytes")
    with vfs.open("/f", "rb") as mine, vfs.open("/big", "r+b", buffering=0) as patched:
        patched.write(b"!!")
        assert mine.read(5) == b"local"

        vfs.revert("/")

        assert mine.read() == b" bytes"
        patched.seek(0)
        assert patched.read(4) == b"!!\x02\x03"
        assert vfs.read_bytes("/f") == b"base /f"
        assert vfs.read_bytes("/big")[:4] == b"\0\1\2\3"

    assert vfs.check() == []


@pytest.mark.parametrize("path", ["/missing", "/d/missing", "/f/below", "/deleted"])
def test_revert_of_what_no_layer_has_raises_and_changes_nothing(
    vfs: VirtualFileSystem, path: str
) -> None:
    edit(vfs)
    before = rows_of(vfs)

    with pytest.raises(
        NotADirectoryError if "f/" in path else FileNotFoundError
    ) as got:
        vfs.revert(path)

    assert got.value.filename == path
    assert rows_of(vfs) == before


def test_revert_below_a_local_file_raises_and_changes_nothing(
    vfs: VirtualFileSystem,
) -> None:
    file_for_directory(vfs)
    before = rows_of(vfs)

    with pytest.raises(NotADirectoryError) as caught:
        vfs.revert("/d/x")

    assert caught.value.filename in ("/d", "/d/x")
    assert rows_of(vfs) == before


def test_revert_without_underlays_removes(mem: VirtualFileSystem) -> None:
    fill(mem)

    mem.revert("/d")
    mem.revert("/f")

    assert mem.listdir() == ["big", "e", "gone", "hard", "link"]
    mem.revert("/")
    assert mem.listdir() == []


def test_revert_of_a_read_only_file_system_is_refused(
    make_vfs: Any, tmp_path: Path
) -> None:
    with VirtualFileSystem(tmp_path / "c.db") as writer:
        fill(writer)
    vfs = make_vfs(tmp_path / "c.db", read_only=True)

    for path in ("/f", "/", "/missing"):
        with pytest.raises(ReadOnlyError) as caught:
            vfs.revert(path)
        assert (caught.value.errno, caught.value.filename) == (errno.EROFS, path)

    assert vfs.isfile("/f")


@pytest.mark.parametrize("path", ["/", "/d", "/d/sub/z", "/gone/q", "/e/x"])
def test_revert_in_a_batch_that_fails_is_taken_back(
    vfs: VirtualFileSystem, path: str
) -> None:
    edit(vfs)
    before, view = rows_of(vfs), seen(vfs)

    with pytest.raises(KeyError), vfs.atomic_batch():
        vfs.revert(path)
        assert rows_of(vfs) != before
        raise KeyError

    assert rows_of(vfs) == before
    assert seen(vfs) == view
