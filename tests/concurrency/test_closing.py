"""Closing while others work: each gets ValueError or has finished, and nothing hangs.

Every thread repeats its call until the file system is closed under it. Whatever it was
doing then is there as a whole or not at all, and the container is healthy.
"""

from __future__ import annotations

import itertools
import threading
import warnings
from typing import TYPE_CHECKING, Any

import pytest
from tests.concurrency.children import forks, in_child
from tests.concurrency.test_layers import (
    eager,  # noqa: F401 - threads take turns often in here too
    threads_only,
    together,
)
from tests.ground import integrity_of

from stratavfs import VirtualFileSystem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Vfs = VirtualFileSystem
    Call = Callable[[VirtualFileSystem, Path], object]

pytestmark = [
    threads_only,
    # A handle that is open at the moment of closing is warned of, whoever has it.
    pytest.mark.filterwarnings("ignore:closed with its file system:ResourceWarning"),
]

LONG = 60  # seconds: nothing waits this long, unless it waits for ever
SHORT = 0.1
WARM = 3  # calls of each thread before the file system is closed

numbers = itertools.count()


def all_of(steps: Iterator[object]) -> None:
    for _ in steps:
        pass


def append(vfs: Vfs, _: Path) -> None:
    with vfs.open("/log", "a") as log:
        log.write("line\n")


def patch(vfs: Vfs, _: Path) -> None:
    with vfs.open("/big", "r+b", buffering=16) as file:
        file.seek(100)
        file.write(b"y" * 100)
        file.seek(0)
        file.read(10)


def use_unlinked(vfs: Vfs, _: Path) -> None:
    name = f"/unlinked/{next(numbers)}"
    with vfs.open(name, "w+b") as file:
        vfs.remove(name)
        file.write(b"x" * 1000)


def batch(vfs: Vfs, _: Path) -> None:
    with vfs.atomic_batch(), vfs.atomic_batch():
        vfs.write_text("/batch/a", "1")
        vfs.write_text("/batch/b", "2")


def roll_back(vfs: Vfs, _: Path) -> None:
    with vfs.atomic_batch() as opened:
        vfs.rmtree("/tree")
        opened.rollback()


def layer(vfs: Vfs, _: Path) -> None:
    name = vfs.add_underlay(VirtualFileSystem())
    vfs.listdir("/")
    vfs.remove_underlay(name)


def copy_tree(vfs: Vfs, _: Path) -> None:
    vfs.copytree("/tree", "/copy", dirs_exist_ok=True)


def fork(vfs: Vfs, _: Path) -> None:
    with vfs.fork() as copy:
        copy.touch("/mine")


CALLS: dict[str, Call] = {
    "read": lambda vfs, _: vfs.read_bytes("/big"),
    "write": lambda vfs, _: vfs.write_bytes("/w", b"x" * 500),
    "append": append,
    "patch": patch,
    "unlinked": use_unlinked,
    "touch": lambda vfs, _: vfs.touch("/small"),
    "copytree": copy_tree,
    "stat": lambda vfs, _: vfs.stat("/tree/sub/b"),
    "scandir": lambda vfs, _: [entry.stat() for entry in vfs.scandir("/tree")],
    "walk": lambda vfs, _: all_of(vfs.walk("/")),
    "iglob": lambda vfs, _: all_of(vfs.iglob("**/*")),
    "glob": lambda vfs, _: vfs.glob("/tree/*/b"),
    "batch": batch,
    "rollback": roll_back,
    "layer": layer,
    "diff": lambda vfs, _: vfs.diff(),
    "explain": lambda vfs, _: vfs.explain("/tree/sub/b"),
    "check": lambda vfs, _: vfs.check(),
    "deep check": lambda vfs, _: vfs.check(deep=True),
    "repair": lambda vfs, _: vfs.repair(),
    "stats": lambda vfs, _: vfs.stats(),
    "sync": lambda vfs, _: vfs.sync(),
    "flush": lambda vfs, _: vfs.flush(),
    "compact": lambda vfs, _: vfs.compact(),
    "backup": lambda vfs, host: vfs.backup(host / f"{next(numbers)}.backup"),
    "flatten": lambda vfs, host: vfs.flatten(host / f"{next(numbers)}.flat"),
    "fork": fork,
}


def fill(vfs: Vfs) -> None:
    vfs.write_text("/small", "small")
    vfs.write_bytes("/big", b"x" * 1000)
    vfs.write_text("/lines", "line\n" * 50)
    vfs.write_text("/tree/a", "a")
    vfs.write_text("/tree/sub/b", "b")
    vfs.makedirs("/unlinked")
    vfs.write_text("/batch/a", "1")
    vfs.write_text("/batch/b", "2")


@pytest.fixture(params=["memory", "disk"])
def shared(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    """Closed by the tests: that is what they are about."""
    where = ":memory:" if request.param == "memory" else tmp_path / "c.db"
    vfs = VirtualFileSystem(where, 64)
    fill(vfs)
    yield vfs
    vfs.close()


@pytest.fixture
def over_base(shared: Vfs, tmp_path: Path) -> Any:
    """A stack that has opened one of its layers itself, and one of somebody else's."""
    with VirtualFileSystem(tmp_path / "base.db") as base:
        fill(base)
    host = tmp_path / "host"
    host.mkdir()
    (host / "from-host").write_text("x")
    shared.rmtree("/tree")
    shared.add_underlay(tmp_path / "base.db", name="base")
    shared.add_underlay(host, name="host", at="/host")
    shared.revert("/tree")
    return shared


def close_while(vfs: Vfs, *calls: Callable[[], object]) -> list[BaseException]:
    """Close *vfs* while threads repeat *calls*; return what these raised."""
    warm = threading.Barrier(len(calls) + 1)

    def repeat(call: Callable[[], object]) -> None:
        try:
            for _ in range(WARM):
                call()
        except BaseException:
            warm.abort()
            raise
        warm.wait(LONG)
        while True:  # until the file system is closed under it
            call()

    def close() -> None:
        warm.wait(LONG)
        vfs.close()

    return together(close, *(lambda call=call: repeat(call) for call in calls))


def assert_closed(raised: list[BaseException], count: int) -> None:
    # A broken barrier says that another one has failed before the closing.
    wrong = [error for error in raised if type(error) is not ValueError]
    others = [it for it in wrong if type(it) is not threading.BrokenBarrierError]
    assert others == []
    assert len(raised) == count
    assert {says_closed(str(error)) for error in raised} == {True}


def says_closed(text: str) -> bool:
    """Tell whether *text* is what a closed file system or file says.

    A buffer that is closed while another thread is about to flush it finds that it has
    no bytes any more, which io says in words of its own.
    """
    return "closed" in text or "info->buf must not be NULL" in text


# --- one instance ---------------------------------------------------------------------


@pytest.mark.parametrize("name", CALLS)
def test_close_while_others_call_gives_them_value_error(
    shared: Vfs, tmp_path: Path, name: str
) -> None:
    call = CALLS[name]

    raised = close_while(shared, *[lambda: call(shared, tmp_path)] * 2)

    assert_closed(raised, 2)
    assert shared.closed
    if shared.db_path != ":memory:":
        assert integrity_of(shared.db_path) == "ok"
        with VirtualFileSystem(shared.db_path) as vfs:
            assert vfs.read_text("/tree/sub/b") == "b"
            assert vfs.check() == []


@pytest.mark.slow
@pytest.mark.parametrize("nth", range(5))
def test_close_while_everything_is_called_gives_all_value_error(
    over_base: Vfs, tmp_path: Path, nth: int
) -> None:
    """Five times, since where each is when it happens is a matter of luck."""
    calls = [lambda call=call: call(over_base, tmp_path) for call in CALLS.values()]

    raised = close_while(over_base, *calls[nth % 2 :: 2])

    assert_closed(raised, len(calls[nth % 2 :: 2]))


@pytest.mark.parametrize(
    "name", ["read", "walk", "glob", "batch", "touch", "append", "diff"]
)
def test_close_of_a_stack_while_others_use_its_layers_gives_them_value_error(
    over_base: Vfs, tmp_path: Path, name: str
) -> None:
    call = CALLS[name]

    raised = close_while(over_base, *[lambda: call(over_base, tmp_path)] * 2)

    assert_closed(raised, 2)
    with VirtualFileSystem(tmp_path / "base.db") as base:
        assert base.read_text("/tree/sub/b") == "b"


def test_close_of_an_underlay_while_others_read_through_it_gives_them_its_name(
    shared: Vfs, tmp_path: Path, make_vfs: Any
) -> None:
    """The stack stays usable, with what other layers have."""
    vfs = make_vfs()
    vfs.write_text("/mine", "mine")
    vfs.add_underlay(shared, name="base")

    raised = close_while(shared, *[lambda: vfs.read_bytes("/big")] * 2)

    assert [isinstance(error, (OSError, ValueError)) for error in raised] == [True] * 2
    assert {"base" in str(error) for error in raised} == {True}
    assert vfs.read_text("/mine") == "mine"


# --- the lock -------------------------------------------------------------------------


@pytest.mark.parametrize("name", CALLS)
def test_statements_are_run_with_the_lock_of_the_store(
    over_base: Vfs, tmp_path: Path, name: str
) -> None:
    """Or another thread might close the connection inside SQLite."""
    unguarded: list[str] = []
    layers: list[Any] = [it.layer for it in over_base._layers.stack.everybody()]

    def watch(store: Any) -> None:
        def look(statement: str) -> None:
            if not store.lock._is_owned():
                unguarded.append(f"{store.location}: {statement}")

        store._cx.set_trace_callback(look)

    for layer in layers:
        if layer.is_container:
            watch(layer._store)
    CALLS[name](over_base, tmp_path)

    assert unguarded == []


# --- handles --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "buffering"),
    [("rb", 0), ("rb", 16), ("r+b", 0), ("r+b", 16), ("ab", 16), ("r", -1), ("a", -1)],
)
def test_close_while_threads_use_handles_of_their_own_closes_them(
    shared: Vfs, mode: str, buffering: int
) -> None:
    handles = [shared.open("/lines", mode, buffering) for _ in range(3)]

    def use(handle: Any) -> None:
        if handle.readable():
            handle.seek(0)
            handle.read(20)
        if handle.writable():
            handle.write("line\n" if "b" not in mode else b"line\n")
            handle.flush()

    raised = close_while(shared, *(lambda it=it: use(it) for it in handles))

    assert_closed(raised, 3)
    assert all(handle.closed for handle in handles)
    if shared.db_path != ":memory:":
        with VirtualFileSystem(shared.db_path) as vfs:
            assert {*vfs.read_bytes("/lines").splitlines()} <= {b"line", b"lineline"}


def test_close_while_threads_share_a_handle_closes_it_once(shared: Vfs) -> None:
    handle = shared.open("/shared", "wb", buffering=32)

    raised = close_while(shared, *[lambda: handle.write(b"line\n")] * 3)

    assert_closed(raised, 3)
    assert handle.closed


def test_close_of_a_handle_that_another_thread_is_just_closing_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its buffer has found it open, waits for its lock, and then finds it closed."""
    vfs = VirtualFileSystem(tmp_path / "c.db")
    theirs, mine = vfs.open("/theirs", "w+b"), vfs.open("/mine", "wb")
    for handle in (theirs, mine):
        handle.write(b"buffered")
    raw: Any = theirs.raw

    def seek_late(*args: int) -> int:
        assert together(raw.close) == []
        return int(type(raw).seek(raw, *args))

    monkeypatch.setattr(raw, "seek", seek_late)
    with pytest.warns(ResourceWarning, match="with its file system.*/mine") as warned:
        vfs.close()

    assert (len(warned), theirs.closed, mine.closed, vfs.closed) == (1, *[True] * 3)
    with VirtualFileSystem(tmp_path / "c.db") as again:
        assert again.read_bytes("/mine") == again.read_bytes("/theirs") == b"buffered"


def test_close_flushes_what_a_thread_has_buffered(tmp_path: Path) -> None:
    vfs = VirtualFileSystem(tmp_path / "c.db")
    written = threading.Event()
    closed = threading.Event()

    def write() -> None:
        file = vfs.open("/f", "w")
        file.write("buffered")
        written.set()
        assert closed.wait(LONG)
        with pytest.raises(ValueError, match="closed"):
            file.write("later")

    def close() -> None:
        assert written.wait(LONG)
        vfs.close()
        closed.set()

    raised = together(write, close)

    assert raised == []
    with VirtualFileSystem(tmp_path / "c.db") as again:
        assert again.read_text("/f") == "buffered"


# --- batches --------------------------------------------------------------------------


@pytest.mark.damaged  # the check before each close would find it closed by another
def test_close_by_all_threads_while_all_work_closes_once(shared: Vfs) -> None:
    def work(nth: int) -> None:
        with pytest.raises(ValueError, match="closed"):  # noqa: PT012
            for number in itertools.count():
                shared.write_text(f"/{nth}", str(number))
                if number == 10 * nth:
                    shared.close()

    assert together(*(lambda nth=nth: work(nth) for nth in range(4))) == []
    assert shared.closed


@forks
@pytest.mark.parametrize("buffering", [0, 16])
def test_close_in_a_batch_while_others_write_by_handles_hangs_nowhere(
    tmp_path: Path, buffering: int
) -> None:
    """The writers hold the locks of their buffers and wait for the batch."""

    def scenario() -> None:
        warnings.simplefilter("ignore", ResourceWarning)
        vfs = VirtualFileSystem(tmp_path / "c.db", timeout=SHORT)
        handles = [vfs.open(f"/h{nth}", "wb", buffering) for nth in range(2)]
        begun = threading.Barrier(3)

        def write(handle: Any) -> None:
            begun.wait(LONG)
            while True:
                handle.write(b"x" * 40)

        def close() -> None:
            with vfs.atomic_batch():
                vfs.write_text("/never", "x")
                begun.wait(LONG)
                vfs.close()

        raised = together(close, *(lambda it=it: write(it) for it in handles))
        assert {type(error) for error in raised} <= {ValueError, OSError}
        assert vfs.closed

    in_child(scenario)

    with VirtualFileSystem(tmp_path / "c.db") as vfs:
        assert not vfs.exists("/never")


def test_batch_that_waits_when_the_file_system_closes_gets_value_error(
    shared: Vfs,
) -> None:
    inside, waiting = threading.Event(), threading.Event()

    def hold() -> None:
        with shared.atomic_batch():
            shared.write_text("/held", "x")
            inside.set()
            assert waiting.wait(LONG)

    def enter() -> None:
        assert inside.wait(LONG)
        waiting.set()
        with shared.atomic_batch():
            shared.write_text("/first", "x")
        while True:
            with shared.atomic_batch():
                shared.write_text("/again", "x")

    def close() -> None:
        assert inside.wait(LONG)
        shared.close()

    raised = together(hold, enter, enter, close)

    assert_closed(raised, 2)


def test_search_left_half_way_says_that_the_file_system_is_closed(shared: Vfs) -> None:
    steps = [shared.walk("/"), shared.iglob("/*/*"), shared.walk("/", topdown=False)]
    for step in steps:
        next(step)
    entries = [*shared.scandir("/tree")]

    shared.close()

    for step in steps:
        with pytest.raises(ValueError, match="closed"):
            all_of(step)
    assert [entry.name for entry in entries] == ["a", "sub"]


# --- reopening ------------------------------------------------------------------------


@pytest.mark.slow
def test_reopened_again_and_again_while_others_work_loses_nothing(
    tmp_path: Path,
) -> None:
    """Who is interrupted takes the new instance and does it again."""
    path = tmp_path / "c.db"
    current = [VirtualFileSystem(path, timeout=LONG)]
    current[0].write_text("/count", "0")
    done = threading.Event()

    def count() -> None:
        for _ in range(200):
            while True:
                vfs = current[0]
                try:
                    with vfs.atomic_batch():
                        vfs.write_text("/count", str(int(vfs.read_text("/count")) + 1))
                    break
                except ValueError as error:
                    assert "closed" in str(error)  # noqa: PT017 - any other is raised

    def reopen() -> None:
        while not done.is_set():
            old, current[0] = current[0], VirtualFileSystem(path, timeout=LONG)
            old.close()

    def work() -> None:
        try:
            assert together(count, count, count) == []
        finally:
            done.set()

    assert together(work, reopen) == []
    assert current[0].read_text("/count") == "600"
    current[0].close()
