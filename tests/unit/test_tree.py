"""The tree of one container: names as key ranges, hard links, attributes.

What open handles keep alive is in ``test_pins.py``.
"""

from __future__ import annotations

import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stratavfs import VirtualFileSystem, _tree
from stratavfs._paths import ROOT, is_within, normalize
from stratavfs._tree import DIRECTORY_MODE, FILE_MODE, LINK_MODE, Tree
from stratavfs.records import Inode, InodeId, VPath

AT = 1_000_000_000
WHITEOUT = "INSERT INTO entries (parent, name, kind, inode) VALUES ('/', 'w', 14, NULL)"


def tree_of(vfs: VirtualFileSystem) -> Tree:
    tree: Tree = vfs._layers.rooms[1]
    return tree


@pytest.fixture
def tree(mem: VirtualFileSystem) -> Tree:
    return tree_of(mem)


def make(tree: Tree, *paths: str) -> None:
    """Make directories (a slash at the end) and files, in the order given."""
    with tree._store.transaction:
        for path in paths:
            directory = path.endswith("/")
            content = None if directory else b""
            mode = DIRECTORY_MODE if directory else FILE_MODE
            tree.add(normalize(path), mode, AT, content=content)


def found(tree: Tree, path: str) -> Inode:
    inode = tree.find(VPath(path))
    assert inode is not None
    return inode


def all_of(tree: Tree) -> list[str]:
    return [parent + name for parent, name in tree.below(ROOT, "*")]


def count_inodes(tree: Tree) -> int:
    return int(tree._store.row("SELECT count(*) FROM inodes")[0]) - 1  # but the root


# --- asking ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "mode"),
    [("/d", DIRECTORY_MODE), ("/d/f", FILE_MODE), ("/", DIRECTORY_MODE)],
)
def test_find_present_path_gives_its_inode(tree: Tree, path: str, mode: int) -> None:
    make(tree, "/d/", "/d/f")

    inode = found(tree, path)

    assert (inode.mode, inode.nlink, inode.size) == (mode, 1, 0)
    assert tree.find_entry(VPath(path)) == (mode & ~0o7777, inode.id)
    assert tree.read(inode.id) == inode


@pytest.mark.parametrize("path", ["/x", "/d/x", "/d/f/x", "/D", "/d/F", "/f"])
def test_find_absent_path_gives_none(tree: Tree, path: str) -> None:
    make(tree, "/d/", "/d/f")

    assert tree.find(VPath(path)) is None
    assert tree.find_entry(VPath(path)) is None
    assert tree.find_content(VPath(path)) is None
    assert tree.find_stat(VPath(path), 1, "local") is None


def test_find_whiteout_gives_none(tree: Tree) -> None:
    with tree._store.transaction:
        tree._store.write(WHITEOUT)

    assert tree.find(VPath("/w")) is None
    assert tree.find_entry(VPath("/w")) is None
    assert (tree.names(ROOT), tree.kinds(ROOT), tree.children(ROOT)) == ([], [], [])
    assert all_of(tree) == []


def test_add_onto_whiteout_clears_it(tree: Tree) -> None:
    with tree._store.transaction:
        tree._store.write(WHITEOUT)

    make(tree, "/w")

    assert tree.names(ROOT) == ["w"]


def test_read_missing_inode_gives_none(tree: Tree) -> None:
    assert tree.read(InodeId(999)) is None


def test_names_are_in_code_point_order(tree: Tree) -> None:
    names = ["B", "a", "a-", "a0", "é", "\uffff", "\U0001f600", " ", "~", "%", "_"]
    make(tree, *("/" + name for name in names))

    assert tree.names(ROOT) == sorted(names)
    assert [name for name, _ in tree.kinds(ROOT)] == sorted(names)
    assert [name for name, _ in tree.children(ROOT)] == sorted(names)


def test_children_bring_what_find_brings(tree: Tree) -> None:
    make(tree, "/d/", "/d/sub/", "/d/f")
    with tree._store.transaction:
        tree.add(VPath("/d/l"), LINK_MODE, AT, size=1, target="f")

    children = tree.children(VPath("/d"))

    assert [name for name, _ in children] == ["f", "l", "sub"]
    assert all(inode == found(tree, f"/d/{name}") for name, inode in children)


# --- everything below -----------------------------------------------------------------


@pytest.mark.parametrize("count", [0, 1, 2, 3, 4, 5, 6, 7])
def test_below_across_pages_yields_each_once(
    tree: Tree, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_tree, "_PAGE", 3)
    make(tree, "/d/", *(f"/d/{n}" for n in range(count)), "/d0", "/e")

    assert list(tree.below(VPath("/d"), "*")) == [("/d/", str(n)) for n in range(count)]


@pytest.mark.slow
@pytest.mark.parametrize("count", [4095, 4096, 4097, 8200])
def test_below_more_than_a_page_yields_each_once(tree: Tree, count: int) -> None:
    paths = [f"/d/{n:05}" for n in range(count)]
    make(tree, "/d/", *paths, "/e")

    assert [parent + name for parent, name in tree.below(VPath("/d"), "*")] == paths


def test_below_page_border_between_directories_loses_none(
    tree: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_tree, "_PAGE", 2)
    inside = ["/d/a/", "/d/a/1", "/d/a/2", "/d/a-b", "/d/b/", "/d/b/1", "/d/c"]
    make(tree, "/d/", *inside, "/d-x/", "/d-x/1", "/da")

    below = [parent + name for parent, name in tree.below(VPath("/d"), "*")]

    assert sorted(below) == sorted(path.rstrip("/") for path in inside)


@pytest.mark.parametrize("name_glob", ["*.py", "a*", "?", "*"])
def test_below_filter_yields_only_what_matches(
    tree: Tree, name_glob: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_tree, "_PAGE", 2)
    make(tree, "/d/", "/d/a.py", "/d/b.py", "/d/b", "/d/c.txt", "/d/e/", "/d/e/a.py")
    expected = {
        "*.py": ["/d/a.py", "/d/b.py", "/d/e/a.py"],
        "a*": ["/d/a.py", "/d/e/a.py"],
        "?": ["/d/b", "/d/e"],
        "*": ["/d/a.py", "/d/b", "/d/b.py", "/d/c.txt", "/d/e", "/d/e/a.py"],
    }

    below = [parent + name for parent, name in tree.below(VPath("/d"), name_glob)]

    assert below == expected[name_glob]


def test_below_changed_meanwhile_goes_on_behind_the_last(
    tree: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_tree, "_PAGE", 2)
    make(tree, "/a", "/b", "/c", "/d")
    steps = tree.below(ROOT, "*")

    first = list(itertools.islice(steps, 2))
    make(tree, "/aa", "/z")
    rest = list(steps)

    assert [name for _, name in first + rest] == ["a", "b", "c", "d", "z"]


@pytest.mark.parametrize(
    ("top", "longest"), [("/d", "/d/sub/éé"), ("/d/sub", "/d/sub/éé"), ("/e", "")]
)
def test_longest_below_counts_bytes_of_the_longest_path(
    tree: Tree, top: str, longest: str
) -> None:
    make(tree, "/d/", "/d/sub/", "/d/sub/éé", "/d/sub/abc", "/e/")

    assert tree.longest_below(VPath(top)) == len(longest.encode())


# --- names and links ------------------------------------------------------------------


def test_add_link_gives_one_more_name_to_one_inode(tree: Tree) -> None:
    make(tree, "/a")

    with tree._store.transaction:
        tree.add_link(VPath("/b"), found(tree, "/a"), 2 * AT)

    assert found(tree, "/a") == found(tree, "/b")
    assert found(tree, "/a").nlink == 2
    assert found(tree, "/a").ctime_ns == 2 * AT


def test_unlink_one_of_two_names_keeps_the_inode(tree: Tree) -> None:
    make(tree, "/a")
    with tree._store.transaction:
        tree.add_link(VPath("/b"), found(tree, "/a"), AT)

    with tree._store.transaction:
        tree.unlink(VPath("/a"), found(tree, "/a"), AT)

    assert all_of(tree) == ["/b"]
    assert found(tree, "/b").nlink == 1


def test_unlink_last_name_removes_inode_chunks_and_attributes(
    mem: VirtualFileSystem, tree: Tree
) -> None:
    mem.write_bytes("/a", b"x" * 100_000)
    mem.setxattr("/a", "k", b"v")

    with tree._store.transaction:
        tree.unlink(VPath("/a"), found(tree, "/a"), AT)

    tables = ("inodes", "chunks", "xattrs")
    rows = [tree._store.row(f"SELECT count(*) FROM {name}")[0] for name in tables]
    assert rows == [1, 0, 0]  # the root's inode


# --- moving: neighbours with the same prefix stay -------------------------------------

NEIGHBOURS = [
    "/a-b/",
    "/a-b/x",
    "/ab/",
    "/ab/x",
    "/a0/",
    "/a0/x",
    "/A/",
    "/A/x",
    "/a.x",
]
INSIDE = ["/a/", "/a/x", "/a/a/", "/a/a/x", "/a/%_/", "/a/%_/'é", "/a/0"]


@pytest.mark.parametrize("dst", ["/b", "/a-", "/ab/a", "/verylongname", "/a-b/é"])
def test_move_directory_takes_what_is_below_and_no_neighbour(
    tree: Tree, dst: str
) -> None:
    make(tree, *NEIGHBOURS, *INSIDE)
    before = {path: found(tree, path).id for path in all_of(tree)}

    with tree._store.transaction:
        tree.move(VPath("/a"), VPath(dst), directory=True)

    def moved(path: str) -> str:
        inside = is_within(VPath(path), VPath("/a"))
        return dst + path.removeprefix("/a") if inside else path

    expected = {moved(path): inode for path, inode in before.items()}
    assert {path: found(tree, path).id for path in all_of(tree)} == expected


def test_move_file_takes_only_it(tree: Tree) -> None:
    make(tree, *NEIGHBOURS, "/a")
    inode = found(tree, "/a").id

    with tree._store.transaction:
        tree.move(VPath("/a"), VPath("/ab/y"), directory=False)

    assert found(tree, "/ab/y").id == inode
    assert tree.find(VPath("/a")) is None
    assert len(all_of(tree)) == len(NEIGHBOURS) + 1


NAMES = st.sampled_from(["a", "a-", "a0", "ab", "A", "é", "%"])


@given(
    paths=st.lists(st.lists(NAMES, min_size=1, max_size=3), min_size=1, max_size=10),
    top=NAMES,
)
def test_remove_tree_any_shape_removes_exactly_what_lies_below(
    paths: list[list[str]], top: str
) -> None:
    directories = {
        VPath("/" + "/".join(names[:depth]))
        for names in [*paths, [top]]
        for depth in range(1, len(names) + 1)
    }
    with VirtualFileSystem() as vfs:
        tree = tree_of(vfs)
        make(tree, *(path + "/" for path in sorted(directories)))
        gone = VPath("/" + top)

        with tree._store.transaction:
            tree.remove_tree(gone, found(tree, gone).id, AT)

        left = {path for path in directories if not is_within(path, gone)}
        assert set(all_of(tree)) == left
        assert count_inodes(tree) == len(left)
        assert vfs.check() == []


# --- removing trees with hard links ---------------------------------------------------


def link(tree: Tree, src: str, *names: str) -> None:
    with tree._store.transaction:
        for name in names:
            tree.add_link(VPath(name), found(tree, src), AT)


def remove_tree(tree: Tree, path: str) -> None:
    with tree._store.transaction:
        tree.remove_tree(VPath(path), found(tree, path).id, 3 * AT)


def test_remove_tree_link_from_outside_keeps_the_file(
    mem: VirtualFileSystem, tree: Tree
) -> None:
    make(tree, "/d/", "/d/sub/")
    mem.write_bytes("/d/f", b"x" * 100_000)
    mem.setxattr("/d/f", "k", b"v")
    link(tree, "/d/f", "/d/sub/g", "/outside")

    remove_tree(tree, "/d")

    assert all_of(tree) == ["/outside"]
    assert (found(tree, "/outside").nlink, count_inodes(tree)) == (1, 1)
    assert mem.read_bytes("/outside") == b"x" * 100_000
    assert mem.getxattr("/outside", "k") == b"v"
    assert found(tree, "/outside").ctime_ns == 3 * AT


def test_remove_tree_all_links_inside_removes_the_file(tree: Tree) -> None:
    make(tree, "/d/", "/d/sub/", "/d/f", "/keep")
    link(tree, "/d/f", "/d/g", "/d/sub/h")

    remove_tree(tree, "/d")

    assert (all_of(tree), count_inodes(tree)) == (["/keep"], 1)


# --- attributes -----------------------------------------------------------------------


def test_set_attributes_change_what_they_name_and_the_change_time(tree: Tree) -> None:
    make(tree, "/f")
    inode = found(tree, "/f")

    with tree._store.transaction:
        tree.set_mode(inode.id, 0o100600, 2 * AT)
        tree.set_owner(inode.id, (1, 2, "ann", "staff"), 3 * AT)
        tree.set_times(inode.id, 5, 6, 4 * AT)
        tree.set_xattr(inode.id, "k", b"v", 7 * AT)

    expected = inode._replace(
        mode=0o100600,
        uid=1,
        gid=2,
        owner="ann",
        group="staff",
        atime_ns=5,
        mtime_ns=6,
        ctime_ns=7 * AT,
        generation=inode.generation + 4,
    )
    assert found(tree, "/f") == expected


def test_copy_xattrs_adds_and_overwrites(tree: Tree) -> None:
    make(tree, "/f", "/g")
    source, target = found(tree, "/f").id, found(tree, "/g").id

    with tree._store.transaction:
        tree.set_xattr(source, "a", b"new", AT)
        tree.set_xattr(source, "b", json.dumps({}).encode(), AT)
        tree.set_xattr(target, "a", b"old", AT)
        tree.set_xattr(target, "c", b"kept", AT)
        tree.copy_xattrs(source, target)

    assert tree.xattrs(target) == {"a": b"new", "b": b"{}", "c": b"kept"}


def test_stamp_directory_sets_its_times_only(tree: Tree) -> None:
    make(tree, "/d/", "/e/")
    before = found(tree, "/d"), found(tree, "/e")

    with tree._store.transaction:
        tree.stamp_directory(VPath("/d"), 9 * AT)

    stamped = before[0]._replace(
        mtime_ns=9 * AT, ctime_ns=9 * AT, generation=before[0].generation + 1
    )
    assert (found(tree, "/d"), found(tree, "/e")) == (stamped, before[1])
