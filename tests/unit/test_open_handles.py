"""The list of open handles: closed with their file system, taken along by batches."""

from __future__ import annotations

import errno
import gc
import io
import threading
from contextlib import suppress
from typing import IO, TYPE_CHECKING, Any

import pytest
from tests.api.batches import put
from tests.unit.test_handle import PATH, raw_of

from stratavfs import _open_handles
from stratavfs._open_handles import OpenHandles

if TYPE_CHECKING:
    from collections.abc import Callable

    from stratavfs import VirtualFileSystem
    from stratavfs._handle import ChunkFile


def test_open_handles_forget_what_is_closed(mem: VirtualFileSystem) -> None:
    handles = mem._handles

    with mem.open(PATH, "wb") as one, mem.open(PATH, "rb"):
        assert len(handles) == 2
        one.close()
        assert len(handles) == 1

    assert len(handles) == 0


def test_open_handles_flush_writes_every_buffer(mem: VirtualFileSystem) -> None:
    with (
        mem.open("/a", "w") as text,
        mem.open("/b", "wb") as data,
        mem.open("/b", "rb"),
    ):
        text.write("text")
        data.write(b"data")

        mem._handles.flush()

        assert (mem.read_bytes("/a"), mem.read_bytes("/b")) == (b"text", b"data")


def test_open_handles_close_returns_what_was_open(mem: VirtualFileSystem) -> None:
    one, two = mem.open("/a", "wb"), mem.open("/b", "wb")
    one.write(b"data")
    two.close()

    still_open = mem._handles.close()

    assert still_open == [one]
    assert one.closed
    assert (mem.read_bytes("/a"), len(mem._handles)) == (b"data", 0)
    assert mem._handles.close() == []


def test_open_handles_close_one_failing_closes_the_others(
    mem: VirtualFileSystem,
) -> None:
    with suppress(KeyError), mem.atomic_batch():
        stale = mem.open("/a", "wb")
        raise KeyError
    healthy = mem.open("/b", "wb")
    stale.write(b"lost")
    healthy.write(b"kept")

    with pytest.raises(OSError) as caught:
        mem._handles.close()

    assert caught.value.errno == errno.ESTALE
    assert (stale.closed, healthy.closed, len(mem._handles)) == (True, True, 0)
    assert mem.read_bytes("/b") == b"kept"


def test_open_handles_hold_none_alive(mem: VirtualFileSystem) -> None:
    handles = OpenHandles()
    with raw_of(mem) as raw:
        buffered = io.BufferedRandom(raw)
        handles.add(raw, buffered)
        assert handles._living() == [buffered]
        buffered.detach()
        del buffered
        gc.collect()

        assert handles._living() == []
        handles.discard(raw)
        handles.discard(raw)
        assert len(handles) == 0


# --- settling: what is buffered goes into the container -------------------------------


def give_up(handles: OpenHandles, places: Any) -> None:
    """Do what a batch does that fails, with nothing in between."""
    handles.drop(places)
    handles.put_back(places)


def raw_below(handle: IO[Any]) -> ChunkFile:
    return _open_handles.raw_of(handle)


@pytest.mark.parametrize(
    ("mode", "buffering"), [("w", -1), ("wb", -1), ("r+b", -1), ("r+", -1), ("ab", 0)]
)
def test_settle_flushes_each_kind_of_handle(
    mem: VirtualFileSystem, mode: str, buffering: int
) -> None:
    mem.touch(PATH)
    with mem.open(PATH, mode, buffering) as file:
        put(file, "x")

        mem._handles.settle()

        assert mem.read_bytes(PATH) == b"x"


def test_settle_and_give_up_with_nothing_open_do_nothing() -> None:
    handles = OpenHandles()

    places = handles.settle()
    give_up(handles, places)

    assert not places


def test_settle_passes_over_what_is_closed_or_has_come_apart(
    mem: VirtualFileSystem,
) -> None:
    detached = mem.open("/a", "w")
    closed_below = mem.open("/b", "w")
    apart = detached.detach()
    closed_below.buffer.close()
    with mem.open("/c", "w") as whole:
        whole.write("c")

        mem._handles.settle()

        assert mem.read_text("/c") == "c"
    apart.close()


def test_settle_leaves_a_read_only_handle_what_it_has_read_ahead(
    mem: VirtualFileSystem,
) -> None:
    mem.write_bytes(PATH, b"0123456789")
    with mem.open(PATH, "rb") as file:
        file.read(1)
        mem.write_bytes(PATH, b"x" * 10)

        mem._handles.settle()

        assert file.read(3) == b"123"


def test_settle_leaves_a_stale_handle_what_it_has(mem: VirtualFileSystem) -> None:
    with suppress(KeyError), mem.atomic_batch():
        stale = mem.open(PATH, "wb")
        raise KeyError
    stale.write(b"lost")

    places = mem._handles.settle()
    give_up(mem._handles, places)

    assert stale.tell() == 4
    with pytest.raises(OSError) as caught:
        stale.close()
    assert caught.value.errno == errno.ESTALE


# --- giving up: what is buffered goes nowhere -----------------------------------------


@pytest.mark.parametrize("mode", ["wb", "r+b", "ab", "a+b", "w", "r+", "a"])
def test_give_up_throws_buffers_away_and_goes_back(
    mem: VirtualFileSystem, mode: str
) -> None:
    mem.write_bytes(PATH, b"0123456789")
    with mem.open(PATH, mode) as file:
        put(file, "ab")
        places = mem._handles.settle()
        at, before = file.tell(), mem.read_bytes(PATH)
        put(file, "lost")

        give_up(mem._handles, places)

        assert file.tell() == at
        file.flush()
        assert mem.read_bytes(PATH) == before
        raw = raw_below(file)
        assert not raw._is_deaf


def test_drop_and_put_back_with_a_rollback_between_touch_no_file_before_it(
    mem: VirtualFileSystem,
) -> None:
    """A place in UTF-7 may be found by reading alone, and here is nothing to read."""
    mem.write_text(PATH, "\u00e9\u00e0\u00fc\u00f6" * 3, "utf-7")
    with mem.open(PATH, encoding="utf-7") as hard, mem.open("/b", "wb") as other:
        hard.read(1)
        places = mem._handles.settle()
        other.write(b"lost")
        old = mem.read_bytes(PATH)
        mem.truncate(PATH, 0)

        mem._handles.drop(places)
        mem.write_bytes(PATH, old)
        mem._handles.put_back(places)

        assert other.tell() == 0
        assert hard.read(2) == "\u00e0\u00fc"
    assert mem.getsize("/b") == 0


@pytest.mark.parametrize("now", [b"", b"\xff" * 99], ids=["cut", "noise"])
def test_put_back_where_a_place_cannot_be_found_goes_on_with_the_others(
    mem: VirtualFileSystem, now: bytes
) -> None:
    mem.write_text(PATH, "\u00e9\u00e0\u00fc\u00f6" * 3, "utf-7")
    mem.write_bytes("/b", b"0123456789")
    with mem.open(PATH, encoding="utf-7") as hard, mem.open("/b", "rb") as other:
        hard.read(1)
        places = mem._handles.settle()
        other.read(4)
        mem.write_bytes(PATH, now)  # and it stays so: another process did it

        give_up(mem._handles, places)

        assert other.tell() == 0


def test_give_up_takes_what_was_opened_since_back_to_its_begin(
    mem: VirtualFileSystem,
) -> None:
    mem.write_bytes(PATH, b"0123456789")
    places = mem._handles.settle()
    with mem.open(PATH, "rb") as reader, mem.open(PATH, "ab") as writer:
        reader.read(4)
        writer.write(b"lost")

        give_up(mem._handles, places)

        assert (reader.tell(), writer.tell()) == (0, 10)
    assert mem.getsize(PATH) == 10


def test_give_up_makes_a_reader_forget_what_it_read_ahead(
    mem: VirtualFileSystem,
) -> None:
    mem.write_bytes(PATH, b"0123456789")
    with mem.open(PATH, "rb") as file:
        file.read(1)
        places = mem._handles.settle()
        mem.write_bytes(PATH, b"x" * 10)

        give_up(mem._handles, places)

        assert file.read() == b"x" * 9


# --- whose handle it is ---------------------------------------------------------------


def in_thread(call: Callable[[], object]) -> None:
    thread = threading.Thread(target=call)
    thread.start()
    thread.join(20)


def use_in_thread(file: IO[Any]) -> None:
    in_thread(lambda: file.write(b"x"))


@pytest.mark.no_slow_contracts("threads")
def test_handle_is_its_threads_until_another_uses_it(mem: VirtualFileSystem) -> None:
    with mem.open("/mine", "wb", 0) as mine, mem.open("/theirs", "wb", 0) as theirs:
        mine.write(b"x")
        opened_only = theirs.is_mine
        use_in_thread(theirs)

        assert (mine.is_mine, opened_only, theirs.is_mine) == (True, True, False)
        theirs.write(b"x")
        assert not theirs.is_mine
        use_in_thread(mine)
        assert not mine.is_mine


@pytest.mark.no_slow_contracts("threads")
def test_settle_and_give_up_leave_what_another_thread_uses_alone(
    mem: VirtualFileSystem,
) -> None:
    with mem.open(PATH, "wb", 2) as file:
        use_in_thread(file)
        file.write(b"234")  # does not fit: the raw file sees this thread
        use_in_thread(file)
        in_thread(file.flush)  # and that one
        file.write(b"5")
        before = mem.read_bytes(PATH)

        places = mem._handles.settle()
        after = mem.read_bytes(PATH)
        give_up(mem._handles, places)

        assert (before, after) == (before, before)
    assert mem.read_bytes(PATH) == b"x234x5"


# --- the raw file below ---------------------------------------------------------------


@pytest.mark.parametrize("mode", ["r", "rb", "w+", "w+b"])
def test_raw_of_finds_it_below_each_kind(mem: VirtualFileSystem, mode: str) -> None:
    mem.touch(PATH)
    with mem.open(PATH, mode) as file:
        assert _open_handles.raw_of(file).name == PATH
    with mem.open(PATH, "rb", 0) as raw:
        assert _open_handles.raw_of(raw) is raw


def test_raw_of_what_is_none_of_ours_is_a_value_error(mem: VirtualFileSystem) -> None:
    mem.touch(PATH)
    text = mem.open(PATH)
    buffered: Any = text.detach()
    raw = buffered.detach()

    handles: list[Any] = [text, buffered, io.BytesIO()]
    for apart in handles:
        with pytest.raises(ValueError):
            _open_handles.raw_of(apart)

    raw.close()


def test_place_of_text_that_is_iterated_is_not_known(mem: VirtualFileSystem) -> None:
    mem.write_text(PATH, "1\n2\n")
    with mem.open(PATH) as file:
        before = _open_handles.place_of(file)
        next(file)

        assert (before, _open_handles.place_of(file)) == (0, None)
