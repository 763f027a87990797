"""compact() and stats(): what a container takes, and what can be given back."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import threading
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
from tests import ground
from tests.api import grafting
from tests.api.test_batches import everything, failing
from tests.concurrency.test_processes import Peer

from stratavfs import ReadOnlyError, VirtualFileSystem

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

Vfs = VirtualFileSystem


@pytest.fixture
def location(tmp_path: Path) -> Path:
    return tmp_path / "c.db"


@pytest.fixture(params=["memory", "file"])
def vfs(request: pytest.FixtureRequest, make_vfs: Any, location: Path) -> Vfs:
    made: Vfs = make_vfs(":memory:" if request.param == "memory" else location, 1000)
    return made


def rows(vfs: Vfs) -> ground.Dump:
    return ground.dump(vfs._store._cx)


def ask(vfs: Vfs, sql: str) -> int:
    """Return one number, by a statement of the test's own."""
    (number,) = vfs._store._cx.execute(sql).fetchone()
    return int(number)


def log_of(vfs: Vfs) -> int:
    path = vfs.db_path + "-wal"
    return os.path.getsize(path) if os.path.exists(path) else 0


# --- stats(): every number counted another way ----------------------------------------


def counted(vfs: Vfs) -> dict[str, int]:
    """Return what stats() should, from all rows and the pages."""
    found = rows(vfs)
    kinds = [row[1] >> 12 for row in found["inodes"] if row[2]]
    page = ask(vfs, "PRAGMA page_size")
    return {
        "files": kinds.count(8),
        "directories": kinds.count(4),
        "symlinks": kinds.count(10),
        "whiteouts": [row[2] for row in found["entries"]].count(14),
        "orphans": [row[2] for row in found["inodes"]].count(0),
        "logical_bytes": sum(
            row[7] for row in found["inodes"] if row[2] and row[1] >> 12 == 8
        ),
        "stored_bytes": sum(len(row[2]) for row in found["chunks"])
        + sum(len(row[-1]) for row in found["inodes"] if row[-1] is not None),
        "container_bytes": ask(vfs, "PRAGMA page_count") * page,
        "log_bytes": log_of(vfs),
        "free_bytes": ask(vfs, "PRAGMA freelist_count") * page,
        "reclaimable_bytes": ask(vfs, "PRAGMA freelist_count") * page + log_of(vfs),
    }


def test_stats_of_an_empty_file_system(vfs: Vfs) -> None:
    found = vfs.stats()

    assert found._asdict() == counted(vfs)
    assert (found.files, found.directories, found.logical_bytes) == (0, 1, 0)
    assert (found.stored_bytes, found.free_bytes, found.orphans) == (0, 0, 0)


def test_stats_count_everything_once(vfs: Vfs, make_vfs: Any) -> None:
    base = grafting.filled(make_vfs)
    vfs.add_underlay(base)
    grafting.edit(vfs)
    vfs.write_bytes("/hard 1", b"x" * 50)
    vfs.link("/hard 1", "/hard 2")
    vfs.write_bytes("/large", b"x" * 12_345)
    with vfs.open("/orphan", "wb") as f:
        f.write(b"o" * 5000)
        vfs.remove("/orphan")

        found = vfs.stats()

        assert found._asdict() == counted(vfs)
        assert (found.orphans, found.whiteouts > 2, found.symlinks) == (1, True, 1)
    assert vfs.stats()._asdict() == counted(vfs)


def test_stats_of_each_kind_by_hand(mem: Vfs) -> None:
    mem.write_bytes("/a", b"x" * 10)
    mem.link("/a", "/d/b")
    mem.symlink("a", "/link")
    mem.truncate("/a", 20)
    mem.makedirs("/d/e/f")

    found = mem.stats()

    assert (found.files, found.directories, found.symlinks) == (1, 4, 1)
    assert found.logical_bytes == 20
    assert found.log_bytes == 0


@pytest.mark.parametrize("count", [1, 2, 9])
def test_stats_of_the_largest_sparse_files_do_not_overflow(
    vfs: Vfs, count: int
) -> None:
    for number in range(count):
        vfs.write_bytes(f"/{number}", b"x")
        vfs.truncate(f"/{number}", 1 << 62)
    vfs.write_bytes("/small", b"12345")

    found = vfs.stats()

    assert found.logical_bytes == count * (1 << 62) + 5
    assert found.stored_bytes == count + 5
    assert found._asdict() == counted(vfs)


def test_stats_inside_a_batch_are_those_of_the_batch(vfs: Vfs) -> None:
    with failing(vfs):
        vfs.write_bytes("/f", b"12345")
        inside = vfs.stats()
        assert inside._asdict() == counted(vfs)

    assert (inside.files, inside.logical_bytes) == (1, 5)
    assert (vfs.stats().files, vfs.stats().logical_bytes) == (0, 0)


def test_stats_know_nothing_of_what_is_buffered(vfs: Vfs) -> None:
    with vfs.open("/f", "wb") as f:
        f.write(b"123")

        assert vfs.stats().logical_bytes == 0
    assert vfs.stats().logical_bytes == 3


def test_stats_of_a_closed_container_that_is_one_file(location: Path) -> None:
    with Vfs(location) as maker:
        maker.write_bytes("/f", bytes(100_000))
    size = os.path.getsize(location)

    for options in ({"read_only": True}, {"immutable": True}, {}):
        with Vfs(location, **options) as vfs:  # type: ignore[arg-type]
            found = vfs.stats()
            assert (found.container_bytes, found.files) == (size, 1)
            assert found._asdict() == counted(vfs)


def test_stats_count_the_local_layer_alone(make_vfs: Any) -> None:
    base, vfs = make_vfs(), make_vfs()
    base.write_bytes("/below", b"x" * 100)
    vfs.add_underlay(base)

    assert (vfs.stats().files, base.stats().files) == (0, 1)


def test_stats_change_nothing(vfs: Vfs) -> None:
    vfs.write_bytes("/f", b"x" * 5000)
    before, changes = everything(vfs), vfs._store.changes

    first, second = vfs.stats(), vfs.stats()

    assert first == second
    assert (everything(vfs), vfs._store.changes) == (before, changes)


def test_stats_after_the_directory_changed_see_the_log(
    make_vfs: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    vfs = make_vfs("c.db")
    vfs.write_bytes("/f", bytes(10_000))
    before = vfs.stats()
    (tmp_path / "elsewhere").mkdir()

    monkeypatch.chdir("elsewhere")
    after = vfs.stats()
    monkeypatch.chdir(tmp_path)

    assert after == before
    assert after.log_bytes > 0


# --- compact() ------------------------------------------------------------------------


def with_holes(vfs: Vfs) -> Vfs:
    """Keep a little of everything, and remove much."""
    grafting.fill(vfs)
    vfs.write_bytes("/kept", bytes(range(250)) * 100)
    for number in range(5):
        vfs.write_bytes(f"/much/{number}", bytes(200_000))
    vfs.rmtree("/much")
    return vfs


def test_compact_gives_back_what_was_removed(vfs: Vfs) -> None:
    with_holes(vfs)
    before, view, stats = rows(vfs), grafting.seen(vfs), vfs.stats()
    assert stats.free_bytes > 900_000

    given = vfs.compact()

    after = vfs.stats()
    taken = stats.container_bytes + stats.log_bytes
    assert given == taken - after.container_bytes - after.log_bytes
    assert given >= stats.reclaimable_bytes
    assert (after.free_bytes, after.log_bytes, after.reclaimable_bytes) == (0, 0, 0)
    assert (rows(vfs), grafting.seen(vfs)) == (before, view)
    assert vfs.check(deep=True) == []


def test_compact_makes_the_file_smaller_at_once(make_vfs: Any, location: Path) -> None:
    vfs = with_holes(make_vfs(location, 1000))
    before = os.path.getsize(location) + log_of(vfs)

    given = vfs.compact()

    assert os.path.getsize(location) == vfs.stats().container_bytes
    assert os.path.getsize(location) + log_of(vfs) < before - 900_000
    assert given > 900_000


def test_compact_twice_gives_back_nothing_more(vfs: Vfs) -> None:
    with_holes(vfs).compact()
    before = vfs.stats()

    assert vfs.compact() == 0
    assert vfs.stats() == before


def test_compact_of_nothing_is_nothing(mem: Vfs) -> None:
    assert mem.compact() == 0


def test_compact_keeps_what_makes_it_a_container(location: Path) -> None:
    with Vfs(location, 77) as vfs:
        with_holes(vfs)
        number = max(row[0] for row in rows(vfs)["inodes"])
        page = ask(vfs, "PRAGMA page_size")
        vfs.compact()
        assert ask(vfs, "PRAGMA page_size") == page

    with Vfs(location) as again:
        assert again.chunk_size == 77
        assert again.read_bytes("/kept") == bytes(range(250)) * 100
        again.touch("/new")
        assert again.stat("/new").st_ino > number


def test_compact_lets_open_handles_go_on(vfs: Vfs) -> None:
    with_holes(vfs)
    with (
        vfs.open("/kept", "r+b") as writer,
        vfs.open("/kept", "rb", 7) as reader,
        vfs.open("/unnamed", "w+b") as orphan,
    ):
        orphan.write(b"without a name")
        orphan.flush()
        vfs.remove("/unnamed")
        writer.write(b"ab")
        writer.flush()
        writer.write(b"buffered")
        reader.read(3)

        vfs.compact()

        assert reader.read(4) == bytes(range(3, 7))
        writer.write(b"!")
        orphan.seek(0)
        assert orphan.read() == b"without a name"
    assert vfs.read_bytes("/kept")[:12] == b"abbuffered!" + bytes((11,))
    assert vfs.stats().orphans == 0


def test_compact_is_seen_by_a_stack_above(make_vfs: Any, location: Path) -> None:
    base, vfs = with_holes(make_vfs(location)), make_vfs()
    vfs.add_underlay(base)
    with vfs.open("/kept", "rb", 0) as f:
        f.read(5)
        view = grafting.seen(vfs)

        base.compact()

        assert grafting.seen(vfs) == view
        assert f.read(3) == bytes((5, 6, 7))


def test_compact_beside_another_instance_shows_it_the_same(
    make_vfs: Any, location: Path
) -> None:
    vfs = with_holes(make_vfs(location))
    other, underlay = make_vfs(location, read_only=True), make_vfs()
    underlay.add_underlay(location)
    with other.open("/kept", "rb", 0) as f, underlay.open("/kept", "rb", 0) as g:
        f.read(5)
        g.read(5)
        views = [grafting.seen(it) for it in (other, underlay)]

        vfs.compact()

        assert (f.read(3), g.read(3)) == (bytes((5, 6, 7)), bytes((5, 6, 7)))
        assert [grafting.seen(it) for it in (other, underlay)] == views


@pytest.fixture
def peer() -> Iterator[Peer]:
    other = Peer()
    yield other
    other.finish()


@pytest.mark.slow
def test_compact_beside_another_process_shows_it_the_same(
    make_vfs: Any, location: Path, peer: Peer
) -> None:
    vfs = with_holes(make_vfs(location))
    peer.open(location)
    peer("globals().update(f=vfs.open('/kept', 'rb', 0)) or len(f.read(5))")

    vfs.compact()

    assert peer("f.read(3)") == bytes((5, 6, 7))
    assert peer("vfs.read_bytes('/kept')") == vfs.read_bytes("/kept")
    peer("vfs.write_bytes('/theirs', b'x')")
    peer("f.close() or vfs.close()")
    assert vfs.read_bytes("/theirs") == b"x"


def test_compact_beside_a_reader_that_looks_at_an_old_state_leaves_it_that(
    make_vfs: Any, location: Path
) -> None:
    vfs = with_holes(make_vfs(location, timeout=0))
    before = rows(vfs)
    with closing(ground.connect(location)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM inodes").fetchone()

        assert vfs.compact() >= 0
        vfs.rmtree("/d")

        assert ground.dump(reader) == before
    vfs.compact()
    assert vfs.stats().reclaimable_bytes == 0
    assert vfs.check(deep=True) == []


def test_compact_while_another_writes_is_busy_and_changes_nothing(
    make_vfs: Any, location: Path
) -> None:
    vfs, other = make_vfs(location, timeout=0), make_vfs(location)
    with_holes(vfs)
    before = rows(vfs)
    with other.atomic_batch():
        other.touch("/f")
        with pytest.raises(OSError, match="try again") as caught:
            vfs.compact()

        assert (caught.value.errno, caught.value.filename) == (
            errno.EBUSY,
            str(location),
        )
        assert rows(vfs) == before
        assert ask(vfs, "PRAGMA temp_store") == 2  # in memory again

    assert vfs.exists("/f")
    assert vfs.compact() > 0


def test_compact_keeps_temporary_things_in_memory_afterwards(vfs: Vfs) -> None:
    with_holes(vfs).compact()

    assert ask(vfs, "PRAGMA temp_store") == 2


@pytest.mark.no_slow_contracts("threads")
def test_compact_waits_for_the_batch_of_another_thread(vfs: Vfs) -> None:
    with_holes(vfs)
    given: list[int] = []
    thread = threading.Thread(target=lambda: given.append(vfs.compact()))
    with vfs.atomic_batch():
        vfs.touch("/one")
        thread.start()
        vfs.touch("/two")
    thread.join(20)

    assert given[0] > 900_000
    assert vfs.exists("/two")


def test_compact_inside_a_batch_is_refused_and_the_batch_goes_on(vfs: Vfs) -> None:
    with vfs.atomic_batch():
        vfs.touch("/f")
        with pytest.raises(OSError, match="leave the batch") as caught:
            vfs.compact()
        vfs.touch("/g")

    assert (caught.value.errno, caught.value.filename) == (errno.EINVAL, vfs.db_path)
    assert vfs.listdir() == ["f", "g"]


@pytest.mark.parametrize("option", ["read_only", "immutable"])
def test_compact_when_read_only_is_refused_and_changes_nothing(
    make_vfs: Any, location: Path, option: str
) -> None:
    with Vfs(location) as maker:
        with_holes(maker)
    before = location.read_bytes()
    vfs = make_vfs(location, **{option: True})

    with pytest.raises(ReadOnlyError) as caught:
        vfs.compact()

    assert (caught.value.errno, caught.value.filename) == (errno.EROFS, str(location))
    assert location.read_bytes() == before


# --- memory ---------------------------------------------------------------------------

PROGRAM = """
import sys, threading
from stratavfs import VirtualFileSystem

def anonymous():
    with open("/proc/self/status") as status:
        for line in status:
            if line.startswith("RssAnon"):
                return int(line.split()[1]) * 1024

class Watch(threading.Thread):
    peak = 0
    stop = threading.Event()

    def run(self):
        while not self.stop.wait(0.002):
            self.peak = max(self.peak, anonymous())

with VirtualFileSystem(sys.argv[1]) as vfs:
    with vfs.open("/large", "wb") as f:
        for _ in range(96):
            f.write(bytes(1 << 20))
    start, watch = anonymous(), Watch(daemon=True)
    watch.start()
    if sys.argv[2] == "compact":
        vfs.compact()
    else:
        vfs.backup(sys.argv[1] + ".copy", lambda progress: None)
    watch.stop.set()
    watch.join()
    print(max(watch.peak, anonymous()) - start)
"""


@pytest.mark.slow
@pytest.mark.no_slow_contracts("single")
@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="no RssAnon")
@pytest.mark.parametrize("work", ["compact", "backup"])
def test_memory_of_upkeep_is_bounded_whatever_the_file(
    location: Path, work: str
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, location, work],
        capture_output=True,
        text=True,
        check=True,
    )

    assert int(done.stdout) < 32 << 20
