"""Which journal a container gets, who waits for it, what a failed creation leaves."""

from __future__ import annotations

import errno
import sqlite3
import threading
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from stratavfs import VirtualFileSystem, _format, _sql

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def rollback_container(tmp_path: Path) -> Path:
    """A container whose journal somebody has changed."""
    path = tmp_path / "c.db"
    VirtualFileSystem(path).close()
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA journal_mode = DELETE").fetchone()[0]
    return path


def journal_of(path: Path) -> str:
    with closing(sqlite3.connect(path)) as connection:
        mode: str = connection.execute("PRAGMA journal_mode").fetchone()[0]
    return mode


def test_open_for_writing_uses_a_write_ahead_log(rollback_container: Path) -> None:
    VirtualFileSystem(rollback_container).close()

    assert journal_of(rollback_container) == "wal"


def test_open_where_no_log_can_be_held_warns_and_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What SQLite answers on such a file system: the journal that stays in use.
    monkeypatch.setattr(_sql, "USE_LOG", "PRAGMA journal_mode = DELETE")

    with pytest.warns(RuntimeWarning, match="delete journal"):
        vfs = VirtualFileSystem(tmp_path / "c.db")

    with vfs:
        vfs.write_text("/a", "kept")
        assert vfs.read_text("/a") == "kept"
        vfs.sync()


def test_open_waits_for_a_reader_of_the_other_journal(rollback_container: Path) -> None:
    reader = sqlite3.connect(rollback_container, check_same_thread=False)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM inodes").fetchall()
    opened: list[VirtualFileSystem] = []

    def open_it() -> None:
        opened.append(VirtualFileSystem(rollback_container, timeout=60))

    thread = threading.Thread(target=open_it)
    thread.start()
    reader.close()
    thread.join(60)

    assert opened[0].listdir("/") == []
    opened[0].close()


def test_open_gives_up_after_its_timeout(rollback_container: Path) -> None:
    with closing(sqlite3.connect(rollback_container)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM inodes").fetchall()

        with pytest.raises(OSError, match="larger timeout") as caught:
            VirtualFileSystem(rollback_container, timeout=0.01)

    assert caught.value.errno == errno.EBUSY
    assert caught.value.filename == str(rollback_container)


def test_creation_that_fails_leaves_an_empty_file_that_opens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "c.db"

    def broken(chunk_size: int, now: int) -> Iterator[tuple[str, tuple[object, ...]]]:
        yield from [*made(chunk_size, now)][:5]
        raise KeyboardInterrupt

    made = _format.new
    with monkeypatch.context() as patch:
        patch.setattr(_format, "new", broken)
        with pytest.raises(KeyboardInterrupt):
            VirtualFileSystem(path)

    assert path.stat().st_size == 0
    with VirtualFileSystem(path) as vfs:
        assert vfs.listdir("/") == []


def test_sync_inside_a_batch_is_refused_and_the_batch_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "c.db"
    with VirtualFileSystem(path) as vfs:
        with vfs.atomic_batch():
            vfs.write_text("/a", "kept")
            with pytest.raises(OSError, match="leave the batch first") as caught:
                vfs.sync()

        assert caught.value.errno == errno.EINVAL
        assert caught.value.filename == str(path)
        assert vfs.read_text("/a") == "kept"
        vfs.sync()
