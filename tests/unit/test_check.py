"""``check()``: every rule of the format is broken, and found by its number.

What a value of another type does is in ``test_check_types.py``, what SQLite itself
cannot read in ``test_check_deep.py``.
"""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

import pytest
from tests.ground import files_beside
from tests.unit.damages import break_it, findings, make_sample
from tests.unit.damages_inodes import INODES
from tests.unit.damages_names import NAMES

from stratavfs import CorruptDatabase, _check, _rules, records

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.unit.damages import Damage

    from stratavfs import VirtualFileSystem

pytestmark = pytest.mark.damaged

MISCOUNTED = "its count of names is not the number of its entries"
OTHER_TYPE = 2


@pytest.fixture
def sample(make_vfs: Callable[..., VirtualFileSystem]) -> VirtualFileSystem:
    vfs: VirtualFileSystem = make_sample(make_vfs)
    return vfs


def test_check_of_healthy_container_is_empty(sample: VirtualFileSystem) -> None:
    assert sample.check() == sample.check(deep=True) == []


def test_check_of_everything_legal_is_empty(sample: VirtualFileSystem) -> None:
    sample.link("/s", "/d/s")
    sample.truncate("/d/f", 1000)  # a hole at its end, and one in its middle
    sample.write_bytes("/sparse", b"")
    with sample.open("/sparse", "r+b") as file:
        file.seek(77)
        file.write(b"x")
    orphan = sample.open("/s", "rb")
    sample.remove("/s")
    sample.remove("/d/s")
    break_it(
        sample,
        "INSERT INTO entries VALUES ('/d/', 'gone', 14, NULL)",
        "UPDATE inodes SET opaque = 1 WHERE id = 2",
    )

    assert sample.check(deep=True) == []
    orphan.close()


@pytest.mark.parametrize("damage", [*NAMES, *INODES], ids=lambda damage: damage.name)
def test_check_of_damage_names_rule_and_subject(
    sample: VirtualFileSystem, damage: Damage
) -> None:
    break_it(sample, *damage.statements)

    assert findings(sample) == damage.found


def test_check_damages_break_every_rule_in_every_way(
    make_vfs: Callable[..., VirtualFileSystem],
) -> None:
    broken = set()
    for damage in (*NAMES, *INODES):
        vfs = make_sample(make_vfs)
        break_it(vfs, *damage.statements)
        broken |= {(finding.rule, finding.message) for finding in vfs.check()}

    rules = (
        *_rules.RULES,
        *_rules.ABSENCE_RULES,
        *_rules.TEXT_RULES,
        *_rules.RANGE_RULES,
    )
    ways = {(rule.number, rule.message) for rule in rules}
    assert {way for way in ways - broken if way[0] != OTHER_TYPE} == set()
    assert broken <= ways


def test_check_of_path_of_4096_bytes_is_found(sample: VirtualFileSystem) -> None:
    deep = "/" + "/".join(["n" * 255] * 15)
    sample.write_bytes(f"{deep}/{'f' * 254}", b"")  # 4095 bytes
    longer = "f" * 255

    break_it(sample, f"UPDATE entries SET name = '{longer}' WHERE name LIKE 'ff%'")

    assert findings(sample) == [(7, f"{deep}/{longer}")]


def test_check_of_several_damages_names_all(sample: VirtualFileSystem) -> None:
    break_it(
        sample,
        "UPDATE inodes SET nlink = 2 WHERE id = 4",
        "INSERT INTO chunks VALUES (99, 0, x'61')",
        "INSERT INTO chunks VALUES (99, 1, x'61')",
    )

    assert findings(sample) == [
        (8, "inode 4"),
        (13, "chunk 0 of inode 99"),
        (13, "chunk 1 of inode 99"),
    ]


def test_check_changes_nothing(
    make_vfs: Callable[..., VirtualFileSystem], tmp_path: Path
) -> None:
    path = tmp_path / "c.db"
    sample = make_sample(make_vfs, path)
    break_it(sample, "UPDATE inodes SET nlink = 2 WHERE id = 4")
    before = files_beside(path)

    assert sample.check(deep=True) != []

    after = files_beside(path)
    assert len(after) == len(before) == 3
    changed = {name for name in after if after[name] != before[name]}
    assert changed <= {f"{path}-shm"}  # where readers say how far they are


def test_check_inside_batch_sees_the_batch(sample: VirtualFileSystem) -> None:
    with sample.atomic_batch():
        break_it(sample, "UPDATE inodes SET nlink = 2 WHERE id = 4")

        found = findings(sample)

    assert found == [(8, "inode 4")]


def test_check_inside_batch_of_many_files_finds_nothing(
    make_vfs: Callable[..., VirtualFileSystem], tmp_path: Path
) -> None:
    sample = make_sample(make_vfs, tmp_path / "c.db")
    with sample.atomic_batch():
        for number in range(2000):  # all in SQLite's cache, nothing in the file
            sample.touch(f"/many/{number}")

        assert sample.check(deep=True) == []


def test_check_of_closed_container_raises_value_error(
    sample: VirtualFileSystem,
) -> None:
    sample.close()

    with pytest.raises(ValueError, match="closed"):
        sample.check()


def test_finding_reads_as_a_sentence(sample: VirtualFileSystem) -> None:
    break_it(sample, "UPDATE inodes SET nlink = 2 WHERE id = 4")

    (finding,) = sample.check()

    assert str(finding) == f"MUST 8: inode 4: {MISCOUNTED}"


# --- how much of it -------------------------------------------------------------------


def test_check_of_many_damages_names_some_and_counts_the_others(
    sample: VirtualFileSystem,
) -> None:
    break_it(
        sample,
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 3456) "
        "INSERT INTO entries SELECT '/', 'ghost' || i, 8, 99 FROM n",
    )

    found = sample.check()

    assert len(found) == 1001
    assert len({finding.subject for finding in found}) == 1001
    assert str(found[-1]) == "MUST 5: 2,456 more: its inode does not exist"


def test_check_of_name_of_a_megabyte_shows_the_start_of_it(
    sample: VirtualFileSystem,
) -> None:
    break_it(
        sample,
        "UPDATE entries SET name = printf('%.*c', 1 << 20, 'x') WHERE name = 's'",
    )

    ((rule, subject),) = findings(sample)

    assert (rule, len(subject)) == (7, 4203)
    assert subject.startswith("/xxx")
    assert subject.endswith("xxx...")


def test_check_of_key_of_a_megabyte_ends(sample: VirtualFileSystem) -> None:
    # Cutting it in two would take as many steps as it has pairs of characters.
    break_it(
        sample,
        "UPDATE entries SET parent = '/' || printf('%.*c', 1 << 19, 'x') || "
        "printf('%.*c', 1 << 19, 'y') || '/' WHERE name = 'f'",
    )

    assert [rule for rule, _ in findings(sample)] == [7]


@pytest.mark.parametrize("many", [1, 2, 3, 100])
def test_check_counts_names_by_ranges_of_inodes(
    sample: VirtualFileSystem, monkeypatch: pytest.MonkeyPatch, many: int
) -> None:
    monkeypatch.setattr(_check, "RANGE", many)
    break_it(
        sample,
        "UPDATE inodes SET nlink = 7 WHERE id IN (1, 4, 5)",
        "UPDATE inodes SET id = 1 << 61 WHERE id = 5",
        "UPDATE entries SET inode = 1 << 61 WHERE inode = 5",
    )

    counted = [finding for finding in sample.check() if finding.message == MISCOUNTED]

    assert [f.subject for f in counted] == ["inode 1", "inode 4", f"inode {1 << 61}"]


def test_check_of_no_inodes_finds_what_is_left(sample: VirtualFileSystem) -> None:
    break_it(sample, "DELETE FROM inodes", "DELETE FROM chunks", "DELETE FROM xattrs")

    found = findings(sample)

    assert found == [(4, "/"), (5, "/"), (5, "/d"), (5, "/d/f"), (5, "/l"), (5, "/s")]


def test_check_of_empty_tables_misses_root_and_settings(
    sample: VirtualFileSystem,
) -> None:
    for table in ("settings", "inodes", "entries", "chunks", "xattrs"):
        break_it(sample, f"DELETE FROM {table}")

    assert findings(sample) == [
        (3, "setting chunk_size"),
        (3, "setting inline_limit"),
        (4, "/"),
    ]


def test_check_of_value_larger_than_any_is_corrupt(sample: VirtualFileSystem) -> None:
    break_it(
        sample,
        "UPDATE entries SET name = printf('%.*c', 1 << 17, 'x') WHERE name = 's'",
    )
    sample._store._cx.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, 1 << 16)

    for deep in (False, True):
        with pytest.raises(CorruptDatabase) as caught:
            sample.check(deep=deep)

        assert caught.value.filename == ":memory:"
        assert isinstance(caught.value.__cause__, OSError)


def test_rules_know_the_limits_of_the_records() -> None:
    assert _rules.CHUNK_LIMIT == records.CHUNK_LIMIT
