"""fork(): an independent copy in memory, over the same underlays."""

from __future__ import annotations

import errno
import gc
import os
import pickle
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
from tests import ground
from tests.api.test_batches import change_everything, everything

from stratavfs import VirtualFileSystem

if TYPE_CHECKING:
    from pathlib import Path

Vfs = VirtualFileSystem


@pytest.fixture(params=["memory-3", "memory-65536", "file-3", "file-65536"])
def tree(request: pytest.FixtureRequest, make_vfs: Any, tmp_path: Path) -> Vfs:
    """A file system with some of everything."""
    where, chunk_size = request.param.split("-")
    location = ":memory:" if where == "memory" else tmp_path / "tree.db"
    vfs: Vfs = make_vfs(location, int(chunk_size))
    vfs.write_bytes("/d/small", b"1")
    vfs.write_bytes("/d/large", b"x" * 500)
    vfs.write_bytes("/d/sub/f", b"2")
    vfs.link("/d/small", "/second")
    vfs.symlink("d", "/link")
    vfs.setxattr("/d/small", "user.x", b"1")
    vfs.touch("/d/sparse")
    vfs.truncate("/d/sparse", 1 << 40)
    return vfs


def rows(vfs: Vfs) -> ground.Dump:
    return ground.dump(vfs._store._cx)


def change(vfs: Vfs) -> None:
    vfs.remove("/d/sparse")  # too large for what reads everything
    change_everything(vfs)


# --- a copy of everything -------------------------------------------------------------


def test_fork_has_all_that_the_container_has(tree: Vfs) -> None:
    before = rows(tree)

    with tree.fork() as forked:
        assert rows(forked) == before
        assert forked.check(deep=True) == []
        assert forked.db_path == ":memory:"
        assert (forked.chunk_size, forked.read_only) == (tree.chunk_size, False)
        assert forked.stat("/d/sparse").st_size == 1 << 40

    assert rows(tree) == before


@pytest.mark.parametrize("who", ["fork", "original"])
def test_change_of_one_is_not_seen_in_the_other(tree: Vfs, who: str) -> None:
    with tree.fork() as forked:
        mine, other = (forked, tree) if who == "fork" else (tree, forked)
        before = rows(other)

        change(mine)

        assert rows(other) == before
        assert rows(mine) != before
        assert mine.check() == other.check() == []


def test_both_change_and_each_keeps_its_own(tree: Vfs) -> None:
    with tree.fork() as forked:
        tree.write_text("/f", "original")
        forked.write_text("/f", "fork")
        tree.rename("/d", "/moved")
        forked.rmtree("/d")

        assert (tree.read_text("/f"), forked.read_text("/f")) == ("original", "fork")
        assert tree.listdir() == ["f", "link", "moved", "second"]
        assert forked.listdir() == ["f", "link", "second"]


def test_fork_outlives_the_original(make_vfs: Any, tmp_path: Path) -> None:
    vfs = make_vfs(tmp_path / "c.db")
    vfs.write_text("/f", "x")
    forked = vfs.fork()

    vfs.close()
    os.unlink(tmp_path / "c.db")

    with forked:
        forked.write_text("/g", "y")
        assert forked.listdir() == ["f", "g"]


def test_original_outlives_the_fork(tree: Vfs) -> None:
    before = rows(tree)

    tree.fork().close()
    forked = tree.fork()
    del forked
    gc.collect()

    assert rows(tree) == before
    tree.touch("/f")


def test_fork_of_a_fork_of_a_fork_is_its_own(tree: Vfs) -> None:
    with tree.fork() as first, first.fork() as second, second.fork() as third:
        for number, vfs in enumerate((tree, first, second, third)):
            vfs.write_text("/f", str(number))

        found = [vfs.read_text("/f") for vfs in (tree, first, second, third)]

    assert found == ["0", "1", "2", "3"]


def test_forks_of_one_know_nothing_of_each_other(mem: Vfs) -> None:
    mem.touch("/f")
    forks = [mem.fork() for _ in range(20)]

    for number, forked in enumerate(forks):
        forked.rename("/f", f"/{number}")

    assert [forked.listdir() for forked in forks] == [[str(n)] for n in range(20)]
    assert mem.listdir() == ["f"]
    assert len({forked.stat("/").st_dev for forked in [mem, *forks]}) == 21
    for forked in forks:
        forked.close()


@pytest.mark.slow
@pytest.mark.no_slow_contracts("single")
def test_fork_of_two_thousand_files_is_complete(make_vfs: Any, tmp_path: Path) -> None:
    vfs = make_vfs(tmp_path / "c.db")
    with vfs.atomic_batch():
        for number in range(2000):
            vfs.write_bytes(f"/{number % 40}/{number}", b"%d" % number * 1000)
    before = everything(vfs)

    with vfs.fork() as forked:
        assert everything_but_device(forked) == everything_but_device(vfs)
        forked.rmtree("/7")
        forked.write_bytes("/0/0", b"")

    assert everything(vfs) == before


def everything_but_device(vfs: Vfs) -> dict[str, object]:
    found: dict[str, Any] = everything(vfs)
    return {
        path: (stat._replace(st_dev=0), *rest) for path, (stat, *rest) in found.items()
    }


def test_number_of_an_inode_is_not_given_twice_in_a_fork(mem: Vfs) -> None:
    mem.touch("/f")
    mem.remove("/f")
    mem.touch("/g")
    number = mem.stat("/g").st_ino

    with mem.fork() as forked:
        forked.remove("/g")
        forked.touch("/h")

        assert forked.stat("/h").st_ino > number


# --- options, and what cannot be copied -----------------------------------------------


def test_fork_keeps_the_options(make_vfs: Any, tmp_path: Path, clock: Any) -> None:
    vfs = make_vfs(
        tmp_path / "c.db", 7, create_parents=False, timeout=0.25, clock=clock
    )

    with vfs.fork() as forked:
        before = clock.now
        forked.touch("/f")

        assert forked.stat("/f").st_mtime_ns == clock.now > before
        assert forked._store.options == vfs._store.options
        with pytest.raises(FileNotFoundError):
            forked.touch("/no/parent")
        assert forked.chunk_size == 7
        forked.write_bytes("/f", b"x" * 50)
        assert forked.read_bytes("/f") == b"x" * 50


@pytest.mark.parametrize("option", ["read_only", "immutable"])
def test_fork_of_what_cannot_be_written_can_be(
    make_vfs: Any, tmp_path: Path, option: str
) -> None:
    with Vfs(tmp_path / "c.db", 64) as maker:
        maker.write_bytes("/d/f", b"x" * 500)
    before = ground.files_beside(tmp_path / "c.db")
    vfs = make_vfs(tmp_path / "c.db", **{option: True})

    with vfs.fork() as forked:
        forked.write_bytes("/d/f", b"changed")
        assert (forked.read_only, forked.chunk_size) == (False, 64)
        assert forked.listdir("/d") == ["f"]

    assert vfs.read_bytes("/d/f") == b"x" * 500
    assert (
        ground.files_beside(tmp_path / "c.db")[str(tmp_path / "c.db")]
        == (before[str(tmp_path / "c.db")])
    )


def test_fork_of_an_empty_read_only_memory_can_be_written(make_vfs: Any) -> None:
    vfs = make_vfs(":memory:", read_only=True)

    with vfs.fork() as forked:
        forked.touch("/f")
        assert forked.listdir() == ["f"]


def test_fork_holds_what_is_in_the_log_alone(make_vfs: Any, tmp_path: Path) -> None:
    vfs = make_vfs(tmp_path / "c.db")
    vfs.write_text("/f", "in the log")
    assert os.path.getsize(tmp_path / "c.db-wal") > 0

    with vfs.fork() as forked:
        assert forked.read_text("/f") == "in the log"


def test_fork_holds_what_another_connection_has_committed(
    make_vfs: Any, tmp_path: Path
) -> None:
    vfs, other = make_vfs(tmp_path / "c.db"), make_vfs(tmp_path / "c.db")
    other.touch("/committed")
    with other.atomic_batch():
        other.touch("/not yet")

        with vfs.fork() as forked:
            assert forked.listdir() == ["committed"]

    assert vfs.listdir() == ["committed", "not yet"]


@pytest.mark.damaged
def test_fork_of_a_damaged_container_names_it(tmp_path: Path) -> None:
    location = tmp_path / "c.db"
    with Vfs(location) as maker:
        maker.write_bytes("/f", bytes(1_000_000))
    with Vfs(location) as vfs:
        with open(location, "r+b") as raw:
            raw.truncate(40_000)

        with pytest.raises(OSError) as caught:
            vfs.fork()

        assert caught.value.errno == errno.EIO
        assert caught.value.filename == str(location)
        assert isinstance(caught.value.__cause__, sqlite3.Error)


def test_fork_of_a_locked_container_without_a_log_gives_up(tmp_path: Path) -> None:
    location = tmp_path / "c.db"
    Vfs(location).close()
    with closing(ground.connect(location)) as cx:
        cx.execute("PRAGMA journal_mode = DELETE")
    with (
        Vfs(location, read_only=True, timeout=0.05) as vfs,
        closing(ground.connect(location)) as writer,
    ):
        vfs.listdir()
        writer.execute("BEGIN EXCLUSIVE")

        with pytest.raises(OSError, match="another writer") as caught:
            vfs.fork()

        writer.execute("ROLLBACK")
        assert (caught.value.errno, caught.value.filename) == (
            errno.EBUSY,
            str(location),
        )
        vfs.fork().close()


def test_fork_after_the_directory_changed_has_everything(
    make_vfs: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    vfs = make_vfs("c.db")
    vfs.touch("/f")

    monkeypatch.chdir("elsewhere")

    with vfs.fork() as forked:
        assert forked.listdir() == ["f"]
    monkeypatch.chdir(tmp_path)


# --- open handles ---------------------------------------------------------------------


def test_fork_has_what_was_buffered(tree: Vfs) -> None:
    with tree.open("/f", "w") as f:
        f.write("buffered")

        with tree.fork() as forked:
            assert forked.read_text("/f") == "buffered"
            f.write(", and not after")

        assert forked.closed
    assert tree.read_text("/f") == "buffered, and not after"


def test_handle_stays_with_the_original(tree: Vfs) -> None:
    with tree.open("/d/small", "r+b", 0) as f, tree.fork() as forked:
        f.write(b"written later")
        forked.remove("/d/small")

        assert forked.read_bytes("/second") == b"1"
    assert tree.read_bytes("/second") == b"written later"


def test_file_without_a_name_does_not_come_along(tree: Vfs) -> None:
    with tree.open("/d/large", "r+b", 0) as f:
        tree.remove("/d/large")
        f.write(b"still here")

        with tree.fork() as forked:
            assert tree.stats().orphans == 1
            assert forked.stats().orphans == 0
            assert forked.check() == []
            assert "still here" not in repr(rows(forked))

        f.seek(0)
        assert f.read(10) == b"still here"
    assert tree.stats().orphans == 0


def test_handles_of_a_fork_are_closed_with_it(tree: Vfs) -> None:
    forked = tree.fork()
    f = forked.open("/f", "w")

    with pytest.warns(ResourceWarning, match="closed with"):
        forked.close()

    assert f.closed
    assert not tree.closed


# --- refused --------------------------------------------------------------------------


def test_fork_inside_a_batch_is_refused_and_the_batch_goes_on(tree: Vfs) -> None:
    with tree.atomic_batch():
        tree.touch("/f")
        with pytest.raises(OSError, match="leave the batch") as caught:
            tree.fork()
        tree.touch("/g")

    assert (caught.value.errno, caught.value.filename) == (errno.EINVAL, tree.db_path)
    assert tree.exists("/f")
    assert tree.exists("/g")


def test_fork_of_a_closed_file_system_is_refused_as_for_files() -> None:
    vfs = Vfs()
    vfs.close()

    with pytest.raises(ValueError, match="closed"):
        vfs.fork()


def test_fork_cannot_be_pickled_nor_copied(mem: Vfs) -> None:
    with mem.fork() as forked, pytest.raises(TypeError, match=r"backup\(\)"):
        pickle.dumps(forked)
