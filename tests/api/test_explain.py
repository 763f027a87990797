"""Explain: what each layer says of a path, and the rule by which one answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from tests import ground
from tests.api.looking import Stack, delete, put, stacked

from stratavfs.records import Explanation, LayerSay

if TYPE_CHECKING:
    from stratavfs import VirtualFileSystem


@pytest.fixture
def stack(make_vfs: Any) -> Any:
    return stacked(make_vfs)


def rows_of(stack: Stack) -> list[ground.Dump]:
    return [ground.dump(vfs._store._cx) for vfs in stack]


def file_everywhere(stack: Stack) -> None:
    for vfs, size in zip(stack, (3, 2, 1), strict=True):
        vfs.write_bytes("/p", bytes(size))


def directory_everywhere(stack: Stack) -> None:
    for vfs in stack:
        vfs.mkdir("/p")


def file_below_directory(stack: Stack) -> None:
    put(stack.local, "/p/x")
    stack.mod.write_bytes("/p", b"1")
    put(stack.base, "/p/y")


def whiteout_on_top(stack: Stack) -> None:
    stack.base.write_bytes("/p", b"1")
    stack.local.remove("/p")


def whiteout_between(stack: Stack) -> None:
    stack.local.mkdir("/p")
    delete(stack.mod, "/p")
    put(stack.base, "/p/y")


def opaque_on_top(stack: Stack) -> None:
    put(stack.base, "/p/y")
    stack.local.rmtree("/p")
    stack.local.mkdir("/p")


def file_above(stack: Stack) -> None:
    stack.base.write_bytes("/d/p", b"1")
    stack.mod.write_bytes("/d", b"1")


def below_whiteout(stack: Stack) -> None:
    stack.base.write_bytes("/d/p", b"1")
    stack.local.rmtree("/d")


def below_opaque(stack: Stack) -> None:
    below_whiteout(stack)
    stack.local.mkdir("/d")


def whiteout_at_the_bottom(stack: Stack) -> None:
    delete(stack.base, "/p")


def link_itself(stack: Stack) -> None:
    stack.mod.symlink("elsewhere", "/p")
    stack.base.write_bytes("/p", b"1")


HIDES = "hides the layers below"
NOTHING = ("nothing", "")
FILE = "file of 1 bytes"
CUTS = "hidden: nothing merges with a directory but a directory"

# What local, mod and base say, the rule for each, and who answers.
RULES: dict[str, tuple[Any, str, list[tuple[str, str]], str | None]] = {
    "answers": (
        file_everywhere,
        "/p",
        [
            ("file of 3 bytes", "answers"),
            ("file of 2 bytes", "hidden by local"),
            (FILE, "hidden by local"),
        ],
        "local",
    ),
    "merges": (
        directory_everywhere,
        "/p",
        [("directory", "answers"), ("directory", "merges"), ("directory", "merges")],
        "local",
    ),
    "a file cuts off": (
        file_below_directory,
        "/p",
        [("directory", "answers"), (FILE, CUTS), ("directory", "hidden by mod")],
        "local",
    ),
    "whiteout on top": (
        whiteout_on_top,
        "/p",
        [("whiteout", HIDES), NOTHING, (FILE, "hidden by local")],
        None,
    ),
    "whiteout between": (
        whiteout_between,
        "/p",
        [("directory", "answers"), ("whiteout", HIDES), ("directory", "hidden by mod")],
        "local",
    ),
    "whiteout at the bottom": (
        whiteout_at_the_bottom,
        "/p",
        [NOTHING, NOTHING, ("whiteout", HIDES)],
        None,
    ),
    "opaque": (
        opaque_on_top,
        "/p",
        [
            ("directory, opaque", "answers"),
            NOTHING,
            ("directory", "hidden by local"),
        ],
        "local",
    ),
    "non-directory above": (
        file_above,
        "/d/p",
        [NOTHING, ("nothing: /d is no directory", HIDES), (FILE, "hidden by mod")],
        None,
    ),
    "below a whiteout": (
        below_whiteout,
        "/d/p",
        [("nothing: /d is a whiteout", HIDES), NOTHING, (FILE, "hidden by local")],
        None,
    ),
    "below an opaque directory": (
        below_opaque,
        "/d/p",
        [("nothing: /d is opaque", HIDES), NOTHING, (FILE, "hidden by local")],
        None,
    ),
    "link": (
        link_itself,
        "/p",
        [NOTHING, ("link to elsewhere", "answers"), (FILE, "hidden by mod")],
        "mod",
    ),
    "root": (
        directory_everywhere,
        "/",
        [("directory", "answers"), ("directory", "merges"), ("directory", "merges")],
        "local",
    ),
    "missing": (directory_everywhere, "/p/q/r", [NOTHING, NOTHING, NOTHING], None),
}


@pytest.mark.parametrize("case", RULES)
def test_explain_tells_each_layers_say_and_the_rule(stack: Stack, case: str) -> None:
    arrange, path, says, winner = RULES[case]
    arrange(stack)
    before = rows_of(stack)

    told = stack.local.explain(path)

    assert told == Explanation(
        path,
        [
            LayerSay(name, *say)
            for name, say in zip(("local", "mod", "base"), says, strict=True)
        ],
        winner,
    )
    assert told.winner == stack.local.which_layer(path)
    assert rows_of(stack) == before


def test_explain_prints_a_table(stack: Stack) -> None:
    whiteout_on_top(stack)

    found, missing = (str(stack.local.explain(path)) for path in ("/p", "/q"))

    assert found == (
        "/p\n"
        "  local  whiteout         hides the layers below\n"
        "  mod    nothing\n"
        "  base   file of 1 bytes  hidden by local\n"
        "=> nothing is there"
    )
    assert missing == (
        "/q\n  local  nothing\n  mod    nothing\n  base   nothing\n=> nothing is there"
    )


def test_explain_names_the_normalised_path(stack: Stack) -> None:
    put(stack.base, "/p/x")

    told = stack.local.explain("p/../p//x/")

    assert (told.path, told.winner) == ("/p/x", "base")


def test_explain_through_a_link_tells_of_what_it_leads_to(stack: Stack) -> None:
    stack.base.symlink("real", "/link")
    stack.mod.write_bytes("/real/p", b"12")

    told = stack.local.explain("/link/p")

    assert told.path == "/real/p"
    assert told.winner == "mod"
    assert told.layers == stack.local.explain("/real/p").layers


@pytest.mark.parametrize("path", ["/loop/x", "/dangling/x", "/file/x", "/loop"])
def test_explain_what_cannot_be_reached_tells_that_nothing_is_there(
    stack: Stack, path: str
) -> None:
    stack.base.symlink("loop", "/loop")
    stack.base.symlink("nowhere", "/dangling")
    put(stack.base, "/file")

    told = stack.local.explain(path)

    assert told.winner == ("base" if path == "/loop" else None)
    assert [say.name for say in told.layers] == ["local", "mod", "base"]


def test_explain_of_a_mounted_layer_tells_of_it_below_its_prefix(
    make_vfs: Any,
) -> None:
    vfs, dlc = make_vfs(), make_vfs()
    dlc.write_bytes("/maps/one", b"123")
    vfs.add_underlay(dlc, name="dlc", at="/dlc/first")

    told = {
        path: vfs.explain(path).layers[1]
        for path in ("/dlc", "/dlc/first", "/dlc/first/maps/one", "/maps/one", "/dlcx")
    }

    assert told == {
        "/dlc": LayerSay("dlc", "directory", "answers"),
        "/dlc/first": LayerSay("dlc", "directory", "answers"),
        "/dlc/first/maps/one": LayerSay("dlc", "file of 3 bytes", "answers"),
        "/maps/one": LayerSay("dlc", "nothing", ""),
        "/dlcx": LayerSay("dlc", "nothing", ""),
    }


def test_explain_of_a_nested_file_system_tells_of_each_of_its_layers(
    make_vfs: Any,
) -> None:
    vfs, patch, base = make_vfs(), make_vfs(), make_vfs()
    base.write_bytes("/p", b"1")
    patch.add_underlay(base, name="its own")
    patch.remove("/p")
    vfs.add_underlay(patch, name="patch")

    told = vfs.explain("/p")

    assert told.layers == [
        LayerSay("local", "nothing", ""),
        LayerSay("patch", "whiteout", "hides the layers below"),
        LayerSay("patch", "file of 1 bytes", "hidden by patch"),
    ]
    assert told.winner is None


def test_explain_without_underlays_tells_of_the_local_layer(
    mem: VirtualFileSystem,
) -> None:
    put(mem, "/p")

    told = mem.explain("/p")

    assert [say.rule for say in told.layers] == ["answers"]
    assert told.winner == "local"
