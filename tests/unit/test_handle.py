"""Handles below the buffers: the raw file, and its wrapping."""

from __future__ import annotations

import array
import errno
import gc
import io
import os
import warnings
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest

from stratavfs import _handle, _modes
from stratavfs._handle import ChunkFile
from stratavfs._openfile import InodeFile
from stratavfs.records import VPath

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stratavfs import VirtualFileSystem
    from stratavfs._pins import Pin

PATH = VPath("/f")


def raw_of(vfs: VirtualFileSystem, mode: str = "r+b") -> ChunkFile:
    vfs.write_bytes(PATH, b"0123456789")
    how = _modes.parse(mode)
    file = vfs._copy_up.open_file(PATH)
    forget = vfs._handles.discard
    return ChunkFile(vfs._store, file, how, PATH, vfs._clock, forget)


def pin_of(raw: ChunkFile) -> Pin:
    assert isinstance(raw._file, InodeFile)
    return raw._file._pin


@pytest.fixture
def raw(vfs: VirtualFileSystem) -> Iterator[ChunkFile]:
    with raw_of(vfs) as file:
        yield file


# --- the raw file ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "can"),
    [("rb", (True, False)), ("wb", (False, True)), ("r+b", (True, True))],
)
def test_raw_can_do_what_its_mode_says(
    mem: VirtualFileSystem, mode: str, can: tuple[bool, bool]
) -> None:
    with raw_of(mem, mode) as file:
        assert (file.readable(), file.writable(), file.seekable()) == (*can, True)
        assert (file.name, file.mode) == (PATH, _modes.parse(mode).raw_name)


def test_readinto_reads_on_and_stops_at_the_end(raw: ChunkFile) -> None:
    buffer = bytearray(4)

    counts = [raw.readinto(buffer) for _ in range(4)]

    assert (counts, raw.tell()) == ([4, 4, 2, 0], 10)


def test_readinto_any_writable_buffer_is_filled(raw: ChunkFile) -> None:
    numbers = array.array("H", [0, 0])

    assert raw.readinto(numbers) == 4
    assert numbers.tobytes() == b"0123"
    assert raw.readinto(bytearray()) == 0


@pytest.mark.parametrize("start", [0, 3, 10, 99])
def test_readall_reads_the_rest(raw: ChunkFile, start: int) -> None:
    raw.seek(start)

    assert raw.readall() == b"0123456789"[start:]
    assert raw.tell() == max(start, 10)
    assert raw.readall() == b""


def test_write_moves_on_and_appending_goes_to_the_end(vfs: VirtualFileSystem) -> None:
    with raw_of(vfs) as one, vfs.open(PATH, "ab", 0) as two:
        assert two.tell() == 10

        one.seek(0, os.SEEK_END)
        assert one.write(b"abc") == 3
        assert (two.write(b"de"), two.tell()) == (2, 15)

    assert vfs.read_bytes(PATH) == b"0123456789abcde"


def test_write_of_nothing_changes_nothing(raw: ChunkFile) -> None:
    before = raw._file.read(0)

    assert raw.write(b"") == 0

    assert raw._file.read(0) == before


def test_truncate_without_size_cuts_here(raw: ChunkFile) -> None:
    raw.seek(4)

    assert raw.truncate() == 4
    assert (raw.tell(), raw.seek(0), raw.readall()) == (4, 0, b"0123")


def test_truncate_to_size_leaves_the_position(raw: ChunkFile) -> None:
    raw.seek(2)

    assert raw.truncate(20) == 20
    assert raw.tell() == 2
    assert raw.readall() == b"23456789" + bytes(10)


@pytest.mark.parametrize(
    ("offset", "whence", "at"),
    [(3, os.SEEK_SET, 3), (2, os.SEEK_CUR, 7), (-2, os.SEEK_END, 8), (5, 2, 15)],
)
def test_seek_goes_where_it_is_told(
    raw: ChunkFile, offset: int, whence: int, at: int
) -> None:
    raw.seek(5)

    assert raw.seek(offset, whence) == at == raw.tell()


@pytest.mark.parametrize(
    ("offset", "whence", "number"),
    [
        (-1, os.SEEK_SET, errno.EINVAL),
        (-6, os.SEEK_CUR, errno.EINVAL),
        (-11, os.SEEK_END, errno.EINVAL),
        (0, 99, errno.EINVAL),
        ((1 << 62) + 1, os.SEEK_SET, errno.EFBIG),
        (10, _handle._SEEK_DATA, errno.ENXIO),
        (10, _handle._SEEK_HOLE, errno.ENXIO),
    ],
)
def test_seek_impossible_raises_and_stays(
    raw: ChunkFile, offset: int, whence: int, number: int
) -> None:
    raw.seek(5)

    with pytest.raises(OSError) as caught:
        raw.seek(offset, whence)

    assert (caught.value.errno, caught.value.filename) == (number, PATH)
    assert raw.tell() == 5


def test_seek_data_and_hole_skip_what_is_not_stored(vfs: VirtualFileSystem) -> None:
    chunk = vfs.chunk_size
    with raw_of(vfs) as file:
        file.seek(chunk * 50)
        file.write(b"x")

        data = file.seek(chunk * 20, _handle._SEEK_DATA)
        hole = file.seek(0, _handle._SEEK_HOLE)

    assert data == chunk * 50
    assert 10 <= hole <= 10 + chunk


@pytest.mark.parametrize(
    ("mode", "verb", "args"),
    [
        ("rb", "write", (b"x",)),
        ("rb", "truncate", (0,)),
        ("wb", "readinto", (bytearray(1),)),
        ("wb", "readall", ()),
        ("wb", "read", (1,)),
    ],
)
def test_wrong_direction_is_unsupported_and_changes_nothing(
    mem: VirtualFileSystem, mode: str, verb: str, args: tuple[Any, ...]
) -> None:
    with raw_of(mem, mode) as file, pytest.raises(io.UnsupportedOperation):
        getattr(file, verb)(*args)

    assert mem.read_bytes(PATH) == b"0123456789"


CALLS: list[tuple[str, tuple[Any, ...]]] = [
    ("readable", ()),
    ("writable", ()),
    ("seekable", ()),
    ("readinto", (bytearray(1),)),
    ("readall", ()),
    ("read", (1,)),
    ("write", (b"x",)),
    ("truncate", ()),
    ("tell", ()),
    ("seek", (0,)),
    ("flush", ()),
]


@pytest.mark.parametrize(("verb", "args"), CALLS)
def test_closed_file_refuses_everything(
    mem: VirtualFileSystem, verb: str, args: tuple[Any, ...]
) -> None:
    file = raw_of(mem)
    file.close()
    file.close()

    with pytest.raises(ValueError, match="closed file"):
        getattr(file, verb)(*args)

    assert "[closed]" in repr(file)


@pytest.mark.parametrize(
    ("verb", "args"),
    [
        ("readinto", (bytearray(1),)),
        ("readall", ()),
        ("write", (b"x",)),
        ("truncate", (0,)),
        ("seek", (0, os.SEEK_END)),
        ("seek", (0, _handle._SEEK_DATA)),
    ],
)
def test_file_that_a_rollback_took_away_is_stale(
    mem: VirtualFileSystem, verb: str, args: tuple[Any, ...]
) -> None:
    with suppress(KeyError), mem.atomic_batch():
        file = raw_of(mem)
        raise KeyError

    with pytest.raises(OSError) as caught:
        getattr(file, verb)(*args)

    file.close()
    assert (caught.value.errno, caught.value.filename) == (errno.ESTALE, PATH)


@pytest.mark.parametrize(
    ("verb", "args"),
    [
        ("readinto", (bytearray(1),)),
        ("readinto", (bytearray(100),)),
        ("readall", ()),
        ("write", (b"x",)),
        ("truncate", (5,)),
        ("seek", (0, os.SEEK_END)),
    ],
)
def test_file_that_another_process_took_away_is_stale(
    mem: VirtualFileSystem, verb: str, args: tuple[Any, ...]
) -> None:
    with raw_of(mem) as file:
        with mem._store.transaction:  # as another connection would, without our pins
            mem._layers.rooms[1].pins.held.clear()
            mem._edits.remove(PATH, 1)

        with pytest.raises(OSError) as caught:
            getattr(file, verb)(*args)

        mem._layers.rooms[1].pins.held[pin_of(file).inode] = pin_of(file)
    assert (caught.value.errno, caught.value.filename) == (errno.ESTALE, PATH)


def test_forgotten_file_warns_and_closes(mem: VirtualFileSystem) -> None:
    files = [raw_of(mem)]
    pin = pin_of(files[0])

    with pytest.warns(ResourceWarning, match="unclosed file"):
        files.clear()

    assert pin.handles == 0


# --- wrapping -------------------------------------------------------------------------


def wrapped(vfs: VirtualFileSystem, mode: str, buffering: int = -1, **text: Any) -> Any:
    raw = raw_of(vfs, mode if "b" in mode else mode + "b")
    given = {"encoding": None, "errors_": None, "newline": None, **text}
    how = _modes.parse(mode)
    return _handle.wrap(raw, mode, how, buffering, **given, default_size=4096)


@pytest.mark.parametrize(
    ("mode", "buffering", "kind"),
    [
        ("rb", 0, ChunkFile),
        ("rb", -1, io.BufferedReader),
        ("wb", 16, io.BufferedWriter),
        ("ab", -1, io.BufferedWriter),
        ("xb", -1, io.BufferedWriter),
        ("r+b", -1, io.BufferedRandom),
        ("w+b", -1, io.BufferedRandom),
        ("r", -1, io.TextIOWrapper),
        ("w", 1, io.TextIOWrapper),
    ],
)
def test_wrap_mode_gives_the_object_of_the_builtin(
    mem: VirtualFileSystem, mode: str, buffering: int, kind: type
) -> None:
    with wrapped(mem, mode, buffering) as handle:
        assert type(handle) is kind


def test_wrap_text_is_utf8_and_keeps_the_mode(mem: VirtualFileSystem) -> None:
    with wrapped(mem, "r+", newline="") as handle:
        assert (handle.encoding, handle.errors, handle.mode) == (
            "utf-8",
            "strict",
            "r+",
        )
        assert not handle.line_buffering
    with wrapped(mem, "w", 1, encoding="latin-1", errors_="replace") as handle:
        assert (handle.encoding, handle.errors) == ("latin-1", "replace")
        assert handle.line_buffering


def test_wrap_that_fails_leaves_nothing_open(mem: VirtualFileSystem) -> None:
    before = len(mem._layers.rooms[1].pins.held)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(LookupError):
            wrapped(mem, "r", encoding="no such encoding")
        gc.collect()

    assert len(mem._layers.rooms[1].pins.held) == before == 0
