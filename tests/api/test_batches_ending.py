"""The ends of a batch: rollback(), a full disk, other threads, a closed file system.

Whatever ends it, nothing of it is stored later, nor what handles had buffered for it.
"""

# ruff: noqa: PT012, SIM117 - the steps of a batch before its end are the test

from __future__ import annotations

import errno
import threading
from contextlib import nullcontext
from typing import IO, TYPE_CHECKING, Any

import pytest
from tests.api.batches import WAYS, fill_up, in_thread
from tests.api.test_batches import everything, failing
from tests.ground import lift_limit, limit_pages, tree_of

from stratavfs import BatchLost, InvalidArgument, VirtualFileSystem

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture(params=["memory", "file"])
def vfs(request: pytest.FixtureRequest, make_vfs: Any, tmp_path: Path) -> Any:
    """An empty file system in memory, and one on the disk with longer chunks."""
    if request.param == "memory":
        return make_vfs(":memory:", 3)
    return make_vfs(tmp_path / "container.db", 64)


# --- rollback() -----------------------------------------------------------------------


@pytest.mark.parametrize("before", [0, 1])
@pytest.mark.parametrize("times", [1, 2])
@pytest.mark.parametrize("after", [0, 1])
def test_rollback_anywhere_in_the_batch_loses_all_of_it_quietly(
    vfs: VirtualFileSystem, before: int, times: int, after: int
) -> None:
    vfs.write_text("/other", "other")
    with vfs.open("/f", "w") as f:
        f.write("kept ")
        with vfs.atomic_batch() as batch:
            for _ in range(before):
                f.write("lost")
                vfs.remove("/other")
            for _ in range(times):
                batch.rollback()
                assert vfs.read_text("/f") == "kept "
                assert vfs.read_text("/other") == "other"
            for _ in range(after):
                f.write("into the buffer, and no further")
        f.write("too")

    assert vfs.read_text("/f") == "kept too"
    assert vfs.listdir() == ["f", "other"]


CHANGES: dict[str, Callable[[VirtualFileSystem], object]] = {
    "write_bytes": lambda vfs: vfs.write_bytes("/new", b"x"),
    "open w": lambda vfs: vfs.open("/f", "w"),
    "open x": lambda vfs: vfs.open("/new", "x"),
    "mkdir": lambda vfs: vfs.mkdir("/new"),
    "remove": lambda vfs: vfs.remove("/f"),
    "chmod": lambda vfs: vfs.chmod("/f", 0),
    "rename": lambda vfs: vfs.rename("/f", "/new"),
    "inner batch": lambda vfs: vfs.atomic_batch().__enter__(),
    "repair": lambda vfs: vfs.repair(),
}


@pytest.mark.parametrize("name", CHANGES)
@pytest.mark.parametrize("depth", [1, 2])
def test_change_after_rollback_is_batch_lost_and_leaving_is_quiet(
    vfs: VirtualFileSystem, name: str, depth: int
) -> None:
    vfs.write_text("/f", "f")
    before = everything(vfs)

    with vfs.atomic_batch() as outer, vfs.atomic_batch() as inner:
        vfs.write_text("/f", "lost")
        (outer if depth == 1 else inner).rollback()
        with pytest.raises(BatchLost) as caught:
            CHANGES[name](vfs)

    assert (caught.value.errno, caught.value.filename) == (
        errno.ECANCELED,
        vfs.db_path,
    )
    assert everything(vfs) == before
    vfs.write_text("/f", "usable")


def test_change_through_a_handle_after_rollback_is_batch_lost(
    vfs: VirtualFileSystem,
) -> None:
    with vfs.open("/f", "wb", 99) as f, vfs.open("/f", "r+b", 0) as raw:
        f.write(b"kept")
        with vfs.atomic_batch() as batch:
            batch.rollback()
            f.write(b"lost")
            for call in (f.flush, lambda: raw.write(b"x"), lambda: raw.truncate(0)):
                with pytest.raises(BatchLost):
                    call()

    assert vfs.read_bytes("/f") == b"kept"


def test_handle_closed_after_rollback_says_that_its_buffer_is_lost(
    vfs: VirtualFileSystem,
) -> None:
    f = vfs.open("/f", "wb", 99)
    with vfs.atomic_batch() as batch:
        batch.rollback()
        f.write(b"lost")
        with pytest.raises(BatchLost):
            f.close()

    assert f.closed
    assert vfs.read_bytes("/f") == b""


def test_rollback_of_the_inner_batch_lets_the_outer_go_on(
    vfs: VirtualFileSystem,
) -> None:
    with vfs.open("/f", "w") as f:
        with vfs.atomic_batch():
            f.write("1")
            with vfs.atomic_batch() as inner:
                f.write("2")
                vfs.touch("/lost")
                inner.rollback()
            f.write("3")
            vfs.touch("/kept")
            with vfs.atomic_batch():
                f.write("4")

    assert vfs.read_text("/f") == "134"
    assert vfs.listdir() == ["f", "kept"]


def test_rollback_of_the_outer_batch_from_an_inner_one_ends_both(
    vfs: VirtualFileSystem,
) -> None:
    with vfs.open("/f", "w") as f:
        f.write("1")
        with vfs.atomic_batch() as outer:
            f.write("2")
            with vfs.atomic_batch():
                f.write("3")
                outer.rollback()
                assert vfs.read_text("/f") == "1"
            with pytest.raises(BatchLost):
                vfs.touch("/after")
        f.write("4")

    assert vfs.read_text("/f") == "14"
    assert vfs.listdir() == ["f"]


def test_error_after_rollback_passes(vfs: VirtualFileSystem) -> None:
    with pytest.raises(KeyError), vfs.atomic_batch() as batch:
        vfs.touch("/f")
        batch.rollback()
        raise KeyError

    assert vfs.listdir() == []


@pytest.mark.parametrize("when", ["before", "after", "after a rollback"])
def test_rollback_of_a_batch_that_is_not_open_is_refused(
    vfs: VirtualFileSystem, when: str
) -> None:
    batch = vfs.atomic_batch()
    if when != "before":
        with batch:
            vfs.touch("/f")
            if when == "after a rollback":
                batch.rollback()
    before = everything(vfs)

    with pytest.raises(InvalidArgument, match="not open"):
        batch.rollback()

    assert isinstance(InvalidArgument(""), ValueError)
    assert everything(vfs) == before


def test_rollback_from_another_thread_waits_and_is_refused(
    vfs: VirtualFileSystem,
) -> None:
    caught: list[BaseException] = []
    started = threading.Event()

    def meddle() -> None:
        started.set()
        try:
            batch.rollback()
        except InvalidArgument as error:
            caught.append(error)

    thread = threading.Thread(target=meddle)
    with vfs.atomic_batch() as batch:
        thread.start()
        started.wait()
        vfs.touch("/f")
    thread.join()

    assert len(caught) == 1
    assert vfs.listdir() == ["f"]


def test_batch_object_is_used_again_after_each_end(vfs: VirtualFileSystem) -> None:
    batch = vfs.atomic_batch()
    with vfs.open("/f", "w") as f:
        for number, end in enumerate(("keep", "rollback", "error", "keep")):
            failure = KeyError if end == "error" else None
            with pytest.raises(KeyError) if failure else nullcontext():
                with batch as entered:
                    assert entered is batch
                    f.write(str(number))
                    if end == "rollback":
                        batch.rollback()
                    if failure:
                        raise failure

    assert vfs.read_text("/f") == "03"


# --- the disk is full -----------------------------------------------------------------


@pytest.mark.parametrize("where", ["memory", "file"])
def test_flush_at_the_end_that_fails_takes_all_back(
    make_vfs: Any, tmp_path: Path, where: str
) -> None:
    vfs = make_vfs(":memory:" if where == "memory" else tmp_path / "c.db", 1 << 20)
    with vfs.open("/log", "wb") as f, vfs.open("/log", "ab") as second:
        before = everything(vfs)
        limit_pages(vfs._store._cx, 4)
        with pytest.raises(OSError) as caught, vfs.atomic_batch():
            vfs.write_text("/small", "small")
            f.write(bytes(500_000))
            second.write(b"and this")
        lift_limit(vfs._store._cx)

        assert (caught.value.errno, caught.value.filename) == (
            errno.ENOSPC,
            vfs.db_path,
        )
        assert everything(vfs) == before
        assert f.tell() == second.tell() == 0
        f.write(b"after")
    assert vfs.read_bytes("/log") == b"after"


def test_flush_at_the_begin_that_fails_opens_no_batch(make_vfs: Any) -> None:
    vfs = make_vfs(chunk_size=1 << 20)
    with vfs.open("/log", "wb") as f:
        f.write(bytes(500_000))
        limit_pages(vfs._store._cx, 4)
        with pytest.raises(OSError) as caught, vfs.atomic_batch():
            raise AssertionError
        size = vfs.getsize("/log")
        lift_limit(vfs._store._cx)

    assert (caught.value.errno, size) == (errno.ENOSPC, 0)
    assert vfs.getsize("/log") == 500_000  # it stayed in the buffer


@pytest.mark.parametrize("where", ["memory", "file"])
def test_lost_batch_commits_nothing_afterwards_buffers_included(
    make_vfs: Any, tmp_path: Path, where: str
) -> None:
    vfs = make_vfs(":memory:" if where == "memory" else tmp_path / "c.db")
    with vfs.open("/f", "w") as f, vfs.open("/g", "w") as g:
        f.write("kept ")
        with pytest.raises(BatchLost) as caught, vfs.atomic_batch():
            f.write("lost")
            fill_up(vfs)
            g.write("never")
            with pytest.raises(BatchLost):
                f.flush()
            with pytest.raises(BatchLost):
                vfs.touch("/h")
        lift_limit(vfs._store._cx)
        assert (vfs.read_text("/f"), vfs.listdir()) == ("kept ", ["f", "g"])
        f.write("too")

    assert caught.value.filename == vfs.db_path
    assert (vfs.read_text("/f"), vfs.read_text("/g")) == ("kept too", "")


def test_inner_batch_that_is_lost_loses_the_outer(make_vfs: Any) -> None:
    vfs = make_vfs()
    with vfs.open("/f", "w") as f:
        f.write("kept")
        with pytest.raises(BatchLost), vfs.atomic_batch():
            f.write("outer")
            with pytest.raises(BatchLost), vfs.atomic_batch():
                f.write("inner")
                fill_up(vfs)
            f.write("after")
        lift_limit(vfs._store._cx)

    assert (vfs.read_text("/f"), vfs.listdir()) == ("kept", ["f"])


def test_error_that_lost_the_batch_is_the_one_that_is_seen(make_vfs: Any) -> None:
    vfs = make_vfs()
    with vfs.open("/f", "w") as f:
        limit_pages(vfs._store._cx, 2)
        with pytest.raises(OSError) as caught, vfs.atomic_batch():
            f.write("lost")
            vfs.write_bytes("/big", bytes(100_000))
        lift_limit(vfs._store._cx)

    assert caught.value.errno == errno.ENOSPC
    assert (vfs.read_text("/f"), vfs.listdir()) == ("", ["f"])


# --- threads, and the end -------------------------------------------------------------


@pytest.mark.no_slow_contracts("threads")
@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_handle_of_another_thread_keeps_its_buffer_and_position(
    vfs: VirtualFileSystem, way: Any
) -> None:
    opened: list[IO[Any]] = []
    vfs.write_bytes("/read", b"0123456789")

    def begin() -> None:
        opened.extend((vfs.open("/f", "wb", 100), vfs.open("/read", "rb", 4)))
        opened[0].write(b"mine")
        opened[1].read(3)

    in_thread(begin)
    with way(vfs):
        vfs.touch("/inside")
        inside = vfs.getsize("/f")
    with opened[0] as f, opened[1] as g:
        assert (inside, vfs.getsize("/f")) == (0, 0)
        assert (f.tell(), g.tell()) == (4, 3)
        assert g.read() == b"3456789"

    assert vfs.read_bytes("/f") == b"mine"


@pytest.mark.no_slow_contracts("threads")
def test_handle_used_by_two_threads_keeps_its_buffer(vfs: VirtualFileSystem) -> None:
    with vfs.open("/f", "wb", 4) as f:
        f.write(b"12345")  # more than the buffer: the raw file has seen this thread
        in_thread(lambda: f.write(b"6789"))
        with failing(vfs):
            pass
        f.flush()

    assert vfs.read_bytes("/f") == b"123456789"


@pytest.mark.no_slow_contracts("threads")
def test_handle_opened_here_loses_nothing_that_another_thread_has_buffered(
    vfs: VirtualFileSystem,
) -> None:
    with vfs.open("/f", "wb", 99) as f, vfs.open("/g", "w") as g:
        with failing(vfs):
            in_thread(lambda: (f.write(b"theirs"), g.write("theirs")))

    assert (vfs.read_bytes("/f"), vfs.read_bytes("/g")) == (b"theirs", b"theirs")


@pytest.mark.no_slow_contracts("threads")
def test_handle_opened_here_and_used_there_alone_belongs_there(
    vfs: VirtualFileSystem,
) -> None:
    f = vfs.open("/f", "wb", 4)

    def work() -> None:
        f.write(b"before")
        with failing(vfs):
            f.write(b"inside it")
        f.write(b" after")

    in_thread(work)
    f.close()

    assert vfs.read_bytes("/f") == b"before after"


@pytest.mark.parametrize("end", ["error", "rollback", "closed after rollback"])
def test_handle_of_a_removed_file_closed_inside_leaves_no_orphan(
    vfs: VirtualFileSystem, end: str
) -> None:
    f = vfs.open("/f", "w+b", 0)
    f.write(b"x")
    vfs.remove("/f")

    with pytest.raises(KeyError) if end == "error" else nullcontext():
        with vfs.atomic_batch() as batch:
            vfs.touch("/inside")
            if end == "closed after rollback":
                batch.rollback()
            f.close()
            if end == "error":
                raise KeyError
            batch.rollback()

    vfs.touch("/g")
    assert (vfs.listdir(), vfs.stats().orphans) == (["g"], 0)


def test_close_of_the_file_system_inside_takes_all_back(tmp_path: Path) -> None:
    location = tmp_path / "c.db"
    vfs = VirtualFileSystem(location)
    f = vfs.open("/f", "w")
    f.write("before")

    with pytest.raises(ValueError, match="closed"), vfs.atomic_batch():
        f.write("inside")
        vfs.touch("/inside")
        with pytest.warns(ResourceWarning) as warned:
            vfs.close()

    messages = sorted(str(warning.message) for warning in warned)
    assert len(messages) == 2
    assert "rolled back" in messages[0]
    assert "closed with its file system" in messages[1]
    assert f.closed
    assert tree_of(location) == {"/f": b"before"}


def test_close_inside_after_rollback_says_what_it_said(tmp_path: Path) -> None:
    location = tmp_path / "c.db"
    vfs = VirtualFileSystem(location)

    with pytest.raises(ValueError, match="closed"), vfs.atomic_batch() as batch:
        vfs.touch("/inside")
        batch.rollback()
        with pytest.warns(ResourceWarning, match="closed in a batch"):
            vfs.close()

    assert tree_of(location) == {}


@pytest.mark.parametrize("verb", ["detach", "close the buffer", "forget"])
def test_batch_passes_over_a_handle_that_has_come_apart(
    mem: VirtualFileSystem, verb: str
) -> None:
    text = mem.open("/f", "w")
    parts: list[Any] = []
    if verb == "detach":
        parts.append(text.detach())
    elif verb == "close the buffer":
        text.buffer.close()
    else:
        text.close()
        del text

    with failing(mem):
        mem.touch("/g")
    with mem.atomic_batch():
        mem.touch("/h")

    for part in parts:
        part.close()
    assert mem.listdir() == ["f", "h"]
