"""Batches with open handles: what is buffered shares the fate of its batch.

Buffered before a batch is before it; buffered inside is kept or lost with it; and where
it is lost, every handle of the thread stands where it stood, knowing nothing of it.
"""

# ruff: noqa: PT012, SIM117 - the steps of a batch before its end are the test

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Any

import pytest
from tests.api.batches import WAYS, kept, put, taken_back, use
from tests.api.test_batches import failing

from stratavfs import VirtualFileSystem

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TEXT = "0123456789abcdefghij\n" * 3


class Stop(BaseException):
    """No Exception, as KeyboardInterrupt is none."""


@pytest.fixture(params=["memory", "file"])
def vfs(request: pytest.FixtureRequest, make_vfs: Any, tmp_path: Path) -> Any:
    """An empty file system in memory, and one on the disk with longer chunks."""
    if request.param == "memory":
        return make_vfs(":memory:", 3)
    return make_vfs(tmp_path / "container.db", 64)


# --- as if what was inside had never been ---------------------------------------------

BINARY = ("rb", "r+b", "wb", "w+b", "ab", "a+b", "xb", "x+b")
KINDS: list[tuple[str, int, str | None]] = [
    *((mode, buffering, None) for mode in BINARY for buffering in (0, 5, -1)),
    *((mode.replace("b", ""), -1, "utf-8") for mode in BINARY),
    *((mode.replace("b", ""), 1, "utf-8") for mode in BINARY),
    *((mode.replace("b", ""), -1, "utf-16") for mode in BINARY),
]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("mode", "buffering", "encoding"), KINDS)
def test_handle_opened_before_stands_as_if_what_is_lost_had_never_been(
    make_vfs: Any,
    tmp_path: Path,
    mode: str,
    buffering: int,
    encoding: str | None,
    way: str,
) -> None:
    vfs = make_vfs(":memory:", 7)
    host = tmp_path / "f"
    if "x" not in mode:
        host.write_text(TEXT, encoding or "ascii")
        vfs.write_bytes("/f", host.read_bytes())
    steps = ["AB", "cd", "EF"] if way == "kept" else ["AB", "EF"]

    with (
        vfs.open("/f", mode, buffering, encoding) as mine,
        open(host, mode, buffering, encoding) as disk,
    ):
        seen = [use(mine, "AB")]
        with WAYS[way](vfs):
            inside = use(mine, "cd")
        seen += [inside] * (way == "kept")
        theirs = [use(disk, word) for word in steps[:-1]]
        disk.flush()
        assert (seen, mine.tell()) == (theirs, disk.tell())
        assert vfs.read_bytes("/f") == host.read_bytes()
        assert use(mine, "EF") == use(disk, "EF")

    assert vfs.read_bytes("/f") == host.read_bytes()


@pytest.mark.parametrize(
    "kind",
    [ValueError, OSError, KeyboardInterrupt, SystemExit, GeneratorExit, Stop],
)
def test_batch_left_by_an_exception_loses_what_was_buffered_inside(
    vfs: VirtualFileSystem, kind: type[BaseException]
) -> None:
    with vfs.open("/f", "w") as f:
        f.write("before ")
        with pytest.raises(kind), vfs.atomic_batch():
            f.write("inside")
            raise kind
        at_once = vfs.read_text("/f")
        f.write("after")

    assert (at_once, vfs.read_text("/f")) == ("before ", "before after")


def test_generator_closed_in_a_batch_loses_what_was_buffered_inside(
    vfs: VirtualFileSystem,
) -> None:
    f = vfs.open("/f", "w")

    def steps() -> Iterator[None]:
        with vfs.atomic_batch():
            f.write("inside")
            yield

    f.write("before")
    running = steps()
    next(running)
    running.close()  # type: ignore[attr-defined]  # it is a generator
    f.close()

    assert vfs.read_text("/f") == "before"


def test_buffered_before_is_seen_inside_and_belongs_to_before(
    vfs: VirtualFileSystem,
) -> None:
    with vfs.open("/f", "wb", 100) as f:
        f.write(b"before")
        with failing(vfs):
            inside = vfs.read_bytes("/f")

        assert inside == vfs.read_bytes("/f") == b"before"


def test_buffered_inside_is_kept_when_the_batch_is_left(
    vfs: VirtualFileSystem,
) -> None:
    with vfs.open("/f", "w", 100) as f:
        with vfs.atomic_batch():
            f.write("inside")

        assert vfs.read_text("/f") == "inside"


def test_buffered_inside_is_kept_with_all_else_in_one_transaction(
    tmp_path: Path,
) -> None:
    location = tmp_path / "c.db"
    with VirtualFileSystem(location) as vfs, VirtualFileSystem(location) as other:
        with vfs.open("/f", "w") as f:
            with vfs.atomic_batch():
                vfs.write_text("/g", "g")
                f.write("f")
                meanwhile = other.listdir(), other.getsize("/f")

            assert (meanwhile, other.listdir()) == ((["f"], 0), ["f", "g"])
            assert other.read_text("/f") == "f"


@pytest.mark.parametrize("outer_fails", [False, True])
@pytest.mark.parametrize("inner_fails", [False, True])
def test_nested_batches_each_keep_or_lose_what_was_buffered_in_them(
    vfs: VirtualFileSystem, inner_fails: bool, outer_fails: bool
) -> None:
    outer, inner = (failing if it else kept for it in (outer_fails, inner_fails))
    with vfs.open("/f", "wb") as f:
        f.write(b"1")
        with outer(vfs):
            f.write(b"2")
            with inner(vfs):
                f.write(b"3")
            f.write(b"4")
        f.write(b"5")

    inside = b"24" if inner_fails else b"234"
    assert vfs.read_bytes("/f") == b"1" + (b"" if outer_fails else inside) + b"5"


def test_nested_batches_put_positions_back_to_where_each_began(
    vfs: VirtualFileSystem,
) -> None:
    vfs.write_bytes("/f", b"0123456789")
    with vfs.open("/f", "rb", 3) as f:
        f.read(1)
        with failing(vfs):
            f.read(1)
            with failing(vfs):
                f.seek(8)
            middle = f.tell()
            f.seek(9)

        assert (middle, f.tell(), f.read()) == (2, 1, b"123456789")


# --- readers --------------------------------------------------------------------------


@taken_back
@pytest.mark.parametrize("mode", ["rb", "r", "r+b", "r+"])
def test_reader_forgets_what_it_read_ahead_inside(
    vfs: VirtualFileSystem, mode: str, way: Any
) -> None:
    vfs.write_text("/f", "old " * 10)
    with vfs.open("/f", mode, 32) as f:
        f.read(4)
        with way(vfs):
            vfs.write_text("/f", "NEW " * 10)
            f.seek(0, 2)  # out of what is in the buffer
            f.seek(8)
            inside = f.read(4)
        found = f.read()

    assert inside in (b"NEW ", "NEW ")
    assert found in (b"old " * 9, "old " * 9)


@taken_back
def test_iteration_of_bytes_goes_on_as_if_nothing_had_been(
    vfs: VirtualFileSystem, way: Any
) -> None:
    vfs.write_text("/f", TEXT)
    seen = []
    with vfs.open("/f", "rb", 4) as f:
        for line in f:
            seen.append(line)
            with way(vfs):
                vfs.write_text("/f", "x\ny\nz\n")
                f.readline()

    assert b"".join(seen) == TEXT.encode()


@taken_back
def test_iteration_of_text_goes_on(mem: VirtualFileSystem, way: Any) -> None:
    """Text that is iterated cannot tell where it is, so it keeps what it has read."""
    mem.write_text("/f", TEXT)
    seen = []
    with mem.open("/f") as f:
        for line in f:
            seen.append(line)
            with way(mem):
                mem.write_text("/f", "x\ny\nz\n")
        assert f.read() == ""

    assert "".join(seen) == TEXT


@taken_back
@pytest.mark.parametrize("read", [1, 2, 3])
def test_text_whose_position_is_found_by_reading_goes_on(
    mem: VirtualFileSystem, read: int, way: Any
) -> None:
    """Within a run of base64 a place in UTF-7 is told as: begin here, read so many."""
    text = "\u00e9\u00e0\u00fc\u00f6" * 3
    mem.write_text("/f", text, "utf-7")
    with mem.open("/f", encoding="utf-7") as f:
        f.read(read)
        with way(mem):
            mem.truncate("/f", 0)
            mem.touch("/inside")
        rest = f.read()

    assert (rest, mem.listdir()) == (text[read:], ["f"])


@taken_back
def test_reader_of_text_that_no_longer_decodes_goes_on(
    mem: VirtualFileSystem, way: Any
) -> None:
    mem.write_text("/f", "\u00e9\u20ac" * 9)
    with mem.open("/f") as f:
        f.read(1)
        with way(mem):
            mem.write_bytes("/f", b"\xff" * 99)
            with pytest.raises(UnicodeDecodeError):
                f.read()
        rest = f.read()

    assert rest == ("\u00e9\u20ac" * 9)[1:]


# --- handles that come and go inside --------------------------------------------------


@taken_back
@pytest.mark.parametrize("mode", ["rb", "r+b", "ab", "a+b", "r", "r+", "a", "a+"])
@pytest.mark.parametrize("buffering", [-1, 3])
def test_handle_opened_inside_is_back_where_it_was_opened(
    vfs: VirtualFileSystem, mode: str, buffering: int, way: Any
) -> None:
    vfs.write_text("/f", "0123456789")
    with way(vfs):
        f = vfs.open("/f", mode, buffering)
        opened = f.tell()
        use(f, "lost")

    with f:
        assert f.tell() == opened == (10 if "a" in mode else 0)
        f.seek(0)
        assert f.seekable()
        if f.readable():
            assert f.read() in (b"0123456789", "0123456789")
        if f.writable():
            put(f, "!")
    ends = {"a": "0123456789!", "+": "0123456789!"}
    assert vfs.read_text("/f") == ends.get(mode[0], ends.get(mode[1:2], "0123456789"))


@taken_back
@pytest.mark.parametrize("mode", ["wb", "w+b", "xb", "x+", "ab", "w", "a+"])
def test_handle_of_a_file_made_inside_is_stale(
    vfs: VirtualFileSystem, mode: str, way: Any
) -> None:
    with way(vfs):
        f = vfs.open("/new/f", mode, 4)
        use(f, "lost, and more than the buffer holds")

    with pytest.raises(OSError) as caught:
        put(f, "x")
        f.flush()

    assert (caught.value.errno, caught.value.filename) == (errno.ESTALE, "/new/f")
    with pytest.raises(OSError):  # what is left in its buffer
        f.close()
    assert f.closed
    assert vfs.listdir() == []


@taken_back
def test_handle_of_a_file_made_inside_that_buffered_only_inside_closes_quietly(
    vfs: VirtualFileSystem, way: Any
) -> None:
    with way(vfs):
        f = vfs.open("/f", "w")
        f.write("lost")

    f.close()

    assert vfs.listdir() == []


@pytest.mark.parametrize("again", ["flush", "close"])
def test_stale_handle_with_a_buffer_is_named_when_it_is_flushed(
    mem: VirtualFileSystem, again: str
) -> None:
    with failing(mem):
        f = mem.open("/f", "w")
    f.write("nowhere to go")

    with pytest.raises(OSError) as caught:
        {"flush": mem.flush, "close": f.close}[again]()

    assert (caught.value.errno, caught.value.filename) == (errno.ESTALE, "/f")
    mem.write_text("/g", "usable")
    assert mem._store._cx.in_transaction is False
    if again != "close":
        with pytest.raises(OSError):
            f.close()


@taken_back
def test_handle_closed_inside_is_closed_and_what_it_wrote_is_lost(
    vfs: VirtualFileSystem, way: Any
) -> None:
    vfs.write_bytes("/f", b"old")
    f = vfs.open("/f", "r+b")
    f.write(b"k")
    with way(vfs):
        f.write(b"LOST")
        f.close()

    assert f.closed
    assert vfs.read_bytes("/f") == b"kld"


@taken_back
def test_handle_opened_in_the_place_of_a_closed_one_has_its_own_position(
    mem: VirtualFileSystem, way: Any
) -> None:
    """Nothing of a closed handle is taken for that of one that came after it."""
    mem.write_bytes("/f", b"0123456789")
    for _ in range(3):
        f = mem.open("/f", "rb", 0)
        f.seek(5)
        with way(mem):
            f.close()
            del f
            opened = [mem.open("/f", "rb", 0) for _ in range(3)]

        assert [file.tell() for file in opened] == [0, 0, 0]
        for file in opened:
            file.close()


@taken_back
@pytest.mark.parametrize("verb", ["rename", "replace", "remove", "rmtree"])
def test_handle_of_a_file_that_goes_inside_writes_on_in_its_place(
    vfs: VirtualFileSystem, verb: str, way: Any
) -> None:
    vfs.write_bytes("/d/f", b"0123456789")
    vfs.write_bytes("/g", b"g")
    with vfs.open("/d/f", "r+b") as f:
        f.write(b"A")
        with way(vfs):
            args = {"remove": ["/d/f"], "rmtree": ["/d"], "rename": ["/d/f", "/h"]}
            getattr(vfs, verb)(*args.get(verb, ["/g", "/d/f"]))
            f.write(b"lost")
        f.write(b"B")

    assert vfs.read_bytes("/d/f") == b"AB23456789"
    assert vfs.read_bytes("/g") == b"g"
    assert vfs.listdir() == ["d", "g"]


@taken_back
@pytest.mark.parametrize("through", ["handle", "path", "open w"])
@pytest.mark.parametrize("size", [0, 4, 500])
def test_handle_of_a_file_cut_inside_has_its_size_again(
    vfs: VirtualFileSystem, through: str, size: int, way: Any
) -> None:
    vfs.write_bytes("/f", b"0123456789" * 20)
    with vfs.open("/f", "r+b") as f:
        f.seek(150)
        with way(vfs):
            if through == "handle":
                f.truncate(size)
            elif through == "path":
                vfs.truncate("/f", size)
            else:
                vfs.open("/f", "wb").close()
            f.write(b"lost")
        at, end = f.tell(), f.seek(0, 2)

    assert (at, end) == (150, 200)
    assert vfs.read_bytes("/f") == b"0123456789" * 20


# --- over layers ----------------------------------------------------------------------


@pytest.fixture
def over(make_vfs: Any) -> VirtualFileSystem:
    base = make_vfs(chunk_size=3)
    base.write_bytes("/d/f", b"0123456789")
    vfs: VirtualFileSystem = make_vfs(chunk_size=4)
    vfs.add_underlay(base, name="base")
    return vfs


@taken_back
@pytest.mark.parametrize("mode", ["r+b", "r+", "a+b", "a"])
def test_handle_of_a_file_that_comes_up_inside_is_back_on_the_base(
    over: VirtualFileSystem, mode: str, way: Any
) -> None:
    with over.open("/d/f", mode, 3) as f:
        with way(over):
            use(f, "lost and gone")
        layer = over.which_layer("/d/f")
        back = over.read_bytes("/d/f")
        f.seek(0, 2)
        put(f, "!")
        f.flush()

        assert (layer, back) == ("base", b"0123456789")
        assert over.which_layer("/d/f") == "local"

    assert over.read_bytes("/d/f") == b"0123456789!"


@taken_back
def test_handle_of_a_base_file_hidden_inside_reads_it_again(
    over: VirtualFileSystem, way: Any
) -> None:
    with over.open("/d/f", "rb", 2) as f:
        f.read(1)
        with way(over):
            over.remove("/d/f")
            over.write_bytes("/d/f", b"another")
            f.read(1)
        rest = f.read()

    assert (rest, over.diff()) == (b"123456789", [])


def test_reader_of_a_base_file_follows_it_up_and_down(
    over: VirtualFileSystem,
) -> None:
    with over.open("/d/f", "r+b", 0) as writer, over.open("/d/f", "rb", 4) as reader:
        with failing(over):
            writer.write(b"UP")
            inside = reader.read(2)
            reader.seek(0, 2)
        assert (inside[:0], reader.read()) == (b"", b"0123456789")
