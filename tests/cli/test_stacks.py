"""Stacks: what ``--underlay`` and a stack file name, and what is said of wrong ones."""

from __future__ import annotations

from pathlib import Path

import click
import pytest
from tests.cli.running import ok, refused

from stratavfs import VirtualFileSystem
from stratavfs.cli import _stacks
from stratavfs.cli._output import Failure


@pytest.fixture
def base(work: Path) -> Path:
    """``base``, a directory with a file, and ``top.db``, which is empty."""
    (work / "base").mkdir()
    (work / "base/motd").write_text("hello\n")
    ok("init", "top.db")
    return work


# --- --underlay -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "path", "priority", "name"),
    [
        ("base.zip", "base.zip", 0, None),
        ("base.zip:10", "base.zip", 10, None),
        ("base.zip:-3", "base.zip", -3, None),
        ("base.zip:10:core", "base.zip", 10, "core"),
        ("base.zip::core", "base.zip", 0, "core"),
        ("base.zip:10:a b", "base.zip", 10, "a b"),
        ("dir/a:b.zip", "dir/a:b.zip", 0, None),
        ("dir/a:b.zip:7", "dir/a:b.zip", 7, None),
        ("C:\\base.zip:7:core", "C:\\base.zip", 7, "core"),
        ("C:\\base.zip", "C:\\base.zip", 0, None),
    ],
)
def test_parse_takes_priority_and_name_from_the_end(
    work: Path, text: str, path: str, priority: int, name: str | None
) -> None:
    assert _stacks.parse(text)[:3] == (path, priority, name)


def test_parse_takes_a_file_of_that_name_as_it_is(work: Path) -> None:
    (work / "base:10").mkdir()

    assert _stacks.parse("base:10")[:3] == ("base:10", 0, None)


@pytest.mark.parametrize("text", ["base:high", "base:high:core", "base:1.5"])
def test_parse_of_no_priority_is_a_usage_error(base: Path, text: str) -> None:
    with pytest.raises(click.UsageError, match="is no priority"):
        _stacks.parse(text)


def test_underlay_may_stand_before_or_after_the_command(base: Path) -> None:
    before = ok("--underlay", "base", "cat", "top.db:/motd")
    after = ok("cat", "--underlay", "base:5:lower", "top.db:/motd")

    assert before.out == after.out == b"hello\n"


def test_underlay_lies_below_the_first_container_alone(base: Path) -> None:
    ok("init", "copy.db")

    ok("--underlay", "base", "cp", "-r", "top.db:/", "copy.db:/")

    with VirtualFileSystem("copy.db", read_only=True) as vfs:
        assert vfs.read_bytes("/motd") == b"hello\n"
        assert vfs.listdir("/") == ["motd"]


def test_underlay_twice_by_one_name_is_refused(base: Path) -> None:
    line = refused(
        *("--underlay", "base:0:x", "--underlay", "base:1:x", "ls", "top.db")
    )

    assert line.startswith("stratavfs: --underlay: base: ")
    assert "'x'" in line


def test_underlay_that_is_missing_is_named(base: Path) -> None:
    line = refused("--underlay", "nothing", "ls", "top.db")

    assert line == "stratavfs: --underlay: nothing: No such file or directory"


# --- stack files ----------------------------------------------------------------------


def load(text: str) -> list[_stacks.Underlay]:
    Path("dir").mkdir(exist_ok=True)
    Path("dir/mods.toml").write_text(text, encoding="utf-8")
    return _stacks.load("dir/mods.toml")


def test_load_reads_every_key_relative_to_the_file(work: Path) -> None:
    found = load(
        '[[underlay]]\npath = "a.zip"\n'
        '[[underlay]]\npath = "../b"\npriority = -1\nname = "b"\nat = "/x"\n'
    )

    assert [layer[:4] for layer in found] == [
        (str(Path("dir/a.zip")), 0, None, "/"),
        ("dir/../b", -1, "b", "/x"),
    ]


def test_load_leaves_an_absolute_path(work: Path) -> None:
    path = str(work / "a.zip")

    assert load(f"[[underlay]]\npath = '{path}'\n")[0].path == path


def test_load_of_nothing_is_no_layer(work: Path) -> None:
    assert load("") == load("underlay = []\n") == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[[underlay]]\nname = 'x'\n", "underlay 1: path is missing"),
        ("[[underlay]]\npath = ''\n", "underlay 1: path is missing"),
        (
            "[[underlay]]\npath = 'a'\n[[underlay]]\npath = 'b'\nprio = 1\n",
            "underlay 2: unknown key 'prio': the keys are path, priority, name, at",
        ),
        (
            "[[underlay]]\npath = 'a'\npriority = 'high'\n",
            "underlay 1: priority: write a whole number, not 'high'",
        ),
        ("[[underlay]]\npath = 'a'\npriority = true\n", "priority: write a whole"),
        ("[[underlay]]\npath = 3\n", "underlay 1: path: write a text in quotes, not 3"),
        ("[[underlay]]\npath = 'a'\nat = 1\n", "underlay 1: at: write a text"),
        ("[underlay]\npath = 'a'\n", "write [[underlay]]"),
        ("underlay = [3]\n", "underlay 1: write a table"),
        ("[[layer]]\npath = 'a'\n", "unknown key 'layer': write tables [[underlay]]"),
        ("[[underlay]]\npath = \n", "this is no TOML: Invalid value (at line 2"),
    ],
)
def test_load_of_a_wrong_file_names_key_and_remedy(
    work: Path, text: str, said: str
) -> None:
    with pytest.raises(Failure) as raised:
        load(text)

    assert str(raised.value).startswith("dir/mods.toml: ")
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)


def test_load_of_no_utf8_says_so(work: Path) -> None:
    Path("mods.toml").write_bytes(b"\xff\xfe")

    with pytest.raises(Failure, match="this is no TOML"):
        _stacks.load("mods.toml")


def test_stack_with_a_missing_layer_names_where_it_stands(base: Path) -> None:
    Path("mods.toml").write_text("[[underlay]]\npath = 'base'\n[[underlay]]\npath='no'")

    line = refused("--stack", "mods.toml", "ls", "top.db")

    assert line == "stratavfs: mods.toml: underlay 2: no: No such file or directory"


def test_stack_and_underlays_add_up(base: Path) -> None:
    Path("mods.toml").write_text("[[underlay]]\npath = 'base'\nname = 'file'\n")

    lines = ok(
        *("--stack", "mods.toml", "--underlay", "base:9:high", "layers", "top.db")
    ).lines

    assert [line.split()[0] for line in lines] == ["NAME", "local", "high", "file"]
