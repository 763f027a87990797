"""Layers: underlays that are refused, that fail, and that stay as they are."""

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING, Any, BinaryIO

import pytest
from tests import ground

from stratavfs import (
    ForeignDatabase,
    InvalidArgument,
    InvalidType,
    LayerFailed,
    VirtualFileSystem,
)
from stratavfs.layers import DirectoryLayer, Inode, Layer

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

LONG = bytes(range(250)) * 40


@pytest.fixture(params=["memory", "file"])
def where(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return ":memory:" if request.param == "memory" else str(tmp_path / "local.db")


@pytest.fixture
def base(make_vfs: Any) -> VirtualFileSystem:
    vfs: VirtualFileSystem = make_vfs(chunk_size=64)
    vfs.write_bytes("/d/f", LONG)
    return vfs


@pytest.fixture
def vfs(make_vfs: Any, where: str, base: VirtualFileSystem) -> VirtualFileSystem:
    vfs: VirtualFileSystem = make_vfs(where)
    vfs.add_underlay(base, name="base")
    return vfs


def rows_of(vfs: VirtualFileSystem) -> ground.Dump:
    return ground.dump(vfs._store._cx)


# --- what is refused ------------------------------------------------------------------


def listed(vfs: VirtualFileSystem) -> list[dict[str, object]]:
    assert vfs.read_bytes("/d/f") == LONG
    return vfs.list_layers()


def test_add_underlay_to_itself_is_refused(vfs: VirtualFileSystem) -> None:
    before = listed(vfs)

    with pytest.raises(InvalidArgument, match="me"):
        vfs.add_underlay(vfs, name="me")

    assert listed(vfs) == before


def test_add_underlay_that_makes_a_cycle_is_refused(
    make_vfs: Any, vfs: VirtualFileSystem, base: VirtualFileSystem
) -> None:
    between = make_vfs()
    between.add_underlay(vfs)
    before = base.list_layers()

    for below in (vfs, between):
        with pytest.raises(ValueError, match="round"):
            base.add_underlay(below, name="round")

    assert base.list_layers() == before
    assert between.read_bytes("/d/f") == LONG


@pytest.mark.parametrize("name", ["base", "local"])
def test_add_underlay_with_a_name_that_is_taken_is_refused(
    make_vfs: Any, vfs: VirtualFileSystem, name: str
) -> None:
    before = listed(vfs)

    with pytest.raises(InvalidArgument, match=name):
        vfs.add_underlay(make_vfs(), name=name)

    assert listed(vfs) == before


def test_add_underlay_that_is_closed_is_refused(
    make_vfs: Any, vfs: VirtualFileSystem
) -> None:
    closed = make_vfs()
    closed.close()
    before = listed(vfs)

    with pytest.raises(ValueError, match=r"shut.*closed"):
        vfs.add_underlay(closed, name="shut")

    assert listed(vfs) == before


@pytest.mark.parametrize("layer", [None, 7, object(), b"/tmp", ["/tmp"]])
def test_add_underlay_that_is_no_layer_is_refused(
    vfs: VirtualFileSystem, layer: Any
) -> None:
    before = listed(vfs)

    with pytest.raises(InvalidType):
        vfs.add_underlay(layer)

    assert listed(vfs) == before


@pytest.mark.parametrize(
    "options", [{"priority": "1"}, {"name": ""}, {"name": 1}, {"at": ""}, {"at": b"/"}]
)
def test_add_underlay_with_a_bad_argument_is_refused(
    make_vfs: Any, vfs: VirtualFileSystem, options: Any
) -> None:
    before = listed(vfs)

    with pytest.raises((InvalidArgument, InvalidType)):
        vfs.add_underlay(make_vfs(), **options)

    assert listed(vfs) == before


BAD_FILES: list[tuple[bytes | None, type[OSError], int]] = [
    (None, FileNotFoundError, errno.ENOENT),
    (b"no database at all, but long enough to be looked at" * 50, OSError, 0),
    (b"", OSError, 0),
    (b"SQLite format 3\0" + b"\xff" * 5000, OSError, 0),
    (b"PK\x03\x04" + b"\xff" * 500, OSError, 0),
]


@pytest.mark.damaged
@pytest.mark.parametrize(("content", "kind", "number"), BAD_FILES)
def test_add_underlay_of_a_bad_file_is_refused_and_changes_nothing(
    vfs: VirtualFileSystem,
    tmp_path: Path,
    content: bytes | None,
    kind: type[OSError],
    number: int,
) -> None:
    place = tmp_path / "place"
    place.mkdir()
    if content is not None:
        (place / "bad").write_bytes(content)
    before = listed(vfs)

    with pytest.raises(kind) as caught:
        vfs.add_underlay(place / "bad", name="bad")

    assert caught.value.filename == str(place / "bad")
    assert not number or caught.value.errno == number
    assert listed(vfs) == before
    found = {file.name: file.read_bytes() for file in place.iterdir()}
    assert found == ({} if content is None else {"bad": content})


def test_add_underlay_of_a_foreign_database_is_refused(
    vfs: VirtualFileSystem, tmp_path: Path
) -> None:
    ground.make_foreign(tmp_path / "notes.db")
    before = listed(vfs), ground.files_beside(tmp_path / "notes.db")

    with pytest.raises(ForeignDatabase):
        vfs.add_underlay(str(tmp_path / "notes.db"))

    assert (listed(vfs), ground.files_beside(tmp_path / "notes.db")) == before


@pytest.mark.parametrize("how", ["path", "immutable"])
def test_underlay_leaves_its_file_and_its_directory_as_they_are(
    make_vfs: Any, tmp_path: Path, where: str, how: str
) -> None:
    place = tmp_path / "place"
    place.mkdir()
    location = str(place / "base.db")
    with VirtualFileSystem(location) as maker:
        maker.write_bytes("/f", LONG)
    before = {file.name: file.read_bytes() for file in place.iterdir()}

    with VirtualFileSystem(where) as vfs:
        given: Any = location if how == "path" else make_vfs(location, **{how: True})
        vfs.add_underlay(given)
        assert vfs.read_bytes("/f") == LONG
        vfs.write_bytes("/f", b"mine")
        vfs.remove("/f")
        while_open = {file.name: file.read_bytes() for file in place.iterdir()}
        if how != "path":
            given.close()

    assert while_open == before
    assert {file.name: file.read_bytes() for file in place.iterdir()} == before


# --- a layer that fails ---------------------------------------------------------------


class Failing(Layer):
    """A layer that is well until somebody breaks it."""

    def __init__(self) -> None:
        self.broken: Exception | None = None

    def _works(self) -> None:
        if self.broken is not None:
            raise self.broken

    def find(self, path: str) -> Inode | None:
        self._works()
        if path == "/":
            return Inode(stat.S_IFDIR | 0o755)
        return Inode(stat.S_IFREG | 0o644, size=3) if path == "/x" else None

    def kinds(self, path: str) -> Iterable[tuple[str, int]]:
        self._works()
        return [("x", stat.S_IFREG)]

    def open(self, path: str) -> BinaryIO:
        self._works()
        raise AssertionError


@pytest.mark.parametrize("cause", [OSError(errno.ESTALE, "gone"), RuntimeError("boom")])
def test_layer_that_fails_is_named_and_the_others_stay_usable(
    make_vfs: Any, vfs: VirtualFileSystem, cause: Exception
) -> None:
    failing = Failing()
    vfs.add_underlay(failing, -1, "unwell")
    vfs.write_bytes("/mine", b"1")
    failing.broken = cause
    before = rows_of(vfs)

    for call in (vfs.stat, vfs.read_bytes, vfs.remove, vfs.exists):
        with pytest.raises(LayerFailed, match="unwell") as caught:
            call("/x")
        assert caught.value.filename == "/x"
        assert caught.value.errno == getattr(cause, "errno", errno.EIO)
        assert caught.value.__cause__ is cause

    assert rows_of(vfs) == before
    assert (vfs.read_bytes("/mine"), vfs.read_bytes("/d/f")) == (b"1", LONG)
    failing.broken = None
    assert vfs.exists("/x")
    vfs.remove_underlay("unwell")
    assert vfs.listdir("/") == ["d", "mine"]


def test_directory_that_has_gone_is_named(
    vfs: VirtualFileSystem, tmp_path: Path
) -> None:
    (tmp_path / "mod").mkdir()
    (tmp_path / "mod" / "f").write_bytes(b"1")
    vfs.add_underlay(DirectoryLayer(tmp_path / "mod"), 1, "mod")

    os.rename(tmp_path / "mod", tmp_path / "away")

    with pytest.raises(LayerFailed, match="mod") as caught:
        vfs.read_bytes("/f")
    assert caught.value.filename == "/f"
    vfs.remove_underlay("mod")
    assert vfs.read_bytes("/d/f") == LONG


def test_underlay_closed_by_its_owner_is_named(
    make_vfs: Any, vfs: VirtualFileSystem
) -> None:
    other = make_vfs()
    other.write_bytes("/x", b"1")
    vfs.add_underlay(other, 1, "other")

    other.close()

    with pytest.raises(OSError, match="other") as caught:
        vfs.read_bytes("/x")
    assert caught.value.filename == "/x"
    vfs.remove_underlay("other")
    assert vfs.read_bytes("/d/f") == LONG
