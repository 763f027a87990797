"""Connecting: nothing of a stranger's runs, and it is looked at before it is used."""

from __future__ import annotations

import errno
import os
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
from tests import ground

from stratavfs import (
    CorruptDatabase,
    ForeignDatabase,
    SchemaTooNew,
    VirtualFileSystem,
    _defence,
    _sql,
)
from stratavfs._connection import Connecting
from stratavfs._options import MEMORY, Options
from stratavfs.records import CHUNK_LIMIT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

Opened = list[sqlite3.Connection]


def options(**given: Any) -> Options:
    usual = Options(64, False, False, 0.0, "normal", lambda: 5)
    return usual._replace(**given)


@pytest.fixture
def location(tmp_path: Path) -> str:
    return str(tmp_path / "c.db")


@pytest.fixture
def container(location: str) -> str:
    """A container with a file in it."""
    with VirtualFileSystem(location, 64) as vfs:
        vfs.write_bytes("/f", b"x" * 500)
    return location


@pytest.fixture
def opened() -> Iterator[Opened]:
    """Connections that are closed after the test."""
    found: Opened = []
    yield found
    for connection in found:
        connection.close()


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> Opened:
    """Every connection that is made, to see whether it was closed."""
    found: Opened = []
    connect = sqlite3.connect

    def remember(*args: Any, **given: Any) -> sqlite3.Connection:
        found.append(connect(*args, **given))
        return found[-1]

    monkeypatch.setattr(sqlite3, "connect", remember)
    return found


def is_closed(connection: sqlite3.Connection) -> bool:
    try:
        connection.execute("SELECT 1")
    except sqlite3.ProgrammingError:
        return True
    return False


def ask(connection: sqlite3.Connection, sql: str) -> Any:
    return connection.execute(sql).fetchone()[0]


# --- how a connection is set up -------------------------------------------------------

SET_UP = {
    "trusted_schema": 0,
    "foreign_keys": 0,
    "temp_store": 2,
    "cell_size_check": 1,
    "mmap_size": 0,
}
MAPPED = 2**31 - 65536  # bytes: the largest that SQLite allows
WAYS: dict[str, dict[str, bool]] = {
    "memory": {},
    "writable": {},
    "read-only": {"read_only": True},
    "immutable": {"read_only": True, "immutable": True},
}


def connecting(way: str, container: str, **given: Any) -> Connecting:
    where = MEMORY if way == "memory" else container
    return Connecting(where, options(**WAYS[way], **given))


@pytest.mark.parametrize("way", WAYS)
def test_open_sets_every_connection_up_so_that_nothing_runs(
    container: str, opened: Opened, way: str
) -> None:
    opened.append(connecting(way, container).open())

    mapped = {"mmap_size": MAPPED} if way == "immutable" else {}
    for pragma, value in {**SET_UP, **mapped}.items():
        found = opened[0].execute(f"PRAGMA {pragma}").fetchone()
        assert found is None or found == (value,), pragma  # no mmap in memory
    limit = opened[0].getlimit
    assert limit(sqlite3.SQLITE_LIMIT_ATTACHED) == 1
    assert CHUNK_LIMIT < limit(sqlite3.SQLITE_LIMIT_LENGTH) <= 2 * CHUNK_LIMIT
    assert opened[0].isolation_level is None


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.skipif(
    not hasattr(sqlite3.Connection, "getconfig"), reason="Python 3.12 offers it"
)
def test_open_switches_off_what_a_schema_could_run(
    container: str, opened: Opened, way: str
) -> None:
    cx: Any = connecting(way, container).open()
    opened.append(cx)

    def is_on(switch: str) -> bool:
        return bool(cx.getconfig(getattr(sqlite3, f"SQLITE_DBCONFIG_{switch}")))

    assert is_on("DEFENSIVE")
    for switch in ("ENABLE_TRIGGER", "ENABLE_VIEW", "ENABLE_LOAD_EXTENSION"):
        assert not is_on(switch)


def test_defend_without_switches_sets_the_limits(opened: Opened) -> None:
    plain: Any = type("Plain", (sqlite3.Connection,), {"setconfig": None})  # as in 3.11

    opened.append(sqlite3.connect(MEMORY, factory=plain))

    _defence.defend(opened[0])

    assert opened[0].getlimit(sqlite3.SQLITE_LIMIT_ATTACHED) == 1


def test_value_of_more_than_the_largest_chunk_is_refused(opened: Opened) -> None:
    opened.append(Connecting(MEMORY, options()).open())

    with pytest.raises((sqlite3.DataError, sqlite3.OperationalError), match="big"):
        opened[0].execute(f"SELECT length(zeroblob({CHUNK_LIMIT + (1 << 22)}))")


@pytest.mark.parametrize(
    ("synchronous", "number"), [("off", 0), ("normal", 1), ("full", 2)]
)
def test_open_for_writing_is_as_the_options_have_it(
    location: str, opened: Opened, synchronous: str, number: int
) -> None:
    opened.append(Connecting(location, options(synchronous=synchronous)).open())

    assert ask(opened[0], "PRAGMA synchronous") == number
    assert ask(opened[0], "PRAGMA journal_mode") == "wal"
    assert ask(opened[0], "SELECT value FROM settings WHERE key = 'chunk_size'") == 64


@pytest.mark.parametrize("way", ["read-only", "immutable"])
def test_open_for_reading_cannot_write(
    container: str, opened: Opened, way: str
) -> None:
    opened.append(connecting(way, container).open())

    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        opened[0].execute("DELETE FROM entries")


def test_connect_to_what_cannot_be_opened_names_it(tmp_path: Path) -> None:
    where = str(tmp_path / "missing" / "c.db")

    with pytest.raises(OSError) as caught:
        Connecting(where, options()).connect(f"file:{where}?mode=rwc")

    assert (caught.value.errno, caught.value.filename) == (errno.EACCES, where)
    assert isinstance(caught.value.__cause__, sqlite3.Error)


def test_connection_that_cannot_be_set_up_is_closed(
    watched: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_sql, "PRAGMAS", ("no statement",))

    with pytest.raises(OSError) as caught:
        Connecting(MEMORY, options()).open()

    assert caught.value.filename == MEMORY
    assert [is_closed(cx) for cx in watched] == [True]


# --- looking before anything is changed -----------------------------------------------


def test_refuse_foreign_of_nothing_and_of_an_empty_file_lets_pass(
    location: str, watched: Opened
) -> None:
    Connecting(location, options()).refuse_foreign()
    open(location, "wb").close()
    Connecting(location, options()).refuse_foreign()

    assert watched == []  # nothing was opened for that
    assert os.path.getsize(location) == 0


def spoil(container: str, how: str) -> None:
    if how == "foreign":
        os.unlink(container)
        ground.make_foreign(container)
    elif how == "too new":
        ground.execute(container, "PRAGMA user_version = 2")
    else:
        with open(container, "r+b") as file:
            file.truncate(5000)


@pytest.mark.parametrize(
    ("how", "kind"),
    [("foreign", ForeignDatabase), ("too new", SchemaTooNew), ("cut", CorruptDatabase)],
)
@pytest.mark.parametrize("way", ["writable", "read-only", "immutable"])
def test_open_of_what_is_not_in_order_changes_nothing_and_closes(
    container: str, watched: Opened, way: str, how: str, kind: type[OSError]
) -> None:
    spoil(container, how)
    before = ground.files_beside(container)
    watched.clear()

    with pytest.raises(kind) as caught:
        connecting(way, container).open()

    assert caught.value.filename == container
    assert watched
    assert all(is_closed(cx) for cx in watched)
    assert ground.files_beside(container) == before


def test_open_beside_the_journal_of_a_new_file_looks_no_further(
    location: str, opened: Opened
) -> None:
    """Somebody is just making it: SQLite rolls back what a killed one has left."""
    with open(location, "wb") as file:
        file.write(b"\0" * 4096)
    journal = bytes.fromhex("d9d505f920a163d7") + bytes(12) + bytes(500)
    with open(location + "-journal", "wb") as file:
        file.write(journal)

    Connecting(location, options()).refuse_foreign()

    os.unlink(location + "-journal")
    with pytest.raises(OSError) as caught:
        Connecting(location, options()).refuse_foreign()
    assert caught.value.filename == location


def refuse(code: int, failing: str) -> Callable[..., Any]:
    """Return a way to run statements of which *failing* fails."""
    run = Connecting._run

    def refusing(self: Connecting, cx: Any, text: str, args: Any = ()) -> Any:
        if text == failing:
            raise OSError(code, os.strerror(code), "c.db")
        return run(self, cx, text, args)

    return refusing


def test_read_only_where_no_side_files_can_be_made_reads_the_file_itself(
    container: str, opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(Connecting, "_run", refuse(errno.EACCES, _sql.COUNT_OBJECTS))
        cx = Connecting(container, options(read_only=True)).open_read_only()
    opened.append(cx)

    assert ask(cx, "SELECT count(*) FROM entries") == 2
    assert not os.path.exists(container + "-shm")


def test_read_only_that_fails_otherwise_closes_and_says_so(
    container: str, watched: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(Connecting, "_run", refuse(errno.EIO, _sql.COUNT_OBJECTS))
        with pytest.raises(OSError) as caught:
            Connecting(container, options(read_only=True)).open_read_only()

    assert caught.value.errno == errno.EIO
    assert [is_closed(cx) for cx in watched] == [True]


def test_immutable_with_a_log_that_has_to_be_written_back_is_refused(
    container: str, watched: Opened
) -> None:
    with closing(ground.connect(container)) as cx:
        cx.execute("UPDATE inodes SET mtime_ns = 1")
        killed = container + ".killed"
        ground.copy_as_killed(container, killed)
    watched.clear()

    with pytest.raises(OSError, match="open it once for writing") as caught:
        Connecting(killed, options(read_only=True, immutable=True)).open()

    assert (caught.value.errno, caught.value.filename) == (errno.EROFS, killed)
    assert all(is_closed(cx) for cx in watched)


# --- making it ------------------------------------------------------------------------


def test_schema_that_another_makes_first_is_taken_as_it_is(
    location: str, opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Connecting._run

    def others_first(self: Connecting, cx: Any, text: str, args: Any = ()) -> Any:
        if text == _sql.BEGIN_EXCLUSIVE:
            with monkeypatch.context() as patch:
                patch.setattr(Connecting, "_run", run)
                VirtualFileSystem(location, 7).close()
        return run(self, cx, text, args)

    monkeypatch.setattr(Connecting, "_run", others_first)

    opened.append(Connecting(location, options()).open())

    assert ask(opened[0], "SELECT value FROM settings WHERE key = 'chunk_size'") == 7


@pytest.mark.parametrize("failing", [_sql.SCHEMA[3], _sql.COMMIT])
def test_schema_that_cannot_be_made_leaves_an_empty_file(
    location: str,
    watched: Opened,
    monkeypatch: pytest.MonkeyPatch,
    failing: str,
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(Connecting, "_run", refuse(errno.ENOSPC, failing))
        with pytest.raises(OSError) as caught:
            Connecting(location, options()).open()

    assert caught.value.errno == errno.ENOSPC
    assert [is_closed(cx) for cx in watched] == [True]
    assert os.path.getsize(location) == 0
    VirtualFileSystem(location).close()


# --- alone ----------------------------------------------------------------------------


def test_open_alone_tells_whether_anybody_else_is_there(
    container: str, opened: Opened
) -> None:
    first, alone = Connecting(container, options()).open_alone()
    first.close()
    opened.append(Connecting(container, options()).open())
    second, beside = Connecting(container, options()).open_alone()
    opened.append(second)

    assert (alone, beside) == (True, False)


def test_open_alone_keeps_others_out(container: str) -> None:
    cx, alone = Connecting(container, options()).open_alone()
    with closing(cx), closing(ground.connect(container)) as other:
        other.execute("PRAGMA busy_timeout = 0")
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            other.execute("SELECT count(*) FROM inodes").fetchone()

    assert alone


def test_open_alone_that_fails_closes(
    container: str, watched: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(Connecting, "_run", refuse(errno.EIO, _sql.BEGIN_EXCLUSIVE))
        with pytest.raises(OSError):
            Connecting(container, options()).open_alone()

    assert [is_closed(cx) for cx in watched] == [True]


# --- asking ---------------------------------------------------------------------------


def test_asked_gives_rows_one_row_or_none(opened: Opened) -> None:
    one = Connecting(MEMORY, options())
    opened.append(one.open())
    asked = one._asked(opened[0])

    assert asked.row("SELECT 1 WHERE 0") is None
    assert asked.row("SELECT 1, 2") == (1, 2)
    assert asked.rows("SELECT 1 UNION SELECT 2") == [(1,), (2,)]
    with pytest.raises(OSError) as caught:
        asked.rows("no statement")
    assert caught.value.filename == MEMORY
