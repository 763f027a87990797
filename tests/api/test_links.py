"""Symbolic links, hard links, owners, modes and extended attributes."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, Any

import pytest

from stratavfs import InvalidArgument, InvalidType

if TYPE_CHECKING:
    from stratavfs import VirtualFileSystem


def refusal(call: Any) -> tuple[int | None, object, object]:
    """Return errno and both names of the OSError that *call* raises."""
    with pytest.raises(OSError) as caught:
        call()
    return caught.value.errno, caught.value.filename, caught.value.filename2


# --- symbolic links -------------------------------------------------------------------


@pytest.mark.parametrize(
    "target", ["f", "/f", "../f", "./f", "a/../f", "f/", "//f", "no such", "*", "é"]
)
def test_symlink_keeps_its_target_as_it_is(mem: VirtualFileSystem, target: str) -> None:
    mem.symlink(target, "/d/link")

    assert mem.readlink("/d/link") == target


def test_symlink_argument_for_windows_is_ignored(mem: VirtualFileSystem) -> None:
    mem.symlink("nowhere", "/link", target_is_directory=True)

    assert mem.readlink("/link") == "nowhere"


@pytest.mark.parametrize(
    ("link", "target", "leads_to"),
    [
        ("/l", "a/f", "/a/f"),
        ("/l", "/a/f", "/a/f"),
        ("/b/l", "../a/f", "/a/f"),
        ("/b/l", "../../../a/f", "/a/f"),
        ("/a/l", "f", "/a/f"),
        ("/a/l", "./f", "/a/f"),
        ("/a/l", "../a/../a/f", "/a/f"),
    ],
)
def test_symlink_leads_where_posix_says(
    mem: VirtualFileSystem, link: str, target: str, leads_to: str
) -> None:
    mem.write_bytes("/a/f", b"data")
    mem.mkdir("/b")

    mem.symlink(target, link)

    assert mem.read_bytes(link) == b"data"
    assert mem.samefile(link, leads_to)


def test_dotdot_after_a_link_in_a_target_is_the_directory_it_leads_to(
    mem: VirtualFileSystem,
) -> None:
    mem.write_bytes("/deep/er/f", b"in er")
    mem.write_bytes("/deep/f", b"in deep")
    mem.write_bytes("/f", b"in root")
    mem.symlink("deep/er", "/jump")

    mem.symlink("jump/../f", "/link")

    assert mem.read_bytes("/link") == b"in deep"


def test_path_with_dotdot_after_a_link_is_resolved_lexically(
    mem: VirtualFileSystem,
) -> None:
    mem.makedirs("/deep/er")
    mem.write_bytes("/f", b"in root")
    mem.symlink("deep/er", "/jump")

    assert mem.read_bytes("/jump/../f") == b"in root"


def test_forty_links_in_a_row_are_followed_and_no_more(mem: VirtualFileSystem) -> None:
    mem.write_bytes("/0", b"data")
    for n in range(1, 42):
        mem.symlink(str(n - 1), f"/{n}")

    assert mem.read_bytes("/40") == b"data"
    assert refusal(lambda: mem.read_bytes("/41")) == (errno.ELOOP, "/41", None)
    assert not mem.exists("/41")


def test_link_to_the_directory_above_may_be_walked_through(
    mem: VirtualFileSystem,
) -> None:
    mem.write_bytes("/d/f", b"data")
    mem.symlink("..", "/d/up")

    assert mem.read_bytes("/d/up/d/up/d/f") == b"data"


def test_write_through_a_link_changes_its_target(vfs: VirtualFileSystem) -> None:
    vfs.write_bytes("/f", b"old")
    vfs.symlink("f", "/link")

    vfs.write_bytes("/link", b"new")

    assert vfs.read_bytes("/f") == b"new"
    assert vfs.readlink("/link") == "f"


def test_make_through_a_link_to_a_directory_makes_it_there(
    mem: VirtualFileSystem,
) -> None:
    mem.mkdir("/d")
    mem.symlink("d", "/link")

    mem.write_bytes("/link/f", b"x")
    mem.mkdir("/link/sub")
    mem.rename("/link/f", "/link/g")

    assert mem.listdir("/d") == ["g", "sub"]
    assert mem.listdir("/link") == ["g", "sub"]


def test_symlink_onto_something_is_refused(mem: VirtualFileSystem) -> None:
    mem.symlink("a", "/link")

    assert refusal(lambda: mem.symlink("b", "/link")) == (errno.EEXIST, "b", "/link")
    assert mem.readlink("/link") == "a"


def test_symlink_target_that_is_impossible_is_refused(mem: VirtualFileSystem) -> None:
    bad: Any
    for bad in ("", "a\0b", "\ud800"):
        with pytest.raises(InvalidArgument):
            mem.symlink(bad, "/link")
    for bad in (None, b"f", 1):
        with pytest.raises(InvalidType):
            mem.symlink(bad, "/link")

    assert mem.listdir() == []


def test_readlink_of_no_link_is_refused(mem: VirtualFileSystem) -> None:
    mem.touch("/f")

    assert refusal(lambda: mem.readlink("/f")) == (errno.EINVAL, "/f", None)


# --- hard links -----------------------------------------------------------------------


def test_link_is_one_file_with_two_names(vfs: VirtualFileSystem) -> None:
    vfs.write_bytes("/a", b"old")

    vfs.link("/a", "/d/b")
    vfs.write_bytes("/d/b", b"new")

    assert vfs.read_bytes("/a") == b"new"
    assert vfs.stat("/a") == vfs.stat("/d/b")
    assert vfs.stat("/a").st_nlink == 2


def test_remove_of_one_name_keeps_the_other(vfs: VirtualFileSystem) -> None:
    vfs.write_bytes("/a", b"data" * 100)
    vfs.link("/a", "/b")

    vfs.remove("/a")

    assert vfs.read_bytes("/b") == b"data" * 100
    assert vfs.stat("/b").st_nlink == 1


def test_rmtree_with_some_names_inside_keeps_those_outside(
    vfs: VirtualFileSystem,
) -> None:
    vfs.write_bytes("/d/a", b"data" * 100)
    vfs.link("/d/a", "/d/sub/b")
    vfs.link("/d/a", "/out")

    vfs.rmtree("/d")

    assert vfs.read_bytes("/out") == b"data" * 100
    assert vfs.stat("/out").st_nlink == 1


def test_rmtree_with_all_names_inside_removes_the_file(vfs: VirtualFileSystem) -> None:
    vfs.write_bytes("/d/a", b"data" * 100)
    vfs.link("/d/a", "/d/sub/b")

    vfs.rmtree("/d")

    assert vfs.listdir() == []


def test_link_follows_a_symbolic_link_or_not(mem: VirtualFileSystem) -> None:
    mem.write_bytes("/f", b"data")
    mem.symlink("f", "/soft")

    mem.link("/soft", "/to-file")
    mem.link("/soft", "/to-link", follow_symlinks=False)

    assert mem.samefile("/to-file", "/f")
    assert not mem.islink("/to-file")
    assert mem.readlink("/to-link") == "f"
    assert mem.lstat("/soft").st_nlink == 2


def test_link_of_a_directory_is_refused(mem: VirtualFileSystem) -> None:
    mem.mkdir("/d")

    assert refusal(lambda: mem.link("/d", "/e")) == (errno.EPERM, "/d", "/e")
    assert mem.listdir() == ["d"]


def test_replace_of_one_name_by_another_of_the_file_does_nothing(
    mem: VirtualFileSystem,
) -> None:
    mem.write_bytes("/a", b"data")
    mem.link("/a", "/b")
    before = mem.stat("/a")

    mem.replace("/a", "/b")

    assert mem.listdir() == ["a", "b"]
    assert mem.stat("/a") == before


# --- modes and owners -----------------------------------------------------------------


@pytest.mark.parametrize("bits", [0, 0o777, 0o4755, 0o1777, 0o600])
@pytest.mark.parametrize(("path", "kind"), [("/f", 0o100000), ("/d", 0o040000)])
def test_chmod_stores_the_permission_bits(
    mem: VirtualFileSystem, path: str, kind: int, bits: int
) -> None:
    mem.touch("/f")
    mem.mkdir("/d")

    mem.chmod(path, bits)

    assert mem.stat(path).st_mode == kind | bits


def test_chmod_takes_no_file_type(mem: VirtualFileSystem) -> None:
    mem.touch("/f")

    mem.chmod("/f", 0o040700)

    assert mem.stat("/f").st_mode == 0o100700


def test_modes_are_stored_and_not_enforced(mem: VirtualFileSystem) -> None:
    mem.write_text("/d/f", "old")
    mem.chmod("/d/f", 0)
    mem.chmod("/d", 0)

    mem.write_text("/d/f", "new")

    assert mem.read_text("/d/f") == "new"


@pytest.mark.parametrize("verb", ["chmod", "chown", "utime", "setxattr"])
def test_attributes_of_a_link_itself_are_its_own(
    mem: VirtualFileSystem, verb: str
) -> None:
    mem.touch("/f")
    mem.symlink("f", "/link")
    args: dict[str, tuple[Any, ...]] = {
        "chmod": (0o700,),
        "chown": (5, 6),
        "utime": ((1, 2),),
        "setxattr": ("user.x", b"1"),
    }
    before = mem.stat("/f")

    getattr(mem, verb)("/link", *args[verb], follow_symlinks=False)

    assert mem.stat("/f") == before
    assert mem.lstat("/link").generation > 1


def test_chown_by_number_and_by_name(mem: VirtualFileSystem) -> None:
    mem.touch("/f")

    mem.chown("/f", "ann", 7)
    found = mem.stat("/f")
    assert (found.owner, found.st_uid, found.group, found.st_gid) == ("ann", 0, "", 7)

    mem.chown("/f", gid="staff")
    found = mem.stat("/f")
    assert (found.owner, found.group, found.st_gid) == ("ann", "staff", 7)

    mem.chown("/f", 5)
    found = mem.stat("/f")
    assert (found.owner, found.st_uid, found.group) == ("", 5, "staff")


@pytest.mark.parametrize("bad", [-2, 1 << 32])
def test_chown_to_an_impossible_number_is_refused(
    mem: VirtualFileSystem, bad: int
) -> None:
    mem.touch("/f")
    before = mem.stat("/f")

    with pytest.raises(InvalidArgument):
        mem.chown("/f", bad)
    with pytest.raises(InvalidArgument):
        mem.chown("/f", gid=bad)

    assert mem.stat("/f") == before


@pytest.mark.parametrize("bad", [None, 1.5, b"ann"])
def test_chown_to_no_owner_is_refused(mem: VirtualFileSystem, bad: Any) -> None:
    mem.touch("/f")

    with pytest.raises(TypeError):
        mem.chown("/f", bad)


def test_utime_with_both_kinds_of_times_is_refused(mem: VirtualFileSystem) -> None:
    mem.touch("/f")
    before = mem.stat("/f")

    with pytest.raises(ValueError, match="both"):
        mem.utime("/f", (1, 2), ns=(1, 2))

    assert mem.stat("/f") == before


@pytest.mark.parametrize("times", [(1,), (1, 2, 3), 5, "ab", (None, 1)])
def test_utime_with_no_pair_of_numbers_is_refused(
    mem: VirtualFileSystem, times: Any
) -> None:
    mem.touch("/f")
    before = mem.stat("/f")

    with pytest.raises((TypeError, ValueError)):
        mem.utime("/f", times)

    assert mem.stat("/f") == before


@pytest.mark.parametrize("seconds", [0, -1.5, 1e9 + 0.25])
def test_utime_in_seconds_is_exact_to_the_nanosecond(
    mem: VirtualFileSystem, seconds: float
) -> None:
    mem.touch("/f")

    mem.utime("/f", (seconds, seconds))

    assert mem.stat("/f").st_mtime == seconds


def test_utime_beyond_the_year_2262_is_refused(mem: VirtualFileSystem) -> None:
    mem.touch("/f")
    before = mem.stat("/f")

    with pytest.raises((OverflowError, InvalidArgument, OSError)):
        mem.utime("/f", (1 << 40, 1 << 40))

    assert mem.stat("/f") == before


# --- extended attributes --------------------------------------------------------------


def test_setxattr_then_getxattr_gives_it_back(vfs: VirtualFileSystem) -> None:
    vfs.touch("/f")

    vfs.setxattr("/f", "user.b", b"\0\xff")
    vfs.setxattr("/f", "user.a", bytearray(b""))

    assert vfs.getxattr("/f", "user.b") == b"\0\xff"
    assert vfs.getxattr("/f", "user.a") == b""
    assert vfs.listxattr("/f") == ["user.a", "user.b"]


def test_xattrs_follow_links(mem: VirtualFileSystem) -> None:
    mem.touch("/f")
    mem.symlink("f", "/link")

    mem.setxattr("/link", "user.x", b"1")

    assert mem.listxattr("/f") == ["user.x"]
    assert mem.listxattr("/link", follow_symlinks=False) == []


def test_setxattr_flags_demand_what_linux_demands(mem: VirtualFileSystem) -> None:
    mem.touch("/f")
    create, replace = 1, 2

    absent = refusal(lambda: mem.setxattr("/f", "user.x", b"1", replace))
    mem.setxattr("/f", "user.x", b"1", create)
    present = refusal(lambda: mem.setxattr("/f", "user.x", b"2", create))
    mem.setxattr("/f", "user.x", b"3", replace)

    assert absent == (errno.ENODATA, "/f", None)
    assert present == (errno.EEXIST, "/f", None)
    assert mem.getxattr("/f", "user.x") == b"3"


@pytest.mark.skipif(not hasattr(os, "XATTR_CREATE"), reason="only Linux names them")
def test_setxattr_flags_are_those_of_os(mem: VirtualFileSystem) -> None:
    mem.touch("/f")

    mem.setxattr("/f", "user.x", b"1", os.XATTR_CREATE)
    mem.setxattr("/f", "user.x", b"2", os.XATTR_REPLACE)

    assert mem.getxattr("/f", "user.x") == b"2"


@pytest.mark.parametrize("flags", [3, 4, -1])
def test_setxattr_with_other_flags_is_refused(
    mem: VirtualFileSystem, flags: int
) -> None:
    mem.touch("/f")

    with pytest.raises(InvalidArgument):
        mem.setxattr("/f", "user.x", b"1", flags)

    assert mem.listxattr("/f") == []


@pytest.mark.parametrize("verb", ["getxattr", "removexattr"])
def test_xattr_that_is_not_there_is_refused(mem: VirtualFileSystem, verb: str) -> None:
    mem.touch("/f")

    code = refusal(lambda: getattr(mem, verb)("/f", "user.x"))

    assert code == (errno.ENODATA, "/f", None)


@pytest.mark.parametrize("verb", ["getxattr", "removexattr", "listxattr"])
def test_xattr_of_nothing_is_refused(mem: VirtualFileSystem, verb: str) -> None:
    args = () if verb == "listxattr" else ("user.x",)

    code = refusal(lambda: getattr(mem, verb)("/missing", *args))

    assert code == (errno.ENOENT, "/missing", None)


def test_removexattr_takes_it_away(mem: VirtualFileSystem) -> None:
    mem.mkdir("/d")
    mem.setxattr("/d", "user.x", b"1")

    mem.removexattr("/d", "user.x")

    assert mem.listxattr("/d") == []


@pytest.mark.parametrize("name", ["", "a\0b", "\ud800"])
def test_xattr_of_an_impossible_name_is_refused(
    mem: VirtualFileSystem, name: str
) -> None:
    with pytest.raises(InvalidArgument):
        mem.setxattr("/", name, b"1")

    assert mem.listxattr() == []


def test_xattrs_live_and_die_with_the_file(vfs: VirtualFileSystem) -> None:
    vfs.touch("/f")
    vfs.setxattr("/f", "user.x", b"1")

    vfs.rename("/f", "/g")
    assert vfs.getxattr("/g", "user.x") == b"1"

    vfs.remove("/g")
    vfs.touch("/g")
    assert vfs.listxattr("/g") == []
