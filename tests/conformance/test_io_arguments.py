"""Arguments of ``open`` that the builtin refuses are refused the same way."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import pytest
from tests.conformance.outcomes import World, assert_same, outcome

if TYPE_CHECKING:
    from pathlib import Path

    from stratavfs import VirtualFileSystem

LETTERS = "rwaxbt+U"
MODE_STRINGS = [
    "",
    "+",
    "b",
    "t",
    "bt",
    " ",
    "r ",
    "R",
    "rb\0",
    "rr",
    "rbb",
    "r++",
    "rbt+",
    "é",
    "read",
    *("".join(pair) for pair in itertools.product(LETTERS, repeat=2)),
    *("".join(three) for three in itertools.permutations("rwbt+x", 3)),
    "r+bt",
    "+br",
    "b+w",
    "tw+",
    "xa+",
]


def open_and_close(world: World, mode: Any, *args: Any, **options: Any) -> object:
    with world.open("f", mode, *args, **options) as f:
        return type(f).__name__ if args[:1] != (0,) else "raw", f.readable()


@pytest.mark.parametrize("mode", MODE_STRINGS)
def test_open_with_any_mode_string_does_what_the_builtin_does(
    mem: VirtualFileSystem, tmp_path: Path, mode: str
) -> None:
    def script(world: World) -> object:
        if "x" not in mode:
            world.put("f", b"kept")
        opened = outcome(lambda: open_and_close(world, mode))
        names = world.system.listdir(world.root)
        return opened, names, world.get("f") if names else None

    assert_same(mem, tmp_path, script)


@pytest.mark.parametrize("mode", [None, 1, b"r", ["r"], object])
def test_open_with_a_mode_of_another_type_is_refused(
    mem: VirtualFileSystem, tmp_path: Path, mode: Any
) -> None:
    def script(world: World) -> object:
        world.put("f", b"kept")
        return outcome(lambda: open_and_close(world, mode)), world.get("f")

    assert_same(mem, tmp_path, script)


@pytest.mark.parametrize(
    "options",
    [
        {"encoding": "utf-8"},
        {"errors": "strict"},
        {"newline": ""},
        {"newline": "\n"},
        {"encoding": ""},
        {"encoding": "utf-8", "errors": "strict", "newline": "\n"},
    ],
    ids=str,
)
@pytest.mark.parametrize("mode", ["rb", "wb", "ab", "xb", "r+b"])
def test_open_binary_with_a_text_option_is_refused(
    mem: VirtualFileSystem, tmp_path: Path, mode: str, options: dict[str, str]
) -> None:
    def script(world: World) -> object:
        world.put("f", b"kept")
        opened = outcome(lambda: open_and_close(world, mode, **options))
        return opened, world.get("f")

    assert_same(mem, tmp_path, script)


@pytest.mark.parametrize(
    "options",
    [
        {"newline": "x"},
        {"newline": "\n\r"},
        {"newline": "\n\n"},
        {"newline": 1},
        {"newline": b"\n"},
        {"encoding": 1},
        {"encoding": b"utf-8"},
        {"errors": 1},
        {"encoding": "no-such"},
        {"encoding": "a\0b"},
        {"encoding": "base64"},
        {"errors": "a\0b"},
        {"buffering": 0},
        {"buffering": "1"},
        {"buffering": 1.0},
        {"buffering": None},
    ],
    ids=str,
)
@pytest.mark.parametrize("mode", ["r", "r+"])
def test_open_text_with_a_bad_option_is_refused(
    mem: VirtualFileSystem, tmp_path: Path, mode: str, options: dict[str, Any]
) -> None:
    def script(world: World) -> object:
        world.put("f", b"kept")
        opened = outcome(lambda: open_and_close(world, mode, **options))
        return opened, world.get("f")

    assert_same(mem, tmp_path, script)


@pytest.mark.parametrize(
    "options", [{"newline": "x"}, {"buffering": 0}, {"buffering": "1"}], ids=str
)
@pytest.mark.parametrize("mode", ["w", "a", "x"])
def test_open_for_writing_with_a_bad_option_touches_nothing(
    mem: VirtualFileSystem, mode: str, options: dict[str, Any]
) -> None:
    mem.write_bytes("/kept", b"kept")
    before = mem.stat("/kept")
    name = "/made" if mode == "x" else "/kept"

    refused = outcome(lambda: mem.open(name, mode, **options))

    assert refused[0] == "error"
    assert mem.listdir() == ["kept"]
    assert mem.stat("/kept") == before


@pytest.mark.parametrize("encoding", ["no-such", "a\0b"])
@pytest.mark.parametrize("mode", ["w", "a", "x", "r+", "r"])
def test_open_with_a_codec_that_does_not_exist_leaves_no_handle_behind(
    mem: VirtualFileSystem, tmp_path: Path, mode: str, encoding: str
) -> None:
    def script(world: World) -> object:
        world.put("f", b"kept")
        name = "new" if mode == "x" else "f"
        opened = outcome(lambda: world.open(name, mode, encoding=encoding))
        world.system.remove(world.path("f"))
        return opened

    assert_same(mem, tmp_path, script)


@pytest.mark.parametrize("buffering", [-1, 1, 2, 7, 65536, True])
@pytest.mark.parametrize("mode", ["r", "w", "a", "r+", "w+"])
def test_open_text_with_any_buffering_works(
    mem: VirtualFileSystem, tmp_path: Path, mode: str, buffering: int
) -> None:
    def script(world: World) -> object:
        world.put("f", b"one\ntwo\n")
        with world.open("f", mode, buffering) as f:
            seen = [outcome(f.readline), outcome(lambda: f.write("x")), f.seek(0)]
            seen += [f.line_buffering, f.mode, f.name == world.path("f")]
        return seen, world.get("f")

    assert_same(mem, tmp_path, script)


@pytest.mark.parametrize("buffering", [-2, -100])
def test_open_with_a_negative_buffering_answers_as_the_builtin(
    mem: VirtualFileSystem, tmp_path: Path, buffering: int
) -> None:
    def script(world: World) -> object:
        world.put("f", b"kept")
        opened = outcome(lambda: open_and_close(world, "rb", buffering))
        return opened, world.get("f")

    assert_same(mem, tmp_path, script)


def test_open_binary_line_buffered_warns_as_the_builtin(
    mem: VirtualFileSystem, tmp_path: Path
) -> None:
    def script(world: World) -> object:
        with pytest.warns(RuntimeWarning, match="line buffering"):
            f = world.open("f", "wb", 1)
        with f:
            return f.write(b"a\nb"), type(f).__name__

    assert_same(mem, tmp_path, script)


@pytest.mark.no_slow_contracts("single")
def test_open_warns_at_the_line_of_the_caller(mem: VirtualFileSystem) -> None:
    with pytest.warns(RuntimeWarning) as caught:
        mem.open("/f", "wb", 1).close()

    assert [warning.filename for warning in caught] == [__file__]


@pytest.mark.parametrize("option", ["closefd", "opener", "nonsense"])
def test_open_with_an_option_for_descriptors_is_refused(
    mem: VirtualFileSystem, option: str
) -> None:
    options: dict[str, Any] = {option: None}

    with pytest.raises(TypeError):
        mem.open("/f", "w", **options)

    assert mem.listdir() == []


def test_open_without_a_mode_reads_utf8(mem: VirtualFileSystem) -> None:
    mem.write_bytes("/f", "é\n".encode())

    with mem.open("/f") as f:
        text = f.read()

    assert text == "é\n"
    assert f.encoding == "utf-8"
