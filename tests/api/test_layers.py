"""Layers: what the stack shows, what it writes where, and what it refuses.

The first part names the failures that users of other layered file systems have met.
"""

from __future__ import annotations

import math
import os
import stat
from typing import TYPE_CHECKING, Any

import pytest
from tests import ground

from stratavfs import VirtualFileSystem
from stratavfs.layers import DirectoryLayer

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


Make = "Callable[..., VirtualFileSystem]"
Tree = dict[str, bytes | str | None]

BASE: Tree = {
    "/a": b"base a",
    "/ab": b"base ab",
    "/d": None,
    "/d/f": b"base f",
    "/d/g": b"base g",
    "/d/sub": None,
    "/d/sub/h": b"base h",
    "/link": "d/f",
}


def tree_of(vfs: VirtualFileSystem) -> Tree:
    """Return every path with bytes, the target of a link, or None."""
    tree: Tree = {}
    for path in vfs.glob("**/*"):
        if vfs.islink(path):
            tree[path] = vfs.readlink(path)
        else:
            tree[path] = vfs.read_bytes(path) if vfs.isfile(path) else None
    return tree


def without(*gone: str) -> Tree:
    """Return BASE without *gone* and all below."""
    return {
        path: found
        for path, found in BASE.items()
        if not any(path == name or path.startswith(name + "/") for name in gone)
    }


def fill(vfs: VirtualFileSystem, tree: Tree) -> None:
    for path, content in tree.items():
        if content is None:
            vfs.makedirs(path)
        elif isinstance(content, str):
            vfs.symlink(content, path)
        else:
            vfs.write_bytes(path, content)


def rows_of(vfs: VirtualFileSystem) -> ground.Dump:
    return ground.dump(vfs._store._cx)


@pytest.fixture
def base(make_vfs: Any) -> Any:
    """What lies below, in memory; each test asserts what it shows from above."""
    vfs = make_vfs(chunk_size=4)
    fill(vfs, BASE)
    return vfs


@pytest.fixture
def location(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return str(tmp_path / "local.db")


@pytest.fixture(params=["memory", "file"])
def vfs(request: pytest.FixtureRequest, make_vfs: Any, location: str, base: Any) -> Any:
    """A writable local layer over *base*, which stays as it is."""
    vfs = make_vfs(":memory:" if request.param == "memory" else location, 3)
    assert vfs.add_underlay(base, name="base") == "base"
    before = rows_of(base)
    yield vfs
    if not base.closed:
        assert rows_of(base) == before


@pytest.fixture
def reopened(make_vfs: Any, location: str, base: Any) -> Any:
    """Return a maker of the same stack after all was closed; *act* comes before."""

    def reopen(act: Callable[[VirtualFileSystem], object]) -> VirtualFileSystem:
        with VirtualFileSystem(location) as first:
            first.add_underlay(base)
            act(first)
        again: VirtualFileSystem = make_vfs(location)
        again.add_underlay(base)
        return again

    return reopen


# --- failures that others have had ----------------------------------------------------


@pytest.mark.parametrize("path", ["/d/f", "/link"])
def test_open_to_append_to_a_base_file_keeps_its_content(
    vfs: VirtualFileSystem, path: str
) -> None:
    with vfs.open(path, "ab") as f:
        f.write(b"+more")

    assert vfs.read_bytes("/d/f") == b"base f+more"


def test_open_to_update_a_base_file_keeps_the_rest(vfs: VirtualFileSystem) -> None:
    with vfs.open("/d/f", "r+b") as f:
        f.seek(2)
        f.write(b"XY")

    assert vfs.read_bytes("/d/f") == b"baXY f"


def test_remove_a_base_file_hides_it(
    vfs: VirtualFileSystem, base: VirtualFileSystem
) -> None:
    vfs.remove("/d/f")

    assert tree_of(vfs) == without("/d/f")
    assert vfs.which_layer("/d/f") is None
    with pytest.raises(FileNotFoundError) as caught:
        vfs.read_bytes("/d/f")
    assert caught.value.filename == "/d/f"
    assert tree_of(base) == BASE


@pytest.mark.parametrize("verb", ["rename", "replace", "move"])
def test_rename_a_base_file_moves_it(vfs: VirtualFileSystem, verb: str) -> None:
    getattr(vfs, verb)("/d/f", "/moved")

    assert tree_of(vfs) == without("/d/f") | {"/moved": b"base f"}


def test_remove_an_override_leaves_the_name_deleted(vfs: VirtualFileSystem) -> None:
    vfs.write_bytes("/a", b"override")

    vfs.remove("/a")

    assert tree_of(vfs) == without("/a")


@pytest.mark.parametrize("verb", ["rename", "replace", "move"])
def test_rename_a_base_directory_takes_its_children(
    vfs: VirtualFileSystem, verb: str
) -> None:
    vfs.write_bytes("/d/local", b"l")
    vfs.remove("/d/g")

    getattr(vfs, verb)("/d", "/r")

    assert tree_of(vfs) == without("/d") | {
        "/r": None,
        "/r/f": b"base f",
        "/r/local": b"l",
        "/r/sub": None,
        "/r/sub/h": b"base h",
    }


def test_remove_what_a_patch_has_deleted_and_made_again(
    make_vfs: Any, vfs: VirtualFileSystem, base: VirtualFileSystem
) -> None:
    patch = make_vfs()
    patch.add_underlay(base)
    patch.remove("/a")  # a whiteout in the patch
    vfs.add_underlay(patch, priority=1)

    with pytest.raises(FileNotFoundError) as caught:
        vfs.remove("/a")
    vfs.write_bytes("/a", b"again")
    vfs.remove("/a")  # may leave one above that

    assert caught.value.filename == "/a"
    assert tree_of(vfs) == without("/a")


def test_opaque_directory_may_have_whiteouts_inside(vfs: VirtualFileSystem) -> None:
    vfs.rmtree("/d")
    vfs.mkdir("/d")
    vfs.write_bytes("/d/f", b"new")
    vfs.remove("/d/f")
    vfs.write_bytes("/d/other", b"other")

    assert tree_of(vfs) == without("/d") | {"/d": None, "/d/other": b"other"}
    vfs.remove("/d/other")
    vfs.rmdir("/d")
    assert tree_of(vfs) == without("/d")


def test_whiteout_in_the_root_hides_only_its_own_name(vfs: VirtualFileSystem) -> None:
    vfs.remove("/a")

    assert vfs.listdir("/") == ["ab", "d", "link"]
    assert vfs.read_bytes("/ab") == b"base ab"


def test_remove_all_there_is_leaves_an_empty_root(vfs: VirtualFileSystem) -> None:
    for name in ("/a", "/ab", "/link"):
        vfs.remove(name)
    vfs.rmtree("/d")

    assert (vfs.listdir("/"), tree_of(vfs)) == ([], {})
    assert vfs.isdir("/")


@pytest.mark.parametrize("verb", ["rename", "replace", "move"])
@pytest.mark.parametrize("src", ["/ab", "/new", "/d"])
def test_rename_over_a_whiteout_clears_it(
    vfs: VirtualFileSystem, verb: str, src: str
) -> None:
    vfs.write_bytes("/new", b"new")
    before = {path: found for path, found in tree_of(vfs).items() if path != "/a"}
    vfs.remove("/a")

    getattr(vfs, verb)(src, "/a")

    moved = [path for path in before if path == src or path.startswith(src + "/")]
    for path in moved:
        before["/a" + path.removeprefix(src)] = before.pop(path)
    assert tree_of(vfs) == before


def test_symlink_over_a_whiteout_survives_reopening(reopened: Any) -> None:
    def act(vfs: VirtualFileSystem) -> None:
        vfs.remove("/a")
        vfs.symlink("d/f", "/a")

    vfs = reopened(act)

    assert tree_of(vfs) == BASE | {"/a": "d/f"}
    assert vfs.read_bytes("/a") == b"base f"


def test_chmod_a_base_file_changes_nothing_else(
    vfs: VirtualFileSystem, base: VirtualFileSystem
) -> None:
    before = base.stat("/a")

    vfs.chmod("/a", 0o600)

    after = vfs.stat("/a")
    assert stat.S_IMODE(after.st_mode) == 0o600
    assert after.st_mtime_ns == before.st_mtime_ns
    assert tree_of(vfs) == BASE
    assert base.stat("/a") == before


def test_file_above_a_directory_hides_all_of_it(vfs: VirtualFileSystem) -> None:
    vfs.rmtree("/d")
    vfs.write_bytes("/d", b"a file")

    assert tree_of(vfs) == without("/d") | {"/d": b"a file"}
    with pytest.raises(NotADirectoryError) as caught:
        vfs.read_bytes("/d/f")
    assert caught.value.filename == "/d/f"
    vfs.remove("/d")
    assert tree_of(vfs) == without("/d")


def test_directory_above_a_file_hides_it(vfs: VirtualFileSystem) -> None:
    vfs.remove("/a")
    vfs.write_bytes("/a/inner", b"1")

    assert tree_of(vfs) == BASE | {"/a": None, "/a/inner": b"1"}
    vfs.rmtree("/a")
    assert tree_of(vfs) == without("/a")


def test_file_between_two_directories_ends_the_merge(
    make_vfs: Any, vfs: VirtualFileSystem
) -> None:
    between = make_vfs()
    between.write_bytes("/d", b"a file")
    vfs.write_bytes("/d/local", b"l")

    vfs.add_underlay(between, priority=1)

    assert tree_of(vfs) == without("/d") | {"/d": None, "/d/local": b"l"}


# --- adding, removing and listing -----------------------------------------------------


def test_add_underlay_without_a_name_gives_one_that_is_free(
    vfs: VirtualFileSystem, make_vfs: Any
) -> None:
    first, second = vfs.add_underlay(make_vfs()), vfs.add_underlay(make_vfs())
    vfs.remove_underlay(first)
    third, fourth = vfs.add_underlay(make_vfs()), vfs.add_underlay(make_vfs())

    assert (first, second) == ("underlay_0", "underlay_1")
    assert len({"local", "base", second, third, fourth}) == 5
    assert {third, fourth} <= {f"underlay_{number}" for number in range(10)}


def test_add_underlay_when_the_next_name_is_taken_gives_another(
    vfs: VirtualFileSystem, make_vfs: Any
) -> None:
    vfs.add_underlay(make_vfs(), name="underlay_0")

    assert vfs.add_underlay(make_vfs()) == "underlay_1"


def test_remove_underlay_takes_its_files_away(vfs: VirtualFileSystem) -> None:
    vfs.write_bytes("/d/mine", b"1")

    removed = vfs.remove_underlay("base")

    assert removed is True
    assert tree_of(vfs) == {"/d": None, "/d/mine": b"1"}
    assert vfs.remove_underlay("base") is False


def test_list_layers_names_all_in_order(vfs: VirtualFileSystem, tmp_path: Path) -> None:
    location = str(tmp_path / "dlc.db")
    VirtualFileSystem(location).close()
    vfs.add_underlay(location, 7, "dlc", at="/m/n")
    vfs.add_underlay(DirectoryLayer(tmp_path), -1)

    local, *others = vfs.list_layers()

    assert (local["name"], local["priority"]) == ("local", math.inf)
    assert (local["writable"], local["db_path"]) == (True, vfs.db_path)
    keys = ("name", "priority", "db_path", "writable", "kind", "at")
    assert [tuple(other[key] for key in keys) for other in others] == [
        ("dlc", 7, location, False, "container", "/m/n"),
        ("base", 0, ":memory:", False, "memory", "/"),
        ("underlay_0", -1, str(tmp_path), False, "directory", "/"),
    ]


def test_equal_priorities_answer_in_the_order_of_adding(
    vfs: VirtualFileSystem, make_vfs: Any
) -> None:
    for name in ("one", "two"):
        layer = make_vfs()
        layer.write_text("/same", name)
        layer.write_text("/a", name)
        vfs.add_underlay(layer, name=name)

    assert vfs.read_text("/same") == "one"
    assert vfs.read_text("/a") == "base a"
    vfs.set_priority("two", 1)
    assert (vfs.read_text("/same"), vfs.read_text("/a")) == ("two", "two")
    vfs.set_priority("two", -1)
    assert (vfs.read_text("/same"), vfs.read_text("/a")) == ("one", "base a")


def test_which_layer_names_who_answers(vfs: VirtualFileSystem, make_vfs: Any) -> None:
    top = make_vfs()
    top.write_bytes("/a", b"top")
    vfs.add_underlay(top, 1, "top")
    vfs.write_bytes("/ab", b"local")

    paths = ("/a", "/ab", "/d/f", "/d", "/", "/no")
    assert [vfs.which_layer(path) for path in paths] == [
        *("top", "local", "base", "base", "local", None)
    ]
    assert [vfs.stat(path).source_layer for path in paths[:-1]] == [
        *("top", "local", "base", "base", "local")
    ]


def test_which_layer_detailed_says_who_has_it(
    vfs: VirtualFileSystem, make_vfs: Any
) -> None:
    vfs.add_underlay(make_vfs(), 1, "empty")
    vfs.write_bytes("/a", b"local")

    assert vfs.which_layer_detailed("//a/") == {
        "path": "/a",
        "resolved_from": "local",
        "layers": [
            {"name": "local", "has_file": True},
            {"name": "empty", "has_file": False},
            {"name": "base", "has_file": True},
        ],
    }
    missing = vfs.which_layer_detailed("/no")
    assert missing["resolved_from"] is None


def test_source_layer_of_a_nested_layer_is_its_name_as_added(
    make_vfs: Any, vfs: VirtualFileSystem
) -> None:
    outer = make_vfs()

    outer.add_underlay(vfs, name="outer")

    assert outer.stat("/a").source_layer == "outer"
    assert outer.which_layer("/a") == "outer"
    assert [layer["name"] for layer in outer.list_layers()] == ["local", "outer"]


def test_mount_at_a_prefix_shows_it_there_and_nowhere_else(
    make_vfs: Any, base: VirtualFileSystem
) -> None:
    vfs = make_vfs()

    vfs.add_underlay(base, at="/m/n/")

    expected: Tree = {"/m/n" + path: content for path, content in BASE.items()}
    assert tree_of(vfs) == {"/m": None, "/m/n": None} | expected
    assert vfs.read_bytes("/m/n/link") == b"base f"
    vfs.write_bytes("/m/n/d/f", b"new")
    vfs.rename("/m/n/d", "/d")
    assert vfs.listdir("/m/n") == ["a", "ab", "link"]
    assert vfs.read_bytes("/d/f") == b"new"
    vfs.rmtree("/m")
    assert vfs.listdir("/") == ["d"]


def attributes_of(vfs: VirtualFileSystem, path: str) -> tuple[object, ...]:
    found = vfs.stat(path)
    return found.st_mode, found.st_mtime_ns, vfs.listxattr(path)


@pytest.mark.parametrize("verb", ["rename", "replace", "move", "copytree"])
def test_mount_point_keeps_the_attributes_of_the_root_mounted_there(
    make_vfs: Any, verb: str
) -> None:
    base, vfs = make_vfs(), make_vfs()
    base.chmod("/", 0o700)
    base.setxattr("/", "user.x", b"1")
    base.utime("/", ns=(5, 6))
    known = attributes_of(base, "/")
    vfs.add_underlay(base, at="/m/n")

    [scanned] = vfs.scandir("/m")
    before = attributes_of(vfs, "/m/n")
    getattr(vfs, verb)("/m", "/moved")

    assert scanned.stat() == base.stat("/")._replace(
        st_dev=scanned.stat().st_dev, source_layer="underlay_0"
    )
    assert before == known
    assert attributes_of(vfs, "/moved/n") == known


@pytest.mark.parametrize("verb", ["flatten", "apply_to"])
def test_two_names_of_a_symlink_stay_one_link_in_another(
    make_vfs: Any, verb: str
) -> None:
    vfs, target = make_vfs(), make_vfs()
    vfs.symlink("nowhere", "/one")
    vfs.link("/one", "/two", follow_symlinks=False)

    getattr(vfs, verb)(target)

    assert target.lstat("/one").st_nlink == 2
    assert os.path.samestat(target.lstat("/one"), target.lstat("/two"))
