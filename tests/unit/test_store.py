# ruff: noqa: PT012 - what is done before the error in a transaction is the test
"""The store: SQLite's errors translated, transactions nested, snapshots, closing."""

from __future__ import annotations

import errno
import sqlite3
import threading
from typing import TYPE_CHECKING, NoReturn

import pytest

from stratavfs import CorruptDatabase, ForeignDatabase, VirtualFileSystem

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from stratavfs._store import Store

# SQLite's result code, extended ones too, and the errno it becomes.
ERRNO_OF_CODE = {
    sqlite3.SQLITE_FULL: errno.ENOSPC,
    sqlite3.SQLITE_BUSY: errno.EBUSY,
    sqlite3.SQLITE_BUSY_SNAPSHOT: errno.EBUSY,
    sqlite3.SQLITE_LOCKED: errno.EBUSY,
    sqlite3.SQLITE_READONLY: errno.EROFS,
    sqlite3.SQLITE_READONLY_DIRECTORY: errno.EROFS,
    sqlite3.SQLITE_IOERR: errno.EIO,
    sqlite3.SQLITE_IOERR_SHORT_READ: errno.EIO,
    sqlite3.SQLITE_CANTOPEN: errno.EACCES,
    sqlite3.SQLITE_PERM: errno.EACCES,
    sqlite3.SQLITE_NOMEM: errno.ENOMEM,
    sqlite3.SQLITE_TOOBIG: errno.EFBIG,
    sqlite3.SQLITE_INTERRUPT: errno.EINTR,
    sqlite3.SQLITE_CORRUPT: errno.EIO,
    sqlite3.SQLITE_CORRUPT_VTAB: errno.EIO,
    sqlite3.SQLITE_CONSTRAINT_CHECK: errno.EIO,
    sqlite3.SQLITE_NOTADB: errno.EINVAL,
}


class Broken:
    """A connection of which every statement fails with one code."""

    in_transaction = True

    def __init__(self, code: int) -> None:
        self._code = code

    def fail(self, *args: object) -> NoReturn:
        error = sqlite3.OperationalError("made up")
        error.sqlite_errorcode = self._code
        raise error

    execute = executemany = blobopen = fail

    def close(self) -> None:
        pass


ASKING: dict[str, Callable[[Store], object]] = {
    "row": lambda store: store.row("SELECT 1"),
    "rows": lambda store: store.rows("SELECT 1"),
    "each": lambda store: list(store.each("SELECT 1")),
    "snapshot": lambda store: store.snapshot().__enter__(),
}
CHANGING: dict[str, Callable[[Store], object]] = {
    "write": lambda store: store.write("SELECT 1"),
    "write_many": lambda store: store.write_many("SELECT ?", iter([(1,)])),
    "patch": lambda store: store.patch("chunks", "data", 1, 0, b"x"),
}


@pytest.fixture
def store(mem: VirtualFileSystem) -> Store:
    return mem._store


def break_connection(monkeypatch: pytest.MonkeyPatch, store: Store, code: int) -> None:
    monkeypatch.setattr(store, "_cx", Broken(code))


def settings(store: Store) -> dict[str, int]:
    return dict(store.rows("SELECT key, value FROM settings"))


def put(store: Store, key: str) -> None:
    """Change something that the tree knows nothing of."""
    store.write("INSERT INTO settings VALUES (?, 1)", (key,))


def take_back(store: Store) -> None:
    """Leave the container healthy for the check at the end."""
    with store.transaction:
        store.write(
            "DELETE FROM settings WHERE key NOT IN ('chunk_size', 'inline_limit')"
        )


# --- errors ---------------------------------------------------------------------------


@pytest.mark.parametrize("code", ERRNO_OF_CODE)
def test_row_with_sqlite_code_raises_its_errno(
    store: Store, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    with monkeypatch.context() as patch:
        break_connection(patch, store, code)
        with pytest.raises(OSError) as caught:
            store.row("SELECT 1")

    assert caught.value.errno == ERRNO_OF_CODE[code]
    assert caught.value.filename == ":memory:"
    assert isinstance(caught.value.__cause__, sqlite3.OperationalError)


@pytest.mark.parametrize("verb", [*ASKING, *CHANGING])
def test_verb_on_full_disk_raises_enospc(
    store: Store, monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    if verb == "snapshot":
        pytest.skip("a snapshot of a container in memory runs no statement")

    with monkeypatch.context() as patch:
        break_connection(patch, store, sqlite3.SQLITE_FULL)
        with pytest.raises(OSError) as caught:
            (ASKING | CHANGING)[verb](store)

    assert caught.value.errno == errno.ENOSPC
    assert caught.value.filename == ":memory:"


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (sqlite3.SQLITE_NOTADB, ForeignDatabase),
        (sqlite3.SQLITE_CORRUPT, CorruptDatabase),
        (sqlite3.SQLITE_CONSTRAINT_NOTNULL, CorruptDatabase),
    ],
)
def test_row_with_damage_raises_our_class(
    store: Store,
    monkeypatch: pytest.MonkeyPatch,
    code: int,
    expected: type[OSError],
) -> None:
    with monkeypatch.context() as patch:
        break_connection(patch, store, code)
        with pytest.raises(expected):
            store.row("SELECT 1")


# What a machine can do to us without a mistake of ours: the locking protocol of the
# log gives up under contention; a schema made by hand gives what no statement expects.
@pytest.mark.parametrize(
    "code",
    [
        sqlite3.SQLITE_PROTOCOL,
        sqlite3.SQLITE_NOLFS,
        sqlite3.SQLITE_SCHEMA,
        sqlite3.SQLITE_MISMATCH,
    ],
)
def test_row_with_rare_code_raises_os_error(
    store: Store, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    with monkeypatch.context() as patch:
        break_connection(patch, store, code)
        with pytest.raises(OSError) as caught:
            store.row("SELECT 1")

    assert caught.value.filename == ":memory:"


def test_row_of_text_that_is_no_utf8_raises_corrupt(store: Store) -> None:
    with pytest.raises(CorruptDatabase):
        store.row("SELECT CAST(x'ff' AS TEXT)")


def test_write_against_a_constraint_raises_corrupt_and_keeps_nothing(
    store: Store,
) -> None:
    with pytest.raises(CorruptDatabase), store.transaction:
        put(store, "first")
        put(store, "first")

    assert "first" not in settings(store)


def test_busy_tells_the_timeout_and_the_remedy(
    make_vfs: Callable[..., VirtualFileSystem], tmp_path: Path
) -> None:
    path = str(tmp_path / "c.db")
    first, second = make_vfs(path), make_vfs(path, timeout=0)

    with (
        first._store.transaction,
        pytest.raises(OSError) as caught,
        second._store.transaction,
    ):
        pass

    assert caught.value.errno == errno.EBUSY
    assert caught.value.filename == path
    assert "timeout" in str(caught.value)


# --- transactions ---------------------------------------------------------------------


def test_transaction_left_keeps_its_changes(store: Store) -> None:
    with store.transaction:
        put(store, "kept")

    assert "kept" in settings(store)
    assert not store._cx.in_transaction
    take_back(store)


def test_transaction_left_by_error_takes_all_back(store: Store) -> None:
    before = settings(store)

    with pytest.raises(KeyError), store.transaction:
        put(store, "lost")
        raise KeyError

    assert settings(store) == before
    assert not store._cx.in_transaction


def test_inner_transaction_that_fails_takes_back_its_own_part(store: Store) -> None:
    with store.transaction:
        put(store, "outer")
        with pytest.raises(KeyError), store.transaction:
            put(store, "inner")
            raise KeyError
        put(store, "after")

    assert {"outer", "after"} <= set(settings(store))
    assert "inner" not in settings(store)
    take_back(store)


def test_outer_transaction_that_fails_takes_inner_ones_back(store: Store) -> None:
    before = settings(store)

    with pytest.raises(KeyError), store.transaction:
        with store.transaction:
            put(store, "inner")
        raise KeyError

    assert settings(store) == before


@pytest.mark.parametrize("failing", [1, 2, 3, 4])
def test_nested_transactions_keep_what_lies_outside_of_the_failing(
    store: Store, failing: int
) -> None:
    def nest(depth: int) -> None:
        with store.transaction:
            put(store, f"depth {depth}")
            if depth < 4:
                try:
                    nest(depth + 1)
                except KeyError:
                    if depth + 1 != failing:
                        raise
            if depth in (4, failing):
                raise KeyError

    if failing == 1:
        with pytest.raises(KeyError):
            nest(1)
    else:
        nest(1)

    kept = {key for key in settings(store) if key.startswith("depth")}
    assert kept == {f"depth {depth}" for depth in range(1, failing)}
    take_back(store)


def test_write_outside_of_transaction_is_refused(store: Store) -> None:
    before = settings(store)

    with pytest.raises(OSError) as caught:
        put(store, "alone")

    assert caught.value.errno == errno.ECANCELED
    assert settings(store) == before


def test_listener_hears_of_each_rollback_and_of_no_commit(store: Store) -> None:
    heard: list[str] = []
    store.after_rollback.append(lambda: heard.append("rolled back"))

    with store.transaction:
        with pytest.raises(KeyError), store.transaction:
            raise KeyError
        assert heard == ["rolled back"]

    assert heard == ["rolled back"]


def test_transaction_that_cannot_begin_frees_the_lock(
    make_vfs: Callable[..., VirtualFileSystem], tmp_path: Path
) -> None:
    path = str(tmp_path / "c.db")
    holder, waiter = make_vfs(path), make_vfs(path, timeout=0)

    with holder._store.transaction, pytest.raises(OSError), waiter._store.transaction:
        pass

    assert is_free(waiter._store)


def test_transaction_that_fails_frees_the_lock(store: Store) -> None:
    with pytest.raises(KeyError), store.transaction:
        raise KeyError

    assert is_free(store)


def is_free(store: Store) -> bool:
    """Tell whether another thread could take the lock of *store*."""
    results: list[bool] = []

    def run() -> None:
        results.append(store.lock.acquire(blocking=False))
        if results[0]:
            store.lock.release()

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(10)
    return results == [True]


# --- snapshots ------------------------------------------------------------------------


def test_snapshot_sees_one_state_while_another_writes(
    make_vfs: Callable[..., VirtualFileSystem], tmp_path: Path
) -> None:
    path = str(tmp_path / "c.db")
    reader, writer = make_vfs(path), make_vfs(path)
    writer.write_text("/f", "old")

    with reader._store.snapshot():
        before = reader.read_text("/f")
        writer.write_text("/f", "new")
        during = reader.read_text("/f")
    after = reader.read_text("/f")

    assert (before, during, after) == ("old", "old", "new")


def test_snapshot_in_transaction_leaves_it_open(
    make_vfs: Callable[..., VirtualFileSystem], tmp_path: Path
) -> None:
    store = make_vfs(tmp_path / "c.db")._store

    with pytest.raises(KeyError), store.transaction:
        put(store, "lost")
        with store.snapshot():
            seen = settings(store)
        assert store._cx.in_transaction
        raise KeyError

    assert "lost" in seen
    assert "lost" not in settings(store)


def test_snapshot_left_by_error_ends(
    make_vfs: Callable[..., VirtualFileSystem], tmp_path: Path
) -> None:
    store = make_vfs(tmp_path / "c.db")._store

    with pytest.raises(KeyError), store.snapshot():
        store.row("SELECT 1")
        raise KeyError

    assert not store._cx.in_transaction


def test_snapshot_in_snapshot_is_the_same(
    make_vfs: Callable[..., VirtualFileSystem], tmp_path: Path
) -> None:
    store = make_vfs(tmp_path / "c.db")._store

    with store.snapshot():
        with store.snapshot():
            store.row("SELECT count(*) FROM inodes")
        assert store._cx.in_transaction

    assert not store._cx.in_transaction


# --- closing --------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["memory", "disk"])
@pytest.mark.parametrize(
    "verb", [*ASKING, *CHANGING, "transaction", "sync", "require_open"]
)
def test_verb_of_closed_store_raises_value_error(
    make_vfs: Callable[..., VirtualFileSystem], tmp_path: Path, where: str, verb: str
) -> None:
    calls: dict[str, Callable[[Store], object]] = {
        **ASKING,
        **CHANGING,
        "transaction": lambda store: store.transaction.__enter__(),
        "sync": lambda store: store.sync(),
        "require_open": lambda store: store.require_open(),
    }
    if (verb, where) == ("sync", "memory"):
        pytest.skip("there is nothing to carry to the disk")
    vfs = make_vfs(":memory:" if where == "memory" else tmp_path / "c.db")
    vfs.close()

    with pytest.raises(ValueError, match="closed"):
        calls[verb](vfs._store)

    assert is_free(vfs._store)


def test_close_inside_batch_raises_value_error_and_keeps_nothing(
    make_vfs: Callable[..., VirtualFileSystem], tmp_path: Path
) -> None:
    path = tmp_path / "c.db"
    vfs = make_vfs(path)

    with pytest.raises(ValueError, match="closed"), vfs.atomic_batch():
        vfs.write_text("/f", "half")
        with pytest.warns(ResourceWarning, match="rolled back"):
            vfs.close()

    assert not make_vfs(path).exists("/f")


def test_close_inside_failing_batch_lets_the_error_pass(
    make_vfs: Callable[..., VirtualFileSystem],
) -> None:
    vfs = make_vfs()

    with pytest.raises(KeyError), vfs.atomic_batch():
        with pytest.warns(ResourceWarning, match="rolled back"):
            vfs.close()
        raise KeyError
