"""One instance, many threads, everything at once: whatever anyone sees keeps its rule.

The works are the soak's: money is moved, names are renamed, lines are appended, files
replaced, trees searched, each with a rule that holds at every moment. All threads start
together, each does a fixed number of things, and each has handles of its own.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import pytest
from tests.concurrency.test_layers import (
    eager,  # noqa: F401 - threads take turns often in here too
    threads_only,
    together,
)
from tests.soak.below import Below, Editions, Reading, Searching
from tests.soak.own import Own
from tests.soak.works import WORKS, Bank, Counter, Tokens, page

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from tests.soak.works import Work

    from stratavfs import VirtualFileSystem as Vfs


pytestmark = threads_only

THREADS = 6
ROUNDS = 40
LONG_RUN = 400
SHARED: list[type[Work]] = [*WORKS, Searching]


@pytest.fixture(params=["memory", "disk"])
def vfs(request: pytest.FixtureRequest, make_vfs: Any, tmp_path: Path) -> Any:
    where = ":memory:" if request.param == "memory" else tmp_path / "shared.db"
    made = make_vfs(where, 64, synchronous="off")
    lay_out(made)
    return made


def lay_out(vfs: Vfs) -> None:
    for work in SHARED:
        work.lay_out(vfs)


class Thread:
    """What one thread does: steps and looks of all works, as its seed decides."""

    def __init__(
        self, vfs: Vfs, kinds: Sequence[type[Work]], seed: int, rounds: int = ROUNDS
    ) -> None:
        self._vfs, self._rounds = vfs, rounds
        self._chance = random.Random(seed)
        self.works = [kind(f"w{seed}", self._chance) for kind in kinds]
        alone = len(vfs.list_layers()) == 1
        self._calls: list[Callable[[Vfs], list[str] | None]] = []
        for work in self.works:
            self._calls += [work.step, work.step, work.look]
            if work.one_statement or alone:
                self._calls.append(work.glance)
        self.found: list[str] = []

    def __call__(self) -> None:
        try:
            for _ in range(self._rounds):
                how = self._chance.choice(self._calls)
                self.found += how(self._vfs) or []
        finally:
            for work in self.works:
                work.close()

    def look(self) -> list[str]:
        """Return all that was found, and what is found now."""
        for work in self.works:
            self.found += work.look(self._vfs)
        return self.found


def stress(*threads: Thread) -> None:
    """Let all work at once; nothing is raised and nothing found."""
    raised = together(*threads)

    assert raised == []
    assert [finding for thread in threads for finding in thread.look()] == []


# --- everything -----------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_everything_at_once_keeps_every_rule(vfs: Vfs, seed: int) -> None:
    kinds = [*SHARED, Own]

    seeds = range(seed * 100, seed * 100 + THREADS)
    stress(*(Thread(vfs, kinds, seed, LONG_RUN) for seed in seeds))

    assert sorted(vfs.listdir("/counter/by")) == [f"w{seed}" for seed in seeds]
    assert vfs.check() == []


@pytest.mark.parametrize("kind", SHARED, ids=lambda kind: kind.__name__)
def test_one_work_of_all_threads_keeps_its_rule(vfs: Vfs, kind: type[Work]) -> None:
    stress(*(Thread(vfs, [kind], nth) for nth in range(THREADS)))


def test_counter_of_all_threads_loses_no_step(vfs: Vfs) -> None:
    threads = [Thread(vfs, [Counter, Bank, Tokens], nth) for nth in range(THREADS)]

    stress(*threads)

    counted = [thread.works[0] for thread in threads]
    expected = sum(work.counted for work in counted if isinstance(work, Counter))
    assert vfs.read_text("/counter/total") == str(expected)


def test_handles_of_threads_keep_their_own_place_while_others_work(vfs: Vfs) -> None:
    """Each reads and writes its part of one file by itself, and nobody else's."""
    size = 100
    vfs.write_bytes("/parts", bytes(size * THREADS))

    def write(nth: int) -> None:
        chance = random.Random(nth)
        mine = bytearray(size)
        with vfs.open("/parts", "r+b", buffering=32) as file:
            for number in range(1, ROUNDS):
                at = chance.randrange(size - 10)
                file.seek(nth * size + at)
                file.write(bytes([number]) * 10)
                mine[at : at + 10] = bytes([number]) * 10
                file.flush()
                file.seek(nth * size)
                assert file.read(size) == mine

    others = [Thread(vfs, [Bank, Tokens], nth) for nth in range(2)]
    writers = [lambda nth=nth: write(nth) for nth in range(THREADS)]
    raised = together(*writers, *others)

    assert raised == []
    assert [finding for thread in others for finding in thread.look()] == []


@pytest.mark.parametrize("buffering", [0, -1], ids=["raw", "buffered"])
def test_appended_lines_never_interleave(vfs: Vfs, buffering: int) -> None:
    """Longer than a chunk, each in one write of the raw file."""

    def append(nth: int) -> None:
        with vfs.open("/lines", "ab", buffering) as file:
            for number in range(ROUNDS):
                file.write(page(nth * 1000 + number, 30 * (number % 5)) + b"\n")
                file.flush()

    raised = together(*(lambda nth=nth: append(nth) for nth in range(THREADS)))

    expected = {
        page(nth * 1000 + number, 30 * (number % 5))
        for nth in range(THREADS)
        for number in range(ROUNDS)
    }
    assert raised == []
    assert sorted(vfs.read_bytes("/lines").splitlines()) == sorted(expected)


# --- layers ---------------------------------------------------------------------------


@pytest.fixture(params=["memory", "disk"])
def stack(request: pytest.FixtureRequest, make_vfs: Any, tmp_path: Path) -> Any:
    """A stack over a base that its owner writes, by another instance or the same."""
    below = Below(tmp_path)
    below.lay_out()
    owner = make_vfs(below.base, synchronous="off")
    owner.touch("/begun")  # who comes up in the moment of the first write is refused
    vfs = make_vfs(
        ":memory:" if request.param == "memory" else tmp_path / "shared.db",
        64,
        synchronous="off",
    )
    lay_out(vfs)
    if request.param == "memory":
        vfs.add_underlay(owner, 1, "base")
        vfs.add_underlay(below.host, name="host", at="/host")
        vfs.add_underlay(below.archive, name="archive", at="/archive")
    else:
        below.put_under(vfs)
    return vfs, owner


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_everything_on_a_stack_whose_base_is_written_keeps_every_rule(
    stack: tuple[Vfs, Vfs], seed: int
) -> None:
    vfs, owner = stack
    kinds: list[type[Work]] = [*SHARED, Reading, Own]
    seeds = range(seed * 100, seed * 100 + THREADS - 1)
    owners = [Thread(owner, [Editions], seed * 100 + 50, LONG_RUN)]

    stress(*owners, *(Thread(vfs, kinds, seed, LONG_RUN) for seed in seeds))

    assert vfs.check() == owner.check() == []


def test_reading_through_a_stack_never_sees_less_than_before(
    stack: tuple[Vfs, Vfs],
) -> None:
    vfs, owner = stack
    owners = [Thread(owner, [Editions], nth) for nth in range(2)]

    stress(*owners, *(Thread(vfs, [Reading], nth) for nth in range(3)))

    assert vfs.read_bytes("/editions/0") == owner.read_bytes("/editions/0")
