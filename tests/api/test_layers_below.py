"""Layers: copy-up, whiteouts as rows, and what changes below."""

from __future__ import annotations

import errno
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from tests import ground

from stratavfs import (
    ReadOnlyError,
    VirtualFileSystem,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

LONG = bytes(range(250)) * 40


@pytest.fixture(params=["memory", "file"])
def where(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return ":memory:" if request.param == "memory" else str(tmp_path / "local.db")


@pytest.fixture
def base(make_vfs: Any) -> VirtualFileSystem:
    vfs: VirtualFileSystem = make_vfs(chunk_size=64, clock=lambda: 1_000)
    vfs.mkdir("/d", mode=0o710)
    vfs.write_bytes("/d/f", LONG)
    vfs.chmod("/d/f", 0o640)
    vfs.chown("/d/f", 7, "staff")
    vfs.setxattr("/d/f", "user.note", b"1")
    vfs.utime("/d/f", ns=(5, 6))
    vfs.setxattr("/d", "user.note", b"2")
    vfs.utime("/d", ns=(7, 8))
    return vfs


@pytest.fixture
def vfs(make_vfs: Any, where: str, base: VirtualFileSystem) -> VirtualFileSystem:
    vfs: VirtualFileSystem = make_vfs(where, 7, clock=lambda: 2_000)
    vfs.add_underlay(base, name="base")
    return vfs


def rows_of(vfs: VirtualFileSystem) -> ground.Dump:
    return ground.dump(vfs._store._cx)


def kept(vfs: VirtualFileSystem, path: str) -> tuple[object, ...]:
    """Return all that copy-up keeps."""
    s = vfs.stat(path)
    attributes = {name: vfs.getxattr(path, name) for name in vfs.listxattr(path)}
    return (
        *(s.st_mode, s.st_uid, s.st_gid, s.owner, s.group, s.st_size),
        *(s.st_atime_ns, s.st_mtime_ns, s.st_birthtime_ns, s.st_nlink, attributes),
    )


@contextmanager
def failing(vfs: VirtualFileSystem) -> Iterator[None]:
    """A batch whose body goes well, and which fails at its end."""
    with pytest.raises(KeyError), vfs.atomic_batch():  # noqa: PT012 - its own error
        yield
        raise KeyError


# --- copy-up --------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["r+b", "ab", "a+b"])
def test_open_to_write_copies_nothing_up_before_the_first_byte(
    vfs: VirtualFileSystem, mode: str
) -> None:
    before = rows_of(vfs)

    with vfs.open("/d/f", mode) as f:
        opened = rows_of(vfs), vfs.which_layer("/d/f")
        f.write(b"x")
        f.flush()
        written = vfs.which_layer("/d/f")

    assert opened == (before, "base")
    assert written == "local"


@pytest.mark.parametrize("path", ["/d/f", "/d"])
def test_copy_up_keeps_all_but_what_is_changed(
    vfs: VirtualFileSystem, base: VirtualFileSystem, path: str
) -> None:
    known, known_above = kept(base, path), kept(base, "/d")

    vfs.setxattr(path, "user.note", b"new")

    assert kept(vfs, path)[:-1] == known[:-1]
    assert vfs.getxattr(path, "user.note") == b"new"
    assert vfs.stat(path).st_ctime_ns == 2_000
    if path != "/d":
        assert kept(vfs, "/d") == known_above
        assert vfs.which_layer("/d") == "local"
    assert vfs.read_bytes("/d/f") == LONG


def test_copy_up_in_a_batch_that_fails_is_taken_back(vfs: VirtualFileSystem) -> None:
    before = rows_of(vfs)

    with vfs.open("/d/f", "r+b", 0) as f, failing(vfs):
        f.write(b"changed")

    assert rows_of(vfs) == before
    assert vfs.read_bytes("/d/f") == LONG


def test_handle_of_a_batch_that_fails_goes_back_to_the_base(
    vfs: VirtualFileSystem,
) -> None:
    with vfs.open("/d/f", "r+b", 0) as f:
        with failing(vfs):
            f.write(b"changed")

        f.seek(0)
        assert f.read(-1) == LONG
        f.seek(0)
        f.write(b"again")

    assert vfs.read_bytes("/d/f") == b"again" + LONG[5:]


def test_handle_that_reads_sees_what_another_writes(vfs: VirtualFileSystem) -> None:
    with vfs.open("/d/f", "rb", 0) as reader, vfs.open("/d/f", "r+b", 0) as writer:
        first = reader.read(3)
        writer.write(b"ABCDEF")
        rest = reader.read(3)
        writer.truncate(4)
        end = reader.read()

    assert (first, rest, end) == (LONG[:3], b"DEF", b"")


def test_handle_on_a_removed_base_file_reads_and_writes(vfs: VirtualFileSystem) -> None:
    with vfs.open("/d/f", "r+b", 0) as f:
        vfs.remove("/d/f")
        vfs.write_bytes("/d/f", b"another")

        f.write(b"mine")
        f.seek(0)
        assert f.read(-1) == b"mine" + LONG[4:]

    assert vfs.read_bytes("/d/f") == b"another"


def test_handle_on_a_renamed_base_file_follows_it(vfs: VirtualFileSystem) -> None:
    with vfs.open("/d/f", "r+b", 0) as f:
        vfs.rename("/d", "/e")
        f.write(b"mine")

    assert vfs.read_bytes("/e/f") == b"mine" + LONG[4:]
    assert not vfs.exists("/d")


def test_write_to_one_of_two_hard_links_leaves_the_other(
    make_vfs: Any, where: str
) -> None:
    base = make_vfs()
    base.write_bytes("/one", b"both")
    base.link("/one", "/two")
    vfs = make_vfs(where)
    vfs.add_underlay(base)

    same = vfs.samefile("/one", "/two")
    vfs.write_bytes("/one", b"mine")

    assert same
    assert vfs.read_bytes("/two") == b"both"
    assert vfs.stat("/one").st_nlink == 1
    assert not vfs.samefile("/one", "/two")


def test_link_of_a_base_file_is_one_file_with_it(vfs: VirtualFileSystem) -> None:
    vfs.link("/d/f", "/l")
    vfs.write_bytes("/l", b"both")

    assert vfs.read_bytes("/d/f") == b"both"
    assert vfs.samefile("/d/f", "/l")
    assert vfs.stat("/d/f").st_nlink == 2


@pytest.mark.parametrize("verb", ["write_bytes", "truncate", "chmod"])
def test_change_through_a_symlink_of_another_layer_changes_its_target(
    make_vfs: Any, vfs: VirtualFileSystem, verb: str
) -> None:
    above = make_vfs()
    above.symlink("../d/f", "/links/l")
    vfs.add_underlay(above, 1)
    argument: Any = b"new" if verb == "write_bytes" else 0o600

    getattr(vfs, verb)("/links/l", argument)

    assert vfs.islink("/links/l")
    assert vfs.which_layer("/links/l") == "underlay_0"
    assert vfs.which_layer("/d/f") == "local"


READING: list[Callable[[VirtualFileSystem], object]] = [
    lambda vfs: vfs.read_bytes("/d/f"),
    lambda vfs: vfs.read_text("/d/f", "latin-1"),
    lambda vfs: vfs.open("/d/f").close(),
    lambda vfs: vfs.open("/d/f", "r+").close(),
    lambda vfs: vfs.open("/d/f", "a").close(),
    lambda vfs: [*vfs.walk("/")],
    lambda vfs: vfs.glob("**/*"),
    lambda vfs: [entry.stat() for entry in vfs.scandir("/d")],
    lambda vfs: vfs.getxattr("/d", "user.note"),
    lambda vfs: vfs.which_layer_detailed("/d/f"),
]


@pytest.mark.parametrize("read", READING)
def test_reading_never_writes(
    vfs: VirtualFileSystem,
    base: VirtualFileSystem,
    read: Callable[[VirtualFileSystem], object],
) -> None:
    before = rows_of(vfs), rows_of(base)

    read(vfs)

    assert (rows_of(vfs), rows_of(base)) == before


REFUSED: list[tuple[str, tuple[Any, ...]]] = [
    ("rename", ("/d/f", "/d")),
    ("rename", ("/d", "/d/sub")),
    ("replace", ("/d/f", "/d")),
    ("rmdir", ("/d",)),
    ("remove", ("/d",)),
    ("rmtree", ("/d/f",)),
    ("mkdir", ("/d",)),
    ("link", ("/d", "/l")),
    ("symlink", ("x", "/d/f")),
    ("write_bytes", ("/d/f/x", b"")),
    ("removexattr", ("/d/f", "user.none")),
    ("setxattr", ("/d/f", "user.note", b"", 1)),
    ("truncate", ("/d/f", -1)),
    ("copytree", ("/d", "/d/sub")),
]


@pytest.mark.parametrize(("verb", "args"), REFUSED)
def test_refused_change_copies_nothing_up(
    vfs: VirtualFileSystem, verb: str, args: tuple[Any, ...]
) -> None:
    before = rows_of(vfs)

    with pytest.raises(OSError):
        getattr(vfs, verb)(*args)

    assert rows_of(vfs) == before


def test_write_to_a_read_only_stack_is_refused(
    make_vfs: Any, tmp_path: Path, base: VirtualFileSystem
) -> None:
    location = str(tmp_path / "empty.db")
    VirtualFileSystem(location).close()
    vfs = make_vfs(location, read_only=True)
    vfs.add_underlay(base)

    with pytest.raises(ReadOnlyError) as caught:
        vfs.write_bytes("/d/f", b"")

    assert (caught.value.errno, caught.value.filename) == (errno.EROFS, "/d/f")
    assert vfs.read_bytes("/d/f") == LONG


# --- whiteouts and opaque directories -------------------------------------------------


@pytest.mark.slow
def test_rmtree_of_a_large_base_directory_writes_a_handful_of_rows(
    make_vfs: Any, where: str
) -> None:
    base = make_vfs()
    with base.atomic_batch():
        for number in range(3000):
            base.touch(f"/big/{number % 50}/{number}")
    vfs = make_vfs(where)
    vfs.add_underlay(base)
    before = len(rows_of(vfs)["entries"])

    vfs.rmtree("/big")

    assert len(rows_of(vfs)["entries"]) - before == 1
    assert not vfs.lexists("/big")
    vfs.mkdir("/big")
    assert vfs.listdir("/big") == []


def test_local_container_that_deletes_is_a_patch_for_another(
    make_vfs: Any, tmp_path: Path, base: VirtualFileSystem
) -> None:
    location = str(tmp_path / "patch.db")
    with VirtualFileSystem(location) as maker:
        maker.add_underlay(base)
        maker.remove("/d/f")
        maker.write_bytes("/d/new", b"new")
    vfs, alone = make_vfs(), make_vfs(location, read_only=True)

    vfs.add_underlay(base)
    vfs.add_underlay(location, 1, "patch")

    assert vfs.glob("**/*") == ["/d", "/d/new"]
    assert alone.glob("**/*") == ["/d", "/d/new"]
    vfs.remove_underlay("patch")
    assert vfs.glob("**/*") == ["/d", "/d/f"]


def test_patch_of_a_nested_stack_deletes_below_it(
    make_vfs: Any, base: VirtualFileSystem
) -> None:
    patch, vfs = make_vfs(), make_vfs()
    patch.add_underlay(base)
    patch.rmtree("/d")
    patch.makedirs("/d/own")
    patch.remove_underlay("underlay_0")
    vfs.add_underlay(base, -1)

    vfs.add_underlay(patch)

    assert vfs.glob("**/*") == ["/d", "/d/own"]


# --- change under us ------------------------------------------------------------------


def test_change_by_the_owner_is_seen_by_the_next_call(
    vfs: VirtualFileSystem, base: VirtualFileSystem
) -> None:
    seen = [vfs.listdir("/d"), vfs.exists("/d/new")]

    base.write_bytes("/d/new", b"1")
    seen += [vfs.listdir("/d"), vfs.read_bytes("/d/new")]
    base.remove("/d/new")
    seen += [vfs.listdir("/d"), vfs.exists("/d/new")]

    assert seen == [["f"], False, ["f", "new"], b"1", ["f"], False]


def test_change_of_a_file_by_another_is_seen_by_the_next_call(
    make_vfs: Any, tmp_path: Path, where: str
) -> None:
    location = str(tmp_path / "base.db")
    owner = make_vfs(location)
    owner.write_bytes("/f", b"1")
    vfs = make_vfs(where)
    vfs.add_underlay(location)

    seen: list[object] = [vfs.read_bytes("/f"), vfs.exists("/g")]
    owner.write_bytes("/f", b"2")
    owner.write_bytes("/g", b"3")
    seen += [vfs.read_bytes("/f"), vfs.exists("/g")]
    owner.rename("/g", "/h")
    seen += [vfs.listdir("/"), vfs.exists("/g")]

    assert seen == [b"1", False, b"2", True, ["f", "h"], False]


def test_change_of_a_directory_is_seen_by_the_next_call(
    make_vfs: Any, tmp_path: Path, where: str
) -> None:
    (tmp_path / "mod").mkdir()
    vfs = make_vfs(where)
    vfs.add_underlay(tmp_path / "mod")

    seen: list[object] = [vfs.listdir("/")]
    (tmp_path / "mod" / "f").write_bytes(b"1")
    seen += [vfs.read_bytes("/f")]
    (tmp_path / "mod" / "f").unlink()
    seen += [vfs.exists("/f"), vfs.listdir("/")]

    assert seen == [[], b"1", False, []]


def test_handle_on_a_removed_underlay_goes_on_reading(
    vfs: VirtualFileSystem, tmp_path: Path
) -> None:
    location = str(tmp_path / "dlc.db")
    with VirtualFileSystem(location, 5) as dlc:
        dlc.write_bytes("/g", LONG)
    name = vfs.add_underlay(location)

    with vfs.open("/g", "rb", 0) as handle, vfs.open("/d/f", "rb", 0) as other:
        handle.read(10)
        vfs.remove_underlay(name)
        vfs.remove_underlay("base")
        assert handle.read(10) == LONG[10:20]
        assert other.read(10) == LONG[:10]

    assert vfs.listdir("/") == []
