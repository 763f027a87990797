"""Containers opened by their path: nothing on the disk changes, all is seen."""

from __future__ import annotations

import errno
import os
import shutil
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
from tests import ground
from tests.concurrency.test_processes import Peer

from stratavfs import LayerFailed, VirtualFileSystem
from stratavfs._connection import Connecting

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LARGE = b"o" * 1000
CHUNK = 64
# With a Python for each test a call would cost 0.1 s: one of them serves all.
NAMES = ["base.db", "50% off.db", "a?b=c&mode=rw.db", "#1 mod.db", " sp ace ", "é\n.db"]


@pytest.fixture(scope="module")
def other() -> Iterator[Peer]:
    """Another process."""
    peer = Peer()
    yield peer
    peer.finish()


@pytest.fixture
def place(tmp_path: Path) -> Path:
    place = tmp_path / "place"
    place.mkdir()
    return place


@pytest.fixture
def base(place: Path) -> str:
    return made(place / "base.db")


@pytest.fixture
def vfs(make_vfs: Any, base: str) -> VirtualFileSystem:
    vfs: VirtualFileSystem = make_vfs()
    vfs.add_underlay(base, name="base")
    return vfs


def made(path: Path, content: bytes = b"old", chunk_size: int = CHUNK) -> str:
    """Make a container with a small file and a large one."""
    with VirtualFileSystem(path, chunk_size) as maker:
        maker.write_bytes("/f", content)
        maker.write_bytes("/d/large", content[:1] * 1000)
    return str(path)


def look(place: Path) -> dict[str, tuple[bytes, int]]:
    """Return the bytes and the time of change of all in a directory, and its own."""
    files = {
        file.name: (file.read_bytes(), file.stat().st_mtime_ns)
        for file in place.iterdir()
    }
    return files | {".": (b"", place.stat().st_mtime_ns)}


def use(vfs: VirtualFileSystem) -> None:
    """Ask everything that an underlay is ever asked, and change what it has."""
    assert vfs.read_bytes("/f") == b"old"
    assert vfs.read_bytes("/d/large") == LARGE
    assert vfs.listdir("/d") == ["large"]
    assert vfs.stat("/d/large").size == len(LARGE)
    assert not vfs.exists("/nothing")
    with vfs.open("/d/large", "r+b") as file:
        file.write(b"x")
    vfs.remove("/f")
    vfs.rename("/d", "/e")
    assert vfs.listdir("/e") == ["large"]


# --- nothing changes on the disk ------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_open_by_path_changes_nothing_on_the_disk(place: Path, name: str) -> None:
    base = made(place / name)
    before = look(place)

    with VirtualFileSystem() as vfs:
        vfs.add_underlay(base)
        use(vfs)
        while_open = look(place)

    assert while_open == before
    assert look(place) == before


def test_open_by_path_in_a_read_only_directory_changes_nothing(
    place: Path, base: str
) -> None:
    os.chmod(base, 0o444)
    os.chmod(place, 0o555)
    before = look(place)

    with VirtualFileSystem() as vfs:
        vfs.add_underlay(base)
        use(vfs)

    assert look(place) == before
    os.chmod(place, 0o755)


def test_open_by_path_beside_a_writer_of_this_process_sees_its_log(
    place: Path, base: str, make_vfs: Any
) -> None:
    writer = make_vfs(base)
    writer.write_bytes("/g", b"in the log")
    before = ground.files_beside(base)
    vfs = make_vfs()

    vfs.add_underlay(base)

    assert f"{base}-wal" in before
    assert vfs.read_bytes("/g") == b"in the log"
    use(vfs)
    after = ground.files_beside(base)
    del before[f"{base}-shm"], after[f"{base}-shm"]  # the locks of SQLite
    assert after == before


def test_open_by_path_beside_a_writer_of_another_process_sees_its_log(
    base: str, make_vfs: Any, other: Peer
) -> None:
    other(f"globals().update(vfs=VirtualFileSystem({base!r}))")
    other("vfs.write_bytes('/g', b'in the log')")
    vfs = make_vfs()

    vfs.add_underlay(base)
    seen = vfs.read_bytes("/g")
    other("vfs.write_bytes('/g', b'again')")

    assert (seen, vfs.read_bytes("/g")) == (b"in the log", b"again")
    other("vfs.close()")
    assert vfs.read_bytes("/g") == b"again"
    use(vfs)


def test_open_by_path_while_a_batch_is_open_shows_what_was_before(
    base: str, make_vfs: Any
) -> None:
    writer = make_vfs(base)
    vfs = make_vfs()

    with writer.atomic_batch():
        writer.write_bytes("/f", b"new")
        vfs.add_underlay(base)
        within = vfs.read_bytes("/f")

    assert (within, vfs.read_bytes("/f")) == (b"old", b"new")


def test_open_by_path_of_a_log_that_cannot_be_read_is_refused(
    base: str, make_vfs: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a killed writer left in a directory where no ``-shm`` can be made."""
    with closing(sqlite3.connect(base)) as cx:
        cx.execute("UPDATE inodes SET mtime_ns = 1 WHERE size = 3")
        cx.commit()
        killed = base + ".killed"
        ground.copy_as_killed(base, killed)

    def refuse(self: Connecting) -> Any:
        raise PermissionError(errno.EACCES, "no place for -shm", killed)

    monkeypatch.setattr(Connecting, "open_read_only", refuse)
    vfs = make_vfs()

    with pytest.raises(PermissionError) as caught:
        vfs.add_underlay(killed, name="killed")

    assert caught.value.filename == killed
    assert [layer["name"] for layer in vfs.list_layers()] == ["local"]


# --- a writer that begins later -------------------------------------------------------


def change(writer: VirtualFileSystem) -> None:
    writer.write_bytes("/f", b"new")
    writer.remove("/d/large")
    writer.write_bytes("/d/g", b"made")


def seen(vfs: VirtualFileSystem) -> tuple[object, ...]:
    names = vfs.listdir("/d"), vfs.exists("/d/large"), vfs.isfile("/d/g")
    return (vfs.read_bytes("/f"), vfs.stat("/f").size, *names)


OLD = (b"old", 3, ["large"], True, False)
NEW = (b"new", 3, ["g"], False, True)


@pytest.mark.parametrize("beside", [0, 1])  # alone, or remembered with another layer
def test_change_in_this_process_is_seen_by_the_next_call(
    vfs: VirtualFileSystem, base: str, make_vfs: Any, beside: int
) -> None:
    for _ in range(beside):
        vfs.add_underlay(make_vfs(), -1)
    before = seen(vfs)

    with VirtualFileSystem(base) as writer:
        opened = seen(vfs)
        change(writer)
        while_open = seen(vfs)
    closed = seen(vfs)

    assert (before, opened, while_open, closed) == (OLD, OLD, NEW, NEW)


@pytest.mark.parametrize("beside", [0, 1])
def test_change_in_another_process_is_seen_by_the_next_call(
    vfs: VirtualFileSystem, base: str, make_vfs: Any, other: Peer, beside: int
) -> None:
    for _ in range(beside):
        vfs.add_underlay(make_vfs(), -1)
    before = seen(vfs)
    other(f"globals().update(vfs=VirtualFileSystem({base!r}))")
    opened = seen(vfs)

    other("vfs.write_bytes('/f', b'new')")
    other("[vfs.remove('/d/large'), vfs.write_bytes('/d/g', b'made')]")

    while_open = seen(vfs)
    other("vfs.close()")
    assert (before, opened, while_open, seen(vfs)) == (OLD, OLD, NEW, NEW)


def test_change_by_one_that_comes_and_goes_is_seen_by_the_next_call(
    vfs: VirtualFileSystem, base: str
) -> None:
    got = []

    for number in range(5):
        with VirtualFileSystem(base) as writer:
            writer.write_bytes("/f", b"%d" % number)
        got.append(vfs.read_bytes("/f"))

    assert got == [b"0", b"1", b"2", b"3", b"4"]


def test_change_that_puts_the_time_of_the_file_back_is_seen(
    vfs: VirtualFileSystem, base: str
) -> None:
    """As ``cp --preserve`` and ``rsync --times`` do, or a clock that ticks slowly."""
    before = os.stat(base)
    assert vfs.read_bytes("/f") == b"old"

    with VirtualFileSystem(base) as writer:
        writer.write_bytes("/f", b"new")
    os.utime(base, ns=(before.st_atime_ns, before.st_mtime_ns))

    assert os.stat(base).st_size == before.st_size
    assert vfs.read_bytes("/f") == b"new"


def test_change_rolled_back_by_another_is_never_seen(
    vfs: VirtualFileSystem, base: str
) -> None:
    with VirtualFileSystem(base) as writer:
        with pytest.raises(KeyError), writer.atomic_batch():  # noqa: PT012
            change(writer)
            within = seen(vfs)
            raise KeyError
        after = seen(vfs)

    assert (within, after, seen(vfs)) == (OLD, OLD, OLD)


def test_handle_reads_on_while_another_process_writes(
    vfs: VirtualFileSystem, base: str
) -> None:
    with vfs.open("/d/large", "rb", 0) as file, VirtualFileSystem(base) as writer:
        start = file.read(10)
        writer.write_bytes("/d/large", b"n" * 1000)

        assert (start, file.read(10)) == (b"o" * 10, b"n" * 10)


def test_handle_on_a_file_that_another_process_removes_is_stale(
    vfs: VirtualFileSystem, base: str
) -> None:
    with vfs.open("/d/large", "rb", 0) as file, VirtualFileSystem(base) as writer:
        writer.remove("/d/large")

        with pytest.raises(OSError, match="gone") as caught:
            file.read(10)

    assert (caught.value.errno, caught.value.filename) == (errno.ESTALE, "/d/large")


# --- another file in its place --------------------------------------------------------


@pytest.mark.parametrize("beside", [0, 1])
def test_container_that_takes_the_place_of_another_is_seen(
    vfs: VirtualFileSystem, base: str, place: Path, make_vfs: Any, beside: int
) -> None:
    for _ in range(beside):
        vfs.add_underlay(make_vfs(), -1)
    assert vfs.listdir("/") == ["d", "f"]
    next_one = made(place / "next.db", b"new")
    with VirtualFileSystem(next_one) as maker:
        maker.rename("/d", "/e")

    os.replace(next_one, base)

    assert vfs.read_bytes("/f") == b"new"
    assert vfs.listdir("/") == ["e", "f"]
    assert (vfs.exists("/d"), vfs.exists("/e/large")) == (False, True)


def test_container_that_takes_the_place_after_a_writer_is_seen(
    base: str, place: Path, make_vfs: Any
) -> None:
    """Here the connection has SQLite's locks, since there was a log when it began."""
    vfs = make_vfs()
    with VirtualFileSystem(base) as writer:
        writer.touch("/log")
        vfs.add_underlay(base)
        assert vfs.read_bytes("/f") == b"old"
    next_one = made(place / "next.db", b"new")
    for end in ("-wal", "-shm"):
        if os.path.exists(base + end):
            os.unlink(base + end)

    os.replace(next_one, base)

    assert vfs.read_bytes("/f") == b"new"


def test_container_with_other_chunks_in_its_place_is_an_error_that_names_it(
    vfs: VirtualFileSystem, base: str, place: Path
) -> None:
    vfs.write_bytes("/mine", b"1")
    kept = made(place / "kept.db")
    os.replace(made(place / "next.db", b"new", CHUNK * 2), base)

    for _ in range(2):
        for call in (vfs.read_bytes, vfs.stat, vfs.exists):
            with pytest.raises(LayerFailed, match=r"base.*place") as caught:
                call("/f")
            assert (caught.value.errno, caught.value.filename) == (errno.EIO, "/f")

    assert vfs.read_bytes("/mine") == b"1"
    os.replace(kept, base)
    assert vfs.read_bytes("/f") == b"old"


def test_handle_on_a_container_that_is_replaced_reads_no_other_file(
    vfs: VirtualFileSystem, base: str, place: Path
) -> None:
    """The inode's number means another file there."""
    next_one = str(place / "next.db")
    with VirtualFileSystem(next_one, CHUNK) as maker:
        for name in "abcdef":
            maker.write_bytes(f"/{name}", b"s" * 1000)

    with vfs.open("/d/large", "rb", 0) as file:
        start = file.read(10)
        os.replace(next_one, base)
        try:
            rest = file.read(10)
        except OSError as error:
            assert error.filename == "/d/large"  # noqa: PT017 - or it reads on
            rest = start

    assert (start, rest) == (b"o" * 10, b"o" * 10)


@pytest.mark.parametrize("how", ["deleted", "cut", "empty", "foreign", "noise"])
def test_container_that_breaks_is_named_and_comes_back(
    vfs: VirtualFileSystem, base: str, place: Path, how: str
) -> None:
    vfs.write_bytes("/mine", b"1")
    kept = place / "kept.db"
    shutil.copy2(base, kept)
    spoil(base, how)

    for call in (vfs.read_bytes, vfs.stat, vfs.exists, vfs.open):
        with pytest.raises(LayerFailed, match="base") as caught:
            call("/d/large")
        assert caught.value.filename == "/d/large"
        assert caught.value.errno not in (errno.ENOENT, errno.ENOTDIR)

    assert vfs.read_bytes("/mine") == b"1"
    assert vfs.read_bytes("/mine") == b"1"
    os.replace(kept, base)
    assert vfs.read_bytes("/d/large") == LARGE


def spoil(path: str, how: str) -> None:
    os.unlink(path)
    if how == "foreign":
        ground.make_foreign(path)
    elif how != "deleted":
        size = {"cut": 0, "empty": 0, "noise": 5000}[how]
        with open(path, "wb") as file:
            file.write(b"SQLite format 3\0"[: 16 if how == "cut" else 0])
            file.write(b"\xff" * size)


@pytest.mark.parametrize("handle", [False, True])
def test_read_of_damaged_content_names_layer_and_path(
    vfs: VirtualFileSystem, base: str, handle: bool
) -> None:
    with VirtualFileSystem(base) as writer:
        writer.write_bytes("/d/large", bytes(200_000))
    with vfs.open("/d/large", "rb", 0) as file:
        size = os.path.getsize(base)
        with open(base, "r+b") as raw:
            raw.seek(4096 * 4)
            raw.write(b"\xff" * (size - 4096 * 4))

        with pytest.raises(OSError, match="base") as caught:
            file.read(200_000) if handle else vfs.read_bytes("/d/large")

    assert caught.value.filename == "/d/large"
