"""Copy-up: everything comes up as it was, and nothing else changes."""

from __future__ import annotations

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

CHUNK_SIZES = (2, 3, 64, 65536)
NOW = 5_000_000_000
Vfs = VirtualFileSystem


def counting(size: int) -> bytes:
    """Return bytes in which no two chunks are equal."""
    return (b"".join(b"%07d|" % number for number in range(size // 8 + 1)))[:size]


def over(make_vfs: Any, base: Any, chunk_size: int = 64) -> Vfs:
    vfs: Vfs = make_vfs(chunk_size=chunk_size, clock=lambda: NOW)
    vfs.add_underlay(base, name="base")
    return vfs


def rows_of(vfs: Vfs) -> ground.Dump:
    return ground.dump(vfs._store._cx)


def chunks_of(vfs: Vfs) -> list[tuple[int, int]]:
    """Return (index, bytes) of all chunks in the container."""
    rows = vfs._store.rows("SELECT idx, length(data) FROM chunks ORDER BY idx")
    return [(idx, length) for idx, length in rows]


def all_of(vfs: Vfs, path: str) -> dict[str, object]:
    """Return everything that copy-up keeps."""
    found = vfs.lstat(path)._asdict()
    for changed in ("st_ino", "st_ctime_ns", "generation", "st_dev", "source_layer"):
        del found[changed]
    names = vfs.listxattr(path, follow_symlinks=False)
    return found | {
        name: vfs.getxattr(path, name, follow_symlinks=False) for name in names
    }


# --- content --------------------------------------------------------------------------

SIZES = (0, 1, 2, 3, 5, 63, 64, 65, 128, 4095, 4096, 4097, 8191, 8192, 8193, 20_000)


@pytest.mark.parametrize("mine", CHUNK_SIZES)
@pytest.mark.parametrize("theirs", [3, 64, 65536])
def test_content_comes_up_at_every_pair_of_chunk_sizes(
    make_vfs: Any, mine: int, theirs: int
) -> None:
    base = make_vfs(chunk_size=theirs)
    sizes = [size for size in SIZES if size < 3000 * min(mine, theirs)]
    with base.atomic_batch():
        for size in sizes:
            base.write_bytes(f"/{size}", counting(size))
    vfs = over(make_vfs, base, mine)

    with vfs.atomic_batch():
        for size in sizes:
            vfs.chmod(f"/{size}", 0o600)

    for size in sizes:
        assert vfs.which_layer(f"/{size}") == "local"
        assert vfs.read_bytes(f"/{size}") == counting(size)
        assert vfs.stat(f"/{size}").size == size
    assert vfs.diff() == [
        type(change)(f"/{size}", "metadata")
        for size, change in zip(sorted(sizes, key=str), vfs.diff(), strict=True)
    ]


@pytest.mark.parametrize("off", [-1, 0, 1])
@pytest.mark.parametrize("chunk_size", [64, 65536])
def test_content_at_the_inline_limit_comes_up(
    make_vfs: Any, off: int, chunk_size: int
) -> None:
    vfs = make_vfs(chunk_size=chunk_size)
    size = vfs._store.inline_limit + off
    base = make_vfs(chunk_size=32)
    base.write_bytes("/f", counting(size))
    vfs.add_underlay(base)

    vfs.chmod("/f", 0o600)

    assert vfs.read_bytes("/f") == counting(size)
    assert bool(chunks_of(vfs)) == (off > 0)


@pytest.mark.parametrize("start", [0, 1, 63, 64, 5000, 9999])
def test_partial_update_keeps_the_rest(make_vfs: Any, start: int) -> None:
    base = make_vfs(chunk_size=100)
    base.write_bytes("/f", counting(10_000))
    vfs = over(make_vfs, base)

    with vfs.open("/f", "r+b") as file:
        file.seek(start)
        file.write(b"HERE")

    expected = bytearray(counting(10_000))
    expected[start : start + 4] = b"HERE"
    assert vfs.read_bytes("/f") == expected
    assert base.read_bytes("/f") == counting(10_000)


# --- holes ----------------------------------------------------------------------------


def test_holes_come_up_as_holes(make_vfs: Any) -> None:
    base = make_vfs(chunk_size=65536)
    with base.open("/f", "wb") as file:
        file.write(b"start")
        file.seek(1 << 29)
        file.write(b"middle")
        file.truncate(1 << 30)
    vfs = over(make_vfs, base, 65536)

    vfs.chmod("/f", 0o600)

    assert vfs.stat("/f").size == 1 << 30
    assert [idx for idx, _ in chunks_of(vfs)] == [0, 8192]
    assert sum(length for _, length in chunks_of(vfs)) <= 2 * 65536
    with vfs.open("/f", "rb", 0) as file:
        assert file.read(8) == b"start\0\0\0"
        assert file.seek(0, os.SEEK_HOLE) <= 65536
        assert file.seek(65536, os.SEEK_DATA) == 1 << 29
        assert file.read(8) == b"middle\0\0"
        assert (file.seek(-4, 2), file.read()) == ((1 << 30) - 4, bytes(4))


@pytest.mark.parametrize("mine", [3, 64, 100])
@pytest.mark.parametrize("theirs", [3, 64, 100])
def test_holes_among_chunks_of_another_size_read_as_zeros(
    make_vfs: Any, mine: int, theirs: int
) -> None:
    base = make_vfs(chunk_size=theirs)
    with base.open("/f", "wb") as file:
        for at in (0, 5000, 5990, 13_333):
            file.seek(at)
            file.write(b"data" * 10)
        file.truncate(15_001)
    vfs = over(make_vfs, base, mine)

    vfs.chmod("/f", 0o600)

    assert vfs.read_bytes("/f") == base.read_bytes("/f")
    assert sum(length for _, length in chunks_of(vfs)) < 15_001 // 4
    assert sum(length for _, length in chunks_of(vfs)) >= 4 * 40


def test_file_that_is_nothing_but_a_hole_comes_up(make_vfs: Any) -> None:
    base = make_vfs(chunk_size=64)
    base.touch("/f")
    base.truncate("/f", 1 << 40)
    vfs = over(make_vfs, base)

    with vfs.open("/f", "ab") as file:
        file.write(b"end")

    assert vfs.stat("/f").size == (1 << 40) + 3
    assert len(chunks_of(vfs)) == 1


# --- attributes -----------------------------------------------------------------------


@pytest.fixture
def base(make_vfs: Any) -> Vfs:
    """A tree in which everything has attributes that differ from what is usual."""
    base: Vfs = make_vfs(chunk_size=64, clock=lambda: 1_000)
    base.makedirs("/d/e")
    base.write_bytes("/d/e/f", counting(10_000))
    base.write_bytes("/d/e/small", b"small")
    base.symlink("f", "/d/e/l")
    base.link("/d/e/f", "/d/e/hard")
    for number, path in enumerate(("/d", "/d/e", "/d/e/f", "/d/e/small", "/d/e/l")):
        base.chown(path, 7 + number, "staff", follow_symlinks=False)
        base.setxattr(path, "user.n", b"%d" % number, follow_symlinks=False)
        base.setxattr(path, "user.\xe9", b"\0\xff" * 500, follow_symlinks=False)
        base.utime(path, ns=(20 + number, 30 + number), follow_symlinks=False)
    base.chmod("/d", 0o2710)
    base.chmod("/d/e", 0o1700)
    base.chmod("/d/e/f", 0o4640)
    return base


CHANGES: dict[str, tuple[Callable[[Vfs], object], set[str]]] = {
    "chmod": (lambda vfs: vfs.chmod("/d/e/f", 0o600), {"st_mode"}),
    "chown": (lambda vfs: vfs.chown("/d/e/f", 1, 2), {"st_uid", "st_gid", "group"}),
    "utime": (
        lambda vfs: vfs.utime("/d/e/f", ns=(1, 2)),
        {"st_atime_ns", "st_mtime_ns"},
    ),
    "setxattr": (lambda vfs: vfs.setxattr("/d/e/f", "user.n", b"x"), {"user.n"}),
    "removexattr": (lambda vfs: vfs.removexattr("/d/e/f", "user.n"), {"user.n"}),
    "write": (
        lambda vfs: vfs.write_bytes("/d/e/f", b"x" * 10_000),
        {"st_mtime_ns"},
    ),
    "truncate": (
        lambda vfs: vfs.truncate("/d/e/f", 5),
        {"st_mtime_ns", "st_size"},
    ),
    "truncate to nothing": (
        lambda vfs: vfs.truncate("/d/e/f", 0),
        {"st_mtime_ns", "st_size"},
    ),
    "open w": (
        lambda vfs: vfs.open("/d/e/f", "w").close(),
        {"st_mtime_ns", "st_size"},
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_change_keeps_all_that_it_is_not_about(
    make_vfs: Any, base: Vfs, change: str
) -> None:
    vfs = over(make_vfs, base)
    call, about = CHANGES[change]
    before = {path: all_of(base, path) for path in ("/d", "/d/e", "/d/e/f")}

    call(vfs)

    after = all_of(vfs, "/d/e/f")
    old = before["/d/e/f"] | {"st_nlink": 1}  # the link to it stays where it was
    changed = {
        key for key in old.keys() | after.keys() if old.get(key) != after.get(key)
    }
    assert changed <= about
    assert vfs.stat("/d/e/f").st_ctime_ns == NOW
    assert {path: all_of(vfs, path) for path in ("/d", "/d/e")} == {
        path: before[path] for path in ("/d", "/d/e")
    }
    assert vfs.which_layer("/d/e") == "local"
    assert [all_of(base, path) for path in before] == [*before.values()]
    assert base.stat("/d/e/f").st_ctime_ns == 1_000
    assert vfs.which_layer("/d/e/hard") == "base"
    assert vfs.read_bytes("/d/e/hard") == counting(10_000)


@pytest.mark.parametrize("path", ["/d", "/d/e/small", "/d/e/l"])
def test_directory_and_link_come_up_as_they_are(
    make_vfs: Any, base: Vfs, path: str
) -> None:
    vfs = over(make_vfs, base)
    before = all_of(base, path)

    vfs.setxattr(path, "user.new", b"1", follow_symlinks=False)

    assert all_of(vfs, path) == before | {"user.new": b"1"}
    assert vfs.lstat(path).st_ctime_ns == NOW
    assert vfs.lstat(path).source_layer == "local"
    if path == "/d/e/l":
        assert vfs.readlink(path) == "f"
        assert vfs.which_layer("/d/e/f") == "base"


def test_directory_that_comes_up_goes_on_merging(make_vfs: Any, base: Vfs) -> None:
    vfs = over(make_vfs, base)

    vfs.chmod("/d/e", 0o777)
    base.write_text("/d/e/later", "1")

    assert vfs.listdir("/d/e") == ["f", "hard", "l", "later", "small"]
    assert vfs.stat("/d/e").st_mode == stat.S_IFDIR | 0o777
    assert vfs.which_layer("/d") == "local"


def test_new_name_in_a_base_directory_changes_its_time_alone(
    make_vfs: Any, base: Vfs
) -> None:
    vfs = over(make_vfs, base)
    before = all_of(base, "/d/e"), all_of(base, "/d")

    vfs.touch("/d/e/new")

    assert all_of(vfs, "/d/e") == before[0] | {"st_mtime_ns": NOW}
    assert all_of(vfs, "/d") == before[1]


def test_second_change_copies_nothing_again(make_vfs: Any, base: Vfs) -> None:
    vfs = over(make_vfs, base)
    vfs.chmod("/d/e/f", 0o600)
    number = vfs.stat("/d/e/f").st_ino
    base.write_bytes("/d/e/f", b"other")

    vfs.chmod("/d/e/f", 0o644)

    assert vfs.stat("/d/e/f").st_ino == number
    assert vfs.read_bytes("/d/e/f") == counting(10_000)


@pytest.mark.parametrize("where", ["rename", "link", "replace"])
def test_moved_file_is_the_same_at_its_new_place(
    make_vfs: Any, base: Vfs, where: str
) -> None:
    vfs = over(make_vfs, base)
    before = all_of(base, "/d/e/f") | {"st_nlink": 2 if where == "link" else 1}

    getattr(vfs, where)("/d/e/f", "/x/y")

    assert all_of(vfs, "/x/y") == before
    assert vfs.read_bytes("/x/y") == counting(10_000)
    assert vfs.exists("/d/e/f") == (where == "link")


def test_renamed_tree_is_the_same_at_its_new_place(make_vfs: Any, base: Vfs) -> None:
    vfs = over(make_vfs, base)
    names = ("", "/e", "/e/f", "/e/small", "/e/l")
    before = [all_of(base, f"/d{name}") for name in names]
    before[2]["st_nlink"] = 1

    vfs.rename("/d", "/x")

    assert [all_of(vfs, f"/x{name}") for name in names] == before
    assert vfs.listdir("/") == ["x"]


def test_tree_of_several_layers_is_renamed_with_all_of_it(
    make_vfs: Any, base: Vfs, tmp_path: Path
) -> None:
    vfs = over(make_vfs, base)
    (tmp_path / "d" / "e").mkdir(parents=True)
    (tmp_path / "d" / "e" / "host").write_text("1")
    vfs.add_underlay(DirectoryLayer(tmp_path), -1)
    vfs.write_text("/d/e/mine", "1")
    vfs.remove("/d/e/small")

    vfs.rename("/d/e", "/x")

    assert vfs.listdir("/x") == ["f", "hard", "host", "l", "mine"]
    assert (vfs.listdir("/d"), vfs.listdir("/")) == ([], ["d", "x"])
    assert vfs.which_layer("/x/host") == "local"
    vfs.mkdir("/d/e")
    assert vfs.listdir("/d/e") == []
