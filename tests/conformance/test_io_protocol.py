"""A binary handle does what the builtin ``open`` does with one of the disk."""

from __future__ import annotations

import io
import itertools
import os
from array import array
from mmap import mmap
from typing import TYPE_CHECKING, Any

import pytest
from tests.conformance.outcomes import World, assert_same, outcome, outcomes

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from stratavfs import VirtualFileSystem

MODES = [base + plus + "b" for base, plus in itertools.product("rwax", ("", "+"))]
BUFFERINGS = (-1, 0, 7)
TEN = b"0123456789"
LINES = b"one\ntwo\r\nthree\n\nlast"


def reading_steps(f: Any) -> list[Callable[[], object]]:
    """Every way to read, a little each, from where the one before stopped."""
    room = bytearray(3)
    return [
        lambda: f.read(0),
        lambda: f.read(2),
        f.tell,
        lambda: (f.readinto(room), bytes(room)),
        f.readline,
        lambda: f.readline(2),
        lambda: f.read(1),
        f.tell,
        lambda: f.readlines(1),
        lambda: next(f),
        lambda: list(f),
        f.read,
        lambda: f.read(5),
        f.readline,
        lambda: f.readinto(room),
        lambda: next(f),
        f.tell,
    ]


def writing_steps(f: Any) -> list[Callable[[], object]]:
    """Every way to write and to move in between."""
    return [
        lambda: f.write(b""),
        lambda: f.write(b"AB"),
        f.tell,
        lambda: f.writelines([b"C", b"", b"DE"]),
        f.flush,
        f.tell,
        lambda: f.seek(1),
        lambda: f.write(b"F"),
        lambda: f.seek(-1, os.SEEK_END),
        lambda: f.write(b"GHI"),
        f.tell,
        lambda: f.seek(12),
        lambda: f.write(b"J"),
        f.tell,
        f.truncate,
        lambda: f.truncate(20),
        f.tell,
        lambda: f.truncate(4),
        f.tell,
        lambda: f.seek(0),
        f.read,
    ]


def asking_steps(f: Any, world: World) -> list[Callable[[], object]]:
    return [
        f.readable,
        f.writable,
        f.seekable,
        f.isatty,
        lambda: f.closed,
        lambda: f.mode,
        lambda: f.name == world.path("f"),
        lambda: type(f).__name__ if isinstance(f, io.BufferedIOBase) else "raw",
        lambda: isinstance(f, io.RawIOBase),
        lambda: f.raw.mode,
    ]


@pytest.mark.parametrize("buffering", BUFFERINGS)
@pytest.mark.parametrize("mode", MODES)
def test_read_in_every_mode_gives_what_the_disk_gives(
    vfs: VirtualFileSystem, tmp_path: Path, mode: str, buffering: int
) -> None:
    def script(world: World) -> object:
        if "x" not in mode:
            world.put("f", LINES)
        with world.open("f", mode, buffering) as f:
            seen = outcomes(reading_steps(f))
        return seen, world.get("f")

    assert_same(vfs, tmp_path, script)


@pytest.mark.parametrize("buffering", BUFFERINGS)
@pytest.mark.parametrize("mode", MODES)
def test_write_in_every_mode_leaves_what_the_disk_has(
    vfs: VirtualFileSystem, tmp_path: Path, mode: str, buffering: int
) -> None:
    # What tell() says while appending depends on the buffer: let it be the same one.
    size = vfs.chunk_size if buffering == -1 else buffering

    def script(world: World) -> object:
        if "x" not in mode:
            world.put("f", TEN)
        same = buffering if world.system is vfs else size
        with world.open("f", mode, same) as f:
            seen = outcomes(writing_steps(f))
        return seen, world.get("f")

    assert_same(vfs, tmp_path, script)


@pytest.mark.parametrize("buffering", [-1, 0])
@pytest.mark.parametrize("mode", MODES)
def test_ask_in_every_mode_gives_what_the_disk_gives(
    mem: VirtualFileSystem, tmp_path: Path, mode: str, buffering: int
) -> None:
    def script(world: World) -> object:
        if "x" not in mode:
            world.put("f", TEN)
        with world.open("f", mode, buffering) as f:
            seen = outcomes(asking_steps(f, world))
        return seen, f.closed, outcome(f.readable), outcome(f.writable)

    assert_same(mem, tmp_path, script)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("state", ["missing", "file", "directory", "below a file"])
def test_open_in_every_mode_at_any_state_does_what_the_disk_does(
    make_vfs: Callable[..., VirtualFileSystem], tmp_path: Path, mode: str, state: str
) -> None:
    def script(world: World) -> object:
        if state == "file":
            world.put("f", TEN)
        if state == "directory":
            world.system.mkdir(world.path("f"))
        if state == "below a file":
            world.put("g", TEN)
        name = "g/f" if state == "below a file" else "f"
        made = outcome(lambda: world.open(name, mode).close())
        return made, sorted(world.system.listdir(world.root))

    assert_same(make_vfs(), tmp_path, script)


def test_read1_readinto1_and_peek_agree_with_the_disk(
    vfs: VirtualFileSystem, tmp_path: Path
) -> None:
    def script(world: World) -> object:
        world.put("f", TEN)
        room = bytearray(4)
        with world.open("f", "rb", 4) as f:
            return outcomes(
                [
                    lambda: f.peek()[:1],
                    lambda: f.read1(1),
                    lambda: f.peek(1)[:1],
                    lambda: f.read1(2),
                    lambda: (f.readinto1(room) > 0, room[:1]),
                    lambda: f.seek(9),
                    f.read1,
                    lambda: f.read1(5),
                    f.peek,
                    lambda: f.readinto1(room),
                ]
            )

    assert_same(vfs, tmp_path, script)


@pytest.mark.parametrize("at", [0, 1, 5, 10, 11, 100])
def test_readall_from_anywhere_gives_the_rest(
    vfs: VirtualFileSystem, tmp_path: Path, at: int
) -> None:
    def script(world: World) -> object:
        world.put("f", TEN)
        with world.open("f", "rb", 0) as f:
            f.seek(at)
            return f.readall(), f.tell(), f.readall(), f.read(), f.read(3)

    assert_same(vfs, tmp_path, script)


@pytest.mark.parametrize("buffering", [-1, 0])
@pytest.mark.parametrize("whence", [0, 1, 2, 5, None, 0.0])
@pytest.mark.parametrize("offset", [0, 3, -3, 10, -10, -11, 1000, 1.5, None])
def test_seek_to_anywhere_lands_where_the_disk_does(
    mem: VirtualFileSystem, tmp_path: Path, offset: Any, whence: Any, buffering: int
) -> None:
    def script(world: World) -> object:
        world.put("f", TEN)
        with world.open("f", "rb", buffering) as f:
            f.read(4)
            moved = outcome(lambda: f.seek(offset, whence))
            return moved, f.tell(), f.read(2)

    assert_same(mem, tmp_path, script)


@pytest.mark.parametrize("buffering", [-1, 0])
@pytest.mark.parametrize("value", [2**63, -(2**63) - 1, 2**64])
@pytest.mark.parametrize("verb", ["seek", "truncate"])
def test_seek_or_truncate_beyond_64_bits_is_refused_as_on_disk(
    mem: VirtualFileSystem, tmp_path: Path, verb: str, value: int, buffering: int
) -> None:
    def script(world: World) -> object:
        world.put("f", TEN)
        with world.open("f", "r+b", buffering) as f:
            refused = outcome(lambda: getattr(f, verb)(value))
            return refused[:2], f.tell(), f.read()

    assert_same(mem, tmp_path, script)


@pytest.mark.parametrize("buffering", [-1, 0])
@pytest.mark.parametrize("size", [-1, 1.5, "1", b"", object])
def test_truncate_to_nonsense_is_refused_as_on_disk(
    mem: VirtualFileSystem, tmp_path: Path, size: Any, buffering: int
) -> None:
    def script(world: World) -> object:
        world.put("f", TEN)
        with world.open("f", "r+b", buffering) as f:
            refused = outcome(lambda: f.truncate(size))
            return refused, f.tell(), f.read()

    assert_same(mem, tmp_path, script)


@pytest.mark.parametrize("buffering", [-1, 0])
@pytest.mark.parametrize("size", [-1, -2, None, 1.5, "1", b""])
@pytest.mark.parametrize("verb", ["read", "readline", "readlines", "read1"])
def test_read_of_an_odd_size_answers_as_on_disk(
    mem: VirtualFileSystem, tmp_path: Path, verb: str, size: Any, buffering: int
) -> None:
    def script(world: World) -> object:
        world.put("f", LINES)
        with world.open("f", "rb", buffering) as f:
            return outcome(lambda: getattr(f, verb)(size)), f.tell()

    assert_same(mem, tmp_path, script)


@pytest.mark.parametrize("buffering", [-1, 0])
@pytest.mark.parametrize("gap", [0, 1, 63, 64, 65, 70_000])
def test_seek_past_the_end_then_write_leaves_zeros_between(
    vfs: VirtualFileSystem, tmp_path: Path, gap: int, buffering: int
) -> None:
    def script(world: World) -> object:
        world.put("f", b"abc")
        with world.open("f", "r+b", buffering) as f:
            f.seek(gap, os.SEEK_END)
            f.write(b"xyz")
        return world.get("f")

    assert_same(vfs, tmp_path, script)


@pytest.mark.parametrize("buffering", [-1, 0])
@pytest.mark.parametrize("size", [0, 1, 3, 10, 11, 65])
def test_truncate_both_ways_and_back_reads_zeros_beyond_the_cut(
    vfs: VirtualFileSystem, tmp_path: Path, size: int, buffering: int
) -> None:
    def script(world: World) -> object:
        world.put("f", TEN)
        with world.open("f", "r+b", buffering) as f:
            returned = f.truncate(size)
            at = f.tell()
            f.truncate(12)
            return returned, at, f.tell(), f.read(), world.get("f")

    assert_same(vfs, tmp_path, script)


def buffers(tmp_path: Path) -> list[Any]:
    """Everything that a caller may think of as bytes."""
    with (tmp_path / "mapped").open("w+b") as backing:
        backing.write(b"mapped")
        backing.flush()
        mapped = mmap(backing.fileno(), 6)
    return [
        b"bytes",
        bytearray(b"array"),
        memoryview(b"view"),
        memoryview(b"0123456789")[2:7],
        array("i", [1, 2, 3]),
        array("d", [0.5]),
        memoryview(array("H", [1, 2, 3, 4])),
        memoryview(bytes(range(12))).cast("B", (3, 4)),
        memoryview(b""),
        array("i"),
        mapped,
    ]


@pytest.mark.parametrize("buffering", [-1, 0])
def test_write_of_any_buffer_stores_its_bytes(
    vfs: VirtualFileSystem, tmp_path: Path, buffering: int
) -> None:
    def script(world: World) -> object:
        with world.open("f", "wb", buffering) as f:
            counts = [f.write(data) for data in buffers(tmp_path)]
        return counts, world.get("f")

    assert_same(vfs, tmp_path, script)


@pytest.mark.parametrize("buffering", [-1, 0])
@pytest.mark.parametrize(
    "data",
    [
        "str",
        None,
        1,
        [1, 2],
        object(),
        memoryview(b"0123456789")[::2],
        memoryview(bytes(range(12))).cast("B", (3, 4))[::2],
    ],
    ids=["str", "None", "int", "list", "object", "strided", "strided-2d"],
)
def test_write_of_what_is_no_bytes_is_refused_and_stores_nothing(
    mem: VirtualFileSystem, tmp_path: Path, data: Any, buffering: int
) -> None:
    def script(world: World) -> object:
        with world.open("f", "wb", buffering) as f:
            refused = outcome(lambda: f.write(data))
            at = f.tell()
        return refused, at, world.get("f")

    assert_same(mem, tmp_path, script)


@pytest.mark.parametrize("buffering", [-1, 0])
@pytest.mark.parametrize(
    "room",
    [
        bytearray(4),
        memoryview(bytearray(4)),
        array("i", [0, 0]),
        bytearray(),
        memoryview(bytearray(12)).cast("B", (3, 4)),
        b"read-only",
        "str",
        None,
        memoryview(b"read-only"),
        memoryview(bytearray(8))[::2],
    ],
    ids=str,
)
def test_readinto_any_object_fills_or_refuses_it_as_on_disk(
    mem: VirtualFileSystem, tmp_path: Path, room: Any, buffering: int
) -> None:
    def script(world: World) -> object:
        world.put("f", TEN)
        with world.open("f", "rb", buffering) as f:
            filled = outcome(lambda: f.readinto(room))
            content = bytes(room) if isinstance(room, bytearray) else b""
            return filled, content, f.tell()

    assert_same(mem, tmp_path, script)


def test_readinto_leaves_the_rest_of_a_larger_buffer_alone(
    vfs: VirtualFileSystem,
) -> None:
    vfs.write_bytes("/f", b"abc")
    room = bytearray(b"......")

    with vfs.open("/f", "rb", 0) as f:
        f.seek(1)
        count = f.readinto(room)

    assert (count, bytes(room)) == (2, b"bc....")


def test_writelines_of_text_to_binary_is_refused_as_on_disk(
    mem: VirtualFileSystem, tmp_path: Path
) -> None:
    def script(world: World) -> object:
        with world.open("f", "wb") as f:
            return outcomes(
                [
                    lambda: f.writelines([b"a", "b"]),
                    lambda: f.writelines("ab"),
                    lambda: f.writelines(None),
                ]
            )

    assert_same(mem, tmp_path, script)
