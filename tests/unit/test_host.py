"""Files of the host that change, fail or are strange while they are read."""

from __future__ import annotations

import errno
import io
import os
from typing import TYPE_CHECKING, Any

import pytest
from tests import ground
from tests.faults.test_transfer_faults import at_open_of

from stratavfs import VirtualFileSystem, _host, _import_tree
from stratavfs._host import HostFile
from stratavfs._progress import Meter

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from stratavfs.records import Progress

Vfs = VirtualFileSystem

LARGE = bytes(range(251)) * 4300  # more than is read as a whole


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A directory with a (in no new directory), sub/b and sub/c."""
    (tmp_path / "source/sub").mkdir(parents=True)
    (tmp_path / "source/a").write_bytes(b"0123456789")
    (tmp_path / "source/sub/b").write_bytes(b"abcdefghij")
    (tmp_path / "source/sub/c").write_bytes(b"c")
    return tmp_path / "source"


def rows(vfs: Vfs) -> ground.Dump:
    return ground.dump(vfs._store._cx)


def require_refused(
    vfs: Vfs, source: Path, victim: Path, number: int, **options: Any
) -> None:
    """Require that an import names *victim* and changes nothing."""
    before = rows(vfs)
    with pytest.raises(OSError) as caught:
        vfs.import_tree(source, **options)
    assert (caught.value.errno, caught.value.filename) == (number, str(victim))
    assert rows(vfs) == before


def require_listed(
    vfs: Vfs, source: Path, victim: Path, number: int, **options: Any
) -> None:
    """Require that an import that skips errors lists *victim*, and brings the rest."""
    report = vfs.import_tree(source, errors="skip", **options)

    ((path, error),) = report.failures
    assert (path, error.errno) == (str(victim), number)
    assert vfs.read_bytes("/sub/b") == b"abcdefghij"


REQUIRED = [require_refused, require_listed]


# --- files that change meanwhile ------------------------------------------------------


@pytest.mark.parametrize("require", REQUIRED)
def test_import_of_a_file_that_another_one_replaces_names_it(
    mem: Vfs,
    source: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    require: Callable[..., None],
) -> None:
    (tmp_path / "other").write_bytes(b"of another inode")
    at_open_of(monkeypatch, "a", lambda: os.replace(tmp_path / "other", source / "a"))

    require(mem, source, source / "a", errno.EBUSY)

    assert not mem.exists("/a")


@pytest.mark.parametrize("require", REQUIRED)
def test_import_of_a_file_that_shrinks_while_it_is_read_names_it(
    mem: Vfs,
    source: Path,
    monkeypatch: pytest.MonkeyPatch,
    require: Callable[..., None],
) -> None:
    real = os.read

    def shrinking(handle: int, size: int) -> bytes:
        if os.fstat(handle).st_ino == os.stat(source / "a").st_ino:
            os.truncate(source / "a", 5)
        return real(handle, size)

    monkeypatch.setattr(os, "read", shrinking)

    require(mem, source, source / "a", errno.EBUSY)

    assert not mem.exists("/a")


@pytest.mark.parametrize("name", ["a", "sub/b"])
def test_import_of_files_that_come_piece_by_piece_is_whole(
    mem: Vfs, source: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    real = os.read
    monkeypatch.setattr(os, "read", lambda handle, size: real(handle, min(3, size)))

    mem.import_tree(source)

    assert mem.read_bytes(f"/{name}") == (source / name).read_bytes()


def test_import_by_checksum_of_a_file_that_grows_before_it_is_compared_sees_it(
    mem: Vfs, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mem.write_bytes("/a", b"0123456789")

    def grow() -> None:
        with open(source / "a", "ab") as file:
            file.write(b"more")

    at_open_of(monkeypatch, "a", grow)

    report = mem.import_tree(source, checksum=True, on_conflict="replace")

    assert (report.files, report.unchanged) == (3, 0)
    assert mem.read_bytes("/a") == b"0123456789more"


# --- files that cannot be read --------------------------------------------------------


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let each large file fail behind its first MiB."""

    class Broken(io.FileIO):
        def readinto(self, buffer: Any) -> Any:
            if self.tell() + len(buffer) > _host.WHOLE:
                raise OSError(errno.EIO, "bad sector")
            return super().readinto(buffer)

    monkeypatch.setattr(io, "FileIO", Broken)


@pytest.mark.usefixtures("broken")
@pytest.mark.parametrize("require", REQUIRED)
@pytest.mark.parametrize("checksum", [False, True])
def test_import_of_a_large_file_with_a_bad_sector_names_it_and_keeps_what_is_there(
    mem: Vfs, source: Path, require: Callable[..., None], checksum: bool
) -> None:
    old = LARGE[:-1] + b"x"
    mem.write_bytes("/a", old)
    (source / "a").write_bytes(LARGE)

    options = {"checksum": checksum, "on_conflict": "replace"}
    require(mem, source, source / "a", errno.EIO, **options)

    assert mem.read_bytes("/a") == old


def test_import_that_skips_errors_into_a_full_container_ends_and_changes_nothing(
    make_vfs: Callable[..., Vfs], tmp_path: Path, source: Path
) -> None:
    vfs = make_vfs(tmp_path / "c.db")
    (source / "a").write_bytes(LARGE)
    before = rows(vfs)
    ground.limit_pages(vfs._store._cx, 8)

    with pytest.raises(OSError) as caught:
        vfs.import_tree(source, errors="skip")

    assert (caught.value.errno, caught.value.filename) == (errno.ENOSPC, vfs.db_path)
    assert rows(vfs) == before
    ground.lift_limit(vfs._store._cx)


@pytest.mark.parametrize("require", REQUIRED)
def test_import_of_a_directory_that_cannot_be_listed_names_it(
    mem: Vfs,
    source: Path,
    monkeypatch: pytest.MonkeyPatch,
    require: Callable[..., None],
) -> None:
    real = os.scandir
    closed = source / "closed"
    closed.mkdir()

    def refusing(path: Any) -> Any:
        if path == str(closed):
            raise PermissionError(errno.EACCES, "no", path)
        return real(path)

    monkeypatch.setattr(os, "scandir", refusing)
    told: list[Progress] = []

    require(mem, source, closed, errno.EACCES, progress=told.append)

    assert told[0].total == 3


@pytest.mark.parametrize(
    ("chosen", "count"),
    [({"exclude": "sub/"}, 1), ({"include": "b"}, 1), ({"exclude": "b"}, 2), ({}, 3)],
)
def test_progress_counts_what_is_chosen_alone(
    mem: Vfs, source: Path, chosen: dict[str, str], count: int
) -> None:
    told: list[Progress] = []

    report = mem.import_tree(source, progress=told.append, **chosen)  # type: ignore[arg-type]

    assert {(seen.total, report.files) for seen in told} == {(count, count)}
    assert told[-1].done == count


# --- hosts that know less -------------------------------------------------------------


@pytest.mark.skipif(not hasattr(os, "listxattr"), reason="as on this host anyway")
def test_import_from_a_file_system_without_attributes_brings_the_rest(
    mem: Vfs, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refusing(_: object) -> Any:
        raise OSError(errno.ENOTSUP, "not here")

    monkeypatch.setattr(os, "listxattr", refusing)

    report = mem.import_tree(source)

    assert (report.files, report.failures) == (3, ())
    assert mem.listxattr("/a") == mem.listxattr("/sub/b") == []


@pytest.mark.parametrize("host", ["as it is", "without SEEK_DATA", "refuses"])
@pytest.mark.parametrize("holes", ["none", "inside", "at the end"])
def test_import_of_a_sparse_file_is_the_same_whatever_the_host_tells_of_holes(
    mem: Vfs, source: Path, monkeypatch: pytest.MonkeyPatch, host: str, holes: str
) -> None:
    with open(source / "a", "wb") as file:
        file.write(LARGE[: 1 << 16] if holes != "none" else LARGE)
        if holes == "inside":
            file.seek(1 << 21)
            file.write(b"end")
        file.truncate(max(file.tell(), 1 << 21))
    expected = (source / "a").read_bytes()
    tell_less(monkeypatch, host)

    mem.import_tree(source)

    assert mem.read_bytes("/a") == expected


def tell_less(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    """Let the host tell less of holes than it knows."""
    real = os.lseek
    wanted = {getattr(os, "SEEK_DATA", 3), getattr(os, "SEEK_HOLE", 4)}

    def refusing(handle: int, offset: int, how: int) -> int:
        if how in wanted:
            raise OSError(errno.EINVAL, "not here")
        return real(handle, offset, how)

    if host == "without SEEK_DATA":
        monkeypatch.delattr(os, "SEEK_DATA", raising=False)
        monkeypatch.delattr(os, "SEEK_HOLE", raising=False)
    elif host == "refuses":
        monkeypatch.setattr(os, "lseek", refusing)


@pytest.mark.parametrize("name", ["a", "sub/b"])
def test_import_of_a_file_with_a_containers_number_on_another_disk_brings_it(
    mem: Vfs, source: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    status = (source / name).stat()
    guarded = frozenset({(status.st_dev + 1, status.st_ino)})
    monkeypatch.setattr(_import_tree, "open_containers", lambda: guarded)

    mem.import_tree(source)

    assert mem.read_bytes(f"/{name}") == (source / name).read_bytes()


def test_host_file_is_a_source_of_the_bytes_that_it_had(source: Path) -> None:
    path = str(source / "a")
    file = HostFile(path, os.stat(path), Meter(None), follow=False)
    with open(path, "ab") as more:
        more.write(b"later")

    found = file.size(), file.read(0), file.read(7), file.read(10), file.whole()
    file.close()

    assert found == (10, b"0123456789", b"789", b"", b"0123456789")
