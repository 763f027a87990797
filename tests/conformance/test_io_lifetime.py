"""Handles that share a file, outlive its name, and are closed or forgotten."""

from __future__ import annotations

import contextlib
import errno
import gc
import io
import os
from typing import TYPE_CHECKING, Any

import pytest
from tests.conformance.outcomes import World, assert_same, outcome, outcomes

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from stratavfs import VirtualFileSystem


def test_append_by_two_handles_in_turn_keeps_every_byte(
    vfs: VirtualFileSystem, tmp_path: Path
) -> None:
    def script(world: World) -> object:
        with world.open("f", "ab", 0) as one, world.open("f", "ab", 0) as two:
            seen = [
                (one.write(b"1"), one.tell()),
                (two.write(b"22"), two.tell()),
                (one.write(b"3"), one.tell()),
                (one.seek(0), one.write(b"4"), one.tell()),
            ]
        return seen, world.get("f")

    assert_same(vfs, tmp_path, script)


def test_open_to_append_starts_at_the_end(
    vfs: VirtualFileSystem, tmp_path: Path
) -> None:
    def script(world: World) -> object:
        world.put("f", b"12345")
        with world.open("f", "a+b") as f:
            seen = [f.tell(), f.read(), f.seek(1), f.read(2), f.write(b"x"), f.tell()]
        return seen, world.get("f")

    assert_same(vfs, tmp_path, script)


@pytest.mark.parametrize("buffering", [-1, 0])
def test_read_while_another_handle_writes_sees_what_is_flushed(
    vfs: VirtualFileSystem, tmp_path: Path, buffering: int
) -> None:
    def script(world: World) -> object:
        world.put("f", b"")
        with world.open("f", "rb", buffering) as reader, world.open("f", "ab") as f:
            seen = [reader.read()]
            f.write(b"one")
            f.flush()
            seen.append(reader.read())
            f.write(b"two")
            f.flush()
            seen.append(reader.read())
            f.truncate(1)
            seen += [reader.read(), reader.tell(), reader.seek(0, 2)]
        return seen

    assert_same(vfs, tmp_path, script)


def test_write_past_a_cut_by_another_handle_leaves_zeros(
    vfs: VirtualFileSystem, tmp_path: Path
) -> None:
    def script(world: World) -> object:
        world.put("f", b"123456")
        with world.open("f", "r+b", 0) as one, world.open("f", "r+b", 0) as two:
            one.seek(5)
            two.truncate(2)
            one.write(b"x")
            return two.read(), one.tell()

    assert_same(vfs, tmp_path, script)


def test_open_w_while_another_handle_is_open_empties_it_for_both(
    vfs: VirtualFileSystem, tmp_path: Path
) -> None:
    def script(world: World) -> object:
        world.put("f", b"123456")
        with world.open("f", "r+b", 0) as one:
            one.read(2)
            world.open("f", "w").close()
            return one.read(), one.tell(), one.write(b"x"), world.get("f")

    assert_same(vfs, tmp_path, script)


def removed(world: World) -> None:
    world.system.remove(world.path("f"))


def renamed(world: World) -> None:
    world.system.rename(world.path("f"), world.path("g"))


def replaced(world: World) -> None:
    world.put("g", b"other")
    world.system.replace(world.path("g"), world.path("f"))


def removed_and_made_again(world: World) -> None:
    world.system.remove(world.path("f"))
    world.put("f", b"new")


def moved_with_its_directory(world: World) -> None:
    world.system.mkdir(world.path("d"))
    world.system.rename(world.path("f"), world.path("d/f"))
    world.system.rename(world.path("d"), world.path("e"))


@pytest.mark.parametrize("buffering", [-1, 0])
@pytest.mark.parametrize(
    "change",
    [removed, renamed, replaced, removed_and_made_again, moved_with_its_directory],
)
def test_use_a_handle_whose_name_changed_follows_the_file(
    vfs: VirtualFileSystem,
    tmp_path: Path,
    change: Callable[[World], None],
    buffering: int,
) -> None:
    def script(world: World) -> object:
        world.put("f", b"123456")
        with world.open("f", "r+b", buffering) as f:
            f.read(2)
            change(world)
            seen = [f.tell(), f.seek(1), f.write(b"XX"), f.truncate(4)]
            f.seek(0)
            seen += [f.read(), f.name == world.path("f")]
        names = sorted(world.system.listdir(world.root))
        return seen, [(n, "d" if n in "de" else world.get(n)) for n in names]

    assert_same(vfs, tmp_path, script)


@pytest.mark.parametrize("mode", ["x", "xb", "x+", "w", "wb", "a", "r", "r+", "w+b"])
@pytest.mark.parametrize("target", ["file", "missing", "directory", "itself", "no/way"])
def test_open_through_a_symbolic_link_does_what_the_disk_does(
    make_vfs: Callable[..., VirtualFileSystem], tmp_path: Path, mode: str, target: str
) -> None:
    def script(world: World) -> object:
        world.put("file", b"123")
        world.system.mkdir(world.path("directory"))
        where = "link" if target == "itself" else target
        world.system.symlink(where, world.path("link"))
        opened = outcome(lambda: world.open("link", mode).close())
        names = sorted(world.system.listdir(world.root))
        return opened, names, world.get("file")

    # The disk makes no parents for a link into nowhere; neither does this instance.
    assert_same(make_vfs(create_parents=False), tmp_path, script)


@pytest.mark.parametrize("mode", ["rb", "wb", "r+b", "r", "w"])
@pytest.mark.parametrize("buffering", [-1, 0])
def test_use_after_close_is_refused_as_on_disk(
    mem: VirtualFileSystem, tmp_path: Path, mode: str, buffering: int
) -> None:
    buffering = buffering if "b" in mode else -1

    def script(world: World) -> object:
        world.put("f", b"123")
        f = world.open("f", mode, buffering)
        f.close()
        f.close()
        data: Any = b"x" if "b" in mode else "x"
        calls: list[Callable[[], object]] = [
            f.read,
            f.readline,
            lambda: f.write(data),
            lambda: f.seek(0),
            f.tell,
            f.truncate,
            f.flush,
            f.readable,
            f.writable,
            f.seekable,
            f.isatty,
            f.fileno,
            f.__enter__,
            lambda: next(f),
            lambda: f.closed,
            lambda: f.name == world.path("f"),
        ]
        return outcomes(calls)

    assert_same(mem, tmp_path, script)


def test_readinto_after_close_is_refused(mem: VirtualFileSystem) -> None:
    mem.write_bytes("/f", b"123")
    raw = mem.open("/f", "rb", 0)
    raw.close()

    for call in (lambda: raw.readinto(bytearray(1)), raw.readall):
        with pytest.raises(ValueError, match="closed"):
            call()


def test_leave_with_by_an_exception_flushes_and_closes(
    vfs: VirtualFileSystem, tmp_path: Path
) -> None:
    def script(world: World) -> object:
        handle = world.open("f", "w")
        with contextlib.suppress(KeyError), handle:
            handle.write("kept")
            raise KeyError
        return handle.closed, world.get("f")

    assert_same(vfs, tmp_path, script)


@pytest.mark.parametrize("mode", ["w", "wb", "r+", "r+b", "r", "rb", "a"])
@pytest.mark.parametrize("buffering", [-1, 0])
def test_forget_an_open_handle_warns_and_keeps_what_was_written(
    vfs: VirtualFileSystem, tmp_path: Path, mode: str, buffering: int
) -> None:
    buffering = buffering if "b" in mode else -1

    def script(world: World) -> object:
        world.put("f", b"12345")
        f = world.open("f", mode, buffering)
        if f.writable():
            f.write(b"xyz" if "b" in mode else "xyz")
        forgotten = [f]
        del f
        with pytest.warns(ResourceWarning, match="unclosed file") as caught:
            forgotten.clear()
        return len(caught), world.get("f")

    assert_same(vfs, tmp_path, script)


def test_forget_a_closed_handle_warns_of_nothing(
    mem: VirtualFileSystem, recwarn: pytest.WarningsRecorder
) -> None:
    f = mem.open("/f", "w")
    f.close()

    del f
    gc.collect()

    assert list(recwarn) == []


def test_detach_leaves_the_raw_file_open(
    vfs: VirtualFileSystem, tmp_path: Path
) -> None:
    def script(world: World) -> object:
        f = world.open("f", "w+b")
        f.write(b"abc")
        raw = f.detach()
        seen = [raw.closed, outcome(f.flush), raw.seek(0), raw.read(), raw.close()]
        return seen, world.get("f")

    assert_same(vfs, tmp_path, script)


# --- what a container's file has not, and the disk's has ------------------------------


@pytest.mark.parametrize("mode", ["r+b", "r+"])
def test_fileno_is_unsupported_because_there_is_no_descriptor(
    mem: VirtualFileSystem, mode: str
) -> None:
    mem.write_bytes("/f", b"")

    with mem.open("/f", mode) as f, pytest.raises(io.UnsupportedOperation):
        f.fileno()


@pytest.mark.parametrize(
    ("mode", "verb", "args"),
    [
        ("rb", "write", (b"x",)),
        ("rb", "writelines", ([b"x"],)),
        ("rb", "truncate", (0,)),
        ("wb", "read", ()),
        ("wb", "readline", ()),
        ("wb", "__next__", ()),
        ("ab", "readlines", ()),
        ("r", "write", ("x",)),
        ("r", "truncate", (0,)),
        ("w", "read", ()),
        ("w", "readline", ()),
        ("w", "__next__", ()),
    ],
)
@pytest.mark.parametrize("buffering", [-1, 0])
def test_use_a_handle_the_wrong_way_is_unsupported(
    mem: VirtualFileSystem,
    tmp_path: Path,
    mode: str,
    verb: str,
    args: tuple[object, ...],
    buffering: int,
) -> None:
    buffering = buffering if "b" in mode else -1

    def script(world: World) -> object:
        world.put("f", b"kept")
        with world.open("f", mode, buffering) as f:
            refused = outcome(lambda: getattr(f, verb)(*args))
        return refused, world.get("f")

    assert_same(mem, tmp_path, script)


# --- holes ----------------------------------------------------------------------------


@pytest.mark.parametrize("whence", [os.SEEK_DATA, os.SEEK_HOLE])
@pytest.mark.parametrize("offset", [-1, 0, 9, 10, 11])
@pytest.mark.parametrize("size", [0, 10])
@pytest.mark.parametrize("buffering", [-1, 0])
def test_seek_data_or_hole_in_a_file_without_holes_agrees_with_the_disk(
    vfs: VirtualFileSystem,
    tmp_path: Path,
    size: int,
    offset: int,
    whence: int,
    buffering: int,
) -> None:
    def script(world: World) -> object:
        world.put("f", b"0123456789"[:size])
        with world.open("f", "rb", buffering) as f:
            return outcome(lambda: f.seek(offset, whence)), f.tell()

    assert_same(vfs, tmp_path, script)


def extents(f: Any, size: int) -> list[tuple[int, int]]:
    """Return what SEEK_DATA and SEEK_HOLE say is stored, as lseek(2) has them used."""
    found = []
    end = 0
    while end < size:
        at = outcome(lambda: f.seek(end, os.SEEK_DATA))  # noqa: B023 - called at once
        if at == ("error", "OSError", errno.ENXIO):
            break
        start = f.tell()
        assert end <= start < size
        end = f.seek(start, os.SEEK_HOLE)
        assert start < end <= size
        found.append((start, end))
    return found


@pytest.mark.parametrize("writes", [(), (0,), (300,), (0, 300), (100, 101, 700)])
def test_seek_data_and_hole_never_skip_a_byte_that_is_not_zero(
    vfs: VirtualFileSystem, writes: tuple[int, ...]
) -> None:
    with vfs.open("/f", "w+b", 0) as f:
        for at in writes:
            f.seek(at)
            f.write(b"x")
        f.truncate(1000)

        found = extents(f, 1000)
        f.seek(0)
        data = f.read()

    stored = {at for start, end in found for at in range(start, end)}
    assert {at for at in range(1000) if data[at]} <= stored
    assert len(data) == 1000


def test_seek_hole_finds_one_that_spans_a_chunk(
    make_vfs: Callable[..., VirtualFileSystem],
) -> None:
    vfs = make_vfs(":memory:", 4)
    with vfs.open("/f", "w+b", 0) as f:
        f.write(b"12345678")
        f.seek(16)
        f.write(b"1")
        f.truncate(40)

        found = extents(f, 40)

    assert found == [(0, 8), (16, 20)]
