"""Killed while a container is kept up: made, synced, closed, compacted, copied, mended.

Two ways: before the n-th statement, and in the middle of the n-th write, the file ends
where RLIMIT_FSIZE cuts it. What a killed ``backup()`` leaves is called ``*.part``, and
is in nobody's way.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import pytest
from tests import ground
from tests.faults import test_crash
from tests.faults.killed import (
    FRAME,
    Images,
    assert_sound,
    copied,
    forks,
    from_the_start,
    image_of,
    kill_everywhere,
    names_beside,
    stopped_at_each_statement,
    survives_writing,
    trace,
)
from tests.faults.test_crash import BIG, copy_of, moment, survives, trace_from_the_start

from stratavfs import VirtualFileSystem

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from tests.faults.killed import Act

    Change = Callable[[VirtualFileSystem], object]

# Damaged: close() is what is killed, and no check of the suite's goes before it.
pytestmark = [pytest.mark.slow, pytest.mark.damaged, forks]


# Commits that make the log long, and the database longer when it goes there.
FILL_LOG: list[Change] = [
    lambda vfs: vfs.write_bytes("/new", BIG),
    lambda vfs: vfs.rename("/tree", "/moved"),
    lambda vfs: vfs.write_text("/small", "changed"),
]
# Leave pages without use, and the database's last ones among those in use.
EMPTY_OUT: list[Change] = [
    lambda vfs: vfs.write_bytes("/last", BIG[:70_000]),
    lambda vfs: vfs.remove("/big"),
    lambda vfs: vfs.sync(),
]


@pytest.fixture(scope="module")
def baseline(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path: Path = tmp_path_factory.mktemp("upkeep") / "baseline.db"
    test_crash.build(path)
    return path


class Case:
    """A step on copies of a container, after some others; its states are known."""

    def __init__(
        self,
        baseline: Path,
        tmp_path: Path,
        first: Sequence[Change],
        step: Act,
    ) -> None:
        self.baseline, self.tmp_path = baseline, tmp_path
        self.first, self.step = first, step
        path = copy_of(baseline, tmp_path / "states.db")
        states = [ground.dump_of(path)]
        acts: list[Change] = [*first, lambda vfs: step(vfs, None)]
        with VirtualFileSystem(path, clock=moment) as vfs:
            for act in acts:
                act(vfs)
                states.append(ground.dump_of(path))
        self.images = Images(states)

    def fresh(self) -> Path:
        return copy_of(self.baseline, self.tmp_path / "killed.db")

    def run(self, path: Path, killer: Any) -> None:
        vfs = VirtualFileSystem(path, clock=moment)
        for act in self.first:
            act(vfs)
        self.step(vfs, killer)


# The steps after which the same is there as before, and what is done before them.
STEPS: dict[str, tuple[list[Change], Act]] = {
    "sync": (FILL_LOG, from_the_start(lambda vfs: vfs.sync())),
    "close": (FILL_LOG, from_the_start(lambda vfs: vfs.close())),
    "compact": (EMPTY_OUT, from_the_start(lambda vfs: vfs.compact())),
}


@pytest.mark.parametrize("name", STEPS)
def test_kill_at_any_statement_of_upkeep_keeps_everything(
    name: str, baseline: Path, tmp_path: Path
) -> None:
    case = Case(baseline, tmp_path, *STEPS[name])

    kill_everywhere(case.fresh, case.run, case.images)

    assert case.images.states[-1] == case.images.states[-2]
    assert case.images.finished


def kill_in_writes(case: Case, stride: int) -> int:
    """Kill *case* at every limit of its files, *stride* bytes apart; count the kills.

    The first limit is below its longest file: writes that replace pages go through.
    """
    for limit in itertools.count(stride, stride):
        path = case.fresh()
        survived = survives_writing(lambda: case.run(path, None), limit)  # noqa: B023
        case.images.check(path)
        if survived:
            break

    assert case.images.finished
    return limit // stride - 1


@pytest.mark.parametrize("name", STEPS)
def test_kill_in_any_write_of_upkeep_keeps_everything(
    name: str, baseline: Path, tmp_path: Path
) -> None:
    case = Case(baseline, tmp_path, *STEPS[name])

    # With the log already in the container, its growth is what remains to be cut.
    kills = kill_in_writes(case, 3 * FRAME + 1373)

    assert kills > 20


def test_kill_in_any_write_of_a_batch_leaves_all_or_nothing(
    baseline: Path, tmp_path: Path
) -> None:
    case = Case(
        baseline,
        tmp_path,
        [lambda vfs: vfs.touch("/first")],
        lambda vfs, _: test_crash.batch_of_five(vfs),
    )

    kills = kill_in_writes(case, 2 * FRAME + 1373)

    assert kills > 30


def test_kill_in_any_write_of_a_checkpoint_between_commits_loses_no_commit(
    baseline: Path, tmp_path: Path
) -> None:
    """Every commit past five pages of log writes it back into the database."""

    def write_back_soon(vfs: VirtualFileSystem) -> None:
        vfs._store._cx.execute("PRAGMA wal_autocheckpoint = 5")
        vfs.write_bytes("/new", BIG)

    case = Case(
        baseline,
        tmp_path,
        [write_back_soon],
        lambda vfs, _: vfs.write_bytes("/newer", BIG),
    )

    kills = kill_in_writes(case, 5 * FRAME + 1373)

    assert kills > 30


# --- opening what another one left ----------------------------------------------------


def test_kill_at_any_statement_of_opening_with_a_log_loses_no_commit(
    baseline: Path, tmp_path: Path
) -> None:
    crashed = crashed_copy(baseline, tmp_path)

    def reopen(killer: Any) -> None:
        trace_from_the_start(killer)
        VirtualFileSystem(path, clock=moment).close()

    before = ground.dump_of(crashed())

    for n in itertools.count(1):
        path = crashed()
        survived = survives(reopen, n)
        assert ground.dump_of(path) == before
        assert_sound(path)
        if survived:
            break

    assert n > 5


def test_kill_in_any_write_of_closing_with_a_log_loses_no_commit(
    baseline: Path, tmp_path: Path
) -> None:
    crashed = crashed_copy(baseline, tmp_path)
    before = ground.dump_of(crashed())

    for limit in itertools.count(4096, 2 * FRAME + 1373):
        path = crashed()
        survived = survives_writing(
            lambda: VirtualFileSystem(path, clock=moment).close(),  # noqa: B023
            limit,
        )
        assert ground.dump_of(path) == before
        if survived:
            break

    assert_sound(path)
    assert limit > len(baseline.read_bytes())


def crashed_copy(baseline: Path, tmp_path: Path) -> Callable[[], Path]:
    """Return a maker of copies of a container with a log that a kill has left."""
    left = copy_of(baseline, tmp_path / "left.db")
    survives(lambda killer: test_crash.run_scenario(left, FILL_LOG, killer), 10_000)
    whole = tmp_path / "crashed.db"
    ground.copy_as_killed(left, whole)

    def make() -> Path:
        path = tmp_path / "again.db"
        copy_of(whole, path)
        ground.copy_as_killed(whole, path)
        return path

    return make


# --- making one -----------------------------------------------------------------------


def test_kill_in_any_write_of_creation_leaves_a_file_that_opens(
    tmp_path: Path,
) -> None:
    def create() -> None:
        with VirtualFileSystem(path, 4096, clock=moment) as vfs:
            vfs.write_text("/first", "1")

    for limit in itertools.count(0, 509):
        path = tmp_path / f"{limit}.db"
        survived = survives_writing(create, limit)
        with VirtualFileSystem(path, 512, clock=moment) as vfs:
            assert vfs.check(deep=True) == []
            assert vfs.chunk_size in (512, 4096)
            assert vfs.listdir() in ([], ["first"])
        assert ground.integrity_of(path) == "ok"
        if survived:
            break

    assert limit > 35_000


# --- copying it -----------------------------------------------------------------------


def back_up(path: Path, killer: Any) -> None:
    vfs = VirtualFileSystem(path, clock=moment)
    if killer is not None:
        trace_from_the_start(killer)
        trace(vfs, killer)
    vfs.backup(path.with_name("target.db"))


def assert_backed_up_or_not(path: Path, before: bytes) -> bool:
    """The source is as it was; the target is whole, or is not there."""
    target = path.with_name("target.db")
    whole = target.exists()
    assert image_of(path) == before
    assert all(".part" in name for name in names_beside(path) - {target.name})
    if not whole:  # what is left of the one killed is in nobody's way
        with VirtualFileSystem(path, clock=moment) as vfs:
            vfs.backup(target)
    assert ground.dump_of(target) == ground.dump_of(path)
    assert_sound(target)
    return whole


@pytest.fixture
def source(baseline: Path, tmp_path: Path) -> Callable[[], Path]:
    """Return a maker of directories with a copy of the container in them."""
    numbers = itertools.count()

    def make() -> Path:
        directory = tmp_path / f"source{next(numbers)}"
        directory.mkdir()
        return copy_of(baseline, directory / "source.db")

    return make


def test_kill_at_any_statement_of_backup_leaves_a_whole_target_or_none(
    source: Callable[[], Path],
) -> None:
    made = False

    for n in itertools.count(1):
        path = source()
        before = image_of(path)
        survived = survives(lambda killer: back_up(path, killer), n)  # noqa: B023
        whole = assert_backed_up_or_not(path, before)
        assert whole >= made
        made = whole
        if survived:
            break

    assert made
    assert n > 2


def test_kill_in_any_write_of_backup_leaves_a_whole_target_or_none(
    source: Callable[[], Path],
) -> None:
    made = []

    for limit in itertools.count(0, 4 * FRAME + 1373):
        path = source()
        before = image_of(path)
        survived = survives_writing(lambda: back_up(path, None), limit)  # noqa: B023
        made.append(assert_backed_up_or_not(path, before))
        if survived:
            break

    assert made[-1]
    assert not any(made[:-1])
    assert len(made) > 15


# --- mending it -----------------------------------------------------------------------

DAMAGE = (
    "UPDATE inodes SET nlink = 7 WHERE id = 2",
    "DELETE FROM inodes WHERE target = 'deep'",
    "INSERT INTO chunks (inode, idx, data) VALUES (77, 0, x'00')",
    "DELETE FROM entries WHERE parent = '/tree/' AND name = 'deep'",
    "INSERT INTO xattrs (inode, name, value) VALUES (77, 'user.x', x'00')",
)


def test_kill_at_any_statement_of_repair_is_all_or_nothing(
    baseline: Path, tmp_path: Path
) -> None:
    damaged = copy_of(baseline, tmp_path / "damaged.db")
    ground.execute(damaged, *DAMAGE)
    before, after = ground.dump_of(damaged), repaired(damaged, tmp_path)
    assert before != after

    path = copy_of(damaged, tmp_path / "stopped.db")
    seen: set[bytes] = set()

    def look() -> None:
        if image_of(path) not in seen:
            seen.add(image_of(path))
            copy = copied(path, tmp_path / "seen.db")
            assert ground.dump_of(copy) in (before, after), "half a repair"
            assert repaired(copy, tmp_path) == after

    points = stopped_at_each_statement(lambda stop: repair(path, stop), look)

    assert ground.dump_of(path) == after
    assert len(seen) > 1
    assert points > len(DAMAGE)


def test_kill_at_some_statements_of_repair_is_all_or_nothing(
    baseline: Path, tmp_path: Path
) -> None:
    damaged = copy_of(baseline, tmp_path / "damaged.db")
    ground.execute(damaged, *DAMAGE)
    before, after = ground.dump_of(damaged), repaired(damaged, tmp_path)

    for n in itertools.count(1, 23):
        path = copy_of(damaged, tmp_path / "killed.db")
        survived = survives(lambda killer: repair(path, killer), n)  # noqa: B023
        left = ground.dump_of(path)
        assert left in (before, after), f"half a repair after statement {n}"
        if survived:
            break

    assert left == after


def repair(path: Path, killer: Any) -> None:
    vfs = VirtualFileSystem(path, clock=moment)
    trace(vfs, killer)
    assert vfs.repair() != []


def repaired(path: Path, tmp_path: Path) -> ground.Dump:
    """Return what a repair makes of a copy of *path*, which it leaves in health."""
    copy = copy_of(path, tmp_path / "repaired.db")
    with VirtualFileSystem(copy, clock=moment) as vfs:
        vfs.repair()
        assert vfs.check(deep=True) == []
    return ground.dump_of(copy)
