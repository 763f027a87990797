"""Savepoints beside all else: what is refused, full disks, threads, copies, the end."""

from __future__ import annotations

import errno
import os
import threading
from typing import TYPE_CHECKING, Any

import icontract
import pytest
from tests import ground
from tests.api.batches import fill_up, in_thread, put

from stratavfs import BatchLost, InvalidArgument, ReadOnlyError, VirtualFileSystem

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def rows(vfs: VirtualFileSystem) -> ground.Dump:
    return ground.dump(vfs._store._cx)


# --- refused --------------------------------------------------------------------------


def test_savepoint_of_a_file_is_refused_and_changes_nothing(tmp_path: Path) -> None:
    location = tmp_path / "c.db"
    with VirtualFileSystem(location) as vfs:
        vfs.touch("/f")
        with pytest.raises(InvalidArgument, match="fork") as caught:
            vfs.savepoint()

        assert isinstance(caught.value, (ValueError, icontract.ViolationError))
        assert str(location) in str(caught.value)
        assert not vfs._store._cx.in_transaction
        assert vfs.listdir() == ["f"]


@pytest.mark.parametrize("where", ["memory", "file"])
def test_savepoint_when_read_only_is_refused(
    make_vfs: Any, tmp_path: Path, where: str
) -> None:
    location = ":memory:" if where == "memory" else str(tmp_path / "c.db")
    make_vfs(location).close()
    vfs = make_vfs(location, read_only=True)

    with pytest.raises(ReadOnlyError) as caught:
        vfs.savepoint()

    assert (caught.value.errno, caught.value.filename) == (errno.EROFS, location)


def test_savepoint_inside_a_batch_is_refused_and_the_batch_goes_on(
    mem: VirtualFileSystem,
) -> None:
    mark = mem.savepoint()
    calls: list[Callable[[], object]] = [mem.savepoint, mark.reset, mark.release]
    with mem.atomic_batch():
        mem.touch("/f")
        for call in calls:
            with pytest.raises(OSError, match="leave the batch") as caught:
                call()
            assert (caught.value.errno, caught.value.filename) == (
                errno.EINVAL,
                ":memory:",
            )
        mem.touch("/g")

    assert mem.listdir() == ["f", "g"]
    mark.reset()
    assert mem.listdir() == []


def test_reset_refused_in_a_batch_leaves_what_is_buffered(
    mem: VirtualFileSystem,
) -> None:
    with mem.open("/f", "w") as f:
        mark = mem.savepoint()
        with mem.atomic_batch():
            f.write("kept")
            with pytest.raises(OSError):
                mark.reset()
    assert mem.read_text("/f") == "kept"


def test_reset_of_a_forgotten_mark_leaves_what_is_buffered(
    mem: VirtualFileSystem,
) -> None:
    with mem.open("/f", "w") as f:
        mark = mem.savepoint()
        mark.release()
        f.write("kept")
        with pytest.raises(InvalidArgument):
            mark.reset()
    assert mem.read_text("/f") == "kept"


def test_mark_of_a_closed_file_system_is_refused_as_for_files() -> None:
    vfs = VirtualFileSystem()
    mark = vfs.savepoint()
    vfs.close()

    for verb in (mark.reset, mark.release):
        with pytest.raises(ValueError, match="closed"):
            verb()


# --- a full disk ----------------------------------------------------------------------


def test_full_disk_loses_what_was_since_the_mark_until_it_is_reset(
    mem: VirtualFileSystem,
) -> None:
    mem.write_text("/f", "kept")
    before = rows(mem)
    mark = mem.savepoint()
    mem.touch("/since")
    fill_up(mem)

    for call in (lambda: mem.touch("/g"), lambda: mem.atomic_batch().__enter__()):
        with pytest.raises(BatchLost) as caught:
            call()
        assert caught.value.filename == ":memory:"
    assert rows(mem) == before
    ground.lift_limit(mem._store._cx)
    mark.reset()

    assert rows(mem) == before
    mem.touch("/g")
    mark.reset()
    assert rows(mem) == before
    assert mem.check() == []


def test_full_disk_forgets_the_inner_marks(mem: VirtualFileSystem) -> None:
    outer = mem.savepoint()
    mem.touch("/since")
    inner = mem.savepoint()
    fill_up(mem)
    ground.lift_limit(mem._store._cx)

    with pytest.raises(BatchLost):
        inner.reset()
    outer.reset()

    mem.touch("/f")
    assert mem.listdir() == ["f"]
    outer.reset()
    assert mem.listdir() == []


def test_release_after_a_full_disk_says_what_was_lost(mem: VirtualFileSystem) -> None:
    mark = mem.savepoint()
    mem.touch("/since")
    fill_up(mem)
    ground.lift_limit(mem._store._cx)

    with pytest.raises(BatchLost):
        mark.release()

    mem.touch("/f")
    assert mem.listdir() == ["f"]


# --- others meanwhile -----------------------------------------------------------------


@pytest.mark.no_slow_contracts("threads")
def test_reset_takes_back_what_other_threads_did(mem: VirtualFileSystem) -> None:
    mark = mem.savepoint()
    in_thread(lambda: mem.write_text("/f", "theirs"))
    seen = mem.listdir()

    in_thread(mark.reset)

    assert (seen, mem.listdir()) == (["f"], [])


@pytest.mark.no_slow_contracts("threads")
def test_reset_waits_for_the_batch_of_another_thread(mem: VirtualFileSystem) -> None:
    mark = mem.savepoint()
    inside, go_on = threading.Event(), threading.Event()

    def work() -> None:
        with mem.atomic_batch():
            mem.touch("/f")
            inside.set()
            go_on.wait()
            mem.touch("/g")

    thread = threading.Thread(target=work)
    thread.start()
    inside.wait()
    go_on.set()

    mark.reset()

    thread.join()
    assert mem.listdir() == []


@pytest.mark.no_slow_contracts("threads")
def test_reset_by_another_thread_leaves_its_older_handle_where_it_is(
    mem: VirtualFileSystem,
) -> None:
    """The mark knows the places of its own thread's handles, and guesses no other's."""
    mem.write_bytes("/f", b"0123456789")
    opened: list[Any] = []

    def begin() -> None:
        opened.append(mem.open("/f", "rb", 0))
        opened[0].read(5)

    def reset() -> None:
        mine.append(opened[0].is_mine)
        mark.reset()

    mine: list[bool] = []
    worker = Worker()
    worker(begin)
    mark = mem.savepoint()
    worker(reset)
    worker.finish()

    assert mine == [True]
    assert opened[0].tell() == 5
    opened[0].close()


class Worker:
    """A thread that does one thing after the other."""

    def __init__(self) -> None:
        self._todo: list[Callable[[], object]] = []
        self._turn, self._done = threading.Semaphore(0), threading.Semaphore(0)
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while True:
            self._turn.acquire()
            if not self._todo:
                return
            self._todo.pop()()
            self._done.release()

    def __call__(self, call: Callable[[], object]) -> None:
        self._todo.append(call)
        self._turn.release()
        assert self._done.acquire(timeout=20)

    def finish(self) -> None:
        self._turn.release()
        self._thread.join(20)


def test_fork_while_marked_is_a_copy_of_now(make_vfs: Any) -> None:
    vfs = make_vfs()
    vfs.touch("/before")
    mark = vfs.savepoint()
    vfs.touch("/since")

    with vfs.fork() as forked:
        assert not forked._store._cx.in_transaction
        own = forked.savepoint()
        forked.touch("/forked")
        mark.reset()
        assert forked.listdir() == ["before", "forked", "since"]
        own.reset()
        assert forked.listdir() == ["before", "since"]

    assert vfs.listdir() == ["before"]


def test_fork_of_a_marked_fork_of_a_file_can_be_written(
    make_vfs: Any, tmp_path: Path
) -> None:
    """The header of a file in WAL mode comes along, and memory holds no such log."""
    vfs = make_vfs(tmp_path / "c.db")
    vfs.touch("/file")
    with vfs.fork() as first:
        first.savepoint()
        first.touch("/first")
        with first.fork() as second:
            second.touch("/second")
            mark = second.savepoint()
            second.touch("/third")
            mark.reset()

            assert second.listdir() == ["file", "first", "second"]
            assert second.check(deep=True) == []
        first.backup(tmp_path / "copy.db")

    assert make_vfs(tmp_path / "copy.db").listdir() == ["file", "first"]


def test_backup_while_marked_is_a_copy_of_now(make_vfs: Any, tmp_path: Path) -> None:
    vfs = make_vfs()
    vfs.touch("/before")
    mark = vfs.savepoint()
    vfs.touch("/since")

    vfs.backup(tmp_path / "copy.db")
    mark.reset()

    assert os.listdir(tmp_path) == ["copy.db"]
    copy = make_vfs(tmp_path / "copy.db")
    assert copy.listdir() == ["before", "since"]
    assert copy.check(deep=True) == []
    assert vfs.listdir() == ["before"]


def test_compact_while_marked_is_refused_and_says_so(mem: VirtualFileSystem) -> None:
    mark = mem.savepoint()
    mem.touch("/f")

    with pytest.raises(OSError, match="release it") as caught:
        mem.compact()

    assert (caught.value.errno, caught.value.filename) == (errno.EINVAL, ":memory:")
    assert mem.listdir() == ["f"]
    mark.reset()
    assert mem.listdir() == []
    mark.release()
    mem.compact()


def test_close_while_marked_is_no_batch_left_open(
    recwarn: pytest.WarningsRecorder,
) -> None:
    vfs = VirtualFileSystem()
    vfs.savepoint()
    vfs.savepoint()
    vfs.touch("/f")

    vfs.close()

    assert not any("batch" in str(warning.message) for warning in recwarn)


def test_close_in_a_batch_while_marked_warns_of_the_batch() -> None:
    vfs = VirtualFileSystem()
    vfs.savepoint()
    batch = vfs.atomic_batch()
    batch.__enter__()

    with pytest.warns(ResourceWarning, match="closed in a batch"):
        vfs.close()


def test_close_while_marked_flushes_the_handles() -> None:
    vfs = VirtualFileSystem()
    vfs.savepoint()
    f = vfs.open("/f", "w")
    put(f, "x")

    with pytest.warns(ResourceWarning, match="closed with"):
        vfs.close()

    assert f.closed
