"""Pickling: as what opens it again - path, options, underlays - never as content."""

from __future__ import annotations

import copy
import errno
import gc
import os
import pickle
import shutil
import subprocess
import sys
import time
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
from tests.api import grafting
from tests.unit.test_stack_closing import stores

from stratavfs import InvalidType, ReadOnlyError, VirtualFileSystem
from stratavfs.layers import DirectoryLayer, ZipLayer

if TYPE_CHECKING:
    from pathlib import Path

Vfs = VirtualFileSystem

PROTOCOLS = range(2, pickle.HIGHEST_PROTOCOL + 1)


def again(vfs: Vfs, protocol: int = pickle.DEFAULT_PROTOCOL) -> Vfs:
    """Return what unpickling gives; the caller closes it."""
    found: Vfs = pickle.loads(pickle.dumps(vfs, protocol))
    return found


@pytest.fixture
def location(tmp_path: Path) -> str:
    return str(tmp_path / "c.db")


@pytest.fixture
def vfs(make_vfs: Any, location: str) -> Vfs:
    made: Vfs = make_vfs(location, 77)
    made.write_text("/f", "x")
    return made


# --- what it is opened with -----------------------------------------------------------


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_pickled_file_system_is_another_on_the_same_container(
    vfs: Vfs, location: str, protocol: int
) -> None:
    with again(vfs, protocol) as other:
        assert type(other) is Vfs
        assert other is not vfs
        assert (other.db_path, other.chunk_size) == (location, 77)
        other.write_text("/g", "y")
        vfs.write_text("/h", "z")
        assert vfs.listdir() == other.listdir() == ["f", "g", "h"]

    assert not vfs.closed


OPTIONS: list[dict[str, Any]] = [
    {},
    {"read_only": True},
    {"immutable": True},
    {"create_parents": False},
    {"timeout": 0.25, "synchronous": "full"},
    {"synchronous": "off", "clock": time.time_ns},
]


@pytest.mark.parametrize("options", OPTIONS)
def test_pickled_file_system_has_the_same_options(
    location: str, options: dict[str, Any]
) -> None:
    Vfs(location, 5).close()
    with Vfs(location, **options) as vfs, again(vfs) as other, again(other) as third:
        for one in (other, third):
            assert one._store.options == vfs._store.options._replace(chunk_size=5)
            assert one.read_only == vfs.read_only
            assert one._edits.create_parents == vfs._edits.create_parents


def test_pickled_read_only_file_system_refuses_to_write(location: str) -> None:
    Vfs(location).close()
    with Vfs(location, read_only=True) as vfs, again(vfs) as other:
        refused = pytest.raises(ReadOnlyError)
        with refused:
            other.touch("/f")


def test_pickle_holds_nothing_of_the_files(vfs: Vfs) -> None:
    vfs.write_bytes("/secret", b"what is in a file" * 1000)
    with vfs.open("/f", "w") as f:
        f.write("and of a buffer")
        pickled = pickle.dumps(vfs)

    assert len(pickled) < 1000
    assert b"what is in a file" not in pickled
    assert b"of a buffer" not in pickled


def test_pickle_is_opened_when_it_is_loaded(vfs: Vfs) -> None:
    pickled = pickle.dumps(vfs)
    vfs.write_text("/later", "y")
    vfs.close()

    with pickle.loads(pickled) as other:
        assert other.listdir() == ["f", "later"]


def test_pickle_made_inside_a_batch_sees_what_is_committed(vfs: Vfs) -> None:
    with vfs.atomic_batch():
        vfs.touch("/inside")
        with again(vfs) as other:
            assert other.listdir() == ["f"]

    assert vfs.listdir() == ["f", "inside"]


def test_pickle_is_loaded_by_another_process(vfs: Vfs, tmp_path: Path) -> None:
    pickled = tmp_path / "pickled"
    pickled.write_bytes(pickle.dumps(vfs))
    program = (
        "import pickle, sys\n"
        "with pickle.load(open(sys.argv[1], 'rb')) as vfs:\n"
        "    print(vfs.read_text('/f'), vfs.chunk_size)\n"
        "    vfs.write_text('/theirs', 'y')\n"
    )

    done = subprocess.run(
        [sys.executable, "-c", program, pickled],
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stdout == "x 77\n"
    assert vfs.read_text("/theirs") == "y"


def test_copy_is_another_on_the_same_container(vfs: Vfs) -> None:
    for copied in (copy.copy(vfs), copy.deepcopy(vfs)):
        with copied:
            copied.write_text("/g", "y")
            assert copied is not vfs
        assert vfs.read_text("/g") == "y"


def test_pickle_of_a_relative_path_leads_to_the_same_container(
    make_vfs: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    vfs = make_vfs("c.db")
    vfs.touch("/f")

    monkeypatch.chdir("elsewhere")
    try:
        with again(vfs) as other:
            assert other.listdir() == ["f"]
        assert os.listdir(tmp_path / "elsewhere") == []
    finally:
        monkeypatch.chdir(tmp_path)


# --- refused --------------------------------------------------------------------------


@pytest.mark.parametrize("way", [pickle.dumps, copy.copy, copy.deepcopy])
def test_file_system_in_memory_is_a_type_error_that_says_what_to_do(
    mem: Vfs, way: Any
) -> None:
    with pytest.raises(TypeError, match=r"backup\(\)") as caught:
        way(mem)

    assert isinstance(caught.value, InvalidType)


def test_closed_file_system_is_refused_as_for_files(location: str) -> None:
    vfs = Vfs(location)
    vfs.close()

    with pytest.raises(ValueError, match="closed"):
        pickle.dumps(vfs)


def test_handles_are_not_pickled(vfs: Vfs) -> None:
    for mode, buffering in (("r", -1), ("rb", -1), ("rb", 0), ("ab", -1)):
        with vfs.open("/f", mode, buffering) as f, pytest.raises(TypeError):
            pickle.dumps(f)


def test_clock_that_cannot_be_pickled_is_said(location: str) -> None:
    with Vfs(location, clock=lambda: 5) as vfs:
        with pytest.raises((pickle.PicklingError, AttributeError), match="lambda"):
            pickle.dumps(vfs)

        assert vfs.listdir() == []


def test_pickle_of_a_container_that_is_gone_makes_a_new_one_or_says_so(
    location: str,
) -> None:
    with Vfs(location) as vfs:
        writable = pickle.dumps(vfs)
    with Vfs(location, read_only=True) as vfs:
        pickled = pickle.dumps(vfs)
    os.unlink(location)

    with pytest.raises(FileNotFoundError) as caught:
        pickle.loads(pickled)

    assert (caught.value.errno, caught.value.filename) == (errno.ENOENT, location)
    with pickle.loads(writable) as made:  # as its path, opened for writing, would
        assert made.listdir() == []


# --- underlays ------------------------------------------------------------------------


@pytest.fixture
def bases(tmp_path: Path) -> dict[str, str]:
    """A container, a directory and an archive on the host."""
    with Vfs(tmp_path / "base.db", 64) as base:
        grafting.fill(base)
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "host").write_text("of a directory")
    archive = shutil.make_archive(str(tmp_path / "z"), "zip", tmp_path / "d")
    return {
        "container": str(tmp_path / "base.db"),
        "directory": str(tmp_path / "d"),
        "zip": archive,
    }


def test_underlays_come_along_in_their_places(vfs: Vfs, bases: dict[str, str]) -> None:
    vfs.add_underlay(bases["zip"], -1, "zip", at="/zip")
    vfs.add_underlay(bases["container"], 5, "base")
    vfs.add_underlay(bases["directory"], 5, "dir", at="/d/sub")
    vfs.set_priority("zip", 7)
    vfs.rmtree("/gone")

    with again(vfs) as other:
        assert other.list_layers() == vfs.list_layers()
        assert grafting.seen(other) == grafting.seen(vfs)
        assert other.diff() == vfs.diff()
        other.remove_underlay("base")
        assert "base" in {layer["name"] for layer in vfs.list_layers()}


def test_underlays_that_are_objects_come_along(
    vfs: Vfs, bases: dict[str, str], make_vfs: Any
) -> None:
    lowest = make_vfs(bases["container"], read_only=True)
    middle = make_vfs(bases["container"] + ".2")
    middle.write_text("/middle", "m")
    middle.add_underlay(lowest, name="lowest")
    vfs.add_underlay(middle, name="middle")
    vfs.add_underlay(DirectoryLayer(bases["directory"]), 9, "dir", at="/host")

    with again(vfs) as other:
        assert grafting.seen(other) == grafting.seen(vfs)
        assert other.which_layer("/middle") == "middle"
        assert other.read_text("/host/host") == "of a directory"

    assert (middle.closed, lowest.closed) == (False, False)


def test_zip_layer_that_is_an_object_comes_along(
    vfs: Vfs, bases: dict[str, str]
) -> None:
    with closing(ZipLayer(bases["zip"], immutable=True)) as layer:
        vfs.add_underlay(layer, name="zip")

        with again(vfs) as other:
            assert other.read_text("/host") == "of a directory"
            assert other.list_layers() == vfs.list_layers()

        assert vfs.read_text("/host") == "of a directory"


def test_underlays_of_a_pickled_one_are_closed_with_it(
    vfs: Vfs, bases: dict[str, str], make_vfs: Any
) -> None:
    vfs.add_underlay(make_vfs(bases["container"]), name="object")
    vfs.add_underlay(bases["container"], name="path")
    other = again(vfs)
    given = other._layers.stack.underlays[0].given
    assert isinstance(given, Vfs)
    (_, store) = stores(other)

    other.close()

    assert (given.closed, store.closed) == (True, True)
    assert not vfs._layers.stack.underlays[0].given.closed  # type: ignore[attr-defined]


def test_underlay_in_memory_is_a_type_error(vfs: Vfs, mem: Vfs) -> None:
    vfs.add_underlay(mem)

    with pytest.raises(TypeError, match="in memory"):
        pickle.dumps(vfs)

    assert vfs.listdir() == ["f"]


@pytest.mark.parametrize("gone", ["container", "directory", "zip"])
def test_pickle_whose_underlay_is_gone_says_so_and_leaves_nothing_open(
    location: str, bases: dict[str, str], gone: str
) -> None:
    with Vfs(location) as vfs:
        for name, layer in bases.items():
            vfs.add_underlay(layer, name=name)
        pickled = pickle.dumps(vfs)
    os.rename(bases[gone], bases[gone] + ".away")

    with pytest.raises(FileNotFoundError) as caught:
        pickle.loads(pickled)

    assert caught.value.filename == bases[gone]
    del caught
    gc.collect()  # what is left open would warn
    assert not os.path.exists(location + "-wal")


@pytest.mark.parametrize("gone", ["upper", "lower"])
def test_pickle_of_a_stack_that_cannot_be_opened_leaves_nothing_open(
    tmp_path: Path, gone: str
) -> None:
    """Its underlays are opened one by one before it: all of them are closed again."""
    names = ["local", "upper", "lower"]
    paths = {name: str(tmp_path / f"{name}.db") for name in names}
    for path in paths.values():
        Vfs(path).close()
    opened = {name: Vfs(paths[name], read_only=True) for name in names}
    for name in names[1:]:
        opened["local"].add_underlay(opened[name], name=name)
    pickled = pickle.dumps(opened["local"])
    for vfs in opened.values():
        vfs.close()
    os.unlink(paths["local" if gone == "upper" else "lower"])

    with pytest.raises(FileNotFoundError):
        pickle.loads(pickled)

    gc.collect()  # a file system that was forgotten open warns


def test_underlay_that_two_share_is_one_below_both(
    make_vfs: Any, tmp_path: Path
) -> None:
    base = make_vfs(tmp_path / "base.db")
    base.write_text("/f", "below")
    pair = [make_vfs(tmp_path / name) for name in ("1.db", "2.db")]
    for vfs in pair:
        vfs.add_underlay(base)

    one, two = pickle.loads(pickle.dumps(pair))

    try:
        one.close()
        assert two.read_text("/f") == "below"
    finally:
        two.close()
