"""The resolver over layers of every kind, in every order, and mounted anywhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from tests.unit.test_resolver import stacked

from stratavfs import VirtualFileSystem
from stratavfs.layers import DirectoryLayer

if TYPE_CHECKING:
    from pathlib import Path

Vfs = VirtualFileSystem


# --- stacks of what is remembered and what is asked anew ------------------------------


@pytest.fixture
def kinds(make_vfs: Any, tmp_path: Path) -> dict[str, Any]:
    """Three containers and two directories, each with /own, and /d/<its name>."""
    found: dict[str, Any] = {}
    for name in ("a", "b", "c"):
        found[name] = make_vfs()
        found[name].write_text("/own", name)
        found[name].write_text(f"/d/{name}", name)
    for name in ("x", "y"):
        (tmp_path / name / "d").mkdir(parents=True)
        (tmp_path / name / "own").write_text(name)
        (tmp_path / name / "d" / name).write_text(name)
        found[name] = DirectoryLayer(tmp_path / name)
    return found


ORDERS = ["abx", "axb", "xab", "axy", "xay", "xya", "abxcy", "xaby", "axbyc", "abcxy"]


@pytest.mark.parametrize("order", ORDERS)
def test_first_of_mixed_layers_answers(
    make_vfs: Any, kinds: dict[str, Any], order: str
) -> None:
    vfs = stacked(make_vfs, *(kinds[name] for name in order))

    for _ in range(2):
        assert vfs.read_text("/own") == order[0]
        assert vfs.listdir("/d") == sorted(order)
        assert [vfs.read_text(f"/d/{name}") for name in order] == [*order]
        assert [vfs.stat(f"/d/{name}").source_layer for name in order] == [
            f"layer{nth}" for nth in range(len(order))
        ]
        assert not vfs.exists("/d/nothing")
        assert not vfs.exists("/nothing/at/all")


@pytest.mark.parametrize("how", ["whiteout", "opaque", "file"])
@pytest.mark.parametrize(
    ("order", "hiding"),
    [(order, name) for order in ORDERS for name in order if name in "abc"],
)
def test_what_a_container_hides_is_hidden_in_all_mixed_layers_below(
    make_vfs: Any, kinds: dict[str, Any], order: str, hiding: str, how: str
) -> None:
    vfs = stacked(make_vfs, *(kinds[name] for name in order))
    assert vfs.listdir("/d") == sorted(order)
    at = order.index(hiding)

    hide(kinds[hiding], how)

    for _ in range(2):
        shown = vfs.listdir("/d") if vfs.isdir("/d") else []
        assert shown == sorted(order[:at])
        assert [vfs.exists(f"/d/{name}") for name in order[:at]] == [True] * at
        assert not any(vfs.exists(f"/d/{name}") for name in order[at:])
        assert vfs.isfile("/d") == (how == "file" and at == 0)
        assert vfs.read_text("/own") == order[0]


def hide(layer: Vfs, how: str) -> None:
    """Let *layer* hide what is below it in ``/d``, with nothing of its own there."""
    layer.add_underlay(below(), name="below")
    layer.rmtree("/d")
    if how == "opaque":
        layer.mkdir("/d")
    elif how == "file":
        layer.write_text("/d", "in the way")
    layer.remove_underlay("below")


def below() -> Vfs:
    vfs = VirtualFileSystem()
    vfs.touch("/d/z")
    return vfs


@pytest.mark.parametrize("order", [order for order in ORDERS if order != "xya"])
def test_whiteout_hides_its_name_alone_in_all_mixed_layers_below(
    make_vfs: Any, kinds: dict[str, Any], order: str
) -> None:
    (hiding, *_) = (name for name in order if name in "abc")
    last = order[-1]
    vfs = stacked(make_vfs, *(kinds[name] for name in order))
    for directory in ("/d", f"/d/{last}"):
        vfs.exists(directory)
    kinds[hiding].add_underlay(kinds[last], name="last")

    kinds[hiding].remove(f"/d/{last}")

    kinds[hiding].remove_underlay("last")
    shown = order if order.index(last) < order.index(hiding) else order[:-1]
    assert vfs.listdir("/d") == sorted(shown)
    assert [vfs.exists(f"/d/{name}") for name in order] == [
        name in shown for name in order
    ]


# --- mounts ---------------------------------------------------------------------------


@pytest.fixture(params=["container", "directory"])
def extra(request: pytest.FixtureRequest, make_vfs: Any, tmp_path: Path) -> Any:
    """What is mounted: remembered, or asked anew."""
    if request.param == "container":
        vfs = make_vfs()
        vfs.write_text("/map/m1", "extra")
        return vfs
    (tmp_path / "extra" / "map").mkdir(parents=True)
    (tmp_path / "extra" / "map" / "m1").write_text("extra")
    return DirectoryLayer(tmp_path / "extra")


def test_mount_makes_the_directories_above_it(make_vfs: Any, extra: Any) -> None:
    vfs = make_vfs()
    vfs.add_underlay(extra, at="/games/one")

    assert [*vfs.walk("/")] == [
        ("/", ["games"], []),
        ("/games", ["one"], []),
        ("/games/one", ["map"], []),
        ("/games/one/map", [], ["m1"]),
    ]
    assert vfs.stat("/games").is_directory
    assert vfs.read_text("/games/one/map/m1") == "extra"
    assert [entry.name for entry in vfs.scandir("/games")] == ["one"]
    assert not vfs.exists("/map")
    assert not vfs.exists("/games/one2")
    assert vfs.listxattr("/games") == []


@pytest.mark.parametrize("priority", [-1, 1])
def test_mount_inside_a_directory_of_another_layer_merges_with_it(
    make_vfs: Any, extra: Any, priority: int
) -> None:
    base = make_vfs()
    base.write_text("/games/one/map/m1", "base")
    base.write_text("/games/one/map/m2", "base")
    vfs = make_vfs()
    vfs.add_underlay(base)

    vfs.add_underlay(extra, priority, at="/games/one")

    winner = "extra" if priority > 0 else "base"
    assert vfs.listdir("/games/one/map") == ["m1", "m2"]
    assert vfs.read_text("/games/one/map/m1") == winner
    assert vfs.read_text("/games/one/map/m2") == "base"


@pytest.mark.parametrize("how", ["file", "whiteout", "opaque"])
@pytest.mark.parametrize("at", ["/games", "/games/one", "/games/one/deep/er"])
def test_mount_below_what_a_higher_layer_hides_is_hidden(
    make_vfs: Any, extra: Any, how: str, at: str
) -> None:
    patch, vfs = make_vfs(), make_vfs()
    patch.mkdir("/d")
    hide(patch, how)
    vfs.add_underlay(extra, at=at.replace("/games", "/d/games"))
    assert vfs.exists(at.replace("/games", "/d/games") + "/map/m1")

    vfs.add_underlay(patch, 1)

    for path in ("/d/games", "/d/games/one", "/d/games/one/deep/er/map/m1"):
        assert not vfs.exists(path)
    assert vfs.isdir("/d") == (how == "opaque")
    assert vfs.isfile("/d") == (how == "file")


def test_mount_above_what_another_layer_has_there_as_a_file_hides_it(
    make_vfs: Any, extra: Any
) -> None:
    base, vfs = make_vfs(), make_vfs()
    base.write_text("/games", "a file")
    vfs.add_underlay(base)

    vfs.add_underlay(extra, 1, at="/games")

    assert vfs.read_text("/games/map/m1") == "extra"
    vfs.set_priority("underlay_1", -1)
    assert vfs.read_text("/games") == "a file"
    assert not vfs.exists("/games/map")


def test_change_below_a_mount_comes_up_with_the_directories_above_it(
    make_vfs: Any, extra: Any
) -> None:
    vfs = make_vfs()
    vfs.add_underlay(extra, name="extra", at="/games/one")

    vfs.write_text("/games/one/map/m1", "mine")
    vfs.write_text("/games/two", "mine")

    assert vfs.which_layer("/games/one/map/m1") == "local"
    assert vfs.listdir("/games") == ["one", "two"]
    vfs.remove_underlay("extra")
    assert vfs.read_text("/games/one/map/m1") == "mine"


def test_mount_in_a_nested_stack_that_is_mounted_itself(
    make_vfs: Any, extra: Any
) -> None:
    inner, middle, vfs = make_vfs(), make_vfs(), make_vfs()
    inner.write_text("/i", "inner")
    inner.add_underlay(extra, at="/x")
    middle.write_text("/m", "middle")
    middle.add_underlay(inner, at="/y")

    vfs.add_underlay(middle, name="all", at="/z")

    assert vfs.read_text("/z/y/x/map/m1") == "extra"
    assert (vfs.read_text("/z/m"), vfs.read_text("/z/y/i")) == ("middle", "inner")
    assert vfs.listdir("/z/y") == ["i", "x"]
    assert vfs.which_layer("/z/y/x/map/m1") == "all"
    middle.rmtree("/y/x")
    assert vfs.listdir("/z/y") == ["i"]
    assert not vfs.exists("/z/y/x/map/m1")
    assert inner.read_text("/x/map/m1") == "extra"


def test_nested_stack_takes_its_own_place_in_the_order(make_vfs: Any) -> None:
    layers = {name: make_vfs() for name in ("high", "nest", "nested", "low")}
    for name, layer in layers.items():
        layer.write_text(f"/{name}", name)
        layer.write_text("/own", name)
    layers["nest"].add_underlay(layers["nested"], 1000)
    vfs = make_vfs()

    for priority, name in enumerate(("low", "nest", "high")):
        vfs.add_underlay(layers[name], priority, name)

    order = ["high", "nest", "nested", "low"]
    for name in order:
        assert vfs.read_text("/own") == name
        layers[name].remove("/own")
        if name == "nest":  # its whiteout hides what is below it
            assert not vfs.exists("/own")
            layers[name].remove_underlay("underlay_0")
            layers[name].revert("/own")
            layers[name].add_underlay(layers["nested"])
    assert not vfs.exists("/own")


# --- links through the merged view ----------------------------------------------------


@pytest.fixture
def linked(make_vfs: Any, kinds: dict[str, Any]) -> Vfs:
    """A stack of a container over a directory, links in the container and local."""
    kinds["a"].symlink("d/", "/to_d")
    kinds["a"].symlink("/own", "/d/up")
    kinds["a"].symlink("loop", "/loop")
    vfs = stacked(make_vfs, kinds["a"], kinds["x"])
    vfs.symlink("to_d/../d", "/local")
    vfs.symlink("nowhere", "/broken")
    return vfs


def test_link_leads_to_what_another_layer_has(linked: Vfs) -> None:
    assert linked.read_text("/to_d/x") == "x"
    assert linked.read_text("/local/x") == "x"
    assert linked.read_text("/local/up") == "a"
    assert linked.stat("/local/x").source_layer == "layer1"
    assert linked.which_layer("/to_d/x") == "layer1"
    assert linked.which_layer("/to_d") == "layer0"
    assert linked.which_layer("/local") == "local"
    assert linked.which_layer("/local/nothing") is None
    assert linked.listdir("/to_d") == linked.listdir("/local") == ["a", "up", "x"]
    assert sorted(entry.name for entry in linked.scandir("/local")) == ["a", "up", "x"]
    assert linked.glob("/local/**/x") == ["/local/x"]
    assert linked.glob("**/x") == ["/d/x"]
    assert linked.isfile("/to_d/x")


def test_link_that_leads_nowhere_is_an_error_or_makes_its_target(linked: Vfs) -> None:
    for path, error in (
        ("/loop", "too many|Too many"),
        ("/broken", "No such"),
        ("/broken/below", "No such"),
        ("/own/below", "Not a dir"),
        ("/to_d/x/below", "Not a dir"),
    ):
        with pytest.raises(OSError, match=error) as caught:
            linked.stat(path)
        assert caught.value.filename == path
    with pytest.raises(NotADirectoryError):
        linked.listdir("/to_d/x")

    linked.write_text("/broken", "made")

    assert linked.read_text("/nowhere") == "made"
    assert linked.which_layer("/nowhere") == "local"


def test_change_through_a_link_of_one_layer_changes_what_another_has(
    linked: Vfs,
) -> None:
    with linked.open("/local/x", "a") as file:
        file.write("!")

    assert linked.read_text("/d/x") == "x!"
    assert linked.readlink("/to_d") == "d/"
    assert linked.which_layer("/to_d") == "layer0"
    linked.remove("/d/x")
    for call in (linked.stat, linked.read_text, linked.open):
        with pytest.raises(FileNotFoundError):
            call("/local/x")


def test_hidden_file_is_not_found_by_any_question(linked: Vfs) -> None:
    linked.rmtree("/d")

    for path in ("/d", "/d/x", "/to_d/x"):
        with pytest.raises(FileNotFoundError) as caught:
            linked.stat(path)
        assert caught.value.filename == path
        assert linked.which_layer(path) is None
        detailed = linked.which_layer_detailed("/d/x")
        assert detailed["resolved_from"] is None
    linked.mkdir("/d")
    assert not linked.exists("/d/x")
    with pytest.raises(FileNotFoundError):
        linked.stat("/d/x")
