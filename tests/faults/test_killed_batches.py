"""Killed at every statement of a batch: afterwards all of it is there, or nothing.

Each call of ``test_crash`` and of ``layered`` is made in the middle of a batch here;
alone they are killed there. For these the child stops before each statement, and what
is on the disk at that moment is what a kill would leave; batches in batches, grafts and
handles are killed.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
from tests import ground
from tests.faults import layered, test_crash
from tests.faults.killed import (
    Images,
    forks,
    from_the_start,
    in_batch,
    kill_everywhere,
    stop_everywhere,
    trace,
    work_before,
)
from tests.faults.test_crash import copy_of, moment
from tests.faults.test_layers_killed import Room

from stratavfs import VirtualFileSystem

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from tests.faults.killed import Act

    Change = Callable[[VirtualFileSystem], object]
    Make = Callable[[], Sequence[Act]]

pytestmark = [pytest.mark.slow, forks]

ALONE = {
    name: call
    for name, call in test_crash.CALLS.items()
    if name not in ("sync", "close", "batch of five", "nested batch")
}


@pytest.fixture(scope="module")
def baseline(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path: Path = tmp_path_factory.mktemp("batches") / "baseline.db"
    test_crash.build(path)
    return path


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Room:
    return Room(tmp_path_factory.mktemp("batches") / "room").build()


class Single:
    """Steps on copies of one container, whose states are known beforehand."""

    def __init__(self, baseline: Path, tmp_path: Path, make: Make) -> None:
        self.baseline = baseline
        self.tmp_path = tmp_path
        self.make = make
        self.images = Images(self.states())

    def states(self) -> list[ground.Dump]:
        """Return what others see before the first of the steps and after each."""
        path = copy_of(self.baseline, self.tmp_path / "states.db")
        states = [ground.dump_of(path)]
        with VirtualFileSystem(path, clock=moment) as vfs:
            for step in self.make():
                step(vfs, None)
                states.append(ground.dump_of(path))
        return states

    def fresh(self) -> Path:
        return copy_of(self.baseline, self.tmp_path / "killed.db")

    def run(self, path: Path, killer: Any) -> None:
        vfs = VirtualFileSystem(path, clock=moment)
        for step in self.make():
            step(vfs, killer)


class Stacked:
    """A step on copies of a room: a container over a base, and a target."""

    def __init__(
        self, room: Room, tmp_path: Path, name: str, work: Callable[[Room, Any], object]
    ) -> None:
        self.room = room
        self.tmp_path = tmp_path
        self.name = name
        self.work = work
        done = room.copied(tmp_path / "done")
        before = ground.dump_of(done.path / name)
        work(done, None)
        self.images = Images([before, ground.dump_of(done.path / name)])

    def fresh(self) -> Path:
        return self.room.copied(self.tmp_path / "killed").path / self.name

    def run(self, path: Path, killer: Any) -> None:
        self.work(Room(path.parent), killer)

    @property
    def base_is_untouched(self) -> bool:
        left = Room(self.tmp_path / "killed").base
        return left.read_bytes() == self.room.base.read_bytes()


def change(step: Act) -> Callable[[Room, Any], None]:
    """Return *step* as work in a room: on the local layer."""

    def work(room: Room, killer: Any) -> None:
        vfs = room.opened()
        step(vfs, killer)
        if killer is None:
            vfs.close()

    return work


# --- one call in the middle of a batch ------------------------------------------------


@pytest.mark.parametrize("name", ALONE)
def test_kill_at_any_statement_of_a_call_in_a_batch_is_all_or_nothing(
    name: str, baseline: Path, tmp_path: Path
) -> None:
    case = Single(baseline, tmp_path, lambda: [in_batch(ALONE[name])])

    points = stop_everywhere(case.fresh, case.run, case.images)

    assert points > 3
    assert case.images.finished


@pytest.mark.parametrize("name", layered.CALLS)
def test_kill_at_any_statement_of_a_change_of_a_base_in_a_batch_is_all_or_nothing(
    name: str, room: Room, tmp_path: Path
) -> None:
    work = change(in_batch(layered.CALLS[name]))
    case = Stacked(room, tmp_path, "local.db", work)

    points = stop_everywhere(case.fresh, case.run, case.images)

    assert points > 3
    assert case.images.finished
    assert case.base_is_untouched


# --- grafts ---------------------------------------------------------------------------


@pytest.mark.parametrize("verb", ["apply_to", "flatten"])
def test_kill_at_any_statement_of_a_graft_in_a_batch_of_its_target_is_all_or_nothing(
    verb: str, room: Room, tmp_path: Path
) -> None:
    if verb == "flatten":
        room = room.copied(tmp_path / "empty")
        room.target.unlink()
        VirtualFileSystem(room.target, clock=moment).close()

    def graft(room: Room, killer: Any) -> None:
        vfs, target = room.opened(), VirtualFileSystem(room.target, clock=moment)
        trace(target, killer)
        with target.atomic_batch():
            getattr(vfs, verb)(target)
            work_before(target)
        if killer is None:
            target.close()
            vfs.close()

    case = Stacked(room, tmp_path, "target.db", graft)

    points = kill_everywhere(case.fresh, case.run, case.images)

    assert points > 50
    assert case.images.finished
    assert case.base_is_untouched


# --- batches in batches ---------------------------------------------------------------


def nest(vfs: VirtualFileSystem, depth: int = 2) -> None:
    """Open *depth* batches, one in the other; the second of each pair gives up."""
    with vfs.atomic_batch():
        vfs.write_text(f"/nested/{depth}", "kept")
        with suppress(KeyError), vfs.atomic_batch():
            vfs.rename("/tree", f"/gone{depth}")
            vfs.write_bytes("/big", b"gone")
            raise KeyError
        if depth:
            nest(vfs, depth - 1)
        vfs.chmod("/small", 0o600 + depth)


def test_kill_at_any_statement_of_nested_batches_is_all_or_nothing(
    baseline: Path, tmp_path: Path
) -> None:
    case = Single(baseline, tmp_path, lambda: [from_the_start(nest)])

    points = kill_everywhere(case.fresh, case.run, case.images)

    assert points > 40
    assert case.images.finished


def abandon(vfs: VirtualFileSystem) -> None:
    with vfs.atomic_batch() as batch:
        vfs.write_bytes("/small", test_crash.BIG)
        vfs.rmtree("/tree")
        batch.rollback()


def test_kill_at_any_statement_of_an_abandoned_batch_leaves_the_state_before(
    baseline: Path, tmp_path: Path
) -> None:
    case = Single(baseline, tmp_path, lambda: [from_the_start(abandon)])

    points = kill_everywhere(case.fresh, case.run, case.images)

    before, after = case.images.states
    assert before == after
    assert points > 20


# --- handles --------------------------------------------------------------------------


def untraced(call: Change) -> Act:
    """Return a step for which the killer, once set, goes on to count."""
    return lambda vfs, _: call(vfs)


class Buffered:
    """Steps around a batch with a handle that has something in its buffer throughout.

    Entering flushes what belongs to before; leaving, what belongs to the batch.
    """

    def __init__(self) -> None:
        self.handle: Any = None
        self.batch: Any = None

    def steps(self) -> list[Act]:
        steps = self.open, self.enter, self.work, self.leave, self.close
        return [from_the_start(steps[0]), *map(untraced, steps[1:])]

    def open(self, vfs: VirtualFileSystem) -> None:
        self.handle = vfs.open("/tree/deep/big", "r+b")

    def enter(self, vfs: VirtualFileSystem) -> None:
        self.handle.write(b"before the batch")
        self.batch = vfs.atomic_batch()
        self.batch.__enter__()

    def work(self, vfs: VirtualFileSystem) -> None:
        self.handle.seek(70_000)
        self.handle.write(b"flushed inside")
        self.handle.flush()
        vfs.rename("/tree", "/moved")
        self.handle.write(b", kept in the buffer")

    def leave(self, vfs: VirtualFileSystem) -> None:
        self.batch.__exit__(None, None, None)

    def close(self, vfs: VirtualFileSystem) -> None:
        self.handle.write(b", after the batch")
        self.handle.close()


def test_kill_around_a_batch_with_a_buffered_handle_is_all_or_nothing(
    baseline: Path, tmp_path: Path
) -> None:
    case = Single(baseline, tmp_path, lambda: Buffered().steps())

    points = kill_everywhere(case.fresh, case.run, case.images)

    assert case.images.finished
    with VirtualFileSystem(tmp_path / "killed.db") as vfs:
        assert vfs.read_bytes("/moved/deep/big")[:16] == b"before the batch"
        tail = b"flushed inside, kept in the buffer, after the batch"
        assert tail in vfs.read_bytes("/moved/deep/big")
    assert points > 10


def test_kill_while_a_handle_copies_up_in_a_batch_is_all_or_nothing(
    room: Room, tmp_path: Path
) -> None:
    """The handle was opened before, and its file comes up with the batch's flush."""

    def write(vfs: VirtualFileSystem) -> None:
        handle = vfs.open("/tree/deep/big", "r+b")
        with vfs.atomic_batch():
            work_before(vfs)
            handle.write(b"first bytes that change")
            vfs.rename("/tree/deep", "/elsewhere")
            handle.write(b"after the rename")
        handle.close()

    case = Stacked(room, tmp_path, "local.db", change(from_the_start(write)))

    points = kill_everywhere(case.fresh, case.run, case.images)

    assert points > 30
    assert case.images.finished
    assert case.base_is_untouched
