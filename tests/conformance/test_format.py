"""The container as a file: made, reopened, read-only, read by others."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.ground import (
    APPLICATION_ID,
    connect,
    copy_as_killed,
    files_beside,
    integrity_of,
    query,
    tree_of,
)

from stratavfs import ReadOnlyError, VirtualFileSystem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    MakeVfs = Callable[..., VirtualFileSystem]

CONTENT = bytes(range(256)) * 40
NOBODY = 65534

SAMPLE = {
    "/small": b"small",
    "/dir": None,
    "/dir/big": CONTENT,
    "/dir/link": "big",
    "/empty": b"",
}


def fill(vfs: VirtualFileSystem) -> None:
    vfs.write_bytes("/small", b"small")
    vfs.write_bytes("/dir/big", CONTENT)
    vfs.symlink("big", "/dir/link")
    vfs.touch("/empty")


@pytest.fixture
def container(tmp_path: Path) -> Path:
    path = tmp_path / "container.db"
    with VirtualFileSystem(path, 1000) as vfs:
        fill(vfs)
    return path


@pytest.fixture
def killed(container: Path) -> Path:
    """A container whose last changes are in the log alone, its process being gone."""
    path = container.with_name("killed.db")
    with VirtualFileSystem(container) as vfs:
        vfs.write_text("/late", "in the log")
        copy_as_killed(container, path)
    return path


# --- making and reopening -------------------------------------------------------------


def test_create_makes_a_healthy_container_of_ours(tmp_path: Path) -> None:
    path = tmp_path / "new.db"

    VirtualFileSystem(path).close()

    assert query(path, "PRAGMA application_id") == [(APPLICATION_ID,)]
    assert query(path, "PRAGMA user_version") == [(1,)]
    assert integrity_of(path) == "ok"
    assert tree_of(path) == {}
    assert os.listdir(tmp_path) == ["new.db"]


@pytest.mark.parametrize("chunk_size", [1, 3, 4096, 65536, 1 << 20])
def test_create_at_chunk_size_stores_the_bytes(tmp_path: Path, chunk_size: int) -> None:
    path = tmp_path / "new.db"

    with VirtualFileSystem(path, chunk_size) as vfs:
        fill(vfs)

    assert tree_of(path) == SAMPLE
    longest = query(path, "SELECT max(length(data)) FROM chunks")[0][0] or 0
    assert longest <= chunk_size


def test_create_at_chunk_size_of_one_mebibyte_keeps_large_files(
    tmp_path: Path,
) -> None:
    path = tmp_path / "new.db"
    big = CONTENT * 250  # 2.4 MiB: two chunks and a part

    with VirtualFileSystem(path, 1 << 20) as vfs:
        vfs.write_bytes("/big", big)
        with vfs.open("/big", "r+b") as handle:
            handle.seek((1 << 20) - 2)
            handle.write(b"across")
        vfs.truncate("/big", 2 << 20)

    whole = bytearray(big[: 2 << 20])
    whole[(1 << 20) - 2 : (1 << 20) + 4] = b"across"
    assert tree_of(path) == {"/big": bytes(whole)}


@pytest.mark.parametrize("chunk_size", [1, 999, 65536])
def test_reopen_with_other_chunk_size_uses_the_stored(
    container: Path, make_vfs: MakeVfs, chunk_size: int
) -> None:
    vfs = make_vfs(container, chunk_size)

    vfs.write_bytes("/new", CONTENT)

    assert vfs.chunk_size == 1000
    assert vfs.read_bytes("/dir/big") == CONTENT
    assert tree_of(container) == {**SAMPLE, "/new": CONTENT}
    chunks = query(container, "SELECT DISTINCT length(data) FROM chunks WHERE idx < 10")
    assert chunks == [(1000,)]


def test_reopen_finds_everything_as_it_was(container: Path, make_vfs: MakeVfs) -> None:
    first = make_vfs(container)
    first.chmod("/small", 0o600)
    first.utime("/small", ns=(1, 2))
    first.setxattr("/small", "user.a", b"1")
    before = first.stat("/small")
    first.close()

    again = make_vfs(container)

    after = again.stat("/small")
    assert after._replace(st_dev=before.st_dev) == before
    assert again.getxattr("/small", "user.a") == b"1"


def test_open_of_empty_file_makes_it_a_container(
    tmp_path: Path, make_vfs: MakeVfs
) -> None:
    path = tmp_path / "empty.db"
    path.touch()

    make_vfs(path).write_text("/f", "x")

    assert tree_of(path) == {"/f": b"x"}


def test_close_leaves_one_file_alone(container: Path) -> None:
    with VirtualFileSystem(container) as vfs:
        vfs.write_text("/f", "x")

    assert os.listdir(container.parent) == [container.name]


def test_memory_container_makes_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    with VirtualFileSystem() as vfs:
        fill(vfs)

    assert os.listdir(tmp_path) == []


# --- read-only ------------------------------------------------------------------------


@pytest.mark.parametrize("option", ["read_only", "immutable"])
def test_open_for_reading_reads_and_refuses_to_write(
    container: Path, make_vfs: MakeVfs, option: str
) -> None:
    before = container.read_bytes()
    vfs = make_vfs(container, **{option: True})

    with pytest.raises(ReadOnlyError) as caught:
        vfs.write_text("/f", "x")

    assert caught.value.errno == errno.EROFS
    assert caught.value.filename == "/f"
    assert vfs.read_only
    assert vfs.chunk_size == 1000
    assert vfs.read_bytes("/dir/link") == CONTENT
    vfs.close()
    assert container.read_bytes() == before


def test_open_as_immutable_leaves_no_file_beside(
    container: Path, make_vfs: MakeVfs
) -> None:
    vfs = make_vfs(container, immutable=True)

    vfs.read_bytes("/dir/big")

    assert os.listdir(container.parent) == [container.name]


@pytest.mark.parametrize("option", ["read_only", "immutable"])
def test_open_of_missing_file_for_reading_raises_not_found(
    tmp_path: Path, option: str
) -> None:
    path = str(tmp_path / "missing.db")

    with pytest.raises(FileNotFoundError) as caught:
        VirtualFileSystem(path, **{option: True})  # type: ignore[arg-type]

    assert caught.value.errno == errno.ENOENT
    assert caught.value.filename == path
    assert os.listdir(tmp_path) == []


def test_open_read_only_sees_what_another_writes(
    container: Path, make_vfs: MakeVfs
) -> None:
    reader, writer = make_vfs(container, read_only=True), make_vfs(container)

    writer.write_text("/small", "changed")

    assert reader.read_text("/small") == "changed"


@contextmanager
def as_nobody() -> Iterator[None]:
    """Give up root for a while, since no permission binds it."""
    if os.geteuid() != 0:
        yield
        return
    # os.access asks for the real user, SQLite and open() for the effective one.
    os.setresuid(NOBODY, NOBODY, 0)
    try:
        yield
    finally:
        os.setresuid(0, 0, 0)


@pytest.fixture
def sealed(container: Path) -> Iterator[Path]:
    """A container in a directory that nobody can write, as on a read-only medium."""
    if not hasattr(os, "setresuid"):
        pytest.skip("modes do not bind here")
    directory = Path(tempfile.mkdtemp(prefix="stratavfs-sealed-"))
    path = directory / "shipped.db"
    shutil.copyfile(container, path)
    path.chmod(0o444)
    directory.chmod(0o555)
    yield path
    directory.chmod(0o755)
    shutil.rmtree(directory)


@pytest.mark.parametrize("option", ["read_only", "immutable"])
def test_open_in_directory_that_cannot_be_written_reads(
    sealed: Path, option: str
) -> None:
    with (
        as_nobody(),
        VirtualFileSystem(sealed, **{option: True}) as vfs,  # type: ignore[arg-type]
    ):
        assert vfs.read_bytes("/dir/big") == CONTENT
        assert vfs.listdir() == ["dir", "empty", "small"]

    assert os.listdir(sealed.parent) == [sealed.name]


def test_open_for_writing_in_directory_that_cannot_be_written_raises(
    sealed: Path,
) -> None:
    before = files_beside(sealed)

    with as_nobody(), pytest.raises(PermissionError) as caught:
        VirtualFileSystem(sealed)

    assert caught.value.errno == errno.EACCES
    assert caught.value.filename == str(sealed)
    assert files_beside(sealed) == before


def test_open_of_writable_file_in_directory_that_cannot_be_written_raises(
    sealed: Path,
) -> None:
    """The log cannot be made beside it, so nothing could be written."""
    sealed.chmod(0o666)
    before = files_beside(sealed)

    with as_nobody(), pytest.raises(PermissionError) as caught:
        VirtualFileSystem(sealed)

    assert caught.value.filename == str(sealed)
    assert files_beside(sealed) == before


def test_open_of_new_container_in_directory_that_cannot_be_written_raises(
    sealed: Path,
) -> None:
    path = str(sealed.with_name("new.db"))

    with as_nobody(), pytest.raises(PermissionError) as caught:
        VirtualFileSystem(path)

    assert caught.value.errno == errno.EACCES
    assert caught.value.filename == path


@pytest.mark.parametrize("options", [{}, {"read_only": True}, {"immutable": True}])
def test_open_of_unreadable_file_raises(sealed: Path, options: dict[str, bool]) -> None:
    sealed.chmod(0)

    with as_nobody(), pytest.raises(PermissionError) as caught:
        VirtualFileSystem(sealed, **options)  # type: ignore[arg-type]

    assert caught.value.errno == errno.EACCES
    assert caught.value.filename == str(sealed)


def test_open_with_log_in_directory_that_cannot_be_written_raises(
    sealed: Path, killed: Path
) -> None:
    sealed.parent.chmod(0o755)
    for end in ("", "-wal"):
        shutil.copyfile(f"{killed}{end}", f"{sealed}{end}")
    sealed.parent.chmod(0o555)
    before = files_beside(sealed)

    with as_nobody(), pytest.raises(OSError) as caught:
        VirtualFileSystem(sealed, read_only=True).close()

    assert caught.value.filename == str(sealed)
    assert files_beside(sealed) == before


# --- a log that a killed process left -------------------------------------------------


def test_open_with_log_reads_what_is_in_it(killed: Path, make_vfs: MakeVfs) -> None:
    assert make_vfs(killed).read_text("/late") == "in the log"


def test_open_read_only_with_log_reads_what_is_in_it(
    killed: Path, make_vfs: MakeVfs
) -> None:
    before = killed.read_bytes()

    vfs = make_vfs(killed, read_only=True)

    assert vfs.read_text("/late") == "in the log"
    assert killed.read_bytes() == before


def test_open_as_immutable_with_log_raises_and_says_the_remedy(killed: Path) -> None:
    before = files_beside(killed)

    with pytest.raises(OSError) as caught:
        VirtualFileSystem(killed, immutable=True)

    assert caught.value.errno == errno.EROFS
    assert caught.value.filename == str(killed)
    assert "for writing" in str(caught.value)
    assert files_beside(killed) == before


def test_open_as_immutable_with_empty_log_reads(
    container: Path, make_vfs: MakeVfs
) -> None:
    container.with_name(container.name + "-wal").touch()

    assert make_vfs(container, immutable=True).read_bytes("/small") == b"small"


@pytest.fixture
def orphaned(container: Path) -> Path:
    """What a process leaves that is killed with a removed file still open."""
    path = container.with_name("orphaned.db")
    with VirtualFileSystem(container) as vfs, vfs.open("/dir/big", "rb"):
        vfs.setxattr("/dir/big", "user.a", b"1")
        vfs.remove("/dir/big")
        copy_as_killed(container, path)
    return path


def orphans(path: Path) -> list[Any]:
    return query(path, "SELECT id FROM inodes WHERE nlink = 0")


def test_open_for_writing_collects_orphans(orphaned: Path, make_vfs: MakeVfs) -> None:
    assert orphans(orphaned) != []

    make_vfs(orphaned)

    assert orphans(orphaned) == []
    assert query(orphaned, "SELECT count(*) FROM chunks") == [(0,)]
    assert query(orphaned, "SELECT count(*) FROM xattrs") == [(0,)]


def test_open_for_reading_leaves_orphans(orphaned: Path, make_vfs: MakeVfs) -> None:
    make_vfs(orphaned, read_only=True)

    assert orphans(orphaned) != []


# --- what others see of it ------------------------------------------------------------


def test_two_instances_see_the_changes_of_each_other(
    container: Path, make_vfs: MakeVfs
) -> None:
    first, second = make_vfs(container), make_vfs(container)

    first.write_text("/small", "by the first")
    second.rename("/dir", "/moved")
    first.write_text("/moved/new", "x")

    assert second.read_text("/small") == "by the first"
    assert first.read_bytes("/moved/big") == CONTENT
    assert second.listdir("/moved") == first.listdir("/moved") == ["big", "link", "new"]


def test_view_of_files_tells_what_there_is(container: Path, make_vfs: MakeVfs) -> None:
    vfs = make_vfs(container)
    vfs.utime("/small", ns=(0, 1_500_000_000_000_000_000))
    vfs.chmod("/small", 0o600)

    rows = query(container, "SELECT path, type, size FROM files ORDER BY path")
    small = query(container, "SELECT * FROM files WHERE path = '/small'")
    link = query(container, "SELECT target FROM files WHERE type = 'symlink'")

    assert rows == [
        ("/", "directory", 0),
        ("/dir", "directory", 0),
        ("/dir/big", "file", len(CONTENT)),
        ("/dir/link", "symlink", 3),
        ("/empty", "file", 0),
        ("/small", "file", 5),
    ]
    assert small == [("/small", "file", 5, "2017-07-14 02:40:00", "600", 1, None)]
    assert link == [("big",)]


def test_sync_carries_everything_into_the_file_itself(
    container: Path, make_vfs: MakeVfs
) -> None:
    vfs = make_vfs(container)
    handle = vfs.open("/handle", "w")
    handle.write("in the buffer")
    vfs.write_text("/late", "x")

    vfs.sync()

    alone = container.with_name("alone.db")
    shutil.copyfile(container, alone)
    handle.close()
    assert tree_of(alone) == {**SAMPLE, "/handle": b"in the buffer", "/late": b"x"}


def test_sync_beside_a_reader_waits_for_nobody(
    container: Path, make_vfs: MakeVfs
) -> None:
    vfs = make_vfs(container, timeout=0)
    with closing(connect(container)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM inodes").fetchone()
        vfs.write_text("/late", "x")

        vfs.sync()

        assert vfs.read_text("/late") == "x"


def test_file_made_by_raw_sql_is_read(container: Path, make_vfs: MakeVfs) -> None:
    """The format is what its page says, not what this library happens to write."""
    vfs = make_vfs(container)
    with closing(connect(container)) as cx:
        cx.execute("BEGIN IMMEDIATE")
        cx.execute(
            "INSERT INTO inodes VALUES (77, 33188, 1, 0, 0, '', '', 2500, 0, 0, 0, 0, "
            "1, 0, NULL, NULL)"
        )
        cx.execute("INSERT INTO entries VALUES ('/', 'raw', 8, 77)")
        cx.execute("INSERT INTO chunks VALUES (77, 0, x'6162')")  # short: zeros follow
        cx.execute("INSERT INTO chunks VALUES (77, 2, x'63')")  # 1 is a hole
        cx.execute("COMMIT")

    expected = b"ab" + bytes(1998) + b"c" + bytes(499)
    assert vfs.read_bytes("/raw") == expected
    with vfs.open("/raw", "rb") as handle:
        assert handle.read() == expected
    assert vfs.check() == []
