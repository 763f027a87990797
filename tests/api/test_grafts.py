"""Whole trees from layer to layer: revert, flatten, apply_to, what they refuse."""

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

from stratavfs import InvalidArgument, LayerFailed, ReadOnlyError, VirtualFileSystem
from stratavfs._files import made_whole
from stratavfs.layers import DirectoryLayer, Inode, Layer, ZipLayer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

Seen = dict[str, tuple[Any, ...]]


def seen(vfs: VirtualFileSystem) -> Seen:
    """Return all that a merged view shows: attributes, times, bytes, names of a file.

    Left out are the count of names, since some may be deleted; ctime, the moment of the
    last change wherever it was made; and when the root was made, which is when its
    container was.
    """
    found: dict[str, tuple[Any, ...]] = {}
    names: dict[object, list[str]] = {}
    for path in ["/", *vfs.glob("**/*")]:
        status = vfs.lstat(path)
        content: bytes | str | None = None
        if stat.S_ISLNK(status.st_mode):
            content = vfs.readlink(path)
        elif stat.S_ISREG(status.st_mode):
            content = vfs.read_bytes(path)
        single = status.st_nlink == 1 or not status.st_ino
        identity = path if single else (status.st_dev, status.st_ino)
        beside = names.setdefault(identity, [])
        beside.append(path)
        attributes = {
            name: vfs.getxattr(path, name, follow_symlinks=False)
            for name in vfs.listxattr(path, follow_symlinks=False)
        }
        born = 0 if path == "/" else status.st_birthtime_ns
        times = status.st_atime_ns, status.st_mtime_ns, born
        owners = status.st_uid, status.st_gid, status.owner, status.group
        mode, size = status.st_mode, status.st_size
        size = 0 if stat.S_ISDIR(mode) else size
        found[path] = (mode, size, owners, times, content, attributes, beside)
    return found


def shown(vfs: VirtualFileSystem) -> Seen:
    """Return the same without directories' times, which change with names in them."""
    return {
        path: (*node[:3], None, *node[4:]) if stat.S_ISDIR(node[0]) else node
        for path, node in seen(vfs).items()
    }


def rows_of(vfs: VirtualFileSystem) -> ground.Dump:
    return ground.dump(vfs._store._cx)


def changed(vfs: VirtualFileSystem) -> list[str]:
    return sorted(map(str, vfs.diff()))


def fill(vfs: VirtualFileSystem) -> None:
    """Make some of everything, with attributes of its own."""
    for path in ("/f", "/d/x", "/d/y", "/d/sub/z", "/d/sub/deep/w", "/gone/q", "/e/x"):
        vfs.write_bytes(path, b"base " + path.encode())
    vfs.write_bytes("/big", bytes(range(256)) * 40)
    vfs.symlink("d/x", "/link")
    vfs.link("/f", "/hard")
    vfs.chmod("/d/y", 0o600)
    vfs.chown("/d/y", "ann", 7)
    vfs.chmod("/d/sub", 0o700)
    for path in ("/d/sub", "/d/y", "/link", "/"):
        vfs.setxattr(path, "user.of", path.encode(), follow_symlinks=False)
        vfs.utime(path, ns=(1_000_000_001, 2_000_000_002), follow_symlinks=False)


def edit(vfs: VirtualFileSystem) -> None:
    """Change some of everything."""
    vfs.write_bytes("/d/x", b"changed")
    with vfs.open("/big", "r+b") as file:
        file.write(b"patched")
    vfs.chmod("/d/sub/z", 0o640)
    vfs.setxattr("/d", "user.local", b"1")
    vfs.remove("/d/y")
    vfs.rmtree("/gone")
    vfs.rmtree("/e")
    vfs.write_bytes("/e/new", b"of an opaque directory")
    vfs.rename("/d/sub/deep", "/moved")
    vfs.write_bytes("/one", b"two names")
    vfs.link("/one", "/e/two")
    vfs.symlink("one", "/d/pointing")
    vfs.remove("/hard")
    vfs.mkdir("/hard")
    for path in ("/e", "/d", "/moved"):
        vfs.utime(path, ns=(3_000_000_003, 4_000_000_004))


@pytest.fixture
def base(make_vfs: Any) -> Any:
    vfs = make_vfs(chunk_size=64)
    fill(vfs)
    return vfs


@pytest.fixture(params=["memory", "file"])
def vfs(
    request: pytest.FixtureRequest, make_vfs: Any, tmp_path: Path, base: Any
) -> Any:
    """A file system over *base*, which stays as it is."""
    where = ":memory:" if request.param == "memory" else tmp_path / "local.db"
    vfs = make_vfs(where, 3)
    vfs.add_underlay(base, name="base")
    before = rows_of(base)
    yield vfs
    assert rows_of(base) == before


# --- revert ---------------------------------------------------------------------------


def act_on_directory(vfs: VirtualFileSystem) -> None:
    vfs.rmtree("/d")
    vfs.mkdir("/d")


def fill_opaque_directory(vfs: VirtualFileSystem) -> None:
    """Hide names at two depths by one opaque directory, and have some of them anew."""
    act_on_directory(vfs)
    vfs.write_bytes("/d/x", b"mine")
    vfs.write_bytes("/d/sub/mine", b"mine")


def file_for_directory(vfs: VirtualFileSystem) -> None:
    vfs.rmtree("/d")
    vfs.write_bytes("/d", b"a file")


# What is done, what is reverted, and what is still changed after that.
REVERTS: dict[str, tuple[Callable[[VirtualFileSystem], object], str, list[str]]] = {
    "modified file": (lambda vfs: vfs.write_bytes("/d/x", b"!"), "/d/x", []),
    "metadata": (lambda vfs: vfs.chmod("/d/x", 0), "/d/x", []),
    "deleted file": (lambda vfs: vfs.remove("/d/x"), "/d/x", []),
    "deleted directory": (lambda vfs: vfs.rmtree("/d"), "/d", []),
    "added file": (lambda vfs: vfs.write_bytes("/n", b""), "/n", []),
    "added directory": (lambda vfs: vfs.write_bytes("/n/x", b""), "/n", []),
    "link": (lambda vfs: vfs.symlink("d", "/n"), "/n", []),
    "nothing": (lambda vfs: None, "/d/x", []),
    "one of two": (
        lambda vfs: (vfs.remove("/d/x"), vfs.remove("/d/y")),  # type: ignore[func-returns-value]
        "/d/x",
        ["deleted /d/y"],
    ),
    "directory with changes": (
        lambda vfs: (vfs.write_bytes("/d/x", b"!"), vfs.write_bytes("/n", b"")),
        "/d",
        ["added /n"],
    ),
    "one name in a deleted directory": (
        lambda vfs: vfs.rmtree("/d"),
        "/d/x",
        ["deleted /d/sub", "deleted /d/y"],
    ),
    "one name deep in a deleted directory": (
        lambda vfs: vfs.rmtree("/d"),
        "/d/sub/deep/w",
        ["deleted /d/sub/z", "deleted /d/x", "deleted /d/y"],
    ),
    "directory in a deleted directory": (
        lambda vfs: vfs.rmtree("/d"),
        "/d/sub",
        ["deleted /d/x", "deleted /d/y"],
    ),
    "one name in an opaque directory": (
        act_on_directory,
        "/d/x",
        ["deleted /d/sub", "deleted /d/y"],
    ),
    "one name beside others in an opaque directory": (
        fill_opaque_directory,
        "/d/y",
        [
            "added /d/sub/mine",
            "deleted /d/sub/deep",
            "deleted /d/sub/z",
            "metadata /d/sub",
            "modified /d/x",
        ],
    ),
    "one name deep in an opaque directory": (
        fill_opaque_directory,
        "/d/sub/z",
        [
            "added /d/sub/mine",
            "deleted /d/sub/deep",
            "deleted /d/y",
            "metadata /d/sub",
            "modified /d/x",
        ],
    ),
    "own name in an opaque directory": (
        fill_opaque_directory,
        "/d/sub/mine",
        [
            "deleted /d/sub/deep",
            "deleted /d/sub/z",
            "deleted /d/y",
            "metadata /d/sub",
            "modified /d/x",
        ],
    ),
    "opaque directory": (fill_opaque_directory, "/d", []),
    "file for a directory": (file_for_directory, "/d", []),
    "new name of a renamed file": (
        lambda vfs: vfs.rename("/d/x", "/n"),
        "/n",
        ["deleted /d/x"],
    ),
    "old name of a renamed directory": (
        lambda vfs: vfs.rename("/d/sub/deep", "/n"),
        "/d/sub/deep",
        ["added /n", "added /n/w"],
    ),
    "new name of a renamed directory": (
        lambda vfs: vfs.rename("/d/sub/deep", "/n"),
        "/n",
        ["deleted /d/sub/deep"],
    ),
    "all": (edit, "/", []),
    "through a link": (
        lambda vfs: (vfs.symlink("d", "/way"), vfs.write_bytes("/d/x", b"!")),  # type: ignore[func-returns-value]
        "/way/x",
        ["added /way"],
    ),
}


@pytest.mark.parametrize("case", REVERTS)
def test_revert_shows_what_the_underlays_have(
    vfs: VirtualFileSystem, base: VirtualFileSystem, case: str
) -> None:
    act, path, left = REVERTS[case]
    act(vfs)

    vfs.revert(path)

    assert changed(vfs) == left
    assert vfs.check() == []
    if not left:
        assert {**shown(vfs), "/": None} == {**shown(base), "/": None}
    elif base.exists(path):
        assert vfs.which_layer(path) == "base"
    else:
        assert vfs.which_layer(path) in (None, "base")


def test_revert_of_all_leaves_the_root_alone_in_the_local_layer(
    vfs: VirtualFileSystem,
) -> None:
    edit(vfs)

    vfs.revert("/")

    rows = rows_of(vfs)
    assert [len(rows[table]) for table in ("inodes", "entries", "chunks")] == [1, 1, 0]


@pytest.mark.parametrize("path", ["/d/x", "/d"])
def test_revert_in_an_opaque_directory_leaves_its_siblings(
    vfs: VirtualFileSystem, path: str
) -> None:
    fill_opaque_directory(vfs)
    vfs.write_bytes("/d/own", b"own")

    vfs.revert("/d/y")

    assert vfs.listdir("/d") == ["own", "sub", "x", "y"]
    assert vfs.listdir("/d/sub") == ["mine"]
    assert vfs.read_bytes("/d/x") == b"mine"


def test_revert_of_one_hard_link_leaves_the_other(
    vfs: VirtualFileSystem, base: VirtualFileSystem
) -> None:
    vfs.write_bytes("/f", b"local")
    vfs.link("/f", "/other")

    vfs.revert("/f")

    assert vfs.read_bytes("/f") == base.read_bytes("/f")
    assert vfs.read_bytes("/other") == b"local"
    assert vfs.stat("/other").st_nlink == 1


def test_revert_while_open_lets_the_handle_read_on(vfs: VirtualFileSystem) -> None:
    vfs.write_bytes("/f", b"local bytes")
    with vfs.open("/f", "rb") as mine, vfs.open("/big", "r+b", buffering=0) as patched:
        patched.write(b"!!")
        assert mine.read(5) == b"local"

        vfs.revert("/")

        assert mine.read() == b" bytes"
        patched.seek(0)
        assert patched.read(4) == b"!!\x02\x03"
        assert vfs.read_bytes("/f") == b"base /f"
        assert vfs.read_bytes("/big")[:4] == b"\0\1\2\3"

    assert vfs.check() == []


@pytest.mark.parametrize("path", ["/missing", "/d/missing", "/f/below", "/deleted"])
def test_revert_of_what_no_layer_has_raises_and_changes_nothing(
    vfs: VirtualFileSystem, path: str
) -> None:
    edit(vfs)
    before = rows_of(vfs)

    with pytest.raises(
        NotADirectoryError if "f/" in path else FileNotFoundError
    ) as got:
        vfs.revert(path)

    assert got.value.filename == path
    assert rows_of(vfs) == before


def test_revert_below_a_local_file_raises_and_changes_nothing(
    vfs: VirtualFileSystem,
) -> None:
    file_for_directory(vfs)
    before = rows_of(vfs)

    with pytest.raises(NotADirectoryError) as caught:
        vfs.revert("/d/x")

    assert caught.value.filename in ("/d", "/d/x")
    assert rows_of(vfs) == before


def test_revert_without_underlays_removes(mem: VirtualFileSystem) -> None:
    fill(mem)

    mem.revert("/d")
    mem.revert("/f")

    assert mem.listdir() == ["big", "e", "gone", "hard", "link"]
    mem.revert("/")
    assert mem.listdir() == []


def test_revert_of_a_read_only_file_system_is_refused(
    make_vfs: Any, tmp_path: Path
) -> None:
    with VirtualFileSystem(tmp_path / "c.db") as writer:
        fill(writer)
    vfs = make_vfs(tmp_path / "c.db", read_only=True)

    for path in ("/f", "/", "/missing"):
        with pytest.raises(ReadOnlyError) as caught:
            vfs.revert(path)
        assert (caught.value.errno, caught.value.filename) == (errno.EROFS, path)

    assert vfs.isfile("/f")


@pytest.mark.parametrize("path", ["/", "/d", "/d/sub/z", "/gone/q", "/e/x"])
def test_revert_in_a_batch_that_fails_is_taken_back(
    vfs: VirtualFileSystem, path: str
) -> None:
    edit(vfs)
    before, view = rows_of(vfs), seen(vfs)

    with pytest.raises(KeyError), vfs.atomic_batch():
        vfs.revert(path)
        assert rows_of(vfs) != before
        raise KeyError

    assert rows_of(vfs) == before
    assert seen(vfs) == view


# --- flatten: to a path ---------------------------------------------------------------


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
    before = made.lstat(), made.read_bytes() if made.is_file() else b""

    with pytest.raises(FileExistsError) as caught:
        vfs.flatten(made)

    assert caught.value.filename == str(made)
    assert (made.lstat(), made.read_bytes() if made.is_file() else b"") == before


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


# --- flatten: into a file system ------------------------------------------------------


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


# --- apply_to -------------------------------------------------------------------------


@pytest.fixture
def copy(make_vfs: Any, base: VirtualFileSystem) -> Any:
    """The same as *base*, to apply changes to."""
    copy = make_vfs(chunk_size=5)
    base.flatten(copy)
    return copy


def below_root(seen: Seen) -> Seen:
    """Return the view without what each file system has for itself.

    That is the root, and when a directory was made that both have.
    """
    return {
        path: (*node[:3], node[3][:2], *node[4:]) if stat.S_ISDIR(node[0]) else node
        for path, node in seen.items()
        if path != "/"
    }


def test_apply_to_a_copy_of_the_base_makes_it_the_merged_view(
    vfs: VirtualFileSystem, copy: VirtualFileSystem
) -> None:
    edit(vfs)
    view, before = seen(vfs), rows_of(vfs)

    vfs.apply_to(copy)

    assert below_root(seen(copy)) == below_root(view)
    assert copy.check() == []
    assert (seen(vfs), rows_of(vfs)) == (view, before)


def test_apply_to_the_base_and_revert_keeps_the_view(
    make_vfs: Any, base: VirtualFileSystem
) -> None:
    vfs = make_vfs()
    vfs.add_underlay(base)
    edit(vfs)
    view = seen(vfs)

    vfs.apply_to(base)
    between = seen(vfs)
    vfs.revert("/")

    assert below_root(between) == below_root(view)
    assert below_root(seen(vfs)) == below_root(view)
    assert vfs.diff() == []
    assert vfs.which_layer("/e/new") == "underlay_0"
    assert base.check() == []


def test_apply_to_carries_the_roots_attributes(
    vfs: VirtualFileSystem, copy: VirtualFileSystem
) -> None:
    vfs.chmod("/", 0o700)
    vfs.setxattr("/", "user.root", b"1")

    vfs.apply_to(copy)

    assert stat.S_IMODE(copy.stat("/").st_mode) == 0o700
    assert copy.getxattr("/", "user.root") == b"1"


def test_apply_to_twice_changes_nothing_more(
    vfs: VirtualFileSystem, copy: VirtualFileSystem
) -> None:
    edit(vfs)
    vfs.apply_to(copy)
    once = below_root(seen(copy))

    vfs.apply_to(copy)

    assert below_root(seen(copy)) == once


def test_apply_to_without_changes_leaves_every_row(
    vfs: VirtualFileSystem, copy: VirtualFileSystem
) -> None:
    before = rows_of(copy)

    vfs.apply_to(copy)

    assert rows_of(copy) == before


def test_apply_to_without_underlays_copies_all(
    make_vfs: Any, copy: VirtualFileSystem
) -> None:
    vfs = make_vfs()
    vfs.write_bytes("/d/x", b"mine")
    vfs.write_bytes("/n/x", b"new")

    vfs.apply_to(copy)

    assert copy.read_bytes("/d/x") == b"mine"
    assert copy.read_bytes("/n/x") == b"new"
    assert copy.listdir("/d") == ["sub", "x", "y"]


def test_apply_to_removes_what_is_deleted_and_minds_no_missing_name(
    vfs: VirtualFileSystem, copy: VirtualFileSystem
) -> None:
    vfs.remove("/d/x")
    vfs.rmtree("/d/sub")
    vfs.remove("/f")
    copy.remove("/f")
    copy.write_bytes("/d/sub/of the target", b"1")

    vfs.apply_to(copy)

    assert copy.listdir("/d") == ["y"]
    assert not copy.exists("/f")


def test_apply_to_lets_an_opaque_directory_replace_the_targets(
    vfs: VirtualFileSystem, copy: VirtualFileSystem
) -> None:
    fill_opaque_directory(vfs)
    copy.write_bytes("/d/of the target", b"1")
    copy.write_bytes("/d/sub/of the target", b"1")

    vfs.apply_to(copy)

    assert copy.glob("/d/**/*") == ["/d/sub", "/d/sub/mine", "/d/x"]


def make_file(vfs: VirtualFileSystem) -> None:
    vfs.write_bytes("/p", b"file")


def make_directory(vfs: VirtualFileSystem) -> None:
    vfs.write_bytes("/p/x", b"in a directory")


def make_link(vfs: VirtualFileSystem) -> None:
    vfs.symlink("elsewhere", "/p")


TYPES = (make_file, make_directory, make_link)


@pytest.mark.parametrize(("old", "new"), [*itertools.permutations(TYPES, 2)])
def test_apply_to_changes_a_type(make_vfs: Any, old: Any, new: Any) -> None:
    vfs, base, copy = make_vfs(), make_vfs(), make_vfs()
    for below in (base, copy):
        below.mkdir("/elsewhere")
        old(below)
    vfs.add_underlay(base)
    (vfs.rmtree if old is make_directory else vfs.remove)("/p")
    new(vfs)

    vfs.apply_to(copy)

    assert below_root(seen(copy)).keys() == below_root(seen(vfs)).keys()
    assert copy.lstat("/p").st_mode == vfs.lstat("/p").st_mode
    assert copy.listdir("/elsewhere") == []


def test_apply_to_a_target_with_a_link_in_the_way_makes_what_a_stack_would_show(
    vfs: VirtualFileSystem, copy: VirtualFileSystem
) -> None:
    vfs.write_bytes("/d/x", b"changed")
    copy.rename("/d", "/real")
    copy.symlink("real", "/d")
    before = copy.read_bytes("/real/x")
    vfs.remove_underlay("base")
    vfs.add_underlay(copy)
    view = seen(vfs)

    vfs.apply_to(copy)

    assert below_root(seen(copy)) == below_root(view)
    assert copy.listdir("/d") == ["x"]
    assert copy.read_bytes("/real/x") == before


def test_apply_to_a_target_with_underlays_leaves_whiteouts_there(
    make_vfs: Any, vfs: VirtualFileSystem, copy: VirtualFileSystem
) -> None:
    target = make_vfs(chunk_size=3)
    target.add_underlay(copy, name="its own")
    below = rows_of(copy)
    edit(vfs)

    vfs.apply_to(target)

    assert below_root(seen(target)) == below_root(seen(vfs))
    assert rows_of(copy) == below
    assert target.check() == []
    assert {change for change in changed(target) if change.startswith("deleted")} == {
        change for change in changed(vfs) if change.startswith("deleted")
    }


def test_apply_to_keeps_hard_links_of_the_local_layer(
    vfs: VirtualFileSystem, copy: VirtualFileSystem
) -> None:
    vfs.write_bytes("/f", b"changed")
    for name in ("/d/another", "/n/another"):
        vfs.link("/f", name)

    vfs.apply_to(copy)

    assert copy.samefile("/f", "/d/another")
    assert copy.samefile("/f", "/n/another")
    assert copy.stat("/f").st_nlink == 3
    assert copy.read_bytes("/hard") == b"base /f"


def test_apply_to_lets_open_handles_of_the_target_read_on(
    vfs: VirtualFileSystem, copy: VirtualFileSystem
) -> None:
    vfs.write_bytes("/f", b"changed")
    vfs.rmtree("/d")

    with copy.open("/f", "rb") as first, copy.open("/d/x", "rb") as second:
        vfs.apply_to(copy)

        assert (first.read(), second.read()) == (b"base /f", b"base /d/x")
    assert copy.check() == []


def test_apply_to_a_full_disk_changes_nothing(
    vfs: VirtualFileSystem, copy: VirtualFileSystem
) -> None:
    edit(vfs)
    vfs.write_bytes("/zzz", bytes(range(256)) * 100)
    before = rows_of(copy)
    ground.limit_pages(copy._store._cx, 4)

    with pytest.raises(OSError) as caught:
        vfs.apply_to(copy)

    assert caught.value.errno == errno.ENOSPC
    assert rows_of(copy) == before
    ground.lift_limit(copy._store._cx)
    vfs.apply_to(copy)
    assert below_root(seen(copy)) == below_root(seen(vfs))


def test_apply_to_in_a_batch_of_the_target_is_taken_back_with_it(
    vfs: VirtualFileSystem, copy: VirtualFileSystem
) -> None:
    edit(vfs)
    before = rows_of(copy)

    with pytest.raises(KeyError), copy.atomic_batch():
        vfs.apply_to(copy)
        assert below_root(seen(copy)) == below_root(seen(vfs))
        raise KeyError

    assert rows_of(copy) == before


def test_apply_to_in_a_batch_of_the_source_carries_what_is_done_in_it(
    vfs: VirtualFileSystem, copy: VirtualFileSystem
) -> None:
    with pytest.raises(KeyError), vfs.atomic_batch():
        vfs.write_bytes("/f", b"in a batch")
        vfs.apply_to(copy)
        raise KeyError

    assert copy.read_bytes("/f") == b"in a batch"
    assert vfs.read_bytes("/f") == b"base /f"


def test_apply_to_refuses_itself_and_what_cannot_be_written(
    make_vfs: Any, tmp_path: Path, vfs: VirtualFileSystem
) -> None:
    edit(vfs)
    before = rows_of(vfs)
    VirtualFileSystem(tmp_path / "target.db").close()
    read_only = make_vfs(tmp_path / "target.db", read_only=True)
    closed = make_vfs()
    closed.close()

    with pytest.raises(InvalidArgument):
        vfs.apply_to(vfs)
    with pytest.raises(ReadOnlyError) as caught:
        vfs.apply_to(read_only)
    for gone in (closed.apply_to, vfs.apply_to):
        with pytest.raises(ValueError, match="closed"):
            gone(closed if gone == vfs.apply_to else vfs)
    targets: list[Any] = [None, str(tmp_path / "target.db"), DirectoryLayer(tmp_path)]
    for target in targets:
        with pytest.raises(TypeError):
            vfs.apply_to(target)

    assert caught.value.filename == read_only.db_path
    assert rows_of(vfs) == before
    assert read_only.listdir() == []
