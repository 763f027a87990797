"""Batches of several threads: one at a time, the others wait, and nobody for ever.

The danger is in the locks: a batch keeps the store's and flushes its thread's handles;
who writes through a handle keeps the buffer's and waits for the store's.
"""

from __future__ import annotations

import errno
import random
import threading
from contextlib import nullcontext, suppress
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
from stratavfs.errors import InvalidArgument

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


# --- one at a time --------------------------------------------------------------------


def test_batches_of_all_threads_never_overlap(shared: Vfs) -> None:
    inside: list[int] = []
    met: list[list[int]] = []

    def batch(nth: int) -> None:
        chance = random.Random(nth)
        for _ in range(ROUNDS):
            with shared.atomic_batch():
                inside.append(nth)
                met.append([*inside])
                shared.write_text(f"/{nth}", "x")
                with shared.atomic_batch():
                    shared.write_text(f"/{nth}", "y")
                met.append([*inside])
                inside.remove(nth)
                if chance.random() < 0.1:
                    shared.touch("/kept")

    raised = together(*(partial(batch, nth) for nth in range(THREADS)))

    assert raised == []
    assert {len(seen) for seen in met} == {1}
    assert shared.listdir("/")[:THREADS] == [str(nth) for nth in range(THREADS)]


@pytest.mark.parametrize("how", HOWS)
def test_failed_batch_takes_back_nothing_of_the_one_that_waited(
    shared: Vfs, how: str
) -> None:
    begun = threading.Event()
    seen: list[bool] = []

    def fail() -> None:
        def work() -> None:
            shared.write_text("/never", "x")
            begun.set()
            shared.rmtree("/d")

        take_back(shared, how, work)

    def wait() -> None:
        assert begun.wait(LONG)
        with shared.atomic_batch():
            seen.append(shared.exists("/never"))
            shared.write_text("/d/b", "mine")

    shared.write_text("/d/a", "a")

    assert together(fail, wait) == []
    assert seen == [False]
    assert shared.glob("/**/*") == ["/d", "/d/a", "/d/b"]


# --- batches that belong to another thread --------------------------------------------


def elsewhere(call: Callable[[], object]) -> BaseException | None:
    """Return what *call* raises in another thread."""
    raised = together(call)
    return raised[0] if raised else None


def test_rollback_by_another_thread_is_refused_and_changes_nothing(
    shared: Vfs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Refused at once, or when the batch is over: it never takes a part of it."""
    begun, asked = threading.Event(), threading.Event()
    batches: list[Any] = []

    def hold() -> None:
        with shared.atomic_batch() as batch:
            shared.write_text("/a", "1")
            batches.append(batch)
            begun.set()
            assert asked.wait(LONG)
            shared.write_text("/b", "2")

    def roll_back() -> None:
        assert begun.wait(LONG)
        asked.set()
        batches[0].rollback()

    raised = together(hold, roll_back)

    assert [type(error) for error in raised] == [InvalidArgument]
    assert shared.listdir("/") == ["a", "b"]


def test_rollback_of_a_batch_that_is_over_is_refused(shared: Vfs) -> None:
    with shared.atomic_batch() as batch:
        shared.touch("/a")

    with pytest.raises(InvalidArgument):
        batch.rollback()
    with shared.atomic_batch():
        shared.touch("/b")
        with pytest.raises(InvalidArgument):
            batch.rollback()

    assert shared.listdir("/") == ["a", "b"]


def test_leaving_the_batch_of_another_thread_is_refused_and_changes_nothing(
    shared: Vfs,
) -> None:
    """As it may come to pass where a generator is closed by another thread."""
    batch = shared.atomic_batch()
    batch.__enter__()
    shared.write_text("/a", "1")

    kept = elsewhere(partial(batch.__exit__, None, None, None))
    failed = elsewhere(partial(batch.__exit__, KeyError, KeyError(), None))
    shared.write_text("/b", "2")
    batch.rollback()
    batch.__exit__(None, None, None)

    assert isinstance(kept, (ValueError, RuntimeError))
    assert isinstance(failed, (ValueError, RuntimeError))
    assert shared.listdir("/") == []
    assert elsewhere(lambda: shared.touch("/usable")) is None


@pytest.mark.parametrize("how", HOWS)
def test_batch_of_a_thread_that_ends_inside_it_keeps_nobody_waiting(
    make_vfs: Any, tmp_path: Path, how: str
) -> None:
    """A batch that is never left: its objects go with the thread, and so does it."""
    vfs = make_vfs(tmp_path / "c.db", timeout=SHORT)
    vfs.write_text("/a", "old")

    def begin() -> None:
        batch = vfs.atomic_batch()
        batch.__enter__()
        vfs.write_text("/a", "new")
        if how == "rollback":
            batch.rollback()

    assert together(begin) == []
    raised = together(lambda: vfs.write_text("/b", "usable"))

    assert raised == []
    assert (vfs.read_text("/a"), vfs.read_text("/b")) == ("old", "usable")


# --- lost batches ---------------------------------------------------------------------


def test_lost_batch_of_one_thread_does_not_disturb_the_next(shared: Vfs) -> None:
    shared.write_text("/count", "0")
    lost: list[int] = []

    def lose() -> None:
        for _ in range(5):
            with pytest.raises(BatchLost), shared.atomic_batch():  # noqa: PT012
                shared.write_text("/never", "x")
                limit_pages(shared._store._cx, 4)
                with suppress(OSError):
                    shared.write_bytes("/too/big", bytes(1_000_000))
                lift_limit(shared._store._cx)
            lost.append(1)

    def count() -> None:
        for _ in range(ROUNDS):
            with shared.atomic_batch():
                shared.write_text("/count", str(int(shared.read_text("/count")) + 1))

    raised = together(lose, count, count)

    assert raised == []
    assert len(lost) == 5
    assert shared.read_text("/count") == str(2 * ROUNDS)
    assert shared.listdir("/") == ["count"]


# --- two file systems -----------------------------------------------------------------


@forks
@pytest.mark.parametrize("how", ["batch", "call"])
def test_batches_on_two_file_systems_in_opposite_orders_end(
    tmp_path: Path, how: str
) -> None:
    """Each holds what the other waits for: one is refused, as by another process."""

    def scenario() -> None:
        systems = [
            VirtualFileSystem(timeout=SHORT),
            VirtualFileSystem(tmp_path / "two.db", timeout=SHORT),
        ]
        refused = cross(systems, how)
        assert [error.errno for error in refused] in ([errno.EBUSY], [errno.EBUSY] * 2)
        assert "thread" in str(refused[0])
        for vfs in systems:
            assert len(vfs.listdir("/")) == 2 - len(refused)
            vfs.touch("/usable")
            vfs.close()

    in_child(scenario)


def cross(systems: list[Vfs], how: str) -> list[OSError]:
    """Write to each from a batch on the other; return what was refused."""
    both = threading.Barrier(2)
    refused: list[OSError] = []

    def batch(nth: int) -> None:
        mine, other = systems[nth], systems[1 - nth]
        try:
            with mine.atomic_batch():
                mine.touch(f"/{nth}")
                both.wait(LONG)
                with other.atomic_batch() if how == "batch" else nullcontext():
                    other.touch(f"/{nth}")
        except OSError as error:
            refused.append(error)

    assert together(partial(batch, 0), partial(batch, 1)) == []
    return refused


# --- generators -----------------------------------------------------------------------


def test_search_begun_before_a_batch_goes_on_in_it_and_after_it(shared: Vfs) -> None:
    for nth in range(6):
        shared.write_text(f"/d{nth}/f", "x")
    steps = shared.walk("/")
    found = [next(steps)[0], next(steps)[0]]

    with shared.atomic_batch() as batch:
        shared.rmtree("/d2")
        found.append(next(steps)[0])
        batch.rollback()
    found += [top for top, _, _ in steps]

    assert found[:3] == ["/", "/d0", "/d1"] or found[2] == "/d3"
    assert elsewhere(lambda: shared.touch("/usable")) is None
    assert next(shared.walk("/"))[0] == "/"
