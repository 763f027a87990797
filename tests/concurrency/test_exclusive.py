"""A container that is opened exclusively is nobody else's until it is closed."""

from __future__ import annotations

import errno
import os
import pickle
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from stratavfs import VirtualFileSystem
from stratavfs.errors import InvalidArgument

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def location(make_vfs: Any, tmp_path: Path) -> Path:
    with make_vfs(tmp_path / "a.db") as vfs:
        vfs.write_bytes("/a", b"content")
        vfs.write_bytes("/large", bytes(100_000))
    return tmp_path / "a.db"


@pytest.fixture
def alone(make_vfs: Any, location: Path) -> VirtualFileSystem:
    vfs: VirtualFileSystem = make_vfs(location, exclusive=True)
    return vfs


OTHERS: dict[str, Callable[[Path], object]] = {
    "to write": lambda at: VirtualFileSystem(at, timeout=0.01),
    "exclusively": lambda at: VirtualFileSystem(at, timeout=0.01, exclusive=True),
    "to read": lambda at: VirtualFileSystem(at, timeout=0.01, read_only=True),
}


@pytest.mark.parametrize("how", OTHERS)
def test_open_by_another_is_refused_until_it_is_closed(
    alone: VirtualFileSystem, location: Path, how: str
) -> None:
    alone.write_bytes("/a", b"changed")

    with pytest.raises(OSError, match="timeout") as caught:
        OTHERS[how](location)

    assert (caught.value.errno, caught.value.filename) == (errno.EBUSY, str(location))
    assert alone.read_bytes("/a") == b"changed"
    alone.close()
    with VirtualFileSystem(location) as after:
        assert after.read_bytes("/a") == b"changed"
        assert after.check(deep=True) == []


def test_open_of_what_another_has_open_is_refused(
    make_vfs: Any, location: Path
) -> None:
    make_vfs(location)

    with pytest.raises(OSError, match="timeout") as caught:
        VirtualFileSystem(location, timeout=0.01, exclusive=True)

    assert caught.value.errno == errno.EBUSY


def test_open_of_new_container_is_exclusive_at_once(tmp_path: Path) -> None:
    with VirtualFileSystem(tmp_path / "new.db", exclusive=True) as vfs:
        with pytest.raises(OSError, match="timeout"):
            VirtualFileSystem(tmp_path / "new.db", timeout=0.01)
        vfs.touch("/a")

    assert sorted(os.listdir(tmp_path)) == ["new.db"]


@pytest.mark.parametrize("other", ["read_only", "immutable"])
def test_open_to_read_and_exclusively_is_refused(location: Path, other: str) -> None:
    options: dict[str, Any] = {other: True, "exclusive": True}

    with pytest.raises(InvalidArgument, match="leave it out"):
        VirtualFileSystem(location, **options)


@pytest.mark.no_slow_contracts("single")
def test_what_was_asked_is_answered_without_a_statement(
    alone: VirtualFileSystem,
) -> None:
    first = alone.stat("/a"), alone.listdir("/")
    statements: list[str] = []
    alone._store._cx.set_trace_callback(statements.append)

    again = alone.stat("/a"), alone.listdir("/")

    assert again == first
    assert statements == []


def test_killed_process_loses_nothing_that_was_committed(location: Path) -> None:
    script = (
        "import os, signal, sys; from stratavfs import VirtualFileSystem\n"
        "vfs = VirtualFileSystem(sys.argv[1], exclusive=True)\n"
        "vfs.write_bytes('/new', b'x' * 50_000)\n"
        "batch = vfs.atomic_batch(); batch.__enter__(); vfs.remove('/a')\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )

    subprocess.run([sys.executable, "-c", script, location], check=False)

    with VirtualFileSystem(location, exclusive=True) as vfs:
        assert vfs.read_bytes("/new") == b"x" * 50_000
        assert vfs.read_bytes("/a") == b"content"
        assert vfs.check(deep=True) == []


def test_backup_copies_it_while_it_is_open(
    alone: VirtualFileSystem, tmp_path: Path
) -> None:
    alone.write_bytes("/a", b"changed")

    alone.backup(tmp_path / "copy.db")

    with VirtualFileSystem(tmp_path / "copy.db") as copy:
        assert copy.read_bytes("/a") == b"changed"
        assert copy.check(deep=True) == []


def test_upkeep_works_on_it(alone: VirtualFileSystem, location: Path) -> None:
    alone.remove("/large")

    alone.sync()
    freed = alone.compact()
    with alone.fork() as forked:
        forked.remove("/a")

    assert freed > 0
    assert alone.repair() == []
    assert alone.stats().files == 1
    assert os.path.getsize(location) < 100_000


def test_copy_of_its_file_is_no_container_of_its_own_log(
    alone: VirtualFileSystem, location: Path, tmp_path: Path
) -> None:
    alone.write_bytes("/a", b"changed")
    alone.sync()  # all of it is in the file now

    shutil.copyfile(location, tmp_path / "copied.db")

    with VirtualFileSystem(tmp_path / "copied.db") as copied:
        assert copied.read_bytes("/a") == b"changed"


def test_pickle_of_it_opens_it_as_exclusively(alone: VirtualFileSystem) -> None:
    data = pickle.dumps(alone)
    alone.close()

    with pickle.loads(data) as again:
        assert again._store.options.exclusive
        assert again.read_bytes("/a") == b"content"
