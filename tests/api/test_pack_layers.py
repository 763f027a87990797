"""pack() of stacks: the merged view as one layer, and one layer as a patch."""

from __future__ import annotations

import errno
import os
import stat
import zipfile
from io import BytesIO
from typing import TYPE_CHECKING, Any

import pytest
from tests import ground
from tests.api import grafting
from tests.api.grafting import edit, filled, over, rows_of, seen, shown
from tests.api.packing import assert_pack, inodes_of, view_of

from stratavfs import LayerFailed, VirtualFileSystem
from stratavfs.layers import DirectoryLayer, Inode, Layer, ZipLayer

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

Vfs = VirtualFileSystem


@pytest.fixture
def base(make_vfs: Any) -> Any:
    return filled(make_vfs)


@pytest.fixture(params=["memory", "file"])
def vfs(
    request: pytest.FixtureRequest, make_vfs: Any, tmp_path: Path, base: Any
) -> Any:
    """A file system that has changed some of everything in *base*."""
    vfs = over(base, request.param, make_vfs, tmp_path)
    edit(vfs)
    return vfs


@pytest.fixture
def target(tmp_path: Path) -> Path:
    (tmp_path / "packs").mkdir()
    return tmp_path / "packs" / "new.db"


def marks_of(target: Path) -> tuple[list[str], list[str]]:
    """Return the paths of whiteouts and of opaque directories."""
    whiteouts = "SELECT parent || name FROM entries WHERE kind = 14 ORDER BY 1"
    opaque = (
        "SELECT parent || name FROM entries e JOIN inodes i ON i.id = e.inode "
        "WHERE i.opaque ORDER BY 1"
    )
    return (
        [path for (path,) in ground.query(target, whiteouts)],
        [path for (path,) in ground.query(target, opaque)],
    )


# --- the merged view ------------------------------------------------------------------


def test_pack_of_a_stack_is_its_merged_view_without_marks(
    vfs: Vfs, base: Vfs, target: Path
) -> None:
    view, before = seen(vfs), (rows_of(vfs), rows_of(base))

    report = vfs.pack(target)

    assert_pack(target)
    assert view_of(target) == view
    assert marks_of(target) == ([], [])
    assert (rows_of(vfs), rows_of(base)) == before
    assert report.files == len(
        [path for path, node in view.items() if stat.S_ISREG(node[0])]
    )


def test_pack_after_the_underlay_was_removed_shows_no_whiteouts(
    vfs: Vfs, target: Path
) -> None:
    vfs.remove_underlay("base")
    view = seen(vfs)

    vfs.pack(target)

    assert_pack(target)
    assert view_of(target) == view
    assert marks_of(target) == ([], [])


def test_pack_of_a_stack_in_an_order_puts_those_files_first(
    vfs: Vfs, target: Path
) -> None:
    vfs.pack(target, order=["/moved/w", "/gone/q", "/link", "/e/two", "/one", "/f"])

    assert inodes_of(target)[:4] == ["/moved/w", "/d/x", "/e/two", "/f"]
    assert_pack(target)


def test_pack_of_every_kind_of_layer_keeps_everything(
    make_vfs: Any, tmp_path: Path, target: Path, base: Vfs
) -> None:
    host = tmp_path / "host"
    (host / "d" / "from host").mkdir(parents=True)
    (host / "d" / "from host" / "é").write_bytes(b"host" * 50_000)
    (host / "two").write_bytes(b"two names")
    os.link(host / "two", host / "names")
    for name in ("two", "d/from host/é"):
        os.utime(host / name, ns=(5, 6))
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

    vfs.pack(target)

    assert_pack(target)
    assert view_of(target) == seen(vfs)
    with Vfs(target, immutable=True) as packed:
        assert packed.stat("/two").st_nlink == 2


class Broken(Layer):
    """A layer of two files, of which the second cannot be read, or is shorter."""

    immutable = True

    def __init__(self, error: OSError | None) -> None:
        self._error = error

    def find(self, path: str) -> Inode | None:
        if path == "/":
            return Inode(stat.S_IFDIR | 0o755)
        return Inode(stat.S_IFREG | 0o644, size=5) if path in ("/1", "/2") else None

    def kinds(self, path: str) -> list[tuple[str, int]]:
        return [(name, stat.S_IFREG) for name in "12"]

    def open(self, path: str) -> Any:
        if path == "/2" and self._error:
            raise self._error
        return BytesIO(b"12345")


def test_pack_of_a_layer_that_fails_names_it_and_leaves_nothing(
    make_vfs: Any, target: Path
) -> None:
    vfs = make_vfs()
    vfs.add_underlay(Broken(OSError(errno.EIO, "unreadable")), 1, "broken")

    with pytest.raises(LayerFailed, match="broken") as caught:
        vfs.pack(target)

    assert (caught.value.errno, caught.value.filename) == (errno.EIO, "/2")
    assert os.listdir(target.parent) == []


class Lying(BytesIO):
    """A stream that says of itself what is not so, from the n-th question on."""

    def __init__(self, content: bytes, wrong: int) -> None:
        super().__init__(content)
        self._asked, self._wrong = 0, wrong

    def seek(self, offset: int, whence: int = 0) -> int:
        if whence != os.SEEK_END:
            return super().seek(offset)
        self._asked += 1
        return 5 if self._asked < self._wrong else 6


CHANGED: dict[str, tuple[Callable[[], BytesIO], int]] = {
    "shorter, read at once": (lambda: BytesIO(b"123"), 64),
    "shorter, in chunks": (lambda: BytesIO(b"123"), 3),
    "without its end, read at once": (lambda: Lying(b"123", 99), 64),
    "without its end, in chunks": (lambda: Lying(b"123", 99), 3),
    "growing, in chunks": (lambda: Lying(b"12345", 2), 3),
}


@pytest.mark.parametrize("how", CHANGED)
def test_pack_of_a_file_that_is_not_what_it_was_is_refused(
    make_vfs: Any, target: Path, how: str
) -> None:
    made, chunk_size = CHANGED[how]

    class Changing(Broken):
        def open(self, path: str) -> Any:
            return BytesIO(b"12345") if path == "/1" else made()

    vfs = make_vfs(chunk_size=chunk_size)
    vfs.add_underlay(Changing(None))

    with pytest.raises(OSError, match="2") as caught:
        vfs.pack(target)

    assert caught.value.filename == "/2"
    assert os.listdir(target.parent) == []


def test_pack_of_a_file_that_goes_after_it_was_put_first_is_refused(
    make_vfs: Any, target: Path
) -> None:
    class Going(Broken):
        def kinds(self, path: str) -> list[tuple[str, int]]:
            return [("2", stat.S_IFREG)]

    vfs = make_vfs()
    vfs.add_underlay(Going(None))

    with pytest.raises(OSError) as caught:
        vfs.pack(target, order=["/1"])

    assert caught.value.filename == "/1"
    assert os.listdir(target.parent) == []


# --- one layer alone ------------------------------------------------------------------


@pytest.mark.parametrize("batch", [False, True])
def test_pack_of_the_local_layer_is_a_patch(
    vfs: Vfs, base: Vfs, make_vfs: Any, target: Path, batch: bool
) -> None:
    view = shown(vfs)

    if batch:
        with vfs.atomic_batch():
            vfs.pack(target, layer="local")
    else:
        vfs.pack(target, layer="local")

    assert_pack(target)
    whiteouts, opaque = marks_of(target)
    assert {"/gone", "/d/y"} < {*whiteouts}
    assert "/e" in opaque
    # Over the same base it shows the same.
    again = make_vfs()
    again.add_underlay(base)
    again.add_underlay(make_vfs(target, immutable=True), 1)
    found = shown(again)
    assert found.keys() == view.keys()
    assert {path: node[4:6] for path, node in found.items() if path != "/"} == {
        path: node[4:6] for path, node in view.items() if path != "/"
    }


def test_pack_of_an_underlay_has_that_alone(
    vfs: Vfs, base: Vfs, make_vfs: Any, target: Path
) -> None:
    make_vfs().add_underlay(base)

    vfs.pack(target, layer="base", order=["/d/y", "/nowhere", "/d/sub/nowhere"])

    assert_pack(target)
    assert view_of(target) == seen(base)
    assert inodes_of(target)[0] == "/d/y"


def test_pack_of_a_mounted_layer_begins_at_its_root(
    make_vfs: Any, base: Vfs, target: Path
) -> None:
    vfs = make_vfs()
    vfs.add_underlay(base, name="dlc", at="/dlc/one")

    vfs.pack(target, layer="dlc", order=["/d/y"])

    assert_pack(target)
    assert view_of(target) == seen(base)
    assert inodes_of(target)[0] == "/d/y"


def test_pack_of_a_layer_that_is_a_stack_keeps_what_it_hides(
    make_vfs: Any, base: Vfs, target: Path
) -> None:
    vfs, nested, patch = make_vfs(), make_vfs(), make_vfs()
    patch.add_underlay(base)
    patch.remove("/f")
    patch.rmtree("/e")
    patch.mkdir("/e")
    patch.remove_underlay("underlay_0")
    nested.add_underlay(patch)
    nested.write_bytes("/own", b"own")
    nested.write_bytes("/e/own", b"own")
    vfs.add_underlay(make_vfs(), 1)
    vfs.add_underlay(nested, name="nested")

    vfs.pack(target, layer="nested", order=["/own", "/f", "/e/x"])

    assert_pack(target)
    assert marks_of(target) == (["/f"], ["/e"])
    assert view_of(target).keys() == seen(nested).keys()
    assert inodes_of(target) == ["/own", "/e/own"]


def test_pack_of_a_zip_layer_is_a_container(
    make_vfs: Any, tmp_path: Path, target: Path
) -> None:
    with zipfile.ZipFile(tmp_path / "mod.zip", "w") as archive:
        archive.writestr("d/x", b"zip" * 1000)
    vfs = make_vfs()
    vfs.add_underlay(ZipLayer(tmp_path / "mod.zip"), name="zip")
    grafting.fill(vfs)

    vfs.pack(target, layer="zip")

    assert_pack(target)
    assert ground.tree_of(target) == {"/d": None, "/d/x": b"zip" * 1000}
