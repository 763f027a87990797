"""The command ``pack``: the merged view as a new container that is made to be read."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests import ground
from tests.api.packing import inodes_of
from tests.cli.running import ok, refused, run

from stratavfs import VirtualFileSystem


@pytest.fixture
def stack(work: Path) -> tuple[str, ...]:
    """``user.db`` over ``base.db``; the options that put one over the other."""
    with VirtualFileSystem(work / "base.db") as base:
        base.write_text("/art/hero.txt", "grey")
        base.write_text("/intro.txt", "film")
    with VirtualFileSystem(work / "user.db") as user:
        user.add_underlay(work / "base.db", name="base")
        user.remove("/intro.txt")
        user.write_text("/new.txt", "mine")
    return ("--underlay", "base.db:0:base")


def test_pack_writes_the_merged_view(stack: tuple[str, ...]) -> None:
    assert ok("pack", *stack, "user.db", "new.db").out == b""

    assert ground.tree_of("new.db") == {
        "/art": None,
        "/art/hero.txt": b"grey",
        "/new.txt": b"mine",
    }


def test_pack_says_what_it_packed(stack: tuple[str, ...]) -> None:
    found = ok("pack", "-v", *stack, "user.db", "new.db")

    assert found.lines == ["user.db: 2 files of 8 bytes packed into new.db"]


def test_pack_of_a_layer_has_its_whiteouts(stack: tuple[str, ...]) -> None:
    ok("pack", "--layer", "local", *stack, "user.db", "new.db")

    found = ground.query("new.db", "SELECT parent || name FROM entries WHERE kind = 14")
    assert found == [("/intro.txt",)]
    assert "/art/hero.txt" not in ground.tree_of("new.db")


def test_pack_in_an_order_of_a_size_of_page(stack: tuple[str, ...]) -> None:
    Path("start.trace").write_text('"/new.txt"\n/art/hero.txt\n')

    ok(
        *("pack", "--order", "start.trace", "--page-size", "512"),
        *(*stack, "user.db", "new.db"),
    )

    assert inodes_of(Path("new.db")) == ["/new.txt", "/art/hero.txt"]
    assert ground.query("new.db", "PRAGMA page_size") == [(512,)]


def test_pack_onto_a_file_refuses_and_leaves_it(stack: tuple[str, ...]) -> None:
    before = Path("base.db").read_bytes()

    line = refused("pack", *stack, "user.db", "base.db")

    assert line.startswith("stratavfs: base.db: ")
    assert Path("base.db").read_bytes() == before


def test_pack_by_a_missing_trace_names_it(stack: tuple[str, ...]) -> None:
    line = refused("pack", "--order", "no.trace", "user.db", "new.db")

    assert line == "stratavfs: no.trace: No such file or directory"
    assert not Path("new.db").exists()


@pytest.mark.parametrize(
    "option", [("--page-size", "7"), ("--layer", "nobody"), ("--page-size", "x")]
)
def test_pack_with_a_wrong_option_makes_nothing(
    stack: tuple[str, ...], option: tuple[str, str]
) -> None:
    assert run("pack", *option, "user.db", "new.db").code != 0

    assert not Path("new.db").exists()
