"""Forked with layers below: what is open on the host is open in parent and child."""

from __future__ import annotations

import os
import zipfile
from typing import TYPE_CHECKING, Any

import pytest
from tests.concurrency.children import Child, forks, in_child
from tests.ground import integrity_of

from stratavfs import VirtualFileSystem
from stratavfs.layers import DirectoryLayer, ZipLayer

if TYPE_CHECKING:
    from multiprocessing.connection import Connection
    from pathlib import Path

pytestmark = forks


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "c.db"
    VirtualFileSystem(path, 64).close()
    return path


def fill_layers(directory: Path) -> None:
    """Make a container, a directory and an archive with files of many sizes."""
    (directory / "host").mkdir()
    with zipfile.ZipFile(directory / "layer.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(20):
            archive.writestr(f"zip/{number}", bytes([number]) * 5000 * (number % 5))
            file = directory / "host" / str(number)
            file.write_bytes(bytes([number]) * 5000 * (number % 5))
    with VirtualFileSystem(directory / "base.db", 64) as base:
        for number in range(20):
            base.write_bytes(f"/base/{number}", bytes([number]) * 500 * (number % 5))


def read_layers(vfs: VirtualFileSystem, times: int = 10) -> list[str]:
    """Read everything; return what is not as it must be."""
    wrong: list[str] = []
    for number in [*range(20)] * times:
        for name, size in (("/base", 500), ("/host", 5000), ("/zip", 5000)):
            content = vfs.read_bytes(f"{name}/{number}")
            if content != bytes([number]) * size * (number % 5):
                wrong.append(f"{name}/{number}: {content[:20]!r}")
    return wrong


@pytest.mark.parametrize("how", ["by path", "by instance"])
def test_child_reads_the_layers_it_inherited_together_with_its_parent(
    path: Path, tmp_path: Path, make_vfs: Any, how: str
) -> None:
    fill_layers(tmp_path)
    vfs = make_vfs(path)
    layers: list[tuple[Any, str]] = [
        (tmp_path / "base.db", "/"),
        (tmp_path / "host", "/host"),
        (tmp_path / "layer.zip", "/"),
    ]
    if how == "by instance":
        kinds: list[Any] = [make_vfs, DirectoryLayer, ZipLayer]
        layers = [(kind(it), at) for kind, (it, at) in zip(kinds, layers, strict=True)]
    for layer, at in layers:
        vfs.add_underlay(layer, at=at)
    assert read_layers(vfs, 1) == []

    child = Child(lambda _: read_layers(vfs))
    mine = read_layers(vfs)

    assert mine == []
    assert child.answer() == []
    for layer, _ in layers:
        if isinstance(layer, ZipLayer):
            layer.close()


def test_child_and_parent_read_on_by_handles_on_layers_from_before(
    path: Path, tmp_path: Path, make_vfs: Any
) -> None:
    """What each has read is none of the other's business, as it is in a container."""
    fill_layers(tmp_path)
    vfs = make_vfs(path)
    vfs.add_underlay(tmp_path / "base.db")
    vfs.add_underlay(tmp_path / "host", at="/host")
    vfs.add_underlay(tmp_path / "layer.zip")
    # Files of the host, where the others lie, have one place for parent and child.
    files = [vfs.open("/base/4", "rb", 0)]
    for file in files:
        file.read(100)

    def read() -> list[bytes]:
        return [file.read() for file in files]

    rest = [bytes([4]) * 1900]
    assert in_child(read) == rest
    assert read() == rest
    for file in files:
        file.seek(0)
    child = Child(lambda _: read_again(files[0]))
    assert read_again(files[0]) == 0
    assert child.answer() == 0
    for file in files:
        file.close()


def read_again(file: Any) -> int:
    """Read it many times; return how many of them were wrong."""
    size = file.seek(0, os.SEEK_END)
    wrong = 0
    for at in range(0, size, 100):
        file.seek(at)
        wrong += file.read(3000) != (bytes([4]) * size)[at : at + 3000]
    return wrong


def test_child_changes_a_file_of_a_layer_that_another_has_written(
    path: Path, tmp_path: Path, make_vfs: Any
) -> None:
    fill_layers(tmp_path)
    base, vfs = make_vfs(tmp_path / "base.db"), make_vfs(path)
    vfs.add_underlay(base, name="base")

    def work(talk: Connection) -> list[Any]:
        talk.recv()
        with vfs.open("/base/1", "ab") as file:
            file.write(b"mine")
        return [vfs.read_bytes("/base/1"), vfs.which_layer("/base/2")]

    child = Child(work)
    base.write_bytes("/base/1", b"rewritten ")
    base.remove("/base/2")
    child.send()

    assert child.answer() == [b"rewritten mine", None]
    assert vfs.read_bytes("/base/1") == b"rewritten mine"
    assert base.read_bytes("/base/1") == b"rewritten "
    assert integrity_of(tmp_path / "base.db") == "ok"


def test_child_reads_its_layers_when_its_parent_has_closed_and_owners_have_written(
    path: Path, tmp_path: Path, make_vfs: Any
) -> None:
    """The base has a log, which the last one to close it removes."""
    fill_layers(tmp_path)
    vfs, base = make_vfs(path), VirtualFileSystem(tmp_path / "base.db")
    base.write_bytes("/base/1", b"in the log")
    vfs.add_underlay(tmp_path / "base.db")
    assert vfs.read_bytes("/base/1") == b"in the log"

    def work(talk: Connection) -> list[Any]:
        found = [vfs.read_bytes("/base/1")]
        talk.send("ready")
        talk.recv()
        return [*found, vfs.read_bytes("/base/1"), vfs.listdir("/base")[:3]]

    child = Child(work)
    child.receive()
    vfs.close()
    base.close()
    with VirtualFileSystem(tmp_path / "base.db") as again:
        again.write_bytes("/base/1", bytes(100_000))
        again.remove("/base/0")
    child.send()

    found = [b"in the log", bytes(100_000), ["1", "10", "11"]]
    assert child.answer() == found
    assert integrity_of(tmp_path / "base.db") == "ok"
