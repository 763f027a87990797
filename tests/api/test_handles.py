"""Handles: two on one file, holes, orphans, and what closing the file system does."""

from __future__ import annotations

import errno
import io
from typing import TYPE_CHECKING, Any

import pytest

from stratavfs import VirtualFileSystem

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.mark.parametrize(
    ("mode", "buffering", "kind"),
    [
        ("r", -1, io.TextIOWrapper),
        ("rb", -1, io.BufferedReader),
        ("wb", -1, io.BufferedWriter),
        ("ab", -1, io.BufferedWriter),
        ("r+b", -1, io.BufferedRandom),
        ("w+b", -1, io.BufferedRandom),
        ("rb", 0, io.RawIOBase),
        ("wb", 0, io.RawIOBase),
    ],
)
def test_open_gives_the_standard_class(
    mem: VirtualFileSystem, mode: str, buffering: int, kind: type
) -> None:
    mem.touch("/f")

    with mem.open("/f", mode, buffering) as f:
        assert isinstance(f, kind)


def test_open_default_buffer_is_one_chunk(
    make_vfs: Callable[..., VirtualFileSystem],
) -> None:
    vfs = make_vfs(":memory:", 10)
    with vfs.open("/f", "wb") as f:
        f.write(b"123456789")
        assert vfs.getsize("/f") == 0
        f.write(b"ABC")
        assert vfs.getsize("/f") >= 9

    assert vfs.getsize("/f") == 12


def test_handle_name_is_the_normalised_path(mem: VirtualFileSystem) -> None:
    with mem.open("d//f/", "w") as f:
        assert f.name == "/d/f"
        assert f.buffer.name == "/d/f"
        assert "/d/f" in repr(f)


def test_raw_handle_shows_its_mode_and_state(mem: VirtualFileSystem) -> None:
    with mem.open("/f", "w+b", 0) as raw:
        assert raw.mode == "rb+"
        assert "rb+" in repr(raw)

    assert "closed" in repr(raw)


def test_two_handles_see_each_others_flushed_writes(vfs: VirtualFileSystem) -> None:
    with vfs.open("/f", "w+b") as one, vfs.open("/f", "r+b", 0) as two:
        one.write(b"12345")
        one.flush()
        assert two.read() == b"12345"
        two.seek(1)
        two.write(b"ABCDEFG")
        one.seek(0)
        assert one.read() == b"1ABCDEFG"
        assert one.seek(0, io.SEEK_END) == 8


def test_whole_file_calls_see_flushed_writes_alone(vfs: VirtualFileSystem) -> None:
    with vfs.open("/f", "wb", 100_000) as f:
        f.write(b"12345")
        assert vfs.read_bytes("/f") == b""

        vfs.flush()

        assert vfs.read_bytes("/f") == b"12345"


def test_flush_of_the_file_system_leaves_handles_open(mem: VirtualFileSystem) -> None:
    with mem.open("/a", "w") as one, mem.open("/b", "wb") as two:
        mem.touch("/c")
        with mem.open("/c") as three:
            one.write("1")
            two.write(b"2")
            mem.flush()
            assert (one.closed, two.closed, three.closed) == (False, False, False)

    assert (mem.read_text("/a"), mem.read_text("/b")) == ("1", "2")


def test_sync_flushes_handles_too(vfs: VirtualFileSystem) -> None:
    with vfs.open("/f", "w") as f:
        f.write("kept")

        vfs.sync()

        assert vfs.read_text("/f") == "kept"


def test_each_flush_is_a_transaction_that_readers_see(vfs: VirtualFileSystem) -> None:
    with vfs.open("/f", "w") as f:
        seen = []
        for word in ("a", "b", "c"):
            f.write(word)
            f.flush()
            seen.append(vfs.read_text("/f"))

    assert seen == ["a", "ab", "abc"]


def test_write_through_a_handle_sets_times_and_generation(
    make_vfs: Callable[..., VirtualFileSystem], clock: Any
) -> None:
    vfs = make_vfs(clock=clock)
    with vfs.open("/f", "wb", 0) as f:
        before = vfs.stat("/f")
        f.write(b"x")
        after = vfs.stat("/f")

    assert after.st_mtime_ns == after.st_ctime_ns > before.st_mtime_ns
    assert after.generation > before.generation
    assert after.st_birthtime_ns == before.st_birthtime_ns


def test_write_of_nothing_through_a_handle_changes_no_time(
    make_vfs: Callable[..., VirtualFileSystem], clock: Any
) -> None:
    vfs = make_vfs(clock=clock)
    vfs.write_bytes("/f", b"x")
    before = vfs.stat("/f")

    with vfs.open("/f", "r+b", 0) as f:
        assert f.write(b"") == 0
        f.flush()

    assert vfs.stat("/f") == before


def test_open_to_read_changes_no_time(
    make_vfs: Callable[..., VirtualFileSystem], clock: Any
) -> None:
    vfs = make_vfs(clock=clock)
    vfs.write_bytes("/f", b"x")
    before = vfs.stat("/f")

    for mode in ("rb", "r+b", "ab"):
        with vfs.open("/f", mode):
            pass
    with vfs.open("/f", "rb") as f:
        f.read()

    assert vfs.stat("/f") == before


# --- holes ----------------------------------------------------------------------------


@pytest.mark.parametrize("gap", [1, 2, 3, 63, 64, 65, 200])
def test_write_far_behind_the_end_reads_zeros_between(
    vfs: VirtualFileSystem, gap: int
) -> None:
    with vfs.open("/f", "wb", 0) as f:
        f.seek(gap)
        f.write(b"x")

    assert vfs.read_bytes("/f") == bytes(gap) + b"x"


def test_fill_a_hole_later_leaves_its_edges(vfs: VirtualFileSystem) -> None:
    with vfs.open("/f", "w+b", 0) as f:
        f.seek(200)
        f.write(b"end")
        f.seek(100)
        f.write(b"mid")
        f.seek(0)

        assert f.read() == bytes(100) + b"mid" + bytes(97) + b"end"


@pytest.mark.parametrize("at", [0, 50, 99, 100, 101, 103, 150])
@pytest.mark.parametrize("count", [1, 3, 64, 100])
def test_read_across_a_hole_gives_zeros(
    vfs: VirtualFileSystem, at: int, count: int
) -> None:
    whole = b"start" + bytes(95) + b"end"
    with vfs.open("/f", "wb", 0) as f:
        f.write(b"start")
        f.seek(100)
        f.write(b"end")

    with vfs.open("/f", "rb", 0) as f:
        f.seek(at)
        assert f.read(count) == whole[at : at + count]


def test_hole_of_a_terabyte_costs_nothing(mem: VirtualFileSystem) -> None:
    with mem.open("/f", "wb", 0) as f:
        assert f.truncate(1 << 40) == 1 << 40

    assert mem.getsize("/f") == 1 << 40
    with mem.open("/f", "rb") as f:
        f.seek(-3, io.SEEK_END)
        assert f.read() == bytes(3)


def test_size_beyond_every_limit_is_refused(mem: VirtualFileSystem) -> None:
    mem.write_bytes("/f", b"kept")
    before = mem.stat("/f")

    with mem.open("/f", "r+b", 0) as f, pytest.raises(OSError) as caught:
        f.truncate((1 << 62) + 1)

    assert (caught.value.errno, caught.value.filename) == (errno.EFBIG, "/f")
    assert mem.stat("/f") == before


# --- files without a name -------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 3, 5000])
def test_remove_while_open_keeps_the_file_for_the_handle(
    vfs: VirtualFileSystem, size: int
) -> None:
    vfs.write_bytes("/f", b"x" * size)

    with vfs.open("/f", "r+b") as f:
        vfs.remove("/f")
        assert f.read() == b"x" * size
        f.write(b"more")
        f.seek(0)
        assert f.read() == b"x" * size + b"more"
        assert not vfs.exists("/f")
        assert vfs.check() == []

    assert vfs.listdir() == []


def test_remove_while_open_twice_keeps_it_for_the_last_handle(
    vfs: VirtualFileSystem,
) -> None:
    vfs.write_bytes("/f", b"data")
    one, two = vfs.open("/f", "rb", 0), vfs.open("/f", "rb", 0)
    vfs.remove("/f")

    one.close()

    assert two.read() == b"data"
    two.close()


def test_rmtree_while_open_keeps_the_file_for_the_handle(
    vfs: VirtualFileSystem,
) -> None:
    vfs.write_bytes("/d/e/f", b"data" * 50)

    with vfs.open("/d/e/f", "r+b") as f:
        vfs.rmtree("/d")
        assert f.read() == b"data" * 50
        assert vfs.listdir() == []
        assert vfs.check() == []


def test_replace_while_open_keeps_the_old_file_for_the_handle(
    vfs: VirtualFileSystem,
) -> None:
    vfs.write_bytes("/f", b"old")
    vfs.write_bytes("/g", b"new")

    with vfs.open("/f", "rb") as f:
        vfs.replace("/g", "/f")
        assert f.read() == b"old"

    assert vfs.read_bytes("/f") == b"new"


def test_link_of_an_open_removed_file_is_gone_by_its_name(
    mem: VirtualFileSystem,
) -> None:
    mem.write_bytes("/f", b"data")

    with mem.open("/f", "rb"):
        mem.remove("/f")
        with pytest.raises(FileNotFoundError):
            mem.link("/f", "/g")


def test_remove_one_of_two_names_while_open_keeps_the_other(
    vfs: VirtualFileSystem,
) -> None:
    vfs.write_bytes("/f", b"data")
    vfs.link("/f", "/g")

    with vfs.open("/f", "r+b") as f:
        vfs.remove("/f")
        f.write(b"DA")

    assert vfs.read_bytes("/g") == b"DAta"
    assert vfs.stat("/g").st_nlink == 1


def test_orphan_is_gone_after_close(tmp_path: Any) -> None:
    with VirtualFileSystem(tmp_path / "c.db") as vfs:
        vfs.write_bytes("/f", b"x" * 100_000)
        with vfs.open("/f", "rb"):
            vfs.remove("/f")

    with VirtualFileSystem(tmp_path / "c.db") as vfs:
        assert vfs.listdir() == []
        assert vfs.check() == []


def test_new_file_of_the_same_name_is_another_one(vfs: VirtualFileSystem) -> None:
    vfs.write_bytes("/f", b"old")

    with vfs.open("/f", "r+b", 0) as f:
        vfs.remove("/f")
        vfs.write_bytes("/f", b"new")
        f.write(b"OLD")
        f.seek(0)
        assert f.read() == b"OLD"

    assert vfs.read_bytes("/f") == b"new"


# --- append ---------------------------------------------------------------------------


def test_append_writes_at_the_end_of_that_moment(vfs: VirtualFileSystem) -> None:
    vfs.write_bytes("/f", b"1")
    with vfs.open("/f", "ab", 0) as f:
        vfs.write_bytes("/f", b"123456")
        f.write(b"7")
        vfs.truncate("/f", 2)
        f.write(b"x")

    assert vfs.read_bytes("/f") == b"12x"


def test_open_to_append_makes_a_missing_file_with_parents(
    mem: VirtualFileSystem,
) -> None:
    with mem.open("/d/f", "a") as f:
        f.write("new")

    assert mem.read_text("/d/f") == "new"


def test_open_w_through_a_dangling_link_makes_its_target(
    mem: VirtualFileSystem,
) -> None:
    mem.symlink("target", "/link")

    with mem.open("/link", "w") as f:
        f.write("new")

    assert mem.read_text("/target") == "new"
    assert mem.readlink("/link") == "target"
