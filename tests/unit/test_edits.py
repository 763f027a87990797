"""The changes: each decides first, changes last, and stamps what it touched."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Any

import pytest

from stratavfs import _modes
from stratavfs._arguments import changed_owner
from stratavfs._edits import Edits
from stratavfs._progress import Meter
from stratavfs.records import Inode, VPath

if TYPE_CHECKING:
    from collections.abc import Callable

    from stratavfs import VirtualFileSystem

AT = 5_000_000_000_000_000_000  # later than anything the clock says
A, B = VPath("/a"), VPath("/b")


class Workbench:
    """The edits of one container, each called in a transaction."""

    def __init__(self, vfs: VirtualFileSystem) -> None:
        self.vfs = vfs
        self.edits: Edits = vfs._edits

    def __getattr__(self, verb: str) -> Any:
        def call(*args: Any, **options: Any) -> Any:
            with self.vfs._store.transaction:
                room = self.vfs._copies if verb.startswith("copy") else self.edits
                return getattr(room, verb)(*args, **options)

        return call

    def inode(self, path: str) -> Inode:
        found: Inode = self.vfs._layers.locate(VPath(path), follow=False).require()
        return found

    def everything(self) -> dict[str, Any]:
        """Return all that can be seen, to compare before and after a refusal."""
        paths = [VPath("/"), *map(VPath, sorted(self.vfs.iglob("/**/*")))]
        return {path: (self.inode(path), self._content(path)) for path in paths}

    def _content(self, path: VPath) -> bytes | None:
        inode = self.inode(path)
        return self.vfs._layers.rooms[2].read(inode.id) if inode.is_file else None


@pytest.fixture
def bench(mem: VirtualFileSystem) -> Workbench:
    mem.write_text("/a", "a")
    mem.makedirs("/d/sub")
    mem.write_text("/d/sub/f", "f")
    mem.mkdir("/empty")
    mem.symlink("d", "/l")
    mem.symlink("nowhere", "/broken")
    return Workbench(mem)


# --- stamps ---------------------------------------------------------------------------

CHANGES: dict[str, tuple[Callable[[Workbench], object], set[str]]] = {
    "write a new file": (
        lambda b: b.write_file(VPath("/d/new"), memoryview(b"n"), AT),
        {"/d", "/d/new"},
    ),
    "write over a file": (lambda b: b.write_file(A, memoryview(b"n"), AT), {"/a"}),
    "touch": (lambda b: b.touch(A, 0o644, AT, exist_ok=True), {"/a"}),
    "truncate": (lambda b: b.truncate(A, 9, AT), {"/a"}),
    "remove": (lambda b: b.remove(VPath("/d/sub/f"), AT), {"/d/sub"}),
    "symlink": (lambda b: b.symlink("x", VPath("/d/s"), AT), {"/d", "/d/s"}),
    "link": (
        lambda b: b.link(A, VPath("/d/a"), AT, follow=True),
        {"/a", "/d", "/d/a"},
    ),
    "make a directory": (
        lambda b: b.make_directory(
            VPath("/d/x/y"), 0o755, AT, parents=True, exist_ok=False
        ),
        {"/d", "/d/x", "/d/x/y"},
    ),
    "remove a directory": (lambda b: b.remove_directory(VPath("/empty"), AT), {"/"}),
    "remove a tree": (lambda b: b.remove_tree(VPath("/d/sub"), AT), {"/d"}),
    "rename": (lambda b: b.rename(A, VPath("/d/b"), AT), {"/", "/d", "/d/b"}),
    "rename a directory": (
        lambda b: b.rename(VPath("/d/sub"), VPath("/e"), AT),
        {"/", "/d", "/e"},
    ),
    "replace": (
        lambda b: b.replace(A, VPath("/d/sub/f"), AT),
        {"/", "/d/sub", "/d/sub/f"},
    ),
    "set the mode": (lambda b: b.set_mode(A, 0o600, AT, follow=True), {"/a"}),
    "set the owner": (lambda b: b.set_owner(A, 1, "g", AT, follow=True), {"/a"}),
    "set the times": (lambda b: b.set_times(A, (1, 2), AT, follow=True), {"/a"}),
    "set an attribute": (
        lambda b: b.set_xattr(A, "k", b"v", AT, must_exist=None, follow=True),
        {"/a"},
    ),
}


@pytest.mark.parametrize("name", CHANGES)
def test_change_stamps_exactly_what_it_touched(bench: Workbench, name: str) -> None:
    change, touched = CHANGES[name]

    change(bench)

    stamped = {
        path for path, (inode, _) in bench.everything().items() if inode.ctime_ns == AT
    }
    assert stamped == touched


# --- refusals: nothing has changed ----------------------------------------------------

REFUSALS: dict[str, tuple[Callable[[Workbench], object], int]] = {
    "remove a directory": (lambda b: b.remove(VPath("/d"), AT), errno.EISDIR),
    "remove the root": (lambda b: b.remove(VPath("/"), AT), errno.EISDIR),
    "remove nothing": (lambda b: b.remove(VPath("/x"), AT), errno.ENOENT),
    "rmdir a file": (lambda b: b.remove_directory(A, AT), errno.ENOTDIR),
    "rmdir a link": (lambda b: b.remove_directory(VPath("/l"), AT), errno.ENOTDIR),
    "rmdir a full one": (
        lambda b: b.remove_directory(VPath("/d"), AT),
        errno.ENOTEMPTY,
    ),
    "rmdir the root": (lambda b: b.remove_directory(VPath("/"), AT), errno.EBUSY),
    "rmtree a link": (lambda b: b.remove_tree(VPath("/l"), AT), errno.ENOTDIR),
    "rename onto a file": (lambda b: b.rename(VPath("/d"), A, AT), errno.EEXIST),
    "rename onto itself": (lambda b: b.rename(A, A, AT), errno.EEXIST),
    "rename into itself": (
        lambda b: b.rename(VPath("/d"), VPath("/d/sub/x"), AT),
        errno.EINVAL,
    ),
    "rename nothing": (lambda b: b.rename(VPath("/x"), B, AT), errno.ENOENT),
    "rename the root": (lambda b: b.rename(VPath("/"), B, AT), errno.EBUSY),
    "rename below a file": (
        lambda b: b.rename(VPath("/d"), VPath("/a/x"), AT),
        errno.ENOTDIR,
    ),
    "replace by the root": (lambda b: b.replace(A, VPath("/"), AT), errno.EBUSY),
    "replace a file by a directory": (
        lambda b: b.replace(VPath("/d"), A, AT),
        errno.ENOTDIR,
    ),
    "replace a directory by a file": (
        lambda b: b.replace(A, VPath("/empty"), AT),
        errno.EISDIR,
    ),
    "replace a full directory": (
        lambda b: b.replace(VPath("/empty"), VPath("/d"), AT),
        errno.ENOTEMPTY,
    ),
    "replace what is above": (
        lambda b: b.replace(VPath("/d/sub"), VPath("/d"), AT),
        errno.ENOTEMPTY,
    ),
    "move into itself": (
        lambda b: b.move(VPath("/d"), VPath("/d/sub"), AT),
        errno.EINVAL,
    ),
    "copy a directory": (
        lambda b: b.copy(VPath("/d"), B, AT, metadata=False, follow=True),
        errno.EISDIR,
    ),
    "copy onto itself": (
        lambda b: b.copy(A, A, AT, metadata=True, follow=True),
        errno.EINVAL,
    ),
    "copy a tree into itself": (
        lambda b: b.copy_tree(
            VPath("/d"),
            VPath("/d/sub/x"),
            AT,
            symlinks=False,
            dirs_exist_ok=False,
            ignore=None,
            meter=Meter(None),
        ),
        errno.EINVAL,
    ),
    "copy a tree onto another": (
        lambda b: b.copy_tree(
            VPath("/d"),
            VPath("/empty"),
            AT,
            symlinks=False,
            dirs_exist_ok=False,
            ignore=None,
            meter=Meter(None),
        ),
        errno.EEXIST,
    ),
    "link a directory": (
        lambda b: b.link(VPath("/d"), B, AT, follow=True),
        errno.EPERM,
    ),
    "link over a file": (
        lambda b: b.link(A, VPath("/l"), AT, follow=True),
        errno.EEXIST,
    ),
    "symlink over a file": (lambda b: b.symlink("x", A, AT), errno.EEXIST),
    "touch what may not exist": (
        lambda b: b.touch(A, 0o644, AT, exist_ok=False),
        errno.EEXIST,
    ),
    "truncate below zero": (lambda b: b.truncate(A, -1, AT), errno.EINVAL),
    "truncate a directory": (lambda b: b.truncate(VPath("/d"), 0, AT), errno.EISDIR),
    "make the root": (
        lambda b: b.make_directory(VPath("/"), 0, AT, parents=False, exist_ok=False),
        errno.EEXIST,
    ),
    "make a directory over a broken link": (
        lambda b: b.make_directory(
            VPath("/broken"), 0, AT, parents=True, exist_ok=True
        ),
        errno.EEXIST,
    ),
    "make without parents": (
        lambda b: b.make_directory(VPath("/x/y"), 0, AT, parents=False, exist_ok=False),
        errno.ENOENT,
    ),
    "write to a directory": (
        lambda b: b.write_file(VPath("/l"), memoryview(b""), AT),
        errno.EISDIR,
    ),
    "write below a file": (
        lambda b: b.write_file(VPath("/a/x"), memoryview(b""), AT),
        errno.ENOTDIR,
    ),
    "replace a missing attribute": (
        lambda b: b.set_xattr(A, "k", b"v", AT, must_exist=True, follow=True),
        errno.ENODATA,
    ),
    "remove a missing attribute": (
        lambda b: b.remove_xattr(A, "k", AT, follow=True),
        errno.ENODATA,
    ),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_refused_change_changes_nothing(bench: Workbench, name: str) -> None:
    change, number = REFUSALS[name]
    before = bench.everything()
    written = bench.vfs._store._cx.total_changes

    with pytest.raises(OSError) as caught:
        change(bench)

    assert caught.value.errno == number
    assert caught.value.filename
    assert bench.everything() == before
    # Decided first: not even a change that was taken back.
    assert bench.vfs._store._cx.total_changes == written


# --- opening --------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["wb", "ab", "xb"])
def test_open_file_missing_is_made_with_its_parents(
    bench: Workbench, mode: str
) -> None:
    inode = bench.open_file(VPath("/new/deep/f"), _modes.parse(mode), AT)

    assert bench.inode("/new/deep/f").id == inode
    assert bench.inode("/new/deep").mode == 0o40755


@pytest.mark.parametrize(("mode", "left"), [("wb", 0), ("ab", 1), ("r+b", 1)])
def test_open_file_present_keeps_its_inode(
    bench: Workbench, mode: str, left: int
) -> None:
    before = bench.inode("/a").id

    assert bench.open_file(A, _modes.parse(mode), AT) == before
    assert bench.inode("/a").size == left


def test_open_file_through_broken_link_makes_its_target(bench: Workbench) -> None:
    inode = bench.open_file(VPath("/broken"), _modes.parse("wb"), AT)

    assert bench.inode("/nowhere").id == inode
    assert bench.inode("/broken").is_link


@pytest.mark.parametrize("path", ["/a", "/broken", "/l"])
def test_open_file_exclusive_refuses_anything_there(
    bench: Workbench, path: str
) -> None:
    before = bench.everything()

    with pytest.raises(FileExistsError) as caught:
        bench.open_file(VPath(path), _modes.parse("xb"), AT)

    assert caught.value.filename == path
    assert bench.everything() == before


# --- parents --------------------------------------------------------------------------


def without_parents(vfs: VirtualFileSystem) -> Edits:
    return Edits(vfs._layers, vfs._copy_up, create_parents=False)


@pytest.mark.parametrize(
    "change",
    [
        lambda e: e.write_file(VPath("/x/y"), memoryview(b""), AT),
        lambda e: e.touch(VPath("/x/y"), 0o644, AT, exist_ok=True),
        lambda e: e.symlink("t", VPath("/x/y"), AT),
        lambda e: e.link(A, VPath("/x/y"), AT, follow=True),
        lambda e: e.rename(A, VPath("/x/y"), AT),
        lambda e: e.replace(A, VPath("/x/y"), AT),
        lambda e: e.move(A, VPath("/x/y"), AT),
    ],
)
def test_make_name_without_parents_is_not_found(
    bench: Workbench, change: Callable[[Edits], object]
) -> None:
    edits, before = without_parents(bench.vfs), bench.everything()

    with pytest.raises(FileNotFoundError) as caught, bench.vfs._store.transaction:
        change(edits)

    assert caught.value.filename == "/x/y"
    assert bench.everything() == before


def test_make_directory_with_parents_needs_no_option(bench: Workbench) -> None:
    with bench.vfs._store.transaction:
        without_parents(bench.vfs).make_directory(
            VPath("/x/y"), 0o700, AT, parents=True, exist_ok=False
        )

    assert bench.inode("/x").mode == 0o40755
    assert bench.inode("/x/y").mode == 0o40700


# --- moving far down ------------------------------------------------------------------


def test_rename_so_deep_that_a_path_gets_too_long_changes_nothing(
    bench: Workbench,
) -> None:
    deep = VPath("/d/" + "/".join(["n" * 250] * 15))  # 3,768 bytes
    bench.make_directory(deep, 0o755, AT, parents=True, exist_ok=False)
    fits, too_far = VPath("/" + "e" * 250), VPath("/" + "e" * 250 + "/" + "e" * 250)
    before = bench.everything()

    with pytest.raises(OSError) as caught:
        bench.rename(VPath("/d"), too_far, AT)

    assert (caught.value.errno, caught.value.filename) == (errno.ENAMETOOLONG, too_far)
    assert bench.everything() == before
    bench.rename(VPath("/d"), fits, AT)
    assert bench.inode(fits + deep.removeprefix("/d")).is_directory


# --- owners ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "expected"),
    [(-1, (5, "ann")), (5, (5, "")), (0, (0, "")), ("bo", (5, "bo"))],
)
def test_changed_owner_sets_number_or_name(
    value: int | str, expected: tuple[int, str]
) -> None:
    assert changed_owner(value, 5, "ann") == expected
