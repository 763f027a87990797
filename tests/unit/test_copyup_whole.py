"""Copy-up: all or nothing, whatever fails, and in little memory."""

from __future__ import annotations

import errno
import io
import stat
import tracemalloc
from typing import TYPE_CHECKING, Any

import pytest
from tests import ground
from tests.unit.test_copyup import all_of, counting, over, rows_of

from stratavfs import VirtualFileSystem
from stratavfs._copyup import as_local
from stratavfs.layers import DirectoryLayer
from stratavfs.records import Inode

if TYPE_CHECKING:
    from pathlib import Path

Vfs = VirtualFileSystem


@pytest.fixture
def base(make_vfs: Any) -> Vfs:
    base: Vfs = make_vfs(chunk_size=64, clock=lambda: 1_000)
    base.write_bytes("/d/e/f", counting(10_000))
    base.write_bytes("/d/e/small", b"small")
    base.chmod("/d", 0o2710)
    base.setxattr("/d", "user.n", b"1")
    base.chown("/d", 7, "staff")
    base.utime("/d", ns=(20, 30))
    return base


# --- all or nothing -------------------------------------------------------------------


def test_copy_up_on_a_full_disk_changes_nothing(
    make_vfs: Any, base: Vfs, tmp_path: Path
) -> None:
    base.write_bytes("/big", counting(500_000))
    vfs = make_vfs(tmp_path / "local.db", 4096)
    vfs.add_underlay(base, name="base")
    vfs.touch("/mine")
    before = rows_of(vfs)
    ground.limit_pages(vfs._store._cx, 20)

    with pytest.raises(OSError, match="full") as caught:
        vfs.chmod("/big", 0o600)

    assert caught.value.errno == errno.ENOSPC
    ground.lift_limit(vfs._store._cx)
    assert rows_of(vfs) == before
    assert vfs.which_layer("/big") == "base"
    vfs.chmod("/big", 0o600)
    assert vfs.read_bytes("/big") == counting(500_000)


def test_handle_whose_file_does_not_come_up_goes_on_with_the_base(
    make_vfs: Any, base: Vfs, tmp_path: Path
) -> None:
    base.write_bytes("/big", counting(500_000))
    vfs = make_vfs(tmp_path / "local.db", 4096)
    vfs.add_underlay(base, name="base")
    with vfs.open("/big", "r+b", 0) as file:
        ground.limit_pages(vfs._store._cx, 20)
        with pytest.raises(OSError, match="full"):
            file.write(b"x")

        assert (file.tell(), file.read(8)) == (0, b"0000000|")
        ground.lift_limit(vfs._store._cx)
        assert file.write(b"y") == 1
        assert file.read(3) == b"000"
    assert vfs.read_bytes("/big")[:12] == b"0000000|y000"


def test_path_that_is_too_long_does_not_come_up(make_vfs: Any) -> None:
    base = make_vfs()
    path = ("/" + "n" * 200) * 20
    base.write_bytes(path, b"1")
    vfs = make_vfs()
    vfs.add_underlay(base, name="base", at="/mount/" + "m" * 200)
    before = rows_of(vfs)

    for call in (vfs.exists, vfs.isfile):
        assert call("/mount/" + "m" * 200 + path) is False
    with pytest.raises(OSError, match="long") as caught:
        vfs.rename("/mount/" + "m" * 200, "/x" * 30)

    assert caught.value.errno == errno.ENAMETOOLONG
    assert rows_of(vfs) == before


def test_tree_that_fails_in_its_middle_is_not_moved(
    make_vfs: Any, base: Vfs, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "d" / "e").mkdir(parents=True)
    for name in "abc":
        (tmp_path / "d" / "e" / name).write_text(name)
    directory = DirectoryLayer(tmp_path)
    vfs = over(make_vfs, base)
    vfs.add_underlay(directory, -1, "host")
    before = rows_of(vfs)
    opened = directory.open

    def fail(path: str) -> Any:
        if path.endswith("/b"):
            raise OSError(errno.EIO, "bad sector", path)
        return opened(path)

    monkeypatch.setattr(directory, "open", fail)

    with pytest.raises(OSError, match="host"):
        vfs.rename("/d", "/x")

    assert rows_of(vfs) == before
    assert (vfs.exists("/x"), vfs.read_text("/d/e/a")) == (False, "a")


# --- copying and restoring ------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 5, 10_000])
def test_copy_of_a_base_file_copies_its_bytes_and_brings_nothing_up(
    make_vfs: Any, base: Vfs, size: int
) -> None:
    base.write_bytes("/src", counting(size))
    vfs = over(make_vfs, base)

    vfs.copy("/src", "/a")
    vfs.write_bytes("/b", b"old" * 5000)
    vfs.copy2("/src", "/b")

    assert vfs.read_bytes("/a") == vfs.read_bytes("/b") == counting(size)
    assert vfs.which_layer("/src") == "base"
    assert vfs.copy("/a", "/c") == "/c"
    assert vfs.read_bytes("/c") == counting(size)


@pytest.mark.parametrize("verb", ["copy", "chmod"])
def test_file_that_goes_while_it_is_copied_is_not_found(
    make_vfs: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    (tmp_path / "f").write_text("1")
    directory = DirectoryLayer(tmp_path)
    vfs = over(make_vfs, directory)
    before = rows_of(vfs)

    def gone(path: str) -> Any:
        raise FileNotFoundError(errno.ENOENT, "gone", path)

    monkeypatch.setattr(directory, "open", gone)

    with pytest.raises(FileNotFoundError) as caught:
        vfs.copy("/f", "/g") if verb == "copy" else vfs.chmod("/f", 0o600)

    assert caught.value.filename == "/f"
    assert rows_of(vfs) == before


@pytest.mark.parametrize("verb", ["copy", "chmod", "handle"])
def test_file_that_is_cut_while_it_is_copied_is_busy(
    make_vfs: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    verb: str,
) -> None:
    size = 200_000
    (tmp_path / "f").write_bytes(counting(size))
    directory = DirectoryLayer(tmp_path)
    vfs = over(make_vfs, directory)
    before = rows_of(vfs)

    class Cut(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            return b""

    monkeypatch.setattr(directory, "open", lambda path: Cut(counting(size)))

    with pytest.raises(OSError, match="changed") as caught:
        change(vfs, verb)

    assert (caught.value.errno, caught.value.filename) == (errno.EBUSY, "/f")
    assert rows_of(vfs) == before


def change(vfs: Vfs, verb: str) -> None:
    if verb == "copy":
        vfs.copy("/f", "/g")
    elif verb == "chmod":
        vfs.chmod("/f", 0o600)
    else:
        with vfs.open("/f", "r+b", 0) as file:
            file.write(b"x")


def test_revert_gives_a_directory_the_attributes_of_the_base(
    make_vfs: Any, base: Vfs
) -> None:
    vfs = over(make_vfs, base)
    before = all_of(base, "/d")
    vfs.chmod("/d", 0o777)
    vfs.chown("/d", 1, 1)
    vfs.setxattr("/d", "user.new", b"1")
    vfs.removexattr("/d", "user.n")
    vfs.write_bytes("/d/e/f", b"mine")

    vfs.revert("/d")

    assert all_of(vfs, "/d") == before
    assert vfs.read_bytes("/d/e/f") == counting(10_000)
    assert vfs.diff() == []


def test_apply_of_an_opaque_directory_replaces_what_is_there(
    make_vfs: Any, base: Vfs
) -> None:
    vfs = over(make_vfs, base)
    vfs.rmtree("/d")
    vfs.write_text("/d/only", "1")

    vfs.apply_to(base)

    assert [*base.walk("/")] == [("/", ["d"], []), ("/d", [], ["only"])]


def test_apply_of_a_directory_where_the_target_has_deleted_one_is_opaque(
    make_vfs: Any, base: Vfs
) -> None:
    target = over(make_vfs, base)
    target.rmtree("/d")
    vfs = make_vfs()
    vfs.write_text("/d/new", "1")

    vfs.apply_to(target)

    assert target.listdir("/d") == ["new"]
    assert base.listdir("/d") == ["e"]


def test_flatten_brings_everything_into_one_container(make_vfs: Any, base: Vfs) -> None:
    base.link("/d/e/f", "/d/hard")
    vfs, target = over(make_vfs, base), make_vfs(chunk_size=3)
    vfs.symlink("d/e", "/l")

    vfs.flatten(target)

    assert target.listdir("/l") == ["f", "small"]
    assert target.read_bytes("/d/hard") == counting(10_000)
    assert target.samefile("/d/e/f", "/d/hard")
    assert all_of(target, "/d") == all_of(base, "/d")


def test_graft_of_what_no_layer_has_is_not_found(make_vfs: Any) -> None:
    vfs = make_vfs()
    vfs.touch("/f")
    entry = vfs._layers.locate("/f")

    with pytest.raises(FileNotFoundError), vfs.atomic_batch():
        vfs._copy_up.graft(entry, 1)


# --- memory ---------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.no_slow_contracts("single")
def test_large_file_comes_up_in_little_memory(make_vfs: Any, tmp_path: Path) -> None:
    size = 64 << 20
    base = make_vfs(tmp_path / "base.db")
    with base.open("/f", "wb") as file:
        for number in range(64):
            file.write(bytes([number + 1]) * (1 << 20))
    vfs = make_vfs(tmp_path / "local.db")
    vfs.add_underlay(base)
    tracemalloc.start()
    try:
        vfs.chmod("/f", 0o600)
        (_, peak) = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert peak < 8 << 20
    assert vfs.stat("/f").size == size
    with vfs.open("/f", "rb") as file:
        assert all(
            file.read(1 << 20) == bytes([number + 1]) * (1 << 20)
            for number in range(64)
        )


def test_as_local_gives_sizes_that_the_local_layer_holds() -> None:
    directory = Inode(stat.S_IFDIR | 0o755, size=4096)
    link = Inode(stat.S_IFLNK | 0o777, size=99, target="é")
    file = Inode(stat.S_IFREG | 0o644, size=7, generation=9)

    assert [as_local(it).size for it in (directory, link, file)] == [0, 2, 7]
    assert [as_local(it).generation for it in (directory, file)] == [2, 9]
