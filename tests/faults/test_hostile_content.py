"""Sizes and chunks that cannot be, and those that can and fit into no memory."""

from __future__ import annotations

import errno
import io
import os
from typing import TYPE_CHECKING, Any

import pytest
from tests.faults.hostile import (
    BIG,
    CHUNK,
    CONTENT,
    WAYS,
    bounds,
    every_way,
    make_spoilt,
    take_tour,
    tour_of,
)

from stratavfs import CorruptDatabase, VirtualFileSystem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = pytest.mark.damaged

HUGE = (1 << 40, (1 << 50) + 17, 1 << 62)
LARGE = "inode = (SELECT inode FROM entries WHERE name = 'big')"


@pytest.fixture(autouse=True)
def bounded() -> Iterator[None]:
    with bounds():
        yield


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "stranger.db"


def raised(call: Callable[..., Any], *args: Any) -> OSError:
    with pytest.raises(OSError) as caught:
        call(*args)
    return caught.value


# --- chunks ---------------------------------------------------------------------------

CHUNKS = {
    "one byte too long": f"UPDATE chunks SET data = zeroblob({CHUNK + 1}) "
    f"WHERE idx = 1 AND {LARGE}",
    "over all that follow": "UPDATE chunks SET data = zeroblob(5000) "
    f"WHERE idx = 1 AND {LARGE}",
    "a million bytes": "UPDATE chunks SET data = zeroblob(1000000) "
    f"WHERE idx = 1 AND {LARGE}",
    "text": f"UPDATE chunks SET data = 'text' WHERE idx = 1 AND {LARGE}",
    "number": f"UPDATE chunks SET data = 7 WHERE idx = 1 AND {LARGE}",
    "index of text": f"UPDATE chunks SET idx = 'one' WHERE idx = 1 AND {LARGE}",
    "index of 1.5": f"UPDATE chunks SET idx = 1.5 WHERE idx = 1 AND {LARGE}",
    "index below zero": f"UPDATE chunks SET idx = -1 WHERE idx = 1 AND {LARGE}",
    "index of 2 ** 62": f"UPDATE chunks SET idx = {1 << 62} WHERE idx = 1 AND {LARGE}",
    "index of 2 ** 63 - 1": f"UPDATE chunks SET idx = {(1 << 63) - 1} "
    f"WHERE idx = 1 AND {LARGE}",
    "behind the end": f"INSERT INTO chunks SELECT inode, 9, x'61' FROM chunks "
    f"WHERE idx = 1 AND {LARGE}",
    "empty": f"UPDATE chunks SET data = x'' WHERE idx = 1 AND {LARGE}",
    "of nobody": "UPDATE chunks SET inode = 99",
    "of a directory": "UPDATE chunks SET inode = 2",
    "of a file in its row": "INSERT INTO chunks SELECT inode, 0, x'616263' "
    "FROM entries WHERE name = 'small'",
    "in chunks and in its row": "UPDATE inodes SET content = x'61' WHERE size > 5000",
    "in no chunk": "DELETE FROM chunks",
}


@every_way
@pytest.mark.parametrize("damage", CHUNKS)
def test_use_of_hostile_chunk_is_answered_or_refused(
    path: Path, damage: str, way: str
) -> None:
    make_spoilt(path, CHUNKS[damage])
    take_tour(path, way)


@pytest.mark.parametrize(
    "damage", ["one byte too long", "over all that follow", "a million bytes", "text"]
)
@pytest.mark.parametrize("size", [100, 256, CHUNK, 3000, -1])
def test_read_of_chunk_that_is_too_long_is_refused(
    path: Path, damage: str, size: int
) -> None:
    make_spoilt(path, CHUNKS[damage])
    pieces: list[bytes] = []
    with (
        VirtualFileSystem(path, immutable=True) as vfs,
        vfs.open("/d/big", "rb", buffering=0) as file,
        pytest.raises(CorruptDatabase) as caught,
    ):
        pieces.extend(iter(lambda: file.read(size), b""))

    found = b"".join(pieces)
    assert caught.value.filename == str(path)
    assert len(found) < 2 * CHUNK
    assert found[:CHUNK] == BIG[: len(found)][:CHUNK]


@pytest.mark.parametrize(
    "damage", ["index below zero", "index of 2 ** 62", "index of 2 ** 63 - 1"]
)
def test_read_beside_chunk_that_is_far_away_finds_a_hole(
    path: Path, damage: str
) -> None:
    expected = BIG[:CHUNK] + bytes(CHUNK) + BIG[2 * CHUNK :]
    make_spoilt(path, CHUNKS[damage])

    with VirtualFileSystem(path, immutable=True) as vfs:
        assert vfs.read_bytes("/d/big") == expected
        with vfs.open("/d/big", "rb", buffering=0) as file:
            assert file.seek(0, os.SEEK_HOLE) == CHUNK
            assert file.seek(CHUNK, os.SEEK_DATA) == 2 * CHUNK
            assert file.seek(2 * CHUNK, os.SEEK_HOLE) == len(BIG)


# --- sizes ----------------------------------------------------------------------------


def make_huge(path: Path, size: int, name: str = "/d/small") -> None:
    """Make a sample in which a file has *size* bytes and none of them is stored."""
    make_spoilt(
        path,
        "UPDATE inodes SET size = ?, content = NULL WHERE id = "
        f"(SELECT inode FROM entries WHERE parent || name = '{name}')",
        args=(size,),
    )


@pytest.mark.parametrize("size", [-1, -(1 << 63), (1 << 62) + 1, (1 << 63) - 1])
def test_use_of_impossible_size_is_refused(path: Path, size: int) -> None:
    make_huge(path, size)
    with VirtualFileSystem(path, immutable=True) as vfs:
        for ask in (vfs.stat, vfs.getsize, vfs.read_bytes):
            error = raised(ask, "/d/small")

            assert isinstance(error, CorruptDatabase)
            assert error.filename == str(path)
        assert vfs.read_bytes("/d/big") == BIG


@every_way
@pytest.mark.parametrize("size", HUGE)
def test_use_of_huge_size_is_as_with_any_hole(path: Path, size: int, way: str) -> None:
    make_huge(path, size)
    take_tour(path, way)


@pytest.mark.parametrize("size", HUGE)
def test_read_of_huge_hole_in_pieces_is_zeros(path: Path, size: int) -> None:
    make_huge(path, size)
    with (
        VirtualFileSystem(path, immutable=True) as vfs,
        vfs.open("/d/small", "rb") as file,
    ):
        assert vfs.stat("/d/small").size == size
        assert file.seek(0, io.SEEK_END) == size
        for at in (0, CHUNK - 1, size // 2, size - 10_000, size - 1):
            assert file.seek(at) == at
            assert file.read(2000) == bytes(min(2000, size - at))
        assert raised(file.seek, 0, os.SEEK_DATA).errno == errno.ENXIO
        assert file.seek(5, os.SEEK_HOLE) == 5


@pytest.mark.parametrize("size", HUGE)
def test_read_of_huge_hole_as_a_whole_is_refused(path: Path, size: int) -> None:
    make_huge(path, size)
    with VirtualFileSystem(path, immutable=True) as vfs:
        for ask in (vfs.read_bytes, vfs.read_text):
            error = raised(ask, "/d/small")

            assert (error.errno, error.filename) == (errno.EFBIG, "/d/small")
            assert "more than can be held in memory" in str(error)
        for buffering in (0, -1):
            with vfs.open("/d/small", "rb", buffering) as file:
                for at in (0, 1):
                    file.seek(at)
                    error = raised(file.read)

                    assert (error.errno, error.filename) == (errno.EFBIG, "/d/small")
                    assert file.tell() == at


@pytest.mark.parametrize("size", HUGE)
def test_read_of_huge_hole_below_names_layer_and_path(path: Path, size: int) -> None:
    make_huge(path, size)
    with VirtualFileSystem() as top:
        top.add_underlay(str(path), name="stranger")
        for ask in (top.read_bytes, top.read_text):
            error = raised(ask, "/d/small")

            assert (error.errno, error.filename) == (errno.EFBIG, "/d/small")
            assert "stranger" in str(error)


@pytest.mark.parametrize("size", HUGE)
def test_copy_up_of_huge_hole_copies_nothing(path: Path, size: int) -> None:
    make_huge(path, size)
    with VirtualFileSystem() as top:
        top.add_underlay(str(path), name="stranger")

        top.chmod("/d/small", 0o600)
        with top.open("/d/small", "r+b") as file:
            file.seek(size - 3)
            file.write(b"end")

        assert top.stat("/d/small").size == size
        with top.open("/d/small", "rb") as file:
            file.seek(size - 5)
            assert file.read() == b"\0\0end"
        assert top.check() == []


@pytest.mark.parametrize("size", HUGE)
def test_compare_of_huge_holes_looks_at_what_is_stored(
    path: Path, tmp_path: Path, size: int
) -> None:
    make_huge(path, size)
    other = tmp_path / "other.db"
    make_huge(other, size)
    with VirtualFileSystem() as top:
        top.add_underlay(str(path), name="one")
        top.add_underlay(str(other), name="two")
        assert "/d/small" not in [conflict.path for conflict in top.conflicts()]

        top.chmod("/d/small", 0o600)
        assert [str(change) for change in top.diff()] == ["metadata /d/small"]
        with top.open("/d/small", "r+b") as file:
            file.seek(size - 1)
            file.write(b"x")
        assert [str(change) for change in top.diff()] == ["modified /d/small"]
        assert "/d/small" in [conflict.path for conflict in top.conflicts()]


def test_read_of_more_than_memory_holds_is_refused(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stratavfs._rows.MEMORY_LIMIT", 3000)
    make_spoilt(path, "SELECT 1")
    with VirtualFileSystem(path, immutable=True) as vfs:
        assert raised(vfs.read_bytes, "/d/big").errno == errno.EFBIG
        assert vfs.read_bytes("/d/small") == CONTENT["/d/small"]
        with vfs.open("/d/big", "rb") as file:
            assert b"".join(iter(lambda: file.read(700), b"")) == BIG


# --- settings -------------------------------------------------------------------------


@pytest.mark.parametrize("value", [None, "1024", b"\4", 1024.5, 0, -1, 1 << 29])
@pytest.mark.parametrize("key", ["chunk_size", "inline_limit"])
def test_open_with_hostile_setting_is_refused(
    path: Path, key: str, value: object
) -> None:
    if (key, value) == ("inline_limit", 0):
        value = CHUNK + 1
    make_spoilt(path, "UPDATE settings SET value = ? WHERE key = ?", args=(value, key))
    for way in WAYS.values():
        assert tour_of(path, way) == {"refused": 1}


def test_open_with_huge_chunks_takes_little_memory(path: Path) -> None:
    make_spoilt(path, f"UPDATE settings SET value = {1 << 28} WHERE key = 'chunk_size'")
    with VirtualFileSystem(path, immutable=True) as vfs:
        assert vfs.read_bytes("/d/small") == b"small"
        with vfs.open("/d/small", "rb", buffering=0) as file:
            assert file.read(3) == b"sma"
