"""Opening and closing a file system: arguments, properties, files of other kinds."""

from __future__ import annotations

import errno
import os
import pathlib
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

import icontract
import pytest

import stratavfs
from stratavfs import (
    ForeignDatabase,
    InvalidArgument,
    InvalidType,
    ReadOnlyError,
    VirtualFileSystem,
)

if TYPE_CHECKING:
    from pathlib import Path

    Maker = Any

FORBIDDEN: dict[str, Any] = {
    "chunk_size": [0, -1, (1 << 28) + 1, "4", 1.5, None, True],
    "timeout": [-1, float("nan"), float("inf"), 3_000_000, "5", None, True],
    "synchronous": ["", "FULL", "extra", None, 1],
}


def test_open_without_arguments_is_in_memory(make_vfs: Maker) -> None:
    vfs = make_vfs()

    assert vfs.db_path == ":memory:"
    assert vfs.chunk_size == 65536
    assert not vfs.read_only
    assert not vfs.closed
    assert vfs.listdir() == []


def test_open_in_memory_twice_gives_two(make_vfs: Maker) -> None:
    one, two = make_vfs(), make_vfs()

    one.touch("/f")

    assert two.listdir() == []


@pytest.mark.parametrize(
    ("name", "value"),
    [(name, value) for name, values in FORBIDDEN.items() for value in values],
)
def test_open_with_an_impossible_argument_is_refused(
    tmp_path: Path, name: str, value: Any
) -> None:
    location = tmp_path / "c.db"

    with pytest.raises((InvalidArgument, InvalidType)) as caught:
        VirtualFileSystem(location, **{name: value})

    assert isinstance(caught.value, icontract.ViolationError)
    assert not location.exists()


@pytest.mark.parametrize("db_path", ["", "a\0b"])
def test_open_at_an_impossible_path_is_refused(db_path: str) -> None:
    with pytest.raises(InvalidArgument):
        VirtualFileSystem(db_path)


@pytest.mark.parametrize("db_path", [None, b"c.db", 1, object()])
def test_open_at_no_path_is_refused(db_path: Any) -> None:
    with pytest.raises(InvalidType):
        VirtualFileSystem(db_path)


@pytest.mark.parametrize(
    "name", ["c.db", "50% off?#1.db", "with space", "é😀.db", "a:b", "it's", "file:x"]
)
def test_open_a_file_of_any_name_makes_just_that(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with VirtualFileSystem(name) as vfs:
        vfs.touch("/f")

    assert os.listdir() == [name]
    with VirtualFileSystem(name, read_only=True) as vfs:
        assert vfs.listdir() == ["f"]


def test_open_a_pathlib_path_works(tmp_path: Path) -> None:
    with VirtualFileSystem(tmp_path / "c.db") as vfs:
        assert vfs.db_path == str(tmp_path / "c.db")


def test_open_again_keeps_content_and_chunk_size(tmp_path: Path) -> None:
    with VirtualFileSystem(tmp_path / "c.db", 10) as vfs:
        vfs.write_bytes("/f", b"x" * 100)
        before = vfs.stat("/f")

    with VirtualFileSystem(tmp_path / "c.db", 4096) as vfs:
        assert vfs.chunk_size == 10
        assert vfs.read_bytes("/f") == b"x" * 100
        after = vfs.stat("/f")
    assert after._replace(st_dev=0) == before._replace(st_dev=0)


@pytest.mark.parametrize("option", ["read_only", "immutable"])
def test_open_to_read_needs_the_file(tmp_path: Path, option: str) -> None:
    location = tmp_path / "missing.db"
    options: dict[str, Any] = {option: True}

    with pytest.raises(FileNotFoundError) as caught:
        VirtualFileSystem(location, **options)

    assert caught.value.filename == str(location)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("option", ["read_only", "immutable"])
def test_open_to_read_refuses_writing_and_leaves_the_file_as_it_is(
    tmp_path: Path, option: str
) -> None:
    VirtualFileSystem(tmp_path / "c.db").close()
    before = (tmp_path / "c.db").read_bytes()
    options: dict[str, Any] = {option: True}

    with VirtualFileSystem(tmp_path / "c.db", **options) as vfs:
        assert vfs.read_only
        with pytest.raises(ReadOnlyError):
            vfs.touch("/f")

    assert (tmp_path / "c.db").read_bytes() == before


def test_open_immutable_makes_no_file_beside(tmp_path: Path) -> None:
    VirtualFileSystem(tmp_path / "c.db").close()

    with VirtualFileSystem(tmp_path / "c.db", immutable=True) as vfs:
        assert vfs.listdir() == []
        assert os.listdir(tmp_path) == ["c.db"]


def test_open_in_a_missing_directory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as caught:
        VirtualFileSystem(tmp_path / "no" / "c.db")

    assert caught.value.errno == errno.ENOENT
    assert os.listdir(tmp_path) == []


def test_open_a_directory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError) as caught:
        VirtualFileSystem(tmp_path)

    assert caught.value.filename == str(tmp_path)


def test_open_below_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "f").touch()

    with pytest.raises(NotADirectoryError):
        VirtualFileSystem(tmp_path / "f" / "c.db")


@pytest.mark.parametrize("content", [b"x", b"text " * 1000, b"SQLite format 3\0"])
@pytest.mark.parametrize("read_only", [True, False])
def test_open_another_kind_of_file_is_refused_and_leaves_it(
    tmp_path: Path, content: bytes, read_only: bool
) -> None:
    location = tmp_path / "c.db"
    location.write_bytes(content)

    with pytest.raises(OSError) as caught:
        VirtualFileSystem(location, read_only=read_only)

    assert caught.value.filename == str(location)
    assert location.read_bytes() == content
    assert os.listdir(tmp_path) == ["c.db"]


def test_open_another_programs_database_is_refused_and_leaves_it(
    tmp_path: Path,
) -> None:
    location = tmp_path / "c.db"
    with closing(sqlite3.connect(location)) as cx:
        cx.execute("CREATE TABLE theirs (x)")
    before = location.read_bytes()

    with pytest.raises(ForeignDatabase) as caught:
        VirtualFileSystem(location)

    assert caught.value.filename == str(location)
    assert location.read_bytes() == before


def test_open_an_empty_file_makes_a_container_of_it(tmp_path: Path) -> None:
    (tmp_path / "c.db").touch()

    with VirtualFileSystem(tmp_path / "c.db") as vfs:
        vfs.touch("/f")

    with VirtualFileSystem(tmp_path / "c.db") as vfs:
        assert vfs.listdir() == ["f"]


def test_clock_tells_all_times(make_vfs: Maker) -> None:
    vfs = make_vfs(clock=lambda: 12345)

    vfs.write_bytes("/d/f", b"x")

    found = vfs.stat("/d/f")
    assert {found.st_mtime_ns, found.st_ctime_ns, found.st_birthtime_ns} == {12345}
    assert vfs.stat("/").st_mtime_ns == 12345


@pytest.mark.parametrize("synchronous", ["off", "normal", "full"])
def test_every_synchronous_writes_and_reads(tmp_path: Path, synchronous: Any) -> None:
    with VirtualFileSystem(tmp_path / "c.db", synchronous=synchronous) as vfs:
        vfs.touch("/f")
        vfs.sync()

    with VirtualFileSystem(tmp_path / "c.db") as vfs:
        assert vfs.listdir() == ["f"]


# --- closing --------------------------------------------------------------------------


def test_with_closes(tmp_path: Path) -> None:
    with VirtualFileSystem(tmp_path / "c.db") as vfs:
        assert not vfs.closed

    assert vfs.closed
    assert os.listdir(tmp_path) == ["c.db"]


def test_with_left_by_an_exception_closes_and_passes_it_on(tmp_path: Path) -> None:
    location = tmp_path / "c.db"
    with pytest.raises(KeyError), VirtualFileSystem(location) as vfs:  # noqa: PT012
        vfs.touch("/kept")
        raise KeyError

    assert vfs.closed
    with VirtualFileSystem(tmp_path / "c.db") as vfs:
        assert vfs.listdir() == ["kept"]


@pytest.mark.damaged  # nobody closes it, so nobody can check it
def test_forget_an_open_file_system_warns_and_keeps_its_content(
    tmp_path: Path,
) -> None:
    vfs = VirtualFileSystem(tmp_path / "c.db")
    vfs.touch("/kept")
    forgotten = [vfs]
    del vfs

    with pytest.warns(ResourceWarning, match="unclosed"):
        forgotten.clear()

    with VirtualFileSystem(tmp_path / "c.db") as again:
        assert again.listdir() == ["kept"]


def test_repr_tells_where_and_how(make_vfs: Maker, tmp_path: Path) -> None:
    vfs = make_vfs(tmp_path / "c.db")
    assert repr(vfs) == f"<VirtualFileSystem {str(tmp_path / 'c.db')!r} open>"

    vfs.close()
    assert repr(vfs).endswith("closed>")
    assert repr(make_vfs(tmp_path / "c.db", read_only=True)).endswith("read-only>")


# --- the package ----------------------------------------------------------------------


def test_everything_in_all_is_there() -> None:
    assert stratavfs.__all__ == sorted(stratavfs.__all__, key=str)
    assert all(hasattr(stratavfs, name) for name in stratavfs.__all__)


def test_package_is_typed() -> None:
    assert (pathlib.Path(stratavfs.__file__).parent / "py.typed").exists()


def test_check_of_a_sound_container_finds_nothing(vfs: VirtualFileSystem) -> None:
    vfs.write_bytes("/d/f", b"x" * 200)
    vfs.symlink("d", "/link")

    assert vfs.check() == []
