"""What a child of a fork does with a connection it inherits, told without a fork.

A store is made to believe that it finds itself in a child. The parent's connection is
still there, so that a test sees whether it was used. Real children are in
``tests/concurrency/test_forking.py``.
"""

# ruff: noqa: PT012 - what happens inside a batch is the test

from __future__ import annotations

import errno
import gc
import sqlite3
import sys
import threading
import weakref
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
from tests import ground

from stratavfs import BatchLost, VirtualFileSystem, _forking

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from stratavfs._store import Store

Vfs = VirtualFileSystem


class Untouchable:
    """A connection of the parent's: whoever uses or closes it fails."""

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(name)


@pytest.fixture(autouse=True)
def left(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """The connections that were left to the parent; the test is the parent too."""
    found: list[Any] = []
    monkeypatch.setattr(_forking, "leave", found.append)
    yield found
    for connection in found:
        if not isinstance(connection, Untouchable):
            connection.close()


@pytest.fixture
def location(tmp_path: Path) -> Path:
    return tmp_path / "c.db"


@pytest.fixture
def vfs(make_vfs: Any, location: Path) -> Vfs:
    made: Vfs = make_vfs(location, 64)
    made.write_bytes("/f", b"0123456789")
    return made


def in_child(vfs: Vfs, *, quiet: bool = True) -> None:
    if quiet:  # as the parent does before it forks
        vfs._store.let_go()
    vfs._store.inherit(quiet=quiet)


# --- a connection of its own ----------------------------------------------------------


def test_connection_is_let_go_and_the_child_opens_its_own(
    vfs: Vfs, left: list[Any]
) -> None:
    parents = vfs._store._cx

    in_child(vfs)

    assert left == []
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        parents.execute("SELECT 1")
    assert isinstance(vfs._store._cx, _forking.Inherited)
    assert vfs.read_bytes("/f") == b"0123456789"
    assert vfs._store._cx not in (parents, left)
    assert type(vfs._store._cx) is type(parents)
    vfs.write_bytes("/g", b"x")
    assert vfs.listdir() == ["f", "g"]


@pytest.mark.damaged  # a check at the end would ask
def test_child_that_asks_nothing_opens_nothing(vfs: Vfs, location: Path) -> None:
    in_child(vfs)
    location.rename(location.with_suffix(".away"))

    vfs.close()

    assert vfs.closed
    assert not location.exists()
    location.with_suffix(".away").rename(location)


@pytest.mark.parametrize("options", [{"read_only": True}, {"immutable": True}])
def test_child_opens_its_own_with_the_same_options(
    make_vfs: Any, location: Path, options: dict[str, bool]
) -> None:
    with Vfs(location) as maker:
        maker.touch("/f")
    vfs = make_vfs(location, **options)

    in_child(vfs)

    assert vfs.listdir() == ["f"]
    with pytest.raises(PermissionError):
        vfs.touch("/g")
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        vfs._store._cx.execute("DELETE FROM entries")


def test_child_that_cannot_open_it_says_so_and_tries_again(
    vfs: Vfs, location: Path
) -> None:
    in_child(vfs)
    names = [path.name for path in location.parent.iterdir()]
    away = location.parent / "away"
    away.mkdir()
    for name in names:
        (location.parent / name).rename(away / name)
    location.mkdir()

    with pytest.raises(IsADirectoryError) as caught:
        vfs.listdir()

    assert caught.value.filename == str(location)
    location.rmdir()
    for name in names:
        (away / name).rename(location.parent / name)
    assert vfs.listdir() == ["f"]


def test_child_of_a_child_opens_its_own_again(vfs: Vfs, left: list[Any]) -> None:
    in_child(vfs)
    vfs.listdir()
    in_child(vfs)
    vfs.touch("/g")
    in_child(vfs)
    in_child(vfs)  # of one that asked nothing

    assert vfs.listdir() == ["f", "g"]
    assert left == []


def test_closed_file_system_stays_closed(location: Path, left: list[Any]) -> None:
    vfs = Vfs(location)
    vfs.close()

    in_child(vfs)

    assert left == []
    with pytest.raises(ValueError, match="closed"):
        vfs.listdir()


def test_handles_go_on_with_the_connection_of_the_child(vfs: Vfs) -> None:
    with vfs.open("/f", "r+b", 0) as f, vfs.open("/f", "rb") as reader:
        f.read(2)
        reader.read(1)

        in_child(vfs)

        f.write(b"XY")
        assert (f.read(2), reader.read(2)) == (b"45", b"12")
    assert vfs.read_bytes("/f") == b"01XY456789"


def test_file_without_a_name_is_left_to_the_parent(vfs: Vfs) -> None:
    f = vfs.open("/f", "rb", 0)
    vfs.remove("/f")

    in_child(vfs)
    assert f.read() == b"0123456789"
    f.close()

    assert vfs.stats().orphans == 1


def test_file_removed_by_the_child_is_its_own(vfs: Vfs) -> None:
    with vfs.open("/f", "rb", 0) as f:
        in_child(vfs)
        vfs.remove("/f")
        assert f.read() == b"0123456789"

    assert vfs.stats().orphans == 0


# --- what was known -------------------------------------------------------------------


def test_change_between_the_fork_and_the_first_question_is_seen(
    make_vfs: Any, location: Path
) -> None:
    """The numbers of a new connection begin anew, and may be those of the old one."""
    base, writer, top = make_vfs(location), make_vfs(location), make_vfs()
    base.write_text("/d/f", "x")
    top.add_underlay(base)
    top.add_underlay(make_vfs(), 1)  # more than one: what is below is remembered
    for number in range(3):
        path = f"/d/{number}"
        assert not top.exists(path)
        names = top.listdir("/d")

        in_child(base)
        writer.write_text(path, "made meanwhile")

        assert top.read_text(path) == "made meanwhile"
        assert top.listdir("/d") == sorted([*names, str(number)])


def test_whiteout_made_between_the_fork_and_the_first_question_is_seen(
    make_vfs: Any, location: Path
) -> None:
    base, top, writer = make_vfs(), make_vfs(location), make_vfs(location)
    base.write_text("/d/f", "below")
    for vfs in (top, writer):
        vfs.add_underlay(base)
        assert vfs.read_text("/d/f") == "below"

    in_child(top)
    writer.rmtree("/d")

    assert (top.exists("/d/f"), top.listdir()) == (False, [])


def test_layer_opened_by_its_path_is_read_on_in_a_child(
    make_vfs: Any, location: Path
) -> None:
    with Vfs(location) as maker:
        maker.write_text("/f", "x")
    top = make_vfs()
    top.add_underlay(location)
    top.add_underlay(make_vfs(), 1)
    assert top.listdir() == ["f"]
    store: Any = top._layers.stack.underlays[1].local
    store = store._rooms[0]

    store.let_go()
    store.inherit(quiet=True)
    with Vfs(location) as writer:
        writer.write_text("/g", "y")

    assert (top.listdir(), top.read_text("/g")) == (["f", "g"], "y")


# --- batches --------------------------------------------------------------------------


@pytest.mark.damaged  # there is nothing left to check
def test_batch_open_at_the_fork_is_the_parents(vfs: Vfs, left: list[Any]) -> None:
    with vfs.open("/f", "r+b", 99) as f:
        with pytest.raises(BatchLost) as caught, vfs.atomic_batch():
            vfs.touch("/parents")
            f.write(b"in the batch")
            in_child(vfs)
            with pytest.raises(BatchLost):
                vfs.touch("/childs")

        assert caught.value.filename == vfs.db_path
        with pytest.raises(OSError, match="outside batches") as refused:
            vfs.listdir()
        assert refused.value.errno == errno.ESTALE
        assert len(left) == 1


# --- in memory ------------------------------------------------------------------------


def test_memory_is_a_copy_as_all_memory_is(mem: Vfs, left: list[Any]) -> None:
    mem.write_text("/f", "x")
    connection = mem._store._cx

    in_child(mem)

    assert mem._store._cx is connection
    assert left == []
    assert mem.read_text("/f") == "x"


@pytest.mark.damaged  # there is nothing left to check
def test_memory_that_another_thread_was_using_is_lost(left: list[Any]) -> None:
    vfs = Vfs()
    vfs.write_text("/f", "x")

    in_child(vfs, quiet=False)

    for call in (vfs.listdir, lambda: vfs.touch("/g"), lambda: vfs.read_text("/f")):
        with pytest.raises(OSError, match="fork while no thread") as caught:
            call()
        assert (caught.value.errno, caught.value.filename) == (errno.ESTALE, ":memory:")
    assert len(left) == 1
    vfs.close()
    assert vfs.closed


# --- around the fork ------------------------------------------------------------------


def test_locks_are_taken_before_and_given_back_after(mem: Vfs) -> None:
    lock: Any = mem._store.lock

    _forking._before()
    held = lock._is_owned()
    _forking._in_parent()

    assert (held, lock._is_owned()) == (True, False)
    assert _forking._held == []


def test_lock_of_a_busy_thread_is_waited_for_only_a_moment(
    vfs: Vfs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_forking, "_MOMENT", 0.001)
    inside, go_on = threading.Event(), threading.Event()

    def work() -> None:
        with vfs.atomic_batch():
            inside.set()
            go_on.wait()

    thread = threading.Thread(target=work)
    thread.start()
    inside.wait()

    _forking._before()
    held = [*_forking._held]
    _forking._in_parent()
    go_on.set()
    thread.join(20)

    assert vfs._store not in held
    vfs.touch("/g")


def test_every_store_hears_of_the_fork_with_or_without_its_lock(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    heard: dict[str, bool] = {}

    class Told:
        def __init__(self, name: str) -> None:
            self.name, self.lock = name, threading.RLock()

        def let_go(self) -> None: ...

        def inherit(self, *, quiet: bool) -> None:
            heard[self.name] = quiet

    quiet, busy = Told("quiet"), Told("busy")
    monkeypatch.setattr(_forking, "_stores", weakref.WeakSet([quiet, busy]))
    monkeypatch.setattr(_forking, "_MOMENT", 0.001)
    thread = threading.Thread(target=busy.lock.acquire)
    thread.start()
    thread.join(20)

    _forking._before()
    _forking._in_child()

    assert heard == {"quiet": True, "busy": False}
    assert _forking._held == []
    assert not quiet.lock._is_owned()  # type: ignore[attr-defined]


def test_store_that_is_gone_is_not_remembered() -> None:
    vfs = Vfs()
    reference: weakref.ref[Store] = weakref.ref(vfs._store)
    assert vfs._store in _forking._stores

    vfs.close()
    del vfs
    gc.collect()

    assert reference() is None


def test_connection_that_is_left_lives_to_the_end(
    monkeypatch: pytest.MonkeyPatch, location: Path
) -> None:
    monkeypatch.undo()  # the real one
    Vfs(location).close()
    with closing(ground.connect(location)) as connection:
        before = sys.getrefcount(connection)

        _forking.leave(connection)

        assert _forking._left.pop() is connection
        assert sys.getrefcount(connection) == before + 1  # without the list


def test_connection_is_left_also_without_ctypes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.undo()
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "ctypes", None)
        token = object()

        _forking.leave(token)

    assert _forking._left.pop() is token


def test_stand_in_asks_for_a_connection_and_closes_nothing() -> None:
    class Told:
        lock = threading.RLock()
        location, closed = ":memory:", False
        asked = 0

        def beside(self, end: str) -> str:
            return end

        def let_go(self) -> None: ...

        def inherit(self, *, quiet: bool) -> None:
            raise AssertionError(quiet)

        def reconnected(self) -> Any:
            self.asked += 1
            return "a connection"

    store = Told()
    stand_in = _forking.Inherited(store)

    stand_in.close()
    before = store.asked
    found = stand_in.upper()

    assert (before, found, store.asked) == (0, "A CONNECTION", 1)
