"""Moving: rename, which never overwrites; replace, which does; and move."""

from __future__ import annotations

import errno
import shutil
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from stratavfs import VirtualFileSystem

VERBS = ["rename", "replace", "move"]


def tree_of(vfs: VirtualFileSystem) -> dict[str, bytes | str | None]:
    """Return every path with bytes, the target of a link, or None."""
    tree: dict[str, bytes | str | None] = {}
    for path in vfs.glob("**/*"):
        if vfs.islink(path):
            tree[path] = vfs.readlink(path)
        else:
            tree[path] = vfs.read_bytes(path) if vfs.isfile(path) else None
    return tree


@pytest.mark.parametrize("verb", VERBS)
def test_move_a_file_keeps_its_inode(vfs: VirtualFileSystem, verb: str) -> None:
    vfs.write_bytes("/a", b"data" * 50)
    before = vfs.stat("/a")

    getattr(vfs, verb)("/a", "/d/b")

    assert tree_of(vfs) == {"/d": None, "/d/b": b"data" * 50}
    assert vfs.stat("/d/b").st_ino == before.st_ino


@pytest.mark.parametrize("verb", VERBS)
def test_move_a_directory_takes_everything_below(
    vfs: VirtualFileSystem, verb: str
) -> None:
    vfs.write_bytes("/a/f", b"1")
    vfs.write_bytes("/a/sub/g", b"2")
    vfs.symlink("sub/g", "/a/link")

    getattr(vfs, verb)("/a", "/b")

    assert tree_of(vfs) == {
        "/b": None,
        "/b/f": b"1",
        "/b/link": "sub/g",
        "/b/sub": None,
        "/b/sub/g": b"2",
    }
    assert vfs.read_bytes("/b/link") == b"2"


@pytest.mark.parametrize("verb", VERBS)
def test_move_a_link_moves_the_link(mem: VirtualFileSystem, verb: str) -> None:
    mem.write_bytes("/f", b"kept")
    mem.symlink("f", "/link")

    getattr(mem, verb)("/link", "/moved")

    assert tree_of(mem) == {"/f": b"kept", "/moved": "f"}


@pytest.mark.parametrize("verb", ["rename", "replace"])
@pytest.mark.parametrize("below", ["/a/b", "/a/sub/b"])
def test_move_into_itself_is_refused(
    vfs: VirtualFileSystem, verb: str, below: str
) -> None:
    vfs.write_bytes("/a/sub/f", b"1")
    before = tree_of(vfs)

    with pytest.raises(OSError) as caught:
        getattr(vfs, verb)("/a", below)

    assert caught.value.errno == errno.EINVAL
    assert (caught.value.filename, caught.value.filename2) == ("/a", below)
    assert tree_of(vfs) == before


@pytest.mark.parametrize("verb", ["rename", "replace"])
def test_move_into_itself_through_a_link_is_refused(
    mem: VirtualFileSystem, verb: str
) -> None:
    mem.write_bytes("/a/sub/f", b"1")
    mem.symlink("a/sub", "/way")
    before = tree_of(mem)

    with pytest.raises(OSError) as caught:
        getattr(mem, verb)("/a", "/way/b")

    assert caught.value.errno == errno.EINVAL
    assert tree_of(mem) == before


def test_move_beside_a_name_that_begins_alike_works(mem: VirtualFileSystem) -> None:
    mem.write_bytes("/a/f", b"1")
    mem.mkdir("/ab")

    mem.rename("/a", "/ab/a")

    assert tree_of(mem) == {"/ab": None, "/ab/a": None, "/ab/a/f": b"1"}


@pytest.mark.parametrize("verb", VERBS)
def test_move_what_is_missing_is_refused(mem: VirtualFileSystem, verb: str) -> None:
    with pytest.raises(FileNotFoundError) as caught:
        getattr(mem, verb)("/a", "/no/such/b")

    assert (caught.value.filename, caught.value.filename2) == ("/a", "/no/such/b")
    assert mem.listdir() == []


# --- rename ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "dst", ["/file", "/empty", "/full", "/link", "/dangling", "/a"]
)
@pytest.mark.parametrize("src", ["/a", "/dir"])
def test_rename_onto_anything_is_refused_and_changes_nothing(
    mem: VirtualFileSystem, src: str, dst: str
) -> None:
    mem.write_bytes("/a", b"a")
    mem.write_bytes("/file", b"kept")
    mem.makedirs("/dir/x")
    mem.mkdir("/empty")
    mem.write_bytes("/full/f", b"kept")
    mem.symlink("file", "/link")
    mem.symlink("nowhere", "/dangling")
    before = tree_of(mem)

    with pytest.raises(FileExistsError) as caught:
        mem.rename(src, dst)

    assert caught.value.errno == errno.EEXIST
    assert (caught.value.filename, caught.value.filename2) == (src, dst)
    assert tree_of(mem) == before


def test_rename_with_an_open_handle_follows(vfs: VirtualFileSystem) -> None:
    vfs.write_bytes("/d/f", b"1234")

    with vfs.open("/d/f", "r+b") as f:
        vfs.rename("/d", "/e")
        f.write(b"AB")

    assert vfs.read_bytes("/e/f") == b"AB34"


def test_rename_there_and_back_leaves_the_tree(vfs: VirtualFileSystem) -> None:
    vfs.write_bytes("/a/b/f", b"1")
    before = tree_of(vfs)

    vfs.rename("/a", "/z")
    vfs.rename("/z", "/a")

    assert tree_of(vfs) == before


# --- replace --------------------------------------------------------------------------


def test_replace_a_file_takes_its_place(vfs: VirtualFileSystem) -> None:
    vfs.write_bytes("/new", b"new" * 30)
    vfs.write_bytes("/old", b"old" * 50)

    vfs.replace("/new", "/old")

    assert tree_of(vfs) == {"/old": b"new" * 30}


def test_replace_an_empty_directory_by_a_full_one(vfs: VirtualFileSystem) -> None:
    vfs.write_bytes("/new/f", b"1")
    vfs.mkdir("/old")

    vfs.replace("/new", "/old")

    assert tree_of(vfs) == {"/old": None, "/old/f": b"1"}


def test_replace_a_link_replaces_the_link(mem: VirtualFileSystem) -> None:
    mem.write_bytes("/f", b"kept")
    mem.symlink("f", "/link")
    mem.write_bytes("/new", b"new")

    mem.replace("/new", "/link")

    assert tree_of(mem) == {"/f": b"kept", "/link": b"new"}


def test_replace_itself_does_nothing(mem: VirtualFileSystem) -> None:
    mem.write_bytes("/d/f", b"1")
    before = mem.stat("/d"), mem.stat("/d/f")

    mem.replace("/d", "/d")
    mem.replace("/d/f", "/d/f")

    assert (mem.stat("/d"), mem.stat("/d/f")) == before


@pytest.mark.parametrize(
    ("src", "dst", "code"),
    [
        ("/file", "/empty", errno.EISDIR),
        ("/file", "/full", errno.EISDIR),
        ("/empty", "/file", errno.ENOTDIR),
        ("/empty", "/full", errno.ENOTEMPTY),
        ("/full/f", "/full", errno.ENOTEMPTY),
        ("/empty", "/link", errno.ENOTDIR),
    ],
)
def test_replace_the_wrong_kind_is_refused_and_changes_nothing(
    mem: VirtualFileSystem, src: str, dst: str, code: int
) -> None:
    mem.write_bytes("/file", b"1")
    mem.mkdir("/empty")
    mem.write_bytes("/full/f", b"2")
    mem.symlink("empty", "/link")
    before = tree_of(mem)

    with pytest.raises(OSError) as caught:
        mem.replace(src, dst)

    assert caught.value.errno == code
    assert (caught.value.filename, caught.value.filename2) == (src, dst)
    assert tree_of(mem) == before


def test_replace_of_one_of_two_names_keeps_the_other(vfs: VirtualFileSystem) -> None:
    vfs.write_bytes("/a", b"linked")
    vfs.link("/a", "/b")
    vfs.write_bytes("/new", b"new")

    vfs.replace("/new", "/a")

    assert tree_of(vfs) == {"/a": b"new", "/b": b"linked"}
    assert vfs.stat("/b").st_nlink == 1


# --- move -----------------------------------------------------------------------------


def test_move_into_a_directory_keeps_the_name(mem: VirtualFileSystem) -> None:
    mem.write_bytes("/a", b"1")
    mem.mkdir("/d")

    assert mem.move("/a", "/d") == "/d/a"
    assert tree_of(mem) == {"/d": None, "/d/a": b"1"}


def test_move_into_a_link_to_a_directory_goes_there(mem: VirtualFileSystem) -> None:
    mem.write_bytes("/a", b"1")
    mem.mkdir("/d")
    mem.symlink("d", "/link")

    assert mem.move("/a", "/link") == "/link/a"
    assert mem.read_bytes("/d/a") == b"1"


def test_move_onto_a_file_replaces_it(mem: VirtualFileSystem) -> None:
    mem.write_bytes("/a", b"new")
    mem.write_bytes("/b", b"old")

    assert mem.move("/a", "/b") == "/b"
    assert tree_of(mem) == {"/b": b"new"}


def test_move_into_a_directory_that_has_the_name_is_refused(
    mem: VirtualFileSystem,
) -> None:
    mem.write_bytes("/a", b"1")
    mem.write_bytes("/d/a", b"kept")
    before = tree_of(mem)

    with pytest.raises(shutil.Error, match="already exists") as caught:
        mem.move("/a", "/d")

    assert caught.value.errno == errno.EEXIST
    assert tree_of(mem) == before


def test_move_a_directory_into_itself_is_refused(mem: VirtualFileSystem) -> None:
    mem.write_bytes("/d/sub/f", b"1")
    before = tree_of(mem)

    with pytest.raises(shutil.Error, match="into itself"):
        mem.move("/d", "/d/sub")

    assert tree_of(mem) == before
