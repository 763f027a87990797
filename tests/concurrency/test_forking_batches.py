"""Forked in the middle: inside a batch, and while other threads are at work.

A child has only the thread that forked it. What the others held it can neither end nor
wait for; what it is asked then it answers rightly, or refuses, and does not hang.
"""

from __future__ import annotations

import errno
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
from tests.concurrency.children import (
    BIG,
    LONG,
    Child,
    assert_sound,
    count,
    forks,
    in_child,
    make_container,
)

from stratavfs import BatchLost, VirtualFileSystem

if TYPE_CHECKING:
    from multiprocessing.connection import Connection
    from pathlib import Path

pytestmark = forks


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return make_container(tmp_path / "c.db")


@pytest.fixture
def vfs(path: Path, make_vfs: Any) -> Any:
    """In use: with a log that is not written back, and with its connection warm."""
    vfs = make_vfs(path, timeout=LONG)
    vfs.touch("/parent")
    return vfs


@pytest.mark.parametrize("doing", ["in a batch", "reading", "asking"])
def test_fork_while_another_thread_holds_the_lock_hangs_nowhere(
    vfs: VirtualFileSystem, path: Path, doing: str
) -> None:
    """The child sees the state before the batch, or is refused and told why."""
    begun, done = threading.Event(), threading.Event()

    def hold() -> None:
        if doing == "in a batch":
            with vfs.atomic_batch():
                vfs.write_text("/parent", "half")
                begun.set()
                assert done.wait(LONG)
                vfs.write_text("/kept", "x")
        elif doing == "reading":
            with vfs._store.snapshot():
                vfs.read_text("/parent")
                begun.set()
                assert done.wait(LONG)
        else:
            with vfs._store.lock:
                begun.set()
                assert done.wait(LONG)

    def work() -> str:
        try:
            found = vfs.read_text("/parent")
            vfs.close()
        except OSError as error:
            assert error.filename == str(path)  # noqa: PT017 - one of two ends
            return "before"
        return found

    thread = threading.Thread(target=hold)
    thread.start()
    assert begun.wait(LONG)
    try:
        assert in_child(work) == "before"
    finally:
        done.set()
        thread.join(LONG)

    vfs.write_text("/after", "x")
    assert_sound(path, "after", *(["kept"] if doing == "in a batch" else []))


def test_memory_forked_while_another_thread_is_in_a_batch_is_refused(
    make_vfs: Any,
) -> None:
    vfs = make_vfs(":memory:")
    vfs.write_text("/a", "whole")
    begun, done = threading.Event(), threading.Event()

    def hold() -> None:
        with vfs.atomic_batch():
            vfs.write_text("/a", "half")
            begun.set()
            assert done.wait(LONG)

    def work() -> str:
        with pytest.raises(OSError, match="fork"):
            vfs.read_text("/a")
        with pytest.raises(OSError, match="fork"):
            vfs.write_text("/a", "x")
        return "refused"

    thread = threading.Thread(target=hold)
    thread.start()
    assert begun.wait(LONG)
    try:
        assert in_child(work) == "refused"
    finally:
        done.set()
        thread.join(LONG)
    assert vfs.read_text("/a") == "half"


@pytest.mark.no_slow_contracts("single")  # in the child there is nothing to check
@pytest.mark.parametrize("end", ["kept", "failed"])
def test_batch_open_at_the_fork_is_the_parents(
    vfs: VirtualFileSystem, path: Path, end: str
) -> None:
    def work() -> str:
        for change in (vfs.touch, vfs.remove, vfs.mkdir):
            with pytest.raises(BatchLost):
                change("/old")
        return "lost"

    with suppress(KeyError), vfs.atomic_batch():
        vfs.write_text("/old", "new")
        assert in_child(work) == "lost"
        vfs.write_text("/more", "x")
        if end == "failed":
            raise KeyError

    kept = end == "kept"
    assert vfs.read_text("/old") == ("new" if kept else "old")
    assert_sound(path, *(["more"] if kept else []))


def test_batch_in_memory_open_at_the_fork_ends_in_each_by_itself(make_vfs: Any) -> None:
    vfs = make_vfs(":memory:")
    vfs.write_text("/old", "old")

    def work() -> str:
        with suppress(OSError):
            vfs.write_text("/child", "x")
            batch.rollback()
        batch.__exit__(None, None, None)
        return str(vfs.read_text("/old"))

    with vfs.atomic_batch() as batch:
        vfs.write_text("/old", "new")
        assert in_child(work) == "old"

    assert vfs.read_text("/old") == "new"
    assert vfs.listdir("/") == ["old"]


def test_batch_open_at_the_fork_is_left_by_the_child_and_nothing_comes_of_it(
    vfs: VirtualFileSystem, path: Path
) -> None:
    """Whatever the child does then, it neither keeps nor ends the parent's batch."""
    with vfs.atomic_batch():
        vfs.write_text("/half", "x")

        def work() -> str:
            with pytest.raises(OSError):
                batch.__exit__(None, None, None)
            return "left"

        batch = vfs.atomic_batch()
        batch.__enter__()
        assert in_child(work) == "left"
        batch.__exit__(None, None, None)
        vfs.write_text("/whole", "x")
        with VirtualFileSystem(path) as third:
            assert third.listdir("/") == ["big", "count", "old", "parent"]

    assert_sound(path, "half", "whole")


@pytest.mark.slow
def test_forked_again_and_again_while_threads_work_hangs_nowhere(
    path: Path, make_vfs: Any
) -> None:
    """A child that is forked in the middle of a write may be refused."""
    vfs = make_vfs(path, timeout=2)
    stop = threading.Event()
    counted: list[int] = []

    def work() -> None:
        mine = 0
        while not stop.is_set():
            count(vfs, 1)
            vfs.glob("**/*")
            mine += 1
        counted.append(mine)

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    refused = 0
    try:
        for _ in range(25):
            refused += in_child(lambda: count_once(vfs))
    finally:
        stop.set()
        for thread in threads:
            thread.join(LONG)

    assert vfs.read_text("/count") == str(sum(counted) + 25 - refused)
    assert refused < 25
    assert_sound(path)


def count_once(vfs: VirtualFileSystem) -> bool:
    """Count, unless the child is refused; tell whether it was."""
    try:
        count(vfs, 1)
    except OSError:
        return True
    return False


def test_child_forked_in_a_threads_batch_is_right_or_refused_ever_after(
    path: Path, make_vfs: Any
) -> None:
    """When the batch is over, the parent has closed and a third one has written."""
    vfs = make_vfs(path, timeout=0.1)
    vfs.write_text("/parent", "before")
    begun, done = threading.Event(), threading.Event()

    def hold() -> None:
        with vfs.atomic_batch():
            vfs.write_bytes("/kept", BIG)
            begun.set()
            assert done.wait(LONG)

    def work(talk: Connection) -> list[str]:
        found: list[str] = []
        for _ in range(2):
            try:
                vfs.read_text("/old")
                vfs.write_text("/child", "x")
                found.append("written")
            except OSError as error:
                assert error.errno != errno.EIO, error  # noqa: PT017 - damage
                found.append("refused")
            talk.send("ready")
            talk.recv()
        return found

    thread = threading.Thread(target=hold)
    thread.start()
    assert begun.wait(LONG)
    child = Child(work)
    done.set()
    thread.join(LONG)
    child.receive()
    vfs.close()
    with VirtualFileSystem(path) as third:
        third.write_bytes("/third", BIG)
    child.send()
    child.receive()
    child.send()

    found = child.answer()
    written = ["child"] if "written" in found else []
    assert_sound(path, "kept", "third", *written)
