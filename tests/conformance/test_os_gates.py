"""What the root, a read-only and a closed file system refuse."""

from __future__ import annotations

import errno
import io
from typing import TYPE_CHECKING, Any

import icontract
import pytest
from tests.conformance.calls import (
    CALLS,
    READERS,
    WRITERS,
    path_places,
    public_methods,
    tree_of,
)

from stratavfs import InvalidArgument, ReadOnlyError, RootRefused, VirtualFileSystem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

PLACES = sorted(CALLS)


# What asks of a directory.
OF_DIRECTORIES = {"export_tree", "find", "listdir", "scandir", "tree", "walk"}


@pytest.fixture
def furnished(mem: VirtualFileSystem) -> VirtualFileSystem:
    """A file system in memory with a little of everything."""
    furnish(mem)
    return mem


def furnish(vfs: VirtualFileSystem) -> None:
    vfs.write_bytes("/other", b"other")
    vfs.write_bytes("/file", b"data")
    vfs.setxattr("/file", "user.x", b"1")
    vfs.makedirs("/dir/sub")
    vfs.symlink("file", "/link")


def test_every_place_for_a_path_has_a_call_in_the_table() -> None:
    in_table = {place.split(" ")[0] for place in CALLS}

    assert in_table == path_places()


# --- the root -------------------------------------------------------------------------

# What to call with "/" -> the class and the errno that the local disk has for it.
ROOT_REFUSALS: dict[str, tuple[Any, int]] = {
    "remove.path": (IsADirectoryError, errno.EISDIR),
    "unlink.path": (IsADirectoryError, errno.EISDIR),
    "rmdir.path": (OSError, errno.EBUSY),
    "rmtree.path": (OSError, errno.EBUSY),
    "rename.src": (OSError, errno.EBUSY),
    "replace.src": (OSError, errno.EBUSY),
    "replace.dst": (OSError, errno.EBUSY),
    "move.src": (OSError, errno.EBUSY),
    "mkdir.path": (FileExistsError, errno.EEXIST),
    "makedirs.path": (FileExistsError, errno.EEXIST),
}
OTHER_REFUSALS: dict[str, tuple[Any, int]] = {
    "rename.dst": (FileExistsError, errno.EEXIST),
    "link.dst": (FileExistsError, errno.EEXIST),
    "symlink.dst": (FileExistsError, errno.EEXIST),
    "link.src": (PermissionError, errno.EPERM),
    "copytree.dst": (FileExistsError, errno.EEXIST),
    "copytree.src": (OSError, errno.EINVAL),
    "copy.src": (IsADirectoryError, errno.EISDIR),
    "copy2.src": (IsADirectoryError, errno.EISDIR),
    "truncate.path": (IsADirectoryError, errno.EISDIR),
    "write_bytes.path": (IsADirectoryError, errno.EISDIR),
    "write_text.path": (IsADirectoryError, errno.EISDIR),
    "read_bytes.path": (IsADirectoryError, errno.EISDIR),
    "read_text.path": (IsADirectoryError, errno.EISDIR),
    "readlink.path": (OSError, errno.EINVAL),
    "open.path": (IsADirectoryError, errno.EISDIR),
    "open.path (w)": (IsADirectoryError, errno.EISDIR),
    "open.path (a)": (IsADirectoryError, errno.EISDIR),
    "open.path (r+)": (IsADirectoryError, errno.EISDIR),
    "open.path (x)": (FileExistsError, errno.EEXIST),
}


@pytest.mark.parametrize("root", ["/", "//", "/.", "/..", "a/.."])
@pytest.mark.parametrize("place", ROOT_REFUSALS)
def test_act_on_the_root_is_refused_and_changes_nothing(
    furnished: VirtualFileSystem, place: str, root: str
) -> None:
    kind, code = ROOT_REFUSALS[place]
    before = tree_of(furnished)

    with pytest.raises(kind) as caught:
        CALLS[place](furnished, root)

    assert isinstance(caught.value, icontract.ViolationError)
    assert isinstance(caught.value, RootRefused)
    assert caught.value.errno == code
    assert "/" in {caught.value.filename, caught.value.filename2}
    assert tree_of(furnished) == before


@pytest.mark.parametrize("place", OTHER_REFUSALS)
def test_use_the_root_where_another_kind_is_needed_is_refused(
    furnished: VirtualFileSystem, place: str
) -> None:
    kind, code = OTHER_REFUSALS[place]
    before = tree_of(furnished)

    with pytest.raises(kind) as caught:
        CALLS[place](furnished, "/")

    assert caught.value.errno == code
    assert "/" in {caught.value.filename, caught.value.filename2}
    assert tree_of(furnished) == before


@pytest.mark.parametrize("make", ["mkdir", "makedirs"])
def test_make_the_root_with_exist_ok_changes_nothing(
    furnished: VirtualFileSystem, make: str
) -> None:
    before = tree_of(furnished)

    getattr(furnished, make)("/", exist_ok=True)

    assert tree_of(furnished) == before


# --- read-only ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("shipped") / "shipped.db"
    with VirtualFileSystem(str(path)) as vfs:
        furnish(vfs)
    return path


@pytest.fixture(params=["read_only", "immutable"])
def sealed(
    request: pytest.FixtureRequest, shipped: Path
) -> Iterator[VirtualFileSystem]:
    options: dict[str, Any] = {request.param: True}
    with VirtualFileSystem(str(shipped), **options) as vfs:
        yield vfs


@pytest.mark.parametrize("path", ["/file", "/no/such", "/file/x"])
@pytest.mark.parametrize("place", sorted(WRITERS))
def test_change_anything_when_read_only_is_refused_with_erofs(
    sealed: VirtualFileSystem, place: str, path: str
) -> None:
    before = tree_of(sealed)

    with pytest.raises(ReadOnlyError) as caught:
        WRITERS[place](sealed, path)

    assert isinstance(caught.value, PermissionError)
    assert caught.value.errno == errno.EROFS
    two_paths = place.split(".")[1].split(" ", maxsplit=1)[0] != "path"
    names = {caught.value.filename, caught.value.filename2} - {None}
    assert path in names or (two_paths and names)
    assert tree_of(sealed) == before


@pytest.mark.parametrize("place", sorted(READERS))
def test_ask_when_read_only_answers_as_a_writable_one(
    sealed: VirtualFileSystem, furnished: VirtualFileSystem, place: str
) -> None:
    path = "/dir" if place.split(".", maxsplit=1)[0] in OF_DIRECTORIES else "/file"
    path = "/link" if place == "readlink.path" else path

    answers = [READERS[place](vfs, path) for vfs in (sealed, furnished)]

    if place.split(".", maxsplit=1)[0] not in {
        "stat",
        "lstat",
        "scandir",
    }:  # times and numbers
        assert answers[0] == answers[1]


def test_batch_when_read_only_is_refused(sealed: VirtualFileSystem) -> None:
    with pytest.raises(ReadOnlyError) as caught, sealed.atomic_batch():
        pass

    assert caught.value.errno == errno.EROFS


@pytest.mark.parametrize("name", ["atomic_batch", "savepoint", "repair", "compact"])
def test_change_without_a_path_when_read_only_is_refused_with_erofs(
    sealed: VirtualFileSystem, name: str
) -> None:
    before = tree_of(sealed)

    with pytest.raises(ReadOnlyError) as caught:
        PATHLESS[name](sealed)

    assert (caught.value.errno, caught.value.filename) == (errno.EROFS, sealed.db_path)
    assert tree_of(sealed) == before


@pytest.mark.parametrize("mode", ["r", "rb"])
def test_write_through_a_reading_handle_when_read_only_is_unsupported(
    sealed: VirtualFileSystem, mode: str
) -> None:
    data: Any = "x" if mode == "r" else b"x"

    with sealed.open("/file", mode) as f, pytest.raises(io.UnsupportedOperation):
        f.write(data)


def test_flush_and_sync_when_read_only_do_nothing(sealed: VirtualFileSystem) -> None:
    sealed.flush()
    sealed.sync()

    assert sealed.read_only
    assert sealed.check() == []


def test_memory_when_read_only_is_an_empty_tree(
    make_vfs: Callable[..., VirtualFileSystem],
) -> None:
    vfs = make_vfs(":memory:", read_only=True)

    assert vfs.listdir() == []
    with pytest.raises(ReadOnlyError):
        vfs.mkdir("/a")


# --- closed ---------------------------------------------------------------------------


@pytest.fixture(params=["memory", "file", "sealed"])
def closed(
    request: pytest.FixtureRequest,
    make_vfs: Callable[..., VirtualFileSystem],
    tmp_path: Path,
    shipped: Path,
) -> VirtualFileSystem:
    where = {"memory": ":memory:", "file": tmp_path / "c.db", "sealed": shipped}
    vfs = make_vfs(where[request.param], read_only=request.param == "sealed")
    vfs.close()
    return vfs


@pytest.mark.parametrize("place", PLACES)
def test_call_any_method_with_a_path_when_closed_is_refused(
    closed: VirtualFileSystem, place: str
) -> None:
    with pytest.raises(ValueError, match="closed") as caught:
        CALLS[place](closed, "/file")

    assert not isinstance(caught.value, InvalidArgument)


PATHLESS: dict[str, Callable[[VirtualFileSystem], object]] = {
    "flush": lambda vfs: vfs.flush(),
    "sync": lambda vfs: vfs.sync(),
    "check": lambda vfs: vfs.check(),
    "list_layers": lambda vfs: vfs.list_layers(),
    "add_underlay": lambda vfs: vfs.add_underlay("."),
    "remove_underlay": lambda vfs: vfs.remove_underlay("base"),
    "set_priority": lambda vfs: vfs.set_priority("base", 1),
    "flatten": lambda vfs: vfs.flatten("nowhere.db"),
    "apply_to": lambda vfs: vfs.apply_to(vfs),
    "atomic_batch": lambda vfs: vfs.atomic_batch().__enter__(),
    "savepoint": lambda vfs: vfs.savepoint(),
    "repair": lambda vfs: vfs.repair(),
    "backup": lambda vfs: vfs.backup("nowhere.db"),
    "compact": lambda vfs: vfs.compact(),
    "stats": lambda vfs: vfs.stats(),
    "fork": lambda vfs: vfs.fork(),
    "pack": lambda vfs: vfs.pack("nowhere.db"),
    "access_trace": lambda vfs: vfs.access_trace(),
}


@pytest.mark.parametrize("name", sorted(PATHLESS))
def test_call_any_method_without_a_path_when_closed_is_refused(
    closed: VirtualFileSystem, name: str
) -> None:
    with pytest.raises(ValueError, match="closed"):
        PATHLESS[name](closed)


def test_every_public_method_is_called_when_closed() -> None:
    called = {place.split(".")[0] for place in CALLS} | set(PATHLESS) | {"close"}

    assert called == public_methods()


def test_close_twice_and_look_at_a_closed_one_is_allowed(
    closed: VirtualFileSystem,
) -> None:
    closed.close()
    closed.__exit__(None, None, None)

    assert closed.closed
    assert closed.chunk_size == 65536
    assert closed.db_path
    assert isinstance(closed.read_only, bool)
    assert "closed" in repr(closed)


def test_enter_a_closed_one_is_refused_as_for_files(closed: VirtualFileSystem) -> None:
    with pytest.raises(ValueError, match="closed"):
        closed.__enter__()


def test_close_closes_open_handles_and_keeps_what_they_wrote(tmp_path: Path) -> None:
    location = str(tmp_path / "c.db")
    vfs = VirtualFileSystem(location)
    f = vfs.open("/f", "w")
    f.write("kept")

    with pytest.warns(ResourceWarning, match="closed with"):
        vfs.close()

    assert f.closed
    with pytest.raises(ValueError, match="closed"):
        f.write("more")
    with VirtualFileSystem(location) as again:
        assert again.read_text("/f") == "kept"
