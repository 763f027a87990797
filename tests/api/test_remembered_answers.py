"""What is remembered of a container that only we can change is never out of date."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
from tests.faults.test_nth_statement import FAULTS, failing

from stratavfs import VirtualFileSystem, _cached_tree, _sql
from stratavfs.errors import BatchLost

if TYPE_CHECKING:
    from pathlib import Path


def looks(vfs: VirtualFileSystem) -> list[object]:
    """Ask everything that may be answered from memory."""
    found: list[object] = [vfs.listdir("/d"), [*vfs.walk("/")], vfs.exists("/d/new")]
    for path in ("/d", "/d/a", "/d/sub"):
        found += [vfs.exists(path), vfs.isdir(path)]
        found += [vfs.stat(path) if vfs.exists(path) else None]
    return found


@pytest.fixture
def mem(make_vfs: Any) -> VirtualFileSystem:
    vfs: VirtualFileSystem = make_vfs()
    vfs.write_bytes("/d/a", b"content")
    vfs.mkdir("/d/sub")
    return vfs


ASKED: dict[str, Any] = {
    "stat": lambda vfs: vfs.stat("/d/a"),
    "getsize": lambda vfs: vfs.getsize("/d/a"),
    "exists": lambda vfs: vfs.exists("/d/a"),
    "isdir": lambda vfs: vfs.isdir("/d/sub"),
    "exists of nothing": lambda vfs: vfs.exists("/d/nothing"),
    "listdir": lambda vfs: vfs.listdir("/d"),
    "walk": lambda vfs: [*vfs.walk("/d")],
}


@pytest.mark.no_slow_contracts("single")
@pytest.mark.parametrize("name", ASKED)
def test_ask_again_takes_no_statement(mem: VirtualFileSystem, name: str) -> None:
    first = ASKED[name](mem)
    statements: list[str] = []
    mem._store._cx.set_trace_callback(statements.append)

    again = ASKED[name](mem)

    assert again == first
    assert statements == []


@pytest.mark.no_slow_contracts("single")
@pytest.mark.parametrize("name", [*ASKED])
def test_ask_again_of_file_that_others_may_change_asks(
    make_vfs: Any, tmp_path: Path, name: str
) -> None:
    vfs = make_vfs(tmp_path / "a.db")
    vfs.write_bytes("/d/a", b"content")
    vfs.mkdir("/d/sub")
    first = ASKED[name](vfs)
    statements: list[str] = []
    vfs._store._cx.set_trace_callback(statements.append)

    again = ASKED[name](vfs)

    assert again == first
    assert statements


@pytest.mark.no_slow_contracts("single")
def test_open_and_read_of_small_file_is_one_statement(mem: VirtualFileSystem) -> None:
    statements: list[str] = []
    mem._store._cx.set_trace_callback(statements.append)

    with mem.open("/d/a", "rb") as file:
        assert file.read() == b"content"

    assert len(statements) == 1


def append(vfs: VirtualFileSystem) -> None:
    with vfs.open("/d/a", "ab", 0) as raw:
        raw.write(b"!")


CHANGES: dict[str, Any] = {
    "write": lambda vfs: vfs.write_bytes("/d/a", b"longer content"),
    "write a new one": lambda vfs: vfs.write_bytes("/d/new", b""),
    "write by handle": append,
    "truncate": lambda vfs: vfs.truncate("/d/a", 1),
    "remove": lambda vfs: vfs.remove("/d/a"),
    "rename": lambda vfs: vfs.rename("/d/a", "/d/new"),
    "rename the directory": lambda vfs: vfs.rename("/d", "/e"),
    "rmdir": lambda vfs: vfs.rmdir("/d/sub"),
    "rmtree": lambda vfs: vfs.rmtree("/d"),
    "chmod": lambda vfs: vfs.chmod("/d/a", 0o600),
    "utime": lambda vfs: vfs.utime("/d/a", (1, 2)),
    "symlink": lambda vfs: vfs.symlink("a", "/d/new"),
    "link": lambda vfs: vfs.link("/d/a", "/d/new"),
    "setxattr": lambda vfs: vfs.setxattr("/d/a", "user.a", b""),
    "mkdir": lambda vfs: vfs.mkdir("/d/new"),
}


def afresh(vfs: VirtualFileSystem) -> list[object]:
    """Ask with nothing remembered."""
    vfs._store.changed()
    return seen(vfs)


def seen(vfs: VirtualFileSystem) -> list[object]:
    return looks(vfs) if vfs.exists("/d") else [vfs.listdir("/"), [*vfs.walk("/")]]


@pytest.mark.parametrize("name", CHANGES)
def test_change_is_seen_at_once(mem: VirtualFileSystem, name: str) -> None:
    before = seen(mem)

    CHANGES[name](mem)

    assert seen(mem) == afresh(mem) != before


@pytest.mark.parametrize("name", CHANGES)
def test_change_within_batch_is_seen_in_it_and_not_after_it_failed(
    mem: VirtualFileSystem, name: str
) -> None:
    before = seen(mem)

    batch = mem.atomic_batch()
    batch.__enter__()
    CHANGES[name](mem)
    assert seen(mem) != before

    batch.__exit__(KeyError, KeyError(), None)

    assert seen(mem) == before == afresh(mem)


@pytest.mark.parametrize("name", CHANGES)
def test_reset_of_savepoint_forgets(mem: VirtualFileSystem, name: str) -> None:
    before = seen(mem)
    mark = mem.savepoint()
    CHANGES[name](mem)
    assert seen(mem) != before

    mark.reset()

    assert seen(mem) == before == afresh(mem)
    mark.release()


@pytest.mark.no_slow_contracts("single")
def test_transaction_that_sqlite_ends_itself_forgets(mem: VirtualFileSystem) -> None:
    before = seen(mem)
    batch = mem.atomic_batch()
    batch.__enter__()
    mem.write_bytes("/d/a", b"changed")
    assert seen(mem) != before

    with failing(mem, FAULTS["disk full, rolled back"], 1), pytest.raises(OSError):
        mem.write_bytes("/d/a", b"once more")

    assert seen(mem) == before
    with pytest.raises(BatchLost):
        batch.__exit__(None, None, None)
    assert seen(mem) == before


def test_change_by_another_statement_of_the_connection_is_seen(
    mem: VirtualFileSystem,
) -> None:
    assert mem.stat("/d/a").st_mode == 0o100644

    mem._store._cx.execute("UPDATE inodes SET mode = 33152 WHERE mode = 33188")

    assert mem.stat("/d/a").st_mode == 0o100600


def test_list_that_was_given_may_be_changed_by_who_has_it(
    mem: VirtualFileSystem,
) -> None:
    mem.listdir("/d").append("not there")

    assert mem.listdir("/d") == ["a", "sub"]


@pytest.mark.parametrize("limit", [0, 1, 3])
def test_more_answers_than_are_kept_are_right(
    make_vfs: Any, monkeypatch: pytest.MonkeyPatch, limit: int
) -> None:
    monkeypatch.setattr(_cached_tree, "ANSWERS_LIMIT", limit)
    vfs = make_vfs()
    for nth in range(6):
        vfs.write_bytes(f"/d{nth}/f", bytes(nth))

    for _ in range(2):
        assert [vfs.getsize(f"/d{nth}/f") for nth in range(6)] == [*range(6)]
        assert all(vfs.isfile(f"/d{nth}/f") for nth in range(6))
        assert [vfs.listdir(f"/d{nth}") for nth in range(6)] == [["f"]] * 6


def test_bytes_that_came_with_the_handle_give_way_to_what_is_written(
    mem: VirtualFileSystem,
) -> None:
    with mem.open("/d/a", "rb", 0) as early, mem.open("/d/a", "rb", 0) as late:
        assert early.read(3) == b"con"

        mem.write_bytes("/d/a", b"CONTENTS")

        assert early.read() == b"TENTS"
        assert late.read() == b"CONTENTS"
        assert late.seek(0, 2) == 8


def test_bytes_that_came_with_the_handle_are_read_in_pieces_to_their_end(
    mem: VirtualFileSystem,
) -> None:
    with mem.open("/d/a", "rb", 0) as raw:
        buffer = bytearray(4)

        counts = [raw.readinto(buffer) for _ in range(3)]

        assert counts == [4, 3, 0]
        assert raw.seek(0, 2) == 7
        assert raw.seek(100) == 100
        assert raw.read(1) == b""


def test_handle_on_immutable_container_reads_by_one_statement(
    make_vfs: Any, tmp_path: Path
) -> None:
    with make_vfs(tmp_path / "a.db") as vfs:
        vfs.write_bytes("/a", b"x" * 100)
    shipped = make_vfs(tmp_path / "a.db", immutable=True)
    below = make_vfs()
    below.add_underlay(shipped)

    for opened in (shipped, below):
        statements: list[str] = []
        shipped._store._cx.set_trace_callback(statements.append)
        with opened.open("/a", "rb") as file:
            assert file.read() == b"x" * 100
        assert [text for text in statements if "content" in text] == statements[-1:]


def test_statement_that_finds_a_file_looks_up_keys_alone() -> None:
    with closing(sqlite3.connect(":memory:")) as cx:
        for text in _sql.SCHEMA:
            cx.execute(text)
        found = cx.execute(f"EXPLAIN QUERY PLAN {_sql.FIND_FILE}", "ab").fetchall()

    plan = [row[3].partition(" USING ")[0] for row in found]
    assert plan == ["SEARCH e", "SEARCH i", "CORRELATED SCALAR SUBQUERY 1", "SEARCH c"]
