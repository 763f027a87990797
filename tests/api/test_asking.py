"""Asking: kinds, sizes, times, and what raises a generation."""

from __future__ import annotations

import errno
import os
import stat
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from stratavfs import StatResult, VirtualFileSystem

Change = tuple[str, Any]


@pytest.fixture
def kinds(mem: VirtualFileSystem) -> VirtualFileSystem:
    """A file, a directory, links to both, and one that leads nowhere."""
    mem.write_bytes("/file", b"data")
    mem.mkdir("/dir")
    mem.symlink("file", "/to-file")
    mem.symlink("dir", "/to-dir")
    mem.symlink("nowhere", "/dangling")
    return mem


@pytest.mark.parametrize(
    ("path", "exists", "lexists", "isfile", "isdir", "islink"),
    [
        ("/", True, True, False, True, False),
        ("/file", True, True, True, False, False),
        ("/dir", True, True, False, True, False),
        ("/to-file", True, True, True, False, True),
        ("/to-dir", True, True, False, True, True),
        ("/dangling", False, True, False, False, True),
        ("/missing", False, False, False, False, False),
        ("/file/x", False, False, False, False, False),
        ("/missing/x", False, False, False, False, False),
    ],
)
def test_ask_of_each_kind_answers(
    kinds: VirtualFileSystem,
    path: str,
    exists: bool,
    lexists: bool,
    isfile: bool,
    isdir: bool,
    islink: bool,
) -> None:
    assert kinds.exists(path) is exists
    assert kinds.lexists(path) is lexists
    assert kinds.isfile(path) is isfile
    assert kinds.isdir(path) is isdir
    assert kinds.islink(path) is islink


def test_stat_of_a_new_file_has_the_documented_values(
    make_vfs: Callable[..., VirtualFileSystem], clock: Any
) -> None:
    vfs = make_vfs(clock=clock)
    vfs.write_bytes("/f", b"data")

    found = vfs.stat("/f")

    assert found.st_mode == 0o100644
    assert (found.st_uid, found.st_gid, found.owner, found.group) == (0, 0, "", "")
    assert (found.st_nlink, found.st_size, found.size) == (1, 4, 4)
    assert found.st_mtime_ns == found.st_ctime_ns == found.st_birthtime_ns
    assert found.st_atime_ns == found.st_mtime_ns
    assert found.source_layer == "local"
    assert not found.is_directory


def test_stat_of_a_directory_has_the_documented_values(mem: VirtualFileSystem) -> None:
    mem.makedirs("/d/sub")

    found = mem.stat("/d")

    assert found.st_mode == 0o40755
    assert (found.st_nlink, found.st_size) == (1, 0)
    assert found.is_directory


def test_lstat_of_a_link_has_the_bytes_of_its_target(mem: VirtualFileSystem) -> None:
    mem.symlink("één", "/link")

    found = mem.lstat("/link")

    assert stat.S_ISLNK(found.st_mode)
    assert found.st_size == 5
    assert found == mem.stat("/link", follow_symlinks=False)


def test_stat_works_with_the_stat_module(kinds: VirtualFileSystem) -> None:
    found: Any = kinds.stat("/file")

    assert stat.filemode(found.st_mode) == "-rw-r--r--"
    assert os.path.samestat(found, kinds.stat("/to-file"))  # type: ignore[arg-type]


def test_stat_times_agree_with_each_other(mem: VirtualFileSystem) -> None:
    mem.touch("/f")
    mem.utime("/f", ns=(1_500_000_000, 2_250_000_000))

    found = mem.stat("/f")

    assert (found.st_atime, found.st_mtime) == (1.5, 2.25)
    assert found.modified_at == datetime(1970, 1, 1, 0, 0, 2, 250_000, UTC)
    assert found.accessed_at == datetime(1970, 1, 1, 0, 0, 1, 500_000, UTC)
    assert found.created_at.tzinfo is UTC
    assert found.st_birthtime == found.st_birthtime_ns / 1_000_000_000
    assert found.st_ctime == found.st_ctime_ns / 1_000_000_000


def test_stat_of_nothing_names_the_path(mem: VirtualFileSystem) -> None:
    with pytest.raises(FileNotFoundError) as caught:
        mem.stat("/a/../missing")

    assert (caught.value.errno, caught.value.filename) == (errno.ENOENT, "/missing")


def test_getsize_follows_links(kinds: VirtualFileSystem) -> None:
    assert kinds.getsize("/to-file") == 4
    assert kinds.getsize("/dir") == 0


def test_samefile_follows_links_and_knows_hard_links(
    kinds: VirtualFileSystem,
) -> None:
    kinds.link("/file", "/second")
    kinds.write_bytes("/twin", b"data")

    assert kinds.samefile("/file", "/second")
    assert kinds.samefile("/to-file", "/file")
    assert kinds.samefile("/to-dir", "/dir")
    assert not kinds.samefile("/file", "/twin")


def test_two_containers_have_different_devices(
    make_vfs: Callable[..., VirtualFileSystem],
) -> None:
    one, two = make_vfs(), make_vfs()

    assert one.stat("/").st_dev != two.stat("/").st_dev


def test_inode_numbers_are_unique(kinds: VirtualFileSystem) -> None:
    numbers = [kinds.lstat(path).st_ino for path in ["/", *kinds.glob("/*")]]

    assert len(set(numbers)) == len(numbers)


# --- times ----------------------------------------------------------------------------


@pytest.fixture
def timed(make_vfs: Callable[..., VirtualFileSystem], clock: Any) -> VirtualFileSystem:
    vfs = make_vfs(clock=clock)
    vfs.write_bytes("/d/f", b"data")
    vfs.symlink("f", "/d/link")
    vfs.mkdir("/d/sub")
    vfs.mkdir("/e")
    return vfs


def times(found: StatResult) -> dict[str, int]:
    return {
        "atime": found.st_atime_ns,
        "mtime": found.st_mtime_ns,
        "ctime": found.st_ctime_ns,
        "birthtime": found.st_birthtime_ns,
    }


def changed(vfs: VirtualFileSystem, path: str, change: Any) -> set[str]:
    """Return which times of *path* the call *change* has moved."""
    before = times(vfs.lstat(path))
    change(vfs)
    after = times(vfs.lstat(path))
    assert all(after[name] >= before[name] for name in after)
    return {name for name in after if after[name] != before[name]}


NAMES_CHANGED: list[Change] = [
    ("write_bytes", lambda v: v.write_bytes("/d/new", b"")),
    ("open x", lambda v: v.open("/d/new", "x").close()),
    ("mkdir", lambda v: v.mkdir("/d/new")),
    ("makedirs", lambda v: v.makedirs("/d/new/deep")),
    ("symlink", lambda v: v.symlink("f", "/d/new")),
    ("link", lambda v: v.link("/d/f", "/d/new")),
    ("touch", lambda v: v.touch("/d/new")),
    ("copy", lambda v: v.copy("/d/f", "/d/new")),
    ("copytree", lambda v: v.copytree("/e", "/d/new")),
    ("remove", lambda v: v.remove("/d/f")),
    ("remove link", lambda v: v.remove("/d/link")),
    ("rmdir", lambda v: v.rmdir("/d/sub")),
    ("rmtree", lambda v: v.rmtree("/d/sub")),
    ("rename", lambda v: v.rename("/d/f", "/d/new")),
    ("rename away", lambda v: v.rename("/d/f", "/e/new")),
    ("rename here", lambda v: v.rename("/e", "/d/new")),
    ("replace", lambda v: v.replace("/d/f", "/d/link")),
    ("move", lambda v: v.move("/e", "/d")),
]


@pytest.mark.parametrize(
    "change", [c for _, c in NAMES_CHANGED], ids=dict(NAMES_CHANGED)
)
def test_change_of_a_name_sets_mtime_and_ctime_of_its_directory(
    timed: VirtualFileSystem, change: Any
) -> None:
    assert changed(timed, "/d", change) == {"mtime", "ctime"}


CONTENT_CHANGED: list[Change] = [
    ("write_bytes", lambda v: v.write_bytes("/d/f", b"new")),
    ("write_text", lambda v: v.write_text("/d/f", "new")),
    ("truncate", lambda v: v.truncate("/d/f", 1)),
    ("open w", lambda v: v.open("/d/f", "w").close()),
    ("copy onto", lambda v: v.copy("/e/g", "/d/f")),
]


@pytest.mark.parametrize(
    "change", [c for _, c in CONTENT_CHANGED], ids=dict(CONTENT_CHANGED)
)
def test_change_of_content_sets_mtime_and_ctime_and_not_its_directorys(
    timed: VirtualFileSystem, change: Any
) -> None:
    timed.write_bytes("/e/g", b"other")
    before = timed.stat("/d")

    assert changed(timed, "/d/f", change) == {"mtime", "ctime"}

    assert timed.stat("/d") == before


ATTRIBUTES_CHANGED: list[Change] = [
    ("chmod", lambda v: v.chmod("/d/f", 0o600)),
    ("chown", lambda v: v.chown("/d/f", 1, 2)),
    ("setxattr", lambda v: v.setxattr("/d/f", "user.x", b"1")),
    ("link", lambda v: v.link("/d/f", "/e/new")),
    ("rename", lambda v: v.rename("/e", "/g")),
]


@pytest.mark.parametrize(
    "change", [c for _, c in ATTRIBUTES_CHANGED[:-1]], ids=dict(ATTRIBUTES_CHANGED[:-1])
)
def test_change_of_attributes_sets_ctime_alone(
    timed: VirtualFileSystem, change: Any
) -> None:
    assert changed(timed, "/d/f", change) == {"ctime"}


def test_rename_sets_ctime_of_what_moved(timed: VirtualFileSystem) -> None:
    before = timed.stat("/d/f")

    timed.rename("/d/f", "/d/g")

    after = timed.stat("/d/g")
    assert after.st_ctime_ns > before.st_ctime_ns
    assert after.st_mtime_ns == before.st_mtime_ns
    assert after.st_ino == before.st_ino


def test_utime_sets_atime_and_mtime_and_moves_ctime(timed: VirtualFileSystem) -> None:
    before = timed.stat("/d/f")

    timed.utime("/d/f", (1, 2.5))

    after = timed.stat("/d/f")
    assert (after.st_atime_ns, after.st_mtime_ns) == (10**9, 25 * 10**8)
    assert after.st_ctime_ns > before.st_ctime_ns
    assert after.st_birthtime_ns == before.st_birthtime_ns


LOOKS: list[Change] = [
    ("read_bytes", lambda v: v.read_bytes("/d/f")),
    ("read_text", lambda v: v.read_text("/d/f")),
    ("stat", lambda v: v.stat("/d/f")),
    ("listdir", lambda v: v.listdir("/d")),
    ("scandir", lambda v: list(v.scandir("/d"))),
    ("walk", lambda v: list(v.walk("/"))),
    ("glob", lambda v: v.glob("**/*")),
    ("readlink", lambda v: v.readlink("/d/link")),
    ("exists", lambda v: v.exists("/d/f")),
    ("copy from", lambda v: v.copy("/d/f", "/e/copy")),
    ("check", lambda v: v.check()),
]


@pytest.mark.parametrize("look", [c for _, c in LOOKS], ids=dict(LOOKS))
def test_looking_changes_no_time_and_no_generation(
    timed: VirtualFileSystem, look: Any
) -> None:
    paths = ["/d", "/d/f", "/d/link"]
    before = [timed.lstat(path) for path in paths]

    look(timed)

    assert [timed.lstat(path) for path in paths] == before


@pytest.mark.parametrize(
    "change",
    [
        *(c for _, c in CONTENT_CHANGED),
        *(c for _, c in ATTRIBUTES_CHANGED[:-1]),
        lambda v: v.utime("/d/f"),
        lambda v: v.touch("/d/f"),
    ],
)
def test_every_change_raises_the_generation(
    timed: VirtualFileSystem, change: Any
) -> None:
    timed.write_bytes("/e/g", b"other")
    before = timed.stat("/d/f").generation

    change(timed)

    assert timed.stat("/d/f").generation > before


def test_change_of_a_name_raises_the_generation_of_its_directory(
    timed: VirtualFileSystem,
) -> None:
    before = timed.stat("/d").generation

    timed.touch("/d/new")

    assert timed.stat("/d").generation > before


def test_parents_that_are_made_have_one_moment(
    make_vfs: Callable[..., VirtualFileSystem], clock: Any
) -> None:
    vfs = make_vfs(clock=clock)

    vfs.write_bytes("/a/b/c", b"")

    moments = {vfs.stat(path).st_birthtime_ns for path in ("/a", "/a/b", "/a/b/c")}
    assert len(moments) == 1
    assert vfs.stat("/").st_mtime_ns in moments
