"""Flatten: a merged view becomes one layer, at a path or in a file system."""

# ruff: noqa: PT012 - what a batch does before it fails is the test

from __future__ import annotations

import errno
import itertools
import os
import shutil
import stat
import zipfile
from io import BytesIO
from typing import TYPE_CHECKING, Any

import pytest
from tests import ground
from tests.api.grafting import edit, fill, filled, over, rows_of, seen

from stratavfs import InvalidArgument, LayerFailed, ReadOnlyError, VirtualFileSystem
from stratavfs._files import made_whole
from stratavfs.layers import DirectoryLayer, Inode, Layer, ZipLayer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture
def base(make_vfs: Any) -> Any:
    return filled(make_vfs)


@pytest.fixture(params=["memory", "file"])
def vfs(
    request: pytest.FixtureRequest, make_vfs: Any, tmp_path: Path, base: Any
) -> Any:
    """A file system over *base*, which stays as it is."""
    vfs = over(base, request.param, make_vfs, tmp_path)
    before = rows_of(base)
    yield vfs
    assert rows_of(base) == before


# --- to a path ------------------------------------------------------------------------


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Path]:
    """A directory of the host in which nothing but the container may be left."""
    room = tmp_path / "room"
    room.mkdir()
    yield room / "flat.db"
    assert set(os.listdir(room)) <= {"flat.db"}


def assert_flat(location: Path | str) -> None:
    """Nothing in the container knows of layers."""
    kinds = ground.query(location, "SELECT count(*) FROM entries WHERE kind = 14")
    opaque = ground.query(location, "SELECT count(*) FROM inodes WHERE opaque")
    assert (kinds, opaque) == ([(0,)], [(0,)])
    assert ground.integrity_of(location) == "ok"


@pytest.mark.parametrize("kind", ["str", "path", "relative"])
def test_flatten_to_a_path_makes_one_container_of_the_merged_view(
    vfs: VirtualFileSystem, made: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    edit(vfs)
    view, before = seen(vfs), rows_of(vfs)
    monkeypatch.chdir(made.parent)
    targets: dict[str, Any] = {"str": str(made), "path": made, "relative": "flat.db"}

    vfs.flatten(targets[kind])

    assert os.listdir(made.parent) == ["flat.db"]
    with VirtualFileSystem(made) as flat:
        assert seen(flat) == view
        assert flat.check() == []
        assert [layer["name"] for layer in flat.list_layers()] == ["local"]
        assert flat.chunk_size == vfs.chunk_size
    assert_flat(made)
    assert (seen(vfs), rows_of(vfs)) == (view, before)


def identity(path: Path) -> tuple[int, int, int, int]:
    """Return what is of one host file alone, and changes with it; reading does not."""
    found = path.lstat()
    return found.st_ino, found.st_mode, found.st_size, found.st_mtime_ns


@pytest.mark.parametrize("taken", ["container", "file", "directory", "dangling link"])
def test_flatten_onto_something_is_refused_and_leaves_it(
    vfs: VirtualFileSystem, made: Path, taken: str
) -> None:
    if taken == "directory":
        made.mkdir()
    elif taken == "dangling link":
        made.symlink_to("nowhere")
    elif taken == "file":
        made.write_bytes(b"mine")
    else:
        VirtualFileSystem(made).close()
    before = identity(made), made.read_bytes() if made.is_file() else b""

    with pytest.raises(FileExistsError) as caught:
        vfs.flatten(made)

    assert caught.value.filename == str(made)
    assert (identity(made), made.read_bytes() if made.is_file() else b"") == before


@pytest.mark.parametrize("above", ["missing", "file"])
def test_flatten_where_there_is_no_directory_names_the_path(
    vfs: VirtualFileSystem, made: Path, above: str
) -> None:
    target = str(made / "flat.db")
    if above == "file":
        made.write_bytes(b"mine")

    kind = NotADirectoryError if above == "file" else FileNotFoundError
    with pytest.raises(kind) as caught:
        vfs.flatten(target)

    assert caught.value.filename == target
    assert made.exists() == (above == "file")


@pytest.mark.parametrize(
    ("target", "kind"),
    [
        ("", ValueError),
        ("a\0b", ValueError),
        (b"flat.db", TypeError),
        (None, TypeError),
    ],
)
def test_flatten_to_what_is_no_path_is_refused(
    vfs: VirtualFileSystem, target: Any, kind: type[Exception]
) -> None:
    with pytest.raises(kind):
        vfs.flatten(target)


def test_flatten_to_memory_by_name_makes_no_file_of_that_name(
    mem: VirtualFileSystem, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    with pytest.raises(ValueError):
        mem.flatten(":memory:")

    assert os.listdir(tmp_path) == []


class Broken(Layer):
    """A layer of three files, of which the second cannot be read."""

    immutable = True

    def find(self, path: str) -> Inode | None:
        if path == "/":
            return Inode(stat.S_IFDIR | 0o755)
        return (
            Inode(stat.S_IFREG | 0o644, size=5) if path in ("/1", "/2", "/3") else None
        )

    def kinds(self, path: str) -> list[tuple[str, int]]:
        return [(name, stat.S_IFREG) for name in "123"]

    def open(self, path: str) -> Any:
        if path == "/2":
            raise OSError(errno.EIO, "unreadable")
        return BytesIO(b"12345")


def test_flatten_that_fails_midway_leaves_nothing(
    make_vfs: Any, made: Path, base: VirtualFileSystem
) -> None:
    vfs, target = make_vfs(), make_vfs()
    vfs.add_underlay(base, name="base")
    vfs.add_underlay(Broken(), 1, "broken")
    before = rows_of(target)

    places: tuple[Any, ...] = (made, target)
    for where in places:
        with pytest.raises(LayerFailed, match="broken") as caught:
            vfs.flatten(where)
        assert (caught.value.errno, caught.value.filename) == (errno.EIO, "/2")

    assert os.listdir(made.parent) == []
    assert rows_of(target) == before


class Meanwhile(Broken):
    """A layer of files; while the second is read, something else happens."""

    def __init__(self, act: Callable[[], object]) -> None:
        self._act = act

    def open(self, path: str) -> Any:
        if path == "/2":
            self._act()
        return BytesIO(b"12345")


@pytest.mark.parametrize("other", ["a file", "another flatten"])
def test_flatten_to_a_path_that_is_taken_meanwhile_is_refused_and_leaves_it(
    make_vfs: Any, vfs: VirtualFileSystem, made: Path, other: str
) -> None:
    def take() -> None:
        if other == "a file":
            made.write_bytes(b"precious")
        else:
            vfs.flatten(made)

    late = make_vfs()
    late.add_underlay(Meanwhile(take))

    with pytest.raises(FileExistsError) as caught:
        late.flatten(made)

    assert caught.value.filename == str(made)
    assert os.listdir(made.parent) == ["flat.db"]
    if other == "a file":
        assert made.read_bytes() == b"precious"
    else:
        with VirtualFileSystem(made) as flat:
            assert seen(flat) == seen(vfs)


def test_flatten_beside_what_a_killed_process_left_works(
    vfs: VirtualFileSystem, tmp_path: Path
) -> None:
    with made_whole(str(tmp_path / "scratch.db")) as part:
        shutil.copyfile(os.devnull, part)
    left = part.replace("scratch", "flat")  # of a process that had the same number
    with VirtualFileSystem(left) as half:
        half.write_bytes("/half", b"done")

    vfs.flatten(tmp_path / "flat.db")

    with VirtualFileSystem(tmp_path / "flat.db") as flat:
        assert seen(flat) == seen(vfs)


def test_flatten_of_a_closed_file_system_raises_and_makes_nothing(
    make_vfs: Any, made: Path
) -> None:
    vfs = make_vfs()
    vfs.close()

    with pytest.raises(ValueError, match="closed"):
        vfs.flatten(made)

    assert os.listdir(made.parent) == []


def test_flatten_of_a_read_only_file_system_works(
    make_vfs: Any, tmp_path: Path, made: Path
) -> None:
    with VirtualFileSystem(tmp_path / "c.db") as writer:
        fill(writer)
    vfs = make_vfs(tmp_path / "c.db", read_only=True)

    vfs.flatten(made)

    with VirtualFileSystem(made) as flat:
        assert seen(flat) == seen(vfs)


# --- into a file system ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("own", "below", "target"),
    [*itertools.permutations((2, 64, 65536)), (3, 3, 3), (5, 65536, 4)],
)
def test_flatten_between_chunk_sizes_keeps_everything(
    make_vfs: Any, own: int, below: int, target: int
) -> None:
    base, vfs, flat = (make_vfs(chunk_size=size) for size in (below, own, target))
    fill(base)
    vfs.add_underlay(base)
    edit(vfs)

    vfs.flatten(flat)

    assert seen(flat) == seen(vfs)
    assert flat.check() == []


def test_flatten_keeps_holes(make_vfs: Any, made: Path) -> None:
    base, vfs = make_vfs(chunk_size=64), make_vfs(chunk_size=128)
    with base.open("/sparse", "wb") as file:
        file.seek(1 << 20)
        file.write(b"end")
        file.truncate(1 << 21)
    vfs.add_underlay(base)

    vfs.flatten(made)

    assert ground.query(made, "SELECT count(*) FROM chunks") == [(1,)]
    with VirtualFileSystem(made) as flat:
        assert flat.read_bytes("/sparse") == base.read_bytes("/sparse")


def test_flatten_of_every_kind_of_layer_keeps_everything(
    make_vfs: Any, tmp_path: Path, made: Path, base: VirtualFileSystem
) -> None:
    host = tmp_path / "host"
    (host / "d" / "from host").mkdir(parents=True)
    (host / "d" / "from host" / "é").write_bytes(b"host" * 50)
    (host / "two").write_bytes(b"two names")
    os.link(host / "two", host / "names")
    for name in ("two", "d/from host/é"):
        os.utime(host / name, ns=(5, 6))
    os.symlink("two", host / "pointing")
    with zipfile.ZipFile(tmp_path / "mod.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("d/x", b"zip" * 1000)
        archive.writestr("only/here/z", b"")
    vfs, nested = make_vfs(chunk_size=64), make_vfs()
    nested.add_underlay(base)
    edit(nested)
    vfs.add_underlay(DirectoryLayer(host), 3, "host")
    vfs.add_underlay(ZipLayer(tmp_path / "mod.zip"), 2, "zip")
    vfs.add_underlay(nested, 1, "nested")
    vfs.add_underlay(base, 0, "mounted", at="/at/here")
    vfs.write_bytes("/only/there", b"local")
    seen(vfs)  # the host notes that its files were read, once

    vfs.flatten(made)

    with VirtualFileSystem(made) as flat:
        assert seen(flat) == seen(vfs)
        assert flat.stat("/two").st_nlink == 2
        assert flat.check() == []
    assert_flat(made)


class Numberless(Layer):
    """A layer that counts names without telling the numbers of its inodes."""

    immutable = True

    def find(self, path: str) -> Inode | None:
        if path == "/":
            return Inode(stat.S_IFDIR | 0o755)
        return Inode(stat.S_IFREG | 0o644, nlink=2, size=2)

    def kinds(self, path: str) -> list[tuple[str, int]]:
        return [(name, stat.S_IFREG) for name in "ab"]

    def open(self, path: str) -> Any:
        return BytesIO(path.encode())


def test_flatten_of_files_without_numbers_keeps_them_apart(make_vfs: Any) -> None:
    vfs, flat = make_vfs(), make_vfs()
    vfs.add_underlay(Numberless())

    vfs.flatten(flat)

    assert (flat.read_bytes("/a"), flat.read_bytes("/b")) == (b"/a", b"/b")


def test_flatten_of_one_name_of_two_counts_one(
    make_vfs: Any, vfs: VirtualFileSystem
) -> None:
    vfs.remove("/hard")
    flat = make_vfs()

    vfs.flatten(flat)

    assert vfs.stat("/f").st_nlink == 2
    assert flat.stat("/f").st_nlink == 1
    assert flat.check() == []


def test_flatten_keeps_the_names_of_a_link(make_vfs: Any) -> None:
    base, vfs, flat = make_vfs(), make_vfs(), make_vfs()
    base.symlink("nowhere", "/a")
    base.link("/a", "/b", follow_symlinks=False)
    vfs.add_underlay(base)

    vfs.flatten(flat)

    assert (flat.readlink("/a"), flat.readlink("/b")) == ("nowhere", "nowhere")
    assert flat.lstat("/a").st_ino == flat.lstat("/b").st_ino
    assert flat.lstat("/a").st_nlink == 2


def test_flatten_into_what_is_not_empty_is_refused_and_changes_nothing(
    make_vfs: Any, tmp_path: Path, vfs: VirtualFileSystem
) -> None:
    target = make_vfs(tmp_path / "target.db")
    target.mkdir("/something")
    before = rows_of(target)

    with pytest.raises(OSError) as caught:
        vfs.flatten(target)

    assert caught.value.errno == errno.ENOTEMPTY
    assert caught.value.filename == target.db_path
    assert rows_of(target) == before


def test_flatten_into_what_an_underlay_fills_is_refused(
    make_vfs: Any, vfs: VirtualFileSystem, base: VirtualFileSystem
) -> None:
    target = make_vfs()
    target.add_underlay(base)
    before = rows_of(target)

    with pytest.raises(OSError) as caught:
        vfs.flatten(target)

    assert caught.value.errno == errno.ENOTEMPTY
    assert rows_of(target) == before


def test_flatten_over_what_was_deleted_shows_nothing_of_it(
    make_vfs: Any, vfs: VirtualFileSystem, base: VirtualFileSystem
) -> None:
    target = make_vfs()
    target.add_underlay(base)
    for name in target.listdir():
        (target.rmtree if target.isdir(f"/{name}") else target.remove)(f"/{name}")
    edit(vfs)

    vfs.flatten(target)

    assert seen(target) == seen(vfs)
    assert target.check() == []


def test_flatten_refuses_itself_and_read_only_and_closed_ones(
    make_vfs: Any, tmp_path: Path, vfs: VirtualFileSystem
) -> None:
    edit(vfs)
    before = rows_of(vfs)
    VirtualFileSystem(tmp_path / "target.db").close()
    read_only = make_vfs(tmp_path / "target.db", read_only=True)
    closed = make_vfs()
    closed.close()

    with pytest.raises(InvalidArgument):
        vfs.flatten(vfs)
    with pytest.raises(ReadOnlyError) as caught:
        vfs.flatten(read_only)
    with pytest.raises(ValueError, match="closed"):
        vfs.flatten(closed)

    assert caught.value.filename == read_only.db_path
    assert rows_of(vfs) == before
    assert read_only.listdir() == []


def test_flatten_in_a_batch_of_the_target_is_taken_back_with_it(
    make_vfs: Any, vfs: VirtualFileSystem
) -> None:
    target = make_vfs()
    empty = rows_of(target)

    with pytest.raises(KeyError), target.atomic_batch():
        vfs.flatten(target)
        assert seen(target) == seen(vfs)
        raise KeyError

    assert rows_of(target) == empty
