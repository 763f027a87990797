"""Diff: what the local layer changes of what the underlays show together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from tests import ground
from tests.api.looking import Stack, delete, put, stacked

from stratavfs.records import Change

if TYPE_CHECKING:
    from collections.abc import Callable

    from stratavfs import VirtualFileSystem


@pytest.fixture
def stack(make_vfs: Any) -> Any:
    return stacked(make_vfs)


@pytest.fixture
def over(make_vfs: Any) -> Any:
    """A file system over a base with some of everything; nothing below is changed."""
    base, vfs = make_vfs(chunk_size=64), make_vfs(chunk_size=3)
    for path in ("/f", "/g", "/d/x", "/d/y", "/d/sub/z", "/d/sub/deep/w"):
        base.write_bytes(path, b"base " + path.encode())
    base.setxattr("/f", "user.a", b"1")
    base.symlink("f", "/link")
    before = ground.dump(base._store._cx)
    vfs.add_underlay(base, name="base")
    yield vfs
    assert ground.dump(base._store._cx) == before


def renew(vfs: VirtualFileSystem, path: str) -> object:
    """Remove what is at *path* and make an opaque directory of it."""
    (vfs.rmtree if vfs.isdir(path) else vfs.remove)(path)
    vfs.mkdir(path)
    return path


def become_link(vfs: VirtualFileSystem) -> None:
    vfs.remove("/f")
    vfs.symlink("g", "/f")


def lead_elsewhere(vfs: VirtualFileSystem) -> None:
    vfs.remove("/link")
    vfs.symlink("g", "/link")


def touch_and_take_back(vfs: VirtualFileSystem) -> None:
    found = vfs.stat("/f")
    vfs.touch("/f")
    vfs.utime("/f", ns=(found.st_atime_ns, found.st_mtime_ns))


def change_and_take_back(vfs: VirtualFileSystem) -> None:
    found = vfs.stat("/f")
    vfs.write_bytes("/f", b"other")
    vfs.write_bytes("/f", b"base /f")
    vfs.utime("/f", ns=(found.st_atime_ns, found.st_mtime_ns))


def make_again(vfs: VirtualFileSystem) -> None:
    """Make a directory opaque that holds what there was, and hides nothing more."""
    kept = vfs.read_bytes("/d/sub/deep/w")
    renew(vfs, "/d/sub/deep")
    vfs.write_bytes("/d/sub/deep/w", kept)


def remove_what_was_added(vfs: VirtualFileSystem) -> None:
    put(vfs, "/new/x")
    vfs.rmtree("/new")


CHANGES: dict[str, tuple[Callable[[VirtualFileSystem], object], list[str]]] = {
    "nothing": (lambda vfs: vfs.read_bytes("/f"), []),
    "added": (lambda vfs: put(vfs, "/n/x"), ["added /n", "added /n/x"]),
    "link added": (lambda vfs: vfs.symlink("f", "/n"), ["added /n"]),
    "modified": (lambda vfs: vfs.write_bytes("/f", b"x"), ["modified /f"]),
    "cut": (lambda vfs: vfs.truncate("/f", 3), ["modified /f"]),
    "link elsewhere": (lead_elsewhere, ["modified /link"]),
    "deleted": (lambda vfs: vfs.remove("/f"), ["deleted /f"]),
    "directory deleted": (lambda vfs: vfs.rmtree("/d"), ["deleted /d"]),
    "type changed": (become_link, ["type changed /f"]),
    "file to directory": (
        lambda vfs: (renew(vfs, "/f"), put(vfs, "/f/x")),
        ["type changed /f", "added /f/x"],
    ),
    "directory to file": (
        lambda vfs: (vfs.rmtree("/d"), put(vfs, "/d")),
        ["type changed /d"],
    ),
    "renamed": (lambda vfs: vfs.rename("/f", "/n"), ["deleted /f", "added /n"]),
    "hard link": (lambda vfs: vfs.link("/f", "/n"), ["added /n"]),
    "chmod": (lambda vfs: vfs.chmod("/f", 0o600), ["metadata /f"]),
    "chmod of a directory": (lambda vfs: vfs.chmod("/d", 0o700), ["metadata /d"]),
    "chown": (lambda vfs: vfs.chown("/f", 5, 6), ["metadata /f"]),
    "chown by name": (lambda vfs: vfs.chown("/f", "ann"), ["metadata /f"]),
    "setxattr": (lambda vfs: vfs.setxattr("/f", "user.b", b""), ["metadata /f"]),
    "xattr replaced": (lambda vfs: vfs.setxattr("/f", "user.a", b"2"), ["metadata /f"]),
    "removexattr": (lambda vfs: vfs.removexattr("/f", "user.a"), ["metadata /f"]),
    "mtime": (lambda vfs: vfs.utime("/f", ns=(1, 2)), ["metadata /f"]),
    "touched": (lambda vfs: vfs.touch("/f"), ["metadata /f"]),
    "touched and taken back": (touch_and_take_back, []),
    "changed and taken back": (change_and_take_back, []),
    "the same mode": (lambda vfs: vfs.chmod("/f", 0o644), []),
    "opened for update": (lambda vfs: vfs.open("/f", "r+b").close(), []),
    "only the directory came up": (
        lambda vfs: vfs.remove("/d/x"),
        ["deleted /d/x"],
    ),
    "opaque directory": (
        lambda vfs: (renew(vfs, "/d"), put(vfs, "/d/n", "/d/y")),
        ["added /d/n", "deleted /d/sub", "deleted /d/x", "modified /d/y"],
    ),
    "directory in an opaque one": (
        lambda vfs: (renew(vfs, "/d"), put(vfs, "/d/sub/n")),
        [
            "deleted /d/sub/deep",
            "added /d/sub/n",
            "deleted /d/sub/z",
            "deleted /d/x",
            "deleted /d/y",
        ],
    ),
    "opaque and the same": (make_again, ["metadata /d/sub/deep/w"]),
    "whiteout over nothing": (remove_what_was_added, []),
    "sorted": (
        lambda vfs: put(vfs, "/n/x", "/n-n", "/n0"),
        ["added /n", "added /n-n", "added /n/x", "added /n0"],
    ),
}


@pytest.mark.parametrize("case", CHANGES)
def test_diff_tells_what_is_changed(over: VirtualFileSystem, case: str) -> None:
    act, expected = CHANGES[case]
    act(over)
    before = ground.dump(over._store._cx)

    found = over.diff()

    assert [str(change) for change in found] == expected
    assert ground.dump(over._store._cx) == before


def test_diff_of_a_whiteout_that_hides_nothing_any_more_is_none(stack: Stack) -> None:
    put(stack.base, "/p", "/d/x")
    stack.local.remove("/p")
    stack.local.rmtree("/d")
    assert stack.local.diff() == [Change("/d", "deleted"), Change("/p", "deleted")]

    stack.local.remove_underlay("base")

    assert stack.local.diff() == []


def test_diff_without_underlays_says_that_all_is_added(mem: VirtualFileSystem) -> None:
    put(mem, "/a/x")
    mem.symlink("a", "/l")

    assert [*map(str, mem.diff())] == ["added /a", "added /a/x", "added /l"]


def test_diff_is_relative_to_what_the_underlays_show_together(stack: Stack) -> None:
    stack.base.write_bytes("/p", b"base")
    stack.mod.write_bytes("/p", b"mod")
    stack.local.write_bytes("/p", b"base")
    put(stack.base, "/q")
    delete(stack.mod, "/q")
    put(stack.local, "/q")

    assert [*map(str, stack.local.diff())] == ["modified /p", "added /q"]


def test_diff_with_a_mounted_layer_is_relative_to_it(make_vfs: Any) -> None:
    vfs, dlc = make_vfs(), make_vfs()
    put(dlc, "/x", "/y")
    vfs.add_underlay(dlc, at="/dlc")
    put(vfs, "/dlc/x", "/x")
    vfs.remove("/dlc/y")

    assert [*map(str, vfs.diff())] == ["modified /dlc/x", "deleted /dlc/y", "added /x"]


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/d", ["metadata /d", "deleted /d/x", "modified /d/y"]),
        ("d//x/..", ["metadata /d", "deleted /d/x", "modified /d/y"]),
        ("/d/x", ["deleted /d/x"]),
        ("/d/y", ["modified /d/y"]),
        ("/opaque/hidden", ["deleted /opaque/hidden"]),
        ("/way/x", ["deleted /d/x"]),
        ("/d/sub", []),
        ("/missing", []),
    ],
)
def test_diff_of_a_path_tells_of_it_and_what_is_below(
    make_vfs: Any, path: str, expected: list[str]
) -> None:
    vfs, base = make_vfs(), make_vfs()
    put(base, "/d/x", "/d/y", "/d/sub/z", "/opaque/hidden", "/dd")
    base.symlink("d", "/way")
    vfs.add_underlay(base)
    put(vfs, "/d/y", "/dd")
    vfs.remove("/d/x")
    vfs.chmod("/d", 0o700)
    renew(vfs, "/opaque")

    assert [*map(str, vfs.diff(path))] == expected


def test_change_prints_kind_and_path() -> None:
    assert str(Change("/p", "type changed")) == "type changed /p"
