"""Stale handles with something in their buffers: they say so, and hinder nobody else.

A batch is entered and left beside them as if they were not there. What they hold has
nowhere to go; it is not thrown away in silence either. At the end, handles in other odd
states: never used, or taken apart.
"""

from __future__ import annotations

import errno
from typing import IO, TYPE_CHECKING, Any

import pytest
from tests.api.batches import put
from tests.api.test_batches import failing
from tests.ground import lift_limit, limit_pages

from stratavfs import VirtualFileSystem

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

# More than the buffer holds is in the text layer alone, which forgets what fails.
KINDS = [
    ("wb", 4, "ab"),
    ("w+b", -1, "ab"),
    ("ab", 4, "ab"),
    ("w", 4, "longer"),
    ("a+", -1, "a"),
]

kinds = pytest.mark.parametrize(("mode", "buffering", "word"), KINDS)


def stale(vfs: VirtualFileSystem, mode: str, buffering: int, word: str) -> IO[Any]:
    """Return a handle whose file a batch has taken back, with *word* in its buffer."""
    with failing(vfs):
        handle: IO[Any] = vfs.open("/gone", mode, buffering)
    put(handle, word)
    return handle


def assert_says_so(call: Callable[[], object], path: str = "/gone") -> None:
    with pytest.raises(OSError) as caught:
        call()

    assert (caught.value.errno, caught.value.filename) == (errno.ESTALE, path)


@pytest.fixture
def vfs(make_vfs: Any) -> Any:
    """An empty file system of small chunks."""
    return make_vfs(":memory:", 3)


# --- a rollback took the file away ----------------------------------------------------


@kinds
def test_batch_beside_a_stale_handle_is_kept_and_the_handle_says_so(
    vfs: VirtualFileSystem, mode: str, buffering: int, word: str
) -> None:
    handle = stale(vfs, mode, buffering, word)

    with vfs.atomic_batch(), vfs.atomic_batch():
        vfs.write_text("/other", "kept")

    assert vfs.read_text("/other") == "kept"
    assert_says_so(handle.flush)
    if word != "longer":  # than the buffer: of that nobody has anything left
        assert_says_so(handle.close)
    handle.close()
    assert vfs.listdir() == ["other"]


@kinds
def test_batch_that_is_taken_back_leaves_a_stale_handle_what_it_had(
    vfs: VirtualFileSystem, mode: str, buffering: int, word: str
) -> None:
    handle = stale(vfs, mode, buffering, word)

    with failing(vfs):
        vfs.write_text("/other", "lost")

    assert_says_so(handle.close)
    assert handle.closed
    assert vfs.listdir() == []


@kinds
def test_batch_in_which_a_handle_becomes_stale_and_is_written_is_kept(
    vfs: VirtualFileSystem, mode: str, buffering: int, word: str
) -> None:
    with vfs.atomic_batch():
        vfs.write_text("/other", "kept")
        handle = stale(vfs, mode, buffering, word)

    assert vfs.listdir() == ["other"]
    assert_says_so(handle.close)


def test_batch_that_flushes_the_handles_beside_a_stale_one_keeps_what_they_had(
    vfs: VirtualFileSystem,
) -> None:
    first = stale(vfs, "wb", -1, "x")
    with vfs.open("/other", "wb") as healthy:
        healthy.write(b"1")

        with failing(vfs):
            healthy.write(b"2")

        assert (vfs.read_bytes("/other"), healthy.tell()) == (b"1", 1)
    assert_says_so(first.close)


@kinds
def test_savepoint_beside_a_stale_handle_is_reset_and_released(
    vfs: VirtualFileSystem, mode: str, buffering: int, word: str
) -> None:
    handle = stale(vfs, mode, buffering, word)

    mark = vfs.savepoint()
    vfs.write_text("/lost", "x")
    mark.reset()
    vfs.write_text("/kept", "x")
    mark.release()

    assert vfs.listdir() == ["kept"]
    assert_says_so(handle.close)


@pytest.mark.parametrize("inside", [False, True])
def test_flush_says_that_a_handle_is_stale_after_flushing_the_others(
    vfs: VirtualFileSystem, inside: bool
) -> None:
    first = stale(vfs, "wb", -1, "x")
    with vfs.open("/other", "wb") as healthy:
        if inside:
            with vfs.atomic_batch():
                healthy.write(b"y")
                assert_says_so(vfs.flush)
                seen = vfs.read_bytes("/other")
        else:
            healthy.write(b"y")
            assert_says_so(vfs.flush)
            seen = vfs.read_bytes("/other")

        assert seen == b"y"
    assert_says_so(first.close)


def test_close_of_a_stale_handle_without_a_buffer_is_quiet(
    vfs: VirtualFileSystem,
) -> None:
    with failing(vfs):
        handle = vfs.open("/gone", "wb", 0)

    with vfs.atomic_batch():
        vfs.touch("/other")

    assert_says_so(lambda: handle.write(b"x"))
    handle.close()
    assert vfs.listdir() == ["other"]


# --- another process did --------------------------------------------------------------


@kinds
@pytest.mark.parametrize("end", ["kept", "taken back"])
def test_batch_beside_a_handle_whose_file_another_has_removed_goes_its_way(
    make_vfs: Any, tmp_path: Path, mode: str, buffering: int, word: str, end: str
) -> None:
    vfs, other = make_vfs(tmp_path / "c.db", 3), make_vfs(tmp_path / "c.db")
    handle = vfs.open("/gone", mode, buffering)
    put(handle, word)
    other.remove("/gone")

    if end == "kept":
        with vfs.atomic_batch():
            vfs.touch("/other")
    else:
        with failing(vfs):
            vfs.touch("/other")

    assert_says_so(handle.close)
    assert handle.closed
    assert vfs.listdir() == (["other"] if end == "kept" else [])


def test_batch_beside_a_handle_that_cannot_be_flushed_otherwise_is_not_entered(
    vfs: VirtualFileSystem,
) -> None:
    """Its bytes have a place to go to, and belong before the batch."""
    with vfs.open("/big", "wb", 200_000) as handle:
        handle.write(bytes(100_000))
        limit_pages(vfs._store._cx, 1)

        with pytest.raises(OSError) as caught:
            vfs.atomic_batch().__enter__()

        assert caught.value.errno == errno.ENOSPC
        lift_limit(vfs._store._cx)
        with vfs.atomic_batch():
            vfs.touch("/other")
    assert vfs.read_bytes("/big") == bytes(100_000)
    assert vfs.listdir() == ["big", "other"]


# --- handles that nobody has used yet -------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "buffering"),
    [("rb", 0), ("rb", 4), ("r+b", 0), ("r+b", -1), ("r", -1), ("r+", 4), ("a+", 4)],
)
def test_handle_first_used_in_a_batch_that_fails_is_back_where_it_was_opened(
    vfs: VirtualFileSystem, mode: str, buffering: int
) -> None:
    vfs.write_text("/f", "0123456789")
    with vfs.open("/f", mode, buffering) as handle:
        with failing(vfs):
            if handle.readable():
                handle.read(4)
            if handle.writable():
                handle.seek(0, 2)
                put(handle, "lost")

        assert handle.tell() == (10 if "a" in mode else 0)
    assert vfs.read_text("/f") == "0123456789"


# --- handles that were taken apart ----------------------------------------------------


@pytest.mark.parametrize("mode", ["wb", "w+b", "w"])
def test_close_beside_a_handle_that_was_detached_closes_the_others(
    tmp_path: Path, mode: str
) -> None:
    vfs = VirtualFileSystem(tmp_path / "c.db")
    apart: Any = vfs.open("/apart", mode)
    below = apart.detach()
    handle = vfs.open("/whole", "w")
    handle.write("whole")

    with pytest.warns(ResourceWarning, match="/whole"):
        vfs.close()

    assert (vfs.closed, handle.closed) == (True, True)
    below.close()
    with VirtualFileSystem(tmp_path / "c.db") as again:
        assert again.read_text("/whole") == "whole"
