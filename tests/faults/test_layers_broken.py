"""Underlays that are broken while they lie in a stack: named, and in nobody's way."""

from __future__ import annotations

import errno
import os
import shutil
import sqlite3
import zipfile
from typing import TYPE_CHECKING, Any

import pytest
from tests import ground
from tests.faults.layered import BIG, rows_of

from stratavfs import LayerFailed, VirtualFileSystem

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.faults.layered import Call


def truncate_container(place: Path) -> None:
    os.truncate(place, 5000)


def overwrite_container(place: Path) -> None:
    place.write_bytes(b"no database at all " * 1000)


def replace_container(place: Path) -> None:
    ground.make_foreign(place.with_suffix(".new"))
    os.replace(place.with_suffix(".new"), place)


def remove_tables(place: Path) -> None:
    with sqlite3.connect(place) as cx:
        cx.execute("PRAGMA foreign_keys = OFF")
        cx.execute("DROP VIEW IF EXISTS files")
        cx.execute("DROP TABLE entries")
    cx.close()


def remove_place(place: Path) -> None:
    shutil.rmtree(place) if place.is_dir() else place.unlink()


def truncate_zip(place: Path) -> None:
    os.truncate(place, 100)


def make_container(place: Path) -> None:
    with VirtualFileSystem(place) as vfs:
        vfs.write_bytes("/broken/f", BIG)
        vfs.write_bytes("/d/of the broken one", b"1")


def make_directory(place: Path) -> None:
    for name in ("broken/f", "d/of the broken one"):
        (place / name).parent.mkdir(parents=True)
        (place / name).write_bytes(BIG)


def make_zip(place: Path) -> None:
    with zipfile.ZipFile(place, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("broken/f", os.urandom(50_000))
        archive.writestr("d/of the broken one", b"1")


DAMAGE: dict[str, tuple[Callable[[Path], None], Callable[[Path], None]]] = {
    "container cut short": (make_container, truncate_container),
    "container overwritten": (make_container, overwrite_container),
    "container replaced by a foreign one": (make_container, replace_container),
    "container without tables": (make_container, remove_tables),
    "container removed": (make_container, remove_place),
    "directory removed": (make_directory, remove_place),
    "zip cut short": (make_zip, truncate_zip),
    "zip removed": (make_zip, remove_place),
    "zip overwritten": (make_zip, overwrite_container),
}


@pytest.fixture
def over_broken(request: pytest.FixtureRequest, make_vfs: Any, tmp_path: Path) -> Any:
    """A stack of two good layers and between them one that breaks after its use."""
    make, damage = DAMAGE[request.param]
    place = tmp_path / "broken"
    make(place)
    vfs, above, below = make_vfs(), make_vfs(), make_vfs()
    above.write_bytes("/above", b"above")
    above.write_bytes("/d/above", b"above")
    below.write_bytes("/below", b"below")
    vfs.add_underlay(above, 3, "above")
    vfs.add_underlay(place, 2, "the broken one")
    vfs.add_underlay(below, 1, "below")
    vfs.write_bytes("/local", b"local")
    assert len(vfs.read_bytes("/broken/f")) > 10_000
    assert vfs.read_bytes("/below") == b"below"
    damage(place)
    return vfs


READS: dict[str, Call] = {
    "read_bytes": lambda vfs: vfs.read_bytes("/broken/f"),
    "stat": lambda vfs: vfs.stat("/broken/f"),
    "listdir": lambda vfs: vfs.listdir("/broken"),
    "append": lambda vfs: _append(vfs, "/broken/f"),
    "rename": lambda vfs: vfs.rename("/broken", "/renamed"),
    "explain": lambda vfs: vfs.explain("/broken/f"),
    "flatten": lambda vfs: vfs.flatten(VirtualFileSystem()),
}


def _append(vfs: VirtualFileSystem, path: str) -> None:
    with vfs.open(path, "ab") as file:
        file.write(b"x")


@pytest.mark.damaged
@pytest.mark.parametrize("over_broken", DAMAGE, indirect=True)
def test_use_of_a_broken_underlay_names_it_and_changes_nothing(
    over_broken: VirtualFileSystem,
) -> None:
    before = rows_of(over_broken)

    for name, call in READS.items():
        with pytest.raises(LayerFailed, match="the broken one") as caught:
            call(over_broken)
        assert caught.value.filename.startswith("/"), name
        assert caught.value.errno not in (errno.ENOENT, errno.EEXIST)

    assert rows_of(over_broken) == before


@pytest.mark.damaged
@pytest.mark.parametrize("over_broken", DAMAGE, indirect=True)
def test_other_layers_over_a_broken_underlay_stay_usable(
    over_broken: VirtualFileSystem,
) -> None:
    vfs = over_broken

    assert vfs.read_bytes("/local") == b"local"
    assert vfs.read_bytes("/above") == b"above"
    assert vfs.read_bytes("/d/above") == b"above"
    vfs.write_bytes("/local", b"changed")
    vfs.chmod("/above", 0o600)
    assert vfs.which_layer("/above") == "local"


@pytest.mark.damaged
@pytest.mark.parametrize("over_broken", DAMAGE, indirect=True)
def test_stack_without_its_broken_underlay_works(
    over_broken: VirtualFileSystem,
) -> None:
    with pytest.raises(LayerFailed):
        over_broken.listdir("/")

    assert over_broken.remove_underlay("the broken one")

    assert over_broken.listdir("/") == ["above", "below", "d", "local"]
    assert over_broken.read_bytes("/below") == b"below"
    assert over_broken.check() == []


@pytest.mark.parametrize("packed", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_read_of_a_damaged_member_names_layer_and_path_and_spares_the_others(
    make_vfs: Any, tmp_path: Path, packed: int
) -> None:
    place = tmp_path / "mod.zip"
    with zipfile.ZipFile(place, "w", packed) as archive:
        archive.writestr("good", BIG[:5000])
        archive.writestr("bad", BIG[:50_000])
    data = bytearray(place.read_bytes())
    at = data.index(b"bad") + 40
    data[at : at + 60] = bytes(byte ^ 0xFF for byte in data[at : at + 60])
    place.write_bytes(data)
    vfs = make_vfs()
    vfs.add_underlay(place, name="mod")
    before = rows_of(vfs)

    calls: list[Call] = [
        lambda vfs: vfs.read_bytes("/bad"),
        lambda vfs: _append(vfs, "/bad"),
        lambda vfs: vfs.copy("/bad", "/copy"),
        lambda vfs: vfs.flatten(VirtualFileSystem()),
    ]
    for call in calls:
        with pytest.raises(LayerFailed, match="'mod'") as caught:
            call(vfs)
        assert caught.value.filename == "/bad"

    assert rows_of(vfs) == before
    assert vfs.read_bytes("/good") == BIG[:5000]
    assert vfs.listdir() == ["bad", "good"]
    vfs.write_bytes("/bad", b"new")
    assert vfs.read_bytes("/bad") == b"new"


@pytest.mark.damaged
def test_read_by_a_handle_on_an_underlay_that_breaks_names_it(
    make_vfs: Any, tmp_path: Path
) -> None:
    make_container(tmp_path / "base.db")
    vfs = make_vfs()
    vfs.add_underlay(tmp_path / "base.db", name="base")

    with vfs.open("/broken/f", "rb", buffering=0) as raw:
        assert raw.read(3) == BIG[:3]
        overwrite_container(tmp_path / "base.db")

        with pytest.raises(LayerFailed, match="'base'") as caught:
            raw.read()

    assert caught.value.filename == "/broken/f"
