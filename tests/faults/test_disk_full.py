"""A full disk: ENOSPC, nothing half done, and a batch that SQLite has ended is lost.

``PRAGMA max_page_count`` makes the disk full, in memory too. SQLite answers some
statements by ending the whole transaction; what a batch does after that is no longer
protected by anything, so all of it must be refused.
"""

# ruff: noqa: PT012 - what a batch does before and after the fault is the test

from __future__ import annotations

import errno
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
from tests.ground import dump, lift_limit, limit_pages

from stratavfs import BatchLost

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from stratavfs import VirtualFileSystem

BIG = bytes(1_000_000)
ROOM = 16  # pages of four KiB


def many_files(vfs: VirtualFileSystem) -> None:
    with vfs.atomic_batch():
        for number in range(200):
            vfs.write_bytes(f"/many/{number}", bytes(4000))


TOO_MUCH: dict[str, Callable[[VirtualFileSystem], object]] = {
    "write_bytes": lambda vfs: vfs.write_bytes("/small", BIG),
    "write_bytes new": lambda vfs: vfs.write_bytes("/a/b/new", BIG),
    "write_text": lambda vfs: vfs.write_text("/new", "x" * len(BIG)),
    "copy": lambda vfs: vfs.copy("/big", "/new"),
    "copytree": lambda vfs: vfs.copytree("/tree", "/a/b/new"),
    "setxattr": lambda vfs: vfs.setxattr("/small", "user.a", BIG),
    "many": many_files,
}

FURTHER: dict[str, Callable[[VirtualFileSystem], object]] = {
    "write_bytes": lambda vfs: vfs.write_bytes("/after", b"x"),
    "write_text": lambda vfs: vfs.write_text("/small", "x"),
    "open": lambda vfs: vfs.open("/after", "w"),
    "touch": lambda vfs: vfs.touch("/after"),
    "truncate": lambda vfs: vfs.truncate("/small", 1),
    "remove": lambda vfs: vfs.remove("/small"),
    "mkdir": lambda vfs: vfs.mkdir("/after"),
    "rmtree": lambda vfs: vfs.rmtree("/tree"),
    "copy": lambda vfs: vfs.copy("/small", "/after"),
    "copytree": lambda vfs: vfs.copytree("/tree", "/after"),
    "rename": lambda vfs: vfs.rename("/small", "/after"),
    "replace": lambda vfs: vfs.replace("/small", "/big"),
    "move": lambda vfs: vfs.move("/small", "/after"),
    "symlink": lambda vfs: vfs.symlink("a", "/after"),
    "link": lambda vfs: vfs.link("/small", "/after"),
    "chmod": lambda vfs: vfs.chmod("/small", 0o600),
    "chown": lambda vfs: vfs.chown("/small", 1),
    "utime": lambda vfs: vfs.utime("/small"),
    "setxattr": lambda vfs: vfs.setxattr("/small", "user.a", b"x"),
    "inner batch": lambda vfs: vfs.atomic_batch().__enter__(),
}


@pytest.fixture(params=["memory", "disk"])
def full(
    request: pytest.FixtureRequest,
    make_vfs: Callable[..., VirtualFileSystem],
    tmp_path: Path,
) -> Any:
    """A file system whose disk has room for sixty kilobytes more."""
    vfs = make_vfs(":memory:" if request.param == "memory" else tmp_path / "c.db")
    vfs.write_text("/small", "small")
    vfs.write_bytes("/big", BIG)
    vfs.write_bytes("/tree/big", BIG)
    limit_pages(vfs._store._cx, ROOM)
    return vfs


def fill_up(vfs: VirtualFileSystem) -> None:
    """Run into the full disk so that SQLite ends the whole transaction."""
    with pytest.raises(OSError) as caught:
        vfs.write_bytes("/too/big", BIG)
    assert caught.value.errno == errno.ENOSPC
    assert caught.value.filename == vfs.db_path
    assert not vfs._store._cx.in_transaction


@pytest.mark.parametrize("name", TOO_MUCH)
def test_change_on_full_disk_raises_enospc_and_changes_nothing(
    full: VirtualFileSystem, name: str
) -> None:
    before = dump(full._store._cx)

    with pytest.raises(OSError) as caught:
        TOO_MUCH[name](full)

    assert caught.value.errno == errno.ENOSPC
    assert caught.value.filename == full.db_path
    assert dump(full._store._cx) == before


def test_change_after_full_disk_works_when_there_is_room_again(
    full: VirtualFileSystem,
) -> None:
    fill_up(full)

    full.write_text("/small", "still fits")
    lift_limit(full._store._cx)
    full.write_bytes("/too/big", BIG)

    assert full.read_text("/small") == "still fits"
    assert full.read_bytes("/too/big") == BIG


def test_read_on_full_disk_works(full: VirtualFileSystem) -> None:
    fill_up(full)

    assert full.read_bytes("/big") == BIG
    assert full.listdir() == ["big", "small", "tree"]


def test_handle_on_full_disk_keeps_what_was_flushed(full: VirtualFileSystem) -> None:
    with full.open("/log", "wb", buffering=0) as raw:
        raw.write(b"first")
        with pytest.raises(OSError) as caught:
            raw.write(BIG)
        lift_limit(full._store._cx)

        assert caught.value.errno == errno.ENOSPC
        assert raw.tell() == 5
        raw.write(b" second")

    assert full.read_bytes("/log") == b"first second"


def test_close_of_handle_on_full_disk_raises_and_closes(
    full: VirtualFileSystem,
) -> None:
    handle = full.open("/log", "wb", buffering=len(BIG) * 2)
    handle.write(BIG)

    with pytest.raises(OSError) as caught:
        handle.close()

    assert caught.value.errno == errno.ENOSPC
    assert handle.closed
    assert full.read_bytes("/log") == b""


# --- inside a batch -------------------------------------------------------------------


@pytest.mark.parametrize("name", FURTHER)
def test_write_in_lost_batch_raises_batch_lost(
    full: VirtualFileSystem, name: str
) -> None:
    before = dump(full._store._cx)

    with pytest.raises(BatchLost) as left, full.atomic_batch():
        full.write_text("/first", "of the batch")
        fill_up(full)
        with pytest.raises(BatchLost) as caught:
            FURTHER[name](full)

    assert caught.value.errno == left.value.errno == errno.ECANCELED
    assert left.value.filename == full.db_path
    assert dump(full._store._cx) == before


def test_write_by_handle_in_lost_batch_raises_batch_lost(
    full: VirtualFileSystem,
) -> None:
    with full.open("/small", "r+b", buffering=0) as raw:
        with pytest.raises(BatchLost), full.atomic_batch():
            fill_up(full)
            with pytest.raises(BatchLost):
                raw.write(b"half")
            with pytest.raises(BatchLost):
                raw.truncate(1)

        assert full.read_text("/small") == "small"
        raw.write(b"whole")

    assert full.read_text("/small") == "whole"


def test_handle_made_in_lost_batch_is_stale(full: VirtualFileSystem) -> None:
    with pytest.raises(BatchLost), full.atomic_batch():
        raw = full.open("/made", "w+b", buffering=0)
        fill_up(full)

    with pytest.raises(OSError) as caught:
        raw.read(1)

    raw.close()
    assert caught.value.errno == errno.ESTALE
    assert caught.value.filename == "/made"


def test_read_in_lost_batch_shows_the_state_before_it(
    full: VirtualFileSystem,
) -> None:
    with pytest.raises(BatchLost), full.atomic_batch():
        full.write_text("/small", "changed")
        fill_up(full)

        assert full.read_text("/small") == "small"


def test_lost_batch_left_by_error_lets_the_error_pass(
    full: VirtualFileSystem,
) -> None:
    with pytest.raises(OSError) as caught, full.atomic_batch():
        full.write_text("/first", "of the batch")
        full.write_bytes("/too/big", BIG)

    assert caught.value.errno == errno.ENOSPC
    assert not isinstance(caught.value, BatchLost)
    assert not full.exists("/first")


@pytest.mark.parametrize("depth", [1, 2, 3, 4])
def test_batch_lost_at_any_depth_is_lost_at_every_depth(
    full: VirtualFileSystem, depth: int
) -> None:
    before = dump(full._store._cx)
    lost: list[int] = []

    def nest(level: int) -> None:
        """Open batches down to *depth*, and carry on after each that fails."""
        with full.atomic_batch():
            full.write_text(f"/level{level}", "x")
            if level == depth:
                fill_up(full)
            else:
                with suppress(BatchLost):
                    nest(level + 1)
                lost.append(level)
                with pytest.raises(BatchLost):
                    full.write_text("/after", "x")

    with pytest.raises(BatchLost):
        nest(1)

    assert lost == list(range(depth - 1, 0, -1))
    assert dump(full._store._cx) == before


def test_instance_after_lost_batch_works(full: VirtualFileSystem) -> None:
    with suppress(BatchLost), full.atomic_batch():
        fill_up(full)
    lift_limit(full._store._cx)

    with full.atomic_batch():
        full.write_text("/a", "1")
        full.write_bytes("/b", BIG)

    assert full.read_text("/a") == "1"
    assert full.getsize("/b") == len(BIG)


def test_batch_goes_on_after_a_fault_that_ends_one_statement_only(
    full: VirtualFileSystem,
) -> None:
    """SQLite takes an INSERT ... SELECT back alone: the batch around it is whole."""
    with full.atomic_batch():
        full.write_text("/before", "1")
        with pytest.raises(OSError) as caught:
            full.copy("/big", "/copy")
        assert full._store._cx.in_transaction
        full.write_text("/after", "2")

    assert caught.value.errno == errno.ENOSPC
    assert full.read_text("/before") + full.read_text("/after") == "12"
    assert not full.exists("/copy")
