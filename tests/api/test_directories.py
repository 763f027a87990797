"""Directories: making, listing, scanning, removing and copying trees."""

from __future__ import annotations

import errno
import os
import shutil
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from stratavfs import VirtualFileSystem


@pytest.fixture
def tree(vfs: VirtualFileSystem) -> VirtualFileSystem:
    """A tree with files, an empty directory, and links."""
    vfs.write_bytes("/d/a.txt", b"a")
    vfs.write_bytes("/d/b.py", b"b" * 100)
    vfs.write_bytes("/d/sub/c.txt", b"c")
    vfs.mkdir("/d/empty")
    vfs.symlink("a.txt", "/d/to-file")
    vfs.symlink("sub", "/d/to-dir")
    return vfs


def everything(vfs: VirtualFileSystem) -> list[str]:
    return vfs.glob("**/*")


def test_mkdir_makes_one_with_a_mode(mem: VirtualFileSystem) -> None:
    mem.mkdir("/d", mode=0o700)

    assert mem.stat("/d").st_mode == 0o40700
    assert mem.listdir("/d") == []


def test_mkdir_without_parents_needs_them(mem: VirtualFileSystem) -> None:
    with pytest.raises(FileNotFoundError) as caught:
        mem.mkdir("/a/b")

    assert caught.value.filename == "/a/b"
    assert mem.listdir() == []


def test_mkdir_with_parents_makes_them_with_the_usual_mode(
    mem: VirtualFileSystem,
) -> None:
    mem.mkdir("/a/b/c", parents=True, mode=0o700)

    assert mem.stat("/a/b/c").st_mode == 0o40700
    assert mem.stat("/a/b").st_mode == 0o40755


@pytest.mark.parametrize("verb", ["mkdir", "makedirs"])
def test_make_what_exists_is_refused_unless_allowed(
    mem: VirtualFileSystem, verb: str
) -> None:
    mem.mkdir("/d")
    before = mem.stat("/d")

    with pytest.raises(FileExistsError) as caught:
        getattr(mem, verb)("/d")
    getattr(mem, verb)("/d", exist_ok=True)

    assert (caught.value.errno, caught.value.filename) == (errno.EEXIST, "/d")
    assert mem.stat("/d") == before


@pytest.mark.parametrize("verb", ["mkdir", "makedirs"])
def test_make_over_a_file_is_refused_even_with_exist_ok(
    mem: VirtualFileSystem, verb: str
) -> None:
    mem.write_text("/f", "kept")

    with pytest.raises(FileExistsError):
        getattr(mem, verb)("/f", exist_ok=True)

    assert mem.read_text("/f") == "kept"


def test_make_over_a_link_to_a_directory_is_allowed_with_exist_ok(
    mem: VirtualFileSystem,
) -> None:
    mem.mkdir("/d")
    mem.symlink("d", "/link")

    mem.mkdir("/link", exist_ok=True)

    assert mem.readlink("/link") == "d"


# --- create_parents -------------------------------------------------------------------

MAKERS: dict[str, Any] = {
    "write_bytes": lambda v, p: v.write_bytes(p, b""),
    "write_text": lambda v, p: v.write_text(p, ""),
    "open w": lambda v, p: v.open(p, "w").close(),
    "open a": lambda v, p: v.open(p, "ab").close(),
    "open x": lambda v, p: v.open(p, "x").close(),
    "touch": lambda v, p: v.touch(p),
    "symlink": lambda v, p: v.symlink("t", p),
    "link": lambda v, p: v.link("/f", p),
    "copy": lambda v, p: v.copy("/f", p),
    "copy2": lambda v, p: v.copy2("/f", p),
    "copytree": lambda v, p: v.copytree("/d", p),
    "rename": lambda v, p: v.rename("/f", p),
    "replace": lambda v, p: v.replace("/f", p),
    "move": lambda v, p: v.move("/f", p),
}


@pytest.mark.parametrize("maker", sorted(MAKERS))
def test_make_a_name_makes_missing_parents(
    make_vfs: Callable[..., VirtualFileSystem], maker: str
) -> None:
    vfs = make_vfs()
    vfs.touch("/f")
    vfs.mkdir("/d")

    MAKERS[maker](vfs, "/no/such/name")

    assert vfs.lexists("/no/such/name")
    assert vfs.stat("/no/such").st_mode == 0o40755


def test_copytree_without_create_parents_makes_them_as_shutil_does(
    make_vfs: Callable[..., VirtualFileSystem],
) -> None:
    vfs = make_vfs(create_parents=False)
    vfs.mkdir("/d")

    vfs.copytree("/d", "/no/such/name")

    assert vfs.isdir("/no/such/name")


@pytest.mark.parametrize("maker", sorted(set(MAKERS) - {"copytree"}))
def test_make_a_name_without_create_parents_needs_them(
    make_vfs: Callable[..., VirtualFileSystem], maker: str
) -> None:
    vfs = make_vfs(create_parents=False)
    vfs.touch("/f")
    vfs.mkdir("/d")
    before = {path: vfs.lstat(path) for path in ["/", *everything(vfs)]}

    with pytest.raises(FileNotFoundError) as caught:
        MAKERS[maker](vfs, "/no/such/name")

    assert "/no/such/name" in {caught.value.filename, caught.value.filename2}
    assert {path: vfs.lstat(path) for path in ["/", *everything(vfs)]} == before


# --- listing --------------------------------------------------------------------------


def test_listdir_is_in_code_point_order(mem: VirtualFileSystem) -> None:
    names = ["B", "a", "Z", "é", "10", "9", "😀", "-", "\ufffd"]
    for name in names:
        mem.touch(f"/{name}")

    assert mem.listdir() == sorted(names)


def test_listdir_shows_one_level(tree: VirtualFileSystem) -> None:
    assert tree.listdir("/d") == ["a.txt", "b.py", "empty", "sub", "to-dir", "to-file"]
    assert tree.listdir("/d/to-dir") == ["c.txt"]
    assert tree.listdir("/d/empty") == []


@pytest.mark.parametrize("verb", ["listdir", "scandir"])
def test_list_what_is_no_directory_is_refused(
    tree: VirtualFileSystem, verb: str
) -> None:
    with pytest.raises(NotADirectoryError) as wrong_kind:
        getattr(tree, verb)("/d/a.txt")
    with pytest.raises(FileNotFoundError) as missing:
        getattr(tree, verb)("/d/x")

    assert wrong_kind.value.filename == "/d/a.txt"
    assert missing.value.filename == "/d/x"


def test_scandir_entries_know_what_stat_knows(tree: VirtualFileSystem) -> None:
    with tree.scandir("/d") as entries:
        found = {entry.name: entry for entry in entries}

    assert list(found) == tree.listdir("/d")
    for name, entry in found.items():
        assert entry.path == os.fspath(entry) == f"/d/{name}"
        assert entry.stat() == tree.stat(entry.path)
        assert entry.stat(follow_symlinks=False) == tree.lstat(entry.path)
        assert entry.inode() == tree.lstat(entry.path).st_ino
        assert entry.is_dir() == tree.isdir(entry.path)
        assert entry.is_file() == tree.isfile(entry.path)
        assert entry.is_symlink() == tree.islink(entry.path)
    assert not found["to-dir"].is_dir(follow_symlinks=False)
    assert not found["to-file"].is_file(follow_symlinks=False)
    assert repr(found["a.txt"]) == "<DirEntry 'a.txt'>"


def test_scandir_entry_of_a_dangling_link_is_neither_kind(
    mem: VirtualFileSystem,
) -> None:
    mem.symlink("nowhere", "/link")

    (entry,) = mem.scandir()

    assert (entry.is_dir(), entry.is_file(), entry.is_symlink()) == (False, False, True)
    with pytest.raises(FileNotFoundError):
        entry.stat()


def test_scandir_after_close_yields_no_more(tree: VirtualFileSystem) -> None:
    entries = tree.scandir("/d")
    next(entries)

    entries.close()

    assert list(entries) == []


def test_scandir_shows_the_directory_as_it_was_when_called(
    mem: VirtualFileSystem,
) -> None:
    mem.write_bytes("/f", b"12")
    entries = mem.scandir()

    mem.remove("/f")

    assert [(entry.name, entry.stat().st_size) for entry in entries] == [("f", 2)]


# --- removing -------------------------------------------------------------------------


def test_rmdir_takes_an_empty_directory(tree: VirtualFileSystem) -> None:
    tree.rmdir("/d/empty")

    assert not tree.exists("/d/empty")


def test_rmdir_of_a_full_directory_is_refused(tree: VirtualFileSystem) -> None:
    before = everything(tree)

    with pytest.raises(OSError) as caught:
        tree.rmdir("/d")

    assert (caught.value.errno, caught.value.filename) == (errno.ENOTEMPTY, "/d")
    assert everything(tree) == before


@pytest.mark.parametrize("verb", ["rmdir", "rmtree"])
@pytest.mark.parametrize("path", ["/d/a.txt", "/d/to-dir"])
def test_remove_what_is_no_directory_is_refused(
    tree: VirtualFileSystem, verb: str, path: str
) -> None:
    before = everything(tree)

    with pytest.raises(NotADirectoryError) as caught:
        getattr(tree, verb)(path)

    assert caught.value.filename == path
    assert everything(tree) == before


def test_rmtree_takes_everything_below(tree: VirtualFileSystem) -> None:
    tree.write_bytes("/other", b"kept")

    tree.rmtree("/d")

    assert everything(tree) == ["/other"]


def test_rmtree_removes_links_and_not_what_they_lead_to(
    mem: VirtualFileSystem,
) -> None:
    mem.write_bytes("/kept/f", b"data")
    mem.symlink("/kept", "/d/link")

    mem.rmtree("/d")

    assert mem.read_bytes("/kept/f") == b"data"


def test_rmtree_of_a_deep_tree_needs_no_deep_stack(mem: VirtualFileSystem) -> None:
    mem.makedirs("/d" * 2000)

    mem.rmtree("/d")

    assert mem.listdir() == []


# --- copytree -------------------------------------------------------------------------


def test_copytree_copies_files_directories_and_what_links_lead_to(
    tree: VirtualFileSystem,
) -> None:
    returned = tree.copytree("/d", "/new/e")

    assert returned == "/new/e"
    assert tree.listdir("/new/e") == tree.listdir("/d")
    assert tree.read_bytes("/new/e/b.py") == b"b" * 100
    assert tree.read_bytes("/new/e/to-file") == b"a"
    assert not tree.islink("/new/e/to-file")
    assert tree.read_bytes("/new/e/to-dir/c.txt") == b"c"
    assert tree.listdir("/new/e/empty") == []


def test_copytree_with_symlinks_copies_links(tree: VirtualFileSystem) -> None:
    tree.copytree("/d", "/e", symlinks=True)

    assert tree.readlink("/e/to-file") == "a.txt"
    assert tree.readlink("/e/to-dir") == "sub"


def test_copytree_with_ignore_patterns_leaves_those_out(
    tree: VirtualFileSystem,
) -> None:
    ignore: Any = shutil.ignore_patterns("*.txt", "to-*")

    tree.copytree("/d", "/e", ignore=ignore)

    assert tree.glob("/e/**/*") == ["/e/b.py", "/e/empty", "/e/sub"]


def test_copytree_asks_ignore_once_for_each_directory(tree: VirtualFileSystem) -> None:
    asked: dict[str, list[str]] = {}

    def ignore(directory: str, names: list[str]) -> list[str]:
        asked[directory] = sorted(names)
        return ["to-dir"]

    tree.copytree("/d", "/e", ignore=ignore)

    assert asked == {
        "/d": ["a.txt", "b.py", "empty", "sub", "to-dir", "to-file"],
        "/d/empty": [],
        "/d/sub": ["c.txt"],
    }


def test_copytree_whose_ignore_raises_copies_nothing(tree: VirtualFileSystem) -> None:
    before = everything(tree)

    def ignore(directory: str, names: list[str]) -> list[str]:
        if directory != "/d":
            raise KeyError(directory)
        return names[:0]

    with pytest.raises(KeyError):
        tree.copytree("/d", "/e", ignore=ignore)

    assert everything(tree) == before


def test_copytree_onto_something_is_refused_and_changes_nothing(
    tree: VirtualFileSystem,
) -> None:
    tree.mkdir("/e")
    before = everything(tree)

    with pytest.raises(FileExistsError) as caught:
        tree.copytree("/d", "/e")

    assert (caught.value.errno, caught.value.filename) == (errno.EEXIST, "/e")
    assert everything(tree) == before


def test_copytree_with_dirs_exist_ok_merges(tree: VirtualFileSystem) -> None:
    tree.write_bytes("/e/a.txt", b"old")
    tree.write_bytes("/e/own", b"kept")
    tree.write_bytes("/e/sub/own", b"kept")

    tree.copytree("/d", "/e", dirs_exist_ok=True)

    assert tree.read_bytes("/e/a.txt") == b"a"
    assert tree.read_bytes("/e/own") == b"kept"
    assert tree.listdir("/e/sub") == ["c.txt", "own"]


def test_copytree_copies_metadata_as_copy2_does(
    make_vfs: Callable[..., VirtualFileSystem], clock: Any
) -> None:
    vfs = make_vfs(clock=clock)
    vfs.write_bytes("/d/f", b"x")
    for path in ("/d/f", "/d"):
        vfs.chmod(path, 0o700)
        vfs.setxattr(path, "user.x", b"1")
        vfs.utime(path, ns=(11, 22))

    vfs.copytree("/d", "/e")

    for path in ("/e/f", "/e"):
        found = vfs.stat(path)
        assert found.st_mode & 0o777 == 0o700
        assert (found.st_atime_ns, found.st_mtime_ns) == (11, 22)
        assert vfs.getxattr(path, "user.x") == b"1"


@pytest.mark.parametrize("dst", ["/d/e", "/d/sub/e"])
def test_copytree_into_itself_is_refused_and_changes_nothing(
    tree: VirtualFileSystem, dst: str
) -> None:
    before = everything(tree)

    with pytest.raises(OSError) as caught:
        tree.copytree("/d", dst)

    assert caught.value.errno == errno.EINVAL
    assert everything(tree) == before


def test_copytree_with_a_dangling_link_copies_nothing(tree: VirtualFileSystem) -> None:
    tree.symlink("nowhere", "/d/zz")
    before = everything(tree)

    with pytest.raises(OSError):  # shutil says shutil.Error, which is one too
        tree.copytree("/d", "/e")

    assert everything(tree) == before


def test_copytree_beside_a_longer_name_copies_its_own(tree: VirtualFileSystem) -> None:
    tree.write_bytes("/d2/x", b"other")

    tree.copytree("/d", "/d3", symlinks=True)

    assert tree.listdir("/d2") == ["x"]
    assert tree.listdir("/d3") == tree.listdir("/d")


def test_copytree_to_a_name_through_a_link_puts_all_where_it_leads(
    make_vfs: Any,
) -> None:
    vfs = make_vfs()
    vfs.write_bytes("/src/sub/a", b"content")
    vfs.mkdir("/real")
    vfs.symlink("/real", "/link")

    vfs.copytree("/src", "/link/new")

    assert vfs.read_bytes("/real/new/sub/a") == b"content"
    assert vfs.check() == []
