"""The stack: the order of the layers, their names, and who closes them."""

from __future__ import annotations

import io
import itertools
import math
import stat
import zipfile
from typing import TYPE_CHECKING, Any, BinaryIO

import pytest

from stratavfs import InvalidArgument, InvalidType, VirtualFileSystem, _stack
from stratavfs.layers import Layer
from stratavfs.records import Inode

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

Vfs = VirtualFileSystem


class Closing(Layer):
    """A layer with one file, that knows how often it was closed."""

    def __init__(self, location: str = "") -> None:
        self.location = location
        self.closed = 0

    def find(self, path: str) -> Inode | None:
        if path == "/":
            return Inode(stat.S_IFDIR | 0o755)
        return Inode(stat.S_IFREG | 0o644, size=4) if path == "/f" else None

    def kinds(self, path: str) -> Iterable[tuple[str, int]]:
        return [("f", stat.S_IFREG)]

    def open(self, path: str) -> BinaryIO:
        return io.BytesIO(b"data")

    def close(self) -> None:
        self.closed += 1


@pytest.fixture
def vfs(make_vfs: Any) -> Vfs:
    made: Vfs = make_vfs()
    return made


def named(make_vfs: Any, name: str) -> Vfs:
    layer: Vfs = make_vfs()
    layer.write_text("/who", name)
    return layer


def order(vfs: Vfs) -> list[object]:
    return [layer["name"] for layer in vfs.list_layers()][1:]


def stores(vfs: Vfs) -> list[Any]:
    """Return the connections of the containers below *vfs*."""
    return [member.layer._rooms[0] for member in vfs._layers.stack.everybody()[1:]]  # type: ignore[attr-defined]


# --- order ----------------------------------------------------------------------------


def test_layers_lie_by_falling_priority_and_equal_ones_as_they_were_added(
    vfs: Vfs, make_vfs: Any
) -> None:
    for name, priority in [("a", 0), ("b", 5), ("c", 0), ("d", -3), ("e", 5)]:
        vfs.add_underlay(named(make_vfs, name), priority, name)

    assert order(vfs) == ["b", "e", "a", "c", "d"]
    for name in ["b", "e", "a", "c", "d"]:
        assert vfs.read_text("/who") == name
        assert vfs.which_layer("/who") == name
        vfs.remove_underlay(name)
    assert not vfs.exists("/who")


def test_set_priority_and_back_leaves_the_order_as_it_was(
    vfs: Vfs, make_vfs: Any
) -> None:
    for name in "abc":
        vfs.add_underlay(named(make_vfs, name), name=name)
    got = []

    for name, priority in [("c", 1), ("b", 1), ("b", 0), ("c", 0), ("a", -1), ("a", 0)]:
        vfs.set_priority(name, priority)
        got.append(("".join(map(str, order(vfs))), vfs.read_text("/who")))

    assert got == [
        *(("cab", "c"), ("bca", "b"), ("cab", "c")),
        *(("abc", "a"), ("bca", "b"), ("abc", "a")),
    ]


def test_layer_that_is_removed_and_added_again_comes_last_of_its_priority(
    vfs: Vfs, make_vfs: Any
) -> None:
    layers = {name: named(make_vfs, name) for name in "ab"}
    for name, layer in layers.items():
        vfs.add_underlay(layer, name=name)

    vfs.remove_underlay("a")
    vfs.add_underlay(layers["a"], name="a")

    assert order(vfs) == ["b", "a"]
    assert vfs.read_text("/who") == "b"


def test_set_priority_of_what_is_no_underlay_is_refused(
    vfs: Vfs, make_vfs: Any
) -> None:
    vfs.add_underlay(named(make_vfs, "a"), name="a")
    before = vfs.list_layers()

    for name in ("b", "local", ""):
        with pytest.raises(InvalidArgument, match=repr(name)):
            vfs.set_priority(name, 3)

    assert vfs.list_layers() == before
    assert vfs.read_text("/who") == "a"


@pytest.mark.parametrize("priority", [1.5, "1", None])
def test_set_priority_to_what_is_no_integer_is_refused(
    vfs: Vfs, make_vfs: Any, priority: Any
) -> None:
    vfs.add_underlay(named(make_vfs, "a"), 7, "a")

    with pytest.raises(InvalidType):
        vfs.set_priority("a", priority)

    assert vfs.list_layers()[1]["priority"] == 7


def test_remove_of_what_is_no_underlay_tells_so_and_changes_nothing(
    vfs: Vfs, make_vfs: Any
) -> None:
    vfs.add_underlay(named(make_vfs, "a"), name="a")
    before = vfs.list_layers()

    assert [vfs.remove_underlay(name) for name in ("b", "local", "")] == [False] * 3

    assert vfs.list_layers() == before
    assert vfs.remove_underlay("a") is True
    assert vfs.remove_underlay("a") is False


# --- names ----------------------------------------------------------------------------


def test_automatic_names_are_those_that_are_not_taken(vfs: Vfs, make_vfs: Any) -> None:
    names = (None, "underlay_2", None, None)
    got = [vfs.add_underlay(make_vfs(), name=name) for name in names]
    vfs.remove_underlay("underlay_1")

    assert got == ["underlay_0", "underlay_2", "underlay_1", "underlay_3"]
    assert vfs.add_underlay(make_vfs()) not in {"underlay_0", "underlay_2"}
    assert len({*order(vfs)}) == 4


def test_one_layer_under_two_names_is_two_layers(vfs: Vfs, make_vfs: Any) -> None:
    layer = named(make_vfs, "a")
    vfs.add_underlay(layer, 0, "low", at="/low")
    vfs.add_underlay(layer, 1, "high")
    vfs.add_underlay(layer, 2, "same")

    assert order(vfs) == ["same", "high", "low"]
    assert vfs.stat("/who").source_layer == "same"
    assert vfs.stat("/low/who").source_layer == "low"
    assert vfs.samefile("/who", "/low/who")
    vfs.write_text("/who", "mine")
    assert vfs.read_text("/low/who") == "a"
    vfs.remove("/who")
    vfs.remove_underlay("same")
    assert not vfs.exists("/who")
    assert vfs.read_text("/low/who") == "a"


def test_name_of_a_layer_below_another_is_free(vfs: Vfs, make_vfs: Any) -> None:
    middle = make_vfs()
    middle.add_underlay(named(make_vfs, "a"), name="base")

    vfs.add_underlay(middle, name="base")

    assert order(vfs) == ["base"]
    assert vfs.stat("/who").source_layer == "base"
    detailed = vfs.which_layer_detailed("/who")
    assert detailed["layers"] == [
        {"name": "local", "has_file": False},
        {"name": "base", "has_file": True},
    ]


def test_list_layers_tells_what_each_one_is(
    vfs: Vfs, make_vfs: Any, tmp_path: Path
) -> None:
    with VirtualFileSystem(tmp_path / "c.db") as maker:
        maker.touch("/f")
    with zipfile.ZipFile(tmp_path / "z.zip", "w") as archive:
        archive.writestr("f", b"1")
    (tmp_path / "dir").mkdir()
    vfs.add_underlay(str(tmp_path / "c.db"), 5, "container", at="/c")
    vfs.add_underlay(tmp_path / "z.zip", 4, "zip", at="z/../zz/")
    vfs.add_underlay(tmp_path / "dir", 3, "dir")
    vfs.add_underlay(make_vfs(), 2, "memory")
    vfs.add_underlay(Closing("over there"), -1, "own")

    keys = ("name", "priority", "db_path", "writable", "kind", "at")
    assert [tuple(layer[key] for key in keys) for layer in vfs.list_layers()] == [
        ("local", math.inf, ":memory:", True, "memory", "/"),
        ("container", 5, str(tmp_path / "c.db"), False, "container", "/c"),
        ("zip", 4, str(tmp_path / "z.zip"), False, "zip", "/zz"),
        ("dir", 3, str(tmp_path / "dir"), False, "directory", "/"),
        ("memory", 2, ":memory:", False, "memory", "/"),
        ("own", -1, "over there", False, "closing", "/"),
    ]
    assert all(layer.keys() == {*keys} for layer in vfs.list_layers())


# --- what is refused ------------------------------------------------------------------


def test_cycle_through_any_number_of_stacks_is_refused(make_vfs: Any) -> None:
    chain = [make_vfs() for _ in range(4)]
    for upper, lower in itertools.pairwise(chain):
        upper.add_underlay(make_vfs(), 1)
        upper.add_underlay(lower)
    before = [vfs.list_layers() for vfs in chain]

    for below in range(4):
        for above in range(below + 1):
            with pytest.raises(InvalidArgument, match="round") as caught:
                chain[below].add_underlay(chain[above], name="round")
            assert isinstance(caught.value, ValueError)

    assert [vfs.list_layers() for vfs in chain] == before
    chain[1].remove_underlay("underlay_1")
    chain[2].add_underlay(chain[0])  # no cycle any more


@pytest.mark.parametrize("name", ["local", "a"])
def test_name_that_is_taken_is_refused(vfs: Vfs, make_vfs: Any, name: str) -> None:
    vfs.add_underlay(named(make_vfs, "a"), name="a")

    with pytest.raises(InvalidArgument, match=repr(name)):
        vfs.add_underlay(named(make_vfs, "b"), 1, name)

    assert order(vfs) == ["a"]
    assert vfs.read_text("/who") == "a"


def test_layer_in_two_places_is_no_cycle(vfs: Vfs, make_vfs: Any) -> None:
    base = named(make_vfs, "base")
    for name in ("one", "two"):
        middle = make_vfs()
        middle.add_underlay(base)
        vfs.add_underlay(middle, name=name)

    assert vfs.read_text("/who") == "base"
    assert vfs.which_layer("/who") == "one"


class Half:
    """What has some of the protocol."""

    def find(self, path: str) -> Inode | None:
        raise AssertionError

    def kinds(self, path: str) -> list[tuple[str, int]]:
        raise AssertionError

    open = "not callable"


@pytest.mark.parametrize("layer", [Half(), Closing, io.BytesIO(), 3.5, ("a", "b")])
def test_what_is_no_layer_is_refused(vfs: Vfs, layer: Any) -> None:
    with pytest.raises(InvalidType, match="underlay should be"):
        vfs.add_underlay(layer)

    assert order(vfs) == []


def test_layer_without_a_directory_at_its_root_is_refused(
    vfs: Vfs, monkeypatch: pytest.MonkeyPatch
) -> None:
    for found in (None, Inode(stat.S_IFREG | 0o644), Inode(0o160000)):
        layer = Closing()
        monkeypatch.setattr(layer, "find", lambda path, found=found: found)

        with pytest.raises(InvalidArgument, match=r"odd.*root"):
            vfs.add_underlay(layer, name="odd")

    assert order(vfs) == []


def test_zip_that_is_damaged_is_refused_by_its_name(vfs: Vfs, tmp_path: Path) -> None:
    (tmp_path / "bad.zip").write_bytes(b"PK\5\6" + b"\xff" * 18)

    with pytest.raises(OSError, match="not a") as caught:
        vfs.add_underlay(tmp_path / "bad.zip")

    assert caught.value.filename == str(tmp_path / "bad.zip")
    assert order(vfs) == []


# --- while another thread changes the stack -------------------------------------------


@pytest.mark.parametrize("size", [4, 10_000])
@pytest.mark.parametrize("verb", ["find_content", "find_entry", "find"])
def test_underlay_added_while_a_file_is_looked_for_is_there_or_not(
    vfs: Vfs, make_vfs: Any, monkeypatch: pytest.MonkeyPatch, verb: str, size: int
) -> None:
    """Its inodes have the same numbers as other files of the local layer."""
    base = make_vfs()
    base.write_bytes("/f", b"b" * size)
    vfs.write_bytes("/mine", b"m" * size)
    tree = vfs._layers._tree
    real = getattr(tree, verb)

    def adding(path: Any) -> Any:
        found = real(path)
        monkeypatch.undo()
        vfs.add_underlay(base)
        return found

    def read(path: str) -> bytes:
        with vfs.open(path, "rb") as file:
            return file.read()

    for call in (vfs.read_bytes, read):
        monkeypatch.setattr(tree, verb, adding)
        try:
            assert call("/f") == b"b" * size
        except FileNotFoundError as error:
            assert error.filename == "/f"  # noqa: PT017 - one of two ends
        monkeypatch.undo()
        vfs.remove_underlay("underlay_0")
    assert vfs.read_bytes("/mine") == b"m" * size


@pytest.mark.parametrize("left", [0, 1])
def test_underlay_removed_while_another_thread_finds_the_layers_is_gone(
    vfs: Vfs, make_vfs: Any, monkeypatch: pytest.MonkeyPatch, left: int
) -> None:
    for _ in range(left):
        vfs.add_underlay(make_vfs())
    vfs.add_underlay(named(make_vfs, "a"), name="a")
    resolver = vars(_stack)["Resolver"]

    def removing(members: Any) -> Any:
        monkeypatch.undo()
        vfs.remove_underlay("a")
        return resolver(members)

    monkeypatch.setattr(_stack, "Resolver", removing)
    vfs.exists("/who")

    assert (order(vfs).count("a"), vfs.exists("/who")) == (0, False)


def test_underlay_removed_just_before_another_thread_finds_the_layers_is_gone(
    vfs: Vfs, make_vfs: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    vfs.add_underlay(named(make_vfs, "a"), name="a")
    real = vars(_stack)["stacks"]

    class Removing:
        """The counter, which another thread moves as soon as it was read."""

        @property
        def value(self) -> int:
            found: int = real.value
            monkeypatch.undo()
            vfs.remove_underlay("a")
            return found

    monkeypatch.setattr(_stack, "stacks", Removing())

    assert vfs.exists("/who") in (True, False)
    assert not vfs.exists("/who")
