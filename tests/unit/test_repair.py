"""``repair()``: each damage mended and reported, and nothing done where there is none.

What goes to ``/lost+found``, and where there, is in ``test_repair_lost.py``.
"""

from __future__ import annotations

import errno
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.ground import dump, files_beside, run_unchecked
from tests.unit.damages import (
    NOW,
    break_it,
    contents,
    is_healthy,
    is_kept,
    make_sample,
    repairs,
)
from tests.unit.damages_inodes import INODES
from tests.unit.damages_names import NAMES

from stratavfs import CorruptDatabase, ReadOnlyError, VirtualFileSystem, _check, _rules

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.unit.damages import Damage

pytestmark = pytest.mark.damaged

MISCOUNT = "UPDATE inodes SET nlink = 2 WHERE id = 4"
COUNTED = ["8: inode 4: its names were counted: 1"]


@pytest.fixture
def sample(make_vfs: Callable[..., VirtualFileSystem]) -> VirtualFileSystem:
    vfs: VirtualFileSystem = make_sample(make_vfs)
    return vfs


@pytest.mark.parametrize("damage", [*NAMES, *INODES], ids=lambda damage: damage.name)
def test_repair_of_damage_mends_and_reports_it(
    sample: VirtualFileSystem, damage: Damage
) -> None:
    break_it(sample, *damage.statements)
    before = contents(sample)

    assert repairs(sample) == damage.repaired

    assert is_healthy(sample)
    after = contents(sample)
    # In the root's own entry a file has another name by which it is kept.
    kept = {path: data for path, data in before.items() if path != "/"}
    assert all(is_kept(path, data, after) for path, data in kept.items())


def test_repair_line_reads_as_a_sentence(sample: VirtualFileSystem) -> None:
    break_it(sample, MISCOUNT)

    (line,) = sample.repair()

    assert line == (8, "inode 4", "its names were counted: 1")
    assert str(line) == "MUST 8: inode 4: its names were counted: 1"


# --- where nothing is broken ----------------------------------------------------------


def test_repair_of_healthy_container_writes_not_a_byte(
    make_vfs: Callable[..., VirtualFileSystem], tmp_path: Path
) -> None:
    path = tmp_path / "c.db"
    vfs = make_sample(make_vfs, path)
    vfs.link("/s", "/d/s")
    vfs.truncate("/d/f", 1000)
    run_unchecked(vfs._store._cx, "INSERT INTO entries VALUES ('/d/', 'w', 14, NULL)")
    orphan = vfs.open("/d/f", "rb")
    vfs.remove("/d/f")
    before, changes = files_beside(path), vfs._store.changes

    assert vfs.repair() == []

    after = files_beside(path)
    changed = {name for name in after if after[name] != before[name]}
    assert changed <= {f"{path}-shm"}  # where readers say how far they are
    assert vfs._store.changes == changes
    assert len(orphan.read()) == 1000
    orphan.close()


def test_repair_of_healthy_container_on_full_disk_is_empty(
    sample: VirtualFileSystem,
) -> None:
    (pages,) = sample._store.row("PRAGMA page_count")
    sample._store.row(f"PRAGMA max_page_count = {pages}")

    assert sample.repair() == []


# --- all or nothing -------------------------------------------------------------------


def test_repair_twice_does_nothing_more(sample: VirtualFileSystem) -> None:
    break_it(sample, MISCOUNT, "INSERT INTO chunks VALUES (99, 0, x'61')")
    sample.repair()
    before = dump(sample._store._cx)

    assert sample.repair() == []

    assert dump(sample._store._cx) == before


def test_repair_on_full_disk_raises_and_changes_nothing(
    sample: VirtualFileSystem,
) -> None:
    break_it(
        sample,
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 1000) "
        "INSERT INTO chunks SELECT 1000 + i, 0, x'61' FROM n",
    )
    before = dump(sample._store._cx)
    (pages,) = sample._store.row("PRAGMA page_count")
    sample._store.row(f"PRAGMA max_page_count = {pages}")

    with pytest.raises(OSError) as caught:
        sample.repair()

    assert caught.value.errno == errno.ENOSPC
    assert caught.value.filename == sample.db_path
    assert dump(sample._store._cx) == before
    sample._store.row("PRAGMA max_page_count = 1000000")
    assert len(sample.repair()) == 2000  # each is made, and named
    assert is_healthy(sample)


def test_repair_that_fails_in_the_end_changes_nothing(
    sample: VirtualFileSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    break_it(sample, MISCOUNT)
    before = dump(sample._store._cx)
    monkeypatch.setattr("stratavfs._names.NameSteps.count_names", lambda self: None)
    monkeypatch.setattr("stratavfs._names.NameSteps.name_all", lambda self: None)

    with pytest.raises(CorruptDatabase) as caught:
        sample.repair()

    assert caught.value.filename == ":memory:"
    assert "MUST 8: inode 4: its count of names" in str(caught.value)
    assert dump(sample._store._cx) == before


def test_repair_inside_batch_is_taken_back_with_it(sample: VirtualFileSystem) -> None:
    break_it(sample, MISCOUNT)
    before = dump(sample._store._cx)

    with sample.atomic_batch() as batch:
        assert repairs(sample) == COUNTED
        assert sample.check(deep=True) == []
        batch.rollback()

    assert dump(sample._store._cx) == before
    assert repairs(sample) == COUNTED


# --- who may --------------------------------------------------------------------------


def test_repair_of_read_only_instance_raises_and_changes_nothing(
    make_vfs: Callable[..., VirtualFileSystem], tmp_path: Path
) -> None:
    path = tmp_path / "c.db"
    vfs = make_sample(make_vfs, path)
    break_it(vfs, MISCOUNT)
    vfs.close()
    before = path.read_bytes()

    with make_vfs(path, read_only=True) as reading, pytest.raises(ReadOnlyError):
        reading.repair()

    assert path.read_bytes() == before


def test_repair_of_closed_instance_raises_value_error(
    sample: VirtualFileSystem,
) -> None:
    sample.close()

    with pytest.raises(ValueError, match="closed"):
        sample.repair()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE settings SET value = 0",
        "DELETE FROM settings",
        "CREATE TABLE another (a)",
        "DROP INDEX orphans",
    ],
)
def test_repair_is_not_for_what_is_refused_at_opening(
    make_vfs: Callable[..., VirtualFileSystem], tmp_path: Path, statement: str
) -> None:
    path = tmp_path / "c.db"
    make_sample(make_vfs, path).close()
    cx = sqlite3.connect(path, isolation_level=None)
    cx.execute(statement)
    cx.close()

    with pytest.raises(CorruptDatabase):
        make_vfs(path)


# --- beside others --------------------------------------------------------------------


def test_repair_mends_the_local_layer_alone(
    make_vfs: Callable[..., VirtualFileSystem], sample: VirtualFileSystem
) -> None:
    base = make_sample(make_vfs)
    base.write_bytes("/base", b"base")
    sample.add_underlay(base)
    sample.remove("/base")
    for vfs in (base, sample):
        break_it(vfs, MISCOUNT)

    assert repairs(sample) == COUNTED

    assert not sample.exists("/base")
    assert [finding.rule for finding in base.check()] == [8]


def test_repair_is_seen_by_who_remembers_what_is_hidden(
    make_vfs: Callable[..., VirtualFileSystem],
) -> None:
    base, vfs = make_vfs(), make_vfs()
    base.write_bytes("/d/below", b"shines through")
    vfs.write_bytes("/d/f", b"x")
    vfs.add_underlay(base)
    break_it(vfs, "UPDATE inodes SET mode = 33188 WHERE id = 2")
    break_it(vfs, "UPDATE entries SET kind = 8 WHERE name = 'd'")
    assert not vfs.exists("/d/below")
    break_it(vfs, "DELETE FROM entries WHERE name = 'd'")

    vfs.repair()

    assert vfs.read_bytes("/d/below") == b"shines through"
    assert vfs.listdir("/d") == ["below", "f"]


def test_repair_leaves_open_handles_on_their_files(sample: VirtualFileSystem) -> None:
    with (
        sample.open("/d/f", "r+b", buffering=0) as raw,
        sample.open("/s", "rb") as file,
    ):
        break_it(
            sample,
            "UPDATE entries SET name = '..' WHERE name = 'f'",
            "UPDATE inodes SET size = 5 WHERE id = 3",
            "DELETE FROM entries WHERE name = 's'",
        )
        sample.repair()

        assert raw.read() == b"abcde"
        assert raw.write(b"XYZ") == 3
        assert file.read() == b"abc"

    assert sample.read_bytes("/lost+found/inode-3") == b"abcdeXYZ"
    assert sample.read_bytes("/lost+found/inode-4") == b"abc"


def test_repair_is_seen_by_another_instance(
    make_vfs: Callable[..., VirtualFileSystem], tmp_path: Path
) -> None:
    path = tmp_path / "c.db"
    vfs = make_sample(make_vfs, path)
    other = make_vfs(path)
    break_it(vfs, MISCOUNT)
    assert len(other.check()) == 1

    vfs.repair()

    assert other.check(deep=True) == []


# --- how much of it -------------------------------------------------------------------


def test_repair_of_many_damages_names_some_and_counts_the_others(
    sample: VirtualFileSystem,
) -> None:
    break_it(
        sample,
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 3456) "
        "INSERT INTO entries SELECT '/', 'ghost' || i, 8, 99 FROM n",
    )

    lines = repairs(sample)

    assert len(lines) == 1001
    assert lines[0] == "5: /ghost1: removed: nothing is behind it"
    assert lines[-1] == "5: 2,456 more: mended in the same ways"
    assert is_healthy(sample)


@pytest.mark.parametrize("many", [1, 2, 3, 100])
def test_repair_counts_names_by_ranges_of_inodes(
    sample: VirtualFileSystem, monkeypatch: pytest.MonkeyPatch, many: int
) -> None:
    sample.makedirs("/a/b")
    break_it(
        sample,
        "UPDATE inodes SET nlink = 7 WHERE id IN (1, 4)",
        "DELETE FROM entries WHERE name = 'l'",
        "INSERT INTO entries VALUES ('/a/', 'd', 4, 2), ('/a/b/', 'd', 4, 2)",
    )
    monkeypatch.setattr(_check, "RANGE", many)

    assert repairs(sample) == [
        "8: inode 1: its names were counted: 1",
        "8: inode 4: its names were counted: 1",
        "8: /a/d: given an inode of its own",
        "8: /a/b/d: given an inode of its own",
        "8: inode 5: named /lost+found/inode-5",
    ]
    assert is_healthy(sample)
    assert sample.stat("/a/b/d").st_birthtime_ns == NOW


def test_repair_of_many_directories_that_are_missing_makes_all(
    sample: VirtualFileSystem,
) -> None:
    paths = [f"/m/{number:03}/x" for number in range(250)]
    with sample.atomic_batch():
        for path in paths:
            sample.write_bytes(f"{path}/f", path.encode())
    break_it(sample, "DELETE FROM entries WHERE kind = 4 AND parent >= '/m'")

    sample.repair()

    assert is_healthy(sample)
    assert all(sample.read_bytes(f"{path}/f") == path.encode() for path in paths)


# --- the statements -------------------------------------------------------------------


def test_statements_of_repair_are_used_by_somebody() -> None:
    package = Path(_rules.__file__).parent
    texts = [path.read_text("utf-8") for path in package.glob("*.py")]
    names = [name for name in vars(_rules) if name.isupper() and name[0] != "_"]

    unused = [
        name
        for name in names
        if not any(f"_rules.{name}" in text for text in texts)
        and not any(f"{{{name}" in text for text in texts)  # in another statement
    ]

    assert len(names) > 70
    assert unused == []
