"""Batches and handles of several threads: each thread's share their fate, no other's.

The danger is in the locks: a batch keeps the store's and flushes its thread's handles;
who writes through a handle keeps the buffer's and waits for the store's.
"""

from __future__ import annotations

import errno
import random
import threading
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from tests.concurrency.children import forks, in_child
from tests.concurrency.test_layers import (
    eager,  # noqa: F401 - threads take turns often in here too
    threads_only,
    together,
)
from tests.ground import lift_limit, limit_pages

from stratavfs import BatchLost, VirtualFileSystem

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Vfs = VirtualFileSystem

pytestmark = threads_only

THREADS = 4
ROUNDS = 40
LONG = 20  # seconds: nothing waits this long, unless it waits for ever
SHORT = 0.1


@pytest.fixture(params=["memory", "disk"])
def shared(request: pytest.FixtureRequest, make_vfs: Any, tmp_path: Path) -> Any:
    where = ":memory:" if request.param == "memory" else tmp_path / "c.db"
    return make_vfs(where, 64, synchronous="off")


def take_back(vfs: Vfs, how: str, work: Callable[[], object]) -> None:
    """Do *work* in a batch that fails."""
    if how == "rollback":
        with vfs.atomic_batch() as batch:
            work()
            batch.rollback()
    else:
        with suppress(KeyError), vfs.atomic_batch():
            work()
            raise KeyError


HOWS = ["rollback", "exception"]


# --- handles of each thread -----------------------------------------------------------


@pytest.mark.parametrize("how", HOWS)
@pytest.mark.parametrize("mode", ["wb", "ab", "w+b", "w", "a"])
def test_handles_of_threads_share_the_fate_of_their_own_batches(
    shared: Vfs, mode: str, how: str
) -> None:
    """Each has data buffered before, inside and after batches that fail or not."""
    expected: dict[int, str] = {}

    def write(nth: int) -> None:
        chance = random.Random(nth)
        wanted: list[str] = []
        encode: Callable[[str], Any] = str.encode if "b" in mode else str
        with shared.open(f"/{nth}", mode, 200) as file:
            for number in range(ROUNDS):
                before, within = f"b{number}-", f"i{number}-"
                file.write(encode(before))
                wanted.append(before)
                if chance.random() < 0.5:
                    with shared.atomic_batch():
                        file.write(encode(within))
                    wanted.append(within)
                else:
                    take_back(shared, how, lambda: file.write(encode(within)))  # noqa: B023
                assert shared.read_text(f"/{nth}") == "".join(wanted)
        expected[nth] = "".join(wanted)

    raised = together(*(partial(write, nth) for nth in range(THREADS)))

    assert raised == []
    assert {nth: shared.read_text(f"/{nth}") for nth in expected} == expected


@pytest.mark.parametrize("how", HOWS)
def test_failed_batch_leaves_the_handles_of_other_threads_alone(
    shared: Vfs, how: str
) -> None:
    """What they have buffered, what they have read ahead, and where they stand."""
    shared.write_bytes("/read", bytes(range(200)))
    ready, over = threading.Barrier(2), threading.Barrier(2)
    found: list[Any] = []

    def use() -> None:
        with shared.open("/written", "wb", 100) as written:
            with shared.open("/read", "rb", 100) as reading:
                written.write(b"buffered")
                reading.seek(10)
                reading.read(5)
                ready.wait(LONG)
                over.wait(LONG)
                found.append((reading.tell(), reading.read(2), written.tell()))
            written.write(b" and more")

    def fail() -> None:
        ready.wait(LONG)
        take_back(shared, how, lambda: shared.write_bytes("/read", bytes(200)))
        over.wait(LONG)

    assert together(use, fail) == []
    assert found == [(15, bytes([15, 16]), 8)]
    assert shared.read_bytes("/written") == b"buffered and more"


def test_handle_of_a_thread_that_has_ended_is_flushed_by_its_next_user(
    shared: Vfs,
) -> None:
    """Its number may have become another thread's; what is buffered stays its own."""
    handles: list[Any] = []

    def open_it() -> None:
        handles.append(shared.open("/f", "wb"))
        handles[0].write(b"before ")

    def fail() -> None:
        take_back(shared, "exception", lambda: shared.touch("/never"))

    assert together(open_it) == []
    assert together(fail) == []
    handles[0].write(b"after")
    handles[0].close()

    assert shared.read_bytes("/f") == b"before after"


# --- a handle of two threads ----------------------------------------------------------


@pytest.mark.parametrize(
    ("binary", "size"),
    [(True, 2), (True, 16), (True, 100_000), (False, 1), (False, 100_000)],
)
def test_handle_written_by_one_thread_while_another_is_in_batches_loses_nothing(
    shared: Vfs, binary: bool, size: int
) -> None:
    """The batches use the handle too, so that it is shared; some of them fail."""
    mode, encode = ("wb", str.encode) if binary else ("w", str)
    lines = [f"line {number}\n" for number in range(ROUNDS * 5)]
    file = shared.open("/shared", mode, size)
    # Used here first: whoever comes next shares it. Between its first user's look at
    # whose it is and the flush that follows, a second one cannot be seen.
    file.tell() if binary else file.closed

    def write() -> None:
        for line in lines:
            file.write(encode(line))

    def batch() -> None:
        for number in range(ROUNDS):
            file.tell() if binary else file.closed
            with shared.atomic_batch():
                shared.write_text("/other", str(number))
            take_back(shared, HOWS[number % 2], lambda: shared.touch("/never"))

    raised = together(write, batch, batch)
    file.close()

    assert raised == []
    assert shared.read_text("/shared") == "".join(lines)
    assert shared.listdir("/") == ["other", "shared"]


@forks
@pytest.mark.parametrize("size", [2, 16, 100_000])
def test_handle_written_by_all_threads_in_and_out_of_batches_hangs_nowhere(
    size: int, tmp_path: Path
) -> None:
    """Who would wait for ever is refused; all that is kept is whole and there once."""

    def scenario() -> None:
        vfs = VirtualFileSystem(tmp_path / "c.db", 64, timeout=SHORT)
        file = vfs.open("/shared", "ab", size)
        # Who uses it first, alone, waits for any batch; from the second thread on all
        # are known to share it.
        file.write(b"first\n")
        lines = [
            line
            for found in threads_of(lambda nth: write_lines(vfs, file, nth))
            for line in found
        ]
        file.close()
        written = vfs.read_bytes("/shared").splitlines(keepends=True)
        assert {*lines} <= {*written}
        assert len(written) == len({*written})
        vfs.close()

    in_child(scenario)


def write_lines(vfs: Vfs, file: Any, nth: int) -> list[bytes]:
    """Write lines in and out of batches; return those that nobody refused."""
    chance = random.Random(nth)
    lines: list[bytes] = []
    for number in range(ROUNDS):
        line = b"%d:%03d\n" % (nth, number)
        try:
            if chance.random() < 0.5:
                with vfs.atomic_batch():
                    file.write(line)
                    vfs.touch("/other")
            else:
                file.write(line)
        except OSError as error:
            assert error.errno in (errno.EDEADLK, errno.EBUSY)  # noqa: PT017 - allowed
        else:
            lines.append(line)
    return lines


def threads_of(work: Callable[[int], Any]) -> list[Any]:
    """Return what *work* returns in each thread."""
    found: list[Any] = []
    raised = together(
        *(lambda nth=nth: found.append(work(nth)) for nth in range(THREADS))
    )
    assert raised == []
    return found


@pytest.mark.parametrize("call", ["flush", "batch"])
def test_flush_passes_over_handles_that_other_threads_just_close(
    shared: Vfs, call: str
) -> None:
    def come_and_go(nth: int) -> None:
        for number in range(ROUNDS * 5):
            with shared.open(f"/{nth}", "r+b", 16) as file:
                assert file.read(10) == b"x" * 10
                file.seek(50 + number)
                file.write(b"x" * 20)

    def flush() -> None:
        for _ in range(ROUNDS * 5):
            if call == "flush":
                shared.flush()
            else:
                with shared.atomic_batch():
                    pass

    for nth in range(3):
        shared.write_bytes(f"/{nth}", b"x" * 50)

    raised = together(flush, flush, *(partial(come_and_go, nth) for nth in range(3)))

    assert raised == []
    for nth in range(3):
        assert shared.read_bytes(f"/{nth}") == b"x" * (50 + ROUNDS * 5 + 19)


@pytest.mark.parametrize("call", ["flush", "sync", "close"])
def test_call_that_flushes_all_handles_while_they_are_written_hangs_nowhere(
    shared: Vfs, call: str
) -> None:
    """Called in a batch it has the lock that the writers of the handles wait for."""
    files = [shared.open(f"/{nth}", "wb", 16) for nth in range(2)]
    stop = threading.Event()

    def write(nth: int) -> None:
        try:
            while not stop.is_set():
                files[nth].write(b"line\n")
        except ValueError as error:
            assert call == "close"
            assert "closed" in str(error)  # noqa: PT017 - one of two ends

    def batch() -> None:
        try:
            for number in range(5 if call == "sync" else ROUNDS):
                with suppress(OSError), shared.atomic_batch():
                    shared.write_text("/other", str(number))
                    if call == "flush":
                        shared.flush()
                if call == "sync":
                    shared.sync()
            if call == "close":
                with pytest.warns(ResourceWarning, match="closed with"):
                    shared.close()
        finally:
            stop.set()

    assert together(batch, *(partial(write, nth) for nth in range(2))) == []
    if call != "close":
        for file in files:
            file.close()
        for nth in range(2):
            assert {*shared.read_bytes(f"/{nth}").splitlines()} <= {b"line"}


def test_lost_batch_leaves_the_handles_of_other_threads_alone(shared: Vfs) -> None:
    ready, over = threading.Barrier(2), threading.Barrier(2)

    def use() -> None:
        with shared.open("/f", "wb", 100) as file:
            file.write(b"buffered")
            ready.wait(LONG)
            over.wait(LONG)
            file.write(b" and more")

    def lose() -> None:
        ready.wait(LONG)
        with pytest.raises(BatchLost), shared.atomic_batch():  # noqa: PT012
            limit_pages(shared._store._cx, 4)
            with suppress(OSError):
                shared.write_bytes("/too/big", bytes(1_000_000))
        lift_limit(shared._store._cx)
        over.wait(LONG)

    assert together(use, lose) == []
    assert shared.read_bytes("/f") == b"buffered and more"
