"""Imports that do without the log: whoever is killed, fails or comes between."""

from __future__ import annotations

import itertools
import os
import sqlite3
import threading
from typing import TYPE_CHECKING, Any

import pytest
from tests import ground
from tests.faults.killed import assert_sound, forks, survives_writing
from tests.faults.test_crash import copy_of, moment, survives
from tests.test_complexity import counted

from stratavfs import VirtualFileSystem, _building, _sql

if TYPE_CHECKING:
    from pathlib import Path

LARGE = _building.MUCH // 2
KEPT = b"kept" * 3000


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A directory of the host that is worth it."""
    top = tmp_path / "source"
    (top / "d").mkdir(parents=True)
    for name in ("a", "d/b", "d/c"):
        (top / name).write_bytes(name.encode() * (LARGE // len(name)))
    for each in (top, *top.rglob("*")):  # reading changes no time that is so late
        os.utime(each, ns=(2_000_000_000_000_000_000, 1_000_000_000_000_000_000))
    return top


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A container with next to nothing in it."""
    path = tmp_path / "container.db"
    with VirtualFileSystem(path, clock=moment) as vfs:
        vfs.write_bytes("/kept/inline", b"kept")
        vfs.write_bytes("/kept/chunks", KEPT)
    return path


def journal_of(vfs: VirtualFileSystem) -> Any:
    (mode,) = vfs._store._cx.execute("PRAGMA journal_mode").fetchone()
    return mode


def changes_of_journal(statements: list[str]) -> list[str]:
    return [text for text in statements if text in (_sql.USE_JOURNAL, _sql.USE_LOG)]


# --- when -----------------------------------------------------------------------------


@pytest.mark.no_slow_contracts("single")
def test_import_of_much_into_next_to_nothing_does_without_the_log(
    path: Path, source: Path
) -> None:
    with VirtualFileSystem(path) as vfs:
        with counted(vfs) as statements:
            vfs.import_tree(source)
            log = os.path.exists(f"{path}-wal")

        found = changes_of_journal(statements)
        mode, read = journal_of(vfs), vfs.read_bytes("/a")

    assert found == [_sql.USE_JOURNAL, _sql.USE_LOG]
    assert not log
    assert (mode, read) == ("wal", (source / "a").read_bytes())


def test_import_of_little_uses_the_log(path: Path, tmp_path: Path) -> None:
    little = tmp_path / "little"
    little.mkdir()
    (little / "a").write_bytes(bytes(LARGE // 2))

    with VirtualFileSystem(path) as vfs, counted(vfs) as statements:
        vfs.import_tree(little)

    assert changes_of_journal(statements) == []


def test_import_into_a_container_that_holds_something_uses_the_log(
    path: Path, source: Path
) -> None:
    with VirtualFileSystem(path) as vfs:
        vfs.write_bytes("/large", bytes(LARGE))

        with counted(vfs) as statements:
            vfs.import_tree(source)

    assert changes_of_journal(statements) == []


def test_import_within_a_batch_uses_the_log(path: Path, source: Path) -> None:
    with VirtualFileSystem(path) as vfs:
        with vfs.atomic_batch(), counted(vfs) as statements:
            vfs.import_tree(source)

        mode = journal_of(vfs)

    assert (changes_of_journal(statements), mode) == ([], "wal")


def test_import_that_is_not_atomic_uses_the_log(path: Path, source: Path) -> None:
    with VirtualFileSystem(path) as vfs, counted(vfs) as statements:
        vfs.import_tree(source, atomic=False)

    assert changes_of_journal(statements) == []


# --- others ---------------------------------------------------------------------------


def test_import_beside_another_who_has_it_open_uses_the_log(
    path: Path, source: Path
) -> None:
    with VirtualFileSystem(path) as other, VirtualFileSystem(path) as vfs:
        modes = []

        vfs.import_tree(source, progress=lambda _: modes.append(journal_of(vfs)))

        assert {*modes, journal_of(vfs)} == {"wal"}
        assert other.read_bytes("/a") == (source / "a").read_bytes()


def test_import_that_others_read_meanwhile_leaves_the_log_to_the_next(
    path: Path, source: Path
) -> None:
    with VirtualFileSystem(path, timeout=0.01) as vfs:
        store = vfs._store
        with _building.without_log(store, lambda: LARGE * 2):
            other = ground.connect(path)
            other.execute("BEGIN")
            read = other.execute("SELECT count(*) FROM inodes").fetchall()

        mode = journal_of(vfs)
        other.close()
        vfs.write_bytes("/more", b"more")

    with VirtualFileSystem(path) as vfs:
        assert (read, mode, journal_of(vfs)) == ([(4,)], "delete", "wal")
        assert vfs.read_bytes("/more") == b"more"


def test_import_waits_for_a_reader_before_it_takes_the_log_again(path: Path) -> None:
    with VirtualFileSystem(path) as vfs:
        with _building.without_log(vfs._store, lambda: LARGE * 2):
            other = sqlite3.connect(path, check_same_thread=False)
            other.execute("BEGIN")
            other.execute("SELECT count(*) FROM inodes").fetchall()
            threading.Timer(0.02, other.close).start()

        assert journal_of(vfs) == "wal"


# --- failing --------------------------------------------------------------------------


def test_import_that_fails_leaves_the_container_as_it_was_and_with_its_log(
    path: Path, source: Path
) -> None:
    os.mkfifo(source / "zz")
    before = ground.dump_of(path)

    with VirtualFileSystem(path) as vfs:
        with pytest.raises(OSError) as caught:
            vfs.import_tree(source)

        mode = journal_of(vfs)

    assert caught.value.filename == str(source / "zz")
    assert (ground.dump_of(path), mode) == (before, "wal")


def test_close_within_an_import_ends_it_as_it_was(path: Path, source: Path) -> None:
    before = ground.dump_of(path)
    vfs = VirtualFileSystem(path)

    with pytest.warns(ResourceWarning), pytest.raises(ValueError, match="closed"):
        vfs.import_tree(source, progress=lambda _: vfs.close())

    assert ground.dump_of(path) == before


# --- being killed ---------------------------------------------------------------------


def run(path: Path, source: Path, killer: Any) -> None:
    with VirtualFileSystem(path, clock=moment) as vfs:
        vfs._store._cx.set_trace_callback(killer)
        vfs.import_tree(source)


@pytest.fixture
def copies(path: Path, source: Path, tmp_path: Path) -> tuple[Path, Any, Any]:
    """A place for copies, and what the container holds before and after."""
    before = ground.dump_of(path)
    copy = copy_of(path, tmp_path / "copy.db")
    run(copy, source, None)
    return copy, before, ground.dump_of(copy)


def state_of(path: Path, before: Any, after: Any) -> str:
    """Open what is left as anybody would, and tell what it holds."""
    with VirtualFileSystem(path) as vfs:
        assert vfs.read_bytes("/kept/chunks") == KEPT
        assert journal_of(vfs) == "wal"
    left = ground.dump_of(path)
    assert left in (before, after)
    return "after" if left == after else "before"


@forks
@pytest.mark.slow
@pytest.mark.damaged
def test_kill_at_any_statement_leaves_all_or_nothing(
    path: Path, source: Path, copies: tuple[Path, Any, Any]
) -> None:
    copy, *states = copies
    found = []

    for nth in itertools.count(1):
        copy_of(path, copy)
        survived = survives(lambda killer: run(copy, source, killer), nth)
        found.append(state_of(copy, *states))
        assert_sound(copy)
        if survived:
            break

    assert found == sorted(found, reverse=True)  # before, ..., after
    assert found.count("before") > 20
    assert found[-2:] == ["after", "after"]


@forks
@pytest.mark.slow
@pytest.mark.damaged
def test_kill_in_any_write_leaves_all_or_nothing(
    path: Path, source: Path, copies: tuple[Path, Any, Any]
) -> None:
    copy, *states = copies
    found = []

    for limit in itertools.count(4096, 19 * 4096 + 1373):
        copy_of(path, copy)
        survived = survives_writing(lambda: run(copy, source, None), limit)
        found.append(state_of(copy, *states))
        assert_sound(copy)
        if survived:
            break

    assert found.count("before") == len(found) - 1 > 20
    assert found[-1] == "after"
