"""Who closes a layer, and when: what was opened by its path, and what was given."""

from __future__ import annotations

import gc
import os
import weakref
import zipfile
from typing import TYPE_CHECKING, Any

import pytest
from tests.unit.test_stack import Closing, named

from stratavfs import VirtualFileSystem
from stratavfs._quiet import QuietStore
from stratavfs.layers import DirectoryLayer, ZipLayer

if TYPE_CHECKING:
    from pathlib import Path

Vfs = VirtualFileSystem


@pytest.fixture
def vfs(make_vfs: Any) -> Vfs:
    made: Vfs = make_vfs()
    return made


def stores(vfs: Vfs) -> list[Any]:
    """Return the connections of the containers below *vfs*."""
    layers: list[Any] = [it.layer for it in vfs._layers.stack.everybody()[1:]]
    return [layer._rooms[0] for layer in layers]


# --- who closes what ------------------------------------------------------------------


@pytest.fixture
def location(tmp_path: Path) -> str:
    with VirtualFileSystem(tmp_path / "base.db", 64) as maker:
        maker.write_bytes("/f", b"0123456789" * 50)
    return str(tmp_path / "base.db")


def test_layer_opened_by_its_path_is_closed_with_the_stack(location: str) -> None:
    with VirtualFileSystem() as vfs:
        vfs.add_underlay(location)
        (store,) = stores(vfs)
        assert not store.closed

    assert store.closed


def test_layer_opened_by_its_path_is_closed_when_it_is_removed(
    vfs: Vfs, location: str
) -> None:
    vfs.add_underlay(location, name="base")
    (store,) = stores(vfs)

    vfs.remove_underlay("base")

    assert store.closed


def test_layer_opened_by_its_path_is_closed_after_its_last_handle(
    vfs: Vfs, location: str
) -> None:
    vfs.add_underlay(location, name="base")
    (store,) = stores(vfs)
    with vfs.open("/f", "rb", 0) as first:
        with vfs.open("/f", "rb", 0) as second:
            vfs.remove_underlay("base")

            assert (first.read(5), second.read(3)) == (b"01234", b"012")
        assert (store.closed, first.read(5)) == (False, b"56789")

    assert store.closed


def test_layer_added_again_while_the_old_one_is_open_is_another(
    vfs: Vfs, location: str
) -> None:
    vfs.add_underlay(location, name="base")
    (old,) = stores(vfs)
    with vfs.open("/f", "rb", 0) as handle:
        vfs.remove_underlay("base")
        vfs.add_underlay(location, name="base")
        (new,) = stores(vfs)

        assert handle.read(3) == b"012"

    assert (old.closed, new.closed) == (True, False)
    assert vfs.read_bytes("/f") == b"0123456789" * 50


def test_handle_that_was_refused_keeps_no_layer_open(vfs: Vfs, location: str) -> None:
    vfs.add_underlay(location, name="base")
    (store,) = stores(vfs)
    with pytest.raises(LookupError):
        vfs.open("/f", encoding="no-such-encoding")
    with pytest.raises(FileExistsError):
        vfs.open("/f", "x")

    vfs.remove_underlay("base")

    assert store.closed


def test_handle_that_comes_up_lets_go_of_the_layer_when_it_is_closed(
    vfs: Vfs, location: str
) -> None:
    vfs.add_underlay(location, name="base")
    (store,) = stores(vfs)
    with vfs.open("/f", "r+b", 0) as handle:
        handle.write(b"x")
        vfs.remove_underlay("base")

    assert store.closed
    assert vfs.read_bytes("/f") == b"x123456789" + b"0123456789" * 49


def test_layer_that_was_given_is_never_closed(make_vfs: Any, tmp_path: Path) -> None:
    (tmp_path / "dir").mkdir()
    own, given = Closing(), make_vfs()
    directory = DirectoryLayer(tmp_path / "dir")

    with VirtualFileSystem() as vfs:
        for layer in (own, given, directory):
            vfs.add_underlay(layer)
        vfs.remove_underlay("underlay_0")

    assert (own.closed, given.closed) == (0, False)


@pytest.mark.parametrize("how", ["removed", "closed"])
def test_zip_opened_by_its_path_is_closed_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    closed: list[ZipLayer] = []
    close = ZipLayer.close

    def closing(self: ZipLayer) -> None:
        closed.append(self)
        close(self)

    monkeypatch.setattr(ZipLayer, "close", closing)
    with zipfile.ZipFile(tmp_path / "z.zip", "w") as archive:
        archive.writestr("f", b"1")

    with VirtualFileSystem() as vfs:
        vfs.add_underlay(tmp_path / "z.zip", name="zip")
        if how == "removed":
            vfs.remove_underlay("zip")
            assert len(closed) == 1
        vfs.close()

    assert len(closed) == 1


def test_stack_that_is_closed_answers_no_more(vfs: Vfs, make_vfs: Any) -> None:
    vfs.add_underlay(named(make_vfs, "a"), name="a")
    vfs.close()

    for call in (
        lambda: vfs.add_underlay(make_vfs()),
        lambda: vfs.remove_underlay("a"),
        lambda: vfs.set_priority("a", 1),
        vfs.list_layers,
        lambda: vfs.read_text("/who"),
        lambda: vfs.exists("/nothing"),
    ):
        with pytest.raises(ValueError, match="closed"):
            call()


def test_file_system_given_as_underlay_lives_as_long_as_the_stack(
    tmp_path: Path,
) -> None:
    """Were it collected it would warn that nobody has closed it."""
    base = VirtualFileSystem(tmp_path / "base.db")
    base.write_text("/f", "base")
    alive = weakref.ref(base)
    with VirtualFileSystem() as vfs:
        vfs.add_underlay(base, name="base")
        del base
        gc.collect()

        assert vfs.read_text("/f") == "base"
        with vfs.open("/f") as handle:
            vfs.remove_underlay("base")
            gc.collect()
            assert handle.read() == "base"
            kept = alive()
        assert kept is not None  # by the handle
        kept.close()


def test_underlay_of_an_underlay_lives_as_long_as_the_stack(tmp_path: Path) -> None:
    middle, base = VirtualFileSystem(), VirtualFileSystem(tmp_path / "base.db")
    base.write_text("/f", "base")
    middle.add_underlay(base)
    alive = weakref.ref(base)
    vfs = VirtualFileSystem()
    vfs.add_underlay(middle)
    del middle, base
    gc.collect()

    assert vfs.read_text("/f") == "base"

    kept = alive()
    assert kept is not None
    kept.close()
    vfs.close()


def test_stack_that_is_forgotten_is_collected_with_what_it_opened(
    location: str,
) -> None:
    vfs = VirtualFileSystem()
    vfs.add_underlay(location)
    (store,) = stores(vfs)
    assert isinstance(store, QuietStore)

    del vfs
    gc.collect()

    assert store.closed


def test_repr_of_a_member_says_what_and_where(vfs: Vfs, make_vfs: Any) -> None:
    vfs.add_underlay(make_vfs(), name="mod", at="/mods/1")

    (_, member) = vfs._layers.stack.everybody()

    assert repr(member) == "<memory 'mod' at '/mods/1'>"


def test_paths_of_the_host_are_taken_from_where_we_are_when_it_is_added(
    vfs: Vfs, location: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "dir").mkdir()
    (tmp_path / "dir" / "g").write_text("1")
    monkeypatch.chdir(tmp_path)
    vfs.add_underlay("base.db")
    vfs.add_underlay("dir")

    monkeypatch.chdir(os.path.dirname(tmp_path))

    assert vfs.listdir("/") == ["f", "g"]
    assert vfs.read_text("/g") == "1"
