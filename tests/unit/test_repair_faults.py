"""``repair()`` with a fault at each of its statements in turn: all of it or nothing."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import pytest
from tests.faults.test_nth_statement import FAULTS, Fault, failing
from tests.ground import dump
from tests.unit.damages import break_it, is_healthy, make_sample

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from stratavfs import VirtualFileSystem
    from stratavfs.records import Repair

pytestmark = [pytest.mark.damaged, pytest.mark.no_slow_contracts("single")]

# Of everything that repair() mends something.
DAMAGE = (
    "INSERT INTO settings VALUES ('colour', 1)",
    "UPDATE entries SET inode = 4 WHERE parent = ''",
    "INSERT INTO entries VALUES ('/', 'ghost', 8, 99), ('/nowhere/', 'f', 8, 4)",
    "INSERT INTO entries VALUES ('/s/', 'f', 8, 4), ('/', '..', 8, 4)",
    "INSERT INTO entries VALUES ('/', 'again', 4, 2)",
    "UPDATE inodes SET content = x'6162636465', size = 5 WHERE id = 4",
    "UPDATE inodes SET target = '', generation = 0 WHERE id = 5",
    "UPDATE chunks SET data = x'4142434445464748' WHERE idx = 1",
    "UPDATE inodes SET size = 9 WHERE id = 3",
    "INSERT INTO chunks VALUES (70, 0, x'61'), (2, 0, x'62')",
    "INSERT INTO xattrs VALUES (71, 'user.a', x''), (4, '', x'01')",
    "UPDATE sqlite_sequence SET seq = 1",
)


@pytest.fixture(params=["memory", "disk"])
def sample(
    request: pytest.FixtureRequest,
    make_vfs: Callable[..., VirtualFileSystem],
    tmp_path: Path,
) -> VirtualFileSystem:
    where = ":memory:" if request.param == "memory" else tmp_path / "c.db"
    vfs: VirtualFileSystem = make_sample(make_vfs, where)
    break_it(vfs, *DAMAGE)
    return vfs


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_repair_with_fault_at_any_statement_is_all_or_nothing(
    sample: VirtualFileSystem, fault: Fault
) -> None:
    before = dump(sample._store._cx)
    done: list[Repair] = []

    for n in itertools.count(1):
        caught = None
        with failing(sample, fault, n) as faulty:
            try:
                done = sample.repair()
            except OSError as error:
                caught = error
        if caught is None:
            assert faulty.left > 0  # it would have hidden behind the success
            break
        assert (caught.errno, caught.filename) == (fault.errno, sample.db_path)
        assert not sample._store._cx.in_transaction
        assert dump(sample._store._cx) == before

    assert n > 150
    assert {line.rule for line in done} == {3, 4, 5, 6, 7, 8, 10, 11, 12, 13, 14, 16}
    assert is_healthy(sample)


def test_repair_killed_by_an_interrupt_changes_nothing(
    sample: VirtualFileSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = dump(sample._store._cx)

    def interrupt(self: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("stratavfs._names.NameSteps.name_all", interrupt)
    with pytest.raises(KeyboardInterrupt):
        sample.repair()

    assert dump(sample._store._cx) == before
    monkeypatch.undo()
    assert sample.repair() != []
    assert is_healthy(sample)
