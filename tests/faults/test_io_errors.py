"""Writes that fail for real: EFBIG past RLIMIT_FSIZE, ENOSPC on a tiny tmpfs.

The limit is lowered so that each write of a call fails in turn. Every time the call
raises an OSError that names the container, the state is the one before, the same
instance goes on, and once there is room again the call succeeds.
"""

from __future__ import annotations

import errno
import itertools
import os
import sqlite3
from typing import TYPE_CHECKING, Any

import pytest
from tests import ground
from tests.faults import layered, test_crash
from tests.faults.interrupted import rows_of, write_and_take_back
from tests.faults.killed import FRAME, SmallDisk, limited
from tests.faults.test_crash import BIG, moment

from stratavfs import BatchLost, VirtualFileSystem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Make = Callable[..., VirtualFileSystem]
    Call = Callable[[VirtualFileSystem], object]

pytest.importorskip("resource", reason="RLIMIT_FSIZE is POSIX's")
pytestmark = pytest.mark.no_slow_contracts("single")

HALF_FRAME = FRAME // 2
FULL = {errno.ENOSPC, errno.EIO, errno.EFBIG}

CALLS: dict[str, Call] = {
    name: call
    for name, call in test_crash.CALLS.items()
    if name not in ("sync", "close", "open w")
}


def log_of(vfs: VirtualFileSystem) -> int:
    """Return the bytes in the log, behind which the next commit is written."""
    return os.path.getsize(vfs.db_path + "-wal")


def assert_full(error: BaseException | None, location: object) -> None:
    """The error says what and where, and what SQLite said is chained to it."""
    assert isinstance(error, OSError)
    assert error.errno in FULL
    assert error.filename == os.fspath(location)  # type: ignore[call-overload]
    assert isinstance(error.__cause__, sqlite3.Error)


def assert_usable(vfs: VirtualFileSystem, before: ground.Dump) -> None:
    """A fresh batch works at once, and leaves no trace when it is taken back."""
    assert not vfs._store._cx.in_transaction
    write_and_take_back(vfs)
    assert rows_of(vfs) == before


def fail_everywhere(
    vfs: VirtualFileSystem, call: Call, room: Callable[[int], Any]
) -> int:
    """Make *call* in scopes of ever more *room*, until it fits; count the failures."""
    before = rows_of(vfs)
    for n in itertools.count():
        with room(n):
            error = raised(call, vfs)
        if error is None:
            return n
        assert_full(error, vfs.db_path)
        assert_usable(vfs, before)
    raise AssertionError


def half_frames(vfs: VirtualFileSystem, each: int = 1) -> Callable[[int], Any]:
    """Return scopes in which the log may grow by so many halves of a frame."""
    start = log_of(vfs)
    return lambda n: limited(start + n * each * HALF_FRAME)


def raised(call: Call, vfs: VirtualFileSystem) -> OSError | None:
    try:
        call(vfs)
    except OSError as error:
        return error
    return None


@pytest.fixture
def filled(make_vfs: Make, tmp_path: Path) -> Make:
    """Return a maker of containers that hold the same."""
    numbers = itertools.count()
    baseline = tmp_path / "baseline.db"
    test_crash.build(baseline)

    def make() -> VirtualFileSystem:
        path = test_crash.copy_of(baseline, tmp_path / f"{next(numbers)}.db")
        vfs = make_vfs(path, clock=moment)
        return warmed(vfs)

    return make


def warmed(vfs: VirtualFileSystem) -> VirtualFileSystem:
    """Have the log opened, and empty: the next commit makes it longer."""
    vfs.touch("/warm")
    vfs._store._cx.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    return vfs


def after(make: Make, call: Call) -> ground.Dump:
    vfs = make()
    call(vfs)
    return rows_of(vfs)


# --- one call -------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("name", CALLS)
def test_change_with_any_write_failing_changes_nothing_and_works_later(
    filled: Make, name: str
) -> None:
    vfs = filled()

    failures = fail_everywhere(vfs, CALLS[name], half_frames(vfs, 2))

    assert failures > 1
    assert rows_of(vfs) == after(filled, CALLS[name])


@pytest.mark.parametrize("name", ["write_bytes over by 300 KiB", "batch of five"])
def test_change_with_some_write_failing_changes_nothing_and_works_later(
    filled: Make, name: str
) -> None:
    vfs = filled()

    failures = fail_everywhere(vfs, CALLS[name], half_frames(vfs, 9))

    assert failures > 5
    assert rows_of(vfs) == after(filled, CALLS[name])


@pytest.mark.slow
@pytest.mark.parametrize("name", layered.CALLS)
def test_copy_up_with_any_write_failing_changes_nothing_and_works_later(
    make_vfs: Make, tmp_path: Path, name: str
) -> None:
    make = layered.sampler("disk", make_vfs, tmp_path)
    done = warmed(make()[0])
    layered.CALLS[name](done)
    vfs, base, copy = make()
    warmed(vfs)

    failures = fail_everywhere(vfs, layered.CALLS[name], half_frames(vfs))

    assert failures >= 1
    assert rows_of(vfs) == rows_of(done)
    assert rows_of(base) == rows_of(copy)


@pytest.mark.slow
@pytest.mark.parametrize("verb", ["apply_to", "flatten"])
def test_graft_with_any_write_failing_changes_nothing_and_works_later(
    make_vfs: Make, tmp_path: Path, verb: str
) -> None:
    vfs, _, target = layered.sampler("disk", make_vfs, tmp_path)()
    if verb == "flatten":
        target = make_vfs(tmp_path / "flat.db", clock=moment)
    mine = rows_of(vfs)

    failures = fail_everywhere(target, getattr(vfs, verb), half_frames(target))

    assert failures > 5
    assert rows_of(vfs) == mine
    assert target.read_text("/old/new") == "in an opaque directory"


# --- in batches -----------------------------------------------------------------------


def spilling(vfs: VirtualFileSystem) -> VirtualFileSystem:
    """Let SQLite keep so few pages that a batch is written before it ends."""
    vfs._store._cx.execute("PRAGMA cache_size = 10")
    return vfs


def large_batch(vfs: VirtualFileSystem) -> None:
    with vfs.atomic_batch():
        vfs.write_text("/first", "of the batch")
        vfs.rename("/tree", "/moved")
        for number in range(3):
            vfs.write_bytes(f"/large{number}", BIG[:100_000])


@pytest.mark.slow
def test_batch_with_any_write_failing_inside_it_changes_nothing_and_works_later(
    filled: Make,
) -> None:
    vfs = spilling(filled())

    failures = fail_everywhere(vfs, large_batch, half_frames(vfs))

    assert failures > 100
    assert rows_of(vfs) == after(filled, large_batch)


def test_batch_that_goes_on_after_a_failed_write_is_lost(filled: Make) -> None:
    vfs = spilling(filled())
    before, limit = rows_of(vfs), log_of(vfs) + 20 * HALF_FRAME
    further = CALLS["touch new"], CALLS["remove"], large_batch

    with limited(limit), pytest.raises(BatchLost) as caught, vfs.atomic_batch():  # noqa: PT012
        vfs.write_text("/first", "of the batch")
        with pytest.raises(OSError) as full:
            vfs.write_bytes("/large", BIG)
        failed = [raised(call, vfs) for call in further]

    assert_full(full.value, vfs.db_path)
    assert [type(error) for error in failed] == [BatchLost] * 3
    assert (caught.value.errno, caught.value.filename) == (
        errno.ECANCELED,
        vfs.db_path,
    )
    assert_usable(vfs, before)
    large_batch(vfs)
    assert vfs.read_bytes("/large2") == BIG[:100_000]


# --- handles --------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["wb", "ab", "r+b", "w"])
def test_flush_with_any_write_failing_keeps_what_was_written_for_later(
    filled: Make, mode: str
) -> None:
    vfs = filled()
    text = "x" * 50_000
    handle = vfs.open("/small", mode, 65536)
    handle.write(text if mode == "w" else text.encode())
    before = rows_of(vfs)

    for n in itertools.count():
        with limited(log_of(vfs) + n * HALF_FRAME):
            error = raised(lambda _: handle.flush(), vfs)
        if error is None:
            break
        assert_full(error, vfs.db_path)
        assert rows_of(vfs) == before  # a batch would flush the handle first

    assert n >= 1
    handle.close()
    content = vfs.read_text("/small")
    assert content == ("small" + text if mode == "ab" else text)


def test_close_of_handle_with_its_write_failing_raises_and_closes(
    filled: Make,
) -> None:
    vfs = filled()
    handle = vfs.open("/small", "r+b")
    handle.write(b"x" * 20_000)
    before = rows_of(vfs)

    with limited(log_of(vfs)), pytest.raises(OSError) as caught:
        handle.close()

    assert_full(caught.value, vfs.db_path)
    assert handle.closed
    assert_usable(vfs, before)


# --- the container itself -------------------------------------------------------------


def test_close_with_a_handle_that_cannot_be_flushed_raises_and_closes(
    filled: Make,
) -> None:
    vfs = filled()
    path, before = vfs.db_path, rows_of(vfs)
    handle = vfs.open("/small", "r+b")
    handle.write(b"x" * 20_000)

    with limited(log_of(vfs)), pytest.raises(OSError) as caught:
        vfs.close()

    assert_full(caught.value, path)
    assert vfs.closed
    assert handle.closed
    assert ground.dump_of(path) == before


def test_close_that_cannot_write_the_log_back_loses_nothing(
    filled: Make, make_vfs: Make
) -> None:
    vfs = filled()
    vfs.write_bytes("/new", BIG)
    path, last = vfs.db_path, rows_of(vfs)

    with limited(os.path.getsize(path)):
        vfs.close()

    assert os.path.getsize(path + "-wal") > 0
    again = make_vfs(path, clock=moment)
    assert rows_of(again) == last
    assert again.check(deep=True) == []


def grown(vfs: VirtualFileSystem) -> VirtualFileSystem:
    """Commit what the database has no room for, to be written back into it."""
    vfs.write_bytes("/new", BIG)
    return vfs


@pytest.mark.slow
def test_sync_with_any_write_failing_raises_and_works_later(filled: Make) -> None:
    vfs = grown(filled())
    size = os.path.getsize(vfs.db_path)

    failures = fail_everywhere(
        vfs, lambda vfs: vfs.sync(), lambda n: limited(size + n * HALF_FRAME)
    )

    assert failures > 2
    assert ground.integrity_of(vfs.db_path) == "ok"


def emptied(vfs: VirtualFileSystem) -> VirtualFileSystem:
    """Leave pages that hold nothing, to be given back."""
    vfs.remove("/big")
    return warmed(vfs)


@pytest.mark.slow
def test_compact_with_any_write_failing_raises_and_works_later(filled: Make) -> None:
    vfs = emptied(filled())
    before, size = rows_of(vfs), os.path.getsize(vfs.db_path)

    failures = fail_everywhere(
        vfs, lambda vfs: vfs.compact(), lambda n: limited(n * 3 * HALF_FRAME)
    )

    assert failures > 10
    assert os.path.getsize(vfs.db_path) < size
    assert rows_of(vfs) == before
    assert vfs.check(deep=True) == []


@pytest.mark.slow
def test_backup_with_any_write_failing_leaves_nothing_and_works_later(
    filled: Make, tmp_path: Path
) -> None:
    vfs = filled()
    target = tmp_path / "target" / "backup.db"
    target.parent.mkdir()
    before = rows_of(vfs)

    for n in itertools.count():
        with limited(n * 3 * HALF_FRAME):
            error = raised(lambda vfs: vfs.backup(target), vfs)
        if error is None:
            break
        assert error.errno in FULL
        assert error.filename == str(target)
        assert os.listdir(target.parent) == []
        assert_usable(vfs, before)

    assert n > 20
    assert os.listdir(target.parent) == ["backup.db"]
    assert ground.dump_of(target) == before


@pytest.mark.slow
def test_creation_with_any_write_failing_raises_and_works_later(
    make_vfs: Make, tmp_path: Path
) -> None:
    for limit in itertools.count(0, 509):
        path = tmp_path / f"{limit}.db"
        with limited(limit):
            error = raised(lambda _: VirtualFileSystem(path).close(), None)  # type: ignore[arg-type]  # noqa: B023
        if error is None:
            break
        assert error.errno in FULL
        assert error.filename == str(path)
        vfs = make_vfs(path)
        assert vfs.listdir() == []
        assert vfs.check(deep=True) == []
        vfs.close()

    assert limit > 35_000


# --- a disk that is full --------------------------------------------------------------


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    path = tmp_path / "disk"
    path.mkdir()
    with SmallDisk.mounted(path) as mounted:
        if mounted is None:
            pytest.skip("a tmpfs of its own needs the right to mount one")
        yield mounted


@pytest.fixture
def on_disk(disk: SmallDisk, make_vfs: Make) -> Iterator[VirtualFileSystem]:
    """A file system on the small disk, closed before that goes away."""
    test_crash.build(disk.path / "c.db")
    vfs = make_vfs(disk.path / "c.db", clock=moment)
    yield warmed(vfs)
    vfs.close()


ON_DISK: dict[str, Call] = {
    **{
        name: CALLS[name]
        for name in (
            "write_bytes over by 300 KiB",
            "copytree",
            "rename tree",
            "batch of five",
        )
    },
    "large batch": large_batch,
}


@pytest.mark.slow
@pytest.mark.parametrize("name", ON_DISK)
def test_change_on_a_disk_full_at_any_page_changes_nothing_and_works_later(
    disk: SmallDisk, on_disk: VirtualFileSystem, name: str
) -> None:
    failures = fail_everywhere(on_disk, ON_DISK[name], disk.with_room)

    assert failures > 1
    assert on_disk.check(deep=True) == []


@pytest.mark.slow
@pytest.mark.parametrize("name", ["sync", "compact"])
def test_upkeep_on_a_disk_full_at_any_page_changes_nothing_and_works_later(
    disk: SmallDisk, on_disk: VirtualFileSystem, name: str
) -> None:
    (grown if name == "sync" else emptied)(on_disk)

    failures = fail_everywhere(
        on_disk, lambda vfs: getattr(vfs, name)(), disk.with_room
    )

    assert failures > 1
    assert on_disk.check(deep=True) == []


@pytest.mark.slow
def test_backup_to_a_disk_full_at_any_page_leaves_nothing_and_works_later(
    disk: SmallDisk, filled: Make
) -> None:
    vfs, target = filled(), disk.path / "backup.db"
    before = rows_of(vfs)

    for n in itertools.count(0, 5):
        with disk.with_room(n):
            error = raised(lambda vfs: vfs.backup(target), vfs)
        if error is None:
            break
        assert (error.errno, error.filename) == (errno.ENOSPC, str(target))
        assert os.listdir(disk.path) == []
        assert_usable(vfs, before)

    assert n > 50
    assert ground.dump_of(target) == before


@pytest.mark.slow
def test_creation_on_a_disk_full_at_any_page_raises_and_works_later(
    disk: SmallDisk, make_vfs: Make
) -> None:
    for n in itertools.count():
        path = disk.path / f"{n}.db"
        with disk.with_room(n):
            error = raised(lambda _: VirtualFileSystem(path).close(), None)  # type: ignore[arg-type]  # noqa: B023
        if error is None:
            break
        assert error.errno in FULL  # EIO where the log's index has no room
        assert error.filename == str(path)
        with VirtualFileSystem(path) as vfs:
            assert vfs.listdir() == []
            assert vfs.check(deep=True) == []
        path.unlink()

    assert n > 5
